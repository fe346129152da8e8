"""After the OPC UA server was killed: how soon readings of every tag flow into the database again.

asyncua with its own reconnect stands beside the bridge, each behind a wire of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from benchmarks import bare
from benchmarks.figures import Figure, Result, runs, shown
from benchmarks.stand import Connection, Stand, connect, fetch, reactor_toml, reactors, readings_from, until
from simulator.process import PlantProcess
from simulator.wire import Wire

NAME = "resumption"
GOAL_S = 5.0
_EQUIPMENT = 10
_CUT_AT = ((0.3, 0.3), (0.55, 0.32), (0.8, 0.34))
"""How far the restore of bridge and asyncua has come when the wire is cut again, as a share of the bytes of the
first connection: the bridge anywhere, asyncua where its own restore of the items lies."""
_PLANT = ("--equipment", str(_EQUIPMENT), "--tick", "0.1")
_MEASURED = ("Temperature", "Pressure", "FlowRate", "Throughput")


@dataclass(kw_only=True)
class _Client:
    """One of the two, with its wire and what its first connection cost in bytes: the length of a restore."""

    name: str
    wire: Wire
    bytes_to_connect: int = 0
    seconds: list[float | None] | None = None


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Single drops: server killed, back after 5 s. Double drops: the wire is cut again during the restore."""
    times, down_s = (1, 0.5) if quick else (3, 5.0)
    patience_s = 7.0
    url = await stand.database()
    plant = await asyncio.to_thread(PlantProcess.start, *_PLANT)
    port = urlsplit(plant.endpoint).port
    assert port is not None
    names = [f"{name}/{node}" for name in reactors(_EQUIPMENT) for node in _MEASURED]
    single: dict[str, list[float | None]] = {"bridge": [], "asyncua": []}
    double: dict[str, list[float | None]] = {"bridge": [], "asyncua": []}
    try:
        async with AsyncExitStack() as stack:
            ours = _Client(name="bridge", wire=await stack.enter_async_context(Wire(0, "127.0.0.1", port)))
            theirs = _Client(name="asyncua", wire=await stack.enter_async_context(Wire(0, "127.0.0.1", port)))
            owner = await stack.enter_async_context(await connect(url))
            await stack.enter_async_context(
                stand.bridge(reactor_toml(_behind(ours.wire), _EQUIPMENT, setpoints=()), url)
            )
            await readings_from(owner, _EQUIPMENT)
            ours.bytes_to_connect = ours.wire.bytes_passed
            alone = await _alone(theirs, names)
            try:
                for run in range(times):
                    await asyncio.sleep(1.0)
                    plant.kill()
                    await asyncio.sleep(
                        down_s + run / 2
                    )  # so that no back-off is hit at the same place each time
                    plant = await asyncio.to_thread(PlantProcess.start, *_PLANT, endpoint=plant.endpoint)
                    ready_utc = datetime.now(UTC)
                    found = await _resumed(owner, alone, ready_utc, ready_utc, patience_s)
                    for name, seconds in found.items():
                        single[name].append(seconds)
                for shares in _CUT_AT[:times]:
                    await alone.__aexit__()
                    alone = await _alone(theirs, names)
                    await asyncio.sleep(1.0)
                    plant.kill()
                    await asyncio.sleep(1.0)
                    cuts = [
                        asyncio.create_task(_second_cut(client, share))
                        for client, share in zip((ours, theirs), shares, strict=True)
                    ]
                    plant = await asyncio.to_thread(PlantProcess.start, *_PLANT, endpoint=plant.endpoint)
                    ours_utc, theirs_utc = await asyncio.gather(*cuts)
                    found = await _resumed(owner, alone, ours_utc, theirs_utc, patience_s)
                    for name, seconds in found.items():
                        double[name].append(seconds)
            finally:
                await alone.__aexit__()
    finally:
        await asyncio.to_thread(plant.stop)
    return Result(
        name=NAME,
        title=f"OPC UA server killed and back ({times} runs each; readings of all {_EQUIPMENT} equipment flow again)",
        figures=(
            _figure(
                f"server killed, back after {down_s:g} to {down_s + (times - 1) / 2:g} s → stored readings",
                single,
                patience_s,
            ),
            _figure("cut again during the restore → stored readings", double, patience_s),
        ),
        notes=(
            f"asyncua with auto_reconnect, single drops: {_each(single['asyncua'], patience_s)}; "
            f"double drops: {_each(double['asyncua'], patience_s)}",
            f"the bridge, single drops: {_each(single['bridge'], patience_s)}; "
            f"double drops: {_each(double['bridge'], patience_s)}",
        ),
    )


def _behind(wire: Wire) -> str:
    return f"opc.tcp://{wire.host}:{wire.port}/plant"


async def _alone(client: _Client, names: list[str]) -> bare.AutoReconnecting:
    before = client.wire.bytes_passed
    alone = bare.AutoReconnecting(_behind(client.wire), names)
    await alone.__aenter__()
    client.bytes_to_connect = client.wire.bytes_passed - before
    return alone


async def _second_cut(client: _Client, share: float) -> datetime:
    """Cut the wire in the middle of the next restore, for half a second; when it was whole again."""
    accepted, passed = client.wire.accepted, client.wire.bytes_passed
    # Slowed down, so that "in the middle" can be hit.
    await client.wire.delay(0.01)

    async def in_the_middle() -> bool:
        restored = client.wire.bytes_passed - passed
        return client.wire.accepted > accepted and restored >= share * client.bytes_to_connect

    await until(f"reconnect of {client.name}", in_the_middle, within_s=30.0, every_s=0.002)
    await client.wire.cut()
    await asyncio.sleep(0.5)
    await client.wire.restore()
    return datetime.now(UTC)


async def _resumed(
    owner: Connection,
    alone: bare.AutoReconnecting,
    ours_utc: datetime,
    theirs_utc: datetime,
    patience_s: float,
) -> dict[str, float | None]:
    """Seconds from each one's moment until it has readings that arose after it; None: not in time."""
    ours, theirs = await asyncio.gather(
        _within(patience_s, lambda: _stored(owner, ours_utc)),
        _within(patience_s, lambda: _heard(alone, theirs_utc)),
    )
    return {
        "bridge": None if ours is None else (ours - ours_utc).total_seconds(),
        "asyncua": None if theirs is None else (theirs - theirs_utc).total_seconds(),
    }


async def _within(patience_s: float, look: Callable[[], Awaitable[datetime | None]]) -> datetime | None:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + patience_s
    while loop.time() < until_s:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(0.05)
    return None


async def _stored(owner: Connection, since_utc: datetime) -> datetime | None:
    """When the last of all equipment had its first new reading committed."""
    rows = await fetch(
        owner,
        "select max(first) as at, count(*) as equipment from (select min(pg_xact_commit_timestamp(xmin)) as first"
        " from sensor_data where timestamp > %s and quality = 'good' group by equipment_id) as each",
        since_utc,
    )
    return rows[0]["at"] if rows[0]["equipment"] == _EQUIPMENT else None


async def _heard(alone: bare.AutoReconnecting, since_utc: datetime) -> datetime | None:
    return alone.first_after(since_utc)


def _figure(what: str, seconds: dict[str, list[float | None]], patience_s: float) -> Figure:
    # What did not come back at all counts with the whole patience: no run is left out.
    ours = [patience_s if value is None else value for value in seconds["bridge"]]
    theirs = [patience_s if value is None else value for value in seconds["asyncua"]]
    never = sum(value is None for value in seconds["asyncua"])
    return Figure(
        what=what,
        value=max(ours),
        unit="s",
        spread=runs(ours),
        goal=GOAL_S,
        floor=max(theirs),
        note="slowest run counts"
        + (f"; asyncua alone not within {patience_s:g} s in {never} of {len(theirs)} runs" if never else ""),
    )


def _each(seconds: list[float | None], patience_s: float) -> str:
    return ", ".join(
        f"not within {patience_s:g} s" if value is None else f"{shown(value)} s" for value in seconds
    )
