"""Do the rules in Python refuse what the triggers of PostgreSQL refuse, under the same names?"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from rig import COOLING, THROUGHPUT, Connection, Hands

from bridge.domain.lifecycle import COMMAND_ARROWS, CommandStatus, Role
from bridge.domain.limits import RefusalCode
from bridge.errors import IllegalTransition
from bridge.store.warehouse_rules import follow_command, may_not, person, writes_refusal

GOOD = {"tag_path": THROUGHPUT, "from": 450.0, "to": 405.0, "unit": "kg/h"}
STAGE = "[default]REACTOR_01/Stage"

CASES: list[Any] = [
    [],
    [GOOD],
    [GOOD, {"tag_path": COOLING, "from": False, "to": True, "unit": ""}],
    {"tag_path": THROUGHPUT},
    "text",
    None,
    [1],
    [{}],
    [{**GOOD, "more": 1}],
    [{key: value for key, value in GOOD.items() if key != "unit"}],
    [{**GOOD, "unit": None}],
    [{**GOOD, "tag_path": 7}],
    [{**GOOD, "to": "405"}],
    [{**GOOD, "to": None}],
    [{**GOOD, "from": None}],
    [{**GOOD, "to": True}],
    [{**GOOD, "from": True, "to": False}],
    [{**GOOD, "unit": "t/h"}],
    [{**GOOD, "tag_path": "[default]REACTOR_01/Nowhere"}],
    [{**GOOD, "tag_path": "[default]REACTOR_02/ThroughputSetpoint"}],
    [{**GOOD, "to": 100}],
    [{**GOOD, "to": 99.999}],
    [{**GOOD, "from": 500, "to": 800}],
    [{**GOOD, "from": 500, "to": 800.001}],
    [{**GOOD, "from": 800, "to": 400}],
    [{**GOOD, "from": 800, "to": 399.9}],
    [{"tag_path": COOLING, "from": 0, "to": 1, "unit": ""}],
    [{"tag_path": STAGE, "from": 1, "to": 2, "unit": ""}],
    [{"tag_path": STAGE, "from": 1, "to": 2.5, "unit": ""}],
    [{"tag_path": STAGE, "from": 1, "to": 2.0, "unit": ""}],
    [GOOD, {**GOOD, "to": 410}],
    [GOOD] * 51,
]


@pytest.mark.parametrize("writes", CASES, ids=lambda writes: json.dumps(writes)[:80])
def test_a_list_of_writes_is_refused_alike(hands: Hands, writes: object) -> None:
    """Each list must be taken by both, or refused by both under one name."""
    hands.publish(STAGE, data_type="Int16", low=0, high=10)
    said = hands.value("select writes_refusal(%s::jsonb, 'REACTOR_01')", json.dumps(writes))
    limits: Mapping[str, Mapping[str, object]] = {
        row["tag_path"]: row for row in hands.owner.execute("select * from tag_limits").fetchall()
    }
    found = writes_refusal(json.dumps(writes), "REACTOR_01", limits)
    assert (None if found is None else found.code.value) == (None if said is None else said.split(":")[0]), (
        said
    )


@pytest.mark.parametrize("text", ["", "[", "nonsense", '[{"to": NaN}]', "[" * 2000])
def test_what_is_no_json_is_refused_by_name(text: str) -> None:
    """A text that cannot be read must be refused as wrong form, never raise."""
    found = writes_refusal(text, "REACTOR_01", {})
    assert found is not None
    assert found.code is RefusalCode.WRONG_FORM


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_refused(value: float) -> None:
    """NaN, infinity and numbers past a double must be refused as wrong type."""
    found = writes_refusal(json.dumps([{**GOOD, "to": value}]), "REACTOR_01", {})
    assert found is not None
    assert found.code is RefusalCode.WRONG_TYPE


@pytest.mark.parametrize(
    "name", ["", "  ", "\t\n\r\f\v", "Anna", " Anna\n", "vera", "olav", "Ａnna", "\u00a0"]
)
def test_a_persons_name_is_read_alike(owner: Connection, name: str) -> None:
    """Both must take the same blanks away and nothing else."""
    row = owner.execute("select person(%s) as name", (name,)).fetchone()
    assert row is not None
    assert person(name) == row["name"]


def sessions(*rights: tuple[bool | None, bool | None]) -> list[dict[str, object]]:
    return [{"operator_id": "Anna", "may_decide": decide, "may_arm": arm} for decide, arm in rights]


@pytest.mark.parametrize("door", ["decide", "arm", "disarm"])
@pytest.mark.parametrize("name", ["anna", " ANNA", "ben", "Operations-Agent", "maker"])
def test_who_may_decide_is_answered_alike(hands: Hands, door: str, name: str) -> None:
    """Every combination of two sessions' rights must get the same answer from trigger and code."""
    hands.owner.execute("insert into agent_health (agent_id) values ('operations-agent'), ('maker')")
    kinds = [(decide, arm) for decide in (None, True, False) for arm in (None, True, False)]
    for rights in itertools.combinations_with_replacement(kinds, 2):
        hands.owner.execute("delete from operator_sessions")
        for number, (decide, arm) in enumerate(rights):
            hands.owner.execute(
                "insert into operator_sessions (session_id, operator_id, may_decide, may_arm)"
                " values (%s, 'Anna', %s, %s)",
                (f"p/{number}", decide, arm),
            )
        found = may_not(
            name,
            door=door,
            maker=None,
            agents=["operations-agent", "maker"],
            sessions=sessions(*rights),
        )
        assert (found is None) == _may(hands, door, name), rights


def _may(hands: Hands, door: str, name: str) -> bool:
    try:
        hands.owner.execute("select check_may(%s, %s)", (door, name))
    except psycopg.Error as error:
        if error.diag.message_detail != "not_permitted":
            raise
        return False
    return True


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    "pair", list(itertools.product(CommandStatus, repeat=2)), ids=lambda pair: "-".join(pair)
)
def test_a_command_follows_the_arrows_of_the_lifecycle_only(
    role: Role, pair: tuple[CommandStatus, CommandStatus]
) -> None:
    """Every arrow that the lifecycle does not give to this party must be refused."""
    if role in COMMAND_ARROWS.get(pair, frozenset()):
        follow_command(*pair, role)
    else:
        with pytest.raises(IllegalTransition):
            follow_command(*pair, role)
