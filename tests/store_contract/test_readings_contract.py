"""Does every reading arrive once, as it was measured, on every store?"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from worlds import OnWarehouse, World, in_json, now_utc

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag, Value
from bridge.ports import Mark

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def a_reading(
    signal: str = "temperature",
    value: Value | None = 85.5,
    quality: Quality = Quality.GOOD,
    *,
    at: datetime = T0,
    equipment_id: str = "REACTOR_01",
    status: str = "Good",
) -> Reading:
    tag = Tag(
        path=f"[default]{equipment_id}/{signal}",
        equipment_id=equipment_id,
        link="plant",
        route=Route.OPCUA,
        address="s=x",
        data_type=DataType.DOUBLE,
        signal=signal,
    )
    return Reading(tag, value, quality, at, at + timedelta(seconds=1), status)


async def test_readings_are_stored_as_they_were_measured(world: World) -> None:
    """Columns, further signals, moments to the microsecond, quality and text must come back as they were."""
    store = await world.store()
    odd = 'tab\t"quote" \\ back\nslash é 日本 \x07'
    assert (
        await store.store_readings(
            [
                a_reading("temperature", 85.5),
                a_reading("pressure", 2),
                a_reading("level", 0.25),
                a_reading("running", True),
                a_reading("flow_rate", 0.1, Quality.UNCERTAIN, status=odd),
                a_reading("temperature", -1e-9, equipment_id="PUMP_01"),
            ]
        )
        == 2
    )
    rows = {row["equipment_id"]: row for row in world.rows("sensor_data")}
    reactor = rows["REACTOR_01"]
    assert (reactor["temperature"], reactor["pressure"], reactor["flow_rate"]) == (85.5, 2.0, 0.1)
    assert in_json(reactor["signals"]) == {"level": 0.25, "running": True}
    assert (reactor["timestamp"], reactor["received_timestamp"]) == (T0, T0 + timedelta(seconds=1))
    assert (reactor["quality"], reactor["source_status"], reactor["sensor_status"]) == (
        "uncertain",
        odd,
        "uncertain",
    )
    assert (reactor["sensor_id"], reactor["recorded_by"], reactor["replayed"]) == (
        "REACTOR_01",
        "operations-agent",
        False,
    )
    assert (rows["PUMP_01"]["temperature"], rows["PUMP_01"]["pressure"]) == (-1e-9, None)


async def test_what_was_not_measured_is_not_invented(world: World) -> None:
    """Bad and missing values and NaN must leave their column empty; nothing at all makes no row."""
    store = await world.store()
    assert await store.store_readings([]) == 0
    assert (
        await store.store_readings(
            [
                a_reading("temperature", 5.0, Quality.BAD, status="Bad"),
                a_reading("pressure", float("nan")),
                a_reading("flow_rate", None),
            ]
        )
        == 1
    )
    (row,) = world.rows("sensor_data")
    assert (row["temperature"], row["pressure"], row["flow_rate"], row["signals"]) == (None, None, None, None)
    assert row["quality"] == "bad"


async def test_a_batch_with_a_mark_is_stored_once(world: World) -> None:
    """The same batch again, or one that begins before the mark, must write nothing; the next one must be stored."""
    store = await world.store()
    assert await store.stored_until("b/r/0") == 0
    assert await store.store_readings([a_reading()], Mark(origin="b/r/0", first=1, last=3)) == 1
    assert await store.stored_until("b/r/0") == 3
    for first, last in ((1, 3), (2, 5), (3, 3)):
        assert await store.store_readings([a_reading()], Mark(origin="b/r/0", first=first, last=last)) == 0
    assert await store.stored_until("b/r/0") == 3
    other = await world.store(id="another")
    assert await other.store_readings([a_reading()], Mark(origin="b/r/0", first=4, last=4)) == 1
    assert await other.store_readings([a_reading()], Mark(origin="b/r/1", first=1, last=1)) == 1
    assert (await store.stored_until("b/r/0"), await store.stored_until("b/r/1")) == (4, 1)
    assert len(world.rows("sensor_data")) == 3
    await store.forget_marks("b/", ["b/r/0"])
    assert await store.stored_until("b/r/0") == 4


async def test_a_large_batch_is_one_batch(world: World) -> None:
    """Thousands of rows in one call must all arrive under one mark."""
    store = await world.store()
    batch = [
        a_reading("temperature", float(number), at=T0 + timedelta(milliseconds=number))
        for number in range(3000)
    ]
    assert await store.store_readings(batch, Mark(origin="b/r/0", first=1, last=1)) == 3000
    values = sorted(row["temperature"] for row in world.rows("sensor_data"))
    assert values == [float(number) for number in range(3000)]


async def test_readings_past_their_retention_go(world: World) -> None:
    """prepare_days must remove what is older than retention, keep the rest, and work twice."""
    store = await world.store()
    fresh = now_utc().replace(microsecond=0)
    await store.store_readings(
        [
            a_reading(at=fresh - timedelta(days=40)),
            a_reading(at=fresh - timedelta(days=20)),
            a_reading(at=fresh),
        ]
    )
    await store.prepare_days()
    await store.prepare_days()
    kept = sorted(row["timestamp"] for row in world.rows("sensor_data"))
    assert kept[-2:] == [fresh - timedelta(days=20), fresh]
    if isinstance(world, OnWarehouse):
        assert len(kept) == 2


async def test_rows_of_others_are_read_once_and_in_order(world: World) -> None:
    """What others insert must come once, also in small portions and with two equal rows; own rows never."""
    store = await world.store()
    place = await store.place_of_others()
    assert await store.readings_from_others(place, 10) == ([], place)
    await store.store_readings([a_reading(at=now_utc())])
    for temperature, signals in (
        (90.0, None),
        (90.0, None),
        (91.0, None),
        (91.0, {"level": 0.5, "word": "x"}),
    ):
        world.insert(
            "sensor_data",
            sensor_id="S",
            equipment_id="REACTOR_01",
            temperature=temperature,
            pressure=2.0,
            signals=None if signals is None else json.dumps(signals),
            recorded_by="somebody",
        )
    seen = []
    for _portion in range(6):
        rows, place = await store.readings_from_others(place, 1)
        seen += rows
    assert [row.values.get("temperature") for row in seen] == [90.0, 90.0, 91.0, 91.0]
    assert dict(seen[3].values) == {"temperature": 91.0, "pressure": 2.0, "level": 0.5}
    assert all(row.quality == "good" and row.source_time_utc.tzinfo is not None for row in seen)
    world.insert("sensor_data", sensor_id="S", equipment_id="PUMP_01", temperature=20.0)
    rows, place = await store.readings_from_others(place, 10)
    assert [(row.equipment_id, dict(row.values)) for row in rows] == [("PUMP_01", {"temperature": 20.0})]
    assert (await store.readings_from_others(place, 10))[0] == []


@pytest.mark.parametrize("signals", ["[1, 2]", '"text"', '{"a": {"b": 1}}'])
async def test_strange_signals_of_others_are_left_out(world: World, signals: str) -> None:
    """Whatever JSON others write as signals, their row must still be read."""
    store = await world.store()
    place = await store.place_of_others()
    world.insert("sensor_data", equipment_id="PUMP_01", temperature=20.0, signals=signals)
    rows, _place = await store.readings_from_others(place, 10)
    assert [dict(row.values) for row in rows] == [{"temperature": 20.0}]
