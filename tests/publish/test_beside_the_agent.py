"""`ignition-bridge run` with a published server: a client sees the agent, and the agent goes on without the server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncua.client.client import Client
from publish_stand import free_port, listening, read, until
from rig import Hands

EXAMPLE = Path(__file__).parent.parent.parent / "bridge.example.toml"
SCRIPT = Path(sys.executable).parent / "ignition-bridge"
UP_WITHIN_S = 60.0


@contextmanager
def bridge(folder: Path, url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The bridge as somebody starts it, with no plant that answers."""
    environment = {
        **os.environ,
        "BRIDGE_CONFIG": str(EXAMPLE),
        "BRIDGE_STORE__URL": url,
        "BRIDGE_AGENT__HEARTBEAT_S": "0.2",
        "BRIDGE_PUBLISH__REFRESH_S": "0.2",
        "BRIDGE_PUBLISH__OPCUA__ENDPOINT": f"opc.tcp://127.0.0.1:{port}/agent",
        "BRIDGE_LINKS__PLANT__ENDPOINT": "opc.tcp://127.0.0.1:1/plant",
    }
    with (folder / "bridge.log").open("wb") as log:
        process = subprocess.Popen([SCRIPT, "run"], cwd=folder, env=environment, stderr=log, stdout=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (folder / "bridge.log").read_text(encoding="utf-8")


async def test_an_independent_client_sees_the_agent_alive(
    database_url: str, hands: Hands, tmp_path: Path
) -> None:
    """Status, heartbeats that move, the switch; and the port is free again after the end."""
    port = free_port()
    endpoint = f"opc.tcp://127.0.0.1:{port}/agent"
    with bridge(tmp_path, database_url, port):
        await until(lambda: listening(endpoint), UP_WITHIN_S)
        async with Client(endpoint, timeout=20, watchdog_intervall=20) as client:

            async def value(path: str) -> object:
                found = await read(client, path)
                return found.Value.Value if found.Value is not None else None

            async def online() -> bool:
                return await value("Agent/Status") == "online"

            await until(online, UP_WITHIN_S)
            assert await value("Control/Armed") is True
            first = await value("Agent/LastHeartbeat")

            async def moved() -> bool:
                return await value("Agent/LastHeartbeat") != first

            await until(moved)
            made = hands.propose()

            async def shown() -> bool:
                return await value("Equipment/REACTOR_01/Recommendation/Id") == made

            await until(shown, 5.0)
    assert not await listening(endpoint)


async def test_a_taken_port_leaves_the_agent_working_and_is_said(
    database_url: str, hands: Hands, tmp_path: Path
) -> None:
    """What only shows must not end what acts: heartbeats go on and name what fails."""
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with bridge(tmp_path, database_url, port):

            async def said() -> bool:
                rows = hands.owner.execute(
                    "select detail -> 'failing' as failing from agent_health"
                ).fetchall()
                return bool(rows and "publish opcua" in rows[0]["failing"])

            await until(said, UP_WITHIN_S)
    log = (tmp_path / "bridge.log").read_text(encoding="utf-8")
    assert "choose another port" in log
    assert log.count("task.waiting") < 10
