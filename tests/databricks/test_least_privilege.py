"""Does all of it work where nobody is a superuser: roles by script, migrations, the route, retention?"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.types.json import Jsonb
from rig import Connection, connect, denied, one_write, sql

from bridge.domain.lifecycle import Role
from bridge.domain.reading import Quality, Reading
from bridge.errors import AccessDenied, FixConfiguration
from bridge.plant import Plant
from bridge.settings import AgentSettings, StoreSettings
from bridge.store.connection import Database
from bridge.store.desk import Desk, publish_limits, unpublished
from bridge.store.grants import grants_script
from bridge.store.migrate import migrate, migrations, schema_status
from bridge.store.postgres import PostgresStore
from bridge.store.queries import Queries


@dataclass(frozen=True)
class Site:
    """A database whose administrator is what a Lakebase project's owner is, and logins that have no right yet."""

    superuser_url: str
    admin: str
    owner: str
    agent: str
    operator: str
    reader: str

    def url(self, login: str) -> str:
        parts = urlsplit(self.superuser_url)
        return parts._replace(netloc=f"{login}:pw@{parts.hostname}:{parts.port}").geturl()

    def script(self, *, reader: str | None = None) -> str:
        return grants_script(
            {
                "owner": self.owner,
                "agent": self.agent,
                "operator": self.operator,
                "reader": self.reader if reader is None else reader,
            },
            schema="bridge",
        )

    def run_script(self) -> list[str]:
        """As the administrator; what it had to say."""
        notices: list[str] = []
        with connect(self.url(self.admin)) as connection:
            connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
            connection.execute(sql(self.script()))
        return notices


@pytest.fixture
def site(postgres_url: str, drop_database: Callable[[str], None]) -> Iterator[Site]:
    mark = secrets.token_hex(3)
    names = {party: f"{party}_{mark}" for party in ("admin", "owner", "agent", "operator", "reader")}
    url = f"{postgres_url.rsplit('/', 1)[0]}/site_{mark}"
    with connect(postgres_url) as connection:
        connection.execute(sql(f"create role {names['admin']} login createrole createdb password 'pw'"))
        connection.execute(sql(f"create database site_{mark} owner {names['admin']}"))
        # They exist already on this server, which other tests share; whoever made them could do the same.
        connection.execute(
            sql(f"grant bridge_agent, bridge_operator, bridge_reader to {names['admin']} with admin option")
        )
    with connect(f"{url.rsplit('/', 1)[0]}/site_{mark}"):
        pass
    made = Site(url, **names)
    with connect(made.url(made.admin)) as connection:
        for login in (made.owner, made.agent, made.operator):
            connection.execute(sql(f"create role {login} login password 'pw'"))
    with connect(postgres_url) as connection:
        # Another administrator's: its settings are not ours to change.
        connection.execute(sql(f"create role {made.reader} login password 'pw'"))
    yield made
    drop_database(url)
    with connect(postgres_url) as connection:
        logins = ", ".join((made.owner, made.agent, made.operator, made.reader))
        connection.execute(sql(f"drop role {logins}"))
        connection.execute(sql(f"drop role {made.admin}"))


@asynccontextmanager
async def opened(
    site: Site, login: str, role: Role | None, schema: str = "bridge"
) -> AsyncIterator[Database]:
    database = Database(
        site.url(login), role=role, size=2, connect_timeout_s=5.0, statement_timeout_s=10.0, schema=schema
    )
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def migrated(site: Site) -> Site:
    site.run_script()
    async with opened(site, site.owner, None) as database:
        await migrate(database)
    return site


def column(connection: Connection, query: str) -> list[object]:
    return [next(iter(row.values())) for row in connection.execute(sql(query)).fetchall()]


async def test_the_owner_makes_its_schema_and_needs_no_more(site: Site) -> None:
    notices = site.run_script()
    assert [notice for notice in notices if site.reader in notice], (
        "a search path that could not be set is told"
    )
    assert not [notice for notice in notices if site.agent in notice]
    async with opened(site, site.owner, None) as database:
        assert await migrate(database) == tuple(migration.name for migration in migrations())
        assert await migrate(database) == ()
        assert (await schema_status(database)).current
    with connect(site.superuser_url) as connection:
        assert column(
            connection, "select distinct tableowner from pg_tables where schemaname = 'bridge'"
        ) == [site.owner]
        assert column(connection, "select tablename from pg_tables where schemaname = 'public'") == []
        # What it needed once can be taken back.
        connection.execute(sql(f"revoke create on database {connection.info.dbname} from {site.owner}"))
    async with opened(site, site.owner, None) as database:
        assert await migrate(database) == ()


def test_the_script_may_run_again(site: Site) -> None:
    site.run_script()
    site.run_script()


async def test_without_the_script_the_owner_is_told_what_is_missing(site: Site) -> None:
    async with opened(site, site.owner, None) as database:
        with pytest.raises(AccessDenied, match=r"may not create schema bridge in database .*db grants"):
            await migrate(database)
    with connect(site.superuser_url) as connection:
        connection.execute("create schema bridge")
    async with opened(site, site.owner, None) as database:
        with pytest.raises(AccessDenied, match=r"schema bridge belongs to somebody else.*db grants"):
            await migrate(database)


async def test_the_route_works_for_logins_that_are_members_and_nothing_else(
    migrated: Site, named: Queries, plant: Plant
) -> None:
    """Published limits, readings, proposal, approval, command: each as its own party."""
    site = migrated
    async with opened(site, site.owner, None) as database:
        await publish_limits(database, named, plant.writable)
    async with opened(site, site.agent, Role.AGENT) as database:
        store = PostgresStore(database, named, AgentSettings(), StoreSettings(retention_days=1))
        await store.open()
        now = datetime.now(UTC)
        tag = plant.equipment["REACTOR_01"].signals["temperature"]
        reading = Reading(tag, 91.0, Quality.GOOD, now, now)
        assert await store.store_readings([reading]) == 1
        await store.prepare_days()
        assert unpublished(await Desk(database, named).published_limits(), plant.writable) == []
    with connect(site.url(site.agent)) as agent:
        agent.execute("set role bridge_agent")  # by its own search path, as any other program would
        row = agent.execute(
            "insert into agent_recommendations (equipment_id, issue_type, severity, proposed_writes, source,"
            " root_cause_analysis, recommended_action)"
            " values ('REACTOR_01', 'high_temperature', 'medium', %s, 'rules', 'x', 'y') returning recommendation_id",
            (Jsonb([one_write()]),),
        ).fetchone()
        assert row is not None
        with denied():
            agent.execute("update agent_recommendations set approved_by_operator = 'me'")
        with denied():
            agent.execute("set role bridge_operator")
        with denied():
            agent.execute("delete from sensor_data")
    with connect(site.url(site.operator)) as operator:
        operator.execute("set role bridge_operator")
        operator.execute(
            "update agent_recommendations set status = 'approved', approved_by_operator = 'ann'"
            " where recommendation_id = %s",
            (row["recommendation_id"],),
        )
        assert column(operator, "select status from agent_recommendations") == ["approved"]
    with connect(site.url(site.reader)) as reader:
        reader.execute("set role bridge_reader")
        assert column(reader, "select count(*) from bridge.agent_audit") != [0]
        with denied():
            reader.execute("update bridge.bridge_control set armed = false")


async def test_old_days_go_by_the_owner_s_rights_when_the_agent_asks(migrated: Site, named: Queries) -> None:
    site = migrated
    with connect(site.superuser_url) as connection:
        connection.execute(
            "create table bridge.sensor_data_20200101 partition of bridge.sensor_data"
            " for values from ('2020-01-01 00:00:00+00') to ('2020-01-02 00:00:00+00')"
        )
        connection.execute(sql(f"alter table bridge.sensor_data_20200101 owner to {site.owner}"))
    async with opened(site, site.agent, Role.AGENT) as database:
        store = PostgresStore(database, named, AgentSettings(), StoreSettings(retention_days=30))
        await store.prepare_days()
    with connect(site.superuser_url) as connection:
        assert column(connection, "select to_regclass('bridge.sensor_data_20200101')") == [None]
        assert column(
            connection,
            "select to_regclass(format('bridge.sensor_data_%s', to_char(now() at time zone 'UTC', 'YYYYMMDD')))::text",
        ) != [None]


# The script itself


def test_names_are_put_in_as_text_whatever_they_hold(site: Site) -> None:
    """An application id has dashes, a person an @; and a name that wants to be SQL stays a name."""
    names = {"owner": "8c01-aa", "agent": "ann@example.com", "operator": "o'brien", "reader": "back\\slash"}
    text = grants_script(names, schema="bridge")
    assert ":'" not in text
    with connect(site.superuser_url) as connection:
        connection.execute(sql(text[text.index("select set_config") :].split(";")[0]))
        shown = connection.execute(
            "select current_setting('bridge.owner') as owner, current_setting('bridge.agent') as agent,"
            " current_setting('bridge.operator') as operator, current_setting('bridge.reader') as reader"
        ).fetchone()
    assert shown == names


@pytest.mark.parametrize("name", ["x" * 64, "a\nb", "a\x00b"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(FixConfiguration, match="owner: wanted a name"):
        grants_script({"owner": name, "agent": "a", "operator": "b", "reader": ""}, schema="bridge")


def test_a_login_that_is_not_there_is_named(site: Site) -> None:
    with (
        connect(site.url(site.admin)) as connection,
        pytest.raises(psycopg.Error, match="role nobody_x does not exist"),
    ):
        connection.execute(sql(site.script(reader="nobody_x")))


def test_nobody_may_read_when_nobody_is_named(site: Site) -> None:
    with connect(site.url(site.admin)) as connection:
        connection.execute(sql(site.script(reader="")))
    with connect(site.superuser_url) as connection:
        assert column(connection, f"select pg_has_role('{site.reader}', 'bridge_reader', 'member')") == [
            False
        ]
