"""Tags as bindings see them: read at once, and woken when they change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from simulator.gateway.perspective.properties import Watcher
from simulator.gateway.qualities import GOOD, QualifiedValue, Quality
from simulator.gateway.tags import TagError, TagStore


class TagWatch:
    """One listener at the store for all bindings."""

    def __init__(self, store: TagStore) -> None:
        self.store = store
        self._watchers: dict[str, dict[Watcher, None]] = {}
        store.listeners.append(self._heard)

    def read(self, path: str) -> QualifiedValue:
        """Value and quality; also ``.Quality`` and ``.Timestamp``. A missing provider is Bad_NotFound."""
        stem, dot, name = path.rpartition(".")
        try:
            if dot and name.lower() == "quality" and path not in self.store.tags:
                found = self.store.read(stem)
                if found.quality.name == "Bad_NotFound":
                    return found
                return QualifiedValue(value=found.quality.name, quality=GOOD, at_utc=found.at_utc)
            return self.store.read(path)
        except TagError as error:
            quality = Quality("Bad_NotFound", str(error))
            return QualifiedValue(value=None, quality=quality, at_utc=datetime.now(UTC))

    def watch(self, path: str, watcher: Watcher) -> Callable[[], None]:
        """Wake the watcher when the tag changes; gives what ends it."""
        stem = path
        if path not in self.store.tags and "." in path.rpartition("/")[2]:
            stem = path.rpartition(".")[0]
        self._watchers.setdefault(stem, {})[watcher] = None

        def end() -> None:
            watchers = self._watchers.get(stem)
            if watchers is not None:
                watchers.pop(watcher, None)
                if not watchers:
                    del self._watchers[stem]

        return end

    def close(self) -> None:
        """Hear no more."""
        self.store.listeners.remove(self._heard)

    def _heard(self, path: str, _: QualifiedValue) -> None:
        for watcher in list(self._watchers.get(path, ())):
            watcher.wake()
