"""Does only what was approved become a command, and does a command leave at most once?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from rig import COOLING, THROUGHPUT, Hands, OpenStore, denied, one_write

from bridge.agent.decide import approved_write
from bridge.domain.command import Command, Verdict
from bridge.domain.lifecycle import CommandStatus, RecommendationStatus
from bridge.domain.limits import RefusalCode
from bridge.plant import Plant
from bridge.store.desk import Desk
from bridge.store.postgres import PostgresStore

ROUTES = ["opcua", "mqtt"]


def verdict(
    command: Command,
    status: CommandStatus = CommandStatus.EXECUTED,
    *,
    code: RefusalCode | None = None,
    read_back: float | None = None,
) -> Verdict:
    if status is CommandStatus.EXECUTED:
        read_back = command.new_value
    return Verdict(
        command_id=command.command_id,
        recommendation_id=command.recommendation_id,
        status=status,
        reason="said by the test",
        code=code,
        read_back_value=read_back,
    )


async def take_one(store: PostgresStore) -> Command:
    taken = await store.take_commands(ROUTES, 10)
    assert len(taken) == 1
    return taken[0]


async def send(store: PostgresStore, *commands: Command) -> set[str]:
    return await store.record_intent([command.command_id for command in commands])


# What becomes a command


@pytest.mark.parametrize(
    ("tag_path", "value"),
    [
        (THROUGHPUT, 404.0),  # another value
        (THROUGHPUT, 405.0000001),
        (COOLING, 1.0),  # a tag that was not approved
        ("[default]REACTOR_02/ThroughputSetpoint", 405.0),
    ],
)
def test_only_an_approved_value_of_an_approved_tag_becomes_a_command(
    hands: Hands, tag_path: str, value: float
) -> None:
    """A raw command with anything but an approved write must be refused."""
    made = hands.propose()
    hands.approve(made)
    with hands.refuses("not_approved"):
        hands.insert_command(made, tag_path, value)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_never_becomes_a_command(hands: Hands, value: str) -> None:
    """NaN and infinity must be refused as commands of an approved recommendation."""
    made = hands.propose()
    hands.approve(made)
    with hands.refuses("not_approved"):
        hands.insert_command(made, THROUGHPUT, float(value))


@pytest.mark.parametrize("status", [status.value for status in RecommendationStatus])
def test_only_an_approved_recommendation_has_commands(hands: Hands, status: str) -> None:
    """A raw command for a recommendation in any other state must be refused, and a second one for an approved."""
    made = hands.recommendation_in(status)
    write = hands.recommendation_writes(made)[0]
    if status == "approved":
        hands.insert_command(made, str(write["tag_path"]), float(write["to"]))
    with hands.unchanged(), pytest.raises(Exception, match=r"not_approved|duplicate key") as caught:
        hands.insert_command(made, str(write["tag_path"]), float(write["to"]))
    assert ("duplicate key" in str(caught.value)) is (status in ("approved", "executing"))


def test_a_command_without_a_recommendation_is_refused(hands: Hands) -> None:
    """An id that does not exist must be refused as not approved."""
    with hands.refuses("not_approved"):
        hands.insert_command("R-999", THROUGHPUT, 405.0)


@pytest.mark.parametrize(
    "field", ["status = 'executing'", "sent_timestamp = now()", "claimed_by = 'bridge/1'"]
)
def test_a_command_is_never_born_on_its_way(hands: Hands, field: str) -> None:
    """A command that starts claimed, sent or beyond pending must be refused."""
    made = hands.propose()
    hands.approve(made)
    column, value = field.split(" = ")
    with hands.refuses("illegal_transition"):
        hands.agent.execute(
            f"insert into agent_commands (recommendation_id, equipment_id, tag_path, new_value, {column})"
            f" values (%s, 'REACTOR_01', %s, 405, {value})".encode(),
            (made, THROUGHPUT),
        )


def test_what_a_command_writes_is_taken_from_the_approval_and_not_from_the_client(hands: Hands) -> None:
    """Route, unit, place and expected value that a client gives must be replaced by what was approved."""
    made = hands.propose(writes=[one_write(COOLING, False, True, ""), one_write()])
    hands.approve(made)
    hands.agent.execute(
        "insert into agent_commands (command_id, recommendation_id, equipment_id, tag_path, new_value, route, unit,"
        " sequence, expected_value) values ('C-x', %s, 'PUMP_01', %s, 405, 'gateway', 't/h', 7, 1)",
        (made, THROUGHPUT),
    )
    row = hands.command("C-x")
    assert (row["equipment_id"], row["route"], row["unit"]) == ("REACTOR_01", "opcua", "kg/h")
    assert (row["sequence"], row["expected_value"]) == (2, 450.0)


@pytest.mark.parametrize(
    "change",
    [
        "new_value = 100",
        "tag_path = '[default]REACTOR_01/CoolingOn'",
        "expected_value = 1",
        "unit = 't/h'",
        "route = 'gateway'",
        "sequence = 2",
        "equipment_id = 'PUMP_01'",
        "created_by_agent = 'another'",
    ],
)
@pytest.mark.parametrize("status", ["pending", "executing"])
def test_what_a_command_writes_never_changes(hands: Hands, status: str, change: str) -> None:
    """Every field that says what is written must be immutable, also for the owner."""
    command = hands.command_in(status, sent=False)
    with hands.refuses("immutable"):
        hands.owner.execute(f"update agent_commands set {change} where command_id = %s".encode(), (command,))


@pytest.mark.parametrize("status", ["executed", "failed", "cancelled"])
@pytest.mark.parametrize(
    "change", ["execution_result = 'all went well'", "read_back_value = 1", "result_code = null"]
)
def test_a_verdict_is_never_reworded(hands: Hands, status: str, change: str) -> None:
    """What an ended command says of itself must stay what the audit trail says of it."""
    command = hands.command_in(status)
    if change == "result_code = null":
        change = "result_code = 'no_change'"
    for connection in (hands.agent, hands.operator, hands.owner):
        with hands.refuses("immutable"):
            connection.execute(
                f"update agent_commands set {change} where command_id = %s".encode(), (command,)
            )


@pytest.mark.parametrize("status", ["pending", "executing", "unknown"])
def test_a_live_command_locks_its_tag(hands: Hands, status: str) -> None:
    """While a command is pending, executing or unknown its tag must take no second one."""
    equipment, writes = hands.machine()
    first = hands.propose(equipment_id=equipment, issue_type="first", writes=writes)
    second = hands.propose(equipment_id=equipment, issue_type="second", writes=writes)
    for made in (first, second):
        hands.approve(made)
    command = hands.begin(first)[0]
    if status != "pending":
        hands.claim(command)
        hands.send(command)
    if status == "unknown":
        hands.end(command, "unknown")
    with hands.unchanged(), pytest.raises(Exception, match="one_live_command_per_tag"):
        hands.begin(second)
    if status == "unknown":
        hands.end(command, "failed")
        assert hands.begin(second)


async def test_an_unknown_outcome_keeps_later_approvals_of_the_tag_waiting(
    hands: Hands, store: PostgresStore
) -> None:
    """take_commands must not start a second write to a tag until somebody knows what became of the first."""
    equipment, writes = hands.machine()
    first = hands.propose(equipment_id=equipment, issue_type="first", writes=writes)
    hands.approve(first)
    command = await take_one(store)
    await send(store, command)
    assert await store.record_verdicts([verdict(command, CommandStatus.UNKNOWN)]) == [
        (first, RecommendationStatus.FAILED)
    ]
    second = hands.propose(equipment_id=equipment, issue_type="second", writes=writes)
    hands.approve(second)
    assert await store.take_commands(ROUTES, 10) == []
    unsettled = (await store.unsettled())[0]
    assert await store.settle(
        unsettled, verdict(command, CommandStatus.FAILED, code=RefusalCode.NOT_CONFIRMED)
    )
    assert [taken.recommendation_id for taken in await store.take_commands(ROUTES, 10)] == [second]


# Claiming


async def test_a_claimed_command_carries_the_evidence_of_its_approval(
    hands: Hands, store: PostgresStore, plant: Plant
) -> None:
    """A claim must bring the approved writes, their digest, the lease and the tag's history."""
    made = hands.propose(writes=[one_write(), one_write(COOLING, False, True, "")])
    hands.approve(made)
    command = await take_one(store)
    assert (command.tag_path, command.sequence, command.expected_value, command.new_value, command.unit) == (
        THROUGHPUT,
        1,
        450.0,
        405.0,
        "kg/h",
    )
    assert command.claimed_by == store.instance
    assert 10.0 < command.lease_left_s <= 15.0
    assert (command.since_last_write_s, command.writes_last_hour) == (None, 0)
    assert approved_write(command, plant.tags) == (plant.tags[THROUGHPUT], 405.0)


async def test_the_second_write_is_claimed_only_after_the_first_was_executed(
    hands: Hands, store: PostgresStore
) -> None:
    """Writes of one recommendation must leave in their order, each after the one before was verified."""
    made = hands.propose_elsewhere(writes=3)
    hands.approve(made)
    for sequence in (1, 2, 3):
        command = await take_one(store)
        assert command.sequence == sequence
        assert await store.take_commands(ROUTES, 10) == []
        await send(store, command)
        assert await store.take_commands(ROUTES, 10) == []
        finished = await store.record_verdicts([verdict(command)])
    assert finished == [(made, RecommendationStatus.EXECUTED)]
    row = hands.recommendation(made)
    assert row["executed_timestamp"] is not None
    assert row["execution_result"].count("executed") == 3


async def test_the_history_of_a_tag_comes_with_the_next_claim(hands: Hands, store: PostgresStore) -> None:
    """Budget and interval are counted from what was sent to the tag, by the database's clock."""
    equipment, writes = hands.machine()
    for round_number in range(3):
        made = hands.propose(equipment_id=equipment, writes=writes)
        hands.approve(made)
        command = await take_one(store)
        assert command.writes_last_hour == round_number
        assert (command.since_last_write_s is None) is (round_number == 0)
        await send(store, command)
        await store.record_verdicts([verdict(command)])


async def test_a_thousand_commands_and_two_bridges_none_twice_and_none_left(
    hands: Hands, open_store: OpenStore
) -> None:
    """Two stores claiming side by side must together take each of 1,000 commands exactly once."""
    hands.owner.execute(
        "insert into tag_limits (tag_path, equipment_id, route, data_type, unit, low, high, min_interval_s,"
        " max_writes_per_hour, max_age_s, tolerance)"
        " select 'tag ' || n, 'unit ' || n, 'opcua', 'Double', '', 0, 1000, 0, 100, 30, 0"
        " from generate_series(1, 1000) as n"
    )
    hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, proposed_writes)"
        " select 'unit ' || n, 'x', jsonb_build_array(jsonb_build_object('tag_path', 'tag ' || n, 'from', 1, 'to', 2,"
        " 'unit', '')) from generate_series(1, 1000) as n"
    )
    hands.operator.execute(
        "update agent_recommendations set status = 'approved', approved_by_operator = 'anna' where issue_type = 'x'"
    )
    stores = [await open_store(), await open_store()]
    taken: list[list[str]] = [[], []]

    async def work(place: int) -> None:
        idle = 0
        while idle < 3:  # another store may hold the rows that were skipped
            commands = await stores[place].take_commands(ROUTES, 50)
            idle = 0 if commands else idle + 1
            allowed = await send(stores[place], *commands)
            assert allowed == {command.command_id for command in commands}
            taken[place].extend(command.command_id for command in commands)

    await asyncio.gather(work(0), work(1))
    everything = taken[0] + taken[1]
    assert len(everything) == len(set(everything)) == 1000
    assert hands.value("select count(*) from agent_commands where status = 'executing'") == 1000
    assert hands.value("select count(*) from agent_commands where sent_timestamp is null") == 0
    for place in (0, 1):
        assert hands.value(
            "select count(*) from agent_commands where claimed_by = %s", stores[place].instance
        ) == len(taken[place])


async def test_two_approvals_for_one_tag_at_once_are_executed_one_after_the_other(
    hands: Hands, store: PostgresStore
) -> None:
    """Both approved in the same batch: the earlier must go first, and the other wait until that is through."""
    equipment, writes = hands.machine()
    first = hands.propose(equipment_id=equipment, issue_type="first", writes=writes)
    second = hands.propose(equipment_id=equipment, issue_type="second", writes=writes)
    bystander = hands.propose_elsewhere()
    for made in (first, second, bystander):
        hands.approve(made)
    command = await take_one(store)
    assert command.recommendation_id == first
    assert [taken.recommendation_id for taken in await store.take_commands(ROUTES, 10)] == [bystander]
    assert hands.recommendation(second)["status"] == "approved"
    await send(store, command)
    await store.record_verdicts([verdict(command)])
    assert [taken.recommendation_id for taken in await store.take_commands(ROUTES, 10)] == [second]


async def test_a_lapsed_approval_is_not_executed_and_ends_by_name(hands: Hands, store: PostgresStore) -> None:
    """An approval older than its validity must start nothing, and tend must end it as expired with the reason."""
    made = hands.propose()
    hands.approve(made)
    hands.let_approval_lapse(made)
    assert await store.take_commands(ROUTES, 10) == []
    assert (await store.tend(await store.due()))["approved"] == 1
    row = hands.recommendation(made)
    assert row["status"] == "expired"
    assert "approved by anna but not executed within 300 s" in row["execution_result"]


async def test_a_lapsed_approval_whose_commands_wait_is_not_claimed_any_more(
    hands: Hands, store: PostgresStore
) -> None:
    """A command that was prepared in time but not claimed in time must be cancelled as expired, never claimed."""
    made = hands.propose()
    hands.approve(made)
    hands.begin(made)
    hands.let_approval_lapse(made)
    assert await store.take_commands(ROUTES, 10) == []
    done = await store.tend(await store.due())
    assert (done["cancel"], done["finish"]) == (1, 1)
    row = hands.commands_of(made)[0]
    assert (row["status"], row["result_code"]) == ("cancelled", "expired")


# Sending


async def test_the_intent_is_recorded_only_for_the_holder_of_the_claim(
    hands: Hands, open_store: OpenStore
) -> None:
    """Another bridge's claim must give no right to send."""
    holder, other = await open_store(), await open_store()
    hands.approve(hands.propose())
    command = await take_one(holder)
    with hands.unchanged():
        assert await send(other, command) == set()
    assert await send(holder, command) == {command.command_id}


async def test_the_intent_is_recorded_only_within_the_lease(hands: Hands, store: PostgresStore) -> None:
    """After the lease nothing may be sent under it, neither by the query nor by raw SQL."""
    hands.approve(hands.propose())
    command = await take_one(store)
    hands.let_lease_end(command.command_id)
    with hands.unchanged():
        assert await send(store, command) == set()
    with hands.refuses("lease_lost"):
        hands.send(command.command_id)


async def test_the_intent_is_recorded_only_while_armed(
    hands: Hands, store: PostgresStore, desk: Desk
) -> None:
    """Disarmed between claim and send must mean that nothing is sent, neither by the query nor by raw SQL."""
    hands.approve(hands.propose())
    command = await take_one(store)
    await desk.set_armed(False, operator="anna", reason="maintenance")
    with hands.unchanged():
        assert await send(store, command) == set()
    with hands.refuses("disarmed"):
        hands.send(command.command_id)


def test_a_missing_arming_switch_means_disarmed(hands: Hands) -> None:
    """The switch must not be removable, and should it be gone all the same, nothing may be sent."""
    command = hands.command_in("executing", sent=False)
    for statement in (b"delete from bridge_control", b"truncate bridge_control"):
        with hands.refuses("append_only"):
            hands.owner.execute(statement)
    with hands.owner.transaction():
        hands.owner.execute("set local session_replication_role = replica")
        hands.owner.execute("delete from bridge_control")
    with hands.refuses("disarmed"):
        hands.send(command)


async def test_a_command_is_sent_once_and_never_again(hands: Hands, store: PostgresStore) -> None:
    """A second intent must not come back from the query, and must be refused as raw SQL."""
    hands.approve(hands.propose())
    command = await take_one(store)
    assert await send(store, command) == {command.command_id}
    with hands.unchanged():
        assert await send(store, command) == set()
    with hands.refuses("already_sent"):
        hands.send(command.command_id)
    with hands.refuses("already_sent"):
        hands.owner.execute("update agent_commands set sent_timestamp = null")


@pytest.mark.parametrize("status", ["pending", "executed", "failed", "cancelled"])
def test_only_a_claimed_command_is_sent(hands: Hands, status: str) -> None:
    """A send outside of executing must be refused."""
    command = hands.command_in(status)
    with hands.unchanged(), pytest.raises(Exception, match=r"illegal_transition|already_sent"):
        hands.send(command)


async def test_disarmed_starts_nothing_and_tend_cancels_what_waits(
    hands: Hands, store: PostgresStore, desk: Desk
) -> None:
    """Disarming must hold approvals back, cancel pending commands by name, and say so in the recommendation."""
    waiting, prepared = hands.propose(), hands.propose_elsewhere(writes=2)
    for made in (waiting, prepared):
        hands.approve(made)
    hands.begin(prepared)
    await desk.set_armed(False, operator="anna", reason="maintenance")
    assert hands.recommendation(waiting)["status"] == "approved"
    done = await store.tend(await store.due())
    assert (done["cancel"], done["finish"]) == (2, 1)
    assert await store.take_commands(ROUTES, 10) == []
    assert [row["result_code"] for row in hands.commands_of(prepared)] == ["disarmed", "disarmed"]
    row = hands.recommendation(prepared)
    assert row["status"] == "failed"
    assert "the bridge was disarmed before anything was sent" in row["execution_result"]
    assert hands.recommendation(waiting)["status"] == "approved"


# Giving back


async def test_only_what_was_never_sent_is_given_back(hands: Hands, store: PostgresStore) -> None:
    """Release must take back unsent claims of this bridge and leave a sent command alone."""
    for _ in range(2):
        hands.approve(hands.propose_elsewhere())
    one, other = await store.take_commands(ROUTES, 10)
    await send(store, one)
    assert await store.release([one.command_id, other.command_id]) == [other.command_id]
    row = hands.command(other.command_id)
    assert (row["status"], row["claimed_by"], row["lease_expires_at"]) == ("pending", None, None)
    with hands.refuses("already_sent"):
        hands.end(one.command_id, "pending")


async def test_another_bridges_claim_is_not_given_back(hands: Hands, open_store: OpenStore) -> None:
    """Release must do nothing to a claim of somebody else."""
    holder, other = await open_store(), await open_store()
    hands.approve(hands.propose())
    command = await take_one(holder)
    with hands.unchanged():
        assert await other.release([command.command_id]) == []


async def test_the_claim_of_a_bridge_that_died_before_sending_is_taken_over(
    hands: Hands, open_store: OpenStore
) -> None:
    """Lease over and never sent: tend must release it, and another bridge may claim and send it once."""
    dead, alive = await open_store(), await open_store()
    hands.approve(hands.propose())
    command = await take_one(dead)
    assert "release" not in await alive.due()
    hands.let_lease_end(command.command_id)
    assert (await alive.tend(await alive.due()))["release"] == 1
    again = await take_one(alive)
    assert again.command_id == command.command_id
    assert await send(dead, command) == set()
    assert await send(alive, again) == {command.command_id}


async def test_the_command_of_a_bridge_that_died_after_sending_is_never_claimed_again(
    hands: Hands, open_store: OpenStore
) -> None:
    """Lease over and sent: it must come up as unsettled, be settled once, and never be released."""
    dead, alive = await open_store(), await open_store()
    hands.approve(hands.propose())
    command = await take_one(dead)
    await send(dead, command)
    assert await alive.unsettled() == []
    hands.let_lease_end(command.command_id)
    assert "release" not in await alive.due()
    assert "settle" in await alive.due()
    assert await alive.take_commands(ROUTES, 10) == []
    unsettled = (await alive.unsettled())[0]
    assert (unsettled.status, unsettled.new_value) == (CommandStatus.EXECUTING, 405.0)
    assert await alive.settle(unsettled, verdict(command))
    assert not await alive.settle(unsettled, verdict(command))
    assert hands.recommendation(command.recommendation_id)["status"] == "executed"
    with hands.unchanged():  # the first holder comes back from a long sleep
        assert await dead.record_verdicts([verdict(command, CommandStatus.FAILED)]) == []


# Verdicts


def test_executed_takes_a_send_and_a_read_back(hands: Hands) -> None:
    """A command that was not sent, or not read back, must not count as executed."""
    unsent = hands.command_in("executing", sent=False)
    with hands.refuses("illegal_transition"):
        hands.end(unsent, "executed", read_back=400.0)
    sent = hands.command_in("executing")
    with hands.refuses("illegal_transition"):
        hands.end(sent, "executed")
    hands.end(sent, "executed", read_back=400.0)
    row = hands.command(sent)
    assert row["executed_timestamp"] == row["verified_timestamp"] is not None


@pytest.mark.parametrize("status", ["failed", "unknown", "cancelled"])
def test_every_other_end_says_why(hands: Hands, status: str) -> None:
    """Failed, unknown and cancelled without execution_result must be refused."""
    command = hands.command_in("pending" if status == "cancelled" else "executing")
    with hands.refuses("reason_required"):
        hands.agent.execute("update agent_commands set status = %s where command_id = %s", (status, command))


async def test_a_verdict_of_somebody_who_does_not_hold_the_claim_is_ignored(
    hands: Hands, open_store: OpenStore
) -> None:
    """record_verdicts of another bridge must change nothing."""
    holder, other = await open_store(), await open_store()
    hands.approve(hands.propose())
    command = await take_one(holder)
    await send(holder, command)
    with hands.unchanged():
        assert await other.record_verdicts([verdict(command)]) == []
    assert await holder.record_verdicts([verdict(command)]) == [
        (command.recommendation_id, RecommendationStatus.EXECUTED)
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [(CommandStatus.FAILED, RefusalCode.MOVED_AWAY), (CommandStatus.UNKNOWN, RefusalCode.NOT_CONFIRMED)],
)
async def test_a_write_that_did_not_succeed_withdraws_the_later_ones(
    hands: Hands, store: PostgresStore, status: CommandStatus, code: RefusalCode
) -> None:
    """Failed or unknown must cancel the later writes as withdrawn and fail the recommendation with every reason."""
    made = hands.propose_elsewhere(writes=3)
    bystander = hands.propose_elsewhere()
    for recommendation in (made, bystander):
        hands.approve(recommendation)
    hands.begin(bystander)
    command = next(
        taken for taken in await store.take_commands(ROUTES, 10) if taken.recommendation_id == made
    )
    await send(store, command)
    finished = await store.record_verdicts([verdict(command, status, code=code)])
    assert finished == [(made, RecommendationStatus.FAILED)]
    rows = hands.commands_of(made)
    assert [row["status"] for row in rows] == [status.value, "cancelled", "cancelled"]
    assert [row["result_code"] for row in rows] == [code.value, "withdrawn", "withdrawn"]
    text = hands.recommendation(made)["execution_result"]
    assert f"{status.value} ({code.value}: said by the test)" in text
    assert text.count("withdrawn") == 2
    assert hands.recommendation(bystander)["status"] == "executing"


@pytest.mark.parametrize("end", [CommandStatus.EXECUTED, CommandStatus.FAILED])
async def test_an_unknown_outcome_is_ended_by_what_was_found_and_the_recommendation_stays_failed(
    hands: Hands, store: PostgresStore, end: CommandStatus
) -> None:
    """settle must move unknown to executed or failed exactly once; the recommendation keeps its recorded outcome."""
    hands.approve(hands.propose())
    command = await take_one(store)
    await send(store, command)
    await store.record_verdicts([verdict(command, CommandStatus.UNKNOWN, code=RefusalCode.NOT_CONFIRMED)])
    before = hands.recommendation(command.recommendation_id)
    unsettled = (await store.unsettled())[0]
    assert unsettled.status is CommandStatus.UNKNOWN
    assert await store.settle(unsettled, verdict(command, end))
    assert not await store.settle(unsettled, verdict(command, end))
    assert hands.command(command.command_id)["status"] == end.value
    assert hands.recommendation(command.recommendation_id) == before
    assert before["status"] == "failed"
    assert await store.unsettled() == []


def test_a_person_who_ends_an_unknown_outcome_signs_for_it(hands: Hands) -> None:
    """The operator's role must give a name with it, which the audit trail keeps; blanks are no name."""
    command = hands.command_in("unknown")
    for name in (None, "  "):
        with hands.refuses("name_required"):
            hands.operator.execute(
                "update agent_commands set status = 'failed', execution_result = 'panel shows 500', settled_by = %s"
                " where command_id = %s",
                (name, command),
            )
    hands.operator.execute(
        "update agent_commands set status = 'failed', execution_result = 'panel shows 500', settled_by = 'carl'"
        " where command_id = %s",
        (command,),
    )
    last = hands.trail(hands.command(command)["recommendation_id"])[-1]
    assert (last["action"], last["actor"]) == ("command.failed", "carl")


# The gateway's route


@pytest.fixture
def gateway_command(hands: Hands) -> str:
    return hands.command_in("pending", route="gateway")


async def test_the_bridge_does_not_claim_what_the_gateway_executes(
    hands: Hands, store: PostgresStore, gateway_command: str
) -> None:
    """A command routed to the gateway must not be claimed by take_commands, nor by raw SQL as bridge_agent."""
    assert await store.take_commands(ROUTES, 10) == []
    with hands.refuses("wrong_route"):
        hands.agent.execute(
            "update agent_commands set status = 'executing', claimed_by = 'bridge/1',"
            " lease_expires_at = now() + interval '15 s' where command_id = %s",
            (gateway_command,),
        )


def test_the_gateway_executes_its_own_command_as_operator(hands: Hands, gateway_command: str) -> None:
    """Claim, send and verdict as bridge_operator must work for the gateway's route."""
    hands.claim(gateway_command, by="gateway")
    hands.send(gateway_command)
    with hands.refuses("wrong_route"):
        hands.agent.execute(
            "update agent_commands set status = 'executed', read_back_value = 400 where command_id = %s",
            (gateway_command,),
        )
    hands.end(gateway_command, "executed", read_back=400.0)
    assert hands.command(gateway_command)["status"] == "executed"


@pytest.mark.parametrize(
    "statement",
    [
        "update agent_commands set status = 'executing', claimed_by = 'me', lease_expires_at = now() + interval '9 s'",
        "update agent_commands set status = 'executed', read_back_value = 400",
        "update agent_commands set sent_timestamp = now()",
        "update agent_commands set lease_expires_at = now() + interval '1 hour'",
    ],
)
@pytest.mark.parametrize("status", ["pending", "executing"])
def test_the_operators_role_never_executes_what_the_bridge_sends(
    hands: Hands, status: str, statement: str
) -> None:
    """As bridge_operator a command routed over OPC UA must neither be claimed, sent, held nor marked executed."""
    hands.command_in(status, sent=False)
    with hands.unchanged(), denied():
        hands.operator.execute(statement.encode())


def test_the_operator_may_withdraw_any_pending_command(hands: Hands) -> None:
    """Cancelling what nobody has sent must be open to the operator on every route."""
    for route in ("opcua", "gateway"):
        command = hands.command_in("pending", route=route)
        hands.operator.execute(
            "update agent_commands set status = 'cancelled', execution_result = 'withdrawn by anna'"
            " where command_id = %s",
            (command,),
        )
        assert hands.command(command)["status"] == "cancelled"


# Tending


async def test_tend_counts_what_it_did_and_does_nothing_twice(hands: Hands, store: PostgresStore) -> None:
    """One round must release, cancel, finish, expire and wake what is due and say how many; the next finds nothing."""
    assert await store.tend(await store.due()) == {}
    released, late, lapsed, answered_late, deferred = (hands.propose_elsewhere() for _ in range(5))
    for made in (released, late, lapsed):
        hands.approve(made)
    abandoned, waiting = hands.begin(released)[0], hands.begin(late)[0]
    hands.claim(abandoned)
    hands.let_lease_end(abandoned)
    for made in (late, lapsed):
        hands.let_approval_lapse(made)
    hands.let_expire(answered_late)
    hands.operator.execute(
        "update agent_recommendations set status = 'deferred', defer_until = now() + interval '1 hour'"
        " where recommendation_id = %s",
        (deferred,),
    )
    hands.let_deferral_end(deferred)
    done = await store.tend(await store.due())
    assert done == {"release": 1, "cancel": 1, "finish": 1, "approved": 1, "expire": 1, "wake": 1}
    assert hands.command(abandoned)["status"] == "pending"
    assert hands.command(waiting)["status"] == "cancelled"
    statuses = [hands.recommendation(made)["status"] for made in (late, lapsed, answered_late, deferred)]
    assert statuses == ["failed", "expired", "expired", "pending"]
    assert await store.tend(await store.due()) == {}


async def test_due_names_what_has_to_be_looked_after(hands: Hands, store: PostgresStore) -> None:
    """due must be empty on a quiet database and name each kind of work as it appears."""
    assert await store.due() == frozenset()
    made = hands.propose()
    assert await store.due() == frozenset()
    hands.approve(made)
    assert await store.due() == {"approved"}
    hands.begin(made)
    assert await store.due() == {"cancel", "finish"}
    hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, created_by_agent) values ('X', 'y', 'job')"
    )
    assert "complete" in await store.due()


async def test_renewed_proposals_live_on_and_others_expire(hands: Hands, store: PostgresStore) -> None:
    """renew must move expires_at of pending proposals, and tend must expire what nobody renewed."""
    kept, left = hands.propose_elsewhere(), hands.propose_elsewhere()
    for made in (kept, left):
        hands.let_expire(made)
    await store.renew([kept], 60.0)
    assert (await store.tend(await store.due()))["expire"] == 1
    assert hands.recommendation(kept)["status"] == "pending"
    row = hands.recommendation(left)
    assert row["status"] == "expired"
    assert row["execution_result"].startswith("nobody answered by ")


async def test_supersede_withdraws_own_undecided_proposals_only(hands: Hands, store: PostgresStore) -> None:
    """Pending and deferred proposals of this agent must end as superseded; approved ones and others' must stay."""
    equipment, writes = hands.machine()
    mine = hands.propose(equipment_id=equipment, writes=writes)
    assert await store.supersede(equipment, "high_temperature", "the condition cleared") == [mine]
    assert hands.recommendation(mine)["execution_result"] == "the condition cleared"
    approved = hands.propose(equipment_id=equipment, writes=writes)
    hands.approve(approved)
    hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, created_by_agent) values ('X', 'y', 'job')"
    )
    with hands.unchanged():
        assert await store.supersede(equipment, "high_temperature", "cleared") == []
        assert await store.supersede("X", "y", "cleared") == []


def test_a_recommendation_is_executed_only_when_every_command_is(hands: Hands) -> None:
    """Executed with a command that is not, and failed with one still on its way, must both be refused."""
    made = hands.propose_elsewhere(writes=2)
    hands.approve(made)
    first, _second = hands.begin(made)
    hands.claim(first)
    hands.send(first)
    hands.end(first, "executed", read_back=400.0)
    for status in ("executed", "failed"):
        with hands.refuses("illegal_transition"):
            hands.agent.execute(
                "update agent_recommendations set status = %s, execution_result = 'x' where recommendation_id = %s",
                (status, made),
            )


def test_a_recommendation_with_writes_is_not_executed_without_any_command(hands: Hands) -> None:
    """Executed with writes that never became commands must be refused: nothing was written."""
    made = hands.propose()
    hands.approve(made)
    hands.agent.execute(
        "update agent_recommendations set status = 'executing' where recommendation_id = %s", (made,)
    )
    with hands.refuses("illegal_transition"):
        hands.agent.execute(
            "update agent_recommendations set status = 'executed', execution_result = 'done'"
            " where recommendation_id = %s",
            (made,),
        )


def _ordered(times: Sequence[object]) -> bool:
    return all(a <= b for a, b in pairwise(times))  # type: ignore[operator]


async def test_the_whole_story_is_told_in_its_order(hands: Hands, store: PostgresStore, desk: Desk) -> None:
    """Proposal, approval, command, claim, send, verdict and outcome must stand in the trail in this order."""
    made = hands.propose()
    hands.approve(made, by="anna")
    command = await take_one(store)
    await send(store, command)
    await store.record_verdicts([verdict(command)])
    story = await desk.story(made)
    assert [entry["action"] for entry in story.trail] == [
        "recommendation.created",
        "approval.given",
        "recommendation.approved",
        "recommendation.executing",
        "command.created",
        "command.claimed",
        "command.sent",
        "command.executed",
        "recommendation.executed",
    ]
    assert [entry["actor"] for entry in story.trail[:4]] == [
        "operations-agent",
        "anna",
        "anna",
        "bridge_agent",
    ]
    assert {entry["actor"] for entry in story.trail[5:8]} == {store.instance}
    assert _ordered([entry["at"] for entry in story.trail])
    assert [row["status"] for row in story.commands] == ["executed"]


def test_refusals_are_named_in_python_too() -> None:
    """Every code that the schema says must be known to RefusalCode, so that none becomes wrong_form on its way up."""
    import re

    from bridge.store.migrate import migrations

    said = {
        code for migration in migrations() for code in re.findall(r"refuse\(\s*'([a-z_]+)'", migration.sql)
    }
    assert said
    assert said <= {code.value for code in RefusalCode}
