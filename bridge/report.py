"""What `check` found: findings, what passed, and what the store in use promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    PROBLEM = "problem"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be, and what to do about it (empty when the problem says it)."""

    area: str
    subject: str
    problem: str
    advice: str = ""
    level: Level = Level.PROBLEM
    passing: bool = False  # waiting may be enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, and what was looked at in vain or with success, in words."""

    findings: Sequence[Finding]
    looked_at: Sequence[str]
    promises: Sequence[str] = ()  # what the store in use does not promise by itself, and who does

    @property
    def problems(self) -> list[Finding]:
        """The findings that keep the bridge from its work."""
        return [finding for finding in self.findings if finding.level is Level.PROBLEM]
