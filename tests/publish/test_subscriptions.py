"""May one client touch what another has subscribed to, and how much may a client ask for?"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.subscription import Subscription
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError
from publish_stand import PASSWORDS, free_port, listening, node_id, until, users

from bridge.clock import SystemClock
from bridge.domain.reading import Quality
from bridge.publish.nodes import Node, NodeType
from bridge.publish.opcua import PublishedServer
from bridge.publish.snapshot import Feed
from bridge.settings import PublishOpcUaSettings

STATUS = "Agent/Status"


def shown(status: str) -> dict[str, Node]:
    return {STATUS: Node(status, NodeType.STRING, "", datetime.now(UTC), Quality.GOOD, "what it is")}


class Open:
    """A published server without a database, and clients at it."""

    def __init__(self, endpoint: str, feed: Feed) -> None:
        self.endpoint = endpoint
        self.feed = feed

    @asynccontextmanager
    async def client(self, user: str = "") -> AsyncIterator[Client]:
        client = Client(self.endpoint, timeout=20, watchdog_intervall=20)
        if user:
            client.set_user(user)
            client.set_password(PASSWORDS[user])
        async with client:
            yield client


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}/agent"
    feed = Feed()
    feed.put(shown("online"), [])
    configured = PublishOpcUaSettings.model_validate({"endpoint": endpoint, "users": users()})
    server = PublishedServer(configured, feed, None, SystemClock(), agent_id="operations-agent")
    task = asyncio.create_task(server.run())
    try:
        await until(lambda: listening(endpoint), 30.0)
        yield Open(endpoint, feed)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Seen:
    """What a client was told."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def datachange_notification(self, _node: object, value: object, _data: object) -> None:
        self.values.append(value)

    async def has(self, value: object) -> None:
        async def there() -> bool:
            return value in self.values

        await until(there)


async def subscribed(client: Client, seen: Seen) -> tuple[int, int]:
    """Ids of a subscription to the status, and of its one item."""
    subscription: Subscription = await client.create_subscription(50, seen)
    item = await subscription.subscribe_data_change(client.get_node(await node_id(client, STATUS)))
    assert isinstance(item, int)
    assert subscription.subscription_id is not None
    await seen.has("online")
    return subscription.subscription_id, item


async def code(asked: Awaitable[Any]) -> int:
    """Status code of a service, or of the only one of its results."""
    try:
        found = await asyncio.wait_for(asked, 15)
    except UaStatusCodeError as problem:
        return int(problem.code)
    results = found if isinstance(found, list) else [found]
    assert len(results) == 1
    only = getattr(results[0], "StatusCode", results[0])
    assert isinstance(only, ua.StatusCode)
    return int(only.value)


def services(subscription: int, item: int) -> dict[str, Callable[[Any], Awaitable[Any]]]:
    """Every service that names a subscription, as a client would misuse it."""
    number = ua.IntegerId(subscription)
    watched = ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=ua.NodeId(ua.Int32(2258)), AttributeId=AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
    )
    return {
        "stop": lambda s: s.set_publishing_mode(ua.SetPublishingModeParameters(False, [number])),
        "mode": lambda s: s.set_monitoring_mode(
            ua.SetMonitoringModeParameters(number, ua.MonitoringMode.Disabled, [ua.IntegerId(item)])
        ),
        "items": lambda s: s.create_monitored_items(
            ua.CreateMonitoredItemsParameters(number, ua.TimestampsToReturn.Both, [watched])
        ),
        "modify item": lambda s: s.modify_monitored_items(
            ua.ModifyMonitoredItemsParameters(
                number,
                ua.TimestampsToReturn.Both,
                [ua.MonitoredItemModifyRequest(MonitoredItemId=ua.IntegerId(item))],
            )
        ),
        "delete item": lambda s: s.delete_monitored_items(
            ua.DeleteMonitoredItemsParameters(number, [ua.IntegerId(item)])
        ),
        "modify": lambda s: s.modify_subscription(ua.ModifySubscriptionParameters(number)),
        "republish": lambda s: s.republish(subscription, 1),
        "delete": lambda s: s.delete_subscriptions([number]),
    }


async def test_nobody_touches_what_another_session_has_subscribed_to(opened: Open) -> None:
    """Otherwise anybody who may look could make another's screen show old values as good ones."""
    async with opened.client("anna") as one, opened.client("viktor") as other:
        seen = Seen()
        subscription, item = await subscribed(one, seen)
        for name, ask in services(subscription, item).items():
            found = await code(ask(other.uaclient.session))
            assert found == StatusCodes.BadSubscriptionIdInvalid, name
        opened.feed.put(shown("offline"), [])
        await seen.has("offline")
        assert await code(one.uaclient.session.delete_subscriptions([subscription])) == StatusCodes.Good


async def test_a_publish_speaks_of_ones_own_subscriptions_alone(opened: Open) -> None:
    """Acknowledging another's messages would take from it what it may ask for again."""
    async with opened.client("anna") as one, opened.client("viktor") as other:
        subscription, _ = await subscribed(one, Seen())
        ack = ua.SubscriptionAcknowledgement(ua.IntegerId(subscription), ua.Counter(1))
        assert await code(other.uaclient.session.publish([ack])) == StatusCodes.BadNoSubscription
        await subscribed(other, Seen())
        asking = asyncio.create_task(other.uaclient.session.publish([ack]))
        numbers = count()

        async def answered() -> bool:  # in its turn, and only when there is something to tell
            opened.feed.put(shown(f"change {next(numbers)}"), [])
            return asking.done()

        await until(answered)
        answer = await asking
        assert answer.Parameters.Results[0].value == StatusCodes.BadSubscriptionIdInvalid


async def test_a_subscription_moves_between_sessions_of_one_person_only(opened: Open) -> None:
    """Whoever takes over a subscription sees what its owner may see; anonymous is nobody, twice over."""

    async def taken(client: Client, subscription: int) -> int:
        wanted = ua.TransferSubscriptionsParameters([ua.IntegerId(subscription)], True)
        return await code(client.uaclient.session.transfer_subscriptions(wanted))

    async with (
        opened.client("anna") as anna,
        opened.client("anna") as anna_again,
        opened.client("viktor") as viktor,
        opened.client() as nobody,
        opened.client() as nobody_else,
    ):
        of_anna, _ = await subscribed(anna, Seen())
        of_nobody, _ = await subscribed(nobody, Seen())
        assert await taken(viktor, of_anna) == StatusCodes.BadUserAccessDenied
        assert await taken(nobody, of_anna) == StatusCodes.BadUserAccessDenied
        assert await taken(nobody_else, of_nobody) == StatusCodes.BadUserAccessDenied
        assert await taken(anna_again, of_anna) == StatusCodes.Good
        asking = asyncio.create_task(anna_again.uaclient.session.publish([]))
        opened.feed.put(shown("offline"), [])
        answer = await asyncio.wait_for(asking, 15)
        assert answer.Parameters.SubscriptionId == of_anna
        assert await code(anna.uaclient.session.delete_subscriptions([of_anna])) == (
            StatusCodes.BadSubscriptionIdInvalid
        )
        assert await code(anna_again.uaclient.session.delete_subscriptions([of_anna])) == StatusCodes.Good


async def test_no_client_is_served_more_often_than_the_bridge_can(opened: Open) -> None:
    """Whatever it asks for: too little, nothing, less than nothing, or no number at all."""
    for interval_ms in (0.001, 0.0, -5.0, math.nan, math.inf):
        async with opened.client() as client:
            asked = ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=ua.Duration(interval_ms),
                RequestedLifetimeCount=ua.Counter(1000),
                RequestedMaxKeepAliveCount=ua.Counter(100),
                PublishingEnabled=True,
            )
            found = await client.uaclient.session.create_subscription(asked, lambda *_: None)
            assert 50.0 <= found.RevisedPublishingInterval <= 3_600_000.0, interval_ms


async def test_subscriptions_in_all_are_bounded(opened: Open) -> None:
    """One more is refused by name, and those that are there go on."""
    async with opened.client() as client:
        asked = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=ua.Duration(3_600_000.0),
            RequestedLifetimeCount=ua.Counter(1000),
            RequestedMaxKeepAliveCount=ua.Counter(100),
        )
        session = client.uaclient.session
        for _ in range(200):
            await session.create_subscription(asked, lambda *_: None)
        with pytest.raises(UaStatusCodeError) as refused:
            await session.create_subscription(asked, lambda *_: None)
        assert refused.value.code == StatusCodes.BadTooManySubscriptions
