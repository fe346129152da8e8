"""Is a built zip taken as Ignition would take it, and everything else refused by file and reason?"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gateway.gateway_stand import HEAD, Files, project, query, resource, script, timer
from simulator.gateway.named_query import NamedQuery, QueryError
from simulator.gateway.project import ProjectError, read_project


@pytest.fixture
def zip_path(tmp_path: Path) -> Path:
    return tmp_path / "Cold Room_2026-01-31_0815.zip"


def problems(path: Path, target: str = "8.3") -> str:
    with pytest.raises(ProjectError) as caught:
        read_project(path, target=target)
    return str(caught.value)


def test_a_project_is_read_whole(zip_path: Path) -> None:
    project(
        zip_path,
        query("Cooler/openFaults", "select 1 from faults where unit = :unit::uuid and b = :b", unit=7, b=6),
        script("cold/poll", "x = 1\n"),
        timer("Poll fast", "cold.poll.tick()", delay_ms=250, fixed_delay=False, shared=True),
    )
    found = read_project(zip_path, target="8.3")
    assert found.name == "Cold Room"
    assert found.scripts == {"cold/poll": "x = 1\n"}
    assert [(one.name, one.delay_ms, one.fixed_delay, one.shared_thread) for one in found.timers] == [
        ("Poll fast", 250, False, True)
    ]
    assert found.queries["Cooler/openFaults"].segments == (
        "select 1 from faults where unit = ",
        {"value": "unit"},
        "::uuid and b = ",
        {"value": "b"},
        "",
    )


def test_timer_folders_do_nothing_on_8_1(zip_path: Path) -> None:
    project(zip_path, timer("Poll", "pass"))
    assert read_project(zip_path, target="8.1").timers == ()


def test_what_is_no_zip_is_refused(zip_path: Path) -> None:
    assert "cannot be read: No such file" in problems(zip_path)
    zip_path.write_bytes(b"PK\x03\x04 and nothing more")
    assert "is not a readable zip file" in problems(zip_path)
    whole = project(zip_path, script("a/b", "x = 1\n" * 500)).read_bytes()
    zip_path.write_bytes(whole[: len(whole) // 2])
    assert "is not a readable zip file" in problems(zip_path)


def test_a_zipped_folder_is_told_from_a_project(zip_path: Path) -> None:
    with zipfile.ZipFile(zip_path, "w") as archive:
        archive.writestr("Cold/project.json", "{}")
    assert "zip the folder's content, not the folder" in problems(zip_path)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            {"ignition/script-python/a/b/code.py": "x"},
            "a/b/code.py: lies in a folder without a resource.json",
        ),
        (
            {"ignition/script-python/a/b/resource.json": resource("code.py", scope="A")},
            "a/b/resource.json: names files that are not there: code.py",
        ),
        ({"ignition/script-python/a/b/resource.json": "{"}, "a/b/resource.json: is not JSON"),
        (
            {"ignition/script-python/a/b/resource.json": '{"files": []}'},
            "a/b/resource.json: attributes is missing",
        ),
        (
            {**script("a", "x = 1"), **script("a/b", "x = 1")},
            "a/b: lies inside the resource ignition/script-python/a and would be skipped silently",
        ),
        ({**script("a/b", "\ufeffx = 1")}, "a/b/code.py: begins with a byte order mark"),
        (
            {
                "ignition/named-query/q/query.sql": "select 1",
                "ignition/named-query/q/resource.json": resource("query.sql", scope="DG", version=1),
            },
            "q/resource.json: version 1; only version 2",
        ),
        (query("q", "select :one", two=7), "q: :one is not declared"),
        (query("q", "select :one", one=12), "q: parameter one: sqlType 12 is not supported"),
        (query("q", "select 1", one=7), "q: declared and not used: one"),
        (query("q", "select {one}", one=7), "q: {one} is declared as Parameter, which is not written so"),
        (query("q", "select {one}"), "q: {one} is not declared"),
        (query("q", "select a ? 'b' from c"), "q: a question mark is not used in named queries"),
        (query("q", "select 1 -- of :one"), "q: ':one' stands in a comment or in quotes"),
        (query("q", "select 1", kind="Select"), "q: type 'Select'"),
        (
            {
                "ignition/timer/T/handleTimerEvent.py": "a.b.tick()\n",
                "ignition/timer/T/resource.json": resource("handleTimerEvent.py", delay=100),
            },
            "T/handleTimerEvent.py: begins with 'a.b.tick()'; without 'def handleTimerEvent(' first",
        ),
        (
            {
                "ignition/startup/onStartup.py": "def onStartup():\n\tpass\n",
                "ignition/startup/resource.json": resource("onStartup.py"),
            },
            "ignition/startup: startup scripts are not supported by the stand-in",
        ),
        ({"../outside.txt": "x"}, "../outside.txt: no such path belongs into a project"),
    ],
)
def test_a_broken_resource_is_named(zip_path: Path, part: Files, said: str) -> None:
    project(zip_path, part)
    assert said in problems(zip_path)


def test_all_problems_are_told_at_once(zip_path: Path) -> None:
    project(
        zip_path,
        query("q", "select :one"),
        timer("T", "pass", delay_ms=0),
        head={**HEAD, "parent": "global", "enabled": False},
    )
    said = problems(zip_path)
    for part in (":one is not declared", "delay is a number", "inherits from 'global'", "not enabled"):
        assert part in said


def test_a_literal_is_no_parameter_and_braces_may_be_empty() -> None:
    text = "select '{}'::jsonb, a::text[], 'it''s ', $x$ body $x$ from b where c = :c"
    attributes = {
        "type": "Query",
        "database": "L",
        "parameters": [{"type": "Parameter", "identifier": "c", "sqlType": 2}],
    }
    found = NamedQuery.of("q", text, attributes)
    assert [one for one in found.segments if isinstance(one, dict)] == [{"value": "c"}]


@pytest.mark.parametrize("database", ["", None, "{}"])
def test_a_query_names_its_database(database: object) -> None:
    with pytest.raises(QueryError, match="database"):
        NamedQuery.of("q", "select 1", {"type": "Query", "database": database})
