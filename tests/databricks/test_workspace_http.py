"""What is sent to a workspace, what is sent again, and what each form of answer means."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
import requests
import responses
from by_hand import HandClock
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bridge.databricks.answers import words_of
from bridge.databricks.call import Call, Reply
from bridge.databricks.http import Timeouts, Wire, Workspace
from bridge.errors import (
    AccessDenied,
    AnswerLost,
    AnswerTooLarge,
    BridgeError,
    ConfigError,
    DeadlineExceeded,
    FixConfiguration,
    NotAWorkspace,
    RateLimited,
    TryAgain,
    WorkspaceDown,
    WorkspaceRefused,
)

HOST = "https://adb-1.example.net"
URL = f"{HOST}/api/2.0/thing"
SECRET = "dapi-very-secret"
READ = Call(verb="GET", path="/api/2.0/thing", what="read the thing")
CHANGE = Call(verb="POST", path="/api/2.0/thing", body={"a": 1}, what="change the thing")
TWICE = Call(verb="POST", path="/api/2.0/thing", body={"a": 1}, what="set the thing", idempotent=True)
HTML = "<!DOCTYPE html><html><head><title>Sign in &amp; go</title></head><body>…</body></html>"


class Given:
    """A login that is what the test says; each renewal is another token."""

    source = "the test"

    def __init__(self, *, renewable: bool = False) -> None:
        self.renewable = renewable
        self.number = 1

    def headers(self, *, budget_s: float) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {SECRET}-{self.number}"}

    def renew(self, refused: Mapping[str, str], *, budget_s: float) -> bool:
        self.number += self.renewable
        return self.renewable


class Bench:
    """A workspace whose waits turn the clock, always as long as the jitter may be."""

    def __init__(self, host: str = HOST, auth: Given | None = None, **options: object) -> None:
        self.clock = HandClock()
        self.waits_s: list[float] = []
        self.late_s = 0.0
        self.auth = auth or Given()
        self.workspace = Workspace(
            host,
            self.auth,
            self.clock,
            pause=self._pause,
            spread=lambda low, high: high,
            **options,  # type: ignore[arg-type]
        )

    def _pause(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self.clock.passed_s += seconds + self.late_s

    def ask(self, call: Call, budget_s: float = 60.0) -> Mapping[str, object]:
        return self.workspace.ask(call, budget_s=budget_s)


@pytest.fixture
def http() -> Iterator[responses.RequestsMock]:
    """Every answer has to be used, and nothing else may be asked."""
    with responses.RequestsMock(assert_all_requests_are_fired=True) as mock:
        yield mock


def failed(bench: Bench, call: Call, budget_s: float = 60.0) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        bench.ask(call, budget_s)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert str(caught.value).startswith(f"{call.what}: ")
    return caught.value


# What is sent


def test_a_request_carries_the_login_and_nothing_it_was_not_told(
    http: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A login in ~/.netrc must not replace ours."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine adb-1.example.net login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    http.add("POST", URL, json={"done": True})
    assert Bench().ask(CHANGE) == {"done": True}
    sent = http.calls[0].request
    assert sent.headers["Authorization"] == f"Bearer {SECRET}-1"
    assert sent.headers["User-Agent"].startswith("ignition-bridge/")
    assert "X-Databricks-Workspace-Id" not in sent.headers
    assert json.loads(sent.body or b"") == {"a": 1}


def test_a_shared_host_is_told_which_workspace_is_meant(http: responses.RequestsMock) -> None:
    http.add("GET", URL, json={})
    Bench(workspace_id="712").ask(READ)
    assert http.calls[0].request.headers["X-Databricks-Workspace-Id"] == "712"


def test_no_cookie_is_kept(http: responses.RequestsMock) -> None:
    http.add("GET", URL, json={}, headers={"Set-Cookie": "session=1; Path=/"})
    http.add("GET", URL, json={})
    bench = Bench()
    bench.ask(READ)
    bench.ask(READ)
    assert "Cookie" not in http.calls[1].request.headers


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("http://adb-1.example.net", "in the clear"),
        ("https://adb-1.example.net/?o=712", "workspace_id"),
        ("https://adb-1.example.net/browse", "nothing behind it"),
        ("https://user:pw@adb-1.example.net", "does not belong"),
        ("ftp://adb-1.example.net", "wanted https://"),
        ("https://", "wanted https://"),
        ("https://adb 1", "wanted https://"),
        ("https://[::1", "cannot be read"),
    ],
)
def test_a_host_that_cannot_be_is_refused_before_anything_is_sent(host: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Wire(host, HandClock())
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "used"),
    [
        ("ADB-1.example.net", HOST),
        (f"{HOST}/", HOST),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
    ],
)
def test_a_host_has_one_form(host: str, used: str) -> None:
    assert Wire(host, HandClock()).host == used


# What an answer means

FORMS: list[tuple[str, dict[str, object], type[BridgeError], str]] = [
    (
        "the workspace's own",
        {"status": 404, "json": {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such space"}},
        WorkspaceRefused,
        "RESOURCE_DOES_NOT_EXIST: no such space (HTTP 404)",
    ),
    (
        "an error alone",
        {"status": 400, "json": {"error": "bad thing"}},
        WorkspaceRefused,
        "refused: bad thing (HTTP 400)",
    ),
    (
        "OAuth's",
        {"status": 400, "json": {"error": "invalid_request", "error_description": "no grant"}},
        WorkspaceRefused,
        "invalid_request: no grant",
    ),
    (
        "OAuth's other",
        {"status": 400, "json": {"errorCode": "invalid_client", "errorSummary": "unknown client"}},
        WorkspaceRefused,
        "invalid_client: unknown client",
    ),
    (
        "SCIM's",
        {"status": 409, "json": {"detail": "exists already", "status": "409", "scimType": "uniqueness"}},
        WorkspaceRefused,
        "uniqueness: exists already",
    ),
    (
        "SCIM's without a type",
        {"status": 404, "json": {"schemas": [], "detail": "no such user", "status": "404"}},
        WorkspaceRefused,
        "refused: no such user",
    ),
    (
        "a model server's",
        {"status": 400, "json": {"error": {"code": "content_filter", "message": "filtered"}}},
        WorkspaceRefused,
        "content_filter: filtered",
    ),
    (
        "a number as code",
        {"status": 403, "json": {"error_code": 403, "message": "no rights"}},
        WorkspaceRefused,
        "403: no rights (HTTP 403); this identity lacks a permission",
    ),
    (
        "text",
        {"status": 400, "body": "INVALID_PARAMETER_VALUE: no such field\n", "content_type": "text/plain"},
        WorkspaceRefused,
        "INVALID_PARAMETER_VALUE: no such field",
    ),
    ("words", {"status": 400, "body": "go away"}, WorkspaceRefused, "refused: go away"),
    ("nothing", {"status": 400, "body": ""}, WorkspaceRefused, "it does not say why"),
    (
        "a page at 404",
        {"status": 404, "body": HTML, "content_type": "text/html"},
        NotAWorkspace,
        "Sign in & go",
    ),
    (
        "a redirect to the login page",
        {"status": 302, "headers": {"Location": "/login.html?next=secret-path"}},
        NotAWorkspace,
        "sent on to the same host/login.html (HTTP 302)",
    ),
    (
        "a redirect to another host",
        {"status": 303, "headers": {"Location": "https://login.example.com/x?y=z"}},
        NotAWorkspace,
        "sent on to login.example.com/x",
    ),
    (
        "a login that is refused",
        {"status": 401, "json": {"message": "expired"}},
        AccessDenied,
        "comes from the test",
    ),
    (
        "a login that is refused as forbidden",
        {"status": 403, "json": {"error_code": 403, "message": "Invalid access token."}},
        AccessDenied,
        "does not accept this login",
    ),
    (
        "another kind of file",
        {"status": 200, "body": "a,b", "content_type": "text/csv"},
        NotAWorkspace,
        "text/csv instead of JSON",
    ),
    ("a list", {"status": 200, "json": [1]}, NotAWorkspace, "wanted a JSON object, found list"),
    ("not implemented", {"status": 501, "json": {"message": "later"}}, WorkspaceRefused, "later"),
]


@pytest.mark.parametrize("call", [READ, CHANGE], ids=["GET", "POST"])
@pytest.mark.parametrize(
    ("form", "kind", "words"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS]
)
def test_every_form_of_a_refusal_is_understood(
    http: responses.RequestsMock, call: Call, form: dict[str, object], kind: type[BridgeError], words: str
) -> None:
    """Nothing of this is asked for again."""
    http.add(call.verb, URL, **form)  # type: ignore[arg-type]
    problem = failed(Bench(), call)
    assert type(problem) is kind
    assert words in str(problem)
    assert "secret-path" not in str(problem)
    assert len(http.calls) == 1


def test_a_refusal_carries_what_a_program_needs(http: responses.RequestsMock) -> None:
    http.add(
        "GET",
        URL,
        status=400,
        json={"error_code": "INVALID_STATE", "message": "is running", "details": []},
        headers={"x-request-id": "abc-1"},
    )
    problem = failed(Bench(), READ)
    assert isinstance(problem, WorkspaceRefused)
    assert (problem.status, problem.error_code, problem.words) == (400, "INVALID_STATE", "is running")
    assert "request abc-1" in str(problem)


def test_foreign_words_stay_on_one_line_and_short() -> None:
    """An answer that wants to draw on the terminal or fill the log must not."""
    nasty = "first\nsecond \x1b[31mred\x07" + "x" * 5000
    words = words_of(Reply(status=400, headers={}, body=json.dumps({"message": nasty}).encode()))
    assert words.text.startswith("first second  [31mred".replace("  ", " "))
    assert words.text.isprintable()
    assert len(words.text) <= 401


@pytest.mark.parametrize("body", ["", "  \n"])
def test_an_empty_success_is_an_empty_object(http: responses.RequestsMock, body: str) -> None:
    http.add("POST", URL, body=body)
    assert Bench().ask(CHANGE) == {}


@pytest.mark.parametrize(
    "body", ['{"a": NaN}', '{"a": 1', '{"a": ' + "[" * 100_000, "\ufffd{", '{"a": "\x00"}']
)
def test_damaged_json_is_asked_for_again_only_where_that_is_safe(
    http: responses.RequestsMock, body: str
) -> None:
    http.add("GET", URL, body=body, content_type="application/json")
    http.add("GET", URL, json={"whole": True})
    assert Bench().ask(READ) == {"whole": True}
    http.add("POST", URL, body=body, content_type="application/json")
    problem = failed(Bench(), CHANGE)
    assert type(problem) is AnswerLost
    assert "it may have happened" in str(problem)


def test_whole_numbers_of_64_bits_stay_whole(http: responses.RequestsMock) -> None:
    http.add("GET", URL, body='{"run_id": 9007199254740993}')
    assert Bench().ask(READ) == {"run_id": 9007199254740993}


def test_a_stray_page_is_forgiven_once(http: responses.RequestsMock) -> None:
    """One page of a proxy on the way must not end a conversation; a wrong host must be told soon."""
    http.add("GET", URL, body=HTML, content_type="text/html")
    http.add("GET", URL, json={"well": 1})
    assert Bench().ask(READ) == {"well": 1}
    http.add("GET", URL, body=HTML, content_type="text/html")
    http.add("GET", URL, body=HTML, content_type="text/html")
    assert type(failed(Bench(), READ)) is NotAWorkspace
    assert len(http.calls) == 4


# What is repeated


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("call", [READ, TWICE], ids=["GET", "idempotent POST"])
def test_a_passing_failure_is_waited_out(http: responses.RequestsMock, call: Call, status: int) -> None:
    for _ in range(3):
        http.add(call.verb, URL, status=status, body=HTML, content_type="text/html")
    http.add(call.verb, URL, json={"well": 1})
    bench = Bench()
    assert bench.ask(call) == {"well": 1}
    assert bench.waits_s == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_what_may_have_happened_is_not_done_again(http: responses.RequestsMock, status: int) -> None:
    http.add("POST", URL, status=status, json={"error_code": "INTERNAL_ERROR", "message": "oops"})
    problem = failed(Bench(), CHANGE)
    assert type(problem) is AnswerLost
    assert len(http.calls) == 1


def test_a_fault_of_the_workspace_is_not_repeated(http: responses.RequestsMock) -> None:
    """500 rarely passes within a budget."""
    http.add("GET", URL, status=500, json={"error_code": "INTERNAL_ERROR", "message": "oops"})
    assert type(failed(Bench(), READ)) is WorkspaceDown
    assert len(http.calls) == 1


@pytest.mark.parametrize("call", [READ, CHANGE], ids=["GET", "POST"])
def test_too_many_requests_is_waited_out_as_asked(http: responses.RequestsMock, call: Call) -> None:
    """A 429 did nothing, so even a POST that must not happen twice may be sent again."""
    http.add(call.verb, URL, status=429, headers={"Retry-After": "7"}, json={"message": "slow down"})
    http.add(call.verb, URL, json={"well": 1})
    bench = Bench()
    assert bench.ask(call) == {"well": 1}
    assert bench.waits_s == [7.5]


def test_a_wait_longer_than_the_budget_is_not_begun(http: responses.RequestsMock) -> None:
    http.add("GET", URL, status=429, headers={"Retry-After": "61"}, json={"message": "slow down"})
    bench = Bench()
    problem = failed(bench, READ, budget_s=60.0)
    assert isinstance(problem, RateLimited)
    assert problem.retry_after_s == 61.0
    assert bench.waits_s == []


def test_a_date_to_wait_for_is_measured_by_the_server_s_clock(http: responses.RequestsMock) -> None:
    """Ours may be wrong by hours."""
    clock = HandClock()
    server = clock.now_utc().replace(year=2031)
    http.add(
        "GET",
        URL,
        status=503,
        headers={
            "Date": format_datetime(server, usegmt=True),
            "Retry-After": format_datetime(server.replace(second=server.second + 20), usegmt=True),
        },
    )
    http.add("GET", URL, json={})
    bench = Bench()
    bench.ask(READ)
    assert bench.waits_s == [20.5]


@pytest.mark.parametrize("asked", ["soon", "-5", "1e9", "", "Sat, 99 Nov 2026 12:00:00 GMT", "0"])
def test_a_wait_that_cannot_be_read_is_our_own(http: responses.RequestsMock, asked: str) -> None:
    http.add("GET", URL, status=503, headers={"Retry-After": asked})
    http.add("GET", URL, json={})
    bench = Bench()
    bench.ask(READ)
    assert bench.waits_s == [0.5]


def test_repeats_end_with_the_budget(http: responses.RequestsMock) -> None:
    http.add("GET", URL, status=503, json={"message": "later"})
    bench = Bench()
    problem = failed(bench, READ, budget_s=10.0)
    assert type(problem) is WorkspaceDown
    assert bench.waits_s == [0.5, 1.0, 2.0, 4.0]
    assert bench.clock.passed_s < 10.0


def test_waits_between_repeats_grow_to_half_a_minute_and_attempts_are_counted(
    http: responses.RequestsMock,
) -> None:
    http.add("GET", URL, status=503, json={"message": "later"})
    bench = Bench()
    failed(bench, READ, budget_s=100_000.0)
    assert bench.waits_s == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 30.0]


def test_without_time_nothing_is_sent(http: responses.RequestsMock) -> None:
    assert type(failed(Bench(), READ, budget_s=0.0)) is DeadlineExceeded


def test_a_wait_that_took_too_long_leaves_the_failure_before_it(http: responses.RequestsMock) -> None:
    """On a busy machine a pause ends late; what went wrong is worth more than that no time was left."""
    http.add("GET", URL, status=503, json={"message": "later"})
    bench = Bench()
    bench.late_s = 60.0
    assert "later" in str(failed(bench, READ, budget_s=10.0))
    assert len(http.calls) == 1


def test_a_login_that_expired_is_renewed_once(http: responses.RequestsMock) -> None:
    """Also for a POST: a refused login did nothing."""
    http.add("POST", URL, status=401, json={"message": "Token is expired"})
    http.add("POST", URL, json={"well": 1})
    bench = Bench(auth=Given(renewable=True))
    assert bench.ask(CHANGE) == {"well": 1}
    assert [call.request.headers["Authorization"][-1] for call in http.calls] == ["1", "2"]
    http.add("POST", URL, status=401, json={"message": "Token is expired"})
    http.add("POST", URL, status=401, json={"message": "Token is expired"})
    assert type(failed(bench, CHANGE)) is AccessDenied
    assert len(http.calls) == 4


def test_a_token_service_that_is_away_is_waited_for(http: responses.RequestsMock) -> None:
    """Nothing of the call itself has left yet, so even a POST may wait for its login."""

    class Away(Given):
        def headers(self, *, budget_s: float) -> Mapping[str, str]:
            self.number += 1
            if self.number < 4:
                raise WorkspaceDown("token service: away")
            return super().headers(budget_s=budget_s)

    http.add("POST", URL, json={"well": 1})
    assert Bench(auth=Away()).ask(CHANGE) == {"well": 1}


# The wire


@pytest.mark.parametrize("call", [READ, CHANGE], ids=["GET", "POST"])
def test_a_host_that_nobody_serves_is_tried_again(call: Call) -> None:
    """A refused connection took nothing with it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        bench = Bench(f"http://127.0.0.1:{taken.getsockname()[1]}")
        problem = failed(bench, call, budget_s=4.0)
    assert type(problem) is WorkspaceDown
    assert "cannot be reached: Connection refused" in str(problem)
    assert bench.waits_s == [0.5, 1.0, 2.0]


def test_a_host_name_that_does_not_exist_says_so() -> None:
    problem = failed(Bench("https://no-such-workspace.invalid"), READ, budget_s=0.4)
    assert type(problem) is WorkspaceDown
    assert "no-such-workspace.invalid cannot be reached" in str(problem)


Answering = Callable[[socket.socket], None]


def _hear(wire: socket.socket) -> None:
    """Take the whole request: what is left unread when a connection is closed takes the answer with it."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += wire.recv(65_536)
    head, _, body = heard.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length is not None and len(body) < int(length[1]):
        body += wire.recv(65_536)


@contextmanager
def serving(*answers: Answering) -> Iterator[str]:
    """A server that answers each connection once, in turn, with bare bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        for answer in answers:
            wire, _ = listener.accept()
            with wire:
                _hear(wire)
                answer(wire)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(timeout=20)
        assert not thread.is_alive(), "not every answer was fetched"
    finally:
        listener.close()


def whole(body: bytes, headers: str = "Content-Type: application/json\r\n") -> bytes:
    head = f"HTTP/1.1 200 OK\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def well(wire: socket.socket) -> None:
    wire.sendall(whole(b'{"well": 1}'))


def hang_up(wire: socket.socket) -> None:
    wire.close()


def cut(wire: socket.socket) -> None:
    wire.sendall(whole(b'{"well": 1}')[:-3])


def cut_chunk(wire: socket.socket) -> None:
    wire.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{"well"')


def no_http(wire: socket.socket) -> None:
    wire.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def bad_gzip(wire: socket.socket) -> None:
    wire.sendall(whole(b"\x1f\x8bnot gzip at all", "Content-Encoding: gzip\r\n"))


@pytest.mark.parametrize("fault", [hang_up, cut, cut_chunk, no_http, bad_gzip])
def test_an_answer_that_breaks_off_is_fetched_again_where_that_is_safe(fault: Answering) -> None:
    with serving(fault, well) as host:
        assert Bench(host).ask(READ) == {"well": 1}
    with serving(fault) as host:
        problem = failed(Bench(host), CHANGE)
    assert type(problem) is AnswerLost
    assert "it may have happened" in str(problem)


def test_a_server_that_says_nothing_is_given_up() -> None:
    done = threading.Event()
    with serving(lambda wire: (done.wait(20), None)[1]) as host:
        bench = Bench(host, timeouts=Timeouts(silence_s=0.05))
        problem = failed(bench, CHANGE)
        done.set()
    assert type(problem) is AnswerLost
    assert "silence for too long" in str(problem)


def test_an_answer_that_trickles_ends_with_the_budget() -> None:
    """Every byte keeps the silence short; the budget counts all the same."""
    done = threading.Event()
    bench: Bench

    def trickle(wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with suppress(OSError):  # the reader may have left
            for _ in range(5):
                bench.clock.passed_s += 3.0
                wire.sendall(b" ")
        done.wait(20)

    with serving(trickle) as host:
        bench = Bench(host)
        problem = failed(bench, READ, budget_s=10.0)
        done.set()
    assert type(problem) is DeadlineExceeded


@pytest.mark.parametrize("declared", [True, False])
def test_an_answer_without_end_is_not_read(declared: bool) -> None:
    def endless(wire: socket.socket) -> None:
        length = b"Content-Length: 99999999999\r\n" if declared else b""
        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + length + b"\r\n")
        try:
            while not declared:
                wire.sendall(b'"' + b"x" * 1_000_000)
        except OSError:
            pass  # the reader has left, as it should

    with serving(endless) as host:
        problem = failed(Bench(host), READ)
    assert type(problem) is AnswerTooLarge
    assert "16 MiB" in str(problem)


def test_an_answer_that_grows_when_unpacked_is_not_read() -> None:
    bomb = gzip.compress(b" " * (64 * 2**20))
    with serving(lambda wire: wire.sendall(whole(bomb, "Content-Encoding: gzip\r\n"))) as host:
        assert type(failed(Bench(host), READ)) is AnswerTooLarge


def test_a_large_answer_is_read() -> None:
    body = json.dumps({"text": "x" * (10 * 2**20)}).encode()
    with serving(lambda wire: wire.sendall(whole(body))) as host:
        assert len(str(Bench(host).ask(READ)["text"])) == 10 * 2**20


@pytest.mark.parametrize("ending", ["\nX-Evil: 1", "ü"])
def test_a_token_that_cannot_be_sent_is_not_repeated_in_the_message(
    http: responses.RequestsMock, ending: str
) -> None:
    class Broken(Given):
        def headers(self, *, budget_s: float) -> Mapping[str, str]:
            return {"Authorization": f"Bearer {SECRET}{ending}"}

    assert type(failed(Bench(auth=Broken()), READ)) is FixConfiguration


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that nobody trusts by itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return file


@contextmanager
def serving_tls(certificate: Path, *, hang_up: bool = False) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        wire, _ = listener.accept()
        with wire, suppress(OSError):
            if hang_up:
                wire.recv(1)
                return
            with context.wrap_socket(wire, server_side=True) as secured:
                _hear(secured)
                secured.sendall(whole(b'{"well": 1}'))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield f"https://localhost:{listener.getsockname()[1]}"
        thread.join(timeout=20)
    finally:
        listener.close()


def test_a_certificate_that_nobody_trusts_is_a_matter_of_configuration(certified: Path) -> None:
    with serving_tls(certified) as host:
        problem = failed(Bench(host), READ)
    assert type(problem) is FixConfiguration
    assert "certificate is not trusted: self-signed certificate" in str(problem)
    assert "databricks.ca_certificate" in str(problem)
    with serving_tls(certified) as host:
        assert Bench(host, ca_certificate=certified).ask(READ) == {"well": 1}


def test_an_encryption_that_breaks_off_may_pass(certified: Path) -> None:
    """It happens on bad lines, and nobody has to configure anything for it."""
    with serving_tls(certified, hang_up=True) as host:
        problem = failed(Bench(host, ca_certificate=certified), READ, budget_s=0.1)
    assert type(problem) is WorkspaceDown


# Every failure of the library has a name of ours


def _leaves(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(leaf for below in kind.__subclasses__() for leaf in _leaves(below))]


def _name(kind: type[Exception]) -> str:
    return kind.__name__


_KINDS: list[type[Exception]] = sorted(set(_leaves(requests.RequestException)), key=_name)


@pytest.mark.parametrize("kind", _KINDS)
def test_no_error_of_the_library_gets_out(
    http: responses.RequestsMock, kind: type[requests.RequestException]
) -> None:
    # The library reads no body for us; should it ever, what it says of bad JSON has a name too.
    of_json = issubclass(kind, requests.exceptions.JSONDecodeError)
    http.add("POST", URL, body=kind("synthetic", "{", 0) if of_json else kind("synthetic"))
    problem = failed(Bench(), CHANGE, budget_s=0.1)
    assert isinstance(problem, TryAgain | FixConfiguration)


# Lines


def lines(bench: Bench, call: Call) -> list[str]:
    return list(bench.workspace.lines(call, budget_s=60.0))


STREAM = "Content-Type: text/event-stream\r\n"


def test_lines_come_without_their_ends_and_whole() -> None:
    """Characters of several bytes are cut by the wire as it likes."""
    body = 'data: {"a": "°C"}\r\n\r\ndata: [DONE]\nlast'.encode()

    def piecewise(wire: socket.socket) -> None:
        wire.sendall(f"HTTP/1.1 200 OK\r\n{STREAM}Transfer-Encoding: chunked\r\n\r\n".encode())
        for number in range(len(body)):
            wire.sendall(b"1\r\n" + body[number : number + 1] + b"\r\n")
        wire.sendall(b"0\r\n\r\n")

    with serving(piecewise) as host:
        assert lines(Bench(host), CHANGE) == ['data: {"a": "°C"}', "", "data: [DONE]", "last"]


def test_lines_arrive_as_they_are_sent() -> None:
    """The second is sent only when the first was read."""
    read = threading.Event()

    def slowly(wire: socket.socket) -> None:
        wire.sendall(f"HTTP/1.1 200 OK\r\n{STREAM}Connection: close\r\n\r\none\n".encode())
        assert read.wait(20)
        wire.sendall(b"two\n")

    with serving(slowly) as host:
        stream = Bench(host).workspace.lines(CHANGE, budget_s=60.0)
        assert next(stream) == "one"
        read.set()
        assert list(stream) == ["two"]


def test_a_stream_that_breaks_gives_what_came_and_then_says_so() -> None:
    def breaks(wire: socket.socket) -> None:
        wire.sendall(f"HTTP/1.1 200 OK\r\n{STREAM}Content-Length: 100\r\n\r\none\ntw".encode())

    with serving(breaks) as host:
        stream = Bench(host).workspace.lines(CHANGE, budget_s=60.0)
        assert next(stream) == "one"
        with pytest.raises(AnswerLost, match="change the thing"):
            next(stream)


def test_a_stream_begins_again_only_before_its_first_line(http: responses.RequestsMock) -> None:
    http.add("POST", URL, status=429, headers={"Retry-After": "1"})
    http.add("POST", URL, body="one\n", content_type="text/event-stream")
    assert lines(Bench(), CHANGE) == ["one"]
    http.add(
        "POST", URL, status=404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}
    )
    with pytest.raises(WorkspaceRefused, match="no such model"):
        lines(Bench(), CHANGE)
    http.add("POST", URL, body=HTML, content_type="text/html")
    with pytest.raises(NotAWorkspace, match="Sign in"):
        lines(Bench(), CHANGE)
    http.add("POST", URL, status=401)
    http.add("POST", URL, body="two\n", content_type="text/event-stream")
    assert lines(Bench(auth=Given(renewable=True)), CHANGE) == ["two"]


# On the event loop


async def test_waits_between_attempts_hold_no_thread(http: responses.RequestsMock) -> None:
    """A hundred calls that wait for their second attempt must leave the eight threads to others."""
    before = threading.active_count()
    turns = iter(range(1000))
    waiting = asyncio.Event()

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        if str(request.url).endswith("/quick"):
            return 200, {}, "{}"
        next(turns)
        return 503, {"Retry-After": "3000"}, ""

    http.add_callback("GET", URL, answer)
    http.add_callback("GET", f"{HOST}/quick", answer)
    workspace = Bench().workspace
    calls = [asyncio.create_task(workspace.asked(READ, budget_s=5000.0)) for _ in range(100)]
    try:
        async with asyncio.timeout(30):
            while next(turns) < 100:
                turns = iter(range(len(http.calls), 1000))
                await asyncio.sleep(0.01)
            waiting.set()
            quick = Call(verb="GET", path="/quick", what="something quick")
            assert await workspace.asked(quick, budget_s=5.0) == {}
        assert threading.active_count() - before <= 8
        assert not any(call.done() for call in calls)
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        workspace.close()


async def test_a_closed_workspace_can_be_asked_again(http: responses.RequestsMock) -> None:
    http.add("GET", URL, json={"well": 1})
    workspace = Bench().workspace
    assert await workspace.asked(READ, budget_s=5.0) == {"well": 1}
    workspace.close()
    assert await workspace.asked(READ, budget_s=5.0) == {"well": 1}
    workspace.close()
