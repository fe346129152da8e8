"""Advise: what stands on the screen. Advice never changes what an approval means, and looks do not undo it."""

from __future__ import annotations

from collections.abc import Mapping

from agent.bench import Bench, cooling, throughput, until
from agent.test_advise import HIGH, MEDIUM, MILDER, Scripted, advised, approve, asked, note, saying, writes_of
from agent.test_recommend import BadFor, dead_links
from bridge.clock import SystemClock
from bridge.errors import RateLimited
from bridge.ports_advice import AdviceVerdict
from bridge.store.advice import AdviceBook

LOOK_AT_PUMP: Mapping[str, object] = {
    "name": "look_at_pump",
    "issue": "high_temperature",
    "severity": "medium",
    "action": "Look at the pump",
}
OPEN_VALVE: Mapping[str, object] = {
    **LOOK_AT_PUMP,
    "name": "open_valve",
    "action": "Open the bypass valve by hand",
}


async def test_what_people_are_asked_to_do_is_never_swapped_under_one_digest(bench: Bench) -> None:
    """No exact writes before and after: the digest stays, so an approval of the one would order the other."""
    watcher = await bench.watcher(bench.again(reactor={"remedies": [LOOK_AT_PUMP, OPEN_VALVE]}))
    await watcher.feed(MEDIUM)
    before = bench.only()
    async with bench.advised(watcher, Scripted(saying("The valve sticks.", "open_valve"))):
        row = await advised(bench)
    assert row["write_digest"] == before["write_digest"]
    assert row["recommended_action"] == before["recommended_action"] == "Look at the pump"
    assert row["root_cause_analysis"] == "The valve sticks."
    assert (note(row)["candidates"], note(row)["remedy"]) == (["open_valve"], None)
    assert "nobody could tell the two proposals apart" in note(row)["notes"][0]
    assert len(approve(bench, row["recommendation_id"], before["write_digest"])) == 1


async def test_the_statement_itself_changes_no_action_without_its_writes(bench: Bench) -> None:
    """Whatever a caller gives it: the words that say what is done change with the digest, or not at all."""
    watcher = await bench.watcher()
    await watcher.feed(HIGH)
    before = bench.only()
    book = AdviceBook(bench.store._db, bench.named, agent_id="test-agent")
    (wanted,) = await book.take_unadvised(again_after_s=0.0, patience_s=60.0, attempts=2, max_rows=5)
    verdict = AdviceVerdict(
        state="given",
        note={"state": "given"},
        source="genie",
        root_cause="Pump.",
        action="Open the relief valve",
        expected_outcome="Relief",
    )
    assert await book.record_advice(wanted, verdict) == before["write_digest"]
    row = bench.only()
    assert row["root_cause_analysis"] == "Pump."
    assert (row["recommended_action"], row["expected_outcome"]) == (
        before["recommended_action"],
        before["expected_outcome"],
    )


async def test_looks_leave_an_advisors_choice_alone_while_the_rules_own_cannot_be_read(bench: Bench) -> None:
    """The rules could propose no write for a bad set-point; the advisor's choice does without it and stays."""
    watcher = await bench.watcher(links={**bench.links, "plant": BadFor(bench.link, cooling(bench.reactor))})
    await watcher.feed(HIGH)
    assert bench.only()["proposed_writes"] == []
    advisor = Scripted(saying("Throughput.", MILDER))
    async with bench.advised(watcher, advisor):
        chosen = await advised(bench)
        assert writes_of(chosen) == [(throughput(bench.reactor), 450.0)]
        for _ in range(3):
            await watcher.look()
        assert bench.only()["write_digest"] == chosen["write_digest"]
    assert note(bench.only()) == note(chosen)
    assert len(advisor.cases) == 1


async def test_a_proposal_that_waits_for_its_set_points_is_not_asked_about_at_every_look(
    bench: Bench,
) -> None:
    """A link that is down for hours must not use up the questions of everybody, nor take the answer away."""
    links = dead_links(bench)
    watcher = await bench.watcher(links=links)
    await watcher.feed(HIGH)
    advisor = Scripted(saying("The pump."))
    async with bench.advised(watcher, advisor):
        row = await advised(bench)
        for _ in range(3):
            await watcher.look()
        assert bench.only()["root_cause_analysis"] == row["root_cause_analysis"] == "The pump."
        assert len(advisor.cases) == 1
        links["plant"] = bench.link
        await watcher.look()
        await asked(advisor, 2)  # with its writes it is another proposal


async def test_a_server_that_wants_a_day_of_rest_is_asked_again_in_between(bench: Bench) -> None:
    """One wrong header must not cost the advice of a day, without anybody noticing."""
    watcher = await bench.watcher()
    await watcher.feed(HIGH)
    limited = RateLimited("too many questions", retry_after_s=86_400.0)
    async with bench.advised(watcher, Scripted(limited)) as adviser:
        await until(lambda: adviser.detail()["failed"] == 1, "told to wait")
        assert 0 < adviser._not_before_s - SystemClock().monotonic_s() <= 900.0
