"""The console script as somebody at a terminal uses it, on a real database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
import requests
from rig import sql
from terminal_rig import EXAMPLE, ROOT, SCRIPT, Cli

from simulator.workspace.process import WorkspaceProcess

_number = count(1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test starts in an empty folder, where no bridge.toml lies about."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bare() -> Cli:
    """No configuration at all."""
    return Cli({})


@pytest.fixture
def unpublished(fresh_database: Callable[..., str], drop_database: Callable[[str], None]) -> Iterator[Cli]:
    """The example configuration on a migrated database that holds no limits yet."""
    url = fresh_database()
    yield Cli({"BRIDGE_CONFIG": str(EXAMPLE), "BRIDGE_STORE__URL": url})
    drop_database(url)


@pytest.fixture
def cli(database_url: str) -> Cli:
    """The example configuration on a migrated database with its limits published."""
    return Cli({"BRIDGE_CONFIG": str(EXAMPLE), "BRIDGE_STORE__URL": database_url})


@pytest.fixture
def empty_database(fresh_database: Callable[..., str], drop_database: Callable[[str], None]) -> Iterator[str]:
    """A database that nobody migrated."""
    url = fresh_database("template1")
    yield url
    drop_database(url)


@pytest.fixture(scope="session")
def logins(postgres_url: str) -> dict[str, tuple[str, str]]:
    """User and password of one login for each party, and of one that belongs to none."""
    made = {
        party: (f"{party}_login", f"pw-of-{party}-2f9c")
        for party in ("bridge_agent", "bridge_operator", "nobody")
    }
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for party, (user, password) in made.items():
            connection.execute(sql(f"create role {user} login password '{password}'"))
            if party != "nobody":
                connection.execute(sql(f"grant {party} to {user}"))
    return made


@pytest.fixture
def url_of(logins: dict[str, tuple[str, str]], database_url: str) -> Callable[[str], str]:
    """The test's database for one party's own login."""

    def make(party: str) -> str:
        user, password = logins[party]
        return f"postgresql://{user}:{password}@{database_url.rpartition('@')[2]}"

    return make


@pytest.fixture
def data_folder(database_folder: Path, tmp_path: Path) -> Path:
    """A folder for a server of the test's own, where the server's account may enter."""
    return database_folder / tmp_path.name


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the console script as a process of its own; ends it when the test forgets."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [SCRIPT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "BRIDGE_BUFFER__DIR": str(tmp_path / "buffer"),
                **{f"BRIDGE_{name}": value for name, value in environment.items()},
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()  # not killed: a database would outlive it
            process.communicate(timeout=60)


@pytest.fixture(scope="session")
def plant_endpoint() -> Iterator[str]:
    """The simulated plant of the example configuration."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "plant", "--endpoint", "opc.tcp://127.0.0.1:0/plant"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    ready = process.stdout.readline().strip()
    assert ready.startswith("plant ready "), ready
    yield ready.removeprefix("plant ready ")
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture(scope="session")
def running_workspace(fresh_database: Callable[..., str]) -> Iterator[WorkspaceProcess]:
    """The session's simulated workspace: Lakebase, a SQL warehouse, Genie spaces, serving."""
    url = fresh_database()
    with psycopg.connect(
        url, autocommit=True
    ) as connection:  # on Lakebase the tables are in a schema of their own
        connection.execute("alter schema public rename to bridge")
        connection.execute("create schema public")
    with WorkspaceProcess.start("--database", url, deadline_s=150) as started:
        yield started


@pytest.fixture
def workspace(running_workspace: WorkspaceProcess) -> WorkspaceProcess:
    """The same, as after its start, but for its tables."""
    running_workspace.reset()
    return running_workspace


@pytest.fixture
def in_workspace(workspace: WorkspaceProcess) -> Cli:
    """The example configuration with that workspace's login and its Genie spaces."""
    spaces = ", ".join(f'"{title}": "{space_id}"' for title, space_id in workspace.ready["spaces"].items())
    return Cli(
        {
            "BRIDGE_CONFIG": str(EXAMPLE),
            "BRIDGE_DATABRICKS__HOST": workspace.host,
            "BRIDGE_DATABRICKS__TOKEN": workspace.token,
            "BRIDGE_GENIE__SPACES": f"{{{spaces}}}",
        }
    )


@pytest.fixture
def on_warehouse(
    in_workspace: Cli, workspace: WorkspaceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Cli:
    """The same with the agent's tables on that workspace's SQL warehouse, in an empty schema of the test's own.

    The official connector reads all authorities of this machine for each connection, over plain HTTP too.
    """
    nobody = tmp_path / "nobody.pem"
    nobody.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(nobody))
    schema = f"own_{next(_number)}"
    answer = requests.post(
        f"{workspace.host}/api/2.0/sql/statements",
        json={
            "warehouse_id": workspace.ready["warehouse"]["id"],
            "statement": f"create schema main.{schema}",
        },
        headers={"Authorization": f"Bearer {workspace.token}"},
        timeout=60,
    )
    assert answer.json()["status"]["state"] == "SUCCEEDED", answer.text
    return Cli(
        in_workspace.environment
        | {
            "BRIDGE_STORE__KIND": "warehouse",
            "BRIDGE_STORE__WAREHOUSE__CONNECTION_URI": workspace.ready["warehouse"]["http_uri"],
            "BRIDGE_STORE__WAREHOUSE__CATALOG": "main",
            "BRIDGE_STORE__WAREHOUSE__SCHEMA": schema,
            "BRIDGE_STORE__WAREHOUSE__STATEMENT_TIMEOUT_S": "60",
            "BRIDGE_AGENT__POLL_S": "1",
            "BRIDGE_AGENT__LEASE_S": "60",
            "BRIDGE_AGENT__FLUSH_S": "2",
        }
    )
