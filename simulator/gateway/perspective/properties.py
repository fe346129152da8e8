"""Property trees that say who must look again when something in them changed.

Values are never changed in place: a write copies the containers on its way, so that views share the defaults of
their plan, patches may wait, and a value handed out stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from simulator.gateway.perspective.paths import Path, look, replaced, spelt
from simulator.gateway.qualities import GOOD, QualifiedValue, Quality

Changed = Callable[[Path, Any, Any, str], None]
"""Path, old value, new value, origin."""


class Watcher(Protocol):
    """Somebody who read something and wants to know when it is another."""

    def wake(self) -> None: ...


class PropertyTree:
    """The properties of one component, view, page or session, by scope (props, custom, …)."""

    def __init__(self, scopes: dict[str, Any], changed: Changed) -> None:
        self.scopes = scopes
        self.qualities: dict[Path, Quality] = {}
        self.at_utc = datetime.now(UTC)
        self._changed = changed
        self._watchers: dict[Path, dict[Watcher, Path]] = {}

    def read(self, path: Path) -> QualifiedValue:
        """Value and quality; what does not exist is Bad_NotFound."""
        quality = GOOD
        if self.qualities:
            for length in range(1, len(path) + 1):
                quality = self.qualities.get(path[:length], quality)
        found, value = look(self.scopes, path)
        if not found and quality.good:
            quality = Quality("Bad_NotFound", f"there is no {spelt(path)}")
        return QualifiedValue(value=value, quality=quality, at_utc=self.at_utc)

    def get(self, path: Path) -> Any:
        """The value, null where there is none."""
        return look(self.scopes, path)[1]

    def exists(self, path: Path) -> bool:
        """Whether there is something at the path, be it null."""
        return look(self.scopes, path)[0]

    def write(self, path: Path, value: Any, quality: Quality = GOOD, *, origin: str = "Script") -> bool:
        """Set the value; whether anything is another now."""
        found, old = look(self.scopes, path)
        same_quality = self.qualities.get(path, GOOD) == quality
        if found and same_quality and alike(old, value):
            return False
        self.scopes = replaced(self.scopes, path, value)
        self.at_utc = datetime.now(UTC)
        if quality.good:
            self.qualities.pop(path, None)
        else:
            self.qualities[path] = quality
        for watcher, watched in list(self._watchers.get(path[:2], {}).items()):
            if watched[: len(path)] == path[: len(watched)]:
                watcher.wake()
        for watcher in list(self._watchers.get(path[:1], {})) if len(path) > 1 else ():
            watcher.wake()
        if len(path) == 1:
            for key, watchers in list(self._watchers.items()):
                if key[0] == path[0] and len(key) > 1:
                    for watcher in list(watchers):
                        watcher.wake()
        self._changed(path, old, value, origin)
        return True

    def watch(self, path: Path, watcher: Watcher) -> Callable[[], None]:
        """Wake the watcher when something at, above or below the path changes; gives what ends it."""
        watchers = self._watchers.setdefault(path[:2], {})
        before = watchers.get(watcher)
        watchers[watcher] = path if before is None else _common(before, path)

        def end() -> None:
            watchers.pop(watcher, None)
            if not watchers and self._watchers.get(path[:2]) is watchers:
                del self._watchers[path[:2]]

        return end


def _common(one: Path, other: Path) -> Path:
    """The beginning that two paths share: who watches two places below it watches it whole."""
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]


def alike(one: Any, other: Any) -> bool:
    """Whether the values are the same to a reader of JSON: 1 is not true."""
    if one is other:
        return True
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return bool(one == other)
