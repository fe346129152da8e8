"""Which messages of QoS 1 the broker still waits to hear of, and what that says of those it holds back. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Look(NamedTuple):
    """The state at one moment: messages not acknowledged then, and all that had arrived until then."""

    waiting: int
    arrived: int


class Acknowledging:
    """Acknowledgements leave in the order in which the messages came (MQTT 5.0 §4.6).

    manual: a message waits until it is allowed by name; otherwise it may be acknowledged at once.
    """

    def __init__(self, *, manual: bool) -> None:
        self._manual = manual
        self._may_go: dict[int, bool] = {}  # by packet identifier, in the order of arrival
        self._arrived = 0
        self._most = 0  # at once; the broker's window is at least so large

    def came(self, mid: int) -> None:
        """A message came."""
        self._may_go[mid] = not self._manual
        self._arrived += 1
        self._most = max(self._most, len(self._may_go))

    def allow(self, mids: Iterable[int]) -> None:
        """These are done with; identifiers of an earlier connection are not known and change nothing."""
        for mid in mids:
            if mid in self._may_go:
                self._may_go[mid] = True

    def due(self) -> list[int]:
        """Take out those that may be acknowledged now: they and all before them are done with."""
        due = []
        for mid, may_go in self._may_go.items():
            if not may_go:
                break
            due.append(mid)
        for mid in due:
            del self._may_go[mid]
        return due

    def look(self) -> Look:
        """To be taken when a round trip begins."""
        return Look(len(self._may_go), self._arrived)

    def nothing_behind(self, begin: Look) -> bool:
        """After that round trip: whether the broker held nothing back when it answered.

        A broker holds messages back only while its window is full. When it answered, no more were under way than
        those that waited at the beginning and those that came since; fewer than were once under way together
        means that the window had room. One that reads what it kept from elsewhere only after its answer is not
        found out.
        """
        under_way = begin.waiting + self._arrived - begin.arrived
        return under_way == 0 or under_way < self._most
