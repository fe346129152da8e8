"""The real project in the gateway, the real plant behind its tags, and approvals in a database of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rig import Hands, sql

from bridge.ignition import build
from bridge.ignition.resources import read
from bridge.store import queries
from gateway.gateway_stand import folder, opc, operator_url, tag_file
from simulator.gateway.process import GatewayProcess
from simulator.process import PlantProcess

PASS = "Execute Commands"
START_KG_H = 500.0
ROOT = Path(__file__).resolve().parents[2]


def built_project(place: Path, target: build.Target = build.Target.V83) -> Path:
    """The checked-in project with its named queries of now, as ``ignition-bridge project build`` makes it."""
    source = place / "source"
    shutil.copytree(ROOT / build.DEFAULT_FOLDER, source)
    build.regenerate(source, list(queries.load()))
    archive = place / f"bridge-{target.value}.zip"
    archive.write_bytes(build.to_zip(build.package(read(source), target).files))
    return archive


def reactor_tags(path: Path, reactors: Sequence[str]) -> Path:
    """A tag export with the set-points of these reactors, and the project's own tags beside them."""
    own = json.loads((ROOT / build.DEFAULT_FOLDER / "tags" / "tags.json").read_text(encoding="utf-8"))
    beside = [tag for tag in own["tags"] if tag["name"] in ("_types_", "Bridge")]
    tags = (
        folder(
            name,
            opc("ThroughputSetpoint", "Float4", f"{name}/ThroughputSetpoint"),
            opc("CoolingOn", "Boolean", f"{name}/CoolingOn"),
        )
        for name in reactors
    )
    return tag_file(path, *beside, *tags)


def names(count: int, of: int) -> list[str]:
    digits = max(2, len(str(of)))
    return [f"REACTOR_{number:0{digits}d}" for number in range(1, count + 1)]


def throughput(reactor: str) -> str:
    return f"[default]{reactor}/ThroughputSetpoint"


def cooling(reactor: str) -> str:
    return f"[default]{reactor}/CoolingOn"


def list_tags(hands: Hands, reactors: Sequence[str], *, route: str = "gateway") -> None:
    """Put both set-points of these reactors on the allow-list."""
    with hands.owner.cursor() as cursor:
        cursor.executemany(
            sql(
                "insert into tag_limits (tag_path, equipment_id, route, data_type, unit, low, high, max_step,"
                " min_interval_s, max_writes_per_hour, max_age_s, tolerance, settle_s)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, 0, 100, 30, 0.5, 0.3)"
            ),
            [
                entry
                for name in reactors
                for entry in (
                    (throughput(name), name, route, "Float", "kg/h", 100, 800, 300),
                    (cooling(name), name, route, "Boolean", "", 0, 1, None),
                )
            ],
        )


def throughput_write(reactor: str, target: float = 450.0) -> dict[str, object]:
    return {"tag_path": throughput(reactor), "from": START_KG_H, "to": target, "unit": "kg/h"}


def cooling_write(reactor: str) -> dict[str, object]:
    return {"tag_path": cooling(reactor), "from": False, "to": True, "unit": ""}


def approve_all(hands: Hands, reactors: Sequence[str]) -> int:
    """Two approved recommendations for each reactor, one for each set-point; how many in all."""
    for name in reactors:
        for issue, write in (
            ("high_temperature", throughput_write(name)),
            ("high_pressure", cooling_write(name)),
        ):
            hands.approve(hands.propose(equipment_id=name, issue_type=issue, writes=[write]))
    return 2 * len(reactors)


def writes_at(log: Path, *reactors: str) -> list[tuple[str, Any]]:
    """What the plant says was written to these reactors, in its order."""
    lines = (
        [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    )
    return [
        (line["node"].split("/")[1], line["new"]) for line in lines if line["node"].split("/")[0] in reactors
    ]


def gateway_for(archive: Path, tags: Path, url: str, plant: PlantProcess, *more: str) -> GatewayProcess:
    """The project's gateway on this database; ``url`` is the owner's, it logs in as an operator."""
    return GatewayProcess.start(
        *("--project", str(archive), "--project-name", "bridge", "--tags", str(tags)),
        *("--database", operator_url(url), "--plant", plant.endpoint, "--tag-group", "Fast=50", *more),
    )
