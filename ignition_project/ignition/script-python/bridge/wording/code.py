# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""What people at the HMI read: ages, writes, and the one sentence about the bridge that matters now."""

import json
import re
import time

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
		return u"%s with unknown outcome; somebody has to look" % count(row["commands_unknown"], u"command")
	if not row["armed"]:
		return u"Writes are disarmed by %s: %s" % (row["armed_by"], row["armed_reason"])
	if row["critical_waiting"]:
		return u"%s critical, waiting for an answer" % count(row["critical_waiting"], u"recommendation")
	return u"The agent is online; %s open" % count(row["open_recommendations"], u"recommendation")


def databaseSilent(problem):
	# type: (str) -> dict
	"""The agent's tags that can be said while the database does not answer: nobody can vouch for the agent."""
	return {
		"Online": False,
		"HeartbeatAgeS": NOT_KNOWN_S,
		"LastMessage": u"The database does not answer, so nothing is known of the agent: %s" % problem,
	}


def count(number, noun):
	# type: (int, str) -> str
	"""`1 command`, `2 commands`."""
	return u"%d %s%s" % (number, noun, u"" if number == 1 else u"s")


def ago(seconds):
	# type: (float) -> str
	"""`12 s ago`; what was just now may be a moment in the future on another clock."""
	if seconds is None:
		return u"time not known"
	return u"%s ago" % age(max(seconds, 0.0))


def left(seconds):
	# type: (float) -> str
	"""How long a recommendation may still be answered."""
	if seconds is None:
		return u"does not expire"
	if seconds <= 0:
		return u"Expired: nobody may approve it any more"
	return u"Expires in %s" % age(seconds)


def words(name):
	# type: (str) -> str
	"""A name of the tables as people write it: `high_temperature` is `High temperature`."""
	shown = (u"%s" % (name or u"",)).replace(u"_", u" ").strip()
	return shown[:1].upper() + shown[1:]


def clipped(text, length):
	# type: (str, int) -> str
	"""One line of at most so many characters, cut between words."""
	line = u" ".join((u"%s" % (text or u"",)).split())
	if len(line) <= length:
		return line
	cut = line[: length - 1]
	space = cut.rfind(u" ")
	return (cut[:space] if space > length // 2 else cut) + u"\u2026"


def percent(share):
	# type: (float) -> str
	"""A confidence of 0 to 1 as `95 %`."""
	return u"not given" if share is None else u"%d %%" % int(share * 100 + 0.5)


def change(before, after):
	# type: (object, object) -> str
	"""By how much a write moves a set-point: `\u221210 %`; empty where a percentage says nothing."""
	if isinstance(before, bool) or isinstance(after, bool) or not values.isNumber(before) or not values.isNumber(after):
		return u""
	if not before or after == before:
		return u""
	share = 100.0 * (after - before) / abs(before)
	shown = u"%.0f" % abs(share) if abs(share) >= 1 else u"%.1f" % abs(share)
	return u"%s%s %%" % (u"+" if share > 0 else u"\u2212", shown)


def measured(value, unit):
	# type: (object, str) -> str
	"""A measured value, rounded to what a person compares: `97.2 \u00b0C`; a dash when there is none."""
	if not values.isNumber(value):
		return u"\u2013"
	size = abs(value)
	shown = (u"%.0f" if size >= 1000 else u"%.1f" if size >= 10 else u"%.2f") % value
	return (u"%s %s" % (shown, unit or u"")).rstrip()


def refusal(problem):
	# type: (str) -> tuple
	"""(code, sentence) when the database said no in its own words; None when it did not answer at all."""
	found = re.search(u"(?:ERROR: )([a-z_]+): ([^\n]*)", u"%s" % (problem,))
	return None if found is None else (found.group(1), found.group(2).strip())


def clock(milliseconds):
	# type: (float) -> str
	"""A moment in UTC for a file that leaves the HMI: `2026-01-31 03:12:09Z`."""
	if milliseconds is None:
		return u""
	return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(milliseconds / 1000.0))
