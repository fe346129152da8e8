"""The simulated workspace as the people of the demo meet it: who they are there, and what opens Lakebase to them.

Plain ``requests``, by the interfaces that ``docs/databricks.md`` names; nothing of the bridge's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import requests

from simulator.demo_setting import remember
from simulator.demo_sql import PostgresReader, WarehouseReader
from simulator.demo_stage import Demo, DemoError, first_line, near

OWNER: Final = "plant-owner"  # migrates and publishes limits
AGENT: Final = "bridge"  # proposes and executes
OPERATORS: Final = "operators"  # decide
_READY: Final = "workspace ready "
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What it said of itself: addresses, and who may log in. ``certificate``: of whoever signed Lakebase's."""

    demo: Demo
    ready: Mapping[str, Any]
    certificate: Path

    @property
    def host(self) -> str:
        """Its address, ``http://127.0.0.1:PORT``."""
        return str(self.ready["host"])

    @property
    def warehouse_uri(self) -> str:
        """Where its SQL warehouse speaks the connector's protocol."""
        return str(self.ready["warehouse"]["http_uri"])

    def client_id(self, party: str) -> str:
        """The application id of a party's service principal."""
        return self._principal(party)["client_id"]

    def _principal(self, party: str) -> Mapping[str, str]:
        found: Mapping[str, str] = self.ready if party == AGENT else self.ready["principals"][party]
        return found

    def write_profiles(self) -> None:
        """One profile a party, in a file that nobody else reads."""
        file = self.demo.folder / "databrickscfg"
        file.touch(mode=0o600)
        sections = (
            f"[{party}]\nhost = {self.host}\nclient_id = {self._principal(party)['client_id']}\n"
            f"client_secret = {self._principal(party)['client_secret']}\n"
            for party in (OWNER, AGENT, OPERATORS)
        )
        file.write_text("\n".join(sections), encoding="utf-8")
        remember(self.demo, DATABRICKS_CONFIG_FILE=str(file), DATABRICKS_CONFIG_PROFILE=OPERATORS)
        self.demo.say(
            "workspace",
            f"three service principals with a profile each in {near(file)}: {OWNER} owns the tables, {AGENT} proposes "
            f"and executes, {OPERATORS} decides",
        )

    def token(self, party: str) -> str:
        """OAuth machine-to-machine: client id and secret for an access token of an hour."""
        given = self._principal(party)
        answer = self._asked(
            "POST",
            "/oidc/v1/token",
            auth=(given["client_id"], given["client_secret"]),
            data={"grant_type": "client_credentials", "scope": "all-apis"},
        )
        return str(answer["access_token"])

    def on_lakebase(self, who: str, user: str, token: str) -> PostgresReader:
        """Lakebase, with a fresh credential in the place of a password; the step is told, the secret is not."""
        lakebase = self.ready["lakebase"]
        credential = self._asked(
            "POST",
            "/api/2.0/postgres/credentials",
            headers={"Authorization": f"Bearer {token}"},
            json={"endpoint": lakebase["endpoint"]},
        )
        until = datetime.fromisoformat(credential["expire_time"])
        self.demo.say(
            "lakebase",
            f"credential for {who} on {lakebase['endpoint']}: lets {user} log in until {until:%H:%M:%S} UTC",
        )
        return PostgresReader(
            host=lakebase["host"],
            port=lakebase["port"],
            dbname=lakebase["database"],
            user=user,
            password=credential["token"],
            sslmode="verify-full",
            sslrootcert=str(self.certificate),
        )

    def on_warehouse(self, party: str, *, catalog: str = "", schema: str = "") -> WarehouseReader:
        """The SQL warehouse, as one of the parties."""
        return WarehouseReader(self.warehouse_uri, self.token(party), catalog=catalog, schema=schema)

    def state(self) -> Mapping[str, Any]:
        """Its own count of logins and credentials."""
        return self._asked("GET", "/.simulator/state")

    def _asked(self, verb: str, path: str, **arguments: Any) -> Mapping[str, Any]:
        try:
            with requests.Session() as session:
                session.trust_env = False  # a proxy has no business on this machine
                answer = session.request(verb, f"{self.host}{path}", timeout=_TIMEOUT_S, **arguments)
                found: Mapping[str, Any] = answer.json()
        except (requests.RequestException, ValueError) as problem:
            raise DemoError(
                f"the workspace does not answer {path}: {problem}; logs: {self.demo.folder}"
            ) from problem
        if answer.status_code != 200:
            raise DemoError(f"the workspace refuses {path}: {found}")
        return found


def start_workspace(demo: Demo, database_url: str) -> Workspace:
    """A workspace with its Lakebase before this database; ready when this returns."""
    tls = demo.folder / "tls"
    child = demo.start(
        "workspace",
        *(sys.executable, "-m", "simulator.workspace", "--port", "0", "--database", database_url),
        *("--lakebase-tls", tls, "--principal", OWNER, "--principal", OPERATORS),
    )
    line = first_line(child)
    if not line.startswith(_READY):
        raise DemoError(f"the workspace wanted to say {_READY.strip()!r} and said {line!r}")
    ready = json.loads(line.removeprefix(_READY).partition(" ")[2])
    spaces = ", ".join(ready["spaces"])
    demo.say(
        "workspace",
        f"ready at {ready['host']}: OAuth, Lakebase over TLS, a SQL warehouse, the Genie spaces {spaces}",
    )
    return Workspace(demo=demo, ready=ready, certificate=tls / "certificate.pem")
