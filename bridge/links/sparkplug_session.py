"""One session of the Sparkplug host application: a wire to the broker around the state machine in `sparkplug`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag, Value
from bridge.links import sparkplug_address
from bridge.links.freshness import Freshness
from bridge.links.mqtt_message import Message
from bridge.links.mqtt_session import UNFORESEEN, BrokerSession, LastWords, Sent
from bridge.links.outcomes import not_sent
from bridge.links.sparkplug import Host
from bridge.links.sparkplug_effects import Effects, Outgoing
from bridge.links.supervision import NothingSent, batched, unreadable
from bridge.ports import Clock, WriteOutcome, WriteResult
from bridge.sparkplug import topics
from bridge.sparkplug.topics import Verb

if TYPE_CHECKING:
    from bridge.links.mqtt import MqttWire

log = structlog.get_logger(__name__)

_TICK_S = 0.1
_FILTERS_PER_CALL = 500
_MOST_TOPICS = 1000  # remembered as told of; anybody may publish for devices that he invents


class SparkplugSession(BrokerSession):
    """See `bridge.links.supervision.Session`. The host outlives the session; only one session has it at a time."""

    def __init__(
        self,
        wire: MqttWire,
        host: Host,
        freshness: Freshness,
        sink: Callable[[list[Reading]], None],
        clock: Clock,
        *,
        link: str,
        expiry_s: int,
    ) -> None:
        super().__init__(wire, freshness)
        # A node reports what changes; until it does, the metric of a living node is what it was.
        self.asks_source = True
        self._host = host
        self._sink = sink
        self._clock = clock
        self._link = link
        self._expiry_s = expiry_s  # of commands: how long the broker may keep one (MQTT 5)
        self._online = False
        self._commands: dict[int, asyncio.Future[WriteOutcome]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._too_long: set[str] = set()

    # --- opening and ending ---

    async def open(self) -> None:
        """Connect; raises LinkDown, DeadlineExceeded or AccessDenied."""
        await self._wire.connect()

    async def subscribe(self, handles: Sequence[int]) -> Mapping[int, str]:
        """Listen to the wanted nodes, then say that we are online; refused are tags whose node cannot be heard."""
        filters = self._host.filters()
        refused: dict[str, str] = {}
        for chunk in batched(filters, _FILTERS_PER_CALL):
            answers = await self._wire.subscribe(chunk)
            refused.update({topic: why for (topic, _), why in zip(chunk, answers, strict=True) if why})
        if not self._online:
            # The broker's copy of what was last said of us, a will perhaps, arrives before we say anything.
            await self.probe()
            self._online = True
            self._carry_out(self._host.connected(self._now_ms()))
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        if not refused:
            return {}
        found = {}
        for handle in handles:
            needed = _filters_of(self._freshness.tags[handle])
            why = next((f"{topic}: {refused[topic]}" for topic in needed if topic in refused), "")
            if why:
                found[handle] = why
        unowned = refused.keys() - {topic for tag in self._freshness.tags for topic in _filters_of(tag)}
        for topic in unowned:
            log.warning("host.filter_refused", link=self._link, topic=topic, reason=refused[topic])
        return found

    async def renew(self) -> None:
        """Nothing of ours expires."""

    def _last_words(self) -> LastWords:
        farewell = self._host.goodbye(self._now_ms()) if self._online else None
        return () if farewell is None else (farewell,)

    def _lose(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.lost.is_set():
            self._host.disconnected()
        super()._lose(reason)

    # --- messages and time ---

    def _take(self, messages: Sequence[Message]) -> None:
        host = self._host
        now_ms = int(messages[0].received_utc.timestamp() * 1000)  # they came together
        effects = Effects(now_ms)
        for message in messages:
            if message.too_long:
                # What is missing shows in the node's sequence, and leads to a rebirth request.
                self._note_too_long(message)
                continue
            try:
                host.on_message(
                    message.topic, message.payload, retained=message.retained, now_ms=now_ms, into=effects
                )
            except UNFORESEEN as problem:
                self._note_unforeseen(message, problem)
                host.distrust(message.topic, f"a message could not be taken: {problem}", effects)
        self._carry_out(effects)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        self._carry_out(self._host.tick(self._now_ms()))

    def _carry_out(self, effects: Effects) -> None:
        for outgoing in effects.sends:
            self._say(outgoing)
        for name, fields in effects.events:
            log.info(name, link=self._link, **fields)
        for number in effects.confirmed:
            answer = self._commands.pop(number, None)
            if answer is not None and not answer.done():
                answer.set_result(WriteOutcome(result=WriteResult.ACCEPTED, status="Good"))
        if effects.readings:
            self._enter(effects.readings, effects.handles)
            self._sink(effects.readings)

    def _say(self, outgoing: Outgoing) -> None:
        try:
            self._wire.send(outgoing.topic, outgoing.payload, qos=outgoing.qos, retain=outgoing.retain)
        except NothingSent as problem:
            # The next session begins anew, with its own STATE and its own requests.
            log.info("host.message_unsent", link=self._link, topic=outgoing.topic, reason=str(problem))

    def _enter(self, readings: Sequence[Reading], handles: Sequence[int]) -> None:
        freshness, now_s = self._freshness, self._clock.monotonic_s()
        latest, notified_s, bad = freshness.latest, freshness.notified_s, freshness.bad
        for reading, handle in zip(readings, handles, strict=True):
            if reading[6]:
                continue  # historical: it says what was
            latest[handle] = reading
            notified_s[handle] = now_s
            if reading[2] is not Quality.GOOD:
                bad[handle] = reading[5]
            elif bad and handle in bad:
                del bad[handle]

    def _note_unforeseen(self, message: Message, problem: Exception) -> None:
        """Say it once for each topic, as long as they are not too many to be remembered; it is counted always."""
        if message.topic in self._failed_topics or len(self._failed_topics) < _MOST_TOPICS:
            self._note_failed(self._link, message, problem)
        else:
            self.failed += 1

    def _note_too_long(self, message: Message) -> None:
        if message.topic not in self._too_long and len(self._too_long) < _MOST_TOPICS:
            self._too_long.add(message.topic)
            log.warning("link.message_too_long", link=self._link, topic=message.topic, bytes=message.too_long)

    # --- reads and writes ---

    def _present(self, tag: Tag) -> Reading:
        if tag.path not in self._known:
            return unreadable(tag, "BadNodeIdUnknown", self._clock)
        return self._host.read(tag, self._now_ms())

    def refusal(self, tag: Tag, value: Value) -> WriteOutcome | None:
        """Why the node cannot take this write now, or its birth forbids it; None when it may go."""
        return self._host.refusal(tag, value)

    async def write(self, writes: Sequence[tuple[Tag, Value]], until_s: float) -> list[WriteOutcome]:
        """Send commands once; those whose new value the node reports in time were accepted."""
        self._demand_wire()
        sends = [functools.partial(self._send, tag, value) for tag, value in writes]
        return await self._outcomes(sends, until_s, qos=0)

    def _send(self, tag: Tag, value: Value) -> Sent:
        answer = self._pend()
        return Sent(answer, functools.partial(self._no_word, tag, self._hand_over(tag, value, answer)))

    def _hand_over(self, tag: Tag, value: Value, answer: asyncio.Future[WriteOutcome]) -> int:
        made = self._host.command(tag, value, self._now_ms())
        if isinstance(made, WriteOutcome):
            answer.set_result(made)
            return 0
        try:
            self._wire.send(
                made.send.topic,
                made.send.payload,
                qos=made.send.qos,
                retain=made.send.retain,
                expiry_s=self._expiry_s,
            )
        except NothingSent as problem:
            self._host.withdraw(made.number)
            answer.set_result(not_sent("BadTooManyOperations", str(problem)))
            return 0
        self._commands[made.number] = answer
        answer.add_done_callback(lambda _: self._commands.pop(made.number, None))
        return made.number

    def _no_word(self, tag: Tag, number: int) -> str:
        seen = self._host.give_up(tag, number)
        return f"{tag.path}: the command was sent, and {seen or 'the node reported nothing'} in time"

    def _now_ms(self) -> int:
        return int(self._clock.now_utc().timestamp() * 1000)


def _filters_of(tag: Tag) -> tuple[str, ...]:
    """The filters without which nothing of a tag is heard, as the host words them."""
    address = sparkplug_address.parse(tag.address)
    verbs = [Verb.NBIRTH, Verb.NDATA, Verb.NDEATH]
    own = tuple(topics.topic(verb, address.group, address.node) for verb in verbs)
    if not address.device:
        return own
    of_devices = (Verb.DBIRTH, Verb.DDATA, Verb.DDEATH)
    return own + tuple(f"{topics.NAMESPACE}/{address.group}/{verb}/{address.node}/+" for verb in of_devices)
