"""Does Lakebase take minted tokens and nothing else, and does it go away in each of its ways?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from workspace_client import Client, refused, until

from simulator.workspace.process import WorkspaceProcess

ENDPOINT = "projects/plant/branches/production/endpoints/primary"
MINT = "/api/2.0/postgres/credentials"
Connect = Callable[..., psycopg.Connection[Any]]


def mint(client: Client, **fields: object) -> str:
    return str(client.made(MINT, {"endpoint": ENDPOINT, **fields})["token"])


@pytest.fixture
def connect(engineer: Client) -> Iterator[Connect]:
    """Opens connections to Lakebase, by itself as the project's owner with a fresh token."""
    opened: list[psycopg.Connection[Any]] = []

    def open_one(user: str = "", password: str = "", **parameters: Any) -> psycopg.Connection[Any]:
        lakebase = engineer.workspace.ready["lakebase"]
        opened.append(
            psycopg.connect(
                host=lakebase["host"],
                port=lakebase["port"],
                user=user or engineer.workspace.user,
                password=password or mint(engineer),
                autocommit=True,
                connect_timeout=20,
                **{"dbname": lakebase["database"], **parameters},
            )
        )
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()
    until(lambda: _all_gone(engineer), "the end of all connections")


def _all_gone(client: Client) -> bool | None:
    return True if client.workspace.state()["lakebase"]["open"] == 0 else None


@pytest.fixture
def principal_role(connect: Connect, lakebase_url: str, engineer: Client) -> Iterator[str]:
    """A role for the service principal, made as its documentation says."""
    name = engineer.workspace.client_id
    owner = connect()
    owner.execute("create extension if not exists databricks_auth")
    owner.execute("select databricks_create_role(%s, 'SERVICE_PRINCIPAL')", (name,))
    yield name
    with psycopg.connect(lakebase_url, autocommit=True) as superuser:
        superuser.execute(f'drop role "{name}"')


# ── where it is ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_api_says_where_the_endpoint_is(engineer: Client) -> None:
    found = engineer.found(f"/api/2.0/postgres/{ENDPOINT}")
    assert found["name"] == ENDPOINT
    assert found["status"]["hosts"]["host"] == "127.0.0.1"
    assert found["status"]["current_state"] == "ACTIVE"


def test_projects_branches_and_endpoints_can_be_walked(engineer: Client) -> None:
    (project,) = engineer.found("/api/2.0/postgres/projects")["projects"]
    (branch,) = engineer.found(f"/api/2.0/postgres/{project['name']}/branches")["branches"]
    (endpoint,) = engineer.found(f"/api/2.0/postgres/{branch['name']}/endpoints")["endpoints"]
    assert endpoint["name"] == ENDPOINT
    assert engineer.found(f"/api/2.0/postgres/{project['name']}")["name"] == project["name"]
    assert engineer.found(f"/api/2.0/postgres/{branch['name']}")["name"] == branch["name"]


@pytest.mark.parametrize(
    "wrong",
    [ENDPOINT.replace("plant", "x"), ENDPOINT.replace("production", "x"), ENDPOINT.replace("primary", "x")],
)
def test_another_endpoint_is_not_found(engineer: Client, wrong: str) -> None:
    refused(engineer.get(f"/api/2.0/postgres/{wrong}"), 404, "NOT_FOUND")


def test_the_older_generation_says_it_otherwise(engineer: Client) -> None:
    assert engineer.found("/api/2.0/database/instances/plant")["read_write_dns"] == "127.0.0.1"
    (listed,) = engineer.found("/api/2.0/database/instances")["database_instances"]
    assert listed["name"] == "plant"
    refused(engineer.get("/api/2.0/database/instances/x"), 404, "RESOURCE_DOES_NOT_EXIST")


# ── credentials ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_credential_lasts_an_hour_or_as_long_as_asked(engineer: Client) -> None:
    now = datetime.fromisoformat(engineer.workspace.state()["now"])

    def lasts_s(**fields: object) -> float:
        expiry = engineer.made(MINT, {"endpoint": ENDPOINT, **fields})["expire_time"]
        return (datetime.fromisoformat(expiry) - now).total_seconds()

    assert 3600 <= lasts_s() < 3610
    assert 600 <= lasts_s(ttl="600s") < 610
    assert 890 <= lasts_s(expire_time=datetime.fromtimestamp(now.timestamp() + 900, UTC).isoformat()) < 910


@pytest.mark.parametrize("ttl", ["3601s", "299s", "1h", "3600", ""])
def test_a_lifetime_that_is_none_is_refused(engineer: Client, ttl: str) -> None:
    refused(engineer.post(MINT, {"endpoint": ENDPOINT, "ttl": ttl}), 400, "INVALID_PARAMETER_VALUE")


def test_a_lifetime_as_a_number_is_refused(engineer: Client) -> None:
    """It is a protobuf duration: text."""
    refused(engineer.post(MINT, {"endpoint": ENDPOINT, "ttl": 3600}), 400, "INVALID_PARAMETER_VALUE", "ttl")


@pytest.mark.parametrize("wrong", ["projects/plant/branches/production", "plant", ""])
def test_a_credential_wants_an_endpoint_and_no_branch(engineer: Client, wrong: str) -> None:
    refused(engineer.post(MINT, {"endpoint": wrong}), 400, "INVALID_PARAMETER_VALUE")


def test_the_older_generation_names_the_expiry_otherwise(engineer: Client, connect: Connect) -> None:
    body = {"instance_names": ["plant"], "request_id": "0b5b0b68-9d3f-4c0f-8d3e-0c9a1f0f7b11"}
    found = engineer.made("/api/2.0/database/credentials", body)
    assert set(found) == {"token", "expiration_time"}
    connect(password=found["token"])
    wrong = {**body, "request_id": "one"}
    refused(engineer.post("/api/2.0/database/credentials", wrong), 400, "INVALID_PARAMETER_VALUE", "UUID")
    other = {**body, "instance_names": ["other"]}
    refused(engineer.post("/api/2.0/database/credentials", other), 404, "RESOURCE_DOES_NOT_EXIST")


# ── logging in ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_minted_token_is_a_password(connect: Connect, engineer: Client) -> None:
    found = (
        connect()
        .execute("select session_user, rolsuper from pg_roles where rolname = session_user")
        .fetchone()
    )
    assert found == (engineer.workspace.user, False)


def test_everything_passes_both_ways(connect: Connect) -> None:
    connection = connect(application_name="bridge", options="-c work_mem=1234kB")
    assert connection.execute("show application_name").fetchone() == ("bridge",)
    assert connection.execute("show work_mem").fetchone() == ("1234kB",)
    large = "x" * 3_000_000
    assert connection.execute("select %s::text", (large,)).fetchone() == (large,)
    with connection.cursor().copy("copy (select generate_series(1, 100000)) to stdout") as copy:
        assert sum(len(bytes(block)) for block in copy) == 588_895
    connection.execute("listen news")
    connection.execute("notify news, 'hello'")
    assert [note.payload for note in connection.notifies(timeout=30, stop_after=1)] == ["hello"]


def test_a_query_can_be_cancelled(connect: Connect) -> None:
    connection = connect()
    threading.Timer(0.3, connection.cancel).start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("select pg_sleep(20)")


def test_the_expiry_is_looked_at_when_logging_in_only(connect: Connect, engineer: Client) -> None:
    token = mint(engineer, ttl="300s")
    connection = connect(password=token)
    engineer.workspace.advance(301)
    assert connection.execute("select 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="expired"):
        connect(password=token)


def test_expired_token_ends_credentials_and_no_connection(connect: Connect, engineer: Client) -> None:
    token = mint(engineer)
    connection = connect(password=token)
    engineer.workspace.fault("expired_token")
    assert connection.execute("select 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="expired"):
        connect(password=token)


def test_a_token_is_good_for_its_own_identity_only(connect: Connect, service: Client) -> None:
    with pytest.raises(psycopg.OperationalError, match="another identity"):
        connect(password=mint(service))


@pytest.mark.parametrize("password", ["wrong", "token", "oauth"])
def test_nothing_else_is_a_password(connect: Connect, service: Client, password: str) -> None:
    """Not even what opens the workspace itself."""
    tokens = {
        "token": service.workspace.token,
        "oauth": str(service.session.headers["Authorization"]).removeprefix("Bearer "),
    }
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(password=tokens.get(password, password))


def test_an_identity_without_a_role_cannot_log_in(connect: Connect, service: Client) -> None:
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(user=service.workspace.client_id, password=mint(service))


def test_a_role_made_as_documented_can(connect: Connect, service: Client, principal_role: str) -> None:
    connection = connect(user=principal_role, password=mint(service))
    assert connection.execute("select session_user").fetchone() == (principal_role,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from sensor_data")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select databricks_create_role('other', 'USER')")


def test_a_role_made_plainly_cannot(connect: Connect, service: Client, lakebase_url: str) -> None:
    name = service.workspace.client_id
    with psycopg.connect(lakebase_url, autocommit=True) as superuser:
        superuser.execute(f"create role \"{name}\" login password 'known'")
        try:
            with pytest.raises(psycopg.OperationalError, match="no role of a Databricks identity"):
                connect(user=name, password=mint(service))
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                connect(user=name, password="known")  # native login is off
        finally:
            superuser.execute(f'drop role "{name}"')


def test_the_owner_is_no_superuser(connect: Connect) -> None:
    owner = connect()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute("create role too_much superuser")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute("copy (select 1) to program 'true'")
    owner.execute("create role enough nologin")
    owner.execute("drop role enough")


def test_an_unknown_database_is_refused_by_the_server_itself(connect: Connect) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "nowhere" does not exist'):
        connect(dbname="nowhere")


def test_tls_is_answered_no_on_loopback(connect: Connect) -> None:
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
        connect(sslmode="require")


# ── going away ────────────────────────────────────────────────────────────────────────────────────────────


def test_scaled_to_zero_drops_everybody_and_wakes_on_connect(connect: Connect, engineer: Client) -> None:
    one, other = connect(), connect()
    other.execute("begin")
    assert engineer.workspace.fault("lakebase_suspend 0.5s") == "2 dropped"
    state = engineer.found(f"/api/2.0/postgres/{ENDPOINT}")["status"]["current_state"]
    assert state == "IDLE"
    for connection in (one, other):
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("select 1")
        assert connection.closed
    began_s = time.monotonic()
    assert connect().execute("select 1").fetchone() == (1,)
    assert time.monotonic() - began_s >= 0.5
    assert engineer.found(f"/api/2.0/postgres/{ENDPOINT}")["status"]["current_state"] == "ACTIVE"


def test_what_was_listened_to_is_forgotten(connect: Connect, engineer: Client) -> None:
    listening = connect()
    listening.execute("listen news")
    engineer.workspace.fault("lakebase_suspend 0s")
    with pytest.raises(psycopg.OperationalError):
        list(listening.notifies(timeout=30))


def test_a_query_under_way_is_broken_off(connect: Connect, engineer: Client) -> None:
    connection = connect()
    threading.Timer(0.3, engineer.workspace.fault, ("lakebase_suspend 0s",)).start()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select pg_sleep(20)")


def test_a_failover_resets_all_and_refuses_for_a_while(connect: Connect, engineer: Client) -> None:
    connection, password = connect(), mint(engineer)
    assert engineer.workspace.fault("lakebase_failover 1s") == "1 reset"
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    with pytest.raises(psycopg.OperationalError, match="starting up"):
        connect(password=password)

    def again() -> psycopg.Connection[Any] | None:
        try:
            return connect(password=password)
        except psycopg.OperationalError:
            return None

    assert until(again, "the same host").execute("select 1").fetchone() == (1,)


def test_idle_connections_are_closed_without_a_word(connect: Connect, engineer: Client) -> None:
    idle, busy = connect(), connect()
    busy.execute("begin")
    idle.execute("select 1")
    assert engineer.workspace.fault("lakebase_idle_close") == "1 closed"
    with pytest.raises(psycopg.OperationalError, match="closed the connection unexpectedly"):
        idle.execute("select 1")
    assert busy.execute("select 1").fetchone() == (1,)


def test_there_is_a_limit_of_connections(connect: Connect, engineer: Client) -> None:
    """Five in these tests."""
    password = mint(engineer)
    opened = [connect(password=password) for _ in range(5)]
    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        connect(password=password)
    opened[0].close()
    until(lambda: True if engineer.workspace.state()["lakebase"]["open"] == 4 else None, "a free place")
    connect(password=password)


def test_lakebase_full_refuses_until_it_is_cleared(connect: Connect, engineer: Client) -> None:
    password = mint(engineer)
    engineer.workspace.fault("lakebase_full")
    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        connect(password=password)
    engineer.workspace.clear("lakebase_full")
    connect(password=password)


def test_credential_refused_refuses_until_it_is_cleared(connect: Connect, engineer: Client) -> None:
    password = mint(engineer)
    engineer.workspace.fault("credential_refused")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(password=password)
    engineer.workspace.clear("credential_refused")
    connect(password=password)


def test_minted_credentials_and_logins_are_counted(connect: Connect, engineer: Client) -> None:
    before = engineer.workspace.state()["lakebase"]
    password = mint(engineer)
    connect(password=password)
    connect(password=password)
    after = engineer.workspace.state()["lakebase"]
    assert after["minted"] - before["minted"] == 1
    assert after["logins"] - before["logins"] == 2


# ── other ways to start it ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def strict(
    fresh_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WorkspaceProcess, Path]]:
    """A Lakebase that demands TLS and lets native passwords in."""
    folder = tmp_path_factory.mktemp("tls")
    url = fresh_database()
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("create role native_bridge login password 'of its own'")
    arguments = ("--database", url, "--no-warehouse", "--native-login", "--lakebase-tls", str(folder))
    with WorkspaceProcess.start(*arguments) as started:
        yield started, folder
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute("drop role native_bridge")


def of(workspace: WorkspaceProcess, user: str, password: str, **parameters: Any) -> psycopg.Connection[Any]:
    lakebase = workspace.ready["lakebase"]
    return psycopg.connect(
        host="127.0.0.1",
        port=lakebase["port"],
        dbname=lakebase["database"],
        user=user,
        password=password,
        connect_timeout=20,
        **parameters,
    )


def test_with_a_certificate_tls_is_demanded(strict: tuple[WorkspaceProcess, Path]) -> None:
    workspace, folder = strict
    client = Client(workspace, workspace.token)
    token = mint(client)
    client.session.close()
    with of(workspace, workspace.user, token, sslmode="require") as connection:
        assert connection.pgconn.ssl_in_use
        large = "x" * 3_000_000
        assert connection.execute("select %s::text", (large,)).fetchone() == (large,)
    trusted = {"sslmode": "verify-full", "sslrootcert": str(folder / "certificate.pem")}
    of(workspace, workspace.user, token, **trusted).close()
    with pytest.raises(psycopg.OperationalError, match="connection is insecure"):
        of(workspace, workspace.user, token, sslmode="disable")


def test_a_native_password_is_taken_where_that_is_switched_on(strict: tuple[WorkspaceProcess, Path]) -> None:
    workspace, _ = strict
    with of(workspace, "native_bridge", "of its own") as connection:
        assert connection.execute("select session_user").fetchone() == ("native_bridge",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select databricks_create_role('x', 'USER')")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        of(workspace, "native_bridge", "of another")
