"""Bindings and transforms of one component: kinds, expressions, queries, tags, references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.ignition.json_values import as_list, is_one_of
from bridge.ignition.perspective_parts import (
    BINDINGS,
    BINDINGS_NOT_DRAWN,
    FORMATS,
    MAP_INPUTS,
    MAP_OUTPUTS,
    RETURN_FORMATS,
    TRANSFORMS,
)
from bridge.ignition.view_sight import NOT_PREVIEWED, Sight
from bridge.ignition.view_tree import Node

_STRANGE_POLL_S = 900
_STRUCT_DEPTH = 50


def check_bindings(sight: Sight, node: Node) -> None:
    """Check everything under one component's `propConfig`."""
    config = node.document.get("propConfig")
    for target, settings in config.items() if isinstance(config, dict) else ():
        if not isinstance(settings, dict) or "binding" not in settings:
            continue
        place = node.at("propConfig", str(target), "binding")
        binding = settings["binding"]
        if not isinstance(binding, dict):
            sight.error(place, f"wanted an object, found {binding!r}", "write type and config")
            continue
        _check_binding(sight, place, binding, node)


def _check_binding(sight: Sight, place: str, binding: Mapping[str, Any], node: Node) -> None:
    kind, config = binding.get("type"), binding.get("config")
    if "bidirectional" in binding:
        sight.error(
            f"{place}.bidirectional", "stands beside config, where it does nothing", "move it into config"
        )
    if is_one_of(kind, BINDINGS_NOT_DRAWN):
        sight.note(f"{place}.type", f"the preview has no {kind} binding", NOT_PREVIEWED)
    elif not is_one_of(kind, BINDINGS):
        sight.error(
            f"{place}.type",
            f"there is no binding of type {kind!r}",
            f"there are {', '.join(sorted(BINDINGS))}",
        )
    elif not isinstance(config, dict):
        sight.error(
            f"{place}.config", f"wanted an object, found {config!r}", f"write what the {kind} binds to"
        )
    else:
        if config.get("bidirectional") and kind not in ("property", "tag"):
            sight.error(
                f"{place}.config.bidirectional",
                f"a {kind} binding cannot write back",
                "bind to a property or a tag, or take it out",
            )
        _KINDS[str(kind)](sight, place, config, node)
    for number, transform in enumerate(as_list(binding.get("transforms"))):
        _check_transform(sight, f"{place}.transforms[{number}]", transform, node)


def _text(sight: Sight, place: str, config: Mapping[str, Any], key: str) -> str | None:
    value = config.get(key)
    if isinstance(value, str) and value.strip():
        return value
    sight.error(f"{place}.config.{key}", f"wanted a text, found {value!r}", f"write the {key}")
    return None


def _property(sight: Sight, place: str, config: Mapping[str, Any], node: Node) -> None:
    path = _text(sight, place, config, "path")
    if path is not None:
        sight.reference(f"{place}.config.path", path, node)


def _expression(sight: Sight, place: str, config: Mapping[str, Any], node: Node) -> None:
    text = _text(sight, place, config, "expression")
    if text is not None:
        sight.expression(f"{place}.config.expression", text, node)


def _structure(sight: Sight, place: str, config: Mapping[str, Any], node: Node) -> None:
    struct = config.get("struct")
    if not isinstance(struct, dict | list):
        sight.error(
            f"{place}.config.struct",
            f"wanted an object, found {struct!r}",
            "write a name and an expression each",
        )
        return
    for where, text in _leaves(struct, f"{place}.config.struct"):
        sight.expression(where, text, node)


def _leaves(value: Any, place: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif depth < _STRUCT_DEPTH:
        for key, item in value.items() if isinstance(value, dict) else enumerate(as_list(value)):
            yield from _leaves(item, f"{place}.{key}", depth + 1)


def _query(sight: Sight, place: str, config: Mapping[str, Any], node: Node) -> None:
    _polling(sight, f"{place}.config.polling", config.get("polling"), node)
    if isinstance(config.get("enabled"), str):
        sight.expression(f"{place}.config.enabled", config["enabled"], node)
    if "returnFormat" in config and not is_one_of(config["returnFormat"], RETURN_FORMATS):
        sight.error(
            f"{place}.config.returnFormat",
            f"there is no format {config['returnFormat']!r}",
            f"there are {', '.join(sorted(RETURN_FORMATS))}",
        )
    given = config.get("parameters")
    for name, expression in given.items() if isinstance(given, dict) else ():
        where, advice = f"{place}.config.parameters.{name}", "put quotes inside the text: \"'open'\""
        if isinstance(expression, str):
            sight.expression(where, expression, node, advice=advice)
        else:
            sight.error(
                where, f"{expression!r} is no expression; every parameter of a query binding is one", advice
            )
    path = config.get("queryPath")
    if not isinstance(path, str) or not path:
        sight.error(f"{place}.config.queryPath", f"wanted a text, found {path!r}", "name the query")
        return
    if "{" in path:
        return
    query = sight.queries.get(path)
    if query is None:
        sight.error(
            f"{place}.config.queryPath",
            f"there is no named query {path!r}",
            f"there are {', '.join(sorted(sight.queries)) or 'none'}",
        )
        return
    names = set(given) if isinstance(given, dict) else set()
    for name in sorted(query.parameters - names):
        sight.error(
            f"{place}.config.parameters",
            f"{path} wants {name!r}, which is not bound; it would run with NULL",
            f"bind {name}",
        )
    for name in sorted(names - query.parameters):
        sight.error(
            f"{place}.config.parameters.{name}",
            f"{path} has no parameter {name!r}; it is ignored without a word",
            f"it has {', '.join(sorted(query.parameters)) or 'none'}",
        )


def _polling(sight: Sight, place: str, polling: Any, node: Node) -> None:
    if not isinstance(polling, dict) or not polling.get("enabled"):
        return
    rate = polling.get("rate")
    if not isinstance(rate, str) or not rate.strip():
        sight.error(f"{place}.rate", f"wanted a text, found {rate!r}", 'write seconds as a text, such as "5"')
        return
    try:
        seconds = float(rate)
    except ValueError:
        sight.expression(f"{place}.rate", rate, node, advice='write seconds as a text, such as "5"')
        return
    if not seconds > 0:
        sight.error(f"{place}.rate", f"polls every {rate} s, which is never", 'write seconds, such as "5"')
    elif seconds >= _STRANGE_POLL_S:
        sight.note(
            f"{place}.rate", f"polls every {rate} s (the unit is seconds)", 'write seconds, such as "5"'
        )


def _tag(sight: Sight, place: str, config: Mapping[str, Any], node: Node) -> None:
    path = _text(sight, place, config, "tagPath")
    mode = config.get("mode", "direct")
    if mode not in ("direct", "indirect", "expression"):
        sight.error(
            f"{place}.config.mode", f"there is no mode {mode!r}", "write direct, indirect or expression"
        )
        return
    if path is None:
        return
    if mode == "expression":
        sight.expression(f"{place}.config.tagPath", path, node)
        return
    references = config.get("references")
    given = references if isinstance(references, dict) else {}
    for name, text in given.items():
        if isinstance(text, str):
            sight.expression(f"{place}.config.references.{name}", text, node)
    if mode == "indirect":
        for name in re.findall(r"\{([^{}]+)\}", path):
            if name not in given:
                sight.error(
                    f"{place}.config.references",
                    f"the path has {{{name}}}, which is no reference",
                    f"add {name}, or correct the name",
                )
    if sight.tags is None:
        return
    if not path.startswith("[") and not path.startswith("{"):
        sight.error(
            f"{place}.config.tagPath",
            f"{path!r} names no provider, and a project default cannot be shipped",
            "start it with [default]",
        )
        return
    problem = sight.tags.missing(path)
    if problem is not None:
        sight.error(f"{place}.config.tagPath", problem, "correct the path, or add the tag to tags.json")


_KINDS = {
    "property": _property,
    "expr": _expression,
    "expr-struct": _structure,
    "query": _query,
    "tag": _tag,
}


def _check_transform(sight: Sight, place: str, transform: Any, node: Node) -> None:
    kind = transform.get("type") if isinstance(transform, dict) else None
    if not is_one_of(kind, TRANSFORMS):
        sight.error(
            f"{place}.type",
            f"there is no transform of type {kind!r}",
            f"there are {', '.join(sorted(TRANSFORMS))}",
        )
        return
    if kind == "script" and not isinstance(transform.get("code"), str):
        sight.error(f"{place}.code", "is missing", "write the body, each line with a tab in front")
    elif kind == "expression":
        text = transform.get("expression")
        if isinstance(text, str):
            sight.expression(f"{place}.expression", text, node, in_transform=True)
        else:
            sight.error(f"{place}.expression", f"wanted a text, found {text!r}", "write the expression")
    elif kind == "format" and not is_one_of(transform.get("formatType"), FORMATS):
        sight.error(
            f"{place}.formatType",
            f"there is no format {transform.get('formatType')!r}",
            f"there are {', '.join(sorted(FORMATS))}",
        )
    elif kind == "map":
        _check_map(sight, place, transform, node)


def _check_map(sight: Sight, place: str, transform: Mapping[str, Any], node: Node) -> None:
    for key, known in (("inputType", MAP_INPUTS), ("outputType", MAP_OUTPUTS)):
        if key in transform and not is_one_of(transform[key], known):
            sight.error(
                f"{place}.{key}",
                f"there is no {key} {transform[key]!r}",
                f"there are {', '.join(sorted(known))}",
            )
    if not isinstance(transform.get("mappings"), list):
        sight.error(f"{place}.mappings", "is missing", "write a list of input and output")
    outputs = [(f"{place}.fallback", transform.get("fallback"))]
    for number, mapping in enumerate(as_list(transform.get("mappings"))):
        if isinstance(mapping, dict):
            outputs.append((f"{place}.mappings[{number}].output", mapping.get("output")))
            if transform.get("inputType") == "expression" and isinstance(mapping.get("input"), str):
                where = f"{place}.mappings[{number}].input"
                sight.expression(where, mapping["input"], node, in_transform=True)
    for where, output in outputs:
        if isinstance(output, str) and transform.get("outputType") == "expression" and output.strip():
            sight.expression(where, output, node, in_transform=True)
        elif isinstance(output, str) and transform.get("outputType") == "style-list":
            check_classes(sight, where, output)


def check_classes(sight: Sight, place: str, classes: str) -> None:
    """Check that each style class of a list with blanks exists."""
    styles = sight.views.styles
    if styles is None:
        return
    for name in classes.split():
        if name not in styles:
            sight.error(
                place, f"there is no style class {name!r}", f"there are {', '.join(sorted(styles)) or 'none'}"
            )
