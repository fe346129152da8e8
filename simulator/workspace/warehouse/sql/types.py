"""Types of Databricks SQL: how they are written there, and what holds their values here."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from simulator.workspace.warehouse.errors import Refused, not_simulated

_PLAIN: Final = {
    "TEXT": ("STRING", "text"),
    "FLOAT": ("FLOAT", "real"),
    "DOUBLE": ("DOUBLE", "double precision"),
    "TINYINT": ("TINYINT", "smallint"),
    "SMALLINT": ("SMALLINT", "smallint"),
    "INT": ("INT", "integer"),
    "BIGINT": ("BIGINT", "bigint"),
    "BOOLEAN": ("BOOLEAN", "boolean"),
    "TIMESTAMPTZ": ("TIMESTAMP", "timestamptz"),
    "TIMESTAMPLTZ": ("TIMESTAMP", "timestamptz"),
    "TIMESTAMP": ("TIMESTAMP_NTZ", "timestamp"),
    "TIMESTAMPNTZ": ("TIMESTAMP_NTZ", "timestamp"),
    "DATE": ("DATE", "date"),
    "BINARY": ("BINARY", "bytea"),
}
_NOT_HERE: Final = ("ARRAY", "MAP", "STRUCT", "VARIANT", "INTERVAL", "VOID", "NULL")
_FROM_POSTGRES: Final = {
    "text": "STRING",
    "varchar": "STRING",
    "bpchar": "STRING",
    "unknown": "STRING",
    "name": "STRING",
    "json": "STRING",
    "jsonb": "STRING",
    "bool": "BOOLEAN",
    "int2": "SMALLINT",
    "int4": "INT",
    "int8": "BIGINT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "timestamptz": "TIMESTAMP",
    "timestamp": "TIMESTAMP_NTZ",
    "date": "DATE",
    "bytea": "BINARY",
    "oid": "BIGINT",
}


def type_of(node: exp.DataType) -> tuple[str, str]:
    """The type's name in Databricks and in PostgreSQL. Raises ``Refused`` for one that Databricks has not.

    TEXT, and VARCHAR without a length, are taken for STRING: ordinary scripts write them, though a real
    warehouse may refuse them.
    """
    kind = node.this.name if isinstance(node.this, exp.DataType.Type) else str(node.this)
    digits = [str(one.this.this if isinstance(one, exp.DataTypeParam) else one) for one in node.expressions]
    if kind in _PLAIN and not (digits and kind != "TEXT"):
        return _PLAIN[kind]
    if kind in ("VARCHAR", "CHAR", "NVARCHAR", "NCHAR"):
        if not digits:
            return _PLAIN["TEXT"]
        return f"{kind.removeprefix('N')}({digits[0]})", f"varchar({digits[0]})"
    if kind == "DECIMAL":
        precision, scale = (int(digits[0]) if digits else 10), (int(digits[1]) if len(digits) > 1 else 0)
        if not 1 <= precision <= 38 or not 0 <= scale <= precision:
            raise Refused(
                "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
                "22003",
                f"Decimal precision {precision} exceeds max precision 38.",
            )
        return f"DECIMAL({precision},{scale})", f"numeric({precision},{scale})"
    if kind in _NOT_HERE:
        raise not_simulated(f"values of the type {kind}")
    raise Refused("UNSUPPORTED_DATATYPE", "0A000", f'Unsupported data type "{node.sql().upper()}".')


def result_type(postgres: str) -> str:
    """What a column of this PostgreSQL type is to a client; STRING for what Databricks has no type for."""
    return _FROM_POSTGRES.get(postgres, "STRING")
