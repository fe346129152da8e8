"""The loop on one reactor as the demo plays it, from overheating to a falling temperature, and how it is told."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

from rich.table import Table

from simulator.demo_stage import ROOT, Demo, DemoError, near

OPERATOR: Final = "demo.operator"
WITHIN_S: Final = 90.0  # a busy machine takes long, and a plant heats and cools slowly
_POLL_S: Final = 0.2


def overheat(demo: Demo, reactor: str, plant: str) -> None:
    """A reactor gets more heat than it loses."""
    warm_c = demo.wait_for(f"a stored temperature of {reactor}", lambda: _stored_c(demo, reactor), WITHIN_S)
    demo.say("plant", f"{warm_c:.1f} °C in {reactor}; now it overheats", "bold")
    injected = subprocess.run(
        [sys.executable, "-m", "simulator", "fault", f"overheat {reactor}", "--endpoint", plant],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    if injected.returncode != 0:
        raise DemoError(f"the fault could not be set off: {injected.stderr.strip()}")


def play(
    demo: Demo,
    reactor: str,
    plant: str,
    *,
    writer: str = "bridge",
    ask_around: Callable[[dict[str, Any]], None] | None = None,
    within_s: float = WITHIN_S,
) -> dict[str, Any]:
    """Overheat, wait for the proposal, approve it, wait for the outcome and for the plant to cool.

    ``writer``: who writes the set-points. ``ask_around``: what happens with the proposal before somebody looks at it
    and decides. ``within_s``: how long the outcome may take.
    """
    overheat(demo, reactor, plant)
    row = demo.wait_for("a recommendation", lambda: _proposed(demo, reactor), WITHIN_S)
    demo.say(
        "agent", f"{row['recommendation_id']} {row['severity']}: {row['recommended_action']}", weight(row)
    )
    if row["severity"] == "medium":
        demo.say("operator", "waits for a moment; the temperature still rises")
        row = demo.wait_for("an escalation", lambda: _proposed(demo, reactor, above="medium"), WITHIN_S)
        demo.say(
            "agent",
            f"{row['recommendation_id']} escalated in place to {row['severity']}: {row['recommended_action']}",
            weight(row),
        )
    if ask_around is not None:
        ask_around(row)
    row = demo.ask("recommendations", "show", row["recommendation_id"])
    _show_proposal(demo, row)
    hot_c = _temperature(demo, reactor)
    number = row["recommendation_id"]
    demo.bridge(
        *("recommendations", "approve", number, "--operator", OPERATOR, "--yes"),
        *("--digest", row["write_digest"], "--comment", "demo: cool it down"),
    )
    demo.say("operator", f"{OPERATOR} approved exactly these writes of {number}", "bold green")
    story: dict[str, Any] = demo.wait_for("an outcome", lambda: _outcome(demo, number), within_s)
    if story["recommendation"]["status"] != "executed":
        reason = story["recommendation"]["execution_result"]
        raise DemoError(f"{number} ended {story['recommendation']['status']}: {reason}")
    for step in story["trail"]:
        if step["action"] == "command.executed":
            demo.say(writer, step["words"], "green")
    _watch_it_cool(demo, reactor, hot_c)
    return story


def _show_proposal(demo: Demo, row: dict[str, Any]) -> None:
    table = Table(title=f"{row['recommendation_id']}: the exact writes", title_justify="left")
    for name in ("tag", "now", "new", "unit"):
        table.add_column(name, justify="right" if name in ("now", "new") else "left", overflow="fold")
    for write in row["proposed_writes"]:
        table.add_row(
            write["tag_path"].replace("[", r"\["),
            json.dumps(write["from"]),
            json.dumps(write["to"]),
            write["unit"],
        )
    who = ", says Genie" if row["source"] == "genie" else ""
    demo.say("agent", f"why{who}: {row['root_cause_analysis']}")
    demo.say("agent", f"expected: {row['expected_outcome']}; digest {row['write_digest'][:12]}")
    demo.console.print(table)


def _watch_it_cool(demo: Demo, reactor: str, hot_c: float) -> None:
    """The proof that counts: the plant itself."""
    demo.say("plant", f"{hot_c:.1f} °C in {reactor} when it was approved")
    shown_c = hot_c

    def cooler() -> float | None:
        nonlocal shown_c
        now_c = _temperature(demo, reactor)
        if now_c < shown_c - 2.5:
            demo.say("plant", f"{now_c:.1f} °C in {reactor}", "cyan")
            shown_c = now_c
        return now_c if now_c < min(hot_c - 5.0, 85.0) else None

    cool_c = demo.wait_for("a falling temperature", cooler, WITHIN_S)
    demo.say("plant", f"the temperature falls: {hot_c:.1f} → {cool_c:.1f} °C", "bold green")


def tell_story(demo: Demo, number: str) -> None:
    """One recommendation from the audit trail, in words."""
    demo.say("audit", f"the story of {number}, from the audit trail:", "bold")
    demo.console.file.write(demo.bridge("explain", number))
    demo.console.file.flush()


def tell_commands(demo: Demo, stories: Mapping[str, Mapping[str, Any]]) -> None:
    """What became of each write, by route."""
    wide = _wide(stories)
    for route, told in stories.items():
        for command in told["commands"]:
            demo.say(
                "route",
                f"{route:<{wide}}{command['command_id']} {command['status']}: {command['execution_result']}",
            )


def tell_audit(demo: Demo) -> dict[str, object]:
    """Whether the chain of the audit trail is whole; a broken one ends the demo."""
    audit = demo.ask("db", "verify-audit")
    demo.say("audit", f"{audit['entries']} entries, the chain is whole, head {audit['head'][:12]}", "green")
    return {key: audit[key] for key in ("entries", "verified", "head")}


def tell_times(demo: Demo, stories: Mapping[str, Mapping[str, Any]]) -> None:
    """How long each step took, by route."""
    wide = _wide(stories)
    for route, told in stories.items():
        for name, span_ms in told["timings_ms"].items():
            words = f"{route:<{wide}}{name.replace('_', ' '):<27}{span_ms:>10.1f} ms"
            demo.say("measured", words, "bold")


def _wide(names: Iterable[str]) -> int:
    """Of the column that these stand in."""
    return max(8, *(len(name) + 1 for name in names))


def tell_result(demo: Demo, result: Mapping[str, object]) -> None:
    """Write it down beside the demo's folder, and say so."""
    target = demo.folder.with_suffix(".json")
    target.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    took_s = time.monotonic() - demo.started_s
    demo.say("demo", f"done in {took_s:.0f} s; written to {near(target)}", "bold green")


def for_the_record(story: Mapping[str, Any]) -> dict[str, Any]:
    """What of a story stays in the demo's result."""
    given = next(step for step in story["trail"] if step["action"] == "approval.given")
    return {
        "recommendation": story["recommendation"],
        "approval": {
            "operator": given["actor"],
            "at": given["at"],
            "digest": given["detail"]["digest"],
            "comment": given["detail"].get("comment"),
        },
        "commands": story["commands"],
        "timings_ms": story["timings_ms"],
    }


def stay(demo: Demo, *ways: str) -> NoReturn:
    """Leave everything running for a person to look around, until Ctrl-C."""
    show_ways(demo, *ways)
    while True:
        demo.all_alive()
        time.sleep(_POLL_S)


def show_ways(demo: Demo, *ways: str) -> None:
    """What a person may try while everything is up."""
    demo.say("demo", "everything stays up until Ctrl-C. In another terminal:", "bold")
    for line in (f"source {near(demo.folder / 'environment')}", *ways):
        demo.console.print(f"    {line}", markup=False, soft_wrap=True)


def _proposed(demo: Demo, reactor: str, above: str = "") -> dict[str, Any] | None:
    rows = demo.rows(
        "select recommendation_id, severity, recommended_action, write_digest from agent_recommendations"
        " where equipment_id = %s and status = 'pending' and severity <> %s",
        reactor,
        above,
    )
    return rows[0] if rows else None


def _outcome(demo: Demo, number: str) -> dict[str, Any] | None:
    (row,) = demo.rows("select status from agent_recommendations where recommendation_id = %s", number)
    return None if row["status"] in ("pending", "approved", "executing") else demo.ask("explain", number)


def _temperature(demo: Demo, reactor: str) -> float:
    now_c = _stored_c(demo, reactor)
    if now_c is None:
        raise DemoError(f"no temperature of {reactor} is stored; the logs are in {demo.folder}")
    return now_c


def _stored_c(demo: Demo, reactor: str) -> float | None:
    """The newest one in the tables, in °C."""
    rows = demo.rows(
        "select temperature from sensor_data where equipment_id = %s and temperature is not null"
        " order by timestamp desc limit 1",
        reactor,
    )
    return float(rows[0]["temperature"]) if rows else None


def weight(row: Mapping[str, Any]) -> str:
    """How a recommendation is printed."""
    return "bold red" if row["severity"] in ("high", "critical") else "yellow"
