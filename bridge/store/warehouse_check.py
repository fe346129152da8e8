"""What `ignition-bridge check` can know of a SQL warehouse: does it answer, has it our tables, what does it promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.domain.tag import Tag
from bridge.errors import BridgeError, TryAgain
from bridge.settings import AgentSettings
from bridge.store.desk import unpublished
from bridge.store.queries import Queries
from bridge.store.warehouse_connection import Warehouse
from bridge.store.warehouse_migrate import warehouse_status

_SLOW_LEASE_S = (
    45.0  # from claim to intent it is some eight statements, a second each on an ordinary warehouse
)
_QUICK_FLUSH_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing that is not as it should be: where, what, and what to do.

    serious: the bridge cannot work so. passing: waiting may be enough.
    """

    area: str
    problem: str
    advice: str = ""
    serious: bool = True
    passing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found, and what was looked at in vain or with success, in words."""

    remarks: Sequence[Remark]
    looked_at: Sequence[str]


async def examine(db: Warehouse, queries: Queries, agent: AgentSettings, tags: Sequence[Tag]) -> Examination:
    """Look at everything that the agent relies on, with the agent's connection; opens it and leaves it open."""
    try:
        await db.open()
        status = await warehouse_status(db)
    except BridgeError as problem:
        passing = isinstance(problem, TryAgain)
        return Examination(
            remarks=[Remark(area="database", problem=str(problem), passing=passing)], looked_at=[]
        )
    looked_at = ["database: the SQL warehouse answers"]
    if not status.current:
        waiting = f"{len(status.waiting)} migrations wait" if status.waiting else ""
        edited = (
            f"changed after they ran, or unknown here: {', '.join(status.edited)}" if status.edited else ""
        )
        return Examination(
            remarks=[
                Remark(
                    area="schema",
                    problem="; ".join(part for part in (waiting, edited) if part),
                    advice="run `ignition-bridge db migrate --target warehouse`",
                )
            ],
            looked_at=looked_at,
        )
    looked_at.append(f"schema: current ({status.applied[-1]})")
    writable = [tag for tag in tags if tag.writable]
    try:
        published = await db.fetch(queries.limits.list_limits)
    except BridgeError as problem:
        passing = isinstance(problem, TryAgain)
        return Examination(
            remarks=[Remark(area="limits", problem=str(problem), passing=passing)], looked_at=looked_at
        )
    remarks = [
        Remark(area="limits", problem=text, advice="run `ignition-bridge tags publish`")
        for text in unpublished(published, writable)
    ]
    if not remarks:
        looked_at.append(f"limits: the published allow-list is the configured one ({len(published)} tags)")
    remarks += _slow(agent)
    return Examination(remarks=remarks, looked_at=looked_at)


def _slow(agent: AgentSettings) -> list[Remark]:
    """Times that suit a database of a millisecond and not one of a second."""
    remarks = []
    if agent.lease_s < _SLOW_LEASE_S:
        remarks.append(
            Remark(
                area="agent",
                problem=f"agent.lease_s is {agent.lease_s:g}: on a warehouse a claim may end before its write is sent",
                advice=f"set it to {_SLOW_LEASE_S:g} or more",
                serious=False,
            )
        )
    if agent.flush_s < _QUICK_FLUSH_S:
        remarks.append(
            Remark(
                area="agent",
                problem=f"agent.flush_s is {agent.flush_s:g}: each flush is a statement, and a file in the table",
                advice=f"set it to {_QUICK_FLUSH_S:g} or more, 10 for a plant that nobody watches by the second",
                serious=False,
            )
        )
    return remarks
