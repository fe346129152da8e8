"""The store on a simulated SQL warehouse: statements a cycle, and claims a second.

A real warehouse takes about a second over a statement. So statements carry over, and seconds do not: of the rates only
the ratio to the bare connector, which does the same conditional UPDATE on a plain table.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from statistics import median
from typing import Any

from benchmarks.figures import Figure, Result, runs, shown
from benchmarks.stand import Failed, Stand, cleared_environment, reactor_toml
from bridge import settings as configuration
from bridge.agent.execute import OUR_ROUTES
from bridge.clock import SystemClock
from bridge.databricks.auth import PersonalToken
from bridge.domain.anomaly import Severity
from bridge.domain.approval import digest_of
from bridge.domain.command import Command, Verdict
from bridge.domain.lifecycle import CommandStatus, RecommendationStatus, Role
from bridge.domain.recommendation import Proposal, ProposedWrite
from bridge.domain.tag import Tag
from bridge.errors import TryAgain
from bridge.plant import Plant
from bridge.settings import AgentSettings, StoreSettings
from bridge.store.warehouse import WarehouseStore
from bridge.store.warehouse_connection import Warehouse, WarehouseAddress
from bridge.store.warehouse_desk import WarehouseDesk
from bridge.store.warehouse_migrate import migrate_warehouse, publish_on_warehouse
from bridge.store.warehouse_opening import delta_queries
from bridge.store.warehouse_rules import writes_text
from bridge.store.warehouse_statement import Statement
from simulator.workspace.process import WorkspaceProcess

NAME = "warehouse"
GOAL_IDLE = 1.0  # statements
_CATALOG, _SCHEMA = "main", "default"
_THRIFT = "/sql/1.0/warehouses/"
_PRESENT, _TARGET = 500.0, 450.0
_LONG_S = 120.0
_CONFLICT = "2D521"
_round = count(1)


async def measure(stand: Stand, *, quick: bool) -> Result:
    """A warehouse in a process of its own, its tables in a database of the stand's server."""
    together, several = (4, 4) if quick else (10, 50)
    workspace = await asyncio.to_thread(
        partial(WorkspaceProcess.start, "--database", await stand.database(), deadline_s=_LONG_S)
    )
    try:
        async with _world(stand, workspace, max(several, together)) as world:
            cycle = await _cycle(world, together)
            claims = [
                await _claims(world, executors, claimed, at_once, rounds=1 if quick else 3)
                for claimed, at_once in ((3 if quick else 12, 1), (several, several // 2))
                for executors in (1, 3)
            ]
    finally:
        await asyncio.to_thread(workspace.stop)
    return Result(
        name=NAME,
        title="The store on a simulated SQL warehouse, through the official connector",
        figures=(*cycle, *claims),
        notes=(
            "a real warehouse takes about a second over a statement, the simulator milliseconds: statements carry over "
            "to it, claims a second do not, and of them only the ratio to the bare connector",
        ),
    )


# The tables, and who works on them


@dataclass(kw_only=True)
class _World:
    """A migrated warehouse with its limits published; makes the parties' ways in, and closes them."""

    workspace: WorkspaceProcess
    tags: Sequence[Tag]
    queries: Any = field(default_factory=delta_queries)
    opened: list[Warehouse] = field(default_factory=list)

    def connection(self, role: Role | None, *, size: int = 1) -> Warehouse:
        """Connections of one party."""
        there = self.workspace.ready["warehouse"]
        address = WarehouseAddress(
            host="127.0.0.1",
            http_path=there["http_path"],
            connection_uri=there["http_uri"],
            login=PersonalToken(self.workspace.token, "the benchmark"),
            catalog=_CATALOG,
            schema=_SCHEMA,
        )
        made = Warehouse(address, role=role, size=size, statement_timeout_s=60.0)
        self.opened.append(made)
        return made

    async def store(self, *, size: int = 3) -> tuple[WarehouseStore, Warehouse]:
        """An agent's store, each of its connections open, with the leases that a warehouse wants."""
        made = self.connection(Role.AGENT, size=size)
        store = WarehouseStore(
            made, self.queries, AgentSettings(lease_s=120.0), StoreSettings(), SystemClock()
        )
        await store.open()
        await asyncio.gather(*(store.due() for _ in range(size)))
        return store, made

    def round_trips(self) -> int:
        """Requests that have reached the warehouse, as the simulator counts them; a statement is one of them."""
        return sum(each["path"].startswith(_THRIFT) for each in self.workspace.requests())

    async def close(self) -> None:
        """Close every connection."""
        for opened in self.opened:
            await opened.close()


@asynccontextmanager
async def _world(stand: Stand, workspace: WorkspaceProcess, tags: int) -> AsyncIterator[_World]:
    config = stand.folder / "warehouse.toml"
    config.write_text(reactor_toml("opc.tcp://127.0.0.1:4840", tags, setpoints=("throughput",)), "utf-8")
    with cleared_environment({}):
        plant = Plant.of(configuration.load(config))
    world = _World(workspace=workspace, tags=plant.writable)
    try:
        owner = world.connection(None)
        await migrate_warehouse(owner)
        await publish_on_warehouse(owner, world.queries, plant.writable, SystemClock())
        yield world
    finally:
        await world.close()


def _proposal(tag: Tag) -> Proposal:
    write = ProposedWrite(tag_path=tag.path, present=_PRESENT, target=_TARGET, unit=tag.unit)
    return Proposal(
        equipment_id=tag.equipment_id,
        issue_type="benchmark",
        severity=Severity.HIGH,
        confidence=0.5,
        root_cause="",
        action="Change throughput",
        expected_outcome="",
        writes=(write,),
        readings={},
        evidence={},
        source="rules",
    )


# What a cycle costs


async def _cycle(world: _World, together: int) -> list[Figure]:
    """Statements from the claim to the verdict, and with nothing to do, counted at the simulator."""
    store, db = await world.store()
    desk = WarehouseDesk(world.connection(Role.OPERATOR), world.queries, SystemClock())
    due = await _counted(world, db, lambda: _tended(store))
    look = await _counted(world, db, lambda: store.take_commands(OUR_ROUTES, 50))
    figures = [
        Figure(
            what="warehouse, nothing to do: round trips of a look after what is due",
            value=due,
            unit="statements",
            goal=GOAL_IDLE,
        ),
        Figure(
            what="warehouse, nothing to do: round trips of a look for commands",
            value=look,
            unit="statements",
            goal=GOAL_IDLE,
        ),
    ]
    for number in (1, together):
        steps = await _verified(world, store, db, desk, world.tags[:number])
        whole = sum(steps.values())
        figures.append(
            Figure(
                what=f"warehouse, claim → verified: round trips, {_commands(number)}",
                value=whole,
                unit="statements",
                spread=steps,
                note=f"{shown(whole / number)} a command; from the approved recommendation, audit entries included; "
                "on a real warehouse about so many seconds",
            )
        )
    return figures


def _commands(number: int) -> str:
    return "1 command" if number == 1 else f"{number} commands together"


async def _tended(store: WarehouseStore) -> None:
    if due := await store.due():
        raise Failed(f"there was something to do: {', '.join(sorted(due))}")
    await store.tend(frozenset())


async def _counted(world: _World, db: Warehouse, work: Callable[[], Awaitable[object]]) -> float:
    """Round trips of one piece of work. The store's own count has to agree with the simulator's."""
    before, asked = await asyncio.to_thread(world.round_trips), db.asked
    await work()
    found = await asyncio.to_thread(world.round_trips) - before
    if found != db.asked - asked:
        raise Failed(
            f"{db.asked - asked} statements were sent, and the simulator counted {found} requests: one was sent twice, "
            "or took so long that it was asked after"
        )
    return float(found)


async def _verified(
    world: _World, store: WarehouseStore, db: Warehouse, desk: WarehouseDesk, tags: Sequence[Tag]
) -> dict[str, float]:
    """Propose, approve and execute one write of each tag; the statements of each step of the executor."""
    for tag in tags:
        made = await store.propose(_proposal(tag), 1800.0)
        if made is None:
            raise Failed(f"nothing was proposed for {tag.path}")
        row = await desk.recommendation(made)
        await desk.approve(made, operator="benchmark operator", digest=row["write_digest"], comment=None)
    commands: list[Command] = []
    finished: list[tuple[str, RecommendationStatus]] = []

    async def take() -> None:
        commands.extend(await store.take_commands(OUR_ROUTES, 50))

    async def record() -> None:
        finished.extend(await store.record_verdicts([_executed(command) for command in commands]))

    steps = {"claim": await _counted(world, db, take)}
    steps["intent"] = await _counted(
        world, db, lambda: store.record_intent([command.command_id for command in commands])
    )
    steps["verdict"] = await _counted(world, db, record)
    if [status for _, status in finished] != [RecommendationStatus.EXECUTED] * len(tags):
        raise Failed(f"{len(tags)} writes were approved, and these recommendations finished: {finished}")
    return steps


def _executed(command: Command) -> Verdict:
    return Verdict(
        command_id=command.command_id,
        recommendation_id=command.recommendation_id,
        status=CommandStatus.EXECUTED,
        reason="as the benchmark says",
        read_back_value=command.new_value,
    )


# Claims a second


async def _claims(world: _World, executors: int, claimed: int, at_once: int, *, rounds: int) -> Figure:
    """The same number of claims by so many executors, ours and bare in turns."""
    stores = [await world.store(size=1) for _ in range(executors)]
    ours, bare, trips = [], [], []
    for _ in range(rounds):
        bare.append(await asyncio.to_thread(_bare_claims, world, executors, claimed, at_once))
        await _make_commands(world, world.tags[:claimed])
        asked = sum(db.asked for _, db in stores)
        ours.append(await _claimed_per_s([store for store, _ in stores], claimed, at_once))
        trips.append((sum(db.asked for _, db in stores) - asked) / claimed)
    rates = runs(ours)
    return Figure(
        what=f"simulated warehouse, claims: {_executors(executors)}, {_at_once(at_once)}",
        value=rates["median"],
        unit="/s",
        spread=rates,
        floor=median(bare),
        note=f"{claimed} claims, {shown(median(trips))} statements each; not a warehouse's seconds",
    )


def _executors(number: int) -> str:
    return "1 executor" if number == 1 else f"{number} executors"


def _at_once(number: int) -> str:
    return "one at a time" if number == 1 else f"{number} at a time"


async def _claimed_per_s(stores: Sequence[WarehouseStore], wanted: int, at_once: int) -> float:
    """All executors take until everything is claimed. Failed when a command is claimed twice."""
    claimed: list[str] = []

    async def execute(store: WarehouseStore) -> None:
        while len(claimed) < wanted:
            try:
                commands = await store.take_commands(OUR_ROUTES, at_once)
            except TryAgain:  # others changed the same rows again and again: the executor asks again
                continue
            claimed.extend(command.command_id for command in commands)

    began_s = time.monotonic()
    async with asyncio.timeout(_LONG_S):
        await asyncio.gather(*(execute(store) for store in stores))
    took_s = time.monotonic() - began_s
    if len(claimed) != wanted or len(set(claimed)) != wanted:
        raise Failed(f"{wanted} commands, {len(claimed)} claims of {len(set(claimed))} of them")
    return wanted / took_s


async def _make_commands(world: _World, tags: Sequence[Tag]) -> None:
    """Pending commands of approved recommendations, as the agent makes them, in two statements of the owner's."""
    owner, turn = world.opened[0], next(_round)
    for table in ("agent_commands", "agent_recommendations"):
        await owner.execute(Statement(text=f"delete from {table} where true", markers=()), f"clear {table}")
    recommendations, commands = [], []
    for place, tag in enumerate(tags, start=1):
        text = writes_text(_proposal(tag).writes)
        made = f"R-{turn}-{place}"
        recommendations.append(
            f"('{made}', '{tag.equipment_id}', 'benchmark', 'executing', current_timestamp(), 'benchmark operator',"
            f" '{text}', '{digest_of(text)}', 1)"
        )
        commands.append(
            f"('C-{made}-1', '{made}', '{tag.equipment_id}', '{tag.path}', {_TARGET}, 1, {_PRESENT}, '{tag.unit}',"
            f" '{tag.route.value}')"
        )
    await owner.execute(
        Statement(
            text="insert into agent_recommendations (recommendation_id, equipment_id, issue_type, status,"
            " approved_timestamp, approved_by_operator, proposed_writes, write_digest, write_count)"
            f" values {', '.join(recommendations)}",
            markers=(),
        ),
        "recommendations of the benchmark",
    )
    await owner.execute(
        Statement(
            text="insert into agent_commands (command_id, recommendation_id, equipment_id, tag_path, new_value,"
            f" sequence, expected_value, unit, route) values {', '.join(commands)}",
            markers=(),
        ),
        "commands of the benchmark",
    )


def _bare_claims(world: _World, executors: int, wanted: int, at_once: int) -> float:
    """The connector alone on a plain table: look, then claim by conditional UPDATE; claims a second."""
    from databricks.sql import Error

    opened = [_bare_connection(world) for _ in range(executors)]
    claimed, problems = [0] * executors, []

    def execute(place: int) -> None:
        cursor = opened[place].cursor()
        try:
            while True:
                cursor.execute(
                    f"select command_id from bare_commands where status = 'pending' order by command_id limit {at_once}"
                )
                ids = [row[0] for row in cursor.fetchall()]
                if not ids:
                    return
                claimed[place] += _bare_claim(cursor, ids, f"executor {place}")
        except Error as problem:
            problems.append(problem)

    try:
        with opened[0].cursor() as cursor:
            cursor.execute(
                "create table if not exists bare_commands (command_id int, status string, claimed_by string)"
                " using delta tblproperties ('delta.enableDeletionVectors' = 'true')"
            )
            cursor.execute("delete from bare_commands where true")
            rows = ", ".join(f"({number}, 'pending', '')" for number in range(wanted))
            cursor.execute(f"insert into bare_commands values {rows}")
        for one in opened[1:]:
            one.cursor().execute("select 1")
        working = [threading.Thread(target=execute, args=(place,)) for place in range(executors)]
        began_s = time.monotonic()
        for thread in working:
            thread.start()
        for thread in working:
            thread.join()
        took_s = time.monotonic() - began_s
    finally:
        for one in opened:
            one.close()
    if problems or sum(claimed) != wanted:
        raise Failed(f"bare: {sum(claimed)} of {wanted} were claimed; {problems}")
    return wanted / took_s


def _bare_claim(cursor: Any, ids: Sequence[int], who: str) -> int:
    """Rows that became ours. A conflict means that nothing was done: again, after a moment."""
    from databricks.sql import Error

    names = {f"id_{place}": found for place, found in enumerate(ids)}
    marks = ", ".join(f":{name}" for name in names)
    while True:
        try:
            cursor.execute(
                "update bare_commands set status = 'executing', claimed_by = :who"
                f" where command_id in ({marks}) and status = 'pending'",
                {"who": who, **names},
            )
        except Error as problem:
            if _CONFLICT not in str(problem):
                raise
            time.sleep(random.uniform(0, 0.05))
            continue
        return int(cursor.fetchall()[0][0])


def _bare_connection(world: _World) -> Any:
    """As plain as ours where it matters: no retries of its own, nothing fetched from elsewhere, no telemetry."""
    from databricks import sql

    there = world.workspace.ready["warehouse"]
    return sql.connect(
        server_hostname="127.0.0.1",
        http_path=there["http_path"],
        access_token=world.workspace.token,
        catalog=_CATALOG,
        schema=_SCHEMA,
        _connection_uri=there["http_uri"],
        _enable_v3_retries=False,
        use_cloud_fetch=False,
        enable_telemetry=False,
        ignore_transactions=True,
    )
