"""When a link connects, resumes, mistrusts and gives up; over a session of our own that obeys the test."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from link_bench import CONSTANT, FLAG, TARGET, SystemClock, Watched, watched

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag, Value
from bridge.errors import AccessDenied, BridgeError, LinkDown
from bridge.links.freshness import Freshness
from bridge.links.reading_queue import ReadingQueue
from bridge.links.supervision import NothingSent, Pace, SupervisedLink
from bridge.ports import LinkState, WriteOutcome, WriteResult

PACE = Pace(
    deadline_s=0.2,
    reconnect_max_s=0.05,
    refresh_s=0.1,
    probe_s=0.05,
    probe_deadline_s=0.1,
    retry_s=0.1,
    grace_s=0.05,
    rebuild_s=0.3,
)
TAGS = (CONSTANT, FLAG, TARGET)


class FakeLink(SupervisedLink):
    async def check(self) -> list[str]:
        return []


class Plant:
    """What all sessions of one test share: how the server behaves, and what was asked of it."""

    def __init__(self) -> None:
        self.pace = PACE
        self.freshness = Freshness(TAGS)
        self.queue = ReadingQueue(capacity_values=1000)
        self.sessions: list[FakeSession] = []
        self.resumed = 0
        self.refuses: list[BridgeError] = []
        self.missing: dict[int, str] = {}
        self.remembers = True
        self.answers = True
        self.values: dict[Tag, Value] = {CONSTANT: 1.0, FLAG: True, TARGET: 2.0}

    def link(self, *first: FakeSession) -> FakeLink:
        """A link that uses the sessions given and then makes its own."""
        prepared = list(first)

        def new() -> FakeSession:
            self.sessions.append(prepared.pop(0) if prepared else FakeSession(self))
            return self.sessions[-1]

        return FakeLink("plant", self.freshness, self.queue, pace=self.pace, clock=SystemClock(), session=new)

    def reading(self, tag: Tag) -> Reading:
        now_utc = datetime.now(UTC)
        return Reading(tag, self.values[tag], Quality.GOOD, now_utc, now_utc, "Good", False, True)

    def notify(self, handle: int) -> None:
        reading = self.reading(TAGS[handle])._replace(confirmed=False)
        self.freshness.notified_s[handle] = SystemClock().monotonic_s()
        self.freshness.note(handle, reading)
        self.queue.put([reading])


class FakeSession:
    def __init__(self, plant: Plant) -> None:
        self.lost = asyncio.Event()
        self.loss = ""
        self.resumable = False
        self.heard_s = SystemClock().monotonic_s()
        self.silence_s = 1000.0
        self.writes_per_call = 2
        self.asks_source = self.owes_changes = True
        self.closed = False
        self.written: list[Value] = []
        self._plant = plant

    async def open(self) -> None:
        if self._plant.refuses:
            raise self._plant.refuses.pop(0)

    async def resume(self) -> bool:
        if self._plant.remembers:
            self._plant.resumed += 1
            self.lost.clear()
        return self._plant.remembers

    async def subscribe(self, handles: Sequence[int]) -> Mapping[int, str]:
        self.resumable = True
        for handle in handles:
            if handle not in self._plant.missing:
                self._plant.notify(handle)
        return {handle: why for handle, why in self._plant.missing.items() if handle in handles}

    async def read(self, tags: Sequence[Tag]) -> list[Reading]:
        await self._answer()
        return [self._plant.reading(tag) for tag in tags]

    def refusal(self, tag: Tag, value: Value) -> WriteOutcome | None:
        return None

    async def write(self, writes: Sequence[tuple[Tag, Value]], until_s: float) -> list[WriteOutcome]:
        if self.lost.is_set():
            raise NothingSent("no wire")
        self.written += [value for _, value in writes]
        await self._answer()
        return [WriteOutcome(result=WriteResult.ACCEPTED, status="Good")] * len(writes)

    async def probe(self) -> None:
        await self._answer()

    async def renew(self) -> None:
        pass

    def drop(self, reason: str) -> None:
        if not self.lost.is_set():
            self.loss = reason
            self.lost.set()

    def abandon(self, reason: str) -> None:
        self.resumable = False
        self.drop(reason)

    async def close(self) -> None:
        self.closed = True
        self.drop("closed")

    async def _answer(self) -> None:
        if not self._plant.answers:
            await asyncio.Event().wait()


@pytest.fixture
def plant() -> Plant:
    return Plant()


async def flowing(watching: Watched) -> None:
    await watching.until_flowing(within_s=30)


async def test_a_cut_session_is_taken_up_again_if_the_server_remembers(plant: Plant) -> None:
    async with watched(plant.link()) as watching:
        await flowing(watching)
        plant.sessions[0].drop("cut")
        await watching.until(lambda: watching.status.reconnects == 1, within_s=30)
        assert (len(plant.sessions), plant.resumed) == (1, 1)


async def test_a_forgotten_session_is_closed_and_replaced(plant: Plant) -> None:
    plant.remembers = False
    async with watched(plant.link()) as watching:
        await flowing(watching)
        plant.sessions[0].drop("cut")
        await watching.until(lambda: watching.status.reconnects == 1, within_s=30)
        assert len(plant.sessions) == 2
        assert plant.sessions[0].closed
        assert not plant.sessions[1].closed
    assert plant.sessions[1].closed, "the last one is closed at the end"


async def test_without_a_sign_of_life_the_session_is_dropped(plant: Plant) -> None:
    plant.pace = dataclasses.replace(PACE, refresh_s=100.0)  # nothing but the probe asks
    async with watched(plant.link()) as watching:
        await flowing(watching)
        plant.answers = False
        await watching.until(lambda: plant.sessions[0].loss, within_s=30)
        assert "no sign of life" in plant.sessions[0].loss


async def test_a_subscription_without_keepalives_is_rebuilt_though_reads_answer(plant: Plant) -> None:
    async with watched(plant.link()) as watching:
        await flowing(watching)
        plant.sessions[0].silence_s = 0.1
        await watching.until(lambda: len(plant.sessions) == 2, within_s=30)
        assert plant.resumed == 0, (
            "the server's subscription is what is wrong; taking it up again would not help"
        )
        assert "silent" in plant.sessions[0].loss


async def test_a_change_without_notification_is_noticed_and_rebuilt_but_not_for_ever(plant: Plant) -> None:
    async with watched(plant.link()) as watching:
        await flowing(watching)
        plant.values[CONSTANT] = 9.0
        await watching.until(lambda: len(plant.sessions) == 2, within_s=30)
        plant.values[CONSTANT] = 10.0
        await watching.until(lambda: CONSTANT.path in watching.status.problems, within_s=30)
        assert len(plant.sessions) == 2, "the next rebuild has to wait; meanwhile the tag is read"
        assert watching.of(CONSTANT)[-1].value == 10.0
        await watching.until(lambda: len(plant.sessions) == 3, within_s=30)


async def test_a_source_that_owes_no_changes_is_not_mistrusted_for_one(plant: Plant) -> None:
    """A node in doubt or not born yet is told by reads alone; rebuilding the link would take it from all others."""
    session = FakeSession(plant)
    session.owes_changes = False
    async with watched(plant.link(session)) as watching:
        await flowing(watching)
        for value in (9.0, 10.0, 11.0):
            plant.values[CONSTANT] = value
            await watching.until(lambda: watching.of(CONSTANT)[-1].value == value, within_s=30)  # noqa: B023
            reads = len(watching.of(CONSTANT))
            await watching.until(lambda: len(watching.of(CONSTANT)) >= reads + 2, within_s=30)  # noqa: B023
        assert plant.sessions == [session]
        assert session.loss == ""


async def test_tags_set_aside_are_tried_again(plant: Plant) -> None:
    plant.missing = {1: "BadNodeIdUnknown"}
    async with watched(plant.link()) as watching:
        await watching.until(lambda: watching.status.state is LinkState.DEGRADED, within_s=30)
        assert watching.status.problems == {FLAG.path: "BadNodeIdUnknown"}
        assert watching.status.subscribed == 2
        plant.missing = {}
        await flowing(watching)
        assert len(plant.sessions) == 1


async def test_a_refusal_at_the_first_attempt_ends_run(plant: Plant) -> None:
    plant.refuses = [LinkDown("not yet"), AccessDenied("wrong password")]
    with pytest.raises(AccessDenied, match="wrong password"):
        async with asyncio.timeout(30):
            await plant.link().run()
    assert len(plant.sessions) == 2


async def test_once_it_worked_a_single_refusal_is_lived_through(plant: Plant) -> None:
    plant.remembers = False
    async with watched(plant.link()) as watching:
        await flowing(watching)
        plant.refuses = [AccessDenied("starting up")] * 2
        plant.sessions[0].drop("cut")
        await watching.until(lambda: watching.status.reconnects == 1, within_s=30)
        plant.refuses = [AccessDenied("revoked")] * 3
        plant.sessions[-1].drop("cut")
        with pytest.raises(AccessDenied, match="revoked"):
            await asyncio.wait_for(watching.run_task, 30)


async def test_half_a_session_is_never_kept(plant: Plant) -> None:
    class Half(FakeSession):
        async def subscribe(self, handles: Sequence[int]) -> Mapping[int, str]:
            await super().subscribe(handles)
            raise LinkDown("dropped while subscribing")

    half = Half(plant)
    async with watched(plant.link(half)) as watching:
        await flowing(watching)
        assert half.closed
        assert len(plant.sessions) == 2
        assert plant.resumed == 0


async def test_a_batch_is_cut_to_what_the_server_takes_and_a_lost_answer_stops_it(plant: Plant) -> None:
    async with watched(plant.link()) as watching:
        await flowing(watching)
        session = plant.sessions[0]
        outcomes = await watching.link.write([(TARGET, float(n)) for n in range(5)], deadline_s=1)
        assert [o.result for o in outcomes] == [WriteResult.ACCEPTED] * 5
        plant.answers = False
        outcomes = await watching.link.write([(TARGET, float(n)) for n in range(5, 10)], deadline_s=0.05)
        assert [o.result for o in outcomes] == [WriteResult.UNKNOWN] * 2 + [WriteResult.NOT_SENT] * 3
        assert session.written == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        assert "not answered" in session.loss


async def test_a_silent_tag_is_read_and_counts_as_fresh(plant: Plant) -> None:
    async with watched(plant.link()) as watching:
        await flowing(watching)
        await watching.until(lambda: len([r for r in watching.of(FLAG) if r.confirmed]) >= 2, within_s=30)
        assert watching.status.fresh == 3


async def test_reading_without_a_session_says_why(plant: Plant) -> None:
    with pytest.raises(LinkDown, match="not started"):
        await plant.link().read([CONSTANT], deadline_s=1)
