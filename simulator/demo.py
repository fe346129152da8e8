"""``python -m simulator demo``: the whole route once, with nothing but this checkout and a Python.

Database, plant and bridge run as processes of their own; everything is done through their own commands, as a
person would. The last words are written to ``build/demo.json``.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.table import Table

from simulator.demo_stage import ROOT, Demo, DemoError, first_line, near, script

REACTOR: Final = "REACTOR_02"  # its set-points are written by the bridge
GATEWAY_REACTOR: Final = "REACTOR_04"  # its set-points are written by the gateway's own script
OPERATOR: Final = "demo.operator"
TICK_S: Final = 0.2
TIME_SCALE: Final = 2.0  # plant seconds per second: the overheating takes some ten seconds and can be watched

_POLL_S: Final = 0.2


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
    try:
        url, endpoint = _set_up(demo)
        story = _play(demo, REACTOR)
        told = {"opcua": story}
        if demo.gateway:
            words = f"once more, with {GATEWAY_REACTOR}, whose set-points only the gateway writes"
            demo.say("demo", words, "bold")
            told["gateway"] = _play(demo, GATEWAY_REACTOR)
        _tell(demo, told)
        if person:
            _stay(demo, url, endpoint)
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
        demo.say("demo", "bridge, gateway, plant and database have stopped")


def _set_up(demo: Demo) -> tuple[str, str]:
    """Database, plant and bridge, each ready before the next needs it; the owner's URL and the endpoint."""
    demo.say("demo", "starting a database, a plant, a gateway and a bridge, each in its own process", "bold")
    database = demo.start("database", script(), "db", "serve", "--dir", demo.folder / "db")
    url = first_line(database, 60)
    demo.say("database", "PostgreSQL is ready on 127.0.0.1")

    plant = demo.start(
        "plant",
        *(sys.executable, "-m", "simulator", "plant", "--endpoint", "opc.tcp://127.0.0.1:0/plant"),
        *("--tick", str(TICK_S), "--time-scale", str(TIME_SCALE)),
        *("--write-log", demo.folder / "writes.jsonl"),
    )
    endpoint = first_line(plant, 30).removeprefix("plant ready ")
    demo.say("plant", f"ready at {endpoint}")

    _configure(demo, url, endpoint)
    demo.bridge("db", "migrate")
    _log_in(demo, url)
    demo.gateway = shutil.which("jython") is not None
    if demo.gateway:
        _add_gateway(demo, endpoint)
    else:
        demo.say(
            "gateway", "left out: it wants the Debian packages jython and libpostgresql-jdbc-java", "yellow"
        )
    published = demo.bridge("tags", "publish").strip().splitlines()
    demo.say("bridge", f"schema is current; {published[-1]}")
    report = demo.ask("check")
    for line in report["passed"]:
        demo.say("check", f"✓ {line}", "green")
    for finding in report["findings"]:
        demo.say("check", f"{finding['level']}: {finding['subject']}: {finding['problem']}", "yellow")

    demo.start("bridge", script(), "run")
    demo.wait_for("the bridge being online with all tags flowing", lambda: _flowing(demo), 30)
    demo.say("bridge", "online, and every wanted tag is flowing", "green")
    return url, endpoint


def _configure(demo: Demo, url: str, endpoint: str) -> None:
    """The example configuration with this plant's endpoint, and the URL in the environment only."""
    example = (ROOT / "bridge.example.toml").read_text(encoding="utf-8")
    text, replaced = re.subn(r'^endpoint = ".*"$', f'endpoint = "{endpoint}"', example, flags=re.MULTILINE)
    if replaced != 1:
        raise DemoError(f"bridge.example.toml wants one endpoint, found {replaced}")
    (demo.folder / "bridge.toml").write_text(text, encoding="utf-8")
    keeper = demo.folder / "environment"
    keeper.touch(mode=0o600)
    keeper.write_text(
        f"export BRIDGE_CONFIG='{demo.folder / 'bridge.toml'}' BRIDGE_STORE__URL='{url}'\n", encoding="utf-8"
    )
    demo.environment |= {"BRIDGE_CONFIG": str(demo.folder / "bridge.toml"), "BRIDGE_STORE__URL": url}
    demo.environment["BRIDGE_AGENT__HEARTBEAT_S"] = "1"  # so that nobody waits to see it online


def _log_in(demo: Demo, owner_url: str) -> None:
    """A login for each party, as a plant would have it: the bridge's own cannot approve."""
    urls = {"BRIDGE_STORE__OWNER_URL": owner_url}
    for name, party, key in (
        ("demo_bridge", "agent", "BRIDGE_STORE__URL"),
        ("demo_desk", "operator", "BRIDGE_STORE__OPERATOR_URL"),
    ):
        urls[key] = demo.bridge("db", "login", name, "--role", party).strip()
    demo.environment |= urls
    with (demo.folder / "environment").open("a", encoding="utf-8") as keeper:
        keeper.write("".join(f"export {key}='{url}'\n" for key, url in urls.items()))
    demo.say("database", "demo_bridge may propose and execute, demo_desk may decide; neither may do both")


def _add_gateway(demo: Demo, plant: str) -> None:
    """The stand-in of an Ignition gateway with the built project, and the reactor it writes to."""
    archive = demo.folder / "bridge.zip"
    demo.bridge("project", "build", "--out", str(archive))
    gateway = demo.start(
        "gateway",
        *(sys.executable, "-m", "simulator", "gateway", "--project", archive),
        *("--tags", ROOT / "ignition_project" / "tags" / "tags.json", "--plant", plant),
        *("--database", demo.environment["BRIDGE_STORE__OPERATOR_URL"]),
        *("--opcua-port", "0", "--tag-group", "Default=200"),
    )
    endpoint = first_line(gateway, 60).split()[2]
    demo.say("gateway", f"runs the built project in Jython 2.7 and shows its tags at {endpoint}")
    more = (ROOT / "examples" / "gateway.toml").read_text(encoding="utf-8")
    more, replaced = re.subn(r'^endpoint = ".*"$', f'endpoint = "{endpoint}"', more, flags=re.MULTILINE)
    config = demo.folder / "bridge.toml"
    text = config.read_text(encoding="utf-8").replace("REACTOR_{01..04}", "REACTOR_{01..03}")
    if replaced != 1:
        raise DemoError(f"examples/gateway.toml wants one endpoint, found {replaced}")
    config.write_text(f"{text}\n{more}", encoding="utf-8")


def _flowing(demo: Demo) -> bool | None:
    status = demo.ask("status")
    if not status["online"]:
        return None
    links = status["agents"][0]["detail"].get("links", {})
    return True if links and all(link["state"] == "flowing" for link in links.values()) else None


def _play(demo: Demo, reactor: str) -> dict[str, Any]:
    """Overheat, wait for the proposal, approve it, wait for the outcome and for the plant to cool."""
    demo.say("plant", f"{_temperature(demo, reactor):.1f} °C in {reactor}; now it overheats", "bold")
    endpoint = re.search(
        r'^endpoint = "(.*)"$', (demo.folder / "bridge.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert endpoint is not None
    injected = subprocess.run(
        [sys.executable, "-m", "simulator", "fault", f"overheat {reactor}", "--endpoint", endpoint[1]],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    if injected.returncode != 0:
        raise DemoError(f"the fault could not be set off: {injected.stderr.strip()}")

    row = demo.wait_for("a recommendation", lambda: _proposed(demo, reactor), 60)
    demo.say(
        "agent", f"{row['recommendation_id']} {row['severity']}: {row['recommended_action']}", _weight(row)
    )
    if row["severity"] == "medium":
        demo.say("operator", "waits for a moment; the temperature still rises")
        row = demo.wait_for("an escalation", lambda: _proposed(demo, reactor, above="medium"), 60)
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
    story: dict[str, Any] = demo.wait_for("an outcome", lambda: _outcome(demo, number), 30)
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

    cool_c = demo.wait_for("a falling temperature", cooler, 30)
    demo.say("plant", f"the temperature falls: {hot_c:.1f} → {cool_c:.1f} °C", "bold green")


def _tell(demo: Demo, stories: dict[str, dict[str, Any]]) -> None:
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


def _stay(demo: Demo, url: str, endpoint: str) -> NoReturn:
    """Leave everything running for a person to look around, until Ctrl-C."""
    demo.say("demo", "everything stays up until Ctrl-C. In another terminal:", "bold")
    for line in (
        f"source {near(demo.folder / 'environment')}",
        f"{near(script())} status",
        f"python -m simulator fault 'overheat REACTOR_03' --endpoint {endpoint}",
        f"psql {url}",
    ):
        demo.console.print(f"    {line}", markup=False, soft_wrap=True)
    while True:
        demo.all_alive()
        time.sleep(_POLL_S)


def _proposed(demo: Demo, reactor: str, above: str = "") -> dict[str, Any] | None:
    rows: list[dict[str, Any]] = demo.ask("recommendations", "list")["recommendations"]
    for row in rows:
        if row["equipment_id"] == reactor and row["status"] == "pending" and row["severity"] != above:
            # The list shows what is needed to choose, `show` what is needed to decide.
            return demo.ask("recommendations", "show", row["recommendation_id"])
    return None


def _outcome(demo: Demo, number: str) -> dict[str, Any] | None:
    story = demo.ask("explain", number)
    return story if story["recommendation"]["status"] not in ("pending", "approved", "executing") else None


def _temperature(demo: Demo, reactor: str) -> float:
    for entry in demo.ask("readings", reactor)["latest"]:
        if entry["signal"] == "temperature":
            return float(entry["value"])
    raise DemoError(f"no temperature of {reactor} is stored; the logs are in {demo.folder}")


def _weight(row: dict[str, Any]) -> str:
    return "bold red" if row["severity"] in ("high", "critical") else "yellow"


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the demo as Ctrl-C does, so that nothing is left running."""
    raise KeyboardInterrupt
