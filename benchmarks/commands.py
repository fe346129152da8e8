"""How many approved commands a second are executed and verified, against the slower of plant and database alone."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from benchmarks import bare
from benchmarks.figures import Figure, Result, runs, shown
from benchmarks.proposals import approve, commits, propose, set_armed
from benchmarks.stand import (
    Connection,
    CpuOfDatabase,
    Stand,
    connect,
    cpu_s,
    fetch,
    number,
    reactor_toml,
    reactors,
    readings_from,
    until,
)

NAME = "commands"
GOAL_PER_S, GOAL_SHARE = 1000.0, 0.6


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Approve while disarmed, then arm: from that commit on everything is there to be executed."""
    commands, times = (100, 1) if quick else (1000, 3)
    names = reactors(commands)
    nodes = [f"{name}/ThroughputSetpoint" for name in names]
    url = await stand.database()
    rates: list[float] = []
    cpu: list[str] = []
    async with (
        stand.plant("--equipment", str(commands), "--tick", "3600") as plant,
        await connect(url) as owner,
    ):
        await owner.execute(bare.FLOOR_TABLES)
        opcua, database = [], []
        for _ in range(times):
            opcua.append(await bare.writes_and_reads_per_s(plant.endpoint, nodes, [500.0] * commands))
            database.append(await bare.claims_per_s(url, commands))
        async with stand.bridge(reactor_toml(plant.endpoint, commands), url) as bridge:
            await readings_from(owner, commands)
            agent, operator = await connect(url, "bridge_agent"), await connect(url, "bridge_operator")
            present = 500.0
            for run in range(times):
                target = 450.0 if present == 500.0 else 500.0
                await set_armed(operator, False)
                pending = await propose(agent, names, present, target)
                async with operator.transaction():
                    for item in pending:
                        await approve(operator, item)
                present = target
                await asyncio.sleep(2.0)
                # "Armed" and all verdicts are commits of one database: its clock is the stop-watch.
                cpu_database, cpu_bridge = CpuOfDatabase(stand), bridge.cpu_s()
                cpu_plant, began_s = cpu_s(plant.process.pid), time.monotonic()
                await set_armed(operator, True)
                await until("all executed", partial(_executed, owner, (run + 1) * commands), within_s=60.0)
                took_s = time.monotonic() - began_s
                cpu.append(
                    f"{(bridge.cpu_s() - cpu_bridge) / took_s:.0%} bridge, {cpu_database.used_s() / took_s:.0%} "
                    f"database, {(cpu_s(plant.process.pid) - cpu_plant) / took_s:.0%} plant"
                )
                rates.append(commands / await _span_s(owner, [item.recommendation_id for item in pending]))
            await agent.close()
            await operator.close()
    spread = runs(rates)
    floor = min(runs(opcua)["median"], runs(database)["median"])
    return Result(
        name=NAME,
        title=f"Approved commands executed and verified ({commands:,} single writes on distinct tags, {times} runs)",
        figures=(
            Figure(
                what="verified commands",
                value=spread["median"],
                unit="/s",
                spread=spread,
                goal=GOAL_PER_S,
                at_least=True,
                floor=floor,
                floor_goal=GOAL_SHARE,
            ),
        ),
        notes=(
            f"floors: asyncua write + read, 50 in flight, {shown(runs(opcua)['median'])}/s; "
            f"claim + complete on plain tables, 4 connections, {shown(runs(database)['median'])}/s",
            f"CPU of one core while executing: {'; '.join(cpu)} (two cores for all)",
        ),
    )


async def _executed(owner: Connection, wanted: int) -> bool:
    failed = await fetch(
        owner, "select tag_path, execution_result from agent_commands where status in ('failed', 'unknown')"
    )
    if failed:
        raise RuntimeError(f"{len(failed)} commands failed, first {failed[0]}")
    return (
        await number(owner, "select count(*) from agent_recommendations where status = 'executed'") >= wanted
    )


async def _span_s(owner: Connection, recommendation_ids: list[str]) -> float:
    """Seconds from the commit that armed to the commit of the last verdict."""
    armed = (
        await fetch(owner, "select pg_xact_commit_timestamp(xmin) as at from bridge_control where armed")
    )[0]["at"]
    steps = await commits(owner, ["recommendation.executed"])
    last = max(steps[found]["recommendation.executed"] for found in recommendation_ids)
    return float((last - armed).total_seconds())
