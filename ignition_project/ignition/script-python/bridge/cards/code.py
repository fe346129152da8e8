# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Recommendations as cards: every sentence that an operator reads before a decision.

Ages and times left come from the database's own clock, so a browser or gateway with a wrong clock shows
the right thing.
"""

from bridge import advice, states, wording, writes

SEVERITIES = ("critical", "high", "medium", "low")

# A shape for each, so that nobody has to tell colours apart.
_ICONS = {
	"critical": u"material/error",
	"high": u"material/warning",
	"medium": u"material/notifications",
	"low": u"material/info",
}

_DECIDABLE = "pending"
SOON_S = 120.0


def page(rows, good, agent, agentGood, operator):
	# type: (list, bool, dict, bool, str) -> dict
	"""The cards of one page from the rows of Recommendations/pageOfOpen, in the order of the query.

	Every row says where the page begins (from 0) and how many there are in all; no row means that nothing waits.
	"""
	state = states.of(rows, good, u"Nothing waits for you", states.agentNote(agent, agentGood))
	shown = rows if good and rows else []
	first, total = (int(shown[0]["first_row"]), int(shown[0]["open_total"])) if shown else (0, 0)
	return {
		"state": state,
		"cards": [{"item": card(row, operator)} for row in shown],
		"first": first,
		"previous": first > 0,
		"next": first + len(shown) < total,
		"range": _range(first, len(shown), total),
		"counts": _counts(shown[0]) if shown else u"",
		"offline": bool(shown) and agentGood and agent is not None and not (agent["watched"] and agent["online"]),
	}


def finished(rows):
	# type: (list) -> list
	"""What has just come to its end, one line each, so that an approved card does not simply vanish."""
	return [{"item": card(row)} for row in rows or []]


def card(row, operator=u""):
	# type: (dict, str) -> dict
	"""One recommendation, open or finished, in words; `operator` knows that he is looking himself."""
	problem = u""
	try:
		lines = writes.shown(row["proposed_writes"], row.get("limits") or u"{}", row["status"] == _DECIDABLE)
	except ValueError as broken:
		lines, problem = [], u"These writes cannot be shown exactly (%s), so nobody can approve them." % broken
	severity = u"%s" % (row["severity"],)
	cause = advice.said(row.get("source"), row["root_cause_analysis"])
	pending = row["status"] == _DECIDABLE
	left_s = row["expires_in_s"]
	return {
		"recommendation_id": row["recommendation_id"],
		"digest": row["write_digest"],
		"status": row["status"],
		"equipment_id": row["equipment_id"],
		"severity": severity_of(severity),
		"issue": wording.words(row["issue_type"]),
		"line": wording.clipped(cause, 220) or u"No cause was given.",
		"action": wording.clipped(row["recommended_action"], 220) or u"No action was described.",
		"outcome": wording.clipped(row["expected_outcome"], 220),
		"writes": [{"write": line} for line in lines],
		"count": len(lines),
		"noWrites": problem or (u"" if lines else u"No exact write: approving opens a work order for a person."),
		"confidence": u"Confidence %s" % wording.percent(row["confidence_score"]),
		"age": u"Raised %s" % wording.ago(row["age_s"]),
		"left": wording.left(left_s) if pending else u"",
		"soon": pending and left_s is not None and left_s < SOON_S,
		"lookers": _lookers(row.get("lookers"), operator),
		"approvals": approvals(row),
		"chip": chip(row),
		"decidable": pending and not problem and (left_s is None or left_s > 0),
		"source": _source(row),
	}


def severity_of(name):
	# type: (str) -> dict
	"""Word, shape and style of a severity; one that is not known is drawn as the most severe."""
	known = name if name in SEVERITIES else "critical"
	return {
		"word": (u"%s" % (name,)).upper(),
		"icon": _ICONS[known],
		"style": u"Severity/%s" % known.capitalize(),
		"card": u"Card/%s" % known.capitalize(),
	}


def chip(row):
	# type: (dict) -> dict
	"""What is happening with a recommendation, in a word or two and with a shape."""
	status = row["status"]
	by = row.get("approved_by_operator") or row.get("decided_by_operator") or u""
	said = u" by %s" % by if by else u""
	if status == "pending":
		return _chip(u"Waiting for an answer", u"calm", u"material/schedule")
	if status == "deferred":
		return _chip(u"Deferred%s, comes back %s" % (said, _back(row)), u"calm", u"material/hourglass_empty")
	if status == "approved":
		return _chip(u"Approved%s, waiting for the bridge" % said, u"busy", u"material/check_circle")
	if status == "executing":
		return _chip(u"Executing, approved%s" % said, u"busy", u"material/sync")
	if status == "executed":
		return _chip(u"Done and verified, approved%s" % said, u"done", u"material/check_circle")
	if status == "failed":
		return _chip(u"Failed, approved%s" % said, u"act", u"material/cancel")
	if status == "rejected":
		return _chip(u"Rejected%s" % said, u"calm", u"material/block")
	if status == "expired":
		return _chip(u"Expired", u"calm", u"material/schedule")
	return _chip(wording.words(status), u"calm", u"material/info")


def _chip(text, kind, icon):
	# type: (str, str, str) -> dict
	return {"text": text, "icon": icon, "style": u"Chip/%s" % kind.capitalize()}


def _back(row):
	# type: (dict) -> str
	left_s = row.get("deferred_left_s")
	return u"by itself" if left_s is None else u"in %s" % wording.age(max(left_s, 0.0))


def _lookers(names, operator):
	# type: (str, str) -> str
	listed = [name.strip() for name in (names or u"").split(u",") if name.strip()]
	listed = [name for name in listed if name != operator]
	if not listed:
		return u""
	return u"%s %s looking at this now" % (u", ".join(listed), u"is" if len(listed) == 1 else u"are")


def approvals(row):
	# type: (dict) -> str
	"""How many of the approvals are there, and whose; empty where one is enough."""
	wanted = row.get("approvals_required") or 1
	if wanted < 2:
		return u""
	names = row.get("approvers")
	by = u", by %s" % names if names else u""
	return u"%d of %d approvals given%s" % (row.get("approvals_given") or 0, wanted, by)


def _source(row):
	# type: (dict) -> str
	source = advice.source(row.get("source") or u"rules")
	return u"Proposed by %s (%s)" % (row.get("created_by_agent") or u"an agent", source)


def _range(first, shown, total):
	# type: (int, int, int) -> str
	if shown >= total:
		return u""
	return u"%d\u2013%d of %d" % (first + 1, first + shown, total)


def _counts(row):
	# type: (dict) -> str
	said = []
	for column, text in (
		("pending_total", u"%d waiting"),
		("approved_total", u"%d approved"),
		("executing_total", u"%d executing"),
		("deferred_total", u"%d deferred"),
	):
		if row[column]:
			said.append(text % row[column])
	return u", ".join(said)
