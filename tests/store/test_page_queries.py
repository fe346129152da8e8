"""Do the lists behind the HMI's pages come in their order, within their limit, with types a page can compare?"""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from rig import COOLING, THROUGHPUT, Hands, Row, one_write, sql

from bridge.store.queries import Queries, Query

LONG = "Überhitzung 過熱 " * 400  # more than 5,000 characters
OPEN = ["pending", "deferred", "approved", "executing"]
ENDED = ["executed", "failed", "rejected", "expired", "superseded"]


def ask(hands: Hands, query: Query, **values: object) -> list[Row]:
    return hands.operator.execute(sql(query.statement), values).fetchall()


def ids(rows: list[Row]) -> list[str]:
    return [row["recommendation_id"] for row in rows]


def turn_back(hands: Hands, table: str, column: str, seconds: float, key: str, value: str) -> None:
    """What waiting would do; the triggers are off, because they would set the clock right again."""
    with hands.owner.transaction():
        hands.owner.execute("set local session_replication_role = replica")
        hands.owner.execute(
            sql(f"update {table} set {column} = {column} - make_interval(secs => %s) where {key} = %s"),
            (seconds, value),
        )


def recommend(hands: Hands, equipment_id: str, issue_type: str, severity: str = "low") -> str:
    row = hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, severity, root_cause_analysis)"
        " values (%s, %s, %s, %s) returning recommendation_id",
        (equipment_id, issue_type, severity, LONG),
    ).fetchone()
    assert row is not None
    return str(row["recommendation_id"])


def reject(hands: Hands, recommendation_id: str, reason: str) -> None:
    hands.operator.execute(
        "update agent_recommendations set status = 'rejected', decided_by_operator = 'anna',"
        " rejection_reason = %s where recommendation_id = %s",
        (reason, recommendation_id),
    )


def test_five_hundred_open_ones_with_long_texts_come_whole_and_most_urgent_first(
    hands: Hands, named: Queries
) -> None:
    """Of 510 open items the 500 most urgent must come, critical and oldest first, texts uncut."""
    hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, severity, root_cause_analysis,"
        " created_timestamp) select 'M' || n, 'x', (array['low', 'critical', 'medium', 'high'])[1 + n %% 4], %s,"
        " now() - n * interval '1 second' from generate_series(1, 510) n",
        (LONG,),
    )
    rows = ask(hands, named.recommendations.list_open_recommendations)
    assert len(rows) == 500
    order = ["critical", "high", "medium", "low"]
    keys = [(order.index(row["severity"]), row["created_timestamp"]) for row in rows]
    assert keys == sorted(keys)
    assert {row["root_cause_analysis"] for row in rows} == {LONG}
    assert {row["lookers"] for row in rows} == {""}


def test_pages_of_open_ones_make_the_whole_list(hands: Hands, named: Queries) -> None:
    """Pages one after the other: every open item once, waiting ones first, each with the same counts."""
    hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type, severity, root_cause_analysis,"
        " created_timestamp) select 'M' || n, 'x', (array['low', 'critical', 'medium', 'high'])[1 + n %% 4], %s,"
        " now() - n * interval '1 second' from generate_series(1, 40) n",
        (LONG,),
    )
    made = {status: hands.recommendation_in(status) for status in (*OPEN, *ENDED)}
    query = named.recommendations.page_of_open
    pages = [ask(hands, query, first_row=first, max_rows=20) for first in (0, 20, 40)]
    rows = [row for page in pages for row in page]
    assert [len(page) for page in pages] == [20, 20, 4]
    assert [{row["first_row"] for row in page} for page in pages] == [{0}, {20}, {40}]
    listed = ask(hands, named.recommendations.list_open_recommendations)
    assert sorted(ids(rows)) == sorted(ids(listed))
    order = ["critical", "high", "medium", "low"]
    keys = [
        (row["status"] != "pending", order.index(row["severity"]), row["created_timestamp"]) for row in rows
    ]
    assert keys == sorted(keys)
    assert {row["recommendation_id"] for row in rows[-3:]} == {made[status] for status in OPEN[1:]}
    counts = {
        tuple(row[f"{name}_total"] for name in ("open", "pending", "deferred", "approved", "executing"))
        for row in rows
    }
    assert counts == {(44, 41, 1, 1, 1)}
    whole = {row["recommendation_id"]: row for row in listed}
    for row in rows:
        other = whole[row["recommendation_id"]]
        same = [name for name in other if not name.endswith(("age_s", "ago_s", "left_s", "in_s"))]
        assert {name: row[name] for name in same} == {name: other[name] for name in same}


@pytest.mark.parametrize(
    ("first_row", "begins", "shown"),
    [(-20, 0, 3), (4, 3, 3), (6, 6, 1), (7, 6, 1), (900, 6, 1), (None, 0, 3)],
)
def test_a_page_beyond_the_end_is_the_last_one(
    hands: Hands, named: Queries, first_row: int | None, begins: int, shown: int
) -> None:
    """Lists shrink while one reads; a page that is gone must not look as if nothing waited."""
    query = named.recommendations.page_of_open
    assert ask(hands, query, first_row=first_row, max_rows=3) == []
    for number in range(7):
        recommend(hands, f"M{number}", "x")
    rows = ask(hands, query, first_row=first_row, max_rows=3)
    assert [row["first_row"] for row in rows] == [begins] * shown


def test_a_page_of_open_ones_knows_lookers_approvals_and_limits(hands: Hands, named: Queries) -> None:
    """What belongs to a card must come with it, and with no other."""
    made, bare = hands.propose(approvals_required=2), recommend(hands, "NOWHERE", "x")
    hands.approve(made, by="anna")
    hands.operator.execute(
        "insert into operator_sessions (operator_id, looking_at, looked_at_timestamp)"
        " values ('ben', %s, now()), ('carl', %s, now() - interval '1 minute')",
        (made, made),
    )
    rows = {
        row["recommendation_id"]: row
        for row in ask(hands, named.recommendations.page_of_open, first_row=0, max_rows=20)
    }
    assert (rows[made]["lookers"], rows[bare]["lookers"]) == ("ben", "")
    assert (rows[made]["approvals_given"], rows[made]["approvers"]) == (1, "anna")
    assert (rows[bare]["approvals_given"], rows[bare]["approvers"]) == (0, "")
    assert THROUGHPUT in json.loads(rows[made]["limits"])
    assert json.loads(rows[bare]["limits"]) == {}


def test_the_header_names_where_something_critical_waits(hands: Hands, named: Queries) -> None:
    """Each equipment once, the one that waits longest first, five names at most; nothing that is decided."""

    def said() -> str:
        (row,) = ask(hands, named.health.watch_agent, agent_id="", offline_after_s=30.0)
        return str(row["critical_equipment"])

    def age(recommendation_id: str, seconds: float) -> None:
        turn_back(
            hands,
            "agent_recommendations",
            "created_timestamp",
            seconds,
            "recommendation_id",
            recommendation_id,
        )

    recommend(hands, "CALM", "x", "high")
    assert said() == ""
    for place, name in enumerate(("R4", "R2")):
        for issue in ("a", "b"):
            age(recommend(hands, name, issue, "critical"), 10 * place)
    assert said() == "R2, R4"
    reject(hands, recommend(hands, "GONE", "x", "critical"), "no")
    assert said() == "R2, R4"
    for number in range(3):
        age(recommend(hands, f"S{number}", "x", "critical"), 100 - number)
    assert said() == "S0, S1, S2, R2, R4"
    for number in range(2):
        age(recommend(hands, f"T{number}", "x", "critical"), -1 - number)
    assert said() == "S0, S1, S2, R2, R4 and 2 more"


def test_what_a_page_compares_are_numbers_and_moments(hands: Hands, named: Queries) -> None:
    """Ages must be double precision, counts integers, moments with a time zone; nothing is a Decimal."""
    made = hands.propose(approvals_required=2)
    hands.approve(made, by="anna")
    hands.command_in("unknown")
    q = named
    asked: list[tuple[Query, dict[str, object]]] = [
        (q.recommendations.list_open_recommendations, {}),
        (q.recommendations.page_of_open, {"first_row": 0, "max_rows": 20}),
        (q.recommendations.get_recommendation, {"recommendation_id": made}),
        (q.recommendations.list_for_equipment, {"equipment_id": "REACTOR_01", "max_rows": 5}),
        (q.commands.list_live, {"max_rows": 5}),
        (q.audit.search_audit, {"actor": "", "action": "", "object_id": "", "hours": 1.0, "max_rows": 5}),
        (q.audit.audit_trail, {"recommendation_id": made}),
        (q.control.get_control, {}),
        (q.health.watch_agent, {"agent_id": "", "offline_after_s": 30.0}),
    ]
    for query, values in asked:
        rows = ask(hands, query, **values)
        assert rows, query.full_name
        for name, value in (
            (name, value) for row in rows for name, value in row.items() if value is not None
        ):
            where = f"{query.full_name} {name}"
            assert type(value) in (str, int, float, bool, datetime), where
            if name.endswith("_s"):
                assert type(value) is float, where
            if name.endswith(("_timestamp", "_time")) or name == "at":
                assert value.tzinfo is not None, where


def test_approvals_given_count_for_the_writes_as_they_are_now(hands: Hands, named: Queries) -> None:
    """One of two approvals must show with its name, and not after the writes have changed."""
    made = hands.propose(approvals_required=2)
    hands.approve(made, by="Ελένη")

    def shown() -> tuple[int, str]:
        rows = ask(hands, named.recommendations.get_recommendation, recommendation_id=made)
        listed = ask(hands, named.recommendations.list_open_recommendations)
        pairs = {(row["approvals_given"], row["approvers"]) for row in (*rows, *listed)}
        assert len(pairs) == 1
        return pairs.pop()

    assert shown() == (1, "Ελένη")
    hands.revise(made, [one_write(target=400.0)])
    assert shown() == (0, "")


def test_the_limits_of_the_equipment_come_along(hands: Hands, named: Queries) -> None:
    """Every card must carry the limits of its own equipment's tags, and an empty object where there are none."""
    made, bare = hands.propose(), recommend(hands, "NOWHERE", "x")
    rows = {
        row["recommendation_id"]: row for row in ask(hands, named.recommendations.list_open_recommendations)
    }
    for other in (
        ask(hands, named.recommendations.page_of_open, first_row=0, max_rows=20),
        ask(hands, named.recommendations.get_recommendation, recommendation_id=made),
        ask(hands, named.recommendations.list_for_equipment, equipment_id="REACTOR_01", max_rows=20),
    ):
        (same,) = [row["limits"] for row in other if row["recommendation_id"] == made]
        assert json.loads(same) == json.loads(rows[made]["limits"])
    limits = json.loads(rows[made]["limits"])
    assert limits[THROUGHPUT]["tolerance"] == hands.value(
        "select tolerance from tag_limits where tag_path = %s", THROUGHPUT
    )
    assert {THROUGHPUT, COOLING} <= set(limits)
    assert all("REACTOR_01" in tag for tag in limits)
    assert {key: limits[THROUGHPUT][key] for key in ("low", "high", "max_step")} == {
        "low": 100,
        "high": 800,
        "max_step": 400,
    }
    assert json.loads(rows[bare]["limits"]) == {}


def test_just_finished_ones_come_newest_first_and_leave_in_time(hands: Hands, named: Queries) -> None:
    """Outcomes of the last minute must be listed, older and superseded ones and open ones not."""
    made = {status: hands.recommendation_in(status) for status in (*OPEN, *ENDED)}
    wanted = [made[status] for status in ("expired", "rejected", "failed", "executed")]
    for place, one in enumerate(wanted):
        turn_back(hands, "agent_recommendations", "updated_timestamp", 10 * place, "recommendation_id", one)
    rows = ask(hands, named.recommendations.list_just_finished, within_s=60.0, max_rows=10)
    assert ids(rows) == wanted
    assert rows[1]["rejection_reason"] == "not now"
    assert 30 <= rows[3]["finished_ago_s"] < 60
    assert ids(ask(hands, named.recommendations.list_just_finished, within_s=15.0, max_rows=10)) == wanted[:2]
    assert ids(ask(hands, named.recommendations.list_just_finished, within_s=60.0, max_rows=1)) == wanted[:1]


def test_of_one_equipment_the_open_ones_come_first(hands: Hands, named: Queries) -> None:
    """Open by severity, then finished by age, and nothing of any other equipment."""
    finished = [recommend(hands, "M1", f"old{number}", "critical") for number in range(2)]
    for one in finished:
        reject(hands, one, "no")
    low, high = recommend(hands, "M1", "a", "low"), recommend(hands, "M1", "b", "high")
    recommend(hands, "M2", "a", "critical")
    rows = ask(hands, named.recommendations.list_for_equipment, equipment_id="M1", max_rows=10)
    assert ids(rows) == [high, low, *reversed(finished)]
    assert [row["finished_ago_s"] is None for row in rows] == [True, True, False, False]
    assert len(ask(hands, named.recommendations.list_for_equipment, equipment_id="M1", max_rows=3)) == 3


def test_similar_ones_are_earlier_finished_and_of_the_same_equipment_first(
    hands: Hands, named: Queries
) -> None:
    """Same equipment and issue first, then the issue elsewhere, each newest first; never open, later or itself."""
    elsewhere = [recommend(hands, f"M{number}", "hot") for number in (2, 3)]
    here = [recommend(hands, "M1", "hot")]
    reject(hands, here[0], "先に点検")
    here.append(recommend(hands, "M1", "hot"))
    for one in (*elsewhere, here[1]):
        reject(hands, one, "no")
    other_issue = recommend(hands, "M1", "cold")
    reject(hands, other_issue, "no")
    recommend(hands, "M4", "hot")  # still open
    asked = recommend(hands, "M1", "hot")
    later = recommend(hands, "M5", "hot")
    reject(hands, later, "no")
    rows = ask(hands, named.recommendations.list_similar, recommendation_id=asked, max_rows=10)
    assert ids(rows) == [*reversed(here), *reversed(elsewhere)]
    assert [row["same_equipment"] for row in rows] == [True, True, False, False]
    assert (rows[1]["decision"], rows[1]["decided_by"], rows[1]["reason"]) == ("rejected", "anna", "先に点検")
    assert (
        ids(ask(hands, named.recommendations.list_similar, recommendation_id=asked, max_rows=3))
        == ids(rows)[:3]
    )
    assert ask(hands, named.recommendations.list_similar, recommendation_id="R-none", max_rows=3) == []


@pytest.mark.parametrize(
    ("status", "decision"),
    [("executed", "approved"), ("failed", "approved"), ("expired", "approved"), ("superseded", "superseded")],
)
def test_a_similar_one_says_how_it_was_decided(
    hands: Hands, named: Queries, status: str, decision: str
) -> None:
    """What was approved must say so and by whom, whatever became of it."""
    earlier = hands.recommendation_in(status)
    asked = recommend(hands, "M9", hands.recommendation(earlier)["issue_type"])
    rows = ask(hands, named.recommendations.list_similar, recommendation_id=asked, max_rows=3)
    assert [(row["recommendation_id"], row["status"], row["decision"]) for row in rows] == [
        (earlier, status, decision)
    ]
    assert rows[0]["decided_by"] == ("anna" if decision == "approved" else None)
    assert json.loads(rows[0]["writes"])[0]["unit"] == "rpm"


def test_live_commands_come_unknown_first(hands: Hands, named: Queries) -> None:
    """Unknown, executing, pending, each with who approved it; finished ones never."""
    pending, executing, unknown = (hands.command_in(status) for status in ("pending", "executing", "unknown"))
    for status in ("executed", "failed", "cancelled"):
        hands.command_in(status)
    rows = ask(hands, named.commands.list_live, max_rows=10)
    assert [row["command_id"] for row in rows] == [unknown, executing, pending]
    assert {row["approvers"] for row in rows} == {"anna"}
    assert [row["sent_ago_s"] is None for row in rows] == [False, False, True]
    assert [row["command_id"] for row in ask(hands, named.commands.list_live, max_rows=1)] == [unknown]


SEARCHES: dict[str, tuple[dict[str, object], set[str]]] = {
    "a part of the actor in capitals": ({"actor": "ÉLÈNE"}, {"recommendation.rejected"}),
    "a part of the action": ({"action": "CREATED"}, {"recommendation.created"}),
    "both": ({"actor": "hélène", "action": "created"}, set()),
    "a per cent sign": ({"actor": "%"}, set()),
    "an underscore": ({"actor": "_"}, {"recommendation.created"}),
    "nothing": ({}, {"recommendation.created", "recommendation.rejected"}),
}


@pytest.mark.parametrize("case", sorted(SEARCHES))
@pytest.mark.parametrize("empty", [None, ""])
def test_the_audit_is_searched_by_parts_of_the_text(
    hands: Hands, named: Queries, case: str, empty: str | None
) -> None:
    """Each filter must mean exactly its letters, in capitals or not; null and empty filter nothing."""
    filters, actions = SEARCHES[case]
    made = recommend(hands, "M1", "hot")
    hands.operator.execute(
        "update agent_recommendations set status = 'rejected', decided_by_operator = 'Hélène',"
        " rejection_reason = 'no' where recommendation_id = %s",
        (made,),
    )
    values: dict[str, object] = {"actor": empty, "action": empty, "object_id": empty, **filters}
    values["object_id"] = made.lower()
    rows = ask(hands, named.audit.search_audit, **values, hours=1.0, max_rows=100)
    assert {row["action"] for row in rows} == actions


def test_the_audit_is_found_by_recommendation_newest_first_within_the_hours(
    hands: Hands, named: Queries
) -> None:
    """A recommendation's number must find its commands too; limit and hours must hold; long texts stay away."""
    command = hands.command_in("executed")
    made = hands.command(command)["recommendation_id"]

    def search(object_id: str, *, hours: float = 1.0, max_rows: int = 100) -> list[Row]:
        return ask(
            hands,
            named.audit.search_audit,
            actor=None,
            action=None,
            object_id=object_id,
            hours=hours,
            max_rows=max_rows,
        )

    rows = search(made)
    numbers = [row["seq"] for row in rows]
    assert numbers == sorted((row["seq"] for row in hands.trail(made)), reverse=True)
    assert {row["object_type"] for row in rows} == {"recommendation", "command"}
    assert {row["object_type"] for row in search(command)} == {"command"}
    assert [row["seq"] for row in search(made, max_rows=2)] == numbers[:2]
    assert not any("root_cause_analysis" in json.loads(row["detail"]) for row in rows)
    oldest = min(numbers)
    turn_back(hands, "agent_audit", "at", 7200.0, "seq", str(oldest))
    assert [row["seq"] for row in search(made)] == numbers[:-1]
    assert [row["seq"] for row in search(made, hours=3.0)] == numbers


def test_no_list_of_a_page_grows_beyond_500(hands: Hands, named: Queries) -> None:
    """A page that asks for a million rows must get 500."""
    hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type) select 'M1', 'x' || n"
        " from generate_series(1, 510) n"
    )
    hands.operator.execute(
        "insert into operator_sessions (operator_id) select 'p' || n from generate_series(1, 510) n"
    )
    many = 1_000_000
    everything = {"actor": "", "action": "", "object_id": "", "hours": 24.0, "max_rows": many}
    assert len(ask(hands, named.audit.search_audit, **everything)) == 500
    assert len(ask(hands, named.sessions.list_operator_sessions, max_rows=many)) == 500
    assert len(ask(hands, named.recommendations.list_for_equipment, equipment_id="M1", max_rows=many)) == 500
