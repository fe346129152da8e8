"""Topics of the Sparkplug B namespace: what they say, and how they are written."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from bridge.errors import PayloadError

NAMESPACE = "spBv1.0"
_FORBIDDEN = frozenset("/+#\0")


class Verb(StrEnum):
    """Kinds of messages."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"
    STATE = "STATE"

    @property
    def of_device(self) -> bool:
        """Whether its topic names a device."""
        return self.value[0] == "D"


class Topic(NamedTuple):
    """One topic. `group` is empty for STATE, whose `node` is the host id; `device` is empty for a node's own."""

    verb: Verb
    group: str
    node: str
    device: str = ""

    def __str__(self) -> str:
        if self.verb is Verb.STATE:
            return state_topic(self.node)
        return topic(self.verb, self.group, self.node, self.device)


def valid_id(text: str) -> bool:
    """Whether a text may name a group, node, device or host: not empty, no `/`, `+`, `#` or NUL."""
    return bool(text) and _FORBIDDEN.isdisjoint(text)


def topic(verb: Verb, group: str, node: str, device: str = "") -> str:
    """The topic of a message; PayloadError for ids that no topic can carry."""
    if verb is Verb.STATE:
        raise PayloadError("STATE belongs to a host; use state_topic")
    if bool(device) != verb.of_device:
        raise PayloadError(f"{verb} wants {'a' if verb.of_device else 'no'} device, found {device!r}")
    parts = (group, node, device) if device else (group, node)
    for part in parts:
        _demand(part)
    return "/".join((NAMESPACE, group, verb.value, *parts[1:]))


def state_topic(host_id: str) -> str:
    """Where a host application says whether it is online."""
    _demand(host_id)
    return f"{NAMESPACE}/STATE/{host_id}"


def parse(text: str) -> Topic:
    """What a topic says; PayloadError when it is none of this namespace."""
    words = text.split("/")
    if words[0] != NAMESPACE:
        raise PayloadError(f"{text!r} is not a topic of {NAMESPACE}")
    if len(words) == 3 and words[1] == "STATE" and valid_id(words[2]):
        return Topic(Verb.STATE, "", words[2])
    if len(words) in (4, 5) and words[2] in Verb.__members__ and all(valid_id(word) for word in words[1:]):
        verb = Verb(words[2])
        if verb is not Verb.STATE and verb.of_device == (len(words) == 5):
            return Topic(verb, words[1], words[3], words[4] if len(words) == 5 else "")
    raise PayloadError(
        f"{text!r} is not a topic of {NAMESPACE}: wanted group/verb/node, group/verb/node/device or STATE/host"
    )


def _demand(part: str) -> None:
    if not valid_id(part):
        raise PayloadError(f"an id wants at least one character and none of / + # NUL, found {part!r}")
