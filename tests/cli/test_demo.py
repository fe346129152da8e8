"""The demo: the whole route once with everything real, and nothing left behind however it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from terminal_rig import ROOT, left_over

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(data_folder: Path) -> Iterator[Start]:
    """Starts the demo below a folder of the test's own, without a terminal."""
    started: list[subprocess.Popen[str]] = []

    def make(**environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "demo", "--build", str(data_folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        started.append(process)
        return process

    yield make
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What was said up to the line with these words."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    pytest.fail(f"{words!r} was never said:\n{said}")


@pytest.mark.timeout(480)
def test_the_whole_route(start: Start, data_folder: Path) -> None:
    demo = start()
    said, _ = demo.communicate(timeout=460)
    assert demo.returncode == 0, said
    result = json.loads((data_folder / "demo.json").read_text(encoding="utf-8"))
    assert result["recommendation"]["equipment_id"] == "REACTOR_02"
    assert result["recommendation"]["status"] == "executed"
    assert result["approval"]["operator"] == "demo.operator"
    assert result["approval"]["digest"] == result["recommendation"]["write_digest"]
    assert [
        (command["tag_path"], command["new_value"], command["read_back_value"], command["status"])
        for command in result["commands"]
    ] == [
        ("[default]REACTOR_02/ThroughputSetpoint", 375.0, 375.0, "executed"),
        ("[default]REACTOR_02/CoolingOn", 1.0, 1.0, "executed"),
    ]
    assert [
        (command["tag_path"], command["route"], command["status"])
        for command in result["gateway"]["commands"]
    ] == [
        ("[default]REACTOR_04/ThroughputSetpoint", "gateway", "executed"),
        ("[default]REACTOR_04/CoolingOn", "gateway", "executed"),
    ]
    assert [
        (command["tag_path"], command["route"], command["read_back_value"], command["status"])
        for command in result["mqtt"]["commands"]
    ] == [
        ("[default]REACTOR_03/ThroughputSetpoint", "mqtt", 375.0, "executed"),
        ("[default]REACTOR_03/CoolingOn", "mqtt", 1.0, "executed"),
    ]
    # The agent's tables as tags, seen by a client and a host application that are none of the bridge's.
    assert result["tags"]["opcua"] == result["tags"]["mqtt"]
    assert result["tags"]["mqtt"] == {
        "Agent/Status": "online",
        "Control/Armed": True,
        "Equipment/REACTOR_03/LastCommand/Tag": "[default]REACTOR_03/CoolingOn",
        "Equipment/REACTOR_03/LastCommand/Verdict": "executed",
    }
    assert result["audit"]["verified"] is True
    spans = result["timings_ms"]
    assert 0 < spans["approval_to_first_verified"] < spans["approval_to_verified"]
    assert "reading_to_recommendation" in spans
    # The plant's own record: each write was applied once, and nothing else was written.
    writes = [json.loads(line) for line in (data_folder / "demo" / "writes.jsonl").read_text().splitlines()]
    assert [write["node"] for write in writes] == [
        f"{reactor}/{setpoint}"
        for reactor in ("REACTOR_02", "REACTOR_04", "REACTOR_03")
        for setpoint in ("ThroughputSetpoint", "CoolingOn")
    ]
    assert [write["session"] for write in writes[-2:]] == ["sparkplug", "sparkplug"]
    for words in ("the exact writes", "verified", "the temperature falls", "the chain is whole"):
        assert words in said
    assert "postgresql://" not in said
    assert left_over(data_folder) == []


@pytest.mark.timeout(480)
def test_stopped_half_way_it_leaves_nothing_running(start: Start, data_folder: Path) -> None:
    """And while it is at work, another one in its folder is refused and does it no harm."""
    demo = start()
    read_until(demo, "starting a database")
    second = start()
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "another demo is at work" in said
    read_until(demo, "ready at opc.tcp")
    assert left_over(data_folder)
    demo.terminate()
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "bridge, gateway, plant, broker and database have stopped" in said
    assert left_over(data_folder) == []
    assert not (data_folder / "demo.json").exists()


@pytest.mark.timeout(480)
def test_a_process_that_dies_is_told_and_ends_the_demo(start: Start, data_folder: Path) -> None:
    """And one without Jython says what it leaves out, and begins all the same."""
    demo = start(PATH="/usr/sbin:/sbin")
    begun = read_until(demo, "now it overheats")
    assert "left out, and the HMI with it" in begun
    bridges = [
        process for process in psutil.Process(demo.pid).children() if process.cmdline()[-1:] == ["run"]
    ]
    assert len(bridges) == 1
    bridges[0].kill()
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "failed: the bridge ended with -9" in said
    assert left_over(data_folder) == []
