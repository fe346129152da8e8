"""Nodes made by hand, an independent Sparkplug subscriber on the simulator's own codec, and a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from publish_stand import free_port, until

from bridge.domain.reading import Quality
from bridge.publish.nodes import Node, NodeType, NodeValue
from bridge.settings import PublishSparkplugSettings
from simulator.mqtt.client import Connection, Incoming, Outgoing
from simulator.sparkplug import wire_format
from simulator.sparkplug.payload import DataType, Metric, Payload

GROUP, NODE = "plant", "agent"
START = datetime(2026, 3, 1, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
MOSQUITTO = "/usr/sbin/mosquitto"
_KINDS: Mapping[type, NodeType] = {
    bool: NodeType.BOOLEAN,
    int: NodeType.INT64,
    float: NodeType.DOUBLE,
    str: NodeType.STRING,
    datetime: NodeType.DATE_TIME,
}
_TYPES = {
    "Agent/PollsCompleted": NodeType.INT64,
    "Equipment/R1/Recommendation/ExpiresAt": NodeType.DATE_TIME,
}


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def node(
    value: NodeValue, second: float | None = 0.0, *, quality: Quality = Quality.GOOD, unit: str = ""
) -> Node:
    """A node whose value arose so many seconds after the start; None: nothing was ever read."""
    kind = NodeType.DATE_TIME if value is None else _KINDS[type(value)]
    return Node(value, kind, unit, None if second is None else at(second), quality, "what it is")


def plant(second: float = 0.0, **changed: NodeValue) -> dict[str, Node]:
    """Two pieces of equipment and the agent; `polls`, `status`, `id1`, `id2`, `expires1` may be given."""
    values: dict[str, NodeValue] = {
        "status": "online",
        "polls": 7,
        "id1": "",
        "id2": "",
        "expires1": None,
        **changed,
    }
    return {
        "Agent/Status": node(values["status"], second),
        "Agent/PollsCompleted": node(values["polls"], second),
        "Agent/HeartbeatAgeS": node(2.0, second, unit="s"),
        "Control/Armed": node(True, 0.0),
        "Equipment/R1/Recommendation/Id": node(values["id1"], second),
        "Equipment/R1/Recommendation/ExpiresAt": node(values["expires1"], second),
        "Equipment/R2/Recommendation/Id": node(values["id2"], second),
    }


@dataclass(frozen=True)
class Said:
    """One message as a stranger reads it."""

    verb: str
    device: str
    payload: Payload
    qos: int = 0
    retained: bool = False

    @property
    def by_name(self) -> dict[str, Metric]:
        return {metric.name: metric for metric in self.payload.metrics if metric.name}


def read(topic: str, payload: bytes, qos: int = 0, retained: bool = False) -> Said:
    """A message of our node, read by the simulator's own codec. Fails for any other topic."""
    space, group, verb, name, *device = topic.split("/")
    assert (space, group, name) == ("spBv1.0", GROUP, NODE), topic
    return Said(verb, "/".join(device), wire_format.decode(payload), qos, retained)


@dataclass
class Host:
    """What any host application makes of what it hears: names by alias, values by type, nothing taken on trust."""

    values: dict[str, object] = field(default_factory=dict)
    qualities: dict[str, object] = field(default_factory=dict)
    history: list[tuple[str, object, int]] = field(default_factory=list)
    live: list[tuple[str, object, int]] = field(default_factory=list)
    heard: list[Said] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    deaths: list[int] = field(default_factory=list)
    bd_seq: int | None = None
    _names: dict[int, tuple[str, int]] = field(default_factory=dict)

    def hear(self, said: Said) -> None:
        self.heard.append(said)
        if said.verb == "NDEATH":
            (metric,) = said.payload.metrics
            assert metric.name == "bdSeq"
            assert said.payload.seq is None
            assert isinstance(metric.value, int)
            self.deaths.append(metric.value)
            return
        assert said.payload.seq is not None
        if said.verb == "NBIRTH":
            assert said.payload.seq == 0
            bd_seq = said.by_name["bdSeq"].value
            assert isinstance(bd_seq, int)
            self.bd_seq = bd_seq
            self._names.clear()
            self.seqs.clear()
        self.seqs.append(said.payload.seq)
        assert self.seqs[-1] == (len(self.seqs) - 1) % 256, f"a gap in {self.seqs[-5:]}"
        for metric in said.payload.metrics:
            self._take(said, metric)

    def _take(self, said: Said, metric: Metric) -> None:
        if said.verb.endswith("BIRTH"):
            assert metric.name is not None
            assert metric.datatype is not None
            name, kind = f"{said.device}:{metric.name}".removeprefix(":"), metric.datatype
            if metric.alias is not None:
                assert metric.alias not in self._names, f"alias {metric.alias} twice"
                self._names[metric.alias] = (name, kind)
        else:
            assert metric.name is None
            assert metric.datatype is None
            assert metric.alias is not None
            name, kind = self._names[metric.alias]
        assert metric.timestamp_ms is not None
        value = None if metric.is_null else metric.value
        if isinstance(value, int) and not isinstance(value, bool):
            value = wire_format.signed(value, kind) if kind == DataType.Int64 else value
        entry = (name, value, metric.timestamp_ms - START_MS)
        if metric.is_historical:
            self.history.append(entry)
            return
        if "DATA" in said.verb:
            self.live.append(entry)
        self.values[name] = value
        quality = metric.properties.get("Quality")
        if quality is not None:
            self.qualities[name] = quality.value


def command(*metrics: Metric, seq: int | None = None) -> bytes:
    return wire_format.encode(Payload(timestamp_ms=START_MS, metrics=metrics, seq=seq))


def rebirth() -> bytes:
    """What a host sends that missed a birth."""
    return command(
        Metric(name="Node Control/Rebirth", timestamp_ms=START_MS, datatype=DataType.Boolean, value=True)
    )


def state(online: bool, timestamp_ms: int) -> bytes:
    return json.dumps({"online": online, "timestamp": timestamp_ms}).encode()


class Mosquitto:
    """Debian's broker on a port of its own; `stop` and `start` as a maintenance window would."""

    def __init__(self, folder: Path, *, more: str = "") -> None:
        self.port = free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n{more}",
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns when it answers."""
        self._launch()
        await until(self._answers)

    def _launch(self) -> None:
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Watcher:
    """An independent subscriber of everything, and a host that can speak."""

    def __init__(self, broker: Mosquitto) -> None:
        self.host = Host()
        self.faults: list[str] = []
        self._broker = broker
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        self._connection = Connection(
            self._broker.url, client_id=f"watcher-{time.time_ns()}", heard=self._heard
        )
        await self._connection.open()
        await self._connection.subscribe([(f"spBv1.0/{GROUP}/#", 1)])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.drop()

    def _heard(self, message: Incoming) -> None:
        if "CMD/" in message.topic:
            return
        try:
            self.host.hear(read(message.topic, message.payload, message.qos, message.retained))
        except (AssertionError, KeyError, ValueError) as problem:
            self.faults.append(f"{message.topic}: {type(problem).__name__} {problem}")

    def say(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        assert self._connection is not None
        self._connection.publish(Outgoing(topic=topic, payload=payload, qos=qos, retain=retain))

    async def sees(self, true: Callable[[Host], Any], within_s: float = 40.0) -> Any:
        """Wait until this host sees it so; fails at once when something that came was not as it must be."""

        async def there() -> Any:
            assert not self.faults, self.faults
            return true(self.host)

        return await until(there, within_s)


def sparkplug(broker: str, folder: Path, **more: object) -> PublishSparkplugSettings:
    return PublishSparkplugSettings.model_validate(
        {
            "broker": broker,
            "group": GROUP,
            "node": NODE,
            "outbox": folder / "outbox.sqlite",
            "reconnect_max_s": 0.3,
            **more,
        }
    )


@contextlib.contextmanager
def mosquitto(folder: Path, *, more: str = "") -> Iterator[Mosquitto]:
    """A broker that is not started yet, and surely stopped at the end."""
    broker = Mosquitto(folder, more=more)
    try:
        yield broker
    finally:
        broker.stop()
