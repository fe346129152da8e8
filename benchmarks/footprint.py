"""Resident memory with 100, 1,000 and 10,000 equipment, and what an idle bridge costs."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

from benchmarks import bare
from benchmarks.figures import Figure, Result
from benchmarks.stand import Stand, connect, reactor_toml, readings_from

NAME = "footprint"
GOAL_MB = {1000: 100.0, 10_000: 300.0}
_STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): (?P<text>.*)")
GOAL_IDLE_CPU_PERCENT, GOAL_IDLE_QUERIES_PER_S = 1.0, 1.0


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Memory does not mind company, so all run side by side."""
    seconds = 3.0 if quick else 30.0
    small = (5, 20) if quick else (100, 1000)
    idle_s = 3.0 if quick else 20.0
    # One asyncua server cannot emit 40,000 values a second: a reading of everything each 5 s.
    large = (50, 1.0) if quick else (10_000, 5.0)
    *figures, idle = await asyncio.gather(
        _memory(stand, small[0], 1.0, seconds),
        _memory(stand, small[1], 1.0, seconds),
        _memory(stand, *large, seconds),
        _idle(stand, small[0], idle_s),
    )
    return Result(
        name=NAME,
        title=f"Memory after {seconds:g} s of readings, and the cost of idling",
        figures=(*figures, *idle),
    )


async def _memory(stand: Stand, equipment: int, tick_s: float, seconds: float) -> Figure:
    url = await stand.database()
    async with (
        stand.plant("--equipment", str(equipment), "--tick", str(tick_s)) as plant,
        await connect(url) as owner,
    ):
        toml = reactor_toml(plant.endpoint, equipment, setpoints=())
        async with stand.bridge(toml, url) as bridge, bare.client_of(plant.endpoint) as client:
            await readings_from(owner, equipment, within_s=90.0)
            (counter,) = await bare.nodes_of(client, ["Plant/ValueCount"])
            before, began_utc = await bare.read(counter)
            cpu_before_s = bridge.cpu_s()
            seen_mb = []
            for _ in range(10):
                await asyncio.sleep(seconds / 10)
                seen_mb.append(bridge.memory_mb())
            after, ended_utc = await bare.read(counter)
            rate = (after - before) / max((ended_utc - began_utc).total_seconds(), 1e-9)
            cpu = (bridge.cpu_s() - cpu_before_s) / seconds
    return Figure(
        what=f"resident memory, {equipment:,} equipment × 5 signals",
        value=seen_mb[-1],
        unit="MB",
        spread={"after 10 %": seen_mb[0], "highest": max(seen_mb)},
        goal=GOAL_MB.get(equipment),
        note=f"{rate:,.0f} values/s came in, {cpu:.0%} of a core",
    )


async def _idle(stand: Stand, equipment: int, seconds: float) -> list[Figure]:
    url = await stand.database()
    log = stand.folder / "database" / "server.log"
    async with (
        stand.plant("--equipment", str(equipment), "--tick", "3600") as plant,
        await connect(url) as owner,
    ):
        # Every statement on this database, and on no other, is written to the server's log: there they are counted.
        await owner.execute(f"alter database {url.rsplit('/', 1)[1]} set log_statement = 'all'")
        async with stand.bridge(reactor_toml(plant.endpoint, equipment), url) as bridge:
            await readings_from(owner, equipment)
            await asyncio.sleep(min(8.0, seconds))
            begin, cpu_before_s = log.stat().st_size, bridge.cpu_s()
            await asyncio.sleep(seconds)
            used_s = bridge.cpu_s() - cpu_before_s
            said = await asyncio.to_thread(_said_since, log, begin)
    queries = Counter(match for line in said if (match := _statement(line)))
    return [
        Figure(
            what=f"idle, CPU of a core, {equipment:,} equipment",
            value=100 * used_s / seconds,
            unit="%",
            goal=GOAL_IDLE_CPU_PERCENT,
        ),
        Figure(
            what=f"idle, statements on the database, {equipment:,} equipment",
            value=queries.total() / seconds,
            unit="/s",
            goal=GOAL_IDLE_QUERIES_PER_S,
            note=", ".join(f"{times} × {text}" for text, times in queries.most_common(6)),
        ),
    ]


def _said_since(log: Path, begin: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read().decode("utf-8", errors="replace").splitlines()


def _statement(line: str) -> str | None:
    """The beginning of a logged statement; None for any other line."""
    match = _STATEMENT.search(line)
    return None if match is None else " ".join(match["text"].split())[:40] or "statement"
