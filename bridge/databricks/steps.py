"""Conversations with polling, written without I/O: a generator says what to ask and how long to wait.

Two drivers work them: `run` in the thread that calls it, and `run_async`, where a pending poll is a sleeping
task and holds no thread. A test is a third driver: it sends the answers by hand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from bridge.databricks.call import Answer, Call
from bridge.errors import BridgeError, DeadlineExceeded
from bridge.ports import Clock

__all__ = ["Answer", "Call", "Progress", "Server", "Step", "Steps", "Wait", "finish", "run", "run_async"]

T = TypeVar("T")


class Server(Protocol):
    """What a driver sends calls to: a `Workspace`, or a test."""

    def ask(self, call: Call, *, budget_s: float) -> Answer:
        """Blocking."""
        ...

    async def asked(self, call: Call, *, budget_s: float) -> Answer:
        """On the event loop."""
        ...


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause before the next step, in seconds; it is cut short where the deadline comes first."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """What a person may be told meanwhile: the other side's own state, and words for it (empty: none)."""

    status: str
    detail: str = ""


Step = Call | Wait | Progress

# A Call is answered with its JSON object, or its error is thrown in at the `yield`, so that the conversation decides;
# a Wait and a Progress are answered with an empty object. What the generator returns is the result.
Steps = Generator[Step, Answer, T]

_NOTHING: Answer = {}


class _Work(Generic[T]):
    """One conversation under way, with its deadline."""

    def __init__(self, steps: Steps[T], clock: Clock, deadline_s: float) -> None:
        self._steps = steps
        self._clock = clock
        self._deadline_s = deadline_s
        self._ends_s = clock.monotonic_s() + deadline_s
        self._told = False

    def resume(self, answer: Answer | BridgeError | None) -> Step:
        """The next step; StopIteration carries the result."""
        if answer is None:
            return next(self._steps)
        if isinstance(answer, BridgeError):
            return self._steps.throw(answer)
        return self._steps.send(answer)

    def wait_s(self, step: Wait) -> float:
        return max(0.0, min(step.seconds, self._ends_s - self._clock.monotonic_s()))

    def budget_s(self, call: Call) -> float | DeadlineExceeded:
        """Time for this call, or what to throw in instead; who does not listen to that is ended."""
        left_s = self._ends_s - self._clock.monotonic_s()
        if left_s > 0:
            return min(call.budget_s, left_s)
        late = DeadlineExceeded(f"{call.what}: the answer was not there within {self._deadline_s:g} s")
        if self._told:
            raise late
        self._told = True
        return late


def run(
    steps: Steps[T],
    server: Server,
    clock: Clock,
    *,
    deadline_s: float,
    pause: Callable[[float], None] = time.sleep,
) -> Generator[Progress, None, T]:
    """Work a conversation in this thread, giving its progress as it comes; StopIteration carries the result.

    A call after the deadline is not made: DeadlineExceeded is thrown into the conversation, which may still return
    what it has. A second such call raises DeadlineExceeded here.
    """
    work = _Work(steps, clock, deadline_s)
    answer: Answer | BridgeError | None = None
    try:
        while True:
            try:
                step = work.resume(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = _NOTHING
            match step:
                case Progress():
                    yield step
                case Wait():
                    pause(work.wait_s(step))
                case Call():
                    budget_s = work.budget_s(step)
                    if isinstance(budget_s, DeadlineExceeded):
                        answer = budget_s
                        continue
                    try:
                        answer = server.ask(step, budget_s=budget_s)
                    except BridgeError as problem:
                        answer = problem
    finally:
        steps.close()


def finish(
    steps: Steps[T],
    server: Server,
    clock: Clock,
    *,
    deadline_s: float,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Work a conversation to its end in this thread and give its result; its progress is told to nobody."""
    rest = run(steps, server, clock, deadline_s=deadline_s, pause=pause)
    while True:
        try:
            next(rest)
        except StopIteration as end:
            result: T = end.value
            return result


async def run_async(
    steps: Steps[T],
    server: Server,
    clock: Clock,
    *,
    deadline_s: float,
    on_progress: Callable[[Progress], None] | None = None,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """The same on the event loop: a conversation that waits is a sleeping task and holds no thread."""
    work = _Work(steps, clock, deadline_s)
    answer: Answer | BridgeError | None = None
    try:
        while True:
            try:
                step = work.resume(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = _NOTHING
            match step:
                case Progress():
                    if on_progress is not None:
                        on_progress(step)
                case Wait():
                    await pause(work.wait_s(step))
                case Call():
                    budget_s = work.budget_s(step)
                    if isinstance(budget_s, DeadlineExceeded):
                        answer = budget_s
                        continue
                    try:
                        answer = await server.asked(step, budget_s=budget_s)
                    except BridgeError as problem:
                        answer = problem
    finally:
        steps.close()
