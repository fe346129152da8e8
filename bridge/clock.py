"""The real clock, behind the `Clock` port."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """This machine's clock. Leases and expiry are judged by the database's clock, never by this one."""

    def now_utc(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; only differences mean anything."""
        return time.monotonic()
