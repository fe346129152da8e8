"""The components of one view: types, names, properties, embedded views, icons, style classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from bridge.ignition.check_actions import check_events
from bridge.ignition.check_bindings import check_bindings, check_classes
from bridge.ignition.json_values import as_list, is_one_of
from bridge.ignition.perspective_parts import (
    ACCESS,
    COMPONENTS,
    DIRECTIONS,
    ICONS,
    ONLY_83,
    SHOWN,
    TABLE_RENDERS,
    is_known_type,
)
from bridge.ignition.scripts import walk
from bridge.ignition.view_sight import NOT_PREVIEWED, Sight
from bridge.ignition.view_tree import Node, name_of, view_tree

_HOSTS = frozenset({"ia.display.view", "ia.display.flex-repeater", "ia.display.carousel"})
_IN_EXPRESSION = re.compile(r"\{(\[[^\]{}]+\][^{}]*)\}")
_ICON = re.compile(r"^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$")
_ANY_ICON = re.compile(r"^material/(\w+)$")
_TARGETS = ("props", "custom", "params", "meta", "position")
_OF_INSTANCE = frozenset({"instancePosition", "instanceStyle"})


def check_view(sight: Sight, document: Any) -> None:
    """Check one view.json from top to bottom."""
    root = document.get("root") if isinstance(document, dict) else None
    if not isinstance(root, dict):
        sight.error("root", "is missing", "a view has a container as its root")
        return
    if name_of(root) != "root":
        sight.error("root.meta.name", f"wanted 'root', found {name_of(root)!r}", "name it root")
    for node in view_tree(document).below():
        if not node.is_view:
            _check_component(sight, node)
        _check_targets(sight, node)
        check_bindings(sight, node)
        check_events(sight, node)
    for place, value in walk(document):
        if isinstance(value, dict) and "viewPath" in value:
            view_exists(sight, f"{place}.viewPath", value["viewPath"])
            given = value.get("viewParams")
            if isinstance(value["viewPath"], str) and isinstance(given, dict):
                check_given(sight, f"{place}.viewParams", value["viewPath"], set(given))
        elif isinstance(value, str):
            _check_text(sight, place, value)


def _check_text(sight: Sight, place: str, text: str) -> None:
    icon = _ANY_ICON.match(text)
    if icon is not None and icon[1] not in ICONS:
        sight.note(
            place, f"the preview has no icon {text}", "a gateway has more; the preview shows a red box"
        )
    if sight.tags is None:
        return
    for path in _IN_EXPRESSION.findall(text):
        problem = sight.tags.missing(path)
        if problem is not None:
            sight.error(place, problem, "correct the path, or add the tag to tags.json")


def view_exists(sight: Sight, place: str, path: Any) -> None:
    """Check that a view is there; a path with braces is made at run time."""
    if isinstance(path, str) and path and "{" not in path and path not in sight.views.parameters:
        sight.error(
            place,
            f"there is no view {path!r}",
            f"there are {', '.join(sorted(sight.views.parameters)) or 'none'}",
        )


def check_given(sight: Sight, place: str, path: str, names: set[str]) -> None:
    """Check that a view declares the parameters that it is given."""
    declared = sight.views.parameters.get(path)
    for name in sorted(names - declared) if declared is not None else ():
        sight.error(
            f"{place}.{name}",
            f"the view {path} has no parameter {name!r}; it would be dropped",
            f"it has {', '.join(sorted(declared or ())) or 'none'}",
        )


def _check_component(sight: Sight, node: Node) -> None:
    component, place = node.document, node.place
    kind = component.get("type")
    if not isinstance(kind, str):
        sight.error(place, "a component without a type", "write its type, such as ia.display.label")
    elif sight.for_81 and kind in ONLY_83:
        sight.error(place, f"8.1 has no {kind}", "use components that both versions have")
    elif not is_known_type(kind):
        sight.error(
            f"{place}.type",
            f"there is no component type {kind!r}",
            f"there are {', '.join(sorted(COMPONENTS))}",
        )
    elif kind not in COMPONENTS:
        sight.note(f"{place}.type", f"the preview does not draw {kind}", NOT_PREVIEWED)
    props = component.get("props")
    for key in props if isinstance(props, dict) else ():
        check_property(sight, f"{place}.props.{key}", node, str(key))
    if isinstance(props, dict):
        _check_props(sight, f"{place}.props", props, str(kind))
    if is_one_of(kind, _HOSTS):
        _check_host(sight, node)
    _check_names(sight, node)


def _check_names(sight: Sight, node: Node) -> None:
    named = [child for child in as_list(node.document.get("children")) if isinstance(child, dict)]
    for name, count in Counter(name_of(child) for child in named).items():
        if name is None:
            sight.error(f"{node.place}.children", "holds a component without meta.name", "name it")
        elif count > 1:
            sight.error(
                f"{node.place}.children[{name}]",
                f"{count} siblings have the name {name!r}; bindings and scripts reach one of them",
                "give each its own name",
            )


def check_property(sight: Sight, place: str, node: Node, key: str) -> None:
    """Check that a component has a property of this name."""
    kind = str(node.document.get("type"))
    part = COMPONENTS.get(kind)
    if part is None or key in part.props:
        return
    if key in part.also_props:
        sight.note(place, f"the preview knows no {key} of {kind}", NOT_PREVIEWED)
    else:
        sight.error(place, f"{kind} has no property {key!r}", f"it has {', '.join(sorted(part.props))}")


def _check_targets(sight: Sight, node: Node) -> None:
    config = node.document.get("propConfig")
    for target, settings in config.items() if isinstance(config, dict) else ():
        place = node.at("propConfig", str(target))
        direction = settings.get("paramDirection") if isinstance(settings, dict) else None
        if direction is not None and not is_one_of(direction, DIRECTIONS):
            sight.error(
                f"{place}.paramDirection",
                f"there is no direction {direction!r}",
                f"there are {', '.join(sorted(DIRECTIONS))}",
            )
        scope, _, rest = str(target).partition(".")
        access = settings.get("access", "PUBLIC") if isinstance(settings, dict) else "PUBLIC"
        if not is_one_of(access, ACCESS):
            sight.error(
                f"{place}.access", f"there is no access {access!r}", f"there are {', '.join(sorted(ACCESS))}"
            )
        elif access == "PRIVATE" and scope in SHOWN and not node.is_view and re.search(r"[.\[]", rest):
            sight.note(f"{place}.access", "the preview hides whole properties only", NOT_PREVIEWED)
        if scope not in _TARGETS or (scope == "params" and not node.is_view):
            sight.error(
                place,
                f"{target!r} is no property",
                f"start it with {', '.join(f'{name}.' for name in _TARGETS)}",
            )
        elif scope == "props" and not node.is_view and rest:
            check_property(sight, place, node, re.split(r"[.\[]", rest)[0])


def _check_props(sight: Sight, place: str, props: Mapping[str, Any], kind: str) -> None:
    if kind == "ia.display.table":
        for number, column in enumerate(as_list(props.get("columns"))):
            render = column.get("render") if isinstance(column, dict) else None
            if render is not None and not is_one_of(render, TABLE_RENDERS):
                where = f"{place}.columns[{number}].render"
                sight.note(where, f"the preview does not draw {render!r}", NOT_PREVIEWED)
    if kind == "ia.display.icon":
        _check_icon(sight, f"{place}.path", props.get("path"))
    for where, value in walk(props, place):
        if not isinstance(value, dict):
            continue
        last = where.rpartition(".")[2]
        if isinstance(value.get("classes"), str) and last.lower().endswith("style"):
            check_classes(sight, f"{where}.classes", value["classes"])
        if last.lower().endswith("icon"):
            _check_icon(sight, f"{where}.path", value.get("path"))


def _check_icon(sight: Sight, place: str, path: Any) -> None:
    if isinstance(path, str) and path and not _ICON.match(path):
        sight.error(place, f"{path!r} is no icon", "write library and name, such as material/home")
    elif isinstance(path, str) and path and not path.startswith("material/"):
        sight.note(
            place, f"the preview has no icon {path}", "a gateway has more; the preview shows a red box"
        )


def _check_host(sight: Sight, node: Node) -> None:
    props, config = node.document.get("props"), node.document.get("propConfig")
    place = node.place
    path = props.get("path") if isinstance(props, dict) else None
    if not isinstance(props, dict) or not isinstance(path, str) or not path:
        bound = isinstance(config, dict) and "props.path" in config
        if not bound and node.document.get("type") != "ia.display.carousel":
            sight.error(f"{place}.props.path", "names no view", "give it the path of a view")
        return
    view_exists(sight, f"{place}.props.path", path)
    names = {
        re.split(r"[.\[]", key.removeprefix("props.params."))[0]
        for key in (config if isinstance(config, dict) else ())
        if key.startswith("props.params.")
    }
    given = props.get("params")
    check_given(sight, f"{place}.props.params", path, names | set(given if isinstance(given, dict) else ()))
    if node.document.get("type") == "ia.display.flex-repeater":
        for number, instance in enumerate(as_list(props.get("instances"))):
            if isinstance(instance, dict):
                where = f"{place}.props.instances[{number}]"
                check_given(sight, where, path, set(instance) - _OF_INSTANCE)
