"""What a Sparkplug B message consists of: payloads, metrics, tables, templates, and the numbers of data types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class DataType(IntEnum):
    """The numbers of the specification's data types."""

    Unknown = 0
    Int8 = 1
    Int16 = 2
    Int32 = 3
    Int64 = 4
    UInt8 = 5
    UInt16 = 6
    UInt32 = 7
    UInt64 = 8
    Float = 9
    Double = 10
    Boolean = 11
    String = 12
    DateTime = 13
    Text = 14
    UUID = 15
    DataSet = 16
    Bytes = 17
    File = 18
    Template = 19
    PropertySet = 20
    PropertySetList = 21
    Int8Array = 22
    Int16Array = 23
    Int32Array = 24
    Int64Array = 25
    UInt8Array = 26
    UInt16Array = 27
    UInt32Array = 28
    UInt64Array = 29
    FloatArray = 30
    DoubleArray = 31
    BooleanArray = 32
    StringArray = 33
    DateTimeArray = 34


class Field(StrEnum):
    """The alternatives of a value on the wire."""

    INT = "int_value"
    LONG = "long_value"
    FLOAT = "float_value"
    DOUBLE = "double_value"
    BOOLEAN = "boolean_value"
    STRING = "string_value"
    BYTES = "bytes_value"
    DATASET = "dataset_value"
    TEMPLATE = "template_value"
    PROPERTIES = "propertyset_value"
    PROPERTIES_LIST = "propertysets_value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property of a metric. ``value`` is ``None`` exactly for a null."""

    datatype: int
    value: PropertyContent | None = None


PropertySet = Mapping[str, Property]
PropertyContent = bool | int | float | str | PropertySet | tuple[PropertySet, ...]
CellValue = bool | int | float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A table: column names, their data types, and rows. ``None`` is a cell without a value."""

    columns: tuple[str, ...]
    types: tuple[int, ...]
    rows: tuple[tuple[CellValue, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a template."""

    name: str
    datatype: int
    value: bool | int | float | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A user-defined type: its definition, or an instance that names it in ``template_ref``."""

    version: str | None = None
    metrics: tuple[Metric, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    template_ref: str | None = None
    is_definition: bool = False


MetricContent = bool | int | float | str | bytes | DataSet | Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. Absent fields are ``None``; times are milliseconds since 1970.

    ``value`` of an array type is its packed bytes, see ``simulator.sparkplug.arrays``. ``field`` says in which
    alternative the value travels where that is not the one of the data type: to send nonsense on purpose, and for data
    without a type, whose integers then are the unsigned ones of the wire (``signed`` reads them). ``tells_type`` off
    leaves the data type out on the wire, as data messages may.
    """

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    value: MetricContent | None = None
    is_null: bool = False
    is_historical: bool = False
    is_transient: bool = False
    properties: PropertySet = field(default_factory=dict)
    field: Field | None = None
    tells_type: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One message. ``seq`` is absent in a death and in commands."""

    timestamp_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None
    uuid: str | None = None
    body: bytes | None = None
