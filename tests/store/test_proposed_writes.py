"""Does the database refuse every list of writes that a limit forbids, at insert, at revision and at approval?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import COOLING, STAGE, THROUGHPUT, Hands, Write, connect, one_write

from bridge.domain.anomaly import Severity
from bridge.domain.approval import digest_of
from bridge.domain.limits import RefusalCode
from bridge.domain.recommendation import Proposal, ProposedWrite, writes_from_json
from bridge.errors import RefusedByRule
from bridge.store.postgres import PostgresStore

OTHER_EQUIPMENT = "[default]REACTOR_02/ThroughputSetpoint"


def cooling(present: object = False, target: object = True) -> Write:
    return one_write(COOLING, present, target, "")


def stage(present: object = 3, target: object = 5) -> Write:
    return one_write(STAGE, present, target, "")


def without(key: str) -> Write:
    return {name: value for name, value in one_write().items() if name != key}


REFUSED_LISTS: dict[str, tuple[object, str]] = {
    "unlisted tag": ([one_write("[default]REACTOR_01/Temperature")], "not_listed"),
    "tag of other equipment": ([one_write(OTHER_EQUIPMENT)], "not_listed"),
    "tag in other letters": ([one_write(THROUGHPUT.lower())], "not_listed"),
    "below the range": ([one_write(present=150.0, target=99.999)], "out_of_range"),
    "above the range": ([one_write(present=700.0, target=800.001)], "out_of_range"),
    "step down too large": ([one_write(present=600.0, target=199.0)], "step_too_large"),
    "step up too large": ([one_write(present=300.0, target=701.0)], "step_too_large"),
    "boolean for a number": ([one_write(present=True, target=False)], "wrong_type"),
    "number for a boolean": ([cooling(0, 1)], "wrong_type"),
    "number from, boolean to": ([one_write(present=450.0, target=True)], "wrong_type"),
    "fraction for an integer": ([stage(3, 4.5)], "wrong_type"),
    "text for a number": ([one_write(target="405")], "wrong_type"),
    "NaN as text": ([one_write(target="NaN")], "wrong_type"),
    "infinity as text": ([one_write(target="Infinity")], "wrong_type"),
    "null": ([one_write(target=None)], "wrong_type"),
    "nothing to start from": ([one_write(present=None)], "wrong_type"),
    "a list for a number": ([one_write(target=[405.0])], "wrong_type"),
    "wrong unit": ([one_write(unit="t/h")], "wrong_unit"),
    "no unit": ([one_write(unit="")], "wrong_unit"),
    "a tag twice": ([one_write(target=405.0), one_write(target=400.0)], "wrong_form"),
    "missing tag_path": ([without("tag_path")], "wrong_form"),
    "missing from": ([without("from")], "wrong_form"),
    "missing to": ([without("to")], "wrong_form"),
    "missing unit": ([without("unit")], "wrong_form"),
    "an extra key": ([{**one_write(), "priority": 1}], "wrong_form"),
    "tag_path is a number": ([one_write() | {"tag_path": 7}], "wrong_form"),
    "unit is null": ([one_write() | {"unit": None}], "wrong_form"),
    "an entry that is no object": (["write it"], "wrong_form"),
    "more than 50": ([one_write()] * 51, "wrong_form"),
    "an object instead of a list": ({"tag_path": THROUGHPUT}, "wrong_form"),
    "a text instead of a list": ("reduce", "wrong_form"),
    "null instead of a list": (None, "wrong_form"),
    "the second of two is wrong": ([one_write(), cooling(0, 1)], "wrong_type"),
}


@pytest.fixture(scope="module")
def shared(
    fresh_database: Callable[..., str], published_template: str, drop_database: Callable[[str], None]
) -> Iterator[Hands]:
    """One database for all refusals, which by definition leave nothing behind."""
    url = fresh_database(published_template)
    made = Hands(url)
    made.publish(STAGE, data_type="Int16", low=0, high=10)
    yield made
    made.close()
    drop_database(url)


@pytest.mark.parametrize("case", sorted(REFUSED_LISTS))
def test_a_proposal_that_a_limit_forbids_is_refused_by_name(shared: Hands, case: str) -> None:
    """An insert with such writes must be refused with the rule's own code, to agent and owner alike."""
    writes, code = REFUSED_LISTS[case]
    for connection in (shared.agent, shared.owner):
        with shared.refuses(code):
            connection.execute(
                "insert into agent_recommendations (equipment_id, issue_type, proposed_writes)"
                " values ('REACTOR_01', 'refused', %s::jsonb)",
                (json.dumps(writes),),
            )


@pytest.fixture(scope="module")
def standing(shared: Hands) -> str:
    """A pending recommendation that the revisions below try to spoil."""
    return shared.propose(issue_type="standing")


@pytest.mark.parametrize("case", sorted(REFUSED_LISTS))
def test_a_revision_that_a_limit_forbids_is_refused_by_name(shared: Hands, standing: str, case: str) -> None:
    """A revision must pass the same rules as the proposal, and leave the old writes in place."""
    writes, code = REFUSED_LISTS[case]
    with shared.refuses(code):
        shared.agent.execute(
            "update agent_recommendations set proposed_writes = %s::jsonb where recommendation_id = %s",
            (json.dumps(writes), standing),
        )


NO_LONGER_RIGHT = {
    "the tag is withdrawn": ("delete from tag_limits where tag_path = %s", "not_listed"),
    "the tag moved to other equipment": (
        "update tag_limits set equipment_id = 'REACTOR_02' where tag_path = %s",
        "not_listed",
    ),
    "the range is narrower": ("update tag_limits set low = 410 where tag_path = %s", "out_of_range"),
    "the step is smaller": ("update tag_limits set max_step = 44 where tag_path = %s", "step_too_large"),
    "the unit is another": ("update tag_limits set unit = 't/h' where tag_path = %s", "wrong_unit"),
    "the type is another": (
        "update tag_limits set data_type = 'Boolean', low = 0, high = 1 where tag_path = %s",
        "wrong_type",
    ),
}


@pytest.mark.parametrize("case", sorted(NO_LONGER_RIGHT))
def test_an_approval_passes_the_limits_of_that_moment(shared: Hands, standing: str, case: str) -> None:
    """Limits that changed after the proposal must refuse the approval by name."""
    statement, code = NO_LONGER_RIGHT[case]
    with shared.owner.transaction(force_rollback=True):
        shared.owner.execute(statement.encode(), (THROUGHPUT,))
        with pytest.raises(psycopg.Error) as caught, shared.owner.transaction():
            shared.approve_as(shared.owner, standing, "anna")
    assert caught.value.diag.message_detail == code


@pytest.mark.parametrize("case", sorted(NO_LONGER_RIGHT))
def test_a_command_passes_the_limits_of_that_moment(shared: Hands, case: str) -> None:
    """Limits that changed after the approval must refuse the command by name, on every route."""
    statement, code = NO_LONGER_RIGHT[case]
    with shared.owner.transaction(force_rollback=True):
        made = shared.owner.execute(
            "insert into agent_recommendations (equipment_id, issue_type, proposed_writes)"
            " values ('REACTOR_01', 'to be approved', %s::jsonb) returning recommendation_id",
            (json.dumps([one_write()]),),
        ).fetchone()
        assert made is not None
        shared.approve_as(shared.owner, made["recommendation_id"], "anna")
        shared.owner.execute(statement.encode(), (THROUGHPUT,))
        with pytest.raises(psycopg.Error) as caught, shared.owner.transaction():
            shared.owner.execute(
                "insert into agent_commands (recommendation_id, equipment_id, tag_path, new_value)"
                " values (%s, 'REACTOR_01', %s, 405)",
                (made["recommendation_id"], THROUGHPUT),
            )
    assert caught.value.diag.message_detail == code


@pytest.mark.parametrize(
    "writes",
    [
        [],
        [one_write(present=600.0, target=200.0)],  # the whole step
        [one_write(present=400.0, target=100.0)],  # down to the lower limit
        [one_write(present=500.0, target=800.0)],  # up to the upper limit
        [one_write(present=450, target=405)],
        [cooling(True, False)],
        [one_write(), cooling()],
        [stage(3, 5)],
        [stage(3, 5.0)],
        [one_write(present=0.1 + 0.2, target=300.0)],
    ],
    ids=repr,
)
def test_a_proposal_within_all_limits_is_taken(shared: Hands, writes: list[Write]) -> None:
    """Values on the limits themselves are inside, and whole numbers may be written as such."""
    with shared.agent.transaction(force_rollback=True):
        shared.agent.execute(
            "insert into agent_recommendations (equipment_id, issue_type, proposed_writes)"
            " values ('REACTOR_01', 'allowed', %s::jsonb)",
            (json.dumps(writes),),
        )


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e-400"])
def test_a_number_that_no_double_can_hold_is_refused(shared: Hands, number: str) -> None:
    """JSON numbers beyond a double must be refused as data, not rounded to infinity or nothing."""
    text = json.dumps([one_write()]).replace("405.0", number)
    with shared.unchanged(), pytest.raises(psycopg.errors.NumericValueOutOfRange):
        shared.agent.execute(
            "insert into agent_recommendations (equipment_id, issue_type, proposed_writes)"
            " values ('REACTOR_01', 'refused', %s::jsonb)",
            (text,),
        )


@pytest.mark.parametrize("count", [49, 50])
def test_up_to_fifty_writes_are_taken(shared: Hands, count: int) -> None:
    """Fifty different tags are the most that one recommendation may move."""
    equipment, writes = shared.machine(writes=count)
    assert shared.propose(equipment_id=equipment, writes=writes)


async def test_the_store_brings_refusals_up_by_name(store: PostgresStore, hands: Hands) -> None:
    """A proposal the database refuses must arrive as RefusedByRule with the same code, at propose and revise."""

    def proposal(target: float) -> Proposal:
        return Proposal(
            equipment_id="REACTOR_01",
            issue_type="high_temperature",
            severity=Severity.HIGH,
            confidence=0.9,
            root_cause="cooling water is warm",
            action="Reduce throughput",
            expected_outcome="cooler",
            writes=(ProposedWrite(tag_path=THROUGHPUT, present=600.0, target=target, unit="kg/h"),),
            readings={"temperature": 91.0},
        )

    with hands.unchanged(), pytest.raises(RefusedByRule) as caught:
        await store.propose(proposal(900.0), 60.0)
    assert caught.value.refusal.code is RefusalCode.OUT_OF_RANGE
    made = await store.propose(proposal(405.0), 60.0)
    assert made is not None
    assert await store.propose(proposal(400.0), 60.0) is None  # one is open already
    with hands.unchanged(), pytest.raises(RefusedByRule) as caught:
        await store.revise(made, proposal(150.0), 60.0)
    assert caught.value.refusal.code is RefusalCode.STEP_TOO_LARGE
    assert await store.revise(made, proposal(400.0), 60.0)
    standing = await store.latest_recommendation("REACTOR_01", "high_temperature")
    assert standing is not None
    assert writes_from_json(standing.writes_text)[0].target == 400.0
    hands.approve(made)
    assert not await store.revise(made, proposal(405.0), 60.0)


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
entries = st.fixed_dictionaries(
    {
        "tag_path": texts,
        "from": st.booleans() | finite | st.integers(-(10**18), 10**18),
        "to": st.booleans() | finite | st.integers(-(10**18), 10**18),
        "unit": texts,
    }
)


@settings(max_examples=150, deadline=None)
@given(writes=st.lists(entries, max_size=5))
def test_python_and_the_database_make_the_same_digest(shared: Hands, writes: list[Write]) -> None:
    """For any writes, digest_of over the jsonb's own text must be what the trigger stores as write_digest."""
    row = shared.owner.execute(
        "select w::text as text, digest_of_writes(w) as digest from (values (%s::jsonb)) as given (w)",
        (json.dumps(writes, ensure_ascii=False),),
    ).fetchone()
    assert row is not None
    assert digest_of(row["text"]) == row["digest"]
    back = [write.as_json() for write in writes_from_json(row["text"])]
    assert [_as_doubles(write) for write in back] == [_as_doubles(write) for write in writes]


def _as_doubles(write: Mapping[str, object]) -> list[object]:
    """What a write means: numbers as the doubles that the command table holds, booleans as themselves."""
    return [
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for value in (write["tag_path"], write["from"], write["to"], write["unit"])
    ]


@settings(max_examples=60, deadline=None)
@given(one=st.lists(entries, max_size=3), other=st.lists(entries, max_size=3))
def test_different_writes_have_different_digests(shared: Hands, one: list[Write], other: list[Write]) -> None:
    """Two lists have one digest only when PostgreSQL calls them equal and prints them alike."""
    row = shared.owner.execute(
        "select digest_of_writes(%(a)s::jsonb) = digest_of_writes(%(b)s::jsonb) as same_digest,"
        " %(a)s::jsonb::text = %(b)s::jsonb::text as same",
        {"a": json.dumps(one), "b": json.dumps(other)},
    ).fetchone()
    assert row is not None
    assert row["same_digest"] is row["same"]


def test_the_digest_of_a_proposal_is_kept_by_the_database_and_not_by_the_client(shared: Hands) -> None:
    """A write_digest that a client gives must be replaced by that of the writes, at insert and at update."""
    with connect(shared.url) as connection, connection.transaction(force_rollback=True):
        made = connection.execute(
            "insert into agent_recommendations (equipment_id, issue_type, proposed_writes, write_digest)"
            " values ('REACTOR_01', 'digest', %s::jsonb, 'forged') returning recommendation_id, write_digest,"
            " digest_of_writes(proposed_writes) as right_digest",
            (json.dumps([one_write()]),),
        ).fetchone()
        assert made is not None
        assert made["write_digest"] == made["right_digest"]
        row = connection.execute(
            "update agent_recommendations set write_digest = 'forged' where recommendation_id = %s"
            " returning write_digest",
            (made["recommendation_id"],),
        ).fetchone()
        assert row == {"write_digest": made["right_digest"]}
