"""A device behind a broker, on plain topics or as a Sparkplug edge node; runs in its own process.

Commands come on standard input, one line each: `writes` (prints the set-points that reached it so far as JSON),
`set NAME JSON` (a new value, published at once), `deaf` (set-points are taken and never answered), `hearing`,
`mute` and `speaking` (of publishing on its own), `publish TOPIC QOS RETAIN HEX`, `rebirths` (how often births were
asked for), `burst NUMBER` (so many values of Constant, counting up), `quit` (dies without a word).
`ready` is printed once its values are out. Its Sparkplug codec is the simulator's, which knows nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from simulator.sparkplug.payload import DataType, Metric, Payload, Property
from simulator.sparkplug.wire_format import decode, encode

GROUP, NODE, DEVICE, PREFIX = "Plant", "Edge", "Cell", "plant"
VALUES: dict[str, Any] = {
    "Constant": 21.5,
    "Flag": True,
    "Target": 50.0,
    "Switch": False,
    "Count": 3,
    "Fixed": 1.0,
}
TYPES = {
    "Constant": DataType.Double,
    "Flag": DataType.Boolean,
    "Target": DataType.Float,
    "Switch": DataType.Boolean,
    "Count": DataType.Int16,
    "Fixed": DataType.Float,
}
WRITABLE = ("Target", "Switch", "Count")
REBIRTH = "Node Control/Rebirth"
EVERY_S = 0.1


def now_ms() -> int:
    return int(time.time() * 1000)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Device:
    """What both kinds do."""

    def __init__(self, port: int, host: str = "") -> None:
        self.host = host
        self.values = dict(VALUES)
        self.writes: list[tuple[str, Any]] = []
        self.deaf = self.mute = False
        self.rebirths = 0
        self.lock = threading.RLock()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=f"device-{os.getpid()}")
        self.client.reconnect_delay_set(1, 1)
        self.client.max_queued_messages_set(0)
        self.client.on_connect = lambda *_: self.connected()
        self.client.on_message = lambda _c, _u, message: self.heard(message)
        self.prepare()
        while True:
            try:
                self.client.connect("127.0.0.1", port, keepalive=5)
                break
            except OSError:
                time.sleep(0.1)
        self.client.loop_start()

    def prepare(self) -> None:
        """Before connecting."""

    def connected(self) -> None:
        raise NotImplementedError

    def heard(self, message: MQTTMessage) -> None:
        raise NotImplementedError

    def publish(self, name: str) -> None:
        raise NotImplementedError

    def take(self, name: str, value: Any) -> bool:
        """A set-point came: note it, and do it if it may be done."""
        self.writes.append((name, value))
        if name in WRITABLE and not self.deaf:
            self.values[name] = value
            self.publish(name)
            return True
        return False

    def obey(self, line: str) -> None:
        command, *words = line.split(maxsplit=2)
        with self.lock:
            if command == "writes":
                say(json.dumps(self.writes))
            elif command == "rebirths":
                say(json.dumps(self.rebirths))
            elif command == "set":
                self.values[words[0]] = json.loads(words[1])
                self.publish(words[0])
            elif command in ("deaf", "hearing"):
                self.deaf = command == "deaf"
            elif command in ("mute", "speaking"):
                self.mute = command == "mute"
            elif command == "burst":
                for number in range(int(words[0])):
                    self.values["Constant"] = float(number)
                    self.publish("Constant")
            elif command == "publish":
                qos, retain, *content = words[1].split()
                payload = bytes.fromhex(content[0]) if content else b""
                self.client.publish(words[0], payload, int(qos), retain == "1")
            elif command == "quit":
                os._exit(1)


class Plain(Device):
    def connected(self) -> None:
        self.client.subscribe(f"{PREFIX}/+/set", 1)
        for name in self.values:
            self.publish(name)

    def publish(self, name: str) -> None:
        content = json.dumps({"value": self.values[name], "timestamp": now_ms()})
        self.client.publish(f"{PREFIX}/{name}", content, 1)

    def heard(self, message: MQTTMessage) -> None:
        with self.lock:
            if message.retain:
                return
            name = message.topic.split("/")[1]
            asked = json.loads(message.payload)
            accepted = self.take(name, asked["value"])
            if not self.deaf:
                answer = {"id": asked["id"], "value": self.values.get(name), "accepted": accepted}
                self.client.publish(f"{PREFIX}/{name}/confirmed", json.dumps(answer), 1)

    def tick(self) -> None:
        for name in self.values:
            self.publish(name)


class Edge(Device):
    def prepare(self) -> None:
        self.seq = 0
        self.birth = 0
        self.aliases = {name: number for number, name in enumerate(self.values, start=10)}
        death = Payload(timestamp_ms=now_ms(), metrics=(self._bd_seq(),))
        self.client.will_set(f"spBv1.0/{GROUP}/NDEATH/{NODE}", encode(death), 1)

    def _bd_seq(self) -> Metric:
        return Metric(name="bdSeq", datatype=DataType.Int64, value=self.birth, timestamp_ms=now_ms())

    def connected(self) -> None:
        self.client.subscribe(f"spBv1.0/{GROUP}/NCMD/{NODE}", 1)
        self.client.subscribe(f"spBv1.0/{GROUP}/DCMD/{NODE}/#", 1)
        if self.host:
            self.client.subscribe(f"spBv1.0/STATE/{self.host}", 1)
        self.be_born()

    def be_born(self) -> None:
        with self.lock:
            self.seq = 255
            rebirth = Metric(name=REBIRTH, datatype=DataType.Boolean, value=False, timestamp_ms=now_ms())
            self._send("NBIRTH", "", (self._bd_seq(), rebirth))
            self._send("DBIRTH", f"/{DEVICE}", tuple(self._metric(name, born=True) for name in self.values))

    def _metric(self, name: str, *, born: bool = False) -> Metric:
        read_only = {} if name in WRITABLE else {"readOnly": Property(datatype=DataType.Boolean, value=True)}
        return Metric(
            name=name if born else None,
            alias=self.aliases[name],
            timestamp_ms=now_ms(),
            datatype=TYPES[name],
            value=self.values[name],
            properties=read_only if born else {},
            tells_type=born,
        )

    def _send(self, kind: str, device: str, metrics: tuple[Metric, ...]) -> None:
        self.seq = (self.seq + 1) % 256
        payload = Payload(timestamp_ms=now_ms(), metrics=metrics, seq=self.seq)
        self.client.publish(f"spBv1.0/{GROUP}/{kind}/{NODE}{device}", encode(payload), 0)

    def publish(self, name: str) -> None:
        self._send("DDATA", f"/{DEVICE}", (self._metric(name),))

    def heard(self, message: MQTTMessage) -> None:
        with self.lock:
            if "/STATE/" in message.topic:
                if json.loads(message.payload)["online"] and not message.retain:
                    self.be_born()
                return
            if message.retain:
                return
            payload = decode(bytes(message.payload))
            for metric in payload.metrics:
                if metric.name == REBIRTH:
                    self.rebirths += 1
                    self.be_born()
                    continue
                name = metric.name or next(n for n, alias in self.aliases.items() if alias == metric.alias)
                assert payload.seq is None, "commands carry no seq"
                assert metric.datatype in (None, TYPES[name]), metric
                self.take(name, metric.value)

    def tick(self) -> None:
        """Reports what changes, and nothing changes by itself."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("plain", "sparkplug"))
    parser.add_argument("port", type=int)
    parser.add_argument("host", nargs="?", default="", help="the primary host whose coming leads to a birth")
    given = parser.parse_args()
    device = (Plain if given.kind == "plain" else Edge)(given.port, given.host)

    def speak() -> None:
        while True:
            time.sleep(EVERY_S)
            with device.lock:
                if not device.mute:
                    device.tick()

    while not device.client.is_connected():
        time.sleep(0.01)
    threading.Thread(target=speak, daemon=True).start()
    say("ready")
    for line in sys.stdin:
        device.obey(line.strip())
    os._exit(0)


if __name__ == "__main__":
    main()
