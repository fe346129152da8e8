"""Forwarding: batches of readings into the store, over the disk when it is away, each of them once.

Live batches go straight to the store. When it does not take them they go to the disk buffer, and what comes
after them too, until it answers again; then live batches go straight again, and the disk is emptied beside
them, oldest first, one piece between two flushes. So rows of one tag are stored in the order of their source
within the live ones and within those from the disk; by their time stamps they are in order altogether.

While the store only takes its time, what comes meanwhile is put on disk for its safety, but keeps its place
among the live batches: it does not queue behind what an outage has left there.

Each batch has a mark, a number that the store commits together with it. It keeps the mark in memory, on disk
and after a restart, so a batch whose answer was lost is not stored a second time. Numbers must come in their
order, so each lane has its own: the live one, which ends when one of its batches had to go to disk, and that
of batches that went to disk at once. What the database remembers is the number of the batch and the place in
it, as one number, so that a batch may also be stored in parts and taken up in its middle.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog

from bridge.domain.reading import Reading
from bridge.errors import BridgeError, BufferDown, DeadlineExceeded, FixCode, RefusedByRule, TryAgain
from bridge.ports import BufferState, Kept, Mark, ReadingBuffer, Store, TagLink

log = structlog.get_logger(__name__)

_AT_ONCE = 20_000  # readings in one COPY: large enough to be cheap, small enough not to hold the loop
_FROM_DISK_AT_ONCE = 2_000  # the same for what is not urgent
_PATIENCE_S = 1.0  # longer than this, nothing that was measured stays in memory alone
_ROOM = 2  # times queue_size: how far memory may grow while the disk is asked
_PLACES = 2**24  # more than the readings of any batch; part of what the database remembers, so never changed
_FEWEST = 50  # a database that needs longer than its time limit for so few is not slow, but away


@dataclass(frozen=True, slots=True)
class _Item:
    """A batch as a link delivered it, and what of it is new. `again`: the link delivers again what is not kept."""

    fresh: Sequence[Reading]
    batch: Sequence[Reading]
    link: TagLink | None
    again: bool


@dataclass(slots=True)
class _Cut:
    """What is stored in one transaction. `safe`: not in memory alone, or dropped by policy; `id`: on disk, or 0."""

    items: list[_Item]
    readings: list[Reading]
    mark: Mark
    id: int = 0
    safe: bool = False

    @property
    def again(self) -> bool:
        """Whether some of it may be delivered a second time."""
        return any(item.again and item.fresh for item in self.items)


class Forwarder:
    """The queue between intake and store. `flush` and `drain` are for one task each."""

    def __init__(self, *, store: Store, buffer: ReadingBuffer, queue_size: int) -> None:
        self._store = store
        self._buffer = buffer
        self._queue_size = queue_size
        self._items: deque[_Item] = deque()
        self._count = 0
        self._retry: _Cut | None = None
        self._under_way: _Cut | None = None
        self._behind: deque[_Cut] = deque()  # on disk, of the live lane, and newer than what is under way
        self._behind_count = 0
        self._marks = asyncio.Lock()  # live batches are not stored while marks are forgotten
        self._away: BridgeError | None = None
        self._run = uuid4().hex[:8]
        self._lane = 1
        self._numbered = 0
        self._round = asyncio.Event()
        self._marks_to_forget = True  # those of earlier runs
        self._from_disk = 0
        self._dropped = 0
        self.pressed = asyncio.Event()
        """Set when so much waits that a store that takes its time should not be waited for."""
        self.soon = asyncio.Event()
        """Set when the next flush should not wait: much waits, or a source that waits for an acknowledgement.

        Such a source may send only so much before it has one: what it can deliver is that, once per flush.
        """
        self.stored = 0

    @property
    def waiting(self) -> int:
        """Readings in memory that wait for the store or for the disk."""
        retry = 0 if self._retry is None else len(self._retry.readings)
        return self._count + self._behind_count + retry

    @property
    def only_in_memory(self) -> int:
        """Of those that wait for their turn, the readings that a power cut would take."""
        return self._count

    @property
    def dropped(self) -> int:
        """Readings that were lost, in memory or on disk, for want of room or because the database refused them."""
        return self._dropped + self._buffer.status().dropped

    def put(
        self, fresh: Sequence[Reading], batch: Sequence[Reading], link: TagLink | None, *, again: bool = False
    ) -> None:
        """Queue what is new of a batch; `link` is told when it is safe. Never waits; beyond bounds the oldest go."""
        if not fresh and link is None:
            return
        self._items.append(_Item(fresh, batch, link, again))
        self._count += len(fresh)
        if self._count > self._queue_size // 2:
            self.pressed.set()
        if again or self.pressed.is_set():
            self.soon.set()
        if self._count > self._queue_size:
            limit = self._queue_size * (_ROOM if self._buffer.usable else 1)
            while self._count > limit:
                item = self._items.popleft()
                self._count -= len(item.fresh)
                self._drop(len(item.fresh), "the store is away, and the queue is full")
                _tell([item])

    def drop(
        self, fresh: Sequence[Reading], batch: Sequence[Reading], link: TagLink | None, reason: str
    ) -> None:
        """Give a batch up that was never queued: what was new of it is counted, and `link` need not keep it."""
        self._drop(len(fresh), reason)
        _tell([_Item(fresh, batch, link, again=False)])

    def _drop(self, count: int, reason: str) -> None:
        if not self._dropped:
            log.error("readings.dropped", reason=reason, count=count)
        self._dropped += count

    # --- live ---

    async def flush(self) -> BridgeError | None:
        """Everything that waits is stored or on disk when this returns; why the store does not answer, or None.

        What is neither stored nor on disk waits on. Raises what waiting does not mend; nothing is lost by that.
        """
        try:
            while self._retry is not None or self._behind or self._items:
                if self._retry is None and not self._behind and self._to_disk_first():
                    try:
                        await self._spill()
                    except BufferDown:
                        return self._away
                elif not await self._store_next():
                    break
            return self._away
        finally:
            self.pressed.clear()
            self.soon.clear()
            self._round.set()

    def _to_disk_first(self) -> bool:
        """While the store is away there is no sense in asking it for each batch: draining finds out."""
        return self._away is not None and self._buffer.usable and self._buffer.status().depth > 0

    async def _store_next(self) -> bool:
        """Store the next batches, or put them on disk; False when neither worked."""
        cut = self._take_next()
        if not cut.readings:
            _tell(cut.items)
            return True
        self._under_way = cut
        try:
            await self._store_live(cut)
        except BridgeError as problem:
            on_disk = await self._gave_up(cut, problem)
            if not isinstance(problem, TryAgain):
                raise
            return on_disk
        except BaseException:
            self._retry = cut  # stored or not: its mark knows
            raise
        finally:
            self._under_way = None
        self._away = None
        if not cut.safe:
            _tell(cut.items)
        elif cut.id:
            await self._let_go(cut.id)
        return True

    def _take_next(self) -> _Cut:
        if self._retry is not None:
            cut, self._retry = self._retry, None
        elif self._behind:
            cut = self._behind.popleft()
            self._behind_count -= len(cut.readings)
        else:
            cut = self._next(self._lane, _AT_ONCE)
        return cut

    async def _store_live(self, cut: _Cut) -> None:
        if cut.again and not cut.safe and self._buffer.usable:
            # Before the database has it: what is stored and not on disk would not be recognised after a kill.
            with suppress(BufferDown):
                await self._keep(cut, in_flight=True, or_drop=False)
        storing = asyncio.create_task(self._store_cut(cut), name="store batch")
        try:
            await self._wait(storing, cut)
        except BaseException:
            storing.cancel()
            await _ended(storing)
            raise
        storing.result()

    async def _store_cut(self, cut: _Cut) -> None:
        async with self._marks:
            try:
                rows = await self._store.store_readings(cut.readings, _whole(cut.mark))
            except RefusedByRule:
                rows = 0
            if rows:
                self.stored += len(cut.readings)
            else:
                # Refused, or there already: as a whole, or as far as its mark says.
                await self._store_in_parts(cut.readings, cut.mark, _AT_ONCE)

    def _next(self, lane: int, at_most: int) -> _Cut:
        items: list[_Item] = []
        count = 0
        while self._items and count < at_most:
            items.append(self._items.popleft())
            count += len(items[-1].fresh)
        self._count -= count
        self._numbered += 1
        mark = Mark(origin=self._origin(lane), first=self._numbered, last=self._numbered)
        return _Cut(items, [reading for item in items for reading in item.fresh], mark)

    def _origin(self, lane: int) -> str:
        return f"{self._buffer.identity}/{self._run}/{lane}"

    async def _wait(self, storing: asyncio.Task[None], cut: _Cut) -> None:
        """Wait for the store. When it takes its time, that batch and what comes after it are put on disk as well."""
        pressed = asyncio.create_task(self.pressed.wait())
        try:
            while not storing.done():
                await asyncio.wait(
                    {storing, pressed}, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if storing.done():
                    return
                try:
                    await self._keep(cut, in_flight=True, or_drop=False)
                    await self._keep_behind()
                except BufferDown:
                    await asyncio.wait({storing}, timeout=_PATIENCE_S)
                if pressed.done():
                    self.pressed.clear()
                    pressed = asyncio.create_task(self.pressed.wait())
        finally:
            pressed.cancel()

    async def _keep_behind(self) -> None:
        """Put what waits on disk as well; it stays in its place of the live lane as long as memory has room."""
        while self._items and self._behind_count < self._queue_size:
            cut = self._next(self._lane, _FROM_DISK_AT_ONCE)
            try:
                await self._keep(cut, in_flight=True, or_drop=False)
            finally:
                self._back_unless_safe(cut)
                if cut.safe and cut.readings:
                    self._behind.append(cut)
                    self._behind_count += len(cut.readings)
            if not cut.safe:
                return
        await self._spill(or_drop=False)

    async def _spill(self, *, or_drop: bool = True) -> None:
        """Put all that waits in memory on disk alone; BufferDown when that does not work, and it waits on."""
        while self._items:
            cut = self._next(0, _FROM_DISK_AT_ONCE)
            try:
                await self._keep(cut, or_drop=or_drop)
            finally:
                self._back_unless_safe(cut)
            if not cut.safe:
                return

    def _back_unless_safe(self, cut: _Cut) -> None:
        if not cut.safe:
            self._items.extendleft(reversed(cut.items))
            self._count += len(cut.readings)

    async def _keep(self, cut: _Cut, *, in_flight: bool = False, or_drop: bool = True) -> None:
        """Put a batch on disk, with its mark, and tell the links that it is safe."""
        if cut.safe:
            return
        if not cut.readings:
            cut.safe = True
            _tell(cut.items)
            return
        appending = asyncio.create_task(
            self._buffer.append(
                cut.readings, cut.mark, in_flight=in_flight, remember=cut.again, or_drop=or_drop
            ),
            name="keep batch",
        )
        try:
            # Begun is finished: a batch that is on disk without our knowing would be stored under two marks.
            await asyncio.shield(appending)
        finally:
            try:
                await _ended(appending)
            finally:
                if not appending.cancelled() and appending.exception() is None:
                    cut.id = appending.result()
                    cut.safe = bool(cut.id) or or_drop
                    if cut.safe:
                        _tell(cut.items)

    async def _gave_up(self, cut: _Cut, problem: BridgeError) -> bool:
        """Put a batch that the store did not take on disk; False when it has to wait in memory."""
        if self._away is None:
            self._away = problem
        self._lane += 1  # later live batches may overtake this one
        try:
            await self._keep(cut)
        except BufferDown:
            return False
        finally:
            if cut.safe:
                # What is behind it is on disk too, and after it: the order of their marks.
                for waiting in (cut, *self._behind):
                    self._buffer.release(waiting.id)
                self._behind.clear()
                self._behind_count = 0
            else:
                self._retry = cut
        return True

    async def _let_go(self, batch_id: int) -> None:
        try:
            await self._buffer.remove([batch_id])
        except BufferDown:
            # It is stored; draining will find its mark taken, and remove it when the disk works again.
            self._buffer.release(batch_id)

    # --- from the disk ---

    async def drain(self) -> BridgeError | None:
        """Store what is on disk, oldest first, until nothing is left; why that did not work, or None.

        Between two pieces it waits for a flush, so that live batches come first.
        """
        status = self._buffer.status()
        if not status.depth and status.state is not BufferState.DOWN:
            return await self._forget_marks()
        try:
            while True:
                # Also when it is down: it may be well again, and what is in it is known only then.
                group = await self._buffer.oldest(_FROM_DISK_AT_ONCE)
                if not group:
                    return None
                self._round.clear()
                try:
                    await self._store_group(group)
                except TryAgain:
                    raise
                except BridgeError:
                    self._away = None  # it answers, if not to our liking
                    raise
                self._away = None
                self._buffer.draining(on=True)
                self._marks_to_forget = True
                if not self._buffer.status().depth:
                    log.info(
                        "buffer.drained", readings=self._from_disk, dropped=self._buffer.status().dropped
                    )
                    self._from_disk = 0
                    return await self._forget_marks()
                await self._round.wait()
        except BufferDown:
            return None  # it has said so itself
        except TryAgain as problem:
            return problem
        finally:
            self._buffer.draining(on=False)

    async def _store_group(self, group: Sequence[Kept]) -> None:
        readings = [reading for kept in group for reading in kept.readings]
        if len(readings) > _FROM_DISK_AT_ONCE:
            await self._store_from_disk_in_parts(group[0])
            return
        first, last = group[0].mark, group[-1].mark
        try:
            rows = await self._store.store_readings(readings, _whole(first, last))
        except (RefusedByRule, DeadlineExceeded):
            if len(group) > 1:
                for kept in group:
                    await self._store_group([kept])
            else:
                await self._store_from_disk_in_parts(group[0])
            return
        if rows:
            self.stored += len(readings)
            self._from_disk += len(readings)
            await self._buffer.remove([kept.id for kept in group])
        else:
            await self._stored_before(group)

    async def _stored_before(self, group: Sequence[Kept]) -> None:
        """Let go what of it was stored already: by a bridge that was killed, or whose answer was lost."""
        until = await self._store.stored_until(group[0].origin)
        before = [kept for kept in group if _whole(kept.mark).last <= until]
        if before:
            log.info("buffer.stored_before", readings=sum(len(kept.readings) for kept in before))
            await self._buffer.remove([kept.id for kept in before])
        else:
            await self._store_from_disk_in_parts(group[0])

    async def _store_from_disk_in_parts(self, kept: Kept) -> None:
        self._from_disk += await self._store_in_parts(
            kept.readings, kept.mark, _FROM_DISK_AT_ONCE, urgent=False
        )
        await self._buffer.remove([kept.id])

    async def _store_in_parts(
        self, readings: Sequence[Reading], mark: Mark, at_most: int, *, urgent: bool = True
    ) -> int:
        """Store what is not stored yet of a batch that is too much at once, or that the database refused.

        What it refuses alone is dropped and counted. Parts that take it too long become smaller. Returns how
        many were stored now; between two parts that are not urgent, live batches have their turn.
        """
        begin = await self._place_in(mark)
        size, stored = min(at_most, max(1, len(readings) // 2)), 0  # as a whole it was too much, or refused
        while begin < len(readings):
            part = readings[begin : begin + size]
            end = begin + len(part)
            try:
                rows = await self._store.store_readings(part, _part(mark, begin, end, of=len(readings)))
            except RefusedByRule as problem:
                if len(part) > 1:
                    size = len(part) // 2
                    continue
                self._drop(1, str(problem))
            except DeadlineExceeded:
                if len(part) <= _FEWEST:
                    raise
                size = at_most = len(part) // 2
                continue
            else:
                if not rows:
                    # Somebody before us had it still under way, and it was committed only now.
                    end = await self._place_in(mark)
                    if end <= begin:
                        raise FixCode(
                            f"readings of {mark.origin} were not stored, and their mark is not taken"
                        )
                else:
                    stored += len(part)
                    self.stored += len(part)
                    size = min(at_most, 2 * size)
            begin = end
            if not urgent and begin < len(readings):
                self._round.clear()
                await self._round.wait()
        return stored

    async def _place_in(self, mark: Mark) -> int:
        """How many readings of a batch are stored; more than it has when all of them are."""
        until = await self._store.stored_until(mark.origin)
        return max(0, until - mark.last * _PLACES)

    async def _forget_marks(self) -> BridgeError | None:
        """Remove marks of which nothing waits any more, once after each draining."""
        if not self._marks_to_forget or not self._buffer.usable:
            return None
        async with self._marks:
            # As long as this lasts no live batch is stored, so no lane ends and none begins.
            if self._retry is not None or self._behind or self._buffer.status().depth:
                return None
            in_use = [self._origin(lane) for lane in (0, self._lane)]
            if self._under_way is not None:
                in_use.append(self._under_way.mark.origin)
            try:
                await self._store.forget_marks(f"{self._buffer.identity}/", in_use)
            except TryAgain as problem:
                return problem
            self._marks_to_forget = False
        return None


def _whole(first: Mark, last: Mark | None = None) -> Mark:
    """What the database remembers of batches that are stored as they are."""
    end = (last or first).last
    return Mark(origin=first.origin, first=first.first * _PLACES + 1, last=(end + 1) * _PLACES - 1)


def _part(mark: Mark, begin: int, end: int, *, of: int) -> Mark:
    """The same of a part; the last one ends the batch."""
    last = end if end < of else _PLACES - 1
    return Mark(origin=mark.origin, first=mark.first * _PLACES + begin + 1, last=mark.last * _PLACES + last)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait for the end of a task however often we are cancelled meanwhile: its outcome has to be known."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


def _tell(items: Sequence[_Item]) -> None:
    for item in items:
        if item.link is not None:
            item.link.kept(item.batch)
