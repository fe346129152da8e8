"""Does the database follow exactly the arrows of bridge/domain/lifecycle.py, whoever asks?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import psycopg
import pytest
from rig import NOT_PERMITTED, REFUSED, Connection, Hands, sql

from bridge.domain.lifecycle import (
    COMMAND_ARROWS,
    LIVE_COMMAND,
    OPEN_RECOMMENDATION,
    RECOMMENDATION_ARROWS,
    CommandStatus,
    RecommendationStatus,
    Role,
)

ROLES = ("bridge_agent", "bridge_operator", "bridge_reader", "owner")

# What each party may set beside the status, so that an arrow is refused for itself and not because
# something that goes with it was missing.
RECOMMENDATION_FIELDS = {
    "approved": "approved_by_operator = 'zoe'",
    "deferred": "decided_by_operator = 'zoe', defer_until = now() + interval '1 hour'",
    "rejected": "decided_by_operator = 'zoe', rejection_reason = 'because'",
}
OUTCOME = "execution_result = 'because'"
COMMAND_FIELDS = (
    "claimed_by = 'bridge/2', lease_expires_at = now() + interval '1 hour', execution_result = 'because',"
    " read_back_value = 400"
)


@pytest.fixture(scope="module")
def shared(fresh_database: Callable[..., str], drop_database: Callable[[str], None]) -> Iterator[Hands]:
    """One database for the whole table: every attempt is rolled back."""
    url = fresh_database()
    made = Hands(url)
    yield made
    made.close()
    drop_database(url)


@pytest.fixture(scope="module")
def recommendations(shared: Hands) -> dict[str, str]:
    """One recommendation in each state."""
    return {status.value: shared.recommendation_in(status.value) for status in RecommendationStatus}


@pytest.fixture(scope="module")
def commands(shared: Hands) -> dict[tuple[str, str, str], str]:
    """One command in each state, for both kinds of route; `executing` also before it was sent."""
    made = {
        (status.value, "sent", route): shared.command_in(status.value, route=route)
        for status in CommandStatus
        for route in ("opcua", "gateway")
    }
    for route in ("opcua", "gateway"):
        made["executing", "unsent", route] = shared.command_in("executing", sent=False, route=route)
    return made


def attempt(connection: Connection, statement: str, *values: object) -> psycopg.Error | None:
    """What the database says to one statement, which is undone in any case."""
    try:
        with connection.transaction(force_rollback=True):
            assert connection.execute(sql(statement), values).rowcount == 1
            connection.execute("set constraints all immediate")  # what else the commit would check
    except psycopg.Error as error:
        return error
    return None


def party(shared: Hands, role: str, reader: Connection) -> Connection:
    return {
        "bridge_agent": shared.agent,
        "bridge_operator": shared.operator,
        "bridge_reader": reader,
        "owner": shared.owner,
    }[role]


@pytest.fixture(scope="module")
def reader(shared: Hands) -> Iterator[Connection]:
    from rig import connect

    with connect(shared.url, "bridge_reader") as connection:
        yield connection


def test_the_schema_and_python_hold_the_same_arrows_and_roles(shared: Hands) -> None:
    """lifecycle_arrows must be RECOMMENDATION_ARROWS and COMMAND_ARROWS, no arrow and no role more or less."""
    stored = {
        (row["subject"], row["from_status"], row["to_status"]): frozenset(row["roles"])
        for row in shared.owner.execute("select * from lifecycle_arrows")
    }
    expected = {
        (subject, str(start), str(end)): frozenset(str(role) for role in roles)
        for subject, arrows in (("recommendation", RECOMMENDATION_ARROWS), ("command", COMMAND_ARROWS))
        for (start, end), roles in arrows.items()
    }
    assert stored == expected


@pytest.mark.parametrize(
    ("table", "states"),
    [("agent_recommendations", RecommendationStatus), ("agent_commands", CommandStatus)],
)
def test_the_schema_and_python_hold_the_same_states(
    shared: Hands, table: str, states: type[RecommendationStatus] | type[CommandStatus]
) -> None:
    """The status check of each table must list exactly the states that Python knows."""
    check = shared.value(
        "select pg_get_constraintdef(oid) from pg_constraint where conrelid = %s::regclass"
        " and contype = 'c' and pg_get_constraintdef(oid) like '%%status%%'",
        table,
    )
    assert set(check.replace("::text", "").split("'")[1::2]) == {state.value for state in states}


@pytest.mark.parametrize(
    ("index", "states"),
    [
        ("one_open_recommendation_per_equipment_and_issue", OPEN_RECOMMENDATION),
        ("one_live_command_per_tag", LIVE_COMMAND),
    ],
)
def test_the_unique_indexes_cover_the_states_that_python_calls_open_and_live(
    shared: Hands, index: str, states: frozenset[RecommendationStatus] | frozenset[CommandStatus]
) -> None:
    """The partial index must hold the one place in exactly the states that Python counts."""
    predicate = shared.value(
        "select pg_get_expr(indpred, indrelid) from pg_index where indexrelid = %s::regclass", index
    )
    assert set(predicate.replace("::text", "").split("'")[1::2]) == {state.value for state in states}


RECOMMENDATION_PAIRS = [
    (start.value, end.value) for start, end in product(RecommendationStatus, repeat=2) if start is not end
]
NO_RECOMMENDATION_ARROW = [
    pair
    for pair in RECOMMENDATION_PAIRS
    if (RecommendationStatus(pair[0]), RecommendationStatus(pair[1])) not in RECOMMENDATION_ARROWS
]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("start", "end"), NO_RECOMMENDATION_ARROW)
def test_a_recommendation_never_follows_an_arrow_that_does_not_exist(
    shared: Hands, reader: Connection, recommendations: dict[str, str], start: str, end: str, role: str
) -> None:
    """Every pair outside the table must be refused to every role, the owner included, with the row unchanged."""
    fields = RECOMMENDATION_FIELDS.get(end, OUTCOME)
    if role == "bridge_agent":
        fields = OUTCOME
    elif role == "bridge_operator":
        fields = RECOMMENDATION_FIELDS.get(end, "operator_notes = 'because'")
    error = attempt(
        party(shared, role, reader),
        f"update agent_recommendations set status = %s, {fields} where recommendation_id = %s",
        end,
        recommendations[start],
    )
    assert error is not None
    if role == "owner":  # who is a member of every role, so that nothing but the arrow can refuse
        assert error.sqlstate == REFUSED
        assert error.diag.message_detail in ("illegal_transition", "already_decided")
    else:
        assert error.sqlstate in (REFUSED, NOT_PERMITTED)
    assert shared.recommendation(recommendations[start])["status"] == start


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("start", "end"), [(str(a), str(b)) for a, b in RECOMMENDATION_ARROWS])
def test_a_recommendation_follows_each_arrow_for_the_roles_that_may_and_no_other(
    shared: Hands, reader: Connection, recommendations: dict[str, str], start: str, end: str, role: str
) -> None:
    """A legal arrow must work for its roles and be denied to all others."""
    fields = RECOMMENDATION_FIELDS.get(end)
    if fields is None:
        fields = OUTCOME if role != "bridge_operator" else "operator_notes = 'because'"
    if role == "bridge_agent":
        fields = OUTCOME
    error = attempt(
        party(shared, role, reader),
        f"update agent_recommendations set status = %s, {fields} where recommendation_id = %s",
        end,
        recommendations[start],
    )
    allowed = RECOMMENDATION_ARROWS[RecommendationStatus(start), RecommendationStatus(end)]
    if role == "owner" or role in {str(member) for member in allowed}:
        assert error is None, str(error)
    else:
        assert error is not None
        assert error.sqlstate == NOT_PERMITTED


COMMAND_CASES = [
    (start.value, sent, end.value)
    for start, end in product(CommandStatus, repeat=2)
    if start is not end
    for sent in (("sent", "unsent") if start is CommandStatus.EXECUTING else ("sent",))
]
# What an arrow asks of the row besides the state it leaves.
ONLY_UNSENT = {("executing", "pending")}
ONLY_SENT = {("executing", "executed"), ("executing", "unknown")}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", ["opcua", "gateway"])
@pytest.mark.parametrize(("start", "sent", "end"), COMMAND_CASES)
def test_a_command_follows_its_arrows_for_the_roles_of_its_route_and_no_other(
    shared: Hands,
    reader: Connection,
    commands: dict[tuple[str, str, str], str],
    start: str,
    sent: str,
    end: str,
    route: str,
    role: str,
) -> None:
    """Legal arrows must work for whoever executes the route, and everything else must be refused by name."""
    command = commands[start, sent, route]
    before = shared.command(command)
    signed = "" if role == "bridge_agent" else ", settled_by = 'anna'"
    error = attempt(
        party(shared, role, reader),
        f"update agent_commands set status = %s, {COMMAND_FIELDS}{signed} where command_id = %s",
        end,
        command,
    )
    assert shared.command(command) == before
    arrow = (CommandStatus(start), CommandStatus(end))
    exists = (
        arrow in COMMAND_ARROWS
        and not ((start, end) in ONLY_UNSENT and sent == "sent")
        and not ((start, end) in ONLY_SENT and sent == "unsent")
    )
    if not exists:
        assert error is not None
        assert error.sqlstate in (REFUSED, NOT_PERMITTED)
        if role == "owner":
            assert error.diag.message_detail in ("illegal_transition", "already_sent")
    elif role == "owner" or _may(role, route, start, end):
        assert error is None, str(error)
    else:
        assert error is not None
        assert (error.sqlstate, error.diag.message_detail) in (
            (NOT_PERMITTED, "not_permitted"),
            (NOT_PERMITTED, None),
            (REFUSED, "wrong_route"),
        )


def _may(role: str, route: str, start: str, end: str) -> bool:
    """Who executes what: the agent all but the gateway's route, the operator only that; both withdraw and settle."""
    if role not in {str(member) for member in COMMAND_ARROWS[CommandStatus(start), CommandStatus(end)]}:
        return False
    if start == "unknown" or end == "cancelled":
        return True
    if role == Role.AGENT:
        return route != "gateway" or end not in ("executing", "executed")
    return route == "gateway"


def test_a_recommendation_is_never_put_back_into_its_own_past_by_an_update_of_everything(
    shared: Hands, recommendations: dict[str, str]
) -> None:
    """An update over all rows at once must be refused as a whole, even when it would be right for some of them."""
    with shared.unchanged(), pytest.raises(psycopg.Error):
        shared.operator.execute(
            "update agent_recommendations set status = 'approved', approved_by_operator = 'zoe'"
        )
