"""What a stranger's script may do in other words: does each of them run as it would in life, or say why not?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from databricks import sql
from databricks.sql.exc import DatabaseError, InterfaceError, NotSupportedError, ServerOperationError

from simulator.workspace.warehouse import Warehouse

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_with_the_connectors_own_defaults(warehouse: Warehouse) -> None:
    """No option but the address: retries, telemetry, cloud fetch and Arrow as they come; managers close both."""
    with (
        sql.connect(
            server_hostname="127.0.0.1",
            http_path=warehouse.http_path,
            access_token="a-token",
            _connection_uri=warehouse.http_uri,
            enable_telemetry=False,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS `Tanks` (`Id` INT PRIMARY KEY, Name VARCHAR(20) DEFAULT 'none')"
        )
        cursor.execute("create table if not exists TANKS (id int)")
        cursor.execute("INSERT INTO tanks (ID) VALUES (1), (2), (3);")
        assert cursor.rowcount == 3
        cursor.executemany("insert into main.default.tanks values (?, ?)", [(4, "four"), (5, None)])
        cursor.execute("SELECT id, `NAME` FROM `main`.`default`.`tanks` ORDER BY ID")
        assert [column[:2] for column in cursor.description or ()] == [("id", "int"), ("NAME", "string")]
        assert cursor.fetchone() == (1, "none")
        assert cursor.fetchmany(2) == [(2, "none"), (3, "none")]
        assert [row.asDict() for row in cursor] == [{"id": 4, "NAME": "four"}, {"id": 5, "NAME": None}]
        assert cursor.fetchone() is None
        assert cursor.execute("select count(*) from tanks").fetchone()[0] == 5
        connection.commit()  # does nothing, as by default in life
        with pytest.raises(NotSupportedError):
            connection.rollback()
        cursor.execute("DROP TABLE IF EXISTS tanks")
        cursor.execute("DROP TABLE IF EXISTS tanks")
        assert cursor.execute("SHOW TABLES").fetchall() == []
    with pytest.raises(InterfaceError):
        connection.cursor()


def test_every_kind_of_value_comes_back(cursor: Any) -> None:
    """None, both kinds of moments, a day, exact and floating numbers, and text that looks like a marker."""
    cursor.execute(
        "create table kinds (n int, b bigint, f float, x decimal(10,2), ok boolean, d date, t timestamp, s string)"
    )
    text = "a?b :c %(d)s ' \" \\ ü 漢\n"
    later = datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    given: list[list[Any]] = [
        [1, 2**40, 1.5, Decimal("1.10"), True, date(2026, 3, 1), NOON, text],
        [-1, -(2**40), 0.0, Decimal("-0.01"), False, date(1970, 1, 1), later, ""],
        [None] * 8,
        [7, 7, 7, 7, None, None, datetime(2026, 3, 1, 12, 0), "naive"],  # noqa: DTZ001 # what scripts do
    ]
    for row in given:
        cursor.execute("insert into kinds values (?, ?, ?, ?, ?, ?, ?, ?)", row)
    found = [tuple(row) for row in cursor.execute("select * from kinds").fetchall()]
    bare = NOON.replace(tzinfo=None)  # without pyarrow the connector leaves the zone out
    expected = [
        (*given[0][:6], bare, text),
        (*given[1][:6], bare, ""),
        (None,) * 8,
        (7, 7, 7.0, Decimal("7.00"), None, None, bare, "naive"),
    ]
    assert sorted(found, key=repr) == sorted(expected, key=repr)


@pytest.mark.parametrize("value", [[1, 2], (1, 2), b"abc", {"a": 1}])
def test_a_value_that_is_not_taken_is_no_null(shared_cursor: Any, value: object) -> None:
    """Lists, bytes and maps travel in a form of their own: refused by name, never silently empty."""
    with pytest.raises(ServerOperationError, match=r"data type (ARRAY|MAP)"):
        shared_cursor.execute("select ?", [value])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('create table "tank" (id int)', '"tank"'),
        ('create table tank ("id" int)', '"id"'),
        ('create table tank (id int, primary key ("id"))', '"id"'),
        ('insert into tank ("id") values (1)', '"id"'),
        ('update tank set "id" = 1', '"id"'),
        ('select 1 as "one"', '"one"'),
        ('select "t"."a" from t', '"a"'),
        ("select 1 as 'one'", "'one'"),
    ],
)
def test_a_name_is_quoted_by_backticks_only(shared_cursor: Any, text: str, word: str) -> None:
    """In double quotes stands a string, also where PostgreSQL would have a name."""
    with pytest.raises(ServerOperationError, match=f"at or near '{word}'.* SQLSTATE: 42601"):
        shared_cursor.execute(text)


def test_double_quotes_make_a_string(shared_cursor: Any) -> None:
    shared_cursor.execute('select "it" as word, "a" = \'a\' as same, `x` from (select "y" as x) -- "no name"')
    assert tuple(shared_cursor.fetchone()) == ("it", True, "y")


def test_a_comment_is_no_part_of_a_name(shared_cursor: Any) -> None:
    shared_cursor.execute("select 1 /* the first */, count(*) -- all\nfrom (select 1)")
    assert [column[0] for column in shared_cursor.description] == ["1", "count(1)"]


def test_a_setting_that_does_not_exist_is_refused_by_name(
    shared_cursor: Any, connect: Callable[..., Any]
) -> None:
    """A misspelt timeout that does nothing would be found out at the worst moment."""
    with pytest.raises(ServerOperationError, match=r"STATEMENT_TIMEOUTS is not available.*42K0I"):
        shared_cursor.execute("set STATEMENT_TIMEOUTS = 5")
    with pytest.raises(DatabaseError, match=r"There is STATEMENT_TIMEOUT\."):
        connect(session_configuration={"STATEMENT_TIMEOUT_S": "5"})
    assert connect(session_configuration={"use_cached_result": "false"}).open


def test_the_zone_is_set_by_either_name(connect: Callable[..., Any]) -> None:
    cursor = connect(session_configuration={"spark.sql.session.timeZone": "Asia/Tokyo"}).cursor()
    assert cursor.execute("select current_timezone()").fetchone()[0] == "Asia/Tokyo"
    cursor.execute("set spark.sql.session.timeZone = Europe/Berlin")
    assert cursor.execute("select current_timezone()").fetchone()[0] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "values", "state"),
    [
        ("selec 1", None, "42601"),
        ("select 1; select 2", None, "42601"),
        ("select * from nowhere", None, "42P01"),
        ("select nothing from (select 1 as a)", None, "42703"),
        ("select cast('abc' as int)", None, "22018"),
        ("select 1 / 0", None, "22012"),
        ("select ?, ?", [1], "42P02"),
        ("select ?", [1, 2], "42605"),
        ("select :a", {"b": 1}, "42P02"),
        ("begin transaction", None, "0A000"),
    ],
)
def test_a_wrong_statement_is_the_connectors_own_error(
    shared_cursor: Any, text: str, values: Any, state: str
) -> None:
    """ServerOperationError with the SQLSTATE in its text; and the next statement runs."""
    with pytest.raises(ServerOperationError, match=f"SQLSTATE: {state}"):
        shared_cursor.execute(text, values)
    assert shared_cursor.execute("select 1").fetchall() == [(1,)]
