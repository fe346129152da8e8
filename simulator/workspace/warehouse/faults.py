"""What can be made to go wrong in the warehouse, by name, while it runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

CATALOGUE: Final = {
    "throttled": "statements are answered 429 with Retry-After; nothing is executed",
    "unavailable": "statements are answered 503 with Retry-After; nothing is executed",
    "lost_response": "the statement is executed, and the connection dropped before its answer",
    "starting": "statements wait so many seconds for the warehouse to start",
    "statement_forever": "the statement runs until it is cancelled, or its session closed",
    "slow_statement": "so many seconds pass between the statement's snapshot and its work: statements overlap",
    "conflict": "a statement that changes rows fails with 2D521, as if another had changed the same rows",
    "denied": "statements are refused with PERMISSION_DENIED",
    "expired_session": "the session of the next statement is gone",
    "expired_token": "the token is not taken any more: 403",
    "html": "requests are answered 200 with a page for logging in",
}
DEFAULT_SECONDS: Final = {"throttled": 1.0, "unavailable": 1.0, "starting": 1.0, "slow_statement": 0.3}


class FaultError(ValueError):
    """No such fault, or a number that makes no sense."""


@dataclass(slots=True)
class _Fault:
    times: int | None
    seconds: float


class Faults:
    """The faults of now. Each ends after its number of times, or when it is cleared."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._active: dict[str, _Fault] = {}

    def begin(self, name: str, *, times: int | None = 1, seconds: float | None = None) -> None:
        """From now on, for ``times`` requests (None: until cleared). Raises ``FaultError``.

        ``seconds`` is what the fault waits or tells the client to wait; None takes its default.
        """
        if name not in CATALOGUE:
            raise FaultError(
                f"no fault of the warehouse is called {name!r}; there are {', '.join(CATALOGUE)}"
            )
        if (times is not None and times < 1) or (seconds is not None and seconds < 0.0):
            raise FaultError(
                f"{name}: times from 1 and seconds from 0 were expected, found {times} and {seconds}"
            )
        with self._guard:
            self._active[name] = _Fault(times, DEFAULT_SECONDS.get(name, 0.0) if seconds is None else seconds)

    def clear(self, name: str) -> None:
        """End it; one that is over already is no error."""
        if name not in CATALOGUE:
            raise FaultError(
                f"no fault of the warehouse is called {name!r}; there are {', '.join(CATALOGUE)}"
            )
        with self._guard:
            self._active.pop(name, None)

    def clear_all(self) -> None:
        """End all of them."""
        with self._guard:
            self._active.clear()

    def take(self, name: str) -> float | None:
        """Its seconds when it is on, and one time less of it; None when it is not."""
        with self._guard:
            fault = self._active.get(name)
            if fault is None:
                return None
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    del self._active[name]
            return fault.seconds

    @property
    def active(self) -> tuple[str, ...]:
        """The names of those that are on."""
        with self._guard:
            return tuple(self._active)
