"""Do the tags that are imported fit the plant, the bridge's configuration and the scripts?"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.domain.tag import DataType
from bridge.ignition import tag_map
from bridge.plant import Plant
from bridge.publish.nodes import NAMESPACE, NodeType, nodes
from bridge.publish.state import View

PROJECT = Path(__file__).parent.parent.parent / "ignition_project"
Tag = dict[str, Any]

IGNITION_TYPES = {
    DataType.DOUBLE: "Float8",
    DataType.FLOAT: "Float4",
    DataType.BOOLEAN: "Boolean",
    DataType.INT32: "Int4",
}
PUBLISHED_TYPES = {
    NodeType.BOOLEAN: "Boolean",
    NodeType.INT64: "Int8",
    NodeType.DOUBLE: "Float8",
    NodeType.STRING: "String",
    NodeType.DATE_TIME: "DateTime",
}


@pytest.fixture(scope="module")
def provider() -> Tag:
    found = json.loads((PROJECT / "tags" / "tags.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def types(provider: Tag) -> dict[str, Tag]:
    (folder,) = (tag for tag in provider["tags"] if tag["name"] == "_types_")
    return {tag["name"]: tag for tag in folder["tags"]}


def _leaves(
    tags: list[Tag], types: dict[str, Tag], place: str = "", given: dict[str, str] | None = None
) -> Iterator[tuple[str, Tag, dict[str, str]]]:
    """Every atomic tag of the provider by its path, with the parameters of its instance."""
    for tag in tags:
        path = f"{place}/{tag['name']}".lstrip("/")
        if tag["tagType"] == "UdtInstance":
            kind = types[tag["typeId"]]
            parameters = {
                name: entry["value"] for name, entry in {**kind["parameters"], **tag["parameters"]}.items()
            }
            yield from _leaves(kind["tags"], types, path, parameters)
        elif tag["tagType"] == "AtomicTag":
            yield path, tag, given or {}
        elif tag["tagType"] == "Folder" and tag["name"] != "_types_":
            yield from _leaves(tag["tags"], types, path, given)


@pytest.fixture(scope="module")
def tags(provider: Tag, types: dict[str, Tag]) -> dict[str, tuple[Tag, dict[str, str]]]:
    return {f"[default]{path}": (tag, given) for path, tag, given in _leaves(provider["tags"], types)}


def test_every_configured_tag_is_imported_with_its_type_and_unit(
    plant: Plant, tags: dict[str, tuple[Tag, dict[str, str]]]
) -> None:
    """What bridge.example.toml names must exist on the gateway, at the same address of the same server."""
    for configured in plant.tags.values():
        tag, given = tags[configured.path]
        assert tag["dataType"] == IGNITION_TYPES[configured.data_type], configured.path
        assert tag.get("engUnit", "") == configured.unit, configured.path
        address = tag["opcItemPath"]["binding"].format(**given)
        assert address == f"nsu=urn:ignition-bridge:plant;{configured.address}", configured.path


def test_what_may_be_written_has_a_range_and_a_role_and_nothing_else_may(
    plant: Plant, tags: dict[str, tuple[Tag, dict[str, str]]]
) -> None:
    """Measured tags are read-only, set-points want the role Operator."""
    writable = {tag.path: tag for tag in plant.writable}
    for path, (tag, _) in tags.items():
        if tag["valueSource"] != "opc":
            continue
        setpoint = path.endswith(("Setpoint", "CoolingOn"))
        assert tag.get("readOnly", False) is not setpoint, path
        assert ("writePermissions" in tag) is setpoint, path
        limits = writable[path].limits if path in writable else None
        if limits is not None and tag["dataType"] != "Boolean":
            assert (tag["engLow"], tag["engHigh"]) == (limits.low, limits.high), path


def test_the_scripts_write_exactly_the_agents_tags(tags: dict[str, tuple[Tag, dict[str, str]]]) -> None:
    """Every tag that watchAgent writes must exist as a memory tag, and no memory tag may stay unwritten."""
    library = PROJECT / "ignition" / "script-python" / "bridge"
    config = (library / "config" / "code.py").read_text(encoding="utf-8")
    folder = re.search(r'^AGENT_FOLDER = "(.+)"$', config, re.MULTILINE)
    assert folder is not None
    wording = ast.parse((library / "wording" / "code.py").read_text(encoding="utf-8"))
    (watched,) = (n for n in wording.body if isinstance(n, ast.FunctionDef) and n.name == "watched")
    written = {
        key.value for node in ast.walk(watched) if isinstance(node, ast.Dict)
        for key in node.keys if isinstance(key, ast.Constant)
    } | {"LookedAt"}  # fmt: skip
    there = {path.rsplit("/", 1)[1] for path, (tag, _) in tags.items()
             if path.startswith(folder[1] + "/") and tag["valueSource"] == "memory"}  # fmt: skip
    assert written == there


def test_the_alarms_that_people_rely_on_exist(types: dict[str, Tag]) -> None:
    """Agent offline, command unknown, critical recommendation waiting, and nobody watching at all."""
    alarms = {
        alarm["name"]: (tag["name"], alarm["mode"], alarm.get("setpointA"), alarm["priority"])
        for tag in types["BridgeAgent"]["tags"]
        for alarm in tag.get("alarms", ())
    }
    assert alarms == {
        "Agent offline": ("Online", "WhenFalse", None, "High"),
        # AboveValue was seen active at equality, so a count is compared with one half.
        "Critical recommendation waiting": ("CriticalWaiting", "AboveValue", 0.5, "Critical"),
        "Command unknown": ("CommandsUnknown", "AboveValue", 0.5, "Critical"),
        "Agent not watched": ("LookedAgoS", "AboveValue", 30.0, "High"),
    }


def _bound(value: object, given: dict[str, str]) -> str:
    return str(value["binding"]).format(**given) if isinstance(value, dict) else str(value)


def test_every_published_node_is_a_tag_of_the_same_path_and_type(
    plant: Plant, tags: dict[str, tuple[Tag, dict[str, str]]]
) -> None:
    """Below `Bridge Agent` stands exactly what the bridge's OPC UA server publishes for the demo plant."""
    published = nodes(View(agent_id="any", equipment=tuple(plant.equipment)))
    start = "[default]Bridge Agent/"
    imported = {path.removeprefix(start): of for path, of in tags.items() if path.startswith(start)}
    assert imported.keys() == published.keys()
    assert NAMESPACE == tag_map.OWN_NAMESPACE
    for path, (tag, given) in imported.items():
        node = published[path]
        assert tag["dataType"] == PUBLISHED_TYPES[node.type], path
        assert tag.get("engUnit", "") == node.unit, path
        assert _bound(tag["opcItemPath"], given) == f"nsu={NAMESPACE};s={path}", path
        assert _bound(tag["opcServer"], given) == "LakebaseAgent", path
        assert tag["readOnly"] is True, path


def test_history_names_its_provider(types: dict[str, Tag]) -> None:
    """A history flag without a provider records nothing and says so nowhere."""
    for kind in types.values():
        for _, tag, _ in _leaves(kind["tags"], types):
            assert tag.get("historyEnabled", False) == ("historyProvider" in tag), tag["name"]
