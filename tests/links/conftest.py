"""Plants and links for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("contract", "link_bench", "mqtt_bench")

from forks import Forks  # noqa: E402 - after asserts are made to explain themselves
from link_bench import SERVER, PlantProcess  # noqa: E402
from mqtt_bench import Broker  # noqa: E402

from simulator.wire import Wire  # noqa: E402


@pytest.fixture(scope="session")
def servers() -> Iterator[Forks]:
    """Where the OPC UA servers come from: 30 of them, each of which would first build the same for seconds."""
    made = Forks(SERVER)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_plant(servers: Forks) -> Iterator[PlantProcess]:
    """One server for a module's tests that do not break it. Its values change; its writes are counted from a mark.

    Not for the whole session: 4,000 changes a second cost a quarter of a core, and other tests want it.
    """
    plant = PlantProcess(servers, "--counters", "20", "--rate", "200")
    plant.start()
    yield plant
    plant.kill()


@pytest.fixture
def plants(servers: Forks) -> Iterator[Callable[..., PlantProcess]]:
    """Servers of a test's own, which it may kill."""
    started: list[PlantProcess] = []

    def start(*arguments: str) -> PlantProcess:
        plant = PlantProcess(servers, *arguments)
        started.append(plant)
        plant.start()
        return plant

    yield start
    for plant in started:
        plant.kill()


@pytest.fixture
async def wire(shared_plant: PlantProcess) -> AsyncIterator[Wire]:
    """A wire to the shared server that may be broken."""
    async with Wire(0, "127.0.0.1", shared_plant.port) as wire:
        yield wire


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """Brokers of a test's own, which it may stop."""
    started: list[Broker] = []

    def start(*lines: str, **named: Any) -> Broker:
        started.append(Broker(tmp_path / f"broker{len(started)}", *lines, **named))
        started[-1].start()
        return started[-1]

    yield start
    for broker in started:
        broker.stop()
