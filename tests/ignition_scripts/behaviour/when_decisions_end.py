# mypy: ignore-errors
"""Does the popup say what became of a decision: done, or exactly why not?"""

from __future__ import unicode_literals

from bridge import outcomes, wording
from when_cards_are_shown import AGENT, row


def _why(decision="approve", digest="d1", operator="anna", **changes):
    return outcomes.whyNot(decision, row(**changes), digest, operator)


def it_says_what_was_recorded():
    for decision, status, count, wanted in (
        ("approve", "approved", 2, "Approved. 2 writes handed over."),
        ("approve", "approved", 1, "Approved. 1 write handed over."),
        ("approve", "approved", 0, "Approved. A work order for a person is opened."),
        ("reject", "rejected", 2, "Rejected. Nothing is written."),
        ("defer", "deferred", 2, "Deferred. It comes back by itself."),
    ):
        found = outcomes.done(decision, {"status": status}, count)
        assert (found["kind"], found["text"]) == ("done", wanted), found


def it_does_not_call_the_first_of_two_approvals_enough():
    assert "another person" in outcomes.done("approve", {"status": "pending"}, 1)["text"]


def it_says_look_again_when_the_writes_changed():
    found = _why(digest="d0")
    assert found["kind"] == "changed"
    assert found["text"].startswith("Changed since you opened it: look again")


def it_names_who_was_faster():
    found = _why(status="approved", approved_by_operator="ben")
    assert found == {
        "kind": "changed",
        "text": "ben was faster: already approved. Nothing was changed by you.",
    }
    found = _why(status="rejected", decided_by_operator="ben")
    assert found["text"] == "Already rejected by ben. Nothing was changed by you."


def it_takes_a_second_click_for_the_first():
    for status in ("approved", "executing", "executed"):
        assert _why(status=status, approved_by_operator=" Anna ")["kind"] == "done"


def it_says_that_it_expired_or_was_withdrawn_or_is_gone():
    assert "Expired" in _why(status="expired")["text"]
    assert "Withdrawn" in _why(status="superseded")["text"]
    assert "does not exist" in outcomes.whyNot("approve", None, "d1", "anna")["text"]


def it_sees_the_change_while_the_popup_is_open():
    def popup(live, good=True, agent=AGENT):
        return outcomes.popup(live, good, "approve", "d1", "anna", agent)

    assert popup([row()])["open"] is True
    assert popup([row()])["left"] == "Expires in 29 min"
    assert popup(None)["open"] is True  # nothing is known against it yet
    assert popup([row(write_digest="d2")])["why"].startswith("Changed since you opened it")
    assert popup([row(status="approved", approved_by_operator="ben")])["why"].startswith("ben was faster")
    assert popup([])["open"] is False
    assert "database" in popup(None, good=False)["why"]
    assert popup([row(expires_in_s=-1.0)])["open"] is False
    assert "disarmed by anna" in popup([row()], agent=dict(AGENT, armed=False))["note"]
    assert "offline" in popup([row()], agent=dict(AGENT, online=False))["note"]
    assert popup([row(status="executed", approved_by_operator="anna")])["progress"].startswith("Done")


def it_gives_the_databases_own_words_without_its_codes():
    text = (
        "ERROR: expired: recommendation R-1 expired at 2026-01-01; nobody may approve it any more\n"
        "  Detail: expired\n  Where: PL/pgSQL function refuse(text,text) line 3 at RAISE"
    )
    assert wording.refusal(text) == (
        "expired",
        "recommendation R-1 expired at 2026-01-01; nobody may approve it any more",
    )
    assert wording.refusal("Connection refused") is None
    said = outcomes.refused(wording.refusal(text)[1])["text"]
    assert said.startswith("Refused, nothing was changed: recommendation R-1 expired")


def it_asks_with_the_number_of_writes():
    item = {"count": 2, "equipment_id": "R2"}
    assert outcomes.words("approve", item)["question"] == "Approve 2 writes on R2?"
    assert outcomes.words("approve", dict(item, count=0))["button"] == "Approve a work order"
    assert outcomes.words("reject", item)["field"] == "Reason (required)"
