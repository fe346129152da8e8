"""A broker of Debian, and a client that writes down everything that passes through it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from typing import Any
from urllib.parse import urlparse

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from simulator.sparkplug.wire_format import DataType, Field, Metric, Payload, decode, encode

DEADLINE_S = 40.0
GROUP, NODE = "plant", "line1"


@contextmanager
def mosquitto(folder: Path, port: int = 0) -> Iterator[str]:
    """A real broker on loopback until the end of the block; gives its URL."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin")
    assert program is not None, "the Debian package mosquitto is missing; `make setup` installs it"
    if port == 0:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n"
    )
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port), "mosquitto answering")
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def until(look: Callable[[], Any], what: str, within_s: float = DEADLINE_S) -> Any:
    """The first thing found that is true. Fails after the deadline."""
    deadline_s = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, f"no {what} within {within_s:g} s"
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class Seen:
    """One message as it passed."""

    number: int
    at_s: float
    topic: str
    payload: bytes
    qos: int
    retained: bool

    @property
    def kind(self) -> str:
        """NBIRTH, DDATA …"""
        return self.topic.split("/")[2]

    @property
    def device(self) -> str:
        """Empty for messages of the node."""
        return (*self.topic.split("/"), "")[4]

    @property
    def sparkplug(self) -> Payload:
        return decode(self.payload)

    def metric(self, name: str) -> Metric:
        return next(one for one in self.sparkplug.metrics if one.name == name)


@dataclass
class Watcher:
    """Everything that passes, in order. ``mark`` and look for what came later."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    _changed: Condition = field(default_factory=Condition)

    def __enter__(self) -> Watcher:
        address = urlparse(self.url)
        assert address.hostname is not None
        assert address.port is not None
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._on_message
        granted: list[Any] = []
        self.client.on_subscribe = lambda _c, _d, _m, codes, _p: granted.extend(codes)
        self.client.connect(address.hostname, address.port)
        self.client.loop_start()
        self.client.subscribe("#", 2)
        until(lambda: granted, "subscription")
        assert not granted[0].is_failure
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.seen.append(
                Seen(
                    len(self.seen),
                    time.monotonic(),
                    message.topic,
                    bytes(message.payload),
                    message.qos,
                    bool(message.retain),
                )
            )
            self._changed.notify_all()

    @property
    def mark(self) -> int:
        """Where we are now; pass it to ``wait`` and ``after``."""
        return len(self.seen)

    def after(self, mark: int, kind: str = "", device: str | None = None) -> list[Seen]:
        """Sparkplug messages of the node since a mark."""
        return [
            one
            for one in self.seen[mark:]
            if one.topic.startswith(f"spBv1.0/{GROUP}/")
            and (not kind or one.kind == kind)
            and (device is None or one.device == device)
        ]

    def wait(
        self, accept: Callable[[Seen], Any], what: str, since: int = 0, within_s: float = DEADLINE_S
    ) -> Seen:
        """The first message since ``since`` that is accepted."""
        deadline_s = time.monotonic() + within_s
        place = since
        with self._changed:
            while True:
                while place < len(self.seen):
                    if accept(self.seen[place]):
                        return self.seen[place]
                    place += 1
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"no {what} within {within_s:g} s; last: {self.seen[-1:]}"
                self._changed.wait(left_s)

    def of(self, kind: str, device: str = "", *, since: int = 0) -> Seen:
        """The next Sparkplug message of a kind."""
        return self.wait(
            lambda m: m.topic.startswith(f"spBv1.0/{GROUP}/") and m.kind == kind and m.device == device,
            f"{kind} {device}",
            since,
        )

    def send(self, topic: str, payload: bytes | str, *, qos: int = 0, retain: bool = False) -> None:
        """Publish as the host would."""
        self.client.publish(topic, payload, qos, retain).wait_for_publish(DEADLINE_S)

    def command(
        self,
        device: str,
        *metrics: Metric,
        seq: int | None = None,
        retain: bool = False,
        at_ms: int | None = 1,
    ) -> None:
        """DCMD to a device, or NCMD to the node."""
        kind = f"DCMD/{NODE}/{device}" if device else f"NCMD/{NODE}"
        payload = encode(Payload(timestamp_ms=at_ms, metrics=metrics, seq=seq))
        self.send(f"spBv1.0/{GROUP}/{kind}", payload, retain=retain)

    def ask_for_rebirth(self) -> None:
        self.command("", Metric(name="Node Control/Rebirth", datatype=DataType.Boolean, value=True))


def aliases(births: list[Seen]) -> dict[tuple[str, str], int]:
    """Device and name to alias, over one set of births."""
    return {
        (birth.device, metric.name or ""): metric.alias
        for birth in births
        for metric in birth.sparkplug.metrics
        if metric.alias is not None
    }


def number_of(metric: Metric) -> float:
    """The value of a data metric, which has no type of its own."""
    assert metric.field in (Field.DOUBLE, Field.FLOAT, Field.INT, Field.LONG)
    assert isinstance(metric.value, int | float)
    return metric.value
