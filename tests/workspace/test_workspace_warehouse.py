"""Is the warehouse part of the workspace: the same port, the same tokens, the same tables by REST and by Genie?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databricks import sql
from databricks.sql.exc import Error
from workspace_client import Client, document, oauth_token, refused, until

from simulator.workspace.process import ControlRefused, WorkspaceProcess

SPACE = "01ef00000000000000000000000000aa"
SCRIPT: dict[str, Any] = {
    "genie": [
        {
            "space_id": SPACE,
            "title": "Delta",
            "runs_on": "warehouse",
            "answers": [
                {"question": "all", "queries": [{"sql": "select name, price from things order by name"}]}
            ],
        }
    ]
}
Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def delta(fresh_database: Callable[..., str]) -> Iterator[WorkspaceProcess]:
    """A workspace with a warehouse that holds one table."""
    with WorkspaceProcess.start("--database", fresh_database()) as started:
        started.script(SCRIPT)
        client = Client(started, started.token)
        for text in (
            "create table things (name string, price decimal(8,2))",
            "insert into things values ('bolt', 1.50), ('nut', 0.75)",
        ):
            found = document(client.post("/api/2.0/sql/statements", statement(text)))
            assert found["status"]["state"] == "SUCCEEDED", found
        client.session.close()
        yield started


@pytest.fixture
def person(delta: WorkspaceProcess) -> Iterator[Client]:
    delta.reset()
    client = Client(delta, delta.token)
    yield client
    client.session.close()


@pytest.fixture
def connect(person: Client) -> Iterator[Connect]:
    """The official connector, at the workspace's own address."""
    opened: list[Any] = []

    def open_one(token: str = "") -> Any:
        warehouse = person.workspace.ready["warehouse"]
        opened.append(
            sql.connect(
                server_hostname="127.0.0.1",
                http_path=warehouse["http_path"],
                access_token=token or person.workspace.token,
                _connection_uri=warehouse["http_uri"],
                enable_telemetry=False,
                _retry_delay_max=5,
                _retry_delay_min=0.1,
                _retry_stop_after_attempts_count=2,
            )
        )
        return opened[-1]

    yield open_one
    person.workspace.clear()
    for connection in opened:
        connection.close()


def statement(text: str, **fields: object) -> dict[str, Any]:
    return {"statement": text, "warehouse_id": "simulated", **fields}


def rows(connection: Any, text: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return [tuple(row) for row in cursor.fetchall()]


def test_the_connector_comes_in_at_the_workspaces_port(connect: Connect, person: Client) -> None:
    assert person.workspace.ready["warehouse"]["http_uri"].startswith(person.workspace.host)
    assert rows(connect(), "select name from things order by name") == [("bolt",), ("nut",)]


def test_rest_and_thrift_see_the_same_rows(connect: Connect, person: Client) -> None:
    with connect().cursor() as cursor:
        cursor.execute("insert into things values ('washer', 0.10)")
        assert cursor.rowcount == 1
    found = person.made("/api/2.0/sql/statements", statement("select * from things where name = 'washer'"))
    assert found["result"]["data_array"] == [["washer", "0.10"]]
    types = [column["type_text"] for column in found["manifest"]["schema"]["columns"]]
    assert types == ["STRING", "DECIMAL(8,2)"]
    person.made("/api/2.0/sql/statements", statement("delete from things where name = 'washer'"))
    assert len(rows(connect(), "select * from things")) == 2


def test_parameters_by_rest(person: Client) -> None:
    found = person.made(
        "/api/2.0/sql/statements",
        statement(
            "select name from things where price > :price",
            parameters=[{"name": "price", "value": "1.00", "type": "DECIMAL(8,2)"}],
        ),
    )
    assert found["result"]["data_array"] == [["bolt"]]


def test_a_wrong_statement_by_rest_has_its_sqlstate(person: Client) -> None:
    found = person.made("/api/2.0/sql/statements", statement("select * from nowhere"))
    assert (found["status"]["state"], found["status"]["sql_state"]) == ("FAILED", "42P01")
    assert "TABLE_OR_VIEW_NOT_FOUND" in found["status"]["error"]["message"]


def test_genie_asks_the_warehouse(person: Client) -> None:
    base = f"/api/2.0/genie/spaces/{SPACE}"
    made = person.made(f"{base}/start-conversation", {"content": "all of them"})
    path = f"{base}/conversations/{made['conversation_id']}/messages/{made['message_id']}"

    def done() -> dict[str, Any] | None:
        message = person.found(path)
        return message if message["status"] in ("COMPLETED", "FAILED") else None

    (attachment,) = until(done, "an answer")["attachments"]
    found = person.found(f"{path}/attachments/{attachment['attachment_id']}/query-result")[
        "statement_response"
    ]
    assert found["result"]["data_array"] == [["bolt", "1.50"], ["nut", "0.75"]]


def test_an_oauth_token_opens_it_until_it_expires(connect: Connect, person: Client) -> None:
    token = oauth_token(person)
    connection = connect(token)
    assert rows(connection, "select 1") == [(1,)]
    person.workspace.fault("expired_token")
    with pytest.raises(Error):
        rows(connection, "select 1")
    with pytest.raises(Error):
        connect(token)


def test_who_has_no_right_to_sql_is_not_let_in(connect: Connect, person: Client) -> None:
    with pytest.raises(Error):
        connect(person.workspace.ready["stranger_token"])


def test_statement_for_ever_runs_over_thrift_until_cancelled(connect: Connect, person: Client) -> None:
    """Asynchronously: while it waits, the connector lets nobody else through its connection for long."""
    connection = connect()
    person.workspace.fault("statement_for_ever")
    with connection.cursor() as cursor:
        cursor.execute_async("select 1")
        began_s = time.monotonic()
        while time.monotonic() - began_s < 1.0:
            assert cursor.is_query_pending()
        cursor.cancel()
        until(lambda: None if cursor.is_query_pending() else True, "its end")
        assert cursor.get_query_state().name == "CANCELLED"


def test_the_doors_own_faults_go_by_their_own_names(connect: Connect, person: Client) -> None:
    connection = connect()
    person.workspace.fault("thrift =conflict")
    with connection.cursor() as cursor:
        with pytest.raises(Error, match="2D521"):
            cursor.execute("update things set price = price where name = 'nut'")
        cursor.execute("update things set price = price where name = 'nut'")
        assert cursor.rowcount == 1
    with pytest.raises(ControlRefused, match="expired_session"):
        person.workspace.fault("thrift =nonsense")


def test_a_lost_response_of_the_workspace_was_carried_out(connect: Connect, person: Client) -> None:
    """The connector sends the statement once more and says that all went well: the row is there twice."""
    connection = connect()
    person.workspace.fault("lost_response POST:/sql/1.0/warehouses/*")
    with connection.cursor() as cursor:
        cursor.execute("insert into things values ('twice', 1.00)")
    assert rows(connection, "select count(*) from things where name = 'twice'") == [(2,)]
    rows(connection, "delete from things where name = 'twice'")


def test_a_starting_warehouse_keeps_the_connector_waiting(connect: Connect, person: Client) -> None:
    connection = connect()
    person.workspace.fault("warehouse_starting 1s")
    began_s = time.monotonic()
    assert rows(connection, "select 1") == [(1,)]
    assert time.monotonic() - began_s >= 0.9


def test_a_stopped_warehouse_refuses_the_connector(connect: Connect, person: Client) -> None:
    connection = connect()
    person.workspace.fault("warehouse_stopped")
    with pytest.raises(Error):
        rows(connection, "select 1")
    refused(person.post("/api/2.0/sql/statements", statement("select 1")), 400, "BAD_REQUEST", "stopped")
