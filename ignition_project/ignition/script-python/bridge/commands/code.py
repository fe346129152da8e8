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


def settlement(found, readBack, seen, command, operator):
	# type: (str, float, str, dict, str) -> tuple
	"""(parameters for Commands/settleByHand, None), or (None, sentence) that says what is still missing.

	`command` is the row of Commands/getCommand: a value counts as written only when it is the new one.
	"""
	if found not in ("executed", "failed"):
		return None, u"Say what you found: was it written or not?"
	if found == "executed" and readBack is None:
		return None, u"Enter the value that the panel shows."
	if found == "executed" and not _isNew(readBack, command):
		return None, u"The panel shows %s, approved was %s: settle it as not written." % (
			_number(readBack, command),
			_number(command["new_value"], command),
		)
	if not (seen or u"").strip():
		return None, u"Write what you saw and where, for those who read it later."
	shown = u"" if readBack is None else u": %s" % _number(readBack, command)
	word = u"confirmed" if found == "executed" else u"found not written"
	return {
		"status": found,
		"result": u"%s by %s at the panel%s; %s" % (word, operator, shown, seen.strip()),
		"code": None if found == "executed" else u"not_confirmed",
		"read_back": readBack,
	}, None


def _isNew(number, command):
	# type: (float, dict) -> bool
	"""As close to the new value as a read-back has to be; a Boolean is 0 or 1 here, and exactly that."""
	tolerance = 0 if command["data_type"] == values.BOOLEAN else command["tolerance"]
	return values.equalEnough(number, command["new_value"], command["data_type"], tolerance)


def _number(number, command):
	# type: (float, dict) -> str
	"""As the panel shows it, every digit of it: 12345.678 must not look like 12345.7."""
	if command["data_type"] == values.BOOLEAN and number in (0, 1):
		return values.show(number == 1, command["unit"])
	return (u"%.15g %s" % (number, command["unit"] or u"")).rstrip()
