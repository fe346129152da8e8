"""What the tests of links over MQTT share: a real broker, a device behind it, and the tags to reach it by."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from link_bench import LIMITS, SystemClock, Watched, free_port, tag

from bridge.domain.limits import WriteLimits
from bridge.domain.reading import Reading
from bridge.domain.tag import DataType, Tag
from bridge.links.mqtt import MqttWire
from bridge.links.mqtt_link import MqttLink
from bridge.links.mqtt_message import Message
from bridge.links.sparkplug_link import SparkplugLink
from bridge.settings import MqttLinkSettings, SparkplugLinkSettings
from simulator.wire import Wire

ROOT = Path(__file__).parents[2]
DEVICE = Path(__file__).with_name("mqtt_device.py")
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
SWITCH_LIMITS = WriteLimits(low=0, high=1)


class Broker:
    """mosquitto with a configuration of its own, on a port that stays the same when it is started again."""

    def __init__(self, folder: Path, *lines: str, listener: str = "", anonymous: bool = True) -> None:
        self.port = free_port()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "mosquitto.conf"
        content = [
            "per_listener_settings false",
            "user root",
            f"listener {self.port} 127.0.0.1",
            listener,
            f"allow_anonymous {'true' if anonymous else 'false'}",
            *lines,
        ]
        self._file.write_text("\n".join(content) + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it listens."""
        assert self._process is None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/mosquitto", "-c", str(self._file)], stdout=log, stderr=log
            )
        until_s = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            assert self._process.poll() is None, (self.folder / "mosquitto.log").read_text("utf-8")
            assert time.monotonic() < until_s
            time.sleep(0.02)

    def stop(self) -> None:
        """In good order: what has to last is saved."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=10)
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class DeviceProcess:
    """`mqtt_device.py` as a process."""

    def __init__(self, kind: str, port: int, *host: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(DEVICE), kind, str(port), *host],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        line = self._line()
        assert line.startswith("ready"), line

    def tell(self, command: str) -> None:
        """Give a command; the device obeys in order."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")

    async def ask(self, command: str) -> Any:
        self.tell(command)
        return json.loads(await asyncio.to_thread(self._line))

    async def writes(self) -> list[tuple[str, Any]]:
        """Every set-point that ever reached it."""
        return [(name, value) for name, value in await self.ask("writes")]

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        self.tell(f"publish {topic} {qos} {int(retain)} {payload.hex()}")

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def tags_at(prefix: str) -> dict[str, Tag]:
    """The device's values as tags; `prefix` is what stands before their names."""

    def at(name: str, *given: Any, **named: Any) -> Tag:
        return tag(name, *given, address=f"{prefix}{name}", **named)

    return {
        "constant": at("Constant"),
        "flag": at("Flag", DataType.BOOLEAN),
        "target": at("Target", DataType.FLOAT, limits=LIMITS),
        "switch": at("Switch", DataType.BOOLEAN, limits=SWITCH_LIMITS),
        "count": at("Count", DataType.INT16, limits=LIMITS),
        "fixed": at("Fixed", DataType.FLOAT, limits=LIMITS),
        "missing": at("NoSuchValue"),
    }


PLAIN = tags_at("plant/")
SPARKPLUG = tags_at("Plant/Edge/Cell:")
WANTED = ("constant", "flag", "target", "switch", "count", "fixed")


def plain_link(broker: str, *tags: Tag, **changes: Any) -> MqttLink:
    """A link to the device's plain topics; all tags but the missing one unless some are named."""
    settings = MqttLinkSettings.model_validate({"broker": broker, "client_id": "bridge-test", **changes})
    return MqttLink("plant", settings, tags or tuple(PLAIN[name] for name in WANTED), SystemClock())


def sparkplug_link(broker: str, *tags: Tag, **changes: Any) -> SparkplugLink:
    """A link to the device as an edge node."""
    given = {"broker": broker, "client_id": "bridge-test", "host_id": "bridge", **changes}
    settings = SparkplugLinkSettings.model_validate(given)
    return SparkplugLink("plant", settings, tags or tuple(SPARKPLUG[name] for name in WANTED), SystemClock())


class MqttBench:
    """See `contract.Bench`."""

    def __init__(
        self, device: DeviceProcess, wire: Wire, watching: Watched, tags: dict[str, Tag], mark: int
    ) -> None:
        self.watched = watching
        self.constant, self.flag, self.target = tags["constant"], tags["flag"], tags["target"]
        self.switch, self.count = tags["switch"], tags["count"]
        self.missing, self.fixed = tags["missing"], tags["fixed"]
        self._device = device
        self._mark = mark
        self.cut, self.black_hole, self.delay, self.restore = (
            wire.cut,
            wire.black_hole,
            wire.delay,
            wire.restore,
        )

    async def writes(self) -> list[tuple[str, Any]]:
        return (await self._device.writes())[self._mark :]


class Ear:
    """A subscriber of the test's own that remembers what it heard."""

    def __init__(self, wire: MqttWire) -> None:
        self.wire = wire
        self.heard: list[Message] = []
        wire.on_messages = self.heard.extend

    def on(self, topic: str) -> list[Message]:
        return [message for message in self.heard if message.topic == topic]


@contextlib.asynccontextmanager
async def ear(broker: str, *filters: str, client_id: str = "ear", **changes: Any) -> AsyncIterator[Ear]:
    """Listen to a broker for the length of a block."""
    settings = MqttLinkSettings.model_validate({"broker": broker, **changes})
    listening = Ear(MqttWire(settings, SystemClock(), client_id=client_id))
    await listening.wire.connect()
    assert await listening.wire.subscribe([(name, 1) for name in filters]) == [""] * len(filters)
    try:
        yield listening
    finally:
        await listening.wire.leave()


def values_of(readings: list[Reading], wanted: Tag) -> list[Any]:
    return [reading.value for reading in readings if reading.tag is wanted]


def wire_to(url: str, *, client_id: str = "bridge", **changes: Any) -> MqttWire:
    of_wire = {
        name: changes.pop(name)
        for name in ("persistent", "manual_ack", "will", "receive_maximum", "no_local")
        if name in changes
    }
    settings = MqttLinkSettings.model_validate({"broker": url, "deadline_s": 2.0, **changes})
    return MqttWire(settings, SystemClock(), client_id=client_id, session_expiry_s=600, **of_wire)


@contextlib.asynccontextmanager
async def connected(url: str, **changes: Any) -> AsyncIterator[MqttWire]:
    wire = wire_to(url, **changes)
    try:
        await wire.connect()
        yield wire
    finally:
        await wire.leave()
