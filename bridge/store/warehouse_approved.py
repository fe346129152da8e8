"""From an approval to its commands on Delta: what was approved, by whom, and whether that may still be done.

Each statement is a transaction of its own here, so every step leaves a state that the next look can go on from: the
status of the recommendation is changed first, by one bridge alone because two changes of one row conflict, and its
commands are made under ids that make them once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bridge.domain.approval import digest_of
from bridge.settings import AgentSettings
from bridge.store.queries import Queries
from bridge.store.rows import storable
from bridge.store.warehouse_audit import AuditTrail, Event, of_command, of_recommendation
from bridge.store.warehouse_connection import Row, Warehouse
from bridge.store.warehouse_rules import person, writes_refusal

T = TypeVar("T")

_AT_ONCE = 20  # commands made in one statement, each with eleven parameters
ENDS_AT_ONCE = 80
"""Rows of three values that one statement may carry with room to spare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Approved:
    """An approved recommendation, with the approvals of the writes that it has now."""

    row: Row
    approvers: tuple[str, ...]

    @property
    def id(self) -> str:
        return str(self.row["recommendation_id"])

    def unapproved(self) -> str | None:
        """Why this is no approval of these very writes, or None."""
        row = self.row
        if digest_of(row["proposed_writes"]) != row["write_digest"]:
            return "the stored digest does not belong to the stored writes"
        people = {person(name).lower() for name in self.approvers}
        if person(row["created_by_agent"]).lower() in people:
            return "it was approved by the agent that made it"
        if len(people) < row["approvals_required"]:
            return (
                f"{len(people)} of {row['approvals_required']} approvals stand in `approvals` with the digest of its "
                "writes; a status alone is no approval here"
            )
        return None


class Approvals:
    """Approved recommendations, as the agent may take them up."""

    def __init__(self, db: Warehouse, queries: Queries, trail: AuditTrail, agent: AgentSettings) -> None:
        self._db = db
        self._q = queries
        self._trail = trail
        self._agent = agent

    async def limits(self) -> dict[str, Row]:
        """The allow-list by tag path, as it is now."""
        return {row["tag_path"]: row for row in await self._db.fetch(self._q.limits.list_limits)}

    async def executing(self) -> list[Row]:
        """Executing recommendations with their commands, one row per command."""
        return await self._db.fetch(self._q.recommendations.list_executing)

    async def start(self, ids: Collection[str]) -> int:
        """Make these executing, those of them that may be, with their commands; how many commands were made."""
        limits, live, waiting = await asyncio.gather(
            self.limits(), self._db.fetch(self._q.commands.list_tags_in_use), self._approved()
        )
        in_use = {row["tag_path"] for row in live}
        going: list[str] = []
        for approved in waiting:
            if approved.id not in ids or approved.unapproved() is not None:
                continue
            text = approved.row["proposed_writes"]
            if writes_refusal(text, approved.row["equipment_id"], limits) is not None:
                continue  # `void` says so; it must not hold up the others
            tags = {write["tag_path"] for write in json.loads(text)}
            if tags & in_use:
                continue
            in_use |= tags
            going.append(approved.id)
        if not going:
            return 0
        known = await self._db.make_known(
            self._q.recommendations.start_executing,
            self._q.recommendations.list_changed,
            recommendation_ids=going,
            approval_valid_s=self._agent.approval_valid_s,
        )
        moved = known.rows
        if not moved:
            return 0
        self._trail.owe(of_recommendation(row, "", "approved") for row in moved)
        ours = {row["recommendation_id"] for row in moved}
        return await self.make(
            [row for row in await self.executing() if row["recommendation_id"] in ours], limits
        )

    async def resume(self, ids: Collection[str]) -> int:
        """Make the commands that a dead bridge left unmade, where the approvals for it stand; how many were made.

        A row that says executing by plain SQL looks the same. It makes no command, and ends when it lapses.
        """
        rows = [row for row in await self.executing() if row["recommendation_id"] in ids]
        given = await self._db.fetch(self._q.approvals.list_for, recommendation_ids=list(ids))
        return await self.make(
            row
            for row in rows
            if _Approved(
                row=row,
                approvers=tuple(
                    entry["operator"]
                    for entry in given
                    if (entry["recommendation_id"], entry["digest"])
                    == (row["recommendation_id"], row["write_digest"])
                ),
            ).unapproved()
            is None
        )

    async def make(self, executing: Iterable[Row], limits: Mapping[str, Row] | None = None) -> int:
        """Make the commands that executing recommendations lack; how many were made."""
        limits = await self.limits() if limits is None else limits
        there: set[str] = set()
        rows: dict[str, Row] = {}
        for row in executing:
            rows[row["recommendation_id"]] = row
            if row["command_id"] is not None:
                there.add(row["command_id"])
        wanted: list[dict[str, object]] = []
        for row in rows.values():
            if digest_of(row["proposed_writes"]) != row["write_digest"]:
                continue  # changed since it was approved: it ends as failed when its approval lapses
            for place, write in enumerate(json.loads(row["proposed_writes"]), start=1):
                command_id = f"C-{row['recommendation_id']}-{place}"
                listed = limits.get(write["tag_path"])
                if command_id in there or listed is None:
                    continue
                wanted.append(
                    {
                        "command_ids": command_id,
                        "recommendation_ids": row["recommendation_id"],
                        "equipment_ids": row["equipment_id"],
                        "tag_paths": write["tag_path"],
                        "new_values": float(write["to"]),
                        "expected_values": float(write["from"]),
                        "units": write["unit"],
                        "routes": listed["route"],
                        "places": float(place),
                        "severities": row["severity"],
                        "actions": row["recommended_action"] or row["issue_type"],
                    }
                )
        made = 0
        for part in parts(wanted, _AT_ONCE):
            known = await self._db.make_known(
                self._q.commands.make_commands,
                self._q.commands.list_changed,
                **{name: [command[name] for command in part] for name in part[0]},
                agent_id=self._agent.id,
            )
            new = known.rows
            made += len(new)
            self._trail.owe(of_command(row, self._agent.id, "command.created", None) for row in new)
        return made

    async def hand_over(self, most: int) -> list[tuple[str, str]]:
        """Work orders for approved recommendations without writes; also for those that a dead bridge left half-way."""
        going = [
            approved.id
            for approved in await self._approved()
            if approved.row["write_count"] == 0 and approved.unapproved() is None
        ][:most]
        if not going:
            return []
        known = await self._db.make_known(
            self._q.recommendations.hand_to_people,
            self._q.recommendations.list_changed,
            recommendation_ids=going,
        )
        moved = known.rows
        self._trail.owe(of_recommendation(row, "", "approved") for row in moved)
        await self.close_handed_over()
        return [(f"W-{row['recommendation_id']}", row["recommendation_id"]) for row in moved]

    async def close_handed_over(self) -> list[str]:
        """Open the work orders of executing recommendations without writes, and finish these."""
        await self._db.change(self._q.work_orders.open_work_orders)
        known = await self._db.make_known(
            self._q.recommendations.close_handed_over, self._q.recommendations.list_changed
        )
        rows = known.rows
        events: list[Event] = []
        for row in rows:
            events.append(
                Event(
                    actor="",
                    action="work_order.opened",
                    object_type="work_order",
                    object_id=f"W-{row['recommendation_id']}",
                    recommendation_id=row["recommendation_id"],
                    new_status="open",
                    detail={"description": row["recommended_action"] or ""},
                )
            )
            events.append(of_recommendation(row, "", "executing"))
        await self._trail.append(events)
        return [row["recommendation_id"] for row in rows]

    async def void(self) -> int:
        """End approvals that lapsed, that no limit allows any more, or that nobody signed."""
        limits = await self.limits()
        ends = []
        for approved in await self._approved():
            row = approved.row
            refusal = writes_refusal(row["proposed_writes"], row["equipment_id"], limits)
            why = approved.unapproved() or (None if refusal is None else str(refusal))
            if why is None and row["approved_ago_s"] >= self._agent.approval_valid_s:
                disarmed = "" if row["armed"] else ", the bridge is disarmed"
                why = f"not executed within {self._agent.approval_valid_s:g} s{disarmed}"
            if why is not None:
                ends.append(
                    (approved.id, f"approved by {row['approved_by_operator']} but {why}; nothing was written")
                )
        voided = 0
        for part in parts(ends, ENDS_AT_ONCE):
            known = await self._db.make_known(
                self._q.recommendations.expire_approved,
                self._q.recommendations.list_changed,
                recommendation_ids=[end[0] for end in part],
                reasons=[storable(end[1]) for end in part],
            )
            rows = known.rows
            voided += len(rows)
            await self._trail.append([of_recommendation(row, "", "approved") for row in rows])
        return voided

    async def _approved(self) -> list[_Approved]:
        rows: dict[str, Row] = {}
        approvers: dict[str, set[str]] = {}
        for row in await self._db.fetch(self._q.recommendations.list_approved):
            rows[row["recommendation_id"]] = row
            if row["operator"] is not None:
                approvers.setdefault(row["recommendation_id"], set()).add(row["operator"])
        return [
            _Approved(row=row, approvers=tuple(sorted(approvers.get(recommendation_id, ()))))
            for recommendation_id, row in rows.items()
        ]


def parts(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """The items in their order, at most so many at a time."""
    return (items[begin : begin + size] for begin in range(0, len(items), size))
