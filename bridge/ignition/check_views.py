"""Perspective: pages, views, bindings and actions; every reference leads somewhere, names are unique."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.ignition.check_queries import NamedQuery
from bridge.ignition.finding import Finding
from bridge.ignition.json_values import is_one_of
from bridge.ignition.resources import PERSPECTIVE, ProjectFiles
from bridge.ignition.scripts import walk
from bridge.ignition.tag_paths import TagPaths

_PAGES = f"{PERSPECTIVE}/page-config/config.json"
_HOSTS = frozenset({"ia.display.view", "ia.display.flex-repeater", "ia.display.carousel"})
_CLIENT_ACTIONS = frozenset({"nav", "popup", "dock", "login", "logout", "refresh", "fullscreen", "theme"})
_IN_EXPRESSION = re.compile(r"\{(\[[^\]{}]+\][^{}]*)\}")
_CONSTANT = re.compile(
    r"^\s*(?:[{('\"\-!]|\d|(?:true|false|null)\s*$|[A-Za-z_]\w*\s*\()", re.DOTALL | re.IGNORECASE
)
_ONLY_83 = frozenset({"ia.input.form"})
_PARAMETER = re.compile(r":[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """What others refer to: views with their parameters, and page paths."""

    parameters: Mapping[str, frozenset[str]]
    pages: tuple[str, ...] | None

    def has_page(self, path: str) -> bool:
        """Whether some page answers this path; `:name` in a page answers any one part."""
        return self.pages is None or any(
            re.fullmatch("[^/]+".join(map(re.escape, _PARAMETER.split(page))), path) for page in self.pages
        )


def read_views(project: ProjectFiles, documents: Mapping[str, Any]) -> Views:
    """All views by path with the parameters that they declare, and all pages."""
    parameters = {}
    for resource in project.resources():
        if resource.kind.folder == f"{PERSPECTIVE}/views":
            document = documents.get(f"{resource.folder}/view.json")
            declared = document.get("params") if isinstance(document, dict) else None
            parameters[resource.name] = frozenset(declared if isinstance(declared, dict) else ())
    config = documents.get(_PAGES)
    pages = config.get("pages") if isinstance(config, dict) else None
    return Views(parameters=parameters, pages=tuple(pages) if isinstance(pages, dict) else None)


def check_views(
    project: ProjectFiles,
    documents: Mapping[str, Any],
    views: Views,
    queries: Mapping[str, NamedQuery],
    tags: TagPaths | None,
    *,
    for_81: bool,
) -> Iterator[Finding]:
    """Check page-config and every view."""
    config = documents.get(_PAGES)
    if config is not None:
        yield from _check_pages(config, views)
    elif views.parameters:
        yield Finding(
            file=_PAGES, place="", what="is missing, so no page shows any view", mend="add it with a page /"
        )
    for resource in project.resources():
        if resource.kind.folder != f"{PERSPECTIVE}/views":
            continue
        document = documents.get(f"{resource.folder}/view.json")
        if document is not None:
            checker = _View(f"{resource.folder}/view.json", views, queries, tags, for_81)
            yield from checker.check(document)


def _check_pages(config: Any, views: Views) -> Iterator[Finding]:
    pages = config.get("pages") if isinstance(config, dict) else None
    if not isinstance(pages, dict) or "/" not in pages:
        yield Finding(
            file=_PAGES,
            place="pages",
            what="there is no page /; the root of a session shows an error",
            mend='add "/": {"viewPath": …}',
        )
    for place, value in walk(config):
        if isinstance(value, dict) and "viewPath" in value:
            yield from _view_exists(_PAGES, f"{place}.viewPath", value["viewPath"], views)


def _view_exists(file: str, place: str, path: Any, views: Views) -> Iterator[Finding]:
    if isinstance(path, str) and path and "{" not in path and path not in views.parameters:
        yield Finding(
            file=file,
            place=place,
            what=f"there is no view {path!r}",
            mend=f"there are {', '.join(sorted(views.parameters)) or 'none'}",
        )


class _View:
    def __init__(
        self,
        file: str,
        views: Views,
        queries: Mapping[str, NamedQuery],
        tags: TagPaths | None,
        for_81: bool,
    ) -> None:
        self._file = file
        self._views = views
        self._queries = queries
        self._tags = tags
        self._for_81 = for_81

    def _off(self, place: str, what: str, mend: str) -> Finding:
        return Finding(file=self._file, place=place, what=what, mend=mend)

    def check(self, document: Any) -> Iterator[Finding]:
        root = document.get("root") if isinstance(document, dict) else None
        if not isinstance(root, dict):
            yield self._off("root", "is missing", "a view has a container as its root")
            return
        if _name_of(root) != "root":
            yield self._off("root.meta.name", f"wanted 'root', found {_name_of(root)!r}", "name it root")
        yield from self._component(root, "root")
        for place, value in walk(document):
            if isinstance(value, dict):
                yield from self._object(place, value)
            elif isinstance(value, str) and self._tags is not None:
                for path in _IN_EXPRESSION.findall(value):
                    problem = self._tags.missing(path)
                    if problem is not None:
                        yield self._off(place, problem, "correct the path, or add the tag to tags.json")

    def _component(self, component: Mapping[str, Any], place: str) -> Iterator[Finding]:
        if not isinstance(component.get("type"), str):
            yield self._off(place, "a component without a type", "write its type, such as ia.display.label")
        elif self._for_81 and is_one_of(component["type"], _ONLY_83):
            yield self._off(
                place, f"8.1 has no {component['type']}", "use components that both versions have"
            )
        if is_one_of(component.get("type"), _HOSTS):
            yield from self._host(component, place)
        children = component.get("children")
        if not isinstance(children, list):
            return
        named = [child for child in children if isinstance(child, dict)]
        for name, count in Counter(_name_of(child) for child in named).items():
            if name is None:
                yield self._off(f"{place}.children", "holds a component without meta.name", "name it")
            elif count > 1:
                yield self._off(
                    f"{place}.children[{name}]",
                    f"{count} siblings have the name {name!r}; bindings and scripts reach one of them",
                    "give each its own name",
                )
        for number, child in enumerate(named):
            yield from self._component(child, f"{place}.children[{_name_of(child) or number}]")

    def _host(self, component: Mapping[str, Any], place: str) -> Iterator[Finding]:
        props = component.get("props")
        path = props.get("path") if isinstance(props, dict) else None
        if not isinstance(props, dict) or not isinstance(path, str) or not path:
            bound = isinstance(component.get("propConfig"), dict) and "props.path" in component["propConfig"]
            if not bound:
                yield self._off(f"{place}.props.path", "names no view", "give it the path of a view")
            return
        yield from _view_exists(self._file, f"{place}.props.path", path, self._views)
        config = component.get("propConfig")
        bound_names = {
            key.removeprefix("props.params.").partition(".")[0]
            for key in (config if isinstance(config, dict) else ())
            if key.startswith("props.params.")
        }
        given = props.get("params")
        names = bound_names | set(given if isinstance(given, dict) else ())
        yield from self._given(f"{place}.props.params", path, names)

    def _given(self, place: str, path: str, names: set[str]) -> Iterator[Finding]:
        declared = self._views.parameters.get(path)
        for name in sorted(names - declared) if declared is not None else ():
            yield self._off(
                f"{place}.{name}",
                f"the view {path} has no parameter {name!r}; it would be dropped",
                f"it has {', '.join(sorted(declared or ())) or 'none'}",
            )

    def _object(self, place: str, value: Mapping[str, Any]) -> Iterator[Finding]:
        if "viewPath" in value:
            yield from _view_exists(self._file, f"{place}.viewPath", value["viewPath"], self._views)
            given = value.get("viewParams")
            if isinstance(value["viewPath"], str) and isinstance(given, dict):
                yield from self._given(f"{place}.viewParams", value["viewPath"], set(given))
        config = value.get("config")
        if not isinstance(config, dict):
            return
        kind, last = value.get("type"), place.rpartition(".")[2]
        if last == "binding":
            if "bidirectional" in value:
                yield self._off(
                    f"{place}.bidirectional",
                    "stands beside config, where it does nothing",
                    "move it into config",
                )
            if kind == "query":
                yield from self._query(place, config)
            elif kind == "tag":
                yield from self._tag(place, config)
        elif is_one_of(kind, _CLIENT_ACTIONS) and "scope" in value:
            if value["scope"] != "C":
                yield self._off(f"{place}.scope", f"a {kind} action has scope C", 'write "scope": "C"')
            page = config.get("page")
            if kind == "nav" and isinstance(page, str) and page:
                path = re.sub(r"\{[^}]*\}", "x", page)
                if not self._views.has_page(path):
                    yield self._off(
                        f"{place}.config.page",
                        f"there is no page {page!r}",
                        f"there are {', '.join(self._views.pages or ()) or 'none'}",
                    )
        elif kind == "script" and "scope" in value and value["scope"] != "G":
            yield self._off(f"{place}.scope", "a script action has scope G", 'write "scope": "G"')

    def _query(self, place: str, config: Mapping[str, Any]) -> Iterator[Finding]:
        path = config.get("queryPath")
        if not isinstance(path, str) or not path or "{" in path:
            return
        query = self._queries.get(path)
        if query is None:
            yield self._off(
                f"{place}.config.queryPath",
                f"there is no named query {path!r}",
                f"there are {', '.join(sorted(self._queries)) or 'none'}",
            )
            return
        given = config.get("parameters")
        names = set(given) if isinstance(given, dict) else set()
        for name in sorted(query.parameters - names):
            yield self._off(
                f"{place}.config.parameters",
                f"{path} wants {name!r}, which is not bound; it would run with NULL",
                f"bind {name}",
            )
        for name in sorted(names - query.parameters):
            yield self._off(
                f"{place}.config.parameters.{name}",
                f"{path} has no parameter {name!r}; it is ignored without a word",
                f"it has {', '.join(sorted(query.parameters)) or 'none'}",
            )
        for name, expression in given.items() if isinstance(given, dict) else ():
            if not isinstance(expression, str) or not _CONSTANT.match(expression):
                yield self._off(
                    f"{place}.config.parameters.{name}",
                    f"{expression!r} is no expression; every parameter of a query binding is one",
                    "put quotes inside the text: \"'open'\"",
                )

    def _tag(self, place: str, config: Mapping[str, Any]) -> Iterator[Finding]:
        path = config.get("tagPath")
        if self._tags is None or not isinstance(path, str) or config.get("mode") == "expression":
            return
        if not path.startswith("[") and not path.startswith("{"):
            yield self._off(
                f"{place}.config.tagPath",
                f"{path!r} names no provider, and a project default cannot be shipped",
                "start it with [default]",
            )
            return
        problem = self._tags.missing(path)
        if problem is not None:
            yield self._off(
                f"{place}.config.tagPath", problem, "correct the path, or add the tag to tags.json"
            )


def _name_of(component: Mapping[str, Any]) -> str | None:
    meta = component.get("meta")
    name = meta.get("name") if isinstance(meta, dict) else None
    return name if isinstance(name, str) and name else None
