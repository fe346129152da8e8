"""Sparkplug messages through the link, against a bare paho subscriber that decodes the same payloads."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.figures import Figure, Result, runs, shown, tail
from benchmarks.sparkplug_stub import DEVICE, GROUP, NODE, PER_MESSAGE, link_to, only_errors, tags
from benchmarks.stand import Failed, Stand, demand_line, end, spawn
from bridge.ports import LinkState, WriteResult
from bridge.sparkplug.payload import Received, encode
from bridge.sparkplug.types import Metric, MetricType, Payload

NAME = "mqtt"
GOAL_SHARE = 0.6
GOAL_MEMORY_MB = 150.0
_METRICS = 1000
_MANY = 20_000


@dataclass(frozen=True, kw_only=True)
class _Flood:
    per_s: float
    cpu_us: float


class _Bare:
    """What a program needs at least: paho's own loop, and each payload decoded to aliases and numbers."""

    def __init__(self, broker: str) -> None:
        where = urlsplit(broker)
        self.messages = 0
        self.values: dict[int, float] = {}
        self.wanted = 0
        self.done = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="bare")
        self._client.on_message = self._heard
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_connect = self._connected
        assert where.hostname is not None
        self._client.connect(where.hostname, where.port or 1883)
        self._client.loop_start()
        if not subscribed.wait(5):
            raise Failed("the bare subscriber was not answered within 5 s")

    def _connected(self, *_: object) -> None:
        self._client.subscribe(f"spBv1.0/{GROUP}/DDATA/{NODE}/+", 0)

    def _heard(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        for entry in Received(bytes(message.payload)).entries:
            self.values[entry.alias] = entry.double_value
        self.messages += 1
        if self.messages >= self.wanted:
            self.done.set()

    def take(self, number: int) -> _Flood:
        """Ask for so many messages and count them in."""
        self.messages, self.wanted = 0, number
        self.done.clear()
        cpu_s, began_s = time.process_time(), time.monotonic()
        self._client.publish(f"go/{number}", b"", 0)
        if not self.done.wait(60):
            raise Failed(f"{self.messages} of {number} messages came within 60 s")
        return _flood(number, cpu_s, began_s)

    def command_ms(self, value: float) -> float:
        """Send a DCMD and wait for the DDATA that reports it."""
        metric = Metric(alias=0, timestamp_ms=int(time.time() * 1000), type=MetricType.DOUBLE, value=value)
        payload = encode(Payload(timestamp_ms=metric.timestamp_ms, metrics=(metric,)))
        self.messages, self.wanted = 0, 1
        self.done.clear()
        began_s = time.monotonic()
        self._client.publish(f"spBv1.0/{GROUP}/DCMD/{NODE}/{DEVICE}", payload, 0)
        if not self.done.wait(5):
            raise Failed("a bare command was not confirmed within 5 s")
        return (time.monotonic() - began_s) * 1000

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _flood(number: int, cpu_s: float, began_s: float) -> _Flood:
    return _Flood(
        per_s=number / (time.monotonic() - began_s), cpu_us=(time.process_time() - cpu_s) / number * 1e6
    )


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Floods in turns, the link and the bare subscriber; then commands; then a birth of 20,000 metrics."""
    number, rounds, commands = (3_000, 1, 20) if quick else (60_000, 3, 500)
    only_errors()
    log = stand.folder / "sparkplug.log"
    node = spawn("node", str(_METRICS), log=log)
    try:
        broker = demand_line(node, "mqtt://", log, within_s=30.0)
        ours, bare = [], []
        for _ in range(rounds):
            bare.append(await asyncio.to_thread(_bare_flood, broker, number))
            ours.append(await _link_flood(broker, number))
        latencies_ms = await _commands(broker, commands)
        bare_ms = await asyncio.to_thread(_bare_commands, broker, commands)
    finally:
        end(node, within_s=5.0)
    before_mb, after_mb = await asyncio.to_thread(_memory, stand, _METRICS if quick else _MANY)
    rate, cpu = runs([found.per_s for found in ours]), runs([found.cpu_us for found in ours])
    return Result(
        name=NAME,
        title=f"Sparkplug through the link ({PER_MESSAGE} metrics per message, MQTT 3.1.1, no broker between)",
        figures=(
            Figure(
                what="messages through the link",
                value=rate["median"],
                unit="messages/s",
                spread=rate,
                at_least=True,
                floor=median([found.per_s for found in bare]),
                floor_goal=GOAL_SHARE,
                note=f"of them {shown(rate['median'] * PER_MESSAGE)} readings/s; sequence checked, quality and time "
                "kept, in batches at the consumer",
            ),
            Figure(
                what="CPU per message, link",
                value=cpu["median"],
                unit="µs",
                spread=cpu,
                floor=median([found.cpu_us for found in bare]),
            ),
            Figure(
                what="DCMD → confirmed by DDATA",
                value=tail(latencies_ms)["p50"],
                unit="ms",
                spread=tail(latencies_ms),
                floor=tail(bare_ms)["p50"],
                note="the node answers at once",
            ),
            Figure(
                what=f"resident memory for {_METRICS if quick else _MANY:,} metrics",
                value=after_mb - before_mb,
                unit="MB",
                spread={"before": before_mb, "after": after_mb},
                goal=GOAL_MEMORY_MB,
            ),
        ),
    )


def _bare_flood(broker: str, number: int) -> _Flood:
    bare = _Bare(broker)
    try:
        return bare.take(number)
    finally:
        bare.close()


def _bare_commands(broker: str, number: int) -> list[float]:
    bare = _Bare(broker)
    try:
        return [bare.command_ms(float(value)) for value in range(1, number + 1)]
    finally:
        bare.close()


async def _link_flood(broker: str, number: int) -> _Flood:
    link = link_to(broker, tags(_METRICS))
    running = asyncio.create_task(link.run())
    try:
        heard, wanted = 0, _METRICS
        cpu_s = began_s = 0.0
        async with asyncio.timeout(60):
            async for batch in link.readings():
                heard += sum(not reading.confirmed for reading in batch)
                if heard < wanted:
                    continue
                if began_s:
                    break
                heard, wanted = 0, number * PER_MESSAGE
                cpu_s, began_s = time.process_time(), time.monotonic()
                await _go(broker, number)
        if link.status().overflowed:
            raise Failed(f"{link.status().overflowed} readings overflowed")
        return _flood(number, cpu_s, began_s)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _go(broker: str, number: int) -> None:
    where = urlsplit(broker)
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    topic = f"go/{number}".encode()
    writer.write(b"\x30" + bytes((2 + len(topic),)) + len(topic).to_bytes(2, "big") + topic)
    await writer.drain()
    writer.close()


async def _commands(broker: str, number: int) -> list[float]:
    wanted = tags(_METRICS)
    link = link_to(broker, wanted)
    running = asyncio.create_task(link.run())

    async def consume() -> None:
        async for _ in link.readings():
            pass

    consuming = asyncio.create_task(consume())
    try:
        until_s = time.monotonic() + 20
        while link.status().state is not LinkState.FLOWING:
            if time.monotonic() > until_s:
                raise Failed(f"the link did not flow within 20 s: {link.status().detail}")
            await asyncio.sleep(0.05)
        found = []
        for value in range(1, number + 1):
            began_s = time.monotonic()
            (outcome,) = await link.write([(wanted[0], float(value))], deadline_s=2.0)
            found.append((time.monotonic() - began_s) * 1000)
            if outcome.result is not WriteResult.ACCEPTED:
                raise Failed(f"a command ended {outcome.result}: {outcome.detail}")
        return found
    finally:
        for task in (running, consuming):
            task.cancel()
        await asyncio.gather(running, consuming, return_exceptions=True)


def _memory(stand: Stand, metrics: int) -> tuple[float, float]:
    log = stand.folder / "sparkplug.log"
    node = spawn("node", str(metrics), log=log)
    try:
        broker = demand_line(node, "mqtt://", log, within_s=30.0)
        link = spawn("link", broker, str(metrics), log=log)
        try:
            _, before, after = demand_line(link, "held ", log, within_s=60.0).split()
        finally:
            end(link, within_s=10.0)
    finally:
        end(node, within_s=5.0)
    return float(before), float(after)
