# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""The audit trail as table rows and as a file for a spreadsheet."""

from bridge import states, timeline, wording

_COLUMNS = (
	("seq", u"number"),
	("at", u"time_utc"),
	("actor", u"who"),
	("db_role", u"database_role"),
	("action", u"action"),
	("object_type", u"kind"),
	("object_id", u"object"),
	("recommendation_id", u"recommendation"),
	("old_status", u"from"),
	("new_status", u"to"),
	("detail", u"detail"),
	("hash", u"hash"),
)

# A spreadsheet runs what begins with one of these.
_RISKY = (u"=", u"+", u"-", u"@", u"\t", u"\r")


def page(rows, good, limit):
	# type: (list, bool, int) -> dict
	"""Table rows from Audit/searchAudit, newest first, and a sentence about how many there are."""
	state = states.of(rows, good, u"Nothing fits these filters", u"Choose a longer time, or clear a filter.")
	found = rows if good and rows else []
	more = u"; there may be more, narrow the filters" if len(found) >= limit else u""
	return {
		"state": state,
		"rows": [_row(row) for row in found],
		"said": u"%d %s%s" % (len(found), u"entry" if len(found) == 1 else u"entries", more),
	}


def _row(row):
	# type: (dict) -> dict
	return {
		"seq": row["seq"],
		"at": row["at"],
		"who": row["actor"],
		"what": wording.words(row["action"].replace(u".", u" ")),
		"object": row["object_id"],
		"change": _change(row),
		"detail": wording.clipped(said(row), 200),
		"recommendation_id": row["recommendation_id"] or u"",
	}


def said(row):
	# type: (dict) -> str
	"""The reason, result or comment of one entry; empty when the entry speaks for itself."""
	detail = timeline.document(row["detail"])
	for key in ("rejection_reason", "execution_result", "comment", "operator_notes", "reason", "description"):
		if detail.get(key):
			return u"%s" % (detail[key],)
	if detail.get("tag_path"):
		return u"%s" % (detail["tag_path"],)
	return u""


def _change(row):
	# type: (dict) -> str
	if row["old_status"] and row["new_status"]:
		return u"%s \u2192 %s" % (row["old_status"], row["new_status"])
	return row["new_status"] or u""


def csv(rows):
	# type: (list) -> str
	"""The rows of Audit/searchAudit as CSV; what a spreadsheet would run as a formula is disarmed."""
	lines = [u",".join(title for _, title in _COLUMNS)]
	for row in rows:
		lines.append(u",".join(_cell(wording.clock(row["at"]) if key == "at" else row.get(key)) for key, _ in _COLUMNS))
	return u"\r\n".join(lines) + u"\r\n"


def _cell(value):
	# type: (object) -> str
	if value is None:
		return u""
	text = u"%s" % (value,)
	if text.startswith(_RISKY):
		text = u"'" + text
	if any(mark in text for mark in u',"\r\n'):
		return u'"%s"' % text.replace(u'"', u'""')
	return text
