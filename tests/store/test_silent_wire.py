"""Does a wire that swallows packets show as a database that is away, soon, and mend itself?"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from bridge.errors import StoreDown
from bridge.store import queries
from bridge.store.connection import Database
from simulator.wire import Wire

DETECTED_WITHIN_S = 8.0


async def test_an_answer_that_never_comes_is_noticed_and_the_next_call_works(database_url: str) -> None:
    """With the wire black, a call must end as StoreDown within its limit; with the wire back, the next one answers."""
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    named = queries.load()
    async with Wire(0, parts.hostname, parts.port) as wire:
        url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{wire.port}").geturl()
        database = Database(url, role=None, size=2, connect_timeout_s=2.0, statement_timeout_s=0.5)
        await database.open()
        try:
            assert await database.fetch(named.control.get_control)
            await wire.black_hole()
            began_s = time.monotonic()
            with pytest.raises(StoreDown):
                await database.fetch(named.control.get_control)
            assert time.monotonic() - began_s < DETECTED_WITHIN_S
            await wire.restore()
            for _ in range(20):
                try:
                    assert await database.fetch(named.control.get_control)
                    break
                except StoreDown:
                    continue
            else:
                pytest.fail("the database is back and no call gets through")
        finally:
            await database.close()


async def test_connections_that_died_with_the_wire_are_not_waited_for_one_by_one(database_url: str) -> None:
    """Old connections are dead, new ones work: after the first silence the very next call has to get through."""
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    named = queries.load()
    async with Wire(0, parts.hostname, parts.port) as wire:
        url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{wire.port}").geturl()
        database = Database(url, role=None, size=4, connect_timeout_s=2.0, statement_timeout_s=0.5)
        await database.open()
        try:
            async with AsyncExitStack() as held:
                for _ in range(4):
                    await held.enter_async_context(database.session("hold"))
            accepted = wire.accepted
            await wire.half_open()
            with pytest.raises(StoreDown):
                await database.fetch(named.control.get_control)
            began_s = time.monotonic()
            assert await database.fetch(named.control.get_control)
            assert time.monotonic() - began_s < 2.0, "another dead connection was waited for"
            assert wire.accepted > accepted
        finally:
            await database.close()


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `asyncio.wait_for` loses it in the driver: the caller has to end all the same."""
    asked = asyncio.Event()

    async def deaf(*_: object, **__: object) -> list[object]:
        asked.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return []
        return []

    named = queries.load()
    database = Database(database_url, role=None, size=1, connect_timeout_s=2.0, statement_timeout_s=0.5)
    await database.open()
    try:
        monkeypatch.setattr("bridge.store.connection.run", deaf)
        caller = asyncio.create_task(database.fetch(named.control.get_control))
        await asked.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    finally:
        await database.close()
