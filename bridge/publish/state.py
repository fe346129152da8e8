"""What a publisher knows of the agent's tables at one moment. Times are aware and by the database's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bridge.domain.anomaly import Severity

OPEN = ("pending", "deferred", "approved", "executing")
"""Statuses in which a recommendation waits or works."""

ENDED = ("executed", "failed", "rejected", "expired", "superseded")
"""Statuses in which a recommendation is finished; counted for the last 24 hours."""

LIVE = ("pending", "executing", "unknown")
"""Statuses of a command that is not finished; `unknown` is a verdict all the same."""

VERDICTS = ("executed", "failed", "unknown", "cancelled")
"""What can be said of a command: confirmed by read-back, refused, outcome not known, never sent."""

SEVERITIES = tuple(severity.value for severity in Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHealth:
    """One agent as the database sees it. `buffer_depth`: readings waiting for the database; None: not said."""

    agent_id: str
    status: str
    site: str
    version: str
    last_heartbeat_utc: datetime
    polls_completed: int
    cycle_ms: float | None
    buffer_depth: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The arming switch, and who turned it when and why."""

    armed: bool
    changed_by: str
    reason: str
    changed_utc: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A recommendation, open or finished a moment ago. `writes` is the exact text that `digest` belongs to."""

    recommendation_id: str
    equipment_id: str
    issue_type: str
    severity: str
    status: str
    text: str
    root_cause: str
    confidence: float | None
    writes: str
    digest: str
    approvals_required: int
    approvals_given: int
    created_utc: datetime
    updated_utc: datetime
    expires_utc: datetime
    defer_until_utc: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command, on its way or finished. `verdict` is its status in the database; `at_utc` when that arose."""

    command_id: str
    recommendation_id: str
    equipment_id: str
    tag_path: str
    value: float
    unit: str
    severity: str
    verdict: str
    result: str
    created_utc: datetime
    at_utc: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The agent's tables at one moment, by one statement.

    taken_utc: by the database's clock. counts: recommendations by status and severity, open ones and those
    that ended within 24 hours. live: commands by status, of those in `LIVE`. recommendations: all open ones,
    the most severe first, then the oldest, and those that ended a moment ago. last_commands: the newest of
    each equipment. commands: all that are live, and those that ended a moment ago.
    """

    taken_utc: datetime
    agents: Mapping[str, AgentHealth]
    control: Control | None
    counts: Mapping[tuple[str, str], int]
    live: Mapping[str, int]
    recommendations: tuple[Recommendation, ...]
    last_commands: Mapping[str, Command]
    commands: Mapping[str, Command]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a publisher knows: whose agent it is, of which equipment, and the last snapshot, if any.

    away: why the database does not answer, in words; empty means that the snapshot is current.
    away_since_utc: since when (None: since the start).
    """

    agent_id: str
    equipment: tuple[str, ...]
    snapshot: Snapshot | None = None
    away: str = "nothing has been read yet"
    away_since_utc: datetime | None = None
