"""Does the edge node say the right thing at the right moment, by the specification? Without a broker.

What it says is read by the simulator's own codec. docs/sparkplug.md names the clause that each test covers.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pytest
from edge_stand import (
    GROUP,
    NODE,
    START_MS,
    Host,
    Said,
    at,
    command,
    node,
    plant,
    read,
    rebirth,
    state,
)

from bridge.domain.reading import Quality
from bridge.publish.edge_metrics import Change, Place
from bridge.publish.edge_node import EdgeNode, Outgoing, Phase
from bridge.publish.nodes import Node
from bridge.sparkplug.types import MetricType
from simulator.sparkplug.payload import DataType, Metric

NCMD = f"spBv1.0/{GROUP}/NCMD/{NODE}"
DCMD = f"spBv1.0/{GROUP}/DCMD/{NODE}/R1"
STATE = "spBv1.0/STATE/scada"


def now(second: float) -> int:
    return START_MS + round(second * 1000)


def said(out: Iterable[Outgoing]) -> list[Said]:
    return [read(message.topic, message.encoded()) for message in out]


class Edge:
    """An edge node with its wire in memory, and a host that reads along."""

    def __init__(self, *, primary_host: str = "") -> None:
        self.node = EdgeNode(GROUP, NODE, primary_host=primary_host)
        self.host = Host()
        self.bd_seq = -1

    def connect(self, second: float = 0.0) -> list[Said]:
        self.bd_seq = (self.bd_seq + 1) % 256
        self.node.connecting(self.bd_seq, now(second))
        return self._told(self.node.connected(now(second)))

    def show(self, nodes: dict[str, Node], second: float) -> list[Said]:
        changes = self.node.compare(nodes, now(second))
        return self._told(self.node.show(nodes, changes, now(second)))

    def receive(self, topic: str, payload: bytes, second: float, *, retained: bool = False) -> list[Said]:
        return self._told(self.node.received(topic, payload, retained=retained, now_ms=now(second)).out)

    def tick(self, second: float) -> list[Said]:
        return self._told(self.node.tick(now(second)))

    def _told(self, out: Iterable[Outgoing]) -> list[Said]:
        messages = said(out)
        for message in messages:
            self.host.hear(message)
        return messages


@pytest.fixture
def edge() -> Edge:
    """Connected, and born at second 0."""
    made = Edge()
    made.show(plant(), 0)
    made.connect()
    return made


def verbs(messages: Iterable[Said]) -> list[str]:
    return [f"{message.verb} {message.device}".strip() for message in messages]


# --- births ---


def test_births_come_first_and_hold_everything(edge: Edge) -> None:
    """NBIRTH with seq 0, then a DBIRTH for each device, with name, alias, type, time and value of every metric."""
    assert verbs(edge.host.heard) == ["NBIRTH", "DBIRTH R1", "DBIRTH R2"]
    birth, first, _ = edge.host.heard
    assert birth.payload.timestamp_ms == START_MS
    assert [message.payload.seq for message in edge.host.heard] == [0, 1, 2]
    assert edge.host.values == {
        "Agent/Status": "online",
        "Agent/PollsCompleted": 7,
        "Agent/HeartbeatAgeS": 2.0,
        "Control/Armed": True,
        "bdSeq": 0,
        "Node Control/Rebirth": False,
        "R1:Recommendation/Id": "",
        "R1:Recommendation/ExpiresAt": None,
        "R2:Recommendation/Id": "",
    }
    assert first.by_name["Recommendation/ExpiresAt"].datatype == DataType.DateTime
    assert birth.by_name["Agent/PollsCompleted"].datatype == DataType.Int64
    assert all(metric.timestamp_ms is not None for metric in birth.payload.metrics)
    assert birth.by_name["Agent/HeartbeatAgeS"].properties["engUnit"].value == "s"
    assert birth.by_name["Control/Armed"].properties["readOnly"].value is True


def test_the_rebirth_metric_is_a_boolean_false_without_an_alias(edge: Edge) -> None:
    metric = edge.host.heard[0].by_name["Node Control/Rebirth"]
    assert (metric.datatype, metric.value, metric.alias) == (DataType.Boolean, False, None)


def test_aliases_are_unique_over_node_and_devices(edge: Edge) -> None:
    aliases = [
        metric.alias
        for message in edge.host.heard
        for metric in message.payload.metrics
        if metric.alias is not None
    ]
    assert len(set(aliases)) == len(aliases) == 7


def test_the_death_is_the_will_and_matches_the_birth() -> None:
    """The will must exist before the connection, carry bdSeq alone, and no seq."""
    edge = Edge()
    edge.show(plant(), 0)
    will = edge.node.connecting(41, now(0))
    (death,) = said([will])
    assert (death.verb, death.payload.seq) == ("NDEATH", None)
    (metric,) = death.payload.metrics
    assert (metric.name, metric.value, metric.datatype) == ("bdSeq", 41, DataType.Int64)
    birth = said(edge.node.connected(now(1)))[0]
    assert birth.by_name["bdSeq"].value == 41
    (last,) = said([edge.node.death(now(2))])
    assert last.payload.metrics[0].value == 41


def test_the_subscriptions_are_commands_and_state() -> None:
    node_id = EdgeNode(GROUP, NODE, primary_host="scada")
    assert node_id.subscriptions() == [
        (f"spBv1.0/{GROUP}/NCMD/{NODE}", 1),
        (STATE, 1),
        (f"spBv1.0/{GROUP}/DCMD/{NODE}/+", 1),
        (f"spBv1.0/{GROUP}/NBIRTH/{NODE}", 0),
    ]
    assert STATE not in dict(EdgeNode(GROUP, NODE).subscriptions())


def test_nothing_is_born_before_there_is_something_to_show() -> None:
    edge = Edge()
    assert edge.connect() == []
    assert verbs(edge.show(plant(), 1)) == ["NBIRTH", "DBIRTH R1", "DBIRTH R2"]


def test_an_id_that_no_topic_can_carry_is_written_otherwise() -> None:
    edge = Edge()
    edge.show({"Equipment/A%2FB+#/Recommendation/Id": node("x")}, 0)
    assert verbs(edge.connect()) == ["NBIRTH", "DBIRTH A%2FB%2B%23"]


# --- data by exception ---


def test_only_what_changed_is_sent_by_alias_and_without_type(edge: Edge) -> None:
    assert verbs(edge.show(plant(5, polls=8, id2="r-1"), 6)) == ["NDATA", "DDATA R2"]
    assert edge.host.live == [("Agent/PollsCompleted", 8, 5000), ("R2:Recommendation/Id", "r-1", 5000)]
    assert edge.show(plant(5, polls=8, id2="r-1"), 7) == []


def test_a_new_time_alone_is_no_change(edge: Edge) -> None:
    assert edge.show(plant(60), 61) == []


def test_the_sequence_runs_over_node_and_devices_and_wraps(edge: Edge) -> None:
    """255 is followed by 0, whichever of them sends."""
    for number in range(300):
        edge.show(plant(number + 1, polls=100 + number, id1=f"r-{number}"), number + 2)
    assert len(edge.host.seqs) == 603
    assert edge.host.seqs[255:258] == [255, 0, 1]


def test_a_metric_never_goes_back_in_time(edge: Edge) -> None:
    """An older item shown in place of a newer one is a new value now, or a host would drop it as stale."""
    edge.show(plant(50, id1="r-2"), 50)
    edge.show(plant(10, id1="r-1"), 55)
    assert [when for name, _, when in edge.host.live if name == "R1:Recommendation/Id"] == [50_000, 55_000]
    edge.show(plant(9, id1="r-0"), 40)  # even when our own clock was set back
    assert edge.host.live[-1][2] == 55_001


def test_one_message_holds_its_values_in_the_order_of_time(edge: Edge) -> None:
    nodes = {**plant(20, polls=9), "Agent/Status": node("offline", 10), "Control/Armed": node(False, 30)}
    (message,) = edge.show(nodes, 31)
    times = [metric.timestamp_ms for metric in message.payload.metrics]
    assert times == sorted(times, key=lambda one: one or 0)
    assert len(times) == 3


def test_quality_is_told_also_when_the_value_stays(edge: Edge) -> None:
    """The last value while the database is away is stale (500), and never looks as if it were current."""
    told = []
    for second, quality in enumerate((Quality.UNCERTAIN, Quality.GOOD, Quality.BAD), start=1):
        nodes = {path: one._replace(quality=quality) for path, one in plant(second).items()}
        edge.show(nodes, second)
        told.append(edge.host.qualities["R1:Recommendation/Id"])
    assert told == [500, 192, 0]


def test_times_and_numbers_arrive_as_they_are(edge: Edge) -> None:
    expires: datetime = at(600)
    edge.show(plant(1, polls=-5, expires1=expires), 2)
    assert edge.host.values["R1:Recommendation/ExpiresAt"] == START_MS + 600_000
    assert edge.host.values["Agent/PollsCompleted"] == -5
    edge.show(plant(3, polls=2**53 + 1), 4)
    assert edge.host.values["R1:Recommendation/ExpiresAt"] is None
    assert edge.host.values["Agent/PollsCompleted"] == 2**53 + 1


def test_a_metric_that_is_new_has_births_before_data(edge: Edge) -> None:
    """A host can only know what a birth announced; aliases of the others stay theirs."""
    before = edge.host.heard[0].by_name["Agent/Status"].alias
    more = {**plant(1, polls=8), "Equipment/R9/Recommendation/Id": node("r-9", 1)}
    assert verbs(edge.show(more, 10)) == ["NBIRTH", "DBIRTH R1", "DBIRTH R2", "DBIRTH R9"]
    assert edge.host.values["R9:Recommendation/Id"] == "r-9"
    assert edge.host.values["bdSeq"] == 0
    assert edge.host.heard[-4].by_name["Agent/Status"].alias == before


def test_a_birth_is_whole_and_long_data_are_cut_into_parts() -> None:
    edge = Edge()
    nodes = {f"Agents/{number}/Status": node("online") for number in range(3_000)}
    edge.show(nodes, 0)
    (birth,) = edge.connect()
    assert len(birth.payload.metrics) == 3_002
    changed = {f"Agents/{number}/Status": node("offline", 1) for number in range(1_200)}
    messages = edge.show(nodes | changed, 2)
    assert [len(message.payload.metrics) for message in messages] == [500, 500, 200]
    assert list(edge.host.values.values()).count("offline") == 1_200


# --- sessions ---


def test_each_connection_has_births_with_its_own_bd_seq(edge: Edge) -> None:
    edge.node.lost()
    assert edge.show(plant(5, polls=8), 5) == []
    assert verbs(edge.connect(10)) == ["NBIRTH", "DBIRTH R1", "DBIRTH R2"]
    assert edge.host.values["bdSeq"] == 1
    assert edge.host.values["Agent/PollsCompleted"] == 8


def test_a_primary_host_is_waited_for() -> None:
    """No birth before its STATE says online; what other hosts say, and nonsense, changes nothing."""
    edge = Edge(primary_host="scada")
    edge.show(plant(), 0)
    assert edge.connect() == []
    assert edge.node.phase is Phase.WAITING
    assert edge.receive("spBv1.0/STATE/other", state(True, 5), 1) == []
    assert edge.receive(STATE, state(False, 5), 1) == []
    for nonsense in (
        b"",
        b"ONLINE",
        b'{"online": "yes", "timestamp": 6}',
        b'{"online": true}',
        b"[" * 100_000,
    ):
        assert edge.receive(STATE, nonsense, 1) == []
    assert edge.receive(STATE, state(True, 4), 1) == [], "an older session of the host"
    assert verbs(edge.receive(STATE, state(True, 6), 2, retained=True)) == [
        "NBIRTH",
        "DBIRTH R1",
        "DBIRTH R2",
    ]
    assert edge.receive(STATE, state(True, 7), 3) == [], "born already"


def test_a_state_that_came_with_the_subscription_counts() -> None:
    edge = Edge(primary_host="scada")
    edge.show(plant(), 0)
    edge.node.connecting(3, now(0))
    edge.receive(STATE, state(True, 6), 0, retained=True)
    assert verbs(said(edge.node.connected(now(1))))[0] == "NBIRTH"


def test_a_primary_host_that_goes_offline_ends_the_session() -> None:
    """Death, DISCONNECT and a new connection that waits again; an outdated offline does nothing."""
    edge = Edge(primary_host="scada")
    edge.show(plant(), 0)
    edge.connect()
    edge.receive(STATE, state(True, 100), 1)
    old = edge.node.received(STATE, state(False, 99), retained=False, now_ms=now(2))
    assert (old.leave, old.out) == ("", ())
    gone = edge.node.received(STATE, state(False, 100), retained=False, now_ms=now(3))
    assert gone.leave == "primary host scada is offline"
    assert edge.connect(4) == []
    assert edge.node.phase is Phase.WAITING
    assert verbs(edge.receive(STATE, state(True, 50), 5))[0] == "NBIRTH", (
        "a host may come back with another clock"
    )


# --- rebirth and other commands ---


def test_a_rebirth_repeats_all_births_with_the_same_bd_seq(edge: Edge) -> None:
    edge.show(plant(5, polls=8), 5)
    assert verbs(edge.receive(NCMD, rebirth(), 6)) == ["NBIRTH", "DBIRTH R1", "DBIRTH R2"]
    assert edge.host.bd_seq == 0
    assert edge.host.seqs == [0, 1, 2]


def test_a_storm_of_rebirths_is_answered_once_and_nothing_is_sent_in_between(edge: Edge) -> None:
    """Births of one session are two seconds apart; from the request until then no data may go out."""
    edge.receive(NCMD, rebirth(), 10)
    for number in range(500):
        assert edge.receive(NCMD, rebirth(), 10.1 + number / 1000) == []
    assert edge.node.rebirths_asked == 501
    assert edge.node.due_ms == now(12)
    assert edge.show(plant(11, polls=9), 11) == []
    assert edge.tick(11.999) == []
    assert verbs(edge.tick(12)) == ["NBIRTH", "DBIRTH R1", "DBIRTH R2"]
    assert edge.host.values["Agent/PollsCompleted"] == 9
    assert edge.tick(20) == []
    assert edge.node.due_ms is None


def test_a_rebirth_asked_before_the_first_birth_is_answered_by_it() -> None:
    edge = Edge(primary_host="scada")
    edge.show(plant(), 0)
    edge.connect()
    assert edge.receive(NCMD, rebirth(), 1) == []
    assert edge.node.phase is Phase.WAITING


def test_every_other_command_is_refused_and_told_once(edge: Edge) -> None:
    """Nobody can prove over MQTT who decides, so nothing is written, approved or armed this way."""
    arm = command(Metric(name="Control/Armed", timestamp_ms=START_MS, datatype=DataType.Boolean, value=False))
    for topic in (NCMD, DCMD):
        first = edge.node.received(topic, arm, retained=False, now_ms=now(5))
        assert list(first.out) == []
        assert "'Control/Armed' is refused" in first.notices[0]
        assert edge.node.received(topic, arm, retained=False, now_ms=now(6)).notices == []
    assert edge.host.values["Control/Armed"] is True
    by_alias = command(Metric(alias=3, timestamp_ms=START_MS, datatype=DataType.Boolean, value=True))
    assert (
        "'alias 3' is refused" in edge.node.received(NCMD, by_alias, retained=False, now_ms=now(7)).notices[0]
    )
    assert edge.receive(DCMD, rebirth(), 8) == [], "a rebirth is asked of the node, not of a device"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (NCMD, b"\xff\xff garbage"),
        (NCMD, rebirth()[:-3]),
        (NCMD, b"\x0a" + b"\xff" * 70_000),
        (NCMD, command(Metric(name="Node Control/Rebirth", datatype=DataType.Boolean, value=False))),
        (NCMD, command(Metric(name="Node Control/Rebirth", datatype=DataType.String, value="true"))),
        (f"spBv1.0/{GROUP}/NDATA/{NODE}", rebirth()),
        ("elsewhere", rebirth()),
    ],
)
def test_nonsense_is_refused_by_name_and_changes_nothing(edge: Edge, topic: str, payload: bytes) -> None:
    found = edge.node.received(topic, payload, retained=False, now_ms=now(9))
    assert list(found.out) == []
    assert topic in found.notices[0]
    assert edge.node.phase is Phase.LIVE


def test_a_retained_command_is_never_carried_out(edge: Edge) -> None:
    """It would come again with every connection."""
    found = edge.node.received(NCMD, rebirth(), retained=True, now_ms=now(9))
    assert list(found.out) == []
    assert "retained" in found.notices[0]


def test_complaints_are_bounded(edge: Edge) -> None:
    told = 0
    for number in range(1000):
        nonsense = command(Metric(name=f"No/{number}", datatype=DataType.Int32, value=1))
        told += len(edge.node.received(NCMD, nonsense, retained=False, now_ms=now(9)).notices)
    assert told == 200


def test_what_is_new_may_change_while_its_births_are_owed(edge: Edge) -> None:
    """Its data wait for the births that announce it, which hold what it has become by then."""
    new = "Equipment/NEW/Recommendation/Id"
    assert edge.show({**plant(), new: node("", 0.5)}, 0.5) == [], "the last births are too young"
    assert edge.show({**plant(), new: node("R-1", 0.9)}, 0.9) == []
    assert verbs(edge.tick(2.0)) == ["NBIRTH", "DBIRTH R1", "DBIRTH R2", "DBIRTH NEW"]
    assert edge.host.values["NEW:Recommendation/Id"] == "R-1"


# --- history ---


def past(
    name: str, value: object, second: float, number: int, kind: MetricType = MetricType.STRING
) -> Change:
    device, _, below = name.rpartition(":")
    return Change(Place(device, below), kind, value, 192, now(second), number)  # type: ignore[arg-type]


def test_history_is_told_as_such_in_its_order_with_its_own_times(edge: Edge) -> None:
    waiting = [
        past("R1:Recommendation/Id", "r-1", 1, 11),
        past("Agent/Status", "offline", 2, 12),
        past("R1:Recommendation/Id", "", 3, 13),
        past("R1:Recommendation/Id", "r-2", 2.5, 14),
    ]
    out, strange = edge.node.history(waiting, now(10))
    assert strange == []
    assert [message.ids for message in out] == [(11, 13, 14), (12,)]
    edge._told(out)
    assert edge.host.history == [
        ("R1:Recommendation/Id", "r-1", 1000),
        ("R1:Recommendation/Id", "", 3000),
        ("R1:Recommendation/Id", "r-2", 2500),
        ("Agent/Status", "offline", 2000),
    ]
    assert edge.host.values["R1:Recommendation/Id"] == "", "history is never the present value"


def test_history_of_what_no_birth_announces_is_given_back(edge: Edge) -> None:
    gone = past("R7:Recommendation/Id", "x", 1, 21)
    other_type = past("Agent/PollsCompleted", "seven", 1, 22)
    out, strange = edge.node.history([gone, other_type], now(10))
    assert (out, strange) == ([], [gone, other_type])


def test_history_waits_while_births_are_owed(edge: Edge) -> None:
    edge.receive(NCMD, rebirth(), 1)
    assert not edge.node.ready
    assert edge.node.history([past("Agent/Status", "x", 1, 1)], now(1)) == ([], [])
    edge.tick(2)
    assert edge.node.ready


def test_what_is_kept_for_later(edge: Edge) -> None:
    """Ages follow from times that are kept, and the first reading after a start is no event."""
    nodes = {**plant(1, polls=8), "Agent/HeartbeatAgeS": node(9.0, 1)}
    kept = {change.place.name: edge.node.keep(change) for change in edge.node.compare(nodes, now(1))}
    assert kept == {
        "Agent/PollsCompleted": True,
        "Agent/HeartbeatAgeS": False,
    }
    fresh = Edge()
    unread = {path: one._replace(quality=Quality.BAD, source_time_utc=None) for path, one in plant().items()}
    fresh.show(unread, 0)
    assert not any(fresh.node.keep(change) for change in fresh.node.compare(plant(1), now(1)))
    fresh.show(plant(1), 1)
    assert [fresh.node.keep(change) for change in fresh.node.compare(plant(2, polls=8), now(2))] == [True]
