"""Write limits: the allow-list entry of one tag, and the check that every route passes through.

The same check runs when a write is proposed, when it is approved (in the database, by trigger) and again
just before it is sent, each time against the freshest facts at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class RefusalCode(StrEnum):
    """Names of refusals. Stable: operators, logs and tests match on these, never on the prose."""

    NOT_LISTED = "not_listed"  # the tag is not in the list of writable tags
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    STEP_TOO_LARGE = "step_too_large"
    TOO_SOON = "too_soon"  # min_interval_s since the last write to this tag has not passed
    TOO_MANY_WRITES = "too_many_writes"  # max_writes_per_hour is used up
    READING_TOO_OLD = "reading_too_old"
    BAD_QUALITY = "bad_quality"
    UNREADABLE = "unreadable"  # the value before the write could not be read
    MOVED_AWAY = "moved_away"  # the plant no longer shows the value the operator saw
    NO_CHANGE = "no_change"
    DISARMED = "disarmed"
    NOT_APPROVED = "not_approved"
    DIGEST_MISMATCH = "digest_mismatch"  # what would be written is not what was approved
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"  # an earlier write of the same recommendation did not succeed
    LINK_DOWN = "link_down"
    REFUSED_BY_SERVER = "refused_by_server"
    READ_BACK_DIFFERS = "read_back_differs"
    NOT_CONFIRMED = "not_confirmed"  # sent, and no read-back told the outcome
    LEASE_LOST = "lease_lost"  # somebody else took the command over
    # Said by the database's own rules:
    ILLEGAL_TRANSITION = "illegal_transition"
    NOT_PERMITTED = "not_permitted"  # this role may not follow this arrow
    ALREADY_DECIDED = "already_decided"
    ALREADY_SENT = "already_sent"
    IMMUTABLE = "immutable"
    APPEND_ONLY = "append_only"
    NAME_REQUIRED = "name_required"
    REASON_REQUIRED = "reason_required"
    TIME_REQUIRED = "time_required"
    WRONG_FORM = "wrong_form"
    WRONG_UNIT = "wrong_unit"
    WRONG_ROUTE = "wrong_route"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A named no: `code` for machines, `reason` for the person who reads it at night."""

    code: RefusalCode
    reason: str

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLimits:
    """What may be written to one tag. All values in the tag's engineering unit unless named otherwise.

    low, high: inclusive range of a set-point. max_step: largest change in one write (None: the whole
    range). min_interval_s: least time between two writes. max_writes_per_hour: budget of writes.
    max_age_s: how old the reading may be on which a write is based. tolerance: how far the value may have
    moved since it was proposed, and how far a read-back may be off, and still count as the same.
    resolution: proposals are rounded to multiples of it (0: not rounded). settle_s: how long a read-back
    may take to show the new value.
    """

    low: float
    high: float
    max_step: float | None = None
    min_interval_s: float = 0.0
    max_writes_per_hour: int = 60
    max_age_s: float = 30.0
    tolerance: float = 0.0
    resolution: float = 0.0
    settle_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFacts:
    """What is known at the moment of the check. None means not known yet and skips that check."""

    present: float | None = None
    reading_age_s: float | None = None
    since_last_write_s: float | None = None
    writes_last_hour: int | None = None


def check_write(
    tag_path: str, value: float, unit: str, limits: WriteLimits | None, facts: WriteFacts
) -> Refusal | None:
    """Refuse a write by name, or return None when every limit holds.

    Out of range is refused, never clipped: a clipped set-point is one that nobody approved.
    """
    if limits is None:
        return Refusal(
            RefusalCode.NOT_LISTED,
            f"{tag_path} is not listed as writable; list it with a range in bridge.toml if it should be",
        )
    if not math.isfinite(value):
        return Refusal(RefusalCode.WRONG_TYPE, f"{tag_path}: wanted a finite number, found {value!r}")
    if not limits.low <= value <= limits.high:
        return Refusal(
            RefusalCode.OUT_OF_RANGE,
            f"{tag_path}: {_show(value, unit)} is outside {limits.low:g} to {_show(limits.high, unit)}",
        )
    if facts.reading_age_s is not None and facts.reading_age_s > limits.max_age_s:
        return Refusal(
            RefusalCode.READING_TOO_OLD,
            f"{tag_path}: the present value is {facts.reading_age_s:.0f} s old, allowed are {limits.max_age_s:g} s",
        )
    if facts.present is not None and limits.max_step is not None:
        step = abs(value - facts.present)
        if step > limits.max_step * (1 + 1e-9):
            return Refusal(
                RefusalCode.STEP_TOO_LARGE,
                f"{tag_path}: a step of {_show(step, unit)} from {_show(facts.present, unit)} exceeds "
                f"{_show(limits.max_step, unit)}",
            )
    if facts.since_last_write_s is not None and facts.since_last_write_s < limits.min_interval_s:
        return Refusal(
            RefusalCode.TOO_SOON,
            f"{tag_path}: last written {facts.since_last_write_s:.1f} s ago, wait {limits.min_interval_s:g} s",
        )
    if facts.writes_last_hour is not None and facts.writes_last_hour >= limits.max_writes_per_hour:
        return Refusal(
            RefusalCode.TOO_MANY_WRITES,
            f"{tag_path}: {facts.writes_last_hour} writes in the last hour, allowed are {limits.max_writes_per_hour}",
        )
    return None


def _show(value: float, unit: str) -> str:
    return f"{value:g} {unit}".rstrip()
