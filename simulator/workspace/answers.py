"""What a request is and what is answered, without any web framework: the areas of the workspace speak in these."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Document = dict[str, Any]
"""A JSON object."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks. ``rights`` are areas of the workspace: lakebase, sql, genie, jobs, serving."""

    user_name: str
    display_name: str
    id: str
    service_principal: bool = False
    rights: frozenset[str] = frozenset()


@dataclass(kw_only=True)
class Asked:
    """One request, its route found and its fields checked.

    ``fields`` holds the body's and the query's, whole numbers as int whichever way they came; ``place`` what the
    path says.
    """

    verb: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    caller: Caller | None = None
    place: Mapping[str, str] = field(default_factory=dict)
    fields: Document = field(default_factory=dict)

    @property
    def known_caller(self) -> Caller:
        """The caller of a route that wants one."""
        assert self.caller is not None, f"{self.path} was reached without a token"
        return self.caller

    def given(self, name: str) -> bool:
        """Whether the field was sent at all, and not as null."""
        return self.fields.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A text field."""
        found = self.fields.get(name)
        return default if found is None else str(found)

    def whole(self, name: str, default: int = 0) -> int:
        """A whole number."""
        found = self.fields.get(name)
        return default if found is None else int(found)

    def flag(self, name: str) -> bool:
        """Whether it is true; not sent is false."""
        return self.fields.get(name) is True

    def listed(self, name: str) -> list[Any]:
        """A list; not sent is empty."""
        found = self.fields.get(name)
        return [] if found is None else list(found)

    def mapped(self, name: str) -> Document:
        """An object; not sent is empty."""
        found = self.fields.get(name)
        return {} if found is None else dict(found)


@dataclass(kw_only=True)
class Answer:
    """``document`` is sent as JSON, ``text`` as it is, ``events`` one by one as server-sent events."""

    document: Document | None = None
    status: int = 200
    text: str | None = None
    content_type: str = "application/json"
    events: AsyncIterator[str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    wire: Literal["", "drop", "cut"] = ""
    """drop: close the connection without a byte; cut: send fewer bytes than promised, then close."""

    def bytes_(self) -> bytes:
        """The body of an answer that is no stream."""
        if self.raw is not None:
            return self.raw
        if self.text is not None:
            return self.text.encode()
        return json.dumps(self.document or {}, separators=(",", ":"), ensure_ascii=False).encode()


class StreamCut(Exception):
    """Raised by a stream that breaks off: the connection is to be reset."""


class Refusal(Exception):
    """A request that is refused, in Databricks' own form unless ``document`` says another."""

    def __init__(
        self,
        status: int,
        code: str | int,
        message: str,
        *,
        document: Document | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.document = document
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        """As it goes over the wire."""
        found = self.document or {"error_code": self.code, "message": self.message, "details": []}
        return Answer(status=self.status, document=found, headers=self.headers)


def bad(message: str) -> Refusal:
    """400 INVALID_PARAMETER_VALUE."""
    return Refusal(400, "INVALID_PARAMETER_VALUE", message)


def missing(message: str) -> Refusal:
    """404 RESOURCE_DOES_NOT_EXIST."""
    return Refusal(404, "RESOURCE_DOES_NOT_EXIST", message)
