"""One session with one OPC UA server, in the bridge's own words: which nodes, which types, which subscriptions.

The wire underneath is `bridge.links.opcua.OpcUaWire`. Node ids and values that come from it are passed back
to it as they are; nothing here knows the client library.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from bridge.domain.reading import Reading
from bridge.domain.tag import DataType, Tag, Value
from bridge.errors import BridgeError
from bridge.links.freshness import Freshness
from bridge.links.opcua_address import Address, index_in, parse
from bridge.links.opcua_check import NodeFacts
from bridge.links.opcua_publishing import Publishing
from bridge.links.opcua_readings import StatusBook, to_reading, to_readings
from bridge.links.opcua_status import outcome
from bridge.links.supervision import NothingSent, batched, unreadable
from bridge.ports import Clock, WriteOutcome, WriteResult
from bridge.settings import OpcUaLinkSettings

if TYPE_CHECKING:  # that module builds on this one
    from bridge.links.opcua import OpcUaWire

log = structlog.get_logger(__name__)

_UNSTATED_LIMIT = 500  # for servers that do not state OperationLimits, or state 0
_CALL_MAX = 1_000  # however much a server allows: one call must fit our own deadline
_ITEMS_PER_SUBSCRIPTION = 5_000
_SILENT_KEEPALIVES = 3  # missed in a row before a subscription counts as dead
_NO_FACTS = NodeFacts(status="not described by the server")


class Granted(NamedTuple):
    """What a server made of a wish: of a subscription, or of one item. `status` is Good when it exists."""

    status: str
    interval_ms: float
    size: int  # keep-alive count of a subscription, queue size of an item


class OpcUaSession:
    """See `bridge.links.supervision.Session`."""

    def __init__(
        self,
        wire: OpcUaWire,
        settings: OpcUaLinkSettings,
        freshness: Freshness,
        sink: Callable[[list[Reading]], None],
        clock: Clock,
        *,
        link: str,
        statuses: StatusBook,
    ) -> None:
        self.lost = asyncio.Event()
        self.loss = ""
        self.resumable = False
        self.silence_s = 60.0
        self.asks_source = self.owes_changes = True
        self.writes_per_call = self._reads_per_call = self._items_per_call = _UNSTATED_LIMIT
        self._wire = wire
        self._settings = settings
        self._freshness = freshness
        self._sink = sink
        self._clock = clock
        self._link = link
        self._statuses = statuses
        self._addresses: dict[str, Address] = {
            tag.path: parse(tag.address, namespace=settings.namespace) for tag in freshness.tags
        }
        self._namespaces: list[str] = []
        self._nodes: dict[str, Any] = {}
        self._facts: dict[str, NodeFacts] = {}
        self._room: dict[int, int] = {}  # subscription id -> items it still takes
        self._publishing = Publishing(wire, self._accept, self._end, clock=clock, link=link)
        wire.on_lost = self._wire_lost

    @property
    def heard_s(self) -> float:
        """Monotonic time of the last message that a subscription brought, keep-alives included."""
        return self._publishing.heard_s

    # --- opening, taking up again, ending ---

    async def open(self) -> None:
        """Connect from nothing; raises LinkDown, DeadlineExceeded or AccessDenied."""
        await self._wire.connect()
        await self._look_around()
        await self.describe([tag for tag in self._freshness.tags if tag.writable])

    async def resume(self) -> bool:
        """Take up this session over a new wire; False when the server has forgotten it."""
        self.lost.clear()
        try:
            remembered = await self._wire.reconnect()
        except BridgeError as problem:
            self.drop(str(problem))
            raise
        if not remembered:
            self._end("the server has forgotten the session", False)
            return False
        self._publishing.start()
        return True

    def drop(self, reason: str) -> None:
        """Cut the wire now; what was not yet sent never will be."""
        self._end(reason, True)

    def abandon(self, reason: str) -> None:
        """Give the session up for good, but leave the wire for `close` to take leave on."""
        self.resumable = False
        self._lose(reason)

    async def close(self) -> None:
        """Take leave politely within a second, so that the server keeps no orphan, then drop."""
        self._publishing.stop()
        await self._wire.leave()
        self._end("closed", False)

    async def renew(self) -> None:
        """Renew the secure channel when it is due."""
        await self._wire.renew()

    def _wire_lost(self) -> None:
        self._end("the connection was lost", True)

    def _end(self, reason: str, resumable: bool) -> None:
        self.resumable = self.resumable and resumable
        self._lose(reason)
        self._wire.cut()

    def _lose(self, reason: str) -> None:
        self._publishing.stop()
        if not self.lost.is_set():
            self.loss = reason
            self.lost.set()

    # --- what the server says about itself and about our nodes ---

    async def _look_around(self) -> None:
        """Resolve namespaces, which may stand in another order after each restart, and read the limits."""
        self._namespaces, limits = await self._wire.read_server()
        self._reads_per_call, self.writes_per_call, self._items_per_call = (
            min(limit or _UNSTATED_LIMIT, _CALL_MAX) for limit in limits
        )
        for path, address in self._addresses.items():
            index = index_in(address, self._namespaces)
            if index is not None:
                self._nodes[path] = self._wire.node(address.node_id(index))

    async def describe(self, tags: Sequence[Tag]) -> dict[str, NodeFacts]:
        """Ask the server for type, rank and access of tags; remembered for later writes."""
        known = [tag for tag in tags if tag.path in self._nodes]
        facts = {
            tag.path: NodeFacts(status=self._unresolved(tag)) for tag in tags if tag.path not in self._nodes
        }
        size = max(1, self._reads_per_call // 5)  # five attributes of each
        for chunk in batched(known, size):
            answers = await self._wire.describe([self._nodes[tag.path] for tag in chunk])
            facts.update({tag.path: answer for tag, answer in zip(chunk, answers, strict=True)})
        self._facts.update(facts)
        return facts

    async def ranges(self, tags: Sequence[Tag]) -> dict[str, tuple[float, float]]:
        """The EURange of each tag that has one."""
        found: dict[str, tuple[float, float]] = {}
        for chunk in batched([tag for tag in tags if tag.path in self._nodes], self._reads_per_call):
            answers = await self._wire.ranges([self._nodes[tag.path] for tag in chunk])
            found.update({tag.path: bounds for tag, bounds in zip(chunk, answers, strict=True) if bounds})
        return found

    def resolved(self, tag: Tag) -> bool:
        """Whether the namespace of the tag's address is on the server."""
        return tag.path in self._nodes

    def missing_namespaces(self) -> list[str]:
        """A line for each namespace that tags need and the server does not have."""
        needed = Counter(a.namespace for path, a in self._addresses.items() if path not in self._nodes)
        return [
            f"link {self._link}: namespace {uri} is not on the server and {tags} tags need it; "
            f"it has {', '.join(self._namespaces)}"
            for uri, tags in needed.items()
        ]

    def _unresolved(self, tag: Tag) -> str:
        return f"namespace {self._addresses[tag.path].namespace} is not on the server"

    # --- subscriptions ---

    async def subscribe(self, handles: Sequence[int]) -> Mapping[int, str]:
        """Ask for tags; returns what was refused with the reason, and subscribes the rest."""
        tags = self._freshness.tags
        if not all(self.resolved(tags[handle]) for handle in handles):
            await self._look_around()
        undescribed = [tags[h] for h in handles if tags[h].writable and not self._known(tags[h]).exists]
        if undescribed:
            await self.describe(undescribed)
        refused = {h: self._unresolved(tags[h]) for h in handles if not self.resolved(tags[h])}
        asked = [h for h in handles if h not in refused]
        revised: Counter[Granted] = Counter()
        for chunk in batched(asked, min(self._items_per_call, _ITEMS_PER_SUBSCRIPTION)):
            subscription_id = await self._subscription_for(len(chunk))
            items = [(handle, self._nodes[tags[handle].path]) for handle in chunk]
            answers = await self._wire.create_items(subscription_id, items, queue_size=self._queue_size)
            for handle, granted in zip(chunk, answers, strict=True):
                if granted.status.startswith("Good"):
                    revised[granted] += 1
                    self._room[subscription_id] -= 1
                else:
                    refused[handle] = granted.status
        self._report_revised(revised)
        self.resumable = True
        return refused

    async def _subscription_for(self, items: int) -> int:
        for subscription_id, room in self._room.items():
            if room >= items:
                return subscription_id
        subscription_id, granted = await self._wire.create_subscription()
        self._room[subscription_id] = _ITEMS_PER_SUBSCRIPTION
        self._publishing.expect(subscription_id)
        if granted.interval_ms != self._settings.publishing_ms:
            log.warning(
                "link.publishing_revised",
                link=self._link,
                asked_ms=self._settings.publishing_ms,
                granted_ms=granted.interval_ms,
            )
        self.silence_s = 2.0 + _SILENT_KEEPALIVES * granted.interval_ms * granted.size / 1000
        return subscription_id

    @property
    def _queue_size(self) -> int:
        sampling_ms = self._settings.sampling_ms
        fitting = math.ceil(self._settings.publishing_ms / sampling_ms) if sampling_ms > 0 else 0
        return self._settings.queue_size or max(10, fitting)

    def _report_revised(self, revised: Mapping[Granted, int]) -> None:
        asked_ms = self._settings.sampling_ms
        for granted, items in revised.items():
            # 0 and -1 ask for whatever the server thinks best, so any answer to them is as asked.
            if 0 < asked_ms < granted.interval_ms or granted.size != self._queue_size:
                log.warning(
                    "link.items_revised",
                    link=self._link,
                    items=items,
                    sampling_asked_ms=asked_ms,
                    sampling_granted_ms=granted.interval_ms,
                    queue_asked=self._queue_size,
                    queue_granted=granted.size,
                )

    def _accept(self, notifications: Sequence[Any], replayed: bool) -> None:
        for notification in notifications:
            changes, ended = self._wire.unfold(notification)
            if changes:
                batch = to_readings(
                    changes,
                    self._statuses,
                    self._freshness,
                    now_s=self._publishing.heard_s,
                    received_utc=self._clock.now_utc(),
                    replayed=replayed,
                )
                self._sink(batch)
            if ended:
                self._end(f"the server ended the subscription: {ended}", False)

    # --- reads and writes ---

    async def read(self, tags: Sequence[Tag]) -> list[Reading]:
        """Present values in the order asked; the caller holds the deadline."""
        self._demand_wire()
        found: dict[str, Reading] = {}
        for chunk in batched([tag for tag in tags if tag.path in self._nodes], self._reads_per_call):
            answers = await self._wire.read_values([self._nodes[tag.path] for tag in chunk])
            received_utc = self._clock.now_utc()
            for tag, answer in zip(chunk, answers, strict=True):
                found[tag.path] = to_reading(tag, answer, self._statuses, received_utc, False, True)
        return [found.get(tag.path) or unreadable(tag, "BadNodeIdUnknown", self._clock) for tag in tags]

    async def probe(self) -> None:
        """Ask for the server's state; any answer is a sign of life, running or not."""
        self._demand_wire()
        await self._wire.read_state()

    def refusal(self, tag: Tag, value: Value) -> WriteOutcome | None:
        """Why the server's own description forbids this write, before anything is sent."""
        facts = self._known(tag)
        mismatch = facts.mismatch(tag) if facts.exists else facts.status
        if mismatch is None:
            return None
        return WriteOutcome(
            result=WriteResult.REFUSED,
            status="BadTypeMismatch" if facts.exists else "BadNodeIdUnknown",
            detail=f"{tag.path}: {mismatch}; nothing was sent",
        )

    async def write(self, writes: Sequence[tuple[Tag, Value]], until_s: float) -> list[WriteOutcome]:
        """Send once, the values alone, in the server's types.

        Raises NothingSent when no byte left, LinkDown when the answer was lost. No await lies between the
        look at the wire and the socket.
        """
        items = [
            (self._nodes[tag.path], tag.data_type, _exact(value, tag.data_type)) for tag, value in writes
        ]
        self._demand_wire()
        return [outcome(name) for name in await self._wire.write(items)]

    def _known(self, tag: Tag) -> NodeFacts:
        return self._facts.get(tag.path, _NO_FACTS)

    def _demand_wire(self) -> None:
        if not self._wire.is_open or self.lost.is_set():
            raise NothingSent(f"{self._settings.endpoint}: {self.loss or 'no connection'}")


def _exact(value: Value, data_type: DataType) -> Value:
    """A whole number for a floating tag becomes the float it stands for; nothing else changes."""
    return float(value) if data_type in (DataType.FLOAT, DataType.DOUBLE) else value
