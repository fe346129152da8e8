# mypy: ignore-errors
"""Does the record of sessions name persons from the login, and never anybody else?"""

import fakes
from bridge import gateway as script


class _Thing(object):
    def __init__(self, **parts):
        self.__dict__.update(parts)


def _session(user="anna", authenticated=True, identity="p-1"):
    auth = _Thing(authenticated=authenticated, user=_Thing(userName=user))
    return _Thing(props=_Thing(id=identity, auth=auth))


def it_keeps_one_row_for_one_person_in_one_session():
    gateway = fakes.fresh()
    assert script.openSession(_session()) == "p-1/anna"
    script.openSession(_session())
    script.openSession(_session(user="bert"))
    assert sorted(gateway.sessions) == ["p-1/anna", "p-1/bert"]
    script.closeSession(_session(user=None, authenticated=False))
    assert set(row["status"] for row in gateway.sessions.values()) == set(["closed"])


def it_has_no_row_for_nobody():
    for user, authenticated in (("anna", False), ("", True), (None, True)):
        gateway = fakes.fresh()
        assert script.openSession(_session(user=user, authenticated=authenticated)) is None
        script.countDecision(_session(user=user, authenticated=authenticated), "approved")
        assert gateway.sessions == {}


def it_counts_decisions_where_they_were_made():
    gateway = fakes.fresh()
    for decision in ("approved", "approved", "rejected"):
        script.countDecision(_session(), decision)
    row = gateway.sessions["p-1/anna"]
    assert (row["approved"], row["rejected"]) == (2, 1)


def it_lets_a_decision_stand_that_could_not_be_counted():
    gateway = fakes.fresh()
    gateway.before["countDecision"] = fakes.fail()
    script.countDecision(_session(), "approved")
    assert [level for level, _ in script.LOGGER.lines] == ["warn"]
