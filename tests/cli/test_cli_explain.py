"""`explain` tells the whole story, in order, with times, and says in words what nobody knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import pytest
from rig import Hands
from terminal_rig import Cli

from bridge.story import duration, exact


def test_the_story_of_a_verified_write(cli: Cli, hands: Hands) -> None:
    made = hands.recommendation_in("executed")
    command = hands.commands_of(made)[0]["command_id"]
    found = cli.json("explain", made)
    assert [step["action"] for step in found["trail"]] == [
        "recommendation.created",
        "approval.given",
        "recommendation.approved",
        "recommendation.executing",
        "command.created",
        "command.claimed",
        "command.sent",
        "command.executed",
        "recommendation.executed",
    ] or sorted(step["action"] for step in found["trail"][1:3]) == [
        "approval.given",
        "recommendation.approved",
    ]
    times = [datetime.fromisoformat(step["at"]) for step in found["trail"]]
    assert times == sorted(times)
    assert found["trail"][0]["since_start_ms"] == 0
    assert sum(step["since_previous_ms"] for step in found["trail"]) == pytest.approx(
        found["trail"][-1]["since_start_ms"], abs=0.1
    )
    spans = found["timings_ms"]
    assert 0 < spans["approval_to_sent"] < spans["approval_to_verified"] < spans["approval_to_outcome"]
    assert found["outcome_not_known"] == []
    said = cli.ok("explain", command)  # a command leads to its recommendation
    assert f"{command} made: [default]MACHINE_001/Speed1: 500 → 400 rpm, over opcua" in said
    assert f"{command} verified: [default]MACHINE_001/Speed1 reads back 400 rpm" in said
    assert "approved by anna" in said


ADVISOR = {
    "state": "given",
    "by": "Genie space reactors",
    "at_utc": "2026-01-31T03:12:09.5+00:00",
    "explanation": "Three like it [bold red]in a month[/].",
    "remedy": None,
    "notes": ["cool is not proposed: out_of_range"],
    "refused": ["remedy [default]R/Pressure: not configured"],
    "provenance": {"space": "reactors", "conversation_id": "c-1", "sql": "select 1", "rows": 3},
    "rules": {"root_cause": "Coolant is missing.", "action": "Reduce throughput"},
}


def advise(hands: Hands, recommendation_id: str, advisor: Mapping[str, object], source: str) -> None:
    """What the agent writes when an advisor has answered, or has not."""
    hands.agent.execute(
        "update agent_recommendations set advice_state = %s, advice_attempts = 1, source = %s,"
        " root_cause_analysis = 'The pump.', evidence = jsonb_build_object('advisor', %s::jsonb)"
        " where recommendation_id = %s",
        (advisor["state"], source, json.dumps(advisor), recommendation_id),
    )


def test_advice_is_told_with_who_gave_it_and_where_it_can_be_looked_up(cli: Cli, hands: Hands) -> None:
    """A model's words are led by its name, its query and ids stand beside them, and markup is text."""
    made = hands.propose()
    advise(hands, made, ADVISOR, "genie")
    for said in (cli.ok("explain", made), cli.ok("recommendations", "show", made)):
        for part in (
            "Three like it [bold red]in a month[/].",
            "its choice: no configured remedy",
            "cool is not proposed: out_of_range",
            "not taken over: remedy [default]R/Pressure: not configured",
            "rules say: Coolant is missing.",
            "sql: select 1",
            "rows: 3",
            "conversation id: c-1",
        ):
            assert part in said
    assert "Genie space reactors advised, as source genie" in cli.ok("explain", made)
    assert "Genie: The pump." in cli.ok("recommendations", "show", made)
    (step,) = [step for step in cli.json("explain", made)["trail"] if step["action"].endswith(".advised")]
    assert step["detail"]["advisor"]["provenance"]["sql"] == "select 1"


def test_that_nobody_advised_is_told_with_the_reason(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    failed: dict[str, object] = {
        "state": "failed",
        "by": "Genie space reactors",
        "at_utc": "2026-01-31T03:12:09+00:00",
        "reason": "no answer within 60 s",
        "again": "asked again",
    }
    advise(hands, made, failed, "rules")
    said = cli.ok("explain", made)
    assert "Genie space reactors gave no advice; what the rules propose stays" in said
    assert "no answer within 60 s" in said
    shown = cli.ok("recommendations", "show", made)
    assert "Genie space reactors gave none, 2026-01-31 03:12:09 UTC" in shown
    assert "Genie: " not in shown


def test_revised_rejected_deferred_and_superseded(cli: Cli, hands: Hands) -> None:
    made = hands.propose()
    hands.revise(
        made, [{"tag_path": "[default]REACTOR_01/ThroughputSetpoint", "from": 450, "to": 300, "unit": "kg/h"}]
    )
    said = cli.ok("explain", made)
    assert "other writes (approvals of the old ones are void)" in said
    assert "450 → 300 kg/h" in said
    for status, words in (
        ("rejected", "rejected by anna"),
        ("deferred", "deferred by anna until"),
        ("superseded", "superseded"),
    ):
        assert words in cli.ok("explain", hands.recommendation_in(status))


def test_an_unknown_outcome_is_told_in_words_with_three_actions(cli: Cli, hands: Hands) -> None:
    command = hands.command_in("unknown")
    found = cli.json("explain", command)["outcome_not_known"]
    assert [item["command_id"] for item in found] == [command]
    assert found[0]["headline"] == "Not known whether [default]MACHINE_001/Speed1 took 400 rpm"
    facts = " ".join(found[0]["facts"])
    for part in (
        "sent 20",
        "before it the tag showed 500 rpm",
        "approved by anna",
        "what blocks certainty",
        "is locked",
    ):
        assert part in facts
    assert len(found[0]["actions"]) == 3
    said = cli.ok("explain", command)
    assert "? Not known whether [default]MACHINE_001/Speed1 took 400 rpm" in said
    assert f"commands settle {command} --not-applied" in said


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (("--shows", "400"), "confirmed by anna at the panel"),
        (("--shows", "500"), "found not written by anna at the panel"),
    ],
)
def test_what_a_person_settled_is_no_read_back(
    cli: Cli, hands: Hands, how: tuple[str, ...], told: str
) -> None:
    command = hands.command_in("unknown")
    cli.ok("commands", "settle", command, *how, "--operator", "anna")
    said = cli.ok("explain", command)
    assert f"{command} {told}" in said
    assert f"{command} verified" not in said


def test_cancelled_and_failed(cli: Cli, hands: Hands) -> None:
    assert "cancelled before anything was sent" in cli.ok("explain", hands.command_in("cancelled"))
    assert "failed" in cli.ok("explain", hands.command_in("failed"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (375.0, "375"),
        (0.1, "0.1"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (1e300, "1e+300"),
        (-2.50, "-2.5"),
    ],
)
def test_values_are_shown_exactly(value: object, shown: str) -> None:
    assert exact(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0004, "0.4 ms"),
        (0.012, "12 ms"),
        (3.21, "3.2 s"),
        (75, "1 min 15 s"),
        (7260, "2 h 1 min"),
        (-2, "−2.0 s"),
    ],
)
def test_durations_read_well(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
