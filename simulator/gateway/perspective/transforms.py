"""The steps between a binding's source and its property: map, format, expression; script is the caller's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from simulator.gateway.expressions import Expression
from simulator.gateway.java_formats import FormatError, format_date, format_number
from simulator.gateway.perspective.compiled_bindings import Transform
from simulator.gateway.perspective.properties import alike
from simulator.gateway.qualities import GOOD, Quality

Evaluate = Callable[[Expression], tuple[Any, Quality]]
"""Evaluates an expression in which ``{value}`` is the value on its way."""


def transform(step: Transform, value: Any, evaluate: Evaluate, zone: tzinfo) -> tuple[Any, Quality]:
    """The value after the step, and the step's own quality."""
    match step.kind:
        case "expression":
            return evaluate(step.expressions["expression"])
        case "format":
            return _format(step, value, zone)
    return _map(step, value, evaluate)


def _format(step: Transform, value: Any, zone: tzinfo) -> tuple[Any, Quality]:
    if value is None:
        return None, GOOD
    pattern = str(step.config["formatValue"])
    try:
        if step.config["formatType"] == "numeric":
            return format_number(value, pattern), GOOD
        return format_date(value, pattern, zone), GOOD
    except FormatError as error:
        return None, Quality("Error_Formatting", str(error))


def _map(step: Transform, value: Any, evaluate: Evaluate) -> tuple[Any, Quality]:
    for number, mapping in enumerate(step.config.get("mappings") or ()):
        if _meets(step, number, mapping.get("input"), value, evaluate):
            output = step.expressions.get(f"output{number}")
            return (mapping.get("output"), GOOD) if output is None else evaluate(output)
    fallback = step.expressions.get("fallback")
    return (step.config.get("fallback"), GOOD) if fallback is None else evaluate(fallback)


def _meets(step: Transform, number: int, wanted: Any, value: Any, evaluate: Evaluate) -> bool:
    match step.config.get("inputType", "scalar"):
        case "range":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return False
            low, high = (wanted or {}).get("min"), (wanted or {}).get("max")
            return (low is None or low <= value) and (high is None or value <= high)
        case "expression":
            expected, quality = evaluate(step.expressions[f"input{number}"])
            return quality.good and (expected is True or alike(expected, value))
    return alike(wanted, value)
