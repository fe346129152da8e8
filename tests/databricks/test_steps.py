"""The two drivers of a conversation: what they tell it, how they wait, and where they stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

import pytest
from by_hand import HandClock

from bridge.databricks.call import Answer, Call
from bridge.databricks.steps import Progress, Steps, Wait, finish, run, run_async
from bridge.errors import BridgeError, DeadlineExceeded, WorkspaceDown

ASK = Call(verb="GET", path="/thing", what="ask for the thing")


class Answers:
    """A server that gives what the test says, in turn; each answer takes so long."""

    def __init__(
        self, clock: HandClock, *answers: Mapping[str, object] | BridgeError, takes_s: float = 0.0
    ) -> None:
        self.clock = clock
        self.left = list(answers)
        self.budgets_s: list[float] = []
        self.takes_s = takes_s

    def ask(self, call: Call, *, budget_s: float) -> Answer:
        self.budgets_s.append(budget_s)
        self.clock.passed_s += self.takes_s
        answer = self.left.pop(0)
        if isinstance(answer, BridgeError):
            raise answer
        return answer

    async def asked(self, call: Call, *, budget_s: float) -> Answer:
        return self.ask(call, budget_s=budget_s)


Drive = Callable[[Steps[object], Answers, HandClock, float], tuple[object, list[str]]]


def in_this_thread(
    steps: Steps[object], server: Answers, clock: HandClock, deadline_s: float
) -> tuple[object, list[str]]:
    def pause(seconds: float) -> None:
        clock.passed_s += seconds

    told = []
    work = run(steps, server, clock, deadline_s=deadline_s, pause=pause)
    while True:
        try:
            told.append(next(work).status)
        except StopIteration as end:
            return end.value, told


def on_the_loop(
    steps: Steps[object], server: Answers, clock: HandClock, deadline_s: float
) -> tuple[object, list[str]]:
    async def pause(seconds: float) -> None:
        clock.passed_s += seconds

    told: list[str] = []
    work = run_async(
        steps,
        server,
        clock,
        deadline_s=deadline_s,
        on_progress=lambda step: told.append(step.status),
        pause=pause,
    )
    return asyncio.run(work), told


@pytest.fixture(params=[in_this_thread, on_the_loop])
def drive(request: pytest.FixtureRequest) -> Drive:
    found: Drive = request.param
    return found


def polling() -> Steps[object]:
    while True:
        answer = yield ASK
        if answer.get("done"):
            return answer["done"]
        yield Progress(str(answer["status"]))
        yield Wait(2.0)


def test_answers_go_in_and_the_result_comes_out(drive: Drive) -> None:
    clock = HandClock()
    server = Answers(clock, {"status": "A"}, {"status": "B"}, {"done": 7})
    assert drive(polling(), server, clock, 60.0) == (7, ["A", "B"])
    assert clock.passed_s == 4.0
    assert server.budgets_s == [30.0, 30.0, 30.0]


def test_a_call_has_no_more_time_than_is_left(drive: Drive) -> None:
    clock = HandClock()
    server = Answers(clock, {"status": "A"}, {"done": 1}, takes_s=5.0)
    drive(polling(), server, clock, 10.0)
    assert server.budgets_s == [10.0, 3.0]


def test_an_error_is_thrown_in_and_the_conversation_decides(drive: Drive) -> None:
    def patient() -> Steps[object]:
        try:
            yield ASK
        except WorkspaceDown as problem:
            return f"caught {problem}"
        return "not thrown"

    clock = HandClock()
    assert drive(patient(), Answers(clock, WorkspaceDown("away")), clock, 10.0)[0] == "caught away"


def test_an_error_that_nobody_catches_comes_out(drive: Drive) -> None:
    clock = HandClock()
    with pytest.raises(WorkspaceDown, match="away"):
        drive(polling(), Answers(clock, WorkspaceDown("away")), clock, 10.0)


def test_after_the_deadline_no_call_is_made(drive: Drive) -> None:
    """A wait is cut short, the next call becomes DeadlineExceeded, and what there is may still be returned."""
    seen: list[str] = []

    def collecting() -> Steps[object]:
        try:
            while True:
                seen.append(str((yield ASK)["status"]))
                yield Wait(100.0)
        except DeadlineExceeded as late:
            return f"{late}: {seen}"

    clock = HandClock()
    server = Answers(clock, {"status": "A"})
    assert (
        drive(collecting(), server, clock, 5.0)[0]
        == "ask for the thing: the answer was not there within 5 s: ['A']"
    )
    assert clock.passed_s == 5.0


def test_a_conversation_that_never_gives_up_is_ended(drive: Drive) -> None:
    """DeadlineExceeded is a TryAgain, and a loop that catches those must not spin for ever."""
    closed = []

    def stubborn() -> Steps[object]:
        try:
            while True:
                try:
                    yield ASK
                except DeadlineExceeded:
                    yield Wait(1.0)
        finally:
            closed.append(True)

    clock = HandClock()
    with pytest.raises(DeadlineExceeded, match="within 0 s"):
        drive(stubborn(), Answers(clock), clock, 0.0)
    assert closed == [True]


def test_finish_gives_the_result_alone() -> None:
    clock = HandClock()
    server = Answers(clock, {"status": "A"}, {"done": 7})
    assert finish(polling(), server, clock, deadline_s=9.0, pause=lambda seconds: None) == 7


async def test_a_thousand_waiting_conversations_hold_no_thread() -> None:
    """They are tasks that sleep; cancelling one closes its conversation."""
    clock = HandClock()
    closed = []

    class Never(Answers):
        async def asked(self, call: Call, *, budget_s: float) -> Answer:
            return {"status": "ASKING_AI"}

    def waiting() -> Steps[object]:
        try:
            while True:
                yield ASK
                yield Wait(1_000.0)
        finally:
            closed.append(True)

    before = threading.active_count()
    tasks = [
        asyncio.create_task(run_async(waiting(), Never(clock), clock, deadline_s=5_000.0))
        for _ in range(1_000)
    ]
    await asyncio.sleep(0)
    assert threading.active_count() == before
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(closed) == 1_000
