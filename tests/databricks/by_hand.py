"""A driver for conversations that has no server: the test says what each call is answered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from bridge.databricks.call import Call
from bridge.databricks.steps import Progress, Step, Steps, Wait
from bridge.errors import BridgeError

T = TypeVar("T")


class HandClock:
    """Time that a test turns by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now_utc(self) -> datetime:
        return datetime(2026, 11, 21, 12, tzinfo=UTC) + timedelta(seconds=self.passed_s)

    def monotonic_s(self) -> float:
        return 1_000.0 + self.passed_s


@dataclass
class Talk:
    """What a conversation did. Its waits turn the clock, where one is given."""

    clock: HandClock | None = None
    calls: list[Call] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)

    @property
    def statuses(self) -> list[str]:
        return [progress.status for progress in self.told]

    @property
    def paths(self) -> list[str]:
        return [f"{call.verb} {call.path}" for call in self.calls]

    def work(self, steps: Steps[T], *answers: Mapping[str, object] | BridgeError) -> T:
        """Work a conversation to its end; every answer has to be used, and no more may be wanted."""
        left = list(answers)
        answer: Mapping[str, object] | BridgeError | None = None
        try:
            while True:
                step = self._resume(steps, answer)
                answer = {}
                if isinstance(step, Progress):
                    self.told.append(step)
                elif isinstance(step, Wait):
                    self.waits_s.append(step.seconds)
                    if self.clock is not None:
                        self.clock.passed_s += step.seconds
                else:
                    self.calls.append(step)
                    assert left, f"one call too many: {step}"
                    answer = left.pop(0)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()
            assert not left, f"answers that nobody wanted: {left}"

    @staticmethod
    def _resume(steps: Steps[T], answer: Mapping[str, object] | BridgeError | None) -> Step:
        if answer is None:
            return next(steps)
        if isinstance(answer, BridgeError):
            return steps.throw(answer)
        return steps.send(answer)


def until_call(steps: Steps[T]) -> Call:
    """Send a conversation on until it asks for a call."""
    step = next(steps)
    while not isinstance(step, Call):
        step = steps.send({})
    return step
