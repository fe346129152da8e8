"""What the triggers of PostgreSQL refuse, said again in Python for tables that have no triggers. Pure.

The lifecycle of `bridge.domain.lifecycle` stays the one table of arrows: the statements that change a status are
compared with it when they are loaded, and the ones that take the status as a value are asked each time.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from bridge.domain.lifecycle import (
    COMMAND_ARROWS,
    RECOMMENDATION_ARROWS,
    CommandStatus,
    RecommendationStatus,
    Role,
)
from bridge.domain.limits import Refusal, RefusalCode, WriteFacts, WriteLimits, check_write
from bridge.domain.recommendation import ProposedWrite
from bridge.errors import IllegalTransition, QueryError
from bridge.store.queries import Queries, Query

_MOST_WRITES = 50
_KEYS = {"tag_path", "from", "to", "unit"}
_FLOATING = ("Boolean", "Float", "Double")

_LONGEST_DEFERRAL_MINUTES = 24 * 60


def writes_text(writes: Sequence[ProposedWrite]) -> str:
    """The writes as they are stored; this very text is what a digest is made of."""
    return json.dumps([write.as_json() for write in writes], ensure_ascii=False, allow_nan=False)


def person(name: str | None) -> str:
    """A person's name without the blanks around it, whatever kind of blank; empty when there is none."""
    return unicodedata.normalize("NFKC", name or "").strip()


def writes_refusal(
    text: str, equipment_id: str, limits: Mapping[str, Mapping[str, object]]
) -> Refusal | None:
    """Why a list of writes is refused at this moment, or None: form, allow-list, type, unit, range and step.

    `limits` are the rows of `tag_limits` by tag path.
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as problem:
        return Refusal(RefusalCode.WRONG_FORM, f"proposed_writes is not JSON: {problem}")
    if not isinstance(entries, list):
        return Refusal(
            RefusalCode.WRONG_FORM, f"proposed_writes wants a list, found {type(entries).__name__}"
        )
    if len(entries) > _MOST_WRITES:
        return Refusal(
            RefusalCode.WRONG_FORM,
            f"proposed_writes holds {len(entries)} writes, allowed are {_MOST_WRITES}",
        )
    for entry in entries:
        refusal = _entry_refusal(entry, equipment_id, limits)
        if refusal is not None:
            return refusal
    if len({entry["tag_path"] for entry in entries}) != len(entries):
        return Refusal(
            RefusalCode.WRONG_FORM,
            "proposed_writes names one tag twice; the order of such writes would decide the outcome",
        )
    return None


def _entry_refusal(
    entry: object, equipment_id: str, limits: Mapping[str, Mapping[str, object]]
) -> Refusal | None:
    if (
        not isinstance(entry, dict)
        or entry.keys() != _KEYS
        or not isinstance(entry["tag_path"], str)
        or not isinstance(entry["unit"], str)
    ):
        return Refusal(
            RefusalCode.WRONG_FORM,
            f"a write wants exactly tag_path, from, to and unit, found {json.dumps(entry)[:200]}",
        )
    path, present, target = entry["tag_path"], entry["from"], entry["to"]
    if (
        not _number(present)
        or not _number(target)
        or isinstance(present, bool) is not isinstance(target, bool)
    ):
        return Refusal(
            RefusalCode.WRONG_TYPE,
            f"{path}: from and to want two numbers or two booleans, found {present!r} and {target!r}",
        )
    row = limits.get(path)
    if row is None:
        return check_write(path, float(target), entry["unit"], None, WriteFacts())
    if row["equipment_id"] != equipment_id:
        return Refusal(
            RefusalCode.NOT_LISTED, f"{path} belongs to {row['equipment_id']}, not to {equipment_id}"
        )
    kind = str(row["data_type"])
    whole = isinstance(target, bool) or float(target).is_integer()
    if (kind == "Boolean") is not isinstance(target, bool) or (kind not in _FLOATING and not whole):
        return Refusal(RefusalCode.WRONG_TYPE, f"{path} is a {kind}, found {target!r}")
    if row["unit"] != entry["unit"]:
        return Refusal(RefusalCode.WRONG_UNIT, f"{path} is in {row['unit']}, the write says {entry['unit']}")
    return check_write(path, float(target), entry["unit"], limits_of(row), WriteFacts(present=float(present)))


def limits_of(row: Mapping[str, object]) -> WriteLimits:
    """A row of `tag_limits` as limits."""

    def number(name: str) -> float:
        return float(str(row[name]))

    return WriteLimits(
        low=number("low"),
        high=number("high"),
        max_step=None if row["max_step"] is None else number("max_step"),
        min_interval_s=number("min_interval_s"),
        max_writes_per_hour=int(number("max_writes_per_hour")),
        max_age_s=number("max_age_s"),
        tolerance=number("tolerance"),
        settle_s=number("settle_s"),
    )


def _number(value: object) -> bool:
    # An integer may be of any size; one past the largest double is no number of a plant's.
    return isinstance(value, bool | int | float) and abs(value) <= sys.float_info.max


def may_not(
    name: str,
    *,
    door: str,
    maker: str | None,
    agents: Iterable[str],
    sessions: Sequence[Mapping[str, object]],
) -> Refusal | None:
    """Why this name may not decide, arm or disarm (`door`), or None.

    What proposes must not sign: neither `maker`, who made the row, nor any of the `agents`. A person whose every
    session says that the login has no such right may not either; one without a session decides as ever.
    """
    who = person(name)
    if who == "":
        return Refusal(RefusalCode.NAME_REQUIRED, "a decision names the person who makes it")
    if who.lower() in {person(agent).lower() for agent in (*agents, maker or "")}:
        return Refusal(RefusalCode.NOT_PERMITTED, f"{who} is an agent, and only a person may decide")
    rights = [
        row["may_decide"] is not False
        if door == "decide"
        else row["may_arm"] is not False
        if door == "arm"
        else row["may_decide"] is not False or row["may_arm"] is not False
        for row in sessions
        if person(str(row["operator_id"])).lower() == who.lower()
    ]
    if rights and not any(rights):
        return Refusal(
            RefusalCode.NOT_PERMITTED,
            f"{who} is logged in at the HMI without the right to {door}; log in as somebody who may",
        )
    return None


def deferral_refusal(minutes: float) -> Refusal | None:
    """Why a recommendation cannot be put off for so many minutes, or None."""
    if not minutes > 0:
        return Refusal(RefusalCode.TIME_REQUIRED, "a deferral says until when, in the future")
    if minutes > _LONGEST_DEFERRAL_MINUTES:
        return Refusal(RefusalCode.TIME_REQUIRED, "a deferral lasts 24 hours at the most")
    return None


def overdue(expires_at: datetime, expires_in_s: float, recommendation_id: str) -> Refusal | None:
    """The refusal of an answer that comes too late, by the warehouse's clock; None in time."""
    if expires_in_s > 0:
        return None
    return Refusal(
        RefusalCode.EXPIRED,
        f"recommendation {recommendation_id} expired at {expires_at:%Y-%m-%d %H:%M:%S} UTC; "
        "nobody may approve it any more",
    )


def follow_command(from_status: CommandStatus, to_status: CommandStatus, role: Role) -> None:
    """IllegalTransition unless this party may turn a command from one status into the other."""
    if role not in COMMAND_ARROWS.get((from_status, to_status), frozenset()):
        raise IllegalTransition(f"a command that is {from_status} cannot become {to_status} by {role}")


_SETS = re.compile(r"\bset\s+(?:\w+\s*=[^,]*,\s*)*?status = ('(?P<to>\w+)'|n\.status|:status)", re.IGNORECASE)
_TARGET = re.compile(
    r"^\s*(?:update|merge into)\s+(?P<table>agent_recommendations|agent_commands)\b", re.IGNORECASE
)
_FROM_ONE = re.compile(r"\b(?:[rc]\.)?status = '(\w+)'")
_FROM_SOME = re.compile(r"\b(?:[rc]\.)?status in \(([^)]*)\)")
_ALL_OF = {
    "agent_recommendations": frozenset(status.value for status in RecommendationStatus),
    "agent_commands": frozenset(status.value for status in CommandStatus),
}


def arrows_of(query: Query) -> Iterator[tuple[str, str, str]]:
    """Every arrow that a statement can follow: table, from, to. None for a statement that changes no status."""
    target = _TARGET.match(query.sql)
    change = _SETS.search(query.sql) if target is not None else None
    if target is None or change is None:
        return
    table = target["table"].lower()
    guard = " ".join(query.sql.lower().split())
    guard = guard[guard.index(" on ") : guard.index("when matched")] if "when matched" in guard else guard
    guard = guard[guard.index(" where ") :] if " where " in guard else guard
    some = _FROM_SOME.search(guard)
    if ":from_status" in guard:
        before = _said(query, table, "from_status")
    elif some is not None:
        before = {word.strip(" '") for word in some[1].split(",")}
    else:
        before = set(_FROM_ONE.findall(guard)[:1])
    after = {change["to"]} if change["to"] is not None else _said(query, table, "status", "statuses")
    for old in sorted(before) or ["?"]:
        for new in sorted(after) or ["?"]:
            yield table, old, new


def _said(query: Query, table: str, *names: str) -> set[str]:
    """The statuses that the header names for these parameters."""
    return {
        word
        for parameter in query.parameters
        if parameter.name in names
        for word in re.findall(r"\w+", parameter.meaning)
        if word in _ALL_OF[table]
    }


def check_arrows(queries: Queries) -> None:
    """QueryError unless every change of a status leaves a state it names and follows an arrow of the lifecycle."""
    arrows = {
        "agent_recommendations": {(str(a), str(b)): roles for (a, b), roles in RECOMMENDATION_ARROWS.items()},
        "agent_commands": {(str(a), str(b)): roles for (a, b), roles in COMMAND_ARROWS.items()},
    }
    problems = []
    for query in queries:
        for table, old, new in arrows_of(query):
            if old == new:
                continue  # still unknown, with newer words
            roles = arrows[table].get((old, new))
            if roles is None or not {Role(role) for role in query.roles if role != "owner"} <= roles:
                problems.append(
                    f"{query.file}: it turns {old} into {new} as {', '.join(sorted(query.roles))}, which the lifecycle "
                    "does not have"
                )
    if problems:
        raise QueryError("\n".join(problems))
