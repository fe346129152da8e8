"""The life of a recommendation and of a command: states, arrows, and who may follow each arrow.

This table is the only place in Python that knows the arrows. The schema holds the same table as rows of
`lifecycle_arrows`, which the state trigger reads; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """Database roles, which are also the parties of the route."""

    AGENT = "bridge_agent"  # proposes and executes; can never approve
    OPERATOR = "bridge_operator"  # decides; executes only what is routed to the gateway


class RecommendationStatus(StrEnum):
    """Where a recommendation stands between proposal and outcome."""

    PENDING = "pending"  # waits for a person
    APPROVED = "approved"  # a person approved the exact writes; nothing has been prepared yet
    DEFERRED = "deferred"  # put off by a person until defer_until
    REJECTED = "rejected"  # refused by a person, with a reason
    EXECUTING = "executing"  # commands exist and are on their way
    EXECUTED = "executed"  # every write was read back and equal, or a work order was opened instead
    FAILED = "failed"  # refused, mismatched or unknown; execution_result says which
    EXPIRED = "expired"  # nobody answered in time, or the approval lapsed before anything was sent
    SUPERSEDED = "superseded"  # the condition cleared, or a newer proposal took its place


class CommandStatus(StrEnum):
    """Where one tag write stands between approval and verdict."""

    PENDING = "pending"  # prepared from an approved recommendation, claimed by nobody
    EXECUTING = "executing"  # claimed under a lease; sent only once sent_timestamp is set
    EXECUTED = "executed"  # written, read back, equal
    FAILED = "failed"  # nothing was written, or the read-back differs; execution_result says which
    UNKNOWN = "unknown"  # sent, not confirmed; only a read-back or a person ends this state
    CANCELLED = "cancelled"  # disarmed, expired or withdrawn before anything was sent


_R = RecommendationStatus
_C = CommandStatus
_AGENT = frozenset({Role.AGENT})
_OPERATOR = frozenset({Role.OPERATOR})
_BOTH = frozenset({Role.AGENT, Role.OPERATOR})

RECOMMENDATION_ARROWS: Mapping[tuple[RecommendationStatus, RecommendationStatus], frozenset[Role]] = (
    MappingProxyType(
        {
            (_R.PENDING, _R.APPROVED): _OPERATOR,
            (_R.PENDING, _R.DEFERRED): _OPERATOR,
            (_R.PENDING, _R.REJECTED): _OPERATOR,
            (_R.PENDING, _R.EXPIRED): _AGENT,
            (_R.PENDING, _R.SUPERSEDED): _AGENT,
            (_R.DEFERRED, _R.PENDING): _BOTH,
            (_R.DEFERRED, _R.SUPERSEDED): _AGENT,
            (_R.APPROVED, _R.EXECUTING): _AGENT,
            (_R.APPROVED, _R.EXPIRED): _AGENT,
            (_R.EXECUTING, _R.EXECUTED): _AGENT,
            (_R.EXECUTING, _R.FAILED): _AGENT,
        }
    )
)

COMMAND_ARROWS: Mapping[tuple[CommandStatus, CommandStatus], frozenset[Role]] = MappingProxyType(
    {
        (_C.PENDING, _C.EXECUTING): _BOTH,
        (_C.PENDING, _C.CANCELLED): _BOTH,
        # Released: claimed, but the intent to send was never recorded, so nothing can have left.
        (_C.EXECUTING, _C.PENDING): _BOTH,
        (_C.EXECUTING, _C.EXECUTED): _BOTH,
        (_C.EXECUTING, _C.FAILED): _BOTH,
        (_C.EXECUTING, _C.UNKNOWN): _BOTH,
        (_C.UNKNOWN, _C.EXECUTED): _BOTH,
        (_C.UNKNOWN, _C.FAILED): _BOTH,
    }
)

OPEN_RECOMMENDATION = frozenset({_R.PENDING, _R.DEFERRED, _R.APPROVED, _R.EXECUTING})
"""States that hold the one place per equipment and issue."""

LIVE_COMMAND = frozenset({_C.PENDING, _C.EXECUTING, _C.UNKNOWN})
"""States that lock a tag against further commands; `unknown` locks it until somebody knows."""
