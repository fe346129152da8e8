"""Does the hand-written codec write the bytes of the published schema, and read what others write?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.sparkplug import arrays
from simulator.sparkplug.wire_format import (
    DataSet,
    DataType,
    Field,
    Metric,
    Parameter,
    Payload,
    Property,
    Template,
    WireError,
    decode,
    encode,
    fields,
    signed,
)


def one(metric: Metric) -> Metric:
    """The metric after its way over the wire."""
    return decode(encode(Payload(metrics=(metric,)))).metrics[0]


def test_a_message_is_written_byte_by_byte_as_the_schema_says() -> None:
    metric = Metric(name="T", alias=300, timestamp_ms=5, datatype=DataType.Float, value=1.5)
    inner = bytes.fromhex("0a0154 10ac02 1805 2009 65 0000c03f")
    assert encode(Payload(timestamp_ms=1, seq=0, metrics=(metric,))) == (
        bytes.fromhex("0801 12") + bytes([len(inner)]) + inner + bytes.fromhex("1800")
    )


@pytest.mark.parametrize(
    ("datatype", "value", "raw"),
    [
        (DataType.Int8, -1, "50ffffffff0f"),
        (DataType.Int16, -32768, "508080feff0f"),
        (DataType.Int64, -1, "58ffffffffffffffffff01"),
        (DataType.UInt32, 4294967295, "50ffffffff0f"),
        (DataType.UInt64, 2**64 - 1, "58ffffffffffffffffff01"),
        (DataType.Double, -2.0, "6900000000000000c0"),
        (DataType.Boolean, True, "7001"),
        (DataType.String, "°C", "7a03c2b043"),
        (DataType.Bytes, b"\x00\xff", "820102" + "00ff"),
        (DataType.DateTime, 1_700_000_000_000, "58" + "80d095ffbc31"),
    ],
)
def test_each_kind_of_value_has_its_field_and_its_bytes(datatype: DataType, value: object, raw: str) -> None:
    metric = Metric(datatype=datatype, value=value)  # type: ignore[arg-type]
    wire = encode(Payload(metrics=(metric,)))
    assert wire.endswith(bytes.fromhex(raw))
    assert one(metric) == metric


@pytest.mark.parametrize("raw", [0xFF, 0xFFFFFFFF])
def test_a_negative_byte_is_read_however_wide_it_was_written(raw: int) -> None:
    sent = Metric(datatype=DataType.Int8, value=raw, field=Field.INT)
    assert one(sent).value == -1
    assert signed(raw, DataType.Int8) == -1
    assert signed(0x80, DataType.UInt8) == 128


def test_data_without_a_type_keep_the_number_of_the_wire_and_say_its_field() -> None:
    sent = Metric(alias=7, datatype=DataType.Int16, value=-2, tells_type=False)
    read = one(sent)
    assert (read.datatype, read.value, read.field) == (None, 0xFFFFFFFE, Field.INT)
    assert signed(0xFFFFFFFE, DataType.Int16) == -2


def test_flags_properties_tables_and_templates_come_through() -> None:
    table = DataSet(
        columns=("a", "b", "c"),
        types=(DataType.Int32, DataType.String, DataType.Double),
        rows=((-5, "x", 0.25), (None, None, None)),
    )
    template = Template(
        version="1",
        template_ref="Motor",
        metrics=(Metric(name="rpm", datatype=DataType.Int32, value=-3),),
        parameters=(Parameter(name="index", datatype=DataType.UInt8, value=4),),
        is_definition=False,
    )
    sent = (
        Metric(name="table", datatype=DataType.DataSet, value=table),
        Metric(name="motor", datatype=DataType.Template, value=template),
        Metric(name="gone", datatype=DataType.Double, is_null=True, is_historical=True, is_transient=True),
        Metric(
            name="t",
            datatype=DataType.Double,
            value=1.0,
            properties={
                "engUnit": Property(datatype=DataType.String, value="°C"),
                "low": Property(datatype=DataType.Int32, value=-40),
                "none": Property(datatype=DataType.Double),
                "more": Property(
                    datatype=DataType.PropertySet,
                    value={"readOnly": Property(datatype=DataType.Boolean, value=True)},
                ),
                "list": Property(
                    datatype=DataType.PropertySetList,
                    value=({}, {"n": Property(datatype=DataType.UInt8, value=9)}),
                ),
            },
        ),
    )
    payload = Payload(timestamp_ms=3, seq=255, metrics=sent, uuid="u", body=b"\x01")
    assert decode(encode(payload)) == payload


def test_what_nobody_knows_is_skipped() -> None:
    metric = Metric(name="T", datatype=DataType.Double, value=1.0)
    unknown = bytes.fromhex("f80105 fd0101020304 f9010102030405060708 fa0102abcd")
    inner = encode(Payload(metrics=(metric,)))[2:] + unknown
    wire = unknown + b"\x12" + bytes([len(inner)]) + inner + bytes.fromhex("1803")
    assert decode(wire) == Payload(metrics=(metric,), seq=3)


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        ("08", "begins and does not end"),
        ("08" + "ff" * 11, "more than 10 bytes"),
        ("1205", "wants 5 bytes, 0 are left"),
        ("1a00", "field 3: a number was wanted, found wire type 2"),
        ("1001", "field 2: bytes were wanted"),
        ("0001", "field number 0"),
        ("0b", "wire type 3"),
        ("1203 7a01ff", "no UTF-8"),
        ("1202 6801", "wire type 1 was wanted, found 0"),
        ("1205 4a03 0a0161", "1 keys of properties and 0 values"),
    ],
)
def test_garbage_is_refused_with_the_place(wire: str, said: str) -> None:
    with pytest.raises(WireError, match=said):
        decode(bytes.fromhex(wire))


def test_a_bottomless_template_is_refused() -> None:
    deep = Template(metrics=())
    for _ in range(40):
        deep = Template(metrics=(Metric(datatype=DataType.Template, value=deep),))
    with pytest.raises(WireError, match="deeper than 32"):
        one(Metric(datatype=DataType.Template, value=deep))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_refused(wire: bytes) -> None:
    try:
        payload = decode(wire)
    except WireError:
        return
    assert decode(encode(payload)) == payload or any(math.isnan(v) for v in _floats(payload))


def _floats(payload: Payload) -> list[float]:
    return [m.value for m in payload.metrics if isinstance(m.value, float)]


@given(st.integers(0, 2**64 - 1), st.integers(0, 255), st.floats(width=32, allow_nan=False))
def test_numbers_come_through(alias: int, seq: int, value: float) -> None:
    metric = Metric(alias=alias, datatype=DataType.Float, value=value)
    payload = Payload(seq=seq, metrics=(metric,))
    assert decode(encode(payload)) == payload
    assert [number for number, _, _ in fields(encode(payload))] == [2, 3]


@pytest.mark.parametrize(
    ("datatype", "value", "said"),
    [
        (DataType.Int32, 2**32, "does not fit the 32 bits"),
        (DataType.Int32, "7", "does not belong in int_value"),
        (99, 7, "data type 99 has no field here"),
    ],
)
def test_what_a_field_cannot_carry_is_refused(datatype: int, value: int, said: str) -> None:
    with pytest.raises(WireError, match=said):
        encode(Payload(metrics=(Metric(name="T", datatype=datatype, value=value),)))


@pytest.mark.parametrize(
    ("datatype", "items", "wire"),
    [
        (DataType.Int16Array, (-30000, 30000), "d08a3075"),  # the example of the specification
        (
            DataType.BooleanArray,
            (False, False, True, True, False, True, False, False, True, True, False, True),
            "0c00000034d0",
        ),
        (DataType.StringArray, ("ABC", "hello"), "4142430068656c6c6f00"),
        (DataType.DateTimeArray, (1256102875335,), "c7d0907524010000"),
        (DataType.FloatArray, (1.5,), "0000c03f"),
        (DataType.DoubleArray, (), ""),
    ],
)
def test_arrays_are_packed_as_the_specification_shows(
    datatype: DataType, items: tuple[arrays.Item, ...], wire: str
) -> None:
    assert arrays.pack(datatype, items).hex() == wire
    assert arrays.unpack(datatype, bytes.fromhex(wire)) == items


@pytest.mark.parametrize(
    ("datatype", "wire"),
    [
        (DataType.Int32Array, "000000"),
        (DataType.BooleanArray, "ffffffff00"),
        (DataType.BooleanArray, "00"),
        (DataType.StringArray, "4142"),
        (DataType.StringArray, "ff00"),
        (DataType.Double, ""),
    ],
)
def test_arrays_that_do_not_come_out_even_are_refused(datatype: DataType, wire: str) -> None:
    with pytest.raises(WireError):
        arrays.unpack(datatype, bytes.fromhex(wire))
