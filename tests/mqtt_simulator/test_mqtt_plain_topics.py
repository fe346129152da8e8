"""Does the plant tell its values on plain topics, take set-points there, and answer them?"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mqtt_watcher import Seen, Watcher, until

from simulator.process import PlantProcess


def told(
    watcher: Watcher, path: str, since: int, accept: Callable[[dict[str, Any]], Any] = bool
) -> dict[str, Any]:
    """The next value of a topic that is accepted."""
    found = watcher.wait(lambda m: m.topic == f"works/{path}" and accept(json.loads(m.payload)), path, since)
    content: dict[str, Any] = json.loads(found.payload)
    return content


def order(watcher: Watcher, path: str, content: object) -> dict[str, Any]:
    """Send a set-point and wait for its confirmation."""
    mark = watcher.mark
    watcher.send(f"works/{path}/set", json.dumps(content), qos=1)
    return told(watcher, f"{path}/confirmed", mark)


def test_values_come_each_tick_with_time_and_quality(plant: PlantProcess, watcher: Watcher) -> None:
    mark = watcher.mark
    first = watcher.wait(lambda m: m.topic == "works/REACTOR_03/Temperature", "temperature", mark)
    content = json.loads(first.payload)
    assert sorted(content) == ["quality", "timestamp", "value"]
    assert 60.0 < content["value"] < 90.0
    assert content["quality"] == "good"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(content["timestamp"])) < timedelta(seconds=5)
    assert (first.qos, first.retained) == (1, False)
    later = told(watcher, "REACTOR_03/Temperature", first.number + 1)
    assert later["timestamp"] > content["timestamp"]


def test_what_does_not_change_is_told_too(plant: PlantProcess, watcher: Watcher) -> None:
    mark = watcher.mark

    def states() -> list[Seen]:
        return [one for one in watcher.seen[mark:] if one.topic == "works/REACTOR_03/State"]

    until(lambda: len(states()) >= 3, "states")
    assert {json.loads(one.payload)["value"] for one in states()} == {1}
    assert told(watcher, "REACTOR_03/CoolingOn", mark)["value"] is False


def test_a_setpoint_is_applied_confirmed_and_logged(
    plant: PlantProcess, watcher: Watcher, write_log: Path
) -> None:
    mark = watcher.mark
    asked = {"id": "c-1", "value": 375.5, "timestamp": "2026-01-01T00:00:00+00:00"}
    assert order(watcher, "REACTOR_03/ThroughputSetpoint", asked) == {
        "id": "c-1",
        "value": 375.5,
        "status": "ok",
    }
    shown = told(watcher, "REACTOR_03/ThroughputSetpoint", mark, lambda content: content["value"] == 375.5)
    assert shown["quality"] == "good"
    assert order(watcher, "REACTOR_03/CoolingOn", {"id": 2, "value": True})["status"] == "ok"
    told(watcher, "REACTOR_03/Temperature", mark, lambda content: content["value"] < 60.0)
    mine = [
        (one["node"], one["new"], one["session"])
        for one in map(json.loads, write_log.read_text(encoding="utf-8").splitlines())
        if one["session"] == "mqtt"
    ]
    assert mine == [("REACTOR_03/ThroughputSetpoint", 375.5, "mqtt"), ("REACTOR_03/CoolingOn", True, "mqtt")]
    watcher.of("DDATA", "REACTOR_03", since=mark)


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("REACTOR_02/ThroughputSetpoint", {"id": 1, "value": 1000.1}, "BadOutOfRange"),
        ("REACTOR_02/ThroughputSetpoint", {"id": 1, "value": "300"}, "BadTypeMismatch"),
        ("REACTOR_02/ThroughputSetpoint", {"id": 1, "value": True}, "BadTypeMismatch"),
        ("REACTOR_02/ThroughputSetpoint", {"id": 1, "value": None}, "BadTypeMismatch"),
        ("REACTOR_02/ThroughputSetpoint", {"id": 1, "value": [300]}, "BadTypeMismatch"),
        ("PUMP_02/SpeedSetpoint", {"id": 1, "value": 1000.5}, "BadTypeMismatch"),
        ("REACTOR_02/CoolingOn", {"id": 1, "value": 1}, "BadTypeMismatch"),
        ("REACTOR_02/Temperature", {"id": 1, "value": 20.0}, "BadNotWritable"),
        ("REACTOR_02/Nothing", {"id": 1, "value": 20.0}, "BadNodeIdUnknown"),
    ],
)
def test_a_setpoint_that_must_not_be_is_answered_with_the_reason(
    path: str, content: dict[str, Any], status: str, plant: PlantProcess, watcher: Watcher, write_log: Path
) -> None:
    before = write_log.read_text(encoding="utf-8") if write_log.exists() else ""
    assert order(watcher, path, content) == {"id": 1, "value": content["value"], "status": status}
    assert (write_log.read_text(encoding="utf-8") if write_log.exists() else "") == before


@pytest.mark.parametrize("payload", [b"{", b"300", b"\xff", b'{"id": 1}', b'{"value": NaN, "id": 1}'])
def test_what_is_no_order_is_answered_too(payload: bytes, plant: PlantProcess, watcher: Watcher) -> None:
    mark = watcher.mark
    watcher.send("works/REACTOR_02/ThroughputSetpoint/set", payload, qos=1)
    answer = told(watcher, "REACTOR_02/ThroughputSetpoint/confirmed", mark)
    assert answer["status"] != "ok"


def test_faults_of_writes_show_in_the_confirmation(
    plant: PlantProcess, watcher: Watcher, inject: Callable[..., None], clear: Callable[[str], None]
) -> None:
    path = "VALVE_01/PositionSetpoint"
    inject("write_refused", "VALVE_01")
    assert order(watcher, path, {"id": 1, "value": 70.0})["status"] == "BadDeviceFailure"
    clear("VALVE_01")
    inject("setpoint_ignored", "VALVE_01")
    assert order(watcher, path, {"id": 2, "value": 71.0})["status"] == "ok"
    assert told(watcher, path, watcher.mark)["value"] != 71.0
    clear("VALVE_01")
    inject("write_slow 1s", "VALVE_01")
    mark = watcher.mark
    watcher.send(f"works/{path}/set", json.dumps({"id": 3, "value": 72.0}), qos=1)
    shown = watcher.wait(
        lambda m: m.topic == f"works/{path}" and json.loads(m.payload)["value"] == 72.0, "value", mark
    )
    answer = watcher.wait(lambda m: m.topic == f"works/{path}/confirmed", "confirmation", mark)
    assert answer.at_s - shown.at_s > 0.5


def test_faults_of_sensors_show(
    plant: PlantProcess, watcher: Watcher, inject: Callable[..., None], clear: Callable[[str], None]
) -> None:
    path = "REACTOR_04/Temperature"
    mark = watcher.mark
    inject("bad_sensor", "REACTOR_04")
    assert told(watcher, path, mark, lambda content: content["quality"] == "bad")["value"] is None
    clear("REACTOR_04")
    told(watcher, path, watcher.mark, lambda content: content["quality"] == "good")
    inject("stuck_sensor", "REACTOR_04")
    last = told(watcher, path, watcher.mark)
    assert told(watcher, path, watcher.mark) == last
    clear("REACTOR_04")
    inject("stale_sensor", "REACTOR_04")
    mark = watcher.mark
    until(lambda: sum(m.topic == "works/REACTOR_04/Pressure" for m in watcher.seen[mark:]) >= 5, "pressures")
    assert sum(m.topic == f"works/{path}" for m in watcher.seen[mark:]) <= 1


def test_a_retained_order_is_left_alone(plant: PlantProcess, watcher: Watcher, broker: str) -> None:
    topic = "late/REACTOR_01/CoolingOn/set"
    watcher.send(topic, json.dumps({"id": 1, "value": True}), qos=1, retain=True)
    try:
        with PlantProcess.start("--equipment", "1", "--tick", "0.1", "--broker", broker, "--plain", "late"):
            watcher.wait(lambda m: m.topic == "late/REACTOR_01/CoolingOn", "value")
            mark = watcher.mark
            watcher.send(topic, json.dumps({"id": 2, "value": False}), qos=1)
            watcher.wait(lambda m: m.topic == topic.replace("/set", "/confirmed"), "confirmation", mark)
        answers = [
            json.loads(one.payload)["id"]
            for one in watcher.seen
            if one.topic == "late/REACTOR_01/CoolingOn/confirmed"
        ]
        assert answers == [2]
        values = {
            json.loads(one.payload)["value"]
            for one in watcher.seen
            if one.topic == "late/REACTOR_01/CoolingOn"
        }
        assert values == {False}
    finally:
        watcher.send(topic, b"", qos=1, retain=True)
