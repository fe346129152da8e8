"""A project as Ignition keeps it: files by path, and the kinds of resource that they make up.

Facts and their sources: `docs/ignition.md`. Every resource is a folder with `resource.json` and payload
files whose names the kind prescribes; a folder with a `resource.json` is a leaf.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from bridge.errors import ProjectBroken

PERSPECTIVE = "com.inductiveautomation.perspective"
WEBDEV = "com.inductiveautomation.webdev"
MODULES = ("ignition", PERSPECTIVE, WEBDEV)
TAGS_FILE = "tags/tags.json"

_MAX_FILES = 50_000
_MAX_BYTES = 512 * 1024 * 1024  # unpacked; a project is a few megabytes, a zip bomb is not


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of resource.

    single: there is one a project, directly in the kind's folder. handlers: Python files by name with the
    one signature that the gateway calls. since_83, until_81: versions that do not know the other's form.
    """

    folder: str
    scope: str
    version: int = 1
    files: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    handlers: Mapping[str, str] = field(default_factory=dict)
    single: bool = False
    since_83: bool = False
    until_81: bool = False


def _handler(folder: str, file: str, signature: str, *, single: bool = False) -> Kind:
    return Kind(
        folder=folder,
        scope="G",
        files=frozenset({file}),
        handlers={file: signature},
        single=single,
        since_83=True,
    )


def _one(folder: str, file: str, *, until_81: bool = False) -> Kind:
    return Kind(
        folder=f"{PERSPECTIVE}/{folder}", scope="G", files=frozenset({file}), single=True, until_81=until_81
    )


_VERBS = ("doGet", "doPost", "doPut", "doDelete", "doHead", "doOptions", "doPatch", "doTrace")
_TAG_CHANGE = "onTagChange(initialChange, newValue, previousValue, event, executionCount)"

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.folder: kind
        for kind in (
            _one("page-config", "config.json"),
            _one("session-props", "props.json"),
            _one("session-permissions", "data.bin"),
            _one("general-properties", "data.bin"),
            _one("inactivity-properties", "data.bin"),
            _one("stylesheet", "stylesheet.css"),
            _one("session-scripts", "data.bin", until_81=True),
            Kind(folder=f"{PERSPECTIVE}/style-classes", scope="G", files=frozenset({"style.json"})),
            Kind(
                folder=f"{PERSPECTIVE}/views",
                scope="G",
                files=frozenset({"view.json"}),
                optional=frozenset({"thumbnail.png"}),
            ),
            _handler(f"{PERSPECTIVE}/startup", "onStartup.py", "onStartup(session)", single=True),
            _handler(f"{PERSPECTIVE}/shutdown", "onShutdown.py", "onShutdown(session)", single=True),
            _handler(f"{PERSPECTIVE}/page-startup", "onPageStartup.py", "onPageStartup(page)", single=True),
            _handler(f"{PERSPECTIVE}/message", "handleMessage.py", "handleMessage(session, payload)"),
            Kind(folder="ignition/named-query", scope="DG", version=2, files=frozenset({"query.sql"})),
            Kind(folder="ignition/script-python", scope="A", files=frozenset({"code.py"})),
            _handler("ignition/startup", "onStartup.py", "onStartup()", single=True),
            _handler("ignition/shutdown", "onShutdown.py", "onShutdown()", single=True),
            _handler("ignition/update", "onUpdate.py", "onUpdate(actor, resources)", single=True),
            _handler("ignition/timer", "handleTimerEvent.py", "handleTimerEvent()"),
            _handler("ignition/tag-change", "onTagChange.py", _TAG_CHANGE),
            _handler("ignition/message", "handleMessage.py", "handleMessage(payload)"),
            _handler("ignition/scheduled", "handleScheduleEvent.py", "handleScheduleEvent()"),
            Kind(
                folder=f"{WEBDEV}/resources",
                scope="G",
                files=frozenset({"config.json"}),
                optional=frozenset(f"{verb}.py" for verb in _VERBS),
                handlers={f"{verb}.py": f"{verb}(request, session)" for verb in _VERBS},
            ),
        )
    }
)

BINARY_KINDS = frozenset({"ignition/event-scripts", "ignition/global-props"})
"""Serialised Java that nobody can review or write by hand; a project of ours never holds it."""

JSON_PAYLOADS = frozenset(
    f"{PERSPECTIVE}/{kind}/data.bin"
    for kind in ("session-permissions", "general-properties", "inactivity-properties", "session-scripts")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One folder with a `resource.json`. `name` is the path below the kind's folder, as others refer to it."""

    kind: Kind
    folder: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFiles:
    """All files of a project by their path inside it, from a folder or a zip."""

    source: Path
    files: Mapping[str, bytes]
    zipped: bool

    @property
    def shipped(self) -> Mapping[str, bytes]:
        """What belongs in the zip: `project.json` and the module folders, nothing beside them."""
        return {
            path: content
            for path, content in self.files.items()
            if path == "project.json" or path.partition("/")[0] in MODULES
        }

    def resources(self) -> Iterator[Resource]:
        """Every folder with a `resource.json` that is of a known kind and lies where the kind lies."""
        for path in sorted(self.files):
            if PurePosixPath(path).name != "resource.json":
                continue
            found = kind_of(path)
            if found is not None:
                kind, name = found
                if kind.single != bool(name):
                    yield Resource(kind=kind, folder=path.removesuffix("/resource.json"), name=name)


def is_payload(path: str) -> bool:
    """Whether a gateway keeps this file as it is; it rewrites project.json and every resource.json."""
    return path.rpartition("/")[2] not in ("project.json", "resource.json", "thumbnail.png")


def kind_of(path: str) -> tuple[Kind, str] | None:
    """The kind that a file belongs to and its folder's path below the kind's folder; None for no known kind."""
    parts = PurePosixPath(path).parts
    kind = KINDS.get("/".join(parts[:2]))
    if kind is None or len(parts) < 3:
        return None
    return kind, "/".join(parts[2:-1])


def read(path: Path) -> ProjectFiles:
    """Read a project folder or zip. Raises ProjectBroken when it is neither, or is damaged."""
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_zip(path)
    raise ProjectBroken([f"{path}: no such folder or file; name a project folder or a .zip"])


def _read_folder(root: Path) -> ProjectFiles:
    files: dict[str, bytes] = {}
    for folder, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            file = Path(folder, name)
            try:
                files[file.relative_to(root).as_posix()] = file.read_bytes()
            except OSError as problem:
                raise ProjectBroken([f"{file}: cannot be read: {problem.strerror}"]) from problem
    if "project.json" not in files:
        raise ProjectBroken(
            [f"{root}: no project.json in it; name the folder that holds project.json and ignition/"]
        )
    return ProjectFiles(source=root, files=files, zipped=False)


def _read_zip(path: Path) -> ProjectFiles:
    files: dict[str, bytes] = {}
    problems: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > _MAX_FILES or sum(entry.file_size for entry in entries) > _MAX_BYTES:
                raise ProjectBroken(
                    [
                        f"{path}: {len(entries)} files of {sum(entry.file_size for entry in entries)} bytes; "
                        f"a project has at most {_MAX_FILES} files and {_MAX_BYTES} bytes"
                    ]
                )
            for entry in entries:
                name = entry.filename
                if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts or ":" in name:
                    problems.append(f"{path}: entry {name!r} leads out of the project; zip it again")
                elif name in files:
                    problems.append(f"{path}: entry {name!r} is there twice; zip it again")
                elif entry.flag_bits & 0x1:
                    problems.append(f"{path}: entry {name!r} is encrypted; zip without a password")
                else:
                    files[name] = archive.read(entry)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as problem:
        raise ProjectBroken(
            [f"{path}: not a whole zip file ({problem}); build or export it again"]
        ) from problem
    except OSError as problem:
        raise ProjectBroken([f"{path}: cannot be read: {problem.strerror or problem}"]) from problem
    if problems:
        raise ProjectBroken(problems)
    if "project.json" not in files:
        wrapped = sorted(name for name in files if name.endswith("/project.json"))
        raise ProjectBroken(
            [
                f"{path}: project.json is in {wrapped[0].rpartition('/')[0]}/ and must be at the root; "
                "zip the folder's content, not the folder"
                if wrapped
                else f"{path}: no project.json at its root; this is not an Ignition project export"
            ]
        )
    return ProjectFiles(source=path, files=files, zipped=True)
