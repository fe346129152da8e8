"""A preview without a browser and without a JVM: views made in the test, scripts and queries answered by a fake."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from simulator.gateway.faults import Faults
from simulator.gateway.named_query import NamedQuery
from simulator.gateway.perspective.pages import Page
from simulator.gateway.perspective.preview import Preview
from simulator.gateway.perspective.scripts import ScriptAsks
from simulator.gateway.perspective.sessions import Session
from simulator.gateway.project import Project
from simulator.gateway.scripting import Column, QueryAnswer, ScriptAnswer
from simulator.gateway.tag_file import Tag
from simulator.gateway.tags import DEFAULT_GROUPS, TagStore

Json = dict[str, Any]
Script = Callable[..., Any]


class FakeScripts:
    """Answers a script by its text and a query by its path; keeps what was asked."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.queries: dict[str, Callable[[Mapping[str, Any]], list[Json]]] = {}
        self.ran: list[Json] = []
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.error: str | None = None

    async def query(self, path: str, parameters: Mapping[str, Any]) -> QueryAnswer:
        self.asked.append((path, parameters))
        await asyncio.sleep(0)
        if self.error is not None:
            return QueryAnswer(kind="Query", error=self.error)
        rows = self.queries[path](parameters)
        names = list(rows[0]) if rows else []
        return QueryAnswer(
            kind="Query",
            columns=tuple(Column(name=name, type="java.lang.Object") for name in names),
            rows=tuple(tuple(row[name] for name in names) for row in rows),
        )

    async def script(self, **given: Any) -> ScriptAnswer:
        self.ran.append(given)
        await asyncio.sleep(0)
        function = self.scripts.get(given["code"].strip())
        try:
            value = None if function is None else function(**(given["arguments"] or {}))
            if asyncio.iscoroutine(value):
                value = await value
        except ValueError as error:
            return ScriptAnswer(value=None, error=str(error), seconds=0.0)
        return ScriptAnswer(value=value, error=None, seconds=0.0)

    def codes(self) -> list[str]:
        return [one["code"].strip() for one in self.ran]


def memory(path: str, value: Any, data_type: str = "Float8") -> Tag:
    return Tag(
        path=f"[default]{path}",
        source="memory",
        data_type=data_type,
        value=value,
        read_only=False,
        restricted=False,
        enabled=True,
        tag_group="Default",
        opc_server="",
        opc_item_path="",
        expression="",
        reference="",
        execution_rate_ms=None,
        eng_unit="°C",
        eng_low=None,
        eng_high=None,
        alarms=0,
        history=False,
    )


def named_query(path: str) -> NamedQuery:
    attributes = {
        "type": "Query",
        "enabled": True,
        "database": "Lakebase_Connection",
        "parameters": [],
        "useMaxReturnSize": False,
        "maxReturnSize": 100,
        "permissions": [{"zone": "", "role": ""}],
    }
    return NamedQuery.of(path, "select 1", attributes)


def view(*children: Json, custom: Json | None = None, params: Json | None = None, **more: Any) -> Json:
    root = {"type": "ia.container.flex", "meta": {"name": "root"}, "children": list(children)}
    return {"custom": custom or {}, "params": params or {}, "props": {}, "root": root, **more}


def part(kind: str, name: str, props: Json | None = None, **more: Any) -> Json:
    return {"type": kind, "meta": {"name": name}, "props": props or {}, **more}


def label(name: str, binding: Json | None = None, **more: Any) -> Json:
    config = {"props.text": {"binding": binding}} if binding else {}
    return part("ia.display.label", name, {"text": "as declared"}, propConfig=config, **more)


def expr(expression: str, *transforms: Json) -> Json:
    return {"type": "expr", "config": {"expression": expression}, "transforms": list(transforms)}


def prop(path: str, *transforms: Json, **config: Any) -> Json:
    return {"type": "property", "config": {"path": path, **config}, "transforms": list(transforms)}


def query(path: str, rate: str | None = "1", *transforms: Json, **parameters: str) -> Json:
    config: Json = {"queryPath": path, "returnFormat": "json", "parameters": parameters}
    if rate is not None:
        config["polling"] = {"enabled": True, "rate": rate}
    return {"type": "query", "config": config, "transforms": list(transforms)}


def script(code: str) -> Json:
    return {"type": "script", "scope": "G", "config": {"script": f"\t{code}"}}


def button(name: str, *actions: Json, **more: Any) -> Json:
    events = {"component": {"onActionPerformed": list(actions)}, **more.pop("events", {})}
    return part("ia.input.button", name, {"text": name, "enabled": True}, events=events, **more)


OPERATOR_ONLY = {
    "type": "AllOf",
    "securityLevels": [
        {"name": "Authenticated", "children": [{"name": "Roles", "children": [{"name": "Operator"}]}]}
    ],
}


class Stand:
    """A preview over views by path; ``Home`` is page ``/``."""

    def __init__(
        self, views: Mapping[str, Any], *tags: Tag, files: Mapping[str, bytes] | None = None
    ) -> None:
        self.scripts = FakeScripts()
        pages = {"/": {"title": "Home", "viewPath": "Home"}, "/unit/:unitId": {"viewPath": "Unit"}}
        perspective = {"page-config/config.json": json.dumps({"pages": pages}).encode()}
        for path, content in views.items():
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            perspective[f"views/{path}/view.json"] = raw
        self.store = TagStore({tag.path: tag for tag in tags}, groups=DEFAULT_GROUPS, faults=Faults())
        queries = {path: named_query(path) for path in ("Q/rows", "Q/other")}
        project = Project(name="Probe", queries=queries, perspective={**perspective, **(files or {})})
        self.preview = Preview(project, self.store, self.scripts)
        self.asks = ScriptAsks(self.preview)

    async def open(self, path: str = "/", user: str | None = None) -> Page:
        """A page of a new session, with everything settled."""
        session = self.preview.open_session()
        if user is not None:
            found = self.preview.users.check(user, user)
            assert found is not None
            session.renew(found)
        page = session.open_page(path, {})
        page.attach()
        await self.settle(session)
        return page

    async def settle(self, session: Session) -> None:
        for _ in range(5):
            session.engine.settle()
            await session.engine.idle()
            await asyncio.sleep(0.001)

    async def ask(self, handle: Json, op: str, **fields: Any) -> Any:
        return await self.asks({"ask": "perspective", "op": op, "handle": handle, **fields})


async def until(look: Callable[[], object], within_s: float = 40.0) -> None:
    """Wait until something holds, or fail."""
    end_s = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < end_s, f"not within {within_s:g} s"
        await asyncio.sleep(0.01)


def frame(page: Page) -> Json:
    """The page as a browser that comes now gets it."""
    page.outbox.page()
    return page.outbox.drain()[0]


def nodes(node: Any) -> list[Json]:
    """All nodes of a frame, outermost first."""
    if isinstance(node, dict):
        own = [node] if "type" in node and "id" in node else []
        return own + [one for value in node.values() for one in nodes(value)]
    return [one for entry in node for one in nodes(entry)] if isinstance(node, list) else []


def named(page: Page, name: str) -> Json:
    """The first component of this name, drawn now."""
    return next(node for node in nodes(frame(page)) if node["name"] == name)


def all_named(page: Page, name: str) -> list[Json]:
    return [node for node in nodes(frame(page)) if node["name"] == name]


def press(page: Page, name: str, event: str = "onActionPerformed", category: str = "component") -> None:
    page.receive(
        {"t": "event", "id": named(page, name)["id"], "category": category, "name": event, "event": {}}
    )
