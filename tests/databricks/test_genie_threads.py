"""Does a question that is waited for cost a sleeping task, and no thread?"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from genie_words import SPACE, text

from bridge.clock import SystemClock
from bridge.databricks.call import Call
from bridge.databricks.genie import Genie
from bridge.databricks.genie_limits import Turns
from bridge.databricks.steps import Server, run_async

QUESTIONS = 1_000
THREADS = 4


class Crowd:
    """A workspace that answers nobody before everybody waits, over a few threads as the real one is asked."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS)
        self._numbers = itertools.count(1)
        self._waiting: set[str] = set()
        self.most_waiting = 0
        self.most_threads = 0
        self.looks = 0

    def ask(self, call: Call, *, budget_s: float) -> Mapping[str, object]:
        raise AssertionError("nobody asks in a thread of its own here")

    async def asked(self, call: Call, *, budget_s: float) -> Mapping[str, object]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, call)

    def _answer(self, call: Call) -> Mapping[str, object]:
        self.most_threads = max(self.most_threads, threading.active_count())
        if call.verb == "POST":
            number = next(self._numbers)
            return {"conversation_id": f"c{number}", "message_id": f"m{number}"}
        self.looks += 1
        self._waiting.add(call.path)
        self.most_waiting = max(self.most_waiting, len(self._waiting))
        if self.most_waiting < QUESTIONS:
            return {"status": "ASKING_AI"}
        return {"status": "COMPLETED", "attachments": [text("ok")]}

    def close(self) -> None:
        self._threads.shutdown()


async def test_a_thousand_questions_wait_on_a_handful_of_threads() -> None:
    """All of them are out at the same time, and each is looked after until its answer is there."""
    clock = SystemClock()
    genie = Genie(Turns(clock, per_minute=QUESTIONS), first_poll_s=0.2, longest_poll_s=0.4)
    crowd = Crowd()
    server: Server = crowd
    before = threading.active_count()
    try:
        answers = await asyncio.gather(
            *(
                run_async(genie.ask(SPACE, f"question {number}", patience_s=0), server, clock, deadline_s=120)
                for number in range(QUESTIONS)
            )
        )
    finally:
        crowd.close()

    assert {answer.text for answer in answers} == {"ok"}
    assert crowd.most_waiting == QUESTIONS
    assert crowd.looks > QUESTIONS
    assert crowd.most_threads <= before + THREADS
