"""Is every write outside the limits refused, by the right name, and every write inside let through?"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.limits import Refusal, RefusalCode, WriteFacts, WriteLimits, check_write

# Every number is another one, so that a check that looks at the wrong field fails.
LIMITS = WriteLimits(
    low=110.0,
    high=790.0,
    max_step=270.0,
    min_interval_s=17.0,
    max_writes_per_hour=13,
    max_age_s=29.0,
    tolerance=0.7,
    resolution=0.5,
    settle_s=3.0,
)
FACTS = WriteFacts(present=450.0, reading_age_s=5.0, since_last_write_s=60.0, writes_last_hour=3)


def facts(**changes: float) -> WriteFacts:
    known = {name: getattr(FACTS, name) for name in FACTS.__slots__} | changes
    return WriteFacts(**known)


def check(value: float, known: WriteFacts = FACTS, limits: WriteLimits | None = LIMITS) -> Refusal | None:
    return check_write("[default]R/SP", value, "kg/h", limits, known)


REFUSED: dict[str, tuple[float, WriteFacts, RefusalCode, str]] = {
    "NaN": (math.nan, FACTS, RefusalCode.WRONG_TYPE, "nan"),
    "infinity": (math.inf, FACTS, RefusalCode.WRONG_TYPE, "inf"),
    "minus infinity": (-math.inf, FACTS, RefusalCode.WRONG_TYPE, "-inf"),
    "just below": (109.99, FACTS, RefusalCode.OUT_OF_RANGE, "109.99 kg/h is outside 110 to 790 kg/h"),
    "just above": (790.01, FACTS, RefusalCode.OUT_OF_RANGE, "790.01 kg/h is outside 110 to 790 kg/h"),
    "step down": (179.0, FACTS, RefusalCode.STEP_TOO_LARGE, "271 kg/h from 450 kg/h exceeds 270 kg/h"),
    "step up": (721.0, FACTS, RefusalCode.STEP_TOO_LARGE, "271 kg/h from 450 kg/h exceeds 270 kg/h"),
    "old reading": (
        400.0,
        facts(reading_age_s=29.6),
        RefusalCode.READING_TOO_OLD,
        "30 s old, allowed are 29 s",
    ),
    "too soon": (400.0, facts(since_last_write_s=16.9), RefusalCode.TOO_SOON, "16.9 s ago, wait 17 s"),
    "budget used up": (
        400.0,
        facts(writes_last_hour=13),
        RefusalCode.TOO_MANY_WRITES,
        "13 writes in the last hour, allowed are 13",
    ),
    "budget overdrawn": (400.0, facts(writes_last_hour=14), RefusalCode.TOO_MANY_WRITES, "14 writes"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_write_outside_a_limit_is_refused_by_its_name(case: str) -> None:
    """Each limit must refuse with its own code, and say what was found and what is allowed."""
    value, known, code, words = REFUSED[case]
    refusal = check(value, known)
    assert refusal is not None
    assert refusal.code is code
    assert words in refusal.reason
    assert "[default]R/SP" in refusal.reason
    assert str(refusal) == f"{code}: {refusal.reason}"


def test_a_tag_without_limits_is_never_written() -> None:
    """Not listed comes before everything else, whatever the value."""
    for value in (450.0, math.nan, 1e9):
        refusal = check(value, FACTS, None)
        assert refusal is not None
        assert refusal.code is RefusalCode.NOT_LISTED


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (110.0, facts(present=120.0)),
        (790.0, facts(present=780.0)),
        (180.0, FACTS),  # the whole step down
        (720.0, FACTS),
        (400.0, facts(reading_age_s=29.0)),
        (400.0, facts(since_last_write_s=17.0)),
        (400.0, facts(writes_last_hour=12)),
        (790.0, WriteFacts()),  # nothing known yet: range and list are all that can be checked
    ],
)
def test_values_on_the_limit_are_inside(value: float, known: WriteFacts) -> None:
    """Limits are inclusive, and an unknown fact skips its check."""
    assert check(value, known) is None


def test_without_a_largest_step_the_whole_range_is_open() -> None:
    """max_step None must allow a move from one end to the other."""
    open_limits = WriteLimits(low=0.0, high=1000.0)
    assert check(1000.0, facts(present=0.0), open_limits) is None


def test_a_step_that_is_too_large_only_by_rounding_is_allowed() -> None:
    """0.1 + 0.2 must not exceed a step of 0.3."""
    limits = WriteLimits(low=0.0, high=1.0, max_step=0.3)
    assert check(0.1 + 0.2, facts(present=0.0), limits) is None


finite = st.floats(-1e6, 1e6)


@given(low=finite, width=st.floats(0.001, 1e6), value=st.floats(), present=finite, step=st.floats(0.001, 1e6))
def test_what_passes_is_inside_range_and_step(
    low: float, width: float, value: float, present: float, step: float
) -> None:
    """For any limits, None must mean finite, within the range and within the step; and only then."""
    limits = WriteLimits(low=low, high=low + width, max_step=step)
    passed = check_write("t", value, "", limits, WriteFacts(present=present)) is None
    inside = (
        math.isfinite(value) and low <= value <= low + width and abs(value - present) <= step * (1 + 1e-9)
    )
    assert passed is inside
