"""Jobs 2.2: read runs and their output, start, repair and cancel them.

Ids have 64 bits and are texts here, whether the workspace says them as numbers or as texts. A run says how it stands
in `status`; the older `state` is read where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bridge.databricks.call import Answer, Call
from bridge.databricks.fields import Fields
from bridge.databricks.steps import Progress, Steps, Wait
from bridge.errors import AnswerLost, FixCode, FixConfiguration, LostRace, WorkspaceDown

Id = str | int

_RUNS = "/api/2.2/jobs/runs"
_PAGE = 24  # the most that one answer of runs/list holds
_MOST_PAGES = 200
_LONGEST_TOKEN = 64
_MOST_PARAMETER_BYTES = 10_000
_SUCCESS = ("SUCCESS", "SUCCESS_WITH_FAILURES")
_FIRST_POLL_S, _LONGEST_POLL_S = 1.0, 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How a run or a task stands.

    state: BLOCKED, PENDING, QUEUED, RUNNING, TERMINATED, TERMINATING or WAITING, or one that is new. code, type: why it
    ended, for example RUN_EXECUTION_ERROR and CLIENT_ERROR; empty before, and type where only the older form was given.
    """

    state: str
    code: str = ""
    type: str = ""
    message: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state == "TERMINATED"

    @property
    def succeeded(self) -> bool:
        """Whether it ended well; with failures of tasks that do not count, that is still well."""
        return self.finished and self.code in _SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One attempt of one task. run_id: its own, which is what `output_of` wants. attempt: counted from 0."""

    task_key: str
    run_id: str
    attempt: int
    status: RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a job. job_id: empty for a run that belongs to none. latest_repair_id: empty where none was made.

    Times are None until they are known.
    """

    run_id: str
    job_id: str
    name: str
    status: RunStatus
    tasks: tuple[TaskRun, ...]
    latest_repair_id: str
    started_utc: datetime | None
    ended_utc: datetime | None
    page_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutput:
    """What a task left behind; each text is empty where there is none. cut: the workspace kept only a part of it."""

    error: str
    error_trace: str
    logs: str
    notebook_result: str
    cut: bool


def get_run(run_id: Id, *, history: bool = False) -> Steps[Run]:
    """One run with all its tasks, however many. history: read its repairs too. WorkspaceRefused when it is gone."""
    number = _number(run_id, "run id")
    query: dict[str, str | int] = {"run_id": number}
    if history:
        query["include_history"] = "true"
    first: Answer = {}
    tasks: list[TaskRun] = []
    token = ""
    for _ in range(_MOST_PAGES):
        page = {**query, "page_token": token} if token else query
        answer = yield _get("get", f"Jobs: read run {number}", page)
        first = first or answer
        fields = Fields(answer, f"run {number}")
        tasks += [_task(task) for task in fields.parts("tasks")]
        token = fields.text("next_page_token", "")
        if not token:
            return _run(Fields(first, f"run {number}"), tuple(tasks))
    raise WorkspaceDown(f"Jobs: read run {number}: its pages never end")


def list_runs(
    job_id: Id | None = None, *, most: int = _PAGE, active_only: bool = False, completed_only: bool = False
) -> Steps[tuple[Run, ...]]:
    """Runs, newest first, at most so many; without their tasks. None: of all jobs."""
    query: dict[str, str | int] = {}
    if job_id is not None:
        query["job_id"] = _number(job_id, "job id")
    if active_only and completed_only:
        raise FixCode("runs that are active and completed at once do not exist")
    if active_only or completed_only:
        query["active_only" if active_only else "completed_only"] = "true"
    found: list[Run] = []
    token = ""
    while len(found) < most:
        page: dict[str, str | int] = {**query, "limit": min(_PAGE, most - len(found))}
        if token:
            page["page_token"] = token
        fields = Fields((yield _get("list", "Jobs: list runs", page)), "list of runs")
        found += [_run(entry, ()) for entry in fields.parts("runs")]
        token = fields.text("next_page_token", "")
        if not token:
            break
    return tuple(found[:most])


def output_of(task_run_id: Id) -> Steps[RunOutput]:
    """What one task left behind. A run of several tasks has no output of its own: ask for each task's run id."""
    number = _number(task_run_id, "task run id")
    answer = yield _get("get-output", f"Jobs: output of task run {number}", {"run_id": number})
    fields = Fields(answer, f"output of {number}")
    notebook = fields.part("notebook_output")
    return RunOutput(
        error=fields.text("error", ""),
        error_trace=fields.text("error_trace", ""),
        logs=fields.text("logs", ""),
        notebook_result="" if notebook is None else notebook.text("result", ""),
        cut=fields.flag("logs_truncated") or (notebook is not None and notebook.flag("truncated")),
    )


def run_now(job_id: Id, *, token: str, parameters: Mapping[str, str] | None = None) -> Steps[str]:
    """Start a job, and give the run's id. The same token starts nothing twice: it gives the run of the first time."""
    number = _number(job_id, "job id")
    body: dict[str, object] = {"job_id": number, "idempotency_token": _token(token)}
    if parameters:
        body["job_parameters"] = _parameters(parameters)
    answer = yield _post("/api/2.2/jobs/run-now", f"Jobs: start job {number}", body, idempotent=True)
    return Fields(answer, f"start of job {number}").identity("run_id")


def submit(name: str, tasks: Sequence[Mapping[str, object]], *, token: str) -> Steps[str]:
    """Run tasks that belong to no job, once, and give the run's id. The same token runs nothing twice."""
    if not tasks:
        raise FixCode("a run without tasks cannot be submitted")
    body = {
        "run_name": name,
        "tasks": [dict(task) for task in tasks],
        "idempotency_token": _token(token),
    }
    answer = yield _post(f"{_RUNS}/submit", f"Jobs: submit {name}", body, idempotent=True)
    return Fields(answer, f"submission of {name}").identity("run_id")


def repair(
    run_id: Id,
    *,
    tasks: Sequence[str] = (),
    seen_repair_id: str = "",
    parameters: Mapping[str, str] | None = None,
) -> Steps[str]:
    """Run failed tasks of a finished run again, and give the repair's id.

    tasks: which (empty: all that failed). They run with the job's present settings; no other cluster can be asked
    for. seen_repair_id: the latest repair that whoever decided this had seen (empty: none). LostRace when the run is
    not finished, or somebody repaired it since: a second click repairs nothing. Where the answer is lost, the run
    itself says whether it happened.
    """
    number = _number(run_id, "run id")
    before = yield from get_run(number, history=True)
    if before.latest_repair_id != seen_repair_id:
        raise LostRace(
            f"run {number} was repaired meanwhile (repair {before.latest_repair_id or 'none'}); look again"
        )
    if not before.status.finished:
        raise LostRace(f"run {number} is {before.status.state}; only a finished run can be repaired")
    body: dict[str, object] = {"run_id": number}
    if tasks:
        body["rerun_tasks"] = list(tasks)
    else:
        body["rerun_all_failed_tasks"] = True
    if before.latest_repair_id:
        body["latest_repair_id"] = _number(before.latest_repair_id, "repair id")
    if parameters:
        body["job_parameters"] = _parameters(parameters)
    try:
        answer = yield _post(f"{_RUNS}/repair", f"Jobs: repair run {number}", body, idempotent=False)
    except AnswerLost:
        after = yield from get_run(number, history=True)
        if after.latest_repair_id == before.latest_repair_id:
            raise
        return after.latest_repair_id
    return Fields(answer, f"repair of run {number}").identity("repair_id")


def cancel(run_id: Id) -> Steps[None]:
    """Ask a run to end; it ends a moment later. One that has ended stays as it is."""
    number = _number(run_id, "run id")
    yield _post(f"{_RUNS}/cancel", f"Jobs: cancel run {number}", {"run_id": number}, idempotent=True)


def until_finished(run_id: Id) -> Steps[Run]:
    """Wait for a run's end, telling each change of its state. A workspace that is away is waited for as well."""
    wait_s = _FIRST_POLL_S
    told = ""
    while True:
        try:
            run = yield from get_run(run_id)
        except WorkspaceDown as problem:
            wait_s = max(wait_s, problem.retry_after_s or 0.0)
        else:
            if run.status.finished:
                return run
            if run.status.state != told:
                told = run.status.state
                yield Progress(told, run.status.message)
        yield Wait(wait_s)
        wait_s = min(_LONGEST_POLL_S, wait_s * 1.5)


def status_of(said: Fields) -> RunStatus:
    """How a run or task stands, from either form; the older one's words are put into those of the newer."""
    status = said.part("status")
    if status is not None and status.has("state"):
        ended = status.part("termination_details")
        queued = status.part("queue_details")
        message = "" if queued is None else queued.text("message", "")
        return RunStatus(
            state=status.text("state"),
            code="" if ended is None else ended.text("code", ""),
            type="" if ended is None else ended.text("type", ""),
            message=message if ended is None else ended.text("message", ""),
        )
    older = said.needed("state")
    cycle, result = older.text("life_cycle_state"), older.text("result_state", "")
    state = {"SKIPPED": "TERMINATED", "INTERNAL_ERROR": "TERMINATED", "WAITING_FOR_RETRY": "WAITING"}.get(
        cycle, cycle
    )
    return RunStatus(
        state=state,
        code=result or (cycle if state != cycle and state == "TERMINATED" else ""),
        message=older.text("state_message", ""),
    )


def _run(said: Fields, tasks: tuple[TaskRun, ...]) -> Run:
    repairs = [entry for entry in said.parts("repair_history") if entry.text("type", "") == "REPAIR"]
    latest = max(repairs, key=lambda entry: entry.count("start_time") or 0, default=None)
    return Run(
        run_id=said.identity("run_id"),
        job_id=said.identity("job_id", ""),
        name=said.text("run_name", ""),
        status=status_of(said),
        tasks=tasks,
        latest_repair_id="" if latest is None else latest.identity("id"),
        started_utc=_moment(said.count("start_time")),
        ended_utc=_moment(said.count("end_time")),
        page_url=said.text("run_page_url", ""),
    )


def _task(said: Fields) -> TaskRun:
    return TaskRun(
        task_key=said.text("task_key"),
        run_id=said.identity("run_id"),
        attempt=said.count("attempt_number") or 0,
        status=status_of(said),
    )


def _moment(ms: int | None) -> datetime | None:
    """0 stands for "not yet"."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms) if ms else None


def _number(given: Id, what: str) -> int:
    text = str(given)
    if isinstance(given, bool) or not (text.isascii() and text.isdigit()) or not 0 < int(text[:20]) < 2**63:
        raise FixConfiguration(f"{what}: wanted a whole number, found {given!r}")
    return int(text)


def _token(token: str) -> str:
    if not 0 < len(token) <= _LONGEST_TOKEN:
        raise FixCode(f"an idempotency token has 1 to {_LONGEST_TOKEN} characters; this one has {len(token)}")
    return token


def _parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    given = dict(parameters)
    size = len(json.dumps(given, ensure_ascii=False).encode())
    if size > _MOST_PARAMETER_BYTES:
        raise FixConfiguration(f"job parameters: at most {_MOST_PARAMETER_BYTES} bytes as JSON, found {size}")
    return given


def _get(verb: str, what: str, query: Mapping[str, str | int]) -> Call:
    return Call(verb="GET", path=f"{_RUNS}/{verb}", query=query, what=what)


def _post(path: str, what: str, body: Mapping[str, object], *, idempotent: bool) -> Call:
    return Call(verb="POST", path=path, body=body, idempotent=idempotent, what=what)
