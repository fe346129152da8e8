"""Does every test that docs/sparkplug.md names exist, and is every clause named once?"""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sparkplug.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+(?:::\w+)?)`", PAGE)))


def _section(title: str) -> str:
    return PAGE.split(f"\n## {title}", 1)[1].split("\n## ", 1)[0]


def _tests_of(file: str) -> set[str]:
    """Test functions of a file, those of classes as `Class::test`."""
    found = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}::{one.name}"
                for one in node.body
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return {name for name in found if name.split("::")[-1].startswith("test_")}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_named_test_exists(file: str, test: str) -> None:
    assert test in _tests_of(file)


def test_every_clause_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `tck-id-")]
    assert len(rows) > 30
    without = [row for row in rows if "::test_" not in row]
    assert without == []


@pytest.mark.parametrize("side", ["Host application", "Edge node"])
def test_no_clause_stands_twice_for_one_side(side: str) -> None:
    rows = [line for line in _section(side).splitlines() if line.startswith("|")]
    clauses = Counter(clause for row in rows for clause in re.findall(r"`(tck-id-[\w-]+)`", row))
    assert [clause for clause, times in clauses.items() if times > 1] == []
