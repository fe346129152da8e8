"""Bindings and transforms as a view.json has them, read once: parsed, and what is wrong with them named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.gateway.expressions import Expression, ExpressionError, parse
from simulator.gateway.named_query import NamedQuery
from simulator.gateway.perspective.catalogue import BINDINGS, RETURN_FORMATS, TRANSFORMS, is_one_of
from simulator.gateway.perspective.paths import Path, parse_reference


class PlanError(Exception):
    """One thing of a component that the preview does not know or cannot read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Transform:
    """One step after a binding; ``expressions`` are those of its texts that are expressions."""

    kind: str
    config: Mapping[str, Any]
    expressions: Mapping[str, Expression] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class BindingPlan:
    """A binding as written, parsed. ``expressions`` are keyed by where they stand in the configuration."""

    kind: str
    target: Path
    config: Mapping[str, Any]
    expressions: Mapping[str, Expression]
    transforms: tuple[Transform, ...]
    bidirectional: bool
    overlay_opt_out: bool

    def references(self) -> set[str]:
        """Everything in braces, and a property binding's path."""
        found: set[str] = set()
        for expression in self._all():
            found.update(expression.references)
        if self.kind == "property":
            found.add(str(self.config["path"]))
        return found

    def functions(self) -> set[str]:
        """Every function that is called."""
        return {name for expression in self._all() for name in expression.functions}

    def _all(self) -> Iterator[Expression]:
        yield from self.expressions.values()
        for transform in self.transforms:
            yield from transform.expressions.values()


def an_object(value: Any, what: str) -> dict[str, Any]:
    """The object; null is an empty one. Raises ``PlanError``."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise PlanError(f"{what}: an object is wanted, found {type(value).__name__}")
    return value


def a_list(value: Any, what: str) -> list[Any]:
    """The list; null is an empty one. Raises ``PlanError``."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise PlanError(f"{what}: a list is wanted, found {type(value).__name__}")
    return value


def a_text(value: Any, what: str) -> str:
    """The text. Raises ``PlanError``."""
    if not isinstance(value, str):
        raise PlanError(f"{what}: a text is wanted, found {type(value).__name__}")
    return value


def _parsed(text: Any, what: str) -> Expression:
    try:
        expression = parse(a_text(text, what))
        for reference in expression.references:
            parse_reference(reference)
    except ExpressionError as error:
        raise PlanError(f"{what}: {error}") from error
    return expression


class BindingCompiler:
    """Reads the bindings of one project's views."""

    def __init__(self, queries: Mapping[str, NamedQuery]) -> None:
        self._queries = queries

    def binding(self, target: Path, text: str, binding: Mapping[str, Any]) -> BindingPlan | None:
        """The plan; None when it is switched off. Raises ``PlanError``."""
        kind = binding.get("type")
        if not is_one_of(kind, BINDINGS):
            raise PlanError(f"{text}: binding type {kind!r} is not known to the preview")
        if binding.get("enabled") is False:
            return None
        config = an_object(binding.get("config"), f"{text}.binding.config")
        expressions = dict(self._binding_expressions(str(kind), config, text))
        return BindingPlan(
            kind=str(kind),
            target=target,
            config=config,
            expressions=expressions,
            transforms=tuple(
                self._transform(an_object(one, f"{text}.transforms"), f"{text}.transforms[{number}]")
                for number, one in enumerate(a_list(binding.get("transforms"), f"{text}.transforms"))
            ),
            bidirectional=config.get("bidirectional") is True,
            overlay_opt_out=binding.get("overlayOptOut") is True or config.get("overlayOptOut") is True,
        )

    def _binding_expressions(
        self, kind: str, config: Mapping[str, Any], text: str
    ) -> Iterator[tuple[str, Expression]]:
        match kind:
            case "property":
                _reference(config.get("path"), text)
            case "expr":
                yield "expression", _parsed(config.get("expression"), text)
            case "expr-struct":
                for key, entry in an_object(config.get("struct"), f"{text}.struct").items():
                    yield key, _parsed(entry, f"{text}.struct.{key}")
            case "tag":
                yield from self._tag(config, text)
            case "query":
                yield from self._query(config, text)

    def _tag(self, config: Mapping[str, Any], text: str) -> Iterator[tuple[str, Expression]]:
        mode = config.get("mode", "direct")
        path = a_text(config.get("tagPath"), f"{text}.tagPath")
        if mode == "expression":
            yield "tagPath", _parsed(path, f"{text}.tagPath")
        elif mode == "indirect":
            for key, entry in an_object(config.get("references"), f"{text}.references").items():
                yield f"references.{key}", _parsed(entry, f"{text}.references.{key}")
        elif mode != "direct":
            raise PlanError(f"{text}: tag mode {mode!r} is not known to the preview")

    def _query(self, config: Mapping[str, Any], text: str) -> Iterator[tuple[str, Expression]]:
        path = a_text(config.get("queryPath"), f"{text}.queryPath")
        if path not in self._queries:
            raise PlanError(f"{text}: there is no named query {path!r}")
        if not is_one_of(config.get("returnFormat", "auto"), RETURN_FORMATS):
            raise PlanError(
                f"{text}: returnFormat {config.get('returnFormat')!r} is not known to the preview"
            )
        for key, entry in an_object(config.get("parameters"), f"{text}.parameters").items():
            yield f"parameters.{key}", _parsed(entry, f"{text}.parameters.{key}")
        polling = an_object(config.get("polling"), f"{text}.polling")
        if polling.get("enabled") is True:
            yield "rate", _parsed(str(polling.get("rate")), f"{text}.polling.rate")

    def _transform(self, transform: Mapping[str, Any], what: str) -> Transform:
        kind = transform.get("type")
        if not is_one_of(kind, TRANSFORMS):
            raise PlanError(f"{what}: transform {kind!r} is not known to the preview")
        expressions: dict[str, Expression] = {}
        match kind:
            case "script":
                a_text(transform.get("code"), f"{what}.code")
            case "expression":
                expressions["expression"] = _parsed(transform.get("expression"), what)
            case "format":
                if transform.get("formatType") not in ("numeric", "datetime"):
                    raise PlanError(
                        f"{what}: formatType {transform.get('formatType')!r} is not known to the preview"
                    )
                a_text(transform.get("formatValue"), f"{what}.formatValue")
            case "map":
                expressions.update(self._map(transform, what))
        return Transform(kind=str(kind), config=transform, expressions=expressions)

    def _map(self, transform: Mapping[str, Any], what: str) -> Iterator[tuple[str, Expression]]:
        ways, outputs = transform.get("inputType", "scalar"), transform.get("outputType", "scalar")
        if ways not in ("scalar", "range", "expression"):
            raise PlanError(f"{what}: inputType {ways!r} is not known to the preview")
        if outputs not in ("scalar", "color", "style-list", "expression", "document"):
            raise PlanError(f"{what}: outputType {outputs!r} is not known to the preview")
        for number, mapping in enumerate(a_list(transform.get("mappings"), f"{what}.mappings")):
            mapping = an_object(mapping, f"{what}.mappings[{number}]")
            if ways == "expression":
                yield f"input{number}", _parsed(mapping.get("input"), f"{what}.mappings[{number}].input")
            elif ways == "range":
                wanted = an_object(mapping.get("input"), f"{what}.mappings[{number}].input")
                for end in ("min", "max"):
                    if not _is_number(wanted.get(end, 0)):
                        raise PlanError(
                            f"{what}.mappings[{number}].input.{end}: a number is wanted, found {wanted[end]!r}"
                        )
            if outputs == "expression":
                yield f"output{number}", _parsed(mapping.get("output"), f"{what}.mappings[{number}].output")
        if outputs == "expression" and isinstance(transform.get("fallback"), str):
            yield "fallback", _parsed(transform["fallback"], f"{what}.fallback")


def _reference(text: Any, what: str) -> None:
    try:
        if parse_reference(a_text(text, f"{what}.path")).world in ("tag", "value"):
            raise PlanError(f"{what}: {text!r} is no property")
    except ExpressionError as error:
        raise PlanError(f"{what}: {error}") from error


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
