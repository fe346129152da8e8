"""A small whole project with one of everything, in which each test breaks one thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.ignition.check import ProjectReport, check_project
from bridge.ignition.named_queries import LAST_MODIFICATION, as_json, generate
from bridge.ignition.resources import TAGS_FILE, read
from bridge.store import queries

ROOT = Path(__file__).resolve().parents[2]
PERSPECTIVE = "com.inductiveautomation.perspective"
VIEW = f"{PERSPECTIVE}/views/Pages/Overview/view.json"
CARD = f"{PERSPECTIVE}/views/Embedded/Card"
PAGES = f"{PERSPECTIVE}/page-config/config.json"
TIMER = "ignition/timer/Watch"
LIBRARY = "ignition/script-python/bridge/desk"
QUERY = "ignition/named-query/Recommendations/getRecommendation"

_SQL = {
    "recommendations/get_recommendation.sql": (
        "-- name: get_recommendation\n-- what: One recommendation.\n"
        "-- param: recommendation_id text, its id\n-- role: bridge_operator\n"
        "select recommendation_id, status from agent_recommendations where recommendation_id = :recommendation_id\n"
    ),
    "recommendations/defer_recommendation.sql": (
        "-- name: defer_recommendation\n-- what: Put one off.\n-- param: recommendation_id text\n"
        "-- param: minutes double precision\n-- param: until timestamptz\n-- param: count integer\n"
        "-- param: big bigint\n-- param: sure boolean\n-- role: bridge_operator\n"
        "update agent_recommendations set defer_until = coalesce(:until, now() + make_interval(mins => :minutes)),\n"
        "    x = cast(:count as integer), y = cast(:big as bigint), z = :sure\n"
        "where recommendation_id = :recommendation_id\n"
    ),
    "recommendations/renew_all.sql": (
        "-- name: renew_all\n-- what: For Python only.\n-- param: ids text[]\n-- role: bridge_operator\n"
        "update agent_recommendations set status = status where recommendation_id = any(:ids)\n"
    ),
}

_DESK = '''# Pure: no system, no Java.
"""What the desk shows."""

import bridge.words
from bridge.words import LIMIT

GET = "Recommendations/getRecommendation"
DEFER = {"minutes": LIMIT}


def load(query, key):
	"""Read one."""
	return query(GET, {"recommendation_id": key})


def defer(query, key):
	return query("Recommendations/deferRecommendation", DEFER)


def shown(value):
	return bridge.words.unit(value)
'''

_WORDS = """LIMIT = 5


def unit(value):
	return u"%s °C" % value
"""

_SIGNALS = [
    {
        "name": "Temperature",
        "tagType": "AtomicTag",
        "valueSource": "opc",
        "dataType": "Float8",
        "opcServer": "Plant",
        "opcItemPath": {"bindType": "parameter", "binding": "nsu=urn:plant;s={Node}/Temperature"},
        "engUnit": "°C",
        "readOnly": True,
        "historyEnabled": True,
        "historyProvider": "Core Historian",
        "alarms": [{"name": "High", "mode": "AboveValue", "setpointA": 90.0, "priority": "High"}],
    },
    {
        "name": "Kelvin",
        "tagType": "AtomicTag",
        "valueSource": "expr",
        "dataType": "Float8",
        "expression": "{[.]Temperature} + 273.15",
        "eventScripts": [
            {"eventid": "valueChanged", "script": "\tif not initialChange:\n\t\tbridge.desk.shown(1)"}
        ],
    },
]

_TAGS: dict[str, Any] = {
    "name": "",
    "tagType": "Provider",
    "tags": [
        {
            "name": "_types_",
            "tagType": "Folder",
            "tags": [
                {
                    "name": "Reactor",
                    "tagType": "UdtType",
                    "parameters": {"Node": {"dataType": "String", "value": ""}},
                    "tags": _SIGNALS,
                }
            ],
        },
        {
            "name": "R1",
            "tagType": "UdtInstance",
            "typeId": "Reactor",
            "parameters": {"Node": {"dataType": "String", "value": "R1"}},
            "tags": [],
        },
    ],
}


def _permissions() -> dict[str, Any]:
    roles = {"name": "Roles", "children": [{"name": "Operator", "children": []}]}
    return {"type": "AllOf", "securityLevels": [{"name": "Authenticated", "children": [roles]}]}


_OVERVIEW: dict[str, Any] = {
    "custom": {"row": {}},
    "params": {"recommendationId": ""},
    "propConfig": {
        "params.recommendationId": {"paramDirection": "input", "persistent": True},
        "custom.row": {
            "persistent": False,
            "binding": {
                "type": "query",
                "config": {
                    "queryPath": "Recommendations/getRecommendation",
                    "returnFormat": "json",
                    "parameters": {"recommendation_id": "{view.params.recommendationId}"},
                    "polling": {"enabled": True, "rate": "5"},
                },
                "transforms": [{"type": "script", "code": "\treturn bridge.desk.shown(value)"}],
            },
            "onChange": {"enabled": None, "script": "\tself.view.custom.row = currentValue.value"},
        },
    },
    "props": {"defaultSize": {"width": 900, "height": 600}},
    "root": {
        "type": "ia.container.flex",
        "meta": {"name": "root"},
        "props": {"direction": "column"},
        "scripts": {
            "customMethods": [{"name": "again", "params": ["force"], "script": "\treturn force"}],
            "extensionFunctions": None,
            "messageHandlers": [
                {"messageType": "changed", "pageScope": True, "script": "\tself.again(payload)"}
            ],
        },
        "children": [
            {
                "type": "ia.display.label",
                "meta": {"name": "Temperature"},
                "propConfig": {
                    "props.text": {
                        "binding": {
                            "type": "tag",
                            "config": {
                                "mode": "direct",
                                "tagPath": "[default]R1/Temperature",
                                "fallbackDelay": 2.5,
                            },
                        }
                    }
                },
            },
            {
                "type": "ia.display.label",
                "meta": {"name": "Anything"},
                "propConfig": {
                    "props.text": {
                        "binding": {
                            "type": "tag",
                            "config": {
                                "mode": "indirect",
                                "tagPath": "[default]{unit}/Kelvin",
                                "references": {"unit": "{view.params.recommendationId}"},
                            },
                        }
                    },
                    "props.style.color": {
                        "binding": {"type": "expr", "config": {"expression": "{[default]R1/Kelvin} > 3"}}
                    },
                },
            },
            {
                "type": "ia.display.view",
                "meta": {"name": "Card"},
                "props": {"path": "Embedded/Card", "params": {"title": "One"}},
            },
            {
                "type": "ia.input.button",
                "meta": {"name": "Approve"},
                "props": {"text": "Approve"},
                "events": {
                    "component": {
                        "onActionPerformed": {
                            "type": "script",
                            "scope": "G",
                            "config": {
                                "script": "\tbridge.desk.load(None, self.view.params.recommendationId)"
                            },
                            "permissions": _permissions(),
                        }
                    },
                    "dom": {
                        "onClick": [
                            {
                                "type": "nav",
                                "scope": "C",
                                "config": {"page": "/unit/{view.params.recommendationId}"},
                            },
                            {
                                "type": "popup",
                                "scope": "C",
                                "config": {
                                    "type": "open",
                                    "id": "card",
                                    "viewPath": "Embedded/Card",
                                    "viewParams": {"title": "Two"},
                                },
                            },
                        ]
                    },
                },
            },
        ],
    },
}

_CARD: dict[str, Any] = {
    "custom": {},
    "params": {"title": ""},
    "props": {},
    "root": {"type": "ia.container.flex", "meta": {"name": "root"}, "props": {}, "children": []},
}


def _meta(scope: str, files: list[str], **attributes: object) -> bytes:
    return as_json(
        {
            "scope": scope,
            "version": 1,
            "restricted": False,
            "overridable": True,
            "files": files,
            "attributes": {**attributes, "lastModification": LAST_MODIFICATION},
        }
    )


def sample_queries(folder: Path) -> list[queries.Query]:
    """Queries of every type, written to a folder and loaded as the bridge loads its own."""
    for name, text in _SQL.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return list(queries.load(folder))


def write_sample(folder: Path, named: list[queries.Query]) -> Path:
    """The whole project with its tag file; the check finds nothing in it."""
    pages = {
        "pages": {
            "/": {"title": "Overview", "viewPath": "Pages/Overview"},
            "/unit/:recommendationId": {"title": "Unit", "viewPath": "Pages/Overview"},
        },
        "sharedDocks": {"left": [{"id": "menu", "viewPath": "Embedded/Card", "show": "visible"}]},
    }
    timer = {"delay": 5000, "fixedDelay": True, "sharedThread": False, "enabled": True}
    files: dict[str, bytes] = {
        "project.json": as_json(
            {"title": "Sample", "description": "", "parent": "", "enabled": True, "inheritable": False}
        ),
        PAGES: as_json(pages),
        f"{PERSPECTIVE}/page-config/resource.json": _meta("G", ["config.json"]),
        VIEW: as_json(_OVERVIEW),
        VIEW.replace("view.json", "resource.json"): _meta("G", ["view.json"]),
        f"{CARD}/view.json": as_json(_CARD),
        f"{CARD}/resource.json": _meta("G", ["view.json"]),
        f"{PERSPECTIVE}/startup/onStartup.py": b"def onStartup(session):\n\tsession.custom.ready = True\n",
        f"{PERSPECTIVE}/startup/resource.json": _meta("G", ["onStartup.py"], enabled=True),
        f"{PERSPECTIVE}/message/changed/handleMessage.py": b"def handleMessage(session, payload):\n\tpass\n",
        f"{PERSPECTIVE}/message/changed/resource.json": _meta(
            "G", ["handleMessage.py"], enabled=True, threadType="Shared"
        ),
        f"{TIMER}/handleTimerEvent.py": b"def handleTimerEvent():\n\tbridge.desk.shown(1)\n",
        f"{TIMER}/resource.json": _meta("G", ["handleTimerEvent.py"], **timer),
        f"{LIBRARY}/code.py": _DESK.encode(),
        f"{LIBRARY}/resource.json": _meta("A", ["code.py"]),
        "ignition/script-python/bridge/words/code.py": _WORDS.encode(),
        "ignition/script-python/bridge/words/resource.json": _meta("A", ["code.py"]),
        TAGS_FILE: as_json(_TAGS),
        **generate(named),
    }
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def look(folder: Path, *, compile_scripts: bool = False, for_81: bool = False) -> ProjectReport:
    """Check a folder with its own tag file; without Jython, which has tests of its own."""
    found = read(folder)
    return check_project(
        found,
        tags=found.files.get(TAGS_FILE),
        tags_file=TAGS_FILE,
        for_81=for_81,
        compile_scripts=compile_scripts,
    )


def edit(file: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file in place."""
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_bytes(as_json(document))


def replace(file: Path, old: str, new: str) -> None:
    """Change a text file in place; the old text must be there."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
