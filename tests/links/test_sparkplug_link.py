"""The Sparkplug link beyond the contract: STATE, births and deaths over a real broker, commands, and `check`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from link_bench import LIMITS, Watched, tag, until, watched
from mqtt_bench import SPARKPLUG, WANTED, Broker, DeviceProcess, ear, sparkplug_link

from bridge.domain.reading import Quality
from bridge.domain.tag import DataType, Tag
from bridge.errors import ConfigError
from bridge.ports import LinkState, WriteResult
from simulator.wire import Wire

CONSTANT, TARGET, SWITCH = SPARKPLUG["constant"], SPARKPLUG["target"], SPARKPLUG["switch"]
TAGS = tuple(SPARKPLUG[name] for name in WANTED)
STATE = "spBv1.0/STATE/bridge"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def nodes() -> Iterator[Callable[..., DeviceProcess]]:
    started: list[DeviceProcess] = []

    def start(broker: Broker, *host: str) -> DeviceProcess:
        started.append(DeviceProcess("sparkplug", broker.port, *host))
        return started[-1]

    yield start
    for node in started:
        node.kill()


@contextlib.asynccontextmanager
async def flowing(url: str, *tags: Tag, **changes: Any) -> AsyncIterator[Watched]:
    async with watched(sparkplug_link(url, *tags, **changes)) as watching:
        await watching.until_flowing()
        yield watching


def state(payload: bytes) -> tuple[bool, int]:
    said = json.loads(payload)
    return said["online"], said["timestamp"]


# --- STATE ---


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_state_is_retained_and_the_will_carries_the_same_time(broker: Broker, version: str) -> None:
    """Specification 3.0, tck-id-host-topic-phid-*: QoS 1, retained, one timestamp for will and birth."""
    async with ear(broker.url, STATE, client_id="early") as early, Wire(0, "127.0.0.1", broker.port) as wire:
        async with watched(sparkplug_link(f"mqtt://127.0.0.1:{wire.port}", version=version)):
            await until(lambda: early.heard, within_s=30)
            online, birth_ms = state(early.heard[0].payload)
            assert online
            assert early.heard[0].qos == 1
            async with ear(broker.url, STATE, client_id="late") as late:
                await late.wire.probe()
                assert [(m.payload, m.retained) for m in late.heard] == [(early.heard[0].payload, True)]
            await wire.cut()
            await until(lambda: len(early.heard) == 2, within_s=30)
            assert state(early.heard[1].payload) == (False, birth_ms)
            async with ear(broker.url, STATE, client_id="late") as late:
                await late.wire.probe()
                assert [(state(m.payload), m.retained) for m in late.heard] == [((False, birth_ms), True)]
            await wire.restore()
            await until(lambda: len(early.heard) == 3, within_s=30)
            again, later_ms = state(early.heard[2].payload)
            assert again
            assert later_ms > birth_ms
        await until(lambda: len(early.heard) == 4, within_s=30)
        assert state(early.heard[3].payload)[0] is False
        assert state(early.heard[3].payload)[1] >= later_ms
    async with ear(broker.url, STATE, client_id="after") as after:
        await after.wire.probe()
        assert [(state(m.payload)[0], m.retained) for m in after.heard] == [(False, True)]


async def test_somebody_who_says_that_we_are_offline_is_contradicted(broker: Broker) -> None:
    async with ear(broker.url, STATE) as listening:
        await listening.wire.publish(STATE, b'{"online": false, "timestamp": 1}', retain=True)
        async with watched(sparkplug_link(broker.url)):
            await until(lambda: state(listening.heard[-1].payload)[0], within_s=30)
            count = len(listening.heard)
            assert count == 2, "what was said before we came needs no answer"
            stale = json.dumps({"online": False, "timestamp": 5}).encode()
            await listening.wire.publish(STATE, stale, retain=True)
            await until(lambda: len(listening.heard) == count + 2, within_s=30)
            assert state(listening.heard[-1].payload)[0] is True
            await listening.wire.publish(STATE, b"no json", retain=True)
            await listening.wire.probe()


async def test_a_host_that_is_not_primary_says_nothing_of_itself(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    nodes(broker)
    async with ear(broker.url, "spBv1.0/STATE/#") as listening:
        async with flowing(broker.url, *TAGS, primary=False):
            pass
        await listening.wire.probe()
        assert listening.heard == []


# --- births and deaths ---


async def test_a_node_that_was_born_before_us_is_asked_for_a_rebirth(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    node = nodes(broker)
    async with flowing(broker.url) as watching:
        assert await node.ask("rebirths") == 1
        assert {r.tag.path for r in watching.readings} == {t.path for t in TAGS}


async def test_a_killed_node_takes_its_values_along_and_brings_them_back(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    node = nodes(broker)
    async with flowing(broker.url) as watching:
        node.kill()
        await watching.until(lambda: watching.readings[-1].status == "BadNotConnected")
        last = {r.tag.path: r for r in watching.readings}
        assert all(
            (r.value, r.quality, r.status) == (None, Quality.BAD, "BadNotConnected") for r in last.values()
        )
        assert set(watching.status.problems) == {t.path for t in TAGS}
        (reading,) = await watching.link.read([CONSTANT], deadline_s=20)
        assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, "BadNotConnected")
        (outcome,) = await watching.link.write([(TARGET, 1.0)], deadline_s=20)
        assert (outcome.result, outcome.status) == (WriteResult.NOT_SENT, "BadNotConnected")
        nodes(broker)
        await watching.until_flowing()
        (reading,) = await watching.link.read([CONSTANT], deadline_s=20)
        assert (reading.value, reading.quality, reading.confirmed) == (21.5, Quality.GOOD, True)


async def test_a_node_that_is_slow_to_be_born_does_not_cost_the_session(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    """To rebuild the link would say to every other node that its host is gone."""
    node = nodes(broker)
    async with (
        Wire(0, "127.0.0.1", broker.port) as wire,
        ear(broker.url, STATE) as listening,
        flowing(f"mqtt://127.0.0.1:{wire.port}") as watching,
    ):
        node.freeze()
        await wire.cut()
        await watching.until_down()
        await wire.restore()
        await watching.until(lambda: watching.readings[-1].status == "BadWaitingForInitialData")
        await asyncio.sleep(2.5)  # longer than a change may go without its notification
        assert watching.status.reconnects == 1
        assert state(listening.heard[-1].payload)[0] is True
        node.thaw()
        await watching.until_flowing()
        assert watching.status.reconnects == 1


async def test_a_restarted_broker_is_found_again(broker: Broker, nodes: Callable[..., DeviceProcess]) -> None:
    node = nodes(broker)
    async with flowing(broker.url) as watching:
        await asyncio.to_thread(broker.stop)
        await watching.until_down()
        (outcome,) = await watching.link.write([(TARGET, 66.0)], deadline_s=20)
        assert outcome.result is WriteResult.NOT_SENT
        before = len(watching.readings)
        await asyncio.to_thread(broker.start)
        await watching.until(
            lambda: {t.path for t in TAGS} <= {r.tag.path for r in watching.readings[before:]}
        )
        await watching.until_flowing()
        (outcome,) = await watching.link.write([(TARGET, 12.5)], deadline_s=20)
        assert outcome.result is WriteResult.ACCEPTED
        assert await node.writes() == [("Target", 12.5)]


async def test_what_breaks_the_sequence_leads_to_a_rebirth_and_values_flow_on(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    """Garbage, a message that is too long, topics of others: none ends the link or spoils a value for good."""
    node = nodes(broker)
    async with (
        flowing(broker.url, max_message_bytes=2000, reorder_ms=200, rebirth_every_s=0.5) as watching,
        ear(broker.url, client_id="somebody") as somebody,
    ):
        asked = await node.ask("rebirths")
        await somebody.wire.publish("spBv1.0/Plant/DDATA/Edge/Cell", b"\xff\xff\xff\xff garbage", qos=0)
        await somebody.wire.publish("spBv1.0/Plant/DDATA/Edge/Cell", bytes(5000), qos=0)
        await somebody.wire.publish("spBv1.0/Other/DDATA/Node/Cell", b"\x00", qos=0)
        await somebody.wire.probe()
        node.tell("set Constant 1.25")
        await watching.until(lambda: [r for r in watching.of(CONSTANT) if r.value == 1.25])
        await watching.until_flowing()
        assert await node.ask("rebirths") - asked <= 2, "rebirth requests are limited"
        assert watching.status.reconnects == 0


async def test_values_that_change_come_in_order(broker: Broker, nodes: Callable[..., DeviceProcess]) -> None:
    node = nodes(broker)
    async with flowing(broker.url) as watching:
        node.tell("burst 3000")
        await watching.until(lambda: watching.of(CONSTANT)[-1].value == 2999.0)
        values = [r.value for r in watching.of(CONSTANT) if not r.confirmed]
        assert values[-3000:] == [float(number) for number in range(3000)]
        assert watching.status.overflowed == 0


# --- commands ---


async def test_a_deaf_node_makes_a_write_unknown_and_the_wire_stays(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    node = nodes(broker)
    async with flowing(broker.url) as watching:
        node.tell("deaf")
        assert await node.writes() == []  # obeyed in order: it is deaf by now
        (outcome,) = await watching.link.write([(TARGET, 2.0)], deadline_s=0.5)
        assert (outcome.result, outcome.status) == (WriteResult.UNKNOWN, "BadTimeout")
        node.tell("hearing")
        assert await node.writes() == [("Target", 2.0)]
        (outcome,) = await watching.link.write([(TARGET, 3.0)], deadline_s=20)
        assert outcome.result is WriteResult.ACCEPTED
        assert watching.status.reconnects == 0
        assert await node.writes() == [("Target", 2.0), ("Target", 3.0)]


async def test_commands_are_qos_0_and_never_retained(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    """Specification 3.0, tck-id-payloads-dcmd-qos and -retain; a retained one would be executed again."""
    nodes(broker)
    async with ear(broker.url, "spBv1.0/Plant/DCMD/#", "spBv1.0/Plant/NCMD/#") as listening:
        async with flowing(broker.url) as watching:
            await watching.link.write([(TARGET, 4.0)], deadline_s=20)
        await listening.wire.probe()
        assert {m.topic for m in listening.heard} == {
            "spBv1.0/Plant/DCMD/Edge/Cell",
            "spBv1.0/Plant/NCMD/Edge",
        }
        assert {m.qos for m in listening.heard} == {0}
    async with ear(broker.url, "spBv1.0/Plant/DCMD/#", "spBv1.0/Plant/NCMD/#", client_id="late") as late:
        await late.wire.probe()
        assert late.heard == []


async def test_a_read_only_metric_is_refused_by_name(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    node = nodes(broker)
    async with flowing(broker.url) as watching:
        (outcome,) = await watching.link.write([(SPARKPLUG["fixed"], 2.0)], deadline_s=20)
        assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadNotWritable")
        assert await node.writes() == []


async def test_a_type_that_the_birth_does_not_announce_is_refused(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    node = nodes(broker)
    double = tag("Target", DataType.DOUBLE, limits=LIMITS, address="Plant/Edge/Cell:Target")
    async with flowing(broker.url, double) as watching:
        (outcome,) = await watching.link.write([(double, 2.0)], deadline_s=20)
        assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadTypeMismatch")
        assert await node.writes() == []


# --- check ---


async def test_check_finds_nothing_where_all_is_well(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    nodes(broker)
    tags = [t for t in TAGS if t is not SPARKPLUG["fixed"]]
    assert await sparkplug_link(broker.url, *tags).check() == []


async def test_check_lists_every_problem_and_leaves_the_running_link_alone(
    broker: Broker, nodes: Callable[..., DeviceProcess]
) -> None:
    nodes(broker)
    wrong = tag("Count", DataType.INT32, address="Plant/Edge/Cell:Count", limits=LIMITS)
    dead = tag("Dead", address="Plant/Nowhere/Cell:X")
    device = tag("Device", address="Plant/Edge/Nothing:X")
    tags = (CONSTANT, wrong, SPARKPLUG["fixed"], SPARKPLUG["missing"], dead, device)
    async with flowing(broker.url, CONSTANT) as watching, ear(broker.url, STATE) as listening:
        found = await sparkplug_link(broker.url, *tags, refresh_s=2.5).check()
        assert [line.split(" (")[0] for line in found] == [
            "tag [default]Count",
            "tag [default]Fixed",
            "tag [default]NoSuchValue",
            "tag [default]Dead",
            "tag [default]Device",
        ]
        assert "wanted Int32, found Int16 in the birth" in found[0]
        assert "readOnly" in found[1]
        assert "Plant/Nowhere" in found[3]
        await listening.wire.probe()
        assert len(listening.heard) == 1, "a look is no host: it publishes no STATE"
        assert watching.status.state is LinkState.FLOWING
        assert watching.status.reconnects == 0


def test_addresses_that_cannot_be_are_listed() -> None:
    bad = (tag("A", address="Edge/Cell/Deeper/Still:X"), tag("B", address="Cell"), CONSTANT)
    with pytest.raises(ConfigError) as refusal:
        sparkplug_link("mqtt://localhost", *bad)
    assert len(refusal.value.problems) == 2


async def test_switch_is_a_boolean_all_the_way(broker: Broker, nodes: Callable[..., DeviceProcess]) -> None:
    node = nodes(broker)
    async with flowing(broker.url) as watching:
        outcomes = await watching.link.write([(SWITCH, True), (SWITCH, False)], deadline_s=20)
        assert [o.result for o in outcomes] == [WriteResult.ACCEPTED] * 2
        assert await node.writes() == [("Switch", True), ("Switch", False)]
