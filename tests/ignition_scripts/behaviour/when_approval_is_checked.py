# mypy: ignore-errors
"""Is nothing written but what a person approved, and only while the plant is as they saw it?"""

from __future__ import unicode_literals

import hashlib
import json

from bridge import decisions
from bridge.qualities import Reading
from orders import COOLING, SETPOINT, facts, write

NOT_APPROVED = [
    ("the plain case", {}, None),
    ("a Boolean", {"tag_path": COOLING, "unit": "", "limits_unit": "", "data_type": "Boolean", "low": 0.0, "high": 1.0,
                   "expected_value": 0.0, "new_value": 1.0,
                   "writes": [{"tag_path": COOLING, "from": False, "to": True, "unit": ""}]}, None),
    ("the second of two", {"sequence": 2}, None),
    ("no approval", {"approved_digest": ""}, "not_approved"),
    ("another digest", {"approved_digest": "0" * 64}, "digest_mismatch"),
    ("text changed after the approval", {"approved_digest": hashlib.sha256(b"[]").hexdigest()}, "digest_mismatch"),
    ("a place that does not exist", {"sequence": 2, "writes": [write(facts())]}, "digest_mismatch"),
    ("place zero", {"sequence": 0}, "digest_mismatch"),
    ("another tag approved", {"writes": [dict(write(facts()), tag_path=COOLING)]}, "digest_mismatch"),
    ("another value approved", {"writes": [dict(write(facts()), to=404.0)]}, "digest_mismatch"),
    ("another start approved", {"writes": [dict(write(facts()), **{"from": 451.0})]}, "digest_mismatch"),
    ("another unit approved", {"writes": [dict(write(facts()), unit="t/h")]}, "digest_mismatch"),
    ("text approved", {"writes": [dict(write(facts()), to="405")]}, "digest_mismatch"),
    ("no write at all", {"writes": ["405"]}, "digest_mismatch"),
    ("no list", {"proposed_writes_text": "{}"}, "wrong_form"),
    ("no JSON", {"proposed_writes_text": "["}, "wrong_form"),
    ("withdrawn from the list", {"data_type": None, "limits_route": None}, "not_listed"),
    ("now on another route", {"limits_route": "opcua"}, "wrong_route"),
    ("listed in another unit", {"limits_unit": "t/h"}, "wrong_unit"),
    ("listed as another type", {"data_type": "Boolean"}, "wrong_type"),
    ("half a step", {"data_type": "Int16", "new_value": 405.5}, "wrong_type"),
    ("a start the type cannot hold", {"data_type": "Int16", "expected_value": 450.5}, "wrong_type"),
]  # fmt: skip

# shown, quality, good, seconds ago, changes -> code
MOVED = [
    (450.0, "Good", True, 0.0, {}, None),
    (450.4, "Good", True, 0.0, {}, None),
    (450.0, "Good_Unspecified", True, 0.0, {}, None),
    (450.0, "Good", True, 31.0, {}, "reading_too_old"),
    (450.6, "Good", True, 0.0, {}, "moved_away"),
    (405.0, "Good", True, 0.0, {}, "no_change"),
    (404.6, "Good", True, 0.0, {}, "no_change"),
    (450.0, "Uncertain_LastKnownValue", False, 0.0, {}, "bad_quality"),
    (450.0, "Bad_Stale", False, 0.0, {}, "bad_quality"),
    (450.0, "Good_Provisional", True, 0.0, {}, "bad_quality"),
    (450.0, "Good (Provisional)", True, 0.0, {}, "bad_quality"),
    (450.0, "Good_Initial", True, 0.0, {}, "bad_quality"),
    (None, "Bad_NotFound", False, 0.0, {}, "unreadable"),
    (None, "Good", True, 0.0, {}, "unreadable"),
    ("450", "Good", True, 0.0, {}, "unreadable"),
    (True, "Good", True, 0.0, {}, "wrong_type"),
    (450.0, "Good", True, 0.0, {"low": 410.0}, "out_of_range"),
    (450.0, "Good", True, 0.0, {"max_step": 44.0}, "step_too_large"),
    (450.0, "Good", True, 0.0, {"since_last_write_s": 59.0}, "too_soon"),
    (450.0, "Good", True, 0.0, {"writes_last_hour": 20}, "too_many_writes"),
]


def it_lets_only_the_approved_write_through():
    for case, changes, code in NOT_APPROVED:
        value, refusal = decisions.approvedWrite(facts(**changes))
        assert (None if refusal is None else refusal.code) == code, (case, refusal)
        assert (value is None) == (code is not None), case


def it_compares_with_the_plant_as_it_is_now():
    for shown, status, good, ago_s, changes, code in MOVED:
        command = facts(**changes)
        value, _ = decisions.approvedWrite(command)
        refusal = decisions.stillRight(command, value, Reading(shown, status, good, 100.0), 100.0 + ago_s)
        assert (None if refusal is None else refusal.code) == code, (shown, status, refusal)


def it_refuses_a_tag_that_could_not_be_read():
    assert decisions.stillRight(facts(), 405.0, None, 100.0).code == "unreadable"


def it_hashes_the_text_as_the_database_prints_it():
    text = '[{"to": 405.0, "from": 450.0, "unit": "\u00b0C", "tag_path": "[default]R/T"}]'
    assert decisions.digestOf(text) == hashlib.sha256(text.encode("utf-8")).hexdigest()
    command = facts(unit=u"\u00b0C", limits_unit=u"\u00b0C", proposed_writes_text=json.dumps(
        [{"tag_path": SETPOINT, "from": 450.0, "to": 405.0, "unit": u"\u00b0C"}], ensure_ascii=False))  # fmt: skip
    assert decisions.approvedWrite(command) == (405.0, None)
