"""Positions, styles, visibility, quality: a view looks as Perspective would lay it out."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from hmi import gallery
from hmi.stage import Node, Stage, column, node


def part(page: Page, name: str) -> Locator:
    return page.locator(f"[data-component={name}]")


def box(page: Page, name: str) -> dict[str, float]:
    found = part(page, name).bounding_box()
    assert found is not None
    return {"x": found["x"], "y": found["y"], "width": found["width"], "height": found["height"]}


def label(name: str, **more: object) -> Node:
    return node("ia.display.label", name, text=name, **more)


def test_flex_positions(page: Page, stage: Stage) -> None:
    fixed = label("Fixed", position={"basis": "200px", "shrink": 0})
    grown = label("Grown", position={"grow": 1, "basis": 0})
    ended = label("Ended", position={"basis": "100px", "align": "flex-end"}, style={"height": 30})
    gone = label("Gone", position={"basis": "400px", "display": False})
    row = node("ia.container.flex", "Row", fixed, grown, ended, gone, direction="row", alignItems="stretch")
    row["position"] = {"basis": "300px", "shrink": 0}
    stage.set_page(column(row))
    page.goto(stage.url)
    expect(part(page, "Gone")).to_be_hidden()
    assert box(page, "Row")["height"] == 300
    assert box(page, "Fixed")["width"] == 200
    assert box(page, "Grown")["width"] == 1280 - 300
    assert box(page, "Ended")["y"] + box(page, "Ended")["height"] == box(page, "Row")["y"] + 300
    stage.patch((gone, "position.display", True))
    expect(part(page, "Gone")).to_be_visible()
    assert box(page, "Gone")["width"] > 300


def test_coordinates_fixed_and_percent(page: Page, stage: Stage) -> None:
    def at(name: str, mode: str, **position: float) -> Node:
        inner = label(name, position=position)
        return node(
            "ia.container.coord", f"{name}Box", inner, mode=mode, position={"basis": "200px", "shrink": 0}
        )

    stage.set_page(
        column(
            at("Fixed", "fixed", x=10, y=20, width=100, height=40),
            at("Share", "percent", x=0.25, y=0.5, width=0.5),
        )
    )
    page.goto(stage.url)
    expect(part(page, "Fixed")).to_be_visible()
    assert box(page, "Fixed") == {"x": 10, "y": 20, "width": 100, "height": 40}
    share = box(page, "Share")
    assert (share["x"], share["y"], share["width"]) == (320, 300, 640)


def test_breakpoint_follows_the_width(page: Page, stage: Stage) -> None:
    small, large = label("Small", position={"size": "small"}), label("Large", position={"size": "large"})
    stage.set_page(column(node("ia.container.breakpt", "Break", small, large, breakpoint=900)))
    page.goto(stage.url)
    expect(part(page, "Large")).to_be_visible()
    expect(part(page, "Small")).to_have_count(0)
    page.set_viewport_size({"width": 800, "height": 600})
    expect(part(page, "Small")).to_be_visible()
    expect(part(page, "Large")).to_have_count(0)


def test_repeater_takes_style_and_position_of_instances(page: Page, stage: Stage) -> None:
    def instance(number: int, **instance: object) -> Node:
        return node("ia.container.flex", "root", label(f"N{number}"), instance=instance)

    first = instance(1, position={"basis": "300px"}, style={"paddingLeft": 7})
    second = instance(2, position={"grow": 1}, style={})
    repeater = node("ia.display.flex-repeater", "Repeater", first, second, direction="row")
    repeater["props"] |= {
        "elementPosition": {"grow": 0, "shrink": 0},
        "elementStyle": {"paddingLeft": 3, "paddingTop": 5},
    }
    stage.set_page(column(repeater))
    page.goto(stage.url)
    expect(part(page, "N2")).to_be_visible()
    assert box(page, "N1")["x"] == 7
    assert (box(page, "N2")["x"], box(page, "N2")["y"]) == (303, 5)
    third = instance(3, position={}, style={})
    keep = page.locator("[data-component=N2]").element_handle()
    stage.send({"t": "children", "id": repeater["id"], "nodes": [{"id": second["id"], "keep": True}, third]})
    expect(part(page, "N3")).to_be_visible()
    expect(part(page, "N1")).to_have_count(0)
    assert keep.evaluate("one => one.isConnected"), "an unchanged instance keeps its elements"


def test_roots_inside_views_and_repeaters_keep_their_own_direction(page: Page, stage: Stage) -> None:
    def row(prefix: str, **more: object) -> Node:
        left, right = label(f"{prefix}Left"), label(f"{prefix}Right", position={"grow": 1})
        return node("ia.container.flex", "root", left, right, direction="row", style={"gap": 9}, **more)

    embedded = node("ia.display.view", "Embedded", row("E"))
    repeater = node("ia.display.flex-repeater", "Repeater", row("R", instance={}), direction="column")
    stage.set_page(column(embedded, repeater))
    page.goto(stage.url)
    for prefix in "ER":
        expect(part(page, f"{prefix}Right")).to_be_visible()
        left, right = box(page, f"{prefix}Left"), box(page, f"{prefix}Right")
        assert left["y"] == right["y"]
        assert right["x"] == left["width"] + 9
        assert right["x"] + right["width"] == 1280


def test_embedded_view_changes_its_root(page: Page, stage: Stage) -> None:
    view = node("ia.display.view", "Embedded", node("ia.container.flex", "root", label("Old")))
    stage.set_page(column(view))
    page.goto(stage.url)
    expect(part(page, "Old")).to_be_visible()
    stage.send(
        {"t": "children", "id": view["id"], "nodes": [node("ia.container.flex", "root", label("New"))]}
    )
    expect(part(page, "New")).to_be_visible()
    expect(part(page, "Old")).to_have_count(0)


def test_styles_and_classes_come_and_go(page: Page, stage: Stage) -> None:
    one = label(
        "One", style={"classes": "Card/Alarm nav-link", "backgroundColor": "rgb(1, 2, 3)", "marginTop": 12}
    )
    css = ".psc-Card\\/Alarm { color: rgb(200, 0, 0); } .psc-nav-link { letter-spacing: 3px; }"
    stage.set_page(column(one), css=css)
    page.goto(stage.url)
    expect(part(page, "One")).to_have_css("color", "rgb(200, 0, 0)")
    expect(part(page, "One")).to_have_css("letter-spacing", "3px")
    expect(part(page, "One")).to_have_css("background-color", "rgb(1, 2, 3)")
    expect(part(page, "One")).to_have_css("margin-top", "12px")
    stage.patch((one, "props.style", {"classes": "nav-link"}))
    expect(part(page, "One")).to_have_css("background-color", "rgba(0, 0, 0, 0)")
    expect(part(page, "One")).to_have_css("margin-top", "0px")
    expect(part(page, "One")).not_to_have_css("color", "rgb(200, 0, 0)")
    expect(part(page, "One")).to_have_css("letter-spacing", "3px")


def test_an_invisible_component_keeps_its_place(page: Page, stage: Stage) -> None:
    hidden = label("Hidden", position={"basis": "50px", "shrink": 0}, meta={"visible": False})
    stage.set_page(column(hidden, label("Below")))
    page.goto(stage.url)
    expect(part(page, "Below")).to_be_visible()
    expect(part(page, "Hidden")).to_be_hidden()
    assert box(page, "Below")["y"] == 50
    stage.patch((hidden, "meta.visible", True))
    expect(part(page, "Hidden")).to_be_visible()


def test_bad_quality_is_a_border_an_icon_and_words(page: Page, stage: Stage) -> None:
    value = label("Value", quality="Bad_NotConnected")
    field = node("ia.input.text-field", "Field", text="x")
    stage.set_page(column(value, field))
    page.goto(stage.url)
    overlay = page.get_by_role("img", name="Quality: Bad_NotConnected")
    expect(overlay).to_have_css("border-top-style", "dashed")
    expect(overlay).to_have_attribute("title", "Quality: Bad_NotConnected")
    expect(overlay.locator("svg")).to_be_visible()
    stage.patch((value, "quality", None), (field, "quality", "Error_ExpressionEval"))
    expect(overlay).to_have_count(0)
    expect(page.get_by_role("img", name="Quality: Error_ExpressionEval")).to_be_visible()


def test_a_broken_component_is_a_red_box_and_its_neighbours_live(page: Page, stage: Stage) -> None:
    broken = node("ia.display.gauge", "Broken")
    fine = label("Fine")
    stage.set_page(column(broken, fine))
    page.goto(stage.url)
    expect(part(page, "Broken")).to_contain_text("no component type ia.display.gauge")
    stage.patch((fine, "red", "Pages/P · root/Fine: no query X"))
    expect(part(page, "Fine")).to_have_text("Pages/P · root/Fine: no query X")
    stage.patch((fine, "red", None))
    expect(part(page, "Fine")).to_have_text("Fine")
    expect(page.locator(".red-box")).to_have_count(1)


def test_dom_clicks_reach_the_gateway_also_by_keyboard(page: Page, stage: Stage) -> None:
    card = node("ia.container.flex", "Card", label("Inside"), dom=["onClick"])
    quiet = label("Quiet")
    stage.set_page(column(quiet, card))
    page.goto(stage.url)
    part(page, "Quiet").click()
    part(page, "Inside").click()
    part(page, "Card").press("Enter")
    part(page, "Card").press("Space")
    page.get_by_text("Inside").click()
    told = [(frame["id"], frame["category"], frame["name"]) for frame in stage.wait_for_count("event", 4)]
    assert told == [(card["id"], "dom", "onClick")] * 4


def test_scroll_position_survives_patches(page: Page, stage: Stage) -> None:
    lines = [label(f"L{number}", position={"basis": "60px", "shrink": 0}) for number in range(60)]
    stage.set_page(column(*lines))
    page.goto(stage.url)
    root = page.locator("[data-component=root]").first
    root.evaluate("one => one.scrollTo(0, 1200)")
    stage.patch(*((line, "props.text", "new") for line in lines))
    expect(part(page, "L59")).to_have_text("new")
    assert root.evaluate("one => one.scrollTop") == 1200
    expect(root).to_have_attribute("tabindex", "0")  # what scrolls can be reached by keyboard


def test_buttons_are_large_enough_for_a_finger(new_page: Callable[..., Page], stage: Stage) -> None:
    stage.set_page(gallery.everything(), docks=gallery.docks(), css=gallery.CSS)
    page = new_page(1024, 768)
    page.goto(stage.url)
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    sizes = page.locator("button:visible, a.menu-entry:visible").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(r => [Math.round(r.width), Math.round(r.height)])"
    )
    assert sizes
    assert min(min(size) for size in sizes) >= 40
    assert page.evaluate("document.documentElement.scrollWidth") <= 1024
