"""A recommendation: the exact writes an agent proposes, computed from live values and never from prose."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bridge.domain.anomaly import Severity
from bridge.domain.lifecycle import OPEN_RECOMMENDATION, RecommendationStatus
from bridge.domain.limits import Refusal, RefusalCode, WriteFacts, check_write
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Tag, Value, conforms, equal_enough

_FLOATING = (DataType.FLOAT, DataType.DOUBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedWrite:
    """One exact write: an absolute value for one tag, and the value it replaces, in the tag's unit."""

    tag_path: str
    present: Value
    target: Value
    unit: str

    def as_json(self) -> dict[str, Value]:
        """The contract's form: {tag_path, from, to, unit}."""
        return {"tag_path": self.tag_path, "from": self.present, "to": self.target, "unit": self.unit}


def writes_from_json(text: str) -> tuple[ProposedWrite, ...]:
    """Read `proposed_writes` as the database shows it; ValueError names what is wrong with it."""
    rows = json.loads(text)
    if not isinstance(rows, list):
        raise ValueError(f"proposed_writes: wanted a list of writes, found {type(rows).__name__}")
    writes = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not {"tag_path", "from", "to", "unit"} <= row.keys():
            raise ValueError(
                f"proposed_writes: entry {number} wants tag_path, from, to and unit, found {row!r}"
            )
        writes.append(
            ProposedWrite(tag_path=row["tag_path"], present=row["from"], target=row["to"], unit=row["unit"])
        )
    return tuple(writes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetpointChange:
    """One line of a remedy: by how many percent to move a set-point, or which value to give it."""

    setpoint: str
    change_percent: float | None = None
    value: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What to do about one issue at one severity: words for people, changes for the plant.

    No changes means that a person has to act; approving such a recommendation opens a work order. `name` is how
    an advisor may choose it, unique on its equipment; empty: it cannot be chosen by name.
    """

    issue_type: str
    severity: Severity
    action: str
    expected_outcome: str = ""
    changes: tuple[SetpointChange, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is about to become a row of `agent_recommendations`."""

    equipment_id: str
    issue_type: str
    severity: Severity
    confidence: float
    root_cause: str
    action: str
    expected_outcome: str
    writes: tuple[ProposedWrite, ...]
    readings: Mapping[str, float | None] = field(default_factory=dict)
    evidence: Mapping[str, object] = field(default_factory=dict)
    source: str = "rules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a recommendation stands in the database: what the agent needs to decide what comes next."""

    recommendation_id: str
    status: RecommendationStatus
    severity: Severity
    writes_text: str
    created_by_agent: str
    changed_s_ago: float

    @property
    def open(self) -> bool:
        """True while it holds the one place of its equipment and issue."""
        return self.status in OPEN_RECOMMENDATION


def exact_writes(
    remedy: Remedy, setpoints: Mapping[str, Tag], live: Mapping[str, Reading], now_utc: datetime
) -> tuple[tuple[ProposedWrite, ...], tuple[Refusal, ...]]:
    """Turn a remedy into exact writes from live values, all or nothing.

    `setpoints` are the equipment's tags by set-point name, `live` their present readings by tag path. A
    change that would leave the set-point as it is, is left out. When any change is refused, no write is
    proposed at all and the refusals say why: half a remedy is a remedy nobody thought through.
    """
    writes: list[ProposedWrite] = []
    refusals: list[Refusal] = []
    for change in remedy.changes:
        outcome = _exact_write(change, setpoints.get(change.setpoint), live, now_utc)
        if isinstance(outcome, Refusal):
            if outcome.code is not RefusalCode.NO_CHANGE:
                refusals.append(outcome)
        else:
            writes.append(outcome)
    return ((), tuple(refusals)) if refusals else (tuple(writes), ())


def remedy_for(remedies: Sequence[Remedy], issue_type: str, severity: Severity) -> Remedy | None:
    """The remedy configured for the issue at this severity, or at the nearest one below it."""
    return next(iter(remedies_for(remedies, issue_type, severity)), None)


def remedies_for(remedies: Sequence[Remedy], issue_type: str, severity: Severity) -> tuple[Remedy, ...]:
    """All remedies that the configuration allows at this severity, the one that rules propose first.

    One that is configured for a higher severity only is not among them: nobody allowed it yet.
    """
    fitting = [
        remedy
        for remedy in remedies
        if remedy.issue_type == issue_type and remedy.severity.rank <= severity.rank
    ]
    return tuple(sorted(fitting, key=lambda remedy: -remedy.severity.rank))


def _exact_write(
    change: SetpointChange, tag: Tag | None, live: Mapping[str, Reading], now_utc: datetime
) -> ProposedWrite | Refusal:
    if tag is None:
        return Refusal(RefusalCode.NOT_LISTED, f"the equipment has no set-point named {change.setpoint}")
    reading = live.get(tag.path)
    if reading is None or reading.value is None:
        return Refusal(RefusalCode.UNREADABLE, f"{tag.path} has no present value to start from")
    if reading.quality is not Quality.GOOD:
        return Refusal(RefusalCode.BAD_QUALITY, f"{tag.path} reads {reading.status}; a write wants Good")
    present = reading.value
    if isinstance(present, str):
        return Refusal(RefusalCode.WRONG_TYPE, f"{tag.path} holds text, not a set-point")
    target = _target(change, tag, present)
    if isinstance(target, Refusal):
        return target
    wrong = conforms(target, tag.data_type)
    if wrong is not None:
        return Refusal(RefusalCode.WRONG_TYPE, f"{tag.path}: {wrong}")
    tolerance = tag.limits.tolerance if tag.limits is not None else 0.0
    if equal_enough(present, target, data_type=tag.data_type, tolerance=tolerance):
        # Also when it differs by less than the tolerance: no read-back could tell old from new.
        return Refusal(RefusalCode.NO_CHANGE, f"{tag.path} already is {present!r}")
    age_s = (now_utc - reading.received_utc).total_seconds()
    refusal = check_write(
        tag.path, float(target), tag.unit, tag.limits, WriteFacts(present=float(present), reading_age_s=age_s)
    )
    if refusal is not None:
        return refusal
    return ProposedWrite(tag_path=tag.path, present=present, target=target, unit=tag.unit)


def _target(change: SetpointChange, tag: Tag, present: bool | int | float) -> bool | int | float | Refusal:
    if change.value is not None:
        if isinstance(change.value, str):
            return Refusal(RefusalCode.WRONG_TYPE, f"{tag.path}: text is not a set-point")
        whole = isinstance(change.value, float) and change.value.is_integer()
        # A configured 5 has become 5.0 on its way; on an integer tag it is the 5 that was meant.
        return int(change.value) if whole and tag.data_type not in _FLOATING else change.value
    if change.change_percent is None or isinstance(present, bool):
        return Refusal(
            RefusalCode.WRONG_TYPE, f"{tag.path}: the remedy gives neither a value nor a usable percentage"
        )
    target = present * (1 + change.change_percent / 100)
    resolution = tag.limits.resolution if tag.limits is not None else 0.0
    if resolution > 0:
        # Through decimal digits, so that 450 at a resolution of 0.1 is 450.0 and not 450.00000000000006.
        digits = max(0, -math.floor(math.log10(resolution))) if resolution < 1 else 0
        target = round(round(target / resolution) * resolution, digits + 6)
    if tag.data_type not in _FLOATING:
        return round(target)
    return target
