"""Does the wire break in each way it promises, and mend again?"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from simulator.wire import Wire

DEADLINE_S = 30.0
SILENCE_S = 0.2
"""How long nothing must come to count as silence: hundreds of times what the wire takes otherwise."""


class Echo:
    """A server that answers with what it gets."""

    def __init__(self) -> None:
        self.port = 0
        self.clients = 0
        self.ended = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        self.ended.set()
        writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    server = await asyncio.start_server(echo.answer, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    echo.close()
    server.close()


@pytest.fixture
async def wire(echo: Echo) -> AsyncIterator[Wire]:
    async with Wire(0, "127.0.0.1", echo.port) as wire:
        yield wire


class Talker:
    """A client of the wire."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, text: bytes) -> bytes:
        self.writer.write(text)
        return await asyncio.wait_for(self.reader.readexactly(len(text)), DEADLINE_S)

    async def silent(self, text: bytes) -> bool:
        """Whether nothing comes back, no end and no reset either."""
        self.writer.write(text)
        try:
            await asyncio.wait_for(self.reader.read(1), SILENCE_S)
        except TimeoutError:
            return True
        return False

    async def ended(self) -> bool:
        """Whether the other side ends the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(1), DEADLINE_S) == b""
        except ConnectionError:
            return True


@pytest.fixture
async def talkers() -> AsyncIterator[list[Talker]]:
    opened: list[Talker] = []
    yield opened
    for talker in opened:
        talker.writer.transport.abort()


async def call(wire: Wire, talkers: list[Talker]) -> Talker:
    talker = Talker(*await asyncio.open_connection(wire.host, wire.port))
    talkers.append(talker)
    return talker


async def test_everything_passes_in_order(wire: Wire, talkers: list[Talker]) -> None:
    talker = await call(wire, talkers)
    text = bytes(range(256)) * 8_000
    assert await talker.say(text) == text
    assert wire.bytes_passed == 2 * len(text)


async def test_an_end_passes_too(wire: Wire, echo: Echo, talkers: list[Talker]) -> None:
    talker = await call(wire, talkers)
    assert await talker.say(b"last") == b"last"
    talker.writer.write_eof()
    assert await talker.ended()
    await asyncio.wait_for(echo.ended.wait(), DEADLINE_S)
    await _drained(wire)


async def _drained(wire: Wire) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while wire.open_links:
        assert time.monotonic() < deadline_s, f"{wire.open_links} connections are still held"
        await asyncio.sleep(0.01)


async def test_cut_ends_everything_and_refuses_until_restored(wire: Wire, talkers: list[Talker]) -> None:
    talker = await call(wire, talkers)
    assert await talker.say(b"one") == b"one"
    port = wire.port
    await wire.cut()
    assert await talker.ended()
    with pytest.raises(ConnectionRefusedError):
        await call(wire, talkers)
    await wire.restore()
    assert wire.port == port
    assert await (await call(wire, talkers)).say(b"two") == b"two"


async def test_black_hole_swallows_without_an_end_and_takes_new_callers(
    wire: Wire, talkers: list[Talker]
) -> None:
    talker = await call(wire, talkers)
    idle = await call(wire, talkers)
    assert await talker.say(b"one") == b"one"
    assert await idle.say(b"one") == b"one"
    await wire.black_hole()
    late = await call(wire, talkers)
    assert await talker.silent(b"two")
    assert await late.silent(b"two")
    assert wire.bytes_swallowed == 6
    await wire.restore()
    assert await talker.ended()  # it lost bytes, so it cannot go on
    assert await late.ended()
    assert await idle.say(b"three") == b"three"  # it lost none
    assert await (await call(wire, talkers)).say(b"four") == b"four"


async def test_half_open_leaves_the_caller_alone_and_serves_new_ones(
    wire: Wire, echo: Echo, talkers: list[Talker]
) -> None:
    talker = await call(wire, talkers)
    assert await talker.say(b"one") == b"one"
    await wire.half_open()
    await asyncio.wait_for(echo.ended.wait(), DEADLINE_S)  # the target knows
    assert await talker.silent(b"two")  # the caller does not
    assert await (await call(wire, talkers)).say(b"three") == b"three"
    await wire.restore()
    assert await talker.ended()


async def test_delay_is_per_chunk_and_not_a_throttle(wire: Wire, talkers: list[Talker]) -> None:
    talker = await call(wire, talkers)
    await wire.delay(0.15)
    started_s = time.monotonic()
    text = b"x" * 1_000_000
    assert await talker.say(text) == text
    took_s = time.monotonic() - started_s
    assert took_s >= 0.3
    assert took_s < 3.0  # a throttle would take 0.15 s for each of some twenty chunks, both ways
    await wire.delay(5.0)
    await wire.restore()
    started_s = time.monotonic()
    await talker.say(b"y")
    assert time.monotonic() - started_s < 5.0
    with pytest.raises(ValueError, match="0 s or more"):
        await wire.delay(-1.0)


async def test_a_target_that_refuses_resets_the_caller(talkers: list[Talker]) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Wire(0, "127.0.0.1", port) as wire:
        assert await (await call(wire, talkers)).ended()


async def test_stop_leaves_nothing_behind(echo: Echo, talkers: list[Talker]) -> None:
    wire = Wire(0, "127.0.0.1", echo.port)
    await wire.start()
    talker = await call(wire, talkers)
    await talker.say(b"one")
    await wire.half_open()
    await wire.stop()
    assert wire.open_links == 0
    assert await talker.ended()
