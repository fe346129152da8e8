"""Who looks at the HMI: a browser, and sessions that speak the browser's side of the websocket without drawing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener

from playwright.async_api import Browser, Error, Page, async_playwright
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from benchmarks.stand import Failed
from simulator.screens import ARGUMENTS, CHROMIUM

FIRST_CARD = '[id^="open-"]'
_WAIT_S = 30.0
# Asked with every picture that the browser draws; a locator's own waiting looks every half a second at last.
_SHOWN = """([selector, text]) => [...document.querySelectorAll(selector)].some(one =>
  (!text || (!one.childElementCount && one.textContent.includes(text))) && one.getClientRects().length > 0)"""

Seen = Callable[[str], bool]
"""Whether a frame shows what is waited for."""


@dataclass(kw_only=True)
class Session:
    """One open page. ``counter``: ids of the components that show how many wait."""

    path: str
    connection: ClientConnection
    counter: frozenset[int] = frozenset()
    frames: int = 0
    characters: int = 0
    _expected: list[tuple[Seen, asyncio.Future[float]]] = field(default_factory=list)

    def expect(self, seen: Seen) -> asyncio.Future[float]:
        """When (monotonic seconds) a frame shows it."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._expected.append((seen, future))
        return future

    def expect_new(self, mark: str) -> asyncio.Future[float]:
        """When the mark itself is drawn; on pages without a list, when the header counts one more."""
        return self.expect(self._counts if self.counter else lambda text: mark in text)

    def _counts(self, text: str) -> bool:
        if not text.startswith('{"t":"patch"'):
            return False
        return any(one["id"] in self.counter and one["k"] == "props.text" for one in json.loads(text)["set"])

    async def listen(self) -> None:
        """Hear every frame until the connection ends."""
        try:
            async for text in self.connection:
                at_s = time.monotonic()
                assert isinstance(text, str)
                self.frames += 1
                self.characters += len(text)
                for entry in [one for one in self._expected if one[0](text)]:
                    self._expected.remove(entry)
                    if not entry[1].done():
                        entry[1].set_result(at_s)
        except ConnectionClosed:
            return

    async def go(self, path: str) -> None:
        """Show another page of the project."""
        arrived = self.expect(lambda text: text.startswith('{"t":"page"'))
        await self.connection.send(json.dumps({"t": "nav", "path": path}))
        await asyncio.wait_for(arrived, _WAIT_S)
        self.path = path


@asynccontextmanager
async def sessions(hmi: str, paths: Sequence[str], *, user: str) -> AsyncIterator[list[Session]]:
    """So many people at the HMI, each logged in and on one of the pages."""
    parts = urlsplit(hmi)
    address = f"ws://{parts.netloc}/data/perspective/socket/{parts.path.strip('/').rsplit('/', 1)[-1]}"
    async with AsyncExitStack() as stack:
        opened = []
        for path in paths:
            cookie = await asyncio.to_thread(_log_in, hmi, user)
            headers = {"Cookie": cookie}
            opened.append(await _open(stack, address, path, headers))
        yield opened


@asynccontextmanager
async def bare_sessions(floor: str, count: int) -> AsyncIterator[list[Session]]:
    """So many websockets of the bare server."""
    async with AsyncExitStack() as stack:
        address = f"ws://{urlsplit(floor).netloc}/feed"
        yield [await _open(stack, address, "", {}) for _ in range(count)]


async def _open(stack: AsyncExitStack, address: str, path: str, headers: dict[str, str]) -> Session:
    connection = await stack.enter_async_context(
        connect(
            address,
            origin=Origin(f"http://{urlsplit(address).netloc}"),
            additional_headers=headers,
            max_size=None,
        )
    )
    hello = {"t": "hello", "path": path, "width": 1280, "height": 800, "tz": "UTC"}
    await connection.send(json.dumps(hello))
    first = await asyncio.wait_for(connection.recv(), _WAIT_S)
    assert isinstance(first, str)
    session = Session(path=path, connection=connection)
    if path and not path.startswith("/recommendations"):
        session.counter = frozenset(_counters(json.loads(first)))
        if not session.counter:
            raise Failed(f"{path} shows no header-waiting; its first frame begins {first[:300]}")
    listening = asyncio.create_task(session.listen(), name=f"session on {path}")

    async def end() -> None:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    stack.push_async_callback(end)
    return session


def _counters(frame: dict[str, Any]) -> Iterator[int]:
    """Ids of what is drawn within the header's place for the number that waits."""
    places = [frame.get("view"), *(dock.get("node") for dock in frame.get("docks", ()))]
    for place in places:
        for node in _below(place):
            if node.get("meta", {}).get("domId") == "header-waiting":
                yield from (one["id"] for one in _below(node))


def _below(node: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if node is not None:
        yield node
        for child in node.get("children", ()):
            yield from _below(child)


def _log_in(hmi: str, user: str) -> str:
    """The cookie of a new session of that user."""
    cookies = CookieJar()
    opener = build_opener(HTTPCookieProcessor(cookies))
    parts = urlsplit(hmi)
    origin = f"{parts.scheme}://{parts.netloc}"
    form = urlencode({"name": user, "password": user, "return": parts.path}).encode()
    with opener.open(hmi, timeout=_WAIT_S):
        pass
    with opener.open(Request(f"{origin}/idp/login", form, {"Origin": origin}), timeout=_WAIT_S):
        pass
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    if not CHROMIUM.exists():
        raise Failed(f"{CHROMIUM} is missing; install the Debian package chromium-headless-shell")
    async with async_playwright() as playwright:
        try:
            running = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            yield running
            await running.close()
        except Error as problem:
            raise Failed(f"the browser: {problem.message}") from problem


@asynccontextmanager
async def page(running: Browser) -> AsyncIterator[Page]:
    """A page of a session of its own, with nothing cached."""
    context = await running.new_context(viewport={"width": 1280, "height": 800})
    opened = await context.new_page()
    opened.set_default_timeout(_WAIT_S * 1e3)
    yield opened
    await context.close()


async def useful_s(opened: Page, address: str) -> float:
    """From the order to go there until the first card can be seen."""
    await opened.goto("about:blank")
    began_s = time.monotonic()
    await opened.goto(address, wait_until="commit")
    await opened.wait_for_function(_SHOWN, arg=[FIRST_CARD, ""])
    return time.monotonic() - began_s


async def seen_at_s(opened: Page, mark: str) -> float:
    """When (monotonic seconds) the text can be seen."""
    await opened.wait_for_function(_SHOWN, arg=["body *", mark])
    return time.monotonic()
