# mypy: ignore-errors
"""Parameters on their way into a statement: by the declared type of a named query, or as they are.

Stricter than Ignition, which turns much into much: what would lose something on the way is refused.
"""

from java.lang import Boolean, Double, Float, IllegalArgumentException, Integer, Long
from java.math import BigDecimal, BigInteger
from java.sql import Timestamp, Types
from java.util import Date

INTEGERS = {0: ("Int1", 8), 1: ("Int2", 16), 2: ("Int4", 32), 3: ("Int8", 64)}
_SQL_TYPES = {
    0: Types.SMALLINT,
    1: Types.SMALLINT,
    2: Types.INTEGER,
    3: Types.BIGINT,
    4: Types.REAL,
    5: Types.DOUBLE,
    6: Types.BOOLEAN,
    7: Types.VARCHAR,
    8: Types.TIMESTAMP,
}


def _refuse(name, value, wanted):
    raise IllegalArgumentException(
        "parameter '%s': %r (%s) cannot be made a %s" % (name, value, type(value).__name__, wanted)
    )


def _number(name, value, wanted):
    if isinstance(value, (bool, int, long, float)):
        return value
    if isinstance(value, (BigDecimal, BigInteger)):
        return value.doubleValue()
    return _refuse(name, value, wanted)


def typed(name, sql_type, value):
    """The Java object for a value of a named query's parameter."""
    if sql_type in INTEGERS:
        wanted, bits = INTEGERS[sql_type]
        number = _number(name, value, wanted)
        if number != int(number) or not -(1 << bits - 1) <= number < 1 << bits - 1:
            _refuse(name, value, wanted)
        return Long(int(number)) if bits == 64 else Integer(int(number))
    if sql_type in (4, 5):
        number = float(_number(name, value, "Float"))
        return Float(number) if sql_type == 4 else Double(number)
    if sql_type == 6:
        if isinstance(value, bool) or value in (0, 1):
            return Boolean(bool(value))
        return _refuse(name, value, "Boolean")
    if sql_type == 7:
        if isinstance(value, (dict, list, tuple, set)):
            return _refuse(name, value, "String")
        return _text(value)
    if sql_type == 8:
        if isinstance(value, Date):
            return Timestamp(value.getTime())
        return _refuse(name, value, "DateTime; make one with system.date")
    raise IllegalArgumentException(
        "parameter '%s': sqlType %r is not supported by the stand-in" % (name, sql_type)
    )


def _text(value):
    if isinstance(value, unicode):
        return value
    if isinstance(value, str):
        return value.decode("utf-8")
    return unicode(value)


def bind_typed(statement, values):
    """``values``: (name, sqlType, value) in the order of the question marks."""
    for place, (name, sql_type, value) in enumerate(values, 1):
        if sql_type not in _SQL_TYPES:
            raise IllegalArgumentException(
                "parameter '%s': sqlType %r is not supported by the stand-in" % (name, sql_type)
            )
        if value is None:
            statement.setNull(place, _SQL_TYPES[sql_type])
        elif sql_type == 8:
            statement.setTimestamp(place, typed(name, sql_type, value))
        else:
            statement.setObject(place, typed(name, sql_type, value))


def bind_plain(statement, values):
    """The arguments of runPrepQuery and its kind: the driver decides by the Java type."""
    for place, value in enumerate(values, 1):
        if isinstance(value, long):
            value = Long(value)
        elif isinstance(value, str):
            value = value.decode("utf-8")
        elif isinstance(value, Date) and not isinstance(value, Timestamp):
            value = Timestamp(value.getTime())
        statement.setObject(place, value)
