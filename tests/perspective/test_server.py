"""Does the websocket refuse what no browser of ours sends, and stay of use to the page behind it?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from perspective.perspective_stand import Json, Stand, button, label, named, part, script, view
from simulator.gateway.perspective.pages import Page
from simulator.gateway.perspective.security import DEMO_USERS
from simulator.gateway.perspective.server import COOKIE, PreviewServer
from simulator.gateway.perspective.sessions import Session

HELLO: Json = {"t": "hello", "path": "/", "width": 1280, "height": 800, "tz": "UTC"}


def home() -> Json:
    return view(
        button("Go", script("go")),
        label("Text"),
        part("ia.input.text-field", "Field", {"text": "before"}),
        part("ia.display.table", "Table", {"data": [{"a": 1}]}),
    )


class Line:
    """A preview that is served, and websockets to it."""

    def __init__(self, stand: Stand, address: str) -> None:
        self.stand = stand
        self.origin = address.partition("/data/")[0]
        self.session: Session = stand.preview.open_session()

    def open(self, at: str = "") -> connect:
        cookie = f"{COOKIE}={self.session.cookie}"
        address = f"{(at or self.origin).replace('http', 'ws', 1)}/data/perspective/socket/Probe"
        return connect(address, origin=Origin(self.origin), additional_headers={"Cookie": cookie})

    @asynccontextmanager
    async def page(self, hello: Json = HELLO) -> AsyncIterator[tuple[ClientConnection, Page]]:
        async with self.open() as wire:
            await wire.send(json.dumps(hello))
            first = await heard(wire)
            assert first["t"] == "page"
            yield wire, self.session.pages[first["page"]]


async def heard(wire: ClientConnection) -> Json:
    found: Json = json.loads(await asyncio.wait_for(wire.recv(), 5))
    return found


async def ended(wire: ClientConnection) -> None:
    """Hear until the wire is cut; raises ``ConnectionClosed``."""
    while True:
        await heard(wire)


async def sent_whole(wire: ClientConnection, text: str) -> None:
    await wire.send(text)
    await ended(wire)


@asynccontextmanager
async def served(*, beat_s: float = 5.0) -> AsyncIterator[Line]:
    stand = Stand({"Home": home()})
    server = PreviewServer(stand.preview, port=0)
    server.beat_s = beat_s
    address = server.open()
    running = asyncio.create_task(server.run())
    try:
        yield Line(stand, address)
    finally:
        await stand.preview.close()
        running.cancel()
        await asyncio.wait({running}, timeout=10)
        await server.close()


async def still_works(line: Line, wire: ClientConnection, page: Page) -> None:
    """A press on the same connection still reaches the script."""
    ran = len(line.stand.scripts.ran)
    event = {
        "t": "event",
        "id": named(page, "Go")["id"],
        "category": "component",
        "name": "onActionPerformed",
    }
    await wire.send(json.dumps(event))
    for _ in range(3000):
        if len(line.stand.scripts.ran) > ran:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the page is dead")


DEEP: Any = "x"
for _ in range(500):
    DEEP = [DEEP]


async def test_garbage_is_refused_and_logged_and_the_page_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as line, line.page() as (wire, page):
        ids = {name: named(page, name)["id"] for name in ("Go", "Text", "Field", "Table")}
        garbage: list[str | bytes] = [
            "",
            "{",
            "[]",
            "null",
            "[" * 100_000,
            b"\x00\xff",
            '{"t": "set", "id": ' + "9" * 5000 + "}",
            *map(
                json.dumps,
                [
                    {"t": "event", "id": 10**9, "category": "component", "name": "onActionPerformed"},
                    {"t": "event", "id": True, "category": "component", "name": "onActionPerformed"},
                    {"t": "event", "id": ids["Go"], "category": "a\nb", "name": "\ud800"},
                    {"t": "set", "id": ids["Text"], "path": "props.text", "value": "x"},
                    {"t": "set", "id": ids["Field"], "path": "props.text", "value": DEEP},
                    {"t": "set", "id": ids["Field"], "path": "props.text\n[", "value": "x"},
                    {"t": "set", "id": ids["Table"], "path": "props.selection.data", "value": "x"},
                    {"t": "set", "id": ids["Table"], "path": "props.selection.data", "value": [0] * 9999},
                    {"t": "set", "id": ids["Table"], "path": "props.selection.data", "value": [DEEP]},
                    {"t": "set", "id": ids["Table"], "path": "props.pager.activePage", "value": "x"},
                    {"t": "set", "id": ids["Table"], "path": "props.filter.text", "value": 7},
                    {"t": "popup-closed", "id": "none"},
                    {"t": "nav", "path": "/" + "x" * 5000},
                    {"t": "nav", "path": None},
                    {"t": "hello"},
                    {},
                ],
            ),
        ]
        before = page.session.components[ids["Table"]].tree.scopes
        for one in garbage:
            caplog.clear()
            await wire.send(one)
            await still_works(line, wire, page)
            told = [record.getMessage() for record in caplog.records]
            assert any("refused" in text for text in told), one
            assert all("\n" not in text and len(text) < 400 for text in told), told
            assert not [record for record in caplog.records if record.exc_info], told
        assert page.session.components[ids["Table"]].tree.scopes == before
        assert page.path == "/"


async def test_a_huge_frame_ends_its_connection_and_not_the_page() -> None:
    async with served() as line:
        async with line.page() as (wire, page):
            with pytest.raises(ConnectionClosed):
                await sent_whole(wire, "x" * (2 * 1024 * 1024))
        async with line.page({**HELLO, "page": page.id}) as (wire, again):
            assert again is page
            await still_works(line, wire, again)


@pytest.mark.parametrize("hello", ["{", "[]", '{"t": "nav"}', b"\x00", '{"t": "hello"'])
async def test_who_does_not_say_hello_gets_no_page(hello: str | bytes) -> None:
    async with served() as line, line.open() as wire:
        await wire.send(hello)
        with pytest.raises(ConnectionClosed):
            await heard(wire)
        assert line.session.pages == {}


async def test_what_a_browser_says_of_itself_is_not_believed() -> None:
    odd = {**HELLO, "width": DEEP, "height": "8", "tz": ["x"], "page": {"a": 1}}
    async with served() as line, line.page(odd):
        device = line.session.tree.get(("props", "device"))
        assert device == {"width": None, "height": None, "timezone": None}


async def test_a_session_that_ends_before_the_hello_gets_no_page() -> None:
    async with served() as line, line.open() as wire:
        await asyncio.sleep(0.05)
        line.session.end("over")
        await wire.send(json.dumps(HELLO))
        assert (await heard(wire))["t"] == "closed"
        assert line.session.pages == {}


async def test_a_failure_of_our_own_is_logged_and_the_browser_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as line:
        async with line.page() as (wire, page):
            with monkeypatch.context() as patched:
                patched.setattr(page.actions, "event", None)
                event = {"t": "event", "id": named(page, "Go")["id"], "category": "dom", "name": "x"}
                await wire.send(json.dumps(event))
                with pytest.raises(ConnectionClosed):
                    await ended(wire)
        failed = [one.getMessage() for one in caplog.records if one.exc_info]
        assert failed == [f"the websocket of page {page.id} failed"]
        async with line.page({**HELLO, "page": page.id}) as (wire, again):
            await still_works(line, wire, again)


async def test_two_connections_to_one_page_the_later_one_has_it() -> None:
    async with (
        served() as line,
        line.page() as (first, page),
        line.page({**HELLO, "page": page.id}) as (second, again),
    ):
        assert again is page
        with pytest.raises(ConnectionClosed):
            await ended(first)
        await still_works(line, second, page)


async def test_a_large_login_form_is_not_read_to_its_end() -> None:
    async with served() as line:
        host = line.origin.removeprefix("http://")
        address, _, port = host.partition(":")
        reader, writer = await asyncio.open_connection(address, int(port))
        head = f"POST /idp/login HTTP/1.1\r\nHost: {host}\r\nOrigin: {line.origin}\r\nContent-Length: 900000000\r\n\r\n"
        writer.write(head.encode() + b"x" * 100_000)
        answer = await asyncio.wait_for(reader.readline(), 5)
        assert b" 413 " in answer
        writer.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://{host}"])
async def test_a_websocket_of_another_place_is_refused(origin: str) -> None:
    async with served() as line:
        host = line.origin.removeprefix("http://")
        line.origin, address = origin.format(host=host), line.origin
        with pytest.raises(InvalidStatus):
            async with line.open(at=address):
                pytest.fail("it was let in")


async def test_a_quiet_page_hears_that_its_wire_is_alive() -> None:
    async with served(beat_s=0.02) as line, line.page() as (wire, _):
        while (await heard(wire))["t"] != "beat":
            pass


async def test_who_knew_the_cookie_before_a_login_is_not_logged_in_with_it() -> None:
    """A cookie planted in somebody's browser must not become theirs when they log in."""
    async with served() as line, line.page() as (wire, _):
        planted = line.session.cookie
        line.session.renew(DEMO_USERS[0])
        with pytest.raises(ConnectionClosed):
            await ended(wire)
        assert line.session.cookie != planted
        async with connect(
            line.origin.replace("http", "ws", 1) + "/data/perspective/socket/Probe",
            origin=Origin(line.origin),
            additional_headers={"Cookie": f"{COOKIE}={planted}"},
        ) as late:
            assert (await heard(late))["t"] == "closed"
        async with line.page() as (_, page):
            assert page.session.user_name == "operator"
