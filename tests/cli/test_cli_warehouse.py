"""The whole program with its tables behind a SQL warehouse, and without the connector where they are elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import THROUGHPUT
from terminal_rig import EXAMPLE, ROOT, Cli

from bridge import settings as configuration
from bridge.clock import SystemClock
from bridge.domain.anomaly import Severity
from bridge.domain.lifecycle import Role
from bridge.domain.recommendation import Proposal, ProposedWrite
from bridge.plant import Plant
from bridge.storage import tables
from bridge.wiring import store_of

LONG_S = 150.0
BLOCKED = "import sys; sys.modules['databricks'] = sys.modules['databricks.sql'] = None; "
AS_THE_SCRIPT = "from bridge.cli_start import start; start()"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program of this checkout in a process; what stands before it may keep modules away."""
    started: list[subprocess.Popen[str]] = []

    def make(cli: Cli, *arguments: str, before: str = "", **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", before + AS_THE_SCRIPT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "BRIDGE_BUFFER__DIR": str(tmp_path / "buffer"),
                **cli.environment,
                **{f"BRIDGE_{name}": value for name, value in environment.items()},
            },
        )
        started.append(process)
        return process

    yield make
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


def until(bridge: subprocess.Popen[str], event: str) -> None:
    assert bridge.stderr is not None
    said = []
    for line in bridge.stderr:
        said.append(line)
        if event in line:
            return
    raise AssertionError("".join(said))


def ended(bridge: subprocess.Popen[str]) -> None:
    bridge.send_signal(signal.SIGTERM)
    _, said = bridge.communicate(timeout=60)
    assert bridge.returncode == 0, said


def wait_until(look: Callable[[], Any], wanted: str) -> Any:
    """What the look finds, once it finds something."""
    ends_s = time.monotonic() + LONG_S
    while time.monotonic() < ends_s:
        found = look()
        if found:
            return found
        time.sleep(0.5)  # paces the looks; the deadline decides
    raise AssertionError(f"{wanted}: not within {LONG_S:g} s")


def proposed(cli: Cli, monkeypatch: pytest.MonkeyPatch, present: float, target: float) -> str:
    """A recommendation of the agent's, made through its own store."""
    for name, value in cli.environment.items():
        monkeypatch.setenv(name, value)
    settings = configuration.load()
    there = tables(settings, Role.AGENT)
    store = store_of(settings, there, SystemClock())

    async def work() -> str | None:
        await store.open()
        try:
            return await store.propose(
                Proposal(
                    equipment_id="REACTOR_01",
                    issue_type="high_temperature",
                    severity=Severity.HIGH,
                    confidence=0.9,
                    root_cause="too hot",
                    action="Reduce throughput",
                    expected_outcome="cooler",
                    writes=(ProposedWrite(tag_path=THROUGHPUT, present=present, target=target, unit="kg/h"),),
                    readings={"temperature": 95.5},
                    evidence={"signal": "temperature"},
                    source="rules",
                ),
                valid_s=1800.0,
            )
        finally:
            await store.close()

    made = asyncio.run(work())
    assert made is not None
    return made


def test_what_cannot_work_on_a_warehouse_is_refused_by_name(
    on_warehouse: Cli, start: Callable[..., subprocess.Popen[str]], own_folder: Path
) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    by_gateway = text.replace('data_type = "Float"', 'data_type = "Float"\nroute = "gateway"')
    assert by_gateway != text
    (own_folder / "bridge.toml").write_text(by_gateway, encoding="utf-8")
    beyond = {
        "CONFIG": str(own_folder / "bridge.toml"),
        "PUBLISH__OPCUA__ENDPOINT": "opc.tcp://127.0.0.1:0/agent",
        "PUBLISH__OPCUA__SECURITY": "none",
        "PUBLISH__OPCUA__ANONYMOUS": "true",
        "ADVISOR__KIND": "genie",
        "ADVISOR__SPACE": "Plant",
    }
    found = json.loads(on_warehouse("check", "--json", **beyond).out)
    refused = [item["problem"] for item in found["findings"] if item["subject"] == "store.kind"]
    assert len(refused) == 3
    bridge = start(on_warehouse, "run", **beyond)
    out, said = bridge.communicate(timeout=LONG_S)
    assert (bridge.returncode, out) == (1, "")
    assert "Traceback" not in said
    for words in (
        "publish.opcua: the agent's tables cannot be published from a SQL warehouse",
        'advisor.kind = "genie": advice cannot be kept on a SQL warehouse',
        "[default]REACTOR_01/ThroughputSetpoint, [default]REACTOR_02/",
    ):
        assert any(words in line for line in refused)
        assert words in said


def test_from_no_tables_to_a_verified_write(
    on_warehouse: Cli,
    plant_endpoint: str,
    start: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cli = Cli(on_warehouse.environment | {"BRIDGE_LINKS__PLANT__ENDPOINT": plant_endpoint})
    said = cli("check")
    assert said.code == 1
    assert "run `ignition-bridge db migrate --target warehouse`" in said.out
    told = cli.ok("db", "migrate", "--target", "warehouse", STORE__KIND="postgres")
    assert "the schema is current: 26 migrations, 26 of them now" in told
    assert "none of them now" in cli.ok("db", "migrate")
    assert cli.json("db", "status")["current"] is True
    assert "8 of the list changed" in cli.ok("tags", "publish")
    assert "nothing changed" in cli.ok("tags", "publish")

    found = json.loads(cli("check", "--json").out)
    assert [item for item in found["findings"] if item["level"] == "problem"] == []
    assert "database: the SQL warehouse answers" in found["passed"]
    assert found["promises"][0].startswith("4 of 21 are kept by the database")
    assert any(line.startswith("not kept: changes announce themselves") for line in found["promises"])
    assert cli.json("status")["agents"] == []
    assert "no recommendation is open" in cli.ok("recommendations", "list")

    bridge = start(cli, "run")
    until(bridge, "bridge.ready")

    def set_point() -> float | None:
        latest = cli.json("readings", "REACTOR_01")["latest"]
        return next((row["value"] for row in latest if row["signal"] == "throughput_setpoint"), None)

    present = wait_until(set_point, "the set-point among the readings")
    made = proposed(cli, monkeypatch, present, present - 45.0)
    shown = cli.json("recommendations", "show", made)
    assert shown["proposed_writes"][0]["tag_path"] == THROUGHPUT
    assert cli.json("status")["online"] is True
    said_no = cli.refused("recommendations", "approve", made, "--operator", "operations-agent", "--yes")
    assert "agent" in said_no
    cli.ok("recommendations", "approve", made, "--operator", "anna", "--yes")
    story = wait_until(
        lambda: (
            found
            if (found := cli.json("explain", made))["recommendation"]["status"]
            not in ("approved", "executing")
            else None
        ),
        "an end of the recommendation",
    )
    assert story["recommendation"]["status"] == "executed", story
    command = story["commands"][0]
    assert (command["status"], command["read_back_value"]) == ("executed", pytest.approx(present - 45.0))
    assert cli.json("explain", command["command_id"])["recommendation"]["recommendation_id"] == made

    refusal = cli.refused("commands", "settle", command["command_id"], "--shows", "1", "--operator", "anna")
    assert refusal.startswith("already_decided: ")

    cli.ok("control", "disarm", "--reason", "a test", "--operator", "anna")
    assert cli.json("control", "show")["armed"] is False
    cli.ok("control", "arm", "--reason", "over", "--operator", "anna")
    ended(bridge)
    assert cli.json("db", "verify-audit")["verified"] is True


def test_run_waits_for_a_warehouse_that_it_knows_and_for_no_other(
    on_warehouse: Cli, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """An outage is no reason not to start where a bridge has run before; what it measures waits on disk."""
    there = {"LINKS__PLANT__ENDPOINT": "opc.tcp://127.0.0.1:1/plant"}
    away = there | {"STORE__WAREHOUSE__CONNECTION_URI": "http://127.0.0.1:1/sql/1.0/warehouses/aa"}
    on_warehouse.ok("db", "migrate")
    limitless = start(on_warehouse, "run", **there)
    assert "run `ignition-bridge tags publish`" in limitless.communicate(timeout=LONG_S)[1]
    assert limitless.returncode == 1
    on_warehouse.ok("tags", "publish")
    first = start(on_warehouse, "run", **away)
    assert "[store.warehouse] say where it is" in first.communicate(timeout=LONG_S)[1]
    assert first.returncode == 1
    for environment, event in ((there, "bridge.ready"), (away, "agent.waiting")):
        bridge = start(on_warehouse, "run", **environment)
        until(bridge, event)
        ended(bridge)


def test_what_is_of_postgresql_alone_says_so(on_warehouse: Cli) -> None:
    assert "works on PostgreSQL and on Lakebase only" in on_warehouse.refused(
        "db", "login", "ignition", "--role", "operator"
    )
    said = on_warehouse.refused("db", "grants", "--owner", "a", "--agent", "b", "--operator", "c")
    assert "Unity Catalog" in said
    for command in (["build"], ["deploy", "--gateway", "https://127.0.0.1:1"]):
        said = on_warehouse.refused("project", *command)
        assert "no gateway can show or execute anything from these tables" in said


def test_a_warehouse_that_cannot_be_reached(on_warehouse: Cli) -> None:
    nowhere = "http://127.0.0.1:1/sql/1.0/warehouses/aa"
    said = on_warehouse.refused("status", STORE__WAREHOUSE__CONNECTION_URI=nowhere)
    assert "[store.warehouse] say where it is" in said
    assert len(said.splitlines()) == 1
    said = on_warehouse.refused("status", DATABRICKS__TOKEN="dapi0not0this0one")
    assert "dapi0not0this0one" not in said


def test_a_warehouse_that_nobody_configured(bare: Cli) -> None:
    said = bare.refused("db", "migrate", "--target", "warehouse", CONFIG=str(EXAMPLE))
    assert "no SQL warehouse is configured" in said


def test_importing_the_bridge_brings_no_connector() -> None:
    """180 MB that a bridge on PostgreSQL must never load."""
    every_module = (
        "import bridge, importlib, pkgutil, sys\n"
        "for module in pkgutil.walk_packages(bridge.__path__, 'bridge.'): importlib.import_module(module.name)\n"
        "assert 'bridge.store.warehouse_connection' in sys.modules\n"
        "print([name for name in ('databricks', 'thrift', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", every_module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=True,
    )
    assert said.stdout.strip() == "[]"


def test_a_bridge_on_postgresql_runs_without_the_connector(
    cli: Cli, plant_endpoint: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    there = {"LINKS__PLANT__ENDPOINT": plant_endpoint}
    bridge = start(cli, "run", before=BLOCKED, **there)
    until(bridge, "bridge.ready")
    looking = start(cli, "check", "--json", before=BLOCKED, **there)
    out, said = looking.communicate(timeout=LONG_S)
    assert (looking.returncode, said) == (0, "")
    assert json.loads(out)["ok"] is True
    ended(bridge)


def test_without_the_extra_a_warehouse_is_refused_in_words(
    on_warehouse: Cli, start: Callable[..., subprocess.Popen[str]]
) -> None:
    looking = start(on_warehouse, "status", before=BLOCKED)
    out, said = looking.communicate(timeout=LONG_S)
    assert (looking.returncode, out) == (1, "")
    assert "ignition-lakebase-bridge[warehouse]" in said
    assert "Traceback" not in said


def test_the_example_has_no_route_that_a_warehouse_refuses(plant: Plant) -> None:
    """Else the tests above would refuse for another reason than the one they name."""
    assert not [tag for tag in plant.writable if tag.route.value == "gateway"]
