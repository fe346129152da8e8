"""Questions to Genie that all wait at once: with the bridge's client, or each in a thread of its own with requests.

`python -m benchmarks.child genie ours|bare HOST TOKEN QUESTIONS SECONDS` asks them, waits until each was looked at,
prints what that costs the process for so many seconds (`pending THREADS MB`, and threads and MB of before), waits for
the answers, and prints when they had come (`finished P50 P99 MAX`, on the machine's steady clock).
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import psutil
import requests
from requests.adapters import HTTPAdapter

from benchmarks.figures import tail
from bridge.clock import SystemClock
from bridge.databricks.auth import PersonalToken
from bridge.databricks.call import Answer, Call
from bridge.databricks.genie import Genie
from bridge.databricks.genie_limits import Turns
from bridge.databricks.http import Workspace
from bridge.databricks.steps import run_async

SPACE = "01ef0000000000000000000000000001"
CONNECTIONS = 8
"""What the bridge's client holds open at most; the bare one gets as many."""
FIRST_POLL_S, LONGEST_POLL_S = 1.0, 5.0
_PATIENCE_S = 600.0
_LOOK_S = 0.1


class _Looks:
    """Which questions somebody has looked at."""

    def __init__(self, questions: int) -> None:
        self._questions = questions
        self._seen: set[str] = set()

    def note(self, path: str) -> bool:
        """Whether every question has been looked at by now."""
        self._seen.add(path)
        return len(self._seen) >= self._questions


class _Watched:
    """The bridge's client, and word of when every question waits."""

    def __init__(self, workspace: Workspace, questions: int) -> None:
        self._workspace = workspace
        self._looks = _Looks(questions)
        self.all_wait = asyncio.Event()

    def ask(self, call: Call, *, budget_s: float) -> Answer:
        """See `Server.ask`."""
        return self._workspace.ask(call, budget_s=budget_s)

    async def asked(self, call: Call, *, budget_s: float) -> Answer:
        """See `Server.asked`."""
        answer = await self._workspace.asked(call, budget_s=budget_s)
        if call.verb == "GET" and self._looks.note(call.path):
            self.all_wait.set()
        return answer


class _Cost:
    """Threads and resident memory of this process, before and at their highest."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._now()
        self._most = (0, 0.0)

    def _now(self) -> tuple[int, float]:
        return self._process.num_threads(), self._process.memory_info().rss / 1e6

    def look(self) -> None:
        threads, memory_mb = self._now()
        self._most = max(self._most[0], threads), max(self._most[1], memory_mb)

    def tell(self) -> None:
        print("pending", *self._most, *self._before, flush=True)


def _tell_when(came_s: list[float]) -> None:
    print("finished", *tail(came_s).values(), flush=True)


async def ours(host: str, token: str, questions: int, seconds: float) -> None:
    """Each question a conversation on the event loop, as the advisor asks; see the module."""
    clock = SystemClock()
    cost = _Cost()
    workspace = Workspace(host, PersonalToken(token, "the benchmark"), clock)
    server = _Watched(workspace, questions)
    genie = Genie(
        Turns(clock, per_minute=questions), first_poll_s=FIRST_POLL_S, longest_poll_s=LONGEST_POLL_S
    )
    came_s: list[float] = []

    async def ask(number: int) -> None:
        asking = genie.ask(SPACE, f"question {number}", patience_s=0)
        await run_async(asking, server, clock, deadline_s=_PATIENCE_S)
        came_s.append(time.monotonic())

    answers = asyncio.gather(*(ask(number) for number in range(questions)))
    pending = asyncio.create_task(server.all_wait.wait())
    first: set[asyncio.Future[Any]] = {answers, pending}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if not pending.done():
        await answers  # raises what went wrong
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        cost.look()
        await asyncio.sleep(_LOOK_S)
    cost.tell()
    await answers
    _tell_when(came_s)
    workspace.close()


def bare(host: str, token: str, questions: int, seconds: float) -> None:
    """Each question a thread that sleeps between two looks; see the module."""
    cost = _Cost()
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {token}"
    session.mount(host, HTTPAdapter(pool_maxsize=CONNECTIONS, pool_block=True))
    spaces = f"{host}/api/2.0/genie/spaces/{SPACE}"
    looks = _Looks(questions)
    all_wait = threading.Event()
    came_s: list[float] = []

    def ask(number: int) -> None:
        began = session.post(
            f"{spaces}/start-conversation", json={"content": f"question {number}"}, timeout=30
        ).json()
        message = f"{spaces}/conversations/{began['conversation_id']}/messages/{began['message_id']}"
        pause_s = FIRST_POLL_S
        while True:
            time.sleep(pause_s)
            found = session.get(message, timeout=30).json()
            if looks.note(message):
                all_wait.set()
            if found["status"] == "COMPLETED":
                came_s.append(time.monotonic())
                return
            pause_s = min(pause_s * 1.5, LONGEST_POLL_S)

    asking = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(questions)]
    for thread in asking:
        thread.start()
    all_wait.wait()
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        cost.look()
        time.sleep(_LOOK_S)
    cost.tell()
    for thread in asking:
        thread.join()
    _tell_when(came_s)
