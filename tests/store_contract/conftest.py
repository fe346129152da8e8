"""One suite over every store: the same questions to PostgreSQL and to Delta behind a SQL warehouse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest
from rig import sql
from worlds import OnPostgres, OnWarehouse, World

from bridge.plant import Plant
from bridge.store.queries import Queries
from bridge.store.warehouse_opening import delta_queries
from simulator.workspace import warehouse as simulated


@pytest.fixture(scope="module", autouse=True)
def quick_connector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The official connector reads all authorities of this machine for each connection, over plain HTTP too."""
    nobody = tmp_path_factory.mktemp("trust") / "nobody.pem"
    nobody.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(nobody))
        yield


@pytest.fixture(scope="session")
def delta() -> Queries:
    """All named queries as Databricks SQL."""
    return delta_queries()


@pytest.fixture(scope="session")
def warehouse_template(postgres_url: str, delta: Queries, plant: Plant) -> str:
    """Name of a database that holds a simulated warehouse with the tables and the example plant's limits."""
    name = "warehouse_template"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql(f"create database {name}"))
    with simulated.serve(database_url=f"{postgres_url.rsplit('/', 1)[0]}/{name}") as server:
        asyncio.run(_prepare(server, delta, plant))
    return name


async def _prepare(server: simulated.Warehouse, delta: Queries, plant: Plant) -> None:
    world = OnWarehouse(server, delta)
    await world.prepare(plant)
    await world.close()


@pytest.fixture
async def on_warehouse(
    warehouse_template: str,
    fresh_database: Callable[..., str],
    drop_database: Callable[[str], None],
    delta: Queries,
) -> AsyncIterator[OnWarehouse]:
    """A simulated SQL warehouse of its own, with tables and published limits."""
    url = fresh_database(warehouse_template)
    with simulated.serve(database_url=url) as server:
        world = OnWarehouse(server, delta)
        yield world
        server.faults.clear_all()
        await world.close()
    drop_database(url)


@pytest.fixture
async def on_postgres(database_url: str, named: Queries) -> AsyncIterator[OnPostgres]:
    """A fresh migrated database with published limits."""
    world = OnPostgres(database_url, named)
    yield world
    await world.close()


@pytest.fixture(params=["postgres", "warehouse"])
def world(request: pytest.FixtureRequest) -> World:
    """The store under test."""
    found: World = request.getfixturevalue(f"on_{request.param}")
    return found
