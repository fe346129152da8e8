"""Parsed messages as our own metrics. The runtime's objects are taken by attribute; no library is known here.

What cannot be read of a metric is said in its `problem`, or raised as ValueError by what the metric is made of.
"""

from __future__ import annotations

from typing import Any

from bridge.sparkplug.types import (
    NO_PROPERTIES,
    TYPES,
    DataSet,
    MetaData,
    Metric,
    MetricType,
    MetricValue,
    Parameter,
    PropertySet,
    PropertyValue,
    Template,
)
from bridge.sparkplug.values import CELLS, FIELDS, shown, typed

DEEPEST = 32
"""Templates and property sets within each other; deeper is an attack, not a description."""


def metric_of(entry: Any, depth: int) -> Metric:
    """A metric, whole; `depth` counts the templates around it."""
    number = entry.datatype
    kind = TYPES.get(number)
    problem = ""
    value: MetricValue | None = None
    is_null = entry.is_null
    if number and kind is None:
        problem = f"data type {number} is not one of Sparkplug's"
    elif not is_null:
        value, problem = value_of(entry, kind, depth)
    name = text_of(entry, "name")
    if name is None and entry.HasField("name"):
        problem = f"a name that is not UTF-8: {ascii(entry.name)[:80]}"
    properties = NO_PROPERTIES
    if entry.HasField("properties"):
        try:
            properties = _property_set(entry.properties, depth)
        except ValueError as why:
            problem = problem or f"properties: {why}"
    return Metric(
        name,
        entry.alias if entry.HasField("alias") else None,
        entry.timestamp if entry.HasField("timestamp") else None,
        kind,
        value,
        is_null,
        entry.is_historical,
        entry.is_transient,
        properties,
        _metadata(entry.metadata) if entry.HasField("metadata") else None,
        problem,
    )


def value_of(entry: Any, kind: MetricType | None, depth: int) -> tuple[MetricValue | None, str]:
    """The value of a metric as its type has it, or as carried where no type is known; and what is wrong with it."""
    field = entry.WhichOneof("value")
    if field is None:
        # An empty text, table or array is sent as a field of no length; no field at all is no value.
        return None, "carries no value and does not say that it is null" if kind is not None else ""
    if kind is not None and FIELDS[kind] != field and not (field in _INTEGERS and FIELDS[kind] in _INTEGERS):
        return None, f"{OTHER_FIELD} {field}, and {kind} is announced"
    carried = getattr(entry, field)
    try:
        if field == "dataset_value":
            carried = _dataset(carried)
        elif field == "template_value":
            carried = _template(carried, depth + 1)
        elif field == "extension_value":
            return None, "an extension of somebody else, which cannot be read"
        return (carried if kind is None else typed(carried, kind)), ""
    except ValueError as problem:
        return None, str(problem)


OTHER_FIELD = "its value is a"
"""How the problem of a value in a field of another type begins."""
_INTEGERS = frozenset({"int_value", "long_value"})


def text_of(message: Any, field: str) -> str | None:
    """A text; None when there is none, and also when it is not UTF-8 (the runtime then gives bytes)."""
    text = getattr(message, field) if message.HasField(field) else None
    return text if isinstance(text, str) else None


def quality_code(entry: Any) -> int | None:
    """The property Quality; None without one. What cannot be read as a number counts as bad, which is 0."""
    for key, value in zip(entry.properties.keys, entry.properties.values, strict=False):
        if key == "Quality":
            field = value.WhichOneof("value")
            return int(getattr(value, field)) if field in _INTEGERS else 0
    return None


def _kind(number: int, *, cell: bool = False) -> MetricType:
    kind = TYPES.get(number)
    if kind is None or (cell and kind not in CELLS):
        raise ValueError(f"data type {number} is not one of Sparkplug's{' basic types' if cell else ''}")
    return kind


def _cell(value: Any, kind: MetricType) -> bool | int | float | str | None:
    field = value.WhichOneof("value")
    if field is None:
        return None
    if field == "extension_value":
        raise ValueError("an extension of somebody else, which cannot be read")
    found = typed(getattr(value, field), kind)
    if isinstance(found, bool | int | float | str):
        return found
    raise ValueError(f"wanted {kind}, found {shown(found)}")


def _dataset(message: Any) -> DataSet:
    columns = tuple(message.columns)
    kinds = tuple(_kind(number, cell=True) for number in message.types)
    if not all(isinstance(column, str) for column in columns):
        raise ValueError("a column name that is not UTF-8")
    width = message.num_of_columns if message.HasField("num_of_columns") else len(columns)
    if not len(columns) == len(kinds) == width:
        raise ValueError(f"a data set of {width} columns with {len(columns)} names and {len(kinds)} types")
    rows = []
    for row in message.rows:
        if len(row.elements) != width:
            raise ValueError(f"a data set of {width} columns with a row of {len(row.elements)} cells")
        rows.append(tuple(_cell(value, kind) for value, kind in zip(row.elements, kinds, strict=True)))
    return DataSet(columns, kinds, tuple(rows))


def _template(message: Any, depth: int) -> Template:
    if depth > DEEPEST:
        raise ValueError(f"templates deeper than {DEEPEST}")
    parameters = []
    for entry in message.parameters:
        kind = _kind(entry.type, cell=True)
        name = text_of(entry, "name")
        if name is None:
            raise ValueError("a template parameter without a name in UTF-8")
        parameters.append(Parameter(name, kind, _cell(entry, kind)))
    return Template(
        tuple(metric_of(entry, depth) for entry in message.metrics),
        tuple(parameters),
        text_of(message, "template_ref"),
        message.is_definition,
        text_of(message, "version"),
    )


def _property_set(message: Any, depth: int) -> PropertySet:
    if depth > DEEPEST:
        raise ValueError(f"property sets deeper than {DEEPEST}")
    keys, values = message.keys, message.values
    if len(keys) != len(values):
        raise ValueError(f"{len(keys)} keys for {len(values)} values")
    if not all(isinstance(key, str) for key in keys):
        raise ValueError("a key that is not UTF-8")
    return {key: _property(value, depth) for key, value in zip(keys, values, strict=True)}


def _property(message: Any, depth: int) -> PropertyValue:
    kind = _kind(message.type)
    if message.is_null:
        return PropertyValue(kind, None)
    field = message.WhichOneof("value")
    if field == "propertyset_value" and kind is MetricType.PROPERTY_SET:
        return PropertyValue(kind, _property_set(message.propertyset_value, depth + 1))
    if field == "propertysets_value" and kind is MetricType.PROPERTY_SET_LIST:
        sets = message.propertysets_value.propertyset
        return PropertyValue(kind, tuple(_property_set(entry, depth + 1) for entry in sets))
    if field in ("propertyset_value", "propertysets_value"):
        raise ValueError(f"wanted {kind}, found a {field}")
    return PropertyValue(kind, _cell(message, kind))


def _metadata(message: Any) -> MetaData:
    return MetaData(
        text_of(message, "content_type"),
        message.size if message.HasField("size") else None,
        message.seq if message.HasField("seq") else None,
        message.is_multi_part if message.HasField("is_multi_part") else None,
        text_of(message, "file_name"),
        text_of(message, "file_type"),
        text_of(message, "md5"),
        text_of(message, "description"),
    )
