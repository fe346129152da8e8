"""The tags of an Ignition export, with every UDT instance spelt out into plain tags.

What the stand-in cannot do with a tag is an error by name, so that nothing looks as if it worked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DATA_TYPES: Final = (
    "Int1",
    "Int2",
    "Int4",
    "Int8",
    "Float4",
    "Float8",
    "Boolean",
    "String",
    "Text",
    "DateTime",
)
SOURCES: Final = ("memory", "opc", "expr", "reference")
_SIZE_LIMIT: Final = 64 * 1024 * 1024
_DEPTH_LIMIT: Final = 40
_PARAMETER = re.compile(r"\{([A-Za-z_][\w ]*)\}")
_MUST_BE: Final = {"engLimitMode": "No_Clamp", "scaleMode": "Off"}
"""Properties that change values on their way; only the setting that changes nothing is supported."""


class TagFileError(Exception):
    """The tag file cannot be used. ``problems`` say where and why."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__(f"{path}: " + "\n  ".join(["the tags cannot be used", *problems]))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Tag:
    """One tag of the provider. ``path`` has the provider in front: ``[default]REACTOR_02/Temperature``."""

    path: str
    source: str
    data_type: str
    value: Any
    read_only: bool
    restricted: bool
    """writePermissions name a security level; scripts are not stopped by it, OPC UA clients are."""
    enabled: bool
    tag_group: str
    opc_server: str
    opc_item_path: str
    expression: str
    reference: str
    execution_rate_ms: int | None
    eng_unit: str
    eng_low: float | None
    eng_high: float | None
    alarms: int
    history: bool


Node = Mapping[str, Any]


def read_tags(path: Path, *, provider: str = "default") -> dict[str, Tag]:
    """All tags by path. Raises ``TagFileError`` with everything that is wrong."""
    try:
        if path.stat().st_size > _SIZE_LIMIT:
            raise TagFileError(path, [f"larger than {_SIZE_LIMIT >> 20} MB"])
        tree = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TagFileError(path, [f"cannot be read: {error.strerror or error}"]) from error
    except (ValueError, RecursionError) as error:
        raise TagFileError(path, [f"is not a JSON tag export: {error}"]) from error
    return _Reader(path, provider).read(tree)


class _Reader:
    def __init__(self, path: Path, provider: str) -> None:
        self._path = path
        self._provider = provider
        self._problems: list[str] = []
        self._types: dict[str, Node] = {}

    def read(self, tree: Any) -> dict[str, Tag]:
        if not isinstance(tree, dict) or not isinstance(tree.get("tags"), list):
            raise TagFileError(self._path, ["an object with a list 'tags' was expected"])
        roots = tree["tags"] if tree.get("tagType", "Provider") == "Provider" else [tree]
        for node in self._nodes(roots, "the file"):
            if node["name"] == "_types_":
                self._collect_types(node, "")
        found: dict[str, Tag] = {}
        rest = [node for node in self._nodes(roots, "the file") if node["name"] != "_types_"]
        for tag in self._tags(rest, f"[{self._provider}]", {}, 0):
            if tag.path in found:
                self._problem(tag.path, "there are two tags of this name")
            found[tag.path] = tag
        if self._problems:
            raise TagFileError(self._path, sorted(set(self._problems)))
        return found

    def _collect_types(self, folder: Node, prefix: str) -> None:
        for node in self._nodes(folder.get("tags", []), f"_types_/{prefix}"):
            name = prefix + node["name"]
            if node.get("tagType") == "Folder":
                self._collect_types(node, f"{name}/")
            elif node.get("tagType") == "UdtType":
                self._types[name] = node
            else:
                self._problem(f"_types_/{name}", f"a UdtType was expected, found {node.get('tagType')!r}")

    def _tags(self, nodes: list[Node], base: str, parameters: dict[str, Any], depth: int) -> Iterator[Tag]:
        if depth > _DEPTH_LIMIT:
            self._problem(base, f"folders and types lie more than {_DEPTH_LIMIT} deep")
            return
        for node in nodes:
            path = base + node["name"]
            known = {**parameters, "TagName": node["name"], "PathToTag": path}
            match node.get("tagType"):
                case "AtomicTag":
                    tag = self._atomic(node, path, known)
                    if tag is not None:
                        yield tag
                case "Folder":
                    yield from self._tags(
                        self._nodes(node.get("tags", []), path), f"{path}/", parameters, depth + 1
                    )
                case "UdtInstance":
                    yield from self._instance(node, path, base, parameters, depth)
                case other:
                    self._problem(path, f"tagType {other!r} is not known here")

    def _instance(self, node: Node, path: str, base: str, outer: dict[str, Any], depth: int) -> Iterator[Tag]:
        try:
            members, declared = self._type(str(node.get("typeId", "")), ())
        except _Unusable as error:
            self._problem(path, str(error))
            return
        own = {**declared, **_objects(node.get("parameters"))}
        parameters: dict[str, Any] = {
            "ParentInstanceName": outer.get("InstanceName", ""),
            "RootInstanceName": outer.get("RootInstanceName", node["name"]),
            "InstanceName": node["name"],
            "PathToParentFolder": base.rstrip("/"),
        }
        for name, parameter in own.items():
            value = parameter.get("value") if isinstance(parameter, dict) else None
            if not isinstance(parameter, dict):
                self._problem(
                    path, f"parameter {name}: dataType and value were expected; a bare value is lost"
                )
            parameters[name] = self._filled(value, {**outer, "InstanceName": node["name"]}, path)
        overridden = _merged(members, self._nodes(node.get("tags", []), path))
        yield from self._tags(overridden, f"{path}/", parameters, depth + 1)

    def _type(self, name: str, seen: tuple[str, ...]) -> tuple[list[Node], dict[str, Any]]:
        """Members and parameters of a type with those of the type it extends, and of nobody twice."""
        if name in seen:
            raise _Unusable(f"the types go round in a circle: {' -> '.join((*seen, name))}")
        if name not in self._types:
            raise _Unusable(f"typeId {name!r} is not under _types_")
        node = self._types[name]
        members, parameters = (
            self._type(str(node["typeId"]), (*seen, name)) if node.get("typeId") else ([], {})
        )
        for member in self._nodes(node.get("tags", []), f"_types_/{name}"):
            if member.get("tagType") == "UdtInstance" and member.get("typeId"):
                self._type(str(member["typeId"]), (*seen, name))
        return (
            _merged(members, self._nodes(node.get("tags", []), f"_types_/{name}")),
            {**parameters, **_objects(node.get("parameters"))},
        )

    def _atomic(self, node: Node, path: str, parameters: dict[str, Any]) -> Tag | None:
        def text(key: str, default: str = "") -> str:
            value = self._filled(node.get(key, default), parameters, path)
            return default if value is None else str(value)

        source, data_type = node.get("valueSource", "memory"), text("dataType", "Int4")
        problems = [
            f"{key} {node[key]!r} is not supported by the stand-in"
            for key, harmless in _MUST_BE.items()
            if node.get(key, harmless) != harmless
        ]
        if node.get("eventScripts"):
            problems.append("event scripts of tags are not supported by the stand-in")
        if source not in SOURCES:
            problems.append(f"valueSource {source!r} is not supported by the stand-in")
        if data_type not in DATA_TYPES:
            problems.append(f"dataType {data_type!r} is not supported by the stand-in")
        needed = {"opc": "opcItemPath", "expr": "expression", "reference": "sourceTagPath"}.get(str(source))
        if needed is not None and not node.get(needed):
            problems.append(f"a tag of source {source} needs {needed}")
        for problem in problems:
            self._problem(path, problem)
        if problems:
            return None
        rate = node.get("executionRate", 1000) if node.get("executionMode") == "FixedRate" else None
        permissions = node.get("writePermissions")
        return Tag(
            path=path,
            source=str(source),
            data_type=data_type,
            value=self._filled(node.get("value"), parameters, path),
            read_only=node.get("readOnly") is True,
            restricted=bool(isinstance(permissions, dict) and permissions.get("securityLevels")),
            enabled=node.get("enabled", True) is True,
            tag_group=text("tagGroup", "Default"),
            opc_server=text("opcServer"),
            opc_item_path=text("opcItemPath"),
            expression=self._expression(str(node.get("expression", "")), parameters),
            reference=text("sourceTagPath"),
            execution_rate_ms=rate,
            eng_unit=text("engUnit"),
            eng_low=self._filled(node.get("engLow"), parameters, path),
            eng_high=self._filled(node.get("engHigh"), parameters, path),
            alarms=len(node.get("alarms") or ()),
            history=node.get("historyEnabled") is True,
        )

    def _filled(self, value: Any, parameters: dict[str, Any], path: str) -> Any:
        """A property's value; one that is bound gets its parameters filled in."""
        if not isinstance(value, dict) or "bindType" not in value:
            return value
        if value["bindType"] != "parameter":
            self._problem(path, f"a property bound by {value['bindType']!r} is not supported by the stand-in")
            return None
        binding = str(value.get("binding", ""))
        whole = _PARAMETER.fullmatch(binding)
        if whole and whole[1] in parameters:
            return parameters[whole[1]]

        def fill(match: re.Match[str]) -> str:
            if match[1] not in parameters:
                self._problem(path, f"there is no parameter {match[1]!r} for {binding!r}")
            return str(parameters.get(match[1], ""))

        return _PARAMETER.sub(fill, binding)

    @staticmethod
    def _expression(expression: str, parameters: dict[str, Any]) -> str:
        """Parameters inside a tag reference are pasted; alone they become literals; in quotes they stay."""

        def outside(text: str) -> str:
            def reference(match: re.Match[str]) -> str:
                inner = match[1]
                if inner in parameters:
                    value = parameters[inner]
                    return json.dumps(value) if isinstance(value, str) else str(value)
                return "{" + _PARAMETER.sub(lambda one: str(parameters.get(one[1], one[0])), inner) + "}"

            return re.sub(r"\{((?:[^{}]|\{[^{}]*\})*)\}", reference, text)

        parts = re.split(r"""("[^"]*"|'[^']*')""", expression)
        return "".join(part if number % 2 else outside(part) for number, part in enumerate(parts))

    def _nodes(self, nodes: Any, where: str) -> list[Node]:
        if not isinstance(nodes, list):
            self._problem(where, "'tags' is a list")
            return []
        good: list[Node] = [
            node for node in nodes if isinstance(node, dict) and str(node.get("name", "")).strip()
        ]
        if len(good) != len(nodes):
            self._problem(where, "holds a tag without a name")
        return good

    def _problem(self, place: str, text: str) -> None:
        self._problems.append(f"{place}: {text}")


class _Unusable(Exception):
    """A type that cannot be spelt out."""


def _objects(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _merged(members: list[Node], overrides: list[Node]) -> list[Node]:
    """The type's members with the instance's changed keys laid over them; folders and instances go deeper."""
    by_name = {node["name"]: node for node in members}
    for override in overrides:
        member = by_name.get(override["name"])
        if member is None:
            by_name[override["name"]] = override
            continue
        merged = {**member, **override}
        if isinstance(member.get("tags"), list) and isinstance(override.get("tags"), list):
            merged["tags"] = _merged(member["tags"], override["tags"])
        if isinstance(member.get("parameters"), dict) and isinstance(override.get("parameters"), dict):
            merged["parameters"] = {**member["parameters"], **override["parameters"]}
        by_name[override["name"]] = merged
    return list(by_name.values())
