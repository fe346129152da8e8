"""The agent's tables as a Sparkplug edge node: keeps it on a broker, and keeps for later what the broker missed.

What a change goes through: into the outbox (synced), to the socket, and out of the outbox when a round trip to
the broker has proved that everything sent before was taken. Whatever is still in there when births go out is
sent as historical data, with its own time: live values first, history beside them. A process killed in between,
or a wire lost in between, sends the same change with the same time again: at least once, never not at all.

A broker may answer round trips and drop, by its rules, what we publish. So nothing leaves the outbox before the
first birth of the session has come back to us.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import structlog

from bridge.errors import AccessDenied, BufferDown, DeadlineExceeded, LinkDown, TryAgain
from bridge.ports import Clock
from bridge.publish.edge_metrics import Change, milliseconds
from bridge.publish.edge_node import EdgeNode, Outgoing, Phase
from bridge.publish.nodes import Node
from bridge.publish.outbox import BD_SEQS, Outbox
from bridge.publish.snapshot import Feed
from bridge.settings import PublishSparkplugSettings
from bridge.sparkplug.topics import Verb

log = structlog.get_logger(__name__)

_PROVE_BYTES = 256 * 1024  # handed over at most before the broker has to show that it keeps up
_HISTORY_CHANGES = 500  # read from the outbox at once
_FIRST_WAIT_S = 0.2
FIRST_LOOK_S = 5.0
"""How long births wait for the first look at the database."""
_REFUSED_WAIT_S = 30.0  # credentials rarely mend themselves; do not have the account locked for it


class Incoming(Protocol):
    """A message as it came."""

    @property
    def topic(self) -> str:
        """Where it was published."""
        ...

    @property
    def payload(self) -> bytes:
        """Its bytes; empty when it was too long to be taken."""
        ...

    @property
    def retained(self) -> bool:
        """Whether the broker had kept it."""
        ...


class Wire(Protocol):
    """One connection to a broker, as `bridge.links.mqtt.MqttWire` is one. Raises only errors of the bridge."""

    @property
    def lost(self) -> asyncio.Event:
        """Set when the connection has ended."""
        ...

    @property
    def loss(self) -> str:
        """Why it has ended, in words."""
        ...

    async def connect(self) -> bool:
        """Connect; LinkDown, DeadlineExceeded or AccessDenied."""
        ...

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> list[str]:
        """Subscribe filters with their QoS; for each "" or why it was refused."""
        ...

    def send(self, topic: str, payload: bytes) -> object:
        """Hand a message of QoS 0 to the socket now; LinkDown when that cannot be."""
        ...

    async def probe(self) -> None:
        """A round trip: what was sent before has been taken. The caller holds the deadline."""
        ...

    def cut(self, reason: str) -> None:
        """End the connection now."""
        ...

    async def leave(self, last: Sequence[tuple[str, bytes, int, bool]] = ()) -> None:
        """Say last words (topic, payload, QoS, retain) and part, within a second."""
        ...


Heard = Callable[[Sequence[Incoming]], None]


class OpenWire(Protocol):
    """Makes a wire that is not connected yet: with a will of QoS 1, not retained, or without one."""

    def __call__(self, will: tuple[str, bytes] | None, heard: Heard) -> Wire:
        """The wire, and who is told of messages."""
        ...


class EdgeStatus(NamedTuple):
    """The edge node as it is now. waiting, dropped: changes in the outbox, and those it could not hold."""

    phase: Phase
    waiting: int
    dropped: int
    detail: str


class EdgePublisher:
    """Keeps one edge node alive on one broker. Run it as one task; it leaves in good order when cancelled."""

    def __init__(
        self, settings: PublishSparkplugSettings, feed: Feed, clock: Clock, open_wire: OpenWire
    ) -> None:
        self._settings = settings
        self._feed = feed
        self._clock = clock
        self._open_wire = open_wire
        self._node = EdgeNode(settings.group, settings.node, primary_host=settings.primary_host)
        self._outbox = Outbox(settings.outbox, settings.outbox_max_bytes)
        self._out: deque[Outgoing] = deque()
        self._news = asyncio.Event()  # there may be something to send
        self._leave = ""
        self._shown_id = 0  # newest change of the outbox that the node shows
        self._bd_seq = -1
        self._unproved: dict[int, None] = {}
        self._doubted: dict[int, None] = {}  # sent and answered for, while births do not come back
        self._doubted_from = 0  # and the least id in there
        self._birth = b""  # the first NBIRTH of the session, as it was sent
        self._birth_heard = asyncio.Event()
        self._unheard = ""  # why nothing leaves the outbox, in words
        self._births = 0
        self._history_after = self._history_upto = self._history_sent = 0
        self._left = self._left_told = 0  # changes whose metrics the present births do not announce
        self._outbox_down = ""
        self._away = ""

    def status(self) -> EdgeStatus:
        """The edge node as it is now; cheap."""
        detail = self._away or self._unheard
        return EdgeStatus(self._node.phase, self._outbox.depth, self._outbox.dropped, detail)

    async def run(self, works: Callable[[], None] = lambda: None) -> None:
        """Publish until cancelled. `works` is told when births are out.

        ConfigError when the outbox cannot be used at all; a broker that is away or refuses us is waited for.
        """
        await self._outbox.open()
        self._shown_id = self._outbox.last_id
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                await self._stay(works)
        finally:
            await self._outbox.close()

    # --- what changes ---

    async def _follow(self) -> None:
        """Take what is published, put what changed on disk, and then show it.

        Births wait a moment for the first look at the database: without it they would tell every host, at each
        start, that the database is away.
        """
        nodes, _ = await self._feed.take()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S):
                while _unread(nodes):
                    nodes, _ = await self._feed.take()
        while True:
            await self._take_over(nodes)
            nodes, _ = await self._feed.take()

    async def _take_over(self, nodes: Mapping[str, Node]) -> None:
        changes = self._node.compare(nodes, self._now_ms())
        kept = [change for change in changes if self._node.keep(change)]
        ids = dict(
            zip(((one.place, one.timestamp_ms) for one in kept), await self._write_down(kept), strict=False)
        )
        numbered = [one._replace(id=ids.get((one.place, one.timestamp_ms), 0)) for one in changes]
        # From here to the queue nothing may wait: what is shown, what is queued and the ids belong together.
        out = self._node.show(nodes, numbered, self._now_ms())
        self._shown_id = max(self._shown_id, *ids.values(), 0)
        self._queue(out)

    async def _write_down(self, changes: Sequence[Change]) -> list[int]:
        """The ids of these changes in the outbox; none while it is down: they are sent all the same."""
        if not changes:
            return []
        try:
            ids = await self._outbox.append(changes)
        except BufferDown as problem:
            self._outbox_failed(problem)
            return []
        if self._outbox_down:
            log.info("publish.outbox_back")
            self._outbox_down = ""
        return ids

    def _queue(self, out: Sequence[Outgoing]) -> None:
        self._out.extend(out)
        if self._node.births != self._births:
            # Everything older than these births that the broker has not proved to have is history now.
            self._births = self._node.births
            self._history_after, self._history_upto, self._left = 0, self._shown_id, 0
        self._news.set()

    def _heard(self, messages: Sequence[Incoming]) -> None:
        for message in messages:
            if message.topic == self._node.birth_topic:
                self._heard_birth(message)
                continue
            found = self._node.received(
                message.topic, message.payload, retained=message.retained, now_ms=self._now_ms()
            )
            for notice in found.notices:
                log.warning("publish.message_refused", reason=notice)
            self._leave = self._leave or found.leave
            self._queue(found.out)
        self._news.set()

    def _heard_birth(self, message: Incoming) -> None:
        """Our own birth has come back, so the broker passes on what we say. One too long to be taken is empty."""
        too_long = len(self._birth) > self._settings.max_message_bytes and not message.payload
        if message.retained or not self._birth or not (too_long or message.payload == self._birth):
            return
        if self._unheard:
            log.info("publish.births_heard", waiting=self._outbox.depth)
            self._unheard = ""
        self._birth_heard.set()
        self._unproved.update(self._doubted)
        self._doubted.clear()

    # --- the connection ---

    async def _stay(self, works: Callable[[], None]) -> None:
        wait_s = _FIRST_WAIT_S
        was_refused = False
        while True:
            births = self._node.births
            try:
                reason = await self._session(works)
                refused = False
            except (TryAgain, AccessDenied) as problem:
                reason, refused = str(problem).splitlines()[0], isinstance(problem, AccessDenied)
            if self._node.births != births:
                wait_s = _FIRST_WAIT_S
            if not self._away or refused != was_refused:
                log.warning("publish.sparkplug_away", reason=reason, waiting=self._outbox.depth)
            self._away, was_refused = reason, refused
            await asyncio.sleep(_REFUSED_WAIT_S if refused else wait_s * random.uniform(0.5, 1.0))
            wait_s = min(2 * wait_s, self._settings.reconnect_max_s)

    async def _session(self, works: Callable[[], None]) -> str:
        """One connection from will to loss; why it was left, unless an error says it."""
        self._out.clear()
        self._leave = ""
        death = self._node.connecting(await self._next_bd_seq(), self._now_ms())
        wire = self._open_wire((death.topic, death.encoded()), self._heard)
        try:
            await wire.connect()
            await self._subscribe(wire)
            self._queue(self._node.connected(self._now_ms()))
            if self._node.phase is Phase.WAITING and self._settings.primary_host:
                log.info("publish.sparkplug_waiting", primary_host=self._settings.primary_host)
            return await self._serve(wire, works)
        finally:
            await self._part(wire)

    async def _next_bd_seq(self) -> int:
        try:
            self._bd_seq = await self._outbox.next_bd_seq()
        except BufferDown as problem:
            self._outbox_failed(problem)
            self._bd_seq = (self._bd_seq + 1) % BD_SEQS
        return self._bd_seq

    def _outbox_failed(self, problem: BufferDown) -> None:
        """Without the outbox the node goes on, and what the broker misses is lost: told once."""
        if not self._outbox_down:
            log.error("publish.outbox_down", reason=str(problem))
        self._outbox_down = str(problem)

    async def _part(self, wire: Wire) -> None:
        """Leave in good order as far as there is anything left of the connection."""
        self._node.lost()
        self._out.clear()
        self._unproved.clear()
        self._doubted.clear()
        self._birth = b""
        self._birth_heard.clear()
        death = self._node.death(self._now_ms())
        await wire.leave([(death.topic, death.encoded(), 1, False)])

    async def _subscribe(self, wire: Wire) -> None:
        filters = self._node.subscriptions()
        for (name, _), refusal in zip(filters, await wire.subscribe(filters), strict=True):
            if refusal and name == self._node.birth_topic:
                self._not_heard(f"the broker does not let us subscribe {name} ({refusal})")
            elif refusal and f"/{Verb.DCMD}/" not in name:  # commands to devices: only to be refused by name
                raise AccessDenied(f"{self._settings.broker}: {name}: {refusal}")

    async def _serve(self, wire: Wire, works: Callable[[], None]) -> str:
        told = 0
        while not wire.lost.is_set():
            if self._leave:
                return self._leave
            self._queue(self._node.tick(self._now_ms()))
            self._news.clear()
            if self._out:
                await self._hand_over(wire)
            elif self._unproved:
                await self._prove(wire)
            elif not await self._fetch_history():
                await self._wait(wire)
            if self._node.births != told and not self._out:
                told = self._node.births
                self._online(told)
                works()
        raise LinkDown(f"{self._settings.broker}: {wire.loss}")

    def _online(self, births: int) -> None:
        if self._away or births == 1:
            log.info(
                "publish.sparkplug_online",
                group=self._settings.group,
                node=self._settings.node,
                history=self._outbox.depth,
                dropped=self._outbox.dropped,
            )
        self._away = ""

    async def _hand_over(self, wire: Wire) -> None:
        """Send what is queued, in its order; never more ahead of the broker than it shows to have taken."""
        handed = 0
        while self._out:
            message = self._out.popleft()
            content = await asyncio.to_thread(message.encoded)
            self._unproved.update(dict.fromkeys(message.ids))
            if not self._birth and message.topic == self._node.birth_topic:
                self._birth = content
            wire.send(message.topic, content)
            handed += len(content)
            if handed > _PROVE_BYTES:
                await self._prove(wire)
                handed = 0

    async def _prove(self, wire: Wire) -> None:
        """Let go of what was sent, once a round trip shows that the broker has it, and an echo that it passes it on."""
        sent = list(self._unproved)
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                await wire.probe()
        except TimeoutError as problem:
            wire.cut("the broker did not answer in time")
            raise DeadlineExceeded(
                f"{self._settings.broker}: no answer within {self._settings.deadline_s:g} s"
            ) from problem
        if not sent:
            return
        if not await self._passed_on(wire):
            # They stay on disk, and leave it when a birth comes back.
            self._doubted.update(dict.fromkeys(sent))
            self._forget_dropped()
            for number in sent:
                self._unproved.pop(number, None)
            return
        try:
            await self._outbox.delete(sent)
        except BufferDown as problem:
            self._outbox_failed(problem)  # they stay, and are sent once more after the next births
        for number in sent:
            self._unproved.pop(number, None)

    def _forget_dropped(self) -> None:
        """What the outbox had no room for any more needs no birth to leave it."""
        oldest = self._outbox.oldest_id
        if oldest != self._doubted_from:
            self._doubted_from = oldest
            self._doubted = {number: None for number in self._doubted if number >= oldest}

    async def _passed_on(self, wire: Wire) -> bool:
        """Whether the first birth of this session has come back; waited for once, for as long as an answer."""
        if self._birth_heard.is_set() or self._unheard:
            return self._birth_heard.is_set()
        waiting = [asyncio.ensure_future(self._birth_heard.wait()), asyncio.ensure_future(wire.lost.wait())]
        try:
            await asyncio.wait(
                waiting, timeout=self._settings.deadline_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for one in waiting:
                one.cancel()
        if not self._birth_heard.is_set() and not wire.lost.is_set():
            self._not_heard(f"our own birth did not come back from {self._node.birth_topic}")
        return self._birth_heard.is_set()

    def _not_heard(self, why: str) -> None:
        """Told once: what is sent stays in the outbox, since nothing shows that anybody gets it."""
        if not self._unheard:
            log.warning("publish.births_not_heard", reason=why, waiting=self._outbox.depth)
        self._unheard = (
            f"{why}: nothing leaves the outbox; let this client publish spBv1.0/{self._settings.group}/"
            f"+/{self._settings.node}/# and subscribe {self._node.birth_topic}"
        )

    async def _fetch_history(self) -> bool:
        """Queue the next of what waits in the outbox; False when there is none, or none may go out now."""
        if not self._node.ready or self._history_after >= self._history_upto:
            return False
        births = self._births
        try:
            waiting = await self._outbox.read(self._history_after, self._history_upto, _HISTORY_CHANGES)
        except BufferDown as problem:
            self._outbox_failed(problem)
            self._history_after = self._history_upto
            return False
        if births != self._births or not self._node.ready:
            return True  # other births came in between, and history begins again after them
        if not waiting:
            self._history_after = self._history_upto
            if self._history_sent:
                log.info("publish.history_sent", changes=self._history_sent)
            if self._left and self._left != self._left_told:
                log.info("publish.history_left", changes=self._left)
            self._history_sent, self._left_told = 0, self._left
            return False
        self._history_after = waiting[-1].id
        sent = self._unproved.keys() | self._doubted.keys()
        fresh = [change for change in waiting if change.id not in sent]
        out, strange = self._node.history(fresh, self._now_ms())
        self._history_sent += len(fresh) - len(strange)
        # What these births do not announce stays: its metric may be known only after a look at the database.
        self._left += len(strange)
        self._queue(out)
        return True

    async def _wait(self, wire: Wire) -> None:
        """Until there is news, the wire is lost, or births are due."""
        due_ms = self._node.due_ms
        limit_s = None if due_ms is None else max(0.0, (due_ms - self._now_ms()) / 1000)
        waiting = [asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(wire.lost.wait())]
        try:
            await asyncio.wait(waiting, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    def _now_ms(self) -> int:
        return milliseconds(self._clock.now_utc())


def _unread(nodes: Mapping[str, Node]) -> bool:
    """Whether nothing has been read from the database yet."""
    looked = nodes.get("Agent/SnapshotAt")
    return looked is not None and looked.value is None
