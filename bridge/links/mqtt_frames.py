"""MQTT packets cut out of a stream of bytes, and those that are too long left unread.

Messages are read here too (MQTT 5.0 and 3.1.1 §2.1 and §3.3), because they come by tens of thousands a second;
everything else is the client library's business.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

_PUBLISH = 3
_PUBACK = struct.Struct(">BBH")
_LENGTH_BYTES_MAX = 4  # §1.5.5: a remaining length takes at most four bytes


class NotMqtt(ValueError):
    """The bytes cannot be MQTT; nothing that follows would make sense."""


class Packet(NamedTuple):
    """One packet. `too_long` is 0, or the size in bytes of a PUBLISH whose payload was thrown away unread."""

    content: bytes
    too_long: int = 0


class Published(NamedTuple):
    """A PUBLISH as it came. `mid` is 0 for QoS 0."""

    topic: bytes
    payload: bytes
    qos: int
    retained: bool
    duplicate: bool
    mid: int


def published(content: bytes, *, version_5: bool) -> Published | None:
    """Read a whole packet if it is a PUBLISH of QoS 0 or 1, else None; raises NotMqtt.

    Properties are skipped: none of them changes what a message says, and topic aliases were never offered.
    """
    flags = content[0]
    if flags >> 4 != _PUBLISH:
        return None
    qos = flags >> 1 & 3
    at = 2
    while content[at - 1] & 0x80:
        at += 1
    begin = at + 2
    at = begin + int.from_bytes(content[at:begin], "big")
    topic = content[begin:at]
    mid = 0
    if qos:
        mid = int.from_bytes(content[at : at + 2], "big")
        at += 2
        if qos > 1 or not mid:
            raise NotMqtt(f"a message of QoS {qos} with the identifier {mid}")
    if version_5:
        if at >= len(content):
            raise NotMqtt("a message that ends before its properties")
        length, at = (
            (content[at], at + 1)
            if content[at] < 0x80
            else _long_length(content, at) or (0, len(content) + 1)
        )
        at += length
    if at > len(content) or not topic:
        raise NotMqtt("a message that is shorter than its own head")
    return Published(topic, content[at:], qos, bool(flags & 1), bool(flags & 8), mid)


def acknowledgements(mids: Iterable[int]) -> bytes:
    """A PUBACK for each message of QoS 1 (MQTT 5.0 §3.4.2.1: without a reason code it means success)."""
    return b"".join(_PUBACK.pack(0x40, 2, mid) for mid in mids)


class Frames:
    """Takes bytes as they come and gives back whole packets in order.

    At most one packet of `max_bytes` is held; of a longer PUBLISH the payload is dropped as it arrives, and a
    packet with an empty payload comes back in its place. Another packet that long raises NotMqtt.
    """

    def __init__(self, max_bytes: int, *, version_5: bool) -> None:
        self._max_bytes = max_bytes
        self._no_properties = b"\x00" if version_5 else b""
        self._pieces: list[bytes] = []  # of a packet that is not whole yet
        self._have = 0  # bytes in them
        self._need = 2  # bytes without which nothing can be said
        self._skip = 0  # bytes still to come of a payload that is thrown away
        self._skipped = Packet(b"")

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are complete with `data`; raises NotMqtt."""
        packets: list[Packet] = []
        if self._skip:
            gone = min(self._skip, len(data))
            self._skip -= gone
            if self._skip:
                return packets
            packets.append(self._skipped)
            data = data[gone:]
        self._pieces.append(data)
        self._have += len(data)
        if self._have < self._need:
            return packets
        if len(self._pieces) > 1:
            data = b"".join(self._pieces)
        at, size = 0, len(data)
        while size - at >= 2:
            length, body = data[at + 1], at + 2
            if length & 0x80:
                found = _long_length(data, at + 1)
                if found is None:
                    self._need = size - at + 1
                    break
                length, body = found
            end = body + length
            if end - at > self._max_bytes:
                head = _head_bytes(data, at, body, length)
                if body + head > size:
                    self._need = body + head - at
                    break
                content = data[body : body + head] + self._no_properties
                self._skipped = Packet(bytes((data[at], *_length_bytes(len(content)))) + content, length)
                if end > size:
                    self._skip, self._need, at = end - size, 2, size
                    break
                packets.append(self._skipped)
            elif end > size:
                self._need = end - at
                break
            else:
                packets.append(Packet(data[at:end]))
            at = end
        else:
            self._need = 2
        self._pieces = [data[at:]]
        self._have = size - at
        return packets


def _head_bytes(data: bytes, at: int, body: int, length: int) -> int:
    """Bytes of a PUBLISH up to its properties; 2 while not even the topic's length is there."""
    if data[at] >> 4 != _PUBLISH:
        raise NotMqtt(
            f"a packet of type {data[at] >> 4} with {length:,} bytes, which only a message may have"
        )
    if len(data) - body < 2:
        return 2
    head = 2 + int.from_bytes(data[body : body + 2], "big") + (2 if data[at] & 0x06 else 0)
    if head > length:
        raise NotMqtt(f"a topic longer than its message of {length:,} bytes")
    return head


def _long_length(data: bytes, at: int) -> tuple[int, int] | None:
    """A remaining length of more than one byte and where it ends; None when it is not whole yet."""
    value = 0
    for place, byte in enumerate(data[at : at + _LENGTH_BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, at + place + 1
    if len(data) - at >= _LENGTH_BYTES_MAX:
        raise NotMqtt("a remaining length of more than four bytes")
    return None


def _length_bytes(length: int) -> list[int]:
    found = []
    while True:
        length, low = divmod(length, 128)
        found.append(low | (0x80 if length else 0))
        if not length:
            return found
