"""Does the harness still run against the bridge as it is? Tiny sizes: the numbers mean nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.stand import ROOT

PARTS = ("approval", "mqtt")  # between them they use every part of the stand


@pytest.mark.timeout(500)
def test_quick_benchmarks_run_and_are_saved(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", *PARTS, "--quick", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=480,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    saved = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert [result["name"] for result in saved["results"]] == list(PARTS)
    assert all(figure["unit"] for result in saved["results"] for figure in result["figures"])


def test_an_unknown_name_is_refused_with_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    assert "footprint" in capsys.readouterr().err
