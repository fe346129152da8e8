"""From claim to verdict on Delta: the part of the agent's store that claims, sends and ends commands.

A tag is taken before a command is claimed, by a change of its row of the allow-list: two bridges that want one tag
change one row, and one of them loses. The answer to a change is never believed alone: what was changed is read back by
the key of the change, which also tells a change that arrived twice from one that somebody else was faster with.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import uuid4

from bridge.domain.command import Command, Unsettled, Verdict
from bridge.domain.lifecycle import CommandStatus, RecommendationStatus
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.tag import Route
from bridge.errors import FixCode, IllegalTransition, RefusedByRule
from bridge.settings import AgentSettings
from bridge.store.queries import Queries
from bridge.store.rows import storable
from bridge.store.warehouse_approved import ENDS_AT_ONCE, Approvals, parts
from bridge.store.warehouse_audit import AuditTrail, Event, of_command, of_recommendation
from bridge.store.warehouse_connection import Row, Warehouse
from bridge.store.warehouse_rules import follow_command

_VERDICTS_AT_ONCE = 40
_CLAIMED_AT_ONCE = 80  # tags taken in one statement, each with three parameters


class Execution:
    """Commands, as the agent may work on them; see `bridge.ports.Store` for what each method promises."""

    def __init__(
        self,
        db: Warehouse,
        queries: Queries,
        trail: AuditTrail,
        agent: AgentSettings,
        approvals: Approvals,
        instance: str,
    ) -> None:
        self._db = db
        self._q = queries
        self._trail = trail
        self._agent = agent
        self._approvals = approvals
        self._instance = instance
        self._unanswered: str | None = None  # key of a claim whose answer was lost

    async def take(self, routes: Sequence[str], most: int) -> list[Command]:
        """One statement when there is nothing to do."""
        if self._unanswered is not None and (found := await self._claimed(self._unanswered)):
            return found  # it was made, and would lie here until its lease ends
        most = min(most, _CLAIMED_AT_ONCE)
        work = await self._look(routes, most)
        started = [row["id"] for row in work if row["kind"] == "approved"]
        unmade = [row["id"] for row in work if row["kind"] == "unmade"]
        made = await self._approvals.start(started) if started else 0
        if unmade:
            made += await self._approvals.resume(unmade)
        if made:
            work = await self._look(routes, most)
        ready = [row for row in work if row["kind"] == "command"]
        claimed = await self._claim(ready[:most], routes) if ready else []
        if not claimed:
            await self._trail.append()
        return claimed  # what they made of the trail goes with their intent, before anything is sent

    async def _look(self, routes: Sequence[str], most: int) -> list[Row]:
        return await self._db.fetch(
            self._q.commands.list_work,
            routes=list(routes),
            approval_valid_s=self._agent.approval_valid_s,
            max_rows=2 * most,
        )

    # Claiming and sending

    async def _claim(self, ready: Sequence[Row], routes: Sequence[str]) -> list[Command]:
        taken: set[str] = set()
        holds: list[Row] = []
        mine: list[str] = []
        for row in ready:
            if row["tag_path"] in taken:
                continue
            if row["held_by"] == row["id"]:
                mine.append(row["id"])
            elif not row["held"]:
                holds.append(row)
            else:
                continue  # a live command holds that tag
            taken.add(row["tag_path"])
        if holds:
            await self._db.change(
                self._q.limits.hold_tags,
                tag_paths=[row["tag_path"] for row in holds],
                held_before=[row["held_by"] for row in holds],
                command_ids=[row["id"] for row in holds],
            )
            mine += [row["id"] for row in holds]
        if not mine:
            return []
        key = self._unanswered = uuid4().hex
        # Only what holds its tag by now is claimed; where somebody else was faster, nothing changes.
        await self._db.change(
            self._q.commands.claim_commands,
            command_ids=mine,
            routes=list(routes),
            claimed_by=self._instance,
            lease_s=self._agent.lease_s,
            write_key=key,
        )
        return await self._claimed(key)

    async def _claimed(self, key: str) -> list[Command]:
        rows = await self._db.fetch(self._q.commands.list_claimed, write_key=key, claimed_by=self._instance)
        self._unanswered = None
        claimed = [Command(**row) for row in rows]
        if len({command.command_id for command in claimed}) != len(claimed):
            raise FixCode(
                f"one command stands in agent_commands twice: {[row['command_id'] for row in rows]}"
            )
        self._trail.owe(
            Event(
                actor=self._instance,
                action="command.claimed",
                object_type="command",
                object_id=command.command_id,
                recommendation_id=command.recommendation_id,
                old_status="pending",
                new_status="executing",
            )
            for command in claimed
        )
        return claimed

    async def intend(self, command_ids: Sequence[str]) -> set[str]:
        """Only what carries this very intent comes back, and not before it stands in the audit trail."""
        if not command_ids:
            return set()
        key = uuid4().hex
        # Not looked for after a lost answer: in doubt nothing is sent, and a read-back says what became of it.
        await self._db.change(
            self._q.commands.record_intent,
            command_ids=list(command_ids),
            claimed_by=self._instance,
            write_key=key,
        )
        rows = await self._db.fetch(self._q.commands.list_changed, write_key=key)
        await self._trail.append(
            [of_command(row, self._instance, "command.sent", "executing") for row in rows], demanded=True
        )
        return {row["command_id"] for row in rows}

    # Ending

    async def record(self, verdicts: Sequence[Verdict]) -> list[tuple[str, RecommendationStatus]]:
        """Verdicts, then what follows from them."""
        if not verdicts:
            return []
        for verdict in verdicts:
            _demand_whole(CommandStatus.EXECUTING, verdict, self._db)
        for part in parts(verdicts, _VERDICTS_AT_ONCE):
            known = await self._db.make_known(
                self._q.commands.record_verdicts,
                self._q.commands.list_changed,
                command_ids=[verdict.command_id for verdict in part],
                statuses=[verdict.status.value for verdict in part],
                results=[storable(verdict.result) for verdict in part],
                codes=[None if verdict.code is None else verdict.code.value for verdict in part],
                read_backs=[verdict.read_back_value for verdict in part],
                claimed_by=self._instance,
            )
            rows = known.rows
            self._trail.owe(
                of_command(row, self._instance, f"command.{row['status']}", "executing") for row in rows
            )
        try:
            if any(verdict.status is not CommandStatus.EXECUTED for verdict in verdicts):
                await self.cancel()
            return await self.finish({verdict.recommendation_id for verdict in verdicts})
        finally:
            await self._trail.append()

    async def release(self, command_ids: Sequence[str]) -> list[str]:
        """Give back what was claimed here and never sent."""
        if not command_ids:
            return []
        known = await self._db.make_known(
            self._q.commands.release_commands,
            self._q.commands.list_changed,
            command_ids=list(command_ids),
            claimed_by=self._instance,
        )
        return await self._released(known.rows)

    async def release_expired(self) -> int:
        """Give back what a bridge that is gone had claimed and never sent."""
        known = await self._db.make_known(self._q.commands.release_expired, self._q.commands.list_changed)
        return len(await self._released(known.rows))

    async def _released(self, rows: Sequence[Row]) -> list[str]:
        await self._trail.append(
            [of_command(row, self._instance, "command.released", "executing") for row in rows]
        )
        return [row["command_id"] for row in rows]

    async def cancel(self) -> int:
        """Call off what nobody has sent: disarmed, lapsed, or after a write that did not succeed."""
        ends = []
        for row in await self._db.fetch(self._q.commands.list_pending):
            if not row["armed"]:
                ends.append(
                    (row["command_id"], "disarmed", "the bridge was disarmed before anything was sent")
                )
            elif row["failed_before"]:
                ends.append(
                    (
                        row["command_id"],
                        "withdrawn",
                        "an earlier write of the same recommendation did not succeed",
                    )
                )
            elif row["approved_ago_s"] is None or row["approved_ago_s"] >= self._agent.approval_valid_s:
                ends.append((row["command_id"], "expired", "the approval lapsed before anything was sent"))
        cancelled = 0
        for part in parts(ends, ENDS_AT_ONCE):
            known = await self._db.make_known(
                self._q.commands.cancel_pending,
                self._q.commands.list_changed,
                command_ids=[command_id for command_id, _, _ in part],
                codes=[code for _, code, _ in part],
                results=[f"{code}: {reason}" for _, code, reason in part],
            )
            rows = known.rows
            cancelled += len(rows)
            self._trail.owe(of_command(row, "", "command.cancelled", "pending") for row in rows)
        return cancelled

    async def finish(self, only: Collection[str] | None = None) -> list[tuple[str, RecommendationStatus]]:
        """Give executing recommendations their outcome once none of their commands is on its way any more."""
        groups: dict[str, list[Row]] = {}
        handed_over = False
        for row in await self._approvals.executing():
            if only is None or row["recommendation_id"] in only:
                groups.setdefault(row["recommendation_id"], []).append(row)
                handed_over = handed_over or row["write_count"] == 0
        ends = [
            end
            for rows in groups.values()
            if rows[0]["write_count"] > 0 and (end := self._outcome(rows)) is not None
        ]
        finished: list[tuple[str, RecommendationStatus]] = []
        if handed_over:
            # Left half-way by a bridge that died: no command, and a work order that may be missing.
            finished += [
                (made, RecommendationStatus.EXECUTED) for made in await self._approvals.close_handed_over()
            ]
        for part in parts(ends, ENDS_AT_ONCE):
            known = await self._db.make_known(
                self._q.recommendations.finish,
                self._q.recommendations.list_changed,
                recommendation_ids=[end[0] for end in part],
                statuses=[end[1].value for end in part],
                results=[storable(end[2]) for end in part],
            )
            rows = known.rows
            self._trail.owe(of_recommendation(row, "", "executing") for row in rows)
            finished += [(row["recommendation_id"], RecommendationStatus(row["status"])) for row in rows]
        return finished

    def _outcome(self, rows: Sequence[Row]) -> tuple[str, RecommendationStatus, str] | None:
        first = rows[0]
        commands = [row for row in rows if row["command_id"] is not None]
        approved_ago_s = first["approved_ago_s"]
        valid = approved_ago_s is not None and approved_ago_s < self._agent.approval_valid_s
        if valid and len(commands) < first["write_count"]:
            return None  # a bridge died before it made the others: the next look makes them
        if any(row["command_status"] in ("pending", "executing") for row in commands):
            return None
        done = sum(row["command_status"] == "executed" for row in commands)
        said = [
            f"{row['tag_path']}: {row['command_status']}"
            + (f" ({row['command_result']})" if row["command_result"] else "")
            for row in commands
        ]
        if len(commands) < first["write_count"]:
            said.append(
                f"{first['write_count'] - len(commands)} of its writes were never made before the approval lapsed"
            )
        status = (
            RecommendationStatus.EXECUTED if done == first["write_count"] else RecommendationStatus.FAILED
        )
        return first["recommendation_id"], status, "; ".join(said)

    async def unsettled(self) -> list[Unsettled]:
        """Sent, and no verdict."""
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
                sent_s_ago=row["sent_s_ago"],
            )
            for row in await self._db.fetch(self._q.commands.list_unsettled)
        ]

    async def settle(self, command: Unsettled, verdict: Verdict) -> bool:
        """End a command by what a read-back found."""
        _demand_whole(command.status, verdict, self._db)
        known = await self._db.make_known(
            self._q.commands.settle,
            self._q.commands.list_changed,
            command_id=command.command_id,
            from_status=command.status.value,
            status=verdict.status.value,
            result=storable(verdict.result),
            code=None if verdict.code is None else verdict.code.value,
            read_back=verdict.read_back_value,
        )
        rows = known.rows
        unknown = command.status is CommandStatus.UNKNOWN
        self._trail.owe(
            of_command(
                row,
                "" if unknown else row["claimed_by"] or "",
                f"command.{row['status']}",
                command.status.value,
            )
            for row in rows
        )
        try:
            await self.cancel()
            await self.finish({command.recommendation_id})
        finally:
            await self._trail.append()
        return bool(rows)


def _demand_whole(from_status: CommandStatus, verdict: Verdict, db: Warehouse) -> None:
    """What the trigger demands of a verdict: an arrow, a read-back for a success, a reason for anything else."""
    assert db.role is not None, "a verdict is a party's, never the owner's"
    if verdict.status is not from_status:
        follow_command(from_status, verdict.status, db.role)
    if verdict.status is CommandStatus.EXECUTED and verdict.read_back_value is None:
        raise IllegalTransition(
            f"command {verdict.command_id} counts as executed only when it was sent and read back"
        )
    if verdict.status is not CommandStatus.EXECUTED and not verdict.result.strip():
        raise RefusedByRule(
            Refusal(RefusalCode.REASON_REQUIRED, f"{verdict.status} says why, in execution_result")
        )
