"""What a read over MQTT is worth after a command: nothing but a device's newer word says what became of it.

No broker: the session on plain topics is given its messages, and `bridge.agent.verify` judges what it reads.
"""

from __future__ import annotations

from typing import Any

import pytest
from link_bench import tag
from mqtt_paper import LAST_USABLE, Clock, Device, StubWire
from structlog.testing import capture_logs

from bridge.domain.lifecycle import CommandStatus
from bridge.domain.limits import RefusalCode, WriteLimits
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import Tag
from bridge.links.freshness import Freshness
from bridge.links.mqtt_message import Answer, Message
from bridge.links.mqtt_payload import Format
from bridge.links.sparkplug import Host
from bridge.links.sparkplug_node import Node
from bridge.links.sparkplug_session import SparkplugSession
from bridge.ports import WriteOutcome, WriteResult
from bridge.sparkplug.payload import encode
from bridge.sparkplug.topics import Verb, topic
from bridge.sparkplug.types import Metric, MetricType, Payload


async def confirmed(device: Device, **content: Any) -> WriteOutcome:
    """A set-point that the device answers with these words."""
    task = await device.write(42.0, patience_s=5)
    device.clock.pass_by(0.1)
    device.say("t/confirmed", id=device.wire.sent[-1]["id"], **content)
    (outcome,) = await task
    return outcome


async def unconfirmed(device: Device) -> WriteOutcome:
    """A set-point that nobody answers."""
    (outcome,) = await (await device.write(42.0))
    assert outcome.result is WriteResult.UNKNOWN
    return outcome


async def test_a_value_is_confirmed_until_a_command_is_sent() -> None:
    device = Device()
    device.say("t", value=10.0, timestamp=device.ms())
    assert (await device.read()).confirmed
    await unconfirmed(device)
    found = await device.read()
    assert (found.value, found.quality, found.status, found.confirmed) == (10.0, *LAST_USABLE, False)


async def test_a_device_that_confirms_and_publishes_nothing_has_executed() -> None:
    """Its topic may be silent for longer than anybody waits; what it confirmed is its newest word."""
    device = Device()
    device.say("t", value=10.0, timestamp=device.ms())
    device.clock.pass_by(20)
    told_ms = device.ms(0.05)
    outcome = await confirmed(device, value=42.0, accepted=True, timestamp=told_ms)
    assert outcome.result is WriteResult.ACCEPTED
    found = await device.read()
    assert (found.value, found.quality, found.confirmed) == (42.0, Quality.GOOD, True)
    assert round(found.source_time_utc.timestamp() * 1000) == told_ms
    verdict = await device.verdict(outcome)
    assert (verdict.status, verdict.code) == (CommandStatus.EXECUTED, None)
    assert [r.value for r in device.handed] == [10.0], "what the topic shows is what is stored"


async def test_a_yes_without_the_value_is_no_word_on_the_tag() -> None:
    device = Device()
    device.say("t", value=10.0, timestamp=device.ms())
    outcome = await confirmed(device, accepted=True)
    assert outcome.result is WriteResult.ACCEPTED
    verdict = await device.verdict(outcome)
    assert (verdict.status, verdict.code) == (CommandStatus.UNKNOWN, RefusalCode.NOT_CONFIRMED)
    device.clock.pass_by(1)
    device.say("t", value=10.0, timestamp=device.ms())
    verdict = await device.verdict(outcome)
    assert (verdict.status, verdict.code) == (CommandStatus.FAILED, RefusalCode.READ_BACK_DIFFERS)


async def test_an_old_value_never_says_that_nothing_was_written() -> None:
    """Its device was away perhaps, and the command reaches it still."""
    device = Device()
    device.say("t", value=10.0, timestamp=device.ms())
    device.clock.pass_by(1)
    await unconfirmed(device)
    device.clock.pass_by(20)
    assert (await device.late_verdict()).status is CommandStatus.UNKNOWN
    device.say("t", value=10.0, timestamp=device.ms(-20.5))
    assert (await device.late_verdict()).status is CommandStatus.UNKNOWN, "measured before the sending"
    device.say("t", value=10.0, timestamp=device.ms())
    verdict = await device.late_verdict()
    assert (verdict.status, verdict.reason.split(":")[0]) == (CommandStatus.FAILED, "not written")


async def test_the_value_sent_is_newer_by_any_clock() -> None:
    device = Device()
    device.say("t", value=10.0, timestamp=device.ms(-6))
    await unconfirmed(device)
    device.clock.pass_by(1)
    device.say("t", value=42.0, timestamp=device.ms(-5))
    assert (await device.late_verdict()).status is CommandStatus.EXECUTED


async def test_a_value_without_a_time_is_as_new_as_its_arrival() -> None:
    device = Device()
    device.say("t", value=10.0)
    device.clock.pass_by(1)
    await unconfirmed(device)
    assert (await device.late_verdict()).status is CommandStatus.UNKNOWN
    device.clock.pass_by(1)
    device.say("t", value=10.0)
    assert (await device.late_verdict()).status is CommandStatus.FAILED


async def test_a_confirmation_that_comes_too_late_for_the_outcome_is_still_a_word() -> None:
    device = Device()
    device.say("t", value=10.0, timestamp=device.ms())
    await unconfirmed(device)
    device.clock.pass_by(5)
    device.say("t/confirmed", id=device.wire.sent[-1]["id"], value=42.0, accepted=True)
    assert (await device.late_verdict()).status is CommandStatus.EXECUTED


async def test_what_was_refused_leaves_the_value_as_good_as_it_was() -> None:
    device = Device()
    device.say("t", value=10.0, timestamp=device.ms())
    device.clock.pass_by(1)
    assert (await confirmed(device, accepted=False)).result is WriteResult.REFUSED
    assert (await device.read()).quality is Quality.GOOD
    device.wire.answer = Answer(False, "No matching subscribers", True)
    (outcome,) = await (await device.write(43.0))
    assert outcome.result is WriteResult.REFUSED
    assert (await device.read()).quality is Quality.GOOD
    device.wire.answer = Answer(False, "Success")
    await unconfirmed(device)
    assert (await confirmed(device, accepted=False)).result is WriteResult.REFUSED
    assert (await device.read()).quality is Quality.UNCERTAIN, "the one before it may still take effect"


# --- one message among others ---


async def test_a_message_that_nobody_foresaw_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Format, document: object, *given: Any) -> Any:
        if isinstance(document, dict) and document["value"] == 13:
            raise OverflowError("int too large to convert to float")
        return plain(self, document, *given)

    plain = Format.read
    monkeypatch.setattr(Format, "read", read)
    device = Device(persistent=True, client_id="kept")
    device.kept_wire.remembers = False
    await device.session.open()
    with capture_logs() as logs:
        device.give(
            *("t", b'{"value": 1}', "t", b'{"value": 13}', "t", b'{"value": 13}', "o", b'{"value": 2}'),
            wire=device.kept_wire,
        )
    assert [(r.value, r.status) for r in device.handed] == [
        (1.0, "Good"),
        (None, "BadInternalError"),
        (None, "BadInternalError"),
        (2.0, "Good"),
    ]
    assert device.session.failed == 2
    assert [entry["topic"] for entry in logs if entry["event"] == "link.message_failed"] == ["t"]


async def test_a_confirmation_that_nobody_foresaw_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def confirmation(*_: Any) -> None:
        raise RecursionError("deep")

    monkeypatch.setattr(Format, "confirmation", confirmation)
    device = Device()
    device.give("t/confirmed", b"{}", "t/confirmed", b"{}", "t", b'{"value": 1}')
    assert device.session.failed == 2
    assert [reading.value for reading in device.handed] == [1.0]


def _host_session(*tags: Tag, wire: StubWire, handed: list[Reading]) -> SparkplugSession:
    return SparkplugSession(
        wire,  # type: ignore[arg-type]
        Host("bridge", tags),
        Freshness(tags),
        handed.extend,
        Clock(),
        link="plant",
        expiry_s=3,
    )


def _birth(seq: int, *, node: str = "N", value: float = 1.0) -> tuple[str, bytes]:
    metrics = (
        Metric(name="bdSeq", type=MetricType.INT64, value=0),
        Metric(name="T", alias=1, type=MetricType.DOUBLE, value=value),
    )
    verb = Verb.NDATA if seq else Verb.NBIRTH
    at_ms = round(Clock().utc.timestamp() * 1000)
    return topic(verb, "G", node), encode(Payload(timestamp_ms=at_ms, seq=seq, metrics=metrics[bool(seq) :]))


def _heard(*said: tuple[str, bytes]) -> list[Message]:
    return [Message(where, data, False, 0, False, Clock().utc, 0) for where, data in said]


async def test_a_message_of_a_node_that_nobody_foresaw_puts_that_node_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def take(self: Node, verb: Verb, *given: Any) -> None:
        if verb is Verb.NDATA and self.node == "N":
            raise IndexError("nobody thought of it")
        plain(self, verb, *given)

    plain = Node.take
    monkeypatch.setattr(Node, "take", take)
    wire, handed = StubWire(), list[Reading]()
    tags = [tag(name, address=f"G/{name}:T") for name in ("N", "M")]
    session = _host_session(*tags, wire=wire, handed=handed)
    wire.on_messages(_heard(_birth(0), _birth(0, node="M"), _birth(1), _birth(1, node="M", value=2.0)))
    assert [(r.tag.path, r.value) for r in handed] == [
        ("[default]N", 1.0),
        ("[default]M", 1.0),
        ("[default]M", 2.0),
    ]
    assert session.failed == 1
    assert [r.quality for r in await session.read(tags)] == [Quality.UNCERTAIN, Quality.GOOD]
    assert [sent["topic"] for sent in wire.sent] == ["spBv1.0/G/NCMD/N"], "asked for a birth"


async def test_topics_of_invented_devices_are_not_remembered_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def take(*_: Any) -> None:
        raise IndexError("nobody thought of it")

    monkeypatch.setattr(Node, "take", take)
    wire = StubWire()
    session = _host_session(tag("N", address="G/N/D:T"), wire=wire, handed=[])
    data = _birth(1)[1]
    topics = [f"spBv1.0/G/DDATA/N/D{number}" for number in range(3_000)]
    with capture_logs() as logs:
        for where in topics + topics[:10]:
            wire.on_messages(_heard((where, data)))
            wire.on_messages([Message(where, b"", False, 0, False, Clock().utc, 0, 10**8)])
    assert session.failed == 3_010, "each is counted"
    told = [entry["topic"] for entry in logs if entry["event"] == "link.message_failed"]
    too_long = [entry["topic"] for entry in logs if entry["event"] == "link.message_too_long"]
    assert told == too_long == topics[:1_000]
    assert len(session._failed_topics) == len(session._too_long) == 1_000


# --- late delivery ---


async def test_a_command_to_a_node_expires_with_the_patience_for_it() -> None:
    wire = StubWire()
    target = tag("N", address="G/N:T", limits=WriteLimits(low=0, high=100))
    session = _host_session(target, wire=wire, handed=[])
    await session.subscribe([0])
    wire.on_messages(_heard(_birth(0)))
    (outcome,) = await session.write([(target, 2.0)], 0.0)
    assert outcome.result is WriteResult.UNKNOWN
    assert (wire.sent[-1]["topic"], wire.sent[-1]["qos"], wire.sent[-1]["expiry_s"]) == (
        "spBv1.0/G/NCMD/N",
        0,
        3,
    )
    session.drop("the test is over")


@pytest.mark.parametrize(
    ("given", "qos"), [({}, 1), ({"version": "3.1.1"}, 0), ({"version": "3.1.1", "command_qos": 1}, 1)]
)
async def test_a_command_that_cannot_expire_does_not_wait_at_the_broker(
    given: dict[str, Any], qos: int
) -> None:
    device = Device(deadline_s=2.5, **given)
    await unconfirmed(device)
    assert (device.wire.sent[-1]["qos"], device.wire.sent[-1]["expiry_s"]) == (qos, 3)
