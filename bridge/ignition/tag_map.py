"""The tag map of bridge.toml from an Ignition tag export, and a tag file for Ignition from bridge.toml.

Import never makes a tag writable by itself: engineering limits become proposals in comments, which a
control engineer confirms by taking the comment signs away. A tag without both limits is not even proposed.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from bridge.domain.tag import DataType
from bridge.errors import ConfigError
from bridge.ignition.finding import Finding
from bridge.ignition.tag_tree import ResolvedTag, TagTree, Unresolved
from bridge.plant import Plant
from bridge.settings import (
    EquipmentType,
    LimitSettings,
    OpcUaLinkSettings,
    SetpointSettings,
    Settings,
    TagSettings,
)

EXPOSED_TAGS = "urn:inductiveautomation:ignition:opcua:tags"
"""Namespace of a gateway's own tags on its own OPC UA server."""

OWN_NAMESPACE = "urn:ignition-bridge:agent"
"""Namespace of the bridge's own published values, which are no plant to watch."""

EXPOSED_LINK = "ignition"
GATEWAY_LINK = "gateway"

_DATA_TYPES: Mapping[str, DataType] = {
    "Int1": DataType.SBYTE,
    "Int2": DataType.INT16,
    "Int4": DataType.INT32,
    "Int8": DataType.INT64,
    "Float4": DataType.FLOAT,
    "Float8": DataType.DOUBLE,
    "Boolean": DataType.BOOLEAN,
    "String": DataType.STRING,
    "Text": DataType.STRING,
}
_IGNITION_TYPES: Mapping[DataType, str] = {
    DataType.BOOLEAN: "Boolean",
    DataType.SBYTE: "Int1",
    DataType.BYTE: "Int2",  # the next larger one: Ignition has no unsigned types
    DataType.INT16: "Int2",
    DataType.UINT16: "Int4",
    DataType.INT32: "Int4",
    DataType.UINT32: "Int8",
    DataType.INT64: "Int8",
    DataType.UINT64: "Int8",
    DataType.FLOAT: "Float4",
    DataType.DOUBLE: "Float8",
    DataType.STRING: "String",
}
_NODE_ID = re.compile(r"^(?:(?:nsu=[^;]+|ns=\d{1,5});)?[isgb]=.+$", re.DOTALL)
_BY_INDEX = re.compile(r"^ns=(?!0;)\d+;")
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_LAST_NUMBER = re.compile(r"^(?P<before>.*?)(?P<number>\d+)(?P<after>\D*)$")
_CELSIUS = frozenset({"°c", "degc", "c", "℃"})
_TAG = re.compile(r"^\[(?P<provider>[^\]]+)\](?P<path>.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportWishes:
    """How the map is to be made.

    links: the name of a link by the name of Ignition's OPC connection; one that is not named gets its own
    name in snake_case. via_gateway: reach every tag through the gateway's exposed tags instead of its
    device. under: only tags below this folder. writable: patterns of member names (`*Setpoint`) whose
    proposed limits are taken as they are.
    """

    provider: str = "default"
    links: Mapping[str, str]
    via_gateway: bool = False
    under: str = ""
    writable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMap:
    """The text for bridge.toml, with everything that a person has to look at."""

    toml: str
    equipment: int
    tags: int
    proposed: int
    writable: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One tag of a type, `{equipment}` put in; equal entries make equal types."""

    name: str
    member: str
    tag: str
    address: str
    link: str
    data_type: DataType
    unit: str
    limits: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    name: str
    type_id: str
    entries: tuple[_Entry, ...]
    ids: tuple[str, ...]


def build_map(tree: TagTree, wishes: ImportWishes, *, source: str) -> TagMap:
    """Make the tag map. Tags that cannot be mapped are in `findings`, each with the reason."""
    findings = list(tree.findings)
    owners: dict[str, list[ResolvedTag]] = {}
    under = wishes.under.strip("/")
    published = [tag for tag in tree.tags if _is_published(tag)]
    if published:
        what = f"{len(published)} tags of {OWN_NAMESPACE} are left out: they show what the bridge publishes"
        findings.append(_doubt(source, published[0].path, what, "nothing to do; they are no plant"))
    for tag in tree.tags:
        if _is_published(tag) or (under and not tag.path.lower().startswith(f"{under.lower()}/")):
            continue
        if not tag.owner:
            findings.append(
                _doubt(
                    source, tag.path, "lies in no folder, so it belongs to no equipment", "move it into one"
                )
            )
            continue
        owners.setdefault(tag.owner, []).append(tag)
    names = Counter(owner.rpartition("/")[2] for owner in owners)
    servers: dict[str, str] = {}
    members: dict[tuple[str, tuple[_Entry, ...]], list[str]] = {}
    for owner, tags in owners.items():
        short = owner.rpartition("/")[2]
        equipment_id = short if names[short] == 1 else owner
        entries = tuple(_entries(tags, owner, equipment_id, wishes, servers, findings, source))
        if entries:
            members.setdefault((tags[0].type_id, entries), []).append(equipment_id)
    groups = _named(members)
    proposed = sum(len(group.ids) for group in groups for entry in group.entries if entry.limits)
    writable = sum(
        len(group.ids)
        for group in groups
        for entry in group.entries
        if entry.limits and _wished(entry, wishes)
    )
    for pattern in wishes.writable:
        if not any(
            entry.limits and fnmatchcase(entry.member, pattern) for group in groups for entry in group.entries
        ):
            findings.append(
                _doubt(
                    source,
                    pattern,
                    "no tag of this name is Boolean or has both engLow and engHigh, so none may be written",
                    "set both limits on the tag in Ignition, or write limits in bridge.toml yourself",
                )
            )
    return TagMap(
        toml="".join(f"{line}\n" for line in _lines(groups, servers, wishes, source, len(findings))),
        equipment=sum(len(group.ids) for group in groups),
        tags=sum(len(group.ids) * len(group.entries) for group in groups),
        proposed=proposed,
        writable=writable,
        findings=tuple(findings),
    )


def _is_published(tag: ResolvedTag) -> bool:
    return str(tag.properties.get("opcItemPath")).startswith(f"nsu={OWN_NAMESPACE};")


def _doubt(source: str, place: str, what: str, mend: str) -> Finding:
    return Finding(file=source, place=place, what=what, mend=mend)


def _entries(
    tags: Sequence[ResolvedTag],
    owner: str,
    equipment_id: str,
    wishes: ImportWishes,
    servers: dict[str, str],
    findings: list[Finding],
    source: str,
) -> Iterator[_Entry]:
    taken: Counter[str] = Counter()
    templated = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(equipment_id)}(?![A-Za-z0-9_])")
    for tag in tags:
        found = _address(tag, wishes, servers)
        data_type = _data_type(tag)
        for problem in (found, data_type):
            if isinstance(problem, Unresolved):
                findings.append(
                    _doubt(source, tag.path, f"left out: {problem.reason}", "add it to bridge.toml by hand")
                )
                break
        else:
            assert not isinstance(found, Unresolved)
            assert not isinstance(data_type, Unresolved)
            address, link = found
            member = tag.path[len(owner) + 1 :]
            name = _snake(member)
            taken[name] += 1
            if taken[name] > 1:
                name = f"{name}_{taken[name]}"
            if "dataType" not in tag.properties:
                findings.append(
                    _doubt(
                        source,
                        tag.path,
                        "no dataType; taken as Int4, Ignition's default",
                        "compare with the server",
                    )
                )
            unit = tag.properties.get("engUnit", "")
            yield _Entry(
                name=name,
                member=member,
                tag=templated.sub("{equipment}", f"[{wishes.provider}]{tag.path}"),
                address=templated.sub("{equipment}", address),
                link=link,
                data_type=data_type,
                unit=unit if isinstance(unit, str) else "",
                limits=_limits(tag, data_type, findings, source),
            )


def _address(tag: ResolvedTag, wishes: ImportWishes, servers: dict[str, str]) -> tuple[str, str] | Unresolved:
    """Where the bridge reaches the tag, and over which link; or why it cannot."""
    if wishes.via_gateway:
        return f"nsu={EXPOSED_TAGS};s=[{wishes.provider}]{tag.path}", EXPOSED_LINK
    if tag.source != "opc":
        return Unresolved(
            f"valueSource {tag.source}: no address outside of the gateway; --via gateway reaches it there"
        )
    address, server = tag.properties.get("opcItemPath"), tag.properties.get("opcServer")
    for name, value in (("opcItemPath", address), ("opcServer", server)):
        if isinstance(value, Unresolved):
            return Unresolved(f"{name}: {value.reason}")
        if not isinstance(value, str) or not value.strip():
            return Unresolved(f"an OPC tag without {name}")
    address, server = str(address).strip(), str(server)
    if "{" in address:
        return Unresolved(
            f"opcItemPath {address!r} holds a brace and is no parameter binding: Ignition takes it literally"
        )
    if not _NODE_ID.match(address):
        return Unresolved(f"opcItemPath {address!r} is no OPC UA node id (wanted nsu=URI;s=… or ns=2;s=…)")
    if server not in servers:
        servers[server] = wishes.links.get(server) or _snake(server) or "opcua"
    return address, servers[server]


def _data_type(tag: ResolvedTag) -> DataType | Unresolved:
    named = tag.properties.get("dataType", "Int4")
    known = _DATA_TYPES.get(named) if isinstance(named, str) else None
    return known or Unresolved(f"data type {named!r} is not one that the bridge carries")


def _limits(
    tag: ResolvedTag, data_type: DataType, findings: list[Finding], source: str
) -> tuple[float, float] | None:
    """The range to propose for writing: explicit engineering limits of a tag that is not read-only."""
    read_only = tag.properties.get("readOnly", False)
    if read_only is not False or data_type is DataType.STRING:
        return None
    if tag.source not in ("opc", "memory"):
        return None
    if data_type is DataType.BOOLEAN:
        return 0.0, 1.0
    found = [tag.properties.get(key) for key in ("engLow", "engHigh")]
    if any(value is None for value in found):
        return None
    numbers = [_number(value) for value in found]
    low, high = numbers
    if low is None or high is None or not low < high:
        findings.append(
            _doubt(
                source,
                tag.path,
                f"not proposed as writable: engLow {_told(found[0])} and engHigh {_told(found[1])} are no range",
                "give limits in bridge.toml by hand if it should be",
            )
        )
        return None
    try:
        SetpointSettings(
            tag=tag.path, address="-", data_type=data_type, limits=LimitSettings(low=low, high=high)
        )
    except ValidationError as problem:
        findings.append(
            _doubt(
                source,
                tag.path,
                f"not proposed as writable: {problem.errors()[0]['msg'].removeprefix('Value error, ')}",
                "give limits in bridge.toml by hand if it should be",
            )
        )
        return None
    return low, high


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _told(value: object) -> str:
    return f"({value.reason})" if isinstance(value, Unresolved) else repr(value)


def _snake(text: str) -> str:
    """`Motor/FlowRate` → `motor_flow_rate`; letters and digits only, as TOML's bare keys."""
    return "_".join(
        word.lower() for part in re.split(r"[^A-Za-z0-9]+", text) for word in _WORDS.findall(part)
    ) or ("tag" if text else "")


def _named(members: Mapping[tuple[str, tuple[_Entry, ...]], list[str]]) -> list[_Group]:
    taken: Counter[str] = Counter()
    groups = []
    for (type_id, entries), ids in members.items():
        base = _snake(type_id.rpartition("/")[2]) if type_id else _snake(_common(ids))
        base = base or "equipment"
        taken[base] += 1
        name = base if taken[base] == 1 else f"{base}_{taken[base]}"
        groups.append(_Group(name=name, type_id=type_id, entries=entries, ids=tuple(ids)))
    return groups


def _common(ids: Sequence[str]) -> str:
    """What the names have in common, without their number: REACTOR_01, REACTOR_02 → REACTOR."""
    return ids[0].rpartition("/")[2].rstrip("0123456789").rstrip("_- ")


def _wished(entry: _Entry, wishes: ImportWishes) -> bool:
    return any(fnmatchcase(entry.member, pattern) for pattern in wishes.writable)


def _lines(
    groups: Sequence[_Group], servers: Mapping[str, str], wishes: ImportWishes, source: str, doubts: int
) -> Iterator[str]:
    tags = sum(len(group.ids) * len(group.entries) for group in groups)
    yield f"# Tag map made from {source} by `ignition-bridge tags import`:"
    pieces = sum(len(group.ids) for group in groups)
    yield f"# {pieces} pieces of equipment, {tags} tags, {doubts} doubts (listed when it was made)."
    yield "# Data types are Ignition's; `ignition-bridge check` compares them with the server's own."
    yield "# Signals called temperature, pressure and flow_rate fill the columns of that name; rename where it fits,"
    yield "# and set-points to throughput and cooling where the shipped remedies shall use them."
    yield ""
    if wishes.via_gateway:
        yield "# The gateway's own OPC UA server with exposed tags; docs/ignition.md says how to turn it on."
        yield f"# [links.{EXPOSED_LINK}]"
        yield '# kind = "opcua"'
        yield '# endpoint = "opc.tcp://gateway:62541"'
        yield f"# [links.{GATEWAY_LINK}]  # set-points: Ignition's timer executes, the bridge watches"
        yield '# kind = "gateway"'
        yield ""
    else:
        for server, link in servers.items():
            yield f"# [links.{link}]  # Ignition's OPC connection {_quoted(server)}; a tag export has no endpoint"
            yield '# kind = "opcua"'
            yield '# endpoint = "opc.tcp://…"'
            yield ""
        if any(_BY_INDEX.match(entry.address) for group in groups for entry in group.entries):
            yield "# ns=<number> changes when a server is reconfigured; nsu=<URI> does not. Replace it where you can."
            yield ""
    for group in groups:
        yield from _type_lines(group, wishes)


def _type_lines(group: _Group, wishes: ImportWishes) -> Iterator[str]:
    links = Counter(entry.link for entry in group.entries)
    link = links.most_common(1)[0][0]
    live = [entry for entry in group.entries if entry.limits and _wished(entry, wishes)]
    signals = [entry for entry in group.entries if entry not in live]
    proposed = [entry for entry in signals if entry.limits]
    yield f"[types.{group.name}]  # " + (
        f"UDT {group.type_id}" if group.type_id else "tags in folders, without a UDT"
    )
    yield f"link = {_quoted(link)}"
    temperature = next((entry for entry in signals if entry.name == "temperature"), None)
    if temperature is not None and temperature.unit.lower() not in _CELSIUS:
        yield f"rules = []  # the shipped ones are in °C, and this temperature is in {temperature.unit or 'no unit'}"
    yield ""
    if signals:
        yield f"[types.{group.name}.signals]"
        for entry in signals:
            own = f", link = {_quoted(entry.link)}" if entry.link != link else ""
            unit = f", unit = {_quoted(entry.unit)}" if entry.unit else ""
            yield (
                f"{entry.name} = {{ tag = {_quoted(entry.tag)}, address = {_quoted(entry.address)}, "
                f"data_type = {_quoted(entry.data_type.value)}{unit}{own} }}"
            )
        yield ""
    for entry in live:
        yield from _setpoint_lines(group, entry, link, wishes, sign="")
    if proposed:
        yield "# Proposed, to be confirmed by the control engineer: not read-only in Ignition, with limits there."
        yield "# To let the agent write one, uncomment it, look at its limits, and take its line out of the signals."
    for entry in proposed:
        yield from _setpoint_lines(group, entry, link, wishes, sign="# ")
    yield "[[equipment]]"
    yield f"ids = [{', '.join(_quoted(name) for name in _ranges(group.ids))}]"
    yield f"type = {_quoted(group.name)}"
    yield ""


def _setpoint_lines(
    group: _Group, entry: _Entry, link: str, wishes: ImportWishes, *, sign: str
) -> Iterator[str]:
    assert entry.limits is not None
    low, high = entry.limits
    own = GATEWAY_LINK if wishes.via_gateway else entry.link
    yield f"{sign}[types.{group.name}.setpoints.{entry.name}]"
    yield f"{sign}tag = {_quoted(entry.tag)}"
    yield f"{sign}address = {_quoted(entry.address)}"
    yield f"{sign}data_type = {_quoted(entry.data_type.value)}"
    if entry.unit:
        yield f"{sign}unit = {_quoted(entry.unit)}"
    if own != link:
        yield f"{sign}link = {_quoted(own)}"
    origin = "" if entry.data_type is DataType.BOOLEAN else "  # engLow and engHigh of the Ignition tag"
    yield f"{sign}limits = {{ low = {_plain(low)}, high = {_plain(high)} }}{origin}"
    yield ""


def _ranges(ids: Iterable[str]) -> Iterator[str]:
    """REACTOR_01, REACTOR_02, REACTOR_03 → REACTOR_{01..03}; others as they are, in their order."""
    run: list[tuple[re.Match[str], str]] = []

    def flush() -> Iterator[str]:
        if len(run) > 2:
            first, last = run[0][0], run[-1][0]
            yield f"{first['before']}{{{first['number']}..{last['number']}}}{first['after']}"
        else:
            yield from (name for _, name in run)
        run.clear()

    for name in ids:
        found = _LAST_NUMBER.match(name)
        if found is None:
            yield from flush()
            yield name
            continue
        if run:
            before = run[-1][0]
            follows = (
                (before["before"], before["after"]) == (found["before"], found["after"])
                and int(found["number"]) == int(before["number"]) + 1
                and len(run[0][0]["number"]) == len(found["number"])
            )
            if not follows:
                yield from flush()
        run.append((found, name))
    yield from flush()


def _quoted(text: str) -> str:
    """A TOML basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def export_tags(
    settings: Settings, plant: Plant, *, provider: str, opc_servers: Mapping[str, str]
) -> dict[str, Any]:
    """A tag file that Ignition imports: one UDT a type, one instance an equipment, in its folders.

    opc_servers: the name of Ignition's OPC connection by the name of our link; by itself they are equal.
    Raises ConfigError when tags are of another provider or have no place that a UDT can take.
    """
    problems: list[str] = []
    types: list[dict[str, Any]] = []
    folders: dict[str, dict[str, Any]] = {}
    top: list[dict[str, Any]] = []
    places: dict[str, str] = {}
    for name, kind in settings.types.items():
        place = _place_of(name, kind, provider, problems)
        if place is not None:
            places[name] = place
            types.append(_udt(name, kind, settings, place, provider, opc_servers, problems))
    for equipment in plant.equipment.values():
        if equipment.type in places:
            _folder(places[equipment.type], top, folders).append(
                {
                    "name": equipment.id,
                    "tagType": "UdtInstance",
                    "typeId": _pascal(equipment.type),
                    "parameters": {"Equipment": {"dataType": "String", "value": equipment.id}},
                    "tags": [],
                }
            )
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return {
        "name": "",
        "tagType": "Provider",
        "tags": [{"name": "_types_", "tagType": "Folder", "tags": types}, *top],
    }


def _place_of(name: str, kind: EquipmentType, provider: str, problems: list[str]) -> str | None:
    """The folder that all tags of a type share, up to `{equipment}`; a UDT instance stands there."""
    places = set()
    for key, entry in (*kind.signals.items(), *kind.setpoints.items()):
        found = _TAG.match(entry.tag)
        before, marker, after = (found["path"] if found else "").partition("{equipment}/")
        if found is None or not marker or not after or "{" in before or (before and not before.endswith("/")):
            problems.append(
                f"types.{name}.{key}: tag {entry.tag!r} has no place in a UDT; "
                f"wanted [{provider}]folder/{{equipment}}/Name"
            )
        elif found["provider"] != provider:
            problems.append(
                f"types.{name}.{key}: tag {entry.tag!r} is of provider {found['provider']!r}, and this file is for "
                f"{provider!r}; export one provider at a time with --provider"
            )
        else:
            places.add(before.rstrip("/"))
    if len(places) > 1:
        problems.append(
            f"types.{name}: its tags lie in several folders ({', '.join(sorted(places))}); one UDT has one"
        )
        return None
    return places.pop() if places else None


def _udt(
    name: str,
    kind: EquipmentType,
    settings: Settings,
    place: str,
    provider: str,
    opc_servers: Mapping[str, str],
    problems: list[str],
) -> dict[str, Any]:
    udt: dict[str, Any] = {
        "name": _pascal(name),
        "tagType": "UdtType",
        "parameters": {"Equipment": {"dataType": "String", "value": ""}},
        "tags": [],
    }
    folders: dict[str, dict[str, Any]] = {}
    start = f"[{provider}]{place}/{{equipment}}/" if place else f"[{provider}]{{equipment}}/"
    for key, entry in (*kind.signals.items(), *kind.setpoints.items()):
        if not entry.tag.startswith(start):
            continue  # told already
        below = entry.tag.removeprefix(start)
        folder, _, leaf = below.rpartition("/")
        atomic = _atomic(f"types.{name}.{key}", leaf, entry, kind, settings, opc_servers, problems)
        _folder(folder, udt["tags"], folders).append(atomic)
    return udt


def _atomic(
    where: str,
    leaf: str,
    entry: TagSettings,
    kind: EquipmentType,
    settings: Settings,
    opc_servers: Mapping[str, str],
    problems: list[str],
) -> dict[str, Any]:
    link = entry.link or kind.link
    configured = settings.links.get(link)
    address = entry.address
    if not _NODE_ID.match(address):
        problems.append(
            f"{where}: address {address!r} is no OPC UA node id; Ignition needs one to read the tag"
        )
    if (
        isinstance(configured, OpcUaLinkSettings)
        and not re.match(r"^nsu?=", address)
        and configured.namespace
    ):
        address = f"nsu={configured.namespace};{address}"
    tag: dict[str, Any] = {
        "name": leaf,
        "tagType": "AtomicTag",
        "valueSource": "opc",
        "dataType": _IGNITION_TYPES[entry.data_type],
        "opcServer": opc_servers.get(link, link),
        "opcItemPath": {"bindType": "parameter", "binding": address.replace("{equipment}", "{Equipment}")}
        if "{equipment}" in address
        else address,
        "readOnly": not isinstance(entry, SetpointSettings),
    }
    if entry.unit:
        tag["engUnit"] = entry.unit
    if isinstance(entry, SetpointSettings) and entry.data_type is not DataType.BOOLEAN:
        tag["engLow"], tag["engHigh"] = entry.limits.low, entry.limits.high
    return tag


def _folder(path: str, top: list[dict[str, Any]], folders: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The list of tags of a folder, made when it is not there."""
    if not path:
        return top
    if path not in folders:
        above, _, name = path.rpartition("/")
        folders[path] = {"name": name, "tagType": "Folder", "tags": []}
        _folder(above, top, folders).append(folders[path])
    found: list[dict[str, Any]] = folders[path]["tags"]
    return found


def _pascal(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))
