"""`ignition-bridge status`, `explain` and `readings`: looking without touching."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bridge import show, story
from bridge.access import at_tables
from bridge.domain.lifecycle import Role
from bridge.domain.limits import Refusal, RefusalCode
from bridge.errors import ConfigError, RefusedByRule
from bridge.plant import Plant
from bridge.settings import Settings
from bridge.store.connection import Row
from bridge.store.desk import Control, Story
from bridge.terminal import decoded, load_settings, out, print_json

AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]

_SIGNALS = ("temperature", "pressure", "flow_rate")
_SILENT_BEATS = 3  # this many heartbeats missed, and an agent counts as offline


def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The bridge at one look: agents, arming switch, open recommendations, commands with the unknown ones first."""
    settings = load_settings(ctx)
    agents, control, rows, commands, unsettled = asyncio.run(_status(settings))
    if as_json:
        print_json(
            {
                "online": any(agent["status"] == "online" for agent in agents),
                "agents": [decoded(agent) for agent in agents],
                "control": {
                    "armed": control.armed,
                    "changed_by": control.changed_by,
                    "reason": control.reason,
                    "changed_timestamp": control.changed_utc,
                },
                "commands": {word: commands.get(word, 0) for word in show.COMMAND_ORDER},
                "outcome_not_known": unsettled,
                "recommendations": {
                    word: sum(row["severity"] == word for row in rows)
                    for word in ("critical", "high", "medium", "low")
                },
                "open_recommendations": [decoded(row) for row in rows],
            }
        )
        return
    show.show_status(
        out(), agents=agents, state=control, recommendations=rows, commands=commands, unsettled=unsettled
    )


async def _status(
    settings: Settings,
) -> tuple[list[Row], Control, list[Row], dict[str, int], list[Row]]:
    async with at_tables(settings, Role.OPERATOR) as there:
        desk = there.desk
        return (
            await desk.agents(offline_after_s=_SILENT_BEATS * settings.agent.heartbeat_s),
            await desk.control(),
            await desk.open_recommendations(),
            await desk.command_counts(),
            await there.db.fetch(there.named.commands.list_unsettled),
        )


def explain(
    ctx: typer.Context,
    which: Annotated[
        str, typer.Argument(metavar="ID", help="A recommendation (R-…) or one of its commands (C-…).")
    ],
    as_json: AsJson = False,
) -> None:
    """Tell the whole story of a recommendation from the audit trail, with times."""
    settings = load_settings(ctx)
    found = asyncio.run(_story(settings, which))
    told = story.steps(found)
    timings = story.timings_ms(found)
    unknown = story.not_known(found, datetime.now(UTC))
    if not as_json:
        show.show_story(out(), found.recommendation, told, found.work_orders, timings, unknown)
        return
    print_json(
        {
            "recommendation": decoded(found.recommendation),
            "commands": found.commands,
            "work_orders": found.work_orders,
            "trail": [
                {
                    "seq": step.seq,
                    "at": step.at_utc,
                    "since_start_ms": step.since_start_ms,
                    "since_previous_ms": step.since_previous_ms,
                    "actor": step.actor,
                    "db_role": step.db_role,
                    "action": step.action,
                    "object_id": step.object_id,
                    "words": step.words,
                    "detail": step.detail,
                }
                for step in told
            ],
            "timings_ms": timings,
            "outcome_not_known": [
                {
                    "command_id": item.command_id,
                    "headline": item.headline,
                    "facts": item.facts,
                    "actions": item.actions,
                }
                for item in unknown
            ],
        }
    )


async def _story(settings: Settings, which: str) -> Story:
    async with at_tables(settings, Role.OPERATOR) as there:
        if which.upper().startswith("C-"):
            rows = await there.db.fetch(there.named.commands.get_command, command_id=which)
            if not rows:
                raise RefusedByRule(Refusal(RefusalCode.WRONG_FORM, f"there is no command {which}"))
            which = rows[0]["recommendation_id"]
        return await there.desk.story(which)


def readings(
    ctx: typer.Context,
    equipment_id: Annotated[str, typer.Argument(metavar="EQUIPMENT", help="For example REACTOR_02.")],
    rows: Annotated[int, typer.Option(min=1, max=10_000, help="How many stored rows to look at.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Show the newest stored value of every signal of one equipment, with its age."""
    settings = load_settings(ctx)
    found = asyncio.run(_readings(settings, equipment_id, rows))
    latest = _latest(found, _units(settings, equipment_id), datetime.now(UTC))
    if as_json:
        print_json({"equipment_id": equipment_id, "latest": latest, "rows": [decoded(row) for row in found]})
    else:
        show.show_readings(out(), equipment_id, latest)


async def _readings(settings: Settings, equipment_id: str, rows: int) -> list[Row]:
    async with at_tables(settings, Role.OPERATOR) as there:
        return await there.db.fetch(
            there.named.readings.latest_by_equipment, equipment_id=equipment_id, max_rows=rows
        )


def _units(settings: Settings, equipment_id: str) -> dict[str, str]:
    """Units by signal, as far as the configuration tells: rows of others need none."""
    try:
        equipment = Plant.of(settings).equipment.get(equipment_id)
    except ConfigError:
        return {}
    if equipment is None:
        return {}
    units = {name: tag.unit for name, tag in equipment.signals.items()}
    return units | {f"{name}_setpoint": tag.unit for name, tag in equipment.setpoints.items()}


def _latest(rows: Sequence[Row], units: Mapping[str, str], now_utc: datetime) -> list[dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for row in rows:  # newest first
        values = {name: row[name] for name in _SIGNALS if row[name] is not None}
        values |= json.loads(row["signals"]) if row["signals"] else {}
        for name, value in values.items():
            newest.setdefault(
                name,
                {
                    "signal": name,
                    "value": value,
                    "unit": units.get(name, ""),
                    "quality": row["quality"],
                    "source_time_utc": row["source_time_utc"],
                    "age_s": (now_utc - row["source_time_utc"]).total_seconds(),
                    "recorded_by": row["recorded_by"],
                },
            )
    return list(newest.values())
