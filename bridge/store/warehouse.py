"""The agent's tables as Delta tables behind a SQL warehouse: the `Store` port, acting as bridge_agent.

For those who have no Lakebase. What PostgreSQL promises by roles, triggers and unique indexes is promised here by this
code as far as it can be: `bridge.store.promises` says which promises are kept, by whom, and which are not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from bridge import __version__
from bridge.domain.anomaly import ActiveCondition, Anomaly, Cleared, Severity
from bridge.domain.approval import digest_of
from bridge.domain.command import Command, Unsettled, Verdict
from bridge.domain.lifecycle import RecommendationStatus
from bridge.domain.reading import Reading
from bridge.domain.recommendation import Proposal, ProposedWrite, Standing
from bridge.errors import BridgeError, DeadlineExceeded, RefusedByRule, SchemaError, StoreDown, TryAgain
from bridge.ports import Clock, Incomplete, Mark, OthersRow, Place
from bridge.settings import AgentSettings, StoreSettings
from bridge.store.queries import Queries, Query
from bridge.store.rows import storable
from bridge.store.warehouse_approved import Approvals
from bridge.store.warehouse_audit import AuditTrail, Event, of_recommendation
from bridge.store.warehouse_connection import Known, Row, Warehouse
from bridge.store.warehouse_execution import Execution
from bridge.store.warehouse_migrate import warehouse_status
from bridge.store.warehouse_readings import Readings
from bridge.store.warehouse_rules import writes_refusal, writes_text

_RENEWED_AT_ONCE = 200
_HANDED_AT_ONCE = 100
_KEY = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing that looks like something else


def new_key(now_utc: datetime) -> str:
    """A key that nobody else makes: the milliseconds and 30 random bits, in letters that a person can read out."""
    number = (int(now_utc.timestamp() * 1000) << 30) | (uuid4().int >> 98)
    letters = ""
    while number:
        number, digit = divmod(number, 32)
        letters = _KEY[digit] + letters
    return letters


class WarehouseStore:
    """Implements `bridge.ports.Store`. One instance is one running bridge: its claims carry its own name.

    It has no way to approve: no method for it, and a connection that refuses every statement whose header does not
    name bridge_agent.
    """

    def __init__(
        self, db: Warehouse, queries: Queries, agent: AgentSettings, settings: StoreSettings, clock: Clock
    ) -> None:
        self._db = db
        self._q = queries
        self._agent = agent
        self._settings = settings
        self._clock = clock
        self.instance = f"{agent.id}/{uuid4().hex[:8]}"
        self._trail = AuditTrail(db, queries, clock.now_utc)
        self._approvals = Approvals(db, queries, self._trail, agent)
        self._execution = Execution(db, queries, self._trail, agent, self._approvals, self.instance)
        self._readings = Readings(db, queries, agent.id)

    async def open(self) -> None:
        """Connect and make sure that the tables are exactly the ones this version expects.

        After an error nothing stays open.
        """
        try:
            await self._db.open()
            status = await warehouse_status(self._db)
            if not status.current:
                what = (
                    f"waiting: {', '.join(status.waiting)}"
                    if status.waiting
                    else f"changed: {', '.join(status.edited)}"
                )
                raise SchemaError(
                    f"the warehouse's tables are not this version's ({what}); run "
                    "`ignition-bridge db migrate --target warehouse`"
                )
        except BridgeError:
            await self._db.close()
            raise

    async def close(self) -> None:
        """Close the connections."""
        await self._db.close()

    # Readings

    async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
        """See `Store.store_readings`."""
        return await self._readings.keep(readings, mark)

    async def stored_until(self, origin: str) -> int:
        """See `Store.stored_until`."""
        return await self._readings.kept_until(origin)

    async def forget_marks(self, buffer: str, in_use: Sequence[str]) -> None:
        """Nothing to do: the marks are columns of the readings and go with them."""

    async def place_of_others(self) -> Place:
        """See `Store.place_of_others`."""
        return await self._readings.place()

    async def readings_from_others(self, after: Place, max_rows: int) -> tuple[list[OthersRow], Place]:
        """See `Store.readings_from_others`. In the order of received_timestamp, which is all that Delta has."""
        return await self._readings.from_others(after, max_rows)

    async def prepare_days(self) -> None:
        """See `Store.prepare_days`. Delta has no partitions; what is past its retention goes."""
        await self._db.change(self._q.readings.prepare_days, retention_days=self._settings.retention_days)

    # Conditions

    async def active_conditions(self) -> list[ActiveCondition]:
        """See `Store.active_conditions`."""
        rows = await self._db.fetch(self._q.conditions.list_active)
        found: dict[tuple[str, str], ActiveCondition] = {}
        for row in sorted(rows, key=lambda row: row["since_utc"]):
            condition = ActiveCondition(**{**row, "severity": Severity(row["severity"])})
            # Two bridges that saw it begin at once may have made two rows; they end together.
            found.setdefault((condition.equipment_id, condition.issue_type), condition)
        return list(found.values())

    async def record_condition(self, anomaly: Anomaly) -> None:
        """See `Store.record_condition`."""
        await self._db.change(
            self._q.conditions.open_condition,
            equipment_id=anomaly.equipment_id,
            issue_type=anomaly.issue_type,
            severity=anomaly.severity.value,
            since_utc=anomaly.since_utc,
            new_id=new_key(self._clock.now_utc()),
        )

    async def link_condition(self, equipment_id: str, issue_type: str, recommendation_id: str) -> None:
        """See `Store.link_condition`."""
        await self._db.change(
            self._q.conditions.link_recommendation,
            equipment_id=equipment_id,
            issue_type=issue_type,
            recommendation_id=recommendation_id,
        )

    async def close_condition(self, cleared: Cleared) -> None:
        """See `Store.close_condition`."""
        await self._db.change(
            self._q.conditions.close_condition,
            equipment_id=cleared.equipment_id,
            issue_type=cleared.issue_type,
            cleared_utc=cleared.cleared_utc,
        )

    # Recommendations

    async def propose(self, proposal: Proposal, valid_s: float) -> str | None:
        """See `Store.propose`.

        Should two be made in one moment, whoever sees the other's withdraws its own: rather none than two.
        """
        text = await self._allowed(proposal.writes, proposal.equipment_id)
        made = f"R-{new_key(self._clock.now_utc())}"
        lost: TryAgain | None = None
        values = _proposal_values(proposal, text)
        try:
            await self._db.change(
                self._q.recommendations.propose,
                equipment_id=proposal.equipment_id,
                issue_type=proposal.issue_type,
                agent_id=self._agent.id,
                valid_s=valid_s,
                new_id=made,
                write_key=uuid4().hex,
                **values,
            )
        except (StoreDown, DeadlineExceeded) as problem:
            lost = problem  # its answer, and perhaps nothing else
        rows = await self._db.look(
            self._q.recommendations.list_open_for,
            equipment_id=proposal.equipment_id,
            issue_type=proposal.issue_type,
        )
        standing = {row["recommendation_id"] for row in rows}
        if made not in standing:
            if lost is not None:
                raise lost
            return None
        await self._trail.append(
            [
                Event(
                    actor=self._agent.id,
                    action="recommendation.created",
                    object_type="recommendation",
                    object_id=made,
                    recommendation_id=made,
                    new_status="pending",
                    detail={
                        "equipment_id": proposal.equipment_id,
                        "issue_type": proposal.issue_type,
                        "severity": proposal.severity.value,
                        "proposed_writes": json.loads(text),
                        "write_digest": digest_of(text),
                        "source": proposal.source,
                        "root_cause_analysis": proposal.root_cause,
                        "recommended_action": proposal.action,
                        "temperature": proposal.readings.get("temperature"),
                        "evidence": dict(proposal.evidence),
                    },
                )
            ]
        )
        others = standing - {made}
        if not others:
            return made
        await self._end_one(
            made, f"proposed in the same moment as {', '.join(sorted(others))}, for the same issue"
        )
        return None

    async def _end_one(self, recommendation_id: str, reason: str) -> None:
        await self._changed(
            self._q.recommendations.give_way, "pending", recommendation_id=recommendation_id, reason=reason
        )

    async def revise(self, recommendation_id: str, proposal: Proposal, valid_s: float) -> bool:
        """See `Store.revise`."""
        before = await self._row(recommendation_id)
        if before is None or before["status"] != "pending":
            return False
        text = await self._allowed(proposal.writes, proposal.equipment_id)
        known = await self._db.make_known(
            self._q.recommendations.revise,
            self._q.recommendations.list_changed,
            recommendation_id=recommendation_id,
            valid_s=valid_s,
            **_proposal_values(proposal, text),
        )
        return await self._revised(known, before)

    async def _revised(self, known: Known, before: Row) -> bool:
        rows = known.rows
        if not rows and known.affected == 1:
            # Made, and decided by somebody before we looked; a decision leaves the writes as they are.
            after = await self._row(before["recommendation_id"])
            rows = [] if after is None else [after]
        for row in rows:
            if (row["write_digest"], row["severity"]) != (before["write_digest"], before["severity"]):
                await self._trail.append([_revision(row, before)])
        return bool(rows)

    async def renew(self, recommendation_ids: Sequence[str], valid_s: float) -> None:
        """See `Store.renew`."""
        for begin in range(0, len(recommendation_ids), _RENEWED_AT_ONCE):
            await self._db.change(
                self._q.recommendations.renew,
                recommendation_ids=list(recommendation_ids[begin : begin + _RENEWED_AT_ONCE]),
                valid_s=valid_s,
            )

    async def wake(self, recommendation_id: str) -> bool:
        """See `Store.wake`."""
        wake = self._q.recommendations.wake_recommendation
        return bool(await self._changed(wake, "deferred", recommendation_id=recommendation_id))

    async def supersede(self, equipment_id: str, issue_type: str, reason: str) -> list[str]:
        """See `Store.supersede`."""
        return await self._changed(
            self._q.recommendations.supersede,
            "pending",
            equipment_id=equipment_id,
            issue_type=issue_type,
            agent_id=self._agent.id,
            reason=storable(reason),
        )

    async def latest_recommendation(self, equipment_id: str, issue_type: str) -> Standing | None:
        """See `Store.latest_recommendation`."""
        rows = await self._db.fetch(
            self._q.recommendations.latest_for, equipment_id=equipment_id, issue_type=issue_type
        )
        if not rows:
            return None
        row = rows[0]
        return Standing(
            recommendation_id=row["recommendation_id"],
            status=RecommendationStatus(row["status"]),
            severity=Severity(row["severity"]),
            writes_text=row["proposed_writes"],
            created_by_agent=row["created_by_agent"],
            changed_s_ago=row["changed_s_ago"],
        )

    async def incomplete_recommendations(self) -> list[Incomplete]:
        """See `Store.incomplete_recommendations`."""
        rows = await self._db.fetch(self._q.recommendations.list_incomplete, agent_id=self._agent.id)
        return [Incomplete(**row) for row in rows]

    async def complete(
        self, recommendation_id: str, writes: Sequence[ProposedWrite], note: Mapping[str, object]
    ) -> bool:
        """See `Store.complete`."""
        before = await self._row(recommendation_id)
        if before is None or before["status"] != "pending":
            return False
        text = await self._allowed(writes, before["equipment_id"])
        evidence = _object(before["evidence"]) | {"completion": dict(note)}
        known = await self._db.make_known(
            self._q.recommendations.complete,
            self._q.recommendations.list_changed,
            recommendation_id=recommendation_id,
            writes=text,
            digest=digest_of(text),
            write_count=len(writes),
            note=storable(json.dumps(evidence, ensure_ascii=False, default=str)),
            evidence_before=before["evidence"],
        )
        return await self._revised(known, before)

    async def hand_to_people(self) -> list[tuple[str, str]]:
        """See `Store.hand_to_people`."""
        return await self._approvals.hand_over(_HANDED_AT_ONCE)

    # Commands

    async def take_commands(self, routes: Sequence[str], max_commands: int) -> list[Command]:
        """See `Store.take_commands`. One statement when there is nothing to do."""
        return await self._execution.take(routes, max_commands)

    async def record_intent(self, command_ids: Sequence[str]) -> set[str]:
        """See `Store.record_intent`."""
        return await self._execution.intend(command_ids)

    async def record_verdicts(self, verdicts: Sequence[Verdict]) -> list[tuple[str, RecommendationStatus]]:
        """See `Store.record_verdicts`."""
        return await self._execution.record(verdicts)

    async def release(self, command_ids: Sequence[str]) -> list[str]:
        """See `Store.release`."""
        return await self._execution.release(command_ids)

    async def due(self) -> frozenset[str]:
        """See `Store.due`."""
        row = (await self._db.fetch(self._q.health.list_due, agent_id=self._agent.id))[0]
        return frozenset(name for name, there in row.items() if there)

    async def tend(self, due: frozenset[str]) -> Mapping[str, int]:
        """See `Store.tend`."""
        done: dict[str, int] = {}
        if "release" in due:
            done["release"] = await self._execution.release_expired()
        if "cancel" in due:
            done["cancel"] = await self._execution.cancel()
        if "finish" in due or "cancel" in due:
            done["finish"] = len(await self._execution.finish())
        if "approved" in due:
            done["approved"] = await self._approvals.void()
        for name, query, before in (
            ("expire", self._q.recommendations.expire_pending, "pending"),
            ("wake", self._q.recommendations.wake_deferred, "deferred"),
        ):
            if name in due:
                done[name] = len(await self._changed(query, before))
        await self._trail.append()
        return {name: count for name, count in done.items() if count}

    async def unsettled(self) -> list[Unsettled]:
        """See `Store.unsettled`."""
        return await self._execution.unsettled()

    async def settle(self, command: Unsettled, verdict: Verdict) -> bool:
        """See `Store.settle`."""
        return await self._execution.settle(command, verdict)

    # Life

    async def heartbeat(
        self, *, online: bool, polls_completed: int, cycle_ms: float, detail: Mapping[str, object]
    ) -> None:
        """See `Store.heartbeat`."""
        await self._db.change(
            self._q.health.heartbeat,
            agent_id=self._agent.id,
            status="online" if online else "offline",
            polls_completed=polls_completed,
            site=self._agent.site,
            version=__version__,
            cycle_ms=cycle_ms,
            detail=storable(json.dumps(detail, ensure_ascii=False)),
        )

    async def notifications(self, *, wait_s: float) -> AsyncIterator[str | None]:
        """See `Store.notifications`. A warehouse announces nothing: polling is all there is, each `wait_s`."""
        while True:
            yield None
            await asyncio.sleep(wait_s)

    async def _allowed(self, writes: Sequence[ProposedWrite], equipment_id: str) -> str:
        """The writes as they are stored, when every limit of the allow-list holds; else RefusedByRule."""
        text = writes_text(writes)
        if writes:
            refusal = writes_refusal(text, equipment_id, await self._approvals.limits())
            if refusal is not None:
                raise RefusedByRule(refusal)
        return text

    async def _row(self, recommendation_id: str) -> Row | None:
        rows = await self._db.fetch(
            self._q.recommendations.get_recommendation, recommendation_id=recommendation_id
        )
        return rows[0] if rows else None

    async def _changed(self, change: Query, before: str, **values: object) -> list[str]:
        """Make a change; the ids of what it changed, which are in the audit trail then."""
        known = await self._db.make_known(change, self._q.recommendations.list_changed, **values)
        await self._trail.append([of_recommendation(row, "", before) for row in known.rows])
        return [row["recommendation_id"] for row in known.rows]


def _proposal_values(proposal: Proposal, text: str) -> dict[str, object]:
    return {
        "severity": proposal.severity.value,
        "confidence": proposal.confidence,
        "temperature": proposal.readings.get("temperature"),
        "pressure": proposal.readings.get("pressure"),
        "flow_rate": proposal.readings.get("flow_rate"),
        "root_cause": storable(proposal.root_cause),
        "action": storable(proposal.action),
        "expected_outcome": storable(proposal.expected_outcome),
        "writes": text,
        "digest": digest_of(text),
        "write_count": len(proposal.writes),
        "evidence": storable(json.dumps(dict(proposal.evidence), ensure_ascii=False, default=str)),
        "source": proposal.source,
    }


def _revision(row: Row, before: Row) -> Event:
    return Event(
        actor="",
        action="recommendation.revised",
        object_type="recommendation",
        object_id=row["recommendation_id"],
        recommendation_id=row["recommendation_id"],
        old_status="pending",
        new_status="pending",
        detail={
            "severity": row["severity"],
            "was_severity": before["severity"],
            "write_digest": row["write_digest"],
            "was_write_digest": before["write_digest"],
            "proposed_writes": json.loads(row["proposed_writes"]),
            "recommended_action": row["recommended_action"],
        },
    )


def _object(text: str) -> dict[str, object]:
    """Others may have written anything into `evidence`; what is no object is kept under a name."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {"given": text}
    return found if isinstance(found, dict) else {"given": found}
