"""A plant seen from the gateway: subscribed by tag group, written, and found again when it was away."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import OverflowPolicy
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

_log = logging.getLogger("gateway.opc")
_RETRY_S: Final = 0.5
_CHECK_S: Final = 1.0
_ADDRESS = re.compile(r"(?:nsu=(?P<uri>[^;]+);)?(?P<id>.+)", re.DOTALL)
_WHOLE: Final = frozenset(
    ua.VariantType[name]
    for name in ("SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64")
)
_REAL: Final = frozenset((ua.VariantType.Float, ua.VariantType.Double))


class Watcher(Protocol):
    """Who is told of the plant."""

    def item_changed(self, item: str, value: Any, status: str, at_utc: datetime) -> None: ...
    def device_lost(self) -> None: ...


def quiet_library() -> None:
    """asyncua tells of every lost request; the device says once that it is gone, and once that it is back."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)


class Device:
    """One connection, kept up by ``run``. Item paths are as in tags: ``nsu=URI;s=…`` or ``ns=2;s=…``."""

    def __init__(self, endpoint: str, groups: Mapping[int, Iterable[str]], watcher: Watcher) -> None:
        """``groups``: publishing interval in ms, and the items of it."""
        self.endpoint = endpoint
        self._groups = {rate_ms: tuple(dict.fromkeys(items)) for rate_ms, items in groups.items()}
        self._watcher = watcher
        self._client: Client | None = None
        self._nodes: dict[str, Node] = {}
        self._types: dict[str, ua.VariantType] = {}
        self._unheard = {item for items in self._groups.values() for item in items}
        self.settled = asyncio.Event()
        """Set once every item has shown a first value or an error, or the device was found to be away."""
        if not self._unheard:
            self.settled.set()

    async def run(self) -> None:
        """Connect, subscribe, watch the connection, begin again; until cancelled."""
        told = False  # one line when it goes, one when it is back
        while True:
            try:
                await self._serve()
            except (OSError, TimeoutError, UaError, ValueError) as error:
                if self._client is not None or not told:
                    _log.warning("%s is away: %s", self.endpoint, str(error) or type(error).__name__)
                    told = True
            self._client = None
            self._watcher.device_lost()
            self.settled.set()
            await asyncio.sleep(_RETRY_S)

    async def _serve(self) -> None:
        client = Client(self.endpoint, timeout=5)
        client.name = "Ignition gateway stand-in"
        async with client:
            await self._resolve(client)
            for rate_ms, items in self._groups.items():
                await self._subscribe(client, rate_ms, items)
            self._client = client
            _log.info("connected to %s", self.endpoint)
            while True:
                await asyncio.sleep(_CHECK_S)
                await client.check_connection()

    async def _resolve(self, client: Client) -> None:
        """Find nodes and the data types in which the server wants to be written."""
        namespaces = await client.get_namespace_array()
        nodes: dict[str, Node] = {}
        for item in [item for items in self._groups.values() for item in items]:
            match = _ADDRESS.fullmatch(item)
            try:
                if match is None or (match["uri"] and match["uri"] not in namespaces):
                    raise ValueError(item)
                prefix = f"ns={namespaces.index(match['uri'])};" if match["uri"] else ""
                nodes[item] = client.get_node(ua.NodeId.from_string(prefix + match["id"]))
            except (ValueError, UaError):
                self._tell(item, None, "BadNodeIdUnknown", datetime.now(UTC))
        types = await client.read_attributes(nodes.values(), AttributeIds.DataType) if nodes else []
        for item, found in zip(nodes, types, strict=True):
            code = None if found.Value is None else found.Value.Value
            if isinstance(code, ua.NodeId) and code.NamespaceIndex == 0 and isinstance(code.Identifier, int):
                self._types[item] = ua.VariantType(int(code.Identifier))
        self._nodes = nodes

    async def _subscribe(self, client: Client, rate_ms: int, items: tuple[str, ...]) -> None:
        known = [item for item in items if item in self._nodes]
        if not known:
            return
        by_node = {self._nodes[item].nodeid: item for item in known}
        subscription = await client.create_subscription(
            rate_ms,
            _Handler(self, by_node),
            queue_maxsize=max(1000, 8 * len(known)),
            overflow=OverflowPolicy.DROP_OLDEST,
        )
        results = await subscription.subscribe_data_change(
            [self._nodes[item] for item in known], queuesize=1, sampling_interval=ua.Double(rate_ms)
        )
        for item, result in zip(known, results, strict=True):
            if isinstance(result, ua.StatusCode):
                self._tell(item, None, result.name, datetime.now(UTC))

    def _tell(self, item: str, value: Any, status: str, at_utc: datetime) -> None:
        self._watcher.item_changed(item, value, status, at_utc)
        self._unheard.discard(item)
        if not self._unheard:
            self.settled.set()

    def heard(self, item: str, data: ua.DataValue) -> None:
        """One notification."""
        status = "Good" if data.StatusCode is None else data.StatusCode.name
        at_utc = data.SourceTimestamp or data.ServerTimestamp
        moment = at_utc if isinstance(at_utc, datetime) else datetime.now(UTC)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        self._tell(item, None if data.Value is None else data.Value.Value, status, moment)

    async def write(self, writes: Iterable[tuple[str, Any]]) -> list[str]:
        """Write all in one request; an OPC UA status name for each.

        ``BadCommunicationError``: the connection broke on the way, and nobody knows whether it arrived.
        """
        pairs = list(writes)
        client = self._client
        if client is None:
            return ["BadNotConnected"] * len(pairs)
        statuses: list[str] = ["BadNodeIdUnknown"] * len(pairs)
        sent: list[int] = []
        nodes: list[Node] = []
        values: list[ua.DataValue] = []
        for place, (item, value) in enumerate(pairs):
            if item not in self._nodes or item not in self._types:
                continue
            variant = _variant(value, self._types[item])
            if variant is None:
                statuses[place] = "BadTypeMismatch"
                continue
            sent.append(place)
            nodes.append(self._nodes[item])
            values.append(ua.DataValue(variant))
        if not nodes:
            return statuses
        try:
            results = [
                result.name
                for result in await client.write_values(nodes, values, raise_on_partial_error=False)
            ]
        except UaStatusCodeError as error:
            results = [ua.StatusCode(ua.UInt32(error.code)).name] * len(sent)
        except (OSError, TimeoutError, UaError):
            results = ["BadCommunicationError"] * len(sent)
        for place, result in zip(sent, results, strict=True):
            statuses[place] = result
        return statuses


class _Handler:
    """Notifications of one subscription, by item."""

    def __init__(self, device: Device, by_node: dict[ua.NodeId, str]) -> None:
        self._device = device
        self._by_node = by_node

    def datachange_notification(self, node: Node, _value: Any, data: Any) -> None:
        self._device.heard(self._by_node[node.nodeid], data.monitored_item.Value)


def _variant(value: Any, kind: ua.VariantType) -> ua.Variant | None:
    """The value in the server's own type; ``None`` when it cannot be."""
    if kind in _REAL and isinstance(value, int | float):
        return ua.Variant(float(value), kind)
    if kind in _WHOLE and isinstance(value, int | float) and value == int(value):
        return ua.Variant(int(value), kind)
    if kind is ua.VariantType.Boolean and (isinstance(value, bool) or value in (0, 1)):
        return ua.Variant(bool(value), kind)
    if kind is ua.VariantType.String and isinstance(value, str):
        return ua.Variant(value, kind)
    if kind is ua.VariantType.DateTime and isinstance(value, datetime):
        return ua.Variant(value, kind)
    return None
