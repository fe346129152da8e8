"""What the HMI is measured on: a gateway with the built project, what waits in its database, and its statements."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString

import psutil

from benchmarks.gateway import built, operator_url, prepare
from benchmarks.stand import ROOT, Connection, Failed, Stand, connect, cpu_s, demand_line, end, fetch, spawn
from bridge.ignition import build
from simulator.gateway.process import GatewayProcess

USER = "operator"
REACTORS = tuple(f"REACTOR_{number:02d}" for number in range(1, 5))
_VIEWS = ROOT / build.DEFAULT_FOLDER / "com.inductiveautomation.perspective" / "views"


def polling_s(view: str, query: str) -> float:
    """How often a view asks a named query, as its own file says."""
    file = _VIEWS / view / "view.json"
    for binding in _query_bindings(json.loads(file.read_text(encoding="utf-8"))):
        if binding.get("queryPath") == query and binding.get("polling", {}).get("enabled"):
            return float(binding["polling"]["rate"])
    raise Failed(f"{file} polls no {query}")


def _query_bindings(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for one in node for found in _query_bindings(one)]
    if not isinstance(node, dict):
        return []
    own = [node["config"]] if node.get("type") == "query" and isinstance(node.get("config"), dict) else []
    return own + [found for one in node.values() for found in _query_bindings(one)]


class Waiting:
    """The recommendations that wait for a person, written as the agent writes them."""

    def __init__(self, agent: Connection) -> None:
        self._agent = agent
        self._made = 0

    def mark_of_next(self) -> str:
        """What will stand in the action of the next one and nowhere else."""
        return f"Benchmark {self._made + 1:06d}"

    async def add(self, number: int = 1, *, severity: str = "low") -> None:
        """So many more, in one commit."""
        rows = []
        for _ in range(number):
            mark = self.mark_of_next()
            self._made += 1
            serial = self._made
            reactor = REACTORS[serial % len(REACTORS)]
            setpoint = f"[default]{reactor}/ThroughputSetpoint"
            writes = json.dumps([{"tag_path": setpoint, "from": 500.0, "to": 450.0, "unit": "kg/h"}])
            rows.append((reactor, f"benchmark_{serial}", severity, mark, writes))
        async with self._agent.transaction(), self._agent.cursor() as cursor:
            await cursor.executemany(
                "insert into agent_recommendations (equipment_id, issue_type, severity, recommended_action,"
                " root_cause_analysis, expected_outcome, confidence_score, proposed_writes, created_by_agent)"
                " values (%s, %s, %s, %s, 'Throughput is above what cooling carries away.',"
                " 'Temperature falls below 95 °C.', 0.9, %s::jsonb, 'benchmark')",
                rows,
            )

    async def clear(self) -> None:
        """Nothing waits any more."""
        await self._agent.execute(
            "update agent_recommendations set status = 'superseded', execution_result = 'measured'"
            " where status = 'pending'"
        )

    async def clear_critical(self) -> None:
        """Nothing critical waits any more."""
        await self._agent.execute(
            "update agent_recommendations set status = 'superseded', execution_result = 'measured'"
            " where status = 'pending' and severity = 'critical'"
        )

    async def any_id(self) -> str:
        """One that has been there."""
        rows = await fetch(self._agent, "select recommendation_id from agent_recommendations limit 1")
        return str(rows[0]["recommendation_id"])


@dataclass(frozen=True, kw_only=True)
class Hmi:
    """A gateway that serves the HMI, and the database behind it."""

    address: str
    gateway: GatewayProcess
    owner: Connection
    waiting: Waiting
    url: str
    server_log: Path
    ready_s: float

    def page(self, path: str) -> str:
        """The address of one page."""
        return self.address.rstrip("/") + path

    async def end_sessions(self) -> None:
        """Everybody has gone, also who was not logged in: no page waits for its browser to come back."""
        for order in (f"expire {USER}", "expire"):
            await asyncio.to_thread(self.gateway.order, order)

    def processes(self) -> dict[str, int]:
        """Process ids of the gateway and of its JVM."""
        children = psutil.Process(self.gateway.process.pid).children(recursive=True)
        return {
            "gateway": self.gateway.process.pid,
            "JVM": next(p.pid for p in children if "java" in p.name()),
        }


@asynccontextmanager
async def hmi(stand: Stand) -> AsyncIterator[Hmi]:
    """Plant, database and gateway; an agent that has just reported; nothing waits. Timers are held."""
    url = await stand.database()
    place = stand.folder / "hmi"
    place.mkdir()
    archive = await asyncio.to_thread(built, place)
    async with (
        stand.plant("--tick", "1") as plant,
        await connect(url) as owner,
        await connect(url, "bridge_agent") as agent,
    ):
        await prepare(owner, REACTORS)
        await owner.execute(
            "insert into agent_health (agent_id, status, last_heartbeat, polls_completed)"
            " values ('operations-agent', 'online', clock_timestamp() + interval '1 hour', 1)"
        )
        began_s = time.monotonic()
        gateway = await asyncio.to_thread(
            GatewayProcess.start,
            *("--project", str(archive), "--tags", str(ROOT / build.DEFAULT_FOLDER / "tags" / "tags.json")),
            *("--database", operator_url(url), "--plant", plant.endpoint, "--hold-timers", "--hmi", "0"),
        )
        try:
            yield Hmi(
                address=gateway.ready.split()[-1],
                gateway=gateway,
                owner=owner,
                waiting=Waiting(agent),
                url=url,
                server_log=stand.folder / "database" / "server.log",
                ready_s=time.monotonic() - began_s,
            )
        finally:
            await asyncio.to_thread(gateway.stop)


@asynccontextmanager
async def floor(stand: Stand, url: str, interval_s: float) -> AsyncIterator[tuple[str, int]]:
    """The bare server on the same database; its address and process id."""
    log = stand.folder / "bare-hmi.log"
    process = spawn("hmi", url, str(interval_s), log=log)
    try:
        yield await asyncio.to_thread(demand_line, process, "http://", log, within_s=30.0), process.pid
    finally:
        await asyncio.to_thread(end, process, within_s=10.0)


class CpuShares:
    """Per cent of one core that processes use from now on."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._began_s = time.monotonic()
        self._before = {name: cpu_s(pid) for name, pid in pids.items()}

    def percent(self) -> dict[str, float]:
        """Since this was made."""
        passed_s = time.monotonic() - self._began_s
        return {name: 100 * (cpu_s(pid) - self._before[name]) / passed_s for name, pid in self._pids.items()}


_EXECUTED = re.compile(r"^(\S+ \S+) \S+ \[\d+\] LOG:  execute [^:]*: (.*)$", re.MULTILINE)
_OF_THE_POOL = re.compile(r"(SELECT 1|SET|BEGIN|COMMIT|ROLLBACK)\b")
"""The pool asks "SELECT 1" before it lends a connection, as Ignition's does; the driver sets what it likes."""


class StatementLog:
    """What the server was asked, with the time of each, out of its own log."""

    def __init__(self, log: Path) -> None:
        self._log = log

    @asynccontextmanager
    async def on(self, owner: Connection) -> AsyncIterator[None]:
        """The server notes every statement meanwhile."""
        await self._switch(owner, "alter system set log_statement = 'all'")
        try:
            yield
        finally:
            await self._switch(owner, "alter system reset log_statement")

    @staticmethod
    async def _switch(owner: Connection, order: LiteralString) -> None:
        await owner.execute(order)
        await owner.execute("select pg_reload_conf()")
        await asyncio.sleep(0.2)

    def size(self) -> int:
        """A place in the log."""
        return self._log.stat().st_size

    def asked_s(self, since: int) -> list[float]:
        """When the views' queries were asked, since a place in the log."""
        with self._log.open("rb") as log:
            log.seek(since)
            text = log.read().decode("utf-8", "replace")
        return [
            datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
            for stamp, statement in _EXECUTED.findall(text)
            if not _OF_THE_POOL.match(statement)
        ]


def most_within(moments_s: list[float], interval_s: float) -> int:
    """The largest number of moments in any interval of that length; a hair less, for what comes exactly in step."""
    length_s, most = interval_s * 0.95, 0
    ordered = sorted(moments_s)
    first = 0
    for last, moment_s in enumerate(ordered):
        while moment_s - ordered[first] >= length_s:
            first += 1
        most = max(most, last - first + 1)
    return most
