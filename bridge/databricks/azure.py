"""Azure OpenAI as a chat model: the same format as a Databricks chat endpoint at another address. Pure.

It differs in three things: the address (the model's deployment is in it, or in the body for the newer surface),
the login (an api-key header, or a bearer of Entra), and the name of the field for the longest answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from bridge.databricks import completions
from bridge.databricks.call import Call
from bridge.databricks.chat import LONGEST_ANSWER_S, MOST_ANSWER_BYTES, ChatAnswer, ChatRequest
from bridge.databricks.completions import CompletionsReader
from bridge.databricks.fields import Fields
from bridge.databricks.steps import Steps
from bridge.errors import ConfigError

API_VERSION = "2024-10-21"  # the newest dated one that is generally available


@dataclass(frozen=True, slots=True)
class AzureKey:
    """The key of an Azure OpenAI resource, as a login for its `Workspace`. source: where it comes from, in words."""

    key: str = field(repr=False)
    source: str = "advisor.azure_key"

    def headers(self, *, budget_s: float) -> Mapping[str, str]:
        """See `Auth.headers`."""
        return {"api-key": self.key}

    def renew(self, refused: Mapping[str, str], *, budget_s: float) -> bool:
        """See `Auth.renew`: there is no other."""
        return False


def look(api_version: str) -> Steps[None]:
    """Whether the resource takes the key and knows this version of its interface; no model is asked.

    The list of models is the one thing that it shows to a key; which deployments there are it does not.
    """
    newer = api_version == "v1"
    yield Call(
        verb="GET",
        path="/openai/v1/models" if newer else "/openai/models",
        query={} if newer else {"api-version": api_version},
        what="Azure OpenAI: list the models",
    )


class AzureChat:
    """A deployment of an Azure OpenAI resource. Asked over a `Workspace` of the resource's own host."""

    def __init__(
        self,
        deployment: str,
        *,
        api_version: str = API_VERSION,
        token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
    ) -> None:
        """api_version: a date, or "v1" for the newer surface without one.

        token_limit: reasoning models (o-series and later) refuse max_tokens and want max_completion_tokens. ConfigError
        for a deployment that has no name.
        """
        if not deployment.strip(". "):
            raise ConfigError(
                [f"{deployment!r} is no name of an Azure OpenAI deployment; its resource lists them"]
            )
        self.name = deployment
        self._version = api_version
        self._token_limit = token_limit

    @property
    def _what(self) -> str:
        return f"Azure OpenAI deployment {self.name}"

    def call(self, request: ChatRequest, *, stream: bool) -> Call:
        """The request as Azure wants it."""
        body = completions.body(request, token_limit=self._token_limit)
        if stream:
            body["stream"] = True
        query: dict[str, str | int] = {}
        if self._version == "v1":
            path = "/openai/v1/chat/completions"
            body["model"] = self.name
        else:
            path = f"/openai/deployments/{quote(self.name, safe='')}/chat/completions"
            query["api-version"] = self._version
        return Call(
            verb="POST",
            path=path,
            query=query,
            body=body,
            idempotent=True,
            budget_s=LONGEST_ANSWER_S,
            silence_s=LONGEST_ANSWER_S,
            most_bytes=MOST_ANSWER_BYTES,
            accept="text/event-stream" if stream else "application/json",
            what=self._what,
        )

    def read(self, answer: Fields) -> ChatAnswer:
        """An answer that came in one piece."""
        return completions.read(answer)

    def reader(self) -> CompletionsReader:
        """For an answer that comes in pieces."""
        return CompletionsReader(self._what)
