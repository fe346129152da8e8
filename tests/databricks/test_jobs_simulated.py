"""Jobs end to end: the conversations against the simulated workspace, over plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.clock import SystemClock
from bridge.databricks.auth import workspace as workspace_of
from bridge.databricks.http import Workspace
from bridge.databricks.jobs import cancel, get_run, list_runs, output_of, repair, run_now, until_finished
from bridge.databricks.steps import Steps, T, finish
from bridge.errors import LostRace, WorkspaceRefused
from bridge.settings import DatabricksSettings
from simulator.workspace.process import WorkspaceProcess

LOAD, LONG = 620_000_000_000_001, 620_000_000_000_002
DEADLINE_S = 40.0
SCRIPT = {
    "jobs": [
        {
            "job_id": LOAD,
            "name": "nightly load",
            "tasks": [
                {
                    "task_key": "extract",
                    "attempts": [
                        {
                            "code": "RUN_EXECUTION_ERROR",
                            "message": "no disk",
                            "error": "OSError: disk",
                            "logs": "log",
                        },
                        {"code": "SUCCESS", "notebook_result": "42 rows"},
                    ],
                }
            ],
        },
        {
            "job_id": LONG,
            "name": "long",
            "tasks": [{"task_key": "wait", "attempts": [{"code": "SUCCESS", "seconds": 3600.0}]}],
        },
    ]
}


@pytest.fixture(scope="module")
def running() -> Iterator[WorkspaceProcess]:
    with WorkspaceProcess.start("--no-warehouse") as started:
        started.script(SCRIPT)
        yield started


@pytest.fixture
def simulated(running: WorkspaceProcess) -> WorkspaceProcess:
    running.reset()
    return running


@pytest.fixture
def workspace(simulated: WorkspaceProcess) -> Iterator[Workspace]:
    """As the service principal."""
    settings = DatabricksSettings.model_validate(
        {
            "host": simulated.host,
            "client_id": simulated.client_id,
            "client_secret": simulated.client_secret,
        }
    )
    made = workspace_of(settings, SystemClock(), environment={})
    yield made
    made.close()


def work(steps: Steps[T], workspace: Workspace) -> T:
    return finish(steps, workspace, SystemClock(), deadline_s=DEADLINE_S)


def test_a_failed_run_is_read_and_repaired_once(workspace: Workspace) -> None:
    run_id = work(run_now(LOAD, token="R-1"), workspace)
    failed = work(until_finished(run_id), workspace)
    assert (failed.status.code, failed.status.succeeded) == ("RUN_EXECUTION_ERROR", False)
    (task,) = failed.tasks
    output = work(output_of(task.run_id), workspace)
    assert (output.error, output.logs) == ("OSError: disk", "log")
    repair_id = work(repair(run_id), workspace)
    mended = work(until_finished(run_id), workspace)
    assert mended.status.succeeded
    assert work(output_of(mended.tasks[-1].run_id), workspace).notebook_result == "42 rows"
    with pytest.raises(LostRace, match="repaired meanwhile"):
        work(repair(run_id), workspace)
    assert work(get_run(run_id, history=True), workspace).latest_repair_id == repair_id


def test_a_lost_answer_starts_nothing_twice(simulated: WorkspaceProcess, workspace: Workspace) -> None:
    """The request arrived, its answer did not: the token makes the repeat give the same run."""
    simulated.fault("lost_response POST:/api/2.2/jobs/run-now x1")
    run_id = work(run_now(LOAD, token="R-2"), workspace)
    assert work(run_now(LOAD, token="R-2"), workspace) == run_id
    assert [run.run_id for run in work(list_runs(LOAD), workspace)] == [run_id]
    work(until_finished(run_id), workspace)


def test_a_lost_answer_repairs_nothing_twice(simulated: WorkspaceProcess, workspace: Workspace) -> None:
    """A repair has no token: it is not sent again, the run says what became of it."""
    run_id = work(run_now(LOAD, token="R-3"), workspace)
    work(until_finished(run_id), workspace)
    simulated.fault("lost_response POST:/api/2.2/jobs/runs/repair x1")
    repair_id = work(repair(run_id), workspace)
    assert work(get_run(run_id, history=True), workspace).latest_repair_id == repair_id
    repairs = [entry for entry in simulated.requests() if entry["path"].endswith("/runs/repair")]
    assert len(repairs) == 1


def test_numbers_that_come_as_texts_are_the_same_numbers(
    simulated: WorkspaceProcess, workspace: Workspace
) -> None:
    run_id = work(run_now(LONG, token="R-4"), workspace)
    plain = work(get_run(run_id), workspace)
    simulated.fault("numbers_as_strings GET:/api/2.2/jobs/runs/get x1")
    again = work(get_run(run_id), workspace)
    assert (again.run_id, again.job_id, again.started_utc) == (plain.run_id, plain.job_id, plain.started_utc)
    assert again.tasks[0].run_id == plain.tasks[0].run_id
    work(cancel(run_id), workspace)
    ended = work(until_finished(run_id), workspace)
    assert ended.status.code in ("CANCELED", "USER_CANCELED")
    assert work(list_runs(LONG, active_only=True), workspace) == ()


def test_a_run_that_is_not_there_is_refused(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceRefused) as caught:
        work(get_run(7), workspace)
    assert caught.value.status in (400, 404)
