"""A named query as the gateway holds it: cut into texts, bound values and pasted texts.

``:name`` is a value parameter, ``{name}`` a QueryString, ``::`` a cast. Where Ignition's own reading is not
known (a ``:word`` in a comment or in quotes, a question mark) the query is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

TYPES: Final = ("Query", "UpdateQuery", "ScalarQuery")
SQL_TYPES: Final = {
    0: "Int1",
    1: "Int2",
    2: "Int4",
    3: "Int8",
    4: "Float4",
    5: "Float8",
    6: "Boolean",
    7: "String",
    8: "DateTime",
}

_TOKENS = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)
      | (?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
      | (?P<cast>::)
      | :(?P<value>[A-Za-z_]\w*)
      | \{(?P<text>[A-Za-z_]\w*)\}
      | (?P<mark>\?)""",
    re.VERBOSE | re.DOTALL,
)
_NAMED = re.compile(r"(?<!:):[A-Za-z_]\w*|\{[A-Za-z_]\w*\}")


class QueryError(Exception):
    """A named query that cannot be run as it stands."""


@dataclass(frozen=True, kw_only=True)
class NamedQuery:
    """``segments`` are texts, ``{"value": name}`` and ``{"text": name}``, in order.

    ``database`` is a connection's name, or ``{}`` when a parameter named ``database`` says it.
    """

    path: str
    type: str
    enabled: bool
    database: str
    parameters: dict[str, dict[str, Any]]
    segments: tuple[str | dict[str, str], ...]
    max_rows: int | None

    @classmethod
    def of(cls, path: str, sql: str, attributes: dict[str, Any]) -> NamedQuery:
        """From query.sql and the attributes of resource.json. Raises ``QueryError``."""
        kind = attributes.get("type")
        if kind not in TYPES:
            raise QueryError(f"type {kind!r}; one of {', '.join(TYPES)} was expected")
        database = attributes.get("database")
        if not isinstance(database, str) or not database:
            raise QueryError(
                "names no database; the project's default is not in a zip, so name the connection"
            )
        parameters = _parameters(attributes.get("parameters", []))
        if database == "{}" and parameters.get("database", {}).get("kind") != "Database":
            raise QueryError("database {} wants a parameter of type Database that is called database")
        for key in ("cacheEnabled", "autoBatchEnabled"):
            if attributes.get(key) is True:
                raise QueryError(f"{key} is not supported by the stand-in")
        limited = attributes.get("useMaxReturnSize") is True
        return cls(
            path=path,
            type=kind,
            enabled=attributes.get("enabled", True) is True,
            database=database,
            parameters=parameters,
            segments=_segments(sql, parameters),
            max_rows=int(attributes.get("maxReturnSize", 100)) if limited else None,
        )


def _parameters(declared: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(declared, list) or not all(isinstance(one, dict) for one in declared):
        raise QueryError("parameters is a list of objects")
    found: dict[str, dict[str, Any]] = {}
    for one in declared:
        name, kind, sql_type = one.get("identifier"), one.get("type"), one.get("sqlType")
        if not isinstance(name, str) or not name or name in found:
            raise QueryError(f"parameter {name!r} has no name of its own")
        if kind not in ("Parameter", "QueryString", "Database"):
            raise QueryError(
                f"parameter {name}: type {kind!r}; Parameter, QueryString or Database was expected"
            )
        if kind == "Parameter" and (isinstance(sql_type, bool) or sql_type not in SQL_TYPES):
            known = ", ".join(f"{number} {text}" for number, text in SQL_TYPES.items())
            raise QueryError(f"parameter {name}: sqlType {sql_type!r} is not supported; there are {known}")
        found[name] = {"kind": kind, "sql_type": sql_type}
    return found


def _segments(sql: str, parameters: dict[str, dict[str, Any]]) -> tuple[str | dict[str, str], ...]:
    if not sql.strip():
        raise QueryError("query.sql is empty")
    segments: list[str | dict[str, str]] = []
    used: set[str] = set()
    end = 0
    for match in _TOKENS.finditer(sql):
        if match["comment"] or match["quoted"]:
            if named := _NAMED.search(match[0]):
                raise QueryError(
                    f"{named[0]!r} stands in a comment or in quotes, where a gateway may take it for a parameter"
                )
            continue
        if match["cast"]:
            continue
        if match["mark"]:
            raise QueryError(
                "a question mark is not used in named queries; write a parameter or another operator"
            )
        name, wanted = (match["value"], "Parameter") if match["value"] else (match["text"], "QueryString")
        kind = parameters.get(name, {}).get("kind")
        if kind != wanted:
            raise QueryError(
                f"{match[0]} is not declared"
                if kind is None
                else f"{match[0]} is declared as {kind}, which is not written so"
            )
        segments += [sql[end : match.start()], {"value" if wanted == "Parameter" else "text": name}]
        used.add(name)
        end = match.end()
    segments.append(sql[end:])
    unused = {name for name, one in parameters.items() if one["kind"] != "Database"} - used
    if unused:
        raise QueryError(f"declared and not used: {', '.join(sorted(unused))}")
    return tuple(segments)
