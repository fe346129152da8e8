# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""What a page says when it has nothing to show: drawn on purpose, in sentences for a person at night."""

LOADING = {
	"kind": u"loading",
	"icon": u"material/hourglass_empty",
	"title": u"Loading",
	"text": u"Asking the database; the first answer takes a moment.",
}

SILENT = {
	"kind": u"silent",
	"icon": u"material/cloud_off",
	"title": u"The database does not answer",
	"text": (
		u"Nothing on this page would be current, so nothing is shown. Watch the plant on its own displays. "
		u"The page asks again every few seconds and comes back by itself."
	),
}

_NOTHING = {"kind": u"none", "icon": u"", "title": u"", "text": u""}


def of(rows, good, title, text):
	# type: (list, bool, str, str) -> dict
	"""The state of a list: still loading, database silent, empty with these words, or nothing to say.

	`rows` is None until the first answer; `good` is false when the last answer did not come.
	"""
	if not good:
		return dict(SILENT)
	if rows is None:
		return dict(LOADING)
	if not rows:
		return {"kind": u"empty", "icon": u"material/check_circle", "title": title, "text": text}
	return dict(_NOTHING)


def nothing():
	# type: () -> dict
	"""No state to draw: the page has its rows."""
	return dict(_NOTHING)


def missing(title, text):
	# type: (str, str) -> dict
	"""What was asked for does not exist."""
	return {"kind": u"missing", "icon": u"material/help", "title": title, "text": text}


def agentNote(agent, good):
	# type: (dict, bool) -> str
	"""What an empty list means: an agent that is gone finds nothing, and that must not look like quiet."""
	if not good or agent is None:
		return u"Whether the agent is alive is not known."
	if not agent["watched"]:
		return u"But no agent has ever reported here: nobody is looking. Start the bridge."
	if not agent["online"]:
		return u"But the agent is offline: nobody is looking. Watch the plant on its own displays."
	return u"The agent is online and watching."
