"""Do the gateway's named queries let it execute what is routed to it, and nothing else, on a real database?"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rig import Connection, Hands, Row, denied, refused, sql

from bridge.domain.approval import digest_of
from bridge.store.queries import Queries, Query

Ask = Callable[..., list[Row]]
GATEWAY = "gateway/test/1"


@pytest.fixture
def ask(hands: Hands, named: Queries) -> Ask:
    """Runs a named query as the gateway's role, by `table.name`."""

    def run(full_name: str, connection: Connection | None = None, **parameters: object) -> list[Row]:
        query = _query(named, full_name)
        assert set(parameters) == {each.name for each in query.parameters}
        cursor = (connection or hands.operator).execute(sql(query.statement), parameters)
        return cursor.fetchall() if cursor.description else []

    return run


def _query(named: Queries, full_name: str) -> Query:
    table, name = full_name.split(".")
    found = getattr(getattr(named, table), name)
    assert isinstance(found, Query)
    return found


def ordered(hands: Hands, *, route: str = "gateway", writes: int = 1) -> list[str]:
    """Approved commands on fresh equipment, by id in their order."""
    made = hands.propose_elsewhere(route=route, writes=writes)
    hands.approve(made)
    return list(hands.begin(made))


def claim(ask: Ask, connection: Connection | None = None, **changes: Any) -> list[Row]:
    parameters = {"claimed_by": GATEWAY, "lease_s": 30.0, "approval_valid_s": 300.0, "max_commands": 100}
    return ask("commands.get_pending_commands", connection, **{**parameters, **changes})


def intend(ask: Ask, *ids: str, by: str = GATEWAY) -> set[str]:
    found = ask("commands.record_gateway_intent", command_ids=json.dumps(ids), claimed_by=by)
    return {row["command_id"] for row in found}


def mark(
    ask: Ask, command_id: str, status: str, *, by: str = GATEWAY, read_back: float | None = 400.0
) -> bool:
    parameters: dict[str, Any] = {
        "command_id": command_id,
        "claimed_by": by,
        "result": "said by the test",
        "read_back": read_back,
    }
    if status != "executed":
        parameters["code"] = "not_confirmed"
    return bool(ask(f"commands.mark_command_{status}", **parameters))


# Claiming


def test_the_gateway_claims_only_what_is_routed_to_it(hands: Hands, ask: Ask) -> None:
    """Commands over OPC UA and MQTT must stay pending."""
    others = [ordered(hands, route=route)[0] for route in ("opcua", "mqtt")]
    (own,) = ordered(hands)
    assert [row["command_id"] for row in claim(ask)] == [own]
    assert {hands.command(other)["status"] for other in others} == {"pending"}


def test_a_claim_brings_everything_the_gateway_has_to_check(hands: Hands, ask: Ask) -> None:
    """The approved text must have the approved digest, and the limits must be the published ones."""
    (command_id,) = ordered(hands)
    (row,) = claim(ask)
    assert digest_of(row["proposed_writes_text"]) == row["approved_digest"]
    assert 29 < row["lease_left_s"] <= 30
    limits = hands.value("select to_jsonb(t) from tag_limits t where tag_path = %s", row["tag_path"])
    for name in (
        "data_type",
        "low",
        "high",
        "max_step",
        "min_interval_s",
        "max_writes_per_hour",
        "max_age_s",
    ):
        assert row[name] == limits[name], name
    assert (row["limits_route"], row["limits_unit"], row["settle_s"]) == ("gateway", "rpm", 2.0)
    assert (row["since_last_write_s"], row["writes_last_hour"]) == (None, 0)
    assert hands.command(command_id)["claimed_by"] == GATEWAY


def test_numbers_come_as_floats_and_integers(hands: Hands, ask: Ask) -> None:
    """JDBC makes a BigDecimal of a numeric, which compares with no Python number."""
    (command_id,) = ordered(hands)
    (row,) = claim(ask)
    assert {type(row[name]) for name in ("lease_left_s", "low", "high", "tolerance", "settle_s")} == {float}
    assert type(row["writes_last_hour"]) is int
    intend(ask, command_id)
    hands.let_lease_end(command_id)
    (left,) = ask("commands.list_gateway_unsettled", patience_s=0.0)
    assert type(left["sent_s_ago"]) is float


def test_a_withdrawn_tag_comes_without_limits(hands: Hands, ask: Ask) -> None:
    """The gateway must see that the tag is not listed, instead of not seeing the command."""
    ordered(hands)
    hands.owner.execute("delete from tag_limits where route = 'gateway'")
    (row,) = claim(ask)
    assert row["data_type"] is row["limits_route"] is row["low"] is None


def test_nothing_is_claimed_while_disarmed_or_after_the_approval_lapsed(hands: Hands, ask: Ask) -> None:
    """Both must hold without a bridge that cancels."""
    (command_id,) = ordered(hands)
    hands.operator.execute("update bridge_control set armed = false, reason = 'test'")
    assert claim(ask) == []
    hands.operator.execute("update bridge_control set armed = true, reason = 'test over'")
    hands.let_approval_lapse(hands.command(command_id)["recommendation_id"])
    assert claim(ask) == []
    assert hands.command(command_id)["status"] == "pending"


def test_a_write_waits_for_the_earlier_ones(hands: Hands, ask: Ask) -> None:
    """The second write may be claimed only when the first was executed."""
    first, second = ordered(hands, writes=2)
    assert [row["command_id"] for row in claim(ask)] == [first]
    assert claim(ask) == []
    intend(ask, first)
    assert mark(ask, first, "executed")
    assert [row["command_id"] for row in claim(ask)] == [second]


def test_two_gateways_at_once_share_the_commands(
    hands: Hands, ask: Ask, as_role: Callable[[str], Connection]
) -> None:
    """No command may be claimed twice, and none left behind."""
    made = {ordered(hands)[0] for _ in range(40)}
    connections = [as_role("bridge_operator") for _ in range(4)]

    def work(number: int) -> list[str]:
        mine: list[str] = []
        while rows := claim(ask, connections[number], claimed_by=f"gateway/{number}", max_commands=3):
            mine.extend(row["command_id"] for row in rows)
        return mine

    with ThreadPoolExecutor(4) as pool:
        claimed = [command_id for mine in pool.map(work, range(4)) for command_id in mine]
    assert len(claimed) == len(set(claimed))
    # A command that another had just locked is passed over, and found by the next question.
    claimed += [row["command_id"] for row in claim(ask)]
    assert set(claimed) == made


def test_the_agent_cannot_claim_for_the_gateway(hands: Hands, ask: Ask) -> None:
    """The database must refuse it, whatever program asks."""
    ordered(hands)
    with refused("wrong_route"):
        claim(ask, hands.agent)


def test_a_reader_can_claim_nothing(hands: Hands, ask: Ask, as_role: Callable[[str], Connection]) -> None:
    """Looking is all that bridge_reader may do."""
    ordered(hands)
    with denied():
        claim(ask, as_role("bridge_reader"))


# The intent


def test_an_intent_is_recorded_once_and_only_by_the_holder(hands: Hands, ask: Ask) -> None:
    """Whoever does not get the id back must not write."""
    (command_id,) = ordered(hands)
    assert intend(ask, command_id) == set()
    claim(ask)
    assert intend(ask, command_id, by="gateway/other") == set()
    assert intend(ask, command_id) == {command_id}
    assert intend(ask, command_id) == set()
    assert hands.command(command_id)["sent_timestamp"] is not None


def test_no_intent_is_recorded_while_disarmed_or_after_the_lease(hands: Hands, ask: Ask) -> None:
    """Both must stop a write that was already claimed."""
    (disarmed,) = ordered(hands)
    claim(ask)
    hands.operator.execute("update bridge_control set armed = false, reason = 'test'")
    assert intend(ask, disarmed) == set()
    hands.operator.execute("update bridge_control set armed = true, reason = 'test over'")
    hands.let_lease_end(disarmed)
    assert intend(ask, disarmed) == set()


def test_an_intent_for_the_bridges_own_commands_is_none(hands: Hands, ask: Ask) -> None:
    """The route must be looked at, not only the name of the holder."""
    (command_id,) = ordered(hands, route="opcua")
    hands.claim(command_id, by=GATEWAY)
    assert intend(ask, command_id) == set()


def test_ids_may_hold_any_character(hands: Hands, ask: Ask) -> None:
    """A list of ids is JSON, so that no id can be two."""
    (command_id,) = ordered(hands)
    claim(ask)
    assert intend(ask, 'C-1","C-2', "C-1,C-2", command_id) == {command_id}


# Verdicts


@pytest.mark.parametrize("status", ["executed", "failed", "unknown"])
def test_only_the_holder_gives_the_verdict(hands: Hands, ask: Ask, status: str) -> None:
    """Another holder, or a second verdict, must change nothing."""
    (command_id,) = ordered(hands)
    claim(ask)
    intend(ask, command_id)
    assert not mark(ask, command_id, status, by="gateway/other")
    assert mark(ask, command_id, status)
    assert not mark(ask, command_id, "failed")
    row = hands.command(command_id)
    assert (row["status"], row["execution_result"], row["read_back_value"]) == (
        status,
        "said by the test",
        400.0,
    )
    assert row["result_code"] == (None if status == "executed" else "not_confirmed")


@pytest.mark.parametrize(("status", "there"), [("executed", False), ("failed", True), ("unknown", False)])
def test_what_was_never_sent_can_only_have_failed(hands: Hands, ask: Ask, status: str, there: bool) -> None:
    """Executed and unknown both mean that something left."""
    (command_id,) = ordered(hands)
    claim(ask)
    assert mark(ask, command_id, status, read_back=None if there else 400.0) is there


def test_many_verdicts_are_recorded_at_once(hands: Hands, ask: Ask) -> None:
    """Each with its own words; what another holds or what was never sent keeps its place."""
    executed, failed, unsent_failed, unsent, others = (ordered(hands)[0] for _ in range(5))
    hands.claim(others, by="gateway/other")
    claim(ask)
    intend(ask, executed, failed)
    entries = [
        {"command_id": executed, "status": "executed", "result": "done", "code": None, "read_back": 400.0},
        {
            "command_id": failed,
            "status": "failed",
            "result": "differs",
            "code": "read_back_differs",
            "read_back": 450.5,
        },
        {
            "command_id": unsent_failed,
            "status": "failed",
            "result": "no",
            "code": "moved_away",
            "read_back": None,
        },
        {
            "command_id": unsent,
            "status": "unknown",
            "result": "?",
            "code": "not_confirmed",
            "read_back": None,
        },
        {"command_id": others, "status": "failed", "result": "no", "code": "moved_away", "read_back": None},
        {"command_id": "C-none", "status": "failed", "result": "no", "code": "moved_away", "read_back": None},
    ]
    found = ask("commands.record_gateway_verdicts", verdicts=json.dumps(entries), claimed_by=GATEWAY)
    assert {row["command_id"] for row in found} == {executed, failed, unsent_failed}
    row = hands.command(failed)
    assert (row["status"], row["execution_result"], row["result_code"], row["read_back_value"]) == (
        "failed",
        "differs",
        "read_back_differs",
        450.5,
    )
    assert [hands.command(each)["status"] for each in (unsent, others)] == ["executing", "executing"]


def test_a_verdict_wakes_whoever_listens(hands: Hands, ask: Ask) -> None:
    """The bridge finishes the recommendation, so it has to hear of the verdict."""
    (command_id,) = ordered(hands)
    claim(ask)
    intend(ask, command_id)
    hands.agent.execute("listen bridge")
    mark(ask, command_id, "executed")
    heard = [note.payload for note in hands.agent.notifies(timeout=2.0, stop_after=1)]
    assert heard == [f"command executed {command_id} gateway"]


# What was left behind


def test_what_was_never_sent_is_given_back(hands: Hands, ask: Ask) -> None:
    """By its holder at once, by another only when the lease is over."""
    (command_id,) = ordered(hands)
    for by, expired, given_back in (
        ("gateway/other", False, False),
        (GATEWAY, False, True),
        ("", True, True),
    ):
        claim(ask)
        if expired:
            hands.let_lease_end(command_id)
        found = ask("commands.release_gateway_commands", command_ids=json.dumps([command_id]), claimed_by=by)
        assert bool(found) is given_back, by
        assert hands.command(command_id)["status"] == ("pending" if given_back else "executing")


def test_what_was_sent_is_never_given_back(hands: Hands, ask: Ask) -> None:
    """Given back, it would be sent a second time."""
    (command_id,) = ordered(hands)
    claim(ask)
    intend(ask, command_id)
    hands.let_lease_end(command_id)
    assert (
        ask("commands.release_gateway_commands", command_ids=json.dumps([command_id]), claimed_by=GATEWAY)
        == []
    )


def test_unsettled_is_what_lost_its_holder_or_is_unknown(hands: Hands, ask: Ask) -> None:
    """Neither what is under a lease, nor what the bridge sends itself."""
    under_lease, unsent, sent, unknown = (ordered(hands)[0] for _ in range(4))
    claim(ask)
    intend(ask, sent, unknown)
    for command_id in (unsent, sent):
        hands.let_lease_end(command_id)
    mark(ask, unknown, "unknown", read_back=None)
    hands.command_in("unknown")
    found = {row["command_id"]: row for row in ask("commands.list_gateway_unsettled", patience_s=0.0)}
    assert set(found) == {unsent, sent, unknown}
    assert [found[each]["sent"] for each in (unsent, sent, unknown)] == [False, True, True]
    assert found[sent]["data_type"] == "Double"
    assert under_lease not in found


def test_what_was_just_sent_is_left_alone(hands: Hands, ask: Ask) -> None:
    """The old value tells nothing while the write may still be on its way."""
    (command_id,) = ordered(hands)
    claim(ask)
    intend(ask, command_id)
    mark(ask, command_id, "unknown", read_back=None)
    assert ask("commands.list_gateway_unsettled", patience_s=30.0) == []
    assert len(ask("commands.list_gateway_unsettled", patience_s=0.0)) == 1


def settle(ask: Ask, command_id: str, status: str, from_status: str) -> bool:
    found = ask(
        "commands.settle_gateway_command",
        command_id=command_id,
        from_status=from_status,
        status=status,
        result="read back",
        code=None,
        read_back=None if status == "unknown" else 400.0,
        settled_by="gateway/test/2",
    )
    return bool(found)


@pytest.mark.parametrize("status", ["executed", "failed", "unknown"])
def test_the_gateway_settles_what_it_left_behind(hands: Hands, ask: Ask, status: str) -> None:
    """Once the lease is over, and not before."""
    (command_id,) = ordered(hands)
    claim(ask)
    assert not settle(ask, command_id, status, "executing")
    intend(ask, command_id)
    assert not settle(ask, command_id, status, "executing")
    hands.let_lease_end(command_id)
    assert settle(ask, command_id, status, "executing")
    assert hands.command(command_id)["status"] == status


@pytest.mark.parametrize("status", ["executed", "failed"])
def test_the_audit_trail_tells_a_read_back_from_a_person(hands: Hands, ask: Ask, status: str) -> None:
    """What was unknown was ended by the gateway, and nobody signed for it."""
    (command_id,) = ordered(hands)
    claim(ask)
    intend(ask, command_id)
    mark(ask, command_id, "unknown", read_back=None)
    assert settle(ask, command_id, status, "unknown")
    last = hands.trail(hands.command(command_id)["recommendation_id"])[-1]
    assert (last["action"], last["actor"], last["db_role"]) == (
        f"command.{status}",
        "gateway/test/2",
        "bridge_operator",
    )


def test_the_gateway_settles_nothing_that_the_bridge_sent(hands: Hands, ask: Ask) -> None:
    """Its tags may be others than those the bridge wrote to."""
    command_id = hands.command_in("unknown")
    assert not settle(ask, command_id, "executed", "unknown")
    assert hands.command(command_id)["status"] == "unknown"


# For the HMI


def test_the_history_says_who_approved_and_what_became_of_it(hands: Hands, ask: Ask) -> None:
    """Of one piece of equipment, or of all with an empty or missing name."""
    (command_id,) = ordered(hands)
    ordered(hands, route="opcua")
    equipment = hands.command(command_id)["equipment_id"]
    (row,) = ask("commands.command_history", equipment_id=equipment, hours=1.0, max_rows=10)
    assert (row["command_id"], row["approved_by_operator"], row["status"]) == (command_id, "anna", "pending")
    for everything in ("", None):
        assert len(ask("commands.command_history", equipment_id=everything, hours=1.0, max_rows=10)) == 2
    assert len(ask("commands.command_history", equipment_id=None, hours=1.0, max_rows=1)) == 1


def _reading(hands: Hands, equipment_id: str, *, s_ago: float = 0.0, **values: object) -> None:
    columns = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    hands.owner.execute(
        sql(
            f"insert into sensor_data (equipment_id, timestamp, {columns})"
            f" values (%s, now() - make_interval(secs => %s), {marks})"
        ),
        (equipment_id, s_ago, *values.values()),
    )


def overview(ask: Ask) -> dict[str, Row]:
    return {
        row["equipment_id"]: row
        for row in ask("readings.equipment_overview", stale_after_s=60.0, max_rows=100)
    }


def test_the_overview_has_one_row_for_everything_known(hands: Hands, ask: Ask) -> None:
    """Also for what sends nothing at all: what is not there must be seen missing."""
    _reading(hands, "REACTOR_01", temperature=80.0)
    _reading(hands, "STRANGER", pressure=2.0)
    found = overview(ask)
    assert {"REACTOR_01", "REACTOR_04", "STRANGER"} <= set(found)
    assert found["REACTOR_04"]["reading_state"] == "none"
    assert found["REACTOR_04"]["age_s"] is None
    assert (found["STRANGER"]["temperature"], found["STRANGER"]["pressure"]) == (None, 2.0)


def test_the_overview_takes_each_value_from_its_newest_reading(hands: Hands, ask: Ask) -> None:
    """Values of one piece of equipment may come in rows of their own."""
    _reading(hands, "REACTOR_01", s_ago=3.0, temperature=80.0, pressure=2.0)
    _reading(hands, "REACTOR_01", s_ago=2.0, temperature=81.0)
    _reading(hands, "REACTOR_01", s_ago=1.0, flow_rate=90.0)
    row = overview(ask)["REACTOR_01"]
    assert (row["temperature"], row["pressure"], row["flow_rate"]) == (81.0, 2.0, 90.0)
    assert row["reading_state"] == "good"
    assert row["age_s"] == pytest.approx(1.0, abs=0.5)


def test_the_overview_shows_stale_and_bad_as_such(hands: Hands, ask: Ask) -> None:
    """An old value must not look like a present one."""
    _reading(hands, "REACTOR_01", s_ago=61.0, temperature=80.0)
    _reading(hands, "REACTOR_02", temperature=80.0, quality="bad")
    found = overview(ask)
    assert (found["REACTOR_01"]["reading_state"], found["REACTOR_02"]["reading_state"]) == ("stale", "bad")


def test_the_overview_shows_what_waits_and_how_the_last_command_ended(hands: Hands, ask: Ask) -> None:
    """The most severe open recommendation first, with the number of all."""
    (command_id,) = ordered(hands)
    claim(ask)
    mark(ask, command_id, "failed", read_back=None)
    equipment = hands.command(command_id)["equipment_id"]
    worse = hands.propose(equipment_id=equipment, issue_type="worse", writes=[])
    hands.agent.execute(
        "update agent_recommendations set severity = 'critical' where recommendation_id = %s", (worse,)
    )
    row = overview(ask)[equipment]
    assert (row["recommendation_id"], row["severity"], row["open_recommendations"]) == (worse, "critical", 2)
    assert (row["command_id"], row["command_status"]) == (command_id, "failed")
    assert next(iter(overview(ask))) == equipment


def test_the_trend_is_bounded_ordered_and_keeps_the_peaks(hands: Hands, ask: Ask) -> None:
    """However much was recorded, a chart gets at most max_rows points."""
    hands.owner.execute(
        "insert into sensor_data (equipment_id, timestamp, temperature)"
        " select 'REACTOR_01', now() - make_interval(secs => n), case when n = 777 then 99 else 80 end"
        " from generate_series(1, 3000) n"
    )
    _reading(hands, "REACTOR_01", s_ago=5.0, temperature=200.0, quality="bad")
    rows = ask("readings.sensor_trend", equipment_id="REACTOR_01", minutes=60.0, max_rows=100)
    assert 50 < len(rows) <= 100
    assert [row["t_stamp"] for row in rows] == sorted(row["t_stamp"] for row in rows)
    assert max(row["temperature_max"] for row in rows) == 99.0
    assert {row["temperature_min"] for row in rows} == {80.0}
    assert sum(row["readings"] for row in rows) == 3000
    for few in (1, 2):
        assert len(ask("readings.sensor_trend", equipment_id="REACTOR_01", minutes=60.0, max_rows=few)) <= few
    assert ask("readings.sensor_trend", equipment_id="REACTOR_02", minutes=60.0, max_rows=100) == []


def test_the_watch_tells_of_agents_arming_and_what_waits(hands: Hands, ask: Ask) -> None:
    """One row, whatever there is."""

    def look(agent_id: str | None = None) -> Row:
        (row,) = ask("health.watch_agent", agent_id=agent_id, offline_after_s=15.0)
        return row

    empty = look()
    assert (empty["online"], empty["watched"], empty["heartbeat_age_s"]) == (False, 0, None)
    hands.agent.execute("insert into agent_health (agent_id) values ('one'), ('two')")
    assert (look()["online"], look()["watched"], look("one")["watched"]) == (True, 2, 1)
    hands.agent.execute(
        "update agent_health set last_heartbeat = now() - interval '20 s' where agent_id = 'two'"
    )
    assert (look()["online"], look()["silent"], look("one")["online"]) == (False, "two", True)
    hands.agent.execute("update agent_health set status = 'offline' where agent_id = 'one'")
    assert look()["silent"] == "one, two"
    waiting = hands.propose()
    hands.agent.execute(
        "update agent_recommendations set severity = 'critical' where recommendation_id = %s", (waiting,)
    )
    hands.command_in("unknown")
    row = look()
    assert (row["open_recommendations"], row["critical_waiting"], row["commands_unknown"]) == (2, 1, 1)
    assert row["armed"] is True


def test_a_session_is_one_row_however_often_it_is_opened(hands: Hands, ask: Ask) -> None:
    """Its counts must survive the second opening, and nobody else's session may end with it."""
    key = "p-1/anna"
    for session_id, operator in ((key, "anna"), ("p-10/bert", "bert")):
        ask(
            "sessions.open_operator_session",
            session_id=session_id,
            operator=operator,
            may_decide=True,
            may_arm=False,
        )
    for decision in ("approved", "rejected", "approved", "deferred"):
        ask("sessions.count_decision", session_id=key, decision=decision)
    ask("sessions.open_operator_session", session_id=key, operator="anna", may_decide=True, may_arm=False)
    assert [row["session_id"] for row in ask("sessions.close_operator_session", perspective_id="p-1")] == [
        key
    ]
    rows = hands.owner.execute("select * from operator_sessions order by session_id").fetchall()
    anna, bert = rows
    assert (anna["approved_recommendations"], anna["rejected_recommendations"], anna["status"]) == (
        2,
        1,
        "closed",
    )
    assert anna["logout_timestamp"] is not None
    assert (bert["status"], bert["logout_timestamp"]) == ("active", None)
    assert ask("sessions.count_decision", session_id=key, decision="approved") == []
