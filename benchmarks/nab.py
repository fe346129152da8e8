"""A real recording end to end: plant, OPC UA, bridge, database; what is found, and what falsely.

`play` runs it and leaves everything in the database; `evaluate` judges from the database and the plant's own
account of its replay, never from what the bridge says about itself. tests/benchmarks/test_nab.py calls both.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from asyncua.common.node import Node
from rich.console import Console
from rich.table import Table

from benchmarks import bare
from benchmarks.report import load_average, machine
from benchmarks.stand import ROOT, Connection, Failed, Stand, connect, fetch, number, stand, until

SPEED = 100_000.0
"""What examples/nab.toml is written for: 5 minutes of the recording are 3 ms."""

RECORDING = ROOT.parent / "shared" / "data" / "nab" / "machine_temperature.csv"
WINDOWS = RECORDING.with_name("machine_temperature.windows.json")
CONFIG = ROOT / "examples" / "nab.toml"
MOST_FALSE_PER_WEEK = 1.0
_SIGNAL_TROUBLE = ("bad_signal", "stale_signal")


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The plant's own account: recorded time = recorded_start + (source time - wall_start) × speed."""

    recorded_start_utc: datetime
    wall_start_utc: datetime
    speed: float
    rows: int

    def recorded(self, source_utc: datetime) -> datetime:
        """The recorded time of a source time."""
        return self.recorded_start_utc + (source_utc - self.wall_start_utc) * self.speed


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One condition. found_utc: recorded time of the reading that confirmed it."""

    issue_type: str
    found_utc: datetime
    recommendations: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the run came to; `problems` is empty when it is as it has to be."""

    windows: tuple[tuple[datetime, datetime], ...]
    episodes: tuple[Episode, ...]
    recorded: timedelta
    rows_recorded: int
    rows_played: int  # fewer: an hour that the recording has twice cannot be played backwards
    values_stored: int
    most_open_at_once: int  # open recommendations of one equipment and issue at the same moment
    signal_troubles: int
    seconds: float

    def inside(self, window: tuple[datetime, datetime]) -> list[Episode]:
        """Episodes found inside a labelled window, first one first."""
        return [episode for episode in self.episodes if window[0] <= episode.found_utc <= window[1]]

    @property
    def false_episodes(self) -> list[Episode]:
        """Episodes outside all windows."""
        return [
            episode
            for episode in self.episodes
            if not any(begin <= episode.found_utc <= end for begin, end in self.windows)
        ]

    @property
    def false_per_week(self) -> float:
        """False episodes per week of recorded time."""
        return len(self.false_episodes) / (self.recorded / timedelta(weeks=1))

    @property
    def problems(self) -> list[str]:
        """Why this run is not as it has to be, one sentence each."""
        found = []
        missed = sum(not any(e.recommendations for e in self.inside(window)) for window in self.windows)
        if missed:
            found.append(f"{missed} of {len(self.windows)} windows led to no recommendation")
        if self.false_per_week > MOST_FALSE_PER_WEEK:
            found.append(
                f"{self.false_per_week:.2f} false episodes a week, allowed is {MOST_FALSE_PER_WEEK:g}"
            )
        several = sum(episode.recommendations != 1 for episode in self.episodes)
        if several:
            found.append(f"{several} conditions did not lead to exactly one recommendation")
        if self.most_open_at_once > 1:
            found.append(f"{self.most_open_at_once} recommendations of one condition were open at once")
        if self.values_stored != self.rows_played:
            found.append(f"{self.values_stored:,} of {self.rows_played:,} readings were stored")
        return found


async def play(stand: Stand, url: str, speed: float = SPEED) -> tuple[Replay, float]:
    """Play the recording through plant and bridge; returns when the bridge has stored it and ended."""
    if not RECORDING.is_file():
        raise Failed(f"{RECORDING} is absent; this runs against the recording that lies beside the project")
    began_s = time.monotonic()
    async with stand.plant(
        *("--equipment", "0", "--replay", str(RECORDING), "--map", "value=MACHINE_01/Temperature"),
        *("--speed", str(speed), "--start-after-subscribers", "1", "--backwards", "skip"),
    ) as plant:
        toml = CONFIG.read_text(encoding="utf-8")
        async with (
            stand.bridge(toml, url, BRIDGE_LINKS__PLANT__ENDPOINT=plant.endpoint),
            bare.client_of(plant.endpoint) as client,
        ):
            names = ("Done", "RowsPlayed", "RecordedStart", "WallStart", "Speed")
            nodes = dict(
                zip(
                    names,
                    await bare.nodes_of(client, [f"Plant/Replay/{name}" for name in names]),
                    strict=True,
                )
            )
            await until("end of the replay", lambda: _done(nodes["Done"]), within_s=900.0, every_s=0.5)
            replay = Replay(
                recorded_start_utc=datetime.fromisoformat(await nodes["RecordedStart"].read_value()),
                wall_start_utc=(await nodes["WallStart"].read_value()).replace(tzinfo=UTC),
                speed=await nodes["Speed"].read_value(),
                rows=await nodes["RowsPlayed"].read_value(),
            )
            async with await connect(url) as owner:
                await _drained(owner)
    return replay, time.monotonic() - began_s


async def _done(node: Node) -> bool:
    return bool(await node.read_value())


async def _drained(owner: Connection) -> None:
    """Wait until nothing more is stored for a second."""
    before = -1.0
    while (now := await number(owner, "select count(*) from sensor_data")) != before:
        before = now
        await asyncio.sleep(1.0)


async def evaluate(owner: Connection, replay: Replay, seconds: float) -> Outcome:
    """Judge a finished run from the database."""
    windows = tuple(
        (
            datetime.fromisoformat(begin).replace(tzinfo=UTC),
            datetime.fromisoformat(end).replace(tzinfo=UTC),
        )
        for begin, end in json.loads(WINDOWS.read_text(encoding="utf-8"))["windows"]
    )
    rows = await fetch(
        owner,
        "select c.issue_type, c.since_timestamp, count(r.recommendation_id) as recommendations,"
        " min((r.evidence ->> 'seen_utc')::timestamptz) as seen"
        " from equipment_conditions c left join agent_recommendations r on r.equipment_id = c.equipment_id"
        " and r.issue_type = c.issue_type and (r.evidence ->> 'since_utc')::timestamptz = c.since_timestamp"
        " where c.issue_type <> all(%s) group by c.condition_id order by c.since_timestamp",
        list(_SIGNAL_TROUBLE),
    )
    last = (
        await fetch(owner, "select max(timestamp) as at from sensor_data where recorded_by = 'nab-agent'")
    )[0]
    return Outcome(
        windows=windows,
        episodes=tuple(
            Episode(
                issue_type=row["issue_type"],
                found_utc=replay.recorded(row["seen"] or row["since_timestamp"]),
                recommendations=row["recommendations"],
            )
            for row in rows
        ),
        recorded=replay.recorded(last["at"]) - replay.recorded_start_utc,
        rows_recorded=await asyncio.to_thread(_rows_recorded),
        rows_played=replay.rows,
        values_stored=int(
            await number(
                owner,
                "select count(temperature) from sensor_data where equipment_id = 'MACHINE_01' and timestamp >= %s",
                replay.wall_start_utc,
            )
        ),
        most_open_at_once=await _most_open(owner),
        signal_troubles=int(
            await number(
                owner,
                "select count(*) from equipment_conditions where issue_type = any(%s)",
                list(_SIGNAL_TROUBLE),
            )
        ),
        seconds=seconds,
    )


def _rows_recorded() -> int:
    with RECORDING.open(encoding="utf-8") as lines:
        return sum(1 for _ in lines) - 1


async def _most_open(owner: Connection) -> int:
    """Walk the audit trail: how many recommendations of one equipment and issue were open at the same moment."""
    rows = await fetch(
        owner,
        "select a.recommendation_id, a.new_status, r.equipment_id, r.issue_type from agent_audit a"
        " join agent_recommendations r using (recommendation_id)"
        " where a.object_type = 'recommendation' and a.new_status is not null order by a.seq",
    )
    opened: dict[tuple[str, str], set[str]] = {}
    most = 0
    for row in rows:
        members = opened.setdefault((row["equipment_id"], row["issue_type"]), set())
        if row["new_status"] in ("pending", "deferred", "approved", "executing"):
            members.add(row["recommendation_id"])
        else:
            members.discard(row["recommendation_id"])
        most = max(most, len(members))
    return most


def show(outcome: Outcome) -> None:
    """Print what was found."""
    console = Console(width=None if Console().is_terminal else 150)
    table = Table("labelled window", "found", "delay", "episodes inside", title="machine_temperature (NAB)")
    for begin, finish in outcome.windows:
        inside = outcome.inside((begin, finish))
        delay = f"{(inside[0].found_utc - begin) / timedelta(hours=1):.1f} h" if inside else ""
        table.add_row(
            f"{begin:%Y-%m-%d %H:%M} – {finish:%Y-%m-%d %H:%M}",
            "yes" if inside else "no",
            delay,
            ", ".join(f"{e.issue_type} {e.found_utc:%m-%d %H:%M}" for e in inside),
        )
    console.print(table)
    false = ", ".join(f"{e.issue_type} {e.found_utc:%Y-%m-%d %H:%M}" for e in outcome.false_episodes)
    most = max((episode.recommendations for episode in outcome.episodes), default=0)
    facts = (
        ("false episodes", f"{len(outcome.false_episodes)}, {outcome.false_per_week:.2f} a week: {false}"),
        ("recommendations per condition", f"{most} at most, over {len(outcome.episodes)} conditions"),
        ("open at once for one condition", f"{outcome.most_open_at_once} at most"),
        (
            "readings stored",
            f"{outcome.values_stored:,} of {outcome.rows_played:,} played ({outcome.rows_recorded:,} recorded; "
            f"{outcome.rows_recorded - outcome.rows_played} lie in an hour that the recording has twice)",
        ),
        ("conditions for bad or silent signals", f"{outcome.signal_troubles}"),
        ("time", f"{outcome.recorded / timedelta(weeks=1):.1f} weeks in {outcome.seconds:.0f} s"),
    )
    for what, value in facts:
        console.print(f"  {what}: {value}", highlight=False)


def command(speed: float, folder: Path) -> int:
    """`python -m benchmarks nab`: play, evaluate, print, save; 1 when it is not as it has to be."""
    print(f"load average {load_average()}", flush=True)
    with stand() as started, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(run(started, speed))
    show(outcome)
    _save(outcome, folder)
    for problem in outcome.problems:
        print(f"not as it has to be: {problem}")
    print(f"load average {load_average()}")
    return 1 if outcome.problems else 0


async def run(stand: Stand, speed: float = SPEED) -> Outcome:
    """Play and evaluate on a fresh database."""
    url = await stand.database()
    replay, seconds = await play(stand, url, speed)
    async with await connect(url) as owner:
        return await evaluate(owner, replay, seconds)


def _save(outcome: Outcome, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    def listed(episodes: Sequence[Episode]) -> list[dict[str, object]]:
        return [
            {"issue": e.issue_type, "found": e.found_utc.isoformat(), "recommendations": e.recommendations}
            for e in episodes
        ]

    whole = {
        "machine": machine(),
        "windows": [
            {
                "begin": window[0].isoformat(),
                "end": window[1].isoformat(),
                "found": listed(outcome.inside(window)),
            }
            for window in outcome.windows
        ],
        "false": listed(outcome.false_episodes),
        "false_per_week": outcome.false_per_week,
        "most_open_at_once": outcome.most_open_at_once,
        "readings_stored": outcome.values_stored,
        "readings_played": outcome.rows_played,
        "readings_recorded": outcome.rows_recorded,
        "seconds": outcome.seconds,
        "problems": outcome.problems,
    }
    (folder / "nab.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
