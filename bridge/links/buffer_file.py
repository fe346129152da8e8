"""Batches of readings in one SQLite file: bounded by bytes and age, whole after every crash. The one module that
knows sqlite3 for readings; belongs to one thread, and everything in it blocks.

Ages are judged by a clock that runs only while a bridge does, and goes on from one run to the next: no wall
clock, wrong at the start or set later, makes a reading too old, and the time of a machine that is off is not
counted. What `oldest_s` shows of an earlier run is by the wall clock, and nothing is decided on it.

Write-ahead log with synchronous=FULL: when `append` returns, the batch is on the disk and not only handed to
the system. The lock is the file's own (locking_mode=EXCLUSIVE), and the system takes it back from the dead.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import structlog

from bridge.errors import BufferDown

log = structlog.get_logger(__name__)

NAME = "readings.sqlite"

_OURS = 0x42524447  # application_id: "BRDG"
_VERSION = 1
_ROWS_AT_ONCE = 500
_PAGES_BACK = 2000  # free pages given back to the file system in one go
_TABLES = """
create table about (name text primary key, value text not null) without rowid;
create table batches (
    id integer primary key autoincrement,
    origin text not null,
    number integer not null,
    readings integer not null,
    put_utc_s real not null,
    put_run_s real not null,
    remembered integer not null,
    done integer not null default 0,
    body blob not null
);
create index batches_waiting on batches (id, readings) where done = 0;
create index batches_done on batches (id, readings) where done = 1;
"""
# Clocks that have not been set yet begin in 1970 or with the year of the firmware. An age from there says nothing.
_PLAUSIBLE_UTC_S = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


class Damaged(Exception):
    """The file is ours and no longer whole. Stays inside the buffer, which begins a new file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One row: a batch with its mark, not decoded."""

    id: int
    origin: str
    number: int
    readings: int
    body: bytes


class BufferFile:
    """One open file. `monotonic_s` and `now_utc_s` are given by the caller, so that a test can turn the clock."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        max_age_s: float,
        drop_oldest: bool,
        remembered: int,
        after_id: int,
        now_utc_s: float,
        now_s: float,
    ) -> None:
        """Open or make the file. BufferDown when it is not writable, in use or not ours; Damaged when torn.

        remembered: so many readings, at least, are still known after they were removed. after_id: the ids of a new
        file begin above it, so that ids of the file before it, which somebody may hold, mean nothing here.
        """
        self.path = folder / NAME
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._drop_oldest = drop_oldest
        self._to_remember = remembered
        self._after_id = after_id
        self._opened_utc_s = now_utc_s
        self._started_s = now_s
        self._run_before_s = 0.0  # so long did earlier runs, as far as the file knows
        self._last_before = 0  # id of their last batch
        self._remembered = 0  # readings that are only remembered
        self.dropped = 0
        """Readings that the policy dropped since the file was opened."""
        self.depth = 0
        """Readings that wait."""
        self.bytes = 0
        """Bytes in use."""
        self.full = False
        """Whether the newest batch cost another one its place, or found none."""
        self.last_id = after_id
        """The highest id that a batch ever had."""
        self._unseen = False  # the last look at the file failed
        self._born_s: float | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise BufferDown(f"{folder}: cannot be made: {problem.strerror}; {_ADVICE}") from problem
        with self._translated():
            self._db = sqlite3.connect(self.path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            with self._translated():
                self._prepare()
                (self._page,) = self._db.execute("pragma page_size").fetchone()
                self.depth, self._remembered = (
                    int(
                        self._db.execute(
                            "select coalesce(sum(readings), 0) from batches where done = ?", (done,)
                        ).fetchone()[0]
                    )
                    for done in (0, 1)
                )
                row = self._db.execute(
                    "select id, put_run_s from batches order by id desc limit 1"
                ).fetchone()
                if row is not None:
                    self._last_before, self._run_before_s = row
                (self.last_id,) = self._db.execute(
                    "select max(?, coalesce(max(cast(seq as integer)), 0)) from sqlite_sequence", (after_id,)
                ).fetchone()
                self._look()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("pragma locking_mode = exclusive")
        (ours,) = self._db.execute("pragma application_id").fetchone()
        (version,) = self._db.execute("pragma user_version").fetchone()
        (tables,) = self._db.execute("select count(*) from sqlite_master").fetchone()
        if ours != _OURS and (ours or tables):
            raise BufferDown(f"{self.path}: a database of another program; {_ADVICE}")
        if ours == _OURS and version != _VERSION:
            raise BufferDown(
                f"{self.path}: wanted format {_VERSION}, found {version}; run the version of the bridge that made "
                "it until it is empty, or move it away"
            )
        if not tables:
            self._db.execute("pragma auto_vacuum = incremental")
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("pragma journal_size_limit = 4194304")
        if not tables:
            with self._transaction():
                for statement in _TABLES.strip().split(";\n"):
                    self._db.execute(statement.rstrip(";"))
                self._db.execute("insert into about values ('identity', ?)", (uuid4().hex[:12],))
                self._db.execute("insert into sqlite_sequence values ('batches', ?)", (self._after_id,))
                self._db.execute(f"pragma application_id = {_OURS}")
                self._db.execute(f"pragma user_version = {_VERSION}")
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # a new file is safe only when its name is
            finally:
                os.close(folder)
        # Takes the lock now, not at the first batch.
        with self._transaction():
            self._db.execute("insert or replace into about values ('run', ?)", (uuid4().hex[:12],))
        row = self._db.execute("select value from about where name = 'identity'").fetchone()
        if row is None:
            raise Damaged(f"{self.path}: it has lost its name")
        self.identity = str(row[0])

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._translated():
            self._db.close()

    def append(
        self,
        body: bytes,
        readings: int,
        *,
        origin: str,
        number: int,
        remembered: bool,
        or_drop: bool,
        in_flight: Collection[int],
        now_utc_s: float,
        now_s: float,
    ) -> int:
        """Put a batch behind the others and return its id; 0 when a bound left no place for it (`or_drop`: counted)."""
        with self._translated(), self._transaction():
            self._expire(in_flight, now_s)
            room = self._make_room(len(body), in_flight, now_s)
            if not room:
                self.dropped += readings if or_drop else 0
                self.full = True
                batch_id = 0
            else:
                batch_id = self._insert(body, readings, origin, number, remembered, now_utc_s, now_s)
        self.last_id = max(self.last_id, batch_id)
        self._committed()
        return batch_id

    def _insert(
        self,
        body: bytes,
        readings: int,
        origin: str,
        number: int,
        remembered: bool,
        now_utc_s: float,
        now_s: float,
    ) -> int:
        # Never older than the batch before it: the clock may have been turned back, the order has not.
        cursor = self._db.execute(
            "insert into batches (origin, number, readings, put_utc_s, put_run_s, remembered, body)"
            " values (?, ?, ?, max(?, coalesce((select put_utc_s from batches order by id desc limit 1), 0)),"
            " ?, ?, ?)",
            (origin, number, readings, now_utc_s, self._run_s(now_s), remembered, body),
        )
        assert cursor.lastrowid is not None
        self.depth += readings
        return cursor.lastrowid

    def _make_room(self, wanted: int, in_flight: Collection[int], now_s: float) -> bool:
        """Whether a body of so many bytes fits, after dropping what the policy drops."""
        self.full = False
        if not self._drop_oldest and self._oldest_age_s(now_s) > self._max_age_s:
            return False
        while self._used() + wanted + 2 * self._page > self._max_bytes:
            if self._forget_oldest():
                continue  # what was only remembered goes first
            if not self._drop_oldest or not self._drop_first(in_flight):
                return False
            self.full = True
        return True

    def _expire(self, in_flight: Collection[int], now_s: float) -> None:
        while (
            self._drop_oldest and self._oldest_age_s(now_s) > self._max_age_s and self._drop_first(in_flight)
        ):
            pass

    def _drop_first(self, in_flight: Collection[int]) -> bool:
        for batch_id, readings in self._db.execute(
            "select id, readings from batches where done = 0 order by id limit ?", (len(in_flight) + 1,)
        ).fetchall():
            if batch_id not in in_flight:
                self._db.execute("delete from batches where id = ?", (batch_id,))
                self.depth -= readings
                self.dropped += readings
                return True
        return False

    def oldest(self, max_readings: int, *, in_flight: Collection[int], now_s: float) -> list[Batch]:
        """The first batches of one origin that wait, at least one, none behind one in flight."""
        with self._translated():
            if self._oldest_age_s(now_s) > self._max_age_s:
                with self._transaction():
                    self._expire(in_flight, now_s)
                self._committed()
            found: list[Batch] = []
            rows = self._db.execute(
                "select id, origin, number, readings, body from batches where done = 0 and id < ? order by id limit ?",
                (min(in_flight, default=2**62), _ROWS_AT_ONCE),
            )
            total = 0
            for batch_id, origin, number, readings, body in rows:
                total += readings
                if found and (origin != found[0].origin or total > max_readings):
                    break
                found.append(Batch(id=batch_id, origin=origin, number=number, readings=readings, body=body))
            rows.close()
            return found

    def remove(self, ids: Sequence[int], *, unreadable: int = 0) -> None:
        """Let batches go; those that are to be remembered stay as such for a while."""
        with self._translated(), self._transaction():
            for batch_id in ids:
                row = self._db.execute(
                    "select readings, remembered from batches where done = 0 and id = ?", (batch_id,)
                ).fetchone()
                if row is None:
                    continue  # dropped meanwhile
                readings, remembered = row
                self.depth -= readings
                if remembered and not unreadable:
                    self._db.execute("update batches set done = 1 where id = ?", (batch_id,))
                    self._remembered += readings
                else:
                    self._db.execute("delete from batches where id = ?", (batch_id,))
            limit = self._to_remember
            while self._remembered > limit and self._forget_oldest(down_to=limit):
                pass
        self.dropped += unreadable
        self.full = self.full and self.depth > 0
        self._committed()

    def _forget_oldest(self, *, down_to: int = 0) -> bool:
        """Forget the oldest batch that is only remembered; False when there is none, or too few would be left."""
        row = self._db.execute(
            "select id, readings from batches where done = 1 order by id limit 1"
        ).fetchone()
        if row is None or self._remembered - row[1] < down_to:
            return False
        self._db.execute("delete from batches where id = ?", (row[0],))
        self._remembered -= row[1]
        return True

    def recent(self, max_readings: int) -> list[Batch]:
        """The newest batches that are to be remembered, waiting or removed, oldest first."""
        with self._translated():
            found: list[Batch] = []
            total = 0
            rows = self._db.execute(
                "select id, origin, number, readings, body from batches where remembered = 1 order by id desc"
            )
            for batch_id, origin, number, readings, body in rows:
                if total >= max_readings:
                    break
                total += readings
                found.append(Batch(id=batch_id, origin=origin, number=number, readings=readings, body=body))
            rows.close()
            return found[::-1]

    def oldest_s(self, now_s: float) -> float | None:
        """For how long the oldest batch has been here; None when none waits."""
        return None if self._born_s is None else max(0.0, now_s - self._born_s)

    def _committed(self) -> None:
        """Look at the file after a change, and give space back when nothing waits.

        What was committed stays so whatever becomes of that: told as a failure, a batch would be put here or stored
        a second time. What is wrong with the file shows in the next piece of work.
        """
        try:
            self._look()
            if not self.depth:
                self._db.executescript(f"pragma incremental_vacuum({_PAGES_BACK})")  # execute takes one page
        except sqlite3.Error as problem:
            if not self._unseen:
                log.warning("buffer.look_failed", file=str(self.path), reason=str(problem))
            self._unseen = True
        else:
            self._unseen = False

    def _look(self) -> None:
        """What `status` tells, so that telling it needs no look at the disk."""
        self.bytes = self._used()
        self._born_s = self._first_born_s()

    def _first_born_s(self) -> float | None:
        """When the oldest batch came, on the monotonic clock of this run."""
        row = self._db.execute(
            "select id, put_utc_s, put_run_s from batches where done = 0 order by id limit 1"
        ).fetchone()
        if row is None:
            return None
        batch_id, put_utc_s, put_run_s = row
        if batch_id > self._last_before:
            return float(put_run_s - self._run_before_s + self._started_s)
        age_s = self._opened_utc_s - put_utc_s if put_utc_s > _PLAUSIBLE_UTC_S else 0.0
        return float(self._started_s - max(0.0, age_s))

    def _run_s(self, now_s: float) -> float:
        """For how long bridges have run on this file, all runs together."""
        return self._run_before_s + now_s - self._started_s

    def _oldest_age_s(self, now_s: float) -> float:
        row = self._db.execute("select put_run_s from batches where done = 0 order by id limit 1").fetchone()
        return 0.0 if row is None else self._run_s(now_s) - float(row[0])

    def _used(self) -> int:
        (pages,) = self._db.execute("pragma page_count").fetchone()
        (free,) = self._db.execute("pragma freelist_count").fetchone()
        return int((pages - free) * self._page)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self.depth, self.dropped, self.full, self._remembered
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            self.depth, self.dropped, self.full, self._remembered = before
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as problem:
            raise self._in_words(problem) from problem

    def _in_words(self, problem: sqlite3.Error) -> Exception:
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return BufferDown(
                f"{self.path}: another bridge uses it; give each its own folder (buffer.dir), or stop the other"
            )
        if code == sqlite3.SQLITE_FULL:
            return BufferDown(f"{self.path}: the disk is full; make room, or set buffer.dir to another disk")
        if code == sqlite3.SQLITE_NOTADB:
            return BufferDown(f"{self.path}: not a database; {_ADVICE}")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):
            return Damaged(f"{self.path}: {problem}")
        return BufferDown(f"{self.path}: cannot be read or written: {problem}; {_ADVICE}")


_ADVICE = "move it away, mend its rights, or set buffer.dir to a folder of its own"
