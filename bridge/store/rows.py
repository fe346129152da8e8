"""Readings as rows of `sensor_data`, in COPY text format or as JSON. Pure; values of one moment share a row."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from bridge.domain.reading import Quality, Reading

COLUMNS = ("temperature", "pressure", "flow_rate")
"""Signals that have a column of their own; every other signal goes into `signals`."""

_WORST = {Quality.GOOD: 0, Quality.UNCERTAIN: 1, Quality.BAD: 2}
_NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": ""})


class _Row:
    __slots__ = ("columns", "names", "quality", "received_utc", "replayed", "signals", "status")

    def __init__(self, reading: Reading) -> None:
        self.columns: dict[str, float] = {}
        self.signals: dict[str, object] = {}
        self.names: set[str] = set()
        self.quality = reading.quality
        self.status = reading.status
        self.replayed = reading.replayed
        self.received_utc = reading.received_utc


def copy_block(readings: Iterable[Reading], *, recorded_by: str) -> tuple[str, int]:
    """The block for COPY and its number of rows.

    One row per equipment and source time; the row's quality is its worst value's. A value that is not
    there, or whose quality is bad, leaves its column null: what was not measured is not invented.
    """
    rows = _gathered(readings)
    lines = [_line(equipment_id, moment, row, recorded_by) for equipment_id, moment, row in rows]
    # Half a surrogate pair, which no database stores, becomes a question mark.
    return "".join(lines).encode("utf-8", "replace").decode(), len(lines)


def json_block(readings: Iterable[Reading], *, recorded_by: str) -> tuple[str, int]:
    """The same rows as a JSON list, for a SQL warehouse, and their number; moments are ISO 8601 in UTC."""
    rows = [
        {
            "equipment_id": equipment_id.replace("\0", ""),
            "source_time": moment.astimezone(UTC).isoformat(),
            **row.columns,
            "signals": json.dumps(row.signals, ensure_ascii=False) if row.signals else None,
            "quality": row.quality.value,
            "source_status": row.status.replace("\0", ""),
            "sensor_status": "active" if row.quality is Quality.GOOD else row.quality.value,
            "replayed": row.replayed,
            "received": row.received_utc.astimezone(UTC).isoformat(),
            "recorded_by": recorded_by,
        }
        for equipment_id, moment, row in _gathered(readings)
    ]
    block = json.dumps(rows, ensure_ascii=False, allow_nan=False)
    return block.encode("utf-8", "replace").decode(), len(rows)


def _gathered(readings: Iterable[Reading]) -> list[tuple[str, datetime, _Row]]:
    rows: list[tuple[str, datetime, _Row]] = []
    newest: dict[tuple[str, datetime], _Row] = {}
    for reading in readings:
        tag = reading.tag
        key = (tag.equipment_id, reading.source_time_utc)
        name = tag.signal or f"{tag.setpoint}_setpoint"
        row = newest.get(key)
        if row is None or name in row.names:
            # A second value of one signal at one moment is a reading too, and gets a row of its own.
            row = newest[key] = _Row(reading)
            rows.append((*key, row))
        row.names.add(name)
        if reading.quality is not Quality.GOOD:
            if _WORST[reading.quality] > _WORST[row.quality]:
                row.quality, row.status = reading.quality, reading.status
            if reading.quality is Quality.BAD:
                continue
        value = reading.value
        if value is None:
            continue
        # NaN and infinity have no place in jsonb and mean nothing in a column either.
        if isinstance(value, float) and not -1.8e308 < value < 1.8e308:
            continue
        if name in COLUMNS and not isinstance(value, bool | str):
            row.columns[name] = value
        else:
            # jsonb holds no NUL, not even escaped; one such text would cost the whole block.
            row.signals[name] = value.replace("\0", "") if isinstance(value, str) else value
    return rows


def storable(text: str) -> str:
    """The text with what no database stores written out: half a surrogate pair as \\ud800, NUL as \\x00."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _line(equipment_id: str, moment: datetime, row: _Row, recorded_by: str) -> str:
    equipment = equipment_id.translate(_ESCAPES)
    columns = row.columns
    fields = (
        equipment,
        equipment,
        moment.isoformat(),
        *(_NULL if (value := columns.get(name)) is None else repr(float(value)) for name in COLUMNS),
        json.dumps(row.signals, ensure_ascii=False).translate(_ESCAPES) if row.signals else _NULL,
        row.quality.value,
        row.status.translate(_ESCAPES),
        "active" if row.quality is Quality.GOOD else row.quality.value,
        "t" if row.replayed else "f",
        row.received_utc.isoformat(),
        recorded_by.translate(_ESCAPES),
        _NULL,
    )
    return "\t".join(fields) + "\n"
