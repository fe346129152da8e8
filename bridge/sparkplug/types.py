"""What a Sparkplug B payload says, in our own words: metrics, their types, and the larger things they may hold."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Union


class MetricType(StrEnum):
    """Data types of metrics and properties, by the names of the specification."""

    INT8 = "Int8"
    INT16 = "Int16"
    INT32 = "Int32"
    INT64 = "Int64"
    UINT8 = "UInt8"
    UINT16 = "UInt16"
    UINT32 = "UInt32"
    UINT64 = "UInt64"
    FLOAT = "Float"
    DOUBLE = "Double"
    BOOLEAN = "Boolean"
    STRING = "String"
    DATETIME = "DateTime"  # milliseconds since 1970, UTC
    TEXT = "Text"
    UUID = "UUID"
    DATASET = "DataSet"
    BYTES = "Bytes"
    FILE = "File"
    TEMPLATE = "Template"
    PROPERTY_SET = "PropertySet"  # of properties only
    PROPERTY_SET_LIST = "PropertySetList"  # of properties only
    INT8_ARRAY = "Int8Array"
    INT16_ARRAY = "Int16Array"
    INT32_ARRAY = "Int32Array"
    INT64_ARRAY = "Int64Array"
    UINT8_ARRAY = "UInt8Array"
    UINT16_ARRAY = "UInt16Array"
    UINT32_ARRAY = "UInt32Array"
    UINT64_ARRAY = "UInt64Array"
    FLOAT_ARRAY = "FloatArray"
    DOUBLE_ARRAY = "DoubleArray"
    BOOLEAN_ARRAY = "BooleanArray"
    STRING_ARRAY = "StringArray"
    DATETIME_ARRAY = "DateTimeArray"

    @property
    def number(self) -> int:
        """The specification's number of this type, from 1; 0 is Unknown and has no member here."""
        return NUMBERS[self]


NUMBERS: Mapping[MetricType, int] = {kind: number for number, kind in enumerate(MetricType, start=1)}
TYPES: Mapping[int, MetricType] = {number: kind for kind, number in NUMBERS.items()}


class DataSet(NamedTuple):
    """A small table: `rows` hold one value per column, None where a cell is empty."""

    columns: tuple[str, ...]
    types: tuple[MetricType, ...]
    rows: tuple[tuple[bool | int | float | str | None, ...], ...]


class Parameter(NamedTuple):
    """A parameter of a template; `value` is None when none was given."""

    name: str
    type: MetricType
    value: bool | int | float | str | None = None


class PropertyValue(NamedTuple):
    """The value of a property; None when it is null. Property sets nest."""

    type: MetricType
    value: PropertyContent | None = None


class MetaData(NamedTuple):
    """What is said about a binary value; None or empty where nothing was said."""

    content_type: str | None = None
    size: int | None = None
    seq: int | None = None
    is_multi_part: bool | None = None
    file_name: str | None = None
    file_type: str | None = None
    md5: str | None = None
    description: str | None = None


class Template(NamedTuple):
    """A definition of a type (`is_definition`, no `template_ref`), or an instance of the one it refers to."""

    metrics: tuple[Metric, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    template_ref: str | None = None
    is_definition: bool = False
    version: str | None = None


PropertySet = Mapping[str, PropertyValue]
Array = tuple[bool, ...] | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
PropertyContent = Union[bool, int, float, str, PropertySet, tuple[PropertySet, ...]]  # noqa: UP007
MetricValue = bool | int | float | str | bytes | DataSet | Template | Array

NO_PROPERTIES: PropertySet = MappingProxyType({})


class Metric(NamedTuple):
    """One metric of one message. A NamedTuple, not a dataclass: a birth may carry tens of thousands.

    Births name every metric and its type; data may carry the alias alone, and no type: then `type` is None and
    `value` is what the wire carried, an unsigned integer for instance, to be read with `values.typed` by the
    type of the birth. `timestamp_ms` counts from 1970 in UTC. `value` is None when the metric is null, when it
    carried none, or when it could not be read: then `problem` says why, and the metric is here all the same.
    """

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    type: MetricType | None = None
    value: MetricValue | None = None
    is_null: bool = False
    is_historical: bool = False
    is_transient: bool = False
    properties: PropertySet = NO_PROPERTIES
    metadata: MetaData | None = None
    problem: str = ""


class Payload(NamedTuple):
    """One message. `seq` is 0 to 255; None in an NDEATH and in commands. Times are milliseconds since 1970."""

    timestamp_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None
    uuid: str | None = None
    body: bytes | None = None
