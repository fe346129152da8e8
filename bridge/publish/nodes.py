"""What is published: one description of every node, made from a snapshot of the agent's tables. Pure.

The OPC UA server and the Sparkplug edge node show the same content because both show what `nodes` returns.
A path such as `Equipment/REACTOR_02/Recommendation/Id` is the string id of the OPC UA node and the name of
the Sparkplug metric (a slash inside an id is written %2F).

Rules of reading, the same in both forms:
- Nothing there (no open recommendation, no command yet) is an empty text, the number 0 and no time (None),
  with good quality: the database was asked, and there is nothing.
- Not known is never shown as nothing: while the database does not answer, every value keeps what it last
  was with uncertain quality, or bad when nothing was ever read; `Agent/Status` says `database_away`.
- A node's source time is when its value arose, by the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from bridge.domain.reading import Quality
from bridge.publish.state import (
    ENDED,
    LIVE,
    OPEN,
    SEVERITIES,
    AgentHealth,
    Command,
    Recommendation,
    Snapshot,
    View,
)

NAMESPACE = "urn:ignition-bridge:agent"
"""Namespace URI of the OPC UA nodes; their string ids equal their paths."""

ONLINE, OFFLINE, NEVER_SEEN, DATABASE_AWAY = "online", "offline", "never_seen", "database_away"
"""What `Agent/Status` can say. `offline` is by the agent's own word or by its silence."""

NodeValue = bool | int | float | str | datetime | None


class NodeType(StrEnum):
    """Data types of nodes; the names are those of OPC UA and of Sparkplug alike."""

    BOOLEAN = "Boolean"
    INT64 = "Int64"
    DOUBLE = "Double"
    STRING = "String"
    DATE_TIME = "DateTime"


class Node(NamedTuple):
    """One published value. A NamedTuple, because ten thousand are made for every snapshot.

    `value` is None only for a time that is not there. `unit` is empty or what the number counts (s, ms).
    `source_time_utc` is aware, and None while nothing was ever read.
    """

    value: NodeValue
    type: NodeType
    unit: str
    source_time_utc: datetime | None
    quality: Quality
    description: str


_EMPTY: dict[NodeType, NodeValue] = {
    NodeType.BOOLEAN: False,
    NodeType.INT64: 0,
    NodeType.DOUBLE: 0.0,
    NodeType.STRING: "",
    NodeType.DATE_TIME: None,
}


def folder_name(identifier: str) -> str:
    """One step of a path: a slash in an identifier is not a step of its own."""
    return identifier.replace("%", "%25").replace("/", "%2F")


def nodes(view: View) -> dict[str, Node]:
    """Every published node by its path, in the order in which a person would read them.

    Paths never leave: equipment and agents that were once seen have to be passed again in `view.equipment`
    or stand in the database.
    """
    found: dict[str, Node] = {}
    shot = view.snapshot
    quality = Quality.BAD if shot is None else Quality.UNCERTAIN if view.away else Quality.GOOD
    for path, node in _content(view):
        if node.quality is Quality.GOOD and path not in _OWN:
            node = node._replace(quality=quality)
        found[path] = node
    return found


_OWN = ("Agent/Id", "Agent/Status", "Agent/Problem", "Agent/SnapshotAt")  # known without the database


def changes(before: Mapping[str, Node], after: Mapping[str, Node]) -> dict[str, Node]:
    """Nodes that are new or whose value or quality differs; a source time alone is no change."""
    found = {}
    for path, node in after.items():
        old = before.get(path)
        if old is None or old.value != node.value or old.quality is not node.quality:
            found[path] = node
    return found


Described = Iterator[tuple[str, Node]]


def _content(view: View) -> Described:
    shot = view.snapshot
    agents = {} if shot is None else shot.agents
    yield from _own_agent(view, agents.get(view.agent_id))
    yield from _control(shot)
    yield from _counts(shot)
    for agent_id in sorted(agents):
        if agent_id != view.agent_id:
            yield from _agent(f"Agents/{folder_name(agent_id)}", agents[agent_id], shot)
    yield from _equipment(view.equipment, shot)


def _own_agent(view: View, agent: AgentHealth | None) -> Described:
    shot = view.snapshot
    taken = None if shot is None else shot.taken_utc
    if view.away:
        status, at = DATABASE_AWAY, view.away_since_utc or taken
    elif agent is None:
        status, at = NEVER_SEEN, taken
    else:
        status, at = agent.status, agent.last_heartbeat_utc
    here = _At("Agent", at)
    yield here.text("Id", view.agent_id, "Name of this bridge's agent")
    yield here.text(
        "Status", status, "online; offline by its own word or by silence; never_seen; database_away"
    )
    yield here.text("Problem", view.away, "Why the database does not answer; empty while it does")
    yield _At("Agent", taken).time("SnapshotAt", taken, "When the database was last read")
    yield from _agent("Agent", agent, shot)
    beat = _At("Agent", None if agent is None else agent.last_heartbeat_utc)
    yield beat.text("Site", "" if agent is None else agent.site, "Site the agent works for")
    yield beat.text("Version", "" if agent is None else agent.version, "Version of the bridge")
    yield beat.number("CycleMs", None if agent is None else agent.cycle_ms, "ms", "Length of the last round")
    depth = None if agent is None else agent.buffer_depth
    yield beat.count("BufferDepth", depth or 0, "Readings that wait on disk for the database")


def _agent(path: str, agent: AgentHealth | None, shot: Snapshot | None) -> Described:
    last = None if agent is None else agent.last_heartbeat_utc
    here = _At(path, last)
    if path != "Agent" and agent is not None:
        yield here.text("Status", agent.status, "online, or offline by its own word or by silence")
    yield here.time("LastHeartbeat", last, "When the agent last said that it lives")
    age_s = 0.0 if last is None or shot is None else _seconds(shot.taken_utc, last)
    yield here.number("HeartbeatAgeS", age_s, "s", "Age of the last heartbeat when the database was read")
    yield here.count(
        "PollsCompleted", 0 if agent is None else agent.polls_completed, "Rounds since the start"
    )


def _control(shot: Snapshot | None) -> Described:
    control = None if shot is None else shot.control
    # Without its row the switch is not known, which is not the same as disarmed.
    here = _At("Control", None if control is None else control.changed_utc, known=control is not None)
    yield here.flag("Armed", control is not None and control.armed, "Whether approved writes are sent")
    yield here.text("ChangedBy", "" if control is None else control.changed_by, "Who turned the switch last")
    yield here.text("Reason", "" if control is None else control.reason, "Why it was turned")
    yield here.time("ChangedAt", None if control is None else control.changed_utc, "When it was turned")


def _counts(shot: Snapshot | None) -> Described:
    at = None if shot is None else shot.taken_utc
    counts = {} if shot is None else shot.counts
    for status in (*OPEN, *ENDED):
        when = "now" if status in OPEN else "that ended in the last 24 hours"
        here = _At(f"Counts/{status}", at)
        total = 0
        for severity in reversed(SEVERITIES):
            number = counts.get((status, severity), 0)
            total += number
            yield here.count(severity, number, f"Recommendations {status} {when}, {severity}")
        yield here.count("total", total, f"Recommendations {status} {when}")
    here = _At("Commands", at)
    live = {} if shot is None else shot.live
    for status in LIVE:
        yield here.count(status, live.get(status, 0), f"Commands that are {status} now")


def _equipment(configured: Iterable[str], shot: Snapshot | None) -> Described:
    shown: dict[str, Recommendation] = {}
    waiting: dict[str, int] = {}
    last: Mapping[str, Command] = {} if shot is None else shot.last_commands
    for item in () if shot is None else shot.recommendations:
        if item.status in OPEN:
            shown.setdefault(item.equipment_id, item)
            waiting[item.equipment_id] = waiting.get(item.equipment_id, 0) + 1
    for equipment_id in dict.fromkeys((*configured, *sorted({*shown, *last}))):
        path = f"Equipment/{folder_name(equipment_id)}"
        number = waiting.get(equipment_id, 0)
        yield from _recommendation(f"{path}/Recommendation", shown.get(equipment_id), number, shot)
        yield from _last_command(f"{path}/LastCommand", last.get(equipment_id), shot)


def _recommendation(path: str, item: Recommendation | None, waiting: int, shot: Snapshot | None) -> Described:
    now = None if shot is None else shot.taken_utc
    if item is None or now is None:
        here, aging = _At(path, now), _At(path, now)
    else:
        here, aging = _At(path, item.updated_utc), _At(path, now)
    yield here.text(
        "Id", "" if item is None else item.recommendation_id, "The open recommendation; empty: none"
    )
    yield here.text("Issue", "" if item is None else item.issue_type, "What was found")
    yield here.text("Severity", "" if item is None else item.severity, "low, medium, high or critical")
    yield here.text("Status", "" if item is None else item.status, "pending, deferred, approved or executing")
    yield here.text("Text", "" if item is None else item.text, "What is recommended")
    yield here.text("RootCause", "" if item is None else item.root_cause, "Why, as the agent sees it")
    yield here.number("Confidence", None if item is None else item.confidence, "", "From 0 to 1; 0: not said")
    yield here.text(
        "Writes", "" if item is None else item.writes, "The exact writes, as JSON; what Digest is of"
    )
    yield here.text(
        "Digest", "" if item is None else item.digest, "SHA-256 of Writes; a decision has to name it"
    )
    yield here.count(
        "ApprovalsRequired", 0 if item is None else item.approvals_required, "People who must agree"
    )
    yield here.count("ApprovalsGiven", 0 if item is None else item.approvals_given, "People who have agreed")
    yield here.time("CreatedAt", None if item is None else item.created_utc, "When it was proposed")
    age_s = 0.0 if item is None or now is None else _seconds(now, item.created_utc)
    yield aging.number("AgeS", age_s, "s", "Age when the database was read")
    yield here.time(
        "ExpiresAt", None if item is None else item.expires_utc, "When nobody may approve it any more"
    )
    left_s = 0.0 if item is None or now is None else _seconds(item.expires_utc, now)
    yield aging.number("ExpiresInS", left_s, "s", "Time left when the database was read; below 0: over")
    yield here.time(
        "DeferredUntil", None if item is None else item.defer_until_utc, "When it comes back, if deferred"
    )
    yield aging.count(
        "OpenCount", waiting, "Open recommendations of this equipment; the most severe is shown"
    )


def _last_command(path: str, command: Command | None, shot: Snapshot | None) -> Described:
    at = command.at_utc if command is not None else None if shot is None else shot.taken_utc
    here = _At(path, at)
    yield here.text(
        "Id", "" if command is None else command.command_id, "The newest command; empty: none yet"
    )
    yield here.text(
        "RecommendationId", "" if command is None else command.recommendation_id, "What it came from"
    )
    yield here.text("Tag", "" if command is None else command.tag_path, "The tag it writes")
    yield here.number("Value", None if command is None else command.value, "", "What it writes, in Unit")
    yield here.text("Unit", "" if command is None else command.unit, "Unit of Value")
    verdict = "" if command is None else command.verdict
    yield here.text("Verdict", verdict, "executed, failed, unknown or cancelled; pending or executing before")
    yield here.text("Result", "" if command is None else command.result, "The verdict in words")
    yield here.time(
        "At", None if command is None else command.at_utc, "When the verdict, or the command, arose"
    )


def _seconds(later: datetime, earlier: datetime) -> float:
    return float(round((later - earlier).total_seconds()))


class _At:
    """Makes nodes below one path that share a source time."""

    __slots__ = ("_at", "_path", "_quality")

    def __init__(self, path: str, at: datetime | None, *, known: bool = True) -> None:
        self._path = path
        self._at = at
        self._quality = Quality.GOOD if known else Quality.BAD

    def text(self, name: str, value: str, description: str) -> tuple[str, Node]:
        return self._node(name, value, NodeType.STRING, "", description)

    def flag(self, name: str, value: bool, description: str) -> tuple[str, Node]:
        return self._node(name, value, NodeType.BOOLEAN, "", description)

    def count(self, name: str, value: int, description: str) -> tuple[str, Node]:
        return self._node(name, value, NodeType.INT64, "", description)

    def number(self, name: str, value: float | None, unit: str, description: str) -> tuple[str, Node]:
        return self._node(name, value, NodeType.DOUBLE, unit, description)

    def time(self, name: str, value: datetime | None, description: str) -> tuple[str, Node]:
        return self._node(name, value, NodeType.DATE_TIME, "", description)

    def _node(
        self, name: str, value: NodeValue, data_type: NodeType, unit: str, description: str
    ) -> tuple[str, Node]:
        shown = _EMPTY[data_type] if value is None else value
        return f"{self._path}/{name}", Node(shown, data_type, unit, self._at, self._quality, description)
