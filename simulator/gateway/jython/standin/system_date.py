# mypy: ignore-errors
"""system.date: java.util.Date in, java.util.Date out, patterns as SimpleDateFormat reads them."""

from java.lang import IllegalArgumentException
from java.text import SimpleDateFormat
from java.time import Instant
from java.time.temporal import ChronoUnit
from java.util import Calendar, Date

PATTERN = "yyyy-MM-dd HH:mm:ss"
_FIELDS = {
    "Year": Calendar.YEAR,
    "Month": Calendar.MONTH,
    "DayOfMonth": Calendar.DAY_OF_MONTH,
    "DayOfWeek": Calendar.DAY_OF_WEEK,
    "DayOfYear": Calendar.DAY_OF_YEAR,
    "Hour24": Calendar.HOUR_OF_DAY,
    "Hour12": Calendar.HOUR,
    "Minute": Calendar.MINUTE,
    "Second": Calendar.SECOND,
    "Millis": Calendar.MILLISECOND,
}
_STEPS = {
    "Years": Calendar.YEAR,
    "Months": Calendar.MONTH,
    "Weeks": Calendar.WEEK_OF_YEAR,
    "Days": Calendar.DAY_OF_MONTH,
    "Hours": Calendar.HOUR_OF_DAY,
    "Minutes": Calendar.MINUTE,
    "Seconds": Calendar.SECOND,
    "Millis": Calendar.MILLISECOND,
}
_UNITS = {
    "days": ChronoUnit.DAYS,
    "hours": ChronoUnit.HOURS,
    "minutes": ChronoUnit.MINUTES,
    "seconds": ChronoUnit.SECONDS,
    "millis": ChronoUnit.MILLIS,
}


def _date(value, function):
    if not isinstance(value, Date):
        raise TypeError("%s(): a java.util.Date is wanted, found %s" % (function, type(value).__name__))
    return value


def _calendar(value, function):
    calendar = Calendar.getInstance()
    calendar.setTime(_date(value, function))
    return calendar


def _getter(function, field):
    return lambda date: _calendar(date, function).get(field)


def _adder(function, field):
    def add(date, value):
        calendar = _calendar(date, function)
        calendar.add(field, value)
        return calendar.getTime()

    return add


def _between(function, unit):
    def between(date_1, date_2):
        first = Instant.ofEpochMilli(_date(date_1, function).getTime())
        return int(unit.between(first, Instant.ofEpochMilli(_date(date_2, function).getTime())))

    return between


def _format(date, format=PATTERN):
    return SimpleDateFormat(format).format(_date(date, "format"))


def _parse(dateString, formatString=PATTERN):
    return SimpleDateFormat(formatString).parse(dateString)


def _midnight(date):
    return _set_time(date, 0, 0, 0)


def _set_time(date, hour, minute, second):
    calendar = _calendar(date, "setTime")
    for field, value in (
        (Calendar.HOUR_OF_DAY, hour),
        (Calendar.MINUTE, minute),
        (Calendar.SECOND, second),
        (Calendar.MILLISECOND, 0),
    ):
        calendar.set(field, value)
    return calendar.getTime()


def _get_date(year, month, day):
    if not 0 <= month <= 11:
        raise IllegalArgumentException("getDate: months count from 0 to 11, found %r" % month)
    calendar = Calendar.getInstance()
    calendar.clear()
    calendar.set(year, month, day)
    return calendar.getTime()


def functions():
    found = {
        "format": _format,
        "parse": _parse,
        "midnight": _midnight,
        "setTime": _set_time,
        "getDate": _get_date,
        "fromMillis": lambda millis: Date(long(millis)),
        "toMillis": lambda date: _date(date, "toMillis").getTime(),
        "isBefore": lambda date_1, date_2: _date(date_1, "isBefore").before(_date(date_2, "isBefore")),
        "isAfter": lambda date_1, date_2: _date(date_1, "isAfter").after(_date(date_2, "isAfter")),
        "isBetween": lambda target, start, end: (
            not (
                _date(target, "isBetween").before(_date(start, "isBetween"))
                or target.after(_date(end, "isBetween"))
            )
        ),
    }
    found["now"] = lambda: Date()  # a bare class would take arguments that now() does not have
    for name, field in _FIELDS.items():
        found["get" + name] = _getter("get" + name, field)
    for name, field in _STEPS.items():
        found["add" + name] = _adder("add" + name, field)
    for name, unit in _UNITS.items():
        found[name + "Between"] = _between(name + "Between", unit)
    # Ignition counts weekdays from Sunday = 1 and months from 0, as Calendar does
    return found
