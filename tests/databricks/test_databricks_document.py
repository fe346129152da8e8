"""Does docs/databricks.md say what the code says: promises, faults, settings, commands, and the errors' own words?"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from bridge.cli import app
from bridge.settings import Settings
from bridge.store.promises import POSTGRES, WAREHOUSE
from simulator.workspace.faults import CATALOGUE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "databricks.md").read_text(encoding="utf-8")


def _table(heading: str) -> list[list[str]]:
    """The rows of the first table after a heading, without its head."""
    lines = TEXT.partition(f"\n{heading}\n")[2].splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows[2:]


def test_the_promises_are_those_of_the_code() -> None:
    """A promise that is weakened in the code must be weakened on paper."""
    said = [[cell.strip("*") for cell in row] for row in _table("### What Delta cannot promise")]
    assert said == [
        [there.what, there.keeper.value, here.keeper.value, here.how]
        for there, here in zip(POSTGRES, WAREHOUSE, strict=True)
    ]


def test_the_faults_are_those_of_the_simulator() -> None:
    """Every fault by name, and none that does not exist."""
    told = TEXT.partition("| Group | Faults |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", told)) == set(CATALOGUE)


def _blocks() -> list[str]:
    return re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(_blocks())))
def test_every_block_of_settings_is_one(number: int) -> None:
    """Keys must exist and values must be allowed; only the reader's own names are put in here."""
    block = _blocks()[number].replace("01ef…", "01ef" + 28 * "0").replace("adb-….", "adb-1.")
    found = tomllib.loads(re.sub(r"<[a-z]+>", "x", block))
    advisor = found.get("advisor", {})
    if advisor.get("kind") == "azure":
        advisor["azure_key"] = "x"  # kept in the environment
    Settings(**found)


def _texts() -> Iterator[str]:
    """Every text in the bridge's code, with … for what is put in."""
    for file in sorted((ROOT / "bridge").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
                )


def test_the_words_of_the_trouble_table_are_the_errors_own() -> None:
    """Who searches for a message must find it: quoted words stand in the code, in this order."""
    texts = list(_texts())
    quoted = [
        words for row in _table("## When it does not work") for words in re.findall(r"`([^`]+)`", row[0])
    ]
    assert len(quoted) > 30

    def said(words: str) -> bool:
        pattern = re.compile(".*".join(re.escape(part) for part in words.split("…")), re.DOTALL)
        return any(pattern.search(text) for text in texts)

    assert [words for words in quoted if not said(words)] == []


def test_the_commands_exist() -> None:
    """Each `ignition-bridge …` of the page must lead to a command."""
    top = typer.main.get_command(app)
    missing = []
    for line in sorted(set(re.findall(r"ignition-bridge ((?:[a-z][a-z-]*(?: |(?=[`\n])))+)", TEXT))):
        command: object = top
        for word in line.split():
            commands = getattr(command, "commands", None)
            if commands is None:
                break
            if word not in commands:
                missing.append(line)
                break
            command = commands[word]
    assert missing == []
