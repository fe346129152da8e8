"""Which readings were taken in lately, to recognise one that its source delivers a second time. Pure."""

from __future__ import annotations

from datetime import datetime

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Value

Key = tuple[str, datetime, Value | None, Quality]


class RecentReadings:
    """Remembers at least the last `capacity` different readings, and at most twice as many.

    The same tag, source time, value and quality is the same reading, whenever it arrives.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._newer: set[Key] = set()
        self._older: set[Key] = set()

    def add(self, reading: Reading) -> bool:
        """Remember a reading; False when it was known."""
        value = reading.value
        if value != value:  # NaN is never equal to itself, and the same reading all the same
            value = "NaN"
        key = (reading.tag.path, reading.source_time_utc, value, reading.quality)
        if key in self._newer or key in self._older:
            return False
        if len(self._newer) >= self._capacity:
            self._newer, self._older = set(), self._newer
        self._newer.add(key)
        return True
