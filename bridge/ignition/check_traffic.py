"""What parts of a project say to each other: messages, popups and docks by their names, across all files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bridge.ignition.finding import Finding, Level
from bridge.ignition.json_values import as_list
from bridge.ignition.resources import PERSPECTIVE, ProjectFiles
from bridge.ignition.script_reading import Literal
from bridge.ignition.scripts import Body, walk
from bridge.ignition.view_sight import Views

_OPENERS = frozenset({"openPopup", "togglePopup"})
_DOCKS = frozenset({"openDock", "closeDock", "toggleDock", "alterDock"})
_VIEWS = f"{PERSPECTIVE}/views/"

Said = tuple[Body, Literal]


def check_traffic(
    project: ProjectFiles, documents: Mapping[str, Any], views: Views, said: Sequence[Said]
) -> Iterator[Finding]:
    """Check messages sent and handled, popups opened and closed, docks; `said` are the texts of all scripts."""
    yield from _check_messages(project, documents, said)
    yield from _check_popups(documents, said)
    for body, literal in said:
        if not (literal.call in _DOCKS and _is(literal, 0, "id") and _is_ours(literal)):
            continue
        if literal.text not in views.docks:
            there = ", ".join(sorted(views.docks)) or "none"
            yield _at(body, literal, f"there is no dock {literal.text!r}", f"there are {there}", Level.ERROR)


def _is_ours(literal: Literal) -> bool:
    return literal.function.startswith("system.perspective.")


def _is(literal: Literal, position: int, name: str) -> bool:
    return literal.position in (position, name)


def _at(body: Body, literal: Literal, what: str, mend: str, level: Level = Level.NOTE) -> Finding:
    return Finding(file=body.file, place=body.at(literal.line), what=what, mend=mend, level=level)


def _check_messages(
    project: ProjectFiles, documents: Mapping[str, Any], said: Sequence[Said]
) -> Iterator[Finding]:
    handled = list(_component_handlers(documents))
    of_views = {name for _, _, name in handled}
    of_session = {
        resource.name
        for resource in project.resources()
        if resource.kind.folder in (f"{PERSPECTIVE}/message", "ignition/message")
    }
    older = documents.get(f"{PERSPECTIVE}/session-scripts/data.bin")
    for handler in as_list(older.get("messageHandlers") if isinstance(older, dict) else None):
        if isinstance(handler, dict):
            of_session.add(str(handler.get("name")))
    sent = set()
    for body, literal in said:
        if literal.function == "system.perspective.sendMessage" and _is(literal, 0, "messageType"):
            sent.add(literal.text)
            if literal.text not in of_views:
                yield _at(
                    body,
                    literal,
                    f"sends the message {literal.text!r}, which no component handles",
                    f"handled are {', '.join(sorted(of_views)) or 'none'}",
                )
        elif (
            literal.function == "system.util.sendMessage"
            and _is(literal, 1, "messageHandler")
            and literal.text not in of_session
        ):
            yield _at(
                body,
                literal,
                f"sends the message {literal.text!r}, which no handler of this project takes",
                f"there are {', '.join(sorted(of_session)) or 'none'}",
            )
    texts = {literal.text for _, literal in said}
    for file, place, name in handled:
        if name not in sent and name not in texts:
            yield Finding(
                file=file,
                place=place,
                what=f"handles the message {name!r}, which nothing in this project sends",
                mend="correct the name, or take the handler out",
                level=Level.NOTE,
            )


def _component_handlers(documents: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for file, document in sorted(documents.items()):
        if file.startswith(_VIEWS):
            for place, value in walk(document):
                if isinstance(value, dict) and isinstance(value.get("messageType"), str):
                    yield file, place, value["messageType"]


def _check_popups(documents: Mapping[str, Any], said: Sequence[Said]) -> Iterator[Finding]:
    opened = {
        literal.text
        for _, literal in said
        if literal.call in _OPENERS and _is(literal, 0, "id") and _is_ours(literal)
    }
    closed: list[tuple[str, str, str]] = []
    for file, document in sorted(documents.items()):
        for place, value in walk(document) if file.startswith(_VIEWS) else ():
            config = value.get("config") if isinstance(value, dict) and value.get("type") == "popup" else None
            name = config.get("id") if isinstance(config, dict) else None
            if isinstance(config, dict) and isinstance(name, str) and "{" not in name:
                if config.get("type") == "close":
                    closed.append((file, f"{place}.config.id", name))
                else:
                    opened.add(name)
    for body, literal in said:
        if literal.call == "closePopup" and _is(literal, 0, "id") and _is_ours(literal):
            closed.append((body.file, body.at(literal.line), literal.text))
    # The id may be made where it is opened; a text of the same spelling in any script lets it pass.
    spelt = {literal.text for _, literal in said if literal.call != "closePopup"}
    for file, place, name in closed:
        if name and name not in opened and name not in spelt:
            yield Finding(
                file=file,
                place=place,
                what=f"closes the popup {name!r}, which nothing opens",
                mend=f"opened are {', '.join(sorted(opened)) or 'none'}",
                level=Level.NOTE,
            )
