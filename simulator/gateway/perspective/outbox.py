"""What one browser has still to be told. It holds what changed, not how often: a slow browser costs nobody.

Values are taken from the live tree when a frame is written, so that however long the browser slept it gets each
property once, as it is now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

Frame = dict[str, Any]
MESSAGE_LIMIT: Final = 200
"""So many frames that cannot be gathered (popups, navigation, prints) may wait; then the oldest goes."""


class Drawn(Protocol):
    """A component as the browser sees it."""

    id: int
    alive: bool

    def shown(self, key: str) -> dict[str, Any]:
        """The entry of a patch for one key."""
        ...

    def drawn_children(self, known: set[int]) -> list[dict[str, Any]]:
        """The whole list of children; those of ``known`` in short."""
        ...


class Outbox:
    """Fill it from the event loop; one writer at a time takes from it."""

    def __init__(self, draw_page: Callable[[set[int]], Frame]) -> None:
        self.known: set[int] = set()
        """Ids of the components that the browser has."""
        self._draw_page = draw_page
        self._whole = False
        self._children: dict[Drawn, None] = {}
        self._dirty: dict[Drawn, dict[str, None]] = {}
        self._messages: list[tuple[Callable[[], Frame | None], bool]] = []
        self._wake = asyncio.Event()

    def page(self) -> None:
        """Everything anew: the page frame comes next and replaces all patches."""
        self._whole = True
        self._wake.set()

    def changed(self, component: Drawn, key: str) -> None:
        """One property, or ``quality`` or ``red``, is another."""
        self._dirty.setdefault(component, {})[key] = None
        self._wake.set()

    def children(self, component: Drawn) -> None:
        """The component has other children."""
        self._children[component] = None
        self._wake.set()

    def forget(self, component: Drawn) -> None:
        """The component is gone; nothing is told of it any more."""
        self.known.discard(component.id)
        self._dirty.pop(component, None)
        self._children.pop(component, None)

    def say(self, frame: Frame | Callable[[], Frame | None], *, on_page: bool = False) -> None:
        """A frame of its own, after everything before it; a function draws it when its turn comes.

        ``on_page``: what it tells a page frame shows too, so that one which comes instead replaces it.
        """
        if len(self._messages) >= MESSAGE_LIMIT:
            del self._messages[0]
        self._messages.append((frame if callable(frame) else lambda: frame, on_page))
        self._wake.set()

    async def ready(self) -> None:
        """Wait for something to tell."""
        await self._wake.wait()
        await asyncio.sleep(0)  # what the same turn of the loop still changes goes along

    def drain(self) -> list[Frame]:
        """All that is to be told now."""
        self._wake.clear()
        messages, self._messages = self._messages, []
        children, self._children = self._children, {}
        dirty, self._dirty = self._dirty, {}
        frames: list[Frame] = []
        if self._whole:
            self._whole = False
            self.known.clear()
            frames.append(self._draw_page(self.known))
            children, dirty = {}, {}
            messages = [(draw, on_page) for draw, on_page in messages if not on_page]
        before = set(self.known)
        for component in children:
            if component.alive and component.id in before:
                nodes = component.drawn_children(self.known)
                frames.append({"t": "children", "id": component.id, "nodes": nodes})
        entries = [
            {"id": component.id, **component.shown(key)}
            for component, keys in dirty.items()
            for key in keys
            if component.alive and component.id in before
        ]
        if entries:
            frames.append({"t": "patch", "set": entries})
        for draw, _ in messages:
            frame = draw()
            if frame is not None:
                frames.append(frame)
        return frames
