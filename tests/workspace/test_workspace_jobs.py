"""Do jobs run, fail, wait, end and get repaired by the rules of Jobs 2.2?"""

from __future__ import annotations

from typing import Any

import pytest
from workspace_client import Client, refused

JOBS = "/api/2.2/jobs"
RUNS = f"{JOBS}/runs"
Run = dict[str, Any]


def start(client: Client, job_id: int = 11, **fields: object) -> int:
    return int(client.made(f"{JOBS}/run-now", {"job_id": job_id, **fields})["run_id"])


def run(client: Client, run_id: int, **query: object) -> Run:
    return client.found(f"{RUNS}/get", run_id=run_id, **query)


def states(found: Run) -> dict[str, str]:
    return {task["task_key"]: task["status"]["state"] for task in found["tasks"]}


def codes(found: Run) -> dict[str, str]:
    return {task["task_key"]: task["status"]["termination_details"]["code"] for task in found["tasks"]}


def finished(client: Client, job_id: int = 11) -> Run:
    """The load's first run, which fails at its second task."""
    run_id = start(client, job_id)
    client.workspace.advance(30)
    return run(client, run_id)


def repair(client: Client, run_id: int, **fields: object) -> int:
    return int(client.made(f"{RUNS}/repair", {"run_id": run_id, **fields})["repair_id"])


def task_run(found: Run, key: str) -> int:
    return int(next(task["run_id"] for task in found["tasks"] if task["task_key"] == key))


# ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_jobs_are_listed_and_got(engineer: Client) -> None:
    first = engineer.found(f"{JOBS}/list", limit=2)
    assert [job["settings"]["name"] for job in first["jobs"]] == ["load", "patient"]
    assert first["has_more"]
    rest = engineer.found(f"{JOBS}/list", limit=2, page_token=first["next_page_token"])
    assert [job["job_id"] for job in rest["jobs"]] == [9007199254740995]
    assert "tasks" not in first["jobs"][0]["settings"]
    job = engineer.found(f"{JOBS}/get", job_id=11)
    assert [task["task_key"] for task in job["settings"]["tasks"]] == ["extract", "transform", "publish"]
    (named,) = engineer.found(f"{JOBS}/list", name="PATIENT")["jobs"]
    assert named["job_id"] == 12
    refused(engineer.get(f"{JOBS}/list", limit=101), 400, "INVALID_PARAMETER_VALUE", "limit")
    refused(engineer.get(f"{JOBS}/get", job_id=99), 400, "INVALID_PARAMETER_VALUE", "Job 99 does not exist")


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_goes_on_with_time(engineer: Client) -> None:
    run_id = start(engineer)
    found = run(engineer, run_id)
    assert found["status"]["state"] in ("PENDING", "RUNNING")
    engineer.workspace.advance(1)
    found = run(engineer, run_id)
    assert (found["status"]["state"], found["state"]["life_cycle_state"]) == ("RUNNING", "RUNNING")
    assert states(found) == {"extract": "RUNNING", "transform": "BLOCKED", "publish": "BLOCKED"}
    engineer.workspace.advance(5)
    assert states(run(engineer, run_id)) == {
        "extract": "TERMINATED",
        "transform": "RUNNING",
        "publish": "BLOCKED",
    }


def test_a_run_ends_as_scripted(engineer: Client) -> None:
    found = finished(engineer)
    assert found["status"]["state"] == "TERMINATED"
    details = found["status"]["termination_details"]
    assert (details["code"], details["type"]) == ("RUN_EXECUTION_ERROR", "CLIENT_ERROR")
    assert "Task transform failed" in details["message"]
    assert found["state"]["life_cycle_state"] == "TERMINATED"
    assert found["state"]["result_state"] == "FAILED"
    results = {task["task_key"]: task["state"]["result_state"] for task in found["tasks"]}
    assert results == {"extract": "SUCCESS", "transform": "FAILED", "publish": "UPSTREAM_FAILED"}
    assert 10_000 <= found["run_duration"] < 11_000


def test_ids_are_too_wide_for_a_floating_point_number(engineer: Client) -> None:
    run_id = start(engineer)
    assert run_id > 2**53
    assert int(float(run_id)) != run_id or int(float(run_id + 2)) != run_id + 2
    assert run(engineer, run_id)["run_id"] == run_id


def test_the_output_is_that_of_a_task(engineer: Client) -> None:
    found = finished(engineer)
    good = engineer.found(f"{RUNS}/get-output", run_id=task_run(found, "extract"))
    assert good["notebook_output"] == {"result": "10 rows", "truncated": False}
    bad = engineer.found(f"{RUNS}/get-output", run_id=task_run(found, "transform"))
    assert (bad["error"], bad["error_trace"]) == ("TABLE_OR_VIEW_NOT_FOUND", "Traceback")
    assert bad["metadata"]["task_key"] == "transform"
    of_run = engineer.get(f"{RUNS}/get-output", run_id=found["run_id"])
    refused(of_run, 400, "INVALID_PARAMETER_VALUE", "individual task run")
    refused(engineer.get(f"{RUNS}/get-output", run_id=5), 400, "INVALID_PARAMETER_VALUE", "does not exist")


def test_a_run_that_does_not_exist_is_400(engineer: Client) -> None:
    refused(engineer.get(f"{RUNS}/get", run_id=5), 400, "INVALID_PARAMETER_VALUE", "Run 5 does not exist")


def test_runs_are_forgotten_after_60_days(engineer: Client) -> None:
    run_id = start(engineer)
    engineer.workspace.advance(60 * 86_400 + 1)
    refused(engineer.get(f"{RUNS}/get", run_id=run_id), 400, "INVALID_PARAMETER_VALUE")


def test_an_idempotency_token_gives_the_same_run(engineer: Client) -> None:
    once = start(engineer, 9007199254740995, idempotency_token="k" * 64)
    assert start(engineer, 9007199254740995, idempotency_token="k" * 64) == once
    assert start(engineer, 9007199254740995) != once
    answer = engineer.post(f"{JOBS}/run-now", {"job_id": 11, "idempotency_token": "k" * 65})
    refused(answer, 400, "INVALID_PARAMETER_VALUE", "64")


def test_job_parameters_are_texts_and_not_too_many(engineer: Client) -> None:
    run_id = start(engineer, job_parameters={"day": "2026-11-21"})
    assert run(engineer, run_id)["job_parameters"] == [{"name": "day", "value": "2026-11-21"}]
    for wrong in ({"n": 1}, {"x": "y" * 10_001}):
        refused(
            engineer.post(f"{JOBS}/run-now", {"job_id": 11, "job_parameters": wrong}),
            400,
            "INVALID_PARAMETER_VALUE",
        )


def test_only_some_tasks(engineer: Client) -> None:
    run_id = start(engineer, only=["extract"])
    assert list(states(run(engineer, run_id))) == ["extract"]
    refused(
        engineer.post(f"{JOBS}/run-now", {"job_id": 11, "only": ["x"]}),
        400,
        "INVALID_PARAMETER_VALUE",
        "task x",
    )


def test_one_run_too_many_is_skipped(engineer: Client) -> None:
    start(engineer)
    skipped = run(engineer, start(engineer))
    assert skipped["state"]["life_cycle_state"] == "SKIPPED"
    assert skipped["state"]["result_state"] == "MAXIMUM_CONCURRENT_RUNS_REACHED"
    assert skipped["status"]["termination_details"]["code"] == "MAX_CONCURRENT_RUNS_EXCEEDED"


def test_or_waits_where_the_job_has_a_queue(engineer: Client) -> None:
    first, second = start(engineer, 12), start(engineer, 12)
    waiting = run(engineer, second)
    assert waiting["status"]["state"] == "QUEUED"
    assert waiting["status"]["queue_details"]["code"] == "MAX_CONCURRENT_RUNS_REACHED"
    engineer.workspace.advance(6)
    assert run(engineer, first)["status"]["state"] == "TERMINATED"
    engineer.workspace.advance(1)
    assert run(engineer, second)["status"]["state"] == "RUNNING"
    engineer.workspace.advance(6)
    assert run(engineer, second)["state"]["result_state"] == "SUCCESS"


def test_a_run_can_be_cancelled(engineer: Client) -> None:
    run_id = start(engineer)
    engineer.workspace.advance(1)
    assert engineer.made(f"{RUNS}/cancel", {"run_id": run_id}) == {}
    found = run(engineer, run_id)
    assert found["status"]["termination_details"]["code"] == "USER_CANCELED"
    assert found["state"]["result_state"] == "CANCELED"
    assert set(codes(found).values()) == {"USER_CANCELED"}


def test_runs_are_listed_newest_first_in_pages(engineer: Client) -> None:
    ids = [start(engineer, 9007199254740995) for _ in range(30)]
    first = engineer.found(f"{RUNS}/list", limit=24)
    second = engineer.found(f"{RUNS}/list", limit=24, page_token=first["next_page_token"])
    assert [each["run_id"] for each in (*first["runs"], *second["runs"])] == ids[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    refused(engineer.get(f"{RUNS}/list", limit=25), 400, "INVALID_PARAMETER_VALUE", "limit")


def test_runs_are_listed_by_what_they_are(engineer: Client) -> None:
    done = finished(engineer)["run_id"]
    active = start(engineer, 12)
    queries: dict[str, dict[str, object]] = {
        "active": {"active_only": "true"},
        "completed": {"completed_only": "true"},
        "of_load": {"job_id": 11},
        "submitted": {"run_type": "SUBMIT_RUN"},
        "later": {"start_time_from": run(engineer, active)["start_time"]},
    }
    listed = {
        name: [each["run_id"] for each in engineer.found(f"{RUNS}/list", **query).get("runs", [])]
        for name, query in queries.items()
    }
    assert listed == {
        "active": [active],
        "completed": [done],
        "of_load": [done],
        "submitted": [],
        "later": [active],
    }
    both = engineer.get(f"{RUNS}/list", active_only="true", completed_only="true")
    refused(both, 400, "INVALID_PARAMETER_VALUE", "exclude")


def test_no_runs_means_no_field(engineer: Client) -> None:
    assert engineer.found(f"{RUNS}/list") == {"has_more": False}


def test_more_than_100_tasks_come_in_pages(engineer: Client) -> None:
    run_id = start(engineer, 9007199254740995)
    first = run(engineer, run_id)
    second = run(engineer, run_id, page_token=first["next_page_token"])
    assert (len(first["tasks"]), len(second["tasks"])) == (100, 30)
    assert "next_page_token" not in second


def test_a_submitted_run_belongs_to_no_job(engineer: Client) -> None:
    body = {
        "run_name": "once",
        "tasks": [
            {"task_key": "a", "notebook_task": {"notebook_path": "/x"}, "new_cluster": {"num_workers": 1}}
        ],
        "idempotency_token": "t",
    }
    run_id = engineer.made(f"{RUNS}/submit", body)["run_id"]
    assert engineer.made(f"{RUNS}/submit", body)["run_id"] == run_id
    engineer.workspace.advance(1)
    found = run(engineer, run_id)
    assert (found["run_type"], found["run_name"]) == ("SUBMIT_RUN", "once")
    assert "job_id" not in found
    assert found["tasks"][0]["new_cluster"] == {"num_workers": 1}
    wrong: list[list[Any]] = [[], [{"task_key": "a"}], [{"notebook_task": {}}], ["a"]]
    for tasks in wrong:
        refused(engineer.post(f"{RUNS}/submit", {"tasks": tasks}), 400, "INVALID_PARAMETER_VALUE", "tasks")


@pytest.mark.parametrize("code", ["CLOUD_FAILURE", "DRIVER_ERROR", "INTERNAL_ERROR"])
def test_run_failed_ends_the_next_task_so(engineer: Client, code: str) -> None:
    engineer.workspace.fault(f"run_failed ={code}")
    found = finished(engineer)
    assert codes(found)["extract"] == code
    assert found["status"]["termination_details"]["code"] == code


# ── repairs ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_repair_runs_the_failed_tasks_again(engineer: Client) -> None:
    found = finished(engineer)
    repair(engineer, found["run_id"], rerun_all_failed_tasks=True)
    assert run(engineer, found["run_id"])["status"]["state"] in ("PENDING", "RUNNING")
    engineer.workspace.advance(30)
    mended = run(engineer, found["run_id"], include_history="true")
    assert codes(mended) == {
        "extract": "SUCCESS",
        "transform": "CLUSTER_ERROR",
        "publish": "RUN_EXECUTION_ERROR",
    }
    attempts = {task["task_key"]: task["attempt_number"] for task in mended["tasks"]}
    assert attempts == {"extract": 0, "transform": 1, "publish": 1}
    assert task_run(mended, "extract") == task_run(found, "extract")
    assert task_run(mended, "transform") != task_run(found, "transform")
    assert [each["type"] for each in mended["repair_history"]] == ["ORIGINAL", "REPAIR"]


def test_the_third_attempt_succeeds_with_the_right_repair_id(engineer: Client) -> None:
    run_id = finished(engineer)["run_id"]
    first = repair(engineer, run_id, rerun_all_failed_tasks=True)
    engineer.workspace.advance(30)
    again = {"run_id": run_id, "rerun_all_failed_tasks": True}
    refused(
        engineer.post(f"{RUNS}/repair", again), 400, "INVALID_PARAMETER_VALUE", "latest_repair_id is required"
    )
    stale = engineer.post(f"{RUNS}/repair", {**again, "latest_repair_id": first + 1})
    refused(stale, 400, "INVALID_PARAMETER_VALUE", "latest_repair_id")
    second = repair(engineer, run_id, rerun_all_failed_tasks=True, latest_repair_id=first)
    engineer.workspace.advance(30)
    found = run(engineer, run_id, include_history="true")
    assert found["state"]["result_state"] == "SUCCESS"
    assert [each.get("id") for each in found["repair_history"]] == [None, first, second]


def test_a_double_click_on_repair_is_refused(engineer: Client) -> None:
    """There is no idempotency token: a run under way cannot be repaired, and later the id is the guard."""
    run_id = finished(engineer)["run_id"]
    repair(engineer, run_id, rerun_all_failed_tasks=True)
    again = engineer.post(f"{RUNS}/repair", {"run_id": run_id, "rerun_all_failed_tasks": True})
    refused(again, 400, "INVALID_PARAMETER_VALUE", "only a finished run")


def test_tasks_to_repeat_are_named_or_all(engineer: Client) -> None:
    run_id = finished(engineer)["run_id"]
    for wrong in ({}, {"rerun_tasks": ["transform"], "rerun_all_failed_tasks": True}, {"rerun_tasks": ["x"]}):
        refused(
            engineer.post(f"{RUNS}/repair", {"run_id": run_id, **wrong}),
            400,
            "INVALID_PARAMETER_VALUE",
            "rerun",
        )
    repair(engineer, run_id, rerun_tasks=["extract"], rerun_dependent_tasks=True)
    assert set(states(run(engineer, run_id)).values()) <= {"BLOCKED", "RUNNING"}


def test_a_repair_takes_the_jobs_settings_of_now(engineer: Client) -> None:
    run_id = finished(engineer)["run_id"]
    changed = {"tasks": [{"task_key": "transform", "new_cluster": {"node_type_id": "large"}}]}
    assert engineer.made(f"{JOBS}/update", {"job_id": 11, "new_settings": changed}) == {}
    repair(engineer, run_id, rerun_all_failed_tasks=True)
    tasks = {task["task_key"]: task for task in run(engineer, run_id)["tasks"]}
    assert tasks["transform"]["new_cluster"] == {"node_type_id": "large"}
    refused(
        engineer.post(f"{RUNS}/repair", {"run_id": run_id, "new_cluster": {}}), 400, "INVALID_PARAMETER_VALUE"
    )


def test_what_succeeded_has_nothing_to_repair(engineer: Client) -> None:
    run_id = start(engineer, 12)
    engineer.workspace.advance(10)
    answer = engineer.post(f"{RUNS}/repair", {"run_id": run_id, "rerun_all_failed_tasks": True})
    refused(answer, 400, "INVALID_PARAMETER_VALUE", "no failed tasks")
