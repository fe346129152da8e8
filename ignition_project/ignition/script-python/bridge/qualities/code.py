# Pure: touches neither `system` nor Java; runs unchanged under Jython 2.7 and CPython 3.
"""What Ignition's quality codes allow us to conclude, when reading and in answer to a write."""

from collections import namedtuple

from bridge import refusals

# One look at a tag. `status`: the quality as Ignition prints it. `good`: what isGood() says. `at_s`: when
# we looked, on the clock of whoever looked. The tag's own time stamp is no measure of age: it tells when
# the value last changed, and a set-point may rightly not have changed for weeks. That the value is
# current is what the quality says (a lost device is Bad_NotConnected or Bad_Stale).
Reading = namedtuple("Reading", ["value", "status", "good", "at_s"])

# What a link can say about a write. `code` names the refusal when nothing was written.
Outcome = namedtuple("Outcome", ["result", "status", "detail", "code"])

ACCEPTED = "accepted"  # the read-back decides
REFUSED = "refused"  # certainly not written
UNDECIDED = "undecided"  # may have been written: only a read-back tells

# isGood() is true for these, and still the device has not confirmed the value: with optimistic writes a
# tag shows at once what was written to it, whatever the device does with it.
NOT_YET_GOOD = ("Provisional", "WritePending", "Initial")

# In answer to a write: it never left the gateway, or the device said no.
SURELY_REFUSED = (
	"NotWritable",
	"ReadOnly",
	"AccessDenied",
	"Unauthorized",
	"NotFound",
	"OutOfRange",
	"TypeMismatch",
	"TypeConversion",
	"Disabled",
	"Unsupported",
	"NotSupported",
	"NodeIdUnknown",
	"NodeIdInvalid",
	"Configuration",
	"InvalidPathSyntax",
	"TrialExpired",
	"LicenseExceeded",
)
NEVER_LEFT = ("NotConnected", "GatewayCommOff")


def plainGood(reading):
	# type: (Reading) -> bool
	"""True only for a value that the device itself stands behind."""
	return bool(reading.good) and not _names(reading.status, NOT_YET_GOOD)


def outcomeOf(status, good):
	# type: (str, bool) -> Outcome
	"""What the quality code that writeBlocking returned says about one write.

	What is not known to be a refusal is undecided: reading back a write that was refused costs a second,
	calling one refused that arrived would leave the plant changed and nobody told.
	"""
	if good:
		if _names(status, NOT_YET_GOOD):
			return Outcome(UNDECIDED, status, u"the write is still under way", None)
		return Outcome(ACCEPTED, status, u"", None)
	if _names(status, NEVER_LEFT):
		return Outcome(REFUSED, status, u"the gateway has no connection to the device", refusals.LINK_DOWN)
	if _names(status, SURELY_REFUSED):
		return Outcome(REFUSED, status, u"the write was refused", refusals.REFUSED_BY_SERVER)
	return Outcome(UNDECIDED, status, u"the gateway cannot say whether the value arrived", None)


def undecided(problem):
	# type: (str) -> Outcome
	"""The outcome of a write that was begun and ended in an exception."""
	return Outcome(UNDECIDED, u"no answer", problem, None)


def _names(status, words):
	# type: (str, tuple) -> bool
	return any(word in status for word in words)
