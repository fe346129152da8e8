"""Tiny Perspective projects, and a gateway that serves their preview."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.gateway_stand import Files, atomic, project, resource, tag_file

from simulator.gateway.process import GatewayProcess

NOBODY = "postgresql://nobody:nothing@127.0.0.1:9/none"
"""A database that no view of these tests asks."""
PERSPECTIVE = "com.inductiveautomation.perspective"

Component = dict[str, Any]


def component(kind: str, name: str, *children: Component, **scopes: Any) -> Component:
    """A component as a view.json has it."""
    found: Component = {"type": kind, "meta": {"name": name, **scopes.pop("meta", {})}, **scopes}
    if children:
        found["children"] = list(children)
    return found


def label(name: str, text: object = "", **scopes: Any) -> Component:
    return component("ia.display.label", name, props={"text": text}, **scopes)


def script(code: str, **more: Any) -> dict[str, Any]:
    """A script action of one line."""
    return {"type": "script", "scope": "G", "config": {"script": f"\t{code}"}, **more}


def pressed(code: str, **more: Any) -> dict[str, Any]:
    return {"component": {"onActionPerformed": script(code, **more)}}


def bound(to: str, kind: str, **config: Any) -> dict[str, Any]:
    """The propConfig entry of one binding."""
    return {to: {"binding": {"type": kind, "config": config}}}


def view(path: str, *children: Component, **parts: Any) -> Files:
    """A view whose root is a column of these components."""
    root = component("ia.container.flex", "root", *children, props={"direction": "column"})
    document = {"custom": {}, "params": {}, "propConfig": {}, "props": {}, "root": root, **parts}
    folder = f"{PERSPECTIVE}/views/{path}"
    return {f"{folder}/view.json": json.dumps(document), f"{folder}/resource.json": resource("view.json")}


def pages(config: Mapping[str, str], **shared: Any) -> Files:
    """Page paths and the views they show; the page's title is the view's last name."""
    entries = {path: {"title": name.rpartition("/")[2], "viewPath": name} for path, name in config.items()}
    folder = f"{PERSPECTIVE}/page-config"
    text = json.dumps({"pages": entries, "sharedDocks": shared})
    return {f"{folder}/config.json": text, f"{folder}/resource.json": resource("config.json")}


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A running gateway and where its first page is."""

    gateway: GatewayProcess
    url: str


@contextmanager
def previewed(folder: Path, *parts: Files) -> Iterator[Preview]:
    """Build a project of these parts and serve it."""
    zipped = project(folder / "Probe.zip", *parts)
    tags = tag_file(
        folder / "tags.json", atomic("Level", value=12.5), atomic("Note", "String", value="hello")
    )
    options = ("--project", str(zipped), "--tags", str(tags), "--database", NOBODY, "--hmi", "0")
    with GatewayProcess.start(*options) as process:
        yield Preview(gateway=process, url=process.ready.split()[-1].rstrip("/"))
