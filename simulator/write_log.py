"""The plant's own record of what was written to it, kept apart from everything the bridge says it wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from simulator.writes import Scalar, WriteAsked


class WriteLog:
    """One JSON line per applied write from outside, flushed before the write is answered.

    Fields: ``n`` (running number, goes on where an existing file ends), ``at_utc``, ``node``, ``old``, ``new``
    (what was stored), ``asked`` (what the client sent; differs under ``setpoint_clamped``), ``session``, ``user``.
    Refused and ignored writes are not in it.
    """

    def __init__(self, path: Path | None) -> None:
        """``None`` counts without a file. Raises ``OSError`` if the file cannot be opened."""
        self.count = 0
        """Writes since the process started."""
        self._file: IO[str] | None = None
        self._before = 0
        if path is not None:
            if path.exists():
                with path.open(encoding="utf-8") as existing:
                    self._before = sum(1 for _ in existing)
            self._file = path.open("a", encoding="utf-8")

    def add(self, asked: WriteAsked, stored: Scalar) -> None:
        """Record one write."""
        self.count += 1
        if self._file is None:
            return
        record = {
            "n": self._before + self.count,
            "at_utc": datetime.now(UTC).isoformat(),
            "node": f"{asked.equipment}/{asked.signal.name}",
            "old": asked.old,
            "new": stored,
            "asked": asked.asked,
            "session": asked.session,
            "user": asked.user,
        }
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
