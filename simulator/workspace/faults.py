"""Everything that can go wrong in the workspace on request: one table, and the words to ask for it.

A fault is asked for as ``NAME [VERB:/path/pattern*] [xCOUNT | always] [SECONDSs] [=VALUE]``, for example
``rate_limited 2s``, ``lost_response POST:/api/2.0/genie/* x3`` or ``genie_failed =WAREHOUSE_ACCESS_MISSING_EXCEPTION``.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from dataclasses import dataclass
from typing import Final, Literal

Group = Literal["http", "identity", "sql", "genie", "jobs", "serving", "lakebase"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that can go wrong.

    ``count``: how often by itself; None: until it is cleared. ``at_once``: it happens when it is asked for, and is
    over. ``seconds`` and ``value`` are the defaults of those that take one, None: it takes none.
    """

    name: str
    meaning: str
    group: Group
    count: int | None = 1
    at_once: bool = False
    seconds: float | None = None
    value: str | None = None


def _http(name: str, meaning: str, *, seconds: float | None = None) -> Fault:
    return Fault(name=name, meaning=meaning, group="http", seconds=seconds)


CATALOGUE: Final[dict[str, Fault]] = {
    fault.name: fault
    for fault in (
        _http("rate_limited", "429 with Retry-After in seconds; with 0s: without that header", seconds=1.0),
        _http("unavailable", "503 TEMPORARILY_UNAVAILABLE; with seconds: with Retry-After", seconds=0.0),
        _http("server_error", "500 INTERNAL_ERROR, nothing was done"),
        _http("lost_response", "the request is carried out, then the connection closes without a byte"),
        _http("dropped_request", "the connection closes without a byte, and nothing was done"),
        _http("slow", "the answer comes so many seconds later", seconds=2.0),
        _http("huge", "the answer carries a field of 10 MB besides"),
        _http("html", "HTTP 200 with a page of HTML, nothing was done"),
        _http("login_redirect", "302 to /login.html, which answers 200 with a page; nothing was done"),
        _http("not_json", "the request is carried out and answered 200 with half a JSON document"),
        _http("cut_answer", "the request is carried out; the answer ends before its Content-Length"),
        _http("numbers_as_strings", "every number of the answer is a string"),
        _http("plain_error", "400 as plain text, 'CODE: text', nothing was done"),
        _http("forbidden", "403 PERMISSION_DENIED, nothing was done"),
        Fault(
            name="expired_token",
            meaning="every OAuth token and database credential of now has expired",
            group="identity",
            at_once=True,
        ),
        Fault(
            name="token_refused",
            meaning="the token service answers 401 with errorCode and errorSummary",
            group="identity",
        ),
        Fault(
            name="clock_skew",
            meaning="the workspace's clock is wrong by so many seconds, forward or (-) back",
            group="identity",
            count=None,
            value="600",
        ),
        Fault(
            name="warehouse_starting",
            meaning="the warehouse is STARTING for so long; statements wait, Genie says PENDING_WAREHOUSE",
            group="sql",
            at_once=True,
            seconds=2.0,
        ),
        Fault(
            name="warehouse_stopped",
            meaning="the warehouse is STOPPED and may not be started; statements FAIL",
            group="sql",
            count=None,
        ),
        Fault(
            name="statement_for_ever",
            meaning="a statement stays RUNNING until it is cancelled: one by REST or Genie, and one by Thrift",
            group="sql",
        ),
        Fault(
            name="statement_failed",
            meaning="a statement FAILS, at HTTP 200, with this SQLSTATE",
            group="sql",
            value="42P01",
        ),
        Fault(
            name="thrift",
            meaning="a fault of the warehouse's own door, by its name there, e.g. =expired_session or =lost_response",
            group="sql",
            at_once=True,
            seconds=1.0,
            value="expired_session",
        ),
        Fault(
            name="genie_failed",
            meaning="the next question ends FAILED with this error type",
            group="genie",
            value="SQL_EXECUTION_EXCEPTION",
        ),
        Fault(name="genie_cancelled", meaning="the next question ends CANCELLED", group="genie"),
        Fault(
            name="genie_expired",
            meaning="the next question ends QUERY_RESULT_EXPIRED; execute-query runs it again",
            group="genie",
        ),
        Fault(name="genie_stuck", meaning="the next question stays ASKING_AI for ever", group="genie"),
        Fault(
            name="genie_unknown_status",
            meaning="the next question passes through a status that nobody has heard of",
            group="genie",
        ),
        Fault(
            name="genie_empty", meaning="the next question ends COMPLETED without attachments", group="genie"
        ),
        Fault(
            name="genie_forbidden",
            meaning="the next question ends FAILED with words on permissions, and suggested questions",
            group="genie",
        ),
        Fault(
            name="genie_self_correction",
            meaning="the next question's first SQL fails and is corrected: two query attachments, text between",
            group="genie",
        ),
        Fault(
            name="genie_injection",
            meaning="the next answer's text carries markup, SQL, and orders to whoever reads it",
            group="genie",
        ),
        Fault(
            name="run_failed",
            meaning="the next task that ends does so with this termination code",
            group="jobs",
            value="RUN_EXECUTION_ERROR",
        ),
        Fault(
            name="stream_cut",
            meaning="a stream breaks off in its middle, the connection is reset",
            group="serving",
        ),
        Fault(
            name="stream_short",
            meaning="a stream ends in its middle, properly and without [DONE]",
            group="serving",
        ),
        Fault(
            name="stream_error",
            meaning="an error within a stream, or within an agent's answer, at HTTP 200",
            group="serving",
        ),
        Fault(
            name="model_prose",
            meaning="the model answers in prose around what should be JSON alone",
            group="serving",
        ),
        Fault(
            name="model_not_ready",
            meaning="endpoints are NOT_READY and invocations answer 503",
            group="serving",
            count=None,
        ),
        Fault(
            name="lakebase_idle_close",
            meaning="connections outside a transaction are closed without a word",
            group="lakebase",
            at_once=True,
        ),
        Fault(
            name="lakebase_suspend",
            meaning="scaled to zero: everybody is dropped with 57P01; the next connect takes so long",
            group="lakebase",
            at_once=True,
            seconds=0.3,
        ),
        Fault(
            name="lakebase_failover",
            meaning="all connections are reset, new ones get 57P03 for so long; the host stays",
            group="lakebase",
            at_once=True,
            seconds=1.0,
        ),
        Fault(
            name="lakebase_full",
            meaning="every new connection gets 53300",
            group="lakebase",
            count=None,
        ),
        Fault(
            name="credential_refused",
            meaning="minted credentials are not accepted: 28P01",
            group="lakebase",
            count=None,
        ),
    )
}


class FaultError(ValueError):
    """A fault that cannot be injected. The message says what exists instead."""


@dataclass(kw_only=True)
class Active:
    """A fault that is on. ``left`` None: until cleared. ``verb`` and ``pattern`` say which requests it meets."""

    fault: Fault
    verb: str = "*"
    pattern: str = "*"
    left: int | None = 1
    seconds: float = 0.0
    value: str = ""

    def meets(self, verb: str, path: str) -> bool:
        """Whether a request is one of its own."""
        return self.verb in ("*", verb) and fnmatch.fnmatchcase(path, self.pattern)


_ROUTE: Final = re.compile(r"(?:([A-Z]+|\*):)?(/\S*)")
_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?)s")


def parse_fault(text: str) -> Active:
    """Read a fault's words. Raises ``FaultError`` for an unknown name and for words that mean nothing."""
    words = text.split()
    if not words:
        raise FaultError(f"a fault name was expected, found nothing; choose one of {names()}")
    fault = CATALOGUE.get(words[0])
    if fault is None:
        near = difflib.get_close_matches(words[0], CATALOGUE)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise FaultError(f"no fault is called {words[0]!r}{hint}; choose one of {names()}")
    active = Active(fault=fault, left=fault.count, seconds=fault.seconds or 0.0, value=fault.value or "")
    for word in words[1:]:
        _read_word(active, word, text)
    return active


def _read_word(active: Active, word: str, text: str) -> None:
    fault = active.fault
    if (match := _ROUTE.fullmatch(word)) is not None:
        if fault.group != "http":
            raise FaultError(f"{fault.name} takes no route, found {word!r}; only those of HTTP do")
        active.verb, active.pattern = match[1] or "*", match[2]
    elif (match := re.fullmatch(r"x(\d+)", word)) is not None and int(match[1]) > 0:
        _countable(fault, word)
        active.left = int(match[1])
    elif word == "always":
        _countable(fault, word)
        active.left = None
    elif (match := _SECONDS.fullmatch(word)) is not None:
        if fault.seconds is None:
            raise FaultError(f"{fault.name} takes no seconds, found {word!r}")
        active.seconds = float(match[1])
    elif word.startswith("=") and len(word) > 1:
        if fault.value is None:
            raise FaultError(f"{fault.name} takes no value, found {word!r}")
        active.value = word[1:]
    else:
        raise FaultError(
            f"{word!r} in {text!r} means nothing; write 'NAME [VERB:/path/pattern*] [xCOUNT | always] "
            "[SECONDSs] [=VALUE]'"
        )


def _countable(fault: Fault, word: str) -> None:
    if fault.at_once or fault.count is None:
        lasts = "happens at once" if fault.at_once else "lasts until it is cleared"
        raise FaultError(f"{fault.name} takes no count, found {word!r}; it {lasts}")


def names() -> str:
    """All names, for a message."""
    return ", ".join(CATALOGUE)


class Faults:
    """Those of now, oldest first."""

    def __init__(self) -> None:
        self.active: list[Active] = []

    def begin(self, active: Active) -> None:
        """Switch it on; the same fault for the same requests takes the place of the older one."""
        self.active = [
            each
            for each in self.active
            if (each.fault, each.verb, each.pattern) != (active.fault, active.verb, active.pattern)
        ]
        self.active.append(active)

    def clear(self, name: str = "") -> int:
        """End one, or all; how many were on. Raises ``FaultError``."""
        if name and name not in CATALOGUE:
            parse_fault(name)
        before = len(self.active)
        self.active = [each for each in self.active if name and each.fault.name != name]
        return before - len(self.active)

    def on(self, name: str) -> Active | None:
        """Whether it is on; asking changes nothing."""
        return next((each for each in self.active if each.fault.name == name), None)

    def take(self, name: str) -> Active | None:
        """The same, and it has happened once more."""
        found = self.on(name)
        if found is not None:
            self._used(found)
        return found

    def take_http(self, verb: str, path: str) -> Active | None:
        """The first fault of HTTP that meets this request; it has happened once more."""
        for each in self.active:
            if each.fault.group == "http" and each.meets(verb, path):
                self._used(each)
                return each
        return None

    def _used(self, active: Active) -> None:
        if active.left is not None:
            active.left -= 1
            if active.left <= 0:
                self.active.remove(active)
