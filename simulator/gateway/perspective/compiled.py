"""A view.json read once: plans of its components, bindings, scripts and events, with what is wrong named.

Instances share the plans. What is wrong in one component is that component's red box.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.gateway.expressions import ExpressionError
from simulator.gateway.named_query import NamedQuery
from simulator.gateway.perspective.catalogue import (
    ACCESS,
    ACTIONS,
    COMPONENTS,
    DIRECTIONS,
    DOM_EVENTS,
    ORDERS,
    SCOPES,
    SHOWN,
    SYSTEM_EVENTS,
    is_one_of,
    undrawn,
)
from simulator.gateway.perspective.compiled_bindings import (
    BindingCompiler,
    BindingPlan,
    PlanError,
    a_list,
    a_text,
    an_object,
)
from simulator.gateway.perspective.paths import Path, parse_path, parse_reference

_DEPTH_LIMIT: Final = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class Action:
    """One action of an event."""

    kind: str
    config: Mapping[str, Any]
    permissions: Any
    event: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Method:
    """A custom method or a message handler."""

    name: str
    parameters: tuple[str, ...]
    code: str
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, eq=False)
class Behaviour:
    """What components and views have in common."""

    bindings: tuple[BindingPlan, ...] = ()
    on_change: Mapping[Path, str] = field(default_factory=dict)
    events: Mapping[tuple[str, str], tuple[Action, ...]] = field(default_factory=dict)
    methods: Mapping[str, Method] = field(default_factory=dict)
    handlers: tuple[Method, ...] = ()
    access: Mapping[Path, str] = field(default_factory=dict)
    """PRIVATE, PROTECTED or SYSTEM, of the properties that are not the browser's to write."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ComponentPlan:
    """One component; ``place`` is file and path for people."""

    type: str
    name: str
    place: str
    scopes: Mapping[str, Any]
    behaviour: Behaviour = Behaviour()
    children: tuple[ComponentPlan, ...] = ()
    red: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewPlan:
    """One view."""

    path: str
    file: str
    root: ComponentPlan
    scopes: Mapping[str, Any]
    directions: Mapping[str, str] = field(default_factory=dict)
    behaviour: Behaviour = Behaviour()
    permissions: Any = None


def red_view(path: str, problem: str) -> ViewPlan:
    """A view that is one red box."""
    return ViewPlan(
        path=path,
        file=f"views/{path}/view.json",
        root=ComponentPlan(type="ia.container.flex", name="root", place=path, scopes=_empty(), red=problem),
        scopes={"params": {}, "custom": {}, "props": {}},
    )


def _empty() -> dict[str, Any]:
    return {"props": {}, "custom": {}, "position": {}, "meta": {"name": "root"}}


def compile_view(path: str, content: bytes, queries: Mapping[str, NamedQuery]) -> ViewPlan:
    """Read a view; what is no view at all becomes a single red box."""
    file = f"com.inductiveautomation.perspective/views/{path}/view.json"
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        return red_view(path, f"{file} · is not JSON: {error}")
    if not isinstance(document, dict) or not isinstance(document.get("root"), dict):
        return red_view(path, f"{file} · is no view: an object with a root is wanted")
    return _Compiler(path, file, queries).view(document)


class _Compiler:
    def __init__(self, path: str, file: str, queries: Mapping[str, NamedQuery]) -> None:
        self._path = path
        self._file = file
        self._bindings = BindingCompiler(queries)

    def view(self, document: dict[str, Any]) -> ViewPlan:
        root = self._component(document["root"], "root", 0)
        scopes: dict[str, Any] = {}
        directions: dict[str, str] = {}
        behaviour = Behaviour()
        try:
            for key in ("params", "custom", "props"):
                scopes[key] = an_object(document.get(key), key)
            behaviour = self._behaviour(document, ("params", "custom", "props"))
            directions = dict(self._directions(document))
        except PlanError as error:
            return red_view(self._path, f"{self._file} · view: {error}")
        return ViewPlan(
            path=self._path,
            file=self._file,
            root=root,
            scopes=scopes,
            directions=directions,
            behaviour=behaviour,
            permissions=document.get("permissions"),
        )

    def _directions(self, document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for path, config in an_object(document.get("propConfig"), "propConfig").items():
            direction = config.get("paramDirection") if isinstance(config, dict) else None
            if direction is not None and path.startswith("params."):
                if not is_one_of(direction, DIRECTIONS):
                    raise PlanError(f"{path}: paramDirection {direction!r} is unknown")
                yield path.removeprefix("params."), direction

    def _component(self, node: Any, where: str, depth: int) -> ComponentPlan:
        place = f"{self._file} · {where}"
        if not isinstance(node, dict):
            return ComponentPlan(
                type="ia.container.flex",
                name=where.rpartition("/")[2],
                place=place,
                scopes=_empty(),
                red=f"{place}: an object is wanted, found {type(node).__name__}",
            )
        red = None
        scopes = _empty()
        behaviour = Behaviour()
        children: tuple[ComponentPlan, ...] = ()
        kind = node.get("type")
        name = where.rpartition("/")[2]
        try:
            if depth > _DEPTH_LIMIT:
                raise PlanError(f"nested deeper than {_DEPTH_LIMIT} components")
            for scope in SCOPES:
                scopes[scope] = an_object(node.get(scope), scope)
            scopes["meta"] = {"name": name, **scopes["meta"]}
            if not isinstance(kind, str) or kind not in COMPONENTS:
                raise PlanError(f"component type {kind!r} is not known to the preview")
            for key in scopes["props"]:
                _check_property(kind, key)
            problem = undrawn(kind, scopes["props"])
            if problem is not None:
                raise PlanError(problem)
            behaviour = self._behaviour(node, SCOPES, kind)
            nodes = a_list(node.get("children"), "children")
            if nodes and not COMPONENTS[kind].container:
                raise PlanError(f"{kind} takes no children")
            children = tuple(
                self._component(child, f"{where}/{_name(child, number)}", depth + 1)
                for number, child in enumerate(nodes)
            )
        except PlanError as error:
            red, children, behaviour = f"{place}: {error}", (), Behaviour()
        return ComponentPlan(
            type=str(kind),
            name=name,
            place=place,
            scopes=scopes,
            behaviour=behaviour,
            children=children,
            red=red,
        )

    # ── behaviour ─────────────────────────────────────────────────────────────────────────────────────────

    def _behaviour(self, node: Mapping[str, Any], scopes: tuple[str, ...], kind: str = "") -> Behaviour:
        bindings, changes, access = [], {}, {}
        for text, config in an_object(node.get("propConfig"), "propConfig").items():
            try:
                path = parse_path(text)
            except ExpressionError as error:
                raise PlanError(f"propConfig: {error}") from error
            config = an_object(config, f"propConfig.{text}")
            if path[0] not in scopes:
                raise PlanError(f"propConfig.{text}: begins with none of {', '.join(scopes)}")
            if kind and path[0] == "props" and len(path) > 1:
                _check_property(kind, path[1])
            guard = config.get("access", "PUBLIC")
            deep = kind and guard == "PRIVATE" and path[0] in SHOWN and len(path) != 2
            if not is_one_of(guard, ACCESS) or deep:
                raise PlanError(f"propConfig.{text}: access {guard!r} is not known to the preview here")
            if guard != "PUBLIC":
                access[path] = guard
            if "binding" in config:
                plan = self._bindings.binding(path, text, an_object(config["binding"], f"{text}.binding"))
                if plan is not None:
                    bindings.append(plan)
            if config.get("onChange") is not None:
                change = an_object(config["onChange"], f"{text}.onChange")
                if change.get("enabled") is not False:
                    changes[path] = a_text(change.get("script"), f"{text}.onChange.script")
        scripts = an_object(node.get("scripts"), "scripts")
        return Behaviour(
            bindings=tuple(bindings),
            on_change=changes,
            events=dict(self._events(node, kind)),
            methods={method.name: method for method in self._methods(scripts)},
            handlers=tuple(self._handlers(scripts)),
            access=access,
        )

    def _methods(self, scripts: Mapping[str, Any]) -> Iterator[Method]:
        for entry in a_list(scripts.get("customMethods"), "customMethods"):
            entry = an_object(entry, "customMethods")
            yield Method(
                name=a_text(entry.get("name"), "customMethods.name"),
                parameters=tuple(map(str, a_list(entry.get("params"), "customMethods.params"))),
                code=a_text(entry.get("script"), "customMethods.script"),
            )

    def _handlers(self, scripts: Mapping[str, Any]) -> Iterator[Method]:
        for entry in a_list(scripts.get("messageHandlers"), "messageHandlers"):
            entry = an_object(entry, "messageHandlers")
            yield Method(
                name=a_text(entry.get("messageType"), "messageHandlers.messageType"),
                parameters=("payload",),
                code=a_text(entry.get("script"), "messageHandlers.script"),
                scopes=frozenset(
                    scope for scope in ("page", "session", "view") if entry.get(f"{scope}Scope") is True
                ),
            )

    def _events(
        self, node: Mapping[str, Any], kind: str
    ) -> Iterator[tuple[tuple[str, str], tuple[Action, ...]]]:
        known = {
            "component": COMPONENTS[kind].events if kind else frozenset[str](),
            "dom": DOM_EVENTS if kind else frozenset[str](),
            "system": SYSTEM_EVENTS,
        }
        for category, events in an_object(node.get("events"), "events").items():
            for name, config in an_object(events, f"events.{category}").items():
                what = f"events.{category}.{name}"
                if name not in known.get(category, ()):
                    raise PlanError(f"{what} is not known to the preview")
                actions = config if isinstance(config, list) else [config]
                yield (
                    (category, name),
                    tuple(
                        action
                        for action in (self._action(an_object(one, what), what) for one in actions)
                        if action is not None
                    ),
                )

    def _action(self, action: Mapping[str, Any], what: str) -> Action | None:
        kind = action.get("type")
        if not is_one_of(kind, ACTIONS):
            raise PlanError(f"{what}: action {kind!r} is not known to the preview")
        if action.get("enabled") is False:
            return None
        config = an_object(action.get("config"), f"{what}.config")
        if kind == "script":
            a_text(config.get("script"), f"{what}.config.script")
        orders = ORDERS.get(str(kind))
        if orders is not None and config.get("type", orders[0]) not in orders:
            raise PlanError(f"{what}: {kind} {config['type']!r} is not known to the preview")
        _check_references(config if kind != "script" else {}, what)
        return Action(kind=str(kind), config=config, permissions=action.get("permissions"), event=what)


def _name(child: Any, number: int) -> str:
    meta = child.get("meta") if isinstance(child, dict) else None
    name = meta.get("name") if isinstance(meta, dict) else None
    return name if isinstance(name, str) and name else f"child[{number}]"


def _check_property(kind: str, key: str | int) -> None:
    """What the preview does not draw must not look as if it were drawn."""
    if key not in COMPONENTS[kind].props:
        raise PlanError(f"props.{key}: {kind} has no property {key!r} that the preview knows")


def _check_references(value: Any, what: str) -> None:
    """Texts of an action's configuration may hold references; each must be one."""
    if isinstance(value, str):
        for reference in parse_texts(value)[1::2]:
            try:
                parse_reference(reference)
            except ExpressionError as error:
                raise PlanError(f"{what}: {error}") from error
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _check_references(part, what)


def parse_texts(text: str) -> list[str]:
    """The text cut at its references: text, reference, text, reference, …, text."""
    pieces, rest = [], text
    while "{" in rest and "}" in rest[rest.index("{") :]:
        before, _, after = rest.partition("{")
        reference, _, rest = after.partition("}")
        pieces += [before, reference]
    return [*pieces, rest]
