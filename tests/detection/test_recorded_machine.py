"""Does the shipped example find the failures of a real machine, and how often does it cry wolf?"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge import settings
from bridge.agent.detect import Detector
from bridge.domain.anomaly import Anomaly, Cleared
from bridge.domain.reading import Quality, Reading
from bridge.plant import Plant

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "nab"
SPEED = 100_000
START_UTC = datetime(2024, 5, 6, 7, 8, 9, 123457, tzinfo=UTC)


def _recording() -> tuple[list[tuple[datetime, float]], list[tuple[datetime, datetime]]]:
    file = DATA / "machine_temperature.csv"
    if not file.exists():
        pytest.fail(f"{file} is absent; this test runs against the recording of ../shared/data")
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [
            (datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC), float(row["value"]))
            for row in csv.DictReader(lines)
        ]
    windows = json.loads((DATA / "machine_temperature.windows.json").read_text(encoding="utf-8"))["windows"]
    return rows, [
        (
            datetime.fromisoformat(begin).replace(tzinfo=UTC),
            datetime.fromisoformat(end).replace(tzinfo=UTC),
        )
        for begin, end in windows
    ]


@pytest.fixture(scope="module")
def played() -> tuple[list[Anomaly | Cleared], list[datetime], list[tuple[datetime, datetime]], float]:
    """Events, recorded times of all onsets, labelled windows, weeks; played as the simulator would."""
    rows, windows = _recording()
    plant = Plant.of(settings.load(ROOT / "examples" / "nab.toml"))
    tag = plant.tags["[default]MACHINE_01/Temperature"]
    detector = Detector(plant, started_utc=START_UTC)
    first_utc = rows[0][0]
    events: list[Anomaly | Cleared] = []
    for begin in range(0, len(rows), 33):
        batch = []
        for recorded_utc, value in rows[begin : begin + 33]:
            source_utc = START_UTC + (recorded_utc - first_utc) / SPEED
            batch.append(Reading(tag, value, Quality.GOOD, source_utc, source_utc + timedelta(seconds=0.1)))
        events.extend(detector.observe(batch))
    onsets = [
        first_utc + (event.seen_utc - START_UTC) * SPEED for event in events if isinstance(event, Anomaly)
    ]
    return events, onsets, windows, (rows[-1][0] - first_utc) / timedelta(weeks=1)


def test_every_labelled_window_has_an_onset(
    played: tuple[list[Anomaly | Cleared], list[datetime], list[tuple[datetime, datetime]], float],
) -> None:
    _, onsets, windows, _ = played
    delays_h = [
        min(((onset - begin) / timedelta(hours=1) for onset in onsets if begin <= onset <= end), default=None)
        for begin, end in windows
    ]
    assert delays_h == [pytest.approx(want, abs=0.1) for want in (0.17, 11.5, 23.0, 2.0)]


def test_less_than_one_false_episode_a_week(
    played: tuple[list[Anomaly | Cleared], list[datetime], list[tuple[datetime, datetime]], float],
) -> None:
    _, onsets, windows, weeks = played
    false = [onset for onset in onsets if not any(begin <= onset <= end for begin, end in windows)]
    assert len(false) / weeks <= 1
    assert (len(onsets), len(false)) == (10, 6)


def test_each_episode_begins_once_and_ends_once(
    played: tuple[list[Anomaly | Cleared], list[datetime], list[tuple[datetime, datetime]], float],
) -> None:
    events = played[0]
    on: set[str] = set()
    for event in events:
        if isinstance(event, Anomaly):
            assert event.issue_type not in on
            on.add(event.issue_type)
        else:
            on.remove(event.issue_type)
    assert not on
