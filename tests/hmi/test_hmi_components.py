"""Each component of the catalogue: what it shows, what it tells the gateway, and that text is only ever text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from hmi import gallery
from hmi.stage import Node, Stage, column, node

PRESSED = ["onActionPerformed"]


def test_every_component_is_drawn(page: Page, stage: Stage) -> None:
    stage.set_page(gallery.everything(), docks=gallery.docks(), css=gallery.CSS)
    page.goto(stage.url)
    expect(page.locator("[data-component=Trend] path.chart-line")).not_to_have_count(0)
    expect(page.locator("[data-component=Heading]").first).to_have_css("font-weight", "600")
    drawn = page.locator("[data-type]").evaluate_all(
        "all => [...new Set(all.map(one => one.dataset.type))].sort()"
    )
    assert drawn == [
        "ia.chart.timeseries",
        "ia.container.breakpt",
        "ia.container.coord",
        "ia.container.flex",
        "ia.container.tab",
        "ia.display.flex-repeater",
        "ia.display.icon",
        "ia.display.label",
        "ia.display.markdown",
        "ia.display.progress",
        "ia.display.strange",
        "ia.display.table",
        "ia.display.view",
        "ia.input.button",
        "ia.input.checkbox",
        "ia.input.dropdown",
        "ia.input.numeric-entry-field",
        "ia.input.text-area",
        "ia.input.text-field",
        "ia.input.toggle-switch",
        "ia.navigation.horizontalmenu",
        "ia.navigation.menutree",
    ]
    expect(page.locator(".red-box")).to_have_text(
        "Pages/Probe · root/Strange: type ia.display.strange is not known"
    )
    assert page.locator(".unknown-icon").count() == 0


MARKUPS = [
    pytest.param(lambda text: node("ia.display.label", "X", text=text), id="label"),
    pytest.param(lambda text: node("ia.display.markdown", "X", source=text), id="markdown"),
    pytest.param(
        lambda text: node("ia.display.markdown", "X", source=text, markdown={"escapeHtml": True}),
        id="markdown-escaped",
    ),
    pytest.param(lambda text: node("ia.input.button", "X", text=text), id="button"),
    pytest.param(lambda text: node("ia.input.checkbox", "X", text=text), id="checkbox"),
    pytest.param(lambda text: node("ia.input.toggle-switch", "X", label={"text": text}), id="toggle"),
    pytest.param(
        lambda text: node("ia.input.dropdown", "X", options=[{"label": text, "value": 1}]), id="dropdown"
    ),
    pytest.param(
        lambda text: node("ia.navigation.menutree", "X", items=[{"label": text, "target": "/a"}]), id="menu"
    ),
    pytest.param(lambda text: node("ia.container.tab", "X", tabs=[text]), id="tab"),
    pytest.param(
        lambda text: node("ia.display.table", "X", data=[{"a": text}], columns=[{"field": "a"}]), id="table"
    ),
    pytest.param(lambda text: gallery.chart("X", title={"text": text}), id="chart"),
    pytest.param(lambda text: node("ia.display.strange", "X", red=text), id="red-box"),
]


@pytest.mark.parametrize("make", MARKUPS)
def test_markup_is_shown_as_text(page: Page, stage: Stage, make: Callable[[str], Node]) -> None:
    stage.set_page(column(make(gallery.MARKUP)))
    page.goto(stage.url)
    box = page.locator("[data-component=X]")
    expect(box).to_contain_text("<script>document.title='owned'</script><b>bold</b>")
    assert box.locator("img, script, b").count() == 0
    assert page.title() == "Probe"


def test_markdown_draws_its_subset_and_links_to_the_web_only(page: Page, stage: Stage) -> None:
    source = (
        "# Cause\n\n**bold** and *slanted* and `code` in snake_case_name\nsecond line\n\n"
        "1. one\n2. two\n   - below\n\n```\n<b>kept</b>\n```\n\n"
        "[web](https://example.org/a) [script](javascript:alert(1)) [file](file:///etc/passwd) [data](data:text/html,x)"
    )
    stage.set_page(column(node("ia.display.markdown", "Text", source=source)))
    page.goto(stage.url)
    box = page.locator("[data-component=Text]")
    expect(box.locator("h2")).to_have_text("Cause")
    expect(box.locator("strong")).to_have_text("bold")
    expect(box.locator("em")).to_have_text("slanted")
    expect(box.locator("p code")).to_have_text("code")
    expect(box.locator("ol > li")).to_have_count(2)
    expect(box.locator("ol ul > li")).to_have_text("below")
    expect(box.locator("pre")).to_have_text("<b>kept</b>")
    assert box.locator("a").evaluate_all("all => all.map(one => one.href)") == ["https://example.org/a"]
    expect(box).to_contain_text("[script](javascript:alert(1))")


def test_5000_characters_of_nonsense_are_drawn_at_once(page: Page, stage: Stage) -> None:
    sources = ["x" + "*" * 5000, "[" * 5000, "**a " * 1250, "> " * 2500, "_`[*" * 1250]
    parts = [node("ia.display.markdown", f"T{number}", source=text) for number, text in enumerate(sources)]
    stage.set_page(column(*parts))
    page.goto(stage.url)
    expect(page.locator("[data-type='ia.display.markdown']")).to_have_count(len(sources))
    expect(page.locator("[data-component=T0]")).to_have_text("x" + "*" * 5000)


def test_a_button_tells_its_press_by_mouse_and_keyboard_and_only_when_enabled(
    page: Page, stage: Stage
) -> None:
    go = node(
        "ia.input.button", "Go", text="Go", events=PRESSED, meta={"domId": "go", "tooltip": {"text": "Now"}}
    )
    off = node("ia.input.button", "Off", text="Off", enabled=False, events=PRESSED)
    stage.set_page(column(go, off))
    page.goto(stage.url)
    page.click("#go")
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Off").click(force=True)
    page.dblclick("#go")
    page.get_by_role("button", name="Go").press("Enter")
    stage.patch((off, "props.enabled", True))
    page.get_by_role("button", name="Off").click()
    stage.wait_for(t="event", id=off["id"])
    sent = [(frame["id"], frame["category"], frame["name"]) for frame in stage.all_of("event")]
    assert sent == [(go["id"], "component", "onActionPerformed")] * 6 + [
        (off["id"], "component", "onActionPerformed")
    ]
    expect(page.locator("#go")).to_have_attribute("title", "Now")


def test_a_text_field_defers_until_it_is_left_and_is_not_overwritten_meanwhile(
    page: Page, stage: Stage
) -> None:
    field = node("ia.input.text-field", "Reason", text="old", placeholder="why", meta={"domId": "reason"})
    stage.set_page(column(field, node("ia.input.button", "Go", text="Go", events=PRESSED)))
    page.goto(stage.url)
    box = page.locator("#reason")
    expect(box).to_have_value("old")
    box.press("End")
    box.press_sequentially("er")
    stage.patch((field, "props.text", "from a poll"), (field, "props.placeholder", "patched"))
    expect(box).to_have_attribute("placeholder", "patched")
    expect(box).to_have_value("older")
    assert stage.all_of("set") == []
    page.get_by_role("button", name="Go").click()
    stage.wait_for(t="event")
    kinds = [(frame["t"], frame.get("path"), frame.get("value")) for frame in stage.sent[1:]]
    assert kinds == [("set", "props.text", "older"), ("event", None, None)]
    stage.patch((field, "props.text", "from a script"))
    expect(box).to_have_value("from a script")


def test_a_text_field_may_tell_every_key_and_enter_acts(page: Page, stage: Stage) -> None:
    field = node(
        "ia.input.text-field", "Find", text="", deferUpdates=False, events=PRESSED, meta={"domId": "find"}
    )
    stage.set_page(column(field))
    page.goto(stage.url)
    page.locator("#find").press_sequentially("ab")
    page.keyboard.press("Enter")
    stage.wait_for(t="event", name="onActionPerformed")
    assert [frame["value"] for frame in stage.all_of("set")] == ["a", "ab"]


def test_a_text_area_keeps_caret_and_lines(page: Page, stage: Stage) -> None:
    area = node("ia.input.text-area", "Comment", text="one\ntwo", meta={"domId": "comment"})
    note = node("ia.display.label", "Note", text="0")
    stage.set_page(column(area, note))
    page.goto(stage.url)
    box = page.locator("#comment")
    expect(box).to_have_value("one\ntwo")
    box.focus()
    box.evaluate("one => one.setSelectionRange(3, 3)")
    page.keyboard.type("!")
    stage.patch((note, "props.text", "1"), (area, "props.text", "other"))
    expect(page.locator("[data-component=Note]")).to_have_text("1")
    expect(box).to_be_focused()
    assert box.evaluate("one => [one.value, one.selectionStart]") == ["one!\ntwo", 4]


def test_a_focused_field_takes_the_gateways_value_when_it_is_left(page: Page, stage: Stage) -> None:
    area = node("ia.input.text-area", "Comment", text="old", meta={"domId": "comment"})
    note = node("ia.display.label", "Note", text="0")
    stage.set_page(column(area, note))
    page.goto(stage.url)
    page.locator("#comment").focus()
    stage.patch((area, "props.text", "new"), (note, "props.text", "1"))
    expect(page.locator("[data-component=Note]")).to_have_text("1")
    assert page.locator("#comment").input_value() == "old"
    page.locator("#comment").blur()
    expect(page.locator("#comment")).to_have_value("new")


def test_a_numeric_field_wants_a_number_within_its_bounds(page: Page, stage: Stage) -> None:
    field = node(
        "ia.input.numeric-entry-field", "Flow", value=1234.5, format="#,##0.00", meta={"domId": "flow"}
    )
    field["props"]["inputBounds"] = {"minimum": 0, "maximum": 2000}
    stage.set_page(column(field))
    page.goto(stage.url)
    box = page.locator("#flow")
    expect(box).to_have_value("1,234.50")
    box.focus()
    expect(box).to_have_value("1234.5")
    for wrong in ("2001", "-1", "many"):
        box.fill(wrong)
        box.press("Enter")
        expect(box).to_have_attribute("aria-invalid", "true")
    assert stage.all_of("set") == []
    box.fill("12,25")
    box.press("Tab")
    stage.wait_for(t="set", path="props.value", value=12.25)
    expect(box).to_have_value("12.25")
    expect(box).not_to_have_attribute("aria-invalid", "true")


def test_a_dropdown_gives_the_options_value_and_none_when_cleared(page: Page, stage: Stage) -> None:
    options = [{"label": "30 minutes", "value": 1800}, {"label": "1 hour", "value": 3600}]
    choose = node("ia.input.dropdown", "For", options=options, value=None, events=PRESSED, showClearIcon=True)
    choose["props"]["placeholder"] = {"text": "how long"}
    stage.set_page(column(choose))
    page.goto(stage.url)
    box = page.locator("select")
    expect(box.locator("option:checked")).to_have_text("how long")
    box.select_option(label="1 hour")
    stage.wait_for(t="set", path="props.value", value=3600)
    stage.wait_for(t="event", name="onActionPerformed")
    stage.patch((choose, "props.value", 1800))
    expect(box.locator("option:checked")).to_have_text("30 minutes")
    box.select_option(label="how long")
    assert stage.wait_for(t="set", value=None)["path"] == "props.value"


@pytest.mark.parametrize("value", ["", None, "unheard of", 0])
@pytest.mark.parametrize("clear", [True, False])
def test_a_dropdown_never_shows_a_choice_that_nobody_made(
    page: Page, stage: Stage, value: object, clear: bool
) -> None:
    """Neither at first nor when a choice is taken back; an answer that looks given would be signed by mistake."""
    options = [
        {"label": "It was written", "value": "executed"},
        {"label": "It was not written", "value": "failed"},
    ]
    what = node("ia.input.dropdown", "What", options=options, value=value, showClearIcon=clear)
    what["props"]["placeholder"] = {"text": "say what you saw"}
    stage.set_page(column(what))
    page.goto(stage.url)
    chosen = page.locator("select option:checked")
    expect(chosen).to_have_text("say what you saw")
    stage.patch((what, "props.value", "failed"))
    expect(chosen).to_have_text("It was not written")
    stage.patch((what, "props.value", value))
    expect(chosen).to_have_text("say what you saw")


@pytest.mark.parametrize(
    ("kind", "role"), [("ia.input.toggle-switch", "switch"), ("ia.input.checkbox", "checkbox")]
)
def test_a_switch_and_a_checkbox_tell_the_state_then_act(
    page: Page, stage: Stage, kind: str, role: str
) -> None:
    label = {"text": "Armed"} if role == "switch" else "Armed"
    one = node(
        kind, "Arm", selected=False, events=PRESSED, **{"label" if role == "switch" else "text": label}
    )
    stage.set_page(column(one))
    page.goto(stage.url)
    box = page.get_by_role(role, name="Armed")  # type: ignore[arg-type]
    expect(box).not_to_be_checked()
    box.press("Space")
    stage.wait_for(t="event", name="onActionPerformed")
    expect(box).to_be_checked()
    assert [(frame["t"], frame.get("value")) for frame in stage.sent[1:]] == [("set", True), ("event", None)]
    stage.patch((one, "props.selected", False))  # the gateway has the last word
    expect(box).not_to_be_checked()


def test_labels_name_the_inputs_behind_them_and_tooltips_the_rest(page: Page, stage: Stage) -> None:
    stage.set_page(
        column(
            node("ia.display.label", "L", text="Reason for refusing"),
            node("ia.input.text-field", "A", text=""),
            node(
                "ia.input.text-field",
                "B",
                text="",
                meta={"tooltip": {"enabled": True, "text": "Equipment to look for"}},
            ),
            node("ia.input.dropdown", "FilterByState", options=[]),
        )
    )
    page.goto(stage.url)
    expect(page.get_by_role("textbox", name="Reason for refusing")).to_be_visible()
    expect(page.get_by_role("textbox", name="Equipment to look for")).to_be_visible()
    expect(page.get_by_role("combobox", name="Filter By State")).to_be_visible()


def test_a_menu_marks_the_page_and_asks_to_go_elsewhere(page: Page, stage: Stage) -> None:
    stage.set_page(
        column(node("ia.navigation.menutree", "Menu", items=gallery.MENU)), path="/recommendations/7"
    )
    page.goto(f"{stage.url}/recommendations/7")
    link = page.get_by_role("link", name="Recommendations")
    expect(link).to_have_attribute("aria-current", "page")
    expect(link).to_have_attribute("href", "/data/perspective/client/Probe/recommendations")
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
    page.get_by_role("button", name="More").press("Enter")
    page.get_by_role("link", name="Audit").press("Enter")
    stage.wait_for(t="nav", path="/audit")
    expect(page.get_by_role("button", name="Off")).to_be_disabled()


def test_a_tab_container_shows_one_tab_and_arrows_move(page: Page, stage: Stage) -> None:
    first = node("ia.display.label", "A", text="one", position={})  # index 0 may be absent
    second = node("ia.display.label", "B", text="two", position={"tabIndex": 1})
    tabs = node("ia.container.tab", "Tabs", first, second, tabs=["First", "Second"], currentTabIndex=0)
    stage.set_page(column(tabs))
    page.goto(stage.url)
    expect(page.get_by_role("tabpanel")).to_have_text("one")
    page.get_by_role("tab", name="First").press("ArrowRight")
    stage.wait_for(t="set", path="props.currentTabIndex", value=1)
    expect(page.get_by_role("tabpanel")).to_have_text("two")
    expect(page.get_by_role("tab", name="Second")).to_be_focused()
    stage.patch((tabs, "props.currentTabIndex", 0))
    expect(page.get_by_role("tabpanel")).to_have_text("one")


def test_progress_and_icon_speak(page: Page, stage: Stage) -> None:
    bar = node("ia.display.progress", "Confidence", value=30, min=0, max=60)
    icon = node(
        "ia.display.icon", "State", path="material/warning", meta={"tooltip": {"text": "Outcome unknown"}}
    )
    stage.set_page(column(bar, icon, node("ia.display.icon", "Odd", path="material/rocket")))
    page.goto(stage.url)
    meter = page.get_by_role("progressbar", name="Confidence")
    assert [meter.get_attribute(f"aria-value{key}") for key in ("min", "now", "max")] == ["0", "30", "60"]
    expect(meter.locator(".progress-bar")).to_have_attribute("width", "50%")
    expect(page.get_by_role("img", name="Outcome unknown")).to_be_visible()
    expect(page.locator("[data-component=Odd]")).to_contain_text("unknown icon material/rocket")
