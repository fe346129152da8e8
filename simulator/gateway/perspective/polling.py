"""Named queries of bindings: one shared value for each query and its parameters, however many pages look.

As in Ignition's value cache, N pages with the same query cost the database one query a period.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from simulator.gateway.perspective.holders import from_script, to_script
from simulator.gateway.perspective.properties import Watcher
from simulator.gateway.scripting import QueryAnswer, ScriptDied

_log = logging.getLogger("gateway.perspective.queries")
DEADLINE_S: Final = 20.0
_SHORTEST_S: Final = 0.2


class QueryRunner(Protocol):
    """Runs a named query of the project."""

    async def query(self, path: str, parameters: Mapping[str, Any]) -> QueryAnswer: ...


@dataclass(eq=False)
class SharedQuery:
    """One query with one set of parameters, and who wants it how often (seconds; 0 is once)."""

    path: str
    parameters: dict[str, Any]
    watchers: dict[Watcher, float] = field(default_factory=dict)
    answer: QueryAnswer | None = None
    error: str | None = None
    task: asyncio.Task[None] | None = None
    due: asyncio.Event = field(default_factory=asyncio.Event)
    runs: int = 0
    _formats: dict[str, Any] = field(default_factory=dict)

    def value(self, form: str) -> Any:
        """The answer in a return format; made once, shared by all who read."""
        if self.answer is None:
            return None
        if form not in self._formats:
            self._formats[form] = _formatted(self.answer, form)
        return self._formats[form]

    def take(self, answer: QueryAnswer | None, error: str | None) -> bool:
        """A run has ended; whether anything is another now."""
        if error is None and self.error is None and self.answer == answer:
            return False
        if error is not None and self.error == error:
            return False
        self.answer, self.error = answer, error
        self._formats.clear()
        return True


def _formatted(answer: QueryAnswer, form: str) -> Any:
    if form == "json":
        return from_script(answer.objects())
    if form == "scalar" or (form == "auto" and answer.kind != "Query"):
        return from_script(answer.scalar())
    return from_script(answer.dataset())


class Poller:
    """All query bindings of all sessions."""

    def __init__(self, runner: QueryRunner) -> None:
        self._runner = runner
        self._shared: dict[str, SharedQuery] = {}
        self._closed = False
        self.runs = 0
        """How many queries were sent so far."""

    def join(self, path: str, parameters: dict[str, Any], rate_s: float, watcher: Watcher) -> SharedQuery:
        """Have the watcher woken with every new answer, until it leaves."""
        key = f"{path} {json.dumps(to_script(parameters), sort_keys=True)}"
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = SharedQuery(path, parameters)
        faster = rate_s > 0 and rate_s < min((r for r in shared.watchers.values() if r > 0), default=1e9)
        shared.watchers[watcher] = rate_s
        if rate_s <= 0 or faster:
            shared.due.set()
        if not self._closed and (shared.task is None or shared.task.done()):
            shared.due.set()
            shared.task = asyncio.get_running_loop().create_task(self._serve(shared), name=f"query {path}")
            shared.task.add_done_callback(lambda task: _ended(task, shared))
        return shared

    def leave(self, shared: SharedQuery, watcher: Watcher) -> None:
        """The watcher needs the query no longer."""
        shared.watchers.pop(watcher, None)
        if not shared.watchers:
            for key, known in list(self._shared.items()):
                if known is shared:
                    del self._shared[key]
            if shared.task is not None:
                shared.task.cancel()

    def refresh(self, shared: SharedQuery) -> None:
        """Run the query now, out of its turn."""
        shared.due.set()

    async def _serve(self, shared: SharedQuery) -> None:
        loop = asyncio.get_running_loop()
        while shared.watchers and not self._closed:
            shared.due.clear()
            began = loop.time()
            answer, error = await self._run(shared)
            if shared.take(answer, error):
                if error is not None:
                    _log.error("named query %s: %s", shared.path, error)
                for watcher in list(shared.watchers):
                    watcher.wake()
            rate_s = min((rate for rate in shared.watchers.values() if rate > 0), default=0.0)
            try:
                async with asyncio.timeout(
                    max(_SHORTEST_S, began + rate_s - loop.time()) if rate_s else None
                ):
                    await shared.due.wait()
            except TimeoutError:
                continue

    async def _run(self, shared: SharedQuery) -> tuple[QueryAnswer | None, str | None]:
        self.runs += 1
        shared.runs += 1
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer = await self._runner.query(shared.path, to_script(shared.parameters))
        except ScriptDied as error:
            return None, str(error)
        except TimeoutError:
            return None, f"gave no answer within {DEADLINE_S:g} s"
        return (None, answer.error) if answer.error is not None else (answer, None)

    def close(self) -> None:
        """No further query."""
        self._closed = True
        for shared in self._shared.values():
            if shared.task is not None:
                shared.task.cancel()


def _ended(task: asyncio.Task[None], shared: SharedQuery) -> None:
    """A failure of our own is not the database's, but must not look like an old answer either."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    _log.error("%s failed", task.get_name(), exc_info=error)
    shared.take(None, f"{type(error).__name__}: {error}")
    for watcher in list(shared.watchers):
        watcher.wake()
