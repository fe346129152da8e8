"""Does the project's library behave alike under CPython 3 and Jython 2.7, and as the bridge does?

The behaviours are in `behaviour/`, in the common subset of both languages; each interpreter runs all of them
in one process, because a JVM takes seconds to start.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agreement import Case, cases

from bridge.domain.limits import RefusalCode
from bridge.ignition.named_queries import ignition_path
from bridge.store import queries

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent / "ignition_project"
LIBRARY = PROJECT / "ignition" / "script-python" / "bridge"
INTERPRETERS = ("cpython", "jython")
JYTHON_MISSING = (
    "jython is missing, and without it the gateway's scripts are not proven; as root: apt-get install jython"
)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What one interpreter said."""

    version: str
    results: dict[str, str]
    judged: list[list[Any] | None]


def _behaviours() -> list[str]:
    return [
        f"{file.stem}.{node.name}"
        for file in sorted((HERE / "behaviour").glob("when_*.py"))
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("it_")
    ]


def _command(interpreter: str) -> list[str]:
    if interpreter == "cpython":
        return [sys.executable, "-I", "-S"]  # nothing but the standard library, as on a gateway
    found = shutil.which("jython")
    if found is None:
        pytest.fail(JYTHON_MISSING)
    return [found]


@pytest.fixture(scope="session")
def judged_cases() -> list[Case]:
    return cases()


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory, judged_cases: list[Case]) -> Callable[[str], Answers]:
    """Runs everything under one interpreter, once."""
    known: dict[str, Answers] = {}

    def ask(interpreter: str) -> Answers:
        if interpreter not in known:
            known[interpreter] = _run(interpreter, tmp_path_factory.mktemp(interpreter), judged_cases)
        return known[interpreter]

    return ask


def _run(interpreter: str, folder: Path, judged_cases: list[Case]) -> Answers:
    staged = folder / "library" / "bridge"
    staged.mkdir(parents=True)
    (staged / "__init__.py").touch()
    for module in LIBRARY.iterdir():
        shutil.copy(module / "code.py", staged / f"{module.name}.py")
    (folder / "cases.json").write_text(json.dumps([case.asked for case in judged_cases]), encoding="utf-8")
    parameters = {ignition_path(query): [each.name for each in query.parameters] for query in queries.load()}
    (folder / "parameters.json").write_text(json.dumps(parameters), encoding="utf-8")
    files = [staged.parent, folder / "cases.json", folder / "parameters.json", folder / "answers.json"]
    done = subprocess.run(
        [*_command(interpreter), str(HERE / "behaviour" / "run.py"), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=150,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Answers(**json.loads((folder / "answers.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("interpreter", INTERPRETERS)
@pytest.mark.parametrize("behaviour", _behaviours())
def test_the_library_behaves(answers: Callable[[str], Answers], interpreter: str, behaviour: str) -> None:
    """The behaviour of this name must hold under this interpreter."""
    problem = answers(interpreter).results[behaviour]
    assert not problem, f"{behaviour} under {interpreter}:\n{problem}"


def test_the_interpreters_are_the_ones_meant(answers: Callable[[str], Answers]) -> None:
    """Jython must be 2.7, as on a gateway, and CPython 3."""
    assert answers("jython").version.startswith("2.7")
    assert answers("cpython").version.startswith("3.")


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_the_gateway_judges_as_the_bridge_does(
    answers: Callable[[str], Answers], judged_cases: list[Case], interpreter: str
) -> None:
    """Refusals and verdicts on the same facts must have the same words in both executors."""
    differing = [
        (case.asked, case.wanted, found)
        for case, found in zip(judged_cases, answers(interpreter).judged, strict=True)
        if found != case.wanted
    ]
    assert not differing, f"{len(differing)} of {len(judged_cases)}, the first: {differing[0]}"


def test_the_cases_are_of_every_kind(judged_cases: list[Case]) -> None:
    """The comparison is worth something only when all the words occur in it."""
    said = {word for case in judged_cases for word in case.wanted or ["look again"]}
    verdicts = {"executed", "failed", "unknown", "look again"}
    codes = {
        "wrong_type", "out_of_range", "step_too_large", "too_soon", "too_many_writes", "reading_too_old",
        "bad_quality", "unreadable", "moved_away", "no_change", "not_approved", "digest_mismatch",
        "not_listed", "wrong_unit", "refused_by_server", "read_back_differs", "not_confirmed",
    }  # fmt: skip
    assert verdicts | codes <= said, sorted(verdicts | codes - said)


def test_the_gateway_knows_no_word_of_its_own() -> None:
    """Every refusal code of the library must be one of the bridge's."""
    tree = ast.parse((LIBRARY / "refusals" / "code.py").read_text(encoding="utf-8"))
    words = {
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    assert len(words) > 15
    assert words <= {code.value for code in RefusalCode}


def test_two_modules_touch_the_gateway() -> None:
    """Every module but `gateway` and `hmi` must say that it is pure, and be so."""
    for module in sorted(LIBRARY.iterdir()):
        text = (module / "code.py").read_text(encoding="utf-8")
        names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        imported = {
            (node.module or "").split(".")[0]
            if isinstance(node, ast.ImportFrom)
            else node.names[0].name.split(".")[0]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom | ast.Import)
        }
        impure = {"system", "java"} & (names | imported)
        pure = text.startswith("# Pure: ")
        assert pure == (module.name not in ("gateway", "hmi")), module.name
        assert pure == (not impure), module.name


def test_a_page_of_cards_is_as_long_as_its_buttons_turn() -> None:
    """The view asks for so many rows, the library turns by so many; else cards would be skipped."""
    view = PROJECT / "com.inductiveautomation.perspective/views/Pages/Recommendations/view.json"
    binding = json.loads(view.read_text(encoding="utf-8"))["propConfig"]["custom.rows"]["binding"]
    config = (LIBRARY / "config" / "code.py").read_text(encoding="utf-8")
    assert f"\nCARDS = {binding['config']['parameters']['max_rows']}\n" in config


def test_every_view_that_polls_the_agent_measures_its_silence_by_one_number() -> None:
    """A session begins with what `bridge.config` says, and no view has numbers of its own."""
    perspective = PROJECT / "com.inductiveautomation.perspective"
    custom = json.loads((perspective / "session-props/props.json").read_text(encoding="utf-8"))["custom"]
    config: dict[str, Any] = {}
    exec((LIBRARY / "config" / "code.py").read_text(encoding="utf-8"), config)
    assert custom == {
        name: config[name.upper()] for name in ("agent_id", "offline_after_s", "silent_after_s")
    }
    polling = [
        text
        for view in sorted((perspective / "views").rglob("view.json"))
        if "Health/watchAgent" in (text := view.read_text(encoding="utf-8"))
    ]
    assert len(polling) == 12
    for text in polling:
        assert "> {session.custom.silent_after_s}" in text
        assert '"{session.custom.agent_id}"' in text
        assert '"offline_after_s": "15"' not in text
        assert "({view.custom.silent_s} = 0)" in text
