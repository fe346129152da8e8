"""Recorded signals, played again at their own spacing or faster.

A row recorded at ``t`` is published at ``start + (t − first t) / speed`` with exactly that source timestamp, computed
from the start each time, so that nothing drifts and delays scale with the speed.
"""

from __future__ import annotations

import asyncio
import csv
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import _csv  # the only name that the type of csv.reader() has

AUTO = "auto"


class ReplayError(ValueError):
    """A recording that cannot be played. The message names file, line and column."""


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """Which column becomes which signal."""

    column: str
    equipment: str
    signal: str


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A table read and checked to its end.

    ``offsets_s`` are recorded seconds since the first row, never decreasing; ``rows`` has one value per mapping.
    Recorded times without an offset are taken as UTC. ``skipped`` counts the rows left out under ``skip``.
    """

    path: Path
    mappings: tuple[Mapping, ...]
    recorded_start_utc: datetime
    offsets_s: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    skipped: int = 0


def parse_mapping(text: str) -> Mapping:
    """Read ``COLUMN=EQUIPMENT/Signal``; the column may contain ``=``."""
    column, _, target = text.rpartition("=")
    equipment, _, signal = target.partition("/")
    if not column or not equipment or not signal or "/" in signal:
        raise ReplayError(f"a mapping such as value=MACHINE_01/Temperature was expected, found {text!r}")
    return Mapping(column=column, equipment=equipment, signal=signal)


def read_recording(
    path: Path,
    mappings: Sequence[Mapping],
    *,
    delimiter: str = AUTO,
    time_column: str = AUTO,
    backwards: Literal["refuse", "skip"] = "refuse",
) -> Recording:
    """Read a CSV file with a header line.

    ``delimiter`` is found by itself between comma and semicolon, ``time_column`` is the first unless named. A row
    earlier than one before it is an error, or left out with ``backwards="skip"`` (a clock put back in autumn leaves
    such rows). Raises ``ReplayError`` naming file, line and column for anything else that cannot be played.
    """
    if not mappings:
        raise ReplayError(f"{path}: no column is mapped; add for example --map value=MACHINE_01/Temperature")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header_line = file.readline()
            file.seek(0)
            if delimiter == AUTO:
                delimiter = ";" if header_line.count(";") > header_line.count(",") else ","
            reader = csv.reader(file, delimiter=delimiter)
            return _read(reader, path, tuple(mappings), time_column, backwards)
    except OSError as error:
        raise ReplayError(f"{path}: cannot be read: {error.strerror}; check --replay") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ReplayError(f"{path}: is no CSV text: {error}") from error


def _read(
    reader: _csv.Reader, path: Path, mappings: tuple[Mapping, ...], time_column: str, backwards: str
) -> Recording:
    header = next(reader, [])
    if not header:
        raise ReplayError(f"{path}: line 1: a header with column names was expected, the file is empty")

    def place(column: str) -> int:
        if column not in header:
            raise ReplayError(f"{path}: line 1: there is no column {column!r}; there are {', '.join(header)}")
        return header.index(column)

    time_name = header[0] if time_column == AUTO else time_column
    time_place = place(time_name)
    places = [(mapping.column, place(mapping.column)) for mapping in mappings]
    first: datetime | None = None
    offsets: list[float] = []
    rows: list[tuple[float, ...]] = []
    skipped = 0
    for cells in reader:
        if not cells:
            continue
        where = f"{path}: line {reader.line_num}"
        if len(cells) != len(header):
            raise ReplayError(f"{where}: {len(header)} columns were expected, found {len(cells)}")
        at_utc = _time(cells[time_place], f"{where}: column {time_name!r}")
        row = tuple(_number(cells[index], f"{where}: column {name!r}") for name, index in places)
        if first is None:
            first = at_utc
        offset_s = (at_utc - first).total_seconds()
        if offsets and offset_s < offsets[-1]:
            if backwards == "skip":
                skipped += 1
                continue
            raise ReplayError(
                f"{where}: column {time_name!r}: {cells[time_place]!r} is earlier than the row before it; "
                "sort the file, or leave such rows out with --backwards skip"
            )
        offsets.append(offset_s)
        rows.append(row)
    if first is None:
        raise ReplayError(f"{path}: line 2: a row of values was expected, there is none")
    return Recording(
        path=path,
        mappings=mappings,
        recorded_start_utc=first,
        offsets_s=tuple(offsets),
        rows=tuple(rows),
        skipped=skipped,
    )


def _time(text: str, where: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ReplayError(
            f"{where}: a time such as 2020-03-09 10:14:33 was expected, found {text!r}"
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ReplayError(f"{where}: a number was expected, found {text!r}")
    return value


class Player:
    """Plays a recording once, or round and round.

    ``publish_row`` gets a row and its source timestamp; ``progress`` the number of rows played so far, after each
    batch of rows that were due together.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float,
        loop: bool,
        publish_row: Callable[[tuple[float, ...], datetime], Awaitable[None]],
        progress: Callable[[int], Awaitable[None]],
    ) -> None:
        if not speed > 0.0:
            raise ReplayError(f"a speed above 0 was expected, found {speed}")
        self._recording = recording
        self._speed = speed
        self._loop = loop
        self._publish_row = publish_row
        self._progress = progress

    async def play(self, wall_start_utc: datetime) -> None:
        """Play from now; ``wall_start_utc`` is the wall-clock time of this moment."""
        clock = asyncio.get_running_loop().time
        started_s = clock()
        played = 0
        rows, offsets_s = self._recording.rows, self._recording.offsets_s
        lap_s = offsets_s[-1] + (offsets_s[-1] - offsets_s[-2] if len(offsets_s) > 1 else 1.0)
        while self._loop or played < len(rows):
            lap, index = divmod(played, len(rows))
            due_s = (lap * lap_s + offsets_s[index]) / self._speed
            if (wait_s := started_s + due_s - clock()) > 0.0:
                await self._progress(played)
                await asyncio.sleep(wait_s)
            await self._publish_row(rows[index], wall_start_utc + timedelta(seconds=due_s))
            played += 1
            if played % 50 == 0:  # at great speed nothing else would get a turn
                await asyncio.sleep(0)
        await self._progress(played)
