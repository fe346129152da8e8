"""Who may decide, and what becomes of decisions that cross each other: browsers against gateway and database."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from rig import sql

from hmi.floor import SOON_MS, Floor, Screen, quiet_floor

NewPage = Callable[..., Page]


@pytest.fixture(scope="module")
def floor(
    fresh_database: Callable[..., str], published_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Floor]:
    with quiet_floor(tmp_path_factory.mktemp("hmi"), fresh_database(published_template)) as running:
        yield running


def approvals(floor: Floor, number: str) -> int:
    return int(floor.hands.value("select count(*) from approvals where recommendation_id = %s", number))


def test_anonymous_sees_and_cannot_decide(floor: Floor, new_page: NewPage) -> None:
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open()
    expect(screen.by_id(f"open-{number}")).to_be_visible(timeout=SOON_MS)
    expect(screen.by_id(f"approve-{number}")).to_be_disabled()


def test_a_viewer_is_stopped_at_the_button(floor: Floor, new_page: NewPage) -> None:
    """First door: the button is dead, and a click forged past it is refused by the action's permission."""
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("viewer")
    button = screen.by_id(f"approve-{number}")
    expect(button).to_be_disabled(timeout=SOON_MS)
    button.evaluate(
        "button => { button.disabled = false; button.removeAttribute('aria-disabled'); button.click(); }"
    )
    expect(screen.by_id("header-agent")).to_be_visible()
    expect(screen.page.get_by_role("dialog")).to_have_count(0)
    assert floor.hands.recommendation(number)["status"] == "pending"


def without_permissions(archive: Path, target: Path) -> Path:
    """The project as somebody edits it who finds permissions tiresome: every action's is taken out, buttons enabled."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("view.json"):
                content = json.dumps(_open(json.loads(content))).encode()
            new.writestr(entry, content)
    return target


def _open(part: Any) -> Any:
    if isinstance(part, dict):
        kept = {name: _open(value) for name, value in part.items() if name != "permissions"}
        if isinstance(kept.get("propConfig"), dict):
            kept["propConfig"].pop("props.enabled", None)
        return kept
    return [_open(value) for value in part] if isinstance(part, list) else part


def test_a_viewer_is_stopped_by_the_script_and_by_the_database(
    new_page: NewPage,
    fresh_database: Callable[..., str],
    published_template: str,
    tmp_path: Path,
) -> None:
    """Second and third door: without any permission in the views the script refuses, and so does the database."""
    with quiet_floor(tmp_path, fresh_database(published_template), edit=without_permissions) as floor:
        number = floor.hands.propose_elsewhere()
        screen = Screen(new_page(), floor.hmi).open().log_in("viewer")
        screen.decide("approve", number)
        screen.confirm()
        expect(screen.outcome()).to_contain_text(
            re.compile("may not|not allowed|right", re.I), timeout=SOON_MS
        )
        assert floor.hands.recommendation(number)["status"] == "pending"
        with floor.hands.refuses("not_permitted"):
            floor.hands.approve(number, by="viewer")


def test_two_operators_in_the_same_second(floor: Floor, new_page: NewPage) -> None:
    """One of them approves, the other is told who did; there is one approval."""
    number = floor.hands.propose_elsewhere()
    screens = [Screen(new_page(), floor.hmi).open().log_in(name) for name in ("operator", "engineer")]
    for screen in screens:
        screen.decide("approve", number)
    for screen in screens:
        screen.by_id("decide-confirm").evaluate("button => button.click()")
    outcomes = []
    for screen in screens:
        expect(screen.outcome()).not_to_be_empty(timeout=SOON_MS)
        outcomes.append(screen.outcome().inner_text().lower())
    assert approvals(floor, number) == 1
    winner = floor.hands.recommendation(number)["approved_by_operator"]
    (lost,) = [text for text, name in zip(outcomes, ("operator", "engineer"), strict=True) if name != winner]
    assert winner in lost


def test_they_see_each_other(floor: Floor, new_page: NewPage) -> None:
    number = floor.hands.propose_elsewhere()
    first = Screen(new_page(), floor.hmi).open(f"/recommendations/{number}").log_in("engineer")
    expect(first.by_id("header-user")).to_contain_text("engineer")
    second = Screen(new_page(), floor.hmi).open(f"/recommendations/{number}").log_in("operator")
    expect(second.page.get_by_text(re.compile("engineer.*looking", re.I)).first).to_be_visible(
        timeout=SOON_MS
    )


def test_a_double_click_approves_once(floor: Floor, new_page: NewPage) -> None:
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    screen.decide("approve", number)
    screen.by_id("decide-confirm").dblclick(force=True)
    expect(screen.outcome()).to_contain_text("approved", ignore_case=True)
    assert approvals(floor, number) == 1


def test_a_proposal_that_changed_under_the_popup_is_not_approved(floor: Floor, new_page: NewPage) -> None:
    """The digest is that of the writes the operator saw."""
    equipment_id, writes = floor.hands.machine()
    number = floor.hands.propose(equipment_id=equipment_id, writes=writes)
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    screen.decide("approve", number)
    floor.hands.revise(number, [{**write, "to": 350.0} for write in writes])
    screen.confirm()
    expect(screen.outcome()).to_contain_text("changed since you opened it", ignore_case=True, timeout=SOON_MS)
    assert floor.hands.recommendation(number)["status"] == "pending"


def test_a_session_that_ends_under_the_popup_decides_nothing(floor: Floor, new_page: NewPage) -> None:
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    screen.decide("approve", number)
    assert floor.gateway is not None
    floor.gateway.order("expire operator")
    expect(screen.page.get_by_text(re.compile("session", re.I)).first).to_be_visible()
    expect(screen.by_id("decide-confirm")).to_have_count(0)
    assert floor.hands.recommendation(number)["status"] == "pending"
    assert approvals(floor, number) == 0


def test_an_unknown_outcome_is_settled_by_a_person(floor: Floor, new_page: NewPage) -> None:
    """What nobody could confirm stands first on the commands page until somebody says what the panel shows."""
    command = floor.hands.command_in("unknown")
    screen = Screen(new_page(), floor.hmi).open("/commands").log_in("operator")
    screen.by_id(f"settle-{command}").click()
    popup = screen.page.get_by_role("dialog")
    expect(popup).to_contain_text("panel", ignore_case=True)
    screen.by_id("settle-status").select_option("failed")
    screen.by_id("settle-note").fill("panel still shows 500")
    screen.by_id("settle-confirm").click()
    expect(screen.by_id(f"settle-{command}")).to_have_count(0, timeout=SOON_MS)
    row = floor.hands.command(command)
    assert (row["status"], row["settled_by"]) == ("failed", "operator")


def test_sessions_are_recorded_with_their_right_to_decide(floor: Floor, new_page: NewPage) -> None:
    Screen(new_page(), floor.hmi).open().log_in("viewer")
    rows = floor.hands.owner.execute(
        sql(
            "select operator_id, may_decide from operator_sessions where status = 'active' and operator_id = 'viewer'"
        )
    ).fetchall()
    assert rows
    assert not any(row["may_decide"] for row in rows)
