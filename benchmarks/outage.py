"""A wire to the database that goes silent under load: when it is noticed, and what is lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from benchmarks import bare
from benchmarks.figures import Figure, Result, shown
from benchmarks.intake import stored_values
from benchmarks.stand import Bridge, Connection, Stand, connect, fetch, reactor_toml, readings_from
from simulator.wire import Wire

NAME = "outage"
GOAL_NOTICED_S = 10.0
_EQUIPMENT = 50
_RATE_PER_S = 2000


async def measure(stand: Stand, *, quick: bool) -> Result:
    """black hole: nothing passes, nothing ends. half open: old connections are dead, new ones would work."""
    silence_s = 2.0 if quick else 12.0
    patience_s = 3.0 if quick else 12.0
    url = await stand.database()
    port = urlsplit(url).port
    assert port is not None
    async with (
        Wire(0, "127.0.0.1", port) as wire,
        stand.plant("--equipment", str(_EQUIPMENT), "--rate", str(_RATE_PER_S)) as plant,
        await connect(url) as owner,
        bare.client_of(plant.endpoint) as client,
    ):
        through = url.replace(f":{port}/", f":{wire.port}/")
        toml = reactor_toml(plant.endpoint, _EQUIPMENT, setpoints=())
        async with stand.bridge(toml, through) as bridge:
            await readings_from(owner, _EQUIPMENT)
            (counter,) = await bare.nodes_of(client, ["Plant/ValueCount"])
            await asyncio.sleep(2.0)
            before, began_utc = await bare.read(counter)
            hole_utc = datetime.now(UTC)
            await wire.black_hole()
            await asyncio.sleep(silence_s)
            hole_noticed_s = noticed(bridge, hole_utc)
            await wire.restore()
            restored_utc = datetime.now(UTC)
            hole_back_s = await _flows(owner, restored_utc, patience_s)
            await asyncio.sleep(2.0)
            half_utc = datetime.now(UTC)
            await wire.half_open()
            half_back_s = await _flows(owner, half_utc, patience_s)
            half_noticed_s = noticed(bridge, half_utc)
            after, ended_utc = await bare.read(counter)
            if half_back_s is None:
                await (
                    wire.cut()
                )  # what is left of the old connections ends now, so that losses can be counted
                await wire.restore()
            await asyncio.sleep(3.0 if quick else 7.0)
            stored = await stored_values(owner, began_utc, ended_utc)
            health = (await fetch(owner, "select detail from agent_health"))[0]["detail"]
    emitted = int(after - before)
    return Result(
        name=NAME,
        title=f"Wire to the database under {_RATE_PER_S:,} values/s: black hole of {silence_s:g} s, then half open",
        figures=(
            _noticed("black hole noticed after", hole_noticed_s, silence_s),
            _noticed(
                "half-open connections noticed and replaced after",
                half_noticed_s if half_back_s is None else half_back_s,
                patience_s,
            ),
            Figure(
                what="readings stored again after the black hole",
                value=patience_s if hole_back_s is None else hole_back_s,
                unit="s",
                never=hole_back_s is None,
            ),
            Figure(
                what="values lost in both",
                value=float(emitted - stored),
                unit="values",
                goal=0.0,
                note=f"of {emitted:,} emitted; counted as dropped {health['readings_dropped']:,}",
            ),
        ),
        notes=(
            "the wire is a proxy: it accepts bytes and forgets them, so TCP itself sees a healthy peer and neither "
            "keep-alives nor tcp_user_timeout help; only a deadline on the answer does",
            "half open: "
            + (
                f"not replaced within {patience_s:g} s"
                if half_back_s is None
                else f"stored again after {shown(half_back_s)} s"
            ),
        ),
    )


def noticed(bridge: Bridge, since_utc: datetime) -> float | None:
    """Seconds until the bridge said that storing does not work; None when it never did."""
    for entry in bridge.events("task.waiting"):
        at_utc = datetime.fromisoformat(str(entry["timestamp"]))
        if at_utc >= since_utc and entry.get("task") == "store readings":
            return (at_utc - since_utc).total_seconds()
    return None


def _noticed(what: str, seconds: float | None, waited_s: float) -> Figure:
    return Figure(
        what=what,
        value=waited_s if seconds is None else seconds,
        unit="s",
        goal=GOAL_NOTICED_S,
        never=seconds is None,
    )


async def _flows(owner: Connection, since_utc: datetime, patience_s: float) -> float | None:
    """Seconds until a reading that arose after `since_utc` was committed; None: not in time."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + patience_s
    while loop.time() < until_s:
        # 0.3 s later: what arose before may still be committed by a COPY that was under way.
        rows = await fetch(
            owner,
            "select min(pg_xact_commit_timestamp(xmin)) as at from sensor_data where timestamp > %s",
            since_utc + timedelta(seconds=0.3),
        )
        if rows[0]["at"] is not None:
            return float((rows[0]["at"] - since_utc).total_seconds())
        await asyncio.sleep(0.1)
    return None
