"""What importing the bridge costs, in fresh interpreters; the warehouse connector must not be among it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import psutil

from benchmarks.figures import Figure, Result, runs, shown
from benchmarks.stand import ROOT, Failed, Stand

NAME = "imports"
_LONG_S = 120.0

_EVERY_MODULE = (
    "import importlib, pkgutil, bridge\n"
    "for found in pkgutil.walk_packages(bridge.__path__, 'bridge.'): importlib.import_module(found.name)"
)
_IMPORTS: Mapping[str, str] = {
    "nothing": "pass",
    "bridge": "import bridge",
    "wiring": "import bridge.wiring",
    "every": _EVERY_MODULE,
    "connector": "import databricks.sql.client",
}


@dataclass(frozen=True, kw_only=True)
class _Imported:
    """One interpreter after its imports."""

    ms: float
    memory_mb: float
    modules: int
    of_the_connector: int


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Fresh interpreters one after the other; takes no stand."""
    figures = await asyncio.to_thread(_measured, times=1 if quick else 5)
    return Result(name=NAME, title="Importing the bridge, in fresh interpreters", figures=tuple(figures))


def _measured(*, times: int) -> list[Figure]:
    """The connector alone is what the bridge saves by not importing it."""
    found: dict[str, list[_Imported]] = {name: [] for name in _IMPORTS}
    for _ in range(times):
        for name, code in _IMPORTS.items():
            if name != "every" or not found[name]:
                found[name].append(_imported(code))
    plain_mb = median(each.memory_mb for each in found["nothing"])
    connector_ms = median(each.ms for each in found["connector"])
    connector_mb = median(each.memory_mb for each in found["connector"]) - plain_mb
    figures = []
    for name, what in (
        ("bridge", "import bridge"),
        ("wiring", "import bridge.wiring (what `run` needs on PostgreSQL)"),
    ):
        took = runs([each.ms for each in found[name]])
        figures += [
            Figure(what=what, value=took["median"], unit="ms", spread=took),
            Figure(
                what=f"{what}: memory",
                value=median(each.memory_mb for each in found[name]) - plain_mb,
                unit="MB",
                note=f"over an interpreter's {shown(plain_mb)} MB; the connector alone takes {shown(connector_ms)} ms "
                f"and {shown(connector_mb)} MB",
            ),
        ]
    every = found["every"][0]
    figures.append(
        Figure(
            what="modules of the connector that the bridge's modules import",
            value=every.of_the_connector,
            unit="modules",
            goal=0.0,
            note=f"every module of bridge imported, {every.modules} modules in all",
        )
    )
    return figures


def _imported(code: str) -> _Imported:
    """Run an import in a fresh interpreter and look at it before it ends."""
    whole = (
        "import sys, time\n"
        "began_s = time.perf_counter()\n"
        f"{code}\n"
        "took_ms = (time.perf_counter() - began_s) * 1000\n"
        "of_the_connector = sum(name.partition('.')[0] in ('databricks', 'thrift') for name in sys.modules)\n"
        "print(took_ms, len(sys.modules), of_the_connector, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", whole],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().split()
        memory_mb = psutil.Process(process.pid).memory_info().rss / 1e6
        complaint = process.communicate(timeout=_LONG_S)[1].strip().rpartition("\n")[2]
    if len(said) != 3:
        raise Failed(f"an interpreter cannot do this: {code}: {complaint}")
    return _Imported(
        ms=float(said[0]), memory_mb=memory_mb, modules=int(said[1]), of_the_connector=int(said[2])
    )
