"""Is everything unknown a red box that names file and component, beside components that go on working?"""

from __future__ import annotations

from typing import Any

import pytest

from perspective.perspective_stand import Json, Stand, expr, frame, label, named, nodes, part, prop, view

HERE = "com.inductiveautomation.perspective/views/Home/view.json · root/Bad: "


def bound(binding: Any) -> Json:
    return label("Bad", binding)


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (part("ia.display.gauge", "Bad"), "component type 'ia.display.gauge' is not known"),
        ({"meta": {"name": "Bad"}}, "component type None is not known"),
        (bound({"type": "http", "config": {}}), "props.text: binding type 'http' is not known"),
        (bound({"type": "tag-history", "config": {}}), "binding type 'tag-history' is not known"),
        (bound(expr("foo(1)")), "props.text: function foo() is not supported"),
        (bound(expr("1 +")), "props.text: did not expect 'the end'"),
        (bound(expr("{vew.custom.x}")), "{vew.custom.x}: begins with none of view"),
        (bound({"type": "query", "config": {"queryPath": "Q/none"}}), "there is no named query 'Q/none'"),
        (bound(expr("1", {"type": "magic"})), "transform 'magic' is not known"),
        (bound({"type": "property", "config": {"path": 7}}), "props.text.path: a text is wanted, found int"),
        (bound("nonsense"), "props.text.binding: an object is wanted, found str"),
        (part("ia.display.label", "Bad", propConfig=[1]), "propConfig: an object is wanted, found list"),
        (
            part("ia.input.button", "Bad", events={"dom": {"onClick": {"type": "fly"}}}),
            "events.dom.onClick: action 'fly' is not known",
        ),
        (
            part("ia.display.label", "Bad", events={"component": {"onActionPerformed": []}}),
            "events.component.onActionPerformed is not known",
        ),
        (
            part("ia.display.label", "Bad", {"txet": "x"}),
            "props.txet: ia.display.label has no property 'txet' that the preview knows",
        ),
        (
            part("ia.display.label", "Bad", propConfig={"props.txet.a": {"binding": expr("1")}}),
            "ia.display.label has no property 'txet' that the preview knows",
        ),
        (
            part("ia.display.table", "Bad", {"columns": [{"field": "a"}, {"field": "b", "render": "view"}]}),
            "props.columns[1] (b): render 'view' is not known to the preview",
        ),
        (
            part("ia.display.label", "Bad", propConfig={"props.text": {"access": "SECRET"}}),
            "propConfig.props.text: access 'SECRET' is not known to the preview here",
        ),
        (
            part("ia.display.label", "Bad", propConfig={"props.style.a": {"access": "PRIVATE"}}),
            "access 'PRIVATE' is not known to the preview here",
        ),
        (
            part(
                "ia.input.button",
                "Bad",
                events={"dom": {"onClick": {"type": "dock", "config": {"type": "alter", "id": "menu"}}}},
            ),
            "events.dom.onClick: dock 'alter' is not known to the preview",
        ),
        (
            bound(expr("1", {"type": "map", "inputType": "range", "mappings": [{"input": {"min": "a"}}]})),
            "props.text.transforms[0].mappings[0].input.min: a number is wanted, found 'a'",
        ),
        (part("ia.display.label", "Bad", children=[part("ia.display.label", "x")]), "takes no children"),
    ],
)
async def test_what_is_unknown_is_red(component: Json, said: str) -> None:
    page = await Stand({"Home": view(component, label("Fine", expr("1 + 1")))}).open()
    assert named(page, "Bad")["red"].startswith(HERE)
    assert said in named(page, "Bad")["red"]
    assert named(page, "Fine")["props"]["text"] == 2
    assert named(page, "Fine")["red"] is None


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'"x"', b"\xff\xfe", b'{"root": 7}', b"[" * 100_000, b'{"root": {"children": 5}}', b"null"],
)
async def test_a_view_that_is_none_is_one_red_box(content: bytes) -> None:
    page = await Stand({"Home": content}).open()
    assert "Home/view.json" in frame(page)["view"]["red"]


async def test_an_unknown_view_is_red_in_its_place() -> None:
    stand = Stand({"Home": view(part("ia.display.view", "Inner", {"path": "Nowhere"}), label("Fine"))})
    page = await stand.open()
    red = [node["red"] for node in nodes(frame(page)) if node["red"]]
    assert len(red) == 1
    assert "root/Inner: there is no view 'Nowhere'" in red[0]


async def test_a_view_that_embeds_itself_ends_in_a_red_box() -> None:
    page = await Stand({"Home": view(part("ia.display.view", "Inner", {"path": "Home"}))}).open()
    red = [node["red"] for node in nodes(frame(page)) if node["red"]]
    assert len(red) == 1
    assert "embed each other deeper" in red[0]


@pytest.mark.parametrize("instances", [7, "word", ["a", 1], [None], {"a": 1}])
async def test_instances_that_are_nonsense_hurt_only_the_repeater(instances: Any) -> None:
    repeater = part("ia.display.flex-repeater", "Bad", {"path": "Card", "instances": instances})
    page = await Stand({"Home": view(repeater, label("Fine")), "Card": view()}).open()
    assert named(page, "Fine")["red"] is None


async def test_there_is_no_such_page() -> None:
    page = await Stand({"Home": view()}).open("/nowhere")
    assert "there is no page /nowhere" in frame(page)["view"]["red"]


async def test_columns_that_come_by_a_binding_are_looked_at_too() -> None:
    columns = [{"field": "a", "render": "view"}]
    table = part("ia.display.table", "Bad", {"data": []})
    table["propConfig"] = {"props.columns": {"binding": prop("view.custom.columns")}}
    stand = Stand({"Home": view(table, label("Fine"), custom={"columns": columns})})
    page = await stand.open()
    assert "props.columns[0] (a): render 'view' is not known" in named(page, "Bad")["red"]
    home = page.session.components[named(page, "Fine")["id"]].view
    home.tree.write(("custom", "columns"), [{"field": "a"}])
    await stand.settle(page.session)
    assert named(page, "Bad")["red"] is None
