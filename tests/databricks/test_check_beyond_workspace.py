"""What `check` says of Azure OpenAI, of a database that needs no workspace, and of more questions than turns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bridge.check_databricks import check_workspace
from bridge.clock import SystemClock
from bridge.databricks import check, serving
from bridge.report import Finding, Level
from bridge.settings import Settings
from bridge.wiring import advisor_of

SPACE = "01ef0000000000000000000000000001"
NATIVE = {"host": "127.0.0.1", "user": "bridge", "password": "pa-secret"}


@dataclass
class Resource:
    """An Azure OpenAI resource that lists its models, or answers as it is told."""

    status: int = 200
    body: bytes = b'{"data": [{"id": "gpt-4o"}], "object": "list"}'
    media_type: str = "application/json"
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def resource() -> Resource:
    return Resource()


@pytest.fixture
def host(resource: Resource) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            resource.asked.append((self.path, self.headers.get("api-key", "")))
            self.send_response(resource.status)
            self.send_header("Content-Type", resource.media_type)
            self.send_header("Content-Length", str(len(resource.body)))
            self.end_headers()
            self.wfile.write(resource.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def azure(host: str, **changes: object) -> Settings:
    advisor: Mapping[str, object] = {
        "kind": "azure",
        "endpoint": "gpt-4o",
        "azure_host": host,
        "azure_key": "a-secret-key",
        **changes,
    }
    return Settings(advisor=advisor)


async def told(settings: Settings) -> tuple[list[Finding], str]:
    found = await check_workspace(settings)
    return list(found.findings), "\n".join(found.looked_at)


async def test_a_resource_that_takes_the_key_is_looked_at_and_no_model_is_asked(
    host: str, resource: Resource
) -> None:
    findings, passed = await told(azure(host))
    assert findings == []
    assert f"advisor.endpoint: Azure OpenAI at {host} takes our key" in passed
    assert "deployment gpt-4o shows with the first question" in passed
    assert resource.asked == [("/openai/models?api-version=2024-10-21", "a-secret-key")]
    assert "a-secret-key" not in passed


async def test_the_newer_surface_has_its_own_list(host: str, resource: Resource) -> None:
    findings, _ = await told(azure(host, azure_api_version="v1"))
    assert findings == []
    assert [path for path, _ in resource.asked] == ["/openai/v1/models"]


REFUSED = json.dumps({"error": {"code": "401", "message": "invalid subscription key a-secret"}}).encode()
UNKNOWN = json.dumps({"error": {"code": "404", "message": "Resource not found"}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "media_type", "subject", "level", "says"),
    [
        (401, REFUSED, "application/json", "advisor.azure_key", Level.PROBLEM, "BRIDGE_ADVISOR__AZURE_KEY"),
        (404, UNKNOWN, "application/json", "advisor.azure_host", Level.WARNING, "azure_api_version"),
        (200, b"<html>hello", "text/html", "advisor.azure_host", Level.PROBLEM, "openai.azure.com"),
    ],
)
async def test_what_is_wrong_with_a_resource_is_named_with_what_to_do(
    host: str,
    resource: Resource,
    status: int,
    body: bytes,
    media_type: str,
    subject: str,
    level: Level,
    says: str,
) -> None:
    resource.status, resource.body, resource.media_type = status, body, media_type
    (found,), passed = await told(azure(host))
    assert (found.subject, found.level) == (subject, level)
    assert says in found.advice
    assert "a-secret-key" not in found.problem + found.advice
    assert passed == ""


async def test_a_resource_that_nobody_reaches_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_LOOK_S", 0.3)
    (found,), _ = await told(azure("http://127.0.0.1:1"))
    assert found.subject == "advisor.azure_host"
    assert "cannot be reached" in found.problem


async def test_the_proxys_authority_counts_for_azure_too(tmp_path: Path) -> None:
    """A file that is not there is told before anything is asked, by `check` and by `run`."""
    missing = tmp_path / "proxy.pem"
    settings = Settings(
        advisor=azure("https://plant.openai.azure.com").advisor, databricks={"ca_certificate": str(missing)}
    )
    (found,), _ = await told(settings)
    assert "databricks.ca_certificate" in found.problem
    with pytest.raises(Exception, match=r"databricks\.ca_certificate"):
        advisor_of(settings, SystemClock())


async def test_a_database_with_host_user_and_password_wants_no_workspace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one way to Lakebase that never asks the workspace must not be told to log in to it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID"):
        monkeypatch.delenv(variable, raising=False)
    for lakebase in (NATIVE, {**NATIVE, "endpoint": "projects/p/branches/b/endpoints/e"}):
        settings = Settings(store={"kind": "lakebase"}, databricks={"lakebase": lakebase})
        assert await told(settings) == ([], "")
    with_space = Settings(databricks={"lakebase": NATIVE}, genie={"spaces": {"Plant": SPACE}})
    findings, _ = await told(with_space)
    assert any("no Databricks host" in found.problem for found in findings)


@pytest.mark.parametrize(("per_minute", "turns", "warned"), [(6, 5, True), (5, 5, False), (2, 1, True)])
async def test_more_questions_than_genie_has_turns_are_warned_of(
    per_minute: int, turns: int, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        advisor={"kind": "genie", "space": "Plant", "per_minute": per_minute},
        genie={"spaces": {"Plant": SPACE}, "questions_per_minute": turns},
        databricks={"host": "http://127.0.0.1:1", "token": "t"},
    )

    async def known(*_: object) -> str:
        return "anna"

    class Look:
        def __init__(self, *_: object) -> None: ...

        async def __call__(self, steps: Any) -> Any:
            steps.close()
            return await known()

    async def looked_at(*_: object) -> check.Examination:
        return check.Examination()

    monkeypatch.setattr(check, "_Look", Look)
    monkeypatch.setattr(check, "_space", looked_at)
    findings, _ = await told(settings)
    assert [(found.subject, found.level) for found in findings] == (
        [("advisor.per_minute", Level.WARNING)] if warned else []
    )


@pytest.mark.parametrize(
    ("task", "warned"),
    [("llm/v1/chat", False), ("agent/v1/chat", False), ("", False), ("agent/v1/responses", True)],
)
async def test_an_endpoint_that_is_asked_in_another_way_is_warned_of(task: str, warned: bool) -> None:
    async def look(steps: Any) -> serving.Endpoint:
        steps.close()
        return serving.Endpoint(
            name="plant-advisor", ready=True, update=serving.Update.NOT_UPDATING, task=task, said="READY"
        )

    found = await check._endpoint("plant-advisor", look)  # type: ignore[arg-type]
    assert [remark.serious for remark in found.remarks] == ([False] if warned else [])
    assert bool(found.looked_at) is not warned
