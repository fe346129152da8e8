"""Which requests there are, what they may carry, and what to say to all others."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from simulator.workspace.answers import Answer, Asked, Document, Refusal, bad

Handler = Callable[[Asked], Awaitable["Answer | Document"]]
Kind = Literal["text", "whole", "number", "flag", "list", "map", "any"]

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "text": (str,),
    "number": (int, float),
    "flag": (bool,),
    "list": (list,),
    "map": (dict,),
    "any": (object,),
}
_CALLED: Final = {
    "text": "a string",
    "whole": "a whole number",
    "number": "a number",
    "flag": "true or false",
    "list": "a list",
    "map": "an object",
}


@dataclass(frozen=True)
class Fields:
    """The fields that a body or a query may have: ``Fields.of("content:text! page_size:whole")``, ``!`` is required."""

    kinds: Mapping[str, str]
    required: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Fields:
        """From words ``name:kind`` and ``name:kind!``."""
        pairs = [word.rstrip("!").split(":") for word in text.split()]
        must = frozenset(word.split(":")[0] for word in text.split() if word.endswith("!"))
        for name, kind in pairs:
            if kind not in ("whole", *_KINDS):
                raise ValueError(f"{name}: no kind is called {kind!r}")
        return cls({pair[0]: pair[1] for pair in pairs}, must)

    def checked(self, found: Mapping[str, Any], what: str) -> Document:
        """The same with whole numbers as int. ``Refusal`` for what is unknown, missing or of another kind."""
        for name in found:
            if name not in self.kinds:
                near = difflib.get_close_matches(name, self.kinds)
                hint = f"; did you mean {' or '.join(near)}?" if near else ""
                known = ", ".join(self.kinds) or "none"
                raise bad(f"{what} has no field {name!r}{hint} (known here: {known})")
        for name in sorted(self.required):
            if found.get(name) is None:
                raise bad(f"Missing required field: {name}")
        return {
            name: _value(name, self.kinds[name], value) for name, value in found.items() if value is not None
        }


def _value(name: str, kind: str, value: Any) -> Any:
    if kind == "whole":
        # JSON of 64-bit numbers is taken as a string too; a float has lost digits already
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
            return int(value)
    elif isinstance(value, _KINDS[kind]) and not (kind == "number" and isinstance(value, bool)):
        return value
    raise bad(f"Field {name}: expected {_CALLED[kind]}, found {json.dumps(value)[:80]}")


@dataclass(frozen=True)
class Route:
    """One request that exists. ``area`` is the right it wants; empty: any valid token, None: no token at all.

    ``body`` None: the handler reads the body itself. ``verb`` and ``path`` may hold ``{name}`` and ``{name:path}``.
    """

    verb: str
    path: str
    handler: Handler
    area: str | None
    body: Fields | None
    query: Fields


def route(
    verb: str,
    path: str,
    handler: Handler,
    *,
    area: str | None = "",
    body: str | None = "",
    query: str = "",
) -> Route:
    """A row of an area's table."""
    return Route(verb, path, handler, area, None if body is None else Fields.of(body), Fields.of(query))


class Router:
    """Finds the route of a request; knows what to say when there is none."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(each, re.compile(_pattern(each.path))) for each in routes]

    def find(self, verb: str, path: str) -> tuple[Route, dict[str, str]]:
        """Raises ``Refusal`` 404 ENDPOINT_NOT_FOUND with what came near."""
        others = []
        for each, pattern in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                if each.verb == verb:
                    return each, match.groupdict()
                others.append(each.verb)
        message = f"No API found for '{verb} {path}'"
        if others:
            raise Refusal(404, "ENDPOINT_NOT_FOUND", f"{message}; this path answers {' and '.join(others)}")
        near = self._near(path)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise Refusal(404, "ENDPOINT_NOT_FOUND", message + hint)

    def _near(self, path: str) -> list[str]:
        known = {f"{each.verb} {each.path}" for each, _ in self._routes}
        by_path = {name.split(" ", 1)[1]: name for name in known}
        return [by_path[found] for found in difflib.get_close_matches(path, by_path, n=3, cutoff=0.5)]


def _pattern(path: str) -> str:
    parts = re.split(r"\{(\w+)\}", path)
    return "".join(f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts))


def read_fields(found: Route, asked: Asked) -> Document:
    """Query and body of a request, checked. Raises ``Refusal`` 400."""
    fields = found.query.checked(_query(found, asked.query), f"the query of {found.verb} {found.path}")
    if found.body is None:
        return fields
    fields |= found.body.checked(read_object(asked.body), f"{found.verb} {found.path}")
    return fields


def _query(found: Route, query: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: value == "true"
        if found.query.kinds.get(name) == "flag" and value in ("true", "false")
        else value
        for name, value in query.items()
    }


def read_object(body: bytes) -> Document:
    """A JSON object; no body is an empty one. Raises ``Refusal`` 400 MALFORMED_REQUEST."""
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(
            400, "MALFORMED_REQUEST", f"Could not parse request object: the body is no JSON ({error})"
        ) from error
    if not isinstance(found, dict):
        raise Refusal(400, "MALFORMED_REQUEST", "Could not parse request object: expected an object")
    return found


def read_form(body: bytes) -> dict[str, str]:
    """A form, the last of equal names. Raises ``Refusal`` 400 for what is none."""
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body)))
    except ValueError as error:
        raise Refusal(400, "MALFORMED_REQUEST", f"expected a form, found something else ({error})") from error
