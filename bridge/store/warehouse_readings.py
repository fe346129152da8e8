"""Readings on Delta: a batch is stored once, with its mark, by one statement; others' rows are read in their order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from bridge.domain.limits import Refusal, RefusalCode
from bridge.domain.reading import Reading
from bridge.errors import FixCode, RefusedByRule
from bridge.ports import Mark, OthersRow, Place
from bridge.store.queries import Queries
from bridge.store.rows import json_block
from bridge.store.warehouse_connection import Row, Warehouse

_MOST_BYTES = 12_000_000  # of readings in one statement; a warehouse takes 16 MiB of text
_LATE_S = 30.0  # so long after its own received_timestamp a row of somebody else may become visible and still be read


class Readings:
    """Readings, as the agent's store keeps and reads them; see `bridge.ports.Store`."""

    def __init__(self, db: Warehouse, queries: Queries, agent_id: str) -> None:
        self._db = db
        self._q = queries
        self._agent_id = agent_id
        self._seen: Counter[tuple[object, ...]] = Counter()  # rows of others that may still be shown again

    async def keep(self, readings: Sequence[Reading], mark: Mark | None = None) -> int:
        """See `Store.store_readings`. The mark is a column of the rows, so both are one statement."""
        block, rows = json_block(readings, recorded_by=self._agent_id)
        if not rows:
            return 0
        size = len(block.encode())
        if size > _MOST_BYTES:
            raise RefusedByRule(
                Refusal(
                    RefusalCode.WRONG_FORM,
                    f"a batch of {rows} rows is {size} bytes, a warehouse takes {_MOST_BYTES}; store it in parts",
                )
            )
        if mark is None:
            mark = Mark(origin=f"w/{uuid4().hex}", first=1, last=1)
        affected = await self._db.change(
            self._q.readings.store_readings, rows=block, origin=mark.origin, first=mark.first, last=mark.last
        )
        if affected == rows:
            return rows
        # None: because they are there, which has to be so; or the answer did not say.
        stored = await self.kept_until(mark.origin)
        if affected > 0 or stored < mark.first:
            raise FixCode(
                f"{rows} rows of readings were to be stored, the warehouse says {affected}, and {mark.origin} "
                f"is stored until {stored}, wanted {mark.last}"
            )
        return 0 if affected == 0 else rows

    async def kept_until(self, origin: str) -> int:
        """See `Store.stored_until`."""
        rows = await self._db.fetch(self._q.readings.read_mark, origin=origin)
        return int(rows[0]["number"] or 0) if rows else 0

    async def place(self) -> Place:
        """See `Store.place_of_others`."""
        self._seen.clear()
        row = (await self._db.fetch(self._q.readings.newest_place))[0]
        return Place(xid=row["received_utc"].isoformat(), reading_id=0)

    async def from_others(self, after: Place, max_rows: int) -> tuple[list[OthersRow], Place]:
        """See `Store.readings_from_others`. In the order of received_timestamp, which is all that Delta has.

        A row becomes visible some time after the moment it carries, so the last seconds are read again each time,
        and what was given before is left out.
        """
        newest = datetime.fromisoformat(after.xid)
        since = newest - timedelta(seconds=_LATE_S)
        found = await self._db.fetch(
            self._q.readings.list_from_others,
            after_xid=since.isoformat(),
            max_rows=max_rows + self._seen.total(),
        )
        passed: Counter[tuple[object, ...]] = Counter()
        given: list[Row] = []
        for row in found:
            key = tuple(row.values())
            passed[key] += 1
            if passed[key] > self._seen[key] and len(given) < max_rows:
                given.append(row)
        newest = max((newest, *(row["received_utc"] for row in given)))
        until = newest - timedelta(seconds=_LATE_S)
        moments = list(found[0]).index("received_utc") if found else 0
        for row in given:
            self._seen[tuple(row.values())] += 1
        for key in [key for key in self._seen if _moment(key[moments]) < until]:
            del self._seen[key]
        return [_others_row(row) for row in given], Place(xid=newest.isoformat(), reading_id=0)


def _moment(value: object) -> datetime:
    return value if isinstance(value, datetime) else datetime.min.replace(tzinfo=UTC)


def _others_row(row: Row) -> OthersRow:
    # Anybody may insert anything as `signals`; only an object of numbers and switches means something here.
    signals = _signals(row["signals"])
    values: dict[str, float | bool | None] = {
        name: value for name, value in signals.items() if value is None or isinstance(value, int | float)
    }
    for name in ("temperature", "pressure", "flow_rate"):
        if row[name] is not None:
            values[name] = row[name]
    return OthersRow(
        equipment_id=row["equipment_id"],
        values=values,
        quality=row["quality"],
        source_time_utc=row["source_time_utc"],
        received_utc=row["received_utc"],
    )


def _signals(text: str | None) -> dict[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
