"""Where SQL runs for real: the simulated warehouse, or the plant's own tables in Lakebase, read-only.

Everything comes back as Databricks sends it in a JSON array: text or null.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Protocol

import psycopg
import sqlglot
from sqlglot import exp

LAKEBASE_CATALOG: Final = "plant_lakebase"
"""The read-only catalog under which the Lakebase database is registered."""

_SHORT: Final = {"BIGINT": "LONG", "SMALLINT": "SHORT", "TINYINT": "BYTE"}
_STATEMENT_S: Final = 60


@dataclass(frozen=True, kw_only=True)
class Column:
    """``type_text`` as SQL writes it, for example DECIMAL(10,2)."""

    name: str
    type_text: str
    precision: int | None = None
    scale: int | None = None

    @property
    def type_name(self) -> str:
        """As the REST API calls it: LONG where SQL says BIGINT."""
        word = self.type_text.partition("(")[0]
        return _SHORT.get(word, word)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A result; without columns for statements that give none."""

    columns: tuple[Column, ...] = ()
    rows: list[list[str | None]] = field(default_factory=list)


class SqlRefused(Exception):
    """The statement is wrong, or may not run here; with its SQLSTATE."""

    def __init__(self, sql_state: str, message: str) -> None:
        super().__init__(message)
        self.sql_state = sql_state
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """``:name`` in the statement; no text is NULL."""

    name: str
    text: str | None
    type: str = "STRING"


class Engine(Protocol):
    """Runs one statement to its end, in the caller's thread. Raises ``SqlRefused``."""

    def run(self, statement: str, parameters: Sequence[Parameter], catalog: str, schema: str) -> Rows:
        """The result of the statement."""
        ...


_TYPES: Final = {
    16: "BOOLEAN",
    20: "BIGINT",
    21: "SMALLINT",
    23: "INT",
    25: "STRING",
    700: "FLOAT",
    701: "DOUBLE",
    1082: "DATE",
    1114: "TIMESTAMP_NTZ",
    1184: "TIMESTAMP",
}
_NUMERIC: Final = 1700
_CASTS: Final = {
    "STRING": "text",
    "INT": "integer",
    "BIGINT": "bigint",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamptz",
    "DECIMAL": "numeric",
}


class LakebaseEngine:
    """Databricks SQL over the tables of a Lakebase database, as a registered catalog offers it: SELECT alone."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None

    def run(self, statement: str, parameters: Sequence[Parameter], catalog: str, schema: str) -> Rows:
        """Raises ``SqlRefused``: 25006 for anything that is no query."""
        text = _translated(statement, parameters, schema)
        with self._lock:
            try:
                return self._run(text)
            except psycopg.OperationalError:
                if self._connection is not None and not self._connection.closed:
                    raise
                return self._run(text)  # the connection had been closed since: once more on a new one

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _run(self, text: str) -> Rows:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, connect_timeout=10)
        connection = self._connection
        try:
            with connection.transaction():
                connection.execute("set transaction read only")
                connection.execute(
                    "set local role pg_read_all_data"
                )  # no superuser's powers for what is asked here
                connection.execute(f"set local statement_timeout = '{_STATEMENT_S}s'")
                found = connection.execute(text)
                columns = tuple(_column(each) for each in found.description or ())
                return Rows(
                    columns=columns, rows=[[_text(value) for value in row] for row in found.fetchall()]
                )
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            said = str(error).strip().splitlines()[0]
            state = error.sqlstate or "HY000"
            raise SqlRefused(state, f"{said} SQLSTATE: {state}") from error


def _translated(statement: str, parameters: Sequence[Parameter], schema: str) -> str:
    try:
        trees = [tree for tree in sqlglot.parse(statement, read="databricks") if tree is not None]
    except sqlglot.errors.SqlglotError as error:
        said = str(error).splitlines()[0]
        raise SqlRefused("42601", f"[PARSE_SYNTAX_ERROR] {said} SQLSTATE: 42601") from error
    if len(trees) != 1:
        raise SqlRefused("42601", f"one statement was expected, found {len(trees)} SQLSTATE: 42601")
    tree = trees[0]
    if not isinstance(tree, exp.Query):
        raise SqlRefused(
            "25006", "a catalog registered from Lakebase is read-only: a SELECT was expected SQLSTATE: 25006"
        )
    named = {each.name: each for each in parameters}
    for table in tree.find_all(exp.Table):
        if table.catalog.lower() == LAKEBASE_CATALOG:
            table.set("catalog", None)
        if schema and not table.db:
            table.set("db", exp.to_identifier(schema))
    for literal in list(tree.find_all(exp.Literal)):
        if literal.is_number and "e" in literal.name.lower():  # DOUBLE there, numeric in PostgreSQL
            literal.replace(exp.cast(literal.copy(), "double"))
    for marker in list(tree.find_all(exp.Placeholder)):
        found = named.get(marker.name)
        if found is None:
            message = f"[UNBOUND_SQL_PARAMETER] no value for :{marker.name} SQLSTATE: 42P02"
            raise SqlRefused("42P02", message)
        wanted = found.type.partition("(")[0].upper()
        if wanted not in _CASTS:
            raise SqlRefused(
                "42K09", f"parameter {found.name}: type {found.type} is not known here SQLSTATE: 42K09"
            )
        value: exp.Expression = exp.null() if found.text is None else exp.Literal.string(found.text)
        marker.replace(exp.cast(value, _CASTS[wanted], dialect="postgres"))
    return tree.sql(dialect="postgres")


def _column(found: psycopg.Column) -> Column:
    if found.type_code == _NUMERIC:
        precision, scale = found.precision or 38, found.scale if found.precision else 18
        return Column(
            name=found.name, type_text=f"DECIMAL({precision},{scale})", precision=precision, scale=scale
        )
    return Column(name=found.name, type_text=_TYPES.get(found.type_code, "STRING"))


def _text(value: object) -> str | None:
    """As Databricks writes a value in a JSON array."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case datetime():
            return value.isoformat(timespec="milliseconds")
        case Decimal():
            return format(value, "f")
        case dict() | list():
            return json.dumps(value, default=str)
        case _:
            return str(value)
