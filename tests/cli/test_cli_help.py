"""Every verb says what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from terminal_rig import Cli

from bridge import __version__
from bridge.cli import app


def verbs(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from verbs(command, (*path, name))


ALL = dict(verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_verb_and_option_has_help(bare: Cli, path: tuple[str, ...]) -> None:
    command = ALL[path]
    said = bare.ok(*path, "--help")
    assert (command.help or "").strip()
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{' '.join(path)} {parameter.name} has no help"
    assert path[-1] in said


def test_the_verbs_that_are_promised() -> None:
    promised = {
        "check",
        "run",
        "status",
        "explain",
        "readings",
        *(f"db {verb}" for verb in ("serve", "migrate", "status", "verify-audit")),
        *(f"tags {verb}" for verb in ("publish", "list")),
        *(f"recommendations {verb}" for verb in ("list", "show", "approve", "reject", "defer")),
        *(f"control {verb}" for verb in ("arm", "disarm", "show")),
        "commands settle",
    }
    assert promised <= {" ".join(path) for path in ALL}


def test_version(bare: Cli) -> None:
    assert bare.ok("--version").strip() == f"ignition-bridge {__version__}"


def test_nothing_given_shows_help(bare: Cli) -> None:
    assert "recommendations" in bare().out + bare().err
