"""Recommend: turn active conditions into proposals with exact writes, one per equipment and issue.

A condition keeps one recommendation for as long as it lasts: escalated in place when it worsens, renewed
while it lasts, rewritten when the plant moved, withdrawn when it ends. After a decision the same lasting
condition is not proposed again before its back-off, unless it has become more severe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from bridge.agent.detect import Detector
from bridge.domain.anomaly import ActiveCondition, Anomaly, Cleared, Severity
from bridge.domain.lifecycle import RecommendationStatus
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.reading import Reading
from bridge.domain.recommendation import (
    Proposal,
    ProposedWrite,
    Remedy,
    Standing,
    exact_writes,
    remedy_for,
    writes_from_json,
)
from bridge.domain.tag import Tag, equal_enough
from bridge.errors import DeadlineExceeded, LinkDown, RefusedByRule
from bridge.plant import Equipment, Plant
from bridge.ports import Clock, Incomplete, Store, TagLink
from bridge.settings import AgentSettings

log = structlog.get_logger(__name__)

_Key = tuple[str, str]  # equipment, issue

_BACK_OFF = {
    RecommendationStatus.EXECUTED: "after_executed_s",
    RecommendationStatus.REJECTED: "after_rejected_s",
    RecommendationStatus.FAILED: "after_failed_s",
    RecommendationStatus.EXPIRED: "after_failed_s",
}

_PASSING = frozenset({RefusalCode.UNREADABLE, RefusalCode.BAD_QUALITY, RefusalCode.READING_TOO_OLD})
"""Refusals that say nothing about the remedy: a set-point could not be relied on for a moment."""


@dataclass(slots=True, kw_only=True)
class _Episode:
    """What the agent remembers of an active condition between two looks."""

    severity: Severity
    recommendation_id: str | None = None
    writes: tuple[ProposedWrite, ...] = ()
    unfinished: bool = False  # proposed without its writes because set-points could not be relied on
    lacks: frozenset[RefusalCode] = frozenset()  # why, as far as people were told
    renewed_s: float = 0.0  # monotonic
    look_again_s: float = 0.0  # monotonic; not before this moment


@dataclass(frozen=True, slots=True, kw_only=True)
class _Composed:
    proposal: Proposal
    unfinished: bool
    lacks: frozenset[RefusalCode] = frozenset()


class Recommender:
    """Keeps the table of recommendations in step with the conditions of the plant."""

    def __init__(
        self,
        *,
        plant: Plant,
        store: Store,
        links: dict[str, TagLink],
        detector: Detector,
        clock: Clock,
        settings: AgentSettings,
    ) -> None:
        self._plant = plant
        self._store = store
        self._links = links
        self._detector = detector
        self._clock = clock
        self._settings = settings
        self._episodes: dict[_Key, _Episode] = {}
        # Findings and looks come from two tasks; each condition is answered by one of them at a time.
        self._one_at_a_time = asyncio.Lock()
        self._ended: set[_Key] = set()  # ended since the present look round began

    def restore(self, conditions: Iterable[ActiveCondition]) -> None:
        """Take up conditions that a bridge before this one has already answered."""
        for condition in conditions:
            self._episodes[condition.equipment_id, condition.issue_type] = _Episode(
                severity=condition.severity, recommendation_id=condition.recommendation_id
            )

    async def handle(self, finding: Anomaly | Cleared) -> None:
        """Answer one finding. TryAgain means nothing is lost: call again with the same finding."""
        async with self._one_at_a_time:
            if isinstance(finding, Cleared):
                await self._end(finding)
            else:
                await self._store.record_condition(finding)
                await self._answer(finding)

    async def revisit(self) -> None:
        """Look after every active condition: renew, rewrite or propose again, as its time has come."""
        now_s = self._clock.monotonic_s()
        renewals: list[str] = []
        self._ended.clear()
        for anomaly in self._detector.active():
            key = (anomaly.equipment_id, anomaly.issue_type)
            if self._detector.is_blind(*key):
                continue  # nobody can stand behind a proposal whose signal is not seen
            async with self._one_at_a_time:
                if key in self._ended:
                    continue  # while this round was on its way
                episode = self._episodes.get(key)
                if (
                    episode is None
                    or episode.unfinished
                    or self._moved(episode)
                    or now_s >= episode.look_again_s
                ):
                    await self._answer(anomaly)
            if (
                episode is not None
                and episode.recommendation_id is not None
                and now_s - episode.renewed_s > self._settings.proposal_valid_s / 3
            ):
                renewals.append(episode.recommendation_id)
                episode.renewed_s = now_s
        if renewals:
            await self._store.renew(renewals, self._settings.proposal_valid_s)

    async def complete_others(self) -> None:
        """Give others' recommendations in prose their exact writes, from the configured remedy."""
        for row in await self._store.incomplete_recommendations():
            await self._complete(row)

    async def _complete(self, row: Incomplete) -> None:
        equipment = self._plant.equipment.get(row.equipment_id)
        remedy = (
            None
            if equipment is None
            else remedy_for(equipment.remedies, row.issue_type, Severity(row.severity))
        )
        if equipment is None or remedy is None or not remedy.changes:
            why = "no remedy with writes is configured for this issue"
            await self._store.complete(row.recommendation_id, (), {"by": self._settings.id, "result": why})
            return
        writes, refusals, unread = await self.writes_of(equipment, remedy)
        if unread:
            return  # tried again at the next look; a link that is down is no answer
        note = {
            "by": self._settings.id,
            "remedy": remedy.action,
            "refusals": [str(item) for item in refusals],
        }
        try:
            done = await self._store.complete(row.recommendation_id, writes, note)
        except RefusedByRule as problem:
            log.warning(
                "recommendation.not_completed", recommendation_id=row.recommendation_id, reason=str(problem)
            )
            await self._store.complete(row.recommendation_id, (), {**note, "refusals": [str(problem)]})
            return
        if done:
            log.info("recommendation.completed", recommendation_id=row.recommendation_id, writes=len(writes))

    async def _end(self, cleared: Cleared) -> None:
        reason = f"the condition cleared at {cleared.cleared_utc:%Y-%m-%d %H:%M:%S} UTC"
        withdrawn = await self._store.supersede(cleared.equipment_id, cleared.issue_type, reason)
        await self._store.close_condition(cleared)
        self._episodes.pop((cleared.equipment_id, cleared.issue_type), None)
        self._ended.add((cleared.equipment_id, cleared.issue_type))
        log.info(
            "condition.cleared",
            equipment_id=cleared.equipment_id,
            issue_type=cleared.issue_type,
            withdrawn=withdrawn,
        )

    async def _answer(self, anomaly: Anomaly) -> None:
        key = (anomaly.equipment_id, anomaly.issue_type)
        episode = self._episodes.setdefault(key, _Episode(severity=anomaly.severity))
        standing = await self._store.latest_recommendation(*key)
        if standing is not None and standing.open:
            await self._keep(anomaly, episode, standing)
        elif standing is None or self._may_propose(anomaly, episode, standing):
            await self._propose(anomaly, episode)

    async def _keep(self, anomaly: Anomaly, episode: _Episode, standing: Standing) -> None:
        """An open recommendation is there: rewrite it while nobody has decided, if it is ours and out of date."""
        # Also for one that is known: an advisor's choice may have brought other writes.
        episode.writes = writes_from_json(standing.writes_text)
        if episode.recommendation_id != standing.recommendation_id:
            episode.recommendation_id = standing.recommendation_id
            await self._store.link_condition(
                anomaly.equipment_id, anomaly.issue_type, standing.recommendation_id
            )
        episode.look_again_s = self._clock.monotonic_s() + self._settings.tend_s * 6
        worse = anomaly.severity.rank > standing.severity.rank
        ours = standing.created_by_agent == self._settings.id
        if standing.status is RecommendationStatus.DEFERRED and worse and ours:
            await self._store.wake(standing.recommendation_id)
        elif standing.status is not RecommendationStatus.PENDING or not ours:
            return
        if episode.writes:
            episode.unfinished = False  # an advisor chose a remedy whose set-points can be relied on
        if not (worse or episode.unfinished or self._moved(episode)):
            return
        # Never softer than what is shown already: a proposal is taken back only when the condition ends.
        severity = max(anomaly.severity, standing.severity, key=lambda level: level.rank)
        composed = await self._compose(anomaly, severity)
        if not worse and composed.unfinished and not episode.writes and composed.lacks == episode.lacks:
            return  # nothing new to tell: what stands stays, and what was advised on it
        recommendation_id, valid_s = standing.recommendation_id, self._settings.proposal_valid_s
        try:
            revised = await self._store.revise(recommendation_id, composed.proposal, valid_s)
        except RefusedByRule as problem:
            composed = self._in_words(anomaly, severity, problem)
            revised = await self._store.revise(recommendation_id, composed.proposal, valid_s)
        if revised:
            self._remember(episode, standing.recommendation_id, composed)
            log.info(
                "recommendation.escalated" if worse else "recommendation.revised",
                recommendation_id=standing.recommendation_id,
                severity=severity.value,
                writes=[write.as_json() for write in composed.proposal.writes],
            )

    def _may_propose(self, anomaly: Anomaly, episode: _Episode, standing: Standing) -> bool:
        """Nothing is open: propose for a new episode, a worse condition, or when the back-off is over."""
        if episode.recommendation_id != standing.recommendation_id:
            return True
        setting = _BACK_OFF.get(standing.status)
        back_off_s = 0.0 if setting is None else float(getattr(self._settings, setting))
        if anomaly.severity.rank > standing.severity.rank or standing.changed_s_ago >= back_off_s:
            return True
        episode.look_again_s = self._clock.monotonic_s() + back_off_s - standing.changed_s_ago
        return False

    async def _propose(self, anomaly: Anomaly, episode: _Episode) -> None:
        composed = await self._compose(anomaly, anomaly.severity)
        valid_s = self._settings.proposal_valid_s
        try:
            recommendation_id = await self._store.propose(composed.proposal, valid_s)
        except RefusedByRule as problem:
            composed = self._in_words(anomaly, anomaly.severity, problem)
            recommendation_id = await self._store.propose(composed.proposal, valid_s)
        if recommendation_id is None:
            episode.look_again_s = 0.0  # somebody opened one this moment; the next look finds it
            return
        self._remember(episode, recommendation_id, composed)
        await self._store.link_condition(anomaly.equipment_id, anomaly.issue_type, recommendation_id)
        log.info(
            "recommendation.proposed",
            recommendation_id=recommendation_id,
            equipment_id=anomaly.equipment_id,
            issue_type=anomaly.issue_type,
            severity=anomaly.severity.value,
            writes=[write.as_json() for write in composed.proposal.writes],
        )

    def _remember(self, episode: _Episode, recommendation_id: str, composed: _Composed) -> None:
        now_s = self._clock.monotonic_s()
        episode.recommendation_id = recommendation_id
        episode.severity = composed.proposal.severity
        episode.writes = composed.proposal.writes
        episode.unfinished = composed.unfinished
        episode.lacks = composed.lacks
        episode.renewed_s = now_s
        episode.look_again_s = now_s + self._settings.tend_s * 6

    def _moved(self, episode: _Episode) -> bool:
        """True when a set-point no longer has the value that the proposal starts from."""
        for write in episode.writes:
            tag = self._plant.tags.get(write.tag_path)
            reading = self._detector.reading(write.tag_path)
            if tag is None or tag.limits is None or reading is None or reading.value is None:
                continue
            if not equal_enough(
                reading.value, write.present, data_type=tag.data_type, tolerance=tag.limits.tolerance
            ):
                return True
        return False

    async def _compose(self, anomaly: Anomaly, severity: Severity) -> _Composed:
        equipment = self._plant.equipment[anomaly.equipment_id]
        remedy = remedy_for(equipment.remedies, anomaly.issue_type, severity)
        writes: tuple[ProposedWrite, ...] = ()
        refusals: tuple[Refusal, ...] = ()
        unread = False
        if remedy is not None and remedy.changes:
            writes, refusals, unread = await self.writes_of(equipment, remedy)
        passing = unread or any(refusal.code in _PASSING for refusal in refusals)
        return self._composed(anomaly, severity, remedy, writes, refusals, unfinished=passing)

    def _in_words(self, anomaly: Anomaly, severity: Severity, problem: RefusedByRule) -> _Composed:
        """The same proposal without writes: the database allows less than this configuration says."""
        log.warning(
            "recommendation.writes_refused",
            equipment_id=anomaly.equipment_id,
            issue_type=anomaly.issue_type,
            reason=str(problem),
        )
        remedy = remedy_for(
            self._plant.equipment[anomaly.equipment_id].remedies, anomaly.issue_type, severity
        )
        return self._composed(anomaly, severity, remedy, (), (problem.refusal,), unfinished=False)

    def _composed(
        self,
        anomaly: Anomaly,
        severity: Severity,
        remedy: Remedy | None,
        writes: tuple[ProposedWrite, ...],
        refusals: tuple[Refusal, ...],
        *,
        unfinished: bool,
    ) -> _Composed:
        cause = self._detector.root_cause(anomaly)
        return _Composed(
            unfinished=unfinished,
            lacks=frozenset(refusal.code for refusal in refusals),
            proposal=Proposal(
                equipment_id=anomaly.equipment_id,
                issue_type=anomaly.issue_type,
                severity=severity,
                confidence=anomaly.confidence,
                root_cause=cause.text,
                action=_action(anomaly, remedy, writes, refusals),
                expected_outcome=remedy.expected_outcome if remedy is not None and writes else "",
                writes=writes,
                readings=anomaly.readings,
                evidence=_evidence(anomaly, cause.facts, refusals),
            ),
        )

    async def writes_of(
        self, equipment: Equipment, remedy: Remedy
    ) -> tuple[tuple[ProposedWrite, ...], tuple[Refusal, ...], bool]:
        """Exact writes from values read now, why not, and whether a link kept us from reading."""
        tags = [
            equipment.setpoints[change.setpoint]
            for change in remedy.changes
            if change.setpoint in equipment.setpoints
        ]
        live, unread = await self._read(tags)
        writes, refusals = exact_writes(remedy, equipment.setpoints, live, self._clock.now_utc())
        return writes, refusals, unread

    async def _read(self, tags: Sequence[Tag]) -> tuple[dict[str, Reading], bool]:
        live: dict[str, Reading] = {}
        unread = False
        for name in dict.fromkeys(tag.link for tag in tags):
            link = self._links.get(name)
            if link is None:
                # The gateway's own tags: the newest value the gateway told us has to do.
                known = {tag.path: self._detector.reading(tag.path) for tag in tags if tag.link == name}
                live.update({path: reading for path, reading in known.items() if reading is not None})
                continue
            try:
                readings = await link.read(
                    [tag for tag in tags if tag.link == name], deadline_s=self._settings.command_deadline_s
                )
            except (LinkDown, DeadlineExceeded) as problem:
                log.warning("recommendation.setpoints_unread", link=name, reason=str(problem))
                unread = True
                continue
            live.update({reading.tag.path: reading for reading in readings})
        return live, unread


def _action(
    anomaly: Anomaly, remedy: Remedy | None, writes: Sequence[ProposedWrite], refusals: Sequence[Refusal]
) -> str:
    if remedy is None:
        return f"Send somebody to look at {anomaly.equipment_id}: no remedy is configured for {anomaly.issue_type}"
    if refusals:
        return (
            f"{remedy.action}, by hand: no exact write is proposed, because {'; '.join(map(str, refusals))}"
        )
    if remedy.changes and not writes:
        return f"{remedy.action} is already in effect and {anomaly.issue_type} lasts: somebody has to look"
    return remedy.action


def _evidence(anomaly: Anomaly, facts: Sequence[str], refusals: Sequence[Refusal]) -> dict[str, object]:
    return {
        "signal": anomaly.signal,
        "tag_path": anomaly.tag_path,
        "value": anomaly.value,
        "limit": anomaly.limit,
        "unit": anomaly.unit,
        "since_utc": anomaly.since_utc.isoformat(),
        "seen_utc": anomaly.seen_utc.isoformat(),
        "readings": dict(anomaly.readings),
        "detail": anomaly.detail,
        "facts": list(facts),
        "refusals": [str(refusal) for refusal in refusals],
    }
