"""A broker that answers just enough, and writes down the packets of one client in their order."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import NamedTuple

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 10, 12, 14


class Packet(NamedTuple):
    """One packet; `flags` are the lower four bits of its first byte. Empty where it has no such part."""

    kind: int
    flags: int
    body: bytes
    topics: tuple[str, ...] = ()
    payload: bytes = b""


class Will(NamedTuple):
    """What a CONNECT packet asks for; `expiry_s` is None where none was given, which means none."""

    clean: bool
    qos: int
    retain: bool
    topic: str
    payload: bytes
    expiry_s: int | None


class RecordingBroker:
    """Listens on a free port of this machine for the length of a `with`."""

    def __init__(self, version: str) -> None:
        self.five = version == "5"
        self.packets: list[Packet] = []
        self.port = 0

    async def __aenter__(self) -> RecordingBroker:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def until(self, kind: int, topic: str = "") -> Packet:
        """The first packet of a kind, about a topic; TimeoutError when it does not come within half a minute."""
        async with asyncio.timeout(30):
            while True:
                for packet in self.packets:
                    if packet.kind == kind and (not topic or topic in packet.topics):
                        return packet
                await asyncio.sleep(0.01)

    def will(self) -> Will:
        """What the first packet, a CONNECT, says."""
        body = self.packets[0].body
        at = 2 + struct.unpack_from(">H", body)[0] + 1
        flags = body[at]
        at += 3
        expiry_s = None
        if self.five:
            length, at = body[at], at + 1
            if body[at : at + 1] == b"\x11":
                (expiry_s,) = struct.unpack_from(">I", body, at + 1)
            at += length
        _, at = _text(body, at)  # the client id
        if self.five:
            at += 1 + body[at]
        topic, at = _text(body, at)
        payload, at = _text(body, at)
        return Will(bool(flags & 2), flags >> 3 & 3, bool(flags & 0x20), topic.decode(), payload, expiry_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first = (await reader.readexactly(1))[0]
                length = shift = 0
                while True:
                    (digit,) = await reader.readexactly(1)
                    length |= (digit & 127) << shift
                    shift += 7
                    if digit < 128:
                        break
                packet = self._packet(first >> 4, first & 15, await reader.readexactly(length))
                self.packets.append(packet)
                writer.write(self._answer(packet))
        writer.close()

    def _packet(self, kind: int, flags: int, body: bytes) -> Packet:
        if kind == PUBLISH:
            topic, at = _text(body, 0)
            at += (2 if flags & 6 else 0) + (1 if self.five else 0)
            return Packet(kind, flags, body, (topic.decode(),), body[at:])
        topics = []
        if kind in (SUBSCRIBE, UNSUBSCRIBE):
            at = 3 if self.five else 2
            while at < len(body):
                topic, at = _text(body, at)
                topics.append(topic.decode())
                at += kind == SUBSCRIBE
        return Packet(kind, flags, body, tuple(topics))

    def _answer(self, packet: Packet) -> bytes:
        properties = b"\0" if self.five else b""
        if packet.kind == CONNECT:
            body = b"\0\0" + properties
            return bytes((0x20, len(body))) + body
        if packet.kind == SUBSCRIBE:
            body = packet.body[:2] + properties + bytes([1] * len(packet.topics))
            return bytes((0x90, len(body))) + body
        if packet.kind == UNSUBSCRIBE:
            body = packet.body[:2] + properties + (bytes(len(packet.topics)) if self.five else b"")
            return bytes((0xB0, len(body))) + body
        if packet.kind == PINGREQ:
            return b"\xd0\0"
        if packet.kind == PUBLISH and packet.flags & 6:
            at = 2 + len(packet.topics[0].encode())
            return b"\x40\x02" + packet.body[at : at + 2]
        return b""


def _text(body: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", body, at)
    return body[at + 2 : at + 2 + length], at + 2 + length
