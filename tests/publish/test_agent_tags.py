"""Do the tags of the Ignition project show what the bridge's own OPC UA server publishes?"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.gateway_stand import project, script
from publish_stand import Stand, until

from simulator.gateway.process import GatewayProcess
from simulator.process import ROOT

NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/none"
TAGS = ROOT / "ignition_project" / "tags" / "tags.json"
START = "[default]Bridge Agent/"


async def test_the_agents_tags_are_live_in_a_gateway(stand: Stand, tmp_path: Path) -> None:
    """Two OPC connections, of which one is the bridge's server: its tags must all be good, and follow."""
    arguments = (
        *("--project", str(project(tmp_path / "Empty.zip", script("a/b", "x = 1\n")))),
        *("--tags", str(TAGS), "--database", NOWHERE, "--tag-group", "Default=50", "--hold-timers"),
        *("--device", f"LakebaseAgent={stand.endpoint}"),
    )
    gateway = await asyncio.to_thread(GatewayProcess.start, *arguments)
    try:

        async def tag(path: str) -> tuple[Any, str]:
            return await asyncio.to_thread(gateway.read, START + path)

        async def shows(path: str, value: object) -> None:
            async def there() -> bool:
                return await tag(path) == (value, "Good")

            await until(there)

        await shows("Agent/Id", "operations-agent")
        await shows("Control/Armed", True)
        for path in ("Agent/Status", "Agent/PollsCompleted", "Agent/BufferDepth", "Counts/failed/total"):
            assert (await tag(path))[1] == "Good", path
        await shows("Equipment/REACTOR_01/Recommendation/Id", "")
        made = stand.hands.propose()
        await shows("Equipment/REACTOR_01/Recommendation/Id", made)
        await shows("Equipment/REACTOR_01/Recommendation/Severity", "high")
        await shows("Counts/pending/high", 1)
        await shows("Equipment/REACTOR_02/Recommendation/Id", "")
        created, quality = await tag("Equipment/REACTOR_01/Recommendation/CreatedAt")
        assert (str(created)[:2], quality) == ("20", "Good")
        plant = await asyncio.to_thread(gateway.read, "[default]REACTOR_01/Temperature")
        assert plant == (None, "Bad_NotConnected(\"there is no OPC connection 'Plant'\")")
    finally:
        await asyncio.to_thread(gateway.stop)
