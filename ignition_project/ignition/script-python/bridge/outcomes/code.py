# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""What a confirming popup says after its button: done, or exactly why not and what to do now."""

from bridge import cards, wording

APPROVE, REJECT, DEFER = "approve", "reject", "defer"

AGAIN = (u"wanted", u"again")

_DONE = {APPROVE: "approved", REJECT: "rejected", DEFER: "deferred"}

# Minutes that a recommendation can be put off, as the dropdown offers them; the database allows 24 hours.
DURATIONS = (
	(15, u"15 minutes"),
	(30, u"30 minutes"),
	(60, u"1 hour"),
	(120, u"2 hours"),
	(240, u"4 hours"),
	(480, u"8 hours"),
)

SILENT = (
	u"The database does not answer. Whether your decision was recorded is not known: "
	u"close this and look at the recommendation when the database is back."
)
NOT_SENT = u"The database does not answer, so nothing was recorded. Press again when it is back."
NOBODY = u"Nobody is logged in here, so nobody can decide. Log in and try again."
WITHDRAWN = u"Withdrawn: the condition cleared, or a newer proposal took its place."
NO_ROLE = u"Your login may not do this: it takes the role %s. Nothing was changed."


def noRole(levels):
	# type: (list) -> dict
	"""The login lacks every one of these security levels."""
	return _said(u"refused", NO_ROLE % u" or ".join(level.split(u"/")[-1] for level in levels))


def nobody():
	# type: () -> dict
	"""An anonymous session."""
	return _said(u"refused", NOBODY)


def notSent():
	# type: () -> dict
	"""The database was silent before anything was asked of it."""
	return _said(u"again", NOT_SENT)


def silent():
	# type: () -> dict
	"""The database fell silent while the decision was on its way."""
	return _said(u"unknown", SILENT)


def refused(sentence):
	# type: (str) -> dict
	"""The database's own no, in its own words."""
	return _said(u"refused", u"Refused, nothing was changed: %s." % sentence.rstrip(u"."))


def wanted(sentence):
	# type: (str) -> dict
	"""Something is still missing; the button may be pressed again."""
	return _said(u"wanted", sentence)


def done(decision, row, count):
	# type: (str, dict, int) -> dict
	"""The row that came back from the decision: recorded. `count` is the number of writes shown."""
	if decision == REJECT:
		return _said(u"done", u"Rejected. Nothing is written.")
	if decision == DEFER:
		return _said(u"done", u"Deferred. It comes back by itself.")
	if row["status"] == "pending":
		return _said(u"done", u"Your approval is recorded. Nothing is written before another person approved it too.")
	if not count:
		return _said(u"done", u"Approved. A work order for a person is opened.")
	return _said(u"done", u"Approved. Waiting to be written; nothing has been sent yet.")


def whyNot(decision, row, digest, operator):
	# type: (str, dict, str, str) -> dict
	"""Why no row came back, by what Recommendations/getRecommendation shows now (None: it is gone)."""
	if row is None:
		return _said(u"changed", u"This recommendation does not exist any more. Nothing was changed by you.")
	status = row["status"]
	person = _decider(row)
	if status == _DONE[decision] or (decision == APPROVE and status in ("executing", "executed", "failed")):
		if _same(person, operator):
			return _said(u"done", u"Already recorded in your name: it is %s." % status)
		if person:
			return _said(u"changed", u"%s was faster: already %s. Nothing was changed by you." % (person, status))
	if status in ("rejected", "deferred", "approved", "executing", "executed", "failed"):
		return _said(
			u"changed",
			u"Already %s%s. Nothing was changed by you." % (status, u" by %s" % person if person else u""),
		)
	if status == "expired":
		return _said(u"changed", u"Expired: nobody answered in time. Nothing was changed by you.")
	if status == "superseded":
		return _said(u"changed", WITHDRAWN)
	if row["write_digest"] != digest:
		return changed()
	return _said(u"changed", u"It could not be recorded just now. Close this and look again.")


def changed():
	# type: () -> dict
	"""The digest that was shown is not that of the row any more."""
	return _said(u"changed", u"Changed since you opened it: look again. Nothing was changed by you.")


def meanwhile(row, digest, operator):
	# type: (dict, str, str) -> str
	"""While the popup is open: why it cannot be confirmed any more, or empty while it is as it was shown.

	Said before a click, so it does not talk of what a click did.
	"""
	if row is None:
		return u"This recommendation does not exist any more."
	status = row["status"]
	if status in ("rejected", "deferred", "approved", "executing", "executed", "failed"):
		person = _decider(row)
		by = u" by you" if _same(person, operator) else u" by %s" % person if person else u""
		return u"Already %s%s." % (status if status in ("rejected", "deferred") else u"approved", by)
	if status == "superseded":
		return WITHDRAWN
	left_s = row["expires_in_s"]
	if status == "expired" or (status == "pending" and left_s is not None and left_s <= 0):
		return u"Expired: nobody may approve it any more."
	if status != "pending":
		return u"It cannot be decided now: it is %s." % status
	return u"" if row["write_digest"] == digest else u"Changed since you opened it: look again."


def popup(live, good, digest, operator, agent):
	# type: (list, bool, str, str, dict) -> dict
	"""The live part of the popup: may it still be confirmed, why not, how it goes on, and what to know first."""
	if not good:
		return _live(u"The database does not answer; nothing can be decided now.", agent)
	if live is None:
		return _live(u"", agent)
	row = live[0] if live else None
	why = meanwhile(row, digest, operator)
	shown = _live(why, agent)
	if row is not None:
		shown["progress"] = _progress(row)
		shown["approvals"] = cards.approvals(row)
		shown["left"] = u"" if why else wording.left(row["expires_in_s"])
		if row["status"] in ("executing", "executed", "failed"):
			shown["sent"], shown["waits"] = True, u""
	return shown


def _live(why, agent):
	# type: (str, dict) -> dict
	"""`note` is said before the click, `waits` after it; `sent`: the writes are on their way or have ended."""
	note = waits = u""
	if agent is not None and not agent["armed"]:
		note = u"Writes are disarmed by %s (%s): an approval is written only if somebody arms them in time." % (
			agent["armed_by"] or u"somebody",
			agent["armed_reason"] or u"no reason given",
		)
		waits = u" Writes are disarmed: it is written only if somebody arms them in time."
	elif agent is not None and not (agent["watched"] and agent["online"]):
		note = u"The agent is offline: an approval lapses if it does not come back in time."
		waits = u" The agent is offline: it is written only if the agent comes back in time."
	return {
		"open": not why,
		"why": why,
		"progress": u"",
		"approvals": u"",
		"note": note,
		"waits": waits,
		"sent": False,
		"left": u"",
	}


def arming(rows, good, agent, opened):
	# type: (list, bool, dict, list) -> dict
	"""What an engineer reads before arming: who disarmed, when and why, and what leaves at this press."""
	if not good:
		return {"who": u"The database does not answer: who disarmed, and what waits, is not known.", "waiting": u""}
	row = rows[0] if rows else None
	who = waiting = u""
	if row is not None and not row["armed"]:
		who = u"Disarmed by %s %s: %s" % (
			row["changed_by"] or u"somebody",
			wording.ago(row["changed_ago_s"]),
			row["reason"] or u"no reason given",
		)
	if agent is not None and opened is not None:
		approved, commands = (opened[0]["approved_total"] if opened else 0), agent["commands_waiting"]
		# What was approved while disarmed has no command yet: it is made once writes are armed.
		said = []
		if approved:
			said.append(wording.count(approved, u"approved recommendation"))
		if commands:
			said.append(wording.count(commands, u"command"))
		verb = u"waits" if approved + commands == 1 else u"wait"
		waiting = u"Nothing approved waits to be written."
		if said:
			waiting = u"%s %s and may be written at this press." % (u" and ".join(said), verb)
	return {"who": who, "waiting": waiting}


def _progress(row):
	# type: (dict) -> str
	status = row["status"]
	if status == "approved":
		return u"Approved by %s, waiting to be written." % row["approved_by_operator"]
	if status == "executing":
		return u"Approved by %s, being written now." % row["approved_by_operator"]
	if status == "executed":
		return u"Done: every write was read back and is equal."
	if status == "failed":
		return u"Failed: %s" % wording.clipped(row["execution_result"], 300)
	return u""


def settled(rows):
	# type: (list) -> dict
	"""What came back from settling an unknown outcome."""
	if rows:
		return _said(u"done", u"Recorded. The command has its outcome.")
	return _said(u"changed", u"Somebody else, or a read-back, has ended it meanwhile. Nothing was changed by you.")


def switched(rows, armed):
	# type: (list, bool) -> dict
	"""What came back from arming or disarming."""
	word = u"armed" if armed else u"disarmed"
	if rows:
		return _said(u"done", u"Writes are now %s." % word)
	return _said(u"changed", u"Writes were %s already. Nothing was changed by you." % word)


def _decider(row):
	# type: (dict) -> str
	return row.get("approved_by_operator") or row.get("decided_by_operator") or u""


def _same(one, other):
	# type: (str, str) -> bool
	return bool(one) and one.strip().lower() == (other or u"").strip().lower()


def _said(kind, text):
	# type: (str, str) -> dict
	"""`kind`: done, changed, refused or unknown end the popup's button; after one of AGAIN it may be pressed again."""
	return {"kind": kind, "text": text}


def words(decision, item):
	# type: (str, dict) -> dict
	"""Question, button and field names of the confirming popup."""
	number = item["count"]
	what = wording.count(number, u"write") if number else u"a work order"
	where = item["equipment_id"]
	if decision == REJECT:
		return _words(u"Reject this recommendation for %s?" % where, u"Reject", u"Reason (required)")
	if decision == DEFER:
		return _words(u"Put this recommendation for %s off?" % where, u"Defer", u"Comment (optional)")
	return _words(u"Approve %s on %s?" % (what, where), u"Approve %s" % what, u"Comment (optional)")


def _words(question, button, field):
	# type: (str, str, str) -> dict
	return {"question": question, "button": button, "field": field}
