"""The expression language as views write it: what an expression refers to, and what it calls.

The grammar is that of the preview (`python -m simulator gateway --hmi`), which has a parser of its own; a test
over one table of expressions holds the two equal. Nothing is computed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | \{(?P<reference>[^{}]+)\}
      | (?P<name>[A-Za-z_]\w*)
      | (?P<operator>&&|\|\||!=|>=|<=|[-+*/%^=<>!(),[\]])
      | (?P<foreign>//|<<|>>|[&|~]))""",
    re.VERBOSE,
)
_BINARY: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("=", "!="),
    ("<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)
_WORD_OPERATORS = frozenset({"like", "xor"})
_DEPTH_LIMIT = 100


def _words(text: str) -> list[str]:
    return text.split()


MANY = 60
"""As many arguments as one likes."""

FUNCTIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **dict.fromkeys(
            _words(
                "isGood isBad isNull qualityOf abs floor ceil len upper lower trim toStr fromMillis toMillis "
                "typeOf"
            ),
            (1, 1),
        ),
        **dict.fromkeys(
            _words(
                "try indexOf startsWith contains numberFormat dateFormat secondsBetween minutesBetween addSeconds "
                "jsonGet"
            ),
            (2, 2),
        ),
        **dict.fromkeys(_words("round toInt toFloat toBoolean"), (1, 2)),
        **dict.fromkeys(_words("coalesce min max concat"), (1, MANY)),
        **dict.fromkeys(_words("case switch"), (4, MANY)),
        "if": (3, 3),
        "substring": (2, 3),
        "replace": (3, 3),
        "now": (0, 1),
        "isAuthorized": (2, MANY),
        "hasRole": (1, 3),
    }
)
"""Functions that the preview computes: fewest and most arguments."""

_IGNITION_HAS = frozenset(
    name.lower()
    for name in _words(
        "acos asin atan atan2 cos exp log log10 pow sin sqrt tan todegrees toradians toHex toOctal toBinary fromHex "
        "fromBinary fromOctal toLong toInteger toDouble toFloat toDate toDataSet toColor toBorder toFont toStr "
        "addDays addHours addMillis addMinutes addMonths addWeeks addYears dateArithmetic dateDiff dateExtract "
        "dateIsAfter dateIsBefore dateIsBetween daysBetween hoursBetween millisBetween monthsBetween weeksBetween "
        "yearsBetween getDate getDayOfMonth getDayOfWeek getDayOfYear getHour12 getHour24 getMillis getMinute "
        "getMonth getQuarter getSecond getYear getAMorPM getTimezone getTimezoneOffset getTimezoneRawOffset "
        "isDaylightTime midnight parseDate setTime toParsedDate timeBetween dateFormat now systemTime "
        "lookup columnRearrange columnRename hasChanged hasRows sortDataset getNextColumn "
        "lastIndexOf left right mid repeat reverse split escapeSQL escapeXML fromMillis stringFormat urlEncode "
        "unicodeNormalize ordinal numberFormat char ascii "
        "binEnc binEnum getBit setBit bitXor mean median stdDev sum mode rand sign round cbrt "
        "forceQuality isBadNotGood isGood isBad isUncertain isError isPending isQuality qualifiedValue quality "
        "tag runScript translate previousValue currentValue isNull nullIf "
        "hasRole isAuthorized jsonFormat jsonGet jsonSet jsonKeys jsonValues jsonLength jsonDelete jsonMerge "
        "jsonValueByKey jsonContains nodeId locale setLocale "
        "property alarmPriority brighter darker gradient color brightness hue saturation "
        "trunc max min average upper lower trim len "
        "isMatch regexMatch regexExtract regexReplace groupConcat dateAdd toJson fromJson typeOf "
        "getAttribute randomUUID hostname"
    )
)


class ExpressionBroken(Exception):
    """The text is no expression. `foreign`: Ignition reads it, the preview does not."""

    def __init__(self, what: str, *, foreign: bool = False) -> None:
        super().__init__(what)
        self.foreign = foreign


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One function with the number of its arguments."""

    name: str
    arguments: int

    @property
    def problem(self) -> str | None:
        """Why the preview cannot compute it; None when it can."""
        if self.name not in FUNCTIONS:
            return f"{'the preview has' if self.foreign else 'there is'} no function {self.name}()"
        low, high = FUNCTIONS[self.name]
        if low <= self.arguments <= high:
            return None
        wanted = str(low) if low == high else f"{low} or more" if high == MANY else f"{low} to {high}"
        return f"{self.name}() takes {wanted} arguments, found {self.arguments}"

    @property
    def foreign(self) -> bool:
        """Whether Ignition has a function of this name, and the preview has not."""
        return self.name not in FUNCTIONS and (
            self.name.lower() in _IGNITION_HAS or self.name.lower() in {name.lower() for name in FUNCTIONS}
        )


@dataclass(slots=True)
class Meaning:
    """What an expression speaks of, in order: `references` in braces, functions called, text constants."""

    references: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def read_expression(text: str) -> Meaning:
    """Read an expression. Raises ExpressionBroken for what the grammar does not have."""
    parser = _Parser(_tokens(text))
    parser.expression()
    parser.end()
    return parser.meaning


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    stripped = text.rstrip()
    while place < len(stripped):
        match = _TOKEN.match(stripped, place)
        if match is None or match.lastgroup is None:
            raise ExpressionBroken(f"cannot read {stripped[place : place + 20]!r}")
        if match.lastgroup == "foreign":
            raise ExpressionBroken(f"the preview has no operator {match['foreign']!r}", foreign=True)
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self.meaning = Meaning()

    def expression(self, level: int = 0) -> None:
        if level == len(_BINARY):
            self._unary()
            return
        if level == 0:
            self._deeper()
        self.expression(level + 1)
        while self._peek()[0] == "operator" and self._peek()[1] in _BINARY[level]:
            self._place += 1
            self.expression(level + 1)
        if level == 0:
            self._depth -= 1

    def end(self) -> None:
        if self._place < len(self._tokens):
            raise self._unexpected(self._peek())

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEPTH_LIMIT:
            raise ExpressionBroken(f"is nested deeper than {_DEPTH_LIMIT} levels")

    def _unary(self) -> None:
        self._deeper()
        if self._accept("-") or self._accept("!"):
            self._unary()
        else:
            self._primary()
            while self._accept("["):
                self.expression()
                if self._accept(","):
                    self.expression()
                self._expect("]")
            if self._accept("^"):
                self._unary()
        self._depth -= 1

    def _primary(self) -> None:
        kind, word = token = self._peek()
        self._place += 1
        if kind == "reference":
            self.meaning.references.append(word)
        elif kind == "text":
            self.meaning.texts.append(re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL))
        elif kind == "name" and word.lower() not in ("true", "false", "null"):
            self._call(word)
        elif token == ("operator", "("):
            self.expression()
            self._expect(")")
        elif kind not in ("number", "name"):
            raise self._unexpected(token)

    def _call(self, name: str) -> None:
        self._expect("(")
        count = 0
        if not self._accept(")"):
            self.expression()
            count = 1
            while self._accept(","):
                self.expression()
                count += 1
            self._expect(")")
        self.meaning.calls.append(Call(name=name, arguments=count))

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("end", "the end")

    def _accept(self, operator: str) -> bool:
        if self._peek() != ("operator", operator):
            return False
        self._place += 1
        return True

    def _expect(self, operator: str) -> None:
        if not self._accept(operator):
            found = self._peek()
            if found[0] == "name" and found[1].lower() in _WORD_OPERATORS:
                raise self._unexpected(found)
            raise ExpressionBroken(f"expected {operator!r}, found {found[1]!r}")

    @staticmethod
    def _unexpected(token: tuple[str, str]) -> ExpressionBroken:
        if token[0] == "name" and token[1].lower() in _WORD_OPERATORS:
            return ExpressionBroken(f"the preview has no operator {token[1]!r}", foreign=True)
        return ExpressionBroken(f"did not expect {token[1]!r}")
