"""Are causes concluded from measured facts, and is what is missing said?"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.detection.root_cause import Direction, RootCause, in_words, root_cause
from bridge.domain.anomaly import BAD_SIGNAL, STALE_SIGNAL, Anomaly, Severity
from bridge.settings import NormalRange

NORMAL = {"pressure": NormalRange(low=1.0, high=3.2), "flow_rate": NormalRange(low=80, high=160)}
UNITS = {"temperature": "°C", "pressure": "bar", "flow_rate": "l/min", "throughput": "kg/h"}


def cause(
    readings: dict[str, float | None],
    *,
    normal: dict[str, NormalRange] | None = None,
    signal: str = "temperature",
    issue: str = "high_temperature",
    direction: Direction | None = "above",
    detail: str = "",
) -> RootCause:
    now_utc = datetime(2024, 1, 1, tzinfo=UTC)
    anomaly = Anomaly(
        equipment_id="REACTOR_01",
        issue_type=issue,
        severity=Severity.HIGH,
        confidence=0.9,
        signal=signal,
        tag_path=f"[default]REACTOR_01/{signal}",
        value=readings.get(signal),
        limit=90.0,
        unit=UNITS.get(signal, ""),
        since_utc=now_utc,
        seen_utc=now_utc,
        readings=readings,
        detail=detail,
    )
    return root_cause(anomaly, normal=NORMAL if normal is None else normal, units=UNITS, direction=direction)


@pytest.mark.parametrize(
    ("pressure", "flow", "wanted"),
    [
        (2.0, 41.5, "loss of coolant flow"),
        (3.9, 41.5, "loss of coolant flow"),
        (3.9, 120.0, "heat load exceeds removal although coolant flows"),
        (2.0, 120.0, "throughput too high for the present cooling; otherwise check the temperature sensor"),
        (0.4, 120.0, "leak or vapour"),
        (None, 120.0, "without pressure, heat load and sensor fault cannot be told apart"),
        (2.0, None, "cannot be said without flow rate"),
        (3.9, None, "Heat load exceeds removal; whether coolant is missing cannot be said"),
        (None, None, "No cause can be named without flow rate and pressure"),
    ],
)
def test_a_high_temperature(pressure: float | None, flow: float | None, wanted: str) -> None:
    found = cause({"temperature": 91.25, "pressure": pressure, "flow_rate": flow})
    assert wanted in found.text
    assert "91.25 °C (limit 90 °C)" in found.text
    assert len(found.facts) == 3
    assert ("pressure has no usable reading" in found.text) == (pressure is None)


def test_facts_have_numbers_units_and_ranges() -> None:
    found = cause({"temperature": 91.2, "pressure": 2.04, "flow_rate": 41.5})
    assert found.facts == [
        "temperature 91.2 °C (limit 90 °C)",
        "pressure 2.04 bar is normal (1 to 3.2 bar)",
        "flow rate 41.5 l/min is below normal (80 to 160 l/min)",
    ]
    assert found.text == (
        "Temperature 91.2 °C (limit 90 °C); flow rate 41.5 l/min is below normal (80 to 160 l/min); "
        "pressure is normal. Likely cause: loss of coolant flow (pump, valve or blockage)."
    )


def test_a_missing_normal_range_is_said() -> None:
    found = cause({"temperature": 91.2, "pressure": 2.0, "flow_rate": 41.5}, normal={})
    assert "flow rate 41.5 l/min, no normal range configured" in found.text
    assert "No cause can be named" in found.text


def test_a_missing_signal_is_said() -> None:
    found = cause({"temperature": 91.2})
    assert "flow rate is not measured" in found.text
    assert "pressure is not measured" in found.text


@pytest.mark.parametrize(
    ("signal", "readings", "wanted"),
    [
        ("pressure", {"pressure": 99.0, "flow_rate": 41.5}, "closed valve"),
        ("flow_rate", {"flow_rate": 99.0, "pressure": 3.9}, "pressure is unusual at the same time"),
        ("flow_rate", {"flow_rate": 99.0, "pressure": 2.0}, "Only flow rate is unusual"),
        ("level", {"level": 99.0}, "No cause can be named from the signals at hand; check level"),
    ],
)
def test_other_signals(signal: str, readings: dict[str, float | None], wanted: str) -> None:
    assert wanted in cause(readings, signal=signal, issue=f"high_{signal}").text


def test_a_low_temperature_is_no_heat_balance() -> None:
    found = cause({"temperature": 20.0, "pressure": 2.0, "flow_rate": 120.0}, direction=None)
    assert found.text.startswith("Temperature 20 °C (lower limit 90 °C)")
    assert "Only temperature is unusual" in found.text


@pytest.mark.parametrize(
    ("issue", "wanted"), [(STALE_SIGNAL, "No current value"), (BAD_SIGNAL, "calls the signal bad")]
)
def test_a_signal_that_cannot_be_seen(issue: str, wanted: str) -> None:
    found = cause({"temperature": None}, issue=issue, detail="temperature: never heard")
    assert wanted in found.text
    assert "not known until" in found.text
    assert found.facts == ["temperature: never heard"]


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [(91.23456, "°C", "91.23 °C"), (123456.7, "kg/h", "123457 kg/h"), (5, "", "5")],
)
def test_numbers_for_people(value: float, unit: str, wanted: str) -> None:
    assert in_words(value, unit) == wanted
