"""The floors: the same work with nothing but asyncua and psycopg, on plain tables, without rules or audit."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeEvent, Subscription
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError

from benchmarks.stand import Connection, connect

NAMESPACE = "urn:ignition-bridge:plant"

FLOOR_TABLES = """
create table floor_commands (
    id integer primary key, node text not null, target double precision not null,
    status text not null default 'pending', claimed timestamptz, done timestamptz, read_back double precision
);
create table floor_approvals (id integer primary key);
create table floor_recommendations (id bigint generated always as identity primary key, node text, source timestamptz);
"""
FLOOR_APPROVE = """
with noted as (insert into floor_approvals values (%(id)s)),
     approved as (update floor_commands set status = 'approved' where id = %(id)s and status = 'pending' returning id)
select pg_notify('floor', id::text) from approved
"""
FLOOR_CLAIM = """
update floor_commands set status = 'executing', claimed = clock_timestamp()
where id = (select id from floor_commands where status = 'approved' order by id limit 1 for update skip locked)
returning id, node, target
"""
FLOOR_COMPLETE = """
with done as (update floor_commands set status = 'executed', read_back = %(read_back)s, done = clock_timestamp()
              where id = %(id)s returning id)
select pg_notify('floor_done', id::text) from done
"""


@dataclass(slots=True)
class Heard:
    """What a bare subscriber received. delays_s: source timestamp to arrival, one per value."""

    values: int = 0
    delays_s: list[float] = field(default_factory=list)
    newest_utc: datetime | None = None


async def nodes_of(client: Client, names: Sequence[str]) -> list[Node]:
    """Nodes of the plant by name."""
    index = await client.get_namespace_index(NAMESPACE)
    return [client.get_node(f"ns={index};s={name}") for name in names]


async def read(node: Node) -> tuple[float, datetime]:
    """Present value and its source timestamp."""
    found = await node.read_data_value()
    assert found.Value is not None
    assert found.SourceTimestamp is not None
    return found.Value.Value, found.SourceTimestamp


async def write(node: Node, value: float) -> None:
    """Write one Float, the value alone."""
    await node.write_attribute(
        AttributeIds.Value, ua.DataValue(ua.Variant(value, ua.VariantType.Float), StatusCode=None)
    )


@asynccontextmanager
async def client_of(endpoint: str) -> AsyncIterator[Client]:
    """A connected client."""
    client = Client(endpoint, timeout=30, watchdog_intervall=30)  # a flooded server answers late
    async with client:
        yield client


@asynccontextmanager
async def subscribed(
    client: Client, names: Sequence[str], *, queue_size: int = 10
) -> AsyncIterator[Subscription]:
    """A subscription to these nodes as the bridge asks for it: 100 ms, 10 values per item, iterator style."""
    subscription = await client.create_subscription(100, queue_maxsize=500_000)
    nodes = await nodes_of(client, names)
    for first in range(0, len(nodes), 1000):
        await subscription.subscribe_data_change(
            nodes[first : first + 1000], queuesize=queue_size, sampling_interval=ua.Double(0)
        )
    yield subscription


async def listen(subscription: Subscription, heard: Heard) -> None:
    """Count what arrives, until cancelled."""
    now = datetime.now
    async for event in subscription:
        if isinstance(event, DataChangeEvent):
            stamp = event.data.monitored_item.Value.SourceTimestamp
            heard.values += 1
            heard.newest_utc = stamp
            heard.delays_s.append((now(UTC) - stamp).total_seconds())


async def answer_crossings(
    subscription: Subscription, database: Connection, limit: float, delays_s: list[float], nodes: set[str]
) -> None:
    """Insert a plain row for each value of `nodes` above the limit; source timestamp to committed row."""
    async for event in subscription:
        if not isinstance(event, DataChangeEvent) or str(event.node.nodeid.Identifier) not in nodes:
            continue
        if event.value > limit:
            stamp = event.data.monitored_item.Value.SourceTimestamp
            await database.execute(
                "insert into floor_recommendations (node, source) values (%s, %s)",
                (str(event.node.nodeid.Identifier), stamp),
            )
            delays_s.append((datetime.now(UTC) - stamp).total_seconds())


async def execute_approved(url: str, endpoint: str) -> None:
    """NOTIFY → claim → write → read → complete, one by one, until SIGTERM; the shortest loop there can be."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    working = asyncio.create_task(_work(url, endpoint))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def _work(url: str, endpoint: str) -> None:
    listener, worker = await connect(url), await connect(url)
    await listener.execute("listen floor")
    async with client_of(endpoint) as client:
        index = await client.get_namespace_index(NAMESPACE)
        print("floor ready", flush=True)
        async for _ in listener.notifies():
            row = await (await worker.execute(FLOOR_CLAIM)).fetchone()
            if row is None:
                continue
            node = client.get_node(f"ns={index};s={row['node']}")
            await write(node, row["target"])
            found = await node.read_value()
            await worker.execute(FLOOR_COMPLETE, {"id": row["id"], "read_back": found})


async def writes_and_reads_per_s(endpoint: str, names: Sequence[str], targets: Sequence[float]) -> float:
    """Write and read back each node once, 50 at a time; nodes per second."""
    async with client_of(endpoint) as client:
        nodes = await nodes_of(client, names)
        todo = iter(zip(nodes, targets, strict=True))

        async def worker() -> None:
            for node, target in todo:
                await write(node, target)
                await node.read_value()

        began_s = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(50)))
        return len(nodes) / (time.perf_counter() - began_s)


async def claims_per_s(url: str, rows: int, *, workers: int = 4) -> float:
    """Claim with SKIP LOCKED and complete rows one by one over `workers` connections; rows per second."""
    connections = [await connect(url) for _ in range(workers)]
    try:
        await connections[0].execute("truncate floor_commands")
        await connections[0].execute(
            "insert into floor_commands (id, node, target, status)"
            " select number, 'n', 0, 'approved' from generate_series(1, %s) as number",
            (rows,),
        )

        async def worker(connection: Connection) -> None:
            while row := await (await connection.execute(FLOOR_CLAIM)).fetchone():
                await connection.execute(FLOOR_COMPLETE, {"id": row["id"], "read_back": 0.0})

        began_s = time.perf_counter()
        await asyncio.gather(*(worker(connection) for connection in connections))
        return rows / (time.perf_counter() - began_s)
    finally:
        for connection in connections:
            await connection.close()


class AutoReconnecting:
    """asyncua alone with its own reconnect, as a user of the library would run it."""

    def __init__(self, endpoint: str, names: Sequence[str]) -> None:
        self._client = Client(endpoint, timeout=4, auto_reconnect=True)
        self._names = names
        self.last_source_utc: datetime | None = None
        self.arrivals: list[tuple[datetime, datetime]] = []
        """(source timestamp, arrival) of each value."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AutoReconnecting:
        await self._client.connect()
        subscription = await self._client.create_subscription(100, queue_maxsize=100_000)
        nodes = await nodes_of(self._client, self._names)
        await subscription.subscribe_data_change(nodes, queuesize=10, sampling_interval=ua.Double(0))
        self._task = asyncio.create_task(self._listen(subscription))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        try:
            async with asyncio.timeout(2.0):
                await self._client.disconnect()
        except (TimeoutError, OSError, UaError):
            pass  # it may be in the middle of anything

    async def _listen(self, subscription: Subscription) -> None:
        async for event in subscription:
            if isinstance(event, DataChangeEvent):
                stamp = event.data.monitored_item.Value.SourceTimestamp
                if stamp is not None:
                    self.arrivals.append((stamp, datetime.now(UTC)))

    def first_after(self, moment_utc: datetime) -> datetime | None:
        """When the first value that arose after a moment arrived."""
        return next((arrived for source, arrived in self.arrivals if source > moment_utc), None)
