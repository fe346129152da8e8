"""Between the event loop's transport and a protocol library that believes it has a socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable


class Pipe:
    """What the library takes for its socket: one received packet to read from, and a way out to the transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._packet = b""
        self._at = 0
        self._held: list[bytes] | None = None

    def put(self, packet: bytes) -> None:
        """The packet to be read next."""
        self._packet, self._at = packet, 0

    def hold(self) -> None:
        """Collect what is to be sent until `release`: acknowledgements then leave in one piece."""
        self._held = []

    def release(self) -> None:
        """Send what was collected."""
        held, self._held = self._held, None
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def recv(self, buffer_size: int) -> bytes:
        """The next bytes of the packet."""
        begin = self._at
        if begin >= len(self._packet):
            raise BlockingIOError
        self._at = begin + buffer_size
        return self._packet[begin : self._at]

    def send(self, buffer: bytes | bytearray) -> int:
        """Hand bytes to the transport."""
        if self._transport.is_closing():
            raise ConnectionResetError("the connection has ended")
        if self._held is not None:
            self._held.append(bytes(buffer))
        else:
            self._transport.write(buffer)
        return len(buffer)

    def close(self) -> None:
        """Send what is left, then end the connection."""
        self.release()
        if not self._transport.is_closing():
            self._transport.close()

    def fileno(self) -> int:
        """None: nobody but the event loop waits for this socket."""
        raise OSError("nobody waits for this socket but the event loop")

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""


class Receiver(asyncio.Protocol):
    """Hands the transport's bytes and its end to somebody."""

    def __init__(self, received: Callable[[bytes], None], ended: Callable[[Exception | None], None]) -> None:
        self._received = received
        self._ended = ended

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """No more will come."""
        self._ended(exc)


def reset(transport: asyncio.Transport) -> None:
    """End a connection now, and with it whatever was not yet sent.

    Linger 0 makes the kernel throw its unsent bytes away too (a command must not arrive after we called it
    unknown); without it close() goes on delivering them in the background.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
