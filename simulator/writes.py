"""The words in which the wire asks the plant about a write from outside, and hears the answer."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from simulator.equipment import Signal

Scalar = float | int | bool | str | datetime


@dataclass(frozen=True, kw_only=True)
class WriteAsked:
    """A write from outside that fits the node's type and range and waits for the policy's word."""

    equipment: str
    signal: Signal
    old: Scalar
    asked: Scalar
    session: str
    user: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a write.

    ``store`` is the value to store, ``None`` to leave the old one. ``status`` names the OPC UA status of the answer.
    The server waits ``before_s``, stores, tells ``WritePolicy.applied``, then dies or waits ``after_s``, then answers.
    """

    store: Scalar | None
    status: str = "Good"
    before_s: float = 0.0
    after_s: float = 0.0
    die: bool = False


class WritePolicy(Protocol):
    """Who decides about writes, and who is told of each applied one before it is answered."""

    def decide(self, asked: WriteAsked) -> Verdict: ...
    async def applied(self, asked: WriteAsked, stored: Scalar) -> None: ...
    def slow(self) -> bool:
        """Whether a write may take long now, so that others on its connection must not wait for it."""
        ...


class Method(Protocol):
    """A method under ``Plant``: raises ``ValueError`` for arguments that mean nothing (BadInvalidArgument)."""

    def __call__(self, *arguments: str) -> Awaitable[None]: ...
