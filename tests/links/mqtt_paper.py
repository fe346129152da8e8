"""A device on paper: the session on plain topics is given its messages and its broker's answers, without a wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from link_bench import tag

from bridge.agent import verify
from bridge.domain.command import Command, Unsettled, Verdict
from bridge.domain.lifecycle import CommandStatus
from bridge.domain.limits import WriteLimits
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Route
from bridge.links.freshness import Freshness
from bridge.links.mqtt_addresses import Topics
from bridge.links.mqtt_message import Answer, Message
from bridge.links.mqtt_topics import PlainSession
from bridge.ports import WriteOutcome
from bridge.settings import MqttLinkSettings

TARGET = tag("T", address="t", limits=WriteLimits(low=0, high=100))
OTHER = tag("O", address="o")
LAST_USABLE = (Quality.UNCERTAIN, "UncertainLastUsableValue")


class Clock:
    def __init__(self) -> None:
        self.utc = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def now_utc(self) -> datetime:
        return self.utc

    def monotonic_s(self) -> float:
        return self.utc.timestamp()

    def pass_by(self, seconds: float) -> None:
        self.utc += timedelta(seconds=seconds)


class StubWire:
    """A broker that takes everything."""

    def __init__(self) -> None:
        self.on_messages: Any = None
        self.on_lost: Any = None
        self.loss = ""
        self.is_open = True
        self.sent: list[dict[str, Any]] = []
        self.acknowledged: list[Message] = []
        self.subscribed: list[tuple[str, int]] = []
        self.unsubscribed: list[str] = []
        self.answer = Answer(False, "Success")
        self.left = asyncio.Event()
        self.remembers = self.holds_back = True

    def send(self, topic: str, payload: bytes, **named: Any) -> asyncio.Future[Answer]:
        said = json.loads(payload) if payload.startswith(b"{") else {}
        self.sent.append({"topic": topic, **said, **named})
        self.left.set()
        taken: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        taken.set_result(self.answer)
        return taken

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.acknowledged += messages

    async def probe(self) -> None:
        pass

    async def room(self) -> None:
        pass

    async def connect(self) -> bool:
        return self.remembers

    async def caught_up(self) -> bool:
        return not self.holds_back

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        self.unsubscribed += filters

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> list[str]:
        self.subscribed += filters
        return [""] * len(filters)

    def cut(self, reason: str) -> None:
        self.loss = reason


class Device:
    """A device on paper: what it says, the session hears at once."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock()
        self.wire = StubWire()
        self.kept_wire = StubWire()
        self.handed: list[Reading] = []
        self.freshness = Freshness([TARGET, OTHER])
        settings = MqttLinkSettings.model_validate({"broker": "mqtt://localhost", **changes})
        self.session = PlainSession(
            self.wire,  # type: ignore[arg-type]
            settings,
            Topics("plant", settings, [TARGET, OTHER]),
            self.freshness,
            self.handed.extend,
            self.clock,
            link="plant",
            storage=self.kept_wire if settings.persistent else None,  # type: ignore[arg-type]
        )

    def say(self, topic: str, retained: bool = False, **content: Any) -> None:
        self.give(topic, json.dumps(content).encode(), retained=retained)

    def give(self, *messages: Any, retained: bool = False, wire: StubWire | None = None) -> None:
        made = [
            Message(topic, payload, retained, 1, False, self.clock.utc, number)
            for number, (topic, payload) in enumerate(zip(messages[::2], messages[1::2], strict=True))
        ]
        (wire or self.wire).on_messages(made)

    def ms(self, seconds: float = 0.0) -> int:
        """This moment by the device's clock, or that many seconds from it."""
        return round((self.clock.utc.timestamp() + seconds) * 1000)

    async def write(self, value: float, *, patience_s: float = 0.0) -> asyncio.Task[list[WriteOutcome]]:
        """Send a set-point; the answer is awaited so long after it has left."""
        self.wire.left.clear()
        until_s = asyncio.get_running_loop().time() + patience_s
        task = asyncio.create_task(self.session.write([(TARGET, value)], until_s))
        await self.wire.left.wait()
        return task

    async def read(self) -> Reading:
        (found,) = await self.session.read([TARGET])
        return found

    async def verdict(self, outcome: WriteOutcome) -> Verdict:
        """When the settle time is over."""
        sent = verify.Sent(command=command(), tag=TARGET, value=42.0, outcome=outcome)
        found = verify.verdict_of(sent, await self.read(), last_look=True)
        assert found is not None
        return found

    async def late_verdict(self) -> Verdict:
        """When the lease is over."""
        return verify._late_verdict(unsettled(), TARGET, await self.read())


def command() -> Command:
    return Command(
        command_id="C-1",
        recommendation_id="R-1",
        equipment_id="E1",
        tag_path=TARGET.path,
        sequence=1,
        expected_value=10.0,
        new_value=42.0,
        unit="",
        claimed_by="bridge",
        lease_left_s=15.0,
        proposed_writes_text="[]",
        approved_digest="",
    )


def unsettled() -> Unsettled:
    return Unsettled(
        command_id="C-1",
        recommendation_id="R-1",
        tag_path=TARGET.path,
        expected_value=10.0,
        new_value=42.0,
        unit="",
        route=Route.MQTT,
        status=CommandStatus.UNKNOWN,
        sent_utc=datetime(2026, 5, 1, tzinfo=UTC),
        sent_s_ago=20.0,
    )
