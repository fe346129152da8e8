"""A host application of a few lines: what one edge node and its devices say of themselves at this moment."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final

from simulator.mqtt.client import Connection, Incoming, Outgoing
from simulator.sparkplug import wire_format
from simulator.sparkplug.payload import DataType, Metric, MetricContent, Payload

_BIRTHS: Final = ("NBIRTH", "DBIRTH")


class NotHeard(Exception):
    """The edge node did not tell what was waited for; the message says what was missing."""


async def births_of(
    broker: str, group: str, node: str, wanted: set[str], *, within_s: float
) -> dict[str, MetricContent | None]:
    """Ask for a rebirth and collect metrics until those wanted are there.

    Names are ``Metric`` for the node's own and ``DEVICE/Metric`` for a device's. Raises ``NotHeard``.
    """
    birth = re.compile(rf"spBv1\.0/{re.escape(group)}/(NBIRTH|DBIRTH)/{re.escape(node)}(/(?P<device>[^/]+))?")
    found: dict[str, MetricContent | None] = {}
    complete = asyncio.Event()

    def hear(message: Incoming) -> None:
        # amqtt brings a retained message to subscribers of other topics too (seen with STATE).
        match = birth.fullmatch(message.topic)
        if match is not None:
            device = [match["device"]] if match["device"] else []
            for metric in wire_format.decode(message.payload).metrics:
                if metric.name is not None:
                    found["/".join((*device, metric.name))] = None if metric.is_null else metric.value
        if wanted <= found.keys():
            complete.set()

    connection = Connection(broker, client_id=f"listener-{time.time_ns()}", heard=hear)
    await connection.open()
    try:
        kinds = [f"spBv1.0/{group}/{kind}/{node}" for kind in _BIRTHS]
        await connection.subscribe([(kinds[0], 0), (f"{kinds[1]}/+", 0)])
        connection.publish(_rebirth(f"spBv1.0/{group}/NCMD/{node}"))
        try:
            async with asyncio.timeout(within_s):
                await complete.wait()
        except TimeoutError as error:
            missing = ", ".join(sorted(wanted - found.keys()))
            raise NotHeard(f"{group}/{node} did not tell within {within_s:g} s: {missing}") from error
    finally:
        await connection.close()
    return found


def _rebirth(topic: str) -> Outgoing:
    now_ms = time.time_ns() // 1_000_000
    asked = Metric(name="Node Control/Rebirth", timestamp_ms=now_ms, datatype=DataType.Boolean, value=True)
    return Outgoing(topic=topic, payload=wire_format.encode(Payload(timestamp_ms=now_ms, metrics=(asked,))))
