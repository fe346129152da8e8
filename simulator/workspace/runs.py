"""A run of a job and the runs of its tasks: how they go on with time, and what they look like.

Nothing happens in the background: a run goes on when somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from simulator.workspace.answers import Document
from simulator.workspace.scripts import Attempt, Task

_TYPES: Final = {
    "SUCCESS": "SUCCESS",
    "SUCCESS_WITH_FAILURES": "SUCCESS",
    "INTERNAL_ERROR": "INTERNAL_ERROR",
    "CLOUD_FAILURE": "CLOUD_FAILURE",
    "STORAGE_ACCESS_ERROR": "CLOUD_FAILURE",
}
_RESULTS: Final = {
    "SUCCESS": "SUCCESS",
    "SUCCESS_WITH_FAILURES": "SUCCESS_WITH_FAILURES",
    "USER_CANCELED": "CANCELED",
    "CANCELED": "CANCELED",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "MAXIMUM_CONCURRENT_RUNS_REACHED",
    "DISABLED": "DISABLED",
}
_SETUP_S: Final = 0.05
UPSTREAM: Final = "UPSTREAM_FAILED"


@dataclass(frozen=True)
class End:
    """How something ended. ``result`` is the older API's word where it is not the code's own."""

    code: str
    message: str = ""
    type: str = ""
    result: str = ""

    @property
    def good(self) -> bool:
        """Whether it succeeded."""
        return self.code in ("SUCCESS", "SUCCESS_WITH_FAILURES")


def status_fields(state: str, end: End | None, queued: str = "") -> Document:
    """``status`` and the deprecated ``state``, which say the same in two ways."""
    if end is None:
        found: Document = {
            "status": {"state": state},
            "state": {"life_cycle_state": state, "state_message": ""},
        }
        if queued:
            found["status"]["queue_details"] = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": queued}
            found["state"]["queue_reason"] = queued
        return found
    cycle = {"INTERNAL_ERROR": "INTERNAL_ERROR", "MAX_CONCURRENT_RUNS_EXCEEDED": "SKIPPED"}.get(
        end.code, "TERMINATED"
    )
    details = {
        "code": end.code,
        "type": end.type or _TYPES.get(end.code, "CLIENT_ERROR"),
        "message": end.message,
    }
    return {
        "status": {"state": "TERMINATED", "termination_details": details},
        "state": {
            "life_cycle_state": cycle,
            "result_state": end.result or _RESULTS.get(end.code, "FAILED"),
            "state_message": end.message,
            "user_cancelled_or_timedout": end.code in ("USER_CANCELED", "CANCELED"),
        },
    }


@dataclass(kw_only=True)
class TaskRun:
    """One attempt of one task."""

    run_id: int
    task: Task
    attempt: int
    """Counted from 0 over the original run and its repairs."""
    began_s: float | None = None
    ended_s: float | None = None
    outcome: Attempt | None = None
    end: End | None = None

    @property
    def state(self) -> str:
        """BLOCKED until what it depends on has ended."""
        if self.end is not None:
            return "TERMINATED"
        return "BLOCKED" if self.began_s is None else "RUNNING"


@dataclass(kw_only=True)
class Repair:
    """The original run, or a repair of it: which task runs belong to it."""

    id: int
    """0 for the original."""
    began_s: float
    task_run_ids: list[int]


@dataclass(kw_only=True)
class Run:
    """A run with the newest run of each of its tasks, and the older ones behind them."""

    run_id: int
    job_id: int | None
    name: str
    number: int
    creator: str
    created_s: float
    created_ms: int
    spoil: Callable[[Attempt], Attempt]
    """Gives a fault the chance to change how a task ends."""
    parameters: dict[str, str] = field(default_factory=dict)
    waiting: bool = False
    """QUEUED behind other runs of the job."""
    began_s: float | None = None
    ended_s: float | None = None
    end: End | None = None
    tasks: dict[str, TaskRun] = field(default_factory=dict)
    earlier: list[TaskRun] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)

    @property
    def state(self) -> str:
        """QUEUED, PENDING, RUNNING or TERMINATED."""
        if self.end is not None:
            return "TERMINATED"
        if self.waiting:
            return "QUEUED"
        return "PENDING" if self.began_s is None else "RUNNING"

    def begin(self, now_s: float) -> None:
        """Leave the queue, or start at once."""
        self.waiting = False
        self.repairs.append(
            Repair(id=0, began_s=now_s, task_run_ids=[task.run_id for task in self.tasks.values()])
        )

    def skip(self, now_s: float, most: int) -> None:
        """It never runs: as many of the job as may are running already."""
        said = f"The maximum of {most} concurrent runs of this job is reached; the run was skipped."
        self.end, self.ended_s = End("MAX_CONCURRENT_RUNS_EXCEEDED", said), now_s

    def go_on(self, now_s: float) -> None:
        """Let happen what has happened until now."""
        if self.end is not None or self.waiting:
            return
        if self.began_s is None:
            starts_s = self.repairs[-1].began_s + _SETUP_S
            if now_s < starts_s:
                return
            self.began_s = starts_s
        for task in self.tasks.values():  # in an order in which what comes later depends on what comes before
            self._task_goes_on(task, now_s)
        ends = [task.end for task in self.tasks.values()]
        if all(end is not None for end in ends):
            self._close(max(task.ended_s or 0.0 for task in self.tasks.values()))

    def _task_goes_on(self, task: TaskRun, now_s: float) -> None:
        if task.end is not None:
            return
        if task.began_s is None:
            before = [self.tasks[name] for name in task.task.depends_on if name in self.tasks]
            if any(each.end is None for each in before):
                return
            starts_s = max([self.began_s or now_s, *(each.ended_s or 0.0 for each in before)])
            if any(each.end is not None and not each.end.good for each in before):
                task.began_s = task.ended_s = starts_s
                task.end = End("RUN_EXECUTION_ERROR", "an upstream task failed", result=UPSTREAM)
                return
            attempts = task.task.attempts
            task.outcome = self.spoil(attempts[min(task.attempt, len(attempts) - 1)])
            task.began_s = starts_s
        assert task.outcome is not None
        ends_s = task.began_s + task.outcome.seconds
        if now_s >= ends_s:
            task.ended_s = ends_s
            task.end = End(task.outcome.code, task.outcome.message, task.outcome.type)

    def _close(self, ended_s: float) -> None:
        self.ended_s = ended_s
        bad = [task for task in self.tasks.values() if task.end is not None and not task.end.good]
        first = next((task for task in bad if task.end is not None and task.end.result != UPSTREAM), None)
        if first is None or first.end is None:
            self.end = End("SUCCESS")
        else:
            names = ", ".join(task.task.task_key for task in bad)
            said = f"Task {first.task.task_key} failed with message: {first.end.message}. Not done: {names}."
            self.end = End(first.end.code, said, first.end.type)

    def cancel(self, now_s: float) -> None:
        """End what has not ended."""
        if self.end is not None:
            return
        end = End("USER_CANCELED", "Run cancelled.", "CLIENT_ERROR")
        for task in self.tasks.values():
            if task.end is None:
                task.began_s, task.ended_s, task.end = task.began_s or now_s, now_s, end
        self.waiting, self.end, self.ended_s = False, end, now_s

    def repair(self, repair_id: int, again: Sequence[TaskRun], now_s: float) -> None:
        """Run these once more, in the place of those of the same name."""
        for task in again:
            self.earlier.append(self.tasks[task.task.task_key])
            self.tasks[task.task.task_key] = task
        self.repairs.append(Repair(id=repair_id, began_s=now_s, task_run_ids=[task.run_id for task in again]))
        self.began_s = self.ended_s = self.end = None

    # ── as documents ──────────────────────────────────────────────────────────────────────────────────────

    def _ms(self, moment_s: float | None) -> int:
        return 0 if moment_s is None else self.created_ms + round((moment_s - self.created_s) * 1000)

    def document(self, *, host: str) -> Document:
        """Without its tasks."""
        ended_ms = self._ms(self.ended_s)
        found: Document = {
            "run_id": self.run_id,
            "job_run_id": self.run_id,
            "number_in_job": self.number,
            "original_attempt_run_id": self.run_id,
            "creator_user_name": self.creator,
            "run_name": self.name,
            "run_type": "SUBMIT_RUN" if self.job_id is None else "JOB_RUN",
            "run_page_url": f"{host}/#job/{self.job_id or 0}/run/{self.run_id}",
            "trigger": "ONE_TIME",
            "format": "MULTI_TASK",
            "start_time": self.created_ms,
            "end_time": ended_ms,
            "run_duration": max(0, ended_ms - self.created_ms),
            "setup_duration": 0,
            "execution_duration": 0,
            "cleanup_duration": 0,
            **status_fields(
                self.state,
                self.end,
                "Queued due to reaching maximum concurrent runs." if self.waiting else "",
            ),
        }
        if self.job_id is not None:
            found["job_id"] = self.job_id
        if self.parameters:
            found["job_parameters"] = [
                {"name": name, "value": value} for name, value in sorted(self.parameters.items())
            ]
        return found

    def of_task(self, task: TaskRun) -> Document:
        """A task's run."""
        ended_ms, began_ms = self._ms(task.ended_s), self._ms(task.began_s)
        found: Document = {
            "run_id": task.run_id,
            "task_key": task.task.task_key,
            "attempt_number": task.attempt,
            "start_time": began_ms,
            "end_time": ended_ms,
            "setup_duration": 0,
            "execution_duration": max(0, ended_ms - began_ms),
            "cleanup_duration": 0,
            **status_fields(task.state, task.end),
            **task.task.settings,
        }
        if task.task.depends_on:
            found["depends_on"] = [{"task_key": name} for name in task.task.depends_on]
        return found

    def history(self) -> list[Document]:
        """The original run and each repair of it."""
        known = {task.run_id: task for task in (*self.earlier, *self.tasks.values())}
        found = []
        for place, repair in enumerate(self.repairs):
            ends = [known[each].end for each in repair.task_run_ids if each in known]
            over = all(end is not None for end in ends) and ends
            worst = next((end for end in ends if end is not None and not end.good), End("SUCCESS"))
            said: Document = {
                "type": "REPAIR" if place else "ORIGINAL",
                "start_time": self._ms(repair.began_s),
                "task_run_ids": repair.task_run_ids,
                **status_fields("RUNNING", worst if over else None),
            }
            if repair.id:
                said["id"] = repair.id
            found.append(said)
        return found
