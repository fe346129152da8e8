"""The OPC UA link keeps the contract of every TagLink."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from contract import TagLinkContract
from link_bench import (
    CONSTANT,
    COUNT,
    FLAG,
    MISSING,
    NAMESPACE,
    READ_ONLY,
    SWITCH,
    TARGET,
    PlantProcess,
    SystemClock,
    Watched,
    watched,
)

from bridge.links.opcua import OpcUaLink
from bridge.settings import OpcUaLinkSettings
from simulator.wire import Wire


class OpcUaBench:
    constant, flag, target, switch, count = CONSTANT, FLAG, TARGET, SWITCH, COUNT
    missing, fixed = MISSING, READ_ONLY

    def __init__(self, plant: PlantProcess, wire: Wire, watching: Watched, mark: int) -> None:
        self.watched = watching
        self._plant = plant
        self._mark = mark
        self.cut, self.black_hole, self.delay, self.restore = (
            wire.cut,
            wire.black_hole,
            wire.delay,
            wire.restore,
        )

    async def writes(self) -> list[tuple[str, Any]]:
        return (await self._plant.writes())[self._mark :]


@pytest.fixture
async def bench(shared_plant: PlantProcess, wire: Wire) -> AsyncIterator[OpcUaBench]:
    settings = OpcUaLinkSettings(
        endpoint=f"opc.tcp://127.0.0.1:{wire.port}/", namespace=NAMESPACE, publishing_ms=50
    )
    tags = (CONSTANT, FLAG, TARGET, SWITCH, COUNT, READ_ONLY)
    mark = len(await shared_plant.writes())
    async with watched(OpcUaLink("plant", settings, tags, SystemClock())) as watching:
        await watching.until_flowing()
        yield OpcUaBench(shared_plant, wire, watching, mark)


class TestOpcUaLink(TagLinkContract):
    pass
