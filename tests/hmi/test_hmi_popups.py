"""Popups are dialogs: named, focus inside and given back, Escape only where closing is allowed."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from hmi.stage import Frame, Stage, column, node

PRESSED = ["onActionPerformed"]


def popup(*, title: str = "Approve?", **more: Any) -> Frame:
    inside = column(
        node("ia.display.label", "Text", text="Set throughput 80 → 60"),
        node("ia.input.text-field", "Comment", text="", meta={"domId": "comment"}),
        node("ia.input.button", "Confirm", text="Confirm", events=PRESSED, meta={"domId": "decide-confirm"}),
    )
    head = {"id": "decide", "title": title, "modal": True, "draggable": True, "showCloseIcon": True}
    return {"overlayDismiss": False, **head, "node": inside, **more}


def opened(page: Page, stage: Stage, frame: Frame) -> None:
    opener = node("ia.input.button", "Open", text="Open", events=PRESSED, meta={"domId": "open"})
    stage.set_page(column(opener))
    page.goto(stage.url)
    page.click("#open")
    stage.wait_for(t="event")
    stage.send({"t": "popup", "do": "open", "popup": frame})
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_modal_popup_is_named_and_holds_the_focus(page: Page, stage: Stage) -> None:
    opened(page, stage, popup())
    dialog = page.get_by_role("dialog", name="Approve?")
    expect(dialog).to_have_attribute("aria-modal", "true")
    expect(dialog).to_be_focused()
    seen = []
    for key in ["Tab"] * 4 + ["Shift+Tab"] * 4:
        page.keyboard.press(key)
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    assert seen[:4] == ["Close", "comment", "decide-confirm", "Close"]
    assert seen[4:] == ["decide-confirm", "comment", "Close", "decide-confirm"]
    page.locator("#open").click(force=True, no_wait_after=True)
    assert len(stage.all_of("event")) == 1, "what lies below cannot be pressed"


def test_escape_closes_tells_and_gives_the_focus_back(page: Page, stage: Stage) -> None:
    opened(page, stage, popup())
    page.locator("#comment").press("Escape")
    stage.wait_for(t="popup-closed", id="decide")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#open")).to_be_focused()
    expect(page.locator("#open")).to_be_enabled()


def test_escape_and_the_scrim_do_nothing_where_closing_is_not_allowed(page: Page, stage: Stage) -> None:
    opened(page, stage, popup(showCloseIcon=False))
    page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    page.click("#decide-confirm")
    assert len(stage.all_of("popup-closed")) == 0
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("button", name="Close")).to_have_count(0)
    stage.send({"t": "popup", "do": "close", "id": "decide"})
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#open")).to_be_focused()


def test_the_scrim_closes_where_it_may(page: Page, stage: Stage) -> None:
    opened(page, stage, popup(overlayDismiss=True))
    page.mouse.click(5, 5)
    stage.wait_for(t="popup-closed", id="decide")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_enter_held_down_does_not_confirm_what_just_opened(page: Page, stage: Stage) -> None:
    opened(page, stage, popup())
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    stage.send({"t": "popup", "do": "close", "id": "decide"})
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert [frame["t"] for frame in stage.sent if frame["t"] != "hello"] == ["event"]


@pytest.mark.parametrize("modal", [True, False])
def test_only_a_modal_popup_bars_the_page(page: Page, stage: Stage, modal: bool) -> None:
    opened(page, stage, popup(modal=modal))
    assert page.locator("#perspective-app").evaluate("one => one.inert") is modal


def test_two_popups_lie_on_each_other_and_patches_reach_both(page: Page, stage: Stage) -> None:
    first = popup()
    opened(page, stage, first)
    stage.send({"t": "popup", "do": "open", "popup": popup(title="Sure?", id="sure")})
    expect(page.get_by_role("dialog", name="Sure?")).to_be_focused()
    text = first["node"]["children"][0]
    stage.patch((text, "props.text", "changed since you opened it"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Approve?")).to_contain_text("changed since you opened it")
    stage.wait_for(t="popup-closed", id="sure")
    assert len(stage.all_of("popup-closed")) == 1
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_popup_is_as_large_as_its_view_was_designed_and_never_larger_than_the_window(
    page: Page, stage: Stage
) -> None:
    middle = column(node("ia.display.label", "Write", text="80 → 60"))
    middle["position"] = {"grow": 1, "basis": 0}
    root = column(
        node("ia.display.label", "Head", text="head"), middle, node("ia.input.button", "Ok", text="Ok")
    )
    opened(page, stage, popup(node=root | {"defaultSize": {"width": 700, "height": 400}}))
    dialog = page.get_by_role("dialog")
    box = dialog.bounding_box()
    assert box is not None
    assert (box["width"], 400 <= box["height"] <= 460) == (700, True)
    write = page.locator("[data-component=Write]").bounding_box()
    assert write is not None
    assert write["height"] >= 18
    expect(page.locator("[data-component=Write]")).to_be_in_viewport()
    page.set_viewport_size({"width": 1024, "height": 300})
    box = dialog.bounding_box()
    assert box is not None
    assert box["height"] <= 300


def test_a_popup_of_the_page_frame_and_markup_in_its_title(page: Page, stage: Stage) -> None:
    stage.set_page(column(), popups=[popup(title="<b>bold</b>")])
    page.goto(stage.url)
    expect(page.get_by_role("dialog", name="<b>bold</b>")).to_be_visible()
    stage.set_page(column())
    expect(page.get_by_role("dialog")).to_have_count(0)
