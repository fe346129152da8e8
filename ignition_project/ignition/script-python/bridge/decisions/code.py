# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Decide: is this command, at this moment, still exactly what a person approved?

A command is a row of Commands/getPendingCommands. The database checked the same at approval; here it is
checked again just before the write, against the published limits and the value the plant shows now.
"""

import hashlib
import json

from bridge import limits, qualities, refusals, values
from bridge.refusals import Refusal


def digestOf(proposedWritesText):
	# type: (str) -> str
	"""SHA-256, in hex, over proposed_writes as PostgreSQL prints it: what an approval binds."""
	return hashlib.sha256(proposedWritesText.encode("utf-8")).hexdigest()


def approvedWrite(command):
	# type: (dict) -> tuple
	"""(value, None) with the typed value of an approved command, or (None, refusal)."""
	refusal = _notApproved(command) or _notListed(command)
	if refusal is not None:
		return None, refusal
	try:
		value = values.asWritten(command["new_value"], command["data_type"])
		values.asWritten(command["expected_value"], command["data_type"])  # what the tag is compared with
		return value, None
	except ValueError as problem:
		return None, Refusal(refusals.WRONG_TYPE, u"%s: %s" % (command["tag_path"], problem))


def stillRight(command, value, reading, now_s):
	# type: (dict, object, object, float) -> Refusal
	"""Compare with the plant as it is now: readable, good, unmoved since the proposal, within all limits.

	`value` is what approvedWrite returned; `reading` is None when the tag could not be read; `now_s` is on
	the clock of the reading.
	"""
	path, unit, dataType = command["tag_path"], command["unit"], command["data_type"]
	if reading is None:
		return Refusal(refusals.UNREADABLE, u"%s cannot be read now; nothing was written" % path)
	if values.asNumber(reading.value) is None:
		return Refusal(refusals.UNREADABLE, u"%s cannot be read (%s); nothing was written" % (path, reading.status))
	if not qualities.plainGood(reading):
		return Refusal(
			refusals.BAD_QUALITY, u"%s reads %s; a write wants Good; nothing was written" % (path, reading.status)
		)
	if not values.fitsType(reading.value, dataType):
		return Refusal(
			refusals.WRONG_TYPE,
			u"%s shows %s, listed is a %s; nothing was written"
			% (path, values.showRead(reading.value, unit), dataType),
		)
	expected = values.asWritten(command["expected_value"], dataType)
	if values.equalEnough(reading.value, value, dataType, command["tolerance"]):
		return Refusal(
			refusals.NO_CHANGE,
			u"%s already shows %s; nothing was written" % (path, values.showRead(reading.value, unit)),
		)
	if not values.equalEnough(reading.value, expected, dataType, command["tolerance"]):
		return Refusal(
			refusals.MOVED_AWAY,
			u"%s shows %s, approved was a change from %s; somebody moved it; nothing was written"
			% (path, values.showRead(reading.value, unit), values.show(expected, unit)),
		)
	return limits.checkWrite(
		path,
		values.asNumber(value),
		unit,
		command,
		values.asNumber(reading.value),
		now_s - reading.at_s,
		command["since_last_write_s"],
		command["writes_last_hour"],
	)


def _notApproved(command):
	# type: (dict) -> Refusal
	if not command["approved_digest"]:
		return Refusal(refusals.NOT_APPROVED, u"%s has no approval" % command["recommendation_id"])
	if digestOf(command["proposed_writes_text"]) != command["approved_digest"]:
		return Refusal(
			refusals.DIGEST_MISMATCH,
			u"the writes of %s are not the ones that were approved" % command["recommendation_id"],
		)
	try:
		writes = json.loads(command["proposed_writes_text"])
	except ValueError as problem:
		return Refusal(refusals.WRONG_FORM, u"proposed_writes: %s" % problem)
	if not isinstance(writes, list):
		return Refusal(refusals.WRONG_FORM, u"proposed_writes: wanted a list of writes")
	place = command["sequence"]
	if not 1 <= place <= len(writes) or not _sameWrite(command, writes[place - 1]):
		return Refusal(
			refusals.DIGEST_MISMATCH,
			u"%s does not say what place %d of the approved writes says" % (command["command_id"], place),
		)
	return None


def _sameWrite(command, write):
	# type: (dict, object) -> bool
	return (
		isinstance(write, dict)
		and write.get("tag_path") == command["tag_path"]
		and write.get("unit") == command["unit"]
		and values.asNumber(write.get("to")) == command["new_value"]
		and values.asNumber(write.get("from")) == command["expected_value"]
	)


def _notListed(command):
	# type: (dict) -> Refusal
	path = command["tag_path"]
	if command["data_type"] is None:
		return Refusal(refusals.NOT_LISTED, u"%s is not listed as writable any more" % path)
	if command["limits_route"] != "gateway":
		return Refusal(
			refusals.WRONG_ROUTE, u"%s is now written over %s, not by the gateway" % (path, command["limits_route"])
		)
	if command["limits_unit"] != command["unit"]:
		return Refusal(
			refusals.WRONG_UNIT,
			u"%s is in %s, the command says %s"
			% (path, command["limits_unit"] or u"no unit", command["unit"] or u"none"),
		)
	return None
