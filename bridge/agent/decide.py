"""Decide: is this command, at this moment, still exactly what a person approved? Pure rules.

The database has checked the same at approval; here it is checked again just before the write, against
the configuration of this very process and the value the plant shows now.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bridge.domain.approval import digest_of
from bridge.domain.command import Command, same_write
from bridge.domain.limits import Refusal, RefusalCode, WriteFacts, check_write
from bridge.domain.reading import Quality, Reading
from bridge.domain.recommendation import writes_from_json
from bridge.domain.tag import Tag, Value, as_written, conforms, equal_enough


def approved_write(command: Command, tags: Mapping[str, Tag]) -> tuple[Tag, Value] | Refusal:
    """The tag and the typed value of an approved command, or the reason why it must not be written."""
    if not command.approved_digest:
        return Refusal(RefusalCode.NOT_APPROVED, f"{command.recommendation_id} has no approval")
    if digest_of(command.proposed_writes_text) != command.approved_digest:
        return Refusal(
            RefusalCode.DIGEST_MISMATCH,
            f"the writes of {command.recommendation_id} are not the ones that were approved",
        )
    try:
        writes = writes_from_json(command.proposed_writes_text)
    except ValueError as problem:
        return Refusal(RefusalCode.WRONG_FORM, str(problem))
    if not 1 <= command.sequence <= len(writes) or not same_write(command, writes[command.sequence - 1]):
        return Refusal(
            RefusalCode.DIGEST_MISMATCH,
            f"{command.command_id} does not say what place {command.sequence} of the approved writes says",
        )
    tag = tags.get(command.tag_path)
    if tag is None or not tag.writable:
        return Refusal(
            RefusalCode.NOT_LISTED,
            f"{command.tag_path} is not listed as writable in this bridge's configuration",
        )
    if tag.unit != command.unit:
        return Refusal(
            RefusalCode.WRONG_UNIT,
            f"{tag.path} is in {tag.unit or 'no unit'}, the command says {command.unit or 'none'}",
        )
    try:
        value = as_written(command.new_value, tag.data_type)
        as_written(command.expected_value, tag.data_type)  # what it is compared with before the write
    except ValueError as problem:
        return Refusal(RefusalCode.WRONG_TYPE, f"{tag.path}: {problem}")
    wrong = conforms(value, tag.data_type)
    if wrong is not None:
        return Refusal(RefusalCode.WRONG_TYPE, f"{tag.path}: {wrong}")
    return tag, value


def still_right(command: Command, tag: Tag, present: Reading, now_utc: datetime) -> Refusal | None:
    """Compare with the plant as it is now: readable, good, unmoved since the proposal, within all limits."""
    if present.value is None or isinstance(present.value, str):
        return Refusal(
            RefusalCode.UNREADABLE, f"{tag.path} cannot be read ({present.status}); nothing was written"
        )
    if present.quality is not Quality.GOOD:
        return Refusal(
            RefusalCode.BAD_QUALITY,
            f"{tag.path} reads {present.status}; a write wants Good; nothing was written",
        )
    assert tag.limits is not None, "approved_write lets only writable tags through"
    tolerance = tag.limits.tolerance
    expected = as_written(command.expected_value, tag.data_type)
    target = as_written(command.new_value, tag.data_type)
    if equal_enough(present.value, target, data_type=tag.data_type, tolerance=tolerance):
        return Refusal(
            RefusalCode.NO_CHANGE,
            f"{tag.path} already shows {present.value!r} {tag.unit}; nothing was written",
        )
    if not equal_enough(present.value, expected, data_type=tag.data_type, tolerance=tolerance):
        return Refusal(
            RefusalCode.MOVED_AWAY,
            f"{tag.path} shows {present.value!r} {tag.unit}, approved was a change from {expected!r}; "
            "somebody moved it; nothing was written",
        )
    return check_write(
        tag.path,
        float(command.new_value),
        tag.unit,
        tag.limits,
        WriteFacts(
            present=float(present.value),
            reading_age_s=(now_utc - present.received_utc).total_seconds(),
            since_last_write_s=command.since_last_write_s,
            writes_last_hour=command.writes_last_hour,
        ),
    )
