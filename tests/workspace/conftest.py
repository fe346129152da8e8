"""One simulated workspace a session, as after its start for each test, and plain clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from workspace_client import SCRIPT, Client, oauth_token

from simulator.workspace.process import WorkspaceProcess


@pytest.fixture(scope="session")
def lakebase_url(fresh_database: Callable[..., str]) -> str:
    """The superuser's URL of a migrated database, which stands behind Lakebase."""
    url = fresh_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into sensor_data (sensor_id, equipment_id, temperature, sensor_status, timestamp, recorded_by) "
            "select 'T1', 'REACTOR_01', 80 + n / 10.0, 'OK', timestamptz '2026-11-21 08:00Z' + n * interval '1 s', "
            "'test' from generate_series(1, 20) as n"
        )
        connection.execute("create view range_of_rows as select generate_series(1, 6000) as id")
    return url


@pytest.fixture(scope="session")
def running(lakebase_url: str) -> Iterator[WorkspaceProcess]:
    """The session's workspace, without a warehouse."""
    with WorkspaceProcess.start(
        *("--database", lakebase_url, "--no-warehouse", "--connection-limit", "5"),
        *("--principal", "owner", "--principal", "operators"),
    ) as started:
        started.script(SCRIPT)
        yield started


@pytest.fixture
def workspace(running: WorkspaceProcess) -> WorkspaceProcess:
    """The same, as after its start."""
    running.reset()
    return running


@pytest.fixture
def engineer(workspace: WorkspaceProcess) -> Iterator[Client]:
    """A person with every right, by access token."""
    client = Client(workspace, workspace.token)
    yield client
    client.session.close()


@pytest.fixture
def nobody(workspace: WorkspaceProcess) -> Iterator[Client]:
    """Without any token."""
    client = Client(workspace, "")
    yield client
    client.session.close()


@pytest.fixture
def service(workspace: WorkspaceProcess, nobody: Client) -> Iterator[Client]:
    """The service principal, by a fresh OAuth token."""
    client = Client(workspace, oauth_token(nobody))
    yield client
    client.session.close()
