"""Which wanted tags are really heard from. "Connected" and "data flows" are different facts; this is the second."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag

NEVER = -math.inf


class Freshness:
    """Per tag: when it was last notified and last read, its latest reading, and what is wrong with it.

    Tags are known by their handle, their position in `tags`. The lists are public because the decoder writes
    them once per value, tens of thousands of times a second; everybody else uses the methods.
    Times are monotonic seconds.
    """

    def __init__(self, tags: Sequence[Tag]) -> None:
        self.tags = tuple(tags)
        self.notified_s = [NEVER] * len(tags)
        self.read_s = [NEVER] * len(tags)
        self.latest: list[Reading | None] = [None] * len(tags)
        self.bad: dict[int, str] = {}
        """Handles whose latest reading was bad or uncertain, with the status."""
        self.missing: dict[int, str] = {}
        """Handles the server does not let us subscribe, with the reason; they are retried slowly."""
        self.unnotified: set[int] = set()
        """Handles whose value changed although no notification came, even after a rebuild; they are polled."""
        self.overflowed = 0
        """Values the server dropped from a full monitored-item queue, as far as its overflow bit tells."""
        self._suspects: dict[int, float] = {}
        self._half_stale_s = [tag.stale_after_s / 2 for tag in tags]

    def subscribed(self) -> int:
        """How many wanted tags the server confirmed."""
        return len(self.tags) - len(self.missing)

    def fresh(self, now_s: float) -> int:
        """How many wanted tags were heard from or read within their own stale time."""
        return sum(
            now_s - max(notified_s, read_s) <= tag.stale_after_s
            for tag, notified_s, read_s in zip(self.tags, self.notified_s, self.read_s, strict=True)
        )

    def silent(self, now_s: float, *, for_s: float) -> list[int]:
        """Subscribed handles neither notified nor read for `for_s` seconds, or for half their own stale time.

        Half: a constant value must be confirmed before it goes stale, not after.
        """
        return [
            handle
            for handle, (notified_s, read_s, half_stale_s) in enumerate(
                zip(self.notified_s, self.read_s, self._half_stale_s, strict=True)
            )
            if now_s - max(notified_s, read_s) >= min(for_s, half_stale_s) and handle not in self.missing
        ]

    def patience_s(self, for_s: float) -> float:
        """The shortest silence after which `silent` names any tag, but not below a fifth of a second."""
        return max(0.2, min([for_s, *self._half_stale_s]))

    def unheard_since(self, since_s: float) -> list[int]:
        """Subscribed handles without any notification since a moment, such as the last reconnect."""
        return [
            handle
            for handle, notified_s in enumerate(self.notified_s)
            if notified_s < since_s and handle not in self.missing
        ]

    def take_read(
        self,
        handles: Iterable[int],
        readings: Iterable[Reading],
        *,
        asked_s: float,
        now_s: float,
        owed: bool = True,
    ) -> list[Reading]:
        """Enter readings made on purpose and give back those worth emitting.

        A tag that was notified while the read was under way is left out: its notification may be the newer
        of the two, and a tag's readings must stay in order. A value that differs from the latest notified one
        makes the tag a suspect, see `missed`; not so where the source owes us no notification (owed false).
        """
        emitted = []
        for handle, reading in zip(handles, readings, strict=True):
            if self.notified_s[handle] >= asked_s:
                continue
            before = self.latest[handle]
            if owed and before is not None and _differs(before, reading):
                self._suspects.setdefault(handle, asked_s)
            self.read_s[handle] = now_s
            self.note(handle, reading)
            emitted.append(reading)
        return emitted

    def note(self, handle: int, reading: Reading) -> None:
        """Keep a reading as the latest of its tag and enter or clear its problem."""
        self.latest[handle] = reading
        if reading.quality is Quality.GOOD:
            self.bad.pop(handle, None)
        else:
            self.bad[handle] = reading.status

    def missed(self, now_s: float, *, grace_s: float) -> list[int]:
        """Handles whose value was seen to change by reading while no notification came within `grace_s`."""
        missed = []
        for handle, since_s in list(self._suspects.items()):
            if self.notified_s[handle] >= since_s:
                del self._suspects[handle]
                self.unnotified.discard(handle)
            elif now_s - since_s > grace_s:
                missed.append(handle)
        return missed

    def forget_suspects(self) -> None:
        """Start over after a rebuild: the new subscription deserves its own judgement."""
        self._suspects.clear()

    def problems(self, now_s: float) -> dict[str, str]:
        """Tag path to reason, for every wanted tag that is missing, bad, not notified or silent."""
        found: dict[str, str] = {}
        for handle, tag in enumerate(self.tags):
            heard_s = max(self.notified_s[handle], self.read_s[handle])
            if handle in self.missing:
                found[tag.path] = self.missing[handle]
            elif heard_s == NEVER:
                found[tag.path] = "not heard from yet"
            elif now_s - heard_s > tag.stale_after_s:
                found[tag.path] = f"silent for {now_s - heard_s:.0f} s"
            elif handle in self.bad:
                found[tag.path] = self.bad[handle]
            elif handle in self.unnotified:
                found[tag.path] = "changes without being notified; read on purpose instead"
        return found


def _differs(before: Reading, now: Reading) -> bool:
    """Whether a server that reports on change should have told us. NaN equals NaN here."""
    if before.quality is not now.quality:
        return True
    if isinstance(before.value, float) and isinstance(now.value, float):
        return before.value != now.value and not (math.isnan(before.value) and math.isnan(now.value))
    return before.value != now.value
