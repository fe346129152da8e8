"""Each thing that a check looks at, broken once in an otherwise whole project: file, place and mend are named."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_project import (
    CARD,
    LIBRARY,
    PAGES,
    PERSPECTIVE,
    QUERY,
    ROOT,
    TIMER,
    VIEW,
    edit,
    look,
    replace,
    sample_queries,
    write_sample,
)

from bridge.errors import JythonMissing, ProjectBroken, TagFileBroken
from bridge.ignition import build, jython
from bridge.ignition.build import Target
from bridge.ignition.check import check_project
from bridge.ignition.named_queries import left_out
from bridge.ignition.resources import TAGS_FILE, ProjectFiles, read
from bridge.ignition.tag_map import ImportWishes, build_map
from bridge.ignition.tag_tree import resolve
from bridge.store import queries

needs_jython = pytest.mark.skipif(shutil.which("jython") is None, reason="apt-get install jython")
Break = Callable[[Path], object]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))


@needs_jython
def test_the_sample_is_whole(project: Path) -> None:
    report = look(project, compile_scripts=True)
    assert report.findings == ()
    assert report.not_checked == ()


@needs_jython
def test_our_project_is_whole() -> None:
    found = read(ROOT / "ignition_project")
    report = check_project(
        found, tags=found.files[TAGS_FILE], tags_file=TAGS_FILE, left_out=left_out(queries.load())
    )
    assert [str(finding) for finding in (*report.findings, *report.notes)] == []


def test_a_zip_is_checked_as_its_folder_is(project: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(build.to_zip(build.package(read(project), Target.V83).files))
    report = check_project(read(file), tags=None, tags_file="", compile_scripts=False)
    assert report.findings == ()
    assert any("tag paths were not looked up" in line for line in report.not_checked)


def on_json(path: str, change: Callable[[Any], object]) -> Break:
    """Change one JSON file of the project."""
    return lambda project: edit(project / path, lambda document: (change(document), None)[1])


def on_text(path: str, old: str, new: str) -> Break:
    """Change one text file of the project."""
    return lambda project: replace(project / path, old, new)


def add(path: str, content: bytes = b"x") -> Break:
    """Add one file to the project."""

    def write(project: Path) -> None:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_bytes(content)

    return write


def drop(path: str) -> Break:
    """Take one file out of the project."""
    return lambda project: (project / path).unlink()


def child(document: Any, name: str) -> Any:
    """One component of the overview."""
    return next(item for item in document["root"]["children"] if item["meta"]["name"] == name)


def binding(document: Any, name: str) -> Any:
    """The text binding of one component."""
    return child(document, name)["propConfig"]["props.text"]["binding"]


def query_binding(document: Any) -> Any:
    """The query binding of the overview."""
    return document["propConfig"]["custom.row"]["binding"]["config"]


def action(document: Any) -> Any:
    """What the button does."""
    return child(document, "Approve")["events"]["component"]["onActionPerformed"]


def udt(document: Any) -> Any:
    """The one UDT of the tag file."""
    return document["tags"][0]["tags"][0]


RESOURCE = f"{TIMER}/resource.json"

CASES: dict[str, tuple[Break, str, str, str, str]] = {
    # files and encodings
    "byte order mark": (
        lambda project: (
            (project / f"{LIBRARY}/code.py").write_bytes(
                b"\xef\xbb\xbf" + (project / f"{LIBRARY}/code.py").read_bytes()
            )
            and None
        ),
        f"{LIBRARY}/code.py",
        "first bytes",
        "byte order mark",
        "without BOM",
    ),
    "carriage return": (
        lambda project: (project / f"{QUERY}/query.sql").write_bytes(b"select 1\r\n"),
        f"{QUERY}/query.sql",
        "line 1",
        "CR LF",
        "save with LF",
    ),
    "not UTF-8": (
        add(f"{LIBRARY}/code.py", b"# \xb0C\n"),
        f"{LIBRARY}/code.py",
        "line 1",
        "not UTF-8",
        "UTF-8",
    ),
    "not JSON": (add(VIEW, b'{"root": }\n'), VIEW, "line 1", "not valid JSON", "correct it"),
    "a key twice": (
        add(RESOURCE, b'{"scope": "G", "scope": "A"}\n'),
        RESOURCE,
        "",
        "'scope' is there twice",
        "keep one",
    ),
    "no payload": (
        drop(f"{TIMER}/handleTimerEvent.py"),
        TIMER,
        "handleTimerEvent.py",
        "is missing",
        "every ignition/timer",
    ),
    "no resource.json": (drop(RESOURCE), TIMER, "resource.json", "is missing", "add one"),
    "names differ in case": (
        add(f"{PERSPECTIVE}/views/embedded/x"),
        f"{PERSPECTIVE}/views/embedded",
        "",
        "in case only",
        "another name",
    ),
    # resources
    "wrong scope": (
        on_json(RESOURCE, lambda d: d.update(scope="A")),
        RESOURCE,
        "scope",
        'wanted "G"',
        '"scope": "G"',
    ),
    "query of version 1": (
        on_json(f"{QUERY}/resource.json", lambda d: d.update(version=1)),
        f"{QUERY}/resource.json",
        "version",
        "wanted 2",
        "data.bin",
    ),
    "files do not fit": (
        on_json(RESOURCE, lambda d: d.update(files=[])),
        RESOURCE,
        "files",
        "the folder holds",
        "exactly",
    ),
    "an invented signature": (
        on_json(RESOURCE, lambda d: d["attributes"].update(lastModificationSignature="ab")),
        RESOURCE,
        "attributes.lastModificationSignature",
        "wrong signature",
        "leave it out",
    ),
    "lastModification at the top": (
        on_json(RESOURCE, lambda d: d.update(lastModification=d["attributes"].pop("lastModification"))),
        RESOURCE,
        "lastModification",
        "not a key",
        "into attributes",
    ),
    "no attributes": (
        on_json(RESOURCE, lambda d: d.pop("attributes")),
        RESOURCE,
        "attributes",
        "missing",
        "attributes",
    ),
    "timer in seconds": (
        on_json(RESOURCE, lambda d: d["attributes"].update(delay=5)),
        RESOURCE,
        "attributes.delay",
        "milliseconds",
        "at least",
    ),
    "view inside a view": (
        lambda project: shutil.copytree(project / CARD, project / CARD / "Inner"),
        f"{CARD}/Inner",
        "",
        f"inside the resource {CARD}",
        "move it out",
    ),
    "binary event scripts": (
        add("ignition/event-scripts/data.bin"),
        "ignition/event-scripts",
        "",
        "serialised Java",
        "leave it out",
    ),
    "unknown kind": (
        add("ignition/reports/R/data.bin"),
        "ignition/reports/R/data.bin",
        "",
        "no folder of a known kind",
        "known are",
    ),
    "stray file": (add(f"{CARD}/notes.txt"), f"{CARD}/notes.txt", "", "does not read it", "its files are"),
    "project key": (
        on_json("project.json", lambda d: d.update(version=3)),
        "project.json",
        "version",
        "not a key",
        "take it out",
    ),
    "project key missing": (
        on_json("project.json", lambda d: d.pop("title")),
        "project.json",
        "title",
        "wanted a text",
        '"title"',
    ),
    # named queries
    "parameter misspelt in SQL": (
        on_text(f"{QUERY}/query.sql", ":recommendation_id", ":recomendation_id"),
        f"{QUERY}/query.sql",
        "line 1",
        ":recomendation_id is not declared (declared: recommendation_id)",
        "correct the name",
    ),
    "parameter never used": (
        on_text(f"{QUERY}/query.sql", ":recommendation_id", "'R-1'"),
        f"{QUERY}/resource.json",
        "attributes.parameters.recommendation_id",
        "never used",
        "take it out",
    ),
    "java.sql.Types": (
        on_json(f"{QUERY}/resource.json", lambda d: d["attributes"]["parameters"][0].update(sqlType=12)),
        f"{QUERY}/resource.json",
        "attributes.parameters.recommendation_id",
        "sqlType 12",
        "String 7",
    ),
    "project default database": (
        on_json(f"{QUERY}/resource.json", lambda d: d["attributes"].update(database="")),
        f"{QUERY}/resource.json",
        "attributes.database",
        "Lakebase_Connection",
        "name the connection",
    ),
    "rows from an update query": (
        on_json(f"{QUERY}/resource.json", lambda d: d["attributes"].update(type="UpdateQuery")),
        f"{QUERY}/resource.json",
        "attributes.type",
        "returns rows",
        "write Query",
    ),
    "pasted text": (
        on_text(f"{QUERY}/query.sql", ":recommendation_id", "{recommendation_id}"),
        f"{QUERY}/query.sql",
        "line 1",
        "pasted as text",
        "which is bound",
    ),
    # scripts
    "library name": (
        on_text(f"{TIMER}/handleTimerEvent.py", "desk.shown", "desk.show"),
        f"{TIMER}/handleTimerEvent.py",
        "line 2",
        "bridge.desk has no 'show'",
        "shown",
    ),
    "library module": (
        on_text(f"{TIMER}/handleTimerEvent.py", "bridge.desk.shown", "bridge.dask.shown"),
        f"{TIMER}/handleTimerEvent.py",
        "line 2",
        "no script module for bridge.dask",
        "bridge.desk",
    ),
    "library import": (
        on_text(f"{LIBRARY}/code.py", "import LIMIT", "import LIMITS"),
        f"{LIBRARY}/code.py",
        "line 5",
        "bridge.words has no 'LIMITS'",
        "LIMIT",
    ),
    "query in a script": (
        on_text(
            f"{LIBRARY}/code.py", "Recommendations/getRecommendation", "Recommendations/getRecomendation"
        ),
        f"{LIBRARY}/code.py",
        "line 7",
        "no named query 'Recommendations/getRecomendation'",
        "getRecommendation",
    ),
    "query parameter in a script": (
        on_text(f"{LIBRARY}/code.py", '{"recommendation_id": key}', '{"recommendationId": key}'),
        f"{LIBRARY}/code.py",
        "line 13",
        "wants 'recommendation_id'",
        "give recommendation_id",
    ),
    "tag in a script": (
        on_text(f"{TIMER}/handleTimerEvent.py", "shown(1)", 'shown("[default]R1/Temprature")'),
        f"{TIMER}/handleTimerEvent.py",
        "line 2",
        "no tag '[default]R1/Temprature'; in r1 there are r1/kelvin, r1/temperature",
        "tags.json",
    ),
    "handler without its def": (
        on_text(f"{TIMER}/handleTimerEvent.py", "def handleTimerEvent():\n\t", ""),
        f"{TIMER}/handleTimerEvent.py",
        "line 1",
        "wanted 'def handleTimerEvent():'",
        "nothing above it",
    ),
    "tabs and spaces": (
        on_text(f"{LIBRARY}/code.py", "\treturn bridge", "    return bridge"),
        f"{LIBRARY}/code.py",
        "line 21",
        "mixes tabs and spaces",
        "tabs throughout",
    ),
    "not ASCII": (
        on_text("ignition/script-python/bridge/words/code.py", 'u"%s', '"%s'),
        "ignition/script-python/bridge/words/code.py",
        "line 5",
        "not ASCII",
        "put a u",
    ),
    "declared encoding": (
        on_text(f"{LIBRARY}/code.py", "# Pure", "# -*- coding: utf-8 -*-\n# Pure"),
        f"{LIBRARY}/code.py",
        "line 1",
        "declares an encoding",
        "take the line out",
    ),
    "print statement": (
        on_text(f"{LIBRARY}/code.py", "\treturn bridge", "\tprint 1\n\treturn bridge"),
        f"{LIBRARY}/code.py",
        "line 21",
        "is not Python",
        "both understand",
    ),
    "no tab in a view": (
        on_json(VIEW, lambda d: action(d)["config"].update(script="bridge.desk.shown(1)")),
        VIEW,
        "root.children[Approve].events.component.onActionPerformed, line 1",
        "does not start with a tab",
        "one tab",
    ),
    # views
    "page of no view": (
        on_json(PAGES, lambda d: d["pages"]["/"].update(viewPath="Pages/Overveiw")),
        PAGES,
        "pages./.viewPath",
        "no view 'Pages/Overveiw'",
        "Pages/Overview",
    ),
    "no first page": (on_json(PAGES, lambda d: d["pages"].pop("/")), PAGES, "pages", "no page /", "add"),
    "dock of no view": (
        on_json(PAGES, lambda d: d["sharedDocks"]["left"][0].update(viewPath="Menu")),
        PAGES,
        "sharedDocks.left[0].viewPath",
        "no view 'Menu'",
        "there are",
    ),
    "embedded view": (
        on_json(VIEW, lambda d: child(d, "Card")["props"].update(path="Embedded/Crad")),
        VIEW,
        "root.children[Card].props.path",
        "no view 'Embedded/Crad'",
        "Embedded/Card",
    ),
    "view parameter": (
        on_json(VIEW, lambda d: child(d, "Card")["props"]["params"].update(titel="x")),
        VIEW,
        "root.children[Card].props.params.titel",
        "no parameter 'titel'",
        "it has title",
    ),
    "query that does not exist": (
        on_json(VIEW, lambda d: query_binding(d).update(queryPath="Recommendations/getAll")),
        VIEW,
        "propConfig.custom.row.binding.config.queryPath",
        "no named query 'Recommendations/getAll'",
        "Recommendations/getRecommendation",
    ),
    "query parameter not bound": (
        on_json(VIEW, lambda d: query_binding(d).update(parameters={})),
        VIEW,
        "propConfig.custom.row.binding.config.parameters",
        "wants 'recommendation_id', which is not bound",
        "bind recommendation_id",
    ),
    "query parameter of another name": (
        on_json(VIEW, lambda d: query_binding(d)["parameters"].update(id="1")),
        VIEW,
        "propConfig.custom.row.binding.config.parameters.id",
        "no parameter 'id'",
        "it has recommendation_id",
    ),
    "constant without quotes": (
        on_json(VIEW, lambda d: query_binding(d)["parameters"].update(recommendation_id="open")),
        VIEW,
        "propConfig.custom.row.binding.config.parameters.recommendation_id",
        "is no expression",
        "quotes inside",
    ),
    "tag of a binding": (
        on_json(VIEW, lambda d: binding(d, "Temperature")["config"].update(tagPath="[default]R1/Temp")),
        VIEW,
        "root.children[Temperature].propConfig.props.text.binding.config.tagPath",
        "no tag '[default]R1/Temp'",
        "tags.json",
    ),
    "tag without provider": (
        on_json(VIEW, lambda d: binding(d, "Temperature")["config"].update(tagPath="R1/Temperature")),
        VIEW,
        "root.children[Temperature].propConfig.props.text.binding.config.tagPath",
        "names no provider",
        "[default]",
    ),
    "tag of an indirect binding": (
        on_json(VIEW, lambda d: binding(d, "Anything")["config"].update(tagPath="[default]{unit}/Celsius")),
        VIEW,
        "root.children[Anything].propConfig.props.text.binding.config.tagPath",
        "no tag fits",
        "tags.json",
    ),
    "tag in an expression": (
        on_json(
            VIEW,
            lambda d: child(d, "Anything")["propConfig"]["props.style.color"]["binding"]["config"].update(
                expression="{[default]R2/Kelvin} > 3"
            ),
        ),
        VIEW,
        "root.children[Anything].propConfig.props.style.color.binding.config.expression",
        "no tag '[default]R2/Kelvin'",
        "correct the path",
    ),
    "bidirectional beside config": (
        on_json(VIEW, lambda d: binding(d, "Temperature").update(bidirectional=True)),
        VIEW,
        "root.children[Temperature].propConfig.props.text.binding.bidirectional",
        "does nothing",
        "into config",
    ),
    "siblings of one name": (
        on_json(VIEW, lambda d: child(d, "Card")["meta"].update(name="Approve")),
        VIEW,
        "root.children[Approve]",
        "2 siblings have the name 'Approve'",
        "its own name",
    ),
    "script in the client": (
        on_json(VIEW, lambda d: action(d).update(scope="C")),
        VIEW,
        "root.children[Approve].events.component.onActionPerformed.scope",
        "scope G",
        '"scope": "G"',
    ),
    "page of a link": (
        on_json(
            VIEW,
            lambda d: child(d, "Approve")["events"]["dom"]["onClick"][0]["config"].update(page="/units/1"),
        ),
        VIEW,
        "root.children[Approve].events.dom.onClick[0].config.page",
        "no page '/units/1'",
        "/unit/:recommendationId",
    ),
    # tags
    "unknown UDT": (
        on_json(TAGS_FILE, lambda d: d["tags"][1].update(typeId="Reaktor")),
        TAGS_FILE,
        "R1",
        "its UDT 'Reaktor' is not in this file",
        "_types_",
    ),
    "unknown UDT parameter": (
        on_json(TAGS_FILE, lambda d: udt(d)["tags"][0]["opcItemPath"].update(binding="s={Nod}/T")),
        TAGS_FILE,
        "R1/Temperature opcItemPath",
        "parameter Nod does not exist (there are Node)",
        "correct the name",
    ),
    "bare UDT parameter": (
        on_json(TAGS_FILE, lambda d: d["tags"][1]["parameters"].update(Node="R1")),
        TAGS_FILE,
        "R1 parameters.Node",
        "Integer",
        "dataType",
    ),
    "tag data type": (
        on_json(TAGS_FILE, lambda d: udt(d)["tags"][0].update(dataType="Double")),
        TAGS_FILE,
        "R1/Temperature dataType",
        "found 'Double'",
        "write it",
    ),
    "expression that leads nowhere": (
        on_json(TAGS_FILE, lambda d: udt(d)["tags"][1].update(expression="{[.]Temp} + 1")),
        TAGS_FILE,
        "R1/Kelvin expression",
        "no tag '[default]R1/Temp'",
        "correct the path",
    ),
    "alarm mode": (
        on_json(TAGS_FILE, lambda d: udt(d)["tags"][0]["alarms"][0].update(mode="Above")),
        TAGS_FILE,
        "R1/Temperature alarms.High.mode",
        "'Above' is unknown",
        "AboveValue",
    ),
    "alarm set-point as text": (
        on_json(TAGS_FILE, lambda d: udt(d)["tags"][0]["alarms"][0].update(setpointA="90")),
        TAGS_FILE,
        "R1/Temperature alarms.High.setpointA",
        "takes it as 0",
        "write a number",
    ),
    "history without a provider": (
        on_json(TAGS_FILE, lambda d: udt(d)["tags"][0].pop("historyProvider")),
        TAGS_FILE,
        "R1/Temperature historyProvider",
        "no history is kept",
        "historian",
    ),
    "tag event without a tab": (
        on_json(TAGS_FILE, lambda d: udt(d)["tags"][1]["eventScripts"][0].update(script="x = 1")),
        TAGS_FILE,
        "_types_/Reactor/Kelvin valueChanged, line 1",
        "does not start with a tab",
        "one tab",
    ),
    "two tags of one name": (
        on_json(TAGS_FILE, lambda d: d["tags"].append(dict(d["tags"][1], name="r1"))),
        TAGS_FILE,
        "r1",
        "stands twice",
        "another name",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_broken_thing_is_found(project: Path, case: str) -> None:
    break_it, file, place, what, mend = CASES[case]
    break_it(project)
    findings = look(project).findings
    told = "\n".join(map(str, findings))
    assert any(
        finding.file == file
        and finding.place.startswith(place)
        and what in finding.what
        and mend in finding.mend
        for finding in findings
    ), told


@needs_jython
def test_scripts_are_compiled_as_jython_compiles_them(project: Path) -> None:
    replace(project / LIBRARY / "code.py", "\treturn bridge", '\tx = f"{value}"\n\treturn bridge')
    edit(project / VIEW, lambda d: action(d)["config"].update(script="\tx = 1\n\tdef f(a: int):\n\t\tpass"))
    findings = look(project, compile_scripts=True).findings
    assert [(finding.file, finding.place) for finding in findings] == [
        (VIEW, "root.children[Approve].events.component.onActionPerformed, line 2"),
        (f"{LIBRARY}/code.py", "line 21"),
    ]
    assert all("Jython 2.7" in finding.what for finding in findings)


def test_without_jython_the_check_fails_by_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(JythonMissing, match="Jython missing: apt-get install jython"):
        jython.jython_command()
    findings = look(project, compile_scripts=True).findings
    assert [(finding.file, finding.mend) for finding in findings] == [
        ("(this machine)", "Jython missing: apt-get install jython")
    ]


def test_a_java_that_dies_is_no_success(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jython, "jython_command", lambda: ["/bin/false"])
    (finding,) = look(project, compile_scripts=True).findings
    assert "Jython ended with 1" in finding.mend


def test_a_query_for_python_only_is_said_to_be_so(project: Path, tmp_path: Path) -> None:
    replace(project / LIBRARY / "code.py", "Recommendations/getRecommendation", "Recommendations/renewAll")
    found = read(project)
    report = check_project(
        found,
        tags=None,
        tags_file="",
        left_out=left_out(sample_queries(tmp_path / "sql")),
        compile_scripts=False,
    )
    assert any("Ignition has no array parameters (ids)" in finding.what for finding in report.findings)


def test_81_has_no_form_component(project: Path) -> None:
    edit(project / VIEW, lambda d: child(d, "Card").update(type="ia.input.form"))
    assert look(project).findings == ()
    (finding,) = look(project, for_81=True).findings
    assert "8.1 has no ia.input.form" in finding.what


def test_a_zip_with_tags_inside_is_told(project: Path, tmp_path: Path) -> None:
    held = io.BytesIO(build.to_zip(build.package(read(project), Target.V83).files))
    with zipfile.ZipFile(held, "a") as archive:
        archive.writestr("tags/tags.json", "{}")
        archive.writestr("perspective/views/X/view.json", "{}")
    file = tmp_path / "x.zip"
    file.write_bytes(held.getvalue())
    report = check_project(read(file), tags=None, tags_file="", compile_scripts=False)
    assert [finding.mend for finding in report.findings] == [
        f"move it under {PERSPECTIVE}/",
        "take it out of the zip; tags are imported on their own",
    ]


JUNK: tuple[object, ...] = (
    None,
    True,
    1,
    1.5,
    "",
    "{",
    "\t",
    [],
    [1],
    [[]],
    {},
    {"name": 1},
    {"tagType": "Folder"},
)


def spoil(document: Any, chance: random.Random) -> Any:
    """The document with one value, anywhere in it, replaced by something else."""
    steps: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            steps.append((value, key))
            visit(value[key])

    visit(document)
    if steps:
        holder, key = chance.choice(steps)
        holder[key] = chance.choice(JUNK)
    return document


@pytest.mark.parametrize("seed", range(4))
def test_nonsense_anywhere_is_a_finding_and_never_a_traceback(project: Path, seed: int) -> None:
    chance, whole = random.Random(seed), read(project)
    texts = [path for path in whole.files if path.endswith((".json", ".py", ".sql"))]
    for _ in range(60):
        files = dict(whole.files)
        path = chance.choice(texts)
        if path.endswith(".json"):
            files[path] = json.dumps(spoil(json.loads(files[path]), chance)).encode()
        else:
            spoiled = bytearray(files[path])
            spoiled[chance.randrange(len(spoiled))] = chance.choice(b"\x00\t\"':{\xff")
            files[path] = bytes(spoiled)
        broken = ProjectFiles(source=project, files=files, zipped=False)
        check_project(broken, tags=files[TAGS_FILE], tags_file=TAGS_FILE, compile_scripts=False)
        with contextlib.suppress(ProjectBroken):
            build.package(broken, Target.V81)
        if path == TAGS_FILE:
            with contextlib.suppress(TagFileBroken):
                tree = resolve(json.loads(files[path]), file=path)
                build_map(tree, ImportWishes(links={}, writable=("*",)), source=path)
