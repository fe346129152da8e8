"""Processes of the stand: `python -m benchmarks.child database FOLDER | floor URL ENDPOINT | hmi URL SECONDS`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import psycopg
import uvloop

from benchmarks import bare, bare_hmi, numbers, published, sparkplug_stub
from bridge.store.embedded import serve


def database(folder: str, port: int = 0) -> None:
    """Serve PostgreSQL as shipped, durability included, and note commit times: they are the stop-watch."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    if not Path(folder).exists():
        with serve(Path(folder)) as url, psycopg.connect(url, autocommit=True) as connection:
            connection.execute("alter system set track_commit_timestamp = on")
    with serve(Path(folder), port) as url:
        print(url, flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


def main(arguments: list[str]) -> int:
    """Run one of the processes until SIGTERM."""
    match arguments:
        case ["database", folder]:
            database(folder)
        case ["database", folder, port]:
            database(folder, int(port))
        case ["numbers", host, port, topics, rate_per_s]:
            numbers.publish_until_told(host, int(port), int(topics), float(rate_per_s))
        case ["floor", url, endpoint]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(bare.execute_approved(url, endpoint))
        case ["published", kind, port, nodes, rate_per_s]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(published.serve_until_told(kind, int(port), int(nodes), float(rate_per_s)))
        case ["node", metrics]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(sparkplug_stub.serve(int(metrics)))
        case ["link", broker, metrics]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(sparkplug_stub.hold(broker, int(metrics)))
        case ["genie", kind, host, token, questions, seconds]:
            from benchmarks import genie_polls  # with requests; the memory of others here is measured too

            if kind == "bare":
                genie_polls.bare(host, token, int(questions), float(seconds))
            else:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(genie_polls.ours(host, token, int(questions), float(seconds)))
        case ["hmi", url, interval_s]:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(bare_hmi.serve_until_told(url, float(interval_s)))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
