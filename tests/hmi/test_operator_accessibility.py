"""Can everybody use the pages? axe-core over each of them, in both themes, with something of every kind on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from hmi.accessibility import serious_violations
from hmi.floor import Floor, Screen, quiet_floor

NewPage = Callable[..., Page]
PAGES = (
    "/recommendations",
    "/recommendations/{pending}",
    "/recommendations/{executed}",
    "/equipment",
    "/equipment/REACTOR_01",
    "/commands",
    "/health",
    "/audit",
    "/settings",
)
DECISIONS = ("approve", "reject", "defer")


@pytest.fixture(scope="module")
def floor(
    fresh_database: Callable[..., str], published_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Floor]:
    with quiet_floor(tmp_path_factory.mktemp("hmi"), fresh_database(published_template)) as running:
        for status in ("deferred", "approved", "executing", "failed", "rejected", "expired"):
            running.hands.recommendation_in(status)
        yield running


@pytest.fixture(scope="module")
def numbers(floor: Floor) -> dict[str, str]:
    """A recommendation for each of two states, and a command whose outcome nobody knows."""
    made = {status: floor.hands.recommendation_in(status) for status in ("pending", "executed")}
    return {**made, "unknown": floor.hands.command_in("unknown")}


@pytest.mark.timeout(480)
def test_no_page_has_a_serious_violation_in_either_theme(
    floor: Floor, numbers: dict[str, str], new_page: NewPage
) -> None:
    screen = Screen(new_page(1920, 1080), floor.hmi).open().log_in("engineer")
    found = {}
    for path in PAGES:
        screen.open(path.format(**numbers)).settle()
        for theme in in_both_themes(screen):
            found[path, theme] = serious_violations(screen.page, theme)
    popups = {
        "/recommendations": [(f"{name}-{numbers['pending']}", "decide-cancel") for name in DECISIONS],
        "/commands": [(f"settle-{numbers['unknown']}", "settle-cancel")],
        "/settings": [("disarm-button", "arm-cancel")],
    }
    for path, buttons in popups.items():
        screen.open(path).settle()
        for theme in in_both_themes(screen):
            for button, cancel in buttons:
                screen.by_id(button).click()
                expect(screen.page.get_by_role("dialog")).to_be_visible()
                found[button, theme] = serious_violations(screen.page, theme)
                screen.by_id(cancel).click()
                expect(screen.page.get_by_role("dialog")).to_have_count(0)
    assert len(found) == 2 * (len(PAGES) + sum(map(len, popups.values())))
    assert {place: problems for place, problems in found.items() if problems} == {}


def in_both_themes(screen: Screen) -> Iterator[str]:
    """The theme that the page has, then the other one, which the header's button puts on the open page."""
    before = screen.theme()
    yield before
    screen.by_id("theme-button").click()
    after = {"light": "dark", "dark": "light"}[before]
    expect(screen.page.locator(f"html[data-theme={after}]")).to_have_count(1)
    yield after


def test_the_whole_decision_by_keyboard(floor: Floor, new_page: NewPage) -> None:
    """Tab to Approve, Enter, Tab to confirm, Enter; Escape would have left everything as it was."""
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    button = screen.by_id(f"approve-{number}")
    expect(button).to_be_enabled()
    button.focus()
    screen.page.keyboard.press("Enter")
    expect(screen.page.get_by_role("dialog")).to_be_visible()
    for _ in range(20):
        if screen.page.evaluate("document.activeElement.id") == "decide-confirm":
            break
        screen.page.keyboard.press("Tab")
    screen.page.keyboard.press("Enter")
    expect(screen.outcome()).to_contain_text("approved", ignore_case=True)
    assert floor.hands.recommendation(number)["status"] == "approved"
