"""An approval: a person's yes to one digest. The digest ties what was shown to what is written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime


def digest_of(proposed_writes_text: str) -> str:
    """Digest of the exact writes: SHA-256, in hex, over `proposed_writes` as PostgreSQL prints the jsonb.

    The database's own text is the canonical form (keys in jsonb order, numbers as numeric), so there is
    one form and no second program that has to reproduce it: whoever wants to check reads
    `proposed_writes::text` and hashes that.
    """
    return hashlib.sha256(proposed_writes_text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's approval of one digest of one recommendation."""

    recommendation_id: str
    operator: str
    digest: str
    approved_utc: datetime
    comment: str = ""
