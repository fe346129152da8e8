"""The agent's tables as an OPC UA server: ten thousand nodes, a thousand changes a second, next to bare asyncua."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from dataclasses import dataclass

import psutil
from asyncua import ua
from asyncua.client.client import Client

from benchmarks.bare import Heard, listen
from benchmarks.figures import Figure, Result, tail
from benchmarks.published import path_of
from benchmarks.stand import ROOT, Stand, cpu_s
from bridge.publish.nodes import NAMESPACE

NAME = "publish"
RATE_PER_S = 1000.0
_START_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one server did: values a second at its subscriber, their delays, and what it cost."""

    values_per_s: float
    delays_s: list[float]
    cpu_percent: float
    memory_mb: float
    start_s: float


async def measure(stand: Stand, *, quick: bool) -> Result:
    """One server after the other, one subscriber to every node; takes no stand."""
    nodes, seconds = (500, 1.0) if quick else (10_000, 20.0)
    bare, ours = [await _watch(kind, nodes, seconds) for kind in ("bare", "ours")]
    floor, found = tail(bare.delays_s), tail(ours.delays_s)
    figures = (
        Figure(
            what=f"{nodes:,} nodes, {RATE_PER_S:,.0f} changes/s: arrived",
            value=ours.values_per_s,
            unit="values/s",
            goal=0.98 * RATE_PER_S,
            at_least=True,
            floor=bare.values_per_s,
            note="floor: asyncua's own server, the same changes, without users, roles or methods",
        ),
        Figure(
            what="change to subscriber",
            value=found["p50"] * 1000,
            unit="ms",
            spread={name: value * 1000 for name, value in found.items()},
            floor=floor["p50"] * 1000,
            note="publishing interval 100 ms",
        ),
        Figure(
            what="CPU of the server",
            value=ours.cpu_percent,
            unit="% of a core",
            floor=bare.cpu_percent,
            floor_goal=1.2,
        ),
        Figure(what="memory of the server", value=ours.memory_mb, unit="MB", floor=bare.memory_mb),
        Figure(what="start until it listens", value=ours.start_s, unit="s", floor=bare.start_s),
    )
    return Result(name=NAME, title="The agent's tables over OPC UA", figures=figures)


async def _watch(kind: str, nodes: int, seconds: float) -> Seen:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began_s = time.perf_counter()
    server = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "benchmarks.child",
            "published",
            kind,
            str(port),
            str(nodes),
            str(RATE_PER_S),
        ),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert server.stdout is not None
        async with asyncio.timeout(_START_S):
            while (line := await server.stdout.readline()) != b"ready\n":
                if not line:
                    raise RuntimeError(f"the {kind} server ended before it listened")
        start_s = time.perf_counter() - began_s
        async with Client(f"opc.tcp://127.0.0.1:{port}/agent", timeout=60, watchdog_intervall=30) as client:
            return await _subscribe(client, server.pid, nodes, seconds, start_s)
    finally:
        if server.returncode is None:
            server.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(10):
                    await server.wait()
            except TimeoutError:
                server.kill()
                await server.wait()


async def _subscribe(client: Client, pid: int, nodes: int, seconds: float, start_s: float) -> Seen:
    index = await client.get_namespace_index(NAMESPACE)
    subscription = await client.create_subscription(100, queue_maxsize=500_000)
    wanted = [client.get_node(ua.NodeId(ua.String(path_of(n)), ua.Int16(index))) for n in range(nodes)]
    for first in range(0, nodes, 500):
        await subscription.subscribe_data_change(wanted[first : first + 500], sampling_interval=ua.Double(0))
    heard = Heard()
    listening = asyncio.create_task(listen(subscription, heard))
    try:
        await asyncio.sleep(2.0)  # the first values of all nodes are no changes
        heard.values, heard.delays_s = 0, []
        began_s, used_s = time.perf_counter(), cpu_s(pid)
        await asyncio.sleep(seconds)
        passed_s = time.perf_counter() - began_s
        return Seen(
            values_per_s=heard.values / passed_s,
            delays_s=heard.delays_s,
            cpu_percent=(cpu_s(pid) - used_s) / passed_s * 100,
            memory_mb=psutil.Process(pid).memory_info().rss / 2**20,
            start_s=start_s,
        )
    finally:
        listening.cancel()
