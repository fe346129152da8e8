"""`python -m benchmarks outage10`: the database away for ten minutes at 1,000 readings/s, the bridge killed meanwhile.

A counting source over MQTT with a persistent session, mosquitto, the bridge as its users start it, PostgreSQL with
its durability. At the end every number of every tag has to be there once, and in its order.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import tempfile
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.numbers import ROOT_TOPIC, VALUES
from benchmarks.stand import Bridge, Failed, Row, connect, demand_line, end, fetch, number, spawn, until
from bridge.store.connection import Database
from bridge.store.migrate import migrate

MOSQUITTO = "/usr/sbin/mosquitto"
_LANES = 2  # live readings overtake those from the disk; within each of the two the order of arrival holds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens, in seconds: work, then away (a kill comes `kill_after_s` into it), then work again."""

    rate_per_s: float = 1000.0
    topics: int = 5
    before_s: float = 5.0
    away_s: float = 600.0
    kill_after_s: float = 300.0
    after_s: float = 5.0
    kill_draining: bool = False
    """Once more, as soon as some of what was kept has been stored."""
    patience_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of what was sent."""

    sent: int
    stored: int
    missing: Mapping[str, Sequence[int]]
    twice: int
    disordered: Mapping[str, str]
    deepest: int
    """Most readings that were seen on disk."""
    drained_s: float
    """From the return of the database until nothing waited any more."""
    noticed_s: float
    """From the return of the database until the bridge stored something again; until then all goes to disk."""
    live_ms: Mapping[str, float]
    """From measured to committed, of what was measured from then until the disk was empty: p50, p99, max."""

    @property
    def good(self) -> bool:
        """Every reading once, and in order per tag."""
        return not self.missing and not self.twice and not self.disordered and self.stored == self.sent

    def words(self) -> str:
        """For a person."""
        lost = sum(map(len, self.missing.values()))
        live = ", ".join(f"{name} {value:.0f} ms" for name, value in self.live_ms.items())
        lines = [
            f"sent {self.sent:,}, stored {self.stored:,}, missing {lost:,}, twice {self.twice:,}, "
            f"tags out of order {len(self.disordered)}",
            f"most readings on disk {self.deepest:,}; empty {self.drained_s:.1f} s after the database was back; "
            f"noticed after {self.noticed_s:.1f} s; live from then on, measured to committed: {live}",
        ]
        lines += [
            f"  {tag}: missing {len(which):,}, first {list(which[:5])}" for tag, which in self.missing.items()
        ]
        lines += [f"  {tag}: {what}" for tag, what in self.disordered.items()]
        return "\n".join(
            [*lines, "every reading arrived once, in order" if self.good else "NOT as it should be"]
        )


def command(*, quick: bool) -> int:
    """Run it, print the verdict; 1 when it is not as it should be."""
    plan = Plan(away_s=20.0, kill_after_s=8.0, before_s=3.0, after_s=3.0) if quick else Plan()
    folder = Path(tempfile.mkdtemp(prefix="bridge-outage10-"))
    folder.chmod(0o755)
    try:
        verdict = asyncio.run(run(folder, plan))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(verdict.words())
    return 0 if verdict.good else 1


async def run(folder: Path, plan: Plan) -> Verdict:
    """Everything in a folder of its own; all processes are ended again."""
    with _broker(folder) as port:
        async with _database(folder) as database, _source(folder, port, plan) as source:
            config = folder / "bridge.toml"
            config.write_text(_toml(port, plan), encoding="utf-8")
            environment = {"BRIDGE_STORE__URL": database.url, "BRIDGE_BUFFER__DIR": str(folder / "buffer")}
            bridge = await asyncio.to_thread(Bridge.start, config, environment, folder / "first.log")
            try:
                await asyncio.sleep(plan.before_s)
                await asyncio.to_thread(database.stop)
                await asyncio.sleep(plan.kill_after_s)
                bridge.process.kill()
                bridge.process.wait()
                bridge = await asyncio.to_thread(
                    Bridge.start, config, environment, folder / "second.log", ready="agent.waiting"
                )
                await asyncio.sleep(plan.away_s - plan.kill_after_s)
                await asyncio.to_thread(database.start)
                back_s = time.monotonic()
                async with await connect(database.url) as owner:
                    back_utc = (await fetch(owner, "select clock_timestamp() as now"))[0]["now"]
                    if plan.kill_draining:
                        await _some_stored(owner, plan)
                        bridge.process.kill()
                        bridge.process.wait()
                        bridge = await asyncio.to_thread(
                            Bridge.start, config, environment, folder / "third.log"
                        )
                    deepest = await _emptied(owner, plan)
                    drained_s = time.monotonic() - back_s
                    empty_utc = (await fetch(owner, "select clock_timestamp() as now"))[0]["now"]
                    await asyncio.sleep(plan.after_s)
                    sent = await asyncio.to_thread(source.stop)
                    await _arrived(owner, sum(sent.values()), plan)
                    rows = await fetch(
                        owner,
                        "select equipment_id || '/' || key as tag, value::numeric::bigint as number, timestamp"
                        " from sensor_data, jsonb_each_text(signals) order by reading_id",
                    )
                    first = await fetch(
                        owner,
                        "select min(pg_xact_commit_timestamp(xmin)) as utc from sensor_data"
                        " where pg_xact_commit_timestamp(xmin) > %s",
                        back_utc,
                    )
                    noticed_utc = first[0]["utc"] or empty_utc
                    live = await fetch(
                        owner,
                        "select percentile_disc(array[0.5, 0.99, 1]) within group (order by"
                        " extract(epoch from pg_xact_commit_timestamp(xmin) - timestamp) * 1000) as ms"
                        " from sensor_data where timestamp between %s and %s",
                        noticed_utc,
                        empty_utc,
                    )
            finally:
                await asyncio.to_thread(bridge.stop)
    spread = dict(zip(("p50", "p99", "max"), map(float, live[0]["ms"] or (0, 0, 0)), strict=True))
    return judge(
        sent,
        rows,
        deepest=deepest,
        drained_s=drained_s,
        noticed_s=(noticed_utc - back_utc).total_seconds(),
        live_ms=spread,
    )


def judge(
    sent: Mapping[str, int],
    rows: Sequence[Row],
    *,
    deepest: int = 0,
    drained_s: float = 0.0,
    noticed_s: float = 0.0,
    live_ms: Mapping[str, float] | None = None,
) -> Verdict:
    """Compare what was sent, the count per tag, with the rows in the order in which they were stored."""
    by_tag: dict[str, list[Row]] = {tag: [] for tag in sent}
    for row in rows:
        by_tag[row["tag"]].append(row)
    missing: dict[str, Sequence[int]] = {}
    disordered: dict[str, str] = {}
    twice = 0
    for tag, found in by_tag.items():
        numbers = [row["number"] for row in found]
        twice += len(numbers) - len(set(numbers))
        left = sorted(set(range(1, sent[tag] + 1)) - set(numbers))
        if left:
            missing[tag] = left
        by_time = [row["number"] for row in sorted(found, key=lambda row: row["timestamp"])]
        if by_time != sorted(by_time):
            disordered[tag] = "by their time stamps the numbers do not grow"
        elif lanes_of(numbers) > _LANES:
            disordered[tag] = f"stored in {lanes_of(numbers)} interleaved sequences, {_LANES} are allowed"
    return Verdict(
        sent=sum(sent.values()),
        stored=len(rows),
        missing=missing,
        twice=twice,
        disordered=disordered,
        deepest=deepest,
        drained_s=drained_s,
        noticed_s=noticed_s,
        live_ms=live_ms or {},
    )


def lanes_of(numbers: Sequence[int]) -> int:
    """The least number of growing sequences of which these numbers are a mixture."""
    last: list[int] = []  # of each sequence the last number, negated, so that it is sorted
    for value in numbers:
        # The longest falling subsequence, which is as long as that (Dilworth).
        place = bisect_left(last, -value)
        last[place : place + 1] = [-value]
    return len(last)


async def _some_stored(owner: psycopg.AsyncConnection[Row], plan: Plan) -> None:
    before = await number(owner, "select count(*) from sensor_data")

    async def more() -> bool:
        now = await number(owner, "select count(*) from sensor_data")
        return now * len(VALUES) > before * len(VALUES) + plan.rate_per_s

    await until("something from the disk is stored", more, within_s=plan.patience_s, every_s=0.02)


async def _emptied(owner: psycopg.AsyncConnection[Row], plan: Plan) -> int:
    """Wait until the heartbeat says that nothing is on disk; the most that it ever said."""
    deepest = 0

    async def empty() -> bool:
        nonlocal deepest
        rows = await fetch(
            owner,
            "select detail -> 'buffer' ->> 'depth' as depth from agent_health"
            " where status = 'online' and last_heartbeat > now() - interval '3 s'",
        )
        depth = int(rows[0]["depth"]) if rows else -1
        deepest = max(deepest, depth)
        return depth == 0

    await until("an empty buffer", empty, within_s=plan.patience_s, every_s=0.2)
    return deepest


async def _arrived(owner: psycopg.AsyncConnection[Row], wanted: int, plan: Plan) -> None:
    """Wait until as many rows are there, and no more come; a verdict, not an error, when they do not."""

    async def there() -> bool:
        return await number(owner, "select count(*) from sensor_data") * len(VALUES) >= wanted

    with suppress(Failed):
        await until("all rows", there, within_s=min(plan.patience_s, 15.0), every_s=0.2)
    await asyncio.sleep(1.0)  # one too many would come now


def _toml(port: int, plan: Plan) -> str:
    signals = "".join(
        f"""
[types.counter.signals.{value}]
tag = "[default]{{equipment}}/{value}"
address = "{ROOT_TOPIC}/{{equipment}}#{value}"
"""
        for value in VALUES
    )
    return f"""
[agent]
heartbeat_s = 0.5
[links.source]
kind = "mqtt"
broker = "mqtt://127.0.0.1:{port}"
client_id = "outage10"
persistent = true
[types.counter]
link = "source"
rules = []
remedies = []
{signals}
[[equipment]]
ids = ["T_{{01..{plan.topics:02d}}}"]
type = "counter"
"""


@contextmanager
def _broker(folder: Path) -> Iterator[int]:
    """mosquitto on a free port. It holds everything for a session that is away."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n"
        "persistence false\n",
        encoding="utf-8",
    )
    with (folder / "mosquitto.log").open("ab") as sink:
        process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=sink, stderr=sink)
    try:
        until_s = time.monotonic() + 10.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except OSError as problem:
                if process.poll() is not None or time.monotonic() > until_s:
                    raise Failed(f"mosquitto does not answer; see {folder / 'mosquitto.log'}") from problem
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


class _Source:
    def __init__(self, folder: Path, port: int, plan: Plan) -> None:
        log = folder / "source.log"
        self._process = spawn(
            "numbers", "127.0.0.1", str(port), str(plan.topics), str(plan.rate_per_s), log=log
        )
        demand_line(self._process, "publishing", log, within_s=20.0)

    def stop(self) -> dict[str, int]:
        """End it; how many numbers each tag got."""
        self._process.terminate()
        said, _ = self._process.communicate(timeout=60.0)
        if self._process.returncode:
            raise Failed(f"the source ended with {self._process.returncode}; it said {said!r}")
        found: dict[str, int] = json.loads(said)
        return found

    def kill(self) -> None:
        if self._process.poll() is None:
            end(self._process, within_s=10.0)


@asynccontextmanager
async def _source(folder: Path, port: int, plan: Plan) -> AsyncIterator[_Source]:
    # The session has to exist before the first number is published, or that number is for nobody.
    await asyncio.to_thread(_subscribe_once, port)
    made = await asyncio.to_thread(_Source, folder, port, plan)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.kill)


def _subscribe_once(port: int) -> None:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id="outage10", protocol=MQTTProtocolVersion.MQTTv5
    )
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 86_400
    subscribed: list[int] = []

    def subscribe(*_: object) -> None:
        client.subscribe(f"{ROOT_TOPIC}/+", qos=1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: subscribed.append(1)
    client.connect("127.0.0.1", port, clean_start=True, properties=properties)
    until_s = time.monotonic() + 10.0
    while not subscribed and time.monotonic() < until_s:
        client.loop(0.1)
    client.disconnect()
    client.loop(0.1)


class _Server:
    """PostgreSQL that can be stopped and started at the same place and port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = "0"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        log = self._folder / "database.log"
        self._process = spawn("database", str(self._folder / "database"), self._port, log=log)
        self.url = demand_line(self._process, "postgresql://", log, within_s=60.0)
        self._port = self.url.rsplit(":", 1)[1].split("/")[0]

    def stop(self) -> None:
        if self._process is not None:
            end(self._process, within_s=30.0)
            self._process = None


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[_Server]:
    server = _Server(folder)
    try:
        await asyncio.to_thread(server.start)
        owner = Database(server.url, role=None, size=2, connect_timeout_s=10.0, statement_timeout_s=60.0)
        await owner.open()
        await migrate(owner)
        await owner.close()
        yield server
    finally:
        await asyncio.to_thread(server.stop)
