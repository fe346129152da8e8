"""The audit trail on Delta: hash-chained by the bridge, appended by one conditional update of the head's row.

The head's row holds the newest entries whole. Whoever changes that row has appended, at a place that nobody else can
take; that the entries stand in `agent_audit` as well follows, and whoever appends next makes sure of it first.

A change and its entry are two statements here. When the second cannot be made, the entry is owed: the log is told,
and it goes before the next one. Only a bridge that is killed in between leaves a change without an entry.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from bridge.domain.audit import AuditEntry, ChainState, compare_head, entry_hash, follow_chain
from bridge.errors import DeadlineExceeded, LostRace, SchemaError, StoreDown, TryAgain
from bridge.store.queries import Queries
from bridge.store.rows import storable
from bridge.store.warehouse_connection import Row, Warehouse

log = structlog.get_logger(__name__)

_TRIES = 8
_AT = "%Y-%m-%dT%H:%M:%S.%fZ"
_MOST_AT_ONCE = 200  # entries in one head
_CHUNK = 5000
_BEFORE_ALL = -(2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What is to be remembered: who did what to which object, and the facts of it."""

    actor: str
    action: str
    object_type: str
    object_id: str
    recommendation_id: str | None = None
    old_status: str | None = None
    new_status: str | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    seq: int
    hash: str
    at: str  # of the last entry; "" before the first
    entries: str
    write_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubt:
    """An attempt to append whose answer was lost: it may stand in the chain, or still be on its way there."""

    seq: int
    hash: str  # of its last entry
    was_seq: int
    entries: int  # so many of those owed, the first ones


class AuditTrail:
    """Appends to the chain for one party, and follows the chain for whoever wants to know whether it is whole."""

    def __init__(self, db: Warehouse, queries: Queries, now_utc: Callable[[], datetime]) -> None:
        self._db = db
        self._q = queries.audit
        self._now_utc = now_utc
        self._turn = asyncio.Lock()
        self._head: _Head | None = None
        self._copied = False  # whether the entries of that head are known to stand in the trail
        self._owed: list[Event] = []
        self._doubts: list[_Doubt] = []
        self._late = False

    @property
    def owed(self) -> int:
        """Changes that were made and are not in the trail yet."""
        return len(self._owed)

    def owe(self, events: Iterable[Event]) -> None:
        """Leave entries to the next `append`, which follows in the same piece of work: a round trip is a second."""
        self._owed.extend(events)

    async def append(self, events: Sequence[Event] = (), *, demanded: bool = False) -> None:
        """Append what is owed and these entries, in their order; what cannot be appended now stays owed.

        `demanded`: TryAgain then.
        """
        self._owed.extend(events)
        if not self._owed:
            return
        try:
            async with self._turn:
                while self._owed:
                    await self._append_some(self._owed[:_MOST_AT_ONCE])
        except TryAgain as problem:
            if not self._late:
                self._late = True
                log.error("audit.owed", reason=str(problem), entries=len(self._owed))
            if demanded:
                raise
            return
        if self._late:
            self._late = False
            log.info("audit.paid")

    async def _append_some(self, events: Sequence[Event]) -> None:
        for _attempt in range(_TRIES):
            head = self._head
            if head is None:
                head = await self._read_head()
                if await self._stood_already(head):
                    self._head, self._copied = head, False
                    await self._db.change(self._q.copy_entries, entries=head.entries)
                    self._copied = True
                    return
            if not self._copied and head.entries != "[]":
                await self._db.change(self._q.copy_entries, entries=head.entries)
            self._copied = True
            entries = self._chained(head, events)
            key = uuid4().hex
            moved = _Head(
                seq=entries[-1].seq,
                hash=entries[-1].hash,
                at=entries[-1].at_text,
                entries=json.dumps([asdict(entry) for entry in entries], ensure_ascii=False),
                write_key=key,
            )
            attempt = _Doubt(seq=moved.seq, hash=moved.hash, was_seq=head.seq, entries=len(events))
            self._head = None
            try:
                affected = await self._db.change(
                    self._q.move_head,
                    seq=moved.seq,
                    hash=moved.hash,
                    entries=moved.entries,
                    was_seq=head.seq,
                    was_hash=head.hash,
                    write_key=key,
                )
            except (StoreDown, DeadlineExceeded):
                self._doubts.append(attempt)
                raise
            if affected != 1:
                found = await self._read_head()
                if found.write_key != key:
                    if affected != 0:
                        self._doubts.append(attempt)  # the warehouse did not say
                    if not self._doubts:
                        self._head, self._copied = found, False
                    continue  # somebody was faster; behind that entry, then, if it was not an attempt of ours
            self._paid(attempt)
            self._head, self._copied = moved, False
            await self._db.change(self._q.copy_entries, entries=moved.entries)
            self._copied = True
            return
        raise LostRace(f"the audit trail: {_TRIES} times somebody else appended first")

    async def _stood_already(self, head: _Head) -> bool:
        """Whether entries whose answer was lost stand in the chain; they are owed no more then."""
        for doubt in self._doubts:
            if await self._stands(doubt, head):
                self._paid(doubt)
                return True
        # Where the chain has gone on from the place they were meant for, they can never get there any more.
        self._doubts = [doubt for doubt in self._doubts if doubt.was_seq == head.seq]
        return False

    async def _stands(self, lost: _Doubt, head: _Head) -> bool:
        if head.seq < lost.seq:
            return False
        newest = {entry["seq"]: entry["hash"] for entry in json.loads(head.entries)}
        if lost.seq in newest:
            return bool(newest[lost.seq] == lost.hash)
        # Somebody has appended behind that place since, and made sure first that what was there is in the trail.
        rows = await self._db.fetch(self._q.read_chain, after_seq=lost.seq - 1, max_rows=1)
        return bool(rows) and (rows[0]["seq"], rows[0]["hash"]) == (lost.seq, lost.hash)

    def _paid(self, attempt: _Doubt) -> None:
        """All attempts are to append what is owed first, so that none of the others matters any more."""
        del self._owed[: attempt.entries]
        self._doubts = []

    def _chained(self, head: _Head, events: Sequence[Event]) -> list[AuditEntry]:
        entries = []
        seq, last = head.seq, head.hash
        # Time never runs backwards along the chain, whatever this machine's clock does.
        at = max(self._now_utc().astimezone(UTC).strftime(_AT), head.at)
        role = "owner" if self._db.role is None else self._db.role.value
        for event in events:
            seq += 1
            entry = AuditEntry(
                seq=seq,
                at_text=at,
                actor=storable(event.actor) or role,
                db_role=role,
                action=event.action,
                object_type=event.object_type,
                object_id=storable(event.object_id),
                recommendation_id=event.recommendation_id,
                old_status=event.old_status,
                new_status=event.new_status,
                detail=storable(
                    json.dumps(dict(event.detail), ensure_ascii=False, default=str, sort_keys=True)
                ),
                prev_hash=last,
                hash="",
            )
            last = entry_hash(entry)
            entries.append(replace(entry, hash=last))
        return entries

    async def _read_head(self) -> _Head:
        rows = await self._db.fetch(self._q.read_head)
        if not rows:
            raise SchemaError(
                "the head of the audit chain is missing; run `ignition-bridge db migrate --target warehouse`"
            )
        row = rows[0]
        entries = json.loads(row["entries"])
        return _Head(
            seq=row["seq"],
            hash=row["hash"],
            at=entries[-1]["at_text"] if entries else "",
            entries=row["entries"],
            write_key=row["write_key"],
        )

    async def verify(self) -> ChainState:
        """Walk the whole chain and compare it with its head."""
        state = ChainState()
        rows = await self._db.fetch(self._q.read_head)
        if not rows:
            return replace(state, problem="the head of the chain is missing")
        head_seq, head_hash = rows[0]["seq"], rows[0]["hash"]
        newest = [AuditEntry(**entry) for entry in json.loads(rows[0]["entries"])]
        after_seq = _BEFORE_ALL
        while not state.problem and state.seq < head_seq:
            chunk = await self._db.fetch(self._q.read_chain, after_seq=after_seq, max_rows=_CHUNK)
            entries = [entry for entry in map(_entry, chunk) if entry.seq <= head_seq]
            if not entries:
                # The newest may stand in the head alone, until somebody appends again.
                entries = [entry for entry in newest if entry.seq > state.seq]
                if not entries:
                    break
            state = follow_chain(state, entries)
            after_seq = state.seq
        state = compare_head(state, head_seq, head_hash)
        if state.problem:
            return state
        later = await self._db.fetch(self._q.read_chain, after_seq=after_seq, max_rows=_CHUNK)
        if not later:
            return state
        newer = follow_chain(state, map(_entry, later))
        end = await self._db.fetch(self._q.read_head)
        return newer if newer.problem else compare_head(newer, end[0]["seq"], end[0]["hash"])


def _entry(row: Row) -> AuditEntry:
    at: datetime = row["at"]
    return AuditEntry(
        at_text=at.astimezone(UTC).strftime(_AT),
        **{name: value for name, value in row.items() if name != "at"},
    )


def stripped(**facts: object) -> dict[str, object]:
    """The facts that are known."""
    return {name: fact for name, fact in facts.items() if fact is not None}


def of_recommendation(row: Row, actor: str, old_status: str | None) -> Event:
    """A recommendation that has changed its status; `row` as `recommendations.list_changed` gives it."""
    return Event(
        actor=actor,
        action=f"recommendation.{row['status']}",
        object_type="recommendation",
        object_id=row["recommendation_id"],
        recommendation_id=row["recommendation_id"],
        old_status=old_status,
        new_status=row["status"],
        detail=stripped(
            write_digest=row["write_digest"],
            proposed_writes=json.loads(row["proposed_writes"]),
            execution_result=row["execution_result"],
        ),
    )


def of_command(row: Row, actor: str, action: str, old_status: str | None) -> Event:
    """A command that has changed; `row` as `commands.list_changed` gives it."""
    facts: dict[str, object]
    if action == "command.created":
        facts = {
            "tag_path": row["tag_path"],
            "from": row["expected_value"],
            "to": row["new_value"],
            "unit": row["unit"],
            "route": row["route"],
            "sequence": row["sequence"],
        }
    elif action == "command.sent":
        facts = {"tag_path": row["tag_path"], "to": row["new_value"], "unit": row["unit"]}
    else:
        facts = stripped(
            execution_result=row["execution_result"],
            result_code=row["result_code"],
            read_back_value=row["read_back_value"],
            lease_expires_at=row["lease_expires_at"],
        )
    return Event(
        actor=actor,
        action=action,
        object_type="command",
        object_id=row["command_id"],
        recommendation_id=row["recommendation_id"],
        old_status=old_status,
        new_status=row["status"],
        detail=facts,
    )
