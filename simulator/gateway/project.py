"""The built project as the gateway imports it: the zip, and nothing beside it.

Formats are those of Ignition 8.1 and 8.3. What Ignition would skip silently or load blank is a problem here,
named by file.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from simulator.gateway.named_query import NamedQuery, QueryError

QUERIES: Final = PurePosixPath("ignition/named-query")
SCRIPTS: Final = PurePosixPath("ignition/script-python")
TIMERS: Final = PurePosixPath("ignition/timer")
MESSAGES: Final = PurePosixPath("ignition/message")
PERSPECTIVE: Final = PurePosixPath("com.inductiveautomation.perspective")
BINARY_EVENTS: Final = "ignition/event-scripts/data.bin"
NOT_RUN: Final = ("startup", "shutdown", "update", "tag-change", "scheduled")
"""Event scripts of 8.3 that the stand-in does not run; a project with one is refused."""

_SIZE_LIMIT: Final = 256 * 1024 * 1024
_EXPORTED = re.compile(r"_\d{4}-\d{2}-\d{2}_\d{4}$")


class ProjectError(Exception):
    """The zip cannot be run. ``problems`` are lines of place and mend."""

    def __init__(self, zip_path: Path, problems: list[str]) -> None:
        super().__init__(f"{zip_path}: " + "\n  ".join(["the project cannot be run", *problems]))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Event:
    """A timer or message handler: the file with its function."""

    name: str
    path: str
    code: str
    function: str


@dataclass(frozen=True, kw_only=True)
class Timer(Event):
    """When it runs: so long after the end of the last pass, or so long after its begin (fixed rate)."""

    delay_ms: int
    fixed_delay: bool
    shared_thread: bool


@dataclass(frozen=True, kw_only=True)
class Project:
    """What the gateway runs of a project. Scripts are keyed ``package/module``, queries by their path."""

    name: str
    queries: dict[str, NamedQuery] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    timers: tuple[Timer, ...] = ()
    messages: tuple[Event, ...] = ()
    perspective: dict[str, bytes] = field(default_factory=dict)
    """Files of the Perspective resources by their path below the module's folder, unread."""


class _Refused(Exception):
    """One problem of one resource."""


def read_project(path: Path, *, target: str, name: str | None = None) -> Project:
    """Read the zip. Raises ``ProjectError`` with everything that is wrong with it.

    The project's name is given at import; without one it is the file's, less the date of an export. Timers
    and message handlers as folders are of 8.3: with target 8.1 they are there and do nothing, as on 8.1.
    """
    return _Reader(path, target, name or _EXPORTED.sub("", path.stem)).read()


class _Reader:
    def __init__(self, path: Path, target: str, name: str) -> None:
        self._path = path
        self._target = target
        self._name = name
        self._problems: list[str] = []
        self._files: dict[str, bytes] = {}

    def read(self) -> Project:
        self._files = self._unzip()
        self._check_head()
        resources = dict(self._resources())
        self._check_nesting(resources)
        queries, scripts = self._queries(resources), self._scripts(resources)
        timers: tuple[Timer, ...] = ()
        messages: tuple[Event, ...] = ()
        if self._target != "8.1":
            timers, messages = self._timers(resources), self._messages(resources)
            self._refuse_unsupported(resources)
        if self._problems:
            raise ProjectError(self._path, self._problems)
        return Project(
            name=self._name,
            queries=queries,
            scripts=scripts,
            timers=timers,
            messages=messages,
            perspective=self._perspective(resources),
        )

    def _unzip(self) -> dict[str, bytes]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                entries = [entry for entry in archive.infolist() if not entry.is_dir()]
                if sum(entry.file_size for entry in entries) > _SIZE_LIMIT:
                    raise ProjectError(self._path, [f"more than {_SIZE_LIMIT >> 20} MB when unpacked"])
                files = {entry.filename: archive.read(entry) for entry in entries}
                if len(files) != len(entries):
                    raise ProjectError(self._path, ["two entries have the same name; build the zip again"])
        except OSError as error:
            raise ProjectError(self._path, [f"cannot be read: {error.strerror or error}"]) from error
        except (zipfile.BadZipFile, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
            raise ProjectError(self._path, [f"is not a readable zip file: {error}"]) from error
        return files

    def _check_head(self) -> None:
        if "project.json" not in self._files:
            inside = [name for name in self._files if name.endswith("/project.json")]
            mend = (
                f"it lies in {inside[0]}: zip the folder's content, not the folder" if inside else "add one"
            )
            raise ProjectError(self._path, [f"there is no project.json at the root; {mend}"])
        try:
            head = self._object("project.json")
        except _Refused as error:
            raise ProjectError(self._path, [str(error)]) from error
        if head.get("parent"):
            self._problem("project.json", f"inherits from {head['parent']!r}, which the stand-in cannot")
        if head.get("enabled") is not True:
            self._problem("project.json", "the project is not enabled; set enabled to true")

    def _resources(self) -> Iterator[tuple[PurePosixPath, dict[str, Any]]]:
        for name in sorted(self._files):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                self._problem(name, "no such path belongs into a project")
            elif path.name == "resource.json":
                try:
                    resource = self._object(name)
                    missing = [
                        file
                        for file in resource.get("files", [])
                        if str(path.parent / str(file)) not in self._files
                    ]
                    if missing:
                        raise _Refused(
                            f"{name}: names files that are not there: {', '.join(map(str, missing))}"
                        )
                    if not isinstance(resource.get("attributes"), dict):
                        raise _Refused(f"{name}: attributes is missing; keep at least an empty object")
                    yield path.parent, resource
                except _Refused as error:
                    self._problems.append(str(error))
            elif path.name != "project.json" and str(path.parent / "resource.json") not in self._files:
                self._problem(name, "lies in a folder without a resource.json; the gateway would not see it")

    def _check_nesting(self, resources: dict[PurePosixPath, dict[str, Any]]) -> None:
        for folder in resources:
            outer = next((parent for parent in folder.parents if parent in resources), None)
            if outer is not None:
                self._problem(str(folder), f"lies inside the resource {outer} and would be skipped silently")

    def _queries(self, resources: dict[PurePosixPath, dict[str, Any]]) -> dict[str, NamedQuery]:
        found = {}
        for name, folder, resource in _under(QUERIES, resources):
            try:
                if resource.get("version") != 2:
                    raise _Refused(
                        f"{folder}/resource.json: version {resource.get('version')!r}; only version 2 is read from "
                        "query.sql, any other loads blank"
                    )
                sql = self._text(folder / "query.sql")
                found[name] = NamedQuery.of(name, sql, resource["attributes"])
            except (_Refused, QueryError) as error:
                self._problems.append(str(error) if isinstance(error, _Refused) else f"{folder}: {error}")
        return found

    def _scripts(self, resources: dict[PurePosixPath, dict[str, Any]]) -> dict[str, str]:
        found = {}
        for name, folder, _ in _under(SCRIPTS, resources):
            try:
                found[name] = self._text(folder / "code.py")
            except _Refused as error:
                self._problems.append(str(error))
        return found

    def _timers(self, resources: dict[PurePosixPath, dict[str, Any]]) -> tuple[Timer, ...]:
        found = []
        for event, attributes in self._events(TIMERS, "handleTimerEvent", resources):
            delay_ms = attributes.get("delay", 1000)
            if not isinstance(delay_ms, int) or isinstance(delay_ms, bool) or delay_ms <= 0:
                self._problem(event.path, f"delay is a number of milliseconds, found {delay_ms!r}")
                continue
            found.append(
                Timer(
                    **vars(event),
                    delay_ms=delay_ms,
                    fixed_delay=attributes.get("fixedDelay", True) is True,
                    shared_thread=attributes.get("sharedThread", True) is True,
                )
            )
        return tuple(found)

    def _messages(self, resources: dict[PurePosixPath, dict[str, Any]]) -> tuple[Event, ...]:
        return tuple(event for event, _ in self._events(MESSAGES, "handleMessage", resources))

    def _events(
        self, root: PurePosixPath, function: str, resources: dict[PurePosixPath, dict[str, Any]]
    ) -> Iterator[tuple[Event, dict[str, Any]]]:
        for name, folder, resource in _under(root, resources):
            path = folder / f"{function}.py"
            try:
                code = self._text(path)
            except _Refused as error:
                self._problems.append(str(error))
                continue
            first = next((line for line in code.splitlines() if line.strip()), "")
            if not first.startswith(f"def {function}("):
                self._problem(
                    str(path), f"begins with {first!r}; without 'def {function}(' first it never runs"
                )
            elif resource["attributes"].get("enabled", True) is True:
                yield (
                    Event(name=name, path=str(path), code=code, function=function),
                    resource["attributes"],
                )

    def _perspective(self, resources: dict[PurePosixPath, dict[str, Any]]) -> dict[str, bytes]:
        """Kept as they are: a broken view is a red box on its page, not a reason to refuse the project."""
        return {
            str(path.relative_to(PERSPECTIVE)): content
            for path, content in ((PurePosixPath(name), data) for name, data in self._files.items())
            if path.is_relative_to(PERSPECTIVE) and path.parent in resources and path.name != "resource.json"
        }

    def _refuse_unsupported(self, resources: dict[PurePosixPath, dict[str, Any]]) -> None:
        for kind in NOT_RUN:
            for folder in resources:
                if folder.is_relative_to(PurePosixPath("ignition") / kind):
                    self._problem(str(folder), f"{kind} scripts are not supported by the stand-in")
        if BINARY_EVENTS in self._files:
            self._problem(BINARY_EVENTS, "event scripts of 8.1 are binary; the stand-in cannot read them")

    def _text(self, path: PurePosixPath) -> str:
        data = self._files.get(str(path))
        if data is None:
            raise _Refused(f"{path} is missing")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _Refused(f"{path}: is not UTF-8 at byte {error.start}") from error
        if text.startswith("\ufeff"):
            raise _Refused(f"{path}: begins with a byte order mark; save it as UTF-8 without BOM")
        return text

    def _object(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._text(PurePosixPath(name)))
        except (ValueError, RecursionError) as error:
            raise _Refused(f"{name}: is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise _Refused(f"{name}: an object is wanted, found {type(found).__name__}")
        return found

    def _problem(self, place: str, text: str) -> None:
        self._problems.append(f"{place}: {text}")


def _under(
    root: PurePosixPath, resources: dict[PurePosixPath, dict[str, Any]]
) -> Iterator[tuple[str, PurePosixPath, dict[str, Any]]]:
    for folder, resource in resources.items():
        if folder.is_relative_to(root) and folder != root:
            yield str(folder.relative_to(root)), folder, resource
