"""One warehouse a test, each with a database of its own on the session's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
from databricks import sql

from simulator.workspace.warehouse import Warehouse, serve

_number = count(1)

Connect = Callable[..., Any]


def _database(server: str) -> Iterator[str]:
    name = f"warehouse_{next(_number)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name} template template0")
        yield f"{server.rsplit('/', 1)[0]}/{name}"
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """An empty database that goes with the test."""
    yield from _database(postgres_url)


@pytest.fixture(scope="module")
def shared_warehouse(postgres_url: str) -> Iterator[Warehouse]:
    """One for all tests of a module that do not disturb each other."""
    with contextmanager(_database)(postgres_url) as url, serve(database_url=url) as running:
        yield running


@pytest.fixture(scope="module")
def shared_cursor(shared_warehouse: Warehouse) -> Iterator[Any]:
    with sql.connect(
        "127.0.0.1",
        shared_warehouse.http_path,
        "a-token",
        _connection_uri=shared_warehouse.http_uri,
        enable_telemetry=False,
        use_cloud_fetch=False,
    ) as connection:
        yield connection.cursor()


@pytest.fixture
def warehouse(database_url: str) -> Iterator[Warehouse]:
    with serve(database_url=database_url, tls_port=0) as running:
        yield running


@pytest.fixture
def connect(warehouse: Warehouse) -> Iterator[Connect]:
    """The official connector, over plain HTTP; without retries unless a test asks for them."""
    opened = []

    def connected(**options: Any) -> Any:
        settings: dict[str, Any] = {
            "_connection_uri": warehouse.http_uri,
            "enable_telemetry": False,
            "use_cloud_fetch": False,
            "_retry_stop_after_attempts_count": 1,
            "_socket_timeout": 20,
        }
        connection = sql.connect("127.0.0.1", warehouse.http_path, "a-token", **settings | options)
        opened.append(connection)
        return connection

    yield connected
    warehouse.faults.clear_all()
    for connection in opened:
        connection.close()


@pytest.fixture
def cursor(connect: Connect) -> Any:
    return connect().cursor()
