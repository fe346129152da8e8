"""The Sparkplug B host application as a state machine: messages and time in, readings and messages out.

Nothing here reads a clock or touches a wire. All times are milliseconds since 1970, UTC; whoever holds the wire
passes them in and carries out the `Effects`. Births are not retained, so whatever was known ends with the
connection. What is wrong with a message is counted in `counts` and never raised:

foreign: topics of other namespaces or malformed; unwanted: nodes and groups nobody asked for; retained: births,
data, deaths and commands that the broker had kept, which say nothing about now; too_large, garbage: payloads
refused unread, and unreadable ones; commands_seen: commands of others; duplicates, late, gaps, in_doubt, unborn:
messages that came twice, from before a birth, out of order, without their predecessors, without a birth;
unknown_metrics, type_changes, unreadable, irregular: what breaks the node's own announcements; historical:
values marked so; deaths_ignored: of an earlier connection or of what was not alive; lives_missed: deaths of a later
connection whose birth was not seen; rebirths_asked; states_seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag, Value
from bridge.errors import PayloadError
from bridge.links import sparkplug_address
from bridge.links.sparkplug_block import Block
from bridge.links.sparkplug_commands import Command, Commands, Facts
from bridge.links.sparkplug_effects import Effects, Outgoing, utc
from bridge.links.sparkplug_node import Node, NodeState, Pace
from bridge.links.sparkplug_readings import (
    LAST_KNOWN,
    METRIC_TYPES,
    NO_DATA,
    NOT_CONNECTED,
    WRONG_TYPE,
    Readings,
)
from bridge.ports import WriteOutcome, WriteResult
from bridge.sparkplug import topics
from bridge.sparkplug.payload import MAX_BYTES, Received
from bridge.sparkplug.topics import Topic, Verb

_JITTER_MS = 1_000
UNBORN = "BadWaitingForInitialData"
_DATA_VERBS = (Verb.NBIRTH, Verb.NDATA, Verb.DBIRTH, Verb.DDATA, Verb.DDEATH)


class Host:
    """A host application for the nodes that the tags' addresses name.

    host_id: our name in STATE. primary: whether STATE is published. reorder_ms: how long a message missing from
    a node's sequence may still come. rebirth_every_ms: least time between two rebirth requests to one node.
    max_bytes: longest payload that is read. Raises ValueError for addresses that cannot be, all of them at once.
    """

    def __init__(
        self,
        host_id: str,
        tags: Sequence[Tag],
        *,
        primary: bool = True,
        reorder_ms: float = 2_000,
        rebirth_every_ms: float = 10_000,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._state_topic = topics.state_topic(host_id)
        self._host_id = host_id
        self._primary = primary
        self._max_bytes = max_bytes
        self._readings = Readings(tags)
        self._commands = Commands()
        self._handles = {tag.path: handle for handle, tag in enumerate(tags)}
        self._places: list[tuple[Node, Block, str]] = []
        self._nodes: dict[tuple[str, str], Node] = {}
        self._topics: dict[str, Topic] = {}
        self._will_ms: int | None = None
        self._online = False
        self._now_ms = self._set_back_ms = 0
        pace = Pace(reorder_ms, rebirth_every_ms, 2 * max_bytes)
        problems = []
        for handle, tag in enumerate(tags):
            try:
                self._want(handle, sparkplug_address.parse(tag.address), pace)
            except ValueError as problem:
                problems.append(f"{tag.path}: {problem}")
        if problems:
            raise ValueError("\n".join(problems))

    def _want(self, handle: int, address: sparkplug_address.Address, pace: Pace) -> None:
        key = address.group, address.node
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = Node(*key, pace, self._readings, self._commands, self.counts)
        block = node.devices.setdefault(address.device, Block()) if address.device else node.own
        if address.metric in block.wanted:
            raise ValueError("another tag has the same address")
        block.wanted[address.metric] = handle
        self._places.append((node, block, address.device))

    @property
    def nodes(self) -> Mapping[tuple[str, str], Node]:
        """The wanted nodes by group and id."""
        return self._nodes

    def handle(self, tag: Tag) -> int:
        """A tag's position among the tags given; KeyError for another link's."""
        return self._handles[tag.path]

    # --- the session ---

    def will(self, now_ms: int) -> Outgoing | None:
        """What the broker shall say when we vanish; to be given with CONNECT. None when not primary."""
        self._will_ms = now_ms
        return self._state(False, now_ms)

    def filters(self) -> list[tuple[str, int]]:
        """Topic filters with their QoS: our own STATE, and every message of the wanted nodes and their devices.

        Devices all, wanted or not: a node counts its messages over all of them.
        """
        found = [(self._state_topic, 1)] if self._primary else []
        for group, node in self._nodes:
            found.append((topics.topic(Verb.NDEATH, group, node), 1))
            for verb in _DATA_VERBS:
                own = f"{topics.NAMESPACE}/{group}/{verb}/{node}"
                found.append((f"{own}/+" if verb.of_device else own, 0))
        return found

    def connected(self, now_ms: int) -> Effects:
        """A new session is there and the filters are subscribed: say that we are online, and await births."""
        out = self._moment(now_ms, None)
        self._online = True
        for node in self._nodes.values():
            node.await_birth(out.steady_ms)
        state = self._state(True, now_ms if self._will_ms is None else self._will_ms)
        if state is not None:
            out.sends.append(state)
        return out

    def disconnected(self) -> None:
        """The wire is gone: every metric is stale until its next birth, and no command can be confirmed any more."""
        self._online = False
        self._commands.forget_all()
        for node in self._nodes.values():
            node.forget()

    def goodbye(self, now_ms: int) -> Outgoing | None:
        """What to publish before DISCONNECT, which keeps the will from being sent. None when not primary."""
        self._online = False
        return self._state(False, now_ms)

    def _state(self, online: bool, time_ms: int) -> Outgoing | None:
        if not self._primary:
            return None
        text = json.dumps({"online": online, "timestamp": time_ms})
        return Outgoing(self._state_topic, text.encode(), qos=1, retain=True)

    def tick(self, now_ms: int, into: Effects | None = None) -> Effects:
        """Let time pass; to be called several times a second."""
        out = self._moment(now_ms, into)
        if self._online:
            for node in self._nodes.values():
                node.tick(out)
        return out

    def on_message(
        self, topic: str, data: bytes, *, retained: bool, now_ms: int, into: Effects | None = None
    ) -> Effects:
        """Take one message, in the order of arrival. Never raises for what others send.

        `into` collects several messages of one batch in one answer.
        """
        out = self._moment(now_ms, into)
        place = self._topics.get(topic) or self._place(topic)
        if place is None:
            return out
        verb, group, name, device = place
        if verb is Verb.STATE:
            self._own_state(data, out)
            return out
        if retained:
            self.counts["retained"] += 1  # births, data and deaths speak of their moment, not of now
            return out
        node = self._nodes[group, name]
        if len(data) > self._max_bytes:
            self.counts["too_large"] += 1
            node.unreadable(f"a {verb} of {len(data)} bytes; allowed are {self._max_bytes}", out)
            return out
        try:
            received = Received(data, max_bytes=self._max_bytes)
        except PayloadError as problem:
            self.counts["garbage"] += 1
            node.unreadable(f"a {verb}: {problem}", out)
            return out
        node.take(verb, device, received, hash((topic, data)), out)
        return out

    def _moment(self, now_ms: int, into: Effects | None) -> Effects:
        """Effects of this moment. Timers must not wait for an hour because a clock was set back by one.

        Messages may be given a little later than they arrived, after a tick: that is no clock set back.
        """
        if now_ms < self._now_ms - _JITTER_MS:
            self._set_back_ms += self._now_ms - now_ms
            self._now_ms = now_ms
        elif now_ms > self._now_ms:
            self._now_ms = now_ms
        out = Effects(now_ms) if into is None else into
        steady_ms = self._now_ms + self._set_back_ms
        if out.steady_ms != steady_ms or out.now_ms != now_ms:
            out.at(now_ms, steady_ms)
        return out

    def _place(self, text: str) -> Topic | None:
        """What a topic says; None, and counted, when it is nothing to us. Remembered for wanted nodes only."""
        try:
            place = topics.parse(text)
        except PayloadError:
            self.counts["foreign"] += 1
            return None
        if place.verb is Verb.STATE:
            if place.node == self._host_id:
                return place
            self.counts["states_seen"] += 1
        elif place.verb in (Verb.NCMD, Verb.DCMD):
            self.counts["commands_seen"] += 1
        elif (place.group, place.node) not in self._nodes:
            self.counts["unwanted"] += 1
        else:
            if not place.device or place.device in self._nodes[place.group, place.node].devices:
                self._topics[text] = place
            return place
        return None

    def _own_state(self, data: bytes, out: Effects) -> None:
        """Somebody says of us that we are offline, such as the late will of our last connection: contradict."""
        self.counts["states_seen"] += 1
        try:
            said = json.loads(data)
            online, time_ms = said["online"], said["timestamp"]
        except (ValueError, KeyError, TypeError, RecursionError):
            out.say("host.state_unreadable", host=self._host_id, bytes=len(data))
            return
        if not self._online or self._will_ms is None:
            return
        if online is not True:
            state = self._state(True, self._will_ms)
            if state is not None:
                out.sends.append(state)
                out.say("host.state_restored", host=self._host_id)
        elif time_ms != self._will_ms:
            out.say("host.id_shared", host=self._host_id)

    # --- tags ---

    def facts(self, tag: Tag) -> Facts | None:
        """What the present birth says of a tag's metric; None without one."""
        handle = self._handles[tag.path]
        node, block, _ = self._places[handle]
        return block.facts.get(handle) if node.state is NodeState.ALIVE and block.alive else None

    def read(self, tag: Tag, now_ms: int) -> Reading:
        """The present value, `confirmed`: a metric of a node without gap is current until it reports another.

        Bad without a value when the node or device is unborn or dead, when the birth has no such metric, or when
        it is null or nothing a tag can hold; uncertain with its last value while messages are missing, and from
        the sending of a command until the node has said something newer.
        """
        handle = self._handles[tag.path]
        node, block, _ = self._places[handle]
        received_utc = utc(now_ms)
        latest = self._readings.latest[handle]
        status = self._absence(handle, node, block)
        if status or latest is None:
            return Reading(
                tag, None, Quality.BAD, received_utc, received_utc, status or NO_DATA, confirmed=True
            )
        doubtful = node.state is NodeState.IN_DOUBT or node.gap or self._commands.unheard(handle)
        if doubtful and latest.quality is Quality.GOOD:
            latest = latest._replace(quality=Quality.UNCERTAIN, status=LAST_KNOWN)
        return latest._replace(received_utc=received_utc, confirmed=True)

    @staticmethod
    def _absence(handle: int, node: Node, block: Block) -> str:
        state = _state_of(node, block)
        if state is NodeState.DEAD:
            return NOT_CONNECTED
        if state is NodeState.UNBORN:
            return UNBORN
        return block.problems[handle].status if handle in block.problems else ""

    def refusal(self, tag: Tag, value: Value) -> WriteOutcome | None:
        """Why a write is not sent: the node cannot take it now, or its birth forbids it. None when it may go."""
        handle = self._handles[tag.path]
        node, block, device = self._places[handle]
        where = "/".join(part for part in (node.group, node.node, device) if part)
        if not self._online:
            return _not_sent(WriteResult.NOT_SENT, NOT_CONNECTED, f"{tag.path}: no session with the broker")
        state = _state_of(node, block)
        if state is not NodeState.ALIVE:
            status = UNBORN if state is NodeState.UNBORN else NOT_CONNECTED
            return _not_sent(WriteResult.NOT_SENT, status, f"{tag.path}: {where} is {state}")
        if node.gap:
            words = f"{tag.path}: messages of the node {node.group}/{node.node} are missing"
            return _not_sent(WriteResult.NOT_SENT, NOT_CONNECTED, words)
        facts = block.facts.get(handle)
        if facts is None:
            problem = block.problems[handle]
            return _not_sent(WriteResult.REFUSED, problem.status, f"{tag.path}: {problem.reason}")
        wanted = METRIC_TYPES[tag.data_type]
        if facts.type is not wanted:
            return _not_sent(
                WriteResult.REFUSED,
                WRONG_TYPE,
                f"{tag.path}: configured as {tag.data_type}, its birth announces {facts.type}",
            )
        if facts.read_only:
            return _not_sent(WriteResult.REFUSED, "BadNotWritable", f"{tag.path}: its birth says readOnly")
        return None

    def command(self, tag: Tag, value: Value, now_ms: int) -> Command | WriteOutcome:
        """An NCMD or DCMD to publish now, with the birth's type; or why there is none."""
        refused = self.refusal(tag, value)
        if refused is not None:
            return refused
        handle = self._handles[tag.path]
        node, block, device = self._places[handle]
        verb = Verb.DCMD if device else Verb.NCMD
        topic = topics.topic(verb, node.group, node.node, device)
        try:
            return self._commands.make(topic, handle, block.facts[handle], value, now_ms)
        except ValueError as problem:
            return _not_sent(WriteResult.REFUSED, WRONG_TYPE, f"{tag.path}: {problem}")

    def give_up(self, tag: Tag, number: int) -> str:
        """Wait no longer for a command's confirmation; what was seen instead of it, empty when nothing was.

        Where nothing newer was heard of the tag, the node is asked for a birth, since it may never speak of the tag
        by itself: what it answers after the command shows what became of it. So is one whose clock was seen ahead
        of ours: its reports may count for too old since that was mended, and births measure it anew.
        """
        handle = self._handles[tag.path]
        node, _, _ = self._places[handle]
        if self._commands.unheard(handle) or node.ahead_ms:
            node.ask_soon()
        return self._commands.give_up(number)

    def withdraw(self, number: int) -> None:
        """Forget a command that did not leave."""
        self._commands.withdraw(number)

    def distrust(self, topic: str, reason: str, into: Effects) -> None:
        """A message of this topic was taken by half or not at all: its node is in doubt until its next birth."""
        kept = min(len(into.readings), len(into.handles))
        del into.readings[kept:], into.handles[kept:]
        place = self._topics.get(topic) or self._place(topic)
        if place is not None and place.verb is not Verb.STATE:
            self._nodes[place.group, place.node].distrust(reason, into)

    def problems(self) -> dict[str, str]:
        """Tag path to reason, for every tag that has no present value."""
        found: dict[str, str] = {}
        for handle, (node, block, device) in enumerate(self._places):
            state = _state_of(node, block)
            if state is not NodeState.ALIVE:
                where = "/".join(part for part in (node.group, node.node, device) if part)
                found[self._readings.tags[handle].path] = f"{where} is {state}"
            elif handle in block.problems:
                found[self._readings.tags[handle].path] = block.problems[handle].reason
        return found


def _state_of(node: Node, block: Block) -> NodeState:
    """The state of a device is its node's as long as that is not alive, and then its own."""
    if block.died:
        return NodeState.DEAD
    return node.state if block.alive else NodeState.UNBORN


def _not_sent(result: WriteResult, status: str, detail: str) -> WriteOutcome:
    return WriteOutcome(result=result, status=status, detail=f"{detail}; nothing was sent")
