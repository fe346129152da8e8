"""Who is asked for advice on a recommendation, and within which bounds."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from bridge.settings.base import Positive, Section
from bridge.settings.databricks import workspace_host


def _host_or_none(text: str) -> str:
    return workspace_host(text) if text else ""


class AdvisorSettings(Section):
    """An advisor enriches what the rules have already proposed; without one (`rules`) nobody is asked.

    space: a Genie space, by its name in [genie] or by its id. endpoint: a serving endpoint, or the deployment of
    Azure OpenAI. deadline_s: how long one answer may take. max_in_flight: questions out at once. per_minute:
    questions begun in any minute. attempts: questions about one state of a recommendation before the rules' words
    stay. again_after_s: least time between two questions about one recommendation. history_minutes: how far back
    the readings go that are told. may_choose: whether the advisor's preferred remedy may take the place of the
    rules' one (configured, within limits, a new digest); false leaves it to words. max_tokens: longest answer of a
    model, and token_limit the field in which it is told. azure_host: https://… of the Azure OpenAI resource, with
    azure_key and azure_api_version ("v1" for its newer surface).
    """

    kind: Literal["rules", "genie", "serving", "azure"] = "rules"
    space: str = ""
    endpoint: str = ""
    deadline_s: Annotated[float, Field(gt=0, le=900, allow_inf_nan=False)] = 120.0
    max_in_flight: Annotated[int, Field(ge=1, le=50)] = 2
    per_minute: Annotated[int, Field(ge=1, le=600)] = 5
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    again_after_s: Positive = 30.0
    history_minutes: Annotated[float, Field(gt=0, le=1440, allow_inf_nan=False)] = 60.0
    may_choose: bool = True
    max_tokens: Annotated[int, Field(ge=100, le=8000)] = 1000
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    azure_host: Annotated[str, AfterValidator(_host_or_none)] = ""
    azure_key: SecretStr = SecretStr("")
    azure_api_version: Annotated[str, Field(pattern=r"^(v1|\d{4}-\d{2}-\d{2}(-preview)?)$")] = "2024-10-21"

    @model_validator(mode="after")
    def _says_whom(self) -> Self:
        if self.kind == "genie" and not self.space:
            raise ValueError("kind = genie wants a space: its name in [genie], or its id")
        if self.kind in ("serving", "azure") and not self.endpoint:
            raise ValueError(f"kind = {self.kind} wants an endpoint: the name of the endpoint or deployment")
        if self.kind == "azure" and not (self.azure_host and self.azure_key.get_secret_value()):
            raise ValueError(
                "kind = azure wants azure_host and azure_key (better in BRIDGE_ADVISOR__AZURE_KEY than in the file)"
            )
        return self
