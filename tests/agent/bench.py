"""What the tests of the agent share: one real plant for all of them, fresh reactors and a fresh database for each."""

from __future__ import annotations

import asyncio
import atexit
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, overload

from asyncua import ua
from asyncua.client.client import Client
from rig import Hands, Row

from bridge.agent.advise import Adviser, Advising
from bridge.agent.detect import Detector
from bridge.agent.execute import Executor
from bridge.agent.loop import Agent
from bridge.agent.recommend import Recommender
from bridge.agent.tend import tend
from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag
from bridge.links.buffer import DiskBuffer
from bridge.plant import Plant
from bridge.ports import Clock, LinkState, Store, TagLink
from bridge.ports_advice import Advisor
from bridge.settings import AdvisorSettings, Settings
from bridge.store import queries
from bridge.store.advice import AdviceBook
from bridge.store.connection import Database
from bridge.store.desk import publish_limits
from bridge.store.postgres import PostgresStore, database
from bridge.wiring import links_of
from simulator.opcua.client import call_plant
from simulator.process import PlantProcess

NAMESPACE = "urn:ignition-bridge:plant"
_BUFFERS = Path(tempfile.mkdtemp(prefix="bridge-buffers-"))  # a folder for each bridge on each database
atexit.register(shutil.rmtree, _BUFFERS, ignore_errors=True)
START_KG_H = 500.0  # where every reactor's throughput set-point stands at first
QUICK: Mapping[str, object] = {
    "id": "test-agent",
    "poll_s": 1.0,
    "tend_s": 0.1,
    "heartbeat_s": 0.2,
    "flush_s": 0.05,
    "command_deadline_s": 1.0,
    "lease_s": 3.0,
}
RULE: Mapping[str, object] = {
    "issue": "high_temperature",
    "signal": "temperature",
    "levels": [
        {"limit": 85.0, "severity": "medium", "confidence": 0.85},
        {"limit": 90.0, "severity": "high", "confidence": 0.90},
        {"limit": 95.0, "severity": "critical", "confidence": 0.95},
    ],
    "deadband": 2.0,
}
SIGNALS = {
    "temperature": ("Temperature", "°C"),
    "pressure": ("Pressure", "bar"),
    "flow_rate": ("FlowRate", "l/min"),
}


def throughput(reactor: str) -> str:
    """Path of a reactor's throughput set-point: Float, 100 to 800 kg/h, steps up to 300."""
    return f"[default]{reactor}/ThroughputSetpoint"


def cooling(reactor: str) -> str:
    """Path of a reactor's cooling switch: Boolean."""
    return f"[default]{reactor}/CoolingOn"


def write_of(reactor: str, target: float = 450.0, present: float = START_KG_H) -> dict[str, object]:
    """One write to the throughput set-point."""
    return {"tag_path": throughput(reactor), "from": present, "to": target, "unit": "kg/h"}


def switch_of(reactor: str, on: bool = True) -> dict[str, object]:
    """One write to the cooling switch."""
    return {"tag_path": cooling(reactor), "from": not on, "to": on, "unit": ""}


def settings_for(
    url: str,
    endpoint: str,
    reactors: Sequence[str],
    *,
    agent: Mapping[str, object] | None = None,
    store: Mapping[str, object] | None = None,
    measured_by_link: bool = False,
    limits: Mapping[str, object] | None = None,
    reactor: Mapping[str, object] | None = None,
) -> Settings:
    """A configuration of a few reactors.

    Unless `measured_by_link`, the measured signals belong to a gateway link: nothing but what a test feeds
    or inserts by itself is ever measured, while set-points are read and written over real OPC UA.
    """
    return Settings(
        **settings_values(
            url,
            endpoint,
            reactors,
            agent=agent,
            store=store,
            measured_by_link=measured_by_link,
            limits=limits,
            reactor=reactor,
        )
    )


def settings_values(
    url: str,
    endpoint: str,
    reactors: Sequence[str],
    *,
    agent: Mapping[str, object] | None = None,
    store: Mapping[str, object] | None = None,
    measured_by_link: bool = False,
    limits: Mapping[str, object] | None = None,
    reactor: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """The same as plain values, as bridge.toml would hold them."""
    link = "plant" if measured_by_link else "hmi"
    signals = {
        name: {
            "tag": f"[default]{{equipment}}/{node}",
            "address": f"s={{equipment}}/{node}",
            "unit": unit,
            "link": link,
        }
        for name, (node, unit) in SIGNALS.items()
    }
    setpoints = {
        "throughput": {
            "tag": throughput("{equipment}"),
            "address": "s={equipment}/ThroughputSetpoint",
            "data_type": "Float",
            "unit": "kg/h",
            "limits": {
                "low": 100,
                "high": 800,
                "max_step": 300,
                "tolerance": 0.5,
                "settle_s": 0.5,
                **(limits or {}),
            },
        },
        "cooling": {
            "tag": cooling("{equipment}"),
            "address": "s={equipment}/CoolingOn",
            "data_type": "Boolean",
            "limits": {"low": 0, "high": 1, "settle_s": 0.5},
        },
    }
    kind = {"link": "plant", "signals": signals, "setpoints": setpoints, "rules": [RULE], **(reactor or {})}
    chosen = {**QUICK, **(agent or {})}
    return {
        "agent": chosen,
        "store": {"url": url, **(store or {})},
        "buffer": {"dir": str(_BUFFERS / url.rpartition(":")[2].replace("/", "-") / str(chosen["id"]))},
        "links": {
            "plant": {
                "kind": "opcua",
                "endpoint": endpoint,
                "namespace": NAMESPACE,
                "publishing_ms": 50,
                "deadline_s": 1.0,
                "reconnect_max_s": 0.3,
            },
            "hmi": {"kind": "gateway"},
        },
        "types": {"reactor": kind},
        "equipment": [{"ids": list(reactors), "type": "reactor"}],
    }


T = TypeVar("T")


@overload
async def until(
    look: Callable[[], Coroutine[Any, Any, T]], what: str, *, deadline_s: float = ..., every_s: float = ...
) -> T: ...
@overload
async def until(look: Callable[[], T], what: str, *, deadline_s: float = ..., every_s: float = ...) -> T: ...
async def until(
    look: Callable[[], Any], what: str, *, deadline_s: float = 30.0, every_s: float = 0.02
) -> Any:
    """Wait until `look` finds something true and return it; fails saying what was waited for."""
    ends_s = time.monotonic() + deadline_s
    while True:
        found = look()
        value = await found if isinstance(found, Awaitable) else found
        if value:
            return value
        assert time.monotonic() < ends_s, f"waited {deadline_s:g} s in vain: {what}; last seen {value!r}"
        await asyncio.sleep(every_s)


@dataclass(kw_only=True)
class Floor:
    """A plant in its own process, with its own record of writes and reactors that nobody has used yet."""

    process: PlantProcess
    write_log: Path
    reactors: int
    _taken: int = 0

    @property
    def endpoint(self) -> str:
        return self.process.endpoint

    def take(self) -> str:
        """A reactor that no other test touches: throughput 500 kg/h, cooling off, no faults."""
        self._taken += 1
        assert self._taken <= self.reactors, "more reactors than the plant has; give it more at its start"
        width = max(2, len(str(self.reactors)))
        return f"REACTOR_{self._taken:0{width}d}"

    def writes(self, *reactors: str) -> list[tuple[str, object]]:
        """What the plant says was written to these reactors, in its order: node and stored value."""
        if not self.write_log.exists():
            return []
        lines = [json.loads(line) for line in self.write_log.read_text(encoding="utf-8").splitlines()]
        return [(line["node"], line["new"]) for line in lines if line["node"].split("/")[0] in reactors]

    async def fault(self, reactor: str, fault: str) -> None:
        await call_plant(self.endpoint, "InjectFault", reactor, fault)

    async def clear(self, reactor: str) -> None:
        await call_plant(self.endpoint, "ClearFault", reactor)

    async def by_hand(self, reactor: str, wanted: float | bool) -> None:
        """Somebody at the panel moves the throughput set-point, or turns the cooling switch."""
        switch = isinstance(wanted, bool)
        async with self._client() as client:
            node = client.get_node(
                await self._id(client, reactor, "CoolingOn" if switch else "ThroughputSetpoint")
            )
            kind = ua.VariantType.Boolean if switch else ua.VariantType.Float
            value = ua.DataValue(ua.Variant(wanted, kind))
            value.StatusCode = None
            await node.write_value(value)

    async def shows(self, reactor: str, signal: str = "ThroughputSetpoint") -> object:
        """What the plant itself shows now."""
        async with self._client() as client:
            shown: object = await client.get_node(await self._id(client, reactor, signal)).read_value()
            return shown

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        async with Client(self.endpoint, timeout=20) as client:
            yield client

    async def _id(self, client: Client, reactor: str, signal: str) -> str:
        return f"ns={await client.get_namespace_index(NAMESPACE)};s={reactor}/{signal}"


async def publish(url: str, plant: Plant, named: queries.Queries) -> None:
    """Put the configuration's limits on the database's allow-list, as its owner."""
    owner = Database(url, role=None, size=2, connect_timeout_s=5.0, statement_timeout_s=10.0)
    await owner.open()
    try:
        await publish_limits(owner, named, plant.writable)
    finally:
        await owner.close()


class Watcher:
    """Detector and recommender of one agent; temperatures are fed by hand, set-points come from the link."""

    def __init__(self, bench: Bench, settings: Settings, store: Store, links: dict[str, TagLink]) -> None:
        self.settings = settings
        self.plant = Plant.of(settings)
        self.store = store
        clock = SystemClock()
        self.detector = Detector(self.plant, started_utc=clock.now_utc())
        self.recommender = Recommender(
            plant=self.plant,
            store=store,
            links=links,
            detector=self.detector,
            clock=clock,
            settings=settings.agent,
        )
        self.links = links
        self._bench = bench

    async def restore(self) -> None:
        """What the loop does first: take up what the database remembers."""
        conditions = await self.store.active_conditions()
        self.detector.restore((c.equipment_id, c.issue_type, c.severity, c.since_utc) for c in conditions)
        self.recommender.restore(conditions)

    async def feed(
        self, celsius: float | None, *, reactor: str = "", quality: Quality = Quality.GOOD
    ) -> None:
        """One temperature of now, and an answer to whatever the detector finds in it."""
        now_utc = datetime.now(UTC)
        tag = self.plant.equipment[reactor or self._bench.reactor].signals["temperature"]
        status = "Good" if quality is Quality.GOOD else "BadSensorFailure"
        for finding in self.detector.observe([Reading(tag, celsius, quality, now_utc, now_utc, status)]):
            await self.recommender.handle(finding)

    async def tick(self, later_s: float = 0.0) -> None:
        """What the loop does each second; `later_s` turns the clock forward."""
        moment = datetime.fromtimestamp(time.time() + later_s, UTC)
        for finding in self.detector.tick(moment):
            await self.recommender.handle(finding)

    async def look(self) -> None:
        """What the loop does each tend_s."""
        await tend(self.store, self.recommender, self.links, self.plant.tags, self.settings.agent)
        await self.recommender.revisit()


def advising(
    advisor: Advisor, store: PostgresStore, settings: Settings, named: queries.Queries, **bounds: Any
) -> Advising:
    """An advisor with the book of this store's database, and quick bounds."""
    quick = {"deadline_s": 5.0, "again_after_s": 0.05, "per_minute": 600}
    return Advising(
        advisor=advisor,
        book=AdviceBook(store._db, named, agent_id=settings.agent.id),
        settings=AdvisorSettings(**{**quick, **bounds}),
    )


@dataclass(kw_only=True)
class Bench:
    """One test's database, reactors, settings, and a running link to the plant."""

    floor: Floor
    url: str
    named: queries.Queries
    reactors: tuple[str, ...]
    hands: Hands
    settings: Settings
    plant: Plant
    store: PostgresStore
    links: dict[str, TagLink]
    stack: AsyncExitStack
    batches: list[Callable[[Sequence[Reading]], object]] = field(default_factory=list)

    @property
    def reactor(self) -> str:
        """The first of them."""
        return self.reactors[0]

    @property
    def link(self) -> TagLink:
        return self.links["plant"]

    def tag(self, path: str) -> Tag:
        return self.plant.tags[path]

    def again(self, **settings: Any) -> Settings:
        """The same plant and database with some settings changed."""
        return settings_for(self.url, self.floor.endpoint, self.reactors, **settings)

    async def open_store(
        self, settings: Settings | None = None, kind: type[PostgresStore] = PostgresStore
    ) -> PostgresStore:
        """One more bridge's store on the same database; `kind` may fail on purpose."""
        chosen = settings or self.settings
        store = kind(database(chosen.store, Role.AGENT), self.named, chosen.agent, chosen.store)
        await store.open()
        self.stack.push_async_callback(store.close)
        return store

    async def watcher(
        self, settings: Settings | None = None, *, links: dict[str, TagLink] | None = None
    ) -> Watcher:
        """A detector and recommender that hear the set-points of the running link."""
        chosen = settings or self.settings
        store = self.store if settings is None else await self.open_store(chosen)
        made = Watcher(self, chosen, store, self.links if links is None else links)
        paths = [throughput(reactor) for reactor in self.reactors]
        # The first values went by before this listener was there, so they are read once.
        made.detector.observe(await self.link.read([self.tag(path) for path in paths], deadline_s=2.0))
        self.batches.append(made.detector.observe)
        return made

    @asynccontextmanager
    async def advised(
        self, watcher: Watcher, advisor: Advisor, *, store: PostgresStore | None = None, **bounds: Any
    ) -> AsyncIterator[Adviser]:
        """An adviser at work for this watcher's recommendations, until the block ends; what breaks in it comes out."""
        adviser = Adviser(
            plant=watcher.plant,
            detector=watcher.detector,
            recommender=watcher.recommender,
            advising=advising(advisor, store or self.store, watcher.settings, self.named, **bounds),
            clock=SystemClock(),
        )
        work = asyncio.create_task(adviser.run(lambda: None, look_s=0.02))
        try:
            yield adviser
        finally:
            if not work.done():
                work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    def approved(
        self, *writes: Mapping[str, object], reactor: str = "", issue: str = "high_temperature"
    ) -> str:
        """A recommendation with these writes that a person has approved."""
        made = self.proposed(*writes, reactor=reactor, issue=issue)
        self.hands.approve(made)
        return made

    def proposed(
        self, *writes: Mapping[str, object], reactor: str = "", issue: str = "high_temperature"
    ) -> str:
        return self.hands.propose(
            equipment_id=reactor or self.reactor, issue_type=issue, writes=[dict(write) for write in writes]
        )

    def executor(
        self,
        *,
        settings: Settings | None = None,
        store: Store | None = None,
        links: Mapping[str, TagLink] | None = None,
        clock: Clock | None = None,
    ) -> Executor:
        chosen = settings or self.settings
        return Executor(
            store=store or self.store,
            links=self.links if links is None else links,
            tags=Plant.of(chosen).tags,
            clock=clock or SystemClock(),
            settings=chosen.agent,
        )

    @asynccontextmanager
    async def executing(self, executor: Executor) -> AsyncIterator[asyncio.Event]:
        """The executor at work, until the block ends; gives the event that wakes it."""
        wake, stop = asyncio.Event(), asyncio.Event()
        work = asyncio.create_task(executor.run(wake, stop))
        try:
            yield wake
        finally:
            stop.set()
            await asyncio.wait_for(work, 40.0)

    async def execute(self, recommendation_id: str, *, deadline_s: float = 40.0, **parts: Any) -> Row:
        """Let an executor work until the recommendation is over; its row."""
        async with self.executing(self.executor(**parts)):
            return await self.over(recommendation_id, deadline_s=deadline_s)

    async def over(self, recommendation_id: str, *, deadline_s: float = 40.0) -> Row:
        """The recommendation's row once nothing of it is on its way any more."""

        def look() -> Row | None:
            row = self.hands.recommendation(recommendation_id)
            return row if row["status"] not in ("pending", "approved", "executing") else None

        found = await until(look, f"{recommendation_id} ends", deadline_s=deadline_s)
        assert found is not None
        return found

    def command(self, recommendation_id: str, place: int = 1) -> Row:
        return self.hands.commands_of(recommendation_id)[place - 1]

    async def tended(self, recommendation_id: str) -> Row:
        """Tend until the recommendation is over; its row."""
        watcher = await self.watcher()

        async def look() -> bool:
            await watcher.look()
            return self.hands.recommendation(recommendation_id)["status"] not in ("approved", "executing")

        await until(look, f"tending ends {recommendation_id}", every_s=0.1)
        return self.hands.recommendation(recommendation_id)

    def disarm(self) -> None:
        self.hands.operator.execute(
            "update bridge_control set armed = false, changed_by = 'berta', reason = 'maintenance'"
        )

    def actions(self, recommendation_id: str) -> list[str]:
        """The audit trail of one recommendation: what happened, in its order."""
        return [row["action"] for row in self.hands.trail(recommendation_id)]

    def recommendations(self, reactor: str = "") -> list[Row]:
        """All recommendations of a reactor, oldest first."""
        return self.hands.owner.execute(
            "select * from agent_recommendations where equipment_id = %s order by created_timestamp",
            (reactor or self.reactor,),
        ).fetchall()

    def only(self, reactor: str = "") -> Row:
        """The one recommendation there is."""
        rows = self.recommendations(reactor)
        assert len(rows) == 1, [(row["recommendation_id"], row["status"]) for row in rows]
        return rows[0]


@asynccontextmanager
async def bench_on(
    floor: Floor, url: str, named: queries.Queries, *, reactors: int = 2, **settings: Any
) -> AsyncIterator[Bench]:
    """A bench with a running link; everything is closed at the end."""
    taken = tuple(floor.take() for _ in range(reactors))
    chosen = settings_for(url, floor.endpoint, taken, **settings)
    plant = Plant.of(chosen)
    await publish(url, plant, named)
    async with AsyncExitStack() as stack:
        hands = Hands(url)
        stack.callback(hands.close)
        store = PostgresStore(database(chosen.store, Role.AGENT), named, chosen.agent, chosen.store)
        await store.open()
        stack.push_async_callback(store.close)
        links = links_of(chosen, plant, SystemClock())
        bench = Bench(
            floor=floor,
            url=url,
            named=named,
            reactors=taken,
            hands=hands,
            settings=chosen,
            plant=plant,
            store=store,
            links=links,
            stack=stack,
        )

        async def listen() -> None:
            async for batch in links["plant"].readings():
                for listener in bench.batches:
                    listener(batch)

        tasks = [asyncio.create_task(links["plant"].run()), asyncio.create_task(listen())]

        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        stack.push_async_callback(end)
        await flowing(links["plant"])
        yield bench


async def flowing(link: TagLink, *, deadline_s: float = 40.0) -> None:
    """Wait until a link carries every wanted tag."""
    await until(lambda: link.status().state is LinkState.FLOWING, f"{link.name} flows", deadline_s=deadline_s)


@dataclass(kw_only=True)
class Running:
    """A whole agent at work in this process."""

    agent: Agent
    store: PostgresStore
    links: dict[str, TagLink]
    task: asyncio.Task[None]

    async def stop(self, *, deadline_s: float = 40.0) -> None:
        """End it in good order."""
        self.agent.stop()
        await asyncio.wait_for(asyncio.shield(self.task), deadline_s)


@asynccontextmanager
async def running(
    settings: Settings,
    named: queries.Queries,
    *,
    wait_for_links: bool = True,
    advisor: Advisor | None = None,
    **bounds: Any,
) -> AsyncIterator[Running]:
    """A whole agent from its settings, until the block ends. bounds: of the advisor."""
    plant, clock = Plant.of(settings), SystemClock()
    store = PostgresStore(database(settings.store, Role.AGENT), named, settings.agent, settings.store)
    await store.open()
    links = links_of(settings, plant, clock)
    buffer = DiskBuffer(settings.buffer, plant.tags, clock)
    await buffer.open()
    agent = Agent(
        settings=settings,
        plant=plant,
        store=store,
        buffer=buffer,
        links=links,
        clock=clock,
        advising=None if advisor is None else advising(advisor, store, settings, named, **bounds),
    )
    ready = asyncio.Event()
    task = asyncio.create_task(agent.run(ready.set))
    made = Running(agent=agent, store=store, links=links, task=task)
    try:
        async with asyncio.timeout(40.0):
            await asyncio.wait({task, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        if wait_for_links:
            for link in links.values():
                await flowing(link)
        yield made
        if not task.done():
            await made.stop()
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await buffer.close()
        await store.close()


MakeBench = Callable[..., Awaitable[Bench]]
"""Makes a test's bench; keyword arguments go to `settings_for`, and `reactors` is how many it gets."""
