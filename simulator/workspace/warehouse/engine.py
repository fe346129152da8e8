"""Runs one statement of Databricks SQL: read, rewritten, executed in one transaction, and answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from simulator.workspace.warehouse import catalog as metastore
from simulator.workspace.warehouse import commands, refusals
from simulator.workspace.warehouse.catalog import Table
from simulator.workspace.warehouse.database import Answer, Complaint, Database, Field, Transaction
from simulator.workspace.warehouse.errors import Refused
from simulator.workspace.warehouse.sql import changes
from simulator.workspace.warehouse.sql.making import make
from simulator.workspace.warehouse.sql.reading import Kind, kind_of, read
from simulator.workspace.warehouse.sql.types import result_type
from simulator.workspace.warehouse.sql.writing import Writer, output_names, place_of
from simulator.workspace.warehouse.values import Column, Parameters, Result

_MEANT_DIGITS: Final = 12
_LONGEST: Final = 16 * 2**20  # bytes of a statement


@dataclass(slots=True)
class Context:
    """What a session holds: where names are looked for, and how instants are shown."""

    catalog: str
    schema: str
    timezone: str = "UTC"
    settings: dict[str, str] = field(default_factory=dict)
    user: str = "simulated@example.com"


@dataclass(frozen=True, slots=True)
class Watch:
    """Where a running statement tells of itself. ``began`` gets what cancels it; ``ready`` is called after the
    snapshot was taken and before the work, and may wait; it is told whether the work changes rows."""

    began: Callable[[Callable[[], None]], None] = lambda cancel: None
    ready: Callable[[bool], None] = lambda changes: None


class Engine:
    """The SQL of a warehouse over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def execute(self, sql: str, parameters: Parameters, context: Context, watch: Watch) -> Result:
        """Raises ``Refused`` with the text that a client sees, ``Cancelled`` when somebody else stopped it."""
        if len(sql.encode()) > _LONGEST:
            raise Refused("STATEMENT_TOO_LONG", "54001", "The statement is longer than 16 MiB.")
        if (command := commands.of(sql)) is not None:
            return self._guarded(
                command.kind, context, watch, lambda tx, writer: command.run(tx, context, parameters)
            )
        tree = read(sql, parameters)
        kind = kind_of(tree)
        if kind is Kind.QUERY:
            return self._guarded(
                "SELECT", context, watch, lambda tx, writer: self._query(tx, writer, tree, watch)
            )
        if kind is Kind.CHANGE:
            return self._guarded(
                type(tree).__name__.upper(),
                context,
                watch,
                lambda tx, writer: self._change(tx, writer, tree, watch),
            )
        return self._guarded(
            type(tree).__name__.upper(),
            context,
            watch,
            lambda tx, writer: make(tx, writer, tree),
            snapshot=False,
        )

    def _guarded(
        self,
        kind: str,
        context: Context,
        watch: Watch,
        work: Callable[[Transaction, Writer], Result],
        *,
        snapshot: bool = True,
    ) -> Result:
        writer = Writer(context.catalog, context.schema, context.user)
        try:
            with self._database.transaction(context.timezone, snapshot=snapshot) as transaction:
                watch.began(transaction.cancel)
                return work(transaction, writer)
        except Complaint as complaint:
            raise refusals.translated(complaint, kind, writer.tables.values()) from complaint

    def _query(self, transaction: Transaction, writer: Writer, tree: Any, watch: Watch) -> Result:
        names = output_names(tree)
        writer.tables = metastore.find(transaction, writer.names(tree))
        sql = writer.written_last(tree)
        watch.ready(False)
        answer = transaction.run(sql)
        return Result(*_shown(answer, names, list(writer.tables.values())))

    def _change(self, transaction: Transaction, writer: Writer, tree: Any, watch: Watch) -> Result:
        writer.tables = metastore.find(transaction, writer.names(tree))
        change = changes.change(writer, tree)
        watch.ready(True)
        metastore.hold_metadata(transaction, change.table)
        if change.source_to_count:
            found = len(transaction.run(change.source_to_count).fields)
            changes.same_number(change.table, change.wanted_columns, found)
        if change.clear_first:
            transaction.run(f"delete from {place_of(change.table.name)}")
        before = _counted(transaction, change.table) if change.kind == "MERGE" else (0, 0, 0)
        affected = transaction.run(change.sql).count
        added, updated, removed = (affected, 0, 0)
        if change.kind == "MERGE":
            after = _counted(transaction, change.table)
            added, updated, removed = (new - old for new, old in zip(after, before, strict=True))
        if affected:
            kind, disturbed_by = _overlap(change, added)
            metastore.note_write(self._database, transaction, change.table, kind, disturbed_by)
        columns = [Column("num_affected_rows", "BIGINT")]
        row = [affected]
        if change.kind == "INSERT":
            columns.append(Column("num_inserted_rows", "BIGINT"))
            row.append(affected)
        elif change.kind == "MERGE":
            columns += [Column(f"num_{what}_rows", "BIGINT") for what in ("updated", "deleted", "inserted")]
            row += [updated, removed, added]
        return Result(tuple(columns), [tuple(row)], affected)


def _overlap(change: changes.Change, added: int) -> tuple[str, frozenset[str]]:
    """What the statement is to those that overlap it, and which of those disturb it.

    Rows that both change are found by the database. Beyond that, as WriteSerializable has it: adding rows disturbs
    nobody, unless it depended on reading the table; Serializable: it disturbs whoever read the table.
    """
    table = change.table
    appends = frozenset(("append", "reading_append"))
    if change.kind == "INSERT" and not change.clear_first:
        if not change.reads_itself:
            return "append", frozenset()
        return "reading_append", appends | {"change"} if table.serializable else frozenset(
            ("reading_append", "change")
        )
    disturbed_by = appends if table.serializable else frozenset()
    if table.partitioned:
        disturbed_by |= {"change", "reading_append"}
    if change.reads_itself and added:
        return "reading_append", disturbed_by | {"reading_append"}
    return "change", disturbed_by


def _counted(transaction: Transaction, table: Table) -> tuple[int, int, int]:
    """Rows that this connection added, updated and deleted and has not reported yet: differences mean something."""
    rows = transaction.ask(
        "select n_tup_ins, n_tup_upd, n_tup_del from pg_stat_xact_user_tables where schemaname = %s and relname = %s",
        table.name.place,
        table.name.table,
    )
    return (int(rows[0][0]), int(rows[0][1]), int(rows[0][2])) if rows else (0, 0, 0)


def _shown(
    answer: Answer, names: list[str | None], tables: list[Table]
) -> tuple[tuple[Column, ...], list[tuple[object, ...]]]:
    declared = {one.name.lower(): one.name for table in tables for one in table.columns}
    wanted = _spread(names, [declared.get(one.name, one.name) for one in answer.fields])
    columns = []
    rows: list[tuple[object, ...]] = answer.rows
    for number, (one, name) in enumerate(zip(answer.fields, wanted, strict=True)):
        column, change = _column(name, one, [row[number] for row in rows])
        columns.append(column)
        if change is not None:
            rows = [(*row[:number], change(row[number]), *row[number + 1 :]) for row in rows]
    return tuple(columns), rows


def _spread(names: list[str | None], found: list[str]) -> list[str]:
    """Names from the statement, and the database's own where a star stands for several."""
    stars = names.count(None)
    if stars == 0 and len(names) == len(found):
        return [str(name) for name in names]
    if stars == 1:
        at = names.index(None)
        behind = len(names) - at - 1
        middle = found[at : len(found) - behind]
        return [*map(str, names[:at]), *middle, *map(str, names[at + 1 :])]
    return found


def _column(name: str, one: Field, values: Sequence[Any]) -> tuple[Column, Callable[[Any], object] | None]:
    """The column, and how its values have to be changed first."""
    if one.type != "numeric":
        kind = result_type(one.type)
        text = kind == "STRING" and any(value is not None and not isinstance(value, str) for value in values)
        return Column(name, kind), (lambda value: None if value is None else str(value)) if text else None
    if one.precision is not None and one.scale is not None:
        return Column(name, "DECIMAL", one.precision, one.scale), None
    # PostgreSQL does not say how many digits an expression has; the values do.
    exact = [_without_filling(value) for value in values if isinstance(value, Decimal)]
    scale = min(max((max(0, -int(value.as_tuple().exponent)) for value in exact), default=0), 18)
    digits = max(
        (len(value.as_tuple().digits) + max(0, int(value.as_tuple().exponent)) for value in exact), default=1
    )
    precision = min(max(digits, scale + 1), 38)
    step = Decimal(1).scaleb(-scale)
    return (
        Column(name, "DECIMAL", precision, scale),
        lambda value: None if value is None else value.quantize(step),
    )


def _without_filling(value: Decimal) -> Decimal:
    """Divisions and averages come with many digits, most of them zeros; what is short is meant."""
    return value.normalize() if int(value.as_tuple().exponent) < -_MEANT_DIGITS else value
