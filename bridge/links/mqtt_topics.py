"""One session on plain topics: values as they are published, set-points on a command topic, and what devices
say to them."""

from __future__ import annotations

import asyncio
import functools
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Tag, Value, equal_enough
from bridge.errors import ConfigError
from bridge.links.freshness import Freshness
from bridge.links.mqtt_message import Answer, Message
from bridge.links.mqtt_payload import Address, Format, confirms, parse
from bridge.links.mqtt_session import UNFORESEEN, BrokerSession
from bridge.links.outcomes import not_sent, refused
from bridge.links.supervision import NothingSent, batched, unreadable
from bridge.ports import Clock, WriteOutcome, WriteResult
from bridge.settings.links import MqttLinkSettings

if TYPE_CHECKING:
    from bridge.links.mqtt import MqttWire

log = structlog.get_logger(__name__)

_FILTERS_PER_CALL = 500
LAST_USABLE = "UncertainLastUsableValue"
_BATCH_MAX = 500  # readings; small against the queue, so that a whole batch is kept or dropped


class Topics:
    """Which tags live where; made once from the configuration. ConfigError lists every address that cannot be."""

    def __init__(self, link: str, settings: MqttLinkSettings, tags: Sequence[Tag]) -> None:
        self.addresses: list[Address] = []
        self.values: dict[str, list[int]] = {}
        self.confirmations: dict[str, list[int]] = {}
        self.commands: dict[int, str] = {}
        problems = []
        for handle, tag in enumerate(tags):
            try:
                address = parse(tag.address)
                if settings.payload == "raw" and address.path is not None:
                    raise ValueError(
                        f"a path in JSON makes no sense with payload = raw, found {tag.address!r}"
                    )
            except ValueError as problem:
                problems.append(f"link {link}: tag {tag.path}: address: {problem}")
                continue
            self.addresses.append(address)
            self.values.setdefault(address.topic, []).append(handle)
            if tag.writable:
                self.commands[handle] = settings.command_topic.replace("{topic}", address.topic)
                confirmed = settings.confirm_topic.replace("{topic}", address.topic)
                self.confirmations.setdefault(confirmed, []).append(handle)
        if problems:
            raise ConfigError(problems)

    @property
    def tags_per_message(self) -> int:
        """Most tags that one message speaks of."""
        return max(map(len, self.values.values()), default=1)


class _Sent(NamedTuple):
    """The last set-point that left for a tag; until the device says something newer, it may still take effect."""

    value: Value
    sent_utc: datetime


class _Command(NamedTuple):
    """A set-point on its way."""

    handle: int
    value: Value
    answer: asyncio.Future[WriteOutcome]


class PlainSession(BrokerSession):
    """See `bridge.links.supervision.Session`."""

    def __init__(
        self,
        wire: MqttWire,
        settings: MqttLinkSettings,
        topics: Topics,
        freshness: Freshness,
        sink: Callable[[list[Reading]], None],
        clock: Clock,
        *,
        link: str,
    ) -> None:
        super().__init__(wire, freshness)
        self._settings = settings
        self._topics = topics
        self._format = Format(settings)
        self._sink = sink
        self._clock = clock
        self._link = link
        self._said: list[Reading | None] = [None] * len(freshness.tags)
        self.why: dict[int, str] = {}
        """Words for each handle whose latest message could not be used as it is."""
        self.untimed: set[int] = set()
        """Handles whose messages carry no time of their own."""
        self._backlog = False
        self._unheard: dict[int, str] = {}  # handle -> why its confirmations cannot be heard
        self._commands: dict[str, _Command] = {}
        self._sent: dict[
            int, _Sent
        ] = {}  # by handle; what a new session hears live is newer than what was sent
        self._owed: dict[
            int, tuple[list[Reading], list[Message]]
        ] = {}  # by id() of the batch, which is kept here
        self._strange: set[str] = set()
        self._unwanted: list[str] = []

    # --- opening ---

    async def open(self) -> None:
        """Connect; raises LinkDown, DeadlineExceeded or AccessDenied."""
        self._backlog = self._settings.persistent
        remembered = await self._wire.connect()
        self._backlog = self._settings.persistent and remembered

    async def subscribe(self, handles: Sequence[int]) -> Mapping[int, str]:
        """Ask for the tags' topics and those of their confirmations; what was refused, with the reason."""
        wanted = set(handles)
        values = [topic for topic, members in self._topics.values.items() if wanted.intersection(members)]
        confirmations = [
            t for t, members in self._topics.confirmations.items() if wanted.intersection(members)
        ]
        refusals = await self._ask([(topic, self._settings.qos) for topic in values])
        unheard = await self._ask([(topic, 1) for topic in confirmations])
        await self.probe()
        self._backlog = False
        found: dict[int, str] = {}
        for topic, why in unheard.items():
            for handle in self._topics.confirmations[topic]:
                found[handle] = f"{topic}: {why}; without it no write can be confirmed"
                self._unheard[handle] = found[handle]
        for topic in confirmations:
            if topic not in unheard:
                for handle in self._topics.confirmations[topic]:
                    self._unheard.pop(handle, None)
        for topic, why in refusals.items():
            found.update(dict.fromkeys(self._topics.values[topic], f"{topic}: {why}"))
        return {handle: why for handle, why in found.items() if handle in wanted}

    async def _ask(self, filters: Sequence[tuple[str, int]]) -> dict[str, str]:
        refusals: dict[str, str] = {}
        for chunk in batched(filters, _FILTERS_PER_CALL):
            answers = await self._wire.subscribe(chunk)
            refusals.update({topic: why for (topic, _), why in zip(chunk, answers, strict=True) if why})
        return refusals

    async def renew(self) -> None:
        """Take back what a kept session still subscribes and no tag wants any more."""
        if self._unwanted:
            unwanted, self._unwanted = self._unwanted, []
            log.info("link.topics_unwanted", link=self._link, topics=len(unwanted), first=unwanted[0])
            await self._wire.unsubscribe(unwanted)

    # --- values ---

    def _take(self, messages: Sequence[Message]) -> None:
        now_s = self._clock.monotonic_s()
        batch: list[Reading] = []
        sources: list[Message] = []
        for message in messages:
            handles = self._topics.values.get(message.topic)
            sources.append(message)
            try:
                if message.topic in self._topics.confirmations:
                    self._confirmed(message)
                elif handles is None:
                    self._note_strange(message.topic)
                if handles is not None:
                    batch += self._readings(message, handles, now_s)
            except UNFORESEEN as problem:
                self._note_failed(self._link, message, problem)
                batch += self._spoiled(message, handles or (), now_s, ("BadInternalError", str(problem)))
            if len(batch) >= _BATCH_MAX:
                self._hand_on(batch, sources)
                batch, sources = [], []
        self._hand_on(batch, sources)

    def _hand_on(self, batch: list[Reading], sources: list[Message]) -> None:
        if not batch:
            self._wire.acknowledge(sources)
            return
        if self._settings.persistent:
            self._owed[id(batch)] = (batch, sources)
        self._sink(batch)

    def kept(self, batch: Sequence[Reading]) -> None:
        """The batch is on durable storage, or dropped and counted: the broker may forget its messages."""
        owed = self._owed.pop(id(batch), None)
        if owed is not None:
            self._wire.acknowledge(owed[1])

    def _readings(self, message: Message, handles: Sequence[int], now_s: float) -> list[Reading]:
        freshness, received_utc = self._freshness, message.received_utc
        past = self._is_past(message)
        if message.too_long:
            why = f"{message.too_long:,} bytes are more than max_message_bytes"
            return self._spoiled(message, handles, now_s, ("BadEncodingLimitsExceeded", why))
        try:
            document = self._format.document(message.payload)
        except ValueError as problem:
            return self._spoiled(message, handles, now_s, ("BadDecodingError", str(problem)))
        found = []
        for handle in handles:
            tag = freshness.tags[handle]
            said = self._format.read(document, tag, self._topics.addresses[handle].path, received_utc)
            quality, status = said.quality, said.status
            if said.time_utc is None:
                self.untimed.add(handle)
                if past and quality is Quality.GOOD:
                    # It may be of any age, and its arrival says nothing of it.
                    quality, status = Quality.UNCERTAIN, LAST_USABLE
            time_utc = said.time_utc or received_utc
            found.append(Reading(tag, said.value, quality, time_utc, received_utc, status, past))
            self._note(handle, found[-1], said.why, now_s)
        return found

    def _spoiled(
        self, message: Message, handles: Sequence[int], now_s: float, wrong: tuple[str, str]
    ) -> list[Reading]:
        """What a message that cannot be read says of its tags: no value, with a status and words."""
        status, why = wrong
        at_utc, past = message.received_utc, self._is_past(message)
        found = []
        for handle in handles:
            tag = self._freshness.tags[handle]
            found.append(Reading(tag, None, Quality.BAD, at_utc, at_utc, status, past))
            self._note(handle, found[-1], why, now_s)
        return found

    def _is_past(self, message: Message) -> bool:
        return message.retained or message.duplicate or self._backlog

    def _note(self, handle: int, reading: Reading, why: str, now_s: float) -> None:
        before = self._said[handle]
        if reading.replayed and before is not None and not before.replayed:
            return  # older news than what is known
        self._said[handle] = reading
        if why:
            if handle not in self.why:
                log.warning("link.value_unusable", link=self._link, tag=reading.tag.path, reason=why)
            self.why[handle] = why
        elif handle in self.why:
            del self.why[handle]
            log.info("link.value_usable_again", link=self._link, tag=reading.tag.path)
        self._freshness.note(handle, reading)
        if not reading.replayed:
            self._freshness.notified_s[handle] = now_s

    def _note_strange(self, topic: str) -> None:
        if topic not in self._strange:
            self._strange.add(topic)
            self._unwanted.append(topic)

    def _present(self, tag: Tag) -> Reading:
        handle = self._known.get(tag.path)
        if handle is None:
            return unreadable(tag, "BadNodeIdUnknown", self._clock)
        said = self._said[handle]
        if said is None:
            return unreadable(tag, "BadWaitingForInitialData", self._clock)
        past = said.replayed or self._precedes_command(handle, said)
        if past and said.quality is Quality.GOOD:
            return said._replace(quality=Quality.UNCERTAIN, status=LAST_USABLE)
        return said._replace(confirmed=not past)

    def _precedes_command(self, handle: int, said: Reading) -> bool:
        """Whether a value is from before the last set-point was sent, and so no word on what became of it.

        The value sent is such a word at whatever time by the device's clock, if it came after the sending.
        """
        sent = self._sent.get(handle)
        if sent is None or _ms(said.source_time_utc) > _ms(sent.sent_utc):
            return False
        tag = said.tag
        reached = said.value is not None and equal_enough(
            said.value, sent.value, data_type=tag.data_type, tolerance=0.0
        )
        return not (reached and said.received_utc >= sent.sent_utc)

    # --- commands ---

    def refusal(self, tag: Tag, value: Value) -> WriteOutcome | None:
        """Why no write of this tag can be confirmed, or None."""
        unheard = self._unheard.get(self._known[tag.path])
        return None if unheard is None else refused("BadUserAccessDenied", f"{unheard}; nothing was sent")

    async def write(self, writes: Sequence[tuple[Tag, Value]], until_s: float) -> list[WriteOutcome]:
        """Send once; a device that confirms has accepted, a broker or device that says no has refused."""
        self._demand_wire()
        answers = [self._send(tag, value) for tag, value in writes]
        words = [functools.partial(self._no_word, tag) for tag, _ in writes]
        return await self._answers(answers, until_s, words)

    def _no_word(self, tag: Tag) -> str:
        return f"{self._topics.commands[self._known[tag.path]]} was sent, and no confirmation came in time"

    def _send(self, tag: Tag, value: Value) -> asyncio.Future[WriteOutcome]:
        handle = self._known[tag.path]
        answer = self._pend()
        id, now_utc = uuid.uuid4().hex, self._clock.now_utc()
        exact = float(value) if tag.data_type in (DataType.FLOAT, DataType.DOUBLE) else value
        path = self._topics.addresses[handle].path
        try:
            taken = self._wire.send(
                self._topics.commands[handle],
                self._format.command(tag, exact, path, now_ms=_ms(now_utc), id=id),
                qos=self._settings.command_qos,
                expiry_s=math.ceil(self._settings.deadline_s),
            )
        except NothingSent as problem:
            answer.set_result(not_sent("BadTooManyOperations", str(problem)))
            return answer
        before, sent = self._sent.get(handle), _Sent(exact, now_utc)
        self._sent[handle] = sent
        answer.add_done_callback(functools.partial(self._take_back_if_refused, handle, sent, before))
        taken.add_done_callback(functools.partial(self._taken, tag, answer))
        self._commands[id] = _Command(handle, exact, answer)
        answer.add_done_callback(lambda _: self._commands.pop(id, None))
        return answer

    def _take_back_if_refused(
        self, handle: int, sent: _Sent, before: _Sent | None, answer: asyncio.Future[WriteOutcome]
    ) -> None:
        """What was refused will not take effect any more: then only what was sent before may."""
        if answer.cancelled() or answer.result().result is not WriteResult.REFUSED:
            return
        if self._sent.get(handle) is sent:
            del self._sent[handle]
            if before is not None:
                self._sent[handle] = before

    def _taken(self, tag: Tag, answer: asyncio.Future[WriteOutcome], taken: asyncio.Future[Answer]) -> None:
        """The broker's word: it can say no, but its yes is only that of a postman."""
        if taken.cancelled() or taken.exception() is not None or answer.done():
            return
        said = taken.result()
        topic = self._topics.commands[self._known[tag.path]]
        if said.failed:
            answer.set_result(
                refused(
                    "BadUserAccessDenied", f"the broker refuses {topic}: {said.name}; grant it to this user"
                )
            )
        elif said.unheard:
            answer.set_result(refused("BadNoCommunication", f"no device is subscribed to {topic}"))

    def _confirmed(self, message: Message) -> None:
        """A device's word. A retained one is of the past, whatever it says."""
        if message.retained or message.too_long:
            return
        for handle in self._topics.confirmations[message.topic]:
            tag = self._freshness.tags[handle]
            said = self._format.confirmation(message.payload, tag, self._topics.addresses[handle].path)
            if said is None:
                log.warning("link.confirmation_unreadable", link=self._link, topic=message.topic)
                return
            sent = self._sent.get(handle)
            if said.accepted is not False and sent is not None and confirms(said, sent.value, tag):
                self._reached(handle, sent, said.time_utc, message.received_utc)
            if said.id:
                concerned = [self._commands[said.id]] if said.id in self._commands else []
            else:
                concerned = [command for command in self._commands.values() if command.handle == handle]
                if len(concerned) > 1:  # which one a nameless no is about cannot be told
                    concerned = [c for c in concerned if confirms(said, c.value, tag)][:1]
            for command in concerned:
                if command.handle != handle or command.answer.done():
                    continue
                if said.accepted is False:
                    command.answer.set_result(
                        refused("BadDeviceFailure", f"the device said no: {said.said or 'without a reason'}")
                    )
                elif (said.accepted and said.id) or confirms(said, command.value, tag):
                    status = said.said if said.said.startswith("Good") else "Good"
                    command.answer.set_result(WriteOutcome(result=WriteResult.ACCEPTED, status=status))

    def _reached(self, handle: int, sent: _Sent, told_utc: datetime | None, received_utc: datetime) -> None:
        """A device confirms the value sent: that is its newest word on the tag, until its topic says more.

        It is not handed on: what the topic shows is what is stored.
        """
        if told_utc is None or not sent.sent_utc <= told_utc <= received_utc:
            told_utc = received_utc
        tag = self._freshness.tags[handle]
        self._said[handle] = Reading(tag, sent.value, Quality.GOOD, told_utc, received_utc)


def _ms(moment_utc: datetime) -> int:
    return round(moment_utc.timestamp() * 1000)
