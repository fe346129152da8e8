"""Do Perspective scripts on real Jython read and write the properties that they would in a session?"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.perspective_parent import BUTTON, PAGE, SESSION, VIEW, Parent, error, value
from simulator.gateway.scripting import ScriptHost

pytestmark = pytest.mark.asyncio(loop_scope="module")

# reading


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("self.props.text", "Wörter"),
        ("type(self.props.text).__name__", "unicode"),
        ("self.props['text']", "Wörter"),
        ("self.props.data[1].n + self.props.data[0]['n']", 3),
        ("[row.n for row in self.props.data]", [1, 2]),
        ("(len(self.props.data), self.props.data[-1].n)", [2, 2]),
        ("self.props.data[0:1]", [{"n": 1, "tags": ["a"]}]),
        ("self.props.items[0]", "x"),
        ("self.props.none is None", True),
        ("sorted(self.props.keys())", ["data", "items", "none", "text"]),
        ("'text' in self.props and 'nothing' not in self.props", True),
        ("self.props.get('nothing', 3)", 3),
        ("hasattr(self.props, 'nothing') or hasattr(self, 'nothing')", False),
        ("isinstance(self.props.data[0], dict) or isinstance(self.props.data, list)", False),
        ("dict(self.props.data[0])['n']", 1),
        ("self.props.data == [{'n': 1, 'tags': ['a']}, {'n': 2}]", True),
        ("system.util.jsonDecode(system.util.jsonEncode(self.props.data))[1]", {"n": 2}),
        ("self.custom.when.getTime()", 5000),
        ("(self.custom.when, self.custom.big)", [{"date": 5000}, 2**40]),
        ("self.custom.dotted['a.b'].c", 1),
        ("(self.meta.name, self.name, self.position.basis)", ["Approve", "Approve", "40px"]),
        ("self.view.params.item.id", 7),
        ("self.view.custom.n", 1),
        ("self.session.props.auth.user.userName", "anna"),
        ("self.session.custom.selected", ""),
        ("(self.page.props.path, self.page.props.pageId)", ["/commands", "p1"]),
        ("self.page.session == self.session", True),
        ("(self.getSibling('Reject').name, self.getSibling('Nobody'))", ["Reject", None]),
        ("self.parent.name", "Approve"),
        ("self.view.rootContainer == self", True),
        ("self.reload(1, b=2).sum", 3),
    ],
)
async def test_reading(host: ScriptHost, parent: Parent, expression: str, found: Any) -> None:
    assert await value(host, f"return {expression}") == found


@pytest.mark.parametrize(
    ("handle", "expression", "found"),
    [
        (VIEW, "self.params.item.id", 7),
        (VIEW, "self.custom.n", 1),
        (PAGE, "self.props.path", "/commands"),
        (SESSION, "self.props.auth.user.userName", "anna"),
    ],
)
async def test_self_is_what_the_handle_says(
    host: ScriptHost, parent: Parent, handle: dict[str, Any], expression: str, found: Any
) -> None:
    assert await value(host, f"return {expression}", handle) == found


# writing


@pytest.mark.parametrize(
    ("statement", "own", "path", "written"),
    [
        ("self.props.text = 'ü'", "c1", "props.text", "ü"),
        ("self.props['text'] = u'ü'", "c1", "props.text", "ü"),
        ("self.props.data[1].n = 5", "c1", "props.data[1].n", 5),
        ("self.props.data[0].tags[0] = None", "c1", "props.data[0].tags[0]", None),
        ("self.custom.when = system.date.fromMillis(9)", "c1", "custom.when", {"date": 9}),
        ("self.custom.rows = ({'a': 1}, [True])", "c1", "custom.rows", [{"a": 1}, [True]]),
        ("self.custom.dotted['a.b'].c = 4", "c1", "custom.dotted", {"a.b": {"c": 4}}),
        (
            "self.props.data.append({'n': 3})",
            "c1",
            "props.data",
            [{"n": 1, "tags": ["a"]}, {"n": 2}, {"n": 3}],
        ),
        ("self.props.data.pop(0)", "c1", "props.data", [{"n": 2}]),
        ("del self.props.data[0]['tags']", "c1", "props.data[0]", {"n": 1}),
        ("self.view.custom.n = float('nan')", "v1", "custom.n", None),
        ("self.session.custom.selected = self.props.data[1]", "s1", "custom.selected", {"n": 2}),
        ("self.getSibling('Reject').meta.visible = False", "c2", "meta.visible", False),
    ],
)
async def test_writing(
    host: ScriptHost, parent: Parent, statement: str, own: str, path: str, written: Any
) -> None:
    await value(host, statement)
    assert parent.found(own, path) == written


async def test_a_written_part_is_read_back_from_the_same_object(host: ScriptHost, parent: Parent) -> None:
    body = "row = self.props.data[0]\nrow.n = 9\nreturn (row.n, self.props.data[0].n)"
    assert await value(host, body) == [9, 9]


async def test_a_refused_write_changes_nothing(host: ScriptHost, parent: Parent) -> None:
    assert await error(host, "self.props.readOnly = 1") == "props.readOnly is SYSTEM"


async def test_refresh_binding_is_asked_for(host: ScriptHost, parent: Parent) -> None:
    await value(host, "self.refreshBinding('props.data')")
    assert [(ask["op"], ask["path"], ask["handle"]) for ask in parent.asks] == [
        ("refresh", "props.data", BUTTON)
    ]


# arguments of each kind


async def test_a_transform_gets_value_quality_and_timestamp(host: ScriptHost, parent: Parent) -> None:
    body = (
        "return [type(value[0]['n']).__name__, isinstance(value[0], dict), value[0]['at'].getTime(),"
        " quality.isGood(), unicode(quality), timestamp.getTime(), self.name]"
    )
    given: dict[str, Any] = {
        "value": [{"n": "é", "at": {"date": 4}}],
        "quality": ["Bad_Stale", "old"],
        "timestamp": {"date": 7},
    }
    found = await value(host, body, kind="transform", **given)
    assert found == ["unicode", True, 4, False, 'Bad_Stale("old")', 7, "Approve"]


async def test_qualities_come_by_name_text_or_pair(host: ScriptHost, parent: Parent) -> None:
    for given, shown in (
        ("Good", "Good"),
        ('Bad_Stale("old")', 'Bad_Stale("old")'),
        ("Error_OfItsOwn", 'Error("Error_OfItsOwn")'),
    ):
        assert await value(host, "return unicode(quality)", kind="transform", quality=given) == shown


async def test_a_dataset_goes_in_and_out(host: ScriptHost, parent: Parent) -> None:
    table = {"dataset": {"columns": [{"name": "n", "type": "java.lang.Integer"}], "rows": [[1], [2]]}}
    assert await value(host, "return sum(row['n'] for row in value)", value=table) == 3
    assert await value(host, "return value", value=table) == table


async def test_on_change_gets_qualified_values(host: ScriptHost, parent: Parent) -> None:
    before = {"qualified": {"value": 1, "quality": "Good", "timestamp": {"date": 1}}}
    after = {"qualified": {"value": {"a": [1]}, "quality": "Bad_Stale", "timestamp": {"date": 2}}}
    body = (
        "return [previousValue.value, currentValue.value['a'], currentValue.quality.isGood(),"
        " currentValue.timestamp.getTime(), origin, missedEvents]"
    )
    given: dict[str, Any] = {
        "previousValue": before,
        "currentValue": after,
        "origin": "Binding",
        "missedEvents": False,
    }
    assert await value(host, body, kind="onChange", **given) == [1, [1], False, 2, "Binding", False]


async def test_an_event_has_items_and_attributes(host: ScriptHost, parent: Parent) -> None:
    body = "return [event.row, event['value'].n, event.get('x'), hasattr(event, 'x')]"
    assert await value(host, body, event={"row": 3, "value": {"n": 1}}) == [3, 1, None, False]


async def test_a_payload_is_a_plain_dictionary(host: ScriptHost, parent: Parent) -> None:
    body = "return [isinstance(payload, dict), payload['a'], payload.get('b')]"
    assert await value(host, body, kind="message", payload={"a": 1}) == [True, 1, None]


async def test_a_whole_file_defines_its_function_itself(host: ScriptHost, parent: Parent) -> None:
    answer = await host.script(
        kind="message",
        signature="def handleMessage(session, payload)",
        code="def handleMessage(session, payload):\n\tsession.custom.selected = payload['to']\n",
        file="message/Select/handleMessage.py",
        handle=SESSION,
        arguments={"payload": {"to": "U-1"}},
    )
    assert (answer.error, parent.trees["s1"]["custom"]["selected"]) == (None, "U-1")


async def test_the_library_is_there_and_an_empty_body_does_nothing(host: ScriptHost, parent: Parent) -> None:
    assert await value(host, "return probe.double(self.view.custom.n)") == 2
    assert await value(host, "") is None
