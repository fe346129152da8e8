"""A client of a few lines, to set off and end faults in a running plant."""

from __future__ import annotations

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import BadInvalidArgument, UaError

from simulator.opcua.server import NAMESPACE_URI, ROOT


class PlantCallError(Exception):
    """The plant could not be asked, or has no use for the arguments. The message says what it has instead."""


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
                    f"it has {', '.join(names)}{more}, and a fault fits only some kinds (see fault --list)"
                ) from error
    except (OSError, TimeoutError, UaError, ValueError) as error:
        raise PlantCallError(
            f"no plant answers at {endpoint} as asked: {str(error) or type(error).__name__}; "
            "check --endpoint and --user, and that the plant runs"
        ) from error
