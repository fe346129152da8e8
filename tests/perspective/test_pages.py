"""Do pages navigate, open popups, run actions and refuse what the browser must not do?"""

from __future__ import annotations

import asyncio
import json
import logging
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
    script,
    until,
    view,
)
from simulator.gateway.scripting import Refused

# navigation


async def test_parameters_of_the_path_reach_the_view() -> None:
    unit = view(label("Text", prop("view.params.unitId")), params={"unitId": ""})
    stand = Stand({"Home": view(), "Unit": unit})
    page = await stand.open()
    page.receive({"t": "nav", "path": "/unit/R-7"})
    frames = page.outbox.drain()
    assert frames[0]["t"] == "page"
    assert frames[0]["path"] == "/unit/R-7"
    assert {"t": "nav", "path": "/unit/R-7"} in frames
    assert named(page, "Text")["props"]["text"] == "R-7"
    assert len(page.session.views) == 1, "the view before is gone"


async def test_an_action_navigates_with_what_the_view_knows() -> None:
    nav = {"type": "nav", "scope": "C", "config": {"page": "/unit/{view.custom.id}"}}
    stand = Stand({"Home": view(button("Go", nav), custom={"id": 12}), "Unit": view()})
    page = await stand.open()
    press(page, "Go")
    await stand.settle(page.session)
    assert page.path == "/unit/12"


async def test_docks_stay_when_the_page_changes() -> None:
    pages: Json = {"pages": {"/": {"viewPath": "Home"}, "/b": {"viewPath": "Home"}}}
    pages["sharedDocks"] = {"left": [{"id": "menu", "viewPath": "Menu", "size": 220}]}
    files = {"page-config/config.json": json.dumps(pages).encode()}
    stand = Stand({"Home": view(), "Menu": view(label("Text", prop("page.props.path")))}, files=files)
    page = await stand.open()
    before = frame(page)["docks"][0]
    page.receive({"t": "nav", "path": "/b"})
    await stand.settle(page.session)
    after = frame(page)["docks"][0]
    assert (after["side"], after["size"]) == ("left", 220)
    assert after["node"]["id"] == before["node"]["id"]
    assert named(page, "Text")["props"]["text"] == "/b"


# popups


def popup(**more: Any) -> Json:
    config = {"type": "open", "id": "ask", "viewPath": "Ask", "title": "Sure?", "modal": True, **more}
    return {"type": "popup", "scope": "C", "config": config}


ASK = view(label("Text", expr("'about ' + {view.params.n}")), params={"n": 0})


async def test_a_popup_opens_with_parameters_and_closes() -> None:
    stand = Stand(
        {
            "Home": view(button("Open", popup(viewParams={"n": "{view.custom.n}"})), custom={"n": 3}),
            "Ask": ASK,
        }
    )
    page = await stand.open()
    page.outbox.drain()
    press(page, "Open")
    await stand.settle(page.session)
    opened = page.outbox.drain()[-1]["popup"]
    assert (opened["id"], opened["title"], opened["modal"]) == ("ask", "Sure?", True)
    assert opened["node"]["children"][0]["props"]["text"] == "about 3"
    press(page, "Open")
    await stand.settle(page.session)
    assert len(page.popups) == 1, "one of the same id gives way"
    page.receive({"t": "popup-closed", "id": "ask"})
    assert page.popups == {}
    assert len(page.session.views) == 1


async def test_a_script_opens_and_closes_popups() -> None:
    stand = Stand({"Home": view(), "Ask": ASK})
    page = await stand.open()
    await stand.ask(page.handle, "openPopup", arguments={"id": "a", "view": "Ask", "params": {"n": 5}})
    assert named(page, "Text")["props"]["text"] == "about 5"
    await stand.ask(page.handle, "closePopup", arguments={"id": "a"})
    assert page.outbox.drain()[-1] == {"t": "popup", "do": "close", "id": "a"}


# events are checked


async def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        one.getMessage()
        for one in caplog.records
        if "refused" in one.getMessage() or "not run" in one.getMessage()
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"props": {"enabled": False}}, "is disabled"),
        ({"meta": {"name": "Go", "visible": False}}, "is invisible"),
        ({"position": {"display": False}}, "is not displayed"),
    ],
)
async def test_what_cannot_be_used_does_nothing(
    change: Json, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    stand = Stand({"Home": view({**button("Go", script("go")), **change})})
    page = await stand.open()
    press(page, "Go")
    await stand.settle(page.session)
    assert stand.scripts.ran == []
    assert said in (await refusals(caplog))[0]


async def test_what_is_inside_something_invisible_does_nothing() -> None:
    box = part("ia.display.view", "Box", {"path": "Inner"}, meta={"name": "Box", "visible": False})
    box["meta"] = {"name": "Box", "visible": False}
    stand = Stand({"Home": view(box), "Inner": view(button("Go", script("go")))})
    page = await stand.open()
    press(page, "Go")
    await stand.settle(page.session)
    assert stand.scripts.ran == []


@pytest.mark.parametrize(
    "message",
    [
        {"t": "event", "id": 10**9, "category": "component", "name": "onActionPerformed"},
        {"t": "event", "id": "1", "category": "component", "name": "onActionPerformed"},
        {"t": "event", "id": "GO", "category": "dom", "name": "onClick"},
        {"t": "event", "id": "GO", "category": "system", "name": "onStartup"},
        {"t": "event", "id": "GO", "category": ["x"], "name": {}},
        {"t": "set", "id": "GO", "path": "props.enabled", "value": True},
        {"t": "set", "id": "GO", "path": "custom.x", "value": True},
        {"t": "set", "id": "GO", "path": None},
        {"t": "set", "id": "FIELD", "path": "props.enabled", "value": False},
        {"t": "set", "id": "FIELD", "path": "props.text", "value": {"a": 1}},
        {"t": "set", "id": "CHOICE", "path": "props.value", "value": "c"},
        {"t": "nav", "path": 7},
        {"t": "eval", "code": "1"},
        {"t": ["x"]},
        {},
    ],
)
async def test_the_browser_is_not_believed(message: Json, caplog: pytest.LogCaptureFixture) -> None:
    home = view(
        button("GO", script("go"), events={"system": {"onStartup": script("start")}}),
        part("ia.input.text-field", "FIELD", {"text": "before"}),
        part("ia.input.dropdown", "CHOICE", {"value": "a", "options": [{"value": "a"}, {"value": "b"}]}),
    )
    stand = Stand({"Home": home})
    page = await stand.open()
    before, ran = frame(page), len(stand.scripts.ran)
    if message.get("id") in ("GO", "FIELD", "CHOICE"):
        message = {**message, "id": named(page, message["id"])["id"]}
    page.receive(message)
    await stand.settle(page.session)
    assert len(stand.scripts.ran) == ran
    assert frame(page) == before
    assert any("refused" in one.getMessage() for one in caplog.records)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"props": {"text": "before", "enabled": False}}, "is disabled"),
        ({"meta": {"name": "Field", "visible": False}}, "is invisible"),
    ],
)
async def test_what_cannot_be_used_is_not_typed_into(
    change: Json, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    field = {**part("ia.input.text-field", "Field", {"text": "before"}), **change}
    page = await Stand({"Home": view(field)}).open()
    page.receive({"t": "set", "id": named(page, "Field")["id"], "path": "props.text", "value": "x"})
    assert named(page, "Field")["props"]["text"] == "before"
    assert said in (await refusals(caplog))[0]


async def test_another_sessions_component_is_out_of_reach() -> None:
    stand = Stand({"Home": view(button("Go", script("go")))})
    page, other = await stand.open(), await stand.open()
    number = named(page, "Go")["id"] + 1000
    other.session.components[number] = page.session.components[named(page, "Go")["id"]]
    other.receive({"t": "event", "id": number, "category": "component", "name": "onActionPerformed"})
    await stand.settle(other.session)
    assert stand.scripts.ran == []


async def test_events_of_a_page_run_one_after_the_other() -> None:
    stand = Stand({"Home": view(button("Go", script("go")))})
    running: list[str] = []

    async def go(event: Json) -> None:
        running.append("begins")
        await asyncio.sleep(0.02)
        running.append("ends")

    stand.scripts.scripts["go"] = go
    page = await stand.open()
    for _ in range(3):
        press(page, "Go")
    await stand.settle(page.session)
    assert running == ["begins", "ends"] * 3


# permissions


@pytest.mark.parametrize(("user", "ran"), [(None, 0), ("viewer", 0), ("operator", 1), ("engineer", 1)])
async def test_an_action_needs_its_level(
    user: str | None, ran: int, caplog: pytest.LogCaptureFixture
) -> None:
    stand = Stand({"Home": view(button("Go", {**script("go"), "permissions": OPERATOR_ONLY}))})
    page = await stand.open(user=user)
    press(page, "Go")
    await stand.settle(page.session)
    assert len(stand.scripts.ran) == ran
    assert bool([one for one in await refusals(caplog) if "lacks the permission" in one]) is not bool(ran)


async def test_permissions_that_cannot_be_read_let_in_nobody() -> None:
    stand = Stand({"Home": view(button("Go", {**script("go"), "permissions": "Operator"}))})
    page = await stand.open(user="engineer")
    press(page, "Go")
    await stand.settle(page.session)
    assert stand.scripts.ran == []


async def test_a_view_shows_nothing_to_who_may_not_see_it() -> None:
    stand = Stand({"Home": view(label("Secret"), permissions=OPERATOR_ONLY)})
    page = await stand.open(user="viewer")
    assert "Secret" not in json.dumps(frame(page))
    assert "not authorised" in json.dumps(frame(page))
    page = await stand.open(user="operator")
    assert named(page, "Secret")["red"] is None


async def test_is_authorized_follows_login_and_logout() -> None:
    level = "Authenticated/Roles/Operator"
    stand = Stand(
        {"Home": view(label("Text", expr(f"isAuthorized(true, '{level}') + ' ' + hasRole('Operator')")))}
    )
    page = await stand.open()
    assert named(page, "Text")["props"]["text"] == "false false"
    user = stand.preview.users.check("operator", "operator")
    assert user is not None
    cookie = page.session.cookie
    page.session.renew(user)
    await stand.settle(page.session)
    assert named(page, "Text")["props"]["text"] == "true true"
    assert stand.preview.session(cookie) is None, "the cookie of before the login is worth nothing"
    asked = {"isAllOf": True, "securityLevels": [level]}
    assert await stand.ask(page.handle, "isAuthorized", arguments=asked) is True
    page.session.logout()
    await stand.settle(page.session)
    assert named(page, "Text")["props"]["text"] == "false false"


def test_a_wrong_password_is_nobody() -> None:
    from simulator.gateway.perspective.security import DEMO_USERS, Users

    users = Users(DEMO_USERS)
    assert users.check("operator", "engineer") is None
    assert users.check("nobody", "") is None
    assert users.check("viewer", "viewer") is not None


# messages and methods


async def test_messages_reach_their_scope_only() -> None:
    def hearing(name: str, **scopes: bool) -> Json:
        handler = {"messageType": "hello", "script": f"\t{name}", **scopes}
        return label(name, scripts={"customMethods": [], "messageHandlers": [handler]})

    home = view(
        hearing("page", pageScope=True),
        hearing("session", sessionScope=True),
        hearing("view", viewScope=True),
    )
    stand = Stand({"Home": home})
    page = await stand.open()
    second = page.session.open_page("/", {})
    second.attach()
    for scope, expected in (("page", ["page"]), ("session", ["session"] * 2), ("view", ["view"])):
        stand.scripts.ran.clear()
        sender = page.session.components[named(page, "page")["id"]]
        arguments = {"messageType": "hello", "payload": {"a": 1}, "scope": scope}
        await stand.ask(sender.handle, "sendMessage", arguments=arguments)
        await stand.settle(page.session)
        assert stand.scripts.codes() == expected
        assert stand.scripts.ran[0]["arguments"] == {"payload": {"a": 1}}


async def test_a_custom_method_is_called_by_name() -> None:
    method = {"name": "add", "params": ["a", "b"], "script": "\tadd"}
    stand = Stand({"Home": view(label("Text", scripts={"customMethods": [method], "messageHandlers": []}))})
    stand.scripts.scripts["add"] = lambda a, b: a + b
    page = await stand.open()
    handle = page.session.components[named(page, "Text")["id"]].handle
    assert await stand.ask(handle, "methods") == ["add"]
    assert await stand.ask(handle, "method", name="add", arguments=[1], keywords={"b": 2}) == 3
    with pytest.raises(Refused, match=r"add\(\) takes \(a, b\)"):
        await stand.ask(handle, "method", name="add", arguments=[1, 2, 3], keywords={})


@pytest.mark.parametrize(
    ("path", "said"),
    [("custom.nobody", "is not declared"), ("nowhere.x", "there is no nowhere"), ("props", "as a whole")],
)
async def test_scripts_write_what_exists(path: str, said: str) -> None:
    stand = Stand({"Home": view(label("Text"))})
    page = await stand.open()
    handle = page.session.components[named(page, "Text")["id"]].handle
    with pytest.raises(Refused, match=said):
        await stand.ask(handle, "set", path=path, value=1)
    with pytest.raises(Refused, match="cannot be written"):
        await stand.ask(page.session.handle, "set", path="props.auth.user.userName", value="boss")


# slow browsers, lost browsers, ended sessions


async def test_a_slow_browser_gets_each_property_once() -> None:
    binding = {"type": "tag", "config": {"mode": "direct", "tagPath": "[default]T"}}
    stand = Stand({"Home": view(label("Text", binding))}, memory("T", 0.0))
    page = await stand.open()
    page.outbox.drain()
    for number in range(500):
        await stand.store.write([("[default]T", float(number))])
        page.session.engine.settle()
        page.outbox.say({"t": "print", "text": str(number)})
    patch, *prints = page.outbox.drain()
    assert [(entry["k"], entry["v"]) for entry in patch["set"]] == [("props.text", 499.0)]
    assert len(prints) == 200
    assert page.outbox.drain() == []


async def test_a_page_comes_back_to_its_browser() -> None:
    stand = Stand({"Home": view(label("Text"), custom={"n": 1})})
    page = await stand.open()
    page.detach(page.attach())
    assert page.session.page_for({"t": "hello", "path": "/", "page": page.id}) is page
    assert page.session.page_for({"t": "hello", "path": "/"}) is not page


async def test_a_page_and_its_session_end_when_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.gateway.perspective.pages.LINGER_S", 0.05)
    monkeypatch.setattr("simulator.gateway.perspective.sessions.LINGER_S", 0.05)
    files = {"shutdown/onShutdown.py": b"def onShutdown(session):\n\tgoodbye\n"}
    stand = Stand({"Home": view(events={"system": {"onShutdown": script("view over")}})}, files=files)
    page = await stand.open()
    page.detach(page.attach())
    await until(lambda: len(stand.scripts.codes()) >= 2 and not stand.preview.sessions)
    assert not page.alive
    assert page.session.closed
    assert stand.preview.sessions == {}
    assert stand.scripts.codes() == ["view over", "def onShutdown(session):\n\tgoodbye"]


async def test_an_expired_session_changes_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stand = Stand({"Home": view(button("Go", script("go")))})
    page, other = await stand.open(user="operator"), await stand.open(user="engineer")
    number = named(page, "Go")["id"]
    assert stand.preview.expire("operator") == 1
    page.receive({"t": "event", "id": number, "category": "component", "name": "onActionPerformed"})
    await asyncio.sleep(0.05)
    assert stand.scripts.ran == []
    assert page.outbox.drain()[-1]["t"] == "closed"
    assert not other.session.closed
    assert [one["username"] for one in stand.preview.told()] == ["engineer"]


async def test_everything_is_let_go_at_the_end() -> None:
    stand = Stand({"Home": view(label("Text", expr("{[default]T} + now(50)"))), "Ask": ASK}, memory("T", 1.0))
    page = await stand.open()
    page.close()
    assert page.session.components == {}
    assert page.session.views == {}
    assert stand.preview.tags._watchers == {}
    assert nodes([]) == []
    await stand.preview.close()
