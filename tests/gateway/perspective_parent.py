"""A parent for Perspective scripts under test: it answers what they ask from dictionaries of its own."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.gateway_stand import project, query, script
from simulator.gateway.project import read_project
from simulator.gateway.scripting import Machine, Refused, ScriptAnswer, ScriptHost

FILE = "Pages/Commands/view.json · root/Approve"
SESSION = {"session": "s1", "page": None, "view": None, "component": None}
PAGE = {**SESSION, "page": "p1"}
VIEW = {**PAGE, "view": "v1"}
BUTTON = {**VIEW, "component": "c1"}
TREES: dict[str, dict[str, Any]] = {
    "c1": {
        "props": {
            "text": "Wörter",
            "data": [{"n": 1, "tags": ["a"]}, {"n": 2}],
            "items": ["x"],
            "none": None,
        },
        "custom": {"when": {"date": 5000}, "big": 2**40, "dotted": {"a.b": {"c": 1}}},
        "meta": {"name": "Approve", "visible": True},
        "position": {"basis": "40px"},
    },
    "c2": {"props": {}, "meta": {"name": "Reject"}, "custom": {}, "position": {}},
    "v1": {"params": {"item": {"id": 7}}, "custom": {"n": 1}, "props": {}},
    "p1": {"props": {"path": "/commands", "pageId": "p1"}, "custom": {}},
    "s1": {"props": {"id": "s1", "auth": {"user": {"userName": "anna"}}}, "custom": {"selected": ""}},
}
QUERIES = (
    query(
        "Every/type",
        "select 1::integer as i, 9007199254740991::bigint as big, 0.1::double precision as f8,"
        " 0.5::real as f4, 12.50::numeric as money, 7::numeric as whole, 'é'::text as word, true as yes,"
        " null::text as nothing, '{\"a\": 1}'::jsonb as doc, timestamptz '1970-01-01 00:00:05+00' as at,"
        " 'NaN'::double precision as nan, '00000000-0000-0000-0000-000000000001'::uuid as id",
    ),
    query(
        "Every/parameter", "select :n::bigint as n, :word as word, :at::timestamptz as at", n=3, word=7, at=8
    ),
    query("Every/count", "select count(*) from generate_series(1, :n)", "ScalarQuery", n=2),
    query("Every/update", "update kept set n = n + :by", "UpdateQuery", by=2),
    query("Every/broken", "select * from no_such_table"),
    query("Every/slow", "select pg_sleep(:s)::text as slept", s=5),
)
LIBRARY = (
    "def double(x):\n\treturn x * 2\n\ndef wait(ms):\n\timport java.lang\n\tjava.lang.Thread.sleep(ms)\n"
)

DAWDLING = (
    "import java.lang\njava.lang.Thread.sleep(400)\nimport deep.inside\nraise ValueError('after a while')\n"
)
"""Runs again for each who names it, because it fails; and needs an import in the middle."""


Start = Callable[[], AbstractAsyncContextManager[tuple[ScriptHost, "Parent"]]]
"""Starts a JVM and its parent for as long as the context lasts."""


class Parent:
    """Answers what scripts ask from dictionaries, and remembers the asks."""

    def __init__(self) -> None:
        self.host: ScriptHost
        self.reset()

    def reset(self) -> None:
        """The trees as they were, no asks."""
        self.trees = copy.deepcopy(TREES)
        self.asks: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []

    async def gateway(self, message: dict[str, Any]) -> Any:
        """Asks of any scope: messages and tags."""
        if "message" in message:
            self.messages.append(message)
            return None
        return [["read", "Good", "", 5000]]

    async def perspective(self, message: dict[str, Any]) -> Any:
        """Asks of sessions."""
        self.asks.append(message)
        handle = message["handle"]
        own = next(
            handle[kind]
            for kind in ("component", "view", "page", "session")
            if handle[kind] or kind == "session"
        )
        op = message["op"]
        if op == "get":
            return self.found(own, message["path"])
        if op == "exists":
            return self._exists(own, message["path"])
        if op == "set":
            *places, last = _steps(message["path"])
            if message["path"] == "props.readOnly":
                raise Refused("props.readOnly is SYSTEM")
            node: Any = self.trees[own]
            for step in places:
                node = node[step]
            node[last] = message["value"]
            return None
        if op == "walk":
            root = {**VIEW, "component": "c1", "name": "root"}
            known = {
                ("sibling", "Reject"): {**VIEW, "component": "c2", "name": "Reject"},
                ("root", None): root,
                ("parent", None): root,
            }
            return known.get((message["to"], message["name"]))
        if op == "methods":
            return ["reload"] if own == "c1" else []
        if op == "method":
            called = dict(zip(("a", "b"), message["arguments"], strict=False)) | message["keywords"]
            answer = await self.host.script(
                kind="method",
                signature="def reload(self, a, b)",
                code="\tprobe.wait(a)\n\treturn {'sum': a + b}",
                file=FILE,
                handle=handle,
                arguments=called,
            )
            return answer.value
        if op == "isAuthorized":
            return message["arguments"]["securityLevels"] == ["Authenticated/Roles/Operator"]
        if op == "getSessionInfo":
            return [{"id": "s1", "username": "anna"}]
        if op == "setTheme":
            raise ZeroDivisionError("an answerer that breaks")
        return None

    def found(self, own: str, path: str) -> Any:
        """What the tree holds there; refused as Perspective refuses a missing key."""
        if not self._exists(own, path):
            raise Refused(f"no {path}")
        node: Any = self.trees[own]
        for step in _steps(path):
            node = node[step]
        return node

    def _exists(self, own: str, path: str) -> bool:
        found: Any = self.trees[own]
        for step in _steps(path):
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return False
        return True


def _steps(path: str) -> list[str | int]:
    return [int(step[1:-1]) if step[0] == "[" else step for step in re.findall(r"\[\d+\]|[^.\[\]]+", path)]


def views_project(path: Path) -> Path:
    """The project in which the scripts run."""
    library = (
        script("probe", LIBRARY),
        script("deep/inside", "WORD = 'é'"),
        script("torn", "raise ValueError('at load')"),
        script("dawdling", DAWDLING),
    )
    return project(path, *library, *QUERIES)


@asynccontextmanager
async def started(source: Path, url: str) -> AsyncIterator[tuple[ScriptHost, Parent]]:
    """A JVM of its own with the project's scripts and queries, and its parent."""
    parent = Parent()
    host = parent.host = ScriptHost(
        read_project(source, target="8.3"),
        target="8.3",
        databases={"Lakebase_Connection": url},
        hold_timers=True,
        machine=Machine(),
        answer=parent.gateway,
        perspective=parent.perspective,
    )
    running = asyncio.create_task(host.run())
    await asyncio.wait_for(host.ready.wait(), 60)
    try:
        yield host, parent
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def runs(
    host: ScriptHost, body: str, handle: dict[str, Any] = BUTTON, kind: str = "action", **arguments: Any
) -> ScriptAnswer:
    """Run the body as a function of that object."""
    names = "".join(f", {name}" for name in arguments)
    code = "\n".join("\t" + line for line in body.splitlines())
    return await host.script(
        kind=kind,
        signature=f"def runAction(self{names})",
        code=code,
        file=FILE,
        handle=handle,
        arguments=arguments,
    )


async def value(host: ScriptHost, body: str, handle: dict[str, Any] = BUTTON, **arguments: Any) -> Any:
    """What the body returns; it must not fail."""
    answer = await runs(host, body, handle, **arguments)
    assert answer.error is None
    return answer.value


async def error(host: ScriptHost, body: str, handle: dict[str, Any] = BUTTON, **arguments: Any) -> str:
    """What the body dies of; it must fail."""
    answer = await runs(host, body, handle, **arguments)
    assert answer.error is not None, f"it returned {answer.value!r}"
    assert answer.value is None
    return answer.error
