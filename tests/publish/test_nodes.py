"""Does the one description say what a snapshot holds, and do two snapshots give each event once?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.domain.lifecycle import CommandStatus, RecommendationStatus
from bridge.domain.reading import Quality
from bridge.publish import state
from bridge.publish.events import EventKind, events
from bridge.publish.nodes import Node, NodeType, changes, folder_name, nodes
from bridge.publish.state import AgentHealth, Command, Control, Recommendation, Snapshot, View

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def recommendation(**changed: object) -> Recommendation:
    made = Recommendation(
        recommendation_id="R-1",
        equipment_id="PUMP",
        issue_type="high_temperature",
        severity="high",
        status="pending",
        text="Reduce throughput",
        root_cause="fouling",
        confidence=0.9,
        writes="[]",
        digest="ab",
        approvals_required=2,
        approvals_given=1,
        created_utc=NOW - timedelta(seconds=90),
        updated_utc=NOW - timedelta(seconds=30),
        expires_utc=NOW + timedelta(seconds=600),
        defer_until_utc=None,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def command(**changed: object) -> Command:
    made = Command(
        command_id="C-1",
        recommendation_id="R-1",
        equipment_id="PUMP",
        tag_path="[default]PUMP/Speed",
        value=405.0,
        unit="rpm",
        severity="high",
        verdict="executing",
        result="",
        created_utc=NOW - timedelta(seconds=5),
        at_utc=NOW - timedelta(seconds=4),
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def snapshot(**changed: object) -> Snapshot:
    made = Snapshot(
        taken_utc=NOW,
        agents={},
        control=Control(armed=True, changed_by="anna", reason="start", changed_utc=NOW - timedelta(days=1)),
        counts={},
        live={},
        recommendations=(),
        last_commands={},
        commands={},
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def view(shot: Snapshot | None, away: str = "", equipment: tuple[str, ...] = ("PUMP",)) -> View:
    return View(agent_id="agent", equipment=equipment, snapshot=shot, away=away)


def test_an_open_recommendation_is_shown_with_its_ages() -> None:
    found = nodes(view(snapshot(recommendations=(recommendation(),))))
    path = "Equipment/PUMP/Recommendation"
    shown = {
        name: found[f"{path}/{name}"].value for name in ("Id", "Digest", "AgeS", "ExpiresInS", "OpenCount")
    }
    assert shown == {"Id": "R-1", "Digest": "ab", "AgeS": 90.0, "ExpiresInS": 600.0, "OpenCount": 1}
    assert found[f"{path}/Id"].source_time_utc == NOW - timedelta(seconds=30)
    assert found[f"{path}/AgeS"].source_time_utc == NOW
    assert found[f"{path}/AgeS"].unit == "s"


def test_nothing_open_is_empty_and_good() -> None:
    """Texts empty, numbers 0, times none; all of it known."""
    found = nodes(view(snapshot()))
    below = {path: node for path, node in found.items() if path.startswith("Equipment/PUMP/")}
    empty = {NodeType.STRING: "", NodeType.INT64: 0, NodeType.DOUBLE: 0.0, NodeType.DATE_TIME: None}
    assert below
    for path, node in below.items():
        assert (node.value, node.quality) == (empty[node.type], Quality.GOOD), path


def test_before_the_first_snapshot_everything_is_bad_but_what_is_known() -> None:
    """Nothing read must not look like nothing there."""
    found = nodes(view(None, away="no route to host"))
    assert found["Agent/Status"][0] == "database_away"
    assert found["Agent/Problem"].value == "no route to host"
    good = {path for path, node in found.items() if node.quality is Quality.GOOD}
    assert good == {"Agent/Id", "Agent/Status", "Agent/Problem", "Agent/SnapshotAt"}
    assert all(found[path].quality is Quality.BAD for path in found if path not in good)
    assert "Equipment/PUMP/Recommendation/Id" in found


def test_with_the_database_away_values_stay_and_are_uncertain() -> None:
    shot = snapshot(recommendations=(recommendation(),), counts={("pending", "high"): 1})
    before, after = nodes(view(shot)), nodes(view(shot, away="timeout"))
    assert after["Equipment/PUMP/Recommendation/Id"].value == "R-1"
    assert after["Counts/pending/total"].value == 1
    own = {"Agent/Id", "Agent/Status", "Agent/Problem", "Agent/SnapshotAt"}
    assert {path for path, node in after.items() if node.quality is not Quality.UNCERTAIN} == own
    assert set(changes(before, after)) == (set(after) - own) | {"Agent/Status", "Agent/Problem"}


def test_a_switch_that_is_gone_is_not_shown_as_disarmed() -> None:
    found = nodes(view(snapshot(control=None)))
    assert found["Control/Armed"].quality is Quality.BAD
    assert nodes(view(snapshot()))["Control/Armed"].quality is Quality.GOOD


def test_every_status_has_its_counts() -> None:
    """Statuses here are those of the lifecycle; a new one must not be left out."""
    assert {*state.OPEN, *state.ENDED} == {status.value for status in RecommendationStatus}
    assert {*state.LIVE, *state.VERDICTS} == {status.value for status in CommandStatus}
    found = nodes(
        view(snapshot(counts={("failed", "low"): 3, ("failed", "critical"): 4}, live={"unknown": 2}))
    )
    assert found["Counts/failed/total"].value == 7
    assert found["Counts/failed/critical"].value == 4
    assert found["Counts/pending/total"].value == 0
    assert found["Commands/unknown"].value == 2


def test_an_agents_status_is_its_own_when_the_database_answers() -> None:
    health = AgentHealth(
        agent_id="agent",
        status="offline",
        site="s",
        version="1",
        last_heartbeat_utc=NOW - timedelta(seconds=61),
        polls_completed=5,
        cycle_ms=None,
        buffer_depth=None,
    )
    found = nodes(view(snapshot(agents={"agent": health, "x/y": replace(health, agent_id="x/y")})))
    assert found["Agent/Status"].value == "offline"
    assert found["Agent/HeartbeatAgeS"].value == 61.0
    assert found["Agents/x%2Fy/Status"].value == "offline"
    assert "Agents/agent/Status" not in found
    assert nodes(view(snapshot()))["Agent/Status"].value == "never_seen"


@pytest.mark.parametrize("identifiers", [("A/B", "A%2FB"), ("A", "A/Recommendation"), ("%", "%25")])
def test_two_pieces_of_equipment_never_share_a_path(identifiers: tuple[str, str]) -> None:
    assert folder_name(identifiers[0]) != folder_name(identifiers[1])
    one, other = (set(nodes(view(snapshot(), equipment=(name,)))) for name in identifiers)
    assert {path for path in one & other if path.startswith("Equipment/")} == set()


def test_equipment_that_was_seen_once_stays() -> None:
    """Paths never leave while the view names them: a tag must not lose its node."""
    found = nodes(view(snapshot(recommendations=(recommendation(equipment_id="NEW"),)), equipment=("OLD",)))
    assert {"Equipment/OLD/Recommendation/Id", "Equipment/NEW/Recommendation/Id"} <= set(found)


def test_a_new_source_time_alone_is_no_change() -> None:
    node = Node("x", NodeType.STRING, "", NOW, Quality.GOOD, "")
    later = node._replace(source_time_utc=NOW + timedelta(seconds=1))
    assert changes({"a": node}, {"a": later}) == {}
    assert set(changes({"a": node}, {"a": node._replace(value="y"), "b": node})) == {"a", "b"}
    assert set(changes({"a": node}, {"a": node._replace(quality=Quality.BAD)})) == {"a"}


def test_a_recommendation_is_told_once_even_if_it_ended_between_two_looks() -> None:
    first, ended = recommendation(), recommendation(recommendation_id="R-2", status="superseded")
    before = snapshot(taken_utc=NOW - timedelta(seconds=100))
    after = snapshot(recommendations=(first, ended))
    told = events(before, after)
    assert {(event.kind, event.object_id) for event in told} == {
        (EventKind.RECOMMENDATION, "R-1"),
        (EventKind.RECOMMENDATION, "R-2"),
    }
    assert events(after, after) == []
    assert events(None, after) == [], "what stands there at the start is not news"


def test_what_is_told_again_long_after_is_not_news() -> None:
    """An old one that only now comes back among those that ended a moment ago."""
    before = snapshot(taken_utc=NOW)
    old = recommendation(created_utc=NOW - timedelta(hours=1), status="executed")
    assert events(before, snapshot(taken_utc=NOW + timedelta(seconds=1), recommendations=(old,))) == []


@pytest.mark.parametrize("verdict", state.VERDICTS)
def test_a_verdict_is_told_when_it_falls(verdict: str) -> None:
    before = snapshot(commands={"C-1": command()})
    after = snapshot(commands={"C-1": command(verdict=verdict, result="said")})
    (event,) = events(before, after)
    assert (event.kind, event.object_id, event.outcome) == (EventKind.VERDICT, "C-1", verdict)
    assert event.message == f"PUMP: [default]PUMP/Speed := 405 rpm is {verdict}: said"
    assert event.source == "Equipment/PUMP"
    assert events(after, after) == []


def test_a_command_that_was_not_seen_before_is_told_only_with_its_verdict() -> None:
    before = snapshot(taken_utc=NOW - timedelta(seconds=10))
    assert events(before, snapshot(commands={"C-1": command()})) == []
    (event,) = events(before, snapshot(commands={"C-1": command(verdict="failed")}))
    assert event.level == 600


def test_the_source_of_an_event_is_the_folder_that_there_is() -> None:
    """An id with a slash or a percent sign must lead to its node, as it is written in paths."""
    odd = recommendation(recommendation_id="R-2", equipment_id="AREA/PUMP 100%", created_utc=NOW)
    before, after = snapshot(recommendations=()), snapshot(recommendations=(odd,))
    (told,) = events(before, after)
    shown = nodes(View(agent_id="a", equipment=("AREA/PUMP 100%",), snapshot=after))
    assert f"{told.source}/Recommendation/Id" in shown
