"""Taking notifications from a server in order and without gaps, as OPC 10000-4 §5.14 numbers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import structlog

from bridge.errors import LinkDown
from bridge.ports import Clock

log = structlog.get_logger(__name__)

_IN_FLIGHT = 2  # one response on its way while the next request waits at the server: no pause between them
_REPUBLISH_MAX = 1_000
_NUMBER_MAX = 2**32 - 1  # OPC 10000-4 §7.8: after it comes 1, never 0


class Message(NamedTuple):
    """One publish response. `available` lists the numbers the server keeps until acknowledged.

    Without notifications it is a keep-alive, and `number` is the one that the next message will carry.
    """

    subscription_id: int
    number: int
    available: Sequence[int]
    notifications: Sequence[Any]


class SubscriptionGone(LinkDown):
    """The server no longer holds the session or its subscriptions."""


class TooManyRequests(LinkDown):
    """The server wants fewer publish requests at a time."""


class Wire(Protocol):
    """The two services needed here."""

    async def publish(self, acknowledged: Sequence[tuple[int, int]]) -> Message | None:
        """Acknowledge (subscription, number) pairs and wait for a message; None when the request lapsed.

        Raises LinkDown, SubscriptionGone or TooManyRequests.
        """
        ...

    async def republish(self, subscription_id: int, number: int) -> Sequence[Any]:
        """The notifications of one kept message; empty when the server has it no more. Raises LinkDown."""
        ...


class Publishing:
    """Keeps publish requests at the server while a session lives, and survives its cuts."""

    def __init__(
        self,
        wire: Wire,
        accept: Callable[[Sequence[Any], bool], None],
        ended: Callable[[str, bool], None],
        *,
        clock: Clock,
        link: str,
    ) -> None:
        """`accept` takes notifications and whether they are a replay; `ended` a reason and whether to resume."""
        self._wire = wire
        self._accept = accept
        self._ended = ended
        self._clock = clock
        self._link = link
        self._next_number: dict[int, int] = {}
        self._acknowledge: list[tuple[int, int]] = []
        self._in_order = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.heard_s = clock.monotonic_s()
        """Monotonic time of the last response, keep-alives included."""

    def expect(self, subscription_id: int) -> None:
        """Begin with a new subscription: its numbers start at 1 (OPC 10000-4 §5.14.1.1)."""
        self._next_number[subscription_id] = 1
        self.heard_s = self._clock.monotonic_s()
        if not self._tasks:
            self.start()

    def start(self) -> None:
        """Begin, or go on after a cut, with the numbers where they were."""
        self.heard_s = self._clock.monotonic_s()
        self._tasks = [
            asyncio.create_task(self._publish(), name=f"link {self._link} publish {number}")
            for number in range(_IN_FLIGHT)
        ]
        for task in self._tasks:
            task.add_done_callback(self._done)

    def stop(self) -> None:
        """Send no more requests."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def _done(self, task: asyncio.Task[None]) -> None:
        # Nobody awaits these tasks; a defect in one must end the session and not be quiet.
        if not task.cancelled() and (problem := task.exception()) is not None:
            log.error("link.publishing_broken", link=self._link, exc_info=problem)
            self._ended("publishing broke", False)

    async def _publish(self) -> None:
        while True:
            acknowledged, self._acknowledge = self._acknowledge, []
            try:
                message = await self._wire.publish(acknowledged)
                if message is None:
                    await asyncio.sleep(0.05)  # a server that lets every request lapse must not keep us busy
                    continue
                # The lock is fair: messages are taken in the order they came, also when one has to wait
                # for what was lost before it.
                async with self._in_order:
                    await self.take(message)
            except TooManyRequests:
                return  # the other task goes on
            except SubscriptionGone as problem:
                self._ended(str(problem), False)
                return
            except LinkDown as problem:
                self._acknowledge = [*acknowledged, *self._acknowledge]
                self._ended(str(problem), True)
                return

    async def take(self, message: Message) -> None:
        """Pass one message on, after whatever its number shows to be missing before it."""
        self.heard_s = self._clock.monotonic_s()
        expected = self._next_number.get(message.subscription_id, message.number)
        if message.number > expected:
            await self._fill(message, expected)
        if message.notifications:
            self._next_number[message.subscription_id] = message.number % _NUMBER_MAX + 1
            self._acknowledge.append((message.subscription_id, message.number))
            self._accept(message.notifications, False)
        elif message.number > expected:
            self._next_number[message.subscription_id] = message.number

    async def _fill(self, message: Message, first: int) -> None:
        """Fetch only what the numbers show to be missing and the server says it has.

        Asking on until the server says no, as a client may, never ends with servers that answer such a
        question with an empty message instead of an error.
        """
        kept = frozenset(message.available)
        replayed = 0
        for number in range(max(first, message.number - _REPUBLISH_MAX), message.number):
            notifications = (
                await self._wire.republish(message.subscription_id, number) if number in kept else ()
            )
            if notifications:
                self._acknowledge.append((message.subscription_id, number))
                self._accept(notifications, True)
                replayed += 1
        log.warning(
            "link.messages_replayed",
            link=self._link,
            replayed=replayed,
            lost=message.number - first - replayed,
        )
