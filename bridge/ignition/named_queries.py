"""One file is one query for Python and for Ignition: named_queries/*.sql as Ignition resources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.store.queries import Query

CONNECTION = "Lakebase_Connection"
FOLDER = "ignition/named-query"

SQL_TYPES: Mapping[str, int] = {
    "integer": 2,
    "bigint": 3,
    "double precision": 5,
    "boolean": 6,
    "text": 7,
    "timestamptz": 8,
}
"""Ignition's own DataType ordinals (Int4, Int8, Float8, Boolean, String, DateTime), not java.sql.Types."""

KNOWN_SQL_TYPES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 20})

LAST_MODIFICATION = {"actor": "external", "timestamp": "2026-01-01T00:00:00Z"}
"""Fixed, so that the same source gives the same bytes; the gateway writes its own on import."""

_EXPORTED_ROLES = frozenset({"bridge_operator", "bridge_reader"})
_WORD_IN_TEXT = re.compile(r"(?<!:):[A-Za-z_]")
_PIECE = re.compile(
    r"(?P<text>'(?:[^']|'')*'|\"[^\"]*\")|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<open>\()|(?P<close>\))|"
    r"(?P<cast>::)|:(?P<parameter>[A-Za-z_]\w*)|(?P<mark>\?)|(?P<brace>\{[^}]*\}?)|(?P<word>[A-Za-z_]\w*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What can be seen of a statement without a database.

    traps: why Ignition or its JDBC driver might read it otherwise than psycopg does; empty when nothing is
    known that could.
    """

    parameters: frozenset[str]
    pasted: frozenset[str]  # {name}: pasted as text by Ignition, never bound
    returns_rows: bool
    verb: str
    traps: tuple[str, ...]


def read_statement(sql: str) -> Statement:
    """Take a statement apart as far as type and parameters need it."""
    parameters: set[str] = set()
    pasted: set[str] = set()
    top: list[str] = []
    traps: list[str] = []
    depth = 0
    for piece in _PIECE.finditer(sql):
        hidden = piece["text"] or piece["comment"]
        if hidden is not None:
            what = "text" if piece["text"] else "comment"
            if _WORD_IN_TEXT.search(hidden):
                traps.append(f"a {what} holds ':word', which Ignition may take for a parameter: {hidden}")
            if "{" in hidden:
                traps.append(f"a {what} holds a brace, which Ignition may take for a QueryString: {hidden}")
        elif piece["open"]:
            depth += 1
        elif piece["close"]:
            depth -= 1
        elif piece["parameter"]:
            parameters.add(piece["parameter"])
        elif piece["mark"]:
            traps.append("a '?' outside of text is a placeholder to JDBC; write jsonb_exists(…) instead")
        elif piece["brace"]:
            pasted.add(piece["brace"].strip("{}"))
        elif piece["word"] and depth == 0:
            top.append(piece["word"].lower())
    verb = next(
        (
            word
            for word in top
            if word in ("select", "insert", "update", "delete", "values", "merge", "copy", "call")
        ),
        top[0] if top else "",
    )
    return Statement(
        parameters=frozenset(parameters),
        pasted=frozenset(pasted),
        returns_rows=verb in ("select", "values") or "returning" in top,
        verb=verb,
        traps=tuple(traps),
    )


def left_out_because(query: Query) -> str | None:
    """Why a query is for Python only, or None when Ignition gets it too."""
    if not query.roles & _EXPORTED_ROLES:
        return f"it is for {', '.join(sorted(query.roles))}, and the gateway is bridge_operator"
    arrays = [parameter.name for parameter in query.parameters if parameter.type not in SQL_TYPES]
    if arrays:
        return f"Ignition has no array parameters ({', '.join(arrays)})"
    statement = read_statement(query.sql)
    if statement.verb == "copy":
        return "COPY needs a driver of its own"
    if statement.pasted:
        return f"Ignition pastes {{{min(statement.pasted)}}} as text"
    return statement.traps[0] if statement.traps else None


def ignition_path(query: Query) -> str:
    """`Commands/getPendingCommands`, as scripts and bindings name it."""
    head, *rest = query.name.split("_")
    folder = "".join(part.capitalize() for part in query.table.split("_"))
    return f"{folder}/{head}{''.join(part.capitalize() for part in rest)}"


def generate(queries: Iterable[Query]) -> dict[str, bytes]:
    """Every file of the project's named-query folder, by path inside the project."""
    files: dict[str, bytes] = {}
    for query in queries:
        if left_out_because(query) is None:
            folder = f"{FOLDER}/{ignition_path(query)}"
            files[f"{folder}/query.sql"] = (query.sql + "\n").encode()
            files[f"{folder}/resource.json"] = as_json(_resource(query))
    return dict(sorted(files.items()))


def left_out(queries: Iterable[Query]) -> dict[str, str]:
    """The queries that Ignition does not get, by the path they would have, with the reason."""
    reasons = {ignition_path(query): left_out_because(query) for query in queries}
    return {path: reason for path, reason in reasons.items() if reason is not None}


def as_json(value: object) -> bytes:
    """JSON as this project keeps it: two spaces, UTF-8, LF, a line end at the end."""
    return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def _resource(query: Query) -> dict[str, object]:
    meanings = [f"{item.name}: {item.meaning}" for item in query.parameters if item.meaning]
    return {
        "scope": "DG",
        "version": 2,
        "restricted": False,
        "overridable": True,
        "files": ["query.sql"],
        "documentation": "\n".join([query.what, *meanings]),
        "attributes": {
            "type": "Query" if read_statement(query.sql).returns_rows else "UpdateQuery",
            "enabled": True,
            "database": CONNECTION,
            "parameters": [
                {"type": "Parameter", "identifier": item.name, "sqlType": SQL_TYPES[item.type]}
                for item in query.parameters
            ],
            "cacheEnabled": False,
            "cacheAmount": 1,
            "cacheUnit": "SEC",
            "fallbackEnabled": False,
            "fallbackValue": "",
            "useMaxReturnSize": False,
            "maxReturnSize": 100,
            "autoBatchEnabled": False,
            "permissions": [{"zone": "", "role": ""}],
            "lastModification": LAST_MODIFICATION,
        },
    }
