"""Does every type of every value survive the wire, and is everything else refused by name?"""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparkplug_strategies import FEW, OF_METRICS, PAYLOADS, values_of

from bridge.errors import PayloadError
from bridge.sparkplug import schema
from bridge.sparkplug.payload import Received, decode, encode
from bridge.sparkplug.types import (
    NUMBERS,
    TYPES,
    DataSet,
    Metric,
    MetricType,
    Parameter,
    Payload,
    PropertyValue,
    Template,
)
from bridge.sparkplug.values import FIELDS, typed, wired

T = MetricType


@pytest.mark.parametrize("kind", OF_METRICS)
@FEW
@given(data=st.data())
def test_values_of_every_type_survive_the_wire(kind: MetricType, data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    payload = Payload(1, (Metric("name", 7, 5, kind, value),), 3)
    assert decode(encode(payload)) == payload


@FEW
@given(PAYLOADS)
def test_whole_payloads_survive_the_wire(payload: Payload) -> None:
    assert decode(encode(payload)) == payload


@pytest.mark.parametrize("kind", OF_METRICS)
@FEW
@given(data=st.data())
def test_values_without_their_type_are_read_by_the_type_of_the_birth(
    kind: MetricType, data: st.DataObject
) -> None:
    value = data.draw(values_of(kind))
    (untyped,) = decode(encode(Payload(metrics=(Metric(None, 7, 5, kind, value),)), with_types=False)).metrics
    assert untyped.type is None
    assert untyped.value is not None
    assert typed(untyped.value, kind) == value


def test_not_a_number_survives_the_wire() -> None:
    for kind in (T.FLOAT, T.DOUBLE):
        (back,) = decode(encode(Payload(metrics=(Metric("x", type=kind, value=math.nan),)))).metrics
        assert isinstance(back.value, float)
        assert math.isnan(back.value)


def test_a_null_is_not_an_empty_value() -> None:
    empty: dict[MetricType, Any] = {T.STRING: "", T.BYTES: b"", T.INT8: 0, T.BOOLEAN: False, T.INT8_ARRAY: ()}
    for kind, value in empty.items():
        null = Metric("x", type=kind, is_null=True)
        there = Metric("x", type=kind, value=value)
        assert decode(encode(Payload(metrics=(null, there)))).metrics == (null, there)


def test_numbers_of_the_types_are_those_published() -> None:
    assert NUMBERS[T.INT8] == 1
    assert NUMBERS[T.DATETIME] == 13
    assert NUMBERS[T.TEMPLATE] == 19
    assert NUMBERS[T.INT8_ARRAY] == 22
    assert NUMBERS[T.DATETIME_ARRAY] == 34
    assert T.UINT64.number == 8
    assert len(TYPES) == 34


@pytest.mark.parametrize(
    ("kind", "field"),
    [(T.INT8, 10), (T.INT32, 10), (T.UINT32, 10), (T.INT64, 11), (T.UINT64, 11), (T.DATETIME, 11)],
)
def test_integers_travel_in_the_field_of_their_width(kind: MetricType, field: int) -> None:
    data = encode(Payload(metrics=(Metric(type=kind, value=1),)))
    assert data.endswith(bytes((field << 3, 1)))


@pytest.mark.parametrize(
    ("kind", "carried", "value"),
    [
        (T.INT8, 0xFF, -1),
        (T.INT8, 0xFFFF_FFFF, -1),
        (T.INT8, 0xFFFF_FFFF_FFFF_FFFF, -1),
        (T.INT8, 0x80, -128),
        (T.INT8, 127, 127),
        (T.INT16, 0x8000, -32768),
        (T.INT16, 0xFFFF_8000, -32768),
        (T.INT32, 0xFFFF_FFFE, -2),
        (T.INT32, 0xFFFF_FFFF_FFFF_FFFE, -2),
        (T.INT64, 0xFFFF_FFFF, 4294967295),
        (T.INT64, 2**63, -(2**63)),
        (T.UINT64, 2**64 - 1, 2**64 - 1),
        (T.UINT8, 255, 255),
    ],
)
def test_negative_integers_are_understood_in_every_width(kind: MetricType, carried: int, value: int) -> None:
    assert typed(carried, kind) == value


def test_negative_integers_are_written_in_the_width_of_their_field() -> None:
    assert wired(-1, T.INT8) == 0xFFFF_FFFF
    assert wired(-1, T.INT64) == 0xFFFF_FFFF_FFFF_FFFF


@pytest.mark.parametrize(
    ("kind", "carried"),
    [
        (T.INT8, 256),
        (T.INT8, 0xFFFF_FF7F),
        (T.UINT8, 256),
        (T.UINT16, 65536),
        (T.UINT32, 2**32),
        (T.BOOLEAN, 1),
    ],
)
def test_what_a_type_cannot_be_is_refused(kind: MetricType, carried: int) -> None:
    with pytest.raises(ValueError, match=r"too large|wanted"):
        typed(carried, kind)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (T.INT8, 128),
        (T.INT8, -129),
        (T.UINT8, -1),
        (T.UINT64, 2**64),
        (T.INT32, True),
        (T.INT32, 1.0),
        (T.BOOLEAN, 1),
        (T.FLOAT, 1e39),
        (T.FLOAT, True),
        (T.DOUBLE, 10**400),
        (T.DOUBLE, "1"),
        (T.STRING, b"x"),
        (T.STRING, "\ud800"),
        (T.BYTES, "x"),
        (T.STRING_ARRAY, ("a\0b",)),
        (T.INT8_ARRAY, (128,)),
        (T.INT8_ARRAY, [1]),
        (T.FLOAT_ARRAY, (1e39,)),
        (T.BOOLEAN_ARRAY, (1,)),
        (T.DATASET, "x"),
        (T.DATASET, DataSet(("a",), (), ())),
        (T.DATASET, DataSet(("a",), (T.INT8,), ((1, 2),))),
        (T.DATASET, DataSet(("a",), (T.TEMPLATE,), ((1,),))),
        (T.TEMPLATE, Template(parameters=(Parameter("p", T.INT8, 999),))),
        (T.PROPERTY_SET, "x"),
        (None, 1),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_the_name_of_its_metric(
    kind: MetricType | None, value: Any
) -> None:
    with pytest.raises(PayloadError, match="Pressure"):
        encode(Payload(metrics=(Metric("Pressure", type=kind, value=value),)))


def test_numbers_that_no_field_holds_are_refused() -> None:
    for wrong in (Payload(seq=256), Payload(seq=-1), Payload(timestamp_ms=-1), Payload(timestamp_ms=2**64)):
        with pytest.raises(PayloadError):
            encode(wrong)
    for metric in (Metric(alias=-1), Metric(alias=2**64), Metric(timestamp_ms=-1)):
        with pytest.raises(PayloadError):
            encode(Payload(metrics=(metric,)))
    with pytest.raises(PayloadError, match="null and yet"):
        encode(Payload(metrics=(Metric("x", type=T.INT8, value=1, is_null=True),)))


WHOLE = encode(
    Payload(
        1,
        (
            Metric("Level", 1, 5, T.DOUBLE, 1.5, properties={"Quality": PropertyValue(T.INT32, 192)}),
            Metric("Table", 2, 5, T.DATASET, DataSet(("a",), (T.INT8,), ((1,),))),
        ),
        7,
    )
)


def _refusal(data: bytes) -> str:
    """Why a payload is refused as a whole; empty when it is read."""
    try:
        decode(data)
    except PayloadError as problem:
        return str(problem)
    return ""


@FEW
@given(st.binary(max_size=300))
def test_garbage_is_refused_or_read_but_never_an_accident(data: bytes) -> None:
    assert _refusal(data) in ("", f"{len(data)} bytes are no Sparkplug B payload: garbage or cut short")


@FEW
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
def test_a_payload_that_was_tampered_with_is_refused_or_read(place: int, junk: bytes) -> None:
    refusal = _refusal(WHOLE[:place] + junk + WHOLE[place + len(junk) :])
    assert not refusal or "no Sparkplug B payload" in refusal


def test_a_payload_that_was_cut_short_is_refused() -> None:
    read = [length for length in range(len(WHOLE)) if not _refusal(WHOLE[:length])]
    assert len(read) <= 5, "only between two fields is a shorter payload one too"
    assert all(decode(WHOLE[:length]).seq is None for length in read)


def test_fifty_megabytes_are_refused_unread() -> None:
    data = b"\x12" * 50_000_000
    with pytest.raises(PayloadError, match=r"50000000 bytes was refused unread.*4194304"):
        decode(data)
    with pytest.raises(PayloadError, match="refused unread"):
        decode(WHOLE, max_bytes=len(WHOLE) - 1)
    assert decode(WHOLE, max_bytes=len(WHOLE)).seq == 7


def _raw(*fields: tuple[int, int, bytes]) -> bytes:
    """A payload with one metric of these fields: number, wire type, content as it stands on the wire."""
    inner = b"".join(bytes((number << 3 | wire,)) + content for number, wire, content in fields)
    return b"\x12" + bytes((len(inner),)) + inner


def _text(content: bytes) -> bytes:
    return bytes((len(content),)) + content


NAMED = (1, 2, _text(b"x"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ([(1, 2, _text(b"\xff\xfe")), (4, 0, b"\x01"), (10, 0, b"\x05")], "a name that is not UTF-8"),
        ([NAMED, (4, 0, b"\x63"), (10, 0, b"\x05")], "data type 99 is not one of Sparkplug's"),
        ([NAMED, (4, 0, b"\x0c"), (15, 2, _text(b"\xff"))], "not UTF-8"),
        ([NAMED, (4, 0, b"\x0a"), (10, 0, b"\x05")], "its value is a int_value, and Double is announced"),
        ([NAMED, (4, 0, b"\x05"), (10, 0, b"\x80\x02")], "256 is too large for UInt8"),
        ([NAMED, (4, 0, b"\x0a")], "carries no value"),
    ],
)
def test_what_cannot_be_read_of_a_metric_is_said_and_spoils_no_other(
    fields: list[tuple[int, int, bytes]], problem: str
) -> None:
    data = _raw(*fields) + WHOLE
    broken, *others = decode(data).metrics
    assert problem in broken.problem
    assert broken.name is None or broken.value is None
    assert tuple(others) == decode(WHOLE).metrics


@pytest.mark.parametrize(
    ("kind", "carried", "problem"),
    [
        (T.INT32_ARRAY, b"\0\0\0", "no multiple of 4"),
        (T.STRING_ARRAY, b"abc", "does not end"),
        (T.STRING_ARRAY, b"\xff\0", "not UTF-8"),
        (T.BOOLEAN_ARRAY, b"\0", "announces"),
        (T.BOOLEAN_ARRAY, struct.pack("<I", 2**32 - 1), "announces 4294967295"),
        (T.BOOLEAN_ARRAY, struct.pack("<I", 9) + b"\0", "announces 9"),
    ],
)
def test_arrays_that_do_not_come_out_even_are_refused(kind: MetricType, carried: bytes, problem: str) -> None:
    (back,) = decode(
        _rewritten(encode(Payload(metrics=(Metric("x", type=T.BYTES, value=carried),))), kind)
    ).metrics
    assert problem in back.problem
    assert back.value is None


def _rewritten(data: bytes, kind: MetricType) -> bytes:
    """The same metric of Bytes, called another type."""
    return data.replace(bytes((4 << 3, NUMBERS[T.BYTES])), bytes((4 << 3, NUMBERS[kind])))


def test_arrays_are_packed_as_published() -> None:
    assert wired((1, -1), T.INT16_ARRAY) == b"\x01\x00\xff\xff"
    assert wired((1.5,), T.FLOAT_ARRAY) == struct.pack("<f", 1.5)
    assert wired(("ab", ""), T.STRING_ARRAY) == b"ab\0\0"
    # The specification's own example: a count of four bytes, then bits from the highest down.
    flags = (False, False, True, True, False, True, False, False, True, True, False, True)
    assert wired(flags, T.BOOLEAN_ARRAY) == b"\x0c\0\0\0\x34\xd0"


def test_templates_in_templates_have_an_end() -> None:
    def nested(depth: int) -> Metric:
        members = (nested(depth - 1),) if depth else ()
        return Metric("m", type=T.TEMPLATE, value=Template(members, template_ref="T"))

    (shallow,) = decode(encode(Payload(metrics=(nested(20),)))).metrics
    assert shallow == nested(20)
    (deep,) = decode(encode(Payload(metrics=(nested(40),)))).metrics
    assert "templates deeper than 32" in repr(deep)
    assert "no Sparkplug B payload" in _refusal(encode(Payload(metrics=(nested(90),))))


def test_properties_whose_keys_and_values_do_not_match_are_said_and_the_value_is_kept() -> None:
    properties = b"\x0a\x01a\x0a\x01b\x12\x04\x08\x03\x18\x05"
    (found,) = decode(
        _raw(NAMED, (4, 0, b"\x0a"), (9, 2, _text(properties)), (13, 1, struct.pack("<d", 2.5)))
    ).metrics
    assert (found.value, found.properties) == (2.5, {})
    assert "2 keys for 1 values" in found.problem


def test_unfolding_only_what_is_wanted_counts_every_metric() -> None:
    announced = [(name, alias) for name, alias, _ in Received(WHOLE).announced()]
    assert announced == [("Level", 1), ("Table", 2)]


def test_the_schema_has_every_field_once() -> None:
    for path, fields in schema.MESSAGES.items():
        assert len({field.number for field in fields}) == len(fields), path
    assert {field.name for field in schema.MESSAGES["Payload.Metric"] if field.in_value} >= {
        field for kind, field in FIELDS.items() if kind in OF_METRICS
    }
