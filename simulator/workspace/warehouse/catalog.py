"""What the metastore knows: catalogs, schemas, tables, columns and constraints, kept beside the data.

A table's rows stand in the PostgreSQL schema "catalog.schema". Keys and their like are informational: they
are written down here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.workspace.warehouse.database import Complaint, Database, Transaction
from simulator.workspace.warehouse.errors import Refused, quoted

_TABLES: Final = (Path(__file__).parent / "catalog.sql").read_text(encoding="utf-8")
_FUNCTIONS: Final = (Path(__file__).parent / "functions.sql").read_text(encoding="utf-8")
_LONGEST: Final = 63  # bytes of a name in PostgreSQL; Unity Catalog allows 255
_MAKING: Final = 5_281_011  # the advisory lock of whoever changes what exists


@dataclass(frozen=True, slots=True)
class Name:
    """A table's whole name, in lower case, as Unity Catalog compares names."""

    catalog: str
    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.catalog}.{self.schema}.{self.table}"

    @property
    def place(self) -> str:
        """The PostgreSQL schema."""
        return f"{self.catalog}.{self.schema}"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """``type`` as Databricks writes it (``DECIMAL(10,2)``); ``default`` as SQL, None for none."""

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """``kind`` is PRIMARY KEY, FOREIGN KEY or CHECK; ``definition`` is the condition of a CHECK."""

    name: str
    kind: str
    columns: tuple[str, ...] = ()
    definition: str = ""
    parent: str = ""
    parent_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table or a view (``kind`` MANAGED or VIEW)."""

    id: int
    name: Name
    kind: str
    columns: tuple[TableColumn, ...]
    identity: bool = False
    """Has an identity column, so that it takes no two writers at a time."""
    append_only: bool = False
    serializable: bool = False
    """Whether rows that others merely add disturb a statement that read the table."""
    partitioned: bool = False
    """Whether it has partitions, and so no row-level concurrency: any two changes that overlap disturb each other."""

    def column(self, name: str) -> TableColumn | None:
        """By its name in any case."""
        return next((one for one in self.columns if one.name.lower() == name.lower()), None)


def prepare(database: Database, catalog: str, schema: str) -> None:
    """Make our own schema, the functions, and the first catalog and schema. What is there stays."""
    with database.transaction("UTC", snapshot=False) as transaction:
        transaction.ask("select pg_advisory_xact_lock(%s)", _MAKING)
        transaction.run(_TABLES)
        transaction.run(_FUNCTIONS)
        make_catalog(transaction, catalog, if_not_exists=True)
        make_schema(transaction, catalog, "default", if_not_exists=True)
        make_schema(transaction, catalog, schema, if_not_exists=True)


def one_maker(transaction: Transaction) -> None:
    """Wait until nobody else changes what exists; holds until the end of the transaction."""
    transaction.ask("select pg_advisory_xact_lock(%s)", _MAKING)


def make_catalog(transaction: Transaction, name: str, *, if_not_exists: bool) -> None:
    """Raises ``Refused`` when it exists."""
    if transaction.ask("select 1 from databricks.catalogs where name = %s", name):
        if if_not_exists:
            return
        raise Refused("CATALOG_ALREADY_EXISTS", "42P06", f"Cannot create catalog {quoted(name)}: it exists.")
    transaction.ask("insert into databricks.catalogs (name) values (%s) returning 1", name)


def make_schema(transaction: Transaction, catalog: str, name: str, *, if_not_exists: bool) -> None:
    """Raises ``Refused`` when it exists or its catalog does not."""
    require_catalog(transaction, catalog)
    whole = f"{catalog}.{name}"
    if has_schema(transaction, catalog, name):
        if if_not_exists:
            return
        raise Refused(
            "SCHEMA_ALREADY_EXISTS",
            "42P06",
            f"Cannot create schema {quoted(whole)} because it already exists. Choose a different name, drop or "
            "replace the existing schema, or add the IF NOT EXISTS clause.",
        )
    short_enough(whole)
    transaction.run(f"create schema {identifier(whole)}")
    transaction.ask(
        "insert into databricks.schemas (catalog, name) values (%s, %s) returning 1", catalog, name
    )


def drop_schema(transaction: Transaction, catalog: str, name: str, *, cascade: bool) -> None:
    """Raises ``Refused`` when it holds tables and ``cascade`` was not asked for."""
    held = transaction.ask(
        "select count(*) from databricks.tables where catalog = %s and schema = %s", catalog, name
    )
    if held[0][0] and not cascade:
        raise Refused(
            "SCHEMA_NOT_EMPTY",
            "2BP01",
            f"Cannot drop a schema {quoted(f'{catalog}.{name}')} because it contains objects. "
            "Use DROP SCHEMA ... CASCADE to drop the schema and all its objects.",
        )
    transaction.ask(
        "delete from databricks.tables where catalog = %s and schema = %s returning 1", catalog, name
    )
    transaction.ask(
        "delete from databricks.schemas where catalog = %s and name = %s returning 1", catalog, name
    )
    transaction.run(f"drop schema {identifier(f'{catalog}.{name}')} cascade")


def require_catalog(transaction: Transaction, name: str) -> None:
    """Raises ``Refused`` unless it exists."""
    if not transaction.ask("select 1 from databricks.catalogs where name = %s", name):
        raise Refused("NO_SUCH_CATALOG_EXCEPTION", "42704", f"Catalog {quoted(name)} was not found.")


def has_schema(transaction: Transaction, catalog: str, name: str) -> bool:
    """Whether the schema exists."""
    found = transaction.ask(
        "select 1 from databricks.schemas where catalog = %s and name = %s", catalog, name
    )
    return bool(found)


def require_schema(transaction: Transaction, catalog: str, name: str) -> None:
    """Raises ``Refused`` unless both exist."""
    require_catalog(transaction, catalog)
    if not has_schema(transaction, catalog, name):
        raise Refused(
            "SCHEMA_NOT_FOUND",
            "42704",
            f"The schema {quoted(f'{catalog}.{name}')} cannot be found. Verify the spelling and correctness of "
            "the schema and catalog.",
        )


def find(transaction: Transaction, names: list[Name]) -> dict[Name, Table]:
    """Those of the tables that exist, in one round trip."""
    if not names:
        return {}
    rows = transaction.ask(
        """
        select t.id, t.catalog, t.schema, t.name, t.kind, t.identity,
               lower(t.properties ->> 'delta.appendOnly') = 'true',
               lower(t.properties ->> 'delta.isolationLevel') = 'serializable',
               t.properties ? 'partitionColumns',
               coalesce(array_agg(array[c.name, c.type, case when c.nullable then 'y' else '' end, c.default_text,
                                        c.comment] order by c.position) filter (where c.name is not null), '{}')
          from databricks.tables t
          left join databricks.columns c on c.table_id = t.id
          join unnest(%s::text[], %s::text[], %s::text[]) as wanted (catalog, schema, name)
            on (t.catalog, t.schema, t.name) = (wanted.catalog, wanted.schema, wanted.name)
         group by t.id
        """,
        [one.catalog for one in names],
        [one.schema for one in names],
        [one.table for one in names],
    )
    found = {}
    for (
        table_id,
        catalog,
        schema,
        table,
        kind,
        identity,
        append_only,
        serializable,
        partitioned,
        columns,
    ) in rows:
        name = Name(catalog, schema, table)
        found[name] = Table(
            table_id,
            name,
            kind,
            tuple(TableColumn(one[0], one[1], one[2] == "y", one[3], one[4]) for one in columns),
            identity,
            bool(append_only),
            bool(serializable),
            bool(partitioned),
        )
    return found


def record_table(
    transaction: Transaction,
    name: Name,
    kind: str,
    columns: list[TableColumn],
    constraints: list[Constraint],
    *,
    comment: str | None = None,
    properties: dict[str, str] | None = None,
    identity: bool = False,
    text: str | None = None,
) -> int:
    """Write down a new table; gives its number."""
    keys = list((properties or {}).keys())
    rows = transaction.ask(
        """
        insert into databricks.tables (catalog, schema, name, kind, comment, properties, identity, view_text)
        values (%s, %s, %s, %s, %s, coalesce(jsonb_object(%s::text[], %s::text[]), '{}'), %s, %s) returning id
        """,
        name.catalog,
        name.schema,
        name.table,
        kind,
        comment,
        keys,
        [(properties or {})[key] for key in keys],
        identity,
        text,
    )
    table_id = int(rows[0][0])
    record_columns(transaction, table_id, columns)
    for constraint in constraints:
        record_constraint(transaction, table_id, constraint)
    return table_id


def record_columns(transaction: Transaction, table_id: int, columns: list[TableColumn]) -> None:
    """Write down columns behind those that the table has."""
    for one in columns:
        transaction.ask(
            """
            insert into databricks.columns (table_id, position, name, type, nullable, default_text, comment)
            select %s, coalesce(max(position), 0) + 1, %s, %s, %s, %s, %s
              from databricks.columns where table_id = %s returning 1
            """,
            table_id,
            one.name,
            one.type,
            one.nullable,
            one.default,
            one.comment,
            table_id,
        )


def record_constraint(transaction: Transaction, table_id: int, constraint: Constraint) -> None:
    """Write down a constraint. Raises ``Refused`` when the table has one of that name."""
    if transaction.ask(
        "select 1 from databricks.constraints where table_id = %s and name = %s", table_id, constraint.name
    ):
        raise Refused(
            "DELTA_CONSTRAINT_ALREADY_EXISTS",
            "42710",
            f"Constraint '{constraint.name}' already exists. Please delete the old constraint first.",
        )
    transaction.ask(
        """
        insert into databricks.constraints (table_id, name, kind, columns, definition, parent, parent_columns)
        values (%s, %s, %s, %s, %s, %s, %s) returning 1
        """,
        table_id,
        constraint.name,
        constraint.kind,
        list(constraint.columns),
        constraint.definition,
        constraint.parent,
        list(constraint.parent_columns),
    )


def hold_metadata(transaction: Transaction, table: Table) -> None:
    """Keep the table as it is until the end. Raises ``Refused`` when it changed since the snapshot."""
    try:
        held = transaction.ask("select 1 from databricks.tables where id = %s for share", table.id)
    except Complaint as complaint:
        if complaint.sqlstate in ("40001", "40P01"):
            raise Refused(
                "DELTA_METADATA_CHANGED",
                "2D521",
                f"MetadataChangedException: The metadata of the Delta table {table.name} has been changed by a "
                "concurrent update. Please try the operation again.",
            ) from complaint
        raise
    if not held:
        raise Refused(
            "DELTA_METADATA_CHANGED", "2D521", f"The table {table.name} was dropped by a concurrent update."
        )


def change_metadata(transaction: Transaction, table_id: int) -> None:
    """Make every statement that overlaps this one fail when it writes to the table."""
    transaction.ask(
        "update databricks.tables set metadata_version = metadata_version + 1 where id = %s returning 1",
        table_id,
    )


def note_write(
    database: Database, transaction: Transaction, table: Table, kind: str, disturbed_by: frozenset[str]
) -> None:
    """Write down that the table was changed. Raises ``Refused`` if a statement that overlapped this one did so
    before in a way that disturbs it.

    Kinds are ``append`` (rows were merely added), ``reading_append`` (rows were added by a statement that read the
    table) and ``change`` (rows were changed or removed).
    """
    lock = "pg_advisory_xact_lock" if disturbed_by else "pg_advisory_xact_lock_shared"
    # The lock makes whoever looks wait for those who are about to commit, and keeps back those who come later.
    snapshot = transaction.ask(
        f"with held as materialized (select {lock}(%s, %s)) insert into databricks.writes (table_id, kind) "
        "select %s, %s from held returning pg_current_snapshot()::text",
        _MAKING,
        table.id % 2**31,
        table.id,
        kind,
    )[0][0]
    if not disturbed_by:
        return
    with database.glance() as glance:
        missed = glance.ask(
            "select kind from databricks.writes where table_id = %s and kind = any(%s) "
            "and not pg_visible_in_snapshot(xid, %s::pg_snapshot) limit 1",
            table.id,
            list(disturbed_by),
            snapshot,
        )
        glance.ask(
            "with gone as (delete from databricks.writes where table_id = %s and at < now() - interval '1 hour' "
            "returning 1) select count(*) from gone",
            table.id,
        )
    if missed:
        condition = "DELTA_CONCURRENT_DELETE_READ" if missed[0][0] == "change" else "DELTA_CONCURRENT_APPEND"
        raise Refused(
            f"{condition}.WHOLE_TABLE_READ",
            "2D521",
            f"Transaction conflict detected. Rows of {table.name} were "
            f"{'changed' if missed[0][0] == 'change' else 'added'} by a concurrent update while this operation read "
            "the table. Please retry the operation.",
        )


def identifier(name: str) -> str:
    """Quoted for PostgreSQL."""
    return '"' + name.replace('"', '""') + '"'


def short_enough(name: str) -> str:
    """The name itself. Raises ``Refused`` where PostgreSQL would cut it."""
    if len(name.encode()) > _LONGEST:
        raise Refused(
            "INVALID_IDENTIFIER",
            "42602",
            f"{quoted(name)} is too long: the simulated warehouse takes names of {_LONGEST} bytes.",
        )
    return name
