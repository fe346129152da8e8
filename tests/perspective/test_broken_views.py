"""Does a view with any one value broken still give a page, with what is sound in it at work?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from perspective.perspective_stand import (
    OPERATOR_ONLY,
    Json,
    Stand,
    button,
    expr,
    frame,
    label,
    memory,
    named,
    nodes,
    part,
    press,
    prop,
    query,
    script,
    view,
)

NONSENSE: list[Any] = [None, True, "{", [1], {"a": [1]}]


def whole() -> Json:
    """A view in which everything is used that a view may have."""
    mappings = [{"input": {"min": 0, "max": 5}, "output": "1 + {value}"}]
    mapping = {"type": "map", "inputType": "range", "outputType": "expression", "fallback": "0"}
    tag = {"mode": "indirect", "tagPath": "[default]{a}", "references": {"a": "'T'"}, "bidirectional": True}
    popup = {
        "type": "popup",
        "config": {"type": "open", "id": "a", "viewPath": "Card", "viewParams": {"n": 1}},
    }
    nav = {"type": "nav", "config": {"page": "/unit/{view.custom.n}", "newTab": True}}
    dock = {"type": "dock", "config": {"type": "open", "id": "menu", "params": {"n": 1}}}
    changed = {"enabled": True, "script": "\tchanged"}
    sound = label("Sound", expr("{view.custom.n} + 1"))
    sound["propConfig"]["custom.a"] = {"onChange": changed, "access": "PRIVATE"}
    sound["custom"] = {"a": 1}
    return view(
        sound,
        label(
            "Mapped",
            prop(
                "view.custom.n",
                {**mapping, "mappings": mappings},
                {"type": "expression", "expression": "{value} * 2"},
            ),
        ),
        label("Formatted", expr("1", {"type": "format", "formatType": "numeric", "formatValue": "0.0"})),
        label("Scripted", expr("1", {"type": "script", "code": "\treturn value"})),
        label("Tag", {"type": "tag", "config": tag}),
        label("Query", query("Q/rows", "2", a="{view.custom.n}")),
        label("Struct", {"type": "expr-struct", "config": {"struct": {"a": "1", "b": "{view.custom.n}"}}}),
        button("Go", script("go"), {**nav, "permissions": OPERATOR_ONLY}, popup, dock),
        part(
            "ia.display.table", "Table", {"columns": [{"field": "a", "render": "auto"}], "data": [{"a": 1}]}
        ),
        part("ia.display.view", "Inner", {"path": "Card", "params": {"n": 1}}),
        part("ia.display.flex-repeater", "Cards", {"path": "Card", "instances": [{"n": 1}, {"n": 2}]}),
        custom={"n": 1},
        propConfig={"params.p": {"paramDirection": "inout"}, "custom.n": {"onChange": changed}},
        scripts={"customMethods": [{"name": "m", "params": ["a"], "script": "\tm"}]},
        permissions=None,
        events={"system": {"onStartup": script("started"), "onShutdown": script("over")}},
    )


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a document."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        yield (*above, key)
        yield from places(entry, (*above, key))


def changed_at(place: tuple[Any, ...], content: Any) -> Json:
    document: Json = json.loads(json.dumps(whole()))
    target: Any = document
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = json.loads(json.dumps(content))
    return document


async def test_the_view_is_sound_as_it_is() -> None:
    page = await stand_of(whole()).open(user="operator")
    assert [node["red"] for node in nodes(frame(page)) if node["red"]] == []
    assert named(page, "Sound")["props"]["text"] == 2


def stand_of(document: Json) -> Stand:
    stand = Stand({"Home": document, "Card": view(label("Text"), params={"n": 0})}, memory("T", 1.0))
    stand.scripts.queries["Q/rows"] = lambda parameters: [{"a": 1}]
    return stand


@pytest.mark.parametrize("content", NONSENSE, ids=repr)
async def test_one_broken_value_takes_no_page_down(content: Any, caplog: pytest.LogCaptureFixture) -> None:
    for place in places(whole()):
        stand = stand_of(changed_at(place, content))
        page = await stand.open(user="operator")
        shown = nodes(frame(page))
        assert shown, place
        names = {node["name"] for node in shown}
        for name in {"Go", "Sound"} & names:
            press(page, name)
        await stand.settle(page.session)
        page.close()
        await stand.settle(page.session)
        await stand.preview.close()
        failed = [one.getMessage() for one in caplog.records if one.exc_info]
        assert not failed, (place, failed)


@pytest.mark.parametrize("rate", ["9" * 400, "-1", "0", "0 / 0", "'x'", "null", "1e300"])
async def test_a_period_that_is_none_takes_no_page_down(rate: str) -> None:
    stand = stand_of(view(label("Text", query("Q/rows", rate)), label("Now", expr(f"len(now({'9' * 400}))"))))
    page = await stand.open()
    assert {node["name"] for node in nodes(frame(page))} >= {"Text", "Now"}
