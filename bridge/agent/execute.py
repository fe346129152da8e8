"""Execute: carry claimed commands to the plant, each at most once.

claim → check what was approved → read the plant → check again → commit the intent → write → read back →
record the verdict. A process that dies anywhere in between leaves a row that says how far it came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from bridge.agent import decide, verify
from bridge.domain.command import Command, Verdict
from bridge.domain.lifecycle import CommandStatus
from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.reading import Reading
from bridge.domain.tag import Route, Tag, Value
from bridge.errors import BridgeError, DeadlineExceeded, FixCode, LinkDown, RefusedByRule, TryAgain
from bridge.ports import Clock, Store, TagLink
from bridge.settings import AgentSettings

log = structlog.get_logger(__name__)

OUR_ROUTES = (Route.OPCUA.value, Route.MQTT.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    command: Command
    tag: Tag
    value: Value


class Executor:
    """Takes approved commands and executes them in batches, several at a time, `max_in_flight` in all."""

    def __init__(
        self,
        *,
        store: Store,
        links: Mapping[str, TagLink],
        tags: Mapping[str, Tag],
        clock: Clock,
        settings: AgentSettings,
    ) -> None:
        self._store = store
        self._links = links
        self._tags = tags
        self._clock = clock
        self._settings = settings
        self._in_flight = 0
        self._batches: set[asyncio.Task[None]] = set()
        self.verdicts = 0

    async def run(
        self, wake: asyncio.Event, stop: asyncio.Event, asked: Callable[[], None] = lambda: None
    ) -> None:
        """Work until `stop`; then finish what was sent and give back what was not.

        `wake` says that something may be waiting; without it the database is asked every poll_s. `asked` is
        told each time it answered. What this raises concerns the asking or one broken batch: the other
        batches go on, and the next `run` waits for them too; `abandon` is for when there is no next one.
        """
        while not stop.is_set():
            self._raise_broken()
            wake.clear()
            # Half at a time: while one batch waits for the plant, the next is claimed and checked.
            room = min(
                self._settings.max_in_flight - self._in_flight, max(1, self._settings.max_in_flight // 2)
            )
            # Counted from before the claim: the database lets the lease run while its answer is on the way.
            claimed_s = self._clock.monotonic_s()
            commands = await self._store.take_commands(OUR_ROUTES, room) if room > 0 else []
            asked()
            if commands:
                self._in_flight += len(commands)
                work = self._finish(commands, claimed_s, wake, stop)
                self._batches.add(asyncio.create_task(work, name="commands"))
                continue
            await _first(wake, stop, self._settings.poll_s)
        if self._batches:
            await asyncio.wait(self._batches)
        self._raise_broken()

    async def abandon(self) -> None:
        """Drop what is still going on; the next bridge reads back what was sent."""
        for batch in self._batches:
            batch.cancel()
        await asyncio.gather(*self._batches, return_exceptions=True)
        self._batches.clear()

    def _raise_broken(self) -> None:
        """Raise what ended a batch that should not have ended so."""
        done = {batch for batch in self._batches if batch.done()}
        self._batches -= done
        for batch in done:
            batch.result()

    async def _finish(
        self, commands: Sequence[Command], claimed_s: float, wake: asyncio.Event, stop: asyncio.Event
    ) -> None:
        try:
            verdicts, unsent, sent = await self._send(commands, claimed_s, stop)
            await self._record(verdicts, unsent, stop)
            async for confirmed in verify.read_back(
                sent, self._links, self._clock, self._settings.command_deadline_s
            ):
                await self._record(confirmed, (), stop)
        finally:
            self._in_flight -= len(commands)
            wake.set()  # the next write of the same recommendation may be due

    async def _send(
        self, commands: Sequence[Command], claimed_s: float, stop: asyncio.Event
    ) -> tuple[list[Verdict], list[str], list[verify.Sent]]:
        """Verdicts on what must not be sent, ids of what could not be and is given back, and what was sent."""
        verdicts: list[Verdict] = []
        ready: list[_Ready] = []
        for command in commands:
            approved = decide.approved_write(command, self._tags)
            if isinstance(approved, Refusal):
                verdicts.append(_refused(command, approved))
            else:
                ready.append(_Ready(command=command, tag=approved[0], value=approved[1]))
        present = await self._read_present(ready)
        now_utc = self._clock.now_utc()
        checked: list[_Ready] = []
        for item in ready:
            found = present.get(item.tag.path)
            refusal = (
                Refusal(RefusalCode.UNREADABLE, f"{item.tag.path} cannot be read now; nothing was written")
                if found is None
                else decide.still_right(item.command, item.tag, found, now_utc)
            )
            if refusal is None:
                checked.append(item)
            else:
                verdicts.append(_refused(item.command, refusal))
        if not checked:
            return verdicts, [], []
        ids = [item.command.command_id for item in checked]
        if stop.is_set() or not self._within_lease(checked, claimed_s):
            return verdicts, ids, []
        try:
            allowed = await self._store.record_intent(ids)
        except (TryAgain, RefusedByRule):
            return verdicts, ids, []  # whether the intent was recorded or not: nothing was sent by us
        leased = self._within_lease(checked, claimed_s)
        going = [item for item in checked if item.command.command_id in allowed and leased]
        unsent = [item.command.command_id for item in checked if item.command.command_id not in allowed]
        if not leased:
            verdicts.extend(
                _refused(
                    item.command,
                    Refusal(RefusalCode.LEASE_LOST, "the bridge was too slow; nothing was written"),
                )
                for item in checked
                if item.command.command_id in allowed
            )
        return verdicts, unsent, await self._write(going)

    def _within_lease(self, items: Sequence[_Ready], claimed_s: float) -> bool:
        """False when this process slept so long that somebody else may have taken over meanwhile."""
        left_s = min(item.command.lease_left_s for item in items)
        return self._clock.monotonic_s() - claimed_s < left_s - self._settings.command_deadline_s

    async def _read_present(self, items: Sequence[_Ready]) -> dict[str, Reading]:
        async def over(name: str, members: Sequence[_Ready]) -> list[Reading]:
            link = self._links.get(name)
            if link is None:
                return []
            try:
                return await link.read(
                    [item.tag for item in members], deadline_s=self._settings.command_deadline_s
                )
            except (LinkDown, DeadlineExceeded) as problem:
                log.warning("command.unreadable", link=name, reason=str(problem))
                return []

        groups = await asyncio.gather(*(over(name, members) for name, members in _by_link(items).items()))
        return {reading.tag.path: reading for group in groups for reading in group}

    async def _write(self, items: Sequence[_Ready]) -> list[verify.Sent]:
        # All links at once: one that does not answer must not hold another's write up past the lease.
        async def over(name: str, members: Sequence[_Ready]) -> list[verify.Sent]:
            outcomes = await self._links[name].write(
                [(item.tag, item.value) for item in members], deadline_s=self._settings.command_deadline_s
            )
            return [
                verify.Sent(command=item.command, tag=item.tag, value=item.value, outcome=outcome)
                for item, outcome in zip(members, outcomes, strict=True)
            ]

        groups = await asyncio.gather(*(over(name, members) for name, members in _by_link(items).items()))
        return [sent for group in groups for sent in group]

    async def _record(self, verdicts: Sequence[Verdict], unsent: Sequence[str], stop: asyncio.Event) -> None:
        """Record verdicts, patiently: the plant has already changed, the row has to follow.

        When the bridge is stopped meanwhile, the row stays as it is and the next bridge reads it back. So does
        the row of a verdict that the database refuses; the others of its batch are recorded one by one then.
        """
        groups = [verdicts] if verdicts else []
        wait_s = 0.1
        while groups or unsent:
            try:
                if unsent:
                    released = await self._store.release(unsent)
                    log.info("command.released", command_ids=released)
                    unsent = ()
                while groups:
                    try:
                        await self._record_together(groups[0])
                    except (RefusedByRule, FixCode) as problem:
                        if len(groups[0]) > 1:
                            groups[:1] = [[verdict] for verdict in groups[0]]
                            continue
                        _unrecorded(groups[0][0], problem)
                    groups.pop(0)
            except TryAgain as problem:
                if stop.is_set():
                    commands = sum(len(group) for group in groups)
                    log.warning("command.unrecorded", reason=str(problem), commands=commands)
                    return
                await _first(stop, stop, wait_s)
                wait_s = min(wait_s * 2, 5.0)

    async def _record_together(self, verdicts: Sequence[Verdict]) -> None:
        finished = await self._store.record_verdicts(verdicts)
        self._tell(verdicts)
        for recommendation_id, status in finished:
            log.info("recommendation.finished", recommendation_id=recommendation_id, status=status.value)

    def _tell(self, verdicts: Sequence[Verdict]) -> None:
        self.verdicts += len(verdicts)
        for verdict in verdicts:
            confirmed = verdict.status is CommandStatus.EXECUTED
            log.log(
                20 if confirmed else 30,
                "command.verified" if confirmed else f"command.{verdict.status.value}",
                command_id=verdict.command_id,
                recommendation_id=verdict.recommendation_id,
                result=verdict.result,
            )


def _unrecorded(verdict: Verdict, problem: BridgeError) -> None:
    log.error(
        "command.unrecorded",
        reason=str(problem),
        command_id=verdict.command_id,
        recommendation_id=verdict.recommendation_id,
        result=verdict.result,
    )


def _refused(command: Command, refusal: Refusal) -> Verdict:
    return Verdict(
        command_id=command.command_id,
        recommendation_id=command.recommendation_id,
        status=CommandStatus.FAILED,
        code=refusal.code,
        reason=refusal.reason,
    )


def _by_link(items: Sequence[_Ready]) -> dict[str, list[_Ready]]:
    groups: dict[str, list[_Ready]] = {}
    for item in items:
        groups.setdefault(item.tag.link, []).append(item)
    return groups


async def _first(one: asyncio.Event, other: asyncio.Event, timeout_s: float) -> None:
    """Wait until either is set or the time is over."""
    waiting = [asyncio.ensure_future(event.wait()) for event in {one, other}]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
