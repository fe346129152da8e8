"""Is the warehouse never kinder than Databricks, and does it say why, with the SQLSTATE in the text?"""

from __future__ import annotations

import re
from typing import Any

import pytest
from databricks.sql.exc import DatabaseError

from simulator.workspace.warehouse import Warehouse


@pytest.fixture(scope="module", autouse=True)
def _tables(shared_warehouse: Warehouse) -> None:
    for statement in (
        "create table t (id string not null, n int, short varchar(3), at timestamp, primary key (id))",
        "alter table t add constraint positive check (n >= 0)",
        "create table log (line string) tblproperties ('delta.appendOnly' = 'true')",
        "create view seen as select id from t",
        "insert into t (id, n) values ('a', 1), ('b', 2)",
        "insert into log values ('x')",
    ):
        shared_warehouse.run_sql(statement)


REFUSED = [
    # what other databases have, and Databricks has not
    ("insert into t (id) values ('x') returning id", "42601", "PARSE_SYNTAX_ERROR"),
    ("update t set n = 1 returning id", "42601", "PARSE_SYNTAX_ERROR"),
    ("insert into t (id) values ('x') on conflict do nothing", "42601", "PARSE_SYNTAX_ERROR"),
    ("insert into t (id) values ('x') on conflict (id) do update set n = 1", "42601", "PARSE_SYNTAX_ERROR"),
    ("update t set n = s.n from seen s where t.id = s.id", "42601", "PARSE_SYNTAX_ERROR"),
    ("delete from t using seen where t.id = seen.id", "42601", "PARSE_SYNTAX_ERROR"),
    ("select * from t for update", "42601", "PARSE_SYNTAX_ERROR"),
    ("select * from t for update skip locked", "42601", "PARSE_SYNTAX_ERROR"),
    ("select distinct on (id) n from t", "42601", "PARSE_SYNTAX_ERROR"),
    ("create index i on t (n)", "42601", "PARSE_SYNTAX_ERROR"),
    ("create table q (a int unique)", "42601", "PARSE_SYNTAX_ERROR"),
    ("create table q (a int check (a > 0))", "42601", "PARSE_SYNTAX_ERROR"),
    ("select id ->> 'a' from t", "42601", "PARSE_SYNTAX_ERROR"),
    ("select at at time zone 'UTC' from t", "42601", "PARSE_SYNTAX_ERROR"),
    ("select * from t where id = $1", "42601", "PARSE_SYNTAX_ERROR"),
    ("create table q (a jsonb)", "0A000", "UNSUPPORTED_DATATYPE"),
    ("create table q (a bigserial)", "42601", "PARSE_SYNTAX_ERROR"),
    ("create table q (a uuid)", "0A000", "UNSUPPORTED_DATATYPE"),
    ("select gen_random_uuid()", "42883", "UNRESOLVED_ROUTINE"),
    ("select jsonb_build_object('a', 1)", "42883", "UNRESOLVED_ROUTINE"),
    ("select pg_sleep(1)", "42883", "UNRESOLVED_ROUTINE"),
    ("select to_whole(1)", "42883", "UNRESOLVED_ROUTINE"),
    ("select * from pg_catalog.pg_class", "42P01", "TABLE_OR_VIEW_NOT_FOUND"),
    ("select * from databricks.tables", "42P01", "TABLE_OR_VIEW_NOT_FOUND"),
    # what is no SQL at all
    ("selct 1", "42601", "PARSE_SYNTAX_ERROR"),
    ("select from where", "42601", "PARSE_SYNTAX_ERROR"),
    ("select 'not closed", "42601", "PARSE_SYNTAX_ERROR"),
    ("select 1; select 2", "42601", "PARSE_SYNTAX_ERROR"),
    ("", "42601", "PARSE_SYNTAX_ERROR"),
    # names
    ("select * from nothing", "42P01", "TABLE_OR_VIEW_NOT_FOUND"),
    ("insert into nowhere.at.all values (1)", "42P01", "TABLE_OR_VIEW_NOT_FOUND"),
    ("drop table nothing", "42P01", "TABLE_OR_VIEW_NOT_FOUND"),
    ("select nothing from t", "42703", "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
    ("select x.id from t", "42703", "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
    ("insert into t (nothing) values (1)", "42703", "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
    ("update t set nothing = 1", "42703", "UNRESOLVED_COLUMN.WITH_SUGGESTION"),
    ("select id from t a join t b on a.id = b.id", "42704", "AMBIGUOUS_REFERENCE"),
    ("create table t (a int)", "42P07", "TABLE_OR_VIEW_ALREADY_EXISTS"),
    ("create schema default", "42P06", "SCHEMA_ALREADY_EXISTS"),
    ("use nothing", "42704", "SCHEMA_NOT_FOUND"),
    ("use catalog nothing", "42704", "NO_SUCH_CATALOG_EXCEPTION"),
    ("create table q (a string, foreign key (a) references nothing (a))", "42P01", "TABLE_OR_VIEW_NOT_FOUND"),
    ("create table q (a string, foreign key (a) references log (line))", "42000", "UC_FOREIGN_KEY_NO_PRIMARY_KEY"),
    # values
    ("insert into t (id, n) values ('c', -1)", "23001", "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES"),
    ("insert into t (n) values (1)", "23502", "DELTA_NOT_NULL_CONSTRAINT_VIOLATED"),
    ("update t set id = null", "23502", "DELTA_NOT_NULL_CONSTRAINT_VIOLATED"),
    ("insert into t (id, short) values ('c', 'long')", "22001", "DELTA_EXCEED_CHAR_VARCHAR_LIMIT"),
    ("insert into t (id, n) values ('c', 'seven')", "22018", "CAST_INVALID_INPUT"),
    ("insert into t (id, at) values ('c', 'yesterday-ish')", "22018", "CAST_INVALID_INPUT"),
    ("insert into t (id) values ('c', 1)", "21S01", "INSERT_COLUMN_ARITY_MISMATCH.TOO_MANY_DATA_COLUMNS"),
    ("insert into t select 'c'", "21S01", "INSERT_COLUMN_ARITY_MISMATCH.NOT_ENOUGH_DATA_COLUMNS"),
    ("insert into t (id) select * from t", "21S01", "INSERT_COLUMN_ARITY_MISMATCH.TOO_MANY_DATA_COLUMNS"),
    ("select cast('abc' as int)", "22018", "CAST_INVALID_INPUT"),
    ("select cast('2026-13-01' as date)", "22018", "CAST_INVALID_INPUT"),
    ("select cast(3000000000 as int)", "22003", "ARITHMETIC_OVERFLOW"),
    ("select 1 / 0", "22012", "DIVIDE_BY_ZERO"),
    ("select id, max(n) from t", "42803", "MISSING_AGGREGATION"),
    ("select (select id from t)", "21000", "SCALAR_SUBQUERY_TOO_MANY_ROWS"),
    ("alter table t add constraint positive check (n > 1)", "42710", "DELTA_CONSTRAINT_ALREADY_EXISTS"),
    # what Delta does not let through
    ("update log set line = 'y'", "42809", "DELTA_CANNOT_MODIFY_APPEND_ONLY"),
    ("delete from log", "42809", "DELTA_CANNOT_MODIFY_APPEND_ONLY"),
    ("insert into seen values ('x')", "42809", "EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE"),
    ("update t set n = (select 1)", "0AKDC", "DELTA_UNSUPPORTED_SUBQUERY"),
    ("update t set n = 1 where id in (select id from t where n in (select n from t))", "0A000",
     "DELTA_NESTED_SUBQUERY_NOT_SUPPORTED"),
    ("merge into t using (select 'a' as id union all select 'a') s on t.id = s.id when matched then update set n = 1",
     "21506", "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE"),
    ("begin transaction", "0A000", "TRANSACTION_NOT_SUPPORTED"),
    ("begin atomic insert into t (id) values ('x'); end", "0A000", "TRANSACTION_NOT_SUPPORTED"),
    ("set autocommit = false", "0A000", "TRANSACTION_NOT_SUPPORTED"),
    ("set ansi_mode = false", "0A000", "UNSUPPORTED_FEATURE.SIMULATOR"),
    ("set timezone = 'Mars/Olympus'", "22022", "INVALID_CONF_VALUE.TIME_ZONE"),
    # what the stand-in does not do, and says so
    ("explain select 1", "0A000", "UNSUPPORTED_FEATURE.SIMULATOR"),
    ("select * from t version as of 1", "0A000", "UNSUPPORTED_FEATURE.SIMULATOR"),
    ("select explode(array(1, 2))", "0A000", "UNSUPPORTED_FEATURE.SIMULATOR"),
    ("select * except (n) from t", "0A000", "UNSUPPORTED_FEATURE.SIMULATOR"),
    ("grant select on table t to someone", "0A000", "UNSUPPORTED_FEATURE.SIMULATOR"),
    ("create table q (a array<int>)", "0A000", "UNSUPPORTED_FEATURE.SIMULATOR"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "sqlstate", "condition"), REFUSED, ids=[one[0][:60] for one in REFUSED]
)
def test_it_is_refused_by_name(
    shared_cursor: Any, shared_warehouse: Warehouse, statement: str, sqlstate: str, condition: str
) -> None:
    """The text begins with the condition and holds the SQLSTATE, and nothing of the statement stays."""
    before = shared_warehouse.run_sql("select * from t order by id").rows
    with pytest.raises(DatabaseError) as caught:
        shared_cursor.execute(statement)
    text = str(caught.value)

    assert re.match(rf"\[{re.escape(condition)}\] .*SQLSTATE: {sqlstate}\b", text, re.DOTALL), text
    assert shared_warehouse.run_sql("select * from t order by id").rows == before


@pytest.mark.parametrize(
    ("statement", "parameters", "condition"),
    [
        ("select ?, ?", [1], "UNBOUND_SQL_PARAMETER"),
        ("select :a", {"b": 1}, "UNBOUND_SQL_PARAMETER"),
        ("select ?, :a", {"a": 1}, "INVALID_QUERY_MIXED_QUERY_PARAMETERS"),
        ("select ?", [1, 2], "INVALID_PARAMETER_COUNT"),
    ],
)
def test_parameters_have_to_fit(shared_cursor: Any, statement: str, parameters: Any, condition: str) -> None:
    with pytest.raises(DatabaseError, match=rf"^\[{condition}\]"):
        shared_cursor.execute(statement, parameters)


def test_a_parameter_is_a_value_and_nothing_else(shared_cursor: Any) -> None:
    """Text with quotes, comments and backslashes is text."""
    hostile = "x'; delete from t; -- \\ $1 :a ? /* */ \" `"
    shared_cursor.execute("select :text as it, count(*) as n from t where id <> :text", {"text": hostile})

    assert tuple(shared_cursor.fetchone()) == (hostile, 2)


def test_keys_are_informational(shared_cursor: Any) -> None:
    """A second row with the same key, and a child without a parent, go in."""
    shared_cursor.execute("create table parent (id string primary key)")
    shared_cursor.execute("create table child (id string, p string, foreign key (p) references parent)")
    shared_cursor.execute("insert into parent values ('a'), ('a')")
    shared_cursor.execute("insert into child values ('c', 'no such parent')")
    shared_cursor.execute("select count(*) from parent")

    assert shared_cursor.fetchall() == [(2,)]


def test_a_place_is_shown_for_a_syntax_error(shared_cursor: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        shared_cursor.execute("select 1\nfrom t\nwhere id = 'a' returning id")

    assert "(line 3, pos 15)" in str(caught.value)
    assert "where id = 'a' returning id\n---------------^^^" in str(caught.value)
