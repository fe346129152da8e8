"""`publish password`, and what `check` says of the published OPC UA server."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from terminal_rig import EXAMPLE, Cli

from bridge.publish.passwords import hash_password, matches


def test_a_password_becomes_a_line_that_fits_it_and_is_not_shown(bare: Cli) -> None:
    said = bare("publish", "password", typed="correct horse\n")
    assert (said.code, said.err) == (0, "")
    assert said.out.count("\n") == 1
    assert matches("correct horse", said.out.strip())
    assert "horse" not in said.out


@pytest.mark.parametrize("typed", ["", "\n", "short\n"])
def test_a_short_password_is_refused(bare: Cli, typed: str) -> None:
    assert "at least 8 characters" in bare.refused("publish", "password", typed=typed)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def published(
    cli: Cli, folder: Path, section: str, **environment: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """What `check` finds in the area publish, and what passed."""
    file = folder / "bridge.toml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8") + section, encoding="utf-8")
    found = json.loads(cli("check", "--json", CONFIG=str(file), **environment).out)
    return [item for item in found["findings"] if item["area"] == "publish"], found["passed"]


def test_nothing_configured_is_nothing_said(cli: Cli, own_folder: Path) -> None:
    found, passed = published(cli, own_folder, "")
    assert found == []
    assert not [text for text in passed if text.startswith("publish.opcua")]


def test_a_server_that_can_start_and_decide(cli: Cli, own_folder: Path, port: int, database_url: str) -> None:
    section = f"""
[publish.opcua]
endpoint = "opc.tcp://127.0.0.1:{port}/agent"
[publish.opcua.users.anna]
role = "operator"
password_hash = "{hash_password("correct horse")}"
"""
    found, passed = published(cli, own_folder, section, STORE__OPERATOR_URL=database_url)
    assert found == []
    assert any("1 may decide, 0 may look, and so may everybody" in text for text in passed)


def test_everything_that_is_wrong_is_said_at_once(cli: Cli, own_folder: Path, port: int) -> None:
    """Port, certificate, hash, the agent's name and the login for decisions: each by its setting."""
    (own_folder / "a.crt").write_text("no certificate", encoding="utf-8")
    section = f"""
[publish.opcua]
endpoint = "opc.tcp://127.0.0.1:{port}/agent"
security = "Basic256Sha256"
certificate = "{own_folder / "a.crt"}"
private_key = "{own_folder / "a.key"}"
[publish.opcua.users.operations-agent]
role = "operator"
password_hash = "correct horse"
"""
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        found, passed = published(cli, own_folder, section)
    said = {(item["subject"], item["level"]) for item in found}
    assert said == {
        ("publish.opcua.endpoint", "warning"),
        ("publish.opcua.certificate", "problem"),
        ("publish.opcua.users.operations-agent", "problem"),
        ("publish.opcua.users.operations-agent.password_hash", "problem"),
        ("store.operator_url", "warning"),
    }
    assert f"port {port}" in str(found)
    assert "correct horse" not in str(found)
    assert not [text for text in passed if text.startswith("publish.opcua")]


def test_nobody_who_may_decide_and_nobody_who_gets_in(cli: Cli, own_folder: Path, port: int) -> None:
    section = f'\n[publish.opcua]\nendpoint = "opc.tcp://127.0.0.1:{port}/agent"\n'
    found, _ = published(cli, own_folder, section)
    assert [(item["subject"], item["level"]) for item in found] == [("publish.opcua.users", "warning")]
    found, _ = published(cli, own_folder, section + "anonymous = false\n")
    assert [(item["subject"], item["level"]) for item in found] == [("publish.opcua", "problem")]


def test_an_open_server_for_the_network_is_warned_about(cli: Cli, own_folder: Path, port: int) -> None:
    found, _ = published(cli, own_folder, f'\n[publish.opcua]\nendpoint = "opc.tcp://0.0.0.0:{port}/agent"\n')
    assert any("nothing is encrypted" in item["problem"] for item in found)
