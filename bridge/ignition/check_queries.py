"""Named-query resources: attributes, parameters used = declared, type fits the statement, equal to their source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.ignition.finding import Finding
from bridge.ignition.named_queries import CONNECTION, KNOWN_SQL_TYPES, read_statement
from bridge.ignition.resources import ProjectFiles

_DEFAULTS: Mapping[str, object] = {
    "enabled": True,
    "cacheEnabled": False,
    "fallbackEnabled": False,
    "useMaxReturnSize": False,
    "autoBatchEnabled": False,
}
_TYPES = ("Query", "UpdateQuery", "ScalarQuery")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedQuery:
    """What others must know to refer to it: its path and its parameters."""

    path: str
    parameters: frozenset[str]


def read_queries(project: ProjectFiles, documents: Mapping[str, Any]) -> dict[str, NamedQuery]:
    """Every named query by path, with the parameters that it declares."""
    found = {}
    for resource in project.resources():
        if resource.kind.folder == "ignition/named-query":
            declared = _parameters(documents.get(f"{resource.folder}/resource.json"))
            found[resource.name] = NamedQuery(
                path=resource.name,
                parameters=frozenset(str(item.get("identifier")) for item in declared),
            )
    return found


def check_queries(project: ProjectFiles, documents: Mapping[str, Any]) -> Iterator[Finding]:
    """Check every named query's attributes against its statement."""
    for resource in project.resources():
        if resource.kind.folder != "ignition/named-query":
            continue
        document = documents.get(f"{resource.folder}/resource.json")
        sql = project.files.get(f"{resource.folder}/query.sql")
        if isinstance(document, dict) and isinstance(document.get("attributes"), dict) and sql is not None:
            yield from _check_query(resource.folder, document, sql.decode("utf-8", "replace"))


def _check_query(folder: str, document: Mapping[str, Any], sql: str) -> Iterator[Finding]:
    file, attributes = f"{folder}/resource.json", document["attributes"]
    statement = read_statement(sql)

    def off(place: str, what: str, mend: str) -> Finding:
        return Finding(file=file, place=f"attributes.{place}", what=what, mend=mend)

    if attributes.get("database") != CONNECTION:
        yield off(
            "database",
            f"wanted {CONNECTION!r}, found {attributes.get('database')!r}",
            "name the connection; a project default cannot be shipped",
        )
    kind = attributes.get("type")
    if kind not in _TYPES:
        yield off("type", f"wanted one of {', '.join(_TYPES)}, found {kind!r}", "see docs/ignition.md")
    elif (kind != "UpdateQuery") != statement.returns_rows:
        yield off(
            "type",
            f"is {kind}, and the statement returns {'rows' if statement.returns_rows else 'no rows'}",
            f"write {'Query' if statement.returns_rows else 'UpdateQuery'}",
        )
    for key, value in _DEFAULTS.items():
        if attributes.get(key) is not value:
            yield off(
                key,
                f"wanted {str(value).lower()}, found {attributes.get(key)!r}",
                "a stale, cut or stood-in answer must not look like an answer",
            )
    declared = _parameters(document)
    names = [str(item.get("identifier")) for item in declared]
    for item in declared:
        name = item.get("identifier")
        if item.get("type") == "Parameter" and not _is_sql_type(item.get("sqlType")):
            yield off(
                f"parameters.{name}",
                f"sqlType {item.get('sqlType')!r} is not one of Ignition's ordinals",
                "String 7, Int4 2, Int8 3, Float8 5, Boolean 6, DateTime 8",
            )
        if item.get("type") == "QueryString":
            yield off(
                f"parameters.{name}",
                "a QueryString is pasted into the statement as text",
                "make it a Parameter (:name), which is bound",
            )
        elif item.get("type") not in ("Parameter", "Database"):
            yield off(f"parameters.{name}", f"type {item.get('type')!r} is unknown", "write Parameter")
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield off(f"parameters.{name}", "is declared twice", "keep one")
    bound = {str(item.get("identifier")) for item in declared if item.get("type") == "Parameter"}
    for name in sorted(statement.parameters - bound):
        yield Finding(
            file=f"{folder}/query.sql",
            place=f"line {_line_of(sql, f':{name}')}",
            what=f":{name} is not declared (declared: {', '.join(sorted(bound)) or 'none'})",
            mend="correct the name, or declare it in the header of its source",
        )
    for name in sorted(bound - statement.parameters):
        yield off(
            f"parameters.{name}",
            "is declared and never used",
            "a caller believes that it counts; use it or take it out",
        )
    for name in sorted(statement.pasted):
        yield Finding(
            file=f"{folder}/query.sql",
            place=f"line {_line_of(sql, '{' + name)}",
            what=f"{{{name}}} is pasted as text",
            mend="write :name, which is bound",
        )
    for trap in statement.traps:
        yield Finding(file=f"{folder}/query.sql", place="", what=trap, mend="write it otherwise")


def check_current(stale_files: Iterable[str]) -> Iterator[Finding]:
    """Say which generated queries are older than named_queries/, one finding a query."""
    for folder in sorted({path.rpartition("/")[0] for path in stale_files}):
        yield Finding(
            file=folder,
            place="",
            what="differs from its source in named_queries/",
            mend="run `ignition-bridge project build`; never edit it here",
        )


def _parameters(document: Any) -> list[Mapping[str, Any]]:
    attributes = document.get("attributes") if isinstance(document, dict) else None
    listed = attributes.get("parameters") if isinstance(attributes, dict) else None
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def _is_sql_type(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in KNOWN_SQL_TYPES


def _line_of(sql: str, text: str) -> int:
    return sql[: max(sql.find(text), 0)].count("\n") + 1
