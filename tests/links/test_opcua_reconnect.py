"""What the OPC UA link does when the plant or the wire goes away, and how soon data is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from link_bench import CONSTANT, NAMESPACE, PlantProcess, SystemClock, Watched, counters, tag, watched

from bridge.domain.tag import Tag
from bridge.links.opcua import OpcUaLink
from bridge.ports import LinkState
from bridge.settings import OpcUaLinkSettings
from simulator.wire import Wire

Start = Callable[..., PlantProcess]


def link_to(port: int, tags: tuple[Tag, ...], **changes: object) -> OpcUaLink:
    given = {
        "endpoint": f"opc.tcp://127.0.0.1:{port}/",
        "namespace": NAMESPACE,
        "publishing_ms": 50,
        "queue_size": 1000,
    }
    return OpcUaLink("plant", OpcUaLinkSettings.model_validate({**given, **changes}), tags, SystemClock())


def assert_nothing_lost(watching: Watched, tags: tuple[Tag, ...]) -> None:
    """Counters count by one: every value from the first to the last, in order, each once."""
    for counter in tags:
        values = [reading.value for reading in watching.of(counter) if not reading.confirmed]
        first, last = values[0], values[-1]
        assert isinstance(first, float)
        assert isinstance(last, float)
        assert values == [first + n for n in range(int(last - first) + 1)]


async def test_data_flows_again_soon_after_the_server_was_killed_and_is_back(plants: Start) -> None:
    plant, tags = plants("--counters", "20", "--rate", "400"), counters(20)
    async with watched(link_to(plant.port, tags)) as watching:
        await watching.until_flowing()
        plant.kill()
        await watching.until_down(within_s=1)
        await asyncio.sleep(5)  # the outage itself
        await plant.started()
        assert await watching.until_new(tags) < 3.0
        await watching.until_flowing()
        assert watching.status.reconnects == 1


async def test_a_second_drop_while_the_session_is_restored_does_not_end_in_silence(plants: Start) -> None:
    """The library alone reports success here and has no monitored item left."""
    plant, tags = plants("--counters", "20", "--rate", "400"), counters(20)
    async with Wire(0, "127.0.0.1", plant.port) as wire, watched(link_to(wire.port, tags)) as watching:
        await watching.until_flowing()
        for dropped_after_bytes in (700, 3000):
            plant.kill()
            await watching.until_down()
            mark = wire.bytes_passed
            await plant.started()
            await watching.until(lambda m=mark, n=dropped_after_bytes: wire.bytes_passed > m + n)  # type: ignore[misc]
            await wire.cut()
            await wire.restore()
            assert await watching.until_new(tags) < 3.0
        await watching.until_flowing()
        assert watching.status.subscribed == 20


async def test_a_cut_wire_loses_nothing_the_server_still_queues(
    shared_plant: PlantProcess, wire: Wire
) -> None:
    tags = counters(20)
    async with watched(link_to(wire.port, tags)) as watching:
        await watching.until_flowing()
        for _ in range(2):
            await watching.until_new(tags)
            await wire.cut()
            await watching.until_down()
            await asyncio.sleep(3)  # the outage itself
            await wire.restore()
            assert await watching.until_new(tags) < 3.0
        assert_nothing_lost(watching, tags)
        assert watching.status.reconnects == 2


async def test_what_was_on_the_way_when_the_wire_broke_is_marked_replayed(
    shared_plant: PlantProcess, wire: Wire
) -> None:
    tags = counters(20)
    async with watched(link_to(wire.port, tags)) as watching:
        await watching.until_flowing()
        await wire.black_hole()  # responses leave the server and never arrive
        await watching.until_down()
        await wire.restore()
        await watching.until(lambda: [r for r in watching.readings if r.replayed], what="replayed readings")
        await watching.until(
            lambda: [r for r in watching.readings[-1:] if not r.replayed], what="live readings again"
        )
        await watching.until_new(tags)
        assert_nothing_lost(watching, tags)


async def test_a_black_hole_is_noticed_within_ten_seconds(shared_plant: PlantProcess, wire: Wire) -> None:
    tags = counters(20)
    async with watched(link_to(wire.port, tags)) as watching:
        await watching.until_flowing()
        await wire.black_hole()
        assert await watching.until_down(within_s=15) < 10.0
        await wire.restore()
        assert await watching.until_new(tags) < 3.0


async def test_a_half_open_wire_is_noticed_within_ten_seconds(shared_plant: PlantProcess, wire: Wire) -> None:
    tags = counters(20)
    async with watched(link_to(wire.port, tags)) as watching:
        await watching.until_flowing()
        await wire.half_open()
        await watching.until(lambda: watching.status.reconnects, within_s=10, what="a new session")
        await watching.until_new(tags)


async def test_a_server_that_is_frozen_for_a_moment_keeps_its_session(plants: Start) -> None:
    plant, tags = plants("--counters", "20", "--rate", "400"), counters(20)
    async with watched(link_to(plant.port, tags)) as watching:
        await watching.until_flowing()
        plant.freeze()
        await asyncio.sleep(2)
        plant.thaw()
        await watching.until_new(tags)
        assert watching.status.reconnects == 0
        assert_nothing_lost(watching, tags)


async def test_a_server_that_is_not_there_yet_is_waited_for(plants: Start) -> None:
    plant = plants("--counters", "3", "--rate", "30")
    plant.kill()
    async with watched(link_to(plant.port, counters(3))) as watching:
        await watching.until(lambda: watching.status.state is LinkState.DOWN)
        assert "could not connect" in watching.status.detail
        await plant.started()
        await watching.until_flowing()


async def test_namespaces_are_found_by_uri_again_after_a_restart(plants: Start) -> None:
    plant = plants("--counters", "3", "--rate", "30")
    async with watched(link_to(plant.port, counters(3))) as watching:
        await watching.until_flowing()
        plant.kill()
        await watching.until_down()
        plant.arguments = (*plant.arguments, "--namespaces-before", "urn:other:a", "urn:other:b")
        await plant.started()
        await watching.until_new(counters(3))
        await watching.until_flowing()


async def test_changes_that_are_not_notified_lead_to_a_new_session(plants: Start) -> None:
    """Connected, keep-alives arrive, other tags flow: only reading shows that this one is dead."""
    plant = plants("--counters", "3", "--rate", "30")
    tags = (*counters(3), CONSTANT)
    async with watched(link_to(plant.port, tags, refresh_s=0.5)) as watching:
        await watching.until_flowing()
        plant.tell("mute Constant")
        plant.tell("set Constant 5.5")
        await watching.until(lambda: watching.status.reconnects, what="a rebuild")
        await watching.until_flowing()
        plant.tell("set Constant 6.5")
        await watching.until(
            lambda: [r for r in watching.of(CONSTANT) if r.value == 6.5 and not r.confirmed],
            what="a notification",
        )


async def test_a_bad_node_is_set_aside_and_taken_back_when_it_exists(plants: Start) -> None:
    plant = plants("--counters", "3", "--rate", "30", "--without", "Constant")
    missing = tag("NoSuchNode")
    async with watched(link_to(plant.port, (*counters(3), CONSTANT, missing))) as watching:
        await watching.until_new(counters(3))
        status = watching.status
        assert (status.state, status.subscribed, status.reconnects) == (LinkState.DEGRADED, 3, 0)
        assert status.problems == {CONSTANT.path: "BadNodeIdUnknown", missing.path: "BadNodeIdUnknown"}
        plant.kill()
        await watching.until_down()
        plant.arguments = plant.arguments[:-2]
        await plant.started()
        await watching.until_new((*counters(3), CONSTANT))
        assert watching.status.problems == {missing.path: "BadNodeIdUnknown"}
