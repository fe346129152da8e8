"""What an HTTP answer means: its JSON object, or the error it stands for, in every form a workspace uses. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from html import unescape
from urllib.parse import urlsplit

from bridge.databricks.call import Answer, Call, Reply
from bridge.errors import (
    AccessDenied,
    AnswerLost,
    BridgeError,
    NotAWorkspace,
    RateLimited,
    WorkspaceDown,
    WorkspaceRefused,
)

_LONGEST_WORDS = 400
_PASSING = (502, 503, 504)
_CODE_AND_TEXT = re.compile(r"^([A-Z][A-Z0-9_]{2,}):\s*(.*)$", re.DOTALL)
_TITLE = re.compile(r"<(?:title|pre|h1)[^>]*>(.*?)</(?:title|pre|h1)>", re.IGNORECASE | re.DOTALL)
_WRONG_HOST = "is `host` the workspace's own address (https://… as the browser shows it, nothing behind it)?"


class Again(Enum):
    """Whether the same request may be sent once more."""

    NO = 0
    ONCE = 1  # a stray page of some gateway on the way; if it comes twice it is the rule
    YES = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is none: the error for the caller, and whether to try again before raising it."""

    error: BridgeError
    again: Again = Again.NO


@dataclass(frozen=True, slots=True)
class Words:
    """What a refusal says of itself: its code (empty: none) and its text."""

    code: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.text) if part) or "it does not say why"


def judge(call: Call, reply: Reply, now_utc: datetime) -> Answer | Failure:
    """The JSON object of a success (empty for an empty body), or what the answer means instead."""
    if 300 <= reply.status < 400:
        return Failure(_redirected(call, reply))
    if 200 <= reply.status < 300:
        return _object_of(call, reply)
    words = words_of(reply)
    said = f"{words} (HTTP {reply.status}{_request_id(reply)})"
    retry_after_s = retry_after(reply, now_utc)
    if reply.status == 429:
        return Failure(
            RateLimited(f"{call.what}: too many requests: {said}", retry_after_s=retry_after_s or 1.0),
            Again.YES,
        )
    if reply.status >= 500 and reply.status != 501:
        if not call.may_repeat:
            return Failure(
                AnswerLost(f"{call.what}: the workspace failed: {said}; it may have happened all the same")
            )
        error = WorkspaceDown(
            f"{call.what}: the workspace fails for now: {said}", retry_after_s=retry_after_s
        )
        return Failure(error, Again.YES if reply.status in _PASSING else Again.NO)
    if reply.status == 408 and call.may_repeat:
        return Failure(WorkspaceDown(f"{call.what}: {said}", retry_after_s=retry_after_s), Again.YES)
    if login_refused(reply, words):
        return Failure(AccessDenied(f"{call.what}: the workspace does not accept this login: {said}"))
    if _is_page(reply):
        return Failure(_page(call, reply))
    hint = "; this identity lacks a permission" if reply.status == 403 else ""
    return Failure(
        WorkspaceRefused(
            f"{call.what}: refused: {said}{hint}",
            status=reply.status,
            error_code=words.code,
            words=words.text,
        )
    )


def login_refused(reply: Reply, words: Words | None = None) -> bool:
    """Whether the token itself is not accepted, which a fresh one may mend; 403 serves for that as well."""
    if reply.status == 401:
        return True
    return reply.status == 403 and "invalid access token" in str(words or words_of(reply)).lower()


def words_of(reply: Reply) -> Words:
    """Code and text of a refusal, whichever of the known forms it has; never empty-handed, at most 400 characters."""
    text = reply.body.decode("utf-8", errors="replace").strip()
    parsed: object = None
    try:
        parsed = json.loads(text) if text[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, Mapping):
        return _from_object(parsed)
    if _is_page(reply):
        return Words("", f"a web page: {_title(reply)}")
    if coded := _CODE_AND_TEXT.match(text):
        return Words(coded[1], plain(coded[2]))
    return Words("", plain(text))


def _from_object(said: Mapping[str, object]) -> Words:
    """JSON errors: the workspace's own, OAuth's two, OpenAI's, SCIM's."""
    inner = said.get("error")
    if isinstance(inner, Mapping):  # {"error": {"code", "message"}}, as model servers say it
        return Words(_text(inner.get("code") or inner.get("type")), plain(_text(inner.get("message"))))
    for code, text in (
        ("error_code", "message"),
        ("error", "error_description"),
        ("errorCode", "errorSummary"),
        ("scimType", "detail"),
        ("code", "message"),
    ):
        if said.get(code) or said.get(text):
            if code == "error" and not said.get(text):
                return Words("", plain(_text(said.get(code))))  # {"error": "words"}
            return Words(plain(_text(said.get(code))), plain(_text(said.get(text))))
    return Words("", plain(json.dumps(said, ensure_ascii=False)) if said else "")


def _text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain(text: str) -> str:
    """Foreign text for one line of a message: no control characters, at most 400 characters."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= _LONGEST_WORDS else f"{line[:_LONGEST_WORDS]}…"


def retry_after(reply: Reply, now_utc: datetime) -> float | None:
    """Seconds that the answer asks us to wait; None where it does not, or not readably.

    A date is measured against the answer's own Date, so that a clock that goes wrong here does no harm.
    """
    asked = reply.headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return min(float(asked[:9]), 86_400.0)
    until = _http_date(asked)
    if until is None:
        return None
    sent = _http_date(reply.headers.get("date", "")) or now_utc
    return min(max(0.0, (until - sent).total_seconds()), 86_400.0)


def _http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _object_of(call: Call, reply: Reply) -> Answer | Failure:
    if not reply.body.strip():
        return {}
    if _is_page(reply):
        return Failure(_page(call, reply), Again.ONCE if call.may_repeat else Again.NO)
    try:
        parsed = json.loads(reply.body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        if reply.media_type not in ("", "application/json") and not reply.media_type.endswith("+json"):
            return Failure(
                NotAWorkspace(
                    f"{call.what}: answered with {plain(reply.media_type)} instead of JSON; {_WRONG_HOST}"
                )
            )
        where = f"answered with JSON that cannot be read ({len(reply.body)} bytes: cut short, or damaged)"
        if call.may_repeat:
            return Failure(WorkspaceDown(f"{call.what}: {where}"), Again.YES)
        return Failure(AnswerLost(f"{call.what}: {where}; it may have happened all the same"))
    if not isinstance(parsed, dict):
        return Failure(
            NotAWorkspace(f"{call.what}: wanted a JSON object, found {type(parsed).__name__}; {_WRONG_HOST}")
        )
    return parsed


def _no_number(word: str) -> object:
    raise ValueError(f"{word} is no JSON number")


def _redirected(call: Call, reply: Reply) -> NotAWorkspace:
    try:
        place = urlsplit(reply.headers.get("location", ""))
        where = plain(f"{place.hostname or 'the same host'}{place.path}")
    except ValueError:
        where = "an address that cannot be read"
    return NotAWorkspace(
        f"{call.what}: sent on to {where} (HTTP {reply.status}) instead of answered; {_WRONG_HOST} "
        "A workspace with private link sends on whoever comes from the wrong network"
    )


def _page(call: Call, reply: Reply) -> NotAWorkspace:
    return NotAWorkspace(
        f"{call.what}: answered with a web page instead of JSON ({_title(reply)!r}, HTTP {reply.status}); {_WRONG_HOST}"
    )


def _is_page(reply: Reply) -> bool:
    start = reply.body[:200].lstrip().lower()
    return reply.media_type == "text/html" or start.startswith((b"<!doctype", b"<html"))


def _title(reply: Reply) -> str:
    text = reply.body[:20_000].decode("utf-8", errors="replace")
    found = _TITLE.search(text)
    return plain(unescape(re.sub(r"<[^>]*>", " ", found[1])))[:120] if found else "without a title"


def _request_id(reply: Reply) -> str:
    named = reply.headers.get("x-request-id") or reply.headers.get("x-databricks-request-id")
    return f", request {plain(named)[:80]}" if named else ""
