"""Every script body of a project, wherever Ignition keeps it, and whether it has the form that Ignition runs.

Bodies in JSON start with a tab on every line, because the platform puts a `def` line above them. An
unindented one imports and exports perfectly and never runs.
"""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.ignition.finding import Finding
from bridge.ignition.json_values import as_list
from bridge.ignition.resources import PERSPECTIVE, ProjectFiles

_TAG_EVENT = "tag, tagPath, previousValue, currentValue, initialChange, missedEvents"
_SESSION_EVENTS = {
    "onStartup": "session",
    "onShutdown": "session",
    "onPageStartup": "page",
    "onBarcodeDataReceived": "session, data, context",
    "onBluetoothReceived": "session, data",
    "onAccelerometerDataReceived": "session, data",
    "onNdefDataReceived": "session, data, context",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One script. `head` is the def line that the platform puts above a body kept in JSON, else empty."""

    file: str
    place: str
    text: str
    head: str = ""

    @property
    def source(self) -> str:
        """What the gateway compiles."""
        return f"{self.head}\n{self.text}\n" if self.head else self.text

    def at(self, line: int) -> str:
        """Where a line of `source` is, in the words of the reader's editor."""
        number = max(line - 1, 1) if self.head else max(line, 1)
        return f"{self.place}, line {number}" if self.place else f"line {number}"


def bodies(project: ProjectFiles, documents: Mapping[str, Any], tags: Any, tags_file: str) -> Iterator[Body]:
    """All scripts: libraries, handlers, views, session events of 8.1, and tags."""
    for path, content in sorted(project.shipped.items()):
        if path.endswith(".py"):
            yield Body(file=path, place="", text=content.decode("utf-8-sig", "replace"))
    for path, document in sorted(documents.items()):
        if path.startswith(f"{PERSPECTIVE}/views/") and path.endswith("/view.json"):
            yield from _view_bodies(path, document)
        elif path == f"{PERSPECTIVE}/session-scripts/data.bin" and isinstance(document, dict):
            yield from _session_bodies(path, document)
    if tags is not None:
        yield from _tag_bodies(tags_file, tags, "")


def walk(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a JSON document with its path; components are called by their names."""
    yield place, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            meta = item.get("meta") if isinstance(item, dict) else None
            name = (meta.get("name") if isinstance(meta, dict) else None) or number
            yield from walk(item, f"{place}[{name}]")


def _view_bodies(path: str, document: Any) -> Iterator[Body]:
    for place, value in walk(document):
        if not isinstance(value, dict):
            continue
        last = place.rpartition(".")[2]
        config = value.get("config")
        if (
            value.get("type") == "script"
            and isinstance(config, dict)
            and isinstance(config.get("script"), str)
        ):
            yield Body(file=path, place=place, text=config["script"], head="def runAction(self, event):")
        elif value.get("type") == "script" and isinstance(value.get("code"), str):
            head = "def transform(self, value, quality, timestamp):"
            yield Body(file=path, place=place, text=value["code"], head=head)
        elif last == "onChange" and isinstance(value.get("script"), str):
            head = "def valueChanged(self, previousValue, currentValue, origin, missedEvents):"
            yield Body(file=path, place=place, text=value["script"], head=head)
        elif "messageType" in value and isinstance(value.get("script"), str):
            head = "def onMessageReceived(self, payload):"
            yield Body(file=path, place=place, text=value["script"], head=head)
        elif isinstance(value.get("script"), str) and isinstance(value.get("params"), list):
            given = ", ".join(["self", *map(str, value["params"])])
            yield Body(
                file=path, place=place, text=value["script"], head=f"def {value.get('name')}({given}):"
            )


def _session_bodies(path: str, document: Mapping[str, Any]) -> Iterator[Body]:
    for name, given in _SESSION_EVENTS.items():
        if isinstance(document.get(name), str):
            yield Body(file=path, place=name, text=document[name], head=f"def {name}({given}):")
    for handler in as_list(document.get("messageHandlers")):
        if isinstance(handler, dict) and isinstance(handler.get("script"), str):
            place = f"messageHandlers[{handler.get('name')}]"
            head = "def handleMessage(session, payload):"
            yield Body(file=path, place=place, text=handler["script"], head=head)


def _tag_bodies(file: str, node: Any, above: str) -> Iterator[Body]:
    if not isinstance(node, dict):
        return
    path = f"{above}/{node.get('name', '')}".strip("/")
    for event in as_list(node.get("eventScripts")):
        if isinstance(event, dict) and isinstance(event.get("script"), str):
            name = str(event.get("eventid"))
            given = (
                _TAG_EVENT
                if name.endswith("Changed")
                else "tag, tagPath, alarmName, alarmEvent, alarmPath, missedEvents"
            )
            yield Body(file=file, place=f"{path} {name}", text=event["script"], head=f"def {name}({given}):")
    for child in as_list(node.get("tags")):
        yield from _tag_bodies(file, child, path)


def check_form(body: Body, signature: str | None) -> Iterator[Finding]:
    """Check what compiling does not tell: tabs, the def line, characters that Jython reads otherwise."""
    lines = body.text.split("\n")
    if body.head:
        bare = [
            number for number, line in enumerate(lines, start=1) if line.strip() and not line.startswith("\t")
        ]
        for number in bare[:1] if bare and not _inside_text(body, bare) else ():
            yield Finding(
                file=body.file,
                place=f"{body.place}, line {number}",
                what="does not start with a tab; the gateway puts a def line above, and the script never runs",
                mend="indent every line of the body by one tab",
            )
    elif signature is not None and lines[0].rstrip() != f"def {signature}:":
        yield Finding(
            file=body.file,
            place="line 1",
            what=f"wanted 'def {signature}:', found {lines[0].strip()[:80]!r}",
            mend="start with the def line that the gateway calls, nothing above it",
        )
    yield from _check_tokens(body)


def _inside_text(body: Body, numbers: list[int]) -> bool:
    """Whether every one of these lines is the inside of a string over several lines."""
    inside: set[int] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(body.source).readline):
            if token.type == tokenize.STRING:
                inside.update(range(token.start[0] + 1, token.end[0] + 1))
    except (tokenize.TokenError, SyntaxError):
        return False
    return all(number + 1 in inside for number in numbers)


def _check_tokens(body: Body) -> Iterator[Finding]:
    indents: set[str] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(body.source).readline):
            if (
                token.type == tokenize.INDENT
                and not {*indents, *token.string} <= {"\t"}
                and {
                    *indents,
                    *token.string,
                }
                != {" "}
            ):
                yield Finding(
                    file=body.file,
                    place=body.at(token.start[0]),
                    what="mixes tabs and spaces as indentation",
                    mend="indent by tabs throughout",
                )
                return
            if token.type == tokenize.INDENT:
                indents.update(token.string)
            elif (
                token.type == tokenize.STRING
                and not token.string.isascii()
                and "u" not in token.string[:2].lower()
                and not _is_docstring(token)
            ):
                yield Finding(
                    file=body.file,
                    place=body.at(token.start[0]),
                    what=f"the text {token.string[:40]} is not ASCII; Jython keeps its UTF-8 bytes as characters",
                    mend="put a u in front of it",
                )
            elif token.type == tokenize.COMMENT and token.start[0] <= 2 and "coding" in token.string:
                yield Finding(
                    file=body.file,
                    place=body.at(token.start[0]),
                    what="declares an encoding; the gateway compiles text, and Jython refuses the declaration there",
                    mend="take the line out",
                )
    except (tokenize.TokenError, SyntaxError):
        return  # compiling tells where and why


def _is_docstring(token: tokenize.TokenInfo) -> bool:
    """A text that stands alone at the start of its line; nobody sees it at run time."""
    return token.line.lstrip().startswith(token.string.split("\n")[0])
