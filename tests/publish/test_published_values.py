"""Does the OPC UA server show what the database says, at once, and never show a failure as quiet?"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds
from publish_stand import Stand, node_id, until
from rig import THROUGHPUT

from bridge.plant import Plant
from bridge.publish.nodes import NAMESPACE

SOON_S = 1.0
REACTOR = "Equipment/REACTOR_01"


async def test_a_new_recommendation_is_shown_within_a_second(stand: Stand) -> None:
    """Id, digest, severity, text and counts must follow the insert by notification, not by the next poll."""
    await stand.shows(f"{REACTOR}/Recommendation/Id", "")
    made = stand.hands.propose()
    began_s = time.monotonic()
    await stand.shows(f"{REACTOR}/Recommendation/Id", made)
    assert time.monotonic() - began_s < SOON_S
    row = stand.hands.recommendation(made)
    assert await stand.value(f"{REACTOR}/Recommendation/Digest") == row["write_digest"]
    assert await stand.value(f"{REACTOR}/Recommendation/Severity") == "high"
    assert await stand.value(f"{REACTOR}/Recommendation/Text") == "Reduce throughput"
    assert await stand.value(f"{REACTOR}/Recommendation/OpenCount") == 1
    assert await stand.value("Counts/pending/high") == 1
    assert await stand.value("Counts/pending/total") == 1


async def test_the_writes_are_the_text_that_the_digest_belongs_to(stand: Stand) -> None:
    """Whoever hashes the shown writes must get the shown digest."""
    made = stand.hands.propose()
    await stand.shows(f"{REACTOR}/Recommendation/Id", made)
    shown = await stand.value(f"{REACTOR}/Recommendation/Writes")
    digest = stand.hands.value("select encode(sha256(%s::bytea), 'hex')", shown.encode())
    assert digest == await stand.value(f"{REACTOR}/Recommendation/Digest")


async def test_of_several_open_ones_the_most_severe_is_shown(stand: Stand) -> None:
    """A critical one that came later must take the place of a high one."""
    stand.hands.propose()
    later = stand.hands.propose(issue_type="high_pressure", writes=[])
    stand.hands.agent.execute(
        "update agent_recommendations set severity = 'critical' where recommendation_id = %s", (later,)
    )
    # A severity alone announces nothing; a status does.
    stand.hands.propose(equipment_id="PUMP_01", writes=[])
    await stand.shows(f"{REACTOR}/Recommendation/Id", later)
    assert await stand.value(f"{REACTOR}/Recommendation/OpenCount") == 2


async def test_what_is_decided_elsewhere_is_shown_within_a_second(stand: Stand) -> None:
    """An approval at the HMI must show as status and count, and the finished one must leave."""
    made = stand.hands.propose()
    await stand.shows(f"{REACTOR}/Recommendation/Status", "pending")
    stand.hands.approve(made)
    await stand.shows(f"{REACTOR}/Recommendation/Status", "approved", SOON_S)
    assert await stand.value("Counts/approved/high") == 1
    command = stand.hands.begin(made)[0]
    stand.hands.claim(command)
    stand.hands.send(command)
    await stand.shows("Commands/executing", 1)
    stand.hands.end(command, "executed", read_back=405.0)
    await stand.shows(f"{REACTOR}/LastCommand/Verdict", "executed", SOON_S)
    assert await stand.value(f"{REACTOR}/LastCommand/Id") == command
    assert await stand.value(f"{REACTOR}/LastCommand/Tag") == THROUGHPUT
    assert await stand.value(f"{REACTOR}/LastCommand/Value") == 405.0
    assert await stand.value(f"{REACTOR}/LastCommand/Result") == "said by the test"
    stand.hands.agent.execute(
        "update agent_recommendations set status = 'executed', execution_result = 'x' where recommendation_id = %s",
        (made,),
    )
    await stand.shows(f"{REACTOR}/Recommendation/Id", "", SOON_S)
    assert await stand.value("Counts/executed/high") == 1


async def test_disarming_is_shown_within_a_second(stand: Stand) -> None:
    """The switch, who turned it and why."""
    await stand.shows("Control/Armed", True)
    stand.hands.operator.execute(
        "update bridge_control set armed = false, changed_by = 'anna', reason = 'maintenance'"
    )
    await stand.shows("Control/Armed", False, SOON_S)
    assert await stand.value("Control/ChangedBy") == "anna"
    assert await stand.value("Control/Reason") == "maintenance"


async def test_a_heartbeat_is_shown_with_what_waits_on_disk(stand: Stand) -> None:
    """Own agent below Agent, others below Agents; one that has gone silent is offline."""
    assert await stand.value("Agent/Status") == "never_seen"
    stand.hands.agent.execute(
        "insert into agent_health (agent_id, polls_completed, cycle_ms, version, detail)"
        " values ('operations-agent', 7, 12.5, '1.2.3', '{\"buffer\": {\"depth\": 42}}')"
    )
    stand.hands.agent.execute(
        "insert into agent_health (agent_id, last_heartbeat) values ('a/b', now() - interval '1 hour')"
    )
    stand.hands.propose()  # heartbeats announce nothing
    await stand.shows("Agent/Status", "online")
    assert await stand.value("Agent/PollsCompleted") == 7
    assert await stand.value("Agent/CycleMs") == 12.5
    assert await stand.value("Agent/BufferDepth") == 42
    assert await stand.value("Agents/a%2Fb/Status") == "offline"
    assert 3590 < await stand.value("Agents/a%2Fb/HeartbeatAgeS") < 3700


async def test_times_are_those_of_the_source(stand: Stand) -> None:
    """A value's source time must be when it arose in the database, not when it was read."""
    made = stand.hands.propose()
    await stand.shows(f"{REACTOR}/Recommendation/Id", made)
    row = stand.hands.recommendation(made)
    found = await stand.data(f"{REACTOR}/Recommendation/Id")
    assert found.SourceTimestamp == row["updated_timestamp"].replace(tzinfo=found.SourceTimestamp.tzinfo)  # type: ignore[union-attr]
    created = await stand.value(f"{REACTOR}/Recommendation/CreatedAt")
    assert created.replace(tzinfo=UTC) == row["created_timestamp"]
    expires = await stand.value(f"{REACTOR}/Recommendation/ExpiresAt")
    assert expires.replace(tzinfo=UTC) == row["expires_at"]
    left_s = await stand.value(f"{REACTOR}/Recommendation/ExpiresInS")
    assert abs(left_s - (row["expires_at"] - datetime.now(UTC)) / timedelta(seconds=1)) < 5


async def test_no_time_is_the_null_time_of_opc_ua(stand: Stand) -> None:
    """With nothing open, times are OPC UA's null, numbers 0, texts empty, and all of it good."""
    found = await stand.data(f"{REACTOR}/Recommendation/CreatedAt")
    assert found.StatusCode is not None
    assert found.StatusCode.is_good()
    assert found.Value is not None
    assert found.Value.Value is None or found.Value.Value.year == 1601
    assert await stand.value(f"{REACTOR}/Recommendation/AgeS") == 0.0
    assert await stand.value(f"{REACTOR}/LastCommand/Verdict") == ""


async def test_moments_that_no_tag_can_hold_do_not_blind_the_others(stand: Stand) -> None:
    """An expiry of infinity, as anybody with the right may insert, must not stop everything from being shown."""
    with stand.hands.owner.transaction():
        stand.hands.owner.execute("set local session_replication_role = replica")
        stand.hands.owner.execute(
            "insert into agent_recommendations (recommendation_id, equipment_id, issue_type, expires_at,"
            " created_timestamp, updated_timestamp) values"
            " ('R-odd', 'ODD/%', 'x', 'infinity', '4000-01-01 BC', '200000-01-01')"
        )
    made = stand.hands.propose()
    await stand.shows(f"{REACTOR}/Recommendation/Id", made)
    assert await stand.value("Equipment/ODD%2F%25/Recommendation/Id") == "R-odd"
    assert (await stand.value("Equipment/ODD%2F%25/Recommendation/ExpiresAt")).year == 9999


async def test_a_database_that_is_away_never_looks_like_quiet(stand: Stand) -> None:
    """Values keep what they last were with uncertain quality, the status says why, and all of it ends by itself."""
    made = stand.hands.propose()
    await stand.shows(f"{REACTOR}/Recommendation/Id", made)
    await stand.wire.cut()
    await stand.shows("Agent/Status", "database_away", 5.0)
    assert await stand.value("Agent/Problem")
    for path in (
        f"{REACTOR}/Recommendation/Id",
        "Control/Armed",
        "Counts/pending/high",
        "Agent/LastHeartbeat",
    ):
        found = await stand.data(path)
        assert found.StatusCode is not None
        assert found.StatusCode.name == "UncertainLastUsableValue", path
    kept = await stand.data(f"{REACTOR}/Recommendation/Id")
    assert kept.Value is not None
    assert kept.Value.Value == made
    stand.hands.approve(made)
    await stand.wire.restore()
    await stand.shows(f"{REACTOR}/Recommendation/Status", "approved")
    assert await stand.value("Agent/Status") == "never_seen"
    assert await stand.value("Agent/Problem") == ""


async def test_equipment_of_the_configuration_is_there_before_anything_happens(
    stand: Stand, plant: Plant
) -> None:
    """Ignition's tags must find their nodes from the first moment."""
    parent = stand.view.get_node(await node_id(stand.view, "Equipment"))
    names = {(await child.read_browse_name()).Name for child in await parent.get_children()}
    assert names >= set(plant.equipment)
    assert NAMESPACE in await stand.view.get_namespace_array()


class Heard:
    """Takes events as a client does."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def event_notification(self, event: Any) -> None:
        self.events.append(event)


async def test_new_recommendations_and_verdicts_are_told_as_events(stand: Stand) -> None:
    """One event each, with ids, severity and words; nothing is told twice."""
    heard = Heard()
    types = stand.view.get_node(ua.NodeId(ua.Int32(ObjectIds.BaseEventType)))
    ours = {str((await kind.read_browse_name()).Name): kind for kind in await types.get_children()}
    subscription = await stand.view.create_subscription(50, heard)
    await subscription.subscribe_events(
        evtypes=[ours["NewRecommendationEventType"], ours["VerdictEventType"]]
    )
    made = stand.hands.propose()
    await until(lambda: _count(heard, 1))
    stand.hands.approve(made)
    command = stand.hands.begin(made)[0]
    stand.hands.claim(command)
    stand.hands.send(command)
    await stand.shows("Commands/executing", 1)
    stand.hands.end(command, "unknown")
    await until(lambda: _count(heard, 2))
    stand.hands.end(command, "executed", read_back=405.0)
    await until(lambda: _count(heard, 3))
    stand.hands.propose(equipment_id="PUMP_01", writes=[])
    await until(lambda: _count(heard, 4))
    await asyncio.sleep(0.5)
    first, unsure, done, other = heard.events
    assert (first.ObjectId, first.EquipmentId, first.Outcome) == (made, "REACTOR_01", "pending")
    assert first.Severity == 700
    assert first.SourceName == "REACTOR_01"
    assert first.SourceNode.Identifier == "Equipment/REACTOR_01"
    assert "Reduce throughput" in first.Message.Text
    assert (unsure.ObjectId, unsure.RecommendationId, unsure.Outcome) == (command, made, "unknown")
    assert unsure.Severity == 800
    assert (done.ObjectId, done.Outcome) == (command, "executed")
    assert other.EquipmentId == "PUMP_01"


async def _count(heard: Heard, wanted: int) -> bool:
    return len(heard.events) >= wanted
