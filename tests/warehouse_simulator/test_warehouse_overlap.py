"""Do statements that overlap end as they do on Delta: one wins, and the other hears of it?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from databricks.sql.exc import ServerOperationError

from simulator.workspace.warehouse import Warehouse

CLAIM = "update queue set owner = :owner, status = 'claimed' where id = :id and status = 'pending'"


@pytest.fixture
def overlapped(warehouse: Warehouse, connect: Callable[..., Any]) -> Callable[..., list[str]]:
    """Runs statements that all take their snapshot before the first of them does its work."""

    def run(*statements: str, before: str = "") -> list[str]:
        here = threading.Barrier(len(statements))
        ended: list[str] = [""] * len(statements)
        warehouse.sessions.hold = lambda: here.wait(20)

        def one(number: int) -> None:
            cursor = connections[number].cursor()
            try:
                cursor.execute(statements[number])
                ended[number] = f"ok {cursor.rowcount}"
            except ServerOperationError as error:
                text = str(error)
                ended[number] = f"{text[text.rfind('SQLSTATE: ') + 10 :][:5]} {text[1 : text.index(']')]}"

        connections = [connect() for _ in statements]
        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(statements))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        warehouse.sessions.hold = None
        return sorted(ended)

    return run


@pytest.fixture
def queue(warehouse: Warehouse) -> None:
    warehouse.run_sql(
        "create table queue (id string not null, owner string, status string, primary key (id))"
    )
    warehouse.run_sql("insert into queue values ('a', null, 'pending'), ('b', null, 'pending')")


def claim(name: str, key: str = "a") -> str:
    return CLAIM.replace(":owner", f"'{name}'").replace(":id", f"'{key}'")


@pytest.mark.usefixtures("queue")
class TestClaims:
    def test_of_two_overlapping_claims_one_wins_and_one_hears_2d521(
        self, warehouse: Warehouse, overlapped: Callable[..., list[str]]
    ) -> None:
        ended = overlapped(claim("first"), claim("second"))

        assert ended == ["2D521 DELTA_CONCURRENT_APPEND.ROW_LEVEL_CHANGES", "ok 1"]
        assert warehouse.run_sql("select count(*) from queue where status = 'claimed'").rows == [(1,)]

    def test_a_claim_that_comes_later_changes_no_row(self, connect: Callable[..., Any]) -> None:
        cursor = connect().cursor()
        cursor.execute(claim("first"))
        assert cursor.rowcount == 1
        cursor.execute(claim("second"))

        assert cursor.rowcount == 0

    def test_claims_of_different_rows_do_not_disturb_each_other(
        self, overlapped: Callable[..., list[str]]
    ) -> None:
        assert overlapped(claim("first", "a"), claim("second", "b")) == ["ok 1", "ok 1"]

    def test_eight_at_once_have_one_winner(self, overlapped: Callable[..., list[str]]) -> None:
        ended = overlapped(*(claim(f"number {number}") for number in range(8)))

        assert ended.count("ok 1") == 1
        assert {one[:5] for one in ended} == {"2D521", "ok 1"}

    def test_a_row_deleted_meanwhile_is_a_conflict(self, overlapped: Callable[..., list[str]]) -> None:
        ended = overlapped("delete from queue where id = 'a'", claim("first"))

        assert ended[1] == "ok 1"
        assert ended[0].startswith("2D521 DELTA_CONCURRENT_")

    def test_the_same_key_merged_at_once_is_inserted_once(
        self, warehouse: Warehouse, overlapped: Callable[..., list[str]]
    ) -> None:
        """Nothing is unique here: the loser must hear of it, or there are two rows."""
        merge = (
            "merge into queue q using (select 'new' as id) s on q.id = s.id "
            "when not matched then insert (id, status) values (s.id, 'pending')"
        )
        assert overlapped(merge, merge) == ["2D521 DELTA_CONCURRENT_APPEND.WHOLE_TABLE_READ", "ok 1"]
        assert warehouse.run_sql("select count(*) from queue where id = 'new'").rows == [(1,)]

    def test_an_insert_that_looked_first_is_no_blind_one(
        self, warehouse: Warehouse, overlapped: Callable[..., list[str]]
    ) -> None:
        insert = "insert into queue (id) select 'new' where not exists (select 1 from queue where id = 'new')"

        assert overlapped(insert, insert) == ["2D521 DELTA_CONCURRENT_APPEND.WHOLE_TABLE_READ", "ok 1"]

    def test_blind_inserts_never_conflict_and_keep_no_key(
        self, warehouse: Warehouse, overlapped: Callable[..., list[str]]
    ) -> None:
        insert = "insert into queue (id) values ('twice')"

        assert overlapped(insert, insert, insert) == ["ok 1"] * 3
        assert warehouse.run_sql("select count(*) from queue where id = 'twice'").rows == [(3,)]

    def test_a_changed_table_fails_whoever_was_writing(
        self, warehouse: Warehouse, connect: Callable[..., Any]
    ) -> None:
        """ALTER between a statement's snapshot and its work."""
        warehouse.sessions.hold = lambda: alter()

        def alter() -> None:
            warehouse.sessions.hold = None
            warehouse.run_sql("alter table queue add columns (extra string)")

        with pytest.raises(ServerOperationError, match=r"^\[DELTA_METADATA_CHANGED\].*SQLSTATE: 2D521"):
            connect().cursor().execute(claim("first"))


@pytest.mark.parametrize(
    ("made", "ended"),
    [
        ("(id int, part int)", ["ok 1", "ok 1"]),
        (
            "(id int, part int) partitioned by (part)",
            ["2D521 DELTA_CONCURRENT_DELETE_READ.WHOLE_TABLE_READ", "ok 1"],
        ),
    ],
)
def test_partitions_cost_the_concurrency_of_rows(
    warehouse: Warehouse, overlapped: Callable[..., list[str]], made: str, ended: list[str]
) -> None:
    """Two rows of one table, changed at once."""
    warehouse.run_sql(f"create table t {made}")
    warehouse.run_sql("insert into t values (1, 1), (2, 2)")

    assert overlapped("update t set part = 5 where id = 1", "update t set part = 5 where id = 2") == ended


def test_an_identity_column_admits_one_writer_at_a_time(
    warehouse: Warehouse, overlapped: Callable[..., list[str]]
) -> None:
    warehouse.run_sql("create table t (id bigint generated by default as identity, n int)")
    insert = "insert into t (n) values (1)"

    assert overlapped(insert, insert) == ["2D521 DELTA_CONCURRENT_APPEND.WHOLE_TABLE_READ", "ok 1"]


def test_a_serializable_table_minds_rows_that_others_merely_add(
    warehouse: Warehouse, connect: Callable[..., Any]
) -> None:
    """The same insert passes on a table as they come, and is refused on a Serializable one."""
    for level, expected in (("WriteSerializable", 2), ("Serializable", 1)):
        warehouse.run_sql(
            f"create or replace table t (id string) tblproperties ('delta.isolationLevel' = '{level}')"
        )

        def other() -> None:
            warehouse.sessions.hold = None
            warehouse.run_sql("insert into t values ('a')")

        warehouse.sessions.hold = other
        cursor = connect().cursor()
        insert = "insert into t select 'a' where not exists (select 1 from t where id = 'a')"
        if level == "Serializable":
            with pytest.raises(ServerOperationError, match="SQLSTATE: 2D521"):
                cursor.execute(insert)
        else:
            cursor.execute(insert)

        assert warehouse.run_sql("select count(*) from t").rows == [(expected,)]


def test_a_slow_statement_sees_what_was_there_when_it_began(
    warehouse: Warehouse, connect: Callable[..., Any]
) -> None:
    warehouse.run_sql("create table t (n int)")
    warehouse.faults.begin("slow_statement", seconds=0.8)
    cursor = connect().cursor()
    seen: list[Any] = []

    def read() -> None:
        cursor.execute("select count(*) from t")
        seen.extend(cursor.fetchall())

    reading = threading.Thread(target=read)
    reading.start()
    while warehouse.faults.active:
        assert reading.is_alive()
    warehouse.run_sql("insert into t values (1)")
    reading.join(20)

    assert seen == [(0,)]
