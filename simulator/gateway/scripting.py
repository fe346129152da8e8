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
from functools import partial
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


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a query's result; ``type`` is the Java class of its values, as JDBC names it."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True)
class QueryAnswer:
    """What a named query gave. Dates are ``{"date": ms}``; an update gives one row with the count.

    With ``error`` (the database's own sentence) there are neither columns nor rows.
    """

    kind: str
    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: str | None = None

    def scalar(self) -> Any:
        """The first column of the first row; ``None`` without a row."""
        return self.rows[0][0] if self.rows else None

    def objects(self) -> list[dict[str, Any]]:
        """The rows by column name, as return format json has them."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]

    def dataset(self) -> dict[str, Any]:
        """As arguments, properties and answers carry a dataset to scripts and back."""
        return {
            "dataset": {
                "columns": [asdict(column) for column in self.columns],
                "rows": [list(row) for row in self.rows],
            }
        }


@dataclass(frozen=True, kw_only=True)
class ScriptAnswer:
    """What a Perspective script returned, or why it failed (already logged); dates are ``{"date": ms}``."""

    value: Any
    error: str | None
    seconds: float


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
        perspective: Answerer | None = None,
    ) -> None:
        self._java = machine.check()
        self._machine = machine
        self._start_line = _start_line(project, target, databases, hold_timers)
        self._answer = answer
        self.perspective = perspective
        """Answers what scripts ask about sessions, ``{"ask": "perspective", "op": …}``; may be set later."""
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
            self._fail_waiting()

    async def _serve(self) -> None:
        with tempfile.TemporaryFile() as words:
            process = self._process = await asyncio.create_subprocess_exec(
                self._java,
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",  # a short life on few cores: quick to warm up is what counts
                "-Xshare:auto",
                "-XX:+UnlockDiagnosticVMOptions",
                "-XX:-BytecodeVerificationRemote",  # a quarter of the start, for jars of the distribution
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
        self._fail_waiting()

    def _fail_waiting(self) -> None:
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
            task.add_done_callback(partial(self._replied, message, self._process))
        elif "done" in message:
            future = self._waiting.pop(message["done"], None)
            if future is not None and not future.done():
                future.set_result(message)
        elif "timer" in message:
            _log.debug("timer %s took %.3f s", message["timer"], message["seconds"])
        elif "ready" in message:
            self.starts += 1
            self.ready.set()
            if self.perspective is not None:
                self._send({"do": "warm"})  # the first page of a session finds everything there
        elif "broken" in message:
            raise ScriptError("\n  ".join(["scripts of the project do not compile:", *message["broken"]]))

    async def _reply(self, message: dict[str, Any]) -> None:
        asker = self._process
        try:
            answer = {"answer": await self._answerer(message)(message)}
        except Refused as refusal:
            answer = {"refused": str(refusal)}
        if asker is self._process:  # the next JVM has not asked
            self._answered(message, answer)

    def _replied(
        self, message: dict[str, Any], asker: asyncio.subprocess.Process | None, task: asyncio.Task[None]
    ) -> None:
        """An answerer that broke must not leave the script waiting: it hears of it as a refusal."""
        self._asked.discard(task)
        if task.cancelled() or (broken := task.exception()) is None:
            return
        _log.error("no answer to %s", message.get("op", message.get("ask")), exc_info=broken)
        if asker is self._process:
            self._answered(message, {"refused": f"the gateway failed: {type(broken).__name__}: {broken}"})

    def _answered(self, message: dict[str, Any], answer: dict[str, Any]) -> None:
        if "id" in message:
            self._send({"do": "answer", "id": message["id"], **answer})

    def _answerer(self, message: dict[str, Any]) -> Answerer:
        if message.get("ask") != "perspective":
            return self._answer
        return self.perspective or _nobody_looks

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────

    async def run_timer(self, name: str) -> dict[str, Any]:
        """Run a timer's script now, after a pass under way; ``{"seconds", "error"}``. Raises ``ScriptDied``."""
        return await self._order({"do": "timer", "name": name})

    async def query(self, path: str, parameters: Mapping[str, Any]) -> QueryAnswer:
        """Run a named query of the project; dates among the parameters are ``{"date": ms}``.

        What the database refuses is the answer's ``error``. Raises ``ScriptDied``.
        """
        done = await self._order({"do": "query", "path": path, "parameters": dict(parameters)})
        return QueryAnswer(
            kind=done["kind"],
            columns=tuple(Column(**column) for column in done["columns"]),
            rows=tuple(tuple(row) for row in done["rows"]),
            error=done["error"],
        )

    async def script(
        self,
        *,
        kind: str,
        signature: str,
        code: str,
        file: str,
        handle: Mapping[str, Any],
        arguments: Mapping[str, Any] | None = None,
        session: str | None = None,
        page: str | None = None,
    ) -> ScriptAnswer:
        """Run a Perspective script; its failure is the answer's ``error``. Raises ``ScriptDied``.

        ``signature`` is the ``def`` line without its colon, ``code`` the indented body below it, or a whole file
        that begins with that ``def``. The first parameter is the object of ``handle`` (session, page, view,
        component; ``None`` where it has none), the others are ``arguments`` by name. ``session`` and ``page``
        are what ``system.perspective`` means when it is told neither; those of the handle unless given.
        """
        done = await self._order(
            {
                "do": "script",
                "kind": kind,
                "signature": signature,
                "code": code,
                "file": file,
                "self": dict(handle),
                "arguments": dict(arguments or {}),
                "session": handle.get("session") if session is None else session,
                "page": handle.get("page") if page is None else page,
            }
        )
        return ScriptAnswer(value=done["value"], error=done["error"], seconds=done["seconds"])

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
        try:
            self._send({**order, "id": number})
            return await future
        finally:
            self._waiting.pop(number, None)  # who waited may have been cancelled

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


async def _nobody_looks(message: dict[str, Any]) -> Any:
    """What scripts hear about sessions while no pages are served."""
    if message["op"] == "getSessionInfo":
        return []
    session = message["handle"]["session"]
    raise Refused(f"there is no session {session!r}: this gateway serves no pages; start it with --hmi")


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
