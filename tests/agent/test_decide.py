"""Decide: every way in which a claimed command is no longer what a person approved, or no longer right."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.agent.decide import approved_write, still_right
from bridge.domain.approval import digest_of
from bridge.domain.command import Command
from bridge.domain.limits import Refusal, RefusalCode, WriteLimits
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag, Value

NOW = datetime(2025, 11, 20, 12, 0, 0, tzinfo=UTC)
LIMITS = WriteLimits(
    low=100,
    high=800,
    max_step=130,
    min_interval_s=40,
    max_writes_per_hour=7,
    max_age_s=11,
    tolerance=0.5,
)


def tag_of(name: str, data_type: DataType, unit: str, limits: WriteLimits | None = LIMITS) -> Tag:
    return Tag(
        path=f"[default]R/{name}",
        equipment_id="R",
        link="plant",
        route=Route.OPCUA,
        address=f"s={name}",
        data_type=data_type,
        unit=unit,
        limits=limits,
    )


FLOW = tag_of("Flow", DataType.FLOAT, "kg/h")
FAN = tag_of("Fan", DataType.BOOLEAN, "", WriteLimits(low=0, high=1))
STAGE = tag_of("Stage", DataType.INT16, "", WriteLimits(low=0, high=9))
TAGS = {tag.path: tag for tag in (FLOW, FAN, STAGE)}
WRITES = [
    {"tag_path": FLOW.path, "from": 500.0, "to": 375.0, "unit": "kg/h"},
    {"tag_path": FAN.path, "from": False, "to": True, "unit": ""},
    {"tag_path": STAGE.path, "from": 3, "to": 5, "unit": ""},
]


def command_of(place: int = 1, *, writes: object = None) -> Command:
    """The command that the database makes of one place of the approved writes."""
    entries = WRITES if writes is None else writes
    text = json.dumps(entries)
    assert isinstance(entries, list)
    entry = entries[place - 1]
    return Command(
        command_id=f"C-{place}",
        recommendation_id="R-9",
        equipment_id="R",
        tag_path=entry["tag_path"],
        sequence=place,
        expected_value=float(entry["from"]),
        new_value=float(entry["to"]),
        unit=entry["unit"],
        claimed_by="bridge/1",
        lease_left_s=15.0,
        proposed_writes_text=text,
        approved_digest=digest_of(text),
        since_last_write_s=41.0,
        writes_last_hour=6,
    )


def reading(tag: Tag, value: Value | None, **changes: object) -> Reading:
    made = Reading(tag, value, Quality.GOOD, NOW, NOW, "Good", False, True)
    return made._replace(**changes)  # type: ignore[arg-type]


def code_of(outcome: object) -> RefusalCode | None:
    if outcome is None or isinstance(outcome, tuple):
        return None
    assert isinstance(outcome, Refusal)
    assert outcome.reason, "a refusal says why"
    return outcome.code


@pytest.mark.parametrize(
    ("place", "tag", "value"), [(1, FLOW, 375.0), (2, FAN, True), (3, STAGE, 5)], ids=["float", "bool", "int"]
)
def test_approved_command_gives_tag_and_value_in_its_own_type(place: int, tag: Tag, value: Value) -> None:
    """What is approved comes out as the very tag and a value of the tag's type, not merely an equal number."""
    outcome = approved_write(command_of(place), TAGS)
    assert outcome == (tag, value)
    assert isinstance(outcome, tuple)
    assert type(outcome[1]) is type(value)


BOOLEAN_BETWEEN = [{"tag_path": FAN.path, "from": False, "to": 0.5, "unit": ""}]
BOOLEAN_FROM_BETWEEN = [{"tag_path": FAN.path, "from": 0.25, "to": True, "unit": ""}]
HALF_STAGE = [{"tag_path": STAGE.path, "from": 3, "to": 4.5, "unit": ""}]
FROM_HALF_STAGE = [{"tag_path": STAGE.path, "from": 2.5, "to": 4, "unit": ""}]
HUGE_STAGE = [{"tag_path": STAGE.path, "from": 3, "to": 40_000, "unit": ""}]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (replace(command_of(), approved_digest=""), RefusalCode.NOT_APPROVED),
        (replace(command_of(), approved_digest=digest_of("[]")), RefusalCode.DIGEST_MISMATCH),
        (
            replace(command_of(), proposed_writes_text=json.dumps(WRITES).replace("375", "376")),
            RefusalCode.DIGEST_MISMATCH,
        ),
        (replace(command_of(), sequence=2), RefusalCode.DIGEST_MISMATCH),
        (replace(command_of(), sequence=0), RefusalCode.DIGEST_MISMATCH),
        (replace(command_of(), sequence=4), RefusalCode.DIGEST_MISMATCH),
        (replace(command_of(), new_value=374.0), RefusalCode.DIGEST_MISMATCH),
        (replace(command_of(), expected_value=501.0), RefusalCode.DIGEST_MISMATCH),
        (replace(command_of(), tag_path=FAN.path), RefusalCode.DIGEST_MISMATCH),
        (replace(command_of(), unit="t/h"), RefusalCode.DIGEST_MISMATCH),
        (
            replace(command_of(), proposed_writes_text="{}", approved_digest=digest_of("{}")),
            RefusalCode.WRONG_FORM,
        ),
        (command_of(writes=BOOLEAN_BETWEEN), RefusalCode.WRONG_TYPE),
        (command_of(writes=BOOLEAN_FROM_BETWEEN), RefusalCode.WRONG_TYPE),
        (command_of(writes=HALF_STAGE), RefusalCode.WRONG_TYPE),
        (command_of(writes=FROM_HALF_STAGE), RefusalCode.WRONG_TYPE),
        (command_of(writes=HUGE_STAGE), RefusalCode.WRONG_TYPE),
    ],
    ids=[
        "no approval",
        "approval of other writes",
        "writes changed behind the approval",
        "sequence swapped",
        "sequence before the first",
        "sequence after the last",
        "another target",
        "another start",
        "another tag",
        "another unit",
        "not a list",
        "Boolean 0.5",
        "Boolean from 0.25",
        "integer 4.5",
        "integer from 2.5",
        "outside the integer's bounds",
    ],
)
def test_command_that_is_not_what_was_approved_is_refused_by_name(
    command: Command, code: RefusalCode
) -> None:
    """Each difference between command and approval ends in its own named refusal, and never in an exception."""
    assert code_of(approved_write(command, TAGS)) is code


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({FAN.path: FAN}, RefusalCode.NOT_LISTED),
        ({FLOW.path: replace(FLOW, limits=None)}, RefusalCode.NOT_LISTED),
        ({FLOW.path: replace(FLOW, unit="t/h")}, RefusalCode.WRONG_UNIT),
        ({FLOW.path: replace(FLOW, data_type=DataType.BOOLEAN)}, RefusalCode.WRONG_TYPE),
        ({FLOW.path: replace(FLOW, data_type=DataType.STRING)}, RefusalCode.WRONG_TYPE),
    ],
    ids=["withdrawn", "not writable any more", "unit differs", "became a switch", "became text"],
)
def test_configuration_that_changed_since_the_approval_is_refused(
    tags: dict[str, Tag], code: RefusalCode
) -> None:
    """An approval does not outlive the configuration it was given under."""
    assert code_of(approved_write(command_of(), tags)) is code


@pytest.mark.parametrize(
    ("present", "command", "code"),
    [
        (reading(FLOW, 500.0), command_of(), None),
        (reading(FLOW, 500.5), command_of(), None),
        (
            reading(FLOW, None, quality=Quality.BAD, status="BadSensorFailure"),
            command_of(),
            RefusalCode.UNREADABLE,
        ),
        (reading(FLOW, "500"), command_of(), RefusalCode.UNREADABLE),
        (reading(FLOW, 500.0, quality=Quality.BAD), command_of(), RefusalCode.BAD_QUALITY),
        (reading(FLOW, 500.0, quality=Quality.UNCERTAIN), command_of(), RefusalCode.BAD_QUALITY),
        (reading(FLOW, 375.0), command_of(), RefusalCode.NO_CHANGE),
        (reading(FLOW, 375.4), command_of(), RefusalCode.NO_CHANGE),
        (reading(FLOW, 500.6), command_of(), RefusalCode.MOVED_AWAY),
        (reading(FLOW, 480.0), command_of(), RefusalCode.MOVED_AWAY),
        (reading(FLOW, float("nan")), command_of(), RefusalCode.MOVED_AWAY),
        (reading(FLOW, True), command_of(), RefusalCode.MOVED_AWAY),
        (
            reading(FLOW, 500.0, received_utc=NOW - timedelta(seconds=12)),
            command_of(),
            RefusalCode.READING_TOO_OLD,
        ),
        (reading(FLOW, 500.0), replace(command_of(), since_last_write_s=39.0), RefusalCode.TOO_SOON),
        (reading(FLOW, 500.0), replace(command_of(), since_last_write_s=None), None),
        (reading(FLOW, 500.0), replace(command_of(), writes_last_hour=7), RefusalCode.TOO_MANY_WRITES),
        (reading(FLOW, 500.0), replace(command_of(), new_value=801.0), RefusalCode.OUT_OF_RANGE),
        (reading(FLOW, 500.0), replace(command_of(), new_value=99.0), RefusalCode.OUT_OF_RANGE),
        (reading(FLOW, 500.0), replace(command_of(), new_value=631.0), RefusalCode.STEP_TOO_LARGE),
        (reading(FLOW, 500.0), replace(command_of(), new_value=float("nan")), RefusalCode.WRONG_TYPE),
        (reading(FAN, False), command_of(2), None),
        (reading(FAN, True), command_of(2), RefusalCode.NO_CHANGE),
        (reading(FAN, 0), command_of(2), RefusalCode.MOVED_AWAY),
    ],
    ids=[
        "as approved",
        "within tolerance",
        "unreadable",
        "text",
        "bad quality",
        "uncertain quality",
        "already there",
        "already there within tolerance",
        "moved by more than the tolerance",
        "moved away",
        "not a number",
        "another type",
        "too old",
        "too soon",
        "never written before",
        "too many",
        "above the range",
        "below the range",
        "step too large",
        "target not a number",
        "switch as approved",
        "switch already on",
        "switch shows a number",
    ],
)
def test_plant_is_compared_once_more_before_the_write(
    present: Reading, command: Command, code: RefusalCode | None
) -> None:
    """Only a plant that is readable, good, unmoved and within every limit lets the write go."""
    assert code_of(still_right(command, present.tag, present, NOW)) is code
