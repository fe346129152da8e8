"""An edge node and its broker in one process, as fast as a socket takes it; and a link that only waits.

It speaks as much of MQTT 3.1.1 as one host application and one bare subscriber need. A message on `go/NUMBER`
makes it send so many DDATA messages to everybody who has subscribed; a DCMD is answered by the DDATA that reports
its value; what leads to births are the host's STATE and a rebirth request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

import psutil
import structlog

from bridge.clock import SystemClock
from bridge.domain.limits import WriteLimits
from bridge.domain.tag import DataType, Route, Tag
from bridge.links.mqtt_frames import Frames
from bridge.links.sparkplug_link import SparkplugLink
from bridge.settings import SparkplugLinkSettings
from bridge.sparkplug.payload import decode, encode
from bridge.sparkplug.types import Metric, MetricType, Payload

GROUP, NODE, DEVICE = "Plant", "Edge", "Cell"
PER_MESSAGE = 10
_PIECE = 200  # messages per write of a flood
_LIMITS = WriteLimits(low=-1e12, high=1e12)


def tags(number: int) -> list[Tag]:
    """The metrics of the node as tags, all of them writable."""
    return [
        Tag(
            path=f"[default]Cell/M{place}",
            equipment_id=f"E{place // PER_MESSAGE}",
            link="plant",
            route=Route.MQTT,
            address=f"{GROUP}/{NODE}/{DEVICE}:M{place}",
            data_type=DataType.DOUBLE,
            limits=_LIMITS,
        )
        for place in range(number)
    ]


def link_to(broker: str, wanted: Sequence[Tag]) -> SparkplugLink:
    """A link as the bridge makes it."""
    settings = SparkplugLinkSettings.model_validate(
        {"broker": broker, "version": "3.1.1", "host_id": "benchmark", "buffer_values": 2_000_000}
    )
    return SparkplugLink("plant", settings, wanted, SystemClock())


def only_errors() -> None:
    """A link tells of its sessions on standard output, where figures are expected."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def packet(command: int, body: bytes) -> bytes:
    """One MQTT packet."""
    length, found = len(body), bytearray((command,))
    while True:
        length, low = divmod(length, 128)
        found.append(low | (0x80 if length else 0))
        if not length:
            return bytes(found) + body


def publish(topic: str, payload: bytes) -> bytes:
    """A PUBLISH of QoS 0."""
    name = topic.encode()
    return packet(0x30, len(name).to_bytes(2, "big") + name + payload)


class _Node:
    def __init__(self, metrics: int) -> None:
        self._names = [f"M{place}" for place in range(metrics)]
        self._seq = 0
        self._writers: set[asyncio.StreamWriter] = set()
        now_ms = _now_ms()
        # One message for each number of the sequence; its values come again with each turn, as rates do.
        self._flood = [
            self._data(
                [((number * PER_MESSAGE + one) % metrics, float(number)) for one in range(PER_MESSAGE)],
                now_ms,
                number,
            )
            for number in range(256)
        ]

    def _data(self, values: Sequence[tuple[int, float]], now_ms: int, seq: int) -> bytes:
        metrics = tuple(
            Metric(alias=place, timestamp_ms=now_ms, type=MetricType.DOUBLE, value=value)
            for place, value in values
        )
        payload = encode(Payload(timestamp_ms=now_ms, metrics=metrics, seq=seq), with_types=False)
        return publish(f"spBv1.0/{GROUP}/DDATA/{NODE}/{DEVICE}", payload)

    def _births(self) -> bytes:
        now_ms = _now_ms()
        bd_seq = Metric(name="bdSeq", timestamp_ms=now_ms, type=MetricType.INT64, value=0)
        own = encode(Payload(timestamp_ms=now_ms, metrics=(bd_seq,), seq=0))
        metrics = tuple(
            Metric(name=name, alias=place, timestamp_ms=now_ms, type=MetricType.DOUBLE, value=0.0)
            for place, name in enumerate(self._names)
        )
        device = encode(Payload(timestamp_ms=now_ms, metrics=metrics, seq=1))
        self._seq = 1
        return publish(f"spBv1.0/{GROUP}/NBIRTH/{NODE}", own) + publish(
            f"spBv1.0/{GROUP}/DBIRTH/{NODE}/{DEVICE}", device
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames(2**24, version_5=False)
        try:
            while data := await reader.read(65_536):
                for content, _ in frames.feed(data):
                    await self._take(content, writer)
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _take(self, content: bytes, writer: asyncio.StreamWriter) -> None:
        kind, body = content[0] >> 4, content[2:] if content[1] < 0x80 else content[3:]
        if kind == 1:
            writer.write(b"\x20\x02\x00\x00")
        elif kind == 8:
            self._writers.add(writer)
            writer.write(packet(0x90, body[:2] + _granted(body[2:])))
        elif kind == 10:
            writer.write(packet(0xB0, body[:2]))
        elif kind == 12:
            writer.write(b"\xd0\x00")
        elif kind == 3:
            size = int.from_bytes(body[:2], "big")
            topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
            if content[0] & 0x06:
                writer.write(packet(0x40, rest[:2]))
                rest = rest[2:]
            await self._heard(topic, rest, writer)

    async def _heard(self, topic: str, payload: bytes, writer: asyncio.StreamWriter) -> None:
        if topic.startswith("go/"):
            await self._send_flood(int(topic[3:]))
        elif "/NCMD/" in topic or ("/STATE/" in topic and b"true" in payload):
            writer.write(self._births())
        elif "/DCMD/" in topic:
            asked = decode(payload).metrics[0]
            place = self._names.index(asked.name or "") if asked.alias is None else asked.alias
            assert isinstance(asked.value, float)
            self._seq = (self._seq + 1) % 256
            writer.write(self._data([(place, asked.value)], _now_ms(), self._seq))

    async def _send_flood(self, number: int) -> None:
        while number:
            piece = min(number, _PIECE)
            sending = []
            for _ in range(piece):
                self._seq = (self._seq + 1) % 256
                sending.append(self._flood[self._seq])
            number -= piece
            for writer in tuple(self._writers):
                writer.write(b"".join(sending))
                await writer.drain()


def _granted(body: bytes) -> bytes:
    """The QoS asked for each filter of a SUBSCRIBE."""
    found, at = bytearray(), 0
    while at < len(body):
        at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
        found.append(body[at - 1] & 0x03)
    return bytes(found)


def _now_ms() -> int:
    return int(time.time() * 1000)


async def serve(metrics: int) -> None:
    """Serve until told to end; prints the broker's address first."""
    server = await asyncio.start_server(_Node(metrics).serve, "127.0.0.1", 0)
    print(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


async def hold(broker: str, metrics: int) -> None:
    """Connect a link, wait until every metric is known, and print resident memory before and after, in MB."""
    only_errors()
    wanted = tags(metrics)
    memory = psutil.Process().memory_info
    before = memory().rss
    link = link_to(broker, wanted)
    running = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(60):
            heard = 0
            async for batch in link.readings():
                heard += len(batch)
                if heard >= metrics:
                    break
        print(f"held {before / 2**20:.1f} {memory().rss / 2**20:.1f}", flush=True)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
