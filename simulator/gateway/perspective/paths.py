"""Paths into property trees, and references to the trees of other components, views, pages and sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from simulator.gateway.expressions import ExpressionError
from simulator.gateway.perspective.catalogue import SCOPES

Path = tuple[str | int, ...]

_STEP: Final = re.compile(r"""\.?([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]""")
_ROUTE: Final = re.compile(rf"(?P<route>.*?)\.?(?P<path>\b(?:{'|'.join(SCOPES)})(?:[.\[].*)?)")
_WORLDS: Final[Mapping[str, tuple[str, ...]]] = {
    "view": ("params", "custom", "props"),
    "session": ("props", "custom"),
    "page": ("props", "custom"),
    "this": SCOPES,
    "parent": SCOPES,
}


@dataclass(frozen=True)
class Reference:
    """What a reference in braces or a property binding's path points at.

    ``world``: tag, value, view, session, page, this, or route; ``route`` is the way to another component, from
    the root (``/``) or from here (``..`` and names).
    """

    world: str
    path: Path = ()
    route: tuple[str, ...] = ()
    text: str = ""


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """``props.data[0].x`` as keys and indexes. Raises ``ExpressionError``."""
    steps: list[str | int] = []
    place = 0
    while place < len(text):
        match = _STEP.match(text, place)
        if match is None:
            raise ExpressionError(f"{text!r} is no property path")
        index, quoted = match[2], match[3] if match[3] is not None else match[4]
        steps.append(int(index) if index is not None else match[1] if match[1] is not None else quoted)
        place = match.end()
    if not steps:
        raise ExpressionError("an empty property path")
    return tuple(steps)


@lru_cache(maxsize=4096)
def parse_reference(text: str) -> Reference:
    """What the text points at. Raises ``ExpressionError`` naming what it is not."""
    text = text.strip()
    if text.startswith("["):
        return Reference("tag", text=text)
    if text == "value" or text.startswith(("value.", "value[")):
        return Reference("value", parse_path(text)[1:], text=text)
    if text.startswith(("/", ".")):
        return _routed(text)
    path = parse_path(text)
    world, rest = str(path[0]), path[1:]
    known = _WORLDS.get(world)
    if known is None:
        raise ExpressionError(f"{{{text}}}: begins with none of {', '.join(_WORLDS)}, '/', '..' and '['")
    if not rest or rest[0] not in known:
        raise ExpressionError(f"{{{text}}}: after {world} comes one of {', '.join(known)}")
    if world == "parent":
        return Reference("route", rest, ("..",), text)
    return Reference(world, rest, text=text)


def _routed(text: str) -> Reference:
    way, slash, last = text.rpartition("/")
    match = _ROUTE.fullmatch(last)
    if not slash or match is None:
        raise ExpressionError(f"{{{text}}}: names no property of a component ({', '.join(SCOPES)})")
    names = [*way.split("/"), match["route"]]
    absolute = text.startswith("/")
    route = tuple(name for name in names if name not in ("", "."))
    if absolute:
        if route[:1] == ("root",):
            route = route[1:]
        route = ("/", *route)
    return Reference("route", parse_path(match["path"]), route, text)


def look(value: Any, path: Path) -> tuple[bool, Any]:
    """Whether the path exists below the value, and what is there."""
    for step in path:
        if isinstance(value, dict):
            if step not in value:
                return False, None
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return False, None
    return True, value


def replaced(value: Any, path: Path, content: Any) -> Any:
    """A copy of the value with other content at the path; everything beside the path is shared."""
    if not path:
        return content
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        items = list(value) if isinstance(value, list) else []
        while len(items) <= step:
            if len(items) > 10_000:
                raise ExpressionError(f"index {step} is too far behind the end")
            items.append(None)
        items[step] = replaced(items[step], rest, content)
        return items
    entries = dict(value) if isinstance(value, dict) else {}
    entries[step] = replaced(entries.get(step), rest, content)
    return entries


def spelt(path: Path) -> str:
    """The path as people write it."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
