"""MQTT, and the only module that knows paho: one connection to a broker, with our deadlines and our errors.

paho speaks the protocol, all but the messages that come in and their acknowledgements. Bytes come from and go to
a transport of the event loop: no thread, TLS without blocking, and a reset that throws away what was not sent. The
library's own reconnect is off and a wire is never used twice, so that nothing unacknowledged is sent again behind
our back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.errors import AccessDenied, BridgeError, DeadlineExceeded, LinkDown
from bridge.links.mqtt_acknowledging import Acknowledging
from bridge.links.mqtt_frames import Frames, NotMqtt, Published, acknowledgements, published
from bridge.links.mqtt_message import Answer, Message, Will
from bridge.links.mqtt_security import refusal, tls_context
from bridge.links.mqtt_transport import Pipe, Receiver, reset
from bridge.links.supervision import NothingSent
from bridge.ports import Clock
from bridge.settings.links import BrokerSettings

_PROBE_FILTER = "ignition-bridge/probe"  # never subscribed; taking it back is a round trip all the same
_WAITING_MAX = 2**20  # bytes the broker has not taken yet; beyond that nothing more is handed over
_LEAVE_S = 1.0
_LOOK_S = 1.0
_NO_MATCHING_SUBSCRIBERS = 0x10
_SESSION_TAKEN_OVER = 0x8E
_REFUSALS = {
    0x84: "the broker does not speak this version of MQTT; change `version`",
    0x85: "the broker does not take our client_id; give another",
    0x86: "the broker refuses username or password; check both",
    0x87: "the broker does not let this user connect; check username and password, and its rights",
    0x8A: "the broker has banned this client",
    0x8C: "the broker wants another way to log in than username and password",
}
"""CONNACK reasons (MQTT 5.0 §3.2.2.2) that do not get better by waiting; 3.1.1's codes come translated to them."""


class _Paho(Client):
    """A Client that gets its socket from us."""

    pipe: Pipe

    def _create_socket(self) -> Pipe:
        return self.pipe


class MqttWire:
    """One connection to one broker; after a loss a new wire is made. Raises only errors of the bridge.

    Everything happens in the event loop's thread. persistent: the broker keeps subscriptions and messages of
    `client_id` for session_expiry_s. manual_ack: messages of QoS 1 are acknowledged by `acknowledge` and not
    before; receive_maximum is then how many the broker may send ahead (MQTT 5 only; 0: 65,535). no_local: what
    we publish ourselves is not sent back to us (MQTT 5 only).
    """

    def __init__(
        self,
        settings: BrokerSettings,
        clock: Clock,
        *,
        client_id: str,
        persistent: bool = False,
        session_expiry_s: int = 0,
        will: Will | None = None,
        manual_ack: bool = False,
        receive_maximum: int = 0,
        no_local: bool = False,
    ) -> None:
        self.on_messages: Callable[[Sequence[Message]], None] = _nothing
        """Called in the order of arrival with what one piece of bytes brought."""
        self.on_lost: Callable[[], None] = _nothing
        self.lost = asyncio.Event()
        self.loss = ""
        self.heard_s = float("-inf")
        """Monotonic time of the last byte from the broker."""
        self.unreadable = 0
        """Messages dropped because their topic is not UTF-8."""
        self.too_long = 0
        """Messages whose payload was refused unread."""
        self._settings = settings
        self._clock = clock
        self._persistent = persistent
        self._expiry_s = session_expiry_s
        self._manual_ack = manual_ack
        self._receive_maximum = receive_maximum
        self._version_5 = settings.version == "5"
        self._transport: asyncio.Transport | None = None
        self._pipe: Pipe | None = None
        self._closed = asyncio.Event()
        self._frames = Frames(settings.max_message_bytes, version_5=self._version_5)
        self._no_local = no_local and self._version_5
        self._unacknowledged = Acknowledging(manual=manual_ack)
        self._answers: dict[tuple[str, int], asyncio.Future[Any]] = {}
        self._in_flight = 0  # of QoS 1, not yet acknowledged by the broker
        self._room = asyncio.Event()  # set when one of them was acknowledged, or never will be
        self._quota = 65_535
        self._keepalive_s = settings.keepalive_s
        self._sent_s = 0.0
        self._beat: asyncio.TimerHandle | None = None
        self._client = _Paho(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if self._version_5 else not persistent,
            protocol=MQTTProtocolVersion.MQTTv5 if self._version_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,  # whoever reads messages acknowledges them, and that is `_take`
        )
        self._client.max_inflight_messages_set(0)  # the library would queue the 21st; `send` refuses instead
        if settings.username:
            self._client.username_pw_set(settings.username, settings.password.get_secret_value() or None)
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_publish = self._published
        self._client.on_subscribe = lambda _c, _u, mid, codes, _p: self._answer("subscribe", mid, codes)
        self._client.on_unsubscribe = lambda _c, _u, mid, codes, _p: self._answer("unsubscribe", mid, codes)

    # --- connecting and parting ---

    async def connect(self) -> bool:
        """Connect; True when the broker still had our session. LinkDown, DeadlineExceeded or AccessDenied."""
        context = tls_context(self._settings)
        try:
            async with self._step("connect"):
                self._transport = await self._open(Receiver(self._received, self._ended), context)
                kept = await self._introduce(self._transport)
        except BaseException as problem:
            self.cut("could not connect")
            if not isinstance(problem, LinkDown):
                raise
            words = None if context is None else await self._turned_down(context)
            if words is not None:
                raise AccessDenied(f"{self._settings.broker}: {words}") from problem
            raise
        self._beat = asyncio.get_running_loop().call_later(self._keepalive_s / 2, self._keep_alive)
        return kept

    async def _open(self, receiver: Receiver, context: ssl.SSLContext | None) -> asyncio.Transport:
        host = self._settings.host
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: receiver,
                host,
                self._settings.port,
                ssl=context,
                server_hostname=host if context is not None else None,
            )
        except ssl.SSLError as problem:
            raise self._tls_failed(problem) from problem
        return transport

    async def _introduce(self, transport: asyncio.Transport) -> bool:
        settings = self._settings
        if self.lost.is_set():
            reset(transport)
            raise LinkDown(f"{settings.broker}: {self.loss}")
        self._pipe = self._client.pipe = Pipe(transport)
        connected = self._expect("connect", 0)
        self._client.connect(settings.host, settings.port, self._keepalive_s, **self._session_options())
        self._sent_s = self.heard_s = self._clock.monotonic_s()
        return bool(await connected)

    async def _turned_down(self, context: ssl.SSLContext) -> str | None:
        """After a loss in the place of an answer: whether the broker turns our certificate down, in its words.

        With TLS 1.3 it does so when we have sent on already, and its reason is lost with the reset that
        follows. This time nothing is sent.
        """
        ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_LOOK_S):
                transport = await self._open(Receiver(_nothing, ended.set_result), context)
                try:
                    problem = await ended
                finally:
                    transport.abort()
        except (TimeoutError, OSError, BridgeError):
            return None
        return refusal(problem) if isinstance(problem, ssl.SSLError) else None

    def _session_options(self) -> dict[str, Any]:
        if not self._version_5:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        if self._persistent:
            properties.SessionExpiryInterval = self._expiry_s
        if self._manual_ack and self._receive_maximum:
            properties.ReceiveMaximum = min(self._receive_maximum, 65_535)
        return {"clean_start": not self._persistent, "properties": properties}

    @property
    def is_open(self) -> bool:
        """Whether something sent now would go to the socket at once."""
        return self._transport is not None and not self._transport.is_closing() and not self.lost.is_set()

    def cut(self, reason: str) -> None:
        """End the connection now, and with it whatever was not yet sent."""
        self._lose(reason)
        if self._transport is not None:
            reset(self._transport)

    async def leave(self, last: Sequence[tuple[str, bytes, int, bool]] = ()) -> None:
        """Say last words (topic, payload, QoS, retain) and DISCONNECT, within a second; then cut."""
        if self.is_open:
            with contextlib.suppress(BridgeError, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    for topic, payload, qos, retain in last:
                        await self.publish(topic, payload, qos=qos, retain=retain)
                    self._client.disconnect()
                    await self._closed.wait()  # the transport sends what it still holds, and closes by itself
        self.cut("closed")

    def _lose(self, reason: str) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        if self.lost.is_set():
            return
        self.loss = reason
        self.lost.set()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(LinkDown(f"{self._settings.broker}: {reason}"))
                answer.exception()  # somebody may have stopped waiting
        self._room.set()
        self.on_lost()

    def _keep_alive(self) -> None:
        """Let the broker hear from us, and notice when it is not heard any more (MQTT 5.0 §3.1.2.10).

        Bytes of a long message count as a sign of life; the library would only count whole packets.
        """
        now_s = self._clock.monotonic_s()
        silent_s = now_s - self.heard_s
        if silent_s > self._keepalive_s + self._settings.deadline_s:
            self.cut(f"the broker was silent for {silent_s:.0f} s")
            return
        if self.is_open:
            if now_s - self._sent_s >= self._keepalive_s / 2:
                self._sent_s = now_s
                self._client.unsubscribe(_PROBE_FILTER)
            self._beat = asyncio.get_running_loop().call_later(self._keepalive_s / 2, self._keep_alive)

    # --- what comes in ---

    def _received(self, data: bytes) -> None:
        self.heard_s = self._clock.monotonic_s()
        pipe, client = self._pipe, self._client
        if pipe is None:
            self.cut("what answers there spoke first, so it does not speak MQTT")
            return
        received_utc = self._clock.now_utc()
        arrived: list[Message] = []
        pipe.hold()
        try:
            for content, too_long in self._frames.feed(data):
                found = published(content, version_5=self._version_5)
                if found is not None:
                    self._take(found, too_long, received_utc, arrived)
                    continue
                pipe.put(content)
                if client.loop_read() is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break  # the library has called `_disconnected`
        except NotMqtt as problem:
            self.cut(f"what answers there does not speak MQTT: {problem}")
        finally:
            pipe.release()
        if arrived:
            self.on_messages(arrived)

    def _take(self, found: Published, too_long: int, received_utc: datetime, arrived: list[Message]) -> None:
        topic, payload, qos, retained, duplicate, mid = found
        if qos:
            self._unacknowledged.came(mid)
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            # No tag can have such a name, and MQTT forbids it (§1.5.4): taken off the broker and counted.
            self.unreadable += 1
            self._unacknowledged.allow([mid])
        else:
            if too_long:
                self.too_long += 1
            arrived.append(Message(name, payload, retained, qos, duplicate, received_utc, mid, too_long))
        if qos:
            self._acknowledge_kept()

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that it may forget these; each leaves when all before it may (MQTT 5.0 §4.6)."""
        self._unacknowledged.allow(message.mid for message in messages if message.qos)
        self._acknowledge_kept()

    def _acknowledge_kept(self) -> None:
        kept = self._unacknowledged.due()
        if kept and self.is_open and self._pipe is not None:
            # In one piece: a backlog of thousands, a call and a packet each, would hold the loop for seconds.
            self._pipe.send(acknowledgements(kept))

    def _connected(
        self, _client: Client, _userdata: object, flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        if code.is_failure:
            what, advice = f"{self._settings.broker}: {code.getName()}", _REFUSALS.get(code.value)
            answer = self._answers.get(("connect", 0))
            if answer is not None and not answer.done():
                answer.set_exception(AccessDenied(f"{what}: {advice}") if advice else LinkDown(what))
            return
        self._quota = getattr(properties, "ReceiveMaximum", 65_535)
        self._keepalive_s = getattr(properties, "ServerKeepAlive", self._keepalive_s) or self._keepalive_s
        self._answer("connect", 0, flags.session_present)

    def _disconnected(
        self, _client: Client, _userdata: object, flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            more = "; another client has our client_id" if code.value == _SESSION_TAKEN_OVER else ""
            self._lose(f"the broker ended the connection: {code.getName()}{more}")
        else:
            self._lose("closed" if code.value == 0 else f"the connection failed: {code.getName()}")

    def _ended(self, problem: Exception | None) -> None:
        self._closed.set()
        if isinstance(problem, ssl.SSLError):
            answer = self._answers.get(("connect", 0))
            if answer is not None and not answer.done():
                answer.set_exception(self._tls_failed(problem))
        self._lose("the connection was lost" + (f": {problem}" if problem is not None else ""))

    def _tls_failed(self, problem: ssl.SSLError) -> BridgeError:
        words = refusal(problem)
        if words is not None:
            return AccessDenied(f"{self._settings.broker}: {words}")
        return LinkDown(f"{self._settings.broker}: the secure connection ended while it was made")

    # --- what goes out ---

    def send(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry_s: int = 0
    ) -> asyncio.Future[Answer]:
        """Hand a message to the socket now, or raise NothingSent; it is never kept for a later connection.

        The future is what the broker says to a message of QoS 1 (LinkDown when the wire is lost first), and
        done at once for QoS 0, which nobody answers. expiry_s: how long the broker may keep it for a
        subscriber that is away (MQTT 5 only; 0: as long as it likes).
        """
        self._demand_open()
        assert self._transport is not None
        if qos and self._in_flight >= self._quota:
            raise NothingSent(f"{self._settings.broker}: the broker takes no more than {self._quota} at once")
        if self._transport.get_write_buffer_size() > _WAITING_MAX:
            raise NothingSent(f"{self._settings.broker}: the broker does not take what was sent before")
        try:
            handed = self._client.publish(topic, payload, qos, retain, self._expiring(expiry_s))
        except ValueError as problem:
            raise NothingSent(f"{self._settings.broker}: topic {topic!r}: {problem}") from problem
        if handed.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NothingSent(f"{self._settings.broker}: {handed.rc.name}")
        self._sent_s = self._clock.monotonic_s()
        if qos:
            self._in_flight += 1
            return self._expect("publish", handed.mid)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        answer.set_result(Answer(False, "not answered"))
        return answer

    async def room(self) -> None:
        """Wait until the broker takes another message of QoS 1, or the wire is lost; the caller holds the deadline."""
        while self._in_flight >= self._quota and self.is_open:
            self._room.clear()
            await self._room.wait()

    def _expiring(self, expiry_s: int) -> Properties | None:
        if not (expiry_s and self._version_5):
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = expiry_s
        return properties

    async def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Send, and return when the broker has acknowledged; LinkDown, DeadlineExceeded or AccessDenied."""
        async with self._step(f"publish to {topic}"):
            answer = await self.send(topic, payload, qos=qos, retain=retain)
        if answer.failed:
            raise AccessDenied(
                f"{self._settings.broker}: may not publish to {topic}: {answer.name}; grant it to this user"
            )

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> list[str]:
        """Subscribe filters with their QoS; for each "" or why the broker did not do what was asked."""
        if not filters:
            return []
        async with self._step("subscribe"):
            self._demand_open()
            try:
                options = [(topic, SubscribeOptions(qos, noLocal=True)) for topic, qos in filters]
                _, mid = self._client.subscribe(options if self._no_local else list(filters))
            except ValueError as problem:
                raise AccessDenied(f"{self._settings.broker}: {problem}: {filters!r}") from problem
            codes = await self._expect("subscribe", _number(mid))
        return [_refused(code, qos) for code, (_, qos) in zip(codes, filters, strict=True)]

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Take subscriptions back."""
        if filters:
            async with self._step("unsubscribe"):
                self._demand_open()
                await self._expect("unsubscribe", _number(self._client.unsubscribe(list(filters))[1]))

    async def caught_up(self) -> bool:
        """A round trip, and whether it shows that the broker holds back nothing of what it kept for us."""
        begin = self._unacknowledged.look()
        async with self._step("look whether all is here"):
            await self.probe()
        return self._unacknowledged.nothing_behind(begin)

    async def probe(self) -> None:
        """A round trip: what was sent before has been taken, and what the broker had sent us has arrived.

        Not so what it holds back until messages of QoS 1 are acknowledged (its window is full): see `caught_up`.
        The caller holds the deadline.
        """
        self._demand_open()
        self._sent_s = self._clock.monotonic_s()
        await self._expect("unsubscribe", _number(self._client.unsubscribe(_PROBE_FILTER)[1]))

    def _published(self, _client: Client, _userdata: object, mid: int, code: ReasonCode, _p: Any) -> None:
        if ("publish", mid) not in self._answers:
            return  # of QoS 0: the library says so when it has handed the bytes over
        self._in_flight -= 1
        self._room.set()
        unheard = code.value == _NO_MATCHING_SUBSCRIBERS
        self._answer("publish", mid, Answer(code.is_failure, code.getName(), unheard))

    def _expect(self, what: str, mid: int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[what, mid] = future
        return future

    def _answer(self, what: str, mid: int, content: object) -> None:
        answer = self._answers.pop((what, mid), None)
        if answer is not None and not answer.done():
            answer.set_result(content)

    def _demand_open(self) -> None:
        if not self.is_open:
            raise NothingSent(f"{self._settings.broker}: {self.loss or 'no connection'}")

    @contextlib.asynccontextmanager
    async def _step(self, doing: str) -> AsyncIterator[None]:
        """Our deadline around one step, and the socket's errors as the bridge's."""
        limit_s = self._settings.deadline_s
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError as problem:
            raise DeadlineExceeded(
                f"{self._settings.broker}: could not {doing} within {limit_s:g} s"
            ) from problem
        except OSError as problem:
            raise LinkDown(
                f"{self._settings.broker}: could not {doing}: {problem.strerror or problem}"
            ) from problem


def _number(mid: int | None) -> int:
    if mid is None:
        raise NothingSent("the connection had ended")
    return mid


def _refused(code: ReasonCode, asked_qos: int) -> str:
    if code.is_failure:
        why = "not granted" if code.value == 0x80 else code.getName()
        return f"the broker refuses the subscription ({why}); grant this user to read the topic"
    if code.value < asked_qos:
        return (
            f"the broker grants QoS {code.value} instead of {asked_qos}; lower qos, or allow it at the broker"
        )
    return ""


def _nothing(*_: object) -> None:
    """Nobody listens."""
