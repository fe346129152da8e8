"""What intake does for links that deliver again what they do not know to be kept. No database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from bridge.agent.detect import Detector
from bridge.agent.intake import Intake
from bridge.clock import SystemClock
from bridge.domain.anomaly import Anomaly, Cleared
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag
from bridge.links.buffer import DiskBuffer
from bridge.ports import Mark
from bridge.settings import LEAST_REMEMBERED, BufferSettings, Settings

T0 = datetime(2026, 3, 1, tzinfo=UTC)
TAG = Tag(
    path="[default]R1/Temperature",
    equipment_id="R1",
    link="plant",
    route=Route.MQTT,
    address="t",
    data_type=DataType.DOUBLE,
)


class Stumbling:
    """A detector that breaks at one value."""

    def observe(self, batch: Sequence[Reading]) -> list[Anomaly | Cleared]:
        if any(reading.value == 13.0 for reading in batch):
            raise ZeroDivisionError("said by the test")
        return []

    def reading(self, path: str) -> None:
        return None


class Taken:
    """A store that takes everything."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    async def store_readings(self, readings: Sequence[Reading], mark: Mark) -> int:
        self.values += [reading.value for reading in readings]
        return len(readings)


class Link:
    """A link that has two batches, and remembers what it need not keep."""

    name = "plant"

    def __init__(self, *batches: Sequence[Reading]) -> None:
        self._batches = batches
        self.safe: list[Sequence[Reading]] = []

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        for batch in self._batches:
            yield batch

    def kept(self, batch: Sequence[Reading]) -> None:
        self.safe.append(batch)


def readings_of(*values: float) -> list[Reading]:
    return [Reading(TAG, value, Quality.GOOD, T0 + timedelta(seconds=value), T0) for value in values]


def intake_of(folder: Path, store: Taken, **how: Any) -> tuple[Intake, DiskBuffer]:
    buffer = DiskBuffer(BufferSettings(dir=folder), {TAG.path: TAG}, SystemClock())
    plant: Any = None
    made = Intake(
        plant=plant,
        detector=cast(Detector, Stumbling()),
        store=cast(Any, store),
        buffer=buffer,
        queue_size=1000,
        found=lambda _: None,
        **how,
    )
    return made, buffer


async def test_batch_that_cannot_be_taken_in_is_counted_and_given_back(tmp_path: Path) -> None:
    """A source that waits for it would wait for ever; the error is still everybody's to see."""
    store = Taken()
    intake, buffer = intake_of(tmp_path, store)
    batches = readings_of(1.0, 2.0), readings_of(13.0, 14.0, 15.0)
    link = Link(*batches)
    with pytest.raises(ZeroDivisionError):
        await intake.watch(cast(Any, link), again=True)
    assert (intake.forward.dropped, intake.taken_in, intake.forward.waiting) == (3, 2, 2)
    assert [id(batch) for batch in link.safe] == [id(batches[1])]
    await intake.forward.flush()
    assert store.values == [1.0, 2.0]
    assert [id(batch) for batch in link.safe] == [id(batches[1]), id(batches[0])]
    await buffer.close()


def persistent(**more: Any) -> dict[str, Any]:
    return {"kind": "mqtt", "broker": "mqtt://127.0.0.1", "client_id": "kept", "persistent": True, **more}


@pytest.mark.parametrize(
    ("links", "wanted"),
    [
        ({}, LEAST_REMEMBERED),
        ({"a": persistent()}, 100_000),
        ({"a": persistent(buffer_values=1000)}, LEAST_REMEMBERED),
        ({"a": persistent(), "b": persistent(), "c": persistent(buffer_values=60_000)}, 230_000),
        ({"a": persistent(version="3.1.1"), "b": persistent()}, 300_000),
        ({"a": persistent(), "b": persistent(persistent=False)}, 100_000),
    ],
)
def test_as_many_are_remembered_as_brokers_may_send_ahead(links: dict[str, Any], wanted: int) -> None:
    assert Settings.model_validate({"links": links}).remembered == wanted


async def test_what_is_remembered_is_as_much_as_was_asked_for(tmp_path: Path) -> None:
    """In memory and, for the next run, on disk."""
    store = Taken()
    intake, buffer = intake_of(tmp_path, store, remembered=100)
    link = cast(Any, Link())
    for _ in range(2):
        intake.take(readings_of(*map(float, range(100, 200))), link, again=True)
    intake.take(readings_of(*map(float, range(200, 301))), link, again=True)
    intake.take(readings_of(*map(float, range(100, 110))), link, again=True)
    assert intake.taken_in == 211, "those behind the last hundred are not known any more"
    assert len(await buffer.recent(100)) == 0
    await intake.forward.flush()
    await buffer.close()
    after, buffer = intake_of(tmp_path, store, remembered=50)
    await after.recall()
    after.take(readings_of(100.0, 300.0), link, again=True)
    assert after.taken_in == 0, "a whole batch is remembered, so more than fifty are"
    await buffer.close()
