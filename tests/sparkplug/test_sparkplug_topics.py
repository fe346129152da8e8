"""Are topics of the namespace read and written exactly, and all others refused?"""

from __future__ import annotations

import pytest

from bridge.errors import PayloadError
from bridge.links.sparkplug_address import Address
from bridge.links.sparkplug_address import parse as address
from bridge.sparkplug.topics import Topic, Verb, parse, state_topic, topic, valid_id


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb is not Verb.STATE])
def test_a_topic_is_read_as_it_was_written(verb: Verb) -> None:
    device = "Pump 1" if verb.of_device else ""
    text = topic(verb, "Plant A", "Edge:1", device)
    assert text == f"spBv1.0/Plant A/{verb}/Edge:1" + (f"/{device}" if device else "")
    assert parse(text) == Topic(verb, "Plant A", "Edge:1", device)
    assert str(parse(text)) == text


def test_state_names_the_host_alone() -> None:
    assert parse(state_topic("bridge")) == Topic(Verb.STATE, "", "bridge")
    assert str(parse("spBv1.0/STATE/bridge")) == "spBv1.0/STATE/bridge"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spBv1.0",
        "spAv1.0/G/NDATA/N",
        "STATE/bridge",
        "spBv1.0/STATE",
        "spBv1.0/STATE/",
        "spBv1.0/STATE/bridge/x",
        "spBv1.0/G/STATE/N",
        "spBv1.0/G/ndata/N",
        "spBv1.0/G/NDATA/N/D",
        "spBv1.0/G/DDATA/N",
        "spBv1.0/G/DDATA/N/D/X",
        "spBv1.0//NDATA/N",
        "spBv1.0/G/NDATA/",
        "spBv1.0/G/DDATA/N/",
        "spBv1.0/G+/NDATA/N",
        "spBv1.0/G/NDATA/N#",
        "spBv1.0/G/NDATA/N\0",
    ],
)
def test_what_is_no_topic_of_the_namespace_is_refused(text: str) -> None:
    with pytest.raises(PayloadError, match="is not a topic of spBv1"):
        parse(text)


@pytest.mark.parametrize("wrong", ["", "a/b", "a+", "#", "a\0"])
def test_ids_that_no_topic_can_carry_are_refused(wrong: str) -> None:
    assert not valid_id(wrong)
    for ids in ((wrong, "N"), ("G", wrong)):
        with pytest.raises(PayloadError, match="an id wants"):
            topic(Verb.NDATA, *ids)
    with pytest.raises(PayloadError, match="an id wants"):
        state_topic(wrong)
    with pytest.raises(PayloadError):
        topic(Verb.DDATA, "G", "N", wrong)


def test_a_device_is_named_where_it_belongs_and_nowhere_else() -> None:
    with pytest.raises(PayloadError, match="wants no device"):
        topic(Verb.NCMD, "G", "N", "D")
    with pytest.raises(PayloadError, match="wants a device"):
        topic(Verb.DCMD, "G", "N")
    with pytest.raises(PayloadError, match="STATE belongs to a host"):
        topic(Verb.STATE, "G", "N")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("G/N:Level", Address("G", "N", "", "Level")),
        ("G/N/D:Level", Address("G", "N", "D", "Level")),
        (
            "Plant A/Edge 1/Pump 1:Outputs/Speed: set",
            Address("Plant A", "Edge 1", "Pump 1", "Outputs/Speed: set"),
        ),
        (" G/N:Level ", Address("G", "N", "", "Level")),
    ],
)
def test_an_address_is_ids_a_colon_and_a_metric(text: str, wanted: Address) -> None:
    assert address(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "N:Level", "G/N", "G/N:", ":Level", "G//D:Level", "G/N/D/X:Level", "G/+:Level"]
)
def test_an_address_is_never_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="wanted an address like group/node:Metric/Name"):
        address(text)
