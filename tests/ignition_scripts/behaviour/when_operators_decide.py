# mypy: ignore-errors
"""Do the buttons of the views decide once, with the login's right, in the login's name, on what was shown?"""

from __future__ import unicode_literals

import fakes
from bridge import config, hmi
from when_cards_are_shown import row

OPERATOR = "Authenticated/Roles/Operator"
ENGINEER = "Authenticated/Roles/Engineer"


class _Thing(object):
    def __init__(self, **parts):
        self.__dict__.update(parts)


def _session(user="anna", authenticated=True):
    auth = _Thing(authenticated=authenticated, user=_Thing(userName=user))
    return _Thing(props=_Thing(id="p-1", auth=auth, theme="light"), custom=_Thing())


def _popup(session=None, levels=(OPERATOR,), **params):
    """A component of the popup Decide, and the gateway behind it."""
    gateway = fakes.fresh()
    gateway.levels = set(levels)
    gateway.recommendations = {"R-1": row()}
    given = dict(recommendation_id="R-1", decision="approve", digest="d1", item={"writes": [{"write": {}}]})
    given.update(params)
    custom = _Thing(sent=False, reason="", minutes=30, outcome=None)
    return gateway, _Thing(session=session or _session(), view=_Thing(params=_Thing(**given), custom=custom))


def _said(component):
    return component.view.custom.outcome["kind"], component.view.custom.outcome["text"]


def it_approves_what_was_shown_in_the_name_of_the_login():
    gateway, component = _popup()
    component.view.custom.reason = " seen at the panel "
    hmi.confirm(component)
    assert gateway.decided == [
        (
            "Recommendations/approveRecommendation",
            {"recommendation_id": "R-1", "operator": "anna", "digest": "d1", "comment": "seen at the panel"},
        )
    ]
    assert _said(component)[0] == "done"
    assert gateway.sessions["p-1/anna"]["approved"] == 1
    assert gateway.sessions["p-1/anna"]["may_decide"] is True
    assert gateway.sessions["p-1/anna"]["may_arm"] is False


def it_records_the_two_rights_apart():
    for levels, rights in (((OPERATOR,), (True, False)), ((ENGINEER,), (False, True)), ((), (False, False))):
        gateway = fakes.fresh()
        gateway.levels = set(levels)
        hmi.started(_session())
        row_ = gateway.sessions["p-1/anna"]
        assert (row_["may_decide"], row_["may_arm"]) == rights, levels


def it_ends_the_row_of_whoever_has_logged_out():
    gateway = fakes.fresh()
    gateway.levels = {OPERATOR}
    hmi.started(_session())
    hmi.cameOrWent(_Thing(session=_session(authenticated=False)))
    assert gateway.sessions["p-1/anna"]["status"] == "closed"
    hmi.cameOrWent(_Thing(session=_session()))
    hmi.cameOrWent(_Thing(session=_session("ben")))
    assert [gateway.sessions["p-1/" + who]["status"] for who in ("anna", "ben")] == ["closed", "active"]


def it_does_nothing_at_the_second_click():
    gateway, component = _popup()
    for _ in range(3):
        hmi.confirm(component)
    assert len(gateway.decided) == 1
    assert _said(component)[0] == "done"


def it_stops_a_viewer_and_somebody_who_is_not_logged_in():
    for session, levels, word in (
        (_session(), (), "may not"),
        (_session(), (ENGINEER,), "may not"),
        (_session(authenticated=False), (OPERATOR,), "Nobody is logged in"),
        (_session(user=""), (OPERATOR,), "Nobody is logged in"),
    ):
        gateway, component = _popup(session, levels)
        hmi.confirm(component)
        assert gateway.decided == []
        assert _said(component)[0] == "refused"
        assert word in _said(component)[1]


def it_refuses_writes_that_changed_since():
    for decision in ("approve", "reject", "defer"):
        for digest in ("d0", "", None):
            gateway, component = _popup(decision=decision, digest=digest)
            component.view.custom.reason = "planned"
            hmi.confirm(component)
            assert gateway.recommendations["R-1"]["status"] == "pending"
            assert _said(component) == (
                "changed",
                "Changed since you opened it: look again. Nothing was changed by you.",
            )


def it_says_who_was_faster():
    gateway, component = _popup()
    gateway.before["approveRecommendation"] = lambda: gateway.recommendations["R-1"].update(
        status="approved", approved_by_operator="ben"
    )
    hmi.confirm(component)
    assert "ben was faster" in _said(component)[1]


def it_wants_a_reason_for_a_rejection_and_lets_it_be_given():
    gateway, component = _popup(decision="reject")
    component.view.custom.reason = "  "
    hmi.confirm(component)
    assert _said(component)[0] == "wanted"
    assert gateway.decided == []
    component.view.custom.reason = "planned"
    hmi.confirm(component)
    assert gateway.decided[0][1]["reason"] == "planned"
    assert gateway.sessions["p-1/anna"]["rejected"] == 1


def it_defers_for_the_chosen_time():
    gateway, component = _popup(decision="defer")
    component.view.custom.minutes = 120
    hmi.confirm(component)
    assert gateway.decided[0][1] == {
        "recommendation_id": "R-1",
        "operator": "anna",
        "digest": "d1",
        "minutes": 120,
        "comment": None,
    }
    assert gateway.recommendations["R-1"]["status"] == "deferred"


def it_may_be_pressed_again_when_nothing_left_this_gateway():
    gateway, component = _popup()
    gateway.before["openOperatorSession"] = fakes.fail()
    hmi.confirm(component)
    assert _said(component)[0] == "again"
    assert "nothing was recorded" in _said(component)[1]
    gateway.before.clear()
    hmi.confirm(component)
    assert _said(component)[0] == "done"


def it_does_not_claim_to_know_what_became_of_a_decision_on_its_way():
    gateway, component = _popup()
    gateway.after["approveRecommendation"] = fakes.fail()
    hmi.confirm(component)
    kind, text = _said(component)
    assert kind == "unknown"
    assert "not known" in text
    hmi.confirm(component)
    assert len(gateway.decided) == 1


def it_passes_on_the_databases_own_no():
    gateway, component = _popup()
    gateway.before["approveRecommendation"] = fakes.fail(
        "ERROR: out_of_range: R2: 900 is outside 100 to 800\n  Detail: x"
    )
    hmi.confirm(component)
    assert _said(component) == ("refused", "Refused, nothing was changed: R2: 900 is outside 100 to 800.")


def it_opens_the_popup_with_the_row_that_was_shown():
    gateway = fakes.fresh()
    item = {
        "recommendation_id": "R-1",
        "digest": "d1",
        "equipment_id": "R2",
        "issue": "High temperature",
        "writes": [],
    }
    hmi.ask(_Thing(view=_Thing(params=_Thing(item=item))), "approve")
    ((name, words, named),) = gateway.perspective
    assert (name, words) == ("openPopup", ("decide", "Popups/Decide"))
    assert named["params"] == {
        "recommendation_id": "R-1",
        "decision": "approve",
        "digest": "d1",
        "item": item,
    }
    assert named["modal"] is True


def it_arms_only_for_engineers_and_disarms_for_operators_too():
    for armed, levels, wanted in (
        (True, (OPERATOR,), "refused"),
        (True, (ENGINEER,), "done"),
        (False, (OPERATOR,), "done"),
        (False, (ENGINEER,), "done"),
        (False, (), "refused"),
    ):
        gateway, component = _popup(levels=levels, armed=armed)
        gateway.control = not armed
        component.view.custom.reason = "valve work"
        hmi.confirmArm(component)
        assert _said(component)[0] == wanted, (armed, levels, _said(component))
        assert gateway.control == (armed if wanted == "done" else not armed)


def it_settles_an_unknown_outcome_by_what_a_person_saw():
    gateway, component = _popup(command_id="C-1")
    gateway.commands = [_unknown()]
    custom = component.view.custom
    custom.found, custom.readBack, custom.seen = "", None, ""
    hmi.confirmSettle(component)
    assert _said(component)[0] == "wanted"
    custom.found, custom.seen = "executed", "panel in hall 2"
    hmi.confirmSettle(component)
    assert "value" in _said(component)[1]
    for wrong in (12345.0, 400.0, 404.4):
        custom.readBack = wrong
        hmi.confirmSettle(component)
        assert _said(component)[0] == "wanted"
        assert ("shows %g kg/h, approved was 405 kg/h" % wrong) in _said(component)[1]
    assert gateway.decided == []
    custom.readBack = 405.0
    hmi.confirmSettle(component)
    assert _said(component)[0] == "done"
    assert gateway.decided[0][1] == {
        "command_id": "C-1",
        "operator": "anna",
        "status": "executed",
        "code": None,
        "read_back": 405.0,
        "result": "confirmed by anna at the panel: 405 kg/h; panel in hall 2",
    }


def it_settles_as_not_written_whatever_the_panel_shows():
    gateway, component = _popup(command_id="C-1")
    gateway.commands = [_unknown()]
    custom = component.view.custom
    custom.found, custom.readBack, custom.seen = "failed", 12345.678, "panel in hall 2"
    hmi.confirmSettle(component)
    assert gateway.decided[0][1]["status"] == "failed"
    assert (
        gateway.decided[0][1]["result"]
        == "found not written by anna at the panel: 12345.678 kg/h; panel in hall 2"
    )


def _unknown():
    return {
        "command_id": "C-1",
        "recommendation_id": "R-1",
        "status": "unknown",
        "new_value": 405.0,
        "unit": "kg/h",
        "data_type": "Double",
        "tolerance": 0.5,
    }


def it_exports_what_the_filters_show():
    gateway = fakes.fresh()
    entry = dict.fromkeys(("db_role", "object_type", "recommendation_id", "old_status", "new_status", "hash"))
    entry.update(
        seq=7, at=0.0, actor="=cmd()", action="approval.given", object_id="R-1", detail='{"a": "b,c"}'
    )
    gateway.trail = [entry]
    custom = _Thing(actor="", action="", object="", hours=24, exported="")
    hmi.exportAudit(_Thing(view=_Thing(custom=custom)))
    ((name, words, _),) = gateway.perspective
    assert (name, words[0]) == ("download", "audit.csv")
    head, line, rest = words[1].split("\r\n")
    assert head.startswith("number,time_utc,who")
    assert line.startswith("7,1970-01-01 00:00:00Z,'=cmd(),")
    assert '"{""a"": ""b,c""}"' in line
    assert rest == ""
    assert custom.exported == "1 rows exported."


def it_keeps_a_page_opening_while_the_database_is_away():
    gateway = fakes.fresh()
    gateway.before["openOperatorSession"] = fakes.fail()
    session = _session()
    hmi.started(session)
    assert gateway.named("openOperatorSession")
    found = session.custom
    assert (found.agent_id, found.offline_after_s, found.silent_after_s) == (
        config.AGENT_ID,
        config.OFFLINE_AFTER_S,
        config.SILENT_AFTER_S,
    )
