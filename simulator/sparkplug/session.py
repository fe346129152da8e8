"""What an edge node says, message by message: births, data and deaths with their sequence numbers and aliases.

It sends nothing and has no clock of its own. The plant is the edge node, each equipment one of its devices; metrics of
the node itself are ``Node Control/Rebirth``, ``bdSeq`` and what the plant tells of itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from simulator.equipment import Equipment, Signal
from simulator.mqtt.client import Outgoing
from simulator.sparkplug.wire_format import (
    DataType,
    Metric,
    Payload,
    Property,
    decode,
    encode,
    signed,
)
from simulator.voices import PlantState, Shown
from simulator.writes import Scalar

NAMESPACE: Final = "spBv1.0"
REBIRTH: Final = "Node Control/Rebirth"
BD_SEQ: Final = "bdSeq"
NODE: Final = "Plant"
"""Stands for the node itself where a device is asked for; the plant's own variables have it in their paths."""

QUALITY_BAD: Final = 0

_ID = re.compile(r"[^/+#\x00]+")
_TYPES: Final = {
    "Double": DataType.Double,
    "Float": DataType.Float,
    "Int32": DataType.Int32,
    "UInt32": DataType.UInt32,
    "UInt64": DataType.UInt64,
    "Boolean": DataType.Boolean,
    "String": DataType.String,
    "DateTime": DataType.DateTime,
}


class CommandRefused(ValueError):
    """A command that this node does not carry out. The message says why."""


def parse_node(text: str) -> tuple[str, str]:
    """Group and node of ``GROUP/NODE``. ``ValueError`` for anything else."""
    group, slash, node = text.partition("/")
    if not slash or _ID.fullmatch(group) is None or _ID.fullmatch(node) is None:
        raise ValueError(f"GROUP/NODE such as plant/line1 was expected, without + and #, found {text!r}")
    return group, node


class EdgeSession:
    """``connecting`` before each connection, then ``births``, then ``data`` for what has changed."""

    def __init__(self, state: PlantState, group: str, node: str, now_ms: Callable[[], int]) -> None:
        self._state = state
        self._group = group
        self._node = node
        self._now_ms = now_ms
        self._bd_seq = 255
        self._seq = 255
        self._paths: dict[int, str] = {}
        self._aliases: dict[str, int] = {}
        self.shift = 0
        """How many metrics further each alias has moved (``alias_reuse``)."""
        self.sharing: set[str] = set()
        """Devices whose birth gives one alias to two metrics (``alias_reuse``)."""
        self.wrong: set[str] = set()
        """Paths whose data are strings (``wrong_type``)."""

    # ── messages out ──────────────────────────────────────────────────────────────────────────────────────

    def connecting(self) -> Outgoing:
        """The will of the next connection: the node's death, with a bdSeq one on, 0 after 255."""
        self._bd_seq = (self._bd_seq + 1) % 256
        return self.node_death()

    def node_death(self) -> Outgoing:
        """The death of this session, as in its will."""
        payload = Payload(timestamp_ms=self._now_ms(), metrics=(self._bd_seq_metric(None),))
        return Outgoing(topic=self.topic("NDEATH"), payload=encode(payload), qos=1)

    def births(self) -> Iterator[Outgoing]:
        """The birth of the node with ``seq`` 0, then those of all devices; aliases are given anew."""
        self._give_aliases()
        self._seq = 255
        now_ms = self._now_ms()
        control = Metric(name=REBIRTH, timestamp_ms=now_ms, datatype=DataType.Boolean, value=False)
        own = (self._birth_metric(NODE, variable) for variable in self._state.variables)
        yield self._message("NBIRTH", "", (self._bd_seq_metric(now_ms), control, *own))
        for equipment in self._state.equipment.values():
            yield self._device_birth(equipment)

    def _device_birth(self, equipment: Equipment) -> Outgoing:
        metrics = [self._birth_metric(equipment.name, signal) for signal in equipment.signals]
        return self._message("DBIRTH", equipment.name, metrics)

    def device_death(self, device: str) -> Outgoing:
        """The death of a device: a sequence number and no metrics."""
        return self._message("DDEATH", device, ())

    def data(self, device: str, changed: Iterable[tuple[str, Shown]]) -> Outgoing:
        """What has changed at a device, or at the node (``NODE``), by alias and without a type."""
        metrics = [self._data_metric(path, shown) for path, shown in changed]
        return self._message(
            "NDATA" if device == NODE else "DDATA", "" if device == NODE else device, metrics
        )

    def topic(self, kind: str, device: str = "") -> str:
        """The topic of a message of this node, or of one of its devices."""
        return f"{NAMESPACE}/{self._group}/{kind}/{self._node}" + (f"/{device}" if device else "")

    def _message(self, kind: str, device: str, metrics: Iterable[Metric]) -> Outgoing:
        self._seq = (self._seq + 1) % 256
        payload = Payload(timestamp_ms=self._now_ms(), metrics=tuple(metrics), seq=self._seq)
        return Outgoing(topic=self.topic(kind, device), payload=encode(payload))

    def _give_aliases(self) -> None:
        paths = [f"{NODE}/{variable.name}" for variable in self._state.variables]
        for equipment in self._state.equipment.values():
            paths.extend(f"{equipment.name}/{signal.name}" for signal in equipment.signals)
        count = len(paths)
        self._aliases = {path: 1 + (number + self.shift) % count for number, path in enumerate(paths)}
        self._paths = {alias: path for path, alias in self._aliases.items()}

    def _bd_seq_metric(self, at_ms: int | None) -> Metric:
        return Metric(name=BD_SEQ, timestamp_ms=at_ms, datatype=DataType.Int64, value=self._bd_seq)

    def _birth_metric(self, device: str, signal: Signal) -> Metric:
        path = f"{device}/{signal.name}"
        shown = self._state.shown(path)
        alias = self._aliases[path]
        if device in self.sharing:
            main = self._state.equipment[device].main_signal
            other = next(one for one in self._state.equipment[device].signals if one is not main)
            alias = self._aliases[f"{device}/{main.name}"] if signal is other else alias
        return Metric(
            name=signal.name,
            alias=alias,
            timestamp_ms=_ms(shown.source_utc),
            datatype=_TYPES[signal.data_type],
            value=_value(shown.value),
            is_null=not shown.good,
            properties=dict(_properties(signal)) | _quality(shown),
        )

    def _data_metric(self, path: str, shown: Shown) -> Metric:
        wrong = path in self.wrong
        signal = self._signal(path)
        return Metric(
            alias=self._aliases[path],
            timestamp_ms=_ms(shown.source_utc),
            datatype=DataType.String if wrong else _TYPES[signal.data_type],
            value=f"about {shown.value}" if wrong else _value(shown.value),
            is_null=not shown.good and not wrong,
            properties=_quality(shown),
            tells_type=wrong,
        )

    def _signal(self, path: str) -> Signal:
        device, _, name = path.partition("/")
        signals = self._state.variables if device == NODE else self._state.equipment[device].signals
        return next(signal for signal in signals if signal.name == name)

    # ── commands in ───────────────────────────────────────────────────────────────────────────────────────

    def command(self, data: bytes, device: str) -> Iterator[tuple[str, Scalar] | CommandRefused]:
        """Each set-point and its value, or why it is refused; ``REBIRTH`` stands for itself with ``True``.

        ``device`` is ``NODE`` for a command to the node. Raises ``ValueError`` for bytes that are no command.
        """
        payload = decode(data)
        if payload.seq is not None:
            raise CommandRefused("a command must not carry seq")
        if payload.timestamp_ms is None:
            raise CommandRefused("a command must carry a timestamp")
        for metric in payload.metrics:
            try:
                yield self._target(metric, device)
            except CommandRefused as refused:
                yield refused

    def _target(self, metric: Metric, device: str) -> tuple[str, Scalar]:
        if metric.name == REBIRTH and device == NODE:
            if metric.datatype not in (None, DataType.Boolean) or metric.value is not True:
                raise CommandRefused(f"{REBIRTH} wants the Boolean true, found {metric.value!r}")
            return REBIRTH, True
        path = f"{device}/{metric.name}" if metric.alias is None else self._paths.get(metric.alias, "")
        if path not in self._aliases or not path.startswith(f"{device}/"):
            raise CommandRefused(f"{device} has no metric {metric.name or metric.alias!r}")
        if metric.name not in (None, path.removeprefix(f"{device}/")):
            raise CommandRefused(f"alias {metric.alias} is {path}, not {metric.name}")
        return path, _wanted_value(metric, path, _TYPES[self._signal(path).data_type])


def _wanted_value(metric: Metric, path: str, announced: DataType) -> Scalar:
    """The value of a command, if it came in the type that the birth announced."""
    if metric.is_null or metric.value is None:
        raise CommandRefused(f"{path} cannot be set to null")
    if metric.datatype not in (None, announced):
        raise CommandRefused(f"{path} is {announced.name}, the command says data type {metric.datatype}")
    value, field = metric.value, metric.field
    if metric.datatype is None:
        # without a type the field on the wire has to be the one of the announced type
        expected = Metric(datatype=announced, value=value, field=field)
        field = decode(encode(Payload(metrics=(expected,)))).metrics[0].field
    if field is not None:
        raise CommandRefused(f"{path} is {announced.name}, the value came as {field}")
    if announced is DataType.Int32 and isinstance(value, int):
        value = signed(value, announced)
    if not isinstance(value, bool | int | float | str):
        raise CommandRefused(f"{path} cannot be set to {type(value).__name__}")
    return value


def _properties(signal: Signal) -> Iterator[tuple[str, Property]]:
    if signal.unit is not None:
        yield "engUnit", Property(datatype=DataType.String, value=signal.unit)
    for key, bound in (("engLow", signal.low), ("engHigh", signal.high)):
        if bound is not None:
            yield key, Property(datatype=DataType.Double, value=bound)
    if not signal.writable:
        yield "readOnly", Property(datatype=DataType.Boolean, value=True)


def _quality(shown: Shown) -> dict[str, Property]:
    """Nothing while all is good: good is what is meant without the property."""
    return {} if shown.good else {"Quality": Property(datatype=DataType.Int32, value=QUALITY_BAD)}


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _value(value: Scalar | None) -> bool | int | float | str | None:
    return _ms(value) if isinstance(value, datetime) else value
