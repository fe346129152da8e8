"""Keeping one session to the plant alive: connect, resume, watch, rebuild, and say honestly how it stands.

Nothing here knows a protocol. A `Session` is one conversation with one server; this module decides when to
start one, when to pick up a cut one, when to mistrust a healthy-looking one, and what a lost answer means.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag, Value, conforms
from bridge.errors import AccessDenied, DeadlineExceeded, LinkDown, TryAgain
from bridge.links.freshness import NEVER, Freshness
from bridge.links.outcomes import not_sent, refused, unknown
from bridge.links.reading_queue import ReadingQueue
from bridge.ports import Clock, LinkState, LinkStatus, WriteOutcome

log = structlog.get_logger(__name__)
T = TypeVar("T")

WRITES_IN_FLIGHT = 50
_REFUSALS_BEFORE_GIVING_UP = 3  # once it worked, one refusal may be a server that is still starting
_GROWN_UP_S = 5.0


class NothingSent(LinkDown):
    """The wire was gone before a single byte was handed to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patient a link is; seconds throughout.

    deadline_s: limit of each step of connecting. probe_s, probe_deadline_s: how often the server is asked
    for a sign of life, and how long it may take. refresh_s: a tag silent this long is read. retry_s: how
    often tags set aside are tried again. grace_s: how long after a change its notification may still come.
    """

    deadline_s: float
    reconnect_max_s: float
    refresh_s: float
    probe_s: float = 2.0
    probe_deadline_s: float = 3.0
    retry_s: float = 30.0
    grace_s: float = 1.5
    rebuild_s: float = 30.0


class Session(Protocol):
    """One conversation with a server. Raises only errors of the bridge; a dead one is never revived but by `resume`."""

    lost: asyncio.Event
    """Set when the wire is gone or the server ended the conversation."""
    loss: str
    """Why, in words for a log line."""
    resumable: bool
    """Whether the server may still hold this session and its queues."""
    silence_s: float
    """Longest silence of a living subscription that is normal."""
    writes_per_call: int
    """Most writes that one call of `write` may carry."""
    asks_source: bool
    """Whether a read asks for present values; False where it can only repeat what was heard, so that a silent
    tag is not read on purpose and stays silent."""
    owes_changes: bool
    """Whether a change seen by reading alone makes the session suspect; False where a read tells of absence too."""

    @property
    def heard_s(self) -> float:
        """Monotonic time of the last message that a subscription brought, keep-alives included."""
        ...

    async def open(self) -> None:
        """Connect from nothing; raises LinkDown, DeadlineExceeded or AccessDenied."""
        ...

    async def resume(self) -> bool:
        """Take up this session over a new wire; False when the server has forgotten it."""
        ...

    async def subscribe(self, handles: Sequence[int]) -> Mapping[int, str]:
        """Ask for tags; returns what was refused with the reason, and subscribes the rest."""
        ...

    async def read(self, tags: Sequence[Tag]) -> list[Reading]:
        """Present values in the order asked; raises LinkDown."""
        ...

    def refusal(self, tag: Tag, value: Value) -> WriteOutcome | None:
        """Why the server's own description of the tag forbids this value, or None."""
        ...

    async def write(self, writes: Sequence[tuple[Tag, Value]], until_s: float) -> list[WriteOutcome]:
        """Send once. Raises NothingSent when no byte left, LinkDown when the answer was lost.

        until_s: time of the event loop at which the caller gives up and drops the session. A session whose
        answers come one by one says what it knows, and that the rest is unknown, before that time or when it is
        cancelled then: a busy loop may wake it no earlier.
        """
        ...

    async def probe(self) -> None:
        """Ask for a sign of life; raises LinkDown."""
        ...

    async def renew(self) -> None:
        """Renew what expires, when it is due; raises LinkDown."""
        ...

    def drop(self, reason: str) -> None:
        """Cut the wire now; what was not yet sent never will be."""
        ...

    def abandon(self, reason: str) -> None:
        """Give the session up for good, but leave the wire for `close` to take leave on."""
        ...

    async def close(self) -> None:
        """Take leave politely within a second, then drop."""
        ...


class SupervisedLink(ABC):
    """A TagLink over sessions of some protocol."""

    def __init__(
        self,
        name: str,
        freshness: Freshness,
        queue: ReadingQueue,
        *,
        pace: Pace,
        clock: Clock,
        session: Callable[[], Session],
    ) -> None:
        self._name = name
        self._freshness = freshness
        self._queue = queue
        self._pace = pace
        self._clock = clock
        self._new_session = session
        self._session: Session | None = None
        self._handles = {tag.path: handle for handle, tag in enumerate(freshness.tags)}
        self._write_slots = asyncio.Semaphore(WRITES_IN_FLIGHT)
        self._detail = "not started"
        self._sessions = 0
        self._down_reported = False
        self._rebuild_not_before_s = NEVER
        self._rebuilds_in_vain = 0

    @property
    def name(self) -> str:
        """The link's name in bridge.toml."""
        return self._name

    def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Batches of readings in the order the source sent them, per tag; one consumer at a time."""
        return self._queue.batches()

    def kept(self, batch: Sequence[Reading]) -> None:
        """Be told that a batch is on durable storage; of no use to a link whose source keeps nothing for it."""
        return

    @abstractmethod
    async def check(self) -> list[str]:
        """Connect once, compare every configured tag with the server, and list all problems found."""

    # --- keeping it alive ---

    async def run(self) -> None:
        """Keep the session and the subscriptions alive until cancelled; never returns by itself.

        Raises AccessDenied for credentials or certificates that will not get better by waiting.
        """
        session: Session | None = None
        failures = refusals = young_deaths = 0
        try:
            while True:
                try:
                    session = await self._establish(session)
                except AccessDenied as problem:
                    refusals += 1
                    if not self._sessions or refusals >= _REFUSALS_BEFORE_GIVING_UP:
                        raise
                    session = None
                    failures += 1
                    self._report_down(str(problem))
                    await asyncio.sleep(self._delay_s(failures))
                    continue
                except TryAgain as problem:
                    if session is not None and not session.resumable:
                        session = None
                    failures += 1
                    self._report_down(str(problem))
                    await asyncio.sleep(self._delay_s(failures))
                    continue
                failures = 0
                began_s = self._clock.monotonic_s()
                try:
                    await self._watch(session, began_s)
                finally:
                    self._session = None
                self._report_down(session.loss)
                if self._clock.monotonic_s() - began_s > _GROWN_UP_S:
                    young_deaths = refusals = 0
                else:
                    # Sessions that die young, one after the other, must not be rebuilt in a tight loop.
                    young_deaths += 1
                    await asyncio.sleep(self._delay_s(young_deaths))
        finally:
            self._session = None
            self._detail = "stopped"
            if session is not None:
                await session.close()

    async def _establish(self, previous: Session | None) -> Session:
        """A live session with all tags asked for: the cut one taken up again if the server still holds it.

        Taking up a session is what saves the values queued in the server during a cut (OPC 10000-4 §6.7).
        """
        if previous is not None:
            if previous.resumable and await previous.resume():
                self._up(previous, "resumed")
                return previous
            await previous.close()
        session = self._new_session()
        try:
            await session.open()
            self._freshness.missing = dict(await session.subscribe(range(len(self._freshness.tags))))
        except BaseException:
            # Half a session is never kept: this is where the library would report success without items.
            await session.close()
            raise
        self._freshness.forget_suspects()
        self._up(session, "opened")
        return session

    def _up(self, session: Session, how: str) -> None:
        self._session = session
        self._sessions += 1
        self._down_reported = False
        self._detail = ""
        log.info(
            "link.up",
            link=self._name,
            how=how,
            wanted=len(self._freshness.tags),
            subscribed=self._freshness.subscribed(),
        )
        self._report_missing({})

    def _report_down(self, reason: str) -> None:
        self._detail = reason
        if not self._down_reported:
            log.warning("link.down", link=self._name, reason=reason)
            self._down_reported = True

    def _report_missing(self, before: Mapping[int, str]) -> None:
        if self._freshness.missing.keys() != before.keys():
            first = {
                self._freshness.tags[h].path: why for h, why in list(self._freshness.missing.items())[:10]
            }
            log.warning(
                "link.items_missing", link=self._name, missing=len(self._freshness.missing), first=first
            )

    def _delay_s(self, failures: int) -> float:
        """Doubling from 0.1 s, capped, with jitter so that bridges do not return in step."""
        capped_s = min(0.1 * 2 ** min(failures - 1, 16), self._pace.reconnect_max_s)
        return float(capped_s * random.uniform(0.5, 1.0))

    # --- watching it ---

    async def _watch(self, session: Session, began_s: float) -> None:
        """Return when the session is lost or mistrusted; until then probe, refresh and retry."""
        pace = self._pace
        refresh_every_s = min(1.0, self._freshness.patience_s(pace.refresh_s) / 4)
        tick_s = min(0.5, refresh_every_s, pace.probe_s / 2)
        probe_at_s = began_s + pace.probe_s
        retry_at_s = began_s + pace.retry_s
        refresh_at_s = began_s + pace.grace_s  # what the server still queues comes first
        verify_at_s = began_s + pace.grace_s
        verified = False
        unanswered = 0
        while True:
            try:
                async with asyncio.timeout(tick_s):
                    await session.lost.wait()
                return
            except TimeoutError:
                pass
            now_s = self._clock.monotonic_s()
            try:
                if now_s >= probe_at_s:
                    await self._probe(session)
                    probe_at_s, unanswered = now_s + pace.probe_s, 0
                if not verified and now_s >= verify_at_s:
                    await self._verify(session, began_s)
                    verified = True
                if now_s >= refresh_at_s:
                    await self._refresh(session, self._freshness.silent(now_s, for_s=pace.refresh_s))
                    refresh_at_s = now_s + refresh_every_s
                if now_s >= retry_at_s:
                    await self._retry_missing(session)
                    retry_at_s = now_s + pace.retry_s
                await session.renew()
            except DeadlineExceeded as problem:
                # Notifications that still arrive prove the wire: then only patience is over, not the session.
                unanswered += 1
                probe_at_s = self._clock.monotonic_s()
                if session.heard_s < now_s or unanswered >= 3:
                    session.drop(f"no answer: {problem}")
                    return
            except LinkDown as problem:
                session.drop(str(problem))
                return
            self._mistrust(session, began_s)
            if session.lost.is_set():
                return

    async def _probe(self, session: Session) -> None:
        try:
            async with asyncio.timeout(self._pace.probe_deadline_s):
                await session.probe()
        except TimeoutError as problem:
            raise DeadlineExceeded(f"no sign of life within {self._pace.probe_deadline_s:g} s") from problem

    async def _verify(self, session: Session, began_s: float) -> None:
        """After each (re)connect: read what did not speak up by itself, and compare.

        A new subscription must bring a first value of every item (OPC 10000-4 §5.13.1.3); one that was taken
        up again need not, so its values are read and must not have changed behind our back.
        """
        unheard = self._freshness.unheard_since(began_s)
        if unheard:
            await self._refresh(session, unheard)

    async def _refresh(self, session: Session, handles: Sequence[int]) -> None:
        if not handles or not session.asks_source:
            return
        asked_s = self._clock.monotonic_s()
        readings = await self._read(
            session, [self._freshness.tags[h] for h in handles], self._pace.deadline_s
        )
        now_s = self._clock.monotonic_s()
        owed = session.owes_changes
        self._queue.put(self._freshness.take_read(handles, readings, asked_s=asked_s, now_s=now_s, owed=owed))

    async def _retry_missing(self, session: Session) -> None:
        before = self._freshness.missing
        if before:
            self._freshness.missing = dict(await session.subscribe(tuple(before)))
            self._report_missing(before)

    def _mistrust(self, session: Session, began_s: float) -> None:
        """Drop a session that looks healthy but does not carry data, so that a new one is built."""
        now_s = self._clock.monotonic_s()
        if self._freshness.subscribed() and now_s - max(session.heard_s, began_s) > session.silence_s:
            session.abandon(
                f"the subscription was silent for {session.silence_s:.1f} s, keep-alives included"
            )
            return
        missed = self._freshness.missed(now_s, grace_s=self._pace.grace_s)
        if missed and now_s >= self._rebuild_not_before_s:
            # Doubling: a server that never notifies some tag must not be met with a rebuild every few seconds.
            self._rebuild_not_before_s = now_s + self._pace.rebuild_s * 2 ** min(self._rebuilds_in_vain, 6)
            self._rebuilds_in_vain += 1
            session.abandon(
                f"{len(missed)} tags changed without a notification, first {self._freshness.tags[missed[0]].path}"
            )
        elif missed:
            self._freshness.unnotified.update(missed)

    # --- using it ---

    async def read(self, tags: Sequence[Tag], *, deadline_s: float) -> list[Reading]:
        """Read present values in one batch, in the order asked, each `confirmed`.

        A single unreadable tag comes back with Quality.BAD and its status; LinkDown or DeadlineExceeded
        is raised when the whole call failed.
        """
        session = self._session
        if session is None or session.lost.is_set():
            raise LinkDown(f"link {self._name}: {self._detail or 'no session'}")
        return await self._read(session, tags, deadline_s)

    async def _read(self, session: Session, tags: Sequence[Tag], deadline_s: float) -> list[Reading]:
        try:
            async with asyncio.timeout(deadline_s):
                return await session.read(tags)
        except TimeoutError as problem:
            raise DeadlineExceeded(
                f"link {self._name}: no answer to a read within {deadline_s:g} s"
            ) from problem

    async def write(self, writes: Sequence[tuple[Tag, Value]], *, deadline_s: float) -> list[WriteOutcome]:
        """Write values with the server's own data types, once, and say per write what is known.

        Never raises for a failed write and never tries again: a write without an answer is UNKNOWN.
        """
        session = self._session
        outcomes: dict[int, WriteOutcome] = {}
        if session is None or session.lost.is_set():
            down = not_sent("BadNotConnected", f"link {self._name}: {self._detail or 'no session'}")
            outcomes = dict.fromkeys(range(len(writes)), down)
            session = None
        for position, (tag, value) in enumerate(writes):
            if (wrong := self._wrong(session, tag, value)) is not None:
                outcomes[position] = wrong
        left = [position for position in range(len(writes)) if position not in outcomes]
        if session is not None and left:
            until_s = asyncio.get_running_loop().time() + deadline_s
            for chunk in batched(left, session.writes_per_call):
                answers = await self._send(
                    session, [writes[position] for position in chunk], until_s, deadline_s
                )
                outcomes.update(zip(chunk, answers, strict=True))
        return [outcomes[position] for position in range(len(writes))]

    def _wrong(self, session: Session | None, tag: Tag, value: Value) -> WriteOutcome | None:
        """Refuse rather than guess: nothing is converted and nothing is sent that does not fit exactly."""
        if tag.path not in self._handles:
            return refused("BadNodeIdUnknown", f"{tag.path} is not a tag of link {self._name}")
        if not tag.writable:
            return refused("BadNotWritable", f"{tag.path} has no limits, so it may never be written")
        if (wrong := conforms(value, tag.data_type)) is not None:
            return refused("BadTypeMismatch", f"{tag.path}: {wrong}; nothing was sent")
        return None if session is None else session.refusal(tag, value)

    async def _send(
        self, session: Session, writes: Sequence[tuple[Tag, Value]], until_s: float, deadline_s: float
    ) -> list[WriteOutcome]:
        handed_over, task = False, asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        try:
            async with asyncio.timeout_at(until_s), self._write_slots:
                # Either the wire is open now, or NothingSent is raised. Nothing waits for a wire to come back.
                handed_over = True
                answers = await session.write(writes, until_s)
            if task.cancelling() > cancelled:  # it came with the deadline, at which the session answered
                raise asyncio.CancelledError
            return answers
        except NothingSent as problem:
            return [not_sent("BadNotConnected", str(problem))] * len(writes)
        except LinkDown as problem:
            return [unknown("BadConnectionClosed", str(problem))] * len(writes)
        except TimeoutError:
            if not handed_over:
                detail = f"{WRITES_IN_FLIGHT} writes were in flight for {deadline_s:g} s"
                return [not_sent("BadTooManyOperations", detail)] * len(writes)
            # Bytes may still lie in a buffer of ours: cut, so that they do not arrive after we said "unknown".
            session.drop(f"a write was not answered within {deadline_s:g} s")
            return [unknown("BadTimeout", f"no answer within {deadline_s:g} s")] * len(writes)
        except asyncio.CancelledError:
            if handed_over:
                session.drop("a write was cancelled before its answer came")
            raise

    def status(self) -> LinkStatus:
        """The link as it is now; cheap, for heartbeats and metrics."""
        now_s = self._clock.monotonic_s()
        up = self._session is not None and not self._session.lost.is_set()
        problems = self._freshness.problems(now_s)
        if up:
            state = LinkState.DEGRADED if problems else LinkState.FLOWING
        else:
            state = LinkState.DOWN if self._down_reported else LinkState.CONNECTING
        return LinkStatus(
            name=self._name,
            state=state,
            wanted=len(self._freshness.tags),
            subscribed=self._freshness.subscribed() if up else 0,
            fresh=self._freshness.fresh(now_s),
            overflowed=self._freshness.overflowed + self._queue.dropped,
            reconnects=max(0, self._sessions - 1),
            detail=self._detail,
            problems=problems,
        )


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def unreadable(tag: Tag, status: str, clock: Clock) -> Reading:
    """A confirmed reading that says why there is no value."""
    now_utc = clock.now_utc()
    return Reading(tag, None, Quality.BAD, now_utc, now_utc, status, False, True)
