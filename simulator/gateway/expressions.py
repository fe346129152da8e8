"""Ignition's expression language, one for tags and Perspective views; what it has not is refused by name.

An expression is parsed once into a tree of small functions. Evaluated, it gives a value and the worst quality
of what it read; ``isGood``, ``isBad``, ``qualityOf``, ``try`` and ``coalesce`` look at a quality without taking
it on. What a reference in braces means is the caller's: tags know paths, views know their properties too.

The grammar (EBNF; blanks between tokens mean nothing)::

    expression = and { "||" and } ;
    and        = equality { "&&" equality } ;
    equality   = relation { ( "=" | "!=" ) relation } ;
    relation   = sum { ( "<" | ">" | "<=" | ">=" ) sum } ;
    sum        = product { ( "+" | "-" ) product } ;
    product    = unary { ( "*" | "/" | "%" ) unary } ;
    unary      = ( "-" | "!" ) unary | power ;
    power      = postfix [ "^" unary ] ;
    postfix    = primary { "[" expression [ "," expression ] "]" } ;
    primary    = number | text | reference | "true" | "false" | "null"
               | name "(" [ expression { "," expression } ] ")" | "(" expression ")" ;
    number     = digits [ "." [ digits ] [ exponent ] ] | "." digits ;
    exponent   = ( "e" | "E" ) [ "+" | "-" ] digits ;
    text       = '"' { character | "\\" character } '"' | "'" { character | "\\" character } "'" ;
    reference  = "{" character { character } "}" ;            (no braces inside)
    name       = ( letter | "_" ) { letter | digit | "_" } ;
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from simulator.gateway.expression_functions import (
    FUNCTIONS,
    Context,
    ExpressionError,
    GatewayContext,
    Node,
    at,
    number,
    same,
    text,
    truth,
)
from simulator.gateway.qualities import GOOD, QualifiedValue, Quality

__all__ = ["FUNCTIONS", "Expression", "ExpressionError", "Scope", "parse"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | \{(?P<reference>[^{}]+)\}
      | (?P<name>[A-Za-z_]\w*)
      | (?P<operator>&&|\|\||!=|>=|<=|[-+*/%^=<>!(),[\]]))""",
    re.VERBOSE,
)
_DEPTH_LIMIT: Final = 100
_WENT_WRONG: Final = (ExpressionError, ArithmeticError, TypeError, ValueError)
_GATEWAY: Final = GatewayContext()


@dataclass
class Scope:
    """Where references are looked up during one evaluation, and the worst quality seen."""

    read: Callable[[str], QualifiedValue]
    context: Context = _GATEWAY
    worst: Quality = GOOD

    def take_on(self, quality: Quality) -> None:
        """Make the quality one's own if it is worse."""
        if rank(quality) > rank(self.worst):
            self.worst = quality

    def aside(self, node: Node) -> tuple[Any, Quality]:
        """Value and quality of a part, without taking the quality on; an error is Error_ExpressionEval."""
        apart = Scope(self.read, self.context)
        try:
            value = node(apart)
        except _WENT_WRONG as error:
            return None, Quality("Error_ExpressionEval", str(error)) if apart.worst.good else apart.worst
        return value, apart.worst


def rank(quality: Quality) -> int:
    """How bad a quality is: Good 0, Uncertain 1, Bad 2, Error 3."""
    return ("Good", "Uncertain", "Bad", "Error").index(quality.name.partition("_")[0])


@dataclass(frozen=True)
class Expression:
    """A parsed expression; ``references`` are what stands in braces, ``functions`` the names it calls."""

    references: tuple[str, ...]
    root: Node
    functions: frozenset[str] = frozenset()

    def evaluate(
        self, read: Callable[[str], QualifiedValue], context: Context = _GATEWAY
    ) -> tuple[Any, Quality]:
        """The value and its quality. What goes wrong is Error_ExpressionEval, never an exception."""
        scope = Scope(read, context)
        try:
            return self.root(scope), scope.worst
        except _WENT_WRONG as error:
            if not scope.worst.good:  # a bad input explains the rest
                return None, scope.worst
            return None, Quality("Error_ExpressionEval", str(error))


def parse(text: str) -> Expression:
    """Raises ``ExpressionError`` for what is no expression and for functions that are not supported."""
    parser = _Parser(_tokens(text))
    root = parser.expression()
    parser.end()
    return Expression(tuple(dict.fromkeys(parser.references)), root, frozenset(parser.functions))


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    stripped = text.rstrip()
    while place < len(stripped):
        match = _TOKEN.match(stripped, place)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"cannot read {stripped[place : place + 20]!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


_BINARY: Final[tuple[tuple[str, ...], ...]] = (
    ("||",),
    ("&&",),
    ("=", "!="),
    ("<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)


@dataclass
class _Parser:
    tokens: list[tuple[str, str]]
    place: int = 0
    references: list[str] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    depth: int = 0

    def expression(self, level: int = 0) -> Node:
        if level == len(_BINARY):
            return self._unary()
        if level == 0:
            self._deeper()
            inner = self._binary(0)
            self.depth -= 1
            return inner
        return self._binary(level)

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > _DEPTH_LIMIT:
            raise ExpressionError(f"is nested deeper than {_DEPTH_LIMIT} levels")

    def _binary(self, level: int) -> Node:
        left = self.expression(level + 1)
        while self._peek() in [("operator", operator) for operator in _BINARY[level]]:
            operator = self._next()[1]
            left = _binary(operator, left, self.expression(level + 1))
        return left

    def end(self) -> None:
        if self.place < len(self.tokens):
            raise ExpressionError(f"did not expect {self.tokens[self.place][1]!r}")

    def _unary(self) -> Node:
        self._deeper()
        unary = self._signed()
        self.depth -= 1
        return unary

    def _signed(self) -> Node:
        if self._accept("-"):
            inner = self._unary()
            return lambda scope: -number(inner(scope))
        if self._accept("!"):
            inner = self._unary()
            return lambda scope: not truth(inner(scope))
        base = self._postfix()
        if self._accept("^"):
            exponent = self._unary()
            return lambda scope: math.pow(number(base(scope)), number(exponent(scope)))  # doubles, as in Java
        return base

    def _postfix(self) -> Node:
        value = self._primary()
        while self._accept("["):
            row = self.expression()
            column = self.expression() if self._accept(",") else None
            self._expect("]")
            value = _indexed(value, row, column)
        return value

    def _primary(self) -> Node:
        kind, word = self._next()
        match kind:
            case "number":
                constant = float(word) if "." in word else int(word)
                return lambda _: constant
            case "text":
                content = re.sub(r"\\(.)", _escaped, word[1:-1], flags=re.DOTALL)
                return lambda _: content
            case "reference":
                self.references.append(word)
                return lambda scope: _read(scope, word)
            case "name" if word.lower() in ("true", "false"):
                truth = word.lower() == "true"
                return lambda _: truth
            case "name" if word.lower() == "null":
                return lambda _: None
            case "name":
                return self._call(word)
            case "operator" if word == "(":
                inner = self.expression()
                self._expect(")")
                return inner
        raise ExpressionError(f"did not expect {word!r}")

    def _call(self, name: str) -> Node:
        self._expect("(")
        arguments: list[Node] = []
        if not self._accept(")"):
            arguments.append(self.expression())
            while self._accept(","):
                arguments.append(self.expression())
            self._expect(")")
        entry = FUNCTIONS.get(name)
        if entry is None:
            raise ExpressionError(f"function {name}() is not supported by the stand-in")
        self.functions.add(name)
        low, high, function = entry
        if not low <= len(arguments) <= high:
            raise ExpressionError(f"function {name}() does not take {len(arguments)} arguments")
        return lambda scope: function(scope, arguments)

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "the end")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self.place += 1
        return token

    def _accept(self, operator: str) -> bool:
        if self._peek() == ("operator", operator):
            self.place += 1
            return True
        return False

    def _expect(self, operator: str) -> None:
        if not self._accept(operator):
            raise ExpressionError(f"expected {operator!r}, found {self._peek()[1]!r}")


def _read(scope: Scope, reference: str) -> Any:
    found = scope.read(reference)
    scope.take_on(found.quality)
    return found.value


def _indexed(value: Node, row: Node, column: Node | None) -> Node:
    if column is None:
        return lambda scope: at(value(scope), row(scope))
    return lambda scope: at(value(scope), row(scope), column(scope))


def _escaped(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "r": "\r"}.get(match[1], match[1])


def _binary(operator: str, left: Node, right: Node) -> Node:
    if operator == "&&":
        return lambda scope: truth(left(scope)) and truth(right(scope))
    if operator == "||":
        return lambda scope: truth(left(scope)) or truth(right(scope))
    return lambda scope: _combined(operator, left(scope), right(scope))


def _combined(operator: str, left: Any, right: Any) -> Any:
    match operator:
        case "=":
            return same(left, right)
        case "!=":
            return not same(left, right)
        case "+" if isinstance(left, str) or isinstance(right, str):
            return text(left) + text(right)
        case "+":
            return number(left) + number(right)
        case "-":
            return number(left) - number(right)
        case "*":
            return number(left) * number(right)
        case "/":
            return number(left) / number(right)
        case "%":
            return math.fmod(number(left), number(right))
        case "<":
            return bool(_ordered(left) < _ordered(right))
        case ">":
            return bool(_ordered(left) > _ordered(right))
        case "<=":
            return bool(_ordered(left) <= _ordered(right))
    return bool(_ordered(left) >= _ordered(right))


def _ordered(value: Any) -> Any:
    if value is None or not isinstance(value, int | float | str | datetime):
        raise ExpressionError(f"{text(value)} cannot be compared")
    return value
