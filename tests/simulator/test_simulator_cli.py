"""Does the command line start, refuse, and end as it says?"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simulator.__main__ import app
from simulator.faults import CATALOGUE, FaultError, check_applies, parse_fault
from simulator.process import ROOT, PlantProcess, launch

DEADLINE_S = 30.0


def run(*arguments: str) -> Result:
    """The command in this process: a process of its own would spend a second on imports."""
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def run_apart(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulator", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_ready_line_comes_alone_and_a_signal_ends_cleanly(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlantProcess, "launch", staticmethod(launch))  # as a person starts it
    with PlantProcess.start("--equipment", "1", "--fault", "overheat REACTOR_01 @60s") as plant:
        assert plant.endpoint.startswith("opc.tcp://127.0.0.1:")
        assert not plant.endpoint.endswith(":0/plant")
        plant.process.send_signal(number)
        assert plant.process.wait(DEADLINE_S) == 0
        assert plant.process.stdout is not None
        assert plant.process.stdout.read() == ""


def test_a_taken_port_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"opc.tcp://127.0.0.1:{taken.getsockname()[1]}/plant"
        result = run_apart("plant", "--endpoint", endpoint)
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"the port of {endpoint} is taken" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fault", "meltdown REACTOR_01"), "no fault is called 'meltdown'; choose one of overheat"),
        (("--fault", "overheat"), "overheat needs an equipment"),
        (("--fault", "overheat REACTOR_09"), "no equipment is called 'REACTOR_09'; there are REACTOR_01"),
        (("--fault", "overheat PUMP_01"), "overheat is not for PUMP_01 (PUMP)"),
        (("--endpoint", "http://127.0.0.1/plant"), "an endpoint such as opc.tcp://"),
        (("--security", "basic256sha256"), "give all three or none"),
        (("--user", "somebody"), "--user wants NAME:PASSWORD"),
        (("--map", "a=B/C"), "--map needs --replay FILE"),
        (("--replay", "/nowhere.csv", "--map", "a=B/C"), "/nowhere.csv: cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = run("plant", "--endpoint", "opc.tcp://127.0.0.1:0/plant", *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_faults_are_listed_injected_cleared_and_refused() -> None:
    listed = run("fault", "--list")
    assert all(name in listed.stdout for name in CATALOGUE)
    with PlantProcess.start() as plant:
        at = ("--endpoint", plant.endpoint)
        assert run("fault", "overheat REACTOR_02", *at).stdout == "injected overheat REACTOR_02\n"
        assert run("fault", "clear", "REACTOR_02", *at).stdout == "cleared REACTOR_02\n"
        unknown = run("fault", "overheat REACTOR_77", *at)
        assert unknown.exit_code == 1
        assert "REACTOR_01, REACTOR_02" in unknown.stderr
        mistyped = run("fault", "overhaet REACTOR_02", *at)
        assert mistyped.exit_code == 1
        assert "choose one of overheat, runaway" in mistyped.stderr
    gone = run_apart("fault", "overheat REACTOR_02", *at)
    assert gone.returncode == 1
    assert f"no plant answers at {plant.endpoint}" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_the_simulator_does_not_know_the_bridge() -> None:
    package = Path(__file__).resolve().parents[2] / "simulator"
    for module in package.rglob("*.py"):
        source = module.read_text(encoding="utf-8")
        assert "import bridge" not in source
        assert "from bridge" not in source
        if module.parent.name != "opcua":
            assert "asyncua" not in source.replace("simulator.opcua", ""), module


@pytest.mark.parametrize(
    ("text", "name", "equipment", "duration_s", "delay_s"),
    [
        ("overheat REACTOR_02", "overheat", "REACTOR_02", None, 0.0),
        ("overheat REACTOR_02 @5s", "overheat", "REACTOR_02", None, 5.0),
        ("write_slow PUMP_01", "write_slow", "PUMP_01", 8.0, 0.0),
        ("write_slow PUMP_01 2.5s @1s", "write_slow", "PUMP_01", 2.5, 1.0),
        ("freeze 3s", "freeze", "PLANT", 3.0, 0.0),
        ("broker_restart @2s", "broker_restart", "PLANT", 2.0, 2.0),
        ("alias_reuse", "alias_reuse", "PLANT", None, 0.0),
        ("alias_reuse REACTOR_01", "alias_reuse", "REACTOR_01", None, 0.0),
        ("kill_after_write", "kill_after_write", "PLANT", None, 0.0),
    ],
)
def test_faults_are_read(
    text: str, name: str, equipment: str, duration_s: float | None, delay_s: float
) -> None:
    request = parse_fault(text)
    assert (request.fault.name, request.equipment) == (name, equipment)
    assert (request.duration_s, request.delay_s) == (duration_s, delay_s)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "overheat",
        "overheat A B",
        "overheat A 5s",
        "overheat A @soon",
        "nothing A",
        "@5s",
        "sequence_gap 2s",
    ],
)
def test_faults_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(FaultError):
        parse_fault(text)


def test_a_fault_fits_some_kinds_only() -> None:
    kinds = {"PUMP_01": "PUMP", "REACTOR_01": "REACTOR"}
    check_applies(parse_fault("overheat REACTOR_01"), kinds=kinds)
    with pytest.raises(FaultError, match="it applies to REACTOR"):
        check_applies(parse_fault("overheat PUMP_01"), kinds=kinds)
    with pytest.raises(FaultError, match="there are PUMP_01, REACTOR_01"):
        check_applies(parse_fault("overheat REACTOR_09"), kinds=kinds)
