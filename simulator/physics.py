"""How the plant behaves between two ticks: first-order lags, vectorised over all equipment of a kind.

Pure: no clock, no network. The same seed and the same sequence of steps and set-points give the same values,
bit by bit. Temperatures in °C, pressures in bar (gauge), coolant and product flows in l/min, throughput in kg/h,
time in plant seconds.

A reactor in its normal state (500 kg/h, cooling off) rests at 75 °C, so the usual limits of 85, 90 and 95 °C are
far beyond the noise (0.15 °C). Where it comes to rest otherwise:

=============  ============  ======================  ==========================
fault          left alone    375 kg/h and cooling    250 kg/h and cooling
=============  ============  ======================  ==========================
none           75 °C         46 °C                   28 °C
overheat       93 °C         59 °C                   37 °C
coolant_loss   93 °C         74 °C                   57 °C
runaway        131 °C        88 °C (not enough)      56 °C
=============  ============  ======================  ==========================
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

AMBIENT_C: Final = 25.0
HEAT_C_PER_KG_H: Final = 0.14
COOLING_C_PER_L_MIN: Final = 0.4
COOLANT_NORMAL_L_MIN: Final = 50.0
COOLANT_BOOSTED_L_MIN: Final = 80.0
OVERHEAT_FACTOR: Final = 88.0 / 70.0  # uncontrolled rest at 93 °C: crosses 85 and 90, never 95
RUNAWAY_FACTOR: Final = 1.8
COOLANT_LOSS_FACTOR: Final = 0.1
SURGE_BAR: Final = 2.5

TAU_TEMPERATURE_S: Final = 7.0
TAU_PRESSURE_S: Final = 3.0
TAU_FLOW_S: Final = 1.5
TAU_THROUGHPUT_S: Final = 2.0
TAU_PUMP_S: Final = 1.5
TAU_MOTOR_S: Final = 20.0
TAU_VALVE_S: Final = 1.5

LONGEST_STEP_S: Final = 0.5
"""Longer steps are cut up: the lags feed each other, and a fast clock must not change where they end."""

STOPPED: Final = 0
RUNNING: Final = 1
COOLING: Final = 2


def _relax(value: Floats, target: Floats, *, dt_s: float, tau_s: float) -> None:
    value += (target - value) * (1.0 - np.exp(-dt_s / tau_s))


def _pieces(dt_s: float) -> tuple[int, float]:
    if dt_s < 0.0:
        raise ValueError(f"a plant cannot step back in time: dt_s is {dt_s}")
    count = max(1, int(np.ceil(dt_s / LONGEST_STEP_S)))
    return count, dt_s / count


class Reactors:
    """``count`` reactors. Set-points and fault factors are arrays to be written by index."""

    def __init__(self, count: int, *, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self.throughput_setpoint_kg_h: Floats = np.full(count, 500.0)
        self.cooling_on: NDArray[np.bool_] = np.zeros(count, dtype=np.bool_)
        self.heat_factor: Floats = np.ones(count)
        self.flow_factor: Floats = np.ones(count)
        self.surge_bar: Floats = np.zeros(count)
        self.throughput_kg_h: Floats = np.full(count, 500.0)
        self.coolant_l_min: Floats = np.full(count, COOLANT_NORMAL_L_MIN)
        self.temperature_c: Floats = self.resting_temperature_c()
        self.pressure_bar: Floats = self._pressure_target_bar()

    def resting_temperature_c(self) -> Floats:
        """Where the temperatures would come to rest with the throughput and coolant of this moment."""
        return np.asarray(
            AMBIENT_C
            + HEAT_C_PER_KG_H * self.throughput_kg_h * self.heat_factor
            - COOLING_C_PER_L_MIN * self.coolant_l_min
        )

    def _pressure_target_bar(self) -> Floats:
        return np.maximum(0.0, 3.0 + 0.05 * (self.temperature_c - 75.0)) + self.surge_bar

    def step(self, dt_s: float) -> None:
        """Let ``dt_s`` plant seconds pass."""
        count, piece_s = _pieces(dt_s)
        for _ in range(count):
            _relax(self.throughput_kg_h, self.throughput_setpoint_kg_h, dt_s=piece_s, tau_s=TAU_THROUGHPUT_S)
            coolant = (
                np.where(self.cooling_on, COOLANT_BOOSTED_L_MIN, COOLANT_NORMAL_L_MIN) * self.flow_factor
            )
            _relax(self.coolant_l_min, coolant, dt_s=piece_s, tau_s=TAU_FLOW_S)
            _relax(self.temperature_c, self.resting_temperature_c(), dt_s=piece_s, tau_s=TAU_TEMPERATURE_S)
            _relax(self.pressure_bar, self._pressure_target_bar(), dt_s=piece_s, tau_s=TAU_PRESSURE_S)

    def measured(self) -> Floats:
        """One row per reactor: Temperature, Pressure, FlowRate, Throughput, each with fresh sensor noise."""
        clean = np.column_stack(
            (self.temperature_c, self.pressure_bar, self.coolant_l_min, self.throughput_kg_h)
        )
        return np.asarray(clean + self._rng.normal(size=clean.shape) * (0.15, 0.01, 0.3, 0.8))

    def states(self) -> NDArray[np.int32]:
        """``STOPPED``, ``RUNNING`` or ``COOLING`` per reactor."""
        running = np.where(self.cooling_on, COOLING, RUNNING)
        return np.where(self.throughput_kg_h < 5.0, STOPPED, running).astype(np.int32)


class Pumps:
    """``count`` pumps: flow follows speed, pressure its square, the motor warms with it."""

    def __init__(self, count: int, *, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 2])
        self.speed_setpoint_rpm: Floats = np.full(count, 1450.0)
        self.surge_bar: Floats = np.zeros(count)
        self.speed_rpm: Floats = np.full(count, 1450.0)
        self.motor_c: Floats = self._motor_target_c()

    def _motor_target_c(self) -> Floats:
        return np.asarray(AMBIENT_C + 0.025 * self.speed_rpm)

    def step(self, dt_s: float) -> None:
        """Let ``dt_s`` plant seconds pass."""
        count, piece_s = _pieces(dt_s)
        for _ in range(count):
            _relax(self.speed_rpm, self.speed_setpoint_rpm, dt_s=piece_s, tau_s=TAU_PUMP_S)
            _relax(self.motor_c, self._motor_target_c(), dt_s=piece_s, tau_s=TAU_MOTOR_S)

    def measured(self) -> Floats:
        """One row per pump: Speed, FlowRate, Pressure, Temperature of the motor."""
        pressure = 4.0 * (self.speed_rpm / 1450.0) ** 2 + self.surge_bar
        clean = np.column_stack((self.speed_rpm, 0.1 * self.speed_rpm, pressure, self.motor_c))
        return np.asarray(clean + self._rng.normal(size=clean.shape) * (2.0, 0.5, 0.02, 0.1))


class Valves:
    """``count`` valves: the position follows its set-point, the flow the position."""

    def __init__(self, count: int, *, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 3])
        self.position_setpoint_pct: Floats = np.full(count, 50.0)
        self.position_pct: Floats = np.full(count, 50.0)

    def step(self, dt_s: float) -> None:
        """Let ``dt_s`` plant seconds pass."""
        count, piece_s = _pieces(dt_s)
        for _ in range(count):
            _relax(self.position_pct, self.position_setpoint_pct, dt_s=piece_s, tau_s=TAU_VALVE_S)

    def measured(self) -> Floats:
        """One row per valve: Position, FlowRate."""
        clean = np.column_stack((self.position_pct, 1.2 * self.position_pct))
        return np.asarray(clean + self._rng.normal(size=clean.shape) * (0.1, 0.4))
