"""The kept session of a link to plain topics: for storage alone, and for nothing that anybody acts on.

What a broker kept for us comes at its own pace: it sends a window full, and the rest as we acknowledge, which is
when readings are on durable storage. So nothing tells reliably how old a message of a kept session is. Present
values, reads and commands have a clean session of their own (`mqtt_topics`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from bridge.domain.reading import Reading
from bridge.links.mqtt_addresses import Topics
from bridge.links.mqtt_message import Message
from bridge.links.mqtt_reader import Found, Reader

if TYPE_CHECKING:
    from bridge.links.mqtt import MqttWire

log = structlog.get_logger(__name__)

BATCH_MAX = 500  # readings; small against the queue, so that a whole batch is kept or dropped


class Storage:
    """Hands readings on and acknowledges their messages when they are kept.

    behind: while the broker may hold back what it kept, what comes is marked as replayed, and is uncertain where
    it has no time of its own. read: a message as readings; must not raise.
    """

    def __init__(
        self,
        wire: MqttWire,
        topics: Topics,
        read: Callable[[Reader, Message, Sequence[int], bool], list[Found]],
        reader: Reader,
        sink: Callable[[list[Reading]], None],
        *,
        link: str,
    ) -> None:
        self.wire = wire
        self.behind = True
        self._topics = topics
        self._read = read
        self._reader = reader
        self._sink = sink
        self._link = link
        self._owed: dict[
            int, tuple[list[Reading], list[Message]]
        ] = {}  # by id() of the batch, which is kept here
        self._strange: set[str] = set()
        self._unwanted: list[str] = []
        wire.on_messages = self._take

    async def open(self) -> None:
        """Connect; raises LinkDown, DeadlineExceeded or AccessDenied."""
        self.behind = True
        self.behind = await self.wire.connect()  # a broker that kept nothing has nothing to hold back

    async def renew(self) -> None:
        """See whether all that was kept is here, and take back topics that no tag wants any more.

        LinkDown or DeadlineExceeded.
        """
        if self.behind and await self.wire.caught_up():
            self.behind = False
            log.info("link.caught_up", link=self._link)
        if self._unwanted:
            unwanted, self._unwanted = self._unwanted, []
            log.info("link.topics_unwanted", link=self._link, topics=len(unwanted), first=unwanted[0])
            await self.wire.unsubscribe(unwanted)

    def kept(self, batch: Sequence[Reading]) -> None:
        """The batch is on durable storage, or dropped and counted: the broker may forget its messages."""
        owed = self._owed.pop(id(batch), None)
        if owed is not None:
            self.wire.acknowledge(owed[1])

    def end(self) -> None:
        """What still comes belongs to nobody: it is not acknowledged, and comes again."""
        self.wire.on_messages = _nothing

    def _take(self, messages: Sequence[Message]) -> None:
        batch: list[Reading] = []
        sources: list[Message] = []
        for message in messages:
            sources.append(message)
            handles = self._topics.values.get(message.topic)
            if handles is None:
                if message.topic not in self._strange:
                    self._strange.add(message.topic)
                    self._unwanted.append(message.topic)
                continue
            past = message.retained or message.duplicate or self.behind
            batch += [found.reading for found in self._read(self._reader, message, handles, past)]
            if len(batch) >= BATCH_MAX:
                self._hand_on(batch, sources)
                batch, sources = [], []
        self._hand_on(batch, sources)

    def _hand_on(self, batch: list[Reading], sources: list[Message]) -> None:
        if not batch:
            self.wire.acknowledge(sources)
            return
        self._owed[id(batch)] = (batch, sources)
        self._sink(batch)


def _nothing(_: object) -> None:
    """The session is over."""
