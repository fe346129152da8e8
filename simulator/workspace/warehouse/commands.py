"""SHOW, DESCRIBE, USE, SET and the like: read word by word, answered from the metastore."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simulator.workspace.warehouse import catalog as metastore
from simulator.workspace.warehouse.catalog import Name, Table
from simulator.workspace.warehouse.database import Transaction
from simulator.workspace.warehouse.errors import Refused, no_such_table, not_simulated, syntax_error
from simulator.workspace.warehouse.values import Column, Parameters, Result

if TYPE_CHECKING:
    from simulator.workspace.warehouse.engine import Context

_Run = Callable[["Transaction", "Context", list[str]], Result]
_NO_TRANSACTIONS: Final = (
    "Transactions over several statements are a preview that wants tables with catalog commits "
    "(delta.feature.catalogManaged), and the simulated warehouse has none. Every statement commits by itself."
)


# What a session of a SQL warehouse takes, as documented, and what the connector itself sends.
_SETTINGS: Final = (
    "ANSI_MODE",
    "ENABLE_PHOTON",
    "LEGACY_TIME_PARSER_POLICY",
    "MAX_FILE_PARTITION_BYTES",
    "QUERY_TAGS",
    "READ_ONLY_EXTERNAL_METASTORE",
    "STATEMENT_TIMEOUT",
    "TIMEZONE",
    "USE_CACHED_RESULT",
    "SPARK.SQL.ANSI.ENABLED",
    "SPARK.SQL.SESSION.TIMEZONE",
    "SPARK.THRIFTSERVER.ARROWBASEDROWSET.TIMESTAMPASSTRING",
)


@dataclass(frozen=True, slots=True)
class Command:
    """One statement that has no tree."""

    kind: str
    words: list[str]
    _work: _Run

    def run(self, transaction: Transaction, context: Context, parameters: Parameters) -> Result:
        """Answer it. Raises ``Refused``."""
        if parameters:
            raise not_simulated(f"parameters in {self.kind}")
        return self._work(transaction, context, self.words)


def of(sql: str) -> Command | None:
    """The command that the statement is; None for everything that has a tree."""
    first = re.match(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*([A-Za-z]+)", sql, re.DOTALL)
    if first is None:
        return None
    kind = first[1].upper()
    work = _COMMANDS.get(kind)
    if work is None:
        return None
    found = _words(sql)
    if kind in ("CREATE", "DROP") and (len(found) < 2 or found[1].upper() != "CATALOG"):
        return None
    return Command(kind, found, work)


def _words(sql: str) -> list[str]:
    """The statement's words and signs; names and strings without their quotes, comments left out."""
    found = []
    for match in re.finditer(
        r"--[^\n]*|/\*.*?\*/|`([^`]*)`|'([^']*)'|\"([^\"]*)\"|\w+|[^\s\w;]", sql, re.DOTALL
    ):
        quoted = next((one for one in match.groups() if one is not None), None)
        if quoted is not None:
            found.append(quoted)
        elif not match[0].startswith(("--", "/*")):
            found.append(match[0])
    return found


def _use(transaction: Transaction, context: Context, text: list[str]) -> Result:
    rest = text[1:]
    kind = rest[0].upper() if rest else ""
    if kind in ("CATALOG", "SCHEMA", "DATABASE") and len(rest) > 1:
        rest = rest[1:]
    parts = [part.lower() for part in rest[::2]]
    if not parts or len(parts) > 2 or any(dot != "." for dot in rest[1::2]):
        raise syntax_error(rest[-1] if rest else "")
    if kind == "CATALOG":
        metastore.require_catalog(transaction, parts[0])
        context.catalog, context.schema = parts[0], "default"
        return Result()
    catalog = parts[0] if len(parts) == 2 else context.catalog
    metastore.require_schema(transaction, catalog, parts[-1])
    context.catalog, context.schema = catalog, parts[-1]
    return Result()


def _set(transaction: Transaction, context: Context, text: list[str]) -> Result:
    rest = text[1:]
    upper = [word.upper() for word in rest]
    if upper[:2] == ["TIME", "ZONE"]:
        upper, rest = ["TIMEZONE", *upper[2:]], ["TIMEZONE", *rest[2:]]
    if upper[:1] == ["TIMEZONE"]:
        return _set_timezone(context, [word for word in rest[1:] if word != "="])
    name, _, value = "".join(rest).partition("=")
    if upper[:1] == ["AUTOCOMMIT"]:
        raise Refused("TRANSACTION_NOT_SUPPORTED", "0A000", _NO_TRANSACTIONS)
    if not value:
        raise not_simulated("SET without a value")
    if name.upper() == "SPARK.SQL.SESSION.TIMEZONE":
        return _set_timezone(context, [value])
    if name.upper() == "STATEMENT_TIMEOUT" and not value.isdecimal():
        raise Refused(
            "INVALID_CONF_VALUE.DEFAULT_MESSAGE",
            "22022",
            f"The value '{value}' in the config \"STATEMENT_TIMEOUT\" is invalid: whole seconds were expected.",
        )
    keep_setting(context, name, value)
    return Result((Column("key", "STRING"), Column("value", "STRING")), [(name, value)])


def keep_setting(context: Context, name: str, value: str) -> None:
    """Keep a session's setting. Raises ``Refused`` for a name that a SQL warehouse does not have."""
    if name.upper() not in _SETTINGS:
        near = difflib.get_close_matches(name.upper(), _SETTINGS, n=2)
        hint = f" There is {' or '.join(near)}." if near else ""
        raise Refused("CONFIG_NOT_AVAILABLE", "42K0I", f"Configuration {name} is not available.{hint}")
    if name.upper() in ("ANSI_MODE", "SPARK.SQL.ANSI.ENABLED") and value.lower() != "true":
        raise not_simulated(f"{name.upper()} = {value}: errors stay errors here")
    context.settings[name.lower()] = value


def _set_timezone(context: Context, rest: list[str]) -> Result:
    zone = "UTC" if rest and rest[0].upper() == "LOCAL" else "".join(rest)
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused(
            "INVALID_CONF_VALUE.TIME_ZONE",
            "22022",
            f"The value '{zone}' in the config \"timezone\" is invalid. Cannot resolve the given timezone.",
        ) from None
    context.timezone = zone
    return Result(
        (Column("key", "STRING"), Column("value", "STRING")), [("spark.sql.session.timeZone", zone)]
    )


def _reset(transaction: Transaction, context: Context, text: list[str]) -> Result:
    context.settings.clear()
    context.timezone = "UTC"
    return Result()


def _catalog(transaction: Transaction, context: Context, text: list[str]) -> Result:
    upper = [word.upper() for word in text]
    if upper[0] == "DROP":
        raise not_simulated("DROP CATALOG")
    rest = text[2:]
    exists = upper[2:5] == ["IF", "NOT", "EXISTS"]
    rest = rest[3:] if exists else rest
    if len(rest) != 1:
        raise syntax_error(rest[1] if len(rest) > 1 else "")
    metastore.one_maker(transaction)
    metastore.make_catalog(transaction, rest[0].lower(), if_not_exists=exists)
    if not metastore.has_schema(transaction, rest[0].lower(), "default"):
        metastore.make_schema(transaction, rest[0].lower(), "default", if_not_exists=True)
    return Result()


def _show(transaction: Transaction, context: Context, text: list[str]) -> Result:
    what = text[1].upper() if len(text) > 1 else ""
    rest = text[2:]
    if what == "CATALOGS":
        rows = transaction.ask("select name from databricks.catalogs order by 1")
        return Result((Column("catalog", "STRING"),), rows)
    if what in ("SCHEMAS", "DATABASES"):
        place, pattern = _in(rest)
        catalog = place[0] if place else context.catalog
        metastore.require_catalog(transaction, catalog)
        rows = transaction.ask("select name from databricks.schemas where catalog = %s order by 1", catalog)
        return Result((Column("databaseName", "STRING"),), _like(rows, 0, pattern))
    if what in ("TABLES", "VIEWS"):
        place, pattern = _in(rest)
        catalog = place[0] if len(place) == 2 else context.catalog
        schema = place[-1] if place else context.schema
        metastore.require_schema(transaction, catalog, schema)
        rows = transaction.ask(
            "select schema, name, false from databricks.tables where (catalog, schema) = (%s, %s) "
            "and (%s or kind = 'VIEW') order by 2",
            catalog,
            schema,
            what == "TABLES",
        )
        names = ("database", "tableName") if what == "TABLES" else ("namespace", "viewName")
        columns = (Column(names[0], "STRING"), Column(names[1], "STRING"), Column("isTemporary", "BOOLEAN"))
        return Result(columns, _like(rows, 1, pattern))
    if what == "COLUMNS":
        place, _ = _in(rest)
        table = _table(transaction, context, place)
        return Result((Column("col_name", "STRING"),), [(one.name,) for one in table.columns])
    if what == "TBLPROPERTIES":
        table = _table(transaction, context, [part.lower() for part in rest[::2]])
        rows = transaction.ask(
            "select key, value from databricks.tables, jsonb_each_text(properties) where id = %s order by 1",
            table.id,
        )
        return Result((Column("key", "STRING"), Column("value", "STRING")), rows)
    raise not_simulated(f"SHOW {what}")


def _in(rest: list[str]) -> tuple[list[str], str | None]:
    """The name behind IN or FROM, and the pattern behind LIKE."""
    place: list[str] = []
    pattern = None
    number = 0
    while number < len(rest):
        word = rest[number].upper()
        if word in ("IN", "FROM") and number + 1 < len(rest):
            place.append(rest[number + 1].lower())
            number += 2
            while number + 1 < len(rest) and rest[number] == ".":
                place.append(rest[number + 1].lower())
                number += 2
            continue
        if word == "LIKE":
            number += 1
            continue
        pattern = rest[number]
        number += 1
    return place, pattern


def _like(rows: list[tuple[object, ...]], at: int, pattern: str | None) -> list[tuple[object, ...]]:
    if pattern is None:
        return rows
    wanted = re.compile(
        "|".join(re.escape(one).replace(r"\*", ".*") for one in pattern.split("|")), re.IGNORECASE
    )
    return [row for row in rows if wanted.fullmatch(str(row[at]))]


def _table(transaction: Transaction, context: Context, parts: list[str]) -> Table:
    if not 1 <= len(parts) <= 3:
        raise syntax_error(parts[-1] if parts else "")
    whole = [context.catalog, context.schema, *parts][-3:] if len(parts) < 3 else parts
    if len(parts) == 1:
        whole = [context.catalog, context.schema, parts[0]]
    elif len(parts) == 2:
        whole = [context.catalog, *parts]
    name = Name(*whole)
    found = metastore.find(transaction, [name])
    if name not in found:
        raise no_such_table(".".join(f"`{part}`" for part in parts))
    return found[name]


_DESCRIBED: Final = (Column("col_name", "STRING"), Column("data_type", "STRING"), Column("comment", "STRING"))


def _describe(transaction: Transaction, context: Context, text: list[str]) -> Result:
    rest = text[1:]
    if rest and rest[0].upper() in ("SCHEMA", "DATABASE", "CATALOG", "HISTORY", "FUNCTION", "QUERY"):
        raise not_simulated(f"DESCRIBE {rest[0].upper()}")
    if rest and rest[0].upper() == "DETAIL":
        return _detail(transaction, context, rest[1:])
    if rest and rest[0].upper() == "TABLE":
        rest = rest[1:]
    extended = bool(rest) and rest[0].upper() in ("EXTENDED", "FORMATTED")
    rest = rest[1:] if extended else rest
    table = _table(transaction, context, [part.lower() for part in rest[::2]])
    rows: list[tuple[object, ...]] = [(one.name, one.type.lower(), one.comment) for one in table.columns]
    if extended:
        facts = transaction.ask(
            "select created, comment, properties::text from databricks.tables where id = %s", table.id
        )[0]
        rows += [
            ("", "", ""),
            ("# Detailed Table Information", "", ""),
            ("Catalog", table.name.catalog, ""),
            ("Database", table.name.schema, ""),
            ("Table", table.name.table, ""),
            ("Created Time", str(facts[0]), ""),
            ("Type", table.kind, ""),
            ("Comment", facts[1] or "", ""),
            ("Provider", "delta", ""),
            ("Table Properties", facts[2], ""),
        ]
        keys = transaction.ask(
            "select name, kind, columns, definition, parent, parent_columns from databricks.constraints "
            "where table_id = %s order by 1",
            table.id,
        )
        if keys:
            rows += [("", "", ""), ("# Constraints", "", "")]
        for name, kind, columns, definition, parent, parent_columns in keys:
            text_ = (
                f"CHECK ({definition})"
                if kind == "CHECK"
                else f"{kind} ({', '.join(f'`{c}`' for c in columns)})"
            )
            if kind == "FOREIGN KEY":
                text_ += f" REFERENCES {parent} ({', '.join(f'`{c}`' for c in parent_columns)})"
            rows.append((name, text_, ""))
    return Result(_DESCRIBED, rows)


def _detail(transaction: Transaction, context: Context, rest: list[str]) -> Result:
    table = _table(transaction, context, [part.lower() for part in rest[::2]])
    created, properties = transaction.ask(
        "select created, properties::text from databricks.tables where id = %s", table.id
    )[0]
    columns = (
        Column("format", "STRING"),
        Column("name", "STRING"),
        Column("createdAt", "TIMESTAMP"),
        Column("properties", "STRING"),
    )
    return Result(columns, [("delta", str(table.name), created, properties)])


def _upkeep(transaction: Transaction, context: Context, text: list[str]) -> Result:
    """OPTIMIZE, VACUUM and ANALYZE have nothing to do here; the table must exist all the same."""
    rest = text[2:] if text[0].upper() == "ANALYZE" else text[1:]
    parts = [rest[0].lower()] if rest else []
    for dot, part in zip(rest[1::2], rest[2::2], strict=False):
        if dot != ".":
            break
        parts.append(part.lower())
    _table(transaction, context, parts)
    return Result()


def _no_transaction(transaction: Transaction, context: Context, text: list[str]) -> Result:
    raise Refused("TRANSACTION_NOT_SUPPORTED", "0A000", _NO_TRANSACTIONS)


def _permission(transaction: Transaction, context: Context, text: list[str]) -> Result:
    raise not_simulated(f"{text[0].upper()}: everybody who comes in may do everything")


_COMMANDS: Final[dict[str, _Run]] = {
    "USE": _use,
    "SET": _set,
    "RESET": _reset,
    "SHOW": _show,
    "DESCRIBE": _describe,
    "DESC": _describe,
    "CREATE": _catalog,
    "DROP": _catalog,
    "OPTIMIZE": _upkeep,
    "VACUUM": _upkeep,
    "ANALYZE": _upkeep,
    "BEGIN": _no_transaction,
    "START": _no_transaction,
    "COMMIT": _no_transaction,
    "ROLLBACK": _no_transaction,
    "GRANT": _permission,
    "REVOKE": _permission,
}
