"""Are commands made as the birth demands, refused by name, and confirmed by nothing but the node's own report?"""

from __future__ import annotations

import struct
from typing import Any

import pytest
from sparkplug_edge import DEVICE, GROUP, NODE, T0, Edge, connected, metric, tag

from bridge.agent import verify
from bridge.domain.command import Unsettled
from bridge.domain.lifecycle import CommandStatus
from bridge.domain.reading import Quality
from bridge.domain.tag import DataType, Route, Tag, Value
from bridge.links.sparkplug_commands import Command
from bridge.links.sparkplug_effects import utc
from bridge.ports import WriteOutcome, WriteResult
from bridge.sparkplug.payload import decode
from bridge.sparkplug.topics import Verb
from bridge.sparkplug.types import Metric, MetricType, PropertyValue

T = MetricType
SPEED = tag("Speed", writable=True)
LAST_USABLE = (Quality.UNCERTAIN, "UncertainLastUsableValue")


def alive(target: Tag = SPEED, kind: MetricType = T.DOUBLE, value: Any = 1.0, **said: Any) -> Edge:
    """A device that announces one set-point, by default under the alias 5."""
    edge = connected(target)
    edge.nbirth()
    said.setdefault("alias", 5)
    edge.dbirth(metric("Speed", value, kind, **said))
    return edge


def command(edge: Edge, value: Value, target: Tag = SPEED) -> Command:
    """A command that must not be refused."""
    made = edge.host.command(target, value, edge.now_ms)
    assert isinstance(made, Command), made
    return made


def refused(edge: Edge, value: Value = 2.0, target: Tag = SPEED) -> WriteOutcome:
    """A command that must be refused."""
    made = edge.host.command(target, value, edge.now_ms)
    assert isinstance(made, WriteOutcome), made
    return made


def test_a_device_command_goes_by_name_with_the_type_of_the_birth_and_without_seq() -> None:
    edge = alive()
    made = command(edge, 12.5)
    assert (made.send.topic, made.send.qos, made.send.retain) == (
        f"spBv1.0/{GROUP}/DCMD/{NODE}/{DEVICE}",
        0,
        False,
    )
    said = decode(made.send.payload)
    assert (said.seq, said.timestamp_ms) == (None, T0)
    assert said.metrics == (Metric("Speed", None, T0, T.DOUBLE, 12.5),), "an alias may have moved unseen"
    assert (made.handle, made.sent_ms) == (0, T0)


def test_a_command_goes_by_name_where_the_birth_gave_no_alias() -> None:
    edge = alive(alias=None)
    assert decode(command(edge, 3.0).send.payload).metrics == (Metric("Speed", None, T0, T.DOUBLE, 3.0),)


def test_a_metric_of_the_node_is_commanded_by_ncmd() -> None:
    own = tag("Scan Rate", DataType.INT64, device="", writable=True)
    edge = connected(own)
    edge.nbirth(metric("Scan Rate", 3000, T.INT64))
    made = edge.host.command(own, 1000, T0)
    assert isinstance(made, Command)
    assert made.send.topic == f"spBv1.0/{GROUP}/NCMD/{NODE}"
    assert edge.ndata(metric("Scan Rate", 1000, T.INT64)).confirmed == [made.number]


@pytest.mark.parametrize(
    ("data_type", "kind", "value"),
    [
        (DataType.SBYTE, T.INT8, -5),
        (DataType.INT16, T.INT16, -32768),
        (DataType.INT32, T.INT32, -1),
        (DataType.INT64, T.INT64, -(2**53)),
        (DataType.BYTE, T.UINT8, 255),
        (DataType.UINT16, T.UINT16, 65535),
        (DataType.UINT32, T.UINT32, 2**32 - 1),
        (DataType.UINT64, T.UINT64, 2**63),
        (DataType.BOOLEAN, T.BOOLEAN, False),
        (DataType.FLOAT, T.FLOAT, 0.5),
        (DataType.DOUBLE, T.DOUBLE, 0.1),
    ],
)
def test_every_type_is_commanded_exactly_and_confirmed(
    data_type: DataType, kind: MetricType, value: Value
) -> None:
    target = tag("Speed", data_type, writable=True)
    edge = alive(target, kind, type(value)(1))
    made = command(edge, value, target)
    (said,) = decode(made.send.payload).metrics
    assert (said.type, said.value, type(said.value)) == (kind, value, type(value))
    assert edge.ddata(metric(None, value, kind, alias=5)).confirmed == [made.number]


def test_a_whole_number_for_a_double_is_sent_as_the_double_it_stands_for() -> None:
    edge = alive()
    made = command(edge, 3)
    (said,) = decode(made.send.payload).metrics
    assert (said.value, type(said.value)) == (3.0, float)
    assert edge.ddata(metric(None, 3.0, alias=5)).confirmed == [made.number]


def test_a_float_is_confirmed_by_what_a_float_can_hold() -> None:
    target = tag("Speed", DataType.FLOAT, writable=True)
    edge = alive(target, T.FLOAT)
    made = command(edge, 0.1, target)
    (rounded,) = struct.unpack("<f", struct.pack("<f", 0.1))
    assert rounded != 0.1
    assert edge.ddata(metric(None, rounded, T.FLOAT, alias=5)).confirmed == [made.number]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": 11.9}, "the node reports float 11.9 instead"),
        ({"timestamp_ms": T0 - 1}, "a time 1 ms too early"),
        ({"timestamp_ms": T0 - 5_000}, "a time 5000 ms too early; compare the clocks"),
        ({"properties": {"Quality": PropertyValue(T.INT32, 0)}}, "and it is Bad"),
        ({"properties": {"Quality": PropertyValue(T.INT32, 500)}}, "calls it stale"),
        ({"type": T.INT32, "value": 12}, "no value instead"),
        ({"is_historical": True}, ""),
        ({"value": None, "is_null": True}, "no value instead"),
    ],
)
def test_nothing_less_than_the_target_reported_after_the_sending_confirms(
    change: dict[str, Any], words: str
) -> None:
    edge = alive()
    made = command(edge, 12.0)
    edge.now_ms += 50
    assert edge.ddata(Metric(**{**_said(12.0, T0)._asdict(), **change})).confirmed == []
    edge.now_ms += 50
    assert edge.ddata(_said(12.0, T0)).confirmed == [made.number], "the same moment is not before it"
    again = command(edge, 12.0)
    assert (
        edge.ddata(Metric(**{**_said(12.0, edge.now_ms)._asdict(), **_later(change, edge)})).confirmed == []
    )
    found = edge.host.give_up(SPEED, again.number)
    assert words in found
    assert bool(found) == bool(words)


def _said(value: float, time_ms: int) -> Metric:
    return metric(None, value, alias=5, timestamp_ms=time_ms)


def _later(change: dict[str, Any], edge: Edge) -> dict[str, Any]:
    if "timestamp_ms" in change:
        return {"timestamp_ms": edge.now_ms + change["timestamp_ms"] - T0}
    return change


def test_a_report_without_any_time_does_not_confirm() -> None:
    edge = alive()
    made = command(edge, 12.0)
    edge.now_ms += 50
    said = metric(None, 12.0, alias=5, timestamp_ms=None)
    assert edge.ddata(said, timestamp_ms=None).confirmed == []
    assert "without a time" in edge.host.give_up(SPEED, made.number)
    again = command(edge, 12.0)
    assert edge.ddata(said).confirmed == [again.number], "the message's own time serves as well"


def test_a_birth_does_not_confirm_and_the_data_after_it_does() -> None:
    edge = alive()
    made = command(edge, 12.0)
    edge.rebirth()
    assert edge.dbirth(metric("Speed", 12.0, alias=6, timestamp_ms=edge.now_ms)).confirmed == []
    got = edge.ddata(metric(None, 12.0, alias=6, timestamp_ms=edge.now_ms))
    assert got.confirmed == [made.number]


def test_one_report_confirms_every_command_that_wanted_it_and_only_once() -> None:
    edge = alive()
    first, other, second = command(edge, 12.0), command(edge, 13.0), command(edge, 12.0)
    assert len({first.number, other.number, second.number}) == 3
    assert edge.ddata(_said(12.0, T0)).confirmed == [first.number, second.number]
    assert edge.ddata(_said(12.0, T0 + 1)).confirmed == []
    assert edge.ddata(_said(13.0, T0 + 2)).confirmed == [other.number]


def test_a_command_that_was_given_up_is_never_confirmed() -> None:
    edge = alive()
    made = command(edge, 12.0)
    assert edge.host.give_up(SPEED, made.number) == ""
    assert edge.ddata(_said(12.0, T0)).confirmed == []
    assert edge.host.give_up(SPEED, made.number) == ""


def test_a_lost_connection_ends_all_waiting() -> None:
    edge = alive()
    command(edge, 12.0)
    edge.host.disconnected()
    edge.host.connected(T0 + 1)
    edge.rebirth()
    edge.dbirth(metric("Speed", 1.0, alias=5))
    assert edge.ddata(_said(12.0, T0 + 500)).confirmed == []


# --- what the present value is worth after a command ---


def late_verdict(edge: Edge) -> tuple[CommandStatus, str]:
    """What is made of a command from 1 to 12 when its lease is over."""
    unsettled = Unsettled(
        command_id="C-1",
        recommendation_id="R-1",
        tag_path=SPEED.path,
        expected_value=1.0,
        new_value=12.0,
        unit="",
        route=Route.MQTT,
        status=CommandStatus.UNKNOWN,
        sent_utc=utc(T0),
        sent_s_ago=20.0,
    )
    verdict = verify._late_verdict(unsettled, SPEED, edge.host.read(SPEED, edge.now_ms))
    return verdict.status, verdict.reason.split(":")[0]


def test_what_was_reported_before_the_command_says_nothing_of_it() -> None:
    edge = alive()
    edge.now_ms += 1_000
    assert edge.host.read(SPEED, edge.now_ms).quality is Quality.GOOD
    command(edge, 12.0)
    found = edge.host.read(SPEED, edge.now_ms)
    assert (found.value, found.quality, found.status) == (1.0, *LAST_USABLE)
    edge.now_ms += 20_000
    assert late_verdict(edge)[0] is CommandStatus.UNKNOWN
    edge.ddata(_said(1.0, T0 + 999))
    edge.ddata(metric(None, 3.0, alias=5, timestamp_ms=edge.now_ms, is_historical=True))
    assert late_verdict(edge)[0] is CommandStatus.UNKNOWN
    edge.ddata(_said(1.0, edge.now_ms))
    assert late_verdict(edge) == (CommandStatus.FAILED, "not written")
    edge.ddata(_said(12.0, edge.now_ms))
    assert late_verdict(edge)[0] is CommandStatus.EXECUTED


def test_the_value_commanded_is_a_newer_word_by_any_clock() -> None:
    edge = alive()
    edge.now_ms += 1_000
    command(edge, 12.0)
    edge.ddata(_said(12.0, T0))
    assert late_verdict(edge)[0] is CommandStatus.EXECUTED


def test_a_clock_ahead_makes_nothing_of_before_the_command_newer() -> None:
    """Sent before the command and on its way for 400 ms, from a node whose clock is 5 s ahead."""
    edge = alive()
    edge.ddata(_said(1.0, T0 + 5_000), timestamp_ms=T0 + 5_000)
    edge.now_ms += 10_000
    made = command(edge, 1.0)
    edge.now_ms += 300
    late_ms = edge.now_ms - 400 + 5_000
    assert edge.ddata(_said(1.0, late_ms), timestamp_ms=late_ms).confirmed == []
    words = edge.host.give_up(SPEED, made.number)
    assert "a time 99 ms too early, its clock being 4999 ms ahead" in words
    made = command(edge, 12.0)
    late_ms = edge.now_ms - 10 + 5_000
    edge.ddata(_said(1.0, late_ms), timestamp_ms=late_ms)
    edge.nbirth(timestamp_ms=late_ms)
    edge.dbirth(metric("Speed", 1.0, alias=5, timestamp_ms=late_ms), timestamp_ms=late_ms)
    assert late_verdict(edge)[0] is CommandStatus.UNKNOWN
    edge.now_ms += 20
    said_ms = edge.now_ms + 5_000
    assert edge.ddata(_said(12.0, said_ms), timestamp_ms=said_ms).confirmed == [made.number]
    assert late_verdict(edge)[0] is CommandStatus.EXECUTED


def test_a_clock_that_was_ahead_and_is_mended_is_measured_anew_by_births() -> None:
    edge = alive()
    edge.ddata(_said(1.0, T0 + 5_000), timestamp_ms=T0 + 5_000)
    for _ in range(2):
        edge.now_ms += 20_000
        made = command(edge, 12.0)
        edge.now_ms += 20
        assert edge.ddata(_said(12.0, edge.now_ms)).confirmed == []
        edge.host.give_up(SPEED, made.number)
        assert len(edge.tick(20_000).sends) == 1, "asked for a birth"
        edge.rebirth()
        edge.dbirth(metric("Speed", 1.0, alias=5))
    made = command(edge, 12.0)
    edge.now_ms += 20
    assert edge.ddata(_said(12.0, edge.now_ms)).confirmed == [made.number]


def test_a_birth_after_the_command_is_a_word_even_after_another_session() -> None:
    edge = alive()
    command(edge, 12.0)
    edge.host.disconnected()
    edge.now_ms += 20_000
    edge.host.connected(edge.now_ms)
    edge.nbirth(timestamp_ms=T0 - 5)
    edge.dbirth(metric("Speed", 1.0, alias=5, timestamp_ms=T0 - 5), timestamp_ms=T0 - 5)
    assert late_verdict(edge)[0] is CommandStatus.UNKNOWN, "that birth was sent before the command"
    edge.rebirth()
    edge.dbirth(metric("Speed", 1.0, alias=5))
    assert late_verdict(edge) == (CommandStatus.FAILED, "not written"), "however old its value is"


def test_a_node_that_does_not_speak_of_a_command_is_asked_for_a_birth() -> None:
    edge = alive()
    heard = command(edge, 11.0)
    edge.now_ms += 10
    edge.ddata(_said(3.0, edge.now_ms))
    edge.host.give_up(SPEED, heard.number)
    assert edge.tick(20_000).sends == [], "it has said what it does instead"
    made = command(edge, 12.0)
    edge.host.give_up(SPEED, made.number)
    assert [send.topic for send in edge.tick(100).sends] == [f"spBv1.0/{GROUP}/NCMD/{NODE}"]
    edge.host.give_up(SPEED, command(edge, 12.0).number)
    assert edge.tick(100).sends == [], "not more often than the setting allows"
    edge.ndeath()
    edge.host.give_up(SPEED, made.number)
    assert edge.tick(60_000).sends == [], "the dead do not answer"


def test_a_command_that_did_not_leave_takes_nothing_from_the_value() -> None:
    edge = alive()
    made = command(edge, 12.0)
    edge.host.withdraw(made.number)
    assert edge.host.read(SPEED, edge.now_ms).quality is Quality.GOOD
    assert edge.ddata(_said(12.0, T0)).confirmed == []


# --- refusals ---


@pytest.mark.parametrize(
    ("data_type", "kind"),
    [
        (DataType.DOUBLE, T.FLOAT),
        (DataType.INT32, T.INT64),
        (DataType.INT32, T.UINT32),
        (DataType.DOUBLE, T.INT32),
        (DataType.DOUBLE, T.STRING),
        (DataType.DOUBLE, T.TEMPLATE),
    ],
)
def test_another_type_than_configured_is_refused_and_never_cast(
    data_type: DataType, kind: MetricType
) -> None:
    target = tag("Speed", data_type, writable=True)
    edge = alive(target, kind, None, is_null=True)
    outcome = refused(edge, 1, target)
    assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadTypeMismatch")
    assert f"configured as {data_type}, its birth announces {kind}; nothing was sent" in outcome.detail


@pytest.mark.parametrize("value", [True, "12", 1e39, float("1e400")])
def test_a_value_that_the_type_cannot_carry_is_refused(value: Value) -> None:
    target = tag("Speed", DataType.INT32, writable=True)
    outcome = refused(alive(target, T.INT32, 1), value, target)
    assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadTypeMismatch")


def test_a_metric_that_says_read_only_is_refused() -> None:
    edge = alive(properties={"readOnly": PropertyValue(T.BOOLEAN, True)})
    outcome = refused(edge)
    assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadNotWritable")
    assert isinstance(
        alive(properties={"readOnly": PropertyValue(T.BOOLEAN, False)}).host.command(SPEED, 2.0, T0), Command
    )


def test_a_metric_that_no_birth_announced_is_refused() -> None:
    edge = connected(SPEED)
    edge.nbirth()
    edge.dbirth(metric("Other", 1.0))
    outcome = refused(edge)
    assert (outcome.result, outcome.status) == (WriteResult.REFUSED, "BadNodeIdUnknown")


def test_nothing_is_sent_to_what_is_not_there() -> None:
    def outcome() -> tuple[WriteResult, str]:
        found = refused(edge)
        assert "nothing was sent" in found.detail
        return found.result, found.status

    edge = connected(SPEED)
    assert outcome() == (WriteResult.NOT_SENT, "BadWaitingForInitialData")
    edge.nbirth()
    assert outcome() == (WriteResult.NOT_SENT, "BadWaitingForInitialData")
    edge.dbirth(metric("Speed", 1.0, alias=5))
    assert edge.host.refusal(SPEED, 2.0) is None
    edge.ddeath()
    assert outcome() == (WriteResult.NOT_SENT, "BadNotConnected")
    edge.dbirth(metric("Speed", 1.0, alias=5))
    edge.ndeath()
    assert outcome() == (WriteResult.NOT_SENT, "BadNotConnected")
    edge.rebirth()
    edge.dbirth(metric("Speed", 1.0, alias=5))
    assert edge.host.refusal(SPEED, 2.0) is None
    edge.host.disconnected()
    assert outcome() == (WriteResult.NOT_SENT, "BadNotConnected")


def test_nothing_is_sent_while_messages_are_missing() -> None:
    """One of them may have been a birth, after which the metric is another one or not there."""
    edge = alive()
    missing = edge.payload([_said(2.0, T0)])
    edge.ddata(_said(3.0, T0))
    outcome = refused(edge)
    assert (outcome.result, outcome.status) == (WriteResult.NOT_SENT, "BadNotConnected")
    assert "messages of the node Plant/Edge1 are missing; nothing was sent" in outcome.detail
    found = edge.host.read(SPEED, edge.now_ms)
    assert (found.value, found.quality, found.status) == (1.0, *LAST_USABLE)
    edge.give(Verb.DDATA, missing, DEVICE)
    assert edge.host.refusal(SPEED, 2.0) is None
    assert edge.host.read(SPEED, edge.now_ms).quality is Quality.GOOD
    edge.seq += 1
    edge.ddata(_said(4.0, T0))
    edge.tick(2_000)
    outcome = refused(edge)
    assert outcome.result is WriteResult.NOT_SENT
    assert "is in doubt" in outcome.detail


def test_facts_are_those_of_the_present_birth() -> None:
    edge = connected(SPEED)
    assert edge.host.facts(SPEED) is None
    edge.nbirth()
    edge.dbirth(metric("Speed", 1.0, alias=5, properties={"engHigh": PropertyValue(T.DOUBLE, 100.0)}))
    facts = edge.host.facts(SPEED)
    assert facts is not None
    assert (facts.name, facts.type, facts.alias, facts.read_only) == ("Speed", T.DOUBLE, 5, False)
    assert facts.properties["engHigh"].value == 100.0
    edge.ddeath()
    assert edge.host.facts(SPEED) is None
