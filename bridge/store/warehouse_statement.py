"""A named query as a SQL warehouse takes it: one typed marker per value, lists and rows written out. Pure.

Delta has no array parameters that every warehouse takes, so a list is written out: `in (:ids)` becomes
`in (:ids_1, :ids_2)`, and the tuple after `values`, when there are lists in it, is written once per element.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.errors import FixCode
from bridge.store.queries import Query

MOST_MARKERS = 250
"""A warehouse takes 255 parameter markers in one statement; what may be longer is sent in parts."""

_MARKER = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|::|:(?P<param>[a-z][a-z0-9_]*)|\bvalues\s*(?P<tuple>\()",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """One parameter: its name in the statement, its type in Databricks SQL, and an aware value, if any."""

    name: str
    type: str
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A text with markers, and what belongs to them."""

    text: str
    markers: tuple[Marker, ...]


_TYPES = {
    "text": "STRING",
    "integer": "INT",
    "bigint": "BIGINT",
    "double precision": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamptz": "TIMESTAMP",
}


def written_out(query: Query, values: Mapping[str, object]) -> Statement:
    """The statement for these values; FixCode when they are not the ones that the query declares."""
    types = {parameter.name: parameter.type for parameter in query.parameters}
    if values.keys() - types.keys() or types.keys() - values.keys() - _unused(query):
        raise FixCode(
            f"{query.full_name}: wanted values for {', '.join(sorted(types))}; found {', '.join(sorted(values))}"
        )
    lists = {name for name, kind in types.items() if kind.endswith("[]")}
    text = _rows_written_out(query, lists, values)
    markers: dict[str, Marker] = {}

    def mark(name: str, of: str, value: object) -> str:
        markers[name] = Marker(name=name, type=_TYPES[types[of].removesuffix("[]")], value=_sent(value))
        return f":{name}"

    def replace(match: re.Match[str]) -> str:
        name = match["param"]
        if name is None:
            return match.group()
        place = re.fullmatch(r"(.+)_(\d+)", name) if name not in types else None
        if place is not None and place[1] in lists:
            return mark(name, place[1], _elements(query, place[1], values)[int(place[2]) - 1])
        if name not in lists:
            return mark(name, name, values[name])
        elements = _elements(query, name, values)
        # `in ('')` finds nothing and `not in ('')` everything, because no name of ours is empty.
        return (
            ", ".join(mark(f"{name}_{number}", name, value) for number, value in enumerate(elements, start=1))
            or "''"
        )

    text = _MARKER.sub(replace, text)
    if len(markers) > MOST_MARKERS:
        raise FixCode(f"{query.full_name}: {len(markers)} parameters, a statement takes {MOST_MARKERS}")
    return Statement(text=text, markers=tuple(markers.values()))


def _unused(query: Query) -> set[str]:
    return {parameter.name for parameter in query.parameters if parameter.meaning.startswith("unused here")}


def _rows_written_out(query: Query, lists: set[str], values: Mapping[str, object]) -> str:
    """The text with every `values (…)` that holds list parameters repeated once per element."""
    pieces: list[str] = []
    at = 0
    for match in _MARKER.finditer(query.sql):
        if match["tuple"] is None or match.start() < at:
            continue
        begin = match.end()
        end = _closing(query, begin)
        inner = query.sql[begin:end]
        within = {m["param"] for m in _MARKER.finditer(inner) if m["param"] in lists}
        if not within:
            continue
        lengths = {len(_elements(query, name, values)) for name in within}
        if len(lengths) != 1 or 0 in lengths:
            raise FixCode(f"{query.full_name}: wanted lists of one length above 0, found {sorted(lengths)}")

        tuples = (_numbered(inner, within, number) for number in range(1, lengths.pop() + 1))
        pieces.append(query.sql[at:begin])
        pieces.append("), (".join(tuples))
        at = end
    return "".join((*pieces, query.sql[at:]))


def _numbered(inner: str, within: set[str], number: int) -> str:
    def replace(match: re.Match[str]) -> str:
        return f":{match['param']}_{number}" if match["param"] in within else match.group()

    return _MARKER.sub(replace, inner)


def _closing(query: Query, begin: int) -> int:
    depth = 1
    for place in range(begin, len(query.sql)):
        depth += {"(": 1, ")": -1}.get(query.sql[place], 0)
        if depth == 0:
            return place
    raise FixCode(f"{query.full_name}: a parenthesis after `values` is never closed")


def _elements(query: Query, name: str, values: Mapping[str, object]) -> Sequence[object]:
    found = values[name]
    if not isinstance(found, list | tuple):
        raise FixCode(f"{query.full_name}: {name} wants a list, found {type(found).__name__}")
    return found


def _sent(value: object) -> object:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise FixCode(f"a moment without a time zone never leaves the bridge: {value!r}")
        return value.astimezone(UTC)
    return value
