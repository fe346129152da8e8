"""A plant in a process of its own, for tests and demonstrations that start, kill and restart one."""

from __future__ import annotations

import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Final, Protocol, Self

ROOT: Final = Path(__file__).resolve().parent.parent
ANY_PORT: Final = "opc.tcp://127.0.0.1:0/plant"


class Running(Protocol):
    """What is used of a process, `subprocess.Popen` or another."""

    @property
    def pid(self) -> int: ...
    @property
    def stdin(self) -> IO[str] | None: ...
    @property
    def stdout(self) -> IO[str] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Launch(Protocol):
    """Starts `python -m simulator ARGUMENTS`."""

    def __call__(self, *arguments: str, stderr: int) -> Running: ...


def launch(*arguments: str, stderr: int) -> Running:
    """By a new interpreter, as a person would."""
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        bufsize=1,
    )


class PlantProcess:
    """``python -m simulator plant …``, answering when ``start`` returns; use it as a context manager.

    ``endpoint`` is the one with the real port: pass it to the next ``start`` to come back at the same place.
    """

    launch: ClassVar[Launch] = staticmethod(launch)
    """Tests start a dozen plants, and may have them forked from one that has imported everything."""

    def __init__(self, process: Running, endpoint: str, stderr: IO[str]) -> None:
        self.process = process
        self.endpoint = endpoint
        self._stderr = stderr

    @classmethod
    def start(cls, *arguments: str, endpoint: str = ANY_PORT, deadline_s: float = 30.0) -> Self:
        """Start and wait for the ready line. ``RuntimeError`` with what it wrote to stderr if none comes."""
        stderr = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed in stop
        process = cls.launch("plant", "--endpoint", endpoint, *arguments, stderr=stderr.fileno())
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
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        if not keep_stderr:
            self._stderr.close()
        return code


def _line(process: Running, deadline_s: float) -> str:
    if process.stdout is None:
        return ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline() if selector.select(deadline_s) else ""
