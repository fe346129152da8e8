"""Does every reading arrive as it was measured, once, in order, whatever its text or its date?"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import Connection, Hands, OpenStore, connect, denied, sql

from bridge.domain.anomaly import Anomaly, Cleared, Severity
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag, Value
from bridge.errors import RefusedByRule
from bridge.ports import Mark
from bridge.store.postgres import PostgresStore
from bridge.store.queries import Queries
from bridge.store.rows import COLUMNS, copy_block

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def a_tag(signal: str | None = "temperature", equipment_id: str = "REACTOR_01", **fields: object) -> Tag:
    tag = Tag(
        path=f"[default]{equipment_id}/{signal}",
        equipment_id=equipment_id,
        link="plant",
        route=Route.OPCUA,
        address="s=x",
        data_type=DataType.DOUBLE,
        signal=signal,
    )
    return replace(tag, **fields)  # type: ignore[arg-type]


def a_reading(
    signal: str | None = "temperature",
    value: Value | None = 85.5,
    quality: Quality = Quality.GOOD,
    *,
    at: datetime = T0,
    tag: Tag | None = None,
    status: str = "Good",
    replayed: bool = False,
) -> Reading:
    return Reading(tag or a_tag(signal), value, quality, at, at + timedelta(seconds=1), status, replayed)


@pytest.fixture(scope="module")
def shared(fresh_database: Callable[..., str], drop_database: Callable[[str], None]) -> Iterator[Connection]:
    """One database for the round trips; each is rolled back."""
    url = fresh_database()
    with connect(url, "bridge_agent") as connection:
        yield connection
    drop_database(url)


def store_block(connection: Connection, named: Queries, readings: list[Reading]) -> list[dict[str, object]]:
    """The rows that PostgreSQL has after a real COPY of these readings, in the order they were written."""
    block, count = copy_block(readings, recorded_by="agent\t1\\")
    with connection.transaction(force_rollback=True):
        if count:
            with connection.cursor().copy(sql(named.readings.store_readings.statement)) as copy:
                copy.write(block)
        rows = connection.execute(
            "select * from sensor_data where external_xid is null order by reading_id"
        ).fetchall()
    assert len(rows) == count
    return rows


def test_values_of_one_moment_share_a_row(shared: Connection, named: Queries) -> None:
    """Signals of one equipment and moment must become one row: three columns, the others in signals."""
    rows = store_block(
        shared,
        named,
        [
            a_reading("temperature", 85.5),
            a_reading("pressure", 2),
            a_reading("flow_rate", 118.25),
            a_reading("level", 0.5),
            a_reading("running", True),
            a_reading(None, 400.0, tag=a_tag(None, setpoint="throughput")),
            a_reading("temperature", 20.0, tag=a_tag(equipment_id="PUMP_01")),
            a_reading("temperature", 86.0, at=T0 + timedelta(microseconds=1)),
        ],
    )
    assert [(row["equipment_id"], row["temperature"], row["pressure"], row["flow_rate"]) for row in rows] == [
        ("REACTOR_01", 85.5, 2.0, 118.25),
        ("PUMP_01", 20.0, None, None),
        ("REACTOR_01", 86.0, None, None),
    ]
    assert rows[0]["signals"] == {"level": 0.5, "running": True, "throughput_setpoint": 400.0}
    assert rows[0]["timestamp"] == T0
    assert rows[0]["received_timestamp"] == T0 + timedelta(seconds=1)
    assert rows[0]["recorded_by"] == "agent\t1\\"
    assert (rows[1]["signals"], rows[1]["sensor_status"], rows[1]["sensor_id"]) == (None, "active", "PUMP_01")


@pytest.mark.parametrize(
    ("qualities", "worst", "status", "sensor_status"),
    [
        ((Quality.GOOD, Quality.GOOD), "good", "Good", "active"),
        ((Quality.GOOD, Quality.UNCERTAIN), "uncertain", "uncertain 1", "uncertain"),
        ((Quality.UNCERTAIN, Quality.BAD), "bad", "bad 1", "bad"),
        ((Quality.BAD, Quality.GOOD), "bad", "bad 0", "bad"),
        ((Quality.BAD, Quality.UNCERTAIN), "bad", "bad 0", "bad"),
    ],
)
def test_a_row_is_as_good_as_its_worst_value(
    shared: Connection,
    named: Queries,
    qualities: tuple[Quality, Quality],
    worst: str,
    status: str,
    sensor_status: str,
) -> None:
    """The row's quality and status must be those of its worst value, whichever came first."""
    rows = store_block(
        shared,
        named,
        [
            a_reading(name, 1.0, quality, status="Good" if quality is Quality.GOOD else f"{quality} {place}")
            for place, (name, quality) in enumerate(zip(("temperature", "pressure"), qualities, strict=True))
        ],
    )
    assert [(row["quality"], row["source_status"], row["sensor_status"]) for row in rows] == [
        (worst, status, sensor_status)
    ]


def test_a_bad_value_is_not_stored_and_an_uncertain_one_is(shared: Connection, named: Queries) -> None:
    """A bad value must leave its column null; an uncertain one stays, and the row says so."""
    rows = store_block(
        shared,
        named,
        [
            a_reading("temperature", 99.0, Quality.BAD, status="BadSensorFailure"),
            a_reading("pressure", 2.0, Quality.UNCERTAIN, status="UncertainLastUsableValue"),
            a_reading("level", 0.5, Quality.BAD, status="Bad"),
        ],
    )
    assert (rows[0]["temperature"], rows[0]["pressure"], rows[0]["signals"]) == (None, 2.0, None)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("signal", ["temperature", "level"])
def test_what_is_no_number_is_stored_as_nothing(
    shared: Connection, named: Queries, signal: str, value: float | None
) -> None:
    """A missing value, NaN and infinity must leave an otherwise empty row, in a column and in signals."""
    rows = store_block(shared, named, [a_reading(signal, value)])
    assert [(row["temperature"], row["signals"]) for row in rows] == [(None, None)]


@pytest.mark.parametrize("value", [True, "running"])
def test_a_value_that_does_not_fit_its_column_goes_into_signals(
    shared: Connection, named: Queries, value: Value
) -> None:
    """A boolean or text under the name of a column must be kept in signals, not turned into a number."""
    rows = store_block(shared, named, [a_reading("temperature", value)])
    assert (rows[0]["temperature"], rows[0]["signals"]) == (None, {"temperature": value})


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "\udfff!", "\\u0000"])
def test_text_that_postgresql_cannot_hold_does_not_cost_the_batch(
    shared: Connection, named: Queries, value: str
) -> None:
    """A NUL or half a surrogate pair in one text must not keep the other readings from being stored."""
    rows = store_block(
        shared,
        named,
        [
            a_reading("batch", value),
            a_reading("temperature", 1.0, tag=a_tag(equipment_id=f"ID {value}")),
            a_reading("temperature", 85.5, at=T0 + timedelta(seconds=1), status=value),
        ],
    )
    assert [row["temperature"] for row in rows] == [None, 1.0, 85.5]
    assert "batch" in rows[0]["signals"]  # type: ignore[operator]


def test_no_reading_is_no_block() -> None:
    """Nothing in, nothing out."""
    assert copy_block([], recorded_by="agent") == ("", 0)


def test_replayed_values_are_marked(shared: Connection, named: Queries) -> None:
    """What a link delivered again must be told from what came live."""
    rows = store_block(shared, named, [a_reading(replayed=True), a_reading(at=T0 + timedelta(seconds=1))])
    assert [row["replayed"] for row in rows] == [True, False]


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
nasty = names | st.sampled_from(
    ["\\", "\t", "\n", "\r", "\\N", "\\.", "a\tb\\n", '"', "'", "{}", "°C", "𝄞", "\x1f", "\x7f"]
)
values = (
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.booleans() | nasty
)
moments = st.datetimes(
    datetime(1601, 1, 1),  # noqa: DTZ001
    datetime(2400, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@settings(max_examples=150, deadline=None)
@given(
    cells=st.lists(
        st.tuples(nasty, st.sampled_from(COLUMNS) | nasty, values, moments, nasty),
        max_size=6,
        unique_by=lambda cell: (
            cell[0],
            cell[1],
            cell[3],
        ),  # a second value of a moment has a test of its own
    )
)
def test_whatever_a_reading_holds_comes_back_as_it_was(
    shared: Connection, named: Queries, cells: list[tuple[str, str, Value, datetime, str]]
) -> None:
    """Ids, names, texts, numbers and times of any kind must survive COPY, with tabs, newlines and backslashes."""
    expected: dict[tuple[str, datetime], tuple[dict[str, float], dict[str, object], str]] = {}
    readings = []
    for equipment_id, signal, value, moment, status in cells:
        tag = a_tag(signal, equipment_id)
        readings.append(a_reading(signal, value, at=moment, tag=tag, status=status))
        columns, signals, _ = expected.setdefault((equipment_id, moment), ({}, {}, status))
        if signal in COLUMNS and not isinstance(value, bool | str):
            columns[signal] = float(value)
        else:
            signals[signal] = value
    rows = store_block(shared, named, readings)
    found = {(row["equipment_id"], row["timestamp"]): row for row in rows}
    assert found.keys() == expected.keys()
    for key, (columns, signals, status) in expected.items():
        row = found[key]
        assert {name: row[name] for name in COLUMNS if row[name] is not None} == columns
        found_signals = row["signals"] or {}
        assert isinstance(found_signals, dict)
        assert {name: _meant(value) for name, value in found_signals.items()} == {
            name: _meant(value) for name, value in signals.items()
        }
        assert (row["source_status"], row["sensor_id"]) == (status, key[0])


def _meant(value: object) -> tuple[str, object]:
    """A number is what its double is; a boolean or a text is itself and no number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", float(value)
    return type(value).__name__, value


async def test_the_store_counts_rows_and_not_values(store: PostgresStore, owner: Connection) -> None:
    """store_readings must return the rows written, and write nothing for nothing."""
    assert await store.store_readings([]) == 0
    assert await store.store_readings([a_reading("temperature"), a_reading("pressure", 2.0)]) == 1
    row = owner.execute("select recorded_by, external_xid from sensor_data").fetchone()
    assert row == {"recorded_by": "operations-agent", "external_xid": None}


# Stored once


def marked(first: int, last: int | None = None, origin: str = "buffer/run/1") -> Mark:
    return Mark(origin=origin, first=first, last=last or first)


async def test_a_mark_is_taken_once(store: PostgresStore, owner: Connection) -> None:
    """The same batch again, and any that is not above the mark, must store nothing; other origins are on their own."""
    assert await store.stored_until("buffer/run/1") == 0
    assert await store.store_readings([a_reading(value=1.0)], marked(1)) == 1
    assert await store.store_readings([a_reading(value=1.0)], marked(1)) == 0
    assert await store.store_readings([a_reading(value=2.0)], marked(2, 5)) == 1
    assert await store.store_readings([a_reading(value=3.0)], marked(4, 7)) == 0, "4 and 5 are there already"
    assert await store.store_readings([a_reading(value=4.0)], marked(1, origin="buffer/run/2")) == 1
    assert (await store.stored_until("buffer/run/1"), await store.stored_until("buffer/run/2")) == (5, 1)
    rows = owner.execute("select temperature from sensor_data order by reading_id").fetchall()
    assert [row["temperature"] for row in rows] == [1.0, 2.0, 4.0]


async def test_a_mark_falls_with_its_rows(store: PostgresStore, owner: Connection) -> None:
    """Rows that the database refuses must leave the mark where it was: both or nothing."""
    owner.execute("alter table sensor_data add constraint only_cold check (temperature < 50)")
    with pytest.raises(RefusedByRule):
        await store.store_readings([a_reading(value=99.0)], marked(1))
    assert await store.stored_until("buffer/run/1") == 0
    assert await store.store_readings([a_reading(value=1.0)], marked(1)) == 1


async def test_who_comes_second_waits_for_the_first(open_store: OpenStore, owner: Connection) -> None:
    """A killed bridge's batch may still be on its way in: its heir must wait for the outcome."""
    store = await open_store()
    await store.store_readings([a_reading(value=0.0)], marked(1))
    with connect(owner.info.dsn + f" password={owner.info.password}") as dying, dying.transaction():
        dying.execute("update intake_marks set number = 2 where origin = 'buffer/run/1'")
        heir = asyncio.create_task(store.store_readings([a_reading(value=2.0)], marked(2)))
        done, _ = await asyncio.wait({heir}, timeout=0.3)
        assert not done
    assert await heir == 0


async def test_marks_in_use_are_not_forgotten(store: PostgresStore, owner: Connection) -> None:
    """Only those of this very buffer, and none that still numbers batches."""
    for origin in ("buffer/run/0", "buffer/run/1", "buffer/run/1#7", "buffer2/run/1"):
        await store.store_readings([a_reading()], marked(1, origin=origin))
    await store.forget_marks("buffer/", ["buffer/run/0"])
    left = owner.execute("select origin from intake_marks order by 1").fetchall()
    assert [row["origin"] for row in left] == ["buffer/run/0", "buffer2/run/1"]


# Rows of others

OTHERS = "insert into sensor_data (sensor_id, equipment_id, temperature) values ('TT', %s, %s)"


async def test_rows_of_others_are_read_and_own_rows_are_not(
    store: PostgresStore, as_role: Callable[[str], Connection]
) -> None:
    """What others insert must come back once, with its values; what the bridge stored itself must not."""
    place = await store.place_of_others()
    gateway = as_role("bridge_operator")
    gateway.execute(
        "insert into sensor_data (equipment_id, temperature, pressure, signals, quality, timestamp)"
        """ values ('REACTOR_01', 91.5, 2.1, '{"level": 0.5, "on": true}', 'uncertain', '2026-03-01 12:00+00')"""
    )
    await store.store_readings([a_reading()])
    rows, after = await store.readings_from_others(place, 100)
    assert len(rows) == 1
    assert rows[0].values == {"level": 0.5, "on": True, "temperature": 91.5, "pressure": 2.1}
    assert (rows[0].equipment_id, rows[0].quality) == ("REACTOR_01", "uncertain")
    assert rows[0].source_time_utc == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert await store.readings_from_others(after, 100) == ([], after)


async def test_an_agent_that_starts_reads_the_last_minute_and_nothing_older(
    store: PostgresStore, as_role: Callable[[str], Connection]
) -> None:
    """Rows from before the start must be read when they are fresh, and left alone when they came over a minute ago."""
    gateway = as_role("bridge_operator")
    gateway.execute(
        "insert into sensor_data (equipment_id, received_timestamp) values ('OLD', now() - interval '61 s')"
    )
    await _let_transactions_end(gateway)
    gateway.execute(OTHERS, ("FRESH", 1.0))
    place = await store.place_of_others()
    gateway.execute(OTHERS, ("NEW", 2.0))
    rows, _ = await store.readings_from_others(place, 100)
    assert [row.equipment_id for row in rows] == ["FRESH", "NEW"]


async def test_a_transaction_that_was_open_at_the_start_is_not_skipped(
    store: PostgresStore, as_role: Callable[[str], Connection]
) -> None:
    """Rows that were inserted before the start and committed after it must come all the same."""
    slow, quick = as_role("bridge_operator"), as_role("bridge_agent")
    with slow.transaction():
        slow.execute(OTHERS, ("SLOW", 1.0))
        quick.execute(OTHERS, ("QUICK", 2.0))
        place = await store.place_of_others()
    rows, _ = await store.readings_from_others(place, 100)
    assert [row.equipment_id for row in rows] == ["SLOW", "QUICK"]


async def _let_transactions_end(connection: Connection) -> None:
    """The place is never after the oldest open transaction of the whole server; wait until ours is over."""
    for _ in range(500):
        row = connection.execute(
            "select max(external_xid) < pg_snapshot_xmin(pg_current_snapshot()) as over from sensor_data"
        ).fetchone()
        assert row is not None
        if row["over"]:
            return
        await asyncio.sleep(0.01)
    pytest.fail("a transaction of somebody else's never ended")


async def test_rows_of_a_slow_transaction_are_never_skipped(
    store: PostgresStore, as_role: Callable[[str], Connection]
) -> None:
    """While a transaction is open, nothing later is read; after its commit all rows come, its own first."""
    place = await store.place_of_others()
    slow, quick = as_role("bridge_operator"), as_role("bridge_agent")
    with slow.transaction():
        slow.execute(OTHERS, ("SLOW", 1.0))
        quick.execute(OTHERS, ("QUICK", 2.0))
        rows, place = await store.readings_from_others(place, 100)
        assert rows == []
    quick.execute(OTHERS, ("LATER", 3.0))
    rows, place = await store.readings_from_others(place, 100)
    assert [row.equipment_id for row in rows] == ["SLOW", "QUICK", "LATER"]
    assert (await store.readings_from_others(place, 100))[0] == []


async def test_rows_of_a_transaction_that_is_rolled_back_hold_nothing_up(
    store: PostgresStore, as_role: Callable[[str], Connection]
) -> None:
    """A transaction that ends without a commit must release what came after it."""
    place = await store.place_of_others()
    slow, quick = as_role("bridge_operator"), as_role("bridge_agent")
    with slow.transaction(force_rollback=True):
        slow.execute(OTHERS, ("SLOW", 1.0))
        quick.execute(OTHERS, ("QUICK", 2.0))
    rows, _ = await store.readings_from_others(place, 100)
    assert [row.equipment_id for row in rows] == ["QUICK"]


async def test_rows_come_in_order_and_in_stretches_without_gap_or_repetition(
    store: PostgresStore, as_role: Callable[[str], Connection]
) -> None:
    """Reading two at a time must give every row exactly once, in the order of the inserts."""
    place = await store.place_of_others()
    gateway = as_role("bridge_operator")
    with gateway.transaction():
        for number in range(5):
            gateway.execute(OTHERS, (f"E{number}", float(number)))
    for number in range(5, 8):
        gateway.execute(OTHERS, (f"E{number}", float(number)))
    seen: list[str] = []
    while True:
        rows, place = await store.readings_from_others(place, 2)
        assert len(rows) <= 2
        if not rows:
            break
        seen.extend(row.equipment_id for row in rows)
    assert seen == [f"E{number}" for number in range(8)]


@pytest.mark.parametrize("signals", ["[1, 2]", '"text"', "7", "null"])
async def test_signals_that_are_no_object_do_not_stop_the_reading(
    store: PostgresStore, as_role: Callable[[str], Connection], signals: str
) -> None:
    """A row with signals of another form must be refused at the insert or read without them, never end the reader."""
    place = await store.place_of_others()
    gateway = as_role("bridge_operator")
    statement = "insert into sensor_data (equipment_id, temperature, signals) values ('E', 1, %s::jsonb)"
    try:
        gateway.execute(statement, (signals,))
    except psycopg.errors.CheckViolation:
        return
    rows, _ = await store.readings_from_others(place, 10)
    assert [dict(row.values) for row in rows] == [{"temperature": 1.0}]


# Days


def _partitions(owner: Connection) -> set[str]:
    rows = owner.execute(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'sensor_data'::regclass"
    ).fetchall()
    return {row["relname"] for row in rows}


def _day(offset: int) -> str:
    return f"sensor_data_{datetime.now(UTC) + timedelta(days=offset):%Y%m%d}"


async def test_the_coming_days_have_partitions_and_asking_again_makes_none(
    store: PostgresStore, owner: Connection
) -> None:
    """Its own day, the next and the one after must be prepared by the migration, and prepare_days must not mind."""
    row = owner.execute("select min(applied_timestamp) as at_utc from bridge_migrations").fetchone()
    assert row is not None
    migrated = row["at_utc"].astimezone(UTC)  # at midnight no longer today
    prepared = _partitions(owner)
    assert prepared == {
        "sensor_data_other_days",
        *(f"sensor_data_{migrated + timedelta(days=offset):%Y%m%d}" for offset in range(3)),
    }
    wanted = {_day(offset) for offset in range(3)}
    await store.prepare_days()
    before = _partitions(owner)
    assert prepared | wanted <= before
    await store.prepare_days()
    assert _partitions(owner) == before


async def test_a_day_whose_readings_already_lie_elsewhere_is_left_alone(
    store: PostgresStore, owner: Connection
) -> None:
    """A partition that cannot be made because the default one has such rows must not be an error or lose them."""
    day = _day(1)
    owner.execute(sql(f"drop table {day}"))
    owner.execute("insert into sensor_data (equipment_id, timestamp) values ('E', now() + interval '1 day')")
    await store.prepare_days()
    assert day not in _partitions(owner)
    row = owner.execute("select count(*) as count from sensor_data").fetchone()
    assert row == {"count": 1}


async def test_days_past_their_retention_are_dropped_and_others_are_not(
    store: PostgresStore, owner: Connection
) -> None:
    """With 30 days of retention, day 31 must go with its rows, day 30 and today must stay."""
    for offset in (-31, -30):
        day = datetime.now(UTC).date() + timedelta(days=offset)
        owner.execute(
            sql(
                f"create table {_day(offset)} partition of sensor_data"
                f" for values from ('{day} 00:00+00') to ('{day + timedelta(days=1)} 00:00+00')"
            )
        )
        owner.execute(
            "insert into sensor_data (equipment_id, timestamp) values ('E', %s)",
            (datetime(day.year, day.month, day.day, 12, tzinfo=UTC),),
        )
    await store.prepare_days()
    assert _day(-31) not in _partitions(owner)
    assert {_day(-30), _day(0)} <= _partitions(owner)
    row = owner.execute("select count(*) as count from sensor_data").fetchone()
    assert row == {"count": 1}


def test_no_retention_of_less_than_a_day(as_role: Callable[[str], Connection]) -> None:
    """drop_sensor_days(0) would drop today; it must be refused."""
    with pytest.raises(psycopg.Error) as caught:
        as_role("bridge_agent").execute("select drop_sensor_days(0)")
    assert caught.value.diag.message_detail == "out_of_range"


@pytest.mark.parametrize("year", [1601, 2013, 2090, 9999])
async def test_no_reading_is_refused_for_its_date(store: PostgresStore, owner: Connection, year: int) -> None:
    """Readings far in the past or future must be stored, and survive the retention that counts from their arrival."""
    moment = datetime(year, 6, 1, tzinfo=UTC)
    reading = a_reading(at=moment)._replace(received_utc=datetime.now(UTC))
    assert await store.store_readings([reading]) == 1
    await store.prepare_days()
    row = owner.execute("select tableoid::regclass::text as place, timestamp from sensor_data").fetchone()
    assert row == {"place": "sensor_data_other_days", "timestamp": moment}


async def test_a_reading_lands_in_the_partition_of_its_utc_day(
    store: PostgresStore, owner: Connection
) -> None:
    """The first and the last moment of a UTC day must lie in that day's partition."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last = today + timedelta(days=1) - timedelta(microseconds=1)
    await store.store_readings(
        [a_reading(at=today), a_reading(at=last), a_reading(at=last + timedelta(microseconds=1))]
    )
    rows = owner.execute(
        "select tableoid::regclass::text as place from sensor_data order by timestamp"
    ).fetchall()
    assert [row["place"] for row in rows] == [_day(0), _day(0), _day(1)]


def test_readings_are_never_changed_by_a_party(as_role: Callable[[str], Connection]) -> None:
    """No role may update or delete a reading, in the table or in one of its days."""
    for role in ("bridge_agent", "bridge_operator", "bridge_reader"):
        connection = as_role(role)
        for table in ("sensor_data", _day(0), "sensor_data_other_days"):
            for statement in (f"update {table} set temperature = 1", f"delete from {table}"):
                with denied():
                    connection.execute(sql(statement))


# Conditions


async def test_a_condition_is_one_row_from_its_beginning_to_its_end(
    store: PostgresStore, hands: Hands
) -> None:
    """Recording again must only change the severity; closing must end it, and the next one is another."""
    anomaly = Anomaly(
        equipment_id="REACTOR_01",
        issue_type="high_temperature",
        severity=Severity.MEDIUM,
        confidence=0.9,
        signal="temperature",
        tag_path="[default]REACTOR_01/Temperature",
        value=86.0,
        limit=85.0,
        unit="°C",
        since_utc=T0,
        seen_utc=T0,
    )
    await store.record_condition(anomaly)
    worse = replace(anomaly, severity=Severity.HIGH, since_utc=T0 + timedelta(hours=1))
    await store.record_condition(worse)
    made = hands.propose()
    await store.link_condition("REACTOR_01", "high_temperature", made)
    active = await store.active_conditions()
    assert [(item.severity, item.since_utc, item.recommendation_id) for item in active] == [
        (Severity.HIGH, T0, made)
    ]
    cleared = Cleared(
        equipment_id="REACTOR_01", issue_type="high_temperature", cleared_utc=T0 - timedelta(hours=1)
    )
    await store.close_condition(cleared)
    assert await store.active_conditions() == []
    row = hands.owner.execute("select * from equipment_conditions").fetchone()
    assert row is not None
    assert row["cleared_timestamp"] == T0  # never before its own beginning
    await store.record_condition(anomaly)
    assert hands.value("select count(*) from equipment_conditions") == 2


async def test_the_heartbeat_tells_who_lives_and_who_is_silent(
    open_store: OpenStore, hands: Hands, desk: object
) -> None:
    """Online by its own word and heard of within the limit; silence and a goodbye both count as offline."""
    from bridge.store.desk import Desk

    assert isinstance(desk, Desk)
    store = await open_store(id="one", site="north")
    await store.heartbeat(
        online=True, polls_completed=7, cycle_ms=1.5, detail={"links": {"plant": "flowing"}}
    )
    agent = (await desk.agents(offline_after_s=30.0))[0]
    assert (agent["agent_id"], agent["site"], agent["status"], agent["polls_completed"]) == (
        "one",
        "north",
        "online",
        7,
    )
    assert json.loads(agent["detail"]) == {"links": {"plant": "flowing"}}
    hands.owner.execute("update agent_health set last_heartbeat = now() - interval '31 s'")
    assert (await desk.agents(offline_after_s=30.0))[0]["status"] == "offline"
    await store.heartbeat(online=False, polls_completed=8, cycle_ms=1.5, detail={})
    assert (await desk.agents(offline_after_s=30.0))[0]["status"] == "offline"


def test_a_second_value_of_one_signal_at_one_moment_has_a_row_of_its_own() -> None:
    """What the source said twice with one time stamp are two readings; none of them may vanish."""
    tag = a_tag()
    block, rows = copy_block(
        [Reading(tag, value, Quality.GOOD, T0, T0) for value in (92.856, 93.656)], recorded_by="a"
    )
    assert rows == 2
    assert [line.split("\t")[3] for line in block.splitlines()] == ["92.856", "93.656"]
