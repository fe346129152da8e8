"""`project build|check|deploy` and `tags import|export` as somebody at a terminal uses them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import responses
import typer
from sample_project import ROOT, TIMER, VIEW, edit, replace, sample_queries, write_sample
from typer.testing import CliRunner, Result

from bridge import cli_project
from bridge.terminal import Boundary

APP = typer.Typer(cls=Boundary, pretty_exceptions_enable=False)
APP.add_typer(cli_project.project, name="project")
APP.command("import")(cli_project.import_tags)
APP.command("export")(cli_project.export_tags)


@APP.callback()
def _root(ctx: typer.Context, config: Path | None = None) -> None:
    ctx.obj = config


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    # They call queries of the sample, and the command line has the real ones.
    plain = "def shown(v):\n\treturn v\n\n\ndef load(a, b):\n\treturn a\n"
    for name in ("desk", "words"):
        (folder / f"ignition/script-python/bridge/{name}/code.py").write_text(plain, encoding="utf-8")
    edit(folder / VIEW, lambda d: d["propConfig"].pop("custom.row"))
    return folder


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_build_renews_the_queries_and_writes_the_same_zip_twice(project: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.zip", tmp_path / "sub" / "b.zip"
    result = run("project", "build", "--project", project, "--out", first, "--json")
    said = json.loads(result.stdout)
    assert said["renewed"]
    assert said["target"] == "8.3"
    again = run("project", "build", "--project", project, "--out", second)
    assert again.exit_code == 0, again.output
    assert "renewed" not in again.stdout
    assert first.read_bytes() == second.read_bytes()


def test_build_for_81_says_what_is_left_to_do(project: Path, tmp_path: Path) -> None:
    result = run("project", "build", "--project", project, "--target", "8.1", "--out", tmp_path / "x.zip")
    assert result.exit_code == 0, result.output
    assert "Gateway Events > Timer 'Watch': delay 5000 ms" in result.stdout


def test_a_broken_project_is_not_built(project: Path, tmp_path: Path) -> None:
    replace(project / TIMER / "handleTimerEvent.py", "desk", "dask")
    result = run("project", "build", "--project", project, "--out", tmp_path / "x.zip")
    assert result.exit_code == 1
    assert "handleTimerEvent.py: line 2: there is no script module for bridge.dask" in result.stderr
    assert not (tmp_path / "x.zip").exists()


def test_check_lists_file_place_what_and_mend(project: Path) -> None:
    replace(project / TIMER / "handleTimerEvent.py", "desk", "dask")
    result = run("project", "check", project, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert {
        "file": f"{TIMER}/handleTimerEvent.py",
        "place": "line 2",
        "what": "there is no script module for bridge.dask.shown",
        "mend": "there are bridge.desk, bridge.words",
    } in report["findings"]
    assert "no script module" in run("project", "check", project).stdout


def test_a_malformed_zip_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    file.write_bytes(b"PK nonsense")
    result = run("project", "check", file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "not a whole zip file" in result.stderr


def test_deploy_without_a_token_sends_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_IGNITION_TOKEN", raising=False)
    run("project", "build", "--project", project, "--out", project.parent / "x.zip")
    with responses.RequestsMock():
        result = run("project", "deploy", "--gateway", "https://gateway", "--project", project)
    assert result.exit_code == 1
    assert "BRIDGE_IGNITION_TOKEN is not set" in result.stderr


def test_deploy_tells_what_was_confirmed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = project.parent / "x.zip"
    assert run("project", "build", "--project", project, "--out", file).exit_code == 0
    monkeypatch.setenv("BRIDGE_IGNITION_TOKEN", "name:secret")
    base = "https://gateway/data/api/v1"
    with responses.RequestsMock() as wire:
        wire.post(f"{base}/tags/import", json={"successCount": 2, "failureCount": 0})
        wire.post(f"{base}/projects/import/ignition-bridge", json={})
        wire.get(
            f"{base}/projects/export/ignition-bridge", body=file.read_bytes(), content_type="application/zip"
        )
        result = run("project", "deploy", "--gateway", "https://gateway", "--project", project)
    assert result.exit_code == 0, result.output
    assert "2 tags into [default]" in result.stdout
    assert "all as sent" in result.stdout


def test_a_tag_map_is_never_written_over_another(tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    tags = ROOT / "ignition_project/tags/tags.json"
    assert run("import", tags, "--out", file).exit_code == 0
    before = file.read_bytes()
    result = run("import", tags, "--out", file)
    assert result.exit_code == 1
    assert "exists already; give --force" in result.stderr
    assert file.read_bytes() == before
    assert run("import", tags, "--out", file, "--force", "--under", "REACTOR_01").exit_code == 0
    assert "REACTOR_02" not in file.read_text(encoding="utf-8")


def test_the_map_goes_to_stdout_and_the_doubts_do_not() -> None:
    result = run("import", ROOT / "ignition_project/tags/tags.json", "--writable", "*Setpoint")
    assert result.exit_code == 0
    assert tomllib.loads(result.stdout)["types"]
    assert "doubts" in result.stderr
    assert "Bridge/Agent" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--via", "plc"), "wanted device or gateway"),
        (("--link", "Plant"), "wanted NAME=NAME"),
        (("--under", "Nowhere"), "no tag of it can be mapped"),
    ],
)
def test_wrong_wishes_are_refused(arguments: tuple[str, ...], said: str) -> None:
    result = run("import", ROOT / "ignition_project/tags/tags.json", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_an_unreadable_export_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text('{"tags": [', encoding="utf-8")
    result = run("import", file, "--out", tmp_path / "map.toml")
    assert result.exit_code == 1
    assert "not valid JSON" in result.stderr
    assert not (tmp_path / "map.toml").exists()


def test_tags_are_exported_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "tags.json"
    arguments = ("--config", ROOT / "bridge.example.toml", "export")
    result = run(*arguments, "--out", file, "--opc-server", "plant=Plant UA")
    assert result.exit_code == 0, result.output
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["tagType"] == "Provider"
    assert document["tags"][0]["tags"][0]["tags"][0]["opcServer"] == "Plant UA"
    assert run(*arguments, "--out", file).exit_code == 1
    assert json.loads(run(*arguments).stdout)["tags"]


def test_a_note_is_told_and_fails_nothing(project: Path) -> None:
    def show_an_image(document: dict[str, Any]) -> None:
        document["root"]["children"][2].update(type="ia.display.image", props={"source": "x"})

    edit(project / VIEW, show_an_image)
    result = run("project", "check", project, "--json")
    told = json.loads(result.stdout)
    assert (told["ok"], told["findings"], result.exit_code) == (True, [], 0)
    (note,) = (note for note in told["notes"] if note["place"].endswith(".type"))
    assert note["what"] == "the preview does not draw ia.display.image"
    shown = run("project", "check", project)
    assert (shown.exit_code, "does not draw ia.display.image" in shown.stdout) == (0, True)
