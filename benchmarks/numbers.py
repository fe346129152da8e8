"""A source that counts: topics whose values are 1, 2, 3, …, so that a missing or doubled reading shows by itself.

`python -m benchmarks.child numbers HOST PORT TOPICS RATE` publishes so many readings a second with QoS 1 until
SIGTERM, five in each message, as devices do; waits until the broker has taken everything, and prints how many
numbers each tag got.
"""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime
from threading import Event

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

ROOT_TOPIC = "numbers"
VALUES = ("a", "b", "c", "d", "e")  # of each topic; all of one message are the same number
_SLICE_S = 0.02


def topic_of(number: int) -> str:
    """The equipment, and the last level of the topic, with this number from 1."""
    return f"T_{number:02d}"


def publish_until_told(host: str, port: int, topics: int, rate_per_s: float) -> None:
    """See the module."""
    told, connected = Event(), Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: told.set())
    taken = 0

    def on_publish(*_: object) -> None:
        nonlocal taken
        taken += 1

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="numbers")
    client.max_inflight_messages_set(65_535)
    client.max_queued_messages_set(0)
    client.on_connect = lambda *_: connected.set()
    client.on_publish = on_publish
    client.connect(host, port)
    client.loop_start()
    if not connected.wait(10.0):
        raise SystemExit(f"no broker at {host}:{port} within 10 s")
    print("publishing", flush=True)
    sent, began_s = 0, time.monotonic()
    while not told.is_set():
        due = int((time.monotonic() - began_s) * rate_per_s / len(VALUES))
        for place in range(sent, due):
            number, topic = divmod(place, topics)
            payload: dict[str, object] = dict.fromkeys(VALUES, number + 1)
            payload["timestamp"] = datetime.now(UTC).isoformat(timespec="microseconds")
            client.publish(f"{ROOT_TOPIC}/{topic_of(topic + 1)}", json.dumps(payload), qos=1)
        sent = max(sent, due)
        told.wait(_SLICE_S)
    until_s = time.monotonic() + 30.0
    while taken < sent and time.monotonic() < until_s:
        time.sleep(_SLICE_S)
    if taken < sent:
        raise SystemExit(f"the broker took {taken} of {sent} messages")
    client.disconnect()
    client.loop_stop()
    counts = {f"{topic_of(n + 1)}/{v}": len(range(n, sent, topics)) for n in range(topics) for v in VALUES}
    print(json.dumps(counts), flush=True)
