"""Lakebase's HTTP side: where an endpoint is, and credentials that are good for one login name and one hour."""

from __future__ import annotations

import asyncio
import re
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from simulator.workspace.answers import Asked, Document, Refusal, bad, missing
from simulator.workspace.clock import Clock, stamp
from simulator.workspace.front import Front
from simulator.workspace.lakebase_roles import Roles
from simulator.workspace.postgres_wire import PostgresRefusal, StartUp
from simulator.workspace.routes import Route, route

PROJECT: Final = "projects/plant"
BRANCH: Final = f"{PROJECT}/branches/production"
ENDPOINT: Final = f"{BRANCH}/endpoints/primary"
INSTANCE: Final = "plant"
DATABASE: Final = "databricks_postgres"
_TTL: Final = range(300, 3601)  # seconds
_SECONDS: Final = re.compile(r"(\d{1,6})(?:\.\d{1,9})?s")


@dataclass(frozen=True)
class _Credential:
    user: str
    expires: datetime


@dataclass
class Lakebase:
    """One project with one branch and one endpoint, which is also an instance of the older generation.

    ``front`` None: this workspace has no Lakebase, and says so. ``native_login``: roles with a password of their own
    may use it, which a project has switched off at first.
    """

    clock: Clock
    owner: str
    roles: Roles | None = None
    front: Front | None = None
    native_login: bool = False
    refuse_credentials: bool = False
    minted: int = 0
    _credentials: dict[str, _Credential] = field(default_factory=dict)

    def forget(self) -> None:
        """As after a start: no credential is known."""
        self._credentials.clear()
        self.refuse_credentials = False
        self.minted = 0
        if self.front is not None:
            self.front.recover()

    def expire_all(self) -> None:
        """Every credential of now has expired; who is in stays in."""
        now = self.clock.now()
        self._credentials = {token: _Credential(each.user, now) for token, each in self._credentials.items()}

    async def authenticate(self, start: StartUp, password: str) -> str:
        """What the front asks for each login. Raises ``PostgresRefusal``."""
        failed = f'password authentication failed for user "{start.user}"'
        assert self.roles is not None
        credential = self._credentials.get(password)
        if credential is None and self.native_login:
            return password  # the server behind judges it
        if credential is None or self.refuse_credentials:
            raise PostgresRefusal(sql_state="28P01", message=failed)
        if credential.user != start.user:
            raise PostgresRefusal(
                sql_state="28P01", message=f"{failed}: the token belongs to another identity"
            )
        if credential.expires <= self.clock.now():
            raise PostgresRefusal(sql_state="28P01", message=f"{failed}: the token is expired")
        return await asyncio.to_thread(self.roles.password, start.user)

    def routes(self) -> list[Route]:
        """The requests of this area."""

        def lakebase(verb: str, path: str, handler: object, **fields: str) -> Route:
            return route(verb, path, handler, area="lakebase", **fields)  # type: ignore[arg-type]

        of_branch = "/api/2.0/postgres/projects/{project}/branches"
        return [
            lakebase(
                "GET", "/api/2.0/postgres/projects", self._projects, query="page_size:whole page_token:text"
            ),
            lakebase("GET", "/api/2.0/postgres/projects/{project}", self._project),
            lakebase("GET", of_branch, self._branches, query="page_size:whole page_token:text"),
            lakebase("GET", f"{of_branch}/{{branch}}", self._branch),
            lakebase(
                "GET",
                f"{of_branch}/{{branch}}/endpoints",
                self._endpoints,
                query="page_size:whole page_token:text",
            ),
            lakebase("GET", f"{of_branch}/{{branch}}/endpoints/{{endpoint}}", self._endpoint),
            lakebase(
                "POST",
                "/api/2.0/postgres/credentials",
                self._mint,
                body="endpoint:text! ttl:text expire_time:text claims:list",
            ),
            lakebase(
                "GET", "/api/2.0/database/instances", self._instances, query="page_size:whole page_token:text"
            ),
            lakebase("GET", "/api/2.0/database/instances/{name}", self._instance),
            lakebase(
                "POST",
                "/api/2.0/database/credentials",
                self._mint_provisioned,
                body="instance_names:list! request_id:text! claims:list",
            ),
        ]

    def _here(self) -> Front:
        if self.front is None:
            raise missing("this workspace has no Lakebase; start it with --database")
        return self.front

    # ── Autoscaling: projects, branches, endpoints ────────────────────────────────────────────────────────

    def _of_project(self) -> Document:
        return {"name": PROJECT, "uid": _uid(PROJECT), "status": {"display_name": "plant", "pg_version": 16}}

    def _of_branch(self) -> Document:
        status = {"current_state": "READY", "default": True, "is_protected": False}
        return {"name": BRANCH, "uid": _uid(BRANCH), "parent": PROJECT, "status": status}

    def _of_endpoint(self) -> Document:
        front = self._here()
        return {
            "name": ENDPOINT,
            "uid": _uid(ENDPOINT),
            "parent": BRANCH,
            "status": {
                "endpoint_type": "ENDPOINT_TYPE_READ_WRITE",
                "current_state": "IDLE" if front.suspended else "ACTIVE",
                "autoscaling_limit_min_cu": 0.5,
                "autoscaling_limit_max_cu": 0.5,
                "suspend_timeout_duration": "300s",
                "disabled": False,
                "hosts": {"host": "127.0.0.1"},
            },
        }

    async def _projects(self, _: Asked) -> Document:
        return {"projects": [self._of_project()]} if self.front is not None else {}

    async def _project(self, asked: Asked) -> Document:
        self._here()
        self._found(f"projects/{asked.place['project']}", PROJECT)
        return self._of_project()

    async def _branches(self, asked: Asked) -> Document:
        await self._project(asked)
        return {"branches": [self._of_branch()]}

    async def _branch(self, asked: Asked) -> Document:
        await self._project(asked)
        self._found(f"{PROJECT}/branches/{asked.place['branch']}", BRANCH)
        return self._of_branch()

    async def _endpoints(self, asked: Asked) -> Document:
        await self._branch(asked)
        return {"endpoints": [self._of_endpoint()]}

    async def _endpoint(self, asked: Asked) -> Document:
        await self._branch(asked)
        self._found(f"{BRANCH}/endpoints/{asked.place['endpoint']}", ENDPOINT)
        return self._of_endpoint()

    def _found(self, wanted: str, there: str) -> None:
        if wanted != there:
            raise Refusal(404, "NOT_FOUND", f"{wanted} does not exist; there is {there}")

    async def _mint(self, asked: Asked) -> Document:
        self._here()
        wanted = asked.text("endpoint")
        if not re.fullmatch(r"projects/[^/]+/branches/[^/]+/endpoints/[^/]+", wanted):
            raise bad(f"endpoint: expected projects/…/branches/…/endpoints/…, found {wanted!r}")
        self._found(wanted, ENDPOINT)
        if asked.given("ttl") and asked.given("expire_time"):
            raise bad("ttl and expire_time are two ways to say one thing: give one")
        lifetime_s = 3600
        if asked.given("ttl"):
            lifetime_s = _lifetime_s(asked.text("ttl"))
        elif asked.given("expire_time"):
            lifetime_s = self._lifetime_until_s(asked.text("expire_time"))
        token, expires = self._made(asked, lifetime_s)
        return {"token": token, "expire_time": stamp(expires)}

    def _lifetime_until_s(self, text: str) -> int:
        try:
            until = datetime.fromisoformat(text)
        except ValueError as error:
            raise bad(f"expire_time: expected RFC 3339, found {text!r}") from error
        if until.tzinfo is None:
            raise bad(f"expire_time: expected a time with its zone, found {text!r}")
        return _allowed(round((until - self.clock.now()).total_seconds()))

    def _made(self, asked: Asked, lifetime_s: int) -> tuple[str, datetime]:
        token = f"lakebase-{secrets.token_urlsafe(48)}"
        expires = self.clock.now() + timedelta(seconds=lifetime_s)
        self._credentials[token] = _Credential(asked.known_caller.user_name, expires)
        self.minted += 1
        return token, expires

    # ── Provisioned: instances ────────────────────────────────────────────────────────────────────────────

    def _of_instance(self) -> Document:
        front = self._here()
        return {
            "name": INSTANCE,
            "uid": _uid(INSTANCE),
            "state": "AVAILABLE",
            "read_write_dns": "127.0.0.1",
            "pg_version": "PG_VERSION_16",
            "capacity": "CU_1",
            "creator": self.owner,
            "stopped": front.suspended,
            "node_count": 1,
        }

    async def _instances(self, _: Asked) -> Document:
        return {"database_instances": [self._of_instance()]} if self.front is not None else {}

    async def _instance(self, asked: Asked) -> Document:
        self._here()
        if asked.place["name"] != INSTANCE:
            raise missing(f"Database instance {asked.place['name']} does not exist; there is {INSTANCE}")
        return self._of_instance()

    async def _mint_provisioned(self, asked: Asked) -> Document:
        self._here()
        names = asked.listed("instance_names")
        if names != [INSTANCE]:
            raise missing(f"Database instances {names} are not all there; there is {INSTANCE}")
        try:
            uuid.UUID(asked.text("request_id"))
        except ValueError as error:
            raise bad(f"request_id: expected a UUID, found {asked.text('request_id')!r}") from error
        token, expires = self._made(asked, 3600)
        return {"token": token, "expiration_time": stamp(expires)}


def _lifetime_s(text: str) -> int:
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise bad(f"ttl: expected seconds as '3600s', found {text!r}")
    return _allowed(int(match[1]))


def _allowed(seconds: int) -> int:
    if seconds not in _TTL:
        raise bad(f"a credential lasts from {_TTL.start} to {_TTL.stop - 1} seconds, found {seconds}")
    return seconds


def _uid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
