"""What the core asks of the world. Adapters in `store`, `links` and `databricks` implement these.

What it asks of an advisor, and of a store that keeps an advisor's answers, stands in `ports_advice`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bridge.domain.anomaly import ActiveCondition, Anomaly, Cleared
from bridge.domain.command import Command, Unsettled, Verdict
from bridge.domain.lifecycle import RecommendationStatus
from bridge.domain.reading import Reading
from bridge.domain.recommendation import Proposal, ProposedWrite, Standing
from bridge.domain.tag import Tag, Value


class Clock(Protocol):
    """Where time comes from, so that a test can turn it by hand."""

    def now_utc(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only ever grow; for deadlines and leases, never for showing."""
        ...


class WriteResult(StrEnum):
    """What a link can honestly say about one write."""

    ACCEPTED = "accepted"  # the server answered Good: still not a verdict, read it back
    REFUSED = "refused"  # the server answered Bad: nothing was written
    NOT_SENT = "not_sent"  # nothing left this machine
    UNKNOWN = "unknown"  # bytes left, no answer came: only a read-back can tell


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOutcome:
    """Result of one write with the server's own status name, and words for a person."""

    result: WriteResult
    status: str
    detail: str = ""


class LinkState(StrEnum):
    """Whether a link carries data. `connected` and `flowing` are different facts."""

    CONNECTING = "connecting"
    FLOWING = "flowing"  # every wanted tag is subscribed and fresh
    DEGRADED = "degraded"  # connected, but some wanted tags are missing, bad or silent
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """A link as it is now.

    wanted: tags we asked for; subscribed: items the server confirmed; fresh: tags heard from or read
    within their stale time; overflowed: values dropped by a named overflow policy since the start, at the
    server or here; reconnects: sessions established after the first. `problems` maps tag path to reason.
    """

    name: str
    state: LinkState
    wanted: int
    subscribed: int
    fresh: int
    overflowed: int
    reconnects: int
    detail: str = ""
    problems: Mapping[str, str]


class TagLink(Protocol):
    """A wire to the plant. Reads and writes have our own deadline; nothing is ever queued for later."""

    @property
    def name(self) -> str:
        """The link's name in bridge.toml."""
        ...

    async def run(self) -> None:
        """Keep the session and the subscriptions alive until cancelled; never returns by itself.

        Raises AccessDenied for credentials or certificates that will not get better by waiting.
        """
        ...

    def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Batches of readings in the order the source sent them, per tag; one consumer at a time."""
        ...

    async def read(self, tags: Sequence[Tag], *, deadline_s: float) -> list[Reading]:
        """Read present values in one batch, in the order asked, each `confirmed`.

        A single unreadable tag comes back with Quality.BAD and its status; LinkDown or DeadlineExceeded
        is raised when the whole call failed.
        """
        ...

    async def write(self, writes: Sequence[tuple[Tag, Value]], *, deadline_s: float) -> list[WriteOutcome]:
        """Write values with the server's own data types, once, and say per write what is known.

        Never raises for a failed write and never tries again: a write without an answer is UNKNOWN.
        """
        ...

    def status(self) -> LinkStatus:
        """The link as it is now; cheap, for heartbeats and metrics."""
        ...

    def kept(self, batch: Sequence[Reading]) -> None:
        """Be told that this very batch is on durable storage, or was dropped and counted; never waits.

        What a link was not told of, its source may deliver again.
        """
        ...

    async def check(self) -> list[str]:
        """Connect once, compare every configured tag with the server, and list all problems found.

        Looks at existence, data type, access level and user rights, and engineering range against limits.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What makes storing happen once: the numbers of what is stored together, batches or places in one.

    Numbers of one origin only grow. The store remembers the last one; what begins at or below it is there
    already.
    """

    origin: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A batch of readings on disk with the mark under which it is, or was, to be stored."""

    id: int
    origin: str
    number: int
    readings: tuple[Reading, ...]

    @property
    def mark(self) -> Mark:
        """Its own mark, alone."""
        return Mark(origin=self.origin, first=self.number, last=self.number)


class BufferState(StrEnum):
    """What the disk buffer is about."""

    EMPTY = "empty"
    HOLDING = "holding"  # readings wait for the database
    DRAINING = "draining"  # the database answers, and they are on their way
    FULL = "full"  # a bound is reached, and something is dropped for every batch that comes
    DOWN = "down"  # it cannot be used; readings wait in memory alone


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferStatus:
    """The disk buffer as it is now.

    depth: readings that wait on disk. oldest_s: for how long the oldest of them has been there, None when
    nothing waits. bytes: what they take on disk. dropped: readings dropped by the policy, or unreadable,
    since the start. detail: why it is down, in words; else empty.
    """

    state: BufferState
    depth: int
    oldest_s: float | None
    bytes: int
    dropped: int
    detail: str = ""


class ReadingBuffer(Protocol):
    """Readings on disk while the store is away, in order, bounded by bytes and age.

    Every method may raise BufferDown: then nothing of the call has happened, and the buffer itself has said why.
    """

    @property
    def identity(self) -> str:
        """What the origins of this buffer's marks begin with; of this buffer alone, and the same after a restart."""
        ...

    @property
    def usable(self) -> bool:
        """False while it is known to be down."""
        ...

    async def append(
        self,
        readings: Sequence[Reading],
        mark: Mark,
        *,
        in_flight: bool = False,
        remember: bool = False,
        or_drop: bool = True,
    ) -> int:
        """Put a batch on disk; when this returns, no crash takes it away. Returns its id, 0 when there is no room.

        in_flight: somebody is storing it at this very moment, so `oldest` leaves it and what came later alone,
        and `status` does not count it, until `release` or `remove`. remember: `recent` gives it also when it has
        been removed. or_drop: without room it counts as dropped; else nothing has happened, and it may be asked
        again.
        """
        ...

    async def oldest(self, max_readings: int) -> list[Kept]:
        """The oldest batches, as they were appended, of one origin; at least one when there is any to give."""
        ...

    async def remove(self, ids: Sequence[int]) -> None:
        """Let batches go that the store has committed."""
        ...

    def release(self, batch_id: int) -> None:
        """A batch in flight was not stored: it waits with the others."""
        ...

    async def recent(self, max_readings: int) -> list[Reading]:
        """The newest remembered readings, waiting or removed: what a source may still deliver again."""
        ...

    def draining(self, *, on: bool) -> None:
        """Be told whether the store answers, for `status`."""
        ...

    def status(self) -> BufferStatus:
        """The buffer as it is now; cheap, for heartbeats and metrics."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OthersRow:
    """A row that somebody else inserted into `sensor_data`; None where the row has no value."""

    equipment_id: str
    values: Mapping[str, float | bool | None]
    quality: str
    source_time_utc: datetime
    received_utc: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far rows of others have been read: transaction and row number."""

    xid: str
    reading_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """A pending recommendation of somebody else that has words and no exact writes."""

    recommendation_id: str
    equipment_id: str
    issue_type: str
    severity: str


class Store(Protocol):
    """The agent's tables, as the agent may use them.

    Every method may raise StoreDown (try again), AccessDenied or SchemaError (somebody has to mend it)
    and RefusedByRule (a rule of the schema said no).
    """

    async def store_readings(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
        """Store readings in bulk; returns the rows written (values of one moment share a row).

        With a mark, it is committed together with them; 0 means that it was reached before, and nothing
        was written now.
        """
        ...

    async def stored_until(self, origin: str) -> int:
        """The last number of this origin that is stored; 0 when none is."""
        ...

    async def forget_marks(self, buffer: str, in_use: Sequence[str]) -> None:
        """Remove the marks whose origin begins with `buffer`, except those in use; nothing of them waits."""
        ...

    async def place_of_others(self) -> Place:
        """Where reading others' rows begins: now."""
        ...

    async def readings_from_others(self, after: Place, max_rows: int) -> tuple[list[OthersRow], Place]:
        """Rows that others inserted, in the order of their transactions, and the new place."""
        ...

    async def prepare_days(self) -> None:
        """Make the coming days' partitions and drop those past retention."""
        ...

    async def active_conditions(self) -> list[ActiveCondition]:
        """Conditions that began and have not ended."""
        ...

    async def record_condition(self, anomaly: Anomaly) -> None:
        """Remember that a condition began, or how severe it is now."""
        ...

    async def link_condition(self, equipment_id: str, issue_type: str, recommendation_id: str) -> None:
        """Remember which recommendation answers an active condition."""
        ...

    async def close_condition(self, cleared: Cleared) -> None:
        """Remember that a condition ended."""
        ...

    async def propose(self, proposal: Proposal, valid_s: float) -> str | None:
        """Insert a recommendation; returns its id, or None when one is open already."""
        ...

    async def revise(self, recommendation_id: str, proposal: Proposal, valid_s: float) -> bool:
        """Replace a pending proposal; False when it is not pending any more."""
        ...

    async def renew(self, recommendation_ids: Sequence[str], valid_s: float) -> None:
        """Extend pending proposals whose condition lasts."""
        ...

    async def wake(self, recommendation_id: str) -> bool:
        """Bring a deferred recommendation back before its time, because it has become worse."""
        ...

    async def supersede(self, equipment_id: str, issue_type: str, reason: str) -> list[str]:
        """Withdraw own undecided proposals; returns their ids."""
        ...

    async def latest_recommendation(self, equipment_id: str, issue_type: str) -> Standing | None:
        """The newest recommendation of one equipment and issue, of whatever status."""
        ...

    async def incomplete_recommendations(self) -> list[Incomplete]:
        """Others' pending recommendations without exact writes on which no remedy was tried yet."""
        ...

    async def complete(
        self, recommendation_id: str, writes: Sequence[ProposedWrite], note: Mapping[str, object]
    ) -> bool:
        """Give such a recommendation its writes, or note why it has none; False when somebody was faster."""
        ...

    async def hand_to_people(self) -> list[tuple[str, str]]:
        """Open work orders for approved recommendations without writes; (work order, recommendation) pairs."""
        ...

    async def take_commands(self, routes: Sequence[str], max_commands: int) -> list[Command]:
        """Turn fresh approvals into commands and claim what is next, in one transaction."""
        ...

    async def record_intent(self, command_ids: Sequence[str]) -> set[str]:
        """Commit the intent to send; only the ids that come back may be sent."""
        ...

    async def record_verdicts(self, verdicts: Sequence[Verdict]) -> list[tuple[str, RecommendationStatus]]:
        """Record outcomes and finish their recommendations; returns those finished."""
        ...

    async def release(self, command_ids: Sequence[str]) -> list[str]:
        """Give back what was claimed and never sent."""
        ...

    async def due(self) -> frozenset[str]:
        """What has to be looked after: release, cancel, settle, finish, approved, expire, wake, complete."""
        ...

    async def tend(self, due: frozenset[str]) -> Mapping[str, int]:
        """Expire, wake, release and cancel what is due; how many of each."""
        ...

    async def unsettled(self) -> list[Unsettled]:
        """Commands that were sent and have no verdict."""
        ...

    async def settle(self, command: Unsettled, verdict: Verdict) -> bool:
        """End such a command by what a read-back found; False when somebody was faster."""
        ...

    async def heartbeat(
        self, *, online: bool, polls_completed: int, cycle_ms: float, detail: Mapping[str, object]
    ) -> None:
        """Say that the agent lives, or that it stops in good order."""
        ...

    def notifications(self, *, wait_s: float) -> AsyncIterator[str | None]:
        """Hints that something changed, and None after each `wait_s` of silence."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAccess:
    """Where and as whom to open one connection to PostgreSQL.

    encrypted: whether a connection in the clear is refused. ca_certificate: who signed the server's certificate
    (empty: its name is taken on trust). reused: this password has opened another connection before.
    """

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    encrypted: bool = True
    ca_certificate: str = ""
    reused: bool = False


class DatabaseLogin(Protocol):
    """Gives access to a database whose passwords do not last; asked at each new connection."""

    async def access(self, *, refused: DatabaseAccess | None = None) -> DatabaseAccess:
        """Access that counts now. refused: what the database just refused, which is not given again.

        Raises TryAgain (WorkspaceDown, …) when nobody can say now, FixConfiguration when somebody has to mend it.
        """
        ...

    def close(self) -> None:
        """Give back what it holds; `access` may be asked for again."""
        ...
