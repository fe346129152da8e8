"""What PostgreSQL complained about, in the words and with the SQLSTATE of a warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterable

from simulator.workspace.warehouse.catalog import Table
from simulator.workspace.warehouse.database import Complaint
from simulator.workspace.warehouse.errors import Cancelled, Refused, no_such_column, not_simulated

_TYPES = {
    "integer": "INT",
    "bigint": "BIGINT",
    "smallint": "SMALLINT",
    "double precision": "DOUBLE",
    "real": "FLOAT",
    "numeric": "DECIMAL",
    "boolean": "BOOLEAN",
    "timestamp with time zone": "TIMESTAMP",
    "timestamp": "TIMESTAMP_NTZ",
    "date": "DATE",
    "date/time": "TIMESTAMP",
}


def translated(complaint: Complaint, kind: str, tables: Iterable[Table] = ()) -> Refused | Cancelled:
    """``kind`` is the statement's first word; ``tables`` are those that it named, for suggestions."""
    state, text = complaint.sqlstate, complaint.text
    if state == "57014":
        return Cancelled("cancelled while it ran")
    if state in ("40001", "40P01"):
        return conflict("delete" if "concurrent delete" in text else "update")
    if state in ("42703", "42P01"):
        name = re.search(r'"([^"]+)"|column ([\w.]+)', text)
        known = tuple(column.name for table in tables for column in table.columns)
        return no_such_column((name[1] or name[2]) if name else text, known)
    if state in ("22P02", "22007", "22008"):
        return _malformed(text)
    if state == "23502":
        return Refused(
            "DELTA_NOT_NULL_CONSTRAINT_VIOLATED",
            "23502",
            f"NOT NULL constraint violated for column: {complaint.column}.",
        )
    if state == "23514":
        return Refused(
            "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES",
            "23001",
            f"CHECK constraint {complaint.constraint} violated by row with values: {complaint.detail}",
        )
    if state == "21000" and kind == "MERGE":
        return Refused(
            "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE",
            "21506",
            "Cannot perform Merge as multiple source rows matched and attempted to modify the same target row in the "
            "Delta table in possibly conflicting ways.",
        )
    if state in _PLAIN:
        condition, sqlstate, sentence = _PLAIN[state]
        return Refused(condition, sqlstate, sentence.format(text=text))
    if state == "42601":
        return not_simulated(f"this statement (PostgreSQL, which it was translated for, says: {text})")
    return Refused(
        "INTERNAL_ERROR", "XX000", f"The simulated warehouse's database says: {text} ({state or '?'})"
    )


def conflict(by: str) -> Refused:
    """Somebody else changed a row of this statement since it began; ``by`` is what they did to it."""
    condition = "DELTA_CONCURRENT_DELETE_DELETE" if by == "delete" else "DELTA_CONCURRENT_APPEND"
    return Refused(
        f"{condition}.ROW_LEVEL_CHANGES",
        "2D521",
        "Transaction conflict detected. A concurrent "
        f"{by.upper()} changed rows that this operation read or changed. Please retry the operation.",
    )


_PLAIN = {
    "22003": (
        "ARITHMETIC_OVERFLOW",
        "22003",
        "{text}. If necessary set ansi_mode to false to bypass this error.",
    ),
    "22012": (
        "DIVIDE_BY_ZERO",
        "22012",
        "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.",
    ),
    "22001": (
        "DELTA_EXCEED_CHAR_VARCHAR_LIMIT",
        "22001",
        "Value exceeds char/varchar type length limitation: {text}.",
    ),
    "42702": ("AMBIGUOUS_REFERENCE", "42704", "A reference is ambiguous: {text}."),
    "42803": ("MISSING_AGGREGATION", "42803", "The non-aggregating expression is not in GROUP BY: {text}."),
    "42883": (
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        "42K09",
        "Cannot resolve due to data type mismatch: {text}.",
    ),
    "42725": (
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        "42K09",
        "Cannot resolve due to data type mismatch: {text}.",
    ),
    "42804": (
        "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
        "42K09",
        "Cannot resolve due to data type mismatch: {text}.",
    ),
    "42846": (
        "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION",
        "42K09",
        "Cannot resolve due to data type mismatch: {text}.",
    ),
    "42701": ("COLUMN_ALREADY_EXISTS", "42711", "{text}."),
    "42P07": ("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07", "Cannot create table or view: {text}."),
    "21000": (
        "SCALAR_SUBQUERY_TOO_MANY_ROWS",
        "21000",
        "More than one row returned by a subquery used as an expression.",
    ),
    "P0001": ("USER_RAISED_EXCEPTION", "P0001", "{text}"),
}


def _malformed(text: str) -> Refused:
    found = re.search(r'(?:type ([\w /]+)|(date/time) field value|for (?:type )?([\w /]+)): "(.*)"', text)
    kind = next((one for one in found.groups()[:3] if one), "") if found else ""
    value = found[4] if found else text
    return Refused(
        "CAST_INVALID_INPUT",
        "22018",
        f'The value \'{value}\' of the type "STRING" cannot be cast to "{_TYPES.get(kind, kind.upper() or "?")}" '
        "because it is malformed. Correct the value as per the syntax, or change its target type. Use `try_cast` to "
        "tolerate malformed input and return NULL instead.",
    )
