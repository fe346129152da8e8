"""Is the rate of change the slope of the signal, and not of its noise?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from bridge.detection.rate import LONGEST_GAP_S, RateOfChange

T0_S = 1_700_000_000.0


def rates(points: Sequence[tuple[float, float]], *, spacing_s: float = 10.0) -> list[float]:
    """Rates of one channel after each (seconds, value)."""
    slope = RateOfChange(1, spacing_s=spacing_s)
    return [
        float(slope.update(np.array([0]), np.array([value]), np.array([T0_S + after_s]))[0])
        for after_s, value in points
    ]


def test_a_ramp_has_its_slope_per_minute() -> None:
    found = rates([(second, 20 + 0.05 * second) for second in range(120)])
    assert found[-1] == pytest.approx(3.0)
    assert all(math.isnan(rate) for rate in found[:11])
    assert found[11] == pytest.approx(3.0)


def test_a_falling_ramp_is_negative() -> None:
    assert rates([(10 * n, -2.0 * n) for n in range(5)])[-1] == pytest.approx(-12.0)


def test_a_slow_signal_uses_its_own_spacing() -> None:
    assert rates([(300 * n, 10.0 * n) for n in range(4)])[-1] == pytest.approx(2.0)


def test_noise_between_near_readings_does_not_count() -> None:
    random = np.random.default_rng(3)
    found = rates([(second / 10, 50 + random.normal(0, 0.1)) for second in range(1200)])
    assert max(abs(rate) for rate in found[300:]) < 1.0


@pytest.mark.parametrize("outlier", [1e6, -1e6])
def test_one_outlier_does_not_carry_the_rate_away(outlier: float) -> None:
    points = [(10 * n, 5.0 * n + (outlier if n == 7 else 0)) for n in range(14)]
    for rate in rates(points)[6:]:
        assert rate == pytest.approx(30.0, abs=15.0)


def test_a_gap_starts_anew() -> None:
    points = [(10 * n, 1.0 * n) for n in range(6)]
    after = points[-1][0] + LONGEST_GAP_S + 1
    found = rates([*points, (after, 900.0), (after + 10, 900.0), (after + 20, 900.0)])
    assert math.isnan(found[6])
    assert math.isnan(found[7])
    assert found[8] == 0.0


def test_backwards_is_ignored_and_channels_are_apart() -> None:
    slope = RateOfChange(3)
    for n in range(4):
        both = slope.update(np.array([2, 0]), np.array([n, 2.0 * n]), np.array([T0_S + 10 * n] * 2))
    assert both.tolist() == pytest.approx([6.0, 12.0])
    late = slope.update(np.array([0, 1]), np.array([99.0, 1.0]), np.array([T0_S, T0_S]))
    assert np.isnan(late).all()
    assert slope.ignored == 1
    slope.forget(np.array([0]))
    assert np.isnan(slope.update(np.array([0]), np.array([0.0]), np.array([T0_S - 900]))).all()
    assert slope.ignored == 1


def test_no_channels_no_rates() -> None:
    nothing = np.array([], dtype=np.int64)
    assert RateOfChange(0).update(nothing, nothing.astype(float), nothing.astype(float)).size == 0
    with pytest.raises(ValueError, match="spacing"):
        RateOfChange(1, spacing_s=0)
