"""Processes of the stand: `python -m benchmarks.child database FOLDER | floor URL ENDPOINT | hmi URL SECONDS`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import psycopg
import uvloop

from benchmarks import bare, bare_hmi
from bridge.store.embedded import serve


def database(folder: str) -> None:
    """Serve PostgreSQL as shipped, durability included, and note commit times: they are the stop-watch."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    with serve(Path(folder)) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter system set track_commit_timestamp = on")
    with serve(Path(folder)) as url:
        print(url, flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


def main(arguments: list[str]) -> int:
    """Run one of the processes until SIGTERM."""
    match arguments:
        case ["database", folder]:
            database(folder)
        case ["floor", url, endpoint]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(bare.execute_approved(url, endpoint))
        case ["hmi", url, interval_s]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(bare_hmi.serve_until_told(url, float(interval_s)))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
