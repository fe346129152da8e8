"""Forward-only migrations: each file runs once, in one transaction together with the record that it ran."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import AccessDenied, SchemaError
from bridge.store.connection import Connection, Database, create_schema

FOLDER = Path(__file__).parent / "migrations"

# Any number does, as long as no other program locks the same one: the bytes of "bridge".
_LOCK = 0x627269646765


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file: number, name, text, and the digest that shows whether it was edited after it ran."""

    number: int
    name: str
    sql: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    """What ran and what waits. `edited` are files that changed after they ran: forward only, so an error."""

    applied: tuple[str, ...]
    waiting: tuple[str, ...]
    edited: tuple[str, ...]

    @property
    def current(self) -> bool:
        """True when the database is exactly what this version of the bridge expects."""
        return not self.waiting and not self.edited


def migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The files in order; SchemaError when a number is missing or used twice."""
    found = []
    for number, file in enumerate(sorted(folder.glob("*.sql")), start=1):
        if file.stem.split("_")[0] != f"{number:04d}":
            raise SchemaError(f"{file}: wanted migration {number:04d} here; numbers run without gaps")
        sql = file.read_text(encoding="utf-8")
        found.append(
            Migration(number=number, name=file.stem, sql=sql, digest=hashlib.sha256(sql.encode()).hexdigest())
        )
    return tuple(found)


async def schema_status(database: Database, folder: Path = FOLDER) -> SchemaStatus:
    """Compare the database with the files; an empty database has everything waiting."""
    async with database.session("schema status") as connection:
        cursor = await connection.execute("select to_regclass('bridge_migrations') is not null as there")
        row = await cursor.fetchone()
        ran: dict[str, str] = {}
        if row is not None and row["there"]:
            cursor = await connection.execute("select name, digest from bridge_migrations order by number")
            ran = {entry["name"]: entry["digest"] for entry in await cursor.fetchall()}
    return compared(migrations(folder), ran)


def compared(files: Sequence[Migration], ran: Mapping[str, str]) -> SchemaStatus:
    """What these files are to a database in which `ran`, digests by name, have run."""
    return SchemaStatus(
        applied=tuple(file.name for file in files if file.name in ran),
        waiting=tuple(file.name for file in files if file.name not in ran),
        edited=tuple(file.name for file in files if ran.get(file.name, file.digest) != file.digest)
        + tuple(sorted(ran.keys() - {file.name for file in files})),
    )


async def migrate(database: Database, folder: Path = FOLDER) -> tuple[str, ...]:
    """Run what waits, as the owner; returns the names that ran now (empty: nothing waited).

    Two migrations at once wait for each other. A migration that fails leaves no trace, and those before
    it stay. Where the database names a schema of its own for the tables, that is made first. No superuser is needed:
    AccessDenied says which right is missing. SchemaError when a file was edited after it ran: write a new one instead.
    """
    ran = []
    async with database.session("migrate") as connection:
        # Waiting for another migration, and the work itself, take as long as they take. The timeout has to be
        # off before the statement that waits begins.
        cursor = await connection.execute("select current_setting('statement_timeout') as usual")
        row = await cursor.fetchone()
        await connection.execute("select set_config('statement_timeout', '0', false)")
        await connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        try:
            if database.schema:
                await _own_schema(connection, database.schema)
            await connection.execute(
                "create table if not exists bridge_migrations ("
                " number integer primary key, name text not null unique, digest text not null,"
                " applied_timestamp timestamptz not null default now())"
            )
            status = await schema_status(database, folder)
            if status.edited:
                raise SchemaError(
                    f"these migrations were changed after they ran, or are unknown here: {', '.join(status.edited)}; "
                    "migrations only go forward, so add a new file instead"
                )
            for migration in migrations(folder):
                if migration.name not in status.waiting:
                    continue
                async with connection.transaction():
                    await connection.execute(migration.sql, prepare=False)  # holds several statements
                    await connection.execute(
                        "insert into bridge_migrations (number, name, digest) values (%s, %s, %s)",
                        (migration.number, migration.name, migration.digest),
                    )
                ran.append(migration.name)
        finally:
            await connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))
            await connection.execute(
                "select set_config('statement_timeout', %s, false)", (row["usual"] if row else "0",)
            )
    return tuple(ran)


async def _own_schema(connection: Connection, schema: str) -> None:
    """Make the schema where it is missing. Whoever makes it owns it, and needs nothing more of the database."""
    cursor = await connection.execute(
        "select to_regnamespace(quote_ident(%(schema)s)) is not null as there,"
        " case when to_regnamespace(quote_ident(%(schema)s)) is null"
        " then has_database_privilege(current_database(), 'create')"
        " else has_schema_privilege(%(schema)s, 'create') end as allowed,"
        " session_user::text as login, current_database()::text as database",
        {"schema": schema},
    )
    row = await cursor.fetchone()
    assert row is not None
    if not row["allowed"]:
        missing = (
            f"schema {schema} belongs to somebody else, and {row['login']} may not create tables in it"
            if row["there"]
            else f"{row['login']} may not create schema {schema} in database {row['database']}"
        )
        raise AccessDenied(
            f"migrate: {missing}; let an administrator run what `ignition-bridge db grants` prints"
        )
    if not row["there"]:
        await create_schema(connection, schema)
