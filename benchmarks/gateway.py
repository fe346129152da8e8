"""The gateway's timer: how long one pass takes over 200 approved commands, on real Jython, JDBC and OPC UA."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.figures import Figure, Result, runs
from benchmarks.proposals import approve, propose
from benchmarks.stand import ROOT, Connection, Failed, Stand, connect, fetch, number, reactors
from bridge.ignition import build
from bridge.ignition.resources import read
from bridge.store import queries
from simulator.gateway.process import GatewayProcess

NAME = "gateway"
COMMANDS = 200
GOAL_S = 2.0
_TIMER = "Execute Commands"
_LEVELS = (500.0, 450.0)  # set-points go to and fro
_LOGIN, _PASSWORD = "bench_gateway", "benchmark"


async def measure(stand: Stand, *, quick: bool) -> Result:
    """One cold pass and several warm ones, with the tag group as a fresh gateway has it (1 s) and a fast one."""
    count, passes = (10, 2) if quick else (COMMANDS, 6)
    figures, notes = [], []
    for rate_ms in (1000, 100):
        start_s, taken_s = await _passes(stand, count, passes, rate_ms)
        figures.append(
            Figure(
                what=f"timer pass, {count} pending commands, tag group {rate_ms} ms",
                value=runs(taken_s[1:])["median"],
                unit="s",
                spread={"first": taken_s[0], **runs(taken_s[1:])},
                goal=GOAL_S if rate_ms == 1000 else None,
            )
        )
        notes.append(f"tag group {rate_ms} ms: gateway ready after {start_s:.1f} s")
    notes.append(
        "a pass claims, reads, checks, commits the intent, writes, reads back and records each verdict"
    )
    return Result(
        name=NAME, title="Commands executed by the gateway", figures=tuple(figures), notes=tuple(notes)
    )


async def _passes(stand: Stand, count: int, passes: int, rate_ms: int) -> tuple[float, list[float]]:
    """Seconds to start, and of each pass."""
    url = await stand.database()
    names = reactors(count)
    place = stand.folder / f"gateway-{rate_ms}"
    place.mkdir()
    archive, tags = built(place), _tags(place, names)
    log = place / "writes.jsonl"
    async with (
        stand.plant("--equipment", str(count), "--tick", "3600", "--write-log", str(log)) as plant,
        await connect(url) as owner,
        await connect(url, "bridge_agent") as agent,
        await connect(url, "bridge_operator") as operator,
    ):
        await prepare(owner, names)
        began_s = time.monotonic()
        gateway = await asyncio.to_thread(
            GatewayProcess.start,
            *(
                "--project",
                str(archive),
                "--tags",
                str(tags),
                "--database",
                operator_url(url),
                "--hold-timers",
            ),
            *("--plant", plant.endpoint, "--tag-group", f"Default={rate_ms}"),
        )
        start_s = time.monotonic() - began_s
        try:
            taken_s = []
            for turn in range(passes):
                await _approve(agent, operator, names, _LEVELS[turn % 2], _LEVELS[1 - turn % 2])
                taken_s.append(await asyncio.to_thread(gateway.run_timer, _TIMER))
                done = await number(owner, "select count(*) from agent_commands where status = 'executed'")
                written = len(log.read_text(encoding="utf-8").splitlines())
                if done != count * (turn + 1) or written != count * (turn + 1):
                    raise Failed(
                        f"pass {turn + 1}: {done:g} executed, {written} written; {gateway.log()[-1000:]}"
                    )
                await _finish(agent)
            return start_s, taken_s
        finally:
            await asyncio.to_thread(gateway.stop)


def built(place: Path) -> Path:
    """Our project, generated anew and packed for 8.3."""
    source = place / "source"
    shutil.copytree(ROOT / build.DEFAULT_FOLDER, source)
    build.regenerate(source, list(queries.load()))
    archive = place / "bridge.zip"
    archive.write_bytes(build.to_zip(build.package(read(source), build.Target.V83).files))
    return archive


def _tags(place: Path, names: Sequence[str]) -> Path:
    """The set-points as OPC tags of the Default group."""
    folders = [
        {
            "name": name,
            "tagType": "Folder",
            "tags": [
                {
                    "name": "ThroughputSetpoint",
                    "tagType": "AtomicTag",
                    "valueSource": "opc",
                    "dataType": "Float4",
                    "opcServer": "Plant",
                    "opcItemPath": f"nsu=urn:ignition-bridge:plant;s={name}/ThroughputSetpoint",
                }
            ],
        }
        for name in names
    ]
    path = place / "tags.json"
    path.write_text(json.dumps({"name": "", "tagType": "Provider", "tags": folders}), encoding="utf-8")
    return path


async def prepare(owner: Connection, names: Sequence[str]) -> None:
    """A login for the gateway, and its set-points on the allow-list."""
    if not await fetch(owner, "select 1 from pg_roles where rolname = %s", _LOGIN):
        await owner.execute(f"create role {_LOGIN} login password '{_PASSWORD}' in role bridge_operator")
    async with owner.cursor() as cursor:
        await cursor.executemany(
            "insert into tag_limits (tag_path, equipment_id, route, data_type, unit, low, high, max_step,"
            " min_interval_s, max_writes_per_hour, max_age_s, tolerance, settle_s)"
            " values (%s, %s, 'gateway', 'Float', 'kg/h', 100, 800, 300, 0, 10000, 30, 0.5, 1)",
            [(f"[default]{name}/ThroughputSetpoint", name) for name in names],
        )


def operator_url(url: str) -> str:
    """The same database for the gateway's own login."""
    return f"postgresql://{_LOGIN}:{_PASSWORD}@{urlsplit(url).netloc.rpartition('@')[2]}{urlsplit(url).path}"


async def _approve(
    agent: Connection, operator: Connection, names: Sequence[str], present: float, target: float
) -> None:
    """Approved commands, waiting for the gateway."""
    for pending in await propose(agent, names, present, target):
        await approve(operator, pending)
    started = queries.load().recommendations.start_executing.statement
    await agent.execute(
        started, {"approval_valid_s": 300.0, "max_recommendations": 10_000, "agent_id": "benchmark"}
    )


async def _finish(agent: Connection) -> None:
    """What the bridge does when all commands of a recommendation are over."""
    await agent.execute(
        "update agent_recommendations set status = 'executed', execution_result = 'verified' where status = 'executing'"
    )
