"""Does the edge node keep its word on a real broker, before an independent subscriber, through losses and kills?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from edge_stand import (
    GROUP,
    NODE,
    START_MS,
    Host,
    Mosquitto,
    Watcher,
    at,
    command,
    mosquitto,
    node,
    plant,
    rebirth,
    sparkplug,
    state,
)
from publish_stand import until
from structlog.testing import capture_logs

from bridge.check import check
from bridge.clock import SystemClock
from bridge.errors import AccessDenied, LinkDown
from bridge.publish import edge
from bridge.publish.edge import EdgePublisher
from bridge.publish.edge_check import check_edge
from bridge.publish.edge_metrics import Change, Place
from bridge.publish.edge_node import Phase
from bridge.publish.nodes import Node
from bridge.publish.outbox import Outbox
from bridge.publish.snapshot import Feed
from bridge.report import Level
from bridge.settings import PublishSparkplugSettings
from bridge.sparkplug.types import MetricType
from bridge.wiring import edge_wire
from simulator.sparkplug import wire_format
from simulator.sparkplug.payload import DataType, Metric
from simulator.wire import Wire

ROOT = Path(__file__).parent.parent.parent
NCMD = f"spBv1.0/{GROUP}/NCMD/{NODE}"
STATE = "spBv1.0/STATE/scada"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    with mosquitto(tmp_path) as made:
        await made.start()
        yield made


@pytest.fixture
async def watcher(broker: Mosquitto) -> AsyncIterator[Watcher]:
    async with Watcher(broker) as watching:
        yield watching


@contextlib.asynccontextmanager
async def published(
    settings: PublishSparkplugSettings, first: Mapping[str, Node] | None = None
) -> AsyncIterator[tuple[EdgePublisher, Feed]]:
    """The publisher as the bridge runs it; its errors come out here."""
    feed = Feed()
    feed.put(first or plant(), [])
    clock = SystemClock()
    publisher = EdgePublisher(settings, feed, clock, edge_wire(settings, clock))
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher, feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def is_in(publisher: EdgePublisher, phase: Phase) -> None:
    async def there() -> bool:
        return publisher.status().phase is phase

    await until(there)


async def holds(publisher: EdgePublisher, waiting: int) -> None:
    async def there() -> bool:
        return publisher.status().waiting == waiting

    await until(there)


def born(host: Host) -> bool:
    return bool(host.heard) and host.heard[-1].device == "R2" and "BIRTH" in host.heard[-1].verb


# --- the living node ---


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_stranger_sees_births_and_then_changes(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path, version: str
) -> None:
    """Everything at QoS 0 and not retained; what the broker has taken leaves the outbox."""
    async with published(sparkplug(broker.url, tmp_path, version=version)) as (publisher, feed):
        await watcher.sees(born)
        feed.put(plant(5, polls=8, id1="r-1"), [])
        await watcher.sees(
            lambda host: (
                host.live == [("Agent/PollsCompleted", 8, 5000), ("R1:Recommendation/Id", "r-1", 5000)]
            )
        )
        await holds(publisher, 0)
    assert {
        (message.qos, message.retained) for message in watcher.host.heard if message.verb != "NDEATH"
    } == {(0, False)}


async def test_births_do_not_wait_for_a_database_that_stays_away(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment for the first look, so that a start is no alarm; then the truth, which is that it is away."""
    unread = {"Agent/SnapshotAt": node(None, None), **plant(status="database_away")}
    async with published(sparkplug(broker.url, tmp_path), unread) as (_, feed):
        feed.put({"Agent/SnapshotAt": node(at(0), 0), **plant()}, [])
        await watcher.sees(born)
        assert watcher.host.values["Agent/Status"] == "online"
    monkeypatch.setattr(edge, "FIRST_LOOK_S", 0.3)
    async with published(sparkplug(broker.url, tmp_path), unread):
        await watcher.sees(lambda host: host.values["Agent/Status"] == "database_away")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_the_connect_packet_is_clean_and_carries_the_death(tmp_path: Path, version: str) -> None:
    """Clean start, no kept session, and a will of QoS 1 that is not retained, as the bytes say it."""
    packets: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets.put_nowait(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, published(sparkplug(f"mqtt://127.0.0.1:{port}", tmp_path, version=version)):
        packet = await asyncio.wait_for(packets.get(), 15)
    at = packet.index(b"\x00\x04MQTT") + 6
    level, flags = packet[at], packet[at + 1]
    assert level == {"5": 5, "3.1.1": 4}[version]
    assert flags & 0b0011_1110 == 0b0000_1110  # not retained, QoS 1, a will, clean
    if version == "5":
        assert packet[at + 4] == 0, "no session expiry: it ends with the connection"
    topic = f"spBv1.0/{GROUP}/NDEATH/{NODE}".encode()
    begin = packet.index(topic) + len(topic)
    size = int.from_bytes(packet[begin : begin + 2], "big")
    will = wire_format.decode(packet[begin + 2 : begin + 2 + size])
    assert [(metric.name, metric.value) for metric in will.metrics] == [("bdSeq", 0)]


async def test_it_leaves_with_one_death_of_its_own(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path
) -> None:
    """NDEATH before DISCONNECT; the broker must not publish the will as well."""
    async with published(sparkplug(broker.url, tmp_path)):
        await watcher.sees(born)
    await watcher.sees(lambda host: host.deaths == [0])
    async with published(sparkplug(broker.url, tmp_path)):
        await watcher.sees(lambda host: born(host) and host.bd_seq == 1)
    await watcher.sees(lambda host: host.deaths == [0, 1])


async def test_a_rebirth_on_request_and_a_storm_of_them(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path
) -> None:
    async with published(sparkplug(broker.url, tmp_path)):
        await watcher.sees(born)
        before = len(watcher.host.heard)
        for _ in range(300):
            watcher.say(NCMD, rebirth())
        await watcher.sees(lambda host: len(host.heard) > before and born(host))
        await asyncio.sleep(2.2)  # one more may follow two seconds after the first, and no more than that
        births = [message for message in watcher.host.heard[before:] if message.verb == "NBIRTH"]
        assert 1 <= len(births) <= 2
        assert watcher.host.bd_seq == 0


async def test_other_commands_change_nothing(broker: Mosquitto, watcher: Watcher, tmp_path: Path) -> None:
    async with published(sparkplug(broker.url, tmp_path)):
        await watcher.sees(born)
        before = len(watcher.host.heard)
        arm = command(Metric(name="Control/Armed", timestamp_ms=1, datatype=DataType.Boolean, value=False))
        watcher.say(NCMD, arm)
        watcher.say(f"spBv1.0/{GROUP}/DCMD/{NODE}/R1", arm)
        watcher.say(NCMD, b"\xff\xffgarbage")
        watcher.say(NCMD, rebirth())  # what came before it has been worked through when this is answered
        await watcher.sees(lambda host: len(host.heard) > before and born(host))
        assert [message.verb for message in watcher.host.heard[before:]] == ["NBIRTH", "DBIRTH", "DBIRTH"]
        assert watcher.host.values["Control/Armed"] is True


# --- primary host ---


async def test_the_primary_host_comes_goes_and_comes_back(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path
) -> None:
    """No birth before it, a death when it goes, and what changed meanwhile as history when it is back."""
    async with published(sparkplug(broker.url, tmp_path, primary_host="scada")) as (publisher, feed):
        await is_in(publisher, Phase.WAITING)
        feed.put(plant(1, polls=8), [])
        await holds(publisher, 1)
        assert watcher.host.heard == []
        watcher.say(STATE, state(True, 100), qos=1, retain=True)
        await watcher.sees(lambda host: born(host) or host.history)
        await watcher.sees(lambda host: host.history == [("Agent/PollsCompleted", 8, 1000)])
        watcher.say(STATE, state(False, 100), qos=1, retain=True)
        await watcher.sees(lambda host: host.deaths == [0])
        feed.put(plant(2, polls=9), [])
        feed_seen = await until_waiting(publisher, 1)
        assert feed_seen == 1
        feed.put(plant(3, polls=10), [])
        await holds(publisher, 2)
        watcher.say(STATE, state(True, 200), qos=1, retain=True)
        await watcher.sees(lambda host: len(host.history) == 3)
        assert watcher.host.history[1:] == [
            ("Agent/PollsCompleted", 9, 2000),
            ("Agent/PollsCompleted", 10, 3000),
        ]
        assert watcher.host.values["Agent/PollsCompleted"] == 10
        assert watcher.host.values["bdSeq"] != 0


async def until_waiting(publisher: EdgePublisher, waiting: int) -> int:
    await holds(publisher, waiting)
    return publisher.status().waiting


# --- store and forward ---


@pytest.fixture
async def detour(broker: Mosquitto) -> AsyncIterator[Wire]:
    """The publisher's way to the broker, so that an observer can be there first when the broker is back."""
    async with Wire(0, "127.0.0.1", broker.port) as wire:
        yield wire


async def test_what_changed_while_the_broker_was_away_follows_the_births(
    broker: Mosquitto, detour: Wire, tmp_path: Path
) -> None:
    """Every change, in order per metric, with its own time, marked as historical; then the outbox is empty."""
    async with published(sparkplug(f"mqtt://127.0.0.1:{detour.port}", tmp_path)) as (publisher, feed):
        await is_in(publisher, Phase.LIVE)
        broker.stop()
        await is_in(publisher, Phase.AWAY)
        await detour.cut()
        for number in range(1, 51):
            feed.put(plant(number, polls=100 + number, id1=f"r-{number // 10}" if number >= 10 else ""), [])
            await holds(publisher, number + number // 10)
        await broker.start()
        async with Watcher(broker) as watcher:
            await detour.restore()
            await watcher.sees(lambda host: len(host.history) == 55)
            assert [one for one in watcher.host.history if one[0] == "Agent/PollsCompleted"] == [
                ("Agent/PollsCompleted", 100 + number, number * 1000) for number in range(1, 51)
            ]
            assert [one for one in watcher.host.history if one[0] == "R1:Recommendation/Id"] == [
                ("R1:Recommendation/Id", f"r-{number}", number * 10_000) for number in range(1, 6)
            ]
            assert [message.verb for message in watcher.host.heard[:3]] == ["NBIRTH", "DBIRTH", "DBIRTH"]
            assert watcher.host.values["Agent/PollsCompleted"] == 150
            assert watcher.host.live == []
        await holds(publisher, 0)
        assert publisher.status().dropped == 0


async def test_live_values_do_not_wait_behind_history(
    broker: Mosquitto, detour: Wire, tmp_path: Path
) -> None:
    """A change that happens during a long replay is told at once."""
    many = 5_000

    def agents(status: str, second: float) -> dict[str, Node]:
        return {f"Agents/{number}/Status": node(status, second) for number in range(many)}

    settings = sparkplug(f"mqtt://127.0.0.1:{detour.port}", tmp_path)
    async with published(settings, agents("online", 0) | plant()) as (publisher, feed):
        await is_in(publisher, Phase.LIVE)
        await detour.cut()
        await is_in(publisher, Phase.AWAY)
        feed.put(agents("offline", 1) | plant(), [])
        await holds(publisher, many)
        async with Watcher(broker) as watcher:
            await detour.restore()
            await watcher.sees(lambda host: host.history)
            feed.put(agents("offline", 1) | plant(4, polls=99), [])
            await watcher.sees(lambda host: host.live)
            assert len(watcher.host.history) < many
            await watcher.sees(lambda host: len(host.history) == many, 60.0)
            assert watcher.host.live == [("Agent/PollsCompleted", 99, 4000)]
        await holds(publisher, 0)


async def test_a_wire_that_swallows_everything_loses_nothing(
    detour: Wire, watcher: Watcher, tmp_path: Path
) -> None:
    """Bytes handed to the socket are no proof: what fell into the hole is told again, with its own time."""
    settings = sparkplug(f"mqtt://127.0.0.1:{detour.port}", tmp_path, deadline_s=1.0)
    async with published(settings) as (publisher, feed):
        await watcher.sees(born)
        await detour.black_hole()
        feed.put(plant(1, polls=8), [])
        await is_in(publisher, Phase.AWAY)
        feed.put(plant(2, polls=9), [])
        await holds(publisher, 2)
        await detour.restore()
        await watcher.sees(lambda host: len(host.history) == 2)
        assert watcher.host.history == [
            ("Agent/PollsCompleted", 8, 1000),
            ("Agent/PollsCompleted", 9, 2000),
        ]
        assert watcher.host.bd_seq != 0
        await holds(publisher, 0)


async def test_a_full_disk_stops_the_keeping_and_not_the_showing(
    broker: Mosquitto, detour: Wire, watcher: Watcher, tmp_path: Path
) -> None:
    """Live values, and a new connection with a bdSeq of its own, must not depend on the outbox."""
    settings = sparkplug(f"mqtt://127.0.0.1:{detour.port}", tmp_path)
    async with published(settings) as (publisher, feed):
        await watcher.sees(born)
        database = publisher._outbox._db
        assert database is not None
        database.execute("pragma query_only = on")  # from here on every write fails, as on a full disk
        feed.put(plant(1, polls=8), [])
        await watcher.sees(lambda host: host.live == [("Agent/PollsCompleted", 8, 1000)])
        await detour.cut()
        await watcher.sees(lambda host: host.deaths == [0])
        await detour.restore()
        await watcher.sees(lambda host: born(host) and host.bd_seq == 1)
        database.execute("pragma query_only = off")
        feed.put(plant(2, polls=9), [])
        await watcher.sees(lambda host: host.live[1:] == [("Agent/PollsCompleted", 9, 2000)])
        await holds(publisher, 0)


async def written_down(folder: Path, *changes: Change) -> None:
    """An outbox as an earlier run has left it."""
    box = Outbox(folder / "outbox.sqlite", 2**20)
    await box.open()
    await box.append(changes)
    await box.close()


async def test_history_of_what_is_not_born_yet_waits_until_it_is(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path
) -> None:
    """After a start equipment may be known only when the database answers: its history must be there then."""
    moment = START_MS + 1000
    await written_down(
        tmp_path,
        Change(Place("NEW", "Recommendation/Id"), MetricType.STRING, "R-1", 192, moment),
        Change(Place("", "Agent/Status"), MetricType.STRING, "offline", 192, moment),
    )
    async with published(sparkplug(broker.url, tmp_path)) as (publisher, feed):
        await watcher.sees(lambda host: host.history == [("Agent/Status", "offline", 1000)])
        await holds(publisher, 1)
        watcher.say(NCMD, rebirth())
        await watcher.sees(lambda host: len([one for one in host.heard if one.verb == "NBIRTH"]) == 2)
        feed.put({**plant(), "Equipment/NEW/Recommendation/Id": node("", 5)}, [])
        await watcher.sees(lambda host: host.history[1:] == [("NEW:Recommendation/Id", "R-1", 1000)])
        await holds(publisher, 0)


async def test_a_broker_that_drops_what_we_say_empties_no_outbox(tmp_path: Path) -> None:
    """It answers every round trip, and its rules let nothing of ours through: that is no proof of anything."""
    rules = tmp_path / "rules"
    rules.write_text("topic read spBv1.0/#\n", encoding="utf-8")
    with mosquitto(tmp_path, more=f"user root\nacl_file {rules}\n") as deaf:
        await deaf.start()
        with capture_logs() as lines:
            async with published(sparkplug(deaf.url, tmp_path, deadline_s=0.5)) as (publisher, feed):
                await is_in(publisher, Phase.LIVE)
                for number in range(1, 4):
                    feed.put(plant(number, polls=100 + number), [])
                    await holds(publisher, number)

                async def said() -> bool:
                    return "NBIRTH" in publisher.status().detail

                await until(said)
                feed.put(plant(4, polls=104), [])
                await holds(publisher, 4)
        told = [line for line in lines if line["event"] == "publish.births_not_heard"]
        assert len(told) == 1
    # Another broker, which lets them through, gets everything.
    with mosquitto(tmp_path) as willing:
        await willing.start()
        async with Watcher(willing) as watcher, published(sparkplug(willing.url, tmp_path)) as (publisher, _):
            await watcher.sees(lambda host: [one[1] for one in host.history] == [101, 102, 103, 104])
            await holds(publisher, 0)


async def test_what_is_sent_and_not_heard_back_is_remembered_no_longer_than_it_is_kept(
    tmp_path: Path,
) -> None:
    """Births do not come back for a year: neither the disk nor the memory may grow with that."""
    rules = tmp_path / "rules"
    rules.write_text("topic read spBv1.0/#\n", encoding="utf-8")
    with mosquitto(tmp_path, more=f"user root\nacl_file {rules}\n") as deaf:
        await deaf.start()
        settings = sparkplug(deaf.url, tmp_path, deadline_s=0.2, outbox_max_bytes=2**20)
        async with published(settings) as (publisher, feed):
            await is_in(publisher, Phase.LIVE)
            long = "x" * 100_000
            for number in range(1, 31):
                feed.put({**plant(), "Agent/Status": node(f"{number} {long}", number)}, [])

                async def doubted(number: int = number) -> bool:
                    return number in publisher._doubted

                await until(doubted)
            assert publisher.status().dropped > 10
            assert len(publisher._doubted) == publisher.status().waiting < 15


# --- kills ---


class Runner:
    """An edge node in a process of its own."""

    def __init__(self, broker: str, folder: Path, *more: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("edge_runner.py")), broker, str(folder), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{Path(__file__).parent}", "PATH": "/usr/bin"},
            cwd=ROOT,
        )

    def show(self, **order: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        while not self._process.stdout.readline().startswith(b"shown"):  # the log is there too
            assert self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL; to be called again does nothing."""
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def runners() -> Iterator[list[Runner]]:
    made: list[Runner] = []
    yield made
    for runner in made:
        runner.kill()


async def test_killed_the_broker_tells_of_the_death_and_the_next_birth_is_another(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path, runners: list[Runner]
) -> None:
    runners.append(Runner(broker.url, tmp_path))
    await watcher.sees(born)
    runners[0].kill()
    await watcher.sees(lambda host: host.deaths == [0])
    death = watcher.host.heard[-1]
    assert (death.qos, death.retained) == (1, False)
    async with published(sparkplug(broker.url, tmp_path)):
        await watcher.sees(lambda host: born(host) and host.bd_seq == 1)


async def test_killed_while_the_broker_was_away_nothing_is_lost(
    broker: Mosquitto, tmp_path: Path, runners: list[Runner]
) -> None:
    broker.stop()
    runners.append(Runner(broker.url, tmp_path))
    for number in range(1, 21):
        runners[0].show(second=number, polls=100 + number)
    runners[0].kill()
    await broker.start()
    async with Watcher(broker) as watcher, published(sparkplug(broker.url, tmp_path)) as (publisher, _):
        await watcher.sees(lambda host: len(host.history) == 20)
        assert watcher.host.history == [
            ("Agent/PollsCompleted", 100 + number, number * 1000) for number in range(1, 21)
        ]
        await holds(publisher, 0)


async def test_killed_between_sending_and_deleting_the_same_change_is_told_again(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path, runners: list[Runner]
) -> None:
    """At least once: who reads it twice has metric and time to know it by."""
    runners.append(Runner(broker.url, tmp_path, "--unproved"))
    await watcher.sees(born)
    runners[0].show(second=5, polls=8)
    await watcher.sees(lambda host: host.live == [("Agent/PollsCompleted", 8, 5000)])
    runners[0].kill()
    async with published(sparkplug(broker.url, tmp_path)) as (publisher, _):
        await watcher.sees(lambda host: host.history == [("Agent/PollsCompleted", 8, 5000)])
        await holds(publisher, 0)


# --- looking before running ---


async def test_check_finds_a_primary_host_that_is_silent_or_gone(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path
) -> None:
    settings = sparkplug(broker.url, tmp_path, primary_host="scada")

    async def problems() -> list[str]:
        return await check_edge(settings, edge_wire(settings, SystemClock(), beside=True))

    assert "scada has said nothing" in (await problems())[0]
    watcher.say(STATE, state(False, 1), qos=1, retain=True)

    async def offline() -> bool:
        return "scada is offline" in (await problems())[0]

    await until(offline)
    watcher.say(STATE, b"ONLINE", qos=1, retain=True)

    async def nonsense() -> bool:
        return "wanted JSON with online and timestamp" in (await problems())[0]

    await until(nonsense)
    watcher.say(STATE, state(True, 2), qos=1, retain=True)

    async def good() -> bool:
        return await problems() == []

    await until(good)
    assert watcher.host.heard == [], "a check publishes nothing, not even a will"


async def test_check_leaves_a_running_bridge_alone(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path
) -> None:
    settings = sparkplug(broker.url, tmp_path)
    async with published(settings) as (publisher, _):
        await watcher.sees(born)
        assert await check_edge(settings, edge_wire(settings, SystemClock(), beside=True)) == []
        watcher.say(NCMD, rebirth())
        await watcher.sees(lambda host: host.bd_seq == 0 and not host.deaths)
        assert publisher.status().phase is Phase.LIVE


async def test_a_broker_that_refuses_us_is_told_and_not_hammered(tmp_path: Path) -> None:
    """Nobody may be locked out because the bridge tries a wrong password for ever."""
    with mosquitto(tmp_path, more="") as closed:
        config = tmp_path / f"mosquitto-{closed.port}.conf"
        config.write_text(
            config.read_text(encoding="utf-8").replace("allow_anonymous true", "allow_anonymous false"),
            encoding="utf-8",
        )
        await closed.start()
        settings = sparkplug(closed.url, tmp_path)
        with pytest.raises(AccessDenied):
            await check_edge(settings, edge_wire(settings, SystemClock(), beside=True))
        async with published(settings) as (publisher, _):

            async def refused() -> str:
                return publisher.status().detail

            assert closed.url in await until(refused)
            assert publisher.status().phase is Phase.AWAY


async def test_check_names_a_place_that_cannot_hold_the_outbox(broker: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    settings = sparkplug(broker.url, tmp_path, outbox=tmp_path / "file" / "outbox.sqlite")
    (problem,) = await check_edge(settings, edge_wire(settings, SystemClock(), beside=True))
    assert problem.endswith(f"this user may not write in {tmp_path / 'file'}")


class RefusingWire:
    """A broker that lets us in and grants no subscription; Debian's cannot be told to do that."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.loss = ""
        self.sent: list[str] = []

    async def connect(self) -> bool:
        return False

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> list[str]:
        return ["not granted"] * len(filters)

    def send(self, topic: str, payload: bytes) -> None:
        self.sent.append(topic)

    async def probe(self) -> None:
        return

    def cut(self, reason: str) -> None:
        self.lost.set()

    async def leave(self, last: Sequence[tuple[str, bytes, int, bool]] = ()) -> None:
        self.lost.set()


async def test_a_node_that_nobody_can_ask_for_a_rebirth_is_not_born(tmp_path: Path) -> None:
    """Half a session would leave hosts without a way to know what the aliases mean."""
    settings = sparkplug("mqtt://127.0.0.1:1", tmp_path)
    wire = RefusingWire()
    problems = await check_edge(settings, lambda _will, _heard: wire)
    assert problems[0] == f"{NCMD}: not granted"
    feed = Feed()
    feed.put(plant(), [])
    publisher = EdgePublisher(settings, feed, SystemClock(), lambda _will, _heard: wire)
    task = asyncio.create_task(publisher.run())

    async def refused() -> str:
        return publisher.status().detail

    assert await until(refused) == f"mqtt://127.0.0.1:1: {NCMD}: not granted"
    assert wire.sent == []
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_whole_check_speaks_of_the_edge_node(
    broker: Mosquitto, watcher: Watcher, tmp_path: Path
) -> None:
    """`ignition-bridge check` connects; a silent primary host is a warning, an absent broker a problem."""
    config = tmp_path / "bridge.toml"

    async def said(more: str) -> list[tuple[Level, str]]:
        example = (ROOT / "bridge.example.toml").read_text(encoding="utf-8")
        config.write_text(f'{example}\n[publish.sparkplug]\ngroup = "{GROUP}"\n{more}\n', encoding="utf-8")
        report = await check(config)
        found = [(one.level, one.problem) for one in report.findings if one.subject == "publish.sparkplug"]
        return found or [(Level.WARNING, line) for line in report.looked_at if "publish.sparkplug" in line]

    ((_, good),) = await said(f'broker = "{broker.url}"')
    assert good == f"publish.sparkplug: {broker.url} lets {GROUP}/lakebase-agent in; no primary host"
    ((level, silent),) = await said(f'broker = "{broker.url}"\nprimary_host = "scada"')
    assert level is Level.WARNING
    assert "scada has said nothing" in silent
    broker.stop()
    ((level, absent),) = await said(f'broker = "{broker.url}"')
    assert level is Level.PROBLEM
    assert "could not connect" in absent
    assert watcher.host.heard == []


async def test_check_names_a_file_that_is_no_outbox(broker: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text("[store]\n", encoding="utf-8")
    settings = sparkplug(broker.url, tmp_path, outbox=tmp_path / "bridge.toml")
    (problem,) = await check_edge(settings, edge_wire(settings, SystemClock(), beside=True))
    assert problem.endswith("bridge.toml is not an outbox; name another file")


async def test_check_says_when_there_is_no_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as absent:
        settings = sparkplug(absent.url, tmp_path)
        with pytest.raises(LinkDown, match=absent.url):
            await check_edge(settings, edge_wire(settings, SystemClock(), beside=True))
