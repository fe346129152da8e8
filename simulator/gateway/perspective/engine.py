"""The turn in which a session's bindings settle: what was woken is evaluated, until nobody is woken any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

_log = logging.getLogger("gateway.perspective")
_ROUNDS: Final = 25
"""Evaluated so often within one turn, a binding reads itself; it is stopped."""


_SLOWEST_MS: Final = 86_400_000


class Item(Protocol):
    """Something that is evaluated when what it depends on has changed."""

    def evaluate(self) -> None: ...

    def stop_cycle(self) -> None:
        """It would not come to rest: show that, and stay."""
        ...


class Engine:
    """One for each session."""

    def __init__(self) -> None:
        self._woken: dict[Item, None] = {}
        self._scheduled = False
        self._settling = False
        self._closed = False
        self._clocks: dict[int, dict[Item, None]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, item: Item) -> None:
        """Evaluate the item in this turn or the next."""
        if self._closed:
            return
        self._woken[item] = None
        if not self._scheduled and not self._settling:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.settle)

    def settle(self) -> None:
        """Evaluate until nothing is left."""
        self._scheduled = False
        if self._settling:
            return
        self._settling = True
        counts: dict[Item, int] = {}
        try:
            while self._woken:
                item = next(iter(self._woken))
                del self._woken[item]
                counts[item] = counts.get(item, 0) + 1
                if counts[item] < _ROUNDS:
                    item.evaluate()
                elif counts[item] == _ROUNDS:
                    item.stop_cycle()
        finally:
            self._settling = False
            if self._woken:  # one item failed; the others are not to wait for the next change
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self.settle)

    def forget(self, item: Item) -> None:
        """The item is gone."""
        self._woken.pop(item, None)
        for items in self._clocks.values():
            items.pop(item, None)

    def every(self, rate_ms: int, item: Item) -> None:
        """Wake the item at this rate from now on."""
        if rate_ms <= 0 or self._closed:
            return
        rate_ms = min(max(rate_ms, 50), _SLOWEST_MS)
        self._clocks.setdefault(rate_ms, {})[item] = None
        if rate_ms not in self._timers:
            self._start(rate_ms)

    def _start(self, rate_ms: int) -> None:
        loop = asyncio.get_running_loop()
        self._timers[rate_ms] = loop.call_later(rate_ms / 1000, self._tick, rate_ms)

    def _tick(self, rate_ms: int) -> None:
        del self._timers[rate_ms]
        items = self._clocks.pop(rate_ms, {})  # who still wants the time asks again when evaluated
        for item in items:
            self.wake(item)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside; its failure is logged and hurts nobody else."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    async def idle(self) -> None:
        """Wait until nothing is woken and nothing runs beside; for tests and for the end."""
        while self._tasks or self._woken or self._scheduled:
            if self._tasks:
                await asyncio.wait(set(self._tasks))
            await asyncio.sleep(0)

    def close(self) -> None:
        """Nothing is evaluated any more."""
        self._closed = True
        self._woken.clear()
        for timer in self._timers.values():
            timer.cancel()
        for task in list(self._tasks):
            task.cancel()

    def later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Call something after a while."""
        return asyncio.get_running_loop().call_later(delay_s, call)
