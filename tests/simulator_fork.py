"""`python -m simulator` for `forks`: the same command line, imported once and with the address space prepared."""

from __future__ import annotations

from prepared_space import prepare

from simulator.__main__ import app

__all__ = ["main", "prepare"]


def main(arguments: list[str]) -> None:
    app(arguments)
