"""Does the detector tell beginnings, changes and ends of conditions, and say when it cannot look?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from bridge.agent.detect import MOST_UNKNOWN, Detector, Event
from bridge.domain.anomaly import BAD_SIGNAL, STALE_SIGNAL, Anomaly, Cleared, Severity
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag, Value
from bridge.plant import Plant
from bridge.settings import Settings

START_UTC = datetime(2024, 1, 1, 12, tzinfo=UTC)
HIGH = "high_temperature"
R1, R2 = "REACTOR_01", "REACTOR_02"


def _tag(name: str, unit: str, **more: object) -> dict[str, object]:
    return {
        "tag": f"[default]{{equipment}}/{name}",
        "address": f"s={{equipment}}/{name}",
        "unit": unit,
        **more,
    }


PLANT = Plant.of(
    Settings.model_validate(
        {
            "links": {"plant": {"kind": "opcua", "endpoint": "opc.tcp://127.0.0.1:4840/plant"}},
            "types": {
                "reactor": {
                    "link": "plant",
                    "signals": {
                        "temperature": _tag("Temperature", "°C"),
                        "pressure": _tag("Pressure", "bar"),
                        "flow_rate": _tag("FlowRate", "l/min", stale_after_s=30),
                    },
                    "setpoints": {
                        "throughput": _tag(
                            "ThroughputSetpoint",
                            "kg/h",
                            data_type="Float",
                            limits={"low": 100, "high": 800},
                        )
                    },
                    "rules": [
                        {
                            "issue": HIGH,
                            "signal": "temperature",
                            "levels": [
                                {"limit": 85, "severity": "medium", "confidence": 0.85},
                                {"limit": 90, "severity": "high", "confidence": 0.9},
                                {"limit": 95, "severity": "critical", "confidence": 0.95},
                            ],
                            "deadband": 2,
                            "on_delay_s": 2,
                            "off_delay_s": 5,
                        },
                        {
                            "issue": "cold",
                            "signal": "temperature",
                            "direction": "below",
                            "levels": [{"limit": 10, "severity": "low"}],
                        },
                        {
                            "issue": "pressure_rises",
                            "signal": "pressure",
                            "direction": "rising",
                            "levels": [{"limit": 1, "severity": "high"}],
                        },
                    ],
                    "normal": {"flow_rate": {"low": 80, "high": 160}},
                }
            },
            "equipment": [{"ids": ["REACTOR_{01..02}"], "type": "reactor"}],
        }
    )
)


def at(after_s: float) -> datetime:
    return START_UTC + timedelta(seconds=after_s)


def reading(
    after_s: float,
    value: Value | None,
    *,
    signal: str = "temperature",
    equipment: str = R1,
    quality: Quality = Quality.GOOD,
    delay_s: float = 0.01,
    status: str = "",
    replayed: bool = False,
    confirmed: bool = False,
) -> Reading:
    unit = PLANT.equipment[equipment]
    tag = unit.signals.get(signal) or unit.setpoints[signal]
    return Reading(
        tag,
        value,
        quality,
        at(after_s),
        at(after_s + delay_s),
        status or ("BadSensorFailure" if quality is Quality.BAD else "Good"),
        replayed,
        confirmed,
    )


def detector() -> Detector:
    return Detector(PLANT, started_utc=START_UTC)


def told(events: Sequence[Event]) -> list[tuple[str, str]]:
    """(issue, severity or cleared) in order."""
    return [
        (event.issue_type, event.severity.value if isinstance(event, Anomaly) else "cleared")
        for event in events
    ]


def run(found: Detector, steps: Sequence[tuple[float, float]]) -> list[Event]:
    """Temperatures of REACTOR_01, one batch each."""
    return [event for after_s, value in steps for event in found.observe([reading(after_s, value)])]


def test_beginning_escalation_and_end_of_one_condition() -> None:
    found = detector()
    events = run(
        found,
        [
            (0, 70),
            (1, 86),
            (2, 87),
            (3, 88),
            (4, 96),
            (6, 97),
            (7, 91),
            (12, 91),
            (13, 80),
            (17, 80),
            (18, 80),
        ],
    )
    assert told(events) == [
        (HIGH, "medium"),
        (HIGH, "critical"),
        (HIGH, "high"),
        (HIGH, "cleared"),
    ]
    begun, risen, fallen, cleared = events
    assert isinstance(begun, Anomaly)
    assert isinstance(risen, Anomaly)
    assert isinstance(fallen, Anomaly)
    assert isinstance(cleared, Cleared)
    assert {begun.since_utc, risen.since_utc, fallen.since_utc} == {at(1)}
    assert (begun.seen_utc, risen.seen_utc, fallen.seen_utc) == (at(3), at(6), at(12))
    assert (begun.value, begun.limit, begun.unit, begun.confidence) == (88.0, 85.0, "°C", 0.85)
    assert (risen.value, risen.limit) == (97.0, 95.0)
    assert begun.tag_path == "[default]REACTOR_01/Temperature"
    assert begun.readings == {"temperature": 88.0, "pressure": None, "flow_rate": None}
    assert begun.detail == "temperature: value 88 °C, upper limit 85 °C"
    assert cleared.cleared_utc == at(18)
    assert found.active() == []


def test_a_whole_condition_within_one_batch() -> None:
    batch = [reading(after_s, value) for after_s, value in ((0, 86), (2, 86), (3, 70), (8, 70), (9, 5))]
    assert told(detector().observe(batch)) == [(HIGH, "medium"), (HIGH, "cleared"), ("cold", "low")]


def test_equipment_is_kept_apart() -> None:
    found = detector()
    events = found.observe([reading(0, 99, equipment=R2), reading(0, 20), reading(2, 99, equipment=R2)])
    assert [(event.equipment_id, event.issue_type) for event in events] == [(R2, HIGH)]


def test_a_rate_of_change_rule() -> None:
    found = detector()
    events: list[Event] = []
    for second in range(0, 60, 5):
        events += found.observe([reading(second, 2 + second * 0.1, signal="pressure")])
    assert told(events) == [("pressure_rises", "high")]
    assert isinstance(events[0], Anomaly)
    assert events[0].value == pytest.approx(6.0)
    assert (events[0].limit, events[0].unit) == (1.0, "bar/min")
    assert "rate of change 6 bar/min, upper limit 1 bar/min" in events[0].detail
    for second in range(60, 150, 5):
        events += found.observe([reading(second, 8.0, signal="pressure")])
    assert told(events)[1:] == [("pressure_rises", "cleared")]


@pytest.mark.parametrize("value", [True, False, "hot", 10**400])
def test_what_is_no_number_is_not_compared(value: Value) -> None:
    found = detector()
    run(found, [(0, 86), (2, 86)])
    assert found.observe([reading(3, value)]) == []
    assert found.tick(at(10)) == []
    assert found.is_blind(R1, HIGH)
    run(found, [(4, 86)])
    assert not found.is_blind(R1, HIGH)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_good_reading_without_a_measurement_is_bad(value: float | None) -> None:
    found = detector()
    assert found.observe([reading(0, value)]) == []
    events = found.tick(at(2.02))
    assert told(events) == [(BAD_SIGNAL, "medium")]
    assert isinstance(events[0], Anomaly)
    assert events[0].detail == f"temperature: {value!r} is no measurement, although the source calls it good"
    assert (events[0].value, events[0].limit, events[0].confidence) == (None, None, 1.0)


def test_bad_needs_two_seconds_and_ends_at_once() -> None:
    found = detector()
    assert found.observe([reading(10, 70, quality=Quality.BAD)]) == []
    assert found.tick(at(11.9)) == []
    begun = found.tick(at(12.1))
    assert told(begun) == [(BAD_SIGNAL, "medium")]
    assert isinstance(begun[0], Anomaly)
    assert begun[0].since_utc == at(10.01)
    assert begun[0].detail == "temperature: BadSensorFailure"
    assert found.tick(at(13)) == []
    cleared = found.observe([reading(14, 70)])
    assert cleared == [Cleared(equipment_id=R1, issue_type=BAD_SIGNAL, cleared_utc=at(14))]


def test_a_short_bad_value_is_no_condition() -> None:
    found = detector()
    found.observe([reading(10, 70, quality=Quality.BAD), reading(11, 70)])
    assert found.tick(at(20)) == []


def test_repeated_bad_readings_report_without_a_tick() -> None:
    found = detector()
    events = [
        event
        for after_s in range(4)
        for event in found.observe([reading(after_s, None, quality=Quality.BAD)])
    ]
    assert told(events) == [(BAD_SIGNAL, "medium")]


def test_bad_signals_of_one_equipment_share_a_condition() -> None:
    found = detector()
    found.observe([reading(0, 1, signal=signal, quality=Quality.BAD) for signal in ("pressure", "flow_rate")])
    assert told(found.tick(at(3))) == [(BAD_SIGNAL, "medium")]
    found.observe([reading(3, None, quality=Quality.BAD)])
    assert found.tick(at(6)) == []
    (shared,) = found.active()
    assert shared.detail == (
        "pressure: BadSensorFailure; flow_rate: BadSensorFailure; temperature: BadSensorFailure"
    )
    assert found.observe([reading(7, 2, signal="pressure"), reading(7, 70)]) == []
    assert told(found.observe([reading(8, 100, signal="flow_rate")])) == [(BAD_SIGNAL, "cleared")]


def test_bad_with_an_old_source_time_still_counts_and_so_does_the_recovery() -> None:
    found = detector()
    found.observe([reading(100, 70)])
    found.observe([reading(20, 70, quality=Quality.BAD, delay_s=85)])
    assert BAD_SIGNAL in [issue for issue, _ in told(found.tick(at(108)))]
    found.observe([reading(110, 70, quality=Quality.BAD)])
    assert (BAD_SIGNAL, "cleared") in told(found.observe([reading(109, 71)]))
    assert found.latest(R1)["temperature"] == 71.0


def test_a_bad_signal_that_falls_silent_stays_bad_only() -> None:
    found = detector()
    found.observe([reading(0, None, quality=Quality.BAD)])
    found.tick(at(3))
    for second in range(60, 90, 5):
        found.tick(at(second))
    stale = next(one for one in found.active() if one.issue_type == STALE_SIGNAL)
    assert "temperature" not in stale.detail


def test_uncertain_is_used_and_said() -> None:
    found = detector()
    found.observe([reading(0, 86, quality=Quality.UNCERTAIN)])
    events = found.observe([reading(2, 86, quality=Quality.UNCERTAIN, status="UncertainSensorNotAccurate")])
    assert told(events) == [(HIGH, "medium")]
    assert isinstance(events[0], Anomaly)
    assert "uncertain (UncertainSensorNotAccurate)" in events[0].detail


def heard(found: Detector, after_s: float, *, equipment: str = R1, **values: float) -> list[Event]:
    """Readings of all signals of one equipment."""
    normal = {"temperature": 70.0, "pressure": 2.0, "flow_rate": 100.0, **values}
    return found.observe(
        [reading(after_s, value, signal=name, equipment=equipment) for name, value in normal.items()]
    )


def test_silence_becomes_stale_two_seconds_of_ticks_later_and_ends_at_once() -> None:
    found = detector()
    heard(found, 0)
    heard(found, 0, equipment=R2)
    heard(found, 40, equipment=R2)
    assert found.tick(at(30)) == []
    assert found.tick(at(30.5)) == []
    begun = found.tick(at(32.5))
    assert told(begun) == [(STALE_SIGNAL, "medium")]
    assert isinstance(begun[0], Anomaly)
    assert (begun[0].equipment_id, begun[0].signal, begun[0].since_utc) == (R1, "flow_rate", at(30))
    assert begun[0].detail == (
        "flow_rate: last value of 2024-01-01 12:00:00 UTC, allowed are 30 s of silence"
    )
    found.tick(at(61))
    assert found.tick(at(63.5)) == []
    (shared,) = found.active()
    assert [part.split(":")[0] for part in shared.detail.split("; ")] == [
        "flow_rate",
        "temperature",
        "pressure",
    ]
    assert told(heard(found, 64)) == [(STALE_SIGNAL, "cleared")]


def test_one_late_tick_is_no_silence() -> None:
    found = detector()
    heard(found, 0)
    heard(found, 0, equipment=R2)
    # The process stood still for two minutes; the readings that waited come right after the tick.
    assert found.tick(at(120)) == []
    heard(found, 120)
    heard(found, 120, equipment=R2)
    assert found.tick(at(125)) == []


def test_never_heard_counts_from_the_start() -> None:
    found = detector()
    assert found.tick(at(29)) == []
    found.tick(at(31))
    events = found.tick(at(33))
    assert told(events) == [(STALE_SIGNAL, "medium")] * 2
    assert isinstance(events[0], Anomaly)
    assert "never heard since 2024-01-01 12:00:00 UTC" in events[0].detail


def test_a_confirmed_constant_is_fresh_and_lets_delays_pass() -> None:
    found = detector()
    heard(found, 0)
    heard(found, 0, equipment=R2)
    found.observe([reading(1, 86)])
    # Nothing changes at the source any more, so only reading on purpose moves time on.
    events = found.observe([reading(1, 86, delay_s=100, confirmed=True)])
    assert told(events) == [(HIGH, "medium")]
    found.tick(at(102))
    found.tick(at(105))
    assert found.latest(R1) == {"temperature": 86.0, "pressure": None, "flow_rate": None}
    # The next report is of a slightly earlier moment than that reading: newer news all the same.
    assert told(found.observe([reading(100.9, 96), reading(103.1, 96)])) == [(HIGH, "critical")]
    assert found.out_of_order == 0


def test_a_late_report_does_not_age_a_confirmed_value() -> None:
    found = detector()
    found.observe([reading(0, 70, delay_s=100, confirmed=True)])
    found.observe([reading(0, 70, delay_s=101)])
    assert found.latest(R1)["temperature"] == 70.0
    assert found.out_of_order == 1


def test_a_late_reading_is_not_acted_on_and_is_no_sign_of_life() -> None:
    found = detector()
    assert found.observe([reading(0, 99, delay_s=61), reading(2, 99, delay_s=61)]) == []
    assert found.latest(R1)["temperature"] is None
    assert found.active() == []
    late = found.reading("[default]REACTOR_01/Temperature")
    assert late is not None
    assert late.value == 99


@pytest.mark.parametrize("replayed", [True, False])
def test_an_older_reading_is_counted_and_changes_nothing(replayed: bool) -> None:
    found = detector()
    found.observe([reading(10, 70)])
    older = [reading(after_s, 99, replayed=replayed, delay_s=11) for after_s in (5, 9)]
    assert found.observe(older) == []
    assert found.out_of_order == 2
    assert found.latest(R1)["temperature"] == 70.0


def test_a_clock_that_was_ahead_and_is_set_back() -> None:
    found = detector()
    found.observe([reading(3600, 70, delay_s=-3600)])
    events = [event for second in (1, 2, 3, 4) for event in found.observe([reading(second, 86)])]
    assert told(events) == [(HIGH, "medium")]
    assert found.latest(R1)["temperature"] == 86.0


def test_a_clock_ahead_does_not_hide_silence() -> None:
    found = detector()
    found.observe([reading(3600, 70, delay_s=-3600)])
    found.tick(at(61))
    assert found.latest(R1)["temperature"] is None


@pytest.mark.parametrize("trouble", [BAD_SIGNAL, STALE_SIGNAL])
def test_a_blind_condition_stays_and_goes_on(trouble: str) -> None:
    found = detector()
    run(found, [(0, 91), (2, 91)])
    assert not found.is_blind(R1, HIGH)
    if trouble == BAD_SIGNAL:
        found.observe([reading(3, 20, quality=Quality.BAD)])
    for second in (63, 66):
        assert (HIGH, "cleared") not in told(found.tick(at(second)))
    assert found.is_blind(R1, HIGH)
    assert not found.is_blind(R1, trouble)
    active = {one.issue_type: one for one in found.active() if one.equipment_id == R1}
    assert trouble in active
    assert (active[HIGH].severity, active[HIGH].value, active[HIGH].limit) == (Severity.HIGH, None, None)
    assert "stands until it can be seen again" in active[HIGH].detail
    assert active[HIGH].readings["temperature"] is None

    back = found.observe([reading(70, 92)])
    assert (trouble in [issue for issue, _ in told(back)]) == (trouble == BAD_SIGNAL)
    assert (HIGH, "high") not in told(back)
    assert not found.is_blind(R1, HIGH)
    high = next(one for one in found.active() if one.issue_type == HIGH)
    assert (high.value, high.since_utc) == (92.0, at(0))
    assert told(run(found, [(71, 70), (76, 70)])) == [(HIGH, "cleared")]


def test_restored_conditions_go_on_and_end_by_the_ordinary_rules() -> None:
    found = detector()
    strangers = found.restore(
        [
            (R1, HIGH, Severity.HIGH, at(-500)),
            (R2, HIGH, Severity.LOW, at(-500)),
            (R1, "no_such_issue", Severity.LOW, at(-400)),
            ("REACTOR_99", HIGH, Severity.HIGH, at(-300)),
            ("REACTOR_99", BAD_SIGNAL, Severity.MEDIUM, at(-300)),
            (R1, BAD_SIGNAL, Severity.CRITICAL, at(-300)),
        ]
    )
    assert strangers == [
        (R2, HIGH, Severity.LOW, at(-500)),
        (R1, "no_such_issue", Severity.LOW, at(-400)),
        ("REACTOR_99", HIGH, Severity.HIGH, at(-300)),
        ("REACTOR_99", BAD_SIGNAL, Severity.MEDIUM, at(-300)),
        (R1, BAD_SIGNAL, Severity.CRITICAL, at(-300)),
    ]
    (restored,) = found.active()
    assert (restored.equipment_id, restored.severity, restored.since_utc) == (R1, Severity.HIGH, at(-500))
    assert restored.value is None
    assert found.is_blind(R1, HIGH)

    assert run(found, [(1, 91)]) == []
    assert not found.is_blind(R1, HIGH)
    fallen = run(found, [(2, 86), (7, 86)])
    assert told(fallen) == [(HIGH, "medium")]
    assert isinstance(fallen[0], Anomaly)
    assert fallen[0].since_utc == at(-500)
    assert told(run(found, [(8, 70), (13, 70)])) == [(HIGH, "cleared")]


def test_a_restored_bad_signal_ends_when_every_suspect_was_heard() -> None:
    found = detector()
    assert found.restore([(R1, BAD_SIGNAL, Severity.MEDIUM, at(-60))]) == []
    assert found.tick(at(5)) == []
    assert found.observe([reading(6, 70), reading(6, 2, signal="pressure")]) == []
    assert "flow_rate: not heard since the restart" in found.active()[0].detail
    assert told(found.observe([reading(7, 100, signal="flow_rate")])) == [(BAD_SIGNAL, "cleared")]


def test_a_restored_bad_signal_that_stays_silent_becomes_stale() -> None:
    found = detector()
    found.restore([(R1, BAD_SIGNAL, Severity.MEDIUM, at(-60))])
    events = [event for second in (61, 64) for event in found.tick(at(second))]
    of_r1 = [event for event in events if event.equipment_id == R1]
    assert sorted(told(of_r1)) == [(BAD_SIGNAL, "cleared"), (STALE_SIGNAL, "medium")]


def test_a_restored_stale_signal_goes_on_without_a_second_anomaly() -> None:
    found = detector()
    found.restore([(R1, STALE_SIGNAL, Severity.MEDIUM, at(-60))])
    events = [event for second in (61, 64) for event in found.tick(at(second))]
    assert [event.equipment_id for event in events] == [R2]
    assert told(heard(found, 65)) == [(STALE_SIGNAL, "cleared")]


def test_latest_and_reading() -> None:
    found = detector()
    setpoint = reading(1, 450.0, signal="throughput")
    found.observe([reading(0, 70), reading(0, True, signal="pressure"), setpoint])
    assert found.latest(R1) == {"temperature": 70.0, "pressure": 1.0, "flow_rate": None}
    assert found.latest("REACTOR_99") == {}
    assert found.reading("[default]REACTOR_01/ThroughputSetpoint") == setpoint
    assert found.reading("[default]REACTOR_02/Temperature") is None
    assert found.reading("[default]nowhere") is None
    found.tick(at(10_000))
    assert found.reading("[default]REACTOR_01/ThroughputSetpoint") == setpoint


def test_a_set_point_recovers_from_bad() -> None:
    found = detector()
    found.observe([reading(10, None, signal="throughput", quality=Quality.BAD)])
    good = reading(9, 450.0, signal="throughput", delay_s=3)
    found.observe([good])
    assert found.reading("[default]REACTOR_01/ThroughputSetpoint") == good
    assert found.tick(at(20)) == []


def test_unknown_equipment_is_noted_and_bounded() -> None:
    found = detector()
    strangers = [
        Reading(
            Tag(
                path=f"[default]X_{number}/T",
                equipment_id=f"X_{number}",
                link="plant",
                route=Route.OPCUA,
                address=f"s=X_{number}/T",
                data_type=DataType.DOUBLE,
                signal="temperature",
            ),
            99.0,
            Quality.GOOD,
            at(0),
            at(0),
        )
        for number in range(MOST_UNKNOWN + 5)
    ]
    assert found.observe(strangers) == []
    assert len(found.unknown_equipment) == MOST_UNKNOWN
    assert "X_0" in found.unknown_equipment
    assert found.unknown_readings == MOST_UNKNOWN + 5


def test_an_empty_batch_and_an_empty_plant() -> None:
    assert detector().observe([]) == []
    nothing = Detector(Plant(equipment={}, tags={}), started_utc=START_UTC)
    assert nothing.observe([reading(0, 99)]) == []
    assert nothing.tick(at(100)) == []
    assert nothing.active() == []


def test_the_root_cause_uses_the_configured_ranges() -> None:
    found = detector()
    found.observe([reading(1, 41.5, signal="flow_rate"), reading(1, 2.0, signal="pressure")])
    (begun,) = run(found, [(0, 91), (2, 91)])
    assert isinstance(begun, Anomaly)
    cause = found.root_cause(begun)
    assert "loss of coolant flow" in cause.text
    assert "pressure 2 bar, no normal range configured" in cause.facts
    run(found, [(3, 5)])
    cold = next(one for one in found.active() if one.issue_type == "cold")
    assert "lower limit 10 °C" in found.root_cause(cold).text


STEP = st.one_of(
    st.tuples(st.just("tick"), st.sampled_from([0.5, 2.5, 40.0, 90.0])),
    st.builds(
        lambda step_s, value, signal, quality, delay_s, confirmed, replayed: (
            "reading",
            step_s,
            {
                "value": value,
                "signal": signal,
                "quality": quality,
                "delay_s": delay_s,
                "confirmed": confirmed,
                "replayed": replayed,
            },
        ),
        st.sampled_from([-4000.0, -1.0, 0.0, 1.0, 2.0, 5.0]),
        st.sampled_from([None, math.nan, True, "x", 5, 70.0, 86.0, 91.0, 99.0]),
        st.sampled_from(["temperature", "pressure", "flow_rate", "throughput"]),
        st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD]),
        st.sampled_from([0.01, 0.01, 1.0, 70.0, -3000.0]),
        st.booleans(),
        st.booleans(),
    ),
)


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(st.lists(STEP, max_size=40), st.integers(1, 5))
def test_the_events_add_up_to_what_is_active(steps: list[Any], batch_size: int) -> None:
    found = detector()
    now_s = 0.0
    open_now: dict[tuple[str, str], Severity] = {}
    waiting: list[Reading] = []

    def take(events: list[Event]) -> None:
        for event in events:
            key = (event.equipment_id, event.issue_type)
            if isinstance(event, Anomaly):
                assert open_now.get(key) is not event.severity
                assert event.since_utc <= event.seen_utc
                open_now[key] = event.severity
            else:
                del open_now[key]

    for step in [*steps, ("tick", 0.5)]:
        if step[0] == "reading":
            now_s += step[1]
            waiting.append(reading(now_s, **step[2]))
            if len(waiting) < batch_size:
                continue
        take(found.observe(waiting))
        waiting = []
        if step[0] == "tick":
            now_s += step[1]
            take(found.tick(at(now_s)))
        assert {(one.equipment_id, one.issue_type): one.severity for one in found.active()} == open_now
