"""Does the host say that it is online and offline as edge nodes expect it, and contradict what is no longer true?"""

from __future__ import annotations

import json

import pytest
from sparkplug_edge import GROUP, NODE, T0, connected, tag

from bridge.links.sparkplug import Host
from bridge.links.sparkplug_effects import Effects, Outgoing

TOPIC = "spBv1.0/STATE/bridge"


def host(*, primary: bool = True) -> Host:
    return Host("bridge", [tag("Level")], primary=primary)


def said(message: Outgoing | None) -> tuple[str, int, bool, object]:
    """Topic, QoS, retain and what the JSON says."""
    assert message is not None
    return message.topic, message.qos, message.retain, json.loads(message.payload.decode())


def state(of: Host, *, online: object, timestamp: object, retained: bool = False) -> Effects:
    data = json.dumps({"online": online, "timestamp": timestamp}).encode()
    return of.on_message(TOPIC, data, retained=retained, now_ms=T0 + 50)


def test_the_will_says_offline_and_the_birth_online_with_the_same_time() -> None:
    one = host()
    assert said(one.will(T0)) == (TOPIC, 1, True, {"online": False, "timestamp": T0})
    (birth,) = one.connected(T0 + 40).sends
    assert said(birth) == (TOPIC, 1, True, {"online": True, "timestamp": T0})


def test_every_session_has_its_own_time() -> None:
    one = host()
    one.will(T0)
    one.connected(T0 + 1)
    one.disconnected()
    one.will(T0 + 500)
    (birth,) = one.connected(T0 + 501).sends
    assert said(birth)[3] == {"online": True, "timestamp": T0 + 500}


def test_the_last_word_says_offline_with_the_present_time() -> None:
    one = host()
    one.will(T0)
    one.connected(T0 + 1)
    assert said(one.goodbye(T0 + 900)) == (TOPIC, 1, True, {"online": False, "timestamp": T0 + 900})


def test_the_state_and_every_message_of_wanted_nodes_are_subscribed() -> None:
    """Not commands, which are for others; devices all, since a node counts over all of them."""
    node = f"spBv1.0/{GROUP}"
    assert dict(host().filters()) == {
        TOPIC: 1,
        f"{node}/NDEATH/{NODE}": 1,
        f"{node}/NBIRTH/{NODE}": 0,
        f"{node}/NDATA/{NODE}": 0,
        f"{node}/DBIRTH/{NODE}/+": 0,
        f"{node}/DDATA/{NODE}/+": 0,
        f"{node}/DDEATH/{NODE}/+": 0,
    }


def test_the_state_is_the_first_message_of_a_session() -> None:
    one = host()
    one.will(T0)
    assert one.tick(T0 + 5_000).sends == [], "before it is connected it sends nothing"
    assert [send.topic for send in one.connected(T0 + 5_000).sends] == [TOPIC]


def test_an_offline_of_our_own_is_contradicted_at_once() -> None:
    """The will of our last connection may be delivered after we are back."""
    one = host()
    one.will(T0)
    one.connected(T0 + 1)
    answer = state(one, online=False, timestamp=T0 - 9_000)
    assert said(answer.sends[0]) == (TOPIC, 1, True, {"online": True, "timestamp": T0})
    assert [event.name for event in answer.events] == ["host.state_restored"]
    assert state(one, online=True, timestamp=T0).sends == []


def test_a_retained_stale_state_is_contradicted_too() -> None:
    one = host()
    one.will(T0)
    assert state(one, online=False, timestamp=T0 - 9_000, retained=True).sends == [], "the birth comes anyway"
    one.connected(T0 + 1)
    assert len(state(one, online=False, timestamp=T0 - 9_000, retained=True).sends) == 1


def test_another_host_under_our_name_is_said() -> None:
    one = host()
    one.will(T0)
    one.connected(T0 + 1)
    assert [event.name for event in state(one, online=True, timestamp=T0 + 3).events] == ["host.id_shared"]


def test_a_state_after_the_last_word_is_left_alone() -> None:
    one = host()
    one.will(T0)
    one.connected(T0 + 1)
    one.goodbye(T0 + 2)
    assert state(one, online=False, timestamp=T0 + 2).sends == []


@pytest.mark.parametrize("data", [b"", b"ONLINE", b"\xff", b"[]", b"1", b'{"online": true}', b"[" * 100_000])
def test_a_state_that_cannot_be_read_is_said_and_borne(data: bytes) -> None:
    one = host()
    one.will(T0)
    one.connected(T0 + 1)
    answer = one.on_message(TOPIC, data, retained=True, now_ms=T0 + 2)
    assert (answer.sends, [event.name for event in answer.events]) == ([], ["host.state_unreadable"])


def test_the_state_of_another_host_is_its_own_affair() -> None:
    edge = connected(tag("Level"))
    answer = edge.host.on_message(
        "spBv1.0/STATE/another", b'{"online": false, "timestamp": 1}', retained=True, now_ms=T0
    )
    assert (answer.sends, answer.events) == ([], [])
    assert edge.host.counts == {"states_seen": 1}


def test_a_host_that_is_not_primary_publishes_no_state() -> None:
    one = host(primary=False)
    assert one.will(T0) is None
    assert one.connected(T0).sends == []
    assert one.goodbye(T0) is None
    assert TOPIC not in dict(one.filters())
