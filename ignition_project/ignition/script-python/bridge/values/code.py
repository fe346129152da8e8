# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""Values of tags: their type, whether two of them are the same, and how people read them."""

from __future__ import division

import math
import struct
from numbers import Integral, Real

BOOLEAN = "Boolean"
FLOAT = "Float"
DOUBLE = "Double"
STRING = "String"

INTEGER_BOUNDS = {
	"SByte": (-(2 ** 7), 2 ** 7 - 1),
	"Byte": (0, 2 ** 8 - 1),
	"Int16": (-(2 ** 15), 2 ** 15 - 1),
	"UInt16": (0, 2 ** 16 - 1),
	"Int32": (-(2 ** 31), 2 ** 31 - 1),
	"UInt32": (0, 2 ** 32 - 1),
	"Int64": (-(2 ** 63), 2 ** 63 - 1),
	"UInt64": (0, 2 ** 64 - 1),
}
FLOAT_MAX = 3.4028234663852886e38  # largest finite IEEE 754 binary32
EXACT_INTEGER_MAX = 2 ** 53  # agent_commands.new_value is a double: beyond this it would round


def isNumber(value):
	# type: (object) -> bool
	"""True for a number that is no truth value."""
	return isinstance(value, Real) and not isinstance(value, bool)


def isFinite(number):
	# type: (float) -> bool
	return not (math.isnan(number) or math.isinf(number))


def asNumber(value):
	# type: (object) -> float
	"""The number that the command table holds for a value, a Boolean as 0 or 1; None for anything else."""
	if isinstance(value, Real):
		try:
			return float(value)
		except OverflowError:
			return None
	return None


def asWritten(number, dataType):
	# type: (float, str) -> object
	"""Give a number of the command table back the tag's own type; ValueError says why it does not fit.

	Nothing is rounded or clipped on the way: a rounded set-point is one that nobody approved.
	"""
	if not isNumber(number) or not isFinite(number):
		raise ValueError("wanted a finite number, found %s" % (number,))
	if dataType == BOOLEAN:
		if number not in (0.0, 1.0):
			raise ValueError("wanted 0 or 1 for a Boolean tag, found %s" % decimal(number))
		return number == 1.0
	bounds = INTEGER_BOUNDS.get(dataType)
	if bounds is not None:
		if number != math.floor(number):
			raise ValueError("wanted a whole number for a %s tag, found %s" % (dataType, decimal(number)))
		whole = int(number)
		if not bounds[0] <= whole <= bounds[1]:
			raise ValueError("wanted a %s from %d to %d, found %d" % (dataType, bounds[0], bounds[1], whole))
		if abs(whole) > EXACT_INTEGER_MAX:
			raise ValueError("wanted a whole number within 2^53 (the command table holds doubles), found %d" % whole)
		return whole
	if dataType == FLOAT:
		if abs(number) > FLOAT_MAX:
			raise ValueError("wanted a Float within %g, found %g" % (FLOAT_MAX, number))
	elif dataType != DOUBLE:
		raise ValueError("a %s tag cannot be a set-point" % dataType)
	return float(number)


def fitsType(value, dataType):
	# type: (object, str) -> bool
	"""Whether what a tag shows is of the kind that is listed: truth values and numbers are not the same."""
	return isinstance(value, bool) if dataType == BOOLEAN else isNumber(value)


def equalEnough(found, wanted, dataType, tolerance):
	# type: (object, object, str, float) -> bool
	"""Decide whether two values are the same for this tag.

	Equal within `tolerance` (engineering units), but never stricter than one rounding step of the tag's
	own type: a Float tag cannot hold 0.1 exactly and must not be called mismatched for that.
	"""
	if isinstance(wanted, bool) or isinstance(found, bool):
		return isinstance(wanted, bool) and isinstance(found, bool) and found == wanted
	if not isNumber(found) or not isNumber(wanted) or not isFinite(float(found)):
		return False
	quantum = abs(wanted) * 2.0 ** (-23 if dataType == FLOAT else -52)
	return abs(found - wanted) <= max(tolerance, quantum)


def show(value, unit):
	# type: (object, str) -> str
	"""A value as people read it: `405 kg/h`, `on`."""
	if value is None:
		return u"nothing"
	if isinstance(value, bool):
		shown = u"on" if value else u"off"
	elif isinstance(value, Integral):
		shown = u"%d" % value
	elif isinstance(value, Real):
		shown = decimal(value)
	else:
		shown = u"%s" % (value,)
	return (u"%s %s" % (shown, unit or u"")).rstrip()


def showRead(value, unit):
	# type: (object, str) -> str
	"""A value that was read from a tag: what a Float tag holds for 0.1 reads 0.1.

	Only for what was read. What is going to be written is shown with `show`, to the last digit.
	"""
	if isinstance(value, Integral) or not isNumber(value) or not _isSingle(value):
		return show(value, unit)
	return (u"%s %s" % (_shortest(value, _single), unit or u"")).rstrip()


def decimal(number):
	# type: (float) -> str
	"""The shortest decimal that is this very number, without exponent: `1234567`, `0.0004`."""
	return _shortest(float(number), float) if isFinite(number) else u"%s" % (number,)


def _single(number):
	# type: (float) -> float
	"""The nearest number that a Float tag can hold."""
	found = float(number)
	# Rounded up to few digits, the largest Float is none any more, and packing it fails.
	return struct.unpack("<f", struct.pack("<f", found))[0] if abs(found) <= FLOAT_MAX else found


def _isSingle(number):
	# type: (float) -> bool
	return isFinite(number) and abs(number) <= FLOAT_MAX and _single(number) == number


def _shortest(number, held):
	# type: (float, object) -> str
	"""The fewest digits that `held` takes for this number; repr differs between Jython and CPython, this does not."""
	for digits in range(17):
		text = u"%.*e" % (digits, number)
		if held(text) == number:
			break
	mantissa, exponent = text.split(u"e")
	sign = u"-" if number < 0 else u""
	figures = mantissa.lstrip(u"-").replace(u".", u"").rstrip(u"0") or u"0"
	point = int(exponent) + 1
	if point <= 0:
		return sign + u"0." + u"0" * -point + figures
	figures = figures.ljust(point, u"0")
	return sign + figures[:point] + (u"." + figures[point:] if figures[point:] else u"")
