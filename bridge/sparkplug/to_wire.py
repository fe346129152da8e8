"""Our own metrics into messages of the runtime, by attribute. ValueError names the metric and what was wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.sparkplug.from_wire import DEEPEST
from bridge.sparkplug.types import (
    NUMBERS,
    DataSet,
    Metric,
    MetricType,
    MetricValue,
    PropertyContent,
    PropertySet,
    Template,
)
from bridge.sparkplug.values import CELLS, FIELDS, shown, wired

_UINT64_MAX = 2**64 - 1


def put_metric(entry: Any, metric: Metric, with_types: bool) -> None:
    """Fill a message with a metric; its data type is left out unless `with_types`."""
    try:
        if metric.name is not None:
            entry.name = metric.name
        if metric.alias is not None:
            entry.alias = uint64(metric.alias, "alias")
        if metric.timestamp_ms is not None:
            entry.timestamp = uint64(metric.timestamp_ms, "timestamp")
        if metric.type is not None and with_types:
            entry.datatype = NUMBERS[metric.type]
        if metric.is_historical:
            entry.is_historical = True
        if metric.is_transient:
            entry.is_transient = True
        if metric.is_null:
            if metric.value is not None:
                raise ValueError(f"null and yet {shown(metric.value)}")
            entry.is_null = True
        elif metric.value is not None:
            _put_value(entry, metric.value, metric.type)
        if metric.properties:
            _put_properties(entry.properties, metric.properties, 0)
        if metric.metadata is not None:
            for field, said in metric.metadata._asdict().items():
                if said is not None:
                    setattr(entry.metadata, field, said)
    except ValueError as problem:
        label = metric.name if metric.name is not None else f"alias {metric.alias}"
        raise ValueError(f"metric {label!r}: {problem}") from problem


def _put_value(entry: Any, value: MetricValue, kind: MetricType | None) -> None:
    if kind is None:
        raise ValueError("a value wants a type")
    if kind is MetricType.DATASET and isinstance(value, DataSet):
        _put_dataset(entry.dataset_value, value)
    elif kind is MetricType.TEMPLATE and isinstance(value, Template):
        _put_template(entry.template_value, value)
    else:
        setattr(entry, FIELDS[kind], wired(value, kind))


def _put_dataset(message: Any, table: DataSet) -> None:
    if len(table.columns) != len(table.types):
        raise ValueError(f"a data set with {len(table.columns)} names and {len(table.types)} types")
    message.num_of_columns = len(table.columns)
    message.columns.extend(table.columns)
    message.types.extend(NUMBERS[kind] for kind in table.types)
    for row in table.rows:
        if len(row) != len(table.types):
            raise ValueError(f"a data set of {len(table.types)} columns with a row of {len(row)} cells")
        line = message.rows.add()
        for cell, kind in zip(row, table.types, strict=True):
            _put_cell(line.elements.add(), cell, kind)


def _put_cell(entry: Any, cell: bool | int | float | str | None, kind: MetricType) -> None:
    if kind not in CELLS:
        raise ValueError(f"wanted a basic type, found {kind}")
    if cell is not None:
        setattr(entry, FIELDS[kind], wired(cell, kind))


def _put_template(message: Any, template: Template) -> None:
    message.SetInParent()
    message.is_definition = template.is_definition
    if template.version is not None:
        message.version = template.version
    if template.template_ref is not None:
        message.template_ref = template.template_ref
    for metric in template.metrics:
        put_metric(message.metrics.add(), metric, True)
    for parameter in template.parameters:
        entry = message.parameters.add(name=parameter.name, type=NUMBERS[parameter.type])
        _put_cell(entry, parameter.value, parameter.type)


def _put_properties(message: Any, properties: PropertySet, depth: int) -> None:
    message.SetInParent()
    if depth > DEEPEST:
        raise ValueError(f"property sets deeper than {DEEPEST}")
    for key, said in properties.items():
        message.keys.append(key)
        entry = message.values.add(type=NUMBERS[said.type])
        if said.value is None:
            entry.is_null = True
        else:
            _put_property(entry, said.value, said.type, depth)


def _put_property(entry: Any, value: PropertyContent, kind: MetricType, depth: int) -> None:
    if isinstance(value, Mapping):
        if kind is not MetricType.PROPERTY_SET:
            raise ValueError(f"wanted {kind}, found a property set")
        _put_properties(entry.propertyset_value, value, depth + 1)
    elif isinstance(value, tuple):
        if kind is not MetricType.PROPERTY_SET_LIST:
            raise ValueError(f"wanted {kind}, found a list of property sets")
        entry.propertysets_value.SetInParent()
        for entries in value:
            _put_properties(entry.propertysets_value.propertyset.add(), entries, depth + 1)
    else:
        _put_cell(entry, value, kind)


def uint64(number: int, what: str) -> int:
    """A number that an unsigned field of 64 bits holds; ValueError for others."""
    if not 0 <= number <= _UINT64_MAX:
        raise ValueError(f"{what}: wanted 0 to 2^64 - 1, found {number}")
    return number
