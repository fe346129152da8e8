"""From the operator's commit to the verified write: how long, against the shortest loop there can be."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks import bare
from benchmarks.figures import Figure, Result, quantile, shown, tail
from benchmarks.proposals import Pending, approve, commits, heard, propose
from benchmarks.stand import (
    Connection,
    Stand,
    connect,
    demand_line,
    end,
    fetch,
    reactor_toml,
    reactors,
    readings_from,
    spawn,
)

NAME = "approval"
GOAL_P50_MS, GOAL_P99_MS, GOAL_RATIO = 9.0, 50.0, 3.0
_STEPS = ("recommendation.approved", "command.claimed", "command.sent", "command.executed")
_PRESENT, _TARGET = 500.0, 450.0


@dataclass(frozen=True, kw_only=True)
class _Run:
    """Milliseconds per approval, in the order given."""

    verified: list[float]  # commit of the approval to commit of the verdict
    wall: list[float]  # approver's acknowledgement to the notification of the verdict
    claimed: list[float]
    intended: list[float]
    at_plant: list[float]
    recorded: list[float]


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Approve one by one, on a quiet plant and while readings stream in."""
    approvals = 20 if quick else 200
    floor = await _floor(stand, approvals)
    quiet = await _bridge(stand, approvals, ("--tick", "3600"), approvals)
    equipment = 50 if quick else 1000
    busy = await _bridge(stand, equipment, ("--rate", str(equipment * 4)), approvals)
    figures = []
    for name, run in (("quiet plant", quiet), (f"{equipment:,} equipment × 1 Hz", busy)):
        spread = tail(run.verified)
        figures += [
            Figure(
                what=f"approval → verified write, p50, {name}",
                value=spread["p50"],
                unit="ms",
                spread=spread,
                goal=GOAL_P50_MS,
                floor=quantile(floor.verified, 0.5),
                floor_goal=GOAL_RATIO,
            ),
            Figure(
                what=f"approval → verified write, p99, {name}",
                value=spread["p99"],
                unit="ms",
                goal=GOAL_P99_MS,
                floor=quantile(floor.verified, 0.99),
            ),
        ]
    notes = [_breakdown(name, run) for name, run in (("quiet", quiet), ("busy", busy))]
    notes.append(
        "floor: NOTIFY → claim → write → read → complete on plain tables, asyncua and psycopg alone, "
        f"{_tail_in_words(floor.verified)}; wall clock {_tail_in_words(floor.wall)}"
    )
    return Result(
        name=NAME,
        title=f"Approval committed → tag written, read back and recorded ({approvals} single writes each)",
        figures=tuple(figures),
        notes=tuple(notes),
    )


def _tail_in_words(values: list[float]) -> str:
    spread = tail(values)
    return f"p50 {shown(spread['p50'])} ms, p99 {shown(spread['p99'])} ms"


def _breakdown(name: str, run: _Run) -> str:
    steps = {
        "woken, commands made and claimed": run.claimed,
        "value read, checked, intent committed": run.intended,
        "write at the plant": run.at_plant,
        "read back, verdict committed": run.recorded,
    }
    parts = ", ".join(f"{what} {shown(quantile(values, 0.5))} ms" for what, values in steps.items())
    return f"{name}, p50 of each step: {parts}; seen by the approver's wall clock: {_tail_in_words(run.wall)}"


async def _bridge(stand: Stand, equipment: int, plant: tuple[str, ...], approvals: int) -> _Run:
    url = await stand.database()
    log = stand.folder / f"writes_{url.rsplit('_', 1)[1]}.jsonl"
    async with stand.plant("--equipment", str(equipment), "--write-log", str(log), *plant) as process:
        toml = reactor_toml(process.endpoint, equipment)
        async with stand.bridge(toml, url), await connect(url) as owner:
            await readings_from(owner, equipment)
            agent, operator = await connect(url, "bridge_agent"), await connect(url, "bridge_operator")
            names = reactors(equipment)[:approvals]
            pending = await propose(agent, names, _PRESENT, _TARGET)
            await asyncio.sleep(2.0)
            wall = await _approve_all(url, operator, pending)
            await agent.close()
            await operator.close()
            return await _steps(owner, pending, wall, log)


async def _approve_all(url: str, operator: Connection, pending: list[Pending]) -> list[float]:
    """One by one, each after the last was finished and a pause; wall milliseconds."""
    finished: dict[str, tuple[float, str]] = {}
    news = asyncio.Event()

    def take(payload: str) -> None:
        words = payload.split()
        if words[0] == "recommendation" and words[1] in ("executed", "failed"):
            finished[words[2]] = (time.perf_counter(), words[1])
            news.set()

    wall = []
    pause = random.Random(1)
    async with heard(url, "bridge", take):
        for item in pending:
            await approve(operator, item)
            committed_s = time.perf_counter()
            async with asyncio.timeout(15.0):
                while item.recommendation_id not in finished:
                    news.clear()
                    await news.wait()
            ended_s, status = finished[item.recommendation_id]
            if status != "executed":
                raise RuntimeError(f"{item.recommendation_id} {status}")
            wall.append((ended_s - committed_s) * 1e3)
            await asyncio.sleep(pause.uniform(0.005, 0.025))
    return wall


async def _steps(owner: Connection, pending: list[Pending], wall: list[float], log: Path) -> _Run:
    times = await commits(owner, _STEPS)
    written = {}
    for line in (await asyncio.to_thread(log.read_text, encoding="utf-8")).splitlines():
        entry = json.loads(line)
        written[entry["node"]] = datetime.fromisoformat(entry["at_utc"])

    def between(begin: datetime, finish: datetime) -> float:
        return (finish - begin).total_seconds() * 1e3

    rows = [
        (*(times[item.recommendation_id][step] for step in _STEPS), written[item.node]) for item in pending
    ]
    return _Run(
        verified=[between(row[0], row[3]) for row in rows],
        wall=wall,
        claimed=[between(row[0], row[1]) for row in rows],
        intended=[between(row[1], row[2]) for row in rows],
        at_plant=[between(row[2], row[4]) for row in rows],
        recorded=[between(row[4], row[3]) for row in rows],
    )


async def _floor(stand: Stand, approvals: int) -> _Run:
    url = await stand.database()
    async with (
        stand.plant("--equipment", str(approvals), "--tick", "3600") as process,
        await connect(url) as owner,
    ):
        await owner.execute(bare.FLOOR_TABLES)
        async with owner.cursor() as cursor:
            await cursor.executemany(
                "insert into floor_commands (id, node, target) values (%s, %s, %s)",
                [
                    (number, f"{name}/ThroughputSetpoint", _TARGET)
                    for number, name in enumerate(reactors(approvals), start=1)
                ],
            )
        log = stand.folder / "floor.log"
        worker = spawn("floor", url, process.endpoint, log=log)
        try:
            await asyncio.to_thread(demand_line, worker, "floor ready", log, within_s=30.0)
            wall = await _approve_floor(url, owner, approvals)
        finally:
            await asyncio.to_thread(end, worker, within_s=10.0)
        rows = await fetch(
            owner,
            "select extract(epoch from pg_xact_commit_timestamp(c.xmin) - pg_xact_commit_timestamp(a.xmin)) * 1000"
            " as ms"
            " from floor_commands c join floor_approvals a using (id) where c.status = 'executed' order by id",
        )
        if len(rows) != approvals:
            raise RuntimeError(f"the floor executed {len(rows)} of {approvals}")
    verified = [float(row["ms"]) for row in rows]
    return _Run(verified=verified, wall=wall, claimed=[], intended=[], at_plant=[], recorded=[])


async def _approve_floor(url: str, owner: Connection, approvals: int) -> list[float]:
    finished: dict[int, float] = {}
    news = asyncio.Event()

    def take(payload: str) -> None:
        finished[int(payload)] = time.perf_counter()
        news.set()

    wall = []
    pause = random.Random(1)
    async with heard(url, "floor_done", take):
        for number in range(1, approvals + 1):
            await owner.execute(bare.FLOOR_APPROVE, {"id": number})
            committed_s = time.perf_counter()
            async with asyncio.timeout(15.0):
                while number not in finished:
                    news.clear()
                    await news.wait()
            wall.append((finished[number] - committed_s) * 1e3)
            await asyncio.sleep(pause.uniform(0.005, 0.025))
    return wall
