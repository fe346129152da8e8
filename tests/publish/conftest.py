"""A published server on a fresh database, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
from asyncua.server.internal_server import InternalServer
from publish_stand import Stand, standing
from rig import Hands

from bridge import settings as configuration
from bridge.plant import Plant
from bridge.publish.opcua_sessions import Internals
from bridge.settings import Settings
from bridge.store.queries import Queries
from simulator.opcua import standard_space

EXAMPLE = Path(__file__).parent.parent.parent / "bridge.example.toml"


@pytest.fixture(scope="session", autouse=True)
def quick_start() -> Iterator[None]:
    """What every OPC UA server begins with is not under test, and takes two seconds of a core to build."""
    build = InternalServer.load_standard_address_space

    async def load(self: InternalServer, shelf_file: Path | None = None) -> None:
        await standard_space.fill(self.aspace, partial(build, self, shelf_file))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Internals, "load_standard_address_space", load)
        yield


@pytest.fixture
def settings() -> Settings:
    """The configuration of bridge.example.toml."""
    return configuration.load(EXAMPLE)


@pytest.fixture
async def stand(settings: Settings, plant: Plant, named: Queries, hands: Hands) -> AsyncIterator[Stand]:
    """The server with an anonymous client; the database is read when it announces something, or after a minute."""
    async with standing(settings, plant, named, hands) as made:
        yield made
