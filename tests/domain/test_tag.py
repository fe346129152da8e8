"""Is a value never turned into another on its way to a tag, and is a read-back judged by the tag's own type?"""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.tag import DataType, Value, as_written, conforms, equal_enough

INTEGERS = {
    DataType.SBYTE: (-128, 127),
    DataType.BYTE: (0, 255),
    DataType.INT16: (-32768, 32767),
    DataType.UINT16: (0, 65535),
    DataType.INT32: (-2147483648, 2147483647),
    DataType.UINT32: (0, 4294967295),
    DataType.INT64: (-(2**53), 2**53),  # what a double holds exactly, as the command table does
    DataType.UINT64: (0, 2**53),
}
FLOATS = (DataType.FLOAT, DataType.DOUBLE)
NUMBERS = (*INTEGERS, *FLOATS)


def test_every_type_is_looked_at_here() -> None:
    """A type that is added must be added to these tables."""
    assert {*NUMBERS, DataType.BOOLEAN, DataType.STRING} == set(DataType)


@pytest.mark.parametrize("data_type", INTEGERS)
def test_an_integer_tag_takes_its_own_range_and_not_one_more(data_type: DataType) -> None:
    """Both ends of the type's range must be taken, and one beyond refused."""
    low, high = INTEGERS[data_type]
    assert conforms(low, data_type) is None
    assert conforms(high, data_type) is None
    assert conforms(low - 1, data_type) is not None
    assert conforms(high + 1, data_type) is not None


@pytest.mark.parametrize("data_type", INTEGERS)
@pytest.mark.parametrize("value", [1.5, 1.0, math.nan, math.inf, True, "1", None, [1]])
def test_an_integer_tag_takes_nothing_but_an_integer(data_type: DataType, value: object) -> None:
    """A float, even a whole one, a boolean, text and nothing must be refused with what was found."""
    wrong = conforms(value, data_type)
    assert wrong is not None
    assert repr(value) in wrong
    assert str(data_type) in wrong


@pytest.mark.parametrize("data_type", FLOATS)
@pytest.mark.parametrize("value", [0, -7, 1.5, 3.4e38, -0.0])
def test_a_float_tag_takes_finite_numbers(data_type: DataType, value: float) -> None:
    """Integers and finite floats must be taken."""
    assert conforms(value, data_type) is None


@pytest.mark.parametrize("data_type", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1.5", None])
def test_a_float_tag_takes_nothing_but_finite_numbers(data_type: DataType, value: object) -> None:
    """NaN, infinity, booleans and text must be refused."""
    assert conforms(value, data_type) is not None


@pytest.mark.parametrize(
    ("value", "data_type"),
    [
        (3.5e38, DataType.FLOAT),
        (-3.5e38, DataType.FLOAT),
        (10**39, DataType.FLOAT),
        (10**400, DataType.DOUBLE),
    ],
)
def test_a_number_that_the_type_cannot_hold_is_refused(value: float, data_type: DataType) -> None:
    """A number beyond the type's largest must be refused and not become infinity on the wire."""
    assert conforms(value, data_type) is not None


@pytest.mark.parametrize(
    ("value", "ok"), [(True, True), (False, True), (1, False), (0.0, False), ("true", False)]
)
def test_a_boolean_tag_takes_booleans_only(value: object, ok: bool) -> None:
    """One and zero are no booleans on the way to the plant."""
    assert (conforms(value, DataType.BOOLEAN) is None) is ok


@pytest.mark.parametrize("value", ["on", 1, True, 1.5])
def test_a_text_tag_is_never_a_set_point(value: object) -> None:
    """Nothing conforms to String."""
    assert conforms(value, DataType.STRING) is not None


@pytest.mark.parametrize(
    ("number", "data_type", "expected"),
    [
        (1.0, DataType.BOOLEAN, True),
        (0.0, DataType.BOOLEAN, False),
        (7.0, DataType.INT16, 7),
        (-3.0, DataType.SBYTE, -3),
        (2.0**53, DataType.INT64, 2**53),
        (7.25, DataType.FLOAT, 7.25),
        (7.0, DataType.DOUBLE, 7.0),
    ],
)
def test_a_number_of_the_command_table_gets_its_type_back(
    number: float, data_type: DataType, expected: Value
) -> None:
    """The value must come back in the tag's own type, so that the link writes what was approved."""
    value = as_written(number, data_type)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("number", "data_type"),
    [
        (2.0, DataType.BOOLEAN),
        (0.5, DataType.BOOLEAN),
        (math.nan, DataType.BOOLEAN),
        (7.5, DataType.INT32),
        (math.nan, DataType.INT32),
        (math.inf, DataType.UINT16),
    ],
)
def test_a_number_that_is_no_value_of_the_type_is_refused(number: float, data_type: DataType) -> None:
    """Half a boolean and a fraction of an integer must be errors, never rounded."""
    with pytest.raises(ValueError, match=repr(number)):
        as_written(number, data_type)


@given(st.sampled_from(list(INTEGERS)), st.data())
def test_an_integer_survives_the_command_table(data_type: DataType, data: st.DataObject) -> None:
    """Every value that conforms must come back exactly after having been a double."""
    value = data.draw(st.integers(*INTEGERS[data_type]))
    assert conforms(value, data_type) is None
    assert as_written(float(value), data_type) == value
    assert equal_enough(value, as_written(float(value), data_type), data_type=data_type, tolerance=0.0)


def as_float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


@given(st.floats(-3.4e38, 3.4e38).filter(lambda value: value == 0 or abs(value) > 1.2e-38))
def test_a_float_tag_confirms_what_it_can_hold(value: float) -> None:
    """The nearest 32-bit number must confirm a write for every value in range, without any tolerance."""
    assert equal_enough(as_float32(value), value, data_type=DataType.FLOAT, tolerance=0.0)


@given(st.floats(1e-30, 1e30), st.sampled_from([1, -1]))
def test_a_float_tag_does_not_confirm_a_value_that_is_off_by_more(value: float, sign: int) -> None:
    """A millionth beside must not count as the same."""
    assert not equal_enough(value * (1 + sign * 1e-6), value, data_type=DataType.FLOAT, tolerance=0.0)


@pytest.mark.parametrize(
    ("found", "wanted", "data_type", "tolerance", "same"),
    [
        (405.5, 405.0, DataType.DOUBLE, 0.5, True),
        (405.51, 405.0, DataType.DOUBLE, 0.5, False),
        (404.5, 405.0, DataType.DOUBLE, 0.5, True),
        (405.0, 405.0, DataType.DOUBLE, 0.0, True),
        (405.0000001, 405.0, DataType.DOUBLE, 0.0, False),
        (as_float32(0.1), 0.1, DataType.FLOAT, 0.0, True),
        (as_float32(0.1), 0.1, DataType.DOUBLE, 0.0, False),
        (5, 5, DataType.INT16, 0.0, True),
        (6, 5, DataType.INT16, 0.0, False),
        (6, 5, DataType.INT16, 1.0, True),
        (0.0, 0.0, DataType.FLOAT, 0.0, True),
        (1e-9, 0.0, DataType.FLOAT, 0.0, False),
        (-0.0, 0.0, DataType.DOUBLE, 0.0, True),
        (math.nan, 405.0, DataType.DOUBLE, 1e9, False),
        (math.inf, 405.0, DataType.DOUBLE, 1e9, False),
        (True, True, DataType.BOOLEAN, 0.0, True),
        (False, True, DataType.BOOLEAN, 5.0, False),
        (1, True, DataType.BOOLEAN, 0.0, False),
        (1.0, True, DataType.BOOLEAN, 0.0, False),
        (True, 1, DataType.INT16, 0.0, False),
        ("on", "on", DataType.STRING, 0.0, True),
        ("405", 405.0, DataType.DOUBLE, 5.0, False),
    ],
)
def test_a_read_back_confirms_only_what_was_written(
    found: Value, wanted: Value, data_type: DataType, tolerance: float, same: bool
) -> None:
    """Equal within the tolerance, or one rounding step of the type; another type is never the same."""
    assert equal_enough(found, wanted, data_type=data_type, tolerance=tolerance) is same
