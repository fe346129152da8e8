"""The table on the screen, build/bench.json, and build/bench.md for the README."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, Result, shown

_LIBRARIES = ("asyncua", "psycopg", "uvloop", "numpy")


def load_average() -> str:
    """Load over 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
        "measured_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": load_average(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown"


def _goal(figure: Figure) -> str:
    sign = "≥" if figure.at_least else "≤"
    goals = [] if figure.goal is None else [f"{sign} {shown(figure.goal)} {figure.unit}"]
    if figure.floor_goal is not None:
        goals.append(f"{sign} {figure.floor_goal:g} × floor")
    return ", ".join(goals)


def _floor(figure: Figure) -> str:
    if figure.floor is None or figure.ratio is None:
        return ""
    return f"{shown(figure.floor)} {figure.unit} ({figure.ratio:.2g} ×)"


def _spread(figure: Figure) -> str:
    return " / ".join(f"{name} {shown(value)}" for name, value in figure.spread.items())


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        figure.what,
        f"{'> ' if figure.never else ''}{shown(figure.value)} {figure.unit}",
        _spread(figure),
        _floor(figure),
        _goal(figure),
        figure.verdict,
    )


_HEAD = ("what", "measured", "spread", "bare libraries, same run", "goal", "verdict")


def show(results: Sequence[Result], facts: dict[str, Any]) -> None:
    """Print one table of all figures, then the notes."""
    console = Console(width=None if os.isatty(1) else 190)
    table = Table(*_HEAD)
    for result in results:
        table.add_section()
        for figure in result.figures:
            cells = list(_cells(figure))
            if figure.met is not None:
                cells[-1] = f"[{'green' if figure.met else 'red'}]{cells[-1]}[/]"
            table.add_row(*cells)
    console.print(table)
    for result in results:
        console.print(f"[bold]{result.title}[/]")
        for note in (*result.notes, *(f"{f.what}: {f.note}" for f in result.figures if f.note)):
            console.print(f"  • {note}", highlight=False)
    console.print(_facts(facts), highlight=False)


def _facts(facts: dict[str, Any]) -> str:
    libraries = ", ".join(f"{name} {facts[name]}" for name in _LIBRARIES)
    return (
        f"{facts['cores']} cores of {facts['processor']}, {facts['system']}, Python {facts['python']}, {libraries}, "
        f"PostgreSQL 16 with synchronous commit, loopback; {facts['measured_utc']}; "
        f"load average {facts['load_average']}"
    )


def save(results: Sequence[Result], facts: dict[str, Any], folder: Path) -> None:
    """Write bench.json and bench.md."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        "machine": facts,
        "results": [
            {
                "name": result.name,
                "title": result.title,
                "figures": [figure.as_json() for figure in result.figures],
                "notes": list(result.notes),
            }
            for result in results
        ],
    }
    (folder / "bench.json").write_text(
        json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    lines = [f"| {' | '.join(_HEAD)} |", f"|{' --- |' * len(_HEAD)}"]
    lines += [f"| {' | '.join(_cells(figure))} |" for result in results for figure in result.figures]
    lines += ["", _facts(facts) + "."]
    (folder / "bench.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
