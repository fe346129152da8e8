"""Execute: approved commands on their way to a real plant, and everything that may happen to them on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic

import pytest
from rig import refused
from structlog.testing import capture_logs

from agent.bench import Bench, MakeBench, cooling, switch_of, throughput, until, write_of
from bridge.clock import SystemClock
from bridge.domain.command import Command, Verdict
from bridge.domain.lifecycle import CommandStatus, RecommendationStatus
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.tag import Tag, Value
from bridge.errors import FixCode, RefusedByRule, StoreDown
from bridge.plant import Plant
from bridge.ports import TagLink, WriteOutcome
from bridge.store.postgres import PostgresStore
from bridge.wiring import links_of

SET, SWITCH = "ThroughputSetpoint", "CoolingOn"


class LinkBetween:
    """A real link whose writes go through another hand first, for timing that no plant can give."""

    def __init__(
        self, reads: TagLink, writes: TagLink, before_write: Callable[[], None] = lambda: None
    ) -> None:
        self._reads = reads
        self._writes = writes
        self._before_write = before_write
        self.name, self.run, self.readings = reads.name, reads.run, reads.readings
        self.read, self.status, self.check, self.kept = reads.read, reads.status, reads.check, reads.kept

    async def write(self, writes: Sequence[tuple[Tag, Value]], *, deadline_s: float) -> list[WriteOutcome]:
        self._before_write()
        return await self._writes.write(writes, deadline_s=deadline_s)


async def test_one_approved_write_is_written_once_and_read_back(bench: Bench) -> None:
    """The plain way: approved, claimed, sent, verified, and every step in the trail in this order."""
    made = bench.approved(write_of(bench.reactor, 450.0))
    row = await bench.execute(made)
    assert row["status"] == "executed"
    assert bench.floor.writes(bench.reactor) == [(f"{bench.reactor}/{SET}", 450.0)]
    command = bench.command(made)
    assert (command["status"], command["read_back_value"], command["result_code"]) == (
        "executed",
        450.0,
        None,
    )
    assert [action for action in bench.actions(made) if action.startswith("command")] == [
        "command.created",
        "command.claimed",
        "command.sent",
        "command.executed",
    ]
    assert bench.actions(made)[-1] == "recommendation.executed"


async def test_second_write_leaves_only_after_the_first_is_verified(bench: Bench) -> None:
    """Two writes keep their order at the plant, and the second is not even claimed before the first is done."""
    made = bench.approved(write_of(bench.reactor, 375.0), switch_of(bench.reactor))
    assert (await bench.execute(made))["status"] == "executed"
    assert bench.floor.writes(bench.reactor) == [
        (f"{bench.reactor}/{SET}", 375.0),
        (f"{bench.reactor}/{SWITCH}", True),
    ]
    first, second = bench.hands.commands_of(made)
    assert first["verified_timestamp"] < second["claimed_timestamp"]


@pytest.mark.parametrize(
    ("fault", "code", "shown"),
    [
        ("setpoint_clamped", "read_back_differs", 475.0),
        ("setpoint_ignored", "read_back_differs", 500.0),
        ("write_refused", "refused_by_server", 500.0),
    ],
)
async def test_plant_that_does_not_take_the_value_is_told_apart(
    bench: Bench, fault: str, code: str, shown: float
) -> None:
    """Good from the server is not believed: what the tag shows decides, and a refusal is called a refusal."""
    await bench.floor.fault(bench.reactor, fault)
    made = bench.approved(write_of(bench.reactor, 450.0), switch_of(bench.reactor))
    row = await bench.execute(made)
    assert row["status"] == "failed"
    first, second = bench.hands.commands_of(made)
    assert (first["status"], first["result_code"]) == ("failed", code)
    assert (second["status"], second["result_code"], second["sent_timestamp"]) == (
        "cancelled",
        "withdrawn",
        None,
    )
    assert code in row["execution_result"]
    assert await bench.floor.shows(bench.reactor) == shown
    assert await bench.floor.shows(bench.reactor, SWITCH) is False


async def test_slow_answer_is_made_up_for_by_the_read_back(make_bench: MakeBench) -> None:
    """No answer within the deadline, but the tag shows the value: executed, and the lost answer is told."""
    bench = await make_bench(limits={"settle_s": 4.0})
    await bench.floor.fault(bench.reactor, "write_slow 4s")
    made = bench.approved(write_of(bench.reactor))
    assert (await bench.execute(made))["status"] == "executed"
    assert "answer was lost" in bench.command(made)["execution_result"]
    assert len(bench.floor.writes(bench.reactor)) == 1


async def test_write_that_takes_effect_late_is_unknown_and_settled_by_the_read_back(
    make_bench: MakeBench,
) -> None:
    """Not known is said, shown and kept; once the tag shows the value, tending ends it without another write."""
    bench = await make_bench(agent={"lease_s": 4.0})
    await bench.floor.fault(bench.reactor, "write_late 2.5s")
    made = bench.approved(write_of(bench.reactor))
    row = await bench.execute(made)
    assert row["status"] == "failed"
    assert "Not known" in row["execution_result"] or "not known" in row["execution_result"]
    assert bench.command(made)["status"] == "unknown"
    watcher = await bench.watcher()

    async def settled() -> bool:
        await watcher.look()
        return bool(bench.command(made)["status"] != "unknown")

    await until(settled, "the read-back settles it", every_s=0.1)
    assert bench.command(made)["status"] == "executed"
    assert bench.floor.writes(bench.reactor) == [(f"{bench.reactor}/{SET}", 450.0)]


async def test_unknown_outcome_locks_its_tag(make_bench: MakeBench) -> None:
    """While nobody knows what a tag was told, no further command for it leaves."""
    bench = await make_bench(agent={"lease_s": 60.0})
    await bench.floor.fault(bench.reactor, "write_late 2.5s")
    await bench.execute(bench.approved(write_of(bench.reactor)))
    second = bench.approved(write_of(bench.reactor, 425.0))
    assert await bench.store.take_commands(["opcua"], 10) == []
    assert bench.hands.recommendation(second)["status"] == "approved"


async def test_link_that_is_down_writes_nothing(bench: Bench) -> None:
    """A plant that cannot be read is not written to: failed, with the reason, and nothing left this machine."""
    settings = bench.again()
    dead = links_of(settings, Plant.of(settings), SystemClock())  # never started
    made = bench.approved(write_of(bench.reactor))
    row = await bench.execute(made, links=dead)
    assert row["status"] == "failed"
    assert bench.command(made)["result_code"] == "unreadable"
    assert bench.command(made)["sent_timestamp"] is None
    assert bench.floor.writes(bench.reactor) == []


async def test_link_lost_between_reading_and_writing_is_known_not_to_have_written(bench: Bench) -> None:
    """The link itself knows that no byte left; that is failed, not unknown."""
    settings = bench.again()
    dead = links_of(settings, Plant.of(settings), SystemClock())["plant"]
    made = bench.approved(write_of(bench.reactor))
    row = await bench.execute(made, links={"plant": LinkBetween(bench.link, dead)})
    assert row["status"] == "failed"
    command = bench.command(made)
    assert (command["status"], command["result_code"]) == ("failed", "link_down")
    assert bench.floor.writes(bench.reactor) == []


async def test_set_point_moved_by_hand_after_the_approval_is_respected(bench: Bench) -> None:
    """Somebody moved it: the approval was for another situation, so nothing is written over a person's hand."""
    made = bench.approved(write_of(bench.reactor, 450.0))
    await bench.floor.by_hand(bench.reactor, 480.0)
    row = await bench.execute(made)
    assert row["status"] == "failed"
    assert bench.command(made)["result_code"] == "moved_away"
    assert await bench.floor.shows(bench.reactor) == 480.0


async def test_second_write_that_fails_leaves_the_first_and_says_which(bench: Bench) -> None:
    """The text names what was done and what was not; the plant keeps what was approved and verified."""
    made = bench.approved(write_of(bench.reactor, 450.0), switch_of(bench.reactor))
    await bench.floor.by_hand(bench.reactor, True)
    row = await bench.execute(made)
    assert row["status"] == "failed"
    first, second = bench.hands.commands_of(made)
    assert (first["status"], second["status"]) == ("executed", "failed")
    assert f"{throughput(bench.reactor)}: executed" in row["execution_result"]
    assert f"{cooling(bench.reactor)}: failed (no_change" in row["execution_result"]


async def test_disarmed_before_the_claim_writes_nothing(bench: Bench) -> None:
    """The switch holds for approvals that are already there."""
    made = bench.approved(write_of(bench.reactor))
    bench.disarm()
    assert await bench.store.take_commands(["opcua"], 10) == []
    assert bench.hands.recommendation(made)["status"] == "approved"
    assert bench.hands.commands_of(made) == []


async def test_disarmed_while_a_command_waits_cancels_it(bench: Bench) -> None:
    """A command that was prepared and not sent ends cancelled, and its recommendation says why."""
    made = bench.approved(write_of(bench.reactor))
    bench.hands.begin(made)
    bench.disarm()
    assert await bench.store.take_commands(["opcua"], 10) == []
    row = await bench.tended(made)
    assert row["status"] == "failed"
    assert "disarmed" in row["execution_result"]
    assert bench.floor.writes(bench.reactor) == []


async def test_disarmed_between_claim_and_intent_writes_nothing(bench: Bench) -> None:
    """The last look at the switch is in the statement that records the intent."""

    class Disarms(PostgresStore):
        async def record_intent(self, command_ids: Sequence[str]) -> set[str]:
            bench.disarm()
            return await super().record_intent(command_ids)

    made = bench.approved(write_of(bench.reactor))
    async with bench.executing(bench.executor(store=await bench.open_store(kind=Disarms))):
        await until(lambda: "command.released" in bench.actions(made), "given back")
    assert (await bench.tended(made))["status"] == "failed"
    assert bench.command(made)["result_code"] == "disarmed"
    assert bench.floor.writes(bench.reactor) == []


async def test_tag_that_this_bridge_may_not_write_any_more_is_refused(bench: Bench) -> None:
    """The configuration of the running process has the last word, whatever the database allows."""
    only_cooling = {
        "setpoints": {
            "cooling": {
                "tag": cooling("{equipment}"),
                "address": "s={equipment}/CoolingOn",
                "data_type": "Boolean",
                "limits": {"low": 0, "high": 1},
            }
        }
    }
    made = bench.approved(write_of(bench.reactor))
    row = await bench.execute(made, settings=bench.again(reactor=only_cooling))
    assert row["status"] == "failed"
    assert bench.command(made)["result_code"] == "not_listed"
    assert bench.floor.writes(bench.reactor) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("delete from tag_limits where tag_path = %s", "not_listed"),
        ("update tag_limits set low = 460 where tag_path = %s", "out_of_range"),
    ],
    ids=["withdrawn", "range narrowed"],
)
async def test_limits_that_changed_after_the_approval_stop_only_what_they_forbid(
    make_bench: MakeBench, change: str, code: str
) -> None:
    """The forbidden write never leaves and ends with a reason; every other approval goes on as if nothing were."""
    bench = await make_bench(agent={"approval_valid_s": 300.0})
    one, other = bench.reactors
    forbidden = bench.approved(write_of(one, 450.0), reactor=one)
    fine = bench.approved(write_of(other, 450.0), reactor=other)
    bench.hands.owner.execute(change.encode(), (throughput(one),))
    assert (await bench.execute(fine))["status"] == "executed"
    row = await bench.tended(forbidden)
    assert row["status"] == "expired"
    assert code in row["execution_result"]
    assert bench.floor.writes(one) == []


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("NaN", "wrong_type"),
        (None, "wrong_type"),
        (True, "wrong_type"),
        ([450], "wrong_type"),
        (950, "out_of_range"),
    ],
)
async def test_value_that_is_no_set_point_never_becomes_a_proposal(
    bench: Bench, target: object, code: str
) -> None:
    """NaN, text, a switch or a value outside its range is refused by name before anybody could approve it."""
    write = {**write_of(bench.reactor), "to": target}
    with refused(code):
        bench.hands.agent.execute(
            "insert into agent_recommendations (equipment_id, issue_type, proposed_writes) values (%s, 'x', %s::jsonb)",
            (bench.reactor, json.dumps([write])),
        )
    assert bench.recommendations() == []


async def test_second_approval_is_refused_and_one_write_leaves(bench: Bench) -> None:
    """A second yes a moment later changes nothing."""
    made = bench.approved(write_of(bench.reactor))
    with refused("already_decided"):
        bench.hands.approve(made, by="berta")
    assert (await bench.execute(made))["status"] == "executed"
    with refused("already_decided"):
        bench.hands.approve(made, by="berta")
    assert len(bench.floor.writes(bench.reactor)) == 1


async def test_approval_that_lapsed_while_its_command_waited_is_not_written(bench: Bench) -> None:
    """A command left behind from yesterday is no permission for today, even when a bridge starts just now."""
    made = bench.approved(write_of(bench.reactor))
    bench.hands.begin(made)
    bench.hands.let_approval_lapse(made)
    assert await bench.store.take_commands(["opcua"], 10) == []
    row = await bench.tended(made)
    assert row["status"] == "failed"
    assert bench.command(made)["result_code"] == "expired"
    assert bench.floor.writes(bench.reactor) == []


async def test_two_approvals_for_one_tag_go_one_after_the_other(bench: Bench) -> None:
    """The second starts when the first is through, and then sees that the plant is no longer what it was."""
    first = bench.approved(write_of(bench.reactor, 450.0), issue="high_temperature")
    second = bench.approved(write_of(bench.reactor, 425.0), issue="high_pressure")
    async with bench.executing(bench.executor()) as wake:
        await bench.over(first)
        wake.set()
        await bench.over(second)
    assert bench.hands.recommendation(first)["status"] == "executed"
    assert bench.command(second)["result_code"] == "moved_away"
    assert bench.floor.writes(bench.reactor) == [(f"{bench.reactor}/{SET}", 450.0)]


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_writes_per_hour": 1}, "too_many_writes"), ({"min_interval_s": 600}, "too_soon")],
)
async def test_budget_of_writes_is_kept(
    make_bench: MakeBench, limits: Mapping[str, object], code: str
) -> None:
    """History of the tag counts, whoever wrote: the second write is refused by name."""
    bench = await make_bench(limits=limits)
    assert (await bench.execute(bench.approved(write_of(bench.reactor, 450.0))))["status"] == "executed"
    second = bench.approved(write_of(bench.reactor, 425.0, present=450.0))
    assert (await bench.execute(second))["status"] == "failed"
    assert bench.command(second)["result_code"] == code
    assert len(bench.floor.writes(bench.reactor)) == 1


async def test_two_executors_never_share_a_command(make_bench: MakeBench) -> None:
    """Two bridges at once: each approval is written by exactly one of them."""
    bench = await make_bench(reactors=12)
    made = [bench.approved(write_of(reactor), reactor=reactor) for reactor in bench.reactors]
    other = await bench.open_store()
    async with bench.executing(bench.executor()), bench.executing(bench.executor(store=other)):
        for recommendation_id in made:
            await bench.over(recommendation_id)
    assert [bench.hands.recommendation(one)["status"] for one in made] == ["executed"] * len(made)
    assert sorted(bench.floor.writes(*bench.reactors)) == sorted(
        (f"{r}/{SET}", 450.0) for r in bench.reactors
    )


async def test_database_that_fails_meanwhile_does_not_take_a_write_in_flight_with_it(bench: Bench) -> None:
    """Asking for more work fails while a write waits for its answer: that write is still seen through."""

    class FailsTheSecondTime(PostgresStore):
        calls = 0

        async def take_commands(self, routes: Sequence[str], max_commands: int) -> list[Command]:
            self.calls += 1
            if self.calls > 1:
                await until(lambda: "command.sent" in bench.actions(made), "the write is on its way")
                raise StoreDown("said by the test")
            return await super().take_commands(routes, max_commands)

    await bench.floor.fault(bench.reactor, "write_slow 0.6s")
    made = bench.approved(write_of(bench.reactor))
    store = await bench.open_store(kind=FailsTheSecondTime)
    executor = bench.executor(store=store)
    with pytest.raises(StoreDown):
        await executor.run(asyncio.Event(), asyncio.Event())
    row = await bench.over(made)
    assert row["status"] == "executed"
    assert bench.command(made)["claimed_by"] == store.instance
    assert bench.command(made)["execution_result"] == "written and read back: 450 kg/h"


async def test_batch_that_breaks_does_not_take_another_one_with_it(bench: Bench) -> None:
    """An error of ours in one batch is raised, and a write of another batch in flight is still seen through."""
    one, other = bench.reactors

    class BreaksOnOne(PostgresStore):
        async def record_intent(self, command_ids: Sequence[str]) -> set[str]:
            if broken in bench.hands.command(command_ids[0])["recommendation_id"]:
                raise FixCode("said by the test")
            return await super().record_intent(command_ids)

    await bench.floor.fault(one, "write_slow 0.7s")
    good = bench.approved(write_of(one), reactor=one)
    broken = "none yet"
    executor = bench.executor(store=await bench.open_store(kind=BreaksOnOne))
    wake = asyncio.Event()
    work = asyncio.create_task(executor.run(wake, asyncio.Event()))
    await until(lambda: "command.sent" in bench.actions(good), "the first is on its way")
    broken = bench.approved(write_of(other), reactor=other)
    wake.set()
    with pytest.raises(FixCode):
        await asyncio.wait_for(work, 40.0)
    assert (await bench.over(good))["status"] == "executed"
    assert bench.command(good)["execution_result"] == "written and read back: 450 kg/h"
    assert bench.floor.writes(other) == []


async def test_verdict_is_recorded_as_soon_as_the_database_is_back(bench: Bench) -> None:
    """The plant has changed, so the row must follow: recording is tried until it works, writing is not repeated."""

    class AwayForAMoment(PostgresStore):
        failures = 3

        async def record_verdicts(
            self, verdicts: Sequence[Verdict]
        ) -> list[tuple[str, RecommendationStatus]]:
            if self.failures:
                self.failures -= 1
                raise StoreDown("said by the test")
            return await super().record_verdicts(verdicts)

    made = bench.approved(write_of(bench.reactor))
    assert (await bench.execute(made, store=await bench.open_store(kind=AwayForAMoment)))[
        "status"
    ] == "executed"
    assert len(bench.floor.writes(bench.reactor)) == 1


async def test_intent_whose_answer_was_lost_is_never_sent(bench: Bench) -> None:
    """Whether the intent was committed is not known, so nothing leaves; the read-back settles it as not written."""

    class CommitsAndFails(PostgresStore):
        async def record_intent(self, command_ids: Sequence[str]) -> set[str]:
            await super().record_intent(command_ids)
            raise StoreDown("the answer was lost")

    made = bench.approved(write_of(bench.reactor))
    async with bench.executing(bench.executor(store=await bench.open_store(kind=CommitsAndFails))):
        await until(lambda: "command.sent" in bench.actions(made), "the intent is committed")
        row = await bench.tended(made)
    assert row["status"] == "failed"
    assert bench.command(made)["result_code"] == "not_confirmed"
    assert bench.floor.writes(bench.reactor) == []


async def test_process_that_slept_past_its_lease_sends_nothing(bench: Bench) -> None:
    """Awake again after the intent, it looks at its own clock first: somebody else may have taken over."""

    class Jumps(SystemClock):
        slept_s = 0.0

        def monotonic_s(self) -> float:
            return monotonic() + self.slept_s

        def now_utc(self) -> datetime:
            return datetime.now(UTC)

    clock = Jumps()

    class Sleeps(PostgresStore):
        async def record_intent(self, command_ids: Sequence[str]) -> set[str]:
            allowed = await super().record_intent(command_ids)
            clock.slept_s = 2.5  # of a lease of 3 s, with 1 s kept for the write itself
            return allowed

    made = bench.approved(write_of(bench.reactor))
    row = await bench.execute(made, store=await bench.open_store(kind=Sleeps), clock=clock)
    assert row["status"] == "failed"
    assert bench.command(made)["result_code"] == "lease_lost"
    assert bench.floor.writes(bench.reactor) == []


async def test_lease_counts_from_before_the_claim(bench: Bench) -> None:
    """A process that slept while the answer to its claim was on the way has used up its lease all the same."""

    class Jumps(SystemClock):
        slept_s = 0.0

        def monotonic_s(self) -> float:
            return monotonic() + self.slept_s

    clock = Jumps()

    class Sleeps(PostgresStore):
        async def take_commands(self, routes: Sequence[str], max_commands: int) -> list[Command]:
            commands = await super().take_commands(routes, max_commands)
            clock.slept_s += 2.5 if commands else 0.0
            return commands

    made = bench.approved(write_of(bench.reactor))
    async with bench.executing(bench.executor(store=await bench.open_store(kind=Sleeps), clock=clock)):
        await until(
            lambda: {"command.released", "command.failed", "command.executed"} & {*bench.actions(made)},
            "something becomes of the claim",
        )
    assert bench.floor.writes(bench.reactor) == []
    assert bench.command(made)["sent_timestamp"] is None


async def test_stopping_gives_back_what_was_not_sent(bench: Bench) -> None:
    """Claimed and not sent when the bridge is asked to stop: another bridge may have it at once."""
    stop = asyncio.Event()

    class StopsAfterTheClaim(PostgresStore):
        async def take_commands(self, routes: Sequence[str], max_commands: int) -> list[Command]:
            commands = await super().take_commands(routes, max_commands)
            stop.set()
            return commands

    made = bench.approved(write_of(bench.reactor))
    store = await bench.open_store(kind=StopsAfterTheClaim)
    await asyncio.wait_for(bench.executor(store=store).run(asyncio.Event(), stop), 5.0)
    assert bench.command(made)["status"] == "pending"
    assert bench.actions(made)[-1] == "command.released"
    assert bench.floor.writes(bench.reactor) == []
    assert (await bench.execute(made))["status"] == "executed"


async def test_stopping_finishes_what_was_sent(bench: Bench) -> None:
    """The write is on its way when the bridge is asked to stop: it is read back and recorded first."""
    stop = asyncio.Event()
    await bench.floor.fault(bench.reactor, "write_slow 0.5s")
    made = bench.approved(write_of(bench.reactor))
    links = {"plant": LinkBetween(bench.link, bench.link, before_write=stop.set)}
    await asyncio.wait_for(bench.executor(links=links).run(asyncio.Event(), stop), 5.0)
    assert bench.command(made)["status"] == "executed"


async def test_verdict_that_the_database_refuses_costs_no_other_its_own(
    bench: Bench,
) -> None:
    """Two commands in one batch: one verdict cannot be recorded, the other is, and the first is said by name."""
    refused_id = ""

    class RefusesOne(PostgresStore):
        async def record_verdicts(
            self, verdicts: Sequence[Verdict]
        ) -> list[tuple[str, RecommendationStatus]]:
            if any(verdict.recommendation_id == refused_id for verdict in verdicts):
                raise RefusedByRule(Refusal(RefusalCode.WRONG_FORM, "said by the test"))
            return await super().record_verdicts(verdicts)

    one, other = bench.reactors
    # Neither passes the check, so both verdicts are recorded together.
    for reactor in (one, other):
        await bench.floor.by_hand(reactor, 510.0)
    refused_id = bench.approved(write_of(one), reactor=one)
    good = bench.approved(write_of(other), reactor=other)
    executor = bench.executor(store=await bench.open_store(kind=RefusesOne))
    with capture_logs() as lines:
        async with bench.executing(executor):
            assert (await bench.over(good))["status"] == "failed"
            await until(
                lambda: [line for line in lines if line["event"] == "command.unrecorded"], "it is said"
            )
    (said,) = [line for line in lines if line["event"] == "command.unrecorded"]
    assert (said["recommendation_id"], said["log_level"]) == (refused_id, "error")
    assert executor.verdicts == 1


async def test_verdict_with_a_text_that_no_database_stores_is_recorded_readably(bench: Bench) -> None:
    """Half a surrogate pair and a NUL, as a device may answer: written out, and the verdict stands."""
    made = bench.approved(write_of(bench.reactor))
    (command,) = await bench.store.take_commands(("opcua",), 10)
    verdict = Verdict(
        command_id=command.command_id,
        recommendation_id=command.recommendation_id,
        status=CommandStatus.FAILED,
        code=RefusalCode.REFUSED_BY_SERVER,
        reason="the device says \ud800\0 °C",
    )
    await bench.store.record_verdicts([verdict])
    assert bench.command(made)["execution_result"] == "refused_by_server: the device says \\ud800\\x00 °C"
