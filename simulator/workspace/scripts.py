"""What the workspace answers with: Genie spaces, jobs and serving endpoints, from a TOML or JSON script.

A key that is not known is refused by name; so are an id used twice and a pattern that is none.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

DEMO: Final = Path(__file__).parent / "demo.toml"

GENIE_STATUSES: Final = (
    "FETCHING_METADATA",
    "FILTERING_CONTEXT",
    "ASKING_AI",
    "PENDING_WAREHOUSE",
    "EXECUTING_QUERY",
)
GenieEnd = Literal["COMPLETED", "FAILED", "CANCELLED", "QUERY_RESULT_EXPIRED"]
TerminationCode = Literal[
    "SUCCESS",
    "SUCCESS_WITH_FAILURES",
    "RUN_EXECUTION_ERROR",
    "USER_CANCELED",
    "CANCELED",
    "SKIPPED",
    "INTERNAL_ERROR",
    "DRIVER_ERROR",
    "CLUSTER_ERROR",
    "CLOUD_FAILURE",
    "UNAUTHORIZED_ERROR",
    "LIBRARY_INSTALLATION_ERROR",
    "STORAGE_ACCESS_ERROR",
    "RESOURCE_NOT_FOUND",
    "INVALID_RUN_CONFIGURATION",
    "INVALID_CLUSTER_REQUEST",
    "CLUSTER_REQUEST_LIMIT_EXCEEDED",
    "WORKSPACE_RUN_LIMIT_EXCEEDED",
    "MAX_CONCURRENT_RUNS_EXCEEDED",
    "MAX_JOB_QUEUE_SIZE_EXCEEDED",
    "MAX_SPARK_CONTEXTS_EXCEEDED",
    "REPOSITORY_CHECKOUT_FAILED",
    "FEATURE_DISABLED",
    "DISABLED",
    "BREAKING_CHANGE",
    "BUDGET_POLICY_LIMIT_EXCEEDED",
]
SpaceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class ScriptError(ValueError):
    """A script that cannot be used; the message names every place that is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GenieQuery(_Part):
    """SQL that runs for real, and what Genie says about it."""

    sql: str
    title: str = ""
    description: str = ""


class GenieError(_Part):
    """Why a question FAILED."""

    type: str
    error: str


class GenieAnswer(_Part):
    """An answer to every question in which the pattern is found; ``{group}`` in texts is what the pattern caught."""

    question: str
    statuses: tuple[str, ...] = GENIE_STATUSES
    step_polls: int = Field(default=1, ge=0)
    step_s: float = Field(default=0.0, ge=0)
    text: str = ""
    queries: tuple[GenieQuery, ...] = ()
    suggested: tuple[str, ...] = ()
    ends: GenieEnd = "COMPLETED"
    error: GenieError | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _pattern(self.question)
        if (self.ends == "FAILED") != (self.error is not None):
            raise ValueError("ends = FAILED and error belong together")
        return self


class GenieSpace(_Part):
    """A space and its answers, the first that fits is taken. ``runs_on`` says where their SQL runs."""

    space_id: SpaceId
    title: str
    description: str = ""
    runs_on: Literal["lakebase", "warehouse"] = "lakebase"
    catalog: str = ""
    sql_schema: str = Field(default="", alias="schema")
    answers: tuple[GenieAnswer, ...] = ()


class Attempt(_Part):
    """How a task ends, after so many seconds."""

    code: TerminationCode = "SUCCESS"
    type: str = ""
    message: str = ""
    error: str = ""
    error_trace: str = ""
    logs: str = ""
    notebook_result: str = ""
    seconds: float = Field(default=0.1, ge=0)


class Task(_Part):
    """A task of a job. The last of its attempts repeats; settings are shown as they stand."""

    task_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    depends_on: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = (Attempt(),)
    settings: dict[str, Any] = {}


class Job(_Part):
    """A job with its tasks."""

    job_id: int = Field(ge=1, lt=2**63)
    name: str
    max_concurrent_runs: int = Field(default=1, ge=1, le=1000)
    queue: bool = False
    settings: dict[str, Any] = {}
    tasks: tuple[Task, ...]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _once([task.task_key for task in self.tasks], "task_key")
        before: set[str] = set()
        for task in self.tasks:
            for other in task.depends_on:
                if other not in before:
                    raise ValueError(
                        f"task {task.task_key} depends on {other!r}, which stands nowhere before it"
                    )
            before.add(task.task_key)
        return self


class ServingAnswer(_Part):
    """An answer to every prompt in which the pattern is found."""

    prompt: str
    text: str = ""
    document: dict[str, Any] | None = Field(default=None, alias="json")
    finish_reason: Literal["stop", "length", "content_filter"] = "stop"
    error: str = ""
    seconds: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _pattern(self.prompt)
        if bool(self.text) + (self.document is not None) + bool(self.error) != 1:
            raise ValueError("one of text, json and error is wanted")
        return self

    @property
    def words(self) -> str:
        """What the model says."""
        return self.text if self.document is None else json.dumps(self.document, ensure_ascii=False)


class Endpoint(_Part):
    """A serving endpoint and its answers, the first that fits is taken; without one the prompt comes back."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
    task: Literal["llm/v1/chat", "agent/v1/responses"] = "llm/v1/chat"
    ready: Literal["READY", "NOT_READY"] = "READY"
    config_update: Literal["NOT_UPDATING", "IN_PROGRESS", "UPDATE_FAILED", "UPDATE_CANCELED"] = "NOT_UPDATING"
    model: str = "simulated-model"
    answers: tuple[ServingAnswer, ...] = ()


class Script(_Part):
    """All of it."""

    genie: tuple[GenieSpace, ...] = ()
    jobs: tuple[Job, ...] = ()
    serving: tuple[Endpoint, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _once([space.space_id for space in self.genie], "space_id")
        _once([job.job_id for job in self.jobs], "job_id")
        _once([endpoint.name for endpoint in self.serving], "name of an endpoint")
        return self


def read_script(path: Path) -> Script:
    """From a file. Raises ``ScriptError``."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptError(f"{path} cannot be read: {error.strerror}; check --script") from error
    except UnicodeDecodeError as error:
        raise ScriptError(f"{path} is not UTF-8") from error
    return parse_script(text, name=str(path))


def parse_script(text: str, *, name: str = "the script") -> Script:
    """From TOML, or from JSON where it begins with a brace. Raises ``ScriptError``."""
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:
        raise ScriptError(f"{name} is neither TOML nor JSON: {error}") from error
    return check_script(found, name=name)


def check_script(found: object, *, name: str = "the script") -> Script:
    """From what was read. Raises ``ScriptError`` with every problem, one a line."""
    try:
        return Script.model_validate(found)
    except ValidationError as error:
        lines = [
            f"{name}: {'.'.join(str(part) for part in each['loc']) or 'as a whole'}: {each['msg']}"
            for each in error.errors()
        ]
        raise ScriptError("\n".join(lines)) from error


def _pattern(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no pattern: {error}") from error


def _once(names: list[Any], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what} {name} is given twice")
