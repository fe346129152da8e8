"""What the births of a node or a device have said of the metrics that are wanted."""

from __future__ import annotations

from typing import NamedTuple

from bridge.links.sparkplug_commands import Facts
from bridge.sparkplug.payload import Known, Received


class Problem(NamedTuple):
    """Why a birth gives a wanted tag no value: the status of its readings, and words."""

    status: str
    reason: str


class Block:
    """The metrics of a node itself, or of one of its devices.

    wanted: from metric name to handle. known: what data may say, by alias and by name; None for an alias that was
    given to more than one metric.
    """

    __slots__ = ("alive", "died", "facts", "known", "problems", "wanted")

    def __init__(self) -> None:
        self.wanted: dict[str, int] = {}
        self.known: dict[int | str, Known | None] = {}
        self.facts: dict[int, Facts] = {}
        self.problems: dict[int, Problem] = {}
        self.alive = False
        self.died = False


def bd_seq(received: Received) -> object:
    """The number of the connection that a birth or a death speaks of; None without one."""
    return next((metric.value for metric in received.metrics() if metric.name == "bdSeq"), None)
