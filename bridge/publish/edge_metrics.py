"""Published nodes as Sparkplug metrics: where each one lives, what it is called, and what a change of it is. Pure.

Each piece of equipment is a device, everything else belongs to the node itself. A metric's name is the path
below its device: `Equipment/REACTOR_02/Recommendation/Id` is `Recommendation/Id` of device `REACTOR_02`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from bridge.domain.reading import Quality
from bridge.publish.nodes import Node
from bridge.sparkplug.types import Metric, MetricType, PropertySet, PropertyValue

BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"

BAD, GOOD, STALE = 0, 192, 500
"""The property `Quality` as the specification counts it; STALE is a last value while the database is away."""

_QUALITIES = {Quality.GOOD: GOOD, Quality.UNCERTAIN: STALE, Quality.BAD: BAD}
_DERIVED = frozenset({"SnapshotAt", "HeartbeatAgeS", "AgeS", "ExpiresInS"})
_EQUIPMENT = "Equipment/"

Scalar = bool | int | float | str | None


class Place(NamedTuple):
    """Where a metric lives: `device` is empty for the node's own."""

    device: str
    name: str

    @property
    def derived(self) -> bool:
        """Whether it only says how long ago another metric's time was: changes of it are not kept for later."""
        return self.name.rpartition("/")[2] in _DERIVED


class Shown(NamedTuple):
    """A metric as it is now. `value` of a DateTime is milliseconds since 1970; None is null."""

    type: MetricType
    value: Scalar
    quality: int
    timestamp_ms: int
    unit: str
    description: str
    ever_read: bool


class Change(NamedTuple):
    """One new value or quality of one metric. `id` is its number in the outbox; 0: not kept there."""

    place: Place
    type: MetricType
    value: Scalar
    quality: int
    timestamp_ms: int
    id: int = 0


def place_of(path: str) -> Place:
    """Where a node's path lives. What no MQTT topic can carry is written as the path writes a slash: %2B, %23."""
    if not path.startswith(_EQUIPMENT):
        return Place("", path)
    device, _, name = path.removeprefix(_EQUIPMENT).partition("/")
    return Place(device.replace("+", "%2B").replace("#", "%23"), name)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970, exactly."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def shown(node: Node, before: Shown | None, now_ms: int) -> Shown:
    """A node as a metric. Its time never goes back: a value that is older than the one it replaces arises now."""
    value = milliseconds(node.value) if isinstance(node.value, datetime) else node.value
    quality = _QUALITIES[node.quality]
    if before is not None and (before.value, before.quality) == (value, quality):
        return before
    at_ms = now_ms if node.source_time_utc is None else milliseconds(node.source_time_utc)
    if before is not None and at_ms <= before.timestamp_ms:
        at_ms = max(now_ms, before.timestamp_ms + 1)
    read = quality != BAD or (before is not None and before.ever_read)
    return Shown(MetricType(node.type.value), value, quality, at_ms, node.unit, node.description, read)


def birth_metric(name: str, alias: int, metric: Shown) -> Metric:
    """A metric as its birth announces it. Nothing can be written, and it says so."""
    properties = {
        "Quality": PropertyValue(MetricType.INT32, metric.quality),
        "readOnly": PropertyValue(MetricType.BOOLEAN, True),
        "Documentation": PropertyValue(MetricType.STRING, metric.description),
    }
    if metric.unit:
        properties["engUnit"] = PropertyValue(MetricType.STRING, metric.unit)
    return Metric(
        name=name,
        alias=alias,
        timestamp_ms=metric.timestamp_ms,
        type=metric.type,
        value=metric.value,
        is_null=metric.value is None,
        properties=properties,
    )


def data_metric(alias: int, change: Change, *, historical: bool) -> Metric:
    """A change, by the alias of the birth."""
    quality: PropertySet = {"Quality": PropertyValue(MetricType.INT32, change.quality)}
    return Metric(
        alias=alias,
        timestamp_ms=change.timestamp_ms,
        type=change.type,
        value=change.value,
        is_null=change.value is None,
        is_historical=historical,
        is_transient=change.place.derived,
        properties=quality,
    )
