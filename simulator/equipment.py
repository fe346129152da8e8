"""What stands in the plant: kinds of equipment, their signals, units, ranges and start values.

The node id of a signal is ``s=<EQUIPMENT>/<Signal>`` in the namespace ``urn:ignition-bridge:plant``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

DataType = Literal["Double", "Float", "Int32", "UInt32", "UInt64", "Boolean", "String", "DateTime"]
Kind = Literal["REACTOR", "PUMP", "VALVE", "MACHINE"]

PLANT: Final = "PLANT"
"""Stands for the whole server where a fault or a method asks for an equipment."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One variable of an equipment.

    ``low`` and ``high`` are the EURange in ``unit``, both included. For a writable signal they are hard limits
    kept by the server; for a measured one they only describe the scale.
    """

    name: str
    data_type: DataType = "Double"
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    writable: bool = False
    start: float | int | bool | str | None = None


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """One named machine and its signals, measured ones first."""

    name: str
    kind: Kind
    signals: tuple[Signal, ...]

    @property
    def main_signal(self) -> Signal:
        """The signal that sensor faults act on: ``Temperature`` where there is one, else the first."""
        return next((signal for signal in self.signals if signal.name == "Temperature"), self.signals[0])


REACTOR_MEASURED: Final = (
    Signal(name="Temperature", unit="°C", low=0.0, high=200.0),
    Signal(name="Pressure", unit="bar", low=0.0, high=10.0),
    Signal(name="FlowRate", unit="l/min", low=0.0, high=150.0),
    Signal(name="Throughput", unit="kg/h", low=0.0, high=1200.0),
)
REACTOR_SIGNALS: Final = (
    *REACTOR_MEASURED,
    Signal(name="State", data_type="Int32", start=1),
    Signal(
        name="ThroughputSetpoint",
        data_type="Float",
        unit="kg/h",
        low=0.0,
        high=1000.0,
        writable=True,
        start=500.0,
    ),
    Signal(name="CoolingOn", data_type="Boolean", writable=True, start=False),
)

PUMP_MEASURED: Final = (
    Signal(name="Speed", unit="rpm", low=0.0, high=3600.0),
    Signal(name="FlowRate", unit="l/min", low=0.0, high=400.0),
    Signal(name="Pressure", unit="bar", low=0.0, high=20.0),
    Signal(name="Temperature", unit="°C", low=0.0, high=200.0),
)
PUMP_SIGNALS: Final = (
    *PUMP_MEASURED,
    Signal(name="SpeedSetpoint", data_type="Int32", unit="rpm", low=0, high=3000, writable=True, start=1450),
)

VALVE_MEASURED: Final = (
    Signal(name="Position", unit="%", low=0.0, high=100.0),
    Signal(name="FlowRate", unit="l/min", low=0.0, high=200.0),
)
VALVE_SIGNALS: Final = (
    *VALVE_MEASURED,
    Signal(
        name="PositionSetpoint", data_type="Float", unit="%", low=0.0, high=100.0, writable=True, start=50.0
    ),
)

LOAD_SETPOINT: Final = Signal(
    name="LoadSetpoint", data_type="Float", unit="%", low=0.0, high=100.0, writable=True, start=100.0
)
"""The one handle on a replayed machine: a recording cannot answer, but a write to it can be refused or applied."""


def reactors(count: int) -> tuple[Equipment, ...]:
    """``REACTOR_01`` … ``REACTOR_<count>``, numbered with at least two digits."""
    return _numbered("REACTOR", count, REACTOR_SIGNALS)


def default_plant() -> tuple[Equipment, ...]:
    """Four reactors, two pumps, two valves."""
    return (*reactors(4), *_numbered("PUMP", 2, PUMP_SIGNALS), *_numbered("VALVE", 2, VALVE_SIGNALS))


def replayed_machine(name: str, signals: tuple[str, ...]) -> Equipment:
    """A machine whose measured signals (Double, no unit known) come from a recording."""
    return Equipment(name=name, kind="MACHINE", signals=(*(Signal(name=s) for s in signals), LOAD_SETPOINT))


def _numbered(kind: Kind, count: int, signals: tuple[Signal, ...]) -> tuple[Equipment, ...]:
    digits = max(2, len(str(count)))
    return tuple(
        Equipment(name=f"{kind}_{number:0{digits}d}", kind=kind, signals=signals)
        for number in range(1, count + 1)
    )
