"""What happened between two snapshots: new recommendations, and verdicts on commands. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.publish.nodes import folder_name
from bridge.publish.state import VERDICTS, Command, Recommendation, Snapshot

_LEVELS = {"low": 200, "medium": 400, "high": 700, "critical": 900}
_VERDICT_LEVELS = {"executed": 100, "cancelled": 300, "failed": 600, "unknown": 800}
_UNSEEN = timedelta(seconds=60)  # a snapshot may miss what a transaction of this age has not committed yet


class EventKind(StrEnum):
    """What can happen that somebody wants to be told at once."""

    RECOMMENDATION = "NewRecommendation"
    VERDICT = "Verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened between two snapshots.

    level: severity as OPC UA counts it, 1 to 1000. object_id: the recommendation's or command's id.
    source: path of the equipment it happened to.
    """

    kind: EventKind
    object_id: str
    recommendation_id: str
    equipment_id: str
    severity: str
    level: int
    message: str
    outcome: str
    at_utc: datetime

    @property
    def source(self) -> str:
        """Path of the equipment's folder."""
        return f"Equipment/{folder_name(self.equipment_id)}"


def events(before: Snapshot | None, after: Snapshot) -> list[Event]:
    """What happened between two snapshots, oldest first; nothing is told twice.

    Without a snapshot before, which is at the start, nothing is told: what stands in the nodes by then is
    not news.
    """
    if before is None:
        return []
    known = {item.recommendation_id for item in before.recommendations}
    since = before.taken_utc - _UNSEEN
    found = [
        _told_of(item)
        for item in after.recommendations
        if item.recommendation_id not in known and item.created_utc >= since
    ]
    for command in after.commands.values():
        old = before.commands.get(command.command_id)
        news = command.created_utc >= since if old is None else old.verdict != command.verdict
        if news and command.verdict in VERDICTS:
            found.append(_told_of_verdict(command))
    return sorted(found, key=lambda event: event.at_utc)


def _told_of(item: Recommendation) -> Event:
    return Event(
        kind=EventKind.RECOMMENDATION,
        object_id=item.recommendation_id,
        recommendation_id=item.recommendation_id,
        equipment_id=item.equipment_id,
        severity=item.severity,
        level=_LEVELS[item.severity],
        message=f"{item.equipment_id}: {item.severity} {item.issue_type}: {item.text} ({item.recommendation_id})",
        outcome=item.status,
        at_utc=item.created_utc,
    )


def _told_of_verdict(command: Command) -> Event:
    value = f"{command.value:g} {command.unit}".rstrip()
    said = f": {command.result}" if command.result else ""
    return Event(
        kind=EventKind.VERDICT,
        object_id=command.command_id,
        recommendation_id=command.recommendation_id,
        equipment_id=command.equipment_id,
        severity=command.severity,
        level=_VERDICT_LEVELS[command.verdict],
        message=f"{command.equipment_id}: {command.tag_path} := {value} is {command.verdict}{said}",
        outcome=command.verdict,
        at_utc=command.at_utc,
    )
