"""What can be known of the Databricks side before it is needed: login, Lakebase, Genie spaces, endpoint, warehouse.

Everything is only looked at: no question is asked, no statement sent, and nothing is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from bridge.databricks import azure, genie, serving
from bridge.databricks.answers import plain
from bridge.databricks.auth import azure_resource, workspace
from bridge.databricks.call import Call
from bridge.databricks.fields import Fields
from bridge.databricks.http import Workspace
from bridge.databricks.lakebase import find_place, mint, who_am_i
from bridge.databricks.steps import Steps, run_async
from bridge.errors import AccessDenied, BridgeError, ConfigError, NotAWorkspace, TryAgain, WorkspaceRefused
from bridge.ports import Clock
from bridge.settings import Settings
from bridge.settings.databricks import LakebaseSettings

T = TypeVar("T")

_LOOK_S = 15.0  # longest time for one look; what asks us to wait a moment is asked again within it


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing that is not as it should be. `serious`: what is configured cannot work like this."""

    subject: str
    problem: str
    advice: str = ""
    serious: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found, and what was looked at with success, in words."""

    remarks: Sequence[Remark] = ()
    looked_at: Sequence[str] = ()


async def examine(settings: Settings, clock: Clock) -> Examination:
    """Look at everything of the Databricks side that is configured, and tell every problem at once."""
    try:
        server = workspace(settings.databricks, clock)
    except BridgeError as problem:
        lines = problem.problems if isinstance(problem, ConfigError) else (str(problem),)
        return Examination(remarks=[Remark(subject="databricks", problem=line) for line in lines])
    look = _Look(server, clock)
    try:
        try:
            name = await look(who_am_i())
        except BridgeError as problem:
            return Examination(
                remarks=[
                    Remark(subject="databricks.host", problem=str(problem), advice=_login_advice(problem))
                ]
            )
        parts = await asyncio.gather(*_looks(settings, look, clock))
    finally:
        server.close()
    return Examination(
        remarks=[remark for part in parts for remark in part.remarks],
        looked_at=[
            f"databricks: {server.host} knows us as {plain(name)}",
            *(line for part in parts for line in part.looked_at),
        ],
    )


async def examine_azure(settings: Settings, clock: Clock) -> Examination:
    """Look at the Azure OpenAI resource that the advisor asks: host, key and version of its interface."""
    advisor = settings.advisor
    try:
        server = azure_resource(advisor, clock, ca_certificate=settings.databricks.ca_certificate)
    except BridgeError as problem:
        return Examination(remarks=[Remark(subject="advisor.azure_host", problem=str(problem))])
    try:
        await _Look(server, clock)(azure.look(advisor.azure_api_version))
    except BridgeError as problem:
        return Examination(remarks=[_of_azure(problem)])
    finally:
        server.close()
    return Examination(
        looked_at=[
            f"advisor.endpoint: Azure OpenAI at {server.host} takes our key; whether it has a deployment "
            f"{plain(advisor.endpoint)} shows with the first question"
        ]
    )


def _of_azure(problem: BridgeError) -> Remark:
    subject, serious = "advisor.azure_host", True
    match problem:
        case AccessDenied():
            subject = "advisor.azure_key"
            advice = (
                "give one of the resource's two keys in BRIDGE_ADVISOR__AZURE_KEY; the Azure portal shows them under "
                "Keys and Endpoint"
            )
        case WorkspaceRefused():
            serious = False  # a gateway on the way may let nothing but questions through
            advice = (
                "is advisor.azure_api_version one that this resource knows? If a gateway of yours stands there that "
                "lets questions through and no lists, all is well"
            )
        case NotAWorkspace():
            advice = "advisor.azure_host is https://<resource>.openai.azure.com, with nothing behind it"
        case TryAgain():
            advice = "is advisor.azure_host right, and does this machine reach it?"
        case _:
            advice = ""
    return Remark(subject=subject, problem=str(problem), advice=advice, serious=serious)


def _login_advice(problem: BridgeError) -> str:
    if isinstance(problem, AccessDenied | WorkspaceRefused):
        return (
            "make a new token or secret, and give it in DATABRICKS_TOKEN or DATABRICKS_CLIENT_SECRET; the host has to "
            "be of the workspace that it was made in"
        )
    if isinstance(problem, NotAWorkspace):
        return "databricks.host is https://… of the workspace as the browser shows it, with nothing behind it"
    if isinstance(problem, TryAgain):
        return "is databricks.host right, and does this machine reach it?"
    return ""


class _Look:
    """Works one conversation on the event loop."""

    def __init__(self, server: Workspace, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    async def __call__(self, steps: Steps[T]) -> T:
        return await run_async(steps, self._server, self._clock, deadline_s=_LOOK_S)


def _looks(settings: Settings, look: _Look, clock: Clock) -> list[Awaitable[Examination]]:
    looks: list[Awaitable[Examination]] = []
    lakebase = settings.databricks.lakebase
    if lakebase is not None and (lakebase.endpoint or lakebase.instance) and not lakebase.by_itself:
        looks.append(_lakebase(lakebase, look, clock))
    spaces = {f"genie.spaces.{name}": space_id for name, space_id in settings.genie.spaces.items()}
    advisor = settings.advisor
    if advisor.kind == "genie" and advisor.space not in settings.genie.spaces:
        try:
            spaces["advisor.space"] = settings.genie.space_id(advisor.space)
        except ConfigError as problem:
            looks.append(_told(Remark(subject="advisor.space", problem=str(problem))))
    looks += [_space(subject, space_id, look) for subject, space_id in spaces.items()]
    if advisor.kind == "genie" and advisor.per_minute > settings.genie.questions_per_minute:
        looks.append(_told(_more_than_turns(settings)))
    if advisor.kind == "serving":
        looks.append(_endpoint(advisor.endpoint, look))
    section = settings.store.warehouse
    if section is not None:
        path = section.http_path or urlsplit(section.connection_uri).path
        looks.append(_warehouse(path.rpartition("/")[2], section.statement_timeout_s, look))
    return looks


def _more_than_turns(settings: Settings) -> Remark:
    turns = settings.genie.questions_per_minute
    return Remark(
        subject="advisor.per_minute",
        problem=f"{settings.advisor.per_minute} questions a minute are more than the {turns} that "
        "genie.questions_per_minute lets through: the rest is asked later, and nothing is left for people",
        advice=f"set it below {turns}" if turns > 1 else "set it to 1",
        serious=False,
    )


async def _told(remark: Remark) -> Examination:
    return Examination(remarks=[remark])


async def _lakebase(settings: LakebaseSettings, look: _Look, clock: Clock) -> Examination:
    subject = "databricks.lakebase"
    try:
        host = settings.host or await look(find_place(settings))
        native = bool(settings.password.get_secret_value())
        if not native:
            await look(mint(settings, clock.now_utc()))
    except BridgeError as problem:
        advice = (
            "let an administrator of the project give this identity CAN USE on it"
            if isinstance(problem, AccessDenied)
            or (isinstance(problem, WorkspaceRefused) and problem.status == 403)
            else ""
        )
        return Examination(remarks=[Remark(subject=subject, problem=str(problem), advice=advice)])
    name = settings.endpoint or settings.instance
    how = "is logged in to by a password of its own" if native else "gives us credentials"
    return Examination(looked_at=[f"{subject}: {name} is at {plain(host)}, and {how}"])


async def _space(subject: str, space_id: str, look: _Look) -> Examination:
    try:
        found = await look(genie.space(space_id))
    except BridgeError as problem:
        advice = (
            "is this the id behind /genie/rooms/ in the browser's address, and has our identity CAN RUN on the space?"
            if isinstance(problem, AccessDenied | WorkspaceRefused)
            else ""
        )
        return Examination(remarks=[Remark(subject=subject, problem=str(problem), advice=advice)])
    return Examination(looked_at=[f"{subject}: the Genie space »{plain(found.title)}« may be asked"])


async def _endpoint(name: str, look: _Look) -> Examination:
    subject = "advisor.endpoint"
    try:
        found = await look(serving.endpoint(name))
    except BridgeError as problem:
        advice = (
            "the workspace lists its endpoints under Serving; our identity needs CAN QUERY on this one"
            if isinstance(problem, AccessDenied | WorkspaceRefused)
            else ""
        )
        return Examination(remarks=[Remark(subject=subject, problem=str(problem), advice=advice)])
    if not found.ready:
        return Examination(
            remarks=[
                Remark(
                    subject=subject,
                    problem=f"serving endpoint {name} is not ready: {found.said}",
                    advice="wait until it is; until then the rules' own words stay"
                    if found.coming
                    else "its last update did not succeed: look at its events under Serving",
                    serious=not found.coming,
                )
            ]
        )
    if found.task and not found.task.endswith("/chat"):
        return Examination(
            remarks=[
                Remark(
                    subject=subject,
                    problem=f"serving endpoint {name} has the task {plain(found.task)}, and the advisor asks as "
                    "llm/v1/chat wants it",
                    advice="choose an endpoint for chat; until then the rules' own words stay",
                    serious=False,
                )
            ]
        )
    return Examination(looked_at=[f"{subject}: serving endpoint {name} is ready"])


def warehouse_state(warehouse_id: str) -> Steps[str]:
    """The state of a SQL warehouse in the workspace's own word, such as RUNNING or STOPPED."""
    call = Call(
        verb="GET",
        path=f"/api/2.0/sql/warehouses/{warehouse_id}",
        what=f"SQL warehouse {warehouse_id}: look at it",
    )
    return plain(Fields((yield call), call.what).text("state"))


async def _warehouse(warehouse_id: str, statement_timeout_s: float, look: _Look) -> Examination:
    subject = "store.warehouse"
    try:
        state = await look(warehouse_state(warehouse_id))
    except BridgeError as problem:
        advice = (
            "http_path stands in the warehouse's connection details; our identity needs CAN USE on it"
            if isinstance(problem, AccessDenied | WorkspaceRefused)
            else ""
        )
        return Examination(remarks=[Remark(subject=subject, problem=str(problem), advice=advice)])
    if state in ("DELETED", "DELETING"):
        return Examination(
            remarks=[Remark(subject=subject, problem=f"the SQL warehouse {warehouse_id} is {state}")]
        )
    if state != "RUNNING":
        return Examination(
            remarks=[
                Remark(
                    subject=subject,
                    problem=f"the SQL warehouse {warehouse_id} is {state}: its start counts into the first statement, "
                    f"which may take {statement_timeout_s:g} s",
                    advice="start it beforehand, or give store.warehouse.statement_timeout_s the time of its start",
                    serious=False,
                )
            ]
        )
    return Examination(looked_at=[f"{subject}: the SQL warehouse {warehouse_id} is running"])
