"""What a store on a SQL warehouse is made of: its connections from the settings, and its statements, checked."""

from __future__ import annotations

from urllib.parse import urlsplit

from bridge.domain.lifecycle import Role
from bridge.errors import FixConfiguration
from bridge.settings import StoreSettings
from bridge.store.queries import Dialect, Queries, load
from bridge.store.warehouse_connection import Login, Warehouse, WarehouseAddress
from bridge.store.warehouse_rules import check_arrows


def delta_queries() -> Queries:
    """All named queries as Databricks SQL; QueryError also when one follows an arrow that no lifecycle has."""
    named = load(dialect=Dialect.DATABRICKS)
    check_arrows(named)
    return named


def warehouse(settings: StoreSettings, role: Role | None, *, host: str, login: Login) -> Warehouse:
    """The warehouse of [store.warehouse] as one of the parties sees it; None means the owner.

    host: of the workspace, without https://. login: who we are there. FixConfiguration without the section.
    """
    section = settings.warehouse
    if section is None:
        raise FixConfiguration(
            "store.kind is warehouse: give a section [store.warehouse] with http_path, catalog and schema"
        )
    address = WarehouseAddress(
        host=host,
        http_path=section.http_path or urlsplit(section.connection_uri).path,
        connection_uri=section.connection_uri,
        catalog=section.catalog,
        schema=section.schema_name,
        login=login,
        ca_certificate="" if section.ca_certificate is None else str(section.ca_certificate),
    )
    return Warehouse(
        address, role=role, size=section.connections, statement_timeout_s=section.statement_timeout_s
    )
