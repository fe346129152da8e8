"""Lakebase: where the database listens, and a fresh credential for each new connection to it.

Autoscaling projects and Provisioned instances differ in paths and in the names of their fields, and in nothing else
that matters here. A credential is a password that counts at login only: a connection outlives it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from bridge.databricks.call import Answer, Call
from bridge.databricks.fields import Fields
from bridge.databricks.http import Workspace
from bridge.databricks.steps import Steps, run_async
from bridge.errors import FixConfiguration, TryAgain, WorkspaceDown, WorkspaceRefused
from bridge.ports import Clock, DatabaseAccess
from bridge.settings.databricks import LakebaseSettings, is_loopback

T = TypeVar("T")

_REUSE_S = 900.0  # a credential opens connections for so long, and never in its last five minutes
_MARGIN_S = 300.0
_PROVISIONED_LIFE_S = 3600.0
_PLACE_S = 300.0  # the host is asked for again after so long, when a connection is to be opened
_ASKING_S = 5.0  # longest time for one question to the workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A password for the database. life_s: how long it counts, as far as known."""

    token: str = field(repr=False)
    life_s: float


def find_place(settings: LakebaseSettings) -> Steps[str]:
    """The host that takes reads and writes; it means nothing by itself and is never made up.

    WorkspaceDown while the endpoint has none yet, FixConfiguration when it is switched off.
    """
    if settings.endpoint:
        name = settings.endpoint
        call = _get(f"/api/2.0/postgres/{name}", f"Lakebase: look up endpoint {name}")
        answer = yield from _named(call, "endpoint")
        status = Fields(answer, f"endpoint {name}").needed("status")
        hosts = status.part("hosts")
        host = "" if hosts is None else hosts.text("host", "")
        off = status.flag("disabled")
    else:
        name = settings.instance
        call = _get(f"/api/2.0/database/instances/{name}", f"Lakebase: look up instance {name}")
        answer = yield from _named(call, "instance")
        instance = Fields(answer, f"instance {name}")
        host = instance.text("read_write_dns", "")
        off = instance.text("state", "") == "STOPPED" or instance.flag("effective_stopped")
    if off:
        raise FixConfiguration(f"Lakebase: {name} is switched off; somebody has to start it in the workspace")
    if not host:
        raise WorkspaceDown(f"Lakebase: {name} has no host yet; is it still being made?")
    return host


def mint(settings: LakebaseSettings, now_utc: datetime) -> Steps[Credential]:
    """A new credential; it may be asked for any number of times, and the earlier ones keep counting."""
    if settings.endpoint:
        call = Call(
            verb="POST",
            path="/api/2.0/postgres/credentials",
            body={"endpoint": settings.endpoint, "ttl": f"{settings.ttl_s}s"},
            idempotent=True,
            what=f"Lakebase: credential for endpoint {settings.endpoint}",
        )
        answer = yield from _named(call, "endpoint")
        life_s, expires = float(settings.ttl_s), "expire_time"
    else:
        call = Call(
            verb="POST",
            path="/api/2.0/database/credentials",
            body={"instance_names": [settings.instance], "request_id": str(uuid4())},
            idempotent=True,
            what=f"Lakebase: credential for instance {settings.instance}",
        )
        answer = yield from _named(call, "instance")
        life_s, expires = _PROVISIONED_LIFE_S, "expiration_time"
    credential = Fields(answer, "Lakebase credential")
    token = credential.text("token")
    if not token or token != answer["token"]:
        raise credential.refused("token", "a password")
    left_s = _left_s(credential.text(expires, ""), now_utc)
    # A clock that is wrong here makes the rest look longer or shorter than it is; never longer than what we asked for.
    return Credential(token=token, life_s=life_s if left_s is None else max(0.0, min(life_s, left_s)))


def who_am_i() -> Steps[str]:
    """The name under which the workspace knows this login, which is its PostgreSQL role too."""
    answer = yield _get("/api/2.0/preview/scim/v2/Me", "the identity of the workspace login")
    return Fields(answer, "the identity of the workspace login").identity("userName")


class LakebaseLogin:
    """Implements `bridge.ports.DatabaseLogin`. For one event loop."""

    def __init__(self, settings: LakebaseSettings, workspace: Workspace | None, clock: Clock) -> None:
        """workspace: None only where host, user and password are all given."""
        self._settings = settings
        self._workspace = workspace
        self._clock = clock
        self._turn = asyncio.Lock()
        self._host = ""
        self._host_from_s = 0.0
        self._user = ""
        self._credential: Credential | None = None
        self._reuse_until_s = 0.0

    async def access(self, *, refused: DatabaseAccess | None = None) -> DatabaseAccess:
        """See `DatabaseLogin.access`. Connections that open at the same moment share a credential."""
        settings = self._settings
        async with self._turn:
            host = await self._place()
            access = DatabaseAccess(
                host=host,
                port=settings.port,
                database=settings.database,
                user=settings.user,
                password=settings.password.get_secret_value(),
                encrypted=not is_loopback(host),
                ca_certificate="" if settings.ca_certificate is None else str(settings.ca_certificate),
            )
            if access.password:
                return access
            if not self._user:
                self._user = settings.user or await self._ask(who_am_i())
            password, reused = await self._password("" if refused is None else refused.password)
            return replace(access, user=self._user, password=password, reused=reused)

    def close(self) -> None:
        """See `DatabaseLogin.close`."""
        if self._workspace is not None:
            self._workspace.close()

    async def _place(self) -> str:
        if self._settings.host:
            return self._settings.host
        if self._host and self._clock.monotonic_s() - self._host_from_s < _PLACE_S:
            return self._host
        try:
            self._host = await self._ask(find_place(self._settings))
        except TryAgain:
            if not self._host:
                raise
            return (
                self._host
            )  # it rarely moves, and the database may well answer while the workspace does not
        self._host_from_s = self._clock.monotonic_s()
        return self._host

    async def _password(self, refused: str) -> tuple[str, bool]:
        """A password, and whether it has served before."""
        known = self._credential
        if known is not None and known.token != refused and self._clock.monotonic_s() < self._reuse_until_s:
            return known.token, True
        self._credential = None
        asked_s = self._clock.monotonic_s()
        fresh = await self._ask(mint(self._settings, self._clock.now_utc()))
        self._credential = fresh
        self._reuse_until_s = asked_s + max(0.0, min(_REUSE_S, fresh.life_s - _MARGIN_S))
        return fresh.token, False

    async def _ask(self, steps: Steps[T]) -> T:
        if self._workspace is None:
            raise FixConfiguration(
                "databricks.lakebase: host, user and password, or a workspace login, are needed"
            )
        return await run_async(steps, self._workspace, self._clock, deadline_s=_ASKING_S)


def _get(path: str, what: str) -> Call:
    return Call(verb="GET", path=path, what=what)


def _named(call: Call, key: str) -> Steps[Answer]:
    """Ask about something that a setting names, and say which setting when it does not exist."""
    try:
        return (yield call)
    except WorkspaceRefused as problem:
        if problem.status not in (400, 404):
            raise
        raise FixConfiguration(f"{problem}; databricks.lakebase.{key} says which one is meant") from problem


def _left_s(expires: str, now_utc: datetime) -> float | None:
    """Seconds until a moment in ISO 8601; None where it is not readable."""
    try:
        found = datetime.fromisoformat(expires)
    except ValueError:
        return None
    return (found - now_utc).total_seconds() if found.tzinfo is not None else None
