"""Verify: what the link said and what the tag shows, judged; and what becomes of writes nobody saw the end of."""

from __future__ import annotations

import pytest

from agent.bench import Bench, throughput, until, write_of
from agent.test_decide import FAN, FLOW, command_of, reading
from bridge.agent import verify
from bridge.agent.verify import Sent, verdict_of
from bridge.clock import SystemClock
from bridge.domain.command import Command
from bridge.domain.lifecycle import CommandStatus
from bridge.domain.limits import RefusalCode
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag
from bridge.plant import Plant
from bridge.ports import LinkState, WriteOutcome, WriteResult
from bridge.wiring import links_of

ACCEPTED, REFUSED, NOT_SENT, UNKNOWN = WriteResult
EQUAL = reading(FLOW, 375.2)
OLD = reading(FLOW, 500.0)
OTHER = reading(FLOW, 437.5)
UNREADABLE = reading(FLOW, None, quality=Quality.BAD, status="BadSensorFailure")
DOUBTFUL = reading(FLOW, 375.0, quality=Quality.UNCERTAIN, status="UncertainLastUsableValue")
NAN = reading(FLOW, float("nan"))
TEXT = reading(FLOW, "375")

executed = (CommandStatus.EXECUTED, None)
differs = (CommandStatus.FAILED, RefusalCode.READ_BACK_DIFFERS)
refused = (CommandStatus.FAILED, RefusalCode.REFUSED_BY_SERVER)
link_down = (CommandStatus.FAILED, RefusalCode.LINK_DOWN)
unknown = (CommandStatus.UNKNOWN, RefusalCode.NOT_CONFIRMED)


def sent(result: WriteResult, *, tag: Tag = FLOW, command: Command | None = None) -> Sent:
    status = {ACCEPTED: "Good", REFUSED: "BadOutOfRange", NOT_SENT: "BadNotConnected", UNKNOWN: "BadTimeout"}[
        result
    ]
    made = command or command_of()
    return Sent(
        command=made,
        tag=tag,
        value=True if tag is FAN else 375.0,
        outcome=WriteOutcome(result=result, status=status, detail="in words"),
    )


@pytest.mark.parametrize("last_look", [False, True], ids=["more looks to come", "last look"])
@pytest.mark.parametrize(
    ("result", "found", "early", "late"),
    [
        (ACCEPTED, EQUAL, executed, executed),
        (ACCEPTED, OLD, None, differs),
        (ACCEPTED, OTHER, None, differs),
        (ACCEPTED, NAN, None, differs),
        (ACCEPTED, TEXT, None, differs),
        (ACCEPTED, UNREADABLE, None, unknown),
        (ACCEPTED, DOUBTFUL, None, unknown),
        (ACCEPTED, None, None, unknown),
        (UNKNOWN, EQUAL, executed, executed),
        (UNKNOWN, OLD, None, unknown),
        (UNKNOWN, OTHER, None, unknown),
        (UNKNOWN, UNREADABLE, None, unknown),
        (UNKNOWN, None, None, unknown),
        (REFUSED, EQUAL, refused, refused),
        (REFUSED, OLD, refused, refused),
        (REFUSED, OTHER, refused, refused),
        (REFUSED, None, refused, refused),
        (NOT_SENT, EQUAL, link_down, link_down),
        (NOT_SENT, OLD, link_down, link_down),
        (NOT_SENT, OTHER, link_down, link_down),
        (NOT_SENT, None, link_down, link_down),
    ],
)
def test_verdict_of_every_answer_and_every_read_back(
    result: WriteResult,
    found: Reading | None,
    early: tuple[CommandStatus, RefusalCode | None] | None,
    late: tuple[CommandStatus, RefusalCode | None],
    last_look: bool,
) -> None:
    """A write counts as executed only when the tag shows it; what nobody can know is called unknown."""
    verdict = verdict_of(sent(result), found, last_look=last_look)
    assert (None if verdict is None else (verdict.status, verdict.code)) == (late if last_look else early)
    if verdict is not None:
        assert verdict.reason
        assert (verdict.command_id, verdict.recommendation_id) == ("C-1", "R-9")
        if verdict.status is CommandStatus.EXECUTED:
            assert verdict.read_back_value == 375.2


def test_confirmed_write_whose_answer_was_lost_says_so() -> None:
    """The tag proves the write; that no answer came is still part of the story."""
    verdict = verdict_of(sent(UNKNOWN), EQUAL, last_look=False)
    assert verdict is not None
    assert "answer was lost" in verdict.result
    assert "BadTimeout" in verdict.result


def test_switch_is_confirmed_only_by_a_boolean() -> None:
    """A 1 where True was written is another type, and so no confirmation."""
    switch = sent(ACCEPTED, tag=FAN, command=command_of(2))
    assert verdict_of(switch, reading(FAN, 1), last_look=False) is None
    verdict = verdict_of(switch, reading(FAN, True), last_look=False)
    assert verdict is not None
    assert (verdict.status, verdict.read_back_value) == (CommandStatus.EXECUTED, 1.0)


# settle: a real plant shows the value, a real database holds a command that somebody else left behind.


def left_behind(bench: Bench, *, status: str = "executing", target: float = 450.0) -> str:
    """A command that another bridge sent and then died, with its lease over."""
    made = bench.approved(write_of(bench.reactor, target))
    (command_id,) = bench.hands.begin(made)
    bench.hands.claim(command_id, by="another/bridge", lease_s=60)
    bench.hands.send(command_id)
    if status == "unknown":
        bench.hands.end(command_id, "unknown")
    bench.hands.let_lease_end(command_id)
    return made


async def settle(bench: Bench, *, patience_s: float = 0.0) -> int:
    return await verify.settle(
        bench.store, bench.links, bench.plant.tags, patience_s=patience_s, deadline_s=1.0
    )


@pytest.mark.parametrize("left", ["executing", "unknown"], ids=["holder lost", "outcome unknown"])
@pytest.mark.parametrize(
    ("shown", "status", "code", "recommendation"),
    [
        (450.0, "executed", None, "executed"),
        (500.0, "failed", "not_confirmed", "failed"),
        (470.0, "unknown", "not_confirmed", "failed"),
    ],
    ids=["target", "old value", "third value"],
)
async def test_settling_reads_the_plant_and_never_writes(
    bench: Bench, left: str, shown: float, status: str, code: str | None, recommendation: str
) -> None:
    """Target means executed, old value means failed, anything else stays unknown; nothing is ever sent again."""
    await bench.floor.by_hand(bench.reactor, shown)
    before = bench.floor.writes(bench.reactor)
    made = left_behind(bench, status=left)
    ended = await settle(bench)
    assert ended == (0 if left == status else 1)
    row = bench.command(made)
    assert row["status"] == status
    assert bench.floor.writes(bench.reactor) == before
    if left != status:
        assert row["result_code"] == code
        assert row["read_back_value"] == shown
    if left == "executing":
        assert bench.hands.recommendation(made)["status"] == recommendation


async def test_third_value_settles_later_when_somebody_puts_it_right(bench: Bench) -> None:
    """Unknown is no dead end: the next look that shows the target ends it."""
    await bench.floor.by_hand(bench.reactor, 470.0)
    made = left_behind(bench)
    await settle(bench)
    assert bench.command(made)["status"] == "unknown"
    assert await settle(bench) == 0, "nothing new, nothing recorded"
    await bench.floor.by_hand(bench.reactor, 450.0)
    assert await settle(bench) == 1
    assert bench.command(made)["status"] == "executed"
    assert bench.actions(made)[-2:].count("command.executed") == 1


async def test_patience_is_respected(bench: Bench) -> None:
    """While a write may still be on its way, the old value proves nothing and no verdict is given."""
    made = left_behind(bench)
    assert await settle(bench, patience_s=60.0) == 0
    assert bench.command(made)["status"] == "executing"


async def test_command_of_a_living_holder_is_left_alone(bench: Bench) -> None:
    """Only when the lease is over may somebody else end a sent command."""
    made = bench.approved(write_of(bench.reactor))
    (command_id,) = bench.hands.begin(made)
    bench.hands.claim(command_id, by="another/bridge", lease_s=60)
    bench.hands.send(command_id)
    assert await settle(bench) == 0
    assert bench.command(made)["status"] == "executing"


async def test_unreadable_tag_leaves_the_outcome_unknown(bench: Bench) -> None:
    """A link that is down is no evidence, neither for nor against."""
    made = left_behind(bench)
    ended = await verify.settle(bench.store, {}, bench.plant.tags, patience_s=0.0, deadline_s=1.0)
    assert ended == 1
    row = bench.command(made)
    assert row["status"] == "unknown"
    assert "cannot be read" in row["execution_result"]


async def test_link_that_has_not_come_up_yet_is_waited_for(bench: Bench) -> None:
    """A bridge that has just started does not call unknown what it has not had the time to read."""
    starting = links_of(bench.settings, Plant.of(bench.settings), SystemClock())
    assert starting["plant"].status().state is LinkState.CONNECTING
    made = left_behind(bench)
    assert await verify.settle(bench.store, starting, bench.plant.tags, patience_s=0.0, deadline_s=1.0) == 0
    assert bench.command(made)["status"] == "executing"
    assert await settle(bench) == 1
    assert bench.command(made)["status"] == "failed"


async def test_tag_without_configuration_leaves_the_outcome_unknown(bench: Bench) -> None:
    """A bridge that does not know the tag says so and guesses nothing."""
    made = left_behind(bench)
    await verify.settle(bench.store, bench.links, {}, patience_s=0.0, deadline_s=1.0)
    row = bench.command(made)
    assert row["status"] == "unknown"
    assert "no such tag" in row["execution_result"]


async def test_tag_that_changed_its_type_does_not_stop_the_others_from_being_settled(bench: Bench) -> None:
    """One command that this configuration can no longer express must not keep every other from its end."""
    changed = bench.again(
        reactor={
            "setpoints": {
                "throughput": {
                    "tag": throughput("{equipment}"),
                    "address": "s={equipment}/ThroughputSetpoint",
                    "data_type": "Int32",
                    "unit": "kg/h",
                    "limits": {"low": 100, "high": 800},
                }
            }
        }
    )
    tags = dict(bench.plant.tags)
    path = throughput(bench.reactors[1])
    tags[path] = Plant.of(changed).tags[path]
    odd = bench.approved(write_of(bench.reactors[1], 450.5), reactor=bench.reactors[1])
    (command_id,) = bench.hands.begin(odd)
    bench.hands.claim(command_id, by="another/bridge", lease_s=60)
    bench.hands.send(command_id)
    bench.hands.let_lease_end(command_id)
    good = left_behind(bench)
    await verify.settle(bench.store, bench.links, tags, patience_s=0.0, deadline_s=1.0)
    assert bench.command(good)["status"] == "failed"
    assert bench.command(odd)["status"] == "unknown"


async def test_lost_holder_is_settled_by_tending_once_patience_is_over(bench: Bench) -> None:
    """The whole way: lease over, patience over, one look, a verdict and an end for the recommendation."""
    made = left_behind(bench)
    watcher = await bench.watcher()

    async def look() -> bool:
        await watcher.look()
        return bool(bench.command(made)["status"] == "failed")

    await until(look, "tend settles it", every_s=0.1)
    row = bench.hands.recommendation(made)
    assert row["status"] == "failed"
    assert "not written" in row["execution_result"]
