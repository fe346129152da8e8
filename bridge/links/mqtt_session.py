"""What sessions over MQTT have in common: one wire that is never taken up again, and commands answered one by one."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import structlog

from bridge.domain.reading import Reading
from bridge.domain.tag import Tag
from bridge.links.freshness import Freshness
from bridge.links.mqtt_message import Message
from bridge.links.outcomes import not_sent, unknown
from bridge.links.supervision import NothingSent, Pace
from bridge.ports import WriteOutcome
from bridge.settings.links import BrokerSettings

if TYPE_CHECKING:  # that module is needed only where a wire is made
    from bridge.links.mqtt import MqttWire

log = structlog.get_logger(__name__)

LastWords = Sequence[tuple[str, bytes, int, bool]]
Words = Callable[[], str]

UNFORESEEN = (ArithmeticError, ValueError, LookupError, TypeError, RecursionError)
"""What reading a message may raise beyond what its reader knows. Anybody may publish anything, and one message must
not end a link for ever. Errors of the bridge and of the machine are not among them: they end the session as always."""

_MARGIN = 0.1  # of the time there is: outcomes are said so much before the caller gives up


class Sent(NamedTuple):
    """A command that was handed to the wire, or not: its outcome to come, and words for when none comes."""

    answer: asyncio.Future[WriteOutcome]
    words: Words


Send = Callable[[], Sent]


class BrokerSession(ABC):
    """See `bridge.links.supervision.Session`; the rest of that protocol is the subclass's."""

    def __init__(self, wire: MqttWire, freshness: Freshness) -> None:
        self.lost = asyncio.Event()
        self.loss = ""
        self.resumable = False  # a broker remembers by client id, over as many wires as it takes
        self.silence_s = 60.0
        self.writes_per_call = 500
        self.asks_source = False
        self.owes_changes = False  # a read repeats what messages said, or that there are none
        self.failed = 0
        """Messages whose reading failed in a way that nobody foresaw."""
        self._failed_topics: set[str] = set()
        self._wire = wire
        self._freshness = freshness
        self._known = {tag.path: handle for handle, tag in enumerate(freshness.tags)}
        self._pending: set[asyncio.Future[WriteOutcome]] = set()
        wire.on_messages = self._take
        wire.on_lost = self._wire_lost

    @property
    def heard_s(self) -> float:
        """Monotonic time of the last byte from the broker."""
        return self._wire.heard_s

    async def resume(self) -> bool:
        """Never: a new session takes over what the broker kept."""
        return False

    @abstractmethod
    def _take(self, messages: Sequence[Message]) -> None:
        """What the wire brought."""

    @abstractmethod
    def _present(self, tag: Tag) -> Reading:
        """What is known of a tag now, after a round trip to the broker."""

    def _note_failed(self, link: str, message: Message, problem: Exception) -> None:
        """Count a message that nobody foresaw, and say it once for its topic."""
        self.failed += 1
        if message.topic not in self._failed_topics:
            self._failed_topics.add(message.topic)
            log.warning(
                "link.message_failed",
                link=link,
                topic=message.topic,
                problem=type(problem).__name__,
                reason=str(problem)[:200],
            )

    def _last_words(self) -> LastWords:
        return ()

    async def read(self, tags: Sequence[Tag]) -> list[Reading]:
        """What is known after a round trip to the broker."""
        await self.probe()
        return [self._present(tag) for tag in tags]

    async def probe(self) -> None:
        """A round trip to the broker; the caller holds the deadline."""
        self._demand_wire()
        await self._wire.probe()

    def drop(self, reason: str) -> None:
        """Cut the wire now; what was not yet sent never will be."""
        self._lose(reason)
        self._wire.cut(reason)

    def abandon(self, reason: str) -> None:
        """Give the session up for good, but leave the wire for `close` to take leave on."""
        self._lose(reason)

    async def close(self) -> None:
        """Take leave politely within a second, then drop."""
        await self._wire.leave(self._last_words())
        self._lose("closed")

    def _wire_lost(self) -> None:
        self._lose(self._wire.loss)

    def _lose(self, reason: str) -> None:
        if not self.lost.is_set():
            self.loss = reason
            self.lost.set()
            self._wire.on_messages = _nothing  # what comes before the farewell belongs to nobody
        for answer in self._pending:
            if not answer.done():
                answer.set_result(
                    unknown(
                        "BadConnectionClosed",
                        f"the connection ended while a command was on its way: {reason}",
                    )
                )

    def _demand_wire(self) -> None:
        if not self._wire.is_open or self.lost.is_set():
            raise NothingSent(self.loss or self._wire.loss or "no connection to the broker")

    def _pend(self) -> asyncio.Future[WriteOutcome]:
        answer: asyncio.Future[WriteOutcome] = asyncio.get_running_loop().create_future()
        self._pending.add(answer)
        answer.add_done_callback(self._pending.discard)
        return answer

    async def _outcomes(self, sends: Sequence[Send], until_s: float, *, qos: int) -> list[WriteOutcome]:
        """Send commands once and wait for their outcomes; what has none in time is unknown, with its words.

        Beyond what the broker takes at once, a command of QoS 1 waits for its turn, and is not sent when that does
        not come. A command that the broker has taken is out of our hands, one that it may not have taken lies in a
        buffer somewhere: then the wire is cut, so that it does not arrive after we called it unknown. What is
        known when the caller's time is over is said all the same: a busy loop may wake us too late.
        """
        loop = asyncio.get_running_loop()
        margin_s = _MARGIN * max(0.0, until_s - loop.time())
        sent: list[Sent] = []
        taken: asyncio.Task[None] | None = None
        try:
            try:
                async with asyncio.timeout_at(until_s - margin_s):
                    for send in sends:
                        if qos:
                            await self._wire.room()
                        sent.append(send())
                    taken = asyncio.create_task(self._wire.probe())
                    await asyncio.wait([answer for answer, _ in sent])
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                if loop.time() < until_s:
                    raise
            self._overdue(sent, taken)
        finally:
            if taken is not None:
                taken.add_done_callback(_heard)
                taken.cancel()
        unsent = not_sent(
            "BadTooManyOperations",
            "the broker had not taken the commands before it in time, and takes no more at once",
        )
        return [answer.result() for answer, _ in sent] + [unsent] * (len(sends) - len(sent))

    def _overdue(self, sent: Sequence[Sent], taken: asyncio.Task[None] | None) -> None:
        open = [(answer, words) for answer, words in sent if not answer.done()]
        for answer, words in open:
            answer.set_result(unknown("BadTimeout", words()))
        proved = taken is not None and taken.done() and not taken.cancelled() and taken.exception() is None
        if open and not proved:
            self.drop("a command was not taken by the broker in time")


def _heard(task: asyncio.Task[None]) -> None:
    """Look at how a task ended that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _nothing(_: object) -> None:
    """The session is over."""


def client_id(settings: BrokerSettings, link: str) -> str:
    """The configured one, or one made of host name and link."""
    return settings.client_id or f"bridge-{socket.gethostname()}-{link}"


def pace(settings: BrokerSettings) -> Pace:
    """How patient a link over MQTT is."""
    return Pace(
        deadline_s=settings.deadline_s,
        reconnect_max_s=settings.reconnect_max_s,
        refresh_s=settings.refresh_s,
        probe_deadline_s=min(max(settings.deadline_s, 1.0), 5.0),
    )
