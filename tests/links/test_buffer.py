"""The disk buffer by itself: what was said to be on disk is there after every death, in order, within its bounds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from forks import Forked, Forks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag, Value
from bridge.errors import BufferDown
from bridge.links.buffer import DiskBuffer, was_used
from bridge.links.buffer_body import decode, encode
from bridge.links.buffer_file import NAME, BufferFile, Damaged
from bridge.ports import BufferState, Kept, Mark
from bridge.settings import LEAST_REMEMBERED, BufferSettings

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
CHILD = Path(__file__).with_name("buffer_child.py")
DAY_S = 86_400.0


class TurnedClock:
    """A clock that a test turns: both hands together, or the one on the wall alone."""

    def __init__(self) -> None:
        self.wall_utc = T0
        self.elapsed_s = 1000.0

    def now_utc(self) -> datetime:
        return self.wall_utc

    def monotonic_s(self) -> float:
        return self.elapsed_s

    def passes(self, seconds: float) -> None:
        self.wall_utc += timedelta(seconds=seconds)
        self.elapsed_s += seconds


def a_tag(path: str = "[default]REACTOR_01/Temperature", **fields: Any) -> Tag:
    tag = Tag(
        path=path,
        equipment_id="REACTOR_01",
        link="plant",
        route=Route.OPCUA,
        address="s=x",
        data_type=DataType.DOUBLE,
        unit="°C",
        signal="temperature",
    )
    return replace(tag, **fields)


TAG = a_tag()


def readings_of(*values: Value | None, tag: Tag = TAG) -> list[Reading]:
    return [
        Reading(tag, value, Quality.GOOD, T0 + timedelta(milliseconds=number), T0)
        for number, value in enumerate(values)
    ]


def mark(number: int, origin: str = "b/1/0") -> Mark:
    return Mark(origin=origin, first=number, last=number)


@asynccontextmanager
async def opened(
    folder: Path,
    clock: TurnedClock | None = None,
    tags: Sequence[Tag] = (TAG,),
    remembered: int = LEAST_REMEMBERED,
    **fields: Any,
) -> AsyncIterator[DiskBuffer]:
    settings = BufferSettings(dir=folder, **fields)
    by_path = {tag.path: tag for tag in tags}
    buffer = DiskBuffer(settings, by_path, clock or TurnedClock(), remembered=remembered)
    await buffer.open()
    try:
        yield buffer
    finally:
        await buffer.close()


async def put(buffer: DiskBuffer, number: int, *values: Value | None, **how: Any) -> int:
    return await buffer.append(readings_of(*(values or (float(number),))), mark(number), **how)


async def all_of(buffer: DiskBuffer) -> list[Kept]:
    """Everything that waits, drained from the front in small pieces."""
    found: list[Kept] = []
    while group := await buffer.oldest(3):
        found += group
        await buffer.remove([kept.id for kept in group])
    return found


def values_of(batches: Sequence[Kept]) -> list[Value | None]:
    return [reading.value for kept in batches for reading in kept.readings]


# What is kept of a reading


any_value = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False)
    | st.text(st.characters(), max_size=20)
)
any_moment = st.datetimes(
    datetime(1601, 1, 1),  # noqa: DTZ001
    datetime(2400, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
any_tag = st.builds(
    lambda name, signal: a_tag(f"[default]{name}/X", equipment_id=name, signal=signal),
    st.text(max_size=8),
    st.sampled_from(["temperature", "pressure", "°C\t\\", ""]),
)
any_reading = st.builds(
    Reading,
    any_tag,
    any_value,
    st.sampled_from(Quality),
    any_moment,
    any_moment,
    st.text(max_size=10),
    st.booleans(),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(any_reading, max_size=8))
def test_every_field_of_every_reading_comes_back(batch: list[Reading]) -> None:
    """Value with its type, both times to the microsecond, quality, status and flags; also half surrogate pairs."""
    configured = {reading.tag.path: reading.tag for reading in batch}
    batch = [reading._replace(tag=configured[reading.tag.path]) for reading in batch]
    found = decode(encode(batch), configured)
    assert list(found) == batch
    assert [type(reading.value) for reading in found] == [type(reading.value) for reading in batch]


def test_tag_that_is_configured_no_more_keeps_what_its_row_needs() -> None:
    """Gone from bridge.toml, or meaning something else by now: the reading is stored as what was measured."""
    gone = a_tag("[default]OLD/Pressure", equipment_id="OLD", signal="pressure")
    moved = a_tag("[default]B/X", equipment_id="B", signal="level")
    setpoint = a_tag("[default]B/S", equipment_id="B", signal=None, setpoint="cooling")
    body = encode([reading for tag in (gone, moved, setpoint) for reading in readings_of(1.0, tag=tag)])
    now = {moved.path: replace(moved, equipment_id="C"), setpoint.path: setpoint}
    found = [reading.tag for reading in decode(body, now)]
    assert [(tag.equipment_id, tag.signal, tag.setpoint) for tag in found] == [
        ("OLD", "pressure", None),
        ("B", "level", None),
        ("B", None, "cooling"),
    ]
    assert found[2] is setpoint


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_bytes_are_never_taken_for_readings(data: st.DataObject) -> None:
    """One flipped bit or a cut end: told, or (in a byte that nobody reads) without effect."""
    batch = readings_of(1.5, 2.5, 3.5)
    body = bytearray(encode(batch))
    place = data.draw(st.integers(0, len(body) - 1))
    if data.draw(st.booleans()):
        del body[place:]
    else:
        body[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = decode(bytes(body), {TAG.path: TAG})
    except ValueError:
        return
    assert list(found) == batch


# Order, bounds, age


async def test_what_was_appended_is_there_after_a_restart_in_order(tmp_path: Path) -> None:
    """Marks, readings and order are those of before; the identity too."""
    async with opened(tmp_path) as buffer:
        identity = buffer.identity
        for number in range(1, 8):
            await put(buffer, number)
        assert buffer.status().depth == 7
    async with opened(tmp_path) as buffer:
        assert buffer.identity == identity
        assert buffer.status().depth == 7
        found = await all_of(buffer)
    assert [(kept.origin, kept.number) for kept in found] == [("b/1/0", number) for number in range(1, 8)]
    assert values_of(found) == [float(number) for number in range(1, 8)]


async def test_pieces_are_of_one_origin(tmp_path: Path) -> None:
    """Numbers of different origins say nothing about each other, so they are never stored under one mark."""
    async with opened(tmp_path) as buffer:
        for number, origin in enumerate(["a", "a", "b", "a"], start=1):
            await buffer.append(readings_of(1.0), mark(number, origin))
        pieces = []
        while group := await buffer.oldest(100):
            pieces.append([kept.number for kept in group])
            await buffer.remove([kept.id for kept in group])
    assert pieces == [[1, 2], [3], [4]]


async def test_batch_in_flight_and_what_comes_after_it_is_left_alone(tmp_path: Path) -> None:
    """Somebody is storing it right now; only when it is released does its turn come, before the later ones."""
    async with opened(tmp_path) as buffer:
        await put(buffer, 1)
        flying = await put(buffer, 2, in_flight=True)
        await put(buffer, 3)
        assert values_of(await all_of(buffer)) == [1.0]
        buffer.release(flying)
        assert values_of(await all_of(buffer)) == [2.0, 3.0]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["append", "drain", "restart"]), st.integers(1, 400)),
        min_size=1,
        max_size=40,
    )
)
def test_whatever_happens_order_is_kept_and_every_reading_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Appends of any size, drains and restarts within 1 MiB: given = drained + waiting + dropped, oldest first."""
    folder = tmp_path_factory.mktemp("buffer")

    async def go() -> None:
        given_count = dropped = 0
        drained: list[int] = []
        clock = TurnedClock()
        buffer = DiskBuffer(BufferSettings(dir=folder, max_bytes=2**20), {TAG.path: TAG}, clock)
        await buffer.open()
        for number, (step, size) in enumerate(steps, start=1):
            if step == "append":
                values = [f"{given_count + place:08d}{os.urandom(200).hex()}" for place in range(size)]
                given_count += size
                assert await buffer.append(readings_of(*values), mark(number)) > 0
            elif step == "drain":
                for _ in range(size % 5):
                    group = await buffer.oldest(300)
                    drained += [int(str(value)[:8]) for value in values_of(group)]
                    await buffer.remove([kept.id for kept in group])
            else:
                dropped += buffer.status().dropped
                await buffer.close()
                buffer = DiskBuffer(BufferSettings(dir=folder, max_bytes=2**20), {TAG.path: TAG}, clock)
                await buffer.open()
            assert buffer.status().bytes <= 2**20
        dropped += buffer.status().dropped
        drained += [int(str(value)[:8]) for value in values_of(await all_of(buffer))]
        await buffer.close()
        assert drained == sorted(set(drained)), "in order, each once"
        assert given_count == len(drained) + dropped
        assert not drained or not dropped or drained[-1] == given_count - 1, "the newest are kept"

    asyncio.run(go())


async def fill(buffer: DiskBuffer, first: int, count: int) -> None:
    for number in range(first, first + count):
        await put(buffer, number, f"{number:06d}{os.urandom(20_000).hex()}")


def numbers_of(batches: Sequence[Kept]) -> list[int]:
    return [int(str(value)[:6]) for value in values_of(batches)]


async def test_full_buffer_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    """drop_oldest: the newest stay, the number is exact, begin and end are logged once each."""
    with capture_logs() as lines:
        async with opened(tmp_path, max_bytes=2**20) as buffer:
            await fill(buffer, 1, 100)
            status = buffer.status()
            assert (status.state, status.depth + status.dropped) == (BufferState.FULL, 100)
            assert status.dropped > 0
            assert status.bytes <= 2**20
            assert numbers_of(await all_of(buffer)) == [*range(status.dropped + 1, 101)]
            await fill(buffer, 101, 1)
    assert [line["event"] for line in lines if line["event"].startswith("buffer.drop")] == [
        "buffer.dropping",
        "buffer.dropped",
    ]
    assert (tmp_path / NAME).stat().st_size <= 1.2 * 2**20


async def test_full_buffer_refuses_the_newest_when_told_to(tmp_path: Path) -> None:
    """refuse_newest: the oldest stay, each refusal is answered with 0 and counted, unless it may be asked again."""
    async with opened(tmp_path, max_bytes=2**20, when_full="refuse_newest") as buffer:
        await fill(buffer, 1, 100)
        status = buffer.status()
        assert (status.state, status.depth + status.dropped) == (BufferState.FULL, 100)
        huge = "x" + os.urandom(300_000).hex()
        assert await buffer.append(readings_of(huge), mark(101), or_drop=False) == 0
        assert buffer.status().dropped == status.dropped
        assert numbers_of(await all_of(buffer)) == [*range(1, status.depth + 1)]
        assert await put(buffer, 102) > 0


async def test_batch_in_flight_is_never_dropped(tmp_path: Path) -> None:
    """Somebody is storing it: dropping it would be counted as lost although it is not."""
    async with opened(tmp_path, max_bytes=2**20) as buffer:
        flying = await put(buffer, 1, "000001" + os.urandom(20_000).hex(), in_flight=True)
        await fill(buffer, 2, 99)
        buffer.release(flying)
        assert numbers_of(await all_of(buffer))[0] == 1


async def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """max_age_s, on a clock that only grows; also while nothing new comes."""
    clock = TurnedClock()
    async with opened(tmp_path, clock, max_age_s=100.0) as buffer:
        await put(buffer, 1)
        clock.passes(60)
        await put(buffer, 2)
        assert buffer.status().oldest_s == 60.0
        clock.passes(60)
        assert values_of(await buffer.oldest(10)) == [2.0]
        assert (buffer.status().dropped, buffer.status().depth) == (1, 1)
        clock.passes(30)
        await put(buffer, 3)
    async with opened(tmp_path, clock, max_age_s=100.0) as buffer:
        assert buffer.status().depth == 2
        clock.passes(20)
        assert values_of(await buffer.oldest(10)) == [3.0]
        assert buffer.status().dropped == 1


async def test_refuse_newest_keeps_what_is_too_old(tmp_path: Path) -> None:
    """The policy holds for both bounds: beyond the age nothing new is taken, and nothing old is lost."""
    clock = TurnedClock()
    async with opened(tmp_path, clock, max_age_s=100.0, when_full="refuse_newest") as buffer:
        await put(buffer, 1)
        clock.passes(101)
        assert await put(buffer, 2) == 0
        assert (buffer.status().dropped, values_of(await buffer.oldest(10))) == (1, [1.0])


@pytest.mark.parametrize("jump_s", [-3 * DAY_S, 3 * DAY_S, -56 * 365 * DAY_S])
async def test_clock_that_jumps_drops_nothing(tmp_path: Path, jump_s: float) -> None:
    """The wall clock is set while readings wait: their age is what has passed, not what the wall says."""
    clock = TurnedClock()
    async with opened(tmp_path, clock) as buffer:
        await put(buffer, 1)
        clock.wall_utc += timedelta(seconds=jump_s)
        clock.passes(10)
        await put(buffer, 2)
        assert values_of(await buffer.oldest(10)) == [1.0, 2.0]
        assert (buffer.status().oldest_s, buffer.status().dropped) == (10.0, 0)


async def test_clock_that_begins_in_1970_makes_nothing_old(tmp_path: Path) -> None:
    """Kept before the clock was set for the first time, read after it: of unknown age, not 56 years old."""
    clock = TurnedClock()
    clock.wall_utc = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
    async with opened(tmp_path, clock) as buffer:
        await put(buffer, 1)
    clock.wall_utc = T0
    async with opened(tmp_path, clock) as buffer:
        assert values_of(await buffer.oldest(10)) == [1.0]


@pytest.mark.parametrize("ahead_s", [2 * DAY_S, 40 * 365 * DAY_S])
async def test_clock_that_is_ahead_at_the_start_makes_nothing_old(tmp_path: Path, ahead_s: float) -> None:
    """Only time in which a bridge ran is counted, and no wall clock tells that; what is shown may be wrong."""
    clock = TurnedClock()
    async with opened(tmp_path, clock, max_age_s=DAY_S) as buffer:
        await put(buffer, 1)
        clock.passes(DAY_S / 2)
        await put(buffer, 2)
    clock.wall_utc += timedelta(seconds=ahead_s)
    clock.elapsed_s = 5.0  # the machine was started anew
    async with opened(tmp_path, clock, max_age_s=DAY_S) as buffer:
        assert values_of(await buffer.oldest(10)) == [1.0, 2.0]
        clock.passes(DAY_S / 2 + 1)
        assert values_of(await buffer.oldest(10)) == [2.0]
        assert buffer.status().dropped == 1


async def test_space_is_given_back(tmp_path: Path) -> None:
    """After a long outage is drained, the file is small again."""
    async with opened(tmp_path, max_bytes=2**24) as buffer:
        await fill(buffer, 1, 150)
        assert buffer.status().bytes > 3 * 2**20
        await all_of(buffer)
        assert (buffer.status().state, buffer.status().bytes < 2**17) == (BufferState.EMPTY, True)
    assert (tmp_path / NAME).stat().st_size < 2**20


async def test_what_is_remembered_outlives_its_removal(tmp_path: Path) -> None:
    """Stored and removed, or still waiting: a source that was never thanked may deliver it again."""
    async with opened(tmp_path) as buffer:
        ids = [await put(buffer, number, remember=number != 2) for number in (1, 2, 3)]
        await buffer.remove(ids[:2])
    async with opened(tmp_path) as buffer:
        assert [reading.value for reading in await buffer.recent(100)] == [1.0, 3.0]
        assert [reading.value for reading in await buffer.recent(1)] == [3.0]
        assert (buffer.status().depth, values_of(await all_of(buffer))) == (1, [3.0])


async def test_removing_looks_at_no_more_than_it_removes(tmp_path: Path) -> None:
    """Also with many remembered batches; the oldest of them go, so that at least as many as promised stay."""
    async with opened(tmp_path) as buffer:
        await put(buffer, 1)
    with sqlite3.connect(tmp_path / NAME) as database:
        columns = [name for _, name, *_ in database.execute("pragma table_info(batches)") if name != "id"]
        names = ", ".join(columns)
        values = ", ".join("1" if name in ("remembered", "done") else name for name in columns)
        database.executemany(
            f"insert into batches ({names}) select {values} from batches where id = 1", [()] * 2999
        )
    database.close()
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    async with opened(tmp_path, remembered=3000) as buffer:
        for number in range(2, 6):
            made = await put(buffer, number, remember=True)
            file = buffer._file
            assert file is not None
            file._db.set_progress_handler(step, 10)
            await buffer.remove([made])
            file._db.set_progress_handler(None, 0)
        assert len(await buffer.recent(10_000)) == 3000
    assert 0 < steps < 4 * 100, "tens of machine instructions"


# Disks and people


async def test_two_bridges_on_one_folder(children: Forks, tmp_path: Path) -> None:
    """The second does without and says why; when the first has gone it takes the folder over by itself."""
    clock = TurnedClock()
    with child(children, "hold", tmp_path) as first, capture_logs() as lines:
        first.says("holding")
        async with opened(tmp_path, clock) as buffer:
            assert buffer.status().state is BufferState.DOWN
            assert "another bridge uses it" in buffer.status().detail
            with pytest.raises(BufferDown, match="its own folder"):
                await put(buffer, 1)
            first.process.kill()
            first.process.wait()
            with pytest.raises(BufferDown):
                await put(buffer, 1)  # not asked again at once
            clock.passes(6)
            assert buffer.usable
            assert await put(buffer, 1) > 0
            assert buffer.status().state is BufferState.HOLDING
    assert [line["event"] for line in lines] == ["buffer.down", "buffer.works_again"]


async def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where the folder should be: said in words, and nothing is raised at the start."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    async with opened(tmp_path / "file" / "buffer") as buffer:
        assert buffer.status().state is BufferState.DOWN
        assert "cannot be made" in buffer.status().detail
    assert not was_used(BufferSettings(dir=tmp_path / "file" / "buffer"))


async def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The name is taken by a folder, so that no file can be opened there, whoever runs this test."""
    (tmp_path / NAME).mkdir()
    async with opened(tmp_path) as buffer:
        assert buffer.status().state is BufferState.DOWN
        assert "cannot be read or written" in buffer.status().detail


@pytest.mark.parametrize("kind", ["text", "database", "version"])
async def test_foreign_file_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    """Somebody else's file under our name, or one of a later version: refused by name, not a byte is changed."""
    path = tmp_path / NAME
    if kind == "text":
        path.write_bytes(b"minutes of the meeting\n" * 500)
    elif kind == "database":
        with sqlite3.connect(path) as database:
            database.execute("create table guests (name text)")
        database.close()
    else:
        async with opened(tmp_path):
            pass
        with sqlite3.connect(path) as database:
            database.execute("pragma user_version = 9")
        database.close()
    before = path.read_bytes()
    async with opened(tmp_path) as buffer:
        assert buffer.status().state is BufferState.DOWN
        wanted = {
            "text": "not a database",
            "database": "another program",
            "version": "wanted format 1, found 9",
        }
        assert wanted[kind] in buffer.status().detail
    assert path.read_bytes() == before


async def test_batch_with_a_damaged_body_is_counted_and_holds_nobody_up(tmp_path: Path) -> None:
    """The disk lost a few bytes of one batch: that one is dropped and said to be, the others come."""
    async with opened(tmp_path) as buffer:
        for number in (1, 2, 3):
            await put(buffer, number)
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute("update batches set body = x'0011' where number = 2")
    database.close()
    with capture_logs() as lines:
        async with opened(tmp_path) as buffer:
            assert values_of(await all_of(buffer)) == [1.0, 3.0]
            assert (buffer.status().dropped, buffer.status().depth) == (1, 0)
    assert [line["dropped"] for line in lines if line["event"] == "buffer.unreadable"] == [1]


async def test_torn_file_is_set_aside_and_the_buffer_goes_on(tmp_path: Path) -> None:
    """Pages overwritten with rubbish: kept under another name, counted as far as known, and a new file begun."""
    async with opened(tmp_path, max_bytes=2**24) as buffer:
        await fill(buffer, 1, 50)
    path = tmp_path / NAME
    whole = bytearray(path.read_bytes())
    whole[4096 * 2 :] = os.urandom(len(whole) - 4096 * 2)
    path.write_bytes(whole)
    with capture_logs() as lines:
        async with opened(tmp_path, max_bytes=2**24) as buffer:
            await buffer.oldest(10)
            assert await put(buffer, 1) > 0
            assert buffer.status().state is BufferState.HOLDING
    (damaged,) = [line for line in lines if line["event"] == "buffer.damaged"]
    assert os.path.getsize(damaged["set_aside"]) == len(whole)  # noqa: ASYNC240


async def test_disk_that_is_full(tmp_path: Path) -> None:
    """No room on the disk: told, what is there can still be drained, and it works again by itself."""
    clock = TurnedClock()
    async with opened(tmp_path, clock) as buffer:
        await put(buffer, 1)
        file = buffer._file
        assert file is not None
        (pages,) = file._db.execute("pragma page_count").fetchone()
        file._db.execute(f"pragma max_page_count = {pages}")  # what a full disk answers: SQLITE_FULL
        with capture_logs() as lines:
            for _ in range(2):
                with pytest.raises(BufferDown, match="the disk is full; make room"):
                    await buffer.append(readings_of(os.urandom(50_000).hex()), mark(2))
            assert (buffer.status().depth, buffer.status().dropped) == (1, 0)
            clock.passes(6)
            assert values_of(await buffer.oldest(10)) == [1.0]
            file._db.execute("pragma max_page_count = 100000")
            assert await put(buffer, 2) > 0
        assert [line["event"] for line in lines] == ["buffer.down", "buffer.works_again"]
        assert values_of(await all_of(buffer)) == [1.0, 2.0]


async def test_ids_of_a_torn_file_mean_nothing_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody drains, or stores a batch in flight, while the file is found torn: what comes after it must stay."""

    def torn(*_arguments: object, **_how: object) -> None:
        raise Damaged("torn")

    async with opened(tmp_path) as buffer:
        await put(buffer, 1)
        held = [kept.id for kept in await buffer.oldest(10)]
        held.append(await put(buffer, 2, in_flight=True))
        for number in (3, 4):
            with monkeypatch.context() as patched:
                patched.setattr(BufferFile, "_insert", torn)
                with pytest.raises(BufferDown):
                    await put(buffer, number)
            buffer._retry_at_s = 0.0
            made = await put(buffer, number)
            await buffer.remove(held)
            assert values_of(await buffer.oldest(10)) == [float(number)]
            held.append(made)
    async with opened(tmp_path) as buffer:
        assert values_of(await buffer.oldest(10)) == [4.0]
        assert await put(buffer, 5) > max(held)


@pytest.mark.parametrize("what", ["_look", "vacuum"])
async def test_what_was_committed_is_never_called_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The file is looked at after each change; when that fails, the change is there, and is not to be repeated."""

    def fails(*_arguments: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with opened(tmp_path) as buffer:
        with capture_logs() as lines:
            with monkeypatch.context() as patched:
                if what == "_look":
                    patched.setattr(BufferFile, "_look", fails)
                else:
                    patched.setattr("bridge.links.buffer_file._PAGES_BACK", "no number (")
                ids = [await put(buffer, number) for number in (1, 2)]
                assert len(set(ids)) == 2
                await buffer.remove(ids[:1])
                assert values_of(await buffer.oldest(10)) == [2.0]
                await buffer.remove(ids[1:])
                assert await buffer.oldest(10) == []
            await buffer.remove([await put(buffer, 3)])
        assert [line["event"] for line in lines] == ["buffer.look_failed"]
        assert buffer.status().state is BufferState.EMPTY


@pytest.mark.parametrize("problem", [OSError(5, "Input/output error"), Damaged("torn")])
async def test_disk_that_fails_unforeseen_is_down_and_not_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    """Also when the torn file cannot even be closed: callers know one error."""

    def fails(*_arguments: object, **_how: object) -> int:
        raise problem

    async with opened(tmp_path) as buffer:
        with monkeypatch.context() as patched:
            patched.setattr(BufferFile, "append", fails)
            close = BufferFile.close

            def closes(file: BufferFile) -> None:
                close(file)
                fails()

            patched.setattr(BufferFile, "close", closes)
            with pytest.raises(BufferDown):
                await put(buffer, 1)


# Dying


class Child:
    """A process that works on a buffer and tells what it has been promised."""

    def __init__(self, process: Forked) -> None:
        self.process = process

    def says(self, wanted: str) -> None:
        line = self.process.stdout.readline().strip()
        assert line == wanted, line

    def until(self, word: str) -> list[dict[str, Any]]:
        """What it says up to the first line with this word."""
        said: list[dict[str, Any]] = []
        while not said or word not in said[-1]:
            said.append(json.loads(self.process.stdout.readline()))
        return said

    def rest(self) -> list[dict[str, Any]]:
        """What it still said, line by line; a torn last line is none."""
        lines = self.process.stdout.read().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.fixture(scope="module")
def children() -> Iterator[Forks]:
    """Where they come from."""
    made = Forks(CHILD)
    yield made
    made.close()


@contextmanager
def child(children: Forks, what: str, folder: Path) -> Iterator[Child]:
    process = children.start(what, str(folder))
    try:
        yield Child(process)
    finally:
        process.kill()
        process.wait()
        process.close()


@pytest.mark.parametrize("what", ["append", "drain"])
async def test_killed_at_any_moment_what_was_promised_is_there(
    children: Forks, tmp_path: Path, what: str
) -> None:
    """SIGKILL a dozen times, in the middle of appends and removals: nothing promised is missing, nothing
    removed comes back, and the order stands."""
    promised: list[int] = []
    removed: set[int] = set()
    work = "kept" if what == "append" else "removed"
    for round_ in range(12):
        with child(children, what, tmp_path) as writer:
            writer.says("ready")
            begun = (
                writer.until(work) if round_ % 2 else []
            )  # every other one whether or not it has done anything
            await asyncio.sleep(0.017 * round_)  # decides where the blow falls, not how the test ends
            writer.process.send_signal(signal.SIGKILL)
            said = begun + writer.rest()
        promised += [entry["kept"] for entry in said if "kept" in entry]
        removed |= {number for entry in said for number in entry.get("removed", ())}
    async with opened(tmp_path, max_bytes=2**28) as buffer:
        waiting = [kept.number for kept in await all_of(buffer)]
    assert promised, "the child never came to its work"
    assert waiting == sorted(set(waiting))
    missing = set(promised) - removed - set(waiting)
    if what == "drain":
        assert removed
        # What it was removing when it died may be gone without its having said so: it had been stored.
        assert len(missing) <= 12 * 50, missing
        assert not removed & set(waiting)
    else:
        assert not missing
