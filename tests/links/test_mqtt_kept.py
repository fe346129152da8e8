"""What a broker kept for us is stored, and never taken for the present: mosquitto with more than its window holds."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from link_bench import LIMITS, tag, until
from mqtt_bench import Broker, ear, plain_link
from mqtt_paper import LAST_USABLE, TARGET, Device
from structlog.testing import capture_logs

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Tag
from bridge.links.mqtt_acknowledging import Acknowledging
from bridge.links.mqtt_link import MqttLink
from bridge.ports import LinkState, WriteResult

SLOW = tag("slow", DataType.DOUBLE, limits=LIMITS, address="own/slow")
KEPT = {"persistent": True, "client_id": "kept", "buffer_values": 1000}
# More than may be under way: 20 is mosquitto's own window on 3.1.1, 500 what this link allows on 5.
BACKLOGS = pytest.mark.parametrize(("version", "backlog"), [("3.1.1", 90), ("5", 600)])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


@contextlib.asynccontextmanager
async def running(link: MqttLink) -> AsyncIterator[MqttLink]:
    """Run a link whose readings the test takes itself."""
    task = asyncio.create_task(link.run())
    try:
        await until(lambda: link.status().state in (LinkState.DEGRADED, LinkState.FLOWING), within_s=30)
        yield link
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def publish(broker: Broker, *values: float) -> None:
    async with ear(broker.url, client_id="somebody") as somebody:
        for value in values:
            await somebody.wire.publish("own/slow", json.dumps({"value": value}).encode())


async def batches(link: MqttLink) -> AsyncIterator[Sequence[Reading]]:
    async with asyncio.timeout(20):
        async for batch in link.readings():
            yield batch


async def subscribed_once(broker: Broker, **given: Any) -> None:
    async with running(plain_link(broker.url, SLOW, **given)) as link:
        await until(lambda: link.status().subscribed == 1, within_s=30)


@BACKLOGS
async def test_a_backlog_larger_than_the_window_is_never_the_present(
    broker: Broker, version: str, backlog: int
) -> None:
    given = {**KEPT, "version": version}
    await subscribed_once(broker, **given)
    await publish(broker, *map(float, range(backlog)))
    async with running(plain_link(broker.url, SLOW, **given)) as link:
        stored: list[Reading] = []
        async for batch in batches(link):
            stored += batch
            link.kept(batch)
            (present,) = await link.read([SLOW], deadline_s=20)
            assert (present.quality, present.status) == (Quality.BAD, "BadWaitingForInitialData")
            if len(stored) >= backlog:
                break
        assert [r.value for r in stored] == [float(number) for number in range(backlog)]
        assert {(r.quality, r.status, r.replayed) for r in stored} == {(*LAST_USABLE, True)}
        await publish(broker, 5000.0)
        (present,) = await link.read([SLOW], deadline_s=20)
        assert (present.value, present.quality, present.confirmed) == (5000.0, Quality.GOOD, True)


async def test_when_all_that_was_kept_is_here_news_are_news(broker: Broker) -> None:
    given = {**KEPT, "version": "3.1.1"}
    await subscribed_once(broker, **given)
    await publish(broker, *map(float, range(50)))
    with capture_logs() as lines:
        async with running(plain_link(broker.url, SLOW, **given)) as link:
            number = 0
            async for batch in batches(link):
                number += len(batch)
                link.kept(batch)
                if number == 50:
                    break
            await until(lambda: any(line["event"] == "link.caught_up" for line in lines), within_s=30)
            await publish(broker, 7.0)
            async for (reading,) in batches(link):
                assert (reading.value, reading.quality, reading.replayed) == (7.0, Quality.GOOD, False)
                break


@BACKLOGS
async def test_no_verdict_rests_on_what_a_broker_kept(broker: Broker, version: str, backlog: int) -> None:
    """The very value that is sent lies in the backlog, and comes after the sending."""
    given = {**KEPT, "version": version}
    await subscribed_once(broker, **given)
    old = [float(number % 80) for number in range(backlog)]
    await publish(broker, *old)
    async with (
        ear(broker.url, "own/slow/set") as taker,
        running(plain_link(broker.url, SLOW, **given)) as link,
    ):
        taken = batches(link)
        first = await anext(taken)
        (outcome,) = await link.write([(SLOW, old[-1])], deadline_s=1.0)
        assert outcome.result is WriteResult.UNKNOWN
        assert len(taker.heard) == 1
        number = len(first)
        link.kept(first)
        async for batch in taken:
            number += len(batch)
            link.kept(batch)
            if number == backlog:
                break
        (present,) = await link.read([SLOW], deadline_s=20)
        assert (present.value, present.confirmed) == (None, True)


async def test_a_kept_session_hears_no_confirmations() -> None:
    device = Device(persistent=True, client_id="kept")
    await device.session.open()
    await device.session.subscribe([0, 1])
    assert device.wire.subscribed == [("t", 0), ("o", 0), ("t/confirmed", 1)]
    assert device.kept_wire.subscribed == [("t", 1), ("o", 1)]
    device.give("t/confirmed", b'{"value": 1}', wire=device.kept_wire)  # of an older configuration
    await device.session.renew()
    assert device.kept_wire.unsubscribed == ["t/confirmed"]
    assert len(device.kept_wire.acknowledged) == 1


async def test_what_is_kept_is_of_the_past_until_the_broker_holds_nothing_back() -> None:
    device = Device(persistent=True, client_id="kept")
    await device.session.open()
    await device.session.renew()
    device.give("t", b'{"value": 1}', wire=device.kept_wire)
    device.kept_wire.holds_back = False
    await device.session.renew()
    device.give("t", b'{"value": 2}', wire=device.kept_wire)
    assert [(r.value, r.replayed) for r in device.handed] == [(1.0, True), (2.0, False)]
    assert (await device.read()).value is None, "what is present comes over the other wire"
    device.give("t", b'{"value": 3}')
    assert (await device.read()).value == 3.0
    assert len(device.handed) == 2, "and is not stored a second time"


async def test_a_broker_that_kept_nothing_holds_nothing_back() -> None:
    device = Device(persistent=True, client_id="kept")
    device.kept_wire.remembers = False
    await device.session.open()
    device.give("t", b'{"value": 1}', wire=device.kept_wire)
    assert [r.replayed for r in device.handed] == [False]


@pytest.mark.parametrize("lost", ["wire", "kept_wire"])
async def test_the_session_ends_with_either_wire(lost: str) -> None:
    device = Device(persistent=True, client_id="kept")
    await device.session.open()
    wire = getattr(device, lost)
    wire.loss = "gone"
    wire.on_lost()
    assert (device.session.lost.is_set(), device.session.loss) == (True, "gone")
    device.give("t", b'{"value": 1}', wire=device.kept_wire)
    assert device.handed == []
    assert device.kept_wire.acknowledged == []


async def test_a_value_that_was_old_on_arrival_is_not_the_present_one() -> None:
    device = Device()
    device.say("t", value=1.0, timestamp=device.ms(-TARGET.stale_after_s - 1))
    found = await device.read()
    assert (found.value, found.quality, found.status, found.confirmed) == (1.0, *LAST_USABLE, False)
    assert "old on arrival" in device.session.why[0]
    assert "T" in str(device.freshness.problems(device.clock.monotonic_s()))
    device.say("t", value=2.0, timestamp=device.ms())
    assert ((await device.read()).value, device.session.why) == (2.0, {})
    device.say("t", value=3.0, timestamp=device.ms(-TARGET.stale_after_s - 1))
    assert (await device.read()).value == 2.0
    assert [(r.value, r.replayed) for r in device.handed] == [(1.0, False), (2.0, False), (3.0, False)]


async def test_a_value_older_than_the_newest_said_is_not_the_present_one() -> None:
    device = Device()
    device.say("t", value=1.0, timestamp=device.ms())
    device.say("t", value=2.0, timestamp=device.ms(-1))
    assert (await device.read()).value == 1.0
    device.say("t", value=3.0, timestamp=device.ms())
    assert (await device.read()).value == 3.0, "two values of one moment come in their order"
    device.say("t", value=4.0, timestamp=device.ms(-1), quality="bad")
    assert (await device.read()).quality is Quality.BAD, (
        "bad values often carry the time of the last good one"
    )
    assert [r.value for r in device.handed] == [1.0, 2.0, 3.0, 4.0], "stored all the same"


async def test_a_clock_that_was_ahead_and_is_set_back_silences_nothing() -> None:
    device = Device()
    device.say("t", value=1.0, timestamp=device.ms(TARGET.stale_after_s / 2))
    device.clock.pass_by(1)
    device.say("t", value=2.0, timestamp=device.ms())
    assert (await device.read()).value == 2.0


# --- whether a broker holds anything back ---


@given(
    window=st.integers(min_value=1, max_value=5),
    steps=st.lists(st.sampled_from(["publish", "take", "allow", "look", "answer"]), max_size=80),
)
def test_nothing_is_called_behind_that_the_broker_holds_back(window: int, steps: list[str]) -> None:
    """A broker with a window, and bytes under way in both directions, each in its order."""
    broker_queue = under_way = mid = 0
    to_us: list[int | None] = []  # a message, or None: the answer to the look
    to_broker: list[int] = []
    waiting: list[int] = []
    ours, look, answered, truly = Acknowledging(manual=True), None, False, False
    for step in [*steps, "answer", *["take"] * 100]:
        if step == "publish":
            broker_queue += 1
        elif step == "take" and to_us:
            found = to_us.pop(0)
            if found is None:
                assert look is not None
                if ours.nothing_behind(look):
                    assert truly
                look, answered = None, False
            else:
                ours.came(found)
                waiting.append(found)
        elif step == "allow" and waiting:
            ours.allow([waiting.pop(0)])
            to_broker += ours.due()
        elif step == "look" and look is None:
            look = ours.look()
            acknowledged_before = len(to_broker)
        elif step == "answer" and look is not None and not answered:
            under_way -= acknowledged_before  # what left before the look is read before it
            del to_broker[:acknowledged_before]
            while broker_queue and under_way < window:
                broker_queue, under_way, mid = broker_queue - 1, under_way + 1, mid + 1
                to_us.append(mid)
            truly, answered = broker_queue == 0, True
            to_us.append(None)
        while look is None and to_broker:  # later or at once is the same to us
            under_way -= 1
            del to_broker[0]
        while broker_queue and under_way < window:
            broker_queue, under_way, mid = broker_queue - 1, under_way + 1, mid + 1
            to_us.append(mid)


def test_a_full_window_may_hide_more_and_one_with_room_does_not() -> None:
    ours = Acknowledging(manual=True)
    assert ours.nothing_behind(ours.look()), "nothing came, nothing is under way"
    for mid in (1, 2, 3):
        ours.came(mid)
    assert not ours.nothing_behind(ours.look())
    ours.allow([2])
    assert ours.due() == [], "in the order of arrival"
    ours.allow([1, 99])
    assert ours.due() == [1, 2]
    begin = ours.look()
    assert ours.nothing_behind(begin)
    for mid in (4, 5):
        ours.came(mid)
    assert not ours.nothing_behind(begin), "they may have come into the window as it became free"


def test_one_that_is_acknowledged_at_once_is_due_at_once() -> None:
    ours = Acknowledging(manual=False)
    ours.came(7)
    assert ours.due() == [7]


async def test_check_says_what_a_broker_of_3_1_1_decides_alone(broker: Broker) -> None:
    async def lines(**given: Any) -> str:
        return "\n".join(await plain_link(broker.url, _own(), refresh_s=0.1, client_id="k", **given).check())

    assert "max_queued_messages" in await lines(version="3.1.1", persistent=True)
    assert "max_queued_messages" not in await lines(version="3.1.1")
    assert "max_queued_messages" not in await lines(version="5", persistent=True)


def _own() -> Tag:
    return tag("quiet", address="own/quiet")
