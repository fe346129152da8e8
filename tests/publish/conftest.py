"""A published server on a fresh database, for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from publish_stand import Stand, standing
from rig import Hands

from bridge import settings as configuration
from bridge.plant import Plant
from bridge.settings import Settings
from bridge.store.queries import Queries

EXAMPLE = Path(__file__).parent.parent.parent / "bridge.example.toml"


@pytest.fixture
def settings() -> Settings:
    """The configuration of bridge.example.toml."""
    return configuration.load(EXAMPLE)


@pytest.fixture
async def stand(settings: Settings, plant: Plant, named: Queries, hands: Hands) -> AsyncIterator[Stand]:
    """The server with an anonymous client; the database is read when it announces something, or after a minute."""
    async with standing(settings, plant, named, hands) as made:
        yield made
