"""JSON that a model has to answer with: the form as servers take it, and a strict reading of what came. Pure.

A server that is told a form mostly keeps to it and promises nothing; so nothing is believed that was not checked,
and nothing is repaired: no JSON within prose, no numbers out of texts, no fields that nobody asked for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.databricks.answers import plain
from bridge.databricks.fields import fit, kind
from bridge.errors import AnswerUnusable

LONGEST = 100_000  # characters of an answer that are read
_MOST_FIELDS, _DEEPEST = 64, 6
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FENCE = re.compile(r"```(?:json)?[ \t]*\r?\n(.*)\r?\n```", re.DOTALL | re.IGNORECASE)

# What servers understand of JSON schema, and what they refuse or ignore, so that it is checked here alone.
_SENT = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "description", "title"}
)
_LIMITS = frozenset({"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"})
_TYPES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """A JSON object to answer with.

    name: letters, digits, _ and -, at most 64. schema: JSON schema with type, properties, required,
    additionalProperties, items, enum, description, and the limits minimum, maximum, minLength, maxLength, minItems,
    maxItems, which are checked here and not sent. Every object names all its properties as required and no others,
    as strict servers demand; what may be missing is of type ["…", "null"]. ValueError for any other schema.
    """

    name: str
    schema: Mapping[str, object]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a form's name: wanted 1 to 64 letters, digits, _ and -, found {self.name!r}")
        if self.schema.get("type") != "object":
            raise ValueError(f"form {self.name}: wanted an object at the top")
        fields = _examine(self.schema, self.name, 1)
        if fields > _MOST_FIELDS:
            raise ValueError(f"form {self.name}: {fields} fields; servers take {_MOST_FIELDS}")

    def wire(self) -> dict[str, object]:
        """The schema as servers take it."""
        return _sent(self.schema)

    def read(self, text: str, what: str = "the model's answer") -> dict[str, object]:
        """The object that a text is. AnswerUnusable says what was wanted and what came.

        A fence of three backticks around all of it is taken off; words before or after are not.
        """
        if len(text) > LONGEST:
            raise AnswerUnusable(f"{what}: {len(text)} characters; at most {LONGEST} are read")
        stripped = text.strip()
        if fenced := _FENCE.fullmatch(stripped):
            stripped = fenced[1].strip()
        try:
            found = json.loads(stripped, parse_constant=_no_number, object_pairs_hook=_object)
        except _Unfit as problem:
            raise AnswerUnusable(f"{what}: {problem}") from problem
        except (ValueError, RecursionError) as problem:
            raise AnswerUnusable(
                f"{what} is not JSON: it begins with {plain(stripped[:200])[:80]!r}"
            ) from problem
        _check(found, self.schema, what)
        result: dict[str, object] = found  # the schema's top is an object
        return result


class _Unfit(ValueError):
    """JSON, and still not one that has a single meaning."""


def _no_number(word: str) -> object:
    raise _Unfit(f"{word} is no JSON number")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Unfit("an object names one key twice")
    return found


# --- the form itself ---


def _examine(schema: Mapping[str, object], place: str, depth: int) -> int:
    """How many fields a schema names; ValueError for what could not be checked or would be refused."""
    if depth > _DEEPEST:
        raise ValueError(f"{place}: deeper than {_DEEPEST} levels")
    if strange := sorted(set(schema) - _SENT - _LIMITS):
        raise ValueError(f"{place}: {', '.join(strange)}: not in the subset of JSON schema that servers take")
    types = _types(schema)
    if not types or any(one not in _TYPES for one in types):
        raise ValueError(f"{place}: type: wanted some of {', '.join(_TYPES)}, found {schema.get('type')!r}")
    fields = 0
    if "object" in types:
        properties = _properties(schema)
        if schema.get("additionalProperties") is not False:
            raise ValueError(f"{place}: additionalProperties has to be false, as strict servers demand")
        required = schema.get("required")
        if not isinstance(required, list | tuple) or set(required) != set(properties):
            raise ValueError(
                f'{place}: required has to name every property; one may be of type ["…", "null"]'
            )
        fields = len(properties)
        fields += sum(
            _examine(_schema(one), f"{place}.{name}", depth + 1) for name, one in properties.items()
        )
    if "array" in types:
        fields += _examine(_schema(schema.get("items")), f"{place}[]", depth + 1)
    return fields


def _types(schema: Mapping[str, object]) -> tuple[str, ...]:
    of = schema.get("type")
    return tuple(str(one) for one in of) if isinstance(of, list | tuple) else (str(of),) if of else ()


def _properties(schema: Mapping[str, object]) -> Mapping[str, object]:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _schema(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _sent(schema: Mapping[str, object]) -> dict[str, object]:
    found = {name: value for name, value in schema.items() if name in _SENT}
    if isinstance(schema.get("properties"), Mapping):
        found["properties"] = {name: _sent(_schema(one)) for name, one in _properties(schema).items()}
    if isinstance(schema.get("items"), Mapping):
        found["items"] = _sent(_schema(schema["items"]))
    return found


# --- what came ---


def _check(value: object, schema: Mapping[str, object], place: str) -> None:
    types = _types(schema)
    if not any(_is(value, one) for one in types):
        wanted = " or ".join(_TYPES[one] for one in types)
        raise AnswerUnusable(f"{place}: wanted {wanted}, found {kind(value)}")
    choices = schema.get("enum")
    if isinstance(choices, list | tuple) and not any(
        value == one and kind(value) == kind(one) for one in choices
    ):
        shown = plain(fit(value))[:60] if isinstance(value, str) else value
        raise AnswerUnusable(f"{place}: wanted one of {', '.join(map(repr, choices[:10]))}, found {shown!r}")
    match value:
        case bool():
            pass
        case int() | float():
            _within(value, schema.get("minimum"), schema.get("maximum"), place, "")
        case str():
            _within(len(value), schema.get("minLength"), schema.get("maxLength"), place, " characters")
        case list():
            _within(len(value), schema.get("minItems"), schema.get("maxItems"), place, " items")
            for number, item in enumerate(value):
                _check(item, _schema(schema.get("items")), f"{place}[{number}]")
        case dict():
            _check_fields(value, schema, place)


def _check_fields(value: Mapping[str, object], schema: Mapping[str, object], place: str) -> None:
    properties = _properties(schema)
    if strange := [plain(str(name))[:60] for name in value if name not in properties]:
        raise AnswerUnusable(f"{place}: holds what nobody asked for: {', '.join(map(repr, strange[:5]))}")
    if missing := [name for name in properties if name not in value]:
        raise AnswerUnusable(f"{place}: lacks {', '.join(missing)}")
    for name, one in properties.items():
        _check(value[name], _schema(one), f"{place}: {name}")


def _is(value: object, of: str) -> bool:
    match of:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return whole or (isinstance(value, float) and math.isfinite(value))
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
    return value is None


def _within(size: float, least: object, most: object, place: str, of: str) -> None:
    if isinstance(least, int | float) and size < least:
        raise AnswerUnusable(f"{place}: wanted at least {least}{of}, found {size}")
    if isinstance(most, int | float) and size > most:
        raise AnswerUnusable(f"{place}: wanted at most {most}{of}, found {size}")
