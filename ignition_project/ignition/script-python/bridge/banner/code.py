# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""The header's chips and the banner: the few sentences that every page shows, from the row of Health/watchAgent."""

from bridge import wording

CALM, WATCH, ACT, LOST = u"calm", u"watch", u"act", u"lost"


def header(row, good, silent_s=0):
	# type: (dict, bool, float) -> dict
	"""Agent, armed and waiting as chips; `row` is None before the first answer and when none came.

	`silent_s` is above 0 when a query was asked that long ago and neither answered nor failed.
	"""
	if not good or row is None:
		waiting = good
		return {
			"agent": _chip(
				u"Asking" if waiting else _unknown(silent_s),
				CALM if waiting else LOST,
				u"material/hourglass_empty" if waiting else u"material/cloud_off",
			),
			"armed": _chip(
				u"\u2026" if waiting else u"Armed? not known", CALM if waiting else LOST, u"material/help"
			),
			"waiting": _chip(
				u"\u2026" if waiting else u"Waiting? not known", CALM if waiting else LOST, u"material/help"
			),
		}
	return {"agent": _agent(row), "armed": _armed(row), "waiting": _waiting(row)}


def _unknown(silent_s):
	# type: (float) -> str
	return u"Agent not known: no answer for %s" % wording.age(silent_s) if silent_s else u"Agent not known"


def of(row, good, silent_s=0):
	# type: (dict, bool, float) -> dict
	"""The line above every page; not visible while nothing needs a person."""
	if not good:
		text = u"nothing shown here is current; watch the plant on its own displays"
		if silent_s:
			text = u"no answer from the database for %s; %s" % (wording.age(silent_s), text)
		return _line(LOST, u"material/cloud_off", u"DATABASE SILENT", text, u"")
	if row is None:
		return _line(CALM, u"", u"", u"", u"")
	said = []
	if row["critical_waiting"]:
		where = row.get("critical_equipment")
		text = u"%s%s waiting for an answer" % (
			u"%s: " % where if where else u"",
			wording.count(row["critical_waiting"], u"recommendation"),
		)
		said.append((ACT, u"material/error", u"CRITICAL", text, u"/recommendations"))
	if row["commands_unknown"]:
		said.append(
			(
				ACT,
				u"material/help",
				u"OUTCOME UNKNOWN",
				u"%s sent and not confirmed; somebody has to look at the panel"
				% wording.count(row["commands_unknown"], u"command"),
				u"/commands",
			)
		)
	if not row["watched"]:
		text = u"none has ever reported; nobody is looking"
		said.append((ACT, u"material/favorite", u"NO AGENT", text, u"/health"))
	elif not row["online"]:
		text = u"last heard of %s; nothing is proposed or looked after" % wording.ago(row["heartbeat_age_s"])
		said.append((ACT, u"material/favorite", u"AGENT OFFLINE", text, u"/health"))
	if not said:
		return _line(CALM, u"", u"", u"", u"")
	kind, icon, word, text, page = said[0]
	for _, _, otherWord, otherText, _ in said[1:]:
		text += u"   \u00b7   %s: %s" % (otherWord, otherText)
	return _line(kind, icon, word, text, page)


def _line(kind, icon, word, text, page):
	# type: (str, str, str, str, str) -> dict
	return {"visible": bool(word), "kind": kind, "icon": icon, "word": word, "text": text, "page": page}


def _chip(text, kind, icon):
	# type: (str, str, str) -> dict
	return {"text": text, "kind": kind, "icon": icon, "style": u"Chip/%s" % kind.capitalize()}


def _agent(row):
	# type: (dict) -> dict
	if not row["watched"]:
		return _chip(u"No agent", ACT, u"material/favorite")
	if not row["online"]:
		return _chip(u"Agent offline, %s" % wording.age(row["heartbeat_age_s"]), ACT, u"material/favorite")
	return _chip(u"Agent online", CALM, u"material/favorite")


def _armed(row):
	# type: (dict) -> dict
	if row["armed"]:
		return _chip(u"Armed", CALM, u"material/lock_open")
	return _chip(u"DISARMED: no writes", WATCH, u"material/lock")


def _waiting(row):
	# type: (dict) -> dict
	if row["critical_waiting"]:
		return _chip(
			u"%d open, %d critical" % (row["open_recommendations"], row["critical_waiting"]), ACT, u"material/error"
		)
	return _chip(u"%d open" % row["open_recommendations"], CALM, u"material/notifications")
