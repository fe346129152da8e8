"""An Ignition tag file (JSON export) resolved to plain tags: folders, UDTs, inheritance, parameters, overrides.

Nothing is guessed: what cannot be resolved is `Unresolved` with its reason, and every doubt is a finding
that names the tag. Only a file that cannot be read at all is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.errors import TagFileBroken
from bridge.ignition.finding import Finding
from bridge.ignition.json_values import as_list, is_one_of

Node = dict[str, Any]

LARGEST_BYTES = 400 * 1024 * 1024
TYPES_FOLDER = "_types_"

_TAG_TYPES = frozenset({"AtomicTag", "Folder", "UdtInstance", "UdtType", "Provider"})
_HOLE = re.compile(r"\{([^{}]*)\}")
_FORMATTED = re.compile(
    r"^(?P<name>.*?)(?:\s*(?P<sign>[+-])\s*(?P<offset>\d+))?(?:\s*\|\s*(?P<pattern>0+|#*0*))?$"
)
_GATEWAY_ONLY = frozenset({"PathToParentFolder", "PathToTag"})
_DEEPEST = 60  # levels of folders and nested UDTs; a browser of tags gives up long before


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A property whose value only a gateway knows, or that refers to what does not exist."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedTag:
    """One atomic tag with the properties that are in force.

    path, owner: without provider. owner: the outermost UDT instance that it belongs to, else its folder
    (empty at the root). type_id: of that instance, empty for a folder.
    """

    path: str
    owner: str
    type_id: str
    properties: Mapping[str, Any]

    @property
    def source(self) -> str:
        """opc, memory, expr, derived, reference or db; memory is what an export leaves out."""
        return str(self.properties.get("valueSource", "memory"))


@dataclass(kw_only=True)
class TagTree:
    """What a tag file says. `folders` holds folders and instances; paths have no provider."""

    provider: str
    tags: list[ResolvedTag] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)


def read_tag_file(file: Path) -> Any:
    """Parse a tag file. Raises TagFileBroken when it is too large, not UTF-8 or not JSON."""
    try:
        size = file.stat().st_size
        if size > LARGEST_BYTES:
            raise TagFileBroken(
                f"{file}: {size // 1024**2} MB; wanted at most {LARGEST_BYTES // 1024**2} MB: export folder by folder"
            )
        content = file.read_bytes()
    except OSError as problem:
        raise TagFileBroken(f"{file}: cannot be read: {problem.strerror}") from problem
    return parse_tags(content, str(file))


def parse_tags(content: bytes, file: str) -> Any:
    """Parse the bytes of a tag file; a byte order mark is let pass, since a Windows editor may have set it."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as problem:
        raise TagFileBroken(f"{file}: not UTF-8; export the tags as JSON from the Designer") from problem
    except json.JSONDecodeError as problem:
        advice = "; an XML export is of Ignition 7, export as JSON" if content.lstrip()[:1] == b"<" else ""
        raise TagFileBroken(
            f"{file}: line {problem.lineno}: not valid JSON: {problem.msg}{advice}"
        ) from problem
    except RecursionError as problem:
        raise TagFileBroken(f"{file}: nested too deeply to be a tag export") from problem


def resolve(document: Any, *, file: str, provider: str = "default") -> TagTree:
    """Resolve a parsed tag file: a provider, a branch, or `{"tags": […]}` as the REST API takes it."""
    if not isinstance(document, dict):
        raise TagFileBroken(f"{file}: wanted an object with tags, found {type(document).__name__}")
    wrapper = document.get("tagType", "Provider")
    if wrapper == "Provider":
        roots = document.get("tags")
        if not isinstance(roots, list):
            raise TagFileBroken(
                f'{file}: wanted {{"tagType": "Provider", "tags": […]}}, found no list of tags'
            )
    elif is_one_of(wrapper, _TAG_TYPES):
        roots = [document]
    else:
        raise TagFileBroken(f"{file}: unknown tagType {wrapper!r} at the top; this is not a tag export")
    return _Resolver(file, provider).run(roots)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """Parameters in force, and the names that Ignition gives by itself. Empty outside of a UDT."""

    parameters: Mapping[str, Any]
    instance: str = ""
    parent: str = ""
    root: str = ""


_NOWHERE = _Scope(parameters={})


class _Resolver:
    def __init__(self, file: str, provider: str) -> None:
        self._file = file
        self._tree = TagTree(provider=provider)
        self._types: dict[str, Node] = {}
        self._whole: dict[str, Node | None] = {}

    def run(self, roots: Sequence[Any]) -> TagTree:
        for root in roots:
            if isinstance(root, dict) and root.get("name") == TYPES_FOLDER:
                self._learn(root, "")
            elif isinstance(root, dict) and root.get("tagType") == "UdtType":
                self._types[str(root.get("name")).lower()] = root
        for node in self._children({"tags": list(roots)}, ""):
            if node.get("name") != TYPES_FOLDER and node.get("tagType") != "UdtType":
                self._place(node, "", owner="", type_id="", scope=_NOWHERE, inside=())
        return self._tree

    def _doubt(self, place: str, what: str, mend: str) -> None:
        self._tree.findings.append(Finding(file=self._file, place=place, what=what, mend=mend))

    def _learn(self, folder: Node, below: str) -> None:
        for node in self._children(folder, f"{TYPES_FOLDER}/{below}".rstrip("/")):
            path = f"{below}/{node['name']}".lstrip("/")
            if node.get("tagType") == "UdtType":
                self._types[path.lower()] = node
            elif node.get("tagType") == "Folder":
                self._learn(node, path)
            else:
                self._doubt(
                    f"{TYPES_FOLDER}/{path}",
                    f"is a {node.get('tagType')} among the types",
                    "move it out of _types_",
                )

    def _children(self, node: Node, path: str) -> Iterator[Node]:
        """The named children; what has no name, or a sibling's name, is told and left out."""
        listed = node.get("tags", [])
        if not isinstance(listed, list):
            self._doubt(path, "its tags are not a list", "export again")
            return
        seen: set[str] = set()
        for child in listed:
            name = child.get("name") if isinstance(child, dict) else None
            if not isinstance(name, str) or not name or "/" in name:
                self._doubt(path, f"holds a tag without a usable name ({name!r})", "name it")
            elif name.lower() in seen:
                self._doubt(
                    f"{path}/{name}".lstrip("/"), "stands twice beside each other", "give one another name"
                )
            else:
                seen.add(name.lower())
                yield child

    def _place(
        self, node: Node, above: str, *, owner: str, type_id: str, scope: _Scope, inside: tuple[str, ...]
    ) -> None:
        path = f"{above}/{node['name']}".lstrip("/")
        kind = node.get("tagType", "AtomicTag" if "tags" not in node else "Folder")
        if path.count("/") > _DEEPEST:
            self._doubt(path, f"lies more than {_DEEPEST} levels deep", "flatten the folders")
        elif kind == "AtomicTag":
            self._tree.tags.append(
                ResolvedTag(
                    path=path,
                    owner=owner or above,
                    type_id=type_id,
                    properties=self._properties(node, path, scope),
                )
            )
        elif kind == "Folder":
            self._tree.folders.add(path)
            for child in self._children(node, path):
                self._place(child, path, owner=owner, type_id=type_id, scope=scope, inside=inside)
        elif kind == "UdtInstance":
            self._instance(node, path, owner=owner, type_id=type_id, scope=scope, inside=inside)
        else:
            self._doubt(
                path,
                f"tagType {kind!r} has no place here",
                "types belong in _types_; known are AtomicTag, Folder and UdtInstance",
            )

    def _instance(
        self, node: Node, path: str, *, owner: str, type_id: str, scope: _Scope, inside: tuple[str, ...]
    ) -> None:
        self._tree.folders.add(path)
        wanted = _type_key(node.get("typeId"))
        if not wanted:
            misspelt = " (there is a typeID, which Ignition ignores)" if "typeID" in node else ""
            self._doubt(
                path, f"a UDT instance without a typeId{misspelt}", 'write "typeId": "<path below _types_>"'
            )
            return
        if wanted.lower() in inside:
            self._doubt(
                path,
                f"the UDT {wanted} holds itself: {' → '.join([*inside, wanted.lower()])}",
                "take the instance out of the type",
            )
            return
        definition = self._definition(wanted, ())
        if definition is None:
            self._doubt(
                path,
                f"its UDT {wanted!r} is not in this file, or is broken",
                "export the provider together with its _types_",
            )
            return
        merged = _merge(definition, node)
        own = _Scope(
            parameters={
                name: self._value(_parameter_value(item), scope, str(node["name"]), path)
                for name, item in _mapping(merged.get("parameters")).items()
            },
            instance=str(node["name"]),
            parent=scope.instance,
            root=scope.root or str(node["name"]),
        )
        known = {_name(child).lower() for child in as_list(definition.get("tags"))}
        for child in as_list(node.get("tags")):
            name = _name(child)
            if name and name.lower() not in known:
                self._doubt(
                    f"{path}/{name}",
                    f"overrides a member that {wanted} does not have",
                    "correct the name, or add the member to the type",
                )
        for child in self._children(merged, path):
            if str(child["name"]).lower() in known:
                self._place(
                    child,
                    path,
                    owner=owner or path,
                    type_id=type_id or wanted,
                    scope=own,
                    inside=(*inside, wanted.lower()),
                )

    def _definition(self, wanted: str, below: tuple[str, ...]) -> Node | None:
        """The type with everything that it inherits, or None when it is unknown or inherits itself."""
        key = wanted.lower()
        if key in self._whole:
            return self._whole[key]
        node = self._types.get(key)
        if node is None:
            return None
        if key in below:
            self._doubt(
                f"{TYPES_FOLDER}/{wanted}",
                f"inherits itself: {' → '.join([*below, key])}",
                "break the circle of parent types",
            )
            return None
        parent = _type_key(node.get("typeId"))
        whole: Node | None = node
        if parent:
            base = self._definition(parent, (*below, key))
            if base is None:
                self._doubt(
                    f"{TYPES_FOLDER}/{wanted}",
                    f"its parent type {parent!r} is unknown or broken",
                    "export the provider together with its _types_",
                )
            whole = None if base is None else _merge(base, node)
        self._whole[key] = whole
        return whole

    def _properties(self, node: Node, path: str, scope: _Scope) -> Mapping[str, Any]:
        return {
            key: self._value(value, scope, str(node["name"]), path) if isinstance(value, dict) else value
            for key, value in node.items()
            if key not in ("name", "tagType", "tags", "parameters")
        }

    def _value(self, value: Any, scope: _Scope, tag_name: str, path: str) -> Any:
        """A property's value with parameters put in; other dictionaries are values of their own."""
        if not isinstance(value, dict) or "bindType" not in value:
            return value
        kind = str(value["bindType"]).lower()
        text = value.get("binding")
        if kind != "parameter" or not isinstance(text, str):
            return Unresolved(f"a {value['bindType']} binding, whose value only the gateway knows")
        whole = _HOLE.fullmatch(text)
        if whole is not None:
            return self._look_up(whole[1], scope, tag_name)
        for hole in _HOLE.finditer(text):
            found = self._look_up(hole[1], scope, tag_name)
            if isinstance(found, Unresolved):
                return found
        return _HOLE.sub(lambda hole: _as_text(self._look_up(hole[1], scope, tag_name)), text)

    def _look_up(self, hole: str, scope: _Scope, tag_name: str) -> Any:
        given = {
            "TagName": tag_name,
            "InstanceName": scope.instance,
            "ParentInstanceName": scope.parent,
            "RootInstanceName": scope.root,
        }
        name = hole.strip()
        if name in _GATEWAY_ONLY:
            return Unresolved(f"{{{name}}} is put in by the gateway")
        for names in (scope.parameters, given):
            if names.get(name) not in (None, ""):
                return names[name]
        shaped = _FORMATTED.match(name)
        if shaped is not None and shaped["name"] != name and shaped["name"] in scope.parameters:
            return _shape(scope.parameters[shaped["name"]], shaped)
        if name in scope.parameters:
            return Unresolved(f"parameter {name} has no value")
        known = ", ".join(sorted(scope.parameters)) or "none"
        return Unresolved(f"parameter {name} does not exist (there are {known})")


def _shape(value: Any, shaped: re.Match[str]) -> Any:
    """`{Unit+1}` and `{Unit|000}`: numbers only, and nothing that is not certain."""
    try:
        number = int(str(value))
    except ValueError:
        return Unresolved(f"{{{shaped.string}}} wants a whole number, found {value!r}")
    if shaped["offset"]:
        number += int(shaped["sign"] + shaped["offset"])
    pattern = shaped["pattern"] or ""
    if pattern.strip("0"):
        return Unresolved(f"the number format {pattern!r} is not one that this import knows")
    return f"{number:0{len(pattern)}d}" if pattern else number


def _type_key(type_id: object) -> str:
    """A typeId as a path below _types_; some exports write the whole tag path."""
    text = type_id if isinstance(type_id, str) else ""
    if text.startswith("["):
        text = text.partition("]")[2]
    return text.removeprefix(f"{TYPES_FOLDER}/").strip("/")


def _parameter_value(item: object) -> Any:
    return item.get("value") if isinstance(item, dict) and "bindType" not in item else item


def _as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _merge(base: Node, over: Node) -> Node:
    """The base with everything that `over` says differently; members and parameters one by one, by name."""
    merged = {**base, **over}
    if "parameters" in base or "parameters" in over:
        before, after = _mapping(base.get("parameters")), _mapping(over.get("parameters"))
        merged["parameters"] = {
            name: {**_mapping(before.get(name)), **after[name]}
            if isinstance(after.get(name), dict)
            else after.get(name, before.get(name))
            for name in (*before, *(name for name in after if name not in before))
        }
    if "tags" in base:
        changes = {_name(child).lower(): child for child in as_list(over.get("tags")) if _name(child)}
        tags = []
        for child in as_list(base.get("tags")):
            change = changes.pop(_name(child).lower(), None)
            tags.append(child if change is None else {**_merge(child, change), "name": child["name"]})
        merged["tags"] = [*tags, *changes.values()]
    return merged


def _name(child: object) -> str:
    name = child.get("name") if isinstance(child, dict) else None
    return name if isinstance(name, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
