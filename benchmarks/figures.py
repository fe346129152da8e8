"""One measured number with its spread, its goal, what the bare libraries reach, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table.

    value: the headline, in `unit`. spread: further quantiles by name, same unit. goal: what to reach, at
    most (or at least, with `at_least`). floor: what bare libraries need or reach in the same run.
    floor_goal: the ratio to the floor that is allowed (at most, or at least). never: what was waited for did
    not happen, and `value` is only how long it was waited for.
    """

    what: str
    value: float
    unit: str
    spread: Mapping[str, float] = field(default_factory=dict)
    goal: float | None = None
    at_least: bool = False
    floor: float | None = None
    floor_goal: float | None = None
    never: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Value over floor; None without a floor."""
        return self.value / self.floor if self.floor else None

    @property
    def met(self) -> bool | None:
        """Whether every goal is met; None when there is none."""
        if self.never:
            return None if self.goal is None else False
        verdicts = [self._reached(self.value, self.goal)] if self.goal is not None else []
        if self.floor_goal is not None:
            # A floor that could not be measured proves nothing in our favour.
            verdicts.append(self.ratio is not None and self._reached(self.ratio, self.floor_goal))
        return all(verdicts) if verdicts else None

    @property
    def verdict(self) -> str:
        """`met`, or by how much each goal was missed; empty without a goal."""
        if self.met is None:
            return ""
        if self.met:
            return "met"
        if self.never:
            return f"not within {shown(self.value)} {self.unit}"
        short = []
        if self.goal is not None and not self._reached(self.value, self.goal):
            short.append(self._short(self.value, self.goal, ""))
        if self.floor_goal is not None:
            if self.ratio is None:
                short.append("no floor measured")
            elif not self._reached(self.ratio, self.floor_goal):
                short.append(self._short(self.ratio, self.floor_goal, "× floor "))
        return "; ".join(short)

    def _reached(self, value: float, goal: float) -> bool:
        return value >= goal if self.at_least else value <= goal

    def _short(self, value: float, goal: float, what: str) -> str:
        if not self.at_least and goal == 0:
            return f"{what}{shown(value)} instead of 0"
        off = (goal - value if self.at_least else value - goal) / goal
        return f"{what}{'short' if self.at_least else 'over'} by {off:.0%}"

    def as_json(self) -> dict[str, Any]:
        """Everything, for build/bench.json."""
        return {
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "never": self.never,
            "spread": dict(self.spread),
            "goal": self.goal,
            "goal_is": "at least" if self.at_least else "at most",
            "floor": self.floor,
            "floor_ratio": self.ratio,
            "floor_ratio_goal": self.floor_goal,
            "met": self.met,
            "verdict": self.verdict,
            "note": self.note,
        }


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one benchmark found. notes: where the time goes, and what a reader has to know."""

    name: str
    title: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed; values must not be empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def tail(values: Sequence[float]) -> dict[str, float]:
    """p50, p99 and max."""
    return {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99), "max": max(values)}


def runs(values: Sequence[float]) -> dict[str, float]:
    """min, median and max over runs."""
    return {"min": min(values), "median": median(values), "max": max(values)}


def shown(value: float) -> str:
    """Three significant digits for small numbers, whole ones with separators for large ones."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
