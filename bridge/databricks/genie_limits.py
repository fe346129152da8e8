"""What keeps Genie's few questions a minute for those that need them: turns to ask, and a memory of answers. Pure.

A workspace answers about five questions a minute over all its spaces and callers. Whoever wants to ask takes a turn
here first and is told how long to wait for it; a wait holds neither a thread nor a lock. Both objects may be used
from several threads.
"""

from __future__ import annotations

import threading
import unicodedata
from bisect import bisect_right, insort
from collections import OrderedDict
from dataclasses import dataclass, replace

from bridge.databricks.genie_answer import GenieAnswer
from bridge.errors import RateLimited
from bridge.ports import Clock

# A minute, and a second: two questions may be that much closer to each other at the workspace than they were here.
_SPAN_S = 60.0 + 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to ask one question. wait_s: seconds from when it was taken until it begins; 0 is now."""

    number: int
    begins_s: float
    wait_s: float


class Turns:
    """A bucket of questions for a whole workspace: in no 60 seconds more than `per_minute` of them begin.

    Each token comes back a minute after it was used. Turns are given in the order in which they are asked for; one
    given back goes to whoever asks next.
    """

    def __init__(self, clock: Clock, *, per_minute: int = 5) -> None:
        """per_minute: 1 or more; ValueError otherwise."""
        if per_minute < 1:
            raise ValueError(f"questions a minute must be 1 or more, not {per_minute}")
        self._clock = clock
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._begins: list[float] = []  # of all turns that still count, sorted; those ahead of us included
        self._turns: dict[int, float] = {}
        self._given = 0
        self._not_before_s = 0.0

    @property
    def per_minute(self) -> int:
        """Questions a minute over all spaces."""
        return self._per_minute

    def take(self, *, patience_s: float, what: str = "a question to Genie") -> Turn:
        """Take the next turn. RateLimited, and nothing taken, when it begins later than `patience_s` from now."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._forget(now_s)
            begins_s = self._next(now_s)
            wait_s = begins_s - now_s
            if wait_s > patience_s:
                raise RateLimited(
                    f"{what}: not asked: all {self._per_minute} questions a minute of this workspace are taken, "
                    f"the next turn is in {wait_s:.0f} s and there is time for {max(patience_s, 0):.0f} s",
                    retry_after_s=wait_s,
                )
            self._given += 1
            insort(self._begins, begins_s)
            self._turns[self._given] = begins_s
            return Turn(self._given, begins_s, wait_s)

    def give_back(self, turn: Turn) -> None:
        """A turn was not used: nothing was asked. Twice is once."""
        with self._lock:
            begins_s = self._turns.pop(turn.number, None)
            if begins_s is not None:
                self._begins.remove(begins_s)

    def hold(self, wait_s: float) -> None:
        """The workspace itself wants us to wait: no new turn begins within `wait_s`. Turns already given stand."""
        with self._lock:
            self._not_before_s = max(self._not_before_s, self._clock.monotonic_s() + max(0.0, wait_s))

    def _forget(self, now_s: float) -> None:
        """Turns whose minute is over count no more."""
        old = bisect_right(self._begins, now_s - _SPAN_S)
        if old:
            del self._begins[:old]
            begins_s = self._begins[0] if self._begins else float("inf")
            self._turns = {number: at_s for number, at_s in self._turns.items() if at_s >= begins_s}

    def _next(self, now_s: float) -> float:
        """The earliest moment at which one more turn leaves no minute with too many."""
        earliest_s = max(now_s, self._not_before_s)
        ends = (begins_s + _SPAN_S for begins_s in self._begins)
        candidates = (earliest_s, *(end_s for end_s in ends if end_s > earliest_s))
        return next(begins_s for begins_s in candidates if self._fits(begins_s))  # the last one always does

    def _fits(self, begins_s: float) -> bool:
        many = list(self._begins)
        insort(many, begins_s)
        place = bisect_right(many, begins_s) - 1
        first = max(0, place - self._per_minute)
        return all(
            many[index + self._per_minute] >= many[index] + _SPAN_S
            for index in range(first, min(place + 1, len(many) - self._per_minute))
        )


def same_question(question: str) -> str:
    """What two questions have in common that ask the same: white space, a closing mark and Unicode forms aside.

    Upper and lower case are kept apart: mW and MW are two things.
    """
    return " ".join(unicodedata.normalize("NFC", question).split()).rstrip(" ?.!")


class AnswerMemory:
    """Answers of the last `keep_s` seconds, at most `most` of them and `most_cells` table cells in all.

    What was not used for longest goes first. Follow-ups depend on their conversation and are never kept, nor is an
    answer that asks back.
    """

    def __init__(self, clock: Clock, *, keep_s: float, most: int = 200, most_cells: int = 200_000) -> None:
        self._clock = clock
        self._keep_s = keep_s
        self._most = most
        self._most_cells = most_cells
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], tuple[float, int, GenieAnswer]] = OrderedDict()
        self._cells = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, space_id: str, question: str) -> GenieAnswer | None:
        """An answer to the same question in the same space, with its age; None when there is none young enough."""
        key = space_id, same_question(question)
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            kept_s, _, answer = found
            age_s = self._clock.monotonic_s() - kept_s
            if age_s >= self._keep_s:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return replace(answer, age_s=age_s)

    def keep(self, space_id: str, question: str, answer: GenieAnswer) -> None:
        """Remember an answer, if it is one to remember."""
        cells = 1 + len(answer.rows) * len(answer.columns)
        if self._keep_s <= 0 or answer.asks_back or cells > self._most_cells:
            return
        key = space_id, same_question(question)
        with self._lock:
            if key in self._kept:
                self._drop(key)
            self._kept[key] = self._clock.monotonic_s(), cells, answer
            self._cells += cells
            while len(self._kept) > self._most or self._cells > self._most_cells:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, str]) -> None:
        self._cells -= self._kept.pop(key)[1]
