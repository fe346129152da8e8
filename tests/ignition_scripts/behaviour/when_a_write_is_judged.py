# mypy: ignore-errors
"""Does each verdict say what is known and nothing more?"""

from bridge import qualities, verdicts
from bridge.qualities import Reading
from orders import facts

GOOD_405 = Reading(405.0, "Good", True, 0.0)
GOOD_450 = Reading(450.0, "Good", True, 0.0)
BAD = Reading(405.0, "Bad_Stale", False, 0.0)
PROVISIONAL = Reading(405.0, "Good_Provisional", True, 0.0)

# answer to the write, read-back, last look -> status, code (None: look again)
TABLE = [
    ("Good", GOOD_405, False, ("executed", None)),
    ("Good", GOOD_450, False, None),
    ("Good", GOOD_450, True, ("failed", "read_back_differs")),
    ("Good", None, True, ("unknown", "not_confirmed")),
    ("Good", BAD, False, None),
    ("Good", BAD, True, ("unknown", "not_confirmed")),
    ("Good", PROVISIONAL, False, None),  # an optimistic write shows what we wrote, not what the device took
    ("Good", PROVISIONAL, True, ("unknown", "not_confirmed")),
    ("Good_WritePending", GOOD_405, False, ("executed", None)),
    ("Good_WritePending", GOOD_450, True, ("unknown", "not_confirmed")),
    ("Uncertain_IncompleteOperation", GOOD_405, False, ("executed", None)),
    ("Uncertain_IncompleteOperation", GOOD_450, True, ("unknown", "not_confirmed")),
    ("Error_TimeoutExpired", GOOD_405, False, ("executed", None)),
    ("Error_TimeoutExpired", GOOD_450, True, ("unknown", "not_confirmed")),
    ("Bad_Failure", GOOD_450, True, ("unknown", "not_confirmed")),
    ("Bad", GOOD_450, True, ("unknown", "not_confirmed")),
    ("Bad_NotWritable", None, False, ("failed", "refused_by_server")),
    ('Bad_Failure("Bad_NotWritable: the node is read-only")', None, False, ("failed", "refused_by_server")),
    ("Bad_ReadOnly", GOOD_405, False, ("failed", "refused_by_server")),
    ("Bad_AccessDenied", None, False, ("failed", "refused_by_server")),
    ("Bad_OutOfRange", None, False, ("failed", "refused_by_server")),
    ("Bad_NotConnected", None, False, ("failed", "link_down")),
]


def it_judges_by_answer_and_read_back():
    for answer, reading, last_look, wanted in TABLE:
        outcome = qualities.outcomeOf(answer, answer.startswith("Good"))
        found = verdicts.verdictOf(facts(), 405.0, outcome, reading, last_look)
        assert (None if found is None else (found.status, found.code)) == wanted, (answer, reading, found)


def it_has_a_verdict_for_every_answer_when_the_settle_time_is_over():
    for answer in ("Good", "Bad", "Error", "Uncertain", "Bad_SomethingNew", ""):
        for reading in (None, GOOD_405, GOOD_450, BAD, PROVISIONAL):
            outcome = qualities.outcomeOf(answer, answer.startswith("Good"))
            assert verdicts.verdictOf(facts(), 405.0, outcome, reading, True) is not None


def it_says_nothing_was_written_only_where_that_is_certain():
    for answer, reading, last_look, wanted in TABLE:
        outcome = qualities.outcomeOf(answer, answer.startswith("Good"))
        found = verdicts.verdictOf(facts(), 405.0, outcome, reading, last_look)
        if found is not None:
            certain = wanted in (("failed", "refused_by_server"), ("failed", "link_down"))
            assert ("nothing was written" in found.reason) == certain, found


def it_ends_late_what_the_tag_answers():
    for shown, wanted in (
        (GOOD_405, ("executed", None, 405.0)),
        (GOOD_450, ("failed", "not_confirmed", 450.0)),
        (Reading(430.0, "Good", True, 0.0), ("unknown", "not_confirmed", 430.0)),
        (Reading(float("nan"), "Good", True, 0.0), ("unknown", "not_confirmed", None)),
        (Reading(True, "Good", True, 0.0), ("unknown", "not_confirmed", None)),
        (BAD, ("unknown", "not_confirmed", None)),
        (PROVISIONAL, ("unknown", "not_confirmed", None)),
        (None, ("unknown", "not_confirmed", None)),
    ):
        found = verdicts.lateVerdict(facts(status="executing", sent_s_ago=31.0), shown)
        assert (found.status, found.code, found.read_back) == wanted, found


def it_leaves_open_what_cannot_be_compared_any_more():
    for changes in (
        {"data_type": None},
        {"data_type": "Boolean"},
        {"data_type": "Int16", "expected_value": 450.5},
    ):
        found = verdicts.lateVerdict(facts(status="unknown", sent_s_ago=31.0, **changes), GOOD_405)
        assert (found.status, found.code) == ("unknown", "not_confirmed"), found


def it_begins_a_result_with_its_code():
    outcome = qualities.outcomeOf("Bad_NotWritable", False)
    found = verdicts.verdictOf(facts(), 405.0, outcome, None, False)
    assert (
        verdicts.resultOf(found)
        == "refused_by_server: Bad_NotWritable: the write was refused; nothing was written"
    )
    found = verdicts.verdictOf(facts(), 405.0, qualities.outcomeOf("Good", True), GOOD_405, False)
    assert verdicts.resultOf(found) == "written and read back: 405 kg/h"
