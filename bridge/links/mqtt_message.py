"""What goes over a wire to a broker, in our own words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Message(NamedTuple):
    """One message as it came. A NamedTuple, not a dataclass: tens of thousands are made each second.

    retained: it was kept by the broker and says what was, not what is. duplicate: the broker sent it before.
    too_long: 0, or the size in bytes of a message whose payload was refused unread (`payload` is then empty).
    """

    topic: str
    payload: bytes
    retained: bool
    qos: int
    duplicate: bool
    received_utc: datetime
    mid: int
    too_long: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker publishes for us when our connection ends without a word."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Answer(NamedTuple):
    """What the broker said to a message of ours. `failed`: it refused it; `unheard`: nobody is subscribed."""

    failed: bool
    name: str
    unheard: bool = False
