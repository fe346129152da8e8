"""What may come in a browser's frame: how deeply nested it is, and how it is told in the log."""

from __future__ import annotations

from typing import Any, Final

_TOLD: Final = 120


def nested_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects hold each other deeper than the limit."""
    level = [value]
    for _ in range(limit + 1):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
        level = below
        if not level:
            return False
    return any(isinstance(one, dict | list) for one in level)


def shortened(value: Any) -> str:
    """A value from outside for one line of the log: no line breaks, no end-of-line tricks, not endless."""
    if isinstance(value, dict | list):
        return f"{type(value).__name__} of {len(value)}"
    text = ascii(value[: _TOLD + 1])[1:-1] if isinstance(value, str) else ascii(value)
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}…"
