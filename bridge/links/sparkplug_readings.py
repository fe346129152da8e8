"""Metrics as readings: which time, which quality, and what a tag can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Tag, Value
from bridge.links.sparkplug_effects import Effects, utc
from bridge.sparkplug.payload import Change, Known, Received
from bridge.sparkplug.types import MetricType

NOT_CONNECTED = "BadNotConnected"
NO_DATA = "BadNoData"
WRONG_TYPE = "BadTypeMismatch"
NOT_ANNOUNCED = "BadNodeIdUnknown"
STALE = "BadNoCommunication"
LAST_KNOWN = "UncertainLastUsableValue"
ODD_TIME = "UncertainSourceTime"

EARLIEST_MS = 946_684_800_000  # 2000-01-01: a clock before that was never set
_STALE_CODE = 500  # with 0 bad and 192 good, the three codes of the specification
_GOOD_CODE, _UNCERTAIN_CODE = 192, 64  # others follow the OPC quality byte, as many gateways send it

METRIC_TYPES: Mapping[DataType, MetricType] = {
    DataType.BOOLEAN: MetricType.BOOLEAN,
    DataType.SBYTE: MetricType.INT8,
    DataType.BYTE: MetricType.UINT8,
    DataType.INT16: MetricType.INT16,
    DataType.UINT16: MetricType.UINT16,
    DataType.INT32: MetricType.INT32,
    DataType.UINT32: MetricType.UINT32,
    DataType.INT64: MetricType.INT64,
    DataType.UINT64: MetricType.UINT64,
    DataType.FLOAT: MetricType.FLOAT,
    DataType.DOUBLE: MetricType.DOUBLE,
    DataType.STRING: MetricType.STRING,
}
"""What a metric has to be announced as, for a tag of this type to be written through it."""

_TEXTS = frozenset({MetricType.STRING, MetricType.TEXT, MetricType.UUID})
_NUMBERS = frozenset({*METRIC_TYPES.values(), MetricType.DATETIME} - {MetricType.BOOLEAN, MetricType.STRING})


def can_hold(tag: Tag, kind: MetricType) -> bool:
    """Whether values of a metric can be readings of a tag: numbers, booleans and texts each for their own."""
    if tag.data_type is DataType.BOOLEAN:
        return kind is MetricType.BOOLEAN
    return kind in (_TEXTS if tag.data_type is DataType.STRING else _NUMBERS)


def quality_of(code: int | None, value: Value | None) -> tuple[Quality, str]:
    """The quality of a value by the code of its property Quality; None means that it came without one."""
    if code == _STALE_CODE:
        return Quality.BAD, STALE
    if value is None:
        return Quality.BAD, NO_DATA
    if code is None or _GOOD_CODE <= code < 256:
        return Quality.GOOD, "Good"
    return (Quality.UNCERTAIN, "Uncertain") if _UNCERTAIN_CODE <= code < _GOOD_CODE else (Quality.BAD, "Bad")


def source_time(time_ms: int | None, received_utc: datetime) -> datetime:
    """A metric's own time; the very object of its arrival where it has none, or one that no calendar holds."""
    if time_ms is None:
        return received_utc
    try:
        return utc(time_ms)
    except (OverflowError, OSError, ValueError):
        return received_utc


class Readings:
    """Turns what messages say into readings, and knows the latest of every tag by its handle."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self.tags = tuple(tags)
        self.latest: list[Reading | None] = [None] * len(tags)
        self._ahead_ms = [int(tag.stale_after_s * 1000) for tag in tags]

    def take_data(
        self, received: Received, announced: Mapping[int | str, Known | None], out: Effects
    ) -> tuple[list[Change], list[int | str]]:
        """Enter what a message of data says; `announced` holds the metrics of the birth by alias and by name.

        None stands there for an alias that was given twice: then the name alone is certain, where data say it.

        Gives back what is more than a value (null, historical, of some quality, not as announced), entered as well,
        and the aliases or names that nobody announced. This loop runs tens of thousands of times a second: the
        runtime's objects are taken as they are, by attribute.
        """
        odd: list[Change] = []
        unknown: list[int | str] = []
        tags, latest, ahead_ms = self.tags, self.latest, self._ahead_ms
        readings, handles = out.readings, out.handles
        now_ms, received_utc = out.now_ms, out.received_utc
        sent_ms, qualified = received.timestamp_ms, received.qualified
        good, make = Quality.GOOD, tuple.__new__  # half the price of the constructor of a NamedTuple
        last_ms: int | None = None
        time_utc = received_utc
        for entry in received.entries:
            alias = entry.alias
            told = entry.name
            metric = announced.get(alias) if alias or entry.HasField("alias") else announced.get(told)
            if metric is None or (told and told != metric[0] and metric[0]):
                named = announced.get(told) if metric is None and told and alias in announced else None
                if named is None:
                    # An alias that comes with another metric's name is as good as unknown.
                    unknown.append((told if isinstance(told, str) else ascii(told)) if told else alias)
                    continue
                metric = named
            _, _, handle, number, field, python, top = metric
            if handle < 0:
                continue
            value = getattr(entry, field)
            if (
                ((kind := entry.datatype) and kind != number)
                or value.__class__ is not python
                or (top is not None and value >= top)  # type: ignore[operator]  # numbers both
                or (not value and not entry.HasField(field))
                or entry.is_null
                or entry.is_historical
                or (qualified and entry.HasField("properties"))
            ):
                change = received.change(entry, metric)
                odd.append(change)
                self.take((change,), sent_ms, out)
                continue
            time_ms = entry.timestamp or sent_ms
            if time_ms != last_ms or time_ms is None:
                time_utc, last_ms = source_time(time_ms, received_utc), time_ms
            if time_ms is None or EARLIEST_MS <= time_ms <= now_ms + ahead_ms[handle]:
                said = (tags[handle], value, good, time_utc, received_utc, "Good", False, False)
            else:
                odd_time = (Quality.UNCERTAIN, time_utc, received_utc, ODD_TIME, False, False)
                said = (tags[handle], value, *odd_time)
            reading = make(Reading, said)
            readings.append(reading)
            handles.append(handle)
            latest[handle] = reading
        return odd, unknown

    def take(self, changes: Sequence[Change], sent_ms: int | None, out: Effects) -> None:
        """Enter what a message says of some metrics; `sent_ms` is its own time, for metrics without one.

        A time before 2000, or so far ahead that an old value would pass for a fresh one, is kept and makes the
        value uncertain: it is shown and stored, and nothing is written because of it.
        """
        now_ms, received_utc = out.now_ms, out.received_utc
        for known, own_ms, carried, is_historical, code, problem, _ in changes:
            handle = known.handle
            time_ms = sent_ms if own_ms is None else own_ms
            value: Value | None = carried  # type: ignore[assignment]  # only types that `can_hold` are taken
            quality, status = (Quality.BAD, WRONG_TYPE) if problem else quality_of(code, value)
            if status == STALE:
                value = None
            plausible = time_ms is None or EARLIEST_MS <= time_ms <= now_ms + self._ahead_ms[handle]
            if quality is Quality.GOOD and not plausible:
                quality, status = Quality.UNCERTAIN, ODD_TIME
            time_utc = source_time(time_ms, received_utc)
            reading = Reading(
                self.tags[handle], value, quality, time_utc, received_utc, status, is_historical
            )
            out.readings.append(reading)
            out.handles.append(handle)
            if not is_historical:
                self.latest[handle] = reading

    def spoil(self, handle: int, status: str, time_ms: int | None, out: Effects) -> None:
        """Say that a tag has no value any more; once, and never at a time before its latest reading."""
        before = self.latest[handle]
        if before is not None and before.status == status:
            return
        time_utc = source_time(time_ms, out.received_utc)
        if time_ms is None or time_utc > out.received_utc or (before and time_utc < before.source_time_utc):
            time_utc = out.received_utc
        reading = Reading(self.tags[handle], None, Quality.BAD, time_utc, out.received_utc, status)
        self.latest[handle] = reading
        out.readings.append(reading)
        out.handles.append(handle)
