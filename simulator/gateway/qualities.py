"""Qualities of tag values by Ignition's names, and how OPC UA's statuses become them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final


@dataclass(frozen=True)
class Quality:
    """A quality and, where there is more to say, what a person should read with it."""

    name: str
    diagnostic: str = ""

    @property
    def good(self) -> bool:
        return self.name.startswith("Good")

    @property
    def uncertain(self) -> bool:
        return self.name.startswith("Uncertain")

    def __str__(self) -> str:
        return f'{self.name}("{self.diagnostic}")' if self.diagnostic else self.name


GOOD: Final = Quality("Good")
INITIAL: Final = Quality("Uncertain_InitialValue")
STALE: Final = Quality("Bad_Stale")
DISABLED: Final = Quality("Bad_Disabled")
NOT_CONNECTED: Final = Quality("Bad_NotConnected")

_FROM_OPC: Final = {
    "BadOutOfRange": "Bad_OutOfRange",
    "BadUserAccessDenied": "Bad_AccessDenied",
    "BadNodeIdUnknown": "Bad_NotFound",
    "BadNodeIdInvalid": "Bad_NotFound",
    "BadNotFound": "Bad_NotFound",
    "BadNotConnected": "Bad_NotConnected",
    "BadNoCommunication": "Bad_NotConnected",
    "BadConnectionClosed": "Bad_NotConnected",
    "BadNotSupported": "Bad_Unsupported",
    "UncertainLastUsableValue": "Uncertain_LastKnownValue",
    "UncertainInitialValue": "Uncertain_InitialValue",
    "UncertainSubNormal": "Uncertain_DataSubNormal",
    "UncertainEngineeringUnitsExceeded": "Uncertain_EngineeringUnitsExceeded",
}
_TO_OPC: Final = {
    "Bad_OutOfRange": "BadOutOfRange",
    "Bad_AccessDenied": "BadUserAccessDenied",
    "Bad_NotFound": "BadNodeIdUnknown",
    "Bad_NotConnected": "BadNotConnected",
    "Bad_Stale": "BadNoCommunication",
    "Bad_Disabled": "BadOutOfService",
    "Bad_ReadOnly": "BadNotWritable",
    "Bad_Unsupported": "BadNotSupported",
    "Error_TypeConversion": "BadTypeMismatch",
    "Error_Configuration": "BadConfigurationError",
    "Error_TimeoutExpired": "BadTimeout",
    "Uncertain_LastKnownValue": "UncertainLastUsableValue",
    "Uncertain_InitialValue": "UncertainInitialValue",
    "Uncertain_DataSubNormal": "UncertainSubNormal",
    "Uncertain_EngineeringUnitsExceeded": "UncertainEngineeringUnitsExceeded",
}


def from_opc(status: str) -> Quality:
    """The quality for an OPC UA status name such as ``BadNotWritable``.

    Ignition has a name of its own for some; the others keep theirs as the diagnostic of Bad or Uncertain.
    """
    if status == "Good":
        return GOOD
    if status.startswith("Good"):
        return Quality("Good", status)
    kind = "Uncertain" if status.startswith("Uncertain") else "Bad"
    spelt = status.replace(kind, f"{kind}_", 1)
    name = _FROM_OPC.get(status, kind)
    return Quality(name, "" if name == spelt else spelt)


def to_opc(quality: Quality) -> str:
    """The OPC UA status that shows this quality to a client of the exposed tags."""
    if quality.good:
        return "Good"
    kind = "Uncertain" if quality.uncertain else "Bad"
    own = quality.diagnostic.partition(":")[0].replace("_", "")
    if quality.name == kind and own.startswith(kind):
        return own
    return _TO_OPC.get(quality.name, kind)


@dataclass(frozen=True, kw_only=True)
class QualifiedValue:
    """What a tag shows: value, quality, and when it arose."""

    value: Any
    quality: Quality
    at_utc: datetime
