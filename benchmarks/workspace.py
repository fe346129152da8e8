"""The simulated workspace over real HTTP: proposals that wait for nobody, waiting questions, logins, requests.

The other side is a simulator on this machine. What carries over to a workspace are counts, threads and memory, and
what the bridge adds to the bare library; a real workspace takes its own time over every request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import psycopg
import requests

from benchmarks.figures import Figure, Result, quantile, runs, shown, tail
from benchmarks.genie_polls import CONNECTIONS, LONGEST_POLL_S, SPACE
from benchmarks.proposals import commits
from benchmarks.recommendation import GOAL_P99_MS, REMEDIES, RULES, SIGNALS, crossed, delays_of
from benchmarks.stand import (
    Connection,
    Failed,
    Stand,
    connect,
    demand_line,
    end,
    number,
    reactor_toml,
    reactors,
    readings_from,
    spawn,
    until,
)
from bridge.clock import SystemClock
from bridge.databricks.auth import PersonalToken
from bridge.databricks.call import Call
from bridge.databricks.http import Workspace
from bridge.databricks.lakebase import LakebaseLogin
from bridge.settings.databricks import LakebaseSettings
from bridge.store import connection
from simulator.workspace.process import WorkspaceProcess

NAME = "workspace"
GOAL_THREADS = float(CONNECTIONS)
GOAL_CREDENTIALS = 1.0  # for each physical connection
GOAL_SHARE = 0.6  # of the bare library
_CREDENTIALS = "/api/2.0/postgres/credentials"
_SPACES = "/api/2.0/genie/spaces"
_AT_ONCE = 4  # connections opened together, as many as the store's pool has
_QUESTIONS_A_MINUTE = 600  # the most that [genie] takes
_LONG_S = 3600.0


async def measure(stand: Stand, *, quick: bool) -> Result:
    """One workspace in a process of its own, before a database of the stand; its parts one after the other."""
    workspace = await asyncio.to_thread(
        partial(
            WorkspaceProcess.start,
            *("--database", await stand.database(), "--no-warehouse", "--genie-per-minute", "100000"),
            deadline_s=120.0,
        )
    )
    try:
        figures = [
            *await _rules_first(stand, workspace, quick=quick),
            *await _pending(stand, workspace, quick=quick),
            *await _churn(workspace, connections=20 if quick else 100),
            *await _requests(workspace, times=50 if quick else 1000, rounds=1 if quick else 3),
        ]
    finally:
        await asyncio.to_thread(workspace.stop)
    return Result(
        name=NAME,
        title="The simulated workspace over HTTP on loopback",
        figures=tuple(figures),
        notes=(
            "the workspace is a simulator on the same machine: counts, threads, memory and what the bridge adds carry "
            "over to a real one; seconds of the workspace's own do not",
        ),
    )


def _answers_after(seconds: float) -> dict[str, Any]:
    """A space whose every answer takes so long, by the workspace's clock, and needs no SQL."""
    answer = {
        "question": ".",
        "statuses": ["ASKING_AI"],
        "step_polls": 0,
        "step_s": seconds / 2,  # SUBMITTED, then ASKING_AI
        "text": "The coolant is short.",
    }
    return {"genie": [{"space_id": SPACE, "title": "Plant", "answers": [answer]}]}


# A proposal of the rules, while Genie is asked about others


async def _rules_first(stand: Stand, workspace: WorkspaceProcess, *, quick: bool) -> list[Figure]:
    """The same crossings before a bridge on its own, and before one with so many questions out at Genie."""
    crossings, answer_s, out = (10, 6.0, 5) if quick else (100, 20.0, 50)
    workspace.script(_answers_after(answer_s))
    names = reactors(2 * crossings)
    async with stand.plant("--equipment", str(len(names)), "--tick", "3600") as plant:
        toml = reactor_toml(
            plant.endpoint,
            len(names),
            signals=SIGNALS,
            rules=RULES,
            remedies=REMEDIES,
            setpoints=("cooling",),
        )
        url = await stand.database()
        async with await connect(url) as owner, stand.bridge(toml, url):
            await readings_from(owner, len(names))
            alone = tail(delays_of(await crossed(owner, plant.endpoint, names[:crossings], 0)))
        url = await stand.database()
        asking = toml + _advisor(workspace, out, deadline_s=3 * answer_s)
        async with (
            await connect(url) as owner,
            stand.bridge(asking, url, BRIDGE_DATABRICKS__TOKEN=workspace.token),
        ):
            await readings_from(owner, len(names))
            # What the first bridge left above the limit is what Genie is asked about first.
            advised = tail(delays_of(await crossed(owner, plant.endpoint, names[crossings:], crossings)))
            waiting = _asked(workspace) - round(await _answered(owner))
            if waiting < 1:
                raise Failed("Genie had answered everything before the last crossing: nothing was waited for")
            words_s = await _words_s(owner, out // 2, within_s=4 * answer_s)
    return [
        Figure(
            what=f"reading → recommendation, p50, Genie takes {answer_s:g} s (beside it: no advisor)",
            value=advised["p50"],
            unit="ms",
            spread=advised,
            floor=alone["p50"],
            note=f"{waiting} questions were out at the last crossing; floor: the same bridge without an advisor, not "
            f"a bare library; Genie's words were stored {shown(quantile(words_s, 0.5))} s after the recommendation "
            "(p50 of those asked about first)",
        ),
        Figure(
            what=f"reading → recommendation, p99, Genie takes {answer_s:g} s (beside it: no advisor)",
            value=advised["p99"],
            unit="ms",
            goal=GOAL_P99_MS,
            floor=alone["p99"],
        ),
    ]


def _advisor(workspace: WorkspaceProcess, out: int, *, deadline_s: float) -> str:
    return "\n".join(
        (
            "[databricks]",
            f'host = "{workspace.host}"',
            "[genie]",
            f"questions_per_minute = {_QUESTIONS_A_MINUTE}",
            f'spaces = {{ plant = "{SPACE}" }}',
            "[advisor]",
            'kind = "genie"',
            'space = "plant"',
            f"deadline_s = {deadline_s}",
            f"max_in_flight = {out}",
            f"per_minute = {_QUESTIONS_A_MINUTE}",
            "",
        )
    )


def _asked(workspace: WorkspaceProcess) -> int:
    return sum(each["path"].endswith("/start-conversation") for each in workspace.requests())


async def _answered(owner: Connection) -> float:
    return await number(
        owner,
        "select count(*) from agent_audit where action in ('recommendation.advised', 'recommendation.not_advised')",
    )


async def _words_s(owner: Connection, wanted: int, *, within_s: float) -> list[float]:
    """Seconds from a recommendation's commit to that of Genie's words about it, of those that have come so far."""

    async def there() -> bool:
        return await _answered(owner) >= wanted

    await until("Genie's words", there, within_s=within_s, every_s=0.25)
    made, advised = "recommendation.created", "recommendation.advised"
    steps = await commits(owner, [made, advised])
    found = [(step[advised] - step[made]).total_seconds() for step in steps.values() if advised in step]
    if not found:
        raise Failed("Genie was asked and its words were taken for none of the recommendations")
    return found


# Questions that wait


@dataclass(frozen=True, kw_only=True)
class _Waited:
    """What so many waiting questions cost one process, over what it was before, and when their answers had come."""

    threads: float
    memory_mb: float
    answers_s: dict[str, float]


async def _pending(stand: Stand, workspace: WorkspaceProcess, *, quick: bool) -> list[Figure]:
    questions, seconds = (50, 0.5) if quick else (1000, 5.0)
    found = {}
    for kind in ("bare", "ours"):
        workspace.reset()
        workspace.script(_answers_after(_LONG_S))
        found[kind] = await asyncio.to_thread(_wait, stand, workspace, kind, questions, seconds)
    ours, bare = found["ours"], found["bare"]
    return [
        Figure(
            what=f"{questions:,} Genie questions pending: threads more than with none",
            value=ours.threads,
            unit="threads",
            goal=GOAL_THREADS,
            floor=bare.threads,
            note=f"floor: requests in a thread for each question, over {CONNECTIONS} connections as well",
        ),
        Figure(
            what=f"{questions:,} Genie questions pending: memory",
            value=ours.memory_mb,
            unit="MB",
            floor=bare.memory_mb,
            note="resident, at its highest while all of them were polled",
        ),
        Figure(
            what=f"answered at once: all {questions:,} answers there",
            value=ours.answers_s["max"],
            unit="s",
            spread=ours.answers_s,
            floor=bare.answers_s["max"],
            note=f"polls are up to {LONGEST_POLL_S:g} s apart; answers without rows",
        ),
    ]


def _wait(stand: Stand, workspace: WorkspaceProcess, kind: str, questions: int, seconds: float) -> _Waited:
    log = stand.folder / f"genie_{kind}.log"
    asking = spawn("genie", kind, workspace.host, workspace.token, str(questions), str(seconds), log=log)
    try:
        said = demand_line(asking, "pending ", log, within_s=120.0).split()[1:]
        threads, memory_mb, threads_before, memory_before_mb = map(float, said)
        answered_s = time.monotonic()
        workspace.advance(2 * _LONG_S)
        finished = demand_line(asking, "finished ", log, within_s=120.0).split()[1:]
    finally:
        end(asking, within_s=10.0)
    return _Waited(
        threads=threads - threads_before,
        memory_mb=memory_mb - memory_before_mb,
        answers_s={
            name: float(at_s) - answered_s for name, at_s in zip(("p50", "p99", "max"), finished, strict=True)
        },
    )


# Connections to Lakebase


@dataclass(frozen=True, kw_only=True)
class _Churned:
    """What the simulator counted, and how long a connection took, closing included."""

    logins: int
    credentials: int
    each_ms: float


async def _churn(workspace: WorkspaceProcess, *, connections: int) -> list[Figure]:
    """Open and close physical connections, a few at once; logins and credentials are counted at the simulator."""
    workspace.reset()
    there = workspace.ready["lakebase"]
    server = Workspace(workspace.host, PersonalToken(workspace.token, "the benchmark"), SystemClock())
    found = {}
    try:
        for ttl_s in (3600, 300):
            settings = LakebaseSettings(endpoint=there["endpoint"], port=there["port"], ttl_s=ttl_s)
            login = LakebaseLogin(settings, server, SystemClock())
            found[ttl_s] = await _churned(workspace, connections, partial(_open, login))
    finally:
        server.close()
    with requests.Session() as session:
        session.trust_env = False
        bare = await _churned(workspace, connections, partial(_open_bare, session, workspace))
    figures = []
    for ttl_s, how in ((3600, "ttl_s = 3600, as by itself"), (300, "ttl_s = 300: none is shared")):
        churned = found[ttl_s]
        figures += [
            Figure(
                what=f"Lakebase: credentials for each physical connection, {how}",
                value=churned.credentials / churned.logins,
                unit="credentials",
                goal=GOAL_CREDENTIALS,
                floor=bare.credentials / bare.logins,
                note=f"{churned.credentials} for {churned.logins} logins, counted at the simulator; floor: psycopg "
                "and a credential by requests for each",
            ),
            Figure(
                what=f"Lakebase: a connection opened and closed, {how}",
                value=churned.each_ms,
                unit="ms",
                floor=bare.each_ms,
                note=f"{_AT_ONCE} at once; with the session's settings made",
            ),
        ]
    return figures


_Opened = psycopg.AsyncConnection[Any]


async def _churned(
    workspace: WorkspaceProcess, connections: int, open_one: Callable[[], Awaitable[_Opened]]
) -> _Churned:
    before = workspace.state()["lakebase"]
    began_s = time.monotonic()
    for _ in range(connections // _AT_ONCE):
        opened = await asyncio.gather(*(open_one() for _ in range(_AT_ONCE)))
        for each in opened:
            await each.close()
    took_s = time.monotonic() - began_s
    after = workspace.state()["lakebase"]
    logins = after["logins"] - before["logins"]
    if logins != connections:
        raise Failed(f"{connections} connections were opened, and the simulator counted {logins} logins")
    return _Churned(
        logins=logins, credentials=after["minted"] - before["minted"], each_ms=took_s / connections * 1000
    )


async def _open(login: LakebaseLogin) -> _Opened:
    return await connection.connect(
        login, role=None, statement_timeout_s=10.0, connect_timeout_s=10.0, purpose="benchmark"
    )


async def _open_bare(session: requests.Session, workspace: WorkspaceProcess) -> _Opened:
    there = workspace.ready["lakebase"]
    answer = await asyncio.to_thread(
        session.post,
        f"{workspace.host}{_CREDENTIALS}",
        json={"endpoint": there["endpoint"]},
        headers={"Authorization": f"Bearer {workspace.token}"},
        timeout=10,
    )
    return await psycopg.AsyncConnection.connect(
        host=there["host"],
        port=there["port"],
        dbname=there["database"],
        user=workspace.user,
        password=answer.json()["token"],
        autocommit=True,
    )


# Requests


async def _requests(workspace: WorkspaceProcess, *, times: int, rounds: int) -> list[Figure]:
    """One small GET again and again, one after the other, bare and ours in turns."""
    workspace.reset()
    server = Workspace(workspace.host, PersonalToken(workspace.token, "the benchmark"), SystemClock())
    call = Call(verb="GET", path=_SPACES, what="the benchmark's question")
    ours, bare = [], []
    with requests.Session() as session:
        session.trust_env = (
            False  # as ours does on this machine: no look into the environment for each request
        )
        session.headers["Authorization"] = f"Bearer {workspace.token}"
        try:
            for _ in range(rounds):
                bare.append(
                    await asyncio.to_thread(
                        _repeated, lambda: session.get(workspace.host + _SPACES, timeout=30).json(), times
                    )
                )
                ours.append(
                    await asyncio.to_thread(_repeated, lambda: server.ask(call, budget_s=30.0), times)
                )
        finally:
            server.close()
    rates, cpu = runs([rate for rate, _ in ours]), runs([cpu_us for _, cpu_us in ours])
    return [
        Figure(
            what="REST, one request after the other (simulated workspace)",
            value=rates["median"],
            unit="requests/s",
            spread=rates,
            at_least=True,
            floor=median(rate for rate, _ in bare),
            floor_goal=GOAL_SHARE,
            note="GET of 0.2 kB; floor: a requests.Session that reads the JSON and looks at nothing else",
        ),
        Figure(
            what="REST, CPU per request",
            value=cpu["median"],
            unit="µs",
            spread=cpu,
            floor=median(cpu_us for _, cpu_us in bare),
        ),
    ]


def _repeated(ask: Callable[[], object], times: int) -> tuple[float, float]:
    """Requests a second, and CPU of this process for each in µs."""
    ask()  # opens the connection
    cpu_s, began_s = time.process_time(), time.monotonic()
    for _ in range(times):
        ask()
    took_s = time.monotonic() - began_s
    return times / took_s, (time.process_time() - cpu_s) / times * 1e6
