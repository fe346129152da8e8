"""Do the threshold rules keep their word, one line of the rules at a time?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.detection.thresholds import TIME_STEP_S, ThresholdBank, ThresholdRule, rounds

T0_S = 1_700_000_000.0

Step = tuple[float, float, int]
"""Seconds after the start, value, level wanted afterwards."""


@dataclass
class Scalar:
    """The rules once more, for one channel and with nothing but if and else: what the bank is held to."""

    rule: ThresholdRule
    active: set[int] = field(default_factory=set)
    since_s: dict[int, float] = field(default_factory=dict)
    onset_s: float | None = None
    time_s: float = -math.inf
    ignored: int = 0

    @property
    def level(self) -> int:
        return max(self.active, default=-1)

    def update(self, value: float, time_s: float) -> None:
        if time_s < self.time_s:
            self.ignored += 1
            return
        self.time_s = time_s
        was_active = bool(self.active)
        begun_s: list[float] = []
        for number, limit in enumerate(self.rule.limits):
            distance = value - limit if self.rule.above else limit - value
            beyond = distance > 0
            deadband = self.rule.deadband
            back = -distance > deadband if deadband > 0 else not beyond
            if not (back if number in self.active else beyond):
                self.since_s.pop(number, None)
                continue
            since_s = self.since_s.setdefault(number, time_s)
            delay_s = self.rule.off_delay_s if number in self.active else self.rule.on_delay_s
            if time_s - since_s >= delay_s - TIME_STEP_S:
                del self.since_s[number]
                if number in self.active:
                    self.active.remove(number)
                else:
                    self.active.add(number)
                    begun_s.append(since_s)
        if not self.active:
            self.onset_s = None
        elif not was_active:
            self.onset_s = min(begun_s)


def play(rule: ThresholdRule, steps: list[Step]) -> ThresholdBank:
    """Run one channel through the steps, checking the level after each."""
    bank = ThresholdBank([rule])
    channel = np.array([0])
    for after_s, value, wanted in steps:
        before = bank.level[0]
        changed = bank.update(channel, np.array([value]), np.array([T0_S + after_s]))
        assert bank.level[0] == wanted, f"at {after_s} s with {value}"
        assert changed.tolist() == ([0] if wanted != before else [])
    return bank


THREE = (85.0, 90.0, 95.0)

CASES: dict[str, tuple[ThresholdRule, list[Step]]] = {
    "at the limit is not beyond": (
        ThresholdRule(limits=(85.0,)),
        [(0, 84.9, -1), (1, 85.0, -1), (2, 85.001, 0), (3, 85.0, -1)],
    ),
    "below counts downwards": (
        ThresholdRule(limits=(10.0, 5.0), above=False),
        [(0, 10.5, -1), (1, 10.0, -1), (2, 9.5, 0), (3, 4.5, 1), (4, 7.0, 0), (5, 10.0, -1)],
    ),
    "without an on-delay at once": (ThresholdRule(limits=THREE), [(0, 96.0, 2)]),
    "on-delay from the first crossing, inclusive": (
        ThresholdRule(limits=(85.0,), on_delay_s=2.0),
        [(0, 86.0, -1), (1.999, 86.5, -1), (2.0, 87.0, 0)],
    ),
    "on-delay starts over after a value at the limit": (
        ThresholdRule(limits=(85.0,), on_delay_s=2.0),
        [(0, 86.0, -1), (1, 85.0, -1), (2.5, 86.0, -1), (4.4, 86.0, -1), (4.5, 86.0, 0)],
    ),
    "each level has its own delay": (
        ThresholdRule(limits=THREE, on_delay_s=2.0),
        [(0, 86.0, -1), (1, 91.0, -1), (2, 91.0, 0), (2.5, 96.0, 0), (3, 96.0, 1), (4.5, 96.0, 2)],
    ),
    "left only by more than the deadband": (
        ThresholdRule(limits=(85.0,), deadband=2.0),
        [(0, 86.0, 0), (1, 84.0, 0), (2, 83.0, 0), (3, 82.99, -1)],
    ),
    "inside the deadband nothing is entered either": (
        ThresholdRule(limits=(85.0,), deadband=2.0),
        [(0, 84.0, -1), (1, 85.0, -1)],
    ),
    "off-delay, inclusive": (
        ThresholdRule(limits=(85.0,), deadband=2.0, off_delay_s=5.0),
        [(0, 86.0, 0), (10, 82.0, 0), (14.999, 81.0, 0), (15, 81.0, -1)],
    ),
    "off-delay starts over inside the deadband": (
        ThresholdRule(limits=(85.0,), deadband=2.0, off_delay_s=5.0),
        [(0, 86.0, 0), (1, 82.0, 0), (4, 83.5, 0), (7, 82.0, 0), (11, 82.0, 0), (12, 82.0, -1)],
    ),
    "levels are left one by one": (
        ThresholdRule(limits=THREE, deadband=2.0, off_delay_s=1.0),
        [(0, 99.0, 2), (1, 92.5, 2), (2, 92.5, 1), (3, 87.0, 1), (4, 87.0, 0), (5, 80.0, 0), (6, 80.0, -1)],
    ),
    "silence keeps the level": (
        ThresholdRule(limits=(85.0,), off_delay_s=5.0),
        [(0, 86.0, 0), (86_400, 80.0, 0), (86_405, 80.0, -1)],
    ),
    "microseconds at today's epoch do not eat a delay": (
        ThresholdRule(limits=(85.0,), on_delay_s=0.3),
        [(0.1, 86.0, -1), (0.4, 86.0, 0)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str) -> None:
    play(*CASES[name])


def test_a_rising_level_keeps_the_onset() -> None:
    rule = ThresholdRule(limits=THREE, on_delay_s=2.0, deadband=1.0)
    bank = play(rule, [(0, 80, -1), (3, 86, -1), (5, 86, 0), (6, 91, 0), (8, 91, 1), (9, 87, 0)])
    assert bank.onset_s[0] == T0_S + 3
    play_on = bank.update(np.array([0]), np.array([70.0]), np.array([T0_S + 10]))
    assert play_on.tolist() == [0]
    assert math.isnan(bank.onset_s[0])


def test_a_new_condition_has_a_new_onset() -> None:
    bank = play(ThresholdRule(limits=(85.0,)), [(0, 86, 0), (1, 80, -1), (7, 86, 0)])
    assert bank.onset_s[0] == T0_S + 7


def test_time_going_backwards_is_ignored_and_counted() -> None:
    bank = play(ThresholdRule(limits=(85.0,)), [(10, 80, -1), (9, 99, -1), (10, 86, 0), (9.5, 70, 0)])
    assert bank.ignored == 2
    assert (bank.value[0], bank.time_s[0]) == (86.0, T0_S + 10)


def test_a_clock_set_back_starts_the_delays_over() -> None:
    bank = play(ThresholdRule(limits=(85.0,), on_delay_s=2.0), [(0, 86, -1), (1, 86, -1)])
    bank.forget_time(np.array([0]))
    for after_s, wanted in ((-3600, -1), (-3599, -1), (-3598, 0)):
        bank.update(np.array([0]), np.array([86.0]), np.array([T0_S + after_s]))
        assert bank.level[0] == wanted


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(odd: float) -> None:
    bank = ThresholdBank([ThresholdRule(limits=(85.0,))] * 2)
    with pytest.raises(ValueError, match="NaN or infinite"):
        bank.update(np.array([0, 1]), np.array([80.0, odd]), np.array([T0_S, T0_S]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        bank.update(np.array([0]), np.array([80.0]), np.array([odd]))


def test_a_channel_twice_in_one_update_is_refused() -> None:
    bank = ThresholdBank([ThresholdRule(limits=(85.0,))] * 2)
    with pytest.raises(ValueError, match="twice"):
        bank.update(np.array([1, 1]), np.array([80.0, 81.0]), np.array([T0_S, T0_S]))


@pytest.mark.parametrize("limits", [(), (90.0, 85.0), (85.0, 85.0), (85.0, math.nan)])
def test_limits_that_do_not_go_outwards_are_refused(limits: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="outwards"):
        ThresholdBank([ThresholdRule(limits=limits)])


def test_a_restored_level_ends_by_the_ordinary_rules() -> None:
    rule = ThresholdRule(limits=THREE, deadband=2.0, off_delay_s=5.0)
    bank = ThresholdBank([rule, ThresholdRule(limits=(85.0,))])
    bank.restore(0, 1, T0_S - 100)
    assert bank.level.tolist() == [1, -1]
    for after_s, value, wanted in ((0, 80.0, 1), (4, 80.0, 1), (5, 80.0, -1)):
        bank.update(np.array([0]), np.array([value]), np.array([T0_S + after_s]))
        assert bank.level[0] == wanted
    with pytest.raises(ValueError, match="no level 1"):
        bank.restore(1, 1, T0_S)


def test_a_bank_without_channels_is_quiet() -> None:
    bank = ThresholdBank([])
    nothing = np.array([], dtype=np.int64)
    assert len(bank) == 0
    assert bank.update(nothing, nothing.astype(float), nothing.astype(float)).size == 0


@given(st.lists(st.integers(0, 5), max_size=60))
def test_rounds_keep_the_order_of_each_channel(channels: list[int]) -> None:
    found = rounds(np.array(channels, dtype=np.int64))
    assert sorted(int(place) for one in found for place in one) == list(range(len(channels)))
    seen: list[int] = [channels.count(channel) for channel in range(6)]
    assert len(found) == max(seen, default=0)
    for number, one in enumerate(found):
        assert len({channels[place] for place in one}) == len(one)
        for place in one:
            assert channels[:place].count(channels[place]) == number


RULES = st.builds(
    lambda above, gaps, first, deadband, on, off: ThresholdRule(
        limits=tuple((1 if above else -1) * (first + sum(gaps[:number])) for number in range(len(gaps) + 1)),
        above=above,
        deadband=deadband,
        on_delay_s=on,
        off_delay_s=off,
    ),
    above=st.booleans(),
    gaps=st.lists(st.sampled_from([1.0, 2.0]), max_size=2),
    first=st.sampled_from([-1.0, 0.0, 3.0]),
    deadband=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    on=st.sampled_from([0.0, 1.0, 2.5]),
    off=st.sampled_from([0.0, 1.0, 3.0]),
)
# Few distinct values and times, so that limits, deadband edges and delays are met exactly.
READINGS = st.tuples(
    st.integers(0, 3),
    st.sampled_from([x / 2 for x in range(-14, 15)]),
    st.sampled_from([-0.5, 0.0, 0.0, 0.5, 1.0, 1.0, 2.5]),
)


@settings(max_examples=300, deadline=None)
@given(
    rules=st.lists(RULES, min_size=4, max_size=4),
    batches=st.lists(st.lists(READINGS, max_size=12), max_size=8),
)
def test_the_bank_does_what_the_scalar_rules_do(
    rules: list[ThresholdRule], batches: list[list[tuple[int, float, float]]]
) -> None:
    bank = ThresholdBank(rules)
    scalars = [Scalar(rule) for rule in rules]
    now_s = [T0_S] * 4
    for batch in batches:
        channels, values, times_s = [], [], []
        wanted: list[tuple[int, int, int]] = []
        counts = [0] * 4
        for channel, value, step_s in batch:
            now_s[channel] += step_s
            channels.append(channel)
            values.append(value)
            times_s.append(now_s[channel])
            before = scalars[channel].level
            scalars[channel].update(value, now_s[channel])
            if scalars[channel].level != before:
                wanted.append((counts[channel], channel, scalars[channel].level))
            counts[channel] += 1
        array = np.array(channels, dtype=np.int64)
        found: list[tuple[int, int, int]] = []
        for number, one in enumerate(rounds(array)):
            for channel in bank.update(array[one], np.array(values)[one], np.array(times_s)[one]).tolist():
                found.append((number, channel, int(bank.level[channel])))
        assert sorted(found) == sorted(wanted)
    assert bank.level.tolist() == [scalar.level for scalar in scalars]
    assert bank.ignored == sum(scalar.ignored for scalar in scalars)
    for channel, scalar in enumerate(scalars):
        found_s = bank.onset_s[channel]
        assert math.isnan(found_s) if scalar.onset_s is None else found_s == scalar.onset_s
