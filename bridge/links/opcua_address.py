"""Addresses of OPC UA nodes as a person writes them, before any server has been asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADDRESS = re.compile(
    r"^(?:(?:nsu=(?P<uri>[^;]+)|ns=(?P<index>\d{1,5}));)?(?P<kind>[isgb])=(?P<identifier>.+)$", re.DOTALL
)
_INDEX_MAX = 2**16 - 1  # OPC 10000-6 §5.2.2.9: a namespace index is a UInt16


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A node id with its namespace named by URI, or by a bare index where somebody insisted.

    `kind` is the letter of OPC 10000-6 §5.3.1.10: i number, s string, g GUID, b base64 bytes. Indexes
    change when a server is reconfigured; URIs do not, so a URI wins over an index wherever one is known.
    """

    kind: str
    identifier: str
    namespace: str | None
    index: int | None

    def node_id(self, index: int) -> str:
        """The node id in OPC UA's own notation, for a namespace found at `index`."""
        return f"ns={index};{self.kind}={self.identifier}" if index else f"{self.kind}={self.identifier}"


def parse(address: str, *, namespace: str) -> Address:
    """Read `s=…`, `i=…`, `nsu=URI;s=…` or `ns=2;s=…`; an entry without a namespace belongs to `namespace`.

    With an empty `namespace` such an entry belongs to namespace 0, OPC UA's own. Raises ValueError.
    """
    found = _ADDRESS.match(address.strip())
    if found is None:
        raise ValueError(
            f"wanted an address like s=REACTOR_02/Temperature, i=2258, nsu=URI;s=… or ns=2;s=…, found {address!r}"
        )
    kind, identifier = found["kind"], found["identifier"]
    if kind == "i" and not (identifier.isascii() and identifier.isdigit() and int(identifier) < 2**32):
        raise ValueError(f"wanted a number from 0 to 2^32-1 after i=, found {identifier!r}")
    if found["index"] is not None:
        index = int(found["index"])
        if index > _INDEX_MAX:
            raise ValueError(f"wanted a namespace index up to {_INDEX_MAX}, found {index}")
        return Address(kind=kind, identifier=identifier, namespace=None, index=index)
    uri = found["uri"] or namespace
    return Address(kind=kind, identifier=identifier, namespace=uri or None, index=None if uri else 0)


def index_in(address: Address, namespaces: list[str]) -> int | None:
    """Where this address's namespace stands in a server's NamespaceArray, or None when it is not there."""
    if address.namespace is None:
        return address.index
    try:
        return namespaces.index(address.namespace)
    except ValueError:
        return None
