"""Does the plant behave like one, and the same way each time?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import physics
from simulator.physics import Pumps, Reactors, Valves


def _run(reactors: Reactors, seconds: float, *, dt_s: float = 0.5) -> list[float]:
    """Temperatures of the first reactor, one per step."""
    course = []
    for _ in range(round(seconds / dt_s)):
        reactors.step(dt_s)
        course.append(float(reactors.temperature_c[0]))
    return course


def test_same_seed_and_steps_give_the_same_values() -> None:
    one, two, other = Reactors(3, seed=7), Reactors(3, seed=7), Reactors(3, seed=8)
    for dt_s in (1.0, 0.1, 2.5, 1.0):
        for plant in (one, two, other):
            plant.step(dt_s)
        first = one.measured()
        assert np.array_equal(first, two.measured())
        assert not np.array_equal(first, other.measured())


def test_normal_operation_stays_far_below_the_limits() -> None:
    reactors = Reactors(50, seed=1)
    hottest = 0.0
    for _ in range(600):
        reactors.step(1.0)
        hottest = max(hottest, float(reactors.measured()[:, 0].max()))
    assert 75.0 < hottest < 77.0


def test_overheat_crosses_85_and_90_but_never_95() -> None:
    reactors = Reactors(1, seed=1)
    reactors.heat_factor[0] = physics.OVERHEAT_FACTOR
    course = _run(reactors, 120.0)
    crossed_85_s = next(i for i, t in enumerate(course) if t > 85.0) * 0.5
    crossed_90_s = next(i for i, t in enumerate(course) if t > 90.0) * 0.5
    assert 3.0 < crossed_85_s < 8.0
    assert 10.0 < crossed_90_s < 15.0
    assert max(course) < 93.1
    for _ in range(1000):
        assert reactors.measured()[0, 0] < 95.0


def test_a_quarter_less_with_cooling_ends_an_overheat() -> None:
    reactors = Reactors(1, seed=1)
    reactors.heat_factor[0] = physics.OVERHEAT_FACTOR
    _run(reactors, 30.0)
    reactors.throughput_setpoint_kg_h[0] = 375.0
    reactors.cooling_on[0] = True
    course = _run(reactors, 60.0)
    assert course[-1] < 65.0
    assert next(i for i, t in enumerate(course) if t < 80.0) * 0.5 < 10.0


def test_runaway_passes_95_and_needs_half_the_throughput() -> None:
    reactors = Reactors(1, seed=1)
    reactors.heat_factor[0] = physics.RUNAWAY_FACTOR
    assert max(_run(reactors, 60.0)) > 95.0
    reactors.cooling_on[0] = True
    reactors.throughput_setpoint_kg_h[0] = 375.0
    assert _run(reactors, 60.0)[-1] > 85.0
    reactors.throughput_setpoint_kg_h[0] = 250.0
    assert _run(reactors, 60.0)[-1] < 80.0


def test_coolant_loss_shows_in_flow_before_temperature() -> None:
    reactors = Reactors(1, seed=1)
    reactors.flow_factor[0] = physics.COOLANT_LOSS_FACTOR
    _run(reactors, 4.0)
    assert reactors.coolant_l_min[0] < 10.0
    assert reactors.temperature_c[0] < 85.0
    assert _run(reactors, 60.0)[-1] > 90.0


def test_pressure_follows_temperature() -> None:
    reactors = Reactors(2, seed=1)
    reactors.heat_factor[0] = physics.RUNAWAY_FACTOR
    _run(reactors, 60.0)
    assert reactors.pressure_bar[0] > reactors.pressure_bar[1] + 1.0


def test_state_says_stopped_running_or_cooling() -> None:
    reactors = Reactors(3, seed=1)
    reactors.throughput_setpoint_kg_h[0] = 0.0
    reactors.cooling_on[2] = True
    _run(reactors, 60.0)
    assert reactors.states().tolist() == [physics.STOPPED, physics.RUNNING, physics.COOLING]


def test_pumps_and_valves_follow_their_setpoints() -> None:
    pumps, valves = Pumps(1, seed=1), Valves(1, seed=1)
    pumps.speed_setpoint_rpm[0] = 2900.0
    valves.position_setpoint_pct[0] = 80.0
    pumps.step(100.0)
    valves.step(100.0)
    speed, flow, pressure, motor_c = pumps.measured()[0]
    assert speed == pytest.approx(2900.0, abs=15.0)
    assert flow == pytest.approx(290.0, abs=5.0)
    assert pressure == pytest.approx(16.0, abs=0.3)
    assert motor_c == pytest.approx(97.0, abs=2.0)
    assert valves.measured()[0] == pytest.approx([80.0, 96.0], abs=3.0)


@given(
    throughput=st.floats(0.0, 1000.0),
    cooling=st.booleans(),
    total_s=st.floats(0.0, 200.0),
    pieces=st.integers(1, 40),
)
def test_a_fast_clock_ends_where_a_slow_one_does(
    throughput: float, cooling: bool, total_s: float, pieces: int
) -> None:
    fast, slow = Reactors(1, seed=1), Reactors(1, seed=1)
    for plant in (fast, slow):
        plant.throughput_setpoint_kg_h[0] = throughput
        plant.cooling_on[0] = cooling
    fast.step(total_s)
    for _ in range(pieces):
        slow.step(total_s / pieces)
    assert float(fast.temperature_c[0]) == pytest.approx(float(slow.temperature_c[0]), abs=2.0)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="back in time"):
        Reactors(1, seed=1).step(-1.0)
