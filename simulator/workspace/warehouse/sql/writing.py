"""A statement's tree, read from Databricks SQL, written as PostgreSQL runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, Final, cast

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres

from simulator.workspace.warehouse.catalog import Name, Table, identifier
from simulator.workspace.warehouse.errors import Refused, no_such_column, no_such_table, not_simulated
from simulator.workspace.warehouse.sql.functions import AGGREGATES, as_text, function
from simulator.workspace.warehouse.sql.types import type_of

INFORMATION: Final = frozenset(
    (
        *("catalogs", "schemata", "tables", "columns", "views"),
        *("table_constraints", "key_column_usage", "referential_constraints"),
    )
)
_WHOLE: Final = {"tinyint", "smallint", "integer", "bigint"}
_generator: Final = Postgres().generator()
_one_writes: Final = Lock()  # it keeps what it is about in itself
_OF_PART: Final = {"DOW": "DOW", "DAYOFWEEK": "DOW", "DOY": "DOY", "EPOCH": ""}


class Writer:
    """Writes one statement; ``tables`` holds every table that it names and that exists."""

    def __init__(self, catalog: str, schema: str, user: str) -> None:
        self._session = {"catalog": catalog, "schema": schema, "user": user, "version": "simulated"}
        self.tables: Mapping[Name, Table] = {}

    def session(self, part: str) -> str:
        """``catalog``, ``schema`` or ``user`` of the session."""
        return self._session[part]

    def names(self, tree: exp.Expr) -> list[Name]:
        """All tables that the statement names: not its CTEs, nor the information schema."""
        found: dict[Name, None] = {}
        for node in tree.find_all(exp.Table):
            if isinstance(node.this, exp.Identifier) and not _is_cte(node) and not self._information(node):
                found[self.name_of(node)] = None
        return list(found)

    def name_of(self, node: exp.Table) -> Name:
        """The table's whole name, the session's defaults filled in."""
        catalog, schema = node.catalog.lower(), node.db.lower()
        return Name(catalog or self._session["catalog"], schema or self._session["schema"], node.name.lower())

    def table_of(self, node: exp.Table) -> Table:
        """Raises ``Refused`` unless it exists."""
        table = self.tables.get(self.name_of(node))
        if table is None:
            raise no_such_table(shown(node))
        return table

    def written(self, tree: exp.Expr) -> str:
        """The whole expression or query. Raises ``Refused`` for what cannot be said."""
        return as_postgres(self.rewritten(tree))

    def written_last(self, tree: exp.Expr) -> str:
        """The same of a tree that nobody needs any more."""
        return as_postgres(self._rewritten(tree))

    def rewritten(self, tree: exp.Expr) -> exp.Expr:
        """The same as a tree; the given one is left alone."""
        return self._rewritten(tree.copy())

    def _rewritten(self, copied: exp.Expr) -> exp.Expr:
        for found in list(copied.find_all(exp.Select, exp.Table)):
            if isinstance(found, exp.Select):
                _expand_group_by_all(found)
            else:
                self._expand_inline(cast(exp.Table, found))
        # From the leaves up, so that a function sees its arguments as PostgreSQL will.
        return _from_below(copied, self._node)

    def _node(self, node: exp.Expr) -> exp.Expr:
        writer = _WRITERS.get(type(node))
        return writer(self, node) if writer is not None else node

    def _identifier(self, node: exp.Expr) -> exp.Expr:
        return exp.to_identifier(node.name.lower(), quoted=True)

    def _table(self, node: exp.Expr) -> exp.Expr:
        assert isinstance(node, exp.Table)
        if isinstance(node.this, exp.Var):
            return node
        if not isinstance(node.this, exp.Identifier):
            raise not_simulated(f"the table function {node.this.sql()[:60]}")
        if _is_cte(node):
            return node
        if information := self._information(node):
            inner = exp.select("*").from_(exp.table_(f"info_{node.name.lower()}", db="databricks"))
            if information != "system":
                owner = "catalog_name" if node.name in ("catalogs", "schemata") else "table_catalog"
                owner = "constraint_catalog" if node.name == "referential_constraints" else owner
                inner = inner.where(
                    exp.EQ(this=exp.column(owner), expression=exp.Literal.string(information))
                )
            return exp.Subquery(
                this=inner,
                alias=node.args.get("alias")
                or exp.TableAlias(this=exp.to_identifier(node.name, quoted=True)),
            )
        name = self.name_of(node)
        if name not in self.tables:
            raise no_such_table(shown(node))
        node.set("db", exp.to_identifier(name.place, quoted=True))
        node.set("catalog", None)
        return node

    def _expand_inline(self, node: exp.Table) -> None:
        """``inline(from_json(text, 'array<struct<…>>')) as r`` in FROM: rows from JSON."""
        call = node.this
        if not isinstance(call, exp.Anonymous) or str(call.this).lower() != "inline":
            return
        source = call.expressions[0] if len(call.expressions) == 1 else None
        if not isinstance(source, exp.Anonymous) or str(source.this).lower() != "from_json":
            raise not_simulated("inline() of anything but from_json(…)")
        text, shape = (*source.expressions, None, None)[:2]
        kind = (
            exp.DataType.build(shape.name, dialect="databricks") if isinstance(shape, exp.Literal) else None
        )
        inner = kind.expressions[0] if kind is not None and kind.is_type("array") else None
        if text is None or not isinstance(inner, exp.DataType) or not inner.is_type("struct"):
            raise not_simulated("from_json() with anything but an 'array<struct<…>>' that is written out")
        document = as_postgres(self.rewritten(text))
        fields = [
            exp.Var(this=f"{identifier(one.name.lower())} {type_of(one.args['kind'])[1]}")
            for one in inner.expressions
        ]
        node.set("this", exp.Var(this=f"jsonb_to_recordset(json_or_null_({document}))"))
        name = (
            node.args["alias"].this if node.args.get("alias") else exp.to_identifier("inline_", quoted=True)
        )
        node.set("alias", exp.TableAlias(this=name, columns=fields))

    def _information(self, node: exp.Table) -> str:
        """The catalog whose information schema it is, "" for an ordinary table."""
        if node.db.lower() != "information_schema":
            return ""
        if node.name.lower() not in INFORMATION:
            raise no_such_table(shown(node))
        return node.catalog.lower() or self._session["catalog"]

    def _column(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node.this, exp.Star):
            return node
        node.set("db", None)
        node.set("catalog", None)
        return node

    def _function(self, node: exp.Expr) -> exp.Expr:
        assert isinstance(node, exp.Anonymous)
        called = function(node, lambda part: self._session[part])
        return self._cast(called) if isinstance(called, exp.Cast) else called

    def _divided(self, node: exp.Expr) -> exp.Expr:
        name = "div_" if isinstance(node, exp.Div) else "idiv" if isinstance(node, exp.IntDiv) else "rem_"
        return exp.Anonymous(this=name, expressions=[_bare(node.this), _bare(node.expression)])

    def _joined(self, node: exp.Expr) -> exp.Expr:
        return exp.Anonymous(this="concat", expressions=[as_text(node.this), as_text(node.expression)])

    def _cast(self, node: exp.Expr) -> exp.Expr:
        return self.cast(
            node.this, cast(exp.DataType, node.args["to"]), attempt=isinstance(node, exp.TryCast)
        )

    def cast(self, value: exp.Expr, to: exp.DataType, *, attempt: bool = False) -> exp.Expr:
        """An explicit cast."""
        _, postgres = type_of(to)
        if attempt:
            text = exp.Anonymous(this="to_string", expressions=[value])
            null = exp.Anonymous(this=f"null::{postgres}")
            return _raw(f"try_cast_({as_postgres(text)}, {null.this})")
        return _cast_to(value, postgres)

    def assigned(self, value: exp.Expr, type_text: str) -> exp.Expr:
        """A written value on its way into a column: cast, except that text too long stays an error."""
        if isinstance(value, exp.Var) and value.name.upper() == "DEFAULT":
            return value
        if type_text.startswith(("VARCHAR", "CHAR")):
            return _cast_to(value, "text")
        return _cast_to(value, _postgres_type(type_text))

    def _interval(self, node: exp.Expr) -> exp.Expr:
        amount, unit = node.this, node.args.get("unit")
        if not isinstance(unit, exp.Var):
            raise not_simulated(f"the interval {node.sql(dialect='databricks')[:60]}")
        word = unit.name.upper().rstrip("S")
        if isinstance(amount, exp.Literal):
            return _raw(f"interval '{amount.name} {word}'")
        if isinstance(amount, exp.Neg) and isinstance(amount.this, exp.Literal):
            return _raw(f"interval '-{amount.this.name} {word}'")
        return _raw(f"(({as_postgres(amount)}) * interval '1 {word}')")

    def _json(self, node: exp.Expr) -> exp.Expr:
        steps = []
        for step in cast(exp.JSONPath, node.expression).expressions:
            if isinstance(step, exp.JSONPathKey | exp.JSONPathSubscript):
                steps.append(
                    f"[{step.this}]" if isinstance(step, exp.JSONPathSubscript) else f"['{step.this}']"
                )
            elif not isinstance(step, exp.JSONPathRoot):
                raise not_simulated(f"the path {node.sql(dialect='databricks')[:60]}")
        return exp.Anonymous(
            this="get_json_object", expressions=[node.this, exp.Literal.string("$" + "".join(steps))]
        )

    def _extract(self, node: exp.Expr) -> exp.Expr:
        part = node.this.name.upper()
        if part == "SECOND":
            return _raw(f"cast({as_postgres(node)} as numeric(8,6))")
        if part not in ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "DOY"):
            raise not_simulated(f"EXTRACT({part} …)")
        return _raw(f"cast({as_postgres(node)} as integer)")

    def _substring(self, node: exp.Expr) -> exp.Expr:
        arguments = [node.this, node.args.get("start"), node.args.get("length")]
        return exp.Anonymous(this="substr_", expressions=[one for one in arguments if one is not None])

    def _position(self, node: exp.Expr) -> exp.Expr:
        return exp.Anonymous(this="instr", expressions=[node.this, node.args["substr"]])

    def _values(self, node: exp.Expr) -> exp.Expr:
        alias = node.args.get("alias")
        rows = node.expressions
        if (
            isinstance(node.parent, exp.From | exp.Join)
            and rows
            and not (alias and alias.args.get("columns"))
        ):
            wide = len(rows[0].expressions) if isinstance(rows[0], exp.Tuple) else 1
            name = alias.this if alias else exp.to_identifier("values_", quoted=True)
            names = [exp.to_identifier(f"col{number}", quoted=True) for number in range(1, wide + 1)]
            node.set("alias", exp.TableAlias(this=name, columns=names))
        return node

    def _star(self, node: exp.Expr) -> exp.Expr:
        if any(node.args.get(name) for name in ("except_", "replace", "rename")):
            raise not_simulated("SELECT * EXCEPT")
        return node

    def _user(self, node: exp.Expr) -> exp.Expr:
        return exp.Literal.string(self._session["user"])


_Writer = Callable[[Writer, exp.Expr], exp.Expr]
_WRITERS: Final[dict[type[exp.Expr], _Writer]] = {
    exp.Identifier: Writer._identifier,
    exp.Table: Writer._table,
    exp.Column: Writer._column,
    exp.Anonymous: Writer._function,
    **dict.fromkeys((exp.Div, exp.IntDiv, exp.Mod), Writer._divided),
    **dict.fromkeys((exp.Cast, exp.TryCast), Writer._cast),
    exp.DPipe: Writer._joined,
    exp.Interval: Writer._interval,
    exp.JSONExtract: Writer._json,
    exp.Extract: Writer._extract,
    exp.Substring: Writer._substring,
    exp.StrPosition: Writer._position,
    exp.Values: Writer._values,
    exp.Star: Writer._star,
    **dict.fromkeys((exp.CurrentUser, exp.SessionUser), Writer._user),
}


def as_postgres(node: exp.Expr) -> str:
    """What was rewritten, as text. The tree is used up: sqlglot may change it while it writes.

    A statement has dozens of parts: a copy and another generator for each cost more than the writing itself.
    """
    if isinstance(node, exp.Var):
        return node.name  # finished: most parts are
    with _one_writes:
        return _generator.generate(node, copy=False)


@lru_cache(256)
def _postgres_type(databricks: str) -> str:
    """Of a column, whose type is a text; reading it again for each cell is slow."""
    return type_of(exp.DataType.build(databricks, dialect="databricks"))[1]


def shown(node: exp.Table) -> str:
    """The table's name as the statement writes it, in backticks."""
    return ".".join(f"`{part.name}`" for part in node.parts)


def output_names(tree: exp.Expr) -> list[str | None]:
    """The result's column names as Databricks gives them; None where a star stands for any number of columns."""
    select: Any = tree
    while isinstance(select, exp.Union | exp.Except | exp.Intersect | exp.Subquery):
        select = select.this
    if not isinstance(select, exp.Select):
        return [None]
    return [_output_name(one) for one in select.expressions]


def _output_name(node: exp.Expr) -> str | None:
    if node.is_star:
        return None
    if isinstance(node, exp.Alias | exp.Column):
        return node.alias_or_name
    if isinstance(node, exp.Cast):
        return _output_name(node.this) if isinstance(node.this, exp.Column) else _spelled(node)
    return _spelled(node)


def _spelled(node: exp.Expr) -> str:
    """An expression's own name, near to what Databricks writes: ``count(1)``, ``max(temperature)``, ``(a + b)``."""
    copied = node.copy()
    for star in list(copied.find_all(exp.Star)):
        if isinstance(star.parent, exp.Anonymous):
            star.replace(exp.Literal.number(1))
    for call in copied.find_all(exp.Anonymous):
        call.set("this", str(call.this).lower())
    text = copied.sql(dialect="databricks", normalize_functions=False, comments=False)
    if isinstance(copied, exp.Literal) and copied.is_string:
        return copied.name
    return f"({text})" if isinstance(copied, exp.Binary) and not isinstance(copied, exp.Dot) else text


def unknown_column(name: str, table: Table) -> Refused:
    """For a column that was assigned to and is not there."""
    return no_such_column(name, tuple(one.name for one in table.columns))


def is_default(node: exp.Expr) -> bool:
    """Whether the value is the word DEFAULT."""
    return (
        isinstance(node, exp.Var | exp.Column)
        and node.name.upper() == "DEFAULT"
        and not node.args.get("table")
    )


def default() -> exp.Expr:
    """The word DEFAULT, as PostgreSQL takes it."""
    return exp.Var(this="DEFAULT")


def _from_below(node: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """``change`` at every node, children first; the parent is known while it runs."""
    for child in list(_children(node)):
        changed = _from_below(child, change)
        if changed is not child:
            child.replace(changed)
    return change(node)


def _children(node: exp.Expr) -> Iterator[exp.Expr]:
    for value in node.args.values():
        if isinstance(value, exp.Expr):
            yield value
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, exp.Expr))


def _is_cte(node: exp.Table) -> bool:
    if node.db:
        return False
    above: exp.Expr | None = node
    while above is not None:
        with_ = above.args.get("with_") or above.args.get("with")
        if with_ is not None and any(one.alias.lower() == node.name.lower() for one in with_.expressions):
            return True
        above = above.parent
    return False


def _expand_group_by_all(select: exp.Select) -> None:
    group = select.args.get("group")
    if group is None or not group.args.get("all"):
        return
    plain = [
        exp.Literal.number(number)
        for number, one in enumerate(select.expressions, start=1)
        if not any(str(call.this).lower() in AGGREGATES for call in one.find_all(exp.Anonymous))
    ]
    select.set("group", exp.Group(expressions=plain) if plain else None)


def _cast_to(value: exp.Expr, postgres: str) -> exp.Expr:
    if postgres == "text":
        return value if _is_text(value) else exp.Anonymous(this="to_string", expressions=[value])
    if isinstance(value, exp.Null) or _is_text(value):
        return _raw(f"cast({as_postgres(value)} as {postgres})")
    if isinstance(value, exp.Literal | exp.Neg | exp.Boolean) and postgres in _WHOLE:
        inner = exp.Anonymous(this="to_whole", expressions=[value]) if "." in value.sql() else value
        return _raw(f"cast({as_postgres(inner)} as {postgres})")
    text = as_postgres(value)
    if postgres in _WHOLE:
        return _raw(f"cast(to_whole({text}) as {postgres})")
    if postgres == "timestamptz":
        return _raw(f"to_instant({text})")
    if postgres == "bytea":
        return _raw(f"convert_to(to_string({text}), 'UTF8')")
    return _raw(f"cast({text} as {postgres})")


def _is_text(value: exp.Expr) -> bool:
    return isinstance(value, exp.Literal) and value.is_string


def _bare(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Paren) else node


def _raw(sql: str) -> exp.Expr:
    """A finished piece of PostgreSQL."""
    return exp.Var(this=sql)


def place_of(name: Name) -> str:
    """The table for PostgreSQL."""
    return f"{identifier(name.place)}.{identifier(name.table)}"
