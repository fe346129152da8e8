"""Rate of change per channel, robust against single outliers, in units per minute of source time."""

from __future__ import annotations

import numpy as np

from bridge.detection.thresholds import Floats, Integers

POINTS = 7
LEAST_POINTS = 3
SPACING_S = 10.0
LONGEST_GAP_S = 900.0


class RateOfChange:
    """The present slope of N channels: median of the slopes between a few recent points (Theil-Sen).

    Per channel the last six readings at least `spacing_s` apart are kept; with the present reading they
    are `POINTS` points, one minute at the default spacing and correspondingly more for a slower signal.
    The rate is the median over the slopes of all pairs at least `spacing_s` apart: nearer pairs carry
    mostly noise. With seven points up to two of them may be wrong without carrying the rate away
    (breakdown point 29 %, Sen 1968). The price is that a jump shows only after about two spacings; jumps
    are for level rules.

    There is no rate (NaN) before `LEAST_POINTS` points. After a gap of more than `longest_gap_s` the points
    are thrown away: an average over an outage is not what the signal does now. A reading older than the
    channel's last one is ignored and counted.
    """

    def __init__(
        self, count: int, *, spacing_s: float = SPACING_S, longest_gap_s: float = LONGEST_GAP_S
    ) -> None:
        if not spacing_s > 0:
            raise ValueError(f"wanted a spacing above 0 s, found {spacing_s}")
        self._spacing_s = spacing_s
        self._longest_gap_s = longest_gap_s
        # Kept points, newest last; NaN where there is none yet.
        self._times_s: Floats = np.full((count, POINTS - 1), np.nan)
        self._values: Floats = np.full((count, POINTS - 1), np.nan)
        self._last_s: Floats = np.full(count, -np.inf)
        self._later, self._earlier = np.triu_indices(POINTS, 1)[::-1]
        self.ignored = 0
        """Readings that came out of order and were not used."""

    def update(self, channels: Integers, values: Floats, times_s: Floats) -> Floats:
        """Take in one reading per channel and return their rates per minute, NaN where there is none.

        Same shapes as `ThresholdBank.update`: a channel at most once, values and times finite.
        """
        rates: Floats = np.full(len(channels), np.nan)
        last_s = self._last_s[channels]
        forward = np.flatnonzero(times_s >= last_s)
        self.ignored += len(channels) - len(forward)
        gone = channels[forward[times_s[forward] - last_s[forward] > self._longest_gap_s]]
        self._times_s[gone] = np.nan
        self._values[gone] = np.nan
        channels, values, times_s = channels[forward], values[forward], times_s[forward]
        self._last_s[channels] = times_s

        points_s = np.column_stack((self._times_s[channels], times_s))
        points = np.column_stack((self._values[channels], values))
        spans_s = points_s[:, self._later] - points_s[:, self._earlier]
        # NaN (no such point) compares as false and leaves the pair out.
        usable = spans_s >= self._spacing_s * (1 - 1e-6)
        slopes = np.full(spans_s.shape, np.nan)
        np.divide(points[:, self._later] - points[:, self._earlier], spans_s, out=slopes, where=usable)
        enough = np.count_nonzero(~np.isnan(points_s), axis=1) >= LEAST_POINTS
        rates[forward] = np.where(enough, 60.0 * _median(slopes), np.nan)

        newest_s = self._times_s[channels, -1]
        keep = np.flatnonzero(~(times_s - newest_s < self._spacing_s * (1 - 1e-6)))
        self._times_s[channels[keep]] = points_s[keep, 1:]
        self._values[channels[keep]] = points[keep, 1:]
        return rates

    def forget(self, channels: Integers) -> None:
        """Start channels anew, after their source's clock was set back."""
        self._times_s[channels] = np.nan
        self._values[channels] = np.nan
        self._last_s[channels] = -np.inf


def _median(rows: Floats) -> Floats:
    """Median of each row without its NaN, NaN for a row without numbers; quicker than numpy's nanmedian."""
    ordered = np.sort(rows, axis=1)  # NaN goes last
    counts = np.count_nonzero(~np.isnan(rows), axis=1)
    lines = np.arange(len(rows))
    low = ordered[lines, np.maximum(counts - 1, 0) // 2]
    high = ordered[lines, counts // 2]
    return np.asarray((low + high) / 2, dtype=np.float64)
