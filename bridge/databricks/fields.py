"""Reading a JSON answer field by field: what is not as promised is refused by name, never guessed.

Texts come out of here fit to be stored and shown: what PostgreSQL cannot hold or what would make a screen or a
terminal show something else (NUL, lone surrogates, control characters, changes of writing direction) is replaced
by U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bridge.errors import AnswerMalformed

_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def fit(text: str) -> str:
    """A text of others with U+FFFD for what may not be stored or shown; line breaks and tabs stay."""
    return _UNFIT.sub("\ufffd", text)


def kind(value: object) -> str:
    """What a JSON value is, in a word, for a message that must not repeat the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case Sequence():
            return "a list"
    return type(value).__name__


class Fields:
    """One JSON object of an answer. `place` says in messages where it stands.

    A field that is absent and one that is null are the same. Each method refuses with AnswerMalformed what is
    not of its kind; those with a default give it when there is nothing.
    """

    __slots__ = ("_content", "place")

    def __init__(self, content: object, place: str) -> None:
        if not isinstance(content, Mapping):
            raise AnswerMalformed(f"{place}: wanted an object, found {kind(content)}")
        self._content: Mapping[str, object] = content
        self.place = place

    def refused(self, name: str, wanted: str) -> AnswerMalformed:
        """The error that says what was wanted of a field and what was found."""
        return AnswerMalformed(
            f"{self.place}: {name}: wanted {wanted}, found {kind(self._content.get(name))}"
        )

    def has(self, name: str) -> bool:
        """Whether there is anything under this name."""
        return self._content.get(name) is not None

    def names(self) -> tuple[str, ...]:
        """The names of all fields that are not null."""
        return tuple(str(name) for name, value in self._content.items() if value is not None)

    def raw(self, name: str) -> object:
        """The value as it came; None when there is none."""
        return self._content.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """A text, fit to be stored and shown."""
        value = self._content.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.refused(name, "a text")
        return fit(value)

    def identity(self, name: str, default: str | None = None) -> str:
        """An id; an empty one is none. Some come as numbers: here always a text, as a float would round them."""
        value = self._content.get(name)
        if (value is None or value == "") and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise self.refused(name, "an id")
        return fit(str(value))

    def count(self, name: str) -> int | None:
        """A number of things, not negative; 64-bit numbers may come as texts. None when it is not said."""
        value = self._content.get(name)
        if value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.refused(name, "a count")
        return value

    def flag(self, name: str) -> bool:
        """A boolean; False when it is not said."""
        value = self._content.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.refused(name, "true or false")
        return value

    def part(self, name: str) -> Fields | None:
        """An object within; None when there is none."""
        value = self._content.get(name)
        return None if value is None else Fields(value, f"{self.place}: {name}")

    def needed(self, name: str) -> Fields:
        """An object within that has to be there."""
        part = self.part(name)
        if part is None:
            raise self.refused(name, "an object")
        return part

    def items(self, name: str) -> list[object]:
        """A list of whatever; empty when there is none."""
        value = self._content.get(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self.refused(name, "a list")
        return list(value)

    def parts(self, name: str) -> list[Fields]:
        """A list of objects; empty when there is none."""
        return [
            Fields(item, f"{self.place}: {name}[{number}]") for number, item in enumerate(self.items(name))
        ]

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty when there is none."""
        found = self.items(name)
        if not all(isinstance(item, str) for item in found):
            raise AnswerMalformed(f"{self.place}: {name}: wanted a list of texts")
        return tuple(fit(str(item)) for item in found)
