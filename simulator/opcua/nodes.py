"""Nodes of the plant's address space, built fast and published to fast."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from simulator.equipment import Signal

_UNIT_CODES: Final = {"°C": "CEL", "bar": "BAR", "l/min": "L2", "kg/h": "E93", "rpm": "RPM", "%": "P1"}


def status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))


@functools.cache
def standard(number: int) -> ua.NodeId:
    """A node of the OPC UA standard itself (namespace 0)."""
    return ua.NodeId(ua.Int32(number))


GOOD: Final = status(StatusCodes.Good)


class Frozen(ua.DataValue):
    """A value that nobody changes once it is stored.

    asyncua deep-copies every value for every monitored item, which costs more than all the rest of a
    notification together; a value that never changes may be shared.
    """

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        return self


def frozen(variant: ua.Variant, status: ua.StatusCode, source_utc: datetime, server_utc: datetime) -> Frozen:
    # asyncua's own DateTime is a mere marker for datetime
    return Frozen(variant, status, cast("ua.DateTime", source_utc), cast("ua.DateTime", server_utc))


@dataclass(slots=True)
class NodeSlot:
    """Where the value of one node lives; made by the server, passed back to it for publishing."""

    node_id: str
    variant_type: ua.VariantType
    attribute: AttributeValue

    @property
    def value(self) -> Any:
        stored = self.attribute.value
        return None if stored is None or stored.Value is None else stored.Value.Value


class Nodes:
    """Adds objects and variables to an address space.

    asyncua's own way compares each new child with every child before it, which takes minutes for 10,000
    equipment; here ``NodeData`` is filled directly, and what is the same in many nodes is one object (clients
    cannot change it: ``PlantServer.write`` takes values of writable signals only).
    """

    def __init__(self, space: AddressSpace, namespace: int) -> None:
        self._space = space
        self._namespace = namespace
        self._shapes: dict[tuple[object, ...], dict[AttributeIds, AttributeValue]] = {}
        self._properties: dict[tuple[object, ...], AttributeValue] = {}
        self._upward: dict[tuple[ua.NodeId, int], ua.ReferenceDescription] = {}
        self._typed: dict[int, ua.ReferenceDescription] = {}
        self.slots: dict[str, NodeSlot] = {}

    def id(self, name: str) -> ua.NodeId:
        """The string node id of this plant."""
        return ua.NodeId(ua.String(name), ua.Int16(self._namespace))

    def name(self, text: str) -> ua.QualifiedName:
        """A browse name of this plant."""
        return ua.QualifiedName(text, self._namespace)

    def add_object(self, path: str, name: str, parent: ua.NodeId, reference: int) -> None:
        """Add an object with the id ``path`` under ``parent``."""
        key = ("object", name)
        if key not in self._shapes:
            event_notifier = {AttributeIds.EventNotifier: ua.Variant(0, ua.VariantType.Byte)}
            self._shapes[key] = _static(self.name(name), ua.NodeClass.Object, event_notifier)
        self._add(self.id(path), self._shapes[key], parent, reference, ObjectIds.BaseObjectType)

    def add_variable(self, path: str, signal: Signal, parent: ua.NodeId) -> NodeSlot:
        """Add a variable with its unit and range. Without a start value it waits for data."""
        variant_type = ua.VariantType[signal.data_type]
        key = ("variable", signal.name, signal.data_type, signal.writable)
        if key not in self._shapes:
            special = _variable_attributes(standard(variant_type.value), writable=signal.writable)
            self._shapes[key] = _static(self.name(signal.name), ua.NodeClass.Variable, special)
        ranged = signal.low is not None and signal.high is not None
        type_definition = ObjectIds.AnalogItemType if ranged else ObjectIds.BaseDataVariableType
        node = self._add(self.id(path), self._shapes[key], parent, ObjectIds.HasComponent, type_definition)
        now = datetime.now(UTC)
        if signal.start is None:
            value = frozen(ua.Variant(), status(StatusCodes.BadWaitingForInitialData), now, now)
        else:
            value = frozen(ua.Variant(signal.start, variant_type), GOOD, now, now)
        attribute = node.attributes[AttributeIds.Value] = AttributeValue(value)
        if signal.unit is not None:
            self._add_property(path, "EngineeringUnits", signal.unit, ObjectIds.EUInformation)
        if ranged:
            self._add_property(path, "EURange", (signal.low, signal.high), ObjectIds.Range)
        slot = self.slots[path] = NodeSlot(path, variant_type, attribute)
        return slot

    def _add_property(self, path: str, name: str, content: object, data_type: int) -> None:
        shape = ("property", name)
        if shape not in self._shapes:
            special = _variable_attributes(standard(data_type), writable=False)
            self._shapes[shape] = _static(ua.QualifiedName(name, 0), ua.NodeClass.Variable, special)
        node = self._add(
            self.id(f"{path}.{name}"),
            self._shapes[shape],
            self.id(path),
            ObjectIds.HasProperty,
            ObjectIds.PropertyType,
        )
        key = (name, content)
        if key not in self._properties:
            value = (
                _units(content)
                if isinstance(content, str)
                else ua.Range(*cast("tuple[float, float]", content))
            )
            self._properties[key] = _constant(ua.Variant(value, ua.VariantType.ExtensionObject))
        node.attributes[AttributeIds.Value] = self._properties[key]

    def _add(
        self,
        node_id: ua.NodeId,
        shape: dict[AttributeIds, AttributeValue],
        parent: ua.NodeId,
        reference: int,
        type_definition: int,
    ) -> NodeData:
        node = NodeData(node_id)
        node.attributes = dict(shape)
        node.attributes[AttributeIds.NodeId] = _constant(ua.Variant(node_id, ua.VariantType.NodeId))
        self._space[parent].references.append(
            ua.ReferenceDescription(
                standard(reference),
                True,
                node_id,
                _value(node, AttributeIds.BrowseName),
                _value(node, AttributeIds.DisplayName),
                _value(node, AttributeIds.NodeClass),
                standard(type_definition),
            )
        )
        node.references = [self._to_parent(parent, reference), self._to_type(type_definition)]
        self._space[node_id] = node
        return node

    def _to_parent(self, parent: ua.NodeId, reference: int) -> ua.ReferenceDescription:
        if (parent, reference) not in self._upward:
            node = self._space[parent]
            self._upward[parent, reference] = ua.ReferenceDescription(
                standard(reference),
                False,
                parent,
                _value(node, AttributeIds.BrowseName),
                _value(node, AttributeIds.DisplayName),
                ua.NodeClass(_value(node, AttributeIds.NodeClass)),
            )
        return self._upward[parent, reference]

    def _to_type(self, type_definition: int) -> ua.ReferenceDescription:
        if type_definition not in self._typed:
            node = self._space[standard(type_definition)]
            self._typed[type_definition] = ua.ReferenceDescription(
                standard(ObjectIds.HasTypeDefinition),
                True,
                standard(type_definition),
                _value(node, AttributeIds.BrowseName),
                _value(node, AttributeIds.DisplayName),
                ua.NodeClass(_value(node, AttributeIds.NodeClass)),
            )
        return self._typed[type_definition]


def _constant(variant: ua.Variant) -> AttributeValue:
    return AttributeValue(ua.DataValue(variant))


def _value(node: NodeData, attribute: AttributeIds) -> Any:
    stored = node.attributes[attribute].value
    return None if stored is None or stored.Value is None else stored.Value.Value


def _static(
    name: ua.QualifiedName, node_class: ua.NodeClass, special: dict[AttributeIds, ua.Variant]
) -> dict[AttributeIds, AttributeValue]:
    """All attributes of a node but its id and its value."""
    common = {
        AttributeIds.NodeClass: ua.Variant(node_class, ua.VariantType.Int32),
        AttributeIds.BrowseName: ua.Variant(name, ua.VariantType.QualifiedName),
        AttributeIds.DisplayName: ua.Variant(ua.LocalizedText(name.Name), ua.VariantType.LocalizedText),
        AttributeIds.WriteMask: ua.Variant(0, ua.VariantType.UInt32),
        AttributeIds.UserWriteMask: ua.Variant(0, ua.VariantType.UInt32),
    }
    return {attribute: _constant(variant) for attribute, variant in (common | special).items()}


async def store(slot: NodeSlot, value: ua.DataValue) -> None:
    """Set the value of a node and notify its monitored items, past all checks meant for clients."""
    attribute = slot.attribute
    attribute.value = value
    if attribute.datachange_callbacks:
        for handle, notify in tuple(attribute.datachange_callbacks.items()):
            await notify(handle, value)


def _variable_attributes(data_type: ua.NodeId, *, writable: bool) -> dict[AttributeIds, ua.Variant]:
    access = 3 if writable else 1  # CurrentRead, and CurrentWrite
    return {
        AttributeIds.DataType: ua.Variant(data_type, ua.VariantType.NodeId),
        AttributeIds.ValueRank: ua.Variant(-1, ua.VariantType.Int32),
        AttributeIds.AccessLevel: ua.Variant(access, ua.VariantType.Byte),
        AttributeIds.UserAccessLevel: ua.Variant(access, ua.VariantType.Byte),
        AttributeIds.MinimumSamplingInterval: ua.Variant(0.0, ua.VariantType.Double),
        AttributeIds.Historizing: ua.Variant(False, ua.VariantType.Boolean),
    }


def _units(unit: str) -> ua.EUInformation:
    """The unit as UN/CEFACT code, packed into a number as OPC 10000-8 §5.6.3 says."""
    code = int.from_bytes(_UNIT_CODES[unit].encode("ascii"), "big")
    text = ua.LocalizedText(unit)
    return ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", code, text, text)
