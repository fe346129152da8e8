"""What a store promises, and who keeps it: the database, this program, or nobody.

`ignition-bridge check` tells it of the store in use, the documents are made from it, and the contract tests hold each
store to it: a test that cannot hold on a store names the promise that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Keeper(StrEnum):
    """Who keeps a promise."""

    DATABASE = "database"  # whatever program connects, and whoever wrote it
    BRIDGE = "bridge"  # this program does; another program on the same tables need not
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One promise: a stable name, who keeps it on this store, and how, or what to expect instead."""

    name: str
    what: str
    keeper: Keeper
    how: str


_WHAT = {
    "approval_binds_writes": "what is approved is what is written: an approval holds for one digest",
    "agent_cannot_approve": "the agent cannot approve its own proposals",
    "a_person_decides": "only a person decides, and only one whose login may",
    "lifecycle": "a status changes along the arrows of the lifecycle only",
    "limits": "no write outside the published limits is proposed, approved or made a command",
    "one_open_recommendation": "one open recommendation per equipment and issue",
    "one_live_command_per_tag": "one command at a time is under way to a tag",
    "claimed_once": "a command is claimed by one bridge at a time",
    "intent_before_bytes": "a command leaves at most once, and its intent is stored before",
    "all_or_nothing": "what belongs together is changed together",
    "readings_once": "a batch of readings is stored once, however often it is sent",
    "rows_of_others": "every reading that others insert is seen once, in order",
    "ids_and_keys": "keys are unique, and a row without an id gets one",
    "audit_append_only": "the audit trail is append-only and hash-chained",
    "audit_complete": "every change has its entry in the audit trail",
    "announcements": "changes announce themselves",
    "database_clock": "expiry, leases and ages are judged by one clock",
    "old_statements": "inserts and approvals of older clients work",
    "gateway_executes": "a gateway can execute commands and show the pages of the HMI from these tables",
    "published_outside": "agent tables are shown to others over OPC UA and Sparkplug",
    "retention": "old readings go after retention_days",
}


def _promises(**said: tuple[Keeper, str]) -> tuple[Promise, ...]:
    assert said.keys() == _WHAT.keys(), "both stores speak of the same promises"
    return tuple(
        Promise(name=name, what=_WHAT[name], keeper=said[name][0], how=said[name][1]) for name in _WHAT
    )


_DB, _US, _NO = Keeper.DATABASE, Keeper.BRIDGE, Keeper.NOBODY

POSTGRES = _promises(
    approval_binds_writes=(
        _DB,
        "a trigger makes the digest and compares it when an approval or a command is made",
    ),
    agent_cannot_approve=(
        _DB,
        "bridge_agent has no grant on what says who decided, and no arrow to approved",
    ),
    a_person_decides=(_DB, "a trigger refuses names of agents and logins without the right"),
    lifecycle=(_DB, "a trigger reads lifecycle_arrows, the same table as in bridge/domain/lifecycle.py"),
    limits=(_DB, "a trigger checks form, allow-list, range and step against tag_limits, each time"),
    one_open_recommendation=(_DB, "a partial unique index"),
    one_live_command_per_tag=(_DB, "a partial unique index"),
    claimed_once=(_DB, "row locks, and a conditional update"),
    intent_before_bytes=(
        _DB,
        "sent_timestamp is set once, by a trigger that refuses a second time; then the bytes leave",
    ),
    all_or_nothing=(_DB, "transactions"),
    readings_once=(_DB, "the mark of a batch is committed together with its rows"),
    rows_of_others=(_DB, "in the order of their transactions; those of open ones come later"),
    ids_and_keys=(_DB, "primary keys, and sequences behind the defaults"),
    audit_append_only=(
        _DB,
        "a trigger refuses update, delete and truncate; the chain shows what its owner might do",
    ),
    audit_complete=(_DB, "entries are made by triggers, in the transaction of the change"),
    announcements=(_DB, "NOTIFY; polling covers what is missed"),
    database_clock=(_DB, "clock_timestamp() of the database"),
    old_statements=(_DB, "defaults and triggers fill in what older clients do not know of"),
    gateway_executes=(_DB, "named queries over JDBC"),
    published_outside=(_US, "the bridge reads a snapshot and publishes it"),
    retention=(_DB, "one partition a day, dropped when its time has come"),
)

WAREHOUSE = _promises(
    approval_binds_writes=(
        _US,
        "the digest is checked when a person approves, and the row in `approvals` with that digest when a command is "
        "made and again before it leaves; a status that says approved without such a row makes no command",
    ),
    agent_cannot_approve=(
        _US,
        "the agent's store has no way to, and its connection refuses statements that are not for bridge_agent; a token "
        "that may write the tables could do so past the bridge, so give the agent's principal no MODIFY on `approvals`",
    ),
    a_person_decides=(
        _US,
        "the desk refuses names of agents and logins without the right; plain SQL is not stopped",
    ),
    lifecycle=(
        _US,
        "every statement is compared with bridge/domain/lifecycle.py when it is loaded, and guarded by the state it "
        "leaves; plain SQL is stopped by CHECK for unknown states only",
    ),
    limits=(
        _US,
        "checked in Python against tag_limits when proposed, approved, made a command, and before it leaves",
    ),
    one_open_recommendation=(
        _US,
        "MERGE on the open one; of two made in one moment, whoever sees the other's withdraws its own",
    ),
    one_live_command_per_tag=(
        _US,
        "a tag's row of tag_limits names the command that holds it; claims of one tag change one row and conflict",
    ),
    claimed_once=(
        _DB,
        "two changes of one row conflict (SQLSTATE 2D521), and the claim names the state it leaves",
    ),
    intent_before_bytes=(
        _DB,
        "a conditional update with a key of its own; only a command that carries this key is sent, and not before the "
        "intent stands in the audit trail",
    ),
    all_or_nothing=(
        _US,
        "each statement is a transaction alone; the steps are in an order from which the next look goes on",
    ),
    readings_once=(_DB, "batch and mark are one INSERT that looks for the mark first"),
    rows_of_others=(
        _US,
        "by received_timestamp, the last 30 s read again each time; a row that shows up later than that is missed",
    ),
    ids_and_keys=(
        _NO,
        "keys are informational: the bridge makes its own and merges on them; a client that inserts gives its own",
    ),
    audit_append_only=(
        _US,
        "delta.appendOnly refuses update and delete to whoever may not alter the table; the chain shows the rest",
    ),
    audit_complete=(
        _US,
        "the entry follows the change as a statement of its own, and is owed when that fails; a bridge killed between "
        "the two, or cut off before it knows of the change, leaves one without an entry, and so does plain SQL",
    ),
    announcements=(
        _NO,
        "a warehouse announces nothing: an approval is seen at the next poll, agent.poll_s at the most",
    ),
    database_clock=(
        _DB,
        "current_timestamp() of the warehouse; only the audit trail's times are of the bridge's machine",
    ),
    old_statements=(
        _NO,
        "defaults fill in what older inserts do not give, except ids; an approval by plain UPDATE makes no command and "
        "ends as expired, because nobody checked and signed it",
    ),
    gateway_executes=(
        _NO,
        "the gateway's queries are PostgreSQL: commands with route gateway are never claimed and lapse; approve at the "
        "command line",
    ),
    published_outside=(_NO, "the snapshot is read by PostgreSQL's statement; [publish] needs Lakebase"),
    retention=(
        _US,
        "rows past it are deleted; the files go with VACUUM, by predictive optimization or by hand",
    ),
)


def told(promises: tuple[Promise, ...]) -> list[str]:
    """One line per promise that the database does not keep by itself, those that nobody keeps first."""
    weaker = [promise for promise in promises if promise.keeper is not Keeper.DATABASE]
    return [
        f"{'not kept' if promise.keeper is Keeper.NOBODY else 'kept by the bridge'}: {promise.what}: {promise.how}"
        for promise in sorted(weaker, key=lambda promise: promise.keeper is not Keeper.NOBODY)
    ]
