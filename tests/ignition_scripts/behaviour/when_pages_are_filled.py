# mypy: ignore-errors
"""Does every page turn the rows of its queries into what its components show, and say so when it cannot?"""

from __future__ import unicode_literals

import json

import fakes
from bridge import banner, hmi, pages, trends
from when_cards_are_shown import AGENT, row

EVIDENCE = json.dumps(
    {
        "signal": "temperature",
        "tag_path": "[default]R2/Temperature",
        "value": 91.52,
        "limit": 90.0,
        "unit": "\u00b0C",
        "since_utc": "1970-01-01T00:00:30.500000+00:00",
        "facts": ["pressure is above normal"],
        "refusals": [],
    }
)
READINGS = [
    {
        "t_stamp": 10000.0 * number,
        "temperature": 60.0,
        "temperature_max": value,
        "temperature_min": 55.0,
        "pressure": None,
        "flow_rate": 50.0,
    }
    for number, value in enumerate((87.0, 90.5, 88.0, 89.0, 91.0, 92.0))
]


def _entry(**changes):
    found = dict.fromkeys(("actor", "object_id", "old_status", "new_status", "hash", "recommendation_id"))
    found.update(
        seq=1,
        at=40000.0,
        ago_s=5.0,
        action="recommendation.created",
        detail="{}",
        object_type="x",
        db_role="y",
    )
    found.update(changes)
    return found


def it_puts_the_worst_in_the_banner_and_the_rest_behind_it():
    assert banner.of(AGENT, True)["visible"] is False
    found = banner.of(
        dict(AGENT, critical_waiting=1, critical_equipment="R2", commands_unknown=2, online=False), True
    )
    assert found["word"] == "CRITICAL"
    assert found["text"].startswith("R2: 1 recommendation waiting for an answer")
    assert "OUTCOME UNKNOWN" in found["text"]
    assert "AGENT OFFLINE" in found["text"]
    assert banner.of(None, False)["word"] == "DATABASE SILENT"
    assert banner.of(None, True)["visible"] is False
    assert banner.of(dict(AGENT, watched=0), True)["word"] == "NO AGENT"


def it_never_shows_a_header_that_was_true_once():
    found = pages.header({"agent": None, "agentGood": False, "silent": 0})
    assert [found[name]["text"] for name in ("agent", "armed", "waiting")] == [
        "Agent not known",
        "Armed? not known",
        "Waiting? not known",
    ]
    found = pages.header(
        {
            "agent": [dict(AGENT, armed=False, online=False, heartbeat_age_s=34.0)],
            "agentGood": True,
            "silent": 0,
        }
    )
    assert found["agent"]["text"] == "Agent offline, 34 s"
    assert found["armed"]["text"].startswith("DISARMED")


def it_says_for_how_long_a_query_that_hangs_has_not_been_answered():
    hanging = {"agent": [AGENT], "agentGood": False, "silent": 9}
    assert pages.header(hanging)["agent"]["text"] == "Agent not known: no answer for 9 s"
    found = pages.banners(hanging)
    assert found["word"] == "DATABASE SILENT"
    assert found["text"].startswith("no answer from the database for 9 s;")


def it_puts_the_time_first_in_every_point_of_a_chart():
    found = hmi.trend({"rows": READINGS, "good": True, "evidence": EVIDENCE})
    assert len(found["series"]) == 2
    for series in found["series"]:
        for point in series["data"]:
            assert list(point.keySet() if fakes.JYTHON else point)[0] == "t_stamp"


def it_says_that_a_person_confirmed_and_nobody_read_back():
    for actor, old, said in (
        ("anna", "unknown", "Confirmed by a person at the panel"),
        ("gateway/P/1", "unknown", "Write read back and equal"),
        ("bridge_agent", "unknown", "Write read back and equal"),
        ("anna", "executing", "Write read back and equal"),
    ):
        row = _entry(action="command.executed", actor=actor, old_status=old, db_role="bridge_agent")
        told = pages.timeline({"rows": [row], "good": True, "evidence": "{}"})
        assert told[0]["entry"]["what"] == said, actor


def it_tells_the_day_of_what_is_long_ago():
    for ago_s, shown in ((0.0, "00:00:40"), (43199.0, "00:00:40"), (43201.0, "Jan 01 00:00:40")):
        rows = [_entry(ago_s=ago_s)]
        told = pages.timeline({"rows": rows, "good": True, "evidence": "{}"})
        assert told[0]["entry"]["clock"] == shown


def it_tells_the_story_from_the_reading_on():
    found = pages.timeline(
        {
            "good": True,
            "evidence": EVIDENCE,
            "rows": [
                _entry(actor="agent"),
                _entry(action="approval.given", actor="anna", detail='{"comment": "seen"}'),
                _entry(
                    action="command.sent", detail='{"tag_path": "[default]R2/S", "to": 405, "unit": "kg/h"}'
                ),
                _entry(action="command.executed", detail='{"execution_result": "written and read back"}'),
                _entry(action="something.new"),
            ],
        }
    )
    told = [each["entry"] for each in found]
    assert [entry["what"] for entry in told] == [
        "Signal went out of its limit",
        "Recommendation raised",
        "Approval recorded",
        "Write sent",
        "Write read back and equal",
        "Something new",
    ]
    assert told[0]["detail"] == "Temperature 91.5 \u00b0C, limit 90.0 \u00b0C"
    assert told[0]["ago"] == "15 s ago"  # 10 s before the first entry, which was 5 s ago
    assert (told[2]["who"], told[2]["detail"]) == ("anna", "seen")
    assert told[3]["detail"] == "[default]R2/S to 405 kg/h"
    assert pages.timeline({"rows": None, "good": False, "evidence": EVIDENCE}) == []


def it_marks_the_limit_and_what_lies_beyond_it():
    chart = trends.chart(READINGS, True, EVIDENCE)
    assert [series["name"] for series in chart["series"]] == [
        "Temperature",
        "Flow rate",
    ]  # no pressure measured
    points = chart["series"][0]["data"]
    assert set(dict(point)["Limit"] for point in points) == set([90.0])
    assert [dict(point)["Out of limit"] for point in points] == [None, None, None, None, 91.0, 92.0]
    assert "Limit" not in dict(chart["series"][1]["data"][0])
    assert chart["plots"][0]["axes"][0]["label"]["text"] == "Temperature in \u00b0C"
    for rows, good, note in (
        (None, True, "Loading the trend."),
        ([], True, "No values in this time."),
        (READINGS, False, "The database does not answer, so there is no trend to show."),
    ):
        nothing = trends.chart(rows, good, EVIDENCE)
        assert (nothing["empty"], nothing["note"]) == (True, note)
    assert trends.chart(READINGS, True, "no json")["series"][0]["data"][0] == [
        ("t_stamp", 0.0),
        ("Temperature", 60.0),
    ]


def it_draws_the_worst_of_each_stretch_of_time():
    """An average hides the peak that crossed the limit, and with it the reason of the recommendation."""
    low = json.dumps(
        {"signal": "temperature", "value": 52.0, "limit": 58.0, "since_utc": "1970-01-01T00:00:05+00:00"}
    )
    high, below = trends.chart(READINGS, True, EVIDENCE), trends.chart(READINGS, True, low)
    assert [dict(point)["Temperature"] for point in high["series"][0]["data"]] == [
        87.0,
        90.5,
        88.0,
        89.0,
        91.0,
        92.0,
    ]
    assert [dict(point)["Temperature"] for point in below["series"][0]["data"]] == [55.0] * 6
    assert [dict(point)["Out of limit"] for point in below["series"][0]["data"]] == [55.0] * 6


def it_shows_one_recommendation_whole():
    rows = [
        row(evidence=EVIDENCE, root_cause_analysis="x" * 5000, rejection_reason="planned", status="rejected")
    ]
    found = pages.recommendation({"rows": rows, "good": True, "operator": None})
    assert found["shown"] is True
    assert len(found["cause"]) == 5000
    assert found["result"] == "Reason: planned"
    facts = dict((each["fact"]["name"], each["fact"]["text"]) for each in found["evidence"])
    assert facts["Value then"] == "91.5 \u00b0C"
    assert facts["Fact 1"] == "pressure is above normal"
    assert pages.recommendation({"rows": [], "good": True, "operator": ""})["state"]["kind"] == "missing"
    assert pages.recommendation({"rows": None, "good": False, "operator": ""})["state"]["kind"] == "silent"


ADVICE = {
    "state": "given",
    "by": "Genie space reactors",
    "at_utc": "2026-01-31T03:12:09.5+00:00",
    "explanation": "<b>Three</b> like it [link](x) in a month.\n" + "y" * 5000,
    "remedy": "slow_down",
    "candidates": ["slow_down"],
    "confidence": None,
    "notes": ["cool is not proposed: out_of_range: 180 kg/h"],
    "refused": ["remedy [default]R2/Pressure: not configured"],
    "provenance": {"space": "reactors", "conversation_id": "c-1", "sql": "select 1 < 2", "rows": 0},
    "rules": {"root_cause": "Coolant is missing.", "action": "Reduce throughput by 25 %"},
}


def _advised(advisor, source="genie"):
    evidence = json.dumps(dict(json.loads(EVIDENCE), advisor=advisor))
    rows = [row(evidence=evidence, root_cause_analysis="The pump.", source=source)]
    found = pages.recommendation({"rows": rows, "good": True, "operator": None})
    return found, dict((each["fact"]["name"], each["fact"]["text"]) for each in found["evidence"])


def it_shows_advice_as_text_with_its_origin_and_the_rules_beside_it():
    found, facts = _advised(ADVICE)
    assert found["cause"] == "Genie: The pump."
    assert found["item"]["line"] == "Genie: The pump."
    assert found["item"]["source"].endswith("(rules, advised by Genie)")
    assert facts["Advice"] == "Genie space reactors, 2026-01-31 03:12:09 UTC"
    assert facts["Explanation"].startswith("<b>Three</b> like it [link](x)")
    assert len(facts["Explanation"]) == 1500
    assert facts["Its choice"] == "slow_down, a configured remedy"
    assert facts["Not proposed"] == "cool is not proposed: out_of_range: 180 kg/h"
    assert facts["Not taken over"] == "remedy [default]R2/Pressure: not configured"
    assert (facts["Rules say"], facts["Rules proposed"]) == (
        "Coolant is missing.",
        "Reduce throughput by 25 %",
    )
    assert (facts["Genie space"], facts["Its query"], facts["Rows it gave"]) == (
        "reactors",
        "select 1 < 2",
        "0",
    )
    assert "Rates itself" not in facts
    assert facts["Value then"] == "91.5 \u00b0C"


def it_says_who_gave_no_advice_and_why():
    failed = {"state": "failed", "by": "Genie space reactors", "at_utc": "2026-01-31T03:12:09+00:00"}
    found, facts = _advised(dict(failed, reason="no answer within 60 s", again="asked again"), "rules")
    assert found["cause"] == "The pump."
    assert found["item"]["source"].endswith("(rules)")
    assert facts["No advice"] == (
        "Genie space reactors gave none, so this is the rules' own: no answer within 60 s"
        " (2026-01-31 03:12:09 UTC; asked again)"
    )


def it_survives_advice_that_is_none():
    for advisor in (None, [], "text", {}, {"state": "given", "rules": [], "provenance": 7, "notes": "x"}):
        found, facts = _advised(advisor, "llm")
        assert found["shown"] is True
        assert facts["Signal"] == "Temperature"
    assert found["cause"] == "A model: The pump."
    assert found["item"]["source"].endswith("(rules, advised by a model)")


def it_tells_advice_in_the_timeline():
    detail = json.dumps({"advisor": {"by": "Genie space reactors"}, "root_cause_analysis": "The pump."})
    lost = json.dumps({"advisor": {"by": "Genie space reactors", "reason": "no answer"}})
    rows = [
        _entry(action="recommendation.advised", detail=detail),
        _entry(action="recommendation.not_advised", detail=lost),
    ]
    told = [each["entry"] for each in pages.timeline({"rows": rows, "good": True, "evidence": "{}"})]
    assert [(each["what"], each["detail"]) for each in told] == [
        ("Advice came in", "Genie space reactors: The pump."),
        ("No advice came; the rules' proposal stays", "Genie space reactors: no answer"),
    ]


def _equipment(**changes):
    found = dict.fromkeys(
        ("recommendation_id", "issue_type", "severity", "recommendation_status", "command_id")
    )
    found.update(
        equipment_id="R2",
        temperature=75.04,
        pressure=None,
        flow_rate=49.66,
        age_s=1.0,
        reading_state="good",
        open_recommendations=0,
    )
    found.update(changes)
    return found


def it_says_how_old_the_values_of_equipment_are():
    for changes, wanted in (
        ({}, "Measured 1 s ago"),
        ({"reading_state": "stale", "age_s": 300.0}, "STALE: values are 5 min old"),
        ({"reading_state": "bad"}, "BAD: the source does not trust its values"),
        ({"reading_state": "none", "age_s": None}, "No values during the last day"),
    ):
        (card,) = pages.equipments({"rows": [_equipment(**changes)], "good": True, "first": 0})["cards"]
        assert card["item"]["reading"]["text"] == wanted, card["item"]["reading"]
    texts = [each["value"]["text"] for each in card["item"]["values"]]
    assert texts == ["75.0 \u00b0C", "\u2013", "49.7 l/min"]


def it_finds_one_equipment_or_says_that_there_is_none():
    rows = [_equipment(), _equipment(equipment_id="R3")]
    assert pages.oneEquipment({"rows": rows, "good": True, "id": "R3"})["item"]["equipment_id"] == "R3"
    assert pages.oneEquipment({"rows": rows, "good": True, "id": "R9"})["state"]["kind"] == "missing"
    assert pages.oneEquipment({"rows": None, "good": True, "id": "R9"})["state"]["kind"] == "loading"


def _command(**changes):
    found = dict(
        command_id="C-1", recommendation_id="R-1", equipment_id="R2", tag_path="[default]R2/S", expected_value=450.0,
        new_value=405.0, unit="kg/h", status="unknown", age_s=90.0, execution_result="no answer",
        approved_by_operator="anna", created_timestamp=0.0,
    )  # fmt: skip
    found.update(changes)
    return found


def it_puts_unknown_outcomes_first_with_the_step_for_a_person():
    rows = [
        _command(command_id="C-2", status="pending"),
        _command(command_id="C-3", status="executing"),
        _command(),
    ]
    found = pages.liveCommands({"rows": rows, "good": True})
    assert [each["item"]["command_id"] for each in found["cards"]] == ["C-1", "C-3", "C-2"]
    first, second = found["cards"][0]["item"], found["cards"][1]["item"]
    assert "what does R2/S show?" in first["step"]
    assert second["step"] == ""
    assert found["unknown"] == 1
    assert pages.commandHistory({"rows": rows, "good": True})["rows"][2]["status"] == "OUTCOME UNKNOWN"


def it_says_who_disarmed_and_why():
    control = {
        "armed": False,
        "changed_by": "anna",
        "reason": "valve work",
        "changed_timestamp": 0.0,
        "changed_ago_s": 300.0,
    }
    found = pages.control({"rows": [control], "good": True})
    assert (found["known"], found["armed"], found["why"]) == (True, False, "anna, 5 min ago: valve work")
    assert pages.control({"rows": None, "good": False})["known"] is False


def it_counts_what_the_audit_filters_found():
    rows = [_entry(old_status="pending", new_status="approved", detail='{"operator_notes": "ok"}')]
    found = pages.auditTrail({"rows": rows, "good": True, "limit": 500})
    assert found["said"] == "1 entry"
    assert found["rows"][0]["change"] == "pending \u2192 approved"
    assert found["rows"][0]["detail"] == "ok"
    assert "narrow" in pages.auditTrail({"rows": rows, "good": True, "limit": 1})["said"]


def it_unwraps_what_a_binding_hands_over():
    class Wrapped(object):
        """As Perspective's own: items by key, and no dict."""

        def __init__(self, found):
            self._found = found

        def keys(self):
            return self._found.keys()

        def __getitem__(self, key):
            return self._found[key]

    class Date(object):
        def getTime(self):
            return 1234

    from bridge import datasets

    assert datasets.plain(Wrapped({"a": (Wrapped({"b": Date()}), None, True, "x")})) == {
        "a": [{"b": 1234}, None, True, "x"]
    }


def it_shows_what_the_agent_says_of_itself_and_its_links():
    detail = {
        "links": {"plant": {"state": "flowing", "fresh": 22, "wanted": 22, "reconnects": 1}},
        "failing": [],
    }
    agent = {
        "agent_id": "a",
        "status": "offline",
        "heartbeat_age_s": 34.0,
        "cycle_ms": 13.5937,
        "polls_completed": 38,
        "version": "0.1.0",
        "site": "demo",
        "detail": json.dumps(detail),
    }
    found = pages.agents({"rows": [dict(agent, agent_id="b", status="online"), agent], "good": True})
    first = found["cards"][0]["item"]  # who is offline comes first
    assert (first["agent_id"], first["chip"]["text"]) == ("a", "OFFLINE")
    facts = dict((each["fact"]["name"], each["fact"]["text"]) for each in first["facts"])
    assert facts["Last heard of"] == "34 s ago"
    assert facts["Cycle"] == "13.6 ms"
    assert facts["Link plant"] == "flowing, 22 of 22 tags fresh, 1 reconnect"
    assert facts["Failing"] == "none"


def it_says_how_the_buffer_of_an_agent_stands():
    def said(**buffer):
        agent = dict.fromkeys(("heartbeat_age_s", "cycle_ms", "polls_completed", "version", "site"))
        agent.update(agent_id="a", status="online", detail=json.dumps({"buffer": buffer}))
        facts = pages.agents({"rows": [agent], "good": True})["cards"][0]["item"]["facts"]
        return [each["fact"]["text"] for each in facts if each["fact"]["name"] == "Buffer"]

    kept = {"state": "holding", "depth": 1204, "oldest_s": 35.4, "bytes": 90112, "dropped": 0, "detail": ""}
    assert said(**kept) == ["1,204 readings on disk, oldest 35 s, none dropped"]
    assert said(**dict(kept, depth=1, state="draining")) == [
        "1 reading on disk, oldest 35 s, none dropped, being stored now"
    ]
    assert said(**dict(kept, state="full", dropped=50000)) == [
        "1,204 readings on disk, oldest 35 s, 50,000 DROPPED, FULL"
    ]
    assert said(**dict(kept, state="empty", depth=0, oldest_s=None)) == ["empty, none dropped"]
    assert said(state="down", depth=0, dropped=0, detail="the disk is full") == [
        "NOT IN USE: the disk is full; none dropped"
    ]


def it_reads_a_boolean_command_as_off_and_on():
    rows = [_command(data_type="Boolean", expected_value=0.0, new_value=1.0, unit="")]
    (shown,) = pages.commandHistory({"rows": rows, "good": True})["rows"]
    assert (shown["from"], shown["to"]) == ("off", "on")


def it_says_who_is_at_the_hmi_and_may_decide():
    rows = [{"operator_id": "anna", "may_decide": None, "login_timestamp": 0.0, "looking_at": None}]
    (shown,) = pages.sessions({"rows": rows, "good": True})["rows"]
    assert (shown["who"], shown["may"], shown["approved"]) == ("anna", "not said", 0)


def it_shows_limits_as_people_say_them():
    limit = {
        "equipment_id": "R2",
        "tag_path": "[default]R2/S",
        "data_type": "Float",
        "unit": "kg/h",
        "low": 100.0,
        "high": 800.0,
        "max_step": 400.0,
        "min_interval_s": 0.0,
        "max_writes_per_hour": 20,
        "route": "opcua",
    }
    rows = [limit, dict(limit, data_type="Boolean", unit="", low=0.0, high=1.0, max_step=None)]
    found = pages.limits({"rows": rows, "good": True})["rows"]
    assert [row["range"] for row in found] == ["100 to 800 kg/h", "off or on"]
    assert [row["step"] for row in found] == ["400 kg/h", "\u2013"]
