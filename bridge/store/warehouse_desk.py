"""What people do with the agent's tables on a SQL warehouse: look, decide, arm, ask what happened. As bridge_operator.

The same methods as `bridge.store.desk.Desk`, and the same refusals; what triggers say there is said here before the
change, and the change itself is guarded by what was looked at.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from uuid import uuid4

from bridge.domain.approval import digest_of
from bridge.domain.audit import ChainState
from bridge.domain.lifecycle import CommandStatus, RecommendationStatus, Role
from bridge.domain.limits import Refusal, RefusalCode
from bridge.errors import DeadlineExceeded, RefusedByRule, StoreDown, TryAgain
from bridge.ports import Clock
from bridge.store.desk import Control, Story
from bridge.store.queries import Queries, Query
from bridge.store.rows import storable
from bridge.store.warehouse_audit import AuditTrail, Event, of_command, of_recommendation, stripped
from bridge.store.warehouse_connection import Row, Warehouse
from bridge.store.warehouse_rules import (
    deferral_refusal,
    follow_command,
    may_not,
    overdue,
    person,
    writes_refusal,
)

_LIMITS_SHOWN = ("low", "high", "max_step", "min_interval_s", "tolerance")


class WarehouseDesk:
    """Decisions and questions. Refusals come as RefusedByRule, with the row unchanged."""

    def __init__(self, db: Warehouse, queries: Queries, clock: Clock) -> None:
        self._db = db
        self._q = queries
        self._trail = AuditTrail(db, queries, clock.now_utc)

    async def open_recommendations(self) -> list[Row]:
        """What is not finished, most severe first, then oldest first; empty: nothing waits."""
        rows = await self._db.fetch(self._q.recommendations.list_open_recommendations)
        return await self._told_of(rows) if rows else []

    async def recommendation(self, recommendation_id: str) -> Row:
        """One recommendation as it is now, to be decided on.

        RefusedByRule when there is none with this id, or when somebody has tampered with it.
        """
        row = await self._row(recommendation_id)
        if digest_of(row["proposed_writes"]) != row["write_digest"]:
            raise _refused(
                RefusalCode.DIGEST_MISMATCH,
                f"{recommendation_id}: the stored digest does not belong to the stored writes; do not approve, "
                "call the engineer who owns the tables",
            )
        return row

    async def _row(self, recommendation_id: str) -> Row:
        rows = await self._db.fetch(
            self._q.recommendations.get_recommendation, recommendation_id=recommendation_id
        )
        if not rows:
            raise _refused(
                RefusalCode.WRONG_FORM,
                f"there is no recommendation {recommendation_id}; see `recommendations list`",
            )
        return (await self._told_of(rows[:1]))[0]

    async def _told_of(self, rows: list[Row]) -> list[Row]:
        """The rows with who approved them so far, who looks at them, and the limits of their tags."""
        ids = [row["recommendation_id"] for row in rows]
        given, sessions, limits = await asyncio.gather(
            self._approvals(ids), self._sessions(), self.published_limits()
        )
        for row in rows:
            approvers = [
                entry["operator"]
                for entry in given
                if (entry["recommendation_id"], entry["digest"])
                == (row["recommendation_id"], row["write_digest"])
            ]
            lookers = {
                entry["operator_id"] for entry in sessions if entry["looking_at"] == row["recommendation_id"]
            }
            listed = {
                entry["tag_path"]: {name: entry[name] for name in _LIMITS_SHOWN}
                for entry in limits
                if entry["equipment_id"] == row["equipment_id"]
            }
            row.update(
                approvals_given=len(approvers),
                approvers=", ".join(approvers),
                lookers=", ".join(sorted(lookers)),
                limits=json.dumps(listed, ensure_ascii=False),
            )
        return rows

    async def _approvals(self, ids: list[str]) -> list[Row]:
        found: list[Row] = []
        for begin in range(0, len(ids), 200):
            found += await self._db.fetch(
                self._q.approvals.list_for, recommendation_ids=ids[begin : begin + 200]
            )
        return found

    async def _signed(self, recommendation_id: str, digest: str) -> set[str]:
        """Whoever has approved this digest so far, in small letters: Anna and ANNA are one person."""
        rows = await self._approvals([recommendation_id])
        return {row["operator"].lower() for row in rows if row["digest"] == digest}

    async def _sessions(self) -> list[Row]:
        return await self._db.fetch(self._q.sessions.list_active)

    # Deciding

    async def approve(
        self, recommendation_id: str, *, operator: str, digest: str, comment: str | None
    ) -> str:
        """Approve exactly the writes with this digest.

        Returns the status afterwards: `approved`, or `pending` while another person has to approve too.
        RefusedByRule when it was decided before, changed since it was shown, expired, or a limit says no.
        """
        row = await self.recommendation(recommendation_id)
        _still_open(row, digest)
        who = person(operator)
        await self._demand_may(who, "decide", row["created_by_agent"])
        late = overdue(row["expires_at"], row["expires_in_s"], recommendation_id)
        limits = {entry["tag_path"]: entry for entry in await self.published_limits()}
        refusal = late or writes_refusal(row["proposed_writes"], row["equipment_id"], limits)
        if refusal is not None:
            raise RefusedByRule(refusal)
        given = await self._signed(recommendation_id, digest)
        enough = len(given) >= row["approvals_required"]
        if who.lower() in given and not enough:
            raise _refused(
                RefusalCode.ALREADY_DECIDED,
                f"{who} already approved recommendation {recommendation_id}; another person has to",
            )
        # The signature first: killed behind it, the same person approves once more, and it counts once.
        if who.lower() not in given:
            try:
                await self._db.change(
                    self._q.approvals.give_approval,
                    recommendation_id=recommendation_id,
                    operator=who,
                    digest=digest,
                    comment=comment,
                )
            except (StoreDown, DeadlineExceeded):
                if who.lower() not in await self._signed(recommendation_id, digest):
                    raise
            given.add(who.lower())
            await self._trail.append(
                [
                    Event(
                        actor=who,
                        action="approval.given",
                        object_type="recommendation",
                        object_id=recommendation_id,
                        recommendation_id=recommendation_id,
                        detail=stripped(digest=digest, comment=comment),
                    )
                ]
            )
        if len(given) < row["approvals_required"]:
            given = await self._signed(recommendation_id, digest)  # somebody else may have signed meanwhile
            if len(given) < row["approvals_required"]:
                return "pending"
        return await self._decide(
            self._q.recommendations.approve_recommendation,
            RecommendationStatus.APPROVED,
            row,
            who,
            recommendation_id=recommendation_id,
            operator=who,
            digest=digest,
            comment=None if comment is None else storable(comment),
            writes=row["proposed_writes"],
        )

    async def reject(
        self, recommendation_id: str, *, operator: str, reason: str, digest: str | None = None
    ) -> str:
        """Reject with a reason; returns the status afterwards. `digest`: of the writes that were shown, if any."""
        row = await self._row(recommendation_id)
        _still_open(row, digest)
        await self._demand_may(operator, "decide", None)
        if not reason.strip():
            raise _refused(
                RefusalCode.REASON_REQUIRED, "a rejection says why, in rejection_reason or operator_notes"
            )
        return await self._decide(
            self._q.recommendations.reject_recommendation,
            RecommendationStatus.REJECTED,
            row,
            person(operator),
            recommendation_id=recommendation_id,
            operator=person(operator),
            reason=storable(reason),
            digest=digest,
        )

    async def defer(
        self,
        recommendation_id: str,
        *,
        operator: str,
        minutes: float,
        comment: str | None,
        digest: str | None = None,
    ) -> str:
        """Put off for some minutes (up to 24 hours); returns the status afterwards. `digest` as in `reject`."""
        row = await self._row(recommendation_id)
        _still_open(row, digest)
        await self._demand_may(operator, "decide", None)
        refusal = deferral_refusal(minutes)
        if refusal is not None:
            raise RefusedByRule(refusal)
        return await self._decide(
            self._q.recommendations.defer_recommendation,
            RecommendationStatus.DEFERRED,
            row,
            person(operator),
            recommendation_id=recommendation_id,
            operator=person(operator),
            minutes=minutes,
            comment=None if comment is None else storable(comment),
            digest=digest,
        )

    async def _decide(
        self, decision: Query, to: RecommendationStatus, shown: Row, who: str, **values: object
    ) -> str:
        """One guarded change; when it changed nothing, the row as it is now says why."""
        known = await self._db.make_known(decision, self._q.recommendations.list_changed, **values)
        rows = known.rows
        if not rows and known.affected == 1:
            # Made, and gone on with before we looked: an agent that polls takes up an approval at once.
            rows = [{**shown, "status": to.value, "execution_result": None}]
        if not rows:
            _still_open(await self.recommendation(shown["recommendation_id"]), shown["write_digest"])
            raise _refused(
                RefusalCode.ALREADY_DECIDED,
                f"{shown['recommendation_id']} was changed this moment; look again",
            )
        event = of_recommendation(rows[0], who, "pending")
        try:
            after = await self._db.look(
                self._q.recommendations.get_recommendation, recommendation_id=shown["recommendation_id"]
            )
        except TryAgain:
            after = []  # it is decided, and the trail has to say so
        facts = stripped(
            **{
                name: after[0][name] if after else values.get(given)
                for name, given in (
                    ("operator_notes", "comment"),
                    ("rejection_reason", "reason"),
                    ("defer_until", ""),
                )
            }
        )
        await self._trail.append([replace(event, detail={**event.detail, **facts})])
        return str(rows[0]["status"])

    async def _demand_may(self, name: str, door: str, maker: str | None) -> None:
        agents, sessions = await asyncio.gather(
            self._db.fetch(self._q.health.agent_health, offline_after_s=0.0), self._sessions()
        )
        refusal = may_not(
            name,
            door=door,
            maker=maker,
            agents=[row["agent_id"] for row in agents],
            sessions=sessions,
        )
        if refusal is not None:
            raise RefusedByRule(refusal)

    # Sessions

    async def open_session(self, session: str, *, operator: str) -> None:
        """Record that a person who may decide has logged in. `session`: without a slash, and used once."""
        session_id = f"{session}/{operator}"
        await self._db.change(self._q.sessions.close_others_there, session_id=session_id, place=f"{session}/")
        await self._db.change(
            self._q.sessions.open_operator_session,
            session_id=session_id,
            operator=operator,
            may_decide=True,
            may_arm=None,
        )

    async def close_session(self, session: str) -> None:
        """Record that whoever was logged in there has left."""
        await self._db.change(
            self._q.sessions.close_operator_session, perspective_id=session, write_key=uuid4().hex
        )

    async def close_left_behind(self, prefix: str) -> int:
        """Close the sessions that a killed program left open; returns how many. `prefix`: of their ids."""
        known = await self._db.make_known(
            self._q.sessions.close_left_behind, self._q.sessions.list_changed, prefixes=[prefix]
        )
        return len(known.rows)

    async def count_decision(self, session: str, *, operator: str, decision: str) -> None:
        """Count a decision, `approved` or `rejected`, for the session in which it was made."""
        await self._db.change(
            self._q.sessions.count_decision,
            session_id=f"{session}/{operator}",
            decision=decision,
            write_key=uuid4().hex,
        )

    # The arming switch

    async def control(self) -> Control:
        """The arming switch."""
        row = (await self._db.fetch(self._q.control.get_control))[0]
        return Control(
            armed=row["armed"],
            changed_by=row["changed_by"],
            reason=row["reason"],
            changed_utc=row["changed_timestamp"],
        )

    async def set_armed(self, armed: bool, *, operator: str, reason: str) -> bool:
        """Arm or disarm all writes; False when it already was so."""
        if not reason.strip():
            raise _refused(RefusalCode.REASON_REQUIRED, "arming and disarming each say why")
        if (await self.control()).armed == armed:
            return False
        await self._demand_may(operator, "arm" if armed else "disarm", None)
        key = uuid4().hex
        affected = -1
        lost: TryAgain | None = None
        try:
            affected = await self._db.change(
                self._q.control.set_armed,
                armed=armed,
                operator=operator,
                reason=storable(reason),
                write_key=key,
            )
        except (StoreDown, DeadlineExceeded) as problem:
            lost = problem
        switch = (await self._db.look(self._q.control.read_switch))[0]
        if affected != 1 and switch["write_key"] != key:
            if lost is not None:
                raise lost
            return False
        await self._trail.append(
            [
                Event(
                    actor=person(operator),
                    action="control.armed" if armed else "control.disarmed",
                    object_type="control",
                    object_id="bridge",
                    detail={"reason": reason},
                )
            ]
        )
        return True

    # Outcomes that nobody knew

    async def settle_by_hand(
        self,
        command_id: str,
        *,
        operator: str,
        status: str,
        result: str,
        code: str | None,
        read_back: float | None,
    ) -> bool:
        """End an unknown outcome by what a person found, as `executed` or `failed`; False when it is known already.

        read_back: what the panel shows; None only for a write that was not applied.
        """
        rows = await self._db.fetch(self._q.commands.get_command, command_id=command_id)
        if not rows or rows[0]["status"] != CommandStatus.UNKNOWN:
            return False
        follow_command(CommandStatus.UNKNOWN, CommandStatus(status), Role.OPERATOR)
        made = await self._db.fetch(
            self._q.recommendations.get_recommendation, recommendation_id=rows[0]["recommendation_id"]
        )
        await self._demand_may(operator, "decide", made[0]["created_by_agent"] if made else None)
        if status == CommandStatus.EXECUTED and read_back is None:
            raise _refused(
                RefusalCode.NOT_CONFIRMED, f"{command_id} counts as executed only with what it shows"
            )
        known = await self._db.make_known(
            self._q.commands.settle_by_hand,
            self._q.commands.list_changed,
            command_id=command_id,
            operator=person(operator),
            status=status,
            result=storable(result),
            code=code,
            read_back=read_back,
        )
        changed = known.rows
        await self._trail.append(
            [of_command(row, person(operator), f"command.{row['status']}", "unknown") for row in changed]
        )
        return bool(changed)

    # Looking

    async def story(self, recommendation_id: str) -> Story:
        """Everything recorded of one recommendation, for `explain`."""
        row, commands, work_orders, trail = await asyncio.gather(
            self._row(recommendation_id),
            self._db.fetch(self._q.commands.list_commands, recommendation_id=recommendation_id),
            self._db.fetch(self._q.work_orders.list_for, recommendation_id=recommendation_id),
            self._db.fetch(self._q.audit.audit_trail, recommendation_id=recommendation_id),
        )
        return Story(recommendation=row, commands=commands, work_orders=work_orders, trail=trail)

    async def agents(self, *, offline_after_s: float) -> list[Row]:
        """Agents with the age of their heartbeat; silent ones count as offline."""
        return await self._db.fetch(self._q.health.agent_health, offline_after_s=offline_after_s)

    async def command_counts(self) -> dict[str, int]:
        """Commands by status: all live ones, and those of the last 24 hours."""
        return {row["status"]: row["count"] for row in await self._db.fetch(self._q.commands.count_by_status)}

    async def verify_audit(self) -> ChainState:
        """Walk the whole chain and compare it with its head; entries before or after it are found, too."""
        return await self._trail.verify()

    async def published_limits(self) -> list[Row]:
        """The allow-list as the warehouse holds it."""
        return await self._db.fetch(self._q.limits.list_limits)


def _still_open(row: Row, digest: str | None) -> None:
    """Refuse by name what was decided, or has changed since it was shown."""
    recommendation_id = row["recommendation_id"]
    if row["status"] != "pending":
        who = row["approved_by_operator"] or row["decided_by_operator"]
        by = f" by {who}" if who else ""
        raise _refused(RefusalCode.ALREADY_DECIDED, f"{recommendation_id} is already {row['status']}{by}")
    if digest is not None and row["write_digest"] != digest:
        raise _refused(
            RefusalCode.DIGEST_MISMATCH,
            f"{recommendation_id} has changed since you looked at it; look at its writes again",
        )


def _refused(code: RefusalCode, reason: str) -> RefusedByRule:
    return RefusedByRule(Refusal(code, reason))
