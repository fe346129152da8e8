"""The Lakebase front: stands before a real PostgreSQL, takes minted tokens as passwords, goes away as Lakebase does.

A client is asked for its password in clear text, as Lakebase does within TLS. Once it is let in, bytes pass
unchanged both ways; whether the token expires meanwhile is nobody's concern. On loopback an SSLRequest is answered
'N', unless the front was given a certificate: then it demands TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from simulator.workspace import postgres_wire as wire
from simulator.workspace.postgres_wire import PostgresRefusal, Scram, StartUp, WireError

_CHUNK: Final = 65_536
_PASSWORD_LIMIT: Final = 65_536
_LOGIN_S: Final = 30.0
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_log = logging.getLogger("workspace.lakebase")

Authenticate = Callable[[StartUp, str], Awaitable[str]]
"""From start-up and password to the password at the server behind. Raises ``PostgresRefusal``."""


@dataclass(frozen=True, kw_only=True)
class Behind:
    """The real server. ``database`` is what clients know by Lakebase's default name."""

    host: str
    port: int
    database: str


@dataclass(eq=False)
class _Link:
    """One client that was let in."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    ready: bool = False
    """The server waits for a query: a message put in between now breaks nothing."""
    idle: bool = False
    """Ready, and outside of any transaction."""
    moved_s: float = 0.0
    task: asyncio.Task[None] | None = None


@dataclass
class Front:
    """Listens on 127.0.0.1; ``port`` 0 takes any free one, which is then kept."""

    behind: Behind
    authenticate: Authenticate
    default_database: str = "databricks_postgres"
    port: int = 0
    limit: int = 104
    """Connections at once; what is more gets 53300. 104 is what half a compute unit has."""
    tls: ssl.SSLContext | None = None
    full: bool = False
    """Refuse every new connection with 53300, however few there are."""
    wake_s: float = 0.3
    logins: int = 0
    refused: int = 0
    suspended: bool = False
    _awake_at_s: float = 0.0
    _back_at_s: float = 0.0
    _server: asyncio.Server | None = None
    _links: set[_Link] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def open_links(self) -> int:
        """Clients that are in at this moment."""
        return len(self._links)

    async def start(self) -> None:
        """Begin to listen. ``OSError`` if the port is taken."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=_CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Reset everybody and let go of the port."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ── what Lakebase does by itself ──────────────────────────────────────────────────────────────────────

    def suspend(self, wake_s: float) -> int:
        """Scale to zero: everybody is dropped; the next connect wakes it and waits so long. How many were dropped."""
        self.suspended = True
        self.wake_s = wake_s
        return self._drop(
            PostgresRefusal(sql_state="57P01", message="terminating connection due to administrator command")
        )

    def fail_over(self, seconds: float) -> int:
        """Reset everybody and refuse new ones with 57P03 for so long; the address stays. How many were reset."""
        self._back_at_s = self._now_s() + seconds
        return self._drop(None)

    def close_idle(self, longer_than_s: float = 0.0) -> int:
        """Close, without a word, who is outside a transaction and silent for so long. How many that were."""
        before_s = self._now_s() - longer_than_s
        idle = [link for link in self._links if link.idle and link.moved_s <= before_s]
        for link in idle:
            link.client.close()
            self._end(link)
        return len(idle)

    def recover(self) -> None:
        """Nothing is wrong any more."""
        self.full = False
        self.suspended = False
        self._back_at_s = self._awake_at_s = 0.0

    def _drop(self, words: PostgresRefusal | None) -> int:
        dropped = tuple(self._links)
        for link in dropped:
            if words is not None and link.ready:
                link.client.write(words.packet())
                link.client.close()
            else:
                _reset(link.client)
            self._end(link)
        return len(dropped)

    def _end(self, link: _Link) -> None:
        """It is out at once, not when its task comes round to it: nobody counts it any more."""
        self._links.discard(link)
        _reset(link.server)
        if link.task is not None:
            link.task.cancel()

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    # ── one client ────────────────────────────────────────────────────────────────────────────────────────

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with asyncio.timeout(_LOGIN_S):
                link = await self._log_in(reader, writer)
            if link is not None:
                link[0].task = task
                await self._pass(reader, *link)
        except PostgresRefusal as refusal:
            self.refused += 1
            _log.info("refused: %s %s", refusal.sql_state, refusal.message)
            writer.write(refusal.packet())
        except (WireError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            _log.info("a connection ended before its login: %s", error)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _log_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[_Link, asyncio.StreamReader] | None:
        start = await self._start_up(reader, writer)
        if start is None:
            return None
        await self._available()
        writer.write(wire.ASK_FOR_PASSWORD)
        kind, payload = await _message(reader, _PASSWORD_LIMIT)
        if kind != b"p":
            raise PostgresRefusal(
                sql_state="08P01", message=f"expected password response, got message {kind!r}"
            )
        secret = await self.authenticate(start, payload.rstrip(b"\0").decode("utf-8", "replace"))
        if self.full or len(self._links) >= self.limit:
            raise PostgresRefusal(sql_state="53300", message="sorry, too many clients already")
        behind_reader, behind = await asyncio.open_connection(
            self.behind.host, self.behind.port, limit=_CHUNK
        )
        link = _Link(client=writer, server=behind)
        self._links.add(link)  # from here it counts
        try:
            named = self.behind.database if start.database == self.default_database else start.database
            behind.write(start.packet(database=named))
            if not await _enter(behind_reader, behind, writer, secret):
                self._links.discard(link)
                _reset(behind)
                return None
        except BaseException:
            self._links.discard(link)
            _reset(behind)
            raise
        self.logins += 1
        return link, behind_reader

    async def _start_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> StartUp | None:
        """What the client wants; None when it only wanted to cancel a query, which is done."""
        encrypted = False
        while True:
            payload = await reader.readexactly(
                wire.check_length(struct.unpack("!I", await reader.readexactly(4))[0])
            )
            if len(payload) < 4:
                raise WireError("a start-up packet without a version")
            code = struct.unpack_from("!I", payload)[0]
            if code == wire.SSL_REQUEST and self.tls is not None and not encrypted:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(self.tls)
                encrypted = True
            elif code in (wire.SSL_REQUEST, wire.GSS_REQUEST):
                writer.write(b"N")
            elif code == wire.CANCEL_REQUEST:
                await self._cancel(payload)
                return None
            else:
                start = wire.read_start_up(payload)
                if self.tls is not None and not encrypted:
                    raise PostgresRefusal(
                        sql_state="28000",
                        message="connection is insecure (try using `sslmode=require`)",
                    )
                return start

    async def _available(self) -> None:
        """Wait for it to wake up. Raises ``PostgresRefusal`` 57P03 in the middle of a failover."""
        if self._now_s() < self._back_at_s:
            raise PostgresRefusal(sql_state="57P03", message="the database system is starting up")
        if self.suspended:
            self.suspended = False
            self._awake_at_s = self._now_s() + self.wake_s
        if (wait_s := self._awake_at_s - self._now_s()) > 0:
            await asyncio.sleep(wait_s)

    async def _cancel(self, payload: bytes) -> None:
        _, behind = await asyncio.open_connection(self.behind.host, self.behind.port)
        behind.write(wire.message(b"", payload))
        await behind.drain()
        behind.close()

    async def _pass(
        self, reader: asyncio.StreamReader, link: _Link, behind_reader: asyncio.StreamReader
    ) -> None:
        up = asyncio.create_task(self._carry(reader, link, link.server))
        down = asyncio.create_task(self._carry(behind_reader, link, link.client))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            self._links.discard(link)
            link.server.close()

    async def _carry(self, reader: asyncio.StreamReader, link: _Link, out: asyncio.StreamWriter) -> None:
        down = out is link.client
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                link.moved_s = self._now_s()
                link.ready = down and chunk[-6:-1] == wire.READY
                link.idle = link.ready and chunk[-1:] == b"I"
                out.write(chunk)
                await out.drain()


async def _enter(
    reader: asyncio.StreamReader, behind: asyncio.StreamWriter, client: asyncio.StreamWriter, secret: str
) -> bool:
    """Log in at the server behind and tell the client that it is in; False when the server refused it."""
    scram = Scram(secret)
    while True:
        kind, payload = await _message(reader, _CHUNK)
        if kind != b"R":  # an ErrorResponse, or a word on the protocol's version: for the client to see
            client.write(wire.message(kind, payload))
            if kind == b"E":
                return False
            continue
        code = struct.unpack_from("!I", payload)[0]
        if code == wire.AUTH_OK:
            client.write(wire.LOGGED_IN)
            return True
        if code == wire.AUTH_SASL:
            behind.write(scram.first())
        elif code == wire.AUTH_SASL_CONTINUE:
            behind.write(scram.proof(payload[4:].decode()))
        elif code == wire.AUTH_SASL_FINAL:
            scram.check(payload[4:].decode())
        elif code == wire.AUTH_CLEARTEXT:
            behind.write(wire.message(b"p", secret.encode() + b"\0"))
        else:
            raise WireError(
                f"the server behind wants authentication {code}; SCRAM, password or trust are known"
            )


async def _message(reader: asyncio.StreamReader, limit: int) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(wire.check_length(struct.unpack("!I", head[1:])[0], limit))


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
