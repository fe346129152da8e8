"""INSERT, UPDATE, DELETE and MERGE for PostgreSQL: every value is cast to its column, as Databricks assigns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlglot import exp

from simulator.workspace.warehouse.catalog import Table, identifier
from simulator.workspace.warehouse.errors import Refused, not_simulated, quoted, syntax_error
from simulator.workspace.warehouse.sql.writing import (
    Writer,
    as_postgres,
    is_default,
    place_of,
    shown,
    unknown_column,
)


@dataclass(frozen=True, slots=True)
class Change:
    """A statement that changes rows. ``reads_itself``: it adds rows that depend on those of its own table."""

    kind: str
    sql: str
    table: Table
    reads_itself: bool
    takes_away: bool
    """It may change or remove rows that are there."""
    clear_first: bool = False
    """INSERT OVERWRITE: what is there goes first."""
    source_to_count: str = ""
    """A query whose number of columns must be ``wanted_columns``, where a star hides it."""
    wanted_columns: int = 0


def change(writer: Writer, tree: exp.Expr) -> Change:
    """Any of the four. Raises ``Refused``."""
    match tree:
        case exp.Insert():
            found = _insert(writer, tree)
        case exp.Update():
            found = _update(writer, tree)
        case exp.Delete():
            found = _delete(writer, tree)
        case _:
            found = _merge(writer, cast(exp.Merge, tree))
    if found.table.append_only and found.takes_away:
        raise Refused(
            "DELTA_CANNOT_MODIFY_APPEND_ONLY",
            "42809",
            "This table is configured to only allow appends. If you would like to permit updates or deletes, use "
            f"'ALTER TABLE {found.table.name} SET TBLPROPERTIES (delta.appendOnly=false)'.",
        )
    return found


def _target(writer: Writer, node: exp.Expr) -> Table:
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise syntax_error(node.sql(dialect="databricks"))
    table = writer.table_of(node)
    if table.kind == "VIEW":
        raise Refused(
            "EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE", "42809", f"The view {shown(node)} cannot be written to."
        )
    return table


def _insert(writer: Writer, tree: exp.Insert) -> Change:
    schema = tree.this if isinstance(tree.this, exp.Schema) else None
    table = _target(writer, schema.this if schema else tree.this)
    names = [one.name for one in schema.expressions] if schema else [one.name for one in table.columns]
    source = tree.expression
    if tree.args.get("by_name"):
        if schema or not isinstance(source, exp.Select) or source.is_star:
            raise not_simulated("INSERT … BY NAME of anything but a plain list of columns")
        names = [one.alias_or_name for one in source.expressions]
    columns = _columns(table, names)
    to = f"insert into {place_of(table.name)} ({', '.join(identifier(one.name.lower()) for one in columns)})"
    with_ = tree.args.get("with_")
    if with_ is not None and source is not None and not source.args.get("with_"):
        source.set("with_", with_.pop())
    overwrite = bool(tree.args.get("overwrite"))
    if isinstance(source, exp.Values):
        rows = []
        for row in source.expressions:
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            _same_number(table, len(columns), len(cells))
            rows.append(
                "("
                + ", ".join(
                    _assigned(writer, cell, column.type) for cell, column in zip(cells, columns, strict=True)
                )
                + ")"
            )
        return Change("INSERT", f"{to} values {', '.join(rows)}", table, table.identity, overwrite, overwrite)
    if not isinstance(source, exp.Query):
        raise not_simulated("this form of INSERT")
    star = any(one.is_star for one in source.selects)
    if not star:
        _same_number(table, len(columns), len(source.selects))
    reads_itself = table.name in writer.names(source) or table.identity
    query = writer.written(source)
    cells_sql = ", ".join(
        as_postgres(writer.assigned(exp.Var(this=f"s_.c{number}"), column.type))
        for number, column in enumerate(columns, start=1)
    )
    given = ", ".join(f"c{number}" for number in range(1, len(columns) + 1))
    return Change(
        "INSERT",
        f"{to} select {cells_sql} from ({query}) as s_ ({given})",
        table,
        reads_itself,
        overwrite,
        overwrite,
        f"select * from ({query}) as s_ limit 0" if star else "",
        len(columns),
    )


def _columns(table: Table, names: Sequence[str]) -> list[Any]:
    found, seen = [], set()
    for name in names:
        column = table.column(name)
        if column is None:
            raise unknown_column(name, table)
        if name.lower() in seen:
            raise Refused(
                "COLUMN_ALREADY_EXISTS", "42711", f"The column {quoted(name)} is given more than once."
            )
        seen.add(name.lower())
        found.append(column)
    return found


def _same_number(table: Table, wanted: int, found: int) -> None:
    if wanted != found:
        what = "NOT_ENOUGH_DATA_COLUMNS" if found < wanted else "TOO_MANY_DATA_COLUMNS"
        raise Refused(
            f"INSERT_COLUMN_ARITY_MISMATCH.{what}",
            "21S01",
            f"Cannot write to {quoted(str(table.name))}, the reason is that {wanted} columns are wanted and "
            f"{found} values are given.",
        )


def same_number(table: Table, wanted: int, found: int) -> None:
    """Raises ``Refused`` when a query gives another number of columns than the INSERT wants."""
    _same_number(table, wanted, found)


def _assigned(writer: Writer, value: exp.Expr, type_text: str) -> str:
    if is_default(value):
        return "default"
    return as_postgres(writer.assigned(writer.rewritten(value), type_text))


def _update(writer: Writer, tree: exp.Update) -> Change:
    table = _target(writer, tree.this)
    alias = tree.this.alias
    _no_nested_subquery(tree.args.get("where"), "UPDATE")
    to = place_of(table.name) + (f" as {identifier(alias.lower())}" if alias else "")
    sql = f"{_with(writer, tree)}update {to} set {_settings(writer, table, tree.expressions)}{_where(writer, tree)}"
    return Change("UPDATE", sql, table, False, True)


def _settings(writer: Writer, table: Table, settings: list[exp.Expr], *, source: str = "") -> str:
    written = []
    seen = set()
    for one in settings:
        if not isinstance(one, exp.EQ) or not isinstance(one.this, exp.Column):
            raise not_simulated(f"the assignment {one.sql(dialect='databricks')[:60]}")
        if one.expression.find(exp.Select):
            raise Refused(
                "DELTA_UNSUPPORTED_SUBQUERY",
                "0AKDC",
                "Subqueries are not supported in the SET clause of UPDATE and MERGE.",
            )
        name = one.this.name
        column = table.column(name)
        if column is None:
            raise unknown_column(name, table)
        if name.lower() in seen:
            raise Refused(
                "DELTA_CONFLICT_SET_COLUMN",
                "42701",
                f"There is a conflict from these SET columns: {quoted(name)}.",
            )
        seen.add(name.lower())
        written.append(f"{identifier(name.lower())} = {_assigned(writer, one.expression, column.type)}")
    del source
    return ", ".join(written)


def _delete(writer: Writer, tree: exp.Delete) -> Change:
    table = _target(writer, tree.this)
    alias = tree.this.alias
    _no_nested_subquery(tree.args.get("where"), "DELETE")
    to = place_of(table.name) + (f" as {identifier(alias.lower())}" if alias else "")
    return Change(
        "DELETE", f"{_with(writer, tree)}delete from {to}{_where(writer, tree)}", table, False, True
    )


def _with(writer: Writer, tree: exp.Expr) -> str:
    with_ = tree.args.get("with_")
    return f"{writer.written(with_)} " if with_ is not None else ""


def _where(writer: Writer, tree: exp.Expr) -> str:
    where = tree.args.get("where")
    if where is None:
        return ""
    # Written in its place, so that names of CTEs are known there.
    copied = tree.copy()
    return f" where {as_postgres(writer.rewritten(copied.args['where']).this)}"


def _no_nested_subquery(where: exp.Expr | None, kind: str) -> None:
    if where is None:
        return
    for select in where.find_all(exp.Select):
        above = select.parent
        while above is not None and above is not where:
            if isinstance(above, exp.Select):
                raise Refused(
                    "DELTA_NESTED_SUBQUERY_NOT_SUPPORTED",
                    "0A000",
                    f"Nested subquery is not supported in the {kind} condition.",
                )
            above = above.parent


def _merge(writer: Writer, tree: exp.Merge) -> Change:
    table = _target(writer, tree.this)
    target_alias = (tree.this.alias or tree.this.name).lower()
    using = tree.args["using"]
    source_alias = (using.alias_or_name or "").lower()
    if not source_alias:
        source_alias = "source_"
        using.set("alias", exp.TableAlias(this=exp.to_identifier(source_alias)))
    # Names of CTEs are known in the whole statement alone; writing that is dear, and most have none.
    using_node = writer.rewritten(tree).args["using"] if tree.args.get("with_") else writer.rewritten(using)
    to = place_of(table.name) + f" as {identifier(target_alias)}"
    condition = as_postgres(writer.rewritten(tree.args["on"]))
    if tree.args["on"].find(exp.Select):
        raise Refused(
            "DELTA_UNSUPPORTED_SUBQUERY_IN_MERGE",
            "0AKDC",
            "Subqueries are not supported in the ON clause of MERGE.",
        )
    clauses = []
    inserts = takes_away = False
    for when in tree.args["whens"].expressions:
        if when.args.get("source"):
            raise not_simulated("WHEN NOT MATCHED BY SOURCE")
        matched = bool(when.args.get("matched"))
        then = when.args["then"]
        also = when.args.get("condition")
        head = f"when {'matched' if matched else 'not matched'}"
        if also is not None:
            head += f" and {as_postgres(writer.rewritten(also))}"
        if isinstance(then, exp.Insert):
            inserts = True
            clauses.append(f"{head} then {_merge_insert(writer, table, then, source_alias)}")
        elif isinstance(then, exp.Update):
            takes_away = True
            settings = then.expressions
            if settings and isinstance(settings[0], exp.Star):
                settings = [_from_source(one.name, source_alias) for one in table.columns]
            clauses.append(f"{head} then update set {_settings(writer, table, settings)}")
        elif then.name.upper() == "DELETE" and matched:
            takes_away = True
            clauses.append(f"{head} then delete")
        else:
            raise syntax_error(then.sql(dialect="databricks"))
    sql = f"{_with(writer, tree)}merge into {to} using {as_postgres(using_node)} on {condition} " + " ".join(
        clauses
    )
    return Change("MERGE", sql, table, inserts or table.identity, takes_away)


def _from_source(name: str, source: str) -> exp.Expr:
    return exp.EQ(
        this=exp.column(name),
        expression=exp.column(exp.to_identifier(name), table=exp.to_identifier(source, quoted=True)),
    )


def _merge_insert(writer: Writer, table: Table, then: exp.Insert, source: str) -> str:
    if isinstance(then.this, exp.Star):
        columns = list(table.columns)
        cells = [_from_source(one.name, source).expression for one in columns]
    else:
        if not isinstance(then.this, exp.Tuple) or not isinstance(then.expression, exp.Tuple):
            raise not_simulated("this form of INSERT in MERGE")
        columns = _columns(table, [one.name for one in then.this.expressions])
        cells = then.expression.expressions
    _same_number(table, len(columns), len(cells))
    names = ", ".join(identifier(one.name.lower()) for one in columns)
    values = ", ".join(_assigned(writer, cell, one.type) for cell, one in zip(cells, columns, strict=True))
    return f"insert ({names}) values ({values})"
