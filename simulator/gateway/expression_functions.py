"""The functions of the expression language: how many arguments each takes, and what it does with them.

A function gets its arguments unevaluated, because some look at only one of them or at their qualities.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol

from simulator.gateway.java_formats import format_date, format_number
from simulator.gateway.qualities import Quality
from simulator.gateway.values import epoch_ms, from_epoch_ms


class ExpressionError(Exception):
    """The expression cannot be used, or went wrong on these values. The message names the part."""


class Context(Protocol):
    """What some functions ask about the place where the expression stands."""

    @property
    def zone(self) -> tzinfo:
        """Where dates are shown."""
        ...

    def every(self, rate_ms: int) -> None:
        """The expression wants to be evaluated again after so long; 0 is never."""
        ...

    def authorized(self, levels: list[str], *, all_of: bool) -> bool:
        """Whether who looks on holds these security levels."""
        ...

    def has_role(self, role: str) -> bool:
        """Whether who looks on has the role."""
        ...


class GatewayContext:
    """Gateway scope: the clock goes by itself, and nobody looks on."""

    zone: tzinfo = UTC

    def every(self, rate_ms: int) -> None:
        """Tags have rates of their own."""

    def authorized(self, levels: list[str], *, all_of: bool) -> bool:
        """Raises ``ExpressionError``: a tag has no session."""
        raise ExpressionError("isAuthorized() needs a Perspective session; a tag has none")

    def has_role(self, role: str) -> bool:
        """Raises ``ExpressionError``: a tag has no session."""
        raise ExpressionError("hasRole() needs a Perspective session; a tag has none")


class Scope(Protocol):
    """One evaluation: the context, and the qualities taken on."""

    @property
    def context(self) -> Context: ...

    def take_on(self, quality: Quality) -> None: ...

    def aside(self, node: Node) -> tuple[Any, Quality]:
        """Value and quality of a part, without taking the quality on; an error is Error_ExpressionEval."""
        ...


Node = Callable[[Any], Any]
Function = Callable[[Any, list[Node]], Any]


def number(value: Any) -> Any:
    """The value, if one can count with it. Raises ``ExpressionError``."""
    if value is None or not isinstance(value, int | float):
        raise ExpressionError(f"{value!r} is not a number")
    return value


def truth(value: Any) -> bool:
    """The value as a condition; a text is true when it says so."""
    if isinstance(value, str):
        return value.lower() == "true"
    return bool(value)


def text(value: Any) -> str:
    """The value as text, null as ``null``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return format_date(value, "EEE MMM dd HH:mm:ss z yyyy", UTC)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str)
    return str(value)


def _plain(function: Callable[..., Any]) -> Function:
    return lambda scope, arguments: function(*(argument(scope) for argument in arguments))


def _if(scope: Scope, arguments: list[Node]) -> Any:
    condition, yes, no = arguments
    return yes(scope) if truth(condition(scope)) else no(scope)


def _case(scope: Scope, arguments: list[Node]) -> Any:
    """case(value, when, then, when, then, …, otherwise)"""
    if len(arguments) % 2:
        raise ExpressionError("case() wants a value, pairs of case and result, and a fallback")
    value = arguments[0](scope)
    for place in range(1, len(arguments) - 1, 2):
        if same(value, arguments[place](scope)):
            return arguments[place + 1](scope)
    return arguments[-1](scope)


def _switch(scope: Scope, arguments: list[Node]) -> Any:
    """switch(value, case, case, …, result, result, …, otherwise)"""
    if len(arguments) % 2:
        raise ExpressionError("switch() wants a value, as many results as cases, and a fallback")
    value, half = arguments[0](scope), (len(arguments) - 2) // 2
    for place in range(1, half + 1):
        if same(value, arguments[place](scope)):
            return arguments[place + half](scope)
    return arguments[-1](scope)


def same(left: Any, right: Any) -> bool:
    """Equality as ``=`` has it."""
    return bool(left == right)


def _try(scope: Scope, arguments: list[Node]) -> Any:
    value, quality = scope.aside(arguments[0])
    return value if quality.good else arguments[1](scope)


def _coalesce(scope: Scope, arguments: list[Node]) -> Any:
    for argument in arguments:
        value, quality = scope.aside(argument)
        if value is not None:
            scope.take_on(quality)
            return value
    return None


def _round(value: Any, places: int = 0) -> float:
    scale: float = 10.0**places  # halves go up, as java.lang.Math.round has it
    return math.floor(float(number(value)) * scale + 0.5) / scale


def _converted(kind: Callable[[Any], Any], scope: Scope, arguments: list[Node]) -> Any:
    """A conversion with an optional fallback for what cannot be converted."""
    value = arguments[0](scope)
    try:
        if value is None or isinstance(value, dict | list | datetime):
            raise ValueError(f"{text(value)} cannot be converted")
        return kind(value)
    except (ValueError, OverflowError) as error:
        if len(arguments) == 2:
            return arguments[1](scope)
        raise ExpressionError(str(error)) from error


def _to_boolean(value: Any) -> bool:
    if isinstance(value, str):
        lowered = value.strip().lower()
        if lowered in ("true", "t", "yes", "y", "on", "1"):
            return True
        if lowered in ("false", "f", "no", "n", "off", "0"):
            return False
        raise ValueError(f"{value!r} is neither true nor false")
    return bool(value)


def _date(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise ExpressionError(f"{text(value)} is not a date")
    return value


def _now(scope: Scope, arguments: list[Node]) -> datetime:
    scope.context.every(int(number(arguments[0](scope))) if arguments else 1000)
    return datetime.now(UTC)


def _between(first: Any, second: Any) -> timedelta:
    return _date(second) - _date(first)


def _authorized(scope: Scope, arguments: list[Node]) -> bool:
    all_of, *levels = (argument(scope) for argument in arguments)
    return scope.context.authorized([text(level) for level in levels], all_of=truth(all_of))


def _date_format(scope: Scope, arguments: list[Node]) -> str:
    moment, pattern = (argument(scope) for argument in arguments)
    return format_date(_date(moment), text(pattern), scope.context.zone)


def _substring(value: Any, start: int, end: int | None = None) -> str:
    whole = text(value)
    stop = len(whole) if end is None else end
    if not 0 <= start <= stop <= len(whole):
        raise ExpressionError(f"substring({start}, {stop}) is outside a text of {len(whole)} characters")
    return whole[start:stop]


def _len(value: Any) -> int:
    if value is None:
        return 0
    if not hasattr(value, "__len__"):
        raise ExpressionError(f"{text(value)} has no length")
    return len(value)


def _type_of(value: Any) -> str:
    names: tuple[tuple[type, str], ...] = (
        (bool, "Boolean"),
        (int, "Integer"),
        (float, "Double"),
        (str, "String"),
        (datetime, "Date"),
        (list, "JsonArray"),
        (dict, "JsonObject"),
    )
    if value is None:
        return "null"
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**31) <= value < 2**31:
        return "Long"
    return next((name for kind, name in names if isinstance(value, kind)), type(value).__name__)


_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def _json_get(document: Any, path: Any) -> Any:
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise ExpressionError(f"jsonGet() wants JSON: {error}") from error
    for step in _STEP.finditer(text(path)):
        try:
            document = document[int(step[2])] if step[2] else document[step[1]]
        except (KeyError, IndexError, TypeError) as error:
            raise ExpressionError(f"jsonGet(): there is no {text(path)!r}") from error
    return document


def at(value: Any, row: Any, column: Any = None) -> Any:
    """``value[row]`` or ``dataset[row, column]``. Raises ``ExpressionError``."""
    try:
        cell = value[row if isinstance(value, Mapping) else int(number(row))]
        return cell if column is None else cell[column]
    except (KeyError, IndexError, TypeError) as error:
        raise ExpressionError(
            f"there is no [{text(row)}{'' if column is None else ', ' + text(column)}]"
        ) from error


_MANY: Final = 60

FUNCTIONS: Final[dict[str, tuple[int, int, Function]]] = {
    "if": (3, 3, _if),
    "case": (4, _MANY, _case),
    "switch": (4, _MANY, _switch),
    "isGood": (1, 1, lambda scope, a: scope.aside(a[0])[1].good),
    "isBad": (1, 1, lambda scope, a: not scope.aside(a[0])[1].good),
    "qualityOf": (1, 1, lambda scope, a: scope.aside(a[0])[1].name),
    "isNull": (1, 1, _plain(lambda value: value is None)),
    "try": (2, 2, _try),
    "coalesce": (1, _MANY, _coalesce),
    "abs": (1, 1, _plain(lambda value: abs(number(value)))),
    "min": (1, _MANY, _plain(lambda *values: min(map(number, values)))),
    "max": (1, _MANY, _plain(lambda *values: max(map(number, values)))),
    "round": (1, 2, _plain(_round)),
    "floor": (1, 1, _plain(lambda value: math.floor(number(value)))),
    "ceil": (1, 1, _plain(lambda value: math.ceil(number(value)))),
    "len": (1, 1, _plain(_len)),
    "concat": (1, _MANY, _plain(lambda *values: "".join(text(value) for value in values))),
    "upper": (1, 1, _plain(lambda value: text(value).upper())),
    "lower": (1, 1, _plain(lambda value: text(value).lower())),
    "trim": (1, 1, _plain(lambda value: text(value).strip())),
    "substring": (2, 3, _plain(_substring)),
    "indexOf": (2, 2, _plain(lambda value, part: text(value).find(text(part)))),
    "replace": (3, 3, _plain(lambda value, old, new: text(value).replace(text(old), text(new)))),
    "startsWith": (2, 2, _plain(lambda value, start: text(value).startswith(text(start)))),
    "contains": (2, 2, _plain(lambda value, part: text(part) in text(value))),
    "toStr": (1, 1, _plain(text)),
    "toInt": (1, 2, lambda scope, a: _converted(lambda value: int(float(value)), scope, a)),
    "toFloat": (1, 2, lambda scope, a: _converted(float, scope, a)),
    "toBoolean": (1, 2, lambda scope, a: _converted(_to_boolean, scope, a)),
    "numberFormat": (2, 2, _plain(lambda value, pattern: format_number(value, text(pattern)))),
    "dateFormat": (2, 2, _date_format),
    "now": (0, 1, _now),
    "secondsBetween": (2, 2, _plain(lambda a, b: int(_between(a, b).total_seconds()))),
    "minutesBetween": (2, 2, _plain(lambda a, b: int(_between(a, b).total_seconds() / 60))),
    "addSeconds": (2, 2, _plain(lambda date, count: _date(date) + timedelta(seconds=number(count)))),
    "fromMillis": (1, 1, _plain(lambda value: from_epoch_ms(int(number(value))))),
    "toMillis": (1, 1, _plain(lambda value: epoch_ms(_date(value)))),
    "typeOf": (1, 1, _plain(_type_of)),
    "jsonGet": (2, 2, _plain(_json_get)),
    "isAuthorized": (2, _MANY, _authorized),
    "hasRole": (1, 3, lambda scope, a: scope.context.has_role(text(a[0](scope)))),
}
