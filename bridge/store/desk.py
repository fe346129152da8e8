"""What people do with the agent's tables: look, decide, arm, ask what happened. Acts as bridge_operator.

The name of the person is always an argument: it comes from a session or a prompt, never from a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bridge.domain.approval import digest_of
from bridge.domain.audit import AuditEntry, ChainState, compare_head, follow_chain
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.tag import Tag
from bridge.errors import RefusedByRule
from bridge.store.connection import Database, Row
from bridge.store.queries import Queries

_CHUNK = 5000
_BEFORE_ALL = -(2**63)  # numbers below 1 are never given, so an entry there was put in by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that is recorded of one recommendation."""

    recommendation: Row
    commands: Sequence[Row]
    work_orders: Sequence[Row]
    trail: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The arming switch, and who turned it when and why."""

    armed: bool
    changed_by: str
    reason: str
    changed_utc: datetime


class Desk:
    """Decisions and questions. Refusals come as RefusedByRule, with the row unchanged."""

    def __init__(self, db: Database, queries: Queries) -> None:
        self._db = db
        self._q = queries

    async def open_recommendations(self) -> list[Row]:
        """What is not finished, most severe first, then oldest first; empty: nothing waits."""
        return await self._db.fetch(self._q.recommendations.list_open_recommendations)

    async def recommendation(self, recommendation_id: str) -> Row:
        """One recommendation as it is now, to be decided on.

        RefusedByRule when there is none with this id, or when somebody has tampered with it.
        """
        row = await self._row(recommendation_id)
        if digest_of(row["proposed_writes"]) != row["write_digest"]:
            raise RefusedByRule(
                Refusal(
                    RefusalCode.DIGEST_MISMATCH,
                    f"{recommendation_id}: the stored digest does not belong to the stored writes; do not approve, "
                    "call the engineer who owns the database",
                )
            )
        return row

    async def _row(self, recommendation_id: str) -> Row:
        rows = await self._db.fetch(
            self._q.recommendations.get_recommendation, recommendation_id=recommendation_id
        )
        if not rows:
            raise RefusedByRule(
                Refusal(
                    RefusalCode.WRONG_FORM,
                    f"there is no recommendation {recommendation_id}; see `recommendations list`",
                )
            )
        return rows[0]

    async def approve(
        self, recommendation_id: str, *, operator: str, digest: str, comment: str | None
    ) -> str:
        """Approve exactly the writes with this digest.

        Returns the status afterwards: `approved`, or `pending` while another person has to approve too.
        RefusedByRule when it was decided before, changed since it was shown, expired, or a limit says no.
        """
        rows = await self._db.fetch(
            self._q.recommendations.approve_recommendation,
            recommendation_id=recommendation_id,
            operator=operator,
            digest=digest,
            comment=comment,
        )
        if rows:
            return str(rows[0]["status"])
        raise await self._why_not(recommendation_id, digest)

    async def reject(
        self, recommendation_id: str, *, operator: str, reason: str, digest: str | None = None
    ) -> str:
        """Reject with a reason; returns the status afterwards. `digest`: of the writes that were shown, if any."""
        rows = await self._db.fetch(
            self._q.recommendations.reject_recommendation,
            recommendation_id=recommendation_id,
            operator=operator,
            reason=reason,
            digest=digest,
        )
        if rows:
            return str(rows[0]["status"])
        raise await self._why_not(recommendation_id, digest)

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
        rows = await self._db.fetch(
            self._q.recommendations.defer_recommendation,
            recommendation_id=recommendation_id,
            operator=operator,
            minutes=minutes,
            comment=comment,
            digest=digest,
        )
        if rows:
            return str(rows[0]["status"])
        raise await self._why_not(recommendation_id, digest)

    async def _why_not(self, recommendation_id: str, digest: str | None) -> RefusedByRule:
        """No row came back: say whether it was decided or changed, from the row as it is now."""
        row = await self.recommendation(recommendation_id)
        if row["status"] != "pending":
            who = row["approved_by_operator"] or row["decided_by_operator"]
            by = f" by {who}" if who else ""
            return RefusedByRule(
                Refusal(RefusalCode.ALREADY_DECIDED, f"{recommendation_id} is already {row['status']}{by}")
            )
        if digest is not None and row["write_digest"] != digest:
            return RefusedByRule(
                Refusal(
                    RefusalCode.DIGEST_MISMATCH,
                    f"{recommendation_id} has changed since you looked at it; look at its writes again",
                )
            )
        return RefusedByRule(
            Refusal(RefusalCode.ALREADY_DECIDED, f"{recommendation_id} was changed this moment; look again")
        )

    async def open_session(self, session: str, *, operator: str) -> None:
        """Record that a person who may decide has logged in. `session`: without a slash, and used once."""
        await self._db.fetch(
            self._q.sessions.open_operator_session,
            session_id=f"{session}/{operator}",
            operator=operator,
            may_decide=True,
            may_arm=None,
        )

    async def close_session(self, session: str) -> None:
        """Record that whoever was logged in there has left."""
        await self._db.fetch(self._q.sessions.close_operator_session, perspective_id=session)

    async def close_left_behind(self, prefix: str) -> int:
        """Close the sessions that a killed program left open; returns how many. `prefix`: of their ids."""
        return len(await self._db.fetch(self._q.sessions.close_left_behind, prefixes=[prefix]))

    async def count_decision(self, session: str, *, operator: str, decision: str) -> None:
        """Count a decision, `approved` or `rejected`, for the session in which it was made."""
        await self._db.fetch(
            self._q.sessions.count_decision, session_id=f"{session}/{operator}", decision=decision
        )

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
        return bool(
            await self._db.fetch(self._q.control.set_armed, armed=armed, operator=operator, reason=reason)
        )

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
        return bool(
            await self._db.fetch(
                self._q.commands.settle_by_hand,
                command_id=command_id,
                operator=operator,
                status=status,
                result=result,
                code=code,
                read_back=read_back,
            )
        )

    async def story(self, recommendation_id: str) -> Story:
        """Everything recorded of one recommendation, for `explain`."""
        return Story(
            recommendation=await self._row(recommendation_id),
            commands=await self._db.fetch(
                self._q.commands.list_commands, recommendation_id=recommendation_id
            ),
            work_orders=await self._db.fetch(
                self._q.work_orders.list_for, recommendation_id=recommendation_id
            ),
            trail=await self._db.fetch(self._q.audit.audit_trail, recommendation_id=recommendation_id),
        )

    async def agents(self, *, offline_after_s: float) -> list[Row]:
        """Agents with the age of their heartbeat; silent ones count as offline."""
        return await self._db.fetch(self._q.health.agent_health, offline_after_s=offline_after_s)

    async def command_counts(self) -> dict[str, int]:
        """Commands by status: all live ones, and those of the last 24 hours."""
        return {row["status"]: row["count"] for row in await self._db.fetch(self._q.commands.count_by_status)}

    async def verify_audit(self) -> ChainState:
        """Walk the whole chain and compare it with its head; entries before or after it are found, too."""
        state = ChainState()
        head = await self._chain_head()
        if head is None:
            return replace(state, problem="the head of the chain is missing")
        after_seq = _BEFORE_ALL
        while not state.problem and state.seq < head.seq:
            rows = await self._db.fetch(self._q.audit.read_chain, after_seq=after_seq, max_rows=_CHUNK)
            # The head was read first, so that entries written meanwhile do not look like a mismatch.
            entries = [AuditEntry(**row) for row in rows if row["seq"] <= head.seq]
            if not entries:
                break
            state = follow_chain(state, entries)
            after_seq = state.seq
        state = compare_head(state, head.seq, head.hash)
        if state.problem:
            return state
        # What stands after the head by now was written meanwhile, and then the head has moved with it.
        rows = await self._db.fetch(self._q.audit.read_chain, after_seq=after_seq, max_rows=_CHUNK)
        newer = follow_chain(state, [AuditEntry(**row) for row in rows])
        end = await self._chain_head()
        if newer.problem or end is None or newer.seq < end.seq:
            return newer
        return compare_head(newer, end.seq, end.hash)

    async def _chain_head(self) -> ChainState | None:
        rows = await self._db.fetch(self._q.audit.read_head)
        return ChainState(seq=rows[0]["seq"], hash=rows[0]["hash"]) if rows else None

    async def published_limits(self) -> list[Row]:
        """The allow-list as the database holds it."""
        return await self._db.fetch(self._q.limits.list_limits)


async def publish_limits(db: Database, queries: Queries, writable: Sequence[Tag]) -> tuple[int, list[str]]:
    """Make the database's allow-list equal to the configured one, as the owner, in one transaction.

    Returns how many tags are listed now and which were withdrawn. Each change is in the audit trail.
    """
    steps: list[Any] = [(queries.limits.publish_limit, limit_values(tag)) for tag in writable]
    steps.append((queries.limits.withdraw_limits, {"tag_paths": [tag.path for tag in writable]}))
    results = await db.run_together(*steps)
    return len(writable), [row["tag_path"] for row in results[-1]]


def limit_values(tag: Tag) -> dict[str, object]:
    """One writable tag as a row of `tag_limits`; also what `check` compares the database with."""
    limits = tag.limits
    assert limits is not None, f"{tag.path} is not writable"
    return {
        "tag_path": tag.path,
        "equipment_id": tag.equipment_id,
        "route": tag.route.value,
        "data_type": tag.data_type.value,
        "unit": tag.unit,
        "low": limits.low,
        "high": limits.high,
        "max_step": limits.max_step,
        "min_interval_s": limits.min_interval_s,
        "max_writes_per_hour": limits.max_writes_per_hour,
        "max_age_s": limits.max_age_s,
        "tolerance": limits.tolerance,
        "settle_s": limits.settle_s,
    }


def unpublished(published: Sequence[Row], writable: Sequence[Tag]) -> list[str]:
    """Differences between the database's allow-list and the configuration, one sentence each; empty: none."""
    there = {row["tag_path"]: row for row in published}
    problems = []
    for tag in writable:
        row = there.pop(tag.path, None)
        wanted = limit_values(tag)
        if row is None:
            problems.append(
                f"{tag.path} is writable in the configuration and not on the database's allow-list"
            )
            continue
        differing = [name for name, value in wanted.items() if row[name] != value]
        if differing:
            shown = ", ".join(f"{name} {row[name]!r} instead of {wanted[name]!r}" for name in differing)
            problems.append(f"{tag.path} has other limits on the database's allow-list: {shown}")
    problems.extend(
        f"{path} is on the database's allow-list and not writable in the configuration" for path in there
    )
    return problems
