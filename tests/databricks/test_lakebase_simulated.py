"""The store on a simulated Lakebase, through its REST API and its wire: how it begins, and what it lives through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import pytest
from rig import sql
from typer.testing import CliRunner

from bridge.check import check_before_run
from bridge.cli import app
from bridge.domain.lifecycle import Role
from bridge.errors import AccessDenied, BridgeError, FixConfiguration, StoreDown
from bridge.plant import Plant
from bridge.settings import Settings
from bridge.storage import database
from bridge.store.connection import Database
from bridge.store.postgres import CHANNEL, PostgresStore
from bridge.store.queries import Queries
from simulator.workspace.process import WorkspaceProcess

DEADLINE_S = 40.0
OPERATOR = "operator@example.com"
CREDENTIALS = "/api/2.0/postgres/credentials"


@dataclass(frozen=True)
class Site:
    """A workspace with a Lakebase in it, and who is who."""

    workspace: WorkspaceProcess
    superuser_url: str

    def settings(
        self, *, who: str = "service", store: dict[str, object] | None = None, **lakebase: object
    ) -> Settings:
        """who: engineer (owns the project), service (the principal), stranger (no rights)."""
        ready = self.workspace.ready
        login = {
            "engineer": {"token": ready["token"]},
            "stranger": {"token": ready["stranger_token"]},
            "service": {"client_id": ready["client_id"], "client_secret": ready["client_secret"]},
        }[who]
        there = {"endpoint": ready["lakebase"]["endpoint"], "port": ready["lakebase"]["port"]}
        return Settings.model_validate(
            {
                "store": {"kind": "lakebase", "pool_size": 3, "connect_timeout_s": 3.0, **(store or {})},
                "databricks": {"host": self.workspace.host, **login, "lakebase": {**there, **lakebase}},
            }
        )

    def environment(self, who: str, **more: str) -> dict[str, str]:
        """The same as the environment of a command."""
        ready = self.workspace.ready
        login = {
            "engineer": {"BRIDGE_DATABRICKS__TOKEN": ready["token"]},
            "stranger": {"BRIDGE_DATABRICKS__TOKEN": ready["stranger_token"]},
            "service": {
                "DATABRICKS_CLIENT_ID": ready["client_id"],
                "DATABRICKS_CLIENT_SECRET": ready["client_secret"],
            },
        }[who]
        return {
            "BRIDGE_STORE__KIND": "lakebase",
            "BRIDGE_DATABRICKS__HOST": self.workspace.host,
            "BRIDGE_DATABRICKS__LAKEBASE__ENDPOINT": ready["lakebase"]["endpoint"],
            "BRIDGE_DATABRICKS__LAKEBASE__PORT": str(ready["lakebase"]["port"]),
            **{key: str(value) for key, value in login.items()},
            **more,
        }

    def count(self, path: str) -> int:
        """How often something was asked for, and answered well."""
        return sum(entry["path"] == path and entry["status"] == 200 for entry in self.workspace.requests())

    def logins(self) -> int:
        found: int = self.workspace.state()["lakebase"]["logins"]
        return found


def command(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={**environment, "COLUMNS": "300"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    said = result.stdout + result.stderr
    assert not [
        value for key, value in environment.items() if key.endswith(("TOKEN", "SECRET")) and value in said
    ]
    return result.exit_code, said


def _by_token(site: Site) -> dict[str, object]:
    """How the project's owner connects with psql: a minted token as password."""
    import requests

    ready = site.workspace.ready
    answer = requests.post(
        f"{site.workspace.host}{CREDENTIALS}",
        json={"endpoint": ready["lakebase"]["endpoint"]},
        headers={"Authorization": f"Bearer {ready['token']}"},
        timeout=10,
    )
    return {
        "host": "127.0.0.1",
        "port": ready["lakebase"]["port"],
        "dbname": "databricks_postgres",
        "user": ready["user"],
        "password": answer.json()["token"],
    }


@pytest.fixture(scope="module")
def prepared(
    fresh_database: Callable[..., str], drop_database: Callable[[str], None], postgres_url: str
) -> Iterator[Site]:
    """Prepared as the documentation says: the script by the project's owner, the migration by the service."""
    url = fresh_database("template1")
    with WorkspaceProcess.start("--database", url, "--no-warehouse", "--connection-limit", "6") as workspace:
        site = Site(workspace, url)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            # They exist on this server already; on a new project the script makes them, and may give them away.
            connection.execute(
                sql(
                    f'grant bridge_agent, bridge_operator, bridge_reader to "{workspace.user}" with admin option'
                )
            )
        code, script = command(
            *(
                "db",
                "grants",
                "--owner",
                workspace.client_id,
                "--agent",
                workspace.client_id,
                "--operator",
                OPERATOR,
            )
        )
        assert code == 0, script
        with psycopg.connect(**_by_token(site), autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(sql(script))
        code, said = command("db", "migrate", "--target", "lakebase", **site.environment("service"))
        assert code == 0, said
        assert "the schema is current" in said
        yield site
    drop_database(url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for role in (OPERATOR, workspace.client_id):  # of the whole server, where others make them anew
            connection.execute(sql(f'drop owned by "{role}"'))
            connection.execute(sql(f'drop role "{role}"'))


@pytest.fixture
def site(prepared: Site) -> Site:
    prepared.workspace.reset()
    return prepared


@pytest.fixture
async def agent(site: Site) -> AsyncIterator[Database]:
    made = database(site.settings(), Role.AGENT)
    await made.open()
    yield made
    await made.close()


async def ask(db: Database, named: Queries) -> None:
    await db.fetch(named.conditions.list_active)


async def works_again(attempt: Callable[[], Awaitable[None]]) -> int:
    """Try until it works, as the agent's tasks do; how often the database was away meanwhile."""
    away = 0
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await attempt()
            except StoreDown:
                away += 1
                await asyncio.sleep(0.05)
            else:
                return away


async def test_the_tables_are_in_a_schema_of_the_service_and_nowhere_else(site: Site) -> None:
    with psycopg.connect(site.superuser_url) as connection:
        rows = connection.execute(
            "select distinct schemaname, tableowner from pg_tables where tablename = 'agent_recommendations'"
        ).fetchall()
    assert rows == [("bridge", site.workspace.client_id)]


async def test_the_store_opens_as_a_service_principal(site: Site, named: Queries) -> None:
    """From the client secret to a row: OAuth token, identity, host, credential, connection, role."""
    settings = site.settings()
    store = PostgresStore(database(settings, Role.AGENT), named, settings.agent, settings.store)
    await store.open()
    try:
        assert await store.active_conditions() == []
        await store.heartbeat(online=True, polls_completed=1, cycle_ms=1.0, detail={})
        await store.prepare_days()
    finally:
        await store.close()
    assert site.count("/oidc/v1/token") == 1


async def test_at_most_one_credential_for_each_physical_connection(
    site: Site, agent: Database, named: Queries
) -> None:
    """And none for a query."""
    await asyncio.gather(*(ask(agent, named) for _ in range(50)))
    for _ in range(3):
        site.workspace.fault("lakebase_idle_close")
        await works_again(lambda: ask(agent, named))
        await asyncio.gather(*(ask(agent, named) for _ in range(20)))
    logins, minted = site.logins(), site.count(CREDENTIALS)
    assert logins >= 5
    assert 1 <= minted <= logins
    assert minted == 1, "connections of one quarter of an hour share a credential"


async def test_everything_expired_at_once_and_a_new_connection_still_stands(
    site: Site, agent: Database, named: Queries
) -> None:
    """OAuth token and credential are past their hour; what stands keeps standing, and what is new logs in anew."""
    await ask(agent, named)
    site.workspace.advance(3700)
    before = site.count(CREDENTIALS)
    await ask(agent, named)
    assert site.count(CREDENTIALS) == before
    site.workspace.fault("lakebase_idle_close")
    await works_again(lambda: ask(agent, named))
    assert site.count(CREDENTIALS) == before + 1
    assert site.count("/oidc/v1/token") == 2


@pytest.mark.parametrize(
    "fault", ["lakebase_idle_close", "lakebase_suspend 0.3s", "lakebase_failover 0.5s", "expired_token"]
)
async def test_what_ends_connections_is_lived_through(
    site: Site, agent: Database, named: Queries, fault: str
) -> None:
    await asyncio.gather(*(ask(agent, named) for _ in range(10)))
    for _ in range(2):
        site.workspace.fault(fault)
        await works_again(lambda: ask(agent, named))
    await asyncio.gather(*(ask(agent, named) for _ in range(10)))


@pytest.mark.parametrize("fault", ["lakebase_suspend 0.3s", "lakebase_failover 0.5s"])
async def test_the_listener_says_that_it_fell_and_stands_again(
    site: Site, agent: Database, named: Queries, fault: str
) -> None:
    """Suspended, LISTEN is gone: a hint in between is lost, and the first None says that polling has to look."""
    hints = agent.notifications(CHANNEL, wait_s=60.0)
    assert await asyncio.wait_for(anext(hints), DEADLINE_S) is None
    site.workspace.fault(fault)
    with pytest.raises(StoreDown):
        await asyncio.wait_for(anext(hints), DEADLINE_S)
    again: list[AsyncIterator[str | None]] = []

    async def listen() -> None:
        stream = agent.notifications(CHANNEL, wait_s=60.0)
        assert await asyncio.wait_for(anext(stream), DEADLINE_S) is None
        again.append(stream)

    await works_again(listen)
    with psycopg.connect(site.superuser_url, autocommit=True) as connection:
        connection.execute("select pg_notify('bridge', 'hello')")
    assert await asyncio.wait_for(anext(again[0]), DEADLINE_S) == "hello"
    await again[0].aclose()  # type: ignore[attr-defined]


async def test_a_full_database_is_waited_for_and_says_what_to_do(
    site: Site, agent: Database, named: Queries
) -> None:
    await ask(agent, named)
    site.workspace.fault("lakebase_full")
    site.workspace.fault("lakebase_idle_close")

    said = ""
    async with asyncio.timeout(DEADLINE_S):
        while "no connection left for us" not in said:
            try:  # a connection may pass one more question, or say that it was closed, before there is none
                await ask(agent, named)
            except StoreDown as problem:
                said = str(problem)
            await asyncio.sleep(0.05)
    assert "a smaller store.pool_size" in said
    site.workspace.clear("lakebase_full")
    await works_again(lambda: ask(agent, named))


async def test_more_connections_than_the_database_has_do_not_stop_the_others(
    site: Site, named: Queries
) -> None:
    """Six are allowed; three pools of three want nine. Each works with what it gets."""
    pools = [database(site.settings(), Role.AGENT) for _ in range(3)]
    try:
        for pool in pools:
            await pool.open()
        await asyncio.gather(*(works_again(partial(ask, pool, named)) for pool in pools for _ in range(20)))
    finally:
        for pool in pools:
            await pool.close()


async def test_a_refused_credential_is_tried_with_one_fresh_one_and_then_given_up(site: Site) -> None:
    site.workspace.fault("credential_refused")
    made = database(site.settings(), Role.AGENT)
    with pytest.raises(AccessDenied, match="refuses this login"):
        await made.open()
    await made.close()
    assert site.count(CREDENTIALS) == 1


async def test_a_workspace_that_is_away_at_the_start_is_a_store_that_is_down(site: Site) -> None:
    """`run` then waits where a bridge has run before, as for any database."""
    site.workspace.fault("unavailable POST:/api/2.0/postgres/credentials always")
    made = database(site.settings(), Role.AGENT)
    with pytest.raises(StoreDown, match=r"Lakebase: credential for endpoint projects/.*fails for now"):
        await made.open()
    await made.close()


@pytest.mark.parametrize(
    "fault",
    ["rate_limited 0s", "unavailable", "html", "cut_answer", "not_json", "lost_response", "dropped_request"],
)
async def test_a_stumbling_workspace_costs_a_moment_and_nothing_else(
    site: Site, named: Queries, fault: str
) -> None:
    """Each question on the way to a connection may be asked twice."""
    for path in (
        "GET:/api/2.0/postgres/*",
        "GET:/api/2.0/preview/scim/v2/Me",
        "POST:/api/2.0/postgres/credentials",
    ):
        site.workspace.fault(f"{fault} {path} x1")
    made = database(site.settings(store={"connect_timeout_s": 5.0}), Role.AGENT)
    await made.open()
    await ask(made, named)
    await made.close()
    assert sum(bool(entry["fault"]) for entry in site.workspace.requests()) == 3


BROKEN: list[tuple[dict[str, Any], type[BridgeError], str]] = [
    (
        {"endpoint": "projects/plant/branches/production/endpoints/nowhere"},
        FixConfiguration,
        "databricks.lakebase.endpoint says which",
    ),
    ({"user": "somebody@else.example.com"}, AccessDenied, "refuses this login"),
    ({"database": "no_such_database"}, AccessDenied, "no_such_database"),
]


@pytest.mark.parametrize(("lakebase", "kind", "words"), BROKEN)
async def test_what_is_configured_wrongly_is_named(
    site: Site, lakebase: dict[str, Any], kind: type[BridgeError], words: str
) -> None:
    made = database(site.settings(**lakebase), Role.AGENT)
    with pytest.raises(kind, match=words):
        await made.open()
    await made.close()


async def test_a_login_without_rights_is_told_so(site: Site) -> None:
    made = database(site.settings(who="stranger"), Role.AGENT)
    with pytest.raises(FixConfiguration, match="PERMISSION_DENIED"):
        await made.open()
    await made.close()


async def test_a_provisioned_instance_works_the_same(site: Site, named: Queries) -> None:
    name = site.workspace.ready["lakebase"]["instance"]
    made = database(site.settings(endpoint="", instance=name), Role.AGENT)
    await made.open()
    await ask(made, named)
    await made.close()
    assert site.count("/api/2.0/database/credentials") == 1


# At the terminal


def test_migrating_again_finds_nothing_to_do(site: Site) -> None:
    code, said = command("db", "migrate", **site.environment("service"))
    assert (code, "none of them now" in said) == (0, True), said


def test_somebody_who_may_not_migrate_is_told_who_can_help(site: Site) -> None:
    """The project's owner is no superuser: the schema is the service's."""
    code, said = command(
        "db", "migrate", **site.environment("service", BRIDGE_DATABRICKS__LAKEBASE__SCHEMA="other_x")
    )
    assert code == 0, said  # a schema of its own it may always make
    with psycopg.connect(site.superuser_url, autocommit=True) as connection:
        connection.execute("drop schema other_x cascade")
        connection.execute("create schema closed_x")
    code, said = command(
        "db", "migrate", **site.environment("service", BRIDGE_DATABRICKS__LAKEBASE__SCHEMA="closed_x")
    )
    assert code == 1
    assert "schema closed_x belongs to somebody else" in said
    assert "db grants" in said


def test_check_finds_nothing_wrong_with_a_service_that_cannot_decide(site: Site) -> None:
    """One identity for the agent alone is as it should be; that nobody can decide with it is worth a word."""
    settings = site.settings()
    report = asyncio.run(check_before_run(settings, Plant.of(settings)))
    assert report.problems == []
    assert report.looked_at[0] == "database: answers, and every login gets in"
    assert "roles: bridge_agent is usable" in report.looked_at
    (warning,) = report.findings
    assert warning.subject == "databricks.lakebase"
    assert "nobody can decide at this command line" in warning.problem


def test_check_names_the_section_of_a_login_that_fails(site: Site) -> None:
    code, said = command("check", **site.environment("stranger"))
    assert code == 1
    assert "databricks.lakebase" in said
    assert "PERMISSION_DENIED" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"BRIDGE_STORE__URL": "postgresql://x@127.0.0.1/y"}, "leave one of them out"),
        ({"BRIDGE_DATABRICKS__HOST": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"BRIDGE_DATABRICKS__LAKEBASE__CA_CERTIFICATE": "/no/such.pem"}, "no such file"),
        ({"DATABRICKS_TOKEN": "dapi-1"}, "two ways to log in"),
    ],
)
def test_a_contradiction_is_one_sentence(site: Site, more: dict[str, str], words: str) -> None:
    code, said = command("db", "status", **{**site.environment("service"), **more})
    assert code == 1
    assert words in said
    assert "Traceback" not in said


def test_without_a_section_it_says_which_is_wanted() -> None:
    code, said = command("db", "status", BRIDGE_STORE__KIND="lakebase")
    assert (code, "wants a section [databricks.lakebase]" in said) == (1, True), said


def test_no_login_with_a_password_is_made_on_lakebase(site: Site) -> None:
    code, said = command("db", "login", "ignition", "--role", "operator", **site.environment("service"))
    assert (code, "db grants" in said) == (1, True), said


def test_one_login_for_proposing_and_approving_is_not_scripted() -> None:
    code, said = command("db", "grants", "--owner", "a", "--agent", "b", "--operator", "b")
    assert (code, "propose and approve alike" in said) == (1, True), said
