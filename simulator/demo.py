"""``python -m simulator demo``: the whole route once, with nothing but this checkout and a Python.

With a person at the terminal the HMI opens, and they decide; with nobody there the demo decides by itself through
the bridge's own commands, says what it measured in ``build/demo.json``, and ends. With ``--databricks`` the agent's
tables are in a simulated workspace, and it decides by itself in any case (``demo_databricks``).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from rich.console import Console

from simulator.demo_others import look
from simulator.demo_play import (
    for_the_record,
    overheat,
    play,
    show_ways,
    stay,
    tell_audit,
    tell_commands,
    tell_result,
    tell_story,
    tell_times,
    weight,
)
from simulator.demo_setting import Setting, set_up
from simulator.demo_stage import Demo, DemoError, near, script

REACTOR: Final = "REACTOR_02"  # its set-points are written by the bridge
GATEWAY_REACTOR: Final = "REACTOR_04"  # its set-points are written by the gateway's own script
MQTT_REACTOR: Final = "REACTOR_03"  # read and written as a device of a Sparkplug edge node
_LOOK_S: Final = 1.0
_SECOND_S: Final = 60.0


def run(build: Path, *, databricks: bool = False) -> int:
    """The demo from beginning to end, in a folder of ours below ``build``; the exit code.

    ``databricks``: the one on the simulated workspace.
    """
    person = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, emoji=False)
    folder = build.resolve() / ("demo-databricks" if databricks else "demo")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"another demo is at work in {folder}; wait for its end", style="bold red")
            return 1
        if databricks:
            from simulator.demo_databricks import act_in_workspace  # REST, which the other demo does without

            return _run(folder, console, person, act_in_workspace, "bridge, plant, workspace and database")
        return _run(folder, console, person, _act, "bridge, gateway, plant, broker and database")


def _run(
    folder: Path, console: Console, person: bool, act: Callable[[Demo, bool], None], players: str
) -> int:
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
        act(demo, person)
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
        demo.say("demo", f"{players} have stopped")


def _act(demo: Demo, person: bool) -> None:
    """On a database of our own, over all routes that are there."""
    setting = set_up(demo)
    if person and setting.hmi:
        _by_hand(demo, setting)
    told = {"opcua": play(demo, REACTOR, setting.plant)}
    if setting.gateway:
        words = f"once more, with {GATEWAY_REACTOR}, whose set-points only the gateway writes"
        demo.say("demo", words, "bold")
        told["gateway"] = play(demo, GATEWAY_REACTOR, setting.plant, writer="gateway")
    words = f"and once more, with {MQTT_REACTOR}, which the bridge knows by its Sparkplug messages only"
    demo.say("demo", words, "bold")
    told["mqtt"] = play(demo, MQTT_REACTOR, setting.plant)
    seen = look(demo, setting, MQTT_REACTOR)
    _tell(demo, told, seen)
    if person:
        stay(demo, *_ways(setting))


def _tell(demo: Demo, stories: dict[str, dict[str, Any]], seen: dict[str, dict[str, object]]) -> None:
    """The trail in words, the times by route, the verdict on the audit, and build/demo.json."""
    story = stories["opcua"]
    tell_story(demo, story["recommendation"]["recommendation_id"])
    tell_commands(demo, stories)
    audit = tell_audit(demo)
    tell_times(demo, stories)
    tell_result(
        demo,
        {
            **for_the_record(story),
            **{route: for_the_record(told) for route, told in stories.items() if route != "opcua"},
            "tags": seen,
            "audit": audit,
        },
    )


def _by_hand(demo: Demo, setting: Setting) -> NoReturn:
    """Something overheats, the HMI opens, and a person carries the loop; what they do is told as it happens."""
    overheat(demo, REACTOR, setting.plant)
    opened = webbrowser.open(setting.hmi)
    demo.say("hmi", setting.hmi if opened else f"open {setting.hmi} in a browser", "bold")
    demo.say("hmi", "log in as operator/operator to decide, engineer/engineer to arm, viewer/viewer to look")
    told: dict[str, str] = {}
    waiting = [GATEWAY_REACTOR, MQTT_REACTOR]  # the same on the other routes, while the first is at work
    next_s = time.monotonic() + _SECOND_S
    while True:
        demo.all_alive()
        if waiting and time.monotonic() > next_s:
            overheat(demo, waiting.pop(0), setting.plant)
            next_s += _SECOND_S
            if not waiting:
                show_ways(demo, *_ways(setting))
        for row in demo.rows("select * from agent_recommendations order by created_timestamp"):
            now = f"{row['severity']} is {row['status']}"
            if now != told.get(row["recommendation_id"]):
                told[row["recommendation_id"]] = now
                demo.say("agent", _in_words(row), weight(row))
        time.sleep(_LOOK_S)


def _ways(setting: Setting) -> tuple[str, ...]:
    return (
        f"{near(script())} status",
        f"python -m simulator fault 'overheat REACTOR_01' --endpoint {setting.plant}",
        f"psql {setting.owner_url}",
    )


def _in_words(row: dict[str, Any]) -> str:
    """One recommendation and what has become of it."""
    text = f"{row['recommendation_id']} {row['equipment_id']} {row['severity']} is {row['status']}"
    result = row.get("execution_result") or row.get("rejection_reason")
    return f"{text}: {result or row['recommended_action']}"


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the demo as Ctrl-C does, so that nothing is left running."""
    raise KeyboardInterrupt
