"""Does the schema go forward, once, whole, and never behind anybody's back?"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rig import Connection, connect, sql

from bridge.domain.lifecycle import Role
from bridge.errors import BridgeError, RefusedByRule, SchemaError, StoreDown
from bridge.settings import AgentSettings, StoreSettings
from bridge.store.connection import Database
from bridge.store.migrate import FOLDER, migrate, migrations, schema_status
from bridge.store.postgres import PostgresStore
from bridge.store.queries import Queries

NAMES = tuple(migration.name for migration in migrations())


@pytest.fixture
def empty_url(postgres_url: str) -> str:
    """A database in which nothing has been migrated."""
    with connect(postgres_url) as connection:
        row = connection.execute("select 'empty_' || count(*) as name from pg_database").fetchone()
        assert row is not None
        connection.execute(sql(f"create database {row['name']}"))
    return f"{postgres_url.rsplit('/', 1)[0]}/{row['name']}"


async def opened(url: str, *, statement_timeout_s: float = 10.0) -> Database:
    database = Database(
        url, role=None, size=4, connect_timeout_s=5.0, statement_timeout_s=statement_timeout_s
    )
    await database.open()
    return database


@pytest.fixture
async def database(empty_url: str) -> AsyncIterator[Database]:
    made = await opened(empty_url)
    yield made
    await made.close()


def recorded(url: str) -> list[str]:
    with connect(url) as connection:
        rows = connection.execute("select name from bridge_migrations order by number").fetchall()
    return [row["name"] for row in rows]


def write(folder: Path, *files: tuple[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files:
        (folder / name).write_text(text, encoding="utf-8")
    return folder


async def test_everything_runs_once_and_then_nothing(database: Database, empty_url: str) -> None:
    """The first run must apply every file in order, the second none; both are told by status."""
    before = await schema_status(database)
    assert (before.applied, before.waiting, before.edited, before.current) == ((), NAMES, (), False)
    assert await migrate(database) == NAMES
    assert recorded(empty_url) == list(NAMES)
    assert await migrate(database) == ()
    after = await schema_status(database)
    assert (after.applied, after.waiting, after.edited, after.current) == (NAMES, (), (), True)


async def test_an_older_schema_gets_only_what_is_missing(
    database: Database, empty_url: str, tmp_path: Path
) -> None:
    """A database two files behind must run exactly those two."""
    older = tmp_path / "older"
    older.mkdir()
    for file in sorted(FOLDER.glob("*.sql"))[:-2]:
        shutil.copy(file, older)
    assert await migrate(database, older) == NAMES[:-2]
    status = await schema_status(database)
    assert (status.applied, status.waiting) == (NAMES[:-2], NAMES[-2:])
    assert await migrate(database) == NAMES[-2:]


async def test_a_migration_that_fails_leaves_no_trace_and_those_before_it_stay(
    database: Database, empty_url: str, tmp_path: Path
) -> None:
    """Half a file must not remain, nor a record of it; mended, the rest runs."""
    folder = write(
        tmp_path,
        ("0001_first.sql", "create table one (x integer);"),
        ("0002_second.sql", "create table two (x integer);\ninsert into two values (1);\nselect 1 / 0;"),
        ("0003_third.sql", "create table three (x integer);"),
    )
    with pytest.raises(BridgeError):
        await migrate(database, folder)
    with connect(empty_url) as connection:
        row = connection.execute(
            "select to_regclass('one') is not null as one, to_regclass('two') is null as two,"
            " to_regclass('three') is null as three"
        ).fetchone()
    assert row == {"one": True, "two": True, "three": True}
    assert recorded(empty_url) == ["0001_first"]
    write(folder, ("0002_second.sql", "create table two (x integer);"))
    assert await migrate(database, folder) == ("0002_second", "0003_third")


async def test_a_migration_and_its_record_are_one_transaction(
    database: Database, empty_url: str, tmp_path: Path
) -> None:
    """When the record cannot be written, the migration must be undone as well."""
    folder = write(
        tmp_path,
        ("0001_first.sql", "create table one (x integer);"),
        (
            "0002_second.sql",
            "create table two (x integer);\n"
            "insert into bridge_migrations (number, name, digest) values (2, 'somebody else', '');",
        ),
    )
    with pytest.raises(BridgeError):
        await migrate(database, folder)
    with connect(empty_url) as connection:
        row = connection.execute("select to_regclass('two') is null as gone").fetchone()
    assert row == {"gone": True}
    assert recorded(empty_url) == ["0001_first"]


async def test_a_file_edited_after_it_ran_is_refused_by_name(
    database: Database, empty_url: str, tmp_path: Path
) -> None:
    """An edited file must stop everything, also files that wait behind it."""
    folder = write(tmp_path, ("0001_first.sql", "create table one (x integer);"))
    await migrate(database, folder)
    write(
        folder,
        ("0001_first.sql", "create table one (x integer); -- a small change"),
        ("0002_second.sql", "create table two (x integer);"),
    )
    assert (await schema_status(database, folder)).edited == ("0001_first",)
    with pytest.raises(SchemaError, match="0001_first"):
        await migrate(database, folder)
    assert recorded(empty_url) == ["0001_first"]


async def test_a_database_from_a_newer_version_is_refused(database: Database, tmp_path: Path) -> None:
    """A migration that is recorded and has no file here must be told by name."""
    folder = write(tmp_path, ("0001_first.sql", "select 1;"), ("0002_second.sql", "select 1;"))
    await migrate(database, folder)
    (folder / "0002_second.sql").unlink()
    assert (await schema_status(database, folder)).edited == ("0002_second",)
    with pytest.raises(SchemaError, match="0002_second"):
        await migrate(database, folder)


@pytest.mark.parametrize(
    "names",
    [
        ["0001_a.sql", "0003_b.sql"],
        ["0002_a.sql"],
        ["0001_a.sql", "0001_b.sql"],
        ["0001_a.sql", "first.sql"],
    ],
)
def test_numbers_run_without_gaps_and_twins(tmp_path: Path, names: list[str]) -> None:
    """A missing number, a number used twice and a name without a number must be a SchemaError naming the file."""
    write(tmp_path, *((name, "select 1;") for name in names))
    with pytest.raises(SchemaError, match=names[-1]):
        migrations(tmp_path)


async def test_two_migrations_at_once_wait_for_each_other(empty_url: str) -> None:
    """Started together, one must do everything and the other nothing, without an error."""
    one, other = await opened(empty_url), await opened(empty_url)
    try:
        results = await asyncio.gather(migrate(one), migrate(other))
    finally:
        await one.close()
        await other.close()
    assert sorted(results) == [(), NAMES]
    assert recorded(empty_url) == list(NAMES)


async def test_waiting_for_another_migration_is_not_cut_short(empty_url: str, tmp_path: Path) -> None:
    """A migration that waits longer than the statement timeout for its turn must still get it."""
    from bridge.store import migrate as module

    folder = write(tmp_path, ("0001_first.sql", "select 1;"))
    database = await opened(empty_url, statement_timeout_s=0.2)
    try:
        with connect(empty_url) as other:
            other.execute("select pg_advisory_lock(%s)", (module._LOCK,))
            waiting = asyncio.create_task(migrate(database, folder))
            done, _ = await asyncio.wait({waiting}, timeout=0.6)
            assert not done
            other.execute("select pg_advisory_unlock(%s)", (module._LOCK,))
            assert await waiting == ("0001_first",)
        rows = await _timeouts(database)
        assert rows == {"200ms"}  # and the connection goes back to the pool as it was
    finally:
        await database.close()


async def _timeouts(database: Database) -> set[str]:
    found = set()
    async with database.session("look") as one, database.session("look") as two:
        for connection in (one, two):
            cursor = await connection.execute("show statement_timeout")
            row = await cursor.fetchone()
            assert row is not None
            found.add(row["statement_timeout"])
    return found


async def test_a_store_does_not_open_on_another_schema(
    database: Database, empty_url: str, named: Queries
) -> None:
    """Opening the agent's store on an empty database must be a SchemaError that says what to run."""
    agent = Database(empty_url, role=Role.AGENT, size=2, connect_timeout_s=5.0, statement_timeout_s=5.0)
    store = PostgresStore(agent, named, AgentSettings(), StoreSettings())
    with pytest.raises(SchemaError, match="ignition-bridge db migrate"):
        await store.open()
    with pytest.raises(StoreDown):  # and nothing was left open
        await store.due()


async def test_roles_that_exist_already_are_no_obstacle(database: Database, owner: Connection) -> None:
    """Roles belong to the whole server: migrating a second database on it must work."""
    row = owner.execute("select count(*) as count from pg_roles where rolname like 'bridge\\_%'").fetchone()
    assert row is not None
    assert row["count"] >= 3
    assert await migrate(database) == NAMES


async def test_steps_run_together_are_all_or_nothing(
    database_url: str, named: Queries, owner: Connection
) -> None:
    """When a later step fails, what earlier steps wrote must be undone, and the first error is the one told."""
    database = await opened(database_url)
    arm = (named.control.set_armed, {"armed": False, "operator": "anna", "reason": "test"})
    wrong = (named.recommendations.complete, {"recommendation_id": "x", "writes": "no json", "note": "{}"})
    try:
        with pytest.raises(RefusedByRule, match="json"):
            await database.run_together(arm, wrong, arm)
        row = owner.execute("select armed from bridge_control").fetchone()
        assert row == {"armed": True}
        results = await database.run_together(
            arm, (named.control.get_control, {}), (named.audit.read_head, {})
        )
        assert results[0] == [{"armed": False}]
        assert results[1][0]["changed_by"] == "anna"
        assert len(results[2]) == 1
    finally:
        await database.close()


async def test_what_fails_at_the_commit_is_told_and_undone(
    database_url: str, named: Queries, owner: Connection
) -> None:
    """No audit, no change: an entry that cannot be written at commit must fail the whole call, alone or together."""
    owner.execute(
        "alter table agent_audit add constraint broken check (action <> 'control.disarmed') not valid"
    )
    database = await opened(database_url)
    arm = (named.control.set_armed, {"armed": False, "operator": "anna", "reason": "test"})
    try:
        with pytest.raises(BridgeError, match="broken"):
            await database.fetch(arm[0], **arm[1])
        with pytest.raises(BridgeError, match="broken"):
            await database.run_together(arm)
        with pytest.raises(BridgeError, match="broken"):
            await database.run_together((named.control.get_control, {}), arm, (named.control.get_control, {}))
    finally:
        await database.close()
    row = owner.execute("select armed from bridge_control").fetchone()
    assert row == {"armed": True}
