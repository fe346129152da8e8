# mypy: ignore-errors
"""Does the popup say what became of a decision: done, or exactly why not?"""

from __future__ import unicode_literals

from bridge import outcomes, pages, wording
from when_cards_are_shown import AGENT, row


def _why(decision="approve", digest="d1", operator="anna", **changes):
    return outcomes.whyNot(decision, row(**changes), digest, operator)


def it_says_what_was_recorded():
    for decision, status, count, wanted in (
        ("approve", "approved", 2, "Approved. Waiting to be written; nothing has been sent yet."),
        ("approve", "approved", 1, "Approved. Waiting to be written; nothing has been sent yet."),
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
        return outcomes.popup(live, good, "d1", "anna", agent)

    assert popup([row()])["open"] is True
    assert popup([row()])["left"] == "Expires in 29 min"
    assert popup(None)["open"] is True  # nothing is known against it yet
    assert popup([row(write_digest="d2")])["why"] == "Changed since you opened it: look again."
    for changes, wanted in (
        ({"status": "approved", "approved_by_operator": "ben"}, "Already approved by ben."),
        ({"status": "executing", "approved_by_operator": "Anna"}, "Already approved by you."),
        ({"status": "rejected", "decided_by_operator": "engineer"}, "Already rejected by engineer."),
        ({"status": "deferred"}, "Already deferred."),
        ({"status": "expired"}, "Expired: nobody may approve it any more."),
        ({"status": "superseded"}, outcomes.WITHDRAWN),
    ):
        found = popup([row(**changes)])
        assert (found["open"], found["why"]) == (False, wanted), found
        assert "by you" not in found["why"].replace("Already approved by you", "")
    assert popup([])["open"] is False
    assert "database" in popup(None, good=False)["why"]
    assert popup([row(expires_in_s=-1.0)])["open"] is False
    assert "disarmed by anna" in popup([row()], agent=dict(AGENT, armed=False))["note"]
    assert "offline" in popup([row()], agent=dict(AGENT, online=False))["note"]
    assert popup([row(status="executed", approved_by_operator="anna")])["progress"].startswith("Done")


def it_says_what_an_approved_write_waits_for_until_it_is_sent():
    def popup(agent, **changes):
        return outcomes.popup([row(approved_by_operator="anna", **changes)], True, "d1", "anna", agent)

    for agent, wanted in (
        (AGENT, ""),
        (dict(AGENT, armed=False), "disarmed"),
        (dict(AGENT, online=False), "offline"),
    ):
        found = popup(agent, status="approved")
        assert found["sent"] is False
        assert (wanted in found["waits"]) and bool(wanted) == bool(found["waits"]), found
        for status in ("executing", "executed", "failed"):
            found = popup(agent, status=status, execution_result="")
            assert (found["sent"], found["waits"]) == (True, "")


def it_says_who_else_approved_in_the_popup():
    found = outcomes.popup(
        [row(approvals_required=2, approvals_given=1, approvers="anna")], True, "d1", "ben", AGENT
    )
    assert found["approvals"] == "1 of 2 approvals given, by anna"
    assert outcomes.popup([row()], True, "d1", "ben", AGENT)["approvals"] == ""


def it_says_who_disarmed_and_what_leaves_when_armed():
    control = {"armed": False, "changed_by": "anna", "reason": "valve work", "changed_ago_s": 300.0}

    def arming(approved, commands=0, good=True):
        agent = dict(AGENT, armed=False, commands_waiting=commands)
        found = [row(approved_total=approved)]
        return pages.arming({"rows": [control], "good": good, "agent": [agent], "open": found})

    assert arming(2)["who"] == "Disarmed by anna 5 min ago: valve work"
    for approved, commands, wanted in (
        (0, 0, "Nothing approved waits to be written."),
        (1, 0, "1 approved recommendation waits and may be written at this press."),
        (2, 0, "2 approved recommendations wait and may be written at this press."),
        (1, 1, "1 approved recommendation and 1 command wait and may be written at this press."),
        (0, 1, "1 command waits and may be written at this press."),
    ):
        assert arming(approved, commands)["waiting"] == wanted, arming(approved, commands)
    assert "not known" in arming(0, good=False)["who"]
    assert arming(0, good=False)["waiting"] == ""


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
