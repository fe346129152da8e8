"""What a host learns from births, what deaths undo, and what a tag shows meanwhile."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from sparkplug_edge import DEVICE, GROUP, NODE, T0, Edge, connected, metric, tag

from bridge.domain.reading import Quality, is_late
from bridge.domain.tag import DataType
from bridge.links.sparkplug import Host
from bridge.links.sparkplug_effects import Effects
from bridge.links.sparkplug_node import NodeState
from bridge.ports import WriteOutcome, WriteResult
from bridge.sparkplug.payload import encode
from bridge.sparkplug.topics import Verb
from bridge.sparkplug.types import DataSet, Metric, MetricType, Payload, PropertyValue, Template

LEVEL = tag("Level")
T = MetricType


def values(effects: Effects) -> list[tuple[str, Any, str]]:
    """Name, value and status of every reading."""
    return [(r.tag.address.partition(":")[2], r.value, r.status) for r in effects.readings]


def alive(*more: Any) -> Edge:
    """A node with its device, both born, Level at 1.0 under the alias 1."""
    edge = connected(LEVEL, *more)
    edge.nbirth()
    edge.dbirth(metric("Level", 1.0, alias=1))
    return edge


def utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


# --- births ---


def test_a_birth_brings_values_with_their_own_times() -> None:
    edge = connected(LEVEL, tag("Uptime", DataType.INT64, device=""))
    of_node = edge.nbirth(metric("Uptime", 7, T.INT64, timestamp_ms=T0 - 5))
    of_device = edge.dbirth(metric("Level", 1.5, timestamp_ms=T0 - 9), metric("Other", 3.0))
    assert values(of_node) == [("Uptime", 7, "Good")]
    (reading,) = of_device.readings
    assert (reading.tag, reading.value, reading.quality) == (LEVEL, 1.5, Quality.GOOD)
    assert (reading.source_time_utc, reading.received_utc) == (utc(T0 - 9), utc(T0))
    assert not reading.replayed
    assert not reading.confirmed
    assert (of_node.handles, of_device.handles) == ([1], [0])


def test_data_are_known_by_the_alias_of_the_birth_or_by_name() -> None:
    edge = alive()
    by_alias = edge.give(
        Verb.DDATA,
        encode(
            Payload(T0, (Metric(alias=1, timestamp_ms=T0, type=T.DOUBLE, value=2.0),), edge.seq),
            with_types=False,
        ),
        DEVICE,
    )
    assert values(by_alias) == [("Level", 2.0, "Good")]
    edge.seq += 1
    assert values(edge.ddata(metric("Level", 3.0))) == [("Level", 3.0, "Good")]
    assert values(edge.ddata(metric("Level", 4.0, alias=1))) == [("Level", 4.0, "Good")]


def test_alias_zero_is_an_alias() -> None:
    edge = connected(LEVEL)
    edge.nbirth()
    edge.dbirth(metric("Level", 1.0, alias=0), metric("Other", 1.0, alias=1))
    assert values(edge.ddata(metric(None, 2.0, alias=0))) == [("Level", 2.0, "Good")]


def test_a_rebirth_may_give_aliases_anew() -> None:
    edge = alive(tag("Flow"))
    edge.ddata(metric(None, 2.0, alias=1))
    edge.rebirth()
    edge.dbirth(metric("Flow", 10.0, alias=1), metric("Level", 2.0, alias=2))
    got = edge.ddata(metric(None, 11.0, alias=1), metric(None, 3.0, alias=2))
    assert values(got) == [("Flow", 11.0, "Good"), ("Level", 3.0, "Good")]


def test_an_alias_given_twice_means_nothing() -> None:
    edge = connected(LEVEL, tag("Flow"))
    edge.nbirth()
    born = edge.dbirth(metric("Flow", 10.0, alias=1), metric("Level", 2.0, alias=1))
    assert values(born) == [("Flow", 10.0, "Good"), ("Level", 2.0, "Good")]
    assert [event.name for event in born.events] == ["node.misspoke"]
    assert values(edge.ddata(metric(None, 11.0, alias=1))) == []
    assert edge.host.counts["unknown_metrics"] == 1
    assert values(edge.ddata(metric("Level", 3.0))) == [("Level", 3.0, "Good")]


def test_a_name_that_comes_with_an_alias_given_twice_is_certain() -> None:
    edge = connected(LEVEL, tag("Flow"))
    edge.nbirth()
    edge.dbirth(metric("Flow", 10.0, alias=0), metric("Level", 2.0, alias=0), metric("Else", 0.0, alias=0))
    got = edge.ddata(
        metric("Level", 3.0, alias=0), metric("Flow", 11.0, alias=0), metric("Else", 1.0, alias=0)
    )
    assert values(got) == [("Level", 3.0, "Good"), ("Flow", 11.0, "Good")]
    assert edge.host.counts["unknown_metrics"] == 0
    assert values(edge.ddata(metric("Strange", 3.0, alias=0), metric("Level", 4.0, alias=7))) == []
    assert edge.host.counts["unknown_metrics"] == 2


def test_an_alias_that_comes_with_another_metrics_name_is_not_believed() -> None:
    edge = alive(tag("Flow"))
    assert values(edge.ddata(metric("Flow", 9.0, alias=1))) == []
    assert edge.host.counts["unknown_metrics"] == 1


def test_an_unknown_alias_asks_for_a_rebirth_and_spoils_nothing_else() -> None:
    edge = alive()
    got = edge.ddata(metric(None, 9.0, alias=99), metric(None, 2.0, alias=1))
    assert values(got) == [("Level", 2.0, "Good")]
    assert [send.topic for send in got.sends] == [f"spBv1.0/{GROUP}/NCMD/{NODE}"]
    assert edge.host.counts["unknown_metrics"] == 1


def test_a_metric_that_changes_its_type_is_refused_and_a_birth_asked_for() -> None:
    edge = alive(tag("Flow"))
    edge.rebirth()
    edge.dbirth(metric("Level", 1.0, alias=1), metric("Flow", 1.0, alias=2))
    got = edge.ddata(metric(None, 7, T.INT32, alias=1), metric(None, 2.0, alias=2))
    assert values(got) == [("Level", None, "BadTypeMismatch"), ("Flow", 2.0, "Good")]
    assert got.readings[0].quality is Quality.BAD
    assert len(got.sends) == 1
    assert edge.host.counts["type_changes"] == 1
    assert "its birth announced Double, and this is Int32" in str(got.events)


def test_another_type_in_the_same_field_is_a_changed_type() -> None:
    edge = connected(tag("Count", DataType.INT16))
    edge.nbirth()
    edge.dbirth(metric("Count", 1, T.INT16, alias=1))
    got = edge.ddata(metric(None, 5, T.INT32, alias=1))
    assert values(got) == [("Count", None, "BadTypeMismatch")]
    assert edge.host.counts["type_changes"] == 1


def test_a_value_in_another_field_is_a_changed_type_too() -> None:
    edge = alive()
    untold = encode(
        Payload(T0, (Metric(alias=1, timestamp_ms=T0, type=T.STRING, value="x"),), edge.seq), with_types=False
    )
    got = edge.give(Verb.DDATA, untold, DEVICE)
    assert values(got) == [("Level", None, "BadTypeMismatch")]
    assert edge.host.counts["type_changes"] == 1
    assert len(got.sends) == 1


@pytest.mark.parametrize(
    ("kind", "value", "data_type"),
    [
        (T.INT8, -5, DataType.SBYTE),
        (T.UINT8, 200, DataType.BYTE),
        (T.INT16, -300, DataType.INT16),
        (T.INT32, -70000, DataType.INT32),
        (T.UINT32, 2**32 - 1, DataType.UINT32),
        (T.INT64, -(2**63), DataType.INT64),
        (T.UINT64, 2**64 - 1, DataType.UINT64),
        (T.FLOAT, 0.5, DataType.FLOAT),
        (T.FLOAT, 0.0, DataType.FLOAT),
        (T.BOOLEAN, False, DataType.BOOLEAN),
        (T.STRING, "", DataType.STRING),
        (T.TEXT, "läuft", DataType.STRING),
        (T.DATETIME, T0, DataType.INT64),
    ],
)
@pytest.mark.parametrize("told", [True, False], ids=["with type", "without type"])
def test_data_of_every_scalar_type_arrive(
    kind: MetricType, value: Any, data_type: DataType, told: bool
) -> None:
    edge = connected(tag("X", data_type))
    edge.nbirth()
    edge.dbirth(metric("X", value, kind, alias=5))
    said = Payload(T0, (Metric(alias=5, timestamp_ms=T0, type=kind, value=value),), edge.seq)
    got = edge.give(Verb.DDATA, encode(said, with_types=told), DEVICE)
    assert values(got) == [("X", value, "Good")]
    assert type(got.readings[0].value) is type(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (T.TEMPLATE, Template((Metric("m", type=T.INT8, value=1),), template_ref="Motor")),
        (T.DATASET, DataSet(("a",), (T.INT8,), ((1,),))),
        (T.BYTES, b"x"),
        (T.FLOAT_ARRAY, (1.0, 2.0)),
        (T.STRING, "12"),
        (T.BOOLEAN, True),
    ],
)
def test_what_a_tag_cannot_hold_is_refused_for_that_tag_alone(kind: MetricType, value: Any) -> None:
    edge = connected(LEVEL, tag("Flow"))
    edge.nbirth()
    got = edge.dbirth(metric("Level", value, kind, alias=1), metric("Flow", 2.0, alias=2))
    assert sorted(values(got)) == [("Flow", 2.0, "Good"), ("Level", None, "BadTypeMismatch")]
    assert edge.host.problems() == {LEVEL.path: f"announced as {kind}, which a Double tag cannot hold"}
    later = edge.ddata(metric(None, value, kind, alias=1), metric(None, 3.0, alias=2))
    assert values(later) == [("Flow", 3.0, "Good")]
    assert (edge.host.read(LEVEL, T0).status, edge.host.counts["unknown_metrics"]) == ("BadTypeMismatch", 0)


def test_a_metric_that_is_not_in_the_birth_is_a_problem_with_a_name() -> None:
    edge = connected(LEVEL, tag("Flow"))
    edge.nbirth()
    edge.dbirth(metric("Level", 1.0))
    missing = edge.host.read(tag("Flow"), T0)
    assert (missing.value, missing.quality, missing.status) == (None, Quality.BAD, "BadNodeIdUnknown")
    assert edge.host.problems() == {tag("Flow").path: "the birth has no metric 'Flow'"}


def test_a_rebirth_without_a_metric_ends_its_value() -> None:
    edge = alive()
    edge.rebirth()
    assert values(edge.dbirth(metric("Flow", 1.0))) == [("Level", None, "BadNodeIdUnknown")]


@pytest.mark.parametrize("said", [b"\x0a\x02\xff\xfe\x20\x0a", b"\x20\x0a", b"\x0a\x00\x20\x0a"])
def test_names_that_are_not_utf8_or_missing_spoil_no_other_metric(said: bytes) -> None:
    edge = connected(LEVEL)
    edge.nbirth()
    nameless = b"\x12" + bytes((len(said),)) + said
    got = edge.give(Verb.DBIRTH, nameless + edge.payload([metric("Level", 1.0)]), DEVICE)
    assert values(got) == [("Level", 1.0, "Good")]
    assert edge.host.counts["irregular"] == 1
    by_name = edge.give(Verb.DDATA, nameless + edge.payload([metric("Level", 2.0)]), DEVICE)
    assert values(by_name) == [("Level", 2.0, "Good")]
    assert edge.host.counts["unknown_metrics"] == 1


def test_a_text_that_is_not_utf8_is_refused_for_its_tag() -> None:
    edge = connected(tag("Name", DataType.STRING))
    edge.nbirth()
    edge.dbirth(metric("Name", "ok", T.STRING, alias=1))
    data = edge.payload([metric(None, "ab", T.STRING, alias=1)]).replace(b"\x02ab", b"\x02\xff\xfe")
    assert values(edge.give(Verb.DDATA, data, DEVICE)) == [("Name", None, "BadTypeMismatch")]
    assert (edge.host.counts["unreadable"], edge.host.counts["rebirths_asked"]) == (1, 0)


def test_null_is_no_value() -> None:
    edge = alive()
    null = Metric(alias=1, timestamp_ms=T0, type=T.DOUBLE, is_null=True)
    got = edge.ddata(null)
    assert values(got) == [("Level", None, "BadNoData")]
    assert got.readings[0].quality is Quality.BAD
    read = edge.host.read(LEVEL, T0)
    assert (read.value, read.quality, read.status) == (None, Quality.BAD, "BadNoData")


def test_a_null_that_carries_a_value_all_the_same_is_null() -> None:
    edge = alive()
    data = edge.payload([metric(None, 2.0, alias=1, is_historical=True)])
    as_null = data.replace(b"\x28\x01", b"\x38\x01")
    assert as_null != data
    assert values(edge.give(Verb.DDATA, as_null, DEVICE)) == [("Level", None, "BadNoData")]


@pytest.mark.parametrize(
    ("code", "quality", "status", "value"),
    [
        (192, Quality.GOOD, "Good", 2.0),
        (0, Quality.BAD, "Bad", 2.0),
        (500, Quality.BAD, "BadNoCommunication", None),
        (64, Quality.UNCERTAIN, "Uncertain", 2.0),
        (9999, Quality.BAD, "Bad", 2.0),
    ],
)
def test_the_quality_property_is_believed(code: int, quality: Quality, status: str, value: Any) -> None:
    edge = alive()
    said = {"Other": PropertyValue(T.STRING, "x"), "Quality": PropertyValue(T.INT32, code)}
    (reading,) = edge.ddata(metric(None, 2.0, alias=1, properties=said)).readings
    assert (reading.quality, reading.status, reading.value) == (quality, status, value)
    edge.rebirth()
    (reading,) = edge.dbirth(metric("Level", 2.0, properties=said)).readings
    assert (reading.quality, reading.status, reading.value) == (quality, status, value)


def test_historical_values_are_handed_on_as_replayed_and_are_not_the_present() -> None:
    edge = alive()
    got = edge.ddata(metric(None, 9.0, alias=1, timestamp_ms=T0 - 60_000, is_historical=True))
    (reading,) = got.readings
    assert (reading.value, reading.replayed, reading.source_time_utc) == (9.0, True, utc(T0 - 60_000))
    assert edge.host.read(LEVEL, T0).value == 1.0
    assert edge.host.counts["historical"] == 1


# --- times ---


@pytest.mark.parametrize("time_ms", [1, 0, T0 + 61_000, 3_786_912_000_000, 2**64 - 1])
def test_implausible_times_never_look_fresh(time_ms: int) -> None:
    """1970, an hour ahead, 2090, beyond every calendar: kept where it can be, and not good."""
    edge = alive()
    (reading,) = edge.ddata(metric(None, 2.0, alias=1, timestamp_ms=time_ms)).readings
    if time_ms == 0:  # a time of zero is none: the message's own time counts
        assert (reading.source_time_utc, reading.quality) == (utc(T0), Quality.GOOD)
        return
    assert (reading.value, reading.quality, reading.status) == (2.0, Quality.UNCERTAIN, "UncertainSourceTime")
    if time_ms < 2**63:
        assert reading.source_time_utc == utc(time_ms)
    assert is_late(reading) == (time_ms < T0)
    read = edge.host.read(LEVEL, T0)
    assert (read.quality, read.status) == (Quality.UNCERTAIN, "UncertainSourceTime")


def test_a_clock_a_little_ahead_is_borne() -> None:
    edge = alive()
    (reading,) = edge.ddata(metric(None, 2.0, alias=1, timestamp_ms=T0 + 59_000)).readings
    assert (reading.quality, reading.source_time_utc) == (Quality.GOOD, utc(T0 + 59_000))


def test_a_metric_without_a_time_has_that_of_its_message() -> None:
    edge = alive()
    (reading,) = edge.ddata(metric(None, 2.0, alias=1, timestamp_ms=None), timestamp_ms=T0 - 7).readings
    assert reading.source_time_utc == utc(T0 - 7)
    (reading,) = edge.ddata(metric(None, 2.0, alias=1, timestamp_ms=None), timestamp_ms=None).readings
    assert reading.source_time_utc == utc(T0)


# --- deaths ---


def test_a_death_ends_every_value_of_the_node_and_its_devices() -> None:
    edge = connected(LEVEL, tag("Uptime", DataType.INT64, device=""))
    edge.nbirth(metric("Uptime", 7, T.INT64), bd_seq=3)
    edge.dbirth(metric("Level", 1.0))
    edge.now_ms += 5_000
    died = edge.ndeath(3)
    assert sorted(values(died)) == [("Level", None, "BadNotConnected"), ("Uptime", None, "BadNotConnected")]
    # The will was written when the node connected: its time says nothing.
    assert {r.source_time_utc for r in died.readings} == {utc(T0 + 5_000)}
    assert [event.name for event in died.events] == ["node.died"]
    assert edge.host.nodes[GROUP, NODE].state is NodeState.DEAD
    assert edge.host.read(LEVEL, T0 + 5_000).status == "BadNotConnected"
    assert edge.tick(60_000).sends == []


def test_a_death_of_an_earlier_connection_is_ignored() -> None:
    edge = alive()
    edge.nbirth(bd_seq=4)
    edge.dbirth(metric("Level", 2.0))
    assert edge.ndeath(3).readings == []
    assert edge.host.read(LEVEL, T0).value == 2.0
    assert edge.host.counts["deaths_ignored"] == 1
    assert len(edge.ndeath(4).readings) == 1


@pytest.mark.parametrize(("known", "told"), [(4, 5), (4, 131), (250, 2)])
def test_a_death_of_a_later_connection_means_that_the_life_we_know_is_over(known: int, told: int) -> None:
    target = tag("Speed", writable=True)
    edge = connected(target)
    edge.nbirth(bd_seq=known)
    edge.dbirth(metric("Speed", 2.0))
    edge.now_ms += 20_000
    assert edge.ndeath((told + 128) % 256).sends == [], "an older one stays ignored"
    died = edge.ndeath(told)
    assert [event.name for event in died.events] == ["node.doubted"]
    assert [send.topic for send in died.sends] == [f"spBv1.0/{GROUP}/NCMD/{NODE}"]
    assert edge.host.nodes[GROUP, NODE].state is NodeState.IN_DOUBT
    found = edge.host.read(target, edge.now_ms)
    assert (found.value, found.quality) == (2.0, Quality.UNCERTAIN)
    refused = edge.host.command(target, 3.0, edge.now_ms)
    assert isinstance(refused, WriteOutcome)
    assert (refused.result, refused.status) == (WriteResult.NOT_SENT, "BadNotConnected")
    again = edge.ndeath(told)
    assert (again.events, again.sends) == ([], []), "said and asked once"
    assert edge.host.counts["lives_missed"] == 2
    edge.rebirth(bd_seq=told + 1)
    edge.dbirth(metric("Speed", 3.0))
    assert edge.host.refusal(target, 4.0) is None


def test_a_death_without_bdseq_counts_since_nobody_can_say_otherwise() -> None:
    edge = alive()
    died = edge.give(Verb.NDEATH, encode(Payload(timestamp_ms=T0)))
    assert values(died) == [("Level", None, "BadNotConnected")]


def test_a_death_without_birth_is_counted_and_nothing_else() -> None:
    edge = connected(LEVEL)
    died = edge.ndeath()
    assert (died.readings, died.sends, died.events) == ([], [], [])
    assert edge.host.counts["deaths_ignored"] == 1
    edge.nbirth()
    assert edge.ddeath().readings == []
    assert edge.host.counts["deaths_ignored"] == 2


def test_a_device_dies_alone_and_comes_back() -> None:
    other = tag("Level", device="REACTOR_02")
    edge = alive(other)
    edge.dbirth(metric("Level", 5.0), device="REACTOR_02")
    edge.now_ms += 1_000
    died = edge.ddeath(timestamp_ms=T0 + 900)
    assert values(died) == [("Level", None, "BadNotConnected")]
    assert died.readings[0].source_time_utc == utc(T0 + 900)
    assert (edge.host.read(LEVEL, T0).status, edge.host.read(other, T0).value) == ("BadNotConnected", 5.0)
    assert values(edge.dbirth(metric("Level", 6.0))) == [("Level", 6.0, "Good")]


def test_a_death_is_never_older_than_the_value_it_ends() -> None:
    edge = alive()
    edge.now_ms += 1_000
    (died,) = edge.ddeath(timestamp_ms=T0 - 500).readings
    assert died.source_time_utc == utc(T0 + 1_000)


def test_a_device_that_does_not_come_back_after_a_rebirth_is_dead() -> None:
    edge = alive()
    edge.rebirth()
    assert edge.host.read(LEVEL, T0).status == "BadWaitingForInitialData"
    assert edge.tick(1_999).readings == []
    assert values(edge.tick(1)) == [("Level", None, "BadNotConnected")]


def test_data_of_an_unborn_device_are_dropped_and_a_birth_is_asked_for() -> None:
    edge = connected(LEVEL)
    edge.nbirth()
    edge.now_ms += 5_000
    got = edge.ddata(metric("Level", 9.0))
    assert (got.readings, len(got.sends)) == ([], 1)


def test_a_lost_connection_makes_everything_stale() -> None:
    edge = alive()
    edge.host.disconnected()
    read = edge.host.read(LEVEL, T0)
    assert (read.value, read.quality, read.status) == (None, Quality.BAD, "BadWaitingForInitialData")
    edge.host.connected(T0 + 1)
    assert edge.ddata(metric(None, 9.0, alias=1)).readings == []
    edge.nbirth()
    edge.dbirth(metric("Level", 3.0))
    read = edge.host.read(LEVEL, T0 + 50)
    assert (read.value, read.confirmed, read.received_utc) == (3.0, True, utc(T0 + 50))


# --- sizes and strangers ---


def test_a_node_that_births_twenty_thousand_metrics_costs_little() -> None:
    """20,000 metrics of which 100 are wanted: only those are kept."""
    tags = [tag(f"Folder/Metric {n}") for n in range(0, 20_000, 200)]
    edge = connected(*tags)
    edge.nbirth()
    data = edge.payload([metric(f"Folder/Metric {n}", float(n), alias=n + 1) for n in range(20_000)])
    tracemalloc.start()
    born = edge.give(Verb.DBIRTH, data, DEVICE)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert (len(born.readings), edge.host.counts["irregular"]) == (100, 0)
    assert kept < 20e6
    assert values(edge.ddata(metric(None, 5.0, alias=201))) == [("Folder/Metric 200", 5.0, "Good")]
    assert edge.ddata(metric(None, 5.0, alias=202)).sends == []


@pytest.mark.parametrize(
    ("topic", "count"),
    [
        ("factory/line/1", "foreign"),
        ("spAv1.0/Plant/NDATA/Edge1", "foreign"),
        ("spBv1.0/Other/NBIRTH/Edge1", "unwanted"),
        ("spBv1.0/Plant/DDATA/Edge2/D", "unwanted"),
        ("spBv1.0/Plant/NCMD/Edge1", "commands_seen"),
        ("spBv1.0/Plant/DCMD/Edge1/REACTOR_01", "commands_seen"),
        ("spBv1.0/STATE/another", "states_seen"),
    ],
)
def test_what_is_not_for_us_is_counted_and_not_even_read(topic: str, count: str) -> None:
    edge = alive()
    got = edge.host.on_message(topic, b"\xff garbage", retained=False, now_ms=T0)
    assert (got.readings, got.sends, got.events) == ([], [], [])
    assert edge.host.counts == {count: 1}


@pytest.mark.parametrize("verb", [Verb.NBIRTH, Verb.NDATA, Verb.NDEATH, Verb.DBIRTH, Verb.DDATA, Verb.DDEATH])
def test_retained_messages_are_not_believed(verb: Verb) -> None:
    """None of them may be retained; a broker that kept one would show the past as the present."""
    edge = alive()
    kept = edge.payload([metric("Level", 99.0, alias=1)])
    got = edge.give(verb, kept, DEVICE if verb.of_device else "", retained=True)
    assert (got.readings, got.sends) == ([], [])
    assert edge.host.counts == {"retained": 1}
    assert edge.host.read(LEVEL, T0).value == 1.0


@pytest.mark.parametrize("data", [b"\xff", b"garbage", b"\x12\xff\xff\xff\xff\x0f"])
def test_garbage_is_counted_and_said_once(data: bytes) -> None:
    edge = alive()
    got = edge.give(Verb.DDATA, data, DEVICE)
    assert [event.name for event in got.events] == ["node.misspoke"]
    assert edge.give(Verb.DDATA, data, DEVICE).events == []
    assert edge.host.counts["garbage"] == 2
    assert values(edge.ddata(metric(None, 2.0, alias=1))) == [("Level", 2.0, "Good")]


def test_fifty_megabytes_are_refused_unread_by_the_host() -> None:
    edge = alive()
    got = edge.give(Verb.DDATA, bytes(50_000_000), DEVICE)
    assert edge.host.counts["too_large"] == 1
    assert "50000000 bytes" in str(got.events)


def test_addresses_that_cannot_be_are_all_named() -> None:
    wrong = [LEVEL, tag("Level", node="+"), tag("")]
    with pytest.raises(ValueError, match="wanted an address") as refusal:
        Host("bridge", wrong)
    assert len(str(refusal.value).splitlines()) == 2


def test_one_answer_may_collect_many_messages() -> None:
    edge = alive()
    into = Effects(T0)
    for value in (2.0, 3.0):
        where = f"spBv1.0/{GROUP}/DDATA/{NODE}/{DEVICE}"
        data = edge.payload([metric(None, value, alias=1)])
        assert edge.host.on_message(where, data, retained=False, now_ms=T0 + int(value), into=into) is into
    assert [(r.value, r.received_utc) for r in into.readings] == [(2.0, utc(T0 + 2)), (3.0, utc(T0 + 3))]


# --- births that come late ---


def _older_birth(edge: Edge, bd_seq: int, before_ms: int = 500) -> Effects:
    """A birth of an earlier moment arrives now; the count of the present life goes on."""
    seq, now_ms = edge.seq, edge.now_ms
    edge.now_ms -= before_ms
    data = edge.payload((metric("bdSeq", bd_seq, MetricType.INT64),), seq=0)
    edge.seq, edge.now_ms = seq, now_ms
    return edge.give(Verb.NBIRTH, data)


@pytest.mark.parametrize("bd_seq", [7, 6, 250], ids=["same connection", "the one before", "wrapped"])
def test_a_birth_from_before_the_present_life_does_not_replace_it(bd_seq: int) -> None:
    edge = connected(LEVEL)
    edge.now_ms += 20_000
    edge.nbirth(bd_seq=7)
    edge.dbirth(metric("Level", 1.0, alias=1))
    asked = _older_birth(edge, bd_seq)
    assert edge.host.counts["late"] == 1
    assert len(asked.sends) == 1, "a clock that was set back looks the same: the node may say"
    edge.now_ms += 10
    got = edge.ddata(metric(None, 2.0, alias=1))
    assert [r.value for r in got.readings] == [2.0]
    assert edge.host.read(LEVEL, edge.now_ms).quality is Quality.GOOD


def test_a_clock_that_was_set_back_costs_a_question_and_no_more() -> None:
    edge = connected(LEVEL)
    edge.now_ms += 20_000
    edge.nbirth(bd_seq=7)
    edge.dbirth(metric("Level", 1.0, alias=1))
    assert len(_older_birth(edge, 0, 3_600_000).sends) == 1
    _older_birth(edge, 0, 3_599_000)
    assert edge.host.nodes[GROUP, NODE].bd_seq == 0, "what it answers is believed"


def test_the_birth_of_a_newer_connection_counts_whatever_its_clock_says() -> None:
    edge = connected(LEVEL)
    edge.now_ms += 20_000
    edge.nbirth(bd_seq=255)
    assert _older_birth(edge, 0, 3_600_000).sends == []
    assert edge.host.nodes[GROUP, NODE].bd_seq == 0
