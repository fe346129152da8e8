"""Bridge and gateways at the same thousand commands: is each written once, by whom it belongs to, and none left?"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rig import Hands, sql

from bridge.agent.execute import Executor
from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.plant import Plant
from bridge.ports import LinkState
from bridge.settings import Settings
from bridge.store import queries
from bridge.store.postgres import PostgresStore, database
from bridge.wiring import links_of
from gateway.closed_loop import (
    approve_all,
    built_project,
    cooling,
    gateway_for,
    list_tags,
    names,
    reactor_tags,
    throughput,
)
from simulator.process import PlantProcess

REACTORS = 500  # two set-points each
DEADLINE_S = 120.0
OVER = ("executed", "failed", "unknown", "cancelled")


def settings_for(url: str, endpoint: str, ours: list[str], theirs: list[str]) -> Settings:
    """A bridge that works the first reactors itself and only watches the others."""

    def kind(link: str) -> dict[str, Any]:
        setpoints = {
            "throughput": {
                "tag": throughput("{equipment}"),
                "address": "s={equipment}/ThroughputSetpoint",
                "data_type": "Float",
                "unit": "kg/h",
                "link": link,
                "limits": {"low": 100, "high": 800, "max_step": 300, "tolerance": 0.5, "settle_s": 0.5},
            },
            "cooling": {
                "tag": cooling("{equipment}"),
                "address": "s={equipment}/CoolingOn",
                "data_type": "Boolean",
                "link": link,
                "limits": {"low": 0, "high": 1, "settle_s": 0.5},
            },
        }
        return {"setpoints": setpoints, "signals": {}, "rules": []}

    return Settings(
        agent={"id": "race", "poll_s": 0.2, "lease_s": 30.0},
        store={"url": url},
        links={
            "plant": {"kind": "opcua", "endpoint": endpoint, "namespace": "urn:ignition-bridge:plant"},
            "hmi": {"kind": "gateway"},
        },
        types={"ours": kind("plant"), "theirs": kind("hmi")},
        equipment=[{"ids": ours, "type": "ours"}, {"ids": theirs, "type": "theirs"}],
    )


@pytest.mark.timeout(400)
async def test_a_thousand_commands_and_three_executors(
    tmp_path: Path, fresh_database: Callable[..., str], named: queries.Queries
) -> None:
    """A bridge and two gateways work on 1,000 approved commands at once, half of them routed to the gateway."""
    url = fresh_database()
    hands, log = Hands(url), tmp_path / "writes.jsonl"
    reactors = names(REACTORS, REACTORS)
    ours, theirs = reactors[: REACTORS // 2], reactors[REACTORS // 2 :]
    list_tags(hands, ours, route="opcua")
    list_tags(hands, theirs)
    archive, tags = built_project(tmp_path), reactor_tags(tmp_path / "tags.json", reactors)
    plant_options = ("--equipment", str(REACTORS), "--tick", "3600", "--write-log", str(log))
    async with AsyncExitStack() as stack:
        plant = stack.enter_context(await asyncio.to_thread(PlantProcess.start, *plant_options))
        settings = settings_for(url, plant.endpoint, ours, theirs)
        total = approve_all(hands, reactors)
        store = PostgresStore(database(settings.store, Role.AGENT), named, settings.agent, settings.store)
        await store.open()
        stack.push_async_callback(store.close)
        gateways = [
            stack.enter_context(await asyncio.to_thread(gateway_for, archive, tags, url, plant))
            for _ in range(2)
        ]
        await stack.enter_async_context(executing(settings, store))
        ends_s = time.monotonic() + DEADLINE_S
        while sum(states(hands)[status] for status in OVER) < total:
            assert time.monotonic() < ends_s, f"{states(hands)}; {gateways[0].log()[-2000:]}"
            await asyncio.sleep(0.1)
        said = " ".join(gateway.log() for gateway in gateways)
    assert states(hands) == {"executed": total}, said[-2000:]
    assert "claim_lost" not in said
    by_party = (
        "select route, split_part(claimed_by, '/', 1) = 'gateway' as gateway, count(*) as n"
        " from agent_commands group by 1, 2 order by 1"
    )
    found = [
        (row["route"], row["gateway"], row["n"]) for row in hands.owner.execute(sql(by_party)).fetchall()
    ]
    assert found == [("gateway", True, total // 2), ("opcua", False, total // 2)]
    written = Counter(json.loads(line)["node"] for line in log.read_text(encoding="utf-8").splitlines())
    assert len(written) == total
    assert set(written.values()) == {1}
    hands.close()


@asynccontextmanager
async def executing(settings: Settings, store: PostgresStore) -> AsyncIterator[None]:
    """The bridge's own executor on its own link to the plant, until the block ends."""
    plant, clock = Plant.of(settings), SystemClock()
    links = links_of(settings, plant, clock)
    link = links["plant"]

    async def listen() -> None:
        async for _ in link.readings():
            pass

    around = [asyncio.create_task(link.run()), asyncio.create_task(listen())]
    ends_s = time.monotonic() + DEADLINE_S
    while link.status().state is not LinkState.FLOWING:
        assert time.monotonic() < ends_s, link.status()
        await asyncio.sleep(0.05)
    executor = Executor(store=store, links=links, tags=plant.tags, clock=clock, settings=settings.agent)
    wake, stop = asyncio.Event(), asyncio.Event()
    work = asyncio.create_task(executor.run(wake, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(work, 30.0)
        for task in around:
            task.cancel()
        await asyncio.gather(*around, return_exceptions=True)


def states(hands: Hands) -> Counter[str]:
    """How many commands stand where."""
    rows = hands.owner.execute("select status, count(*) as n from agent_commands group by 1").fetchall()
    return Counter({row["status"]: row["n"] for row in rows})
