"""What the HMI shows when things go wrong or look strange: the truth, in words, and never a blank or broken page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from playwright.sync_api import Page, expect
from rig import Hands, sql

from hmi.floor import Floor, Screen, quiet_floor, say_online

NewPage = Callable[..., Page]
PAGES = (
    "/",
    "/recommendations",
    "/equipment",
    "/equipment/REACTOR_01",
    "/commands",
    "/health",
    "/audit",
    "/settings",
)
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><b>bold</b>"


@pytest.fixture(scope="module")
def shared(
    fresh_database: Callable[..., str], published_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Floor]:
    with quiet_floor(tmp_path_factory.mktemp("hmi"), fresh_database(published_template)) as running:
        yield running


@pytest.fixture
def floor(
    shared: Floor, postgres_url: str, drop_database: Callable[[str], None], published_template: str
) -> Iterator[Floor]:
    """The module's gateway without a session; while its connections are cut its database is made anew."""
    assert shared.gateway is not None
    url = shared.hands.url
    shared.hands.close()
    for user in ("", "operator"):
        shared.gateway.order(f"expire {user}".strip())
    shared.gateway.order("fault jdbc_down")
    drop_database(url)
    with psycopg.connect(postgres_url, autocommit=True) as server:
        name = url.rsplit("/", 1)[1]
        server.execute(sql(f"create database {name} template {published_template} strategy file_copy"))
    hands = Hands(url)
    say_online(hands)
    shared.gateway.order("clear jdbc_down")
    yield replace(shared, hands=hands)
    hands.close()


def test_every_page_and_state_is_drawn_without_a_red_box(floor: Floor, new_page: NewPage) -> None:
    """Empty first, then with something of every kind: no page of ours has a part that the preview does not know."""
    screen = Screen(new_page(), floor.hmi)
    for path in PAGES:
        screen.open(path)
        expect(screen.page.locator("main")).not_to_be_empty()
        expect(screen.page.locator("[data-red]")).to_have_count(0)
    expect(screen.open().page.get_by_text("Nothing waits for you")).to_be_visible()
    for status in (
        "pending",
        "deferred",
        "approved",
        "executing",
        "executed",
        "failed",
        "rejected",
        "expired",
    ):
        floor.hands.recommendation_in(status)
    number = floor.hands.recommendation_in("pending")
    floor.hands.command_in("unknown")
    for path in (*PAGES, f"/recommendations/{number}", "/recommendations/R-999999"):
        screen.open(path)
        expect(screen.page.locator("main")).not_to_be_empty()
        expect(screen.page.locator("[data-red]")).to_have_count(0)


def test_texts_of_others_are_shown_as_text(floor: Floor, new_page: NewPage) -> None:
    """Markup, 5,000 characters and names in any script: shown, never run, and the page stays usable."""
    number = propose_strange(floor)
    page = new_page()
    screen = Screen(page, floor.hmi).open()
    expect(screen.by_id(f"open-{number}")).to_be_visible()
    expect(screen.card(number)).to_contain_text("反応器_第二")
    screen.by_id(f"open-{number}").click()
    expect(page.get_by_text("<script>document.title='owned'</script>").first).to_be_visible()
    expect(page.get_by_text("Wärmeabfuhr zu gering").first).to_be_attached()
    assert page.title() != "owned"
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "nothing pushes the page wide"
    )


def propose_strange(floor: Floor) -> str:
    floor.hands.publish("[default]反応器_第二/設定値", equipment_id="反応器_第二", unit="м³/ч")
    row = floor.hands.agent.execute(
        sql(
            "insert into agent_recommendations (equipment_id, issue_type, severity, recommended_action,"
            " root_cause_analysis, proposed_writes, created_by_agent)"
            " values ('反応器_第二', 'high_temperature', 'critical', %s, %s, %s::jsonb, 'operations-agent')"
            " returning recommendation_id"
        ),
        (
            MARKUP,
            MARKUP + " Wärmeabfuhr zu gering. " * 250,
            '[{"tag_path": "[default]反応器_第二/設定値", "from": 500, "to": 400, "unit": "м³/ч"}]',
        ),
    ).fetchone()
    assert row is not None
    return str(row["recommendation_id"])


def test_five_hundred_open_items_stay_readable(floor: Floor, new_page: NewPage) -> None:
    for _ in range(500):
        floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open()
    expect(screen.page.locator('[id^="open-"]')).to_have_count(20)
    expect(screen.page.get_by_text(re.compile("1.20 of 500")).first).to_be_visible()
    screen.page.get_by_role("button", name=re.compile("next", re.I)).click()
    expect(screen.page.get_by_text(re.compile("21.40 of 500")).first).to_be_visible()


def test_a_lost_database_is_told_and_forgotten_when_it_is_back(floor: Floor, new_page: NewPage) -> None:
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    expect(screen.by_id(f"approve-{number}")).to_be_enabled()
    screen.decide("approve", number)
    assert floor.gateway is not None
    floor.gateway.order("fault jdbc_down")
    screen.confirm()
    expect(screen.outcome()).to_contain_text(re.compile("database", re.I))
    screen.by_id("decide-cancel").click()
    expect(screen.by_id("banner")).to_contain_text("database", ignore_case=True)
    floor.gateway.order("clear jdbc_down")
    expect(screen.by_id(f"approve-{number}")).to_be_enabled()
    expect(screen.by_id("banner")).not_to_contain_text("database", ignore_case=True)
    assert floor.hands.recommendation(number)["status"] == "pending"


def test_an_agent_that_falls_silent_is_told(floor: Floor, new_page: NewPage) -> None:
    screen = Screen(new_page(), floor.hmi).open()
    expect(screen.by_id("header-agent")).to_contain_text("online", ignore_case=True)
    say_online(floor.hands, for_s=-600.0)
    expect(screen.by_id("header-agent")).to_contain_text("offline", ignore_case=True)
    expect(screen.by_id("banner")).to_contain_text("offline", ignore_case=True)


def test_a_browser_with_a_wrong_clock_shows_the_right_ages(floor: Floor, new_page: NewPage) -> None:
    """Ages and time left are the database's, so five years' skew changes nothing."""
    number = floor.hands.propose_elsewhere()
    right, wrong = Screen(new_page(), floor.hmi), Screen(new_page(), floor.hmi)
    wrong.page.clock.set_system_time("2031-03-01T00:00:00Z")
    shown = []
    for screen in (right, wrong):
        screen.open()
        expect(screen.by_id(f"open-{number}")).to_be_visible()
        left = (
            screen.card(number)
            .get_by_text(re.compile(r"\d+ (s|min|h|days)\b.*left|expires in \d+", re.I))
            .first
        )
        expect(left).to_be_visible()
        shown.append(left.inner_text())
    ages_min = [float(found[1]) for text in shown if (found := re.search(r"(\d+) min", text))]
    assert len(ages_min) == 2, shown
    assert abs(ages_min[0] - ages_min[1]) <= 1, shown


def test_a_database_that_hangs_is_told_although_no_query_fails(floor: Floor, new_page: NewPage) -> None:
    """Locked tables: nothing answers and nothing fails, so the age of the last answer has to speak."""
    number = floor.hands.propose_elsewhere()
    screen = Screen(new_page(), floor.hmi).open().log_in("operator")
    approve = screen.by_id(f"approve-{number}")
    expect(approve).to_be_enabled()
    screen.decide("approve", number)
    confirm = screen.by_id("decide-confirm")
    expect(confirm).to_be_enabled()
    owner = floor.hands.owner
    with owner.transaction():
        owner.execute("lock table agent_health, agent_recommendations in access exclusive mode")
        expect(screen.by_id("banner")).to_contain_text(
            re.compile(r"no answer from the database for \d+ s"), timeout=12_000
        )
        expect(screen.by_id("header-agent")).to_contain_text("not known", timeout=2_000)
        expect(confirm).to_be_disabled(timeout=2_000)
        expect(screen.page.locator('[id^="approve-"]:enabled')).to_have_count(0, timeout=2_000)
        expect(screen.page.get_by_text("The database does not answer").first).to_be_visible()
    expect(confirm).to_be_enabled()
    screen.by_id("decide-cancel").click()
    expect(approve).to_be_enabled()
    expect(screen.by_id("header-agent")).to_contain_text("online", ignore_case=True)
    expect(screen.by_id("banner")).not_to_contain_text("database", ignore_case=True)
    assert floor.hands.recommendation(number)["status"] == "pending"
