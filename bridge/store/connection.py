"""PostgreSQL on the wire: the one module that knows psycopg. Its errors stop here and become ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, cast

import psycopg
from psycopg import errors as pg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from bridge.domain.lifecycle import Role
from bridge.domain.limits import Refusal, RefusalCode
from bridge.errors import (
    AccessDenied,
    BridgeError,
    DeadlineExceeded,
    FixCode,
    FixConfiguration,
    IllegalTransition,
    LostRace,
    RefusedByRule,
    SchemaError,
    StoreDown,
    TryAgain,
)
from bridge.store.address import Where, parameters
from bridge.store.connect_words import may_have_expired, operational
from bridge.store.queries import Query

Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Row]
Step = tuple[Query, Mapping[str, object]]

_GRACE_S = 2.0  # how much longer than the server's own time limit an answer may take to arrive

REFUSED = "BR001"  # SQLSTATE of every refusal by the schema's triggers

# A wire that swallows packets is noticed within 8 s: three unanswered probes, and no unacknowledged
# data older than tcp_user_timeout.
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8000,
}


def translate(error: psycopg.Error, what: str) -> BridgeError:
    """Turn a driver error into ours, split by what the reader can do. `what` names the query or step."""
    state = error.sqlstate or ""
    message = (error.diag.message_primary or str(error)).strip()
    if state == REFUSED:
        code = error.diag.message_detail or ""
        if code == RefusalCode.ILLEGAL_TRANSITION:
            return IllegalTransition(message)
        reason = message.removeprefix(f"{code}: ")
        known = RefusalCode(code) if code in RefusalCode.__members__.values() else RefusalCode.WRONG_FORM
        return RefusedByRule(Refusal(known, reason))
    if state == "22023" and 'role "bridge_' in message:
        return SchemaError(f"{what}: {message}; run `ignition-bridge db migrate`")
    if state == "42501" and "to set role" in message:
        return AccessDenied(f"{what}: {message}; let the owner of the database grant that role to this login")
    if state == "42501":
        hint = f"; {error.diag.message_hint}" if error.diag.message_hint else ""
        return AccessDenied(f"{what}: {message}{hint}")
    if state in ("42P01", "42703", "42883", "3F000"):
        return SchemaError(f"{what}: {message}; run `ignition-bridge db migrate`")
    if state.startswith("28") or state == "3D000":
        return AccessDenied(f"{what}: the database refuses this login: {message}")
    if isinstance(error, pg.UniqueViolation | pg.DuplicateObject):
        return LostRace(f"{what}: {message} ({error.diag.constraint_name})")
    if isinstance(error, pg.QueryCanceled):
        return DeadlineExceeded(f"{what}: the database did not answer in time")
    if isinstance(error, pg.IntegrityError | pg.DataError):
        detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
        return RefusedByRule(Refusal(RefusalCode.WRONG_FORM, f"{what}: {message}{detail}"))
    unreadable = isinstance(error, psycopg.ProgrammingError) or "for connection option" in message
    if what == "connect" and not state and unreadable:
        # The driver's own words repeat the connection string, password included.
        return FixConfiguration(
            f"{what}: the database URL cannot be read; wanted postgresql://user:password@host:port/database "
            "(characters such as @ : / in a password as %40 %3A %2F)"
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return operational(what, state, message)
    return FixCode(f"{what}: {message} (SQLSTATE {state or 'none'})")


async def connect(
    where: Where,
    *,
    role: Role | None,
    statement_timeout_s: float,
    connect_timeout_s: float,
    purpose: str,
    schema: str = "",
) -> Connection:
    """Open one connection in autocommit, acting as `role` (None: as the login itself)."""
    try:
        connection = await _dial(
            where,
            psycopg.AsyncConnection[Row].connect,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=max(1, round(connect_timeout_s)),
            application_name=f"ignition-bridge {purpose}",
            **_KEEPALIVE,
        )
    except psycopg.Error as error:
        raise translate(error, "connect") from error
    try:
        await _prepare(connection, role, statement_timeout_s, schema)
    except psycopg.Error as error:
        await connection.close()
        raise translate(error, "connect") from error
    except BaseException:  # cancelled: nobody else knows of it yet
        await connection.close()
        raise
    return connection


_Open = Callable[..., Awaitable[Connection]]


async def _dial(where: Where, open_one: _Open, **options: object) -> Connection:
    """One physical connection. A password that served before and is refused now is asked for anew, once."""
    if isinstance(where, str):
        return await open_one(where, **options)
    try:
        access = await where.access()
        try:
            return await open_one(**parameters(access), **options)
        except psycopg.OperationalError as error:
            if not (access.reused and may_have_expired(translate(error, "connect"))):
                raise
        fresh = await where.access(refused=access)
    except TryAgain as problem:
        raise StoreDown(f"connect: {problem}") from problem
    return await open_one(**parameters(fresh), **options)


async def _prepare(
    connection: Connection, role: Role | None, statement_timeout_s: float, schema: str
) -> None:
    # Our statements are few, short and known: prepared at first use and planned once. Planning anew each
    # time costs more than running them.
    connection.prepare_threshold = 0
    await connection.execute(
        "select set_config('timezone', 'UTC', false), set_config('statement_timeout', %s, false),"
        " set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false)",
        (f"{statement_timeout_s * 1000:.0f}",),
    )
    if schema:
        await connection.execute("select set_config('search_path', quote_ident(%s), false)", (schema,))
    if role is not None:
        await connection.execute("select set_config('role', %s, false)", (role.value,))


class Database:
    """A pool of connections that all act as one role.

    Every method raises StoreDown when the database does not answer, AccessDenied for logins and grants,
    SchemaError when it is not migrated, RefusedByRule when a rule of the schema said no.
    """

    def __init__(
        self,
        where: Where,
        *,
        role: Role | None,
        size: int,
        connect_timeout_s: float,
        statement_timeout_s: float,
        schema: str = "",
    ) -> None:
        """schema: where the tables are; empty means wherever this login's own search path leads."""
        self.schema = schema
        self._where = where
        self._role = role
        self._connect_timeout_s = connect_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._answer_s = statement_timeout_s + _GRACE_S
        self._size = size
        self._trouble: BridgeError | None = None
        self._pool = self._new_pool()

    def _new_pool(self) -> AsyncConnectionPool[Connection]:
        async def configure(connection: Connection) -> None:
            await _prepare(connection, self._role, self._statement_timeout_s, self.schema)

        return AsyncConnectionPool(
            connection_class=self._connection_class(),
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "connect_timeout": max(1, round(self._connect_timeout_s)),
                "application_name": "ignition-bridge",
                **_KEEPALIVE,
            },
            configure=configure,
            min_size=1,
            max_size=self._size,
            timeout=self._connect_timeout_s,
            reconnect_timeout=2.0,
            max_idle=600.0,
            open=False,
        )

    def _connection_class(self) -> type[Connection]:
        """What the pool makes its connections with: it asks where and as whom at each of them."""
        database = self

        class Dialled(psycopg.AsyncConnection[Row]):
            @classmethod
            async def connect(cls, conninfo: str = "", **options: Any) -> Self:
                try:
                    made = await _dial(database._where, super().connect, **options)
                except (psycopg.Error, BridgeError) as error:
                    trouble = translate(error, "connect") if isinstance(error, psycopg.Error) else error
                    database._trouble = trouble
                    raise
                database._trouble = None
                return cast(Self, made)

        return Dialled

    async def open(self) -> None:
        """Connect once so that a wrong URL or password is told at start, then fill the pool.

        After an error nothing stays open.
        """
        try:
            probe = await connect(
                self._where,
                role=self._role,
                statement_timeout_s=self._statement_timeout_s,
                connect_timeout_s=self._connect_timeout_s,
                purpose="start",
                schema=self.schema,
            )
        except BaseException:
            self._let_go()
            raise
        await probe.close()
        await self._pool.open()

    async def close(self) -> None:
        """Give all connections back; `open` may be called again."""
        closing, self._pool = self._pool, self._new_pool()
        await closing.close(timeout=2.0)
        self._let_go()

    def _let_go(self) -> None:
        if not isinstance(self._where, str):
            self._where.close()

    @asynccontextmanager
    async def session(self, what: str) -> AsyncIterator[Connection]:
        """A connection of the pool, for several statements; driver errors come out as ours."""
        try:
            async with self._standing() as connection:
                yield connection
        except (PoolTimeout, PoolClosed) as error:  # psycopg counts them among its own errors
            why = f": {self._trouble}" if self._trouble is not None else ""
            raise StoreDown(
                f"{what}: no connection to the database within {self._connect_timeout_s:g} s{why}"
            ) from error
        except psycopg.Error as error:
            raise translate(error, what) from error

    @asynccontextmanager
    async def _standing(self) -> AsyncIterator[Connection]:
        """A connection that was not closed while it lay idle.

        The pool's own `check` waits a second and more after each one that it finds closed; a database that was
        suspended has closed them all.
        """
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + self._connect_timeout_s
        while True:
            async with self._pool.connection(timeout=max(0.0, ends_s - loop.time())) as connection:
                if await _stands(connection):
                    yield connection
                    return
                await connection.close()  # the pool replaces what comes back closed

    @asynccontextmanager
    async def _asked(self, what: str) -> AsyncIterator[Connection]:
        """A connection of the pool that is cut when the answer does not come.

        The others came over the same wire: they are replaced too, for with each of them in turn the same
        silence would have to be waited for.

        A cancellation that comes with the answer is lost in the driver's `asyncio.wait_for` (CPython before 3.12,
        issue 86296), and is said again here: a task group that ends its members tells each of them only once.
        """
        async with self.session(what) as connection:
            told = _cancellations()
            silent = False

            def cut() -> None:
                nonlocal silent
                silent = True
                _cut(connection)

            try:
                async with answered(self._answer_s, cut):
                    yield connection
            finally:
                if silent:
                    await self._pool.drain()
            if _cancellations() > told:
                raise asyncio.CancelledError

    async def fetch(self, query: Query, **values: object) -> list[Row]:
        """Run one named query and return its rows (empty when it returns none)."""
        async with self._asked(query.full_name) as connection:
            return await run(connection, query, **values)

    async def run_together(self, *steps: Step) -> list[list[Row]]:
        """Run several named queries in one transaction and one round trip; the rows of each, in order.

        All or nothing. BEGIN and COMMIT travel in the same pipeline; without a COMMIT of its own, a refusal
        that comes only then, from a deferred trigger, would reach nobody.
        """
        async with self._asked(steps[0][0].full_name) as connection:
            async with connection.pipeline():
                await connection.execute("begin")
                cursors = [await connection.execute(_statement(query), values) for query, values in steps]
                await connection.execute("commit")
            # Only now have the results arrived: inside the pipeline a cursor does not know yet whether its
            # statement returns rows.
            return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]

    async def copy(self, query: Query, block: str, *, only_if: Step | None = None) -> bool:
        """Feed a COPY … FROM STDIN with rows in text format.

        With `only_if`, both are one transaction, and nothing is copied unless that step returns a row; the
        answer says whether it did. What it changed is undone when the rows are refused.
        """
        async with self._asked(query.full_name) as connection:
            if only_if is None:
                await _feed(connection, query, block)
                return True
            condition, values = only_if
            async with connection.pipeline():
                # The turn is taken before any row is sent: who comes second waits here for the first.
                await connection.execute("begin")
                cursor = await connection.execute(_statement(condition), values)
            if await cursor.fetchone() is None:
                await connection.execute("rollback")
                return False
            await _feed(connection, query, block)
            await connection.execute("commit")
            return True

    async def create_login(self, name: str, password: str, role: Role) -> None:
        """Make a login that is a member of one party and nothing else, as an owner who may create roles.

        LostRace when a role of this name exists, AccessDenied when this login may not create roles.
        """
        statement = psycopg.sql.SQL("create role {} login password {} in role {}").format(
            psycopg.sql.Identifier(name), psycopg.sql.Literal(password), psycopg.sql.Identifier(role.value)
        )
        try:
            async with self.session(f"create login {name}") as connection:
                await connection.execute(statement)
        except FixCode as problem:
            # Its message could repeat the statement, password included.
            raise FixCode(f"create login {name}: the database refused") from problem

    async def notifications(self, channel: str, *, wait_s: float) -> AsyncIterator[str | None]:
        """Payloads as they come on a connection of its own, and None each time `wait_s` passed in silence.

        The connection cannot be shared: a query inside its own notification generator hangs. Raises
        StoreDown when it is lost; the caller connects again and polls meanwhile.
        """
        connection = await connect(
            self._where,
            role=self._role,
            statement_timeout_s=self._statement_timeout_s,
            connect_timeout_s=self._connect_timeout_s,
            purpose="listener",
            schema=self.schema,
        )
        try:
            await connection.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(channel)))
            yield None  # listening now: whatever was announced before has to be polled for once
            while True:
                quiet = True
                async for note in connection.notifies(timeout=wait_s, stop_after=1):
                    quiet = False
                    yield note.payload
                if quiet:
                    # A round trip now and then, because a dead wire looks exactly like silence.
                    async with answered(self._connect_timeout_s, lambda: _cut(connection)):
                        await connection.execute("select 1")
                    yield None
        except psycopg.Error as error:
            raise translate(error, "listen") from error
        finally:
            await connection.close()


async def _stands(connection: Connection) -> bool:
    """Whether the server still holds its end of a connection that lay idle.

    On a quiet wire that costs no round trip: nothing waits to be read, so nothing has happened. Otherwise it is asked.
    """
    try:
        wire = select.poll()
        wire.register(connection.fileno(), select.POLLIN)
        if wire.poll(0):
            await connection.execute("")
    except psycopg.Error:
        return False
    return True


@asynccontextmanager
async def answered(limit_s: float, cut: Callable[[], None]) -> AsyncIterator[None]:
    """Cut the wire when the database has not answered within the limit.

    The server's own time limit does not help when the wire swallows packets. Cancelling would ask the
    server to cancel, over the same wire; a socket that is shut down fails at once, as StoreDown.
    """
    loop = asyncio.get_running_loop()
    alarm = loop.call_later(limit_s, cut)
    try:
        yield
    finally:
        alarm.cancel()


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _cut(connection: Connection) -> None:
    if not connection.closed:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)


async def _feed(connection: Connection, query: Query, block: str) -> None:
    async with connection.cursor() as cursor, cursor.copy(_statement(query)) as copy:
        await copy.write(block)


async def run(connection: Connection, query: Query, **values: object) -> list[Row]:
    """Run one named query on a given connection."""
    cursor = await connection.execute(_statement(query), values)
    return await cursor.fetchall() if cursor.description else []


async def create_schema(connection: Connection, name: str) -> None:
    """Make a schema that belongs to this login."""
    await connection.execute(psycopg.sql.SQL("create schema {}").format(psycopg.sql.Identifier(name)))


def _statement(query: Query) -> str:
    """The text comes from a checked file of ours, never from input."""
    return query.statement
