"""The published server as the bridge runs it, on a real database behind a wire that can be cut, and its clients."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from pydantic import SecretStr
from rig import Hands

from bridge.clock import SystemClock
from bridge.plant import Plant
from bridge.publish.nodes import NAMESPACE
from bridge.publish.passwords import hash_password
from bridge.settings import (
    PublishOpcUaSettings,
    PublishSettings,
    PublishUserSettings,
    Settings,
    StoreSettings,
)
from bridge.store.queries import Queries
from bridge.wiring import publishers_of
from simulator.wire import Wire

PASSWORDS = {"anna": "correct horse", "viktor": "only looking", "other-agent": "battery staple"}
ROLES = {"anna": "operator", "viktor": "viewer", "other-agent": "operator"}
WITHIN_S = 40.0  # for what has to happen at all; what has to be fast says so itself


@cache
def users() -> dict[str, PublishUserSettings]:
    """anna may decide, viktor may look, and somebody has named a user after another agent."""
    return {
        name: PublishUserSettings(
            password_hash=SecretStr(hash_password(password)),
            role=ROLES[name],
        )
        for name, password in PASSWORDS.items()
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def until(true: Callable[[], Awaitable[Any]], within_s: float = WITHIN_S) -> Any:
    """Poll until something truthy comes back; fails after `within_s` with what came last."""
    ends_s = time.monotonic() + within_s
    while True:
        found = await true()
        if found:
            return found
        assert time.monotonic() < ends_s, f"not within {within_s} s; last was {found!r}"
        await asyncio.sleep(0.02)


class Stand:
    """One running server; `view` is an anonymous client that looks."""

    def __init__(self, endpoint: str, hands: Hands, wire: Wire) -> None:
        self.endpoint = endpoint
        self.hands = hands
        self.wire = wire
        self.view: Client

    @asynccontextmanager
    async def client(self, user: str = "", password: str | None = None) -> AsyncIterator[Client]:
        """A client of its own, logged in as this user, or anonymous."""
        client = Client(self.endpoint, timeout=20, watchdog_intervall=20)
        if user:
            client.set_user(user)
            client.set_password(PASSWORDS[user] if password is None else password)
        async with client:
            yield client

    async def data(self, path: str) -> ua.DataValue:
        """Value, status and times of a node, as the anonymous client sees them."""
        return await read(self.view, path)

    async def value(self, path: str) -> Any:
        """The value of a node; None unless it is good."""
        found = await self.data(path)
        assert found.StatusCode is not None
        assert found.Value is not None
        return found.Value.Value if found.StatusCode.is_good() else None

    async def shows(self, path: str, value: object, within_s: float = WITHIN_S) -> None:
        """Wait until a node shows this value with good quality."""

        async def there() -> bool:
            return bool(await self.value(path) == value)

        await until(there, within_s)


async def node_id(client: Client, path: str) -> ua.NodeId:
    return ua.NodeId(ua.String(path), ua.Int16(await client.get_namespace_index(NAMESPACE)))


async def read(client: Client, path: str) -> ua.DataValue:
    node = client.get_node(await node_id(client, path))
    found: ua.DataValue = await node.read_data_value(raise_on_bad_status=False)
    return found


def text(value: str | None) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.String)


def minutes(value: float) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.Double)


async def call(client: Client, method: str, *arguments: ua.Variant) -> ua.CallMethodResult:
    """Call a method of Decisions and give the raw answer, whatever it is."""
    request = ua.CallMethodRequest(
        ObjectId=await node_id(client, "Decisions"),
        MethodId=await node_id(client, f"Decisions/{method}"),
        InputArguments=list(arguments),
    )
    results: list[ua.CallMethodResult] = await client.uaclient.session.call([request])
    return results[0]


def words(result: ua.CallMethodResult) -> tuple[str, str, str]:
    """Name of the status code, Result and Message."""
    said = [variant.Value for variant in result.OutputArguments] or ["", "", ""]
    return str(result.StatusCode.name), said[0], said[2]


def with_publishing(
    settings: Settings, *, url: str, endpoint: str, refresh_s: float, **opcua: object
) -> Settings:
    """The configuration with a database and a published server."""
    return settings.model_copy(
        update={
            "store": StoreSettings(url=SecretStr(url), connect_timeout_s=2.0, statement_timeout_s=1.0),
            "publish": PublishSettings(
                opcua=PublishOpcUaSettings.model_validate({"endpoint": endpoint, "users": users(), **opcua}),
                refresh_s=refresh_s,
            ),
        }
    )


@asynccontextmanager
async def running(settings: Settings, plant: Plant, named: Queries) -> AsyncIterator[None]:
    """The publishers as tasks, as the bridge runs them; their errors come out here."""
    async with publishers_of(settings, plant, named, SystemClock()) as publishers:
        tasks = [asyncio.create_task(run_forever(work), name=name) for name, work in publishers.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task


async def run_forever(work: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
    await work(lambda: None)


@asynccontextmanager
async def standing(
    settings: Settings,
    plant: Plant,
    named: Queries,
    hands: Hands,
    *,
    refresh_s: float = 60.0,
    **opcua: object,
) -> AsyncIterator[Stand]:
    """A server that has shown its first snapshot, and an anonymous client at it."""
    parts = urlsplit(hands.url)
    assert parts.hostname
    assert parts.port
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}/agent"
    async with Wire(0, parts.hostname, parts.port) as wire:
        url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{wire.port}").geturl()
        configured = with_publishing(settings, url=url, endpoint=endpoint, refresh_s=refresh_s, **opcua)
        async with running(configured, plant, named):
            stand = Stand(endpoint, hands, wire)
            await until(lambda: listening(endpoint))
            async with stand.client() as stand.view:
                await stand.shows("Agent/Problem", "")
                yield stand


async def listening(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError:
        return False
    writer.close()
    return True
