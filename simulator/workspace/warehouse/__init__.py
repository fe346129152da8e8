"""A SQL warehouse on loopback, behind the Thrift protocol of Databricks' own SQL connector."""

from simulator.workspace.warehouse.errors import Cancelled, Refused
from simulator.workspace.warehouse.faults import FaultError
from simulator.workspace.warehouse.http import Answer
from simulator.workspace.warehouse.sessions import Statement
from simulator.workspace.warehouse.values import Column, Result, Typed
from simulator.workspace.warehouse.warehouse import Warehouse, serve

__all__ = [
    "Answer",
    "Cancelled",
    "Column",
    "FaultError",
    "Refused",
    "Result",
    "Statement",
    "Typed",
    "Warehouse",
    "serve",
]
