"""Types, columns and values as a warehouse tells them to its clients."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_WHOLE: Final = frozenset(("TINYINT", "SMALLINT", "INT", "BIGINT"))
_INT_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Column:
    """``type`` is a plain name such as ``BIGINT``; precision and scale are digits, of ``DECIMAL`` alone."""

    name: str
    type: str
    precision: int | None = None
    scale: int | None = None

    @property
    def text(self) -> str:
        """As ``DESCRIBE`` shows it: ``DECIMAL(10,2)``."""
        return f"DECIMAL({self.precision},{self.scale})" if self.type == "DECIMAL" else self.type


@dataclass(frozen=True, slots=True)
class Typed:
    """A parameter as it travels: text and a type, ``None`` for NULL."""

    text: str | None
    type: str = "STRING"


Parameters = Mapping[str, object] | Sequence[object] | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement answers. ``affected`` is None for everything but INSERT, UPDATE, DELETE and MERGE.

    Values are Python's own: aware datetimes for TIMESTAMP, Decimal, date, float, int, bool, bytes, str, None.
    """

    columns: tuple[Column, ...] = ()
    rows: Sequence[tuple[object, ...]] = ()
    affected: int | None = None

    def as_text(self) -> list[list[str | None]]:
        """Every value as JSON_ARRAY shows it: text or None."""
        return [
            [text_of(value, column.type) for value, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]


def typed(value: object) -> Typed:
    """A Python value as the connector would send it. Raises ``TypeError`` for what it would not send."""
    match value:
        case Typed():
            return value
        case None:
            return Typed(None, "VOID")
        case bool():
            return Typed(str(value), "BOOLEAN")
        case int():
            return Typed(str(value), "INT" if -_INT_MAX - 1 <= value <= _INT_MAX else "BIGINT")
        case float():
            return Typed(repr(value), "DOUBLE")
        case str():
            return Typed(value, "STRING")
        case Decimal():
            return Typed(format(value, "f"), _decimal_type(value))
        case datetime():
            return Typed(str(value), "TIMESTAMP")
        case date():
            return Typed(value.isoformat(), "DATE")
    raise TypeError(f"a parameter of type {type(value).__name__} is not sent to a warehouse")


def _decimal_type(value: Decimal) -> str:
    digits = value.as_tuple()
    exponent = digits.exponent if isinstance(digits.exponent, int) else 0
    scale = max(0, -exponent)
    return f"DECIMAL({max(len(digits.digits) + max(0, exponent), scale, 1)},{scale})"


def column_of(name: str, type_text: str) -> Column:
    """From a type as it is written: ``decimal(10, 2)``, ``VARCHAR(50)`` (which results show as STRING)."""
    upper = type_text.upper()
    if match := _DECIMAL.fullmatch(upper):
        return Column(name, "DECIMAL", int(match[1]), int(match[2]))
    return Column(name, "STRING" if upper.startswith(("VARCHAR", "CHAR")) else upper)


def text_of(value: object, type_name: str) -> str | None:
    """One value as Databricks writes it in text; timestamps in the zone that they carry, without naming it."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case datetime():
            whole = value.strftime("%Y-%m-%d %H:%M:%S")
            return f"{whole}.{value.microsecond:06d}".rstrip("0") if value.microsecond else whole
        case float():
            return _double(value)
        case Decimal():
            return format(value, "f")
        case bytes():
            return value.hex().upper()
        case list() | dict():
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return str(value)


def _double(value: float) -> str:
    """Java's way: ``1.0E10`` outside of 10⁻³ … 10⁷, ``Infinity``."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0.0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    mantissa, _, exponent = f"{Decimal(repr(value)):E}".partition("E")
    digits = mantissa.rstrip("0") if "." in mantissa else f"{mantissa}.0"
    return f"{digits}0E{int(exponent)}" if digits.endswith(".") else f"{digits}E{int(exponent)}"


def is_whole(type_name: str) -> bool:
    """Whether it is one of the whole-number types."""
    return type_name in _WHOLE
