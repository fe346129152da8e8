"""A SQL warehouse on the wire: the one module that knows databricks-sql-connector. Its errors become ours here.

The connector blocks and its connections are for one thread each, so a few worker threads hold one connection each.
It is imported when the first connection is made: a bridge on PostgreSQL does without its 180 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import math
import random
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import uuid4

from bridge.domain.lifecycle import Role
from bridge.domain.limits import Refusal, RefusalCode
from bridge.errors import (
    AccessDenied,
    BridgeError,
    DeadlineExceeded,
    FixCode,
    FixConfiguration,
    LostRace,
    RefusedByRule,
    SchemaError,
    StoreDown,
)
from bridge.store.queries import Query
from bridge.store.warehouse_statement import Marker, Statement, written_out

if TYPE_CHECKING:
    from databricks.sql.client import Connection, Cursor
    from databricks.sql.parameters.native import DbsqlParameterBase

Row = dict[str, Any]
T = TypeVar("T")

_CONFLICT_TRIES = 8  # a change that met another on the same row is made again this often, with growing pauses
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_LOGIN_S = 10.0  # a fresh token has to be there by then
_GRACE_S = 3.0  # how much longer than the warehouse's own time limit an answer may take to arrive

_STATE = re.compile(r"SQLSTATE:?\s*([0-9A-Z]{5})")
_CONFLICT = "2D521"
_CONFLICT_BY_NAME = re.compile(
    r"DELTA_CONCURRENT_|Concurrent\w+Exception|(Metadata|Protocol)ChangedException"
)
_SQL_SHOWN = "== SQL =="  # behind it an error repeats the statement
_SESSION_OVER = re.compile(
    r"INVALID_HANDLE|invalid sessionhandle|session .*(expired|closed|not found)", re.IGNORECASE
)


class Login(Protocol):
    """Who we are to the workspace, as the headers of a request; asked at every request, from several threads."""

    def headers(self, *, budget_s: float) -> Mapping[str, str]:
        """The headers that say who we are; may take up to `budget_s` to renew a token."""
        ...

    def renew(self, refused: Mapping[str, str], *, budget_s: float) -> bool:
        """Get another token in the place of one that was refused; False when there is none to be had."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseAddress:
    """Where a SQL warehouse is and where in it our tables are.

    host: of the workspace. http_path: "/sql/1.0/warehouses/<id>". connection_uri: the whole address instead, for a
    simulated warehouse on this machine. ca_certificate: a file to trust instead of the usual authorities.
    """

    host: str
    http_path: str
    login: Login
    catalog: str = ""
    schema: str = ""
    connection_uri: str = ""
    ca_certificate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows of a question, or how many rows a change affected; -1 when the warehouse did not say."""

    rows: list[Row]
    affected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a change with a key of its own changed, as looked for afterwards. affected: as its answer said, or -1."""

    rows: list[Row]
    affected: int


class Warehouse:
    """A few connections to a SQL warehouse that act for one party.

    What a party may do is no grant here: a query is refused unless its header names the role (None: the owner's
    too). Every method raises StoreDown when the warehouse does not answer, DeadlineExceeded when it takes too long,
    AccessDenied for tokens and grants, SchemaError when it is not migrated, LostRace when the same rows were
    changed by others again and again, and RefusedByRule when a CHECK or NOT NULL of the tables said no.

    A change may have been made although an error says that its answer was lost: all of ours carry a key of their
    own and are known by it when they arrive twice.
    """

    def __init__(
        self, address: WarehouseAddress, *, role: Role | None, size: int, statement_timeout_s: float
    ) -> None:
        self.role = role
        self._address = address
        self._statement_timeout_s = statement_timeout_s
        self._answer_s = statement_timeout_s + _GRACE_S
        self._workers = [_Worker(self._connect, address.login, number) for number in range(size)]
        self._free: asyncio.Queue[_Worker] = self._queue()
        self.asked = 0
        """Statements sent since the start; what each costs is a round trip."""

    async def open(self) -> None:
        """Connect once, so that a wrong address, token or catalog is told at start."""
        self._free = self._queue()  # a queue belongs to the event loop that first waited for it
        await self._on_a_worker("connect", _Worker.connect, self._answer_s)

    def _queue(self) -> asyncio.Queue[_Worker]:
        free: asyncio.Queue[_Worker] = asyncio.Queue()
        for worker in self._workers:
            free.put_nowait(worker)
        return free

    async def close(self) -> None:
        """Close every connection; `open` may be called again."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, worker.close) for worker in self._workers))

    async def fetch(self, query: Query, **values: object) -> list[Row]:
        """Run one named query and return its rows (empty when it returns none)."""
        return (await self._run(query, values)).rows

    async def change(self, query: Query, **values: object) -> int:
        """Run one named query that changes rows, again when it met another change; how many it affected.

        0 may also mean that this very change arrived twice; -1 that the warehouse did not say. Whoever has to know
        looks for the key of the change.
        """
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, _CONFLICT_TRIES + 1):
            try:
                return (await self._run(query, values)).affected
            except LostRace:
                if attempt == _CONFLICT_TRIES:
                    raise
            # Nothing of it was done. Full jitter: two that met once must not meet again.
            await asyncio.sleep(random.uniform(0, pause_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        raise AssertionError("the last attempt returns or raises")

    async def make_known(self, change: Query, look: Query, **values: object) -> Known:
        """Make a change under a key of its own, and look for what carries the key by then; also when no answer came.

        What was lost raises only where nothing carries the key. A change that is still under way then may yet be made.
        """
        key = uuid4().hex
        try:
            affected = await self.change(change, write_key=key, **values)
        except (StoreDown, DeadlineExceeded):
            rows = await self.look(look, write_key=key)
            if not rows:
                raise
            return Known(rows=rows, affected=-1)
        return Known(rows=await self.look(look, write_key=key), affected=affected)

    async def look(self, query: Query, **values: object) -> list[Row]:
        """The same as `fetch`, once more when no answer came: behind a change, what is not seen is not written down."""
        try:
            return await self.fetch(query, **values)
        except StoreDown:
            return await self.fetch(query, **values)

    async def execute(self, statement: Statement, what: str) -> Answer:
        """Run a statement of ours that is no named query: DDL, and the migrations' own bookkeeping."""
        return await self._send(statement, what)

    async def _run(self, query: Query, values: Mapping[str, object]) -> Answer:
        if self.role is not None and self.role.value not in query.roles:
            raise AccessDenied(
                f"{query.full_name} is for {', '.join(sorted(query.roles))}; {self.role.value} may not send it"
            )
        return await self._send(written_out(query, values), query.full_name)

    async def _send(self, statement: Statement, what: str) -> Answer:
        self.asked += 1
        return await self._on_a_worker(what, lambda worker: worker.run(statement, what), self._answer_s)

    async def _on_a_worker(self, what: str, job: Callable[[_Worker], T], limit_s: float) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit_s):
                worker = await self._free.get()
        except TimeoutError:
            raise StoreDown(
                f"{what}: all {len(self._workers)} connections to the warehouse wait for answers since {limit_s:g} s"
            ) from None
        future = worker.submit(job)

        def give_back(done: Future[T]) -> None:
            # Not before its thread is free, also when nobody waits for the answer any more.
            with contextlib.suppress(
                RuntimeError
            ):  # the loop has ended meanwhile, and nobody takes workers again
                loop.call_soon_threadsafe(self._free.put_nowait, worker)

        future.add_done_callback(give_back)
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DeadlineExceeded(f"{what}: the warehouse did not answer within {limit_s:g} s") from None

    def _connect(self, bearer: _Bearer) -> Connection:
        return connect(self._address, bearer, statement_timeout_s=self._statement_timeout_s)


class _Worker:
    """One thread with one connection."""

    def __init__(self, make: Callable[[_Bearer], Connection], login: Login, number: int) -> None:
        self._make = make
        self._name = f"warehouse-{number}"
        self._bearer = _Bearer(login)
        self._thread = self._new_thread()
        self._connection: Connection | None = None
        self._cursor: Cursor | None = None

    def _new_thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)

    def submit(self, job: Callable[[_Worker], T]) -> Future[T]:
        return self._thread.submit(job, self)

    def connect(self) -> None:
        self._twice(self._connected)

    def run(self, statement: Statement, what: str) -> Answer:
        return self._twice(lambda: self._execute(statement, what))

    def _twice(self, job: Callable[[], T]) -> T:
        """Once more after what has certainly done nothing and may be mended: a session or a token that has ended."""
        try:
            return job()
        except _SessionOver:
            pass
        except _TokenRefused:
            if not self._bearer.renewed():
                raise
        return job()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._make(self._bearer)
        return self._connection

    def _execute(self, statement: Statement, what: str) -> Answer:
        connection = self._connected()
        with _ours(what, self._bearer, self._drop):
            if self._cursor is None:
                # One for all statements: a closed cursor stays in the memory of its connection for good.
                self._cursor = connection.cursor()
            cursor = self._cursor
            cursor.execute(
                statement.text, parameters=[_parameter(marker) for marker in statement.markers] or None
            )
            names = [column[0] for column in cursor.description or ()]
            found = cursor.fetchall() if names else []
        rows = [{name: _aware(value) for name, value in zip(names, row, strict=True)} for row in found]
        affected = cursor.rowcount
        if affected < 0 and names[:1] == ["num_affected_rows"] and rows:
            affected = int(str(rows[0]["num_affected_rows"]))
        return Answer(rows=[] if affected >= 0 else rows, affected=affected)

    def _drop(self) -> None:
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(*_driver_errors()):
                connection.close()

    def close(self) -> None:
        """From any thread: waits for what the worker does just now. It may be used again."""
        ending, self._thread = self._thread, self._new_thread()
        ending.submit(self._drop).result()
        ending.shutdown(wait=False)


def connect(address: WarehouseAddress, bearer: _Bearer, *, statement_timeout_s: float) -> Connection:
    """Open one connection. FixConfiguration without the extra, AccessDenied, StoreDown."""
    try:
        from databricks import sql
    except ImportError as problem:
        raise FixConfiguration(
            "store.kind is warehouse, and databricks-sql-connector is not installed: install the extra, "
            "`pip install 'ignition-lakebase-bridge[warehouse]'`"
        ) from problem
    for name in ("databricks.sql", "databricks.sql.backend.thrift_backend", "databricks.sql.unsafe"):
        # It logs each failure as an error of its own, whole requests with their values, and a warning of what follows.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    more: dict[str, Any] = {}
    if address.connection_uri:
        more["_connection_uri"] = address.connection_uri
    if address.ca_certificate:
        more["_tls_trusted_ca_file"] = address.ca_certificate
    with _ours("connect", bearer, lambda: None):
        return sql.connect(
            server_hostname=address.host,
            http_path=address.http_path,
            credentials_provider=bearer,
            catalog=address.catalog or None,
            schema=address.schema or None,
            session_configuration={
                # Whatever the workspace's default is: a moment goes out and comes back in UTC.
                "TIMEZONE": "UTC",
                # What cannot be cast is an error, not a null.
                "ANSI_MODE": "true",
                # The warehouse gives up by itself when we have stopped waiting.
                "STATEMENT_TIMEOUT": str(math.ceil(statement_timeout_s)),
            },
            # Its own retries send an INSERT again whose answer was lost, and wait 60 s on a 503 that asks for one.
            # Without them a lost answer is an error, which the agent knows how to take.
            _enable_v3_retries=False,
            _retry_stop_after_attempts_count=1,
            # The default is 15 minutes of silence.
            _socket_timeout=statement_timeout_s + _GRACE_S - 1,
            # Large results would come from object storage, at addresses that no firewall of a plant knows.
            use_cloud_fetch=False,
            # On by default, to the workspace's own port 443 whatever address was given: it stalls the first connect.
            enable_telemetry=False,
            # Each statement is a transaction of its own here; nothing of ours says commit.
            ignore_transactions=True,
            user_agent_entry="ignition-bridge",
            **more,
        )


class _Bearer:
    """Our login as the connector asks for it, once per request."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._last: Mapping[str, str] = {}
        self.problem: BridgeError | None = None

    def auth_type(self) -> str:
        return "bridge"

    def __call__(self) -> Callable[[], dict[str, str]]:
        return self._headers

    def _headers(self) -> dict[str, str]:
        try:
            self._last = self._login.headers(budget_s=_LOGIN_S)
        except BridgeError as problem:
            self.problem = problem  # the connector would make one of its own of it
            raise
        return dict(self._last)

    def renewed(self) -> bool:
        """Whether there is another token than the one refused."""
        return self._login.renew(self._last, budget_s=_LOGIN_S)


def _parameter(marker: Marker) -> DbsqlParameterBase:
    from databricks.sql.parameters import native

    made: Mapping[str, Callable[..., DbsqlParameterBase]] = {
        "STRING": native.StringParameter,
        "INT": native.IntegerParameter,
        "BIGINT": native.BigIntegerParameter,
        "DOUBLE": native.DoubleParameter,
        "BOOLEAN": native.BooleanParameter,
        "TIMESTAMP": native.TimestampParameter,
    }
    if marker.value is None:
        return native.VoidParameter(name=marker.name, value=None)
    return made[marker.type](name=marker.name, value=marker.value)


def _aware(value: object) -> object:
    """Without pyarrow the connector gives moments without their zone, which is the session's: UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


class _SessionOver(StoreDown):
    """The warehouse has forgotten the session; nothing of the statement was done."""


class _TokenRefused(AccessDenied):
    """The workspace refuses the token; nothing of the statement was done."""


def _driver_errors() -> tuple[type[Exception], ...]:
    """Everything that the connector raises, its own and what leaks through it."""
    from databricks.sql import exc
    from thrift.Thrift import TException  # type: ignore[import-untyped]
    from urllib3.exceptions import HTTPError

    return (exc.Error, HTTPError, http.client.HTTPException, TException, OSError)


@contextmanager
def _ours(what: str, bearer: _Bearer, broken: Callable[[], None]) -> Iterator[None]:
    """Turn what the connector raises into our errors; `broken` is told when the connection is not to be used again."""
    bearer.problem = None
    try:
        yield
    except ImportError as problem:
        broken()
        raise FixConfiguration(
            f"{what}: this warehouse wants a protocol that is an extra of databricks-sql-connector's own: {problem}"
        ) from problem
    except _driver_errors() as problem:
        if bearer.problem is not None:
            broken()
            raise bearer.problem from problem
        error = translate(problem, what)
        if not isinstance(error, LostRace | RefusedByRule | SchemaError | FixCode):
            broken()
        raise error from problem


def translate(error: Exception, what: str) -> BridgeError:
    """Turn an error of the connector into ours, split by what the reader can do. `what` names the query or step."""
    context = getattr(error, "context", None) or {}
    message = _first_line(error)
    said = str(error).partition(_SQL_SHOWN)[0]
    # The last one: the words before it may repeat a value, and a value may be anything.
    states = _STATE.findall(said)
    state = states[-1] if states else _CONFLICT if _CONFLICT_BY_NAME.search(said) else ""
    if not state.startswith(("2", "4")) and _SESSION_OVER.search(said):
        return _SessionOver(f"{what}: {message}")
    if state:
        return _by_state(state, f"{what}: {message}")
    code = context.get("http-code")
    if code in (401, 403):
        return _TokenRefused(
            f"{what}: the workspace refuses this token (HTTP {code}); is it right, and may it use this warehouse? "
            f"{message}"
        )
    if code in (400, 404):
        return FixConfiguration(
            f"{what}: there is no such warehouse (HTTP {code}); see its connection details for http_path. {message}"
        )
    return StoreDown(f"{what}: the warehouse does not answer: {message}")


def _by_state(state: str, text: str) -> BridgeError:
    if state == _CONFLICT:
        return LostRace(text)
    if state in ("42P01", "42703", "42704", "3F000", "42602", "42846"):
        return SchemaError(f"{text}; run `ignition-bridge db migrate --target warehouse`")
    if state == "42501" or state.startswith("28"):
        return AccessDenied(text)
    if state.startswith(("22", "23")):
        return RefusedByRule(Refusal(RefusalCode.WRONG_FORM, text))
    if state in ("57014", "57KD0", "HY008", "HYT00"):
        return DeadlineExceeded(text)
    if state == "KP001":
        return FixConfiguration(f"{text}; choose a pro, classic or serverless SQL warehouse")
    if state.startswith(("08", "57", "58", "XX", "53")):
        return StoreDown(text)
    return FixCode(text)


def _first_line(error: Exception) -> str:
    """What an error says, without the stack of the server behind it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:500]
