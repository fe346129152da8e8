"""What the core asks of whoever knows more about a case than the rules do, and of the book in which that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bridge.domain.advice import Advice, Case, Decided
from bridge.domain.anomaly import Severity
from bridge.domain.recommendation import ProposedWrite


class Advisor(Protocol):
    """Somebody who knows more about a case than the rules do: a Genie space, a language model. Never trusted.

    What it gives is validated by the agent once more, and nothing of it is ever written to a tag.
    """

    @property
    def name(self) -> str:
        """Who this is, for people: the space or the model."""
        ...

    async def advise(self, case: Case, *, deadline_s: float) -> Advice:
        """An answer within the deadline, which the caller keeps as well.

        Raises TryAgain (WorkspaceDown, RateLimited, DeadlineExceeded, an answer that cannot be used) when asking
        again may help, and FixConfiguration (a space that is not there, a login that is refused) when it will not.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceWanted:
    """A pending proposal that an advisor is asked about, as it was when the question was taken.

    question: the answer counts only while this is still the question that is out. attempt: counted from 1.
    evidence: JSON text.
    """

    recommendation_id: str
    question: str
    attempt: int
    equipment_id: str
    issue_type: str
    severity: Severity
    digest: str
    root_cause: str
    action: str
    writes_text: str
    evidence_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceVerdict:
    """What becomes of a question. None leaves what the proposal says.

    state: given, with an answer; failed, and the attempt counts; waiting: it was not asked at all, which counts as no
    attempt. note: JSON object for the evidence, which says why.
    """

    state: Literal["given", "failed", "waiting"]
    note: Mapping[str, object]
    source: str | None = None
    root_cause: str | None = None
    action: str | None = None
    expected_outcome: str | None = None
    writes: tuple[ProposedWrite, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What the store knows around a proposal.

    trend: averages, lows and highs of the measured columns, oldest first, with keys as `readings.sensor_trend`
    gives them. decided: earlier cases, on the same equipment first, newest first.
    """

    trend: tuple[Mapping[str, float | None], ...]
    decided: tuple[Decided, ...]


class AdviceStore(Protocol):
    """The agent's book of questions to an advisor. Errors as in `Store`."""

    async def take_unadvised(
        self, *, again_after_s: float, patience_s: float, attempts: int, max_rows: int
    ) -> list[AdviceWanted]:
        """Own pending proposals that nobody was asked about yet, most severe first; they count as asked from now.

        Asked about again: a question lost longer than `patience_s` ago (also beyond `attempts`, so that it can be
        given up), and one that failed, up to `attempts`.
        """
        ...

    async def record_advice(self, wanted: AdviceWanted, verdict: AdviceVerdict) -> str | None:
        """Write the verdict in one guarded statement; returns the digest of the writes afterwards.

        None: the proposal was decided, revised or asked about again meanwhile, and nothing was written. RefusedByRule
        when a limit refuses the writes, or when somebody has approved them already.
        """
        ...

    async def advice_background(self, wanted: AdviceWanted, *, minutes: float) -> Background:
        """The readings of the last minutes and how cases like this one ended."""
        ...
