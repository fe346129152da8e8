"""Model serving: chat completions and Responses agents, as one document or as server-sent events."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from simulator.workspace.answers import Answer, Asked, Document, Refusal, StreamCut, bad, missing
from simulator.workspace.clock import Clock
from simulator.workspace.faults import Faults
from simulator.workspace.routes import Fields, Route, read_object, route
from simulator.workspace.scripts import Endpoint, Script, ServingAnswer

_LIMIT: Final = 4 * 1024 * 1024
_OUTPUT_TOKENS: Final = 16_000  # a minute; what max_tokens asks for is reserved when the request comes
_CHAT: Final = Fields.of(
    "messages:list! max_tokens:whole temperature:number top_p:number top_k:whole n:whole stop:any stream:flag "
    "response_format:map tools:list tool_choice:any client_request_id:text usage_context:map"
)
_AGENT: Final = Fields.of(
    "input:list! custom_inputs:map context:map stream:flag databricks_options:map temperature:number "
    "max_output_tokens:whole text:map"
)
_ROLES: Final = ("system", "user", "assistant", "tool")
_PROSE: Final = "Certainly! Here is what you asked for:\n\n```json\n{}\n```\n\nLet me know if I can do more."


@dataclass
class Serving:
    """All serving endpoints."""

    clock: Clock
    faults: Faults
    script: Script

    def routes(self) -> list[Route]:
        """The requests of this area; invocations have no /api/2.0 before them."""
        base = "/api/2.0/serving-endpoints"
        return [
            route("GET", base, self._list, area="serving"),
            route("GET", f"{base}/{{name}}", self._get, area="serving"),
            route("POST", "/serving-endpoints/{name}/invocations", self._invoke, area="serving", body=None),
        ]

    def _endpoint(self, asked: Asked) -> Endpoint:
        for endpoint in self.script.serving:
            if endpoint.name == asked.place["name"]:
                return endpoint
        raise missing(f"Endpoint with name '{asked.place['name']}' does not exist.")

    def _document(self, endpoint: Endpoint) -> Document:
        down = self.faults.on("model_not_ready") is not None
        served = {"name": endpoint.model, "entity_name": f"system.ai.{endpoint.model}"}
        return {
            "name": endpoint.name,
            "task": endpoint.task,
            "creator": "engineer@example.com",
            "state": {
                "ready": "NOT_READY" if down else endpoint.ready,
                "config_update": endpoint.config_update,
            },
            "config": {"served_entities": [served]},
        }

    async def _list(self, _: Asked) -> Document:
        found = [self._document(endpoint) for endpoint in self.script.serving]
        return {"endpoints": found} if found else {}

    async def _get(self, asked: Asked) -> Document:
        return self._document(self._endpoint(asked))

    async def _invoke(self, asked: Asked) -> Answer:
        endpoint = self._endpoint(asked)
        if self.faults.on("model_not_ready") is not None:
            raise Refusal(503, "TEMPORARILY_UNAVAILABLE", f"Endpoint {endpoint.name} is not ready yet.")
        if endpoint.ready == "NOT_READY":
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Endpoint {endpoint.name} is not ready.")
        if len(asked.body) > _LIMIT:
            raise Refusal(400, "BAD_REQUEST", f"The request is larger than {_LIMIT} bytes")
        chat = endpoint.task == "llm/v1/chat"
        asked.fields = (_CHAT if chat else _AGENT).checked(
            read_object(asked.body), f"{endpoint.name} ({endpoint.task})"
        )
        answer = self._answer(endpoint, _last_words(asked.listed("messages" if chat else "input")))
        if answer.seconds:
            await asyncio.sleep(answer.seconds)
        if chat:
            return self._chat(endpoint, answer, asked)
        return self._agent(answer, asked)

    def _answer(self, endpoint: Endpoint, prompt: str) -> ServingAnswer:
        found = next(
            (each for each in endpoint.answers if re.search(each.prompt, prompt, re.IGNORECASE | re.DOTALL)),
            ServingAnswer(prompt="", text=f"You said: {prompt[:2000]}"),
        )
        if self.faults.take("stream_error") is not None:
            found = ServingAnswer(prompt="", error="the model went away in the middle of its answer")
        if not found.error and self.faults.take("model_prose") is not None:
            found = ServingAnswer(prompt="", text=_PROSE.format(found.words))
        return found

    # ── chat completions ──────────────────────────────────────────────────────────────────────────────────

    def _chat(self, endpoint: Endpoint, answer: ServingAnswer, asked: Asked) -> Answer:
        if asked.whole("n", 1) != 1:
            raise Refusal(501, "NOT_IMPLEMENTED", "n other than 1 is not simulated")
        if not 0 <= float(asked.fields.get("temperature", 0)) <= 2:
            raise bad(f"temperature: expected 0 to 2, found {asked.fields['temperature']}")
        if asked.whole("max_tokens", 1) < 1:
            raise bad(f"max_tokens: expected 1 or more, found {asked.whole('max_tokens')}")
        if asked.whole("max_tokens") > _OUTPUT_TOKENS:
            raise Refusal(
                429,
                "REQUEST_LIMIT_EXCEEDED",
                f"Exceeded workspace output tokens per minute rate limit for {endpoint.name}: max_tokens "
                f"{asked.whole('max_tokens')} is reserved up front, {_OUTPUT_TOKENS} are allowed",
            )
        headers = {"served-model-name": endpoint.model}
        if answer.error and not asked.flag("stream"):
            raise Refusal(400, "BAD_REQUEST", answer.error)
        words = re.findall(r"\s*\S+", answer.words)
        most = asked.whole("max_tokens", len(words) or 1)
        reason = "length" if len(words) > most else answer.finish_reason
        words = words[:most]
        prompt_tokens = sum(len(str(each.get("content", "")).split()) for each in asked.listed("messages"))
        base: Document = {
            "id": f"chatcmpl_{uuid.uuid4()}",
            "created": int(self.clock.now().timestamp()),
            "model": endpoint.model,
        }
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": len(words),
            "total_tokens": prompt_tokens + len(words),
        }
        if asked.flag("stream"):
            chunk = {**base, "object": "chat.completion.chunk"}
            events: list[Document] = [
                {
                    **chunk,
                    "choices": [
                        {
                            "index": 0,
                            "delta": {"role": "assistant", "content": word},
                            "finish_reason": None,
                        }
                    ],
                }
                for word in words
            ]
            if answer.error:
                events = [{"error": answer.error}]
            else:
                last = {"index": 0, "delta": {}, "finish_reason": reason}
                events.append({**chunk, "choices": [last], "usage": usage})
            return self._streamed(events, headers)
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        document = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        return Answer(document=document, headers=headers)

    # ── agents ────────────────────────────────────────────────────────────────────────────────────────────

    def _agent(self, answer: ServingAnswer, asked: Asked) -> Answer:
        item_id = f"msg_{uuid.uuid4().hex}"
        content = {"type": "output_text", "text": answer.words, "annotations": []}
        item: Document = {
            "type": "message",
            "id": item_id,
            "role": "assistant",
            "status": "completed",
            "content": [content],
        }
        whole: Document = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(self.clock.now().timestamp()),
            "status": "completed",
            "output": [item],
        }
        if not asked.flag("stream"):
            if answer.error:
                error = {"code": "server_error", "message": answer.error}
                whole |= {"status": "failed", "output": [], "error": error}
            return Answer(document=whole)
        if answer.error:
            return self._streamed([{"error": answer.error}], {})
        thought = {"type": "response.in_progress", "response": {"id": whole["id"], "status": "in_progress"}}
        deltas = [
            {"type": "response.output_text.delta", "item_id": item_id, "output_index": 0, "delta": word}
            for word in re.findall(r"\s*\S+", answer.words)
        ]
        done = {"type": "response.output_item.done", "output_index": 0, "item": item}
        return self._streamed([thought, *deltas, done, {"type": "response.completed", "response": whole}], {})

    def _streamed(self, events: list[Document], headers: dict[str, str]) -> Answer:
        cut, short = self.faults.take("stream_cut"), self.faults.take("stream_short")
        if cut is not None or short is not None:
            events = events[: max(1, len(events) // 2)]

        async def lines() -> AsyncIterator[str]:
            for event in events:
                yield f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
                await asyncio.sleep(0)
            if cut is not None:
                raise StreamCut
            if short is None:
                yield "data: [DONE]\n\n"

        return Answer(events=lines(), content_type="text/event-stream", headers=headers)


def _last_words(messages: list[Any]) -> str:
    """What the user said last. Raises ``Refusal`` 400 for messages that are none."""
    last = ""
    for each in messages:
        if not isinstance(each, dict):
            raise bad("each message wants an object with role and content")
        if each.get("type", "message") != "message":
            continue  # an agent's function call or its output
        if each.get("role") not in _ROLES:
            raise bad(f"role: expected {', '.join(_ROLES)}, found {each.get('role')!r}")
        if each["role"] == "user":
            last = _words(each.get("content"))
    if not last:
        raise bad("a message of the user was expected, found none")
    return last


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return " ".join(str(part.get("text", "")) for part in content)
    raise bad("content: expected a string or a list of parts")
