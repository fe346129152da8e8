# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""One recommendation whole: every text in full, its evidence, and what was decided in cases like it."""

from bridge import advice, cards, health, states, timeline, wording

_BLANK = {
	"recommendation_id": u"",
	"equipment_id": u"",
	"issue_type": u"",
	"severity": u"low",
	"status": u"",
	"confidence_score": None,
	"recommended_action": u"",
	"root_cause_analysis": u"",
	"expected_outcome": u"",
	"proposed_writes": u"[]",
	"write_digest": u"",
	"age_s": None,
	"expires_in_s": None,
}


def page(rows, good, operator):
	# type: (list, bool, str) -> dict
	"""From the row of Recommendations/getRecommendation."""
	state = states.of(rows, good, u"", u"")
	if good and rows is not None and not rows:
		state = states.missing(
			u"There is no such recommendation",
			u"The address may be mistyped. Open one from the list of recommendations.",
		)
	row = rows[0] if good and rows else dict(_BLANK)
	evidence = row.get("evidence")
	return {
		"state": state,
		"shown": state["kind"] == u"none",
		"item": cards.card(row, operator),
		"cause": advice.said(row.get("source"), row["root_cause_analysis"]) or u"No cause was given.",
		"action": row["recommended_action"] or u"No action was described.",
		"outcome": row["expected_outcome"] or u"",
		"result": _result(row),
		"evidence": health.evidence(evidence),
		"evidenceText": evidence or u"",
		"trends": [{"equipment_id": row["equipment_id"], "evidence": evidence or u""}] if row["equipment_id"] else [],
	}


def _result(row):
	# type: (dict) -> str
	"""What came of it, in the words of whoever ended it."""
	said = []
	for key, text in (
		("rejection_reason", u"Reason: %s"),
		("operator_notes", u"Operator's note: %s"),
		("execution_result", u"Result: %s"),
	):
		if row.get(key):
			said.append(text % row[key])
	return u"\n".join(said)


def similar(rows, good):
	# type: (list, bool) -> dict
	"""Earlier cases as table rows, from Recommendations/listSimilar."""
	state = states.of(rows, good, u"No earlier case like this", u"Nothing of this kind has been decided before.")
	return {"state": state, "rows": [_case(row) for row in rows] if good and rows else []}


def _case(row):
	# type: (dict) -> dict
	return {
		"at": row["created_timestamp"],
		"equipment": row["equipment_id"],
		"severity": (row["severity"] or u"").upper(),
		"decision": wording.words(row.get("decision") or row["status"]),
		"who": row.get("decided_by") or u"",
		"reason": wording.clipped(row.get("reason") or row.get("execution_result"), 160),
		"recommendation_id": row["recommendation_id"],
	}


def trail(rows, good, evidenceText):
	# type: (list, bool, str) -> list
	"""The timeline, empty while nothing is known."""
	return timeline.entries(rows, evidenceText) if good and rows else []
