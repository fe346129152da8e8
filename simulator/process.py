"""A plant in a process of its own, for tests and demonstrations that start, kill and restart one."""

from __future__ import annotations

import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
ANY_PORT: Final = "opc.tcp://127.0.0.1:0/plant"


class PlantProcess:
    """``python -m simulator plant …``, answering when ``start`` returns; use it as a context manager.

    ``endpoint`` is the one with the real port: pass it to the next ``start`` to come back at the same place.
    """

    def __init__(self, process: subprocess.Popen[str], endpoint: str, stderr: IO[str]) -> None:
        self.process = process
        self.endpoint = endpoint
        self._stderr = stderr

    @classmethod
    def start(cls, *arguments: str, endpoint: str = ANY_PORT, deadline_s: float = 30.0) -> Self:
        """Start and wait for the ready line. ``RuntimeError`` with what it wrote to stderr if none comes."""
        stderr = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed in stop
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "plant", "--endpoint", endpoint, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        line = _line(process, deadline_s)
        if line.startswith("plant ready "):
            return cls(process, line.split()[-1], stderr)
        process.kill()
        cls(process, "", stderr).stop(keep_stderr=True)
        stderr.seek(0)
        said = stderr.read()
        stderr.close()
        raise RuntimeError(
            f"'plant ready' was expected within {deadline_s:g} s, found {line!r}; stderr: {said}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, *, keep_stderr: bool = False) -> int:
        """Ask it to end (SIGTERM), insist after 10 s, and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._ended(keep_stderr=keep_stderr)

    def kill(self) -> int:
        """End it without a warning (SIGKILL)."""
        self.process.kill()
        return self._ended(keep_stderr=False)

    def _ended(self, *, keep_stderr: bool) -> int:
        code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        if not keep_stderr:
            self._stderr.close()
        return code


def _line(process: subprocess.Popen[str], deadline_s: float) -> str:
    if process.stdout is None:
        return ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(deadline_s) else ""
