"""The demo on a simulated workspace: both stores, three logins, Genie's words, and a verified write at the end."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from terminal_rig import ROOT, left_over


@pytest.fixture
def printed(data_folder: Path) -> str:
    """What it printed, once it has ended by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "demo", "--databricks", "--build", str(data_folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        timeout=560,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(600)
def test_the_loop_on_lakebase_and_on_a_warehouse(printed: str, data_folder: Path) -> None:
    result = json.loads((data_folder / "demo-databricks.json").read_text(encoding="utf-8"))
    assert list(result) == ["lakebase", "warehouse"]
    for store, reactor in (("lakebase", "REACTOR_02"), ("warehouse", "REACTOR_03")):
        told = result[store]
        assert told["recommendation"]["equipment_id"] == reactor
        assert told["recommendation"]["status"] == "executed"
        assert told["approval"]["operator"] == "demo.operator"
        assert told["approval"]["digest"] == told["recommendation"]["write_digest"]
        assert [
            (command["tag_path"], command["new_value"], command["read_back_value"], command["status"])
            for command in told["commands"]
        ] == [
            (f"[default]{reactor}/ThroughputSetpoint", 375.0, 375.0, "executed"),
            (f"[default]{reactor}/CoolingOn", 1.0, 1.0, "executed"),
        ]
        assert told["audit"]["verified"] is True

    # Genie's words came after the proposal of the rules, with their origin, and chose a configured remedy.
    advised = result["lakebase"]["recommendation"]
    note = advised["evidence"]["advisor"]
    assert (advised["source"], note["remedy"]) == ("genie", "reduce_throughput_25_and_cool")
    assert "from plant_lakebase.bridge.sensor_data" in note["provenance"]["sql"]
    assert note["provenance"]["conversation_id"] in printed
    assert result["warehouse"]["recommendation"]["source"] == "rules"

    # The plant's own record: each write was applied once, and nothing else was written.
    folder = data_folder / "demo-databricks"
    writes = [json.loads(line) for line in (folder / "writes.jsonl").read_text().splitlines()]
    assert [write["node"] for write in writes] == [
        f"{reactor}/{setpoint}"
        for reactor in ("REACTOR_02", "REACTOR_03")
        for setpoint in ("ThroughputSetpoint", "CoolingOn")
    ]

    for words in (
        r"lakebase +credential for the project's owner on projects/plant/branches/production/endpoints/primary",
        r"lakebase +credential for operators on projects/plant/",
        r"lakebase +engineer@example\.com ran what `ignition-bridge db grants` printed",
        r"check +✓ databricks\.lakebase: ",
        r"check +✓ store\.warehouse: the SQL warehouse \w+ is running",
        r"genie +answered within [\d.]+ s; R-1 has source genie now",
        r"audit +the rules proposed R-1 ",
        r"sql +C-1 executed: \[default\]REACTOR_02/ThroughputSetpoint 375 wanted, 375 read back",
        r"lakebase +\d+ connections were opened with \d+ credentials",
        r"the chain is whole",
        r"demo +done in \d+ s",
        r"demo +bridge, plant, workspace and database have stopped",
    ):
        assert re.search(words, printed), f"{words!r} is not in:\n{printed}"
    assert len(re.findall("the temperature falls: ", printed)) == 2

    # Nothing that lets anybody in was told.
    profiles = configparser.ConfigParser()
    profiles.read(folder / "databrickscfg")
    assert profiles.sections() == ["plant-owner", "bridge", "operators"]
    assert len({profile["client_id"] for profile in profiles.values() if profile}) == 3
    assert not [name for name in profiles.sections() if profiles[name]["client_secret"] in printed]
    assert not re.search(r"postgresql://|lakebase-\w{20}|do(at|se)\w{20}|dapi\w{20}", printed)
    assert (folder / "databrickscfg").stat().st_mode & 0o077 == 0
    assert left_over(data_folder) == []
