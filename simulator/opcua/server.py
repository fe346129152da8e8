"""An OPC UA server for equipment: nodes to publish to, and a policy to ask before a write is stored.

It knows nothing about physics or faults. Node ids are ``s=<EQUIPMENT>/<Signal>`` in the namespace
``urn:ignition-bridge:plant``.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import struct
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlparse

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509

from simulator.equipment import DataType, Equipment, Signal
from simulator.opcua.connections import Listener, OneUser, PlantInternals
from simulator.opcua.nodes import GOOD, Frozen, Nodes, NodeSlot, frozen, standard, status, store
from simulator.voices import Shown
from simulator.writes import Method, Scalar, WriteAsked, WritePolicy

NAMESPACE_URI: Final = "urn:ignition-bridge:plant"
APPLICATION_URI: Final = "urn:ignition-bridge:plant-simulator"
ROOT: Final = "Plant"
DIED_ON_REQUEST: Final = 70
"""Exit code of ``kill_after_write``."""

_NEVER: Final = datetime.fromtimestamp(0, UTC)
_YIELD_AFTER: Final = 250  # values; keeps requests answered within milliseconds while thousands are published


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may connect and how.

    ``user`` is name and password; without it everybody may. With certificate and key only Basic256Sha256 with
    SignAndEncrypt is offered, without them no security at all. ``strict_writes`` refuses writes that carry a
    timestamp, as many controllers do.
    """

    user: tuple[str, str] | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    strict_writes: bool = False


class PlantServer(Server):
    """Build it, ``open``, add equipment, variables and methods, ``start``, publish, ``stop``."""

    def __init__(self, *, policy: WritePolicy, access: Access) -> None:
        internals = PlantInternals(user_manager=OneUser(access.user))
        super().__init__(iserver=internals)
        internals.host = self
        self.policy = policy
        self.items_created = asyncio.Event()
        """Set whenever a client has created monitored items; the one who waits clears it."""
        self._writable: dict[ua.NodeId, tuple[Equipment, Signal, NodeSlot]] = {}
        self._access = access
        self._beside: set[asyncio.Task[Any]] = set()

    async def open(self, endpoint: str) -> str:
        """Bind the port (0 means any free one) and load the standard address space.

        Returns the endpoint with its real port. Raises ``OSError`` if the port is taken, ``ValueError`` if the
        endpoint is no ``opc.tcp`` URL.
        """
        url = urlparse(endpoint)
        if url.scheme != "opc.tcp" or not url.hostname or url.port is None:
            raise ValueError(
                f"an endpoint such as opc.tcp://127.0.0.1:4840/plant was expected, found {endpoint!r}"
            )
        self._bound = _bind(url.hostname, url.port)
        await self.init()
        self.set_server_name("Plant simulator")
        self.set_endpoint(f"opc.tcp://{url.hostname}:{self._bound.getsockname()[1]}{url.path}")
        await self._secure()
        self.plant_nodes = Nodes(self.iserver.aspace, await self.register_namespace(NAMESPACE_URI))
        self.plant_nodes.add_object(ROOT, ROOT, standard(ObjectIds.ObjectsFolder), ObjectIds.Organizes)
        return self.endpoint.geturl()

    async def _secure(self) -> None:
        uri = APPLICATION_URI
        if self._access.certificate is not None and self._access.private_key is not None:
            await self.load_certificate(self._access.certificate)
            await self.load_private_key(self._access.private_key)
            uri = _application_uri(self.iserver.certificate) or uri
            self.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        else:
            self.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if self._access.user is None:
            self.set_identity_tokens([ua.AnonymousIdentityToken])
        else:
            self.set_identity_tokens([ua.UserNameIdentityToken])
        await self.set_application_uri(uri)

    async def start(self) -> None:
        """Begin to answer on the port bound by ``open``."""
        await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self._bound.getsockname()[:2]
        self.bserver = listener = Listener(self.iserver, host, port, self.limits)
        listener.host = self
        listener.bound = self._bound
        listener.set_policies(self._policies)
        await listener.start()

    async def stop(self) -> None:
        """Close all connections and the port."""
        for task in self._beside:
            task.cancel()
        if (clock := self.iserver.time_task) is not None:  # asyncua would wait for its next full second
            self.iserver.time_task = None
            clock.cancel()
        await super().stop()
        if self.bserver is None:
            self._bound.close()

    # ── address space ─────────────────────────────────────────────────────────────────────────────────────

    def slot(self, path: str) -> NodeSlot:
        """The node with the id ``s=<path>``; ``KeyError`` if there is none."""
        return self.plant_nodes.slots[path]

    def add_equipment(self, equipment: Equipment) -> None:
        """Add an object with its signals."""
        self.plant_nodes.add_object(
            equipment.name, equipment.name, self.plant_nodes.id(ROOT), ObjectIds.HasComponent
        )
        for signal in equipment.signals:
            self.add_signal(equipment, signal)

    def add_signal(self, equipment: Equipment, signal: Signal) -> NodeSlot:
        """Add one signal to an equipment that is there already."""
        path = f"{equipment.name}/{signal.name}"
        slot = self.plant_nodes.add_variable(path, signal, self.plant_nodes.id(equipment.name))
        if signal.writable:
            self._writable[self.plant_nodes.id(path)] = (equipment, signal, slot)
        return slot

    def add_group(self, name: str) -> None:
        """Add an object for variables that belong to no equipment: ``Plant/<name>``."""
        nodes = self.plant_nodes
        nodes.add_object(f"{ROOT}/{name}", name, nodes.id(ROOT), ObjectIds.HasComponent)

    def add_variable(self, signal: Signal, *, group: str | None = None) -> NodeSlot:
        """Add a read-only variable ``Plant/<name>`` or ``Plant/<group>/<name>``."""
        parent = ROOT if group is None else f"{ROOT}/{group}"
        return self.plant_nodes.add_variable(f"{parent}/{signal.name}", signal, self.plant_nodes.id(parent))

    async def add_method(self, name: str, arguments: tuple[str, ...], method: Method) -> None:
        """Add a method with String arguments, ``Plant/<name>``; its ``ValueError`` becomes BadInvalidArgument."""

        async def call(_parent: ua.NodeId, *given: ua.Variant) -> ua.StatusCode | list[ua.Variant]:
            values = [variant.Value for variant in given]
            if len(values) != len(arguments) or not all(isinstance(value, str) for value in values):
                return status(StatusCodes.BadInvalidArgument)
            try:
                await method(*values)
            except ValueError:
                return status(StatusCodes.BadInvalidArgument)
            return []

        inputs = [
            ua.Argument(Name=text, DataType=standard(ObjectIds.String), ValueRank=-1, ArrayDimensions=[])
            for text in arguments
        ]
        nodes = self.plant_nodes
        parent = self.get_node(nodes.id(ROOT))
        await parent.add_method(nodes.id(f"{ROOT}/{name}"), nodes.name(name), call, inputs, [])

    # ── values out ────────────────────────────────────────────────────────────────────────────────────────

    async def publish(
        self, slots: Sequence[NodeSlot], values: Iterable[Scalar], source_utc: datetime
    ) -> None:
        """Give each node its new value, all with the same source timestamp."""
        server_utc = datetime.now(UTC)
        for number, (slot, value) in enumerate(zip(slots, values, strict=True), start=1):
            variant = ua.Variant(value, slot.variant_type, None, False)
            await store(slot, frozen(variant, GOOD, source_utc, server_utc))
            if number % _YIELD_AFTER == 0:
                await asyncio.sleep(0)

    async def publish_bad(self, slot: NodeSlot, code: str, source_utc: datetime) -> None:
        """Take the value away and show a bad status instead, for example ``BadSensorFailure``."""
        bad = status(getattr(StatusCodes, code))
        await store(slot, frozen(ua.Variant(), bad, source_utc, datetime.now(UTC)))

    async def confirm(self, slot: NodeSlot) -> None:
        """Leave value and source timestamp, renew the server timestamp only."""
        old = slot.attribute.value
        if old is not None:
            server_utc = cast("ua.DateTime", datetime.now(UTC))
            await store(slot, Frozen(old.Value, old.StatusCode, old.SourceTimestamp, server_utc))

    def shown(self, path: str) -> Shown:
        """What a node shows now; ``KeyError`` if there is none."""
        slot = self.plant_nodes.slots[path]
        value = slot.attribute.value
        if value is None:
            return Shown(value=None, good=False, source_utc=_NEVER, confirmed_utc=_NEVER)
        good = value.StatusCode is not None and value.StatusCode.is_good() and slot.value is not None
        return Shown(
            value=slot.value if good else None,
            good=good,
            source_utc=value.SourceTimestamp or _NEVER,
            confirmed_utc=value.ServerTimestamp or _NEVER,
        )

    def watchers(self, slots: Iterable[NodeSlot]) -> int:
        """How many monitored items there are on these nodes now."""
        return sum(len(slot.attribute.datachange_callbacks) for slot in slots)

    # ── writes in ─────────────────────────────────────────────────────────────────────────────────────────

    async def write(self, item: ua.WriteValue, *, session: str, user: str) -> ua.StatusCode:
        """Check one write of a client, ask the policy, tell it, store, answer: in this order."""
        if item.NodeId not in self.iserver.aspace:
            return status(StatusCodes.BadNodeIdUnknown)
        target = self._writable.get(item.NodeId)
        if target is None or item.AttributeId != AttributeIds.Value:
            return status(StatusCodes.BadNotWritable)
        _, signal, slot = target
        refusal = _refusal(item, signal, slot.variant_type, strict=self._access.strict_writes)
        if refusal is not None:
            return status(refusal)
        value = item.Value.Value.Value
        return status(getattr(StatusCodes, await self._carry_out(item.NodeId, value, session, user)))

    async def write_value(self, path: str, value: Scalar, *, session: str) -> str:
        """The same for a write that came over another wire. Gives the name of the OPC UA status."""
        node_id = self.plant_nodes.id(path)
        if node_id not in self._writable:
            return "BadNotWritable" if path in self.plant_nodes.slots else "BadNodeIdUnknown"
        _, signal, _ = self._writable[node_id]
        if not _fits(value, signal.data_type):
            return "BadTypeMismatch"
        if _out_of_range(value, signal):
            return "BadOutOfRange"
        if signal.data_type == "Float" and not isinstance(value, str | datetime):
            value = struct.unpack("<f", struct.pack("<f", value))[0]  # as it would come over OPC UA
        return await self._carry_out(node_id, value, session, "")

    async def _carry_out(self, node_id: ua.NodeId, value: Scalar, session: str, user: str) -> str:
        equipment, signal, slot = self._writable[node_id]
        asked = WriteAsked(
            equipment=equipment.name, signal=signal, old=slot.value, asked=value, session=session, user=user
        )
        verdict = self.policy.decide(asked)
        if verdict.before_s:
            await asyncio.sleep(verdict.before_s)
        if verdict.store is not None:
            await self.policy.applied(asked, verdict.store)
            await self.publish([slot], [verdict.store], datetime.now(UTC))
        if verdict.die:
            os._exit(DIED_ON_REQUEST)
        if verdict.after_s:
            await asyncio.sleep(verdict.after_s)
        return verdict.status

    def run_beside(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let a request take its time without holding up its connection."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)


def _bind(host: str, port: int) -> socket.socket:
    """Bind without listening: clients are refused until ``start``, and a taken port shows at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _refusal(item: ua.WriteValue, signal: Signal, expected: ua.VariantType, *, strict: bool) -> int | None:
    """The status code that refuses a write before anybody is asked, or ``None``."""
    given = item.Value
    if item.IndexRange or (given.StatusCode is not None and not given.StatusCode.is_good()):
        return StatusCodes.BadWriteNotSupported
    if strict and (given.SourceTimestamp is not None or given.ServerTimestamp is not None):
        return StatusCodes.BadWriteNotSupported
    variant = given.Value
    if variant is None or variant.is_array or variant.VariantType != expected or variant.Value is None:
        return StatusCodes.BadTypeMismatch
    return StatusCodes.BadOutOfRange if _out_of_range(variant.Value, signal) else None


def _out_of_range(value: Scalar, signal: Signal) -> bool:
    if signal.low is None or signal.high is None or isinstance(value, str | datetime):
        return False
    return math.isnan(value) or not signal.low <= value <= signal.high


def _fits(value: Scalar, data_type: DataType) -> bool:
    """Whether a value that came without a type of its own is one of this type; a whole number may be a Float."""
    match data_type:
        case "Boolean":
            return isinstance(value, bool)
        case "Double" | "Float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "Int32" | "UInt32" | "UInt64":
            return isinstance(value, int) and not isinstance(value, bool)
    return False  # nothing else can be written in this plant


def _application_uri(certificate: x509.Certificate) -> str | None:
    """The URI in the certificate; strict clients refuse a server whose application URI differs from it."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), None)
