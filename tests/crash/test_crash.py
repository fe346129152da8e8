"""SIGKILL at every marked point, pauses past the lease, cut wires: at most one write, and always an ending."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.bench import Floor, switch_of, until, write_of

from crash.scene import MakeScene, Scene, of, statuses
from simulator.process import PlantProcess
from simulator.wire import Wire

SEEDS = range(4)
POINTS = ("claim", "intent", "intended", "send", "sending", "sent", "verdict", "done")


async def kill_and_restart(scene: Scene, point: str, seed: int) -> dict[str, int]:
    """A bridge dies at one passage of a point with several commands on their way; another takes over."""
    chance = random.Random(f"{point} {seed}")
    # The first passage has the first writes; the second what follows them.
    dying = scene.start("kill", point, 1 + seed % 2)
    await dying.linked()
    for reactor in scene.reactors[:3]:
        writes = [write_of(reactor, float(chance.randrange(405, 495)))]
        scene.approve(reactor, *writes, *([switch_of(reactor)] if chance.random() < 0.6 else []))
    late = asyncio.create_task(_approve_later(scene))
    await dying.died(signal.SIGKILL)
    await late
    heir = scene.start()
    rows = await scene.settled()
    await heir.end()
    await scene.check()
    ends = {(row["recommendation_id"], row["sequence"]): row["status"] for row in rows}
    for (recommendation_id, place), status in ends.items():
        if status == "cancelled":
            assert ends[recommendation_id, place - 1] == "failed", (
                "nothing is given up that could be carried on"
            )
    return statuses(rows)


async def _approve_later(scene: Scene) -> None:
    """One more approval when the first write has been claimed, so that there is a second passage of each point."""
    await until(
        lambda: scene.hands.value("select count(*) from agent_audit where action = 'command.claimed'") > 0,
        "something is claimed",
        deadline_s=40.0,
    )
    scene.approve(scene.reactors[3], write_of(scene.reactors[3], 455.0))


@pytest.mark.parametrize("point", POINTS)
async def test_killed_bridge_never_leads_to_a_second_write(make_scene: MakeScene, point: str) -> None:
    """Whatever the moment of death: each command ends, the plant was written at most once, and both agree."""
    scenes = [await make_scene(reactors=4) for _ in SEEDS]
    ended = await asyncio.gather(
        *(kill_and_restart(scene, point, seed) for scene, seed in zip(scenes, SEEDS, strict=True))
    )
    for outcome in ended:
        assert set(outcome) <= {"executed", "failed", "cancelled"}, (
            "a plant that can be read leaves nothing unknown"
        )


async def test_two_bridges_share_two_hundred_commands_and_one_dies(make_scene: MakeScene) -> None:
    """One dies in the middle of its writes: no command is written twice, and none is left behind."""
    scene = await make_scene(reactors=200)
    scene.hands.operator.execute(
        "update bridge_control set armed = false, changed_by = 'berta', reason = 'wait'"
    )
    for number, reactor in enumerate(scene.reactors):
        scene.approve(reactor, write_of(reactor, 405.0 + number % 90))
    dying = scene.start("kill", "sent", 3, agent={"max_in_flight": 10})
    living = scene.start(agent={"max_in_flight": 10})
    await dying.linked()
    await living.linked()
    scene.hands.operator.execute(
        "update bridge_control set armed = true, changed_by = 'berta', reason = 'now'"
    )
    await dying.died(signal.SIGKILL)
    rows = await scene.settled()
    await living.end()
    await scene.check()
    assert len(rows) == 200
    assert set(statuses(rows)) <= {"executed", "failed"}
    holders = {row["claimed_by"].split("/")[0] for row in rows}
    assert holders == {"bridge-0", "bridge-1"}, "both must have had a part in it"
    assert statuses(rows)["executed"] >= 180


@pytest.mark.parametrize(
    ("point", "status", "code"),
    [
        ("claim", "executed", None),
        ("intent", "executed", None),
        ("intended", "failed", "not_confirmed"),
        ("sent", "executed", None),
        ("verdict", "executed", None),
    ],
)
async def test_bridge_that_slept_past_its_lease_does_nothing_more(
    make_scene: MakeScene, point: str, status: str, code: str | None
) -> None:
    """It wakes up after another one took over: nothing is written again and no verdict is overturned."""
    scene = await make_scene(reactors=1)
    (reactor,) = scene.reactors
    sleeping = scene.start("stop", point, 1)
    await sleeping.linked()
    made = scene.approve(reactor, write_of(reactor, 450.0))
    await sleeping.stopped()
    heir = scene.start()
    rows = await scene.settled()
    assert (of(rows, reactor)["status"], of(rows, reactor)["result_code"]) == (status, code)
    before = (scene.written(), scene.commands())
    sleeping.resume()
    await until(lambda: "command." in sleeping.said(), "it says what became of its command")
    await sleeping.end()
    await heir.end()
    assert (scene.written(), scene.commands()) == before
    assert scene.hands.recommendation(made)["status"] == status
    await scene.check()


async def test_bridge_that_slept_between_its_last_look_and_the_wire_writes_once_at_most(
    make_scene: MakeScene,
) -> None:
    """The one gap that no software on this side closes: late, but once, and never another value."""
    scene = await make_scene(reactors=1)
    (reactor,) = scene.reactors
    sleeping = scene.start("stop", "send", 1)
    await sleeping.linked()
    scene.approve(reactor, write_of(reactor, 450.0))
    await sleeping.stopped()
    heir = scene.start()
    rows = await scene.settled()
    assert of(rows, reactor)["result_code"] == "not_confirmed"
    sleeping.resume()
    await until(lambda: "command." in sleeping.said(), "it says what became of its command")
    await sleeping.end()
    await heir.end()
    assert list(scene.written().values()) in ([], [[450.0]])
    assert scene.commands() == rows
    await scene.chain_is_whole()


async def test_wire_cut_between_write_and_answer_is_unknown_and_then_settled(
    make_scene: MakeScene, crash_floor: Floor
) -> None:
    """The plant took the value, the answer is lost and nothing can be read: unknown, until it can be read again."""
    port = int(crash_floor.endpoint.split(":")[2].split("/")[0])
    async with Wire(0, "127.0.0.1", port) as wire:
        scene = await make_scene(reactors=1, endpoint=f"opc.tcp://127.0.0.1:{wire.port}/plant")
        (reactor,) = scene.reactors
        await crash_floor.fault(reactor, "write_slow 0.5s")
        bridge = scene.start()
        await bridge.linked()
        made = scene.approve(reactor, write_of(reactor, 450.0), switch_of(reactor))
        await until(lambda: scene.written(), "the plant took it")
        await wire.cut()
        rows = await scene.settled(unknown=True)
        assert [row["status"] for row in rows] == ["unknown", "cancelled"]
        assert "not known" in scene.hands.recommendation(made)["execution_result"]
        await wire.restore()
        rows = await scene.settled()
        await bridge.end()
    assert [row["status"] for row in rows] == ["executed", "cancelled"]
    await scene.check()


@pytest.fixture
def mortal_floor(tmp_path: Path) -> Iterator[Floor]:
    """A plant of its own that a test may kill."""
    log = tmp_path / "writes.jsonl"
    process = PlantProcess.start("--equipment", "2", "--write-log", str(log))
    floor = Floor(process=process, write_log=log, reactors=2)
    yield floor
    floor.process.stop()


async def test_plant_that_dies_right_after_the_write_leaves_it_unknown_until_it_is_back(
    make_scene: MakeScene, mortal_floor: Floor
) -> None:
    """Nobody answers and nobody can be read: unknown. What the plant shows when it is back decides; no resend."""
    scene = await make_scene(floor=mortal_floor, reactors=1)
    (reactor,) = scene.reactors
    await mortal_floor.fault(reactor, "kill_after_write")
    bridge = scene.start()
    await bridge.linked()
    scene.approve(reactor, write_of(reactor, 450.0))
    rows = await scene.settled(unknown=True)
    assert of(rows, reactor)["status"] == "unknown"
    mortal_floor.process.kill()
    mortal_floor.process = await asyncio.to_thread(
        PlantProcess.start,
        *("--equipment", "2", "--write-log", str(mortal_floor.write_log)),
        endpoint=mortal_floor.endpoint,
    )
    rows = await scene.settled()
    await bridge.end()
    # This plant forgets its set-points when it dies, so it shows the old value again.
    assert (of(rows, reactor)["status"], of(rows, reactor)["read_back_value"]) == ("failed", 500.0)
    assert scene.written() == {f"{reactor}/ThroughputSetpoint": [450.0]}
    await scene.chain_is_whole()


async def test_sigterm_finishes_what_was_sent_and_gives_back_the_rest(
    make_scene: MakeScene, crash_floor: Floor
) -> None:
    """The way a service manager ends it: the write in flight gets its verdict, the next one waits for the heir."""
    scene = await make_scene(reactors=1)
    (reactor,) = scene.reactors
    await crash_floor.fault(reactor, "write_slow 0.4s")
    bridge = scene.start()
    await bridge.linked()
    scene.approve(reactor, write_of(reactor, 450.0), switch_of(reactor))
    await until(
        lambda: [row for row in scene.commands() if row["sent_timestamp"]],
        "the first is on its way",
        every_s=0.01,
    )
    await bridge.end()
    assert [row["status"] for row in scene.commands()] == ["executed", "pending"]
    (health,) = scene.hands.owner.execute("select agent_id, status from agent_health").fetchall()
    assert health == {"agent_id": "bridge-0", "status": "offline"}
    heir = scene.start()
    rows = await scene.settled()
    await heir.end()
    assert [row["status"] for row in rows] == ["executed", "executed"]
    await scene.check()
