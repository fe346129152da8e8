"""A view as a tree of components, and whether a reference such as `../Sibling.props.text` leads somewhere in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.ignition.json_values import as_list
from bridge.ignition.perspective_parts import COMPONENTS

_REFERENCE = re.compile(
    r"^(?P<start>view|this|parent|session|page|\.+(?=/)|(?=/))(?P<path>(?:\.parent)*(?:/[^/]+?)*)"
    r"\.(?P<scope>props|custom|meta|position|params)(?:[.\[](?P<key>[^.\[\]]+))?(?P<rest>[.\[].*)?$",
    re.DOTALL,
)
_WORLDS = {"view": ("params", "custom", "props"), "session": ("props", "custom"), "page": ("props", "custom")}
_LOOKS_LIKE = re.compile(r"^(?:(?:view|this|session|page|parent)\.|\.*/)")


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One component, or the view itself (without a parent and with the root as its only child)."""

    place: str
    document: Mapping[str, Any]
    parent: Node | None
    children: dict[str, Node] = field(default_factory=dict)
    unnamed: list[Node] = field(default_factory=list)

    @property
    def is_view(self) -> bool:
        """Whether this is the view, which has `params` and no type."""
        return self.parent is None

    def below(self) -> Iterator[Node]:
        """This one and everything in it."""
        yield self
        for child in (*self.children.values(), *self.unnamed):
            yield from child.below()

    def declared(self, scope: str) -> frozenset[str]:
        """The names in `custom` or `params`, with those that have a configuration only."""
        values, config = self.document.get(scope), self.document.get("propConfig")
        names = set(values if isinstance(values, dict) else ())
        for key in config if isinstance(config, dict) else ():
            if key.startswith(f"{scope}."):
                names.add(re.split(r"[.\[]", key.removeprefix(f"{scope}."))[0])
        return frozenset(names)

    def at(self, *keys: str) -> str:
        """The JSON path of something in this component."""
        return ".".join(key for key in (self.place, *keys) if key)


def name_of(component: Mapping[str, Any]) -> str | None:
    """A component's name, if it has one."""
    meta = component.get("meta")
    name = meta.get("name") if isinstance(meta, dict) else None
    return name if isinstance(name, str) and name else None


def view_tree(document: Mapping[str, Any]) -> Node:
    """The view with all its components; what is no object is left out."""
    view = Node(place="", document=document, parent=None)
    root = document.get("root")
    if isinstance(root, dict):
        view.children["root"] = _tree(root, "root", view)
    return view


def _tree(component: Mapping[str, Any], place: str, parent: Node) -> Node:
    node = Node(place=place, document=component, parent=parent)
    named = [child for child in as_list(component.get("children")) if isinstance(child, dict)]
    for number, child in enumerate(named):
        name = name_of(child)
        below = _tree(child, f"{place}.children[{name or number}]", node)
        if name is None or name in node.children:
            node.unnamed.append(below)
        else:
            node.children[name] = below
    return node


@dataclass(frozen=True, slots=True, kw_only=True)
class Nowhere:
    """Why a reference leads nowhere, and what there is instead."""

    what: str
    mend: str


def is_reference(text: str) -> bool:
    """Whether the text in braces means a property; tags and `value` do not."""
    return _LOOKS_LIKE.match(text.strip()) is not None


def follow(reference: str, node: Node, session_custom: frozenset[str]) -> Nowhere | None:
    """Follow a reference from the component that holds it; None when it leads somewhere or cannot be judged."""
    found = _REFERENCE.match(reference.strip())
    if found is None:
        return Nowhere(
            what=f"{{{reference}}} is no reference",
            mend="write view.params.x, view.custom.x, this.props.x, ../Sibling.props.x, ./Child.props.x, "
            "session.custom.x, page.props.path or [default]Tag",
        )
    start, scope, key = found["start"], found["scope"], found["key"]
    if start in _WORLDS and scope not in _WORLDS[start]:
        there = ", ".join(f"{start}.{name}" for name in _WORLDS[start])
        return Nowhere(what=f"{{{reference}}} is no reference", mend=f"there are {there}")
    if start == "page":
        return None
    if start == "session":
        if scope != "custom" or key is None or key in session_custom:
            return None
        return _missing(reference, "the session", "custom", key, session_custom)
    target = _walk(start, found["path"] or "", node)
    if isinstance(target, Nowhere):
        return Nowhere(what=f"{{{reference}}} leads nowhere: {target.what}", mend=target.mend)
    if key is None:
        return None
    whom = "the view" if target.is_view else target.place
    if scope == "custom" or (scope == "params" and target.is_view):
        declared = target.declared(scope)
        return None if key in declared else _missing(reference, whom, scope, key, declared)
    if scope == "params":
        return Nowhere(
            what=f"{{{reference}}} leads nowhere: a component has no params", mend="write view.params"
        )
    part = COMPONENTS.get(str(target.document.get("type")))
    if scope == "props" and part is not None and key not in part.props | part.also_props:
        return _missing(reference, whom, "props", key, part.props)
    return None


def _missing(reference: str, whom: str, scope: str, key: str, there: frozenset[str]) -> Nowhere:
    return Nowhere(
        what=f"{{{reference}}} leads nowhere: {whom} has no {scope}.{key}",
        mend=f"it has {', '.join(sorted(there)) or 'none'}; declare it, or correct the name",
    )


def _walk(start: str, path: str, node: Node) -> Node | Nowhere:
    view = node
    while view.parent is not None:
        view = view.parent
    if start == "view":
        return view
    target: Node | None = node
    steps = [step for step in re.split(r"[/]", path) if step]
    if start == "":
        target = view
    elif start.startswith("."):
        for _ in range(len(start) - 1):
            target = target.parent if target is not None else None
    elif start == "parent":
        ups = 1 + path.count(".parent")
        steps = []
        for _ in range(ups):
            target = target.parent if target is not None else None
    for step in steps:
        if target is None:
            break
        if set(step) == {"."}:
            for _ in range(len(step) - 1):
                target = target.parent if target is not None else None
        elif step in target.children:
            target = target.children[step]
        else:
            there = ", ".join(sorted(target.children)) or "none"
            return Nowhere(what=f"{target.place or 'the view'} holds no {step!r}", mend=f"it holds {there}")
    if target is None:
        return Nowhere(what="it goes above the view", mend="pass the value in as a parameter of the view")
    return target
