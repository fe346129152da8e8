"""Is a Genie space found by its name or its id, and is a misspelt one refused by name?"""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.settings import load

ID = "01ef" + "0" * 27 + "7"
OTHER = "01ef" + "a" * 28


def configured(folder: Path, text: str) -> Path:
    file = folder / "bridge.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_space_is_found_by_its_name_or_its_id(tmp_path: Path) -> None:
    found = load(configured(tmp_path, f'[genie]\nspaces = {{ plant = "{ID}" }}\n')).genie

    assert found.space_id("plant") == ID
    assert found.space_id(OTHER) == OTHER
    assert (found.questions_per_minute, found.deadline_s, found.cache_s) == (5, 120, 60)


def test_a_space_that_is_neither_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    found = load(configured(tmp_path, f'[genie.spaces]\nplant = "{ID}"\nlab = "{OTHER}"\n')).genie

    with pytest.raises(ConfigError, match=r"'plnt': wanted a name of \[genie.spaces\] \(there: lab, plant\)"):
        found.space_id("plnt")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('spaces = { plant = "01EF" }', "genie.spaces.plant"),
        (f'spaces = {{ plant = "https://x/genie/rooms/{ID}" }}', "genie.spaces.plant"),
        ("questions_per_minute = 0", "genie.questions_per_minute"),
        ("deadline_s = 0", "genie.deadline_s"),
        ("cache_s = -1", "genie.cache_s"),
        ("per_minute = 5", "genie.per_minute: unknown key"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(configured(tmp_path, f"[genie]\n{text}\n"))
