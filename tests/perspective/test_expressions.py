"""Does the expression language give what Ignition's gives, and name what it cannot do?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from simulator.gateway.expressions import ExpressionError, parse
from simulator.gateway.qualities import GOOD, STALE, QualifiedValue

AT = datetime(2026, 3, 1, 10, 0, 5, tzinfo=UTC)
KNOWN: dict[str, tuple[Any, Any]] = {
    "n": (4, GOOD),
    "word": ("Reactor", GOOD),
    "nothing": (None, GOOD),
    "stale": (7, STALE),
    "at": (AT, GOOD),
    "list": ([1, {"a": 2}], GOOD),
}


def read(reference: str) -> QualifiedValue:
    value, quality = KNOWN[reference]
    return QualifiedValue(value=value, quality=quality, at_utc=AT)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - 4 / 2", 5),
        ("-2 ^ 2", -4),
        ("7 % 4", 3),
        ("{n} >= 4 && !({n} != 4) || false", True),
        ("'it''s' + 1", None),
        ("'a\\'b' + \"c\"", "a'bc"),
        ("'n: ' + {n} + {nothing}", "n: 4null"),
        ("{list}[1]", {"a": 2}),
        ("if({n} > 3, 'many', 'few')", "many"),
        ("case({n}, 1, 'one', 4, 'four', 'other')", "four"),
        ("switch({n}, 1, 4, 'one', 'four', 'other')", "four"),
        ("switch({word}, 'x', 'X', 'other')", "other"),
        ("len({word}) + indexOf({word}, 'act')", 9),
        ("substring({word}, 2, 4) + upper(trim(' x '))", "acX"),
        ("replace({word}, 'React', 'Stir')", "Stiror"),
        ("startsWith({word}, 'Re') && contains({word}, 'cto')", True),
        ("toInt('3.9') + toInt('x', 1)", 4),
        ("toBoolean('yes') && toFloat('1.5') = 1.5", True),
        ("round(2.5) + floor(1.7) + ceil(1.2) + abs(-1)", 7.0),
        ("min(3, 1, 2) + max(3, 1, 2)", 4),
        ("numberFormat(1234567.25, '#,##0.0')", "1,234,567.2"),
        ("numberFormat(-0.256, '0.0%')", "-25.6%"),
        ("numberFormat(5, '000') + numberFormat(1.5, '0.##')", "0051.5"),
        ("dateFormat({at}, \"yyyy-MM-dd 'at' HH:mm:ss EEE\")", "2026-03-01 at 10:00:05 Sun"),
        ("secondsBetween({at}, addSeconds({at}, 90)) + minutesBetween({at}, addSeconds({at}, 90))", 91),
        ("fromMillis(toMillis({at})) = {at}", True),
        ("typeOf('x') + typeOf(1) + typeOf(1.5) + typeOf({nothing})", "StringIntegerDoublenull"),
        ("jsonGet('{\"a\": [1, 2]}', 'a[1]')", 2),
        ("try(1 / 0, 'never') + coalesce({nothing}, 'x')", "neverx"),
        ("isGood({stale})", False),
        ("isBad(1 / 0)", True),
        ("qualityOf({stale})", "Bad_Stale"),
    ],
)
def test_values(text: str, value: Any) -> None:
    if value is None:
        with pytest.raises(ExpressionError):
            parse(text)
    else:
        assert parse(text).evaluate(read) == (value, GOOD)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "division by zero"),
        ("{word} - 1", "'Reactor' is not a number"),
        ("{nothing} > 1", "null cannot be compared"),
        ("substring('abc', 2, 9)", "outside a text of 3 characters"),
        ("numberFormat('x', '0')", "a number is wanted"),
        ("dateFormat({at}, 'QQ')", "'Q' is not supported"),
        ("jsonGet('nonsense', 'a')", "wants JSON"),
        ("toInt('x')", "could not convert"),
        ("2 ^ 10 ^ 10 ^ 10", "math range error"),
        ("isAuthorized(true, 'Authenticated')", "needs a Perspective session"),
        ("hasRole('Operator')", "needs a Perspective session"),
    ],
)
def test_what_goes_wrong_is_a_quality_and_never_an_exception(text: str, said: str) -> None:
    value, quality = parse(text).evaluate(read)
    assert (value, quality.name) == (None, "Error_ExpressionEval")
    assert said in quality.diagnostic


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 +", "did not expect 'the end'"),
        ("foo(1)", "function foo() is not supported"),
        ("runScript('x', 0)", "function runScript() is not supported"),
        ("if(1, 2)", "does not take 2 arguments"),
        ("{a} {b}", "did not expect"),
        ("'open", "cannot read"),
        ("-" * 300 + "1", "nested deeper"),
        ("(" * 5000, "nested deeper"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said.replace("(", r"\(").replace(")", r"\)")):
        parse(text)


def test_a_bad_quality_travels_and_keeps_the_value() -> None:
    assert parse("{stale} + 1").evaluate(read) == (8, STALE)
