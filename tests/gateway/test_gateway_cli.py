"""Does the command line say clearly what is wrong, and end as asked?"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.gateway_stand import atomic, project, query, script, tag_file, timer
from simulator.__main__ import app
from simulator.gateway.process import GatewayProcess
from simulator.gateway.tags import DEFAULT_GROUPS
from simulator.process import ROOT, launch

NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/none"


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """A project and tags that need neither plant nor database."""
    return [
        *(
            "--project",
            str(project(tmp_path / "Small.zip", script("a/b", "x = 1\n"), timer("T", "a.b.tick()"))),
        ),
        *("--tags", str(tag_file(tmp_path / "tags.json", atomic("Note", "String", value="x")))),
        *("--database", NOWHERE, "--opcua-port", "0"),
    ]


def failed(*arguments: str) -> str:
    """Exit code 1, nothing on stdout, and what it says; for what is found before anything runs."""
    done = CliRunner().invoke(app, ["gateway", *arguments])
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    return done.stderr


def failed_running(*arguments: str) -> str:
    """The same in a process of its own, for what is found only while it starts."""
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "gateway", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--java", "Java (no-such-java)"),
        ("--jython-jar", "Jython 2.7 (no-such"),
        ("--jdbc-jar", "JDBC driver (no-such"),
    ],
)
def test_what_is_not_installed_is_named_with_its_packages(small: list[str], option: str, name: str) -> None:
    said = failed(*small, option, "no-such-java")
    assert name in said
    assert "apt-get install jython libpostgresql-jdbc-java default-jre-headless" in said


def test_missing_files_are_named(small: list[str], tmp_path: Path) -> None:
    assert "none.zip: the project cannot be run" in failed(*small, "--project", str(tmp_path / "none.zip"))
    assert "none.json: the tags cannot be used" in failed(*small, "--tags", str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--database", "mysql://u:topsecret@h/d"), "--database wants postgresql://"),
        (("--fault", "nonsense"), "no fault is called 'nonsense'"),
        (("--tag-group", "Fast"), "--tag-group wants NAME=MS"),
        (("--timer", "T 100"), "--timer wants 'NAME DELAY_MS BODY'"),
        (("--timer", "T 100 a.b.c()"), "two timers have the same name"),
    ],
)
def test_wrong_options_are_named(small: list[str], arguments: tuple[str, ...], said: str) -> None:
    found = failed(*small, *arguments)
    assert said in found
    assert "topsecret" not in found


def test_a_taken_port_is_named(small: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} is taken; choose another with --opcua-port" in failed(
            *small, "--opcua-port", port
        )


def test_a_connection_that_queries_name_must_be_there(small: list[str], tmp_path: Path) -> None:
    asking = project(tmp_path / "Asking.zip", query("q", "select 1"))
    said = failed(*small, "--project", str(asking), "--database-name", "Other")
    assert "queries name connections that are not there: Lakebase_Connection" in said


def test_scripts_that_do_not_compile_are_told_by_file_and_line(small: list[str], tmp_path: Path) -> None:
    broken = project(
        tmp_path / "Broken.zip",
        script("a/good", "x = 1\n"),
        script("a/modern", "def f():\n\treturn f'{1}'\n"),
        script("a/indent", "def f():\nreturn 1\n"),
        timer("T", "if:"),
    )
    said = failed_running(*small, "--project", str(broken))
    assert "ignition/script-python/a/modern/code.py, line 2" in said
    assert "ignition/script-python/a/indent/code.py, line 2" in said
    assert "ignition/timer/T/handleTimerEvent.py, line 2" in said
    assert "a/good" not in said


@pytest.fixture(autouse=True)
def as_a_person_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not forked, as elsewhere: the command line is what is looked at."""
    monkeypatch.setattr(GatewayProcess, "launch", staticmethod(launch))


def test_it_ends_cleanly_when_told_to(small: list[str]) -> None:
    with GatewayProcess.start(*small) as gateway:
        assert gateway.ready.split()[3:] == ["project", "Small", "timers", "1", "queries", "0", "tags", "1"]
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(20) == 0
        assert "Traceback" not in gateway.log()


def test_timers_run_by_themselves_and_go_on_after_an_error_until_interrupted(
    tmp_path: Path, small: list[str]
) -> None:
    """A fixed-delay timer must come again and again, also after its script failed; Ctrl-C ends it cleanly."""
    code = (
        "import system\n\ndef tick():\n"
        "\tn = system.tag.readBlocking(['[default]Count'])[0].value + 1\n"
        "\tsystem.tag.writeBlocking(['[default]Count'], [n])\n"
        "\tif n == 2:\n\t\traise ValueError('second pass')\n"
    )
    ticking = project(tmp_path / "Tick.zip", script("a/b", code), timer("T", "a.b.tick()", delay_ms=20))
    tags = tag_file(tmp_path / "count.json", atomic("Count", "Int4", value=0))
    with GatewayProcess.start(*small, "--project", str(ticking), "--tags", str(tags)) as gateway:
        while gateway.read("[default]Count")[0] < 5:
            assert gateway.process.poll() is None
        before = gateway.log()
        assert "second pass" in before
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.process.wait(20) == 0
        assert "Traceback" not in gateway.log().removeprefix(before)


def test_a_fresh_gateway_has_the_default_tag_group() -> None:
    assert DEFAULT_GROUPS["Default"] == 1000
