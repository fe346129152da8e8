"""A gateway in a process of its own, for tests, benchmarks and demonstrations that give it orders."""

from __future__ import annotations

import json
import selectors
import subprocess
import tempfile
from types import TracebackType
from typing import IO, Any, ClassVar, Self

from simulator.process import Launch, Running, launch


class OrderRefused(Exception):
    """The gateway answered an order with an error; the message is its own."""


class GatewayProcess:
    """``python -m simulator gateway …``, ready when ``start`` returns; use it as a context manager."""

    launch: ClassVar[Launch] = staticmethod(launch)
    """As the plant's."""

    def __init__(self, process: Running, ready: str, stderr: IO[str]) -> None:
        self.process = process
        self.ready = ready
        self.endpoint = ready.split()[2] if ready else ""
        self._stderr = stderr

    @classmethod
    def start(cls, *arguments: str, deadline_s: float = 60.0) -> Self:
        """Start and wait for the ready line. ``RuntimeError`` with what it wrote to stderr if none comes."""
        stderr = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed in stop
        process = cls.launch("gateway", "--opcua-port", "0", *arguments, stderr=stderr.fileno())
        started = cls(process, "", stderr)
        line = started._line(deadline_s)
        if line.startswith("gateway ready "):
            return cls(process, line.strip(), stderr)
        process.kill()
        said = started.log()
        started.stop()
        raise RuntimeError(
            f"'gateway ready' was expected within {deadline_s:g} s, found {line!r}; stderr: {said}"
        )

    def order(self, line: str, *, deadline_s: float = 60.0) -> dict[str, Any]:
        """Give an order and wait for its answer. ``OrderRefused`` for an error, ``RuntimeError`` for silence."""
        if self.process.stdin is None:
            raise RuntimeError("this gateway takes no orders")
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self._line(deadline_s)
        if not answer.startswith(f"done {line} "):
            raise RuntimeError(f"an answer to {line!r} was expected, found {answer!r}; stderr: {self.log()}")
        found: dict[str, Any] = json.loads(answer[len(f"done {line} ") :])
        if found.get("error"):
            raise OrderRefused(found["error"])
        return found

    def run_timer(self, name: str) -> float:
        """One pass of a timer; its seconds. ``OrderRefused`` when the script failed or the JVM died."""
        return float(self.order(f"timer {name}")["seconds"])

    def call(self, function: str, *arguments: object) -> Any:
        """Call a function of the project's library in gateway scope; its value."""
        return self.order(f"call {function} {json.dumps(arguments)}")["value"]

    def read(self, path: str) -> tuple[Any, str]:
        """A tag's value and quality."""
        found = self.order(f"read {path}")
        return found["value"], found["quality"]

    def log(self) -> str:
        """What it wrote to stderr so far."""
        with open(f"/proc/self/fd/{self._stderr.fileno()}", encoding="utf-8") as again:
            return again.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """Ask it to end (SIGTERM), insist after 15 s, and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=15.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self._stderr.close()
        return code

    def _line(self, deadline_s: float) -> str:
        if self.process.stdout is None:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            return self.process.stdout.readline() if selector.select(deadline_s) else ""
