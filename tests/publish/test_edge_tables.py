"""Do the agent's tables reach a Sparkplug subscriber, with the same content as the OPC UA server shows?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from edge_stand import Host, Mosquitto, Watcher, mosquitto, sparkplug
from publish_stand import running
from pydantic import SecretStr
from rig import Hands

from bridge.plant import Plant
from bridge.publish.nodes import nodes
from bridge.publish.state import View
from bridge.settings import PublishSettings, Settings, StoreSettings
from bridge.store.queries import Queries
from simulator.wire import Wire


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as made:
        yield made


async def test_the_tables_reach_a_subscriber(
    broker: Mosquitto, tmp_path: Path, settings: Settings, plant: Plant, named: Queries, hands: Hands
) -> None:
    """A recommendation and its end as data; a lost database as stale values, and back."""
    await broker.start()
    parts = urlsplit(hands.url)
    assert parts.hostname
    assert parts.port
    async with Wire(0, parts.hostname, parts.port) as wire, Watcher(broker) as watcher:
        url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{wire.port}").geturl()
        configured = settings.model_copy(
            update={
                "store": StoreSettings(url=SecretStr(url), connect_timeout_s=2.0, statement_timeout_s=1.0),
                "publish": PublishSettings(sparkplug=sparkplug(broker.url, tmp_path), refresh_s=60.0),
            }
        )
        async with running(configured, plant, named):
            paths = {
                path.removeprefix("Equipment/").replace("/", ":", 1)
                if path.startswith("Equipment/")
                else path
                for path in nodes(View(agent_id=settings.agent.id, equipment=tuple(plant.equipment)))
            }
            everything = paths | {"bdSeq", "Node Control/Rebirth"}
            await watcher.sees(lambda host: host.values.keys() == everything)
            armed = watcher.host.heard[0].by_name["Control/Armed"]
            assert armed.properties["Quality"].value == 192, "births wait for the first look"
            made = hands.propose()
            await watcher.sees(shows("REACTOR_01:Recommendation/Id", made))
            await watcher.sees(shows("Counts/pending/high", 1))
            await wire.cut()
            await watcher.sees(shows("Agent/Status", "database_away"))
            await watcher.sees(lambda host: host.qualities["REACTOR_01:Recommendation/Id"] == 500)
            assert watcher.host.values["REACTOR_01:Recommendation/Id"] == made
            hands.approve(made)
            await wire.restore()
            await watcher.sees(shows("REACTOR_01:Recommendation/Status", "approved"))
            await watcher.sees(lambda host: host.qualities["REACTOR_01:Recommendation/Id"] == 192)


def shows(name: str, value: object) -> Callable[[Host], bool]:
    def shown(host: Host) -> bool:
        return host.values.get(name) == value

    return shown
