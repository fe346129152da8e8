"""Does the audit trail record every change, and does it show when somebody has been at it?"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import THROUGHPUT, Connection, Hands, connect, sql

from bridge.domain.audit import GENESIS, AuditEntry, ChainState, compare_head, entry_hash, follow_chain
from bridge.store.desk import Desk


@pytest.fixture
def told(hands: Hands) -> Hands:
    """A database in which a whole story has happened."""
    hands.command_in("executed")
    hands.command_in("unknown")
    for status in ("rejected", "deferred", "superseded", "expired", "failed"):
        hands.recommendation_in(status)
    hands.operator.execute(
        "update bridge_control set armed = false, changed_by = 'anna', reason = 'maintenance'"
    )
    return hands


async def test_the_chain_of_an_untouched_database_is_whole(told: Hands, desk: Desk) -> None:
    """Every entry must follow the one before, up to the head."""
    state = await desk.verify_audit()
    assert state.problem == ""
    assert state.seq == told.value("select max(seq) from agent_audit") > 20


async def test_the_chain_of_an_empty_trail_is_whole(hands: Hands, desk: Desk) -> None:
    """With nothing recorded, verification must end at entry 0 without a problem."""
    with hands.owner.transaction():
        hands.owner.execute("set local session_replication_role = replica")
        hands.owner.execute("delete from agent_audit")
        hands.owner.execute(sql(f"update agent_audit_head set seq = 0, hash = '{GENESIS}'"))
    assert await desk.verify_audit() == ChainState(seq=0, hash=GENESIS)


async def test_a_chain_longer_than_one_stretch_is_read_to_its_end(
    hands: Hands, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verification must go on after a full stretch, and notice a change in a later one."""
    monkeypatch.setattr("bridge.store.desk._CHUNK", 3)
    hands.command_in("executed")
    last = hands.value("select max(seq) from agent_audit")
    assert await desk.verify_audit() == ChainState(
        seq=last, hash=hands.value("select hash from agent_audit_head")
    )
    _tamper(hands, "update agent_audit set actor = 'ben' where seq = (select max(seq) from agent_audit)")
    assert f"entry {last} was changed" in (await desk.verify_audit()).problem


# Each state change and who is named for it: action, object, recorded actor, database role.

RECORDED: dict[str, tuple[Callable[[Hands], object], list[tuple[str, str, str]]]] = {
    "a proposal": (
        lambda hands: hands.propose(),
        [("recommendation.created", "operations-agent", "bridge_agent")],
    ),
    "a revision": (
        lambda hands: hands.revise(
            hands.propose(), [{"tag_path": THROUGHPUT, "from": 450, "to": 400, "unit": "kg/h"}]
        ),
        [
            ("recommendation.created", "operations-agent", "bridge_agent"),
            ("recommendation.revised", "bridge_agent", "bridge_agent"),
        ],
    ),
    "an approval": (
        lambda hands: hands.approve(hands.propose(), by="anna"),
        [
            ("recommendation.created", "operations-agent", "bridge_agent"),
            ("approval.given", "anna", "bridge_operator"),
            ("recommendation.approved", "anna", "bridge_operator"),
        ],
    ),
    "the first of two approvals": (
        lambda hands: hands.approve(hands.propose(approvals_required=2), by="anna"),
        [
            ("recommendation.created", "operations-agent", "bridge_agent"),
            ("approval.given", "anna", "bridge_operator"),
        ],
    ),
    "arming": (
        lambda hands: hands.operator.execute(
            "update bridge_control set armed = false, changed_by = 'anna', reason = 'maintenance'"
        ),
        [("control.disarmed", "anna", "bridge_operator")],
    ),
    "a limit published": (
        lambda hands: hands.publish("[default]X/Y"),
        [("limits.published", "postgres", "postgres")],
    ),
    "a limit changed": (
        lambda hands: hands.owner.execute(
            "update tag_limits set high = 790 where tag_path = %s", (THROUGHPUT,)
        ),
        [("limits.published", "postgres", "postgres")],
    ),
    "a limit withdrawn": (
        lambda hands: hands.owner.execute("delete from tag_limits where tag_path = %s", (THROUGHPUT,)),
        [("limits.withdrawn", "postgres", "postgres")],
    ),
    "a work order": (
        lambda hands: hands.operator.execute(
            "insert into work_orders (equipment_id, description) values ('PUMP_01', 'look at it')"
        ),
        [("work_order.opened", "bridge_operator", "bridge_operator")],
    ),
}


@pytest.mark.parametrize("case", sorted(RECORDED))
def test_a_change_is_recorded_with_who_made_it_and_in_which_role(hands: Hands, case: str) -> None:
    """Each change must leave exactly its entries, with the person's or agent's name and the database role."""
    before = hands.value("select max(seq) from agent_audit")
    change, expected = RECORDED[case]
    change(hands)
    rows = hands.owner.execute(
        "select action, actor, db_role from agent_audit where seq > %s order by seq", (before,)
    ).fetchall()
    assert [(row["action"], row["actor"], row["db_role"]) for row in rows] == expected


@pytest.mark.parametrize(
    ("status", "action", "actor"),
    [
        ("rejected", "recommendation.rejected", "anna"),
        ("deferred", "recommendation.deferred", "anna"),
        ("superseded", "recommendation.superseded", "bridge_agent"),
        ("expired", "recommendation.expired", "bridge_agent"),
        ("executed", "recommendation.executed", "bridge_agent"),
        ("failed", "recommendation.failed", "bridge_agent"),
    ],
)
def test_every_end_of_a_recommendation_is_recorded(
    hands: Hands, status: str, action: str, actor: str
) -> None:
    """The last entry must name the new status, the old one, and who brought it about."""
    last = hands.trail(hands.recommendation_in(status))[-1]
    assert (last["action"], last["actor"], last["new_status"]) == (action, actor, status)
    assert last["old_status"] in ("pending", "approved", "executing")


@pytest.mark.parametrize(
    ("status", "actions"),
    [
        ("executed", ["created", "claimed", "sent", "executed"]),
        ("failed", ["created", "claimed", "sent", "failed"]),
        ("unknown", ["created", "claimed", "sent", "unknown"]),
        ("cancelled", ["created", "cancelled"]),
    ],
)
def test_every_step_of_a_command_is_recorded(hands: Hands, status: str, actions: list[str]) -> None:
    """Claim, send and verdict must each have an entry, in their order."""
    command = hands.command_in(status)
    rows = hands.owner.execute(
        "select action from agent_audit where object_type = 'command' and object_id = %s order by seq",
        (command,),
    ).fetchall()
    assert [row["action"] for row in rows] == [f"command.{action}" for action in actions]


def test_a_change_that_is_rolled_back_leaves_no_entry(hands: Hands) -> None:
    """Entry and change must stand or fall together."""
    with hands.unchanged(), hands.owner.transaction(force_rollback=True):
        hands.owner.execute("insert into agent_recommendations (equipment_id, issue_type) values ('X', 'y')")
        hands.owner.execute("set constraints all immediate")


@pytest.mark.parametrize(
    "statement",
    [
        "update agent_audit set actor = 'ben'",
        "delete from agent_audit",
        "truncate agent_audit",
        "delete from agent_audit where seq = 1",
    ],
)
def test_the_trail_is_append_only_even_for_the_owner(told: Hands, statement: str) -> None:
    """Update, delete and truncate must be refused by trigger to the owner and superuser."""
    with told.refuses("append_only"):
        told.owner.execute(sql(statement))


def _tamper(hands: Hands, *statements: str) -> None:
    """What somebody with the owner's password and no scruples can do: switch the triggers off."""
    with hands.owner.transaction():
        hands.owner.execute("set local session_replication_role = replica")
        for statement in statements:
            hands.owner.execute(sql(statement))


COPY_OF_7 = (
    "at, actor, db_role, action, object_type, object_id, recommendation_id, old_status, new_status, detail,"
    " prev_hash, hash from agent_audit where seq = 7"
)
TAMPERED = {
    "changed actor": ["update agent_audit set actor = 'ben' where seq = 7"],
    "changed role": ["update agent_audit set db_role = 'bridge_operator' where seq = 7"],
    "changed action": ["update agent_audit set action = 'recommendation.rejected' where seq = 7"],
    "changed object": ["update agent_audit set object_id = 'R-2' where seq = 7"],
    "changed recommendation": ["update agent_audit set recommendation_id = 'R-99' where seq = 7"],
    "changed status": ["update agent_audit set new_status = 'rejected' where seq = 13"],
    "changed detail": ["""update agent_audit set detail = detail || '{"to": 1}' where seq = 7"""],
    "emptied detail": ["update agent_audit set detail = '{}' where seq = 13"],
    "changed time by a microsecond": ["update agent_audit set at = at + interval '1 us' where seq = 7"],
    "changed hash": ["update agent_audit set hash = repeat('a', 64) where seq = 7"],
    "changed link": ["update agent_audit set prev_hash = repeat('a', 64) where seq = 7"],
    "changed first entry": ["update agent_audit set actor = 'ben' where seq = 1"],
    "changed last entry": [
        "update agent_audit set actor = 'ben' where seq = (select max(seq) from agent_audit)"
    ],
    "changed and hashed again": [
        "update agent_audit set actor = 'ben' where seq = 7",
        "update agent_audit a set hash = encode(sha256(convert_to(audit_text(a), 'UTF8')), 'hex') where seq = 7",
    ],
    "removed from the middle": ["delete from agent_audit where seq = 7"],
    "removed from the middle and numbered again": [
        "delete from agent_audit where seq = 7",
        "update agent_audit set seq = seq - 1000 where seq > 7",
        "update agent_audit set seq = seq + 999 where seq < 0",
    ],
    "removed at the beginning": ["delete from agent_audit where seq = 1"],
    "removed at the end": ["delete from agent_audit where seq = (select max(seq) from agent_audit)"],
    "removed altogether": ["delete from agent_audit"],
    "inserted in between": [f"insert into agent_audit select -1, {COPY_OF_7}"],
    "inserted before the first": [f"insert into agent_audit select 0, {COPY_OF_7}"],
    "inserted at the end": [
        f"insert into agent_audit select (select max(seq) + 1 from agent_audit), {COPY_OF_7}",
    ],
    "inserted at the end with the head": [
        f"insert into agent_audit select (select max(seq) + 1 from agent_audit), {COPY_OF_7}",
        "update agent_audit_head set seq = seq + 1",
    ],
    "inserted at the end, rightly linked and hashed": [
        "insert into agent_audit select h.seq + 1, at, actor, db_role, action, object_type, object_id,"
        " recommendation_id, old_status, new_status, detail, h.hash, ''"
        " from agent_audit a, agent_audit_head h where a.seq = 7",
        "update agent_audit a set hash = encode(sha256(convert_to(audit_text(a), 'UTF8')), 'hex') where hash = ''",
    ],
    "two swapped": [
        "update agent_audit set seq = -7 where seq = 7",
        "update agent_audit set seq = 7 where seq = 8",
        "update agent_audit set seq = 8 where seq = -7",
    ],
    "head turned back": ["update agent_audit_head set seq = seq - 1"],
    "head removed": ["delete from agent_audit_head"],
}


@pytest.mark.parametrize("case", sorted(TAMPERED))
async def test_tampering_behind_the_triggers_is_found(told: Hands, desk: Desk, case: str) -> None:
    """Whatever was changed, removed, inserted or moved, verification must end with a problem."""
    assert (await desk.verify_audit()).problem == ""
    _tamper(told, *TAMPERED[case])
    assert (await desk.verify_audit()).problem != ""


async def test_tampering_with_disabled_triggers_is_found(told: Hands, desk: Desk) -> None:
    """Also the blunt way, alter table disable trigger, must not go unnoticed."""
    told.owner.execute("alter table agent_audit disable trigger all")
    told.owner.execute("update agent_audit set actor = 'ben' where seq = 9")
    told.owner.execute("alter table agent_audit enable trigger all")
    assert "entry 9 was changed" in (await desk.verify_audit()).problem


async def test_eight_writers_at_once_never_fork_the_chain(hands: Hands, desk: Desk) -> None:
    """Eight connections changing things side by side must leave one whole chain, without a deadlock."""
    rounds = 12
    machines = [[hands.machine() for _ in range(rounds)] for _ in range(8)]
    before = hands.value("select max(seq) from agent_audit")
    failures: list[psycopg.Error] = []

    def work(place: int) -> None:
        connection = connect(hands.url)
        try:
            for equipment, writes in machines[place]:
                row = connection.execute(
                    "insert into agent_recommendations (equipment_id, issue_type, proposed_writes)"
                    " values (%s, 'x', %s::jsonb) returning recommendation_id",
                    (equipment, json.dumps(writes)),
                ).fetchone()
                assert row is not None
                with connection.transaction():
                    hands.approve_as(connection, row["recommendation_id"], f"person {place}")
                    connection.execute(
                        "insert into work_orders (equipment_id, description) values (%s, 'look')",
                        (equipment,),
                    )
        except psycopg.Error as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    state = await desk.verify_audit()
    assert state.problem == ""
    # created, approval given, approved, work order opened
    assert state.seq == before + 8 * rounds * 4


async def test_a_chain_that_grows_during_verification_is_no_problem(
    told: Hands, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries written after the head was read must not look like a mismatch."""
    read = desk._q.audit.read_chain
    fetch = desk._db.fetch

    async def growing(query: object, **values: object) -> object:
        if query is read:
            told.propose_elsewhere()
        return await fetch(query, **values)  # type: ignore[arg-type]

    monkeypatch.setattr(desk._db, "fetch", growing)
    assert (await desk.verify_audit()).problem == ""


# Python and SQL make the hash each by itself.

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
words = st.none() | text
details = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def any_database(
    fresh_database: Callable[..., str], drop_database: Callable[[str], None]
) -> Iterator[Connection]:
    url = fresh_database()
    with connect(url) as connection:
        yield connection
    drop_database(url)


@settings(max_examples=150, deadline=None)
@given(
    seq=st.integers(1, 2**62),
    at=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    words=st.tuples(text, text, text, text, text, words, words, words),
    detail=st.dictionaries(text, details, max_size=4),
)
def test_python_and_the_database_make_the_same_hash(
    any_database: Connection,
    seq: int,
    at: datetime,
    words: tuple[str | None, ...],
    detail: dict[str, object],
) -> None:
    """For any entry, unicode and nulls included, entry_hash must be the hash that audit_append stores."""
    actor, db_role, action, object_type, object_id, recommendation_id, old, new = words
    row = any_database.execute(
        "select to_char(e.at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') as at_text,"
        " e.detail::text as detail, encode(sha256(convert_to(audit_text(e), 'UTF8')), 'hex') as hash"
        " from jsonb_populate_record(null::agent_audit, %s::jsonb) as e",
        (
            json.dumps(
                {
                    "seq": seq,
                    "at": at.isoformat(),
                    "actor": actor,
                    "db_role": db_role,
                    "action": action,
                    "object_type": object_type,
                    "object_id": object_id,
                    "recommendation_id": recommendation_id,
                    "old_status": old,
                    "new_status": new,
                    "detail": detail,
                    "prev_hash": GENESIS,
                },
                ensure_ascii=False,
            ),
        ),
    ).fetchone()
    assert row is not None
    entry = AuditEntry(
        seq=seq,
        at_text=row["at_text"],
        actor=actor or "",
        db_role=db_role or "",
        action=action or "",
        object_type=object_type or "",
        object_id=object_id or "",
        recommendation_id=recommendation_id,
        old_status=old,
        new_status=new,
        detail=row["detail"],
        prev_hash=GENESIS,
        hash="",
    )
    assert entry_hash(entry) == row["hash"]


def entry_after(state: ChainState, **changes: object) -> AuditEntry:
    fields: dict[str, object] = {
        "seq": state.seq + 1,
        "at_text": "2026-01-01T00:00:00.000000Z",
        "actor": "anna",
        "db_role": "bridge_operator",
        "action": "approval.given",
        "object_type": "recommendation",
        "object_id": "R-1",
        "recommendation_id": "R-1",
        "old_status": None,
        "new_status": None,
        "detail": "{}",
        "prev_hash": state.hash,
        "hash": "",
    } | changes
    made = AuditEntry(**fields)  # type: ignore[arg-type]
    fields["hash"] = changes.get("hash", entry_hash(made))
    return AuditEntry(**fields)  # type: ignore[arg-type]


def test_a_chain_is_followed_to_the_first_thing_that_is_wrong() -> None:
    """follow_chain must stop before a gap, a wrong link and a wrong hash, each told by its number."""
    first = entry_after(ChainState())
    whole = follow_chain(ChainState(), [first])
    assert whole == ChainState(seq=1, hash=first.hash)
    assert follow_chain(whole, []) == whole
    assert "entry 2 is missing; the next one is 3" in follow_chain(whole, [entry_after(whole, seq=3)]).problem
    assert (
        "entry 2 does not follow entry 1"
        in follow_chain(whole, [entry_after(whole, prev_hash="b" * 64)]).problem
    )
    assert "entry 2 was changed" in follow_chain(whole, [entry_after(whole, hash="b" * 64)]).problem


@pytest.mark.parametrize(("seq", "end"), [(0, GENESIS), (2, "a" * 64), (1, "b" * 64)])
def test_a_head_that_says_otherwise_is_a_problem(seq: int, end: str) -> None:
    """compare_head must refuse another number and another hash, and keep a problem that was found before."""
    state = ChainState(seq=1, hash="a" * 64)
    assert compare_head(state, seq, end).problem
    assert compare_head(state, 1, "a" * 64) == state
    broken = ChainState(seq=1, hash="a" * 64, problem="found before")
    assert compare_head(broken, seq, end).problem == "found before"
