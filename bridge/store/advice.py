"""The agent's book of questions to an advisor, on PostgreSQL: the `AdviceStore` port, acting as bridge_agent."""

from __future__ import annotations

import json
from uuid import uuid4

from bridge.domain.advice import Decided
from bridge.domain.anomaly import Severity
from bridge.ports_advice import AdviceVerdict, AdviceWanted, Background
from bridge.store.connection import Database, Row
from bridge.store.postgres import writes_json
from bridge.store.queries import Queries

_TREND_ROWS = 12  # stretches of time into which the last readings are told
_SIMILAR_ROWS = 5  # earlier cases that are told


class AdviceBook:
    """Implements `bridge.ports_advice.AdviceStore` for one agent, on a database that somebody else opens and closes."""

    def __init__(self, db: Database, queries: Queries, *, agent_id: str) -> None:
        self._db = db
        self._q = queries
        self._agent_id = agent_id

    async def take_unadvised(
        self, *, again_after_s: float, patience_s: float, attempts: int, max_rows: int
    ) -> list[AdviceWanted]:
        """See `AdviceStore.take_unadvised`."""
        rows = await self._db.fetch(
            self._q.recommendations.take_unadvised,
            agent_id=self._agent_id,
            question=uuid4().hex,
            again_after_s=again_after_s,
            patience_s=patience_s,
            attempts=attempts,
            max_rows=max_rows,
        )
        return [_wanted(row) for row in rows]

    async def record_advice(self, wanted: AdviceWanted, verdict: AdviceVerdict) -> str | None:
        """See `AdviceStore.record_advice`."""
        rows = await self._db.fetch(
            self._q.recommendations.record_advice,
            recommendation_id=wanted.recommendation_id,
            question=wanted.question,
            digest=wanted.digest,
            state=None if verdict.state == "waiting" else verdict.state,
            root_cause=verdict.root_cause,
            action=verdict.action,
            expected_outcome=verdict.expected_outcome,
            writes=None if verdict.writes is None else writes_json(verdict.writes),
            source=verdict.source,
            note=json.dumps(dict(verdict.note), ensure_ascii=False, allow_nan=False),
        )
        return str(rows[0]["write_digest"]) if rows else None

    async def advice_background(self, wanted: AdviceWanted, *, minutes: float) -> Background:
        """See `AdviceStore.advice_background`."""
        trend, similar = await self._db.run_together(
            (
                self._q.readings.sensor_trend,
                {"equipment_id": wanted.equipment_id, "minutes": minutes, "max_rows": _TREND_ROWS},
            ),
            (
                self._q.recommendations.list_similar,
                {"recommendation_id": wanted.recommendation_id, "max_rows": _SIMILAR_ROWS},
            ),
        )
        return Background(
            trend=tuple(
                {name: value for name, value in row.items() if value is None or isinstance(value, float)}
                for row in trend
            ),
            decided=tuple(_decided(row) for row in similar),
        )


def _wanted(row: Row) -> AdviceWanted:
    return AdviceWanted(
        recommendation_id=row["recommendation_id"],
        question=row["advice_question"],
        attempt=row["advice_attempts"],
        equipment_id=row["equipment_id"],
        issue_type=row["issue_type"],
        severity=Severity(row["severity"]),
        digest=row["write_digest"],
        root_cause=row["root_cause_analysis"] or "",
        action=row["recommended_action"] or "",
        writes_text=row["proposed_writes"],
        evidence_text=row["evidence"],
    )


def _decided(row: Row) -> Decided:
    return Decided(
        equipment_id=row["equipment_id"],
        severity=row["severity"],
        decision=row["decision"],
        ended=row["status"],
        reason=row["reason"] or "",
        result=row["execution_result"] or "",
        ago_s=float(row["ago_s"]),
    )
