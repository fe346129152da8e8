"""The story of one recommendation, told from the audit trail: steps in words, times, and what is not known.

Pure: rows of the database in, sentences out. `explain` prints it, and its JSON form carries the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.store.connection import Row
from bridge.store.desk import Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of the trail. `words` is the sentence, `lines` what belongs below it."""

    seq: int
    at_utc: datetime
    since_start_ms: float
    since_previous_ms: float
    actor: str
    db_role: str
    action: str
    object_id: str
    words: str
    lines: tuple[str, ...]
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotKnown:
    """A command whose outcome nobody knows, as safety demands it be shown: in words, and with what to do."""

    command_id: str
    headline: str
    facts: tuple[str, ...]
    actions: tuple[str, ...]


def exact(value: object) -> str:
    """A value exactly as it is written; nothing is rounded away."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return "nothing" if value is None else str(value)


def writes_of(row: Row) -> list[dict[str, Any]]:
    """The exact writes of a recommendation's row."""
    writes: list[dict[str, Any]] = json.loads(row["proposed_writes"])
    return writes


def write_line(write: Mapping[str, Any]) -> str:
    """`[default]R/Setpoint: 500 → 375 kg/h`."""
    line = f"{write['tag_path']}: {exact(write['from'])} → {exact(write['to'])} {write['unit']}"
    return line.rstrip()


def duration(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def steps(story: Story) -> list[Step]:
    """Every entry of the trail in its order, in words."""
    found: list[Step] = []
    booleans = {
        write["tag_path"] for write in writes_of(story.recommendation) if isinstance(write["to"], bool)
    }
    commands = {row["command_id"]: row for row in story.commands}
    for row in story.trail:
        detail = json.loads(row["detail"])
        at: datetime = row["at"]
        words, lines = _words(row, detail, commands.get(row["object_id"]), booleans)
        found.append(
            Step(
                seq=row["seq"],
                at_utc=at,
                since_start_ms=_ms(found[0].at_utc if found else at, at),
                since_previous_ms=_ms(found[-1].at_utc if found else at, at),
                actor=row["actor"],
                db_role=row["db_role"],
                action=row["action"],
                object_id=row["object_id"],
                words=words,
                lines=lines,
                detail=detail,
            )
        )
    return found


def timings_ms(story: Story) -> dict[str, float]:
    """The spans people ask for, in ms, as far as they have happened."""
    told = steps(story)
    created = _first(told, "recommendation.created")
    approved = _last(told, "recommendation.approved")
    sent, first_verified = _first(told, "command.sent"), _first(told, "command.executed")
    verified = _last(told, "command.executed")
    over = [
        step
        for step in told
        if step.action in ("recommendation.executed", "recommendation.failed", "recommendation.expired")
    ]
    spans: dict[str, float] = {}
    if created is not None:
        seen = created.detail.get("evidence", {}).get("seen_utc")
        if isinstance(seen, str):
            spans["reading_to_recommendation"] = _ms(datetime.fromisoformat(seen), created.at_utc)
        if approved is not None:
            spans["recommendation_to_approval"] = _ms(created.at_utc, approved.at_utc)
    if approved is not None:
        if sent is not None:
            spans["approval_to_sent"] = _ms(approved.at_utc, sent.at_utc)
        if first_verified is not None and verified is not None:
            spans["approval_to_first_verified"] = _ms(approved.at_utc, first_verified.at_utc)
            spans["approval_to_verified"] = _ms(approved.at_utc, verified.at_utc)
        if over:
            spans["approval_to_outcome"] = _ms(approved.at_utc, over[-1].at_utc)
    return spans


def not_known(story: Story, now_utc: datetime) -> list[NotKnown]:
    """Commands that were sent and of which nobody knows whether the plant took them."""
    row = story.recommendation
    booleans = {write["tag_path"] for write in writes_of(row) if isinstance(write["to"], bool)}
    return [
        _not_known(command, row, command["tag_path"] in booleans, now_utc)
        for command in story.commands
        if command["status"] == "unknown"
    ]


def _not_known(command: Row, row: Row, boolean: bool, now_utc: datetime) -> NotKnown:
    target = _amount(command["new_value"], command["unit"], boolean)
    sent: datetime = command["sent_timestamp"]
    before = _amount(command["expected_value"], command["unit"], boolean)
    facts = [
        f"sent {sent:%Y-%m-%d %H:%M:%S} UTC, {duration((now_utc - sent).total_seconds())} ago; before it the tag "
        f"showed {before}",
        f"approved by {row['approved_by_operator'] or 'nobody'} at {row['approved_timestamp']:%H:%M:%S} UTC"
        if row["approved_timestamp"]
        else "no approval is recorded",
        "the last value read afterwards was " + _amount(command["read_back_value"], command["unit"], boolean)
        if command["read_back_value"] is not None
        else "no value could be read afterwards",
        f"what blocks certainty: {command['execution_result'] or 'no verdict was recorded'}",
        f"{command['tag_path']} is locked for further proposals until this is settled; the operator's own "
        "controls are not",
    ]
    settle = f"ignition-bridge commands settle {command['command_id']}"
    return NotKnown(
        command_id=command["command_id"],
        headline=f"Not known whether {command['tag_path']} took {target}",
        facts=tuple(facts),
        actions=(
            f"read again: the bridge does while it runs; `ignition-bridge readings {command['equipment_id']}` shows it",
            f"confirm what the panel shows: `{settle} --shows VALUE`",
            f"mark as not applied: `{settle} --not-applied --reason TEXT`",
        ),
    )


def _words(
    row: Row, detail: Mapping[str, Any], command: Row | None, booleans: set[str]
) -> tuple[str, tuple[str, ...]]:
    subject, _, verb = row["action"].partition(".")
    if subject == "recommendation":
        return _of_recommendation(row, verb, detail)
    if subject == "command":
        return _of_command(row, verb, detail, command, booleans)
    if subject == "approval":
        comment = detail.get("comment")
        return f"{row['actor']} approved the writes with digest {detail['digest'][:12]}", (
            (f"comment: {comment}",) if comment else ()
        )
    if subject == "work_order":
        return f"work order {row['object_id']} {verb}", tuple(_texts(detail, "description"))
    return f"{row['action']} {row['object_id']}", tuple(f"{key}: {value}" for key, value in detail.items())


def _of_recommendation(row: Row, verb: str, detail: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    actor = row["actor"]
    writes = tuple(write_line(write) for write in detail.get("proposed_writes", ()))
    match verb:
        case "created":
            return (
                f"{actor} proposed for {detail['equipment_id']}: {detail['issue_type']}, {detail['severity']}",
                (
                    *_evidence(detail.get("evidence", {})),
                    *_texts(detail, "root_cause_analysis", "recommended_action"),
                    *(writes or ("no exact write: approving it opens a work order",)),
                    f"digest {detail['write_digest'][:12]}",
                ),
            )
        case "advised" | "not_advised":
            return _advice(verb, detail)
        case "revised":
            changed = detail["write_digest"] != detail["was_write_digest"]
            return (
                f"{actor} revised it: severity {detail['was_severity']} → {detail['severity']}"
                + (", other writes (approvals of the old ones are void)" if changed else ", same writes"),
                (*_texts(detail, "recommended_action"), *writes, f"digest {detail['write_digest'][:12]}"),
            )
        case "approved":
            return f"approved by {actor}, as shown:", writes
        case "rejected":
            return f"rejected by {actor}", tuple(_texts(detail, "rejection_reason"))
        case "deferred":
            return f"deferred by {actor} until {detail.get('defer_until', '?')}", tuple(
                _texts(detail, "operator_notes")
            )
        case "pending":
            return "back among the pending ones", ()
        case "executing":
            return "commands were made of the approved writes", ()
        case _:
            return verb, tuple(_texts(detail, "execution_result"))


def _advice(verb: str, detail: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """What an advisor said, with its origin: words of a model, told as such."""
    who = _part(detail, "advisor").get("by", "the advisor")
    if verb == "not_advised":
        return f"{who} gave no advice; what the rules propose stays", tuple(advice_lines(detail)[1:])
    return f"{who} advised, as source {detail.get('source')}", (
        *(f"cause: {text}" for text in _texts(detail, "root_cause_analysis")),
        *advice_lines(detail)[1:],
    )


# Before each line of a longer text of an advisor, so that none of them passes for one of ours.
_ITS_WORDS = "│ "


def told_by(source: object, root_cause: str | None) -> str | None:
    """The cause, led by who says so where it is not the rules."""
    who = {"genie": "Genie", "llm": "A model"}.get(str(source))
    return f"{who}: {root_cause}" if who and root_cause else root_cause


def advice_lines(evidence: Mapping[str, Any]) -> list[str]:
    """Who advised, what of it was taken and what was not, and where it can be looked up; empty: nobody was asked."""
    advisor = _part(evidence, "advisor")
    if not advisor:
        return []
    at = f"{str(advisor.get('at_utc', ''))[:19].replace('T', ' ')} UTC"
    if advisor.get("state") != "given":
        return [f"{advisor.get('by')} gave none, {at}", *_texts(advisor, "reason", "again")]
    chosen = advisor.get("remedy")
    return [
        f"{advisor.get('by')}, {at}",
        *(f"{_ITS_WORDS}{line}" for text in _texts(advisor, "explanation") for line in text.splitlines()),
        f"its choice: {chosen}, a configured remedy" if chosen else "its choice: no configured remedy",
        *(str(item) for item in _items(advisor, "notes")),
        *(f"not taken over: {item}" for item in _items(advisor, "refused")),
        *(f"rules say: {text}" for text in _texts(_part(advisor, "rules"), "root_cause")),
        *(f"rules proposed: {text}" for text in _texts(_part(advisor, "rules"), "action")),
        *(
            line
            for name, value in _part(advisor, "provenance").items()
            for line in f"{name.replace('_', ' ')}: {value}".replace("\n", f"\n{_ITS_WORDS}").splitlines()
        ),
    ]


def _part(found: object, key: str) -> Mapping[str, Any]:
    part = found.get(key) if isinstance(found, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _items(detail: Mapping[str, Any], key: str) -> Sequence[object]:
    found = detail.get(key)
    return found if isinstance(found, list) else ()


def _of_command(
    row: Row, verb: str, detail: Mapping[str, Any], command: Row | None, booleans: set[str]
) -> tuple[str, tuple[str, ...]]:
    number, actor = row["object_id"], row["actor"]
    tag = command["tag_path"] if command is not None else detail.get("tag_path", "?")
    unit = command["unit"] if command is not None else detail.get("unit", "")
    boolean = tag in booleans
    result = tuple(_texts(detail, "execution_result"))
    match verb:
        case "created":
            change = {"tag_path": tag, "from": detail["from"], "to": detail["to"], "unit": unit}
            if boolean:
                change |= {"from": bool(detail["from"]), "to": bool(detail["to"])}
            return f"{number} made: {write_line(change)}, over {detail['route']}", ()
        case "claimed":
            return f"{number} claimed by {actor}", ()
        case "sent":
            return f"{number} about to leave: {tag} := {_amount(detail['to'], unit, boolean)}", (
                "recorded before any byte left; from here on it is never sent again",
            )
        case "executed" | "failed" if _by_hand(row):
            found = "confirmed" if verb == "executed" else "found not written"
            return f"{number} {found} by {actor} at the panel", result
        case "executed":
            return (
                f"{number} verified: {tag} reads back {_amount(detail.get('read_back_value'), unit, boolean)}",
                result,
            )
        case "failed":
            return f"{number} failed", result
        case "unknown":
            target = _amount(command["new_value"], unit, boolean) if command is not None else "its value"
            return f"{number}: not known whether {tag} took {target}", result
        case "cancelled":
            return f"{number} cancelled before anything was sent", result
        case "released":
            return f"{number} given back unsent", ()
        case _:
            return f"{number} {verb}", result


def _by_hand(row: Row) -> bool:
    """Whether a person ended an unknown outcome; bridge and gateway end it by a read-back of their own."""
    return (
        row["old_status"] == "unknown"
        and row["actor"] != row["db_role"]
        and not row["actor"].startswith("gateway/")
    )


def _evidence(evidence: Mapping[str, Any]) -> Iterator[str]:
    value, limit = evidence.get("value"), evidence.get("limit")
    if value is None and limit is None and "signal" not in evidence:
        return
    unit = evidence.get("unit", "")
    shown = f"{evidence.get('signal', 'signal')} {_reading(value)} {unit}".rstrip()
    against = f", limit {exact(limit)} {unit}".rstrip() if limit is not None else ""
    since = f", since {evidence['since_utc']}" if "since_utc" in evidence else ""
    yield f"evidence: {shown}{against}{since}"


def _reading(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else exact(value)


def _amount(value: object, unit: str, boolean: bool) -> str:
    if boolean and isinstance(value, int | float):
        return exact(bool(value))
    return f"{exact(value)} {unit}".rstrip()


def _texts(detail: Mapping[str, Any], *keys: str) -> Iterator[str]:
    for key in keys:
        if detail.get(key):
            yield str(detail[key])


def _first(told: Sequence[Step], action: str) -> Step | None:
    return next((step for step in told if step.action == action), None)


def _last(told: Sequence[Step], action: str) -> Step | None:
    return _first(told[::-1], action)


def _ms(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds() * 1000, 3)
