"""An edge node in a process of its own, to be killed: ``python edge_runner.py BROKER OUTBOX [--unproved]``.

Shows what stdin orders, one JSON object a line: ``{"second": 1, "polls": 8}`` as `edge_stand.plant` takes it.
Prints ``shown N`` when as many changes wait on disk: the broker is away, or, with --unproved, its proof never comes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from edge_stand import plant, sparkplug
from publish_stand import until

from bridge.clock import SystemClock
from bridge.links.mqtt import MqttWire
from bridge.publish.edge import EdgePublisher, Heard, OpenWire
from bridge.publish.edge_node import Phase
from bridge.publish.snapshot import Feed
from bridge.settings import PublishSparkplugSettings
from bridge.wiring import edge_wire


def without_proof(open_wire: OpenWire) -> OpenWire:
    """The same wires, whose round trips never come back."""

    async def never() -> None:
        await asyncio.Event().wait()

    def opened(will: tuple[str, bytes] | None, heard: Heard) -> MqttWire:
        wire = open_wire(will, heard)
        assert isinstance(wire, MqttWire)
        wire.probe = never  # type: ignore[method-assign]  # on purpose
        return wire

    return opened


async def main(broker: str, folder: Path, unproved: bool) -> None:
    settings: PublishSparkplugSettings = sparkplug(broker, folder, deadline_s=60.0 if unproved else 3.0)
    feed = Feed()
    feed.put(plant(), [])
    clock = SystemClock()
    open_wire = edge_wire(settings, clock)
    publisher = EdgePublisher(settings, feed, clock, without_proof(open_wire) if unproved else open_wire)
    running = asyncio.create_task(publisher.run())

    async def running_now() -> bool:
        status = publisher.status()
        return status.phase is not Phase.AWAY or bool(status.detail)

    await until(running_now)  # the first nodes are shown by now
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    count = 0
    while line := await orders.readline():
        count += 1
        feed.put(plant(**json.loads(line)), [])

        async def on_disk(wanted: int = count) -> bool:
            return unproved or publisher.status().waiting == wanted

        await until(on_disk)
        sys.stdout.write(f"shown {count}\n")
        sys.stdout.flush()
    running.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), "--unproved" in sys.argv))
