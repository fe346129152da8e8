"""A terminal for tests: runs commands as somebody types them, and listens for secrets."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from typer.testing import CliRunner

from bridge.cli import app

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "bridge.example.toml"
SCRIPT = Path(sys.executable).parent / "ignition-bridge"


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Cli:
    """Runs commands in this process; no password that it was given may ever come out again."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(self, *arguments: str, typed: str | None = None, **environment: str) -> Said:
        """Run one command; `environment` adds BRIDGE_ variables, named without the prefix."""
        given = self.environment | {f"BRIDGE_{name}": value for name, value in environment.items()}
        result = CliRunner().invoke(app, list(arguments), input=typed, env={**given, "COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        said = Said(code=result.exit_code, out=result.stdout, err=result.stderr)
        for secret in filter(None, (urlsplit(value).password for value in given.values())):
            assert secret not in said.out + said.err
        return said

    def ok(self, *arguments: str, **environment: str) -> str:
        """Run a command that has to succeed without complaint; what it said."""
        said = self(*arguments, **environment)
        assert (said.code, said.err) == (0, ""), said
        return said.out

    def json(self, *arguments: str, **environment: str) -> dict[str, Any]:
        """The same with --json, parsed."""
        found: dict[str, Any] = json.loads(self.ok(*arguments, "--json", **environment))
        return found

    def refused(self, *arguments: str, typed: str | None = None, **environment: str) -> str:
        """Run a command that has to end with 1 and a sentence, without a traceback; the sentence."""
        said = self(*arguments, typed=typed, **environment)
        assert said.code == 1, said
        assert said.err.strip()
        assert "Traceback" not in said.err
        return said.err.strip()


def left_over(folder: Path) -> list[str]:
    """Processes that still know the demo's folder: by their arguments or their environment."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            known = [*(process.info["cmdline"] or []), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != psutil.Process().pid and any(str(folder / "demo") in text for text in known):
            found.append(" ".join(process.info["cmdline"] or []))
    return found
