"""Intake: everything measured passes here once, whoever measured it, and nothing is lost without being counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rig import Row

from agent.bench import Bench, running, until
from bridge.agent.detect import Detector
from bridge.agent.intake import Finding, Intake
from bridge.clock import SystemClock
from bridge.domain.anomaly import Anomaly
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.reading import Quality, Reading
from bridge.errors import FixCode, RefusedByRule, StoreDown
from bridge.links.buffer import DiskBuffer
from bridge.ports import BufferState, Mark
from bridge.settings import BufferSettings
from bridge.store.postgres import PostgresStore


@dataclass(kw_only=True)
class Entry:
    """An intake, what it found, and readings to give it."""

    bench: Bench
    intake: Intake
    detector: Detector
    buffer: DiskBuffer
    found: list[Finding] = field(default_factory=list)

    def reading(
        self, value: object, *, later_s: float = 0.0, signal: str = "temperature", reactor: str = ""
    ) -> Reading:
        moment = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=later_s)
        tag = self.bench.plant.equipment[reactor or self.bench.reactor].signals[signal]
        return Reading(tag, value, Quality.GOOD, moment, moment)  # type: ignore[arg-type]

    def stored(self, reactor: str = "") -> list[float]:
        """Temperatures that the bridge stored, in the order in which it did."""
        rows = self.bench.hands.owner.execute(
            "select temperature from sensor_data where equipment_id = %s and external_xid is null order by reading_id",
            (reactor or self.bench.reactor,),
        ).fetchall()
        return [row["temperature"] for row in rows]


class Away(PostgresStore):
    """A store that is away, or refuses, as long as a test wants."""

    problem: Exception | None = None

    async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
        if self.problem is not None:
            raise self.problem
        return await super().store_readings(readings, mark)


async def entry_of(
    bench: Bench, *, store: PostgresStore | None = None, queue_size: int = 1000, folder: Path | None = None
) -> Entry:
    """An intake with a disk buffer; in a `folder` that is none, it has to do without."""
    found: list[Finding] = []
    settings = bench.settings.buffer if folder is None else BufferSettings(dir=folder)
    buffer = DiskBuffer(settings, bench.plant.tags, SystemClock())
    await buffer.open()
    bench.stack.push_async_callback(buffer.close)
    detector = Detector(bench.plant, started_utc=datetime.now(UTC))
    intake = Intake(
        plant=bench.plant,
        detector=detector,
        store=store or bench.store,
        buffer=buffer,
        queue_size=queue_size,
        found=found.append,
    )
    return Entry(bench=bench, intake=intake, detector=detector, buffer=buffer, found=found)


def insert(bench: Bench, **values: object) -> None:
    """A row as others insert it; only what is given."""
    columns = {"equipment_id": bench.reactor, **values}
    names = ", ".join(columns)
    places = ", ".join(["%s"] * len(columns))
    bench.hands.owner.execute(
        f"insert into sensor_data ({names}) values ({places})".encode(), [*columns.values()]
    )


async def test_stored_once_and_in_order(bench: Bench) -> None:
    """Three values in two batches, with a repetition in between: three rows, in the order of arrival."""
    entry = await entry_of(bench)
    first, second, third = (entry.reading(70.0 + n, later_s=n) for n in range(3))
    entry.intake.take([first, second])
    entry.intake.take([second])
    entry.intake.take([second._replace(confirmed=True), third])
    await entry.intake.forward.flush()
    assert entry.stored() == [70.0, 71.0, 72.0]
    assert (entry.intake.taken_in, entry.intake.forward.stored, entry.intake.forward.waiting) == (3, 3, 0)


async def test_nothing_is_lost_while_the_store_is_away(bench: Bench) -> None:
    """Readings wait on disk, in their order, until the store takes them; memory is free again."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = StoreDown("said by the test")
    entry = await entry_of(bench, store=store)
    for number in range(5):
        entry.intake.take([entry.reading(60.0 + number, later_s=number)])
        assert await entry.intake.forward.flush() is store.problem
    assert (entry.intake.forward.waiting, entry.buffer.status().depth) == (0, 5)
    store.problem = None
    await drained(entry)
    assert entry.stored() == [60.0, 61.0, 62.0, 63.0, 64.0]
    assert (entry.intake.forward.stored, entry.intake.forward.dropped) == (5, 0)


async def drained(entry: Entry) -> None:
    """Drain and flush side by side, as the loop does, until nothing waits."""
    forward = entry.intake.forward
    draining = asyncio.create_task(forward.drain())

    async def empty() -> bool:
        await forward.flush()
        return draining.done()

    await until(empty, "the disk is empty", every_s=0.01)
    assert await draining is None


async def stored_and_said(entry: Entry, values: list[float]) -> None:
    """Wait until draining has stored these and knows it: until then what comes live goes to disk as well."""
    await until(
        lambda: entry.stored() == values and entry.buffer.status().state is BufferState.DRAINING,
        f"{values} are stored",
    )


async def test_what_is_on_disk_stays_there_until_it_is_committed(bench: Bench) -> None:
    """Draining while the store is still away takes nothing from the disk."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = StoreDown("said by the test")
    entry = await entry_of(bench, store=store)
    for number in range(3):
        entry.intake.take([entry.reading(60.0 + number, later_s=number)])
        await entry.intake.forward.flush()
    assert await entry.intake.forward.drain() is store.problem
    assert entry.buffer.status().depth == 3
    store.problem = None
    await drained(entry)
    assert entry.stored() == [60.0, 61.0, 62.0]


async def test_live_readings_overtake_those_on_disk(bench: Bench) -> None:
    """Once the store answers, what comes live is stored at once, and what waited follows, each in its order."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = StoreDown("said by the test")
    entry = await entry_of(bench, store=store)
    forward = entry.intake.forward
    for number in range(3):
        entry.intake.take([entry.reading(60.0 + number, later_s=number)])
        await forward.flush()
    store.problem = None
    draining = asyncio.create_task(forward.drain())
    await stored_and_said(entry, [60.0])
    entry.intake.take([entry.reading(70.0, later_s=10)])
    await forward.flush()
    assert await asyncio.wait_for(draining, 40.0) is None
    assert entry.stored() == [60.0, 70.0, 61.0, 62.0]


async def test_live_batch_that_failed_in_between_is_not_taken_for_stored(bench: Bench) -> None:
    """It waits behind older ones while later live batches are stored: their mark must not count for it."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    down = StoreDown("said by the test")
    entry = await entry_of(bench, store=store)
    forward = entry.intake.forward

    async def measured(value: float) -> None:
        entry.intake.take([entry.reading(value, later_s=value)])
        await forward.flush()

    store.problem = down
    await measured(60.0)
    await measured(61.0)
    store.problem = None
    draining = asyncio.create_task(forward.drain())
    await stored_and_said(entry, [60.0])
    store.problem = down
    await measured(62.0)
    assert await draining is down
    store.problem = None
    draining = asyncio.create_task(forward.drain())
    await stored_and_said(entry, [60.0, 61.0])
    await measured(63.0)
    assert await asyncio.wait_for(draining, 40.0) is None
    assert entry.stored() == [60.0, 61.0, 63.0, 62.0]


async def test_without_disk_the_oldest_are_dropped_beyond_the_queue_and_counted(
    bench: Bench, tmp_path: Path
) -> None:
    """Memory is bounded: what does not fit is the oldest, and the number is told."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = StoreDown("said by the test")
    no_folder = tmp_path / "file"
    no_folder.write_text("", encoding="utf-8")
    entry = await entry_of(bench, store=store, queue_size=10, folder=no_folder)
    assert entry.buffer.status().state is BufferState.DOWN
    for number in range(14):
        entry.intake.take([entry.reading(50.0 + number, later_s=number)])
    forward = entry.intake.forward
    assert (forward.waiting, forward.dropped) == (10, 4)
    store.problem = None
    assert await forward.flush() is None
    assert entry.stored() == [54.0 + number for number in range(10)]
    assert entry.intake.taken_in == forward.stored + forward.dropped


async def test_queue_that_is_full_goes_to_disk(bench: Bench) -> None:
    """While the store hangs, more arrives than memory may hold: it is on disk alone, and nothing is dropped."""

    class Hangs(PostgresStore):
        answer: asyncio.Event

        async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
            await self.answer.wait()
            return await super().store_readings(readings, mark)

    store = await bench.open_store(kind=Hangs)
    assert isinstance(store, Hangs)
    store.answer = asyncio.Event()
    entry = await entry_of(bench, store=store, queue_size=10)
    forward = entry.intake.forward
    flushing = None
    for number in range(60):
        entry.intake.take([entry.reading(1000.0 + number, later_s=number)])
        flushing = flushing or asyncio.create_task(forward.flush())
        if number % 6 == 5:
            await until(lambda: forward.only_in_memory <= 5, "memory is free again", every_s=0.005)
    assert entry.buffer.status().depth > 20, "what memory has no room for is on disk alone"
    assert forward.dropped == 0
    store.answer.set()
    assert flushing is not None
    await flushing
    await drained(entry)
    assert sorted(entry.stored()) == [1000.0 + number for number in range(60)]


async def test_slow_store_leaves_nothing_in_memory_alone(bench: Bench) -> None:
    """What the store takes its time for is on disk meanwhile, and not stored twice when it answers after all."""

    class Slow(PostgresStore):
        answer: asyncio.Event

        async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
            rows = await super().store_readings(readings, mark)
            await self.answer.wait()
            return rows

    store = await bench.open_store(kind=Slow)
    assert isinstance(store, Slow)
    store.answer = asyncio.Event()
    entry = await entry_of(bench, store=store)
    link = Thankful()
    entry.intake.take([entry.reading(60.0)], link)  # type: ignore[arg-type]
    flushing = asyncio.create_task(entry.intake.forward.flush())
    await until(lambda: len(link.safe) == 1, "it is on disk")
    assert entry.buffer.status().depth == 0, "what is being stored at this moment does not wait"
    entry.intake.take([entry.reading(61.0, later_s=1)], link)  # type: ignore[arg-type]
    await until(lambda: len(link.safe) == 2, "what comes after it is on disk too")
    draining = asyncio.create_task(entry.intake.forward.drain())
    await asyncio.wait({draining}, timeout=0.2)
    store.answer.set()
    await flushing
    await draining
    await drained(entry)
    assert entry.stored() == [60.0, 61.0]


async def test_lost_answer_stores_nothing_twice(bench: Bench) -> None:
    """Committed, and the answer never came: the batch goes to disk with its mark, and is known to be there."""

    class Deaf(PostgresStore):
        deaf = False

        async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
            rows = await super().store_readings(readings, mark)
            if self.deaf:
                raise StoreDown("said by the test: the answer was lost")
            return rows

    store = await bench.open_store(kind=Deaf)
    assert isinstance(store, Deaf)
    entry = await entry_of(bench, store=store)
    store.deaf = True
    for number in range(3):
        entry.intake.take([entry.reading(60.0 + number, later_s=number)])
        await entry.intake.forward.flush()
    assert entry.buffer.status().depth == 3
    assert await entry.intake.forward.drain() is not None  # stored again, and the answer was lost again
    store.deaf = False
    await drained(entry)
    assert entry.stored() == [60.0, 61.0, 62.0]
    marks = entry.bench.hands.value("select count(*) from intake_marks")
    assert marks <= 2, "marks of which nothing waits are removed"


async def test_findings_do_not_wait_for_the_store(bench: Bench) -> None:
    """Detection comes first: a store that is away delays rows, never an alarm."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = StoreDown("said by the test")
    entry = await entry_of(bench, store=store)
    entry.intake.take([entry.reading(91.0)])
    assert [type(finding) for finding in entry.found] == [Anomaly]


async def test_batch_that_the_database_refuses_is_counted_and_holds_nobody_up(bench: Bench) -> None:
    """One batch that cannot be stored is dropped and counted; those beside it in the queue are stored."""

    class RefusesOne(PostgresStore):
        async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
            if any(reading.value == 66.0 for reading in readings):
                raise RefusedByRule(Refusal(RefusalCode.WRONG_FORM, "said by the test"))
            return await super().store_readings(readings, mark)

    entry = await entry_of(bench, store=await bench.open_store(kind=RefusesOne))
    for number in range(3):
        entry.intake.take([entry.reading(65.0 + number, later_s=number)])
    forward = entry.intake.forward
    await forward.flush()
    assert entry.stored() == [65.0, 67.0]
    assert (forward.stored, forward.dropped, forward.waiting) == (2, 1, 0)


async def test_refused_reading_on_disk_holds_nobody_up(bench: Bench) -> None:
    """What was kept through an outage and is refused then is dropped and counted, alone."""

    class RefusesOne(Away):
        async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
            if self.problem is None and any(reading.value == 66.0 for reading in readings):
                raise RefusedByRule(Refusal(RefusalCode.WRONG_FORM, "said by the test"))
            return await super().store_readings(readings, mark)

    store = await bench.open_store(kind=RefusesOne)
    assert isinstance(store, RefusesOne)
    store.problem = StoreDown("said by the test")
    entry = await entry_of(bench, store=store)
    for first in (62.0, 65.0, 68.0):
        entry.intake.take([entry.reading(first + number, later_s=first + number) for number in range(3)])
        await entry.intake.forward.flush()
    store.problem = None
    await drained(entry)
    assert entry.stored() == [62.0, 63.0, 64.0, 65.0, 67.0, 68.0, 69.0, 70.0]
    assert entry.intake.forward.dropped == 1


async def test_flush_that_breaks_off_keeps_what_it_had(bench: Bench) -> None:
    """Whatever goes wrong while storing, the readings are on disk, and are stored when it works again."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = FixCode("said by the test")
    entry = await entry_of(bench, store=store)
    entry.intake.take([entry.reading(61.0)])
    with pytest.raises(FixCode):
        await entry.intake.forward.flush()
    assert entry.buffer.status().depth == 1
    store.problem = None
    await drained(entry)
    assert entry.stored() == [61.0]


async def test_flush_that_is_cancelled_stores_once(bench: Bench) -> None:
    """A stop in the middle of storing: the next flush takes the same batch with the same mark."""

    class Stands(PostgresStore):
        stored: asyncio.Event

        async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
            rows = await super().store_readings(readings, mark)
            if not self.stored.is_set():
                self.stored.set()
                await asyncio.Event().wait()
            return rows

    store = await bench.open_store(kind=Stands)
    assert isinstance(store, Stands)
    store.stored = asyncio.Event()
    entry = await entry_of(bench, store=store)
    entry.intake.take([entry.reading(61.0)])
    flushing = asyncio.create_task(entry.intake.forward.flush())
    await store.stored.wait()
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    assert entry.intake.forward.waiting == 1
    assert await entry.intake.forward.flush() is None
    assert entry.stored() == [61.0]


# Sources that deliver again what they do not know to be safe.


class Thankful:
    """A link as far as the intake knows it: remembers what it was told to be safe."""

    def __init__(self) -> None:
        self.safe: list[Sequence[Reading]] = []

    def kept(self, batch: Sequence[Reading]) -> None:
        self.safe.append(batch)


async def test_link_is_told_when_a_batch_is_on_disk_and_not_before(bench: Bench) -> None:
    """Taken in is not safe; on disk is. The very batch comes back, also when nothing in it was new."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = StoreDown("said by the test")
    entry = await entry_of(bench, store=store)
    link = Thankful()
    batch = [entry.reading(60.0)]
    again = list(batch)
    entry.intake.take(batch, link, again=True)  # type: ignore[arg-type]
    entry.intake.take(again, link, again=True)  # type: ignore[arg-type]
    assert link.safe == []
    await entry.intake.forward.flush()
    assert [id(safe) for safe in link.safe] == [id(batch), id(again)]
    assert (entry.buffer.status().depth, entry.intake.taken_in) == (1, 1)


async def test_reading_delivered_again_is_recognised_after_a_restart(bench: Bench) -> None:
    """Stored or still on disk, and the source was never thanked: what it delivers again is not stored again."""
    entry = await entry_of(bench)
    link = Thankful()
    readings = [entry.reading(60.0 + number, later_s=number) for number in range(4)]
    entry.intake.take(readings[:2], link, again=True)  # type: ignore[arg-type]
    await entry.intake.forward.flush()
    assert entry.stored() == [60.0, 61.0]
    await entry.buffer.close()
    second = await entry_of(bench)
    await second.intake.recall()
    second.intake.take(readings, link, again=True)  # type: ignore[arg-type]
    await second.intake.forward.flush()
    assert second.stored() == [60.0, 61.0, 62.0, 63.0]


# Rows of others.


async def taken(entry: Entry) -> int:
    """Look for others' rows until there are some."""
    return await until(entry.intake.take_others, "others' rows are read", every_s=0.05)


async def test_rows_of_others_are_looked_at_from_now_on_and_once(bench: Bench) -> None:
    """What was there long before the agent is history; what comes later is seen once, also in a slow transaction."""
    insert(bench, temperature=99.0, received_timestamp=(datetime.now(UTC) - timedelta(minutes=2)).isoformat())
    entry = await entry_of(bench)
    assert await entry.intake.take_others() == 0
    with bench.hands.owner.transaction():
        insert(bench, temperature=91.0)
        bench.hands.agent.execute(
            "insert into sensor_data (equipment_id, temperature) values (%s, 20)", (bench.reactors[1],)
        )
        assert await entry.intake.take_others() == 0, "the older transaction is still open"
    assert await taken(entry) == 2
    assert await entry.intake.take_others() == 0
    assert [finding.equipment_id for finding in entry.found] == [bench.reactor]


async def test_rows_of_the_minute_before_the_start_are_looked_at(bench: Bench) -> None:
    """A bridge that was restarted just now does not miss what others found meanwhile."""
    insert(bench, temperature=99.0)
    entry = await entry_of(bench)
    assert await entry.intake.take_others() == 1
    assert await entry.intake.take_others() == 0


@pytest.mark.parametrize(
    "poison",
    [
        {"signals": "5"},
        {"signals": '"text"'},
        {"signals": "[1, 2]"},
        {"signals": "null"},
        {"signals": '{"temperature": "hot", "pressure": {"deep": 1}}'},
        {"timestamp": "infinity"},
        {"timestamp": "-infinity"},
        {"timestamp": "0044-03-15 12:00 BC"},
        {"timestamp": "12000-01-01"},
        {"received_timestamp": "infinity"},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"equipment_id": "BOILER_99", "temperature": 99.0},
        {"equipment_id": "", "temperature": 99.0},
    ],
    ids=lambda poison: json.dumps(poison),
)
async def test_odd_row_of_others_does_not_stop_the_rows_after_it(
    bench: Bench, poison: dict[str, object]
) -> None:
    """Anybody may insert anything: an odd row is passed over, and the hot reading behind it is still found."""
    entry = await entry_of(bench)
    await entry.intake.take_others()
    insert(bench, **poison)
    insert(bench, equipment_id=bench.reactors[1], temperature=91.0)

    async def look() -> bool:
        await entry.intake.take_others()
        return bool(entry.found)

    await until(look, "the row behind it is found", deadline_s=20.0)
    assert [finding.equipment_id for finding in entry.found] == [bench.reactors[1]]


async def test_row_an_hour_old_raises_nothing(bench: Bench) -> None:
    """History that somebody loads is stored, and no reason to act now."""
    entry = await entry_of(bench)
    await entry.intake.take_others()
    insert(bench, temperature=99.0, timestamp=datetime.now(UTC) - timedelta(hours=1))
    assert await taken(entry) == 1
    assert entry.found == []


async def test_unknown_equipment_is_noted(bench: Bench) -> None:
    """A row for equipment that nobody configured is said to be there."""
    entry = await entry_of(bench)
    await entry.intake.take_others()
    insert(bench, equipment_id="BOILER_99", temperature=99.0)
    assert await taken(entry) == 1
    assert entry.detector.unknown_equipment == {"BOILER_99"}


@pytest.mark.parametrize(
    "row",
    [{"temperature": 91.0, "quality": "bad"}, {"temperature": float("nan")}],
    ids=["bad quality", "NaN"],
)
async def test_bad_row_is_trouble_with_the_signal_and_no_alarm(bench: Bench, row: dict[str, object]) -> None:
    """A value that its source calls bad, or that is none, is its own finding and never a temperature."""
    entry = await entry_of(bench)
    await entry.intake.take_others()
    insert(bench, **row)
    assert await taken(entry) == 1
    found = [*entry.found, *entry.detector.tick(datetime.now(UTC) + timedelta(seconds=3))]
    assert [finding.issue_type for finding in found] == ["bad_signal"]


# The whole agent, fed by others' rows alone.


@pytest.fixture
async def fed_by_others(bench: Bench) -> AsyncIterator[Bench]:
    async with running(bench.settings, bench.named):
        yield bench


async def test_row_of_others_leads_to_a_recommendation_with_writes(fed_by_others: Bench) -> None:
    """A gateway script that inserts rows is all it takes: the notification wakes the agent at once."""
    insert(fed_by_others, temperature=91.0, pressure=2.0)

    def there() -> list[Row]:
        return fed_by_others.recommendations()

    (row,) = await until(there, "a recommendation", deadline_s=20.0)
    assert (row["issue_type"], row["severity"], row["temperature_reading"]) == (
        "high_temperature",
        "high",
        91.0,
    )
    assert len(row["proposed_writes"]) == 2
