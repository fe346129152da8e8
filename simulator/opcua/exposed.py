"""Ignition's exposed tags: the gateway's tags as nodes for outside OPC UA clients.

Node ids are ``s=[default]REACTOR_02/Temperature`` in ``urn:inductiveautomation:ignition:opcua:tags``, index 2 as
on a gateway; clients are well advised to resolve the index.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Any, Final, Protocol, cast
from urllib.parse import urlparse

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from simulator.equipment import DataType, Signal
from simulator.opcua.nodes import Nodes, NodeSlot, frozen, standard, status, store
from simulator.opcua.server import Access, PlantServer, _bind
from simulator.writes import Scalar, Verdict, WriteAsked

TAGS_NAMESPACE: Final = "urn:inductiveautomation:ignition:opcua:tags"
SERVER_URI: Final = "urn:inductiveautomation:ignition:opcua:server"

_OPC_TYPES: Final = {
    "Int1": "SByte",
    "Int2": "Int16",
    "Int4": "Int32",
    "Int8": "Int64",
    "Float4": "Float",
    "Float8": "Double",
    "Boolean": "Boolean",
    "String": "String",
    "Text": "String",
    "DateTime": "DateTime",
}


class TagWriter(Protocol):
    """Writes a tag for a client; gives the OPC UA status name of the answer."""

    def __call__(self, path: str, value: Scalar) -> Awaitable[str]: ...


class _NeverAlone:
    """Every write may take as long as the plant behind the tag; reads of the same connection go on meanwhile."""

    def slow(self) -> bool:
        return True

    def decide(self, asked: WriteAsked) -> Verdict:
        raise NotImplementedError("exposed tags are written through the tag, not here")

    async def applied(self, asked: WriteAsked, stored: Scalar) -> None:
        raise NotImplementedError("exposed tags are written through the tag, not here")


class ExposedTags(PlantServer):
    """Build it, ``open``, ``add_tag`` each, ``start``, ``show`` changes, ``stop``."""

    def __init__(self, write_tag: TagWriter) -> None:
        super().__init__(policy=_NeverAlone(), access=Access())
        self._write_tag = write_tag
        self._paths: dict[ua.NodeId, tuple[str, NodeSlot, bool]] = {}
        self._folders: set[str] = set()

    async def open(self, endpoint: str) -> str:
        """Bind the port (0 means any free one); gives the endpoint with its real port."""
        url = urlparse(endpoint)
        if url.scheme != "opc.tcp" or not url.hostname or url.port is None:
            raise ValueError(
                f"an endpoint such as opc.tcp://127.0.0.1:62541 was expected, found {endpoint!r}"
            )
        self._bound = _bind(url.hostname, url.port)
        await self.init()
        self.set_server_name("Ignition OPC UA Server")
        self.set_endpoint(f"opc.tcp://{url.hostname}:{self._bound.getsockname()[1]}{url.path}")
        self.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self.set_identity_tokens([ua.AnonymousIdentityToken])
        await self.set_application_uri(SERVER_URI)
        self.plant_nodes = Nodes(self.iserver.aspace, await self.register_namespace(TAGS_NAMESPACE))
        return self.endpoint.geturl()

    def add_tag(self, path: str, data_type: str, *, writable: bool) -> NodeSlot:
        """Add the node of a tag, and its provider and folders where they are not there yet."""
        folder, slash, name = path.rpartition("/")
        if not slash:
            provider, _, name = path.partition("]")
            folder = provider + "]"
        # the data types of equipment are fewer than those of tags; the nodes know them all
        signal = Signal(name=name, data_type=cast("DataType", _OPC_TYPES[data_type]), writable=writable)
        slot = self.plant_nodes.add_variable(path, signal, self._folder(folder))
        self._paths[self.plant_nodes.id(path)] = (path, slot, writable)
        return slot

    def _folder(self, path: str) -> ua.NodeId:
        if path not in self._folders:
            self._folders.add(path)
            outer, slash, name = path.rpartition("/")
            if slash:
                parent, name = self._folder(outer), name
            elif path.endswith("]"):
                parent, name = standard(ObjectIds.ObjectsFolder), path
            else:
                provider, _, name = path.partition("]")
                parent = self._folder(provider + "]")
            self.plant_nodes.add_object(path, name, parent, ObjectIds.Organizes)
        return self.plant_nodes.id(path)

    async def show(self, slot: NodeSlot, value: Any, status_name: str, at_utc: datetime) -> None:
        """Give a node the tag's value and quality."""
        good = not status_name.startswith("Bad") and value is not None
        variant = ua.Variant(value, slot.variant_type, None, False) if good else ua.Variant()
        code = status(getattr(StatusCodes, status_name))
        await store(slot, frozen(variant, code, at_utc, at_utc))

    async def write(self, item: ua.WriteValue, *, session: str, user: str) -> ua.StatusCode:
        """A client's write: the type must be the node's own, the rest is the tag's word."""
        target = self._paths.get(item.NodeId)
        if target is None:
            known = item.NodeId in self.iserver.aspace
            return status(StatusCodes.BadNotWritable if known else StatusCodes.BadNodeIdUnknown)
        path, slot, writable = target
        if item.AttributeId != AttributeIds.Value or not writable:
            return status(StatusCodes.BadNotWritable)
        variant = item.Value.Value
        if item.IndexRange or (item.Value.StatusCode is not None and not item.Value.StatusCode.is_good()):
            return status(StatusCodes.BadWriteNotSupported)
        if variant is None or variant.is_array or variant.VariantType != slot.variant_type:
            return status(StatusCodes.BadTypeMismatch)
        return status(getattr(StatusCodes, await self._write_tag(path, variant.Value)))
