"""Files and resources: encoding, JSON, folders, scopes, versions, attributes; what no public linter looks at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from bridge.ignition.finding import Finding
from bridge.ignition.resources import (
    BINARY_KINDS,
    JSON_PAYLOADS,
    KINDS,
    MODULES,
    PERSPECTIVE,
    Kind,
    ProjectFiles,
    kind_of,
)

_TEXT = frozenset({".json", ".py", ".sql", ".css"})
_BOM = b"\xef\xbb\xbf"
_LF = b"\n"
_PROJECT_KEYS: Mapping[str, type] = {
    "title": str,
    "description": str,
    "parent": str,
    "enabled": bool,
    "inheritable": bool,
}
_RESOURCE_KEYS = ("scope", "version", "restricted", "overridable", "files", "attributes")
_SHORT_MODULES = {"perspective": PERSPECTIVE, "webdev": "com.inductiveautomation.webdev", "sql": "ignition"}
_TIMER = {"delay": int, "fixedDelay": bool, "sharedThread": bool, "enabled": bool}
_ENABLED = {"enabled": bool}
_ATTRIBUTES: Mapping[str, Mapping[str, type]] = {
    "ignition/timer": _TIMER,
    "ignition/startup": _ENABLED,
    "ignition/shutdown": _ENABLED,
    "ignition/update": _ENABLED,
    "ignition/tag-change": {**_ENABLED, "paths": list, "changeTypes": list},
    "ignition/message": {**_ENABLED, "threadType": str},
    "ignition/scheduled": {**_ENABLED, "cronExpression": str},
    f"{PERSPECTIVE}/startup": _ENABLED,
    f"{PERSPECTIVE}/shutdown": _ENABLED,
    f"{PERSPECTIVE}/page-startup": _ENABLED,
    f"{PERSPECTIVE}/message": {**_ENABLED, "threadType": str},
}
_THREADS = ("Shared", "Dedicated")
_FASTEST_TIMER_MS = 100


class _DuplicateKey(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(f"the key {key!r} is there twice in one object")
            seen.add(key)
    return found


def _no_constant(name: str) -> Any:
    raise _DuplicateKey(f"{name} is not JSON")


def is_json(path: str) -> bool:
    """Whether the file holds JSON, by name or because Ignition keeps JSON in that data.bin."""
    return path.endswith(".json") or path in JSON_PAYLOADS


def check_text(files: Mapping[str, bytes]) -> tuple[list[Finding], dict[str, Any]]:
    """Check encoding, line ends and JSON of every text file; returns the parsed JSON documents by path."""
    findings: list[Finding] = []
    documents: dict[str, Any] = {}
    for path, content in sorted(files.items()):
        json_file = is_json(path)
        if PurePosixPath(path).suffix not in _TEXT and not json_file:
            continue
        if content.startswith(_BOM):
            findings.append(
                Finding(
                    file=path,
                    place="first bytes",
                    what="starts with a byte order mark, which Jython and the gateway take for text",
                    mend="save as UTF-8 without BOM",
                )
            )
            content = content.removeprefix(_BOM)
        if b"\r" in content:
            line = content[: content.index(b"\r")].count(_LF) + 1
            findings.append(
                Finding(
                    file=path,
                    place=f"line {line}",
                    what="ends lines with CR LF; the gateway would see every resource as modified",
                    mend="save with LF; .gitattributes `* text eol=lf` keeps it so",
                )
            )
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as problem:
            findings.append(
                Finding(
                    file=path,
                    place=f"line {content[: problem.start].count(_LF) + 1}",
                    what="is not UTF-8",
                    mend="save as UTF-8",
                )
            )
            continue
        if json_file:
            try:
                documents[path] = json.loads(
                    text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant
                )
            except json.JSONDecodeError as problem:
                findings.append(
                    Finding(
                        file=path,
                        place=f"line {problem.lineno}",
                        what=f"is not valid JSON: {problem.msg}",
                        mend="correct it; the gateway skips or faults on such a file",
                    )
                )
            except _DuplicateKey as problem:
                findings.append(
                    Finding(file=path, place="", what=str(problem), mend="keep one; the last one would win")
                )
            except RecursionError:
                findings.append(
                    Finding(file=path, place="", what="is nested too deeply to read", mend="flatten it")
                )
    return findings, documents


def check_resources(project: ProjectFiles, documents: Mapping[str, Any]) -> Iterator[Finding]:
    """Check project.json, where files lie, and every resource.json."""
    yield from _check_project(documents.get("project.json"))
    shipped = project.shipped
    if project.zipped:
        for path in sorted(project.files.keys() - shipped.keys()):
            if not _tolerated(path):
                yield _stray(path)
    yield from _check_names(shipped)
    folders: dict[str, list[str]] = {}
    for path in sorted(shipped):
        if path != "project.json":
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, []).append(name)
    for folder, names in folders.items():
        yield from _check_folder(folder, names, folders.keys(), documents)


def _tolerated(path: str) -> bool:
    """Files at the root that tools and people keep beside the project."""
    return "/" not in path and (path.startswith(".") or path.endswith(".md"))


def _stray(path: str) -> Finding:
    top = path.partition("/")[0]
    if top in _SHORT_MODULES:
        return Finding(
            file=path,
            place="",
            what=f"lies under {top}/, which only a third-party git module understands",
            mend=f"move it under {_SHORT_MODULES[top]}/",
        )
    return Finding(
        file=path,
        place="",
        what="is nothing that a project import reads",
        mend="take it out of the zip; tags are imported on their own",
    )


def _check_project(document: Any) -> Iterator[Finding]:
    if document is None:
        return  # not valid JSON, and said already
    if not isinstance(document, dict):
        yield Finding(file="project.json", place="", what="is not an object", mend="see docs/ignition.md")
        return
    for key, kind in _PROJECT_KEYS.items():
        if key not in document or not isinstance(document[key], kind):
            yield Finding(
                file="project.json",
                place=key,
                what=f"wanted a {_word(kind)}, found {_shown(document, key)}",
                mend=f'write "{key}": {_example(kind)}',
            )
    for key in sorted(document.keys() - _PROJECT_KEYS.keys()):
        yield Finding(file="project.json", place=key, what="is not a key of project.json", mend="take it out")


def _check_names(files: Mapping[str, bytes]) -> Iterator[Finding]:
    """Names that differ in case only are one file on a Windows gateway."""
    seen: dict[str, str] = {}
    for path in sorted(files):
        parts = path.split("/")
        for length in range(1, len(parts) + 1):
            below = "/".join(parts[:length])
            other = seen.setdefault(below.lower(), below)
            if other != below:
                yield Finding(
                    file=below,
                    place="",
                    what=f"differs from {other} in case only; a Windows gateway keeps one of them",
                    mend="give one another name",
                )


def _check_folder(
    folder: str, names: list[str], folders: Any, documents: Mapping[str, Any]
) -> Iterator[Finding]:
    parts = folder.split("/")
    kind_name = "/".join(parts[:2])
    if kind_name in BINARY_KINDS:
        yield Finding(
            file=folder,
            place="",
            what="holds serialised Java that nobody can review, and that overwrites settings of the gateway",
            mend="leave it out; timers are folders in 8.3 and a manual step in 8.1, see docs/ignition.md",
        )
        return
    found = kind_of(f"{folder}/x")
    if found is None:
        yield Finding(
            file=f"{folder}/{names[0]}",
            place="",
            what="lies in no folder of a known kind of resource",
            mend=f"known are {', '.join(sorted(KINDS))}"
            if parts[0] in MODULES
            else "move it into the folder of its kind",
        )
        return
    kind, name = found
    outer = _outer_resource(parts, documents)
    if outer is not None:
        yield Finding(
            file=folder,
            place="",
            what=f"lies inside the resource {outer}; the gateway skips it without a word",
            mend="move it out: a folder with a resource.json is a leaf",
        )
    if "resource.json" not in names:
        yield Finding(
            file=folder,
            place="resource.json",
            what=f"is missing; without it {', '.join(names)} is not read",
            mend="add one; docs/ignition.md has the form",
        )
        return
    if kind.single and name:
        yield Finding(
            file=folder,
            place="",
            what=f"there is one {kind.folder} a project, directly in that folder",
            mend=f"move it to {kind.folder}",
        )
    if not kind.single and not name:
        yield Finding(
            file=folder,
            place="",
            what="a resource without a name",
            mend="put it in a folder that bears its name",
        )
    payload = sorted(set(names) - {"resource.json"})
    yield from _check_payload(kind, folder, payload)
    document = documents.get(f"{folder}/resource.json")
    if document is not None:
        yield from _check_resource_json(kind, folder, payload, document)


def _outer_resource(parts: list[str], documents: Mapping[str, Any]) -> str | None:
    for length in range(2, len(parts)):
        outer = "/".join(parts[:length])
        if f"{outer}/resource.json" in documents:
            return outer
    return None


def _check_payload(kind: Kind, folder: str, payload: list[str]) -> Iterator[Finding]:
    for name in sorted(kind.files - set(payload)):
        yield Finding(
            file=folder, place=name, what="is missing", mend=f"every {kind.folder} resource has one"
        )
    for name in payload:
        if name not in kind.files | kind.optional:
            yield Finding(
                file=f"{folder}/{name}",
                place="",
                what=f"is no file of a {kind.folder} resource; the gateway does not read it",
                mend=f"its files are {', '.join(sorted(kind.files | kind.optional))}",
            )


def _check_resource_json(kind: Kind, folder: str, payload: list[str], document: Any) -> Iterator[Finding]:
    file = f"{folder}/resource.json"
    if not isinstance(document, dict):
        yield Finding(file=file, place="", what="is not an object", mend="see docs/ignition.md")
        return

    def wanted(key: str, value: object, why: str) -> Iterator[Finding]:
        if document.get(key) != value or type(document.get(key)) is not type(value):
            yield Finding(
                file=file,
                place=key,
                what=f"wanted {_json(value)} for {kind.folder}, found {_shown(document, key)}",
                mend=why,
            )

    yield from wanted("scope", kind.scope, f'write "scope": "{kind.scope}"')
    older = "; version 1 makes the gateway look for a data.bin, and the query is blank"
    yield from wanted(
        "version", kind.version, f'write "version": {kind.version}{older if kind.version == 2 else ""}'
    )
    yield from wanted("restricted", False, 'write "restricted": false')
    yield from wanted("overridable", True, 'write "overridable": true')
    listed = document.get("files")
    if not isinstance(listed, list) or sorted(map(str, listed)) != payload:
        yield Finding(
            file=file,
            place="files",
            what=f"lists {_shown(document, 'files')}, and the folder holds {_json(payload)}",
            mend="list exactly the files beside it",
        )
    for key in sorted(document.keys() - {*_RESOURCE_KEYS, "documentation"}):
        mend = "move it into attributes" if key == "lastModification" else "take it out"
        yield Finding(file=file, place=key, what="is not a key of resource.json", mend=mend)
    attributes = document.get("attributes")
    if not isinstance(attributes, dict):
        yield Finding(
            file=file,
            place="attributes",
            what="is missing; a gateway without it was seen to fault at cold start",
            mend='write "attributes": {"lastModification": {"actor": "external", "timestamp": "…Z"}}',
        )
        return
    yield from _check_attributes(kind, file, attributes)


def _check_attributes(kind: Kind, file: str, attributes: Mapping[str, Any]) -> Iterator[Finding]:
    modified = attributes.get("lastModification")
    if (
        not isinstance(modified, dict)
        or not isinstance(modified.get("actor"), str)
        or not str(modified.get("timestamp", "")).endswith("Z")
    ):
        yield Finding(
            file=file,
            place="attributes.lastModification",
            what=f"wanted {{actor, timestamp in UTC}}, found {_json(modified)}",
            mend="write both; Designer imports were seen to skip a resource without it",
        )
    if attributes.get("lastModificationSignature"):
        yield Finding(
            file=file,
            place="attributes.lastModificationSignature",
            what="is given; a wrong signature makes a scan skip the change",
            mend="leave it out, the gateway fills it in",
        )
    for key, type_ in _ATTRIBUTES.get(kind.folder, {}).items():
        value = attributes.get(key)
        if not isinstance(value, type_) or (type_ is int and isinstance(value, bool)):
            yield Finding(
                file=file,
                place=f"attributes.{key}",
                what=f"wanted a {_word(type_)}, found {_json(value)}",
                mend="write it down; the gateway's own default is not what a reader expects",
            )
    thread = attributes.get("threadType")
    if (
        "threadType" in _ATTRIBUTES.get(kind.folder, {})
        and isinstance(thread, str)
        and thread not in _THREADS
    ):
        yield Finding(
            file=file,
            place="attributes.threadType",
            what=f"wanted {' or '.join(_THREADS)}, found {thread!r}",
            mend='write "Shared", or "Dedicated" for what does SQL',
        )
    delay_ms = attributes.get("delay")
    if kind.folder == "ignition/timer" and isinstance(delay_ms, int) and delay_ms < _FASTEST_TIMER_MS:
        yield Finding(
            file=file,
            place="attributes.delay",
            what=f"{delay_ms} ms leaves the gateway no rest (the unit is milliseconds)",
            mend=f"write at least {_FASTEST_TIMER_MS}",
        )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shown(document: Mapping[str, Any], key: str) -> str:
    return _json(document[key]) if key in document else "nothing"


def _word(kind: type) -> str:
    return {str: "text", bool: "true or false", int: "whole number", list: "list"}[kind]


def _example(kind: type) -> str:
    return '""' if kind is str else "false"
