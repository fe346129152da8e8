"""Does each fault of HTTP do what it says, to the requests it is for, as often as asked, and then no more?"""

from __future__ import annotations

import time

import pytest
import requests
from workspace_client import Client, document

from simulator.workspace.faults import CATALOGUE, FaultError, parse_fault
from simulator.workspace.process import ControlRefused, WorkspaceProcess

RUN_NOW = "/api/2.2/jobs/run-now"
JOBS = "/api/2.2/jobs/list"


def runs(client: Client) -> int:
    """How many runs there are."""
    return len(client.found("/api/2.2/jobs/runs/list").get("runs", []))


def run_now(client: Client) -> requests.Response:
    return client.post(RUN_NOW, {"job_id": 11})


def test_rate_limited_says_how_long_to_wait(engineer: Client) -> None:
    engineer.workspace.fault("rate_limited 7s")
    answer = run_now(engineer)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
    assert answer.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert runs(engineer) == 0


def test_rate_limited_without_seconds_says_nothing(engineer: Client) -> None:
    engineer.workspace.fault("rate_limited 0s")
    assert "Retry-After" not in run_now(engineer).headers


def test_unavailable(engineer: Client) -> None:
    engineer.workspace.fault("unavailable")
    answer = run_now(engineer)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "Retry-After" not in answer.headers
    engineer.workspace.fault("unavailable 3s")
    assert engineer.get(JOBS).headers["Retry-After"] == "3"
    assert runs(engineer) == 0


def test_server_error(engineer: Client) -> None:
    engineer.workspace.fault("server_error")
    assert run_now(engineer).status_code == 500
    assert runs(engineer) == 0


def test_forbidden(engineer: Client) -> None:
    engineer.workspace.fault("forbidden")
    answer = run_now(engineer)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


def test_a_lost_response_was_carried_out(engineer: Client) -> None:
    engineer.workspace.fault(f"lost_response POST:{RUN_NOW}")
    with pytest.raises(requests.ConnectionError):
        run_now(engineer)
    assert runs(engineer) == 1


def test_a_dropped_request_was_not(engineer: Client) -> None:
    """From outside it looks just like a lost response."""
    engineer.workspace.fault(f"dropped_request POST:{RUN_NOW}")
    with pytest.raises(requests.ConnectionError):
        run_now(engineer)
    assert runs(engineer) == 0


def test_slow(engineer: Client) -> None:
    engineer.workspace.fault("slow 0.5s")
    began_s = time.monotonic()
    document(engineer.get(JOBS))
    assert time.monotonic() - began_s >= 0.5


def test_slow_answers_come_after_a_clients_patience(engineer: Client) -> None:
    engineer.workspace.fault(f"slow POST:{RUN_NOW} 5s")
    with pytest.raises(requests.ReadTimeout):
        engineer.session.post(engineer.workspace.host + RUN_NOW, json={"job_id": 11}, timeout=0.5)
    assert runs(engineer) == 1


def test_huge(engineer: Client) -> None:
    engineer.workspace.fault("huge")
    answer = engineer.get(JOBS)
    assert len(answer.content) > 10 * 1024 * 1024
    assert "jobs" in answer.json()


def test_html_instead_of_json(engineer: Client) -> None:
    engineer.workspace.fault("html")
    answer = run_now(engineer)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<!doctype html>")
    assert runs(engineer) == 0


def test_a_redirect_to_the_login_page_ends_at_a_page_with_200(engineer: Client) -> None:
    engineer.workspace.fault(f"login_redirect GET:{JOBS} x2")
    answer = engineer.get(JOBS)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/login.html")
    followed = engineer.session.get(engineer.workspace.host + JOBS, timeout=20)
    assert (followed.status_code, followed.text[:15]) == (200, "<!doctype html>")


def test_not_json(engineer: Client) -> None:
    engineer.workspace.fault("not_json")
    answer = engineer.get(JOBS)
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()


def test_a_cut_answer_is_shorter_than_it_said(engineer: Client) -> None:
    engineer.workspace.fault(f"cut_answer POST:{RUN_NOW}")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        run_now(engineer)
    assert runs(engineer) == 1


def test_numbers_as_strings(engineer: Client) -> None:
    engineer.workspace.fault("numbers_as_strings")
    job = engineer.found(JOBS)["jobs"][0]
    assert job["job_id"] == "11"
    assert isinstance(job["settings"]["max_concurrent_runs"], str)
    assert engineer.found(JOBS)["jobs"][0]["job_id"] == 11


def test_a_plain_error_is_no_json(engineer: Client) -> None:
    engineer.workspace.fault("plain_error")
    answer = engineer.get(JOBS)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.text.startswith("BAD_REQUEST: ")


def test_a_fault_is_for_its_route_and_its_count(engineer: Client) -> None:
    engineer.workspace.fault("unavailable GET:/api/2.2/jobs/* x2")
    assert engineer.get("/api/2.0/genie/spaces").status_code == 200
    assert engineer.post(RUN_NOW, {"job_id": 11}).status_code == 200
    assert [engineer.get(JOBS).status_code for _ in range(3)] == [503, 503, 200]


def test_a_fault_for_always_lasts_until_it_is_cleared(engineer: Client) -> None:
    engineer.workspace.fault("unavailable always")
    assert [engineer.get(JOBS).status_code for _ in range(4)] == [503] * 4
    engineer.workspace.clear("unavailable")
    assert engineer.get(JOBS).status_code == 200


def test_the_log_of_requests_says_what_arrived(engineer: Client) -> None:
    engineer.workspace.fault(f"lost_response POST:{RUN_NOW}")
    with pytest.raises(requests.ConnectionError):
        run_now(engineer)
    engineer.get(JOBS, name="load")
    lost, listed = engineer.workspace.requests()
    assert (lost["verb"], lost["path"], lost["status"], lost["fault"]) == (
        "POST",
        RUN_NOW,
        0,
        "lost_response",
    )
    assert (listed["query"], listed["status"], listed["caller"]) == ("name=load", 200, "engineer@example.com")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "a fault name was expected"),
        ("rate_limitd", "nearest: rate_limited"),
        ("rate_limited soon", "means nothing"),
        ("rate_limited x0", "means nothing"),
        ("forbidden 3s", "takes no seconds"),
        ("forbidden =3", "takes no value"),
        ("genie_stuck POST:/x", "takes no route"),
        ("expired_token x2", "happens at once"),
        ("clock_skew always", "lasts until it is cleared"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: str, says: str) -> None:
    with pytest.raises(FaultError, match=says):
        parse_fault(words)


@pytest.mark.parametrize(
    ("words", "says"),
    [("nonsense", "no fault is called"), ("clock_skew =soon", "seconds"), ("run_failed =X", "code")],
)
def test_the_workspace_refuses_them_too(workspace: WorkspaceProcess, words: str, says: str) -> None:
    with pytest.raises(ControlRefused, match=says):
        workspace.fault(words)


def test_every_fault_can_be_asked_for(engineer: Client) -> None:
    """By its bare name, and all of them end with a reset."""
    need_a_warehouse = {"thrift"}
    for name in CATALOGUE.keys() - need_a_warehouse:
        engineer.workspace.fault(name)
    engineer.workspace.advance(10)
    engineer.workspace.reset()
    assert document(engineer.get(JOBS))["jobs"]
    assert engineer.ask("GET", "/.simulator/faults").json()["active"] == []


def test_the_clock_goes_forward_only(workspace: WorkspaceProcess) -> None:
    with pytest.raises(ControlRefused, match="forward only"):
        workspace.advance(-1)
