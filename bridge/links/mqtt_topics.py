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

from bridge.domain.reading import Quality, Reading, is_late
from bridge.domain.tag import DataType, Tag, Value, equal_enough
from bridge.links.freshness import Freshness
from bridge.links.mqtt_addresses import Topics
from bridge.links.mqtt_message import Answer, Message
from bridge.links.mqtt_payload import Confirmation, Format, as_text, confirms
from bridge.links.mqtt_reader import LAST_USABLE, Found, Reader
from bridge.links.mqtt_session import UNFORESEEN, BrokerSession, Sent
from bridge.links.mqtt_storage import BATCH_MAX, Storage
from bridge.links.outcomes import not_sent, refused
from bridge.links.supervision import NothingSent, batched, unreadable
from bridge.ports import Clock, WriteOutcome, WriteResult
from bridge.settings.links import MqttLinkSettings

if TYPE_CHECKING:
    from bridge.links.mqtt import MqttWire

log = structlog.get_logger(__name__)

_FILTERS_PER_CALL = 500


class _Last(NamedTuple):
    """The last set-point that left for a tag; until the device says something newer, it may still take effect."""

    value: Value
    sent_utc: datetime


class _Command(NamedTuple):
    """A set-point on its way."""

    handle: int
    last: _Last
    answer: asyncio.Future[WriteOutcome]
    heard: list[str]  # what came and did not confirm it


class PlainSession(BrokerSession):
    """See `bridge.links.supervision.Session`.

    wire: of a clean session, for all that somebody acts on: present values, reads, commands and what devices say
    to them. storage: the wire of a kept session, whose messages are handed on and acknowledged when they are
    stored; without it what `wire` brings is handed on.
    """

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
        storage: MqttWire | None = None,
    ) -> None:
        super().__init__(wire, freshness)
        self._settings = settings
        self._topics = topics
        self._format = Format(settings)
        self._reader = Reader(self._format, topics, freshness.tags)
        self._sink = sink
        self._clock = clock
        self._link = link
        self._said: list[Reading | None] = [None] * len(freshness.tags)
        self._newest_utc: list[datetime | None] = [None] * len(freshness.tags)  # said on its topic as present
        self.why: dict[int, str] = {}
        """Words for each handle whose latest message could not be used as it is."""
        self._unheard: dict[int, str] = {}  # handle -> why its confirmations cannot be heard
        self._commands: dict[str, _Command] = {}
        self._sent: dict[int, _Last] = {}  # by handle; what a new session hears is newer than what was sent
        self._storage: Storage | None = None
        if storage is not None:
            reader = Reader(self._format, topics, freshness.tags)
            self._storage = Storage(storage, topics, self._read, reader, sink, link=link)
            storage.on_lost = lambda: self._lose(storage.loss)

    @property
    def untimed(self) -> set[int]:
        """Handles whose messages carry no time of their own."""
        return self._reader.untimed

    @property
    def heard_s(self) -> float:
        """Monotonic time of the last byte from the broker; of the wire that was silent for longer."""
        if self._storage is None:
            return self._wire.heard_s
        return min(self._wire.heard_s, self._storage.wire.heard_s)

    # --- opening and ending ---

    async def open(self) -> None:
        """Connect; raises LinkDown, DeadlineExceeded or AccessDenied."""
        await self._wire.connect()
        if self._storage is not None:
            await self._storage.open()

    async def subscribe(self, handles: Sequence[int]) -> Mapping[int, str]:
        """Ask for the tags' topics and those of their confirmations; what was refused, with the reason."""
        wanted = set(handles)
        values = [topic for topic, members in self._topics.values.items() if wanted.intersection(members)]
        confirmations = [
            t for t, members in self._topics.confirmations.items() if wanted.intersection(members)
        ]
        refusals: dict[str, str] = {}
        qos: int = self._settings.qos
        if self._storage is not None:
            refusals = await self._ask(self._storage.wire, [(topic, qos) for topic in values])
            qos = 0  # what is present now is never queued behind what was
        refusals |= await self._ask(self._wire, [(topic, qos) for topic in values])
        unheard = await self._ask(self._wire, [(topic, 1) for topic in confirmations])
        await self.probe()
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

    async def _ask(self, wire: MqttWire, filters: Sequence[tuple[str, int]]) -> dict[str, str]:
        refusals: dict[str, str] = {}
        for chunk in batched(filters, _FILTERS_PER_CALL):
            answers = await wire.subscribe(chunk)
            refusals.update({topic: why for (topic, _), why in zip(chunk, answers, strict=True) if why})
        return refusals

    async def probe(self) -> None:
        """A round trip to the broker, on each wire; the caller holds the deadline."""
        await super().probe()
        if self._storage is not None:
            await self._storage.wire.probe()

    async def renew(self) -> None:
        """See how far the kept session is."""
        if self._storage is not None:
            await self._storage.renew()

    def kept(self, batch: Sequence[Reading]) -> None:
        """The batch is on durable storage, or dropped and counted: the broker may forget its messages."""
        if self._storage is not None:
            self._storage.kept(batch)

    def drop(self, reason: str) -> None:
        """Cut both wires now; what was not yet sent never will be."""
        super().drop(reason)
        if self._storage is not None:
            self._storage.wire.cut(reason)

    async def close(self) -> None:
        """Take leave politely within a second, then drop."""
        if self._storage is not None:
            await asyncio.gather(super().close(), self._storage.wire.leave())
        else:
            await super().close()

    def _lose(self, reason: str) -> None:
        if self._storage is not None:
            self._storage.end()
        super()._lose(reason)

    # --- values ---

    def _take(self, messages: Sequence[Message]) -> None:
        now_s = self._clock.monotonic_s()
        batch: list[Reading] = []
        for message in messages:
            if message.topic in self._topics.confirmations:
                try:
                    self._confirmed(message)
                except UNFORESEEN as problem:
                    self._note_failed(self._link, message, problem)
            handles = self._topics.values.get(message.topic, ())
            for found in self._read(self._reader, message, handles, message.retained or message.duplicate):
                self._note(found, now_s)
                batch.append(found.reading)
            if len(batch) >= BATCH_MAX:
                self._hand_on(batch)
                batch = []
        self._hand_on(batch)

    def _read(self, reader: Reader, message: Message, handles: Sequence[int], past: bool) -> list[Found]:
        try:
            return reader.read(message, handles, past=past)
        except UNFORESEEN as problem:
            self._note_failed(self._link, message, problem)
            return reader.spoiled(message, handles, "BadInternalError", str(problem), past=past)

    def _hand_on(self, batch: list[Reading]) -> None:
        if batch and self._storage is None:
            self._sink(batch)

    def _note(self, found: Found, now_s: float) -> None:
        handle, reading, why = found
        if not reading.replayed and reading.quality is not Quality.BAD:
            newest_utc = self._newest_utc[handle]
            if newest_utc is not None and reading.source_time_utc < newest_utc <= reading.received_utc:
                return  # out of order, or from a source that repeats what was; not so if its clock was ahead
            if is_late(reading):
                age_s = (reading.received_utc - reading.source_time_utc).total_seconds()
                why = (
                    why or f"it was {age_s:.0f} s old on arrival, more than stale_after_s; is a clock wrong?"
                )
                reading = reading._replace(replayed=True)
            else:
                self._newest_utc[handle] = reading.source_time_utc
        self._say_why(handle, reading.tag, why)
        before = self._said[handle]
        if reading.replayed and before is not None and not before.replayed:
            return  # older news than what is known
        self._said[handle] = reading
        self._freshness.note(handle, _of_the_past(reading) if reading.replayed else reading)
        if not reading.replayed:
            self._freshness.notified_s[handle] = now_s

    def _say_why(self, handle: int, tag: Tag, why: str) -> None:
        if why:
            if handle not in self.why:
                log.warning("link.value_unusable", link=self._link, tag=tag.path, reason=why)
            self.why[handle] = why
        elif handle in self.why:
            del self.why[handle]
            log.info("link.value_usable_again", link=self._link, tag=tag.path)

    def _present(self, tag: Tag) -> Reading:
        handle = self._known.get(tag.path)
        if handle is None:
            return unreadable(tag, "BadNodeIdUnknown", self._clock)
        said = self._said[handle]
        if said is None:
            return unreadable(tag, "BadWaitingForInitialData", self._clock)
        past = said.replayed or self._precedes_command(handle, said)
        return _of_the_past(said) if past else said._replace(confirmed=True)

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
        sends = [functools.partial(self._send, tag, value) for tag, value in writes]
        return await self._outcomes(sends, until_s, qos=self._settings.command_qos)

    def _send(self, tag: Tag, value: Value) -> Sent:
        handle, heard = self._known[tag.path], list[str]()
        answer = self._pend()
        sent = Sent(answer, functools.partial(self._no_word, handle, heard))
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
            return sent
        before, last = self._sent.get(handle), _Last(exact, now_utc)
        self._sent[handle] = last
        answer.add_done_callback(functools.partial(self._take_back_if_refused, handle, last, before))
        taken.add_done_callback(functools.partial(self._taken, tag, answer))
        self._commands[id] = _Command(handle, last, answer, heard)
        answer.add_done_callback(lambda _: self._commands.pop(id, None))
        return sent

    def _no_word(self, handle: int, heard: Sequence[str]) -> str:
        words = heard[-1] if heard else "no confirmation came in time"
        return f"{self._topics.commands[handle]} was sent, and {words}"

    def _take_back_if_refused(
        self, handle: int, sent: _Last, before: _Last | None, answer: asyncio.Future[WriteOutcome]
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
            last = self._sent.get(handle)
            if said.accepted is not False and last is not None and confirms(said, last.value, tag):
                self._reached(handle, last, said.time_utc, message.received_utc)
            if said.id:
                concerned = [self._commands[said.id]] if said.id in self._commands else []
            else:
                concerned = [command for command in self._commands.values() if command.handle == handle]
                if len(concerned) > 1:  # which one a nameless no is about cannot be told
                    concerned = [c for c in concerned if confirms(said, c.last.value, tag)][:1]
            for command in concerned:
                if command.handle == handle and not command.answer.done():
                    self._judge(command, said, tag)

    def _judge(self, command: _Command, said: Confirmation, tag: Tag) -> None:
        """What a confirmation says of a command; nothing, if it is of before the sending or of another value."""
        answer, last = command.answer, command.last
        if _is_before(said.time_utc, last):
            command.heard.append("the confirmation that came has a time before the sending")
        elif said.accepted is False:
            words = f"the device said no: {said.said or 'without a reason'}"
            answer.set_result(refused("BadDeviceFailure", words))
        elif said.reported and not confirms(said, last.value, tag):
            shown = "another value" if said.value is None else as_text(said.value)
            command.heard.append(f"the device confirmed {shown} instead of {as_text(last.value)}")
        elif (said.accepted and said.id) or said.reported:
            status = said.said if said.said.startswith("Good") else "Good"
            answer.set_result(WriteOutcome(result=WriteResult.ACCEPTED, status=status))

    def _reached(self, handle: int, last: _Last, told_utc: datetime | None, received_utc: datetime) -> None:
        """A device confirms the value sent: that is its newest word on the tag, until its topic says more.

        It is not handed on: what the topic shows is what is stored.
        """
        if _is_before(told_utc, last):
            return
        if told_utc is None or told_utc > received_utc:
            told_utc = received_utc
        tag = self._freshness.tags[handle]
        self._said[handle] = Reading(tag, last.value, Quality.GOOD, told_utc, received_utc)


def _is_before(told_utc: datetime | None, last: _Last) -> bool:
    return told_utc is not None and _ms(told_utc) < _ms(last.sent_utc)


def _of_the_past(reading: Reading) -> Reading:
    """A good value that is not known to be present is the last one that was."""
    if reading.quality is not Quality.GOOD:
        return reading
    return reading._replace(quality=Quality.UNCERTAIN, status=LAST_USABLE)


def _ms(moment_utc: datetime) -> int:
    return round(moment_utc.timestamp() * 1000)
