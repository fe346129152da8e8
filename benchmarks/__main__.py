"""`python -m benchmarks [NAME…] [--quick]`, `python -m benchmarks nab [--speed S]`, `python -m benchmarks outage10`."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import uvloop
from asyncua.ua.uaerrors import UaError

from benchmarks import nab, outage10
from benchmarks.figures import Result
from benchmarks.report import load_average, machine, save, show
from benchmarks.stand import ROOT, stand
from bridge.errors import BridgeError

NAMES = (
    "approval",
    "recommendation",
    "intake",
    "commands",
    "resumption",
    "outage",
    "footprint",
    "rules",
    "ignition",
    "gateway",
    "hmi",
    "buffer",
    "publish",
    "mqtt",
    "workspace",
    "warehouse",
    "imports",
)


ALONE = ("nab", "outage10")  # longer than the others, and each with a verdict of its own
WIRED = ("resumption", "outage")  # they break wires in this process, which uvloop's sockets do not allow


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """As usual, except for what a cut wire cancels on purpose: Python 3.11 reports that as an error."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def measure(names: Sequence[str], *, quick: bool) -> tuple[list[Result], list[str]]:
    """Run benchmarks one after the other on one stand; what was found, and what could not be measured."""
    results, failures = [], []
    with stand() as started:
        for name in names:
            began_s = time.monotonic()
            print(f"{name} …  load average {load_average()}", flush=True)
            work = importlib.import_module(f"benchmarks.{name}").measure(started, quick=quick)
            try:
                with asyncio.Runner(loop_factory=None if name in WIRED else uvloop.new_event_loop) as runner:
                    runner.get_loop().set_exception_handler(_complain)
                    results.append(runner.run(work))
            except (RuntimeError, TimeoutError, OSError, psycopg.Error, UaError, BridgeError) as problem:
                failures.append(f"{name}: not measured: {type(problem).__name__}: {problem}")
                print(failures[-1], flush=True)
            print(f"{name} took {time.monotonic() - began_s:.0f} s", flush=True)
    return results, failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, save; 1 when the recording (`nab`) is not found as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; or {', '.join(ALONE)}; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does the harness run?")
    parser.add_argument("--speed", type=float, default=nab.SPEED, help="of nab: recorded seconds per second")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder for bench.json and bench.md")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in (*NAMES, *ALONE)]
    if unknown or (set(ALONE) & set(options.names) and len(options.names) > 1):
        wanted = f"names out of {', '.join(NAMES)}, or one of {', '.join(ALONE)} alone"
        parser.error(f"wanted {wanted}; found {' '.join(options.names)}")
    # asyncua tells of each session and each cut; here they are made on purpose.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    if options.names == ["nab"]:
        return nab.command(options.speed, options.out)
    if options.names == ["outage10"]:
        return outage10.command(quick=options.quick)
    results, failures = measure(options.names or NAMES, quick=options.quick)
    facts = machine()
    show(results, facts)
    save(results, facts, options.out)
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
