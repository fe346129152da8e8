"""The JVM with Jython that runs the project's scripts, as a child process that may be killed and comes back.

The child asks (tags, messages), the parent orders (timers, calls, faults); both as JSON lines. Script output and
script loggers arrive as log records of ``script.<name>``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from simulator.gateway.project import Project

JYTHON_JAR: Final = Path("/usr/share/java/jython.jar")
JDBC_JAR: Final = Path("/usr/share/java/postgresql.jar")
PACKAGES: Final = "apt-get install jython libpostgresql-jdbc-java default-jre-headless"

_BOOTSTRAP: Final = Path(__file__).parent / "jython" / "bootstrap.py"
_START_S: Final = 60.0
_STOP_S: Final = 5.0
_LINE_LIMIT: Final = 64 * 1024 * 1024
_LEVELS: Final = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40, "FATAL": 50}

_log = logging.getLogger("gateway.scripts")

Answerer = Callable[[dict[str, Any]], Awaitable[Any]]


class ScriptError(Exception):
    """The scripts cannot run: something is not installed, or does not compile. The message says what to do."""


class ScriptDied(Exception):
    """The JVM went while it was asked for something."""


class Refused(Exception):
    """What the script asks for raises in the script; the message is the Java exception's."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where Java, Jython and the JDBC driver are."""

    java: str = "java"
    jython: Path = JYTHON_JAR
    jdbc: Path = JDBC_JAR

    def check(self) -> str:
        """The path of java. Raises ``ScriptError`` naming what is missing and what installs it."""
        java = shutil.which(self.java)
        missing = [] if java else [f"Java ({self.java})"]
        missing += [
            f"{name} ({jar})"
            for name, jar in (("Jython 2.7", self.jython), ("the PostgreSQL JDBC driver", self.jdbc))
            if not jar.is_file()
        ]
        if missing or java is None:
            raise ScriptError(f"the gateway's scripts need {' and '.join(missing)}; as root: {PACKAGES}")
        return java


def jdbc_source(url: str) -> dict[str, Any]:
    """A ``postgresql://`` URL as JDBC wants it. Raises ``ScriptError`` without repeating a password."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not parts.path.strip("/"):
        raise ScriptError("--database wants postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
    options = dict(parse_qsl(parts.query))
    properties = {"user": unquote(parts.username or ""), "password": unquote(parts.password or "")}
    properties["ApplicationName"] = options.pop("application_name", "Ignition gateway stand-in")
    query = f"?{urlencode(options)}" if options else ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return {
        "url": f"jdbc:postgresql://{host}:{parts.port or 5432}{parts.path}{query}",
        "properties": {key: value for key, value in properties.items() if value},
    }


class ScriptHost:
    """Start it with ``run`` in a task; ``ready`` is set while scripts can run."""

    def __init__(
        self,
        project: Project,
        *,
        target: str,
        databases: Mapping[str, str],
        hold_timers: bool,
        machine: Machine,
        answer: Answerer,
    ) -> None:
        self._java = machine.check()
        self._machine = machine
        self._start_line = _start_line(project, target, databases, hold_timers)
        self._answer = answer
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._asked: set[asyncio.Task[None]] = set()
        self._jdbc_up = True
        self.ready = asyncio.Event()
        self.starts = 0
        """How often scripts became ready: 1, and one more for each death."""

    async def run(self) -> None:
        """Keep the JVM running until cancelled. Raises ``ScriptError`` when it cannot start at all."""
        try:
            while True:
                before = self.starts
                await self._serve()
                self.ready.clear()
                if self.starts == before:
                    raise ScriptError("Jython ended before it was ready; its words are in the log")
                _log.error("the JVM with the scripts died; it is started again")
        finally:
            self.ready.clear()
            await self._stop()

    async def _serve(self) -> None:
        with tempfile.TemporaryFile() as words:
            process = self._process = await asyncio.create_subprocess_exec(
                self._java,
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",  # a short life on few cores: quick to warm up is what counts
                "-Xshare:auto",
                "-Xmx256m",
                "-Dpython.home=/usr/share/jython",
                "-Dpython.cachedir.skip=true",
                "-Dpython.import.site=false",
                "-cp",
                f"{self._machine.jython}:{self._machine.jdbc}",
                "org.python.util.jython",
                str(_BOOTSTRAP),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=words,
                limit=_LINE_LIMIT,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops this one in order
            )
            self._write_line(self._start_line)
            if not self._jdbc_up:
                self._send({"do": "jdbc", "up": False})
            await self._listen(process)
            await process.wait()
            words.seek(0)
            for line in words.read().decode("utf-8", "replace").splitlines():
                _log.warning("jvm: %s", line)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ScriptDied("the JVM died before it answered"))
        self._waiting.clear()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            try:
                message = json.loads(line)
            except ValueError:
                _log.warning("jvm: %s", line.decode("utf-8", "replace").rstrip())
                continue
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        if "log" in message:
            level, name, text = message["log"]
            logging.getLogger(f"script.{name}").log(_LEVELS.get(level, 20), "%s", text)
        elif "ask" in message or "message" in message:
            task = asyncio.create_task(self._reply(message))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
        elif "done" in message:
            future = self._waiting.pop(message["done"], None)
            if future is not None and not future.done():
                future.set_result(message)
        elif "timer" in message:
            _log.debug("timer %s took %.3f s", message["timer"], message["seconds"])
        elif "ready" in message:
            self.starts += 1
            self.ready.set()
        elif "broken" in message:
            raise ScriptError("\n  ".join(["scripts of the project do not compile:", *message["broken"]]))

    async def _reply(self, message: dict[str, Any]) -> None:
        asker = self._process
        try:
            answer = {"answer": await self._answer(message)}
        except Refused as refusal:
            answer = {"refused": str(refusal)}
        if "id" in message and asker is self._process:  # the next JVM has not asked
            self._send({"do": "answer", "id": message["id"], **answer})

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────

    async def run_timer(self, name: str) -> dict[str, Any]:
        """Run a timer's script now, after a pass under way; ``{"seconds", "error"}``. Raises ``ScriptDied``."""
        return await self._order({"do": "timer", "name": name})

    async def call(self, function: str, arguments: list[Any]) -> dict[str, Any]:
        """Call a function of the library in gateway scope; ``{"value", "error"}``. Raises ``ScriptDied``."""
        return await self._order({"do": "call", "function": function, "arguments": arguments})

    def deliver(self, name: str, payload: Any) -> None:
        """Hand a message to the project's gateway message handler."""
        self._send({"do": "message", "name": name, "payload": payload})

    def set_jdbc(self, *, up: bool) -> None:
        """Cut all database connections and allow no new one, or allow them again."""
        self._jdbc_up = up
        self._send({"do": "jdbc", "up": up})

    def kill(self) -> None:
        """End the JVM without a warning."""
        if self._process is not None and self._process.returncode is None:
            self.ready.clear()
            self._process.kill()

    async def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        await self.ready.wait()
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._send({**order, "id": number})
        return await future

    def _send(self, message: dict[str, Any]) -> None:
        self._write_line(json.dumps(message))

    def _write_line(self, line: str) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(line.encode() + b"\n")

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._send({"do": "stop"})
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _start_line(project: Project, target: str, databases: Mapping[str, str], hold_timers: bool) -> str:
    events = [*project.timers, *project.messages]
    return json.dumps(
        {
            "target": target,
            "hold_timers": hold_timers,
            "databases": {name: jdbc_source(url) for name, url in databases.items()},
            "project": {
                "name": project.name,
                "scripts": project.scripts,
                "events": [{"path": event.path, "code": event.code} for event in events],
                "timers": [{**asdict(timer), "code": None} for timer in project.timers],
                "messages": [{**asdict(message), "code": None} for message in project.messages],
                "queries": {path: asdict(query) for path, query in project.queries.items()},
            },
        }
    )
