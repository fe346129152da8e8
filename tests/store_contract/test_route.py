"""Does the route from proposal to verdict keep its promises on every store?"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from rig import COOLING, THROUGHPUT
from worlds import OnWarehouse, World, in_json, keeper, now_utc

from bridge.agent.decide import approved_write
from bridge.domain.anomaly import Anomaly, Cleared, Severity
from bridge.domain.command import Command, Verdict
from bridge.domain.lifecycle import CommandStatus, RecommendationStatus
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.recommendation import Proposal, ProposedWrite, writes_from_json
from bridge.errors import IllegalTransition, LostRace, RefusedByRule
from bridge.plant import Plant
from bridge.ports import Store
from bridge.store.promises import Keeper

T = TypeVar("T")

ROUTES = ["opcua", "mqtt"]
REACTOR, ISSUE = "REACTOR_01", "high_temperature"


def a_write(
    tag_path: str = THROUGHPUT, present: object = 450.0, target: object = 405.0, unit: str = "kg/h"
) -> ProposedWrite:
    assert isinstance(present, bool | int | float)
    assert isinstance(target, bool | int | float)
    return ProposedWrite(tag_path=tag_path, present=present, target=target, unit=unit)


def a_proposal(
    *writes: ProposedWrite,
    equipment_id: str = REACTOR,
    issue_type: str = ISSUE,
    severity: Severity = Severity.HIGH,
) -> Proposal:
    return Proposal(
        equipment_id=equipment_id,
        issue_type=issue_type,
        severity=severity,
        confidence=0.875,
        root_cause="the inlet valve is wide open: 95,5 °C »too hot«",
        action="Reduce throughput",
        expected_outcome="below 85 °C within 10 minutes",
        writes=writes,
        readings={"temperature": 95.5, "pressure": None, "flow_rate": 118.25},
        evidence={"signal": "temperature", "value": 95.5, "limit": 90.0},
        source="rules",
    )


async def proposed(store: Store, *writes: ProposedWrite, **more: object) -> str:
    """A pending recommendation with these writes; by default one to the throughput of REACTOR_01."""
    proposal = replace(a_proposal(*(writes or (a_write(),))), **more)  # type: ignore[arg-type]
    made = await store.propose(proposal, valid_s=1800.0)
    assert made is not None
    return made


async def approved(world: World, store: Store, *writes: ProposedWrite, **more: object) -> str:
    made = await proposed(store, *writes, **more)
    await approve(world, made)
    return made


async def approve(world: World, recommendation_id: str, by: str = "anna") -> str:
    desk = await world.desk()
    row = await desk.recommendation(recommendation_id)
    return await desk.approve(recommendation_id, operator=by, digest=row["write_digest"], comment=None)


def status_of(world: World, recommendation_id: str) -> str:
    return str(world.rows("agent_recommendations", recommendation_id=recommendation_id)[0]["status"])


def command_status(world: World, command_id: str) -> str:
    return str(world.rows("agent_commands", command_id=command_id)[0]["status"])


def verdict(
    command: Command,
    status: CommandStatus = CommandStatus.EXECUTED,
    *,
    code: RefusalCode | None = None,
    reason: str = "said by the test",
) -> Verdict:
    return Verdict(
        command_id=command.command_id,
        recommendation_id=command.recommendation_id,
        status=status,
        reason=reason,
        code=code,
        read_back_value=command.new_value if status is CommandStatus.EXECUTED else None,
    )


async def take_one(store: Store) -> Command:
    taken = await store.take_commands(ROUTES, 10)
    assert len(taken) == 1, taken
    return taken[0]


async def sent(store: Store) -> Command:
    command = await take_one(store)
    assert await store.record_intent([command.command_id]) == {command.command_id}
    return command


async def racing(*work: Awaitable[T]) -> list[T | None]:
    """All at once; None for one that others were faster than again and again, who would simply ask again."""
    answers = await asyncio.gather(*work, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, LostRace):
            raise answer
    return [None if isinstance(answer, BaseException) else answer for answer in answers]


def actions(world: World, recommendation_id: str) -> list[str]:
    rows = world.rows("agent_audit", recommendation_id=recommendation_id)
    return [row["action"] for row in sorted(rows, key=lambda row: row["seq"])]


# Proposing


async def test_a_proposal_is_stored_as_it_was_made(world: World) -> None:
    """Every field must come back as it was, and the digest must be the one of the stored text."""
    store = await world.store()
    made = await proposed(store)
    row = world.rows("agent_recommendations", recommendation_id=made)[0]
    assert (row["equipment_id"], row["issue_type"], row["severity"], row["status"]) == (
        REACTOR,
        ISSUE,
        "high",
        "pending",
    )
    assert (row["temperature_reading"], row["pressure_reading"], row["flow_rate_reading"]) == (
        95.5,
        None,
        118.25,
    )
    assert (row["confidence_score"], row["source"], row["created_by_agent"]) == (
        0.875,
        "rules",
        "operations-agent",
    )
    assert row["root_cause_analysis"] == "the inlet valve is wide open: 95,5 °C »too hot«"
    assert in_json(row["evidence"]) == {"signal": "temperature", "value": 95.5, "limit": 90.0}
    assert in_json(row["proposed_writes"]) == [a_write().as_json()]
    assert (row["approved_by_operator"], row["approvals_required"], row["executed_timestamp"]) == (
        None,
        1,
        None,
    )
    assert timedelta(minutes=29) < row["expires_at"] - now_utc() < timedelta(minutes=31)
    shown = await (await world.desk()).recommendation(made)
    assert shown["write_digest"] == hashlib.sha256(shown["proposed_writes"].encode()).hexdigest()
    assert writes_from_json(shown["proposed_writes"]) == (a_write(),)


async def test_one_recommendation_is_open_per_equipment_and_issue(world: World) -> None:
    """A second proposal must make nothing while the first is open, another issue or equipment is another place."""
    store = await world.store()
    made = await proposed(store)
    assert await store.propose(a_proposal(a_write(target=400.0)), 1800.0) is None
    assert await store.propose(a_proposal(issue_type="low_flow"), 1800.0) is not None
    assert await store.propose(a_proposal(equipment_id="PUMP_01"), 1800.0) is not None
    assert len(world.rows("agent_recommendations", equipment_id=REACTOR, issue_type=ISSUE)) == 1
    desk = await world.desk()
    await desk.reject(made, operator="anna", reason="not now")
    assert await store.propose(a_proposal(a_write()), 1800.0) is not None


async def test_of_two_stores_that_propose_at_once_one_at_most_is_open(world: World) -> None:
    """However two agents race, two open recommendations for one issue must never be left."""
    stores = [await world.store(id=f"agent-{number}") for number in range(3)]
    for turn in range(5):
        issue = f"issue_{turn}"
        made = await racing(
            *(store.propose(a_proposal(a_write(), issue_type=issue), 1800.0) for store in stores)
        )
        open_ones = [
            row["recommendation_id"]
            for row in world.rows("agent_recommendations", issue_type=issue)
            if row["status"] == "pending"
        ]
        assert len(open_ones) <= 1
        assert [one for one in made if one is not None] == open_ones
        if keeper(world, "one_open_recommendation") is Keeper.DATABASE:
            assert len(open_ones) == 1


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (a_write("[default]REACTOR_01/Nowhere"), RefusalCode.NOT_LISTED),
        (a_write("[default]REACTOR_02/ThroughputSetpoint"), RefusalCode.NOT_LISTED),
        (a_write(target=99.0), RefusalCode.OUT_OF_RANGE),
        (a_write(present=800.0, target=300.0), RefusalCode.STEP_TOO_LARGE),
        (a_write(unit="t/h"), RefusalCode.WRONG_UNIT),
        (a_write(target=True), RefusalCode.WRONG_TYPE),
        (a_write(COOLING, 0.0, 1.0, ""), RefusalCode.WRONG_TYPE),
    ],
)
async def test_a_write_past_a_limit_is_never_proposed(
    world: World, write: ProposedWrite, code: RefusalCode
) -> None:
    """Allow-list, equipment, range, step, unit and type must be checked when a proposal is made."""
    store = await world.store()
    with pytest.raises(RefusedByRule) as caught:
        await store.propose(a_proposal(write), 1800.0)
    assert caught.value.refusal.code is code
    assert world.rows("agent_recommendations") == []


async def test_one_tag_twice_is_no_proposal(world: World) -> None:
    """Two writes to one tag must be refused: their order would decide the outcome."""
    store = await world.store()
    with pytest.raises(RefusedByRule) as caught:
        await store.propose(a_proposal(a_write(), a_write(target=410.0)), 1800.0)
    assert caught.value.refusal.code is RefusalCode.WRONG_FORM


async def test_a_revision_replaces_a_pending_proposal_and_its_digest(world: World) -> None:
    """A revised proposal must have its own digest, and one that is decided must not be revised."""
    store = await world.store()
    made = await proposed(store)
    before = (await (await world.desk()).recommendation(made))["write_digest"]
    assert await store.revise(made, a_proposal(a_write(target=400.0), severity=Severity.CRITICAL), 1800.0)
    shown = await (await world.desk()).recommendation(made)
    assert shown["write_digest"] != before
    assert shown["severity"] == "critical"
    assert actions(world, made) == ["recommendation.created", "recommendation.revised"]
    await approve(world, made)
    assert not await store.revise(made, a_proposal(a_write(target=390.0)), 1800.0)
    assert writes_from_json(shown["proposed_writes"]) == (a_write(target=400.0),)


async def test_a_renewal_keeps_a_pending_proposal_alive(world: World) -> None:
    """Renewing must move the expiry of what is pending and of nothing else."""
    store = await world.store()
    pending = await proposed(store)
    other = await approved(world, store, issue_type="low_flow")
    for made in (pending, other):
        world.turn_back("agent_recommendations", "expires_at", recommendation_id=made)
    await store.renew([pending, other, "R-unknown"], 600.0)
    assert world.rows("agent_recommendations", recommendation_id=pending)[0]["expires_at"] > now_utc()
    assert world.rows("agent_recommendations", recommendation_id=other)[0]["expires_at"] < now_utc()
    await store.renew([], 600.0)


async def test_the_end_of_a_condition_withdraws_own_undecided_proposals(world: World) -> None:
    """Supersede must take this agent's pending and deferred ones, and neither decided ones nor another agent's."""
    store = await world.store()
    made = await proposed(store)
    other = await world.store(id="another-agent")
    assert await other.supersede(REACTOR, ISSUE, "cleared") == []
    assert await store.supersede(REACTOR, ISSUE, "the condition cleared") == [made]
    row = world.rows("agent_recommendations", recommendation_id=made)[0]
    assert (row["status"], row["execution_result"]) == ("superseded", "the condition cleared")
    assert await store.supersede(REACTOR, ISSUE, "again") == []


async def test_the_newest_recommendation_of_an_issue_is_found(world: World) -> None:
    """The standing must be that of the newest one, whatever its status."""
    store = await world.store()
    assert await store.latest_recommendation(REACTOR, ISSUE) is None
    made = await proposed(store)
    await (await world.desk()).reject(made, operator="anna", reason="not now")
    standing = await store.latest_recommendation(REACTOR, ISSUE)
    assert standing is not None
    assert (standing.recommendation_id, standing.status) == (made, RecommendationStatus.REJECTED)
    assert 0 <= standing.changed_s_ago < 60
    assert not standing.open
    again = await proposed(store)
    standing = await store.latest_recommendation(REACTOR, ISSUE)
    assert standing is not None
    assert (standing.recommendation_id, standing.open) == (again, True)
    assert writes_from_json(standing.writes_text) == (a_write(),)


# Deciding


async def test_an_approval_of_what_is_shown_is_taken(world: World) -> None:
    """The right digest must approve, once, with the name of the person and a row in approvals."""
    store = await world.store()
    made = await proposed(store)
    assert await approve(world, made, by="Anna ") == "approved"
    row = world.rows("agent_recommendations", recommendation_id=made)[0]
    assert (row["status"], row["approved_by_operator"]) == ("approved", "Anna")
    signed = world.rows("approvals", recommendation_id=made)
    assert [(entry["operator"], entry["digest"]) for entry in signed] == [("Anna", row["write_digest"])]
    with pytest.raises(RefusedByRule) as caught:
        await approve(world, made, by="ben")
    assert caught.value.refusal.code is RefusalCode.ALREADY_DECIDED


async def test_an_approval_of_what_was_shown_before_is_refused(world: World) -> None:
    """A digest of writes that have changed since must approve nothing."""
    store = await world.store()
    made = await proposed(store)
    desk = await world.desk()
    stale = (await desk.recommendation(made))["write_digest"]
    await store.revise(made, a_proposal(a_write(target=400.0)), 1800.0)
    with pytest.raises(RefusedByRule) as caught:
        await desk.approve(made, operator="anna", digest=stale, comment=None)
    assert caught.value.refusal.code is RefusalCode.DIGEST_MISMATCH
    assert status_of(world, made) == "pending"
    assert world.rows("approvals") == []


@pytest.mark.parametrize("name", ["operations-agent", " OPERATIONS-AGENT ", "another-agent"])
async def test_an_agent_is_no_person(world: World, name: str) -> None:
    """Neither the maker nor any agent that ever reported may approve."""
    store = await world.store()
    await (await world.store(id="another-agent")).heartbeat(
        online=True, polls_completed=0, cycle_ms=1.0, detail={}
    )
    made = await proposed(store)
    with pytest.raises(RefusedByRule) as caught:
        await approve(world, made, by=name)
    assert caught.value.refusal.code is RefusalCode.NOT_PERMITTED
    assert status_of(world, made) == "pending"


def test_the_agents_store_has_no_way_to_approve(world: World) -> None:
    """No public method of the store may sound like a decision, and the promise must say who keeps it."""
    words = ("approve", "reject", "defer", "decide", "arm")
    names = [name for name in dir(Store) if any(word in name for word in words)]
    assert names == []
    assert keeper(world, "agent_cannot_approve") is not Keeper.NOBODY


async def test_a_proposal_that_expired_cannot_be_approved(world: World) -> None:
    """Too late is too late, by the database's clock."""
    store = await world.store()
    made = await proposed(store)
    world.turn_back("agent_recommendations", "expires_at", recommendation_id=made)
    with pytest.raises(RefusedByRule) as caught:
        await approve(world, made)
    assert caught.value.refusal.code is RefusalCode.EXPIRED


async def test_two_people_have_to_agree_where_two_are_wanted(world: World) -> None:
    """One approval of two must leave it pending, the same person twice must count once, the second must approve."""
    store = await world.store()
    made = await proposed(store)
    world.tamper("agent_recommendations", "approvals_required", 2, recommendation_id=made)
    assert await approve(world, made, by="anna") == "pending"
    assert status_of(world, made) == "pending"
    with pytest.raises(RefusedByRule) as caught:
        await approve(world, made, by="ANNA")
    assert caught.value.refusal.code is RefusalCode.ALREADY_DECIDED
    assert await store.take_commands(ROUTES, 10) == []
    assert await approve(world, made, by="ben") == "approved"
    assert len(await store.take_commands(ROUTES, 10)) == 1


async def test_of_two_who_decide_at_once_one_does(world: World) -> None:
    """Approve and reject in one moment: exactly one must hold."""
    store = await world.store()
    made = await proposed(store)
    desks = [await world.desk(), await world.desk()]
    digest = (await desks[0].recommendation(made))["write_digest"]
    answers = await asyncio.gather(
        desks[0].approve(made, operator="anna", digest=digest, comment=None),
        desks[1].reject(made, operator="ben", reason="too hot", digest=digest),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, RefusedByRule)]
    assert len(refused) == 1, answers
    assert [answer for answer in answers if isinstance(answer, str)] == [status_of(world, made)]


async def test_a_rejection_says_why(world: World) -> None:
    """Without a reason nothing must be rejected, with one it must be kept."""
    store = await world.store()
    made = await proposed(store)
    desk = await world.desk()
    with pytest.raises(RefusedByRule) as caught:
        await desk.reject(made, operator="anna", reason="  ")
    assert caught.value.refusal.code is RefusalCode.REASON_REQUIRED
    assert await desk.reject(made, operator="anna", reason="the valve is being mended") == "rejected"
    row = world.rows("agent_recommendations", recommendation_id=made)[0]
    assert (row["rejection_reason"], row["decided_by_operator"]) == ("the valve is being mended", "anna")


async def test_a_deferred_recommendation_comes_back_by_itself(world: World) -> None:
    """It must wait until its time, then be pending again, also before its time when it has become worse."""
    store = await world.store()
    made = await proposed(store)
    desk = await world.desk()
    for minutes in (0.0, -1.0, 24 * 60 + 1.0):
        with pytest.raises(RefusedByRule) as caught:
            await desk.defer(made, operator="anna", minutes=minutes, comment=None)
        assert caught.value.refusal.code is RefusalCode.TIME_REQUIRED
    assert await desk.defer(made, operator="anna", minutes=5.0, comment="after lunch") == "deferred"
    assert "wake" not in await store.due()
    assert await store.tend(frozenset({"wake"})) == {}
    world.turn_back("agent_recommendations", "defer_until", recommendation_id=made)
    assert "wake" in await store.due()
    assert await store.tend(await store.due()) == {"wake": 1}
    assert status_of(world, made) == "pending"
    await desk.defer(made, operator="anna", minutes=5.0, comment=None)
    assert await store.wake(made)
    assert not await store.wake(made)
    assert status_of(world, made) == "pending"


async def test_a_login_without_the_right_decides_nothing(world: World) -> None:
    """A person whose every session says no must be refused, one without a session decides as ever."""
    store = await world.store()
    made = await proposed(store)
    world.insert("operator_sessions", session_id="p1/vera", operator_id="vera", may_decide=False)
    with pytest.raises(RefusedByRule) as caught:
        await approve(world, made, by="Vera")
    assert caught.value.refusal.code is RefusalCode.NOT_PERMITTED
    desk = await world.desk()
    await desk.open_session("p2", operator="vera")
    assert await approve(world, made, by="Vera") == "approved"
    await desk.count_decision("p2", operator="vera", decision="approved")
    await desk.close_session("p2")
    row = world.rows("operator_sessions", session_id="p2/vera")[0]
    assert (row["status"], row["approved_recommendations"], row["rejected_recommendations"]) == (
        "closed",
        1,
        0,
    )


async def test_tampered_writes_are_shown_to_nobody_as_they_are(world: World) -> None:
    """Writes that do not belong to their digest must neither be approved nor become a command."""
    store = await world.store()
    made = await approved(world, store)
    forged = json.dumps([a_write(target=700.0).as_json()])
    if isinstance(world, OnWarehouse):
        world.tamper("agent_recommendations", "proposed_writes", forged, recommendation_id=made)
    else:
        world.rows("agent_recommendations")  # PostgreSQL's own form of the text
        world.tamper("agent_recommendations", "proposed_writes", forged, recommendation_id=made)
    with pytest.raises(RefusedByRule) as caught:
        await (await world.desk()).recommendation(made)
    assert caught.value.refusal.code is RefusalCode.DIGEST_MISMATCH
    if keeper(world, "approval_binds_writes") is Keeper.BRIDGE:
        assert await store.take_commands(ROUTES, 10) == []
        assert await store.tend(frozenset({"approved"})) == {"approved": 1}
        assert "digest" in str(
            world.rows("agent_recommendations", recommendation_id=made)[0]["execution_result"]
        )


async def test_a_status_without_a_signature_makes_no_command(world: World) -> None:
    """Plain SQL that sets approved, past every rule, must not move the plant."""
    store = await world.store()
    made = await proposed(store)
    world.tamper("agent_recommendations", "approved_by_operator", "mallory", recommendation_id=made)
    world.tamper("agent_recommendations", "approved_timestamp", now_utc(), recommendation_id=made)
    world.tamper("agent_recommendations", "status", "approved", recommendation_id=made)
    if keeper(world, "approval_binds_writes") is Keeper.DATABASE:
        with pytest.raises(RefusedByRule) as caught:
            await store.take_commands(ROUTES, 10)
        assert caught.value.refusal.code is RefusalCode.NOT_APPROVED
    else:
        assert await store.take_commands(ROUTES, 10) == []
        assert await store.tend(frozenset({"approved"})) == {"approved": 1}
        row = world.rows("agent_recommendations", recommendation_id=made)[0]
        assert row["status"] == "expired"
        assert "approvals" in row["execution_result"]
    assert world.rows("agent_commands") == []


# Executing


async def test_an_approval_becomes_a_command_with_all_its_evidence(world: World, plant: Plant) -> None:
    """What is claimed must carry the approved writes and pass the check of the executor."""
    store = await world.store()
    made = await approved(world, store)
    command = await take_one(store)
    assert (command.recommendation_id, command.tag_path, command.sequence) == (made, THROUGHPUT, 1)
    assert (command.expected_value, command.new_value, command.unit) == (450.0, 405.0, "kg/h")
    assert 5.0 < command.lease_left_s <= 15.0
    assert (command.since_last_write_s, command.writes_last_hour, command.sent_utc) == (None, 0, None)
    found = approved_write(command, plant.tags)
    assert not isinstance(found, Refusal), found
    assert found[1] == 405.0
    assert status_of(world, made) == "executing"
    assert await store.take_commands(ROUTES, 10) == []


async def test_writes_go_one_after_the_other(world: World) -> None:
    """The second write of a recommendation must wait until the first was read back and equal."""
    store = await world.store()
    made = await approved(world, store, a_write(COOLING, False, True, ""), a_write())
    first = await sent(store)
    assert (first.tag_path, first.sequence, first.new_value) == (COOLING, 1, 1.0)
    assert await store.take_commands(ROUTES, 10) == []
    assert await store.record_verdicts([verdict(first)]) == []
    second = await sent(store)
    assert (second.tag_path, second.sequence) == (THROUGHPUT, 2)
    assert await store.record_verdicts([verdict(second)]) == [(made, RecommendationStatus.EXECUTED)]
    row = world.rows("agent_recommendations", recommendation_id=made)[0]
    assert row["status"] == "executed"
    assert row["executed_timestamp"] is not None
    assert THROUGHPUT in row["execution_result"]


async def test_a_failed_write_ends_the_others(world: World) -> None:
    """What follows a write that did not succeed must be cancelled, and the recommendation failed."""
    store = await world.store()
    made = await approved(world, store, a_write(COOLING, False, True, ""), a_write())
    first = await sent(store)
    finished = await store.record_verdicts(
        [verdict(first, CommandStatus.FAILED, code=RefusalCode.REFUSED_BY_SERVER)]
    )
    assert finished == [(made, RecommendationStatus.FAILED)]
    statuses = {
        row["sequence"]: row["status"] for row in world.rows("agent_commands", recommendation_id=made)
    }
    assert statuses == {1: "failed", 2: "cancelled"}
    assert "refused_by_server: said by the test" in str(
        world.rows("agent_recommendations", recommendation_id=made)[0]["execution_result"]
    )


async def test_of_two_stores_that_race_one_gets_each_command(world: World) -> None:
    """Every command must be claimed by exactly one of two bridges, and its intent recorded by that one alone."""
    stores = [await world.store(id="agent-a"), await world.store(id="agent-b")]
    made = [
        await approved(world, stores[0], a_write(), issue_type="one"),
        await approved(world, stores[0], a_write(COOLING, False, True, ""), issue_type="two"),
        await approved(
            world,
            stores[0],
            a_write("[default]REACTOR_02/ThroughputSetpoint"),
            equipment_id="REACTOR_02",
        ),
    ]
    taken: list[tuple[int, Command]] = []
    for _round in range(4):
        answers = await racing(*(store.take_commands(ROUTES, 10) for store in stores))
        taken += [(number, command) for number, commands in enumerate(answers) for command in commands or ()]
    assert sorted(command.recommendation_id for _, command in taken) == sorted(made)
    assert len(world.rows("agent_commands")) == 3
    for number, command in taken:
        other = stores[1 - number]
        assert await other.record_intent([command.command_id]) == set()
        assert await stores[number].record_intent([command.command_id]) == {command.command_id}


async def test_a_tag_has_one_live_command(world: World) -> None:
    """Two approvals for one tag, two bridges: the second must wait until the first has a verdict."""
    stores = [await world.store(id="agent-a"), await world.store(id="agent-b")]
    for issue in ("one", "two"):
        await approved(world, stores[0], a_write(), issue_type=issue)
    taken: list[tuple[Store, Command]] = []
    for _round in range(3):
        answers = await racing(*(store.take_commands(ROUTES, 10) for store in stores))
        taken += [
            (store, command) for store, found in zip(stores, answers, strict=True) for command in found or ()
        ]
    assert len(taken) == 1
    store, command = taken[0]
    assert await store.record_intent([command.command_id]) == {command.command_id}
    await store.record_verdicts([verdict(command)])
    next_one = [found for one in stores for found in await one.take_commands(ROUTES, 10)]
    assert len(next_one) == 1
    assert next_one[0].command_id != command.command_id
    assert next_one[0].writes_last_hour == 1
    assert next_one[0].since_last_write_s is not None
    assert 0 <= next_one[0].since_last_write_s < 60


async def test_a_person_ends_an_unknown_outcome(world: World) -> None:
    """What the bridge cannot find out, somebody at the panel can, once and under a name; then the tag is free."""
    store, desk = await world.store(), await world.desk()
    await approved(world, store, a_write(), issue_type="one")
    command = await sent(store)
    unknown = verdict(command, CommandStatus.UNKNOWN, code=RefusalCode.NOT_CONFIRMED)
    found: dict[str, Any] = {"result": "settled by anna, who says 405", "code": None, "read_back": 405.0}
    assert not await desk.settle_by_hand(command.command_id, operator="anna", status="executed", **found)
    await store.record_verdicts([unknown])
    await approved(world, store, a_write(), issue_type="two")
    assert await store.take_commands(ROUTES, 10) == []
    with pytest.raises(RefusedByRule):
        await desk.settle_by_hand(command.command_id, operator="operations-agent", status="executed", **found)
    assert await desk.settle_by_hand(command.command_id, operator="anna", status="executed", **found)
    assert not await desk.settle_by_hand(command.command_id, operator="bert", status="executed", **found)
    row = world.rows("agent_commands", command_id=command.command_id)[0]
    assert (row["status"], row["settled_by"], row["read_back_value"]) == ("executed", "anna", 405.0)
    trail = (await desk.story(command.recommendation_id)).trail
    assert [entry["actor"] for entry in trail if entry["action"] == "command.executed"] == ["anna"]
    assert (await desk.verify_audit()).problem == ""
    assert len(await store.take_commands(ROUTES, 10)) == 1


async def test_an_unknown_outcome_locks_its_tag(world: World) -> None:
    """While nobody knows what became of a write, no second one may leave for the tag."""
    store = await world.store()
    first = await approved(world, store, a_write(), issue_type="one")
    command = await sent(store)
    assert await store.record_verdicts(
        [verdict(command, CommandStatus.UNKNOWN, code=RefusalCode.NOT_CONFIRMED)]
    ) == [(first, RecommendationStatus.FAILED)]
    await approved(world, store, a_write(), issue_type="two")
    assert await store.take_commands(ROUTES, 10) == []
    unsettled = await store.unsettled()
    assert [(item.command_id, item.status) for item in unsettled] == [
        (command.command_id, CommandStatus.UNKNOWN)
    ]
    assert "settle" in await store.due()
    assert await store.settle(unsettled[0], verdict(command))
    assert not await store.settle(unsettled[0], verdict(command))
    assert command_status(world, command.command_id) == "executed"
    assert len(await store.take_commands(ROUTES, 10)) == 1


async def test_an_intent_is_given_once(world: World) -> None:
    """A command whose intent is recorded must never come back from another call, whoever asks."""
    store = await world.store()
    await approved(world, store)
    command = await sent(store)
    assert await store.record_intent([command.command_id]) == set()
    assert await store.record_intent(["C-unknown"]) == set()
    assert await store.release([command.command_id]) == []


async def test_nothing_is_sent_while_disarmed(world: World) -> None:
    """Disarming must stop what is claimed, keep approvals waiting, and cancel what was prepared."""
    store = await world.store()
    desk = await world.desk()
    made = await approved(world, store)
    command = await take_one(store)
    assert await desk.set_armed(False, operator="anna", reason="maintenance")
    assert not await desk.set_armed(False, operator="anna", reason="maintenance")
    control = await desk.control()
    assert (control.armed, control.changed_by, control.reason) == (False, "anna", "maintenance")
    assert await store.record_intent([command.command_id]) == set()
    assert await store.release([command.command_id]) == [command.command_id]
    await store.tend(await store.due())
    assert status_of(world, made) == "failed"
    assert command_status(world, command.command_id) == "cancelled"
    other = await approved(world, store, issue_type="two")
    assert await store.take_commands(ROUTES, 10) == []
    assert await desk.set_armed(True, operator="anna", reason="done")
    assert [found.recommendation_id for found in await store.take_commands(ROUTES, 10)] == [other]


async def test_arming_needs_a_reason_and_a_person(world: World) -> None:
    """An agent must not arm, and nobody without saying why."""
    await (await world.store()).heartbeat(online=True, polls_completed=0, cycle_ms=1.0, detail={})
    desk = await world.desk()
    with pytest.raises(RefusedByRule):
        await desk.set_armed(False, operator="anna", reason=" ")
    with pytest.raises(RefusedByRule) as caught:
        await desk.set_armed(False, operator="operations-agent", reason="because")
    assert caught.value.refusal.code is RefusalCode.NOT_PERMITTED
    assert (await desk.control()).armed


async def test_an_approval_that_lapsed_is_never_executed(world: World) -> None:
    """An approval older than its validity must make no command, and end as expired with the reason."""
    store = await world.store()
    made = await approved(world, store)
    world.turn_back("agent_recommendations", "approved_timestamp", recommendation_id=made)
    assert await store.take_commands(ROUTES, 10) == []
    assert "approved" in await store.due()
    assert await store.tend(await store.due()) == {"approved": 1}
    row = world.rows("agent_recommendations", recommendation_id=made)[0]
    assert row["status"] == "expired"
    assert "not executed within 300 s" in row["execution_result"]


async def test_a_lapsed_approval_cancels_what_was_not_sent(world: World) -> None:
    """A command that nobody has claimed must be cancelled when its approval lapses."""
    store = await world.store()
    made = await approved(world, store)
    command = await take_one(store)
    await store.release([command.command_id])
    world.turn_back("agent_recommendations", "approved_timestamp", recommendation_id=made)
    assert await store.take_commands(ROUTES, 10) == []
    assert (await store.tend(await store.due())).get("cancel") == 1
    assert status_of(world, made) == "failed"
    assert world.rows("agent_commands", command_id=command.command_id)[0]["result_code"] == "expired"


async def test_what_a_dead_bridge_claimed_and_never_sent_is_given_back(world: World) -> None:
    """After its lease the next bridge must have it; the old one's intent must come too late."""
    dead, alive = await world.store(id="agent-a"), await world.store(id="agent-b")
    await approved(world, dead)
    command = await take_one(dead)
    assert "release" not in await alive.due()
    world.turn_back("agent_commands", "lease_expires_at", command_id=command.command_id)
    assert await dead.record_intent([command.command_id]) == set()
    assert "release" in await alive.due()
    assert (await alive.tend(await alive.due())).get("release") == 1
    again = await take_one(alive)
    assert again.command_id == command.command_id
    assert await dead.record_intent([command.command_id]) == set()
    assert await alive.record_intent([command.command_id]) == {command.command_id}


async def test_what_a_dead_bridge_sent_is_settled_by_a_read_back(world: World) -> None:
    """A sent command whose holder is gone must never be sent again, and end by what was read."""
    dead, alive = await world.store(id="agent-a"), await world.store(id="agent-b")
    made = await approved(world, dead)
    command = await sent(dead)
    assert await alive.unsettled() == []
    world.turn_back("agent_commands", "lease_expires_at", command_id=command.command_id)
    (found,) = await alive.unsettled()
    assert (found.command_id, found.status, found.new_value) == (
        command.command_id,
        CommandStatus.EXECUTING,
        405.0,
    )
    assert (found.sent_utc.tzinfo is not None, 0 <= found.sent_s_ago < 60) == (True, True)
    assert await alive.take_commands(ROUTES, 10) == []
    assert await alive.settle(found, verdict(command, CommandStatus.FAILED, code=RefusalCode.NOT_CONFIRMED))
    assert status_of(world, made) == "failed"


async def test_a_verdict_is_the_holders(world: World) -> None:
    """Another bridge's verdict, and a second one, must change nothing."""
    store, other = await world.store(id="agent-a"), await world.store(id="agent-b")
    await approved(world, store)
    command = await sent(store)
    assert await other.record_verdicts([verdict(command)]) == []
    assert command_status(world, command.command_id) == "executing"
    assert len(await store.record_verdicts([verdict(command)])) == 1
    assert await store.record_verdicts([verdict(command, CommandStatus.FAILED)]) == []
    assert command_status(world, command.command_id) == "executed"


async def test_a_success_was_sent_and_read_back(world: World) -> None:
    """Executed without a read-back, or unknown without having been sent, must be refused or change nothing."""
    store = await world.store()
    await approved(world, store)
    command = await take_one(store)
    unread = replace(verdict(command), read_back_value=None)
    with pytest.raises(IllegalTransition):
        await store.record_verdicts([unread])
    assert command_status(world, command.command_id) == "executing"


async def test_limits_narrowed_after_the_approval_stop_the_write(world: World) -> None:
    """An approval that no limit allows any more must end with the reason and hold up no other."""
    store = await world.store()
    made = await approved(world, store)
    other = await approved(world, store, a_write(COOLING, False, True, ""), issue_type="two")
    world.tamper("tag_limits", "high", 300.0, tag_path=THROUGHPUT)
    assert [found.recommendation_id for found in await store.take_commands(ROUTES, 10)] == [other]
    assert (await store.tend(await store.due())).get("approved") == 1
    assert "out_of_range" in str(
        world.rows("agent_recommendations", recommendation_id=made)[0]["execution_result"]
    )


async def test_the_claim_takes_no_more_than_asked(world: World) -> None:
    """A small appetite must be kept to, and routes that were not asked for left alone."""
    store = await world.store()
    for number, tag in enumerate((THROUGHPUT, COOLING)):
        write = a_write() if tag == THROUGHPUT else a_write(COOLING, False, True, "")
        await approved(world, store, write, issue_type=f"issue_{number}")
    assert await store.take_commands(["mqtt"], 10) == []
    first = await store.take_commands(ROUTES, 1)
    assert len(first) == 1
    second = await store.take_commands(ROUTES, 1)
    assert len(second) == 1
    assert first[0].command_id != second[0].command_id


async def test_many_verdicts_are_recorded_together(world: World) -> None:
    """Verdicts of several recommendations in one call must each end their own."""
    store = await world.store()
    made = [
        await approved(world, store, a_write(), issue_type="one"),
        await approved(world, store, a_write(COOLING, False, True, ""), issue_type="two"),
    ]
    commands = await store.take_commands(ROUTES, 10)
    assert len(commands) == 2
    assert len(await store.record_intent([command.command_id for command in commands])) == 2
    finished = await store.record_verdicts(
        [
            verdict(commands[0]),
            verdict(commands[1], CommandStatus.FAILED, reason="it's »odd«; drop table\n--"),
        ]
    )
    assert {recommendation: status.value for recommendation, status in finished} == {
        commands[0].recommendation_id: "executed",
        commands[1].recommendation_id: "failed",
    }
    assert sorted(made) == sorted(recommendation for recommendation, _ in finished)


# Without a write, and others' recommendations


async def test_an_approval_without_a_write_becomes_a_work_order(world: World) -> None:
    """A person has to act: one work order, no command, and the recommendation is executed."""
    store = await world.store()
    made = await store.propose(a_proposal(), 1800.0)
    assert made is not None
    await approve(world, made)
    assert await store.take_commands(ROUTES, 10) == []
    handed = await store.hand_to_people()
    assert [recommendation for _, recommendation in handed] == [made]
    order = world.rows("work_orders", recommendation_id=made)[0]
    assert (order["work_order_id"], order["status"], order["priority"]) == (handed[0][0], "open", "high")
    assert order["description"] == "Reduce throughput"
    row = world.rows("agent_recommendations", recommendation_id=made)[0]
    assert row["status"] == "executed"
    assert "no tag was written" in row["execution_result"]
    assert await store.hand_to_people() == []
    assert world.rows("agent_commands") == []


async def test_a_recommendation_in_prose_gets_its_exact_writes_once(world: World) -> None:
    """Others' rows without writes must be found, completed with a new digest, and left alone afterwards."""
    store = await world.store()
    world.insert(
        "agent_recommendations",
        recommendation_id="X-1",
        equipment_id=REACTOR,
        issue_type=ISSUE,
        severity="high",
        recommended_action="Cool it down",
        created_by_agent="somebody",
    )
    assert "complete" in await store.due()
    (found,) = await store.incomplete_recommendations()
    assert (found.recommendation_id, found.equipment_id, found.issue_type, found.severity) == (
        "X-1",
        REACTOR,
        ISSUE,
        "high",
    )
    before = (await (await world.desk()).recommendation("X-1"))["write_digest"]
    with pytest.raises(RefusedByRule):
        await store.complete("X-1", [a_write(target=5000.0)], {"by": "test"})
    assert await store.complete("X-1", [a_write()], {"by": "test"})
    shown = await (await world.desk()).recommendation("X-1")
    assert shown["write_digest"] != before
    assert json.loads(shown["evidence"])["completion"] == {"by": "test"}
    assert await store.incomplete_recommendations() == []
    assert "complete" not in await store.due()
    assert not await store.complete("X-1", [a_write(target=400.0)], {"by": "test"})
    await approve(world, "X-1")
    assert (await take_one(store)).recommendation_id == "X-1"


async def test_a_remedy_that_was_looked_for_in_vain_is_not_looked_for_again(world: World) -> None:
    """A note without writes must be enough to be left alone."""
    store = await world.store()
    world.insert(
        "agent_recommendations",
        recommendation_id="X-2",
        equipment_id=REACTOR,
        issue_type=ISSUE,
        created_by_agent="somebody",
    )
    assert await store.complete("X-2", [], {"result": "no remedy"})
    assert await store.incomplete_recommendations() == []


async def test_a_proposal_that_nobody_answers_expires(world: World) -> None:
    """Silence must mean no, with the moment in the reason."""
    store = await world.store()
    made = await proposed(store)
    assert "expire" not in await store.due()
    world.turn_back("agent_recommendations", "expires_at", recommendation_id=made)
    assert "expire" in await store.due()
    assert await store.tend(await store.due()) == {"expire": 1}
    row = world.rows("agent_recommendations", recommendation_id=made)[0]
    assert row["status"] == "expired"
    assert row["execution_result"].startswith("nobody answered by 20")


# Life


async def test_a_heartbeat_is_one_row_per_agent(world: World) -> None:
    """Each beat must replace the last, and silence must show as offline."""
    store = await world.store(site="north")
    await store.heartbeat(online=True, polls_completed=1, cycle_ms=2.5, detail={"links": {"plant": {}}})
    await store.heartbeat(online=True, polls_completed=2, cycle_ms=3.5, detail={"links": {}})
    desk = await world.desk()
    (row,) = await desk.agents(offline_after_s=15.0)
    assert (row["agent_id"], row["site"], row["status"], row["polls_completed"], row["cycle_ms"]) == (
        "operations-agent",
        "north",
        "online",
        2,
        3.5,
    )
    assert json.loads(row["detail"]) == {"links": {}}
    world.turn_back("agent_health", "last_heartbeat", agent_id="operations-agent")
    assert (await desk.agents(offline_after_s=15.0))[0]["status"] == "offline"
    await store.heartbeat(online=False, polls_completed=3, cycle_ms=1.0, detail={})
    assert (await desk.agents(offline_after_s=15.0))[0]["status"] == "offline"


async def test_a_condition_keeps_one_identity_to_its_end(world: World) -> None:
    """Begin, grow worse, be linked, end: one row, and the next episode another."""
    store = await world.store()
    since = now_utc() - timedelta(minutes=3)
    anomaly = Anomaly(
        equipment_id=REACTOR,
        issue_type=ISSUE,
        severity=Severity.MEDIUM,
        confidence=0.5,
        signal="temperature",
        tag_path="[default]REACTOR_01/Temperature",
        value=91.0,
        limit=90.0,
        unit="°C",
        since_utc=since,
        seen_utc=now_utc(),
    )
    await store.record_condition(anomaly)
    await store.record_condition(replace(anomaly, severity=Severity.HIGH, since_utc=now_utc()))
    await store.link_condition(REACTOR, ISSUE, await proposed(store))
    (found,) = await store.active_conditions()
    assert (found.equipment_id, found.issue_type, found.severity, found.since_utc) == (
        REACTOR,
        ISSUE,
        Severity.HIGH,
        since,
    )
    assert found.recommendation_id is not None
    await store.close_condition(Cleared(equipment_id=REACTOR, issue_type=ISSUE, cleared_utc=now_utc()))
    assert await store.active_conditions() == []
    await store.record_condition(anomaly)
    assert len(world.rows("equipment_conditions")) == 2


async def test_a_cycle_with_nothing_to_do_costs_one_statement(world: World) -> None:
    """due and the tending that follows it must be one round trip, and so must looking for commands."""
    store = await world.store()
    await proposed(store)
    before = world.asked()
    assert await store.tend(await store.due()) == {}
    assert world.asked() - before == 1
    assert await store.take_commands(ROUTES, 10) == []
    assert world.asked() - before == 2


async def test_listening_gives_every_task_its_turn(world: World) -> None:
    """Silence must come as None within the wait, also where nothing is ever announced."""
    store = await world.store()
    hints = store.notifications(wait_s=0.05)
    async with asyncio.timeout(40):
        assert [await anext(hints) for _ in range(3)] == [None, None, None]
    await hints.aclose()  # type: ignore[attr-defined]


# The audit trail


async def test_the_trail_tells_the_whole_route(world: World) -> None:
    """Every change of a recommendation and its command must be there, in order, by whom, in a whole chain."""
    store = await world.store()
    made = await approved(world, store)
    command = await sent(store)
    await store.record_verdicts([verdict(command)])
    assert actions(world, made) == [
        "recommendation.created",
        "approval.given",
        "recommendation.approved",
        "recommendation.executing",
        "command.created",
        "command.claimed",
        "command.sent",
        "command.executed",
        "recommendation.executed",
    ]
    trail = {row["action"]: row for row in world.rows("agent_audit", recommendation_id=made)}
    assert trail["recommendation.approved"]["actor"] == "anna"
    assert trail["recommendation.approved"]["db_role"] == "bridge_operator"
    assert trail["command.sent"]["db_role"] == "bridge_agent"
    assert (trail["command.executed"]["old_status"], trail["command.executed"]["new_status"]) == (
        "executing",
        "executed",
    )
    state = await (await world.desk()).verify_audit()
    assert state.problem == ""
    assert state.seq == max(row["seq"] for row in world.rows("agent_audit"))


async def test_a_changed_entry_breaks_the_chain(world: World) -> None:
    """Whoever rewrites the trail must be found out."""
    store = await world.store()
    made = await approved(world, store)
    seq = min(row["seq"] for row in world.rows("agent_audit", recommendation_id=made))
    if isinstance(world, OnWarehouse):
        world.sql("alter table agent_audit set tblproperties ('delta.appendOnly' = 'false')")
    world.tamper("agent_audit", "actor", "nobody", seq=seq)
    state = await (await world.desk()).verify_audit()
    assert f"entry {seq} was changed" in state.problem


async def test_entries_of_many_at_once_stay_one_chain(world: World) -> None:
    """Bridges that write at the same time must not fork the chain or lose an entry."""
    stores = [await world.store(id=f"agent-{number}") for number in range(3)]

    async def work(store: Store, number: int) -> list[str]:
        found = []
        for turn in range(3):
            while True:
                try:
                    found.append(await store.propose(a_proposal(issue_type=f"issue_{number}_{turn}"), 1800.0))
                    break
                except LostRace:
                    continue  # as the recommender does
        await store.tend(frozenset())  # what is owed to the trail
        return [one for one in found if one is not None]

    made = [one for some in await asyncio.gather(*(work(s, n) for n, s in enumerate(stores))) for one in some]
    assert len(made) == 9
    recorded = [row["object_id"] for row in world.rows("agent_audit", action="recommendation.created")]
    assert sorted(recorded) == sorted(made)
    assert (await (await world.desk()).verify_audit()).problem == ""


async def test_the_story_is_told_from_the_tables(world: World) -> None:
    """explain must find recommendation, commands, work orders and trail."""
    store = await world.store()
    made = await approved(world, store)
    command = await sent(store)
    desk = await world.desk()
    story = await desk.story(made)
    assert story.recommendation["recommendation_id"] == made
    assert (story.recommendation["approvers"], story.recommendation["approvals_given"]) == ("anna", 1)
    assert json.loads(story.recommendation["limits"])[THROUGHPUT]["high"] == 800.0
    assert [row["command_id"] for row in story.commands] == [command.command_id]
    assert list(story.work_orders) == []
    assert story.trail[0]["action"] == "recommendation.created"
    assert all(row["at"].tzinfo is not None for row in story.trail)
    assert [row["recommendation_id"] for row in await desk.open_recommendations()] == [made]
    assert await desk.command_counts() == {"executing": 1}


def test_both_stores_speak_of_the_same_promises(world: World) -> None:
    """Every promise must have a name, a sentence and a keeper, on either store the same ones."""
    assert len({promise.name for promise in world.promises}) == len(world.promises) > 15
    assert all(promise.what and promise.how for promise in world.promises)
