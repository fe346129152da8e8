"""Jobs 2.2: jobs with scripted outcomes, their runs with paging, repairs with their rules, and idempotency tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from pydantic import ValidationError

from simulator.workspace.answers import Asked, Document, bad
from simulator.workspace.clock import Clock
from simulator.workspace.faults import Faults
from simulator.workspace.pages import page, read_token, token
from simulator.workspace.routes import Handler, Route, route
from simulator.workspace.runs import Run, TaskRun
from simulator.workspace.scripts import Attempt, Job, Script, Task

FIRST_ID: Final = 2**53 + 1
"""No floating-point number can hold the first id, nor every other one after it."""
_PARAMETERS_LIMIT: Final = 10_000
_KEPT_S: Final = 60 * 86_400.0
_TASKS_PAGE: Final = 100
_PARAMETERS: Final = (
    "job_parameters:map notebook_params:map python_params:list jar_params:list sql_params:map "
    "python_named_params:map dbt_commands:list spark_submit_params:list pipeline_params:map"
)


@dataclass
class Jobs:
    """All jobs and runs; ``host`` is the workspace's own address, for the pages that runs link to."""

    clock: Clock
    faults: Faults
    script: Script
    host: str = ""
    _runs: dict[int, Run] = field(default_factory=dict)
    _tokens: dict[str, int] = field(default_factory=dict)
    _changed: dict[int, Document] = field(default_factory=dict)
    _ids: count[int] = field(default_factory=lambda: count(FIRST_ID, 2))

    def forget(self) -> None:
        """No job ever ran, and no settings were changed."""
        self._runs.clear()
        self._tokens.clear()
        self._changed.clear()

    def routes(self) -> list[Route]:
        """The requests of this area."""

        def jobs(verb: str, path: str, handler: Handler, *, body: str = "", query: str = "") -> Route:
            return route(verb, f"/api/2.2/jobs/{path}", handler, area="jobs", body=body, query=query)

        token_ = "idempotency_token:text queue:map performance_target:text"
        return [
            jobs("GET", "get", self._get_job, query="job_id:whole! page_token:text"),
            jobs(
                "GET",
                "list",
                self._list_jobs,
                query="limit:whole name:text expand_tasks:flag page_token:text",
            ),
            jobs("POST", "update", self._update, body="job_id:whole! new_settings:map fields_to_remove:list"),
            jobs("POST", "run-now", self._run_now, body=f"job_id:whole! only:list {_PARAMETERS} {token_}"),
            jobs(
                "POST",
                "runs/submit",
                self._submit,
                body=f"run_name:text tasks:list! timeout_seconds:whole access_control_list:list "
                f"webhook_notifications:map email_notifications:map environments:list run_as:map {token_}",
            ),
            jobs(
                "GET",
                "runs/get",
                self._get_run,
                query="run_id:whole! include_history:flag include_resolved_values:flag page_token:text",
            ),
            jobs(
                "GET",
                "runs/list",
                self._list_runs,
                query="job_id:whole active_only:flag completed_only:flag limit:whole page_token:text run_type:text "
                "start_time_from:whole start_time_to:whole expand_tasks:flag",
            ),
            jobs("GET", "runs/get-output", self._output, query="run_id:whole!"),
            jobs("POST", "runs/cancel", self._cancel, body="run_id:whole!"),
            jobs(
                "POST",
                "runs/repair",
                self._repair,
                body="run_id:whole! rerun_tasks:list rerun_all_failed_tasks:flag rerun_dependent_tasks:flag "
                f"latest_repair_id:whole performance_target:text {_PARAMETERS}",
            ),
        ]

    # ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────

    def _job(self, job_id: int) -> Job:
        for job in self.script.jobs:
            if job.job_id == job_id:
                return job
        raise bad(f"Job {job_id} does not exist.")

    def _of_job(self, job: Job, *, tasks: bool) -> Document:
        settings: Document = {
            "name": job.name,
            "format": "MULTI_TASK",
            "max_concurrent_runs": job.max_concurrent_runs,
            "queue": {"enabled": job.queue},
            "timeout_seconds": 0,
            **job.settings,
        }
        changed = dict(self._changed.get(job.job_id, {}))
        by_key = {each["task_key"]: each for each in changed.pop("tasks", [])}
        settings |= changed
        if tasks:
            settings["tasks"] = [
                {
                    "task_key": task.task_key,
                    "depends_on": [{"task_key": name} for name in task.depends_on],
                    **task.settings,
                    **by_key.get(task.task_key, {}),
                }
                for task in job.tasks
            ]
        return {
            "job_id": job.job_id,
            "creator_user_name": "engineer@example.com",
            "run_as_user_name": "engineer@example.com",
            "created_time": 1_767_225_600_000,
            "settings": settings,
        }

    async def _get_job(self, asked: Asked) -> Document:
        return self._of_job(self._job(asked.whole("job_id")), tasks=True)

    async def _list_jobs(self, asked: Asked) -> Document:
        wanted = asked.text("name")
        jobs = [
            self._of_job(job, tasks=asked.flag("expand_tasks"))
            for job in self.script.jobs
            if not wanted or job.name.lower() == wanted.lower()
        ]
        found = page(jobs, asked, "jobs", most=100, size="limit")
        return {**found, "has_more": "next_page_token" in found}

    async def _update(self, asked: Asked) -> Document:
        job = self._job(asked.whole("job_id"))
        changed = self._changed.setdefault(job.job_id, {})
        settings = asked.mapped("new_settings")
        for each in settings.get("tasks", []):
            if not isinstance(each, dict) or each.get("task_key") not in {
                task.task_key for task in job.tasks
            }:
                raise bad("new_settings.tasks: only settings of the job's own tasks can be changed here")
        changed |= settings
        for name in asked.listed("fields_to_remove"):
            changed.pop(str(name), None)
        return {}

    # ── starting runs ─────────────────────────────────────────────────────────────────────────────────────

    def _known(self, asked: Asked) -> Run | None:
        """The run that this idempotency token already started."""
        wanted = asked.text("idempotency_token")
        if len(wanted) > 64:
            raise bad(f"idempotency_token: at most 64 characters, found {len(wanted)}")
        return self._runs.get(self._tokens.get(wanted, 0))

    async def _run_now(self, asked: Asked) -> Document:
        job = self._job(asked.whole("job_id"))
        parameters = _parameters(asked)
        run = self._known(asked)
        if run is None:
            only = [str(name) for name in asked.listed("only")]
            unknown = set(only) - {task.task_key for task in job.tasks}
            if unknown:
                raise bad(f"only: job {job.job_id} has no task {', '.join(sorted(unknown))}")
            tasks = [task for task in job.tasks if not only or task.task_key in only]
            queue = asked.mapped("queue").get("enabled", job.queue) is True
            run = self._start(asked, job, job.name, tasks, parameters, queue=queue)
        return {"run_id": run.run_id, "number_in_job": run.number}

    async def _submit(self, asked: Asked) -> Document:
        run = self._known(asked)
        if run is None:
            tasks = [_submitted(each) for each in asked.listed("tasks")]
            if not tasks:
                raise bad("tasks: at least one is wanted")
            run = self._start(asked, None, asked.text("run_name", "Untitled"), tasks, {}, queue=False)
        return {"run_id": run.run_id}

    def _start(
        self,
        asked: Asked,
        job: Job | None,
        name: str,
        tasks: list[Task],
        parameters: dict[str, str],
        *,
        queue: bool,
    ) -> Run:
        now_s = self.clock.elapsed_s()
        others = [] if job is None else [each for each in self._runs.values() if each.job_id == job.job_id]
        for each in others:
            each.go_on(now_s)
        active = [each for each in others if each.end is None]
        run = Run(
            run_id=next(self._ids),
            job_id=None if job is None else job.job_id,
            name=name,
            number=len(others) + 1,
            creator=asked.known_caller.user_name,
            created_s=now_s,
            created_ms=self.clock.now_ms(),
            spoil=self._spoilt,
            parameters=parameters,
        )
        run.tasks = {task.task_key: TaskRun(run_id=next(self._ids), task=task, attempt=0) for task in tasks}
        self._runs[run.run_id] = run
        if asked.given("idempotency_token"):
            self._tokens[asked.text("idempotency_token")] = run.run_id
        if job is not None and len(active) >= job.max_concurrent_runs:
            if queue:
                run.waiting = True
            else:
                run.skip(now_s, job.max_concurrent_runs)
        if not run.waiting and run.end is None:
            run.begin(now_s)
        return run

    def _spoilt(self, outcome: Attempt) -> Attempt:
        fault = self.faults.take("run_failed")
        if fault is None:
            return outcome
        return Attempt.model_validate(
            {
                "code": fault.value,
                "message": f"the fault run_failed is on ({fault.value})",
                "error": f"{fault.value}: simulated",
                "error_trace": "Traceback (most recent call last):\n  simulated",
                "seconds": outcome.seconds,
            }
        )

    # ── looking at runs ───────────────────────────────────────────────────────────────────────────────────

    def _run(self, run_id: int) -> Run:
        self._all_go_on()
        run = self._runs.get(run_id)
        if run is None or self.clock.elapsed_s() - run.created_s > _KEPT_S:
            raise bad(f"Run {run_id} does not exist.")
        return run

    def _all_go_on(self) -> None:
        now_s = self.clock.elapsed_s()
        for run in self._runs.values():
            if run.waiting:
                before = [
                    each
                    for each in self._runs.values()
                    if each.job_id == run.job_id and each is not run and each.end is None and not each.waiting
                ]
                if len(before) < self._job(run.job_id or 0).max_concurrent_runs:
                    run.begin(now_s)
            run.go_on(now_s)

    async def _get_run(self, asked: Asked) -> Document:
        run = self._run(asked.whole("run_id"))
        found = run.document(host=self.host)
        first = read_token(asked.text("page_token"), asked.path)
        tasks = list(run.tasks.values())
        found["tasks"] = [run.of_task(task) for task in tasks[first : first + _TASKS_PAGE]]
        if first + _TASKS_PAGE < len(tasks):
            found["next_page_token"] = token(first + _TASKS_PAGE, asked.path)
        if asked.flag("include_history"):
            found["repair_history"] = run.history()
        return found

    async def _list_runs(self, asked: Asked) -> Document:
        active, completed = asked.flag("active_only"), asked.flag("completed_only")
        if active and completed:
            raise bad("active_only and completed_only exclude each other")
        self._all_go_on()
        found = []
        for run in reversed(self._runs.values()):
            document = run.document(host=self.host)
            if asked.given("job_id") and run.job_id != asked.whole("job_id"):
                continue
            if (active and run.end is not None) or (completed and run.end is None):
                continue
            if asked.given("run_type") and document["run_type"] != asked.text("run_type"):
                continue
            if not asked.whole("start_time_from") <= run.created_ms <= asked.whole("start_time_to", 2**63):
                continue
            if asked.flag("expand_tasks"):
                document["tasks"] = [run.of_task(task) for task in run.tasks.values()][:_TASKS_PAGE]
            found.append(document)
        shown = page(found, asked, "runs", most=24, size="limit")
        return {**shown, "has_more": "next_page_token" in shown}

    async def _output(self, asked: Asked) -> Document:
        wanted = asked.whole("run_id")
        if wanted in self._runs:
            raise bad(
                "Retrieving the output of runs with multiple tasks is not supported. Please retrieve the output of "
                "each individual task run instead."
            )
        self._all_go_on()
        for run in self._runs.values():
            for task in (*run.tasks.values(), *run.earlier):
                if task.run_id == wanted:
                    return _output(run, task)
        raise bad(f"Run {wanted} does not exist.")

    # ── ending and mending ────────────────────────────────────────────────────────────────────────────────

    async def _cancel(self, asked: Asked) -> Document:
        self._run(asked.whole("run_id")).cancel(self.clock.elapsed_s())
        return {}

    async def _repair(self, asked: Asked) -> Document:
        run = self._run(asked.whole("run_id"))
        if run.end is None:
            raise bad(f"Run {run.run_id} is {run.state}: only a finished run can be repaired")
        latest = run.repairs[-1].id if run.repairs else 0
        if latest and not asked.given("latest_repair_id"):
            raise bad("latest_repair_id is required: the run has been repaired before")
        if asked.given("latest_repair_id") and asked.whole("latest_repair_id") != latest:
            raise bad(
                f"latest_repair_id: expected {latest or 'none'}, found {asked.whole('latest_repair_id')}"
            )
        names = self._to_repeat(run, asked)
        run.parameters |= _parameters(asked)
        current = {} if run.job_id is None else {task["task_key"]: task for task in self._settings_of(run)}
        again = [
            TaskRun(
                run_id=next(self._ids),
                task=_with(task.task, current.get(name)),
                attempt=task.attempt + 1,
            )
            for name, task in run.tasks.items()
            if name in names
        ]
        repair_id = next(self._ids)
        run.repair(repair_id, again, self.clock.elapsed_s())
        return {"repair_id": repair_id}

    def _settings_of(self, run: Run) -> list[Document]:
        tasks: list[Document] = self._of_job(self._job(run.job_id or 0), tasks=True)["settings"]["tasks"]
        return tasks

    def _to_repeat(self, run: Run, asked: Asked) -> set[str]:
        named = {str(name) for name in asked.listed("rerun_tasks")}
        all_failed = asked.flag("rerun_all_failed_tasks")
        if bool(named) == all_failed:
            raise bad("one of rerun_tasks and rerun_all_failed_tasks is wanted")
        unknown = named - set(run.tasks)
        if unknown:
            raise bad(f"rerun_tasks: run {run.run_id} has no task {', '.join(sorted(unknown))}")
        if all_failed:
            named = {name for name, task in run.tasks.items() if task.end is not None and not task.end.good}
            if not named:
                raise bad(f"Run {run.run_id} has no failed tasks to repair")
        if asked.flag("rerun_dependent_tasks"):
            for name, task in run.tasks.items():
                if named & set(task.task.depends_on):
                    named.add(name)
        return named


def _with(task: Task, settings: Document | None) -> Task:
    if settings is None:
        return task
    kept = {name: value for name, value in settings.items() if name not in ("task_key", "depends_on")}
    return task.model_copy(update={"settings": kept})


def _parameters(asked: Asked) -> dict[str, str]:
    """Job parameters as they were sent. Raises ``Refusal`` 400 for too many and for what is no string."""
    given = asked.mapped("job_parameters")
    if len(json.dumps(given)) > _PARAMETERS_LIMIT:
        raise bad(f"job_parameters: at most {_PARAMETERS_LIMIT} bytes of JSON")
    for name, value in given.items():
        if not isinstance(value, str):
            raise bad(f"job_parameters: {name} wants a string, found {json.dumps(value)[:80]}")
    return given


def _submitted(found: Any) -> Task:
    """A task of runs/submit; it succeeds."""
    if not isinstance(found, dict):
        raise bad("tasks: each wants an object")
    settings = {name: value for name, value in found.items() if name not in ("task_key", "depends_on")}
    if not any(name.endswith("_task") for name in settings):
        raise bad(f"tasks: {found.get('task_key')!r} has nothing to do, such as a notebook_task")
    before = tuple(
        str(each.get("task_key")) for each in found.get("depends_on", []) if isinstance(each, dict)
    )
    try:
        return Task(task_key=found.get("task_key", ""), depends_on=before, settings=settings)
    except ValidationError as error:
        raise bad(f"tasks: {error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from error


def _output(run: Run, task: TaskRun) -> Document:
    found: Document = {"metadata": {**run.document(host=""), **run.of_task(task)}}
    outcome = task.outcome
    if task.end is None or outcome is None:
        return found
    if outcome.error:
        found["error"] = outcome.error
    if outcome.error_trace:
        found["error_trace"] = outcome.error_trace
    if outcome.notebook_result:
        found["notebook_output"] = {"result": outcome.notebook_result, "truncated": False}
    elif outcome.logs:
        found |= {"logs": outcome.logs, "logs_truncated": False}
    return found
