"""The published OPC UA server and a bare one, each in a process of its own, showing the same numbers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import cast

from asyncua import ua
from asyncua.server.server import Server

from bridge.clock import SystemClock
from bridge.domain.reading import Quality
from bridge.publish.nodes import NAMESPACE, Node, NodeType
from bridge.publish.opcua import PublishedServer
from bridge.publish.snapshot import Feed
from bridge.settings import PublishOpcUaSettings

PER_FOLDER = 20
ROUND_S = 0.1

Change = Callable[[list[int], float], Awaitable[None]]


def path_of(number: int) -> str:
    """The node with this number; twenty to a folder, as a piece of equipment has them."""
    return f"Equipment/E{number // PER_FOLDER:04d}/V{number % PER_FOLDER:02d}"


async def serve_until_told(kind: str, port: int, nodes: int, rate_per_s: float) -> None:
    """Show `nodes` values and change `rate_per_s` of them a second, in rounds of 100 ms, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    endpoint = f"opc.tcp://127.0.0.1:{port}/agent"
    change, running = await {"ours": _ours, "bare": _bare}[kind](endpoint, nodes)
    print("ready", flush=True)
    counting = asyncio.create_task(_count(change, nodes, rate_per_s))
    await stop.wait()
    for task in (counting, *running):
        task.cancel()
    await asyncio.gather(counting, *running, return_exceptions=True)


async def _count(change: Change, nodes: int, rate_per_s: float) -> None:
    loop = asyncio.get_running_loop()
    each, step, due_s = round(rate_per_s * ROUND_S), 0, loop.time()
    while True:
        step += 1
        first = step * each
        await change([(first + number) % nodes for number in range(each)], float(step))
        due_s += ROUND_S
        await asyncio.sleep(max(0.0, due_s - loop.time()))


async def _ours(endpoint: str, nodes: int) -> tuple[Change, list[asyncio.Task[None]]]:
    feed = Feed()
    now = datetime.now(UTC)
    shown: Mapping[str, Node] = {
        path_of(number): Node(0.0, NodeType.DOUBLE, "", now, Quality.GOOD, "") for number in range(nodes)
    }
    feed.put(shown, [])
    settings = PublishOpcUaSettings(endpoint=endpoint)
    server = PublishedServer(settings, feed, None, SystemClock(), agent_id="benchmark")
    up = asyncio.Event()
    task = asyncio.create_task(server.run(up.set))
    feed.put(shown, [])

    async def change(numbers: list[int], value: float) -> None:
        nonlocal shown
        moment = datetime.now(UTC)
        shown = dict(shown)
        for number in numbers:
            path = path_of(number)
            shown[path] = shown[path]._replace(value=value, source_time_utc=moment)
        feed.put(shown, [])

    while not up.is_set():
        feed.again()
        await asyncio.wait([task], timeout=0.05)
        if task.done():
            task.result()
    return change, [task]


async def _bare(endpoint: str, nodes: int) -> tuple[Change, list[asyncio.Task[None]]]:
    server = Server()
    await server.init()
    server.set_endpoint(endpoint)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = ua.Int16(await server.register_namespace(NAMESPACE))
    ids = []
    for number in range(nodes):
        path = path_of(number)
        if number % PER_FOLDER == 0:
            folder = await server.nodes.objects.add_folder(ua.NodeId(ua.String(path[:-4]), index), path[:-4])
        made = await folder.add_variable(
            ua.NodeId(ua.String(path), index), path[-3:], 0.0, ua.VariantType.Double
        )
        ids.append(made.nodeid)
    await server.start()

    async def change(numbers: list[int], value: float) -> None:
        moment = cast("ua.DateTime", datetime.now(UTC))
        for number in numbers:
            told = ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=moment)
            await server.write_attribute_value(ids[number], told)

    return change, []
