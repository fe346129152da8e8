"""A client of a few lines: sets off and ends faults in a running plant, and reads what any server shows."""

from __future__ import annotations

from collections.abc import Sequence

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import BadInvalidArgument, UaError

from simulator.opcua.server import NAMESPACE_URI, ROOT


class PlantCallError(Exception):
    """The plant could not be asked, or has no use for the arguments. The message says what it has instead."""


async def read_values(endpoint: str, namespace_uri: str, nodes: Sequence[str]) -> dict[str, object]:
    """Values of string nodes of one namespace, by node. Raises ``PlantCallError`` when one of them is not good."""
    try:
        async with Client(endpoint, timeout=10) as client:
            namespace = await client.get_namespace_index(namespace_uri)
            found = await client.read_values([client.get_node(f"ns={namespace};s={node}") for node in nodes])
    except (OSError, TimeoutError, UaError, ValueError) as error:
        raise PlantCallError(f"{endpoint}: {str(error) or type(error).__name__}") from error
    return dict(zip(nodes, found, strict=True))


async def call_plant(
    endpoint: str, method: str, *arguments: str, user: tuple[str, str] | None = None
) -> None:
    """Call ``Plant/<method>`` with String arguments. Raises ``PlantCallError``."""
    client = Client(endpoint, timeout=10)
    if user is not None:
        client.set_user(user[0])
        client.set_password(user[1])
    try:
        async with client:
            namespace = await client.get_namespace_index(NAMESPACE_URI)
            plant = client.get_node(f"ns={namespace};s={ROOT}")
            variants = [ua.Variant(argument, ua.VariantType.String) for argument in arguments]
            try:
                await plant.call_method(ua.NodeId.from_string(f"ns={namespace};s={ROOT}/{method}"), *variants)
            except BadInvalidArgument as error:
                found = await plant.get_children(nodeclassmask=ua.NodeClass.Object)
                names = [str((await child.read_browse_name()).Name) for child in found[:12]]
                more = "" if len(found) <= 12 else f", … ({len(found)} in all)"
                raise PlantCallError(
                    f"the plant has no use for {' '.join(arguments)!r}; "
                    f"it has {', '.join(names)}{more}, and a fault fits only some kinds, those of MQTT only "
                    "a plant with --broker (see fault --list)"
                ) from error
    except (OSError, TimeoutError, UaError, ValueError) as error:
        raise PlantCallError(
            f"no plant answers at {endpoint} as asked: {str(error) or type(error).__name__}; "
            "check --endpoint and --user, and that the plant runs"
        ) from error
