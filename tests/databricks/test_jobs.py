"""Jobs: what is asked, how a run is read in either form, and what is never done twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from by_hand import HandClock, Talk

from bridge.databricks.fields import Fields
from bridge.databricks.jobs import (
    RunStatus,
    cancel,
    get_run,
    list_runs,
    output_of,
    repair,
    run_now,
    status_of,
    submit,
    until_finished,
)
from bridge.databricks.steps import Steps
from bridge.errors import (
    AnswerLost,
    AnswerMalformed,
    FixCode,
    FixConfiguration,
    LostRace,
    RateLimited,
    WorkspaceDown,
    WorkspaceRefused,
)

BIG = 9007199254740993  # one more than a float can tell apart


def run(state: str = "RUNNING", code: str = "", **more: object) -> dict[str, object]:
    ended = {"termination_details": {"code": code, "type": "CLIENT_ERROR", "message": "why"}} if code else {}
    return {"run_id": BIG, "job_id": 7, "run_name": "nightly", "status": {"state": state, **ended}, **more}


def failed(*repairs: tuple[int, int], **more: object) -> dict[str, object]:
    """A finished run with these repairs: id and start, in milliseconds."""
    history: list[dict[str, object]] = [{"type": "ORIGINAL", "start_time": 1}]
    history += [{"type": "REPAIR", "id": number, "start_time": start} for number, start in repairs]
    return run("TERMINATED", "RUN_EXECUTION_ERROR", repair_history=history, **more)


# Reading


@pytest.mark.parametrize("given", [BIG, str(BIG)])
def test_ids_are_taken_as_numbers_and_as_texts(given: int | str) -> None:
    talk = Talk()
    found = talk.work(get_run(given), run() | {"run_id": given, "job_id": str(7)})
    assert (found.run_id, found.job_id) == (str(BIG), "7")
    assert talk.calls[0].query == {"run_id": BIG}
    assert talk.paths == ["GET /api/2.2/jobs/runs/get"]


@pytest.mark.parametrize("given", ["", "abc", "-1", "0", "1.5", " 7", "9" * 30, True, 2**63])
def test_an_id_that_is_none_is_refused_before_anything_is_asked(given: int | str) -> None:
    starts: list[Callable[[], Steps[object]]] = [
        lambda: get_run(given),
        lambda: output_of(given),
        lambda: run_now(given, token="t"),
        lambda: repair(given),
        lambda: cancel(given),
    ]
    for start in starts:
        with pytest.raises(FixConfiguration, match="wanted a whole number"):
            Talk().work(start())


def test_a_run_is_read_whole() -> None:
    task = {"task_key": "load", "run_id": "12", "attempt_number": 1, "status": {"state": "BLOCKED"}}
    found = Talk().work(
        get_run(BIG),
        run(
            "TERMINATED",
            "SUCCESS",
            start_time="1795262400000",
            end_time=0,
            run_page_url="https://x",
            tasks=[task],
        ),
    )
    assert found.status == RunStatus(state="TERMINATED", code="SUCCESS", type="CLIENT_ERROR", message="why")
    assert found.started_utc == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert found.ended_utc is None
    (first,) = found.tasks
    assert (first.task_key, first.run_id, first.attempt, first.status.state) == ("load", "12", 1, "BLOCKED")


def test_tasks_beyond_a_hundred_come_on_further_pages() -> None:
    talk = Talk()
    pages = [
        run(tasks=[{"task_key": f"t{page}", "run_id": page, "status": {"state": "PENDING"}}])
        for page in (1, 2, 3)
    ]
    pages[0]["next_page_token"] = "p2"
    pages[1]["next_page_token"] = "p3"
    found = talk.work(get_run(BIG), *pages)
    assert [task.task_key for task in found.tasks] == ["t1", "t2", "t3"]
    assert [call.query.get("page_token") for call in talk.calls] == [None, "p2", "p3"]


@pytest.mark.parametrize(
    ("said", "status", "finished", "succeeded"),
    [
        ({"status": {"state": "RUNNING"}}, RunStatus(state="RUNNING"), False, False),
        ({"status": {"state": "BRAND_NEW"}}, RunStatus(state="BRAND_NEW"), False, False),
        (
            {"status": {"state": "QUEUED", "queue_details": {"code": "X", "message": "full"}}},
            RunStatus(state="QUEUED", message="full"),
            False,
            False,
        ),
        (
            {"status": {"state": "TERMINATED", "termination_details": {"code": "SUCCESS_WITH_FAILURES"}}},
            RunStatus(state="TERMINATED", code="SUCCESS_WITH_FAILURES"),
            True,
            True,
        ),
        (
            # Both forms: the newer one counts.
            {
                "status": {
                    "state": "TERMINATED",
                    "termination_details": {"code": "CANCELED", "type": "SUCCESS"},
                },
                "state": {"life_cycle_state": "RUNNING"},
            },
            RunStatus(state="TERMINATED", code="CANCELED", type="SUCCESS"),
            True,
            False,
        ),
        (
            {"state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": "ok"}},
            RunStatus(state="TERMINATED", code="SUCCESS", message="ok"),
            True,
            True,
        ),
        (
            {"state": {"life_cycle_state": "TERMINATED", "result_state": "TIMEDOUT"}},
            RunStatus(state="TERMINATED", code="TIMEDOUT"),
            True,
            False,
        ),
        (
            {"state": {"life_cycle_state": "SKIPPED"}},
            RunStatus(state="TERMINATED", code="SKIPPED"),
            True,
            False,
        ),
        (
            {"state": {"life_cycle_state": "INTERNAL_ERROR", "result_state": "FAILED"}},
            RunStatus(state="TERMINATED", code="FAILED"),
            True,
            False,
        ),
        (
            {"state": {"life_cycle_state": "WAITING_FOR_RETRY"}},
            RunStatus(state="WAITING"),
            False,
            False,
        ),
    ],
)
def test_how_a_run_stands_is_read_from_either_form(
    said: dict[str, object], status: RunStatus, finished: bool, succeeded: bool
) -> None:
    found = status_of(Fields(said, "run"))
    assert (found, found.finished, found.succeeded) == (status, finished, succeeded)


def test_a_run_without_any_state_is_refused() -> None:
    with pytest.raises(AnswerMalformed, match="state: wanted an object"):
        Talk().work(get_run(7), {"run_id": 7})


def test_no_runs_at_all_are_an_empty_answer() -> None:
    assert Talk().work(list_runs(7), {}) == ()


def test_lists_go_on_to_the_number_that_was_asked_for() -> None:
    talk = Talk()
    full = {"runs": [run() for _ in range(24)], "next_page_token": "more"}
    found = talk.work(
        list_runs("7", most=50, active_only=True), full, full, {"runs": [run(), run()], "has_more": False}
    )
    assert len(found) == 50
    assert [call.query for call in talk.calls] == [
        {"job_id": 7, "active_only": "true", "limit": 24},
        {"job_id": 7, "active_only": "true", "limit": 24, "page_token": "more"},
        {"job_id": 7, "active_only": "true", "limit": 2, "page_token": "more"},
    ]


def test_a_list_ends_where_the_workspace_has_no_more() -> None:
    talk = Talk()
    assert len(talk.work(list_runs(most=100), {"runs": [run()]})) == 1
    assert talk.calls[0].query == {"limit": 24}


def test_an_output_is_read_with_what_was_cut() -> None:
    talk = Talk()
    found = talk.work(
        output_of("12"),
        {
            "error": "E",
            "error_trace": "T\n  line",
            "notebook_output": {"result": "R", "truncated": True},
            "logs": "L",
        },
    )
    assert (found.error, found.error_trace, found.notebook_result, found.logs) == ("E", "T\n  line", "R", "L")
    assert found.cut
    assert talk.paths == ["GET /api/2.2/jobs/runs/get-output"]
    empty = Talk().work(output_of(12), {"metadata": {}})
    assert (empty.error, empty.logs, empty.cut) == ("", "", False)


# Starting


def test_a_job_is_started_under_a_token_that_makes_repeats_harmless() -> None:
    talk = Talk()
    assert talk.work(run_now("7", token="R-12/1", parameters={"day": "1"}), {"run_id": BIG}) == str(BIG)
    (call,) = talk.calls
    assert call.idempotent
    assert call.path == "/api/2.2/jobs/run-now"
    assert call.body == {"job_id": 7, "idempotency_token": "R-12/1", "job_parameters": {"day": "1"}}


def test_a_run_without_a_job_is_submitted_likewise() -> None:
    talk = Talk()
    assert talk.work(submit("once", [{"task_key": "a"}], token="t"), {"run_id": "5"}) == "5"
    (call,) = talk.calls
    assert call.idempotent
    assert call.body == {"run_name": "once", "tasks": [{"task_key": "a"}], "idempotency_token": "t"}


@pytest.mark.parametrize("token", ["", "x" * 65])
def test_a_token_that_the_workspace_would_cut_is_refused(token: str) -> None:
    """Cut short, two different starts could share one."""
    with pytest.raises(FixCode, match="64 characters"):
        Talk().work(run_now(7, token=token))
    with pytest.raises(FixCode, match="64 characters"):
        Talk().work(submit("once", [{}], token=token))
    assert Talk().work(run_now(7, token="x" * 64), {"run_id": 1}) == "1"


def test_parameters_that_are_too_long_are_refused() -> None:
    with pytest.raises(FixConfiguration, match="at most 10000 bytes"):
        Talk().work(run_now(7, token="t", parameters={"a": "ü" * 5000}))


# Repairing


def test_the_first_repair_names_no_other() -> None:
    talk = Talk()
    assert talk.work(repair(BIG, tasks=["load"]), failed(), {"repair_id": 31}) == "31"
    read, call = talk.calls
    assert read.query["include_history"] == "true"
    assert call.body == {"run_id": BIG, "rerun_tasks": ["load"]}
    assert not call.idempotent


def test_a_later_repair_names_the_latest_whatever_their_order() -> None:
    talk = Talk()
    steps = repair(BIG, seen_repair_id="32", parameters={"day": "2"})
    assert talk.work(steps, failed((32, 900), (31, 500)), {"repair_id": 33}) == "33"
    assert talk.calls[1].body == {
        "run_id": BIG,
        "rerun_all_failed_tasks": True,
        "latest_repair_id": 32,
        "job_parameters": {"day": "2"},
    }


def test_a_second_click_repairs_nothing() -> None:
    with pytest.raises(LostRace, match="repaired meanwhile"):
        Talk().work(repair(BIG), failed((31, 500)))


def test_a_run_that_is_under_way_is_not_repaired() -> None:
    with pytest.raises(LostRace, match="only a finished run"):
        Talk().work(repair(BIG), run("RUNNING"))


def test_after_a_lost_answer_the_run_itself_says_whether_it_was_repaired() -> None:
    """There is no idempotency token for a repair, so it is never sent again."""
    talk = Talk()
    lost = AnswerLost("Jobs: repair run: no answer")
    assert talk.work(repair(BIG), failed(), lost, failed((31, 500))) == "31"
    assert [path.rsplit("/", 1)[1] for path in talk.paths] == ["get", "repair", "get"]
    with pytest.raises(AnswerLost):
        Talk().work(repair(BIG), failed(), lost, failed())


# Ending and waiting


def test_cancelling_may_be_repeated() -> None:
    talk = Talk()
    talk.work(cancel(str(BIG)), {})
    assert talk.calls[0].body == {"run_id": BIG}
    assert talk.calls[0].idempotent


def test_waiting_tells_each_change_once_and_polls_ever_more_slowly() -> None:
    talk = Talk(HandClock())
    answers = [run("QUEUED"), run("RUNNING"), run("RUNNING"), run("TERMINATED", "SUCCESS")]
    assert talk.work(until_finished(BIG), *answers).status.succeeded
    assert talk.statuses == ["QUEUED", "RUNNING"]
    assert talk.waits_s == [1.0, 1.5, 2.25]


def test_a_workspace_that_is_away_is_waited_for_and_no_refusal_is() -> None:
    talk = Talk(HandClock())
    busy = RateLimited("busy", retry_after_s=20.0)
    talk.work(until_finished(BIG), WorkspaceDown("away"), busy, run("TERMINATED", "SUCCESS"))
    assert talk.waits_s == [1.0, 20.0]
    with pytest.raises(WorkspaceRefused):
        Talk().work(until_finished(BIG), WorkspaceRefused("gone", status=400))
