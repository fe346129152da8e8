"""Plain clients of the simulated workspace, and the script it answers from in these tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import requests

from simulator.workspace.process import WorkspaceProcess

DEADLINE_S = 40.0
T = TypeVar("T")
PLANT = "01ef0000000000000000000000000001"

SCRIPT: dict[str, Any] = {
    "genie": [
        {
            "space_id": PLANT,
            "title": "Plant",
            "answers": [
                {
                    "question": r"how hot is (?P<equipment>REACTOR_\d+)",
                    "text": "{equipment} is hot.",
                    "suggested": ["And the pressure?"],
                    "queries": [
                        {
                            "title": "Readings of {equipment}",
                            "sql": "select equipment_id, temperature, timestamp from plant_lakebase.public.sensor_data "
                            "where equipment_id = '{equipment}' order by timestamp",
                        }
                    ],
                },
                {"question": "many rows", "queries": [{"sql": "select id from range_of_rows"}]},
                {
                    "question": "numbers",
                    "queries": [{"sql": "select 9007199254740993 as big, 1.50 as price, true as ok"}],
                },
                {"question": "nonsense", "queries": [{"sql": "select nothing from nowhere"}]},
                {"question": "drop", "queries": [{"sql": "drop table sensor_data"}]},
                {
                    "question": "say (?P<word>.+)",
                    "text": "{word}",
                    "queries": [{"sql": "select '{word}' as word"}],
                },
                {
                    "question": "broken",
                    "ends": "FAILED",
                    "error": {"type": "CHAT_COMPLETION_NETWORK_EXCEPTION", "error": "network"},
                },
                {
                    "question": "slowly",
                    "statuses": ["ASKING_AI"],
                    "step_polls": 0,
                    "step_s": 30,
                    "text": "at last",
                },
            ],
        },
        {"space_id": "01ef0000000000000000000000000002", "title": "Maintenance"},
    ],
    "jobs": [
        {
            "job_id": 11,
            "name": "load",
            "tasks": [
                {"task_key": "extract", "attempts": [{"notebook_result": "10 rows", "seconds": 5}]},
                {
                    "task_key": "transform",
                    "depends_on": ["extract"],
                    "attempts": [
                        {
                            "code": "RUN_EXECUTION_ERROR",
                            "message": "Workload failed",
                            "error": "TABLE_OR_VIEW_NOT_FOUND",
                            "error_trace": "Traceback",
                            "seconds": 5,
                        },
                        {"code": "CLUSTER_ERROR", "message": "no cluster", "seconds": 5},
                        {"logs": "all well", "seconds": 5},
                    ],
                },
                {"task_key": "publish", "depends_on": ["transform"], "attempts": [{"seconds": 5}]},
            ],
        },
        {
            "job_id": 12,
            "name": "patient",
            "queue": True,
            "tasks": [{"task_key": "only", "attempts": [{"seconds": 5}]}],
        },
        {
            "job_id": 9007199254740995,
            "name": "wide",
            "max_concurrent_runs": 100,
            "tasks": [{"task_key": f"t{n}", "attempts": [{"seconds": 0}]} for n in range(130)],
        },
    ],
    "serving": [
        {
            "name": "advisor",
            "model": "advisor-1",
            "answers": [
                {"prompt": "json", "json": {"root_cause": "heat", "confidence": 0.5}},
                {"prompt": "fail", "error": "no capacity"},
                {"prompt": "ten", "text": "one two three four five six seven eight nine ten"},
            ],
        },
        {
            "name": "agent",
            "task": "agent/v1/responses",
            "answers": [{"prompt": "hello", "text": "good day to you"}],
        },
        {"name": "asleep", "ready": "NOT_READY"},
    ],
}


class Client:
    """Plain ``requests`` with a bearer token, or without one."""

    def __init__(self, workspace: WorkspaceProcess, token: str) -> None:
        self.workspace = workspace
        self.session = requests.Session()
        self.session.trust_env = False
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, verb: str, path: str, **arguments: Any) -> requests.Response:
        """Any request; redirects are shown, not followed."""
        return self.session.request(
            verb, self.workspace.host + path, timeout=DEADLINE_S, allow_redirects=False, **arguments
        )

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.ask("GET", path, params=query)

    def post(self, path: str, body: object = None) -> requests.Response:
        return self.ask("POST", path, json={} if body is None else body)

    def found(self, path: str, **query: Any) -> dict[str, Any]:
        """The document of a GET that has to succeed."""
        return document(self.get(path, **query))

    def made(self, path: str, body: object = None) -> dict[str, Any]:
        """The document of a POST that has to succeed."""
        return document(self.post(path, body))


def document(answer: requests.Response) -> dict[str, Any]:
    """The JSON of a good answer."""
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:500]}"
    found = answer.json()
    assert isinstance(found, dict)
    return found


def refused(answer: requests.Response, status: int, code: str, words: str = "") -> str:
    """The message of an answer that has to be this refusal."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:500]}"
    found = answer.json()
    assert found["error_code"] == code, found
    assert words in found["message"], found
    return str(found["message"])


def oauth_token(client: Client) -> str:
    """A token by OAuth machine-to-machine."""
    answer = client.ask(
        "POST",
        "/oidc/v1/token",
        auth=(client.workspace.client_id, client.workspace.client_secret),
        data={"grant_type": "client_credentials", "scope": "all-apis"},
    )
    return str(document(answer)["access_token"])


def until(look: Callable[[], T | None], what: str) -> T:
    """Look until there is something, and fail when there is nothing in time."""
    deadline = time.monotonic() + DEADLINE_S
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)
    return found
