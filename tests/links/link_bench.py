"""What the tests of links share: a plant in its own process, tags, and a link that runs while it is watched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forks import Forked, Forks

from bridge.domain.limits import WriteLimits
from bridge.domain.reading import Reading
from bridge.domain.tag import DataType, Route, Tag
from bridge.errors import AccessDenied
from bridge.ports import LinkState, LinkStatus, TagLink

NAMESPACE = "urn:ignition-bridge:plant"
SERVER = Path(__file__).with_name("opcua_server.py")
LIMITS = WriteLimits(low=0.0, high=100.0)


class SystemClock:
    """The real time."""

    def now_utc(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()


def tag(
    name: str, data_type: DataType = DataType.DOUBLE, *, limits: WriteLimits | None = None, **changes: Any
) -> Tag:
    """A tag whose address is the node `s=name`."""
    given = {"address": f"s={name}", **changes}
    return Tag(
        path=f"[default]{name}",
        equipment_id="E1",
        link="plant",
        route=Route.OPCUA,
        data_type=data_type,
        limits=limits,
        **given,
    )


CONSTANT = tag("Constant")
FLAG = tag("Flag", DataType.BOOLEAN)
TARGET = tag("Target", DataType.FLOAT, limits=LIMITS)
SWITCH = tag("Switch", DataType.BOOLEAN, limits=WriteLimits(low=0, high=1))
COUNT = tag("Count", DataType.INT16, limits=LIMITS)
READ_ONLY = tag("ReadOnly", DataType.FLOAT, limits=LIMITS)
MISSING = tag("NoSuchNode")
TAGS = (CONSTANT, FLAG, TARGET, SWITCH, COUNT)


def counters(number: int) -> tuple[Tag, ...]:
    """Tags of nodes that count up, one value per step and none left out."""
    return tuple(tag(f"Counter/{n}") for n in range(number))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class PlantProcess:
    """`opcua_server.py` as a process that can be killed, frozen and started again on its port."""

    def __init__(self, forks: Forks, *arguments: str) -> None:
        self.port = free_port()
        self.arguments = arguments
        self._forks = forks
        self._process: Forked | None = None

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Returns when the server answers."""
        assert self._process is None
        self._process = self._forks.start("--port", str(self.port), *self.arguments)
        line = self._line()
        assert line.startswith("ready"), f"server did not start: {line!r}"

    async def started(self) -> None:
        """`start` without holding the event loop up."""
        await asyncio.to_thread(self.start)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.close()
            self._process = None

    def freeze(self) -> None:
        self._alive.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._alive.send_signal(signal.SIGCONT)

    def tell(self, command: str) -> None:
        """Give a command; the server obeys in order."""
        self._alive.stdin.write(f"{command}\n")

    async def writes(self) -> list[tuple[str, Any]]:
        """Every write the server was ever asked for, by node name, refused ones too."""
        self.tell("writes")
        return [(name, value) for name, value in json.loads(await asyncio.to_thread(self._line))]

    @property
    def _alive(self) -> Forked:
        assert self._process is not None
        return self._process

    def _line(self) -> str:
        return self._alive.stdout.readline()


async def until(condition: Callable[[], object], *, within_s: float) -> None:
    """Wait until something holds, or fail."""
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"not within {within_s:g} s"
        await asyncio.sleep(0.01)


class Watched:
    """A link that runs and is consumed; remembers readings and waits for things to become true."""

    def __init__(self, link: TagLink) -> None:
        self.link = link
        self.readings: list[Reading] = []
        self.run_task = asyncio.create_task(link.run())
        self._consumer = asyncio.create_task(self._consume())

    async def _consume(self) -> None:
        async for batch in self.link.readings():
            self.readings.extend(batch)

    @property
    def status(self) -> LinkStatus:
        return self.link.status()

    def of(self, wanted: Tag) -> list[Reading]:
        return [reading for reading in self.readings if reading.tag is wanted]

    async def until(
        self, condition: Callable[[], object], *, within_s: float = 30.0, what: str = ""
    ) -> float:
        """Wait until something holds and say how long that took; fails after `within_s`, or when run() ended."""
        began_s = time.monotonic()
        while not condition():
            if self.run_task.done():
                self.run_task.result()
            assert time.monotonic() - began_s < within_s, (
                f"not within {within_s:g} s: {what}; {self._short()}"
            )
            await asyncio.sleep(0.01)
        return time.monotonic() - began_s

    async def until_flowing(self, *, within_s: float = 30.0) -> float:
        return await self.until(
            lambda: self.status.state is LinkState.FLOWING, within_s=within_s, what="flowing"
        )

    async def until_down(self, *, within_s: float = 30.0) -> float:
        states = (LinkState.DOWN, LinkState.CONNECTING)
        return await self.until(lambda: self.status.state in states, within_s=within_s, what="down")

    async def until_new(self, tags: Sequence[Tag], *, within_s: float = 30.0) -> float:
        """Wait for one further notified reading of each tag."""
        begin = len(self.readings)
        wanted = {t.path for t in tags}
        return await self.until(
            lambda: wanted <= {r.tag.path for r in self.readings[begin:] if not r.confirmed},
            within_s=within_s,
            what="new readings",
        )

    def _short(self) -> str:
        status = self.status
        return f"{status.state}, {status.subscribed}/{status.wanted} subscribed, {status.fresh} fresh, {status.detail}"

    async def stop(self) -> None:
        """Stop both tasks; what run() raised of its own is shown, but for a refusal the test was to cause."""
        for task in (self.run_task, self._consumer):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, AccessDenied):
                await task


@contextlib.asynccontextmanager
async def watched(link: TagLink) -> AsyncIterator[Watched]:
    """Run a link for the length of a block."""
    watching = Watched(link)
    try:
        yield watching
    finally:
        await watching.stop()
