"""Payloads of every kind, for tests that take any of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bridge.sparkplug.types import (
    DataSet,
    MetaData,
    Metric,
    MetricType,
    Parameter,
    Payload,
    PropertyValue,
    Template,
)
from bridge.sparkplug.values import CELLS, bounds

T = MetricType
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(max_size=12)
FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SINGLE = st.floats(width=32, allow_nan=False)
DOUBLE = st.floats(allow_nan=False)


def _integers(kind: MetricType) -> st.SearchStrategy[int]:
    limits = bounds(kind)
    assert limits is not None
    return st.integers(*limits) | st.sampled_from(limits)


@functools.cache
def _scalars(kind: MetricType) -> st.SearchStrategy[Any]:
    if bounds(kind) is not None:
        return _integers(kind)
    return {T.FLOAT: SINGLE, T.DOUBLE: DOUBLE, T.BOOLEAN: st.booleans()}.get(kind, TEXT)


def _arrays(kind: MetricType) -> st.SearchStrategy[Any]:
    element = MetricType(kind.removesuffix("Array"))
    items = _scalars(element)
    if kind is T.STRING_ARRAY:
        items = TEXT.map(lambda text: text.replace("\0", " "))
    return st.lists(items, max_size=20).map(tuple)


@st.composite
def _datasets(draw: st.DrawFn) -> DataSet:
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), max_size=4))
    columns = tuple(f"column {place}" for place in range(len(kinds)))
    row = st.tuples(*(st.none() | _scalars(kind) for kind in kinds))
    return DataSet(columns, tuple(kinds), tuple(draw(st.lists(row, max_size=4))))


@functools.cache
def _templates() -> st.SearchStrategy[Template]:
    return st.builds(
        Template,
        metrics=st.lists(metrics_of(sorted(CELLS)), max_size=3).map(tuple),
        parameters=st.lists(_parameters(), max_size=3).map(tuple),
        template_ref=st.none() | TEXT,
        is_definition=st.booleans(),
        version=st.none() | TEXT,
    )


@st.composite
def _parameters(draw: st.DrawFn) -> Parameter:
    kind = draw(st.sampled_from(sorted(CELLS)))
    return Parameter(draw(TEXT), kind, draw(st.none() | _scalars(kind)))


@functools.cache
def values_of(kind: MetricType) -> st.SearchStrategy[Any]:
    """Values that a metric of this type may have."""
    if kind.endswith("Array"):
        return _arrays(kind)
    if kind in (T.BYTES, T.FILE):
        return st.binary(max_size=50)
    if kind is T.DATASET:
        return _datasets()
    return _templates() if kind is T.TEMPLATE else _scalars(kind)


@functools.cache
def _property_sets(depth: int = 1) -> st.SearchStrategy[dict[str, PropertyValue]]:
    return st.dictionaries(TEXT, _properties(depth), max_size=3)


@st.composite
def _properties(draw: st.DrawFn, depth: int) -> PropertyValue:
    kinds = sorted(CELLS) + ([T.PROPERTY_SET, T.PROPERTY_SET_LIST] if depth else [])
    kind = draw(st.sampled_from(kinds))
    if kind is T.PROPERTY_SET:
        return PropertyValue(kind, draw(_property_sets(depth - 1)))
    if kind is T.PROPERTY_SET_LIST:
        return PropertyValue(kind, draw(st.lists(_property_sets(depth - 1), max_size=2).map(tuple)))
    return PropertyValue(kind, draw(st.none() | _scalars(kind)))


OF_METRICS: Sequence[MetricType] = [
    kind for kind in MetricType if kind not in (T.PROPERTY_SET, T.PROPERTY_SET_LIST)
]


@st.composite
def metrics_of(draw: st.DrawFn, kinds: Sequence[MetricType]) -> Metric:
    """Metrics of these types, with everything that may be said of one."""
    kind = draw(st.sampled_from(kinds))
    value = draw(st.none() | values_of(kind))
    return Metric(
        draw(st.none() | TEXT),
        draw(st.none() | UINT64),
        draw(st.none() | UINT64),
        kind,
        value,
        value is None,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(_property_sets()),
        draw(
            st.none()
            | st.tuples(TEXT, UINT64, UINT64, st.booleans(), *[st.none() | TEXT] * 4).map(
                lambda said: MetaData(*said)
            )
        ),
    )


PAYLOADS = st.builds(
    Payload,
    timestamp_ms=st.none() | UINT64,
    metrics=st.lists(metrics_of(OF_METRICS), max_size=5).map(tuple),
    seq=st.none() | st.integers(0, 255),
    uuid=st.none() | TEXT,
    body=st.none() | st.binary(),
)
