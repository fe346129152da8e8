"""What a person reads when the configuration is wrong: every problem, one a line, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminal_rig import EXAMPLE, Cli

LIMITS = "limits = { low = 100, high = 800, max_step = 400"


@pytest.fixture
def edited(own_folder: Path) -> Path:
    """bridge.toml in the working folder, a copy of the example."""
    file = own_folder / "bridge.toml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    return file


def replace(file: Path, before: str, after: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize("command", [("check",), ("run",), ("tags", "list"), ("tags", "publish")])
def test_no_configuration_names_the_file_and_the_example(bare: Cli, command: tuple[str, ...]) -> None:
    said = bare(*command)
    assert said.code == 1
    assert "bridge.toml: no such file; copy bridge.example.toml" in said.out + said.err


def test_a_named_file_that_is_missing(bare: Cli) -> None:
    said = bare.refused("--config", "elsewhere.toml", "status")
    assert said == "elsewhere.toml: no such file; copy bridge.example.toml to start from"


def test_no_database_url_says_how_to_get_one(bare: Cli) -> None:
    said = bare.refused("recommendations", "list")
    assert "store.url is not set" in said
    assert "ignition-bridge db serve" in said
    assert "BRIDGE_STORE__URL" in said


def test_every_problem_of_a_file_is_told_at_once(bare: Cli, edited: Path) -> None:
    replace(edited, "poll_s = 10 ", 'poll_s = "soon" ')
    replace(edited, 'site = "demo"', 'site = "demo"\ncolour = "blue"')
    replace(edited, LIMITS, "limits = { low = 900, high = 800, max_step = 400")
    lines = bare.refused("run").splitlines()
    assert len(lines) == 3
    assert any("agent.colour: unknown key" in line for line in lines)
    assert any("agent.poll_s" in line and "found 'soon'" in line for line in lines)
    assert any("low 900 must be below high 800" in line for line in lines)


def test_a_writable_tag_without_range_is_refused(bare: Cli, edited: Path) -> None:
    text = edited.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(LIMITS))
    replace(edited, line, "")
    said = bare.refused("tags", "list")
    assert "types.reactor.setpoints.throughput.limits: missing; a writable tag needs limits" in said


def test_two_tags_with_one_address(bare: Cli, edited: Path) -> None:
    replace(edited, '"s={equipment}/Pressure"', '"s={equipment}/Temperature"')
    said = bare.refused("tags", "list")
    assert (
        "tags [default]REACTOR_01/Temperature and [default]REACTOR_01/Pressure share the address "
        "s=REACTOR_01/Temperature on link plant"
    ) in said


def test_what_is_not_toml(bare: Cli, edited: Path) -> None:
    edited.write_text("agent = [", encoding="utf-8")
    assert "bridge.toml: not readable as TOML" in bare.refused("status")


def test_the_environment_goes_over_the_file(bare: Cli, edited: Path) -> None:
    said = bare.refused("status", AGENT__POLL_S="often")
    assert "agent.poll_s" in said
    assert "found 'often'" in said


def test_a_level_deep_in_the_environment_reaches_one_link(bare: Cli, edited: Path) -> None:
    said = bare.refused("status", LINKS__PLANT__ENDPOINT="http://plant")
    assert "links.plant" in said
    assert "http://plant" in said


def test_a_variable_that_means_nothing_is_warned_about(cli: Cli) -> None:
    said = cli("check", AGNT__POLL_S="3")
    assert "BRIDGE_AGNT__POLL_S: this environment variable belongs to no setting" in said.out


def test_check_tells_configuration_and_database_problems_together(bare: Cli, edited: Path) -> None:
    replace(edited, '"s={equipment}/Pressure"', '"s={equipment}/Temperature"')
    said = bare("check", STORE__URL="postgresql://anna:tulip77@127.0.0.1:1/bridge")
    assert said.code == 1
    assert "share the address" in said.out
    assert "Connection refused" in said.out
