"""The TagLink to Sparkplug B edge nodes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from bridge.domain.reading import Reading
from bridge.domain.tag import Tag
from bridge.errors import AccessDenied, ConfigError, TryAgain
from bridge.links.freshness import Freshness
from bridge.links.mqtt import MqttWire
from bridge.links.mqtt_message import Will
from bridge.links.mqtt_security import in_the_clear
from bridge.links.mqtt_session import client_id, pace
from bridge.links.reading_queue import ReadingQueue
from bridge.links.sparkplug import Host
from bridge.links.sparkplug_commands import Facts
from bridge.links.sparkplug_readings import METRIC_TYPES
from bridge.links.sparkplug_session import SparkplugSession
from bridge.links.supervision import SupervisedLink
from bridge.ports import Clock
from bridge.settings.links import SparkplugLinkSettings
from bridge.sparkplug.types import PropertySet

_LOOK_S = 0.1


class SparkplugLink(SupervisedLink):
    """Edge nodes behind one broker, with this bridge as a host application. ConfigError lists bad addresses."""

    def __init__(self, name: str, settings: SparkplugLinkSettings, tags: Sequence[Tag], clock: Clock) -> None:
        freshness = Freshness(tags)
        queue = ReadingQueue(capacity_values=settings.buffer_values)
        super().__init__(
            name,
            freshness,
            queue,
            pace=pace(settings),
            clock=clock,
            session=lambda: self._make(self._host, freshness, queue.put, client_id(settings, name)),
        )
        self._settings = settings
        self._host = self._new_host(primary=settings.primary)

    def _new_host(self, *, primary: bool) -> Host:
        settings = self._settings
        try:
            return Host(
                settings.host_id,
                self._freshness.tags,
                primary=primary,
                reorder_ms=settings.reorder_ms,
                rebirth_every_ms=settings.rebirth_every_s * 1000,
                max_bytes=settings.max_message_bytes,
            )
        except ValueError as problem:
            raise ConfigError(
                [f"link {self._name}: tag {line}" for line in str(problem).splitlines()]
            ) from problem

    def _make(
        self, host: Host, freshness: Freshness, sink: Callable[[list[Reading]], None], id: str
    ) -> SparkplugSession:
        last = host.will(int(self._clock.now_utc().timestamp() * 1000))
        will = (
            None
            if last is None
            else Will(topic=last.topic, payload=last.payload, qos=last.qos, retain=last.retain)
        )
        wire = MqttWire(self._settings, self._clock, client_id=id, will=will)
        expiry_s = math.ceil(self._settings.deadline_s)
        return SparkplugSession(wire, host, freshness, sink, self._clock, link=self._name, expiry_s=expiry_s)

    async def check(self) -> list[str]:
        """Connect once under another client id, ask the nodes for births, and list all problems found.

        Looks at encryption, the broker's refusals, nodes and devices that do not answer within `refresh_s`,
        metrics that no birth announces, types, readOnly, and engLow and engHigh against limits. Publishes no
        STATE, so that nodes do not take this look for their host.
        """
        settings = self._settings
        clear = in_the_clear(settings)
        found = [f"link {self._name}: {clear}"] if clear else []
        host = self._new_host(primary=False)
        freshness = Freshness(self._freshness.tags)
        session = self._make(host, freshness, _nothing, f"{client_id(settings, self._name)}-check")
        try:
            await session.open()
            refusals = await session.subscribe(range(len(freshness.tags)))
            until_s = self._clock.monotonic_s() + settings.refresh_s
            while self._clock.monotonic_s() < until_s and any(host.problems()):
                await asyncio.sleep(_LOOK_S)
                await session.probe()
            problems = host.problems()
            facts = [host.facts(tag) for tag in freshness.tags]
        except (TryAgain, AccessDenied) as problem:
            return [*found, f"link {self._name}: {problem}"]
        finally:
            await session.close()
        for handle, tag in enumerate(freshness.tags):
            found += _findings(tag, refusals.get(handle), problems, facts[handle], settings.refresh_s)
        return found


def _findings(
    tag: Tag, refusal: str | None, problems: Mapping[str, str], facts: Facts | None, waited_s: float
) -> Iterator[str]:
    """Everything that is wrong with one tag."""
    where = f"tag {tag.path} ({tag.address})"
    if refusal is not None:
        yield f"{where}: {refusal}"
        return
    if facts is None:
        why = problems.get(tag.path, "not announced")
        yield f"{where}: {why}, {waited_s:g} s after a birth was asked for; correct the address or start the node"
        return
    wanted = METRIC_TYPES[tag.data_type]
    if facts.type is not wanted:
        yield f"{where}: wanted {wanted}, found {facts.type} in the birth; correct data_type"
    if tag.limits is None:
        return
    if facts.read_only:
        yield f"{where}: configured as a set-point, but its birth says readOnly"
    low, high = _number(facts.properties, "engLow"), _number(facts.properties, "engHigh")
    if low is not None and high is not None and not (low <= tag.limits.low and tag.limits.high <= high):
        yield (
            f"{where}: limits {tag.limits.low:g} to {tag.limits.high:g} reach outside the node's range "
            f"{low:g} to {high:g} (engLow, engHigh); narrow the limits"
        )


def _number(properties: PropertySet, name: str) -> float | None:
    said = properties.get(name)
    if said is None or isinstance(said.value, bool) or not isinstance(said.value, int | float):
        return None
    return float(said.value)


def _nothing(_: object) -> None:
    """Nobody listens: check looks at what the births say."""
