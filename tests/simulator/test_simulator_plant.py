"""Does the plant on the wire answer as a plant does, and does each fault show?"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeEvent
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua import uaerrors
from asyncua.ua.attribute_ids import AttributeIds
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from simulator.faults import CATALOGUE
from simulator.opcua.server import DIED_ON_REQUEST
from simulator.process import PlantProcess

T = TypeVar("T")
DEADLINE_S = 40.0


class Probe:
    """A client's view of the plant."""

    def __init__(self, client: Client, namespace: int) -> None:
        self.client = client
        self.namespace = namespace

    def node(self, path: str) -> Node:
        return self.client.get_node(f"ns={self.namespace};s={path}")

    async def read(self, path: str) -> Any:
        return await self.node(path).read_value()

    async def data(self, path: str) -> ua.DataValue:
        return await self.node(path).read_data_value(raise_on_bad_status=False)

    async def write(self, path: str, value: Any, kind: ua.VariantType) -> None:
        """The value alone, as controllers want it."""
        await self.node(path).write_value(ua.DataValue(ua.Variant(value, kind)))

    async def call(self, method: str, *arguments: str) -> None:
        target = ua.NodeId.from_string(f"ns={self.namespace};s=Plant/{method}")
        await self.node("Plant").call_method(target, *arguments)

    async def inject(self, equipment: str, fault: str) -> None:
        await self.call("InjectFault", equipment, fault)


async def eventually(read: Callable[[], Awaitable[T]], accept: Callable[[T], bool]) -> T:
    """The first value that is accepted. Fails with the last one after the deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        value = await read()
        if accept(value):
            return value
        assert time.monotonic() < deadline_s, f"still {value!r} after {DEADLINE_S} s"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plant") / "writes.jsonl"


@pytest.fixture(scope="module")
def plant(log_file: Path) -> Iterator[PlantProcess]:
    """Thirty reactors, twenty updates a second, time twenty times as fast; each test has a reactor of its own."""
    arguments = ("--equipment", "30", "--tick", "0.05", "--time-scale", "20", "--write-log", str(log_file))
    with PlantProcess.start(*arguments) as process:
        yield process


def records(log_file: Path) -> list[dict[str, Any]]:
    """The plant's own record of what was written to it."""
    return [json.loads(line) for line in log_file.read_text(encoding="utf-8").splitlines()]


async def connect(process: PlantProcess) -> Probe:
    client = Client(process.endpoint, timeout=10)
    await client.connect()
    return Probe(client, await client.get_namespace_index("urn:ignition-bridge:plant"))


@pytest.fixture
async def probe(plant: PlantProcess) -> AsyncIterator[Probe]:
    probe = await connect(plant)
    yield probe
    await probe.client.disconnect()


# ── what there is ─────────────────────────────────────────────────────────────────────────────────────────


async def test_signals_have_types_units_and_ranges(probe: Probe) -> None:
    temperature = probe.node("REACTOR_01/Temperature")
    assert await temperature.read_data_type_as_variant_type() == ua.VariantType.Double
    children = {
        str((await child.read_browse_name()).Name): child for child in await temperature.get_properties()
    }
    unit = await children["EngineeringUnits"].read_value()
    assert (unit.DisplayName.Text, unit.UnitId) == ("°C", 4408652)
    scale = await probe.client.get_node(
        f"ns={probe.namespace};s=REACTOR_01/ThroughputSetpoint.EURange"
    ).read_value()
    assert (scale.Low, scale.High) == (0.0, 1000.0)
    kinds = {
        "ThroughputSetpoint": ua.VariantType.Float,
        "CoolingOn": ua.VariantType.Boolean,
        "State": ua.VariantType.Int32,
    }
    for name, kind in kinds.items():
        assert await probe.node(f"REACTOR_01/{name}").read_data_type_as_variant_type() == kind


async def test_browsing_finds_the_plant_and_its_equipment(probe: Probe) -> None:
    plant = await probe.client.nodes.objects.get_child(f"{probe.namespace}:Plant")
    names = [(await child.read_browse_name()).Name for child in await plant.get_children()]
    assert {"REACTOR_01", "REACTOR_30", "WriteCount", "InjectFault", "ClearFault"} <= set(names)
    reactor = await plant.get_child(f"{probe.namespace}:REACTOR_07")
    signals = [(await child.read_browse_name()).Name for child in await reactor.get_children()]
    assert signals == [
        "Temperature",
        "Pressure",
        "FlowRate",
        "Throughput",
        "State",
        "ThroughputSetpoint",
        "CoolingOn",
    ]


async def test_one_tick_has_one_source_timestamp(probe: Probe) -> None:
    signals = ("Temperature", "Pressure", "FlowRate", "Throughput")
    nodes = [probe.node(f"REACTOR_01/{name}") for name in signals]

    async def stamps() -> set[object]:
        values = await probe.client.read_attributes(nodes, AttributeIds.Value)
        return {value.SourceTimestamp for value in values}

    first = await stamps()
    assert len(first) == 1
    assert len(await eventually(stamps, lambda found: found != first)) == 1


# ── writes ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_setpoint_write_moves_the_plant(probe: Probe) -> None:
    await probe.write("REACTOR_02/ThroughputSetpoint", 300.0, ua.VariantType.Float)
    await probe.write("REACTOR_02/CoolingOn", True, ua.VariantType.Boolean)
    assert await probe.read("REACTOR_02/ThroughputSetpoint") == 300.0
    await eventually(lambda: probe.read("REACTOR_02/Throughput"), lambda kg_h: kg_h < 310.0)
    await eventually(lambda: probe.read("REACTOR_02/Temperature"), lambda c: c < 40.0)
    await eventually(lambda: probe.read("REACTOR_02/State"), lambda state: state == 2)


@pytest.mark.parametrize(
    ("path", "value", "kind", "error"),
    [
        ("REACTOR_03/ThroughputSetpoint", 400.0, ua.VariantType.Double, uaerrors.BadTypeMismatch),
        ("REACTOR_03/ThroughputSetpoint", 400, ua.VariantType.Int32, uaerrors.BadTypeMismatch),
        ("REACTOR_03/ThroughputSetpoint", [400.0], ua.VariantType.Float, uaerrors.BadTypeMismatch),
        ("REACTOR_03/ThroughputSetpoint", None, ua.VariantType.Null, uaerrors.BadTypeMismatch),
        ("REACTOR_03/CoolingOn", 1, ua.VariantType.Byte, uaerrors.BadTypeMismatch),
        ("REACTOR_03/ThroughputSetpoint", 1000.5, ua.VariantType.Float, uaerrors.BadOutOfRange),
        ("REACTOR_03/ThroughputSetpoint", -0.5, ua.VariantType.Float, uaerrors.BadOutOfRange),
        ("REACTOR_03/ThroughputSetpoint", math.nan, ua.VariantType.Float, uaerrors.BadOutOfRange),
        ("REACTOR_03/ThroughputSetpoint", math.inf, ua.VariantType.Float, uaerrors.BadOutOfRange),
        ("REACTOR_03/Temperature", 20.0, ua.VariantType.Double, uaerrors.BadNotWritable),
        ("REACTOR_03/State", 0, ua.VariantType.Int32, uaerrors.BadNotWritable),
        ("Plant/WriteCount", 0, ua.VariantType.UInt32, uaerrors.BadNotWritable),
        ("REACTOR_99/ThroughputSetpoint", 1.0, ua.VariantType.Float, uaerrors.BadNodeIdUnknown),
    ],
)
async def test_a_write_that_does_not_fit_is_refused_and_leaves_no_trace(
    probe: Probe, log_file: Path, path: str, value: Any, kind: ua.VariantType, error: type[Exception]
) -> None:
    count = await probe.read("Plant/WriteCount")
    lines = len(records(log_file))
    with pytest.raises(error):
        await probe.write(path, value, kind)
    assert await probe.read("REACTOR_03/ThroughputSetpoint") == 500.0
    assert await probe.read("REACTOR_03/CoolingOn") is False
    assert await probe.read("Plant/WriteCount") == count
    assert len(records(log_file)) == lines


async def test_only_values_can_be_written(probe: Probe) -> None:
    with pytest.raises(uaerrors.BadNotWritable):
        await probe.node("REACTOR_03/ThroughputSetpoint").write_attribute(
            AttributeIds.DisplayName, ua.DataValue(ua.Variant(ua.LocalizedText("mine")))
        )


async def test_limits_themselves_are_allowed(probe: Probe) -> None:
    for value in (0.0, 1000.0, 500.0):
        await probe.write("REACTOR_04/ThroughputSetpoint", value, ua.VariantType.Float)
        assert await probe.read("REACTOR_04/ThroughputSetpoint") == value


async def test_a_batch_is_judged_item_by_item(probe: Probe) -> None:
    nodes = [probe.node(f"REACTOR_04/{name}") for name in ("ThroughputSetpoint", "Temperature")]
    values = [ua.Variant(450.0, ua.VariantType.Float), ua.Variant(1.0, ua.VariantType.Double)]
    codes = await probe.client.write_values(
        nodes, [ua.DataValue(v) for v in values], raise_on_partial_error=False
    )
    assert [code.name for code in codes] == ["Good", "BadNotWritable"]


async def test_the_log_has_the_write_before_the_answer(probe: Probe, log_file: Path) -> None:
    count = await probe.read("Plant/WriteCount")
    await probe.write("REACTOR_05/ThroughputSetpoint", 321.0, ua.VariantType.Float)
    record = records(log_file)[-1]
    assert record["node"] == "REACTOR_05/ThroughputSetpoint"
    assert (record["old"], record["new"], record["asked"]) == (500.0, 321.0, 321.0)
    assert record["n"] == count + 1 == await probe.read("Plant/WriteCount")
    assert record["user"] == "anonymous"


async def test_pumps_and_valves_take_their_own_types() -> None:
    with PlantProcess.start("--tick", "0.05", "--time-scale", "20", "--strict-writes") as process:
        probe = await connect(process)
        await probe.write("PUMP_01/SpeedSetpoint", 2000, ua.VariantType.Int32)
        await probe.write("VALVE_02/PositionSetpoint", 25.0, ua.VariantType.Float)
        await eventually(lambda: probe.read("PUMP_01/Speed"), lambda rpm: rpm > 1950.0)
        await eventually(lambda: probe.read("VALVE_02/Position"), lambda percent: percent < 27.0)
        with pytest.raises(uaerrors.BadOutOfRange):
            await probe.write("PUMP_01/SpeedSetpoint", 3001, ua.VariantType.Int32)
        with pytest.raises(uaerrors.BadWriteNotSupported):  # asyncua adds a timestamp by itself
            await probe.node("PUMP_01/SpeedSetpoint").write_value(1000, ua.VariantType.Int32)
        await probe.inject("PUMP_01", "pressure_surge")
        await eventually(lambda: probe.read("PUMP_01/Pressure"), lambda bar: bar > 9.0)
        await probe.client.disconnect()


# ── faults, each by its effect on a client ────────────────────────────────────────────────────────────────

_SHOWN: set[str] = set()


def shows(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Marks a test as the one that shows a fault, so that none is forgotten."""
    _SHOWN.add(name)
    return lambda test: test


def test_every_fault_has_a_test() -> None:
    assert {
        name for name, fault in CATALOGUE.items() if fault.group != "mqtt"
    } == _SHOWN  # those have their own


@shows("overheat")
async def test_overheat_warms_and_the_treatment_cools(probe: Probe) -> None:
    await probe.inject("REACTOR_06", "overheat")
    await eventually(lambda: probe.read("REACTOR_06/Temperature"), lambda c: c > 90.0)
    assert "overheat REACTOR_06" in await probe.read("Plant/ActiveFaults")
    await probe.write("REACTOR_06/ThroughputSetpoint", 375.0, ua.VariantType.Float)
    await probe.write("REACTOR_06/CoolingOn", True, ua.VariantType.Boolean)
    await eventually(lambda: probe.read("REACTOR_06/Temperature"), lambda c: c < 70.0)
    await probe.call("ClearFault", "REACTOR_06")
    assert "REACTOR_06" not in await probe.read("Plant/ActiveFaults")


@shows("runaway")
async def test_runaway_passes_95(probe: Probe) -> None:
    await probe.inject("REACTOR_07", "runaway")
    await eventually(lambda: probe.read("REACTOR_07/Temperature"), lambda c: c > 95.0)
    await probe.write("REACTOR_07/ThroughputSetpoint", 250.0, ua.VariantType.Float)
    await probe.write("REACTOR_07/CoolingOn", True, ua.VariantType.Boolean)
    await eventually(lambda: probe.read("REACTOR_07/Temperature"), lambda c: c < 85.0)


@shows("coolant_loss")
async def test_coolant_loss_drops_the_flow(probe: Probe) -> None:
    await probe.inject("REACTOR_08", "coolant_loss")
    await eventually(lambda: probe.read("REACTOR_08/FlowRate"), lambda l_min: l_min < 8.0)
    await eventually(lambda: probe.read("REACTOR_08/Temperature"), lambda c: c > 90.0)
    await probe.call("ClearFault", "REACTOR_08")
    await eventually(lambda: probe.read("REACTOR_08/Temperature"), lambda c: c < 80.0)


@shows("pressure_surge")
async def test_pressure_surge_raises_the_pressure_alone(probe: Probe) -> None:
    await probe.inject("REACTOR_09", "pressure_surge")
    await eventually(lambda: probe.read("REACTOR_09/Pressure"), lambda bar: bar > 5.0)
    assert await probe.read("REACTOR_09/Temperature") < 80.0


async def _next_tick(probe: Probe, reactor: str) -> None:
    """Wait until the plant has published again, seen at a signal without a fault."""
    old = await probe.read(f"{reactor}/Pressure")
    await eventually(lambda: probe.read(f"{reactor}/Pressure"), lambda bar: bar != old)


@shows("stuck_sensor")
async def test_stuck_sensor_keeps_value_and_source_time_but_is_confirmed(probe: Probe) -> None:
    await probe.inject("REACTOR_10", "stuck_sensor")
    before = await probe.data("REACTOR_10/Temperature")
    after = await eventually(
        lambda: probe.data("REACTOR_10/Temperature"), lambda dv: dv.ServerTimestamp != before.ServerTimestamp
    )
    assert (after.Value, after.SourceTimestamp) == (before.Value, before.SourceTimestamp)
    assert after.StatusCode is not None
    assert after.StatusCode.is_good()


@shows("stale_sensor")
async def test_stale_sensor_is_not_touched_at_all(probe: Probe) -> None:
    await probe.inject("REACTOR_11", "stale_sensor")
    before = await probe.data("REACTOR_11/Temperature")
    await _next_tick(probe, "REACTOR_11")
    await _next_tick(probe, "REACTOR_11")
    assert await probe.data("REACTOR_11/Temperature") == before
    await probe.call("ClearFault", "REACTOR_11")
    await eventually(lambda: probe.data("REACTOR_11/Temperature"), lambda dv: dv != before)


@shows("bad_sensor")
async def test_bad_sensor_has_a_status_and_no_value(probe: Probe) -> None:
    await probe.inject("REACTOR_12", "bad_sensor")
    bad = await eventually(
        lambda: probe.data("REACTOR_12/Temperature"),
        lambda dv: dv.StatusCode is not None and dv.StatusCode.name == "BadSensorFailure",
    )
    assert bad.Value is None or bad.Value.Value is None
    await probe.call("ClearFault", "REACTOR_12")
    await eventually(
        lambda: probe.data("REACTOR_12/Temperature"),
        lambda dv: dv.StatusCode is not None and dv.StatusCode.is_good(),
    )


@shows("setpoint_clamped")
async def test_setpoint_clamped_is_good_but_reads_back_differently(probe: Probe, log_file: Path) -> None:
    await probe.inject("REACTOR_13", "setpoint_clamped")
    await probe.write("REACTOR_13/ThroughputSetpoint", 375.0, ua.VariantType.Float)
    assert await probe.read("REACTOR_13/ThroughputSetpoint") == 437.5
    record = records(log_file)[-1]
    assert (record["asked"], record["new"]) == (375.0, 437.5)


@shows("setpoint_ignored")
async def test_setpoint_ignored_is_good_but_changes_nothing(probe: Probe) -> None:
    await probe.inject("REACTOR_14", "setpoint_ignored")
    count = await probe.read("Plant/WriteCount")
    await probe.write("REACTOR_14/ThroughputSetpoint", 375.0, ua.VariantType.Float)
    assert await probe.read("REACTOR_14/ThroughputSetpoint") == 500.0
    assert await probe.read("Plant/WriteCount") == count


@shows("write_refused")
async def test_write_refused_says_device_failure(probe: Probe) -> None:
    await probe.inject("REACTOR_15", "write_refused")
    with pytest.raises(uaerrors.BadDeviceFailure):
        await probe.write("REACTOR_15/ThroughputSetpoint", 375.0, ua.VariantType.Float)
    assert await probe.read("REACTOR_15/ThroughputSetpoint") == 500.0


@shows("write_slow")
async def test_write_slow_is_applied_first_and_answered_later_while_reads_go_on(probe: Probe) -> None:
    assert CATALOGUE["write_slow"].duration_s == 8.0
    await probe.inject("REACTOR_16", "write_slow 1.5s")
    started_s = time.monotonic()
    write = asyncio.create_task(probe.write("REACTOR_16/ThroughputSetpoint", 375.0, ua.VariantType.Float))
    await eventually(lambda: probe.read("REACTOR_16/ThroughputSetpoint"), lambda kg_h: kg_h == 375.0)
    assert not write.done()
    await write
    assert time.monotonic() - started_s >= 1.5
    await probe.call("ClearFault", "REACTOR_16")


@shows("write_late")
async def test_write_late_is_applied_late_too(probe: Probe) -> None:
    await probe.inject("REACTOR_17", "write_late 1s")
    started_s = time.monotonic()
    write = asyncio.create_task(probe.write("REACTOR_17/ThroughputSetpoint", 375.0, ua.VariantType.Float))
    await _next_tick(probe, "REACTOR_17")
    assert await probe.read("REACTOR_17/ThroughputSetpoint") == 500.0 or time.monotonic() - started_s >= 1.0
    await write
    assert time.monotonic() - started_s >= 1.0
    assert await probe.read("REACTOR_17/ThroughputSetpoint") == 375.0
    await probe.call("ClearFault", "REACTOR_17")


@shows("freeze")
async def test_freeze_answers_nothing_and_then_goes_on(probe: Probe) -> None:
    await probe.inject("PLANT", "freeze 1s")
    slowest_s = 0.0
    deadline_s = time.monotonic() + DEADLINE_S
    while slowest_s < 0.8:
        started_s = time.monotonic()
        await probe.read("REACTOR_01/Temperature")
        slowest_s = max(slowest_s, time.monotonic() - started_s)
        assert time.monotonic() < deadline_s, "no read ever waited"
    await _next_tick(probe, "REACTOR_01")


@shows("kill_after_write")
async def test_kill_after_write_dies_with_the_write_applied_and_unanswered(tmp_path: Path) -> None:
    log_file = tmp_path / "writes.jsonl"
    arguments = ("--equipment", "1", "--write-log", str(log_file))
    with PlantProcess.start(*arguments, "--fault", "kill_after_write") as process:
        probe = await connect(process)
        with pytest.raises((OSError, asyncio.TimeoutError, uaerrors.UaError, asyncio.CancelledError)):
            await asyncio.wait_for(
                probe.write("REACTOR_01/ThroughputSetpoint", 375.0, ua.VariantType.Float), DEADLINE_S
            )
        assert await asyncio.to_thread(process.process.wait, DEADLINE_S) == DIED_ON_REQUEST
        await _forget(probe)
        assert [record["new"] for record in records(log_file)] == [375.0]
        with PlantProcess.start(*arguments, endpoint=process.endpoint) as again:
            probe = await connect(again)
            assert await probe.read("REACTOR_01/ThroughputSetpoint") == 500.0
            await probe.write("REACTOR_01/ThroughputSetpoint", 380.0, ua.VariantType.Float)
            await probe.client.disconnect()
        assert [record["n"] for record in records(log_file)] == [1, 2]


async def _forget(probe: Probe) -> None:
    """Close a client whose server is gone."""
    try:
        await probe.client.disconnect()
    except (TimeoutError, OSError, uaerrors.UaError):
        probe.client.disconnect_socket()


async def test_an_unknown_fault_or_equipment_is_an_invalid_argument(probe: Probe) -> None:
    for equipment, fault in (
        ("REACTOR_01", "meltdown"),
        ("REACTOR_77", "overheat"),
        ("REACTOR_01", "freeze"),
        ("PLANT", "overheat"),
        ("REACTOR_01", "overheat 5s"),
        ("REACTOR_01", ""),
    ):
        with pytest.raises(uaerrors.BadInvalidArgument):
            await probe.inject(equipment, fault)
    with pytest.raises(uaerrors.BadInvalidArgument):
        await probe.call("ClearFault", "REACTOR_77")


async def test_a_delayed_fault_begins_later(probe: Probe) -> None:
    await probe.inject("REACTOR_18", "overheat @0.5s")
    assert "REACTOR_18" not in await probe.read("Plant/ActiveFaults")
    await eventually(lambda: probe.read("Plant/ActiveFaults"), lambda text: "overheat REACTOR_18" in text)


# ── getting in ────────────────────────────────────────────────────────────────────────────────────────────


async def test_only_the_named_user_gets_in(tmp_path: Path) -> None:
    log_file = tmp_path / "writes.jsonl"
    arguments = ("--equipment", "1", "--user", "bridge:secret", "--write-log", str(log_file))
    with PlantProcess.start(*arguments) as process:
        for user, password in ((None, None), ("bridge", "wrong"), ("admin", "secret")):
            client = Client(process.endpoint, timeout=20)
            if user is not None:
                client.set_user(user)
                client.set_password(password or "")
            with pytest.raises(uaerrors.UaError):
                await client.connect()
        client = Client(process.endpoint, timeout=20)
        client.set_user("bridge")
        client.set_password("secret")
        async with client:
            probe = Probe(client, await client.get_namespace_index("urn:ignition-bridge:plant"))
            await probe.write("REACTOR_01/ThroughputSetpoint", 375.0, ua.VariantType.Float)
        assert [record["user"] for record in records(log_file)] == ["bridge"]


def _self_signed(folder: Path, name: str, uri: str) -> tuple[Path, Path]:
    """A certificate and key for one day, as files."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    alternative = [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.der", folder / f"{name}.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


async def test_an_encrypted_plant_refuses_plain_clients(tmp_path: Path) -> None:
    uri = "urn:ignition-bridge:test-plant"
    certificate, key = _self_signed(tmp_path, "plant", uri)
    mine, my_key = _self_signed(tmp_path, "client", "urn:ignition-bridge:test-client")
    arguments = ("--security", "basic256sha256", "--cert", str(certificate), "--key", str(key))
    with PlantProcess.start("--equipment", "1", *arguments) as process:
        with pytest.raises((uaerrors.UaError, OSError, asyncio.TimeoutError)):
            await Client(process.endpoint, timeout=3).connect()
        client = Client(process.endpoint, timeout=10)
        client.application_uri = "urn:ignition-bridge:test-client"
        await client.set_security(
            SecurityPolicyBasic256Sha256, mine, my_key, server_certificate=str(certificate)
        )
        async with client:
            assert uri in await client.get_namespace_array()
            probe = Probe(client, await client.get_namespace_index("urn:ignition-bridge:plant"))
            await probe.write("REACTOR_01/ThroughputSetpoint", 375.0, ua.VariantType.Float)
            assert await probe.read("REACTOR_01/ThroughputSetpoint") == 375.0


async def test_a_rate_is_kept_and_each_value_differs() -> None:
    with PlantProcess.start("--equipment", "100", "--rate", "2000") as process:
        probe = await connect(process)
        first = await probe.data("Plant/ValueCount")
        assert first.Value is not None
        assert first.SourceTimestamp is not None
        begun, begun_utc = first.Value.Value, first.SourceTimestamp
        last = await eventually(
            lambda: probe.data("Plant/ValueCount"),
            lambda dv: dv.Value is not None and dv.Value.Value > begun + 3_000,
        )
        assert last.Value is not None
        assert last.SourceTimestamp is not None
        took_s = last.SourceTimestamp.timestamp() - begun_utc.timestamp()
        assert 1_000 < (last.Value.Value - begun) / took_s < 2_600
        temperature = await probe.read("REACTOR_050/Temperature")
        await eventually(lambda: probe.read("REACTOR_050/Temperature"), lambda c: c != temperature)
        await probe.client.disconnect()


async def test_a_queue_of_none_keeps_the_newest_value_only(probe: Probe) -> None:
    """Most controllers keep one value per publishing interval unless asked for more; so does the plant."""
    async with await probe.client.create_subscription(500, None, queue_maxsize=0) as subscription:
        for path, size in (("REACTOR_19/Temperature", 0), ("REACTOR_20/Temperature", 100)):
            await subscription.subscribe_data_change([probe.node(path)], queuesize=size)
        counts: dict[str, int] = {"REACTOR_19/Temperature": 0, "REACTOR_20/Temperature": 0}
        deadline_s = time.monotonic() + DEADLINE_S
        while counts["REACTOR_20/Temperature"] < 40:
            assert time.monotonic() < deadline_s, f"only {counts} arrived"
            event = await subscription.next_event(timeout=1.0)
            if isinstance(event, DataChangeEvent):
                counts[str(event.node.nodeid.Identifier)] += 1
        assert counts["REACTOR_19/Temperature"] <= counts["REACTOR_20/Temperature"] / 3
