"""``python -m simulator demo``: the whole route once, with nothing but this checkout and a Python.

With a person at the terminal the HMI opens, and they decide; with nobody there the demo decides by itself through
the bridge's own commands, says what it measured in ``build/demo.json``, and ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.table import Table

from simulator.demo_others import look
from simulator.demo_setting import Setting, set_up
from simulator.demo_stage import ROOT, Demo, DemoError, near, script

REACTOR: Final = "REACTOR_02"  # its set-points are written by the bridge
GATEWAY_REACTOR: Final = "REACTOR_04"  # its set-points are written by the gateway's own script
MQTT_REACTOR: Final = "REACTOR_03"  # read and written as a device of a Sparkplug edge node
OPERATOR: Final = "demo.operator"
_POLL_S: Final = 0.2
_LOOK_S: Final = 1.0
_SECOND_S: Final = 60.0
_WITHIN_S: Final = 90.0  # a busy machine takes long, and a plant heats and cools slowly


def run(build: Path) -> int:
    """The demo from beginning to end, in a folder of ours below ``build``; the exit code."""
    person = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, emoji=False)
    folder = build.resolve() / "demo"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"another demo is at work in {folder}; wait for its end", style="bold red")
            return 1
        return _run(folder, console, person)


def _run(folder: Path, console: Console, person: bool) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".json").unlink(
        missing_ok=True
    )  # what stands there is of the last demo that succeeded
    folder.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    if console.is_terminal:
        environment["FORCE_COLOR"] = "1"
        environment["COLUMNS"] = str(console.width)
    demo = Demo(folder, console, environment)
    signal.signal(signal.SIGTERM, _leave)
    if person:  # some shells start what they start in the background with Ctrl-C ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        setting = set_up(demo)
        if person and setting.hmi:
            _by_hand(demo, setting)
        told = {"opcua": _play(demo, REACTOR, setting.plant)}
        if setting.gateway:
            words = f"once more, with {GATEWAY_REACTOR}, whose set-points only the gateway writes"
            demo.say("demo", words, "bold")
            told["gateway"] = _play(demo, GATEWAY_REACTOR, setting.plant)
        words = f"and once more, with {MQTT_REACTOR}, which the bridge knows by its Sparkplug messages only"
        demo.say("demo", words, "bold")
        told["mqtt"] = _play(demo, MQTT_REACTOR, setting.plant)
        seen = look(demo, setting, MQTT_REACTOR)
        _tell(demo, told, seen)
        if person:
            _stay(demo, setting)
        return 0
    except DemoError as problem:
        demo.say("demo", f"failed: {problem}", "bold red")
        return 1
    except KeyboardInterrupt:
        console.print()
        demo.say("demo", "stopped by a person")
        return 130 if not person else 0
    finally:
        demo.stop()
        shutil.rmtree(folder / "db", ignore_errors=True)
        demo.say("demo", "bridge, gateway, plant, broker and database have stopped")


def _by_hand(demo: Demo, setting: Setting) -> NoReturn:
    """Something overheats, the HMI opens, and a person carries the loop; what they do is told as it happens."""
    _overheat(demo, REACTOR, setting.plant)
    opened = webbrowser.open(setting.hmi)
    demo.say("hmi", setting.hmi if opened else f"open {setting.hmi} in a browser", "bold")
    demo.say("hmi", "log in as operator/operator to decide, engineer/engineer to arm, viewer/viewer to look")
    told: dict[str, str] = {}
    waiting = [GATEWAY_REACTOR, MQTT_REACTOR]  # the same on the other routes, while the first is at work
    next_s = time.monotonic() + _SECOND_S
    while True:
        demo.all_alive()
        if waiting and time.monotonic() > next_s:
            _overheat(demo, waiting.pop(0), setting.plant)
            next_s += _SECOND_S
            if not waiting:
                _show_ways(demo, setting)
        for row in demo.rows("select * from agent_recommendations order by created_timestamp"):
            now = f"{row['severity']} is {row['status']}"
            if now != told.get(row["recommendation_id"]):
                told[row["recommendation_id"]] = now
                demo.say("agent", _in_words(row), _weight(row))
        time.sleep(_LOOK_S)


def _in_words(row: dict[str, Any]) -> str:
    """One recommendation and what has become of it."""
    text = f"{row['recommendation_id']} {row['equipment_id']} {row['severity']} is {row['status']}"
    result = row.get("execution_result") or row.get("rejection_reason")
    return f"{text}: {result or row['recommended_action']}"


def _overheat(demo: Demo, reactor: str, plant: str) -> None:
    demo.say("plant", f"{_temperature(demo, reactor):.1f} °C in {reactor}; now it overheats", "bold")
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


def _play(demo: Demo, reactor: str, plant: str) -> dict[str, Any]:
    """Overheat, wait for the proposal, approve it, wait for the outcome and for the plant to cool."""
    _overheat(demo, reactor, plant)
    row = demo.wait_for("a recommendation", lambda: _proposed(demo, reactor), _WITHIN_S)
    demo.say(
        "agent", f"{row['recommendation_id']} {row['severity']}: {row['recommended_action']}", _weight(row)
    )
    if row["severity"] == "medium":
        demo.say("operator", "waits for a moment; the temperature still rises")
        row = demo.wait_for("an escalation", lambda: _proposed(demo, reactor, above="medium"), _WITHIN_S)
        demo.say(
            "agent",
            f"{row['recommendation_id']} escalated in place to {row['severity']}: {row['recommended_action']}",
            _weight(row),
        )
    _show_proposal(demo, row)
    hot_c = _temperature(demo, reactor)
    number = row["recommendation_id"]
    demo.bridge(
        *("recommendations", "approve", number, "--operator", OPERATOR, "--yes"),
        *("--digest", row["write_digest"], "--comment", "demo: cool it down"),
    )
    demo.say("operator", f"{OPERATOR} approved exactly these writes of {number}", "bold green")
    story: dict[str, Any] = demo.wait_for("an outcome", lambda: _outcome(demo, number), _WITHIN_S)
    if story["recommendation"]["status"] != "executed":
        reason = story["recommendation"]["execution_result"]
        raise DemoError(f"{number} ended {story['recommendation']['status']}: {reason}")
    for step in story["trail"]:
        if step["action"] == "command.executed":
            demo.say("gateway" if reactor == GATEWAY_REACTOR else "bridge", step["words"], "green")
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
    demo.say("agent", f"why: {row['root_cause_analysis']}")
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

    cool_c = demo.wait_for("a falling temperature", cooler, _WITHIN_S)
    demo.say("plant", f"the temperature falls: {hot_c:.1f} → {cool_c:.1f} °C", "bold green")


def _tell(demo: Demo, stories: dict[str, dict[str, Any]], seen: dict[str, dict[str, object]]) -> None:
    """The trail in words, the times by route, the verdict on the audit, and build/demo.json."""
    story = stories["opcua"]
    number = story["recommendation"]["recommendation_id"]
    demo.say("audit", f"the story of {number}, from the audit trail:", "bold")
    demo.console.file.write(demo.bridge("explain", number))
    demo.console.file.flush()
    for route, told in stories.items():
        for command in told["commands"]:
            demo.say(
                "route",
                f"{route:<8}{command['command_id']} {command['status']}: {command['execution_result']}",
            )
    audit = demo.ask("db", "verify-audit")
    demo.say("audit", f"{audit['entries']} entries, the chain is whole, head {audit['head'][:12]}", "green")
    for route, told in stories.items():
        for name, span_ms in told["timings_ms"].items():
            demo.say("measured", f"{route:<8}{name.replace('_', ' '):<27}{span_ms:>10.1f} ms", "bold")
    result = {
        **_told(story),
        **{route: _told(told) for route, told in stories.items() if route != "opcua"},
        "tags": seen,
        "audit": {key: audit[key] for key in ("entries", "verified", "head")},
    }
    target = demo.folder.with_suffix(".json")
    target.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    took_s = time.monotonic() - demo.started_s
    demo.say("demo", f"done in {took_s:.0f} s; written to {near(target)}", "bold green")


def _told(story: dict[str, Any]) -> dict[str, Any]:
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


def _stay(demo: Demo, setting: Setting) -> NoReturn:
    """Leave everything running for a person to look around, until Ctrl-C."""
    _show_ways(demo, setting)
    while True:
        demo.all_alive()
        time.sleep(_POLL_S)


def _show_ways(demo: Demo, setting: Setting) -> None:
    demo.say("demo", "everything stays up until Ctrl-C. In another terminal:", "bold")
    for line in (
        f"source {near(demo.folder / 'environment')}",
        f"{near(script())} status",
        f"python -m simulator fault 'overheat REACTOR_01' --endpoint {setting.plant}",
        f"psql {setting.owner_url}",
    ):
        demo.console.print(f"    {line}", markup=False, soft_wrap=True)


def _proposed(demo: Demo, reactor: str, above: str = "") -> dict[str, Any] | None:
    rows = demo.rows(
        "select recommendation_id from agent_recommendations"
        " where equipment_id = %s and status = 'pending' and severity <> %s",
        reactor,
        above,
    )
    return demo.ask("recommendations", "show", rows[0]["recommendation_id"]) if rows else None


def _outcome(demo: Demo, number: str) -> dict[str, Any] | None:
    (row,) = demo.rows("select status from agent_recommendations where recommendation_id = %s", number)
    return None if row["status"] in ("pending", "approved", "executing") else demo.ask("explain", number)


def _temperature(demo: Demo, reactor: str) -> float:
    """The newest that is stored; the first of all may be on its way still."""

    def newest() -> float | None:
        rows = demo.rows(
            "select temperature from sensor_data where equipment_id = %s and temperature is not null"
            " order by timestamp desc limit 1",
            reactor,
        )
        return float(rows[0]["temperature"]) if rows else None

    temperature_c: float = demo.wait_for(f"a temperature of {reactor}", newest, _WITHIN_S)
    return temperature_c


def _weight(row: dict[str, Any]) -> str:
    return "bold red" if row["severity"] in ("high", "critical") else "yellow"


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the demo as Ctrl-C does, so that nothing is left running."""
    raise KeyboardInterrupt
