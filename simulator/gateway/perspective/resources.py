"""The project's Perspective resources: pages, docks, styles, session properties and events, as the zip has them.

What cannot be read is a problem in the log and a red box where it would have shown; it stops nothing else.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

_log = logging.getLogger("gateway.perspective")

SIDES: Final = ("top", "left", "right", "bottom")
SESSION_EVENTS: Final = {
    "startup": "onStartup",
    "shutdown": "onShutdown",
    "page-startup": "onPageStartup",
}
"""Folders of the session events of 8.3, and the file and function in each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dock:
    """A view at the side of pages."""

    id: str
    side: str
    view_path: str
    view_params: Mapping[str, Any]
    size: int
    content: str
    show: str

    @property
    def head(self) -> dict[str, Any]:
        """What the browser needs beside the view."""
        return {
            "id": self.id,
            "side": self.side,
            "size": self.size,
            "content": self.content,
            "show": self.show,
        }


@dataclass(frozen=True, kw_only=True)
class PagePlan:
    """One entry of the page configuration; ``pattern`` is its path such as ``/unit/:unitId``."""

    pattern: str
    title: str
    view_path: str
    docks: tuple[Dock, ...] = ()

    def match(self, path: str) -> dict[str, str] | None:
        """The path's parameters, or None when it is another page's."""
        wanted, given = self.pattern.strip("/").split("/"), path.strip("/").split("/")
        if len(wanted) != len(given):
            return None
        parameters = {}
        for part, word in zip(wanted, given, strict=True):
            if part.startswith(":"):
                parameters[part[1:]] = word
            elif part != word:
                return None
        return parameters


@dataclass(frozen=True, kw_only=True)
class Handler:
    """A session event or message handler: a file with one function."""

    name: str
    file: str
    signature: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Everything but the views, which ``compiled`` reads one by one."""

    pages: tuple[PagePlan, ...] = ()
    docks: tuple[Dock, ...] = ()
    views: Mapping[str, bytes] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    permissions: Mapping[str, Any] | None = None
    css: str = ""
    events: Mapping[str, Handler] = field(default_factory=dict)
    messages: Mapping[str, Handler] = field(default_factory=dict)

    def page_at(self, path: str) -> tuple[PagePlan, dict[str, str]] | None:
        """The page of a path and its parameters; pages without parameters win."""
        for page in sorted(self.pages, key=lambda one: ":" in one.pattern):
            parameters = page.match(path)
            if parameters is not None:
                return page, parameters
        return None


def read_resources(files: Mapping[str, bytes]) -> Resources:
    """Read what the project has; what is broken is logged and left out."""
    config = _document(files, "page-config/config.json")
    messages = {}
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.name == "handleMessage.py" and path.parts[0] == "message":
            handler = _handler("/".join(path.parts[1:-1]), name, content)
            if handler is not None:
                messages[handler.name] = handler
    events = {}
    for folder, function in SESSION_EVENTS.items():
        name = f"{folder}/{function}.py"
        handler = _handler(folder, name, files[name]) if name in files else None
        if handler is not None:
            events[folder] = handler
    permissions = _document(files, "session-permissions/data.bin")
    return Resources(
        pages=tuple(_pages(config)),
        docks=tuple(_docks(config.get("sharedDocks"))),
        views={
            name.removeprefix("views/").removesuffix("/view.json"): content
            for name, content in files.items()
            if name.startswith("views/") and name.endswith("/view.json")
        },
        session=_document(files, "session-props/props.json"),
        permissions=permissions or None,
        css=_css(files),
        events=events,
        messages=messages,
    )


def _document(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    if name not in files:
        return {}
    try:
        found = json.loads(files[name])
    except (ValueError, RecursionError) as error:
        _log.error("%s: is not JSON: %s", name, error)
        return {}
    if not isinstance(found, dict):
        _log.error("%s: an object is wanted, found %s", name, type(found).__name__)
        return {}
    return found


def _objects(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield from ((key, entry) for key, entry in value.items() if isinstance(entry, dict))


def _pages(config: Mapping[str, Any]) -> Iterator[PagePlan]:
    for pattern, entry in _objects(config.get("pages")):
        yield PagePlan(
            pattern=pattern,
            title=str(entry.get("title") or ""),
            view_path=str(entry.get("viewPath") or ""),
            docks=tuple(_docks(entry.get("docks"))),
        )


def _docks(config: Any) -> Iterator[Dock]:
    if not isinstance(config, dict):
        return
    for side in SIDES:
        entries = config.get(side)
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict):
                _log.error("page-config/config.json: docks.%s[%d] is no object", side, number)
                continue
            if entry.get("resizable") is True:
                _log.warning("page-config: docks.%s[%d]: the preview ignores resizable", side, number)
            size = entry.get("size", 200)
            params = entry.get("viewParams")
            yield Dock(
                id=str(entry.get("id") or f"{side}-{number}"),
                side=side,
                view_path=str(entry.get("viewPath") or ""),
                view_params=params if isinstance(params, dict) else {},
                size=int(size) if isinstance(size, int | float) else 200,
                content=str(entry.get("content") or "push"),
                show=str(entry.get("show") or "visible"),
            )


def _handler(name: str, path: str, content: bytes) -> Handler | None:
    text = content.decode("utf-8", "replace")
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("def ")), None)
    if start is None:
        _log.error("%s: no line begins with 'def'; it never runs", path)
        return None
    signature = lines[start].rstrip().removesuffix(":")
    return Handler(name=name, file=path, signature=signature, code="\n".join(lines[start + 1 :]))


# ── styles ────────────────────────────────────────────────────────────────────────────────────────────────


def _css(files: Mapping[str, bytes]) -> str:
    """The style classes as rules, then the stylesheet as it is."""
    rules: list[str] = []
    for name in sorted(files):
        if name.startswith("style-classes/") and name.endswith("/style.json"):
            folder = name.removeprefix("style-classes/").removesuffix("/style.json")
            rules.extend(_rules(folder, _document(files, name)))
    sheet = files.get("stylesheet/stylesheet.css", b"").decode("utf-8", "replace")
    return "\n".join([*rules, sheet])


def _rules(folder: str, style: Mapping[str, Any]) -> Iterator[str]:
    selector = ".psc-" + re.sub(r"([^\w-])", r"\\\1", folder)
    base = style.get("base")
    if isinstance(base, dict):
        declared = _declarations(base.get("style"))
        animation = base.get("animation")
        if isinstance(animation, dict):
            keyframes, moved = _animation(folder, animation)
            if keyframes:
                yield keyframes
                declared = f"{declared} {moved}"
        yield f"{selector} {{ {declared} }}"
    variants = style.get("variants")
    for variant in variants if isinstance(variants, list) else ():
        if isinstance(variant, dict) and re.fullmatch(r"[\w-]+", str(variant.get("pseudo"))):
            yield f"{selector}:{variant['pseudo']} {{ {_declarations(variant.get('style'))} }}"
        elif isinstance(variant, dict) and isinstance(variant.get("mediaQuery"), str):
            yield f"@media {variant['mediaQuery']} {{ {selector} {{ {_declarations(variant.get('style'))} }} }}"


def _animation(folder: str, animation: Mapping[str, Any]) -> tuple[str, str]:
    frames = [f"{stop} {{ {_declarations(style)} }}" for stop, style in _objects(animation.get("keyframes"))]
    if not frames:
        return "", ""
    name = "psc-" + re.sub(r"[^\w-]", "-", folder)
    pieces = [
        str(animation[key])
        for key in ("duration", "timingFunction", "delay", "iterationCount", "direction", "fillMode")
        if animation.get(key)
    ]
    return f"@keyframes {name} {{ {' '.join(frames)} }}", f"animation: {name} {' '.join(pieces) or '1s'};"


def _declarations(style: Any) -> str:
    """CSS of a style object; what could break out of the rule is left out."""
    if not isinstance(style, dict):
        return ""
    found = []
    for key, value in style.items():
        name = key if key.startswith("--") else re.sub(r"[A-Z]", lambda m: "-" + m[0].lower(), key)
        text = str(value)
        if re.fullmatch(r"-{0,2}[\w-]+", name) and not re.search(r"[{};<]", text):
            found.append(f"{name}: {text};")
    return " ".join(found)
