"""A reading: one value of one tag at one moment, with the quality the source gave it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from bridge.domain.tag import Tag, Value


class Quality(StrEnum):
    """How far a value can be trusted, as the source says."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


class Reading(NamedTuple):
    """One value of one tag. A NamedTuple, not a dataclass: tens of thousands are made each second.

    `source_time_utc` is when the source says the value arose, `received_utc` when it reached us; both are
    aware. `status` is the source's own word for the quality (an OPC UA status name). `replayed` marks what
    a link delivered again after a reconnect; `confirmed` marks what we read on purpose at `received_utc`,
    so that a constant value is known to be current. `value` is None when the source sent none.
    """

    tag: Tag
    value: Value | None
    quality: Quality
    source_time_utc: datetime
    received_utc: datetime
    status: str = "Good"
    replayed: bool = False
    confirmed: bool = False


def is_late(reading: Reading) -> bool:
    """True when a value was already too old on arrival to act on; it is stored all the same."""
    if reading.confirmed:
        return False
    return (reading.received_utc - reading.source_time_utc).total_seconds() > reading.tag.stale_after_s
