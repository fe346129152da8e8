"""What a Lakebase administrator runs before the first migration: roles and rights, as an SQL script."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bridge.errors import FixConfiguration

SCRIPT = Path(__file__).parent / "grants.sql"
DEFAULT_SCHEMA = "bridge"

_PLACE = re.compile(r":'([a-z]+)'")


def grants_script(logins: Mapping[str, str], *, schema: str) -> str:
    """The script with names put in. logins: owner, agent, operator and reader; empty means nobody.

    FixConfiguration for a name that PostgreSQL cannot have.
    """
    names = {**logins, "schema": schema}
    for party, name in names.items():
        if not name.isprintable() or len(name.encode()) > 63:
            raise FixConfiguration(f"{party}: wanted a name of at most 63 bytes, found {name!r}")
    return _PLACE.sub(lambda place: _literal(names[place[1]]), SCRIPT.read_text(encoding="utf-8"))


def _literal(text: str) -> str:
    """An SQL string, whatever the server's setting for backslashes."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"
