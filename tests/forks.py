"""Processes of a module that is imported once: each is forked from one that has done what they all begin with.

A fork is a process like any other, to be spoken to, frozen and killed; only its imports are not paid again.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

ROOT = Path(__file__).parent.parent
LARGEST = 2**20  # bytes of an order


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
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": f"{module.parent}:{ROOT}:{Path(__file__).parent}"},
            )

    def start(self, *arguments: str, stderr: int | None = None) -> Forked:
        """One more process, with these arguments and this environment; `stderr` is a file, by itself none."""
        hears, ours = os.pipe()
        theirs, says = os.pipe()
        hushed = os.open(os.devnull, os.O_WRONLY)
        order = {"start": arguments, "environment": dict(os.environ)}
        try:
            with self._one:
                streams = [hears, says, hushed if stderr is None else stderr]
                socket.send_fds(self._orders, [json.dumps(order).encode()], streams)
                pid = self._answer()
        finally:
            for end in (hears, says, hushed):
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
    """One process, with the ends of its stdin and stdout. It leaves without what `atexit` would do."""

    def __init__(self, forks: Forks, pid: int, stdin: int, stdout: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "w", buffering=1, encoding="utf-8")
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self._forks = forks
        self._code: int | None = None
        self._one_asks = Lock()  # how it ended is told once

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # until that is asked it keeps its number, dead or alive
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a warning (SIGKILL), if it still lives."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """How it ended, or None."""
        return self._ended(wait=False)

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has; then it is gone, and its port free. As Popen's in all else."""
        if self.poll() is None:
            try:
                end = os.pidfd_open(self.pid)
            except ProcessLookupError:  # another thread has just been told
                return self._told()
            try:
                if not select.select([end], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
            finally:
                os.close(end)
        return self._told()

    def _told(self) -> int:
        code = self._ended(wait=True)
        assert code is not None
        return code

    def _ended(self, *, wait: bool) -> int | None:
        with self._one_asks:
            if self._code is None:
                self._code = self._forks.ended(self.pid, wait=wait)
            return self._code

    def close(self) -> None:
        """Close both ends; it may be gone already."""
        for end in (self.stdin, self.stdout):
            try:
                end.close()
            except BrokenPipeError:  # something was still to be said
                continue


def _fork(module: Any, order: dict[str, Any], streams: Sequence[int], orders: socket.socket) -> int:
    if child := os.fork():
        return child
    code = 1
    try:
        orders.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(order["environment"])
        gc.enable()
        module.main(order["start"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 - as the interpreter would at a program's end
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # also where nobody reads any more: what follows is the business of the process that forks
            os._exit(code)


def _serve(orders: socket.socket, module: Any) -> NoReturn:
    living: set[int] = set()
    try:
        _obey(orders, module, living)
    finally:
        for child in living:
            os.kill(child, signal.SIGKILL)
    sys.exit()


def _obey(orders: socket.socket, module: Any, living: set[int]) -> None:
    while True:
        given, streams, _, _ = socket.recv_fds(orders, LARGEST, 3)
        if not given:
            break
        order = json.loads(given)
        answer: int | None
        if "start" in order:
            answer = _fork(module, order, streams, orders)
            living.add(answer)
            for stream in streams:
                os.close(stream)
        else:
            ended, status = os.waitpid(order["ended"], 0 if order["wait"] else os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
            living.discard(ended)
        orders.send(json.dumps(answer).encode())


if __name__ == "__main__":
    gc.disable()  # until all is imported and built, of which nothing is garbage
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever gives the orders ends it
    loaded = importlib.import_module(sys.argv[2])
    getattr(loaded, "prepare", lambda: None)()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])), loaded)
