# mypy: ignore-errors
"""Do people get the sentence that matters, and exact writes or none?"""

from __future__ import unicode_literals

from bridge import datasets, wording
from fakes import JYTHON, Dataset

ROW = {
    "online": True,
    "heartbeat_age_s": 2.0,
    "silent": "",
    "watched": 1,
    "armed": True,
    "armed_by": "anna",
    "armed_reason": "maintenance",
    "open_recommendations": 3,
    "critical_waiting": 0,
    "commands_unknown": 0,
    "commands_waiting": 0,
}


def it_says_an_age_as_people_do():
    for seconds, wanted in (
        (0.4, "0 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (7199.0, "119 min"),
        (7200.0, "2 h"),
        (172799.0, "47 h"),
        (172800.0, "2 days"),
        (None, "not known"),
        (-1.0, "not known"),
    ):
        assert wording.age(seconds) == wanted, (seconds, wording.age(seconds))


def it_puts_the_worst_news_first():
    worse = {}
    for change, wanted in (
        ({}, "The agent is online; 3 recommendations open"),
        ({"critical_waiting": 1}, "1 recommendation critical, waiting for an answer"),
        ({"armed": False}, "Writes are disarmed by anna: maintenance"),
        ({"commands_unknown": 2}, "2 commands with unknown outcome; somebody has to look"),
        (
            {"online": False, "silent": "operations-agent", "heartbeat_age_s": 34.0},
            "Agent operations-agent is offline, last heard of 34 s ago; nothing is proposed or looked after",
        ),
        ({"watched": 0}, "No agent has reported; start the bridge, or correct AGENT_ID in bridge.config"),
    ):
        worse.update(change)
        assert wording.message(dict(ROW, **worse)) == wanted, wording.message(dict(ROW, **worse))


def it_never_shows_a_silent_database_as_a_living_agent():
    tags = wording.databaseSilent("connection refused")
    assert tags["Online"] is False
    assert tags["HeartbeatAgeS"] == -1.0
    assert "connection refused" in tags["LastMessage"]
    assert "Armed" not in tags  # what is not known is not written


def it_shows_exact_writes_or_refuses():
    text = (
        '[{"to": 405.0, "from": 450.0, "unit": "kg/h", "tag_path": "A"},'
        ' {"to": true, "from": false, "unit": "", "tag_path": "B"}]'
    )
    assert wording.writes(text) == ["A: 450 to 405 kg/h", "B: off to on"]
    for broken in ("{}", "[", "[1]", '[{"to": 1}]'):
        try:
            wording.writes(broken)
        except ValueError:
            continue
        raise AssertionError(broken)


def it_makes_rows_of_a_dataset():
    assert datasets.rows(Dataset(["a", "b"], [[1, None], [True, "\u00fc"]])) == [
        {"a": 1, "b": None},
        {"a": True, "b": "\u00fc"},
    ]
    assert datasets.rows(Dataset(["a"], [])) == []


def it_makes_numbers_of_what_jdbc_calls_numeric():
    if JYTHON:
        from java.math import BigDecimal

        numeric = BigDecimal("12.5")
    else:

        class Numeric(object):
            def doubleValue(self):
                return 12.5

        numeric = Numeric()
    found = datasets.rows(Dataset(["a"], [[numeric]]))[0]["a"]
    assert isinstance(found, float)
    assert found == 12.5
