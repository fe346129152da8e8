"""Is a decision a person's own, made once, about exactly what was shown?"""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest
from rig import COOLING, THROUGHPUT, Connection, Hands, OpenStore, connect, denied, one_write, refused, sql

from bridge.domain.approval import digest_of
from bridge.domain.limits import RefusalCode
from bridge.errors import RefusedByRule
from bridge.store.desk import Desk
from bridge.store.postgres import PostgresStore

OTHER_WRITES = [one_write(target=400.0)]


def test_the_agent_cannot_approve_itself(hands: Hands) -> None:
    """As bridge_agent an update to approved must be refused by the database, with or without a name."""
    made = hands.propose()
    with hands.unchanged(), denied():
        hands.agent.execute(
            "update agent_recommendations set status = 'approved' where recommendation_id = %s", (made,)
        )
    with hands.unchanged(), denied():
        hands.approve_as(hands.agent, made, "anna")


def test_the_agent_cannot_write_an_approval_of_its_own(hands: Hands) -> None:
    """As bridge_agent an insert into approvals must be denied."""
    made = hands.propose()
    digest = hands.recommendation(made)["write_digest"]
    with hands.unchanged(), denied():
        hands.agent.execute(
            "insert into approvals (recommendation_id, operator, digest) values (%s, 'anna', %s)",
            (made, digest),
        )


@pytest.mark.parametrize("end", ["executing", "executed", "failed"])
def test_a_pending_recommendation_cannot_jump_to_an_outcome(hands: Hands, end: str) -> None:
    """Pending to executing, executed or failed must be an illegal transition, whoever asks."""
    made = hands.propose()
    for connection in (hands.agent, hands.owner):
        with hands.refuses("illegal_transition"):
            connection.execute(
                "update agent_recommendations set status = %s, execution_result = 'done' where recommendation_id = %s",
                (end, made),
            )


@pytest.mark.parametrize("status", ["approved", "executing", "executed", "rejected", "deferred"])
def test_a_recommendation_is_never_born_decided(hands: Hands, status: str) -> None:
    """An insert with any status but pending must be refused to agent and owner alike."""
    for connection in (hands.agent, hands.owner):
        with hands.refuses("illegal_transition"):
            connection.execute(
                "insert into agent_recommendations (equipment_id, issue_type, status) values ('REACTOR_01', 'x', %s)",
                (status,),
            )


def test_a_recommendation_is_never_born_with_an_approver(hands: Hands) -> None:
    """A name in approved_by_operator at insert must be denied to the agent and refused to the owner."""
    statement = (
        "insert into agent_recommendations (equipment_id, issue_type, approved_by_operator)"
        " values ('REACTOR_01', 'x', 'anna')"
    )
    with hands.unchanged(), denied():
        hands.agent.execute(statement)
    with hands.refuses("illegal_transition"):
        hands.owner.execute(statement)


@pytest.mark.parametrize("name", [None, "", "   ", "\t "])
def test_an_approval_names_a_person(hands: Hands, name: str | None) -> None:
    """An approval without a name, or with blanks for a name, must be refused."""
    made = hands.propose()
    with hands.refuses("name_required"):
        hands.operator.execute(
            "update agent_recommendations set status = 'approved', approved_by_operator = %s"
            " where recommendation_id = %s",
            (name, made),
        )


def test_the_second_of_two_approvers_is_told_who_was_first(hands: Hands) -> None:
    """The later approval must be refused as already decided, and name the first approver."""
    made = hands.propose()
    hands.approve(made, by="anna")
    with hands.unchanged(), pytest.raises(psycopg.Error, match="already approved by anna"):
        hands.approve(made, by="ben")


def _race(url: str, actions: list[Callable[[Connection], str]], rounds: int) -> list[list[str]]:
    """Run the actions against each other, one connection each; the answers of every round."""
    barrier = threading.Barrier(len(actions))
    answers: list[list[str]] = [[""] * len(actions) for _ in range(rounds)]

    def work(place: int) -> None:
        with connect(url, "bridge_operator") as connection:
            for number in range(rounds):
                barrier.wait(timeout=30)
                answers[number][place] = actions[place](connection)
                barrier.wait(timeout=30)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return answers


def _answer(connection: Connection, statement: str, *values: object) -> str:
    try:
        return str(connection.execute(sql(statement), values).rowcount)
    except psycopg.Error as error:
        return error.diag.message_detail or error.sqlstate or "?"


@pytest.mark.parametrize("style", ["old", "named"])
def test_of_two_approvers_at_the_same_moment_exactly_one_wins(hands: Hands, style: str) -> None:
    """Two people approving a millisecond apart: one wins, the other is refused by name or finds no row."""
    rounds = 40
    made = [hands.propose_elsewhere() for _ in range(rounds)]
    guard = "" if style == "old" else " and status = 'pending'"
    statement = (
        "update agent_recommendations set status = 'approved', approved_by_operator = %s"
        f" where recommendation_id = %s{guard}"
    )

    def approver(name: str) -> Callable[[Connection], str]:
        waiting = iter(made)
        return lambda connection: _answer(connection, statement, name, next(waiting))

    answers = _race(hands.url, [approver("anna"), approver("ben")], rounds)
    assert all(sorted(answer) in (["1", "already_decided"], ["0", "1"]) for answer in answers), answers
    for recommendation_id, answer in zip(made, answers, strict=True):
        row = hands.recommendation(recommendation_id)
        assert (row["status"], row["approved_by_operator"]) == (
            "approved",
            "anna" if answer[0] == "1" else "ben",
        )
        given = hands.owner.execute(
            "select operator from approvals where recommendation_id = %s", (recommendation_id,)
        ).fetchall()
        assert [entry["operator"] for entry in given] == [row["approved_by_operator"]]


def test_of_an_approval_and_a_rejection_at_the_same_moment_exactly_one_wins(hands: Hands) -> None:
    """Approve against reject: one decision stands, and the other is refused as already decided."""
    rounds = 30
    made = [hands.propose_elsewhere() for _ in range(rounds)]
    yes, no = iter(made), iter(made)
    answers = _race(
        hands.url,
        [
            lambda connection: _answer(
                connection,
                "update agent_recommendations set status = 'approved', approved_by_operator = 'anna'"
                " where recommendation_id = %s",
                next(yes),
            ),
            lambda connection: _answer(
                connection,
                "update agent_recommendations set status = 'rejected', rejection_reason = 'no'"
                " where recommendation_id = %s",
                next(no),
            ),
        ],
        rounds,
    )
    assert all(sorted(answer) == ["1", "already_decided"] for answer in answers), answers
    for recommendation_id, answer in zip(made, answers, strict=True):
        expected = "approved" if answer[0] == "1" else "rejected"
        assert hands.recommendation(recommendation_id)["status"] == expected


def test_an_expired_recommendation_cannot_be_approved(hands: Hands) -> None:
    """After expires_at silence has meant no: the approval must be refused as expired."""
    made = hands.propose()
    hands.let_expire(made)
    with hands.refuses("expired"):
        hands.approve(made)


def test_an_approval_binds_the_digest_of_the_writes_the_row_shows(hands: Hands) -> None:
    """An old-style approval, which gives no digest, must be recorded with the digest of the present writes."""
    made = hands.propose()
    hands.approve(made)
    row = hands.owner.execute(
        "select a.digest, r.write_digest, r.proposed_writes::text as writes from approvals a"
        " join agent_recommendations r using (recommendation_id)"
    ).fetchone()
    assert row is not None
    assert row["digest"] == row["write_digest"] == digest_of(row["writes"])


async def test_an_approval_of_what_was_shown_before_a_revision_is_refused(hands: Hands, desk: Desk) -> None:
    """A digest that the writes no longer have must be a digest mismatch, with the row still pending."""
    made = hands.propose()
    shown = (await desk.recommendation(made))["write_digest"]
    hands.revise(made, OTHER_WRITES)
    with hands.unchanged(), pytest.raises(RefusedByRule) as caught:
        await desk.approve(made, operator="anna", digest=shown, comment=None)
    assert caught.value.refusal.code is RefusalCode.DIGEST_MISMATCH
    assert hands.recommendation(made)["status"] == "pending"


async def test_a_stored_digest_that_does_not_belong_to_the_writes_is_not_shown_for_approval(
    hands: Hands, desk: Desk
) -> None:
    """Writes changed behind the triggers must be a digest mismatch before anybody is asked to approve them."""
    made = hands.propose()
    with hands.owner.transaction():
        hands.owner.execute("set local session_replication_role = replica")
        hands.owner.execute("update agent_recommendations set write_digest = repeat('a', 64)")
    with pytest.raises(RefusedByRule) as caught:
        await desk.recommendation(made)
    assert caught.value.refusal.code is RefusalCode.DIGEST_MISMATCH


def test_two_approvals_take_two_different_people(hands: Hands) -> None:
    """With approvals_required = 2 the first yes leaves it pending, and only another person's makes it approved."""
    made = hands.propose(approvals_required=2)
    hands.approve(made, by="anna")
    row = hands.recommendation(made)
    assert (row["status"], row["approved_by_operator"], row["approved_timestamp"]) == ("pending", None, None)
    with hands.refuses("already_decided"):
        hands.approve(made, by="anna")
    with hands.refuses("already_decided"):
        hands.approve(made, by="  anna ")
    hands.approve(made, by="ben")
    row = hands.recommendation(made)
    assert (row["status"], row["approved_by_operator"]) == ("approved", "ben")
    assert row["approved_timestamp"] is not None


@pytest.mark.parametrize("again", ["Anna", "ANNA", "anna\u00a0", "\u2003anna", "anna\n"])
def test_the_same_person_spelt_otherwise_is_still_the_same_person(hands: Hands, again: str) -> None:
    """Capitals and blanks of any kind around a name must not make a second person of the first."""
    made = hands.propose(approvals_required=2)
    hands.approve(made, by="anna")
    with hands.refuses("already_decided"):
        hands.approve(made, by=again)


@pytest.mark.parametrize("name", ["vera", "Viv", "v"])
def test_a_name_keeps_all_its_letters(hands: Hands, name: str) -> None:
    """What is trimmed is white space, to which the letter v does not belong."""
    made = hands.propose()
    hands.approve(made, f"\v {name}\t\n")
    assert hands.recommendation(made)["approved_by_operator"] == name


def test_vera_is_one_person_however_she_is_spelt(hands: Hands) -> None:
    made = hands.propose(approvals_required=2)
    hands.approve(made, "Vera")
    with hands.refuses("already_decided"):
        hands.approve(made, "vera")


def test_two_people_at_the_same_moment_are_both_counted(hands: Hands) -> None:
    """Two approvals at once with approvals_required = 2 must always add up to approved."""
    rounds = 20
    made = [hands.propose_elsewhere(approvals_required=2) for _ in range(rounds)]

    def approver(name: str) -> Callable[[Connection], str]:
        waiting = iter(made)
        return lambda connection: _answer(
            connection,
            "update agent_recommendations set status = 'approved', approved_by_operator = %s"
            " where recommendation_id = %s",
            name,
            next(waiting),
        )

    answers = _race(hands.url, [approver("anna"), approver("ben")], rounds)
    assert all(answer == ["1", "1"] for answer in answers), answers
    assert {hands.recommendation(recommendation_id)["status"] for recommendation_id in made} == {"approved"}


def test_a_changed_proposal_voids_the_approval_it_had(hands: Hands) -> None:
    """Approved by A, revised, approved by B: that is one approval of the new writes, not two."""
    made = hands.propose(approvals_required=2)
    hands.approve(made, by="anna")
    hands.revise(made, OTHER_WRITES)
    hands.approve(made, by="ben")
    assert hands.recommendation(made)["status"] == "pending"
    hands.approve(made, by="anna")  # of the new writes she may
    assert hands.recommendation(made)["status"] == "approved"


def test_an_approval_is_never_changed_or_removed(hands: Hands) -> None:
    """Update, delete and truncate of approvals must be refused even to the owner."""
    hands.approve(hands.propose())
    for statement in (
        "update approvals set operator = 'ben'",
        "delete from approvals",
        "truncate approvals",
    ):
        with hands.refuses("append_only"):
            hands.owner.execute(sql(statement))


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_an_approval_row_of_another_digest_is_refused(hands: Hands, digest: str) -> None:
    """A raw approval must carry the digest that the open recommendation has now."""
    made = hands.propose()
    with hands.refuses("digest_mismatch"):
        hands.operator.execute(
            "insert into approvals (recommendation_id, operator, digest) values (%s, 'anna', %s)",
            (made, digest),
        )


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_rejection_says_why(hands: Hands, reason: str | None) -> None:
    """A rejection without a reason must be refused."""
    made = hands.propose()
    with hands.refuses("reason_required"):
        hands.operator.execute(
            "update agent_recommendations set status = 'rejected', rejection_reason = %s, operator_notes = %s"
            " where recommendation_id = %s",
            (reason, reason, made),
        )


@pytest.mark.parametrize(
    "until",
    [
        "null",
        "now() - interval '1 second'",
        "now() + interval '24 hours 1 minute'",
        "'infinity'",
        "'-infinity'",
    ],
)
def test_a_deferral_ends_in_the_future_and_within_a_day(hands: Hands, until: str) -> None:
    """A deferral into the past, without an end or longer than 24 hours must be refused."""
    made = hands.propose()
    with hands.refuses("time_required"):
        hands.operator.execute(
            sql(
                f"update agent_recommendations set status = 'deferred', defer_until = {until}"
                " where recommendation_id = %s"
            ),
            (made,),
        )


@pytest.mark.parametrize("minutes", [0.0, -1.0, 24 * 60 + 1.0])
async def test_the_desk_refuses_a_deferral_that_never_comes_back(
    hands: Hands, desk: Desk, minutes: float
) -> None:
    """No minutes, negative minutes and more than a day must be refused by name."""
    made = hands.propose()
    with hands.unchanged(), pytest.raises(RefusedByRule) as caught:
        await desk.defer(made, operator="anna", minutes=minutes, comment=None)
    assert caught.value.refusal.code is RefusalCode.TIME_REQUIRED


async def test_a_deferred_recommendation_comes_back_by_itself_and_can_then_be_approved(
    hands: Hands, desk: Desk, store: PostgresStore
) -> None:
    """When defer_until has passed, tend must make it pending again, with time left to answer."""
    made = hands.propose()
    assert await desk.defer(made, operator="anna", minutes=23 * 60, comment="after the shift") == "deferred"
    assert "wake" not in await store.due()
    hands.let_deferral_end(made)
    due = await store.due()
    assert "wake" in due
    assert (await store.tend(due))["wake"] == 1
    row = hands.recommendation(made)
    assert (row["status"], row["defer_until"]) == ("pending", None)
    assert hands.value("select expires_at > now() from agent_recommendations")
    hands.approve(made)
    assert hands.recommendation(made)["status"] == "approved"


async def test_a_deferred_recommendation_can_be_woken_before_its_time(
    hands: Hands, desk: Desk, store: PostgresStore
) -> None:
    """Wake must bring back a deferred recommendation once, and nothing else."""
    made = hands.propose()
    assert not await store.wake(made)
    await desk.defer(made, operator="anna", minutes=5, comment=None)
    assert await store.wake(made)
    assert hands.recommendation(made)["status"] == "pending"


async def test_decisions_about_something_decided_are_refused_by_name(hands: Hands, desk: Desk) -> None:
    """Approve, reject and defer of what was rejected must each say that, and who did it."""
    made = hands.propose()
    digest = hands.recommendation(made)["write_digest"]
    assert await desk.reject(made, operator="carl", reason="pump is being serviced") == "rejected"
    for attempt in (
        desk.approve(made, operator="anna", digest=digest, comment=None),
        desk.reject(made, operator="anna", reason="no"),
        desk.defer(made, operator="anna", minutes=5, comment=None),
    ):
        with hands.unchanged(), pytest.raises(RefusedByRule, match="already rejected by carl") as caught:
            await attempt
        assert caught.value.refusal.code is RefusalCode.ALREADY_DECIDED


async def test_a_question_about_no_recommendation_is_refused(desk: Desk) -> None:
    """An id that does not exist must be a refusal with a hint, not an empty answer."""
    with pytest.raises(RefusedByRule, match="there is no recommendation R-999"):
        await desk.approve("R-999", operator="anna", digest="", comment=None)


PROPOSAL = {
    "severity": "'critical'",
    "proposed_writes": "'[]'",
    "recommended_action": "'something else'",
    "root_cause_analysis": "'something else'",
    "confidence_score": "0.1",
    "evidence": """'{"a": 1}'""",
    "source": "'llm'",
    "expected_outcome": "'something else'",
    "temperature_reading": "1",
    "pressure_reading": "1",
    "flow_rate_reading": "1",
}


@pytest.mark.parametrize("column", sorted(PROPOSAL))
def test_what_was_approved_cannot_be_changed_any_more(hands: Hands, column: str) -> None:
    """Every field that the approver saw must be immutable once approved, also for the owner."""
    made = hands.propose()
    hands.approve(made)
    for connection in (hands.agent, hands.owner):
        with hands.refuses("immutable"):
            connection.execute(
                sql(
                    f"update agent_recommendations set {column} = {PROPOSAL[column]} where recommendation_id = %s"
                ),
                (made,),
            )


def test_a_proposal_cannot_be_changed_by_the_statement_that_approves_it(hands: Hands) -> None:
    """Changing the writes and approving them in one update must be refused: nobody saw those writes."""
    made = hands.propose()
    with hands.refuses("immutable"):
        hands.owner.execute(
            "update agent_recommendations set status = 'approved', approved_by_operator = 'anna',"
            """ proposed_writes = '[]' where recommendation_id = %s""",
            (made,),
        )


@pytest.mark.parametrize(
    "column", ["recommendation_id", "equipment_id", "issue_type", "created_timestamp", "created_by_agent"]
)
def test_a_recommendation_keeps_its_identity(hands: Hands, column: str) -> None:
    """Who proposed what for which equipment must never change, pending or not."""
    made = hands.propose()
    value = "now() - interval '1 day'" if column == "created_timestamp" else "'another'"
    with hands.refuses("immutable"):
        hands.owner.execute(
            sql(f"update agent_recommendations set {column} = {value} where recommendation_id = %s"), (made,)
        )


def test_decision_fields_cannot_be_rewritten_without_a_decision(hands: Hands) -> None:
    """Who approved and when must not change while the status stays, neither before nor after."""
    made = hands.propose()
    for _ in ("pending", "approved"):
        for change in (
            "approved_by_operator = 'carl'",
            "approved_timestamp = now() + interval '1 day'",
            "rejection_reason = 'no'",
            "decided_by_operator = 'carl'",
            "defer_until = now()",
        ):
            with hands.refuses("already_decided"):
                hands.operator.execute(
                    sql(f"update agent_recommendations set {change} where recommendation_id = %s"), (made,)
                )
        if hands.recommendation(made)["status"] == "pending":
            hands.approve(made)


@pytest.mark.parametrize("status", ["executed", "failed", "expired", "superseded", "rejected"])
def test_a_recorded_outcome_cannot_be_reworded(hands: Hands, status: str) -> None:
    """execution_result of an ended recommendation must stay what the audit trail says it was."""
    made = hands.recommendation_in(status)
    for connection in (hands.agent, hands.owner):
        with hands.refuses("immutable"):
            connection.execute(
                "update agent_recommendations set execution_result = 'all went well' where recommendation_id = %s",
                (made,),
            )


def test_recommendations_and_commands_are_never_deleted(hands: Hands) -> None:
    """Delete and truncate must be refused, even to the owner."""
    hands.command_in("executed")
    for statement in (
        "delete from agent_commands",
        "delete from agent_recommendations",
        "truncate agent_commands",
        "truncate agent_recommendations cascade",
    ):
        with hands.refuses("append_only"):
            hands.owner.execute(sql(statement))


@pytest.mark.parametrize("end", ["expired", "superseded"])
def test_an_end_without_a_reason_is_refused(hands: Hands, end: str) -> None:
    """Expired and superseded must say why in execution_result."""
    made = hands.propose()
    with hands.refuses("reason_required"):
        hands.agent.execute(
            "update agent_recommendations set status = %s where recommendation_id = %s", (end, made)
        )


def test_one_equipment_and_issue_has_one_open_recommendation(hands: Hands) -> None:
    """A second open recommendation for the same equipment and issue must be refused until the first ends."""
    made = hands.propose()
    with hands.unchanged(), pytest.raises(psycopg.errors.UniqueViolation):
        hands.propose()
    hands.propose(issue_type="low_flow", writes=[])
    hands.operator.execute(
        "update agent_recommendations set status = 'rejected', rejection_reason = 'no' where recommendation_id = %s",
        (made,),
    )
    assert hands.propose() != made


async def test_limits_withdrawn_after_the_proposal_refuse_the_approval(hands: Hands, desk: Desk) -> None:
    """A tag taken off the allow-list between proposal and approval must not be approved any more."""
    made = hands.propose()
    digest = hands.recommendation(made)["write_digest"]
    hands.owner.execute("delete from tag_limits where tag_path = %s", (THROUGHPUT,))
    with hands.unchanged(), pytest.raises(RefusedByRule) as caught:
        await desk.approve(made, operator="anna", digest=digest, comment=None)
    assert caught.value.refusal.code is RefusalCode.NOT_LISTED


def test_limits_narrowed_after_the_proposal_refuse_the_approval(hands: Hands) -> None:
    """A range that no longer holds the proposed value must refuse the approval."""
    made = hands.propose()
    hands.owner.execute("update tag_limits set low = 420 where tag_path = %s", (THROUGHPUT,))
    with hands.refuses("out_of_range"):
        hands.approve(made)


async def test_a_tag_withdrawn_after_the_approval_does_not_block_the_others(
    hands: Hands, store: PostgresStore
) -> None:
    """An approval whose tag left the allow-list must never be executed, end by name, and hold up nobody."""
    poisoned, healthy = hands.propose(), hands.propose_elsewhere()
    for made in (poisoned, healthy):
        hands.approve(made)
    hands.owner.execute("delete from tag_limits where tag_path = %s", (THROUGHPUT,))
    taken = await store.take_commands(["opcua"], 10)
    assert [command.recommendation_id for command in taken] == [healthy]
    await store.tend(await store.due())
    row = hands.recommendation(poisoned)
    assert row["status"] == "expired"
    assert THROUGHPUT in row["execution_result"]
    assert "not listed" in row["execution_result"]


# Old-style SQL of design §5: only the columns that existing users know.


@pytest.mark.parametrize(
    "more",
    [
        "",
        ", approved_timestamp = now()",
        ", approved_timestamp = now(), operator_notes = 'go ahead'",
        ", operator_notes = 'go ahead', rejected_timestamp = null",
    ],
)
def test_an_old_style_approval_works_unchanged(hands: Hands, more: str) -> None:
    """The approval that Ignition has always sent must approve, with the database's own time and digest."""
    made = hands.propose()
    hands.operator.execute(
        sql(
            f"update agent_recommendations set status = 'approved', approved_by_operator = 'anna'{more}"
            " where recommendation_id = %s"
        ),
        (made,),
    )
    row = hands.recommendation(made)
    assert (row["status"], row["approved_by_operator"]) == ("approved", "anna")
    assert hands.value(
        "select abs(extract(epoch from now() - approved_timestamp)) < 60 from agent_recommendations"
    )
    assert hands.begin(made)


def test_an_approval_is_dated_by_the_database(hands: Hands) -> None:
    """A client's approved_timestamp must not prolong the life of an approval."""
    made = hands.propose()
    hands.operator.execute(
        "update agent_recommendations set status = 'approved', approved_by_operator = 'anna',"
        " approved_timestamp = now() + interval '1 year' where recommendation_id = %s",
        (made,),
    )
    assert hands.value("select approved_timestamp <= clock_timestamp() from agent_recommendations")


@pytest.mark.parametrize(
    "fields",
    [
        "operator_notes = 'pump is being serviced'",
        "operator_notes = 'pump is being serviced', rejected_timestamp = now()",
        "operator_notes = 'pump is being serviced', approved_by_operator = 'anna', rejected_timestamp = now()",
    ],
)
def test_an_old_style_rejection_works_unchanged(hands: Hands, fields: str) -> None:
    """The rejection that Ignition has always sent must reject; its notes are the reason."""
    made = hands.propose()
    hands.operator.execute(
        sql(f"update agent_recommendations set status = 'rejected', {fields} where recommendation_id = %s"),
        (made,),
    )
    row = hands.recommendation(made)
    assert (row["status"], row["rejection_reason"]) == ("rejected", "pump is being serviced")
    assert row["rejected_timestamp"] is not None
    assert row["approved_by_operator"] is None


OLD_INSERTS = {
    "agent_recommendations": (
        "bridge_agent",
        "insert into agent_recommendations (recommendation_id, equipment_id, issue_type, severity, temperature_reading,"
        " pressure_reading, flow_rate_reading, root_cause_analysis, recommended_action, confidence_score, status,"
        " created_timestamp, created_by_agent) values ('REC-7', 'REACTOR_02', 'HIGH_TEMP', 'HIGH', 91.5, 2.1, 120,"
        " 'cooling water is warm', 'reduce throughput', 0.9, 'pending', now(), 'databricks-job')",
    ),
    "agent_health": (
        "bridge_agent",
        "insert into agent_health (agent_id, last_heartbeat, status, polls_completed, created_timestamp)"
        " values ('old-agent', now(), 'online', 12, now())",
    ),
    "work_orders": (
        "bridge_agent",
        "insert into work_orders (work_order_id, recommendation_id, equipment_id, description, status, assigned_to,"
        " created_timestamp, completed_timestamp) values ('WO-1', null, 'PUMP_01', 'look at it', 'open', 'carl',"
        " now(), null)",
    ),
    "operator_sessions": (
        "bridge_operator",
        "insert into operator_sessions (session_id, operator_id, login_timestamp, logout_timestamp, status,"
        " approved_recommendations, rejected_recommendations) values ('S-old', 'anna', now(), null, 'active', 0, 0)",
    ),
}
READING = (
    "insert into sensor_data (sensor_id, equipment_id, temperature, pressure, flow_rate, sensor_status, timestamp,"
    " recorded_by) values ('TT-01', 'REACTOR_01', 86.2, 2.4, 118, 'active', now(), 'gateway')"
)


@pytest.mark.parametrize("table", sorted(OLD_INSERTS))
def test_an_insert_that_gives_only_the_old_columns_works(
    owner: Connection, as_role: Callable[[str], Connection], table: str
) -> None:
    """Old-style inserts must work for the party whose business they are; defaults fill the rest."""
    role, statement = OLD_INSERTS[table]
    assert as_role(role).execute(sql(statement)).rowcount == 1
    row = owner.execute(sql(f"select * from {table}")).fetchone()
    assert row is not None
    if table == "agent_recommendations":
        assert (row["severity"], row["source"], row["proposed_writes"]) == ("high", "external", [])


@pytest.mark.parametrize("role", ["bridge_agent", "bridge_operator"])
def test_an_old_style_reading_is_taken_from_the_agent_and_from_the_gateway(
    owner: Connection, as_role: Callable[[str], Connection], role: str
) -> None:
    """A reading with only the old columns must be taken, also over Ignition's own connection."""
    assert as_role(role).execute(sql(READING)).rowcount == 1
    row = owner.execute("select * from sensor_data").fetchone()
    assert row is not None
    assert row["external_xid"] is not None
    assert (row["quality"], row["replayed"], row["temperature"]) == ("good", False, 86.2)


def test_an_old_style_work_order_is_taken_from_the_gateway(as_role: Callable[[str], Connection]) -> None:
    """An operator must be able to open a work order over Ignition's connection."""
    assert as_role("bridge_operator").execute(sql(OLD_INSERTS["work_orders"][1])).rowcount == 1


def test_an_old_style_command_of_an_approved_write_is_taken(hands: Hands) -> None:
    """A command with only the old columns must be completed from what was approved."""
    made = hands.propose(writes=[one_write(), one_write(COOLING, False, True, "")])
    hands.approve(made)
    hands.agent.execute(
        "insert into agent_commands (command_id, recommendation_id, equipment_id, tag_path, new_value,"
        " action_description, severity, status, created_timestamp, created_by_agent)"
        " values ('CMD-1', %s, 'REACTOR_01', %s, 1, 'cool', 'high', 'pending', now(), 'old-agent')",
        (made, COOLING),
    )
    row = hands.command("CMD-1")
    assert (row["sequence"], row["expected_value"], row["route"], row["unit"]) == (2, 0.0, "opcua", "")


@pytest.mark.parametrize("severity", ["LOW", "Medium", "HIGH", "CRITICAL"])
def test_a_severity_in_capitals_is_taken(hands: Hands, severity: str) -> None:
    """Severities of existing users in any case must be stored in small letters."""
    row = hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, severity) values ('X', 'y', %s)"
        " returning severity",
        (severity,),
    ).fetchone()
    assert row == {"severity": severity.lower()}


def test_a_severity_that_does_not_exist_is_refused(hands: Hands) -> None:
    """An unknown severity must be a check violation."""
    with hands.unchanged(), pytest.raises(psycopg.errors.CheckViolation):
        hands.agent.execute(
            "insert into agent_recommendations (equipment_id, issue_type, severity) values ('X', 'y', 'urgent')"
        )


async def test_approved_without_a_write_becomes_a_work_order_and_never_a_tag_write(
    hands: Hands, store: PostgresStore
) -> None:
    """Prose that was approved must end as executed with a work order, and no command may exist."""
    made = hands.propose(writes=[])
    hands.approve(made)
    assert await store.take_commands(["opcua", "mqtt"], 10) == []
    pairs = await store.hand_to_people()
    assert [recommendation for _, recommendation in pairs] == [made]
    row = hands.recommendation(made)
    assert row["status"] == "executed"
    assert pairs[0][0] in row["execution_result"]
    assert "no tag was written" in row["execution_result"]
    assert hands.commands_of(made) == []
    assert await store.hand_to_people() == []


async def test_prose_of_others_is_completed_while_pending_and_only_once(
    hands: Hands, open_store: OpenStore
) -> None:
    """A pending row without writes must get them with a new digest; later attempts and decided rows must not."""
    store = await open_store()
    made = hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, created_by_agent)"
        " values ('REACTOR_01', 'high_temperature', 'databricks-job') returning recommendation_id, write_digest"
    ).fetchone()
    assert made is not None
    assert [item.recommendation_id for item in await store.incomplete_recommendations()] == [
        made["recommendation_id"]
    ]
    from bridge.domain.recommendation import ProposedWrite

    write = ProposedWrite(tag_path=THROUGHPUT, present=450.0, target=405.0, unit="kg/h")
    assert await store.complete(made["recommendation_id"], [write], {"remedy": "medium"})
    row = hands.recommendation(made["recommendation_id"])
    assert row["write_digest"] != made["write_digest"]
    assert row["evidence"] == {"completion": {"remedy": "medium"}}
    assert not await store.complete(made["recommendation_id"], [write], {})
    assert await store.incomplete_recommendations() == []


def test_control_needs_a_reason_each_time(hands: Hands) -> None:
    """Disarming and arming must each say why, and blanks are no reason."""
    with refused("reason_required"):
        hands.operator.execute("update bridge_control set armed = false, changed_by = 'anna'")
    with pytest.raises(psycopg.errors.CheckViolation):
        hands.operator.execute("update bridge_control set armed = false, changed_by = 'anna', reason = '  '")
    assert hands.value("select armed from bridge_control")


async def test_the_desk_arms_and_disarms_with_a_name_and_a_reason(hands: Hands, desk: Desk) -> None:
    """set_armed must say whether anything changed, and control must show who did it and why."""
    assert await desk.set_armed(False, operator="anna", reason="maintenance")
    assert not await desk.set_armed(False, operator="ben", reason="again")
    control = await desk.control()
    assert (control.armed, control.changed_by, control.reason) == (False, "anna", "maintenance")
