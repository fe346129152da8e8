"""Perspective: pages, docks, styles, session files and every view; each reference leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.ignition.check_actions import check_permissions
from bridge.ignition.check_components import check_given, check_view, view_exists
from bridge.ignition.check_queries import NamedQuery
from bridge.ignition.finding import Finding
from bridge.ignition.json_values import as_list
from bridge.ignition.resources import PERSPECTIVE, ProjectFiles
from bridge.ignition.tag_paths import TagPaths
from bridge.ignition.view_sight import Sight, Views

_PAGES = f"{PERSPECTIVE}/page-config/config.json"
_SESSION = f"{PERSPECTIVE}/session-props/props.json"
_PERMISSIONS = f"{PERSPECTIVE}/session-permissions/data.bin"
_STYLESHEET = f"{PERSPECTIVE}/stylesheet/stylesheet.css"
_SIDES = ("top", "bottom", "left", "right")
_PAGE_PARAMETER = re.compile(r":([^/]+)")
_CSS_TEXT = re.compile(r"/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_CSS_CLASS = re.compile(r"\.psc-((?:[\w-]|\\.)+)")


def read_views(project: ProjectFiles, documents: Mapping[str, Any]) -> Views:
    """All views by path with the parameters that they declare, and what else others refer to."""
    parameters, styles = {}, set()
    for resource in project.resources():
        if resource.kind.folder == f"{PERSPECTIVE}/views":
            document = documents.get(f"{resource.folder}/view.json")
            parameters[resource.name] = _declared(document)
        elif resource.kind.folder == f"{PERSPECTIVE}/style-classes":
            styles.add(resource.name)
    sheet = project.files.get(_STYLESHEET, b"").decode("utf-8", "replace")
    styles |= {re.sub(r"\\(.)", r"\1", name) for name in _CSS_CLASS.findall(sheet)}
    about = documents.get("project.json")
    inherits = isinstance(about, dict) and bool(about.get("parent"))
    config = documents.get(_PAGES)
    pages = config.get("pages") if isinstance(config, dict) else None
    session = documents.get(_SESSION)
    custom = session.get("custom") if isinstance(session, dict) else None
    return Views(
        parameters=parameters,
        pages=tuple(pages) if isinstance(pages, dict) else None,
        docks=frozenset(
            dock["id"] for _, dock in _docks(config) if isinstance(dock.get("id"), str) and dock["id"]
        ),
        styles=None if inherits else frozenset(styles),
        session_custom=frozenset(custom if isinstance(custom, dict) else ()),
    )


def _declared(document: Any) -> frozenset[str]:
    if not isinstance(document, dict):
        return frozenset()
    declared, config = document.get("params"), document.get("propConfig")
    names = set(declared if isinstance(declared, dict) else ())
    for key in config if isinstance(config, dict) else ():
        if key.startswith("params."):
            names.add(re.split(r"[.\[]", key.removeprefix("params."))[0])
    return frozenset(names)


def _docks(config: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every dock, of all pages and of one, with its place."""
    if not isinstance(config, dict):
        return
    pages = config.get("pages")
    holders = [("sharedDocks", config.get("sharedDocks"))]
    for path, page in pages.items() if isinstance(pages, dict) else ():
        holders.append((f"pages.{path}.docks", page.get("docks") if isinstance(page, dict) else None))
    for place, sides in holders:
        if not isinstance(sides, dict):
            continue
        for side in _SIDES:
            for number, dock in enumerate(as_list(sides.get(side))):
                if isinstance(dock, dict):
                    yield f"{place}.{side}[{number}]", dock


def check_views(
    project: ProjectFiles,
    documents: Mapping[str, Any],
    views: Views,
    queries: Mapping[str, NamedQuery],
    tags: TagPaths | None,
    *,
    for_81: bool,
) -> Iterator[Finding]:
    """Check page-config, session files, stylesheet and every view."""

    def sight(file: str) -> Sight:
        return Sight(file=file, views=views, queries=queries, tags=tags, for_81=for_81)

    config = documents.get(_PAGES)
    if config is not None:
        pages = sight(_PAGES)
        _check_pages(pages, config)
        yield from pages.findings
    elif views.parameters:
        yield Finding(
            file=_PAGES, place="", what="is missing, so no page shows any view", mend="add it with a page /"
        )
    if _PERMISSIONS in documents:
        permitted = sight(_PERMISSIONS)
        check_permissions(permitted, "", documents[_PERMISSIONS])
        yield from permitted.findings
    yield from _check_stylesheet(project)
    for resource in project.resources():
        if resource.kind.folder == f"{PERSPECTIVE}/views":
            document = documents.get(f"{resource.folder}/view.json")
            if document is not None:
                seen = sight(f"{resource.folder}/view.json")
                check_view(seen, document)
                yield from seen.findings


def _check_pages(sight: Sight, config: Any) -> None:
    pages = config.get("pages") if isinstance(config, dict) else None
    if not isinstance(pages, dict) or "/" not in pages:
        sight.error(
            "pages", "there is no page /; the root of a session shows an error", 'add "/": {"viewPath": …}'
        )
    for path, page in pages.items() if isinstance(pages, dict) else ():
        if not isinstance(page, dict):
            continue
        view = page.get("viewPath")
        view_exists(sight, f"pages.{path}.viewPath", view)
        declared = sight.views.parameters.get(view) if isinstance(view, str) else None
        if declared is None:
            continue
        for name in _PAGE_PARAMETER.findall(path):
            if name not in declared:
                sight.error(
                    f"pages.{path}",
                    f"the view {view} has no parameter {name!r}, so the page does not tell it",
                    f"it has {', '.join(sorted(declared)) or 'none'}",
                )
    seen: set[object] = set()
    for place, dock in _docks(config):
        view_exists(sight, f"{place}.viewPath", dock.get("viewPath"))
        given = dock.get("viewParams")
        if isinstance(given, dict) and isinstance(dock.get("viewPath"), str):
            check_given(sight, f"{place}.viewParams", dock["viewPath"], set(given))
        name = dock.get("id")
        if place.startswith("sharedDocks") and isinstance(name, str) and name:
            if name in seen:
                sight.error(f"{place}.id", f"two docks have the id {name!r}", "give each its own id")
            seen.add(name)


def _check_stylesheet(project: ProjectFiles) -> Iterator[Finding]:
    sheet = _CSS_TEXT.sub("", project.files.get(_STYLESHEET, b"").decode("utf-8", "replace"))
    depth = 0
    for number, line in enumerate(sheet.split("\n"), start=1):
        for character in line:
            depth += {"{": 1, "}": -1}.get(character, 0)
            if depth < 0:
                yield Finding(
                    file=_STYLESHEET,
                    place=f"line {number}",
                    what="closes a brace that is not open",
                    mend="take it out; what follows it is not read",
                )
                return
    if depth:
        yield Finding(
            file=_STYLESHEET,
            place="",
            what="leaves a brace open",
            mend="close it; rules behind it are not read",
        )
