"""A SQL warehouse that holds the agent's tables, for those who have no Lakebase."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from bridge.settings.base import Positive, Section
from bridge.settings.databricks import is_loopback

_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"


class WarehouseSettings(Section):
    """Where the Delta tables are, for store.kind = "warehouse"; the login is that of [databricks].

    http_path: "/sql/1.0/warehouses/<id>", from the warehouse's connection details. catalog, schema: where the tables
    are; both have to exist, `db migrate --target warehouse` makes the tables. connection_uri: the whole address of a
    simulated warehouse on this machine, http://127.0.0.1:port/sql/1.0/warehouses/<id>, in the place of host and path.
    statement_timeout_s: how long one statement may take, the start of a stopped warehouse included. connections: how
    many statements may run at once. ca_certificate: PEM, for a proxy that signs anew.
    """

    http_path: Annotated[str, Field(pattern=r"^$|^/sql/1\.0/warehouses/[A-Za-z0-9]+$")] = ""
    catalog: Annotated[str, Field(pattern=_NAME, max_length=255)]
    schema_name: Annotated[str, Field(alias="schema", pattern=_NAME, max_length=255)]
    connection_uri: str = ""
    statement_timeout_s: Positive = 30.0
    connections: Annotated[int, Field(ge=1, le=10)] = 3
    ca_certificate: Path | None = None

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if self.connection_uri:
            parts = urlsplit(self.connection_uri)
            if parts.scheme != "http" or not parts.hostname or not is_loopback(parts.hostname):
                raise ValueError(
                    "connection_uri is for a simulated warehouse on this machine: wanted "
                    "http://127.0.0.1:<port>/sql/1.0/warehouses/<id>; for a real one give http_path"
                )
        elif not self.http_path:
            raise ValueError("wanted http_path, from the warehouse's connection details")
        return self
