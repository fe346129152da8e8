# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""What people at the HMI read: ages, writes, and the one sentence about the bridge that matters now."""

import json

from bridge import values

NOT_KNOWN_S = -1.0  # a tag needs a number, and 0 would look like a fresh heartbeat


def age(seconds):
	# type: (float) -> str
	"""An age as people say it: `12 s`, `5 min`, `3 h`, `2 days`."""
	if seconds is None or seconds < 0:
		return u"not known"
	for limit, size, unit in ((120, 1, u"s"), (7200, 60, u"min"), (172800, 3600, u"h")):
		if seconds < limit:
			return u"%d %s" % (seconds // size, unit)
	return u"%d days" % (seconds // 86400)


def writes(proposedWritesText):
	# type: (str) -> list
	"""The exact writes of a recommendation, one line each: `[default]R/Setpoint: 450 to 405 kg/h`.

	ValueError when the text is no list of writes: what cannot be shown exactly must not be approved.
	"""
	found = json.loads(proposedWritesText)
	if not isinstance(found, list):
		raise ValueError("proposed_writes: wanted a list of writes")
	lines = []
	for write in found:
		if not isinstance(write, dict) or not set(["tag_path", "from", "to", "unit"]) <= set(write):
			raise ValueError("proposed_writes: a write wants tag_path, from, to and unit")
		lines.append(
			u"%s: %s to %s"
			% (write["tag_path"], values.show(write["from"], u""), values.show(write["to"], write["unit"]))
		)
	return lines


def watched(row):
	# type: (dict) -> dict
	"""The agent's tags by name, from the row of Health/watchAgent."""
	return {
		"Online": bool(row["online"]),
		"HeartbeatAgeS": NOT_KNOWN_S if row["heartbeat_age_s"] is None else row["heartbeat_age_s"],
		"Armed": bool(row["armed"]),
		"OpenRecommendations": row["open_recommendations"],
		"CriticalWaiting": row["critical_waiting"],
		"CommandsUnknown": row["commands_unknown"],
		"LastMessage": message(row),
	}


def message(row):
	# type: (dict) -> str
	"""The sentence that matters most now."""
	if not row["watched"]:
		return u"No agent has reported; start the bridge, or correct AGENT_ID in bridge.config"
	if not row["online"]:
		return u"Agent %s is offline, last heard of %s ago; nothing is proposed or looked after" % (
			row["silent"],
			age(row["heartbeat_age_s"]),
		)
	if row["commands_unknown"]:
		return u"%s with unknown outcome; somebody has to look" % _count(row["commands_unknown"], u"command")
	if not row["armed"]:
		return u"Writes are disarmed by %s: %s" % (row["armed_by"], row["armed_reason"])
	if row["critical_waiting"]:
		return u"%s critical, waiting for an answer" % _count(row["critical_waiting"], u"recommendation")
	return u"The agent is online; %s open" % _count(row["open_recommendations"], u"recommendation")


def databaseSilent(problem):
	# type: (str) -> dict
	"""The agent's tags that can be said while the database does not answer: nobody can vouch for the agent."""
	return {
		"Online": False,
		"HeartbeatAgeS": NOT_KNOWN_S,
		"LastMessage": u"The database does not answer, so nothing is known of the agent: %s" % problem,
	}


def _count(number, noun):
	# type: (int, str) -> str
	return u"%d %s%s" % (number, noun, u"" if number == 1 else u"s")
