"""`genie ask` as somebody at a terminal uses it, and `check` on the workspace behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from terminal_rig import ROOT, Cli

from simulator.workspace.process import WorkspaceProcess

QUESTION = "why is REACTOR_01 so hot?"


def findings(cli: Cli, **environment: str) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """Subject, level and words of what `check` says about the workspace, and its whole answer."""
    found = json.loads(cli("check", "--json", **environment).out)
    listed = [
        (item["subject"], item["level"], f"{item['problem']} → {item['advice']}")
        for item in found["findings"]
        if item["area"] == "databricks"
    ]
    return listed, found


def test_an_answer_with_its_sql_and_its_rows(in_workspace: Cli) -> None:
    said = in_workspace("genie", "ask", "Plant", QUESTION)
    assert said.code == 0
    assert "REACTOR_01 warms faster" in said.out
    assert "from plant_lakebase.bridge.sensor_data" in said.out
    assert "where equipment_id = 'REACTOR_01'" in said.out
    assert "space 01ef0000000000000000000000000001, conversation " in said.out
    assert "submitted: the question has arrived" in said.err
    assert "completed: answered" in said.err
    assert "submitted" not in said.out


def test_the_same_for_a_program(in_workspace: Cli, workspace: WorkspaceProcess) -> None:
    said = in_workspace(
        "genie", "ask", workspace.ready["spaces"]["Plant"], "how many recommendations?", "--json"
    )
    found = json.loads(said.out)
    assert (said.code, found["asks_back"], found["truncated"]) == (0, None, False)
    assert [column["name"] for column in found["columns"]] == ["status", "recommendations"]
    assert found["rows"] == []
    assert found["sql"].strip().startswith("select status")
    assert set(found["provenance"]) == {
        "space_id",
        "conversation_id",
        "message_id",
        "attachment_id",
        "statement_id",
    }
    assert all(found["provenance"].values())


def test_what_genie_says_steers_no_terminal(in_workspace: Cli, workspace: WorkspaceProcess) -> None:
    workspace.script(
        {
            "genie": [
                {
                    "space_id": "01ef00000000000000000000000000aa",
                    "title": "Plant",
                    "runs_on": "warehouse",
                    "answers": [
                        {
                            "question": "hot",
                            "text": "\x1b]0;owned\x07[red]all is well[/red]\x1b[2J",
                            "queries": [{"sql": "select 'a\x1b[31mb' as `x`", "title": "t"}],
                        }
                    ],
                }
            ]
        }
    )
    try:
        said = in_workspace("genie", "ask", "01ef00000000000000000000000000aa", "hot?")
    finally:
        workspace.script((ROOT / "simulator/workspace/demo.toml").read_text(encoding="utf-8"))
    assert said.code == 0, said
    assert "[red]all is well[/red]" in said.out
    assert not {"\x1b", "\x07"} & set(said.out + said.err)


@pytest.mark.parametrize(
    ("fault", "told"),
    [("genie_failed =SQL_EXECUTION", "SQL_EXECUTION"), ("genie_cancelled", "cancelled in the workspace")],
)
def test_a_question_that_fails_says_why(
    in_workspace: Cli, workspace: WorkspaceProcess, fault: str, told: str
) -> None:
    workspace.fault(fault)
    said = in_workspace("genie", "ask", "Plant", QUESTION)
    assert (said.code, said.out) == (1, "")
    assert told in said.err
    assert "Traceback" not in said.err


def test_a_space_that_is_neither_name_nor_id_nor_there(in_workspace: Cli) -> None:
    said = in_workspace.refused("genie", "ask", "Plnat", QUESTION)
    assert "'Plnat'" in said
    assert "Maintenance, Plant" in said
    said = in_workspace.refused("genie", "ask", "0" * 32, QUESTION)
    assert "does space 00000000000000000000000000000000 exist in http://127.0.0.1:" in said


def test_without_a_workspace_or_with_a_wrong_token(bare: Cli, in_workspace: Cli) -> None:
    said = bare.refused("genie", "ask", "0" * 32, QUESTION)
    assert "no Databricks host: set databricks.host" in said
    said = in_workspace.refused("genie", "ask", "Plant", QUESTION, DATABRICKS__TOKEN="dapi0not0this0one")
    assert "databricks.token" in said
    assert "dapi0not0this0one" not in said


def test_check_looks_at_the_whole_workspace(cli: Cli, in_workspace: Cli, workspace: WorkspaceProcess) -> None:
    there = Cli(cli.environment | in_workspace.environment)
    lakebase = workspace.ready["lakebase"]
    listed, found = findings(
        there,
        DATABRICKS__LAKEBASE__ENDPOINT=lakebase["endpoint"],
        ADVISOR__KIND="serving",
        ADVISOR__ENDPOINT="plant-advisor",
        STORE__WAREHOUSE__HTTP_PATH=workspace.ready["warehouse"]["http_path"],
        STORE__WAREHOUSE__CATALOG="main",
        STORE__WAREHOUSE__SCHEMA="default",
    )
    assert listed == []
    passed = "\n".join(found["passed"])
    for text in (
        f"databricks: {workspace.host} knows us as {workspace.user}",
        f"databricks.lakebase: {lakebase['endpoint']} is at 127.0.0.1, and gives us credentials",
        "genie.spaces.Plant: the Genie space »Plant« may be asked",
        "genie.spaces.Maintenance: the Genie space »Maintenance« may be asked",
        "advisor.endpoint: serving endpoint plant-advisor is ready",
        "store.warehouse: the SQL warehouse ",
    ):
        assert text in passed
    assert found["promises"][0] == "20 of 21 are kept by the database itself"
    asked = [request["path"] for request in workspace.requests()]
    assert not [path for path in asked if "start-conversation" in path or "invocations" in path]


def test_check_names_everything_that_is_wrong_at_once(cli: Cli, in_workspace: Cli) -> None:
    there = Cli(cli.environment | in_workspace.environment)
    listed, _ = findings(
        there,
        GENIE__SPACES=json.dumps({"gone": "f" * 32}),
        DATABRICKS__LAKEBASE__ENDPOINT="projects/plant/branches/production/endpoints/none",
        ADVISOR__KIND="serving",
        ADVISOR__ENDPOINT="no-such-model",
        STORE__WAREHOUSE__HTTP_PATH="/sql/1.0/warehouses/ffff",
        STORE__WAREHOUSE__CATALOG="main",
        STORE__WAREHOUSE__SCHEMA="default",
    )
    assert [(subject, level) for subject, level, _ in sorted(listed)] == [
        ("advisor.endpoint", "problem"),
        ("databricks.lakebase", "problem"),
        ("genie.spaces.gone", "problem"),
        ("store.warehouse", "problem"),
    ]
    words = {subject: text for subject, _, text in listed}
    assert "CAN RUN" in words["genie.spaces.gone"]
    assert "databricks.lakebase.endpoint says which one is meant" in words["databricks.lakebase"]
    assert "http_path" in words["store.warehouse"]


def test_check_without_rights_with_a_wrong_host_and_without_a_workspace(
    cli: Cli, in_workspace: Cli, workspace: WorkspaceProcess
) -> None:
    there = Cli(cli.environment | in_workspace.environment)
    stranger = workspace.ready["stranger_token"]
    listed, _ = findings(there, DATABRICKS__TOKEN=stranger)
    assert [(subject, level) for subject, level, _ in sorted(listed)] == [
        ("genie.spaces.Maintenance", "problem"),
        ("genie.spaces.Plant", "problem"),
    ]
    assert "CAN RUN" in listed[0][2]
    listed, _ = findings(there, DATABRICKS__TOKEN="dapi0not0this0one")
    assert [subject for subject, _, _ in listed] == ["databricks.host"]
    assert "make a new token" in listed[0][2]
    assert stranger not in listed[0][2]
    listed, _ = findings(there, DATABRICKS__HOST="http://127.0.0.1:1")
    assert [(subject, level) for subject, level, _ in listed] == [("databricks.host", "problem")]
    assert "does this machine reach it?" in listed[0][2]
    workspace.fault("html GET:/api/2.0/preview/scim/v2/Me always")
    listed, _ = findings(there)
    assert "with nothing behind it" in listed[0][2]
    listed, found = findings(cli)
    assert listed == []
    assert "databricks" not in json.dumps(found["passed"])


def test_check_says_that_a_warehouse_is_stopped(
    cli: Cli, in_workspace: Cli, workspace: WorkspaceProcess
) -> None:
    there = Cli(cli.environment | in_workspace.environment)
    workspace.fault("warehouse_stopped")
    listed, _ = findings(
        there,
        STORE__WAREHOUSE__HTTP_PATH=workspace.ready["warehouse"]["http_path"],
        STORE__WAREHOUSE__CATALOG="main",
        STORE__WAREHOUSE__SCHEMA="default",
    )
    assert [(subject, level) for subject, level, _ in listed] == [("store.warehouse", "warning")]
    assert "STOPPED" in listed[0][2]
