"""Threshold rules with deadband, on-delay and off-delay, for many channels at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

TIME_STEP_S = 1e-6
"""Resolution of time: datetimes hold microseconds, float64 epoch seconds are off by up to 2.4e-7 s."""

_NONE: Integers = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdRule:
    """The levels of one channel.

    limits: outwards from normal, in the channel's unit (rising for `above`, falling otherwise); at least
    one. deadband: in the same unit, 0 for none. on_delay_s, off_delay_s: seconds of source time.
    """

    limits: tuple[float, ...]
    above: bool = True
    deadband: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0


class ThresholdBank:
    """Level rules for N channels with up to L levels each; a channel is one rule on one signal.

    The rules, after ISA-18.2 / IEC 62682 (deadband, on-delay, off-delay) and OPC UA Part 9 annex B.1.5:

    - A value is beyond a limit when it is strictly above (or below) it; at the limit it is not.
    - A level is entered when every value from the first crossing to the present reading was beyond its
      limit and that lasted at least `on_delay_s`; with a delay of 0 the first crossing is enough.
    - A level is left when every value has been back by more than the deadband for at least `off_delay_s`.
      Without a deadband a value that is no longer beyond, so also one at the limit, is back.
    - The channel's level is its highest active one: -1 for none, else 0 to L - 1.
    - `onset_s` is the first crossing that made the lowest level active. It stays through every rise and
      fall of the level until none is active.
    - Delays are measured in source time between readings. No reading, no change: a silent channel keeps
      its level, and it is for the caller to say that nobody can look at it.
    - A reading older than the channel's last one is ignored and counted; one of the same time counts.

    All time is source time as float64 epoch seconds, exact to `TIME_STEP_S`. Rules with fewer levels than L
    are padded with limits that nothing reaches. Public arrays are for reading only.
    """

    def __init__(self, rules: Sequence[ThresholdRule]) -> None:
        count = len(rules)
        depth = max((len(rule.limits) for rule in rules), default=1)
        self._sign: Floats = np.array([1.0 if rule.above else -1.0 for rule in rules], dtype=np.float64)
        # Signed so that every rule reads "above": a falling limit of 10 becomes a rising one of -10.
        self._enter: Floats = np.full((count, depth), np.inf)
        self._leave: Floats = np.full((count, depth), np.inf)
        self.limits: Floats = np.full((count, depth), np.nan)
        for channel, rule in enumerate(rules):
            limits = np.array(rule.limits, dtype=np.float64)
            enter = limits * self._sign[channel]
            if not limits.size or not np.isfinite(limits).all() or (np.diff(enter) <= 0).any():
                raise ValueError(f"channel {channel}: wanted limits going outwards, found {rule.limits}")
            self.limits[channel, : limits.size] = limits
            self._enter[channel, : limits.size] = enter
            # The next float above the limit turns "back at the limit or below" into the same "<".
            self._leave[channel, : limits.size] = (
                enter - rule.deadband if rule.deadband > 0 else np.nextafter(enter, np.inf)
            )
        self._first: Floats = np.ascontiguousarray(self._enter[:, 0])
        self._on_delay_s: Floats = np.array([rule.on_delay_s for rule in rules], dtype=np.float64)
        self._off_delay_s: Floats = np.array([rule.off_delay_s for rule in rules], dtype=np.float64)
        self._active: Flags = np.zeros((count, depth), dtype=np.bool_)
        # Since when the value speaks for the other state of a level (beyond while inactive, back while
        # active); NaN when it does not.
        self._since_s: Floats = np.full((count, depth), np.nan)
        self._busy: Flags = np.zeros(count, dtype=np.bool_)
        self._mark: Integers = np.zeros(count, dtype=np.int64)
        self.level: Integers = np.full(count, -1, dtype=np.int64)
        self.onset_s: Floats = np.full(count, np.nan)
        self.value: Floats = np.full(count, np.nan)
        self.time_s: Floats = np.full(count, -np.inf)
        self.ignored = 0
        """Readings that came out of order and were not used."""

    def __len__(self) -> int:
        """Number of channels."""
        return len(self.level)

    def update(self, channels: Integers, values: Floats, times_s: Floats) -> Integers:
        """Take in one reading for each of some channels and return the channels whose level changed.

        The three arrays have the same length; a channel occurs at most once (see `rounds`). Raises
        ValueError for a channel that occurs twice and for a value or time that is not finite: what is not
        a measurement must be sorted out by the caller, because no comparison would ever notice it.
        """
        if not (np.isfinite(values).all() and np.isfinite(times_s).all()):
            raise ValueError("a value or time is NaN or infinite; such readings belong to bad_signal")
        places = np.arange(len(channels))
        self._mark[channels] = places
        if (self._mark[channels] != places).any():
            raise ValueError("a channel occurs twice in one update; split the batch with rounds()")
        forward = times_s >= self.time_s[channels]
        if not forward.all():
            self.ignored += int(np.count_nonzero(~forward))
            channels, values, times_s = channels[forward], values[forward], times_s[forward]
        self.time_s[channels] = times_s
        self.value[channels] = values
        signed = values * self._sign[channels]
        # Most readings are normal and change nothing; only the others are worth the levels' arithmetic.
        rows = np.flatnonzero((signed > self._first[channels]) | self._busy[channels])
        if not rows.size:
            return _NONE
        return self._step(channels[rows], signed[rows], times_s[rows])

    def _step(self, channels: Integers, signed: Floats, times_s: Floats) -> Integers:
        value, now_s = signed[:, np.newaxis], times_s[:, np.newaxis]
        active, since_s = self._active[channels], self._since_s[channels]
        moving = np.where(active, value < self._leave[channels], value > self._enter[channels])
        since_s = np.where(moving, np.where(np.isnan(since_s), now_s, since_s), np.nan)
        delay_s = np.where(
            active, self._off_delay_s[channels, np.newaxis], self._on_delay_s[channels, np.newaxis]
        )
        flips = moving & (now_s - since_s >= delay_s - TIME_STEP_S)
        active ^= flips
        # One deadband and one delay per channel keep the active levels a run from the lowest upwards.
        level = np.count_nonzero(active, axis=1) - 1
        before = self.level[channels]
        begun = (before < 0) & (level >= 0)
        self.onset_s[channels[begun]] = since_s[begun, 0]
        self.onset_s[channels[level < 0]] = np.nan
        since_s[flips] = np.nan
        self._active[channels] = active
        self._since_s[channels] = since_s
        self._busy[channels] = active[:, 0] | ~np.isnan(since_s[:, 0])
        self.level[channels] = level
        changed: Integers = channels[level != before]
        return changed

    def restore(self, channel: int, level: int, onset_s: float) -> None:
        """Start a channel at a level it is known to have had, after a restart; values decide from there."""
        if not 0 <= level < np.count_nonzero(~np.isnan(self.limits[channel])):
            raise ValueError(f"channel {channel} has no level {level}")
        self._active[channel] = np.arange(self._active.shape[1]) <= level
        self._since_s[channel] = np.nan
        self._busy[channel] = True
        self.level[channel] = level
        self.onset_s[channel] = onset_s

    def forget_time(self, channels: Integers) -> None:
        """Let a channel's time start anew after its source's clock was set back; delays start over."""
        self.time_s[channels] = -np.inf
        self._since_s[channels] = np.nan


def rounds(channels: Integers) -> list[Integers]:
    """Split a batch into rounds in which each channel occurs at most once, keeping the order per channel.

    Returns indexes into the batch: all first occurrences, then all second ones, and so on; an empty list
    for an empty batch.
    """
    count = len(channels)
    if not count:
        return []
    order = np.argsort(channels, kind="stable")
    ordered = channels[order]
    places = np.arange(count)
    starts = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    if starts.all():
        return [places]
    nth = np.empty(count, dtype=np.int64)
    nth[order] = places - np.maximum.accumulate(np.where(starts, places, 0))
    sizes = np.bincount(nth)
    return np.split(np.argsort(nth, kind="stable"), np.cumsum(sizes)[:-1])
