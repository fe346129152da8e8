"""Lists in pages, as most of the API gives them: ``page_size``, ``page_token``, and ``next_page_token``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from simulator.workspace.answers import Asked, Document, bad


def page(
    found: Sequence[Document], asked: Asked, name: str, *, most: int, size: str = "page_size"
) -> Document:
    """One page under this name; the name is absent where there is nothing, as on the real wire.

    Raises ``Refusal`` for a size outside 1 to ``most`` and for a token that is none of ours.
    """
    wanted = asked.whole(size, min(20, most))
    if not 1 <= wanted <= most:
        raise bad(f"{size}: expected 1 to {most}, found {wanted}")
    start = read_token(asked.text("page_token"), asked.path)
    shown = list(found[start : start + wanted])
    answer: Document = {name: shown} if shown else {}
    if start + wanted < len(found):
        answer["next_page_token"] = token(start + wanted, asked.path)
    return answer


def token(start: int, path: str) -> str:
    """An opaque text that stands for a place in the list at this path."""
    return base64.urlsafe_b64encode(f"{start} {path}".encode()).decode()


def read_token(text: str, path: str) -> int:
    """The place; none is the beginning. Raises ``Refusal``."""
    if not text:
        return 0
    try:
        start, _, of = base64.urlsafe_b64decode(text.encode()).decode().partition(" ")
        if of == path and start.isdigit():
            return int(start)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise bad(f"page_token: {text[:40]!r} was not given for this list")
