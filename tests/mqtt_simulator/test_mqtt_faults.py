"""Does each fault of the MQTT group show on the wire, and end?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from mqtt_watcher import GROUP, NODE, Seen, Watcher, aliases, until
from typer.testing import CliRunner

from simulator.__main__ import app
from simulator.faults import CATALOGUE
from simulator.opcua.client import PlantCallError, call_plant
from simulator.process import PlantProcess
from simulator.sparkplug.wire_format import DataType, Metric

Inject = Callable[..., None]
Clear = Callable[[str], None]

_SHOWN: set[str] = set()


def shows(fault: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Marks the test in which a fault is seen."""
    _SHOWN.add(fault)
    return lambda test: test


def test_every_fault_of_the_group_has_a_test_and_a_sentence() -> None:
    assert {name for name, fault in CATALOGUE.items() if fault.group == "mqtt"} == _SHOWN
    assert all(len(CATALOGUE[name].meaning.split()) > 5 for name in _SHOWN)


def data(watcher: Watcher, since: int) -> list[Seen]:
    return [one for one in watcher.after(since) if one.kind in ("NDATA", "DDATA")]


def sequence(watcher: Watcher, since: int) -> list[int]:
    """The numbers of all messages of the node that carry one."""
    kinds = ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH")
    return [one.sparkplug.seq or 0 for one in watcher.after(since) if one.kind in kinds]


def steps(numbers: list[int]) -> list[int]:
    return [(later - earlier) % 256 for earlier, later in pairwise(numbers)]


def has_data(watcher: Watcher, since: int, count: int = 40) -> None:
    until(lambda: len(data(watcher, since)) >= count, f"{count} data messages")


@shows("sequence_gap")
def test_sequence_gap_leaves_out_one_number(plant: PlantProcess, watcher: Watcher, inject: Inject) -> None:
    before = watcher.mark
    has_data(watcher, before)
    assert set(steps(sequence(watcher, before))) == {1}
    inject("sequence_gap")
    has_data(watcher, watcher.mark)
    assert sorted(steps(sequence(watcher, before)))[-2:] == [1, 2]


@shows("death_without_birth")
def test_a_dead_node_goes_on_talking_until_it_is_asked(
    plant: PlantProcess, watcher: Watcher, inject: Inject
) -> None:
    mark = watcher.mark
    inject("death_without_birth")
    death = watcher.of("NDEATH", since=mark)
    has_data(watcher, death.number)
    assert watcher.after(death.number, "NBIRTH") == []
    asked = watcher.mark
    watcher.ask_for_rebirth()
    birth = watcher.of("NBIRTH", since=asked)
    assert birth.metric("bdSeq").value == death.metric("bdSeq").value


@shows("death_without_birth")
def test_a_dead_device_goes_on_talking_until_it_is_cleared(
    plant: PlantProcess, watcher: Watcher, inject: Inject, clear: Clear
) -> None:
    mark = watcher.mark
    inject("death_without_birth", "PUMP_01")
    death = watcher.of("DDEATH", "PUMP_01", since=mark)
    assert death.sparkplug.metrics == ()
    has_data(watcher, death.number)
    watcher.of("DDATA", "PUMP_01", since=death.number)
    assert set(steps(sequence(watcher, death.number - 1))) == {1}
    assert watcher.after(death.number, "DBIRTH") == []
    clear("PUMP_01")
    watcher.of("DBIRTH", "PUMP_01", since=death.number)


@shows("rebirth_storm")
def test_a_rebirth_storm_is_many_births_and_an_end(
    plant: PlantProcess, watcher: Watcher, inject: Inject
) -> None:
    mark = watcher.mark
    inject("rebirth_storm 2s")
    until(lambda: len(watcher.after(mark, "NBIRTH")) >= 5, "storm")
    last = 0
    while last != (last := len(watcher.after(mark, "NBIRTH"))):
        now = watcher.mark
        has_data(watcher, now, 80)  # a second of it
    assert last <= 21
    assert all(one.sparkplug.seq == 0 for one in watcher.after(mark, "NBIRTH"))


@shows("alias_reuse")
def test_alias_reuse_gives_every_alias_to_another_metric(
    plant: PlantProcess, watcher: Watcher, inject: Inject, clear: Clear
) -> None:
    def births(mark: int) -> list[Seen]:
        last = watcher.of("DBIRTH", "VALVE_02", since=mark)
        return [one for one in watcher.seen[mark : last.number + 1] if "BIRTH" in one.topic]

    mark = watcher.mark
    watcher.ask_for_rebirth()
    usual = aliases(births(mark))
    mark = watcher.mark
    inject("alias_reuse")
    moved = aliases(births(mark))
    assert set(moved.values()) == set(usual.values())
    assert all(moved[key] != usual[key] for key in usual)
    mark = watcher.mark
    clear("PLANT")
    assert aliases(births(mark)) == usual


@shows("alias_reuse")
def test_alias_reuse_at_an_equipment_gives_one_alias_to_two(
    plant: PlantProcess, watcher: Watcher, inject: Inject
) -> None:
    mark = watcher.mark
    inject("alias_reuse", "REACTOR_01")
    birth = watcher.of("DBIRTH", "REACTOR_01", since=mark)
    assert birth.metric("Temperature").alias == birth.metric("Pressure").alias
    other = watcher.of("DBIRTH", "REACTOR_02", since=mark)
    assert len({one.alias for one in other.sparkplug.metrics}) == 7


@shows("wrong_type")
def test_wrong_type_sends_a_string_until_cleared(
    plant: PlantProcess, watcher: Watcher, inject: Inject, clear: Clear
) -> None:
    mark = watcher.mark
    inject("wrong_type", "REACTOR_02")

    def wrong(message: Seen) -> bool:
        return message.topic == f"spBv1.0/{GROUP}/DDATA/{NODE}/REACTOR_02" and any(
            one.datatype == DataType.String for one in message.sparkplug.metrics
        )

    found = watcher.wait(wrong, "string", mark)
    metric = next(one for one in found.sparkplug.metrics if one.datatype is not None)
    assert str(metric.value).startswith("about ")
    assert watcher.after(mark, "NBIRTH") == []
    plain = watcher.wait(
        lambda m: m.topic == "works/REACTOR_02/Temperature" and b'"about ' in m.payload, "string", mark
    )
    clear("REACTOR_02")
    mark = watcher.mark
    watcher.wait(lambda m: m.topic == plain.topic and b"about" not in m.payload, "number", mark)

    def right_again(message: Seen) -> bool:
        return message.topic == found.topic and any(
            one.alias == metric.alias and one.datatype is None for one in message.sparkplug.metrics
        )

    watcher.wait(right_again, "the metric with its own type", mark)  # what was on its way may still be wrong
    mark = watcher.mark
    right = watcher.of("DDATA", "REACTOR_02", since=mark)
    assert all(one.datatype is None for one in right.sparkplug.metrics)


@shows("duplicate_messages")
def test_duplicates_are_the_same_byte_for_byte(
    plant: PlantProcess, watcher: Watcher, inject: Inject, clear: Clear
) -> None:
    inject("duplicate_messages")
    mark = watcher.mark  # what was sent while the fault was being asked for comes once
    has_data(watcher, mark, 60)
    payloads = [(one.topic, one.payload) for one in data(watcher, mark)]
    twice = [first for first, second in pairwise(payloads) if first == second]
    assert len(twice) >= 20
    assert set(steps(sequence(watcher, mark))) == {0, 1}
    plain = [one for one in watcher.seen[mark:] if one.topic == "works/VALVE_01/Position"]
    assert any(first.payload == second.payload for first, second in pairwise(plain))
    clear("PLANT")
    mark = watcher.mark
    has_data(watcher, mark)
    assert set(steps(sequence(watcher, mark)[2:])) == {1}


@shows("reorder_messages")
def test_reordered_messages_are_all_there_in_another_order(
    plant: PlantProcess, watcher: Watcher, inject: Inject, clear: Clear
) -> None:
    mark = watcher.mark
    inject("reorder_messages")
    has_data(watcher, mark, 100)
    clear("PLANT")
    cleared = watcher.mark
    has_data(watcher, cleared)
    numbers = sequence(watcher, mark)
    assert 255 in steps(numbers)  # one back
    at = numbers[0]
    unwrapped = []
    for number in numbers:
        at += (number - at + 128) % 256 - 128
        unwrapped.append(at)
    assert sorted(unwrapped) == list(range(min(unwrapped), min(unwrapped) + len(unwrapped)))
    assert set(steps(sequence(watcher, cleared)[3:])) == {1}


@shows("slow_consumer")
def test_a_slow_consumer_sends_values_and_takes_commands_late(
    plant: PlantProcess, watcher: Watcher, inject: Inject
) -> None:
    mark = watcher.mark
    inject("slow_consumer 1.5s")
    watcher.ask_for_rebirth()
    asked = watcher.mark
    birth = watcher.of("NBIRTH", since=mark)
    meanwhile = [one for one in data(watcher, asked) if one.number < birth.number]
    assert len(meanwhile) > 40
    assert birth.at_s - watcher.seen[asked - 1].at_s > 1.0
    assert watcher.after(mark, "NDEATH") == []


@shows("broker_restart")
def test_broker_restart_ends_in_a_new_connection(
    plant: PlantProcess, watcher: Watcher, inject: Inject
) -> None:
    mark = watcher.mark
    inject("broker_restart 1s")
    death = watcher.of("NDEATH", since=mark)
    birth = watcher.of("NBIRTH", since=death.number)
    old, new = death.metric("bdSeq").value, birth.metric("bdSeq").value
    assert isinstance(old, int)
    assert new == (old + 1) % 256
    assert birth.at_s - death.at_s > 0.5
    has_data(watcher, death.number)
    assert data(watcher, death.number)[0].number > birth.number
    watcher.wait(lambda m: m.topic == "works/REACTOR_01/Temperature", "plain topics again", birth.number)


# ── the faults of writes, over a wire without answers ─────────────────────────────────────────────────────


def setpoint_reports(watcher: Watcher, device: str, since: int) -> list[float]:
    """What the data told of a valve's set-point, which is the one metric with a Float."""
    return [
        metric.value
        for one in watcher.after(since, "DDATA", device)
        for metric in one.sparkplug.metrics
        if metric.field == "float_value" and isinstance(metric.value, float)
    ]


def command_position(watcher: Watcher, value: float) -> None:
    watcher.command("VALVE_02", Metric(name="PositionSetpoint", datatype=DataType.Float, value=value))


def test_write_slow_keeps_the_report_back(plant: PlantProcess, watcher: Watcher, inject: Inject) -> None:
    mark = watcher.mark
    inject("write_slow 1s", "VALVE_02")
    command_position(watcher, 61.0)
    sent = watcher.mark
    until(lambda: setpoint_reports(watcher, "VALVE_02", mark) == [61.0], "report")
    report = next(
        one
        for one in watcher.after(mark, "DDATA", "VALVE_02")
        if any(metric.field == "float_value" for metric in one.sparkplug.metrics)
    )
    assert report.at_s - watcher.seen[sent - 1].at_s > 0.7


@pytest.mark.parametrize("fault", ["write_refused", "setpoint_ignored"])
def test_what_is_not_applied_is_not_reported(
    fault: str, plant: PlantProcess, watcher: Watcher, inject: Inject, clear: Clear
) -> None:
    mark = watcher.mark
    inject(fault, "VALVE_02")
    command_position(watcher, 33.0)
    has_data(watcher, watcher.mark)
    clear("VALVE_02")
    command_position(watcher, 62.0)
    until(lambda: 62.0 in setpoint_reports(watcher, "VALVE_02", mark), "report")
    assert 33.0 not in setpoint_reports(watcher, "VALVE_02", mark)


def test_a_clamped_setpoint_is_reported_as_it_is(
    plant: PlantProcess, watcher: Watcher, inject: Inject
) -> None:
    command_position(watcher, 60.0)
    until(lambda: 60.0 in setpoint_reports(watcher, "VALVE_02", 0), "report")
    mark = watcher.mark
    inject("setpoint_clamped", "VALVE_02")
    command_position(watcher, 70.0)
    until(lambda: setpoint_reports(watcher, "VALVE_02", mark) == [65.0], "report")


# ── asking for one ────────────────────────────────────────────────────────────────────────────────────────


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return result.exit_code, result.output


def test_the_command_lists_injects_and_finds_what_came_near(plant: PlantProcess) -> None:
    code, text = run("fault", "--list")
    assert code == 0
    assert {word for line in text.splitlines() for word in line.split()} >= _SHOWN
    assert run("fault", "sequence_gap", "--endpoint", plant.endpoint) == (0, "injected sequence_gap\n")
    code, text = run("fault", "sequence_gapp", "--endpoint", plant.endpoint)
    assert code == 1
    assert "nearest: sequence_gap" in text
    code, text = run("fault", "sequence_gap REACTOR_01", "--endpoint", plant.endpoint)
    assert code == 1
    assert "a fault fits only some kinds" in text


def test_a_plant_without_mqtt_says_so() -> None:
    with (
        PlantProcess.start("--equipment", "1") as silent,
        pytest.raises(PlantCallError, match="those of MQTT only a plant with --broker"),
    ):
        asyncio.run(call_plant(silent.endpoint, "InjectFault", "PLANT", "sequence_gap"))
    with pytest.raises(
        RuntimeError, match=r"sequence_gap wants a plant that speaks MQTT; start it with --broker"
    ):
        PlantProcess.start("--equipment", "1", "--fault", "sequence_gap")


def test_a_plain_plant_has_no_faults_of_sparkplug(broker: str) -> None:
    with pytest.raises(RuntimeError, match="start it with --sparkplug GROUP/NODE"):
        PlantProcess.start(
            "--equipment", "1", "--broker", broker, "--plain", "other", "--fault", "sequence_gap"
        )
