"""What the demo plays on: database, broker, plant, gateway and bridge, each a process of its own.

Also the setting of the browser tests, which act on it as operators do.
"""

from __future__ import annotations

import re
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.demo_sql import from_json
from simulator.demo_stage import ROOT, START_S, Child, Demo, DemoError, first_line, script

TICK_S: Final = 0.2
EDGE_NODE: Final = "plant/line1"  # as examples/sparkplug.toml has it
AGENT_NODE: Final = ("plant", "lakebase-agent")  # group and node under which the bridge shows its own tables
AGENT_SERVER: Final = "LakebaseAgent"  # the OPC connection's name in the gateway, as the tags have it
TIME_SCALE: Final = 2.0  # plant seconds per second: the overheating takes some ten seconds and can be watched


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where everything is. ``gateway`` and ``hmi`` are empty where the gateway had to be left out."""

    owner_url: str
    plant: str
    broker: str
    published: str
    gateway: str = ""
    hmi: str = ""


def set_up(demo: Demo, *, database: str = "", hmi_port: int = 0) -> Setting:
    """Start all of it, each part ready before the next needs it. ``database``: an owner's URL instead of our own."""
    demo.say(
        "demo",
        "starting a database, a broker, a plant, a gateway and a bridge, each in its own process",
        "bold",
    )
    url = database or database_url(demo, start_database(demo))
    served = demo.start("broker", sys.executable, "-m", "simulator", "broker", "--port", "0")
    broker = first_line(served).removeprefix("broker ready ")
    plant = start_plant(demo, "--broker", broker, "--sparkplug", EDGE_NODE)
    endpoint = first_line(plant).removeprefix("plant ready ")
    first_line(plant)  # that it has reached the broker
    demo.say("plant", f"ready at {endpoint}, and as Sparkplug edge node {EDGE_NODE} at {broker}")

    configure(demo, endpoint)
    remember(demo, BRIDGE_STORE__URL=url)
    _add_edge_node(demo, broker)
    shown_at = _show_as_tags(demo, broker)
    demo.bridge("db", "migrate")
    _log_in(demo, url)
    gateway, hmi = "", ""
    if shutil.which("jython") is None:
        wants = "the Debian packages jython and libpostgresql-jdbc-java"
        demo.say("gateway", f"left out, and the HMI with it: it wants {wants}", "yellow")
    else:
        gateway, hmi = _add_gateway(demo, endpoint, shown_at, hmi_port)
    published = demo.bridge("tags", "publish").strip().splitlines()
    demo.say("bridge", f"schema is current; {published[-1]}")
    show_check(demo)

    demo.start("bridge", script(), "run")
    wait_until_flowing(demo)
    demo.say(
        "bridge", f"shows its tables as tags at {shown_at}, and as Sparkplug edge node {'/'.join(AGENT_NODE)}"
    )
    return Setting(owner_url=url, plant=endpoint, broker=broker, published=shown_at, gateway=gateway, hmi=hmi)


def start_database(demo: Demo) -> Child:
    """An embedded PostgreSQL in the demo's folder, on its way."""
    return demo.start("database", script(), "db", "serve", "--dir", demo.folder / "db")


def database_url(demo: Demo, started: Child) -> str:
    """The owner's URL of that database, once it is ready."""
    url = first_line(started)
    demo.say("database", "PostgreSQL is ready on 127.0.0.1")
    return url


def start_plant(demo: Demo, *more: str) -> Child:
    """A plant that answers on OPC UA and keeps a record of what is written to it, on its way."""
    return demo.start(
        "plant",
        *(sys.executable, "-m", "simulator", "plant", "--endpoint", "opc.tcp://127.0.0.1:0/plant"),
        *("--tick", str(TICK_S), "--time-scale", str(TIME_SCALE)),
        *("--write-log", demo.folder / "writes.jsonl"),
        *more,
    )


def show_check(demo: Demo, **environment: str) -> None:
    """What `ignition-bridge check` finds, line by line; a problem ends the demo."""
    report = demo.ask("check", **environment)
    for line in report["passed"]:
        demo.say("check", f"✓ {line}", "green")
    for finding in report["findings"]:
        demo.say("check", f"{finding['level']}: {finding['subject']}: {finding['problem']}", "yellow")


def wait_until_flowing(demo: Demo) -> None:
    """The bridge has connected, and every value that it wants arrives."""
    demo.wait_for("the bridge being online with all tags flowing", lambda: _flowing(demo), START_S)
    demo.say("bridge", "online, and every wanted tag is flowing", "green")


def configure(demo: Demo, endpoint: str, name: str = "bridge") -> None:
    """The example configuration with this plant's endpoint, the bridge's own from now on.

    ``name``: of its file, and of the folder where readings wait.
    """
    example = (ROOT / "bridge.example.toml").read_text(encoding="utf-8")
    text, replaced = re.subn(r'^endpoint = ".*"$', f'endpoint = "{endpoint}"', example, flags=re.MULTILINE)
    if replaced != 1:
        raise DemoError(f"bridge.example.toml wants one endpoint, found {replaced}")
    config = demo.folder / f"{name}.toml"
    config.write_text(text, encoding="utf-8")
    remember(demo, BRIDGE_CONFIG=str(config))
    demo.environment["BRIDGE_AGENT__HEARTBEAT_S"] = "1"  # so that nobody waits to see it online
    demo.environment["BRIDGE_BUFFER__DIR"] = str(demo.folder / f"buffer-{name}")


def remember(demo: Demo, **variables: str) -> None:
    """Environment of every command from now on, and of a person's shell: the file `environment` sets the same."""
    demo.environment |= variables
    keeper = demo.folder / "environment"
    keeper.touch(mode=0o600)
    with keeper.open("a", encoding="utf-8") as lines:
        lines.write("".join(f"export {key}='{value}'\n" for key, value in variables.items()))


def _add_edge_node(demo: Demo, broker: str) -> None:
    """The reactor that is read and written over Sparkplug, and by OPC UA no more."""
    _append(demo, "sparkplug.toml", "broker", broker)
    _leave_to_others(demo, '"REACTOR_{01..04}"', '"REACTOR_{01..02}", "REACTOR_04"')


def _append(demo: Demo, example: str, key: str, value: str) -> None:
    """An example configuration with this address, behind what there is."""
    more = (ROOT / "examples" / example).read_text(encoding="utf-8")
    more, replaced = re.subn(rf'^{key} = ".*"$', f'{key} = "{value}"', more, flags=re.MULTILINE)
    if replaced != 1:
        raise DemoError(f"examples/{example} wants one {key}, found {replaced}")
    append(demo, more)


def append(demo: Demo, more: str) -> None:
    """Sections behind what the configuration has."""
    config = Path(demo.environment["BRIDGE_CONFIG"])
    config.write_text(f"{config.read_text(encoding='utf-8')}\n{more}", encoding="utf-8")


def _leave_to_others(demo: Demo, listed: str, left: str) -> None:
    """Another list of equipment for the OPC UA link to the plant."""
    config = Path(demo.environment["BRIDGE_CONFIG"])
    text = config.read_text(encoding="utf-8")
    if text.count(f"ids = [{listed}]") != 1:
        raise DemoError(f"bridge.toml wants the equipment {listed} once, found {text.count(listed)} times")
    config.write_text(text.replace(f"ids = [{listed}]", f"ids = [{left}]"), encoding="utf-8")


def _log_in(demo: Demo, owner_url: str) -> None:
    """A login for each party, as a plant would have it: the bridge's own cannot approve."""
    urls = {"BRIDGE_STORE__OWNER_URL": owner_url}
    for name, party, key in (
        ("demo_bridge", "agent", "BRIDGE_STORE__URL"),
        ("demo_desk", "operator", "BRIDGE_STORE__OPERATOR_URL"),
    ):
        urls[key] = demo.bridge("db", "login", name, "--role", party).strip()
    remember(demo, **urls)
    demo.say("database", "demo_bridge may propose and execute, demo_desk may decide; neither may do both")


def _show_as_tags(demo: Demo, broker: str) -> str:
    """The agent's tables for whoever asks: an OPC UA server, whose endpoint this is, and a Sparkplug edge node."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"opc.tcp://127.0.0.1:{free.getsockname()[1]}/agent"
    group, node = AGENT_NODE
    append(
        demo,
        f'[publish.opcua]\nendpoint = "{endpoint}"\n\n[publish.sparkplug]\nbroker = "{broker}"\n'
        f'version = "3.1.1"\ngroup = "{group}"\nnode = "{node}"\noutbox = "{demo.folder / "outbox.sqlite"}"\n',
    )
    return endpoint


def _add_gateway(demo: Demo, plant: str, shown_at: str, hmi_port: int) -> tuple[str, str]:
    """The stand-in of an Ignition gateway with the built project, and the reactor it writes to; endpoint and HMI."""
    archive = demo.folder / "bridge.zip"
    demo.bridge("project", "build", "--out", str(archive))
    gateway = demo.start(
        "gateway",
        *(sys.executable, "-m", "simulator", "gateway", "--project", archive),
        *("--tags", ROOT / "ignition_project" / "tags" / "tags.json", "--plant", plant),
        *("--device", f"{AGENT_SERVER}={shown_at}"),
        *("--database", demo.environment["BRIDGE_STORE__OPERATOR_URL"]),
        *("--opcua-port", "0", "--tag-group", "Default=200", "--hmi", str(hmi_port)),
    )
    ready = first_line(gateway).split()
    endpoint, hmi = ready[2], ready[-1]
    demo.say("gateway", f"runs the built project in Jython 2.7 and shows its tags at {endpoint}")
    demo.say("hmi", hmi, "bold")
    _append(demo, "gateway.toml", "endpoint", endpoint)
    _leave_to_others(demo, '"REACTOR_{01..02}", "REACTOR_04"', '"REACTOR_{01..02}"')
    return endpoint, hmi


def _flowing(demo: Demo) -> bool | None:
    rows = demo.rows("select detail from agent_health where status = 'online'")
    links = from_json(rows[0]["detail"]).get("links", {}) if rows else {}
    return True if links and all(link["state"] == "flowing" for link in links.values()) else None
