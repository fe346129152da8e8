"""Does the Statement Execution API run, wait, page, fail and cancel as the real one does?

Here over the registered Lakebase database; over the warehouse see test_workspace_warehouse.
"""

from __future__ import annotations

from typing import Any

import pytest
from workspace_client import Client, refused, until

STATEMENTS = "/api/2.0/sql/statements"
WAREHOUSE = "/api/2.0/sql/warehouses/simulated"


def statement(sql: str, **fields: object) -> dict[str, Any]:
    return {"statement": sql, "warehouse_id": "simulated", "catalog": "plant_lakebase", **fields}


def execute(client: Client, sql: str, **fields: object) -> dict[str, Any]:
    return client.made(STATEMENTS, statement(sql, **fields))


def state(found: dict[str, Any]) -> str:
    return str(found["status"]["state"])


def ended(client: Client, statement_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = client.found(f"{STATEMENTS}/{statement_id}")
        return found if state(found) not in ("PENDING", "RUNNING") else None

    return until(look, "the statement's end")


def test_a_query_gives_texts_and_types(engineer: Client) -> None:
    found = execute(
        engineer,
        "select cast(1 as smallint) s, 2 i, 3000000000 l, 1.25 d, 2.5e0 f, 'x' t, null n, true b, "
        "date '2026-01-02' day, timestamp '2026-01-02 03:04:05Z' at",
    )
    assert state(found) == "SUCCEEDED"
    columns = found["manifest"]["schema"]["columns"]
    assert [column["position"] for column in columns] == list(range(10))
    types = [column["type_name"] for column in columns]
    assert types == [
        "SHORT",
        "INT",
        "LONG",
        "DECIMAL",
        "DOUBLE",
        "STRING",
        "STRING",
        "BOOLEAN",
        "DATE",
        "TIMESTAMP",
    ]
    assert found["result"]["data_array"] == [
        ["1", "2", "3000000000", "1.25", "2.5", "x", None, "true", "2026-01-02", "2026-01-02T03:04:05.000Z"]
    ]
    assert found["manifest"]["total_row_count"] == 1


def test_parameters_are_named_and_texts_with_types(engineer: Client) -> None:
    parameters = [
        {"name": "equipment", "value": "REACTOR_01"},
        {"name": "above", "value": "81.5", "type": "DOUBLE"},
        {"name": "nothing", "type": "STRING"},
    ]
    sql = (
        "select count(*) from public.sensor_data where equipment_id = :equipment and temperature > :above "
        "and :nothing is null and 'a:above' like '%:above'"
    )
    assert execute(engineer, sql, parameters=parameters)["result"]["data_array"] == [["5"]]
    unbound = execute(engineer, "select :missing")
    assert state(unbound) == "FAILED"
    assert "UNBOUND_SQL_PARAMETER" in unbound["status"]["error"]["message"]


@pytest.mark.parametrize(
    "wrong", ["x", {"value": "1"}, {"name": "a", "value": 1}, {"name": "a", "value": "1", "kind": "INT"}]
)
def test_a_parameter_that_is_none_is_refused(engineer: Client, wrong: object) -> None:
    refused(
        engineer.post(STATEMENTS, statement("select :a", parameters=[wrong])), 400, "INVALID_PARAMETER_VALUE"
    )


def test_a_failing_statement_is_http_200(engineer: Client) -> None:
    found = execute(engineer, "select nothing from nowhere")
    assert found["status"]["state"] == "FAILED"
    assert found["status"]["sql_state"] == "42P01"
    assert "nowhere" in found["status"]["error"]["message"]
    assert "result" not in found


@pytest.mark.parametrize(
    ("sql", "sql_state"),
    [
        ("delete from sensor_data", "25006"),
        ("create table x (id int)", "25006"),
        ("select 1; select 2", "42601"),
        ("select from where", "42601"),
        ("select pg_read_file('/etc/passwd')", "42501"),
        ("select pg_ls_dir('/')", "42501"),
    ],
)
def test_the_registered_catalog_only_reads(engineer: Client, sql: str, sql_state: str) -> None:
    found = execute(engineer, sql)
    assert (state(found), found["status"].get("sql_state")) == ("FAILED", sql_state)


def test_results_come_in_chunks(engineer: Client) -> None:
    found = execute(engineer, "select id from range_of_rows order by id")
    manifest = found["manifest"]
    assert (manifest["total_row_count"], manifest["total_chunk_count"]) == (6000, 6)
    assert manifest["chunks"][5] == {"chunk_index": 5, "row_offset": 5000, "row_count": 1000}
    rows, chunk = list(found["result"]["data_array"]), found["result"]
    while "next_chunk_index" in chunk:
        chunk = engineer.found(chunk["next_chunk_internal_link"])
        rows += chunk["data_array"]
    assert rows == [[str(n)] for n in range(1, 6001)]
    path = f"{STATEMENTS}/{found['statement_id']}/result/chunks"
    refused(engineer.get(f"{path}/6"), 400, "INVALID_PARAMETER_VALUE")
    refused(engineer.get(f"{path}/last"), 400, "INVALID_PARAMETER_VALUE")


def test_a_row_limit_truncates_and_says_so(engineer: Client) -> None:
    found = execute(engineer, "select id from range_of_rows", row_limit=7)
    assert (found["manifest"]["total_row_count"], found["manifest"]["truncated"]) == (7, True)


def test_no_rows_means_no_array(engineer: Client) -> None:
    found = execute(engineer, "select id from range_of_rows where false")
    assert found["manifest"]["total_row_count"] == 0
    assert "data_array" not in found["result"]


def test_without_waiting_it_is_fetched_later(engineer: Client) -> None:
    found = execute(engineer, "select 1 from (select pg_sleep(0.3))", wait_timeout="0s")
    assert state(found) in ("PENDING", "RUNNING")
    assert "result" not in found
    assert state(ended(engineer, found["statement_id"])) == "SUCCEEDED"


def test_statement_for_ever_runs_until_it_is_cancelled(engineer: Client) -> None:
    engineer.workspace.fault("statement_for_ever")
    found = execute(engineer, "select 1", wait_timeout="0s")
    path = f"{STATEMENTS}/{found['statement_id']}"
    until(lambda: True if state(engineer.found(path)) == "RUNNING" else None, "RUNNING")
    assert engineer.made(f"{path}/cancel") == {}
    assert state(engineer.found(path)) == "CANCELED"
    assert state(execute(engineer, "select 1")) == "SUCCEEDED"


def test_on_wait_timeout_cancel(engineer: Client) -> None:
    engineer.workspace.fault("statement_for_ever")
    found = execute(engineer, "select 1", wait_timeout="5s", on_wait_timeout="CANCEL")
    assert state(found) == "CANCELED"


def test_statement_failed_takes_the_sqlstate_that_was_asked_for(engineer: Client) -> None:
    engineer.workspace.fault("statement_failed =2D521")
    found = execute(engineer, "select 1")
    assert (state(found), found["status"]["sql_state"]) == ("FAILED", "2D521")
    assert state(execute(engineer, "select 1")) == "SUCCEEDED"


@pytest.mark.parametrize(
    "fields",
    [
        {"wait_timeout": "4s"},
        {"wait_timeout": "51s"},
        {"wait_timeout": "10"},
        {"on_wait_timeout": "ABORT"},
        {"format": "ARROW_STREAM"},
        {"format": "XML"},
        {"idempotency_token": "x"},
    ],
)
def test_what_the_api_does_not_take_is_refused(engineer: Client, fields: dict[str, object]) -> None:
    refused(engineer.post(STATEMENTS, statement("select 1", **fields)), 400, "INVALID_PARAMETER_VALUE")


def test_what_is_not_simulated_is_refused_by_name(engineer: Client) -> None:
    links = statement("select 1", disposition="EXTERNAL_LINKS", format="ARROW_STREAM")
    refused(engineer.post(STATEMENTS, links), 501, "NOT_IMPLEMENTED", "EXTERNAL_LINKS")
    refused(engineer.post("/api/2.0/sql/sessions", {}), 404, "ENDPOINT_NOT_FOUND")


def test_another_warehouse_does_not_exist(engineer: Client) -> None:
    answer = engineer.post(STATEMENTS, statement("select 1", warehouse_id="other"))
    refused(answer, 404, "RESOURCE_DOES_NOT_EXIST", "other")
    refused(engineer.get("/api/2.0/sql/warehouses/other"), 404, "RESOURCE_DOES_NOT_EXIST")


def test_a_result_is_kept_for_an_hour(engineer: Client) -> None:
    found = execute(engineer, "select 1")
    engineer.workspace.advance(3601)
    refused(engineer.get(f"{STATEMENTS}/{found['statement_id']}"), 404, "RESOURCE_DOES_NOT_EXIST")


def test_a_result_of_more_than_25_mib_fails(engineer: Client) -> None:
    found = execute(engineer, "select repeat('x', 27000000) as wide")
    assert state(found) == "FAILED"
    assert "Inline byte limit" in found["status"]["error"]["message"]


# ── warehouses ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_warehouse_stops_starts_and_starts_by_itself(engineer: Client) -> None:
    assert engineer.found(WAREHOUSE)["state"] == "RUNNING"
    engineer.made(f"{WAREHOUSE}/stop")
    assert engineer.found(WAREHOUSE)["state"] == "STOPPED"
    engineer.made(f"{WAREHOUSE}/start")
    assert engineer.found(WAREHOUSE)["state"] == "STARTING"
    engineer.workspace.advance(1)
    assert engineer.found(WAREHOUSE)["state"] == "RUNNING"
    engineer.made(f"{WAREHOUSE}/stop")
    assert state(execute(engineer, "select 1")) == "SUCCEEDED"
    (listed,) = engineer.found("/api/2.0/sql/warehouses")["warehouses"]
    assert listed["state"] == "RUNNING"


def test_a_starting_warehouse_keeps_statements_waiting(engineer: Client) -> None:
    engineer.workspace.fault("warehouse_starting 60s")
    assert engineer.found(WAREHOUSE)["state"] == "STARTING"
    found = execute(engineer, "select 1", wait_timeout="0s")
    assert state(engineer.found(f"{STATEMENTS}/{found['statement_id']}")) == "PENDING"
    engineer.workspace.advance(60)
    assert state(ended(engineer, found["statement_id"])) == "SUCCEEDED"


def test_a_stopped_warehouse_that_nobody_may_start(engineer: Client) -> None:
    engineer.workspace.fault("warehouse_stopped")
    assert engineer.found(WAREHOUSE)["state"] == "STOPPED"
    refused(engineer.post(STATEMENTS, statement("select 1")), 400, "BAD_REQUEST", "stopped")
    refused(engineer.post(f"{WAREHOUSE}/start"), 403, "PERMISSION_DENIED")
    engineer.workspace.clear("warehouse_stopped")
    assert state(execute(engineer, "select 1")) == "SUCCEEDED"


def test_without_a_warehouse_sql_of_its_own_is_refused(engineer: Client) -> None:
    answer = engineer.post(STATEMENTS, {"statement": "select 1", "warehouse_id": "simulated"})
    refused(answer, 400, "BAD_REQUEST", "warehouse")
