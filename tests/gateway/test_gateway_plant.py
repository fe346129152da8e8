"""Do tags of the plant work over real OPC UA, for scripts and for clients of the exposed tags, faults included?"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.ua import uaerrors
from typer.testing import CliRunner

from simulator.__main__ import app
from simulator.gateway.process import GatewayProcess, OrderRefused
from simulator.opcua.exposed import TAGS_NAMESPACE
from simulator.process import PlantProcess

T = TypeVar("T")
DEADLINE_S = 60.0
SETPOINT = "[default]REACTOR_02/ThroughputSetpoint"
COOLING = "[default]REACTOR_02/CoolingOn"


class MortalPlant:
    """Killed and started again at the same place; every plant of these tests appends to the same log."""

    def __init__(self, write_log: Path, stack: ExitStack) -> None:
        self._options = ("--tick", "0.1", "--write-log", str(write_log))
        self._stack = stack
        self._process = stack.enter_context(PlantProcess.start(*self._options))
        self.endpoint = self._process.endpoint

    def kill(self) -> None:
        self._process.kill()

    def come_back(self) -> None:
        again = PlantProcess.start(*self._options, endpoint=self.endpoint)
        self._process = self._stack.enter_context(again)


@pytest.fixture(scope="module")
def mortal(write_log: Path) -> Iterator[MortalPlant]:
    with ExitStack() as stack:
        yield MortalPlant(write_log, stack)


@pytest.fixture(scope="module")
def own(arguments: list[str], mortal: MortalPlant) -> Iterator[GatewayProcess]:
    """A gateway of 8.3 and a plant whose faults are set off here."""
    given = [mortal.endpoint if one.startswith("opc.tcp:") else one for one in arguments]
    with GatewayProcess.start(*given) as process:
        yield process


def eventually(read: Callable[[], T], accept: Callable[[T], bool]) -> T:
    """The first value that is accepted; fails with the last one after the deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        value = read()
        if accept(value):
            return value
        assert time.monotonic() < deadline_s, f"still {value!r} after {DEADLINE_S} s"
        time.sleep(0.02)


async def eventually_async(read: Callable[[], Awaitable[T]], accept: Callable[[T], bool]) -> T:
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        value = await read()
        if accept(value):
            return value
        assert time.monotonic() < deadline_s, f"still {value!r} after {DEADLINE_S} s"
        await asyncio.sleep(0.02)


def written(write_log: Path) -> list[tuple[str, Any]]:
    """What the plant itself says was written, in order."""
    records = [json.loads(line) for line in write_log.read_text(encoding="utf-8").splitlines()]
    return [(record["node"], record["new"]) for record in records]


# scripts


def test_a_script_writes_the_plant_and_reads_it_back(own: GatewayProcess, write_log: Path) -> None:
    before = len(written(write_log))
    assert own.call("probe.calls.writeBoth", 410, True) == "Good Good"
    assert written(write_log)[before:] == [
        ("REACTOR_02/ThroughputSetpoint", 410.0),
        ("REACTOR_02/CoolingOn", True),
    ]
    eventually(lambda: own.read(SETPOINT), lambda found: found == (410.0, "Good"))


@pytest.mark.parametrize(
    ("path", "value", "quality"),
    [
        (SETPOINT, 5000, "Bad_OutOfRange"),
        (SETPOINT, "fast", "Error_TypeConversion"),
        ("[default]REACTOR_02/Temperature", 20.0, "Bad_ReadOnly"),
        ("[default]REACTOR_02/Forced", 20.0, 'Bad("Bad_NotWritable")'),
        ("[default]REACTOR_02/Nobody", 20.0, "Bad_NotFound"),
    ],
)
def test_refused_writes_come_back_with_a_quality(
    own: GatewayProcess, write_log: Path, path: str, value: object, quality: str
) -> None:
    before = len(written(write_log))
    assert str(own.call("probe.calls.write", path, value)).startswith(quality)
    assert len(written(write_log)) == before


def test_a_bad_sensor_shows_as_bad(own: GatewayProcess, mortal: MortalPlant) -> None:
    path = "[default]REACTOR_02/Temperature"
    _fault(mortal.endpoint, "bad_sensor REACTOR_02")
    eventually(lambda: own.read(path), lambda found: found == (None, 'Bad("Bad_SensorFailure")'))
    assert own.read("[default]REACTOR_02/Hot")[1] == 'Bad("Bad_SensorFailure")'
    _fault(mortal.endpoint, "clear REACTOR_02")
    eventually(lambda: own.read(path), lambda found: found[1] == "Good")
    assert own.read("[default]REACTOR_02/Hot") == (False, "Good")


def _fault(endpoint: str, words: str) -> None:
    done = CliRunner().invoke(app, ["fault", *words.split(), "--endpoint", endpoint])
    assert done.exit_code == 0, done.output


def test_faults_by_name(own: GatewayProcess, write_log: Path) -> None:
    own.order(f"fault tag_not_writable {SETPOINT}")
    before = len(written(write_log))
    assert own.call("probe.calls.write", SETPOINT, 300) == 'Bad("Bad_NotWritable")'
    assert len(written(write_log)) == before
    own.order(f"clear tag_not_writable {SETPOINT}")
    own.order(f"fault write_other_value {SETPOINT}")
    assert own.call("probe.calls.write", SETPOINT, 300) == "Good"
    assert written(write_log)[before:] == [("REACTOR_02/ThroughputSetpoint", 299.0)]
    own.order("clear write_other_value")
    own.order(f"fault tag_stale {SETPOINT}")
    assert str(own.call("probe.calls.quality", SETPOINT)).endswith("Bad_Stale False -2147483132")
    own.order("clear tag_stale")
    for order in ("fault nonsense", "clear nonsense", "fault tag_stale", "dance"):
        with pytest.raises(OrderRefused):
            own.order(order)


def test_the_database_goes_and_comes_back(own: GatewayProcess) -> None:
    assert own.call("probe.calls.session")
    own.order("fault jdbc_down")
    with pytest.raises(OrderRefused, match=r"java.lang.Exception.*Connection to 127.0.0.1:1 refused"):
        own.call("probe.calls.session")
    own.order("clear jdbc_down")
    assert own.call("probe.calls.session")


@pytest.mark.parametrize(
    ("fault", "writes"), [("kill_script_after_write", 1), ("kill_script_before_write", 0)]
)
def test_scripts_come_back_after_the_jvm_was_killed_around_a_write(
    own: GatewayProcess, write_log: Path, fault: str, writes: int
) -> None:
    before = len(written(write_log))
    own.order(f"fault {fault}")
    with pytest.raises(OrderRefused, match="the JVM died before it answered"):
        own.call("probe.calls.write", SETPOINT, 321)
    assert len(written(write_log)) - before == writes
    assert own.call("probe.calls.session")  # waits for the new JVM


# exposed tags


@pytest.fixture
async def client(own: GatewayProcess) -> AsyncIterator[Client]:
    client = Client(own.endpoint, timeout=10)
    async with client:
        yield client


@pytest.fixture
async def node(client: Client) -> Callable[[str], Node]:
    index = await client.get_namespace_index(TAGS_NAMESPACE)
    assert index == 2
    return lambda path: client.get_node(f"ns={index};s={path}")


async def data(node: Node) -> ua.DataValue:
    return await node.read_data_value(raise_on_bad_status=False)


async def write(node: Node, value: object, kind: ua.VariantType) -> None:
    await node.write_value(ua.DataValue(ua.Variant(value, kind)))


async def test_a_client_reads_and_writes_the_plant_through_the_tags(
    node: Callable[[str], Node], write_log: Path
) -> None:
    before = len(written(write_log))
    await write(node(SETPOINT), 222.0, ua.VariantType.Float)
    assert written(write_log)[before:] == [("REACTOR_02/ThroughputSetpoint", 222.0)]
    await eventually_async(node(SETPOINT).read_value, lambda value: value == 222.0)
    assert await node("[default]Note").read_value() == "hello"
    assert await node("[default]REACTOR_02/Hot").read_value() is False


async def test_tags_are_browsed_as_folders(client: Client, node: Callable[[str], Node]) -> None:
    found = [str((await child.read_browse_name()).Name) for child in await node("[default]").get_children()]
    assert found == ["REACTOR_02", "Note", "Count"]
    assert "[default]" in [
        str((await child.read_browse_name()).Name) for child in await client.nodes.objects.get_children()
    ]


async def test_refusals_reach_the_client(node: Callable[[str], Node], write_log: Path) -> None:
    before = len(written(write_log))
    with pytest.raises(uaerrors.BadNotWritable):
        await write(node("[default]REACTOR_02/Temperature"), 1.0, ua.VariantType.Double)
    with pytest.raises(uaerrors.BadNotWritable):
        await write(node("[default]REACTOR_02/Forced"), 1.0, ua.VariantType.Double)
    with pytest.raises(uaerrors.BadTypeMismatch):
        await write(node(SETPOINT), 1.0, ua.VariantType.Double)
    with pytest.raises(uaerrors.BadOutOfRange):
        await write(node(SETPOINT), 5000.0, ua.VariantType.Float)
    with pytest.raises(uaerrors.BadNodeIdUnknown):
        await write(node("[default]Nobody"), 1.0, ua.VariantType.Double)
    assert len(written(write_log)) == before


async def test_bad_quality_reaches_the_client(own: GatewayProcess, node: Callable[[str], Node]) -> None:
    own.order(f"fault tag_stale {COOLING}")

    async def status() -> str:
        return (await data(node(COOLING))).StatusCode.name  # type: ignore[union-attr]  # always there when read

    await eventually_async(status, lambda name: name == "BadNoCommunication")
    assert (await data(node(COOLING))).Value is None or (await data(node(COOLING))).Value.Value is None  # type: ignore[union-attr]  # same
    own.order("clear tag_stale")
    await eventually_async(status, lambda name: name == "Good")
    assert (await data(node("[default]REACTOR_02/Nobody"))).StatusCode.name == "BadNodeIdUnknown"  # type: ignore[union-attr]  # same


# the plant goes


def test_the_plant_goes_and_comes_back(own: GatewayProcess, mortal: MortalPlant) -> None:
    """Tags must turn stale with their last value, writes must say so, and both must recover by themselves."""
    assert own.call("probe.calls.write", SETPOINT, 450) == "Good"
    eventually(lambda: own.read(SETPOINT), lambda found: found == (450.0, "Good"))
    mortal.kill()
    eventually(lambda: own.read(SETPOINT), lambda found: found == (450.0, "Bad_Stale"))
    answer = str(own.call("probe.calls.write", SETPOINT, 400))
    assert answer in ("Bad_NotConnected", 'Bad("Bad_CommunicationError")')
    mortal.come_back()
    eventually(lambda: own.read(SETPOINT), lambda found: found == (500.0, "Good"))
    assert own.call("probe.calls.write", SETPOINT, 400) == "Good"
