"""The chat completions format that Databricks endpoints and Azure OpenAI share, whole and streamed. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.databricks.answers import plain
from bridge.databricks.chat import ChatAnswer, ChatRequest, Finish, Usage, in_band
from bridge.databricks.events import Event
from bridge.databricks.fields import Fields, fit, kind
from bridge.errors import AnswerMalformed, QuestionRefused

_FINISHES = {
    **{finish.value: finish for finish in Finish if finish.value},
    "max_tokens": Finish.LENGTH,
    "function_call": Finish.TOOL_CALLS,
}


def body(request: ChatRequest, *, token_limit: str = "max_tokens") -> dict[str, object]:
    """The request as JSON. token_limit: the field for the longest answer, which servers name differently."""
    found: dict[str, object] = {
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        token_limit: request.max_tokens,
    }
    if request.temperature is not None:
        found["temperature"] = request.temperature
    if request.stop:
        found["stop"] = list(request.stop)
    if request.form is not None:
        found["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": request.form.name, "strict": True, "schema": request.form.wire()},
        }
    return found


def read(answer: Fields) -> ChatAnswer:
    """An answer in one piece. Raises what is reported in-band, and QuestionRefused when it was filtered or declined."""
    if (error := in_band(answer)) is not None:
        raise error
    choices = answer.parts("choices")
    if not choices:
        raise AnswerMalformed(f"{answer.place}: wanted an answer in choices, found none")
    choice = choices[0]
    message = choice.needed("message")
    unread: dict[str, None] = {}
    text = content(message, unread)
    _declined(answer.place, message.text("refusal", ""))
    finish = _finish(answer.place, choice.text("finish_reason", ""), unread)
    return ChatAnswer(
        texts=(text,) if text else (),
        finish=finish,
        model=answer.text("model", ""),
        answer_id=answer.identity("id", ""),
        usage=usage(answer.part("usage")),
        tools=tuple(call.needed("function").text("name", "") for call in message.parts("tool_calls")),
        unread=tuple(unread),
    )


def content(message: Fields, unread: dict[str, None]) -> str:
    """The text of a message or delta: a text, or blocks as reasoning models send them, whose reasoning is left out."""
    value = message.raw("content")
    if value is None or isinstance(value, str):
        return fit(value or "")
    texts = []
    for block in message.parts("content"):
        of = block.text("type", "")
        if of in ("text", "output_text"):
            texts.append(block.text("text"))
        elif of != "reasoning":
            unread[plain(of) or "content without a type"] = None
    return "".join(texts)


def usage(fields: Fields | None) -> Usage | None:
    """Tokens, in the names of either format; None when nothing is said."""
    if fields is None:
        return None

    def of(*names: str) -> int | None:
        return next((count for name in names if (count := fields.count(name)) is not None), None)

    return Usage(
        prompt=of("prompt_tokens", "input_tokens"),
        completion=of("completion_tokens", "output_tokens"),
        total=of("total_tokens"),
    )


def parsed(event: Event, what: str) -> Fields:
    """The JSON object of an event; AnswerMalformed for anything else."""
    try:
        found = json.loads(event.data)
    except (ValueError, RecursionError) as problem:
        raise AnswerMalformed(f"{what}: an event that is no JSON: {plain(event.data)[:80]!r}") from problem
    if not isinstance(found, Mapping):
        raise AnswerMalformed(f"{what}: an event: wanted an object, found {kind(found)}")
    return Fields(found, f"{what}: an event")


def _finish(what: str, said: str, unread: dict[str, None]) -> Finish:
    finish = _FINISHES.get(said, Finish.OTHER)
    if finish is Finish.CONTENT_FILTER:
        raise QuestionRefused(f"{what}: the server's content filter stopped the answer; ask in other words")
    if finish is Finish.OTHER and said:
        unread[f"finish_reason {plain(said)[:40]}"] = None
    return finish


def _declined(what: str, words: str) -> None:
    if words:
        raise QuestionRefused(f"{what}: the model declines: {plain(words)}")


@dataclass
class CompletionsReader:
    """Reads chunks of a streamed chat completion, in the order in which they come.

    A chunk without choices is none (the first and the last of some servers); what has no type and no choices, such
    as a trace id, is no part of the answer.
    """

    what: str

    def __post_init__(self) -> None:
        self.done = False
        self._texts: list[str] = []
        self._declines = ""
        self._said = self._model = self._answer_id = self._trace_id = ""
        self._usage: Usage | None = None
        self._unread: dict[str, None] = {}
        self._tools: dict[str, None] = {}
        self._chosen = False

    def take(self, event: Event) -> str:
        """Take an event; the text that it adds."""
        if event.done:
            self.done = True
            return ""
        chunk = parsed(event, self.what)
        if (error := in_band(chunk)) is not None:
            raise error
        self._model = self._model or chunk.text("model", "")
        self._answer_id = self._answer_id or chunk.identity("id", "")
        self._trace_id = chunk.identity("trace_id", self._trace_id)
        self._usage = usage(chunk.part("usage")) or self._usage
        new = ""
        for choice in chunk.parts("choices"):
            if choice.count("index"):
                raise AnswerMalformed(f"{choice.place}: a second answer, and one was asked for")
            self._chosen = True
            self._said = choice.text("finish_reason", "") or self._said
            delta = choice.part("delta")
            if delta is not None:
                new += content(delta, self._unread)
                self._declines += delta.text("refusal", "")
                for call in delta.parts("tool_calls"):
                    function = call.part("function")
                    if function is not None and (name := function.text("name", "")):
                        self._tools[name] = None
        self._texts.append(new)
        return new

    def so_far(self) -> str:
        """The text that has come."""
        return "".join(self._texts)

    def answer(self) -> ChatAnswer:
        """The whole answer. QuestionRefused when it was filtered or declined, AnswerMalformed when there was none."""
        if not self._chosen:
            raise AnswerMalformed(f"{self.what}: a stream without an answer in it")
        _declined(self.what, self._declines)
        finish = _finish(self.what, self._said, self._unread)
        text = self.so_far()
        return ChatAnswer(
            texts=(text,) if text else (),
            finish=finish,
            model=self._model,
            answer_id=self._answer_id,
            usage=self._usage,
            tools=tuple(self._tools),
            trace_id=self._trace_id,
            unread=tuple(self._unread),
        )
