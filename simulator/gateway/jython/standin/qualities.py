# mypy: ignore-errors
"""QualityCode and QualifiedValue with Ignition's names, numbers and methods."""

from java.util import Date

_GOOD = ("Good", 0, {0: "Good_Unspecified", 2: "Good_WritePending", 192: "Good", 201: "Good_Initial"})
_UNCERTAIN = (
    "Uncertain",
    0x40000000,
    {
        256: "Uncertain",
        257: "Uncertain_LastKnownValue",
        258: "Uncertain_InitialValue",
        259: "Uncertain_DataSubNormal",
        260: "Uncertain_EngineeringUnitsExceeded",
        261: "Uncertain_IncompleteOperation",
    },
)
_BAD = (
    "Bad",
    0x80000000 - (1 << 32),
    {
        512: "Bad",
        513: "Bad_Unauthorized",
        514: "Bad_AccessDenied",
        515: "Bad_Disabled",
        516: "Bad_Stale",
        519: "Bad_NotFound",
        520: "Bad_ReferenceNotFound",
        522: "Bad_NotConnected",
        524: "Bad_OutOfRange",
        526: "Bad_ReadOnly",
        527: "Bad_Failure",
        528: "Bad_Unsupported",
    },
)
_ERROR = (
    "Error",
    0xC0000000 - (1 << 32),
    {
        768: "Error",
        769: "Error_Configuration",
        770: "Error_ExpressionEval",
        772: "Error_TypeConversion",
        774: "Error_IO",
        775: "Error_TimeoutExpired",
        776: "Error_Exception",
        780: "Error_CycleDetected",
    },
)
_CODES = {}
for _level, _base, _names in (_GOOD, _UNCERTAIN, _BAD, _ERROR):
    for _subcode, _name in _names.items():
        _CODES[_name] = (_level, _base + _subcode)


def known(name):
    """Whether a quality of this name exists."""
    return name in _CODES


class QualityCode(object):
    """One outcome of a tag read or write; prints as in Ignition: ``Good``, ``Bad_NotFound("...")``."""

    def __init__(self, name, diagnostic=None):
        self._name = name
        self._level, self._code = _CODES[name]
        self._diagnostic = diagnostic or None

    def isGood(self):
        return self._level == "Good"

    def isNotGood(self):
        return not self.isGood()

    def isUncertain(self):
        return self._level == "Uncertain"

    def isBad(self):
        return self._level == "Bad"

    def isError(self):
        return self._level == "Error"

    def isBadOrError(self):
        return self.isBad() or self.isError()

    def getCode(self):
        return self._code

    def getName(self):
        return self._name

    def getLevel(self):
        return self._level

    def getDiagnosticMessage(self):
        return self._diagnostic

    code = property(getCode)
    name = property(getName)
    level = property(getLevel)
    diagnosticMessage = property(getDiagnosticMessage)
    good = property(isGood)
    bad = property(isBad)
    error = property(isError)
    uncertain = property(isUncertain)
    badOrError = property(isBadOrError)

    def toString(self):
        if self._diagnostic is None:
            return self._name
        return '%s("%s")' % (self._name, self._diagnostic)

    def __unicode__(self):
        return unicode(self.toString())

    def __str__(self):
        return self.toString().encode("utf-8")

    __repr__ = __str__

    def __eq__(self, other):
        return isinstance(other, QualityCode) and other.getCode() == self._code

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self._code)


class QualifiedValue(object):
    """A tag's value with its quality and its time (java.util.Date)."""

    def __init__(self, value, quality, timestamp):
        self._value = value
        self._quality = quality
        self._timestamp = timestamp

    def getValue(self):
        return self._value

    def getQuality(self):
        return self._quality

    def getTimestamp(self):
        return self._timestamp

    value = property(getValue)
    quality = property(getQuality)
    timestamp = property(getTimestamp)

    def toString(self):
        shown = "null" if self._value is None else self._value
        return "[%s, %s, %s (%d)]" % (
            shown,
            self._quality.toString(),
            self._timestamp,
            self._timestamp.getTime(),
        )

    def __str__(self):
        return self.toString().encode("utf-8")

    __repr__ = __str__


def qualified(answer, from_json):
    """From the parent's ``[value, name, diagnostic, epoch_ms]``."""
    value, name, diagnostic, epoch_ms = answer
    return QualifiedValue(from_json(value), QualityCode(name, diagnostic), Date(long(epoch_ms)))
