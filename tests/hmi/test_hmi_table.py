"""The table: order, filter, pages, selection, keyboard, and 500 rows without waiting."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

from hmi import gallery
from hmi.stage import Node, Stage, column, node

EVENTS = ["onRowClick", "onRowDoubleClick", "onSelectionChange"]


def table(data: Any, *, events: list[str] = EVENTS, **props: Any) -> Node:
    given = {"columns": gallery.COLUMNS, "pager": {"bottom": False}, **props, "data": data}
    return node(
        "ia.display.table", "Waiting", props=given, events=events, position={"basis": "400px", "shrink": 0}
    )


def lines(page: Page) -> Locator:
    return page.locator("tbody tr")


def first_column(page: Page) -> list[str]:
    found = lines(page).evaluate_all("all => all.map(one => one.cells[0].textContent)")
    assert isinstance(found, list)
    return found


def test_values_are_text_in_the_form_of_their_column(page: Page, stage: Stage) -> None:
    stage.set_page(column(table(gallery.rows(2))))
    page.goto(stage.url)
    expect(page.locator("th")).to_have_text(["Equipment", "Temperature °C", "Opened", "Armed", "Note"])
    expect(lines(page).nth(0).locator("td")).to_have_text(
        ["REACTOR_00", "50.0", "2026-01-01 00:00", "Yes", "hot outlet"]
    )
    expect(lines(page).nth(1).locator("td")).to_have_text(
        ["REACTOR_01", "50.1", "2026-01-01 00:01", "No", ""]
    )
    expect(lines(page).nth(0).locator("td").nth(1)).to_have_css("text-align", "right")


def test_cells_may_bring_their_style_and_columns_may_be_left_to_the_data(page: Page, stage: Stage) -> None:
    data = [{"n": {"value": 7, "style": {"color": "rgb(9, 9, 9)"}}, "word": "a"}, {"n": 8, "word": "b"}]
    one = table(data, columns=[])
    stage.set_page(column(one))
    page.goto(stage.url)
    expect(page.locator("th")).to_have_text(["n", "word"])
    expect(lines(page).nth(0).locator("td").first).to_have_css("color", "rgb(9, 9, 9)")
    stage.patch((one, "props.data", {"columns": ["n", "word"], "rows": [[1, "x"], [2, "y"], [3, "z"]]}))
    expect(lines(page)).to_have_text(["1x", "2y", "3z"])
    expect(lines(page).nth(0).locator("td").first).not_to_have_css("color", "rgb(9, 9, 9)")


def test_a_header_sorts_up_down_and_not(page: Page, stage: Stage) -> None:
    data = [{"equipment": "B", "temperature": 9}, {"equipment": "A", "temperature": 100}, {"equipment": "C"}]
    stage.set_page(column(table(data)))
    page.goto(stage.url)
    button = page.get_by_role("button", name="Temperature °C")
    head = page.get_by_role("columnheader", name="Temperature °C")
    button.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert first_column(page) == ["B", "A", "C"]
    button.click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert first_column(page) == ["C", "A", "B"]
    button.click()
    expect(head).not_to_have_attribute("aria-sort", "descending")
    assert first_column(page) == ["B", "A", "C"]
    expect(page.get_by_role("button", name="Note")).to_have_count(0)


def test_the_filter_looks_at_what_is_shown(page: Page, stage: Stage) -> None:
    stage.set_page(column(table(gallery.rows(30), filter={"enabled": True})))
    page.goto(stage.url)
    search = page.get_by_role("searchbox", name="Filter the table")
    search.fill("reactor_03")
    expect(lines(page)).to_have_count(4)
    search.fill("nowhere")
    expect(lines(page)).to_have_count(0)
    expect(page.locator(".table-empty")).to_have_text("Nothing matches the filter")


def test_pages_of_rows(page: Page, stage: Stage) -> None:
    pager = {"bottom": True, "initialOption": 10, "options": [10, 20]}
    stage.set_page(column(table(gallery.rows(25), pager=pager)))
    page.goto(stage.url)
    status = page.get_by_role("status")
    expect(status).to_have_text("1–10 of 25")
    expect(page.get_by_role("button", name="Previous page")).to_be_disabled()
    page.get_by_role("button", name="Next page").click()
    page.get_by_role("button", name="Next page").press("Enter")
    expect(status).to_have_text("21–25 of 25")
    expect(lines(page)).to_have_count(5)
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    page.get_by_role("combobox", name="Rows per page").select_option("20")
    expect(status).to_have_text("1–20 of 25")


def test_a_row_is_chosen_by_mouse_and_by_enter(page: Page, stage: Stage) -> None:
    one = table(gallery.rows(5))
    stage.set_page(column(one))
    page.goto(stage.url)
    page.get_by_role("button", name="Temperature °C").dblclick()  # descending: the last row is first
    lines(page).nth(0).click()
    event = stage.wait_for(t="event", name="onRowClick")["event"]
    assert (event["row"], event["rowIndex"], event["value"]["equipment"]) == (4, 0, "REACTOR_04")
    assert stage.wait_for(t="set", path="props.selection.data")["value"] == [event["value"]]
    stage.wait_for(t="event", name="onSelectionChange")
    stage.sent.clear()
    page.keyboard.press("ArrowDown")
    expect(lines(page).nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    event = stage.wait_for(t="event", name="onRowClick")["event"]
    assert (event["row"], event["rowIndex"]) == (3, 1)
    expect(lines(page).nth(1)).to_have_class("pressable selected")
    page.keyboard.press("End")
    expect(lines(page).nth(4)).to_be_focused()
    lines(page).nth(2).dblclick()
    assert stage.wait_for(t="event", name="onRowDoubleClick")["event"]["row"] == 2


def test_rows_that_nobody_asks_about_are_no_tab_stops(page: Page, stage: Stage) -> None:
    stage.set_page(column(table(gallery.rows(3), events=[])))
    page.goto(stage.url)
    expect(lines(page)).to_have_count(3)
    assert page.locator("tbody tr[tabindex]").count() == 0


def test_an_empty_table_says_so(page: Page, stage: Stage) -> None:
    one = table([], emptyMessage={"noData": {"text": "Nothing waits"}})
    stage.set_page(column(one))
    page.goto(stage.url)
    expect(page.locator(".table-empty")).to_have_text("Nothing waits")
    stage.patch((one, "props.data", gallery.rows(1)))
    expect(page.locator(".table-empty")).to_be_hidden()


def test_500_rows_are_drawn_and_renewed_quickly_and_keep_focus_and_place(page: Page, stage: Stage) -> None:
    one = table(gallery.rows(500))
    stage.set_page(column(one))
    page.goto(stage.url)
    expect(lines(page)).to_have_count(500)
    lines(page).nth(300).focus()
    at = page.locator(".table-scroll").evaluate("one => one.scrollTop")
    assert at > 1000
    element = lines(page).nth(300).element_handle()
    page.evaluate(
        """() => {
          window.longest = 0;
          new PerformanceObserver((list) => {
            for (const one of list.getEntries()) window.longest = Math.max(window.longest, one.duration);
          }).observe({type: "longtask"});
        }"""
    )
    for number in range(10):
        rows = gallery.rows(500)
        rows[300]["note"] = f"turn {number}"
        stage.patch((one, "props.data", rows))
    expect(lines(page).nth(300)).to_contain_text("turn 9")
    assert page.evaluate("window.longest") < 500
    assert element.evaluate("one => one === document.activeElement")
    assert page.locator(".table-scroll").evaluate("one => one.scrollTop") == at
