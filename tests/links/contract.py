"""What every TagLink must do, whatever the protocol: subclass `TagLinkContract` and give it a `bench`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

import pytest
from link_bench import Watched

from bridge.domain.reading import Quality
from bridge.domain.tag import Tag
from bridge.errors import DeadlineExceeded, LinkDown
from bridge.ports import LinkState, TagLink, WriteResult


class Bench(Protocol):
    """A link that runs against a plant through a wire that can be broken.

    constant, flag, target (Float), switch (Boolean), count (Int16) exist, the last three writable; missing does
    not exist; fixed is configured as writable, but the plant refuses.
    """

    watched: Watched
    constant: Tag
    flag: Tag
    target: Tag
    switch: Tag
    count: Tag
    missing: Tag
    fixed: Tag

    async def writes(self) -> list[tuple[str, Any]]:
        """What reached the plant since the test began: name and value, refused ones too."""
        ...

    async def cut(self) -> None: ...

    async def black_hole(self) -> None: ...

    async def delay(self, seconds: float) -> None: ...

    async def restore(self) -> None: ...


def _link(bench: Bench) -> TagLink:
    return bench.watched.link


def _results(outcomes: Sequence[Any]) -> list[WriteResult]:
    return [outcome.result for outcome in outcomes]


class TagLinkContract:
    """Generic behaviours; every test starts with all good tags flowing."""

    async def test_read_keeps_the_order_asked_and_marks_confirmed(self, bench: Bench) -> None:
        tags = [bench.count, bench.constant, bench.flag, bench.constant]
        readings = await _link(bench).read(tags, deadline_s=20)
        assert [reading.tag for reading in readings] == tags
        assert all(reading.confirmed and not reading.replayed for reading in readings)
        assert all(reading.quality is Quality.GOOD for reading in readings)
        assert all(reading.source_time_utc.tzinfo and reading.received_utc.tzinfo for reading in readings)

    async def test_read_of_nothing_is_nothing(self, bench: Bench) -> None:
        assert await _link(bench).read([], deadline_s=20) == []

    async def test_one_unreadable_tag_does_not_spoil_the_rest(self, bench: Bench) -> None:
        before, missing, after = await _link(bench).read(
            [bench.constant, bench.missing, bench.flag], deadline_s=2.0
        )
        assert (before.quality, after.quality) == (Quality.GOOD, Quality.GOOD)
        assert (missing.tag, missing.value, missing.quality) == (bench.missing, None, Quality.BAD)
        assert missing.status.startswith("Bad")

    async def test_values_are_written_with_their_own_types(self, bench: Bench) -> None:
        wanted = [(bench.target, 12.5), (bench.switch, True), (bench.count, 7)]
        outcomes = await _link(bench).write(wanted, deadline_s=20)
        assert _results(outcomes) == [WriteResult.ACCEPTED] * 3
        values = [r.value for r in await _link(bench).read([tag for tag, _ in wanted], deadline_s=20)]
        assert values == [12.5, True, 7]
        assert [type(value) for value in values] == [float, bool, int]

    async def test_a_written_value_comes_back_in_the_stream(self, bench: Bench) -> None:
        await _link(bench).write([(bench.target, 33.25)], deadline_s=20)
        await bench.watched.until(lambda: [r for r in bench.watched.of(bench.target) if r.value == 33.25])

    @pytest.mark.parametrize("value", [True, "12", float("nan"), float("inf"), 1e39])
    async def test_a_value_of_another_type_is_refused_and_not_sent(self, bench: Bench, value: Any) -> None:
        (outcome,) = await _link(bench).write([(bench.target, value)], deadline_s=20)
        assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadTypeMismatch")
        assert await bench.writes() == []

    async def test_a_tag_without_limits_is_never_written(self, bench: Bench) -> None:
        (outcome,) = await _link(bench).write([(bench.constant, 1.0)], deadline_s=20)
        assert outcome.result is WriteResult.REFUSED
        assert await bench.writes() == []

    async def test_outcomes_keep_the_order_and_each_stands_alone(self, bench: Bench) -> None:
        outcomes = await _link(bench).write(
            [(bench.count, 1.5), (bench.target, 5.0), (bench.fixed, 5.0), (bench.switch, False)],
            deadline_s=20,
        )
        assert _results(outcomes) == [
            WriteResult.REFUSED,
            WriteResult.ACCEPTED,
            WriteResult.REFUSED,
            WriteResult.ACCEPTED,
        ]
        assert outcomes[2].status.startswith("Bad")

    async def test_without_a_session_nothing_is_sent_at_once_or_later(self, bench: Bench) -> None:
        await bench.cut()
        await bench.watched.until_down()
        began_s = time.monotonic()
        (outcome,) = await _link(bench).write([(bench.target, 66.0)], deadline_s=5.0)
        assert outcome.result is WriteResult.NOT_SENT
        assert time.monotonic() - began_s < 0.5, "it must fail at once and not wait for the wire"
        with pytest.raises(LinkDown):
            await _link(bench).read([bench.constant], deadline_s=5.0)
        await bench.restore()
        await bench.watched.until_flowing()
        assert await bench.writes() == []

    async def test_a_write_without_an_answer_is_unknown_and_never_sent_later(self, bench: Bench) -> None:
        """The bytes are on the wire but not yet there when patience ends; they must not arrive afterwards."""
        await bench.delay(1.5)
        began_s = time.monotonic()
        (outcome,) = await _link(bench).write([(bench.target, 77.0)], deadline_s=0.4)
        assert outcome.result is WriteResult.UNKNOWN
        assert time.monotonic() - began_s < 1.0
        await asyncio.sleep(2.0)  # longer than the wire needs: what it still held would be there by now
        await bench.restore()
        await bench.watched.until_flowing()
        assert await bench.writes() == []

    async def test_a_write_into_a_black_hole_is_unknown(self, bench: Bench) -> None:
        await bench.black_hole()
        outcomes = await _link(bench).write([(bench.target, 78.0), (bench.switch, True)], deadline_s=0.4)
        assert _results(outcomes) == [WriteResult.UNKNOWN, WriteResult.UNKNOWN]
        await bench.restore()
        await bench.watched.until_flowing()
        assert await bench.writes() == []

    async def test_a_cancelled_write_is_never_sent_later(self, bench: Bench) -> None:
        await bench.delay(1.5)
        writing = asyncio.create_task(_link(bench).write([(bench.target, 79.0)], deadline_s=5.0))
        await asyncio.sleep(0.2)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await asyncio.sleep(2.0)
        await bench.restore()
        await bench.watched.until_flowing()
        assert await bench.writes() == []

    async def test_a_read_without_an_answer_exceeds_its_deadline(self, bench: Bench) -> None:
        await bench.black_hole()
        with pytest.raises(DeadlineExceeded):
            await _link(bench).read([bench.constant], deadline_s=0.4)

    async def test_status_counts_what_is_wanted_and_heard(self, bench: Bench) -> None:
        status = _link(bench).status()
        assert status.state is LinkState.FLOWING
        assert status.wanted == status.subscribed == status.fresh > 0
        assert status.problems == {}
