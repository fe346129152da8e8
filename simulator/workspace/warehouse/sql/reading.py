"""From the text of a statement to its tree, or to the error that Databricks would give.

sqlglot reads far more than Databricks does, so that what it lets through is judged here: clauses of other
databases are syntax errors, and what this stand-in does not know is refused by name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final, cast

import sqlglot
from sqlglot import exp
from sqlglot.dialects.databricks import Databricks
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from simulator.workspace.warehouse.errors import Refused, not_simulated, syntax_error
from simulator.workspace.warehouse.sql.parameters import literal
from simulator.workspace.warehouse.values import Parameters, Typed, typed

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it warns of what is refused here anyway

# Words that open or close a clause of some other database, as tokens in this order.
_FOREIGN: Final = (
    ("RETURNING",),
    ("ON", "CONFLICT"),
    ("ON", "DUPLICATE"),
    ("FOR", "UPDATE"),
    ("FOR", "SHARE"),
    ("SKIP", "LOCKED"),
    ("DISTINCT", "ON", "("),
    ("->>",),
    ("@>",),
    ("<@",),
    ("?|",),
    ("#>>",),
    ("#>",),
    ("CREATE", "INDEX"),
    ("AT", "TIME", "ZONE"),
    ("AUTO_INCREMENT",),
    ("UNIQUE",),
)
# A client sends few statements, and each of them often: reading one costs more than running it.
_KEPT: Final = 256
_KEPT_LONGEST: Final = 20_000  # characters
# What may stand in a tree. Everything else is refused by its name.
_KNOWN: Final[frozenset[type[exp.Expr]]] = frozenset(
    cast(
        "list[type[exp.Expr]]",
        [
            *(
                exp.Select,
                exp.From,
                exp.Join,
                exp.Where,
                exp.Group,
                exp.Having,
                exp.Order,
                exp.Ordered,
                exp.Limit,
            ),
            *(exp.Offset, exp.Qualify, exp.With, exp.CTE, exp.Subquery, exp.Union, exp.Except, exp.Intersect),
            *(
                exp.Values,
                exp.Tuple,
                exp.Table,
                exp.TableAlias,
                exp.Alias,
                exp.Column,
                exp.Identifier,
                exp.Star,
            ),
            *(
                exp.Literal,
                exp.Boolean,
                exp.Null,
                exp.Placeholder,
                exp.Anonymous,
                exp.Paren,
                exp.Dot,
                exp.Var,
            ),
            *(
                exp.And,
                exp.Or,
                exp.Not,
                exp.EQ,
                exp.NEQ,
                exp.GT,
                exp.GTE,
                exp.LT,
                exp.LTE,
                exp.NullSafeEQ,
                exp.NullSafeNEQ,
                exp.Is,
            ),
            *(
                exp.In,
                exp.Between,
                exp.Like,
                exp.ILike,
                exp.Escape,
                exp.RegexpLike,
                exp.Exists,
                exp.Add,
                exp.Sub,
            ),
            *(
                exp.Mul,
                exp.Div,
                exp.IntDiv,
                exp.Mod,
                exp.Neg,
                exp.DPipe,
                exp.Case,
                exp.If,
                exp.Cast,
                exp.TryCast,
            ),
            *(exp.DataType, exp.DataTypeParam, exp.Interval, exp.IntervalSpan, exp.Window, exp.WindowSpec),
            *(
                exp.Filter,
                exp.Distinct,
                exp.Extract,
                exp.Trim,
                exp.StrPosition,
                exp.Substring,
                exp.JSONExtract,
            ),
            *(exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript, exp.CurrentTimestamp),
            *(
                exp.CurrentDate,
                exp.Insert,
                exp.Update,
                exp.Delete,
                exp.Merge,
                exp.Whens,
                exp.When,
                exp.Schema,
            ),
            *(
                exp.IndexParameters,
                exp.Rollup,
                exp.Cube,
                exp.GroupingSets,
                exp.Create,
                exp.ColumnDef,
                exp.ColumnConstraint,
            ),
            *(exp.NotNullColumnConstraint, exp.PrimaryKeyColumnConstraint, exp.DefaultColumnConstraint),
            *(
                exp.CommentColumnConstraint,
                exp.CheckColumnConstraint,
                exp.GeneratedAsIdentityColumnConstraint,
            ),
            *(exp.Reference, exp.PrimaryKey, exp.ForeignKey, exp.Constraint, exp.Properties, exp.Property),
            *(exp.FileFormatProperty, exp.SchemaCommentProperty),
            *(exp.ClusterProperty, exp.PartitionedByProperty),
            *(
                exp.TemporaryProperty,
                exp.Drop,
                exp.TruncateTable,
                exp.Alter,
                exp.AddConstraint,
                exp.AlterColumn,
            ),
            *(exp.AlterSet, exp.RenameColumn, exp.AlterRename, exp.Comment, exp.Use, exp.Set, exp.SetItem),
            *(exp.Describe, exp.Bitwise if hasattr(exp, "Bitwise") else exp.BitwiseAnd, exp.BitwiseAnd),
            *(
                exp.BitwiseOr,
                exp.Any,
                exp.All,
                exp.SessionUser,
                exp.CurrentUser,
                exp.Lateral,
                exp.WithinGroup,
            ),
        ],
    )
)
# Arguments of a tree's nodes that Databricks has no word for: the clause as it is written.
_NO_SUCH_CLAUSE: Final[Mapping[type[exp.Expr], Mapping[str, str]]] = {
    exp.Insert: {"returning": "RETURNING", "conflict": "ON", "ignore": "IGNORE", "alternative": "OR"},
    exp.Update: {"from_": "FROM", "returning": "RETURNING", "order": "ORDER", "limit": "LIMIT"},
    exp.Delete: {"using": "USING", "returning": "RETURNING", "order": "ORDER", "limit": "LIMIT"},
    exp.Merge: {"returning": "RETURNING"},
    exp.Select: {"locks": "FOR", "into": "INTO", "operation_modifiers": "", "prewhere": "PREWHERE"},
}
_NOT_HERE: Final[Mapping[type[exp.Expr], Mapping[str, str]]] = {
    exp.Select: {
        "laterals": "LATERAL VIEW",
        "cluster": "CLUSTER BY",
        "distribute": "DISTRIBUTE BY",
        "sort": "SORT BY",
        "sample": "TABLESAMPLE",
        "hint": "hints",
        "pivots": "PIVOT",
        "match": "MATCH_RECOGNIZE",
        "kind": "SELECT AS STRUCT",
        "windows": "named windows",
    },
    exp.Table: {
        "version": "time travel",
        "when": "time travel",
        "sample": "TABLESAMPLE",
        "pivots": "PIVOT",
        "joins": "a join in brackets",
        "hints": "hints",
        "partition": "PARTITION",
    },
    exp.Insert: {"partition": "INSERT … PARTITION", "exists": "IF NOT EXISTS in INSERT"},
}


# Functions whose arguments are not a mere list.
_SPOKEN_FUNCTIONS: Final = frozenset(
    ("CAST", "TRY_CAST", "EXTRACT", "TRIM", "SUBSTRING", "SUBSTR", "POSITION")
)


def _bare_parser() -> type[Any]:
    """A parser that leaves every function call as it is written: its name says what it means, not sqlglot."""
    parent: Any = Databricks.parser_class if hasattr(Databricks, "parser_class") else Databricks.Parser

    class Parser(parent):  # type: ignore[misc] # sqlglot makes its parser classes at run time
        FUNCTIONS: Final[dict[str, Any]] = {}
        FUNCTION_PARSERS: Final = {
            name: parse for name, parse in parent.FUNCTION_PARSERS.items() if name in _SPOKEN_FUNCTIONS
        }

    return Parser


class Kind(Enum):
    """What a statement does: it asks, it changes rows, or it changes what exists."""

    QUERY = "query"
    CHANGE = "change"
    MAKE = "make"


def kind_of(tree: exp.Expr) -> Kind:
    """Of a tree that was read."""
    if isinstance(tree, exp.Query | exp.Values):
        return Kind.QUERY
    if isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        return Kind.CHANGE
    return Kind.MAKE


class Warehouse(Databricks):
    """Databricks without sqlglot's own idea of what functions mean."""

    Parser = _bare_parser()


def read(sql: str, parameters: Parameters) -> exp.Expr:
    """The statement's tree, its parameters filled in. Raises ``Refused``."""
    keep = len(sql) <= _KEPT_LONGEST
    tokens = (_tokens if keep else _tokens.__wrapped__)(sql)
    text, values = _numbered(sql, tokens, parameters)
    tree = (_tree if keep else _tree.__wrapped__)(sql, text)
    return tree.transform(_filled, values)  # of a copy: the tree is kept for the next time


@lru_cache(_KEPT)
def _tree(sql: str, text: str) -> exp.Expr:
    """Of ``text``, which is ``sql`` with names instead of question marks."""
    tokens = _tokens(sql)
    try:
        trees = sqlglot.parse(text, read=Warehouse)
    except ParseError as error:
        raise _syntax(error, sql) from error
    found = [tree for tree in trees if tree is not None]
    if not found:
        raise syntax_error("")
    if len(found) > 1:
        word = next((t for t in tokens if t.token_type is TokenType.SEMICOLON), None)
        raise syntax_error(";", sql=sql, line=word.line if word else 1)
    tree = found[0]
    if isinstance(tree, exp.Command):
        raise not_simulated(
            f"{tree.name.upper()} {str(tree.expression.name or '').split(' ', 1)[0].upper()}".strip()
        )
    _judge(tree, sql)
    _refuse_strings_as_names(tree, sql, tokens)
    for node in tree.walk():
        node._meta = None  # where it stood in the text: nobody asks any more, and copying that takes longest
    return tree


@lru_cache(_KEPT)
def _tokens(sql: str) -> tuple[Token, ...]:
    """None of them a word of some other database."""
    try:
        tokens = tuple(Warehouse().tokenize(sql))
    except TokenError as error:
        raise syntax_error(sql.strip()[-10:]) from error
    _refuse_foreign_words(sql, tokens)
    return tokens


def _refuse_foreign_words(sql: str, tokens: Sequence[Token]) -> None:
    plain = [
        "" if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) else token.text.upper()
        for token in tokens
    ]
    for at, word in enumerate(plain):
        for clause in _FOREIGN:
            if word == clause[0] and tuple(plain[at : at + len(clause)]) == clause:
                token = tokens[at]
                raise syntax_error(
                    sql[token.start : token.end + 1], sql=sql, line=token.line, position=_pos(sql, token)
                )
        if tokens[at].token_type is TokenType.PARAMETER:
            raise syntax_error(word, sql=sql, line=tokens[at].line, position=_pos(sql, tokens[at]))


def _pos(sql: str, token: Token) -> int:
    return token.start - (sql.rfind("\n", 0, token.start) + 1)


def _numbered(sql: str, tokens: Sequence[Token], parameters: Parameters) -> tuple[str, Mapping[str, Typed]]:
    """Question marks become names, so that their order is that of the text."""
    marks = [token for token in tokens if token.token_type is TokenType.PLACEHOLDER]
    named = isinstance(parameters, Mapping)
    if named:
        if marks:
            raise Refused(
                "INVALID_QUERY_MIXED_QUERY_PARAMETERS",
                "42613",
                "Parameterized query must either use positional, or named parameters, but not both.",
            )
        return sql, {
            str(name).lower(): typed(value) for name, value in cast(Mapping[str, object], parameters).items()
        }
    values = [typed(value) for value in cast("Sequence[object]", parameters or ())]
    if len(values) < len(marks):
        raise Refused(
            "UNBOUND_SQL_PARAMETER",
            "42P02",
            f"Found the unbound parameter: _{marks[len(values)].start}. Please, fix `args` and provide a mapping of "
            "the parameter to either a SQL literal or collection constructor functions.",
        )
    if len(values) > len(marks):
        raise Refused(
            "INVALID_PARAMETER_COUNT",
            "42605",
            f"The statement has {len(marks)} parameter markers and {len(values)} values were given.",
        )
    pieces, end = [], 0
    for number, token in enumerate(marks):
        pieces += [sql[end : token.start], f":_{number} "]
        end = token.end + 1
    pieces.append(sql[end:])
    return "".join(pieces), {f"_{number}": value for number, value in enumerate(values)}


def _filled(node: exp.Expr, values: Mapping[str, Typed]) -> exp.Expr:
    if not isinstance(node, exp.Placeholder):
        return node
    name = str(node.this or "")
    value = values.get(name.lower())
    if value is None:
        raise Refused(
            "UNBOUND_SQL_PARAMETER",
            "42P02",
            f"Found the unbound parameter: {name or '?'}. Please, fix `args` and provide a mapping of the parameter "
            "to either a SQL literal or collection constructor functions.",
        )
    return literal(value)


def _judge(tree: exp.Expr, sql: str) -> None:
    for node in tree.walk():
        kind = type(node)
        for argument, word in _NO_SUCH_CLAUSE.get(kind, {}).items():
            if node.args.get(argument):
                raise _at_word(word, sql)
        for argument, what in _NOT_HERE.get(kind, {}).items():
            if node.args.get(argument):
                raise not_simulated(what)
        if kind not in _KNOWN and not isinstance(node, exp.Property):
            raise not_simulated(_name(node))
        if isinstance(node, exp.JSONExtract) and not node.args.get("variant_extract"):
            raise _at_word("->", sql)
    if not isinstance(
        tree,
        exp.Query
        | exp.Values
        | exp.Insert
        | exp.Update
        | exp.Delete
        | exp.Merge
        | exp.Create
        | exp.Drop
        | exp.Alter
        | exp.TruncateTable
        | exp.Comment
        | exp.Use
        | exp.Set
        | exp.Describe,
    ):
        raise syntax_error(sql.split(None, 1)[0] if sql.split() else "", sql=sql, line=1)


def _is_name_there(node: exp.Expr) -> bool:
    """Whether only a name can stand where this string does."""
    parent = node.parent
    if isinstance(parent, exp.EQ):  # an assignment
        return isinstance(parent.parent, exp.Update) and node.arg_key == "this"
    if isinstance(parent, exp.Dot):
        return node.arg_key == "expression"
    return isinstance(parent, exp.Schema | exp.PrimaryKey | exp.ForeignKey) or (
        isinstance(parent, exp.ColumnDef) and node.arg_key == "this"
    )


def _refuse_strings_as_names(tree: exp.Expr, sql: str, tokens: Sequence[Token]) -> None:
    """Names are quoted by backticks; what stands in double quotes is a string, and sqlglot takes one for a name."""
    quoted = {token.text for token in tokens if token.token_type is TokenType.IDENTIFIER}
    strings = {token.text: token for token in tokens if token.token_type is TokenType.STRING}
    for name in tree.find_all(exp.Identifier, exp.Literal):
        token = strings.get(name.name)
        if isinstance(name, exp.Identifier):
            named = bool(name.args.get("quoted")) and name.name not in quoted
        else:
            named = name.is_string and _is_name_there(name)
        if named and token is not None:
            word = sql[token.start : token.end + 1]
            raise syntax_error(word, sql=sql, line=token.line, position=_pos(sql, token))


def _name(node: exp.Expr) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
    return f"{words} ({node.sql(dialect='databricks')[:60]})"


def _at_word(word: str, sql: str) -> Refused:
    """A syntax error at the last place where the word stands: the clause that does not exist comes late."""
    at = sql.upper().rfind(word.upper()) if word else -1
    if at < 0:
        return syntax_error(word)
    line = sql.count("\n", 0, at) + 1
    return syntax_error(
        sql[at : at + len(word)], sql=sql, line=line, position=at - (sql.rfind("\n", 0, at) + 1)
    )


def _syntax(error: ParseError, sql: str) -> Refused:
    first: dict[str, Any] = error.errors[0] if error.errors else {}
    line = min(int(first.get("line") or 1), sql.count("\n") + 1)
    word = str(first.get("highlight") or "")
    marked = sql.splitlines()[line - 1] if sql.strip() else ""
    position = max(marked.upper().rfind(word.upper()), 0) if word else len(marked)
    return syntax_error(word, sql=sql, line=line, position=position)
