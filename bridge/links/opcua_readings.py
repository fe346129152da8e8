"""OPC UA DataValues as readings: the one loop that runs tens of thousands of times a second.

The objects come from the client library and are taken as they are, by attribute, so that no library type
needs to be known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag
from bridge.links.freshness import Freshness

_OVERFLOW_BITS = 0x0480  # OPC 10000-4 §7.39.1: InfoType DataValue with Overflow
_PLAIN = frozenset({bool, int, float, str})
_NO_TIME_UTC = datetime(1601, 1, 2, tzinfo=UTC)  # servers without a clock send the epoch of OPC UA, 1601


class StatusBook(dict[int, tuple[Quality, str]]):
    """Quality and name per status code; a dictionary, since the decoder asks once per value."""

    def __init__(self, name_of: Callable[[int], str]) -> None:
        super().__init__()
        self._name_of = name_of

    def __missing__(self, code: int) -> tuple[Quality, str]:
        # The two top bits are the severity, the lower 16 are flags that do not change the name.
        quality = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.BAD)[code >> 30 & 3]
        self[code] = (quality, self._name_of(code & 0xFFFF0000))
        return self[code]


def to_reading(
    tag: Tag, data: Any, statuses: StatusBook, received_utc: datetime, replayed: bool, confirmed: bool
) -> Reading:
    """One DataValue as a reading; quality and time are the server's, never ours when it gave any."""
    quality, name = statuses[data.StatusCode.value]
    value: Any = None if data.Value is None else data.Value.Value
    if value.__class__ not in _PLAIN:
        if quality is Quality.GOOD:
            # Without a value there is nothing to trust, whatever the status says.
            quality, name = Quality.BAD, "BadNoData" if value is None else "BadTypeMismatch"
        value = None
    time_utc = data.SourceTimestamp or data.ServerTimestamp or received_utc
    if time_utc < _NO_TIME_UTC:
        time_utc = received_utc
    return Reading(tag, value, quality, time_utc, received_utc, name, replayed, confirmed)


def to_readings(
    items: Sequence[Any],
    statuses: StatusBook,
    freshness: Freshness,
    *,
    now_s: float,
    received_utc: datetime,
    replayed: bool,
) -> list[Reading]:
    """The items of one DataChangeNotification, in order; enters them into `freshness` on the way."""
    tags, latest, notified_s, bad = freshness.tags, freshness.latest, freshness.notified_s, freshness.bad
    batch: list[Reading] = []
    for item in items:
        handle = item.ClientHandle
        data = item.Value
        reading = to_reading(tags[handle], data, statuses, received_utc, replayed, False)
        batch.append(reading)
        latest[handle] = reading
        notified_s[handle] = now_s
        if reading[2] is not Quality.GOOD:
            bad[handle] = reading[5]
        elif bad and handle in bad:
            del bad[handle]
        if data.StatusCode.value & _OVERFLOW_BITS == _OVERFLOW_BITS:
            freshness.overflowed += 1
    return batch
