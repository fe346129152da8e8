"""Does the program start as asked, say where it is, take orders, and refuse what makes no sense?"""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner
from workspace_client import SCRIPT, Client, document

from simulator.__main__ import app
from simulator.workspace.faults import CATALOGUE
from simulator.workspace.process import ControlRefused, WorkspaceProcess
from simulator.workspace.scripts import DEMO, ScriptError, parse_script, read_script

MORE = ["--no-warehouse"]


def simulator(*arguments: str) -> tuple[int, str, str]:
    """``python -m simulator …``: exit code, stdout and stderr."""
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_it_comes_back_at_the_same_place_with_the_same_credentials() -> None:
    with WorkspaceProcess.start(*MORE) as first:
        ready, port = first.ready, int(first.host.rpartition(":")[2])
        assert first.stop() == 0
    known = ["--token", ready["token"], "--client-secret", ready["client_secret"]]
    with WorkspaceProcess.start(*MORE, *known, port=port) as second:
        assert (second.host, second.token) == (ready["host"], ready["token"])
        client = Client(second, ready["token"])
        assert client.found("/api/2.0/preview/scim/v2/Me")["userName"] == second.user
        client.session.close()


def test_without_a_database_there_is_no_lakebase() -> None:
    with WorkspaceProcess.start(*MORE, "--fault", "rate_limited 3s") as workspace:
        assert workspace.ready["lakebase"] is None
        assert workspace.ready["warehouse"] is None
        client = Client(workspace, workspace.token)
        assert client.get("/api/2.0/postgres/projects").headers["Retry-After"] == "3"
        assert client.found("/api/2.0/postgres/projects") == {}
        assert client.get("/api/2.0/database/instances/plant").status_code == 404
        client.session.close()
        with pytest.raises(ControlRefused, match="no Lakebase"):
            workspace.fault("lakebase_suspend")


def test_faults_from_the_command_line(workspace: WorkspaceProcess, engineer: Client) -> None:
    done = simulator("workspace-fault", "--host", workspace.host, "unavailable", "GET:/api/2.2/*", "x2")
    assert done == (0, "unavailable: 2 times\n", "")
    assert engineer.get("/api/2.2/jobs/list").status_code == 503
    done = simulator("workspace-fault", "--host", workspace.host, "clear", "unavailable")
    assert done == (0, "cleared 1\n", "")
    assert engineer.get("/api/2.2/jobs/list").status_code == 200


def test_the_list_of_faults_is_complete() -> None:
    _, listed, _ = simulator("workspace-fault", "--list")
    assert [name for name in CATALOGUE if name not in listed] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["workspace-fault", "nonsense"], "no fault is called"),
        (["workspace-fault", "--host", "http://127.0.0.1:9", "html"], "no workspace answers"),
        (["workspace", *MORE, "--script", "nowhere.toml"], "cannot be read"),
        (["workspace", *MORE, "--fault", "nonsense"], "no fault is called"),
        (["workspace", *MORE, "--database", "postgresql://127.0.0.1:9/x"], "SUPERUSER:PASSWORD"),
        (["workspace", *MORE, "--database", "postgresql://a:b@127.0.0.1:9/x"], "cannot be prepared"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], says: str) -> None:
    code, _, said = simulator(*arguments)
    assert code == 1
    assert says in said


def test_a_taken_port_is_said(workspace: WorkspaceProcess) -> None:
    code, _, said = simulator("workspace", *MORE, "--port", workspace.host.rpartition(":")[2])
    assert (code, "is taken" in said) == (1, True)


def test_everything_listens_on_this_machine_only(workspace: WorkspaceProcess) -> None:
    """Looked up where the kernel keeps it."""
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{workspace.process.pid}/net/{table}").read_text().splitlines()[1:]:
            local, listening, inode = line.split()[1], line.split()[3] == "0A", line.split()[9]
            if listening and inode in _sockets(workspace.process.pid):
                addresses.add(local.partition(":")[0])
    assert addresses == {"0100007F"}


def _sockets(process: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        name = str(link.readlink())
        if name.startswith("socket:["):
            found.add(name[8:-1])
    return found


def test_secrets_are_not_logged(workspace: WorkspaceProcess, engineer: Client) -> None:
    engineer.get("/api/2.0/genie/spaces")
    assert workspace.token not in workspace.log()
    assert all(workspace.token not in str(each) for each in workspace.requests())


def test_a_broken_request_does_not_end_it(workspace: WorkspaceProcess, engineer: Client) -> None:
    workspace.fault("lost_response")
    with pytest.raises(requests.ConnectionError):
        engineer.get("/api/2.2/jobs/list")
    assert document(engineer.get("/api/2.2/jobs/list"))


# ── scripts ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_script_that_is_shipped_is_sound() -> None:
    script = read_script(DEMO)
    assert script.genie
    assert script.jobs
    assert {endpoint.task for endpoint in script.serving} == {"llm/v1/chat", "agent/v1/responses"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[genie]\n", "neither TOML nor JSON"),
        ('{"genie": [', "neither TOML nor JSON"),
        ("[[gene]]\n", "gene: Extra inputs"),
        ('[[genie]]\nspace_id = "1"\ntitle = "x"', "space_id"),
        ('[[genie]]\nspace_id = "{0}"\ntitle = "x"\n[[genie.answers]]\nquestion = "("', "is no pattern"),
        (
            '[[genie]]\nspace_id = "{0}"\ntitle = "x"\n[[genie.answers]]\nquestion = "x"\nends = "FAILED"',
            "belong",
        ),
        ('[[genie]]\nspace_id = "{0}"\ntitle = "x"\n[[genie]]\nspace_id = "{0}"\ntitle = "y"', "given twice"),
        (
            '[[jobs]]\njob_id = 1\nname = "x"\ntasks = [{task_key = "a", depends_on = ["b"]}]',
            "stands nowhere before",
        ),
        ('[[jobs]]\njob_id = 1\nname = "x"\ntasks = [{task_key = "a", attempts = [{code = "X"}]}]', "code"),
        ('[[serving]]\nname = "x"\nanswers = [{prompt = "x"}]', "one of text, json and error"),
    ],
)
def test_a_script_that_is_wrong_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(ScriptError, match=says):
        parse_script(text.replace("{0}", "0" * 32))


def test_all_problems_of_a_script_come_at_once() -> None:
    with pytest.raises(ScriptError) as refusal:
        parse_script('[[jobs]]\nname = "x"\ncolour = "red"\ntasks = []')
    assert len(str(refusal.value).splitlines()) == 2


def test_another_script_can_be_given_while_it_runs(workspace: WorkspaceProcess, engineer: Client) -> None:
    jobs = workspace.ready["jobs"]
    try:
        workspace.script('[[jobs]]\njob_id = 5\nname = "other"\ntasks = [{ task_key = "a" }]')
        assert [job["job_id"] for job in engineer.found("/api/2.2/jobs/list")["jobs"]] == [5]
        assert workspace.ready["jobs"] == {"other": 5}
        with pytest.raises(ControlRefused, match="neither TOML nor JSON"):
            workspace.script("[[jobs]")
    finally:
        workspace.script(SCRIPT)
    assert workspace.ready["jobs"] == jobs
