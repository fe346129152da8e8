"""Model servers' answers as they write them, for tests to bend; and a server that sends a stream in given pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from bridge.databricks.call import Call
from bridge.databricks.chat import ChatMessage, ChatRequest
from bridge.databricks.events import Lines
from bridge.errors import BridgeError

Json = dict[str, object]
DONE = "data: [DONE]\n\n"


def request(text: str = "why is it hot?", **more: object) -> ChatRequest:
    given: dict[str, object] = {"max_tokens": 100, **more}
    return ChatRequest(messages=(ChatMessage(role="user", content=text),), **given)  # type: ignore[arg-type]


def completion(content: object = "It is.", finish: str | None = "stop", **message: object) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "llama-x",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": finish,
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }


def chunk(content: object = None, finish: str | None = None, **delta: object) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "llama-x",
        "choices": [{"index": 0, "delta": {"content": content, **delta}, "finish_reason": finish}],
    }


def sse(*events: Mapping[str, object], done: bool = True) -> str:
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return text + DONE if done else text


def delta(text: str, item_id: str | None = "i1") -> Json:
    return {"type": "response.output_text.delta", "item_id": item_id, "delta": text}


def item(text: str, item_id: str | None = "i1") -> Json:
    return {
        "type": "message",
        "role": "assistant",
        "id": item_id,
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def done_item(text: str, item_id: str | None = "i1") -> Json:
    return {"type": "response.output_item.done", "output_index": 0, "item": item(text, item_id)}


def completed(kind: str = "response.completed", **more: object) -> Json:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    return {"type": kind, "response": {"id": "r1", "status": "completed", "usage": usage, **more}}


class Sender:
    """Gives one stream, in the pieces given; breaks off with an error where one is given."""

    def __init__(
        self, *pieces: str | bytes, error: BridgeError | None = None, refusal: BridgeError | None = None
    ) -> None:
        self._pieces: Sequence[str | bytes] = pieces
        self._error = error
        self._refusal = refusal
        self.calls: list[Call] = []
        self.sent = 0
        self.closed = False

    def lines(self, call: Call, *, budget_s: float) -> Iterator[str]:
        self.calls.append(call)
        if self._refusal is not None:
            raise self._refusal
        cutter = Lines(call.what)
        try:
            for piece in self._pieces:
                self.sent += 1
                yield from cutter.feed(piece.encode() if isinstance(piece, str) else piece)
            if self._error is not None:
                raise self._error
            yield from cutter.end()
        finally:
            self.closed = True
