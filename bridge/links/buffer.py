"""Store and forward: readings on disk while the database is away. Implements `bridge.ports.ReadingBuffer`.

The file is worked by one thread, so that an fsync never holds the event loop. What is wrong with the disk is
said once, in words, and tried again every few seconds; live data go on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import structlog

from bridge.domain.reading import Reading
from bridge.domain.tag import Tag
from bridge.errors import BufferDown
from bridge.links.buffer_body import decode, encode
from bridge.links.buffer_file import NAME, Batch, BufferFile, Damaged
from bridge.ports import BufferState, BufferStatus, Clock, Kept, Mark
from bridge.settings import LEAST_REMEMBERED, BufferSettings

log = structlog.get_logger(__name__)
T = TypeVar("T")

_RETRY_S = 5.0


def was_used(settings: BufferSettings) -> bool:
    """Whether a buffer was ever opened in this folder."""
    return (settings.dir / NAME).is_file()


class DiskBuffer:
    """One folder of batches. Belongs to one event loop; `open` before use, `close` at the end."""

    def __init__(
        self,
        settings: BufferSettings,
        tags: Mapping[str, Tag],
        clock: Clock,
        *,
        remembered: int = LEAST_REMEMBERED,
    ) -> None:
        """remembered: so many readings, at least, `recent` knows after they were removed."""
        self._settings = settings
        self._remembered = remembered
        self._tags = tags
        self._clock = clock
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="buffer")
        self._file: BufferFile | None = None
        self._identity = uuid4().hex[:12]  # until the file tells its own
        self._in_flight: dict[int, int] = {}  # id -> readings
        self._last_id = 0  # of the files that were set aside
        self._problem = "not opened yet"
        self._retry_at_s = 0.0
        self._lost = 0  # dropped by files that were closed, and by damage
        self._draining = False
        self._dropping = False

    async def open(self) -> None:
        """Open the folder and say what waits there. What is wrong is logged, never raised: the bridge runs without."""
        try:
            await self._run(lambda file: None)
        except BufferDown:
            return
        status = self.status()
        log.info(
            "buffer.opened",
            folder=str(self._settings.dir),
            waiting=status.depth,
            oldest_s=None if status.oldest_s is None else round(status.oldest_s, 1),
            bytes=status.bytes,
        )

    async def close(self) -> None:
        """Close the file; what waits is there at the next start."""
        if self._file is not None:
            file, self._file = self._file, None
            self._lost += file.dropped
            self._problem = "closed"
            await asyncio.get_running_loop().run_in_executor(self._worker, file.close)
        self._worker.shutdown(wait=False)

    @property
    def identity(self) -> str:
        """See `ReadingBuffer.identity`. While no file was ever open: of this run alone."""
        return self._identity

    @property
    def usable(self) -> bool:
        """See `ReadingBuffer.usable`; true again when it is time for another attempt."""
        return not self._problem or self._clock.monotonic_s() >= self._retry_at_s

    async def append(
        self,
        readings: Sequence[Reading],
        mark: Mark,
        *,
        in_flight: bool = False,
        remember: bool = False,
        or_drop: bool = True,
    ) -> int:
        """See `ReadingBuffer.append`."""

        def put(file: BufferFile) -> int:
            batch_id = file.append(
                encode(readings),
                len(readings),
                origin=mark.origin,
                number=mark.last,
                remembered=remember,
                or_drop=or_drop,
                in_flight=tuple(self._in_flight),
                now_utc_s=self._clock.now_utc().timestamp(),
                now_s=self._clock.monotonic_s(),
            )
            if in_flight and batch_id:
                self._in_flight[batch_id] = len(readings)
            return batch_id

        batch_id = await self._run(put)
        self._tell_drops()
        return batch_id

    async def oldest(self, max_readings: int) -> list[Kept]:
        """See `ReadingBuffer.oldest`. A batch that cannot be read is removed, counted and said to be so."""

        def look(file: BufferFile) -> list[Kept]:
            while True:
                batches = file.oldest(
                    max_readings, in_flight=tuple(self._in_flight), now_s=self._clock.monotonic_s()
                )
                found = self._readable(file, batches)
                if found or not batches:
                    return found

        found = await self._run(look)
        self._tell_drops()
        return found

    async def remove(self, ids: Sequence[int]) -> None:
        """See `ReadingBuffer.remove`."""

        def let_go(file: BufferFile) -> None:
            file.remove(ids)
            for batch_id in ids:
                self._in_flight.pop(batch_id, None)

        await self._run(let_go)

    def release(self, batch_id: int) -> None:
        """See `ReadingBuffer.release`."""
        self._in_flight.pop(batch_id, None)

    async def recent(self, max_readings: int) -> list[Reading]:
        """See `ReadingBuffer.recent`."""

        def look(file: BufferFile) -> list[Reading]:
            batches = self._readable(file, file.recent(max_readings))
            return [reading for batch in batches for reading in batch.readings]

        return await self._run(look)

    def draining(self, *, on: bool) -> None:
        """See `ReadingBuffer.draining`."""
        self._draining = on

    def status(self) -> BufferStatus:
        """See `ReadingBuffer.status`. What is in flight does not wait."""
        file = self._file
        depth = 0 if file is None else max(0, file.depth - sum(tuple(self._in_flight.values())))
        if file is None or self._problem:
            state = BufferState.DOWN
        elif not depth:
            state = BufferState.EMPTY
        elif file.full:
            state = BufferState.FULL
        else:
            state = BufferState.DRAINING if self._draining else BufferState.HOLDING
        return BufferStatus(
            state=state,
            depth=depth,
            oldest_s=None if file is None or not depth else file.oldest_s(self._clock.monotonic_s()),
            bytes=0 if file is None else file.bytes,
            dropped=self._lost + (0 if file is None else file.dropped),
            detail=self._problem,
        )

    # --- in the thread of the file, or around it ---

    async def _run(self, work: Callable[[BufferFile], T]) -> T:
        """Work on the file in its thread; a problem is told once, and tried again after a while."""
        if not self.usable:
            raise BufferDown(self._problem)
        try:
            done = await asyncio.get_running_loop().run_in_executor(self._worker, self._on_file, work)
        except BufferDown as problem:
            if not self._problem or self._problem == "not opened yet":
                log.error("buffer.down", reason=str(problem))
            self._problem = str(problem)
            self._retry_at_s = self._clock.monotonic_s() + _RETRY_S
            raise
        if self._problem:
            if self._problem != "not opened yet":
                log.info("buffer.works_again", waiting=self.status().depth)
            self._problem = ""
        return done

    def _on_file(self, work: Callable[[BufferFile], T]) -> T:
        try:
            try:
                return work(self._opened())
            except Damaged as problem:
                self._set_aside(problem)
            return work(self._opened())
        except Damaged as problem:
            raise BufferDown(f"{problem}; a new file is damaged at once: look at the disk") from problem
        except OSError as problem:
            raise BufferDown(f"{self._settings.dir}: {problem.strerror}; look at the disk") from problem

    def _opened(self) -> BufferFile:
        if self._file is None:
            settings = self._settings
            self._file = BufferFile(
                settings.dir,
                max_bytes=settings.max_bytes,
                max_age_s=settings.max_age_s,
                drop_oldest=settings.when_full == "drop_oldest",
                remembered=self._remembered,
                after_id=self._last_id,
                now_utc_s=self._clock.now_utc().timestamp(),
                now_s=self._clock.monotonic_s(),
            )
            self._identity = self._file.identity
        return self._file

    def _set_aside(self, problem: Damaged) -> None:
        """Keep a torn file for whoever can read it, count what it held as dropped, and go on with a new one."""
        file, self._file = self._file, None
        lost: int | None = None
        if file is not None:
            lost = file.depth
            self._last_id = max(self._last_id, file.last_id)
            self._lost += file.dropped + lost
            with suppress(Damaged, BufferDown, OSError):  # torn as it is, that may fail too
                file.close()
        self._in_flight.clear()
        path = self._settings.dir / NAME
        aside = path.with_name(f"readings.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}.sqlite")
        try:
            path.rename(aside)
            for ending in ("-wal", "-shm"):
                beside = Path(f"{path}{ending}")
                if beside.exists():
                    beside.rename(f"{aside}{ending}")
        except OSError as error:
            raise BufferDown(f"{problem}; cannot be set aside: {error.strerror}") from error
        log.error(
            "buffer.damaged",
            reason=str(problem),
            set_aside=str(aside),
            readings="not known" if lost is None else lost,
        )

    def _readable(self, file: BufferFile, batches: Sequence[Batch]) -> list[Kept]:
        found = []
        for batch in batches:
            try:
                readings = decode(batch.body, self._tags)
            except ValueError as problem:
                file.remove([batch.id], unreadable=batch.readings)
                log.error("buffer.unreadable", reason=str(problem), dropped=batch.readings)
                continue
            found.append(Kept(id=batch.id, origin=batch.origin, number=batch.number, readings=readings))
        return found

    def _tell_drops(self) -> None:
        """Say when dropping begins; how much it was is in the counter, and said again when it ends."""
        file = self._file
        dropping = file is not None and file.full
        if dropping and not self._dropping:
            log.error(
                "buffer.dropping",
                policy=self._settings.when_full,
                max_bytes=self._settings.max_bytes,
                max_age_s=self._settings.max_age_s,
                dropped=self.status().dropped,
            )
        elif self._dropping and not dropping:
            log.warning("buffer.dropped", dropped=self.status().dropped)
        self._dropping = dropping
