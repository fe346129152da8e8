"""Named queries as Ignition resources, and the zip that a gateway imports."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import pytest
from sample_project import PERSPECTIVE, ROOT, TIMER, edit, look, replace, sample_queries, write_sample

from bridge.errors import ProjectBroken
from bridge.ignition import build
from bridge.ignition.build import Target
from bridge.ignition.named_queries import generate, ignition_path, left_out, read_statement
from bridge.ignition.resources import read
from bridge.store import queries

OURS = ROOT / "ignition_project"


def test_our_project_is_as_new_as_its_source() -> None:
    """Run `ignition-bridge project build` and commit what it renews."""
    assert build.stale(read(OURS).files, queries.load()) == []


def test_the_queries_that_the_gateway_needs_are_there() -> None:
    wanted = [
        "getPendingCommands",
        "markCommandExecuted",
        "markCommandFailed",
        "markCommandUnknown",
        "listOpenRecommendations",
        "getRecommendation",
        "approveRecommendation",
        "rejectRecommendation",
        "deferRecommendation",
        "listCommands",
        "commandHistory",
        "agentHealth",
        "equipmentOverview",
        "sensorTrend",
        "auditTrail",
        "setArmed",
    ]
    there = {path.split("/")[-2] for path in generate(queries.load())}
    assert not set(wanted) - there


def test_every_parameter_is_declared_with_ignitions_own_type(tmp_path: Path) -> None:
    files = generate(sample_queries(tmp_path))
    folder = "ignition/named-query/Recommendations/deferRecommendation"
    resource = json.loads(files[f"{folder}/resource.json"])
    attributes = resource["attributes"]
    assert (resource["scope"], resource["version"], resource["files"]) == ("DG", 2, ["query.sql"])
    assert (attributes["type"], attributes["database"]) == ("UpdateQuery", "Lakebase_Connection")
    assert {item["identifier"]: item["sqlType"] for item in attributes["parameters"]} == {
        "recommendation_id": 7,
        "minutes": 5,
        "until": 8,
        "count": 2,
        "big": 3,
        "sure": 6,
    }
    assert not files[f"{folder}/query.sql"].startswith(b"--")
    assert (
        "its id"
        in json.loads(files["ignition/named-query/Recommendations/getRecommendation/resource.json"])[
            "documentation"
        ]
    )


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select 1", True),
        ("with a as (select 1) select * from a", True),
        ("insert into t (a) values (1) returning a", True),
        ("update t set a = 1 where b in (select b from c for update)", False),
        ("with moved as (update t set a = 1 returning a) insert into u select a from moved", False),
        ("with a as (select 1) update t set x = 2 from a returning t.x", True),
        ("-- select\ndelete from t", False),
        ("select 'returning'", True),
        ("delete from t where a = 'returning'", False),
    ],
)
def test_the_type_follows_the_statement(sql: str, rows: bool) -> None:
    assert read_statement(sql).returns_rows is rows


def test_what_ignition_cannot_run_is_left_out_with_a_reason(tmp_path: Path) -> None:
    reasons = left_out(sample_queries(tmp_path))
    assert list(reasons) == ["Recommendations/renewAll"]
    assert "array" in reasons["Recommendations/renewAll"]
    ours = left_out(queries.load())
    assert "bridge_agent" in ours["Commands/claimCommands"]
    assert ":word" in ours["Audit/readChain"]  # a time format that JDBC's parser must not see


def test_a_question_mark_is_a_placeholder_to_jdbc() -> None:
    assert read_statement("select evidence ? 'a' from t").traps
    assert not read_statement("select 'a?' from t").traps


def test_names_are_made_the_same_way_everywhere() -> None:
    paths = {query.full_name: ignition_path(query) for query in queries.load()}
    assert paths["work_orders.list_for"] == "WorkOrders/listFor"
    assert paths["recommendations.approve_recommendation"] == "Recommendations/approveRecommendation"
    assert len(set(paths.values())) == len(paths)


def test_regenerating_takes_away_what_has_no_source_and_touches_nothing_else(tmp_path: Path) -> None:
    named = sample_queries(tmp_path / "sql")
    project = write_sample(tmp_path / "project", named)
    assert build.regenerate(project, named) == []
    stray = project / "ignition/named-query/Old/gone/query.sql"
    stray.parent.mkdir(parents=True)
    stray.write_text("select 1", encoding="utf-8")
    replace(project / "ignition/named-query/Recommendations/getRecommendation/query.sql", "select", "SELECT")
    assert build.regenerate(project, named) == [
        "ignition/named-query/Old/gone/query.sql",
        "ignition/named-query/Recommendations/getRecommendation/query.sql",
    ]
    assert build.stale(read(project).files, named) == []
    assert sorted(os.listdir(project / "ignition")) == ["named-query", "script-python", "timer"]


def test_the_zip_is_the_same_to_the_last_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = sample_queries(tmp_path / "sql")
    first = write_sample(tmp_path / "one", named)
    second = write_sample(tmp_path / "two", list(reversed(named)))
    for file in second.rglob("*"):
        if file.is_file():
            file.chmod(0o600)
            os.utime(file, (0, 0))
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    archives = [build.to_zip(build.package(read(folder), Target.V83).files) for folder in (first, second)]
    assert archives[0] == archives[1]
    with zipfile.ZipFile(io.BytesIO(archives[0])) as archive:
        names = archive.namelist()
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert names[0] == "project.json"
    assert names[1:] == sorted(names[1:])
    assert not any(name.startswith("tags/") for name in names)


def test_81_gets_no_folder_that_it_does_not_know(tmp_path: Path) -> None:
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    package = build.package(read(project), Target.V81)
    assert not any("/timer/" in path or "/message/" in path or "/startup/" in path for path in package.files)
    assert package.by_hand == (
        "Designer > Scripting > Gateway Events > Timer 'Watch': delay 5000 ms, fixed delay, dedicated thread, "
        "body `bridge.desk.shown(1)`",
    )
    session = json.loads(package.files[f"{PERSPECTIVE}/session-scripts/data.bin"])
    assert session["onStartup"] == "\tsession.custom.ready = True"
    assert session["onShutdown"] == "\t"
    assert session["messageHandlers"] == [{"name": "changed", "enabled": True, "script": "\tpass"}]
    for path, content in package.files.items():
        file = tmp_path / "as_81" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert look(tmp_path / "as_81", for_81=True).findings == ()


def _session_event(project: Path, folder: str, file: str, text: str, **attributes: object) -> None:
    """Write one session event of 8.3, with a resource.json as a gateway has it."""
    place = project / PERSPECTIVE / folder
    place.mkdir(parents=True, exist_ok=True)
    (place / file).write_text(text, encoding="utf-8")
    document = json.loads((project / PERSPECTIVE / "startup/resource.json").read_text(encoding="utf-8"))
    document["files"] = [file]
    document["attributes"].update(attributes)
    (place / "resource.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def test_every_session_event_moves_to_81_with_its_body(tmp_path: Path) -> None:
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    _session_event(project, "shutdown", "onShutdown.py", "def onShutdown(session):\n\tif True:\n\t\tpass\n")
    _session_event(
        project, "page-startup", "onPageStartup.py", "def onPageStartup(page):\n\tx = page\n\n\ty = 1\n"
    )
    told = "def handleMessage(session, payload):\n\tsession.custom.n = payload['n']\n"
    _session_event(
        project, "message/Dedicated one", "handleMessage.py", told, threadType="Dedicated", enabled=False
    )
    assert look(project).findings == ()
    session = json.loads(
        build.package(read(project), Target.V81).files[f"{PERSPECTIVE}/session-scripts/data.bin"]
    )
    assert session == {
        "onStartup": "\tsession.custom.ready = True",
        "onShutdown": "\tif True:\n\t\tpass",
        "onPageStartup": "\tx = page\n\n\ty = 1",
        "onBarcodeDataReceived": "\t",
        "onBluetoothReceived": "\t",
        "onAccelerometerDataReceived": "\t",
        "onNdefDataReceived": "\t",
        "messageHandlers": [
            {"name": "Dedicated one", "enabled": False, "script": "\tsession.custom.n = payload['n']"},
            {"name": "changed", "enabled": True, "script": "\tpass"},
        ],
    }


def test_an_event_that_is_switched_off_is_empty_in_81(tmp_path: Path) -> None:
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    edit(project / PERSPECTIVE / "startup/resource.json", lambda d: d["attributes"].update(enabled=False))
    files = build.package(read(project), Target.V81).files
    assert json.loads(files[f"{PERSPECTIVE}/session-scripts/data.bin"])["onStartup"] == "\t"


def test_a_handler_of_another_signature_is_not_moved_to_81(tmp_path: Path) -> None:
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    replace(project / PERSPECTIVE / "message/changed/handleMessage.py", "session, payload", "payload")
    with pytest.raises(ProjectBroken, match=r"wanted 'def handleMessage\(session, payload\):'"):
        build.package(read(project), Target.V81)


def test_a_message_handler_says_on_which_thread_it_runs(tmp_path: Path) -> None:
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    file = f"{PERSPECTIVE}/message/changed/resource.json"
    edit(project / file, lambda d: d["attributes"].pop("threadType"))
    (finding,) = look(project).findings
    assert (finding.file, finding.place) == (file, "attributes.threadType")
    edit(project / file, lambda d: d["attributes"].update(threadType="Own"))
    (finding,) = look(project).findings
    assert "found 'Own'" in finding.what


def test_83_gets_no_session_scripts_of_81(tmp_path: Path) -> None:
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    folder = project / PERSPECTIVE / "session-scripts"
    folder.mkdir()
    (folder / "data.bin").write_text("{}", encoding="utf-8")
    package = build.package(read(project), Target.V83)
    assert package.left_out == (f"{PERSPECTIVE}/session-scripts/data.bin",)
    with pytest.raises(ProjectBroken, match="keep one form"):
        build.package(read(project), Target.V81)


def test_a_timer_without_its_times_is_no_manual_step(tmp_path: Path) -> None:
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    edit(project / TIMER / "resource.json", lambda document: document["attributes"].pop("delay"))
    with pytest.raises(ProjectBroken, match="delay"):
        build.package(read(project), Target.V81)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "out.zip"
    place.mkdir()
    with pytest.raises(ProjectBroken, match=r"out\.zip: cannot be written"):
        build.write_whole(place, b"x")
    assert os.listdir(tmp_path) == ["out.zip"]


def test_what_is_no_project_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ProjectBroken, match="no such folder or file"):
        read(tmp_path / "nowhere")
    with pytest.raises(ProjectBroken, match=r"no project\.json"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"../project.json": b"{}"}, "leads out of the project"),
        ({"/etc/passwd": b""}, "leads out of the project"),
        ({"Bridge/project.json": b"{}"}, "zip the folder's content, not the folder"),
        ({"view.json": b"{}"}, "not an Ignition project export"),
    ],
)
def test_a_zip_of_another_form_is_refused(tmp_path: Path, entries: dict[str, bytes], said: str) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(ProjectBroken, match=said):
        read(file)


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    whole = build.to_zip(build.package(read(project), Target.V83).files)
    file = tmp_path / "x.zip"
    for broken in (whole[: len(whole) // 2], b"PK\x03\x04", b"", whole.replace(b"Sample", b"Zample", 1)):
        file.write_bytes(broken)
        with pytest.raises(ProjectBroken, match="not a whole zip file"):
            read(file)
