"""Where the published OPC UA server listens: the port, taken before anything is built."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

from bridge.errors import FixConfiguration, PortTaken

DEFAULT_PORT = 4840
"""The port of OPC UA where an endpoint names none."""


def bind(endpoint: str) -> socket.socket:
    """Take the port of an endpoint without listening, so that nobody can connect yet.

    PortTaken when another program has it, FixConfiguration when the host is not an address of this machine.
    """
    url = urlsplit(endpoint)
    try:
        host, port = url.hostname or "", url.port or DEFAULT_PORT
    except ValueError as problem:
        raise FixConfiguration(
            f"publish.opcua.endpoint: {problem}; wanted opc.tcp://host:port/path"
        ) from problem
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as problem:
        raise FixConfiguration(f"publish.opcua.endpoint: no address for {host!r}: {problem}") from problem
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as problem:
        bound.close()
        kind_of = PortTaken if problem.errno == errno.EADDRINUSE else FixConfiguration
        raise kind_of(
            f"publish.opcua.endpoint: cannot listen on {host} port {port}: {problem.strerror}; choose another port, "
            "or end the program that has this one"
        ) from problem
    return bound
