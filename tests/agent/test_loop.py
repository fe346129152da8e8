"""The loop: many tasks, one agent. It recovers by itself, says what fails once, and leaves in good order."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
from rig import Hands
from structlog.testing import capture_logs

from agent.bench import (
    Bench,
    Floor,
    MakeBench,
    Running,
    publish,
    running,
    settings_for,
    switch_of,
    until,
    write_of,
)
from bridge.agent.loop import Agent, Publish
from bridge.clock import SystemClock
from bridge.domain.anomaly import ActiveCondition
from bridge.domain.command import Command
from bridge.domain.reading import Quality, Reading
from bridge.errors import AccessDenied, DeadlineExceeded, StoreDown
from bridge.links.buffer import DiskBuffer
from bridge.links.buffer_file import NAME
from bridge.plant import Plant
from bridge.ports import Mark
from bridge.settings import Settings
from bridge.store import embedded, queries
from bridge.store.connection import Database
from bridge.store.migrate import migrate
from bridge.store.postgres import PostgresStore
from bridge.wiring import links_of, run_bridge
from simulator.process import PlantProcess


@pytest.fixture
async def agent(bench: Bench) -> AsyncIterator[Running]:
    """A whole agent on the bench's database and reactors."""
    async with running(bench.settings, bench.named) as made:
        yield made


def health(bench: Bench, agent_id: str = "test-agent") -> dict[str, Any]:
    row = bench.hands.owner.execute("select * from agent_health where agent_id = %s", (agent_id,)).fetchone()
    assert row is not None
    return row


async def test_heartbeat_tells_that_the_agent_works_and_that_it_left(bench: Bench, agent: Running) -> None:
    """online with growing polls while it runs; offline by its own word afterwards, not by silence."""
    first = health(bench)
    assert first["status"] == "online"
    grown = await until(
        lambda: health(bench)["polls_completed"] > first["polls_completed"] + 3 and health(bench),
        "polls grow",
    )
    assert grown["last_heartbeat"] > first["last_heartbeat"]
    assert grown["detail"]["links"]["plant"]["state"] == "flowing"
    assert grown["detail"]["failing"] == []
    await agent.stop()
    assert health(bench)["status"] == "offline"


class Asked(PostgresStore):
    """A store that remembers when it was last asked for commands."""

    last_s = 0.0

    async def take_commands(self, routes: Sequence[str], max_commands: int) -> list[Command]:
        found = await super().take_commands(routes, max_commands)
        type(self).last_s = monotonic()
        return found


async def test_approval_is_executed_at_once_because_it_is_announced(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NOTIFY wakes the agent: no poll is due for a minute, and the write is there within moments."""
    monkeypatch.setattr("agent.bench.PostgresStore", Asked)
    bench = await make_bench(agent={"poll_s": 60.0})
    async with running(bench.settings, bench.named):
        await listener_of(bench.hands.owner)
        # All that its start makes it ask for must be over, or that would find the approval.
        await until(lambda: 0 < Asked.last_s < monotonic() - 0.5, "the agent sits and waits")
        made = bench.approved(write_of(bench.reactor), switch_of(bench.reactor))
        assert (await bench.over(made, deadline_s=20.0))["status"] == "executed"


async def test_stopping_finishes_what_was_sent_and_records_it(bench: Bench) -> None:
    """A stop while the plant has not answered yet: the verdict is in the database when the agent is gone."""
    await bench.floor.fault(bench.reactor, "write_slow 0.7s")
    async with running(bench.settings, bench.named) as agent:
        made = bench.approved(write_of(bench.reactor))
        await until(lambda: "command.sent" in bench.actions(made), "it is on its way")
        await agent.stop()
    assert bench.command(made)["status"] == "executed"
    assert health(bench)["status"] == "offline"


async def test_stopping_does_not_start_the_second_write(bench: Bench) -> None:
    """What was not sent stays for the next bridge, which carries it out."""
    await bench.floor.fault(bench.reactor, "write_slow 0.7s")
    async with running(bench.settings, bench.named) as agent:
        made = bench.approved(write_of(bench.reactor), switch_of(bench.reactor))
        await until(lambda: "command.sent" in bench.actions(made), "the first is on its way")
        await agent.stop()
    assert [row["status"] for row in bench.hands.commands_of(made)] == ["executed", "pending"]
    async with running(bench.settings, bench.named):
        assert (await bench.over(made))["status"] == "executed"
    assert [value for _, value in bench.floor.writes(bench.reactor)] == [450.0, True]


class Faulty(PostgresStore):
    """A store of which one method fails a few times."""

    failures = 4
    problem: Exception = RuntimeError("said by the test")

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise self.problem


class FaultyTend(Faulty):
    async def due(self) -> frozenset[str]:
        self._fail()
        return await super().due()


class FaultyTake(Faulty):
    async def take_commands(self, routes: Sequence[str], max_commands: int) -> list[Command]:
        self._fail()
        return await super().take_commands(routes, max_commands)


@pytest.mark.parametrize(
    ("kind", "task"), [(FaultyTend, "tend"), (FaultyTake, "execute")], ids=["tend", "execute"]
)
@pytest.mark.parametrize(
    "problem", [RuntimeError("a mistake of ours"), StoreDown("away")], ids=["bug", "store down"]
)
async def test_task_that_fails_is_restarted_and_said_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: type[Faulty], task: str, problem: Exception
) -> None:
    """Four failures are one line, the recovery another; meanwhile the heartbeat names the task, then no more."""
    monkeypatch.setattr("agent.bench.PostgresStore", kind)
    monkeypatch.setattr(kind, "problem", problem)
    monkeypatch.setattr("bridge.agent.loop._FIRST_WAIT_S", 0.3)
    monkeypatch.setattr("bridge.agent.loop._LONGEST_WAIT_S", 0.3)
    with capture_logs() as lines:
        async with running(bench.settings, bench.named):
            await until(lambda: health(bench)["detail"]["failing"] == [task], "the heartbeat says so")
            await until(lambda: health(bench)["detail"]["failing"] == [], "and that it is over")
            assert (await bench.over(bench.approved(write_of(bench.reactor))))["status"] == "executed"
    said = [(line["event"], line["log_level"]) for line in lines if line.get("task") == task]
    first = ("task.failed", "error") if isinstance(problem, RuntimeError) else ("task.waiting", "warning")
    assert said == [first, ("task.works_again", "info")]


class Deaf(PostgresStore):
    """A store in which the first cancellation of a task is lost, as `asyncio.wait_for` can lose it."""

    told = 0

    async def due(self) -> frozenset[str]:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                type(self).told += 1
                if self.told > 1:
                    raise


async def test_a_task_that_misses_its_end_is_told_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the process would stay for ever after it has said that it stops."""
    monkeypatch.setattr("agent.bench.PostgresStore", Deaf)
    monkeypatch.setattr("bridge.agent.loop._LEAVING_S", 0.2)
    async with running(bench.settings, bench.named) as agent:
        await until(lambda: health(bench)["status"] == "online", "it works")
        async with asyncio.timeout(20):
            await agent.stop()
    assert Deaf.told == 2
    assert health(bench)["status"] == "offline"


class WakesUp(PostgresStore):
    """A database that has just been woken: it opens, and its first answers take too long."""

    slow = 2

    async def active_conditions(self) -> list[ActiveCondition]:
        if self.slow:
            self.slow -= 1
            raise DeadlineExceeded("list_active: the database did not answer in time")
        return await super().active_conditions()


async def test_database_that_is_slow_to_wake_is_waited_for_and_begun_with_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening succeeded and remembering did not: opened once, and tried again until it answers."""
    monkeypatch.setattr("bridge.agent.loop._BEGIN_AGAIN_S", 0.05)
    store = await bench.open_store(kind=WakesUp)
    buffer = DiskBuffer(bench.settings.buffer, bench.plant.tags, SystemClock())
    await buffer.open()
    opened = 0

    async def begin() -> dict[str, Publish]:
        nonlocal opened
        opened += 1
        return {}

    agent = Agent(
        settings=bench.settings,
        plant=bench.plant,
        store=store,
        buffer=buffer,
        links=links_of(bench.settings, bench.plant, SystemClock()),
        clock=SystemClock(),
        begin=begin,
    )
    ready = asyncio.Event()
    running_agent = asyncio.create_task(agent.run(ready.set))
    try:
        await until(lambda: ready.is_set() or running_agent.done(), "it has begun")
        assert not running_agent.done()
        assert opened == 1
    finally:
        agent.stop()
        await running_agent
        await buffer.close()


async def test_disk_that_works_only_later_is_recalled_and_emptied(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lingering bridge held it at the start: what waits there is stored, and known if it is delivered again."""
    monkeypatch.setattr("bridge.links.buffer._RETRY_S", 0.1)
    now_utc = datetime.now(UTC)
    tag = bench.plant.equipment[bench.reactor].signals["temperature"]
    reading = Reading(tag, 61.0, Quality.GOOD, now_utc, now_utc)
    buffer = DiskBuffer(bench.settings.buffer, bench.plant.tags, SystemClock())
    await buffer.open()
    await buffer.append([reading], Mark(origin="earlier/run/0", first=1, last=1), remember=True)
    await buffer.close()
    holder = sqlite3.connect(bench.settings.buffer.dir / NAME, isolation_level=None)
    holder.execute("pragma locking_mode = exclusive")
    holder.execute("update about set value = value")
    async with running(bench.settings, bench.named) as agent:
        assert health(bench)["detail"]["buffer"]["state"] == "down"
        holder.close()

        def stored() -> list[dict[str, Any]]:
            return bench.hands.owner.execute(
                "select 1 from sensor_data where equipment_id = %s and temperature = 61", (bench.reactor,)
            ).fetchall()

        await until(stored, "what waited is stored")
        agent.agent._intake.take([reading], again=True)
        await agent.stop()
        assert len(stored()) == 1


async def test_database_that_denies_access_ends_the_agent_with_its_sentence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its database the agent is nothing: it ends and says what somebody has to mend."""
    monkeypatch.setattr("agent.bench.PostgresStore", FaultyTake)
    monkeypatch.setattr(FaultyTake, "problem", AccessDenied("permission denied for table agent_commands"))
    async with running(bench.settings, bench.named, wait_for_links=False) as agent:
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(agent.task, 40.0)
    assert caught.group_contains(AccessDenied, match="permission denied", depth=1)


async def test_wrong_password_at_start_is_said_in_one_sentence(bench: Bench) -> None:
    """No traceback and no retry: the login is refused, and that is what is said, without the password."""
    before, _, host = bench.url.rpartition("@")
    url = f"{before.rsplit(':', 1)[0]}:wrong-secret@{host}"
    with pytest.raises(AccessDenied, match="refuses this login") as caught:
        await run_bridge(settings_for(url, bench.floor.endpoint, bench.reactors))
    assert "wrong-secret" not in str(caught.value)


async def test_conditions_of_equipment_that_another_bridge_watches_are_left_alone(bench: Bench) -> None:
    """Only what no rule of ours can find on our own equipment is closed at start."""
    now_utc = datetime.now(UTC)
    for equipment, issue in ((bench.reactor, "no_such_rule"), ("BOILER_OF_ANOTHER_BRIDGE", "high_pressure")):
        bench.hands.agent.execute(
            "insert into equipment_conditions (equipment_id, issue_type, severity, since_timestamp)"
            " values (%s, %s, 'high', %s)",
            (equipment, issue, now_utc),
        )
    async with running(bench.settings, bench.named):

        async def closed() -> bool:
            return len(await bench.store.active_conditions()) == 1

        await until(closed, "the condition without a rule is closed")
    (left,) = await bench.store.active_conditions()
    assert left.equipment_id == "BOILER_OF_ANOTHER_BRIDGE"


# A database of its own that goes away and comes back.


@contextmanager
def _served(folder: Path, port: int) -> Iterator[str]:
    with embedded.serve(folder, port) as url:
        yield url


class Comes:
    """An embedded server that can be stopped and started again at the same place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self._serving: AbstractContextManager[str] | None = None
        self.url = ""

    def start(self) -> None:
        self._serving = _served(self._folder, self._port)
        self.url = self._serving.__enter__()
        self._port = int(self.url.rsplit(":", 1)[1].split("/")[0])

    def stop(self) -> None:
        if self._serving is not None:
            self._serving.__exit__(None, None, None)
            self._serving = None


@pytest.fixture
def own_server(database_folder: Path) -> Iterator[Comes]:
    server = Comes(database_folder / "restarted")
    server.start()
    yield server
    server.stop()


async def listener_of(owner: psycopg.Connection[dict[str, Any]]) -> int:
    """Wait until a bridge listens; the process id of its session."""

    def look() -> int:
        row = owner.execute(
            "select pid from pg_stat_activity where datname = current_database()"
            " and application_name = 'ignition-bridge listener'"
        ).fetchone()
        return 0 if row is None else int(row["pid"])

    return await until(look, "the bridge listens")


async def test_database_that_restarts_is_taken_up_again(
    own_server: Comes, floor: Floor, named: queries.Queries
) -> None:
    """Down, up again: what was approved meanwhile is executed, LISTEN stands again, readings were kept."""
    reactor = floor.take()
    settings = settings_for(own_server.url, floor.endpoint, [reactor], agent={"poll_s": 0.5})
    database = Database(own_server.url, role=None, size=2, connect_timeout_s=5.0, statement_timeout_s=10.0)
    await database.open()
    await migrate(database)
    await database.close()
    await publish(own_server.url, Plant.of(settings), named)
    with capture_logs() as lines:
        async with running(settings, named) as agent:
            hands = Hands(own_server.url)
            first = await listener_of(hands.owner)
            hands.close()
            await asyncio.to_thread(own_server.stop)
            await until(lambda: {"execute", "heartbeat"} <= agent.agent._failing, "the agent notices")
            assert not agent.task.done()
            await asyncio.to_thread(own_server.start)
            hands = Hands(own_server.url)
            made = hands.propose(equipment_id=reactor, writes=[write_of(reactor)])
            hands.approve(made)
            await until(
                lambda: hands.recommendation(made)["status"] == "executed", "it is executed", deadline_s=40.0
            )
            assert await listener_of(hands.owner) != first
            await until(lambda: not agent.agent._failing, "nothing fails any more", deadline_s=40.0)
            hands.close()
    assert [value for _, value in floor.writes(reactor)] == [450.0]
    assert not [line for line in lines if line["event"] == "task.failed"]
    for task in ("execute", "heartbeat", "listen", "tend"):
        said = [line["event"] for line in lines if line.get("task") == task]
        assert said == ["task.waiting", "task.works_again"] * (len(said) // 2), (task, said)


async def test_loop_closes_on_a_real_plant(database_url: str, named: queries.Queries, tmp_path: Path) -> None:
    """Overheating is seen on the wire, proposed, approved, written, verified; the plant cools, the condition ends."""
    log = tmp_path / "writes.jsonl"
    with PlantProcess.start(
        "--equipment", "1", "--tick", "0.1", "--time-scale", "20", "--write-log", str(log)
    ) as process:
        floor = Floor(process=process, write_log=log, reactors=1)
        reactor = floor.take()
        settings: Settings = settings_for(database_url, process.endpoint, [reactor], measured_by_link=True)
        await publish(database_url, Plant.of(settings), named)
        hands = Hands(database_url)
        async with running(settings, named):
            await floor.fault(reactor, "overheat")

            def proposed() -> list[dict[str, Any]]:
                return hands.owner.execute(
                    "select * from agent_recommendations where severity = 'high' and status = 'pending'"
                ).fetchall()

            (row,) = await until(proposed, "high temperature is proposed")
            hands.approve(row["recommendation_id"])
            await until(
                lambda: hands.recommendation(row["recommendation_id"])["status"] == "executed",
                "it is executed",
            )
            await until(
                lambda: (
                    hands.value("select count(*) from equipment_conditions where cleared_timestamp is null")
                    == 0
                ),
                "the condition ends",
            )
        assert [value for _, value in floor.writes(reactor)] == [375.0, True]
        assert hands.value("select count(*) from agent_recommendations") == 1
        assert hands.value("select count(*) from sensor_data where external_xid is null") > 0
        hands.close()
