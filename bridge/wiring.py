"""What the program is made of: settings in, running bridge out. The one module that knows all the others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from bridge.agent.advise import Advising
from bridge.agent.loop import Agent, Publish
from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.errors import ConfigError, FixConfiguration
from bridge.links.buffer import DiskBuffer, was_used
from bridge.links.mqtt import MqttWire
from bridge.links.mqtt_link import MqttLink
from bridge.links.mqtt_message import Will
from bridge.links.mqtt_security import in_the_clear
from bridge.links.mqtt_session import client_id
from bridge.links.opcua import OpcUaLink
from bridge.links.sparkplug_link import SparkplugLink
from bridge.plant import Plant
from bridge.ports import Clock, TagLink
from bridge.ports_advice import Advisor
from bridge.publish.edge import EdgePublisher, Heard, OpenWire
from bridge.publish.edge_check import check_edge
from bridge.publish.opcua import PublishedServer
from bridge.publish.snapshot import Timing, Watch
from bridge.settings import (
    GatewayLinkSettings,
    MqttLinkSettings,
    OpcUaLinkSettings,
    PublishSparkplugSettings,
    Settings,
    SparkplugLinkSettings,
)
from bridge.storage import Tables, beyond_the_store, database, tables
from bridge.store import queries
from bridge.store.advice import AdviceBook
from bridge.store.connection import Database
from bridge.store.desk import Desk, unpublished
from bridge.store.postgres import PostgresStore
from bridge.store.warehouse import WarehouseStore
from bridge.store.warehouse_connection import Warehouse


def links_of(settings: Settings, plant: Plant, clock: Clock) -> dict[str, TagLink]:
    """The wires this bridge works itself, by name; the gateway's own tags have none here.

    ConfigError lists the addresses that are none.
    """
    links: dict[str, TagLink] = {}
    for name, link in settings.links.items():
        tags = plant.on_link(name)
        match link:
            case OpcUaLinkSettings():
                links[name] = OpcUaLink(name, link, tags, clock)
            case SparkplugLinkSettings():
                links[name] = SparkplugLink(name, link, tags, clock)
            case MqttLinkSettings():
                links[name] = MqttLink(name, link, tags, clock)
            case GatewayLinkSettings():
                pass
    return links


def store_of(settings: Settings, there: Tables, clock: Clock) -> PostgresStore | WarehouseStore:
    """The agent's store on its tables; not opened yet."""
    if isinstance(there.db, Warehouse):
        return WarehouseStore(there.db, there.named, settings.agent, settings.store, clock)
    return PostgresStore(there.db, there.named, settings.agent, settings.store)


_SILENT_BEATS = 3  # after so many heartbeats that did not come, an agent counts as offline
_PUBLISHERS_CONNECTIONS = 2  # to the database: what is shown or decided must not wait behind the agent's work


@asynccontextmanager
async def publishers_of(
    settings: Settings, plant: Plant, named: queries.Queries, clock: Clock
) -> AsyncIterator[dict[str, Publish]]:
    """What shows the agent's tables to others, by name; empty when nothing of the kind is configured.

    FixConfiguration when the login for reading, or for decisions where users may decide, does not work.
    """
    publish = settings.publish
    made: dict[str, Publish] = {}
    async with AsyncExitStack() as stack:
        if publish.opcua is not None or publish.sparkplug is not None:
            watch = Watch(
                await _opened(stack, settings, Role.AGENT),
                named,
                clock,
                agent_id=settings.agent.id,
                equipment=tuple(plant.equipment),
                timing=Timing(
                    refresh_s=publish.refresh_s, offline_after_s=_SILENT_BEATS * settings.agent.heartbeat_s
                ),
            )
            made["snapshot"] = watch.run
        if publish.sparkplug is not None:
            made["sparkplug"] = EdgePublisher(
                publish.sparkplug, watch.feed(), clock, edge_wire(publish.sparkplug, clock)
            ).run
        if publish.opcua is not None:
            desk = None
            if any(user.role == "operator" for user in publish.opcua.users.values()):
                desk = Desk(await _opened(stack, settings, Role.OPERATOR), named)
            made["opcua"] = PublishedServer(
                publish.opcua, watch.feed(), desk, clock, agent_id=settings.agent.id
            ).run
        yield made


def edge_wire(settings: PublishSparkplugSettings, clock: Clock, *, beside: bool = False) -> OpenWire:
    """Connections to the edge node's broker. beside: under another client id, so that a running bridge stays."""
    name = client_id(settings, f"{settings.group}-{settings.node}") + ("-check" if beside else "")

    def open_wire(will: tuple[str, bytes] | None, heard: Heard) -> MqttWire:
        last = None if will is None else Will(topic=will[0], payload=will[1], qos=1, retain=False)
        wire = MqttWire(settings, clock, client_id=name, will=last)
        wire.on_messages = heard
        return wire

    return open_wire


async def edge_problems(settings: PublishSparkplugSettings, clock: Clock) -> list[str]:
    """What keeps the edge node from its work. LinkDown, DeadlineExceeded or AccessDenied without a connection."""
    clear = in_the_clear(settings)
    found = await check_edge(settings, edge_wire(settings, clock, beside=True))
    return [clear, *found] if clear else found


async def _opened(stack: AsyncExitStack, settings: Settings, role: Role) -> Database:
    db = database(settings, role, pool_size=_PUBLISHERS_CONNECTIONS)
    await db.open()
    stack.push_async_callback(db.close)
    return db


def advisor_of(settings: Settings, clock: Clock) -> tuple[Advisor, Callable[[], None]] | None:
    """Who is asked for advice, and how to take leave of it; None when the rules are on their own.

    FixConfiguration when the workspace or its login is not configured; nothing is sent yet.
    """
    chosen = settings.advisor
    if chosen.kind == "rules":
        return None
    # requests takes its time to import, and only this needs it
    from bridge.databricks.advisor_genie import GenieAdvisor
    from bridge.databricks.advisor_serving import ModelAdvisor
    from bridge.databricks.auth import azure_resource, workspace
    from bridge.databricks.azure import AzureChat
    from bridge.databricks.genie import Genie
    from bridge.databricks.genie_limits import Turns
    from bridge.databricks.serving import ServingChat

    if chosen.kind == "azure":
        server = azure_resource(chosen, clock, ca_certificate=settings.databricks.ca_certificate)
        deployment = AzureChat(
            chosen.endpoint, api_version=chosen.azure_api_version, token_limit=chosen.token_limit
        )
        return ModelAdvisor(
            deployment, server, clock, what="Azure OpenAI", max_tokens=chosen.max_tokens
        ), server.close
    server = workspace(settings.databricks, clock)
    if chosen.kind == "serving":
        endpoint = ServingChat(chosen.endpoint, token_limit=chosen.token_limit)
        return ModelAdvisor(
            endpoint, server, clock, what="serving endpoint", max_tokens=chosen.max_tokens
        ), server.close
    genie = Genie(Turns(clock, per_minute=settings.genie.questions_per_minute))
    space_id = settings.genie.space_id(chosen.space)
    return GenieAdvisor(genie, server, clock, space_id=space_id, space_name=chosen.space), server.close


async def run_bridge(settings: Settings, *, ready: Callable[[], None] | None = None) -> None:
    """Run the agent until SIGINT or SIGTERM.

    FixConfiguration (with its sentence for a person) when the database or the configuration is not fit to
    start with; a plant link that is down is not: the agent runs and says so. A database that does not answer
    raises StoreDown, except where a bridge has run before: then what is measured waits on disk for it.
    """
    clock = SystemClock()
    plant = Plant.of(settings)
    if beyond := beyond_the_store(settings, plant.writable):
        raise ConfigError(beyond)
    there = tables(settings, Role.AGENT)
    store = store_of(settings, there, clock)
    may_wait = has_run_before(settings)
    buffer = DiskBuffer(settings.buffer, plant.tags, clock, remembered=settings.remembered)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        advising = None
        if (found := advisor_of(settings, clock)) is not None:
            advisor, leave = found
            stack.callback(leave)
            assert isinstance(there.db, Database), "advice beside a warehouse was refused above"
            book = AdviceBook(there.db, there.named, agent_id=settings.agent.id)
            advising = Advising(advisor=advisor, book=book, settings=settings.advisor)

        async def begin() -> Mapping[str, Publish]:
            await store.open()
            await _demand_published(settings, plant)
            return await stack.enter_async_context(publishers_of(settings, plant, there.named, clock))

        publishers = {} if may_wait else await begin()
        await buffer.open()
        stack.push_async_callback(buffer.close)
        agent = Agent(
            settings=settings,
            plant=plant,
            store=store,
            buffer=buffer,
            links=links_of(settings, plant, clock),
            clock=clock,
            publishers=publishers,
            advising=advising,
            begin=begin if may_wait else None,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, agent.stop)
            stack.callback(loop.remove_signal_handler, number)
        try:
            await agent.run(ready)
        except* FixConfiguration as problems:
            raise problems.exceptions[0] from None


def has_run_before(settings: Settings) -> bool:
    """Whether a bridge has worked with this buffer: then its database is the right one, and may be waited for."""
    return was_used(settings.buffer)


async def _demand_published(settings: Settings, plant: Plant) -> None:
    """Refuse to run on limits that are not the ones the database checks approvals against."""
    there = tables(settings, Role.AGENT)
    try:
        await there.db.open()
        differing = unpublished(await there.desk.published_limits(), plant.writable)
    finally:
        await there.db.close()
    if differing:
        raise ConfigError([f"{problem}; run `ignition-bridge tags publish`" for problem in differing])
