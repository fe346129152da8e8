"""Does the link carry the host's words in the order that edge nodes rely on, with the will in its CONNECT?"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from recording_broker import CONNECT, DISCONNECT, PUBLISH, SUBSCRIBE, RecordingBroker
from sparkplug_edge import tag

from bridge.clock import SystemClock
from bridge.links.sparkplug_link import SparkplugLink
from bridge.settings import SparkplugLinkSettings

STATE = "spBv1.0/STATE/bridge"


@pytest.fixture(params=["3.1.1", "5"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[RecordingBroker]:
    async with RecordingBroker(request.param) as broker:
        yield broker


@contextlib.asynccontextmanager
async def running(broker: RecordingBroker) -> AsyncIterator[None]:
    """A link to the broker; when this ends, it has said goodbye."""
    settings = SparkplugLinkSettings(
        broker=f"mqtt://127.0.0.1:{broker.port}", host_id="bridge", version="5" if broker.five else "3.1.1"
    )
    link = SparkplugLink("edge", settings, [tag("Level")], SystemClock())
    task = asyncio.create_task(link.run())
    try:
        await broker.until(PUBLISH)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_connection_is_clean_and_its_will_is_our_death(broker: RecordingBroker) -> None:
    async with running(broker):
        will = broker.will()
    assert will.clean
    assert not will.expiry_s
    assert (will.topic, will.qos, will.retain) == (STATE, 1, True)
    said = json.loads(will.payload)
    assert said["online"] is False


async def test_the_birth_follows_the_subscriptions_and_is_the_first_word(broker: RecordingBroker) -> None:
    async with running(broker):
        first = await broker.until(PUBLISH)
    kinds = [packet.kind for packet in broker.packets]
    assert kinds[0] == CONNECT
    assert kinds.index(SUBSCRIBE) < kinds.index(PUBLISH)
    subscribed = [topic for packet in broker.packets[: kinds.index(PUBLISH)] for topic in packet.topics]
    assert STATE in subscribed
    assert "spBv1.0/Plant/DDATA/Edge1/+" in subscribed
    assert (first.topics, first.flags) == ((STATE,), 0b0011)  # QoS 1, retain
    said = json.loads(first.payload)
    assert said == {"online": True, "timestamp": json.loads(broker.will().payload)["timestamp"]}


async def test_the_last_word_is_our_death_and_then_the_disconnect(broker: RecordingBroker) -> None:
    async with running(broker):
        pass
    await broker.until(DISCONNECT)
    before, last = broker.packets[-2:]
    assert (before.kind, before.topics, before.flags) == (PUBLISH, (STATE,), 0b0011)
    assert json.loads(before.payload)["online"] is False
    assert last.kind == DISCONNECT


async def test_a_silent_node_is_asked_for_its_birth_with_qos_0_and_not_retained(
    broker: RecordingBroker,
) -> None:
    async with running(broker):
        asked = await broker.until(PUBLISH, "spBv1.0/Plant/NCMD/Edge1")
    assert asked.flags == 0
