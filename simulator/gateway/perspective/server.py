"""The preview's web server: the client's files, the login page, and a websocket for each open page.

It listens on 127.0.0.1 only. A websocket is taken from pages of this very server and no other.
"""

from __future__ import annotations

import asyncio
import html
import json
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from simulator.gateway.perspective.frames import shortened
from simulator.gateway.perspective.preview import Preview
from simulator.gateway.perspective.sessions import ENDED, Session

CLIENT: Final = Path(__file__).parent / "client"
COOKIE: Final = "perspective-session"
_FRAME_LIMIT: Final = 1024 * 1024
_FORM_LIMIT: Final = 16_384
_HELLO_S: Final = 10.0
_REFUSED: Final = 1008
_log = logging.getLogger("gateway.perspective")


class PreviewServer:
    """``open`` binds the port, ``run`` serves until cancelled, ``close`` ends what is left."""

    def __init__(self, preview: Preview, *, port: int) -> None:
        self._preview = preview
        self._port = port
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._refused_logins = 0
        self.beat_s = 5.0
        """How often a browser hears that the wire is alive; it gives up after a little more than two."""

    def open(self) -> str:
        """Bind 127.0.0.1; gives the address of the project's start page."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self._port))
        self._socket.listen(128)  # who comes before run() waits, instead of being refused
        self._port = self._socket.getsockname()[1]
        return f"http://127.0.0.1:{self._port}{self._home}"

    @property
    def _home(self) -> str:
        return f"/data/perspective/client/{quote(self._preview.name)}/"

    async def run(self) -> None:
        """Serve until cancelled."""
        assert self._socket is not None, "open it first"
        config = uvicorn.Config(
            self._application(),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=_FRAME_LIMIT,
            ws_per_message_deflate=False,  # the browser is on this machine
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._server.should_exit = True

    async def close(self) -> None:
        """Let go of the port."""
        if self._server is not None:
            self._server.should_exit = True
        if self._socket is not None:
            self._socket.close()

    def _application(self) -> Starlette:
        name = self._preview.name
        return Starlette(
            routes=[
                Route("/", self._to_home),
                Route(f"/data/perspective/client/{name}", self._to_home),
                Route(f"/data/perspective/client/{name}/{{path:path}}", self._page),
                Mount("/res/perspective", StaticFiles(directory=CLIENT)),
                Route("/idp/login", self._login_form, methods=["GET"]),
                Route("/idp/login", self._login, methods=["POST"]),
                WebSocketRoute(f"/data/perspective/socket/{name}", self._websocket),
            ]
        )

    # ── pages ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _to_home(self, _: Request) -> Response:
        return RedirectResponse(self._home)

    async def _page(self, request: Request) -> Response:
        if not self._own_host(request):
            return PlainTextResponse("this address is served at 127.0.0.1 only", status_code=403)
        index = CLIENT / "index.html"
        if not index.is_file():
            return PlainTextResponse("the client is not installed: index.html is missing", status_code=500)
        response = FileResponse(index, headers={"Cache-Control": "no-store"})
        session = self._preview.session(request.cookies.get(COOKIE))
        if session is None:
            self._hand_cookie(response, self._preview.open_session())
        return response

    def _hand_cookie(self, response: Response, session: Session) -> None:
        response.set_cookie(COOKIE, session.cookie, httponly=True, samesite="lax", path="/")

    def _own_host(self, connection: HTTPConnection) -> bool:
        """A name other than the loopback's, led here by DNS, is not ours."""
        host = urlsplit(f"//{connection.headers.get('host', '')}").hostname
        return host in ("127.0.0.1", "localhost")

    def _own_origin(self, connection: HTTPConnection) -> bool:
        origin = urlsplit(connection.headers.get("origin", ""))
        same = origin.netloc == connection.headers.get("host")
        return origin.scheme == "http" and same and self._own_host(connection)

    # ── login ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _login_form(self, request: Request) -> Response:
        return _form(self._return_path(request.query_params.get("return", "")))

    async def _login(self, request: Request) -> Response:
        if not self._own_origin(request):
            return PlainTextResponse("a login comes from this server's own form only", status_code=403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _FORM_LIMIT:
                return PlainTextResponse("the form is too large", status_code=413)
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        name, password = form.get("name", [""])[0], form.get("password", [""])[0]
        target = self._return_path(form.get("return", [""])[0])
        user = self._preview.users.check(name, password)
        if user is None:
            self._refused_logins += 1
            await asyncio.sleep(0.3)  # slows down guessing
            return _form(target, name=name, wrong=True)
        session = self._preview.session(request.cookies.get(COOKIE)) or self._preview.open_session()
        session.renew(user)
        response = RedirectResponse(target, status_code=303)
        self._hand_cookie(response, session)
        return response

    def _return_path(self, text: str) -> str:
        """Where to go after the login: a page of this project, and nowhere else."""
        parts = urlsplit(text)
        if parts.scheme or parts.netloc or "\\" in text or not text.startswith(self._home):
            return self._home
        return text

    # ── websocket ─────────────────────────────────────────────────────────────────────────────────────────

    async def _websocket(self, socket: WebSocket) -> None:
        if not self._own_origin(socket):
            _log.warning("a websocket from %r was refused", socket.headers.get("origin"))
            await socket.close(_REFUSED)
            return
        session = self._preview.session(socket.cookies.get(COOKIE))
        await socket.accept()
        if session is None:
            await _say_closed(socket, "The session has ended. Load the page again.")
            return
        try:
            async with asyncio.timeout(_HELLO_S):
                hello = _message(await socket.receive_text())
            if hello is None or hello.get("t") != "hello":
                await socket.close(_REFUSED)
                return
        except (WebSocketDisconnect, TimeoutError, KeyError):
            return
        if session.closed:  # while it said hello
            await _say_closed(socket, ENDED)
            return
        page = session.page_for(hello)
        number = page.attach()
        reading = asyncio.create_task(_read(socket, page.receive))
        writing = asyncio.create_task(_write(socket, partial(page.take, number)))
        replaced = asyncio.create_task(page.detached(number))
        beating = asyncio.create_task(_beat(socket, self.beat_s))
        tasks = (reading, writing, replaced, beating)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):  # the browser comes again; the page is still there
                    _log.error("the websocket of page %s failed", page.id, exc_info=ended)
            page.detach(number)


class _Server(uvicorn.Server):
    """Signals belong to the gateway, not to the web server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _read(socket: WebSocket, receive: Callable[[dict[str, Any]], None]) -> None:
    while True:
        try:
            text = await socket.receive_text()
        except KeyError:
            _log.warning("a binary frame was refused")
            continue
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: closed by our own side meanwhile
            return
        message = _message(text)
        if message is None:
            _log.warning("a frame that is no JSON object was refused: %s", shortened(text))
        else:
            receive(message)


async def _write(socket: WebSocket, take: Callable[[], Awaitable[list[dict[str, Any]] | None]]) -> None:
    """One frame after the other; while the browser is slow the outbox gathers, it does not grow."""
    while (frames := await take()) is not None:
        for frame in frames:
            text = json.dumps(frame, separators=(",", ":"), default=str)
            try:
                await socket.send_text(text)
                if frame["t"] == "closed":
                    await socket.close()
                    return
            except (WebSocketDisconnect, RuntimeError):
                return


async def _beat(socket: WebSocket, period_s: float) -> None:
    """A sign of life: to a browser whose wire hangs, an old page would look like a calm plant."""
    while True:
        await asyncio.sleep(period_s)
        try:
            await socket.send_text('{"t":"beat"}')
        except (WebSocketDisconnect, RuntimeError):
            return


async def _say_closed(socket: WebSocket, why: str) -> None:
    try:
        await socket.send_text(json.dumps({"t": "closed", "why": why}))
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):
        return


def _message(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _form(target: str, *, name: str = "", wrong: bool = False) -> Response:
    """The login page. Everything that came from outside is escaped."""
    problem = '<p role="alert" id="login-error">User name or password is wrong.</p>' if wrong else ""
    nonce = secrets.token_urlsafe(12)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style nonce="{nonce}">
body {{ font: 16px/1.5 system-ui, sans-serif; background: #e8eaec; color: #22272c; margin: 0;
  display: grid; place-items: center; min-height: 100vh }}
main {{ background: #fff; border: 1px solid #b9c0c7; border-radius: 6px; padding: 24px 32px; width: 320px }}
h1 {{ font-size: 20px; margin: 0 0 16px }} label {{ display: block; margin-top: 12px }}
input {{ font: inherit; width: 100%; box-sizing: border-box; padding: 8px; border: 1px solid #6b7681;
  border-radius: 4px }}
button {{ font: inherit; margin-top: 20px; width: 100%; padding: 10px; background: #22577a; color: #fff;
  border: 0; border-radius: 4px }} [role=alert] {{ color: #9b1c1c; margin: 0 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #16191c; color: #e3e6e9 }}
  main {{ background: #22272c; border-color: #4a535c }}
  input {{ background: #16191c; color: #e3e6e9 }} [role=alert] {{ color: #ff9c9c }} }}
</style></head><body><main><h1>Log in</h1>{problem}
<form method="post" action="/idp/login">
<input type="hidden" name="return" value="{html.escape(target, quote=True)}">
<label>User <input name="name" id="login-name" autocomplete="username" required autofocus
 value="{html.escape(name, quote=True)}"></label>
<label>Password <input name="password" id="login-password" type="password" autocomplete="current-password"
 required></label>
<button id="login-submit">Log in</button></form></main></body></html>"""
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'"
    return HTMLResponse(
        page,
        status_code=401 if wrong else 200,
        headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
    )
