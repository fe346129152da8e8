"""Does every named query keep its own header, on the real schema and for the roles it names?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from rig import NOT_PERMITTED, Connection, connect, sql

from bridge.errors import QueryError
from bridge.store import queries
from bridge.store.queries import Query, queries_folder

ALL = list(queries.load())
ROLES = ("bridge_agent", "bridge_operator", "bridge_reader", "owner")
HEADER = "-- name: look\n-- what: Look at it.\n-- role: bridge_reader\n"

SAMPLES: dict[str, object] = {
    "text": "7",
    "text[]": ["7"],
    "integer": 7,
    "bigint": 7,
    "double precision": 7.0,
    "double precision[]": [7.0],
    "boolean": True,
    "timestamptz": datetime(2026, 1, 1, tzinfo=UTC),
}
# Texts that are more than text: JSON, and words of a closed list.
SPECIAL: dict[str, object] = {
    "writes": "[]",
    "verdicts": "[]",
    "evidence": "{}",
    "note": "{}",
    "detail": "{}",
    "severity": "high",
    "route": "opcua",
    "data_type": "Double",
    "high": 9.0,
    "confidence": 0.5,
    "result": "said by the test",
}


def sample(query: Query) -> dict[str, object]:
    values = {
        parameter.name: SPECIAL.get(parameter.name, SAMPLES[parameter.type]) for parameter in query.parameters
    }
    if query.full_name == "health.heartbeat":
        values["status"] = "online"
    return values


def is_copy(query: Query) -> bool:
    return query.sql.startswith("copy ")


def writes(query: Query) -> bool:
    text = query.sql.lower().replace("for update", "").replace("do update", "")
    return bool({"insert", "update", "delete", "copy"} & set(text.split()))


@pytest.fixture(scope="module")
def parties(
    fresh_database: Callable[..., str], published_template: str, drop_database: Callable[[str], None]
) -> Iterator[dict[str, Connection]]:
    url = fresh_database(published_template)
    opened = {role: connect(url, None if role == "owner" else role) for role in ROLES}
    yield opened
    for connection in opened.values():
        connection.close()
    drop_database(url)


def attempt(connection: Connection, query: Query) -> str | None:
    """The SQLSTATE that running it once gives, None for success; nothing of it stays."""
    try:
        with connection.transaction(force_rollback=True):
            if is_copy(query):
                with connection.cursor().copy(sql(query.statement)):
                    pass
            else:
                connection.execute(sql(query.statement), sample(query))
    except psycopg.Error as error:
        return error.sqlstate
    return None


@pytest.mark.parametrize("query", [query for query in ALL if not is_copy(query)], ids=lambda q: q.full_name)
def test_a_query_prepares_on_the_real_schema_with_its_declared_types(
    parties: dict[str, Connection], query: Query
) -> None:
    """PostgreSQL must accept the statement with exactly the parameter types that the header declares."""
    text = query.statement
    for number, parameter in enumerate(query.parameters, start=1):
        text = text.replace(f"%({parameter.name})s", f"${number}")
    types = ", ".join(parameter.type for parameter in query.parameters)
    with parties["owner"].transaction(force_rollback=True):
        parties["owner"].execute(
            sql(f"prepare declared{f' ({types})' if types else ''} as {text.replace('%%', '%')}")
        )
        parties["owner"].execute("deallocate declared")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("query", ALL, ids=lambda q: q.full_name)
def test_the_declared_roles_may_run_a_query_and_the_others_may_not_where_it_writes(
    parties: dict[str, Connection], query: Query, role: str
) -> None:
    """No declared role may be denied, and a statement that writes must be denied to roles that are not declared."""
    state = attempt(parties[role], query)
    if role in query.roles:
        assert state in (None, "BR001"), state  # a rule may refuse the sample; a missing right may not
    elif role != "owner" and writes(query) and not _rows_decide(query, role):
        assert state == NOT_PERMITTED


def _rows_decide(query: Query, role: str) -> bool:
    """Statements on columns that agent and operator both may write: the trigger decides row by row who may."""
    shared = query.table == "commands" or query.full_name in (
        "readings.store_readings",
        "recommendations.hand_to_people",
        "recommendations.wake_deferred",
    )
    return shared and role != "bridge_reader"


def test_queries_are_reached_by_folder_and_name() -> None:
    """queries.commands.claim_commands must be that file; a name that does not exist must say which there are."""
    named = queries.load()
    query = named.commands.claim_commands
    assert query.file == queries_folder() / "commands" / "claim_commands.sql"
    assert query.full_name == "commands.claim_commands"
    assert query.what.endswith(".")
    with pytest.raises(AttributeError, match=r"no named query commands\.claim; there are .*claim_commands"):
        _ = named.commands.claim
    with pytest.raises(AttributeError, match="no folder named_queries/orders"):
        _ = named.orders


@pytest.mark.parametrize("query", ALL, ids=lambda q: q.full_name)
def test_a_header_says_in_one_sentence_what_the_query_does(query: Query) -> None:
    """`what` must be one sentence that begins with a capital and ends with a full stop."""
    assert query.what[0].isupper()
    assert query.what.endswith(".")
    assert ". " not in query.what


def folder(tmp_path: Path, text: str, name: str = "look.sql") -> Path:
    (tmp_path / "things").mkdir(exist_ok=True)
    (tmp_path / "things" / name).write_text(text, encoding="utf-8")
    return tmp_path


BROKEN = {
    "a misspelt parameter": (HEADER + "-- param: site text\nselect 1\nwhere a = :sight", 6, "sight"),
    "an undeclared parameter": (HEADER + "select :site", 4, ":site is not declared"),
    "an unused parameter": (HEADER + "-- param: site text\nselect 1", 4, "site is declared and never used"),
    "a parameter declared twice": (
        HEADER + "-- param: site text\n-- param: site text\nselect :site",
        5,
        "declared twice",
    ),
    "an unknown type": (HEADER + "-- param: site varchar\nselect :site", 4, "wanted '-- param: name type"),
    "a parameter without a type": (HEADER + "-- param: site\nselect :site", 4, "wanted '-- param: name type"),
    "no name": ("-- what: Look.\n-- role: owner\nselect 1", 1, "no '-- name: …'"),
    "no sentence": ("-- name: look\n-- role: owner\nselect 1", 1, "no '-- what: …'"),
    "no role": ("-- name: look\n-- what: Look.\nselect 1", 1, "no '-- role: …'"),
    "no header": ("select 1", 1, "no '-- name: …'"),
    "an empty file": ("", 1, "no '-- name: …'"),
    "another name": (HEADER.replace("look", "see", 1) + "select 1", 1, "the file is called 'look'"),
    "an unknown role": (HEADER.replace("bridge_reader", "bridge_boss") + "select 1", 1, "bridge_boss"),
    "a second name": (HEADER + "-- name: look\nselect 1", 4, "a second 'name'"),
    "a header line of another kind": (
        HEADER + "-- author: me\nselect 1",
        4,
        "wanted '-- name|what|param|role",
    ),
    "no statement": (HEADER, 4, "no statement"),
    "a semicolon at the end": (HEADER + "select 1;", 4, "without a semicolon"),
    "two statements": (HEADER + "select 1\n;\nselect 2", 5, "without a semicolon"),
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_a_file_that_does_not_keep_its_header_is_refused_by_file_and_line(tmp_path: Path, case: str) -> None:
    """Each kind of slip must be a QueryError that names the file, the line and what is wrong."""
    text, line, words = BROKEN[case]
    root = folder(tmp_path, text)
    with pytest.raises(QueryError) as caught:
        queries.load(root)
    told = [problem for problem in str(caught.value).splitlines() if words in problem]
    assert told, str(caught.value)
    assert told[0].startswith(f"{root / 'things' / 'look.sql'}:{line}: ")


def test_every_problem_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    """Two broken files must be reported in one go."""
    folder(tmp_path, HEADER + "select :a")
    root = folder(tmp_path, HEADER.replace("look", "see", 1) + "select :b;", "see.sql")
    with pytest.raises(QueryError) as caught:
        queries.load(root)
    assert len(str(caught.value).splitlines()) == 3


def test_a_folder_without_queries_is_refused(tmp_path: Path) -> None:
    """An empty folder must not pass for a complete set."""
    with pytest.raises(QueryError, match="no named query found"):
        queries.load(tmp_path)


def test_a_file_that_is_no_utf8_is_refused_by_name(tmp_path: Path) -> None:
    """A file in another encoding must be a QueryError that names it."""
    root = folder(tmp_path, "")
    (root / "things" / "look.sql").write_bytes(b"-- name: look\n-- what: 5 \xb0C.\n")
    with pytest.raises(QueryError, match=r"look\.sql"):
        queries.load(root)


def test_the_form_for_databricks_stands_beside_and_is_not_loaded_here(tmp_path: Path) -> None:
    """A .databricks.sql file must be left to its own loader."""
    folder(tmp_path, HEADER + "select 1")
    root = folder(tmp_path, "whatever;", "look.databricks.sql")
    assert [query.full_name for query in queries.load(root)] == ["things.look"]


BODIES = {
    "a cast": ("select '7'::text as x, :site::text as y", {"x": "7", "y": "here"}),
    "a cast by function": ("select cast(:site as text) as x", {"x": "here"}),
    "a colon in a string": ("select ':site' as x, :site as y", {"x": ":site", "y": "here"}),
    "a quote in a string": ("select 'it''s :site' as x, :site as y", {"x": "it's :site", "y": "here"}),
    "a colon in a quoted name": ('select 1 as ":site", :site as y', {":site": 1, "y": "here"}),
    "a per cent sign": ("select 7 % 4 as x, :site as y", {"x": 3, "y": "here"}),
    "a per cent sign in a string": (
        "select '%s %(a)s 100 %' as x, :site as y",
        {"x": "%s %(a)s 100 %", "y": "here"},
    ),
    "like": ("select 'abc' like 'a%' as x, :site as y", {"x": True, "y": "here"}),
    "a semicolon in a string": ("select 'a;b' as x, :site as y", {"x": "a;b", "y": "here"}),
    "a comment": ("select 1 as x, -- 100 % of :others; here\n :site as y", {"x": 1, "y": "here"}),
    "a block comment": ("select 1 as x, /* :others;\n % */ :site as y", {"x": 1, "y": "here"}),
    "a parameter twice": ("select :site as x, :site as y", {"x": "here", "y": "here"}),
    "an array slice": ("select (array[1, 2, 3])[2:3] as x, :site as y", {"x": [2, 3], "y": "here"}),
    "a regular expression": ("select 'a1' ~ '^\\w\\d$' as x, :site as y", {"x": True, "y": "here"}),
}


@pytest.mark.parametrize("case", sorted(BODIES))
def test_a_statement_means_the_same_with_its_parameters_rewritten(
    parties: dict[str, Connection], tmp_path: Path, case: str
) -> None:
    """Casts, strings, quoted names, comments and per cent signs must survive the rewriting, run for real."""
    body, expected = BODIES[case]
    query = queries.load(folder(tmp_path, HEADER + "-- param: site text\n" + body)).things.look
    row = parties["owner"].execute(sql(query.statement), {"site": "here"}).fetchone()
    assert row == expected
