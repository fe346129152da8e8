"""CREATE, ALTER and DROP: what is written down of a table, and what PostgreSQL is told."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from sqlglot import exp

from simulator.workspace.warehouse.catalog import (
    Constraint,
    Name,
    Table,
    TableColumn,
    identifier,
    short_enough,
)
from simulator.workspace.warehouse.errors import Refused, no_such_column, not_simulated, quoted, syntax_error
from simulator.workspace.warehouse.sql.types import type_of
from simulator.workspace.warehouse.sql.writing import Writer, as_postgres, place_of


@dataclass(slots=True)
class Definition:
    """A table as CREATE TABLE describes it."""

    name: Name
    columns: list[TableColumn] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    """What stands between the brackets of PostgreSQL's CREATE TABLE."""
    comment: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    identity: bool = False
    parents: list[tuple[Name, tuple[str, ...]]] = field(default_factory=list)
    """Tables that foreign keys point to, with the columns there (empty: its primary key)."""

    @property
    def sql(self) -> str:
        """For PostgreSQL."""
        return f"create table {place_of(self.name)} ({', '.join(self.pieces)})"


def table(writer: Writer, tree: exp.Create) -> Definition:
    """From ``CREATE TABLE name (columns) …``. Raises ``Refused``."""
    schema = tree.this
    assert isinstance(schema, exp.Schema)
    found = Definition(writer.name_of(schema.this))
    short_enough(found.name.table)
    keys: list[str] = []
    for part in schema.expressions:
        match part:
            case exp.ColumnDef():
                _column(writer, found, part, keys)
            case exp.PrimaryKey():
                keys += [one.name.lower() for one in part.expressions]
                found.constraints.append(
                    Constraint(_key_name(found, "pk"), "PRIMARY KEY", _names(part.expressions))
                )
            case exp.ForeignKey():
                found.constraints.append(_foreign(writer, found, part, _key_name(found, "fk")))
            case exp.Constraint():
                _named(writer, found, part, keys)
            case _:
                raise syntax_error(part.sql(dialect="databricks").split("(")[0].strip())
    _primary_key_is_not_null(found, keys)
    for constraint in found.constraints:
        for name in constraint.columns:
            if not any(one.name.lower() == name.lower() for one in found.columns):
                raise no_such_column(name, tuple(one.name for one in found.columns))
    _properties(tree, found)
    return found


def _column(writer: Writer, found: Definition, node: exp.ColumnDef, keys: list[str]) -> None:
    name = short_enough(node.name)
    if node.args.get("kind") is None:
        raise syntax_error(name)
    if any(one.name.lower() == name.lower() for one in found.columns):
        raise Refused("COLUMN_ALREADY_EXISTS", "42711", f"The column {quoted(name)} already exists.")
    shown, postgres = type_of(node.args["kind"])
    pieces = [identifier(name.lower()), _stored(postgres)]
    nullable, default_text, comment = True, None, None
    for one in node.args.get("constraints") or ():
        kind = one.args["kind"]
        match kind:
            case exp.NotNullColumnConstraint():
                if kind.args.get("allow_null"):
                    raise syntax_error("NULL")
                nullable = False
            case exp.PrimaryKeyColumnConstraint():
                keys.append(name.lower())
                named = one.this.name if one.this else _key_name(found, "pk")
                found.constraints.append(Constraint(named, "PRIMARY KEY", (name,)))
            case exp.Reference():
                found.constraints.append(
                    _referring(
                        writer, found, one.this.name if one.this else _key_name(found, "fk"), (name,), kind
                    )
                )
            case exp.DefaultColumnConstraint():
                default_text = kind.this.sql(dialect="databricks", normalize_functions=False)
                value = as_postgres(writer.assigned(writer.rewritten(kind.this), shown))
                pieces.append(f"default {value}")
            case exp.CommentColumnConstraint():
                comment = kind.this.name
            case exp.GeneratedAsIdentityColumnConstraint():
                if shown != "BIGINT":
                    raise Refused(
                        "DELTA_IDENTITY_COLUMNS_UNSUPPORTED_DATA_TYPE",
                        "428H2",
                        f"DataType {shown} is not supported for IDENTITY columns.",
                    )
                always = "always" if kind.this else "by default"
                pieces.append(f"generated {always} as identity")
                found.identity = True
            case exp.CheckColumnConstraint():
                raise syntax_error("CHECK")
            case _:
                raise not_simulated(f"the column constraint {one.sql(dialect='databricks')[:60]}")
    if not nullable:
        pieces.append("not null")
    found.columns.append(TableColumn(name, shown, nullable, default_text, comment))
    found.pieces.append(" ".join(pieces))


def _stored(postgres: str) -> str:
    """Text is compared byte by byte, as Databricks does."""
    return (
        f'{postgres} collate pg_catalog."C"'
        if postgres == "text" or postgres.startswith("varchar")
        else postgres
    )


def _key_name(found: Definition, kind: str) -> str:
    number = sum(1 for one in found.constraints) + 1
    return f"{found.name.table}_{kind}{number if number > 1 else ''}"


def _names(nodes: list[exp.Expr]) -> tuple[str, ...]:
    return tuple(one.name for one in nodes)


def _named(writer: Writer, found: Definition, node: exp.Constraint, keys: list[str]) -> None:
    for part in node.expressions:
        match part:
            case exp.PrimaryKey():
                keys += [one.name.lower() for one in part.expressions]
                found.constraints.append(Constraint(node.name, "PRIMARY KEY", _names(part.expressions)))
            case exp.ForeignKey():
                found.constraints.append(_foreign(writer, found, part, node.name))
            case exp.CheckColumnConstraint():
                raise syntax_error("CHECK")
            case _:
                raise syntax_error(part.sql(dialect="databricks").split("(")[0].strip())


def _foreign(writer: Writer, found: Definition, node: exp.ForeignKey, name: str) -> Constraint:
    return _referring(writer, found, name, _names(node.expressions), node.args["reference"])


def _referring(
    writer: Writer, found: Definition, name: str, columns: tuple[str, ...], reference: exp.Expr
) -> Constraint:
    target = reference.this
    schema = target if isinstance(target, exp.Schema) else None
    parent = writer.name_of(schema.this if schema else target)
    parent_columns = _names(schema.expressions) if schema else ()
    found.parents.append((parent, tuple(one.lower() for one in parent_columns)))
    return Constraint(name, "FOREIGN KEY", columns, parent=str(parent), parent_columns=parent_columns)


def _primary_key_is_not_null(found: Definition, keys: list[str]) -> None:
    if sum(1 for one in found.constraints if one.kind == "PRIMARY KEY") > 1:
        raise Refused(
            "MULTIPLE_PRIMARY_KEYS", "42P16", f"The table {found.name} has more than one primary key."
        )
    for number, one in enumerate(found.columns):
        if one.name.lower() in keys and one.nullable:
            found.columns[number] = TableColumn(one.name, one.type, False, one.default, one.comment)
            found.pieces[number] += " not null"


def _properties(tree: exp.Create, found: Definition) -> None:
    properties = tree.args.get("properties")
    for one in properties.expressions if properties is not None else ():
        match one:
            case exp.FileFormatProperty():
                if one.this.name.upper() != "DELTA":
                    raise not_simulated(f"tables USING {one.this.name.upper()}")
            case exp.SchemaCommentProperty():
                found.comment = one.this.name
            case exp.ClusterProperty():
                for part in one.expressions:
                    if not any(column.name.lower() == part.name.lower() for column in found.columns):
                        raise no_such_column(part.name, tuple(column.name for column in found.columns))
                found.properties["clusteringColumns"] = ", ".join(part.name for part in one.expressions)
            case exp.PartitionedByProperty():
                parts = one.this.expressions
                for part in parts:
                    if not any(column.name.lower() == part.name.lower() for column in found.columns):
                        raise no_such_column(part.name, tuple(column.name for column in found.columns))
                found.properties["partitionColumns"] = ", ".join(part.name for part in parts)
            case exp.Property() if isinstance(
                one.this, exp.Literal | exp.Dot | exp.Column | exp.Identifier | str
            ):
                key = one.this if isinstance(one.this, str) else one.this.name or one.this.sql()
                found.properties[str(key)] = one.args["value"].name
            case _:
                raise not_simulated(f"the property {one.sql(dialect='databricks')[:60]}")


def added_columns(writer: Writer, tree: exp.Alter) -> Definition | None:
    """The columns that ``ALTER TABLE … ADD COLUMN`` adds, None when it adds none."""
    found = Definition(writer.name_of(tree.this))
    for action in tree.args["actions"]:
        for one in action.expressions if isinstance(action, exp.Schema) else [action]:
            if not isinstance(one, exp.ColumnDef):
                return None
            _column(writer, found, one, [])
            column = found.columns[-1]
            if not column.nullable:
                raise Refused(
                    "DELTA_ADD_COLUMN_NOT_NULL",
                    "0A000",
                    "NOT NULL is not supported in ALTER TABLE ADD COLUMN.",
                )
            if column.default is not None:
                raise Refused(
                    "WRONG_COLUMN_DEFAULTS_FOR_DELTA_ALTER_TABLE_ADD_COLUMN_NOT_SUPPORTED",
                    "0AKDC",
                    "Failed to execute the command because DEFAULT values are not supported when adding new columns "
                    "to previously existing Delta tables; please add the column without a default value first, then "
                    "run a second ALTER TABLE ALTER COLUMN SET DEFAULT command.",
                )
    return found


def added_constraint(writer: Writer, tree: exp.Alter, target: Table) -> tuple[Constraint, str, Definition]:
    """``ALTER TABLE … ADD CONSTRAINT``: the constraint, and PostgreSQL's statement for one that is enforced."""
    for action in tree.args["actions"]:
        for one in action.expressions:
            found = Definition(target.name)
            name = one.name if isinstance(one, exp.Constraint) else f"constraint_{uuid.uuid4().hex[:8]}"
            for part in one.expressions if isinstance(one, exp.Constraint) else [one]:
                if isinstance(part, exp.CheckColumnConstraint):
                    text = part.this.sql(dialect="databricks", normalize_functions=False)
                    condition = writer.written(part.this)
                    sql = (
                        f"alter table {place_of(target.name)} add constraint {identifier(name.lower())} "
                        f"check ({condition})"
                    )
                    return Constraint(name, "CHECK", definition=text), sql, found
                if isinstance(part, exp.PrimaryKey):
                    columns = _names(part.expressions)
                    for column in columns:
                        known = target.column(column)
                        if known is None:
                            raise no_such_column(column, tuple(c.name for c in target.columns))
                        if known.nullable:
                            raise Refused(
                                "UC_PRIMARY_KEY_ON_NULLABLE_COLUMN",
                                "42000",
                                f"Cannot create the primary key {quoted(name)} because its child column "
                                f"{quoted(column)} is nullable. Change the column nullability and retry.",
                            )
                    return Constraint(name, "PRIMARY KEY", columns), "", found
                if isinstance(part, exp.ForeignKey):
                    return _foreign(writer, found, part, name), "", found
    raise not_simulated("this form of ADD CONSTRAINT")
