"""Is every fault of the warehouse seen through the official connector as it would be in life?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from databricks.sql.exc import DatabaseError, Error, RequestError, ServerOperationError
from urllib3.exceptions import HTTPError

from simulator.workspace.warehouse import FaultError, Warehouse

INSERT = "insert into marks (mark) values (:mark)"


@pytest.fixture
def marks(warehouse: Warehouse) -> Callable[[], int]:
    """A table to write to; gives the number of its rows."""
    warehouse.run_sql("create table marks (mark string)")
    return lambda: int(str(warehouse.run_sql("select count(*) from marks").rows[0][0]))


def deliveries(warehouse: Warehouse) -> int:
    return sum(1 for one in warehouse.statements if one.text == INSERT)


@pytest.mark.parametrize(("name", "code"), [("throttled", 429), ("unavailable", 503)])
def test_a_refusal_with_retry_after_is_an_error_without_retries(
    warehouse: Warehouse, connect: Callable[..., Any], marks: Callable[[], int], name: str, code: int
) -> None:
    """Nothing is executed, and the next statement runs."""
    cursor = connect(_enable_v3_retries=False).cursor()
    warehouse.faults.begin(name, seconds=7)
    with pytest.raises(RequestError) as caught:
        cursor.execute(INSERT, {"mark": "a"})

    assert caught.value.context["http-code"] == code
    assert (marks(), deliveries(warehouse)) == (0, 0)
    cursor.execute(INSERT, {"mark": "b"})
    assert marks() == 1


def test_a_refusal_is_retried_after_its_time(
    warehouse: Warehouse, connect: Callable[..., Any], marks: Callable[[], int]
) -> None:
    """With its retries on and the shortest ceiling, the connector waits 5 s once and succeeds."""
    cursor = connect(_retry_stop_after_attempts_count=3, _retry_delay_max=5).cursor()
    warehouse.faults.begin("unavailable", seconds=1)
    started = time.monotonic()
    cursor.execute(INSERT, {"mark": "a"})

    assert time.monotonic() - started > 0.9
    assert (marks(), deliveries(warehouse)) == (1, 1)


def test_as_many_refusals_as_asked_for(warehouse: Warehouse, connect: Callable[..., Any]) -> None:
    cursor = connect(_enable_v3_retries=False).cursor()
    warehouse.faults.begin("unavailable", times=2, seconds=0)
    for _ in range(2):
        with pytest.raises(RequestError):
            cursor.execute("select 1")
    cursor.execute("select 1")

    assert warehouse.faults.active == ()


def test_a_lost_response_leaves_what_it_did(
    warehouse: Warehouse, connect: Callable[..., Any], marks: Callable[[], int]
) -> None:
    """Without retries the client learns nothing, and the row is there."""
    cursor = connect(_enable_v3_retries=False).cursor()
    warehouse.faults.begin("lost_response")
    with pytest.raises((HTTPError, Error)):
        cursor.execute(INSERT, {"mark": "a"})

    assert (marks(), deliveries(warehouse)) == (1, 1)


def test_a_lost_response_makes_the_connector_insert_twice(
    warehouse: Warehouse, connect: Callable[..., Any], marks: Callable[[], int]
) -> None:
    """As the connector comes: it sends the INSERT again and reports success."""
    cursor = connect(_retry_stop_after_attempts_count=3, _retry_delay_max=5).cursor()
    warehouse.faults.begin("lost_response")
    cursor.execute(INSERT, {"mark": "a"})

    assert (marks(), deliveries(warehouse)) == (2, 2)


def test_a_warehouse_that_starts_holds_statements_back(
    warehouse: Warehouse, connect: Callable[..., Any]
) -> None:
    cursor = connect().cursor()
    warehouse.faults.begin("starting", seconds=0.6)
    started = time.monotonic()
    cursor.execute("select 1")

    assert time.monotonic() - started >= 0.6
    assert cursor.fetchall() == [(1,)]


def test_a_start_longer_than_a_direct_answer_is_polled(
    warehouse: Warehouse, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.workspace.warehouse.wire._DIRECT_WAIT_S", 0.05)
    cursor = connect().cursor()
    warehouse.faults.begin("starting", seconds=0.8)
    cursor.execute("select 1 as one")

    assert cursor.fetchall() == [(1,)]


def test_a_statement_for_ever_ends_when_it_is_cancelled(
    warehouse: Warehouse,
    connect: Callable[..., Any],
    marks: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cancelled from another thread, as the connector allows; nothing of it stays."""
    monkeypatch.setattr("simulator.workspace.warehouse.wire._DIRECT_WAIT_S", 0.05)
    cursor = connect().cursor()
    warehouse.faults.begin("statement_forever")
    failed: list[BaseException] = []

    def run() -> None:
        try:
            cursor.execute(INSERT, {"mark": "a"})
        except Error as error:
            failed.append(error)

    running = threading.Thread(target=run)
    running.start()
    deadline = time.monotonic() + 40
    while cursor.active_command_id is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cursor.cancel()
    running.join(20)

    assert not running.is_alive()
    assert failed
    assert "SQLSTATE: HY008" in str(failed[0])
    assert marks() == 0


def test_a_statement_for_ever_ends_at_the_statement_timeout(
    warehouse: Warehouse, connect: Callable[..., Any]
) -> None:
    cursor = connect(session_configuration={"STATEMENT_TIMEOUT": "1"}).cursor()
    warehouse.faults.begin("statement_forever")
    with pytest.raises(ServerOperationError, match=r"^\[STATEMENT_TIMEOUT\]"):
        cursor.execute("select 1")


def test_a_timeout_stops_what_the_database_does(warehouse: Warehouse, connect: Callable[..., Any]) -> None:
    """A statement that computes, not one that stands still."""
    warehouse.run_sql("create table many (n int)")
    warehouse.run_sql("insert into many values (1), (2), (3), (4), (5), (6), (7), (8), (9), (10)")
    cursor = connect(session_configuration={"STATEMENT_TIMEOUT": "1"}).cursor()
    started = time.monotonic()
    joins = " ".join(f"cross join many m{number}" for number in range(11))
    with pytest.raises(ServerOperationError, match=r"^\[STATEMENT_TIMEOUT\]"):
        cursor.execute(f"select sum(many.n) from many {joins}")

    assert time.monotonic() - started < 15


def test_an_expired_session_is_an_error_and_a_new_one_works(
    warehouse: Warehouse, connect: Callable[..., Any], marks: Callable[[], int]
) -> None:
    """The connector does not reconnect by itself."""
    cursor = connect().cursor()
    warehouse.faults.begin("expired_session")
    other = connect().cursor()
    for _ in range(2):
        with pytest.raises(DatabaseError, match="Invalid SessionHandle"):
            cursor.execute(INSERT, {"mark": "a"})

    assert marks() == 0
    other.execute(INSERT, {"mark": "b"})  # a session of somebody else's goes on
    connect().cursor().execute(INSERT, {"mark": "c"})
    assert marks() == 2


def test_an_expired_token_is_403(warehouse: Warehouse, connect: Callable[..., Any]) -> None:
    cursor = connect().cursor()
    warehouse.faults.begin("expired_token")
    with pytest.raises(RequestError, match="expired") as caught:
        cursor.execute("select 1")

    assert caught.value.context["http-code"] == 403


def test_a_page_for_logging_in_is_no_answer(
    warehouse: Warehouse, connect: Callable[..., Any], marks: Callable[[], int]
) -> None:
    """HTML at status 200 instead of Thrift."""
    cursor = connect().cursor()
    warehouse.faults.begin("html")
    with pytest.raises(Error):
        cursor.execute(INSERT, {"mark": "a"})

    assert marks() == 0


def test_a_conflict_on_request(
    warehouse: Warehouse, connect: Callable[..., Any], marks: Callable[[], int]
) -> None:
    """Reading is not disturbed; the next change is, once."""
    cursor = connect().cursor()
    warehouse.faults.begin("conflict")
    cursor.execute("select * from marks")
    with pytest.raises(ServerOperationError, match="SQLSTATE: 2D521"):
        cursor.execute(f"-- what: leave a mark\n{INSERT}", {"mark": "a"})
    cursor.execute(INSERT, {"mark": "a"})

    assert marks() == 1


def test_a_denial_names_the_permission(warehouse: Warehouse, connect: Callable[..., Any]) -> None:
    cursor = connect().cursor()
    warehouse.faults.begin("denied")
    with pytest.raises(ServerOperationError, match="SQLSTATE: 42501"):
        cursor.execute("select 1")


def test_a_fault_that_does_not_exist_is_refused_with_those_that_do(warehouse: Warehouse) -> None:
    with pytest.raises(FaultError, match="lost_response"):
        warehouse.faults.begin("lost_answer")
    with pytest.raises(FaultError, match="times from 1"):
        warehouse.faults.begin("html", times=0)
