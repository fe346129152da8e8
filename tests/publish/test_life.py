"""Does the server start, restart and end as it should, beside the agent and with ten thousand nodes?"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from publish_stand import (
    Stand,
    call,
    free_port,
    listening,
    node_id,
    read,
    running,
    standing,
    text,
    until,
    users,
    with_publishing,
    words,
)
from rig import Hands

from bridge.clock import SystemClock
from bridge.domain.reading import Quality
from bridge.errors import AccessDenied, ConfigError, FixConfiguration
from bridge.plant import Plant
from bridge.publish.nodes import Node, NodeType
from bridge.publish.opcua import PublishedServer
from bridge.publish.snapshot import Feed
from bridge.settings import PublishOpcUaSettings, Settings
from bridge.store.queries import Queries


def server(feed: Feed | None = None, **opcua: object) -> PublishedServer:
    configured = PublishOpcUaSettings.model_validate({"users": users(), **opcua})
    return PublishedServer(configured, feed or Feed(), None, SystemClock(), agent_id="operations-agent")


async def test_a_taken_port_is_said_and_the_server_comes_up_when_it_is_free() -> None:
    """The message must name the setting, the port and what to do; the next attempt must work."""
    port = free_port()
    feed = Feed()
    feed.put({}, [])
    made = server(feed, endpoint=f"opc.tcp://127.0.0.1:{port}/agent")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(
            FixConfiguration, match=rf"publish\.opcua\.endpoint: .* port {port}: .*choose another port"
        ):
            await made.run()
    again = asyncio.create_task(made.run())
    await until(lambda: listening(f"opc.tcp://127.0.0.1:{port}/agent"))
    again.cancel()
    with pytest.raises(asyncio.CancelledError):
        await again
    assert not await listening(f"opc.tcp://127.0.0.1:{port}/agent")


async def test_what_cannot_work_is_refused_before_anything_listens(tmp_path: Path) -> None:
    """No way in for anybody, certificates that are none, and a user with the agent's own name."""
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}/agent"
    with pytest.raises(FixConfiguration, match="nobody may log in"):
        await server(users={}, anonymous=False, endpoint=endpoint).run()
    missing: dict[str, Any] = {
        "security": "Basic256Sha256",
        "certificate": tmp_path / "a",
        "private_key": tmp_path / "b",
    }
    with pytest.raises(AccessDenied, match="cannot be read"):
        await server(endpoint=endpoint, **missing).run()
    with pytest.raises(ConfigError, match="the agent's own name"):
        server(users={" Operations-AGENT": users()["anna"]})
    with pytest.raises(FixConfiguration, match=r"cannot listen on 203\.0\.113\.7"):
        await server(users={}, endpoint="opc.tcp://203.0.113.7:4850/agent").run()


async def test_after_a_restart_the_same_nodes_are_back_and_sessions_left_behind_are_closed(
    settings: Settings, plant: Plant, named: Queries, hands: Hands
) -> None:
    """A killed bridge leaves its sessions open in the database; the next one must close those, and only those."""
    hands.operator.execute(
        "insert into operator_sessions (session_id, operator_id, may_decide) values"
        " ('opcua operations-agent 0123/anna', 'anna', true), ('opcua operations-agent2 0123/otto', 'otto', true),"
        " ('hmi/opcua operations-agent /eva', 'eva', true)"
    )
    ids = []
    for _ in range(2):
        async with standing(settings, plant, named, hands) as stand:
            found = await node_id(stand.view, "Equipment/REACTOR_01/Recommendation/Id")
            ids.append(found)
            assert await stand.value("Agent/Id") == "operations-agent"

            async def closed() -> bool:
                return bool(
                    hands.value("select count(*) from operator_sessions where status = 'closed'") == 1
                )

            await until(closed)
            async with stand.client("anna"):
                pass
        left = hands.owner.execute(
            "select operator_id from operator_sessions where status = 'active'"
        ).fetchall()
        assert sorted(row["operator_id"] for row in left) == ["eva", "otto"]
        hands.operator.execute(
            "update operator_sessions set status = 'active' where session_id like 'opcua operations-agent 0123%'"
        )
        hands.owner.execute("delete from operator_sessions where operator_id = 'anna' and status = 'closed'")
    assert ids[0] == ids[1]


async def test_ending_closes_the_sessions_that_are_open(
    settings: Settings, plant: Plant, named: Queries, hands: Hands
) -> None:
    """Nobody is logged in at a server that has ended."""
    client: Client | None = None
    async with standing(settings, plant, named, hands) as stand:
        client = Client(stand.endpoint, timeout=20, watchdog_intervall=20)
        client.set_user("anna")
        client.set_password("correct horse")
        await client.connect()

        async def there() -> bool:
            return bool(hands.value("select count(*) from operator_sessions where status = 'active'"))

        await until(there)
    assert hands.value("select count(*) from operator_sessions where status = 'active'") == 0
    await client.disconnect()


async def test_viewers_alone_need_no_operators_login(
    settings: Settings, plant: Plant, named: Queries, hands: Hands
) -> None:
    """Without anybody who may decide, the operator's database is not even asked for, and nobody decides."""
    viewers = {"viktor": users()["viktor"]}
    async with standing(settings, plant, named, hands, users=viewers) as stand:
        made = hands.propose()
        await stand.shows("Equipment/REACTOR_01/Recommendation/Id", made)
        digest = await stand.value("Equipment/REACTOR_01/Recommendation/Digest")
        async with stand.client("viktor") as viktor:
            result = await call(viktor, "Approve", text(made), text(digest), text(""))
    assert words(result)[:2] == ("BadUserAccessDenied", "not_permitted")


async def test_a_login_that_may_not_decide_is_told_at_the_start(
    settings: Settings, plant: Plant, named: Queries, hands: Hands
) -> None:
    """operator_url without the role must end the start with its sentence, not every approval."""
    hands.owner.execute("create role only_agent_of_publish login password 'pw' in role bridge_agent")
    url = hands.url.split("@")[1]
    try:
        configured = with_publishing(
            settings,
            url=f"postgresql://only_agent_of_publish:pw@{url}",
            endpoint=f"opc.tcp://127.0.0.1:{free_port()}/agent",
            refresh_s=5.0,
        )
        with pytest.raises(AccessDenied, match="let the owner of the database grant that role"):
            async with running(configured, plant, named):
                pass
    finally:
        hands.owner.execute("drop role only_agent_of_publish")


def many(number: int, value: float) -> dict[str, Node]:
    return {
        f"Equipment/E{index // 20:04d}/Group/V{index % 20:02d}": Node(
            value + index, NodeType.DOUBLE, "", SystemClock().now_utc(), Quality.GOOD, "one of many"
        )
        for index in range(number)
    }


class Changes:
    """Counts what a subscription brings."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.count = 0

    def datachange_notification(self, node: object, value: float, _data: object) -> None:
        self.values[str(node)] = value
        self.count += 1


MANY = 3000


async def test_many_nodes_are_updated_by_their_differences_only() -> None:
    """All can be subscribed to; a change of a hundred must bring a hundred notifications and no more."""
    port = free_port()
    feed = Feed()
    first = many(MANY, 0.0)
    feed.put(first, [])
    task = asyncio.create_task(server(feed, endpoint=f"opc.tcp://127.0.0.1:{port}/agent").run())
    try:
        await until(lambda: listening(f"opc.tcp://127.0.0.1:{port}/agent"), 60.0)
        async with Client(f"opc.tcp://127.0.0.1:{port}/agent", timeout=30, watchdog_intervall=20) as client:
            heard = Changes()
            subscription = await client.create_subscription(100, heard, queue_maxsize=50_000)
            index = (await node_id(client, "")).NamespaceIndex
            nodes = [client.get_node(ua.NodeId(ua.String(path), index)) for path in first]
            for begin in range(0, MANY, 1000):
                await subscription.subscribe_data_change(nodes[begin : begin + 1000])

            async def all_heard() -> bool:
                return len(heard.values) == MANY

            await until(all_heard, 60.0)
            heard.count = 0
            paths = list(first)
            untouched = paths[MANY // 2]
            before = await read(client, untouched)
            changed = dict(first)
            for path in (*paths[:100], paths[-1]):  # the last one is shown last
                changed[path] = first[path]._replace(value=-1.0)
            feed.put(changed, [])

            async def all_changes() -> bool:
                return heard.count >= 101

            await until(all_changes)
            assert heard.count == 101
            assert sum(value == -1.0 for value in heard.values.values()) == 101
            # The library drops by itself what is equal; that it was not even given to it shows in its time.
            assert (await read(client, untouched)).ServerTimestamp == before.ServerTimestamp
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_showing_many_nodes_does_not_stop_the_agents_loop() -> None:
    """The server lives in the agent's process: building and showing everything must give way again and again."""
    port = free_port()
    feed = Feed()
    feed.put({}, [])
    task = asyncio.create_task(server(feed, endpoint=f"opc.tcp://127.0.0.1:{port}/agent").run())
    try:
        await until(lambda: listening(f"opc.tcp://127.0.0.1:{port}/agent"), 60.0)
        shown = many(MANY, 0.0)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with Client(f"opc.tcp://127.0.0.1:{port}/agent", timeout=30, watchdog_intervall=20) as client:

            async def all_there() -> bool:
                return (await read(client, list(shown)[-1])).StatusCode == ua.StatusCode()

            feed.put(shown, [])
            counting = asyncio.create_task(count())
            await until(all_there, 60.0)
            counting.cancel()
        assert turns >= MANY / 150  # it gives way after a hundred
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_new_equipment_gets_its_nodes_while_clients_are_there(stand: Stand) -> None:
    """Equipment that another agent proposes for has no nodes before; clients must find them at once."""
    stand.hands.propose(equipment_id="FOREIGN_9", writes=[])
    await stand.shows("Equipment/FOREIGN_9/Recommendation/Severity", "high", 2.0)
    parent = stand.view.get_node(await node_id(stand.view, "Equipment/FOREIGN_9/Recommendation"))
    assert len(await parent.get_children()) >= 17
