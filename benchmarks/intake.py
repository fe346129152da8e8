"""Readings taken in, checked and stored: paced and flooded, against a bare subscriber to the same server."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks import bare
from benchmarks.figures import Figure, Result, quantile, shown, tail
from benchmarks.stand import (
    Bridge,
    Connection,
    CpuOfDatabase,
    Failed,
    Stand,
    connect,
    cpu_s,
    fetch,
    number,
    reactor_toml,
    reactors,
    readings_from,
)
from simulator.process import PlantProcess

NAME = "intake"
PACED_PER_S = 10_000
_RAMP_PER_S = (15_000, 20_000, 25_000, 30_000)
_TICK_S = 0.097
GOAL_PER_S, GOAL_CPU_US = 15_000.0, 40.0
GOAL_P50_MS, GOAL_P99_MS = 120.0, 250.0
_QUEUE = 1000  # values the server keeps per node: what is to be seen is the bridge's limit, not that queue's
_MEASURED = ("Temperature", "Pressure", "FlowRate", "Throughput")


@dataclass(frozen=True, kw_only=True)
class _Load:
    """What the plant does.

    queue_size: values that the server keeps per node between two publishes (0: what the bridge asks for, 10).
    """

    equipment: int
    plant: tuple[str, ...]
    queue_size: int
    per_s: float

    @classmethod
    def in_step(cls, per_s: int) -> _Load:
        """About so many values a second; all reactors speak each 97 ms, so that against a publishing interval of
        100 ms every phase occurs. What the plant cannot do in time it leaves out."""
        equipment = round(per_s * _TICK_S / len(_MEASURED))
        return cls(
            equipment=equipment,
            plant=("--tick", str(_TICK_S)),
            queue_size=_QUEUE,
            per_s=equipment * len(_MEASURED) / _TICK_S,
        )

    @classmethod
    def spread(cls, per_s: int) -> _Load:
        """So many values a second, round and round over more nodes than speak in one slot of 100 ms; what the
        plant cannot do in time it makes up for."""
        equipment = max(50, per_s // 25)
        return cls(equipment=equipment, plant=("--rate", str(per_s)), queue_size=_QUEUE, per_s=float(per_s))


@dataclass(frozen=True, kw_only=True)
class _Bare:
    per_s: float
    emitted_per_s: float
    cpu_us: float
    delays_ms: list[float]


@dataclass(frozen=True, kw_only=True)
class _Bridged:
    emitted: int
    stored: int
    seconds: float
    bridge_us: float
    database_us: float
    plant_cpu: float  # share of one core
    received_ms: dict[str, float]
    committed_ms: dict[str, float]
    late_ms: tuple[float, float]  # median delay to commit in the first and the last second
    overflowed: int
    dropped: int
    memory_mb: tuple[float, float]  # at the beginning and the end of the window

    @property
    def stored_per_s(self) -> float:
        return self.stored / self.seconds


@dataclass(frozen=True, kw_only=True)
class _Window:
    """What was seen of the processes while the bridge ran; the rest is in the database."""

    emitted: int
    first_utc: datetime
    last_utc: datetime
    bridge_s: float
    database_s: float
    plant_cpu: float
    memory_mb: tuple[float, float]


async def measure(stand: Stand, *, quick: bool) -> Result:
    """1,000 measured nodes: 10,000 values a second, then all that one server can serve, then more than that."""
    seconds = 2.0 if quick else 5.0
    paced = _Load.in_step(500 if quick else PACED_PER_S)
    full = await _full(tuple(_Load.spread(rate) for rate in ((2000,) if quick else _RAMP_PER_S)))
    paced_bare, paced_found = await _at(stand, paced, seconds)
    full_bare, full_found = await _at(stand, full, seconds)
    # The plant now sets values as fast as it can, whether the server keeps up or not: its queues overflow.
    flood = _Load(equipment=20 if quick else 250, plant=("--rate", "0"), queue_size=0, per_s=0.0)
    flood_bare, flood_found = await _at(stand, flood, seconds)
    at = f"{PACED_PER_S:,}/s"
    return Result(
        name=NAME,
        title=f"Readings taken in, checked and stored (100 ms publishing, {seconds:g} s windows)",
        figures=(
            Figure(
                what="stored, all that one server can serve",
                value=full_found.stored_per_s,
                unit="values/s",
                goal=GOAL_PER_S,
                at_least=True,
                floor=full_bare.per_s,
                note=f"asked of the server {shown(full.per_s)}/s, the highest of some rates that a bare subscriber "
                f"receives in full; beside the bridge it emitted {shown(full_found.emitted / full_found.seconds)}/s",
            ),
            _lost(full_found, "full rate"),
            Figure(
                what="CPU per value, bridge, full rate",
                value=full_found.bridge_us,
                unit="µs",
                goal=GOAL_CPU_US,
                floor=full_bare.cpu_us,
            ),
            Figure(
                what="CPU per value, bridge and database, full rate",
                value=full_found.bridge_us + full_found.database_us,
                unit="µs",
                goal=GOAL_CPU_US,
                floor=full_bare.cpu_us,
                note=f"of these {shown(full_found.database_us)} µs in PostgreSQL",
            ),
            _lost(paced_found, at),
            Figure(
                what=f"CPU per value, bridge, {at}",
                value=paced_found.bridge_us,
                unit="µs",
                floor=paced_bare.cpu_us,
                note=f"and {shown(paced_found.database_us)} µs in PostgreSQL",
            ),
            Figure(
                what=f"source → received, p50, {at}",
                value=paced_found.received_ms["p50"],
                unit="ms",
                spread=paced_found.received_ms,
                goal=GOAL_P50_MS,
                floor=quantile(paced_bare.delays_ms, 0.5),
            ),
            Figure(
                what=f"source → received, p99, {at}",
                value=paced_found.received_ms["p99"],
                unit="ms",
                goal=GOAL_P99_MS,
                floor=quantile(paced_bare.delays_ms, 0.99),
            ),
            Figure(
                what=f"source → committed row, p50, {at}",
                value=paced_found.committed_ms["p50"],
                unit="ms",
                spread=paced_found.committed_ms,
                note="stored in batches each flush_s = 0.1 s",
            ),
            Figure(
                what="flooded: stored",
                value=flood_found.stored_per_s,
                unit="values/s",
                goal=GOAL_PER_S,
                at_least=True,
                floor=flood_bare.per_s,
                note=f"the plant set {shown(flood_found.emitted / flood_found.seconds)} values/s, of which its "
                f"server's queues of 10 keep what they can; the bridge counted {flood_found.overflowed:,} overflowed "
                f"and {flood_found.dropped:,} dropped",
            ),
            Figure(
                what="flooded: lag at the end, source → committed, median of the last second",
                value=flood_found.late_ms[1],
                unit="ms",
                spread={"first second": flood_found.late_ms[0], "last second": flood_found.late_ms[1]},
                floor=quantile(flood_bare.delays_ms, 0.5),
            ),
            Figure(
                what="flooded: growth of the bridge's resident memory",
                value=flood_found.memory_mb[1] - flood_found.memory_mb[0],
                unit="MB",
                spread={"begin": flood_found.memory_mb[0], "end": flood_found.memory_mb[1]},
            ),
        ),
        notes=(
            f"full rate, source → committed: {_words(full_found.committed_ms)}; the plant used "
            f"{full_found.plant_cpu:.0%} of a core; "
            f"bare subscriber, source → received: {_words(tail(full_bare.delays_ms))}",
        ),
    )


def _lost(found: _Bridged, at: str) -> Figure:
    return Figure(
        what=f"lost of what was emitted, {at}",
        value=100 * (1 - found.stored / found.emitted),
        unit="%",
        goal=0.0,
        note=f"{found.emitted - found.stored:,} of {found.emitted:,} at {shown(found.emitted / found.seconds)}/s; "
        f"the bridge counted {found.overflowed:,} overflowed and {found.dropped:,} dropped",
    )


async def _full(loads: tuple[_Load, ...]) -> _Load:
    """The highest of these loads of which a bare subscriber receives at least 97 %."""
    best = loads[0]
    for load in loads:
        process = await asyncio.to_thread(PlantProcess.start, "--equipment", str(load.equipment), *load.plant)
        try:
            found = await _bare(process.endpoint, load, 1.5)
        finally:
            await asyncio.to_thread(process.stop)
        if found.per_s < 0.97 * load.per_s:
            break
        best = load
    return best


def _words(spread: dict[str, float]) -> str:
    return ", ".join(f"{name} {shown(value)} ms" for name, value in spread.items())


async def _at(stand: Stand, load: _Load, seconds: float) -> tuple[_Bare, _Bridged]:
    url = await stand.database()
    async with (
        stand.plant("--equipment", str(load.equipment), *load.plant) as plant,
        await connect(url) as owner,
    ):
        alone = await _bare(plant.endpoint, load, min(seconds, 4.0))
        toml = reactor_toml(plant.endpoint, load.equipment, queue_size=load.queue_size)
        async with stand.bridge(toml, url) as bridge:
            await readings_from(owner, load.equipment)
            window = await _watch(stand, plant, bridge, seconds)
        # Stopped, the bridge has stored what was on its way and told its counters for the last time.
        return alone, await _evaluate(owner, window)


async def _bare(endpoint: str, load: _Load, seconds: float) -> _Bare:
    names = [f"{name}/{node}" for name in reactors(load.equipment) for node in _MEASURED]
    heard = bare.Heard()
    async with (
        bare.client_of(endpoint) as client,
        bare.subscribed(client, names, queue_size=load.queue_size or 10) as subscription,
    ):
        task = asyncio.create_task(bare.listen(subscription, heard))
        await asyncio.sleep(1.5)
        (counter,) = await bare.nodes_of(client, ["Plant/ValueCount"])
        first_count, first_utc = await bare.read(counter)
        heard.values, heard.delays_s = 0, []
        cpu_before_s, began_s = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        took_s = time.monotonic() - began_s
        values, used_s = heard.values, time.process_time() - cpu_before_s
        last_count, last_utc = await bare.read(counter)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return _Bare(
        per_s=values / took_s,
        emitted_per_s=(last_count - first_count) / (last_utc - first_utc).total_seconds(),
        cpu_us=used_s / values * 1e6,
        delays_ms=[delay_s * 1e3 for delay_s in heard.delays_s],
    )


async def _watch(stand: Stand, plant: PlantProcess, bridge: Bridge, seconds: float) -> _Window:
    await asyncio.sleep(2.0)
    async with bare.client_of(plant.endpoint) as client:
        (counter,) = await bare.nodes_of(client, ["Plant/ValueCount"])
        database = CpuOfDatabase(stand)
        bridge_s, plant_s, began_s = bridge.cpu_s(), cpu_s(plant.process.pid), time.monotonic()
        memory_before_mb = bridge.memory_mb()
        first_count, first_utc = await bare.read(counter)
        await asyncio.sleep(seconds)
        last_count, last_utc = await bare.read(counter)
        window = _Window(
            emitted=int(last_count - first_count),
            first_utc=first_utc,
            last_utc=last_utc,
            bridge_s=bridge.cpu_s() - bridge_s,
            database_s=database.used_s(),
            plant_cpu=(cpu_s(plant.process.pid) - plant_s) / (time.monotonic() - began_s),
            memory_mb=(memory_before_mb, bridge.memory_mb()),
        )
    await asyncio.sleep(1.0)  # what was emitted in the window may still be on its way
    return window


async def _evaluate(owner: Connection, found: _Window) -> _Bridged:
    window = (found.first_utc, found.last_utc)
    stored = await stored_values(owner, *window)
    health = (await fetch(owner, "select detail from agent_health"))[0]["detail"]
    spreads = {}
    for name, moment in (
        ("received", "received_timestamp"),
        ("committed", "pg_xact_commit_timestamp(xmin)"),
    ):
        row = (
            await fetch(
                owner,
                "select percentile_disc(array[0.5, 0.99, 1]) within group (order by"
                f" extract(epoch from {moment} - timestamp) * 1000) as ms from sensor_data"
                " where timestamp > %s and timestamp <= %s",
                *window,
            )
        )[0]["ms"]
        spreads[name] = dict(zip(("p50", "p99", "max"), map(float, row), strict=True))
    # By commit, not by source: what is late is not stored yet in the second in which it arose.
    late = [
        await number(
            owner,
            "select percentile_disc(0.5) within group (order by extract(epoch from"
            " pg_xact_commit_timestamp(xmin) - timestamp) * 1000) from sensor_data"
            " where pg_xact_commit_timestamp(xmin) between %s and %s",
            begin_utc,
            begin_utc + timedelta(seconds=1),
        )
        for begin_utc in (found.first_utc, found.last_utc - timedelta(seconds=1))
    ]
    if any(math.isnan(value) for value in late):
        raise Failed("nothing was stored in the first or in the last second of the window")
    return _Bridged(
        emitted=found.emitted,
        stored=stored,
        seconds=(found.last_utc - found.first_utc).total_seconds(),
        bridge_us=found.bridge_s / max(stored, 1) * 1e6,
        database_us=found.database_s / max(stored, 1) * 1e6,
        plant_cpu=found.plant_cpu,
        received_ms=spreads["received"],
        committed_ms=spreads["committed"],
        late_ms=(late[0], late[1]),
        overflowed=int(health["links"]["plant"]["overflowed"]),
        dropped=int(health["readings_dropped"]),
        memory_mb=found.memory_mb,
    )


async def stored_values(owner: Connection, after_utc: datetime, until_utc: datetime) -> int:
    """Measured values with a source timestamp in (after, until]; one row holds up to four."""
    return int(
        await number(
            owner,
            "select coalesce(sum(num_nonnulls(temperature, pressure, flow_rate)"
            " + (coalesce(signals ? 'throughput', false))::int), 0)"
            " from sensor_data where timestamp > %s and timestamp <= %s",
            after_utc,
            until_utc,
        )
    )
