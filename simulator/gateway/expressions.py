"""Ignition's expression language, as far as tags of this project need it; the rest is refused by name.

An expression is parsed once into a tree of small functions. Evaluated, it gives a value and the worst quality
of what it read; ``isGood``, ``isBad``, ``try`` and ``coalesce`` look at a quality without taking it on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from simulator.gateway.qualities import GOOD, QualifiedValue, Quality

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | \{(?P<reference>[^{}]+)\}
      | (?P<name>[A-Za-z_]\w*)
      | (?P<operator>&&|\|\||!=|>=|<=|[-+*/%^=<>!(),]))""",
    re.VERBOSE,
)


class ExpressionError(Exception):
    """The expression cannot be used, or went wrong on these values. The message names the part."""


@dataclass
class Scope:
    """Where references are looked up during one evaluation, and the worst quality seen."""

    read: Callable[[str], QualifiedValue]
    worst: Quality = GOOD

    def take_on(self, quality: Quality) -> None:
        if _rank(quality) > _rank(self.worst):
            self.worst = quality


def _rank(quality: Quality) -> int:
    return ("Good", "Uncertain", "Bad", "Error").index(quality.name.partition("_")[0])


Node = Callable[[Scope], Any]


@dataclass(frozen=True)
class Expression:
    """A parsed expression; ``references`` are the tag paths as written in it."""

    references: tuple[str, ...]
    root: Node

    def evaluate(self, read: Callable[[str], QualifiedValue]) -> tuple[Any, Quality]:
        """The value and its quality. What goes wrong is Error_ExpressionEval, never an exception."""
        scope = Scope(read)
        try:
            return self.root(scope), scope.worst
        except (ExpressionError, ArithmeticError, TypeError, ValueError) as error:
            if not scope.worst.good:  # a bad input explains the rest
                return None, scope.worst
            return None, Quality("Error_ExpressionEval", str(error))


def parse(text: str) -> Expression:
    """Raises ``ExpressionError`` for what is no expression and for functions that are not supported."""
    parser = _Parser(_tokens(text))
    root = parser.expression()
    parser.end()
    return Expression(tuple(dict.fromkeys(parser.references)), root)


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

    def expression(self, level: int = 0) -> Node:
        if level == len(_BINARY):
            return self._unary()
        left = self.expression(level + 1)
        while self._peek() in [("operator", operator) for operator in _BINARY[level]]:
            operator = self._next()[1]
            left = _binary(operator, left, self.expression(level + 1))
        return left

    def end(self) -> None:
        if self.place < len(self.tokens):
            raise ExpressionError(f"did not expect {self.tokens[self.place][1]!r}")

    def _unary(self) -> Node:
        if self._accept("-"):
            inner = self._unary()
            return lambda scope: -_number(inner(scope))
        if self._accept("!"):
            inner = self._unary()
            return lambda scope: not _truth(inner(scope))
        base = self._primary()
        if self._accept("^"):
            exponent = self._unary()
            return lambda scope: _number(base(scope)) ** _number(exponent(scope))
        return base

    def _primary(self) -> Node:
        kind, text = self._next()
        match kind:
            case "number":
                number = float(text) if "." in text or "e" in text.lower() else int(text)
                return lambda _: number
            case "text":
                content = re.sub(r"\\(.)", r"\1", text[1:-1])
                return lambda _: content
            case "reference":
                self.references.append(text)
                return lambda scope: _read(scope, text)
            case "name" if text.lower() in ("true", "false"):
                truth = text.lower() == "true"
                return lambda _: truth
            case "name" if text.lower() == "null":
                return lambda _: None
            case "name":
                return self._call(text)
            case "operator" if text == "(":
                inner = self.expression()
                self._expect(")")
                return inner
        raise ExpressionError(f"did not expect {text!r}")

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


def _number(value: Any) -> Any:
    if value is None or isinstance(value, str | datetime):
        raise ExpressionError(f"{value!r} is not a number")
    return value


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() == "true"
    return bool(value)


def _binary(operator: str, left: Node, right: Node) -> Node:
    if operator == "&&":
        return lambda scope: _truth(left(scope)) and _truth(right(scope))
    if operator == "||":
        return lambda scope: _truth(left(scope)) or _truth(right(scope))
    return lambda scope: _combined(operator, left(scope), right(scope))


def _combined(operator: str, left: Any, right: Any) -> Any:
    match operator:
        case "=":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "+" if isinstance(left, str) or isinstance(right, str):
            return _text(left) + _text(right)
        case "+":
            return _number(left) + _number(right)
        case "-":
            return _number(left) - _number(right)
        case "*":
            return _number(left) * _number(right)
        case "/":
            return _number(left) / _number(right)
        case "%":
            return math.fmod(_number(left), _number(right))
        case "<":
            return bool(_ordered(left) < _ordered(right))
        case ">":
            return bool(_ordered(left) > _ordered(right))
        case "<=":
            return bool(_ordered(left) <= _ordered(right))
    return bool(_ordered(left) >= _ordered(right))


def _ordered(value: Any) -> Any:
    if value is None:
        raise ExpressionError("null cannot be compared")
    return value


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


Function = Callable[[Scope, list[Node]], Any]


def _plain(function: Callable[..., Any]) -> Function:
    return lambda scope, arguments: function(*(argument(scope) for argument in arguments))


def _if(scope: Scope, arguments: list[Node]) -> Any:
    condition, yes, no = arguments
    return yes(scope) if _truth(condition(scope)) else no(scope)


def _quality_of(scope: Scope, argument: Node) -> Quality:
    aside = Scope(scope.read)
    try:
        argument(aside)
    except (ExpressionError, ArithmeticError, TypeError, ValueError):
        return Quality("Error_ExpressionEval")
    return aside.worst


def _try(scope: Scope, arguments: list[Node]) -> Any:
    aside = Scope(scope.read)
    try:
        value = arguments[0](aside)
    except (ExpressionError, ArithmeticError, TypeError, ValueError):
        return arguments[1](scope)
    if not aside.worst.good:
        return arguments[1](scope)
    return value


def _coalesce(scope: Scope, arguments: list[Node]) -> Any:
    for argument in arguments:
        aside = Scope(scope.read)
        value = argument(aside)
        if value is not None:
            scope.take_on(aside.worst)
            return value
    return None


def _round(value: Any, places: int = 0) -> float:
    scale: float = 10.0**places  # halves go up, as java.lang.Math.round has it
    return math.floor(float(_number(value)) * scale + 0.5) / scale


def _seconds_between(first: datetime, second: datetime) -> int:
    return int((second - first).total_seconds())


def _utc_now(_rate_ms: int = 1000) -> datetime:
    return datetime.now(UTC)


FUNCTIONS: Final[dict[str, tuple[int, int, Function]]] = {
    "if": (3, 3, _if),
    "isGood": (1, 1, lambda scope, a: _quality_of(scope, a[0]).good),
    "isBad": (1, 1, lambda scope, a: not _quality_of(scope, a[0]).good),
    "isNull": (1, 1, _plain(lambda value: value is None)),
    "try": (2, 2, _try),
    "coalesce": (1, 20, _coalesce),
    "abs": (1, 1, _plain(lambda value: abs(_number(value)))),
    "min": (1, 20, _plain(min)),
    "max": (1, 20, _plain(max)),
    "round": (1, 2, _plain(_round)),
    "floor": (1, 1, _plain(math.floor)),
    "ceil": (1, 1, _plain(math.ceil)),
    "concat": (1, 20, _plain(lambda *values: "".join(_text(value) for value in values))),
    "len": (1, 1, _plain(len)),
    "upper": (1, 1, _plain(lambda value: _text(value).upper())),
    "lower": (1, 1, _plain(lambda value: _text(value).lower())),
    "toStr": (1, 1, _plain(_text)),
    "toInt": (1, 1, _plain(lambda value: int(float(value)))),
    "toFloat": (1, 1, _plain(float)),
    "now": (0, 1, _plain(_utc_now)),
    "secondsBetween": (2, 2, _plain(_seconds_between)),
}
