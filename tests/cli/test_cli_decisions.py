"""What operators do from the terminal: every decision under a name, every refusal by its code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rig import COOLING, THROUGHPUT, Hands, one_write
from terminal_rig import Cli

BOTH = [one_write(), {"tag_path": COOLING, "from": False, "to": True, "unit": ""}]


def test_nothing_open(cli: Cli) -> None:
    assert cli.ok("recommendations", "list").strip() == "no recommendation is open"
    assert cli.json("recommendations", "list") == {"recommendations": []}


def test_the_list_and_one_row_show_the_exact_writes(cli: Cli, hands: Hands) -> None:
    made = hands.propose(writes=BOTH)
    for said in (cli.ok("recommendations", "list"), cli.ok("explain", made)):
        assert f"{THROUGHPUT}: 450 → 405 kg/h" in said
        assert f"{COOLING}: false → true" in said
    row = cli.json("recommendations", "list")["recommendations"][0]
    assert row["proposed_writes"] == BOTH
    assert row["recommendation_id"] == made
    assert isinstance(row["age_s"], float)
    assert row["created_timestamp"].endswith("Z")
    one = cli.json("recommendations", "show", made)
    assert one["write_digest"] == hands.recommendation(made)["write_digest"]
    said = cli.ok("recommendations", "show", made)
    assert one["write_digest"] in said
    assert THROUGHPUT in said


def test_prose_only_says_that_nothing_is_written(cli: Cli, hands: Hands) -> None:
    made = hands.propose(writes=[])
    assert "opens a work order for a person, and no tag is written" in cli.ok("recommendations", "show", made)


def approval(hands: Hands, made: str) -> tuple[Any, Any]:
    row = hands.recommendation(made)
    return row["status"], row["approved_by_operator"]


def test_approve_asks_who_and_whether(cli: Cli, hands: Hands) -> None:
    made = hands.propose(writes=BOTH)
    said = cli("recommendations", "approve", made, typed="anna\ny\n")
    assert said.code == 0
    assert "405" in said.out  # shown before anything was asked
    assert "Approve these writes as anna?" in said.err
    assert approval(hands, made) == ("approved", "anna")
    assert "no agent is online: the approval lapses after 300 s" in said.out


def test_approve_takes_no_for_an_answer(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    with hands.unchanged():
        assert "nothing was approved" in cli.refused("recommendations", "approve", made, typed="anna\nn\n")
        assert "nothing was approved" in cli.refused("recommendations", "approve", made, OPERATOR="anna")
        assert "name_required" in cli.refused("recommendations", "approve", made)
        assert "name_required" in cli.refused("recommendations", "approve", made, "--operator", "  ", "--yes")


def test_approve_with_everything_given(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    digest = cli.json("recommendations", "show", made)["write_digest"]
    cli.ok(
        "recommendations", "approve", made, "--digest", digest, "--comment", "go", "--yes", OPERATOR="bert"
    )
    assert approval(hands, made) == ("approved", "bert")
    assert hands.value("select comment from approvals") == "go"


def test_a_second_approver_is_refused_by_name(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    hands.approve(made, by="anna")
    with hands.unchanged():
        said = cli.refused("recommendations", "approve", made, "--operator", "bert", "--yes")
    assert said == f"already_decided: {made} is already approved by anna"


def test_a_digest_of_writes_that_have_changed(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    digest = cli.json("recommendations", "show", made)["write_digest"]
    hands.revise(made, [one_write(target=300.0)])
    with hands.unchanged():
        said = cli.refused(
            "recommendations", "approve", made, "--digest", digest, "--operator", "anna", "--yes"
        )
    assert said.startswith("digest_mismatch: ")
    assert "look at them again" in said


def test_two_people_where_two_are_needed(cli: Cli, hands: Hands) -> None:
    made = hands.propose(approvals_required=2)
    said = cli.ok("recommendations", "approve", made, "--operator", "anna", "--yes")
    assert "another person has to approve it too" in said
    again = cli.refused("recommendations", "approve", made, "--operator", "anna", "--yes")
    assert again.startswith("already_decided: ")
    cli.ok("recommendations", "approve", made, "--operator", "bert", "--yes")
    assert approval(hands, made)[0] == "approved"


def test_an_expired_recommendation(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    hands.let_expire(made)
    with hands.unchanged():
        said = cli.refused("recommendations", "approve", made, "--operator", "anna", "--yes")
    assert said.startswith("expired: ")


def test_a_disarmed_bridge_is_said_at_approval(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    cli.ok("control", "disarm", "--reason", "maintenance", "--operator", "anna")
    said = cli.ok("recommendations", "approve", made, "--operator", "anna", "--yes")
    assert "DISARMED" in said


@pytest.mark.parametrize("verb", ["show", "approve", "explain"])
def test_an_unknown_id(cli: Cli, verb: str) -> None:
    command = ("explain",) if verb == "explain" else ("recommendations", verb)
    assert cli.refused(*command, "R-999").startswith("wrong_form: there is no recommendation R-999")


def test_an_unknown_command_id(cli: Cli) -> None:
    assert cli.refused("explain", "C-999") == "wrong_form: there is no command C-999"


def test_reject_wants_a_reason(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    with hands.unchanged():
        said = cli.refused("recommendations", "reject", made, "--operator", "anna")
        assert said == "reason_required: a rejection says why; give --reason TEXT"
    cli.ok("recommendations", "reject", made, "--operator", "anna", "--reason", "sensor is being changed")
    row = hands.recommendation(made)
    assert (row["status"], row["decided_by_operator"]) == ("rejected", "anna")
    again = cli.refused("recommendations", "reject", made, "--operator", "bert", "--reason", "me too")
    assert again == f"already_decided: {made} is already rejected by anna"


def test_defer_for_some_minutes(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    for minutes in ("0", "-5", "1441", "nan", "inf"):
        with hands.unchanged():
            said = cli.refused("recommendations", "defer", made, "--minutes", minutes, "--operator", "anna")
        assert said.startswith("time_required: ")
    cli.ok("recommendations", "defer", made, "--minutes", "15", "--operator", "anna")
    assert hands.recommendation(made)["status"] == "deferred"
    assert "deferred until" in cli.ok("recommendations", "show", made)


def test_arm_and_disarm(cli: Cli, hands: Hands) -> None:
    assert cli.refused("control", "disarm", "--operator", "anna").startswith("reason_required: ")
    assert "the bridge is disarmed now" in cli.ok(
        "control", "disarm", "--reason", "valve work", OPERATOR="anna"
    )
    state = cli.json("control", "show")
    assert (state["armed"], state["changed_by"], state["reason"]) == (False, "anna", "valve work")
    assert "DISARMED" in cli.ok("status")
    with hands.unchanged():
        again = cli.ok("control", "disarm", "--reason", "again", "--operator", "bert")
    assert "was disarmed already; nothing changed" in again
    cli.ok("control", "arm", "--reason", "done", "--operator", "anna")
    assert "armed: approved writes go to the plant" in cli.ok("control", "show")


def test_a_login_that_is_no_operator_decides_nothing(cli: Cli, hands: Hands, url_of: Any) -> None:
    made = hands.propose()
    with hands.unchanged():
        said = cli.refused(
            "recommendations",
            "approve",
            made,
            "--operator",
            "anna",
            "--yes",
            STORE__URL=url_of("bridge_agent"),
        )
    assert 'permission denied to set role "bridge_operator"' in said
    assert len(said.splitlines()) == 1


def test_settle_what_nobody_knew(cli: Cli, hands: Hands) -> None:
    command = hands.command_in("unknown")
    assert cli.refused("commands", "settle", command, "--operator", "anna").startswith("wrong_form: ")
    assert cli.refused("commands", "settle", command, "--not-applied").startswith("reason_required: ")
    said = cli.ok("commands", "settle", command, "--shows", "400", "--operator", "anna")
    assert "executed" in said
    row = hands.command(command)
    assert (row["status"], row["read_back_value"]) == ("executed", 400.0)
    assert "settled by anna" in row["execution_result"]
    again = cli.refused("commands", "settle", command, "--shows", "400", "--operator", "bert")
    assert again.startswith("already_decided: ")
    assert cli.refused("commands", "settle", "C-999", "--shows", "1", "--operator", "anna").startswith(
        "wrong_form"
    )


@pytest.mark.parametrize("how", [("--shows", "500"), ("--not-applied", "--reason", "the panel never moved")])
def test_settle_as_not_taken(cli: Cli, hands: Hands, how: tuple[str, ...]) -> None:
    command = hands.command_in("unknown")
    cli.ok("commands", "settle", command, *how, "--operator", "anna")
    row = hands.command(command)
    assert row["status"] == "failed"
    assert "settled by anna" in row["execution_result"]


def test_status_tells_the_unknown_first(cli: Cli, hands: Hands) -> None:
    unknown = hands.command_in("unknown")
    hands.command_in("executed")
    hands.propose()
    found = cli.json("status")
    assert next(iter(found["commands"])) == "unknown"
    assert (found["commands"]["unknown"], found["commands"]["executed"]) == (1, 1)
    assert [row["command_id"] for row in found["outcome_not_known"]] == [unknown]
    assert found["recommendations"]["high"] == len(found["open_recommendations"]) == 3
    assert found["online"] is False
    said = cli.ok("status")
    assert said.index("outcome not known") < said.index("1 executed")
    assert "no agent has ever reported here" in said


@pytest.mark.parametrize(
    ("buffer", "words"),
    [
        ({"state": "empty", "depth": 0, "oldest_s": None, "dropped": 0}, ["empty"]),
        (
            {"state": "holding", "depth": 1204, "oldest_s": 35.4, "dropped": 0},
            ["1,204", "readings on", "oldest", "35.4 s"],
        ),
        ({"state": "full", "depth": 5, "oldest_s": 1.0, "dropped": 7000}, ["full", "7,000", "dropped"]),
        ({"state": "down", "depth": 0, "dropped": 0, "detail": "disk is full"}, ["not in use", "disk is"]),
    ],
)
def test_status_shows_the_buffer(cli: Cli, hands: Hands, buffer: dict[str, object], words: list[str]) -> None:
    """How much waits on the agent's disk, since when, and what was lost there."""
    hands.owner.execute(
        "insert into agent_health (agent_id, last_heartbeat, status, detail) values ('a', now(), 'online', %s::jsonb)",
        (json.dumps({"buffer": buffer}),),
    )
    said = cli.ok("status")
    for word in words:
        assert word in said, said


def test_readings_of_an_equipment(cli: Cli, hands: Hands) -> None:
    assert "no reading within the last hour" in cli.ok("readings", "REACTOR_01")
    hands.owner.execute(
        "insert into sensor_data (equipment_id, temperature, signals, timestamp) values"
        " ('REACTOR_01', 80, null, now() - interval '5 s'), ('REACTOR_01', 81.5, '{\"throughput\": 500}', now())"
    )
    found = cli.json("readings", "REACTOR_01")
    latest = {entry["signal"]: entry for entry in found["latest"]}
    assert latest["temperature"]["value"] == 81.5
    assert latest["temperature"]["unit"] == "°C"
    assert latest["throughput"]["unit"] == "kg/h"
    assert len(found["rows"]) == 2
    assert "81.50" in cli.ok("readings", "REACTOR_01")


def test_json_is_one_document(cli: Cli, hands: Hands) -> None:
    made = hands.recommendation_in("executed")
    for command in (("explain", made), ("recommendations", "show", made), ("status",), ("control", "show")):
        json.loads(cli.ok(*command, "--json"))
