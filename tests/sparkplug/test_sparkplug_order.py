"""Are messages applied in the order in which a node counted them, and is a birth asked for when one is missing?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparkplug_edge import DEVICE, GROUP, NODE, T0, Edge, connected, metric, tag

from bridge.domain.reading import Quality
from bridge.links.sparkplug import Host
from bridge.links.sparkplug_effects import Effects
from bridge.links.sparkplug_node import NodeState
from bridge.sparkplug.payload import decode
from bridge.sparkplug.topics import Verb
from bridge.sparkplug.types import Metric, MetricType

LEVEL = tag("Level")


def alive(**changed: Any) -> Edge:
    """A node with its device, born; the next message has the number 2."""
    edge = connected(LEVEL, **changed)
    edge.nbirth()
    edge.dbirth(metric("Level", 0.0, alias=1))
    return edge


def level(edge: Edge, value: float) -> bytes:
    """The bytes of the next data, not yet given to the host."""
    edge.now_ms += 1
    return edge.payload([metric(None, value, alias=1)])


def give(edge: Edge, messages: Sequence[bytes]) -> list[Any]:
    """What becomes of messages that arrive in this order."""
    return [r.value for data in messages for r in edge.give(Verb.DDATA, data, DEVICE).readings]


def asked(effects: Effects) -> list[str]:
    """Topics of what the host sends."""
    return [send.topic for send in effects.sends]


REBIRTH = [f"spBv1.0/{GROUP}/NCMD/{NODE}"]


def test_numbers_run_over_the_node_and_all_its_devices_and_wrap_at_255() -> None:
    edge = connected(LEVEL, tag("Uptime", device=""))
    edge.nbirth(metric("Uptime", 0.0, alias=2))
    edge.dbirth(metric("Level", 0.0, alias=1))
    edge.dbirth(metric("Level", 0.0), device="nobody wants it")
    for value in range(600):
        verb = (Verb.DDATA, Verb.NDATA)[value % 2]
        data = edge.payload([metric(None, float(value), alias=1 + value % 2)])
        got = edge.give(verb, data, DEVICE if verb.of_device else "")
        assert [r.value for r in got.readings] == [float(value)]
        edge.ddata(metric("x", 1.0), device="nobody wants it")
    assert edge.host.counts == {}


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_messages_in_any_order_are_applied_in_theirs(order: tuple[int, ...]) -> None:
    edge = alive()
    messages = [level(edge, float(n)) for n in range(4)]
    assert give(edge, [messages[n] for n in order]) == [0.0, 1.0, 2.0, 3.0]
    assert asked(edge.tick(10_000)) == []
    assert edge.host.counts["rebirths_asked"] == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_duplicates_and_reordering_lose_nothing_and_double_nothing(data: st.DataObject) -> None:
    """Across the wrap at 255: every message at most three places late, some of them twice."""
    edge = alive()
    edge.seq = 2
    give(edge, [level(edge, -1.0) for _ in range(data.draw(st.integers(0, 260)))])
    messages = [level(edge, float(n)) for n in range(12)]
    late = {n: n + data.draw(st.integers(0, 3)) + 0.5 for n in range(12)}
    twice = data.draw(st.lists(st.integers(0, 11), max_size=4))
    order = sorted(range(12), key=lambda n: (late[n], n))
    order = [n for one in order for n in ([one, one] if one in twice else [one])]
    assert give(edge, [messages[n] for n in order]) == [float(n) for n in range(12)]
    assert edge.host.counts["duplicates"] == len(order) - 12
    assert edge.host.nodes[GROUP, NODE].state is NodeState.ALIVE


def test_a_missing_message_is_awaited_and_then_a_birth_is_asked_for() -> None:
    edge = alive(reorder_ms=2_000)
    _, late = level(edge, 1.0), level(edge, 2.0)
    assert give(edge, [late]) == []
    assert asked(edge.tick(1_999)) == []
    timed_out = edge.tick(1)
    assert asked(timed_out) == REBIRTH
    assert [event.name for event in timed_out.events] == ["node.doubted"]
    assert edge.host.nodes[GROUP, NODE].state is NodeState.IN_DOUBT


def test_a_missing_message_that_comes_in_time_stops_the_timer() -> None:
    edge = alive()
    first, second = level(edge, 1.0), level(edge, 2.0)
    give(edge, [second])
    edge.tick(1_900)
    assert give(edge, [first]) == [1.0, 2.0]
    assert asked(edge.tick(10_000)) == []
    assert edge.host.counts == {"gaps": 1}


def test_each_gap_has_its_own_time() -> None:
    edge = alive()
    one, two, three, four = (level(edge, float(n)) for n in range(4))
    del two
    give(edge, [one])
    edge.tick(1_500)
    give(edge, [four])
    edge.tick(1_500)
    assert give(edge, [three]) == []
    assert asked(edge.tick(499)) == []
    assert asked(edge.tick(1)) == REBIRTH


def test_the_reorder_time_is_a_setting() -> None:
    edge = alive(reorder_ms=50)
    level(edge, 1.0)
    give(edge, [level(edge, 2.0)])
    assert asked(edge.tick(49)) == []
    assert asked(edge.tick(1)) == REBIRTH


def test_in_doubt_values_are_uncertain_and_nothing_is_taken_until_the_birth() -> None:
    """A missed message may have been a birth that gave the aliases anew: by alias, nothing is certain."""
    edge = alive()
    level(edge, 1.0)
    give(edge, [level(edge, 2.0)])
    edge.tick(2_000)
    read = edge.host.read(LEVEL, edge.now_ms)
    assert (read.value, read.quality, read.status) == (0.0, Quality.UNCERTAIN, "UncertainLastUsableValue")
    assert give(edge, [level(edge, 3.0)]) == []
    edge.rebirth()
    assert edge.host.read(LEVEL, edge.now_ms).status == "BadWaitingForInitialData"
    edge.dbirth(metric("Level", 4.0, alias=9))
    read = edge.host.read(LEVEL, edge.now_ms)
    assert (read.value, read.quality) == (4.0, Quality.GOOD)


def test_a_lost_rebirth_cannot_put_values_under_wrong_names() -> None:
    """The birth that swaps two aliases is lost; its data must not be read by the old aliases."""
    edge = connected(LEVEL, tag("Flow"))
    edge.nbirth()
    edge.dbirth(metric("Level", 1.0, alias=1), metric("Flow", 2.0, alias=2))
    give(edge, [level(edge, 1.5)])
    edge.seq = 2  # NBIRTH 0 and DBIRTH 1 with the aliases swapped went by unheard
    assert give(edge, [level(edge, 222.0)]) == []
    assert asked(edge.tick(2_000)) == REBIRTH
    assert edge.host.read(LEVEL, edge.now_ms).value == 1.5


def test_births_that_overtake_their_node_are_applied_after_it() -> None:
    edge = alive()
    give(edge, [level(edge, float(n)) for n in range(20)])
    edge.now_ms += 100
    edge.seq = 1
    dbirth = edge.payload([metric("Level", 5.0, alias=7)])
    ddata = edge.payload([metric(None, 6.0, alias=7)])
    assert edge.give(Verb.DBIRTH, dbirth, DEVICE).readings == []
    assert edge.give(Verb.DDATA, ddata, DEVICE).readings == []
    assert [r.value for r in edge.nbirth().readings] == [5.0, 6.0]
    assert asked(edge.tick(10_000)) == []


def test_births_that_overtake_theirs_keep_the_number_expected_from_the_old_aliases() -> None:
    """The next number of the old life is one of the new life by chance; the birth is on its way, or lost."""
    edge = connected(LEVEL, tag("Flow"))
    edge.nbirth()
    edge.dbirth(metric("Level", 1.0, alias=1), metric("Flow", 2.0, alias=2))
    edge.seq = 1
    edge.now_ms += 100
    edge.dbirth(metric("Level", 1.0, alias=2), metric("Flow", 2.0, alias=1))
    assert give(edge, [level(edge, 222.0)]) == []
    assert asked(edge.tick(2_000)) == REBIRTH


def test_what_belongs_to_the_life_before_a_birth_is_not_read_by_the_aliases_of_the_new() -> None:
    edge = connected(LEVEL, tag("Flow"))
    edge.nbirth()
    edge.dbirth(metric("Level", 1.0, alias=1), metric("Flow", 2.0, alias=2))
    before = [level(edge, float(n)) for n in range(3)]
    give(edge, [before[2]])
    edge.rebirth()
    edge.dbirth(metric("Level", 1.0, alias=2), metric("Flow", 2.0, alias=1))
    assert give(edge, before) == [], "the first of them has the very number that is expected now"
    (reading,) = edge.ddata(metric(None, 9.5, alias=1)).readings
    assert (reading.tag.address, reading.value) == (tag("Flow").address, 9.5)
    assert edge.host.counts["late"] == 4
    assert asked(edge.tick(10_000)) == []


@pytest.mark.parametrize("behind_ms", [7, 3_600_000])
def test_a_node_whose_clock_is_set_back_is_heard_all_the_same(behind_ms: int) -> None:
    """Or that stamps its messages with the time of their data; by the same aliases nothing can be mistaken."""
    edge = alive()
    edge.rebirth()
    edge.dbirth(metric("Level", 0.0, alias=1))
    for value in (1.0, 2.0):
        data = edge.payload([metric(None, value, alias=1)], timestamp_ms=T0 - behind_ms)
        assert give(edge, [data]) == [value]
    assert asked(edge.tick(10_000)) == []


def test_a_birth_that_comes_twice_counts_once() -> None:
    edge = connected(LEVEL)
    birth = edge.payload([metric("bdSeq", 0, MetricType.INT64)])
    edge.give(Verb.NBIRTH, birth)
    edge.dbirth(metric("Level", 1.0, alias=1))
    edge.give(Verb.NBIRTH, birth)
    assert edge.host.counts["duplicates"] == 1
    assert give(edge, [level(edge, 2.0)]) == [2.0]


def test_two_messages_with_one_number_are_a_reason_for_doubt() -> None:
    edge = alive()
    edge.seq = 5
    one = level(edge, 1.0)
    edge.seq = 5
    other = level(edge, 2.0)
    give(edge, [one])
    assert asked(edge.give(Verb.DDATA, other, DEVICE)) == REBIRTH


@pytest.mark.parametrize("seq", [None])
def test_a_message_without_a_number_is_refused(seq: int | None) -> None:
    edge = alive()
    got = edge.ddata(metric(None, 1.0, alias=1), seq=seq)
    assert (got.readings, asked(got)) == ([], REBIRTH)


def test_a_number_above_255_is_refused() -> None:
    edge = alive()
    data = level(edge, 1.0) + b"\x18\x82\x02"  # seq once more, and the last one counts: 258
    assert decode(data).seq == 258
    got = edge.give(Verb.DDATA, data, DEVICE)
    assert (got.readings, asked(got)) == ([], REBIRTH)


def test_a_birth_that_does_not_count_from_zero_is_borne_and_said() -> None:
    edge = connected(LEVEL)
    edge.seq = 0
    born = edge.nbirth(seq=17)
    edge.seq = 18
    assert [event.name for event in born.events] == ["node.misspoke", "node.born"]
    assert [r.value for r in edge.dbirth(metric("Level", 1.0)).readings] == [1.0]


def test_what_waits_for_a_missing_message_is_bounded() -> None:
    edge = alive(max_bytes=10_000)
    level(edge, 0.0)
    sends: list[str] = []
    for _ in range(5):
        edge.now_ms += 1
        data = edge.payload([metric(None, 1.0, alias=1)], body=bytes(8_000))
        sends += asked(edge.give(Verb.DDATA, data, DEVICE))
    assert sends == REBIRTH
    assert edge.host.nodes[GROUP, NODE].state is NodeState.IN_DOUBT


# --- asking for births ---


def test_a_rebirth_request_is_an_ncmd_by_name_without_seq() -> None:
    edge = connected(LEVEL)
    (send,) = edge.tick(1_000).sends
    assert (send.topic, send.qos, send.retain) == (f"spBv1.0/{GROUP}/NCMD/{NODE}", 0, False)
    said = decode(send.payload)
    assert (said.seq, said.timestamp_ms) == (None, T0 + 1_000)
    assert said.metrics == (Metric("Node Control/Rebirth", None, T0 + 1_000, MetricType.BOOLEAN, True),)


def test_nodes_may_birth_by_themselves_before_they_are_asked() -> None:
    edge = connected(LEVEL)
    assert asked(edge.tick(999)) == []
    edge.nbirth()
    assert asked(edge.tick(100_000)) == []
    silent = connected(LEVEL)
    assert asked(silent.tick(1_000)) == REBIRTH


def test_a_node_is_asked_no_more_often_than_the_setting_allows() -> None:
    """Whatever it does wrong: 60 s of data with an unknown alias 10 times a second."""
    edge = alive(rebirth_every_ms=10_000)
    times: list[int] = []
    for _ in range(600):
        edge.now_ms += 100
        if asked(edge.ddata(metric(None, 1.0, alias=99))):
            times.append(edge.now_ms)
        edge.tick()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 2 <= len(times) <= 6
    assert min(gaps) >= 10_000


def test_a_node_that_births_at_every_request_and_is_never_right_is_asked_ever_less() -> None:
    edge = alive(rebirth_every_ms=1_000)
    requests = 0
    for _ in range(600):
        edge.now_ms += 100
        sends = asked(edge.ddata(metric(None, 1.0, alias=99))) + asked(edge.tick())
        requests += len(sends)
        if sends:
            edge.rebirth()
            edge.dbirth(metric("Level", 0.0, alias=1))
    assert 2 <= requests <= 10, "once a second would be 60"


def test_unanswered_requests_double_their_distance_and_a_birth_ends_that() -> None:
    edge = connected(LEVEL, rebirth_every_ms=10_000)
    times = []
    for _ in range(3_000):
        if asked(edge.tick(1_000)):
            times.append((edge.now_ms - T0) // 1_000)
    assert times[:7] == [1, 11, 31, 71, 151, 311, 631]
    assert times[7] - times[6] == 320
    edge.nbirth()
    edge.dbirth(metric("Level", 0.0, alias=1))
    edge.tick(200_000)
    level(edge, 1.0)
    give(edge, [level(edge, 2.0)])
    assert asked(edge.tick(2_000)) == REBIRTH


def test_a_flapping_connection_does_not_ask_more_often() -> None:
    edge = connected(LEVEL, rebirth_every_ms=10_000)
    requests = 0
    for _ in range(10):
        edge.host.disconnected()
        edge.host.connected(edge.now_ms)
        requests += len([send for send in edge.tick(1_500).sends if "NCMD" in send.topic])
    assert requests == 2


def test_timers_do_not_wait_for_a_clock_that_was_set_back() -> None:
    edge = alive()
    level(edge, 1.0)
    give(edge, [level(edge, 2.0)])
    edge.now_ms -= 3_600_000
    assert asked(edge.tick()) == []
    assert asked(edge.tick(2_000)) == REBIRTH


def test_messages_given_later_than_they_arrived_do_not_make_time_run_faster() -> None:
    edge = alive(reorder_ms=2_000)
    level(edge, 1.0)
    began_ms = edge.now_ms
    give(edge, [level(edge, 2.0)])
    while edge.now_ms < began_ms + 1_900:
        edge.now_ms += 100
        assert asked(edge.host.tick(edge.now_ms)) == []
        edge.host.on_message("foreign", b"", retained=False, now_ms=edge.now_ms - 90)
    assert asked(edge.tick(101)) == REBIRTH


def test_nodes_do_not_disturb_each_other() -> None:
    host = Host("bridge", [tag("Level", node="A"), tag("Level", node="B")])
    host.connected(T0)
    a, b = Edge(host, node="A"), Edge(host, node="B")
    for edge in (a, b):
        edge.nbirth()
        edge.dbirth(metric("Level", 0.0, alias=1))
    a.seq = 9
    give(a, [level(a, 1.0)])
    assert asked(a.tick(2_500)) == [f"spBv1.0/{GROUP}/NCMD/A"]
    assert give(b, [level(b, 2.0)]) == [2.0]
