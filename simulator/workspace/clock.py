"""The workspace's own clock: it can be put forward by a test, and be wrong compared with everybody else's."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """``advance`` makes time pass; ``skew_s`` only makes the clock on the wall wrong by so much."""

    def __init__(self) -> None:
        self._advanced_s = 0.0
        self.skew_s = 0.0

    def now(self) -> datetime:
        """What this workspace believes the time is, aware, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._advanced_s + self.skew_s)

    def now_ms(self) -> int:
        """The same in milliseconds since 1970, as most of the API gives times."""
        return int(self.now().timestamp() * 1000)

    def elapsed_s(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
        return time.monotonic() + self._advanced_s

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once. ``ValueError`` for going back."""
        if seconds < 0:
            raise ValueError(
                f"the clock goes forward only, found {seconds} s; for a wrong clock use clock_skew"
            )
        self._advanced_s += seconds


def stamp(moment: datetime) -> str:
    """RFC 3339 with a Z, as the API writes times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
