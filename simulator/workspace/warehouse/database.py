"""The PostgreSQL beneath the warehouse: connections, one transaction a statement, and what it complains about."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import pq
from psycopg.adapt import Loader
from psycopg.rows import TupleRow
from psycopg.sql import Literal

_AT_ONCE: Final = 24  # statements at a time; more wait, as they do before a small warehouse
_NUMERIC: Final = 1700
_TEXT: Final = 25


@dataclass(frozen=True, slots=True)
class Field:
    """A column of an answer: PostgreSQL's type name, and digits where it is a numeric with declared ones."""

    name: str
    type: str
    precision: int | None = None
    scale: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """``count`` is what the command tag says: rows inserted, updated, deleted, or selected."""

    fields: tuple[Field, ...]
    rows: list[tuple[Any, ...]]
    count: int


class Complaint(Exception):
    """What PostgreSQL said, with its own SQLSTATE; names are empty where it gave none."""

    def __init__(self, error: psycopg.Error) -> None:
        diag = error.diag
        self.sqlstate = error.sqlstate or ""
        self.text = diag.message_primary or str(error).strip()
        self.detail = diag.message_detail or ""
        self.column = diag.column_name or ""
        self.table = diag.table_name or ""
        self.constraint = diag.constraint_name or ""
        super().__init__(f"{self.text} ({self.sqlstate})")


class _JsonText(Loader):
    """JSON as its text: that is what a warehouse gives its clients."""

    def load(self, data: bytes | bytearray | memoryview) -> str:
        return bytes(data).decode()


class Transaction:
    """One transaction, on one connection."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        self._over = False
        self._guard = threading.Lock()

    def run(self, sql: str) -> Answer:
        """One statement without parameters. Raises ``Complaint``."""
        return self._executed(sql, None)

    def ask(self, sql: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """Rows for one of our own statements, with %s. Raises ``Complaint``."""
        return self._executed(sql, values).rows

    def cancel(self) -> None:
        """Stop what runs, from another thread; nothing happens once the transaction is over."""
        with self._guard:
            if not self._over:
                self._connection.cancel_safe(timeout=5.0)

    def end(self) -> None:
        """From now on the connection is somebody else's: a late cancel must not reach it."""
        with self._guard:
            self._over = True

    def _executed(self, sql: str, values: Sequence[object] | None) -> Answer:
        try:
            cursor = self._connection.execute(sql, values)
            rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise Complaint(error) from error
        types = self._connection.adapters.types
        fields = []
        for column in cursor.description or ():
            known = types.get(column.type_code)
            fields.append(
                Field(
                    column.name,
                    known.name if known is not None else str(column.type_code),
                    column.precision if column.type_code == _NUMERIC else None,
                    column.scale if column.type_code == _NUMERIC else None,
                )
            )
        return Answer(tuple(fields), rows, cursor.rowcount)


class Database:
    """A handful of connections that are made when they are needed and kept."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._idle: list[psycopg.Connection[TupleRow]] = []
        self._guard = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Close what is idle; a statement that still runs closes its own."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def transaction(self, timezone: str, *, snapshot: bool = True) -> Iterator[Transaction]:
        """One transaction that sees the database as of now, or (``snapshot`` false) as it is at every statement.

        Commits at the end of the block; what is raised in it rolls back. Raises ``Complaint``.
        """
        with self._places, self._transaction(timezone, snapshot=snapshot) as transaction:
            yield transaction

    @contextmanager
    def glance(self) -> Iterator[Transaction]:
        """A short transaction beside one that runs, to see what others have committed since."""
        with self._transaction("UTC", snapshot=False) as transaction:
            yield transaction

    @contextmanager
    def _transaction(self, timezone: str, *, snapshot: bool) -> Iterator[Transaction]:
        connection = self._taken()
        transaction = Transaction(connection)
        try:
            level = "repeatable read" if snapshot else "read committed"
            try:
                zone = Literal(timezone).as_string(connection)
                connection.execute(f"begin isolation level {level}; set local timezone = {zone}")
            except psycopg.Error as error:
                raise Complaint(error) from error
            yield transaction
            try:
                connection.execute("commit")
            except psycopg.Error as error:
                raise Complaint(error) from error
        finally:
            transaction.end()
            self._given_back(connection)

    def _taken(self) -> psycopg.Connection[TupleRow]:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        try:
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,
                options="-c search_path=databricks,pg_catalog",
            )
        except psycopg.Error as error:
            raise Complaint(error) from error
        for name in ("json", "jsonb"):
            connection.adapters.register_loader(name, _JsonText)
        return connection

    def _given_back(self, connection: psycopg.Connection[TupleRow]) -> None:
        if connection.info.transaction_status is not pq.TransactionStatus.IDLE and not connection.closed:
            try:
                connection.execute("rollback")
            except psycopg.Error:
                connection.close()
        with self._guard:
            if not connection.closed and not self._closed:
                self._idle.append(connection)
                return
        connection.close()


@contextmanager
def own_database(server_url: str, name: str) -> Iterator[str]:
    """Make the database ``name`` on a server unless it is there; gives its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        exists = connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone()
        if exists is None:
            connection.execute(
                f"create database \"{name}\" template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8'"
            )
    yield f"{server_url.rsplit('/', 1)[0]}/{name}"
