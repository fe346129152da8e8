"""Plain SQL on the agent's tables, for a demo that looks whether what it was told is so: no code of the bridge's."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString, Protocol
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from databricks.sql.client import Connection

_PATIENCE_S: Final = 30.0  # with one answer of a warehouse


def from_json(value: Any) -> Any:
    """What a column of JSON holds: PostgreSQL gives it as it is, Delta as text."""
    return json.loads(value) if isinstance(value, str) else value


class NotAnswered(Exception):
    """The tables could not be read; the message is the driver's."""


class Reader(Protocol):
    """Looks at the agent's tables, wherever they are."""

    def rows(self, statement: LiteralString, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """What a statement gives, by column; each ``%s`` in it stands for a value. Raises ``NotAnswered``."""
        ...

    def close(self) -> None:
        """Let go of the tables."""
        ...


class PostgresReader:
    """Over psycopg, on whatever PostgreSQL: by a URL, or by the parts of a connection."""

    def __init__(self, url: str = "", **parts: str | int) -> None:
        self._url = url
        self._parts = parts
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def rows(self, statement: LiteralString, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """See ``Reader.rows``."""
        try:
            if self._connection is None:
                given: dict[str, Any] = {**self._parts, "autocommit": True}
                self._connection = psycopg.connect(self._url, row_factory=dict_row, **given)
            return self._connection.execute(statement, values).fetchall()
        except psycopg.Error as problem:
            raise NotAnswered(str(problem).strip()) from problem

    def run(self, script: str) -> None:
        """Run a script of many statements. Raises ``NotAnswered``."""
        try:
            with psycopg.connect(self._url, autocommit=True, **dict[str, Any](self._parts)) as connection:
                connection.execute(script.encode())
        except psycopg.Error as problem:
            raise NotAnswered(str(problem).strip()) from problem

    def close(self) -> None:
        """See ``Reader.close``."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class WarehouseReader:
    """Through databricks-sql-connector, on the SQL warehouse at this address of this machine."""

    def __init__(self, uri: str, token: str, *, catalog: str = "", schema: str = "") -> None:
        self._uri = uri
        self._token = token
        self._place = {"catalog": catalog or None, "schema": schema or None}
        self._connection: Connection | None = None

    def rows(self, statement: LiteralString, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """See ``Reader.rows``."""
        from databricks.sql.exc import Error  # 180 MB, which nothing else here wants
        from urllib3.exceptions import HTTPError

        try:
            with self._opened().cursor() as cursor:
                cursor.execute(statement.replace("%s", "?"), list(values) or None)
                return [row.asDict() for row in cursor.fetchall()] if cursor.description else []
        except (Error, HTTPError, OSError) as problem:
            raise NotAnswered(str(problem).strip()) from problem

    def _opened(self) -> Connection:
        if self._connection is None:
            # Its advice on what else could be installed or configured is for whoever chose it.
            logging.getLogger("databricks.sql").setLevel(logging.CRITICAL)
            from databricks import sql

            self._connection = sql.connect(
                server_hostname="127.0.0.1",
                http_path=urlsplit(self._uri).path,
                access_token=self._token,
                _connection_uri=self._uri,
                _enable_v3_retries=False,
                _retry_stop_after_attempts_count=1,
                _socket_timeout=_PATIENCE_S,
                use_cloud_fetch=False,
                enable_telemetry=False,
                **self._place,
            )
        return self._connection

    def close(self) -> None:
        """See ``Reader.close``."""
        if self._connection is None:
            return
        from databricks.sql.exc import Error
        from urllib3.exceptions import HTTPError

        with contextlib.suppress(Error, HTTPError, OSError):  # a warehouse that is gone takes no leave
            self._connection.close()
        self._connection = None
