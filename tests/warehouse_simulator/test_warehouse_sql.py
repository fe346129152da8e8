"""Does Databricks SQL mean here what it means there? Asked through the official connector."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from simulator.workspace.warehouse import Warehouse


def shown(*parts: int) -> datetime:
    """An instant of UTC as the connector gives it without pyarrow: naive."""
    year, month, day, hour, minute, second, microsecond = (*parts, *[0] * (7 - len(parts)))
    return datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001 # naive, as it comes


EXPRESSIONS = [
    # arithmetic: / never cuts, whole numbers stay whole, averages are doubles
    ("7 / 2", 3.5, "double"),
    ("7 div 2", 3, "bigint"),
    ("-7 % 3", -1, "int"),
    ("1.5 + 1", Decimal("2.5"), "decimal"),
    ("round(2.567, 2)", Decimal("2.57"), "decimal"),
    ("round(cast(2.5 as double))", 3.0, "double"),
    ("ceil(cast(1.2 as double))", 2, "bigint"),
    ("try_divide(1, 0)", None, "double"),
    ("2147483648", 2147483648, "bigint"),
    # casts cut and do not round; text is what Databricks writes
    ("cast(1.9 as int)", 1, "int"),
    ("cast(cast(1.9 as double) as int)", 1, "int"),
    ("cast('12' as bigint)", 12, "bigint"),
    ("'7'::int", 7, "int"),
    ("cast(null as decimal(4,1))", None, "decimal"),
    ("try_cast('x' as int)", None, "int"),
    ("cast(cast(2 as double) as string)", "2.0", "string"),
    ("cast(true as string)", "true", "string"),
    ("cast(timestamp '2026-01-02 03:04:05.120' as string)", "2026-01-02 03:04:05.12", "string"),
    ("cast(timestamp '2026-01-02 03:04:05' as bigint)", 1767323045, "bigint"),
    ("string(5)", "5", "string"),
    # text
    ("concat('a', 1, 'b')", "a1b", "string"),
    ("concat('a', null)", None, "string"),
    ("concat('a', n, 'b') from values (cast(null as int)) as v (n)", None, "string"),
    (
        "concat(d, '|', o, '|', t) "
        "from values (cast(2 as double), true, timestamp '2026-01-02 00:00:00') as v (d, o, t)",
        "2.0|true|2026-01-02 00:00:00",
        "string",
    ),
    ("n || 'x' from values (7) as v (n)", "7x", "string"),
    ("approx_count_distinct(n) from values (1), (1), (2) as v (n)", 2, "bigint"),
    ("null is distinct from 1", True, "boolean"),
    ("concat_ws('-', 'a', null, 'b')", "a-b", "string"),
    ("'a' || 'b'", "ab", "string"),
    ("substring('abcdef', 2, 3)", "bcd", "string"),
    ("substr('abcdef', -2)", "ef", "string"),
    ("instr('abc', 'c')", 3, "int"),
    ("startswith('abc', 'ab')", True, "boolean"),
    ("regexp_replace('a1b2', '[0-9]', '')", "ab", "string"),
    ("'abc' rlike '^a.c$'", True, "boolean"),
    ("sha2('a', 256)", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "string"),
    ('"double quotes are text"', "double quotes are text", "string"),
    # choices
    ("coalesce(null, 2)", 2, "int"),
    ("if(1 > 2, 'a', 'b')", "b", "string"),
    ("nvl(null, 'x')", "x", "string"),
    ("null <=> null", True, "boolean"),
    ("case when 1 in (1, 2) then 'in' end", "in", "string"),
    # text is cast to what it is compared with
    ("'5' = 5", True, "boolean"),
    ("cast('2026-01-02' as string) < current_timestamp()", True, "boolean"),
    # times
    (
        "timestampadd(MINUTE, -5, timestamp '2026-01-02 03:04:05')",
        shown(2026, 1, 2, 2, 59, 5),
        "timestamp",
    ),
    ("timestamp '2026-01-02 00:00:00' - interval 1 day", shown(2026, 1, 1), "timestamp"),
    ("timestamp '2026-01-02 00:00:00' + interval '90' second", shown(2026, 1, 2, 0, 1, 30), "timestamp"),
    ("timestampdiff(HOUR, timestamp '2026-01-02 03:00:00', timestamp '2026-01-03 04:59:00')", 25, "bigint"),
    ("datediff('2026-01-05', '2026-01-02')", 3, "int"),
    ("date_add('2026-01-30', 3)", date(2026, 2, 2), "date"),
    ("dateadd(month, 1, timestamp '2026-01-31 00:00:00')", shown(2026, 2, 28), "timestamp"),
    ("date_trunc('HOUR', timestamp '2026-01-02 03:04:05')", shown(2026, 1, 2, 3), "timestamp"),
    ("date_format(timestamp '2026-01-02 03:04:05', \"yyyy-MM-dd'T'HH:mm\")", "2026-01-02T03:04", "string"),
    ("unix_timestamp('2026-01-02 03:04:05')", 1767323045, "bigint"),
    ("unix_micros(timestamp '1970-01-01 00:00:01')", 1_000_000, "bigint"),
    ("timestamp_micros(1500000)", shown(1970, 1, 1, 0, 0, 1, 500_000), "timestamp"),
    ("from_unixtime(0)", "1970-01-01 00:00:00", "string"),
    ("to_timestamp('02.01.2026 03:04', 'dd.MM.yyyy HH:mm')", shown(2026, 1, 2, 3, 4), "timestamp"),
    ("extract(hour from timestamp '2026-01-02 03:04:05')", 3, "int"),
    ("year(date '2026-01-02')", 2026, "int"),
    # JSON
    ('get_json_object(\'{"a": {"b": [1, {"c": "x"}]}}\', \'$.a.b[1].c\')', "x", "string"),
    ("get_json_object('no json', '$.a')", None, "string"),
    ("to_json(named_struct('a', 1, 'b', 'x', 'c', null))", '{"a":1,"b":"x"}', "string"),
    # the session
    ("current_catalog()", "main", "string"),
    ("current_schema()", "default", "string"),
    ("length(uuid())", 36, "int"),
]


@pytest.mark.parametrize(("expression", "value", "kind"), EXPRESSIONS, ids=[one[0] for one in EXPRESSIONS])
def test_an_expression_has_its_value_and_type(
    shared_cursor: Any, expression: str, value: object, kind: str
) -> None:
    shared_cursor.execute(f"select {expression}")

    assert [tuple(row) for row in shared_cursor.fetchall()] == [(value,)]
    assert shared_cursor.description[0][1] == kind


@pytest.fixture(scope="module")
def readings(shared_warehouse: Warehouse) -> None:
    shared_warehouse.run_sql(
        "create table readings (id int not null, Equipment string, temperature float, n bigint, "
        "at timestamp, detail string)"
    )
    shared_warehouse.run_sql(
        "insert into readings values (1, 'R1', 80.5, 1, '2026-01-01 00:00:00', '{\"a\": {\"b\": 5}}'), "
        "(2, 'R1', 90.5, 2, '2026-01-01 01:00:00', null), (3, 'R2', null, 4, '2026-01-01 02:00:00', null)"
    )


QUERIES = [
    ("select equipment, count(*) as N, avg(n), sum(n) from readings group by equipment order by 1",
     [("R1", 2, 1.5, 3), ("R2", 1, 4.0, 4)]),
    ("select id from readings order by temperature", [(3,), (1,), (2,)]),  # NULLs first
    ("select id from readings order by temperature desc", [(2,), (1,), (3,)]),
    ("select id from readings qualify row_number() over (partition by equipment order by at desc) = 1 order by id",
     [(2,), (3,)]),
    ("with hot as (select * from readings where temperature > 85) select hot.id, r.id from hot join readings r "
     "on hot.equipment = r.equipment and r.id <> hot.id", [(2, 1)]),
    ("select r.id from readings r left join readings s on s.id = r.id + 1 where s.id is null", [(3,)]),
    ("select detail:a.b, detail:a.b::int + 1 from readings where id = 1", [("5", 6)]),
    ("select max_by(id, at), min_by(id, at), count_if(n > 1), median(n) from readings", [(3, 1, 2, 2.0)]),
    ("select equipment, max(n) from readings group by all having max(n) > 2", [("R2", 4)]),
    ("select distinct equipment from readings where id in (select id from readings where n < 4)", [("R1",)]),
    ("select count(distinct equipment), count(temperature) from main.default.readings", [(2, 2)]),
    ("select id from readings union all select 9 order by 1 desc limit 2 offset 1", [(3,), (2,)]),
    ("select readings.id, (select max(id) from readings s where s.equipment = readings.equipment) from readings "
     "where id < 3 order by id", [(1, 2), (2, 2)]),
    ("select lag(n) over (order by id) from readings order by id", [(None,), (1,), (2,)]),
    ("select * from values (1, 'a'), (2, 'b') as v (x, y) where x = 2", [(2, "b")]),
    ("select col1 from (values (5))", [(5,)]),
    ("select id from readings r left anti join (select 1 as one) s on r.id = s.one order by id", [(2,), (3,)]),
    ("select id from readings r left semi join (select 1 as one) s on r.id = s.one", [(1,)]),
    ("select id, :n::int from readings where id = :n", [(2, 2)]),
    ("select r.name, r.n from inline(from_json('[{\"name\": \"a\", \"n\": 1.5}, {\"name\": null}]', "
     "'array<struct<name:string,n:double>>')) as r", [("a", 1.5), (None, None)]),
    ("select table_name from information_schema.tables where table_schema = 'default' and table_name = 'readings'",
     [("readings",)]),
]  # fmt: skip


@pytest.mark.usefixtures("readings")
@pytest.mark.parametrize(("statement", "rows"), QUERIES, ids=[one[0][:50] for one in QUERIES])
def test_a_query_gives_its_rows(shared_cursor: Any, statement: str, rows: list[tuple[object, ...]]) -> None:
    shared_cursor.execute(statement, {"n": 2} if ":n" in statement else None)

    assert [tuple(row) for row in shared_cursor.fetchall()] == rows


@pytest.mark.usefixtures("readings")
def test_columns_are_named_as_databricks_names_them(shared_cursor: Any) -> None:
    """Aliases and columns as they are written, expressions by their text, a star as declared."""
    shared_cursor.execute("select *, count(*) over () as Total, max(n) over (), ID from readings")
    names = [one[0] for one in shared_cursor.description]

    assert names[:7] == ["id", "Equipment", "temperature", "n", "at", "detail", "Total"]
    assert names[7].startswith("max(n) OVER")
    assert names[8] == "ID"


def test_every_type_there_and_back(cursor: Any) -> None:
    """Typed as the connector sends it, stored, and read again."""
    cursor.execute(
        "create table every (s string, v varchar(5), i int, b bigint, f float, d double, o boolean, t timestamp, "
        "a date, m decimal(12,3), small smallint)"
    )
    at = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=timezone(timedelta(hours=2)))
    row = ["it's ? :x", "äöü", -5, 2**40, 0.1, 1e-300, True, at, date(2026, 2, 28), Decimal("-12.345"), 7]
    cursor.execute(f"insert into every values ({', '.join('?' * len(row))})", row)
    cursor.execute(f"insert into every values ({', '.join('?' * len(row))})", [None] * len(row))
    cursor.execute("select * from every where s is not null or i is null order by i nulls last")
    full, empty = cursor.fetchall()

    naive = at.astimezone(UTC).replace(tzinfo=None)  # without pyarrow the connector gives no zone
    assert list(full) == [*row[:7], naive, *row[8:]]
    assert list(empty) == [None] * len(row)
    assert [(one[1], one[4], one[5]) for one in cursor.description if one[1] == "decimal"] == [
        ("decimal", 12, 3)
    ]


def test_nulls_are_where_they_belong_in_long_columns(cursor: Any) -> None:
    """Beyond one byte of the bitmap."""
    cursor.execute("create table sparse (n int, s string)")
    cursor.executemany(
        "insert into sparse values (?, ?)", [[n, None if n % 3 else str(n)] for n in range(20)]
    )
    cursor.execute("select n, s from sparse order by n")

    assert [tuple(row) for row in cursor.fetchall()] == [(n, None if n % 3 else str(n)) for n in range(20)]


def test_named_and_positional_parameters(cursor: Any) -> None:
    cursor.execute("select :b as b, :a as a, :b as again", {"a": 1, "b": "x"})
    assert tuple(cursor.fetchone()) == ("x", 1, "x")

    cursor.execute(
        "with q as (select ? as one limit ?) select one, ? as two from q where one > ?", [5, 1, "z", 2]
    )
    assert tuple(cursor.fetchone()) == (5, "z")


def test_an_instant_is_shown_in_the_sessions_zone(warehouse: Warehouse, connect: Any) -> None:
    """TIMESTAMP is an instant: what one zone wrote, another reads at its own hour."""
    berlin = connect(session_configuration={"TIMEZONE": "Europe/Berlin"}).cursor()
    berlin.execute("create table instants (t timestamp)")
    berlin.execute("insert into instants values ('2026-07-01 12:00:00')")
    utc = connect().cursor()
    utc.execute("select t, cast(t as string) from instants")
    assert tuple(utc.fetchone()) == (shown(2026, 7, 1, 10), "2026-07-01 10:00:00")

    utc.execute("set time zone 'Asia/Tokyo'")
    utc.execute("select t from instants where t = '2026-07-01 19:00:00'")
    assert tuple(utc.fetchone()) == (shown(2026, 7, 1, 19),)


def test_changes_count_their_rows(cursor: Any) -> None:
    """In rowcount and in the one row that DML answers."""
    cursor.execute("create table t (id int, name string)")
    counts = []
    for statement in (
        "insert into t values (1, 'a'), (2, 'b'), (3, 'c')",
        "insert into t select id + 10, name from t where id > 1",
        "update t set name = 'x' where id < 3",
        "update t as u set u.name = default where u.id = 3",
        "delete from t where id = 1",
        "delete from t where id = 99",
    ):
        cursor.execute(statement)
        counts.append((cursor.rowcount, cursor.fetchone()["num_affected_rows"]))

    assert counts == [(3, 3), (2, 2), (2, 2), (1, 1), (1, 1), (0, 0)]
    cursor.execute("select * from t")
    assert cursor.rowcount == -1


def test_merge_updates_inserts_and_deletes(cursor: Any) -> None:
    cursor.execute("create table t (id int, n int, name string default 'new')")
    cursor.execute("insert into t values (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')")
    cursor.execute(
        "merge into t using (select * from values (1, 10), (2, 20), (4, 40) as v (id, n)) s on t.id = s.id "
        "when matched and s.n > 15 then delete when matched then update set t.n = s.n, name = concat(t.name, '!') "
        "when not matched then insert (id, n) values (s.id, s.n)"
    )
    assert (cursor.rowcount, cursor.fetchone().asDict()) == (
        3,
        {"num_affected_rows": 3, "num_updated_rows": 1, "num_deleted_rows": 1, "num_inserted_rows": 1},
    )
    cursor.execute(
        "merge into t using (select 4 as id, 41 as n, 'd' as name union all select 5, 50, 'e') as s on t.id = s.id "
        "when matched then update set * when not matched then insert *"
    )
    cursor.execute("select * from t order by id")
    rows = [tuple(row) for row in cursor.fetchall()]

    assert rows == [(1, 10, "a!"), (3, 3, "c"), (4, 41, "d"), (5, 50, "e")]


def test_inserts_cast_to_their_columns(cursor: Any) -> None:
    """Text into numbers and times, doubles into whole numbers, anything into text."""
    cursor.execute("create table t (i int, t timestamp, s string, d decimal(5,1))")
    cursor.execute("insert into t values ('7', '2026-01-02T03:04:05Z', 1.5, '2.25')")
    cursor.execute("insert into t (s, i) select 5, 7.9")
    cursor.execute("select * from t order by s")
    rows = [tuple(row) for row in cursor.fetchall()]

    assert rows == [(7, shown(2026, 1, 2, 3, 4, 5), "1.5", Decimal("2.3")), (7, None, "5", None)]


def test_use_and_three_part_names(cursor: Any) -> None:
    cursor.execute("create catalog if not exists lab")
    cursor.execute("create schema lab.plant")
    cursor.execute("create table lab.plant.t as select 1 as one")
    cursor.execute("use lab.plant")
    cursor.execute("select t.one, current_catalog(), current_schema() from t")
    assert tuple(cursor.fetchone()) == (1, "lab", "plant")

    cursor.execute("use catalog main")
    cursor.execute("show tables in lab.plant like 't*'")
    assert [tuple(row) for row in cursor.fetchall()] == [("plant", "t", False)]
    cursor.execute("drop schema lab.plant cascade")
    cursor.execute("show schemas in lab")
    assert [tuple(row) for row in cursor.fetchall()] == [("default",)]


def test_tables_describe_themselves(cursor: Any) -> None:
    cursor.execute(
        "create table t (id string not null, n decimal(10,2) comment 'how much', constraint key primary key (id)) "
        "using delta cluster by (id) comment 'things' tblproperties ('delta.appendOnly' = 'false')"
    )
    cursor.execute("alter table t add columns (more int comment 'later')")
    cursor.execute("alter table t add constraint positive check (n >= 0)")
    cursor.execute("describe t")
    assert [tuple(row) for row in cursor.fetchall()] == [
        ("id", "string", None),
        ("n", "decimal(10,2)", "how much"),
        ("more", "int", "later"),
    ]
    cursor.execute("describe table extended t")
    told = {row[0]: row[1] for row in cursor.fetchall()}
    assert (told["key"], told["positive"], told["Comment"]) == (
        "PRIMARY KEY (`id`)",
        "CHECK (n >= 0)",
        "things",
    )
    cursor.execute("show tblproperties t")
    assert ("delta.appendOnly", "false") in [tuple(row) for row in cursor.fetchall()]
    cursor.execute("truncate table t")
    cursor.execute("drop table t")
    cursor.execute("drop table if exists t")
    cursor.execute("show tables")
    assert cursor.fetchall() == []


def test_keys_that_the_warehouse_numbers(cursor: Any) -> None:
    """Identity and partitions, as ordinary scripts have them."""
    cursor.execute(
        "create table t (id bigint generated always as identity, day date, n int) using delta partitioned by (day)"
    )
    cursor.execute("insert into t (day, n) values ('2026-01-01', 1), ('2026-01-02', 2)")
    cursor.execute("update t set n = 3 where day = '2026-01-02'")
    cursor.execute("select id, n from t order by id")

    assert [tuple(row) for row in cursor.fetchall()] == [(1, 1), (2, 3)]


def test_views_follow_their_tables(cursor: Any) -> None:
    cursor.execute("create table t (n int)")
    cursor.execute("create or replace view doubled as select n * 2 as twice from t")
    cursor.execute("insert into t values (4)")
    cursor.execute("select twice from doubled")

    assert cursor.fetchall() == [(8,)]
