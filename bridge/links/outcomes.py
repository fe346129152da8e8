"""What a link says about one write, by what is known of it."""

from __future__ import annotations

from bridge.ports import WriteOutcome, WriteResult


def refused(status: str, detail: str) -> WriteOutcome:
    """An outcome: the other side, or a rule of ours, said no."""
    return WriteOutcome(result=WriteResult.REFUSED, status=status, detail=detail)


def not_sent(status: str, detail: str) -> WriteOutcome:
    """An outcome: nothing left this machine."""
    return WriteOutcome(result=WriteResult.NOT_SENT, status=status, detail=detail)


def unknown(status: str, detail: str) -> WriteOutcome:
    """An outcome: bytes left, and nobody said what became of them."""
    return WriteOutcome(result=WriteResult.UNKNOWN, status=status, detail=detail)
