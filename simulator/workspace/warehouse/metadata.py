"""What GetCatalogs, GetSchemas, GetTables and GetColumns ask, as questions to the information schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.workspace.warehouse.values import Parameters


@dataclass(frozen=True, slots=True)
class Wanted:
    """``names`` are the columns that the protocol promises, for those of the statement in order."""

    sql: str
    parameters: Parameters
    names: tuple[str, ...]


def catalogs() -> Wanted:
    """All of them."""
    return Wanted(
        "select catalog_name from system.information_schema.catalogs order by 1", None, ("TABLE_CAT",)
    )


def schemas(catalog: str | None, schema: str | None) -> Wanted:
    """By patterns of LIKE; None and empty stand for all."""
    return Wanted(
        "select schema_name, catalog_name from system.information_schema.schemata "
        "where catalog_name like :catalog and schema_name like :schema order by 2, 1",
        {"catalog": _pattern(catalog), "schema": _pattern(schema)},
        ("TABLE_SCHEM", "TABLE_CATALOG"),
    )


def tables(catalog: str | None, schema: str | None, table: str | None, kinds: Sequence[str] | None) -> Wanted:
    """The same, of the kinds TABLE and VIEW; none given stands for both."""
    wanted = {kind.upper() for kind in kinds or ("TABLE", "VIEW")}
    return Wanted(
        "select table_catalog, table_schema, table_name, case table_type when 'VIEW' then 'VIEW' else 'TABLE' end, "
        "coalesce(comment, '') from system.information_schema.tables where table_catalog like :catalog "
        "and table_schema like :schema and table_name like :table and ((:tables and table_type <> 'VIEW') "
        "or (:views and table_type = 'VIEW')) order by 1, 2, 3",
        {
            "catalog": _pattern(catalog),
            "schema": _pattern(schema),
            "table": _pattern(table),
            "tables": "TABLE" in wanted,
            "views": "VIEW" in wanted,
        },
        ("TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "TABLE_TYPE", "REMARKS"),
    )


def columns(catalog: str | None, schema: str | None, table: str | None, column: str | None) -> Wanted:
    """The same for columns, in their order."""
    return Wanted(
        "select table_catalog, table_schema, table_name, column_name, upper(full_data_type), "
        "case is_nullable when 'YES' then 1 else 0 end, coalesce(comment, ''), column_default, ordinal_position, "
        "is_nullable from system.information_schema.columns where table_catalog like :catalog "
        "and table_schema like :schema and table_name like :table and column_name like :column order by 1, 2, 3, 9",
        {
            "catalog": _pattern(catalog),
            "schema": _pattern(schema),
            "table": _pattern(table),
            "column": _pattern(column),
        },
        (
            *("TABLE_CAT", "TABLE_SCHEM", "TABLE_NAME", "COLUMN_NAME", "TYPE_NAME", "NULLABLE", "REMARKS"),
            *("COLUMN_DEF", "ORDINAL_POSITION", "IS_NULLABLE"),
        ),
    )


def _pattern(given: str | None) -> str:
    return (given or "%").lower().replace("*", "%")
