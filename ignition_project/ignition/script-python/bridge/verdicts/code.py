# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Say what became of a write, by what the gateway answered and what the tag shows. Never send again."""

from collections import namedtuple

from bridge import qualities, refusals, values

EXECUTED = "executed"  # written, read back, equal
FAILED = "failed"  # nothing was written, or the read-back differs
UNKNOWN = "unknown"  # sent, not confirmed; only a read-back or a person ends this

# `code` is None for a confirmed write; `read_back` is the number the tag showed, None when there was none.
Verdict = namedtuple("Verdict", ["command_id", "recommendation_id", "status", "code", "reason", "read_back"])


def resultOf(verdict):
	# type: (Verdict) -> str
	"""The text of execution_result: the code, then the reason."""
	return verdict.reason if verdict.code is None else u"%s: %s" % (verdict.code, verdict.reason)


def refused(command, refusal):
	# type: (dict, object) -> Verdict
	"""Nothing was sent, and this is why."""
	return _verdict(command, FAILED, refusal.code, refusal.reason, None)


def verdictOf(command, value, outcome, reading, lastLook):
	# type: (dict, object, object, object, bool) -> Verdict
	"""Judge one write by what writeBlocking said and what the tag shows; None means look again.

	`reading` is the newest read-back, None when it could not be read. `lastLook` is true when the settle
	time is over: then there is always a verdict, and an honest one may be `unknown`.
	"""
	path, unit, dataType = command["tag_path"], command["unit"], command["data_type"]
	if outcome.result == qualities.REFUSED:
		return _verdict(command, FAILED, outcome.code, u"%s; nothing was written" % _said(outcome), None)
	shown = _shown(reading, dataType)
	if shown is not None and values.equalEnough(shown, value, dataType, command["tolerance"]):
		reason = u"written and read back: %s" % values.showRead(shown, unit)
		if outcome.result != qualities.ACCEPTED:
			reason += u"; the answer to the write was lost (%s)" % _said(outcome)
		return _verdict(command, EXECUTED, None, reason, shown)
	if not lastLook:
		return None
	if outcome.result == qualities.ACCEPTED and shown is not None:
		return _verdict(
			command,
			FAILED,
			refusals.READ_BACK_DIFFERS,
			u"the gateway said %s, but %s shows %s instead of %s"
			% (outcome.status, path, values.showRead(shown, unit), values.show(value, unit)),
			shown,
		)
	seen = (
		u"the tag cannot be read (%s)" % (u"no answer" if reading is None else reading.status)
		if shown is None
		else u"the tag shows %s" % values.showRead(shown, unit)
	)
	return _verdict(
		command,
		UNKNOWN,
		refusals.NOT_CONFIRMED,
		u"not known whether %s took %s: %s, and %s" % (path, values.show(value, unit), _said(outcome), seen),
		shown,
	)


def lateVerdict(command, reading):
	# type: (dict, object) -> Verdict
	"""End a command that was sent and lost its holder, or whose outcome was unknown, by what its tag shows.

	The new value means it was written. The old value, after the lease, means it was not. Any other value,
	or none, leaves the outcome unknown: then it takes a person. `command` is a row of
	Commands/listGatewayUnsettled.
	"""
	path, unit, dataType = command["tag_path"], command["unit"], command["data_type"]
	ago = u"%.0f s" % command["sent_s_ago"]
	question = u"not known whether %s took %s" % (path, values.show(command["new_value"], unit))
	if dataType is None:
		reason = u"%s: sent %s ago, and the tag is not listed any more" % (question, ago)
		return _verdict(command, UNKNOWN, refusals.NOT_CONFIRMED, reason, None)
	shown = _shown(reading, dataType)
	if shown is None:
		reason = u"%s: sent %s ago, and the tag cannot be read" % (question, ago)
		return _verdict(command, UNKNOWN, refusals.NOT_CONFIRMED, reason, None)
	try:
		target = values.asWritten(command["new_value"], dataType)
		before = values.asWritten(command["expected_value"], dataType)
	except ValueError as problem:
		# Listed as another type since it was sent.
		seen = values.showRead(shown, unit)
		reason = u"%s: it shows %s, and the two cannot be compared: %s" % (question, seen, problem)
		return _verdict(command, UNKNOWN, refusals.NOT_CONFIRMED, reason, shown)
	if values.equalEnough(shown, target, dataType, command["tolerance"]):
		reason = u"written and read back: %s; confirmed %s after sending" % (values.showRead(shown, unit), ago)
		return _verdict(command, EXECUTED, None, reason, shown)
	if values.equalEnough(shown, before, dataType, command["tolerance"]):
		reason = u"not written: %s still shows %s %s after sending" % (path, values.showRead(shown, unit), ago)
		return _verdict(command, FAILED, refusals.NOT_CONFIRMED, reason, shown)
	reason = u"%s: it shows %s, neither the old value nor the new one" % (question, values.showRead(shown, unit))
	return _verdict(command, UNKNOWN, refusals.NOT_CONFIRMED, reason, shown)


def _shown(reading, dataType):
	# type: (object, str) -> object
	"""The value that the tag certainly shows, or None."""
	if reading is None or not qualities.plainGood(reading) or not values.fitsType(reading.value, dataType):
		return None
	return reading.value


def _said(outcome):
	# type: (object) -> str
	return u"%s: %s" % (outcome.status, outcome.detail) if outcome.detail else outcome.status


def _verdict(command, status, code, reason, shown):
	# type: (dict, str, str, str, object) -> Verdict
	number = values.asNumber(shown)
	if number is not None and not values.isFinite(number):
		number = None
	return Verdict(command["command_id"], command["recommendation_id"], status, code, reason, number)
