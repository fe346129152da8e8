"""Are the statements in Databricks SQL the same promises as those in PostgreSQL's, and is each one used?"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bridge.errors import FixCode, QueryError
from bridge.store import queries
from bridge.store.queries import DATABRICKS, Dialect, Parameter, Queries, Query
from bridge.store.warehouse_rules import arrows_of, check_arrows
from bridge.store.warehouse_statement import MOST_MARKERS, written_out

ROOT = Path(__file__).parent.parent.parent
OWN = sorted(ROOT.glob(f"named_queries/*/*{DATABRICKS}"))

POSTGRES = """-- name: look
-- what: Look.
-- param: tag text
-- param: limit_s double precision
-- role: bridge_agent
select :tag, :limit_s
"""


def folder(path: Path, *, delta: str, postgres: str = POSTGRES) -> Path:
    place = path / "commands"
    place.mkdir()
    (place / "look.sql").write_text(postgres, encoding="utf-8")
    (place / f"look{DATABRICKS}").write_text(delta, encoding="utf-8")
    return path


def test_the_form_for_the_warehouse_takes_the_place(tmp_path: Path) -> None:
    """One name must give each database its own statement, and either loader leave the other's alone."""
    delta = POSTGRES.replace("select :tag, :limit_s", "select :limit_s, :tag, :write_key").replace(
        "-- role", "-- param: write_key text\n-- role"
    )
    root = folder(tmp_path, delta=delta)
    assert queries.load(root).commands.look.sql == "select :tag, :limit_s"
    assert queries.load(root, Dialect.DATABRICKS).commands.look.sql == "select :limit_s, :tag, :write_key"


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("-- param: tag text\n", "", 4, "parameter tag of look.sql is missing"),
        ("-- param: tag text\n", "-- param: tag bigint\n", 3, "tag is text in look.sql, found bigint"),
        (
            "-- role: bridge_agent",
            "-- role: bridge_operator",
            5,
            "wanted the roles of look.sql, bridge_agent",
        ),
        ("-- name: look", "-- name: glance", 1, "the header says 'glance', the file is called 'look'"),
        ("select :tag,", "select", 3, "parameter tag is declared and never used"),
        (
            "-- param: tag text",
            "-- param: tag text, unused here: why",
            3,
            "is said to be unused, and is used",
        ),
    ],
)
def test_a_form_that_differs_is_an_error_with_file_and_line(
    tmp_path: Path, before: str, after: str, line: int, words: str
) -> None:
    """A missing or other parameter, another role or another name must be told at start, with its place."""
    delta = POSTGRES.replace(before, after)
    if words.startswith("parameter tag of"):
        delta = delta.replace("select :tag, ", "select ")
    with pytest.raises(QueryError) as caught:
        queries.load(folder(tmp_path, delta=delta), Dialect.DATABRICKS)
    assert f"look{DATABRICKS}:{line}: " in str(caught.value)
    assert words in str(caught.value)


def test_a_parameter_without_a_meaning_says_so(tmp_path: Path) -> None:
    """Unused and declared as such must pass for the warehouse, and never for PostgreSQL."""
    unused = POSTGRES.replace("-- param: tag text", "-- param: tag text, unused here: no tags").replace(
        ":tag, ", ""
    )
    root = folder(tmp_path, delta=unused)
    assert queries.load(root, Dialect.DATABRICKS).commands.look.sql == "select :limit_s"
    (root / "commands" / "look.sql").write_text(unused, encoding="utf-8")
    with pytest.raises(QueryError, match=r"look\.sql:3: parameter tag is declared and never used"):
        queries.load(root)


def test_every_statement_is_loaded_and_follows_the_lifecycle(delta: Queries) -> None:
    """All files must load, and every change of a status be an arrow that its party may follow."""
    loaded = {query.file for query in delta if query.file.name.endswith(DATABRICKS)}
    assert loaded == set(OWN)
    assert len(OWN) > 70
    check_arrows(delta)
    told = {query.full_name: set(arrows_of(query)) for query in delta if set(arrows_of(query))}
    assert told["recommendations.approve_recommendation"] == {
        ("agent_recommendations", "pending", "approved")
    }
    assert ("agent_commands", "executing", "unknown") in told["commands.record_verdicts"]
    assert len(told) >= 18


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("approve_recommendation", "bridge_operator", "bridge_agent"),
        ("approve_recommendation", "status = 'pending'", "status = 'rejected'"),
        ("approve_recommendation", " and status = 'pending'", ""),
        ("supersede", "in ('pending', 'deferred')", "in ('pending', 'approved')"),
    ],
)
def test_a_statement_past_the_lifecycle_is_refused_at_start(
    delta: Queries, name: str, before: str, after: str
) -> None:
    """Another party, another state left, or no state left at all must be an error."""
    query: Query = getattr(delta.recommendations, name)
    roles = frozenset({after}) if after.startswith("bridge_") else query.roles
    wrong = replace(query, sql=query.sql.replace(before, after), roles=roles)
    with pytest.raises(QueryError, match=name):
        check_arrows(Queries({"recommendations": queries.Folder("recommendations", {name: wrong})}))


@pytest.mark.parametrize(
    "file", OWN, ids=lambda file: f"{file.parent.name}.{file.name.removesuffix(DATABRICKS)}"
)
def test_every_statement_is_used(file: Path) -> None:
    """A statement that only Delta needs must be called by the warehouse's modules; the others by the bridge."""
    called = re.compile(
        rf"\.{file.parent.name}\.{file.name.removesuffix(DATABRICKS)}\b|self\._q\.{file.name.removesuffix(DATABRICKS)}\b"
    )
    modules = [*ROOT.glob("bridge/store/warehouse*.py"), ROOT / "bridge" / "cli_look.py"]
    assert any(called.search(module.read_text(encoding="utf-8")) for module in modules)


def test_no_statement_speaks_postgresql(delta: Queries) -> None:
    """What Delta does not know must not stand in a statement that the warehouse's modules send."""
    foreign = re.compile(
        r"\breturning\b|\bon conflict\b|\bskip locked\b|::|\bany\(|clock_timestamp|make_interval|\bunnest\b|jsonb",
        re.IGNORECASE,
    )
    wrong = [str(file) for file in OWN if foreign.search(file.read_text(encoding="utf-8"))]
    assert wrong == []


# Writing out


def a_query(sql: str, **types: str) -> Query:
    return Query(
        table="commands",
        name="look",
        what="Look.",
        parameters=tuple(
            Parameter(name=name, type=kind.replace("_", " "), meaning="") for name, kind in types.items()
        ),
        roles=frozenset({"bridge_agent"}),
        sql=sql,
        statement="",
        file=Path("look.sql"),
    )


def test_lists_and_rows_are_written_out() -> None:
    """A list in parentheses, and a tuple of lists, must become one marker per value, with their types."""
    query = a_query(
        "select ':ids', `:ids` from values (:names, cast(:numbers as double), :one) as v (a, b, c) -- :ids\n"
        "where x in (:ids) and y = :one and z in (:none)",
        names="text[]",
        numbers="double_precision[]",
        one="bigint",
        ids="text[]",
        none="text[]",
    )
    out = written_out(
        query, {"names": ["a", None], "numbers": [1.5, 2.5], "one": 7, "ids": ["x", "y"], "none": []}
    )
    assert out.text == (
        "select ':ids', `:ids` from values (:names_1, cast(:numbers_1 as double), :one),"
        " (:names_2, cast(:numbers_2 as double), :one) as v (a, b, c) -- :ids\n"
        "where x in (:ids_1, :ids_2) and y = :one and z in ('')"
    )
    assert {marker.name: (marker.type, marker.value) for marker in out.markers} == {
        "names_1": ("STRING", "a"),
        "names_2": ("STRING", None),
        "numbers_1": ("DOUBLE", 1.5),
        "numbers_2": ("DOUBLE", 2.5),
        "one": ("BIGINT", 7),
        "ids_1": ("STRING", "x"),
        "ids_2": ("STRING", "y"),
    }


def test_a_moment_is_sent_in_utc_and_never_without_a_zone() -> None:
    """A moment of another zone must be turned into UTC, a naive one be refused."""
    query = a_query("select :at", at="timestamptz")
    there = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    assert written_out(query, {"at": there}).markers[0].value == datetime(2026, 3, 1, 12, tzinfo=UTC)
    with pytest.raises(FixCode, match="without a time zone"):
        written_out(query, {"at": datetime(2026, 3, 1)})  # noqa: DTZ001


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ids": "text", "names": []},
        {"ids": [], "names": [], "more": 1},
        {"ids": [], "names": []},
        {"ids": [""] * (MOST_MARKERS + 1), "names": ["a"]},
    ],
)
def test_values_that_do_not_fit_never_leave(values: dict[str, object]) -> None:
    """Missing, other or more values, rows of none, and more markers than a warehouse takes must be refused."""
    query = a_query("select * from values (:names) where x in (:ids)", ids="text[]", names="text[]")
    with pytest.raises(FixCode):
        written_out(query, values)
