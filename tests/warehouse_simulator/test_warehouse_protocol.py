"""Paging, metadata, asynchronous statements, and calls that are no calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from databricks.sql.exc import DatabaseError, Error

from simulator.workspace.warehouse import Refused, Typed, Warehouse

_HEADERS = {"Authorization": "Bearer x", "Content-Type": "application/x-thrift"}


def test_a_long_result_comes_in_pages(warehouse: Warehouse, connect: Callable[..., Any]) -> None:
    """More rows than a page: fetched by and by, each once, in order."""
    warehouse.run_sql("create table digits (d int)")
    warehouse.run_sql(f"insert into digits values {', '.join(f'({n})' for n in range(10))}")
    cursor = connect().cursor(arraysize=7)
    cursor.execute("select a.d * 10 + b.d as n from digits a, digits b order by 1")

    assert [row[0] for row in cursor.fetchmany(10)] == list(range(10))
    assert [row[0] for row in cursor.fetchall()] == list(range(10, 100))


def test_a_result_of_no_rows_has_its_columns(cursor: Any) -> None:
    cursor.execute("select 1 as one, 'x' as two where false")

    assert [one[0] for one in cursor.description] == ["one", "two"]
    assert cursor.fetchall() == []


def test_a_statement_may_be_asked_about_later(warehouse: Warehouse, connect: Callable[..., Any]) -> None:
    """execute_async gives a handle; the result is fetched when it is there."""
    cursor = connect().cursor()
    go_on = threading.Event()
    warehouse.sessions.hold = lambda: go_on.wait(60)
    cursor.execute_async("select 42 as answer")
    assert cursor.is_query_pending()
    go_on.set()
    deadline = time.monotonic() + 30
    while cursor.is_query_pending():
        assert time.monotonic() < deadline
    cursor.get_async_execution_result()

    assert cursor.fetchall() == [(42,)]


def test_an_asynchronous_failure_is_told_when_asked(connect: Callable[..., Any]) -> None:
    cursor = connect().cursor()
    cursor.execute_async("select 1 / 0")
    with pytest.raises(DatabaseError, match="SQLSTATE: 22012"):
        cursor.get_async_execution_result()


def test_metadata_of_catalogs_schemas_tables_and_columns(warehouse: Warehouse, cursor: Any) -> None:
    warehouse.run_sql("create schema plant")
    warehouse.run_sql("create table plant.tank (id string not null, level decimal(6,2) comment 'm')")
    warehouse.run_sql("create view plant.tanks as select * from plant.tank")

    assert [row["TABLE_CAT"] for row in cursor.catalogs().fetchall()] == ["main"]
    assert [tuple(row) for row in cursor.schemas(schema_name="pl%").fetchall()] == [("plant", "main")]
    rows = cursor.tables(schema_name="plant").fetchall()
    assert [(row["TABLE_NAME"], row["TABLE_TYPE"]) for row in rows] == [("tank", "TABLE"), ("tanks", "VIEW")]
    assert len(cursor.tables(schema_name="plant", table_types=["VIEW"]).fetchall()) == 1
    rows = cursor.columns(table_name="tank").fetchall()
    assert [(row["COLUMN_NAME"], row["TYPE_NAME"], row["IS_NULLABLE"]) for row in rows] == [
        ("id", "STRING", "NO"),
        ("level", "DECIMAL(6,2)", "YES"),
    ]


def test_a_session_begins_where_it_asked_to(warehouse: Warehouse, connect: Callable[..., Any]) -> None:
    warehouse.run_sql("create schema plant")
    cursor = connect(catalog="main", schema="plant").cursor()
    cursor.execute("select current_schema()")
    assert cursor.fetchall() == [("plant",)]

    with pytest.raises(Error, match=r"\[SCHEMA_NOT_FOUND\]"):
        connect(schema="nowhere")


def test_sessions_do_not_share_what_they_set(connect: Callable[..., Any], warehouse: Warehouse) -> None:
    warehouse.run_sql("create schema other")
    one, two = connect().cursor(), connect().cursor()
    one.execute("use other")
    two.execute("select current_schema()")

    assert two.fetchall() == [("default",)]


def test_statements_are_listed_with_their_outcome(warehouse: Warehouse, cursor: Any) -> None:
    cursor.execute("select 1")
    with pytest.raises(DatabaseError):
        cursor.execute("select * from nothing")

    assert [(one.text, one.outcome) for one in warehouse.statements] == [
        ("select 1", "ok"),
        ("select * from nothing", "42P01"),
    ]


def test_without_the_wire_it_is_the_same_engine(warehouse: Warehouse) -> None:
    """Rows as Python values and as text, parameters by name or place, errors with their SQLSTATE."""
    result = warehouse.run_sql(
        "select :n + 1 as n, :t as t, 2.50 as d, true as b", {"n": 1, "t": Typed("7", "BIGINT")}
    )
    assert [column.text for column in result.columns] == ["INT", "BIGINT", "DECIMAL(3,2)", "BOOLEAN"]
    assert result.as_text() == [["2", "7", "2.50", "true"]]
    assert result.affected is None
    with pytest.raises(Refused) as caught:
        warehouse.run_sql("select * from nothing")

    assert caught.value.sqlstate == "42P01"


def test_what_is_no_thrift_is_answered_with_400(warehouse: Warehouse) -> None:
    answer = requests.post(warehouse.http_uri, data=b"hello", headers=_HEADERS, timeout=10)
    assert (answer.status_code, answer.text) == (400, "the body is no Thrift call in the binary protocol")

    cut = b"\x80\x01\x00\x01\x00\x00\x00\x0bOpenSession\x00\x00"
    assert requests.post(warehouse.http_uri, data=cut, headers=_HEADERS, timeout=10).status_code == 400


def test_another_warehouse_is_not_here(warehouse: Warehouse) -> None:
    elsewhere = warehouse.http_uri.replace("simulated", "elsewhere")
    answer = requests.post(elsewhere, data=b"x", headers=_HEADERS, timeout=10)

    assert (answer.status_code, warehouse.http_path in answer.text) == (404, True)
    assert requests.get(warehouse.http_uri, timeout=10).status_code == 405
    assert requests.post(warehouse.http_uri, data=b"x", timeout=10).status_code == 401
