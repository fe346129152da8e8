"""Those who speak for the plant beside OPC UA, and what they may ask of it: one state, told in several tongues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from simulator.equipment import Equipment, Signal
from simulator.faults import FaultRequest
from simulator.writes import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a signal shows now. ``value`` is ``None`` exactly while it is not ``good``.

    ``source_utc``: when the value was measured or set; ``confirmed_utc``: when the plant last said that it holds.
    """

    value: Scalar | None
    good: bool
    source_utc: datetime
    confirmed_utc: datetime


class PlantState(Protocol):
    """The plant as a voice sees it. Paths are ``EQUIPMENT/Signal``, or ``Plant/Name`` for the plant's own."""

    @property
    def equipment(self) -> Mapping[str, Equipment]: ...

    @property
    def variables(self) -> tuple[Signal, ...]:
        """What the plant tells of itself."""
        ...

    def shown(self, path: str) -> Shown: ...

    async def write_value(self, path: str, value: Scalar, *, session: str) -> str:
        """A set-point from outside: checked, decided, applied and logged like any other; an OPC UA status name."""
        ...


class Voice(Protocol):
    """One way of speaking. ``faults`` names those that it can have."""

    faults: frozenset[str]

    async def run(self) -> None: ...
    async def close(self) -> None: ...

    def tick(self) -> None:
        """Tell what has changed."""
        ...

    def begin(self, request: FaultRequest) -> None: ...
    def end(self, fault: str, equipment: str) -> None: ...
