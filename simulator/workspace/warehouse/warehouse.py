"""A SQL warehouse on loopback: the engine, its sessions, its faults, and the doors that lead in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.workspace.warehouse import catalog as metastore
from simulator.workspace.warehouse import certificate, embedded, http
from simulator.workspace.warehouse.database import Database, own_database
from simulator.workspace.warehouse.engine import Context, Engine
from simulator.workspace.warehouse.faults import Faults
from simulator.workspace.warehouse.http import Answer
from simulator.workspace.warehouse.sessions import Sessions, Statement
from simulator.workspace.warehouse.values import Parameters, Result
from simulator.workspace.warehouse.wire import NotThrift, Service, method_of

_LOGIN_PAGE: Final = (
    b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in to continue</body></html>"
)
_DATABASE: Final = "warehouse"


def anything(token: str) -> bool:
    """The door for tests that are not about tokens: every token may come in, but one has to be there."""
    return bool(token)


@dataclass(kw_only=True)
class Warehouse:
    """A running warehouse; see ``serve``."""

    warehouse_id: str
    catalog: str
    schema: str
    accepts: Callable[[str], bool]
    sessions: Sessions
    faults: Faults
    port: int = 0
    tls_port: int = 0
    ca_file: Path | None = None
    """What a client of HTTPS has to trust; None without HTTPS."""

    def __post_init__(self) -> None:
        self._service = Service(self.sessions, self._fresh)

    @property
    def http_path(self) -> str:
        """What the connector wants as ``http_path``."""
        return f"/sql/1.0/warehouses/{self.warehouse_id}"

    @property
    def http_uri(self) -> str:
        """What the connector wants as ``_connection_uri``."""
        return f"http://127.0.0.1:{self.port}{self.http_path}"

    @property
    def statements(self) -> list[Statement]:
        """Everything that was executed, oldest first."""
        return self.sessions.statements

    def run_sql(
        self, statement: str, parameters: Parameters = None, *, catalog: str = "", schema: str = ""
    ) -> Result:
        """The same without the wire, in a session of its own. Raises ``Refused`` and, when stopped, ``Cancelled``."""
        context = self._fresh()
        context.catalog, context.schema = (catalog or self.catalog).lower(), (schema or self.schema).lower()
        return self.sessions.run_now(statement, parameters, context)

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """One POST, its header names in lower case; None drops the connection, as a fault wants it."""
        if self.faults.take("html") is not None:
            return Answer(200, {"Content-Type": "text/html"}, _LOGIN_PAGE)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if self.faults.take("expired_token") is not None:
            return _refused(403, "Invalid access token: it has expired.")
        if scheme.lower() != "bearer" or not self.accepts(token.strip()):
            return _refused(401 if not token else 403, "Invalid access token.")
        if path.partition("?")[0] != self.http_path:
            return _refused(404, f"No warehouse is at {path}; there is {self.http_path}.")
        try:
            if method_of(body) != "ExecuteStatement":
                return _thrift(self._service.answer(body))
            return self._executed(body)
        except NotThrift as error:
            return _refused(400, str(error))

    def _executed(self, body: bytes) -> Answer | None:
        for name, status in (("throttled", 429), ("unavailable", 503)):
            if (seconds := self.faults.take(name)) is not None:
                return _refused(status, f"The warehouse is {name}.", {"Retry-After": str(int(seconds))})
        lost = self.faults.take("lost_response") is not None
        reply = self._service.answer(body)
        return None if lost else _thrift(reply)

    def _fresh(self) -> Context:
        return Context(self.catalog, self.schema)


def _thrift(body: bytes) -> Answer:
    return Answer(200, {"Content-Type": "application/x-thrift"}, body)


def _refused(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(
        status,
        {"Content-Type": "text/plain", "x-databricks-reason-phrase": text, **(headers or {})},
        text.encode(),
    )


@contextmanager
def serve(
    folder: Path | None = None,
    *,
    database_url: str = "",
    accepts: Callable[[str], bool] = anything,
    warehouse_id: str = "simulated",
    catalog: str = "main",
    schema: str = "default",
    port: int = 0,
    tls_port: int | None = None,
) -> Iterator[Warehouse]:
    """Run a warehouse until the block ends.

    Its data are in an embedded PostgreSQL in ``folder`` (None: a temporary one), or in the database of
    ``database_url``, which must be its own. ``accepts`` says of every request's bearer token whether it may come
    in. Ports 0 take free ones; ``tls_port`` None means no HTTPS. Raises ``OSError`` when a port is taken.
    """
    with ExitStack() as stack:
        if not database_url:
            server = stack.enter_context(embedded.serve(folder))
            database_url = stack.enter_context(own_database(server, _DATABASE))
        database = Database(database_url)
        stack.callback(database.close)
        metastore.prepare(database, catalog.lower(), schema.lower())
        faults = Faults()
        sessions = Sessions(Engine(database), faults)
        stack.callback(sessions.close_all)
        warehouse = Warehouse(
            warehouse_id=warehouse_id,
            catalog=catalog.lower(),
            schema=schema.lower(),
            accepts=accepts,
            sessions=sessions,
            faults=faults,
        )
        warehouse.port = stack.enter_context(http.serve(port, warehouse.answer))
        if tls_port is not None:
            files = certificate.make(
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="warehouse-tls-")))
            )
            warehouse.ca_file = files[0]
            warehouse.tls_port = stack.enter_context(http.serve(tls_port, warehouse.answer, files))
        yield warehouse
