"""A parameter's value as a piece of the tree."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

from sqlglot import exp

from simulator.workspace.warehouse.errors import Refused
from simulator.workspace.warehouse.values import Typed

_WHOLE: Final = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "INTEGER": 32, "BIGINT": 64, "LONG": 64}
_TAKEN: Final = frozenset(
    (
        *_WHOLE,
        "STRING",
        "VARCHAR",
        "CHAR",
        "DOUBLE",
        "FLOAT",
        "BOOLEAN",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMP_NTZ",
        "VOID",
    )
)
_PLAIN: Final = re.compile(r"[+-]?\d+")


def literal(value: Typed) -> exp.Expr:
    """Raises ``Refused`` for text that is not of its type, and for types that no client sends."""
    kind = value.type.upper()
    if kind not in _TAKEN and not kind.startswith("DECIMAL"):
        raise Refused(
            "INVALID_PARAMETER_MARKER_VALUE.INVALID_VALUE_DATA_TYPE",
            "22023",
            f"The value of a parameter marker has the data type {kind}, which the simulated warehouse does not take.",
        )
    if value.text is None or kind == "VOID":
        return exp.null()
    text = value.text
    if kind in ("STRING", "VARCHAR", "CHAR"):
        return _string(text)
    if kind in _WHOLE:
        bits = _WHOLE[kind]
        if not _PLAIN.fullmatch(text.strip()) or not -(2 ** (bits - 1)) <= int(text) < 2 ** (bits - 1):
            raise _malformed(text, kind)
        number = exp.Literal.number(str(abs(int(text))))
        whole: exp.Expr = exp.Neg(this=number) if int(text) < 0 else number
        return exp.cast(whole, "bigint") if kind in ("BIGINT", "LONG") else whole
    if kind in ("DOUBLE", "FLOAT"):
        try:
            float(text)
        except ValueError:
            raise _malformed(text, kind) from None
        return exp.cast(_string(text.replace("inf", "Infinity")), "double" if kind == "DOUBLE" else "float")
    if kind.startswith("DECIMAL"):
        try:
            Decimal(text)
        except InvalidOperation:
            raise _malformed(text, kind) from None
        return exp.cast(_string(text), kind, dialect="databricks")
    if kind == "BOOLEAN":
        if text.lower() not in ("true", "false"):
            raise _malformed(text, kind)
        return exp.Boolean(this=text.lower() == "true")
    if kind == "DATE":
        try:
            date.fromisoformat(text)
        except ValueError:
            raise _malformed(text, kind) from None
        return exp.cast(_string(text), "date")
    return exp.cast(_string(text), kind, dialect="databricks")  # a moment


def _string(text: str) -> exp.Expr:
    if "\x00" in text:
        raise Refused(
            "UNSUPPORTED_FEATURE.SIMULATOR",
            "0A000",
            "The simulated warehouse keeps no text with a NUL character.",
        )
    return exp.Literal.string(text)


def _malformed(text: str, kind: str) -> Refused:
    return Refused(
        "CAST_INVALID_INPUT",
        "22018",
        f'The value \'{text}\' of the type "STRING" cannot be cast to "{kind}" because it is malformed.',
    )
