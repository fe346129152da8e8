"""A Sparkplug edge node as a pure state machine: what to send when, and no wire, no clock, no disk.

The order of things (Sparkplug 3.0, chapters 5 and 6): will with bdSeq, subscriptions, the primary host's STATE
where one is configured, NBIRTH with seq 0, one DBIRTH a device, then data by exception. A rebirth repeats the
births with the same bdSeq. What changes while no birth stands is told later, by `history`.

Nothing but a rebirth is done on command: over MQTT nobody can prove who decides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from bridge.errors import FixCode, PayloadError
from bridge.publish.edge_metrics import (
    BD_SEQ,
    REBIRTH,
    Change,
    Place,
    Shown,
    birth_metric,
    data_metric,
    place_of,
    shown,
)
from bridge.publish.nodes import Node, changes
from bridge.sparkplug.payload import decode, encode
from bridge.sparkplug.topics import Verb, parse, state_topic, topic
from bridge.sparkplug.types import Metric, MetricType, Payload

_MOST_METRICS = 500  # in one data message
_MOST_NOTICES = 200  # different complaints that are remembered, so that each is told once
_COMMAND_BYTES = 65_536  # a rebirth request has some fifty


class Phase(StrEnum):
    """Where the node stands."""

    AWAY = "away"  # no session with the broker
    WAITING = "waiting"  # a session, and the primary host is not known to be online
    LIVE = "live"  # births are out


class Outgoing(NamedTuple):
    """One message to hand over, QoS 0 and not retained. `ids`: which changes of the outbox it carries.

    Not bytes yet: a birth of twenty thousand metrics takes seconds to encode, and need not hold up the agent.
    """

    topic: str
    payload: Payload
    with_types: bool = True
    ids: tuple[int, ...] = ()

    def encoded(self) -> bytes:
        """Its bytes; FixCode when a published value is none that a metric can have."""
        try:
            return encode(self.payload, with_types=self.with_types)
        except PayloadError as problem:
            raise FixCode(f"a published value cannot be a Sparkplug metric: {problem}") from problem


class Received(NamedTuple):
    """What follows from a message. `leave`: why the session has to end, or empty. `notices`: told once each."""

    out: Sequence[Outgoing] = ()
    leave: str = ""
    notices: Sequence[str] = ()


class EdgeNode:
    """One edge node over all its sessions. Times are milliseconds since 1970, given by the caller.

    primary_host: births wait until this host says online; empty means that they wait for nobody.
    rebirth_every_ms: least time between two births of one session. What is asked for in between is answered by
    one birth at the end of it, and no data goes out until then.
    """

    def __init__(
        self, group: str, node: str, *, primary_host: str = "", rebirth_every_ms: int = 2000
    ) -> None:
        self.phase = Phase.AWAY
        self.births = 0
        """Complete births so far; grows when `history` has to begin again."""
        self.rebirths_asked = 0
        self._group, self._node = group, node
        self._host = primary_host
        self._host_online = False
        self._host_ms = 0
        self._gap_ms = rebirth_every_ms
        self._born_ms = 0
        self._owed_ms: int | None = None
        self._bd_seq = 0
        self._seq = 0
        self._nodes: Mapping[str, Node] = {}
        self._metrics: dict[Place, Shown] = {}
        self._places: dict[str, Place] = {}
        self._aliases: dict[Place, int] = {}
        self._born: dict[Place, MetricType] = {}
        self._told: set[str] = set()

    # --- sessions ---

    def connecting(self, bd_seq: int, now_ms: int) -> Outgoing:
        """A session is about to begin: the will to register with it, QoS 1 and not retained."""
        self.lost()
        self._bd_seq = bd_seq
        self._host_online, self._host_ms = False, 0
        return self.death(now_ms)

    @property
    def birth_topic(self) -> str:
        """Where our own NBIRTH goes, and where it has to come back from."""
        return topic(Verb.NBIRTH, self._group, self._node)

    def subscriptions(self) -> list[tuple[str, int]]:
        """Filters with their QoS: commands to the node, the primary host's state, commands to devices, our births."""
        filters = [(topic(Verb.NCMD, self._group, self._node), 1)]
        if self._host:
            filters.append((state_topic(self._host), 1))
        # Not `topic`: the wildcard is no id.
        devices = f"{topic(Verb.NCMD, self._group, self._node).replace('/NCMD/', '/DCMD/')}/+"
        return [*filters, (devices, 1), (self.birth_topic, 0)]

    def connected(self, now_ms: int) -> list[Outgoing]:
        """The session stands and the subscriptions are confirmed."""
        self.phase = Phase.WAITING
        return self._birth(now_ms) if self._may_live() else []

    def lost(self) -> None:
        """The session is over, one way or the other."""
        self.phase = Phase.AWAY
        self._owed_ms = None
        self._born = {}

    def death(self, now_ms: int) -> Outgoing:
        """The NDEATH of this session: as its will, and as the last word before a DISCONNECT."""
        payload = Payload(timestamp_ms=now_ms, metrics=(self._bd_seq_metric(now_ms),))
        return Outgoing(topic(Verb.NDEATH, self._group, self._node), payload)

    # --- what the node shows ---

    def compare(self, nodes: Mapping[str, Node], now_ms: int) -> list[Change]:
        """What of the known metrics differs from what is shown, in the order in which it arose.

        Nothing changes here: put them on disk, then call `show` with the same nodes. Derived metrics and first
        readings are among them with `keep` false.
        """
        found = []
        for path, node in changes(self._nodes, nodes).items():
            place = self._place(path)
            before = self._metrics.get(place)
            if before is None:
                continue  # new, and announced by a birth
            after = shown(node, before, now_ms)
            if after is not before:
                found.append(Change(place, after.type, after.value, after.quality, after.timestamp_ms))
        return sorted(found, key=lambda change: change.timestamp_ms)

    def keep(self, change: Change) -> bool:
        """Whether a change, not shown yet, is worth telling later: no derived value, and no first reading ever."""
        return not change.place.derived and self._metrics[change.place].ever_read

    def show(self, nodes: Mapping[str, Node], found: Sequence[Change], now_ms: int) -> list[Outgoing]:
        """Take over what `compare` found (with the outbox's ids), and the data or births that follow from it."""
        known = len(self._metrics)
        for change in found:
            before = self._metrics[change.place]
            self._metrics[change.place] = before._replace(
                type=change.type,
                value=change.value,
                quality=change.quality,
                timestamp_ms=change.timestamp_ms,
                ever_read=before.ever_read or change.quality != 0,
            )
        for path in [path for path in nodes if path not in self._nodes]:
            place = self._place(path)
            if place not in self._metrics:
                self._metrics[place] = shown(nodes[path], None, now_ms)
                self._aliases[place] = len(self._aliases) + 1  # never given to another metric
        self._nodes = nodes
        if self.phase is Phase.WAITING and self._may_live():
            return self._birth(now_ms)  # there was nothing to show before
        if self.phase is not Phase.LIVE:
            return []
        if len(self._metrics) != known or any(self._born.get(one.place) is not one.type for one in found):
            return self._owe(now_ms)  # a birth has to announce every metric that will ever be sent
        return [] if self._owed_ms is not None else self._data(found, now_ms, historical=False)

    def history(self, waiting: Iterable[Change], now_ms: int) -> tuple[list[Outgoing], list[Change]]:
        """Changes from the outbox as historical data, and those that the births do not announce.

        Order per metric is kept. Empty while no births stand or others are owed: ask again later.
        """
        if not self.ready:
            return [], []
        known: list[Change] = []
        strange: list[Change] = []
        for change in waiting:
            (known if self._born.get(change.place) is change.type else strange).append(change)
        return self._data(known, now_ms, historical=True), strange

    @property
    def ready(self) -> bool:
        """Whether data may go out now."""
        return self.phase is Phase.LIVE and self._owed_ms is None

    # --- time and what comes in ---

    @property
    def due_ms(self) -> int | None:
        """When `tick` has something to do; None: never."""
        return self._owed_ms

    def tick(self, now_ms: int) -> list[Outgoing]:
        """Births that were asked for too soon after the last ones."""
        if self._owed_ms is None or now_ms < self._owed_ms:
            return []
        return self._birth(now_ms)

    def received(self, name: str, content: bytes, *, retained: bool, now_ms: int) -> Received:
        """One message of our subscriptions; anything else is told once and left alone."""
        try:
            where = parse(name)
            if where.verb is Verb.STATE:
                return self._state(where.node, content, now_ms)
            if where.verb not in (Verb.NCMD, Verb.DCMD):
                return Received(notices=self._once(f"{name}: not a message for an edge node"))
            if retained:
                return Received(notices=self._once(f"{name}: a retained command is never carried out"))
            return self._command(name, where.verb, decode(content, max_bytes=_COMMAND_BYTES), now_ms)
        except PayloadError as problem:
            return Received(notices=self._once(f"{name}: {problem}"))

    def _state(self, host: str, content: bytes, now_ms: int) -> Received:
        if host != self._host:
            return Received()
        try:
            online, at_ms = read_state(content)
        except PayloadError as problem:
            return Received(notices=self._once(f"{state_topic(host)}: {problem}"))
        if at_ms < self._host_ms:
            return Received()  # of an earlier session of the host, overtaken by a newer one
        self._host_online, self._host_ms = online, at_ms
        if self.phase is Phase.WAITING and self._may_live():
            return Received(out=self._birth(now_ms))
        if self.phase is Phase.LIVE and not online:
            return Received(leave=f"primary host {host} is offline")
        return Received()

    def _command(self, name: str, verb: Verb, payload: Payload, now_ms: int) -> Received:
        notices: list[str] = []
        out: list[Outgoing] = []
        for metric in payload.metrics:
            if verb is Verb.NCMD and metric.name == REBIRTH and metric.value is True:
                self.rebirths_asked += 1
                if self.phase is Phase.LIVE:
                    out = out or self._owe(now_ms)
                continue
            what = metric.name or f"alias {metric.alias}"
            notices += self._once(
                f"{name}: {what!r} is refused: over MQTT nothing but {REBIRTH} = true is carried out; decide at "
                "the HMI, by the command line or by the OPC UA methods"
            )
        return Received(out=out, notices=notices)

    def _once(self, notice: str) -> list[str]:
        if notice in self._told or len(self._told) >= _MOST_NOTICES:
            return []
        self._told.add(notice)
        return [notice]

    # --- messages ---

    def _may_live(self) -> bool:
        return bool(self._metrics) and (self._host_online or not self._host)

    def _owe(self, now_ms: int) -> list[Outgoing]:
        if now_ms >= self._born_ms + self._gap_ms:
            return self._birth(now_ms)
        self._owed_ms = self._born_ms + self._gap_ms
        return []

    def _birth(self, now_ms: int) -> list[Outgoing]:
        self.phase, self._owed_ms, self._born_ms = Phase.LIVE, None, now_ms
        self.births += 1
        self._seq = -1
        self._born = {place: metric.type for place, metric in self._metrics.items()}
        devices: dict[str, list[Metric]] = {"": []}
        for place, metric in sorted(self._metrics.items(), key=lambda item: item[1].timestamp_ms):
            devices.setdefault(place.device, []).append(
                birth_metric(place.name, self._aliases[place], metric)
            )
        rebirth = Metric(name=REBIRTH, timestamp_ms=now_ms, type=MetricType.BOOLEAN, value=False)
        devices[""] += (self._bd_seq_metric(now_ms), rebirth)
        return [
            self._message(Verb.DBIRTH if device else Verb.NBIRTH, device, metrics, now_ms)
            for device, metrics in devices.items()
        ]

    def _bd_seq_metric(self, now_ms: int) -> Metric:
        return Metric(name=BD_SEQ, timestamp_ms=now_ms, type=MetricType.INT64, value=self._bd_seq)

    def _data(self, found: Sequence[Change], now_ms: int, *, historical: bool) -> list[Outgoing]:
        """One message a device and `_MOST_METRICS`; the changes of a device stay in their order."""
        devices: dict[str, list[Change]] = {}
        for change in found:
            devices.setdefault(change.place.device, []).append(change)
        return [
            self._message(
                Verb.DDATA if device else Verb.NDATA,
                device,
                [data_metric(self._aliases[one.place], one, historical=historical) for one in part],
                now_ms,
                tuple(one.id for one in part if one.id),
            )
            for device, all_of_it in devices.items()
            for part in (all_of_it[at : at + _MOST_METRICS] for at in range(0, len(all_of_it), _MOST_METRICS))
        ]

    def _message(
        self,
        verb: Verb,
        device: str,
        metrics: Sequence[Metric],
        now_ms: int,
        ids: tuple[int, ...] = (),
    ) -> Outgoing:
        self._seq = (self._seq + 1) % 256
        payload = Payload(timestamp_ms=now_ms, metrics=tuple(metrics), seq=self._seq)
        births = verb in (Verb.NBIRTH, Verb.DBIRTH)
        return Outgoing(topic(verb, self._group, self._node, device), payload, births, ids)

    def _place(self, path: str) -> Place:
        place = self._places.get(path)
        if place is None:
            place = self._places[path] = place_of(path)
        return place


def read_state(content: bytes) -> tuple[bool, int]:
    """A host's STATE: whether it is online, and when its session began. PayloadError when it says neither."""
    try:
        said = json.loads(content)
        online, at_ms = said["online"], said["timestamp"]
    except (ValueError, KeyError, TypeError, RecursionError):
        online = at_ms = None
    if not isinstance(online, bool) or not isinstance(at_ms, int) or isinstance(at_ms, bool):
        raise PayloadError(f"wanted JSON with online and timestamp, found {content[:80]!r}")
    return online, at_ms
