"""Intake: everything measured passes here once, whoever measured it, and nothing is lost without being counted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from rig import Row

from agent.bench import Bench, running, until
from bridge.agent.detect import Detector
from bridge.agent.intake import Finding, Intake
from bridge.domain.anomaly import Anomaly
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.reading import Quality, Reading
from bridge.errors import FixCode, RefusedByRule, StoreDown
from bridge.store.postgres import PostgresStore


@dataclass(kw_only=True)
class Entry:
    """An intake, what it found, and readings to give it."""

    bench: Bench
    intake: Intake
    detector: Detector
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

    async def store_readings(self, readings: Sequence[Reading]) -> int:
        if self.problem is not None:
            raise self.problem
        return await super().store_readings(readings)


async def entry_of(bench: Bench, *, store: PostgresStore | None = None, queue_size: int = 1000) -> Entry:
    found: list[Finding] = []
    detector = Detector(bench.plant, started_utc=datetime.now(UTC))
    intake = Intake(
        plant=bench.plant,
        detector=detector,
        store=store or bench.store,
        queue_size=queue_size,
        found=found.append,
    )
    return Entry(bench=bench, intake=intake, detector=detector, found=found)


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
    await entry.intake.flush()
    assert entry.stored() == [70.0, 71.0, 72.0]
    assert (entry.intake.taken_in, entry.intake.stored, entry.intake.waiting) == (3, 3, 0)


async def test_nothing_is_lost_while_the_store_is_away(bench: Bench) -> None:
    """Readings wait in memory, in their order, until the store takes them."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = StoreDown("said by the test")
    entry = await entry_of(bench, store=store)
    for number in range(5):
        entry.intake.take([entry.reading(60.0 + number, later_s=number)])
        with pytest.raises(StoreDown):
            await entry.intake.flush()
    assert entry.intake.waiting == 5
    store.problem = None
    await entry.intake.flush()
    assert entry.stored() == [60.0, 61.0, 62.0, 63.0, 64.0]
    assert entry.intake.dropped == 0


async def test_beyond_the_queue_the_oldest_are_dropped_and_counted(bench: Bench) -> None:
    """Memory is bounded: what does not fit is the oldest, and the number is told."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = StoreDown("said by the test")
    entry = await entry_of(bench, store=store, queue_size=10)
    for number in range(14):
        entry.intake.take([entry.reading(50.0 + number, later_s=number)])
    assert (entry.intake.waiting, entry.intake.dropped) == (10, 4)
    store.problem = None
    await entry.intake.flush()
    assert entry.stored() == [54.0 + number for number in range(10)]
    assert entry.intake.taken_in == entry.intake.stored + entry.intake.dropped


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
        async def store_readings(self, readings: Sequence[Reading]) -> int:
            if any(reading.value == 66.0 for reading in readings):
                raise RefusedByRule(Refusal(RefusalCode.WRONG_FORM, "said by the test"))
            return await super().store_readings(readings)

    entry = await entry_of(bench, store=await bench.open_store(kind=RefusesOne))
    for number in range(3):
        entry.intake.take([entry.reading(65.0 + number, later_s=number)])
    await entry.intake.flush()
    assert entry.stored() == [65.0, 67.0]
    assert (entry.intake.stored, entry.intake.dropped, entry.intake.waiting) == (2, 1, 0)


async def test_flush_that_breaks_off_keeps_what_it_had(bench: Bench) -> None:
    """Whatever goes wrong while storing, also a stop, the readings stand at the head of the queue again."""
    store = await bench.open_store(kind=Away)
    assert isinstance(store, Away)
    store.problem = FixCode("said by the test")
    entry = await entry_of(bench, store=store)
    entry.intake.take([entry.reading(61.0)])
    with pytest.raises(FixCode):
        await entry.intake.flush()
    assert entry.intake.waiting == 1
    store.problem = None
    await entry.intake.flush()
    assert entry.stored() == [61.0]


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

    await until(look, "the row behind it is found", deadline_s=3.0)
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

    (row,) = await until(there, "a recommendation", deadline_s=3.0)
    assert (row["issue_type"], row["severity"], row["temperature_reading"]) == (
        "high_temperature",
        "high",
        91.0,
    )
    assert len(row["proposed_writes"]) == 2
