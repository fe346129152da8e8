"""The link to Sparkplug edge nodes keeps the contract of every TagLink; over MQTT 3.1.1, as most nodes speak it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from contract import TagLinkContract
from link_bench import watched
from mqtt_bench import SPARKPLUG, Broker, DeviceProcess, MqttBench, sparkplug_link

from simulator.wire import Wire


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def device(broker: Broker) -> Iterator[DeviceProcess]:
    device = DeviceProcess("sparkplug", broker.port, "bridge")
    yield device
    device.kill()


@pytest.fixture
async def bench(broker: Broker, device: DeviceProcess) -> AsyncIterator[MqttBench]:
    mark = len(await device.writes())
    async with (
        Wire(0, "127.0.0.1", broker.port) as wire,
        watched(sparkplug_link(f"mqtt://127.0.0.1:{wire.port}", version="3.1.1")) as watching,
    ):
        await watching.until_flowing()
        yield MqttBench(device, wire, watching, SPARKPLUG, mark)


class TestSparkplugLink(TagLinkContract):
    pass
