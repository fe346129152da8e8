"""Who is logged in at the HMI: may the person decide, and who looks at the same recommendation just now?"""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
from rig import Connection, Hands, Row, connect, refused, sql

from bridge.store.connection import Database
from bridge.store.migrate import FOLDER, migrate, migrations
from bridge.store.queries import Queries, Query

REFUSAL = "carla is logged in at the HMI without the right to (decide|arm|disarm); log in as somebody who may"
NAMES = {
    "latin": "Zoë Ångström",
    "greek": "Ελένη",
    "arabic": "مريم",
    "japanese": "田中さくら",
    "emoji": "👩‍🔧 Ada",
}


class Hmi:
    """Named queries as the gateway runs them: as bridge_operator."""

    def __init__(self, operator: Connection, named: Queries) -> None:
        self._operator = operator
        self.named = named

    def ask(self, query: Query, **values: object) -> list[Row]:
        return self._operator.execute(sql(query.statement), values).fetchall()

    def log_in(
        self, person: str, *, may_decide: bool | None, may_arm: bool | None = False, at: str = "p1"
    ) -> str:
        rows = self.ask(
            self.named.sessions.open_operator_session,
            session_id=f"{at}/{person}",
            operator=person,
            may_decide=may_decide,
            may_arm=may_arm,
        )
        return str(rows[0]["session_id"])

    def log_out(self, at: str = "p1") -> None:
        self.ask(self.named.sessions.close_operator_session, perspective_id=at)

    def look(self, session: str | None, recommendation_id: str | None) -> list[Row]:
        return self.ask(self.named.sessions.look_at, session_id=session, recommendation_id=recommendation_id)

    def lookers(self, recommendation_id: str) -> str:
        row = self.ask(self.named.recommendations.get_recommendation, recommendation_id=recommendation_id)[0]
        return str(row["lookers"])


@pytest.fixture
def hmi(hands: Hands, named: Queries) -> Hmi:
    return Hmi(hands.operator, named)


# Every door that a decision can take, as (prepare, decide): what is made first, and what the person then does.


def _approve(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    digest = hands.recommendation(made)["write_digest"]
    return hmi.ask(
        hmi.named.recommendations.approve_recommendation,
        recommendation_id=made,
        operator=by,
        digest=digest,
        comment=None,
    )


def _approve_old_style(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    hands.approve(made, by=by)
    return [hands.recommendation(made)]


def _insert_approval(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    digest = hands.recommendation(made)["write_digest"]
    return hands.operator.execute(
        "insert into approvals (recommendation_id, operator, digest) values (%s, %s, %s)"
        " returning recommendation_id",
        (made, by, digest),
    ).fetchall()


def _reject(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    return hmi.ask(
        hmi.named.recommendations.reject_recommendation,
        recommendation_id=made,
        operator=by,
        reason="not now",
        digest=None,
    )


def _defer(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    return hmi.ask(
        hmi.named.recommendations.defer_recommendation,
        recommendation_id=made,
        operator=by,
        minutes=10.0,
        comment=None,
        digest=None,
    )


def _wake(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    return hands.operator.execute(
        "update agent_recommendations set status = 'pending', decided_by_operator = %s"
        " where recommendation_id = %s returning recommendation_id",
        (by, made),
    ).fetchall()


def _settle(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    return hmi.ask(
        hmi.named.commands.settle_by_hand,
        command_id=made,
        status="executed",
        result="seen at the panel",
        code=None,
        read_back=400.0,
        operator=by,
    )


def _disarm(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    return hmi.ask(hmi.named.control.set_armed, armed=False, operator=by, reason="maintenance")


def _arm(hmi: Hmi, hands: Hands, made: str, by: str) -> list[Row]:
    return hmi.ask(hmi.named.control.set_armed, armed=True, operator=by, reason="all clear")


def _pending(hands: Hands) -> str:
    return hands.propose_elsewhere()


def _first_of_two(hands: Hands) -> str:
    return hands.propose_elsewhere(approvals_required=2)


def _deferred(hands: Hands) -> str:
    return hands.recommendation_in("deferred")


def _unknown(hands: Hands) -> str:
    return hands.command_in("unknown")


def _nothing(hands: Hands) -> str:
    return ""


def _disarmed(hands: Hands) -> str:
    hands.owner.execute("update bridge_control set armed = false, changed_by = 'anna', reason = 'test'")
    return ""


Prepare = Callable[[Hands], str]
Decide = Callable[[Hmi, Hands, str, str], list[Row]]
DOORS: dict[str, tuple[Prepare, Decide]] = {
    "approve": (_pending, _approve),
    "approve as one of two": (_first_of_two, _approve),
    "approve in old SQL": (_pending, _approve_old_style),
    "approve beside the recommendation": (_first_of_two, _insert_approval),
    "reject": (_pending, _reject),
    "defer": (_pending, _defer),
    "wake": (_deferred, _wake),
    "settle by hand": (_unknown, _settle),
    "disarm": (_nothing, _disarm),
    "arm": (_disarmed, _arm),
}


@pytest.fixture(params=sorted(DOORS))
def door(request: pytest.FixtureRequest) -> tuple[Prepare, Decide]:
    return DOORS[request.param]


def test_a_viewer_is_refused_at_every_door(hmi: Hmi, hands: Hands, door: tuple[Prepare, Decide]) -> None:
    """A person logged in only without the right must be refused by name, with what to do, and nothing changes."""
    prepare, decide = door
    made = prepare(hands)
    hmi.log_in("carla", may_decide=False)
    armed = hands.value("select armed from bridge_control")
    with hands.refuses("not_permitted"):
        decide(hmi, hands, made, "carla")
    with hands.unchanged(), pytest.raises(psycopg.Error, match=REFUSAL):
        decide(hmi, hands, made, "carla")
    assert hands.value("select armed from bridge_control") == armed


@pytest.mark.parametrize("name", ["CARLA", "  carla\t", "ｃａｒｌａ"])
def test_another_spelling_of_the_name_is_the_same_person(hmi: Hmi, hands: Hands, name: str) -> None:
    """Capitals, blanks and full-width letters must not open the door."""
    made = hands.propose_elsewhere()
    hmi.log_in("carla", may_decide=False)
    for decide in (_approve, _approve_old_style, _reject, _defer):
        with hands.refuses("not_permitted"):
            decide(hmi, hands, made, name)


def test_whoever_may_decide_passes_every_door(hmi: Hmi, hands: Hands, door: tuple[Prepare, Decide]) -> None:
    """With the right the same steps must be taken, also while a viewer looks on."""
    prepare, decide = door
    made = prepare(hands)
    hmi.log_in("carla", may_decide=False)
    hmi.log_in("dora", may_decide=True, may_arm=True, at="p2")
    assert decide(hmi, hands, made, "dora")


def test_whoever_has_no_session_decides_as_ever(hmi: Hmi, hands: Hands, door: tuple[Prepare, Decide]) -> None:
    """Old SQL and the command line know no session: every door must stay open to them."""
    prepare, decide = door
    made = prepare(hands)
    assert decide(hmi, hands, made, "emil")


def test_a_session_that_does_not_say_refuses_nobody(
    hmi: Hmi, hands: Hands, door: tuple[Prepare, Decide]
) -> None:
    """Sessions of a gateway that knows nothing of the right must count as before."""
    prepare, decide = door
    made = prepare(hands)
    hands.operator.execute("insert into operator_sessions (session_id, operator_id) values ('old', 'carla')")
    assert decide(hmi, hands, made, "carla")


def test_a_closed_session_counts_no_more(hmi: Hmi, hands: Hands, door: tuple[Prepare, Decide]) -> None:
    """After logging out, the viewer's session must refuse nothing, and a decider's permit nothing."""
    prepare, decide = door
    made = prepare(hands)
    hmi.log_in("carla", may_decide=True, at="p2")
    hmi.log_out("p2")
    hmi.log_in("carla", may_decide=False, at="p1")
    with hands.refuses("not_permitted"):
        decide(hmi, hands, made, "carla")
    hmi.log_out("p1")
    assert decide(hmi, hands, made, "carla")


def test_one_of_two_sessions_is_enough(hmi: Hmi, hands: Hands, door: tuple[Prepare, Decide]) -> None:
    """A person logged in twice, once with the right, must be allowed."""
    prepare, decide = door
    made = prepare(hands)
    hmi.log_in("carla", may_decide=False, at="p1")
    hmi.log_in("carla", may_decide=True, may_arm=True, at="p2")
    assert decide(hmi, hands, made, "carla")


def test_an_engineer_arms_and_does_not_decide(hmi: Hmi, hands: Hands) -> None:
    """Each right must open its own doors only: arming is no approving, and deciding no arming."""
    for name, (prepare, decide) in DOORS.items():
        for may_decide, may_arm in ((True, False), (False, True)):
            made = prepare(hands)
            hands.owner.execute(
                "update bridge_control set armed = %s, changed_by = 'anna', reason = clock_timestamp()::text",
                (name != "arm",),
            )
            hmi.log_in("carla", may_decide=may_decide, may_arm=may_arm)
            if name == "disarm" or (name == "arm") == may_arm:
                assert decide(hmi, hands, made, "carla"), name
            else:
                with hands.refuses("not_permitted"):
                    decide(hmi, hands, made, "carla")


def test_logging_in_as_somebody_else_ends_what_was_there(hmi: Hmi, hands: Hands) -> None:
    """One Perspective session is one person: whoever was there before must be gone, and no other session."""
    made = hands.propose_elsewhere()
    for at in ("p1", "p10", "p2"):
        hmi.log_in("carla", may_decide=at == "p1", at=at)
    hmi.log_in("dora", may_decide=True, at="p1")
    active = hands.owner.execute(
        "select session_id from operator_sessions where status = 'active' order by session_id"
    ).fetchall()
    assert [row["session_id"] for row in active] == ["p1/dora", "p10/carla", "p2/carla"]
    assert hands.value("select logout_timestamp from operator_sessions where session_id = 'p1/carla'")
    with hands.refuses("not_permitted"):
        _approve(hmi, hands, made, "carla")


@pytest.mark.parametrize("name", ["operations-agent", " Operations-Agent"])
def test_an_agent_signs_nothing(hmi: Hmi, hands: Hands, door: tuple[Prepare, Decide], name: str) -> None:
    """The name of an agent that has reported must be refused at every door."""
    prepare, decide = door
    made = prepare(hands)
    hands.agent.execute("insert into agent_health (agent_id) values ('operations-agent')")
    with hands.refuses("not_permitted"):
        decide(hmi, hands, made, name)


def test_who_proposed_does_not_approve(hmi: Hmi, hands: Hands) -> None:
    """Also an agent that never reported must not approve what it made itself."""
    made = hands.propose_elsewhere()
    for approve in (_approve, _approve_old_style, _insert_approval):
        with hands.refuses("not_permitted"):
            approve(hmi, hands, made, "OPERATIONS-agent")
    command = hands.command_in("unknown")
    with hands.refuses("not_permitted"):
        _settle(hmi, hands, command, "operations-agent")


# What was shown is what is decided


@pytest.mark.parametrize("decide", ["reject", "defer"])
def test_what_has_changed_since_it_was_shown_is_not_decided(hmi: Hmi, hands: Hands, decide: str) -> None:
    """No row may come back for other writes than those that were shown, and one for the same."""
    made = hands.propose_elsewhere()
    shown = hands.recommendation(made)
    hands.revise(made, [dict(shown["proposed_writes"][0], to=450.0)])
    query = getattr(hmi.named.recommendations, f"{decide}_recommendation")
    values: dict[str, object] = {"minutes": 10.0, "comment": None}
    if decide == "reject":
        values = {"reason": "not now"}

    def ask(digest: object) -> list[Row]:
        return hmi.ask(query, recommendation_id=made, operator="anna", digest=digest, **values)

    with hands.unchanged():
        assert ask(shown["write_digest"]) == []
    assert len(ask(hands.recommendation(made)["write_digest"])) == 1


# What a person finds at the panel


def _found(hmi: Hmi, command: str, status: str, shows: float | None) -> list[Row]:
    return hmi.ask(
        hmi.named.commands.settle_by_hand,
        command_id=command,
        status=status,
        result="seen at the panel",
        code=None,
        read_back=shows,
        operator="anna",
    )


@pytest.mark.parametrize("shows", [12345.0, 400.51, 399.4, float("nan"), float("inf")])
def test_another_value_at_the_panel_confirms_nothing(hmi: Hmi, hands: Hands, shows: float) -> None:
    """Approved were 400 rpm within 0.5: what the panel shows instead must be said, and settles as failed only."""
    command = hands.command_in("unknown")
    with hands.refuses("read_back_differs"):
        _found(hmi, command, "executed", shows)
    assert _found(hmi, command, "failed", shows)


def test_the_refusal_says_what_to_do(hmi: Hmi, hands: Hands) -> None:
    """Both values in the tag's unit, and the way out, must be in the sentence."""
    command = hands.command_in("unknown")
    said = "the panel shows 12345 rpm, approved was 400 rpm; settle it as failed"
    with pytest.raises(psycopg.Error, match=said):
        _found(hmi, command, "executed", 12345.0)


def test_who_saw_no_value_confirms_nothing(hmi: Hmi, hands: Hands) -> None:
    """An earlier read-back of the gateway's must not stand in for what the person did not say."""
    command = hands.command_in("unknown")
    assert hands.command(command)["read_back_value"] == 400.0
    with hands.refuses("illegal_transition"):
        _found(hmi, command, "executed", None)
    assert _found(hmi, command, "failed", None)
    assert hands.command(command)["read_back_value"] == 400.0


@pytest.mark.parametrize("listed", [True, False])
def test_a_value_within_the_tolerance_confirms(hmi: Hmi, hands: Hands, listed: bool) -> None:
    """As close as a read-back has to be; a tag that is not listed any more must show the value itself."""
    command = hands.command_in("unknown")
    if not listed:
        hands.owner.execute(
            "delete from tag_limits where tag_path = %s", (hands.command(command)["tag_path"],)
        )
        with hands.refuses("read_back_differs"):
            _found(hmi, command, "executed", 400.4)
    assert _found(hmi, command, "executed", 400.4 if listed else 400.0)
    assert hands.command(command)["status"] == "executed"


def test_a_new_login_in_the_same_session_says_anew(hmi: Hmi, hands: Hands) -> None:
    """Opening the same session again must replace what it said before, either way."""
    made = hands.propose_elsewhere()
    hmi.log_in("carla", may_decide=True)
    hmi.log_in("carla", may_decide=False)
    with hands.refuses("not_permitted"):
        _approve(hmi, hands, made, "carla")
    hmi.log_in("carla", may_decide=True)
    assert _approve(hmi, hands, made, "carla") == [{"recommendation_id": made, "status": "approved"}]


def test_the_agent_wakes_what_is_due_whoever_deferred_it(hmi: Hmi, hands: Hands) -> None:
    """That the person who deferred has lost the right since must not keep a recommendation asleep."""
    made = hands.recommendation_in("deferred")  # by anna
    hmi.log_in("anna", may_decide=False)
    hands.agent.execute(
        "update agent_recommendations set status = 'pending' where recommendation_id = %s", (made,)
    )
    assert hands.recommendation(made)["status"] == "pending"


def test_who_is_named_at_waking_is_asked_whatever_role_does_it(hmi: Hmi, hands: Hands) -> None:
    """A login that is the agent as well (here the owner) must not wake in the name of a viewer."""
    made = hands.recommendation_in("deferred")
    hmi.log_in("carla", may_decide=False)
    with hands.refuses("not_permitted"):
        hands.owner.execute(
            "update agent_recommendations set status = 'pending', decided_by_operator = 'carla'"
            " where recommendation_id = %s",
            (made,),
        )


def test_a_temporary_table_cannot_stand_in_for_the_sessions(hmi: Hmi, hands: Hands) -> None:
    """The rule must read the real table although the caller has laid another of that name over it."""
    made = hands.propose_elsewhere()
    hmi.log_in("carla", may_decide=False)
    with connect(hands.url, "bridge_operator") as sly:
        sly.execute(
            "create temporary table operator_sessions (operator_id text, status text, may_decide bool)"
        )
        with refused("not_permitted"):
            hands.approve_as(sly, made, "carla")


def test_of_two_who_approve_in_the_same_second_exactly_one_gets_a_row(hmi: Hmi, hands: Hands) -> None:
    """Both are logged in and may: one must get the row back, the other none, and one approval is recorded."""
    people = ("dora", "emil")
    for person in people:
        hmi.log_in(person, may_decide=True, at=f"of-{person}")
    made = [hands.propose_elsewhere() for _ in range(20)]
    digests = {one: hands.recommendation(one)["write_digest"] for one in made}
    barrier = threading.Barrier(len(people))
    rows: dict[tuple[str, str], int] = {}

    def decide(person: str) -> None:
        with connect(hands.url, "bridge_operator") as connection:
            for one in made:
                barrier.wait(timeout=30)
                values = {
                    "recommendation_id": one,
                    "operator": person,
                    "digest": digests[one],
                    "comment": None,
                }
                statement = hmi.named.recommendations.approve_recommendation.statement
                rows[one, person] = len(connection.execute(sql(statement), values).fetchall())

    threads = [threading.Thread(target=decide, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [sum(rows[one, person] for person in people) for one in made] == [1] * len(made)
    assert hands.value("select count(*) from approvals") == len(made)


# Presence


@pytest.mark.parametrize("script", sorted(NAMES))
def test_two_people_at_one_recommendation_see_each_other(hmi: Hmi, hands: Hands, script: str) -> None:
    """Each must get the other and never themselves; the lists must name both, in any script."""
    made, other = hands.propose_elsewhere(), hands.propose_elsewhere()
    name = NAMES[script]
    dora, second = (hmi.log_in("dora", may_decide=True, at="p1"), hmi.log_in(name, may_decide=False, at="p2"))
    assert hmi.look(dora, made) == []
    seen = hmi.look(second, made)
    assert [row["operator_id"] for row in seen] == ["dora"]
    assert type(seen[0]["since_s"]) is float
    assert 0 <= seen[0]["since_s"] < 15
    assert [row["operator_id"] for row in hmi.look(dora, made)] == [name]
    assert sorted(hmi.lookers(made).split(", ")) == sorted(["dora", name])
    assert hmi.lookers(other) == ""
    assert hmi.look(second, other) == []
    assert hmi.lookers(made) == "dora"


def test_one_person_on_two_screens_is_nobody_else(hmi: Hmi, hands: Hands) -> None:
    """The same person in a second session must not be reported as another, and be named once."""
    made = hands.propose_elsewhere()
    for at, name in (("p1", "dora"), ("p2", "Dora")):
        assert hmi.look(hmi.log_in(name, may_decide=True, at=at), made) == []
    emil = hmi.log_in("emil", may_decide=True, at="p3")
    assert len(hmi.look(emil, made)) == 1


@pytest.mark.parametrize(("age_s", "seen"), [(14.0, True), (16.0, False)])
def test_a_look_fades_after_fifteen_seconds_of_the_databases_clock(
    hmi: Hmi, hands: Hands, age_s: float, seen: bool
) -> None:
    """Who gave no sign for 15 s must be gone from every answer."""
    made = hands.propose_elsewhere()
    dora, emil = hmi.log_in("dora", may_decide=True), hmi.log_in("emil", may_decide=True, at="p2")
    hmi.look(dora, made)
    hands.owner.execute(
        "update operator_sessions set looked_at_timestamp = looked_at_timestamp - make_interval(secs => %s)",
        (age_s,),
    )
    assert hmi.lookers(made) == ("dora" if seen else "")
    assert [row["operator_id"] for row in hmi.look(emil, made)] == (["dora"] if seen else [])
    listed = {
        row["operator_id"]: row for row in hmi.ask(hmi.named.sessions.list_operator_sessions, max_rows=10)
    }
    assert listed["dora"]["looking_at"] == (made if seen else None)
    assert listed["dora"]["looked_ago_s"] >= age_s


@pytest.mark.parametrize("session", [None, "", "never opened"])
def test_an_anonymous_look_gets_nothing_and_leaves_nothing(
    hmi: Hmi, hands: Hands, session: str | None
) -> None:
    """Without a session of one's own, nobody is shown and nobody is recorded."""
    made = hands.propose_elsewhere()
    hmi.look(hmi.log_in("dora", may_decide=True), made)
    assert hmi.look(session, made) == []
    assert hmi.lookers(made) == "dora"
    assert hands.value("select count(*) from operator_sessions") == 1


@pytest.mark.parametrize("nothing", [None, ""])
def test_who_looks_at_nothing_sees_nobody_and_is_seen_by_nobody(
    hmi: Hmi, hands: Hands, nothing: str | None
) -> None:
    """Two people who look at nothing do not look at the same; leaving a page ends the look."""
    made = hands.propose_elsewhere()
    dora, emil = hmi.log_in("dora", may_decide=True), hmi.log_in("emil", may_decide=True, at="p2")
    hmi.look(dora, made)
    assert hmi.look(dora, nothing) == []
    assert hmi.look(emil, nothing) == []
    assert hmi.look(emil, made) == []


def test_a_closed_session_looks_at_nothing(hmi: Hmi, hands: Hands) -> None:
    """Who has logged out must not be shown, nor be able to look on with the old session."""
    made = hands.propose_elsewhere()
    dora, emil = hmi.log_in("dora", may_decide=True), hmi.log_in("emil", may_decide=True, at="p2")
    hmi.look(dora, made)
    hmi.log_out("p1")
    assert hmi.look(emil, made) == []
    assert hmi.look(dora, made) == []
    assert hmi.lookers(made) == "emil"
    listed = hmi.ask(hmi.named.sessions.list_operator_sessions, max_rows=10)
    assert [row["operator_id"] for row in listed] == ["emil"]


def test_the_latest_login_is_listed_first_and_the_limit_holds(hmi: Hmi, hands: Hands) -> None:
    """Sessions must come newest first, with what their login may do, and no more than asked for."""
    for place, right in enumerate((True, False, None)):
        hmi.log_in(f"person{place}", may_decide=right, at=f"p{place}")
    rows = hmi.ask(hmi.named.sessions.list_operator_sessions, max_rows=10)
    assert [(row["operator_id"], row["may_decide"]) for row in rows] == [
        ("person2", None),
        ("person1", False),
        ("person0", True),
    ]
    assert len(hmi.ask(hmi.named.sessions.list_operator_sessions, max_rows=2)) == 2


# Upgrading


@pytest.fixture
async def older(postgres_url: str, tmp_path: Path) -> AsyncIterator[tuple[Database, str]]:
    """A database as it was before sessions said who may decide."""
    with connect(postgres_url) as connection:
        connection.execute("create database before_sessions")
    url = f"{postgres_url.rsplit('/', 1)[0]}/before_sessions"
    for file in sorted(FOLDER.glob("*.sql"))[:9]:
        shutil.copy(file, tmp_path)
    database = Database(url, role=None, size=2, connect_timeout_s=5.0, statement_timeout_s=10.0)
    await database.open()
    await migrate(database, tmp_path)
    yield database, url
    await database.close()
    with connect(postgres_url) as connection:
        connection.execute("drop database before_sessions with (force)")


async def test_a_database_in_use_is_upgraded_with_everything_in_it(older: tuple[Database, str]) -> None:
    """Sessions and open recommendations from before must stay and be decided by the same people as before."""
    database, url = older
    hands = Hands(url)
    try:
        made = hands.propose_elsewhere()
        hands.operator.execute(
            "insert into operator_sessions (session_id, operator_id) values ('s', 'carla')"
        )
        assert await migrate(database) == tuple(migration.name for migration in migrations())[9:]
        row = hands.owner.execute("select * from operator_sessions").fetchone()
        assert row is not None
        assert (row["operator_id"], row["may_decide"], row["may_arm"]) == ("carla", None, None)
        assert row["looking_at"] is None
        hands.approve(made, by="carla")
        assert hands.recommendation(made)["status"] == "approved"
        loose = hands.owner.execute(
            "select proname from pg_proc where pronamespace = current_schema()::regnamespace"
            " and (prosecdef or prorettype = 'trigger'::regtype)"
            " and coalesce(array_to_string(proconfig, ','), '') not like 'search_path=%%, pg_temp'"
        ).fetchall()
        assert loose == []
    finally:
        hands.close()
