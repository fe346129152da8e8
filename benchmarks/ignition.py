"""The Ignition side: importing a tag export of 50,000 tags, and checking our project.

`python -m benchmarks.ignition` runs this one alone; it needs no database and no plant.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Result

NAME = "ignition"
ROOT = Path(__file__).resolve().parents[1]
GOAL_IMPORT_S, GOAL_IMPORT_MB, GOAL_CHECK_S = 20.0, 500.0, 5.0
_MEMBERS = 10
_LOOK_S = 0.02
_ALARMS = 3  # an export of 50,000 overridden tags with alarms and history is about 40 MB


async def measure(stand: object, *, quick: bool) -> Result:
    """Both are runs of the command line in a process of its own, as an integrator makes them."""
    del stand  # no database and no plant is needed
    tags = 500 if quick else 50_000
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for form, document in (("UDT instances", instances(tags)), ("plain tags", plain_tags(tags))):
            file = Path(folder, "tags.json")
            size_mb = _save(file, document) / 1e6
            seconds, peak_mb, said = await asyncio.to_thread(
                _run, "tags", "import", str(file), "--out", str(Path(folder, "map.toml")), "--force", "--json"
            )
            found = json.loads(said)["tags"]
            if found != tags:
                raise RuntimeError(f"{found} of {tags} tags were imported")
            what = f"import of {tags:,} tags, {form}"
            note = f"{size_mb:.0f} MB of JSON"
            figures.append(Figure(what=what, value=seconds, unit="s", goal=GOAL_IMPORT_S, note=note))
            figures.append(
                Figure(what=f"{what}, peak memory", value=peak_mb, unit="MB", goal=GOAL_IMPORT_MB, note=note)
            )
    seconds, peak_mb, said = await asyncio.to_thread(_run, "project", "check", "--json")
    figures.append(
        Figure(
            what="check of our project, Jython included",
            value=seconds,
            unit="s",
            goal=GOAL_CHECK_S,
            note=f"{len(json.loads(said)['findings'])} findings",
        )
    )
    return Result(name=NAME, title="Ignition: tag import and project check", figures=tuple(figures))


def _save(file: Path, document: dict[str, Any]) -> int:
    """Write a tag file as the Designer does; its size in bytes."""
    text = json.dumps(document, indent=2)
    return file.write_text(text, encoding="utf-8")


def instances(tags: int) -> dict[str, Any]:
    """One UDT with parameters, and as many instances as make this many tags."""
    members = [
        {
            "name": f"Signal{number:02d}",
            "tagType": "AtomicTag",
            "valueSource": "opc",
            "dataType": "Float8",
            "opcServer": "Plant UA",
            "opcItemPath": {"bindType": "parameter", "binding": f"nsu=urn:plant;s={{Node}}.S{number}"},
            "engUnit": "bar",
            "engLow": 0.0,
            "engHigh": 10.0 + number,
        }
        for number in range(_MEMBERS)
    ]
    udt = {
        "name": "Unit",
        "tagType": "UdtType",
        "parameters": {"Node": {"dataType": "String", "value": ""}},
        "tags": members,
    }
    placed = [
        {
            "name": f"UNIT_{number:05d}",
            "tagType": "UdtInstance",
            "typeId": "Unit",
            "parameters": {"Node": {"dataType": "String", "value": f"UNIT_{number:05d}"}},
            "tags": [_atomic(member["name"]) for member in members],
        }
        for number in range(tags // _MEMBERS)
    ]
    types = {"name": "_types_", "tagType": "Folder", "tags": [udt]}
    site = {"name": "Site", "tagType": "Folder", "tags": placed}
    return {"name": "", "tagType": "Provider", "tags": [types, site]}


def plain_tags(tags: int) -> dict[str, Any]:
    """The same number of tags in folders, each with everything written out."""
    folders = []
    for unit in range(tags // _MEMBERS):
        listed = []
        for number in range(_MEMBERS):
            tag = _atomic(f"Signal{number:02d}")
            tag |= {
                "valueSource": "opc",
                "dataType": "Float8",
                "opcServer": "Plant UA",
                "opcItemPath": f"nsu=urn:plant;s=UNIT_{unit:05d}.S{number}",
                "engUnit": "bar",
            }
            listed.append(tag)
        folders.append({"name": f"UNIT_{unit:05d}", "tagType": "Folder", "tags": listed})
    return {"name": "", "tagType": "Provider", "tags": folders}


def _atomic(name: object) -> dict[str, Any]:
    alarms = [
        {"name": f"High{number}", "mode": "AboveValue", "setpointA": 8.0 + number, "priority": "High"}
        for number in range(_ALARMS)
    ]
    return {"name": name, "tagType": "AtomicTag", "historyEnabled": True, "alarms": alarms}


def _run(*arguments: str) -> tuple[float, float, str]:
    """Run the command line; seconds, peak resident memory in MB, and what it said."""
    with tempfile.TemporaryFile() as said:
        began_s = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "bridge.cli", *arguments], stdout=said, cwd=ROOT)
        peak_mb = 0.0
        while process.poll() is None:
            # Not ru_maxrss: a child started by vfork inherits its parent's peak there.
            peak_mb = max(peak_mb, _peak_mb(process.pid))
            time.sleep(_LOOK_S)
        seconds = time.perf_counter() - began_s
        said.seek(0)
        text = said.read().decode("utf-8")
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
    return seconds, peak_mb, text


def _peak_mb(pid: int) -> float:
    """The peak so far, as Linux keeps it for the process's own memory."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ignition", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    result = asyncio.run(measure(None, quick=parser.parse_args(arguments).quick))
    for figure in result.figures:
        print(f"{figure.what}: {figure.value:.2f} {figure.unit}  {figure.verdict}  {figure.note}")
    return 0 if all(figure.met for figure in result.figures) else 1


if __name__ == "__main__":
    sys.exit(main())
