"""One broker, one plant that speaks OPC UA, Sparkplug and plain MQTT, and one who writes everything down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mqtt_watcher import GROUP, NODE, Watcher, mosquitto

from simulator.opcua.client import call_plant
from simulator.process import PlantProcess

TICK_S = 0.1


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mosquitto(tmp_path_factory.mktemp("broker")) as url:
        yield url


@pytest.fixture(scope="session")
def watcher(broker: str) -> Iterator[Watcher]:
    """Watches before any plant speaks."""
    with Watcher(broker) as watching:
        yield watching


@pytest.fixture(scope="session")
def write_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plant") / "writes.jsonl"


@pytest.fixture(scope="module")
def plant(broker: str, watcher: Watcher, write_log: Path) -> Iterator[PlantProcess]:
    """The default plant as edge node plant/line1, and on the plain topics below `works`."""
    with PlantProcess.start(
        *("--tick", str(TICK_S), "--time-scale", "20", "--write-log", str(write_log)),
        *("--broker", broker, "--sparkplug", f"{GROUP}/{NODE}", "--plain", "works"),
    ) as process:
        watcher.of("DBIRTH", "VALVE_02")
        yield process


@pytest.fixture
def inject(plant: PlantProcess) -> Iterator[Callable[[str, str], None]]:
    """Set off a fault at an equipment or PLANT; all are cleared at the end."""
    places: set[str] = set()

    def begin(words: str, place: str = "PLANT") -> None:
        places.add(place)
        asyncio.run(call_plant(plant.endpoint, "InjectFault", place, words))

    yield begin
    for place in places:
        asyncio.run(call_plant(plant.endpoint, "ClearFault", place))


@pytest.fixture
def clear(plant: PlantProcess) -> Callable[[str], None]:
    """End the faults of an equipment or PLANT."""
    return lambda place: asyncio.run(call_plant(plant.endpoint, "ClearFault", place))
