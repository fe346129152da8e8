"""A finding: what is wrong, where, and how to mend it. What every check of the Ignition side returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """An error must be mended; a note is worth knowing and does not make a check fail."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """One problem.

    file: inside the project, with `/`. place: line, JSON path or tag path; may be empty for a whole file.
    """

    file: str
    place: str
    what: str
    mend: str
    level: Level = Level.ERROR

    def __str__(self) -> str:
        where = f"{self.file}: {self.place}" if self.place else self.file
        return f"{where}: {self.what}; {self.mend}" if self.mend else f"{where}: {self.what}"
