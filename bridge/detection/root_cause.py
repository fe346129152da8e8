"""Why a condition may have arisen: plain rules over the other signals, in words for an operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from bridge.domain.anomaly import BAD_SIGNAL, STALE_SIGNAL, Anomaly

Direction = Literal["above", "below", "rising", "falling"]
Place = Literal["below normal", "normal", "above normal", "unknown"]

TEMPERATURE, PRESSURE, FLOW = "temperature", "pressure", "flow_rate"


class Range(Protocol):
    """Where a signal usually is, in its own unit, ends included."""

    @property
    def low(self) -> float:
        """Lowest normal value."""
        ...

    @property
    def high(self) -> float:
        """Highest normal value."""
        ...


class RootCause(NamedTuple):
    """A likely cause for the operator, and the facts it was concluded from, one short line each."""

    text: str
    facts: list[str]


def root_cause(
    anomaly: Anomaly,
    *,
    normal: Mapping[str, Range],
    units: Mapping[str, str],
    direction: Direction | None = None,
) -> RootCause:
    """Compare the equipment's other signals with their normal ranges and name the likely cause.

    `normal` and `units` are by signal name and may lack signals; a missing range or reading is said and
    never guessed. `direction` is that of the rule that found the condition; without it, it follows from
    value and limit. The rules for temperature are heat balance: what is not carried away by coolant
    stays, and what is carried away normally must have been too much from the start.
    """
    if anomaly.issue_type == STALE_SIGNAL:
        return RootCause(
            f"No current value: {anomaly.detail or anomaly.signal}. Sensor, wiring, controller or link may be "
            "at fault. The condition of the equipment is not known until the signal is back.",
            [anomaly.detail] if anomaly.detail else [f"{anomaly.signal} is silent"],
        )
    if anomaly.issue_type == BAD_SIGNAL:
        return RootCause(
            f"The source itself calls the signal bad: {anomaly.detail or anomaly.signal}. Check sensor and "
            "wiring. The condition of the equipment is not known until the signal is good.",
            [anomaly.detail] if anomaly.detail else [f"{anomaly.signal} is bad"],
        )
    direction = direction or _direction(anomaly)
    found = _finding(anomaly, direction)
    places: dict[str, Place] = {}
    facts = [found]
    # Pressure and flow rate are asked for even where they are not measured: the rules rest on them.
    asked = [PRESSURE, FLOW] if anomaly.signal == TEMPERATURE else []
    others = dict.fromkeys([*asked, *anomaly.readings, *normal])
    for signal in others:
        if signal == anomaly.signal:
            continue
        places[signal], fact = _place(
            signal, anomaly.readings.get(signal), normal.get(signal), units.get(signal, ""), anomaly.readings
        )
        facts.append(fact)
    hot = anomaly.signal == TEMPERATURE and direction in ("above", "rising")
    likely = _hot(places) if hot else _other(anomaly.signal, places)
    said = [fact for fact, place in zip(facts[1:], places.values(), strict=True) if place != "normal"]
    said_normal = [name for name, place in places.items() if place == "normal"]
    sentences = [found, *said]
    if said_normal:
        sentences.append(f"{_names(said_normal)} normal")
    return RootCause(f"{_sentence(sentences)} {likely}", facts)


def _hot(places: Mapping[str, Place]) -> str:
    flow, pressure = places.get(FLOW, "unknown"), places.get(PRESSURE, "unknown")
    if flow == "below normal":
        return "Likely cause: loss of coolant flow (pump, valve or blockage)."
    if flow == "unknown" and pressure == "unknown":
        return "No cause can be named without flow rate and pressure; check both and the temperature sensor."
    if flow == "unknown":
        if pressure == "above normal":
            return "Heat load exceeds removal; whether coolant is missing cannot be said without flow rate."
        return "Whether coolant is missing cannot be said without flow rate; check it first."
    if pressure == "above normal":
        return "Likely cause: heat load exceeds removal although coolant flows."
    if pressure == "below normal":
        return "Flow is there and pressure is low: check for a leak or vapour in the cooling circuit."
    if pressure == "unknown":
        return "Coolant flows; without pressure, heat load and sensor fault cannot be told apart."
    return (
        "Likely cause: throughput too high for the present cooling; otherwise check the temperature sensor."
    )


def _other(signal: str, places: Mapping[str, Place]) -> str:
    unusual = [name for name, place in places.items() if place in ("below normal", "above normal")]
    unknown = [name for name, place in places.items() if place == "unknown"]
    shown = signal.replace("_", " ")
    if signal == PRESSURE and places.get(FLOW) == "below normal":
        return "Pressure and low flow together point to a closed valve, a blockage or a pump fault."
    if unusual:
        return f"{_names(unusual)} unusual at the same time: look for a common cause."
    if unknown or not places:
        return f"No cause can be named from the signals at hand; check {shown} and its sensor on site."
    return f"Only {shown} is unusual: check its sensor, then what acts on {shown} alone."


def _finding(anomaly: Anomaly, direction: Direction) -> str:
    what = anomaly.signal.replace("_", " ")
    if anomaly.value is None or anomaly.limit is None:
        return f"{what} has no present value"
    relation = {"above": "limit", "below": "lower limit", "rising": "limit", "falling": "limit"}[direction]
    rate = "rate of change of " if direction in ("rising", "falling") else ""
    return f"{rate}{what} {in_words(anomaly.value, anomaly.unit)} ({relation} {in_words(anomaly.limit, anomaly.unit)})"


def _direction(anomaly: Anomaly) -> Direction:
    if anomaly.value is None or anomaly.limit is None or anomaly.value >= anomaly.limit:
        return "above"
    return "below"


def _place(
    signal: str, value: float | None, usual: Range | None, unit: str, readings: Mapping[str, float | None]
) -> tuple[Place, str]:
    what = signal.replace("_", " ")
    if value is None:
        gap = "has no usable reading" if signal in readings else "is not measured"
        return "unknown", f"{what} {gap}"
    shown = in_words(value, unit)
    if usual is None:
        return "unknown", f"{what} {shown}, no normal range configured"
    span = f"{usual.low:g} to {in_words(usual.high, unit)}"
    if value < usual.low:
        return "below normal", f"{what} {shown} is below normal ({span})"
    if value > usual.high:
        return "above normal", f"{what} {shown} is above normal ({span})"
    return "normal", f"{what} {shown} is normal ({span})"


def in_words(value: float, unit: str) -> str:
    """A value with its unit for people: four digits that matter, never an exponent below a quadrillion."""
    size = abs(value)
    number = f"{value:.0f}" if 1e4 <= size < 1e15 else f"{value:.4g}"
    return f"{number} {unit}".rstrip()


def _names(signals: list[str]) -> str:
    shown = [name.replace("_", " ") for name in signals]
    if len(shown) == 1:
        return f"{shown[0]} is"
    return f"{', '.join(shown[:-1])} and {shown[-1]} are"


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
