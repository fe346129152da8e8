"""The tag file: form of every tag, UDTs that resolve, references that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.ignition.finding import Finding
from bridge.ignition.json_values import as_list, is_one_of
from bridge.ignition.tag_paths import TagPaths
from bridge.ignition.tag_tree import TYPES_FOLDER, ResolvedTag, TagTree, Unresolved

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "opc": ("opcServer", "opcItemPath"),
    "expr": ("expression",),
    "reference": ("sourceTagPath",),
    "derived": ("sourceTagPath", "deriveExpressionGetter"),
    "db": ("query", "datasource"),
    "memory": (),
}
_DATA_TYPES = frozenset({"Int1", "Int2", "Int4", "Int8", "Float4", "Float8", "Boolean", "String", "DateTime"})
_ALL_DATA_TYPES = _DATA_TYPES | {f"{name}Array" for name in _DATA_TYPES} | {"Text", "DataSet", "Document"}
_ALARM_MODES = frozenset(
    {
        *(
            "Equality",
            "Inequality",
            "AboveValue",
            "BelowValue",
            "BetweenValues",
            "OutsideValues",
            "OutOfEngRange",
        ),
        *("BadQuality", "AnyChange", "Bit", "WhenTrue", "WhenFalse", "OnCondition"),
    }
)
_PRIORITIES = frozenset({"Diagnostic", "Low", "Medium", "High", "Critical"})
_EVENTS = frozenset(
    {
        *("valueChanged", "qualityChanged", "alarmActive", "alarmCleared", "alarmAcked"),
        "qualifiedValueChanged",  # 8.3.3 and later
    }
)
_IN_EXPRESSION = re.compile(r"\{(\[[^\]{}]*\][^{}]*)\}")
_TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")


def check_tags(tree: TagTree, paths: TagPaths, document: Any, file: str) -> Iterator[Finding]:
    """Check every tag as it will stand in the gateway, and every type as it is written."""
    yield from tree.findings
    yield from _check_parameters(document, "", file)
    for tag in tree.tags:
        for place, what, mend in _check_tag(tag, paths):
            yield Finding(file=file, place=f"{tag.path} {place}".strip(), what=what, mend=mend)


def _check_parameters(node: Any, above: str, file: str) -> Iterator[Finding]:
    """Parameters are objects with dataType and value: a bare value turns into an Integer and null."""
    if not isinstance(node, dict):
        return
    path = f"{above}/{node.get('name', '')}".strip("/")
    parameters = node.get("parameters")
    for name, item in parameters.items() if isinstance(parameters, dict) else ():
        if not isinstance(item, dict) or not {"dataType", "value"} <= item.keys():
            yield Finding(
                file=file,
                place=f"{path} parameters.{name}",
                what="is not an object with dataType and value; Ignition makes it an Integer without a value",
                mend='write {"dataType": "String", "value": …}',
            )
    if path == TYPES_FOLDER or path.startswith(f"{TYPES_FOLDER}/"):
        for event in as_list(node.get("eventScripts")):
            yield from _check_event(event, path, file)
    for child in as_list(node.get("tags")):
        yield from _check_parameters(child, path, file)


def _check_event(event: Any, path: str, file: str) -> Iterator[Finding]:
    if not isinstance(event, dict) or not is_one_of(event.get("eventid"), _EVENTS):
        named = event.get("eventid") if isinstance(event, dict) else event
        yield Finding(
            file=file,
            place=f"{path} eventScripts",
            what=f"there is no tag event {named!r}",
            mend=f"there are {', '.join(sorted(_EVENTS))}",
        )


def _check_tag(tag: ResolvedTag, paths: TagPaths) -> Iterator[tuple[str, str, str]]:
    properties = tag.properties
    for name, value in properties.items():
        if isinstance(value, Unresolved) and "binding" not in value.reason:
            yield name, value.reason, "correct the name, or give the parameter a value"
    source = properties.get("valueSource", "memory")
    if not is_one_of(source, _NEEDED):
        yield "valueSource", f"{source!r} is unknown", f"there are {', '.join(sorted(_NEEDED))}"
    else:
        for name in _NEEDED[source]:
            if properties.get(name) in (None, ""):
                yield name, f"is missing for a tag with valueSource {source}", f"write {name}"
    data_type = properties.get("dataType")
    if not isinstance(data_type, Unresolved) and not is_one_of(data_type, _ALL_DATA_TYPES):
        found = "nothing" if data_type is None else repr(data_type)
        yield (
            "dataType",
            f"wanted one of Ignition's types, found {found}",
            "write it, also when it is the default",
        )
    if properties.get("historyEnabled") is True and not properties.get("historyProvider"):
        yield "historyProvider", "is missing, so no history is kept", "name the historian provider"
    yield from _check_alarms(properties.get("alarms"))
    for name in ("expression", "sourceTagPath", "deriveExpressionGetter", "deriveExpressionSetter"):
        value = properties.get(name)
        if isinstance(value, str):
            yield from _check_expression(tag, name, value, paths)


def _check_alarms(alarms: Any) -> Iterator[tuple[str, str, str]]:
    names = [alarm.get("name") for alarm in as_list(alarms) if isinstance(alarm, dict)]
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        yield f"alarms.{name}", "stands there twice", "give one another name"
    for alarm in as_list(alarms):
        if not isinstance(alarm, dict) or not alarm.get("name"):
            yield "alarms", "holds an alarm without a name", "name it"
            continue
        place = f"alarms.{alarm['name']}"
        mode, priority = alarm.get("mode", "Equality"), alarm.get("priority", "Low")
        if not isinstance(mode, dict) and not is_one_of(mode, _ALARM_MODES):
            yield f"{place}.mode", f"{mode!r} is unknown", f"there are {', '.join(sorted(_ALARM_MODES))}"
        if not isinstance(priority, dict) and not is_one_of(priority, _PRIORITIES):
            yield (
                f"{place}.priority",
                f"{priority!r} is unknown",
                f"there are {', '.join(sorted(_PRIORITIES))}",
            )
        for name in ("setpointA", "setpointB"):
            value = alarm.get(name)
            if isinstance(value, str | bool):
                yield f"{place}.{name}", f"{value!r} is no number; Ignition takes it as 0", "write a number"
        for name, value in alarm.items():
            if isinstance(value, dict) and value.get("bindType") == "expression":
                yield (
                    f"{place}.{name}",
                    "bindType 'expression'",
                    "write Expression with a capital E, key value",
                )


def _check_expression(
    tag: ResolvedTag, name: str, value: str, paths: TagPaths
) -> Iterator[tuple[str, str, str]]:
    if value.count("(") != value.count(")") and _TEXT.sub("", value).count("(") != _TEXT.sub("", value).count(
        ")"
    ):
        yield name, "opens and closes a different number of brackets", "balance them"
    written = [value] if name == "sourceTagPath" else _IN_EXPRESSION.findall(value)
    for path in written:
        whole = _absolute(path, tag, paths.provider)
        problem = None if whole is None else paths.missing(whole)
        if problem is not None:
            yield name, problem, "correct the path"


def _absolute(path: str, tag: ResolvedTag, provider: str) -> str | None:
    """`[.]Sibling`, `[..]Up`, `[~]FromRoot` as a full path; None for what is not a path."""
    folder = tag.path.rpartition("/")[0]
    mark, _, rest = path.partition("]")
    if mark == "[~":
        return f"[{provider}]{rest}"
    if mark == "[.":
        return f"[{provider}]{folder}/{rest}".replace("]/", "]")
    if mark == "[..":
        return f"[{provider}]{folder.rpartition('/')[0]}/{rest}".replace("]/", "]")
    return path if mark.startswith("[") else None
