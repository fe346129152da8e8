"""May each party do what its business is, and nothing more, whatever client it comes with?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import psycopg
import pytest
from rig import COOLING, NOT_PERMITTED, THROUGHPUT, Connection, Hands, connect, denied, refused, sql

ROLES = ("bridge_agent", "bridge_operator", "bridge_reader")
VERBS = ("select", "insert", "update", "delete", "truncate")

# Who may do what to which table. A column list stands for the columns that an update or insert may name;
# True is the whole table. What is not listed is denied. Every role may read every table.
AGENT_INSERT = [
    "recommendation_id",
    "equipment_id",
    "issue_type",
    "severity",
    "temperature_reading",
    "pressure_reading",
    "flow_rate_reading",
    "root_cause_analysis",
    "recommended_action",
    "confidence_score",
    "status",
    "created_timestamp",
    "created_by_agent",
    "proposed_writes",
    "expected_outcome",
    "evidence",
    "source",
    "expires_at",
    "approvals_required",
]
AGENT_UPDATE = [
    "severity",
    "temperature_reading",
    "pressure_reading",
    "flow_rate_reading",
    "root_cause_analysis",
    "recommended_action",
    "confidence_score",
    "status",
    "execution_result",
    "executed_timestamp",
    "proposed_writes",
    "expected_outcome",
    "evidence",
    "source",
    "expires_at",
    "advice_state",
    "advice_question",
    "advice_asked_timestamp",
    "advice_attempts",
]
OPERATOR_UPDATE = [
    "status",
    "approved_timestamp",
    "approved_by_operator",
    "operator_notes",
    "rejected_timestamp",
    "rejection_reason",
    "decided_by_operator",
    "defer_until",
]
COMMAND_UPDATE = [
    "status",
    "executed_timestamp",
    "execution_result",
    "claimed_by",
    "claimed_timestamp",
    "lease_expires_at",
    "sent_timestamp",
    "verified_timestamp",
    "read_back_value",
    "result_code",
]

Allowed = bool | list[str]
GRANTS: dict[tuple[str, str, str], Allowed] = {
    ("bridge_agent", "sensor_data", "insert"): True,
    ("bridge_agent", "agent_recommendations", "insert"): AGENT_INSERT,
    ("bridge_agent", "agent_recommendations", "update"): AGENT_UPDATE,
    ("bridge_agent", "agent_commands", "insert"): True,
    ("bridge_agent", "agent_commands", "update"): COMMAND_UPDATE,
    ("bridge_agent", "agent_health", "insert"): True,
    ("bridge_agent", "agent_health", "update"): True,
    ("bridge_agent", "work_orders", "insert"): True,
    ("bridge_agent", "equipment_conditions", "insert"): True,
    ("bridge_agent", "equipment_conditions", "update"): True,
    ("bridge_agent", "intake_marks", "insert"): True,
    ("bridge_agent", "intake_marks", "update"): True,
    ("bridge_agent", "intake_marks", "delete"): True,
    ("bridge_operator", "sensor_data", "insert"): True,
    ("bridge_operator", "agent_recommendations", "update"): OPERATOR_UPDATE,
    ("bridge_operator", "approvals", "insert"): ["recommendation_id", "operator", "digest", "comment"],
    ("bridge_operator", "agent_commands", "update"): [*COMMAND_UPDATE, "settled_by"],
    ("bridge_operator", "bridge_control", "update"): ["armed", "changed_by", "reason"],
    ("bridge_operator", "work_orders", "insert"): True,
    ("bridge_operator", "work_orders", "update"): ["status", "assigned_to", "completed_timestamp"],
    ("bridge_operator", "operator_sessions", "insert"): True,
    ("bridge_operator", "operator_sessions", "update"): True,
}
TABLES = [
    "sensor_data",
    "agent_recommendations",
    "agent_commands",
    "agent_health",
    "work_orders",
    "operator_sessions",
    "approvals",
    "agent_audit",
    "agent_audit_head",
    "bridge_control",
    "tag_limits",
    "equipment_conditions",
    "intake_marks",
    "lifecycle_arrows",
]


@pytest.fixture(scope="module")
def shared(
    fresh_database: Callable[..., str], published_template: str, drop_database: Callable[[str], None]
) -> Iterator[Hands]:
    """One database with a row in every table; attempts are rolled back."""
    url = fresh_database(published_template)
    made = Hands(url)
    made.command_in("executed")
    made.owner.execute("insert into sensor_data (equipment_id) values ('REACTOR_01')")
    made.owner.execute("insert into agent_health (agent_id) values ('a')")
    made.owner.execute("insert into work_orders (equipment_id, description) values ('REACTOR_01', 'look')")
    made.owner.execute("insert into operator_sessions (operator_id) values ('anna')")
    made.owner.execute(
        "insert into equipment_conditions (equipment_id, issue_type, severity, since_timestamp)"
        " values ('REACTOR_01', 'x', 'high', now())"
    )
    made.owner.execute("insert into intake_marks (origin, number) values ('a/b/1', 1)")
    yield made
    made.close()
    drop_database(url)


@pytest.fixture(scope="module")
def parties(shared: Hands) -> Iterator[dict[str, Connection]]:
    opened = {role: connect(shared.url, role) for role in ROLES}
    yield opened
    for connection in opened.values():
        connection.close()


def _columns(shared: Hands, table: str) -> list[str]:
    rows = shared.owner.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
        (table,),
    ).fetchall()
    return [row["attname"] for row in rows]


def test_the_table_of_rights_covers_every_table(shared: Hands) -> None:
    """A table that a migration adds must be added to this list, so that nobody forgets to think of its rights."""
    rows = shared.owner.execute(
        "select relname from pg_class where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p')"
        " and not relispartition"
    ).fetchall()
    assert {row["relname"] for row in rows} == {*TABLES, "bridge_migrations"}


@pytest.mark.parametrize(("role", "table", "verb"), list(product(ROLES, TABLES, VERBS)))
def test_the_catalogue_gives_each_role_exactly_its_rights(
    shared: Hands, role: str, table: str, verb: str
) -> None:
    """Table and column privileges must be those of the list, no more and no less."""
    allowed = verb == "select" or GRANTS.get((role, table, verb), False)
    whole = shared.value("select has_table_privilege(%s, %s, %s)", role, table, verb)
    assert whole is (allowed is True)
    if verb in ("insert", "update") and allowed is not True:
        columns = {
            column
            for column in _columns(shared, table)
            if shared.value("select has_column_privilege(%s, %s, %s, %s)", role, table, column, verb)
        }
        assert columns == set(allowed or [])


def _statement(table: str, verb: str, column: str) -> str:
    return {
        "select": f"select * from {table}",
        "insert": f"insert into {table} ({column}) values (default)",
        "update": f"update {table} set {column} = {column}",
        "delete": f"delete from {table}",
        "truncate": f"truncate {table}",
    }[verb]


@pytest.mark.parametrize(("role", "table", "verb"), list(product(ROLES, TABLES, VERBS)))
def test_trying_gives_the_same_answer_as_the_catalogue(
    shared: Hands, parties: dict[str, Connection], role: str, table: str, verb: str
) -> None:
    """Each attempt must fail with 42501 exactly where the list says so; a rule of the schema may refuse afterwards."""
    allowed = verb == "select" or GRANTS.get((role, table, verb), False)
    for column in _columns(shared, table) if verb in ("insert", "update") else ["*"]:
        state = None
        try:
            with parties[role].transaction(force_rollback=True):
                parties[role].execute(sql(_statement(table, verb, column)))
        except psycopg.Error as error:
            state = error.sqlstate
        may = allowed is True or (isinstance(allowed, list) and column in allowed)
        if may and (role, table, verb) == ("bridge_operator", "agent_commands", "update"):
            continue  # an executed command of the bridge's own route: refused by the trigger, as for everybody
        if (column, verb) == ("condition_id", "update"):
            continue  # generated always: refused to everybody before any right is looked at
        assert (state == NOT_PERMITTED) is (not may), (column, state)


@pytest.mark.parametrize("role", ["bridge_agent", "bridge_reader"])
def test_only_the_operator_arms_and_disarms(shared: Hands, parties: dict[str, Connection], role: str) -> None:
    """Agent and reader must not turn the arming switch, in either direction."""
    for armed in (True, False):
        with denied():
            parties[role].execute("update bridge_control set armed = %s, reason = 'mine'", (armed,))
    assert shared.value("select armed from bridge_control")


@pytest.mark.parametrize("role", ROLES)
def test_no_party_changes_the_allow_list_or_the_arrows(parties: dict[str, Connection], role: str) -> None:
    """tag_limits and lifecycle_arrows belong to the owner alone."""
    for statement in (
        "update tag_limits set high = 1e6",
        "insert into tag_limits select 'x' || tag_path, equipment_id, route, data_type, unit, low, high, max_step,"
        " 0, 1, 1, 1 from tag_limits",
        "delete from tag_limits",
        "update lifecycle_arrows set roles = '{bridge_agent}'",
        "insert into lifecycle_arrows values ('recommendation', 'pending', 'executed', '{bridge_agent}')",
    ):
        with denied():
            parties[role].execute(sql(statement))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "select audit_append('anna', 'x', 'x', 'x', 'x', null, null, null, '{}')",
        "insert into agent_audit select * from agent_audit",
        "update agent_audit_head set seq = 0",
        "alter table agent_audit disable trigger all",
        "alter table agent_recommendations disable trigger guard",
        "drop trigger guard on agent_commands",
        "create or replace function person(name text) returns text language sql as 'select name'",
        "create table mine (x integer)",
        "set session_replication_role = replica",
    ],
)
def test_no_party_reaches_around_the_rules(parties: dict[str, Connection], role: str, statement: str) -> None:
    """Forging the audit, switching triggers off, replacing functions and taking on the owner must all be denied."""
    with denied():
        parties[role].execute(sql(statement))


def test_a_login_of_one_party_cannot_become_another(shared: Hands) -> None:
    """A login that is a member of bridge_agent must get neither the operator's nor the owner's role."""
    name = f"login_of_{shared.url.rsplit('/', 1)[1]}"
    shared.owner.execute(sql(f"create role {name} login password 'pw' in role bridge_agent"))
    try:
        url = shared.url.replace(shared.url.split("//")[1].split("@")[0], f"{name}:pw")
        with psycopg.connect(url, autocommit=True) as login:
            for role in ("bridge_operator", "postgres"):
                with denied():
                    login.execute("select set_config('role', %s, false)", (role,))
            with denied():
                login.execute("update agent_recommendations set approved_by_operator = 'anna'")
            login.execute("set role bridge_agent")
    finally:
        shared.owner.execute(sql(f"drop role {name}"))


def test_only_the_agent_prepares_and_drops_days(parties: dict[str, Connection]) -> None:
    """The functions that make and drop partitions must be closed to operator and reader."""
    for role in ("bridge_operator", "bridge_reader"):
        for call in ("select prepare_sensor_days(2)", "select drop_sensor_days(30)"):
            with denied():
                parties[role].execute(sql(call))
    parties["bridge_agent"].execute("select prepare_sensor_days(2), drop_sensor_days(30)")


# A session's temporary tables come before all others in the search path, unless a function says otherwise.


def _lay_over(connection: Connection, table: str, *rows: str) -> None:
    """A temporary table of the same name and shape as a real one, with rows of one's own."""
    connection.execute(sql(f"create temporary table {table} (like {connection_schema(connection)}.{table})"))
    for row in rows:
        connection.execute(sql(row))


def connection_schema(connection: Connection) -> str:
    row = connection.execute(
        "select n.nspname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where p.proname = 'guard_recommendation'"
    ).fetchone()
    assert row is not None
    return str(row["nspname"])


def test_the_agent_cannot_lay_its_own_limits_over_the_real_ones(hands: Hands) -> None:
    """A temporary tag_limits that lists everything must not widen what may be proposed."""
    _lay_over(
        hands.agent,
        "tag_limits",
        f"insert into tag_limits select * from {connection_schema(hands.agent)}.tag_limits"
        f" where tag_path = '{THROUGHPUT}'",
        "update tag_limits set tag_path = 'tag', unit = ''",
    )
    with hands.refuses("not_listed"):
        hands.propose(writes=[{"tag_path": "tag", "from": 300, "to": 400, "unit": ""}])


def test_the_agent_cannot_lay_its_own_approvals_over_the_real_ones(hands: Hands) -> None:
    """Temporary recommendations and approvals must not turn a pending proposal into a command."""
    made = hands.propose()
    digest = hands.recommendation(made)["write_digest"]
    schema = connection_schema(hands.agent)
    _lay_over(
        hands.agent,
        "agent_recommendations",
        f"insert into agent_recommendations select * from {schema}.agent_recommendations",
        "update agent_recommendations set status = 'approved'",
    )
    _lay_over(
        hands.agent,
        "approvals",
        f"insert into approvals values ('{made}', 'anna', '{digest}', now(), null)",
    )
    with hands.refuses("not_approved"):
        hands.insert_command(made, THROUGHPUT, 405.0)


def test_the_agent_cannot_lay_its_own_arrows_over_the_real_ones(hands: Hands) -> None:
    """A temporary lifecycle_arrows must not open an arrow that does not exist."""
    made = hands.propose()
    _lay_over(
        hands.agent,
        "lifecycle_arrows",
        "insert into lifecycle_arrows values ('recommendation', 'pending', 'executed', '{bridge_agent}')",
    )
    with hands.refuses("illegal_transition"):
        hands.agent.execute(
            "update agent_recommendations set status = 'executed', execution_result = 'x' where recommendation_id = %s",
            (made,),
        )


def test_the_agent_cannot_lay_its_own_switch_over_the_real_one(hands: Hands) -> None:
    """A temporary bridge_control that is armed must not let anything be sent while the real one is not."""
    command = hands.command_in("executing", sent=False)
    hands.operator.execute("update bridge_control set armed = false, reason = 'maintenance'")
    _lay_over(
        hands.agent, "bridge_control", "insert into bridge_control values (true, true, 'me', 'mine', now())"
    )
    with hands.refuses("disarmed"):
        hands.send(command)


def test_nobody_can_lead_the_audit_trail_elsewhere(hands: Hands) -> None:
    """A temporary agent_audit and its head must not catch the entries of a change."""
    before = hands.value("select count(*) from agent_audit")
    _lay_over(
        hands.agent,
        "agent_audit_head",
        "insert into agent_audit_head values (true, 0, repeat('0', 64))",
        "grant all on agent_audit_head to public",
    )
    _lay_over(hands.agent, "agent_audit", "grant all on agent_audit to public")
    hands.propose()
    assert hands.value("select count(*) from agent_audit") == before + 1


def test_every_guard_has_its_own_search_path(hands: Hands) -> None:
    """Trigger and definer functions must name their schema first and pg_temp last, also those of later migrations."""
    rows = hands.owner.execute(
        "select proname, proconfig from pg_proc where pronamespace = current_schema()::regnamespace"
        " and (prosecdef or prorettype = 'trigger'::regtype)"
    ).fetchall()
    assert len(rows) >= 9
    schema = connection_schema(hands.owner)
    for row in rows:
        assert row["proconfig"] == [f"search_path={schema}, pg_temp"], row["proname"]


def test_a_search_path_of_the_clients_own_changes_nothing(hands: Hands) -> None:
    """With search_path turned to pg_temp the same rules must hold."""
    made = hands.propose()
    schema = connection_schema(hands.agent)
    with connect(hands.url, "bridge_agent") as other:
        other.execute(sql(f"set search_path = pg_temp, {schema}"))
        with hands.unchanged(), denied():
            other.execute(
                "update agent_recommendations set status = 'approved' where recommendation_id = %s", (made,)
            )
        with hands.unchanged(), refused("not_approved"):
            other.execute(
                "insert into agent_commands (recommendation_id, equipment_id, tag_path, new_value)"
                " values (%s, 'REACTOR_01', %s, 1)",
                (made, COOLING),
            )
