"""Events, actions, message handlers and permissions of one component."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridge.ignition.json_values import as_list, is_one_of
from bridge.ignition.perspective_parts import (
    ACTIONS,
    ACTIONS_NOT_DRAWN,
    CATEGORIES,
    COMPONENTS,
    DOM_EVENTS,
    DOM_EVENTS_NOT_DRAWN,
    ORDERS,
    SYSTEM_EVENTS,
)
from bridge.ignition.view_sight import NOT_PREVIEWED, Sight
from bridge.ignition.view_tree import Node

_DEPTH_LIMIT = 20


def check_events(sight: Sight, node: Node) -> None:
    """Check `events` and `permissions` of a component or view."""
    if "permissions" in node.document:
        check_permissions(sight, node.at("permissions"), node.document["permissions"])
    events = node.document.get("events")
    for category, named in events.items() if isinstance(events, dict) else ():
        if category not in CATEGORIES:
            sight.error(
                node.at("events", str(category)),
                f"there is no category of events {category!r}",
                f"there are {', '.join(sorted(CATEGORIES))}",
            )
            continue
        for name, actions in named.items() if isinstance(named, dict) else ():
            place = node.at("events", category, str(name))
            _check_name(sight, place, category, str(name), node)
            several = isinstance(actions, list)
            for number, action in enumerate(actions if isinstance(actions, list) else [actions]):
                _check_action(sight, f"{place}[{number}]" if several else place, action, node)


def _check_name(sight: Sight, place: str, category: str, name: str, node: Node) -> None:
    kind = str(node.document.get("type"))
    part = COMPONENTS.get(kind)
    if category == "system":
        known = SYSTEM_EVENTS
    elif category == "dom":
        known = DOM_EVENTS
    elif part is None:
        return
    else:
        known = part.events
    also = part.also_events if part is not None and category == "component" else DOM_EVENTS_NOT_DRAWN
    if category != "system" and name in also:
        sight.note(place, f"the preview has no {category} event {name}", "the preview never runs it")
        return
    if name not in known:
        sight.error(
            place,
            f"{'a view' if node.is_view else kind} has no {category} event {name!r}",
            f"it has {', '.join(sorted(known)) or 'none'}",
        )


def _check_action(sight: Sight, place: str, action: Any, node: Node) -> None:
    if not isinstance(action, dict):
        sight.error(place, f"wanted an action, found {action!r}", "write type, scope and config")
        return
    kind, config = action.get("type"), action.get("config")
    if "permissions" in action:
        check_permissions(sight, f"{place}.permissions", action["permissions"])
    if is_one_of(kind, ACTIONS_NOT_DRAWN):
        sight.note(f"{place}.type", f"the preview has no {kind} action", NOT_PREVIEWED)
        return
    if not is_one_of(kind, ACTIONS):
        sight.error(
            f"{place}.type", f"there is no action of type {kind!r}", f"there are {', '.join(sorted(ACTIONS))}"
        )
        return
    scope = "G" if kind == "script" else "C"
    if action.get("scope") != scope:
        sight.error(f"{place}.scope", f"a {kind} action has scope {scope}", f'write "scope": "{scope}"')
    if not isinstance(config, dict):
        if kind in ("script", "nav", "popup", "dock", "theme"):
            sight.error(
                f"{place}.config", f"wanted an object, found {config!r}", f"write what the {kind} does"
            )
        return
    for key, value in config.items() if kind != "script" else ():
        for where, text in _texts(value, f"{place}.config.{key}"):
            sight.template(where, text, node)
    orders = ORDERS.get(str(kind))
    if orders is not None and not is_one_of(config.get("type", orders[0]), orders):
        sight.note(f"{place}.config.type", f"the preview knows no {kind} {config['type']!r}", NOT_PREVIEWED)
    if kind == "script" and not isinstance(config.get("script"), str):
        sight.error(f"{place}.config.script", "is missing", "write the body, each line with a tab in front")
    elif kind == "nav":
        _check_nav(sight, place, config)
    elif kind == "dock":
        _check_dock(sight, place, config)


def _texts(value: Any, place: str, depth: int = 0) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(place, value)]
    if not isinstance(value, dict) or depth > _DEPTH_LIMIT:
        return []
    return [found for key, item in value.items() for found in _texts(item, f"{place}.{key}", depth + 1)]


def _check_nav(sight: Sight, place: str, config: Mapping[str, Any]) -> None:
    page = config.get("page")
    if not isinstance(page, str) or not page:
        return
    if not sight.views.has_page(re.sub(r"\{[^}]*\}", "x", page)):
        sight.error(
            f"{place}.config.page",
            f"there is no page {page!r}",
            f"there are {', '.join(sight.views.pages or ()) or 'none'}",
        )


def _check_dock(sight: Sight, place: str, config: Mapping[str, Any]) -> None:
    dock = config.get("id")
    if isinstance(dock, str) and "{" not in dock and dock not in sight.views.docks:
        sight.error(
            f"{place}.config.id",
            f"there is no dock {dock!r}",
            f"there are {', '.join(sorted(sight.views.docks)) or 'none'}",
        )


def check_permissions(sight: Sight, place: str, permissions: Any) -> None:
    """Check a tree of security levels: its form, and that the docs tell to make each role."""
    if not isinstance(permissions, dict) or not permissions:
        if permissions:
            sight.error(place, f"wanted an object, found {permissions!r}", "write type and securityLevels")
        return
    if permissions.get("type") not in ("AllOf", "AnyOf"):
        sight.error(
            f"{place}.type", f"wanted AllOf or AnyOf, found {permissions.get('type')!r}", 'write "AllOf"'
        )
    levels = permissions.get("securityLevels")
    if not isinstance(levels, list):
        sight.error(
            f"{place}.securityLevels",
            f"wanted a list, found {levels!r}; the action would be open to everybody, or to nobody",
            "write the levels as a tree of name and children",
        )
        return
    _check_levels(sight, f"{place}.securityLevels", levels, "", 0)


def _check_levels(sight: Sight, place: str, levels: list[Any], above: str, depth: int) -> None:
    for number, level in enumerate(levels):
        name = level.get("name") if isinstance(level, dict) else None
        if not isinstance(name, str) or not name:
            sight.error(f"{place}[{number}]", "a level without a name", "write name and children")
            continue
        path = f"{above}/{name}".removeprefix("/")
        children = as_list(level.get("children"))
        sight.role(f"{place}[{number}]", path)
        if not above and name not in ("Authenticated", "Public", "SecurityZones"):
            sight.note(
                f"{place}[{number}]",
                f"{path!r} is no level of a fresh gateway",
                "roles are levels below Authenticated/Roles",
            )
        if depth < _DEPTH_LIMIT:
            _check_levels(sight, f"{place}[{number}].children", children, path, depth + 1)
