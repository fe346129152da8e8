"""The agent's tables as tags, as others see them: an OPC UA client and a Sparkplug host that know nothing of us."""

from __future__ import annotations

import asyncio
from typing import Final

from simulator.demo_setting import AGENT_NODE, Setting
from simulator.demo_stage import Demo, DemoError
from simulator.opcua.client import PlantCallError, read_values
from simulator.sparkplug.listener import NotHeard, births_of

NAMESPACE: Final = "urn:ignition-bridge:agent"
_WITHIN_S: Final = 60.0


def look(demo: Demo, setting: Setting, equipment: str) -> dict[str, dict[str, object]]:
    """Read the same four tags over both; ``DemoError`` when one of them cannot be seen."""
    paths = (
        "Agent/Status",
        "Control/Armed",
        f"Equipment/{equipment}/LastCommand/Tag",
        f"Equipment/{equipment}/LastCommand/Verdict",
    )
    metrics = {path: path.removeprefix("Equipment/") for path in paths}
    try:
        values = asyncio.run(read_values(setting.published, NAMESPACE, paths))
        heard = asyncio.run(births_of(setting.broker, *AGENT_NODE, set(metrics.values()), within_s=_WITHIN_S))
    except (PlantCallError, NotHeard, OSError, TimeoutError) as problem:
        raise DemoError(f"the agent's tags cannot be seen: {problem}") from problem
    seen: dict[str, dict[str, object]] = {
        "opcua": values,
        "mqtt": {path: heard[name] for path, name in metrics.items()},
    }
    for wire, found in seen.items():
        for path, value in found.items():
            demo.say("tags", f"{wire:<8}{path} = {value}")
    return seen
