"""Does the broker of the demo serve a plant and end, and does the plant bear brokers that come and go?"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mqtt_watcher import GROUP, NODE, Watcher, mosquitto
from typer.testing import CliRunner

from simulator.__main__ import app
from simulator.process import ROOT, PlantProcess
from simulator.sparkplug.wire_format import DataType, Metric, decode


@contextlib.contextmanager
def embedded(port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`python -m simulator broker`, ready; its URL and process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "broker", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("broker ready mqtt://127.0.0.1:"), line
        yield line.split()[-1], process
    finally:
        process.kill()
        process.communicate()


def test_the_embedded_broker_carries_births_commands_and_wills_quietly() -> None:
    with embedded() as (url, process), Watcher(url) as watcher:
        with PlantProcess.start("--tick", "0.1", "--broker", url, "--sparkplug", f"{GROUP}/{NODE}") as plant:
            birth = watcher.of("NBIRTH")
            watcher.of("DBIRTH", "VALVE_02")
            watcher.command("REACTOR_01", Metric(name="CoolingOn", datatype=DataType.Boolean, value=True))
            watcher.wait(
                lambda m: (
                    m.topic.endswith("DDATA/line1/REACTOR_01")
                    and any(one.value is True for one in m.sparkplug.metrics)
                ),
                "data",
            )
            plant.kill()
        death = watcher.of("NDEATH")
        assert death.metric("bdSeq").value == birth.metric("bdSeq").value
        watcher.send("kept", b"1", qos=1, retain=True)
        with Watcher(url) as late:
            assert late.wait(lambda m: m.topic == "kept", "retained message").retained
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        rest, said = process.communicate()
        assert (rest, said) == ("", "")


def test_a_taken_port_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["broker", "--port", str(port)], catch_exceptions=False)
    assert result.exit_code == 1
    assert f"cannot listen on port {port}" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--broker", "mqtt://h"), "--broker wants --sparkplug or --plain"),
        (("--sparkplug", "a/b"), "--broker wants --sparkplug or --plain"),
        (("--plain", "a"), "--broker wants --sparkplug or --plain"),
        (("--broker", "mqtt://h", "--plain", "a", "--primary-host", "x"), "--primary-host --sparkplug"),
        (("--broker", "http://h", "--plain", "a"), "a broker such as mqtt://127.0.0.1:1883 was expected"),
        (("--broker", "mqtt://h:0", "--plain", "a"), "a broker such as"),
        (("--broker", "mqtt://h", "--sparkplug", "line1"), "GROUP/NODE such as plant/line1"),
        (("--broker", "mqtt://h", "--sparkplug", "a/b/c"), "GROUP/NODE such as plant/line1"),
        (("--broker", "mqtt://h", "--sparkplug", "a/#"), "GROUP/NODE such as plant/line1"),
        (("--broker", "mqtt://h", "--plain", "a/#"), "a prefix such as plant"),
        (("--broker", "mqtt://h", "--plain", "a/"), "a prefix such as plant"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(
        app, ["plant", "--endpoint", "opc.tcp://127.0.0.1:0/plant", *arguments], catch_exceptions=False
    )
    assert result.exit_code == 1
    assert said in result.output


def test_a_broker_may_come_late_go_and_come_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"mqtt://127.0.0.1:{port}"
    with PlantProcess.start("--tick", "0.1", "--broker", url, "--sparkplug", f"{GROUP}/{NODE}"):
        with mosquitto(tmp_path, port) as first, Watcher(first) as watcher:
            watcher.of("DBIRTH", "VALVE_02")
        with mosquitto(tmp_path, port) as second, Watcher(second) as watcher:
            birth = watcher.of("NBIRTH")
            watcher.of("DDATA", "REACTOR_01", since=birth.number)
            assert birth.metric("bdSeq").value != 0


def test_the_connection_is_clean_and_leaves_a_will() -> None:
    """The CONNECT packet itself: MQTT 3.1.1, clean session, a will with QoS 1 that is not retained."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        packets: list[bytes] = []

        def take() -> None:
            connection, _ = listener.accept()
            with connection:
                packets.append(connection.recv(4096))

        taker = threading.Thread(target=take)
        taker.start()
        url = f"mqtt://127.0.0.1:{listener.getsockname()[1]}"
        with PlantProcess.start("--equipment", "1", "--broker", url, "--sparkplug", f"{GROUP}/{NODE}"):
            taker.join(15)
    packet = packets[0]
    assert packet[0] == 0x10
    variable = packet[packet.index(b"\x00\x04MQTT") :]
    assert variable[6] == 4
    flags = variable[7]
    assert flags & 0b10, "clean session"
    assert flags & 0b100, "a will"
    assert (flags >> 3 & 0b11, flags >> 5 & 1) == (1, 0)
    fields = _strings(variable[10:])
    assert fields[:2] == [f"plant-{GROUP}-{NODE}".encode(), f"spBv1.0/{GROUP}/NDEATH/{NODE}".encode()]
    death = decode(fields[2])
    assert death.seq is None
    assert [(one.name, one.value) for one in death.metrics] == [("bdSeq", 0)]


def _strings(data: bytes) -> list[bytes]:
    """Client id, will topic and will payload."""
    found = []
    while data:
        length = int.from_bytes(data[:2], "big")
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found
