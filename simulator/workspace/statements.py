"""The SQL Statement Execution API: INLINE JSON arrays in chunks; a failing statement is HTTP 200 and FAILED."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.workspace.answers import Asked, Document, Refusal, bad, missing
from simulator.workspace.clock import Clock
from simulator.workspace.faults import Faults
from simulator.workspace.routes import Route, route
from simulator.workspace.sql import LAKEBASE_CATALOG, Engine, Parameter, Rows, SqlRefused
from simulator.workspace.warehouses import Warehouses

KEPT_S: Final = 3600.0
_INLINE_LIMIT: Final = 25 * 1024 * 1024
_TEXT_LIMIT: Final = 16 * 1024 * 1024
_WAIT: Final = re.compile(r"(0|[5-9]|[1-4]\d|50)s")
_TERMINAL: Final = ("SUCCEEDED", "FAILED", "CANCELED", "CLOSED")


@dataclass
class Statement:
    """One statement and what became of it. ``rows`` are there when it SUCCEEDED."""

    id: str
    text: str
    parameters: list[Parameter]
    catalog: str
    schema: str
    row_limit: int | None
    began_s: float
    state: str = "PENDING"
    rows: Rows = field(default_factory=Rows)
    truncated: bool = False
    sql_state: str = ""
    error_code: str = ""
    message: str = ""
    task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        """Whether it will not change any more."""
        return self.state in _TERMINAL


@dataclass
class Statements:
    """All statements of the workspace, those that Genie runs among them. ``engines``: by where SQL may run."""

    clock: Clock
    faults: Faults
    warehouses: Warehouses
    engines: Mapping[str, Engine]
    """``warehouse`` and ``lakebase``, those that there are."""
    chunk_rows: int = 1000
    _all: dict[str, Statement] = field(default_factory=dict)
    _stuck: asyncio.Event = field(default_factory=asyncio.Event)

    def forget(self) -> None:
        """No statement was ever run."""
        for each in self._all.values():
            if each.task is not None:
                each.task.cancel()
        self._all.clear()

    def begin(
        self,
        text: str,
        *,
        catalog: str = "",
        schema: str = "",
        parameters: list[Parameter] | None = None,
        row_limit: int | None = None,
    ) -> Statement:
        """Start a statement in the background. Raises ``Refusal`` when it may not even begin."""
        engine = "lakebase" if catalog == LAKEBASE_CATALOG else "warehouse"
        if engine not in self.engines:
            wanted = "--database" if engine == "lakebase" else "the warehouse (without --no-warehouse)"
            raise Refusal(400, "BAD_REQUEST", f"nothing can run this SQL; start the workspace with {wanted}")
        self.warehouses.wanted()
        statement = Statement(
            id=str(uuid.uuid4()),
            text=text,
            parameters=parameters or [],
            catalog="" if engine == "lakebase" else catalog,
            schema=schema,
            row_limit=row_limit,
            began_s=self.clock.elapsed_s(),
        )
        self._all[statement.id] = statement
        statement.task = asyncio.create_task(self._run(statement, self.engines[engine]))
        return statement

    async def _run(self, statement: Statement, engine: Engine) -> None:
        await self.warehouses.started()
        statement.state = "RUNNING"
        if self.faults.take("statement_for_ever") is not None:
            await self._stuck.wait()  # ends by a cancel, or with the workspace
        failing = self.faults.take("statement_failed")
        try:
            if failing is not None:
                message = f"[SIMULATED] the fault statement_failed is on SQLSTATE: {failing.value}"
                raise SqlRefused(failing.value, message)
            found = await asyncio.to_thread(
                engine.run, statement.text, statement.parameters, statement.catalog, statement.schema
            )
        except SqlRefused as error:
            statement.state, statement.sql_state = "FAILED", error.sql_state
            statement.error_code, statement.message = "BAD_REQUEST", error.message
            return
        if sum(len(value or "") + 3 for row in found.rows for value in row) > _INLINE_LIMIT:
            statement.state, statement.error_code = "FAILED", "BAD_REQUEST"
            statement.message = "Inline byte limit exceeded: the result is larger than 26214400 bytes"
            return
        if statement.row_limit is not None and len(found.rows) > statement.row_limit:
            found = Rows(columns=found.columns, rows=found.rows[: statement.row_limit])
            statement.truncated = True
        statement.rows = found
        statement.state = "SUCCEEDED"

    def cancel(self, statement: Statement) -> None:
        """It is CANCELED; what it does in the database meanwhile is not known."""
        if statement.task is not None and not statement.done:
            statement.task.cancel()
            statement.state = "CANCELED"

    def find(self, statement_id: str) -> Statement:
        """Raises ``Refusal`` 404 when it is unknown, or an hour old."""
        found = self._all.get(statement_id)
        if found is None or self.clock.elapsed_s() - found.began_s > KEPT_S:
            raise missing(f"The statement {statement_id} was not found or its result is no longer kept")
        return found

    # ── as documents ──────────────────────────────────────────────────────────────────────────────────────

    def document(self, statement: Statement) -> Document:
        """State, and with SUCCEEDED the manifest and the first chunk."""
        status: Document = {"state": statement.state}
        if statement.state == "FAILED":
            status["error"] = {"error_code": statement.error_code, "message": statement.message}
            if statement.sql_state:
                status["sql_state"] = statement.sql_state
        found: Document = {"statement_id": statement.id, "status": status}
        if statement.state == "SUCCEEDED":
            found["manifest"] = self._manifest(statement)
            found["result"] = self.chunk(statement, 0)
        return found

    def _manifest(self, statement: Statement) -> Document:
        columns = []
        for place, column in enumerate(statement.rows.columns):
            said: Document = {
                "name": column.name,
                "type_text": column.type_text,
                "type_name": column.type_name,
                "position": place,
            }
            if column.precision is not None:
                said |= {"type_precision": column.precision, "type_scale": column.scale or 0}
            columns.append(said)
        count = len(statement.rows.rows)
        starts = range(0, count, self.chunk_rows) or range(1)
        chunks = [
            {"chunk_index": place, "row_offset": first, "row_count": min(self.chunk_rows, count - first)}
            for place, first in enumerate(starts)
        ]
        return {
            "format": "JSON_ARRAY",
            "schema": {"column_count": len(columns), "columns": columns},
            "total_row_count": count,
            "total_chunk_count": len(chunks),
            "chunks": chunks,
            "truncated": statement.truncated,
        }

    def chunk(self, statement: Statement, index: int) -> Document:
        """Rows of one chunk. Raises ``Refusal`` for one that is not there."""
        first = index * self.chunk_rows
        rows = statement.rows.rows[first : first + self.chunk_rows]
        if index > 0 and not rows:
            raise bad(f"chunk_index {index} does not exist")
        found: Document = {"chunk_index": index, "row_offset": first, "row_count": len(rows)}
        if rows:
            found["data_array"] = rows
        if first + self.chunk_rows < len(statement.rows.rows):
            link = f"/api/2.0/sql/statements/{statement.id}/result/chunks/{index + 1}"
            found |= {"next_chunk_index": index + 1, "next_chunk_internal_link": link}
        return found

    # ── requests ──────────────────────────────────────────────────────────────────────────────────────────

    def routes(self) -> list[Route]:
        """The requests of this area."""
        base = "/api/2.0/sql/statements"
        return [
            route(
                "POST",
                base,
                self._execute,
                area="sql",
                body="statement:text! warehouse_id:text! catalog:text schema:text parameters:list wait_timeout:text "
                "on_wait_timeout:text format:text disposition:text row_limit:whole byte_limit:whole query_tags:list",
            ),
            route("GET", f"{base}/{{id}}", self._get, area="sql"),
            route("POST", f"{base}/{{id}}/cancel", self._cancel, area="sql"),
            route("GET", f"{base}/{{id}}/result/chunks/{{index}}", self._get_chunk, area="sql"),
        ]

    async def _execute(self, asked: Asked) -> Document:
        self.warehouses.check(asked.text("warehouse_id"))
        wait = asked.text("wait_timeout", "10s")
        if _WAIT.fullmatch(wait) is None:
            raise bad(f"wait_timeout: expected 0s or 5s to 50s, found {wait!r}")
        then = asked.text("on_wait_timeout", "CONTINUE")
        if then not in ("CONTINUE", "CANCEL"):
            raise bad(f"on_wait_timeout: expected CONTINUE or CANCEL, found {then!r}")
        _check_form(asked)
        if len(asked.text("statement").encode()) > _TEXT_LIMIT:
            raise bad("the statement is larger than 16 MiB")
        limit = asked.whole("row_limit") if asked.given("row_limit") else None
        statement = self.begin(
            asked.text("statement"),
            catalog=asked.text("catalog"),
            schema=asked.text("schema"),
            parameters=[_parameter(each) for each in asked.listed("parameters")],
            row_limit=limit,
        )
        assert statement.task is not None
        await asyncio.wait({statement.task}, timeout=float(wait.removesuffix("s")))
        if not statement.done and then == "CANCEL":
            self.cancel(statement)
        return self.document(statement)

    async def _get(self, asked: Asked) -> Document:
        return self.document(self.find(asked.place["id"]))

    async def _cancel(self, asked: Asked) -> Document:
        self.cancel(self.find(asked.place["id"]))
        return {}

    async def _get_chunk(self, asked: Asked) -> Document:
        statement = self.find(asked.place["id"])
        if statement.state != "SUCCEEDED":
            raise bad(f"statement {statement.id} is {statement.state}: it has no result")
        if not asked.place["index"].isdigit():
            raise bad(f"chunk_index: expected a whole number, found {asked.place['index']!r}")
        return self.chunk(statement, int(asked.place["index"]))


def _check_form(asked: Asked) -> None:
    disposition, form = asked.text("disposition", "INLINE"), asked.text("format", "JSON_ARRAY")
    if disposition == "INLINE" and form == "JSON_ARRAY":
        if asked.given("byte_limit"):
            raise Refusal(501, "NOT_IMPLEMENTED", "byte_limit is not simulated; use row_limit")
        return
    if disposition == "INLINE" and form in ("ARROW_STREAM", "CSV"):
        raise bad(f"disposition INLINE goes with format JSON_ARRAY only, found {form}")
    if disposition == "EXTERNAL_LINKS" and form in ("JSON_ARRAY", "ARROW_STREAM", "CSV"):
        raise Refusal(501, "NOT_IMPLEMENTED", "EXTERNAL_LINKS is not simulated; use INLINE with JSON_ARRAY")
    raise bad(f"disposition {disposition!r} with format {form!r} is not known")


def _parameter(found: Any) -> Parameter:
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise bad("parameters: each wants an object with a name")
    unknown = set(found) - {"name", "value", "type"}
    if unknown:
        raise bad(f"parameters: unknown field {', '.join(sorted(unknown))}; known are name, value and type")
    value = found.get("value")
    if value is not None and not isinstance(value, str):
        raise bad(f"parameter {found['name']}: the value is a string whatever its type, found {value!r}")
    return Parameter(name=found["name"], text=value, type=str(found.get("type") or "STRING"))
