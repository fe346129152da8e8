"""Do pages, connections and scripts end in any order, and leave nothing behind?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from perspective.perspective_stand import (
    Json,
    Stand,
    button,
    expr,
    frame,
    label,
    memory,
    named,
    part,
    press,
    prop,
    query,
    script,
    until,
    view,
)
from simulator.gateway.perspective.outbox import Frame
from simulator.gateway.perspective.pages import Page
from simulator.gateway.perspective.polling import SharedQuery
from simulator.gateway.scripting import Refused

ASK = view(label("Text", expr("'about ' + {view.params.n}")), params={"n": 0})


# connections


async def test_a_connection_that_was_replaced_takes_nothing_from_the_new_one() -> None:
    page = await Stand({"Home": view(label("Text"))}).open()
    first = page.attach()
    page.outbox.drain()
    waiting = asyncio.create_task(page.take(first))
    await asyncio.sleep(0.01)
    second = page.attach()  # before the first has noticed that its wire is cut
    frames = await asyncio.wait_for(page.take(second), 1)
    assert frames is not None
    assert [one["t"] for one in frames] == ["page"]
    assert await asyncio.wait_for(waiting, 1) is None


async def test_a_popup_opened_anew_is_told_as_another(caplog: pytest.LogCaptureFixture) -> None:
    page = await Stand({"Home": view(), "Ask": ASK}).open()
    page.open_popup("a", {"viewPath": "Ask"}, "test")
    page.outbox.drain()
    page.open_popup("a", {"viewPath": "Ask", "viewParams": {"n": 2}}, "test")
    assert [(one["t"], one["do"]) for one in page.outbox.drain()] == [("popup", "close"), ("popup", "open")]
    page.open_popup("a", {"viewPath": "Ask", "viewParams": {"n": 3}}, "test")
    page.reload()
    page.open_popup("a", {"viewPath": "Ask", "viewParams": {"n": 4}}, "test")
    frames = page.outbox.drain()
    assert [one["t"] for one in frames] == ["page"], "what was before the page would close the popup on it"
    assert [one["id"] for one in frames[0]["popups"]] == ["a"]


async def test_a_page_too_many_says_so_to_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.gateway.perspective.sessions.PAGE_LIMIT", 2)
    page = await Stand({"Home": view()}).open()
    others = [page.session.open_page("/", {}) for _ in range(2)]
    assert not page.alive
    assert page.outbox.drain()[-1]["t"] == "closed"
    assert list(page.session.pages.values()) == others


# scripts that end after what they belong to


async def test_on_shutdown_still_reads_what_it_belongs_to() -> None:
    inner = label("Inner", custom={"n": 2})
    inner["events"] = {"system": {"onShutdown": script("inner")}}
    home = view(inner, custom={"n": 1}, events={"system": {"onShutdown": script("over")}})
    stand = Stand({"Home": home, "Unit": view()})
    page = await stand.open()
    read: list[Any] = []

    async def over(event: Json) -> None:
        await asyncio.sleep(0.01)
        handle = stand.scripts.ran[-1]["handle"]
        read.append(await stand.ask(handle, "get", path="custom.n"))
        read.append(await stand.ask(page.handle, "get", path="props.pageId"))

    stand.scripts.scripts.update(over=over, inner=over)
    page.go(page="/unit/1", place="test")
    await until(lambda: len(read) >= 4)
    assert read == [2, page.id, 1, page.id]
    page.go(page="/", place="test")
    page.close()
    page.session.end("over")
    await until(lambda: len(read) >= 8 and not (stand.preview.sessions or page.session.departed))
    assert read == [2, page.id, 1, page.id] * 2
    assert page.session.components == {}
    assert page.session.views == {}
    assert page.session.departed == {}
    assert stand.preview.sessions == {}


async def test_what_is_leaving_hears_no_messages_and_takes_no_presses() -> None:
    handler = {"messageType": "hello", "script": "\thello", "pageScope": True}
    go = button("Go", script("go"), scripts={"customMethods": [], "messageHandlers": [handler]})
    home = view(go, events={"system": {"onShutdown": script("over")}})
    stand = Stand({"Home": home, "Unit": view()})
    gate = asyncio.Event()
    stand.scripts.scripts["over"] = lambda event: gate.wait()
    page = await stand.open()
    number = named(page, "Go")["id"]
    page.go(page="/unit/1", place="test")
    page.receive({"t": "event", "id": number, "category": "component", "name": "onActionPerformed"})
    await stand.ask(page.handle, "sendMessage", arguments={"messageType": "hello", "scope": "page"})
    await stand.settle(page.session)
    assert stand.scripts.codes() == ["over"]
    gate.set()
    await stand.settle(page.session)
    assert number not in page.session.components


async def test_a_script_that_outlives_its_page_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    nav = {"type": "nav", "scope": "C", "config": {"page": "/unit/1"}}
    popup = {"type": "popup", "scope": "C", "config": {"id": "a", "viewPath": "Ask"}}
    stand = Stand(
        {
            "Home": view(button("Go", script("slow"), nav, popup, {"type": "refresh"})),
            "Ask": ASK,
            "Unit": view(),
        }
    )
    gate = asyncio.Event()
    stand.scripts.scripts["slow"] = lambda event: gate.wait()
    page = await stand.open()
    other = page.session.open_page("/", {})
    press(page, "Go")
    await asyncio.sleep(0.01)
    page.close()
    gate.set()
    await stand.settle(page.session)
    assert {one.page for one in page.session.views.values()} == {other}
    assert "not done, the page has ended" in caplog.text


async def test_an_event_that_fails_is_not_the_end_of_those_behind_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stand = Stand({"Home": view(button("Go", script("go")), button("Fall", script("fall")))})

    def fall(event: Json) -> None:
        raise LookupError("our own mistake")

    stand.scripts.scripts["fall"] = fall
    page = await stand.open()
    press(page, "Fall")
    press(page, "Go")
    await stand.settle(page.session)
    assert stand.scripts.codes() == ["fall", "go"]
    assert any(one.exc_info for one in caplog.records)


async def test_a_query_that_fails_by_our_own_mistake_is_seen(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stand = Stand({"Home": view(label("Text", query("Q/rows", None)))})
    nothing: dict[int, Json] = {}
    stand.scripts.queries["Q/rows"] = lambda parameters: [nothing[1]]
    page = await stand.open()
    assert named(page, "Text")["quality"].startswith("Bad_Failure")
    assert any(one.exc_info for one in caplog.records)


# nothing is left behind


def shared(stand: Stand) -> list[SharedQuery]:
    return list(stand.preview.poller._shared.values())


async def test_200_pages_leave_nothing_behind() -> None:
    rows = [{"n": number} for number in range(3)]
    cards = part("ia.display.flex-repeater", "Cards", {"path": "Card"})
    cards["propConfig"] = {"props.instances": {"binding": query("Q/rows", "1")}}
    tag = {"type": "tag", "config": {"mode": "direct", "tagPath": "[default]T"}}
    home = view(
        cards,
        label("Tag", tag),
        label("User", expr("{session.props.auth.user.userName} + now(60) + isAuthorized(true, 'Public')")),
        label("Page", prop("page.props.path")),
        events={"system": {"onShutdown": script("over")}},
    )
    card = view(label("N", expr("{view.params.n} + {[default]T}")), params={"n": 0})
    stand = Stand({"Home": home, "Card": card, "Ask": ASK}, memory("T", 1.0))
    stand.scripts.queries["Q/rows"] = lambda parameters: rows
    keeper = await stand.open()
    session = keeper.session

    def counted() -> list[int]:
        return [
            len(session.components),
            len(session.views),
            len(session.pages),
            sum(map(len, session.tree._watchers.values())),
            sum(map(len, stand.preview.tags._watchers.values())),
            sum(len(one.watchers) for one in shared(stand)),
            len(shared(stand)),
            sum(map(len, session.engine._clocks.values())),
            len(session.departed),
        ]

    before = counted()
    for number in range(200):
        page = session.open_page("/", {})
        connection = page.attach()
        page.open_popup("a", {"viewPath": "Ask"}, "test")
        if number % 10 == 0:
            await stand.settle(session)
            page.outbox.drain()
        page.detach(connection)
        page.close()
    await stand.settle(session)
    await asyncio.sleep(0.05)
    assert counted() == before
    assert all(timer is None or timer.cancelled() for timer in [page._timer])
    session.end("over")
    await asyncio.sleep(0.05)
    assert stand.preview.tags._watchers == {}
    assert shared(stand) == []
    assert stand.preview.sessions == {}
    assert session.components == {}
    assert not stand.preview._tasks


async def test_what_has_gone_does_not_wait_in_the_outbox() -> None:
    cards = part("ia.display.flex-repeater", "Cards", {"path": "Card"})
    cards["propConfig"] = {"props.instances": {"binding": prop("view.custom.rows")}}
    home = view(cards, custom={"rows": []})
    card = view(label("N", prop("view.params.n")), params={"n": 0})
    page = await Stand({"Home": home, "Card": card}).open()
    frame(page)
    tree = page.session.components[named(page, "Cards")["id"]].view.tree
    for number in range(100):
        tree.write(("custom", "rows"), [{"n": number}] * (number % 2))
        page.session.engine.settle()
    assert len(page.outbox._dirty) + len(page.outbox._children) < 5


# what is ignored is said, once


async def test_what_the_preview_leaves_out_it_says_once(caplog: pytest.LogCaptureFixture) -> None:
    inner = part("ia.display.view", "Inner", {"path": "Ask", "params": {"n": 1, "m": 2}})
    stand = Stand({"Home": view(inner), "Ask": ASK})
    page = await stand.open()
    for _ in range(2):
        page.reload()
        page.open_popup("a", {"viewPath": "Ask", "resizable": True}, "Home/Open")
    said = [one.getMessage() for one in caplog.records]
    assert len([one for one in said if "root/Inner: view 'Ask' has no parameter 'm'" in one]) == 1
    assert said.count("Home/Open: popup 'a': the preview ignores resizable") == 1
    assert len(said) == 2


async def test_a_dock_gets_its_parameters(caplog: pytest.LogCaptureFixture) -> None:
    pages: Json = {"pages": {"/": {"viewPath": "Home"}}}
    pages["sharedDocks"] = {"left": [{"id": "menu", "viewPath": "Ask", "show": "onDemand"}]}
    order = {"type": "dock", "scope": "C", "config": {"type": "open", "id": "menu", "params": {"n": 7}}}
    files = {"page-config/config.json": json.dumps(pages).encode()}
    stand = Stand({"Home": view(button("Go", order)), "Ask": ASK}, files=files)
    page = await stand.open()
    page.outbox.drain()
    press(page, "Go")
    await stand.settle(page.session)
    assert {"t": "dock", "id": "menu", "do": "open"} in page.outbox.drain()
    assert named(page, "Text")["props"]["text"] == "about 7"
    await stand.ask(page.handle, "toggleDock", arguments={"id": "menu", "params": {"n": 8}})
    await stand.settle(page.session)
    assert named(page, "Text")["props"]["text"] == "about 8"
    page.outbox.drain()
    await stand.ask(page.handle, "openDock", arguments={"id": "none", "params": {}})
    assert page.outbox.drain() == []
    assert "open of dock 'none'" in caplog.text
    with pytest.raises(Refused, match="alterDock is not supported"):
        await stand.ask(page.handle, "alterDock", arguments={"id": "menu"})


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"page": "/unit/A B"}, {"url": "/data/perspective/client/Probe/unit/A%20B"}),
        ({"url": "https://x.example/"}, {"url": "https://x.example/"}),
        ({"view": "Ask"}, None),
        ({"url": "javascript:x"}, None),
        ({"url": "http://[bad"}, None),
    ],
)
async def test_a_new_tab(config: Json, told: Json | None, caplog: pytest.LogCaptureFixture) -> None:
    nav = {"type": "nav", "scope": "C", "config": {**config, "newTab": True}}
    page = await Stand({"Home": view(button("Go", nav)), "Ask": ASK}).open()
    page.outbox.drain()
    press(page, "Go")
    await page.session.engine.idle()
    frames: list[Frame] = [one for one in page.outbox.drain() if one["t"] != "page"]
    assert frames == ([{"t": "goto", "newTab": True, **told}] if told else [])
    assert page.path == "/"
    assert ("refused" in caplog.text) is (told is None)


async def test_access_keeps_the_browser_out() -> None:
    def field(name: str, access: str) -> Json:
        return part("ia.input.text-field", name, {"text": "x"}, propConfig={"props.text": {"access": access}})

    fields = [field(name.title(), name) for name in ("PUBLIC", "PROTECTED", "PRIVATE", "SYSTEM")]
    page: Page = await Stand({"Home": view(*fields)}).open()
    shown = {name: named(page, name)["props"].get("text") for name in ("Public", "Protected", "Private")}
    assert shown == {"Public": "x", "Protected": "x", "Private": None}
    for name in ("Public", "Protected", "Private", "System"):
        page.receive({"t": "set", "id": named(page, name)["id"], "path": "props.text", "value": "typed"})
    components = page.session.components.values()
    texts = {one.name: one.tree.get(("props", "text")) for one in components if one.name != "root"}
    assert texts == {"Public": "typed", "Protected": "x", "Private": "x", "System": "x"}
    private = next(one for one in components if one.name == "Private")
    page.outbox.drain()
    private.tree.write(("props", "text"), "secret")
    assert "secret" not in json.dumps(page.outbox.drain())
