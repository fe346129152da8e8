"""Where two work on one row, or an answer comes too late: is what happened known, and is it written down once?"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import pytest
from rig import COOLING, THROUGHPUT
from test_route import ROUTES, a_proposal, a_write, actions, approve, approved, proposed, take_one, verdict
from test_warehouse_wire import lose_answers_to
from worlds import OnWarehouse, now_utc

from bridge.clock import SystemClock
from bridge.errors import RefusedByRule, StoreDown, TryAgain
from bridge.store.queries import Queries
from bridge.store.warehouse import WarehouseStore
from bridge.store.warehouse_connection import Warehouse
from bridge.store.warehouse_migrate import publish_on_warehouse
from bridge.store.warehouse_statement import Statement

T = TypeVar("T")


@pytest.fixture
async def store(on_warehouse: OnWarehouse) -> WarehouseStore:
    return await on_warehouse.store()


def behind(monkeypatch: pytest.MonkeyPatch, word: str, work: Any) -> None:
    """Once the next statement with this word has been answered, somebody else does this before anything else."""
    send = Warehouse._send
    left = [word]

    async def overtaken(self: Warehouse, statement: Statement, what: str) -> Any:
        answer = await send(self, statement, what)
        if left and left[0] in statement.text:
            left.clear()
            await work()
        return answer

    monkeypatch.setattr(Warehouse, "_send", overtaken)


async def test_an_approval_that_the_agent_takes_up_at_once_was_given(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent polls between the approval and the look back at it: the person must be told yes, and the trail too."""
    made = await proposed(store)

    async def poll() -> None:
        await take_one(store)

    behind(monkeypatch, "set status = 'approved'", poll)
    assert await approve(on_warehouse, made) == "approved"
    assert actions(on_warehouse, made).count("recommendation.approved") == 1
    assert (await (await on_warehouse.desk()).verify_audit()).problem == ""


async def test_an_entry_whose_answer_was_lost_behind_anothers_stands_once(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was appended, its answer lost, and somebody else appended behind it: it must not be appended again."""
    lose_answers_to(on_warehouse, monkeypatch, "update agent_audit_head")
    made = await proposed(store)
    monkeypatch.undo()
    other = await on_warehouse.store(id="another")
    await proposed(other, issue_type="low_flow")
    await store.tend(frozenset())
    assert actions(on_warehouse, made) == ["recommendation.created"]
    assert (await (await on_warehouse.desk()).verify_audit()).problem == ""


@pytest.mark.parametrize("lost", ["merge into approvals", "set status = 'approved'"])
async def test_an_approval_whose_answer_was_lost_was_given(
    on_warehouse: OnWarehouse, store: WarehouseStore, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desk must look what became of it, and the trail name who approved."""
    made = await proposed(store)
    lose_answers_to(on_warehouse, monkeypatch, lost)
    assert await approve(on_warehouse, made) == "approved"
    assert actions(on_warehouse, made)[1:] == ["approval.given", "recommendation.approved"]


async def test_a_switch_whose_answer_was_lost_was_turned(
    on_warehouse: OnWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever disarms must be told that it is done, and the trail name them."""
    desk = await on_warehouse.desk()
    lose_answers_to(on_warehouse, monkeypatch, "update bridge_control")
    assert await desk.set_armed(False, operator="anna", reason="a leak")
    assert not (await desk.control()).armed
    (entry,) = on_warehouse.rows("agent_audit", action="control.disarmed")
    assert entry["actor"] == "anna"


async def test_a_look_back_whose_answer_was_lost_is_made_again(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change was made and answered; that nobody saw which row it was must not keep it out of the trail."""
    made = await proposed(store)
    lose_answers_to(on_warehouse, monkeypatch, "where write_key = :write_key")
    assert await store.supersede("REACTOR_01", "high_temperature", "over") == [made]
    assert actions(on_warehouse, made) == ["recommendation.created", "recommendation.superseded"]


async def test_a_change_that_was_not_made_is_told_as_lost(
    on_warehouse: OnWarehouse, store: WarehouseStore
) -> None:
    """Nothing carries its key: what was said of the warehouse must reach the caller, and nothing stand in the trail."""
    made = await proposed(store)
    for refused in ("unavailable", "html"):
        on_warehouse.server.faults.begin(refused, times=1)
        with pytest.raises(StoreDown):
            await store.supersede("REACTOR_01", "high_temperature", "over")
    assert actions(on_warehouse, made) == ["recommendation.created"]
    assert await store.supersede("REACTOR_01", "high_temperature", "over") == [made]
    assert actions(on_warehouse, made) == ["recommendation.created", "recommendation.superseded"]


async def test_a_claim_whose_answer_was_lost_is_known_again(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look must find what was claimed, and not leave it lying until its lease has ended."""
    await approved(on_warehouse, store)
    lose_answers_to(on_warehouse, monkeypatch, "set status = 'executing', claimed_by")
    with pytest.raises(StoreDown):
        await store.take_commands(ROUTES, 10)
    command = await take_one(store)
    assert command.lease_left_s > 5.0
    assert await store.take_commands(ROUTES, 10) == []
    assert await store.record_intent([command.command_id]) == {command.command_id}


async def test_executing_by_plain_sql_makes_no_command(
    on_warehouse: OnWarehouse, store: WarehouseStore
) -> None:
    """A row that says executing and that nobody signed looks like one left half-way; it must not move the plant."""
    made = await proposed(store)
    on_warehouse.tamper("agent_recommendations", "approvals_required", 2, recommendation_id=made)
    await approve(on_warehouse, made)  # one of two
    on_warehouse.tamper("agent_recommendations", "approved_by_operator", "mallory", recommendation_id=made)
    on_warehouse.tamper("agent_recommendations", "approved_timestamp", now_utc(), recommendation_id=made)
    on_warehouse.tamper("agent_recommendations", "status", "executing", recommendation_id=made)
    on_warehouse.turn_back("agent_recommendations", "updated_timestamp", recommendation_id=made)
    assert await store.take_commands(ROUTES, 10) == []
    assert on_warehouse.rows("agent_commands") == []


async def test_a_revision_that_is_decided_at_once_was_made(
    on_warehouse: OnWarehouse, store: WarehouseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Approved between the revision and the look back at it: the agent must know, and the trail tell, that it was."""
    made = await proposed(store)

    async def approval() -> None:
        await approve(on_warehouse, made)

    behind(monkeypatch, "set severity = :severity", approval)
    assert await store.revise(made, a_proposal(a_write(target=410.0)), 1800.0)
    found = [word for word in actions(on_warehouse, made) if word.startswith("recommendation.")]
    assert sorted(found) == ["recommendation.approved", "recommendation.created", "recommendation.revised"]


async def test_more_tags_than_a_statement_takes_values_are_taken_and_withdrawn(
    on_warehouse: OnWarehouse, delta: Queries
) -> None:
    """A statement takes some 250 values; a plant has more tags than that, and all of them may go."""
    owner = on_warehouse.connection(None)
    columns = next(row for row in on_warehouse.rows("tag_limits") if row["tag_path"] == THROUGHPUT)
    values = ", ".join(f"('[default]T{number}')" for number in range(260))
    others = [name for name in columns if name != "tag_path"]
    on_warehouse.sql(
        f"insert into tag_limits (tag_path, {', '.join(others)}) select t.p, {', '.join('l.' + n for n in others)}"
        f" from (values {values}) as t(p) cross join tag_limits l where l.tag_path = :path",
        path=THROUGHPUT,
    )
    _, gone = await publish_on_warehouse(owner, delta, [], SystemClock())
    assert len(gone) > 260
    assert on_warehouse.rows("tag_limits") == []


@pytest.mark.timeout(400)
async def test_two_bridges_that_lose_answers_send_nothing_twice(
    on_warehouse: OnWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement in ten loses its answer, its session or a race: nothing leaves twice, the trail is whole."""
    dice = random.Random(6)
    faults = on_warehouse.server.faults
    send = Warehouse._send

    async def unlucky(self: Warehouse, statement: Statement, what: str) -> Any:
        (fault,) = dice.choices(("lost_response", "expired_session", "conflict", ""), (5, 3, 2, 90))
        if fault:
            faults.begin(fault)
        return await send(self, statement, what)

    sent: Counter[str] = Counter()

    async def work(name: str) -> WarehouseStore:
        store = await on_warehouse.store(id=name, lease_s=60.0)
        for tag in (THROUGHPUT, COOLING):
            write = a_write() if tag == THROUGHPUT else a_write(COOLING, False, True, "")
            made = await patiently(partial(store.propose, a_proposal(write, issue_type=name + tag), 1800.0))
            if made is not None:
                with suppress(RefusedByRule):  # approved already, and the answer to that was lost
                    await patiently(partial(approve, on_warehouse, made))
            for _turn in range(2):
                for command in await patiently(lambda: store.take_commands(ROUTES, 10)):
                    with suppress(TryAgain):
                        sent.update(await store.record_intent([command.command_id]))
                    if command.command_id in sent:
                        await patiently(partial(store.record_verdicts, [verdict(command)]))
        return store

    monkeypatch.setattr(Warehouse, "_send", unlucky)
    stores = await asyncio.gather(work("agent-a"), work("agent-b"))
    monkeypatch.undo()
    faults.clear_all()
    for store in stores:
        await store.tend(frozenset())  # what is owed to the trail
    assert max(sent.values(), default=1) == 1
    executed = {row["command_id"] for row in on_warehouse.rows("agent_commands", status="executed")}
    assert executed == set(sent)
    assert (await (await on_warehouse.desk()).verify_audit()).problem == ""
    told = Counter(
        (row["action"], row["object_id"])
        for row in on_warehouse.rows("agent_audit")
        if row["action"] not in ("command.claimed", "command.released")  # which may well come again
    )
    assert set(told.values()) == {1}


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """What the agent's tasks do: the same again while it may help."""
    for _again in range(30):
        with suppress(TryAgain):
            return await work()
    raise AssertionError("thirty times in vain")
