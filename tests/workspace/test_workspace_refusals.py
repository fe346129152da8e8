"""Is everything that does not exist refused, by name?"""

from __future__ import annotations

import pytest
from workspace_client import PLANT, Client, refused

SPACE = f"/api/2.0/genie/spaces/{PLANT}"


def test_an_unknown_route_says_what_came_near(engineer: Client) -> None:
    message = refused(engineer.get("/api/2.0/genie/space"), 404, "ENDPOINT_NOT_FOUND")
    assert "GET /api/2.0/genie/spaces" in message


def test_a_route_like_no_other_is_refused_without_a_guess(engineer: Client) -> None:
    message = refused(engineer.get("/x"), 404, "ENDPOINT_NOT_FOUND")
    assert "nearest" not in message


def test_a_wrong_verb_says_which_is_right(engineer: Client) -> None:
    message = refused(engineer.get(f"{SPACE}/start-conversation"), 404, "ENDPOINT_NOT_FOUND")
    assert "POST" in message


def test_older_jobs_and_genie_aliases_are_not_there(engineer: Client) -> None:
    refused(engineer.get("/api/2.1/jobs/list"), 404, "ENDPOINT_NOT_FOUND", "2.2")
    path = f"{SPACE}/conversations/c/messages/m/query-result"
    refused(engineer.get(path), 404, "ENDPOINT_NOT_FOUND", "attachments")


def test_an_unknown_field_is_refused_by_name(engineer: Client) -> None:
    answer = engineer.post(f"{SPACE}/start-conversation", {"content": "hi", "enable_visualisation": True})
    message = refused(answer, 400, "INVALID_PARAMETER_VALUE", "enable_visualisation")
    assert "did you mean enable_visualization" in message


def test_an_unknown_query_parameter_is_refused_by_name(engineer: Client) -> None:
    refused(engineer.get("/api/2.2/jobs/list", page=2), 400, "INVALID_PARAMETER_VALUE", "'page'")


def test_a_missing_field_is_named(engineer: Client) -> None:
    refused(engineer.post("/api/2.2/jobs/run-now", {}), 400, "INVALID_PARAMETER_VALUE", "job_id")


@pytest.mark.parametrize("value", ["eleven", 11.0, True, [11]])
def test_a_field_of_another_kind_is_refused(engineer: Client, value: object) -> None:
    answer = engineer.post("/api/2.2/jobs/run-now", {"job_id": value})
    refused(answer, 400, "INVALID_PARAMETER_VALUE", "job_id: expected a whole number")


def test_a_64_bit_number_may_come_as_text(engineer: Client) -> None:
    assert engineer.made("/api/2.2/jobs/run-now", {"job_id": "11"})["run_id"] > 2**53


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(engineer: Client, body: bytes) -> None:
    answer = engineer.ask("POST", "/api/2.2/jobs/run-now", data=body)
    refused(answer, 400, "MALFORMED_REQUEST")


def test_another_host_name_is_not_served(engineer: Client) -> None:
    """What a web page of somebody else's could send by a trick with names."""
    answer = engineer.ask("GET", "/.simulator/state", headers={"Host": "plant.example.com"})
    assert answer.status_code == 400


def test_the_connectors_side_questions_are_answered(engineer: Client, nobody: Client) -> None:
    flags = engineer.found("/api/2.0/connector-service/feature-flags/PYTHON/4.9.0")
    assert flags["flags"] == []
    assert "errors" in engineer.made("/telemetry-ext", {"protoLogs": []})
    assert "errors" in nobody.made("/telemetry-unauth", {"protoLogs": []})


def test_every_answer_names_the_workspace(engineer: Client) -> None:
    answer = engineer.get("/api/2.0/genie/spaces")
    assert answer.headers["x-databricks-org-id"] == engineer.workspace.ready["workspace_id"]
