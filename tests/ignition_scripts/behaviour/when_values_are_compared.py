# mypy: ignore-errors
"""Is a value taken for another only where the tag's own type cannot tell them apart?"""

from __future__ import unicode_literals

from bridge import values

EQUAL = [
    (405.0, 405.0, "Double", 0.0),
    (405, 405.0, "Double", 0.0),
    (0.10000000149011612, 0.1, "Float", 0.0),
    (405.4, 405.0, "Float", 0.5),
    (True, True, "Boolean", 0.0),
    (7, 7, "Int16", 0.0),
    (2**53, 2**53, "Int64", 0.0),
]
DIFFERENT = [
    (0.10000000149011612, 0.1, "Double", 0.0),
    (405.6, 405.0, "Float", 0.5),
    (1, True, "Boolean", 0.0),
    (True, 1, "Int16", 5.0),
    (True, False, "Boolean", 1.0),
    (float("nan"), 405.0, "Double", 1e9),
    (float("inf"), 405.0, "Double", 1e9),
    (None, 405.0, "Double", 1e9),
    ("405", 405.0, "Double", 1e9),
]
WRITTEN = [
    (405.0, "Float", 405.0, float),
    (405.0, "Double", 405.0, float),
    (1.0, "Boolean", True, bool),
    (0.0, "Boolean", False, bool),
    (7.0, "Int16", 7, int),
    (255.0, "Byte", 255, int),
    (4294967295.0, "UInt32", 4294967295, int),
]
UNWRITABLE = [
    (0.5, "Boolean"),
    (2.0, "Boolean"),
    (7.5, "Int16"),
    (32768.0, "Int16"),
    (-1.0, "UInt16"),
    (256.0, "Byte"),
    (2.0**54, "Int64"),
    (1e39, "Float"),
    (float("nan"), "Double"),
    (float("inf"), "Double"),
    (1.0, "String"),
    (1.0, None),
    (None, "Double"),
    (True, "Double"),
]
SHOWN = [
    (405.0, "kg/h", "405 kg/h"),
    (7, "", "7"),
    (True, "", "on"),
    (False, None, "off"),
    (None, "kg/h", "nothing"),
    (0.1, "\u00b0C", "0.1 \u00b0C"),
    ("\u00fc", "", "\u00fc"),
    (1234567.0, "", "1234567"),
    (123.4567, "", "123.4567"),
    (0.0004, "", "0.0004"),
    (-337.5, "kg/h", "-337.5 kg/h"),
    (0.0, "", "0"),
    (0.1 + 0.2, "", "0.30000000000000004"),
    (0.10000000149011612, "", "0.10000000149011612"),
    (2.0**53, "", "9007199254740992"),
    (1e22, "", "10000000000000000000000"),
    (2e-3, "", "0.002"),
    (5e-324, "", "0." + "0" * 323 + "5"),
    (float("inf"), "", "inf"),
]
READ = [
    (0.10000000149011612, "", "0.1"),
    (450.1000061035156, "kg/h", "450.1 kg/h"),
    (449.8, "", "449.8"),
    (16777215.0, "", "16777215"),
    (3.4028234663852886e38, "", "3402823466" + "0" * 29),
    (0.30000000000000004, "", "0.30000000000000004"),
    (1e300, "", "1" + "0" * 300),
    (-0.0, "", "0"),
    (7, "", "7"),
    (True, "", "on"),
    (None, "", "nothing"),
]


def it_calls_equal_what_the_type_cannot_tell_apart():
    for found, wanted, data_type, tolerance in EQUAL:
        assert values.equalEnough(found, wanted, data_type, tolerance), (found, wanted, data_type)


def it_calls_different_everything_else():
    for found, wanted, data_type, tolerance in DIFFERENT:
        assert not values.equalEnough(found, wanted, data_type, tolerance), (found, wanted, data_type)


def it_gives_a_number_of_the_table_its_own_type_back():
    for number, data_type, wanted, kind in WRITTEN:
        found = values.asWritten(number, data_type)
        assert found == wanted, (number, data_type, found)
        assert isinstance(found, bool) == (kind is bool)
        assert isinstance(found, float) == (kind is float)


def it_refuses_what_the_type_cannot_hold():
    for number, data_type in UNWRITABLE:
        try:
            found = values.asWritten(number, data_type)
        except ValueError:
            continue
        raise AssertionError("%r as %s became %r" % (number, data_type, found))


def it_shows_values_as_people_read_them():
    for value, unit, wanted in SHOWN:
        assert values.show(value, unit) == wanted, (value, values.show(value, unit))


def it_shows_what_a_float_tag_holds_as_it_was_meant():
    for value, unit, wanted in READ:
        assert values.showRead(value, unit) == wanted, (value, values.showRead(value, unit))
