"""A command: one approved write on its way to one tag, and the verdict on what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.domain.lifecycle import CommandStatus
from bridge.domain.limits import RefusalCode
from bridge.domain.recommendation import ProposedWrite
from bridge.domain.tag import Route, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One claimed write with everything needed to check it again before it leaves.

    sequence: place among the recommendation's writes, from 1. expected_value: what the plant showed when
    the write was approved. new_value: the target; both as the command table holds them (Boolean as 0/1).
    proposed_writes_text and approved_digest: the evidence that this very write was approved.
    lease_left_s: how long the claim lasts from the moment it was made, by the database's clock.
    since_last_write_s and writes_last_hour: history of the tag, None when it was never written.
    """

    command_id: str
    recommendation_id: str
    equipment_id: str
    tag_path: str
    sequence: int
    expected_value: float
    new_value: float
    unit: str
    claimed_by: str
    lease_left_s: float
    proposed_writes_text: str
    approved_digest: str
    since_last_write_s: float | None = None
    writes_last_hour: int = 0
    sent_utc: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a command. `code` is None for a confirmed write; `reason` is for people."""

    command_id: str
    recommendation_id: str
    status: CommandStatus
    reason: str
    code: RefusalCode | None = None
    read_back_value: float | None = None

    @property
    def result(self) -> str:
        """The text of `execution_result`: the code, then the reason."""
        return self.reason if self.code is None else f"{self.code}: {self.reason}"


def same_write(command: Command, write: ProposedWrite) -> bool:
    """True when a command says exactly what the approved list says at its place."""
    return (
        command.tag_path == write.tag_path
        and _number(write.target) == command.new_value
        and _number(write.present) == command.expected_value
        and command.unit == write.unit
    )


def _number(value: Value) -> float | None:
    return None if isinstance(value, str) else float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A command that was sent and has no verdict: its holder is gone, or its outcome is unknown."""

    command_id: str
    recommendation_id: str
    tag_path: str
    expected_value: float
    new_value: float
    unit: str
    route: Route
    status: CommandStatus
    sent_utc: datetime
    sent_s_ago: float
