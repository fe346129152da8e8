"""What follows from a message or from time passing: values to hand on, messages to send, things to say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from bridge.domain.reading import Reading


def utc(time_ms: int) -> datetime:
    """Milliseconds since 1970 as an aware datetime. Raises OverflowError, OSError or ValueError off the calendar."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


class Outgoing(NamedTuple):
    """A message to publish now or never."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Event(NamedTuple):
    """A transition worth one line in the log: `noun.verb_past`, and its fields."""

    name: str
    fields: Mapping[str, str | int]


class Effects:
    """Collects what a batch of messages leads to; every list is in order.

    `handles[i]` is the position of `readings[i].tag` among the link's tags. `confirmed` are numbers of commands
    whose new value the node has reported.
    """

    __slots__ = ("confirmed", "events", "handles", "now_ms", "readings", "received_utc", "sends", "steady_ms")

    def __init__(self, now_ms: int) -> None:
        self.readings: list[Reading] = []
        self.handles: list[int] = []
        self.sends: list[Outgoing] = []
        self.events: list[Event] = []
        self.confirmed: list[int] = []
        self.at(now_ms, now_ms)

    def at(self, now_ms: int, steady_ms: int) -> None:
        """Set the moment of what follows: by the clock, since 1970, and on a scale that never runs backwards."""
        self.now_ms = now_ms
        self.steady_ms = steady_ms
        self.received_utc = utc(now_ms)

    def say(self, name: str, **fields: str | int) -> None:
        """Add an event."""
        self.events.append(Event(name, fields))
