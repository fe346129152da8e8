"""Facts about commands and tags, and what the bridge's own Python says about each."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.agent.decide import approved_write, still_right
from bridge.agent.verify import Sent, _late_verdict, verdict_of
from bridge.domain.approval import digest_of
from bridge.domain.command import Command, Unsettled, Verdict
from bridge.domain.lifecycle import CommandStatus
from bridge.domain.limits import Refusal, RefusalCode, WriteLimits
from bridge.domain.reading import Quality, Reading
from bridge.domain.tag import DataType, Route, Tag
from bridge.ports import WriteOutcome, WriteResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATH = "[default]REACTOR_01/ThroughputSetpoint"

ANSWERS = {
    "Good": WriteResult.ACCEPTED,
    "Uncertain_IncompleteOperation": WriteResult.UNKNOWN,
    "Error_TimeoutExpired": WriteResult.UNKNOWN,
    "Bad_NotWritable": WriteResult.REFUSED,
}
QUALITIES = {
    "Good": Quality.GOOD,
    "Uncertain_LastKnownValue": Quality.UNCERTAIN,
    "Bad_Stale": Quality.BAD,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """`asked` is what the project's library gets, `wanted` what the bridge answers."""

    asked: dict[str, Any]
    wanted: list[Any] | None


def cases(count: int = 3000) -> list[Case]:
    """Cases around the edges of every rule; the same ones each time."""
    choose = random.Random(3)
    makers = (_decide, _judge, _late)
    return [makers[number % 3](choose) for number in range(count)]


def _facts(choose: random.Random, *, wild: bool) -> tuple[dict[str, Any], Tag, Command]:
    data_type = choose.choice([DataType.FLOAT, DataType.DOUBLE, DataType.INT16, DataType.BOOLEAN])
    boolean = data_type is DataType.BOOLEAN
    low, high = (0.0, 1.0) if boolean else (100.0, 800.0)
    expected = 0.0 if boolean else 450.0
    target = 1.0 if boolean else choose.choice([405.0, 405.0, 405.5, 449.8, 150.0, 149.0, 801.0, 99.0])
    if data_type is DataType.INT16 and not wild:
        target = float(round(target))
    tolerance = 0.0 if boolean else choose.choice([0.0, 0.5])
    limits = WriteLimits(
        low=low,
        high=high,
        max_step=None if boolean else choose.choice([None, 300.0]),
        min_interval_s=choose.choice([0.0, 60.0]),
        max_writes_per_hour=20,
        max_age_s=30.0,
        tolerance=tolerance,
    )
    unit = "" if boolean else "kg/h"
    listed_unit = unit if not wild or choose.random() < 0.95 else "t/h"
    sequence = choose.choice([1, 2]) if wild else 1
    write: dict[str, Any] = {
        "tag_path": PATH,
        "from": False if boolean else expected,
        "to": True if boolean else target,
        "unit": unit,
    }
    if wild and choose.random() < 0.1:
        write[choose.choice(["tag_path", "unit"])] = "other"
    if wild and choose.random() < 0.1:
        write["to"] = choose.choice([404.0, "405", not boolean])
    writes = [write] if not wild or choose.random() < 0.5 else [write, write]
    text = json.dumps(writes)
    digest = choose.choice([digest_of(text)] * 18 + ["", "0" * 64]) if wild else digest_of(text)
    since_s = choose.choice([None, 59.0, 60.0, 3600.0])
    writes_last_hour = choose.choice([0, 1, 19, 20])
    listed = not wild or choose.random() < 0.95
    row = {
        "command_id": "C-1",
        "recommendation_id": "R-1",
        "tag_path": PATH,
        "sequence": sequence,
        "expected_value": expected,
        "new_value": target,
        "unit": unit,
        "proposed_writes_text": text,
        "approved_digest": digest,
        "since_last_write_s": since_s,
        "writes_last_hour": writes_last_hour,
        "limits_route": "gateway" if listed else None,
        "limits_unit": listed_unit if listed else None,
        "data_type": data_type.value if listed else None,
        "low": limits.low,
        "high": limits.high,
        "max_step": limits.max_step,
        "min_interval_s": limits.min_interval_s,
        "max_writes_per_hour": limits.max_writes_per_hour,
        "max_age_s": limits.max_age_s,
        "tolerance": limits.tolerance,
    }
    tag = Tag(
        path=PATH,
        equipment_id="REACTOR_01",
        link="gateway",
        route=Route.GATEWAY,
        address=PATH,
        data_type=data_type,
        unit=listed_unit,
        limits=limits if listed else None,
    )
    command = Command(
        command_id="C-1",
        recommendation_id="R-1",
        equipment_id="REACTOR_01",
        tag_path=PATH,
        sequence=sequence,
        expected_value=expected,
        new_value=target,
        unit=unit,
        claimed_by="bridge/1",
        lease_left_s=30.0,
        proposed_writes_text=text,
        approved_digest=digest,
        since_last_write_s=since_s,
        writes_last_hour=writes_last_hour,
    )
    return row, tag, command


def _look(
    choose: random.Random, tag: Tag, row: dict[str, Any]
) -> tuple[dict[str, Any] | None, Reading | None, float]:
    if choose.random() < 0.1:
        return None, None, 0.0
    boolean = tag.data_type is DataType.BOOLEAN
    numbers = [row["expected_value"]] * 4 + [row["new_value"]] * 3
    shown: Any = choose.choice(numbers)
    if boolean:
        shown = shown == 1.0
    else:
        shown = choose.choice([shown, shown, shown, shown + 0.4, shown + 0.6, 430.0, None, "text"])
        if tag.data_type is DataType.INT16 and isinstance(shown, float):
            shown = int(shown)
    status = choose.choice(["Good"] * 8 + ["Uncertain_LastKnownValue", "Bad_Stale"])
    age_s = choose.choice([0.0, 29.0, 30.0, 31.0])
    reading = Reading(
        tag=tag,
        value=shown,
        quality=QUALITIES[status],
        source_time_utc=NOW,
        received_utc=NOW - timedelta(seconds=age_s),
        status=status,
    )
    return {"value": shown, "status": status, "good": status == "Good", "at_s": 100.0 - age_s}, reading, age_s


def _decide(choose: random.Random) -> Case:
    row, tag, command = _facts(choose, wild=True)
    asked, reading, _ = _look(choose, tag, row)
    approved = approved_write(command, {PATH: tag} if tag.writable else {})
    found: Refusal | None
    if isinstance(approved, Refusal):
        found = approved
    elif reading is None:
        found = Refusal(RefusalCode.UNREADABLE, "as the executor says")
    else:
        found = still_right(command, tag, reading, NOW)
    return Case(
        asked={"question": "decide", "command": row, "reading": asked, "now_s": 100.0},
        wanted=[None if found is None else found.code.value],
    )


def _judge(choose: random.Random) -> Case:
    row, tag, command = _facts(choose, wild=False)
    asked, reading, _ = _look(choose, tag, row)
    answer = choose.choice(list(ANSWERS))
    last_look = choose.random() < 0.7
    value: Any = row["new_value"] == 1.0 if tag.data_type is DataType.BOOLEAN else row["new_value"]
    if tag.data_type is DataType.INT16:
        value = int(value)
    sent = Sent(
        command=command,
        tag=tag,
        value=value,
        outcome=WriteOutcome(result=ANSWERS[answer], status=answer, detail=""),
    )
    # A text in the place of a number is no value that the gateway could judge; the bridge never reads one
    # here, because the type was checked on the server.
    if reading is not None and isinstance(reading.value, str):
        reading = asked = None
    return Case(
        asked={
            "question": "judge",
            "command": row,
            "reading": asked,
            "answer": [answer, answer == "Good"],
            "last_look": last_look,
        },
        wanted=_said(verdict_of(sent, reading, last_look=last_look)),
    )


def _late(choose: random.Random) -> Case:
    row, tag, _ = _facts(choose, wild=False)
    asked, reading, _ = _look(choose, tag, row)
    listed = choose.random() < 0.9
    unsettled = Unsettled(
        command_id="C-1",
        recommendation_id="R-1",
        tag_path=PATH,
        expected_value=row["expected_value"],
        new_value=row["new_value"],
        unit=row["unit"],
        route=Route.OPCUA,
        status=CommandStatus.EXECUTING,
        sent_utc=NOW,
        sent_s_ago=31.0,
    )
    row = {**row, "status": "executing", "sent_s_ago": 31.0}
    if not listed:
        row["data_type"] = None
    return Case(
        asked={"question": "late", "command": row, "reading": asked},
        wanted=_said(_late_verdict(unsettled, tag if listed else None, reading)),
    )


def _said(verdict: Verdict | None) -> list[Any] | None:
    if verdict is None:
        return None
    code = None if verdict.code is None else verdict.code.value
    return [verdict.status.value, code, verdict.read_back_value]
