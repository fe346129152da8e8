"""What the program is made of: settings in, running bridge out. The one module that knows all the others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from bridge.agent.loop import Agent
from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.errors import ConfigError, FixConfiguration
from bridge.links.opcua import OpcUaLink
from bridge.plant import Plant
from bridge.ports import Clock, TagLink
from bridge.settings import OpcUaLinkSettings, Settings
from bridge.store import queries
from bridge.store.connection import Database
from bridge.store.desk import Desk, unpublished
from bridge.store.postgres import PostgresStore, database


def links_of(settings: Settings, plant: Plant, clock: Clock) -> dict[str, TagLink]:
    """The wires this bridge works itself, by name; the gateway's own tags have none here."""
    return {
        name: OpcUaLink(name, link, plant.on_link(name), clock)
        for name, link in settings.links.items()
        if isinstance(link, OpcUaLinkSettings)
    }


def open_desk(settings: Settings, role: Role | None = Role.OPERATOR) -> tuple[Database, Desk]:
    """A desk for decisions and questions; the database has to be opened and closed by the caller."""
    db = database(settings.store, role)
    return db, Desk(db, queries.load())


async def run_bridge(settings: Settings, *, ready: Callable[[], None] | None = None) -> None:
    """Run the agent until SIGINT or SIGTERM.

    FixConfiguration (with its sentence for a person) when the database or the configuration is not fit to
    start with; a plant link that is down is not: the agent runs and says so.
    """
    clock = SystemClock()
    plant = Plant.of(settings)
    named = queries.load()
    store = PostgresStore(database(settings.store, Role.AGENT), named, settings.agent, settings.store)
    await store.open()
    try:
        await _demand_published(settings, plant)
        agent = Agent(
            settings=settings, plant=plant, store=store, links=links_of(settings, plant, clock), clock=clock
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, agent.stop)
        try:
            await agent.run(ready)
        except* FixConfiguration as problems:
            raise problems.exceptions[0] from None
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
    finally:
        await store.close()


async def _demand_published(settings: Settings, plant: Plant) -> None:
    """Refuse to run on limits that are not the ones the database checks approvals against."""
    db, desk = open_desk(settings, Role.AGENT)
    await db.open()
    try:
        differing = unpublished(await desk.published_limits(), plant.writable)
    finally:
        await db.close()
    if differing:
        raise ConfigError([f"{problem}; run `ignition-bridge tags publish`" for problem in differing])
