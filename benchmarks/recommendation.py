"""From a reading at its source to the recommendation's row, while 1,000 pieces of equipment report once a second."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime

from benchmarks import bare
from benchmarks.figures import Figure, Result, quantile, shown, tail
from benchmarks.stand import (
    Connection,
    Row,
    Stand,
    connect,
    fetch,
    number,
    reactor_toml,
    reactors,
    readings_from,
    until,
)

NAME = "recommendation"
PUBLISHING_MS = 100.0
GOAL_P99_MS = PUBLISHING_MS + 100.0
_LIMIT, _CROSSING = 800.0, 900.0

# The set-point node is a signal here: a write of ours makes it cross the limit at a moment that we choose.
SIGNALS = {
    "temperature": "Temperature",
    "pressure": "Pressure",
    "flow_rate": "FlowRate",
    "throughput": "Throughput",
    "demand": "ThroughputSetpoint",
}
RULES = (
    'rules = [{ issue = "high_demand", signal = "demand", '
    f'levels = [{{ limit = {_LIMIT}, severity = "high" }}] }}]'
)
REMEDIES = (
    'remedies = [{ issue = "high_demand", severity = "high", action = "Switch cooling on", '
    'writes = [{ setpoint = "cooling", value = true }] }]'
)


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Cross a limit again and again, first before a bare subscriber, then before the bridge."""
    equipment, crossings = (60, 15) if quick else (1000, 200)
    url = await stand.database()
    floor_ms: list[float] = []
    async with (
        stand.plant("--equipment", str(equipment), "--rate", str(equipment * 4)) as plant,
        await connect(url) as owner,
    ):
        await owner.execute(bare.FLOOR_TABLES)
        first = reactors(equipment)[:crossings]
        floor_ms = await _bare(plant.endpoint, url, equipment, first)
        toml = reactor_toml(
            plant.endpoint,
            equipment,
            signals=SIGNALS,
            rules=RULES,
            remedies=REMEDIES,
            setpoints=("cooling",),
        )
        async with stand.bridge(toml, url):
            await readings_from(owner, equipment)
            rows = await crossed(
                owner, plant.endpoint, reactors(equipment)[crossings : 2 * crossings], crossings
            )
    delays_ms = delays_of(rows)
    arrived_ms = [
        _ms(datetime.fromisoformat(row["source"]), row["received"]) for row in rows if row["received"]
    ]
    spread = tail(delays_ms)
    notes = [
        f"bare subscriber and a plain INSERT: p50 {shown(quantile(floor_ms, 0.5))} ms, "
        f"p99 {shown(quantile(floor_ms, 0.99))} ms; both wait for the server's publishing interval",
    ]
    if arrived_ms:
        notes.append(
            f"of the bridge's p50 {shown(quantile(arrived_ms, 0.5))} ms lie before the reading's arrival, "
            f"and {shown(spread['p50'] - quantile(arrived_ms, 0.5))} ms between arrival and row"
        )
    return Result(
        name=NAME,
        title=f"Reading at the source → recommendation row, {equipment:,} equipment × 1 Hz, "
        f"{PUBLISHING_MS:g} ms publishing ({crossings} crossings)",
        figures=(
            Figure(
                what="reading → recommendation, p50",
                value=spread["p50"],
                unit="ms",
                spread=spread,
                floor=quantile(floor_ms, 0.5),
            ),
            Figure(
                what="reading → recommendation, p99",
                value=spread["p99"],
                unit="ms",
                goal=GOAL_P99_MS,
                floor=quantile(floor_ms, 0.99),
                note=f"goal: interval {PUBLISHING_MS:g} ms + 100 ms",
            ),
        ),
        notes=tuple(notes),
    )


def _ms(begin: datetime, finish: datetime) -> float:
    return (finish - begin).total_seconds() * 1e3


def delays_of(rows: list[Row]) -> list[float]:
    """Milliseconds from each reading at its source to the commit of its recommendation."""
    return [_ms(datetime.fromisoformat(row["source"]), row["committed"]) for row in rows]


async def crossed(owner: Connection, endpoint: str, equipment_ids: list[str], before: int) -> list[Row]:
    """Cross the limit with these before a bridge that has just started, and wait for its recommendations.

    before: pieces of equipment that are above the limit already: they are found at once, and not what is measured.
    """
    await until("recommendations of what was high before", lambda: _recommended(owner, before), within_s=60.0)
    await asyncio.sleep(2.0)
    await _cross(endpoint, equipment_ids)
    await until("recommendations", lambda: _recommended(owner, before + len(equipment_ids)), within_s=60.0)
    return await fetch(
        owner,
        "select r.evidence ->> 'seen_utc' as source, pg_xact_commit_timestamp(a.xmin) as committed,"
        " (select min(received_timestamp) from sensor_data s where s.equipment_id = r.equipment_id"
        "  and s.timestamp = (r.evidence ->> 'seen_utc')::timestamptz) as received"
        " from agent_recommendations r join agent_audit a on a.recommendation_id = r.recommendation_id"
        " and a.action = 'recommendation.created' where r.equipment_id = any(%s)",
        equipment_ids,
    )


async def _recommended(owner: Connection, wanted: int) -> bool:
    return await number(owner, "select count(*) from agent_recommendations") >= wanted


async def _cross(endpoint: str, equipment_ids: list[str]) -> None:
    """Write above the limit, at moments that have nothing to do with the publishing interval."""
    pause = random.Random(2)
    async with bare.client_of(endpoint) as client:
        for node in await bare.nodes_of(client, [f"{name}/ThroughputSetpoint" for name in equipment_ids]):
            await bare.write(node, _CROSSING)
            await asyncio.sleep(pause.uniform(0.005, 0.055))


async def _bare(endpoint: str, url: str, equipment: int, crossing: list[str]) -> list[float]:
    names = [f"{name}/{node}" for name in reactors(equipment) for node in SIGNALS.values()]
    delays_s: list[float] = []
    async with (
        bare.client_of(endpoint) as client,
        bare.subscribed(client, names) as subscription,
        await connect(url) as database,
    ):
        nodes = {f"{name}/ThroughputSetpoint" for name in crossing}
        task = asyncio.create_task(
            bare.answer_crossings(subscription, database, _LIMIT, delays_s, nodes), name="bare subscriber"
        )
        await asyncio.sleep(1.5)
        await _cross(endpoint, crossing)
        await until("bare crossings", lambda: _enough(delays_s, len(crossing)), within_s=30.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return [delay_s * 1e3 for delay_s in delays_s]


async def _enough(values: list[float], wanted: int) -> bool:
    return len(values) >= wanted
