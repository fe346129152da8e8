"""The agent's tables on PostgreSQL, embedded or Lakebase: the `Store` port, acting as bridge_agent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import uuid4

from bridge import __version__
from bridge.domain.anomaly import ActiveCondition, Anomaly, Cleared, Severity
from bridge.domain.command import Command, Unsettled, Verdict
from bridge.domain.lifecycle import CommandStatus, RecommendationStatus, Role
from bridge.domain.reading import Reading
from bridge.domain.recommendation import Proposal, ProposedWrite, Standing
from bridge.domain.tag import Route
from bridge.errors import BridgeError, FixConfiguration, LostRace, SchemaError
from bridge.ports import Incomplete, Mark, OthersRow, Place
from bridge.settings import AgentSettings, StoreSettings
from bridge.store.address import Where
from bridge.store.connection import Database, Row, Step
from bridge.store.migrate import schema_status
from bridge.store.queries import Queries
from bridge.store.rows import copy_block, storable

CHANNEL = "bridge"
_BATCH = 100  # recommendations handled in one statement


def url_for(settings: StoreSettings, role: Role | None) -> str:
    """The URL one of the parties uses (None: the owner). FixConfiguration without one."""
    own = {Role.OPERATOR: settings.operator_url, None: settings.owner_url}.get(role, settings.url)
    url = own.get_secret_value() or settings.url.get_secret_value()
    if not url:
        raise FixConfiguration(
            "store.url is not set: start a database with `ignition-bridge db serve` and put the URL it prints "
            "into BRIDGE_STORE__URL"
        )
    return url


def database(
    settings: StoreSettings, role: Role | None, *, where: Where | None = None, schema: str = ""
) -> Database:
    """The database as one of the parties sees it, not connected yet; role None means the owner.

    where: instead of the party's URL. FixConfiguration with neither.
    """
    return Database(
        url_for(settings, role) if where is None else where,
        role=role,
        size=settings.pool_size,
        connect_timeout_s=settings.connect_timeout_s,
        statement_timeout_s=settings.statement_timeout_s,
        schema=schema,
    )


class PostgresStore:
    """Implements `bridge.ports.Store`. One instance is one running bridge: its claims carry its own name."""

    def __init__(self, db: Database, queries: Queries, agent: AgentSettings, settings: StoreSettings) -> None:
        self._db = db
        self._q = queries
        self._agent = agent
        self._settings = settings
        self.instance = f"{agent.id}/{uuid4().hex[:8]}"

    async def open(self) -> None:
        """Connect and make sure that the schema is exactly the one this version expects.

        After an error nothing stays open.
        """
        await self._db.open()
        try:
            await self._demand_schema()
        except BridgeError:
            await self._db.close()
            raise

    async def _demand_schema(self) -> None:
        status = await schema_status(self._db)
        if not status.current:
            what = (
                f"waiting: {', '.join(status.waiting)}"
                if status.waiting
                else f"changed: {', '.join(status.edited)}"
            )
            raise SchemaError(
                f"the database is not at this version's schema ({what}); run `ignition-bridge db migrate`"
            )

    async def close(self) -> None:
        """Give the connections back."""
        await self._db.close()

    # Readings

    async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
        """See `Store.store_readings`."""
        block, rows = copy_block(readings, recorded_by=self._agent.id)
        if not rows:
            return 0
        condition: Step | None = None
        if mark is not None:
            numbers = {"origin": mark.origin, "first": mark.first, "last": mark.last}
            condition = (self._q.readings.advance_mark, numbers)
        stored = await self._db.copy(self._q.readings.store_readings, block, only_if=condition)
        return rows if stored else 0

    async def stored_until(self, origin: str) -> int:
        """See `Store.stored_until`."""
        rows = await self._db.fetch(self._q.readings.read_mark, origin=origin)
        return int(rows[0]["number"]) if rows else 0

    async def forget_marks(self, buffer: str, in_use: Sequence[str]) -> None:
        """See `Store.forget_marks`."""
        await self._db.fetch(self._q.readings.forget_marks, buffer=buffer, in_use=list(in_use))

    async def place_of_others(self) -> Place:
        """See `Store.place_of_others`."""
        row = (await self._db.fetch(self._q.readings.newest_place))[0]
        return Place(xid=row["xid"], reading_id=row["reading_id"])

    async def readings_from_others(self, after: Place, max_rows: int) -> tuple[list[OthersRow], Place]:
        """See `Store.readings_from_others`."""
        rows = await self._db.fetch(
            self._q.readings.list_from_others,
            after_xid=after.xid,
            after_reading_id=after.reading_id,
            max_rows=max_rows,
        )
        if not rows:
            return [], after
        place = Place(xid=rows[-1]["xid"], reading_id=rows[-1]["reading_id"])
        return [_others_row(row) for row in rows], place

    async def prepare_days(self) -> None:
        """See `Store.prepare_days`."""
        await self._db.fetch(
            self._q.readings.prepare_days, days_ahead=2, retention_days=self._settings.retention_days
        )

    # Conditions

    async def active_conditions(self) -> list[ActiveCondition]:
        """See `Store.active_conditions`."""
        rows = await self._db.fetch(self._q.conditions.list_active)
        return [ActiveCondition(**{**row, "severity": Severity(row["severity"])}) for row in rows]

    async def record_condition(self, anomaly: Anomaly) -> None:
        """See `Store.record_condition`."""
        await self._db.fetch(
            self._q.conditions.open_condition,
            equipment_id=anomaly.equipment_id,
            issue_type=anomaly.issue_type,
            severity=anomaly.severity.value,
            since_utc=anomaly.since_utc,
        )

    async def link_condition(self, equipment_id: str, issue_type: str, recommendation_id: str) -> None:
        """See `Store.link_condition`."""
        await self._db.fetch(
            self._q.conditions.link_recommendation,
            equipment_id=equipment_id,
            issue_type=issue_type,
            recommendation_id=recommendation_id,
        )

    async def close_condition(self, cleared: Cleared) -> None:
        """See `Store.close_condition`."""
        await self._db.fetch(
            self._q.conditions.close_condition,
            equipment_id=cleared.equipment_id,
            issue_type=cleared.issue_type,
            cleared_utc=cleared.cleared_utc,
        )

    # Recommendations

    async def propose(self, proposal: Proposal, valid_s: float) -> str | None:
        """See `Store.propose`."""
        rows = await self._db.fetch(
            self._q.recommendations.propose,
            equipment_id=proposal.equipment_id,
            issue_type=proposal.issue_type,
            agent_id=self._agent.id,
            valid_s=valid_s,
            **_proposal_values(proposal),
        )
        return str(rows[0]["recommendation_id"]) if rows else None

    async def revise(self, recommendation_id: str, proposal: Proposal, valid_s: float) -> bool:
        """See `Store.revise`."""
        rows = await self._db.fetch(
            self._q.recommendations.revise,
            recommendation_id=recommendation_id,
            valid_s=valid_s,
            **_proposal_values(proposal),
        )
        return bool(rows)

    async def renew(self, recommendation_ids: Sequence[str], valid_s: float) -> None:
        """See `Store.renew`."""
        await self._db.fetch(
            self._q.recommendations.renew, recommendation_ids=list(recommendation_ids), valid_s=valid_s
        )

    async def wake(self, recommendation_id: str) -> bool:
        """See `Store.wake`."""
        rows = await self._db.fetch(
            self._q.recommendations.wake_recommendation, recommendation_id=recommendation_id
        )
        return bool(rows)

    async def supersede(self, equipment_id: str, issue_type: str, reason: str) -> list[str]:
        """See `Store.supersede`."""
        rows = await self._db.fetch(
            self._q.recommendations.supersede,
            equipment_id=equipment_id,
            issue_type=issue_type,
            agent_id=self._agent.id,
            reason=reason,
        )
        return [row["recommendation_id"] for row in rows]

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
            changed_s_ago=float(row["changed_s_ago"]),
        )

    async def incomplete_recommendations(self) -> list[Incomplete]:
        """See `Store.incomplete_recommendations`."""
        rows = await self._db.fetch(self._q.recommendations.list_incomplete, agent_id=self._agent.id)
        return [Incomplete(**row) for row in rows]

    async def complete(
        self, recommendation_id: str, writes: Sequence[ProposedWrite], note: Mapping[str, object]
    ) -> bool:
        """See `Store.complete`."""
        rows = await self._db.fetch(
            self._q.recommendations.complete,
            recommendation_id=recommendation_id,
            writes=writes_json(writes),
            note=json.dumps({"completion": dict(note)}, ensure_ascii=False),
        )
        return bool(rows)

    async def hand_to_people(self) -> list[tuple[str, str]]:
        """See `Store.hand_to_people`."""
        opened, _closed = await self._db.run_together(
            (self._q.recommendations.hand_to_people, {"max_recommendations": _BATCH}),
            (self._q.recommendations.close_handed_over, {}),
        )
        return [(row["work_order_id"], row["recommendation_id"]) for row in opened]

    # Commands

    async def take_commands(self, routes: Sequence[str], max_commands: int) -> list[Command]:
        """See `Store.take_commands`."""
        claim = (
            self._q.commands.claim_commands,
            {
                "routes": list(routes),
                "claimed_by": self.instance,
                "lease_s": self._agent.lease_s,
                "approval_valid_s": self._agent.approval_valid_s,
                "max_commands": max_commands,
            },
        )
        try:
            _started, claimed = await self._db.run_together(self._start(max_commands), claim)
        except LostRace:
            # Two approvals for one tag at once: the second has to wait until the first is through, so
            # they are started one by one.
            _started, claimed = await self._db.run_together(self._start(1), claim)
        return [
            Command(
                **{**row, "lease_left_s": float(row["lease_left_s"]), "since_last_write_s": _or_none(row)}
            )
            for row in claimed
        ]

    def _start(self, most: int) -> Step:
        return (
            self._q.recommendations.start_executing,
            {
                "approval_valid_s": self._agent.approval_valid_s,
                "max_recommendations": most,
                "agent_id": self._agent.id,
            },
        )

    async def record_intent(self, command_ids: Sequence[str]) -> set[str]:
        """See `Store.record_intent`."""
        rows = await self._db.fetch(
            self._q.commands.record_intent, command_ids=list(command_ids), claimed_by=self.instance
        )
        return {row["command_id"] for row in rows}

    async def record_verdicts(self, verdicts: Sequence[Verdict]) -> list[tuple[str, RecommendationStatus]]:
        """See `Store.record_verdicts`."""
        steps: list[Step] = [
            (
                self._q.commands.record_verdicts,
                {
                    "command_ids": [verdict.command_id for verdict in verdicts],
                    "statuses": [verdict.status.value for verdict in verdicts],
                    "results": [storable(verdict.result) for verdict in verdicts],
                    "codes": [None if verdict.code is None else verdict.code.value for verdict in verdicts],
                    "read_backs": [verdict.read_back_value for verdict in verdicts],
                    "claimed_by": self.instance,
                },
            )
        ]
        if any(verdict.status is not CommandStatus.EXECUTED for verdict in verdicts):
            steps.append(
                (self._q.commands.cancel_pending, {"approval_valid_s": self._agent.approval_valid_s})
            )
        steps.append(
            (
                self._q.recommendations.finish,
                {"recommendation_ids": [verdict.recommendation_id for verdict in verdicts]},
            )
        )
        finished = (await self._db.run_together(*steps))[-1]
        return [(row["recommendation_id"], RecommendationStatus(row["status"])) for row in finished]

    async def release(self, command_ids: Sequence[str]) -> list[str]:
        """See `Store.release`."""
        rows = await self._db.fetch(
            self._q.commands.release_commands, command_ids=list(command_ids), claimed_by=self.instance
        )
        return [row["command_id"] for row in rows]

    async def due(self) -> frozenset[str]:
        """See `Store.due`."""
        row = (await self._db.fetch(self._q.health.list_due, agent_id=self._agent.id))[0]
        return frozenset(name for name, there in row.items() if there)

    async def tend(self, due: frozenset[str]) -> Mapping[str, int]:
        """See `Store.tend`."""
        valid = {"approval_valid_s": self._agent.approval_valid_s}
        steps: dict[str, Step] = {
            "release": (self._q.commands.release_expired, {}),
            "cancel": (self._q.commands.cancel_pending, valid),
            "finish": (self._q.recommendations.finish, {"recommendation_ids": None}),
            "approved": (self._q.recommendations.expire_approved, valid),
            "expire": (self._q.recommendations.expire_pending, {}),
            "wake": (self._q.recommendations.wake_deferred, {}),
        }
        wanted = {
            name: step
            for name, step in steps.items()
            if name in due or (name == "finish" and "cancel" in due)
        }
        if not wanted:
            return {}
        results = await self._db.run_together(*wanted.values())
        return {name: len(rows) for name, rows in zip(wanted, results, strict=True) if rows}

    async def unsettled(self) -> list[Unsettled]:
        """See `Store.unsettled`."""
        rows = await self._db.fetch(self._q.commands.list_unsettled)
        return [
            Unsettled(
                command_id=row["command_id"],
                recommendation_id=row["recommendation_id"],
                tag_path=row["tag_path"],
                expected_value=row["expected_value"],
                new_value=row["new_value"],
                unit=row["unit"],
                route=Route(row["route"]),
                status=CommandStatus(row["status"]),
                sent_utc=row["sent_timestamp"],
                sent_s_ago=float(row["sent_s_ago"]),
            )
            for row in rows
        ]

    async def settle(self, command: Unsettled, verdict: Verdict) -> bool:
        """See `Store.settle`."""
        settled, _cancelled, _finished = await self._db.run_together(
            (
                self._q.commands.settle,
                {
                    "command_id": command.command_id,
                    "from_status": command.status.value,
                    "status": verdict.status.value,
                    "result": verdict.result,
                    "code": None if verdict.code is None else verdict.code.value,
                    "read_back": verdict.read_back_value,
                },
            ),
            (self._q.commands.cancel_pending, {"approval_valid_s": self._agent.approval_valid_s}),
            (self._q.recommendations.finish, {"recommendation_ids": [command.recommendation_id]}),
        )
        return bool(settled)

    # Life

    async def heartbeat(
        self, *, online: bool, polls_completed: int, cycle_ms: float, detail: Mapping[str, object]
    ) -> None:
        """See `Store.heartbeat`."""
        await self._db.fetch(
            self._q.health.heartbeat,
            agent_id=self._agent.id,
            status="online" if online else "offline",
            polls_completed=polls_completed,
            site=self._agent.site,
            version=__version__,
            cycle_ms=cycle_ms,
            detail=json.dumps(detail, ensure_ascii=False),
        )

    def notifications(self, *, wait_s: float) -> AsyncIterator[str | None]:
        """See `Store.notifications`."""
        return self._db.notifications(CHANNEL, wait_s=wait_s)


def _proposal_values(proposal: Proposal) -> dict[str, object]:
    return {
        "severity": proposal.severity.value,
        "confidence": proposal.confidence,
        "temperature": proposal.readings.get("temperature"),
        "pressure": proposal.readings.get("pressure"),
        "flow_rate": proposal.readings.get("flow_rate"),
        "root_cause": proposal.root_cause,
        "action": proposal.action,
        "expected_outcome": proposal.expected_outcome,
        "writes": writes_json(proposal.writes),
        "evidence": json.dumps(dict(proposal.evidence), ensure_ascii=False, default=str),
        "source": proposal.source,
    }


def writes_json(writes: Sequence[ProposedWrite]) -> str:
    """Exact writes as the column `proposed_writes` takes them."""
    return json.dumps([write.as_json() for write in writes], ensure_ascii=False, allow_nan=False)


def _or_none(row: Row) -> float | None:
    value = row["since_last_write_s"]
    return None if value is None else float(value)


def _others_row(row: Row) -> OthersRow:
    # Anybody may insert anything as `signals`; only an object of numbers and switches means something here.
    signals = json.loads(row["signals"]) if row["signals"] else {}
    values: dict[str, float | bool | None] = {
        name: value
        for name, value in (signals.items() if isinstance(signals, dict) else ())
        if value is None or isinstance(value, int | float)
    }
    for name in ("temperature", "pressure", "flow_rate"):
        if row[name] is not None:
            values[name] = row[name]
    return OthersRow(
        equipment_id=row["equipment_id"],
        values=values,
        quality=row["quality"],
        source_time_utc=row["source_time_utc"],
        received_utc=row["received_utc"],
    )
