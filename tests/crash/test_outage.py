"""The database stopped under load and the bridge killed meanwhile: every reading arrives once, in order per tag."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.outage10 import Plan, judge, lanes_of, run

COMPRESSED = Plan(
    away_s=14.0, kill_after_s=6.0, before_s=2.0, after_s=2.0, kill_draining=True, patience_s=60.0
)


async def test_every_reading_arrives_once_and_in_order(database_folder: Path) -> None:
    """1,000 readings/s over MQTT, PostgreSQL stopped for 14 s: nothing missing, nothing twice, order kept.

    The bridge is killed 6 s into that, and the one that is started then works without its database; it is killed
    when the database is back and it is emptying the disk.
    """
    folder = database_folder / "outage"
    folder.mkdir(mode=0o755)
    verdict = await run(folder, COMPRESSED)
    assert verdict.good, verdict.words()
    assert verdict.sent > 10_000
    assert verdict.deepest > 5_000, "it did wait on disk"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1, 2, 4], "missing"),
        ([1, 2, 2, 3, 4], "twice"),
        ([4, 3, 2, 1], "out of order"),
    ],
)
def test_the_judge_sees_what_is_wrong(numbers: list[int], words: str) -> None:
    """A verdict that cannot be bad says nothing."""
    rows = [{"tag": "T_01/a", "number": number, "timestamp": number} for number in numbers]
    verdict = judge({"T_01/a": 4}, rows)
    assert not verdict.good
    assert f"{words} 0" not in verdict.words()
    assert judge({"T_01/a": 4}, [dict(rows[0], number=n, timestamp=n) for n in (1, 3, 2, 4)]).good


def test_lanes_are_counted() -> None:
    """Live and drained, each growing, are two; a third would be disorder."""
    assert lanes_of([1, 2, 3]) == 1
    assert lanes_of([1, 7, 2, 8, 3, 9]) == 2
    assert lanes_of([3, 2, 1]) == 3
