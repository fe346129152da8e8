"""The standard address space of OPC UA, in memory before a server's process is forked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_server import InternalServer

from simulator.opcua import standard_space


def prepare() -> None:
    """The first server of each process that is forked from this one begins with what is there already."""
    server = InternalServer()
    fill = standard_space.fill
    asyncio.run(fill(server.aspace, server.load_standard_address_space))
    made = [server.aspace]

    async def take(space: AddressSpace, build: Callable[[], Awaitable[None]]) -> None:
        if not made:  # a second server would share its nodes with the first
            await fill(space, build)
            return
        ready = made.pop()
        for node_id in list(ready.keys()):
            space[node_id] = ready[node_id]

    standard_space.fill = take
