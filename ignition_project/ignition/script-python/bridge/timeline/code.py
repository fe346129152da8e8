# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""The story of one recommendation, from the reading to the verified write, out of the audit trail and its evidence."""

import calendar
import json
import time

from bridge import values, wording

NEAR_S = 12 * 3600.0  # beyond it, a time of day alone would name two days

_ICONS = (
	("recommendation.created", u"material/notifications"),
	("recommendation.advised", u"material/search"),
	("recommendation.approved", u"material/check_circle"),
	("recommendation.executed", u"material/check_circle"),
	("recommendation.rejected", u"material/block"),
	("recommendation.failed", u"material/cancel"),
	("approval.", u"material/person"),
	("command.executed", u"material/check_circle"),
	("command.failed", u"material/cancel"),
	("command.unknown", u"material/help"),
	("command.sent", u"material/arrow_forward"),
	("command.", u"material/play_arrow"),
	("work_order.", u"material/assignment"),
	("control.", u"material/lock"),
)

_SAID = {
	"recommendation.created": u"Recommendation raised",
	"recommendation.advised": u"Advice came in",
	"recommendation.not_advised": u"No advice came; the rules' proposal stays",
	"recommendation.revised": u"Proposal changed",
	"recommendation.approved": u"Approved",
	"recommendation.rejected": u"Rejected",
	"recommendation.deferred": u"Deferred",
	"recommendation.pending": u"Waiting again",
	"recommendation.executing": u"Handed over for writing",
	"recommendation.executed": u"Done: every write verified",
	"recommendation.failed": u"Failed",
	"recommendation.expired": u"Expired",
	"recommendation.superseded": u"Withdrawn",
	"approval.given": u"Approval recorded",
	"command.created": u"Command made",
	"command.claimed": u"Command claimed",
	"command.released": u"Command given back, not sent",
	"command.sent": u"Write sent",
	"command.executed": u"Write read back and equal",
	"command.failed": u"Write failed",
	"command.unknown": u"Outcome unknown",
	"command.cancelled": u"Command cancelled before it was sent",
	"work_order.opened": u"Work order opened",
	"work_order.completed": u"Work order completed",
}


# An unknown outcome that a person ended: nobody read the tag back.
_FOUND = {
	"command.executed": u"Confirmed by a person at the panel",
	"command.failed": u"Found not written by a person",
}


def entries(rows, evidenceText):
	# type: (list, str) -> list
	"""One entry a line of Audit/auditTrail, oldest first, led by when the signal went wrong."""
	found = [_entry(row) for row in rows or []]
	return [{"entry": entry} for entry in _beginning(evidenceText, rows or []) + found]


def moment(isoText):
	# type: (str) -> float
	"""Milliseconds since 1970 of a time as the bridge writes it, in UTC; None when it is none."""
	try:
		text = u"%s" % (isoText,)
		seconds = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
		return 1000.0 * seconds
	except ValueError:
		return None


def _beginning(evidenceText, rows):
	# type: (str, list) -> list
	evidence = document(evidenceText)
	since = moment(evidence.get("since_utc"))
	if since is None:
		return []
	text = u"%s %s, limit %s" % (
		wording.words(evidence.get("signal")),
		wording.measured(evidence.get("value"), evidence.get("unit")),
		wording.measured(evidence.get("limit"), evidence.get("unit")),
	)
	# The database's own time, by any entry that tells both when it was and how long ago.
	ago_s = None if not rows else (rows[0]["at"] - since) / 1000.0 + rows[0]["ago_s"]
	return [_made(since, ago_s, u"Signal went out of its limit", text, u"", u"material/show_chart", u"plain")]


def _entry(row):
	# type: (dict) -> dict
	action = row["action"]
	detail = document(row["detail"])
	kind = u"plain"
	if action in ("recommendation.failed", "command.failed", "command.unknown"):
		kind = u"act"
	elif action in ("recommendation.approved", "recommendation.rejected", "recommendation.deferred", "approval.given"):
		kind = u"person"
	elif action in ("recommendation.executed", "command.executed"):
		kind = u"done"
	text = (_FOUND if _byHand(row) else _SAID).get(action) or wording.words(action.replace(u".", u" "))
	return _made(row["at"], row["ago_s"], text, _detail(action, detail), row["actor"] or u"", _icon(action), kind)


def _byHand(row):
	# type: (dict) -> bool
	"""Whether a person ended an unknown outcome; the bridge and the gateway end it by a read-back of their own."""
	actor = row["actor"] or u""
	return (
		row["action"] in _FOUND
		and row.get("old_status") == "unknown"
		and actor not in (u"", row.get("db_role"))
		and not actor.startswith(u"gateway/")
	)


def _detail(action, detail):
	# type: (str, dict) -> str
	if action in ("command.sent", "command.created"):
		return u"%s to %s" % (detail.get("tag_path"), values.show(detail.get("to"), detail.get("unit")))
	for key in ("rejection_reason", "execution_result", "comment", "operator_notes", "reason", "description"):
		if detail.get(key):
			return wording.clipped(detail[key], 300)
	if action == "recommendation.revised":
		return u"Every approval given before is void"
	if action in ("recommendation.advised", "recommendation.not_advised"):
		return _advice(detail)
	return u""


def _advice(detail):
	# type: (dict) -> str
	found = detail.get("advisor")
	found = found if isinstance(found, dict) else {}
	return wording.clipped(u"%s: %s" % (found.get("by"), found.get("reason") or detail.get("root_cause_analysis")), 300)


def document(text):
	# type: (str) -> dict
	"""A jsonb column that came as text; empty when it holds no object."""
	try:
		found = json.loads(text) if text else {}
	except ValueError:
		return {}
	return found if isinstance(found, dict) else {}


def _icon(action):
	# type: (str) -> str
	for start, icon in _ICONS:
		if action.startswith(start):
			return icon
	return u"material/info"


def _clock(at_ms, ago_s):
	# type: (float, float) -> str
	"""The time of day in UTC, as sessions show it; with the day when it may not be today's."""
	if at_ms is None:
		return u""
	near = ago_s is not None and ago_s <= NEAR_S
	return u"%s" % time.strftime("%H:%M:%S" if near else "%b %d %H:%M:%S", time.gmtime(at_ms / 1000.0))


def _made(at_ms, ago_s, what, detail, who, icon, kind):
	# type: (float, float, str, str, str, str, str) -> dict
	return {
		"at_ms": at_ms,
		"clock": _clock(at_ms, ago_s),
		"ago": wording.ago(ago_s),
		"what": what,
		"detail": detail,
		"who": who,
		"icon": icon,
		"style": u"Timeline/%s" % kind.capitalize(),
	}
