"""Forwarding by itself: real disk, and a database that fails at the moment a test chooses."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.bench import until
from bridge.agent.forward import Forwarder
from bridge.agent.loop import Agent
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag
from bridge.errors import BridgeError, DeadlineExceeded, RefusedByRule, StoreDown
from bridge.links.buffer import DiskBuffer
from bridge.links.buffer_file import NAME
from bridge.ports import BufferState, Mark
from bridge.settings import BufferSettings

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TAG = Tag(
    path="[default]A/T", equipment_id="A", link="p", route=Route.MQTT, address="t", data_type=DataType.DOUBLE
)
DOWN = StoreDown("said by the test")


def readings_of(first: int, count: int = 1) -> list[Reading]:
    return [
        Reading(TAG, float(number), Quality.GOOD, T0 + timedelta(milliseconds=number), T0)
        for number in range(first, first + count)
    ]


class TurnedClock:
    """A clock that a test turns."""

    elapsed_s = 1000.0

    def now_utc(self) -> datetime:
        return T0 + timedelta(seconds=self.elapsed_s)

    def monotonic_s(self) -> float:
        return self.elapsed_s


async def _nothing(readings: Sequence[Reading]) -> None:
    return None


@dataclass
class Database:
    """Rows and marks as the real one keeps them: both or neither. `before` and `after` a commit a test may fail."""

    rows: list[int] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    before: Callable[[Sequence[Reading]], Awaitable[None]] = _nothing
    after: Callable[[Sequence[Reading]], Awaitable[None]] = _nothing

    async def store_readings(self, readings: Sequence[Reading], mark: Mark) -> int:
        await asyncio.sleep(0)
        await self.before(readings)
        if self.marks.get(mark.origin, 0) >= mark.first:
            return 0
        self.marks[mark.origin] = mark.last
        self.rows += [int(reading.value) for reading in readings]  # type: ignore[arg-type]
        await self.after(readings)
        return len(readings)

    async def stored_until(self, origin: str) -> int:
        return self.marks.get(origin, 0)

    async def forget_marks(self, buffer: str, in_use: Sequence[str]) -> None:
        for origin in [name for name in self.marks if name.startswith(buffer) and name not in in_use]:
            del self.marks[origin]


class Way:
    """Forwarder, disk and database of one bridge; `again` is the bridge after it, on the same disk and database."""

    def __init__(self, folder: Path, database: Database, stack: AsyncExitStack) -> None:
        self.folder, self.database, self._stack = folder, database, stack
        self.clock = TurnedClock()
        self.buffer = DiskBuffer(BufferSettings(dir=folder), {TAG.path: TAG}, self.clock)
        self.forward = Forwarder(store=database, buffer=self.buffer, queue_size=100_000)  # type: ignore[arg-type]

    async def open(self) -> Way:
        await self.buffer.open()
        self._stack.push_async_callback(self.buffer.close)
        return self

    async def again(self) -> Way:
        await self.buffer.close()
        return await Way(self.folder, self.database, self._stack).open()

    def put(self, first: int, count: int = 1, **how: Any) -> None:
        readings = readings_of(first, count)
        self.forward.put(readings, readings, None, **how)

    def stored_to(self, number: int) -> Callable[[], bool]:
        return lambda: self.database.rows[-1] == number

    async def drained(self) -> None:
        """Drain and flush side by side, as the loop does, until nothing waits."""
        draining = asyncio.create_task(self.forward.drain())

        async def empty() -> bool:
            await self.forward.flush()
            return draining.done()

        await until(empty, "the disk is empty", every_s=0.002)
        assert await draining is None


@pytest.fixture
async def way(tmp_path: Path) -> Any:
    async with AsyncExitStack() as stack:
        yield await Way(tmp_path, Database(), stack).open()


async def fails(readings: Sequence[Reading]) -> None:
    raise DOWN


async def test_disk_that_could_not_be_opened_at_the_start_is_emptied_later(way: Way) -> None:
    """Held by the bridge before it, while the database is well: what waits there is stored once it is free."""
    way.database.before = fails
    way.put(1, 3)
    await way.forward.flush()
    await way.buffer.close()
    holder = sqlite3.connect(way.folder / NAME, isolation_level=None)
    holder.execute("pragma locking_mode = exclusive")
    holder.execute("update about set value = value")
    after = await way.again()
    assert after.buffer.status().state is BufferState.DOWN
    way.database.before = _nothing
    assert await after.forward.drain() is None
    holder.close()
    after.clock.elapsed_s += 6
    after.put(10)
    await after.drained()
    assert sorted(way.database.rows) == [1, 2, 3, 10]


async def test_what_may_be_delivered_again_is_on_disk_before_it_is_committed(way: Way) -> None:
    """A kill between commit and fsync would make the source's second delivery a second row."""
    events: list[str] = []
    append = way.buffer.append

    async def kept(*arguments: Any, **how: Any) -> int:
        made = await append(*arguments, **how)
        events.append("disk")
        return made

    async def asked(readings: Sequence[Reading]) -> None:
        events.append("database")

    way.buffer.append = kept  # type: ignore[method-assign]
    way.database.before = asked
    way.put(1, again=True)
    await way.forward.flush()
    assert events == ["disk", "database"]
    assert (way.database.rows, way.buffer.status().depth) == ([1], 0)


async def test_source_that_waits_for_an_acknowledgement_does_not_wait_for_the_next_flush(way: Way) -> None:
    """It sends only so much before it has one: at a flush every 0.1 s and a window of 20 that would be 200 a second."""
    way.put(1)

    def tell(_problem: object) -> None:
        """What became of a flush is not under test here."""

    agent: Any = SimpleNamespace(
        _intake=SimpleNamespace(forward=way.forward),
        _settings=SimpleNamespace(agent=SimpleNamespace(flush_s=3600.0)),
        _tell=tell,
    )
    storing = asyncio.create_task(Agent._store_readings(cast(Agent, agent)))
    try:
        await until(lambda: way.database.rows == [1], "the first flush")
        way.put(2)
        assert not way.forward.soon.is_set()
        for number in range(3, 10):
            way.put(number, again=True)
            await until(way.stored_to(number), "it is stored at once")
        assert way.database.rows == list(range(1, 10))
    finally:
        storing.cancel()


@pytest.mark.parametrize("again", [False, True], ids=["database away", "delivered again"])
async def test_flush_that_is_cancelled_while_it_writes_to_disk_loses_nothing(way: Way, again: bool) -> None:
    """A stop in the middle of the append: what is taken in after it does not make the database skip it."""
    began = asyncio.Event()
    append = way.buffer.append

    async def slow(*arguments: Any, **how: Any) -> int:
        began.set()
        await asyncio.sleep(0.1)
        return await append(*arguments, **how)

    way.buffer.append = slow  # type: ignore[method-assign]
    if not again:
        way.database.before = fails
    way.put(1, 10, again=again)
    flushing = asyncio.create_task(way.forward.flush())
    await began.wait()
    for _ in range(2):  # the loop tells a second time whoever seems not to have heard
        flushing.cancel()
        await asyncio.sleep(0.02)
    with pytest.raises(asyncio.CancelledError):
        await flushing
    way.database.before = _nothing
    way.put(100)
    await way.forward.flush()
    after = await way.again()
    await after.drained()
    assert sorted(way.database.rows) == [*range(1, 11), 100]
    assert (way.forward.dropped, after.buffer.status().depth) == (0, 0)


@pytest.mark.parametrize("count", [3000, 900])
async def test_batch_that_takes_the_database_too_long_goes_in_pieces(way: Way, count: int) -> None:
    """One batch on disk, more than the time limit allows: stored in order, once, also over a restart midway
    and when the database has become quick again meanwhile."""
    most = 400

    async def too_slow(readings: Sequence[Reading]) -> None:
        if len(way.database.rows) >= count // 2:
            raise DOWN
        if len(readings) > most:
            raise DeadlineExceeded("said by the test")

    way.database.before = fails
    way.put(1, count)
    await way.forward.flush()
    assert way.buffer.status().depth == count
    way.database.before = too_slow
    draining = asyncio.create_task(way.forward.drain())

    async def gave_up() -> bool:
        await way.forward.flush()
        return draining.done()

    await until(gave_up, "draining meets the next outage", every_s=0.002)
    begun = len(way.database.rows)
    assert 0 < begun < count
    after = await way.again()
    way.database.before = _nothing
    await after.drained()
    assert way.database.rows == [*range(1, count + 1)]


@pytest.mark.parametrize("problem", [OSError(5, "Input/output error"), RuntimeError("a mistake of ours")])
async def test_disk_that_fails_in_a_way_nobody_foresaw_loses_nothing(way: Way, problem: Exception) -> None:
    """The batch that neither of the two took waits on in memory."""

    async def broken(*arguments: Any, **how: Any) -> int:
        raise problem

    way.buffer.append = broken  # type: ignore[method-assign]
    way.database.before = fails
    way.put(1, 5)
    with pytest.raises(type(problem)):
        await way.forward.flush()
    assert way.forward.waiting == 5
    way.database.before = _nothing
    await way.forward.flush()
    assert way.database.rows == [1, 2, 3, 4, 5]


async def test_marks_of_a_batch_that_is_being_stored_in_parts_are_not_forgotten(way: Way) -> None:
    """The answer to the second part is lost, and draining tidies up just before: no part is stored twice."""
    tidying: list[asyncio.Task[object]] = []
    lost = False

    async def refuses(readings: Sequence[Reading]) -> None:
        if len(readings) > 1 and any(reading.value == 3.0 for reading in readings):
            raise RefusedByRule(Refusal(RefusalCode.WRONG_FORM, "said by the test"))

    async def loses(readings: Sequence[Reading]) -> None:
        nonlocal lost
        if not lost:
            lost = True
            tidying.append(asyncio.create_task(way.forward.drain()))
            await asyncio.wait(tidying, timeout=0.2)
            raise DOWN

    way.database.before, way.database.after = refuses, loses
    way.put(1, 4)
    await way.forward.flush()
    await asyncio.wait(tidying)
    await way.drained()
    assert way.database.rows == [1, 2, 3, 4]


async def test_batch_in_parts_that_is_cancelled_is_taken_up_where_it_was(way: Way) -> None:
    """Half of it is stored, under its own mark: the next flush stores the other half, and only that."""
    standing = asyncio.Event()

    async def refuses(readings: Sequence[Reading]) -> None:
        if len(readings) == 4:
            raise RefusedByRule(Refusal(RefusalCode.WRONG_FORM, "said by the test"))
        if readings[0].value == 3.0 and not standing.is_set():
            standing.set()
            await asyncio.Event().wait()

    way.database.before = refuses
    way.put(1, 4)
    flushing = asyncio.create_task(way.forward.flush())
    await standing.wait()
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    way.database.before = _nothing
    await way.forward.flush()
    assert way.database.rows == [1, 2, 3, 4]


async def _hesitating(way: Way) -> asyncio.Event:
    """Let the database hesitate over what is 500 and above, until the event that is returned; 1 to 4 wait on disk."""
    way.database.before = fails
    way.put(1, 4)
    await way.forward.flush()
    assert way.buffer.status().depth == 4
    way.forward._away = None  # as when draining has found it well again
    goes_on = asyncio.Event()

    async def hesitates(readings: Sequence[Reading]) -> None:
        if readings[0].value == 500.0:
            await goes_on.wait()

    way.database.before = hesitates
    return goes_on


async def _three_behind_a_slow_one(way: Way) -> tuple[asyncio.Event, asyncio.Task[BridgeError | None]]:
    """The database hesitates over 500, and 501 to 503 wait behind it, on disk too."""
    goes_on = await _hesitating(way)
    way.put(500)
    flushing = asyncio.create_task(way.forward.flush())
    await asyncio.sleep(0)
    way.put(501, 3)

    await until(
        lambda: way.forward.waiting == 3 and not way.forward.only_in_memory, "what came after it is on disk"
    )
    return goes_on, flushing


async def test_live_readings_do_not_queue_behind_the_disk_because_a_batch_took_its_time(way: Way) -> None:
    """They are safe on disk while the database hesitates, and stored in their turn, not after all that waits."""
    goes_on, flushing = await _three_behind_a_slow_one(way)
    way.put(504, 2)
    assert way.forward.waiting == 5
    goes_on.set()
    assert await flushing is None
    assert way.database.rows == [500, 501, 502, 503, 504, 505]
    assert way.buffer.status().depth == 4
    await way.drained()
    assert way.database.rows == [500, 501, 502, 503, 504, 505, 1, 2, 3, 4]
    assert way.forward.waiting == 0


@pytest.mark.parametrize("killed", [False, True])
async def test_what_waits_behind_a_batch_that_failed_is_stored_once_and_in_order(
    way: Way, killed: bool
) -> None:
    goes_on, flushing = await _three_behind_a_slow_one(way)
    if killed:
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        way.database.before = _nothing
        way = await way.again()
    else:
        way.database.before = fails
        way.put(600)
        await until(
            lambda: way.forward.waiting == 4 and not way.forward.only_in_memory, "another is behind it"
        )
        goes_on.set()  # this one is stored; the next one fails
        assert await flushing is DOWN
        assert way.database.rows == [500]
        assert way.buffer.status().depth == 4 + 3 + 1
        way.database.before = _nothing
    await way.drained()
    expected = [1, 2, 3, 4, 500, 501, 502, 503] if killed else [500, 1, 2, 3, 4, 501, 502, 503, 600]
    assert way.database.rows == expected
    assert way.buffer.status().state is BufferState.EMPTY


async def test_memory_stays_bounded_behind_a_batch_that_takes_its_time(way: Way) -> None:
    way.forward._queue_size = 10
    goes_on = await _hesitating(way)
    way.put(500)
    flushing = asyncio.create_task(way.forward.flush())
    for first in range(501, 531, 3):
        way.put(first, 3)

        async def on_disk() -> bool:
            return way.forward.only_in_memory == 0

        await until(on_disk, "nothing waits in memory alone")
    assert way.forward.waiting <= 10 + 3
    goes_on.set()
    assert await flushing is None
    assert way.forward.waiting == 0
    await way.drained()
    assert sorted(way.database.rows) == [1, 2, 3, 4, *range(500, 531)]
    assert way.forward.dropped == 0
