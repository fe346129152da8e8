"""Fixtures that many tests share: one real PostgreSQL a session, one fresh migrated database a test."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
from forks import Forked, Forks
from rig import Connection, Hands, OpenStore, connect, sql

from bridge import settings as configuration
from bridge.domain.lifecycle import Role
from bridge.plant import Plant
from bridge.settings import AgentSettings, StoreSettings
from bridge.store import embedded, queries
from bridge.store.connection import Database
from bridge.store.desk import Desk, publish_limits
from bridge.store.migrate import migrate
from bridge.store.postgres import PostgresStore
from simulator.gateway.process import GatewayProcess
from simulator.process import PlantProcess

EXAMPLE = Path(__file__).parent.parent / "bridge.example.toml"
TEMPLATE = "bridge_template"
_number = count(1)


def _wipe_environment() -> None:
    for name in [name for name in os.environ if name.startswith(("BRIDGE_", "DATABRICKS_"))]:
        del os.environ[name]


if "PYTEST_XDIST_WORKER" in os.environ:
    gc.disable()  # until all is collected: a third of that was looking for garbage among what stays
_wipe_environment()  # at import already: some modules are read before any fixture runs


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> None:
    """No BRIDGE_ or DATABRICKS_ variable of whoever runs the tests reaches them."""
    _wipe_environment()


@pytest.fixture(scope="session", autouse=True)
def forked_simulators() -> Iterator[None]:
    """Plants and gateways are forked: their processes are real, their imports and standard nodes paid once."""
    with contextlib.ExitStack() as stack:

        @cache
        def forks() -> Forks:  # where no test wants any, there are none
            return stack.enter_context(
                contextlib.closing(Forks(Path(__file__).with_name("simulator_fork.py")))
            )

        def launch(*arguments: str, stderr: int) -> Forked:
            return forks().start(*arguments, stderr=stderr)

        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for process in (PlantProcess, GatewayProcess):
            patch.setattr(process, "launch", staticmethod(launch))
        yield


@pytest.fixture(scope="session")
def database_folder() -> Iterator[Path]:
    """Where this session's servers keep their data: in memory where there is room, as nothing has to last.

    Not below pytest's own folder: another session's start takes the server's account the right to enter it.
    """
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    with tempfile.TemporaryDirectory(prefix="bridge-tests-", dir=memory if roomy else None) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL refuses to run as root, so it may run under another account
        yield folder


@pytest.fixture(scope="session")
def postgres_url(database_folder: Path) -> Iterator[str]:
    """A maintenance URL of a real server of this session, with a migrated template database."""
    with embedded.serve(database_folder / "shared") as served:
        server = served.rsplit("/", 1)[0]
        maintenance = f"{server}/postgres"
        with psycopg.connect(maintenance, autocommit=True) as connection:
            # Whether a test's database survives a power cut is not under test.
            connection.execute("alter system set fsync = off")
            # A vacuum at the wrong moment holds a transaction open and keeps later rows back, as it should.
            connection.execute("alter system set autovacuum = off")
            # A login with the usual 4096 rounds costs more than what most connections of a test then ask.
            connection.execute("set scram_iterations = 1")
            password = unquote(urlsplit(served).password or "")
            connection.execute(sql(f"alter role {embedded.OWNER} password '{password}'"))
            connection.execute("select pg_reload_conf()")
            connection.execute(sql(f"create database {TEMPLATE}"))
        asyncio.run(_migrate(f"{server}/{TEMPLATE}"))
        yield maintenance


async def _migrate(url: str) -> None:
    database = owner_database(url)
    await database.open()
    try:
        await migrate(database)
    finally:
        await database.close()


def owner_database(url: str) -> Database:
    """The bridge's own pool, acting as the owner."""
    return Database(url, role=None, size=4, connect_timeout_s=5.0, statement_timeout_s=10.0)


@pytest.fixture(scope="session")
def plant() -> Plant:
    """The plant of bridge.example.toml."""
    return Plant.of(configuration.load(EXAMPLE))


@pytest.fixture(scope="session")
def named() -> queries.Queries:
    """All named queries."""
    return queries.load()


@pytest.fixture(scope="session")
def fresh_database(postgres_url: str) -> Callable[..., str]:
    """Makes migrated databases; each call gives the owner's URL of another one."""

    def make(template: str = TEMPLATE) -> str:
        name = f"test_{next(_number)}"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(sql(f"create database {name} template {template} strategy file_copy"))
        return f"{postgres_url.rsplit('/', 1)[0]}/{name}"

    return make


@pytest.fixture(scope="session")
def drop_database(postgres_url: str) -> Callable[[str], None]:
    """Removes a database that `fresh_database` made, whoever is still connected."""

    def drop(url: str) -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(sql(f"drop database {url.rsplit('/', 1)[1]} with (force)"))

    return drop


@pytest.fixture(scope="session")
def published_template(
    fresh_database: Callable[..., str], plant: Plant, named: queries.Queries, postgres_url: str
) -> str:
    """Name of a template database that has the example plant's limits on its allow-list."""
    url = fresh_database()
    asyncio.run(_publish(url, plant, named))
    return url.rsplit("/", 1)[1]


async def _publish(url: str, plant: Plant, named: queries.Queries) -> None:
    database = owner_database(url)
    await database.open()
    try:
        await publish_limits(database, named, plant.writable)
    finally:
        await database.close()


@pytest.fixture
def database_url(
    fresh_database: Callable[..., str], published_template: str, drop_database: Callable[[str], None]
) -> Iterator[str]:
    """The owner's URL of a fresh migrated database with the example plant's limits published."""
    url = fresh_database(published_template)
    yield url
    drop_database(url)


@pytest.fixture
def owner(database_url: str) -> Iterator[Connection]:
    """A raw connection as the owner."""
    with connect(database_url) as connection:
        yield connection


@pytest.fixture
def as_role(database_url: str) -> Iterator[Callable[[str], Connection]]:
    """Opens raw connections that have taken on a role."""
    opened: list[Connection] = []

    def open_as(role: str) -> Connection:
        opened.append(connect(database_url, role))
        return opened[-1]

    yield open_as
    for connection in opened:
        connection.close()


@pytest.fixture
def hands(database_url: str) -> Iterator[Hands]:
    """Agent, operator and owner with raw SQL, and the legal paths into every state."""
    made = Hands(database_url)
    yield made
    made.close()


@pytest.fixture
async def open_store(database_url: str, named: queries.Queries) -> AsyncIterator[OpenStore]:
    """Opens stores as the agent; keyword arguments go to AgentSettings."""
    opened: list[PostgresStore] = []

    async def make(**agent: object) -> PostgresStore:
        database = Database(
            database_url, role=Role.AGENT, size=4, connect_timeout_s=5.0, statement_timeout_s=10.0
        )
        store = PostgresStore(
            database, named, AgentSettings.model_validate(agent), StoreSettings.model_validate({})
        )
        opened.append(store)
        await store.open()
        return store

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> PostgresStore:
    """The agent's store, with the example plant's limits published."""
    return await open_store()


@pytest.fixture
async def desk(database_url: str, named: queries.Queries) -> AsyncIterator[Desk]:
    """The operator's desk on the same database."""
    database = Database(
        database_url, role=Role.OPERATOR, size=4, connect_timeout_s=5.0, statement_timeout_s=10.0
    )
    await database.open()
    yield Desk(database, named)
    await database.close()


@pytest.fixture
def make_pending(hands: Hands) -> Callable[..., str]:
    """Makes a pending recommendation; see `Hands.propose`."""
    return hands.propose


@pytest.fixture
def make_approved(hands: Hands) -> Callable[..., str]:
    """Makes a recommendation that anna approved; see `Hands.propose`."""

    def make(**proposal: object) -> str:
        made = hands.propose(**proposal)  # type: ignore[arg-type]
        hands.approve(made)
        return made

    return make


HEAVY = (
    "tests/cli/test_demo",
    "tests/store_contract/test_route.py",
    "tests/cli/test_cli_warehouse.py",
    "tests/benchmarks/",
    "tests/hmi/",
    "tests/simulator/",
    "tests/crash/",
    "tests/gateway/",
    "tests/links/",
    "tests/publish/",
)
"""Files whose tests start many processes, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two light files after each heavy one; within a file nothing changes its place.

    Workers take files in this order: heavy ones begun last would run alone at the end, and all of them at the
    same time would keep one another waiting.
    """
    files = dict.fromkeys(item.nodeid.split("::")[0] for item in items)
    heavy = sorted((n, file) for file in files for n, start in enumerate(HEAVY) if file.startswith(start))
    first = [file for _, file in heavy]
    rest = [file for file in files if file not in first]
    order = []
    while first or rest:
        order += [*first[:1], *rest[:2]]
        first, rest = first[1:], rest[2:]
    place = {file: n for n, file in enumerate(order)}
    items.sort(key=lambda item: place[item.nodeid.split("::")[0]])


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking for garbage among it takes seconds of a core each time."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A test that was skipped did not show anything: the run fails, and pytest's summary says which it was."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
