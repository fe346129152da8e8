"""A batch of readings as bytes on disk and back, with everything that storing them will need. Pure.

Columns of JSON, compressed: neighbours in a column resemble each other, so a reading takes some twenty bytes.
The checksum of zlib tells a damaged batch from a whole one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag

_QUALITIES = tuple(Quality)
_PLACES = {quality: place for place, quality in enumerate(_QUALITIES)}
_REPLAYED, _CONFIRMED = 1, 2


def encode(readings: Sequence[Reading]) -> bytes:
    """The batch as bytes; `decode` gives every field of every reading back as it was."""
    tags: dict[str, int] = {}
    statuses: dict[str, int] = {}
    for reading in readings:
        tags.setdefault(reading.tag.path, len(tags))
        statuses.setdefault(reading.status, len(statuses))
    by_path = {reading.tag.path: reading.tag for reading in readings}
    columns = {
        "tags": [_described(by_path[path]) for path in tags],
        "statuses": list(statuses),
        "tag": [tags[reading.tag.path] for reading in readings],
        "value": [reading.value for reading in readings],
        "quality": [_PLACES[reading.quality] for reading in readings],
        "source": [reading.source_time_utc.isoformat() for reading in readings],
        "received": [reading.received_utc.isoformat() for reading in readings],
        "status": [statuses[reading.status] for reading in readings],
        "flags": [
            _REPLAYED * reading.replayed + _CONFIRMED * reading.confirmed
            if reading.replayed or reading.confirmed
            else 0
            for reading in readings
        ],
    }
    return zlib.compress(json.dumps(columns, separators=(",", ":")).encode("ascii"), 1)


def decode(body: bytes, configured: Mapping[str, Tag]) -> tuple[Reading, ...]:
    """The readings of `encode`. ValueError when the bytes are not whole.

    A tag is the configured one of its path while that still means the same. If it is configured no more, or
    stands for something else by now, the reading keeps the tag under which it was measured.
    """
    try:
        columns = json.loads(zlib.decompress(body))
        tags = [_tag(described, configured) for described in columns["tags"]]
        statuses = columns["statuses"]
        return tuple(
            Reading(
                tags[tag],
                value,
                _QUALITIES[quality],
                datetime.fromisoformat(source),
                datetime.fromisoformat(received),
                statuses[status],
                bool(flags & _REPLAYED),
                bool(flags & _CONFIRMED),
            )
            for tag, value, quality, source, received, status, flags in zip(
                *(
                    columns[name]
                    for name in ("tag", "value", "quality", "source", "received", "status", "flags")
                ),
                strict=True,
            )
        )
    except (zlib.error, ValueError, KeyError, IndexError, TypeError) as problem:
        raise ValueError(f"not a whole batch of readings: {type(problem).__name__}: {problem}") from problem


def _described(tag: Tag) -> list[str | float | None]:
    return [
        tag.path,
        tag.equipment_id,
        tag.link,
        tag.route.value,
        tag.address,
        tag.data_type.value,
        tag.unit,
        tag.signal,
        tag.setpoint,
        tag.stale_after_s,
    ]


def _tag(described: Sequence[str], configured: Mapping[str, Tag]) -> Tag:
    path, equipment_id, link, route, address, data_type, unit, signal, setpoint, stale_after_s = described
    found = configured.get(path)
    if found is not None and (found.equipment_id, found.signal, found.setpoint) == (
        equipment_id,
        signal,
        setpoint,
    ):
        return found
    return Tag(
        path=path,
        equipment_id=equipment_id,
        link=link,
        route=Route(route),
        address=address,
        data_type=DataType(data_type),
        unit=unit,
        signal=signal,
        setpoint=setpoint,
        stale_after_s=float(stale_after_s),
    )
