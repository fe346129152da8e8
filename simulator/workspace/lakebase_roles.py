"""What Lakebase adds to a PostgreSQL: its administrative role, the project owner's, and ``databricks_create_role``.

The owner of a project is no superuser: it owns the default database, may make roles and databases, and that is all.
A role made by ``databricks_create_role`` can log in with a token of its identity; one made by a plain ``create role``
cannot. The mark is the role's comment.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass, field
from typing import Final, LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from simulator.workspace.front import Behind
from simulator.workspace.postgres_wire import PostgresRefusal

OAUTH: Final = "LAKEBASE_OAUTH_V1"

_CREATE_ROLE: Final[LiteralString] = """
create or replace function public.databricks_create_role(identity text, kind text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if upper(kind) not in ('USER', 'SERVICE_PRINCIPAL', 'GROUP') then
        raise exception 'identity type must be USER, SERVICE_PRINCIPAL or GROUP, found %', kind
            using errcode = '22023';
    end if;
    if coalesce((select shobj_description(oid, 'pg_authid') from pg_roles where rolname = session_user), '')
            <> 'LAKEBASE_OAUTH_V1' then
        raise exception 'a session that logged in with a native password cannot create Databricks roles'
            using errcode = '42501';
    end if;
    if not (select rolcreaterole from pg_roles where rolname = session_user) then
        raise exception 'permission denied to create role' using errcode = '42501';
    end if;
    if exists (select 1 from pg_roles where rolname = identity) then
        raise exception 'role "%" already exists', identity using errcode = '42710';
    end if;
    execute format('create role %I login', identity);
    execute format('comment on role %I is %L', identity, 'LAKEBASE_OAUTH_V1');
    execute format('grant %I to %I with admin option, inherit false, set false', identity, session_user);
    return identity;
end $$
"""


@dataclass(kw_only=True)
class Roles:
    """The real server, seen by its superuser; ``url`` is that one's and names the default database."""

    url: str
    _connection: psycopg.Connection | None = field(default=None, repr=False)
    _verifiers: dict[str, str | None] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def behind(self) -> Behind:
        """Where the front passes to. ``ValueError`` when the URL lacks something."""
        parts = urlsplit(self.url)
        if parts.hostname is None or parts.password is None or not parts.path.strip("/"):
            raise ValueError("--database wants postgresql://SUPERUSER:PASSWORD@HOST:PORT/DATABASE")
        return Behind(host=parts.hostname, port=parts.port or 5432, database=parts.path.strip("/"))

    def prepare(self, owner: str) -> None:
        """Make what a new project has. Safe to repeat. Raises ``psycopg.Error``."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute("select pg_advisory_lock(7217)")  # roles belong to the whole server
            _make(connection, "databricks_superuser", "nologin createdb createrole bypassrls")
            connection.execute(
                "grant pg_read_all_data, pg_write_all_data, pg_monitor to databricks_superuser with admin option"
            )
            _make(connection, owner, "login createdb createrole bypassrls")
            said = sql.SQL("comment on role {} is {}")
            connection.execute(said.format(sql.Identifier(owner), sql.Literal(OAUTH)))
            grant = sql.SQL("grant databricks_superuser to {} with admin option")
            connection.execute(grant.format(sql.Identifier(owner)))
            owns = sql.SQL("alter database {} owner to {}")
            connection.execute(owns.format(sql.Identifier(name), sql.Identifier(owner)))
            connection.execute(_CREATE_ROLE)
            # The extension's files are not here; that it is there already is all that anybody can see.
            connection.execute(
                "insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) "
                "select (select coalesce(max(oid::bigint), 0) + 900000 from pg_extension)::oid, 'databricks_auth', 10, "
                "'public'::regnamespace, false, '1.0' "
                "where not exists (select 1 from pg_extension where extname = 'databricks_auth')"
            )

    def password(self, role: str) -> str:
        """Let the role in at the real server, by a password that only we know; it is always the same.

        Raises ``PostgresRefusal`` as Lakebase would for a role that is not there or takes no token.
        """
        secret = hmac.new(self.url.encode(), role.encode(), hashlib.sha256).hexdigest()
        try:
            with self._lock:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(
                        self.url, dbname="postgres", autocommit=True, connect_timeout=10
                    )
                self._let_in(self._connection, role, secret)
        except psycopg.OperationalError as error:
            raise PostgresRefusal(sql_state="57P03", message=f"the compute is not there: {error}") from error
        return secret

    def _let_in(self, connection: psycopg.Connection, role: str, secret: str) -> None:
        look = "select shobj_description(oid, 'pg_authid'), rolpassword from pg_authid where rolname = %s"
        found = connection.execute(look, (role,)).fetchone()
        if found is None or found[0] != OAUTH:
            why = "does not exist" if found is None else f"is no role of a Databricks identity ({OAUTH})"
            raise PostgresRefusal(
                sql_state="28P01", message=f'password authentication failed: role "{role}" {why}'
            )
        if found[1] is None or found[1] != self._verifiers.get(role):  # new, or made anew meanwhile
            change = sql.SQL("alter role {} password {}")
            connection.execute(change.format(sql.Identifier(role), sql.Literal(secret)))
            again = connection.execute(look, (role,)).fetchone()
            self._verifiers[role] = again[1] if again is not None else None

    def close(self) -> None:
        """Let go of the real server."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()


def _make(connection: psycopg.Connection, role: str, attributes: LiteralString) -> None:
    known = connection.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
    verb: LiteralString = "alter" if known else "create"
    connection.execute(sql.SQL(f"{verb} role {{}} {attributes}").format(sql.Identifier(role)))
