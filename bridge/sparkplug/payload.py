"""Payloads as bytes: the codec over the protobuf runtime, and the only module that knows it.

Nothing generated: the descriptor is built from `schema`. What cannot be read of one metric is said in that
metric's `problem` and spoils no other; only bytes that are no payload at all are refused as a whole.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bridge.errors import PayloadError
from bridge.sparkplug import schema
from bridge.sparkplug.from_wire import OTHER_FIELD, metric_of, quality_code, text_of, value_of
from bridge.sparkplug.to_wire import put_metric, uint64
from bridge.sparkplug.types import NUMBERS, TYPES, Metric, MetricType, MetricValue, Payload
from bridge.sparkplug.values import FIELDS, TEXTS, bounds

MAX_BYTES = 4 * 2**20


def _message_class() -> Any:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="sparkplug_b.proto", package=schema.PACKAGE, syntax="proto2"
    )
    made: dict[str, Any] = {}
    for path, fields in schema.MESSAGES.items():
        parent, _, name = path.rpartition(".")
        message = made[path] = made[parent].nested_type.add() if parent else file.message_type.add()
        message.name = name
        if any(field.in_value for field in fields):
            message.oneof_decl.add(name="value")
        for field in fields:
            entry = message.field.add(name=field.name, number=field.number)
            entry.label = kinds.LABEL_REPEATED if field.repeated else kinds.LABEL_OPTIONAL
            if field.kind in schema.MESSAGES:
                entry.type = kinds.TYPE_MESSAGE
                entry.type_name = f".{schema.PACKAGE}.{field.kind}"
            else:
                entry.type = kinds.Type.Value(f"TYPE_{field.kind.upper()}")
            if field.in_value:
                entry.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{schema.PACKAGE}.Payload"))


_Message = _message_class()


class Known(NamedTuple):
    """What a birth said of a metric, prepared for reading the data that follow it; see `known`.

    `handle` is the reader's own number for it; below zero means nobody wants it, and it is skipped unread.
    A value of `python` below `top` (None: any) in `field` is what it stands for; others are looked at closely.
    """

    name: str
    type: MetricType
    handle: int
    number: int
    field: str
    python: builtins.type | None
    top: int | None


def known(name: str, kind: MetricType, handle: int) -> Known:
    """Prepare for data of a metric that a birth announced."""
    limits = bounds(kind)
    scalar = {MetricType.FLOAT: float, MetricType.DOUBLE: float, MetricType.BOOLEAN: bool}.get(kind)
    python: type | None = int if limits else str if kind in TEXTS else scalar
    return Known(name, kind, handle, NUMBERS[kind], FIELDS[kind], python, limits[1] + 1 if limits else None)


class Change(NamedTuple):
    """What one message of data says about one wanted metric.

    `value` is None when it is null, and when `problem` says why it could not be taken as the birth's type;
    `retyped` is then True where the message says or shows another type than the birth. `quality` is the number
    of the property Quality, None when none came along (which means good).
    """

    known: Known
    timestamp_ms: int | None
    value: MetricValue | None
    is_historical: bool
    quality: int | None
    problem: str
    retyped: bool


class Received:
    """A payload that was checked and not yet unfolded, so that nothing is built that nobody wants."""

    __slots__ = ("_message", "qualified", "seq", "size", "timestamp_ms")

    def __init__(self, data: bytes, *, max_bytes: int = MAX_BYTES) -> None:
        if len(data) > max_bytes:
            raise PayloadError(
                f"a payload of {len(data)} bytes was refused unread; allowed are {max_bytes} (max_message_bytes)"
            )
        try:
            message = _Message.FromString(data)
        except DecodeError as problem:
            raise PayloadError(
                f"{len(data)} bytes are no Sparkplug B payload: garbage or cut short"
            ) from problem
        self._message = message
        self.qualified = b"Quality" in data
        self.size = len(data)
        time_ms, seq = message.timestamp, message.seq
        self.timestamp_ms: int | None = time_ms if time_ms or message.HasField("timestamp") else None
        self.seq: int | None = seq if seq or message.HasField("seq") else None

    def metrics(self) -> Iterator[Metric]:
        """Every metric, whole."""
        return (metric_of(entry, 0) for entry in self._message.metrics)

    def announced(self) -> Iterator[tuple[str | bytes, int | None, Callable[[], Metric]]]:
        """Of every metric the name (bytes when it is not UTF-8), the alias, and the way to have it whole.

        So a birth of tens of thousands of metrics costs only what of it is wanted.
        """
        for entry in self._message.metrics:
            alias = entry.alias
            yield (
                entry.name,
                alias if alias or entry.HasField("alias") else None,
                functools.partial(metric_of, entry, 0),
            )

    @property
    def entries(self) -> Iterable[Any]:
        """The metrics as the runtime has them, for the one loop that cannot afford anything else."""
        return self._message.metrics  # type: ignore[no-any-return]

    def change(self, entry: Any, metric: Known) -> Change:
        """What one of the entries says about a wanted metric."""
        kind = metric.type
        problem, retyped = "", False
        value: MetricValue | None = None
        told = entry.datatype
        if told and told != metric.number:
            retyped = True
            problem = f"its birth announced {kind}, and this is {TYPES.get(told, f'type {told}')}"
        elif not entry.is_null:
            value, problem = value_of(entry, kind, 0)
            retyped = problem.startswith(OTHER_FIELD)
        qualified = self.qualified and entry.HasField("properties")
        quality = quality_code(entry) if qualified else None
        return Change(metric, entry.timestamp or None, value, entry.is_historical, quality, problem, retyped)


def decode(data: bytes, *, max_bytes: int = MAX_BYTES) -> Payload:
    """All that a payload says. PayloadError for more than `max_bytes` (unread) and for what is no payload."""
    received = Received(data, max_bytes=max_bytes)
    message = received._message
    uuid = text_of(message, "uuid")
    return Payload(
        received.timestamp_ms,
        tuple(received.metrics()),
        received.seq,
        uuid,
        message.body if message.HasField("body") else None,
    )


def encode(payload: Payload, *, with_types: bool = True) -> bytes:
    """The bytes of a payload; PayloadError names the metric and what was wanted instead.

    with_types: False leaves the data types out, as they may be in data and commands; the value is still carried in
    the field of its type.
    """
    message = _Message()
    try:
        if payload.timestamp_ms is not None:
            message.timestamp = uint64(payload.timestamp_ms, "timestamp")
        if payload.seq is not None:
            if not 0 <= payload.seq <= 255:
                raise ValueError(f"seq: wanted 0 to 255, found {payload.seq}")
            message.seq = payload.seq
        if payload.uuid is not None:
            message.uuid = payload.uuid
        if payload.body is not None:
            message.body = payload.body
        for metric in payload.metrics:
            put_metric(message.metrics.add(), metric, with_types)
        return bytes(message.SerializeToString())
    except ValueError as problem:  # a text that is not Unicode is one of these too
        raise PayloadError(f"cannot be encoded: {problem}") from problem
