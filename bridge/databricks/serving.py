"""Databricks Model Serving: chat endpoints as a chat model, and whether an endpoint is ready. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from bridge.databricks import completions
from bridge.databricks.answers import plain
from bridge.databricks.call import Call
from bridge.databricks.chat import LONGEST_ANSWER_S, MOST_ANSWER_BYTES, ChatAnswer, ChatRequest
from bridge.databricks.completions import CompletionsReader
from bridge.databricks.fields import Fields
from bridge.databricks.steps import Progress, Steps, Wait
from bridge.errors import ConfigError, ServiceMisconfigured

_POLL_S = 5.0
_STREAM = "text/event-stream"


def invocations(endpoint: str) -> str:
    """Where an endpoint is asked. ConfigError for a name that is none."""
    return f"/serving-endpoints/{_name(endpoint)}/invocations"


def _name(endpoint: str) -> str:
    if not endpoint.strip(". "):
        raise ConfigError(
            [f"{endpoint!r} is no name of a serving endpoint; the workspace lists them under Serving"]
        )
    return quote(endpoint, safe="")


class ServingChat:
    """A chat endpoint, of foundation models and of others that speak the same format.

    Asking twice costs twice and does no harm, so a question may be repeated within its time.
    """

    def __init__(self, endpoint: str, *, token_limit: str = "max_tokens") -> None:
        """token_limit: the field for the longest answer; some newer models want max_completion_tokens."""
        self._path = invocations(endpoint)
        self._token_limit = token_limit
        self.name = endpoint

    @property
    def _what(self) -> str:
        return f"serving endpoint {self.name}"

    def call(self, request: ChatRequest, *, stream: bool) -> Call:
        """The request as the endpoint wants it."""
        body = completions.body(request, token_limit=self._token_limit)
        if request.request_id:
            body["client_request_id"] = request.request_id
        if stream:
            body["stream"] = True
        return Call(
            verb="POST",
            path=self._path,
            body=body,
            idempotent=True,
            budget_s=LONGEST_ANSWER_S,
            silence_s=LONGEST_ANSWER_S,
            most_bytes=MOST_ANSWER_BYTES,
            accept=_STREAM if stream else "application/json",
            what=self._what,
        )

    def read(self, answer: Fields) -> ChatAnswer:
        """An answer that came in one piece."""
        return completions.read(answer)

    def reader(self) -> CompletionsReader:
        """For an answer that comes in pieces."""
        return CompletionsReader(self._what)


class Update(StrEnum):
    """Whether an endpoint's configuration is being changed."""

    NOT_UPDATING = "NOT_UPDATING"
    IN_PROGRESS = "IN_PROGRESS"
    UPDATE_FAILED = "UPDATE_FAILED"
    UPDATE_CANCELED = "UPDATE_CANCELED"
    OTHER = ""


_UPDATES = {update.value: update for update in Update if update.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint as it is now. ready: whether it answers; while an update is in progress, with its old version.

    task: such as llm/v1/chat or agent/v1/responses; empty when it does not say.
    """

    name: str
    ready: bool
    update: Update
    task: str
    said: str

    @property
    def coming(self) -> bool:
        """Whether waiting may help: not ready, and somebody is at it or nothing is known to have gone wrong."""
        return not self.ready and self.update not in (Update.UPDATE_FAILED, Update.UPDATE_CANCELED)


def endpoint(name: str) -> Steps[Endpoint]:
    """Look at an endpoint once. WorkspaceRefused (404) where there is none."""
    call = Call(
        verb="GET",
        path=f"/api/2.0/serving-endpoints/{_name(name)}",
        what=f"serving endpoint {name}: is it ready",
    )
    return _read_endpoint(Fields((yield call), call.what), name)


def ready(name: str) -> Steps[Endpoint]:
    """Wait until an endpoint answers, up to the caller's deadline. ServiceMisconfigured when waiting does not help."""
    told = ""
    while True:
        found = yield from endpoint(name)
        if found.ready:
            return found
        if not found.coming:
            raise ServiceMisconfigured(
                f"serving endpoint {name} is not ready ({found.said}): its last update did not succeed. "
                "Look at its events under Serving"
            )
        if found.said != told:
            told = found.said
            yield Progress(found.update.value or "UNKNOWN", f"serving endpoint {name} is not ready: {told}")
        yield Wait(_POLL_S)


def _read_endpoint(fields: Fields, name: str) -> Endpoint:
    state = fields.needed("state")
    is_ready, update = state.text("ready", ""), state.text("config_update", "")
    return Endpoint(
        name=fields.text("name", name),
        ready=is_ready == "READY",
        update=_UPDATES.get(update, Update.OTHER),
        task=fields.text("task", ""),
        said=plain(f"ready {is_ready or 'not said'}, config_update {update or 'not said'}"),
    )
