"""Is the database asked once for everything, seldom enough, and is nothing lost to a slow publisher?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from publish_stand import until

from bridge.clock import SystemClock
from bridge.domain.reading import Quality
from bridge.errors import AccessDenied, StoreDown
from bridge.publish.events import Event, EventKind
from bridge.publish.nodes import Node
from bridge.publish.snapshot import Feed, Timing, Watch, snapshot_from
from bridge.store.queries import Queries, Query

EMPTY: dict[str, Any] = {
    "agents": "[]", "control": None, "counts": "[]", "live": "{}", "recommendations": "[]", "commands": "[]",
}  # fmt: skip


class Tables:
    """A database that counts how often it is asked, and fails when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.problem: Exception | None = None
        self.hints: asyncio.Queue[str | Exception] = asyncio.Queue()

    async def fetch(self, query: Query, **values: object) -> list[dict[str, Any]]:
        self.asked.append(query.full_name)
        if self.problem is not None:
            raise self.problem
        return [{"taken": datetime.now(UTC), **EMPTY}]

    async def notifications(self, channel: str, *, wait_s: float) -> AsyncIterator[str | None]:
        assert channel == "bridge"
        while True:
            hint = await self.hints.get()
            if isinstance(hint, Exception):
                raise hint
            yield hint


def watching(tables: Tables, named: Queries, refresh_s: float = 60.0, pieces: int = 3) -> Watch:
    return Watch(
        tables,
        named,
        SystemClock(),
        agent_id="agent",
        equipment=[f"E{number}" for number in range(pieces)],
        timing=Timing(refresh_s=refresh_s, offline_after_s=15.0),
    )


async def test_one_statement_is_enough_however_many_nodes_there_are(named: Queries) -> None:
    """500 pieces of equipment and a hundred hints at once must cost two statements, not thousands."""
    tables = Tables()
    watch = watching(tables, named, pieces=500)
    feed = watch.feed()
    running = asyncio.create_task(watch.run())

    async def shown() -> int:
        return len((await feed.take())[0])

    assert await shown() > 10_000
    for _ in range(100):
        tables.hints.put_nowait("recommendation pending R-1")
    await asyncio.sleep(1.0)
    running.cancel()
    assert set(tables.asked) == {"publish.read_snapshot"}
    assert 2 <= len(tables.asked) <= 4


async def test_without_a_hint_the_safety_net_looks(named: Queries) -> None:
    tables = Tables()
    running = asyncio.create_task(watching(tables, named, refresh_s=0.1).run())

    async def often() -> bool:
        return len(tables.asked) >= 4

    await until(often)
    running.cancel()


async def test_no_problem_of_the_database_ends_the_watch(named: Queries) -> None:
    """Away, or a login that was withdrawn: shown, tried again, and gone when it is gone."""
    tables = Tables()
    watch = watching(tables, named, refresh_s=0.1)
    feed = watch.feed()
    running = asyncio.create_task(watch.run())
    for problem in (StoreDown("gone"), AccessDenied("withdrawn"), None):
        tables.problem = problem

        async def told(wanted: str = str(problem or "")) -> bool:
            return (await feed.take())[0]["Agent/Problem"].value == wanted

        await until(told)
    assert not running.done()
    running.cancel()


@pytest.mark.parametrize("where", ["reading", "listening"])
async def test_a_reader_that_fails_leaves_nothing_that_looks_good(named: Queries, where: str) -> None:
    """Whatever it is, values that nobody renews must not stay good while the supervisor waits."""
    tables = Tables()
    watch = watching(tables, named, refresh_s=0.1)
    feed = watch.feed()

    async def worked() -> bool:
        return (await feed.take())[0]["Agent/PollsCompleted"].quality is Quality.GOOD

    running = asyncio.create_task(watch.run())
    await until(worked)
    if where == "reading":
        tables.problem = ValueError("unexpected")
    else:
        tables.hints.put_nowait(ValueError("unexpected"))
    with pytest.raises(ExceptionGroup) as ended:
        await asyncio.wait_for(running, 15)
    assert ended.group_contains(ValueError)
    shown, _ = await asyncio.wait_for(feed.take(), 15)
    assert shown["Agent/Status"].value == "database_away"
    assert shown["Agent/PollsCompleted"].quality is Quality.UNCERTAIN


async def test_a_watch_that_is_stopped_says_nothing_of_the_database(named: Queries) -> None:
    watch = watching(Tables(), named)
    feed = watch.feed()

    async def worked() -> bool:
        return (await feed.take())[0]["Agent/PollsCompleted"].quality is Quality.GOOD

    running = asyncio.create_task(watch.run())
    await until(worked)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    feed.again()
    assert (await feed.take())[0]["Agent/Problem"].value == ""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (0, 0),
        (7, 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (-1, None),
        (2**200, None),
        (True, None),
        (1.5, None),
        ("7", None),
        (None, None),
    ],
)
def test_a_buffer_depth_that_no_tag_can_hold_is_not_known(said: object, shown: int | None) -> None:
    """Whoever may write heartbeats may write anything there; it must not end what is published."""
    agent = {
        "agent_id": "agent", "site": "site", "version": "1", "status": "online", "polls_completed": 3,
        "last_heartbeat_utc": "2026-03-01T12:00:00+00:00", "cycle_ms": 5, "buffer_depth": said,
    }  # fmt: skip
    row = {"taken": datetime.now(UTC), **EMPTY, "agents": json.dumps([agent])}
    assert snapshot_from(row).agents["agent"].buffer_depth == shown


def _event(number: int) -> Event:
    return Event(
        kind=EventKind.VERDICT,
        object_id=f"C-{number}",
        recommendation_id="R-1",
        equipment_id="E",
        severity="high",
        level=100,
        message="",
        outcome="executed",
        at_utc=datetime.now(UTC),
    )


async def test_a_slow_publisher_gets_the_newest_nodes_and_every_event() -> None:
    """What came between two takes is not lost, and is not told twice; a flood is bounded and counted."""
    feed = Feed()
    nodes: dict[str, Node] = {}
    for number in range(3):
        feed.put(nodes, [_event(number)])
    newest: dict[str, Node] = {}
    feed.put(newest, [])
    shown, happened = await feed.take()
    assert shown is newest
    assert [event.object_id for event in happened] == ["C-0", "C-1", "C-2"]
    feed.again()
    assert (await feed.take())[1] == []
    feed.put(nodes, [_event(number) for number in range(1500)])
    _, happened = await feed.take()
    assert (len(happened), happened[-1].object_id, feed.events_dropped) == (1000, "C-1499", 500)
