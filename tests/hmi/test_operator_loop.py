"""The whole loop in browsers: a reactor overheats, a person decides at the HMI, and the plant does just that."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway.closed_loop import throughput
from playwright.sync_api import Page, expect

from hmi.floor import Floor, Screen, whole_floor

NewPage = Callable[..., Page]
START_KG_H = 500.0


@pytest.fixture(scope="module")
def floor(fresh_database: Callable[..., str]) -> Iterator[Floor]:
    with (
        tempfile.TemporaryDirectory(prefix="bridge-floor-") as folder,
        whole_floor(Path(folder) / "demo", fresh_database()) as running,
    ):
        yield running


def waiting(floor: Floor, equipment_id: str, *severities: str) -> str:
    """Wait for a recommendation for this equipment of one of these severities; its id."""
    expect_row = (
        "select coalesce(max(recommendation_id), '') from agent_recommendations"
        " where equipment_id = %s and status = 'pending' and severity = any(%s)"
    )
    return str(floor.until(lambda: floor.hands.value(expect_row, equipment_id, list(severities)), 60.0))


def test_overheating_is_seen_approved_executed_and_verified(floor: Floor, new_page: NewPage) -> None:
    """The main job, by hand: see it, look closer, approve the exact writes, watch them arrive."""
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    floor.overheat("REACTOR_02")
    number = waiting(
        floor, "REACTOR_02", "high"
    )  # its last step: nothing escalates under the operator's hand
    expect(screen.card(number)).to_contain_text("REACTOR_02")
    expect(screen.card(number)).to_contain_text("HIGH", ignore_case=True)
    screen.by_id(f"open-{number}").click()
    expect(screen.page).to_have_url(re.compile(f"/recommendations/{number}$"))
    expect(screen.page.locator('[data-type="ia.chart.timeseries"] svg path').first).to_be_visible()

    proposed = floor.hands.recommendation(number)["proposed_writes"]
    popup = screen.decide("approve", number)
    for write in proposed:
        expect(popup).to_contain_text(write["tag_path"].removeprefix("[default]"))
    expect(popup).to_contain_text(f"{proposed[0]['to']:g}")
    screen.confirm()
    expect(screen.outcome()).to_contain_text("approved", ignore_case=True)
    floor.until(lambda: floor.hands.recommendation(number)["status"] == "executed", 30.0)
    screen.open(f"/recommendations/{number}")
    expect(screen.page.get_by_text("verified", exact=False).first).to_be_visible()
    assert [
        (line["node"], line["new"])
        for line in map(json.loads, floor.written())
        if "REACTOR_02" in line["node"]
    ] == [(write["tag_path"].removeprefix("[default]"), write["to"]) for write in proposed]
    assert floor.hands.recommendation(number)["approved_by_operator"] == "operator"


def test_a_rejection_needs_a_reason_and_keeps_it(floor: Floor, new_page: NewPage) -> None:
    number = propose(floor, "REACTOR_01")
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    screen.decide("reject", number)
    expect(screen.by_id("decide-confirm")).to_be_disabled()
    screen.by_id("decide-reason").fill("planned test run")
    screen.confirm()
    expect(screen.outcome()).to_contain_text("rejected", ignore_case=True)
    row = floor.hands.recommendation(number)
    assert (row["status"], row["rejection_reason"], row["decided_by_operator"]) == (
        "rejected",
        "planned test run",
        "operator",
    )


def test_a_deferred_one_comes_back_by_itself(floor: Floor, new_page: NewPage) -> None:
    number = propose(floor, "REACTOR_01")
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    screen.decide("defer", number)
    expect(screen.by_id("decide-confirm")).to_be_disabled()
    screen.by_id("decide-duration").select_option(label="30 minutes")
    screen.confirm()
    expect(screen.outcome()).to_contain_text("deferred", ignore_case=True)
    screen.by_id("decide-cancel").click()
    expect(screen.card(number)).to_contain_text("deferred", ignore_case=True)
    expect(screen.by_id(f"approve-{number}")).not_to_be_visible()
    floor.hands.let_deferral_end(number)
    expect(screen.by_id(f"approve-{number}")).to_be_enabled()


def test_disarmed_nothing_is_written(floor: Floor, new_page: NewPage) -> None:
    """An engineer disarms at the HMI; what is approved afterwards never reaches the plant."""
    engineer = Screen(new_page(), floor.hmi).open("/settings").log_in("engineer")
    engineer.by_id("disarm-button").click()
    engineer.by_id("arm-reason").fill("valve work in hall 2")
    engineer.by_id("disarm-confirm").click()
    expect(engineer.by_id("header-armed")).to_contain_text("disarmed", ignore_case=True)
    number = propose(floor, "REACTOR_03")
    operator = Screen(new_page(), floor.hmi).open().log_in("operator")
    operator.decide("approve", number)
    operator.confirm()
    expect(operator.outcome()).to_contain_text("approved", ignore_case=True)
    polls = "select max(polls_completed) from agent_health"
    seen = floor.hands.value(polls)
    floor.until(lambda: floor.hands.value(polls) >= seen + 3, 60.0)  # the bridge has looked again and again
    assert floor.hands.recommendation(number)["status"] == "approved"
    assert not [line for line in floor.written() if "REACTOR_03" in line]

    engineer.open("/settings")
    engineer.by_id("arm-button").click()
    engineer.by_id("arm-reason").fill("work is done")
    engineer.by_id("arm-confirm").click()
    expect(operator.by_id("header-armed")).to_contain_text(re.compile("^armed|writes armed", re.I))


def propose(floor: Floor, reactor: str) -> str:
    """What an agent proposes for a reactor that is well: a small step down."""
    write = {"tag_path": throughput(reactor), "from": START_KG_H, "to": START_KG_H - 50, "unit": "kg/h"}
    return floor.hands.propose(equipment_id=reactor, issue_type="low_flow", writes=[write])
