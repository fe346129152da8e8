"""The loop: every task of the agent under one supervisor, with one way out.

Each task has a name and is started again when it fails; the log tells when it starts failing and when it
works again, not every attempt. Stopping is asked for once: commands that were sent are finished, those
that were not are given back, and the last heartbeat says offline.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial

import structlog

from bridge.agent.advise import Adviser, Advising
from bridge.agent.detect import Detector
from bridge.agent.execute import Executor
from bridge.agent.intake import Finding, Intake
from bridge.agent.recommend import Recommender
from bridge.agent.tend import tend
from bridge.domain.anomaly import Cleared
from bridge.errors import BridgeError, FixConfiguration, TryAgain
from bridge.plant import Plant
from bridge.ports import BufferStatus, Clock, LinkState, ReadingBuffer, Store, TagLink
from bridge.settings import MqttLinkSettings, Settings

log = structlog.get_logger(__name__)

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_REFUSED_WAIT_S = 30.0  # credentials rarely mend themselves; do not have the account locked for it
_LINKS_LOOK_S = 0.05
_DRAIN_LOOK_S = 0.5
_LEAVING_S = 3.0  # longer than any task needs to take leave of its server
_BEGIN_AGAIN_S = 1.0
_DAY_S = 24 * 3600.0


Publish = Callable[[Callable[[], None]], Awaitable[None]]
"""Work that shows the agent's tables to others; it tells its argument whenever it works."""


class Agent:
    """The running agent. `stop` ends it in good order."""

    def __init__(
        self,
        *,
        settings: Settings,
        plant: Plant,
        store: Store,
        buffer: ReadingBuffer,
        links: dict[str, TagLink],
        clock: Clock,
        publishers: Mapping[str, Publish] | None = None,
        advising: Advising | None = None,
        begin: Callable[[], Awaitable[Mapping[str, Publish]]] | None = None,
    ) -> None:
        """`begin` is done before anything that wants the database, and gives further publishers.

        Where it raises TryAgain, what links deliver goes to disk, and it is tried again until it has worked once.
        `advising` is who enriches what the rules propose; None: nobody is asked.
        """
        self._settings = settings
        self._plant = plant
        self._store = store
        self._buffer = buffer
        self._links = links
        self._clock = clock
        self._publishers = dict(publishers or {})
        self._begin = begin
        self._opened = False  # `begin` has worked, and is not done again
        self._findings: deque[Finding] = deque()
        self._found = asyncio.Event()
        self._commands = asyncio.Event()  # something may be approved
        self._others = asyncio.Event()  # others may have inserted rows or recommendations
        self._to_tend = asyncio.Event()  # something ended that the agent did not end itself
        self._stop = asyncio.Event()
        self._polls = 0
        self._cycle_ms = 0.0
        self._failing: set[str] = set()
        self._detector = Detector(plant, started_utc=clock.now_utc())
        self._intake = Intake(
            plant=plant,
            detector=self._detector,
            store=store,
            buffer=buffer,
            queue_size=settings.agent.queue_size,
            remembered=settings.remembered,
            found=self._on_finding,
        )
        self._recommender = Recommender(
            plant=plant,
            store=store,
            links=links,
            detector=self._detector,
            clock=clock,
            settings=settings.agent,
        )
        self._adviser = None
        if advising is not None:
            self._adviser = Adviser(
                plant=plant,
                detector=self._detector,
                recommender=self._recommender,
                advising=advising,
                clock=clock,
            )
        self._executor = Executor(
            store=store, links=links, tags=plant.tags, clock=clock, settings=settings.agent
        )

    def stop(self) -> None:
        """Ask the agent to end; `run` returns when everything is in order."""
        self._stop.set()

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Work until `stop`. FixConfiguration ends the run at once: waiting would not mend it."""
        await self._intake.recall()
        try:
            await self._work(ready)
        except BaseException:
            with suppress(BridgeError):
                await self._intake.forward.flush()  # what is still in memory is safe on disk, or stored
            raise
        finally:
            await self._executor.abandon()
        await self._leave()

    async def _work(self, ready: Callable[[], None] | None) -> None:
        agent = self._settings.agent
        begun = await self._begins() is None
        if not begun:
            self._intake.hold()
        async with asyncio.TaskGroup() as group:

            def start(tasks: Mapping[str, Callable[[], Awaitable[None]]]) -> list[asyncio.Task[None]]:
                return [
                    group.create_task(self._supervise(name, work), name=name) for name, work in tasks.items()
                ]

            background = start(
                {
                    **{f"link {name}": link.run for name, link in self._links.items()},
                    **{f"intake {name}": partial(self._take_in, link) for name, link in self._links.items()},
                    "store readings": self._store_readings,
                }
            )
            if not begun and not await self._until_begun():
                await _end(background)
                return
            tasks: dict[str, Callable[[], Awaitable[None]]] = {
                "drain buffer": self._drain,
                "listen": self._listen,
                "recommend": self._recommend,
                "others": self._watch_others,
                "freshness": partial(self._every, 1.0, self._check_freshness),
                "tend": self._keep_tending,
                "heartbeat": partial(self._every, agent.heartbeat_s, self._beat),
                "partitions": partial(self._every, _DAY_S / 4, self._store.prepare_days),
                **({} if self._adviser is None else {"advise": partial(self._advise, self._adviser)}),
                **{
                    f"publish {name}": partial(work, self._works_again)
                    for name, work in self._publishers.items()
                },
            }
            background += start(tasks)
            (execute,) = start({"execute": self._execute})
            if ready is not None:
                ready()
            log.info(
                "agent.started",
                agent_id=agent.id,
                equipment=len(self._plant.equipment),
                tags=len(self._plant.tags),
            )
            await self._stop.wait()
            log.info("agent.stopping")
            # Executing ends first, while links and store still work.
            await asyncio.wait([execute], timeout=agent.lease_s)
            await _end([*background, execute])

    async def _begins(self) -> TryAgain | None:
        """Take up what the database remembers; TryAgain when that is only a matter of waiting."""
        try:
            if self._begin is not None and not self._opened:
                self._publishers.update(await self._begin())
                self._opened = True
            await self._restore()
            await self._store.prepare_days()
            await self._beat(online=True)
        except TryAgain as problem:
            if self._begin is None:
                raise
            return problem
        self._intake.look()
        return None

    async def _until_begun(self) -> bool:
        """Hold what is measured until the database answers; False when asked to stop before."""
        log.warning("agent.waiting", reason="the database does not answer; what is measured goes to disk")
        while not self._stop.is_set():
            await _within(_BEGIN_AGAIN_S, self._stop)
            await self._intake.recall()
            if not self._stop.is_set() and await self._begins() is None:
                return True
        return False

    async def _leave(self) -> None:
        forward = self._intake.forward
        try:
            await forward.flush()
            await self._beat(online=False)
        except TryAgain as problem:
            on_disk = self._buffer.status().depth
            log.warning("agent.left_unsaid", reason=str(problem), readings=forward.waiting, on_disk=on_disk)
        log.info("agent.stopped", verdicts=self._executor.verdicts, stored=forward.stored)

    async def _supervise(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            started_s = self._clock.monotonic_s()
            try:
                await work()
                return
            except Exception as problem:  # whatever it is, the other tasks go on
                if self._clock.monotonic_s() - started_s > _LONGEST_WAIT_S:
                    wait_s = _FIRST_WAIT_S
                if isinstance(problem, FixConfiguration):
                    # A link that is refused leaves the others working and is shown as down, and so does what
                    # only shows or advises; without its database the agent is nothing, and says so by ending.
                    if not name.startswith(("link ", "publish ", "advise")):
                        raise
                    wait_s = _REFUSED_WAIT_S
                self._failed(name, problem)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _failed(self, name: str, problem: Exception) -> None:
        if name in self._failing:
            return
        self._failing.add(name)
        if isinstance(problem, FixConfiguration | TryAgain):
            log.warning("task.waiting", task=name, reason=str(problem))
        else:
            log.error("task.failed", task=name, exc_info=problem)

    def _works_again(self, name: str = "") -> None:
        """Told by a task that has just done its work: transitions are logged, not every round."""
        task = asyncio.current_task()
        name = name or ("" if task is None else task.get_name())
        if name in self._failing:
            self._failing.discard(name)
            log.info("task.works_again", task=name)

    async def _every(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await work()
            self._works_again()
            await asyncio.sleep(interval_s)

    async def _restore(self) -> None:
        conditions = await self._store.active_conditions()
        strangers = self._detector.restore(
            (item.equipment_id, item.issue_type, item.severity, item.since_utc) for item in conditions
        )
        self._recommender.restore(item for item in conditions)
        for equipment_id, issue_type, severity, _since_utc in strangers:
            if equipment_id not in self._plant.equipment:
                continue  # another bridge on the same database may be the one that watches it
            # No rule here can find it any more, so no rule would ever end it either.
            log.warning(
                "condition.not_configured",
                equipment_id=equipment_id,
                issue_type=issue_type,
                severity=severity.value,
            )
            self._on_finding(
                Cleared(equipment_id=equipment_id, issue_type=issue_type, cleared_utc=self._clock.now_utc())
            )

    async def _take_in(self, link: TagLink) -> None:
        # A persistent session keeps what it does not know to be safe, and sends it again.
        settings = self._settings.links.get(link.name)
        again = isinstance(settings, MqttLinkSettings) and settings.persistent
        await self._intake.watch(link, self._works_again, again=again)

    async def _store_readings(self) -> None:
        forward = self._intake.forward
        while True:
            self._tell(await forward.flush())
            await _within(self._settings.agent.flush_s, forward.soon)

    async def _drain(self) -> None:
        while True:
            await self._intake.recall()
            self._tell(await self._intake.forward.drain())
            await asyncio.sleep(_DRAIN_LOOK_S)

    def _tell(self, problem: BridgeError | None) -> None:
        """For a task that goes on whatever happens: its transitions are logged as if it had failed."""
        task = asyncio.current_task()
        if problem is None or task is None:
            self._works_again()
        else:
            self._failed(task.get_name(), problem)

    def _on_finding(self, finding: Finding) -> None:
        self._findings.append(finding)
        self._found.set()

    async def _recommend(self) -> None:
        """Answer findings in their order; a finding leaves the queue only when it has been answered."""
        while True:
            while self._findings:
                await self._recommender.handle(self._findings[0])
                self._findings.popleft()
                self._works_again()
            self._found.clear()
            if not self._findings:
                await self._found.wait()

    async def _execute(self) -> None:
        # An approval must not fail for a link that has not had the time for its first attempt yet.
        ends_s = self._clock.monotonic_s() + self._settings.agent.lease_s
        while self._connecting() and not self._stop.is_set() and self._clock.monotonic_s() < ends_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINKS_LOOK_S):
                    await self._stop.wait()
        await self._executor.run(self._commands, self._stop, self._works_again)

    def _connecting(self) -> bool:
        return any(link.status().state is LinkState.CONNECTING for link in self._links.values())

    async def _listen(self) -> None:
        """Turn notifications into wake-ups. The polls of the other tasks cover what is missed here."""
        async for hint in self._store.notifications(wait_s=self._settings.agent.poll_s):
            self._works_again()
            word = "" if hint is None else hint
            if hint is None or word.startswith(("recommendation approved", "control armed")):
                self._commands.set()
            if word.endswith(" gateway") and not word.startswith(("command pending", "command executing")):
                self._to_tend.set()  # the gateway has finished a command; its recommendation waits for us
            if hint is None or word.startswith(("reading external", "recommendation pending")):
                self._others.set()
                if self._adviser is not None:
                    self._adviser.wake()

    async def _watch_others(self) -> None:
        poll_s = self._settings.agent.poll_s
        while True:
            self._others.clear()
            await self._intake.take_others()
            self._works_again()
            await _within(poll_s, self._others)

    async def _advise(self, adviser: Adviser) -> None:
        await adviser.run(self._works_again, look_s=self._settings.agent.tend_s)

    async def _check_freshness(self) -> None:
        for finding in self._detector.tick(self._clock.now_utc()):
            self._on_finding(finding)

    async def _keep_tending(self) -> None:
        while True:
            self._to_tend.clear()
            await self._tend()
            self._works_again()
            await _within(self._settings.agent.tend_s, self._to_tend)

    async def _tend(self) -> None:
        started_s = self._clock.monotonic_s()
        await tend(self._store, self._recommender, self._links, self._plant.tags, self._settings.agent)
        await self._recommender.revisit()
        self._polls += 1
        self._cycle_ms = (self._clock.monotonic_s() - started_s) * 1000

    async def _beat(self, online: bool = True) -> None:
        await self._store.heartbeat(
            online=online, polls_completed=self._polls, cycle_ms=self._cycle_ms, detail=self._detail()
        )

    def _detail(self) -> dict[str, object]:
        links = {}
        for name, link in self._links.items():
            status = link.status()
            if status.state in (LinkState.FLOWING, LinkState.DEGRADED):
                self._works_again(f"link {name}")
            links[name] = {
                "state": status.state.value,
                "wanted": status.wanted,
                "subscribed": status.subscribed,
                "fresh": status.fresh,
                "overflowed": status.overflowed,
                "reconnects": status.reconnects,
                "detail": status.detail,
                "problems": dict(list(status.problems.items())[:20]),
            }
        return {
            "links": links,
            "readings_taken_in": self._intake.taken_in,
            "readings_stored": self._intake.forward.stored,
            "readings_waiting": self._intake.forward.waiting,
            "readings_dropped": self._intake.forward.dropped,
            "buffer": _buffer_detail(self._buffer.status()),
            "verdicts": self._executor.verdicts,
            "failing": sorted(self._failing),
            "unknown_equipment": sorted(self._detector.unknown_equipment)[:20],
            **({} if self._adviser is None else {"advisor": self._adviser.detail()}),
        }


def _buffer_detail(status: BufferStatus) -> dict[str, object]:
    return {
        "state": status.state.value,
        "depth": status.depth,
        "oldest_s": None if status.oldest_s is None else round(status.oldest_s, 1),
        "bytes": status.bytes,
        "dropped": status.dropped,
        "detail": status.detail,
    }


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks, and once more whoever is still there.

    `asyncio.wait_for`, which libraries use while they connect, can lose a cancellation that comes in the same
    turn as its answer (CPython before 3.12, issue 86296); the task then works on as if nothing had been said.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_LEAVING_S)
        if left:
            log.warning("agent.still_leaving", tasks=sorted(task.get_name() for task in left))


async def _within(limit_s: float, event: asyncio.Event) -> None:
    """Wait for an event, at most this long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
