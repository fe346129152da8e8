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
        self._dirty: dict[tuple[Drawn, str], None] = {}
        self._messages: list[Callable[[], Frame | None]] = []
        self._wake = asyncio.Event()

    def page(self) -> None:
        """Everything anew: the page frame comes next and replaces all patches."""
        self._whole = True
        self._wake.set()

    def changed(self, component: Drawn, key: str) -> None:
        """One property, or ``quality`` or ``red``, is another."""
        self._dirty[component, key] = None
        self._wake.set()

    def children(self, component: Drawn) -> None:
        """The component has other children."""
        self._children[component] = None
        self._wake.set()

    def say(self, frame: Frame | Callable[[], Frame | None]) -> None:
        """A frame of its own, after everything before it; a function draws it when its turn comes."""
        if len(self._messages) >= MESSAGE_LIMIT:
            del self._messages[0]
        self._messages.append(frame if callable(frame) else lambda: frame)
        self._wake.set()

    async def take(self) -> list[Frame]:
        """Wait for something to tell, then all of it."""
        await self._wake.wait()
        await asyncio.sleep(0)  # what the same turn of the loop still changes goes along
        self._wake.clear()
        return self.drain()

    def drain(self) -> list[Frame]:
        """All that is to be told now."""
        messages, self._messages = self._messages, []
        children, self._children = self._children, {}
        dirty, self._dirty = self._dirty, {}
        frames: list[Frame] = []
        if self._whole:
            self._whole = False
            self.known.clear()
            frames.append(self._draw_page(self.known))
            children, dirty = {}, {}
        before = set(self.known)
        for component in children:
            if component.alive and component.id in before:
                nodes = component.drawn_children(self.known)
                frames.append({"t": "children", "id": component.id, "nodes": nodes})
        entries = [
            {"id": component.id, **component.shown(key)}
            for component, key in dirty
            if component.alive and component.id in before
        ]
        if entries:
            frames.append({"t": "patch", "set": entries})
        for message in messages:
            frame = message()
            if frame is not None:
                frames.append(frame)
        return frames
