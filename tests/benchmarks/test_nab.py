"""A real machine's recording through plant, wire, bridge and database: are its failures found, and not much else?"""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import nab
from benchmarks.stand import stand


@pytest.fixture(scope="module")
def outcome() -> nab.Outcome:
    """One whole replay: 78 days in about 70 seconds."""
    if not nab.RECORDING.is_file():
        pytest.fail(f"{nab.RECORDING} is absent; it lies beside the project")
    with stand() as started:
        return asyncio.run(nab.run(started))


@pytest.mark.timeout(180)
def test_every_labelled_window_leads_to_a_recommendation(outcome: nab.Outcome) -> None:
    found = [[e for e in outcome.inside(window) if e.recommendations] for window in outcome.windows]
    assert len(found) == 4
    assert all(found)


@pytest.mark.timeout(180)
def test_at_most_one_false_episode_a_week(outcome: nab.Outcome) -> None:
    assert outcome.false_per_week <= 1.0, outcome.false_episodes


@pytest.mark.timeout(180)
def test_one_condition_is_one_recommendation_however_long_it_lasts(outcome: nab.Outcome) -> None:
    assert {episode.recommendations for episode in outcome.episodes} == {1}
    assert outcome.most_open_at_once == 1


@pytest.mark.timeout(180)
def test_every_reading_is_stored(outcome: nab.Outcome) -> None:
    assert outcome.rows_played > 22_000
    assert outcome.values_stored == outcome.rows_played


@pytest.mark.timeout(180)
def test_nothing_else_is_wrong(outcome: nab.Outcome) -> None:
    assert outcome.problems == []
    assert outcome.signal_troubles == 0
