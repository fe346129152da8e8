"""The simulated warehouse in the workspace: SQL through its engine, and its own door on the workspace's port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulator.workspace.answers import Answer
from simulator.workspace.faults import FaultError
from simulator.workspace.sql import Column, Parameter, Rows, SqlRefused
from simulator.workspace.warehouse import Refused, Typed, Warehouse


class WarehouseEngine:
    """Statements by REST, and Genie's, on the warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def run(self, statement: str, parameters: Sequence[Parameter], catalog: str, schema: str) -> Rows:
        """Raises ``SqlRefused``."""
        values = {each.name: Typed(each.text, each.type) for each in parameters}
        try:
            found = self._warehouse.run_sql(statement, values or None, catalog=catalog, schema=schema)
        except Refused as refused:
            raise SqlRefused(refused.sqlstate, refused.message) from refused
        columns = tuple(
            Column(name=each.name, type_text=each.text, precision=each.precision, scale=each.scale)
            for each in found.columns
        )
        return Rows(columns=columns, rows=found.as_text())


class Door:
    """The connector's Thrift protocol at ``/sql/1.0/warehouses/ID`` of the workspace itself."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One call. Blocking."""
        found = self._warehouse.answer(path, headers, body)
        if found is None:
            return Answer(wire="drop")
        kept = {name: value for name, value in found.headers.items() if name.lower() != "content-length"}
        content_type = next(
            (kept.pop(name) for name in list(kept) if name.lower() == "content-type"), "application/x-thrift"
        )
        return Answer(status=found.status, raw=found.body, content_type=content_type, headers=kept)

    def fault(self, name: str, *, seconds: float) -> None:
        """Begin one of the warehouse's own faults. Raises ``FaultError``."""
        try:
            if seconds:
                self._warehouse.faults.begin(name, seconds=seconds)
            else:
                self._warehouse.faults.begin(name)
        except ValueError as error:
            raise FaultError(str(error)) from error

    def clear(self) -> None:
        """End them all."""
        self._warehouse.faults.clear_all()
