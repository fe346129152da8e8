"""CREATE, ALTER, DROP, TRUNCATE and COMMENT: one at a time, in the metastore and in PostgreSQL together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from simulator.workspace.warehouse import catalog as metastore
from simulator.workspace.warehouse.catalog import Name, Table, TableColumn, identifier
from simulator.workspace.warehouse.database import Transaction
from simulator.workspace.warehouse.errors import Refused, no_such_table, not_simulated, quoted
from simulator.workspace.warehouse.sql import definitions
from simulator.workspace.warehouse.sql.definitions import Definition
from simulator.workspace.warehouse.sql.types import result_type
from simulator.workspace.warehouse.sql.writing import Writer, place_of, shown, unknown_column
from simulator.workspace.warehouse.values import Result


def make(transaction: Transaction, writer: Writer, tree: exp.Expr) -> Result:
    """Do it. Raises ``Refused``."""
    work = _WORK.get(type(tree))
    if work is None:
        raise not_simulated(f"{tree.key.upper()}")
    metastore.one_maker(transaction)
    writer.tables = metastore.find(transaction, writer.names(tree))
    work(transaction, writer, tree)
    return Result()


def _create(transaction: Transaction, writer: Writer, tree: Any) -> None:
    kind = str(tree.args.get("kind") or "").upper()
    if kind in ("SCHEMA", "DATABASE"):
        catalog = (tree.this.catalog or writer.session("catalog")).lower()
        metastore.make_schema(
            transaction, catalog, tree.this.db.lower(), if_not_exists=bool(tree.args.get("exists"))
        )
    elif kind == "TABLE":
        _create_table(transaction, writer, tree)
    elif kind == "VIEW":
        _create_view(transaction, writer, tree)
    else:
        raise not_simulated(f"CREATE {kind}")


def _place(transaction: Transaction, writer: Writer, tree: Any) -> tuple[Name, bool]:
    """The new table's name, and whether there is nothing left to do."""
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    name = writer.name_of(node)
    metastore.require_schema(transaction, name.catalog, name.schema)
    old = writer.tables.get(name)
    if old is None:
        return name, False
    if tree.args.get("exists"):
        return name, True
    if not tree.args.get("replace"):
        raise Refused(
            "TABLE_OR_VIEW_ALREADY_EXISTS",
            "42P07",
            f"Cannot create table or view {quoted(str(name))} because it already exists. Choose a different name, "
            "drop or replace the existing object, or add the IF NOT EXISTS clause to tolerate pre-existing objects.",
        )
    _drop_one(transaction, old)
    return name, False


def _create_table(transaction: Transaction, writer: Writer, tree: Any) -> None:
    if any(isinstance(one, exp.TemporaryProperty) for one in _properties(tree)):
        raise not_simulated("temporary tables")
    name, done = _place(transaction, writer, tree)
    if done:
        return
    if tree.expression is not None:
        if isinstance(tree.this, exp.Schema):
            raise not_simulated("CREATE TABLE … AS with a list of columns")
        transaction.run(f"create table {place_of(name)} as {writer.written(tree.expression)}")
        _record_what_came(transaction, name, "MANAGED")
        return
    if not isinstance(tree.this, exp.Schema):
        raise not_simulated("CREATE TABLE without columns")
    found = definitions.table(writer, tree)
    _parents_exist(transaction, writer, found)
    transaction.run(found.sql)
    metastore.record_table(
        transaction,
        name,
        "MANAGED",
        found.columns,
        found.constraints,
        comment=found.comment,
        properties=found.properties,
        identity=found.identity,
    )


def _parents_exist(transaction: Transaction, writer: Writer, found: Definition) -> None:
    known = metastore.find(transaction, [parent for parent, _ in found.parents if parent != found.name])
    for parent, columns in found.parents:
        if parent == found.name:
            continue
        table = known.get(parent)
        if table is None:
            raise no_such_table(quoted(str(parent)))
        keys = transaction.ask(
            "select columns from databricks.constraints where table_id = %s and kind = 'PRIMARY KEY'",
            table.id,
        )
        key = tuple(one.lower() for one in keys[0][0]) if keys else ()
        if not key or (columns and tuple(columns) != key):
            raise Refused(
                "UC_FOREIGN_KEY_NO_PRIMARY_KEY",
                "42000",
                f"Cannot create a foreign key to {quoted(str(parent))}: it must refer to its primary key"
                + (f" ({', '.join(key)})." if key else ", and the table has none."),
            )


def _properties(tree: Any) -> list[exp.Expr]:
    properties = tree.args.get("properties")
    return list(properties.expressions) if properties is not None else []


def _create_view(transaction: Transaction, writer: Writer, tree: Any) -> None:
    if any(isinstance(one, exp.TemporaryProperty) for one in _properties(tree)):
        raise not_simulated("temporary views; use a CTE")
    if isinstance(tree.this, exp.Schema) or tree.expression is None:
        raise not_simulated("CREATE VIEW with a list of columns")
    name, done = _place(transaction, writer, tree)
    if done:
        return
    transaction.run(f"create view {place_of(name)} as {writer.written(tree.expression)}")
    _record_what_came(transaction, name, "VIEW", text=tree.expression.sql(dialect="databricks"))


def _record_what_came(transaction: Transaction, name: Name, kind: str, *, text: str | None = None) -> None:
    """A table or view that was made from a query: its columns are what the query gave."""
    answer = transaction.run(f"select * from {place_of(name)} limit 0")
    columns = []
    for one in answer.fields:
        shown_type = result_type(one.type)
        if one.type == "numeric":
            shown_type = f"DECIMAL({one.precision or 38},{one.scale or 0})"
        columns.append(TableColumn(one.name, shown_type))
    metastore.record_table(transaction, name, kind, columns, [], text=text)


def _drop(transaction: Transaction, writer: Writer, tree: Any) -> None:
    kind = str(tree.args.get("kind") or "").upper()
    target = tree.args["tables"][0] if tree.args.get("tables") else tree.this
    if kind in ("SCHEMA", "DATABASE"):
        catalog = (target.catalog or writer.session("catalog")).lower()
        name = (target.db or target.name).lower()
        if not metastore.has_schema(transaction, catalog, name) and tree.args.get("exists"):
            return
        metastore.require_schema(transaction, catalog, name)
        metastore.drop_schema(transaction, catalog, name, cascade=bool(tree.args.get("cascade")))
        return
    if kind not in ("TABLE", "VIEW"):
        raise not_simulated(f"DROP {kind}")
    table = writer.tables.get(writer.name_of(target))
    if table is None:
        if tree.args.get("exists"):
            return
        raise no_such_table(shown(target))
    if (kind == "VIEW") != (table.kind == "VIEW"):
        raise Refused("WRONG_COMMAND_FOR_OBJECT_TYPE", "42809", f"{shown(target)} is not a {kind.lower()}.")
    _drop_one(transaction, table)


def _drop_one(transaction: Transaction, table: Table) -> None:
    metastore.change_metadata(transaction, table.id)
    transaction.run(f"drop {'view' if table.kind == 'VIEW' else 'table'} {place_of(table.name)}")
    transaction.ask("delete from databricks.tables where id = %s returning 1", table.id)


def _truncate(transaction: Transaction, writer: Writer, tree: Any) -> None:
    for node in tree.expressions:
        table = writer.table_of(node)
        metastore.change_metadata(transaction, table.id)
        transaction.run(f"delete from {place_of(table.name)}")


def _comment(transaction: Transaction, writer: Writer, tree: Any) -> None:
    if str(tree.args.get("kind") or "").upper() != "TABLE":
        raise not_simulated(f"COMMENT ON {tree.args.get('kind')}")
    table = writer.table_of(tree.this)
    text = None if isinstance(tree.expression, exp.Null) else tree.expression.name
    transaction.ask("update databricks.tables set comment = %s where id = %s returning 1", text, table.id)


def _alter(transaction: Transaction, writer: Writer, tree: Any) -> None:
    if str(tree.args.get("kind") or "").upper() != "TABLE":
        raise not_simulated(f"ALTER {tree.args.get('kind')}")
    table = writer.table_of(tree.this)
    metastore.change_metadata(transaction, table.id)
    actions = tree.args["actions"]
    if (added := definitions.added_columns(writer, tree)) is not None:
        for column, piece in zip(added.columns, added.pieces, strict=True):
            if table.column(column.name) is not None:
                raise Refused(
                    "FIELD_ALREADY_EXISTS", "42710", f"The column {quoted(column.name)} already exists."
                )
            transaction.run(f"alter table {place_of(table.name)} add column {piece}")
        metastore.record_columns(transaction, table.id, added.columns)
    elif isinstance(actions[0], exp.AddConstraint):
        constraint, sql, found = definitions.added_constraint(writer, tree, table)
        _parents_exist(transaction, writer, found)
        metastore.record_constraint(transaction, table.id, constraint)
        if sql:
            transaction.run(sql)
    elif isinstance(actions[0], exp.AlterSet):
        for one in actions[0].find_all(exp.Property):
            transaction.ask(
                "update databricks.tables set properties = properties || jsonb_build_object(%s::text, %s::text) "
                "where id = %s returning 1",
                one.name,
                one.args["value"].name,
                table.id,
            )
    elif isinstance(actions[0], exp.AlterColumn):
        _alter_column(transaction, writer, table, actions[0])
    elif isinstance(actions[0], exp.Drop):
        _drop_part(transaction, table, actions[0])
    else:
        raise not_simulated(f"ALTER TABLE … {actions[0].sql(dialect='databricks')[:40]}")


def _alter_column(transaction: Transaction, writer: Writer, table: Table, action: Any) -> None:
    column = table.column(action.this.name)
    if column is None:
        raise unknown_column(action.this.name, table)
    base = f"alter table {place_of(table.name)} alter column {identifier(column.name.lower())}"
    where = "where table_id = %s and lower(name) = %s returning 1"
    key = (table.id, column.name.lower())
    if action.args.get("default") is not None:
        value = writer.assigned(writer.rewritten(action.args["default"]), column.type)
        transaction.run(f"{base} set default {value.sql(dialect='postgres')}")
        text = action.args["default"].sql(dialect="databricks", normalize_functions=False)
        transaction.ask("update databricks.columns set default_text = %s " + where, text, *key)
    elif action.args.get("allow_null") is not None:
        allowed = bool(action.args["allow_null"])
        transaction.run(f"{base} {'drop' if allowed else 'set'} not null")
        transaction.ask("update databricks.columns set nullable = %s " + where, allowed, *key)
    elif action.args.get("comment") is not None:
        transaction.ask(
            "update databricks.columns set comment = %s " + where, action.args["comment"].name, *key
        )
    elif action.args.get("drop"):
        transaction.run(f"{base} drop default")
        transaction.ask("update databricks.columns set default_text = null " + where, *key)
    else:
        raise not_simulated(f"ALTER COLUMN … {action.sql(dialect='databricks')[:40]}")


def _drop_part(transaction: Transaction, table: Table, action: Any) -> None:
    if str(action.args.get("kind") or "").upper() != "CONSTRAINT":
        raise not_simulated("ALTER TABLE … DROP COLUMN, which wants column mapping")
    target = action.args["tables"][0] if action.args.get("tables") else action.this
    found = transaction.ask(
        "delete from databricks.constraints where table_id = %s and lower(name) = %s returning kind",
        table.id,
        target.name.lower(),
    )
    if not found:
        if action.args.get("exists"):
            return
        raise Refused(
            "CONSTRAINT_DOES_NOT_EXIST", "42704", f"Cannot drop nonexistent constraint {quoted(target.name)}."
        )
    if found[0][0] == "CHECK":
        transaction.run(
            f"alter table {place_of(table.name)} drop constraint {identifier(target.name.lower())}"
        )


_WORK: Final[dict[type[exp.Expr], Callable[[Transaction, Writer, Any], None]]] = {
    exp.Create: _create,
    exp.Drop: _drop,
    exp.TruncateTable: _truncate,
    exp.Comment: _comment,
    exp.Alter: _alter,
}
