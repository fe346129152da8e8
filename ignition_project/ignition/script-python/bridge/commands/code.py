# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Commands as cards and rows: what is not known first, then what is on its way, then what was."""

from bridge import states, values, wording

_CHIPS = {
	"unknown": (u"OUTCOME UNKNOWN", u"material/help", u"Chip/Act"),
	"executing": (u"Being written", u"material/sync", u"Chip/Busy"),
	"pending": (u"Waiting to be written", u"material/schedule", u"Chip/Calm"),
	"executed": (u"Verified", u"material/check_circle", u"Chip/Done"),
	"failed": (u"Failed", u"material/cancel", u"Chip/Act"),
	"cancelled": (u"Cancelled", u"material/block", u"Chip/Calm"),
}

_ORDER = ("unknown", "executing", "pending")


def live(rows, good):
	# type: (list, bool) -> dict
	"""What is not finished, from the rows of Commands/listLive."""
	state = states.of(rows, good, u"No command is on its way", u"Every command that was sent has its outcome.")
	found = sorted(rows, key=lambda row: _ORDER.index(row["status"])) if good and rows else []
	return {
		"state": state,
		"cards": [{"item": card(row)} for row in found],
		"unknown": len([row for row in found if row["status"] == "unknown"]),
	}


def card(row):
	# type: (dict) -> dict
	"""One command in words."""
	text, icon, style = _CHIPS.get(row["status"], (wording.words(row["status"]), u"material/info", u"Chip/Calm"))
	unknown = row["status"] == "unknown"
	unit = row["unit"]
	return {
		"command_id": row["command_id"],
		"recommendation_id": row["recommendation_id"],
		"equipment_id": row["equipment_id"],
		"tag_path": row["tag_path"],
		"name": row["tag_path"].split(u"]", 1)[-1],
		"from": _value(row, "expected_value"),
		"to": _value(row, "new_value"),
		"unit": unit or u"",
		"chip": {"text": text, "icon": icon, "style": style},
		"unknown": unknown,
		"card": u"Card/Critical" if unknown else u"Card/Plain",
		"who": u"Approved by %s" % (row.get("approved_by_operator") or u"a person not named"),
		"age": u"Made %s" % wording.ago(row["age_s"]),
		"result": wording.clipped(row.get("execution_result"), 300),
		"step": (
			u"Go to the panel or ask the field: what does %s show? Then record it here. "
			u"Nothing is ever sent again by itself." % row["tag_path"].split(u"]", 1)[-1]
			if unknown
			else u""
		),
	}


def _value(row, name):
	# type: (dict, str) -> str
	"""The command table holds numbers; what is listed as a Boolean reads off and on."""
	value = row[name]
	if row.get("data_type") == values.BOOLEAN and value in (0, 1):
		value = value == 1
	return values.show(value, row["unit"])


def history(rows, good):
	# type: (list, bool) -> dict
	"""Finished and running commands as table rows, from Commands/commandHistory."""
	state = states.of(rows, good, u"No command in this time", u"Choose a longer time above.")
	return {"state": state, "rows": [_row(row) for row in rows] if good and rows else []}


def _row(row):
	# type: (dict) -> dict
	return {
		"at": row["created_timestamp"],
		"equipment": row["equipment_id"],
		"tag": row["tag_path"].split(u"]", 1)[-1],
		"from": _value(row, "expected_value"),
		"to": _value(row, "new_value"),
		"status": _CHIPS.get(row["status"], (wording.words(row["status"]),))[0],
		"result": wording.clipped(row["execution_result"], 200),
		"who": row["approved_by_operator"] or u"",
		"recommendation_id": row["recommendation_id"],
	}


def settlement(found, readBack, seen):
	# type: (str, float, str) -> tuple
	"""(parameters for Commands/settleByHand, None), or (None, sentence) that says what is still missing."""
	if found not in ("executed", "failed"):
		return None, u"Say what you found: was it written or not?"
	if found == "executed" and readBack is None:
		return None, u"Enter the value that the panel shows."
	if not (seen or u"").strip():
		return None, u"Write what you saw and where, for those who read it later."
	return {
		"status": found,
		"result": u"%s by a person: %s" % (u"confirmed" if found == "executed" else u"not written, said", seen.strip()),
		"code": None if found == "executed" else u"not_confirmed",
		"read_back": readBack,
	}, None
