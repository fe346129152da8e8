"""Commands that were sent and wait for the node to report the new value, which is all the proof there is."""

from __future__ import annotations

import struct
from typing import NamedTuple

from bridge.domain.reading import Quality, Reading
from bridge.links.sparkplug_effects import Effects, Outgoing
from bridge.links.sparkplug_readings import STALE
from bridge.sparkplug.payload import encode
from bridge.sparkplug.topics import Verb, topic
from bridge.sparkplug.types import Metric, MetricType, Payload, PropertySet
from bridge.sparkplug.values import shown, typed, wired

REBIRTH = "Node Control/Rebirth"


class Facts(NamedTuple):
    """What a birth said of a wanted metric. `alias` is None when it announced none."""

    name: str
    type: MetricType
    alias: int | None
    properties: PropertySet

    @property
    def read_only(self) -> bool:
        """Whether the node says that this metric takes no commands."""
        said = self.properties.get("readOnly")
        return said is not None and bool(said.value)


class Command(NamedTuple):
    """A command ready to send; `number` comes back in `Effects.confirmed` when its value was reported."""

    number: int
    send: Outgoing
    handle: int
    sent_ms: int


class _Sent(NamedTuple):
    """The last command that left for a tag, while the node has said nothing newer."""

    number: int
    target: bool | int | float | str
    sent_ms: int


class _Pending(NamedTuple):
    number: int
    target: bool | int | float | str
    sent_ms: int
    seen: list[str]


class Commands:
    """Open commands by the handle of their tag."""

    def __init__(self) -> None:
        self._pending: dict[int, list[_Pending]] = {}
        self._unheard: dict[
            int, _Sent
        ] = {}  # outlives sessions: what was sent in one may take effect in the next
        self._last = 0

    def make(
        self, topic: str, handle: int, facts: Facts, value: bool | int | float | str, now_ms: int
    ) -> Command:
        """Encode a command with the type of the birth, by name, without seq.

        By name although there may be an alias: a birth that we missed may have given the alias to another metric,
        and nothing tells before that node's next message. ValueError says why this type cannot carry the value.
        It is expected to be sent now; else `withdraw` it.
        """
        target = typed(wired(value, facts.type), facts.type)
        if facts.type is MetricType.FLOAT:
            (target,) = struct.unpack("<f", struct.pack("<f", value))
        assert isinstance(target, bool | int | float | str), "tags are scalars"
        metric = Metric(
            name=facts.name,
            timestamp_ms=now_ms,
            type=facts.type,
            value=value,
        )
        payload = encode(Payload(timestamp_ms=now_ms, metrics=(metric,)))
        self._last += 1
        self._pending.setdefault(handle, []).append(_Pending(self._last, target, now_ms, []))
        self._unheard[handle] = _Sent(self._last, target, now_ms)
        return Command(self._last, Outgoing(topic, payload), handle, now_ms)

    def unheard(self, handle: int) -> bool:
        """Whether a command was sent to a tag since the node last spoke of it: its value is then of before."""
        return handle in self._unheard

    def hear(self, first: int, born_ms: int | None, ahead_ms: int, out: Effects) -> None:
        """Note of which tags readings, from `first` on, are newer words than the command last sent.

        They are by their time, or by bringing the very value sent. born_ms: when the birth was sent that they come
        from, since a birth tells what holds at that moment, however old the value is; None for data. ahead_ms: how
        far the node's clock is known to be ahead of ours, by which its times count for less.
        """
        if not self._unheard:
            return
        for handle, reading in zip(out.handles[first:], out.readings[first:], strict=True):
            sent = self._unheard.get(handle)
            if sent is None or reading.replayed:
                continue
            untimed = reading.source_time_utc is reading.received_utc
            time_ms = 0 if untimed else round(reading.source_time_utc.timestamp() * 1000)
            reached = reading.value == sent.target and reading.value.__class__ is sent.target.__class__
            if reached or max(time_ms, born_ms or 0) - ahead_ms > sent.sent_ms:
                del self._unheard[handle]

    def withdraw(self, number: int) -> None:
        """Forget a command that did not leave after all."""
        self.give_up(number)
        for handle, sent in self._unheard.items():
            if sent.number == number:
                del self._unheard[handle]
                return

    def compare(self, first: int, ahead_ms: int, out: Effects) -> None:
        """See whether readings of data, from `first` on, confirm a command.

        They do by the target itself, reported good, at a time of the node not before the sending, as far as it is
        known by how much its clock is ahead.
        """
        self.hear(first, None, ahead_ms, out)
        if not self._pending:
            return
        for handle, reading in zip(out.handles[first:], out.readings[first:], strict=True):
            waiting = self._pending.get(handle)
            if not waiting or reading.replayed:
                continue
            for pending in tuple(waiting):
                words = _missing(reading, pending, ahead_ms)
                if words:
                    pending.seen[:] = [words]
                else:
                    waiting.remove(pending)
                    out.confirmed.append(pending.number)
            if not waiting:
                del self._pending[handle]

    def give_up(self, number: int) -> str:
        """Forget a command; what was seen instead of its confirmation, empty when nothing was."""
        for handle, waiting in self._pending.items():
            for pending in waiting:
                if pending.number == number:
                    waiting.remove(pending)
                    if not waiting:
                        del self._pending[handle]
                    return "".join(pending.seen)
        return ""

    def forget_all(self) -> None:
        """Nothing that comes later confirms what was sent so far; that it may have taken effect is not forgotten."""
        self._pending.clear()


def _missing(reading: Reading, pending: _Pending, ahead_ms: int) -> str:
    """What a reading lacks to confirm a command; empty when nothing."""
    value, target = reading.value, pending.target
    if reading.status == STALE:
        return "the node reports a value, and calls it stale"
    if value != target or value.__class__ is not target.__class__:
        return f"the node reports {'no value' if value is None else shown(value)} instead"
    if reading.quality is not Quality.GOOD:
        return f"the node reports the value, and it is {reading.status}"
    if reading.source_time_utc is reading.received_utc:
        return "the node reports the value without a time, which may be of before the command"
    early_ms = pending.sent_ms - round(reading.source_time_utc.timestamp() * 1000) + ahead_ms
    if early_ms > 0:
        ahead = f", its clock being {ahead_ms} ms ahead" if ahead_ms else ""
        return f"the node reports the value with a time {early_ms} ms too early{ahead}; compare the clocks"
    return ""


def rebirth(group: str, node: str, now_ms: int) -> Outgoing:
    """The request for a rebirth, which goes by name: a host that asks knows no alias."""
    metric = Metric(name=REBIRTH, timestamp_ms=now_ms, type=MetricType.BOOLEAN, value=True)
    return Outgoing(topic(Verb.NCMD, group, node), encode(Payload(timestamp_ms=now_ms, metrics=(metric,))))
