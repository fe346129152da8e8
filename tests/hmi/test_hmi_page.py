"""The page around the views: addresses, docks, themes, lost and found connections, closed sessions, downloads."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from hmi import gallery
from hmi.accessibility import serious_violations
from hmi.stage import CLIENT, Stage, column, node, staged

LOST = "Connection to the gateway lost, trying again"


def label(text: str) -> dict[str, object]:
    return node("ia.display.label", "Text", text=text)


def test_the_first_page_asks_for_every_module_at_once() -> None:
    """A module that is not listed is asked for only when another that needs it has arrived."""
    index = (CLIENT / "index.html").read_text(encoding="utf-8")
    listed = re.findall(r'<(?:link rel="modulepreload" href|script type="module" src)="([^"]+)"', index)
    assert sorted(listed) == sorted(f"/res/perspective/{path.name}" for path in CLIENT.glob("*.js"))


def test_hello_says_where_and_how_large(page: Page, stage: Stage) -> None:
    stage.set_page(column(label("here")), path="/equipment/PUMP 1", title="Pump")
    page.goto(f"{stage.url}/equipment/PUMP 1")
    hello = stage.wait_for(t="hello")
    assert hello == {"t": "hello", "path": "/equipment/PUMP 1", "width": 1280, "height": 800, "tz": "UTC"}
    expect(page).to_have_title("Pump")
    assert page.locator("html").get_attribute("lang") == "en"


def test_navigation_keeps_a_history(page: Page, stage: Stage) -> None:
    menu = gallery.docks()
    stage.set_page(column(label("first")), path="/recommendations", docks=menu)
    page.goto(f"{stage.url}/recommendations")
    link = page.get_by_role("link", name="Commands")
    link.click()
    stage.wait_for(t="nav", path="/commands")
    stage.send({"t": "nav", "path": "/commands"})
    stage.set_page(column(label("second")), path="/commands", title="Commands", docks=menu)
    expect(page).to_have_url(f"{stage.url}/commands")
    expect(page.get_by_role("main")).to_have_text("second")
    expect(page).to_have_title("Commands")
    expect(link).to_have_attribute("aria-current", "page")
    expect(link).to_be_focused()  # a shared dock stays what it was
    page.go_back()
    stage.wait_for(t="nav", path="/recommendations")
    stage.set_page(column(label("first again")), path="/recommendations", docks=menu)
    expect(page.get_by_role("main")).to_have_text("first again")
    page.go_forward()
    assert [frame["path"] for frame in stage.wait_for_count("nav", 3)] == [
        "/commands",
        "/recommendations",
        "/commands",
    ]


def test_docks_are_landmarks_and_open_and_close(page: Page, stage: Stage) -> None:
    side = {"id": "help", "side": "right", "size": 300, "content": "push", "show": "onDemand"}
    stage.set_page(column(label("x")), docks=[*gallery.docks(), {**side, "node": column(label("Help"))}])
    page.goto(stage.url)
    expect(page.get_by_role("banner")).to_contain_text("Agent running")
    expect(page.get_by_role("navigation")).to_contain_text("Recommendations")
    expect(page.get_by_role("complementary")).to_have_count(0)
    stage.send({"t": "dock", "id": "help", "do": "open"})
    box = page.get_by_role("complementary").bounding_box()
    assert box is not None
    assert (round(box["x"] + box["width"]), box["width"]) == (1280, 301)
    stage.send({"t": "dock", "id": "help", "do": "toggle"})
    expect(page.get_by_role("complementary")).to_have_count(0)
    banner = page.get_by_role("banner").bounding_box()
    assert banner is not None
    assert banner["height"] == 65


def test_a_theme_changes_colours_at_once(page: Page, stage: Stage) -> None:
    stage.set_page(column(label("x")))
    page.goto(stage.url)
    expect(page.locator("body")).to_have_css("background-color", "rgb(232, 234, 237)")
    stage.send({"t": "theme", "name": "dark-cool"})
    expect(page.locator("body")).to_have_css("background-color", "rgb(20, 24, 28)")
    expect(page.locator("body")).to_have_css("color", "rgb(221, 225, 229)")


def test_a_lost_gateway_is_said_bars_input_and_is_found_again(page: Page) -> None:
    go = node("ia.input.button", "Go", text="Go", events=["onActionPerformed"], meta={"domId": "go"})
    with staged() as first:
        port = first.port
        first.set_page(column(go, label("before")))
        page.goto(first.url)
        page.locator("#go").focus()
    strip = page.get_by_role("alert")
    expect(strip).to_contain_text(LOST)
    page.locator("#go").click(force=True)
    assert page.locator("#perspective-app").evaluate("one => one.inert") is True
    with staged(port=port) as second:
        second.set_page(column(go, label("after")))
        expect(page.locator("[data-component=Text]")).to_have_text("after")
        expect(strip).to_be_hidden()
        expect(page.locator("#go")).to_be_focused()
        assert second.all_of("event") == [], "a press while nobody listened is not made up for"
        page.click("#go")
        second.wait_for(t="event")


def test_a_wire_that_hangs_is_told_as_one_that_is_cut(page: Page) -> None:
    """Nothing closes, nothing comes: without a sign of life the page must not go on looking calm."""
    page.clock.install(time=0)
    text = label("shown")
    with staged() as running:
        running.set_page(column(text))
        page.goto(running.url)
        expect(page.locator("[data-component=Text]")).to_have_text("shown")
        # From here on time passes only when the test says so.
        page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)  # seconds
        strip = page.get_by_role("alert")
        running.patch((text, "props.text", "alive"))
        expect(page.locator("[data-component=Text]")).to_have_text("alive")
        page.clock.run_for(11_900)
        expect(strip).to_be_hidden()
        page.clock.run_for(200)
        expect(strip).to_contain_text(LOST)
        page.clock.run_for(1_000)
        expect(page.locator("[data-component=Text]")).to_have_text("shown")  # found again, and asked anew
        expect(strip).to_be_hidden()


def test_what_was_being_typed_when_the_wire_was_cut_is_kept_and_sent(page: Page) -> None:
    field = node("ia.input.text-field", "Reason", text="", meta={"domId": "reason"})
    with staged() as first:
        port = first.port
        first.set_page(column(field))
        page.goto(first.url)
        page.locator("#reason").press_sequentially("half a sen")
    expect(page.get_by_role("alert")).to_contain_text(LOST)
    with staged(port=port) as second:
        second.set_page(column(field))
        expect(page.locator("#reason")).to_be_focused()
        expect(page.locator("#reason")).to_have_value("half a sen")
        second.wait_for(t="set", path="props.text", value="half a sen")


def test_a_closed_session_says_why_and_starts_again(page: Page, stage: Stage) -> None:
    stage.set_page(column(label("x")))
    page.goto(stage.url)
    expect(page.locator("[data-component=Text]")).to_be_visible()
    stage.send({"t": "closed", "why": "Your session ended. <b>Log in again</b>."})
    expect(page.get_by_role("heading", name="Session closed")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("<b>Log in again</b>")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="Start again").press("Enter")
    expect(page.locator("[data-component=Text]")).to_be_visible()
    assert len(stage.all_of("hello")) == 2


def test_a_download_has_name_and_content(page: Page, stage: Stage, tmp_path: Path) -> None:
    stage.set_page(column(label("x")))
    page.goto(stage.url)
    expect(page.locator("[data-component=Text]")).to_be_visible()
    with page.expect_download() as waiting:
        stage.send(
            {"t": "download", "name": "audit.csv", "data": "who,what\nánna,approve\n", "type": "text/csv"}
        )
    waiting.value.save_as(tmp_path / "got.csv")
    assert waiting.value.suggested_filename == "audit.csv"
    assert (tmp_path / "got.csv").read_text(encoding="utf-8") == "who,what\nánna,approve\n"


def test_goto_leaves_the_page_but_runs_no_script(page: Page, stage: Stage) -> None:
    stage.set_page(column(label("x")))
    page.goto(stage.url)
    expect(page.locator("[data-component=Text]")).to_be_visible()
    stage.send({"t": "goto", "url": "javascript:document.title='owned'"})
    stage.send({"t": "theme", "name": "dark"})
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.title() == "Probe"
    stage.send({"t": "goto", "url": "/data/perspective/client/Probe/elsewhere?login"})
    stage.wait_for(t="hello", path="/elsewhere")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1920, 1080), (1024, 768)])
def test_axe_finds_nothing_serious_with_every_component(
    new_page: Callable[..., Page], stage: Stage, theme: str, size: tuple[int, int]
) -> None:
    popup = {"id": "p", "title": "Approve?", "modal": False, "node": column(gallery.inputs())}
    stage.set_page(gallery.everything(), docks=gallery.docks(), css=gallery.CSS, theme=theme)
    page = new_page(*size)
    page.goto(stage.url)
    expect(page.locator("[data-component=Trend] path.chart-line")).not_to_have_count(0)
    for frame in (None, {"t": "popup", "do": "open", "popup": popup}):
        if frame is not None:
            stage.send(frame)
            expect(page.get_by_role("dialog")).to_be_visible()
        assert serious_violations(page, theme) == []


def test_the_client_never_parses_html() -> None:
    """The names by which text becomes markup or code do not occur in the client at all."""
    words = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function|srcdoc|parseHTML"
    for path in CLIENT.glob("*.js"):
        assert re.search(words, path.read_text(encoding="utf-8")) is None, path.name
    index = (CLIENT / "index.html").read_text(encoding="utf-8")
    assert "default-src 'self'" in index
