"""Server-sent events: bytes in any pieces become lines, and lines become events. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.errors import AnswerTooLarge

MOST_CHARACTERS = 4 * 2**20
_LINE_END = re.compile(rb"\r\n|\n|\r")
_DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. name: empty when the server gave none. data: its lines, joined by line feeds."""

    data: str
    name: str = ""

    @property
    def done(self) -> bool:
        """Whether this is the mark with which model servers end a stream that is complete."""
        return self.data.strip() == _DONE


class Lines:
    """Cuts bytes into lines at LF, CR LF and CR, and nowhere else; damaged characters become U+FFFD.

    AnswerTooLarge for a line of more than `most` bytes, as soon as that many have come.
    """

    def __init__(self, what: str = "stream", *, most: int = MOST_CHARACTERS) -> None:
        self._what = what
        self._most = most
        self._rest: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._begun = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete, without their ends."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return []
        self._after_cr = data.endswith(b"\r")
        *whole, rest = _LINE_END.split(data)
        found = []
        for piece in whole:
            self._add(piece)
            found.append(self._take())
        self._add(rest)
        return found

    def end(self) -> list[str]:
        """What came after the last line end; empty when there was nothing."""
        return [self._take()] if self._size else []

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most:
            raise AnswerTooLarge(
                f"{self._what}: a line of more than {self._most} bytes is not read; ask for less"
            )
        if piece:
            self._rest.append(piece)

    def _take(self) -> str:
        line = b"".join(self._rest)
        self._rest, self._size = [], 0
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        return line.decode("utf-8", errors="replace")


class Events:
    """Puts the lines of a stream together to events, as the standard says.

    An event ends with an empty line; what the stream breaks off before that is none. The mark [DONE] alone counts
    with its own line, since not every server sends an empty line after it. AnswerTooLarge for an event of more
    than `most` characters.
    """

    def __init__(self, what: str = "stream", *, most: int = MOST_CHARACTERS) -> None:
        self._what = what
        self._most = most
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def line(self, line: str) -> Event | None:
        """Take one line, without its end; the event that it completes, if it does."""
        if not line:
            return self._take()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            if not self._data and value.strip() == _DONE:
                self._data.append(value)
                return self._take()
            self._size += len(value) + 1
            if self._size > self._most:
                raise AnswerTooLarge(
                    f"{self._what}: an event of more than {self._most} characters is not read; ask for less"
                )
            self._data.append(value)
        elif field == "event":
            self._name = value
        return None  # comments, ids and retry times are of no use to us; the standard ignores other fields

    def _take(self) -> Event | None:
        event = Event("\n".join(self._data), self._name) if self._data else None
        self._name, self._data, self._size = "", [], 0
        return event


def read(data: bytes, what: str = "stream") -> list[Event]:
    """All events of a stream that has come whole."""
    lines, events = Lines(what), Events(what)
    found = (events.line(line) for line in [*lines.feed(data), *lines.end()])
    return [event for event in found if event is not None]
