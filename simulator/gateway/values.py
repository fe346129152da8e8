"""Values on their way into a tag, by its data type; and over the line to the scripts."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_BITS: Final = {"Int1": 8, "Int2": 16, "Int4": 32, "Int8": 64}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ConversionError(Exception):
    """The value does not fit the data type."""


def fit(value: Any, data_type: str) -> Any:
    """The value as the data type holds it; ``None`` stays. Raises ``ConversionError``.

    A number with a fraction does not fit a whole-number tag, and a text fits no number: Ignition may round or
    parse, and a script should not rely on it.
    """
    if value is None:
        return None
    try:
        return _FIT[data_type](value, data_type)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConversionError(f"{value!r} does not fit {data_type}: {error}") from error


def _whole(value: Any, data_type: str) -> int:
    if isinstance(value, str) or not isinstance(value, int | float):
        raise TypeError("a number was expected")
    if value != int(value):
        raise ValueError("it has a fraction")
    limit = 1 << _BITS[data_type] - 1
    if not -limit <= value < limit:
        raise ValueError("it is too large")
    return int(value)


def _real(value: Any, data_type: str) -> float:
    if isinstance(value, str) or not isinstance(value, int | float):
        raise TypeError("a number was expected")
    if data_type == "Float4":
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    return float(value)


def _truth(value: Any, _: str) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise TypeError("true, false, 0 or 1 was expected")


def _text(value: Any, _: str) -> str:
    return str(value)


def _moment(value: Any, _: str) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int) and not isinstance(value, bool):  # an export writes milliseconds
        return from_epoch_ms(value)
    raise TypeError("a date was expected")


_FIT: Final = {
    **dict.fromkeys(_BITS, _whole),
    "Float4": _real,
    "Float8": _real,
    "Boolean": _truth,
    "String": _text,
    "Text": _text,
    "DateTime": _moment,
}


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970, as java.util.Date counts."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def from_epoch_ms(number: int) -> datetime:
    """The moment so many milliseconds after 1970."""
    return _EPOCH + timedelta(milliseconds=number)


def to_line(value: Any) -> Any:
    """A tag's value for the line to the scripts."""
    return {"date": epoch_ms(value)} if isinstance(value, datetime) else value


def from_line(value: Any) -> Any:
    """A script's value from the line."""
    return from_epoch_ms(value["date"]) if isinstance(value, dict) else value
