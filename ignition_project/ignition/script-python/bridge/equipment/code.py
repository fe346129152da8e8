# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Equipment as cards and as one page: newest values with their age, what waits, and what was last commanded."""

from bridge import cards, config, states, wording


def page(rows, good, first):
	# type: (list, bool, int) -> dict
	"""One page of equipment cards from the rows of Readings/equipmentOverview, worst first."""
	state = states.of(
		rows,
		good,
		u"No equipment is known",
		u"No values of the last day, no published limits, no recommendations. Start the bridge.",
	)
	found = rows if good and rows else []
	size = config.CARDS
	last = max((len(found) - 1) // size, 0) * size
	first = min(max(int(first or 0), 0) // size * size, last)
	part = found[first : first + size]
	return {
		"state": state,
		"cards": [{"item": card(row)} for row in part],
		"first": first,
		"previous": first > 0,
		"next": first + size < len(found),
		"range": u"%d\u2013%d of %d" % (first + 1, first + len(part), len(found)) if len(found) > size else u"",
	}


def one(rows, good, equipment_id):
	# type: (list, bool, str) -> dict
	"""The card of one equipment, with the state to draw when there is none."""
	found = [row for row in rows or [] if row["equipment_id"] == equipment_id]
	missing = states.missing(
		u"No equipment has this name",
		u"Nothing was measured of it during the last day, and no limit is published for it.",
	)
	state = states.of(rows, good, missing["title"], missing["text"])
	if good and rows is not None and not found:
		state = missing
	return {"state": state, "item": card(found[0]) if good and found else blank(equipment_id)}


def card(row):
	# type: (dict) -> dict
	"""One equipment in words; `stale` values keep standing, said to be old."""
	reading = row["reading_state"]
	severity = row["severity"]
	return {
		"equipment_id": row["equipment_id"],
		"values": [
			{"value": {"name": label, "text": wording.measured(row.get(name), unit)}}
			for name, label, unit in config.SIGNALS
		],
		"reading": _reading(reading, row["age_s"]),
		"waits": _waits(row),
		"severity": cards.severity_of(severity) if severity else _CALM,
		"open": row["open_recommendations"] or 0,
		"recommendation_id": row["recommendation_id"] or u"",
		"command": _command(row),
	}


_CALM = {"word": u"", "icon": u"", "style": u"Severity/None", "card": u"Card/Plain"}


def blank(equipment_id):
	# type: (str) -> dict
	"""The card before anything is known."""
	return {
		"equipment_id": equipment_id or u"",
		"values": [{"value": {"name": label, "text": u"\u2013"}} for _, label, _ in config.SIGNALS],
		"reading": _chip(u"", u"", u"calm"),
		"waits": u"",
		"severity": _CALM,
		"open": 0,
		"recommendation_id": u"",
		"command": u"",
	}


def _reading(state, age_s):
	# type: (str, float) -> dict
	if state == "none" or age_s is None:
		return _chip(u"No values during the last day", u"material/cloud_off", u"watch")
	if state == "stale":
		return _chip(u"STALE: values are %s old" % wording.age(age_s), u"material/hourglass_empty", u"watch")
	if state == "bad":
		return _chip(u"BAD: the source does not trust its values", u"material/cancel", u"watch")
	if state == "uncertain":
		return _chip(u"Uncertain, %s" % wording.ago(age_s), u"material/help", u"watch")
	return _chip(u"Measured %s" % wording.ago(age_s), u"material/schedule", u"calm")


def _chip(text, icon, kind):
	# type: (str, str, str) -> dict
	return {"text": text, "icon": icon, "style": u"Chip/%s" % kind.capitalize()}


def _waits(row):
	# type: (dict) -> str
	number = row["open_recommendations"] or 0
	if not number:
		return u"Nothing open"
	more = u" and %d more" % (number - 1) if number > 1 else u""
	return u"%s, %s%s" % (wording.words(row["issue_type"]), row["recommendation_status"], more)


def _command(row):
	# type: (dict) -> str
	if not row["command_id"]:
		return u"No command during the last week"
	return u"Last command %s: %s, %s" % (
		wording.ago(row["command_age_s"]),
		row["command_tag_path"].split(u"]", 1)[-1],
		row["command_status"],
	)


def items(rows, good):
	# type: (list, bool) -> dict
	"""Open and recent recommendations of one equipment as table rows, from Recommendations/listForEquipment."""
	state = states.of(rows, good, u"No recommendation yet", u"Nothing was proposed for this equipment.")
	return {"state": state, "rows": [_item(row) for row in rows] if good and rows else []}


def _item(row):
	# type: (dict) -> dict
	return {
		"at": row["created_timestamp"],
		"severity": (row["severity"] or u"").upper(),
		"issue": wording.words(row["issue_type"]),
		"action": wording.clipped(row.get("recommended_action"), 120),
		"status": row["status"],
		"recommendation_id": row["recommendation_id"],
	}
