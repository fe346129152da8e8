# mypy: ignore-errors
"""Does a card say exactly what would be written, how urgent it is, and what is happening with it?"""

from __future__ import unicode_literals

import json

from bridge import cards, pages

WRITE = {"tag_path": "[default]R2/Setpoint", "from": 450.0, "to": 337.5, "unit": "kg/h"}
LIMITS = {"[default]R2/Setpoint": {"low": 100.0, "high": 800.0, "max_step": 400.0}}
ROW = {
    "recommendation_id": "R-1",
    "equipment_id": "R2",
    "issue_type": "high_temperature",
    "severity": "high",
    "status": "pending",
    "confidence_score": 0.9,
    "recommended_action": "Reduce throughput by 25 %",
    "root_cause_analysis": "Temperature 91.5 \u00b0C (limit 90 \u00b0C).",
    "expected_outcome": "",
    "proposed_writes": json.dumps([WRITE]),
    "write_digest": "d1",
    "limits": json.dumps(LIMITS),
    "source": "rules",
    "created_by_agent": "operations-agent",
    "created_timestamp": 1000000.0,
    "approved_by_operator": None,
    "decided_by_operator": None,
    "approvals_required": 1,
    "approvals_given": 0,
    "lookers": "",
    "deferred_left_s": None,
    "age_s": 32.0,
    "expires_in_s": 1750.0,
    "first_row": 0,
    "open_total": 1,
    "pending_total": 1,
    "approved_total": 0,
    "executing_total": 0,
    "deferred_total": 0,
}
AGENT = {
    "online": True,
    "watched": 1,
    "heartbeat_age_s": 2.0,
    "armed": True,
    "armed_by": "anna",
    "armed_reason": "start",
    "open_recommendations": 1,
    "critical_waiting": 0,
    "critical_equipment": "",
    "commands_unknown": 0,
}


def row(**changes):
    return dict(ROW, **changes)


def page(rows, good=True, agent=AGENT, agentGood=True, operator=""):
    return pages.recommendations(
        {
            "rows": rows,
            "good": good,
            "agent": None if agent is None else [agent],
            "agentGood": agentGood,
            "operator": operator,
        }
    )


def it_says_the_exact_write_with_its_limits():
    (shown,) = cards.card(row())["writes"]
    write = shown["write"]
    assert (write["tag_path"], write["from"], write["to"]) == (
        "[default]R2/Setpoint",
        "450 kg/h",
        "337.5 kg/h",
    )
    assert write["limits"] == "allowed: 100 to 800 kg/h, at most 400 kg/h in one step"
    assert write["change"] == "\u221225 %"
    assert write["before"] == 450.0
    assert (
        0 < write["tolerance"] < 0.0001
    )  # no tolerance is listed: the same, as exactly as a Float tag can be
    assert write["waiting"] is True
    assert cards.card(row(status="executed"))["writes"][0]["write"]["waiting"] is False


def it_shows_every_digit_of_a_write():
    for before, after, shown in (
        (1234567.0, 123.4567, ("1234567", "123.4567")),
        (0.0004, 1234567.25, ("0.0004", "1234567.25")),
        (0.1, 0.10000000149011612, ("0.1", "0.10000000149011612")),
    ):
        text = json.dumps([dict(WRITE, **{"from": before, "to": after, "unit": ""})])
        write = cards.card(row(proposed_writes=text))["writes"][0]["write"]
        assert (write["from"], write["to"]) == shown, write


def it_calls_moved_only_what_is_beyond_the_tolerance_of_the_tag():
    listed = {"[default]R2/Setpoint": dict(LIMITS["[default]R2/Setpoint"], tolerance=2.5)}
    assert cards.card(row(limits=json.dumps(listed)))["writes"][0]["write"]["tolerance"] == 2.5
    switch = json.dumps([dict(WRITE, **{"from": False, "to": True})])
    assert cards.card(row(proposed_writes=switch))["writes"][0]["write"]["tolerance"] == 0


def it_says_a_switch_as_on_and_off():
    text = json.dumps([{"tag_path": "[default]R2/Cooling", "from": False, "to": True, "unit": ""}])
    (shown,) = cards.card(
        row(proposed_writes=text, limits=json.dumps({"[default]R2/Cooling": {"low": 0, "high": 1}}))
    )["writes"]
    write = shown["write"]
    assert (write["switch"], write["from"], write["to"], write["change"]) == (True, "off", "on", "")
    assert write["limits"] == "allowed: off or on"


def it_says_when_a_tag_is_not_listed_any_more():
    (shown,) = cards.card(row(limits="{}"))["writes"]
    assert "not listed" in shown["write"]["limits"]


def it_lets_nobody_approve_what_it_cannot_show():
    for text in ("{}", "[1]", "["):
        card = cards.card(row(proposed_writes=text))
        assert card["writes"] == []
        assert card["decidable"] is False
        assert "cannot be shown exactly" in card["noWrites"]


def it_says_that_no_write_means_a_work_order():
    card = cards.card(row(proposed_writes="[]"))
    assert card["decidable"] is True
    assert "work order" in card["noWrites"]


def it_offers_decisions_only_while_they_are_possible():
    for status, left_s, wanted in (
        ("pending", 10.0, True),
        ("pending", None, True),
        ("pending", 0.0, False),
        ("deferred", 10.0, False),
        ("approved", 10.0, False),
        ("executing", 10.0, False),
        ("executed", 10.0, False),
    ):
        card = cards.card(row(status=status, expires_in_s=left_s))
        assert card["decidable"] is wanted, (status, left_s)


def it_counts_down_by_the_database_and_says_when_it_is_soon():
    assert cards.card(row(expires_in_s=750.0))["left"] == "Expires in 12 min"
    assert cards.card(row(expires_in_s=750.0))["soon"] is False
    assert cards.card(row(expires_in_s=90.0))["soon"] is True
    assert cards.card(row(expires_in_s=-1.0))["left"].startswith("Expired")
    assert cards.card(row(status="deferred"))["left"] == ""


def it_names_the_others_who_look_and_not_oneself():
    assert cards.card(row(lookers="anna, ben"), "anna")["lookers"] == "ben is looking at this now"
    assert cards.card(row(lookers="anna, ben"), "carla")["lookers"] == "anna, ben are looking at this now"
    assert cards.card(row(lookers="anna"), "anna")["lookers"] == ""


def it_counts_approvals_where_two_are_wanted():
    assert cards.card(row())["approvals"] == ""
    assert cards.card(row(approvals_required=2, approvals_given=1))["approvals"] == "1 of 2 approvals given"


def it_says_what_is_happening():
    for changes, wanted in (
        ({}, "Waiting for an answer"),
        (
            {"status": "deferred", "decided_by_operator": "anna", "deferred_left_s": 750.0},
            "Deferred by anna, comes back in 12 min",
        ),
        (
            {"status": "approved", "approved_by_operator": "anna"},
            "Approved by anna, waiting for the bridge",
        ),
        ({"status": "executing", "approved_by_operator": "anna"}, "Executing, approved by anna"),
        ({"status": "executed", "approved_by_operator": "anna"}, "Done and verified, approved by anna"),
    ):
        found = cards.card(row(**changes))["chip"]["text"]
        assert found == wanted, found


def it_tells_severities_apart_by_word_and_shape():
    found = [cards.severity_of(name) for name in cards.SEVERITIES]
    assert len(set(each["icon"] for each in found)) == 4
    assert [each["word"] for each in found] == ["CRITICAL", "HIGH", "MEDIUM", "LOW"]
    assert cards.severity_of("strange")["style"] == "Severity/Critical"  # what is not known is not small


def it_keeps_the_order_of_the_database():
    rows = [row(recommendation_id=name) for name in ("b", "c", "a")]
    shown = page(rows)["cards"]
    assert [each["item"]["recommendation_id"] for each in shown] == ["b", "c", "a"]


def it_says_which_of_five_hundred_are_shown():
    for first, shown, wanted in (
        (0, 20, ("1\u201320 of 500", False, True)),
        (20, 20, ("21\u201340 of 500", True, True)),
        (480, 20, ("481\u2013500 of 500", True, False)),
    ):
        found = page([row(first_row=first, open_total=500)] * shown)
        assert len(found["cards"]) == shown
        assert found["first"] == first
        assert (found["range"], found["previous"], found["next"]) == wanted
    found = page([row(open_total=3)] * 3)
    assert (found["range"], found["previous"], found["next"]) == ("", False, False)


def it_counts_all_and_not_only_the_shown():
    found = page(
        [row(open_total=45, pending_total=40, approved_total=0, executing_total=2, deferred_total=3)]
    )
    assert found["counts"] == "40 waiting, 2 executing, 3 deferred"
    assert page([])["counts"] == ""


def it_never_shows_failure_as_quiet():
    assert page(None)["state"]["kind"] == "loading"
    silent = page(None, good=False)
    assert silent["state"]["kind"] == "silent"
    assert silent["cards"] == []
    assert "watching" in page([])["state"]["text"]
    for agent, good in ((dict(AGENT, online=False), True), (dict(AGENT, watched=0), True), (None, False)):
        text = page([], agent=agent, agentGood=good)["state"]["text"]
        assert "and watching" not in text, text


def it_warns_that_proposals_of_a_dead_agent_are_old():
    assert page([row()])["offline"] is False
    assert page([row()], agent=dict(AGENT, online=False))["offline"] is True


def it_cuts_long_texts_on_cards_between_words():
    card = cards.card(row(root_cause_analysis="heat removal " * 400))
    assert len(card["line"]) <= 220
    assert card["line"].endswith("removal\u2026") or card["line"].endswith("heat\u2026")


def it_keeps_names_in_any_script():
    card = cards.card(row(equipment_id="\u53cd\u5fdc\u5668_\u7b2c\u4e8c"))
    assert card["equipment_id"] == "\u53cd\u5fdc\u5668_\u7b2c\u4e8c"
