"""Looking into JSON that somebody else wrote: any value may be of any type."""

from __future__ import annotations

from collections.abc import Container
from typing import Any


def as_list(value: object) -> list[Any]:
    """The value when it is a list, else nothing to go through."""
    return value if isinstance(value, list) else []


def is_one_of(value: object, names: Container[str]) -> bool:
    """Whether the value is one of these words; a list or an object is none of them."""
    return isinstance(value, str) and value in names
