# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Write limits: the same check that the bridge and the database make, once more just before the write."""

from bridge import refusals, values
from bridge.refusals import Refusal


def checkWrite(tagPath, value, unit, limits, present, readingAge_s, sinceLastWrite_s, writesLastHour):
	# type: (str, float, str, dict, float, float, float, int) -> Refusal
	"""Refuse a write by name, or return None when every limit holds.

	`limits` has the columns of tag_limits: low, high, max_step (None: the whole range), min_interval_s,
	max_writes_per_hour, max_age_s. `sinceLastWrite_s` is None when the tag was never written. Out of range
	is refused, never clipped: a clipped set-point is one that nobody approved.
	"""
	if not values.isNumber(value) or not values.isFinite(value):
		return Refusal(refusals.WRONG_TYPE, u"%s: wanted a finite number, found %s" % (tagPath, value))
	if not limits["low"] <= value <= limits["high"]:
		return Refusal(
			refusals.OUT_OF_RANGE,
			u"%s: %s is outside %s to %s"
			% (tagPath, values.show(value, unit), values.show(limits["low"], u""), values.show(limits["high"], unit)),
		)
	if readingAge_s > limits["max_age_s"]:
		return Refusal(
			refusals.READING_TOO_OLD,
			u"%s: the present value is %.0f s old, allowed are %g s" % (tagPath, readingAge_s, limits["max_age_s"]),
		)
	if limits["max_step"] is not None:
		step = abs(value - present)
		if step > limits["max_step"] * (1 + 1e-9):
			return Refusal(
				refusals.STEP_TOO_LARGE,
				u"%s: a step of %s from %s exceeds %s"
				% (
					tagPath,
					values.show(step, unit),
					values.showRead(present, unit),
					values.show(limits["max_step"], unit),
				),
			)
	if sinceLastWrite_s is not None and sinceLastWrite_s < limits["min_interval_s"]:
		return Refusal(
			refusals.TOO_SOON,
			u"%s: last written %.1f s ago, wait %g s" % (tagPath, sinceLastWrite_s, limits["min_interval_s"]),
		)
	if writesLastHour >= limits["max_writes_per_hour"]:
		return Refusal(
			refusals.TOO_MANY_WRITES,
			u"%s: %d writes in the last hour, allowed are %d"
			% (tagPath, writesLastHour, limits["max_writes_per_hour"]),
		)
	return None
