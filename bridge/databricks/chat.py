"""The chat port: one request and one answer for every kind of model server, and the two ways to have it answered.

An adapter says how a request is written and how its answers are read (`serving`, `responses_agent`, `azure`); what
a model says is data: it is validated, stored and shown, never obeyed.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from bridge.databricks.answer_form import AnswerForm
from bridge.databricks.answers import plain
from bridge.databricks.call import Call
from bridge.databricks.events import Event, Events
from bridge.databricks.fields import Fields
from bridge.databricks.steps import Steps
from bridge.errors import (
    AnswerCut,
    AnswerLost,
    AnswerUnusable,
    BridgeError,
    ModelFailed,
    QuestionRefused,
    RateLimited,
    ServiceMisconfigured,
    WorkspaceDown,
    WorkspaceRefused,
)

# A foundation endpoint takes 4 MB; it may think for 297 s without a byte.
MOST_REQUEST_BYTES = 4 * 10**6
MOST_ANSWER_BYTES = 8 * 2**20
LONGEST_ANSWER_S = 300.0


class Finish(StrEnum):
    """Why a model stopped."""

    STOP = "stop"
    LENGTH = "length"  # it reached max_tokens: the text ends in the middle
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"
    OTHER = ""  # not said, or a reason that is newer than we are


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One thing said."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What to ask a model.

    max_tokens: longest answer, 1 or more. Servers reserve it up front, so that a large one is refused as too many
    requests (RateLimited) where a small one passes. temperature: 0 to 2, None leaves it to the model, which some
    insist on. request_id: comes back in the endpoint's usage table; empty for none.
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    form: AnswerForm | None = None
    request_id: str = ""

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("a chat request without a message")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be 1 or more, not {self.max_tokens}")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature must be 0 to 2, not {self.temperature}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens; None where the server does not say."""

    prompt: int | None
    completion: int | None
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """What a model answered.

    texts: its messages in order, one for a plain model; an agent may say something before each of its steps, and
    then the last is its answer. finish: why it stopped; `cut` when that was max_tokens. model: who answered, in the
    server's word. tools: what an agent used. unread: kinds of parts that came and that we do not know.
    """

    texts: tuple[str, ...]
    finish: Finish
    model: str = ""
    answer_id: str = ""
    usage: Usage | None = None
    tools: tuple[str, ...] = ()
    trace_id: str = ""
    unread: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it."""
        return "\n\n".join(self.texts)

    @property
    def last(self) -> str:
        """The last message; empty when there was none."""
        return self.texts[-1] if self.texts else ""

    @property
    def cut(self) -> bool:
        """Whether the text ends in the middle because max_tokens was reached."""
        return self.finish is Finish.LENGTH


class StreamReader(Protocol):
    """Reads one streamed answer."""

    def take(self, event: Event) -> str:
        """Take an event; the text that it adds. Raises what a server reports in-band."""
        ...

    @property
    def done(self) -> bool:
        """Whether the server has said that this was all."""
        ...

    def so_far(self) -> str:
        """The text that has come."""
        ...

    def answer(self) -> ChatAnswer:
        """The whole answer; only when `done`."""
        ...


class ChatModel(Protocol):
    """A model that can be asked: how its server wants to be asked, and how it answers."""

    @property
    def name(self) -> str:
        """The endpoint or deployment, for provenance and messages."""
        ...

    def call(self, request: ChatRequest, *, stream: bool) -> Call:
        """The request as its server wants it."""
        ...

    def read(self, answer: Fields) -> ChatAnswer:
        """An answer that came in one piece; raises what a server reports in-band."""
        ...

    def reader(self) -> StreamReader:
        """For an answer that comes in pieces."""
        ...


class Streams(Protocol):
    """What can send a call and give its lines as they come: a `Workspace`."""

    def lines(self, call: Call, *, budget_s: float) -> Iterator[str]:
        """Lines of text without their ends."""
        ...


def complete(model: ChatModel, request: ChatRequest) -> Steps[ChatAnswer]:
    """Ask once and have the whole answer.

    Raises RateLimited, WorkspaceDown, ModelFailed: later. AnswerLost: an agent may have worked all the same.
    QuestionRefused: this prompt never passes. ServiceMisconfigured, WorkspaceRefused, AccessDenied: somebody has to
    mend the endpoint or its grants. AnswerMalformed, AnswerTooLarge, DeadlineExceeded.
    """
    call = _checked(model.call(request, stream=False))
    try:
        answer = yield call
    except WorkspaceRefused as problem:
        raise refusal(model, request, problem) from problem
    except RateLimited as problem:
        raise _reserved(request, problem) from problem
    return model.read(Fields(answer, call.what))


def streamed(
    model: ChatModel, request: ChatRequest, server: Streams, *, budget_s: float = LONGEST_ANSWER_S
) -> Generator[str, None, ChatAnswer]:
    """Ask once and give the text as it comes, in the thread that calls; StopIteration carries the whole answer.

    Errors as with `complete`; AnswerCut when the stream ends before its end, with the text that had come.
    """
    call = _checked(model.call(request, stream=True))
    reader, events = model.reader(), Events(call.what)
    lines = server.lines(call, budget_s=budget_s)
    begun = False
    try:
        for line in lines:
            begun = True
            event = events.line(line)
            if event is not None and (text := reader.take(event)):
                yield text
            if reader.done:
                break
    except WorkspaceRefused as problem:
        raise refusal(model, request, problem) from problem
    except RateLimited as problem:
        raise problem if begun else _reserved(request, problem) from problem
    except (WorkspaceDown, AnswerLost) as problem:
        if not begun:
            raise
        raise _cut(call, reader, str(problem)) from problem
    finally:
        if isinstance(lines, Generator):
            lines.close()  # what comes after the end, or after a caller has gone, is not waited for
    if not reader.done:
        raise _cut(call, reader, "the stream ended without its mark [DONE]")
    return reader.answer()


def formed(answer: ChatAnswer, form: AnswerForm, what: str = "the model's answer") -> dict[str, object]:
    """The object that an answer is. AnswerUnusable says why it is none, first of all when it was cut short."""
    if answer.cut:
        raise AnswerUnusable(
            f"{what}: cut short by max_tokens after {len(answer.last)} characters; allow more of them"
        )
    if not answer.last:
        used = f"; it wants to use {', '.join(answer.tools)}" if answer.tools else ""
        raise AnswerUnusable(f"{what}: there are no words in it{used}")
    return form.read(answer.last, what)


def _cut(call: Call, reader: StreamReader, why: str) -> AnswerCut:
    so_far = reader.so_far()
    return AnswerCut(
        f"{call.what}: cut short after {len(so_far)} characters: {why}. Ask again", so_far=so_far
    )


def _checked(call: Call) -> Call:
    size = len(json.dumps(call.body, ensure_ascii=False).encode("utf-8", errors="replace"))
    if size > MOST_REQUEST_BYTES:
        raise QuestionRefused(
            f"{call.what}: a request of {size} bytes; endpoints take {MOST_REQUEST_BYTES}. Ask with less context"
        )
    return call


_FILTERED = ("content_filter", "content_policy", "responsibleaipolicy", "content management policy")
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "too many tokens")
_TOO_MANY = ("rate_limit", "rate limit", "request_limit_exceeded", "resource_exhausted", "too many requests")


def _question_fault(said: str) -> str:
    """In words, why the prompt itself is at fault; empty when it is not."""
    lower = said.lower()
    if any(sign in lower for sign in _FILTERED):
        return "the server's content filter stopped it; ask in other words"
    if any(sign in lower for sign in _TOO_LONG):
        return "the prompt is too long for this model; ask with less context"
    return ""


def refusal(model: ChatModel, request: ChatRequest, refused: WorkspaceRefused) -> BridgeError:
    """What a refusal by HTTP status means for a chat: a fault of the prompt, of the endpoint, or neither of both."""
    said = f"{refused.error_code} {refused.words} {refused}"
    if fault := _question_fault(said):
        return QuestionRefused(f"{refused}: {fault}")
    if refused.status == 413:
        return QuestionRefused(f"{refused}: the request is too large; ask with less context")
    if refused.status == 404:
        return ServiceMisconfigured(
            f"{refused}: there is no {model.name} to ask, or it is not ready yet; the names are in the workspace "
            "under Serving"
        )
    lower = said.lower()
    if refused.status == 400 and "max_completion_tokens" in lower:
        return ServiceMisconfigured(f'{refused}: this model wants token_limit = "max_completion_tokens"')
    if (
        refused.status == 400
        and request.form is not None
        and ("response_format" in lower or "schema" in lower)
    ):
        return ServiceMisconfigured(
            f"{refused}: this model does not take the form {request.form.name!r} of an answer"
        )
    return refused


def _reserved(request: ChatRequest, limited: RateLimited) -> RateLimited:
    return RateLimited(
        f"{limited} (max_tokens {request.max_tokens} counts in full before the answer is there: less may pass)",
        retry_after_s=limited.retry_after_s,
    )


def in_band(fields: Fields) -> BridgeError | None:
    """The error that an answer with HTTP 200 reports within itself, in any of its forms; None when it does not."""
    if not fields.has("error") and not fields.has("error_code"):
        return None
    inner = fields.raw("error")
    if isinstance(inner, Mapping):
        return failure(fields.place, _say(inner.get("code") or inner.get("type")), _say(inner.get("message")))
    return failure(fields.place, _say(fields.raw("error_code")), _say(inner or fields.raw("message")))


def failure(what: str, code: str, words: str) -> BridgeError:
    """The error class for a code and words of a model server."""
    said = plain(": ".join(part for part in (code, words) if part)) or "it does not say why"
    if fault := _question_fault(said):
        return QuestionRefused(f"{what}: {said}: {fault}")
    if code == "429" or any(sign in said.lower() for sign in _TOO_MANY):
        return RateLimited(f"{what}: too many requests: {said}")
    return ModelFailed(f"{what}: the model failed: {said}. Ask again later")


def _say(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
