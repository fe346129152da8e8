"""Is Azure OpenAI asked at its own address with its own login, and are its refusals understood?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from chat_words import chunk, completion, request, sse

from bridge.clock import SystemClock
from bridge.databricks.azure import AzureChat, AzureKey
from bridge.databricks.chat import complete, streamed
from bridge.databricks.http import Workspace
from bridge.databricks.steps import finish
from bridge.errors import AccessDenied, AnswerCut, BridgeError, QuestionRefused, ServiceMisconfigured

CLOCK = SystemClock()


@dataclass
class Resource:
    """What the next request is answered with, and what came."""

    status: int = 200
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list)
    came: list[tuple[str, dict[str, str], dict[str, object]]] = field(default_factory=list)

    def refuses(self, status: int, code: str, message: str) -> None:
        inner = {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"hate": {"filtered": True}},
        }
        error = {
            "message": message,
            "type": None,
            "param": "prompt",
            "code": code,
            "status": status,
            "innererror": inner,
        }
        self.status, self.body = status, json.dumps({"error": error}).encode()


@pytest.fixture
def resource() -> Resource:
    return Resource()


@pytest.fixture
def host(resource: Resource) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            resource.came.append((self.path, headers, body))
            self.send_response(resource.status)
            if resource.pieces:
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in [*resource.pieces, b""]:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.flush()
                return
            self.send_header("Content-Type", "application/json")
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


@pytest.fixture
def azure(host: str) -> Iterator[Workspace]:
    found = Workspace(host, AzureKey("s3cret"), CLOCK)
    yield found
    found.close()


def test_the_deployment_is_asked_with_the_key_in_its_own_header(azure: Workspace, resource: Resource) -> None:
    resource.body = json.dumps(completion("Water.") | {"prompt_filter_results": []}).encode()

    answer = finish(complete(AzureChat("gpt 4o"), request()), azure, CLOCK, deadline_s=10)

    ((path, headers, body),) = resource.came
    assert answer.text == "Water."
    assert path == "/openai/deployments/gpt%204o/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == "s3cret"
    assert "authorization" not in headers
    assert body["max_tokens"] == 100


@pytest.mark.parametrize(
    ("status", "code", "message", "error", "says"),
    [
        (400, "content_filter", "The response was filtered", QuestionRefused, "content filter"),
        (400, "context_length_exceeded", "maximum context length is 8192", QuestionRefused, "less context"),
        (
            400,
            "unsupported_parameter",
            "Use 'max_completion_tokens' instead.",
            ServiceMisconfigured,
            'token_limit = "max_completion_tokens"',
        ),
        (404, "DeploymentNotFound", "does not exist", ServiceMisconfigured, "no gpt to ask"),
        (401, "401", "Access denied due to invalid subscription key", AccessDenied, "advisor.azure_key"),
    ],
)
def test_refusals_say_what_to_do(
    azure: Workspace,
    resource: Resource,
    status: int,
    code: str,
    message: str,
    error: type[BridgeError],
    says: str,
) -> None:
    resource.refuses(status, code, message)

    with pytest.raises(error, match=says) as caught:
        finish(complete(AzureChat("gpt"), request()), azure, CLOCK, deadline_s=5)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(error, match=says):
        list(streamed(AzureChat("gpt"), request(), azure, budget_s=5))


@pytest.mark.parametrize("size", [1, 5, 1_000])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_stream_arrives_in_whatever_pieces_the_wire_makes_of_it(
    azure: Workspace, resource: Resource, size: int, line_end: str
) -> None:
    first = {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    data = sse(first, chunk("Kühlung "), chunk("\u2028schwach"), chunk(None, "stop"))
    data = data.replace("\\u2028", "\u2028").replace("\\u00fc", "ü").replace("\n", line_end)
    raw = data.encode()
    resource.pieces = [raw[at : at + size] for at in range(0, len(raw), size)]

    assert list(streamed(AzureChat("gpt"), request(), azure, budget_s=10)) == ["Kühlung ", "\u2028schwach"]


def test_a_stream_that_ends_too_early_is_cut(azure: Workspace, resource: Resource) -> None:
    resource.pieces = [sse(chunk("Wa"), done=False).encode()]

    with pytest.raises(AnswerCut) as caught:
        list(streamed(AzureChat("gpt"), request(), azure, budget_s=10))
    assert caught.value.so_far == "Wa"
