# mypy: ignore-errors
"""Approved commands to start a behaviour from."""

import hashlib
import json

from fakes import gateway

SETPOINT = "[default]REACTOR_01/ThroughputSetpoint"
COOLING = "[default]REACTOR_01/CoolingOn"


def facts(**changes):
    """One row of Commands/getPendingCommands, approved and within all limits, with `changes`.

    `writes` is the list of approved writes; without it, it says what the command says.
    """
    row = {
        "command_id": "C-1",
        "recommendation_id": "R-1",
        "equipment_id": "REACTOR_01",
        "tag_path": SETPOINT,
        "sequence": 1,
        "expected_value": 450.0,
        "new_value": 405.0,
        "unit": "kg/h",
        "lease_left_s": 30.0,
        "since_last_write_s": None,
        "writes_last_hour": 0,
        "limits_route": "gateway",
        "data_type": "Float",
        "limits_unit": "kg/h",
        "low": 100.0,
        "high": 800.0,
        "max_step": 300.0,
        "min_interval_s": 60.0,
        "max_writes_per_hour": 20,
        "max_age_s": 30.0,
        "tolerance": 0.5,
        "settle_s": 2.0,
    }
    writes = changes.pop("writes", None)
    row.update(changes)
    if "proposed_writes_text" not in changes:
        if writes is None:
            writes = [None] * (row["sequence"] - 1) + [write(row)]
        row["proposed_writes_text"] = json.dumps(writes)
    if "approved_digest" not in changes:
        row["approved_digest"] = hashlib.sha256(row["proposed_writes_text"].encode("utf-8")).hexdigest()
    return row


def write(row):
    return {
        "tag_path": row["tag_path"],
        "from": row["expected_value"],
        "to": row["new_value"],
        "unit": row["unit"],
    }


def order(**changes):
    """Put an approved command into the fake command table, and its tag, showing the expected value."""
    row = facts(**changes)
    gateway.commands.append(
        {
            "command_id": row["command_id"],
            "recommendation_id": row["recommendation_id"],
            "sequence": row["sequence"],
            "status": "pending",
            "claimed_by": None,
            "lease_s": None,
            "sent_s": None,
            "approved_s": gateway.clock.now_s,
            "facts": row,
        }
    )
    shown = row["expected_value"]
    gateway.tags[row["tag_path"]] = shown == 1.0 if row["data_type"] == "Boolean" else shown
    return gateway.command(row["command_id"])


def several(count):
    """So many commands on tags of their own, each of a recommendation of its own."""
    return [
        order(
            command_id="C-%d" % n,
            recommendation_id="R-%d" % n,
            tag_path="[default]REACTOR_%02d/ThroughputSetpoint" % n,
        )
        for n in range(1, count + 1)
    ]
