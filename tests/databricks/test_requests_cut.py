"""Deadlines hold against a server that never comes to an end, and nobody waits for an answer that nobody wants."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from bridge.clock import SystemClock
from bridge.databricks.auth import PersonalToken
from bridge.databricks.call import Call
from bridge.databricks.http import Workspace
from bridge.errors import AnswerLost, BridgeError, TryAgain

LOOK = Call(verb="GET", path="/look", what="look", silence_s=120.0)
CHANGE = Call(verb="POST", path="/change", body={}, what="change", silence_s=120.0)


class Trickle:
    """A server of plain sockets: says `first`, then one byte now and then, until the client is gone."""

    def __init__(self) -> None:
        self.first = b"HTTP/1.1 200 OK\r\nX-Slow: "
        self.pause_s = 0.02
        self.heard = threading.Event()
        self.left = threading.Event()
        self._stop = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        self._stop.set()
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                wire, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(wire,), daemon=True).start()

    def _answer(self, wire: socket.socket) -> None:
        with suppress(OSError), wire:
            wire.recv(65_536)
            self.heard.set()
            wire.settimeout(self.pause_s)
            wire.sendall(self.first)
            while not self._stop.is_set():
                try:
                    if not wire.recv(1):
                        break
                except TimeoutError:
                    wire.sendall(b"x")
        self.left.set()


@pytest.fixture
def trickle() -> Iterator[Trickle]:
    server = Trickle()
    yield server
    server.close()


@pytest.fixture
def workspace(trickle: Trickle) -> Iterator[Workspace]:
    made = Workspace(trickle.host, PersonalToken("t", "a test"), SystemClock())
    yield made
    made.close()


BODY_WITHOUT_END = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"a": "'


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nX-Slow: ", BODY_WITHOUT_END, b"HT"])
@pytest.mark.parametrize(("call", "wanted"), [(LOOK, TryAgain), (CHANGE, AnswerLost)])
async def test_a_server_that_sends_a_byte_now_and_then_is_left_at_the_deadline(
    workspace: Workspace, trickle: Trickle, first: bytes, call: Call, wanted: type[BridgeError]
) -> None:
    """No byte is late, and the answer never ends: headers, body, or the very first line."""
    trickle.first = first
    with pytest.raises(wanted):
        await asyncio.wait_for(workspace.asked(call, budget_s=1.5), 30.0)
    assert await asyncio.to_thread(trickle.left.wait, 30.0), (
        "the connection is closed, and its thread is free"
    )


def test_the_deadline_holds_for_whoever_waits_in_a_thread_of_its_own(
    workspace: Workspace, trickle: Trickle
) -> None:
    """A command line has no event loop that could cut."""
    with pytest.raises(TryAgain):
        workspace.ask(LOOK, budget_s=1.5)
    assert trickle.left.wait(30.0)


@pytest.mark.parametrize("pause_s", [0.05, 100.0])
async def test_a_cancelled_question_holds_nobody_up(
    workspace: Workspace, trickle: Trickle, pause_s: float
) -> None:
    """A bridge that is to stop does not wait for the minutes that a model may think."""
    trickle.pause_s = pause_s
    asking = asyncio.create_task(workspace.asked(LOOK, budget_s=120.0))
    assert await asyncio.to_thread(trickle.heard.wait, 30.0)
    threads = workspace._pool()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    began_s = time.monotonic()
    await asyncio.to_thread(threads.shutdown)
    assert time.monotonic() - began_s < 20.0, "what an interpreter waits for when it ends"


async def test_what_was_cut_spoils_nothing_for_the_next(
    workspace: Workspace, answering: Callable[[Trickle], None], trickle: Trickle
) -> None:
    """After eight questions without an end, more than there are threads, the ninth is answered."""
    for _ in range(2):
        asked = [asyncio.create_task(workspace.asked(LOOK, budget_s=1.5)) for _ in range(8)]
        ended = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60.0)
        assert all(isinstance(one, TryAgain) for one in ended)
    answering(trickle)
    assert await workspace.asked(LOOK, budget_s=30.0) == {"ok": True}
    assert await workspace.asked(LOOK, budget_s=30.0) == {"ok": True}


@pytest.fixture
def answering() -> Callable[[Trickle], None]:
    def mend(server: Trickle) -> None:
        server.first = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\nConnection: close\r\n\r\n"
            b'{"ok": true}'
        )
        server.pause_s = 100.0

    return mend
