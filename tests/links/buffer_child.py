"""A process that works on a buffer until it is killed, and says only what has really been promised to it; see `forks`.

`hold FOLDER` opens it and waits. `append FOLDER` appends batches with growing numbers. `drain FOLDER` appends
and removes, always more of the former, and says before each removal which numbers it will be.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from bridge.clock import SystemClock
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag
from bridge.links.buffer import DiskBuffer
from bridge.ports import Mark
from bridge.settings import BufferSettings

TAG = Tag(
    path="[default]A/T", equipment_id="A", link="p", route=Route.OPCUA, address="", data_type=DataType.DOUBLE
)


def say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def _work(what: str, folder: Path) -> None:
    buffer = DiskBuffer(BufferSettings(dir=folder), {}, SystemClock())
    await buffer.open()
    sys.stdout.write("holding\n" if what == "hold" else "ready\n")
    sys.stdout.flush()
    if what == "hold":
        await asyncio.Event().wait()
    now_utc = datetime.now(UTC)
    number = round(now_utc.timestamp() * 1e6)
    while True:
        for _ in range(20):
            number += 1
            readings = [Reading(TAG, float(value), Quality.GOOD, now_utc, now_utc) for value in range(20)]
            await buffer.append(readings, Mark(origin="a", first=number, last=number))
            say(kept=number)
        if what == "drain":
            group = (await buffer.oldest(200))[:10]
            await buffer.remove([kept.id for kept in group])
            say(removed=[kept.number for kept in group])


def main(arguments: Sequence[str]) -> None:
    what, folder = arguments
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(_work(what, Path(folder)))
