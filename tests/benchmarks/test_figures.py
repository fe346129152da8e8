"""Does the table say the truth about its goals?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.figures import Figure, Result, quantile, tail
from benchmarks.report import machine, save


def test_a_goal_at_most_is_met_at_the_limit_and_missed_beyond() -> None:
    assert Figure(what="latency", value=9.0, unit="ms", goal=9.0).verdict == "met"
    assert Figure(what="latency", value=13.5, unit="ms", goal=9.0).verdict == "over by 50%"


def test_a_goal_at_least_is_short_below() -> None:
    assert Figure(what="rate", value=750.0, unit="/s", goal=1000.0, at_least=True).verdict == "short by 25%"


def test_both_the_goal_and_the_ratio_to_the_floor_have_to_be_met() -> None:
    figure = Figure(what="latency", value=8.0, unit="ms", goal=9.0, floor=2.0, floor_goal=3.0)
    assert figure.met is False
    assert figure.verdict == "× floor over by 33%"


def test_a_missing_floor_is_no_success() -> None:
    assert Figure(what="latency", value=8.0, unit="ms", goal=9.0, floor_goal=3.0).met is False


def test_nothing_is_claimed_without_a_goal() -> None:
    assert Figure(what="memory", value=8.0, unit="MB").met is None


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_quantile_is_the_smallest_value_that_covers_the_share(share: float, wanted: float) -> None:
    assert quantile([float(value) for value in range(100, 0, -1)], share) == wanted


def test_the_tail_of_one_value_is_that_value() -> None:
    assert tail([3.0]) == {"p50": 3.0, "p99": 3.0, "max": 3.0}


def test_what_is_saved_names_machine_goal_and_verdict(tmp_path: Path) -> None:
    figure = Figure(what="latency", value=8.0, unit="ms", goal=9.0)
    save([Result(name="one", title="One", figures=(figure,))], machine(), tmp_path)
    saved = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert saved["results"][0]["figures"][0]["verdict"] == "met"
    assert saved["machine"]["load_average"]
    table = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert "| latency | 8 ms |" in table
    assert "load average" in table
