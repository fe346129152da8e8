"""The Sparkplug B payload as bytes, written by hand: protobuf's varints, fixed and length-delimited fields.

It shares nothing with any other codec, so that two independent readings of the specification can be held against
each other. ``encode(decode(data))`` means the same as ``data``; unknown fields are skipped on the way in.

Signed integers travel in unsigned fields, two's complement. Writers differ in how wide: Int8 −1 is 255 for some and
4294967295 for others. ``encode`` writes the width of the field (32 or 64 bits), ``decode`` takes both.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from simulator.sparkplug.payload import (
    CellValue,
    DataSet,
    DataType,
    Field,
    Metric,
    MetricContent,
    Parameter,
    Payload,
    Property,
    PropertyContent,
    PropertySet,
    Template,
)

__all__ = [
    "CellValue",
    "DataSet",
    "DataType",
    "Field",
    "Metric",
    "MetricContent",
    "Parameter",
    "Payload",
    "Property",
    "PropertyContent",
    "PropertySet",
    "Template",
    "WireError",
    "decode",
    "encode",
    "fields",
    "signed",
    "varint",
]

LONGEST_VARINT: Final = 10
DEEPEST: Final = 32
"""Templates and property sets may stand in each other; deeper than this is an attack, not a payload."""


class WireError(ValueError):
    """Bytes that are no payload, or a payload that has no bytes. The message says where and why."""


_WIDTH: Final = {
    **{DataType.Int8: 8, DataType.Int16: 16, DataType.Int32: 32, DataType.Int64: 64},
    **{DataType.UInt8: 8, DataType.UInt16: 16, DataType.UInt32: 32, DataType.UInt64: 64},
    DataType.DateTime: 64,
}
_SIGNED: Final = (DataType.Int8, DataType.Int16, DataType.Int32, DataType.Int64)
_ARRAYS: Final = tuple(datatype for datatype in DataType if datatype >= DataType.Int8Array)
_FIELD_OF: Final[dict[int, Field]] = {
    **{t: Field.INT for t, width in _WIDTH.items() if width <= 32},
    **{t: Field.LONG for t, width in _WIDTH.items() if width == 64},
    DataType.Float: Field.FLOAT,
    DataType.Double: Field.DOUBLE,
    DataType.Boolean: Field.BOOLEAN,
    **dict.fromkeys((DataType.String, DataType.Text, DataType.UUID), Field.STRING),
    **dict.fromkeys((DataType.Bytes, DataType.File, *_ARRAYS), Field.BYTES),
    DataType.DataSet: Field.DATASET,
    DataType.Template: Field.TEMPLATE,
    DataType.PropertySet: Field.PROPERTIES,
    DataType.PropertySetList: Field.PROPERTIES_LIST,
}

# The field numbers of the alternatives, by the message in which they stand.
_IN_METRIC: Final = {
    10: Field.INT,
    11: Field.LONG,
    12: Field.FLOAT,
    13: Field.DOUBLE,
    14: Field.BOOLEAN,
    15: Field.STRING,
    16: Field.BYTES,
    17: Field.DATASET,
    18: Field.TEMPLATE,
}
_IN_PROPERTY: Final = {
    3: Field.INT,
    4: Field.LONG,
    5: Field.FLOAT,
    6: Field.DOUBLE,
    7: Field.BOOLEAN,
    8: Field.STRING,
    9: Field.PROPERTIES,
    10: Field.PROPERTIES_LIST,
}
_IN_PARAMETER: Final = {number: name for number, name in _IN_PROPERTY.items() if number <= 8}
_IN_CELL: Final = {number - 2: name for number, name in _IN_PARAMETER.items()}


def signed(value: int, datatype: int) -> int:
    """An integer of the wire as a value of its data type: masked to its width, and negative where the type is."""
    width = _WIDTH[DataType(datatype)]
    value &= (1 << width) - 1
    return value - (1 << width) if datatype in _SIGNED and value >> (width - 1) else value


# ── bytes out ─────────────────────────────────────────────────────────────────────────────────────────────


def varint(number: int) -> bytes:
    """Base 128, least significant group first."""
    if not 0 <= number < 1 << 64:
        raise WireError(f"a number of 64 bits without a sign was wanted, found {number}")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def encode(payload: Payload) -> bytes:
    """The bytes of a message. ``WireError`` for a value that its field cannot carry."""
    out = [
        *(() if payload.timestamp_ms is None else (_number(1, payload.timestamp_ms),)),
        *(_bytes(2, _metric(metric)) for metric in payload.metrics),
        *(() if payload.seq is None else (_number(3, payload.seq),)),
        *(() if payload.uuid is None else (_text(4, payload.uuid),)),
        *(() if payload.body is None else (_bytes(5, payload.body),)),
    ]
    return b"".join(out)


def _metric(metric: Metric) -> bytes:
    out = bytearray()
    if metric.name is not None:
        out += _text(1, metric.name)
    for number, value in ((2, metric.alias), (3, metric.timestamp_ms)):
        if value is not None:
            out += _number(number, value)
    if metric.datatype is not None and metric.tells_type:
        out += _number(4, metric.datatype)
    for number, flag in ((5, metric.is_historical), (6, metric.is_transient), (7, metric.is_null)):
        if flag:
            out += _number(number, 1)
    if metric.properties:
        out += _bytes(9, _properties(metric.properties))
    if metric.value is not None:
        out += _value(metric.value, metric.datatype, metric.field, _IN_METRIC, metric.name or metric.alias)
    return bytes(out)


def _value(
    value: object, datatype: int | None, field: Field | None, numbers: Mapping[int, Field], where: object
) -> bytes:
    chosen = field or _FIELD_OF.get(datatype or 0)
    number = next((number for number, name in numbers.items() if name is chosen), None)
    if chosen is None or number is None:
        raise WireError(f"{where}: data type {datatype} has no field here; give one with field=")
    try:
        match chosen, value:
            case ((Field.INT | Field.LONG), int()):
                width = 32 if chosen is Field.INT else 64
                if not -(1 << width - 1) <= value < 1 << width:
                    raise WireError(f"{where}: {value} does not fit the {width} bits of {chosen}")
                return _number(number, value & (1 << width) - 1)
            case Field.BOOLEAN, bool():
                return _number(number, value)
            case Field.FLOAT, int() | float():
                return varint(number << 3 | 5) + _single(float(value))
            case Field.DOUBLE, int() | float():
                return varint(number << 3 | 1) + struct.pack("<d", value)
            case Field.STRING, str():
                return _text(number, value)
            case Field.BYTES, bytes():
                return _bytes(number, value)
            case Field.DATASET, DataSet():
                return _bytes(number, _dataset(value))
            case Field.TEMPLATE, Template():
                return _bytes(number, _template(value))
            case Field.PROPERTIES, Mapping():
                return _bytes(number, _properties(value))
            case Field.PROPERTIES_LIST, tuple():
                return _bytes(number, b"".join(_bytes(1, _properties(one)) for one in value))
    except struct.error as error:
        raise WireError(f"{where}: {value!r} does not fit {chosen}: {error}") from error
    raise WireError(f"{where}: {type(value).__name__} {value!r} does not belong in {chosen}")


def _single(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))


def _properties(properties: PropertySet) -> bytes:
    keys = b"".join(_text(1, key) for key in properties)
    values = (
        _number(1, one.datatype)
        + (_number(2, 1) if one.value is None else _value(one.value, one.datatype, None, _IN_PROPERTY, key))
        for key, one in properties.items()
    )
    return keys + b"".join(_bytes(2, value) for value in values)


def _dataset(table: DataSet) -> bytes:
    out = bytearray(_number(1, len(table.columns)))
    out += b"".join(_text(2, name) for name in table.columns)
    out += b"".join(_number(3, datatype) for datatype in table.types)
    for row in table.rows:
        if len(row) != len(table.types):
            raise WireError(f"a row of {len(table.types)} cells was wanted, found {len(row)}")
        cells = (
            b"" if value is None else _value(value, datatype, None, _IN_CELL, "cell")
            for value, datatype in zip(row, table.types, strict=True)
        )
        out += _bytes(4, b"".join(_bytes(1, cell) for cell in cells))
    return bytes(out)


def _template(template: Template) -> bytes:
    out = bytearray() if template.version is None else bytearray(_text(1, template.version))
    out += b"".join(_bytes(2, _metric(metric)) for metric in template.metrics)
    for one in template.parameters:
        value = b"" if one.value is None else _value(one.value, one.datatype, None, _IN_PARAMETER, one.name)
        out += _bytes(3, _text(1, one.name) + _number(2, one.datatype) + value)
    if template.template_ref is not None:
        out += _text(4, template.template_ref)
    return bytes(out + _number(5, template.is_definition))


# ── bytes in ──────────────────────────────────────────────────────────────────────────────────────────────


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Field number, wire type (0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes) and content, in order."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise WireError(f"byte {at}: field number 0 does not exist")
        content: int | bytes
        match wire_type:
            case 0:
                content, at = _read_varint(data, at)
            case 1 | 2 | 5:
                length = {1: 8, 5: 4}.get(wire_type, 0)
                if wire_type == 2:
                    length, at = _read_varint(data, at)
                if at + length > len(data):
                    left = len(data) - at
                    raise WireError(f"byte {at}: field {number} wants {length} bytes, {left} are left")
                content, at = data[at : at + length], at + length
            case _:
                raise WireError(f"byte {at}: field {number} has wire type {wire_type}, which nobody writes")
        yield number, wire_type, content


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(LONGEST_VARINT):
        if at + place >= len(data):
            raise WireError(f"byte {at}: a number begins and does not end")
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value & (1 << 64) - 1, at + place + 1
    raise WireError(f"byte {at}: a number of more than {LONGEST_VARINT} bytes")


class _Reading:
    """The fields of one message by number, the last one winning where there may be only one."""

    def __init__(self, data: bytes, depth: int) -> None:
        if depth > DEEPEST:
            raise WireError(f"messages stand in each other deeper than {DEEPEST}")
        self.depth = depth
        self._found: dict[int, list[tuple[int, int | bytes]]] = {}
        self.order: list[int] = []
        for number, wire_type, content in fields(data):
            self._found.setdefault(number, []).append((wire_type, content))
            self.order.append(number)

    def number(self, number: int) -> int | None:
        for wire_type, content in reversed(self._found.get(number, ())):
            if wire_type == 0 and isinstance(content, int):
                return content
            raise WireError(f"field {number}: a number was wanted, found wire type {wire_type}")
        return None

    def numbers(self, number: int) -> Iterator[int]:
        """Repeated numbers, each on its own or packed."""
        for _, content in self._found.get(number, ()):
            if isinstance(content, int):
                yield content
                continue
            at = 0
            while at < len(content):
                value, at = _read_varint(content, at)
                yield value

    def all_bytes(self, number: int) -> Iterator[bytes]:
        for wire_type, content in self._found.get(number, ()):
            if wire_type != 2 or not isinstance(content, bytes):
                raise WireError(f"field {number}: bytes were wanted, found wire type {wire_type}")
            yield content

    def bytes(self, number: int) -> bytes | None:
        found = list(self.all_bytes(number))
        return found[-1] if found else None

    def texts(self, number: int) -> Iterator[str]:
        for content in self.all_bytes(number):
            try:
                yield content.decode()
            except UnicodeDecodeError as error:
                raise WireError(f"field {number}: no UTF-8: {error}") from error

    def text(self, number: int) -> str | None:
        found = list(self.texts(number))
        return found[-1] if found else None

    def value(self, numbers: Mapping[int, Field]) -> tuple[Field, object] | None:
        """The alternative that came last, which is the one that counts, and its content."""
        number = next((number for number in reversed(self.order) if number in numbers), None)
        return None if number is None else (numbers[number], self._content(number, numbers[number]))

    def _content(self, number: int, field: Field) -> object:
        wire_type, content = self._found[number][-1]
        wanted = {Field.FLOAT: 5, Field.DOUBLE: 1, Field.INT: 0, Field.LONG: 0, Field.BOOLEAN: 0}.get(
            field, 2
        )
        if wire_type != wanted:
            raise WireError(f"{field}: wire type {wanted} was wanted, found {wire_type}")
        if isinstance(content, int):
            return (
                content != 0
                if field is Field.BOOLEAN
                else content & 0xFFFFFFFF
                if field is Field.INT
                else content
            )
        match field:
            case Field.FLOAT | Field.DOUBLE:
                return struct.unpack("<f" if field is Field.FLOAT else "<d", content)[0]
            case Field.STRING:
                return self.text(number)
            case Field.DATASET:
                return _read_dataset(_Reading(content, self.depth + 1))
            case Field.TEMPLATE:
                return _read_template(_Reading(content, self.depth + 1))
            case Field.PROPERTIES:
                return _read_properties(_Reading(content, self.depth + 1))
            case Field.PROPERTIES_LIST:
                inner = _Reading(content, self.depth + 1)
                return tuple(_read_properties(_Reading(one, inner.depth + 1)) for one in inner.all_bytes(1))
        return content


def decode(data: bytes) -> Payload:
    """The message in these bytes. ``WireError`` where they are none."""
    reading = _Reading(data, 0)
    return Payload(
        timestamp_ms=reading.number(1),
        metrics=tuple(_read_metric(_Reading(one, 1)) for one in reading.all_bytes(2)),
        seq=reading.number(3),
        uuid=reading.text(4),
        body=reading.bytes(5),
    )


def _read_metric(reading: _Reading) -> Metric:
    datatype = reading.number(4)
    found, content = reading.value(_IN_METRIC) or (None, None)
    expected = None if datatype is None else _FIELD_OF.get(datatype)
    properties = reading.bytes(9)
    return Metric(
        name=reading.text(1),
        alias=reading.number(2),
        timestamp_ms=reading.number(3),
        datatype=datatype,
        value=_typed(content, datatype),  # type: ignore[arg-type]  # the alternatives of a metric and no others
        is_null=bool(reading.number(7)),
        is_historical=bool(reading.number(5)),
        is_transient=bool(reading.number(6)),
        properties={} if properties is None else _read_properties(_Reading(properties, reading.depth + 1)),
        field=None if found is expected else found,
    )


def _typed(content: object, datatype: int | None) -> object:
    if isinstance(content, int) and not isinstance(content, bool) and datatype in _WIDTH:
        return signed(content, datatype or 0)
    return content


def _read_properties(reading: _Reading) -> dict[str, Property]:
    keys = list(reading.texts(1))
    values = [_Reading(one, reading.depth + 1) for one in reading.all_bytes(2)]
    if len(keys) != len(values):
        raise WireError(f"{len(keys)} keys of properties and {len(values)} values; there must be as many")
    read: dict[str, Property] = {}
    for key, one in zip(keys, values, strict=True):
        datatype = one.number(1) or 0
        _, content = one.value(_IN_PROPERTY) or (None, None)
        value = None if one.number(2) else _typed(content, datatype)
        read[key] = Property(datatype=datatype, value=value)  # type: ignore[arg-type]  # its alternatives only
    return read


def _read_dataset(reading: _Reading) -> DataSet:
    columns, types = tuple(reading.texts(2)), tuple(reading.numbers(3))
    if len(columns) != len(types) or len(columns) != (reading.number(1) or 0):
        raise WireError(
            f"a table of {reading.number(1) or 0} columns has {len(columns)} names and {len(types)} types"
        )
    rows = []
    for row in reading.all_bytes(4):
        cells = [_Reading(cell, reading.depth + 2) for cell in _Reading(row, reading.depth + 1).all_bytes(1)]
        if len(cells) != len(types):
            raise WireError(f"a row of {len(types)} cells was wanted, found {len(cells)}")
        rows.append(
            tuple(
                _typed((cell.value(_IN_CELL) or (None, None))[1], kind)
                for cell, kind in zip(cells, types, strict=True)
            )
        )
    return DataSet(columns=columns, types=types, rows=tuple(rows))  # type: ignore[arg-type]  # a cell's alternatives


def _read_template(reading: _Reading) -> Template:
    parameters = []
    for one in (_Reading(data, reading.depth + 1) for data in reading.all_bytes(3)):
        datatype = one.number(2) or 0
        value = _typed((one.value(_IN_PARAMETER) or (None, None))[1], datatype)
        parameters.append(Parameter(name=one.text(1) or "", datatype=datatype, value=value))  # type: ignore[arg-type]
    return Template(
        version=reading.text(1),
        metrics=tuple(_read_metric(_Reading(one, reading.depth + 1)) for one in reading.all_bytes(2)),
        parameters=tuple(parameters),
        template_ref=reading.text(4),
        is_definition=bool(reading.number(5)),
    )
