"""Intake: readings from links and from others' rows, through the detector, into the store.

Findings leave at once; storing happens in batches behind them. While the store is away readings wait in
memory, bounded and counted; the oldest are dropped first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import structlog

from bridge.agent.detect import MOST_UNKNOWN, Detector
from bridge.domain.anomaly import Anomaly, Cleared
from bridge.domain.reading import Quality, Reading
from bridge.errors import RefusedByRule
from bridge.plant import Plant
from bridge.ports import OthersRow, Place, Store, TagLink

log = structlog.get_logger(__name__)

Finding = Anomaly | Cleared

_ROWS_AT_ONCE = 1000
_COPY_AT_ONCE = 20_000  # readings in one COPY: large enough to be cheap, small enough not to hold the loop


class Intake:
    """Everything measured passes here exactly once."""

    def __init__(
        self,
        *,
        plant: Plant,
        detector: Detector,
        store: Store,
        queue_size: int,
        found: Callable[[Finding], None],
    ) -> None:
        self._plant = plant
        self._detector = detector
        self._store = store
        self._queue_size = queue_size
        self._found = found
        self._waiting: deque[Sequence[Reading]] = deque()
        self._waiting_count = 0
        self._place: Place | None = None
        self._at_once = _COPY_AT_ONCE
        self.taken_in = 0
        self.stored = 0
        self.dropped = 0

    async def watch(self, link: TagLink, took: Callable[[], None] = lambda: None) -> None:
        """Take in what one link delivers, until cancelled; `took` is told after each batch."""
        async for batch in link.readings():
            self.take(batch)
            took()

    def take(self, batch: Sequence[Reading]) -> None:
        """Detect in a batch and queue it for the store."""
        fresh = [reading for reading in batch if not self._seen(reading)]
        if not fresh:
            self._observe(batch)
            return
        self._observe(batch)
        self.taken_in += len(fresh)
        self._waiting.append(fresh)
        self._waiting_count += len(fresh)
        while self._waiting_count > self._queue_size:
            lost = len(self._waiting.popleft())
            self._waiting_count -= lost
            if not self.dropped:
                log.error("readings.dropped", reason="the store is away and the queue is full", count=lost)
            self.dropped += lost

    def _observe(self, batch: Sequence[Reading]) -> None:
        for finding in self._detector.observe(batch):
            self._found(finding)

    def _seen(self, reading: Reading) -> bool:
        """True for a value that was taken in before: a refresh, or the first value after a reconnect."""
        known = self._detector.reading(reading.tag.path)
        return (
            known is not None
            and known.source_time_utc == reading.source_time_utc
            and known.value == reading.value
            and known.quality is reading.quality
        )

    @property
    def waiting(self) -> int:
        """Readings that wait for the store."""
        return self._waiting_count

    async def flush(self) -> None:
        """Store what waits. Whatever goes wrong, nothing is lost: it stays at the head of the queue.

        Only what the database refuses for good is dropped, batch by batch, and counted.
        """
        while self._waiting:
            batches: list[Sequence[Reading]] = []
            count = 0
            while self._waiting and count < self._at_once:
                batches.append(self._waiting.popleft())
                count += len(batches[-1])
            self._waiting_count -= count
            try:
                await self._store.store_readings([reading for batch in batches for reading in batch])
            except RefusedByRule as problem:
                if len(batches) == 1:
                    self.dropped += count
                    log.error("readings.dropped", reason=str(problem), count=count)
                    continue
                self._put_back(batches, count)
                self._at_once = 1  # one batch at a time, until the refused one has shown itself
                continue
            except BaseException:
                self._put_back(batches, count)
                raise
            self.stored += count
        self._at_once = _COPY_AT_ONCE

    def _put_back(self, batches: Sequence[Sequence[Reading]], count: int) -> None:
        self._waiting.extendleft(reversed(batches))
        self._waiting_count += count

    async def take_others(self) -> int:
        """Detect in rows that others inserted since the last look; how many there were."""
        if self._place is None:
            self._place = await self._store.place_of_others()
        total = 0
        while True:
            rows, self._place = await self._store.readings_from_others(self._place, _ROWS_AT_ONCE)
            self._observe([reading for row in rows for reading in self._readings_of(row)])
            total += len(rows)
            if len(rows) < _ROWS_AT_ONCE:
                return total

    def _readings_of(self, row: OthersRow) -> list[Reading]:
        equipment = self._plant.equipment.get(row.equipment_id)
        if equipment is None:
            if len(self._detector.unknown_equipment) < MOST_UNKNOWN:
                self._detector.unknown_equipment.add(row.equipment_id)
            return []
        quality = Quality(row.quality)
        return [
            Reading(
                tag=equipment.signals[name],
                value=value,
                quality=quality,
                source_time_utc=row.source_time_utc,
                received_utc=row.received_utc,
                status="Good" if quality is Quality.GOOD else quality.value,
            )
            for name, value in row.values.items()
            if name in equipment.signals
        ]
