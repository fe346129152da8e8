"""The disk buffer: rows a second onto the disk and off it into the database, beside bare SQLite and bare COPY."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, Result
from benchmarks.stand import Stand
from bridge.agent.forward import Forwarder
from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag
from bridge.links.buffer import DiskBuffer
from bridge.ports import Mark
from bridge.settings import AgentSettings, BufferSettings, StoreSettings
from bridge.store import queries
from bridge.store.connection import Database
from bridge.store.postgres import PostgresStore
from bridge.store.rows import copy_block

NAME = "buffer"
GOAL_APPEND_PER_S = 50_000.0
GOAL_REPLAY_PER_S = 10_000.0  # ten times what is measured meanwhile
GOAL_MARK_PERCENT = 10.0
_BATCH = 1000
_REPLAY_BATCH = 2000  # what draining takes at once
_SPREAD_US = 37


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Appending is measured until each batch is on the disk, replaying until each is committed and removed."""
    batches = 20 if quick else 200
    readings = _readings(batches)
    bare_append = await asyncio.to_thread(_bare_sqlite, stand.folder / "bare.sqlite", readings)
    url = await stand.database()
    db = Database(url, role=Role.AGENT, size=4, connect_timeout_s=10.0, statement_timeout_s=30.0)
    store = PostgresStore(db, queries.load(), AgentSettings(), StoreSettings())
    await store.open()
    try:
        async with _buffer(stand.folder / "buffer") as buffer:
            append, size = await _append(buffer, readings)
            replay = await _replay(buffer, store, len(readings) * _BATCH)
        bare_copy = await _bare_copy(db, readings)
        plain_ms, marked_ms = await _marks(store, readings[: 10 if quick else 60])
    finally:
        await store.close()
    return Result(
        name=NAME,
        title=f"Store and forward, {batches * _BATCH:,} readings in batches of {_BATCH:,}",
        figures=(
            Figure(
                what="appended, each batch on the disk before the next",
                value=append,
                unit="rows/s",
                goal=GOAL_APPEND_PER_S,
                at_least=True,
                floor=bare_append,
                note=f"{size / len(readings) / _BATCH:.1f} bytes a reading; floor: bare sqlite3, one row a reading, "
                "WAL, synchronous=FULL, not compressed and without the names",
            ),
            Figure(
                what="replayed: read, committed with its mark, removed",
                value=replay,
                unit="rows/s",
                goal=GOAL_REPLAY_PER_S,
                at_least=True,
                floor=bare_copy,
                note=f"floor: bare COPY of the same rows, made beforehand, in batches of {_REPLAY_BATCH:,}; without "
                "live data to wait for, beside which it takes one such piece between two flushes",
            ),
            Figure(
                what="what the mark costs a flush of 1,000 rows",
                value=100 * (marked_ms / plain_ms - 1),
                unit="%",
                spread={"plain ms": plain_ms, "marked ms": marked_ms},
                goal=GOAL_MARK_PERCENT,
            ),
        ),
    )


def _readings(batches: int) -> list[list[Reading]]:
    tags = [
        Tag(
            path=f"[default]R_{number:03d}/Temperature",
            equipment_id=f"R_{number:03d}",
            link="plant",
            route=Route.OPCUA,
            address=f"s=R_{number:03d}/Temperature",
            data_type=DataType.DOUBLE,
            signal="temperature",
        )
        for number in range(100)
    ]
    begin_utc = datetime.now(UTC)
    made = []
    for batch in range(batches):
        moments = [
            begin_utc + timedelta(microseconds=_SPREAD_US * (batch * _BATCH + n)) for n in range(_BATCH)
        ]
        made.append(
            [
                Reading(tags[n % 100], 60 + (batch * _BATCH + n) % 997 / 7, Quality.GOOD, at, at)
                for n, at in enumerate(moments)
            ]
        )
    return made


@asynccontextmanager
async def _buffer(folder: Path) -> AsyncIterator[DiskBuffer]:
    buffer = DiskBuffer(BufferSettings(dir=folder), {}, SystemClock())
    await buffer.open()
    try:
        yield buffer
    finally:
        await buffer.close()


async def _append(buffer: DiskBuffer, readings: Sequence[Sequence[Reading]]) -> tuple[float, int]:
    began_s = time.perf_counter()
    for number, batch in enumerate(readings, start=1):
        await buffer.append(batch, Mark(origin=f"{buffer.identity}/b/0", first=number, last=number))
    return len(readings) * _BATCH / (time.perf_counter() - began_s), buffer.status().bytes


async def _replay(buffer: DiskBuffer, store: PostgresStore, rows: int) -> float:
    forward = Forwarder(store=store, buffer=buffer, queue_size=200_000)
    began_s = time.perf_counter()
    draining = asyncio.create_task(forward.drain())
    while not draining.done():
        await forward.flush()  # nothing is live: the next piece may go at once
        await asyncio.sleep(0.001)
    problem = await draining
    if problem is not None:
        raise RuntimeError(f"replay broke off: {problem}")
    return rows / (time.perf_counter() - began_s)


def _bare_sqlite(path: Path, readings: Sequence[Sequence[Reading]]) -> float:
    """The library alone, and nothing but the values: what the disk and SQLite can do here."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = full")
    database.execute(
        "create table readings (tag integer, value real, quality text, source text, received text)"
    )
    rows = [
        [
            (n % 100, r.value, r.quality.value, r.source_time_utc.isoformat(), r.received_utc.isoformat())
            for n, r in enumerate(batch)
        ]
        for batch in readings
    ]
    began_s = time.perf_counter()
    for batch in rows:
        database.execute("begin")
        database.executemany("insert into readings values (?, ?, ?, ?, ?)", batch)
        database.execute("commit")
    took_s = time.perf_counter() - began_s
    database.close()
    return len(readings) * _BATCH / took_s


async def _bare_copy(db: Database, readings: Sequence[Sequence[Reading]]) -> float:
    """COPY of blocks that are made beforehand."""
    every = [reading for batch in readings for reading in batch]
    blocks = [
        copy_block(every[first : first + _REPLAY_BATCH], recorded_by="bare")[0]
        for first in range(0, len(every), _REPLAY_BATCH)
    ]
    query = queries.load().readings.store_readings
    began_s = time.perf_counter()
    for block in blocks:
        await db.copy(query, block)
    return len(every) / (time.perf_counter() - began_s)


async def _marks(store: PostgresStore, readings: Sequence[Sequence[Reading]]) -> tuple[float, float]:
    """Median milliseconds of a flush without and with a mark, turn and turn about."""
    took: dict[bool, list[float]] = {False: [], True: []}
    for number, batch in enumerate(readings, start=1):
        for marked in (False, True) if number % 2 else (True, False):
            mark = Mark(origin="marks", first=number, last=number) if marked else None
            began_s = time.perf_counter()
            await store.store_readings(batch, mark)
            took[marked].append((time.perf_counter() - began_s) * 1e3)
    return median(took[False]), median(took[True])
