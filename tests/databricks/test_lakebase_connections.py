"""The store's connections to a database whose passwords do not last: how many are asked for, and what is survived."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg
import pytest
from rig import connect, sql

from bridge.domain.lifecycle import Role
from bridge.errors import AccessDenied, BridgeError, StoreDown, WorkspaceDown
from bridge.ports import DatabaseAccess
from bridge.store.address import Where, parameters
from bridge.store.connection import Database, translate
from bridge.store.queries import Queries

DEADLINE_S = 40.0


@dataclass
class Changing:
    """A login whose password is another one whenever the test says so; the old one then counts no more.

    As with Lakebase, a password counts at login only: connections that stand keep standing.
    """

    url: str
    user: str
    minted: int = 0
    away: bool = False
    asked: list[DatabaseAccess | None] = field(default_factory=list)
    closed: int = 0
    password: str = ""
    wrong: bool = False

    def expire(self) -> None:
        """Nobody gets in any more with what was given out so far."""
        with connect(self.url) as connection:
            connection.execute(sql(f"alter role {self.user} password '{secrets.token_hex(8)}'"))

    async def access(self, *, refused: DatabaseAccess | None = None) -> DatabaseAccess:
        self.asked.append(refused)
        if self.away:
            raise WorkspaceDown("Lakebase: credential: cannot be reached")
        reused = bool(self.password) and (refused is None or refused.password != self.password)
        if not reused:
            self.minted += 1
            self.password = secrets.token_hex(8)
            with connect(self.url) as connection:
                connection.execute(sql(f"alter role {self.user} password '{self.password}'"))
        parts = urlsplit(self.url)
        return DatabaseAccess(
            host=str(parts.hostname),
            port=parts.port or 0,
            database=parts.path.strip("/"),
            user=self.user,
            password="wrong" if self.wrong else self.password,
            encrypted=False,
            reused=reused,
        )

    def close(self) -> None:
        self.closed += 1

    def physical(self) -> int:
        """Connections of this login that stand now."""
        with connect(self.url) as connection:
            row = connection.execute(
                "select count(*) as n from pg_stat_activity where usename = %s", (self.user,)
            ).fetchone()
        assert row is not None
        return int(row["n"])

    def drop_all(self) -> int:
        """What an idle limit, a suspension or a failover does: every connection of this login ends."""
        with connect(self.url) as connection:
            rows = connection.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s",
                (self.user,),
            ).fetchall()
        return len(rows)


@pytest.fixture
def login(database_url: str) -> Iterator[Changing]:
    user = f"svc_{secrets.token_hex(4)}"
    with connect(database_url) as connection:
        connection.execute(sql(f"create role {user} login in role bridge_agent"))
    yield Changing(database_url, user)
    with connect(database_url) as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s", (user,)
        )
        connection.execute(sql(f"drop role {user}"))


def made(where: Where, *, size: int = 4, connect_timeout_s: float = 5.0) -> Database:
    return Database(
        where, role=Role.AGENT, size=size, connect_timeout_s=connect_timeout_s, statement_timeout_s=10.0
    )


@pytest.fixture
async def database(login: Changing) -> AsyncIterator[Database]:
    database = made(login)
    await database.open()
    yield database
    await database.close()


async def many(database: Database, named: Queries, number: int = 40) -> None:
    await asyncio.gather(*(database.fetch(named.conditions.list_active) for _ in range(number)))


async def works_again(database: Database, named: Queries) -> None:
    """Within a deadline: the pool itself waits a while between its attempts."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(StoreDown):
                return await many(database, named, 1)
            await asyncio.sleep(0.05)


async def test_access_is_asked_for_once_for_each_physical_connection(
    database: Database, login: Changing, named: Queries
) -> None:
    """Not for each use: forty queries over at most four connections, and one more that looked at the start."""
    await many(database, named)
    assert 1 <= login.physical() <= 4
    assert len(login.asked) <= 5
    assert login.minted == 1
    asked = len(login.asked)
    await many(database, named)
    assert len(login.asked) <= max(asked, 5)


async def test_a_connection_outlives_its_password(
    database: Database, login: Changing, named: Queries
) -> None:
    await many(database, named, 1)
    asked = len(login.asked)
    login.expire()
    await many(database, named, 1)
    assert len(login.asked) == asked


async def test_a_password_that_expired_is_asked_for_anew_and_nobody_notices(
    database: Database, login: Changing, named: Queries
) -> None:
    """Exactly one more, for the connection that was refused."""
    await many(database, named)
    login.expire()
    assert login.drop_all() >= 1
    await many(database, named)
    assert login.minted == 2


async def test_a_fresh_password_that_is_refused_is_not_tried_again(login: Changing) -> None:
    """It would lock the account, and mends nothing."""
    login.wrong = True
    with pytest.raises(AccessDenied, match="refuses this login"):
        await made(login).open()
    assert login.asked == [None]
    assert login.closed == 1


async def test_connections_that_ended_while_idle_are_replaced_unseen(
    database: Database, login: Changing, named: Queries
) -> None:
    """An idle limit or a suspension closes them; the next query must not be the one that finds out."""
    for _ in range(3):
        await many(database, named)
        assert login.drop_all() >= 1
    await many(database, named)


async def test_a_quiet_connection_is_given_out_without_a_question(
    database: Database, login: Changing, named: Queries
) -> None:
    """Looking whether it still stands costs no round trip."""
    database_size_one = made(login, size=1)
    await database_size_one.open()
    try:
        await database_size_one.fetch(named.conditions.list_active)
        with connect(login.url) as connection:
            seen = "select query, query_start from pg_stat_activity where usename = %s and query like %s"
            before = connection.execute(seen, (login.user, "%equipment_conditions%")).fetchall()
            async with database_size_one.session("look"):
                after = connection.execute(seen, (login.user, "%equipment_conditions%")).fetchall()
        assert before
        assert before == after
    finally:
        await database_size_one.close()


async def test_a_listener_that_was_dropped_says_so_and_stands_again(
    database: Database, login: Changing, named: Queries
) -> None:
    """After a suspension LISTEN is gone; whoever listens connects again, with a password that counts."""
    hints = database.notifications("bridge", wait_s=60.0)
    assert await asyncio.wait_for(anext(hints), DEADLINE_S) is None
    login.expire()
    login.drop_all()
    with pytest.raises(StoreDown):
        await asyncio.wait_for(anext(hints), DEADLINE_S)
    hints = database.notifications("bridge", wait_s=60.0)
    assert await asyncio.wait_for(anext(hints), DEADLINE_S) is None
    with connect(login.url) as connection:
        connection.execute("select pg_notify('bridge', 'hello')")
    assert await asyncio.wait_for(anext(hints), DEADLINE_S) == "hello"
    await hints.aclose()  # type: ignore[attr-defined]


async def test_a_database_that_is_full_says_so_and_is_tried_again(login: Changing, named: Queries) -> None:
    with connect(login.url) as connection:
        connection.execute(sql(f"alter role {login.user} connection limit 0"))
    database = made(login, connect_timeout_s=3.0)
    with pytest.raises(
        StoreDown, match=r"no connection left for us .*too many connections.* store\.pool_size"
    ):
        await database.open()
    with connect(login.url) as connection:
        connection.execute(sql(f"alter role {login.user} connection limit -1"))
    await database.open()
    try:
        await many(database, named, 1)
        with connect(login.url) as connection:
            connection.execute(sql(f"alter role {login.user} connection limit 0"))
        login.drop_all()
        with pytest.raises(
            StoreDown, match=r"no connection to the database within 3 s: .*no connection left"
        ):
            await many(database, named, 1)
        with connect(login.url) as connection:
            connection.execute(sql(f"alter role {login.user} connection limit -1"))
        await works_again(database, named)
    finally:
        await database.close()


async def test_a_workspace_that_is_away_is_a_database_that_is_away(login: Changing, named: Queries) -> None:
    """So whoever waits for the database waits for it as well; connections that stand keep working."""
    login.away = True
    database = made(login, connect_timeout_s=3.0)
    with pytest.raises(StoreDown, match="connect: Lakebase: credential: cannot be reached"):
        await database.open()
    login.away = False
    await database.open()
    try:
        await many(database, named, 1)
        login.away = True
        await many(database, named, 1)
        login.drop_all()
        with pytest.raises(StoreDown, match="within 3 s: connect: Lakebase: credential: cannot be reached"):
            await many(database, named, 1)
        login.away = False
        await works_again(database, named)
    finally:
        await database.close()


async def test_closing_the_database_closes_its_login(login: Changing) -> None:
    database = made(login)
    await database.open()
    await database.close()
    assert login.closed == 1
    assert login.physical() == 0


def access(**changes: object) -> DatabaseAccess:
    given: dict[str, object] = {
        "host": "db.example.net",
        "port": 5432,
        "database": "d",
        "user": "u",
        "password": "p",
    }
    return DatabaseAccess(**{**given, **changes})  # type: ignore[arg-type]


def test_a_connection_that_leaves_this_machine_is_encrypted() -> None:
    assert parameters(access())["sslmode"] == "require"
    verified = parameters(access(ca_certificate="/x/ca.pem"))
    assert (verified["sslmode"], verified["sslrootcert"]) == ("verify-full", "/x/ca.pem")
    assert "sslmode" not in parameters(access(encrypted=False))


async def test_a_server_that_cannot_encrypt_is_refused(login: Changing) -> None:
    """The test server has no TLS: a Lakebase that offers none would get the password in the clear."""

    class Encrypted(Changing):
        async def access(self, *, refused: DatabaseAccess | None = None) -> DatabaseAccess:
            given = await super().access(refused=refused)
            return access(
                host=given.host,
                port=given.port,
                user=given.user,
                database=given.database,
                password=given.password,
            )

    with pytest.raises(StoreDown, match="does not support SSL"):
        await made(Encrypted(login.url, login.user)).open()


@pytest.mark.parametrize(
    "words",
    [
        'connection failed: FATAL:  too many connections for role "x"',
        "connection failed: FATAL:  sorry, too many clients already",
        "connection failed: FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
    ],
)
def test_every_way_of_being_full_is_known(words: str) -> None:
    found: BridgeError = translate(psycopg.OperationalError(words), "connect")
    assert isinstance(found, StoreDown)
    assert "no connection left" in str(found)
