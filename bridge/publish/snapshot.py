"""Reads the agent's tables for the publishers: one statement for everything, when something changed.

Notifications wake it and the refresh interval is the safety net. What the database says becomes nodes once,
and every publisher has a `Feed` of its own to take them from, at its own pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from bridge.errors import BridgeError
from bridge.ports import Clock
from bridge.publish.events import Event, events
from bridge.publish.nodes import Node, nodes
from bridge.publish.state import LIVE, AgentHealth, Command, Control, Recommendation, Snapshot, View
from bridge.store.queries import Queries, Query

log = structlog.get_logger(__name__)

_LEAST_GAP_S = 0.2  # between two looks at the database, however much is announced
_AGAIN_S = 1.0  # between two attempts while it does not answer
_LEAST_RECENT_S = 60.0  # how long what ended is still told, so that nothing ends unseen between two looks
_LONGEST_RECENT_S = 3600.0  # after a longer silence only the nodes tell what happened meanwhile
_MOST_ROWS = 5000
_MOST_EVENTS = 1000  # that wait for one publisher; older ones are dropped and counted

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, tzinfo=UTC)


class Source(Protocol):
    """The database as a reader sees it; `bridge.store.connection.Database` is one."""

    async def fetch(self, query: Query, **values: object) -> list[dict[str, Any]]:
        """Run one named query; raises our own errors."""
        ...

    def notifications(self, channel: str, *, wait_s: float) -> AsyncIterator[str | None]:
        """Payloads as they come, None in silence; raises StoreDown when the connection is lost."""
        ...


class Feed:
    """What one publisher has not shown yet: the nodes as they are now, and the events since it last took.

    Nodes that changed several times meanwhile are shown as they are now: a slow publisher never holds up
    the reader or another publisher.
    """

    def __init__(self) -> None:
        self._nodes: Mapping[str, Node] = {}
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._news = asyncio.Event()
        self.events_dropped = 0

    def put(self, shown: Mapping[str, Node], happened: Sequence[Event]) -> None:
        """Hand over the newest nodes and what has just happened."""
        self._nodes = shown
        self.events_dropped += max(0, len(self._events) + len(happened) - _MOST_EVENTS)
        self._events.extend(happened)
        self._news.set()

    def again(self) -> None:
        """Let the next `take` give everything at once, for a publisher that starts anew."""
        self._news.set()

    async def take(self) -> tuple[Mapping[str, Node], list[Event]]:
        """Wait until there is something new; then all nodes, and the events since the last time."""
        await self._news.wait()
        self._news.clear()
        happened = list(self._events)
        self._events.clear()
        return self._nodes, happened


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """refresh_s: how often the database is read when it announces nothing. offline_after_s: an agent's
    silence after which it counts as offline."""

    refresh_s: float
    offline_after_s: float


class Watch:
    """Keeps the view of the agent's tables up to date and gives it to all feeds. Run it as one task."""

    def __init__(
        self,
        source: Source,
        named: Queries,
        clock: Clock,
        *,
        agent_id: str,
        equipment: Sequence[str],
        timing: Timing,
    ) -> None:
        self._source = source
        self._q = named
        self._clock = clock
        self._timing = timing
        self._view = View(agent_id=agent_id, equipment=tuple(equipment))
        self._read_s = clock.monotonic_s()  # when the last snapshot was read
        self._wake = asyncio.Event()
        self._feeds: list[Feed] = []

    def feed(self) -> Feed:
        """A feed of its own for one publisher; it starts with what is known now."""
        made = Feed()
        made.put(nodes(self._view), [])
        self._feeds.append(made)
        return made

    async def run(self, works: Callable[[], None] = lambda: None) -> None:
        """Read until cancelled. `works` is told after each success. No state of the database ends it.

        Any other error comes out of here, after everything is marked as no longer known.
        """
        failed = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                await self._keep_looking(works)
        except asyncio.CancelledError:
            failed = False
            raise
        finally:
            if failed:
                self._lost("reading the agent's tables has failed; the bridge's log says why")

    async def _keep_looking(self, works: Callable[[], None]) -> None:
        while True:
            self._wake.clear()
            answered = await self._look()
            if answered:
                works()
            await asyncio.sleep(_LEAST_GAP_S if answered else _AGAIN_S)
            if answered:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._timing.refresh_s):
                        await self._wake.wait()

    async def _listen(self) -> None:
        while True:
            try:
                async for _hint in self._source.notifications("bridge", wait_s=self._timing.refresh_s):
                    self._wake.set()
            except BridgeError:
                # Whatever cut this connection may have cut all: the reader looks at once and tells.
                self._wake.set()
            await asyncio.sleep(_AGAIN_S)

    async def _look(self) -> bool:
        started_s = self._clock.monotonic_s()
        before = self._view.snapshot
        try:
            shot = await self._read(before, started_s - self._read_s)
        except BridgeError as problem:
            self._lost(str(problem).splitlines()[0])
            return False
        if self._view.away_since_utc:
            log.info("publish.database_back", agent_id=self._view.agent_id)
        self._read_s = started_s
        seen = dict.fromkeys(
            (
                *self._view.equipment,
                *sorted({item.equipment_id for item in shot.recommendations} | set(shot.last_commands)),
            )
        )
        view = replace(self._view, snapshot=shot, equipment=tuple(seen), away="", away_since_utc=None)
        shown, happened = (
            nodes(view),
            events(before, shot),
        )  # fails before anything is taken over, or not at all
        self._view = view
        self._tell(shown, happened)
        return True

    def _lost(self, why: str) -> None:
        if not self._view.away_since_utc:
            log.warning("publish.database_away", agent_id=self._view.agent_id, reason=why)
            self._view = replace(self._view, away_since_utc=self._clock.now_utc())
        if self._view.away != why:
            self._view = replace(self._view, away=why)
            self._tell(nodes(self._view), [])

    def _tell(self, shown: Mapping[str, Node], happened: Sequence[Event]) -> None:
        for feed in self._feeds:
            feed.put(shown, happened)

    async def _read(self, before: Snapshot | None, since_s: float) -> Snapshot:
        watched = [] if before is None else [key for key, c in before.commands.items() if c.verdict in LIVE]
        rows = await self._source.fetch(
            self._q.publish.read_snapshot,
            offline_after_s=self._timing.offline_after_s,
            recent_s=min(max(_LEAST_RECENT_S, since_s + _LEAST_RECENT_S), _LONGEST_RECENT_S),
            equipment_ids=list(self._view.equipment),
            command_ids=watched,
            max_rows=_MOST_ROWS,
        )
        return snapshot_from(rows[0])


def snapshot_from(row: Mapping[str, Any]) -> Snapshot:
    """The one row of `publish.read_snapshot` as a snapshot."""
    control = None if row["control"] is None else json.loads(row["control"])
    commands: dict[str, Command] = {}
    last: dict[str, Command] = {}
    for entry in json.loads(row["commands"]):
        newest = entry.pop("newest")
        command = Command(
            **{
                **entry,
                "value": float(entry["value"]),
                "created_utc": _time(entry["created_utc"]),
                "at_utc": _time(entry["at_utc"]),
            }
        )
        if newest:
            last[command.equipment_id] = command
        else:
            commands[command.command_id] = command
    return Snapshot(
        taken_utc=row["taken"],
        agents={entry["agent_id"]: _agent(entry) for entry in json.loads(row["agents"])},
        control=None
        if control is None
        else Control(**{**control, "changed_utc": _time(control["changed_utc"])}),
        counts={(c["status"], c["severity"]): c["number"] for c in json.loads(row["counts"])},
        live=json.loads(row["live"]),
        recommendations=tuple(_recommendation(entry) for entry in json.loads(row["recommendations"])),
        last_commands=last,
        commands=commands,
    )


def _agent(entry: dict[str, Any]) -> AgentHealth:
    depth, cycle_ms = entry["buffer_depth"], entry["cycle_ms"]
    return AgentHealth(
        **{
            **entry,
            "last_heartbeat_utc": _time(entry["last_heartbeat_utc"]),
            "cycle_ms": None if cycle_ms is None else float(cycle_ms),
            "buffer_depth": depth if _is_count(depth) else None,
        }
    )


def _is_count(value: object) -> bool:
    """Whether it is a number that a tag can hold: whoever may write heartbeats may write anything into the detail."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _recommendation(entry: dict[str, Any]) -> Recommendation:
    deferred = entry["defer_until_utc"]
    confidence = entry["confidence"]
    return Recommendation(
        **{
            **entry,
            "confidence": None if confidence is None else float(confidence),
            "created_utc": _time(entry["created_utc"]),
            "updated_utc": _time(entry["updated_utc"]),
            "expires_utc": _time(entry["expires_utc"]),
            "defer_until_utc": None if deferred is None else _time(deferred),
        }
    )


def _time(text: str) -> datetime:
    """A moment of the database; one that no tag can hold becomes the first or the last that one can."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # infinity, and years beyond four digits
        return _FIRST if text.startswith("-") or text.endswith("BC") else _LAST
    return min(max(moment, _FIRST), _LAST)
