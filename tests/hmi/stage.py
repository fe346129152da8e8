"""A gateway's place for the browser client alone: the test says which frames come and sees which are sent."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

import simulator.gateway.perspective

CLIENT = Path(simulator.gateway.perspective.__file__).parent / "client"
DEADLINE_S = 40.0

Node = dict[str, Any]
Frame = dict[str, Any]

_ids = itertools.count(1)


def node(kind: str, name: str, *children: Node, **scopes: Any) -> Node:
    """A component; ``events`` names its component events, everything unknown is a property."""
    own: Node = {
        key: scopes.pop(key)
        for key in ("position", "meta", "quality", "red", "instance", "defaultSize")
        if key in scopes
    }
    events = {"component": scopes.pop("events", []), "dom": scopes.pop("dom", [])}
    props = {**scopes.pop("props", {}), **scopes}
    plain: Node = {
        "id": next(_ids),
        "type": kind,
        "name": name,
        "props": props,
        "position": {},
        "meta": {},
        "events": events,
        "quality": None,
        "red": None,
        "children": list(children),
    }
    return plain | own


def column(*children: Node, **props: Any) -> Node:
    """A root of a view with these components one below the other."""
    return node("ia.container.flex", "root", *children, direction="column", **props)


class Stage:
    """Serves the client's files and one websocket at a time."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.sent: list[Frame] = []
        self._page: Frame = {}
        self._socket: WebSocket | None = None
        self._change = threading.Condition()
        self._loop = asyncio.new_event_loop()
        routes = [
            Mount("/res/perspective", StaticFiles(directory=CLIENT)),
            Route("/data/perspective/client/{rest:path}", self._index),
            WebSocketRoute("/data/perspective/socket/{project}", self._attend),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            log_level="error",
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="stage", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/data/perspective/client/Probe"

    def set_page(self, view: Node, **more: Any) -> None:
        """What a page is answered when it says hello, and now if there is one."""
        self._page = {"t": "page", "path": "/", "title": "Probe", "theme": "light", "css": "", "view": view}
        self._page |= {"docks": [], "popups": [], "user": "", **more}
        if self._socket is not None:
            self.send(self._page)

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            asyncio.run_coroutine_threadsafe(self._send(frame), self._loop).result(DEADLINE_S)

    def patch(self, *entries: tuple[Node, str, Any]) -> None:
        """One patch frame of (node, key, value)."""
        self.send(
            {"t": "patch", "set": [{"id": one["id"], "k": key, "v": value} for one, key, value in entries]}
        )

    def wait_for(self, **wanted: Any) -> Frame:
        """The first frame from the browser that has all of these entries; an event's fields may be nested."""

        def found() -> Frame | None:
            for frame in self.sent:
                if all(frame.get(key) == value for key, value in wanted.items()):
                    return frame
            return None

        with self._change:
            assert self._change.wait_for(lambda: found() is not None, DEADLINE_S), (wanted, self.sent)
        frame = found()
        assert frame is not None
        return frame

    def wait_for_count(self, kind: str, count: int) -> list[Frame]:
        """All frames of a kind, once so many of them have come."""
        with self._change:
            assert self._change.wait_for(lambda: len(self.all_of(kind)) >= count, DEADLINE_S), self.sent
        return self.all_of(kind)

    def all_of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.sent if frame["t"] == kind]

    def close(self) -> None:
        """Leave as a process that is killed does: nobody is told."""
        self._server.force_exit = True
        self._server.should_exit = True
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        self._listener.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server.serve(sockets=[self._listener]))
        self._loop.close()

    async def _index(self, request: Request) -> Response:
        return FileResponse(CLIENT / "index.html")

    async def _send(self, frame: Frame) -> None:
        assert self._socket is not None
        await self._socket.send_text(json.dumps(frame))

    async def _attend(self, connection: WebSocket) -> None:
        await connection.accept()
        try:
            while True:
                frame = json.loads(await connection.receive_text())
                if frame["t"] == "hello":
                    self._socket = connection
                    await connection.send_text(json.dumps(self._page))
                with self._change:
                    self.sent.append(frame)
                    self._change.notify_all()
        except WebSocketDisconnect:
            self._socket = None


@contextmanager
def staged(close: Callable[[Stage], None] = Stage.close, port: int = 0) -> Iterator[Stage]:
    stage = Stage(port)
    try:
        yield stage
    finally:
        close(stage)
