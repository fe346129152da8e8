"""The TagLink to devices that publish on plain topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from bridge.domain.reading import Reading
from bridge.domain.tag import Tag
from bridge.errors import AccessDenied, TryAgain
from bridge.links.freshness import Freshness
from bridge.links.mqtt import MqttWire
from bridge.links.mqtt_addresses import Topics
from bridge.links.mqtt_security import in_the_clear
from bridge.links.mqtt_session import client_id, pace
from bridge.links.mqtt_topics import PlainSession
from bridge.links.reading_queue import ReadingQueue
from bridge.links.supervision import SupervisedLink
from bridge.ports import Clock
from bridge.settings.links import MqttLinkSettings

_RECEIVE_MAXIMUM = 65_535
_LOOK_S = 0.1
LIVE = "-live"
"""Added to the client_id of a kept session: what is present comes over a clean one beside it."""


class MqttLink(SupervisedLink):
    """Plain topics behind one broker. ConfigError lists every address that cannot be."""

    def __init__(self, name: str, settings: MqttLinkSettings, tags: Sequence[Tag], clock: Clock) -> None:
        freshness = Freshness(tags)
        queue = ReadingQueue(capacity_values=settings.buffer_values)
        super().__init__(
            name, freshness, queue, pace=pace(settings), clock=clock, session=lambda: self._begin(queue)
        )
        self._settings = settings
        self._topics = Topics(name, settings, tags)
        self._latest: PlainSession | None = None
        # What is dropped is counted, and the broker must not wait for it for ever.
        queue.on_dropped = self.kept

    def kept(self, batch: Sequence[Reading]) -> None:
        """Let the broker forget the messages of a batch that is on durable storage, or was dropped."""
        if self._latest is not None:
            self._latest.kept(batch)

    def _begin(self, queue: ReadingQueue) -> PlainSession:
        self._latest = self._make(
            self._freshness,
            queue.put,
            client_id(self._settings, self._name),
            persistent=self._settings.persistent,
        )
        return self._latest

    def _make(
        self, freshness: Freshness, sink: Callable[[list[Reading]], None], id: str, *, persistent: bool
    ) -> PlainSession:
        settings, storage = self._settings, None
        if persistent:
            # So many messages that what they hold fits the queue: then a slow consumer slows the broker down, and
            # nothing is dropped here.
            ahead = settings.buffer_values // (2 * self._topics.tags_per_message)
            storage = MqttWire(
                settings,
                self._clock,
                client_id=id,
                persistent=True,
                session_expiry_s=settings.session_expiry_s,
                manual_ack=True,
                receive_maximum=max(1, min(ahead, _RECEIVE_MAXIMUM)),
                no_local=True,
            )
            id = f"{id}{LIVE}"
        return PlainSession(
            MqttWire(settings, self._clock, client_id=id, no_local=True),
            settings,
            self._topics,
            freshness,
            sink,
            self._clock,
            link=self._name,
            storage=storage,
        )

    async def check(self) -> list[str]:
        """Connect once under another client id, listen for `refresh_s`, and list all problems found.

        Looks at encryption, commands that may come late, the broker's refusals, what each topic carries against
        the tag's type, and topics on which nothing is heard. Nothing is sent to any device.
        """
        settings = self._settings
        clear = in_the_clear(settings)
        found = [f"link {self._name}: {clear}"] if clear else []
        if settings.version == "3.1.1" and settings.command_qos and self._topics.commands:
            found.append(
                f"link {self._name}: with command_qos = 1 on MQTT 3.1.1 the broker may deliver a command late, to a "
                "device that was away when it was sent; set command_qos = 0, or version = 5, where commands expire"
            )
        if settings.version == "3.1.1" and settings.persistent:
            found.append(
                f"link {self._name}: with persistent on MQTT 3.1.1 the broker alone decides how many messages it sends "
                "ahead (mosquitto: max_inflight_messages, 20) and how many it keeps for us (max_queued_messages, 1000; "
                "beyond that it drops without a word); set version = 5, where we say how many it may send ahead"
            )
        freshness = Freshness(self._freshness.tags)
        # Another id: with its own it would throw the running bridge out, and empty a kept session.
        session = self._make(
            freshness, _nothing, f"{client_id(settings, self._name)}-check", persistent=False
        )
        try:
            await session.open()
            refusals = await session.subscribe(range(len(freshness.tags)))
            until_s = self._clock.monotonic_s() + settings.refresh_s
            while None in freshness.latest and self._clock.monotonic_s() < until_s:
                await asyncio.sleep(_LOOK_S)
                await session.probe()
        except (TryAgain, AccessDenied) as problem:
            return [*found, f"link {self._name}: {problem}"]
        finally:
            await session.close()
        for handle, tag in enumerate(freshness.tags):
            where = f"tag {tag.path} ({tag.address})"
            if handle in refusals:
                found.append(f"{where}: {refusals[handle]}")
            elif freshness.latest[handle] is None:
                found.append(
                    f"{where}: nothing was heard within {settings.refresh_s:g} s; is the topic right, and does the "
                    "device publish?"
                )
            elif handle in session.why:
                found.append(f"{where}: {session.why[handle]}; correct data_type, the paths or the device")
            elif settings.persistent and handle in session.untimed:
                found.append(
                    f"{where}: its messages carry no time, so one that the broker delivers twice is stored twice; "
                    "correct timestamp_path or let the device send one"
                )
        return found


def _nothing(_: object) -> None:
    """Nobody listens: check looks at what is known in the end."""
