"""The border to the person or program at the terminal: consoles, JSON, configuration, and how errors end.

Every command runs inside `Boundary`: an error of the bridge becomes its sentence on stderr and exit code 1,
anything else is a bug and shows its traceback.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from bridge import settings as configuration
from bridge.access import nothing_configured
from bridge.errors import BridgeError, ConfigError
from bridge.log import mask
from bridge.plant import Plant
from bridge.settings import Settings

_PLAIN_WIDTH = 150  # for a pipe or a file, which has no width of its own
_JSON_COLUMNS = frozenset({"proposed_writes", "evidence", "detail", "signals"})


class Boundary(TyperGroup):
    """The root of the commands; the one place where errors of the bridge end."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a BridgeError is told in its own words."""
        try:
            return super().invoke(ctx)
        except BridgeError as problem:
            complain(str(problem))
            raise typer.Exit(1) from problem


def out() -> Console:
    """Where answers go. No markup: a tag such as [default]X/Y is text, not style."""
    return _console(stderr=False)


def err() -> Console:
    """Where everything goes that is not the answer."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PLAIN_WIDTH
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width)


def complain(text: str) -> None:
    """Say on stderr what is wrong, one problem a line; no secret gets out this way."""
    console = err()
    for line in text.replace("\n\t", " ").splitlines():
        console.print(mask(line), style="red", soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON document on stdout: stable keys, UTC times in ISO 8601, numbers as numbers."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the database with its JSON columns, which come as text, read."""
    return {
        key: json.loads(value) if key in _JSON_COLUMNS and isinstance(value, str) else value
        for key, value in row.items()
    }


def plain(value: object) -> Any:
    """The value in the types that JSON has."""
    if isinstance(value, Mapping):
        return {
            str(key): rounded(item) if str(key).endswith(("_s", "_ms")) else plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return float(value)
    return value


def rounded(seconds: object) -> object:
    """Seconds or milliseconds to three places; the database's clock gives no more that means anything."""
    return round(float(seconds), 3) if isinstance(seconds, Decimal | float) else plain(seconds)


def load_settings(ctx: typer.Context) -> Settings:
    """The configuration that this call names; ConfigError lists every problem."""
    return configuration.load(ctx.find_root().obj)


def load_plant(ctx: typer.Context) -> tuple[Settings, Plant]:
    """The configuration and the plant that it describes; ConfigError without any configuration."""
    settings = load_settings(ctx)
    plant = Plant.of(settings)
    if not plant.equipment:
        raise ConfigError([nothing_configured(ctx.find_root().obj)])
    return settings, plant
