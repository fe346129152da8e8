"""What a conversation asks the workspace for, and what came back: plain values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Answer = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request.

    path: begins with "/". body: sent as JSON; form: sent as a web form instead. idempotent: may be repeated although
    it could have happened already (a GET always may). what: names it in messages, for example "Genie: start a
    conversation in space 01ef". budget_s: longest time for it in a conversation, repeats included. silence_s: longest
    time without a byte from the server (None: the workspace's own). most_bytes: longest answer that is read (None: the
    workspace's own). accept: the answer's media type.
    """

    verb: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    what: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    form: Mapping[str, str] | None = field(default=None, repr=False)
    idempotent: bool = False
    budget_s: float = 30.0
    silence_s: float | None = None
    most_bytes: int | None = None
    accept: str = "application/json"

    @property
    def may_repeat(self) -> bool:
        """Whether a second time does no harm."""
        return self.idempotent or self.verb == "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer, read whole. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """For example application/json, without its parameters; empty when the answer names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()
