"""A workspace in a process of its own, for tests, benchmarks and demonstrations that act on it from outside."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import requests

ROOT: Final = Path(__file__).resolve().parent.parent.parent


class ControlRefused(Exception):
    """The workspace answered an order with an error; the message is its own."""


class WorkspaceProcess:
    """``python -m simulator.workspace …``, answering when ``start`` returns; use it as a context manager.

    ``ready`` is what it said about itself: addresses and demo credentials.
    """

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any], stderr: IO[str]) -> None:
        self.process = process
        self.ready = ready
        self._stderr = stderr
        self._session = requests.Session()
        self._session.trust_env = False

    @classmethod
    def start(cls, *arguments: str, port: int = 0, deadline_s: float = 60.0) -> Self:
        """Start and wait for the ready line. ``RuntimeError`` with what it wrote to stderr if none comes."""
        stderr = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed in stop
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator.workspace", "--port", str(port), *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        line = _line(process, deadline_s)
        if line.startswith("workspace ready "):
            return cls(process, json.loads(line.split(" ", 3)[3]), stderr)
        process.kill()
        failed = cls(process, {}, stderr)
        said = failed.log()
        failed.stop()
        raise RuntimeError(
            f"'workspace ready' was expected within {deadline_s:g} s, found {line!r}; stderr: {said}"
        )

    @property
    def host(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return str(self.ready["host"])

    @property
    def user(self) -> str:
        """The engineer, who owns the Lakebase project."""
        return str(self.ready["user"])

    @property
    def token(self) -> str:
        """The engineer's access token."""
        return str(self.ready["token"])

    @property
    def client_id(self) -> str:
        """Of the service principal."""
        return str(self.ready["client_id"])

    @property
    def client_secret(self) -> str:
        """Of the service principal."""
        return str(self.ready["client_secret"])

    def fault(self, text: str) -> str:
        """Set off a fault; what it did. ``ControlRefused`` for words that mean nothing."""
        return str(self._order("POST", "faults", json={"fault": text})["done"])

    def clear(self, name: str = "") -> None:
        """End one fault, or all."""
        self._order("DELETE", "faults", params={"name": name} if name else {})

    def advance(self, seconds: float) -> None:
        """Let so much time pass on the workspace's clock."""
        self._order("POST", "clock", json={"advance_s": seconds})

    def requests(self) -> list[dict[str, Any]]:
        """What has arrived since the start or the last reset, oldest first."""
        found: list[dict[str, Any]] = self._order("GET", "requests")["requests"]
        return found

    def state(self) -> dict[str, Any]:
        """Numbers about Lakebase and the warehouse."""
        return self._order("GET", "state")

    def reset(self) -> None:
        """As after the start, but for clock, script and database."""
        self._order("POST", "reset")

    def script(self, script: str | dict[str, Any]) -> None:
        """Answer from another script, TOML or a dictionary, from now on."""
        text = script if isinstance(script, str) else json.dumps(script)
        self.ready |= self._order("PUT", "script", data=text.encode())

    def _order(self, verb: str, name: str, **arguments: Any) -> dict[str, Any]:
        answer = self._session.request(verb, f"{self.host}/.simulator/{name}", timeout=30, **arguments)
        found: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            raise ControlRefused(str(found.get("message", found)))
        return found

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
        return self._ended()

    def kill(self) -> int:
        """End it without a warning (SIGKILL)."""
        self.process.kill()
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait()
        self._session.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._stderr.close()
        return code


def _line(process: subprocess.Popen[str], deadline_s: float) -> str:
    if process.stdout is None:
        return ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline().strip() if selector.select(deadline_s) else ""
