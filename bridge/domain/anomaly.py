"""An anomaly: what a detector found, on which equipment, how bad, and since when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How much an anomaly matters, in rising order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for low to 3 for critical."""
        return _RANK[self]


_RANK = {Severity.LOW: 0, Severity.MEDIUM: 1, Severity.HIGH: 2, Severity.CRITICAL: 3}

STALE_SIGNAL = "stale_signal"
BAD_SIGNAL = "bad_signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A condition that is active on one piece of equipment.

    One condition keeps one identity (equipment and issue) from its first moment to its end; `severity`
    may rise and fall in between. `value` and `limit` are in `unit`; both are None for a signal that is
    stale or bad. `readings` holds the newest value of each signal of the equipment, and `since_utc` when
    the condition began, in source time.
    """

    equipment_id: str
    issue_type: str
    severity: Severity
    confidence: float
    signal: str
    tag_path: str
    value: float | None
    limit: float | None
    unit: str
    since_utc: datetime
    seen_utc: datetime
    readings: dict[str, float | None] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """The end of a condition, in source time."""

    equipment_id: str
    issue_type: str
    cleared_utc: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveCondition:
    """A condition as the database remembers it, across restarts of the bridge."""

    equipment_id: str
    issue_type: str
    severity: Severity
    since_utc: datetime
    recommendation_id: str | None
