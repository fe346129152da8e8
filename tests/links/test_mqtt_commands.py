"""Commands on plain topics: which configurations are refused, what waits its turn, and what a confirmation is worth."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from link_bench import LIMITS, tag, watched
from mqtt_bench import VERSIONS, Broker, Ear, connected, ear, plain_link
from mqtt_paper import OTHER, TARGET, Device

from bridge.domain.reading import Quality
from bridge.domain.tag import DataType, Tag
from bridge.errors import ConfigError
from bridge.links.mqtt_message import Message
from bridge.ports import LinkState, WriteOutcome, WriteResult
from simulator.wire import Wire


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


def at(address: str, name: str = "T") -> Tag:
    return tag(name, DataType.FLOAT, limits=LIMITS, address=address)


# --- configurations ---


@pytest.mark.parametrize(
    ("tags", "given", "words"),
    [
        ((at("a"),), {"command_topic": "{topic}"}, r"T: its command topic a is the value topic of .*T too"),
        ((at("a"), tag("V", address="a/set")), {}, r"command topic a/set is the value topic of .*V too"),
        (
            (at("a"), at("b", "U")),
            {"command_topic": "a/confirmed", "payload": "raw"},
            r"T: its command topic a/confirmed is the confirmation topic of .*T too",
        ),
        (
            (at("a"), at("b", "U")),
            {"command_topic": "set"},
            r"U: command topic set and path value are those of .*T",
        ),
        ((at("a"), at("a#value", "U")), {}, r"U: command topic a/set and path value are those of .*T"),
        ((at("a"), at("a", "U")), {"payload": "raw"}, r"U: command topic a/set are those of .*T"),
    ],
)
def test_what_would_move_the_wrong_device_or_confirm_itself_is_refused(
    tags: Sequence[Tag], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        plain_link("mqtt://localhost", *tags, **given)


def test_set_points_of_one_topic_with_paths_of_their_own_are_fine() -> None:
    plain_link("mqtt://localhost", at("a#x.y"), at("a#x.z", "U"), tag("V", address="a"))
    plain_link("mqtt://localhost", at("a"), tag("V", address="a/confirmed"))


@VERSIONS
@pytest.mark.parametrize("no_local", [True, False])
async def test_what_we_publish_does_not_come_back_where_the_protocol_can_do_so(
    broker: Broker, version: str, no_local: bool
) -> None:
    async with connected(broker.url, version=version, no_local=no_local) as wire:
        heard: list[Message] = []
        wire.on_messages = heard.extend
        assert await wire.subscribe([("own/echo", 1)]) == [""]
        await wire.publish("own/echo", b"x")
        await wire.probe()
        assert len(heard) == (0 if no_local and version == "5" else 1)


# --- more at once than the broker takes ---


def _confirming(listening: Ear) -> None:
    """Let an ear be the device behind all topics it hears."""

    def answer(messages: Sequence[Message]) -> None:
        listening.heard.extend(messages)
        for message in messages:
            said = json.loads(message.payload)
            words = {"id": said["id"], "value": said["value"], "accepted": True}
            topic = message.topic.removesuffix("/set")
            listening.wire.send(f"{topic}/confirmed", json.dumps(words).encode())

    listening.wire.on_messages = answer


@pytest.mark.parametrize("together", [True, False], ids=["in one call", "in many"])
async def test_more_commands_than_the_broker_takes_at_once_wait_their_turn(
    broker: Broker, together: bool
) -> None:
    """mosquitto takes 20 on MQTT 5."""
    tags = [at(f"many/{number}", f"T{number}") for number in range(70)]
    async with (
        ear(broker.url, "many/+/set") as device,
        watched(plain_link(broker.url, *tags)) as watching,
    ):
        _confirming(device)
        await watching.until(lambda: watching.status.state is LinkState.DEGRADED)
        writes = [(target, 1.0) for target in tags]
        if together:
            outcomes = await watching.link.write(writes, deadline_s=20)
        else:
            calls = [watching.link.write([write], deadline_s=20) for write in writes]
            outcomes = [outcome for (outcome,) in await asyncio.gather(*calls)]
        assert [o.result for o in outcomes] == [WriteResult.ACCEPTED] * 70
        assert sorted(message.topic for message in device.heard) == sorted(f"{t.address}/set" for t in tags)


async def test_what_never_has_its_turn_is_not_sent(broker: Broker) -> None:
    tags = [at(f"stuck/{number}", f"T{number}") for number in range(25)]
    async with (
        Wire(0, "127.0.0.1", broker.port) as wire,
        ear(broker.url, "stuck/+/set") as device,
        watched(plain_link(f"mqtt://127.0.0.1:{wire.port}", *tags)) as watching,
    ):
        await watching.until(lambda: watching.status.state is LinkState.DEGRADED)
        await wire.black_hole()
        outcomes = await watching.link.write([(target, 1.0) for target in tags], deadline_s=0.5)
        assert [o.result for o in outcomes] == [WriteResult.UNKNOWN] * 20 + [WriteResult.NOT_SENT] * 5
        assert "takes no more at once" in outcomes[-1].detail
        await wire.restore()
        await watching.until(lambda: watching.status.reconnects == 1)
        await device.wire.probe()
        assert len(device.heard) <= 20


# --- a busy loop at the deadline ---


def _keep_busy(seconds: float) -> None:
    time.sleep(seconds)


async def _write_in_a_busy_loop(busy_s: float, *, cancel: bool = False) -> list[WriteOutcome]:
    """One set-point twice; the first is confirmed at once, then the loop is busy until after the deadline."""
    device = Device()
    link = plain_link("mqtt://localhost", TARGET, OTHER)
    link._session = device.session
    writing = asyncio.create_task(link.write([(TARGET, 42.0), (TARGET, 43.0)], deadline_s=0.3))
    await device.wire.left.wait()
    device.say("t/confirmed", id=device.wire.sent[0]["id"], value=42.0, accepted=True)
    await asyncio.sleep(0)
    _keep_busy(busy_s)
    if cancel:
        writing.cancel()
    return await writing


@pytest.mark.parametrize("busy_s", [0.0, 0.29, 0.5])
async def test_what_is_known_at_the_deadline_is_said_however_busy_the_loop_is(busy_s: float) -> None:
    outcomes = await _write_in_a_busy_loop(busy_s)
    assert [o.result for o in outcomes] == [WriteResult.ACCEPTED, WriteResult.UNKNOWN]


async def test_who_is_cancelled_at_the_deadline_is_cancelled() -> None:
    with pytest.raises(asyncio.CancelledError):
        await _write_in_a_busy_loop(0.5, cancel=True)


# --- what a confirmation is worth ---


async def _answered(device: Device, *said: dict[str, Any] | bytes, patience_s: float = 0.2) -> WriteOutcome:
    writing = await device.write(42.0, patience_s=patience_s)
    device.clock.pass_by(0.1)
    for words in said:
        payload = words
        if isinstance(payload, dict):
            payload = json.dumps({"id": device.wire.sent[-1].get("id", ""), **payload}).encode()
        device.give("t/confirmed", payload)
    (outcome,) = await writing
    return outcome


@pytest.mark.parametrize("value", [41.0, "locked", True])
async def test_a_yes_with_another_value_is_no_yes(value: Any) -> None:
    device = Device()
    outcome = await _answered(device, {"value": value, "accepted": True})
    assert outcome.result is WriteResult.UNKNOWN
    shown = "41.0" if value == 41.0 else "another value"
    assert f"the device confirmed {shown} instead of 42.0" in outcome.detail
    assert (await device.read()).quality is Quality.BAD, "nothing is known of the tag"


async def test_the_right_value_may_come_after_another() -> None:
    outcome = await _answered(Device(), {"value": 41.0, "accepted": True}, {"value": 42.0, "accepted": True})
    assert outcome.result is WriteResult.ACCEPTED


@pytest.mark.parametrize("accepted", [True, False, None])
async def test_a_confirmation_of_before_the_sending_does_not_count(accepted: bool | None) -> None:
    device = Device()
    said = {"value": 42.0, "accepted": accepted, "timestamp": device.ms(-0.01)}
    outcome = await _answered(device, said)
    assert (outcome.result, "before the sending" in outcome.detail) == (WriteResult.UNKNOWN, True)
    assert (await device.read()).quality is Quality.BAD


async def test_a_confirmation_of_the_moment_of_sending_counts() -> None:
    device = Device()
    outcome = await _answered(device, {"value": 42.0, "accepted": True, "timestamp": device.ms()})
    assert outcome.result is WriteResult.ACCEPTED


async def test_a_raw_confirmation_of_another_value_is_waited_past() -> None:
    outcome = await _answered(Device(payload="raw"), b"41", b"42")
    assert outcome.result is WriteResult.ACCEPTED
    outcome = await _answered(Device(payload="raw"), b"41")
    assert (outcome.result, "confirmed 41.0" in outcome.detail) == (WriteResult.UNKNOWN, True)
