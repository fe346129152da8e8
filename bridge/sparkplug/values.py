"""Values between Python and the fields of the wire, by data type: exact, or refused with the reason.

Signed integers travel in unsigned fields as two's complement. We write the width of the field, as the reference
implementation does; senders differ, so 8, 16, 32 and 64 bits are all understood. Arrays are packed little-endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import cast

from bridge.sparkplug.types import Array, DataSet, MetricType, MetricValue, Template

FLOAT_MAX = 3.4028234663852886e38  # largest finite IEEE 754 binary32
_T = MetricType

SIGNED_BITS: Mapping[MetricType, int] = {_T.INT8: 8, _T.INT16: 16, _T.INT32: 32, _T.INT64: 64}
UNSIGNED_BITS: Mapping[MetricType, int] = {
    _T.UINT8: 8,
    _T.UINT16: 16,
    _T.UINT32: 32,
    _T.UINT64: 64,
    _T.DATETIME: 64,
}
TEXTS = frozenset({_T.STRING, _T.TEXT, _T.UUID})
BINARIES = frozenset({_T.BYTES, _T.FILE})
CELLS = frozenset(list(MetricType)[: _T.TEXT.number])
"""The basic types: what cells of a data set and parameters of a template may have."""

_ARRAYS: Mapping[MetricType, tuple[str, MetricType]] = {
    _T.INT8_ARRAY: ("b", _T.INT8),
    _T.INT16_ARRAY: ("h", _T.INT16),
    _T.INT32_ARRAY: ("i", _T.INT32),
    _T.INT64_ARRAY: ("q", _T.INT64),
    _T.UINT8_ARRAY: ("B", _T.UINT8),
    _T.UINT16_ARRAY: ("H", _T.UINT16),
    _T.UINT32_ARRAY: ("I", _T.UINT32),
    _T.UINT64_ARRAY: ("Q", _T.UINT64),
    _T.FLOAT_ARRAY: ("f", _T.FLOAT),
    _T.DOUBLE_ARRAY: ("d", _T.DOUBLE),
    _T.DATETIME_ARRAY: ("Q", _T.DATETIME),
}


def _field(kind: MetricType) -> str:
    if kind in SIGNED_BITS or kind in UNSIGNED_BITS:
        bits = SIGNED_BITS.get(kind) or UNSIGNED_BITS[kind]
        return "int_value" if bits <= 32 else "long_value"
    if kind in TEXTS:
        return "string_value"
    return {
        _T.FLOAT: "float_value",
        _T.DOUBLE: "double_value",
        _T.BOOLEAN: "boolean_value",
        _T.DATASET: "dataset_value",
        _T.TEMPLATE: "template_value",
        _T.PROPERTY_SET: "propertyset_value",
        _T.PROPERTY_SET_LIST: "propertysets_value",
    }.get(kind, "bytes_value")


FIELDS: Mapping[MetricType, str] = {kind: _field(kind) for kind in MetricType}
"""Which alternative of `oneof value` carries a type."""


def bounds(kind: MetricType) -> tuple[int, int] | None:
    """Least and greatest value of an integer type, DateTime included; None for all others."""
    if kind in SIGNED_BITS:
        half = 1 << SIGNED_BITS[kind] - 1
        return -half, half - 1
    return (0, (1 << UNSIGNED_BITS[kind]) - 1) if kind in UNSIGNED_BITS else None


def wired(value: MetricValue, kind: MetricType) -> bool | int | float | str | bytes:
    """A scalar, binary or array value as its field carries it; ValueError says what was wanted instead."""
    limits = bounds(kind)
    if limits is not None:
        if not isinstance(value, int) or isinstance(value, bool) or not limits[0] <= value <= limits[1]:
            raise ValueError(f"wanted {kind} from {limits[0]} to {limits[1]}, found {shown(value)}")
        return value if value >= 0 else value + (1 << (64 if kind is _T.INT64 else 32))
    if kind in (_T.FLOAT, _T.DOUBLE):
        return _wired_float(value, kind)
    if kind is _T.BOOLEAN and isinstance(value, bool):
        return value
    if kind in TEXTS and isinstance(value, str):
        return value
    if kind in BINARIES and isinstance(value, bytes):
        return value
    if kind.endswith("Array") and value.__class__ is tuple:
        return _packed(cast(Sequence[object], value), kind)
    raise ValueError(f"wanted {kind}, found {shown(value)}")


def typed(carried: MetricValue, kind: MetricType) -> MetricValue:
    """What a field carried, read as a value of this type; ValueError when it cannot be one.

    `carried` is the bare content of the field: an unsigned integer for every integer type, bytes for arrays, and
    bytes also for a text that is not UTF-8.
    """
    if isinstance(carried, bool):
        if kind is _T.BOOLEAN:
            return carried
    elif isinstance(carried, int):
        if kind in SIGNED_BITS:
            return _signed(carried, kind)
        if kind in UNSIGNED_BITS:
            if carried >> UNSIGNED_BITS[kind]:
                raise ValueError(f"{carried} is too large for {kind}")
            return carried
    elif isinstance(carried, float):
        if kind in (_T.FLOAT, _T.DOUBLE):
            return carried
    elif isinstance(carried, str):
        if kind in TEXTS:
            return carried
    elif isinstance(carried, bytes):
        if kind in BINARIES:
            return carried
        if kind in TEXTS:
            raise ValueError(f"a {kind} that is not UTF-8, {len(carried)} bytes")
        if kind.endswith("Array"):
            return _unpacked(carried, kind)
    elif (isinstance(carried, DataSet) and kind is _T.DATASET) or (
        isinstance(carried, Template) and kind is _T.TEMPLATE
    ):
        return carried
    raise ValueError(f"wanted {kind}, found {shown(carried)}")


def shown(value: object) -> str:
    """A value for an error text: its Python type, and itself where that is short."""
    text = repr(value)
    return (
        f"{type(value).__name__} {text}"
        if len(text) <= 60
        else f"{type(value).__name__} of {len(text)} characters"
    )


def _signed(carried: int, kind: MetricType) -> int:
    half = 1 << SIGNED_BITS[kind] - 1
    if carried < half:
        return carried
    for width in (2 * half, 1 << 32, 1 << 64):
        if width - half <= carried < width:
            return carried - width
    raise ValueError(f"{carried} is too large for {kind}")


def _wired_float(value: MetricValue, kind: MetricType) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"wanted {kind}, found {shown(value)}")
    try:
        number = float(value)
    except OverflowError as problem:
        raise ValueError(f"wanted {kind}, found {shown(value)}") from problem
    if kind is _T.FLOAT and math.isfinite(number) and abs(number) > FLOAT_MAX:
        raise ValueError(f"wanted {kind} within ±{FLOAT_MAX:g}, found {number!r}")
    return number


def _packed(items: Sequence[object], kind: MetricType) -> bytes:
    if kind is _T.STRING_ARRAY:
        for item in items:
            if not isinstance(item, str) or "\0" in item:
                raise ValueError(f"wanted texts without NUL for {kind}, found {shown(item)}")
        return b"".join(cast(str, item).encode() + b"\0" for item in items)
    if kind is _T.BOOLEAN_ARRAY:
        for item in items:
            if not isinstance(item, bool):
                raise ValueError(f"wanted booleans for {kind}, found {shown(item)}")
        bits = bytearray((len(items) + 7) // 8)
        for place, item in enumerate(items):
            if item:
                bits[place >> 3] |= 0x80 >> (place & 7)  # the first value is the highest bit
        return struct.pack("<I", len(items)) + bytes(bits)
    code, element = _ARRAYS[kind]
    for item in items:
        wired(cast(MetricValue, item), element)
    return struct.pack(f"<{len(items)}{code}", *items)


def _unpacked(data: bytes, kind: MetricType) -> Array:
    if kind is _T.STRING_ARRAY:
        if data and not data.endswith(b"\0"):
            raise ValueError(f"the last text of a {kind} does not end")
        try:
            return tuple(item.decode() for item in data.split(b"\0")[:-1])
        except UnicodeDecodeError as problem:
            raise ValueError(f"a {kind} with a text that is not UTF-8") from problem
    if kind is _T.BOOLEAN_ARRAY:
        count = struct.unpack_from("<I", data)[0] if len(data) >= 4 else -1
        if len(data) != 4 + (count + 7) // 8:
            raise ValueError(f"a {kind} of {len(data)} bytes that announces {count} values")
        return tuple(bool(data[4 + (place >> 3)] & (0x80 >> (place & 7))) for place in range(count))
    code, _ = _ARRAYS[kind]
    size = struct.calcsize(f"<{code}")
    if len(data) % size:
        raise ValueError(f"a {kind} of {len(data)} bytes, which is no multiple of {size}")
    return struct.unpack(f"<{len(data) // size}{code}", data)
