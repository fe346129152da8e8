"""Two codecs that share nothing: ours over the protobuf runtime, and the simulator's written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparkplug_strategies import FEW, OF_METRICS, PAYLOADS, values_of

from bridge.errors import PayloadError
from bridge.sparkplug import payload as ours
from bridge.sparkplug.types import DataSet, Metric, MetricType, Parameter, Payload, PropertyValue, Template
from bridge.sparkplug.values import wired
from simulator.sparkplug import payload as theirs
from simulator.sparkplug import wire_format
from simulator.sparkplug.arrays import pack, unpack


def _payload(said: Payload) -> theirs.Payload:
    """The same message in the simulator's words."""
    return theirs.Payload(
        timestamp_ms=said.timestamp_ms,
        metrics=tuple(_metric(entry) for entry in said.metrics),
        seq=said.seq,
        uuid=said.uuid,
        body=said.body,
    )


def _metric(said: Metric) -> theirs.Metric:
    assert said.type is not None
    return theirs.Metric(
        name=said.name,
        alias=said.alias,
        timestamp_ms=said.timestamp_ms,
        datatype=said.type.number,
        value=_value(said.value, said.type),
        is_null=said.is_null,
        is_historical=said.is_historical,
        is_transient=said.is_transient,
        properties=_properties(said.properties),
    )


def _value(value: Any, kind: MetricType) -> Any:
    if isinstance(value, DataSet):
        types = tuple(one.number for one in value.types)
        return theirs.DataSet(columns=value.columns, types=types, rows=value.rows)
    if isinstance(value, Template):
        return theirs.Template(
            version=value.version,
            metrics=tuple(_metric(one) for one in value.metrics),
            parameters=tuple(_parameter(one) for one in value.parameters),
            template_ref=value.template_ref,
            is_definition=value.is_definition,
        )
    return pack(theirs.DataType(kind.number), value) if isinstance(value, tuple) else value


def _parameter(said: Parameter) -> theirs.Parameter:
    return theirs.Parameter(name=said.name, datatype=said.type.number, value=said.value)


def _properties(said: Any) -> dict[str, theirs.Property]:
    return {key: _property(value) for key, value in said.items()}


def _property(said: PropertyValue) -> theirs.Property:
    value: Any = said.value
    if isinstance(value, tuple):
        value = tuple(_properties(one) for one in value)
    elif said.type is MetricType.PROPERTY_SET and value is not None:
        value = _properties(value)
    return theirs.Property(datatype=said.type.number, value=value)


def _without_metadata(metric: Metric) -> Metric:
    value = metric.value
    if isinstance(value, Template):
        value = value._replace(metrics=tuple(_without_metadata(one) for one in value.metrics))
    return metric._replace(metadata=None, value=value)


COMPARED = PAYLOADS.map(
    lambda said: said._replace(metrics=tuple(_without_metadata(metric) for metric in said.metrics))
)
"""The simulator says nothing about metadata of files; all the rest both know."""


@FEW
@given(COMPARED)
def test_what_we_write_the_other_reads(said: Payload) -> None:
    assert wire_format.decode(ours.encode(said)) == _payload(said)


@FEW
@given(COMPARED)
def test_what_the_other_writes_we_read(said: Payload) -> None:
    assert ours.decode(wire_format.encode(_payload(said))) == said


@pytest.mark.parametrize("kind", [kind for kind in OF_METRICS if kind.endswith("Array")])
@given(data=st.data())
@FEW
def test_arrays_are_packed_to_the_same_bytes(kind: MetricType, data: st.DataObject) -> None:
    items = data.draw(values_of(kind))
    packed = wired(items, kind)
    assert packed == pack(theirs.DataType(kind.number), items)
    assert isinstance(packed, bytes)
    assert unpack(theirs.DataType(kind.number), packed) == items


@FEW
@given(st.binary(max_size=200))
def test_garbage_is_garbage_to_both_or_to_neither_an_accident(data: bytes) -> None:
    """They may differ on what a lenient reader bears, and never raise anything but their own refusals."""
    try:
        ours.decode(data)
    except PayloadError:
        with pytest.raises(wire_format.WireError):
            wire_format.decode(data)
