"""Does a replayed recording arrive as it was recorded, and is a bad one refused with its line and column?"""

from __future__ import annotations

import csv
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.subscription import DataChangeEvent
from asyncua.ua import uaerrors
from asyncua.ua.attribute_ids import AttributeIds
from typer.testing import CliRunner

from simulator.__main__ import app
from simulator.process import ANY_PORT, PlantProcess
from simulator.replay import Mapping, Recording, ReplayError, parse_mapping, read_recording

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MACHINE = DATA / "nab" / "machine_temperature.csv"
RIG = DATA / "skab" / "valve1_0.csv"
DEADLINE_S = 40.0


def _need(path: Path) -> Path:
    assert path.is_file(), (
        f"{path} is missing; the recorded signals belong beside the checkout in ../shared/data"
    )
    return path


async def _play(
    *arguments: str, nodes: list[str], rows: int
) -> tuple[dict[str, list[ua.DataValue]], dict[str, Any]]:
    """Play to the end with a watcher on each node. Returns what arrived, and what ``Plant/Replay`` says."""
    started = ("--equipment", "0", "--start-after-subscribers", str(len(nodes)))
    with PlantProcess.start(*started, *arguments) as process:
        async with Client(process.endpoint, timeout=10) as client:
            namespace = await client.get_namespace_index("urn:ignition-bridge:plant")
            arrived: dict[str, list[ua.DataValue]] = {node: [] for node in nodes}
            items = []
            for handle, node in enumerate(nodes, start=1):
                request = ua.MonitoredItemCreateRequest()
                request.ItemToMonitor.NodeId = ua.NodeId.from_string(f"ns={namespace};s={node}")
                request.ItemToMonitor.AttributeId = AttributeIds.Value
                request.MonitoringMode = ua.MonitoringMode.Reporting
                request.RequestedParameters.ClientHandle = ua.IntegerId(handle)
                request.RequestedParameters.QueueSize = ua.Counter(10_000)
                # without the timestamp in the trigger a server may leave out a row equal to the one before
                request.RequestedParameters.Filter = ua.DataChangeFilter(
                    Trigger=ua.DataChangeTrigger.StatusValueTimestamp
                )
                items.append(request)
            async with await client.create_subscription(50, None, queue_maxsize=0) as subscription:
                await subscription.create_monitored_items(items)
                deadline_s = time.monotonic() + DEADLINE_S
                while any(len(values) < rows for values in arrived.values()):
                    event = await subscription.next_event(timeout=1.0)
                    counts = {node: len(values) for node, values in arrived.items()}
                    assert time.monotonic() < deadline_s, f"of {rows} rows only {counts} arrived"
                    if not isinstance(event, DataChangeEvent):
                        continue
                    value = event.data.monitored_item.Value
                    if value.StatusCode is not None and value.StatusCode.is_good():
                        arrived[str(event.node.nodeid.Identifier)].append(value)
                report: dict[str, Any] = {}
                for name in ("RecordedStart", "WallStart", "Speed", "RowsPlayed", "Done"):
                    report[name] = await client.get_node(f"ns={namespace};s=Plant/Replay/{name}").read_value()
                while not report["Done"]:
                    report["Done"] = await client.get_node(f"ns={namespace};s=Plant/Replay/Done").read_value()
                    assert time.monotonic() < deadline_s, "the last row is there, but the replay is not done"
            return arrived, report


def _expected(
    recording: Recording, place: int, wall_start: datetime, speed: float
) -> list[tuple[float, datetime]]:
    return [
        (row[place], wall_start + timedelta(seconds=offset_s / speed))
        for row, offset_s in zip(recording.rows, recording.offsets_s, strict=True)
    ]


def _same(arrived: list[ua.DataValue], expected: list[tuple[float, datetime]]) -> None:
    assert len(arrived) == len(expected)
    for found, (value, at_utc) in zip(arrived, expected, strict=True):
        assert found.Value is not None
        assert found.Value.Value == value
        assert found.SourceTimestamp is not None
        assert abs(at_utc - found.SourceTimestamp.replace(tzinfo=UTC)) <= timedelta(microseconds=2)


async def test_a_rig_is_replayed_value_by_value_at_its_own_times() -> None:
    speed = 1_200.0
    mappings = ("Temperature=RIG_01/Temperature", "Volume Flow RateRMS=RIG_01/FlowRate")
    arguments = [text for mapping in mappings for text in ("--map", mapping)]
    recording = read_recording(_need(RIG), [parse_mapping(mapping) for mapping in mappings])
    nodes = ["RIG_01/Temperature", "RIG_01/FlowRate"]
    arrived, report = await _play(
        "--replay", str(RIG), "--speed", str(speed), *arguments, nodes=nodes, rows=len(recording.rows)
    )
    start = report["WallStart"].replace(tzinfo=UTC)
    for place, node in enumerate(nodes):
        _same(arrived[node], _expected(recording, place, start, speed))
    assert report["RecordedStart"] == "2020-03-09T10:14:33+00:00"
    assert (report["Speed"], report["RowsPlayed"], report["Done"]) == (speed, 1147, True)
    with RIG.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert [float(row["Temperature"]) for row in rows] == [
        value.Value.Value for value in arrived[nodes[0]] if value.Value is not None
    ]


async def test_a_whole_machine_record_arrives_without_a_gap() -> None:
    speed = 800_000.0  # some 3,000 rows a second
    mapping = "value=MACHINE_01/Temperature"
    recording = read_recording(_need(MACHINE), [parse_mapping(mapping)], backwards="skip")
    assert (len(recording.rows), recording.skipped) == (22_684, 11)
    arrived, report = await _play(
        "--replay", str(MACHINE), "--speed", str(speed), "--map", mapping, "--backwards", "skip",
        nodes=["MACHINE_01/Temperature"], rows=len(recording.rows),
    )  # fmt: skip
    start = report["WallStart"].replace(tzinfo=UTC)
    _same(arrived["MACHINE_01/Temperature"], _expected(recording, 0, start, speed))


async def test_a_replayed_machine_has_a_load_setpoint_and_a_mapped_reactor_keeps_its_own(
    tmp_path: Path,
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("at,x,y\n2024-01-01T00:00:00Z,1,2\n2024-01-01T00:00:01Z,3,4\n")
    arguments = ("--map", "x=MACHINE_01/Temperature", "--map", "y=REACTOR_02/Temperature", "--loop")
    with PlantProcess.start("--replay", str(table), "--speed", "10", "--tick", "0.05", *arguments) as process:
        async with Client(process.endpoint, timeout=10) as client:
            namespace = await client.get_namespace_index("urn:ignition-bridge:plant")

            def node(path: str) -> Any:
                return client.get_node(f"ns={namespace};s={path}")

            assert await node("MACHINE_01/LoadSetpoint").read_value() == 100.0
            await node("MACHINE_01/LoadSetpoint").write_value(60.0, ua.VariantType.Float)
            assert await node("MACHINE_01/LoadSetpoint").read_value() == 60.0
            with pytest.raises(uaerrors.BadOutOfRange):
                await node("MACHINE_01/LoadSetpoint").write_value(101.0, ua.VariantType.Float)
            with pytest.raises(uaerrors.BadNodeIdUnknown):
                await node("REACTOR_02/LoadSetpoint").read_value()
            seen: set[float] = set()
            deadline_s = time.monotonic() + DEADLINE_S
            while (
                await node("Plant/Replay/RowsPlayed").read_value() < 8
            ):  # a loop goes past the end of the file
                seen.add(await node("REACTOR_02/Temperature").read_value())
                assert time.monotonic() < deadline_s
            assert seen <= {2.0, 4.0}
            assert await node("Plant/Replay/Done").read_value() is False
            assert 70.0 < await node("REACTOR_01/Temperature").read_value() < 80.0


MAPPING = Mapping(column="x", equipment="M", signal="T")
GOOD_ROW = "2024-01-01 00:00:00,1\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: a header"),
        ("t,x\n", "line 2: a row"),
        ("t,y\n" + GOOD_ROW, "line 1: there is no column 'x'; there are t, y"),
        (
            "t,x\n" + GOOD_ROW + "2024-01-01 00:00:01,abc\n",
            "line 3: column 'x': a number was expected, found 'abc'",
        ),
        (
            "t,x\n" + GOOD_ROW + "2024-01-01 00:00:01,\n",
            "line 3: column 'x': a number was expected, found ''",
        ),
        ("t,x\n" + GOOD_ROW + "2024-01-01 00:00:01,nan\n", "line 3: column 'x': a number was expected"),
        ("t,x\n" + GOOD_ROW + "yesterday,1\n", "line 3: column 't': a time such as .* found 'yesterday'"),
        (
            "t,x\n" + GOOD_ROW + "2023-12-31 23:59:59,1\n",
            "line 3: column 't': .* earlier than the row before",
        ),
        ("t,x\n" + GOOD_ROW + "2024-01-01 00:00:01\n", "line 3: 2 columns were expected, found 1"),
    ],
)
def test_a_bad_table_is_refused_with_its_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(text)
    with pytest.raises(ReplayError, match=said) as refused:
        read_recording(table, [MAPPING])
    assert str(table) in str(refused.value)


def test_a_missing_file_and_a_missing_mapping_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"cannot be read.*check --replay"):
        read_recording(tmp_path / "none.csv", [MAPPING])
    with pytest.raises(ReplayError, match="no column is mapped"):
        read_recording(tmp_path / "none.csv", [])


@pytest.mark.parametrize(
    "text", ["value", "value=MACHINE_01", "=MACHINE_01/T", "value=/T", "value=M/", "v=a/b/c"]
)
def test_a_mapping_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ReplayError, match="was expected"):
        parse_mapping(text)


@pytest.mark.parametrize(("delimiter", "read"), [(",", "auto"), (";", "auto"), (";", ";"), ("\t", "\t")])
def test_delimiter_and_time_column_are_found_or_named(tmp_path: Path, delimiter: str, read: str) -> None:
    table = tmp_path / "table.csv"
    lines = (["x", "when"], ["1", "2024-01-01T00:00:00+02:00"], ["2", "2024-01-01T00:00:02.5+02:00"])
    table.write_text("\n".join(delimiter.join(cells) for cells in lines))
    recording = read_recording(table, [MAPPING], delimiter=read, time_column="when")
    assert recording.offsets_s == (0.0, 2.5)
    assert recording.rows == ((1.0,), (2.0,))
    assert recording.recorded_start_utc == datetime(2023, 12, 31, 22, tzinfo=UTC)


def test_the_machine_record_itself_runs_backwards_once() -> None:
    with pytest.raises(ReplayError, match=r"2014-01-07 02:00:00.*--backwards skip"):
        read_recording(_need(MACHINE), [Mapping(column="value", equipment="M", signal="T")])


def test_a_setpoint_cannot_be_replayed(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("t,x\n" + GOOD_ROW)
    arguments = ["--endpoint", ANY_PORT, "--replay", str(table), "--map", "x=REACTOR_01/CoolingOn"]
    result = CliRunner().invoke(app, ["plant", *arguments], catch_exceptions=False)
    assert result.exit_code == 1
    assert "REACTOR_01/CoolingOn is no measured signal" in result.stderr
