"""The workspace as a whole: its areas, what each request passes on its way, and the faults that meet it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, get_args

from simulator.workspace.answers import Answer, Asked, Document, Refusal
from simulator.workspace.clock import Clock, stamp
from simulator.workspace.faults import Active, FaultError, Faults
from simulator.workspace.front import Front
from simulator.workspace.genie import Genie
from simulator.workspace.identity import Identities
from simulator.workspace.jobs import Jobs
from simulator.workspace.lakebase import DATABASE, ENDPOINT, INSTANCE, Lakebase
from simulator.workspace.routes import Route, Router, read_fields, route
from simulator.workspace.scripts import Script, TerminationCode
from simulator.workspace.serving import Serving
from simulator.workspace.sql import Engine
from simulator.workspace.statements import Statements
from simulator.workspace.warehouses import Warehouses

WORKSPACE_ID: Final = "7405605023001337"
_THRIFT: Final = "/sql/1.0/warehouses/"
_HUGE: Final = 10 * 1024 * 1024
_KEPT: Final = 20_000
_PAGE: Final = (
    "<!doctype html><html><head><title>Databricks</title></head><body><h1>We will be back</h1></body></html>"
)
_log = logging.getLogger("workspace")


class WarehouseDoor(Protocol):
    """What the workspace wants of the warehouse: an answer to one POST of the connector's, and its faults."""

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Blocking."""
        ...

    def fault(self, name: str, *, seconds: float) -> None:
        """Begin a fault once. Raises ``FaultError`` for an unknown name."""
        ...

    def clear(self) -> None:
        """End its faults."""
        ...


@dataclass
class Entry:
    """One request that arrived, for tests that count."""

    verb: str
    path: str
    query: str
    at: str
    status: int = 0
    """0: not answered, or not yet."""
    caller: str = ""
    fault: str = ""

    def document(self) -> Document:
        """For the control route."""
        return dict(self.__dict__)


@dataclass(kw_only=True)
class Workspace:
    """Answers requests. ``host`` is its own address, ``http://127.0.0.1:PORT``."""

    host: str
    clock: Clock
    faults: Faults
    identities: Identities
    script: Script
    lakebase: Lakebase
    engines: Mapping[str, Engine]
    door: WarehouseDoor | None = None
    genie_per_minute: int = 5
    requests: deque[Entry] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def __post_init__(self) -> None:
        self.warehouses = Warehouses(self.clock, self.faults, starting=self._tell_door)
        self.statements = Statements(self.clock, self.faults, self.warehouses, self.engines)
        self.genie = Genie(self.clock, self.faults, self.statements, self.script, self.genie_per_minute)
        self.jobs = Jobs(self.clock, self.faults, self.script, self.host)
        self.serving = Serving(self.clock, self.faults, self.script)
        self.router = Router(
            [
                *self.identities.routes(self.host),
                *self.lakebase.routes(),
                *self.warehouses.routes(self.host),
                *self.statements.routes(),
                *self.genie.routes(),
                *self.jobs.routes(),
                *self.serving.routes(),
                *_of_the_connector(),
            ]
        )

    def _tell_door(self, seconds: float) -> None:
        if self.door is not None:
            self.door.fault("starting", seconds=seconds)

    # ── one request ───────────────────────────────────────────────────────────────────────────────────────

    async def answer(self, asked: Asked) -> Answer:
        """Through faults, identity, rights and fields to the area, and back through faults."""
        query = "&".join(f"{name}={value}" for name, value in asked.query.items())
        entry = Entry(asked.verb, asked.path, query, stamp(self.clock.now()))
        self.requests.append(entry)
        fault = self.faults.take_http(asked.verb, asked.path)
        entry.fault = "" if fault is None else fault.fault.name
        answer = _instead(fault) if fault is not None else None
        if answer is None:
            try:
                answer = await self._routed(asked, entry)
            except Refusal as refusal:
                answer = refusal.answer()
            if fault is not None:
                answer = await _afterwards(fault, answer)
        entry.status = 0 if answer.wire == "drop" else answer.status
        answer.headers.setdefault("x-databricks-org-id", WORKSPACE_ID)
        return answer

    async def _routed(self, asked: Asked, entry: Entry) -> Answer:
        if asked.path.startswith(_THRIFT) and asked.verb == "POST":
            return await self._to_the_warehouse(asked)
        found, asked.place = self.router.find(asked.verb, asked.path)
        if found.area is not None:
            asked.caller = self.identities.caller(asked.headers.get("authorization"))
            entry.caller = asked.caller.user_name
            if found.area and found.area not in asked.caller.rights:
                raise Refusal(
                    403,
                    "PERMISSION_DENIED",
                    f"{asked.caller.user_name} has no permission for {found.area} in this workspace",
                )
        asked.fields = read_fields(found, asked)
        result = await found.handler(asked)
        return result if isinstance(result, Answer) else Answer(document=result)

    async def _to_the_warehouse(self, asked: Asked) -> Answer:
        if self.door is None:
            raise Refusal(
                404, "ENDPOINT_NOT_FOUND", f"No API found for 'POST {asked.path}': no warehouse here"
            )
        self.warehouses.wanted()
        return await asyncio.to_thread(self.door.post, asked.path, asked.headers, asked.body)

    # ── from outside Databricks ───────────────────────────────────────────────────────────────────────────

    def begin(self, active: Active) -> str:
        """Set off a fault; a word on what it did. Raises ``FaultError`` when it cannot be here."""
        if active.fault.at_once:
            return self._at_once(active)
        match active.fault.name:
            case "clock_skew":
                try:
                    self.clock.skew_s = float(active.value)
                except ValueError as error:
                    raise FaultError(f"clock_skew: seconds were expected, found {active.value!r}") from error
            case "run_failed" if active.value not in get_args(TerminationCode):
                raise FaultError(f"run_failed: {active.value!r} is no termination code; there are {_codes()}")
            case "statement_for_ever" if self.door is not None:
                self.door.fault("statement_forever", seconds=0.0)
            case "lakebase_full":
                self._front().full = True
            case "credential_refused":
                self.lakebase.refuse_credentials = True
        self.faults.begin(active)
        return "until it is cleared" if active.left is None else f"{active.left} times"

    def _at_once(self, active: Active) -> str:
        match active.fault.name:
            case "expired_token":
                self.identities.expire_all()
                self.lakebase.expire_all()
                return "all of them"
            case "warehouse_starting":
                self.warehouses.start(active.seconds)
                return f"for {active.seconds:g} s"
            case "thrift":
                if self.door is None:
                    raise FaultError("this workspace has no warehouse")
                self.door.fault(active.value, seconds=active.seconds)
                return active.value
            case "lakebase_idle_close":
                return f"{self._front().close_idle()} closed"
            case "lakebase_suspend":
                return f"{self._front().suspend(active.seconds)} dropped"
            case _:
                return f"{self._front().fail_over(active.seconds)} reset"

    def _front(self) -> Front:
        if self.lakebase.front is None:
            raise FaultError("this workspace has no Lakebase; start it with --database")
        return self.lakebase.front

    def clear(self, name: str = "") -> int:
        """End one fault, or all; how many were on. Raises ``FaultError``."""
        count = self.faults.clear(name)
        if name in ("", "clock_skew"):
            self.clock.skew_s = 0.0
        if name in ("", "credential_refused"):
            self.lakebase.refuse_credentials = False
        if name in ("", "lakebase_full") and self.lakebase.front is not None:
            self.lakebase.front.full = False
        if name in ("", "thrift", "statement_for_ever") and self.door is not None:
            self.door.clear()
        if name == "" and self.lakebase.front is not None:
            self.lakebase.front.recover()
        return count

    def reset(self) -> None:
        """As after the start, but for the clock and the database."""
        self.clear()
        for area in (
            self.identities,
            self.lakebase,
            self.warehouses,
            self.statements,
            self.genie,
            self.jobs,
        ):
            area.forget()
        self.requests.clear()

    def use(self, script: Script) -> None:
        """Answer from another script; conversations and runs of the older one are forgotten."""
        self.script = self.genie.script = self.jobs.script = self.serving.script = script
        self.genie.forget()
        self.jobs.forget()

    def state(self) -> Document:
        """Numbers for whoever watches."""
        front = self.lakebase.front
        return {
            "now": stamp(self.clock.now()),
            "warehouse": self.warehouses.state,
            "lakebase": None
            if front is None
            else {
                "open": front.open_links,
                "logins": front.logins,
                "refused": front.refused,
                "minted": self.lakebase.minted,
                "suspended": front.suspended,
            },
            "requests": len(self.requests),
        }

    def introduction(self) -> Document:
        """Addresses and credentials, for the line that says it is ready."""
        front, warehouse = self.lakebase.front, None
        if self.door is not None:
            path = f"{_THRIFT}{self.warehouses.id}"
            warehouse = {"id": self.warehouses.id, "http_path": path, "http_uri": f"{self.host}{path}"}
        return {
            "host": self.host,
            "workspace_id": WORKSPACE_ID,
            "user": self.identities.engineer.user_name,
            "token": self.identities.pat,
            "client_id": self.identities.client_id,
            "client_secret": self.identities.client_secret,
            "stranger_token": self.identities.stranger_pat,
            "principals": self.identities.introduced(),
            "lakebase": None
            if front is None
            else {
                "host": "127.0.0.1",
                "port": front.port,
                "database": DATABASE,
                "endpoint": ENDPOINT,
                "instance": INSTANCE,
            },
            "warehouse": warehouse,
            "spaces": {space.title: space.space_id for space in self.script.genie},
            "jobs": {job.name: job.job_id for job in self.script.jobs},
            "serving": [endpoint.name for endpoint in self.script.serving],
        }


def _codes() -> str:
    return ", ".join(get_args(TerminationCode))


def _of_the_connector() -> list[Route]:
    """What the official connector asks besides SQL: whether to send telemetry, and the telemetry."""

    async def flags(_: Asked) -> Document:
        return {"flags": [], "ttl_seconds": 900}

    async def telemetry(_: Asked) -> Document:
        return {"errors": [], "numSuccess": 0, "numProtoSuccess": 0, "numRealtimeSuccess": 0}

    query = "o:text"
    return [
        route("GET", "/api/2.0/connector-service/feature-flags/PYTHON/{version}", flags, query=query),
        route("POST", "/telemetry-ext", telemetry, body=None, query=query),
        route("POST", "/telemetry-unauth", telemetry, area=None, body=None, query=query),
    ]


# ── faults of HTTP ────────────────────────────────────────────────────────────────────────────────────────


def _instead(fault: Active) -> Answer | None:
    """The answer of a request that is not carried out; None for those that are."""
    match fault.fault.name:
        case "rate_limited":
            return Refusal(
                429,
                "REQUEST_LIMIT_EXCEEDED",
                "Too many requests; slow down",
                headers={"Retry-After": f"{fault.seconds:.0f}"} if fault.seconds else {},
            ).answer()
        case "unavailable":
            return Refusal(
                503,
                "TEMPORARILY_UNAVAILABLE",
                "The service at this path is temporarily unavailable. Please try again later.",
                headers={"Retry-After": f"{fault.seconds:.0f}"} if fault.seconds else {},
            ).answer()
        case "server_error":
            return Refusal(500, "INTERNAL_ERROR", "An internal error occurred").answer()
        case "forbidden":
            return Refusal(403, "PERMISSION_DENIED", "You are not allowed to do that").answer()
        case "dropped_request":
            return Answer(wire="drop")
        case "html":
            return Answer(text=_PAGE, content_type="text/html; charset=utf-8")
        case "login_redirect":
            return Answer(
                status=302, text="", headers={"Location": "/login.html?error=private-link-validation"}
            )
        case "plain_error":
            return Answer(
                status=400, text="BAD_REQUEST: the request could not be read", content_type="text/plain"
            )
    return None


async def _afterwards(fault: Active, answer: Answer) -> Answer:
    """The answer of a request that was carried out, as the fault leaves it."""
    if answer.events is not None and fault.fault.name not in ("slow", "lost_response"):
        _log.warning("%s does nothing to a stream; see stream_cut", fault.fault.name)
        return answer
    match fault.fault.name:
        case "slow":
            await asyncio.sleep(fault.seconds)
        case "lost_response":
            answer.wire = "drop"
        case "cut_answer":
            answer.wire = "cut"
        case "not_json":
            whole = answer.bytes_()
            answer.raw = whole[: len(whole) // 2]
        case "huge":
            answer.document = {**(answer.document or {}), "padding": "x" * _HUGE}
        case "numbers_as_strings":
            answer.document = _as_texts(answer.document)
    return answer


def _as_texts(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _as_texts(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_as_texts(value) for value in found]
    if isinstance(found, int | float) and not isinstance(found, bool):
        return json.dumps(found)
    return found
