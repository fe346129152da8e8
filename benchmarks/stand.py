"""The test stand: database, plant and bridge as processes of their own, and what they cost.

Only loopback is used, everything lives in one temporary folder, and every process started here is ended here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Timer
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

from bridge import settings as configuration
from bridge.plant import Plant
from bridge.store import queries
from bridge.store.connection import Database
from bridge.store.desk import publish_limits
from bridge.store.migrate import migrate
from simulator.process import PlantProcess

ROOT = Path(__file__).resolve().parent.parent
Row = dict[str, Any]
Connection = psycopg.AsyncConnection[Row]

_TEMPLATE = "bench_template"
_number = count(1)


class Failed(RuntimeError):
    """A measurement that could not be made; the message says what was waited for and what was found."""


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A folder and a database server; makes plants, databases and bridges."""

    folder: Path
    server_url: str  # without the name of a database
    server: subprocess.Popen[str]

    async def database(self) -> str:
        """The owner's URL of a fresh migrated database."""
        name = f"bench_{next(_number)}"
        async with await connect(f"{self.server_url}/postgres") as connection:
            await connection.execute(f"create database {name} template {_TEMPLATE}")
        return f"{self.server_url}/{name}"

    def database_processes(self) -> list[psutil.Process]:
        """All processes of the database server."""
        return psutil.Process(self.server.pid).children(recursive=True)

    @asynccontextmanager
    async def plant(self, *arguments: str) -> AsyncIterator[PlantProcess]:
        """A plant on a free port, answering."""
        process = await asyncio.to_thread(PlantProcess.start, *arguments, deadline_s=120.0)
        try:
            yield process
        finally:
            await asyncio.to_thread(process.stop)

    @asynccontextmanager
    async def bridge(self, toml: str, url: str, **environment: str) -> AsyncIterator[Bridge]:
        """A bridge with its limits published, started and ready (its links may still be connecting)."""
        config = self.folder / f"bridge_{next(_number)}.toml"
        config.write_text(toml, encoding="utf-8")
        with cleared_environment(environment):
            found = configuration.load(config)
        owner = Database(url, role=None, size=2, connect_timeout_s=10.0, statement_timeout_s=120.0)
        await owner.open()
        try:
            await publish_limits(owner, queries.load(), Plant.of(found).writable)
        finally:
            await owner.close()
        bridge = await asyncio.to_thread(
            Bridge.start,
            config,
            {
                "BRIDGE_BUFFER__DIR": str(config.with_suffix(".buffer")),
                **environment,
                "BRIDGE_STORE__URL": url,
            },
            config.with_suffix(".log"),
        )
        try:
            yield bridge
        finally:
            await asyncio.to_thread(bridge.stop)


class Bridge:
    """A running `ignition-bridge run`, logging JSON to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @classmethod
    def start(
        cls, config: Path, environment: Mapping[str, str], log: Path, *, ready: str = "bridge.ready"
    ) -> Bridge:
        """Start and wait until it says that it is ready, or what else is to be waited for."""
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("ignition-bridge"), "run"],
                cwd=ROOT,
                env={**_inherited(), "BRIDGE_CONFIG": str(config), **environment},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        bridge = cls(process, log)
        until_s = time.monotonic() + 120.0
        while not bridge.events(ready):
            if process.poll() is not None or time.monotonic() > until_s:
                said = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
                bridge.stop()
                raise Failed(f"the bridge did not start; its log ends with:\n{said}")
            time.sleep(0.05)
        return bridge

    def events(self, *names: str) -> list[Row]:
        """Log lines with one of these events, oldest first."""
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if isinstance(entry, dict) and entry.get("event") in names:
                    found.append(entry)
        return found

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        return cpu_s(self.process.pid)

    def memory_mb(self) -> float:
        """Resident memory in MB (10⁶ bytes)."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1e6

    def stop(self) -> None:
        """Ask it to end, insist after 20 s."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


@contextmanager
def cleared_environment(extra: Mapping[str, str]) -> Iterator[None]:
    """No BRIDGE_ variable of whoever runs the benchmarks reaches them, only those given."""
    before = {name: value for name, value in os.environ.items() if name.startswith("BRIDGE_")}
    for name in before:
        del os.environ[name]
    os.environ.update(extra)
    try:
        yield
    finally:
        for name in extra:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def stand() -> Iterator[Stand]:
    """A stand with a running database server whose template is migrated."""
    folder = Path(tempfile.mkdtemp(prefix="bridge-bench-"))
    folder.chmod(0o755)  # the server runs as another account when we are root
    server = spawn("database", str(folder / "database"), log=folder / "database.log")
    try:
        line = demand_line(server, "postgresql://", folder / "database.log", within_s=60.0)
        server_url = line.rsplit("/", 1)[0]
        asyncio.run(_make_template(server_url))
        yield Stand(folder=folder, server_url=server_url, server=server)
    finally:
        end(server, within_s=20.0)
        shutil.rmtree(folder, ignore_errors=True)


async def _make_template(server_url: str) -> None:
    async with await connect(f"{server_url}/postgres") as connection:
        await connection.execute(f"create database {_TEMPLATE}")
    template = Database(
        f"{server_url}/{_TEMPLATE}", role=None, size=2, connect_timeout_s=10.0, statement_timeout_s=60.0
    )
    await template.open()
    try:
        await migrate(template)
    finally:
        await template.close()


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}


def spawn(what: str, *arguments: str, log: Path) -> subprocess.Popen[str]:
    """Start `python -m benchmarks.child what …`; its stderr goes to `log`."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", what, *arguments],
            cwd=ROOT,
            env=_inherited(),
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
        )


def demand_line(process: subprocess.Popen[str], beginning: str, log: Path, *, within_s: float) -> str:
    """The first line that a child prints; Failed when it is another, or none comes in time."""
    assert process.stdout is not None
    timer = _killer(process, within_s)
    try:
        line = process.stdout.readline().strip()
    finally:
        timer.cancel()
    if not line.startswith(beginning):
        said = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise Failed(f"{beginning!r} was expected within {within_s:g} s, found {line!r}; stderr:\n{said}")
    return line


def _killer(process: subprocess.Popen[str], within_s: float) -> Timer:
    timer = Timer(within_s, process.kill)
    timer.daemon = True
    timer.start()
    return timer


def end(process: subprocess.Popen[str], *, within_s: float) -> None:
    """Ask a child to end (SIGTERM), insist when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


async def connect(url: str, role: str | None = None, *, name: str = "benchmark") -> Connection:
    """A bare connection in autocommit, acting as `role` (None: the owner)."""
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, row_factory=dict_row, application_name=name
    )
    await connection.execute("set timezone to 'UTC'")
    if role is not None:
        await connection.execute("select set_config('role', %s, false)", (role,))
    return connection


async def fetch(connection: Connection, text: str, *values: object) -> list[Row]:
    """The rows of one query."""
    return await (await connection.execute(text, values)).fetchall()


async def number(connection: Connection, text: str, *values: object) -> float:
    """The single number of a query; NaN when it is null."""
    row = (await fetch(connection, text, *values))[0]
    value = next(iter(row.values()))
    return float("nan") if value is None else float(value)


async def until(
    what: str, found: Callable[[], Awaitable[bool]], *, within_s: float, every_s: float = 0.05
) -> float:
    """Wait until `found` says yes and return the seconds it took; Failed when it does not in time."""
    began_s = time.monotonic()
    while not await found():
        if time.monotonic() - began_s > within_s:
            raise Failed(f"{what}: not within {within_s:g} s")
        await asyncio.sleep(every_s)
    return time.monotonic() - began_s


async def readings_from(connection: Connection, equipment: int, *, within_s: float = 60.0) -> None:
    """Wait until readings of so many pieces of equipment were stored."""

    async def heard() -> bool:
        return await number(connection, "select count(distinct equipment_id) from sensor_data") >= equipment

    await until(f"readings of {equipment} equipment", heard, within_s=within_s, every_s=0.25)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, user and system."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


class CpuOfDatabase:
    """CPU seconds of all processes of the database server since this was made, ended ones left out."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._before = self._times()

    def _times(self) -> dict[int, float]:
        found = {}
        for process in self._stand.database_processes():
            with contextlib.suppress(psutil.Error):
                found[process.pid] = cpu_s(process.pid)
        return found

    def used_s(self) -> float:
        """Seconds used since the start."""
        return sum(value - self._before.get(pid, 0.0) for pid, value in self._times().items())


def reactor_toml(
    endpoint: str,
    count: int,
    *,
    signals: Mapping[str, str] | None = None,
    rules: str = "rules = []",
    remedies: str = "remedies = []",
    setpoints: tuple[str, ...] = ("throughput", "cooling"),
    queue_size: int = 0,
) -> str:
    """A configuration for `count` reactors of the simulator.

    signals: node name by signal name; by default the five measured ones. rules, remedies: TOML text inside
    the type; by default none, so that nothing happens on its own. queue_size: 0 is what the bridge chooses.
    """
    chosen = signals or {
        "temperature": "Temperature",
        "pressure": "Pressure",
        "flow_rate": "FlowRate",
        "throughput": "Throughput",
        "state": "State",
    }
    first, last = (name.removeprefix("REACTOR_") for name in (reactors(count)[0], reactors(count)[-1]))
    kinds = {"State": "Int32", "ThroughputSetpoint": "Float"}
    lines = [
        "[agent]",
        'id = "benchmark"',
        "[links.plant]",
        'kind = "opcua"',
        f'endpoint = "{endpoint}"',
        'namespace = "urn:ignition-bridge:plant"',
        "publishing_ms = 100",
        f"queue_size = {queue_size}",
        "[types.reactor]",
        'link = "plant"',
        rules,
        remedies,
        "[types.reactor.signals]",
        *(
            f'{name} = {{ tag = "[default]{{equipment}}/{node}", address = "s={{equipment}}/{node}", '
            f'data_type = "{kinds.get(node, "Double")}", stale_after_s = 3600 }}'
            for name, node in chosen.items()
        ),
    ]
    if "throughput" in setpoints:
        lines += [
            "[types.reactor.setpoints.throughput]",
            'tag = "[default]{equipment}/ThroughputSetpoint"',
            'address = "s={equipment}/ThroughputSetpoint"',
            'data_type = "Float"',
            'unit = "kg/h"',
            "limits = { low = 100, high = 800, max_step = 300, tolerance = 0.5, max_writes_per_hour = 10000 }",
        ]
    if "cooling" in setpoints:
        lines += [
            "[types.reactor.setpoints.cooling]",
            'tag = "[default]{equipment}/CoolingOn"',
            'address = "s={equipment}/CoolingOn"',
            'data_type = "Boolean"',
            "limits = { low = 0, high = 1, max_writes_per_hour = 10000 }",
        ]
    lines += ["[[equipment]]", f'ids = ["REACTOR_{{{first}..{last}}}"]', 'type = "reactor"', ""]
    return "\n".join(lines)


def reactors(count: int) -> list[str]:
    """The simulator's names of so many reactors."""
    digits = max(2, len(str(count)))
    return [f"REACTOR_{number:0{digits}d}" for number in range(1, count + 1)]
