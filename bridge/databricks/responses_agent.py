"""Agents behind a serving endpoint that speak the Responses format, as a chat model: whole and streamed. Pure.

An agent may use tools while it answers, so a question to it is not repeated when its answer is lost; and a tool
that asks for an approval never gets one from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.databricks.answers import plain
from bridge.databricks.call import Call
from bridge.databricks.chat import (
    LONGEST_ANSWER_S,
    MOST_ANSWER_BYTES,
    ChatAnswer,
    ChatRequest,
    Finish,
    failure,
    in_band,
)
from bridge.databricks.completions import parsed, usage
from bridge.databricks.events import Event
from bridge.databricks.fields import Fields
from bridge.databricks.serving import invocations
from bridge.errors import AnswerUnusable, BridgeError, QuestionRefused

_COMPLETED = ("response.completed", "responses.completed", "response.incomplete", "response.failed")
# Parts of an answer that are no text of it.
_KNOWN_ITEMS = ("reasoning", "function_call_output", "mcp_approval_response")
_KNOWN_EVENTS = (
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.done",
    "response.output_text.annotation.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_text.done",
    "function_call_output",
)


class AgentChat:
    """An agent endpoint. conversation_id, user_id: passed on as the context; empty for none."""

    def __init__(
        self,
        endpoint: str,
        *,
        conversation_id: str = "",
        user_id: str = "",
        custom_inputs: Mapping[str, object] | None = None,
    ) -> None:
        self._path = invocations(endpoint)
        self.name = endpoint
        self._custom_inputs = custom_inputs
        context = {"conversation_id": conversation_id, "user_id": user_id}
        self._context = {name: value for name, value in context.items() if value}

    @property
    def _what(self) -> str:
        return f"agent endpoint {self.name}"

    def call(self, request: ChatRequest, *, stream: bool) -> Call:
        """The request as the agent wants it."""
        body: dict[str, object] = {
            "input": [{"role": message.role, "content": message.content} for message in request.messages],
            "max_output_tokens": request.max_tokens,
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.form is not None:
            form = {
                "type": "json_schema",
                "name": request.form.name,
                "strict": True,
                "schema": request.form.wire(),
            }
            body["text"] = {"format": form}
        if self._custom_inputs:
            body["custom_inputs"] = dict(self._custom_inputs)
        if self._context:
            body["context"] = dict(self._context)
        if stream:
            body["stream"] = True
        return Call(
            verb="POST",
            path=self._path,
            body=body,
            budget_s=LONGEST_ANSWER_S,
            silence_s=LONGEST_ANSWER_S,
            most_bytes=MOST_ANSWER_BYTES,
            accept="text/event-stream" if stream else "application/json",
            what=self._what,
        )

    def read(self, answer: Fields) -> ChatAnswer:
        """An answer that came in one piece."""
        if (error := _failed(answer)) is not None:
            raise error
        items = _Items(self._what)
        for item in answer.parts("output"):
            items.take(item)
        return items.answer(answer)

    def reader(self) -> AgentReader:
        """For an answer that comes in pieces."""
        return AgentReader(self._what)


def _failed(response: Fields) -> BridgeError | None:
    """The error of a response that says that it failed."""
    if (error := in_band(response)) is not None:
        return error
    if response.text("status", "") in ("failed", "cancelled"):
        return failure(response.place, response.text("status"), "")
    return None


class _Items:
    """The items of an answer, each once: what was streamed and what is repeated when the item is done."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._texts: dict[str, list[str]] = {}
        self._whole: set[str] = set()
        self._tools: dict[str, None] = {}
        self._approvals: dict[str, None] = {}
        self._declines = ""
        self.unread: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._texts) + len(self._tools) + len(self._approvals)

    def add(self, item_id: str, delta: str) -> str:
        """A piece of an item's text; gives it back."""
        self._texts.setdefault(item_id, []).append(delta)
        return delta

    def take(self, item: Fields) -> str:
        """A whole item; the text of it that had not come before. What it says at last is what counts."""
        of = item.text("type", "message" if item.has("content") else "")
        if of == "message":
            return self._message(item)
        if of == "function_call":
            self._tools[item.text("name", "")] = None
        elif of == "mcp_approval_request":
            self._approvals[item.text("name", "")] = None
        elif of not in _KNOWN_ITEMS:
            self.unread[plain(of) or "an item without a type"] = None
        return ""

    def _message(self, item: Fields) -> str:
        texts = []
        if isinstance(item.raw("content"), str):
            texts.append(item.text("content"))
        else:
            for part in item.parts("content"):
                of = part.text("type", "")
                if of == "output_text":
                    texts.append(part.text("text", ""))
                elif of == "refusal":
                    self._declines += part.text("refusal", "")
                else:
                    self.unread[plain(of) or "content without a type"] = None
        whole = "".join(texts)
        item_id = self._streamed_as(item.identity("id", ""), whole)
        before = "".join(self._texts.get(item_id, []))
        self._texts[item_id] = [whole]
        self._whole.add(item_id)
        return whole.removeprefix(before) if whole.startswith(before) else ""

    def _streamed_as(self, item_id: str, whole: str) -> str:
        """Under which id an item was streamed. Agents written by hand leave ids out; then its text has to do."""
        if item_id in self._texts:
            return item_id
        for streamed, pieces in self._texts.items():
            unnamed = not item_id or not streamed
            if unnamed and streamed not in self._whole and "".join(pieces) == whole:
                return streamed
        return item_id or f"without id {len(self._texts)}"

    def texts(self) -> tuple[str, ...]:
        return tuple(text for pieces in self._texts.values() if (text := "".join(pieces)))

    def answer(self, response: Fields | None, *, trace_id: str = "") -> ChatAnswer:
        if self._declines:
            raise QuestionRefused(f"{self._what}: the model declines: {plain(self._declines)}")
        texts = self.texts()
        if self._approvals and not texts:
            raise AnswerUnusable(
                f"{self._what}: waits for an approval of {plain(', '.join(self._approvals))}, which the bridge never "
                "gives; an agent that advises has to do without such tools"
            )
        finish = _finish(response, self.unread)
        if finish is Finish.OTHER and self._tools and not texts:
            finish = Finish.TOOL_CALLS
        return ChatAnswer(
            texts=texts,
            finish=finish,
            model="" if response is None else response.text("model", ""),
            answer_id="" if response is None else response.identity("id", ""),
            usage=None if response is None else usage(response.part("usage")),
            tools=tuple(self._tools),
            trace_id=trace_id or ("" if response is None else response.identity("trace_id", "")),
            unread=tuple(self.unread),
        )


def _finish(response: Fields | None, unread: dict[str, None]) -> Finish:
    if response is None:
        return Finish.OTHER
    details = response.part("incomplete_details")
    reason = "" if details is None else details.text("reason", "")
    if reason in ("max_output_tokens", "length", "max_tokens"):
        return Finish.LENGTH
    if reason == "content_filter":
        raise QuestionRefused(
            f"{response.place}: the server's content filter stopped the answer; ask in other words"
        )
    if reason:
        unread[f"incomplete: {plain(reason)[:40]}"] = None
        return Finish.OTHER
    status = response.text("status", "")
    if status == "incomplete":
        return Finish.LENGTH
    return Finish.STOP if status == "completed" else Finish.OTHER


@dataclass
class AgentReader:
    """Reads the events of a streamed answer.

    Text comes as deltas, and once more when its item is done, which is told apart by the item's id. Types that we do
    not know, and events without a type such as a trace id, are no part of the answer.
    """

    what: str

    def __post_init__(self) -> None:
        self.done = False
        self._items = _Items(self.what)
        self._response: Fields | None = None
        self._trace_id = ""

    def take(self, event: Event) -> str:
        """Take an event; the text that it adds."""
        if event.done:
            self.done = True
            return ""
        chunk = parsed(event, self.what)
        of = chunk.text("type", "")
        if of == "error":
            inner = chunk.raw("error")
            if not isinstance(inner, Mapping):
                raise failure(self.what, chunk.identity("code", ""), chunk.text("message", ""))
        if (error := in_band(chunk)) is not None:
            raise error
        self._trace_id = chunk.identity("trace_id", self._trace_id)
        if of == "response.output_text.delta":
            return self._items.add(chunk.identity("item_id", ""), chunk.text("delta", ""))
        if of == "response.output_item.done":
            return self._items.take(chunk.needed("item"))
        if of in _COMPLETED:
            return self._completed(chunk, of)
        if of and of not in _KNOWN_EVENTS:
            self._items.unread[plain(of)] = None
        return ""

    def _completed(self, chunk: Fields, of: str) -> str:
        response = chunk.needed("response")
        if (error := _failed(response)) is not None:
            raise error
        if of == "response.failed":
            raise failure(self.what, of, "")
        self._response = response
        if len(self._items):
            return ""
        return "".join(self._items.take(item) for item in response.parts("output"))

    def so_far(self) -> str:
        """The text that has come."""
        return "\n\n".join(self._items.texts())

    def answer(self) -> ChatAnswer:
        """The whole answer."""
        return self._items.answer(self._response, trace_id=self._trace_id)
