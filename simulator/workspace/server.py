"""The workspace's web server on 127.0.0.1: the one file that knows uvicorn. It can also break off an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from simulator.workspace.answers import Answer, Asked, Refusal, StreamCut
from simulator.workspace.clock import Clock

_log = logging.getLogger("workspace")
_BODY_LIMIT: Final = 20 * 1024 * 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Respond = Callable[[Asked], Awaitable[Answer]]


class WebServer:
    """``open`` binds the port, ``run`` serves until cancelled. ``respond`` is set before the first request."""

    def __init__(self, *, port: int, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self._socket: socket.socket | None = None
        self._connections: dict[tuple[str, int], asyncio.Transport] = {}
        self.respond: Respond | None = None

    def open(self) -> str:
        """Bind 127.0.0.1; gives ``http://127.0.0.1:PORT``. ``OSError`` when the port is taken."""
        # Named as TCP, or asyncio leaves Nagle on: head and body are two sends, and each answer would wait 40 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self._port))
        self._socket.listen(512)  # who comes before run() waits, instead of being refused
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """Let go of the port, served or not."""
        if self._socket is not None:
            self._socket.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        assert self._socket is not None, "open it first"
        connections = self._connections

        class Protocol(H11Protocol):
            """Tells us the connection, so that it can be closed under an answer."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                connections[transport.get_extra_info("peername")] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                connections.pop(self.transport.get_extra_info("peername"), None)
                super().connection_lost(exc)

        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            http=Protocol,
            log_config=None,
            log_level="critical",  # an answer that is cut on purpose is no news
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            date_header=False,  # the workspace's clock may be wrong on purpose
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        try:
            await server.serve(sockets=[self._socket])
        finally:
            server.should_exit = True
            self._socket.close()

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            answer = await self._responded(await _read(scope, receive))
        except Refusal as refusal:
            answer = refusal.answer()
        except Exception:
            _log.exception("%s %s failed within the simulator", scope["method"], scope["path"])
            raise
        connection = self._connections.get(tuple(scope["client"]))
        if answer.wire == "drop" and connection is not None:
            connection.abort()
            return
        answer.headers.setdefault("Date", format_datetime(self._clock.now(), usegmt=True))
        answer.headers.setdefault("Server", "databricks")
        if answer.events is not None:
            await self._stream(answer, send, connection)
            return
        body = answer.bytes_()
        await send(_head(answer, len(body)))
        if answer.wire == "cut" and connection is not None:
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            connection.close()  # what was written still goes out
            return
        await send({"type": "http.response.body", "body": body})

    async def _responded(self, asked: Asked) -> Answer:
        if urlsplit(f"//{asked.headers.get('host', '')}").hostname not in ("127.0.0.1", "localhost"):
            raise Refusal(400, "BAD_REQUEST", "this workspace is served at 127.0.0.1 only")
        assert self.respond is not None
        return await self.respond(asked)

    async def _stream(self, answer: Answer, send: Send, connection: asyncio.Transport | None) -> None:
        assert answer.events is not None
        await send(_head(answer, None))
        try:
            async for event in answer.events:
                await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        except StreamCut:
            if connection is not None:
                with contextlib.suppress(OSError):
                    raw = connection.get_extra_info("socket")
                    await asyncio.sleep(0.05)  # what was sent is to arrive; the reset would overtake it
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                connection.abort()
            return
        await send({"type": "http.response.body", "body": b""})


def _head(answer: Answer, length: int | None) -> Message:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    if length is not None:
        headers["Content-Length"] = str(length)
    return {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
    }


async def _read(scope: Message, receive: Receive) -> Asked:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "BAD_REQUEST", "the client left before its request was complete")
        body += message.get("body", b"")
        if len(body) > _BODY_LIMIT:
            raise Refusal(413, "BAD_REQUEST", f"the request is larger than {_BODY_LIMIT} bytes")
        if not message.get("more_body"):
            break
    return Asked(
        verb=scope["method"],
        path=unquote(scope["raw_path"].decode("latin-1")),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        body=bytes(body),
    )


class _Server(uvicorn.Server):
    """Signals belong to the command line, not to the web server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
