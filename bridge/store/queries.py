"""named_queries/: every SQL statement that crosses a border, loaded and checked once at start.

One statement a file, `named_queries/<table>/<verb_phrase>.sql`, with a header:

    -- name: claim_commands
    -- what: One sentence for a person.
    -- param: lease_s double precision, what it means
    -- role: bridge_agent, bridge_reader

The same file is `queries.commands.claim_commands` here and, in camelCase, the Ignition named query. A
header that does not fit its body is an error that names file and line, at start and not at three at night.

Where Databricks SQL needs another form, `<verb_phrase>.databricks.sql` stands beside the file, written by hand:
with the same name, roles and parameters, and perhaps more of them, because Delta makes no keys by itself. A
parameter that has no meaning there is declared as `unused here: why`. A statement that only Delta needs has no
file beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from bridge.errors import QueryError

DATABRICKS = ".databricks.sql"
_UNUSED = "unused here"

ROLES = frozenset({"bridge_agent", "bridge_operator", "bridge_reader", "owner"})
TYPES = frozenset(
    {
        "text",
        "text[]",
        "integer",
        "bigint",
        "double precision",
        "double precision[]",
        "boolean",
        "timestamptz",
    }
)

_HEADER = re.compile(r"^-- (?P<key>name|what|param|role): (?P<value>.+)$")
_PARAM = re.compile(r"^(?P<name>[a-z][a-z0-9_]*) (?P<type>[a-z ]+(?:\[\])?)(?:, (?P<meaning>.+))?$")
# A parameter is :name, but not the second half of a :: cast; strings, quoted names and comments are skipped.
_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|::|:(?P<param>[a-z][a-z0-9_]*)|;|%", re.DOTALL
)


class Dialect(StrEnum):
    """Which database a statement is written for."""

    POSTGRESQL = "postgresql"  # embedded or Lakebase
    DATABRICKS = "databricks"  # Delta behind a SQL warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One declared parameter: name, SQL type and what it means (may be empty)."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One named query. `sql` is as written, with `:name`; `statement` is for psycopg, with `%(name)s`."""

    table: str
    name: str
    what: str
    parameters: tuple[Parameter, ...]
    roles: frozenset[str]
    sql: str
    statement: str
    file: Path

    @property
    def full_name(self) -> str:
        """`commands.claim_commands`, for messages and logs."""
        return f"{self.table}.{self.name}"


class Folder:
    """The queries of one folder as attributes: `queries.commands.claim_commands`."""

    def __init__(self, name: str, queries: Mapping[str, Query]) -> None:
        self._name = name
        self._queries = MappingProxyType(dict(queries))

    def __getattr__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            known = ", ".join(sorted(self._queries))
            raise AttributeError(f"no named query {self._name}.{name}; there are {known}") from None

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())


class Queries:
    """All named queries, by folder."""

    def __init__(self, folders: Mapping[str, Folder]) -> None:
        self._folders = MappingProxyType(dict(folders))

    def __getattr__(self, name: str) -> Folder:
        try:
            return self._folders[name]
        except KeyError:
            raise AttributeError(f"no folder named_queries/{name}") from None

    def __iter__(self) -> Iterator[Query]:
        for folder in self._folders.values():
            yield from folder


def queries_folder() -> Path:
    """Where named_queries/ is: beside the package in a checkout, inside it when installed from a wheel."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "named_queries", package.parent / "named_queries"):
        if candidate.is_dir():
            return candidate
    raise QueryError(f"named_queries/ is missing: looked beside and inside {package}; reinstall the package")


def load(folder: Path | None = None, dialect: Dialect = Dialect.POSTGRESQL) -> Queries:
    """Read and check every file. QueryError lists every problem as `file:line: problem`.

    For Databricks SQL a statement without a form of its own there is taken as it is for PostgreSQL.
    """
    root = folder or queries_folder()
    problems: list[str] = []
    folders: dict[str, dict[str, Query]] = {}
    for file in sorted(root.glob("*/*.sql")):
        if file.name.endswith(DATABRICKS):
            continue
        query = _read(file, problems)
        if query is not None:
            folders.setdefault(query.table, {})[query.name] = query
    if dialect is Dialect.DATABRICKS:
        for file in sorted(root.glob(f"*/*{DATABRICKS}")):
            query = _read(file, problems)
            if query is not None:
                beside = folders.setdefault(query.table, {}).get(query.name)
                if beside is not None:
                    problems.extend(_differences(query, beside))
                folders[query.table][query.name] = query
    if not folders and not problems:
        problems.append(f"{root}: no named query found")
    if problems:
        raise QueryError("\n".join(problems))
    return Queries({name: Folder(name, queries) for name, queries in folders.items()})


def _differences(query: Query, beside: Query) -> Iterator[str]:
    """What a Databricks form says otherwise than the file beside it, `file:line: problem` each."""
    lines = query.file.read_text(encoding="utf-8").splitlines()

    def line_of(start: str) -> int:
        return next((number for number, line in enumerate(lines, start=1) if line.startswith(start)), 1)

    here = {parameter.name: parameter for parameter in query.parameters}
    for wanted in beside.parameters:
        found = here.get(wanted.name)
        if found is None:
            yield (
                f"{query.file}:{line_of('-- role:')}: parameter {wanted.name} of {beside.file.name} is missing; "
                f"where it has no meaning, declare it as '{_UNUSED}: why'"
            )
        elif found.type != wanted.type:
            yield (
                f"{query.file}:{line_of(f'-- param: {wanted.name} ')}: {wanted.name} is {wanted.type} in "
                f"{beside.file.name}, found {found.type}"
            )
    if query.roles != beside.roles:
        yield (
            f"{query.file}:{line_of('-- role:')}: wanted the roles of {beside.file.name}, "
            f"{', '.join(sorted(beside.roles))}; found {', '.join(sorted(query.roles))}"
        )


def _read(file: Path, problems: list[str]) -> Query | None:
    found = len(problems)
    stem = file.name.removesuffix(DATABRICKS).removesuffix(".sql")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        problems.append(f"{file}:1: not UTF-8: {error}")
        return None
    header: dict[str, str] = {}
    parameters: dict[str, Parameter] = {}
    declared_at: dict[str, int] = {}
    body_at = len(lines) + 1
    for number, line in enumerate(lines, start=1):
        if not line.startswith("--"):
            body_at = number
            break
        match = _HEADER.match(line)
        if match is None:
            problems.append(f"{file}:{number}: wanted '-- name|what|param|role: …', found {line!r}")
        elif match["key"] == "param":
            parameter = _PARAM.match(match["value"])
            if parameter is None or parameter["type"] not in TYPES:
                problems.append(
                    f"{file}:{number}: wanted '-- param: name type, meaning' with a type of "
                    f"{', '.join(sorted(TYPES))}; found {match['value']!r}"
                )
            elif parameter["name"] in parameters:
                problems.append(f"{file}:{number}: parameter {parameter['name']} is declared twice")
            else:
                declared_at[parameter["name"]] = number
                parameters[parameter["name"]] = Parameter(
                    name=parameter["name"], type=parameter["type"], meaning=parameter["meaning"] or ""
                )
        elif match["key"] in header:
            problems.append(f"{file}:{number}: a second '{match['key']}'")
        else:
            header[match["key"]] = match["value"].strip()
    for key in ("name", "what", "role"):
        if key not in header:
            problems.append(f"{file}:1: the header has no '-- {key}: …'")
    if header.get("name", stem) != stem:
        problems.append(f"{file}:1: the header says {header['name']!r}, the file is called {stem!r}")
    roles = frozenset(role.strip() for role in header.get("role", "owner").split(","))
    if not roles <= ROLES:
        problems.append(
            f"{file}:1: unknown role {', '.join(sorted(roles - ROLES))}; there are {', '.join(sorted(ROLES))}"
        )
    sql = "\n".join(lines[body_at - 1 :]).strip()
    unused = {
        name
        for name, parameter in parameters.items()
        if file.name.endswith(DATABRICKS) and parameter.meaning.startswith(_UNUSED)
    }
    statement = _check_body(file, body_at, sql, declared_at, unused, problems)
    if len(problems) > found:
        return None
    return Query(
        table=file.parent.name,
        name=stem,
        what=header["what"],
        parameters=tuple(parameters.values()),
        roles=roles,
        sql=sql,
        statement=statement,
        file=file,
    )


def _check_body(
    file: Path,
    body_at: int,
    sql: str,
    declared_at: Mapping[str, int],
    unused: Set[str],
    problems: list[str],
) -> str:
    """Compare the parameters used with those declared, and rewrite `:name` for psycopg."""
    if not sql:
        problems.append(f"{file}:{body_at}: no statement after the header")
        return ""
    used: set[str] = set()

    def rewrite(match: re.Match[str]) -> str:
        token, parameter = match.group(), match["param"]
        line = body_at + sql.count("\n", 0, match.start())
        if parameter is not None:
            used.add(parameter)
            if parameter not in declared_at:
                known = ", ".join(declared_at) or "none"
                problems.append(
                    f"{file}:{line}: :{parameter} is not declared in the header (declared: {known})"
                )
            return f"%({parameter})s"
        if token == ";":
            problems.append(f"{file}:{line}: one statement a file, without a semicolon")
        return token.replace("%", "%%")

    statement = _TOKEN.sub(rewrite, sql)
    for name, line in declared_at.items():
        if name not in used and name not in unused:
            problems.append(f"{file}:{line}: parameter {name} is declared and never used")
        elif name in used and name in unused:
            problems.append(f"{file}:{line}: parameter {name} is said to be unused, and is used")
    return statement
