"""Recommendations to approve: made as the agent would, decided as the operator would, timed by commit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg

from benchmarks.stand import Connection, connect, fetch
from bridge.store import queries

_QUERIES = queries.load()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A recommendation that waits for an operator."""

    recommendation_id: str
    digest: str
    node: str


async def propose(
    agent: Connection, equipment_ids: Sequence[str], present: float, target: float
) -> list[Pending]:
    """One pending single-write recommendation for each piece of equipment."""
    made = []
    async with agent.transaction():
        for equipment_id in equipment_ids:
            writes = [
                {
                    "tag_path": f"[default]{equipment_id}/ThroughputSetpoint",
                    "from": present,
                    "to": target,
                    "unit": "kg/h",
                }
            ]
            cursor = await agent.execute(
                "insert into agent_recommendations (equipment_id, issue_type, severity, recommended_action,"
                " proposed_writes, created_by_agent) values (%s, 'benchmark', 'high', 'Change throughput', %s::jsonb,"
                " 'somebody') returning recommendation_id, write_digest",
                (equipment_id, json.dumps(writes)),
            )
            row = await cursor.fetchone()
            assert row is not None
            made.append(
                Pending(
                    recommendation_id=row["recommendation_id"],
                    digest=row["write_digest"],
                    node=f"{equipment_id}/ThroughputSetpoint",
                )
            )
    return made


async def approve(operator: Connection, pending: Pending) -> None:
    """Approve as the operator's named query does; committed when this returns."""
    cursor = await operator.execute(
        _QUERIES.recommendations.approve_recommendation.statement,
        {
            "recommendation_id": pending.recommendation_id,
            "operator": "benchmark operator",
            "digest": pending.digest,
            "comment": None,
        },
    )
    if not await cursor.fetchall():
        raise RuntimeError(f"{pending.recommendation_id} could not be approved")


async def set_armed(operator: Connection, armed: bool) -> None:
    """Arm or disarm all writes."""
    await operator.execute(
        _QUERIES.control.set_armed.statement,
        {
            "armed": armed,
            "operator": "benchmark operator",
            "reason": "benchmark armed" if armed else "benchmark held",
        },
    )


@asynccontextmanager
async def heard(url: str, channel: str, take: Callable[[str], None]) -> AsyncIterator[None]:
    """Call `take` with each notification on a channel, on a connection of its own."""
    listener = await connect(url, name="benchmark listener")
    await listener.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(channel)))

    async def follow() -> None:
        async for note in listener.notifies():
            take(note.payload)

    task = asyncio.create_task(follow())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await listener.close()


async def commits(owner: Connection, actions: Sequence[str]) -> dict[str, dict[str, datetime]]:
    """Commit time of each audited step, by recommendation and action (the last one, where there are several)."""
    rows = await fetch(
        owner,
        "select recommendation_id, action, pg_xact_commit_timestamp(xmin) as at from agent_audit"
        " where action = any(%s) order by seq",
        list(actions),
    )
    found: dict[str, dict[str, datetime]] = {}
    for row in rows:
        found.setdefault(row["recommendation_id"], {})[row["action"]] = row["at"]
    return found
