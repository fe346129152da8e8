"""Who may decide, and what becomes of decisions that cross each other: browsers against gateway and database."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from rig import sql

from hmi.floor import Floor, Screen, quiet_floor

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
    expect(screen.by_id(f"open-{number}")).to_be_visible()
    expect(screen.by_id(f"approve-{number}")).to_be_disabled()


def told(floor: Floor, *words: str) -> None:
    """Wait until the gateway's log has a line with all these words."""

    def lines() -> bool:
        assert floor.gateway is not None
        return any(all(word in line for word in words) for line in floor.gateway.log().splitlines())

    floor.until(lines, 20.0)


def test_a_dead_button_stays_dead(floor: Floor, new_page: NewPage) -> None:
    """A click that is forged past the disabled button reaches the gateway and is refused there."""
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("viewer")
    button = screen.by_id(f"approve-{number}")
    expect(button).to_be_disabled()
    button.evaluate(
        "button => { button.disabled = false; button.removeAttribute('aria-disabled'); button.click(); }"
    )
    told(floor, "refused from the browser, user 'viewer'", "Approve", "disabled")
    expect(screen.page.get_by_role("dialog")).to_have_count(0)


def edited(name: str, change: Callable[[str], str]) -> Callable[[Path, Path], Path]:
    """The project as somebody makes it who finds locks tiresome: `change` goes over all files of this name."""

    def edit(archive: Path, target: Path) -> Path:
        changed = 0
        with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
            for entry in old.infolist():
                before = old.read(entry).decode()
                after = change(before) if entry.filename.endswith(name) else before
                changed += before != after
                new.writestr(entry, after)
        assert changed, "there was nothing to unlock"
        return target

    return edit


def alive(view: str) -> str:
    """Every button can be pressed."""
    return json.dumps(_unlocked(json.loads(view), "props.enabled"))


def permitted(view: str) -> str:
    """Every button can be pressed, by everybody."""
    return json.dumps(_unlocked(json.loads(view), "props.enabled", "permissions"))


def _unlocked(part: Any, *locks: str) -> Any:
    if isinstance(part, dict):
        return {name: _unlocked(value, *locks) for name, value in part.items() if name not in locks}
    return [_unlocked(value, *locks) for value in part] if isinstance(part, list) else part


def trusting(once: Path) -> Callable[[str], str]:
    """The script asks nobody for a role once there is this file."""
    before = "def _may(component, levels):\n"
    door = f"\tfrom java.io import File\n\tif File({str(once)!r}).exists():\n\t\treturn True\n"
    return lambda code: code.replace(before, before + door)


NewFloor = Callable[[Callable[[Path, Path], Path]], Floor]


@pytest.fixture
def unlocked(
    fresh_database: Callable[..., str], published_template: str, tmp_path: Path
) -> Iterator[NewFloor]:
    """A floor with an edited project."""
    with ExitStack() as stack:
        yield lambda edit: stack.enter_context(
            quiet_floor(tmp_path, fresh_database(published_template), edit=edit)
        )


def test_first_door_the_permission_of_the_action(unlocked: NewFloor, new_page: NewPage) -> None:
    floor = unlocked(edited("view.json", alive))
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("viewer")
    screen.by_id(f"approve-{number}").click()
    told(floor, "not run, user 'viewer' lacks the permission")
    expect(screen.page.get_by_role("dialog")).to_have_count(0)
    assert floor.hands.recommendation(number)["status"] == "pending"


def test_second_door_the_script_and_third_the_database(
    unlocked: NewFloor, new_page: NewPage, tmp_path: Path
) -> None:
    """With the views wide open the script refuses; when it is open too, the database knows who may not decide."""
    open_door = tmp_path / "trusting"

    def edit(archive: Path, target: Path) -> Path:
        between = edited("view.json", permitted)(archive, target.with_name("between.zip"))
        return edited("bridge/hmi/code.py", trusting(open_door))(between, target)

    floor = unlocked(edit)
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("viewer")
    screen.decide("approve", number)
    screen.confirm()
    expect(screen.outcome()).to_contain_text(re.compile("role", re.I))
    assert floor.hands.recommendation(number)["status"] == "pending"

    open_door.touch()
    screen.open().decide("approve", number)
    screen.confirm()
    expect(screen.outcome()).to_contain_text("without the right to decide")
    assert floor.hands.recommendation(number)["status"] == "pending"
    assert approvals(floor, number) == 0


def test_two_operators_in_the_same_second(floor: Floor, new_page: NewPage) -> None:
    """One of them approves, the other is told who did; there is one approval."""
    number = floor.hands.propose_elsewhere()
    screens = [Screen(new_page(), floor.hmi).open().log_in(name) for name in ("operator", "engineer")]
    for screen in screens:
        screen.decide("approve", number)
        expect(screen.by_id("decide-confirm")).to_be_enabled()
    for screen in screens:
        screen.by_id("decide-confirm").evaluate("button => button.click()")
    outcomes = []
    for screen in screens:
        expect(screen.outcome()).not_to_be_empty()
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
    expect(second.page.get_by_text(re.compile("engineer.*looking", re.I)).first).to_be_visible()


def test_a_double_click_decides_once(floor: Floor, new_page: NewPage) -> None:
    """A second run of the script would find it decided and say so; the popup goes on saying what the first did."""
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    screen.decide("approve", number)
    expect(screen.by_id("decide-confirm")).to_be_enabled()
    screen.by_id("decide-confirm").evaluate("button => { button.click(); button.click(); }")
    expect(screen.outcome()).to_contain_text("approved", ignore_case=True)
    screen.page.get_by_role("dialog").get_by_role("button", name="Close").first.wait_for()
    expect(screen.outcome()).not_to_contain_text("already", ignore_case=True)
    assert approvals(floor, number) == 1


def test_a_proposal_that_changed_under_the_popup_is_not_approved(floor: Floor, new_page: NewPage) -> None:
    """The digest is that of the writes the operator saw, whether Confirm or the popup's own look comes first."""
    equipment_id, writes = floor.hands.machine()
    number = floor.hands.propose(equipment_id=equipment_id, writes=writes)
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    screen.decide("approve", number)
    floor.hands.revise(number, [{**write, "to": 350.0} for write in writes])
    screen.by_id("decide-confirm").dispatch_event("click")
    expect(screen.outcome()).to_contain_text("changed since you opened it", ignore_case=True)
    expect(screen.by_id("decide-confirm")).to_be_disabled()
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
    expect(screen.by_id(f"settle-{command}")).to_have_count(0)
    row = floor.hands.command(command)
    assert (row["status"], row["settled_by"]) == ("failed", "operator")


def test_sessions_are_recorded_with_their_right_to_decide(floor: Floor, new_page: NewPage) -> None:
    Screen(new_page(), floor.hmi).open().log_in("viewer")
    wanted = sql(
        "select operator_id, may_decide from operator_sessions where status = 'active' and operator_id = 'viewer'"
    )
    rows = floor.until(lambda: floor.hands.owner.execute(wanted).fetchall(), 15)
    assert not any(row["may_decide"] for row in rows)
