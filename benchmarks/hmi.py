"""The HMI's preview: its first page, a new recommendation's way into browsers, 20 sessions, and queries per poll.

A real browser for what a person waits for, bare websockets for 20 people at once, and the database's own log for
what the views ask. Beside it in the same run: one page that does nothing but list what waits.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from playwright.async_api import Browser

from benchmarks.figures import Figure, Result, quantile, runs, shown, tail
from benchmarks.hmi_clients import (
    Session,
    bare_sessions,
    browser,
    page,
    seen_at_s,
    sessions,
    useful_s,
)
from benchmarks.hmi_stand import USER, CpuShares, Hmi, StatementLog, floor, hmi, most_within, polling_s
from benchmarks.stand import Failed, Stand, connect
from bridge.store import queries

NAME = "hmi"
GOAL_FIRST_S, GOAL_BEYOND_MS, GOAL_QUERIES = 1.0, 300.0, 6.0
SESSIONS = 20
FIRST_PAGE = {"first_row": 0, "max_rows": 20}
LIST = ("Pages/Recommendations", "Recommendations/pageOfOpen")
ELSEWHERE = ("/equipment", "/commands", "/equipment", "/commands", "/equipment", "/commands")
OPEN = (0, 50, 500)
_LATE_S = 15.0
"""So long beyond the polling interval a session is waited for; then it has missed the recommendation."""


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """How much is measured.

    settle_s: until new pages have come to rest. pause_s: at most so long between recommendations; as long as the
    polling interval, so that they come at any moment of it. crowded: so many wait while it is measured once more.
    """

    warm: int
    seen: int
    rounds: int
    polls: int
    open: tuple[int, ...]
    pages: int
    settle_s: float
    pause_s: float
    usual: int = 10
    crowded: int = OPEN[-1]


_FULL = _Sizes(warm=10, seen=15, rounds=12, polls=3, open=OPEN, pages=8, settle_s=3.0, pause_s=2.0)
_QUICK = _Sizes(warm=1, seen=1, rounds=1, polls=1, open=(50,), pages=1, settle_s=0.5, pause_s=0.1)


@dataclass
class _Rounds:
    """What sessions saw of new recommendations."""

    delays_ms: list[float] = field(default_factory=list)
    missed: int = 0
    cpu_percent: dict[str, float] = field(default_factory=dict)
    frames: int = 0
    characters: int = 0


async def measure(stand: Stand, *, quick: bool) -> Result:
    """One gateway and one database for all of it; the bare server afterwards on the same database."""
    sizes = _QUICK if quick else _FULL
    interval_s = polling_s(*LIST)
    figures: list[Figure] = []
    notes = [
        f"the page polls every {interval_s:g} s, as its view says; goals are that and {GOAL_BEYOND_MS:g} ms"
    ]
    async with hmi(stand) as target, browser() as chromium:
        notes.append(f"gateway ready with HMI after {target.ready_s:.1f} s; plant connected, timers held")
        await target.waiting.add(sizes.usual)
        first_s = await _first_page(chromium, target.page("/recommendations"), sizes.warm)
        await target.end_sessions()
        seen = await _seen_by_one(chromium, target, sizes, interval_s)
        await target.end_sessions()
        crowd = await _seen_by_all(target, sizes, sizes.rounds, interval_s)
        await target.end_sessions()
        crowded = _Rounds()
        if not quick:
            await target.waiting.add(sizes.crowded - sizes.usual)
            crowded_s = await _first_page(chromium, target.page("/recommendations"), 4)
            await target.end_sessions()
            crowded = await _seen_by_all(target, sizes, sizes.rounds // 2, interval_s)
            await target.end_sessions()
        asked = await _queries_per_poll(target, sizes, interval_s)
        await target.end_sessions()
        list_ms = await _list_ms(target.url, 1 if quick else 20)
        await target.waiting.clear()
        await target.waiting.add(sizes.usual)
        async with floor(stand, target.url, interval_s) as (bare, pid):
            bare_first_s = await _first_page(chromium, bare, sizes.warm)
            bare_crowd = await _bare_rounds(target, bare, pid, sizes, interval_s)
    figures += _first_figures(first_s, bare_first_s)
    if not quick:
        figures.append(
            Figure(
                what=f"first page useful, {sizes.crowded} open",
                value=statistics.median(crowded_s),
                unit="s",
                spread=runs(crowded_s),
                goal=GOAL_FIRST_S,
            )
        )
    goal_ms = interval_s * 1e3 + GOAL_BEYOND_MS
    figures += _seen_figures(seen, goal_ms)
    figures += _crowd_figures(crowd, goal_ms, f"{sizes.usual} open", bare_crowd)
    if not quick:
        figures += _crowd_figures(crowded, goal_ms, f"{sizes.crowded} open", None)
    figures += _query_figures(asked)
    notes.append(f"the list of {sizes.open[-1]} open alone, by psycopg: {shown(list_ms)} ms")
    notes.append(
        f"the {SESSIONS} sessions received {crowd.frames} frames, {crowd.characters / 1e6:.1f} MB, in"
        f" {sizes.rounds} rounds; {len(ELSEWHERE)} of them were on /equipment and /commands,"
        " where the header's count tells of it"
    )
    return Result(name=NAME, title="The HMI's preview", figures=tuple(figures), notes=tuple(notes))


# The first page


async def _first_page(chromium: Browser, address: str, warm: int) -> list[float]:
    """Seconds until the first card is there: in a browser that knows nothing, then again and again."""
    async with page(chromium) as opened:
        return [await useful_s(opened, address) for _ in range(1 + warm)]


def _first_figures(found_s: list[float], bare_s: list[float]) -> list[Figure]:
    return [
        Figure(
            what="first page useful, cold (gateway's first page)",
            value=found_s[0],
            unit="s",
            goal=GOAL_FIRST_S,
            floor=bare_s[0],
        ),
        Figure(
            what="first page useful, warm",
            value=statistics.median(found_s[1:]),
            unit="s",
            spread=runs(found_s[1:]),
            goal=GOAL_FIRST_S,
            floor=statistics.median(bare_s[1:]),
        ),
    ]


# A new recommendation


async def _seen_by_one(
    chromium: Browser, target: Hmi, sizes: _Sizes, interval_s: float
) -> list[tuple[float, float]]:
    """Milliseconds from the insert to the card in a browser, and to the frame at a websocket."""
    pause = random.Random(3)
    found = []
    async with (
        page(chromium) as opened,
        sessions(target.address, ["/recommendations"], user=USER) as (session,),
    ):
        await useful_s(opened, target.page("/recommendations"))
        for turn in range(sizes.seen):
            await asyncio.sleep(pause.uniform(0.0, sizes.pause_s))
            mark = target.waiting.mark_of_next()
            framed = session.expect_new(mark)
            began_s = time.monotonic()
            await target.waiting.add(severity="critical")
            async with asyncio.timeout(interval_s + _LATE_S):
                card_s = await seen_at_s(opened, mark)
                frame_s = await framed
            found.append(((card_s - began_s) * 1e3, (frame_s - began_s) * 1e3))
            if turn % 5 == 4:
                await _make_room(target, interval_s)
    await target.waiting.clear_critical()
    return found


async def _make_room(target: Hmi, interval_s: float) -> None:
    """Take the critical ones away, so that the next one has a place on the first page."""
    await target.waiting.clear_critical()
    await asyncio.sleep(interval_s * 1.2)


def _seen_figures(found: list[tuple[float, float]], goal_ms: float) -> list[Figure]:
    card_ms, frame_ms = [one[0] for one in found], [one[1] for one in found]
    return [
        Figure(
            what="new recommendation → card in the browser, worst",
            value=max(card_ms),
            unit="ms",
            spread=tail(card_ms),
            goal=goal_ms,
        ),
        Figure(
            what="new recommendation → frame at a websocket, worst",
            value=max(frame_ms),
            unit="ms",
            spread=tail(frame_ms),
            goal=goal_ms,
        ),
    ]


# Twenty sessions


async def _seen_by_all(target: Hmi, sizes: _Sizes, rounds: int, interval_s: float) -> _Rounds:
    paths = ["/recommendations"] * (SESSIONS - len(ELSEWHERE)) + list(ELSEWHERE)
    async with sessions(target.address, paths, user=USER) as opened:
        return await _rounds(target, opened, target.processes(), sizes, rounds, interval_s)


async def _bare_rounds(target: Hmi, bare: str, pid: int, sizes: _Sizes, interval_s: float) -> _Rounds:
    async with bare_sessions(bare, SESSIONS) as opened:
        return await _rounds(target, opened, {"bare server": pid}, sizes, sizes.rounds, interval_s)


async def _rounds(
    target: Hmi,
    opened: Sequence[Session],
    pids: dict[str, int],
    sizes: _Sizes,
    rounds: int,
    interval_s: float,
) -> _Rounds:
    """One new recommendation after the other, at moments that have nothing to do with the polling."""
    found, pause = _Rounds(), random.Random(4)
    await asyncio.sleep(sizes.settle_s)
    cpu = CpuShares(pids)
    for turn in range(rounds):
        await asyncio.sleep(pause.uniform(0.0, sizes.pause_s))
        mark = target.waiting.mark_of_next()
        expected = [session.expect_new(mark) for session in opened]
        began_s = time.monotonic()
        await target.waiting.add(severity="critical")
        done, late = await asyncio.wait(expected, timeout=interval_s + _LATE_S)
        found.delays_ms += [(one.result() - began_s) * 1e3 for one in done]
        found.missed += len(late)
        for one in late:
            one.cancel()
        if turn % 5 == 4:
            await _make_room(target, interval_s)
    found.cpu_percent = cpu.percent()
    found.frames = sum(session.frames for session in opened)
    found.characters = sum(session.characters for session in opened)
    await target.waiting.clear_critical()
    return found


def _crowd_figures(found: _Rounds, goal_ms: float, case: str, bare: _Rounds | None) -> list[Figure]:
    what = f"{SESSIONS} sessions, {case}"
    return [
        Figure(
            what=f"{what}: new recommendation at all, worst",
            value=max(found.delays_ms, default=_LATE_S * 1e3),
            unit="ms",
            spread=tail(found.delays_ms) if found.delays_ms else {},
            goal=goal_ms,
            floor=max(bare.delays_ms) if bare is not None else None,
            never=not found.delays_ms,
        ),
        Figure(what=f"{what}: missed", value=float(found.missed), unit="of them", goal=0.0),
        Figure(
            what=f"{what}: CPU of gateway and JVM",
            value=sum(found.cpu_percent.values()),
            unit="% of a core",
            spread=found.cpu_percent,
            floor=sum(bare.cpu_percent.values()) if bare is not None else None,
        ),
    ]


# Queries


async def _queries_per_poll(target: Hmi, sizes: _Sizes, interval_s: float) -> dict[str, dict[int, int]]:
    """For each page and number of open items: the most queries in one polling interval."""
    log = StatementLog(target.server_log)
    paths = (
        *("/recommendations", f"/recommendations/{await target.waiting.any_id()}", "/equipment"),
        *("/equipment/REACTOR_01", "/commands", "/health", "/audit", "/settings"),
    )[: sizes.pages]
    found: dict[str, dict[int, int]] = {path: {} for path in paths}
    async with (
        log.on(target.owner),
        sessions(target.address, ["/audit"], user=USER) as (session,),
    ):
        await _at_rest(log, interval_s)
        for number in sizes.open:
            await target.waiting.clear()
            await target.waiting.add(number)
            for path in paths:
                since = log.size()
                await session.go(path)
                await asyncio.sleep(interval_s * (sizes.polls + 0.2))
                found[path][number] = most_within(log.asked_s(since), interval_s)
    return found


async def _at_rest(log: StatementLog, interval_s: float) -> None:
    """What sessions do once when they begin and end does not belong to a page: wait until it is over."""
    asked = 0
    for _ in range(30):
        since = log.size()
        await asyncio.sleep(interval_s)
        asked = len(log.asked_s(since))
        if 0 < asked <= 2:
            return
    raise Failed(
        f"30 polls after the last session's end still {asked} queries a poll; a page at rest has 1 or 2"
    )


def _query_figures(found: dict[str, dict[int, int]]) -> list[Figure]:
    figures = [
        Figure(
            what=f"queries in one poll, {path if path.count('/') == 1 else path.rsplit('/', 1)[0] + '/:id'}",
            value=float(max(most.values())),
            unit="queries",
            spread={f"{number} open": float(asked) for number, asked in most.items()},
            goal=GOAL_QUERIES,
        )
        for path, most in found.items()
    ]
    more = max(most[max(most)] - most[min(most)] for most in found.values())
    figures.append(
        Figure(what="queries in one poll: more rows ask more", value=float(more), unit="queries", goal=0.0)
    )
    return figures


async def _list_ms(url: str, times: int) -> float:
    """The median of the list's query alone."""
    statement = queries.load().recommendations.page_of_open.statement
    taken_ms = []
    async with await connect(url, "bridge_operator") as connection:
        for _ in range(times):
            began_s = time.monotonic()
            await (await connection.execute(statement, FIRST_PAGE)).fetchall()
            taken_ms.append((time.monotonic() - began_s) * 1e3)
    return quantile(taken_ms, 0.5)
