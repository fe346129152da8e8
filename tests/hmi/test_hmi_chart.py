"""The time series chart: traces with gaps, limits, marks, read-out, and words for those who do not see it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from hmi import gallery
from hmi.stage import Stage, column


def test_traces_break_where_there_is_no_value(page: Page, stage: Stage) -> None:
    one = gallery.chart()
    stage.set_page(column(one))
    page.goto(stage.url)
    expect(page.locator("path.chart-line")).to_have_count(
        3
    )  # two runs of the temperature, one of the set-point
    expect(page.locator(".chart-legend li")).to_have_text(["temperature", "setpoint"])
    expect(page.locator(".chart-limit")).to_have_count(1)
    expect(page.locator(".chart-mark")).to_have_count(1)
    expect(page.locator(".chart-drawing")).to_contain_text("alarm limit")
    expect(page.locator(".chart-drawing")).to_contain_text("anomaly")
    lines = page.locator("path.chart-line")
    dashes = lines.evaluate_all("all => all.map(one => one.getAttribute('stroke-dasharray'))")
    assert len(set(dashes)) == 2, "traces differ by more than colour"
    stage.patch((one, "props.series", []))
    expect(page.get_by_text("No data in this time range")).to_be_visible()


def test_columns_are_named_coloured_and_left_out_by_their_key(page: Page, stage: Stage) -> None:
    columns = [{"key": "temperature", "stroke": {"color": "rgb(1, 2, 3)", "width": 4, "dashArray": "5 5"}}]
    stage.set_page(column(gallery.chart(plots=[{"trends": [{"series": "signals", "columns": columns}]}])))
    page.goto(stage.url)
    expect(page.locator(".chart-legend li")).to_have_text(["temperature"])
    line = page.locator("path.chart-line").first
    expect(line).to_have_attribute("stroke", "rgb(1, 2, 3)")
    expect(line).to_have_attribute("stroke-dasharray", "5 5")
    expect(line).to_have_attribute("stroke-width", "4")


def test_several_plots_lie_below_each_other(page: Page, stage: Stage) -> None:
    plots = [{"trends": [{"series": "signals"}]}, {"trends": [{"series": "signals", "type": "scatter"}]}]
    stage.set_page(column(gallery.chart(plots=plots)))
    page.goto(stage.url)
    expect(page.locator(".chart-frame")).to_have_count(2)
    tops = page.locator(".chart-frame").evaluate_all("all => all.map(one => Number(one.getAttribute('y')))")
    assert tops[1] > tops[0] + 50
    expect(page.locator(".chart-dot").first).to_be_visible()


def test_the_words_tell_last_values(page: Page, stage: Stage) -> None:
    stage.set_page(column(gallery.chart()))
    page.goto(stage.url)
    drawing = page.locator(".chart-drawing")
    expect(drawing).to_have_attribute("role", "img")
    expect(drawing).to_have_attribute(
        "aria-label", re.compile(r"temperature\. temperature: last 84.* at 00:59:30")
    )
    expect(drawing).to_have_attribute("aria-label", re.compile(r"alarm limit 88"))


def test_values_are_read_by_mouse_and_keyboard(page: Page, stage: Stage) -> None:
    stage.set_page(column(gallery.chart()))
    page.goto(stage.url)
    area = page.locator(".chart-area")
    expect(page.locator("path.chart-line").first).to_be_visible()
    area.hover(position={"x": 62, "y": 60})
    expect(page.locator(".chart-readout")).to_have_text(
        re.compile("2026-01-01 00:00:00.*temperature: 70.*point: 78")
    )
    page.mouse.move(0, 0)
    expect(page.locator(".chart-readout")).to_be_hidden()
    area.press("ArrowLeft")
    expect(page.locator(".chart-readout")).to_contain_text("00:59:30")
    area.press("ArrowLeft")
    expect(page.locator(".chart-readout")).to_contain_text("00:59:00")
    area.press("Escape")
    expect(page.locator(".chart-readout")).to_be_hidden()


def test_an_empty_and_a_constant_series_are_no_trouble(page: Page, stage: Stage) -> None:
    constant = [{"t_stamp": gallery.T0, "v": 5}]
    series = [{"name": "a", "data": constant}, {"name": "b", "data": []}, {"name": "c", "data": None}]
    stage.set_page(column(gallery.chart(series=series, plots=[])))
    page.goto(stage.url)
    expect(page.locator(".chart-drawing")).to_have_attribute(
        "aria-label", re.compile("a: last 5 at 00:00:00")
    )
    expect(page.locator(".chart-drawing circle")).to_have_count(1)
