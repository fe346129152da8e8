"""An edge node on paper: it makes the messages that a real one would send, and a host takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.domain.limits import WriteLimits
from bridge.domain.tag import DataType, Route, Tag
from bridge.links.sparkplug import Host
from bridge.links.sparkplug_effects import Effects
from bridge.sparkplug.payload import encode
from bridge.sparkplug.topics import Verb, topic
from bridge.sparkplug.types import Metric, MetricType, Payload

T0 = 1_790_000_000_000
"""When every test begins: 2026-09-21, in milliseconds."""

GROUP, NODE, DEVICE = "Plant", "Edge1", "REACTOR_01"


def tag(
    name: str,
    data_type: DataType = DataType.DOUBLE,
    *,
    device: str = DEVICE,
    node: str = NODE,
    writable: bool = False,
    stale_after_s: float = 60.0,
) -> Tag:
    """A tag for a metric of the node on paper; `device` empty for a metric of the node itself."""
    place = f"{GROUP}/{node}/{device}" if device else f"{GROUP}/{node}"
    return Tag(
        path=f"[default]{device or node}/{name}",
        equipment_id=device or node,
        link="edge",
        route=Route.MQTT,
        address=f"{place}:{name}",
        data_type=data_type,
        stale_after_s=stale_after_s,
        limits=WriteLimits(low=-1e6, high=1e6) if writable else None,
    )


def metric(name: str | None, value: Any, kind: MetricType | None = MetricType.DOUBLE, **said: Any) -> Metric:
    """A metric, by default a Double measured at T0."""
    said.setdefault("timestamp_ms", T0)
    return Metric(name=name, type=kind, value=value, **said)


class Edge:
    """Counts its messages as the specification wants it, and feeds a host at `now_ms`."""

    def __init__(self, host: Host, *, node: str = NODE, bd_seq: int = 0) -> None:
        self.host = host
        self.node = node
        self.bd_seq = bd_seq
        self.seq = 0
        self.now_ms = T0

    def payload(self, metrics: Sequence[Metric], **changed: Any) -> bytes:
        """The bytes of the next message of this node; it counts on."""
        said: dict[str, Any] = {"timestamp_ms": self.now_ms, "seq": self.seq, "metrics": tuple(metrics)}
        data = encode(Payload(**{**said, **changed}))
        self.seq = (self.seq + 1) % 256
        return data

    def give(self, verb: Verb, data: bytes, device: str = "", *, retained: bool = False) -> Effects:
        """Let the host take a message."""
        where = topic(verb, GROUP, self.node, device)
        return self.host.on_message(where, data, retained=retained, now_ms=self.now_ms)

    def nbirth(self, *metrics: Metric, bd_seq: int | None = None, **changed: Any) -> Effects:
        """A birth of the node, with bdSeq and the rebirth metric."""
        self.seq = 0
        told = self.bd_seq if bd_seq is None else bd_seq
        own = (
            metric("bdSeq", told, MetricType.INT64),
            metric("Node Control/Rebirth", False, MetricType.BOOLEAN),
        )
        return self.give(Verb.NBIRTH, self.payload((*own, *metrics), **changed))

    def rebirth(self, *metrics: Metric, **changed: Any) -> Effects:
        """Another birth of the node, a moment later."""
        self.now_ms += 100
        return self.nbirth(*metrics, **changed)

    def dbirth(self, *metrics: Metric, device: str = DEVICE, **changed: Any) -> Effects:
        """A birth of a device."""
        return self.give(Verb.DBIRTH, self.payload(metrics, **changed), device)

    def ddata(self, *metrics: Metric, device: str = DEVICE, **changed: Any) -> Effects:
        """Data of a device."""
        return self.give(Verb.DDATA, self.payload(metrics, **changed), device)

    def ndata(self, *metrics: Metric, **changed: Any) -> Effects:
        """Data of the node itself."""
        return self.give(Verb.NDATA, self.payload(metrics, **changed))

    def ndeath(self, bd_seq: int | None = None) -> Effects:
        """The will of this node: no seq, and the time of its connecting."""
        told = self.bd_seq if bd_seq is None else bd_seq
        will = (Metric(name="bdSeq", type=MetricType.INT64, value=told),)
        return self.give(Verb.NDEATH, encode(Payload(timestamp_ms=T0 - 60_000, metrics=will)))

    def ddeath(self, device: str = DEVICE, **changed: Any) -> Effects:
        """A death of a device."""
        return self.give(Verb.DDEATH, self.payload((), **changed), device)

    def tick(self, after_ms: int = 0) -> Effects:
        """Let time pass at the host."""
        self.now_ms += after_ms
        return self.host.tick(self.now_ms)


def connected(*tags: Tag, **settings: Any) -> Edge:
    """A host that has just come online, and the edge node that it wants."""
    host = Host("bridge", tags, **settings)
    host.will(T0 - 10)
    host.connected(T0)
    return Edge(host)
