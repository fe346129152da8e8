"""The stage of the demo: its processes, its log for a person, and the bridge's own commands."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, LiteralString

from rich.console import Console

from simulator.demo_sql import NotAnswered, PostgresReader, Reader

ROOT: Final = Path(__file__).resolve().parent.parent

START_S: Final = 120.0  # a JVM on a busy machine takes half a minute
_POLL_S: Final = 0.2
_STOP_S: Final = 15.0


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass
class Child:
    """One process of the demo; its words on stderr go to a file."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def last_words(self) -> str:
        """The end of its log, for a person who wants to know why."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])


@dataclass
class Demo:
    """The processes of one demo, in the order in which they were started."""

    folder: Path
    console: Console
    environment: dict[str, str]
    children: list[Child] = field(default_factory=list)
    started_s: float = field(default_factory=time.monotonic)
    _reader: Reader | None = None

    def say(self, who: str, text: str, style: str = "") -> None:
        """One line of the log: when, who, what."""
        self.console.print(
            f"[dim]{datetime.now(UTC):%H:%M:%S}[/]  [bold]{who:<9}[/] ", end="", markup=True, highlight=False
        )
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def start(self, name: str, *command: str | Path, **environment: str) -> Child:
        """Start a process; more of its environment by name.

        In a session of its own, so that Ctrl-C reaches us alone and we stop all in order.
        """
        log = self.folder / f"{name}.log"
        with log.open("w", encoding="utf-8") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                env={**self.environment, **environment},
                cwd=ROOT,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def stop(self) -> None:
        """Stop everything, last started first: the bridge, then the plant, then the database."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # an impatient second Ctrl-C would leave processes behind
        self.read_with(None)
        while self.children:
            self.end(self.children[-1])

    def end(self, child: Child) -> None:
        """Stop one process and wait for its end."""
        if child.process.poll() is None:
            child.process.terminate()
            try:
                child.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
                self.say(child.name, f"did not stop within {_STOP_S:g} s and was killed", "red")
        if child.process.stdout is not None:
            child.process.stdout.close()
        self.children.remove(child)

    def bridge(self, *arguments: str, **environment: str) -> str:
        """Run one command of the bridge to its end; what it printed. ``environment``: more of it, by name."""
        try:
            done = subprocess.run(
                [script(), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env={**self.environment, **environment},
                cwd=ROOT,
                timeout=START_S,
                check=False,
            )
        except subprocess.TimeoutExpired as problem:
            words = f"`ignition-bridge {' '.join(arguments)}` did not end within {START_S:g} s"
            raise DemoError(f"{words}; the logs are in {self.folder}") from problem
        if done.returncode != 0:
            said = (done.stderr + done.stdout).strip()
            raise DemoError(f"`ignition-bridge {' '.join(arguments)}` ended with {done.returncode}: {said}")
        return done.stdout

    def ask(self, *arguments: str, **environment: str) -> dict[str, Any]:
        """The same with ``--json``."""
        answer: dict[str, Any] = json.loads(self.bridge(*arguments, "--json", **environment))
        return answer

    def read_with(self, reader: Reader | None) -> None:
        """Look with this reader from now on; None: by the operators' URL, once somebody looks."""
        if self._reader is not None:
            self._reader.close()
        self._reader = reader

    def rows(self, statement: LiteralString, *values: object) -> list[dict[str, Any]]:
        """What plain SQL on the agent's tables gives, as the operators' login may read them.

        For looking again and again; a command of the bridge would be a process each time.
        """
        try:
            if self._reader is None:
                self._reader = PostgresReader(self.environment["BRIDGE_STORE__OPERATOR_URL"])
            return self._reader.rows(statement, values)
        except NotAnswered as problem:
            raise DemoError(f"the database does not answer: {problem}; logs: {self.folder}") from problem

    def wait_for(self, what: str, look: Callable[[], Any], within_s: float) -> Any:
        """Look again and again until there is something to see."""
        deadline_s = time.monotonic() + within_s
        while True:
            self.all_alive()
            if (found := look()) is not None:
                return found
            if time.monotonic() > deadline_s:
                raise DemoError(f"{what} did not happen within {within_s:g} s; the logs are in {self.folder}")
            time.sleep(_POLL_S)

    def all_alive(self) -> None:
        """Every process has to be there all the time."""
        for child in self.children:
            code = child.process.poll()
            if code is not None:
                raise DemoError(f"the {child.name} ended with {code}; its last words:\n{child.last_words()}")


def near(path: Path) -> Path:
    """The path as somebody in the project's folder would write it."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def script() -> Path:
    """The bridge's console script, beside the Python that runs this."""
    script = Path(sys.executable).parent / "ignition-bridge"
    if not script.is_file():
        raise DemoError(f"{script} is missing; install the project: pip install -e .")
    return script


def first_line(child: Child) -> str:
    """What a process prints when it is ready."""
    stream: IO[str] | None = child.process.stdout
    assert stream is not None
    readable, _, _ = select.select([stream], [], [], START_S)
    line = stream.readline().strip() if readable else ""
    if not line:
        raise DemoError(f"the {child.name} was not ready within {START_S:g} s:\n{child.last_words()}")
    return line
