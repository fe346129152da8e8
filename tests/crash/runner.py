"""A real bridge process that dies, or stands still, at a marked point. Run as a program; production code is untouched.

It forks a process for each line on its stdin, so that a second of imports is paid once: a JSON object with
`settings` (as of bridge.toml), `log` (a file for its output) and `mark`, a list that is empty or holds action, point
and number. It answers with the process id, and writes how that ended, as a negative signal number or an exit
code, to the log's name with `.exit` behind it. Action is `kill` or `stop`; number says at which passage of the
point it happens, from 1. Points, in the order in which a command passes them:

claim     the claim is committed, nothing has been checked yet
intent    the intent is about to be committed
intended  the intent is committed, nothing else has happened since
send      the lease was looked at once more, no byte has left yet
sending   the write has been handed to the link, its answer is not there yet
sent      the write was answered, nothing has been read back
verdict   the value was read back, the verdict is about to be committed
done      the verdict is committed
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop

from bridge.domain.command import Command, Verdict
from bridge.domain.lifecycle import RecommendationStatus
from bridge.domain.tag import Tag, Value
from bridge.links.opcua import OpcUaLink
from bridge.ports import WriteOutcome
from bridge.settings import Settings
from bridge.store.postgres import PostgresStore
from bridge.wiring import run_bridge

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Mark:
    """Strikes once, when its point is passed for the given time."""

    def __init__(self, action: str, point: str, number: int) -> None:
        self._signal = SIGNALS[action]
        self._point = point
        self._left = number

    def passed(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            self.strike()

    def strike(self) -> None:
        os.kill(os.getpid(), self._signal)

    def counts(self, point: str) -> bool:
        """Whether this is the passage; for a point that strikes a little later."""
        if point != self._point:
            return False
        self._left -= 1
        return self._left == 0


def set_mark(mark: Mark) -> None:
    """Put the mark into store and link, around their real methods."""
    take, intend, record = (
        PostgresStore.take_commands,
        PostgresStore.record_intent,
        PostgresStore.record_verdicts,
    )
    write = OpcUaLink.write

    async def take_commands(self: PostgresStore, routes: Sequence[str], max_commands: int) -> list[Command]:
        commands = await take(self, routes, max_commands)
        if commands:
            mark.passed("claim")
        return commands

    async def record_intent(self: PostgresStore, command_ids: Sequence[str]) -> set[str]:
        mark.passed("intent")
        allowed = await intend(self, command_ids)
        mark.passed("intended")
        return allowed

    async def record_verdicts(
        self: PostgresStore, verdicts: Sequence[Verdict]
    ) -> list[tuple[str, RecommendationStatus]]:
        mark.passed("verdict")
        finished = await record(self, verdicts)
        mark.passed("done")
        return finished

    async def write_tags(
        self: OpcUaLink, writes: Sequence[tuple[Tag, Value]], *, deadline_s: float
    ) -> list[WriteOutcome]:
        mark.passed("send")
        if mark.counts("sending"):
            # The first turn of the loop after the call on the socket.
            asyncio.get_running_loop().call_soon(mark.strike)
        outcomes = await write(self, writes, deadline_s=deadline_s)
        mark.passed("sent")
        return outcomes

    replacements: dict[tuple[type, str], Callable[..., Any]] = {
        (PostgresStore, "take_commands"): take_commands,
        (PostgresStore, "record_intent"): record_intent,
        (PostgresStore, "record_verdicts"): record_verdicts,
        (OpcUaLink, "write"): write_tags,
    }
    for (owner, name), replacement in replacements.items():
        setattr(owner, name, replacement)


def run(settings: Settings, mark: Sequence[str]) -> None:
    """Run the bridge until SIGTERM, or until the mark strikes."""
    if mark:
        action, point, number = mark
        set_mark(Mark(action, point, int(number)))

    def ready() -> None:
        sys.stdout.write("ready\n")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(run_bridge(settings, ready=ready))


def fork(order: dict[str, Any]) -> int:
    """A child that is a bridge; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
        sys.stdout = os.fdopen(1, "w", buffering=1)
        run(Settings(**order["settings"]), order["mark"])
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def main() -> None:
    """Fork on demand and note how each child ended, until stdin ends."""
    logs: dict[int, str] = {}
    while True:
        asked, _, _ = select.select([sys.stdin], [], [], 0.02)
        if asked:
            line = sys.stdin.readline()
            if not line:
                break
            order = json.loads(line)
            child = fork(order)
            logs[child] = order["log"]
            sys.stdout.write(f"{child}\n")
            sys.stdout.flush()
        while logs:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if not ended:
                break
            Path(f"{logs.pop(ended)}.exit").write_text(
                str(os.waitstatus_to_exitcode(status)), encoding="utf-8"
            )
    for child in logs:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
