"""What can be made to go wrong in the gateway, by name: at start, or while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

CATALOGUE: Final = {
    "kill_script_after_write": "the JVM is killed after the next tag write was done, before the script hears of it",
    "kill_script_before_write": "the JVM is killed when the next tag write is asked for, before it is done",
    "jdbc_down": "database connections are cut in the middle of what they do, and no new one can be had",
    "jdbc_down_after_write": "the same, after the next tag write was done and before the script hears of it",
    "tag_not_writable": "writes to PATH are answered Bad (Bad_NotWritable) and change nothing",
    "write_other_value": "writes to PATH are answered Good and write another value than asked",
    "tag_stale": "PATH shows Bad_Stale, whatever the plant says",
}
_WITH_PATH: Final = frozenset(("tag_not_writable", "write_other_value", "tag_stale"))


class FaultError(Exception):
    """No such fault, or its path is missing or too much."""


@dataclass
class Faults:
    """The faults of now. Those that happen once end themselves."""

    active: dict[str, set[str]] = field(default_factory=dict)

    def begin(self, text: str) -> str:
        """``NAME`` or ``NAME PATH``; gives the name. Raises ``FaultError``."""
        name, path = _parsed(text)
        self.active.setdefault(name, set()).add(path)
        return name

    def clear(self, text: str) -> str:
        """End one; without a path also those of every path."""
        name, _, path = text.strip().partition(" ")
        if name not in CATALOGUE:
            _parsed(text)
        if path:
            self.active.get(name, set()).discard(path.strip())
        else:
            self.active.pop(name, None)
        return name

    def on(self, name: str, path: str = "") -> bool:
        """Whether it is on, for this path where it has one."""
        return path in self.active.get(name, ())

    def once(self, name: str) -> bool:
        """Whether it is on; asking ends it."""
        return self.active.pop(name, None) is not None


def _parsed(text: str) -> tuple[str, str]:
    name, _, path = text.strip().partition(" ")
    if name not in CATALOGUE:
        raise FaultError(f"no fault is called {name!r}; there are {', '.join(CATALOGUE)}")
    path = path.strip()
    if (name in _WITH_PATH) != bool(path):
        raise FaultError(f"fault {name} wants {'a tag path' if name in _WITH_PATH else 'no tag path'}")
    return name, path
