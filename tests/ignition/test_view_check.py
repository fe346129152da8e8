"""Broken views: each has exactly the expected finding, with its place and its mend; a whole one has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_project import (
    CARD,
    LIBRARY,
    PAGES,
    PERSPECTIVE,
    VIEW,
    edit,
    look,
    replace,
    sample_queries,
    write_sample,
)

from bridge.ignition.named_queries import LAST_MODIFICATION, as_json

Change = Callable[[Any], object]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The whole sample, with a dock, a style class and a message that is handled."""
    project = write_sample(tmp_path / "project", sample_queries(tmp_path / "sql"))
    replace(project / LIBRARY / "code.py", "def defer(", SENDER + "def defer(")
    style = project / PERSPECTIVE / "style-classes" / "Card" / "Alarm"
    style.mkdir(parents=True)
    (style / "style.json").write_bytes(as_json({"base": {"style": {"color": "red"}}}))
    (style / "resource.json").write_bytes(
        as_json(
            {
                "scope": "G",
                "version": 1,
                "restricted": False,
                "overridable": True,
                "files": ["style.json"],
                "attributes": {"lastModification": LAST_MODIFICATION},
            }
        )
    )
    return project


SENDER = 'def tell():\n\tsystem.perspective.sendMessage("changed", payload={}, scope="page")\n\n\n'


def child(document: Any, name: str) -> Any:
    """One component of the overview."""
    return next(item for item in document["root"]["children"] if item["meta"]["name"] == name)


def bound(name: str, binding: object, target: str = "props.text") -> Change:
    """Bind a property of one component."""
    return lambda d: child(d, name).setdefault("propConfig", {}).update({target: {"binding": binding}})


def expression(text: str) -> Change:
    """Bind the label's text to an expression."""
    return bound("Temperature", {"type": "expr", "config": {"expression": text}})


def transformed(transform: object) -> Change:
    """Put one transform behind the label's binding."""
    return lambda d: child(d, "Temperature")["propConfig"]["props.text"]["binding"].update(
        transforms=[transform]
    )


def props(name: str, **values: object) -> Change:
    """Set properties of one component."""
    return lambda d: child(d, name).setdefault("props", {}).update(values)


def acted(action: object) -> Change:
    """Let the button do this."""
    return lambda d: child(d, "Approve")["events"]["component"].update(onActionPerformed=action)


def script(text: str) -> Change:
    """Let the button run this."""
    return acted({"type": "script", "scope": "G", "config": {"script": f"\t{text}"}})


def permitted(permissions: object) -> Change:
    """Change who may press the button."""
    return lambda d: child(d, "Approve")["events"]["component"]["onActionPerformed"].update(
        permissions=permissions
    )


def query(**values: object) -> Change:
    """Change the query binding of the overview."""
    return lambda d: d["propConfig"]["custom.row"]["binding"]["config"].update(values)


TEXT = "root.children[Temperature].propConfig.props.text.binding"
PRESS = "root.children[Approve].events.component.onActionPerformed"

ERRORS: dict[str, tuple[Change, str, str, str]] = {
    # what, place, mend
    "component type": (
        lambda d: child(d, "Temperature").update(type="ia.display.lable", props={}, propConfig={}),
        "root.children[Temperature].type",
        "no component type 'ia.display.lable'",
        "ia.display.label",
    ),
    "property": (
        props("Card", parms={}),
        "root.children[Card].props.parms",
        "ia.display.view has no property 'parms'",
        "params",
    ),
    "bound property": (
        bound("Approve", {"type": "expr", "config": {"expression": "1"}}, "props.txt"),
        "root.children[Approve].propConfig.props.txt",
        "no property 'txt'",
        "text",
    ),
    "target of a binding": (
        bound("Approve", {"type": "expr", "config": {"expression": "1"}}, "prop.text"),
        "root.children[Approve].propConfig.prop.text",
        "'prop.text' is no property",
        "props.",
    ),
    "direction": (
        lambda d: d["propConfig"]["params.recommendationId"].update(paramDirection="in"),
        "propConfig.params.recommendationId.paramDirection",
        "no direction 'in'",
        "inout",
    ),
    "binding type": (
        bound("Temperature", {"type": "expression", "config": {"expression": "1"}}),
        f"{TEXT}.type",
        "no binding of type 'expression'",
        "expr",
    ),
    "transform type": (transformed({"type": "mapping"}), f"{TEXT}.transforms[0].type", "'mapping'", "map"),
    "map input": (
        transformed({"type": "map", "inputType": "value", "outputType": "scalar", "mappings": []}),
        f"{TEXT}.transforms[0].inputType",
        "no inputType 'value'",
        "scalar",
    ),
    "style class of a map": (
        transformed({"type": "map", "outputType": "style-list", "fallback": "Card/Alram", "mappings": []}),
        f"{TEXT}.transforms[0].fallback",
        "no style class 'Card/Alram'",
        "Card/Alarm",
    ),
    "format": (
        transformed({"type": "format", "formatType": "number"}),
        f"{TEXT}.transforms[0].formatType",
        "no format 'number'",
        "numeric",
    ),
    "expression in a transform": (
        transformed({"type": "expression", "expression": "{value} *"}),
        f"{TEXT}.transforms[0].expression",
        "did not expect 'the end'",
        "correct it",
    ),
    "expression": (expression("if(1 = 1, 'a'"), f"{TEXT}.config.expression", "expected ')'", "correct it"),
    "function": (
        expression("dateFromat(now(), 'yyyy')"),
        f"{TEXT}.config.expression",
        "no function dateFromat()",
        "",
    ),
    "arguments": (
        expression("round()"),
        f"{TEXT}.config.expression",
        "round() takes 1 to 2 arguments, found 0",
        "",
    ),
    "view parameter": (
        expression("{view.params.id}"),
        f"{TEXT}.config.expression",
        "the view has no params.id",
        "recommendationId",
    ),
    "view custom": (
        expression("{view.custom.rows[0].x}"),
        f"{TEXT}.config.expression",
        "no custom.rows",
        "row",
    ),
    "own custom": (expression("{this.custom.n}"), f"{TEXT}.config.expression", "no custom.n", "declare it"),
    "session custom": (
        expression("{session.custom.n}"),
        f"{TEXT}.config.expression",
        "the session has no custom.n",
        "",
    ),
    "sibling": (expression("{../Crad.props.path}"), f"{TEXT}.config.expression", "holds no 'Crad'", "Card"),
    "property of a sibling": (
        expression("{../Approve.props.label}"),
        f"{TEXT}.config.expression",
        "has no props.label",
        "text",
    ),
    "child": (expression("{./Inner.props.text}"), f"{TEXT}.config.expression", "holds no 'Inner'", "none"),
    "absolute": (
        expression("{/root/A/B.props.text}"),
        f"{TEXT}.config.expression",
        "root holds no 'A'",
        "Approve",
    ),
    "no reference": (
        expression("{views.custom.row}"),
        f"{TEXT}.config.expression",
        "is no reference",
        "view.custom",
    ),
    "part of the session": (
        expression("{session.meta.n}"),
        f"{TEXT}.config.expression",
        "is no reference",
        "session.props",
    ),
    "property binding": (
        bound("Temperature", {"type": "property", "config": {"path": "view.custom.rwo"}}),
        f"{TEXT}.config.path",
        "no custom.rwo",
        "row",
    ),
    "structure": (
        bound("Temperature", {"type": "expr-struct", "config": {"struct": {"a": {"b": "1 +"}}}}),
        f"{TEXT}.config.struct.a.b",
        "is no expression",
        "correct it",
    ),
    "bidirectional expression": (
        bound("Temperature", {"type": "expr", "config": {"expression": "1", "bidirectional": True}}),
        f"{TEXT}.config.bidirectional",
        "cannot write back",
        "property or a tag",
    ),
    "name in a tag path": (
        bound(
            "Temperature",
            {
                "type": "tag",
                "config": {"mode": "indirect", "tagPath": "[default]{u}/Kelvin", "references": {}},
            },
        ),
        f"{TEXT}.config.references",
        "{u}, which is no reference",
        "add u",
    ),
    "poll rate": (
        query(polling={"enabled": True, "rate": 5}),
        "propConfig.custom.row.binding.config.polling.rate",
        "wanted a text, found 5",
        "seconds",
    ),
    "poll rate of nothing": (
        query(polling={"enabled": True, "rate": "0"}),
        "propConfig.custom.row.binding.config.polling.rate",
        "never",
        "seconds",
    ),
    "return format": (
        query(returnFormat="rows"),
        "propConfig.custom.row.binding.config.returnFormat",
        "no format 'rows'",
        "json",
    ),
    "icon": (
        props("Approve", image={"icon": {"path": "home"}}),
        "root.children[Approve].props.image.icon.path",
        "'home' is no icon",
        "material/home",
    ),
    "style class": (
        props("Approve", style={"classes": "Card/Alarm Card/Aalrm"}),
        "root.children[Approve].props.style.classes",
        "no style class 'Card/Aalrm'",
        "Card/Alarm",
    ),
    "parameter of an instance": (
        lambda d: d["root"]["children"].append(
            {
                "type": "ia.display.flex-repeater",
                "meta": {"name": "Cards"},
                "props": {"path": "Embedded/Card", "instances": [{"titel": 1, "instanceStyle": {}}]},
            }
        ),
        "root.children[Cards].props.instances[0].titel",
        "no parameter 'titel'",
        "title",
    ),
    "category of events": (
        lambda d: child(d, "Approve")["events"].update(mouse={}),
        "root.children[Approve].events.mouse",
        "no category of events 'mouse'",
        "dom",
    ),
    "event": (
        lambda d: child(d, "Card").update(events={"component": {"onActionPerformed": []}}),
        "root.children[Card].events.component.onActionPerformed",
        "no component event 'onActionPerformed'",
        "none",
    ),
    "dom event": (
        lambda d: child(d, "Card").update(events={"dom": {"onclick": []}}),
        "root.children[Card].events.dom.onclick",
        "no dom event 'onclick'",
        "onClick",
    ),
    "action type": (acted({"type": "navigate", "scope": "C"}), f"{PRESS}.type", "'navigate'", "nav"),
    "dock of an action": (
        acted({"type": "dock", "scope": "C", "config": {"type": "toggle", "id": "manu"}}),
        f"{PRESS}.config.id",
        "no dock 'manu'",
        "menu",
    ),
    "reference in an action": (
        acted({"type": "nav", "scope": "C", "config": {"page": "/unit/{view.params.unit}"}}),
        f"{PRESS}.config.page",
        "no params.unit",
        "recommendationId",
    ),
    "dock of a script": (script("system.perspective.toggleDock('manu')"), PRESS, "no dock 'manu'", "menu"),
    "function of the platform": (
        script("system.perspective.opnPopup('card', 'Embedded/Card')"),
        PRESS,
        "no system.perspective.opnPopup",
        "openPopup",
    ),
    "package of the platform": (script("system.tags.readBlocking([])"), PRESS, "no system.tags", "tag"),
    "popup of a script": (
        script("system.perspective.openPopup('a', 'Embedded/Crad')"),
        PRESS,
        "no view",
        "Card",
    ),
    "query of a script": (
        script("system.db.runNamedQuery('Recommendations/getAll', {})"),
        PRESS,
        "getAll",
        "",
    ),
    "kind of permissions": (
        permitted({"type": "All", "securityLevels": []}),
        f"{PRESS}.permissions.type",
        "found 'All'",
        "AllOf",
    ),
    "levels": (
        permitted({"type": "AllOf", "securityLevels": "Authenticated/Roles/Operator"}),
        f"{PRESS}.permissions.securityLevels",
        "wanted a list",
        "tree",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_broken_view_has_exactly_its_finding(project: Path, case: str) -> None:
    change, place, what, mend = ERRORS[case]
    edit(project / VIEW, lambda document: (change(document), None)[1])
    (finding,) = look(project).findings
    assert finding.file == VIEW
    assert finding.place.startswith(place), finding
    assert what in finding.what, finding
    assert mend in finding.mend, finding


NOTES: dict[str, tuple[Change, str, str]] = {
    "type that is not drawn": (
        lambda d: child(d, "Card").update(type="ia.display.image", props={"source": "x"}),
        "root.children[Card].type",
        "does not draw ia.display.image",
    ),
    "property that is not drawn": (
        props("Temperature", wrap=True),
        "root.children[Temperature].props.wrap",
        "the preview knows no wrap",
    ),
    "column that is not drawn": (
        lambda d: child(d, "Card").update(
            type="ia.display.table", props={"columns": [{"field": "a"}, {"field": "b", "render": "view"}]}
        ),
        "root.children[Card].props.columns[1].render",
        "the preview does not draw 'view'",
    ),
    "access to a part of a property": (
        lambda d: child(d, "Temperature")["propConfig"].update({"props.style.color": {"access": "PRIVATE"}}),
        "root.children[Temperature].propConfig.props.style.color.access",
        "hides whole properties only",
    ),
    "order that is not carried out": (
        acted({"type": "popup", "scope": "C", "config": {"type": "alter", "id": "a"}}),
        "root.children[Approve].events",
        "the preview knows no popup 'alter'",
    ),
    "binding that is not drawn": (
        bound("Temperature", {"type": "tag-history", "config": {}}),
        f"{TEXT}.type",
        "no tag-history binding",
    ),
    "function that is not computed": (
        expression("stringFormat('%s', 1)"),
        f"{TEXT}.config.expression",
        "the preview has no function stringFormat()",
    ),
    "operator that is not computed": (
        expression("{view.custom.row} like 'a%'"),
        f"{TEXT}.config.expression",
        "no operator 'like'",
    ),
    "icon that is not drawn": (
        props("Approve", image={"icon": {"path": "material/pets"}}),
        "root.children[Approve].props.image.icon.path",
        "no icon material/pets",
    ),
    "level of the docs": (
        permitted(
            {
                "type": "AnyOf",
                "securityLevels": [
                    {
                        "name": "Authenticated",
                        "children": [{"name": "Roles", "children": [{"name": "Operater"}]}],
                    }
                ],
            }
        ),
        f"{PRESS}.permissions.securityLevels[0].children[0].children[0]",
        "'Authenticated/Roles/Operater'",
    ),
    "level in an expression": (
        expression("isAuthorized(true, 'Authenticated/Roles/Operater')"),
        f"{TEXT}.config.expression",
        "'Authenticated/Roles/Operater'",
    ),
    "poll rate in milliseconds": (
        query(polling={"enabled": True, "rate": "2000"}),
        "propConfig.custom.row.binding.config.polling.rate",
        "every 2000 s",
    ),
    "message that nobody handles": (
        script("system.perspective.sendMessage('chnaged')"),
        PRESS,
        "'chnaged', which no component handles",
    ),
    "message that nobody sends": (
        lambda d: d["root"]["scripts"]["messageHandlers"].append({"messageType": "told", "script": "\tpass"}),
        "root.scripts.messageHandlers[1]",
        "'told', which nothing in this project sends",
    ),
    "session message": (
        script("system.util.sendMessage('ignition-bridge', 'chnaged', {}, scope='S')"),
        PRESS,
        "'chnaged', which no handler",
    ),
    "popup that nobody opens": (
        script("system.perspective.closePopup('crad')"),
        PRESS,
        "closes the popup 'crad'",
    ),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_only_the_preview_misses_is_a_note(project: Path, case: str) -> None:
    change, place, what = NOTES[case]
    edit(project / VIEW, lambda document: (change(document), None)[1])
    report = look(project)
    assert report.findings == ()
    (note,) = report.notes
    assert (note.file, note.place.startswith(place), what in note.what) == (VIEW, True, True), note


GOOD = (
    "{this.props.text} + {this.meta.name} + {this.position.basis}",
    "{../Card.props.params.title} + {/root/Card.props.path} + {/root.props.direction} + {parent.props.direction}",
    "{session.props.auth.user.userName} + {page.props.path} + {view.props.defaultSize.width}",
    "if(isGood({[default]R1/Kelvin}), {view.custom.row}['status'], 'x')",
    "isAuthorized(true, 'Authenticated/Roles/Engineer')",
)


@pytest.mark.parametrize("text", GOOD)
def test_what_leads_somewhere_is_left_alone(project: Path, text: str) -> None:
    edit(project / VIEW, lambda document: (expression(text)(document), None)[1])
    report = look(project)
    assert (report.findings, report.notes) == ((), ())


def test_other_vendors_components_are_theirs(project: Path) -> None:
    change = {"type": "embr.chart.chart-js", "props": {"options": {}}}
    edit(project / VIEW, lambda document: child(document, "Card").update(change))
    report = look(project)
    assert report.findings == ()
    assert [note.what for note in report.notes] == ["the preview does not draw embr.chart.chart-js"]


def test_a_page_tells_only_what_its_view_declares(project: Path) -> None:
    edit(project / PAGES, lambda d: d["pages"].update({"/x/:unit": {"viewPath": "Pages/Overview"}}))
    (finding,) = look(project).findings
    assert (finding.place, finding.what) == (
        "pages./x/:unit",
        "the view Pages/Overview has no parameter 'unit', so the page does not tell it",
    )


def test_a_dock_gives_only_what_its_view_declares(project: Path) -> None:
    edit(project / PAGES, lambda d: d["sharedDocks"]["left"][0].update(viewParams={"titel": 1}))
    (finding,) = look(project).findings
    assert finding.place == "sharedDocks.left[0].viewParams.titel"


def test_session_custom_is_declared_in_the_session_props(project: Path) -> None:
    edit(project / VIEW, lambda document: (expression("{session.custom.n}")(document), None)[1])
    folder = project / PERSPECTIVE / "session-props"
    folder.mkdir()
    (folder / "props.json").write_bytes(as_json({"custom": {"n": 0}, "props": {}}))
    assert [finding.place for finding in look(project).findings] == ["resource.json"]


def test_a_stylesheet_closes_what_it_opens_and_its_classes_count(project: Path) -> None:
    folder = project / PERSPECTIVE / "stylesheet"
    folder.mkdir()
    sheet = folder / "stylesheet.css"
    sheet.write_text('.psc-Folder\\/Note { content: "}"; }\n')
    edit(project / VIEW, lambda d: (props("Approve", style={"classes": "Folder/Note"})(d), None)[1])
    assert [finding.place for finding in look(project).findings] == ["resource.json"]
    sheet.write_text(".psc-Folder\\/Note { color: red; }\n}\n")
    assert ("line 2", "closes a brace that is not open") in [
        (finding.place, finding.what) for finding in look(project).findings
    ]


def test_a_handler_of_83_has_the_signature_that_the_gateway_calls(project: Path) -> None:
    file = f"{PERSPECTIVE}/message/changed/handleMessage.py"
    replace(project / file, "(session, payload)", "(payload)")
    (finding,) = look(project).findings
    assert (finding.file, finding.what) == (
        file,
        "wanted 'def handleMessage(session, payload):', found 'def handleMessage(payload):'",
    )


def test_the_card_declares_what_its_page_binds(project: Path) -> None:
    edit(project / f"{CARD}/view.json", lambda d: d.update(params={}, propConfig={"params.title": {}}))
    assert look(project).findings == ()
