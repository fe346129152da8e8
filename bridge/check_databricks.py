"""The part of `ignition-bridge check` that looks at Databricks: the workspace, and a store behind a SQL warehouse."""

from __future__ import annotations

import asyncio

from bridge.access import where_to_look
from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.errors import BridgeError, ConfigError
from bridge.plant import Plant
from bridge.report import Finding, Level, Report
from bridge.settings import DatabricksSettings, Settings
from bridge.storage import beyond_the_store, tables
from bridge.store import warehouse_check
from bridge.store.warehouse_connection import Warehouse


async def check_warehouse(settings: Settings, plant: Plant | None) -> Report:
    """The agent's tables behind a SQL warehouse, and what cannot work there."""
    tags = [] if plant is None else list(plant.tags.values())
    findings = [
        Finding(area="config", subject="store.kind", problem=problem)
        for problem in beyond_the_store(settings, tags)
    ]
    try:
        there = tables(settings, Role.AGENT)
    except BridgeError as problem:
        lines = problem.problems if isinstance(problem, ConfigError) else (str(problem),)
        findings += [Finding(area="database", subject="store.warehouse", problem=line) for line in lines]
        return Report(findings=findings, looked_at=[])
    assert isinstance(there.db, Warehouse), "store.kind is warehouse"
    try:
        found = await warehouse_check.examine(there.db, there.named, settings.agent, tags)
    finally:
        await there.db.close()
    findings += [
        Finding(
            area=remark.area,
            subject="store.warehouse" if remark.area != "agent" else "bridge.toml",
            problem=_lines_in_one(remark.problem),
            advice=remark.advice or (where_to_look(settings, Role.AGENT) if remark.passing else ""),
            level=Level.PROBLEM if remark.serious else Level.WARNING,
            passing=remark.passing,
        )
        for remark in found.remarks
    ]
    return Report(findings=findings, looked_at=found.looked_at)


async def check_workspace(settings: Settings) -> Report:
    """The Databricks workspace, where anything of it is configured, and Azure OpenAI, where it advises."""
    of_a_workspace, of_azure = _of_a_workspace(settings), settings.advisor.kind == "azure"
    if not (of_a_workspace or of_azure):
        return Report(findings=[], looked_at=[])
    from bridge.databricks import check as databricks  # requests takes its time to import

    clock = SystemClock()
    parts = [databricks.examine(settings, clock)] if of_a_workspace else []
    if of_azure:
        parts.append(databricks.examine_azure(settings, clock))
    found = await asyncio.gather(*parts)
    return Report(
        findings=[
            Finding(
                area="databricks",
                subject=remark.subject,
                problem=_lines_in_one(remark.problem),
                advice=remark.advice,
                level=Level.PROBLEM if remark.serious else Level.WARNING,
            )
            for part in found
            for remark in part.remarks
        ],
        looked_at=[line for part in found for line in part.looked_at],
    )


def _of_a_workspace(settings: Settings) -> bool:
    """Whether anything that is configured wants the workspace; a database with host, user and password does not."""
    databricks = settings.databricks
    lakebase = databricks.lakebase
    without = DatabricksSettings(ca_certificate=databricks.ca_certificate, lakebase=lakebase)
    return (
        databricks != without
        or (lakebase is not None and not lakebase.by_itself)
        or settings.store.kind == "warehouse"
        or settings.store.warehouse is not None
        or bool(settings.genie.spaces)
        or settings.advisor.kind in ("genie", "serving")
    )


def _lines_in_one(text: str) -> str:
    return " ".join(text.split())
