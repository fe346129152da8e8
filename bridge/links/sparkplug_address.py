"""Addresses of Sparkplug metrics as a person writes them: `group/node:Metric/Name`, `group/node/device:Metric/Name`."""

from __future__ import annotations

from typing import NamedTuple

from bridge.sparkplug.topics import valid_id


class Address(NamedTuple):
    """Where a metric is announced; `device` is empty for a metric of the edge node itself."""

    group: str
    node: str
    device: str
    metric: str


def parse(address: str) -> Address:
    """Read an address. The first colon ends the ids; a metric's name may contain more. Raises ValueError.

    The group is never left out: `node/device:…` would be read as another node of another group.
    """
    ids, colon, metric = address.strip().partition(":")
    words = ids.split("/")
    if not colon or not metric or len(words) not in (2, 3) or not all(valid_id(word) for word in words):
        raise ValueError(
            "wanted an address like group/node:Metric/Name or group/node/device:Metric/Name, "
            f"ids without + and #, found {address!r}"
        )
    return Address(words[0], words[1], words[2] if len(words) == 3 else "", metric)
