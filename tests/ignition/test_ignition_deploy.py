"""Pushing to a gateway: what is sent, and every answer that is not the expected one."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

import pytest
import requests
import responses
from responses import matchers

from bridge.errors import AccessDenied, BridgeError, ConfigError, GatewayDown, GatewayRefused, NotAGateway
from bridge.ignition.build import to_zip
from bridge.ignition.deploy import Gateway

URL = "https://gateway:8043"
TOKEN = "bridge:s3cr3t-Value"
FILES = {
    "project.json": b"{}",
    "ignition/timer/T/handleTimerEvent.py": b"def",
    "ignition/timer/T/resource.json": b"{}",
}
ARCHIVE = to_zip(FILES)
TAGS = b'{"tags": []}'
PROJECT = f"{URL}/data/api/v1/projects/import/Lake%20bridge"
IMPORT = f"{URL}/data/api/v1/tags/import"
EXPORT = f"{URL}/data/api/v1/projects/export/Lake%20bridge"


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def held(files: dict[str, bytes]) -> bytes:
    """What a gateway exports: its own signatures in every resource.json."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ignition/", b"")
        for name, data in files.items():
            archive.writestr(name, data if not name.endswith(".json") else b'{"signed": true}')
    return content.getvalue()


def good(wire: responses.RequestsMock, files: dict[str, bytes] | None = None) -> None:
    """A gateway that takes everything."""
    wire.post(
        IMPORT,
        json={"successCount": 3, "failureCount": 0, "failures": []},
        match=[
            matchers.header_matcher(
                {"X-Ignition-API-Token": TOKEN, "Content-Type": "application/octet-stream"}
            ),
            matchers.query_param_matcher(
                {"provider": "default", "type": "json", "collisionPolicy": "Overwrite", "path": ""}
            ),
        ],
    )
    wire.post(
        PROJECT,
        json={},
        match=[
            matchers.header_matcher({"X-Ignition-API-Token": TOKEN, "Content-Type": "application/zip"}),
            matchers.query_param_matcher({"overwrite": "true"}),
        ],
    )
    wire.get(EXPORT, body=held(FILES if files is None else files), content_type="application/zip")


def deploy(gateway: Gateway) -> tuple[int, int | None]:
    done = gateway.deploy("Lake bridge", ARCHIVE, FILES, TAGS, "default")
    return done.project_files, done.tags_imported


def test_tags_then_project_then_read_back(wire: responses.RequestsMock) -> None:
    good(wire)
    assert deploy(Gateway(URL, TOKEN)) == (1, 3)
    assert [call.request.method for call in wire.calls] == ["POST", "POST", "GET"]
    assert wire.calls[0].request.body == TAGS
    assert wire.calls[1].request.body == ARCHIVE


def test_what_the_gateway_holds_is_what_counts(wire: responses.RequestsMock) -> None:
    good(wire, {"project.json": b"{}", "ignition/timer/T/handleTimerEvent.py": b"old"})
    with pytest.raises(
        GatewayRefused, match=r"holds 1 of 1 files otherwise than sent: ignition/timer/T/handle"
    ):
        deploy(Gateway(URL, TOKEN))


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (301, NotAGateway, "redirects to https://other/; give that address"),
        (400, GatewayRefused, "refused to import the project 'Lake bridge' (400): what it says"),
        (401, AccessDenied, "does not know this token (401)"),
        (403, AccessDenied, "does not let this token do that (403)"),
        (404, NotAGateway, "the REST API came with Ignition 8.3"),
        (409, GatewayRefused, "what it says"),
        (413, GatewayRefused, "what it says"),
        (429, GatewayDown, "try again in a moment"),
        (500, GatewayRefused, "what it says"),
        (503, GatewayDown, "is not ready (503)"),
    ],
)
def test_every_answer_has_its_error(
    wire: responses.RequestsMock, status: int, kind: type[BridgeError], said: str
) -> None:
    wire.post(PROJECT, status=status, body="what\n  it says", headers={"Location": "https://other/"})
    with pytest.raises(kind, match=re.escape(said)) as caught:
        Gateway(URL, TOKEN).import_project("Lake bridge", ARCHIVE)
    assert "s3cr3t" not in str(caught.value)
    assert len(wire.calls) == 1  # nothing follows a redirect, and nothing is sent twice


@pytest.mark.parametrize("status", [200, 500])
def test_a_web_page_is_no_answer(wire: responses.RequestsMock, status: int) -> None:
    page = "<html><body>Please log in</body></html>"
    wire.post(PROJECT, status=status, body=page, content_type="text/html; charset=utf-8")
    with pytest.raises((NotAGateway, GatewayRefused), match="a web page") as caught:
        Gateway(URL, TOKEN).import_project("Lake bridge", ARCHIVE)
    assert "<html>" not in str(caught.value)


@pytest.mark.parametrize(
    ("problem", "kind", "said"),
    [
        (requests.exceptions.ConnectTimeout(), GatewayDown, "nothing was sent"),
        (requests.exceptions.ReadTimeout(), GatewayDown, "may have happened all the same"),
        (requests.exceptions.ConnectionError("refused"), GatewayDown, "may have happened all the same"),
        (requests.exceptions.SSLError("self-signed"), AccessDenied, "give the authority with --ca"),
        (requests.exceptions.ChunkedEncodingError("cut"), NotAGateway, "cut"),
    ],
)
def test_every_failure_of_the_wire_has_its_error(
    wire: responses.RequestsMock, problem: Exception, kind: type[BridgeError], said: str
) -> None:
    wire.post(PROJECT, body=problem)
    with pytest.raises(kind, match=said):
        Gateway(URL, TOKEN, timeout_s=1).import_project("Lake bridge", ARCHIVE)


def test_a_gateway_that_nobody_listens_at_is_down() -> None:
    with pytest.raises(GatewayDown, match="cannot import the project"):
        Gateway("http://127.0.0.1:9", TOKEN).import_project("p", ARCHIVE)


def test_tags_that_were_refused_are_named(wire: responses.RequestsMock) -> None:
    wire.post(IMPORT, json={"successCount": 2, "failureCount": 1, "failures": ["R1/Temp: Bad_Failure"]})
    with pytest.raises(GatewayRefused, match=r"took 2 tags and refused 1: R1/Temp: Bad_Failure"):
        deploy(Gateway(URL, TOKEN))
    assert len(wire.calls) == 1  # the project is not sent over tags that are not there


@pytest.mark.parametrize("body", ["[]", "{}", "nonsense", '{"failureCount": "none"}'])
def test_an_answer_of_another_form_is_not_taken_for_success(wire: responses.RequestsMock, body: str) -> None:
    wire.post(IMPORT, body=body, content_type="application/json")
    with pytest.raises(NotAGateway):
        Gateway(URL, TOKEN).import_tags(TAGS, "default")


def test_an_export_that_is_no_zip_is_said_to_be_none(wire: responses.RequestsMock) -> None:
    wire.get(EXPORT, body=b"nothing", content_type="application/zip")
    with pytest.raises(NotAGateway, match="is no zip file"):
        Gateway(URL, TOKEN).compare_project("Lake bridge", FILES)


@pytest.mark.parametrize(
    ("url", "token", "said"),
    [
        ("gateway:8043", TOKEN, "wanted https://host:port"),
        ("ftp://gateway", TOKEN, "wanted https://host:port"),
        ("https://u:p@gateway", TOKEN, "no login in it"),
        ("https://gateway/data/api", TOKEN, "nothing behind it"),
        ("http://gateway:8088", TOKEN, "in the clear"),
        (URL, "", "BRIDGE_IGNITION_TOKEN is not set"),
        (URL, "no-colon", "wanted <name>:<secret>"),
        (URL, "name:se\ncret", "wanted <name>:<secret>"),
    ],
)
def test_nothing_is_sent_with_a_wrong_address_or_token(url: str, token: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        Gateway(url, token)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:8088", "http://127.0.0.1:8088/"])
def test_this_machine_may_be_reached_without_tls(url: str) -> None:
    Gateway(url, TOKEN)
    Gateway("http://gateway:8088", TOKEN, allow_http=True)
