"""A tag: one name everywhere, where it is reached, what type it has, and whether it may be written."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from enum import StrEnum

from bridge.domain.limits import WriteLimits

Value = bool | int | float | str
"""What a tag can hold. Set-points are numbers or booleans only."""


class Route(StrEnum):
    """Who moves the bytes of a command."""

    OPCUA = "opcua"
    MQTT = "mqtt"
    GATEWAY = "gateway"  # Ignition's timer script executes; the bridge only watches


class DataType(StrEnum):
    """Types a tag may declare; the names are OPC UA's."""

    BOOLEAN = "Boolean"
    SBYTE = "SByte"
    BYTE = "Byte"
    INT16 = "Int16"
    UINT16 = "UInt16"
    INT32 = "Int32"
    UINT32 = "UInt32"
    INT64 = "Int64"
    UINT64 = "UInt64"
    FLOAT = "Float"
    DOUBLE = "Double"
    STRING = "String"


_INTEGER_BOUNDS = {
    DataType.SBYTE: (-(2**7), 2**7 - 1),
    DataType.BYTE: (0, 2**8 - 1),
    DataType.INT16: (-(2**15), 2**15 - 1),
    DataType.UINT16: (0, 2**16 - 1),
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.UINT32: (0, 2**32 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UINT64: (0, 2**64 - 1),
}
_FLOAT_MAX = 3.4028234663852886e38  # largest finite IEEE 754 binary32
_DOUBLE_MAX = sys.float_info.max
_EXACT_INTEGER_MAX = 2**53  # agent_commands.new_value is a double: beyond this it would round


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """One tag of the plant.

    `signal` names what a measured tag stands for on its equipment (temperature, pressure, flow_rate, …);
    `setpoint` names what a writable tag stands for (throughput, cooling, …). `limits` is None for a tag
    that may never be written.
    """

    path: str
    equipment_id: str
    link: str
    route: Route
    address: str
    data_type: DataType
    unit: str = ""
    signal: str | None = None
    setpoint: str | None = None
    stale_after_s: float = 60.0
    limits: WriteLimits | None = None

    @property
    def writable(self) -> bool:
        """True only when limits were given: not listed means never written."""
        return self.limits is not None


def conforms(value: object, data_type: DataType) -> str | None:
    """Say why a value cannot be written to a tag of this type, or None when it can.

    Nothing is converted on the way: a float is not an integer even when it is whole, an integer is not a
    boolean, and NaN or infinity is never a set-point.
    """
    if data_type is DataType.BOOLEAN:
        return None if isinstance(value, bool) else f"wanted a Boolean, found {_describe(value)}"
    if data_type is DataType.STRING:
        return "a String tag cannot be a set-point"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"wanted a {data_type} number, found {_describe(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"wanted a finite {data_type} number, found {value!r}"
    bounds = _INTEGER_BOUNDS.get(data_type)
    if bounds is not None:
        if isinstance(value, float):
            return f"wanted a whole {data_type}, found {value!r}"
        if not bounds[0] <= value <= bounds[1]:
            return f"wanted a {data_type} from {bounds[0]} to {bounds[1]}, found {value!r}"
        if abs(value) > _EXACT_INTEGER_MAX:
            return f"wanted a whole number within ±2^53 (the command table holds doubles), found {value!r}"
    elif data_type is DataType.FLOAT and abs(value) > _FLOAT_MAX:
        return f"wanted a Float within ±{_FLOAT_MAX:g}, found {value!r}"
    elif abs(value) > _DOUBLE_MAX:  # an integer may be of any size
        return f"wanted a Double within ±{_DOUBLE_MAX:g}, found {value!r}"
    return None


def as_written(number: float, data_type: DataType) -> Value:
    """Give a number from the command table back the tag's own type, or raise ValueError.

    The table holds every set-point as a double: Boolean as 0 or 1, integers as whole numbers.
    """
    if data_type is DataType.BOOLEAN:
        if number not in (0.0, 1.0):
            raise ValueError(f"wanted 0 or 1 for a Boolean tag, found {number!r}")
        return bool(number)
    if data_type in _INTEGER_BOUNDS:
        if not math.isfinite(number) or number != math.floor(number):
            raise ValueError(f"wanted a whole number for a {data_type} tag, found {number!r}")
        return int(number)
    return float(number)


def equal_enough(found: Value, wanted: Value, *, data_type: DataType, tolerance: float) -> bool:
    """Decide whether a read-back confirms a write.

    Equal within `tolerance` (engineering units), but never stricter than one rounding step of the tag's
    own type: a Float tag cannot hold 0.1 exactly and must not be called mismatched for that.
    """
    if isinstance(wanted, bool | str) or isinstance(found, bool | str):
        return type(found) is type(wanted) and found == wanted
    if not math.isfinite(found):
        return False
    quantum = abs(wanted) * 2**-23 if data_type is DataType.FLOAT else abs(wanted) * 2**-52
    return abs(found - wanted) <= max(tolerance, quantum)


def _describe(value: object) -> str:
    return f"{type(value).__name__} {value!r}"
