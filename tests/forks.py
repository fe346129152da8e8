"""Processes of a module that is imported once: each is forked from one that has done what they all begin with.

A fork is a process like any other, to be spoken to, frozen and killed; only its imports are not paid again.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

ROOT = Path(__file__).parent.parent
LARGEST = 65536  # bytes of an order


class Forks:
    """Where the processes of one module come from. The module has `main(arguments)`, and may have `prepare()`."""

    def __init__(self, module: Path) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._one = Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__)), str(theirs.fileno()), module.stem],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": f"{module.parent}:{ROOT}"},
            )

    def start(self, *arguments: str) -> Forked:
        """One more process, with these arguments; what it writes to stderr goes nowhere."""
        hears, ours = os.pipe()
        theirs, says = os.pipe()
        with self._one:
            socket.send_fds(self._orders, [json.dumps({"start": arguments}).encode()], [hears, says])
            pid = self._answer()
        for end in (hears, says):
            os.close(end)
        assert isinstance(pid, int)
        return Forked(self, pid, ours, theirs)

    def ended(self, pid: int, *, wait: bool) -> int | None:
        """How a process ended: its exit code or the negative number of its signal; None while it lives."""
        with self._one:
            self._orders.send(json.dumps({"ended": pid, "wait": wait}).encode())
            return self._answer()

    def _answer(self) -> int | None:
        answer = self._orders.recv(LARGEST)
        assert answer, "the process that forks is gone"
        found: int | None = json.loads(answer)
        return found

    def close(self) -> None:
        """End it, and with it all that came from it."""
        self._orders.close()
        self._process.wait()


class Forked:
    """One process, with the ends of its stdin and stdout."""

    def __init__(self, forks: Forks, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "w", buffering=1, encoding="utf-8")
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self._forks = forks
        self._code: int | None = None

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:  # until that is asked it keeps its number, dead or alive
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """How it ended, or None."""
        if self._code is None:
            self._code = self._forks.ended(self.pid, wait=False)
        return self._code

    def kill(self) -> int:
        """End it without a warning (SIGKILL), if it still lives; when this returns it is gone, and its port free."""
        self.send_signal(signal.SIGKILL)
        if self._code is None:
            self._code = self._forks.ended(self.pid, wait=True)
        assert self._code is not None
        return self._code

    def close(self) -> None:
        """Close both ends; it may be gone already."""
        for end in (self.stdin, self.stdout):
            try:
                end.close()
            except BrokenPipeError:  # something was still to be said
                continue


def _fork(module: Any, arguments: Sequence[str], streams: Sequence[int], orders: socket.socket) -> int:
    if child := os.fork():
        return child
    code = 1
    try:
        orders.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.enable()
        module.main(list(arguments))
        sys.stdout.flush()
        code = 0
    finally:
        os._exit(code)


def _serve(orders: socket.socket, module: Any) -> NoReturn:
    living: set[int] = set()
    while True:
        given, streams, _, _ = socket.recv_fds(orders, LARGEST, 2)
        if not given:
            break
        order = json.loads(given)
        answer: int | None
        if "start" in order:
            answer = _fork(module, order["start"], streams, orders)
            living.add(answer)
            for stream in streams:
                os.close(stream)
        else:
            ended, status = os.waitpid(order["ended"], 0 if order["wait"] else os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
            living.discard(ended)
        orders.send(json.dumps(answer).encode())
    for child in living:
        os.kill(child, signal.SIGKILL)
    sys.exit()


if __name__ == "__main__":
    gc.disable()  # until all is imported and built, of which nothing is garbage
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever gives the orders ends it
    loaded = importlib.import_module(sys.argv[2])
    getattr(loaded, "prepare", lambda: None)()
    gc.freeze()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # what went wrong before this is still to be seen
    _serve(socket.socket(fileno=int(sys.argv[1])), loaded)
