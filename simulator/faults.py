"""Everything that can go wrong in the plant on request: one table, and the words to ask for it.

A fault is asked for as ``NAME [EQUIPMENT] [<duration>s] [@<delay>s]``, for example ``overheat REACTOR_02``,
``write_slow REACTOR_02 3s``, ``freeze 5s`` or ``overheat REACTOR_02 @5s``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from simulator.equipment import PLANT

Group = Literal["process", "sensor", "write", "server", "mqtt"]

_EVERYTHING: Final = ("REACTOR", "PUMP", "VALVE", "MACHINE")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that can go wrong.

    ``applies_to`` names the kinds of equipment; ``PLANT`` among them means that the fault may be asked for
    without an equipment and then holds for all. ``duration_s`` is the default of those that take one. ``lasts``
    until it is cleared, or is over by itself.
    """

    name: str
    meaning: str
    group: Group
    applies_to: tuple[str, ...]
    duration_s: float | None = None
    lasts: bool = True


CATALOGUE: Final[dict[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault(
            name="overheat",
            meaning="more heat per kg: left alone the reactor passes 85 and 90 °C and rests at 93 °C",
            group="process",
            applies_to=("REACTOR",),
        ),
        Fault(
            name="runaway",
            meaning="far more heat per kg: passes 95 °C on the way to 131 °C; 25 % less throughput is not enough",
            group="process",
            applies_to=("REACTOR",),
        ),
        Fault(
            name="coolant_loss",
            meaning="coolant flow falls to a tenth, the reactor warms to 93 °C",
            group="process",
            applies_to=("REACTOR",),
        ),
        Fault(
            name="pressure_surge",
            meaning="pressure 2.5 bar above normal",
            group="process",
            applies_to=("REACTOR", "PUMP"),
        ),
        Fault(
            name="stuck_sensor",
            meaning="main signal keeps value and source timestamp; the server still confirms it each tick",
            group="sensor",
            applies_to=_EVERYTHING,
        ),
        Fault(
            name="bad_sensor",
            meaning="main signal has no value, status BadSensorFailure",
            group="sensor",
            applies_to=_EVERYTHING,
        ),
        Fault(
            name="stale_sensor",
            meaning="main signal is no longer updated at all, its last value stays Good",
            group="sensor",
            applies_to=_EVERYTHING,
        ),
        Fault(
            name="setpoint_clamped",
            meaning="a set-point write is answered Good but goes only half the way",
            group="write",
            applies_to=(*_EVERYTHING, PLANT),
        ),
        Fault(
            name="setpoint_ignored",
            meaning="a set-point write is answered Good but nothing changes",
            group="write",
            applies_to=(*_EVERYTHING, PLANT),
        ),
        Fault(
            name="write_refused",
            meaning="a set-point write is answered BadDeviceFailure and not applied",
            group="write",
            applies_to=(*_EVERYTHING, PLANT),
        ),
        Fault(
            name="write_slow",
            meaning="a set-point write is applied at once but answered only after the duration",
            group="write",
            applies_to=(*_EVERYTHING, PLANT),
            duration_s=8.0,
        ),
        Fault(
            name="write_late",
            meaning="a set-point write is applied, and answered, only after the duration",
            group="write",
            applies_to=(*_EVERYTHING, PLANT),
            duration_s=8.0,
        ),
        Fault(
            name="kill_after_write",
            meaning="the server process dies right after applying the next write, before it answers",
            group="write",
            applies_to=(*_EVERYTHING, PLANT),
        ),
        Fault(
            name="freeze",
            meaning="the server process answers nothing for the duration, connections stay open",
            group="server",
            applies_to=(PLANT,),
            duration_s=5.0,
            lasts=False,
        ),
        Fault(
            name="sequence_gap",
            meaning="Sparkplug: the next data message takes its sequence number and is never sent",
            group="mqtt",
            applies_to=(PLANT,),
            lasts=False,
        ),
        Fault(
            name="death_without_birth",
            meaning="Sparkplug: the node, or a device, says that it is dead and goes on sending data; "
            "it is born again when asked for, or when cleared",
            group="mqtt",
            applies_to=(*_EVERYTHING, PLANT),
        ),
        Fault(
            name="rebirth_storm",
            meaning="Sparkplug: the node is born again ten times a second for the duration, unasked",
            group="mqtt",
            applies_to=(PLANT,),
            duration_s=3.0,
            lasts=False,
        ),
        Fault(
            name="alias_reuse",
            meaning="Sparkplug: a birth gives every alias to another metric; for an equipment: its birth gives "
            "the alias of its main signal to a second metric too, which is forbidden",
            group="mqtt",
            applies_to=(*_EVERYTHING, PLANT),
        ),
        Fault(
            name="wrong_type",
            meaning="over MQTT the main signal is a string, without a birth that says so",
            group="mqtt",
            applies_to=_EVERYTHING,
        ),
        Fault(
            name="duplicate_messages",
            meaning="every message with values is sent twice over MQTT, byte for byte",
            group="mqtt",
            applies_to=(PLANT,),
        ),
        Fault(
            name="reorder_messages",
            meaning="of two messages with values the later one is sent first over MQTT, again and again",
            group="mqtt",
            applies_to=(PLANT,),
        ),
        Fault(
            name="slow_consumer",
            meaning="reads nothing from its MQTT sockets for the duration: commands pile up, values still go out",
            group="mqtt",
            applies_to=(PLANT,),
            duration_s=5.0,
            lasts=False,
        ),
        Fault(
            name="broker_restart",
            meaning="its MQTT connections break without a goodbye, as if the broker restarted (the broker itself "
            "goes on and publishes the wills), and are made anew after the duration",
            group="mqtt",
            applies_to=(PLANT,),
            duration_s=2.0,
            lasts=False,
        ),
    )
}


class FaultError(ValueError):
    """A fault that cannot be injected. The message says what exists instead."""


@dataclass(frozen=True, kw_only=True)
class FaultRequest:
    """One fault at one equipment (or ``PLANT``), ``delay_s`` wall-clock seconds from now."""

    fault: Fault
    equipment: str
    duration_s: float | None
    delay_s: float = 0.0


_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)s")


def parse_fault(text: str, *, equipment: str | None = None) -> FaultRequest:
    """Read ``NAME [EQUIPMENT] [<duration>s] [@<delay>s]``; ``equipment`` given apart wins the second place.

    Raises ``FaultError`` for an unknown name or words that mean nothing. Whether the equipment exists is for
    the plant to say.
    """
    words = text.split()
    if not words:
        raise FaultError(f"a fault name was expected, found nothing; choose one of {fault_names()}")
    fault = CATALOGUE.get(words[0])
    if fault is None:
        near = difflib.get_close_matches(words[0], CATALOGUE)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise FaultError(f"no fault is called {words[0]!r}; choose one of {fault_names()}{hint}")
    duration_s = fault.duration_s
    delay_s = 0.0
    named = equipment
    for word in words[1:]:
        if (match := _DURATION.fullmatch(word.removeprefix("@"))) is not None:
            if word.startswith("@"):
                delay_s = float(match.group(1))
            elif fault.duration_s is None:
                lasts = "lasts until cleared" if fault.lasts else "is over at once"
                raise FaultError(f"{fault.name} takes no duration, found {word!r}; it {lasts}")
            else:
                duration_s = float(match.group(1))
        elif named is None and not word.startswith("@"):
            named = word
        else:
            raise FaultError(
                f"{word!r} in {text!r} means nothing; write 'NAME [EQUIPMENT] [<duration>s] [@<delay>s]'"
            )
    if not named:
        if PLANT not in fault.applies_to:
            raise FaultError(f"{fault.name} needs an equipment, for example '{fault.name} REACTOR_02'")
        named = PLANT
    return FaultRequest(fault=fault, equipment=named, duration_s=duration_s, delay_s=delay_s)


def check_applies(request: FaultRequest, *, kinds: dict[str, str]) -> None:
    """Raise ``FaultError`` unless the equipment exists (``kinds`` maps its name to its kind) and can have the fault."""
    known = request.equipment == PLANT or request.equipment in kinds
    if not known:
        raise FaultError(f"no equipment is called {request.equipment!r}; there are {_shortened(kinds)}")
    kind = PLANT if request.equipment == PLANT else kinds[request.equipment]
    if kind not in request.fault.applies_to:
        possible = ", ".join(request.fault.applies_to)
        raise FaultError(
            f"{request.fault.name} is not for {request.equipment} ({kind}); it applies to {possible}"
        )


def fault_names() -> str:
    """All names, for a message."""
    return ", ".join(CATALOGUE)


def _shortened(names: Iterable[str]) -> str:
    listed = list(names)
    shown = ", ".join(listed[:12])
    return shown if len(listed) <= 12 else f"{shown}, … ({len(listed)} in all)"
