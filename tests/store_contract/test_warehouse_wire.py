"""What does the bridge make of a warehouse that is slow, away, full of others, or loses its answers?"""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from rig import COOLING, THROUGHPUT
from structlog.testing import capture_logs
from test_readings_contract import a_reading
from test_route import (
    ROUTES,
    a_proposal,
    a_write,
    actions,
    approve,
    approved,
    proposed,
    sent,
    take_one,
    verdict,
)
from worlds import OnWarehouse, Token

from bridge.clock import SystemClock
from bridge.domain.lifecycle import RecommendationStatus, Role
from bridge.errors import (
    AccessDenied,
    BridgeError,
    DeadlineExceeded,
    FixCode,
    FixConfiguration,
    LostRace,
    RefusedByRule,
    SchemaError,
    StoreDown,
)
from bridge.ports import Mark
from bridge.settings import AgentSettings, StoreSettings
from bridge.store.queries import Queries
from bridge.store.warehouse import WarehouseStore
from bridge.store.warehouse_connection import Warehouse, WarehouseAddress, translate
from bridge.store.warehouse_migrate import migrate_warehouse, warehouse_status
from bridge.store.warehouse_statement import Statement


@pytest.fixture
async def store(on_warehouse: OnWarehouse) -> WarehouseStore:
    return await on_warehouse.store()


def texts(world: OnWarehouse, word: str) -> list[str]:
    """What the warehouse has executed and contains this word."""
    return [statement.text for statement in world.server.statements if word in statement.text]


# Lost answers


async def test_an_insert_whose_answer_was_lost_is_not_sent_again_by_itself(
    on_warehouse: OnWarehouse, store: WarehouseStore
) -> None:
    """The connector must send once; the caller is told, tries again, and the rows are there once."""
    mark = Mark(origin="b/r/0", first=1, last=1)
    on_warehouse.server.faults.begin("lost_response")
    with pytest.raises(StoreDown):
        await store.store_readings([a_reading()], mark)
    assert len(texts(on_warehouse, "insert into sensor_data")) == 1
    assert len(on_warehouse.rows("sensor_data")) == 1
    assert await store.store_readings([a_reading()], mark) == 0
    assert await store.stored_until("b/r/0") == 1
    assert len(on_warehouse.rows("sensor_data")) == 1


async def test_a_write_that_arrives_twice_is_made_once(on_warehouse: OnWarehouse, delta: Queries) -> None:
    """The very same statement a second time, as a connector with retries sends it, must change nothing."""
    db = on_warehouse.connection(Role.AGENT)
    values: dict[str, Any] = {
        "rows": '[{"equipment_id":"PUMP_01","source_time":"2026-03-01T12:00:00+00:00","quality":"good",'
        '"sensor_status":"active","replayed":false,"received":"2026-03-01T12:00:01+00:00","recorded_by":"x"}]',
        "origin": "b/r/0",
        "first": 1,
        "last": 1,
    }
    assert await db.change(delta.readings.store_readings, **values) == 1
    assert await db.change(delta.readings.store_readings, **values) == 0
    assert len(on_warehouse.rows("sensor_data")) == 1


async def test_a_proposal_whose_answer_was_lost_is_there_once(
    on_warehouse: OnWarehouse, store: WarehouseStore
) -> None:
    """After the lost answer a look must find it, so that the trail tells of it, and a second proposal make none."""
    await store.due()
    on_warehouse.server.faults.begin("lost_response")
    made = await store.propose(a_proposal(), 1800.0)
    assert made is not None
    assert actions(on_warehouse, made) == ["recommendation.created"]
    assert await store.propose(a_proposal(), 1800.0) is None
    assert len(on_warehouse.rows("agent_recommendations")) == 1
    standing = await store.latest_recommendation("REACTOR_01", "high_temperature")
    assert standing is not None
    assert standing.open


@pytest.mark.parametrize("lost", ["set sent_timestamp", "agent_audit_head", "where write_key = :write_key"])
async def test_an_intent_whose_answer_was_lost_sends_nothing(
    on_warehouse: OnWarehouse, store: WarehouseStore, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever answer is lost on the way to the intent, the command must not be given out, then or later."""
    await approved(on_warehouse, store)
    command = await take_one(store)
    lose_answers_to(on_warehouse, monkeypatch, lost)
    with pytest.raises((StoreDown, LostRace)):
        await store.record_intent([command.command_id])
    monkeypatch.undo()
    assert await store.record_intent([command.command_id]) == set()
    assert await store.release([command.command_id]) == []


def lose_answers_to(world: OnWarehouse, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """The answer to the next statement that contains this word is lost, after it was executed."""
    send = Warehouse._send
    left = [word]

    async def losing(self: Warehouse, statement: Statement, what: str) -> Any:
        if left and left[0] in statement.text:
            left.clear()
            world.server.faults.begin("lost_response")
        return await send(self, statement, what)

    monkeypatch.setattr(Warehouse, "_send", losing)


@pytest.mark.parametrize("word", ["merge into agent_commands", "merge into agent_recommendations", "move"])
async def test_a_verdict_whose_answer_was_lost_ends_the_same_when_said_again(
    on_warehouse: OnWarehouse, store: WarehouseStore, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said again, as the executor does, the command must be executed once and the recommendation finished."""
    made = await approved(on_warehouse, store)
    command = await sent(store)
    lose_answers_to(on_warehouse, monkeypatch, "update agent_audit_head" if word == "move" else word)
    for _again in range(3):
        try:
            await store.record_verdicts([verdict(command)])
        except StoreDown:
            continue
        break
    await store.tend(await store.due())
    assert on_warehouse.rows("agent_commands")[0]["status"] == "executed"
    assert on_warehouse.rows("agent_recommendations", recommendation_id=made)[0]["status"] == "executed"
    assert (await (await on_warehouse.desk()).verify_audit()).problem == ""


async def test_entries_that_could_not_be_appended_are_owed_and_paid(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proposal stands although its entry failed; the log says so, and the next work appends it, once."""
    lose_answers_to(on_warehouse, monkeypatch, "update agent_audit_head")
    with capture_logs() as logs:
        made = await store.propose(a_proposal(), 1800.0)
        assert made is not None
        await store.tend(await store.due())
    assert [entry["event"] for entry in logs] == ["audit.owed", "audit.paid"]
    assert actions(on_warehouse, made) == ["recommendation.created"]
    assert (await (await on_warehouse.desk()).verify_audit()).problem == ""


# Killed half-way


class Killed(Exception):
    """The process ends here."""


async def killed_at(
    monkeypatch: pytest.MonkeyPatch, word: str, work: Callable[[], Awaitable[object]]
) -> None:
    """Do the work in a process that dies just before it sends the statement with this word."""
    send = Warehouse._send

    async def dying(self: Warehouse, statement: Statement, what: str) -> Any:
        if word in statement.text:
            raise Killed
        return await send(self, statement, what)

    monkeypatch.setattr(Warehouse, "_send", dying)
    with pytest.raises(Killed):
        await work()
    monkeypatch.undo()


@pytest.mark.parametrize(
    "word",
    [
        "merge into agent_commands",  # executing, and no command
        "merge into tag_limits",  # commands, and no tag held
        "set status = 'executing', claimed_by",  # held, and not claimed
    ],
)
async def test_what_a_bridge_left_half_way_the_next_one_takes_up(
    on_warehouse: OnWarehouse, store: WarehouseStore, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between any two statements of taking a command, another bridge must carry it through, once."""
    made = await approved(on_warehouse, store, a_write(), a_write(COOLING, False, True, ""))
    await killed_at(monkeypatch, word, lambda: store.take_commands(ROUTES, 10))
    other = await on_warehouse.store(id="another")
    if word == "merge into agent_commands":
        assert await other.take_commands(ROUTES, 10) == []  # the first one may still be about to make them
        on_warehouse.turn_back("agent_recommendations", "updated_timestamp", recommendation_id=made)
    finished: list[tuple[str, RecommendationStatus]] = []
    for _write in range(2):
        finished = await other.record_verdicts([verdict(await sent(other))])
    assert finished == [(made, RecommendationStatus.EXECUTED)]
    assert len(on_warehouse.rows("agent_commands")) == 2


async def test_half_made_commands_whose_approval_lapsed_end_as_failed(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Executing without commands must not stand for ever, and must say that nothing was made."""
    made = await approved(on_warehouse, store)
    await killed_at(monkeypatch, "merge into agent_commands", lambda: store.take_commands(ROUTES, 10))
    assert (await store.tend(await store.due())).get("finish") is None
    on_warehouse.turn_back("agent_recommendations", "approved_timestamp", recommendation_id=made)
    assert await store.take_commands(ROUTES, 10) == []
    assert await store.tend(await store.due()) == {"finish": 1}
    row = on_warehouse.rows("agent_recommendations", recommendation_id=made)[0]
    assert row["status"] == "failed"
    assert "1 of its writes were never made" in row["execution_result"]


async def test_a_work_order_left_half_way_is_opened_once(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the work order, the next look must open it and finish the recommendation."""
    made = await store.propose(a_proposal(), 1800.0)
    assert made is not None
    await approve(on_warehouse, made)
    await killed_at(monkeypatch, "merge into work_orders", store.hand_to_people)
    await store.tend(await store.due())
    assert on_warehouse.rows("agent_recommendations", recommendation_id=made)[0]["status"] == "executed"
    assert len(on_warehouse.rows("work_orders")) == 1


async def test_a_signature_without_its_decision_counts_once(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between signing and deciding, the same person must be able to finish it, with one signature."""
    made = await proposed(store)
    await killed_at(monkeypatch, "set status = 'approved'", lambda: approve(on_warehouse, made))
    assert await store.take_commands(ROUTES, 10) == []
    assert await approve(on_warehouse, made) == "approved"
    assert len(on_warehouse.rows("approvals")) == 1


async def test_an_entry_that_stands_in_the_head_alone_is_part_of_the_chain(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the copy, the chain must be whole, and the next one who appends copies it."""
    await proposed(store, issue_type="another")
    await killed_at(monkeypatch, "merge into agent_audit as", lambda: proposed(store))
    assert len(on_warehouse.rows("agent_audit", action="recommendation.created")) == 1
    desk = await on_warehouse.desk()
    assert (await desk.verify_audit()).problem == ""
    other = await on_warehouse.store(id="another")
    await proposed(other, issue_type="low_flow")
    assert len(on_warehouse.rows("agent_audit", action="recommendation.created")) == 3
    assert (await desk.verify_audit()).problem == ""


# Conflicts


async def test_a_change_that_met_another_is_made_again(
    on_warehouse: OnWarehouse, store: WarehouseStore
) -> None:
    """Beats of one agent at the same moment change one row: all must get through, after conflicts."""
    other = await on_warehouse.store()
    await store.heartbeat(online=True, polls_completed=0, cycle_ms=1.0, detail={})
    on_warehouse.server.faults.begin("slow_statement", times=2, seconds=0.5)
    await asyncio.gather(
        *(
            one.heartbeat(online=True, polls_completed=number, cycle_ms=1.0, detail={})
            for number, one in enumerate((store, other), start=1)
        )
    )
    failed = [statement for statement in on_warehouse.server.statements if "2D521" in str(statement.outcome)]
    assert failed
    assert len(on_warehouse.rows("agent_health")) == 1


async def test_a_conflict_without_end_is_a_lost_race(
    on_warehouse: OnWarehouse, delta: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many attempts, with pauses that grow, the caller must be told to try again later."""
    pauses: list[float] = []
    db = on_warehouse.connection(Role.AGENT)

    async def conflicting(self: Warehouse, statement: Statement, what: str) -> Any:
        raise LostRace(f"{what}: [DELTA_CONCURRENT_APPEND] SQLSTATE: 2D521")

    async def slept(pause_s: float) -> None:
        pauses.append(pause_s)

    monkeypatch.setattr(Warehouse, "_send", conflicting)
    monkeypatch.setattr("bridge.store.warehouse_connection.asyncio.sleep", slept)
    monkeypatch.setattr("bridge.store.warehouse_connection.random.uniform", lambda low, high: high)
    with pytest.raises(LostRace, match="2D521"):
        await db.change(delta.work_orders.open_work_orders)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


# Who may


async def test_a_party_sends_only_what_is_for_it(on_warehouse: OnWarehouse, delta: Queries) -> None:
    """The agent's connection must refuse to approve, the operator's to propose, before anything is sent."""
    before = len(on_warehouse.server.statements)
    for role, query in (
        (Role.AGENT, delta.recommendations.approve_recommendation),
        (Role.AGENT, delta.approvals.give_approval),
        (Role.AGENT, delta.control.set_armed),
        (Role.OPERATOR, delta.recommendations.propose),
        (Role.OPERATOR, delta.commands.record_intent),
        (Role.OPERATOR, delta.limits.publish_limit),
    ):
        db = on_warehouse.connection(role)
        with pytest.raises(AccessDenied, match=f"{role.value} may not send it"):
            await db.change(query, **{parameter.name: None for parameter in query.parameters})
    assert len(on_warehouse.server.statements) == before


# A warehouse that is not as it should be


async def test_a_warehouse_without_our_tables_says_what_to_do(
    on_warehouse: OnWarehouse, delta: Queries
) -> None:
    """Opening a store where nothing was migrated must be a schema error that names the command."""
    on_warehouse.server.run_sql("create schema main.empty")
    db = on_warehouse.connection(Role.AGENT)
    db._address = replace(db._address, schema="empty")
    store = WarehouseStore(db, delta, AgentSettings(), StoreSettings(), SystemClock())
    with pytest.raises(SchemaError, match="db migrate --target warehouse"):
        await store.open()


async def test_migrations_run_once_and_may_run_again(on_warehouse: OnWarehouse) -> None:
    """A second run must do nothing, one that forgot what it did must do it all again without harm."""
    owner = on_warehouse.connection(None)
    assert await migrate_warehouse(owner) == ()
    on_warehouse.sql("delete from bridge_migrations where true")
    assert not (await warehouse_status(owner)).current
    assert len(await migrate_warehouse(owner)) > 20
    assert (await warehouse_status(owner)).current
    assert len(on_warehouse.rows("bridge_control")) == 1
    on_warehouse.tamper("bridge_migrations", "digest", "other", number=3)
    with pytest.raises(SchemaError, match="0003_agent_commands"):
        await migrate_warehouse(owner)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("unavailable", StoreDown),
        ("throttled", StoreDown),
        ("expired_token", AccessDenied),
        ("html", StoreDown),
    ],
)
async def test_a_passing_failure_is_over_when_it_is_over(
    on_warehouse: OnWarehouse, store: WarehouseStore, fault: str, error: type[BridgeError]
) -> None:
    """Each must be told by name, at once and not after a minute, and the next statement work."""
    await store.due()
    on_warehouse.server.faults.begin(fault, times=1)
    async with asyncio.timeout(40):
        with pytest.raises(error):
            await store.due()
    on_warehouse.server.faults.clear_all()
    assert await store.due() == frozenset()


async def test_a_session_that_ended_is_opened_again(on_warehouse: OnWarehouse, store: WarehouseStore) -> None:
    """A warehouse that has forgotten the session must be asked again with a new one, unnoticed."""
    await store.due()
    on_warehouse.server.faults.begin("expired_session")
    assert await store.due() == frozenset()


async def test_a_statement_without_end_does_not_hold_the_bridge(
    on_warehouse: OnWarehouse, delta: Queries
) -> None:
    """After our own limit the caller must be told, and the others work on."""
    db = on_warehouse.connection(Role.AGENT, size=2, statement_timeout_s=3.0)
    await db.fetch(delta.health.list_due, agent_id="x")
    on_warehouse.server.faults.begin("statement_forever")
    with pytest.raises((DeadlineExceeded, StoreDown)):
        await db.fetch(delta.health.list_due, agent_id="x")
    assert len(await db.fetch(delta.health.list_due, agent_id="x")) == 1
    on_warehouse.server.faults.clear_all()


async def test_a_warehouse_that_is_not_there_is_down(delta: Queries) -> None:
    """A closed port must be told at once."""
    address = WarehouseAddress(
        host="127.0.0.1",
        http_path="/sql/1.0/warehouses/x",
        connection_uri="http://127.0.0.1:9/sql/1.0/warehouses/x",
        login=Token("t"),
    )
    db = Warehouse(address, role=Role.AGENT, size=1, statement_timeout_s=2.0)
    with pytest.raises(StoreDown, match="does not answer"):
        await db.open()
    await db.close()


async def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing connector must be a configuration error that says what to install."""
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "databricks":
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    address = WarehouseAddress(host="h", http_path="/p", login=Token("t"))
    db = Warehouse(address, role=None, size=1, statement_timeout_s=2.0)
    with pytest.raises(FixConfiguration, match=r"\[warehouse\]"):
        await db.open()
    await db.close()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[DELTA_CONCURRENT_APPEND.ROW_LEVEL_CHANGES] other SQLSTATE: 2D521", LostRace),
        ("[TABLE_OR_VIEW_NOT_FOUND] no such table SQLSTATE: 42P01", SchemaError),
        ("[INSUFFICIENT_PERMISSIONS] no SQLSTATE: 42501", AccessDenied),
        ("[DELTA_VIOLATE_CONSTRAINT_WITH_VALUES] no SQLSTATE: 23001", RefusedByRule),
        ("[CAST_INVALID_INPUT] no SQLSTATE: 22018", RefusedByRule),
        ("[PARSE_SYNTAX_ERROR] no SQLSTATE: 42601", FixCode),
        ("[REYDEN] no Thrift here SQLSTATE: KP001", FixConfiguration),
        ("nothing that anybody knows", StoreDown),
        ("[DELTA_VIOLATE_CONSTRAINT_WITH_VALUES] 'the session was closed' SQLSTATE: 23001", RefusedByRule),
        ("[DELTA_VIOLATE_CONSTRAINT_WITH_VALUES] 'SQLSTATE: 2D521' SQLSTATE: 23001", RefusedByRule),
        ("[PARSE_SYNTAX_ERROR] at 'x'. SQLSTATE: 42601\n\n== SQL ==\nselect 'SQLSTATE: 2D521'", FixCode),
        ("ConcurrentAppendException: files were added to the root of the table", LostRace),
        ("Error during request to server: Invalid SessionHandle: it was closed", StoreDown),
    ],
)
def test_an_error_is_split_by_what_the_reader_can_do(text: str, error: type[BridgeError]) -> None:
    """Each SQLSTATE must become the error of ours that says what to do."""
    from databricks.sql.exc import ServerOperationError

    said: Exception = ServerOperationError(text + "\n\tat org.apache.spark.Deep.stack(Trace.scala:1)")  # type: ignore[no-untyped-call]
    found = translate(said, "look")
    assert isinstance(found, error)
    assert "Trace.scala" not in str(found)


class Renewed(Token):
    """A login whose tokens are counted, and which gets another one when one is refused."""

    def __init__(self) -> None:
        super().__init__("secret-0")
        self.asked = 0
        self.refused: list[str] = []

    def headers(self, *, budget_s: float) -> Mapping[str, str]:
        self.asked += 1
        return super().headers(budget_s=budget_s)

    def renew(self, refused: Mapping[str, str], *, budget_s: float) -> bool:
        self.refused.append(refused["Authorization"])
        self.token = f"secret-{len(self.refused)}"
        return len(self.refused) < 3


def logged_in(world: OnWarehouse, login: Token) -> Warehouse:
    address = WarehouseAddress(
        host="127.0.0.1",
        http_path=world.server.http_path,
        connection_uri=world.server.http_uri,
        login=login,
        catalog="main",
        schema="default",
    )
    return Warehouse(address, role=Role.AGENT, size=1, statement_timeout_s=10.0)


async def test_a_token_that_has_ended_is_renewed_once(on_warehouse: OnWarehouse, delta: Queries) -> None:
    """A refused token must be replaced, the statement sent again, and no token ever stand in a log."""
    login = Renewed()
    db = logged_in(on_warehouse, login)
    logs: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logs.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        await db.fetch(delta.health.list_due, agent_id="x")
        asked = login.asked
        on_warehouse.server.faults.begin("expired_token", times=1)
        assert len(await db.fetch(delta.health.list_due, agent_id="x")) == 1
        assert login.refused == ["Bearer secret-0"]
        assert login.asked > asked
        on_warehouse.server.faults.begin("expired_token", times=None)
        with pytest.raises(AccessDenied, match="refuses this token"):
            await db.fetch(delta.health.list_due, agent_id="x")
    finally:
        logging.getLogger().removeHandler(handler)
        on_warehouse.server.faults.clear_all()
        await db.close()
    assert not any("secret" in line for line in logs)


async def test_a_login_that_fails_says_so_itself(on_warehouse: OnWarehouse, delta: Queries) -> None:
    """What the login says of itself must reach the caller, not the connector's words for it."""

    class Failing(Token):
        def headers(self, *, budget_s: float) -> Mapping[str, str]:
            raise FixConfiguration("the client secret has ended; make another one")

    db = logged_in(on_warehouse, Failing(""))
    with pytest.raises(FixConfiguration, match="the client secret has ended"):
        await db.fetch(delta.health.list_due, agent_id="x")
    await db.close()


async def test_moments_come_back_in_utc(on_warehouse: OnWarehouse) -> None:
    """Whatever the warehouse's own zone is, the session must be in UTC and every moment aware."""
    db = on_warehouse.connection(None, size=1)
    answer = await db.execute(
        Statement(
            text="select cast('2026-07-01 12:00:00' as timestamp) as at, current_timestamp() as now",
            markers=(),
        ),
        "look",
    )
    assert answer.rows[0]["at"].isoformat() == "2026-07-01T12:00:00+00:00"
    assert answer.rows[0]["now"].utcoffset().total_seconds() == 0


async def test_a_cycle_of_one_write_costs_so_many_statements(
    on_warehouse: OnWarehouse, store: WarehouseStore
) -> None:
    """Round trips are what a warehouse costs: a change that makes them more has to be meant."""
    await approved(on_warehouse, store, a_write(THROUGHPUT))
    costs = []
    for step in (
        lambda: store.due(),
        lambda: take_one(store),
        lambda: store.record_intent([on_warehouse.rows("agent_commands")[0]["command_id"]]),
    ):
        before = on_warehouse.asked()
        await step()
        costs.append(on_warehouse.asked() - before)
    # Three of the seven because the operator has appended to the trail since the agent last did.
    assert costs == [1, 13, 7]
