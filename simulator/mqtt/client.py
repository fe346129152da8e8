"""One connection to an MQTT broker in the event loop: made, used, lost. Whoever wants another makes a new one."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

DEADLINE_S: Final = 5.0
_BROKER = re.compile(r"mqtt://(?P<host>\[[0-9a-fA-F:]+\]|[^/\s:@\[]+)(?::(?P<port>\d{1,5}))?/?")
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One message to send, or to leave with the broker as a will."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """One message as it came."""

    topic: str
    payload: bytes
    qos: int
    retained: bool


class BrokerRefused(Exception):
    """The broker answered and said no."""


def broker_address(url: str) -> tuple[str, int]:
    """Host and port of ``mqtt://HOST[:PORT]``, 1883 where no port is given. ``ValueError`` for anything else."""
    match = _BROKER.fullmatch(url)
    if match is None or not 1 <= int(match["port"] or 1883) <= 65535:
        raise ValueError(f"a broker such as mqtt://127.0.0.1:1883 was expected, found {url!r}")
    return match["host"].strip("[]"), int(match["port"] or 1883)


class Connection:
    """``open``, ``subscribe``, ``publish``; ``lost`` is set when it has ended, whoever ended it."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        heard: Callable[[Incoming], None],
        will: Outgoing | None = None,
        keepalive_s: int = 5,
    ) -> None:
        self._host, self._port = broker_address(url)
        self._keepalive_s = keepalive_s
        self._heard = heard
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = DEADLINE_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._granted: dict[int, asyncio.Future[list[bool]]] = {}
        self._reading = True
        self._beat: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect and hear the broker's answer. ``OSError``, ``TimeoutError`` or ``BrokerRefused``."""
        await asyncio.to_thread(self._client.connect, self._host, self._port, self._keepalive_s)
        client = self._client
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._write_when_possible
        client.on_socket_unregister_write = self._written
        raw = client.socket()
        if raw is None:
            raise ConnectionResetError("the broker hung up at once")
        self._loop.add_reader(raw, client.loop_read)
        if client.want_write():
            self._loop.add_writer(raw, client.loop_write)
        self._beat = asyncio.create_task(self._keep_alive())
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self._answered
        except BaseException:
            self.drop()
            raise

    async def subscribe(self, filters: Iterable[tuple[str, int]]) -> None:
        """Subscribe to all of these (filter and QoS). ``BrokerRefused`` if one is not granted."""
        wanted = list(filters)
        code, mid = self._client.subscribe(wanted)
        if code != paho.MQTT_ERR_SUCCESS or mid is None:
            raise ConnectionResetError(f"the connection is gone: {paho.error_string(code)}")
        granted = self._granted[mid] = self._loop.create_future()
        async with asyncio.timeout(DEADLINE_S):
            refused = [one for (one, _), good in zip(wanted, await granted, strict=True) if not good]
        if refused:
            raise BrokerRefused(f"not allowed to subscribe to {', '.join(refused)}")

    def publish(self, message: Outgoing) -> None:
        """Hand a message over; after a loss it goes nowhere."""
        if not self.lost.is_set():
            self._client.publish(message.topic, message.payload, message.qos, message.retain)

    def read(self, on: bool) -> None:
        """Take what the broker sends, or let it pile up in the socket, answers to our own requests included."""
        raw = self._client.socket()
        self._reading = on
        if raw is None:
            return
        if on:
            self._loop.add_reader(raw, self._client.loop_read)
        else:
            self._loop.remove_reader(raw)

    def drop(self) -> None:
        """End it without a goodbye, so that the broker publishes the will."""
        raw: Any = self._client.socket()  # paho's own type leaves out what a socket can do besides
        if raw is not None and raw.fileno() >= 0:
            self._on_socket_close(self._client, None, raw)
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            raw.close()
        self._client.on_socket_close = None
        self._over()

    async def close(self, *last: Outgoing) -> None:
        """Say the last words and goodbye: the broker forgets the will."""
        for message in last:
            self.publish(message)
        if not self.lost.is_set():
            self._client.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.lost.wait()
        self.drop()

    # ── what paho tells ───────────────────────────────────────────────────────────────────────────────────

    def _on_connect(self, _client: object, _data: object, _flags: object, code: Any, _more: object) -> None:
        if self._answered.done():
            return
        if code.is_failure:
            self._answered.set_exception(BrokerRefused(f"the broker said {code}"))
        else:
            self._answered.set_result(None)

    def _on_subscribe(self, _client: object, _data: object, mid: int, codes: Any, _more: object) -> None:
        if (granted := self._granted.pop(mid, None)) is not None and not granted.done():
            granted.set_result([not code.is_failure for code in codes])

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self._heard(
            Incoming(
                topic=message.topic,
                payload=bytes(message.payload),
                qos=message.qos,
                retained=bool(message.retain),
            )
        )

    def _on_disconnect(self, *_told: object) -> None:
        self._over()

    def _over(self) -> None:
        self.lost.set()
        if self._beat is not None:
            self._beat.cancel()
        gone = ConnectionResetError("the connection is lost")
        waiters: tuple[asyncio.Future[Any], ...] = (self._answered, *self._granted.values())
        for waiting in waiters:
            if not waiting.done():
                waiting.set_exception(gone)
                waiting.exception()  # perhaps nobody asks any more
        self._granted.clear()

    def _on_socket_close(self, _client: object, _data: object, raw: Any) -> None:
        self._loop.remove_reader(raw)
        self._loop.remove_writer(raw)

    def _write_when_possible(self, _client: object, _data: object, raw: Any) -> None:
        self._loop.add_writer(raw, self._client.loop_write)

    def _written(self, _client: object, _data: object, raw: Any) -> None:
        self._loop.remove_writer(raw)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if self._reading:  # one who does not read must not wonder that nothing comes
                self._client.loop_misc()
