"""The plant as configured: types and equipment of bridge.toml expanded to tags, rules and remedies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bridge import defaults
from bridge.domain.anomaly import BAD_SIGNAL, STALE_SIGNAL
from bridge.domain.limits import WriteLimits
from bridge.domain.recommendation import Remedy, SetpointChange
from bridge.domain.tag import DataType, Route, Tag, conforms
from bridge.errors import ConfigError
from bridge.settings import (
    EquipmentType,
    NormalRange,
    RemedySettings,
    RuleSettings,
    SetpointSettings,
    Settings,
    TagSettings,
)

_ROUTES = {"opcua": Route.OPCUA, "sparkplug": Route.MQTT, "mqtt": Route.MQTT, "gateway": Route.GATEWAY}
_RANGE = re.compile(r"^(?P<before>[^{}]*)\{(?P<first>\d+)\.\.(?P<last>\d+)\}(?P<after>[^{}]*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """One piece of equipment with everything resolved; what the agent works from."""

    id: str
    type: str
    signals: Mapping[str, Tag]
    setpoints: Mapping[str, Tag]
    rules: tuple[RuleSettings, ...]
    remedies: tuple[Remedy, ...]
    normal: Mapping[str, NormalRange]


@dataclass(frozen=True, kw_only=True)
class Plant:
    """All equipment and all tags by path."""

    equipment: Mapping[str, Equipment]
    tags: Mapping[str, Tag]

    @classmethod
    def of(cls, settings: Settings) -> Plant:
        """Expand the configuration. ConfigError lists every problem found, one line each."""
        problems: list[str] = []
        equipment: dict[str, Equipment] = {}
        for number, entry in enumerate(settings.equipment, start=1):
            kind = settings.types.get(entry.type)
            if kind is None:
                known = ", ".join(sorted(settings.types)) or "none"
                problems.append(f"equipment.{number}.type: no type {entry.type!r}; configured types: {known}")
                continue
            for equipment_id in _ids(entry.ids, problems):
                if equipment_id in equipment:
                    problems.append(f"equipment {equipment_id}: listed twice")
                    continue
                equipment[equipment_id] = _expand(
                    equipment_id, entry.type, kind, entry.rules, settings, problems
                )
        tags = _by_path(equipment.values(), problems)
        for name, kind in settings.types.items():
            problems.extend(_check_type(name, kind))
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))
        return cls(equipment=equipment, tags=tags)

    def on_link(self, link: str) -> tuple[Tag, ...]:
        """The tags reached over one link."""
        return tuple(tag for tag in self.tags.values() if tag.link == link)

    @property
    def writable(self) -> tuple[Tag, ...]:
        """The allow-list."""
        return tuple(tag for tag in self.tags.values() if tag.writable)


def _ids(patterns: tuple[str, ...], problems: list[str]) -> Iterator[str]:
    for pattern in patterns:
        match = _RANGE.match(pattern)
        if match is None:
            if "{" in pattern or "}" in pattern or not pattern:
                problems.append(
                    f"equipment id {pattern!r}: wanted a name, or one range such as REACTOR_{{01..04}}"
                )
            else:
                yield pattern
            continue
        first, last = int(match["first"]), int(match["last"])
        if last < first:
            problems.append(f"equipment id {pattern!r}: the range runs backwards")
        width = len(match["first"])
        for number in range(first, last + 1):
            yield f"{match['before']}{number:0{width}d}{match['after']}"


def _expand(
    equipment_id: str,
    type_name: str,
    kind: EquipmentType,
    own_rules: tuple[RuleSettings, ...],
    settings: Settings,
    problems: list[str],
) -> Equipment:
    def tag_of(name: str, entry: TagSettings, *, setpoint: bool) -> Tag:
        link = entry.link or kind.link
        if link not in settings.links:
            known = ", ".join(sorted(settings.links)) or "none"
            problems.append(f"types.{type_name}.{name}: no link {link!r}; configured links: {known}")
        limits = None
        route = _ROUTES[settings.links[link].kind] if link in settings.links else Route.GATEWAY
        if isinstance(entry, SetpointSettings):
            limits = WriteLimits(**entry.limits.model_dump())
            if entry.route == "gateway":
                route = Route.GATEWAY
        return Tag(
            path=entry.tag.replace("{equipment}", equipment_id),
            equipment_id=equipment_id,
            link=link,
            route=route,
            address=entry.address.replace("{equipment}", equipment_id),
            data_type=entry.data_type,
            unit=entry.unit,
            signal=None if setpoint else name,
            setpoint=name if setpoint else None,
            stale_after_s=entry.stale_after_s,
            limits=limits,
        )

    signals = {name: tag_of(name, entry, setpoint=False) for name, entry in kind.signals.items()}
    setpoints = {name: tag_of(name, entry, setpoint=True) for name, entry in kind.setpoints.items()}
    replaced = {rule.issue for rule in own_rules}
    rules = tuple(rule for rule in _rules(kind) if rule.issue not in replaced) + own_rules
    problems.extend(_check_rules(f"equipment {equipment_id}", own_rules, kind))
    return Equipment(
        id=equipment_id,
        type=type_name,
        signals=signals,
        setpoints=setpoints,
        rules=rules,
        remedies=tuple(_remedy(entry) for entry in _remedies(kind)),
        normal=kind.normal,
    )


def _rules(kind: EquipmentType) -> tuple[RuleSettings, ...]:
    if kind.rules is not None:
        return kind.rules
    return tuple(rule for rule in defaults.RULES if rule.signal in kind.signals)


def _remedies(kind: EquipmentType) -> tuple[RemedySettings, ...]:
    if kind.remedies is not None:
        return kind.remedies
    return tuple(
        entry
        for entry in defaults.REMEDIES
        if all(change.setpoint in kind.setpoints for change in entry.writes)
    )


def _remedy(entry: RemedySettings) -> Remedy:
    return Remedy(
        issue_type=entry.issue,
        severity=entry.severity,
        action=entry.action,
        expected_outcome=entry.expected_outcome,
        name=_name_of(entry),
        changes=tuple(
            SetpointChange(setpoint=line.setpoint, change_percent=line.change_percent, value=line.value)
            for line in entry.writes
        ),
    )


def _name_of(entry: RemedySettings) -> str:
    return entry.name or f"{entry.issue}_{entry.severity}"


def _by_path(equipment: object, problems: list[str]) -> dict[str, Tag]:
    tags: dict[str, Tag] = {}
    addresses: dict[tuple[str, str], str] = {}
    for item in equipment:  # type: ignore[attr-defined]
        for tag in (*item.signals.values(), *item.setpoints.values()):
            if tag.path in tags:
                problems.append(f"tag {tag.path}: configured twice; a tag has one name and one meaning")
            other = addresses.setdefault((tag.link, tag.address), tag.path)
            if other != tag.path:
                problems.append(
                    f"tags {other} and {tag.path} share the address {tag.address} on link {tag.link}"
                )
            tags[tag.path] = tag
    return tags


def _check_type(name: str, kind: EquipmentType) -> Iterator[str]:
    yield from _check_rules(f"types.{name}.rules", _rules(kind), kind)
    issues = {rule.issue for rule in _rules(kind)}
    names = [_name_of(remedy) for remedy in kind.remedies or ()]
    for taken in sorted({remedy for remedy in names if names.count(remedy) > 1}):
        yield f"types.{name}.remedies: two remedies are called {taken!r}; give each a `name` of its own"
    for remedy in kind.remedies or ():
        if remedy.issue not in issues:
            yield f"types.{name}.remedies: no rule finds {remedy.issue!r}"
        for change in remedy.writes:
            yield from _check_change(
                f"types.{name}.remedies.{remedy.issue}", change.setpoint, change.value, kind
            )


def _check_rules(where: str, rules: tuple[RuleSettings, ...], kind: EquipmentType) -> Iterator[str]:
    issues = [rule.issue for rule in rules]
    for issue in sorted({issue for issue in issues if issues.count(issue) > 1}):
        yield f"{where}: two rules for issue {issue}; one issue has one rule with several levels"
    for rule in rules:
        signal = kind.signals.get(rule.signal)
        if signal is None:
            known = ", ".join(sorted(kind.signals)) or "none"
            yield f"{where}: {rule.issue} watches {rule.signal!r}; signals of this type: {known}"
        elif signal.data_type in (DataType.BOOLEAN, DataType.STRING):
            yield f"{where}: {rule.issue} watches {rule.signal!r}, a {signal.data_type}; a threshold wants a number"
        if rule.issue in (BAD_SIGNAL, STALE_SIGNAL):
            yield f"{where}: {rule.issue} is found for every signal by itself; choose another name"


def _check_change(where: str, setpoint: str, value: object, kind: EquipmentType) -> Iterator[str]:
    target = kind.setpoints.get(setpoint)
    if target is None:
        known = ", ".join(sorted(kind.setpoints)) or "none"
        yield f"{where}: no set-point {setpoint!r} in this type; set-points: {known}"
    elif value is not None:
        number = value
        if isinstance(value, float) and target.data_type not in (
            DataType.FLOAT,
            DataType.DOUBLE,
            DataType.BOOLEAN,
        ):
            number = int(value) if value == int(value) else value
        wrong = conforms(number, target.data_type)
        if wrong is not None:
            yield f"{where}: {setpoint}: {wrong}"
        elif not target.limits.low <= float(number) <= target.limits.high:  # type: ignore[arg-type]
            yield f"{where}: {setpoint}: {value!r} is outside {target.limits.low:g} to {target.limits.high:g}"
    elif target.data_type is DataType.BOOLEAN:
        yield f"{where}: {setpoint} is a Boolean; give a value, not a percentage"
