# mypy: ignore-errors
"""Is a dead agent, a dead database or a dead timer visible at the HMI within seconds?"""

import fakes
from bridge import config
from bridge.gateway import watchAgent
from when_people_read import ROW

FOLDER = "[default]Bridge/Agent/"
NAMES = (
    "Online",
    "HeartbeatAgeS",
    "Armed",
    "OpenRecommendations",
    "CriticalWaiting",
    "CommandsUnknown",
    "LastMessage",
    "LookedAt",
)


def _watched(**changes):
    gateway = fakes.fresh()
    gateway.health = dict(ROW, **changes)
    gateway.tags.update((FOLDER + name, None) for name in NAMES)
    return gateway


def _tag(gateway, name):
    return gateway.tags[FOLDER + name]


def it_writes_what_the_bridge_says_of_itself():
    gateway = _watched(critical_waiting=1, commands_unknown=2)
    watchAgent()
    assert _tag(gateway, "Online") is True
    assert _tag(gateway, "Armed") is True
    assert [
        _tag(gateway, name)
        for name in ("HeartbeatAgeS", "OpenRecommendations", "CriticalWaiting", "CommandsUnknown")
    ] == [
        2.0,
        3,
        1,
        2,
    ]
    assert _tag(gateway, "LookedAt") == "now"


def it_announces_only_that_the_agent_came_or_went():
    gateway = _watched()
    for online in (True, True, False, False, True):
        gateway.health.update(online=online, silent="" if online else "operations-agent")
        watchAgent()
    assert [message[2]["online"] for message in gateway.messages] == [True, False, True]
    assert set((project, handler, scope) for project, handler, _, scope in gateway.messages) == set(
        [("TheProject", config.AGENT_MESSAGE, "S")]
    )


def it_shows_the_agent_as_offline_when_the_database_does_not_answer():
    gateway = _watched()
    watchAgent()
    gateway.before["watchAgent"] = fakes.fail("connection refused")
    watchAgent()
    assert _tag(gateway, "Online") is False
    assert "connection refused" in _tag(gateway, "LastMessage")
    assert _tag(gateway, "OpenRecommendations") == 3  # the last that was known, and the message says so


def it_tells_when_the_tags_are_missing():
    import bridge.gateway as script

    gateway = _watched()
    del gateway.tags[FOLDER + "Online"]
    watchAgent()
    assert any(level == "error" and "Bad_NotFound" in text for level, text in script.LOGGER.lines)
    assert _tag(gateway, "OpenRecommendations") == 3


def it_goes_on_when_nobody_hears_the_message():
    import sys

    gateway = _watched()
    util = sys.modules["system"].util
    kept, util.sendMessage = util.sendMessage, lambda *a, **k: fakes.fail("no such handler")()
    try:
        watchAgent()
    finally:
        util.sendMessage = kept
    assert _tag(gateway, "Online") is True
