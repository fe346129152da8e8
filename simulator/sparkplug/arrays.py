"""Sparkplug's array types, which travel packed in the bytes of a metric, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from simulator.sparkplug.wire_format import DataType, WireError

Item = bool | int | float | str

_LETTERS: Final = {
    DataType.Int8Array: "b",
    DataType.Int16Array: "h",
    DataType.Int32Array: "i",
    DataType.Int64Array: "q",
    DataType.UInt8Array: "B",
    DataType.UInt16Array: "H",
    DataType.UInt32Array: "I",
    DataType.UInt64Array: "Q",
    DataType.FloatArray: "f",
    DataType.DoubleArray: "d",
    DataType.DateTimeArray: "Q",
}


def pack(datatype: DataType, items: Sequence[Item]) -> bytes:
    """Numbers one after the other; strings with a zero behind each; flags as count and bits, highest first."""
    if datatype is DataType.StringArray:
        return b"".join(str(item).encode() + b"\0" for item in items)
    if datatype is DataType.BooleanArray:
        bits = bytearray((len(items) + 7) // 8)
        for place, item in enumerate(items):
            bits[place // 8] |= 0x80 >> place % 8 if item else 0
        return struct.pack("<I", len(items)) + bytes(bits)
    try:
        return struct.pack(f"<{len(items)}{_LETTERS[datatype]}", *items)
    except (KeyError, struct.error) as error:
        raise WireError(f"{datatype!r} cannot carry {items!r}: {error}") from error


def unpack(datatype: DataType, data: bytes) -> tuple[Item, ...]:
    """The items in these bytes. ``WireError`` where they do not come out even."""
    if datatype is DataType.StringArray:
        if data and not data.endswith(b"\0"):
            raise WireError("the last string has no zero behind it")
        try:
            return tuple(one.decode() for one in data.split(b"\0")[:-1])
        except UnicodeDecodeError as error:
            raise WireError(f"a string is no UTF-8: {error}") from error
    if datatype is DataType.BooleanArray:
        if len(data) < 4 or len(data) - 4 != (struct.unpack_from("<I", data)[0] + 7) // 8:
            raise WireError(f"{len(data)} bytes are no array of flags")
        count = struct.unpack_from("<I", data)[0]
        return tuple(bool(data[4 + place // 8] & 0x80 >> place % 8) for place in range(count))
    letter = _LETTERS.get(datatype)
    if letter is None or len(data) % struct.calcsize(f"<{letter}"):
        raise WireError(f"{len(data)} bytes are no array of {datatype!r}")
    return struct.unpack(f"<{len(data) // struct.calcsize(f'<{letter}')}{letter}", data)
