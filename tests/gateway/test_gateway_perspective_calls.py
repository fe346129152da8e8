"""Do Perspective scripts reach system.perspective, and hear what they would of their mistakes?"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gateway.perspective_parent import BUTTON, FILE, Parent, error, value
from simulator.gateway.scripting import ScriptHost

pytestmark = pytest.mark.asyncio(loop_scope="module")

# system.perspective


@pytest.mark.parametrize(
    ("call", "op", "arguments"),
    [
        ("sendMessage('m', {'a': 1}, 'view')", "sendMessage",
            {"messageType": "m", "payload": {"a": 1}, "scope": "view"}),
        ("closePopup('why')", "closePopup", {"id": "why"}),
        ("openDock('menu', params={'a': 1})", "openDock", {"id": "menu", "params": {"a": 1}}),
        ("closeDock('menu')", "closeDock", {"id": "menu", "params": {}}),
        ("toggleDock('menu')", "toggleDock", {"id": "menu", "params": {}}),
        ("navigate('/a')", "navigate", {"page": "/a", "url": None, "view": None, "params": {}, "newTab": False}),
        ("print('é')", "print", {"message": "é", "destination": "client"}),
        ("download('a.csv', u'1;é')", "download", {"filename": "a.csv", "data": "1;é", "contentType": None}),
        ("login()", "login", {"forceAuth": False}),
        ("logout()", "logout", {"message": None}),
        ("refresh()", "refreshPage", {}),
    ],
)  # fmt: skip
async def test_system_perspective_asks(
    host: ScriptHost, parent: Parent, call: str, op: str, arguments: dict[str, Any]
) -> None:
    await value(host, f"getattr(system.perspective, '{call.partition('(')[0]}'){call[call.index('(') :]}")
    assert [(ask["op"], ask["arguments"], ask["handle"]) for ask in parent.asks] == [(op, arguments, BUTTON)]


@pytest.mark.parametrize("function", ["openPopup", "togglePopup"])
async def test_popups_carry_every_argument(host: ScriptHost, parent: Parent, function: str) -> None:
    await value(host, f"system.perspective.{function}('why', 'Popups/Why', {{'id': 7}}, modal=True)")
    assert parent.asks[0]["op"] == function
    assert parent.asks[0]["arguments"] == {
        "id": "why",
        "view": "Popups/Why",
        "params": {"id": 7},
        "title": "",
        "position": {},
        "showCloseIcon": True,
        "draggable": True,
        "resizable": False,
        "modal": True,
        "overlayDismiss": False,
        "viewPortBound": False,
    }


async def test_another_session_is_named(host: ScriptHost, parent: Parent) -> None:
    await value(host, "system.perspective.closePopup('x', sessionId='s2', pageId='p9')")
    assert parent.asks[0]["handle"] == {"session": "s2", "page": "p9", "view": None, "component": None}


async def test_authorization_and_session_info_answer(host: ScriptHost, parent: Parent) -> None:
    asked = "system.perspective.isAuthorized(True, ['Authenticated/Roles/%s'])"
    assert await value(host, f"return {asked % 'Operator'}, {asked % 'Engineer'}") == [True, False]
    assert await value(host, "return system.perspective.getSessionInfo()[0].username") == "anna"


async def test_gateway_scope_has_no_session(host: ScriptHost, parent: Parent) -> None:
    found = await host.call("probe.wait", ["x"])
    assert found["error"]
    started = (
        "import java.util.concurrent\nbox = java.util.concurrent.LinkedBlockingQueue()\n"
        "def work():\n\ttry:\n\t\tsystem.perspective.closePopup('x')\n"
        "\texcept java.lang.IllegalStateException as error:\n\t\tbox.put(error.getMessage())\n"
        "system.util.invokeAsynchronous(work)\nreturn box.take()"
    )
    assert "No perspective session attached to this thread" in await value(host, started)


async def test_messages_to_sessions_go_through_the_parent(host: ScriptHost, parent: Parent) -> None:
    await value(host, "system.util.sendMessage('Views', 'changed', {'a': 1}, scope='S')")
    assert [(m["message"], m["payload"], m["scope"]) for m in parent.messages] == [("changed", {"a": 1}, "S")]


async def test_named_queries_know_their_project(host: ScriptHost, parent: Parent) -> None:
    for call in (
        "system.db.runNamedQuery('Every/count', {'n': 4})",
        "system.db.runNamedQuery(path='Every/count', parameters={'n': 4})",
        "system.db.runNamedQuery('Views', 'Every/count', {'n': 4})",
    ):
        assert await value(host, f"return {call}") == 4
    said = await error(host, "system.db.runNamedQuery('Every/count', {'n': 4}, 'tx')")
    assert "the project comes first" in said


# errors


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return self.props.nothing", "AttributeError: 'props' has no key 'nothing'"),
        ("return self.props['nothing']", "KeyError: 'nothing'"),
        ("return self.props.data[0].x", "AttributeError: 'props.data[0]' has no key 'x'"),
        ("return self.props.data[2]", "IndexError: array index 2 out of range, it has 2 items"),
        ("self.typo()", f"AttributeError: 'Component' ({FILE}) has no attribute 'typo'"),
        ("self.props = {}", f"AttributeError: 'Component' ({FILE}): 'props' cannot be assigned"),
        ("self.custom['a.b'] = 1", "KeyError: \"a property is not called 'a.b'"),
        ("self.focus()", f"NotSupported: {FILE}: Component.focus is not supported by the stand-in"),
        ("system.perspective.vibrateDevice(1)", "NotSupported: system.perspective.vibrateDevice is not supported"),
        ("system.perspective.openPopup(7, 'x')", "TypeError: openPopup(): id can't be coerced to String"),
        ("system.perspective.openPopup('x')", "TypeError: openPopup() takes at least 3 arguments"),
        ("system.perspective.sendMessage('x', scope='all')", "system.perspective.sendMessage: scope is page"),
        ("system.perspective.setTheme('dark')", "the gateway failed: ZeroDivisionError: an answerer that breaks"),
        ("return object()", f"TypeError: {FILE}: a property cannot hold a object"),
        ("self.custom.x = [java.lang.Object()]", f"TypeError: {FILE} (custom.x): a property cannot hold a java.lang.O"),
        ("return self", f"TypeError: {FILE}: a property cannot hold a standin.components.Component"),
        ("a = []\na.append(a)\nreturn a", f"TypeError: {FILE}: a value is nested deeper"),
        ("raise ValueError(u'ü')", "ValueError: ü"),
        ("raise java.lang.IllegalStateException('inside')", "inside"),
        ("system.db.runNamedQuery('Every/broken')", 'ERROR: relation "no_such_table" does not exist'),
        ("return (", "SyntaxError: "),
    ],
)  # fmt: skip
async def test_errors_say_what_and_where(
    host: ScriptHost, parent: Parent, caplog: pytest.LogCaptureFixture, body: str, said: str
) -> None:
    with caplog.at_level(logging.ERROR, "script.Perspective.Script"):
        assert (await error(host, f"import java.lang\n{body}")).startswith(said)
    assert FILE in caplog.records[-1].message
    assert caplog.records[-1].name == "script.Perspective.Script"
