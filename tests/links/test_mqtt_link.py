"""The link to plain topics beyond the contract: kept sessions, retained and unreadable messages, and `check`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from link_bench import LIMITS, SystemClock, Watched, tag, until, watched
from mqtt_bench import PLAIN, WANTED, Broker, DeviceProcess, ear, plain_link, values_of
from structlog.testing import capture_logs

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Tag
from bridge.errors import AccessDenied, ConfigError
from bridge.links.mqtt import MqttWire
from bridge.links.mqtt_link import MqttLink
from bridge.links.mqtt_message import Message
from bridge.links.reading_queue import ReadingQueue
from bridge.ports import LinkState, WriteResult
from bridge.settings import MqttLinkSettings
from simulator.wire import Wire

CONSTANT, TARGET = PLAIN["constant"], PLAIN["target"]
KEPT = {"persistent": True, "client_id": "kept"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that the test may stop; its sessions are on disk."""
    broker = Broker(tmp_path / "broker", "persistence true", f"persistence_location {tmp_path}/")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def devices() -> Iterator[Callable[..., DeviceProcess]]:
    started: list[DeviceProcess] = []

    def start(broker: Broker) -> DeviceProcess:
        started.append(DeviceProcess("plain", broker.port))
        return started[-1]

    yield start
    for device in started:
        device.kill()


@contextlib.asynccontextmanager
async def flowing(broker: Broker, *tags: Tag, **changes: Any) -> AsyncIterator[Watched]:
    async with watched(plain_link(broker.url, *tags, **changes)) as watching:
        await watching.until_flowing()
        yield watching


@contextlib.asynccontextmanager
async def connected(broker: Broker, *tags: Tag, **changes: Any) -> AsyncIterator[Watched]:
    """A link that is up, whether it hears anything or not."""
    async with watched(plain_link(broker.url, *tags, **changes)) as watching:
        await watching.until(lambda: watching.status.state in (LinkState.FLOWING, LinkState.DEGRADED))
        yield watching


async def said(broker: Broker, topic: str, *payloads: bytes | dict[str, Any], retain: bool = False) -> None:
    """Publish as somebody else."""
    async with ear(broker.url, client_id="somebody") as somebody:
        for payload in payloads:
            content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            await somebody.wire.publish(topic, content, retain=retain)


def own_tag(name: str, data_type: DataType = DataType.DOUBLE, **named: Any) -> Tag:
    """A tag on a topic that no other test uses."""
    return tag(name, data_type, address=f"own/{name}", **named)


# --- values ---


async def test_a_message_may_speak_of_many_tags(broker: Broker) -> None:
    tags = (
        tag("A", address="many#a.value"),
        tag("B", DataType.BOOLEAN, address="many#b"),
        tag("C", DataType.STRING, address="many"),
    )
    async with connected(broker, *tags) as watching:
        await said(broker, "many", {"a": {"value": 1.5}, "b": True, "value": "c"})
        await watching.until(lambda: len(watching.readings) == 3)
        assert [(r.tag.path, r.value, r.quality) for r in watching.readings] == [
            ("[default]A", 1.5, Quality.GOOD),
            ("[default]B", True, Quality.GOOD),
            ("[default]C", "c", Quality.GOOD),
        ]


async def test_what_cannot_be_read_is_bad_until_it_can_be(broker: Broker) -> None:
    odd = own_tag("odd")
    async with connected(broker, odd) as watching:
        await said(broker, "own/odd", b"\xff\x00", {"value": "x"}, {"other": 1}, b"")
        await watching.until(lambda: len(watching.readings) == 4)
        assert [(r.value, r.quality, r.status) for r in watching.readings] == [
            (None, Quality.BAD, "BadDecodingError"),
            (None, Quality.BAD, "BadTypeMismatch"),
            (None, Quality.BAD, "BadNoData"),
            (None, Quality.BAD, "BadDecodingError"),
        ]
        assert watching.status.problems == {odd.path: "BadDecodingError"}
        await said(broker, "own/odd", {"value": 2.0})
        await watching.until_flowing()
        assert watching.status.problems == {}


async def test_a_message_that_is_too_long_makes_its_tags_bad(broker: Broker) -> None:
    long = own_tag("long")
    async with connected(broker, long, max_message_bytes=2000) as watching:
        await said(broker, "own/long", {"value": 1.0, "fill": "x" * 5000}, {"value": 2.0})
        await watching.until(lambda: len(watching.readings) == 2)
        assert [r.status for r in watching.readings] == ["BadEncodingLimitsExceeded", "Good"]


async def test_a_silent_topic_is_a_problem(broker: Broker, devices: Callable[..., DeviceProcess]) -> None:
    device = devices(broker)
    quick = tag("Constant", address="plant/Constant", stale_after_s=0.5)
    async with flowing(broker, quick, refresh_s=0.2) as watching:
        device.tell("mute")
        await watching.until(lambda: "silent" in watching.status.problems.get(quick.path, ""))
        await asyncio.sleep(2.0)  # longer than the link waits before it would read silent tags on purpose
        assert "silent" in watching.status.problems[quick.path]
        (reading,) = await watching.link.read([quick], deadline_s=20)
        assert reading.confirmed
        last = watching.of(quick)[-1]
        assert reading.received_utc == last.received_utc, (
            "a round trip to the broker says nothing of the device"
        )


async def test_a_retained_value_says_what_was(broker: Broker) -> None:
    past, timed = own_tag("past"), own_tag("timed")
    await said(broker, "own/past", {"value": 5.0}, retain=True)
    await said(broker, "own/timed", {"value": 6.0, "timestamp": "2026-01-01T00:00:00Z"}, retain=True)
    async with connected(broker, past, timed) as watching:
        await watching.until(lambda: len(watching.readings) == 2)
        assert [(r.value, r.quality, r.replayed) for r in watching.readings] == [
            (5.0, Quality.UNCERTAIN, True),
            (6.0, Quality.GOOD, True),
        ]
        for reading in await watching.link.read([past, timed], deadline_s=20):
            assert (reading.quality, reading.confirmed) == (Quality.UNCERTAIN, False)
        assert watching.status.state is LinkState.DEGRADED
        await said(broker, "own/past", {"value": 7.0}, retain=True)  # live for us, who are subscribed
        await watching.until(lambda: len(watching.readings) == 3)
        (reading, _) = await watching.link.read([past, timed], deadline_s=20)
        assert (reading.value, reading.quality, reading.confirmed) == (7.0, Quality.GOOD, True)


async def test_a_restarted_broker_is_found_again(
    own_broker: Broker, devices: Callable[..., DeviceProcess]
) -> None:
    devices(own_broker)
    async with flowing(own_broker, *(PLAIN[name] for name in WANTED)) as watching:
        await asyncio.to_thread(own_broker.stop)
        await watching.until_down()
        await asyncio.to_thread(own_broker.start)
        await watching.until_flowing()
        await watching.until_new([PLAIN[name] for name in WANTED])
        (outcome,) = await watching.link.write([(TARGET, 12.5)], deadline_s=20)
        assert outcome.result is WriteResult.ACCEPTED


async def test_a_slow_consumer_loses_the_oldest_and_it_is_counted(broker: Broker) -> None:
    fast = own_tag("fast")
    link = plain_link(broker.url, fast, buffer_values=1000)
    running = asyncio.create_task(link.run())
    try:
        await until(lambda: link.status().subscribed, within_s=30)
        async with ear(broker.url, client_id="somebody") as somebody:
            for number in range(3000):
                somebody.wire.send("own/fast", json.dumps({"value": number}).encode())
                if number % 100 == 0:
                    await somebody.wire.probe()
        await link.read([fast], deadline_s=20)
        overflowed = link.status().overflowed
        assert 2000 <= overflowed < 2500, "whole batches go, the oldest first"
        found: list[Any] = []
        async for batch in link.readings():
            found += values_of(list(batch), fast)
            if len(found) == 3000 - overflowed:
                break
        assert found == [float(number) for number in range(overflowed, 3000)]
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


# --- kept sessions ---


async def _batches(link: MqttLink, values: int) -> list[Sequence[Reading]]:
    """Batches with at least so many values, taken and not yet kept."""
    found: list[Sequence[Reading]] = []
    async with asyncio.timeout(30):
        async for batch in link.readings():
            found.append(batch)
            if sum(map(len, found)) >= values:
                return found
    raise AssertionError


@contextlib.asynccontextmanager
async def running(link: MqttLink) -> AsyncIterator[MqttLink]:
    """Run a link whose readings the test takes itself."""
    task = asyncio.create_task(link.run())
    try:
        await until(lambda: link.status().state is not LinkState.CONNECTING, within_s=30)
        yield link
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_nothing_is_acknowledged_before_it_is_kept(own_broker: Broker, version: str) -> None:
    """Of three messages one is kept; after a kill the two others come again, and what came meanwhile."""
    slow = own_tag("slow")
    given = {**KEPT, "version": version}
    async with Wire(0, "127.0.0.1", own_broker.port) as wire:
        url = f"mqtt://127.0.0.1:{wire.port}"
        async with running(plain_link(url, slow, **given)) as link:
            for number in range(3):
                await said(own_broker, "own/slow", {"value": number, "timestamp": 1_760_000_000_000 + number})
                (batch,) = await _batches(link, 1)
                if number == 0:
                    link.kept(batch)
            await link.read([slow], deadline_s=20)  # a round trip: the acknowledgement is at the broker
            await wire.cut()  # a kill: no farewell
        await said(own_broker, "own/slow", {"value": 3, "timestamp": 1_760_000_000_003})
        await wire.restore()
        async with running(plain_link(url, slow, **given)) as link:
            batches = await _batches(link, 3)
            readings = [reading for batch in batches for reading in batch]
            assert [r.value for r in readings] == [1.0, 2.0, 3.0]
            assert all(r.replayed for r in readings), "what the broker kept meanwhile is not news"
            assert [r.source_time_utc.microsecond // 1000 for r in readings] == [1, 2, 3]
            for batch in batches:
                link.kept(batch)
            await link.read([slow], deadline_s=20)
            await wire.cut()
        await said(own_broker, "own/slow", {"value": 4})
        await wire.restore()
        async with running(plain_link(url, slow, **given)) as link:
            (batch,) = await _batches(link, 1)
            assert [r.value for r in batch] == [4.0], "what was kept never comes again"


async def test_what_is_kept_after_the_wire_was_lost_is_no_error_and_comes_again(own_broker: Broker) -> None:
    slow = own_tag("slow")
    async with (
        Wire(0, "127.0.0.1", own_broker.port) as wire,
        running(plain_link(f"mqtt://127.0.0.1:{wire.port}", slow, **KEPT)) as link,
    ):
        await said(own_broker, "own/slow", {"value": 1})
        (before,) = await _batches(link, 1)
        await wire.cut()
        await until(lambda: link.status().state is LinkState.DOWN, within_s=30)
        await wire.restore()
        (again,) = await _batches(link, 1)
        link.kept(before)
        assert values_of(list(again), slow) == [1.0]
        link.kept(again)


async def test_a_kept_session_waits_at_the_broker_and_not_here(own_broker: Broker) -> None:
    """mosquitto has 20 messages under way on 3.1.1 until they are kept; nothing piles up in our memory."""
    fast = own_tag("fast")
    given = {**KEPT, "version": "3.1.1", "buffer_values": 1000}
    async with running(plain_link(own_broker.url, fast, **given)) as link:
        async with ear(own_broker.url, client_id="somebody") as somebody:
            for number in range(500):
                await somebody.wire.publish("own/fast", json.dumps({"value": number}).encode())
        taken = await _batches(link, 20)
        assert sum(map(len, taken)) == 20
        found = 0
        while found < 500:
            for batch in taken:
                found += len(batch)
                link.kept(batch)
            taken = await _batches(link, 1) if found < 500 else []
        assert link.status().overflowed == 0


def test_what_the_queue_drops_is_told_so_that_the_broker_does_not_wait_for_it() -> None:
    dropped: list[Sequence[Reading]] = []
    queue = ReadingQueue(capacity_values=3)
    queue.on_dropped = dropped.append
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    batches = [[Reading(CONSTANT, float(n), Quality.GOOD, moment, moment)] * 2 for n in range(3)]
    for batch in batches:
        queue.put(batch)
    assert [id(batch) for batch in dropped] == [id(batch) for batch in batches[:2]]
    assert (queue.dropped, len(queue)) == (4, 2)
    link = plain_link("mqtt://localhost", CONSTANT)
    assert link._queue.on_dropped == link.kept


async def test_what_a_kept_session_still_hears_and_nobody_wants_is_taken_back(own_broker: Broker) -> None:
    async with running(plain_link(own_broker.url, own_tag("old"), own_tag("new"), **KEPT)) as link:
        await until(lambda: link.status().subscribed == 2, within_s=30)
    async with running(plain_link(own_broker.url, own_tag("new"), **KEPT)) as link:
        await said(own_broker, "own/old", {"value": 1})
        await said(own_broker, "own/new", {"value": 2})
        (batch,) = await _batches(link, 1)
        assert [r.value for r in batch] == [2.0]
        link.kept(batch)
        with capture_logs() as lines:
            await until(lambda: any(line["event"] == "link.topics_unwanted" for line in lines), within_s=30)
        await link.read([], deadline_s=20)
    await said(own_broker, "own/old", {"value": 3})
    await said(own_broker, "own/new", {"value": 4})
    settings = MqttLinkSettings.model_validate({"broker": own_broker.url})
    wire = MqttWire(settings, SystemClock(), client_id="kept", persistent=True, session_expiry_s=60)
    heard: list[Message] = []
    wire.on_messages = heard.extend
    assert await wire.connect() is True
    await wire.probe()
    await wire.leave()
    assert [message.topic for message in heard] == ["own/new"]


# --- writes ---


async def test_a_deaf_device_makes_its_own_write_unknown_and_no_other(
    broker: Broker, devices: Callable[..., DeviceProcess]
) -> None:
    """The broker has taken the command: it is out of our hands, and the wire need not be cut."""
    devices(broker)
    nobody = tag("Nobody", DataType.FLOAT, limits=LIMITS, address="nobody")
    async with (
        ear(broker.url, "nobody/set") as taker,  # hears commands and never answers
        connected(broker, TARGET, nobody) as watching,
    ):
        outcomes = await watching.link.write([(nobody, 1.0), (TARGET, 41.0)], deadline_s=1.0)
        assert [o.result for o in outcomes] == [WriteResult.UNKNOWN, WriteResult.ACCEPTED]
        assert "no confirmation" in outcomes[0].detail
        assert watching.status.reconnects == 0
        assert len(taker.on("nobody/set")) == 1
        assert watching.status.state is not LinkState.DOWN


async def test_a_command_that_nobody_is_subscribed_to_is_refused(broker: Broker) -> None:
    alone = own_tag("alone", DataType.FLOAT, limits=LIMITS)
    async with connected(broker, alone) as watching:
        (outcome,) = await watching.link.write([(alone, 1.0)], deadline_s=20)
        assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadNoCommunication")


async def test_a_retained_confirmation_confirms_nothing_and_a_command_is_never_retained(
    broker: Broker,
) -> None:
    late = own_tag("late", DataType.FLOAT, limits=LIMITS)
    async with ear(broker.url, "own/late/set") as taker, connected(broker, late) as watching:
        writing = asyncio.create_task(watching.link.write([(late, 3.0)], deadline_s=20))
        await until(lambda: taker.heard, within_s=30)
        async with ear(broker.url, "own/late/set") as later:
            await later.wire.probe()
            assert later.heard == [], "a retained command would be executed again at every connection"
        command = json.loads(taker.heard[0].payload)
        await said(broker, "own/late/confirmed", {"id": "of another", "value": 3.0, "accepted": True})
        assert not writing.done()
        await said(
            broker, "own/late/confirmed", {"id": command["id"], "value": 3.0, "accepted": True}, retain=True
        )
        # to us, who were subscribed, it comes live
        assert [o.result for o in await writing] == [WriteResult.ACCEPTED]
    await said(broker, "own/late/confirmed", b"", retain=True)


async def test_what_the_broker_kept_of_confirmations_counts_for_nothing(broker: Broker) -> None:
    old = own_tag("old", DataType.FLOAT, limits=LIMITS)
    await said(broker, "own/old/confirmed", b"3.0", retain=True)
    async with ear(broker.url, "own/old/set") as taker, connected(broker, old, payload="raw") as watching:
        writing = asyncio.create_task(watching.link.write([(old, 3.0)], deadline_s=1.0))
        await until(lambda: taker.heard, within_s=30)
        session = watching.link._session  # type: ignore[attr-defined]
        await session.subscribe([0])  # as a retry does; the broker sends what it kept once more
        (outcome,) = await writing
        assert outcome.result is WriteResult.UNKNOWN


async def test_a_nameless_confirmation_is_taken_by_value(broker: Broker) -> None:
    plain = own_tag("plain", DataType.FLOAT, limits=LIMITS)
    async with ear(broker.url, "own/plain/set") as taker, connected(broker, plain, payload="raw") as watching:
        writing = asyncio.create_task(watching.link.write([(plain, 3.5)], deadline_s=20))
        await until(lambda: taker.heard, within_s=30)
        assert taker.heard[0].payload == b"3.5"
        await said(broker, "own/plain/confirmed", b"2.5", b"nonsense", b"3.5")
        assert [o.result for o in await writing] == [WriteResult.ACCEPTED]
        writing = asyncio.create_task(watching.link.write([(plain, 4.0)], deadline_s=20))
        await until(lambda: len(taker.heard) == 2, within_s=30)
        await said(broker, "own/plain/confirmed", b"error: locked")
        (outcome,) = await writing
        assert outcome.result is WriteResult.REFUSED
        assert "locked" in outcome.detail


# --- check ---


async def test_check_finds_nothing_where_all_is_well(
    broker: Broker, devices: Callable[..., DeviceProcess]
) -> None:
    devices(broker)
    assert await plain_link(broker.url, refresh_s=3).check() == []


async def test_check_lists_every_problem_and_leaves_the_running_link_alone(
    broker: Broker, devices: Callable[..., DeviceProcess]
) -> None:
    devices(broker)
    wrong = tag("Flag", address="plant/Flag")
    tags = (CONSTANT, wrong, PLAIN["missing"])
    async with connected(broker, CONSTANT, **KEPT) as watching:
        lines = await plain_link(broker.url, *tags, refresh_s=1, **KEPT).check()
        assert [line.split(":")[0] for line in lines] == [
            "tag [default]Flag (plant/Flag)",
            "tag [default]NoSuchValue (plant/NoSuchValue)",
        ]
        assert "wanted Double, found bool True" in lines[0]
        assert "nothing was heard within 1 s" in lines[1]
        assert watching.status.reconnects == 0
        assert watching.status.state is LinkState.FLOWING


async def test_check_says_that_values_without_time_may_be_stored_twice(broker: Broker) -> None:
    await said(broker, "own/untimed", {"value": 1.0}, retain=True)
    (line,) = await plain_link(broker.url, own_tag("untimed"), refresh_s=1, **KEPT).check()
    assert "stored twice" in line


@pytest.mark.parametrize(
    ("tags", "given", "found"),
    [
        ((TARGET,), {"version": "3.1.1", "command_qos": 1}, True),
        ((TARGET,), {"version": "3.1.1"}, False),
        ((TARGET,), {"version": "5", "command_qos": 1}, False),
        ((CONSTANT,), {"version": "3.1.1", "command_qos": 1}, False),
    ],
)
async def test_check_says_that_a_command_may_come_late(
    broker: Broker, tags: tuple[Tag, ...], given: dict[str, Any], found: bool
) -> None:
    words = "\n".join(await plain_link(broker.url, *tags, refresh_s=0.1, **given).check())
    assert ("the broker may deliver a command late" in words) == found
    assert ("set command_qos = 0, or version = 5" in words) == found


async def test_check_names_the_broker_that_is_not_there_and_what_travels_in_the_clear() -> None:
    link = plain_link("mqtt://192.0.2.1:1", CONSTANT, username="bridge", password="s3cret", deadline_s=0.3)
    clear, down = await link.check()
    assert "in the clear" in clear
    assert "192.0.2.1" in down
    assert "s3cret" not in clear + down


async def test_check_and_run_say_that_the_user_is_refused(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "guarded", anonymous=False)
    broker.start()
    try:
        link = plain_link(broker.url, CONSTANT, username="bridge", password="s3cret")
        (line,) = await link.check()
        assert "username" in line
        with pytest.raises(AccessDenied, match="username"):
            async with asyncio.timeout(30):
                await link.run()
    finally:
        broker.stop()


def test_addresses_that_cannot_be_are_listed() -> None:
    bad = (tag("A", address="a/+"), tag("B", address="b#"), CONSTANT)
    with pytest.raises(ConfigError) as refusal:
        plain_link("mqtt://localhost", *bad)
    assert len(refusal.value.problems) == 2
    with pytest.raises(ConfigError, match="raw"):
        plain_link("mqtt://localhost", tag("C", address="c#x"), payload="raw")
