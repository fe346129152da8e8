"""Batches of readings between a wire that never waits and a consumer that may fall behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from bridge.domain.reading import Reading


class ReadingQueue:
    """A bounded queue of batches; when it is full the oldest batches go, and what was dropped is counted.

    The oldest go first because the newest value is the one that a person or a rule may act on.
    Belongs to one event loop.
    """

    def __init__(self, *, capacity_values: int) -> None:
        self._capacity = capacity_values
        self._batches: deque[list[Reading]] = deque()
        self._values = 0
        self._filled = asyncio.Event()
        self.dropped = 0
        """Values dropped since the start because the consumer lagged."""
        self.on_dropped: Callable[[Sequence[Reading]], None] | None = None
        """Called with each batch that is dropped whole; one of which only the beginning goes is kept."""

    def __len__(self) -> int:
        """Values now waiting."""
        return self._values

    def put(self, batch: list[Reading]) -> None:
        """Append a batch, which is the queue's from now on; never waits, and never grows beyond its capacity."""
        if not batch:
            return
        excess = len(batch) - self._capacity
        if excess > 0:
            del batch[:excess]
            self.dropped += excess
        self._values += len(batch)
        while self._values > self._capacity:
            oldest = self._batches.popleft()
            self._values -= len(oldest)
            self.dropped += len(oldest)
            if self.on_dropped is not None:
                self.on_dropped(oldest)
        self._batches.append(batch)
        self._filled.set()

    async def batches(self) -> AsyncIterator[Sequence[Reading]]:
        """Batches in the order they were put, for ever; leaving the iteration loses nothing still queued."""
        while True:
            while not self._batches:
                self._filled.clear()
                await self._filled.wait()
            batch = self._batches.popleft()
            self._values -= len(batch)
            yield batch
