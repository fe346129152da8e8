"""Advise: ask an advisor about what the rules have proposed, in the background, and write down what it says.

The proposal stands before anybody is asked and stays when nobody answers. An answer is taken only while the proposal
is the one that was asked about and nobody has approved it; what it may change in the plant is the choice among
remedies that are configured for this issue and severity, computed and limited exactly as the rules' own.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Literal

import structlog

from bridge.agent.detect import Detector
from bridge.agent.recommend import Recommender
from bridge.domain.advice import (
    Advice,
    Case,
    Decided,
    Lately,
    Present,
    options_of,
    plain,
    validated,
)
from bridge.domain.reading import Quality
from bridge.domain.recommendation import ProposedWrite, Remedy, remedies_for, writes_from_json
from bridge.domain.tag import Tag
from bridge.errors import BridgeError, DeadlineExceeded, RateLimited, RefusedByRule, TryAgain, WorkspaceDown
from bridge.plant import Equipment, Plant
from bridge.ports import Clock
from bridge.ports_advice import AdviceStore, AdviceVerdict, AdviceWanted, Advisor, Background
from bridge.settings import AdvisorSettings

log = structlog.get_logger(__name__)

_MINUTE_S = 60.0
_GRACE_S = 0.5  # an advisor that keeps its own deadline says more about it than we could
_LONGEST_REST_S = 900.0  # a server that wants a day of rest is asked again in between
_REASON_MOST = 300
_UNSAID = "it did not say why"
_WORDLESS = "the answer has no word that could be shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advising:
    """An advisor with the book of what it was asked."""

    advisor: Advisor
    book: AdviceStore
    settings: AdvisorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """What an advice means for the writes: another remedy with its writes, or why the proposal's own stay."""

    remedy: Remedy | None = None
    writes: tuple[ProposedWrite, ...] | None = None
    notes: tuple[str, ...] = ()


class Adviser:
    """Asks about pending proposals, a few at a time. Nothing waits for it, and nothing is queued in memory."""

    def __init__(
        self, *, plant: Plant, detector: Detector, recommender: Recommender, advising: Advising, clock: Clock
    ) -> None:
        self._plant = plant
        self._detector = detector
        self._recommender = recommender
        self._advisor = advising.advisor
        self._book = advising.book
        self._settings = advising.settings
        self._clock = clock
        self._questions: set[asyncio.Task[None]] = set()  # until what was asked has really ended
        self._wake = asyncio.Event()  # also when a place becomes free
        self._begun_s: deque[float] = deque()  # monotonic, of the last minute
        self._not_before_s = 0.0  # monotonic; the advisor wants to be left alone until then
        self._failing = ""  # why the last question failed; empty while they are answered
        self._given = 0
        self._failed = 0

    def wake(self) -> None:
        """Look at once: there may be a new proposal."""
        self._wake.set()

    async def run(self, works: Callable[[], None], *, look_s: float) -> None:
        """Ask for as long as it is not cancelled, looking every `look_s` and when woken.

        One statement a look while there is nothing to ask. works: told after every look.
        """
        try:
            while True:
                self._wake.clear()
                self._hand_on_what_broke()
                free = self._free()
                if free:
                    await self._ask(free)
                works()
                await _within(look_s, self._wake)
        finally:
            for question in self._questions:
                question.cancel()
            # One that does not listen must not hold up who leaves.
            if self._questions:
                await asyncio.wait(self._questions, timeout=1.0)

    def detail(self) -> dict[str, object]:
        """For the heartbeat: who is asked, how it goes, and why not."""
        return {
            "name": self._advisor.name,
            "state": "failing" if self._failing else "works" if self._given else "not asked yet",
            "reason": self._failing,
            "in_flight": len(self._questions),
            "given": self._given,
            "failed": self._failed,
        }

    def _free(self) -> int:
        """How many questions may begin now."""
        now_s = self._clock.monotonic_s()
        while self._begun_s and now_s - self._begun_s[0] >= _MINUTE_S:
            self._begun_s.popleft()
        if now_s < self._not_before_s:
            return 0
        budget = self._settings.per_minute - len(self._begun_s)
        return max(0, min(budget, self._settings.max_in_flight - len(self._questions)))

    async def _ask(self, most: int) -> None:
        settings = self._settings
        taken = await self._book.take_unadvised(
            again_after_s=settings.again_after_s,
            patience_s=2 * settings.deadline_s + 1.0,
            attempts=settings.attempts,
            max_rows=most,
        )
        for wanted in taken:
            if wanted.attempt <= settings.attempts:
                self._begun_s.append(self._clock.monotonic_s())
            self._take_a_place(self._answer(wanted), name=f"advice {wanted.recommendation_id}")

    def _take_a_place(self, work: Coroutine[None, None, None], *, name: str) -> None:
        question = asyncio.create_task(work, name=name)
        self._questions.add(question)
        question.add_done_callback(lambda _ended: self._wake.set())

    def _hand_on_what_broke(self) -> None:
        """What is no error of the bridge's tree is a bug, and the supervisor's to tell."""
        for question in [question for question in self._questions if question.done()]:
            self._questions.discard(question)
            if not question.cancelled():
                question.result()

    async def _answer(self, wanted: AdviceWanted) -> None:
        """One question from its case to its verdict. A database that is away loses it; it is asked again."""
        try:
            verdict = await self._verdict(wanted)
            await self._record(wanted, verdict)
        except TryAgain as problem:
            log.warning(
                "advice.not_recorded", recommendation_id=wanted.recommendation_id, reason=str(problem)
            )

    async def _verdict(self, wanted: AdviceWanted) -> AdviceVerdict:
        equipment = self._plant.equipment.get(wanted.equipment_id)
        if equipment is None:
            return self._no_advice(
                wanted, f"{wanted.equipment_id} is not in this bridge's configuration any more"
            )
        if wanted.attempt > self._settings.attempts:
            return self._no_advice(wanted, "the bridge was stopped, or its database away, at every attempt")
        remedies = remedies_for(equipment.remedies, wanted.issue_type, wanted.severity)
        background = await self._book.advice_background(wanted, minutes=self._settings.history_minutes)
        case = self._case(wanted, equipment, remedies, background)
        started_s = self._clock.monotonic_s()
        try:
            advice = validated(await self._in_time(case), case)
        except BridgeError as problem:
            if isinstance(problem, WorkspaceDown) and problem.retry_after_s is not None:
                rest_s = min(problem.retry_after_s, _LONGEST_REST_S)
                self._not_before_s = self._clock.monotonic_s() + rest_s
            self._went(well=False, reason=str(problem))
            return self._no_advice(wanted, str(problem), counts=not isinstance(problem, RateLimited))
        if advice.says_nothing:
            self._went(well=False, reason=_WORDLESS)
            return self._no_advice(wanted, _WORDLESS)
        took_s = self._clock.monotonic_s() - started_s
        choice = await self._choose(wanted, equipment, remedies, advice)
        self._went(well=True)
        return self._advised(wanted, remedies, advice, choice, took_s)

    async def _in_time(self, case: Case) -> Advice:
        """The answer, or DeadlineExceeded at the deadline, also when the advisor does not let itself be stopped.

        Then its place stays taken until it ends: what does not end must not be asked over and over.
        """
        deadline_s = self._settings.deadline_s
        asking = asyncio.ensure_future(self._advisor.advise(case, deadline_s=deadline_s))
        try:
            await asyncio.wait({asking}, timeout=deadline_s + _GRACE_S)
            if asking.done():
                return asking.result()
            self._take_a_place(_end_of(asking), name=f"late advice {case.recommendation_id}")
            raise DeadlineExceeded(f"no answer within {deadline_s:g} s")
        finally:
            asking.cancel()

    async def _choose(
        self, wanted: AdviceWanted, equipment: Equipment, remedies: Sequence[Remedy], advice: Advice
    ) -> _Choice:
        """The first candidate that may be carried out; the rules' own remedy leaves everything as it is."""
        present = writes_from_json(wanted.writes_text)
        by_name = {remedy.name: remedy for remedy in remedies}
        notes: list[str] = []
        for name in advice.candidates:
            remedy = by_name[name]
            if remedy is remedies[0] and (present or not remedy.changes):
                return _Choice(remedy=remedy, notes=tuple(notes))
            if not self._settings.may_choose:
                notes.append(f"{name} is not proposed: advisor.may_choose is off")
                continue
            if not remedy.changes:
                # Without writes before and after, the digest stays: who meant the one would approve the other.
                why = (
                    "it has no exact writes and would take away those there are"
                    if present
                    else "neither it nor what stands has exact writes, so nobody could tell the two proposals apart"
                )
                notes.append(f"{name} is not proposed: {why}")
                continue
            writes, refusals, unread = await self._recommender.writes_of(equipment, remedy)
            if unread:
                notes.append(f"{name} is not proposed: its set-points cannot be read")
            elif refusals:
                notes.append(f"{name} is not proposed: {'; '.join(map(str, refusals))}")
            elif remedy.changes and not writes:
                notes.append(f"{name} is not proposed: it is already in effect")
            else:
                return _Choice(remedy=remedy, writes=writes, notes=tuple(notes))
        return _Choice(notes=tuple(notes))

    async def _record(self, wanted: AdviceWanted, verdict: AdviceVerdict) -> None:
        try:
            digest = await self._book.record_advice(wanted, verdict)
        except RefusedByRule as problem:
            if verdict.writes is None:
                self._came_late(wanted, str(problem))
                return
            # The database allows less than this configuration says: the words stay, the writes do not.
            await self._record(wanted, _in_words(verdict, str(problem.refusal)))
            return
        if digest is None:
            self._came_late(wanted, "decided, revised or asked about again meanwhile")
        elif verdict.state == "given":
            self._given += 1
            log.info(
                "recommendation.advised",
                recommendation_id=wanted.recommendation_id,
                source=verdict.source,
                remedy=verdict.note.get("remedy"),
                other_writes=digest != wanted.digest,
            )

    def _came_late(self, wanted: AdviceWanted, reason: str) -> None:
        log.info("advice.came_late", recommendation_id=wanted.recommendation_id, reason=reason)

    def _went(self, *, well: bool, reason: str = "") -> None:
        """Transitions are logged, not every question."""
        words = "" if well else plain(reason, _REASON_MOST, one_line=True) or _UNSAID
        if well and self._failing:
            log.info("advisor.works_again", advisor=self._advisor.name)
        elif not well and not self._failing:
            log.warning("advisor.failing", advisor=self._advisor.name, reason=words)
        self._failing = words

    def _no_advice(self, wanted: AdviceWanted, reason: str, *, counts: bool = True) -> AdviceVerdict:
        self._failed += 1
        last = counts and wanted.attempt >= self._settings.attempts
        state: Literal["failed", "waiting"] = "failed" if counts else "waiting"
        return AdviceVerdict(
            state=state,
            note={
                "state": state,
                "by": self._advisor.name,
                "at_utc": self._clock.now_utc().isoformat(),
                "reason": plain(reason, _REASON_MOST, one_line=True) or _UNSAID,
                "attempt": wanted.attempt,
                "again": "not asked again about this proposal" if last else "asked again",
            },
        )

    def _advised(
        self,
        wanted: AdviceWanted,
        remedies: Sequence[Remedy],
        advice: Advice,
        choice: _Choice,
        took_s: float,
    ) -> AdviceVerdict:
        provenance = advice.provenance
        remedy, writes = choice.remedy, choice.writes
        origin = {
            "model": provenance.model,
            "space": provenance.space,
            "conversation_id": provenance.conversation_id,
            "message_id": provenance.message_id,
            "sql": provenance.sql,
            "rows": provenance.rows,
        }
        note: dict[str, object] = {
            "state": "given",
            "by": self._advisor.name,
            "at_utc": self._clock.now_utc().isoformat(),
            "took_s": round(took_s, 3),
            "explanation": advice.explanation,
            "candidates": list(advice.candidates),
            "remedy": remedy.name if remedy is not None else None,
            "confidence": advice.confidence,
            "notes": list(choice.notes),
            "refused": [str(item) for item in advice.refused],
            "provenance": {name: value for name, value in origin.items() if value not in ("", None)},
            "rules": {
                "root_cause": wanted.root_cause,
                "action": wanted.action,
                "remedy": remedies[0].name if remedies else None,
            },
        }
        chosen = remedy is not None and writes is not None
        return AdviceVerdict(
            state="given",
            note=note,
            source=provenance.source.value,
            root_cause=advice.root_cause or None,
            action=remedy.action if chosen and remedy is not None else None,
            expected_outcome=remedy.expected_outcome if chosen and remedy is not None and writes else None,
            writes=writes,
        )

    def _case(
        self,
        wanted: AdviceWanted,
        equipment: Equipment,
        remedies: Sequence[Remedy],
        background: Background,
    ) -> Case:
        evidence = _object(wanted.evidence_text)
        now_utc = self._clock.now_utc()
        return Case(
            recommendation_id=wanted.recommendation_id,
            equipment_id=equipment.id,
            equipment_type=equipment.type,
            issue_type=wanted.issue_type,
            severity=wanted.severity,
            detail=_said(evidence.get("detail")),
            since_utc=_moment(evidence.get("since_utc")),
            root_cause=_said(wanted.root_cause),
            readings=tuple(
                self._present(name, tag, now_utc)
                for name, tag in (
                    *equipment.signals.items(),
                    *((f"{name} set-point", tag) for name, tag in equipment.setpoints.items()),
                )
            ),
            lately=tuple(_lately(equipment, background, self._settings.history_minutes)),
            options=options_of(remedies),
            decided=tuple(_told(case) for case in background.decided),
        )

    def _present(self, name: str, tag: Tag, now_utc: datetime) -> Present:
        reading = self._detector.reading(tag.path)
        if reading is None:
            return Present(name=name, value=None, unit=tag.unit, quality="never heard", age_s=None)
        heard_utc = reading.received_utc if reading.confirmed else reading.source_time_utc
        value = _said(reading.value) if isinstance(reading.value, str) else reading.value
        usable = reading.quality is not Quality.BAD and not (isinstance(value, float) and not isfinite(value))
        return Present(
            name=name,
            value=value if usable else None,
            unit=tag.unit,
            quality=reading.quality.value,
            age_s=max(0.0, (now_utc - heard_utc).total_seconds()),
        )


def _in_words(verdict: AdviceVerdict, refusal: str) -> AdviceVerdict:
    """The same advice without its writes, and with the reason."""
    told = verdict.note.get("notes")
    notes = [
        *(told if isinstance(told, list) else ()),
        f"{verdict.note.get('remedy')} is not proposed: {refusal}",
    ]
    return AdviceVerdict(
        state="given",
        note={**verdict.note, "remedy": None, "notes": notes},
        source=verdict.source,
        root_cause=verdict.root_cause,
    )


def _lately(equipment: Equipment, background: Background, minutes: float) -> list[Lately]:
    found = []
    for name, tag in equipment.signals.items():
        averages, lows, highs = (
            [value for row in background.trend if (value := row.get(column)) is not None and isfinite(value)]
            for column in (name, f"{name}_min", f"{name}_max")
        )
        if averages and lows and highs:
            found.append(
                Lately(
                    name=name,
                    unit=tag.unit,
                    minutes=minutes,
                    averages=tuple(averages),
                    low=min(lows),
                    high=max(highs),
                )
            )
    return found


def _told(case: Decided) -> Decided:
    """An earlier case with the words of people and programs bounded: they go into a question."""
    return Decided(
        equipment_id=_said(case.equipment_id),
        severity=case.severity,
        decision=case.decision,
        ended=case.ended,
        reason=_said(case.reason),
        result=_said(case.result),
        ago_s=case.ago_s,
    )


def _said(text: object) -> str:
    return plain(text, _REASON_MOST, one_line=True) if isinstance(text, str) else ""


def _object(text: str) -> Mapping[str, object]:
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


async def _end_of(asking: asyncio.Future[Advice]) -> None:
    """The end of a question that nobody waits for any more; what comes of it is of no interest."""
    await asyncio.wait({asking})
    if not asking.cancelled():
        asking.exception()


async def _within(limit_s: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await event.wait()
    except TimeoutError:
        return
