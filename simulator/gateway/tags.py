"""The gateway's tags at work: memory, expression, reference and OPC tags with their qualities."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from simulator.gateway.expressions import Expression, ExpressionError, parse
from simulator.gateway.faults import Faults
from simulator.gateway.qualities import (
    DISABLED,
    GOOD,
    INITIAL,
    STALE,
    QualifiedValue,
    Quality,
    from_opc,
)
from simulator.gateway.tag_file import Tag
from simulator.gateway.values import ConversionError, fit

_log = logging.getLogger("gateway.tags")
DEFAULT_GROUPS: Final = {"Default": 1000, "Default Historical": 1000}
"""Tag groups of a fresh gateway and their rates in ms."""
_PROPERTIES: Final = ("value", "timestamp", "engunit", "englow", "enghigh", "name")

Listener = Callable[[str, QualifiedValue], None]


class OpcWriter(Protocol):
    """Writes OPC items, all in one request."""

    async def write(self, writes: Sequence[tuple[str, Any]]) -> list[str]: ...


class TagError(Exception):
    """A path the gateway raises for, rather than answering with a quality."""


class OpcConnection:
    """The tags that name one OPC server: what to subscribe there, and where its values arrive.

    ``writer`` is None while the gateway has no connection of this name.
    """

    def __init__(self, name: str, store: TagStore) -> None:
        self.name = name
        self.writer: OpcWriter | None = None
        self.paths: dict[str, list[str]] = {}
        self._store = store

    def items(self) -> dict[int, list[str]]:
        """What to subscribe: by the rate of the tag group, fastest first where two tags share an item."""
        rates = {item: min(map(self._store.rate_ms, paths)) for item, paths in self.paths.items()}
        found: dict[int, list[str]] = {}
        for item, rate_ms in rates.items():
            found.setdefault(rate_ms, []).append(item)
        return found

    def item_changed(self, item: str, value: Any, status: str, at_utc: datetime) -> None:
        """The device says so. A bad item keeps no value."""
        for path in self.paths.get(item, ()):
            self._store.heard(path, value, from_opc(status), at_utc)

    def device_lost(self) -> None:
        """The device went: its tags keep their last value, as stale."""
        for paths in self.paths.values():
            self._store.lost(paths)

    def absent(self) -> None:
        """Nobody configured this connection: its tags say so by name."""
        what = Quality("Bad_NotConnected", f"there is no OPC connection '{self.name}'")
        for paths in self.paths.values():
            for path in paths:
                self._store.heard(path, None, what, datetime.now(UTC))


class TagStore:
    """All tags of one provider. OPC tags show what was last heard; a write shows when the device says so."""

    def __init__(self, tags: Mapping[str, Tag], *, groups: Mapping[str, int], faults: Faults) -> None:
        now = datetime.now(UTC)
        self.tags = dict(tags)
        self.listeners: list[Listener] = []
        self.connections: dict[str, OpcConnection] = {}
        self._groups = groups
        self._faults = faults
        self._expressions: dict[str, Expression] = {}
        self._readers: dict[str, list[str]] = {}
        self._values = {path: QualifiedValue(value=None, quality=INITIAL, at_utc=now) for path in self.tags}
        for tag in self.tags.values():
            self._prepare(tag, now)
        for path in self._circular():
            del self._expressions[path]
            self._values[path] = _bad("Error_CycleDetected", "the expression reads itself", now)
        for path in self._expressions:
            self._evaluate(path)

    # ── preparation ───────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self, tag: Tag, now: datetime) -> None:
        if not tag.enabled:
            self._values[tag.path] = QualifiedValue(value=None, quality=DISABLED, at_utc=now)
        elif tag.tag_group not in self._groups:
            self._values[tag.path] = _bad(
                "Error_Configuration", f"there is no tag group '{tag.tag_group}'", now
            )
        elif tag.source == "memory":
            try:
                self._values[tag.path] = QualifiedValue(
                    value=fit(tag.value, tag.data_type), quality=GOOD, at_utc=now
                )
            except ConversionError as error:
                self._values[tag.path] = _bad("Error_TypeConversion", str(error), now)
        elif tag.source == "opc":
            connection = self.connections.setdefault(tag.opc_server, OpcConnection(tag.opc_server, self))
            connection.paths.setdefault(tag.opc_item_path, []).append(tag.path)
        else:
            text = tag.expression if tag.source == "expr" else "{" + tag.reference + "}"
            try:
                expression = parse(text)
            except ExpressionError as error:
                _log.error("%s: %s", tag.path, error)
                self._values[tag.path] = _bad("Error_Configuration", str(error), now)
                return
            self._expressions[tag.path] = expression
            for reference in expression.references:
                source = self._split(_absolute(reference, tag.path))[0]
                self._readers.setdefault(source, []).append(tag.path)

    def _circular(self) -> set[str]:
        found: set[str] = set()
        for start in self._expressions:
            front, seen = list(self._readers.get(start, ())), set[str]()
            while front:
                path = front.pop()
                if path == start:
                    found.add(start)
                    break
                if path not in seen:
                    seen.add(path)
                    front.extend(self._readers.get(path, ()))
        return found

    def rate_ms(self, path: str) -> int:
        """The rate of a tag's group."""
        return self._groups[self.tags[path].tag_group]

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────

    def read(self, path: str) -> QualifiedValue:
        """Value, quality and time now. A missing tag is Bad_NotFound; a missing provider raises ``TagError``."""
        path, name = self._split(path)
        tag = self.tags.get(path)
        if tag is None:
            provider = path.partition("]")[0] + "]"
            if not any(known.startswith(provider) for known in self.tags):
                raise TagError(f"there is no tag provider {provider}")
            return _bad("Bad_NotFound", f"Path '{path}' not found.", datetime.now(UTC))
        current = self._values[path]
        if self._faults.on("tag_stale", path):
            current = QualifiedValue(value=current.value, quality=STALE, at_utc=current.at_utc)
        if name == "value":
            return current
        shown = {
            "timestamp": current.at_utc,
            "engunit": tag.eng_unit,
            "englow": 0.0 if tag.eng_low is None else tag.eng_low,
            "enghigh": 100.0 if tag.eng_high is None else tag.eng_high,
            "name": path.rpartition("/")[2].rpartition("]")[2],
        }
        if name not in shown:
            return _bad("Bad_NotFound", f"property '{name}' is not supported by the stand-in", current.at_utc)
        return QualifiedValue(value=shown[name], quality=GOOD, at_utc=current.at_utc)

    def _split(self, path: str) -> tuple[str, str]:
        """A path and the property named with it; by itself its value."""
        if path in self.tags:
            return path, "value"
        stem, dot, name = path.rpartition(".")
        if dot and "/" not in name and stem in self.tags:
            return stem, name.lower()
        return path, "value"

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────

    async def write(self, writes: Sequence[tuple[str, Any]], *, from_client: bool = False) -> list[Quality]:
        """Write; a quality for each. Writes to one OPC server leave in one request.

        ``from_client``: an outside OPC UA client, whom write permissions stop; scripts they do not stop.
        """
        outcome: dict[int, Quality] = {}
        to_server: dict[str, list[tuple[int, str, Any]]] = {}
        for number, (path, value) in enumerate(writes):
            tag, refusal = self._writable(path, from_client=from_client)
            if tag is None:
                outcome[number] = refusal
                continue
            try:
                fitted = fit(value, tag.data_type)
            except ConversionError as error:
                outcome[number] = Quality("Error_TypeConversion", str(error))
                continue
            if self._faults.on("write_other_value", path):
                fitted = _other(fitted)
            if tag.source == "opc":
                to_server.setdefault(tag.opc_server, []).append((number, tag.opc_item_path, fitted))
            else:
                self._set(tag.path, QualifiedValue(value=fitted, quality=GOOD, at_utc=datetime.now(UTC)))
                outcome[number] = GOOD
        for server, items in to_server.items():
            writer = self.connections[server].writer
            answers = (
                ["BadNotConnected"] * len(items)
                if writer is None
                else await writer.write([(item, value) for _, item, value in items])
            )
            for (number, _, _), answer in zip(items, answers, strict=True):
                outcome[number] = from_opc(answer)
        return [outcome[number] for number in range(len(writes))]

    def _writable(self, path: str, *, from_client: bool) -> tuple[Tag | None, Quality]:
        """The tag at the end of references, or why it is not written."""
        for _ in range(len(self.tags) + 1):
            path, name = self._split(path)
            tag = self.tags.get(path)
            if tag is None:
                self.read(path)  # raises for a provider that is not there
                return None, Quality("Bad_NotFound", f"Path '{path}' not found.")
            if name != "value":
                return None, Quality("Bad_Unsupported", f"the stand-in does not write property '{name}'")
            if not tag.enabled:
                return None, DISABLED
            if tag.read_only or tag.source == "expr":
                return None, Quality("Bad_ReadOnly")
            if tag.restricted and from_client:
                return None, Quality("Bad_AccessDenied")
            if self._faults.on("tag_not_writable", path):
                return None, from_opc("BadNotWritable")
            if tag.source != "reference":
                return tag, GOOD
            path = _absolute(tag.reference, tag.path)
        return None, Quality("Error_CycleDetected")

    # ── changes ───────────────────────────────────────────────────────────────────────────────────────────

    def heard(self, path: str, value: Any, quality: Quality, at_utc: datetime) -> None:
        """What an OPC server says of one tag."""
        try:
            fitted = fit(value, self.tags[path].data_type)
        except ConversionError as error:
            fitted, quality = None, Quality("Error_TypeConversion", str(error))
        self._set(path, QualifiedValue(value=fitted, quality=quality, at_utc=at_utc))

    def lost(self, paths: Sequence[str]) -> None:
        """These tags' OPC server went: they keep their last value, as stale."""
        now = datetime.now(UTC)
        for path in paths:
            if self._values[path].quality != STALE:
                self._set(path, QualifiedValue(value=self._values[path].value, quality=STALE, at_utc=now))

    def fault_changed(self) -> None:
        """Qualities made up by a fault begin or end: tell everybody what tags show now."""
        for path in self.tags:
            self._tell(path)

    async def run_fixed_rates(self) -> None:
        """Evaluate the expression tags that go by the clock, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for path in self._expressions:
                rate_ms = self.tags[path].execution_rate_ms
                if rate_ms is not None:
                    group.create_task(self._evaluate_for_ever(path, rate_ms / 1000))

    async def _evaluate_for_ever(self, path: str, period_s: float) -> None:
        while True:
            await asyncio.sleep(period_s)
            self._evaluate(path)

    def _set(self, path: str, value: QualifiedValue) -> None:
        self._values[path] = value
        self._tell(path)
        for reader in self._readers.get(path, ()):
            if reader in self._expressions and self.tags[reader].execution_rate_ms is None:
                self._evaluate(reader)

    def _tell(self, path: str) -> None:
        shown = self.read(path)
        for listener in self.listeners:
            listener(path, shown)

    def _evaluate(self, path: str) -> None:
        tag = self.tags[path]
        value, quality = self._expressions[path].evaluate(
            lambda reference: self.read(_absolute(reference, path))
        )
        try:
            value = fit(value, tag.data_type)
        except ConversionError as error:
            value, quality = None, Quality("Error_TypeConversion", str(error))
        old = self._values[path]
        if (old.value, old.quality) != (value, quality):
            self._set(path, QualifiedValue(value=value, quality=quality, at_utc=datetime.now(UTC)))


def _bad(name: str, diagnostic: str, at_utc: datetime) -> QualifiedValue:
    return QualifiedValue(value=None, quality=Quality(name, diagnostic), at_utc=at_utc)


def _absolute(reference: str, path: str) -> str:
    """The whole path of a reference written in the tag ``path``: ``[.]Sibling``, ``[~]FromRoot`` or as it is."""
    provider, _, inner = path.partition("]")
    folder = inner.split("/")[:-1]
    if reference.startswith("[~]"):
        return f"{provider}]{reference[3:]}"
    if not reference.startswith("[.]"):
        return reference if reference.startswith("[") else f"{provider}]{reference}"
    for part in reference[3:].split("/"):
        folder = folder[:-1] if part == ".." else [*folder, part]
    return f"{provider}]{'/'.join(folder)}"


def _other(value: Any) -> Any:
    """A value that is surely not this one, yet one the plant may take."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value - 1 if value >= 1 else value + 1
    return f"{value}?"
