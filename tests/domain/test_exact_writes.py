"""Are the proposed writes computed from what the plant shows now, all of them or none?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.anomaly import Severity
from bridge.domain.command import Command, same_write
from bridge.domain.lifecycle import OPEN_RECOMMENDATION, RecommendationStatus
from bridge.domain.limits import Refusal, RefusalCode, WriteLimits
from bridge.domain.reading import Quality, Reading, is_late
from bridge.domain.recommendation import (
    ProposedWrite,
    Remedy,
    SetpointChange,
    Standing,
    exact_writes,
    remedy_for,
    writes_from_json,
)
from bridge.domain.tag import DataType, Route, Tag, Value

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_setpoint(name: str, data_type: DataType = DataType.DOUBLE, **limits: float) -> Tag:
    return Tag(
        path=f"[default]R/{name}",
        equipment_id="R",
        link="plant",
        route=Route.OPCUA,
        address=name,
        data_type=data_type,
        unit="" if data_type is DataType.BOOLEAN else "kg/h",
        setpoint=name,
        limits=WriteLimits(**({"low": 0.0, "high": 1000.0} | limits)),  # type: ignore[arg-type]
    )


THROUGHPUT = a_setpoint("throughput", DataType.FLOAT, low=100.0, high=800.0, max_step=300.0, tolerance=0.5)
COOLING = a_setpoint("cooling", DataType.BOOLEAN, low=0.0, high=1.0)
STAGE = a_setpoint("stage", DataType.INT16, low=0.0, high=20.0)
SETPOINTS = {"throughput": THROUGHPUT, "cooling": COOLING, "stage": STAGE}


def live(
    *values: tuple[Tag, Value | None], quality: Quality = Quality.GOOD, age_s: float = 1.0
) -> dict[str, Reading]:
    moment = NOW - timedelta(seconds=age_s)
    return {
        tag.path: Reading(tag, value, quality, moment, moment, "Good" if quality is Quality.GOOD else "BadX")
        for tag, value in values
    }


def remedy(*changes: SetpointChange) -> Remedy:
    return Remedy(issue_type="hot", severity=Severity.HIGH, action="do it", changes=changes)


def percent(number: float, name: str = "throughput") -> SetpointChange:
    return SetpointChange(setpoint=name, change_percent=number)


def value(wanted: Value, name: str) -> SetpointChange:
    return SetpointChange(setpoint=name, value=wanted)


def one(
    change: SetpointChange, tag: Tag, present: Value | None
) -> tuple[ProposedWrite | None, Refusal | None]:
    writes, refusals = exact_writes(remedy(change), {change.setpoint: tag}, live((tag, present)), NOW)
    return (writes[0] if writes else None), (refusals[0] if refusals else None)


@pytest.mark.parametrize(
    ("change", "present", "target"),
    [(-10, 450.0, 405.0), (-25, 400.0, 300.0), (-50, 600.0, 300.0), (20, 500.0, 600.0)],
)
def test_a_percentage_is_of_what_the_plant_shows_now(change: float, present: float, target: float) -> None:
    """The write must hold the live value, the absolute target and the unit."""
    write, refusal = one(percent(change), THROUGHPUT, present)
    assert refusal is None
    assert write == ProposedWrite(tag_path=THROUGHPUT.path, present=present, target=target, unit="kg/h")
    assert write.as_json() == {"tag_path": THROUGHPUT.path, "from": present, "to": target, "unit": "kg/h"}


@pytest.mark.parametrize(
    ("resolution", "present", "change", "target"),
    [
        (0.5, 433.3, -10, 390.0),
        (0.5, 434.0, -10, 390.5),
        (0.1, 450.05, -10, 405.0),
        (5.0, 433.0, -10, 390.0),
        (0.0, 433.3, -10, 433.3 * 0.9),
        (0.25, 401.0, -10, 361.0),
    ],
)
def test_a_proposal_is_rounded_to_the_resolution(
    resolution: float, present: float, change: float, target: float
) -> None:
    """Targets must be multiples of the resolution, as a person would write them; 0 must not round."""
    assert THROUGHPUT.limits is not None
    tag = replace(THROUGHPUT, limits=replace(THROUGHPUT.limits, resolution=resolution))
    write, _ = one(percent(change), tag, present)
    assert write is not None
    assert write.target == pytest.approx(target, abs=1e-9)
    assert resolution == 0 or len(repr(write.target)) <= 6


@pytest.mark.parametrize(
    ("present", "change", "target"), [(10, -25, 8), (9, -10, 8), (3, 50, 4), (7, -50, 4)]
)
def test_an_integer_tag_gets_an_integer(present: int, change: float, target: int) -> None:
    """A percentage of an integer must be rounded to a whole number of the type."""
    write, _ = one(percent(change, "stage"), STAGE, present)
    assert write is not None
    assert write.target == target
    assert type(write.target) is int


def test_a_whole_number_from_the_configuration_fits_an_integer_tag() -> None:
    """TOML's 5 arrives as 5.0; on an integer tag it must become 5 and not a refusal."""
    write, refusal = one(value(5.0, "stage"), STAGE, 3)
    assert refusal is None
    assert write is not None
    assert (write.target, type(write.target)) == (5, int)


def test_a_fraction_from_the_configuration_does_not_fit_an_integer_tag() -> None:
    """5.5 on an integer tag must be refused and not rounded."""
    _, refusal = one(value(5.5, "stage"), STAGE, 3)
    assert refusal is not None
    assert refusal.code is RefusalCode.WRONG_TYPE


@pytest.mark.parametrize("wanted", [True, False])
def test_a_boolean_is_switched(wanted: bool) -> None:
    """A boolean value must be proposed as a boolean."""
    write, _ = one(value(wanted, "cooling"), COOLING, not wanted)
    assert write is not None
    assert (write.present, write.target) == (not wanted, wanted)
    assert type(write.target) is bool


def test_a_change_that_is_none_is_left_out_and_the_rest_proposed() -> None:
    """Cooling that is on already must not be written again, and must not stop the throughput."""
    writes, refusals = exact_writes(
        remedy(percent(-10), value(True, "cooling")),
        SETPOINTS,
        live((THROUGHPUT, 450.0), (COOLING, True)),
        NOW,
    )
    assert refusals == ()
    assert [write.tag_path for write in writes] == [THROUGHPUT.path]


def test_a_change_within_the_tolerance_is_none() -> None:
    """A target that no read-back could tell from the present value must be left out."""
    assert one(percent(-0.1), THROUGHPUT, 450.0) == (None, None)
    write, _ = one(percent(-0.2), THROUGHPUT, 450.0)
    assert write is not None


def test_writes_come_in_the_order_of_the_remedy() -> None:
    """The order of the remedy is the order of the writes."""
    readings = live((THROUGHPUT, 450.0), (COOLING, False))
    for changes in ([percent(-10), value(True, "cooling")], [value(True, "cooling"), percent(-10)]):
        writes, _ = exact_writes(remedy(*changes), SETPOINTS, readings, NOW)
        assert [write.tag_path for write in writes] == [SETPOINTS[c.setpoint].path for c in changes]


REFUSED: dict[str, tuple[SetpointChange, dict[str, Reading], RefusalCode]] = {
    "no such set-point": (percent(-10, "speed"), live(), RefusalCode.NOT_LISTED),
    "never read": (percent(-10), live(), RefusalCode.UNREADABLE),
    "no value": (percent(-10), live((THROUGHPUT, None)), RefusalCode.UNREADABLE),
    "bad quality": (percent(-10), live((THROUGHPUT, 450.0), quality=Quality.BAD), RefusalCode.BAD_QUALITY),
    "uncertain quality": (
        percent(-10),
        live((THROUGHPUT, 450.0), quality=Quality.UNCERTAIN),
        RefusalCode.BAD_QUALITY,
    ),
    "stale": (percent(-10), live((THROUGHPUT, 450.0), age_s=31), RefusalCode.READING_TOO_OLD),
    "below the range": (percent(-10), live((THROUGHPUT, 105.0)), RefusalCode.OUT_OF_RANGE),
    "above the range": (percent(20), live((THROUGHPUT, 790.0)), RefusalCode.OUT_OF_RANGE),
    "step too large": (percent(-50), live((THROUGHPUT, 700.0)), RefusalCode.STEP_TOO_LARGE),
    "percentage of a boolean": (percent(-10, "cooling"), live((COOLING, True)), RefusalCode.WRONG_TYPE),
    "number for a boolean": (value(1.0, "cooling"), live((COOLING, False)), RefusalCode.WRONG_TYPE),
    "boolean for a number": (value(True, "throughput"), live((THROUGHPUT, 450.0)), RefusalCode.WRONG_TYPE),
    "text present": (percent(-10), live((THROUGHPUT, "450")), RefusalCode.WRONG_TYPE),
    "text wanted": (value("off", "throughput"), live((THROUGHPUT, 450.0)), RefusalCode.WRONG_TYPE),
    "NaN present": (percent(-10), live((THROUGHPUT, float("nan"))), RefusalCode.WRONG_TYPE),
    "neither percent nor value": (
        SetpointChange(setpoint="throughput"),
        live((THROUGHPUT, 450.0)),
        RefusalCode.WRONG_TYPE,
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_change_that_cannot_be_made_safely_is_refused_by_name(case: str) -> None:
    """Each reason must come as its own code, and nothing be proposed."""
    change, readings, code = REFUSED[case]
    writes, refusals = exact_writes(remedy(change), SETPOINTS, readings, NOW)
    assert writes == ()
    assert [refusal.code for refusal in refusals] == [code]


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_half_a_remedy_is_no_remedy(case: str) -> None:
    """One refused change must take the good ones with it, before or after them."""
    change, readings, code = REFUSED[case]
    fresh = a_setpoint("spare")
    good = percent(-10, "spare")
    for changes in ((good, change), (change, good)):
        writes, refusals = exact_writes(
            remedy(*changes), SETPOINTS | {"spare": fresh}, readings | live((fresh, 450.0)), NOW
        )
        assert writes == ()
        assert [refusal.code for refusal in refusals] == [code]


def test_every_refusal_is_told_and_not_only_the_first() -> None:
    """Two refused changes must give two reasons."""
    _, refusals = exact_writes(
        remedy(percent(-10), value(True, "cooling")), SETPOINTS, live((THROUGHPUT, 105.0)), NOW
    )
    assert [refusal.code for refusal in refusals] == [RefusalCode.OUT_OF_RANGE, RefusalCode.UNREADABLE]


@given(present=st.floats(100, 800), change=st.floats(-60, 60))
def test_what_is_proposed_keeps_every_limit(present: float, change: float) -> None:
    """For any value and percentage, a proposed write must be in range, within the step and a real change."""
    write, refusal = one(percent(change), THROUGHPUT, present)
    if write is not None:
        assert refusal is None
        assert isinstance(write.target, float)
        assert 100.0 <= write.target <= 800.0
        assert 0.5 < abs(write.target - present) <= 300.0 * (1 + 1e-9)


# Choosing, reading back, standing


def test_the_nearest_remedy_at_or_below_the_severity_is_chosen() -> None:
    """A severity without a remedy of its own gets the one below it; below the lowest there is none."""
    low = replace(remedy(), severity=Severity.MEDIUM, action="medium")
    high = replace(remedy(), severity=Severity.CRITICAL, action="critical")
    for severity, expected in (
        (Severity.LOW, None),
        (Severity.MEDIUM, low),
        (Severity.HIGH, low),
        (Severity.CRITICAL, high),
    ):
        assert remedy_for([high, low], "hot", severity) is expected
    assert remedy_for([low], "cold", Severity.CRITICAL) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "wanted a list of writes, found dict"),
        ("[7]", "entry 1 wants tag_path, from, to and unit"),
        ('[{"tag_path": "x", "from": 1, "to": 2}]', "entry 1 wants"),
        (
            '[{"tag_path": "x", "from": 1, "to": 2, "unit": ""}, {"tag_path": "x"}]',
            "entry 2 wants",
        ),
        ("no json", "Expecting value"),
    ],
)
def test_writes_of_another_form_are_refused_with_what_is_wrong(text: str, words: str) -> None:
    """Anything but a list of whole writes must be a ValueError that says which entry."""
    with pytest.raises(ValueError, match=words):
        writes_from_json(text)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"new_value": 405.5}, False),
        ({"expected_value": 451.0}, False),
        ({"unit": "t/h"}, False),
        ({"tag_path": "[default]R/other"}, False),
    ],
)
def test_a_command_says_what_the_approved_list_says_or_is_another(
    change: dict[str, float | str], same: bool
) -> None:
    """Tag, target, present value and unit must all be those of the write; a text value is never the same."""
    write = ProposedWrite(tag_path="[default]R/throughput", present=450.0, target=405.0, unit="kg/h")
    fields: dict[str, object] = {
        "command_id": "C-1",
        "recommendation_id": "R-1",
        "equipment_id": "R",
        "tag_path": "[default]R/throughput",
        "sequence": 1,
        "expected_value": 450.0,
        "new_value": 405.0,
        "unit": "kg/h",
        "claimed_by": "b",
        "lease_left_s": 15.0,
        "proposed_writes_text": "",
        "approved_digest": "",
    }
    command = Command(**(fields | change))  # type: ignore[arg-type]
    assert same_write(command, write) is same
    assert not same_write(command, replace(write, target="405"))


@pytest.mark.parametrize("status", list(RecommendationStatus))
def test_a_standing_is_open_as_long_as_it_holds_its_place(status: RecommendationStatus) -> None:
    """Open must mean exactly the states that hold the one place per equipment and issue."""
    standing = Standing(
        recommendation_id="R-1",
        status=status,
        severity=Severity.HIGH,
        writes_text="[]",
        created_by_agent="a",
        changed_s_ago=0.0,
    )
    assert standing.open is (status in OPEN_RECOMMENDATION)


def test_severities_rise() -> None:
    """low, medium, high, critical must rank in this order."""
    assert [severity.rank for severity in Severity] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("delay_s", "confirmed", "late"), [(59, False, False), (61, False, True), (61, True, False)]
)
def test_a_value_that_was_old_on_arrival_is_late_unless_it_was_read_on_purpose(
    delay_s: float, confirmed: bool, late: bool
) -> None:
    """Older than stale_after_s on arrival is late; a value confirmed by a read is current, however old."""
    reading = Reading(
        THROUGHPUT, 1.0, Quality.GOOD, NOW - timedelta(seconds=delay_s), NOW, confirmed=confirmed
    )
    assert is_late(reading) is late
