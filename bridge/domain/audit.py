"""The audit chain: how an entry's hash is made, and how a chain is checked link by link."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

GENESIS = "0" * 64
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry as text, exactly as the database hashed it. `at_text` is UTC with microseconds."""

    seq: int
    at_text: str
    actor: str
    db_role: str
    action: str
    object_type: str
    object_id: str
    recommendation_id: str | None
    old_status: str | None
    new_status: str | None
    detail: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainState:
    """How far a chain has been found whole: the last number and its hash; `problem` ends the search."""

    seq: int = 0
    hash: str = GENESIS
    problem: str = ""


def entry_hash(entry: AuditEntry) -> str:
    """SHA-256, in hex, over all fields in their order, separated by U+001F, previous hash included."""
    text = _SEPARATOR.join(
        (
            str(entry.seq),
            entry.at_text,
            entry.actor,
            entry.db_role,
            entry.action,
            entry.object_type,
            entry.object_id,
            entry.recommendation_id or "",
            entry.old_status or "",
            entry.new_status or "",
            entry.detail,
            entry.prev_hash,
        )
    )
    return hashlib.sha256(text.encode()).hexdigest()


def follow_chain(state: ChainState, entries: Iterable[AuditEntry]) -> ChainState:
    """Check entries that follow `state`; stops at the first that is missing, moved or changed."""
    seq, last = state.seq, state.hash
    for entry in entries:
        if entry.seq != seq + 1:
            return ChainState(
                seq=seq, hash=last, problem=f"entry {seq + 1} is missing; the next one is {entry.seq}"
            )
        if entry.prev_hash != last:
            return ChainState(seq=seq, hash=last, problem=f"entry {entry.seq} does not follow entry {seq}")
        if entry_hash(entry) != entry.hash:
            return ChainState(
                seq=seq, hash=last, problem=f"entry {entry.seq} was changed after it was written"
            )
        seq, last = entry.seq, entry.hash
    return ChainState(seq=seq, hash=last)


def compare_head(state: ChainState, head_seq: int, head_hash: str) -> ChainState:
    """Check that the chain ends where its head says: entries cut off at the end leave no gap behind."""
    if state.problem or (state.seq, state.hash) == (head_seq, head_hash):
        return state
    why = (
        "entries were removed at the end"
        if state.seq < head_seq
        else "entries were put in at the end"
        if state.seq > head_seq
        else "one of the two was changed"
    )
    return ChainState(
        seq=state.seq,
        hash=state.hash,
        problem=f"the chain ends at entry {state.seq}, its head says {head_seq}: {why}",
    )
