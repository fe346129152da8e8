"""Intake: readings from links and from others' rows, through the detector, into the store.

Findings leave at once; storing happens in batches behind them (see `bridge.agent.forward`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from bridge.agent.detect import MOST_UNKNOWN, Detector
from bridge.agent.forward import Forwarder
from bridge.agent.recent import RecentReadings
from bridge.domain.anomaly import Anomaly, Cleared
from bridge.domain.reading import Quality, Reading
from bridge.errors import BufferDown
from bridge.plant import Plant
from bridge.ports import OthersRow, Place, ReadingBuffer, Store, TagLink
from bridge.settings import LEAST_REMEMBERED

log = structlog.get_logger(__name__)

Finding = Anomaly | Cleared

_ROWS_AT_ONCE = 1000


class Intake:
    """Everything measured passes here exactly once."""

    def __init__(
        self,
        *,
        plant: Plant,
        detector: Detector,
        store: Store,
        buffer: ReadingBuffer,
        queue_size: int,
        remembered: int = LEAST_REMEMBERED,
        found: Callable[[Finding], None],
    ) -> None:
        """remembered: so many readings, at least, are recognised when their sources deliver them again."""
        self._plant = plant
        self._detector = detector
        self._store = store
        self._found = found
        self._buffer = buffer
        self._remembered = remembered
        self._recent = RecentReadings(remembered)
        self._place: Place | None = None
        self.forward = Forwarder(store=store, buffer=buffer, queue_size=queue_size)
        """The way of what is taken in to the store."""
        self.taken_in = 0
        self._held: dict[str, Reading] | None = None
        self._recalled = False

    async def recall(self) -> None:
        """Learn from the disk what a source may deliver again, because a killed bridge could not thank for it.

        Once is enough; while the disk does not work nothing is learned, and it has to be asked again.
        """
        if self._recalled:
            return
        try:
            earlier = await self._buffer.recent(self._remembered)
        except BufferDown:
            return  # it has said so itself
        for reading in earlier:
            self._recent.add(reading)
        self._recalled = True

    def hold(self) -> None:
        """Look for nothing until `look`: it is not known yet what an earlier run found."""
        self._held = {}

    def look(self) -> None:
        """Look from now on, beginning with the newest value of each tag."""
        held, self._held = self._held, None
        if held:
            self._observe(list(held.values()))

    async def watch(
        self, link: TagLink, took: Callable[[], None] = lambda: None, *, again: bool = False
    ) -> None:
        """Take in what one link delivers, until cancelled; `took` is told after each batch.

        again: its source delivers a second time what it does not know to be kept.
        """
        async for batch in link.readings():
            self.take(batch, link, again=again)
            took()

    def take(self, batch: Sequence[Reading], link: TagLink | None = None, *, again: bool = False) -> None:
        """Detect in a batch and queue it for the store; `link` is told when it is safe.

        A batch that cannot be taken in counts as dropped, and the link need not keep it; the error goes on.
        """
        fresh = batch
        try:
            fresh = [reading for reading in batch if not self._seen(reading)]
            if again or self._held is not None:
                fresh = [reading for reading in fresh if self._recent.add(reading)]
            self._observe(batch)
        except Exception as problem:
            # Its source must not wait for it for ever, nor deliver again and again what ends us each time.
            self.forward.drop(fresh, batch, link, f"a batch could not be taken in: {problem!r}")
            raise
        self.taken_in += len(fresh)
        self.forward.put(fresh, batch, link, again=again)

    def _observe(self, batch: Sequence[Reading]) -> None:
        if self._held is not None:
            self._held.update((reading.tag.path, reading) for reading in batch)
            return
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
