"""An MQTT 3.1.1 broker in memory for demonstrations, where none is installed. It keeps nothing and guards nothing."""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial

from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.contexts import (  # type: ignore[import-untyped]
    BrokerConfig,
    ListenerConfig,
    ListenerType,
)

_LISTENER = "default"


async def serve(port: int) -> None:
    """Answer on 127.0.0.1 until cancelled; 0 takes any free port. Prints ``broker ready mqtt://127.0.0.1:PORT``.

    Raises ``OSError`` if the port is taken.
    """
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # it tells of every client that went without a word
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    bound = _bind(port)
    broker = Broker(
        BrokerConfig(
            # the socket is ours: so a taken port shows before anything is built
            listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
            plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        )
    )
    await broker.start()
    server = await asyncio.start_server(partial(broker.stream_connected, listener_name=_LISTENER), sock=bound)
    print(f"broker ready mqtt://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
        await broker.shutdown()


def _bind(port: int) -> socket.socket:
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound
