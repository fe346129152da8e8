"""The OPC UA link against a server that behaves: readings, refresh, writes by type, and `check`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from link_bench import (
    CONSTANT,
    COUNT,
    FLAG,
    LIMITS,
    MISSING,
    NAMESPACE,
    READ_ONLY,
    TARGET,
    PlantProcess,
    SystemClock,
    counters,
    free_port,
    tag,
    until,
    watched,
)

from bridge.domain.limits import WriteLimits
from bridge.domain.reading import Quality
from bridge.domain.tag import DataType, Tag
from bridge.links.opcua import OpcUaLink
from bridge.ports import LinkState, WriteResult
from bridge.settings import OpcUaLinkSettings

Start = Callable[..., PlantProcess]
ARRAY = tag("Array", limits=LIMITS)
TEXT = tag("Text", DataType.STRING)


def link_to(port: int, *tags: Tag, **changes: object) -> OpcUaLink:
    given = {"endpoint": f"opc.tcp://127.0.0.1:{port}/", "namespace": NAMESPACE, "publishing_ms": 50}
    return OpcUaLink("plant", OpcUaLinkSettings.model_validate({**given, **changes}), tags, SystemClock())


async def test_every_address_form_reaches_its_node(shared_plant: PlantProcess) -> None:
    forms = [
        tag("Constant"),
        tag("ByUri", address=f"nsu={NAMESPACE};s=Constant"),
        tag("ByIndex", address="ns=2;s=Constant"),
        tag("State", DataType.INT32, address="ns=0;i=2259"),
    ]
    async with watched(link_to(shared_plant.port, *forms)) as watching:
        await watching.until_flowing()
        values = [reading.value for reading in await watching.link.read(forms, deadline_s=20)]
        assert values == [21.5, 21.5, 21.5, 0]


async def test_source_timestamps_are_kept_and_aware(plants: Start) -> None:
    plant = plants()
    async with watched(link_to(plant.port, CONSTANT)) as watching:
        await watching.until_flowing()
        before_utc = datetime.now(UTC)
        plant.tell("set Constant 4.5")
        await watching.until(lambda: [r for r in watching.of(CONSTANT)[-1:] if r.value == 4.5])
        notified = watching.of(CONSTANT)[-1]
        await asyncio.sleep(0.3)
        (read,) = await watching.link.read([CONSTANT], deadline_s=20)
        assert notified.source_time_utc == read.source_time_utc
        assert before_utc - timedelta(milliseconds=1) <= notified.source_time_utc <= notified.received_utc
        assert read.received_utc - read.source_time_utc > timedelta(seconds=0.3)


async def test_bad_quality_is_carried_reported_and_cleared(plants: Start) -> None:
    plant = plants()
    async with watched(link_to(plant.port, CONSTANT, FLAG)) as watching:
        await watching.until_flowing()
        plant.tell("status Constant BadSensorFailure")
        await watching.until(lambda: [r for r in watching.of(CONSTANT)[-1:] if r.quality is Quality.BAD])
        bad = watching.of(CONSTANT)[-1]
        assert (bad.value, bad.quality, bad.status) == (None, Quality.BAD, "BadSensorFailure")
        assert watching.status.problems == {CONSTANT.path: "BadSensorFailure"}
        plant.tell("status Constant UncertainLastUsableValue")
        await watching.until(
            lambda: [r for r in watching.of(CONSTANT)[-1:] if r.quality is Quality.UNCERTAIN]
        )
        assert watching.status.state is LinkState.DEGRADED
        plant.tell("set Constant 3.5")
        await watching.until_flowing()


async def test_silent_tags_are_read_on_purpose(shared_plant: PlantProcess) -> None:
    async with watched(link_to(shared_plant.port, CONSTANT, *counters(3), refresh_s=0.4)) as watching:
        await watching.until_flowing()
        await watching.until(lambda: len([r for r in watching.of(CONSTANT) if r.confirmed]) >= 3)
        assert {r.value for r in watching.of(CONSTANT)} == {21.5}
        assert not [r for counter in counters(3) for r in watching.of(counter) if r.confirmed], (
            "these are not silent"
        )
        assert watching.status.reconnects == 0


async def test_a_constant_tag_is_confirmed_before_it_goes_stale(shared_plant: PlantProcess) -> None:
    brief = dataclasses.replace(CONSTANT, stale_after_s=3.0)
    async with watched(link_to(shared_plant.port, brief, refresh_s=60)) as watching:
        await watching.until_flowing()
        states = set()

        def thrice() -> bool:
            states.add(watching.status.state)
            return len([r for r in watching.of(brief) if r.confirmed]) >= 3

        await watching.until(thrice)
        assert states == {LinkState.FLOWING}


async def test_the_configured_type_must_be_the_servers(plants: Start) -> None:
    plant = plants()
    wrong = dataclasses.replace(TARGET, data_type=DataType.DOUBLE)
    async with watched(link_to(plant.port, wrong, COUNT, ARRAY)) as watching:
        await watching.until_new([COUNT])
        outcomes = await watching.link.write([(wrong, 5.0), (ARRAY, 5.0), (COUNT, 5)], deadline_s=20)
        assert [o.status for o in outcomes] == ["BadTypeMismatch", "BadTypeMismatch", "Good"]
        assert "wanted Double, found Float" in outcomes[0].detail
        assert await plant.writes() == [("Count", 5)]


async def test_what_the_server_refuses_keeps_its_status(shared_plant: PlantProcess) -> None:
    async with watched(link_to(shared_plant.port, READ_ONLY)) as watching:
        await watching.until_flowing()
        (outcome,) = await watching.link.write([(READ_ONLY, 5.0)], deadline_s=20)
        assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadUserAccessDenied")


async def test_many_concurrent_writes_all_arrive_once(plants: Start) -> None:
    plant = plants()
    async with watched(link_to(plant.port, TARGET)) as watching:
        await watching.until_flowing()
        outcomes = await asyncio.gather(
            *(watching.link.write([(TARGET, float(n))], deadline_s=20) for n in range(200))
        )
        assert {o.result for (o,) in outcomes} == {WriteResult.ACCEPTED}
        assert sorted(value for _, value in await plant.writes()) == [float(n) for n in range(200)]


async def test_a_slow_consumer_loses_the_oldest_and_it_is_counted(plants: Start) -> None:
    plant = plants("--counters", "20", "--rate", "4000")
    tags = counters(20)
    link = link_to(plant.port, *tags, buffer_values=1000, queue_size=1000)
    running = asyncio.create_task(link.run())  # nobody consumes
    try:
        await until(lambda: link.status().overflowed, within_s=30)
        batches = link.readings()
        first = await anext(batches)
        (latest,) = await link.read([tags[0]], deadline_s=20)
        kept = [r.value for r in first if r.tag is tags[0]]
        assert isinstance(kept[0], float)
        assert isinstance(latest.value, float)
        assert kept[0] > 1.0, "the oldest went"
        assert latest.value - kept[0] < 200, "the newest stayed"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_stopping_leaves_no_session_behind(plants: Start) -> None:
    plant = plants()
    for _ in range(3):
        async with watched(link_to(plant.port, CONSTANT)) as watching:
            await watching.until_flowing()
        assert watching.status.state is not LinkState.FLOWING
        assert not [t for t in asyncio.all_tasks() if "publish" in t.get_name()]


class TestCheck:
    async def test_says_nothing_when_all_is_well(self, shared_plant: PlantProcess) -> None:
        link = link_to(shared_plant.port, CONSTANT, FLAG, TARGET, COUNT, TEXT)
        assert await link.check() == []

    async def test_lists_every_disagreement(self, shared_plant: PlantProcess) -> None:
        wide = dataclasses.replace(TARGET, limits=WriteLimits(low=-5.0, high=500.0))
        wrong = dataclasses.replace(COUNT, data_type=DataType.INT32)
        problems = await link_to(shared_plant.port, CONSTANT, MISSING, wide, wrong, READ_ONLY, ARRAY).check()
        expected = [
            (MISSING, "BadNodeIdUnknown"),
            (wide, "limits -5 to 500 reach outside the server's range 0 to 100"),
            (wrong, "wanted Int32, found Int16"),
            (READ_ONLY, "not writable"),
            (ARRAY, "found an array"),
        ]
        assert len(problems) == len(expected)
        for problem, (where, words) in zip(problems, expected, strict=True):
            assert where.path in problem
            assert where.address in problem
            assert words in problem

    async def test_names_a_namespace_that_is_missing_once(self, shared_plant: PlantProcess) -> None:
        (problem,) = await link_to(shared_plant.port, *counters(5), namespace="urn:nowhere").check()
        assert "urn:nowhere" in problem
        assert "5 tags" in problem
        assert NAMESPACE in problem, "it says what there is instead"

    async def test_says_when_nobody_answers(self) -> None:
        (problem,) = await link_to(free_port(), CONSTANT).check()
        assert "could not connect" in problem

    async def test_remarks_on_another_machine_in_the_clear(self) -> None:
        settings = OpcUaLinkSettings(endpoint="opc.tcp://192.0.2.1:4840", deadline_s=0.2)
        problems = await OpcUaLink("plant", settings, [CONSTANT], SystemClock()).check()
        assert "in the clear" in problems[0]
