"""The HMI's floor: one page that lists what waits, with nothing but starlette, a websocket and psycopg.

The same query at the same rate, pushed whole to everybody; no views, no scripts, no sessions, no Jython.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.stand import connect
from bridge.store import queries

_PAGE: Final = """<!doctype html><meta charset="utf-8"><title>Floor</title><main></main><script>
const main = document.querySelector("main");
const socket = new WebSocket(`ws://${location.host}/feed`);
socket.onopen = () => socket.send(JSON.stringify({t: "hello"}));
socket.onmessage = event => main.replaceChildren(...JSON.parse(event.data).slice(0, 20).map(row => {
  const card = document.createElement("article");
  card.id = "open-" + row.recommendation_id;
  card.textContent = row.equipment_id + ": " + row.recommended_action;
  return card;
}));
</script>"""


class _Feed:
    """What the last poll found, and who wants the next."""

    def __init__(self) -> None:
        self.found = "[]"
        self._changed = asyncio.Condition()

    async def poll(self, url: str, interval_s: float) -> None:
        """Ask for ever, at that rate."""
        statement = queries.load().recommendations.page_of_open.statement
        loop = asyncio.get_running_loop()
        async with await connect(url, name="bare HMI") as connection:
            while True:
                began_s = loop.time()
                rows = await (
                    await connection.execute(statement, {"first_row": 0, "max_rows": 20})
                ).fetchall()
                async with self._changed:
                    self.found = json.dumps(rows, default=str)
                    self._changed.notify_all()
                await asyncio.sleep(max(0.0, began_s + interval_s - loop.time()))

    async def attend(self, connection: WebSocket) -> None:
        """Push every answer to one browser."""
        await connection.accept()
        try:
            await connection.receive_text()
            await connection.send_text(self.found)
            while True:
                async with self._changed:
                    await self._changed.wait()
                await connection.send_text(self.found)
        except WebSocketDisconnect:
            return


async def serve_until_told(url: str, interval_s: float) -> None:
    """Print the address when it can be asked, serve until SIGTERM."""
    feed = _Feed()
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(_PAGE)

    application = Starlette(routes=[Route("/", page), WebSocketRoute("/feed", feed.attend)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="error",
            ws="websockets-sansio",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(server.serve(sockets=[listener])),
        asyncio.create_task(feed.poll(url, interval_s)),
    ]
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    stopping = asyncio.create_task(told.wait())
    await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, stopping):
        task.cancel()
    await asyncio.gather(*tasks, stopping, return_exceptions=True)
    listener.close()
