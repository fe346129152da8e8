"""One connection to a real broker: who may connect, what is acknowledged when, and what a lost wire leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from link_bench import free_port, until
from mqtt_bench import VERSIONS, Broker, connected, ear, wire_to

from bridge.errors import DeadlineExceeded, LinkDown, TryAgain
from bridge.links.mqtt_message import Message, Will
from bridge.links.supervision import NothingSent
from simulator.wire import Wire


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


# --- going to and fro ---


@VERSIONS
async def test_messages_go_to_and_fro_in_order(broker: Broker, version: str) -> None:
    async with connected(broker.url, version=version) as wire:
        heard: list[Message] = []
        wire.on_messages = heard.extend
        assert await wire.subscribe([("to/and/+", 1), ("fro", 0)]) == ["", ""]
        for qos in (0, 1):
            for number in range(100):
                answer = wire.send(f"to/and/{qos}", str(number).encode(), qos=qos)
                if number % 10 == 0:
                    await answer
        await wire.publish("fro", b"last", qos=1)
        await until(lambda: len(heard) == 201, within_s=30)
        for qos in (0, 1):
            found = [m for m in heard if m.topic == f"to/and/{qos}"]
            assert [m.payload for m in found] == [str(n).encode() for n in range(100)]
            assert {m.qos for m in found} == {qos}
        assert [m.qos for m in heard if m.payload == b"last"] == [0]
        assert not any(m.retained or m.duplicate or m.too_long for m in heard)


@VERSIONS
async def test_what_the_broker_kept_is_marked_retained(broker: Broker, version: str) -> None:
    async with connected(broker.url, version=version) as wire:
        heard: list[Message] = []
        wire.on_messages = heard.extend
        await wire.publish("kept/one", b"x", retain=True)
        await wire.subscribe([("kept/#", 1)])
        await wire.publish("kept/one", b"y", retain=True)
        await wire.probe()
        assert [(m.payload, m.retained) for m in heard] == [(b"x", True), (b"y", False)]


async def test_unsubscribed_is_not_heard_any_more(broker: Broker) -> None:
    async with connected(broker.url) as wire:
        heard: list[Message] = []
        wire.on_messages = heard.extend
        await wire.subscribe([("soon/gone", 1)])
        await wire.unsubscribe(["soon/gone"])
        await wire.publish("soon/gone", b"x")
        await wire.probe()
        assert heard == []


@VERSIONS
async def test_fifty_megabytes_are_refused_unread_and_the_rest_goes_on(broker: Broker, version: str) -> None:
    async with (
        connected(broker.url, version=version, max_message_bytes=100_000) as wire,
        connected(broker.url, client_id="big", deadline_s=20) as sender,
    ):
        heard: list[Message] = []
        wire.on_messages = heard.extend
        await wire.subscribe([("big/#", 1)])
        await sender.publish("big/one", bytes(50_000_000))
        await sender.publish("big/two", b"small")
        await until(lambda: len(heard) == 2, within_s=20)
        assert [(m.topic, m.payload) for m in heard] == [("big/one", b""), ("big/two", b"small")]
        assert heard[0].too_long >= 50_000_000
        assert wire.too_long == 1
        assert not wire.lost.is_set()


class Stub:
    """Something that answers a CONNECT of MQTT 3.1.1, and then says what it was told to say."""

    def __init__(self, *says: bytes, answer: bytes = b"\x20\x02\x00\x00") -> None:
        self._says, self._answer = says, answer

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._answer.startswith(b"\x20"):
                await reader.read(1000)
            writer.write(self._answer + b"".join(self._says))
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def test_a_topic_that_is_not_utf8_is_dropped_and_counted() -> None:
    says = (b"\x30\x05\x00\x02\xff\xfe!", b"\x30\x04\x00\x01ab")
    async with Stub(*says) as url:
        wire = wire_to(url, version="3.1.1")
        heard: list[Message] = []
        wire.on_messages = heard.extend
        await wire.connect()
        await until(lambda: heard, within_s=30)
        assert [(m.topic, m.payload) for m in heard] == [("a", b"b")]
        assert wire.unreadable == 1
        wire.cut("over")


@pytest.mark.parametrize("garbage", [b"\x30\xff\xff\xff\xff\xff", b"\xf0\x00", b"\x30\x01\x00"])
async def test_garbage_ends_the_wire_with_words(garbage: bytes) -> None:
    async with Stub(garbage) as url:
        wire = wire_to(url, version="3.1.1")
        with contextlib.suppress(LinkDown):  # it may come together with the answer to CONNECT
            await wire.connect()
        async with asyncio.timeout(30):
            await wire.lost.wait()
        assert "MQTT" in wire.loss or "rotocol" in wire.loss, wire.loss
        wire.cut("over")


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_is_no_broker_is_a_link_that_is_down(greeting: bytes) -> None:
    async with Stub(answer=greeting) as url:
        with pytest.raises(TryAgain):
            await wire_to(url, deadline_s=0.5).connect()


# --- acknowledging ---


@VERSIONS
async def test_what_was_not_acknowledged_comes_again(broker: Broker, version: str) -> None:
    """Three messages, two acknowledged: exactly the third is delivered again, and marked."""
    given: dict[str, Any] = {
        "version": version,
        "client_id": f"kept-{version}",
        "persistent": True,
        "manual_ack": True,
    }
    wire = wire_to(broker.url, **given)
    heard: list[Message] = []
    wire.on_messages = heard.extend
    assert await wire.connect() is False
    await wire.subscribe([("kept/messages", 1)])
    async with connected(broker.url, client_id="sender") as sender:
        for number in range(3):
            await sender.publish("kept/messages", str(number).encode())
        await until(lambda: len(heard) == 3, within_s=30)
        wire.acknowledge(heard[:2])
        await wire.probe()
        wire.cut("killed")
        await sender.publish("kept/messages", b"3")
    again = wire_to(broker.url, **given)
    seen: list[Message] = []
    again.on_messages = seen.extend
    assert await again.connect() is True
    await until(lambda: len(seen) == 2, within_s=30)
    assert [m.payload for m in seen] == [b"2", b"3"]
    assert seen[0].duplicate
    again.acknowledge(seen)
    await again.leave()
    async with connected(broker.url, **{**given, "persistent": False}):
        pass  # a clean start takes the session off the broker


async def test_acknowledgements_leave_in_the_order_of_arrival(broker: Broker) -> None:
    """The second alone is acknowledged: the broker must not hear of it before the first (MQTT 5.0 §4.6)."""
    given: dict[str, Any] = {"client_id": "order", "persistent": True, "manual_ack": True}
    wire = wire_to(broker.url, **given)
    heard: list[Message] = []
    wire.on_messages = heard.extend
    await wire.connect()
    await wire.subscribe([("in/order", 1)])
    for number in range(2):
        await wire.publish("in/order", str(number).encode())
    await until(lambda: len(heard) == 2, within_s=30)
    wire.acknowledge(heard[1:])
    await wire.probe()
    wire.cut("killed")
    again = wire_to(broker.url, **given)
    seen: list[Message] = []
    again.on_messages = seen.extend
    await again.connect()
    await until(lambda: len(seen) == 2, within_s=30)
    again.acknowledge(seen)
    await again.leave()


async def test_the_broker_sends_no_more_ahead_than_it_may(broker: Broker) -> None:
    async with (
        connected(broker.url, client_id="slow", persistent=True, manual_ack=True, receive_maximum=5) as wire,
        connected(broker.url, client_id="fast") as sender,
    ):
        heard: list[Message] = []
        wire.on_messages = heard.extend
        await wire.subscribe([("many", 1)])
        for number in range(20):
            await sender.publish("many", str(number).encode())
        await wire.probe()
        assert len(heard) == 5
        wire.acknowledge(heard[:3])
        await until(lambda: len(heard) >= 8, within_s=30)  # mosquitto 2.0.11 forgets the limit from here on


# --- losing the wire ---


@VERSIONS
async def test_the_will_is_published_after_a_cut_and_not_after_a_farewell(
    broker: Broker, version: str
) -> None:
    will = Will(topic=f"will/{version}", payload=b"gone", qos=1, retain=True)
    async with ear(broker.url, f"will/{version}") as listening:
        wire = wire_to(broker.url, version=version, will=will)
        await wire.connect()
        await wire.leave([(will.topic, b"farewell", 1, True)])
        wire = wire_to(broker.url, version=version, will=will)
        await wire.connect()
        wire.cut("killed")
        await until(lambda: len(listening.heard) == 2, within_s=30)
        assert [m.payload for m in listening.heard] == [b"farewell", b"gone"]


async def test_a_lost_broker_ends_what_waits_and_nothing_more_is_taken(
    brokers: Callable[..., Broker],
) -> None:
    broker = brokers()
    wire = wire_to(broker.url)
    lost: list[str] = []
    wire.on_lost = lambda: lost.append(wire.loss)
    await wire.connect()
    broker.freeze()
    probing = asyncio.create_task(wire.probe())
    answer = wire.send("a", b"b", qos=1)
    await asyncio.sleep(0.1)
    wire.cut("that is enough")
    with pytest.raises(LinkDown, match="that is enough"):
        await probing
    with pytest.raises(LinkDown):
        await answer
    for qos in (0, 1):
        with pytest.raises(NothingSent):
            wire.send("a", b"b", qos=qos)
    for step in (wire.probe, lambda: wire.publish("a", b"b"), lambda: wire.subscribe([("a", 0)])):
        with pytest.raises(NothingSent):
            await step()
    assert lost == ["that is enough"]
    broker.thaw()


async def test_a_silent_broker_is_noticed(brokers: Callable[..., Broker]) -> None:
    broker = brokers()
    wire = wire_to(broker.url, keepalive_s=1, deadline_s=3.0)
    await wire.connect()
    await asyncio.sleep(2.2)
    assert not wire.lost.is_set(), "the beat must keep a wire alive on which nobody speaks"
    broker.freeze()
    async with asyncio.timeout(30):
        await wire.lost.wait()
    assert "silent" in wire.loss
    broker.thaw()


async def test_a_frozen_broker_exceeds_the_deadline_of_each_step(brokers: Callable[..., Broker]) -> None:
    broker = brokers()
    wire = wire_to(broker.url, deadline_s=1.5)
    await wire.connect()
    broker.freeze()
    for step in (
        lambda: wire.publish("a", b"b"),
        lambda: wire.subscribe([("a", 0)]),
        lambda: wire_to(broker.url, deadline_s=1.5).connect(),
    ):
        with pytest.raises(DeadlineExceeded, match=r"within 1\.5 s"):
            await step()
    wire.cut("over")
    broker.thaw()


async def test_no_more_is_sent_than_the_broker_takes_at_once(brokers: Callable[..., Broker]) -> None:
    """mosquitto takes 20 unacknowledged messages; the 21st is refused and not kept for later."""
    broker = brokers()
    async with ear(broker.url, "commands") as listening, connected(broker.url) as wire:
        broker.freeze()
        for number in range(20):
            wire.send("commands", str(number).encode(), qos=1)
        with pytest.raises(NothingSent, match="no more than 20"):
            wire.send("commands", b"too many", qos=1)
        broker.thaw()
        await until(lambda: len(listening.heard) == 20, within_s=30)
        await wire.publish("commands", b"room again")
        await until(lambda: len(listening.heard) == 21, within_s=30)
        assert listening.heard[-1].payload == b"room again"


@VERSIONS
async def test_another_client_with_our_id_ends_the_wire(broker: Broker, version: str) -> None:
    wire = wire_to(broker.url, version=version, client_id="twin")
    await wire.connect()
    async with connected(broker.url, client_id="twin"), asyncio.timeout(30):
        await wire.lost.wait()


async def test_the_brokers_own_word_for_the_end_is_kept() -> None:
    async with Stub(b"\xe0\x02\x8e\x00", answer=b"\x20\x03\x00\x00\x00") as url:
        wire = wire_to(url)
        with contextlib.suppress(LinkDown):
            await wire.connect()
        async with asyncio.timeout(30):
            await wire.lost.wait()
        assert "another client has our client_id" in wire.loss


async def test_a_broker_that_is_not_there_is_a_link_that_is_down() -> None:
    with pytest.raises(LinkDown, match="could not connect"):
        await wire_to(f"mqtt://127.0.0.1:{free_port()}").connect()


async def test_what_was_not_sent_never_arrives_after_a_cut(broker: Broker) -> None:
    async with Wire(0, "127.0.0.1", broker.port) as proxy, ear(broker.url, "never") as listening:
        wire = wire_to(f"mqtt://127.0.0.1:{proxy.port}")
        await wire.connect()
        await proxy.delay(0.5)
        wire.send("never", b"x", qos=1)
        wire.cut("too late")
        await asyncio.sleep(1.0)  # longer than the proxy holds it
        await listening.wire.probe()
        assert listening.heard == []
