"""Java's patterns for numbers and dates (DecimalFormat, SimpleDateFormat), for expressions and format transforms."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Final


class FormatError(ValueError):
    """The pattern is none of Java's, or one that is not supported; or the value does not go with it."""


_NUMBER: Final = re.compile(
    r"(?P<prefix>(?:[^#0,.']|'[^']*')*)(?P<body>[#0,.]+)(?P<suffix>(?:[^#0,.']|'[^']*')*)"
)
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DATE: Final = re.compile(r"'(?:[^']|'')*'|([A-Za-z])\1*|[^A-Za-z']+")


def format_number(value: object, pattern: str) -> str:
    """A number as DecimalFormat writes it, halves to even. Raises ``FormatError``."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise FormatError(f"a number is wanted, found {value!r}")
    positive, _, negative = pattern.partition(";")
    match = _NUMBER.fullmatch(positive)
    if match is None:
        raise FormatError(f"number pattern {pattern!r} is not supported")
    try:
        number = Decimal(value)
        if not number.is_finite():
            return {"Infinity": "∞", "-Infinity": "-∞"}.get(str(number), "NaN")
        digits = _digits(abs(number) * (100 if "%" in positive else 1), match["body"])
    except InvalidOperation as error:
        raise FormatError(f"{value!r} is too large for {pattern!r}") from error
    prefix, suffix = _literal(match["prefix"]), _literal(match["suffix"])
    if number < 0 and re.search(r"[1-9]", digits):
        other = _NUMBER.fullmatch(negative)
        if other is not None:
            return _literal(other["prefix"]) + digits + _literal(other["suffix"])
        prefix = "-" + prefix
    return prefix + digits + suffix


def _digits(number: Decimal, body: str) -> str:
    whole, _, fraction = body.partition(".")
    if "," in fraction or "." in fraction:
        raise FormatError(f"number pattern {body!r} is not supported")
    least, most = fraction.count("0"), len(fraction)
    rounded = number.quantize(Decimal(1).scaleb(-most), rounding=ROUND_HALF_EVEN)
    text = f"{rounded:f}"
    before, _, after = text.partition(".")
    after = after[:least] + after[least:].rstrip("0")
    before = before.lstrip("0").rjust(whole.count("0"), "0")
    _, comma, last = whole.rpartition(",")
    if comma and last:
        size = len(last)
        head = len(before) % size
        groups = [before[:head]] if head else []
        before = ",".join([*groups, *(before[i : i + size] for i in range(head, len(before), size))])
    if not before and not after:
        before = "0"
    return f"{before}.{after}" if after else before


def _literal(text: str) -> str:
    return re.sub(r"'([^']*)'", lambda quoted: quoted[1] or "'", text)


def format_date(moment: object, pattern: str, zone: tzinfo) -> str:
    """A moment as SimpleDateFormat writes it in this time zone. Raises ``FormatError``."""
    if not isinstance(moment, datetime):
        raise FormatError(f"a date is wanted, found {moment!r}")
    local = moment.astimezone(zone)
    found, place = [], 0
    for match in _DATE.finditer(pattern):
        if match.start() != place:
            break
        place = match.end()
        text = match[0]
        if text.startswith("'"):
            found.append("'" if text == "''" else text[1:-1].replace("''", "'"))
        elif match[1]:
            found.append(_field(local, match[1], len(text)))
        else:
            found.append(text)
    if place != len(pattern):
        raise FormatError(f"date pattern {pattern!r}: a quote is not closed")
    return "".join(found)


def _field(local: datetime, letter: str, width: int) -> str:
    match letter:
        case "y":
            return f"{local.year % 100:02}" if width == 2 else f"{local.year:0{width}}"
        case "M" if width >= 3:
            name = _MONTHS[local.month - 1]
            return name if width > 3 else name[:3]
        case "E":
            day = _DAYS[local.weekday()]
            return day if width > 3 else day[:3]
        case "a":
            return "AM" if local.hour < 12 else "PM"
        case "z":
            return local.tzname() or "UTC"
        case "Z" | "X":
            return _offset(local, letter, width)
    numbers = {
        "M": local.month,
        "d": local.day,
        "D": local.timetuple().tm_yday,
        "H": local.hour,
        "k": local.hour or 24,
        "K": local.hour % 12,
        "h": local.hour % 12 or 12,
        "m": local.minute,
        "s": local.second,
        "S": local.microsecond // 1000,
    }
    if letter not in numbers:
        raise FormatError(f"date pattern letter {letter!r} is not supported")
    return f"{numbers[letter]:0{width}}"


def _offset(local: datetime, letter: str, width: int) -> str:
    shift = local.utcoffset() or timedelta()
    if letter == "X" and not shift:
        return "Z"
    minutes = int(shift.total_seconds()) // 60
    sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
    hours, rest = divmod(minutes, 60)
    if letter == "X" and width == 1:
        return f"{sign}{hours:02}"
    return f"{sign}{hours:02}{':' if letter == 'X' and width == 3 else ''}{rest:02}"
