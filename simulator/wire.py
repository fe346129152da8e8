"""A TCP wire that can be broken on purpose: between a link of the bridge and its server, or before a database."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Literal, Self

Mode = Literal["pass", "swallow"]

_CHUNK = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST


class _Link:
    """One client and its connection to the target."""

    def __init__(self, client: asyncio.StreamWriter, mode: Mode) -> None:
        self.client = client
        self.target: asyncio.StreamWriter | None = None
        self.mode = mode
        self.broken = False
        """Bytes are missing, so what follows would make no sense to either side."""
        self.task = asyncio.current_task()

    def abort(self) -> None:
        """Reset both sides."""
        for writer in (self.client, self.target):
            if writer is not None:
                _close(writer, reset=True)
        if self.task is not None:
            self.task.cancel()


class Wire:
    """Listens on ``listen_port`` (0: any free one, then kept) and passes everything to the target and back.

    Modes hold until the next call. ``restore`` mends all of them.
    """

    def __init__(
        self, listen_port: int, target_host: str, target_port: int, *, host: str = "127.0.0.1"
    ) -> None:
        self.host = host
        self.port = listen_port
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._mode: Mode = "pass"
        self._delay_s = 0.0
        self.accepted = 0
        """Connections taken since the start."""
        self.bytes_passed = 0
        """Bytes delivered, both directions together."""
        self.bytes_swallowed = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def open_links(self) -> int:
        """Connections that are held at this moment."""
        return len(self._links)

    async def start(self) -> None:
        """Begin to listen. Raises ``OSError`` if the port is taken."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accepted, self.host, self.port, limit=_CHUNK)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Reset all connections and stop listening."""
        await self.cut()

    async def cut(self) -> None:
        """Reset all connections and refuse new ones: a pulled plug with an attentive network."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._abort(self._links)

    async def restore(self) -> None:
        """Pass everything again, at once. Connections that lost bytes meanwhile are reset, they cannot go on."""
        self._mode = "pass"
        self._delay_s = 0.0
        await self._abort(
            {link for link in self._links if link.broken or (link.target is None and link.mode == "swallow")}
        )
        for link in self._links:
            link.mode = "pass"
        await self.start()

    async def black_hole(self) -> None:
        """Keep all connections, accept new ones, and swallow every byte both ways without a FIN."""
        self._mode = "swallow"
        for link in self._links:
            link.mode = "swallow"

    async def half_open(self) -> None:
        """Reset the target's side of today's connections and keep the client's side open and silent.

        That is what a restarted peer or a forgetful firewall leaves behind. New connections pass.
        """
        for link in self._links:
            link.mode = "swallow"
            link.broken = True
            if link.target is not None:
                _close(link.target, reset=True)

    async def delay(self, seconds: float) -> None:
        """Deliver each chunk so much later, in order, both ways; 0 ends it. Throughput is not limited."""
        if seconds < 0.0:
            raise ValueError(f"a delay of 0 s or more was expected, found {seconds}")
        self._delay_s = seconds

    async def _abort(self, links: set[_Link]) -> None:
        tasks = [link.task for link in links if link.task is not None]
        for link in tuple(links):
            link.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(writer, self._mode)
        self._links.add(link)
        ended = False
        try:
            if link.mode == "swallow":
                await self._swallow(reader, link)
            target_reader, link.target = await asyncio.open_connection(*self._target, limit=_CHUNK)
            ended = all(
                await asyncio.gather(
                    self._pump(reader, link, link.target), self._pump(target_reader, link, link.client)
                )
            )
        except OSError:
            pass  # the target refuses, or one side was reset: the other side is reset too
        finally:
            for side in (link.client, link.target):
                if side is not None:
                    _close(side, reset=not ended)
            self._links.discard(link)

    async def _swallow(self, reader: asyncio.StreamReader, link: _Link) -> None:
        """Hold a client that came while nothing passes; nobody is at the other end. Ends only by an abort."""
        while chunk := await reader.read(_CHUNK):
            self.bytes_swallowed += len(chunk)
        await asyncio.Event().wait()

    async def _pump(self, reader: asyncio.StreamReader, link: _Link, out: asyncio.StreamWriter) -> bool:
        """Carry one direction to its end, and the end too. ``OSError`` if either side is reset."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1024)
        delivery = asyncio.create_task(self._deliver(waiting, link, out))
        clock = asyncio.get_running_loop().time
        try:
            while True:
                try:
                    chunk = await reader.read(_CHUNK)
                except OSError:
                    if link.mode == "pass":
                        raise
                    chunk = b""  # a reset is swallowed like everything else
                await waiting.put((clock() + self._delay_s, chunk))
                if not chunk:
                    return await delivery
        finally:
            delivery.cancel()

    async def _deliver(
        self, waiting: asyncio.Queue[tuple[float, bytes]], link: _Link, out: asyncio.StreamWriter
    ) -> bool:
        clock = asyncio.get_running_loop().time
        while True:
            due_s, chunk = await waiting.get()
            if (wait_s := due_s - clock()) > 0.0:
                await asyncio.sleep(wait_s)
            if link.mode == "swallow":
                self.bytes_swallowed += len(chunk)
                link.broken = True
            elif chunk:
                out.write(chunk)
                self.bytes_passed += len(chunk)
                with contextlib.suppress(OSError):  # a reset shows at the reader of the same side
                    await out.drain()
            else:
                if out.can_write_eof() and not out.is_closing():
                    out.write_eof()
                return True


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if not reset:
        writer.close()
        return
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
