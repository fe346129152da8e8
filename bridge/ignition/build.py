"""Make what is imported into the gateway: the named-query folder from its source, and the zip from the folder.

The zip is the same to the last byte wherever and whenever it is built: fixed times, sorted entries,
`project.json` first, stored and not deflated (zlib's output differs between its versions).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bridge.errors import ProjectBroken
from bridge.ignition.named_queries import FOLDER, LAST_MODIFICATION, as_json, generate
from bridge.ignition.resources import PERSPECTIVE, ProjectFiles, kind_of
from bridge.store.queries import Query

DEFAULT_FOLDER = "ignition_project"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
_PARTS_OF_81 = {
    "startup/onStartup.py": "onStartup",
    "shutdown/onShutdown.py": "onShutdown",
    "page-startup/onPageStartup.py": "onPageStartup",
}
_EMPTY_IN_81 = (
    "onStartup",
    "onShutdown",
    "onPageStartup",
    "onBarcodeDataReceived",
    "onBluetoothReceived",
    "onAccelerometerDataReceived",
    "onNdefDataReceived",
)


class Target(StrEnum):
    """The versions of Ignition that a zip can be made for."""

    V83 = "8.3"
    V81 = "8.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What goes into the zip, and what a person does by hand because the version has no file for it."""

    files: Mapping[str, bytes]
    left_out: tuple[str, ...]
    by_hand: tuple[str, ...]


def project_folder() -> Path:
    """The project's folder: in the current directory, or beside the package in a checkout."""
    here = Path(DEFAULT_FOLDER)
    beside = Path(__file__).resolve().parents[2] / DEFAULT_FOLDER
    for candidate in (here, beside):
        if (candidate / "project.json").is_file():
            return candidate
    raise ProjectBroken(
        [f"no {DEFAULT_FOLDER}/ with a project.json here or in {beside.parent}; name the project's folder"]
    )


def stale(files: Mapping[str, bytes], queries: Iterable[Query]) -> list[str]:
    """The files under named-query that differ from what their source gives now; empty when all are current."""
    wanted = generate(queries)
    found = {path: content for path, content in files.items() if path.startswith(f"{FOLDER}/")}
    return sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))


def regenerate(project: Path, queries: Iterable[Query]) -> list[str]:
    """Make the project's named-query folder equal to its source and say which files changed.

    The new folder is written beside the old one and takes its place by renaming, so that a crash leaves
    the one or the other whole. Nothing is touched when nothing changed.
    """
    wanted = generate(queries)
    place = project / FOLDER
    found = {
        f"{FOLDER}/{file.relative_to(place).as_posix()}": file.read_bytes()
        for file in (place.rglob("*") if place.is_dir() else ())
        if file.is_file()
    }
    changed = sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
    if not changed:
        return []
    place.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=".named-query-", dir=place.parent))
    try:
        fresh, old = workplace / "fresh", workplace / "old"
        for path, content in wanted.items():
            file = fresh / path.removeprefix(f"{FOLDER}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        fresh.mkdir(exist_ok=True)
        if place.exists():
            place.rename(old)
        try:
            fresh.rename(place)
        except OSError:
            old.rename(place)
            raise
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return changed


def package(project: ProjectFiles, target: Target) -> Package:
    """Choose what this version of Ignition understands, and turn session events into its form."""
    if target is Target.V83:
        files = {
            path: content
            for path, content in project.shipped.items()
            if (found := kind_of(path)) is None or not found[0].until_81
        }
        dropped = sorted(project.shipped.keys() - files.keys())
        return Package(files=files, left_out=tuple(dropped), by_hand=())
    files, by_hand, events = {}, [], {}
    for path, content in project.shipped.items():
        found = kind_of(path)
        if found is None or not found[0].since_83:
            files[path] = content
        elif path.startswith(f"{PERSPECTIVE}/"):
            events[path] = content
        elif path.endswith(".py"):
            by_hand.append(_step_81(path, content, project.files))
    if events:
        converted = _session_scripts(events)
        folder = f"{PERSPECTIVE}/session-scripts"
        if f"{folder}/data.bin" in files:
            raise ProjectBroken(
                [f"{folder}/data.bin: stands beside 8.3 session events; keep one form of them, the 8.3 one"]
            )
        files[f"{folder}/data.bin"] = converted
        files[f"{folder}/resource.json"] = as_json(
            {
                "scope": "G",
                "version": 1,
                "restricted": False,
                "overridable": True,
                "files": ["data.bin"],
                "attributes": {"lastModification": LAST_MODIFICATION},
            }
        )
    dropped = sorted(project.shipped.keys() - files.keys())
    return Package(files=files, left_out=tuple(dropped), by_hand=tuple(sorted(by_hand)))


def to_zip(files: Mapping[str, bytes]) -> bytes:
    """The project zip, reproducible to the byte."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(files, key=lambda path: (path != "project.json", path)):
            entry = zipfile.ZipInfo(path, date_time=_EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[path])
    return held.getvalue()


def write_whole(file: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    except OSError as problem:
        raise ProjectBroken([f"{file}: cannot be written: {problem.strerror}"]) from problem
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(file)
    except OSError as problem:
        raise ProjectBroken([f"{file}: cannot be written: {problem.strerror}"]) from problem
    finally:
        Path(name).unlink(missing_ok=True)


def _step_81(path: str, content: bytes, files: Mapping[str, bytes]) -> str:
    """One line for the integrator: what to enter in the Designer of 8.1, and where."""
    folder = path.rpartition("/")[0]
    kind, name = folder.removeprefix("ignition/").partition("/")[::2]
    body = _body(content)
    told = f"Designer > Scripting > Gateway Events > {kind.replace('-', ' ').title()}"
    if kind != "timer":
        return f"{told}{f' {name!r}' if name else ''}: body {body}"
    try:
        attributes = json.loads(files[f"{folder}/resource.json"])["attributes"]
        delay_ms, fixed, shared = (attributes[key] for key in ("delay", "fixedDelay", "sharedThread"))
    except (KeyError, ValueError, TypeError) as problem:
        raise ProjectBroken(
            [
                f"{folder}/resource.json: a timer wants attributes delay, fixedDelay and sharedThread ({problem})"
            ]
        ) from problem
    return (
        f"{told} {name!r}: delay {delay_ms} ms, {'fixed delay' if fixed else 'fixed rate'}, "
        f"{'shared' if shared else 'dedicated'} thread, body {body}"
    )


def _body(content: bytes) -> str:
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()[1:] if line.strip()]
    return f"`{lines[0]}`" if len(lines) == 1 else f"of {len(lines)} lines, as in the file"


def _session_scripts(events: Mapping[str, bytes]) -> bytes:
    """The 8.3 session events, one folder each, as the one JSON file of 8.1.

    8.1 writes the def line itself and runs message handlers on its own threads: the signature must be the
    one that it writes, and `threadType` is left behind. An event that is switched off stays empty there.
    """
    scripts: dict[str, object] = dict.fromkeys(_EMPTY_IN_81, "\t")
    handlers: list[dict[str, object]] = []
    for path, content in sorted(events.items()):
        if not path.endswith(".py"):
            continue
        try:
            head, _, body = content.decode("utf-8").partition("\n")
        except UnicodeDecodeError as problem:
            raise ProjectBroken([f"{path}: not UTF-8; save as UTF-8"]) from problem
        below = path.removeprefix(f"{PERSPECTIVE}/")
        found = kind_of(path)
        signature = found[0].handlers.get(path.rpartition("/")[2]) if found else None
        if head.rstrip() != f"def {signature}:" or any(
            line.strip() and not line.startswith("\t") for line in body.splitlines()
        ):
            raise ProjectBroken(
                [f"{path}: wanted 'def {signature}:' and a body indented by tabs, to move it to 8.1"]
            )
        enabled = _is_enabled(path, events)
        if below in _PARTS_OF_81:
            scripts[_PARTS_OF_81[below]] = body.rstrip("\n") if enabled else "\t"
        else:
            name = below.split("/")[-2]
            handlers.append({"name": name, "enabled": enabled, "script": body.rstrip("\n")})
    return as_json({**scripts, "messageHandlers": handlers})


def _is_enabled(path: str, events: Mapping[str, bytes]) -> bool:
    """Whether the event's resource.json has it switched on, which it is unless it says otherwise."""
    file = f"{path.rpartition('/')[0]}/resource.json"
    try:
        attributes = json.loads(events.get(file, b"{}")).get("attributes") or {}
        return attributes.get("enabled") is not False
    except (ValueError, AttributeError) as problem:
        raise ProjectBroken([f"{file}: is not a JSON object with attributes ({problem})"]) from problem
