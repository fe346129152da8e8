"""`explain` tells the whole story, in order, with times, and says in words what nobody knows."""

from __future__ import annotations

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
