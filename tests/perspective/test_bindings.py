"""Do bindings show what their sources say, in any order, with qualities, and stop where they turn in circles?"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from perspective.perspective_stand import (
    Json,
    Stand,
    all_named,
    expr,
    frame,
    label,
    memory,
    named,
    nodes,
    part,
    prop,
    query,
    until,
    view,
)


async def shown(stand: Stand, name: str = "Text") -> tuple[Any, str | None]:
    node = named(await stand.open(), name)
    return node["props"]["text"], node["quality"]


@pytest.mark.parametrize(
    ("binding", "text", "quality"),
    [
        (expr("{view.custom.n} + 1"), 3, None),
        (prop("view.custom.deep.list[1].word"), "b", None),
        (prop("../Other.props.text"), "as declared", None),
        (prop("/root/Other.props.text"), "as declared", None),
        (expr("{parent.custom.mine} + {this.meta.name}"), "rootText", None),
        (expr("{session.props.auth.user.userName} + {page.props.path}"), "/", None),
        (expr("{view.custom.missing}"), None, 'Bad_NotFound("there is no custom.missing")'),
        (prop("../Nobody.props.text"), None, 'Bad_NotFound("there is no ../Nobody.props.text")'),
        (expr("{[default]T} + 1"), 6.0, None),
        (expr("{[default]T.Quality}"), "Good", None),
        (expr("{[default]None}"), None, "Bad_NotFound(\"Path '[default]None' not found.\")"),
        ({"type": "tag", "config": {"mode": "direct", "tagPath": "[default]T"}}, 5.0, None),
        (
            {
                "type": "tag",
                "config": {
                    "mode": "indirect",
                    "tagPath": "[default]{t}",
                    "references": {"t": "{view.custom.tag}"},
                },
            },
            5.0,
            None,
        ),
        (
            {"type": "tag", "config": {"mode": "expression", "tagPath": "'[default]' + {view.custom.tag}"}},
            5.0,
            None,
        ),
        (
            {"type": "expr-struct", "config": {"struct": {"a": "{view.custom.n}", "b": "'x'"}}},
            {"a": 2, "b": "x"},
            None,
        ),
        (expr("2", {"type": "expression", "expression": "{value} * {view.custom.n}"}), 4, None),
        (
            expr(
                "12",
                {
                    "type": "map",
                    "inputType": "range",
                    "mappings": [{"input": {"min": 10, "max": 20}, "output": "mid"}],
                },
            ),
            "mid",
            None,
        ),
        (
            expr("true", {"type": "map", "fallback": "no", "mappings": [{"input": 1, "output": "yes"}]}),
            "no",
            None,
        ),
        (
            expr(
                "3",
                {
                    "type": "map",
                    "inputType": "expression",
                    "outputType": "expression",
                    "mappings": [{"input": "{value} > 2", "output": "'v' + {value}"}],
                },
            ),
            "v3",
            None,
        ),
        (expr("1234.5", {"type": "format", "formatType": "numeric", "formatValue": "#,##0"}), "1,234", None),
        (
            expr("fromMillis(0)", {"type": "format", "formatType": "datetime", "formatValue": "yyyy"}),
            "1970",
            None,
        ),
    ],
)
async def test_a_binding_shows_its_source(binding: Json, text: Any, quality: str | None) -> None:
    home = view(
        label("Text", binding),
        label("Other"),
        custom={"n": 2, "deep": {"list": [0, {"word": "b"}]}, "tag": "T"},
    )
    home["root"]["custom"] = {"mine": "root"}
    assert await shown(Stand({"Home": home}, memory("T", 5.0))) == (text, quality)


async def test_order_does_not_matter() -> None:
    """A chain declared back to front settles before anybody sees it."""
    chain = [label(f"L{n}", expr(f"{{../L{n + 1}.props.text}} + 1")) for n in range(10)]
    last = label("L10", expr("{view.custom.n}"))
    page = await (stand := Stand({"Home": view(*chain, last, custom={"n": 1})})).open()
    assert named(page, "L0")["props"]["text"] == 11
    page._view.tree.write(("custom", "n"), 5)
    await stand.settle(page.session)
    assert named(page, "L0")["props"]["text"] == 15


async def test_a_circle_is_stopped_and_shown() -> None:
    home = view(label("A", expr("toInt({../B.props.text}, 0) + 1")), label("B", expr("{../A.props.text}")))
    page = await Stand({"Home": home}).open()
    qualities = {node["quality"] for node in nodes(frame(page)) if node["name"] in "AB"}
    assert 'Error_ExpressionEval("the binding reads itself")' in qualities


async def test_quality_is_seen_and_kept_away_by_opt_out() -> None:
    config = {"custom.rows": {"binding": query("Q/rows")}}
    quiet = {"type": "expr", "config": {"expression": "{view.custom.rows}"}, "overlayOptOut": True}
    home = view(
        label("Text", expr("isGood({view.custom.rows})")),
        label("Loud", expr("{view.custom.rows}")),
        label("Quiet", quiet),
        custom={"rows": ["declared"]},
        propConfig=config,
    )
    stand = Stand({"Home": home})
    stand.scripts.error = "connection refused"
    page = await stand.open()
    assert named(page, "Text")["props"]["text"] is False
    assert named(page, "Loud")["quality"] == 'Bad_Failure("connection refused")'
    assert named(page, "Loud")["props"]["text"] is None
    assert named(page, "Quiet")["quality"] is None


async def test_a_tag_that_turns_bad_keeps_its_last_value() -> None:
    binding = {"type": "tag", "config": {"mode": "direct", "tagPath": "[default]T"}}
    stand = Stand({"Home": view(label("Text", binding))}, memory("T", 5.0))
    page = await stand.open()
    stand.store._faults.begin("tag_stale [default]T")
    stand.store.fault_changed()
    await stand.settle(page.session)
    node = named(page, "Text")
    assert (node["props"]["text"], node["quality"]) == (5.0, "Bad_Stale")


async def test_both_ways() -> None:
    field = part(
        "ia.input.text-field",
        "Field",
        {"text": ""},
        propConfig={"props.text": {"binding": prop("view.custom.word", bidirectional=True)}},
    )
    stand = Stand({"Home": view(field, label("Text", prop("view.custom.word")), custom={"word": "a"})})
    page = await stand.open()
    page.receive({"t": "set", "id": named(page, "Field")["id"], "path": "props.text", "value": "typed"})
    await stand.settle(page.session)
    assert named(page, "Text")["props"]["text"] == "typed"


async def test_a_tag_both_ways() -> None:
    binding = {"type": "tag", "config": {"mode": "direct", "tagPath": "[default]T", "bidirectional": True}}
    field = part(
        "ia.input.numeric-entry-field", "Field", {}, propConfig={"props.value": {"binding": binding}}
    )
    stand = Stand({"Home": view(field)}, memory("T", 5.0))
    page = await stand.open()
    page.receive({"t": "set", "id": named(page, "Field")["id"], "path": "props.value", "value": 9})
    await stand.settle(page.session)
    assert stand.store.read("[default]T").value == 9.0


async def test_now_ticks() -> None:
    stand = Stand({"Home": view(label("Text", expr("toMillis(now(50))")))})
    page = await stand.open()
    before = named(page, "Text")["props"]["text"]
    await asyncio.sleep(0.2)
    assert named(page, "Text")["props"]["text"] > before


# scripts


async def test_a_script_transform_and_its_failure() -> None:
    def doubled(value: int, quality: Any, timestamp: Any) -> int:
        return value * 2

    def broken(value: int, quality: Any, timestamp: Any) -> int:
        raise ValueError("no such row")

    home = view(
        label("Text", expr("{view.custom.n}", {"type": "script", "code": "\tdouble"})),
        label("Broken", expr("1", {"type": "script", "code": "\tbroken"})),
        custom={"n": 4},
    )
    stand = Stand({"Home": home})
    stand.scripts.scripts = {"double": doubled, "broken": broken}
    page = await stand.open()
    assert named(page, "Text")["props"]["text"] == 8
    assert named(page, "Broken")["quality"] == 'Error_ScriptEval("no such row")'


async def test_a_slow_transform_ends_with_the_newest_value() -> None:
    gate = asyncio.Event()

    async def slow(value: int, quality: Any, timestamp: Any) -> int:
        await gate.wait()
        return value

    home = view(label("Text", expr("{view.custom.n}", {"type": "script", "code": "\tslow"})), custom={"n": 1})
    stand = Stand({"Home": home})
    stand.scripts.scripts["slow"] = slow
    opening = asyncio.create_task(stand.open())
    await asyncio.sleep(0.01)
    page = next(iter(next(iter(stand.preview.sessions.values())).pages.values()))
    for number in (2, 3, 4):
        page._view.tree.write(("custom", "n"), number)
        await asyncio.sleep(0.01)
    gate.set()
    await opening
    assert named(page, "Text")["props"]["text"] == 4
    assert stand.scripts.codes() == ["slow", "slow"]


async def test_on_change_runs_with_both_values() -> None:
    change = {"custom.n": {"onChange": {"enabled": None, "script": "\tchanged"}}}
    stand = Stand({"Home": view(custom={"n": 1}, propConfig=change)})
    page = await stand.open()
    assert stand.scripts.ran == []
    page._view.tree.write(("custom", "n"), 2)
    await stand.settle(page.session)
    given = stand.scripts.ran[0]["arguments"]
    assert given["previousValue"]["qualified"]["value"] == 1
    assert given["currentValue"]["qualified"]["value"] == 2


# queries


async def test_pages_with_the_same_query_share_it() -> None:
    polled = {"custom.rows": {"binding": query("Q/rows", "0.3", word="'a'")}}
    home = view(label("Text", expr("len({view.custom.rows})")), custom={"rows": []}, propConfig=polled)
    stand = Stand({"Home": home})
    stand.scripts.queries["Q/rows"] = lambda parameters: [{"word": parameters["word"]}] * 3
    began = time.monotonic()
    pages = [await stand.open() for _ in range(8)]
    await until(lambda: len(stand.scripts.asked) >= 4)
    periods = (time.monotonic() - began) / 0.3
    assert len(stand.scripts.asked) <= periods + 2, "one query a period, not one of each page"
    assert {named(page, "Text")["props"]["text"] for page in pages} == {3}
    for page in pages:
        page.close()
    asked = len(stand.scripts.asked)
    await asyncio.sleep(0.5)
    assert len(stand.scripts.asked) == asked, "nobody looks any more"


async def test_other_parameters_are_another_query() -> None:
    polled = {"custom.rows": {"binding": query("Q/rows", "5", word="{view.custom.word}")}}
    home = view(
        label("Text", expr("{view.custom.rows[0].word}")),
        custom={"rows": [{"word": ""}], "word": "a"},
        propConfig=polled,
    )
    stand = Stand({"Home": home})
    stand.scripts.queries["Q/rows"] = lambda parameters: [dict(parameters)]
    page = await stand.open()
    assert named(page, "Text")["props"]["text"] == "a"
    page._view.tree.write(("custom", "word"), "b")
    await stand.settle(page.session)
    assert named(page, "Text")["props"]["text"] == "b"


async def test_until_the_first_answer_the_default_stays_and_after_a_failure_it_recovers() -> None:
    polled = {"custom.rows": {"binding": query("Q/rows", "0.2")}}
    home = view(label("Text", expr("len({view.custom.rows})")), custom={"rows": []}, propConfig=polled)
    stand = Stand({"Home": home})
    session = stand.preview.open_session()
    page = session.open_page("/", {})
    session.engine.settle()
    assert (named(page, "Text")["props"]["text"], named(page, "Text")["quality"]) == (0, None)
    stand.scripts.error = "the database is gone"
    await stand.settle(session)
    assert named(page, "Text")["quality"] is not None
    stand.scripts.error = None
    stand.scripts.queries["Q/rows"] = lambda _: [{"a": 1}]
    await until(lambda: named(page, "Text")["quality"] is None)
    assert named(page, "Text")["props"]["text"] == 1


async def test_refresh_runs_the_query_at_once() -> None:
    home = view(custom={"rows": []}, propConfig={"custom.rows": {"binding": query("Q/rows", "60")}})
    stand = Stand({"Home": home})
    stand.scripts.queries["Q/rows"] = lambda _: []
    page = await stand.open()
    await stand.ask(page._view.handle, "refresh", path="custom.rows")
    await stand.settle(page.session)
    assert len(stand.scripts.asked) == 2


# repeaters and embedded views


CARD = view(
    label("Text", prop("view.params.item.word")),
    params={"item": {"word": ""}, "out": ""},
    propConfig={
        "params.item": {"paramDirection": "input"},
        "params.out": {"paramDirection": "output", "binding": expr("'<' + {view.params.item.word} + '>'")},
    },
)


async def test_a_repeater_reuses_its_instances() -> None:
    repeater = part(
        "ia.display.flex-repeater",
        "Cards",
        {"path": "Card", "instances": []},
        propConfig={"props.instances": {"binding": prop("view.custom.rows")}},
    )
    stand = Stand({"Home": view(repeater, custom={"rows": []}), "Card": CARD})
    page = await stand.open()

    async def show(*words: str) -> list[tuple[int, str]]:
        rows = [{"item": {"word": word}, "instanceStyle": {"order": 1}} for word in words]
        page._view.tree.write(("custom", "rows"), rows)
        await stand.settle(page.session)
        return [(node["id"], node["props"]["text"]) for node in all_named(page, "Text")]

    first = await show("a", "b")
    second = await show("a", "c", "d")
    assert [text for _, text in second] == ["a", "c", "d"]
    assert [number for number, _ in second][:2] == [number for number, _ in first]
    page.outbox.drain()
    assert [text for _, text in await show("d")] == ["d"]
    before = len(page.session.components)
    await show("e")
    assert len(page.session.components) == before
    assert named(page, "Cards")["children"][0]["instance"]["style"] == {"order": 1}


async def test_only_what_is_new_is_sent() -> None:
    repeater = part(
        "ia.display.flex-repeater",
        "Cards",
        {"path": "Card"},
        propConfig={"props.instances": {"binding": prop("view.custom.rows")}},
    )
    stand = Stand({"Home": view(repeater, custom={"rows": [{"item": {"word": "a"}}]}), "Card": CARD})
    page = await stand.open()
    page.outbox.drain()
    page._view.tree.write(("custom", "rows"), [{"item": {"word": "b"}}, {"item": {"word": "c"}}])
    await stand.settle(page.session)
    children, patch = page.outbox.drain()
    assert [node.get("keep") for node in children["nodes"]] == [True, None]
    assert [entry["v"] for entry in patch["set"]] == ["b"]


async def test_parameters_go_in_and_out() -> None:
    embedded = part(
        "ia.display.view",
        "Inner",
        {"path": "Card", "params": {"item": {"word": "x"}, "out": "ignored", "undeclared": 1}},
    )
    stand = Stand({"Home": view(embedded, label("Out", prop("../Inner.props.params.out"))), "Card": CARD})
    page = await stand.open()
    assert named(page, "Out")["props"]["text"] == "<x>"


async def test_inout_goes_both_ways() -> None:
    inner = view(
        label("Text", prop("view.params.n")),
        params={"n": 0},
        propConfig={"params.n": {"paramDirection": "inout"}},
    )
    embedded = part(
        "ia.display.view",
        "Inner",
        {"path": "In"},
        propConfig={"props.params.n": {"binding": prop("view.custom.n", bidirectional=True)}},
    )
    stand = Stand({"Home": view(embedded, custom={"n": 1}), "In": inner})
    page = await stand.open()
    assert named(page, "Text")["props"]["text"] == 1
    text = page.session.components[named(page, "Text")["id"]]
    await stand.ask(text.view.handle, "set", path="params.n", value=7)
    await stand.settle(page.session)
    assert page._view.tree.get(("custom", "n")) == 7
