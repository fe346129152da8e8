"""Does the plant behave on the wire as the Sparkplug 3.0 specification says an edge node must?"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.client.client import Client
from mqtt_watcher import GROUP, NODE, Seen, Watcher, aliases, number_of, until

from simulator.process import PlantProcess
from simulator.sparkplug.wire_format import DataType, Field, Metric, Payload, Property, encode

DEVICES = [*(f"REACTOR_0{n}" for n in range(1, 5)), "PUMP_01", "PUMP_02", "VALVE_01", "VALVE_02"]


def births_since(watcher: Watcher, mark: int) -> list[Seen]:
    """One whole set of births."""
    first = watcher.of("NBIRTH", since=mark)
    last = watcher.of("DBIRTH", DEVICES[-1], since=first.number)
    between = watcher.seen[first.number : last.number + 1]
    return [one for one in between if one.topic.startswith(f"spBv1.0/{GROUP}/") and "BIRTH" in one.kind]


@pytest.fixture
def born(plant: PlantProcess, watcher: Watcher) -> list[Seen]:
    """The births of a rebirth asked for just now."""
    mark = watcher.mark
    watcher.ask_for_rebirth()
    return births_since(watcher, mark)


def data_metric(watcher: Watcher, device: str, alias: int, since: int) -> Metric:
    """The next report of one metric of a device."""
    found = watcher.wait(
        lambda m: (
            m.topic == f"spBv1.0/{GROUP}/DDATA/{NODE}/{device}"
            and any(one.alias == alias for one in m.sparkplug.metrics)
        ),
        f"data of {device} alias {alias}",
        since,
    )
    return next(one for one in found.sparkplug.metrics if one.alias == alias)


# ── births ────────────────────────────────────────────────────────────────────────────────────────────────


def test_births_come_first_with_sequence_numbers_from_zero(plant: PlantProcess, watcher: Watcher) -> None:
    first = watcher.after(0)[: len(DEVICES) + 1]
    assert [(one.kind, one.device) for one in first] == [
        ("NBIRTH", ""),
        *(("DBIRTH", device) for device in DEVICES),
    ]
    assert [one.sparkplug.seq for one in first] == list(range(len(DEVICES) + 1))
    assert first[0].metric("bdSeq").value == 0
    assert first[0].metric("bdSeq").datatype == DataType.Int64


def test_a_birth_tells_types_units_ranges_and_what_may_be_written(born: list[Seen]) -> None:
    node, reactor = born[0], born[1]
    control = node.metric("Node Control/Rebirth")
    assert (control.datatype, control.value, control.alias) == (DataType.Boolean, False, None)
    assert node.metric("ActiveFaults").datatype == DataType.String
    temperature = reactor.metric("Temperature")
    assert temperature.datatype == DataType.Double
    assert isinstance(temperature.value, float)
    assert abs(time.time() * 1000 - (temperature.timestamp_ms or 0)) < 5_000
    assert temperature.properties == {
        "engUnit": Property(datatype=DataType.String, value="°C"),
        "engLow": Property(datatype=DataType.Double, value=0.0),
        "engHigh": Property(datatype=DataType.Double, value=200.0),
        "readOnly": Property(datatype=DataType.Boolean, value=True),
    }
    setpoint = reactor.metric("ThroughputSetpoint")
    assert (setpoint.datatype, "readOnly" in setpoint.properties) == (DataType.Float, False)
    assert reactor.metric("CoolingOn").datatype == DataType.Boolean
    assert reactor.metric("State").datatype == DataType.Int32


def test_aliases_are_unique_in_the_whole_node(born: list[Seen]) -> None:
    given = [metric.alias for birth in born for metric in birth.sparkplug.metrics if metric.alias is not None]
    assert len(given) == len(set(given))
    assert len(given) == 3 + 4 * 7 + 2 * 5 + 2 * 3


def test_a_rebirth_keeps_bdseq_and_begins_the_sequence_anew(born: list[Seen], watcher: Watcher) -> None:
    deaths = [one.metric("bdSeq").value for one in watcher.after(0, "NBIRTH")]
    assert born[0].metric("bdSeq").value == deaths[0]
    assert [one.sparkplug.seq for one in born] == list(range(len(DEVICES) + 1))
    assert watcher.after(born[0].number, "NDEATH") == []


# ── data ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_sequence_counts_over_node_and_devices_and_wraps(born: list[Seen], watcher: Watcher) -> None:
    start = born[0].number
    until(lambda: len(watcher.after(start)) > 600, "600 messages", within_s=30)
    counted = [one for one in watcher.after(start) if one.kind in ("NBIRTH", "DBIRTH", "NDATA", "DDATA")]
    numbers = [one.sparkplug.seq for one in counted]
    assert numbers == [place % 256 for place in range(len(numbers))]
    assert {one.kind for one in counted} == {"NBIRTH", "DBIRTH", "NDATA", "DDATA"}


def test_data_go_by_alias_and_tell_only_what_has_changed(born: list[Seen], watcher: Watcher) -> None:
    names = {alias: key for key, alias in aliases(born).items()}
    last = watcher.of("DBIRTH", DEVICES[-1], since=born[0].number).number
    until(lambda: len(watcher.after(last, "DDATA", "REACTOR_01")) >= 5, "data")
    for one in watcher.after(last, "DDATA", "REACTOR_01"):
        assert one.sparkplug.timestamp_ms is not None
        for metric in one.sparkplug.metrics:
            assert (metric.name, metric.datatype) == (None, None)
            assert names[metric.alias or 0][0] == "REACTOR_01"
            assert names[metric.alias or 0][1] in ("Temperature", "Pressure", "FlowRate", "Throughput")
            assert metric.field is Field.DOUBLE


def test_nothing_but_a_death_is_more_than_qos_0_and_nothing_is_retained(
    plant: PlantProcess, watcher: Watcher, broker: str
) -> None:
    assert {one.qos for one in watcher.after(0) if one.kind[1:] in ("BIRTH", "DATA")} == {0}
    with Watcher(broker) as late:
        late.wait(lambda m: m.kind == "DDATA", "data")
        assert [one.topic for one in late.seen if one.retained] == []


# ── deaths ────────────────────────────────────────────────────────────────────────────────────────────────


def lone_plant(broker: str, node: str, *arguments: str) -> PlantProcess:
    return PlantProcess.start(
        *("--equipment", "1", "--tick", "0.1", "--broker", broker, "--sparkplug", f"alone/{node}", *arguments)
    )


def alone(watcher: Watcher, kind: str, node: str, since: int = 0) -> Seen:
    topic = f"spBv1.0/alone/{kind}/{node}"
    return watcher.wait(lambda m: m.topic == topic, topic, since)


def test_a_killed_plant_dies_by_its_will(broker: str, watcher: Watcher) -> None:
    with lone_plant(broker, "killed") as plant:
        birth = alone(watcher, "NBIRTH", "killed")
        plant.kill()
    death = alone(watcher, "NDEATH", "killed")
    assert (death.qos, death.retained) == (1, False)
    assert death.sparkplug.seq is None
    assert [one.name for one in death.sparkplug.metrics] == ["bdSeq"]
    assert death.metric("bdSeq").value == birth.metric("bdSeq").value
    with Watcher(broker) as late:
        late.send("end", b"")
        late.wait(lambda m: m.topic == "end", "end")
        assert [one.topic for one in late.seen if "alone" in one.topic] == []


def test_a_plant_that_is_asked_to_end_says_that_it_is_dead(broker: str, watcher: Watcher) -> None:
    with lone_plant(broker, "ended") as plant:
        birth = alone(watcher, "NBIRTH", "ended")
        assert plant.stop() == 0
    death = alone(watcher, "NDEATH", "ended")
    assert death.metric("bdSeq").value == birth.metric("bdSeq").value
    watcher.send("ended", b"")
    watcher.wait(lambda m: m.topic == "ended", "ended")
    deaths = [one for one in watcher.seen if one.topic == "spBv1.0/alone/NDEATH/ended"]
    assert len(deaths) == 1
    assert watcher.seen.index(deaths[0]) == max(
        place
        for place, one in enumerate(watcher.seen)
        if one.topic.startswith("spBv1.0/alone/") and "/ended" in one.topic
    )


def test_the_next_connection_has_the_next_bdseq(broker: str, watcher: Watcher) -> None:
    with lone_plant(broker, "again", "--fault", "broker_restart 0.2s @1s"):
        first = alone(watcher, "NBIRTH", "again")
        death = alone(watcher, "NDEATH", "again")
        second = alone(watcher, "NBIRTH", "again", since=death.number)
    assert [one.metric("bdSeq").value for one in (first, death, second)] == [0, 0, 1]


# ── a primary host ────────────────────────────────────────────────────────────────────────────────────────


def test_with_a_primary_host_the_node_lives_and_dies_with_its_state(broker: str, watcher: Watcher) -> None:
    def state(online: bool, at_ms: int) -> None:
        content = json.dumps({"online": online, "timestamp": at_ms})
        watcher.send("spBv1.0/STATE/scada", content, qos=1, retain=True)

    state(False, 1000)
    try:
        with lone_plant(broker, "waits", "--primary-host", "scada") as plant:
            assert plant.process.stdout is not None
            assert plant.process.stdout.readline() == f"mqtt ready {broker} sparkplug alone/waits\n"
            assert [one for one in watcher.seen if one.topic.endswith("BIRTH/waits")] == []
            state(True, 2000)
            first = alone(watcher, "NBIRTH", "waits")
            state(False, 1500)  # an old will that comes late
            mark = watcher.mark
            watcher.wait(lambda m: m.topic == "spBv1.0/alone/DDATA/waits/REACTOR_01", "data", mark)
            assert [one for one in watcher.seen if one.topic.endswith("NDEATH/waits")] == []
            state(False, 3000)
            death = alone(watcher, "NDEATH", "waits")
            state(True, 4000)
            second = alone(watcher, "NBIRTH", "waits", since=death.number)
        between = [
            one.topic
            for one in watcher.seen[death.number + 1 : second.number]
            if one.topic.startswith("spBv1.0/alone/") and "/waits" in one.topic
        ]
        assert between == []
        assert [one.metric("bdSeq").value for one in (first, death)] == [0, 0]
        assert second.metric("bdSeq").value == 1
    finally:
        watcher.send("spBv1.0/STATE/scada", b"", qos=1, retain=True)


# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────


def opc_value(plant: PlantProcess, path: str) -> object:
    """What the same plant shows over OPC UA."""

    async def read() -> object:
        async with Client(plant.endpoint, timeout=10) as client:
            namespace = await client.get_namespace_index("urn:ignition-bridge:plant")
            return await client.get_node(f"ns={namespace};s={path}").read_value()

    return asyncio.run(read())


def records(write_log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in write_log.read_text(encoding="utf-8").splitlines()]


def test_a_command_moves_the_physics_and_shows_in_the_data(
    plant: PlantProcess, watcher: Watcher, born: list[Seen], write_log: Path
) -> None:
    named = aliases(born)
    mark = watcher.mark
    watcher.command("REACTOR_01", Metric(name="ThroughputSetpoint", datatype=DataType.Float, value=300.0))
    back = data_metric(watcher, "REACTOR_01", named["REACTOR_01", "ThroughputSetpoint"], mark)
    assert (back.value, back.field) == (300.0, Field.FLOAT)
    watcher.command(
        "REACTOR_01",
        Metric(alias=named["REACTOR_01", "CoolingOn"], datatype=DataType.Boolean, value=True),
    )
    assert data_metric(watcher, "REACTOR_01", named["REACTOR_01", "CoolingOn"], mark).value is True
    until(
        lambda: (
            number_of(data_metric(watcher, "REACTOR_01", named["REACTOR_01", "Temperature"], watcher.mark))
            < 50.0
        ),
        "cooler reactor",
    )
    assert opc_value(plant, "REACTOR_01/ThroughputSetpoint") == 300.0
    mine = [one for one in records(write_log) if str(one["node"]).startswith("REACTOR_01/")]
    assert [(one["node"], one["old"], one["new"], one["session"]) for one in mine] == [
        ("REACTOR_01/ThroughputSetpoint", 500.0, 300.0, "sparkplug"),
        ("REACTOR_01/CoolingOn", False, True, "sparkplug"),
    ]


def test_a_command_to_the_value_that_holds_is_told_too(watcher: Watcher, born: list[Seen]) -> None:
    alias = aliases(born)["VALVE_01", "PositionSetpoint"]
    mark = watcher.mark
    watcher.command("VALVE_01", Metric(alias=alias, datatype=DataType.Float, value=50.0))
    assert data_metric(watcher, "VALVE_01", alias, mark).value == 50.0


SPEED = Metric(name="SpeedSetpoint", datatype=DataType.Int32, value=1000)
REFUSED: dict[str, Callable[[Watcher, dict[tuple[str, str], int]], None]] = {
    "out of range": lambda w, _: w.command(
        "PUMP_01", Metric(name="SpeedSetpoint", datatype=DataType.Int32, value=3001)
    ),
    "negative": lambda w, _: w.command(
        "PUMP_01", Metric(name="SpeedSetpoint", datatype=DataType.Int32, value=-1)
    ),
    "another type": lambda w, _: w.command(
        "PUMP_01", Metric(name="SpeedSetpoint", datatype=DataType.Double, value=1000.0)
    ),
    "another field": lambda w, _: w.command(
        "PUMP_01",
        Metric(name="SpeedSetpoint", datatype=DataType.Int32, value=1000.0, field=Field.DOUBLE),
    ),
    "another field without a type": lambda w, _: w.command(
        "PUMP_01", Metric(name="SpeedSetpoint", value=1000.0, field=Field.DOUBLE)
    ),
    "a wider integer": lambda w, _: w.command(
        "PUMP_01", Metric(name="SpeedSetpoint", datatype=DataType.Int32, value=1000, field=Field.LONG)
    ),
    "a wider integer without a type": lambda w, _: w.command(
        "PUMP_01", Metric(name="SpeedSetpoint", value=1000, field=Field.LONG)
    ),
    "null": lambda w, _: w.command(
        "PUMP_01", Metric(name="SpeedSetpoint", datatype=DataType.Int32, is_null=True)
    ),
    "read-only": lambda w, _: w.command(
        "PUMP_01", Metric(name="Speed", datatype=DataType.Double, value=1000.0)
    ),
    "unknown name": lambda w, _: w.command(
        "PUMP_01", Metric(name="Speeed", datatype=DataType.Int32, value=1)
    ),
    "unknown alias": lambda w, _: w.command("PUMP_01", Metric(alias=9999, datatype=DataType.Int32, value=1)),
    "alias of another device": lambda w, named: w.command(
        "PUMP_01", Metric(alias=named["PUMP_02", "SpeedSetpoint"], datatype=DataType.Int32, value=1000)
    ),
    "alias and another name": lambda w, named: w.command(
        "PUMP_01",
        Metric(name="Speed", alias=named["PUMP_01", "SpeedSetpoint"], datatype=DataType.Int32, value=1000),
    ),
    "with seq": lambda w, _: w.command("PUMP_01", SPEED, seq=3),
    "without a timestamp": lambda w, _: w.command("PUMP_01", SPEED, at_ms=None),
    "garbage": lambda w, _: w.send(f"spBv1.0/{GROUP}/DCMD/{NODE}/PUMP_01", b"\x12\x7f garbage"),
    "unknown device": lambda w, _: w.command("PUMP_09", SPEED),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_command_that_must_not_be_is_not_carried_out(
    what: str, watcher: Watcher, born: list[Seen], write_log: Path
) -> None:
    """The next good one is, so the bad one did no harm, and the log holds nothing else."""
    named = aliases(born)
    before = len(records(write_log)) if write_log.exists() else 0
    mark = watcher.mark
    REFUSED[what](watcher, named)
    good = 1200 + before % 7
    watcher.command("PUMP_01", Metric(name="SpeedSetpoint", datatype=DataType.Int32, value=good))
    back = data_metric(watcher, "PUMP_01", named["PUMP_01", "SpeedSetpoint"], mark)
    assert back.value == good
    assert [one["new"] for one in records(write_log)[before:]] == [good]


def test_a_command_without_a_type_is_read_by_its_field(watcher: Watcher, born: list[Seen]) -> None:
    alias = aliases(born)["PUMP_02", "SpeedSetpoint"]
    mark = watcher.mark
    watcher.command("PUMP_02", Metric(alias=alias, datatype=DataType.Int32, value=1111, tells_type=False))
    assert data_metric(watcher, "PUMP_02", alias, mark).value == 1111


def test_a_retained_command_is_not_carried_out_again(broker: str, watcher: Watcher, tmp_path: Path) -> None:
    topic = "spBv1.0/alone/DCMD/kept/REACTOR_01"
    log = tmp_path / "writes.jsonl"
    payload = Metric(name="CoolingOn", datatype=DataType.Boolean, value=True)
    watcher.send(topic, encode(Payload(timestamp_ms=1, metrics=(payload,))), qos=1, retain=True)
    try:
        with lone_plant(broker, "kept", "--write-log", str(log)):
            alone(watcher, "NBIRTH", "kept")
            good = Metric(name="ThroughputSetpoint", datatype=DataType.Float, value=400.0)
            watcher.send(topic, encode(Payload(timestamp_ms=1, metrics=(good,))))
            until(lambda: log.exists() and records(log), "write")
        assert [one["node"] for one in records(log)] == ["REACTOR_01/ThroughputSetpoint"]
    finally:
        watcher.send(topic, b"", qos=1, retain=True)


def test_a_bad_sensor_is_null_with_bad_quality(
    watcher: Watcher, born: list[Seen], inject: Callable[..., None], clear: Callable[[str], None]
) -> None:
    alias = aliases(born)["REACTOR_02", "Temperature"]
    mark = watcher.mark
    inject("bad_sensor", "REACTOR_02")

    def is_null(message: Seen) -> bool:
        return message.topic.endswith("DDATA/line1/REACTOR_02") and any(
            one.alias == alias and one.is_null for one in message.sparkplug.metrics
        )

    bad = watcher.wait(is_null, "null", mark)
    metric = next(one for one in bad.sparkplug.metrics if one.alias == alias)
    assert metric.value is None
    assert metric.properties["Quality"] == Property(datatype=DataType.Int32, value=0)
    clear("REACTOR_02")
    again = data_metric(watcher, "REACTOR_02", alias, bad.number + 1)
    assert not again.is_null
    assert not math.isnan(number_of(again))


def test_what_opc_ua_sets_the_edge_node_tells(
    plant: PlantProcess, watcher: Watcher, born: list[Seen]
) -> None:
    alias = aliases(born)["REACTOR_04", "ThroughputSetpoint"]
    mark = watcher.mark

    async def write() -> None:
        async with Client(plant.endpoint, timeout=10) as client:
            namespace = await client.get_namespace_index("urn:ignition-bridge:plant")
            node = client.get_node(f"ns={namespace};s=REACTOR_04/ThroughputSetpoint")
            await node.write_value(ua.DataValue(ua.Variant(444.0, ua.VariantType.Float)))

    asyncio.run(write())
    assert data_metric(watcher, "REACTOR_04", alias, mark).value == 444.0


def test_times_never_run_backwards_within_a_metric(watcher: Watcher, born: list[Seen]) -> None:
    alias = aliases(born)["REACTOR_03", "Temperature"]
    start = born[0].number
    until(lambda: len(watcher.after(start, "DDATA", "REACTOR_03")) >= 10, "data")
    times = [
        metric.timestamp_ms or 0
        for one in watcher.after(start, "DDATA", "REACTOR_03")
        for metric in one.sparkplug.metrics
        if metric.alias == alias
    ]
    assert all(earlier < later for earlier, later in pairwise(times))
