"""How things look to a person: tables and words. Colour helps, and never carries anything alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.domain.tag import DataType, Tag
from bridge.report import Level, Report
from bridge.store.connection import Row
from bridge.store.desk import Control
from bridge.story import NotKnown, Step, advice_lines, duration, exact, told_by, write_line, writes_of

BOX = box.SIMPLE_HEAD

_SEVERITY = {"critical": "bold red", "high": "red", "medium": "yellow", "low": ""}
_STATUS = {
    "pending": "yellow",
    "approved": "cyan",
    "executing": "cyan",
    "executed": "green",
    "failed": "red",
    "unknown": "bold magenta",  # neither red nor green: nobody knows
}
COMMAND_ORDER = ("unknown", "executing", "pending", "failed", "executed", "cancelled")


def severity(word: str) -> Text:
    """The word, coloured by weight."""
    return Text(word, style=_SEVERITY.get(word, ""))


def status_word(word: str) -> Text:
    """The word, coloured by what it asks of people."""
    return Text(word, style=_STATUS.get(word, ""))


def limits_in_words(tag: Tag) -> str:
    """`100 to 800 kg/h, step 300, 20 per hour`, or `never`."""
    limits = tag.limits
    if limits is None:
        return "never"
    if tag.data_type is DataType.BOOLEAN:
        span = "true or false"
    else:
        span = f"{limits.low:g} to {limits.high:g} {tag.unit}".rstrip()
    step = f", step up to {limits.max_step:g}" if limits.max_step is not None else ""
    return f"{span}{step}, {limits.max_writes_per_hour} writes an hour"


def show_report(console: Console, report: Report) -> None:
    """What was checked, what passed, what did not, and what to do."""
    for line in report.looked_at:
        console.print(f"✓ {line}", style="green", soft_wrap=True)
    for level, style in ((Level.WARNING, "yellow"), (Level.PROBLEM, "red")):
        for finding in report.findings:
            if finding.level is level:
                text = f"{level.value} · {finding.area} · {finding.subject}: {finding.problem}"
                if finding.advice:
                    text += f" → {finding.advice}"
                console.print(text, style=style, soft_wrap=True)
    for line in report.promises:
        console.print(f"· promises: {line}", soft_wrap=True)
    problems = len(report.problems)
    warned = len(report.findings) - problems
    console.print(f"{_count(problems, 'problem')}, {_count(warned, 'warning')}")


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def show_recommendations(console: Console, rows: Sequence[Row]) -> None:
    """The open ones, most severe first."""
    if not rows:
        console.print("no recommendation is open")
        return
    table = Table("id", "severity", "equipment", "issue", "status", "exact writes", "open for", box=BOX)
    for row in rows:
        writes = [write_line(write) for write in writes_of(row)]
        table.add_row(
            row["recommendation_id"],
            severity(row["severity"]),
            row["equipment_id"],
            row["issue_type"],
            status_word(row["status"]),
            Text(
                "\n".join(writes) if writes else f"none: {row['recommended_action'] or 'a person has to act'}"
            ),
            duration(float(row["age_s"])),
        )
    console.print(table)


def show_recommendation(console: Console, row: Row) -> None:
    """One recommendation as an operator has to see it before deciding."""
    headline = Text(f"{row['recommendation_id']}  ", style="bold")
    headline.append_text(severity(row["severity"]))
    headline.append(f"  {row['equipment_id']}  {row['issue_type']}  ")
    headline.append_text(status_word(row["status"]))
    console.print(headline)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in _facts(row):
        grid.add_row(label, value)
    console.print(grid)
    show_writes(console, writes_of(row))
    console.print(f"digest of these writes  {row['write_digest']}", style="dim", soft_wrap=True)


def _facts(row: Row) -> list[tuple[str, str]]:
    readings = [
        f"{name} {row[column]:.4g} {unit}"
        for name, column, unit in (
            ("temperature", "temperature_reading", "°C"),
            ("pressure", "pressure_reading", "bar"),
            ("flow", "flow_rate_reading", "l/min"),
        )
        if row[column] is not None
    ]
    confidence = row["confidence_score"]
    expires_s = float(row["expires_in_s"])
    facts: list[tuple[str, str | None]] = [
        ("why", told_by(row["source"], row["root_cause_analysis"])),
        ("readings", ", ".join(readings)),
        ("proposed action", row["recommended_action"]),
        ("expected", row["expected_outcome"]),
        ("advice", "\n".join(advice_lines(json.loads(row["evidence"])))),
        ("confidence", f"{confidence:.0%}" if confidence is not None else None),
        (
            "proposed by",
            f"{row['created_by_agent']} ({row['source']}), {duration(float(row['age_s']))} ago, "
            f"{row['created_timestamp']:%Y-%m-%d %H:%M:%S} UTC",
        ),
        ("approvals needed", str(row["approvals_required"]) if row["approvals_required"] > 1 else None),
        (
            "may be approved",
            (
                f"for another {duration(expires_s)}"
                if expires_s > 0
                else f"no more, expired {duration(-expires_s)} ago"
            )
            if row["status"] == "pending"
            else None,
        ),
        ("approved by", _by(row, "approved_by_operator", "approved_timestamp")),
        ("decided by", row["decided_by_operator"]),
        ("deferred until", f"{row['defer_until']:%Y-%m-%d %H:%M:%S} UTC" if row["defer_until"] else None),
        ("rejected because", row["rejection_reason"]),
        ("notes", row["operator_notes"]),
        ("outcome", row["execution_result"]),
    ]
    return [(label, value) for label, value in facts if value]


def _by(row: Row, who: str, when: str) -> str | None:
    return f"{row[who]}, {row[when]:%Y-%m-%d %H:%M:%S} UTC" if row[who] and row[when] else row[who]


def show_writes(console: Console, writes: Sequence[Mapping[str, Any]]) -> None:
    """The exact writes: which tag, what it showed, what it will be given."""
    if not writes:
        console.print("no exact write: approving this opens a work order for a person, and no tag is written")
        return
    table = Table(box=BOX, title="exact writes", title_justify="left", title_style="bold")
    table.add_column("tag", overflow="fold")
    table.add_column("now", justify="right")
    table.add_column("", justify="center")
    table.add_column("new", justify="right", style="bold")
    table.add_column("unit")
    for write in writes:
        table.add_row(write["tag_path"], exact(write["from"]), "→", exact(write["to"]), write["unit"])
    console.print(table)


def show_control(console: Console, state: Control) -> None:
    """Armed or not, and who said so."""
    word = (
        "armed: approved writes go to the plant"
        if state.armed
        else "DISARMED: nothing is written to the plant"
    )
    console.print(word, style="green" if state.armed else "bold yellow")
    console.print(f"by {state.changed_by}, {state.changed_utc:%Y-%m-%d %H:%M:%S} UTC: {state.reason}")


def show_status(
    console: Console,
    *,
    agents: Sequence[Row],
    state: Control,
    recommendations: Sequence[Row],
    commands: Mapping[str, int],
    unsettled: Sequence[Row],
) -> None:
    """The bridge at one look: is anybody there, may it write, what waits, what is not known."""
    if not agents:
        console.print("no agent has ever reported here; `ignition-bridge run` starts one", style="bold red")
    elif not any(agent["status"] == "online" for agent in agents):
        console.print("no agent is online: nothing is detected, proposed or written", style="bold red")
    if agents:
        table = Table("agent", "state", "heartbeat", "site", "cycle", "polls", "links", "buffer", box=BOX)
        for agent in agents:
            online = agent["status"] == "online"
            table.add_row(
                agent["agent_id"],
                Text(agent["status"], style="green" if online else "bold red"),
                f"{duration(float(agent['heartbeat_age_s']))} ago",
                agent["site"],
                f"{agent['cycle_ms']:.1f} ms" if agent["cycle_ms"] is not None else "",
                str(agent["polls_completed"]),
                _links(json.loads(agent["detail"])) if online else "",
                _buffer(json.loads(agent["detail"])) if online else "",
            )
        console.print(table)
    show_control(console, state)
    console.print()
    if unsettled:
        console.print(
            f"? outcome not known of {len(unsettled)} command{'' if len(unsettled) == 1 else 's'}: "
            + ", ".join(f"{row['command_id']} ({row['tag_path']})" for row in unsettled)
            + "; `ignition-bridge explain` tells each",
            style="bold magenta",
            soft_wrap=True,
        )
    if commands:
        line = Text("commands (live, and of the last 24 h): ")
        for number, word in enumerate(word for word in COMMAND_ORDER if commands.get(word)):
            line.append(", " if number else "")
            line.append(f"{commands[word]} {word}", style=_STATUS.get(word, ""))
        console.print(line)
    else:
        console.print("commands: none in the last 24 h")
    if not recommendations:
        console.print("recommendations: none is open")
        return
    line = Text(f"recommendations open: {len(recommendations)} (")
    counts = {word: sum(row["severity"] == word for row in recommendations) for word in _SEVERITY}
    for number, (word, count) in enumerate((word, count) for word, count in counts.items() if count):
        line.append(", " if number else "")
        line.append(f"{count} {word}", style=_SEVERITY[word])
    line.append(")")
    console.print(line)
    show_recommendations(console, recommendations)


def _links(detail: Mapping[str, Any]) -> str:
    links = detail.get("links")
    if not isinstance(links, Mapping):
        return ""
    return ", ".join(
        f"{name} {link.get('state', '?')}" if isinstance(link, Mapping) else f"{name} {link}"
        for name, link in links.items()
    )


def _buffer(detail: Mapping[str, Any]) -> Text:
    """`1,204 readings on disk, oldest 35.0 s`, and in red what was lost or does not work."""
    buffer = detail.get("buffer")
    if not isinstance(buffer, Mapping):
        return Text("")
    depth, dropped, oldest_s = buffer.get("depth") or 0, buffer.get("dropped") or 0, buffer.get("oldest_s")
    state = buffer.get("state", "?")
    if state == "down":
        text = Text(f"not in use: {buffer.get('detail') or 'no reason given'}", style="bold red")
    elif not depth:
        text = Text("empty")
    else:
        age = "" if oldest_s is None else f", oldest {duration(float(oldest_s))}"
        more = {"draining": ", being stored now", "full": ", full"}.get(state, "")
        text = Text(f"{depth:,} readings on disk{age}{more}", style="yellow")
    if dropped:
        text.append(f", {dropped:,} dropped", style="bold red")
    return text


def show_story(
    console: Console,
    row: Row,
    told: Sequence[Step],
    work_orders: Sequence[Row],
    timings_ms: Mapping[str, float],
    unknown: Sequence[NotKnown],
) -> None:
    """What happened, in order, with times; then how it stands and what nobody knows."""
    headline = Text(f"{row['recommendation_id']}  ", style="bold")
    headline.append_text(severity(row["severity"]))
    headline.append(f"  {row['equipment_id']}  {row['issue_type']}  ")
    headline.append_text(status_word(row["status"]))
    console.print(headline)
    if told:
        console.print(f"times are UTC of {told[0].at_utc:%Y-%m-%d}, by the database's clock", style="dim")
    table = Table(box=BOX)
    table.add_column("time", no_wrap=True)
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True, style="dim")
    table.add_column("what happened", overflow="fold")
    for number, step in enumerate(told):
        what = Text(step.words, style=_step_style(step.action))
        for line in step.lines:
            what.append(f"\n  {line}", style="dim")
        table.add_row(
            f"{step.at_utc:%H:%M:%S}.{step.at_utc.microsecond // 1000:03d}",
            f"+{duration(step.since_start_ms / 1000)}" if number else "",
            f"+{duration(step.since_previous_ms / 1000)}" if number else "",
            what,
        )
    console.print(table)
    for order in work_orders:
        console.print(f"work order {order['work_order_id']} is {order['status']}: {order['description']}")
    if row["execution_result"] and not (told and told[-1].detail.get("execution_result")):
        console.print(f"outcome: {row['execution_result']}", soft_wrap=True)
    if timings_ms:
        spans = (f"{name.replace('_', ' ')} {duration(span / 1000)}" for name, span in timings_ms.items())
        console.print("measured: " + ", ".join(spans), soft_wrap=True)
    for item in unknown:
        console.print()
        console.print(f"? {item.headline}", style="bold magenta", soft_wrap=True)
        for fact in item.facts:
            console.print(f"  {fact}", soft_wrap=True)
        console.print("  what can be done:")
        for number, action in enumerate(item.actions, start=1):
            console.print(f"  {number}. {action}", soft_wrap=True)


def _step_style(action: str) -> str:
    return _STATUS.get(action.rpartition(".")[2], "")


def show_readings(console: Console, equipment_id: str, latest: Sequence[Mapping[str, Any]]) -> None:
    """The newest value of every signal, with its age: an old value is not a present one."""
    if not latest:
        console.print(f"{equipment_id}: no reading within the last hour", style="yellow")
        return
    table = Table("signal", box=BOX)
    table.add_column("value", justify="right")
    for name in ("unit", "quality", "age", "from"):
        table.add_column(name)
    for entry in latest:
        value = entry["value"]
        table.add_row(
            entry["signal"],
            f"{value:.2f}" if isinstance(value, float) else exact(value),
            entry["unit"],
            Text(entry["quality"], style="" if entry["quality"] == "good" else "yellow"),
            f"{duration(entry['age_s'])} ago",
            entry["recorded_by"],
        )
    console.print(table)
