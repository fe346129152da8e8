"""Changes that wait on disk until the broker has taken them, and the bdSeq that outlives the process.

The only module of `publish` that knows SQLite. Every change is written, and synced, before it is sent; it is
deleted when a round trip to the broker has proved that what was sent before has arrived. So nothing is lost with
the broker, the wire or this process, and what was sent and not yet proved is sent again, with the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog

from bridge.errors import BufferDown, ConfigError
from bridge.publish.edge_metrics import Change, Place
from bridge.sparkplug.types import MetricType

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

BD_SEQS = 256
"""So many numbers of connections there are, from 0."""

_OURS = 0x0B71D6E1  # application_id: this file is an outbox of this version
_MAGIC = b"SQLite format 3\0"
_HEAD_BYTES = 100  # of SQLite's file format, in which the mark has its place
_MARK = slice(68, 72)
_ROW_BYTES = 64  # what a row takes beside its texts
_SCHEMA = """
create table if not exists change (
    id integer primary key autoincrement,
    device text not null,
    name text not null,
    type text not null,
    value any,
    quality integer not null,
    timestamp_ms integer not null,
    bytes integer not null
) strict;
create table if not exists counter (name text primary key, value integer not null) strict;
"""


class Outbox:
    """A bounded queue of changes in one file, for one process. Calls wait for the disk off the event loop.

    max_bytes: of what waits; beyond it the oldest changes are dropped and counted (`dropped`, over restarts).
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.depth = 0
        self.bytes = 0
        self.dropped = 0
        self.last_id = 0
        self.oldest_id = 0
        """No change below it waits: it may have left, or been dropped."""
        self._path = path
        self._max_bytes = max_bytes
        self._db: sqlite3.Connection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> None:
        """Open or make the file. A damaged outbox is set aside; any other file is left alone.

        ConfigError when the file is none of ours, or cannot be used.
        """
        await asyncio.to_thread(self._open)

    async def close(self) -> None:
        """Let go of the file; what waits stays."""
        async with self._one_at_a_time:
            db, self._db = self._db, None
            if db is not None:
                await asyncio.to_thread(db.close)

    async def next_bd_seq(self) -> int:
        """The number of the next connection, 0 to 255 and round, also after a restart."""
        return await self._do(self._count_on, "bd_seq", BD_SEQS)

    async def append(self, changes: Sequence[Change]) -> list[int]:
        """Put changes on disk; when this returns, no crash takes them away. Their ids, which only grow."""
        return await self._do(self._append, changes)

    async def read(self, after: int, upto: int, limit: int) -> list[Change]:
        """The oldest changes with ids above `after` and up to `upto`."""
        return await self._do(self._read, after, upto, limit)

    async def delete(self, ids: Sequence[int]) -> None:
        """Let changes go that the broker has taken."""
        await self._do(self._delete, ids)

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._one_at_a_time:
            # Shielded: a cancelled caller must not leave a thread behind that works on the file by itself.
            running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                with contextlib.suppress(BufferDown):
                    await running
                raise

    # --- in the thread ---

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if stranger(self._path):
                raise ConfigError(
                    [f"publish.sparkplug.outbox: {self._path} is not an outbox; name another file"]
                )
            try:
                self._db = self._connected()
            except sqlite3.OperationalError:
                raise  # the disk, the rights, or somebody else who has it: not the file's fault
            except (sqlite3.DatabaseError, _Broken) as problem:
                aside = self._path.with_name(f"{self._path.name}.damaged-{time.time_ns()}")
                self._path.rename(aside)
                log.error("publish.outbox_set_aside", file=str(aside), reason=str(problem))
                self._db = self._connected()
            self._measure()
        except (OSError, sqlite3.Error) as problem:
            raise ConfigError(
                [
                    f"publish.sparkplug.outbox: {self._path} cannot be used: {problem}; it wants a file that this "
                    "user may write, on a disk with room, and no other bridge on it"
                ]
            ) from problem

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            db.execute("pragma locking_mode = exclusive")  # a second bridge is refused, not mixed in
            db.execute("pragma synchronous = full")
            # Before there is a journal beside it, so that the file itself says at any time whose it is.
            if db.execute("pragma application_id").fetchone()[0] != _OURS:
                db.execute(f"pragma application_id = {_OURS}")
            db.execute("pragma journal_mode = wal")
            db.executescript(f"begin immediate; {_SCHEMA} commit;")
            broken = db.execute("pragma quick_check(1)").fetchone()[0]
            if broken != "ok":
                raise _Broken(broken)
        except BaseException:
            db.close()
            raise
        return db

    def _measure(self) -> None:
        with self._using() as db:
            self.depth, self.bytes = db.execute(
                "select count(*), coalesce(sum(bytes), 0) from change"
            ).fetchone()
            row = db.execute("select value from counter where name = 'dropped'").fetchone()
            self.dropped = 0 if row is None else row[0]
            row = db.execute("select seq from sqlite_sequence where name = 'change'").fetchone()
            self.last_id = 0 if row is None else row[0]
            (self.oldest_id,) = db.execute("select coalesce(min(id), 0) from change").fetchone()

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        if self._db is None:
            raise BufferDown(f"{self._path}: not open")
        try:
            yield self._db
        except sqlite3.Error as problem:
            raise BufferDown(
                f"{self._path}: {problem}; look at the disk's room and at the file's rights"
            ) from problem
        finally:
            if self._db.in_transaction:  # whatever it was that went wrong
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("rollback")

    def _count_on(self, name: str, modulus: int) -> int:
        with self._using() as db:
            row = db.execute(
                "insert into counter values (?, 0) on conflict (name) do update set value = (value + 1) % ?"
                " returning value",
                (name, modulus),
            ).fetchone()
        return int(row[0])

    def _append(self, changes: Sequence[Change]) -> list[int]:
        if not changes:
            return []
        rows = [
            (
                *change.place,
                change.type.value,
                int(change.value) if isinstance(change.value, bool) else change.value,
                change.quality,
                change.timestamp_ms,
                _size(change),
            )
            for change in changes
        ]
        added = sum(row[-1] for row in rows)
        with self._using() as db:
            db.execute("begin immediate")
            freed, gone, oldest = self._make_room(db, added)
            first = self.last_id + 1
            db.executemany(
                "insert into change (device, name, type, value, quality, timestamp_ms, bytes)"
                " values (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            if gone:
                db.execute(
                    "insert into counter values ('dropped', ?1) on conflict (name) do update set value = value + ?1",
                    (gone,),
                )
            db.execute("commit")
        self.last_id += len(rows)
        self.depth += len(rows) - gone
        self.bytes += added - freed
        self.dropped += gone
        self.oldest_id = max(self.oldest_id, oldest)
        if gone:
            log.warning("publish.outbox_full", dropped=gone, dropped_in_all=self.dropped, waiting=self.depth)
        return list(range(first, self.last_id + 1))

    def _make_room(self, db: sqlite3.Connection, added: int) -> tuple[int, int, int]:
        """Drop the oldest until `added` bytes fit: bytes and rows that went, and the least id that may be left.

        A tenth at once, not row by row.
        """
        excess = self.bytes + added - self._max_bytes
        if excess <= 0:
            return 0, 0, 0
        excess = max(excess, self._max_bytes // 10)
        freed = gone = last = 0
        for row_id, size in db.execute("select id, bytes from change order by id"):
            if freed >= excess:
                break
            freed, gone, last = freed + size, gone + 1, row_id
        db.execute("delete from change where id <= ?", (last,))
        return freed, gone, last + 1

    def _read(self, after: int, upto: int, limit: int) -> list[Change]:
        with self._using() as db:
            rows = db.execute(
                "select device, name, type, value, quality, timestamp_ms, id from change"
                " where id > ? and id <= ? order by id limit ?",
                (after, upto, limit),
            ).fetchall()
        return [
            Change(
                Place(device, name),
                MetricType(kind),
                bool(value) if kind == MetricType.BOOLEAN.value and value is not None else value,
                quality,
                timestamp_ms,
                row_id,
            )
            for device, name, kind, value, quality, timestamp_ms, row_id in rows
        ]

    def _delete(self, ids: Sequence[int]) -> None:
        gone = freed = 0
        with self._using() as db:
            db.execute("begin immediate")
            for row_id in ids:
                row = db.execute("delete from change where id = ? returning bytes", (row_id,)).fetchone()
                if row is not None:
                    gone, freed = gone + 1, freed + row[0]
            db.execute("commit")
        self.depth -= gone
        self.bytes -= freed


class _Broken(Exception):
    """The file is an outbox, and what is in it is not whole."""


def stranger(path: Path) -> bool:
    """Whether there is something at this path that is no outbox. Reads a few bytes, by no library that could write.

    OSError when it cannot be read.
    """
    if not path.exists():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return bool(head) and not (head.startswith(_MAGIC) and head[_MARK] == _OURS.to_bytes(4, "big"))


def _size(change: Change) -> int:
    texts = (change.place.device, change.place.name, change.value)
    return _ROW_BYTES + sum(len(text.encode()) for text in texts if isinstance(text, str))
