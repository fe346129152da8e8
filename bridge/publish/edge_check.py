"""What can be known of the Sparkplug edge node before it runs: broker, rights, primary host, and the outbox's place."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bridge.errors import PayloadError
from bridge.publish.edge import Incoming, OpenWire
from bridge.publish.edge_node import EdgeNode, read_state
from bridge.publish.outbox import stranger
from bridge.settings import PublishSparkplugSettings
from bridge.sparkplug.topics import state_topic

_STATE_WAIT_S = 1.0  # how long a retained STATE may take to come


async def check_edge(settings: PublishSparkplugSettings, open_wire: OpenWire) -> list[str]:
    """Whether the edge node could work: the broker lets us in, and the primary host is there. All problems.

    Nothing is published, and a running bridge is not disturbed as long as `open_wire` takes another client id.
    Raises LinkDown, DeadlineExceeded or AccessDenied when there is no connection at all.
    """
    node = EdgeNode(settings.group, settings.node, primary_host=settings.primary_host)
    state = state_topic(settings.primary_host) if settings.primary_host else ""
    heard: list[Incoming] = []
    came = asyncio.Event()

    def hear(messages: Sequence[Incoming]) -> None:
        heard.extend(message for message in messages if message.topic == state)
        if heard:
            came.set()

    wire = open_wire(None, hear)
    problems = list(await asyncio.to_thread(_place_problems, settings.outbox))
    try:
        await wire.connect()
        filters = node.subscriptions()
        for (name, _), refusal in zip(filters, await wire.subscribe(filters), strict=True):
            if refusal:
                own = name == node.birth_topic
                why = ": our own births have to come back before anything leaves the outbox" if own else ""
                problems.append(f"{name}: {refusal}{why}")
        if settings.primary_host:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STATE_WAIT_S):
                    await came.wait()
            problems += _host_problems(settings, heard)
    finally:
        await wire.leave()
    return problems


def _host_problems(settings: PublishSparkplugSettings, heard: Sequence[Incoming]) -> list[str]:
    """What keeps births from going out, by what the primary host has said so far."""
    name = state_topic(settings.primary_host)
    said = [message for message in heard if message.topic == name]
    if not said:
        return [f"primary host {settings.primary_host} has said nothing at {name}: births wait until it does"]
    try:
        online, _ = read_state(said[-1].payload)
    except PayloadError as problem:
        return [f"{name}: {problem}: births wait"]
    return (
        [] if online else [f"primary host {settings.primary_host} is offline: births wait until it is back"]
    )


def _place_problems(outbox: Path) -> Iterator[str]:
    """Whether the outbox can be made or written where it is to be; a running bridge has it open."""
    if outbox.exists():
        if not outbox.is_file() or not os.access(outbox, os.R_OK | os.W_OK):
            yield f"outbox {outbox} is no file that this user may write"
        elif stranger(outbox):
            yield f"outbox {outbox} is not an outbox; name another file"
        return
    above = next(folder for folder in outbox.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        yield f"outbox {outbox} cannot be made: this user may not write in {above}"
