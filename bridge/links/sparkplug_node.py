"""One edge node as a host sees it: births and deaths, the order of its messages, its aliases and its devices."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from bridge.links.sparkplug_block import Block, Problem, bd_seq
from bridge.links.sparkplug_commands import Commands, Facts, rebirth
from bridge.links.sparkplug_effects import Effects
from bridge.links.sparkplug_readings import NOT_ANNOUNCED, NOT_CONNECTED, WRONG_TYPE, Readings, can_hold
from bridge.sparkplug.payload import Change, Known, Received, known
from bridge.sparkplug.topics import Verb
from bridge.sparkplug.types import Metric, MetricType

BIRTH_WAIT_MS = (
    1_000  # so long nodes may birth by themselves after we have come online, before they are asked
)
_DOUBLINGS_MAX = 5
_UNWANTED = known("", MetricType.BOOLEAN, -1)
_QUALITY = "Quality"


class NodeState(StrEnum):
    """How far what is known of a node holds."""

    UNBORN = "unborn"  # no birth seen in this session
    ALIVE = "alive"
    IN_DOUBT = "in doubt"  # messages are missing: values may be outdated and aliases may mean something else
    DEAD = "dead"


class Pace(NamedTuple):
    """How patient a host is with its nodes; milliseconds. waiting_bytes: what may wait for a missing message."""

    reorder_ms: float
    rebirth_every_ms: float
    waiting_bytes: int


class _Waiting(NamedTuple):
    verb: Verb
    device: str
    received: Received
    digest: int
    since_ms: int


class Node:
    """Takes the messages of one edge node in any order and applies them in the order of their numbers."""

    def __init__(
        self,
        group: str,
        node: str,
        pace: Pace,
        readings: Readings,
        commands: Commands,
        counts: Counter[str],
    ) -> None:
        self.group, self.node = group, node
        self.own = Block()
        self.devices: dict[str, Block] = {}
        self.state = NodeState.UNBORN
        self.bd_seq: int | None = None
        self._pace = pace
        self._readings = readings
        self._commands = commands
        self._counts = counts
        self._expected = 0
        self._applied = [0] * 256  # by seq, the digest of the message last applied, to know duplicates by
        self._birth_digest = 0
        self._birth_sent_ms: int | None = None
        self._born_ms = 0
        self._ahead_ms = self._ahead_before_ms = (
            0  # how far ahead its clock was seen, in this life and the last
        )
        self._waiting: dict[int, _Waiting] = {}
        self._waiting_bytes = 0
        self._holding = False
        self._moved = False  # the last births gave a wanted metric another alias than before
        self._devices_due_ms: float | None = None
        self._asking = False
        self._ask_at_ms = self._asked_ms = -math.inf
        self._asked = 0  # requests since the last birth
        self._troubles = 0  # births in a row that did not help for long
        self._misspoke = False
        self._appliers: dict[Verb, Callable[[str, Received, Effects], None]] = {
            Verb.NDATA: self._data,
            Verb.DDATA: self._data,
            Verb.DBIRTH: self._device_birth,
            Verb.DDEATH: self._device_death,
        }

    def block(self, device: str) -> Block | None:
        """The wanted metrics of a device; of the node itself for an empty id."""
        return self.devices.get(device) if device else self.own

    def blocks(self) -> Iterator[Block]:
        """The node's own wanted metrics, then each wanted device's."""
        yield self.own
        yield from self.devices.values()

    # --- the session with the broker ---

    def forget(self) -> None:
        """The connection is gone or new: nothing that was known still holds."""
        self.state = NodeState.UNBORN
        for block in self.blocks():
            block.alive = block.died = False
        self._drop_waiting()
        self._devices_due_ms = None
        self._asking = False

    def await_birth(self, steady_ms: int) -> None:
        """A new session has begun: ask for a birth when none comes by itself."""
        if self.state is NodeState.UNBORN:
            self._asking, self._asked = True, 0
            self._ask_at_ms = max(steady_ms + BIRTH_WAIT_MS, self._asked_ms + self._pace.rebirth_every_ms)

    def tick(self, out: Effects) -> None:
        """Let time pass: give up waiting for missing messages, ask for births, miss devices."""
        if self._waiting:
            since_ms = min(waiting.since_ms for waiting in self._waiting.values())
            if out.steady_ms - since_ms >= self._pace.reorder_ms:
                self._doubt(f"message {self._expected} did not come", out)
        if self._devices_due_ms is not None and out.steady_ms >= self._devices_due_ms:
            self._devices_due_ms = None
            for block in self.devices.values():
                if not block.alive:
                    self._spoil(block, None, out)
        if self._asking and out.steady_ms >= self._ask_at_ms:
            self._ask(out)

    # --- messages ---

    def take(self, verb: Verb, device: str, received: Received, digest: int, out: Effects) -> None:
        """Take one message as it came; `digest` tells messages of the same bytes."""
        self._ahead_ms = max(self._ahead_ms, _ahead_ms(received, out))
        if verb is Verb.NBIRTH:
            self._birth(received, digest, out)
        elif verb is Verb.NDEATH:
            self._death(received, out)
        elif self.state is not NodeState.ALIVE:
            # Aliases may have been given anew by a birth we did not see: what they stand for is not guessed.
            self._counts["in_doubt" if self.state is NodeState.IN_DOUBT else "unborn"] += 1
            self._want_birth(out)
        elif received.seq is None or received.seq > 255:
            self._misspeak(f"{verb} with the sequence number {received.seq}", out)
            self._doubt(f"a {verb} without a sequence number from 0 to 255", out)
        elif received.seq != self._expected or self._holding or self._doubtful(received, out):
            self._out_of_order(verb, device, received, digest, out)
        else:
            if self._waiting:
                self._forget_waiting(self._expected)
            self._apply(verb, device, received, digest, out)
            if self._waiting:
                self._catch_up(out)

    @property
    def gap(self) -> bool:
        """Whether messages wait for one that is missing: what is known may be outdated, and aliases given anew."""
        return bool(self._waiting)

    @property
    def ahead_ms(self) -> int:
        """By how much the node's clock was seen to be ahead of ours: the most, since the birth before the last.

        Messages on their way for a while show less of it than there is, so no single one is enough.
        """
        return max(self._ahead_ms, self._ahead_before_ms)

    def ask_soon(self) -> None:
        """Ask a living node for a birth with the next tick, or as soon as the last request is long enough ago."""
        self._asking = self._asking or self.state is NodeState.ALIVE

    def distrust(self, reason: str, out: Effects) -> None:
        """A message was not taken as it should have been."""
        if self.state is NodeState.ALIVE:
            self._doubt(reason, out)

    def unreadable(self, detail: str, out: Effects) -> None:
        """A message that could not be read at all: its number is missing from now on."""
        self._misspeak(detail, out)

    def _apply(self, verb: Verb, device: str, received: Received, digest: int, out: Effects) -> None:
        self._applied[self._expected] = digest
        self._expected = (self._expected + 1) & 255
        self._appliers[verb](device, received, out)

    def _catch_up(self, out: Effects) -> None:
        while self.state is NodeState.ALIVE and self._expected in self._waiting:
            verb, device, received, digest, _ = self._waiting.pop(self._expected)
            self._waiting_bytes -= received.size
            self._apply(verb, device, received, digest, out)

    def _out_of_order(self, verb: Verb, device: str, received: Received, digest: int, out: Effects) -> None:
        seq = received.seq
        assert seq is not None
        before = self._waiting.get(seq)
        if self._applied[seq] == digest or (before is not None and before.digest == digest):
            self._counts["duplicates"] += 1
            return
        if seq != self._expected and self._of_former_life(received):
            self._counts["late"] += 1
            return
        if before is not None:
            self._doubt(f"two different messages carry the number {seq}", out)
            return
        if not self._waiting:
            self._counts["gaps"] += 1
        # A number far behind is that of a new life whose birth we have not seen: until it comes, or the time to
        # wait for it ends, not even the number expected may be read by the old aliases.
        self._holding = self._holding or (seq - self._expected) & 255 >= 128
        self._waiting[seq] = _Waiting(verb, device, received, digest, out.steady_ms)
        self._waiting_bytes += received.size
        if self._waiting_bytes > self._pace.waiting_bytes:
            self._doubt(f"more than {self._pace.waiting_bytes} bytes wait for message {self._expected}", out)

    def _of_former_life(self, received: Received) -> bool:
        """Whether a message says that it was sent before the last birth."""
        return _earlier(received.timestamp_ms, self._birth_sent_ms)

    def _doubtful(self, received: Received, out: Effects) -> bool:
        """Whether the number expected may be that of a late message from before the birth, by other aliases.

        Then it waits for another of that number. Nodes that stamp messages with the time of their data, or whose
        clock was set back, are not doubted for it as long as their aliases stay what they were.
        """
        return (
            self._moved
            and out.steady_ms - self._born_ms < self._pace.reorder_ms
            and self._of_former_life(received)
        )

    def _forget_waiting(self, seq: int) -> None:
        waiting = self._waiting.pop(seq, None)
        if waiting is not None:
            self._waiting_bytes -= waiting.received.size
            self._counts["late"] += 1

    # --- births and deaths ---

    def _birth(self, received: Received, digest: int, out: Effects) -> None:
        if self.state is NodeState.ALIVE and digest == self._birth_digest and not self._asking:
            self._counts["duplicates"] += 1
            return
        if self._outlived(received):
            self._counts["late"] += 1
            self._want_birth(out)
            return
        again = self.state is NodeState.ALIVE
        self.state = NodeState.ALIVE
        self._misspoke = self._moved = False
        self._birth_digest, self._birth_sent_ms = digest, received.timestamp_ms
        self._born_ms = out.steady_ms
        self._ahead_before_ms, self._ahead_ms = self._ahead_ms, _ahead_ms(received, out)
        self._asking, self._asked = False, 0
        self._ask_at_ms = self._asked_ms + self._distance_ms(self._troubles)
        if received.seq != 0:
            self._misspeak(f"NBIRTH with the sequence number {received.seq}, wanted 0", out)
        self._expected = ((received.seq or 0) + 1) & 255
        self._applied = [0] * 256
        self.bd_seq = None
        for block in self.devices.values():
            block.alive = False
        if self.devices:
            self._devices_due_ms = out.steady_ms + self._pace.reorder_ms
        metrics = self._announce(self.own, received, out)
        if self.bd_seq is None:
            self._misspeak("NBIRTH without bdSeq: any death will count", out)
        if not again:
            out.say("node.born", group=self.group, node=self.node, metrics=metrics)
        # What overtook its own birth still belongs to it.
        self._holding = False
        for seq, waiting in list(self._waiting.items()):
            if waiting.received.timestamp_ms is None or self._of_former_life(waiting.received):
                self._forget_waiting(seq)
        self._catch_up(out)

    def _outlived(self, received: Received) -> bool:
        """Whether a birth seems to be from before the present life, by its time and its bdSeq.

        A clock that was set back looks the same. So the node is asked, and whatever it answers is believed; and
        data that do not follow on the present life put it in doubt, where any birth counts.
        """
        if self.state is not NodeState.ALIVE or self._asking or not self._of_former_life(received):
            return False
        # One of the next connections is newer, although its clock says less.
        return not self._ahead(bd_seq(received))

    def _ahead(self, told: object) -> bool:
        """Whether a bdSeq is that of one of the connections after the present one."""
        return isinstance(told, int) and self.bd_seq is not None and 0 < (told - self.bd_seq) & 255 < 128

    def _device_birth(self, device: str, received: Received, out: Effects) -> None:
        block = self.block(device)
        if block is not None:
            died = block.died
            metrics = self._announce(block, received, out)
            if died:
                out.say("device.born", group=self.group, node=self.node, device=device, metrics=metrics)

    def _announce(self, block: Block, received: Received, out: Effects) -> int:
        """Learn names, aliases and types from a birth, and take the values it brings; returns their number."""
        announced: dict[int | str, Known | None] = {}
        before = block.facts
        block.facts, block.problems = {}, {}
        clashes: set[int] = set()
        changes: list[Change] = []
        metrics = 0
        for name, alias, whole in received.announced():
            metrics += 1
            if block is self.own and name == "bdSeq":
                found = whole().value
                self.bd_seq = found if isinstance(found, int) else None
            if not name or isinstance(name, bytes):
                self._misspeak(f"a birth with a metric without a name in UTF-8: {name!r}", out)
                continue
            handle = block.wanted.get(name, -1)
            entry = _UNWANTED
            if handle >= 0:
                entry = self._wanted(block, handle, whole(), changes, out)
            announced[name] = entry
            if alias is not None:
                if alias in announced:
                    clashes.add(alias)
                    self._misspeak(f"a birth gives the alias {alias} to {name!r} and to another metric", out)
                announced[alias] = entry
        for alias in clashes:
            announced[alias] = None  # nobody knows which of them is meant, unless data say the name as well
        moved = (
            was.alias != block.facts[handle].alias for handle, was in before.items() if handle in block.facts
        )
        self._moved = self._moved or any(moved)
        block.known = announced
        block.alive, block.died = True, False
        first = len(out.readings)
        self._readings.take(changes, received.timestamp_ms, out)
        self._commands.hear(first, received.timestamp_ms, self.ahead_ms, out)
        for name, handle in block.wanted.items():
            if handle in block.problems:
                self._readings.spoil(handle, WRONG_TYPE, None, out)
            elif handle not in block.facts:
                block.problems[handle] = Problem(NOT_ANNOUNCED, f"the birth has no metric {name!r}")
                if self._readings.latest[handle] is not None:
                    self._readings.spoil(handle, NOT_ANNOUNCED, None, out)
        return metrics

    def _wanted(
        self, block: Block, handle: int, metric: Metric, changes: list[Change], out: Effects
    ) -> Known:
        tag = self._readings.tags[handle]
        if metric.problem:
            self._misspeak(f"{metric.name}: {metric.problem}", out)
        if metric.type is None or metric.name is None:
            reason = metric.problem or "its birth announces no data type"
            block.problems[handle] = Problem(WRONG_TYPE, reason)
            return _UNWANTED
        block.facts[handle] = Facts(metric.name, metric.type, metric.alias, metric.properties)
        if not can_hold(tag, metric.type):
            reason = f"announced as {metric.type}, which a {tag.data_type} tag cannot hold"
            block.problems[handle] = Problem(WRONG_TYPE, reason)
            return _UNWANTED
        entry = known(metric.name, metric.type, handle)
        said = metric.properties.get(_QUALITY)
        code = None if said is None else said.value if isinstance(said.value, int) else 0
        changes.append(
            Change(
                entry,
                metric.timestamp_ms,
                metric.value,
                metric.is_historical,
                code,
                metric.problem if metric.value is None else "",
                False,
            )
        )
        return entry

    def _death(self, received: Received, out: Effects) -> None:
        told = bd_seq(received)
        lives = self.state in (NodeState.ALIVE, NodeState.IN_DOUBT)
        if lives and self._ahead(told):
            # A newer connection has come and gone unheard: the life we know is over, and nobody says what is now.
            self._counts["lives_missed"] += 1
            if self.state is NodeState.ALIVE:
                self._doubt(f"the death of a connection came (bdSeq {told}) whose birth did not", out)
            else:
                self._want_birth(out)
            return
        if not lives or (told is not None and self.bd_seq is not None and told != self.bd_seq):
            # The will of a connection that a newer one has replaced may come after the newer birth.
            self._counts["deaths_ignored"] += 1
            return
        self.state = NodeState.DEAD
        self._asking = False
        self._devices_due_ms = None
        self._drop_waiting()
        out.say("node.died", group=self.group, node=self.node)
        for block in self.blocks():
            self._spoil(block, None, out)

    def _device_death(self, device: str, received: Received, out: Effects) -> None:
        block = self.block(device)
        if block is None:
            return
        if not block.alive:
            self._counts["deaths_ignored"] += 1
            return
        out.say("device.died", group=self.group, node=self.node, device=device)
        self._spoil(block, received.timestamp_ms, out)

    def _spoil(self, block: Block, time_ms: int | None, out: Effects) -> None:
        block.alive, block.died = False, True
        for handle in block.wanted.values():
            self._readings.spoil(handle, NOT_CONNECTED, time_ms, out)

    # --- data ---

    def _data(self, device: str, received: Received, out: Effects) -> None:
        block = self.block(device)
        if block is None:
            return
        if not block.alive:
            self._counts["unborn"] += 1
            self._want_birth(out)
            return
        first = len(out.readings)
        odd, unknown = self._readings.take_data(received, block.known, out)
        if unknown:
            self._counts["unknown_metrics"] += len(unknown)
            self._misspeak(f"data of a metric that no birth announced: {unknown[0]!r}", out)
            self._want_birth(out)
        for change in odd:
            if change.problem:
                self._refuse(change, out)
            elif change.is_historical:
                self._counts["historical"] += 1
        self._commands.compare(first, self.ahead_ms, out)

    def _refuse(self, change: Change, out: Effects) -> None:
        self._counts["type_changes" if change.retyped else "unreadable"] += 1
        self._misspeak(f"{change.known.name}: {change.problem}", out)
        if change.retyped:
            self._want_birth(out)

    # --- doubt ---

    def _doubt(self, reason: str, out: Effects) -> None:
        out.say("node.doubted", group=self.group, node=self.node, reason=reason, dropped=len(self._waiting))
        self._counts["in_doubt"] += len(self._waiting)
        self.state = NodeState.IN_DOUBT
        self._drop_waiting()
        self._want_birth(out)

    def _drop_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        self._holding = False

    def _misspeak(self, detail: str, out: Effects) -> None:
        """Count what breaks the rules, and say the first of it after each birth."""
        self._counts["irregular"] += 1
        if not self._misspoke:
            self._misspoke = True
            out.say("node.misspoke", group=self.group, node=self.node, detail=detail)

    def _want_birth(self, out: Effects) -> None:
        if not self._asking:
            self._asking = True
            well = out.steady_ms - self._born_ms > 10 * self._pace.rebirth_every_ms
            self._troubles = 0 if well else self._troubles + 1
        if out.steady_ms >= self._ask_at_ms:
            self._ask(out)

    def _ask(self, out: Effects) -> None:
        """Ask for a rebirth, and the next time only after a while that doubles as long as it does not help."""
        self._asked_ms = out.steady_ms
        self._asked += 1
        self._ask_at_ms = self._asked_ms + self._distance_ms(self._asked + self._troubles - 1)
        self._counts["rebirths_asked"] += 1
        out.sends.append(rebirth(self.group, self.node, out.now_ms))

    def _distance_ms(self, doublings: int) -> float:
        return self._pace.rebirth_every_ms * float(1 << min(max(doublings, 0), _DOUBLINGS_MAX))


def _ahead_ms(received: Received, out: Effects) -> int:
    """So many milliseconds a message was sent after its arrival; both times are cut to whole ones."""
    return 0 if received.timestamp_ms is None else max(0, received.timestamp_ms - out.now_ms - 1)


def _earlier(time_ms: int | None, than_ms: int | None) -> bool:
    return time_ms is not None and than_ms is not None and time_ms < than_ms
