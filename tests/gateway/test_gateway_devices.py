"""Do tags follow the OPC server that they name, when the gateway has several connections or lacks one?"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner

from gateway.gateway_stand import atomic, folder, opc, project, script, tag_file
from simulator.__main__ import app
from simulator.gateway.process import GatewayProcess
from simulator.process import PlantProcess

T = TypeVar("T")
DEADLINE_S = 60.0
NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/none"
THROUGHPUT = "ThroughputSetpoint"
HERE, THERE = f"[default]Plant/{THROUGHPUT}", f"[default]Other Plant/{THROUGHPUT}"
WRITING = (
    "import system\n\ndef write(path, value):\n\treturn str(system.tag.writeBlocking([path], [value])[0])\n"
)


def eventually(read: Callable[[], T], accept: Callable[[T], bool]) -> T:
    deadline_s = time.monotonic() + DEADLINE_S
    while not accept(value := read()):
        assert time.monotonic() < deadline_s, f"still {value!r} after {DEADLINE_S} s"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same item of the same name at three servers, of which one is never configured."""
    place = tmp_path_factory.mktemp("devices")
    tags = tag_file(
        place / "tags.json",
        *(
            folder(server, opc(THROUGHPUT, "Float4", f"REACTOR_01/{THROUGHPUT}", opcServer=server))
            for server in ("Plant", "Other Plant", "Nobody")
        ),
        atomic("Seen", "Float8", valueSource="expr", expression="{[~]Plant/ThroughputSetpoint} + 1"),
    )
    return [
        *("--project", str(project(place / "Writing.zip", script("probe/calls", WRITING)))),
        *("--tags", str(tags), "--database", NOWHERE, "--tag-group", "Fast=20", "--hold-timers"),
    ]


@pytest.fixture(scope="module")
def plant() -> Iterator[PlantProcess]:
    """Always there."""
    with PlantProcess.start("--tick", "0.1") as process:
        yield process


@pytest.fixture(scope="module")
def elsewhere() -> str:
    """Where the other plant answers while there is one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"opc.tcp://127.0.0.1:{free.getsockname()[1]}/plant"


@pytest.fixture(scope="module")
def gateway(arguments: list[str], plant: PlantProcess, elsewhere: str) -> Iterator[GatewayProcess]:
    """Started before one of its devices, as it must be able to."""
    devices = ("--plant", plant.endpoint, "--device", f"Other Plant={elsewhere}")
    with GatewayProcess.start(*arguments, *devices) as process:
        assert process.read(THERE) == (None, "Bad_Stale")
        yield process


@pytest.fixture
def other(gateway: GatewayProcess, elsewhere: str) -> Iterator[PlantProcess]:
    """The other plant, as new, and the gateway sees it."""
    with PlantProcess.start("--tick", "0.1", endpoint=elsewhere) as process:
        eventually(lambda: gateway.read(THERE), lambda found: found == (500.0, "Good"))
        yield process


@pytest.mark.usefixtures("other")
def test_each_tag_is_read_and_written_at_its_own_server(gateway: GatewayProcess) -> None:
    """The item paths are equal, so only the server's name can tell them apart."""
    assert gateway.call("probe.calls.write", HERE, 210) == "Good"
    assert gateway.call("probe.calls.write", THERE, 220) == "Good"
    eventually(
        lambda: (gateway.read(HERE), gateway.read(THERE)),
        lambda found: found == ((210.0, "Good"), (220.0, "Good")),
    )
    assert gateway.read("[default]Seen") == (211.0, "Good")


def test_a_server_that_is_not_configured_is_bad_by_name(gateway: GatewayProcess) -> None:
    missing = f"[default]Nobody/{THROUGHPUT}"
    assert gateway.read(missing) == (None, "Bad_NotConnected(\"there is no OPC connection 'Nobody'\")")
    assert gateway.call("probe.calls.write", missing, 300) == "Bad_NotConnected"
    assert "give --device 'Nobody=ENDPOINT'" in gateway.log()


def test_one_server_goes_and_the_other_stays(gateway: GatewayProcess, other: PlantProcess) -> None:
    """Only the tags of the lost connection may turn stale."""
    other.kill()
    eventually(lambda: gateway.read(THERE), lambda found: found == (500.0, "Bad_Stale"))
    assert gateway.read(HERE)[1] == "Good"


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        (("--device", "Plant"), "--device wants NAME=opc.tcp://HOST:PORT/PATH, found 'Plant'"),
        (("--device", "Plant=http://h"), "--device wants NAME=opc.tcp://HOST:PORT/PATH"),
        (("--device", "X=opc.tcp://h:1"), "--device X: no tag is of such an OPC server"),
        (("--device", "Plant=opc.tcp://h:1", "--device", "Plant=opc.tcp://h:2"), "'Plant' is given twice"),
        (("--plant", "opc.tcp://h:1", "--device", "Plant=opc.tcp://h:2"), "--plant is one of them"),
    ],
)
def test_wrong_devices_are_named(arguments: list[str], devices: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["gateway", "--opcua-port", "0", *arguments, *devices])
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    assert said in done.stderr


def test_a_plant_is_the_only_server_that_tags_name(
    tmp_path: Path, arguments: list[str], plant: PlantProcess
) -> None:
    """--plant stays what it was: with one name in the tag file, whatever it is, nothing else has to be said."""
    tags = tag_file(
        tmp_path / "tags.json", opc(THROUGHPUT, "Float4", f"REACTOR_01/{THROUGHPUT}", opcServer="PLC 7")
    )
    with GatewayProcess.start(*arguments, "--tags", str(tags), "--plant", plant.endpoint) as process:
        assert process.read(f"[default]{THROUGHPUT}")[1] == "Good"
