"""Client and real preview together: what the files say reaches the screen, what is done the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from hmi.accessibility import serious_violations
from hmi.preview import Preview, bound, component, label, pages, pressed, previewed, view

COUNT = "self.view.custom.count = self.view.custom.count + 1"
MARKUP = "<script>document.title='owned'</script>"


def press(name: str, code: str, **more: object) -> dict[str, object]:
    scopes = {"events": pressed(code), "meta": {"domId": name.lower()}, "props": {"text": name}, **more}
    return component("ia.input.button", name, **scopes)


def field(name: str, path: str) -> dict[str, object]:
    binding = bound("props.text", "property", path=path, bidirectional=True)
    return component("ia.input.text-field", name, propConfig=binding, meta={"domId": name.lower()})


@pytest.fixture(scope="module")
def hmi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preview]:
    main = view(
        "Pages/Main",
        label("Title", "Probe"),
        press("Count", COUNT),
        label("Counted", propConfig=bound("props.text", "property", path="view.custom.count")),
        field("Word", "view.custom.word"),
        label(
            "Echo", propConfig=bound("props.text", "expr", expression="'<b>' + {view.custom.word} + '</b>'")
        ),
        label("Level", propConfig=bound("props.text", "tag", mode="direct", tagPath="[default]Level")),
        label("Gone", propConfig=bound("props.text", "tag", mode="direct", tagPath="[default]Nowhere")),
        component("ia.display.gauge", "Strange"),
        press("Ask", "system.perspective.openPopup('ask', 'Popups/Ask', modal=True, title='Sure?')"),
        press("Dark", "system.perspective.setTheme('dark')"),
        press("Export", "system.perspective.download('a.csv', 'a,b')"),
        custom={"count": 0, "word": MARKUP},
    )
    popup = view(
        "Popups/Ask",
        press("Yes", "system.perspective.closePopup('ask')"),
        field("Why", "view.custom.why"),
        custom={"why": ""},
    )
    unit = view(
        "Pages/Unit",
        label("Which", propConfig=bound("props.text", "property", path="view.params.unitId")),
        params={"unitId": ""},
        propConfig={"params.unitId": {"paramDirection": "input"}},
    )
    items = [{"label": {"text": "Main"}, "target": "/"}, {"label": {"text": "Unit"}, "target": "/unit/U-1"}]
    menu = view("Docks/Menu", component("ia.navigation.menutree", "Menu", props={"items": items}))
    dock = {"id": "menu", "viewPath": "Docks/Menu", "content": "push", "show": "visible", "size": 200}
    plan = pages({"/": "Pages/Main", "/unit/:unitId": "Pages/Unit"}, left=[dock])
    with previewed(tmp_path_factory.mktemp("hmi"), main, popup, unit, menu, plan) as running:
        yield running


def test_bindings_reach_the_screen_and_a_press_the_script(page: Page, hmi: Preview) -> None:
    page.goto(hmi.url)
    counted = page.locator("[data-component=Counted]")
    expect(counted).to_have_text("0")
    page.locator("#count").press("Enter")
    expect(counted).to_have_text("1")
    expect(page.locator("[data-component=Level]")).to_have_text("12.5")
    hmi.gateway.order("write [default]Level 99")
    expect(page.locator("[data-component=Level]")).to_have_text("99")
    hmi.gateway.order("write [default]Level 12.5")
    expect(page.locator("[data-component=Gone] .quality-overlay")).to_be_visible()
    expect(page.locator("[data-red]")).to_contain_text("ia.display.gauge")


def test_two_quick_presses_are_two_runs_one_after_the_other(page: Page, hmi: Preview) -> None:
    page.goto(hmi.url)
    page.locator("#count").dblclick()
    expect(page.locator("[data-component=Counted]")).to_have_text("2")


def test_what_is_typed_is_text_wherever_it_shows(page: Page, hmi: Preview) -> None:
    page.goto(hmi.url)
    echo = page.locator("[data-component=Echo]")
    expect(page.locator("#word")).to_have_value(MARKUP)
    expect(echo).to_have_text(f"<b>{MARKUP}</b>")
    page.locator("#word").fill("温度 & <i>x</i>")
    page.keyboard.press("Tab")
    expect(echo).to_have_text("<b>温度 & <i>x</i></b>")
    expect(page).to_have_title("Main")


def test_a_popup_opens_from_a_script_and_returns_the_focus(page: Page, hmi: Preview) -> None:
    page.goto(hmi.url)
    page.locator("#ask").press("Enter")
    dialog = page.get_by_role("dialog", name="Sure?")
    expect(dialog).to_be_focused()
    page.locator("#why").fill("because")
    page.locator("#yes").press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator("#ask")).to_be_focused()
    page.locator("#ask").press("Enter")
    expect(dialog).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.locator("#ask").press("Enter")
    expect(dialog).to_be_visible()  # the gateway knows that it was closed


def test_pages_parameters_and_the_way_back(page: Page, hmi: Preview) -> None:
    page.goto(hmi.url)
    page.get_by_role("link", name="Unit").click()
    expect(page.locator("[data-component=Which]")).to_have_text("U-1")
    expect(page).to_have_url(f"{hmi.url}/unit/U-1")
    page.go_back()
    expect(page.locator("#count")).to_be_visible()
    page.goto(f"{hmi.url}/unit/A B")
    expect(page.locator("[data-component=Which]")).to_have_text("A B")


def test_theme_download_and_axe(page: Page, hmi: Preview) -> None:
    page.goto(hmi.url)
    with page.expect_download() as waiting:
        page.locator("#export").click()
    assert waiting.value.suggested_filename == "a.csv"
    assert serious_violations(page) == []
    page.locator("#dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert serious_violations(page) == []


def test_two_sessions_do_not_see_each_other(new_page: Callable[..., Page], hmi: Preview) -> None:
    first, second = new_page(), new_page()
    first.goto(hmi.url)
    second.goto(hmi.url)
    first.locator("#count").click()
    expect(first.locator("[data-component=Counted]")).to_have_text("1")
    second.locator("#count").click()
    expect(second.locator("[data-component=Counted]")).to_have_text("1")
    second.locator("#count").click()
    expect(second.locator("[data-component=Counted]")).to_have_text("2")
    expect(first.locator("[data-component=Counted]")).to_have_text("1")


def test_a_wire_that_is_cut_is_mended_on_the_same_page(page: Page, hmi: Preview) -> None:
    page.add_init_script(
        "const Real = WebSocket;"
        "window.WebSocket = class extends Real { constructor(url) { super(url); window.wire = this; } };"
    )
    page.goto(hmi.url)
    page.locator("#count").click()
    expect(page.locator("[data-component=Counted]")).to_have_text("1")
    page.locator("#word").fill("half a")
    with page.expect_websocket() as mended:
        page.evaluate("window.wire.close()")
    expect(page.get_by_role("alert")).to_be_hidden()
    assert not mended.value.is_closed()
    expect(page.locator("#word")).to_have_value("half a")  # what was being typed is still there
    expect(page.locator("[data-component=Counted]")).to_have_text("1")
    page.locator("#count").click()
    expect(page.locator("[data-component=Counted]")).to_have_text("2")


def test_an_ended_session_says_so_on_an_open_page(new_page: Callable[..., Page], hmi: Preview) -> None:
    page = new_page()
    address = hmi.url.removesuffix("/data/perspective/client/Probe")
    page.goto(f"{address}/idp/login")
    page.locator("#login-name").fill("operator")
    page.locator("#login-password").fill("operator")
    page.locator("#login-submit").click()
    expect(page.locator("#count")).to_be_visible()
    hmi.gateway.order("expire operator")
    expect(page.get_by_role("heading", name="Session closed")).to_be_visible()
    page.get_by_role("button", name="Start again").click()
    expect(page.locator("#count")).to_be_visible()
