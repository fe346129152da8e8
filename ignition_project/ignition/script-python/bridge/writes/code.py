# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""The exact writes of a recommendation as Parts/Write draws them: from what to what, and within which limits."""

import json

from bridge import values, wording


def shown(proposedWritesText, limitsText, waiting):
	# type: (str, str, bool) -> list
	"""One dict a write, ready for the flex repeater; empty when the recommendation proposes none.

	`waiting`: nobody has decided yet, so a value that has moved since is worth a word.

	ValueError when the text is no list of writes: what cannot be shown exactly must not be approved.
	"""
	wording.writes(proposedWritesText)
	limits = _limits(limitsText)
	return [_shown(write, limits.get(write["tag_path"]), waiting) for write in json.loads(proposedWritesText)]


def _limits(limitsText):
	# type: (str) -> dict
	found = json.loads(limitsText) if limitsText else {}
	return found if isinstance(found, dict) else {}


def _shown(write, limits, waiting):
	# type: (dict, dict, bool) -> dict
	path, unit = write["tag_path"], write["unit"]
	before, after = write["from"], write["to"]
	switch = isinstance(after, bool)
	return {
		"tag_path": path,
		"waiting": waiting,
		"name": path.split(u"]", 1)[-1],
		"switch": switch,
		"unit": unit,
		"before": before,
		"tolerance": _tolerance(before, limits),
		"from": values.show(before, unit),
		"to": values.show(after, unit),
		"change": wording.change(before, after),
		"limits": _range(limits, unit, switch),
	}


def _tolerance(before, limits):
	# type: (object, dict) -> float
	"""How far a value may lie from the one of the proposal and still count as the same.

	Never stricter than one rounding step of a Float tag, which does not hold 0.1 exactly.
	"""
	if not values.isNumber(before):
		return 0.0
	return max((limits or {}).get("tolerance") or 0.0, abs(before) * 2.0 ** -23)


def _range(limits, unit, switch):
	# type: (dict, str, bool) -> str
	if not limits:
		return u"not listed as writable now: the write would be refused"
	if switch:
		return u"allowed: off or on"
	text = u"allowed: %s to %s" % (values.show(limits["low"], u""), values.show(limits["high"], unit))
	if limits.get("max_step") is not None:
		text += u", at most %s in one step" % values.show(limits["max_step"], unit)
	return text
