"""Recommend: one lasting condition, one recommendation, with exact writes from the live value and no surprises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from rig import Row, refused

from agent.bench import Bench, MakeBench, Watcher, cooling, switch_of, throughput, until, write_of
from bridge.clock import SystemClock
from bridge.domain.reading import Quality, Reading
from bridge.domain.recommendation import Proposal
from bridge.domain.tag import Tag
from bridge.plant import Plant
from bridge.ports import TagLink
from bridge.store.postgres import PostgresStore
from bridge.wiring import links_of

MEDIUM, HIGH, CRITICAL, NORMAL = 86.0, 91.0, 96.0, 75.0


def writes_of(row: Row) -> list[tuple[str, object, object]]:
    return [(write["tag_path"], write["from"], write["to"]) for write in row["proposed_writes"]]


def dead_links(bench: Bench) -> dict[str, TagLink]:
    """The same links, never started: down."""
    return links_of(bench.settings, Plant.of(bench.settings), SystemClock())


async def looks(watcher: Watcher, celsius: float) -> None:
    """Several looks while the condition lasts, with the time between two looks at one condition gone by."""
    for _ in range(3):
        await watcher.feed(celsius)
        for episode in watcher.recommender._episodes.values():
            episode.look_again_s = 0.0
        await watcher.look()


async def moved(bench: Bench, watcher: Watcher, kg_h: float) -> None:
    """Somebody moves the set-point, and the watcher has heard of it."""
    await bench.floor.by_hand(bench.reactor, kg_h)

    def heard() -> bool:
        reading = watcher.detector.reading(throughput(bench.reactor))
        return reading is not None and reading.value == kg_h

    await until(heard, "the subscription tells")


def backdate(bench: Bench, recommendation_id: str, seconds: float) -> None:
    """What waiting would do: the last change of this row lies further back."""
    with bench.hands.owner.transaction():
        bench.hands.owner.execute("set local session_replication_role = replica")
        bench.hands.owner.execute(
            "update agent_recommendations set updated_timestamp = updated_timestamp - make_interval(secs => %s)"
            " where recommendation_id = %s",
            (seconds, recommendation_id),
        )


async def test_onset_is_one_recommendation_with_exact_writes_from_the_live_value(bench: Bench) -> None:
    """The proposal starts from what the plant shows now, not from a default, and says what it rests on."""
    await bench.floor.by_hand(bench.reactor, 480.0)
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    row = bench.only()
    assert (row["status"], row["severity"], row["confidence_score"]) == ("pending", "medium", 0.85)
    assert writes_of(row) == [(throughput(bench.reactor), 480.0, 432.0)]
    assert row["temperature_reading"] == MEDIUM
    assert row["evidence"]["value"] == MEDIUM
    assert row["evidence"]["limit"] == 85.0
    assert row["root_cause_analysis"]


async def test_worsening_escalates_in_place_and_voids_what_was_shown_before(bench: Bench) -> None:
    """Medium, high, critical: one row, a new digest each time, and an approval of the old one is refused."""
    watcher = await bench.watcher()
    digests = []
    for celsius, severity, target in (
        (MEDIUM, "medium", 450.0),
        (HIGH, "high", 375.0),
        (CRITICAL, "critical", 250.0),
    ):
        await watcher.feed(celsius)
        row = bench.only()
        digests.append(row["write_digest"])
        assert (row["status"], row["severity"]) == ("pending", severity)
        assert writes_of(row)[0] == (throughput(bench.reactor), 500.0, target)
    assert writes_of(bench.only())[1] == (cooling(bench.reactor), False, True)
    assert len(set(digests)) == 3
    approved = bench.hands.operator.execute(
        "update agent_recommendations set status = 'approved', approved_by_operator = 'anna'"
        " where status = 'pending' and write_digest = %s returning 1",
        (digests[0],),
    ).fetchall()
    assert approved == []
    with refused("digest_mismatch"):
        bench.hands.operator.execute(
            "insert into approvals (recommendation_id, operator, digest) values (%s, 'anna', %s)",
            (bench.only()["recommendation_id"], digests[1]),
        )


async def test_severity_that_falls_back_does_not_soften_what_is_shown(bench: Bench) -> None:
    """A proposal is withdrawn only when the condition ends; in between it does not flutter."""
    watcher = await bench.watcher()
    await watcher.feed(CRITICAL)
    before = bench.only()
    await watcher.feed(MEDIUM)
    await watcher.look()
    assert (bench.only()["severity"], bench.only()["write_digest"]) == ("critical", before["write_digest"])


async def test_lasting_condition_stays_one_recommendation_and_is_renewed(make_bench: MakeBench) -> None:
    """Many looks later there is still one row, kept alive because somebody still stands behind it."""
    bench = await make_bench(agent={"proposal_valid_s": 0.9, "tend_s": 0.01})
    watcher = await bench.watcher()
    await watcher.feed(HIGH)
    first = bench.only()

    async def renewed() -> bool:
        await watcher.feed(HIGH)
        await watcher.look()
        return bool(bench.only()["expires_at"] > first["expires_at"])

    for _ in range(3):
        await until(renewed, "renewed")
        first = bench.only()
    assert first["status"] == "pending"
    assert bench.actions(first["recommendation_id"]) == ["recommendation.created"]


async def test_condition_that_nobody_can_see_is_not_renewed_and_expires(make_bench: MakeBench) -> None:
    """Nobody stands behind a proposal whose signal has gone: it is neither renewed nor withdrawn, it lapses."""
    bench = await make_bench(agent={"proposal_valid_s": 0.5})
    watcher = await bench.watcher()
    await watcher.feed(HIGH)
    made = bench.only()
    await watcher.feed(None, quality=Quality.BAD)

    async def expired() -> bool:
        await watcher.look()
        return bool(bench.hands.recommendation(made["recommendation_id"])["status"] == "expired")

    await until(expired, "it lapses")
    assert len([row for row in bench.recommendations() if row["issue_type"] == "high_temperature"]) == 1


async def test_set_point_that_moves_while_pending_revises_the_proposal(bench: Bench) -> None:
    """What is shown always starts from what is there: a moved set-point gives new writes and a new digest."""
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    before = bench.only()
    await moved(bench, watcher, 400.0)
    await watcher.look()
    row = bench.only()
    assert writes_of(row) == [(throughput(bench.reactor), 400.0, 360.0)]
    assert row["write_digest"] != before["write_digest"]
    assert bench.actions(row["recommendation_id"])[-1] == "recommendation.revised"


async def test_set_point_that_moves_within_the_tolerance_changes_nothing(bench: Bench) -> None:
    """Noise of a set-point must not void what an operator is reading."""
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    before = bench.only()
    await moved(bench, watcher, 500.25)
    await watcher.look()
    assert bench.only()["write_digest"] == before["write_digest"]


async def test_condition_that_ends_withdraws_the_proposal(bench: Bench) -> None:
    """Superseded with the reason; the condition is closed, and a new episode is a new recommendation."""
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    await watcher.feed(NORMAL)
    row = bench.only()
    assert row["status"] == "superseded"
    assert "cleared" in row["execution_result"]
    assert await bench.store.active_conditions() == []
    await watcher.feed(MEDIUM)
    assert [row["status"] for row in bench.recommendations()] == ["superseded", "pending"]


async def test_approved_proposal_is_not_withdrawn_by_the_end_of_the_condition(bench: Bench) -> None:
    """A person decided; the agent does not take that back."""
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    bench.hands.approve(bench.only()["recommendation_id"])
    await watcher.feed(NORMAL)
    assert bench.only()["status"] == "approved"


@pytest.mark.parametrize("worse", [False, True], ids=["as bad as before", "worse"])
async def test_deferred_comes_back_early_only_when_it_gets_worse(bench: Bench, worse: bool) -> None:
    """Put off means quiet; a condition that has become more severe is another matter."""
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    made = bench.only()["recommendation_id"]
    bench.hands.operator.execute(
        "update agent_recommendations set status = 'deferred', decided_by_operator = 'anna',"
        " defer_until = now() + interval '1 hour' where recommendation_id = %s",
        (made,),
    )
    await watcher.feed(HIGH if worse else MEDIUM + 1)
    await watcher.look()
    row = bench.only()
    assert (row["status"], row["severity"]) == (("pending", "high") if worse else ("deferred", "medium"))
    assert len(row["proposed_writes"]) == (2 if worse else 1)


async def test_deferred_comes_back_by_itself_when_its_time_has_come(bench: Bench) -> None:
    """At defer_until it waits for a person again, revised if the plant has moved meanwhile."""
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    made = bench.only()["recommendation_id"]
    bench.hands.operator.execute(
        "update agent_recommendations set status = 'deferred', decided_by_operator = 'anna',"
        " defer_until = now() + interval '1 hour' where recommendation_id = %s",
        (made,),
    )
    await moved(bench, watcher, 400.0)
    await watcher.look()
    assert bench.only()["status"] == "deferred"
    bench.hands.let_deferral_end(made)
    await watcher.look()
    row = bench.only()
    assert row["status"] == "pending"
    assert writes_of(row) == [(throughput(bench.reactor), 400.0, 360.0)]


REJECTED = "update agent_recommendations set status = 'rejected', rejection_reason = 'no' where recommendation_id = %s"


@pytest.mark.parametrize("how", ["waiting", "worse", "back-off over", "cleared and back"])
async def test_rejected_is_not_proposed_again_before_its_back_off_or_worse(
    make_bench: MakeBench, how: str
) -> None:
    """No means no for a while, unless the condition becomes more severe or ends and begins anew."""
    bench = await make_bench(agent={"after_rejected_s": 600.0, "tend_s": 0.01})
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    made = bench.only()["recommendation_id"]
    bench.hands.operator.execute(REJECTED, (made,))
    if how == "worse":
        await watcher.feed(HIGH)
    elif how == "cleared and back":
        await watcher.feed(NORMAL)
        await watcher.feed(MEDIUM)
    elif how == "back-off over":
        backdate(bench, made, 601)
    await looks(watcher, HIGH if how == "worse" else MEDIUM)
    statuses = [row["status"] for row in bench.recommendations()]
    assert statuses == (["rejected"] if how == "waiting" else ["rejected", "pending"])


@pytest.mark.parametrize("over", [False, True], ids=["too early", "time is over"])
async def test_executed_is_followed_up_after_its_own_time(make_bench: MakeBench, over: bool) -> None:
    """The plant gets time to follow; when the condition still lasts afterwards, the next step starts from now."""
    bench = await make_bench(agent={"after_executed_s": 600.0, "tend_s": 0.01})
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    made = bench.only()["recommendation_id"]
    bench.hands.approve(made)
    assert (await bench.execute(made))["status"] == "executed"
    await until(
        lambda: getattr(watcher.detector.reading(throughput(bench.reactor)), "value", None) == 450.0, "heard"
    )
    if over:
        backdate(bench, made, 601)
    await looks(watcher, MEDIUM)
    rows = bench.recommendations()
    assert [row["status"] for row in rows] == (["executed", "pending"] if over else ["executed"])
    if over:
        assert writes_of(rows[1]) == [(throughput(bench.reactor), 450.0, 405.0)]


def from_others(
    bench: Bench, *writes: Mapping[str, object], issue: str = "high_temperature", **more: str
) -> str:
    """What a Genie job or an engineer inserts with the old columns, and perhaps exact writes."""
    row = bench.hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, severity, recommended_action, created_by_agent,"
        " proposed_writes, evidence) values (%s, %s, 'high', 'Slow it down', 'genie', %s::jsonb, %s::jsonb)"
        " returning recommendation_id",
        (
            more.get("equipment", bench.reactor),
            issue,
            json.dumps([dict(write) for write in writes]),
            more.get("evidence", "{}"),
        ),
    ).fetchone()
    assert row is not None
    return str(row["recommendation_id"])


async def test_prose_of_others_is_completed_from_the_configured_remedy(bench: Bench) -> None:
    """Words become exact writes while nobody has decided; the words themselves stay as they were."""
    watcher = await bench.watcher()
    made = from_others(bench)
    await watcher.look()
    row = bench.only()
    assert row["recommendation_id"] == made
    assert row["recommended_action"] == "Slow it down"
    assert writes_of(row) == [
        (throughput(bench.reactor), 500.0, 375.0),
        (cooling(bench.reactor), False, True),
    ]
    assert row["evidence"]["completion"]["by"] == "test-agent"


@pytest.mark.parametrize("evidence", ["[]", '["a", "b"]', '"text"', "7", "null"])
async def test_prose_with_unexpected_evidence_is_completed_once(bench: Bench, evidence: str) -> None:
    """Whatever others put into `evidence` is kept, and the note is found again at the next look."""
    watcher = await bench.watcher()
    from_others(bench, issue="something_else", evidence=evidence)
    await watcher.look()
    before = bench.only()
    assert await bench.store.incomplete_recommendations() == []
    await watcher.look()
    assert bench.only()["evidence"] == before["evidence"]


@pytest.mark.parametrize(
    ("issue", "equipment"),
    [("something_else", ""), ("high_temperature", "BOILER_99")],
    ids=["issue", "equipment"],
)
async def test_prose_without_a_remedy_is_noted_and_becomes_a_work_order(
    bench: Bench, issue: str, equipment: str
) -> None:
    """Approved words without exact writes send a person, never a value."""
    watcher = await bench.watcher()
    made = from_others(bench, issue=issue, **({"equipment": equipment} if equipment else {}))
    await watcher.look()
    row = bench.hands.recommendation(made)
    assert row["proposed_writes"] == []
    assert "no remedy" in row["evidence"]["completion"]["result"]
    bench.hands.approve(made)
    async with bench.executing(bench.executor()):
        await watcher.look()
    row = bench.hands.recommendation(made)
    assert row["status"] == "executed"
    assert "work order" in row["execution_result"]
    orders = bench.hands.owner.execute("select * from work_orders").fetchall()
    assert [(order["recommendation_id"], order["description"]) for order in orders] == [
        (made, "Slow it down")
    ]
    assert bench.hands.commands_of(made) == []
    assert bench.floor.writes(bench.reactor) == []


async def test_prose_approved_before_it_was_completed_is_never_written(bench: Bench) -> None:
    """A person approved words: words are what they get, a work order, even though a remedy exists."""
    made = from_others(bench)
    bench.hands.approve(made)
    watcher = await bench.watcher()
    await watcher.look()
    assert bench.hands.recommendation(made)["status"] == "executed"
    assert bench.hands.commands_of(made) == []


async def test_exact_writes_of_others_are_left_as_they_are(bench: Bench) -> None:
    """Somebody else's proposal for the same condition keeps its place and its writes, also when it worsens."""
    watcher = await bench.watcher()
    from_others(bench, write_of(bench.reactor, 470.0))
    before = bench.only()
    await watcher.feed(MEDIUM)
    await watcher.feed(CRITICAL)
    await watcher.look()
    row = bench.only()
    assert (row["write_digest"], row["created_by_agent"]) == (before["write_digest"], "genie")
    await watcher.feed(NORMAL)
    assert bench.only()["status"] == "pending", "only who proposed it withdraws it"


async def test_prose_stays_incomplete_while_the_link_is_down(bench: Bench) -> None:
    """A link that is down is no answer: the row is completed at a later look."""
    made = from_others(bench)
    deaf = await bench.watcher(links=dead_links(bench))
    await deaf.look()
    assert bench.hands.recommendation(made)["evidence"] == {}
    watcher = await bench.watcher()
    await watcher.look()
    assert len(bench.hands.recommendation(made)["proposed_writes"]) == 2


async def test_link_down_while_composing_gives_prose_that_says_why_and_is_completed_later(
    bench: Bench,
) -> None:
    """Nobody waits for a link: people are told at once, and the exact writes follow when it is back."""
    links = dead_links(bench)
    watcher = await bench.watcher(links=links)
    await watcher.feed(HIGH)
    row = bench.only()
    assert row["proposed_writes"] == []
    assert "by hand" in row["recommended_action"]
    assert "unreadable" in row["recommended_action"]
    links["plant"] = bench.link
    await watcher.look()
    row = bench.only()
    assert writes_of(row) == [
        (throughput(bench.reactor), 500.0, 375.0),
        (cooling(bench.reactor), False, True),
    ]
    assert row["recommended_action"] == "Reduce throughput by 25 % and switch cooling on"


class BadFor:
    """A real link of which one set-point reads bad for a while, as a sensor of its own can."""

    def __init__(self, link: TagLink, path: str) -> None:
        self.bad = True
        self._link = link
        self._path = path
        self.name, self.run, self.readings = link.name, link.run, link.readings
        self.write, self.status, self.check, self.kept = link.write, link.status, link.check, link.kept

    async def read(self, tags: Sequence[Tag], *, deadline_s: float) -> list[Reading]:
        found = await self._link.read(tags, deadline_s=deadline_s)
        return [
            reading._replace(value=None, quality=Quality.BAD, status="BadSensorFailure")
            if self.bad and reading.tag.path == self._path
            else reading
            for reading in found
        ]


async def test_set_point_that_reads_bad_for_a_moment_is_tried_again(bench: Bench) -> None:
    """Half a remedy is none, but a bad reading passes: the exact writes follow as soon as all can be read."""
    link = BadFor(bench.link, cooling(bench.reactor))
    watcher = await bench.watcher(links={"plant": link})
    await watcher.feed(HIGH)
    assert bench.only()["proposed_writes"] == []
    link.bad = False
    await watcher.look()
    assert len(bench.only()["proposed_writes"]) == 2


@pytest.mark.parametrize("trouble", ["bad_signal", "stale_signal"])
async def test_signal_that_is_bad_or_silent_is_a_recommendation_without_writes(
    bench: Bench, trouble: str
) -> None:
    """A detector that cannot look says so to people, and proposes nothing to the plant."""
    watcher = await bench.watcher()
    await watcher.feed(NORMAL)
    if trouble == "bad_signal":
        await watcher.feed(None, quality=Quality.BAD)
        await watcher.tick(3.0)
    else:
        await watcher.tick(61.0)
        await watcher.tick(64.0)
    rows = [row for row in bench.recommendations() if row["issue_type"] == trouble]
    assert [(row["status"], row["proposed_writes"]) for row in rows] == [("pending", [])]
    assert "temperature" in rows[0]["evidence"]["detail"]


async def test_remedy_already_in_effect_sends_a_person(bench: Bench) -> None:
    """Nothing left to write and still too hot: somebody has to look."""
    only_cooling = {
        "remedies": [
            {
                "issue": "high_temperature",
                "severity": "medium",
                "action": "Switch cooling on",
                "writes": [{"setpoint": "cooling", "value": True}],
            }
        ]
    }
    await bench.floor.by_hand(bench.reactor, True)
    watcher = await bench.watcher(bench.again(reactor=only_cooling))
    await watcher.feed(MEDIUM)
    assert bench.only()["proposed_writes"] == []
    assert "already in effect" in bench.only()["recommended_action"]


async def test_change_outside_the_limits_is_proposed_in_words_with_the_reason(bench: Bench) -> None:
    """Out of range is refused, never clipped: 50 % of 180 kg/h would be below the lowest allowed value."""
    await bench.floor.by_hand(bench.reactor, 180.0)
    watcher = await bench.watcher()
    await watcher.feed(CRITICAL)
    row = bench.only()
    assert row["proposed_writes"] == []
    assert "out_of_range" in row["recommended_action"]


async def test_restarted_agent_attaches_to_the_open_recommendation(bench: Bench) -> None:
    """A new process goes on where the old one was: same row, escalated, withdrawn by the same rules."""
    before = await bench.watcher()
    await before.feed(MEDIUM)
    made = bench.only()["recommendation_id"]
    after = await bench.watcher(bench.settings)
    await after.restore()
    await after.feed(MEDIUM)
    await after.look()
    assert bench.only()["recommendation_id"] == made
    await after.feed(HIGH)
    assert (bench.only()["recommendation_id"], bench.only()["severity"]) == (made, "high")
    await after.feed(NORMAL)
    assert bench.only()["status"] == "superseded"


async def test_restarted_agent_remembers_a_rejection(bench: Bench) -> None:
    """A restart is no new episode: what was rejected a moment ago is not proposed again."""
    before = await bench.watcher()
    await before.feed(MEDIUM)
    bench.hands.operator.execute(REJECTED, (bench.only()["recommendation_id"],))
    after = await bench.watcher(bench.settings)
    await after.restore()
    await looks(after, MEDIUM)
    assert bench.only()["status"] == "rejected"


async def test_two_agents_open_one_recommendation(bench: Bench) -> None:
    """The same moment, the same condition, two processes: one row, and both know it."""
    one = await bench.watcher(bench.settings)
    other = await bench.watcher(bench.again(agent={"id": "other-agent"}))
    await asyncio.gather(one.feed(MEDIUM), other.feed(MEDIUM))
    assert bench.only()["status"] == "pending"
    await asyncio.gather(one.look(), other.look())
    await asyncio.gather(one.feed(NORMAL), other.feed(NORMAL))
    assert bench.only()["status"] == "superseded"


async def test_recommendation_opened_by_somebody_at_the_very_moment_is_taken_over(bench: Bench) -> None:
    """Between looking and inserting somebody else was faster: no second row, and the next look attaches."""

    class SomebodyIsFaster(PostgresStore):
        first = True

        async def propose(self, proposal: Proposal, valid_s: float) -> str | None:
            if self.first:
                self.first = False
                from_others(bench, write_of(bench.reactor, 470.0))
            return await super().propose(proposal, valid_s)

    watcher = await bench.watcher()
    watcher.recommender._store = await bench.open_store(kind=SomebodyIsFaster)
    await watcher.feed(MEDIUM)
    await watcher.look()
    assert bench.only()["created_by_agent"] == "genie"
    (condition,) = await bench.store.active_conditions()
    assert condition.recommendation_id == bench.only()["recommendation_id"]


async def test_condition_that_ends_during_a_look_round_is_not_proposed_after_its_end(
    make_bench: MakeBench,
) -> None:
    """The round over all conditions takes time; what cleared meanwhile must not come back as a ghost."""
    bench = await make_bench()
    first, second = bench.reactors

    class EndsMeanwhile(PostgresStore):
        armed = False

        async def latest_recommendation(self, equipment_id: str, issue_type: str) -> Any:
            found = await super().latest_recommendation(equipment_id, issue_type)
            if self.armed and equipment_id == first:
                self.armed = False
                # The other condition ends in the same process, while this look waits for its answer.
                clearing.append(asyncio.create_task(watcher.feed(NORMAL, reactor=second)))
                await asyncio.wait(clearing, timeout=0.3)
            return found

    clearing: list[asyncio.Task[None]] = []
    watcher = await bench.watcher()
    store = await bench.open_store(kind=EndsMeanwhile)
    assert isinstance(store, EndsMeanwhile)
    watcher.recommender._store = store
    for reactor in bench.reactors:
        await watcher.feed(MEDIUM, reactor=reactor)
    for episode in watcher.recommender._episodes.values():
        episode.look_again_s = 0.0  # both are due for another look
    store.armed = True
    await watcher.recommender.revisit()
    await asyncio.gather(*clearing)
    assert clearing, "the look at the first reactor must have happened"
    assert [row["status"] for row in bench.recommendations(second)] == ["superseded"]


async def test_proposal_that_the_database_refuses_is_made_in_words_and_blocks_nobody(bench: Bench) -> None:
    """The allow-list was narrowed under the running agent: people are told why, and the next finding is answered."""
    one, other = bench.reactors
    bench.hands.owner.execute("update tag_limits set low = 490 where tag_path = %s", (throughput(one),))
    watcher = await bench.watcher()
    await watcher.feed(HIGH, reactor=one)
    row = bench.only(one)
    assert row["proposed_writes"] == []
    assert "out_of_range" in row["recommended_action"]
    await watcher.feed(MEDIUM, reactor=other)
    assert writes_of(bench.only(other)) == [(throughput(other), 500.0, 450.0)]


async def test_revision_that_the_database_refuses_is_made_in_words(bench: Bench) -> None:
    """Escalating into a range that was narrowed meanwhile: the worse condition is shown, with the reason."""
    watcher = await bench.watcher()
    await watcher.feed(MEDIUM)
    bench.hands.owner.execute(
        "update tag_limits set low = 440 where tag_path = %s", (throughput(bench.reactor),)
    )
    await watcher.feed(CRITICAL)
    row = bench.only()
    assert (row["severity"], row["proposed_writes"]) == ("critical", [])
    assert "out_of_range" in row["recommended_action"]


async def test_two_write_remedy_is_executed_as_proposed(bench: Bench) -> None:
    """From the hot reading to the verified writes: what the agent proposed is what the plant gets."""
    watcher = await bench.watcher()
    await watcher.feed(HIGH)
    made = bench.only()["recommendation_id"]
    bench.hands.approve(made)
    assert (await bench.execute(made))["status"] == "executed"
    assert bench.floor.writes(bench.reactor) == [
        (f"{bench.reactor}/ThroughputSetpoint", 375.0),
        (f"{bench.reactor}/CoolingOn", True),
    ]
    assert switch_of(bench.reactor)["to"] is True
