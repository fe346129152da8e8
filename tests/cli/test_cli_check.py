"""`check` finds everything at once, `run` refuses on the same grounds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from terminal_rig import EXAMPLE, Cli

from bridge.cli import app


def findings(cli: Cli, **environment: str) -> list[dict[str, Any]]:
    said = cli("check", "--json", **environment)
    found = json.loads(said.out)
    assert found["ok"] is (said.code == 0) is (found["problems"] == 0)
    listed: list[dict[str, Any]] = found["findings"]
    return listed


def problems(cli: Cli, **environment: str) -> list[tuple[str, str]]:
    return [
        (item["area"], item["problem"]) for item in findings(cli, **environment) if item["level"] == "problem"
    ]


def test_all_is_well(cli: Cli, plant_endpoint: str) -> None:
    said = cli("check", LINKS__PLANT__ENDPOINT=plant_endpoint)
    assert (said.code, said.err) == (0, "")
    assert "no problem" in said.out
    assert problems(cli, LINKS__PLANT__ENDPOINT=plant_endpoint) == []


def test_one_login_for_everybody_is_warned_about_and_allowed(cli: Cli, plant_endpoint: str) -> None:
    warned = [
        item for item in findings(cli, LINKS__PLANT__ENDPOINT=plant_endpoint) if item["area"] == "roles"
    ]
    assert [item["level"] for item in warned] == ["warning"]
    assert "may also act as bridge_operator" in warned[0]["problem"]


def test_separate_logins_pass_without_that_warning(
    cli: Cli, plant_endpoint: str, url_of: Callable[[str], str], database_url: str
) -> None:
    found = findings(
        cli,
        LINKS__PLANT__ENDPOINT=plant_endpoint,
        STORE__URL=url_of("bridge_agent"),
        STORE__OPERATOR_URL=url_of("bridge_operator"),
        STORE__OWNER_URL=database_url,
    )
    assert [item for item in found if item["area"] in ("roles", "database", "schema")] == []


def test_a_login_without_its_role(cli: Cli, url_of: Callable[[str], str], database_url: str) -> None:
    found = problems(
        cli,
        STORE__URL=url_of("nobody"),
        STORE__OPERATOR_URL=url_of("bridge_agent"),
        STORE__OWNER_URL=database_url,
    )
    refused = [problem for area, problem in found if area == "roles"]
    assert len(refused) == 2
    assert any('"bridge_agent"' in problem for problem in refused)
    assert any('"bridge_operator"' in problem for problem in refused)


def test_a_plant_that_does_not_answer(cli: Cli) -> None:
    found = problems(cli, LINKS__PLANT__ENDPOINT="opc.tcp://127.0.0.1:1/plant")
    assert [area for area, _ in found] == ["links"]
    assert "opc.tcp://127.0.0.1:1/plant" in found[0][1]


def test_tags_that_are_not_there_or_of_another_type(cli: Cli, plant_endpoint: str, own_folder: Any) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace('"s={equipment}/Pressure"', '"s={equipment}/Presure"').replace(
        'data_type = "Float"', 'data_type = "Double"'
    )
    (own_folder / "bridge.toml").write_text(text, encoding="utf-8")
    found = problems(cli, CONFIG=str(own_folder / "bridge.toml"), LINKS__PLANT__ENDPOINT=plant_endpoint)
    tags = [problem for area, problem in found if area == "tags"]
    assert sum("Presure" in problem for problem in tags) == 4
    assert sum("wanted Double, found Float on the server" in problem for problem in tags) == 4


def test_limits_that_were_never_published(unpublished: Cli, plant_endpoint: str) -> None:
    found = findings(unpublished, LINKS__PLANT__ENDPOINT=plant_endpoint)
    limits = [item for item in found if item["area"] == "limits" and item["level"] == "problem"]
    assert len(limits) == 8
    assert {item["advice"] for item in limits} == {"run `ignition-bridge tags publish`"}


def test_limits_that_differ_from_the_published(cli: Cli, database_url: str, plant_endpoint: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update tag_limits set high = 900 where tag_path like '%REACTOR_02/Throughput%'")
    found = problems(cli, LINKS__PLANT__ENDPOINT=plant_endpoint)
    assert len(found) == 1
    assert "[default]REACTOR_02/ThroughputSetpoint" in found[0][1]
    assert "900" in found[0][1]


def test_a_remedy_that_its_limits_forbid_is_warned_about(cli: Cli, own_folder: Any) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    (own_folder / "bridge.toml").write_text(text.replace("max_step = ", "max_step = 150 #"), encoding="utf-8")
    tight = text.replace("max_step = 300", "max_step = 150").replace("max_step = 400", "max_step = 150")
    (own_folder / "bridge.toml").write_text(tight, encoding="utf-8")
    warned = [
        item["problem"]
        for item in findings(cli, CONFIG=str(own_folder / "bridge.toml"))
        if item["area"] == "limits" and item["level"] == "warning"
    ]
    assert any("a change of -50 % exceeds max_step 150 kg/h from 300 kg/h on" in text for text in warned)


def refused_run(spawn: Callable[..., subprocess.Popen[str]], url: str) -> str:
    """Start the bridge where it must not start; what it says. In a process: it could run for ever."""
    bridge = spawn("run", CONFIG=str(EXAMPLE), STORE__URL=url)
    out, said = bridge.communicate(timeout=60)
    assert (bridge.returncode, out) == (1, "")
    assert "Traceback" not in said
    return said


def test_not_migrated(bare: Cli, empty_database: str, spawn: Callable[..., subprocess.Popen[str]]) -> None:
    said = bare("check", CONFIG=str(EXAMPLE), STORE__URL=empty_database)
    assert said.code == 1
    for text in (said.out, refused_run(spawn, empty_database)):
        assert "run `ignition-bridge db migrate`" in text


def test_wrong_password(cli: Cli, database_url: str, spawn: Callable[..., subprocess.Popen[str]]) -> None:
    before, _, after = database_url.rpartition("@")
    wrong = f"{before.rpartition(':')[0]}:tulip77@{after}"
    said = cli("check", STORE__URL=wrong)
    assert said.code == 1
    for text in (said.out, refused_run(spawn, wrong)):
        assert "password authentication failed" in text
        assert "store.url (BRIDGE_STORE__URL)" in text
        assert "tulip77" not in text


def test_run_refuses_without_published_limits(
    unpublished: Cli, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    said = refused_run(spawn, unpublished.environment["BRIDGE_STORE__URL"])
    assert said.count("run `ignition-bridge tags publish`") == 8


def test_run_waits_for_a_database_that_it_knows_and_for_no_other(
    cli: Cli, database_url: str, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    """Where a bridge has run before, an outage is no reason not to start; a first start is told what is wrong."""
    away = f"{database_url.rpartition(':')[0]}:1/nowhere"
    assert "store.url (BRIDGE_STORE__URL)" in refused_run(spawn, away)
    for url, ready in ((database_url, "bridge.ready"), (away, "agent.waiting")):
        bridge = spawn(
            "run",
            CONFIG=str(EXAMPLE),
            STORE__URL=url,
            LINKS__PLANT__ENDPOINT="opc.tcp://127.0.0.1:1/plant",
            LOG__FORMAT="json",
        )
        assert bridge.stderr is not None
        heard = next(line for line in bridge.stderr if f'"{ready}"' in line or "Traceback" in line)
        assert ready in heard
        bridge.terminate()
        _, rest = bridge.communicate(timeout=60)
        assert bridge.returncode == 0, rest
        assert '"agent.stopped"' in rest


def test_run_works_without_a_plant_and_ends_in_good_order(
    cli: Cli, database_url: str, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    bridge = spawn(
        "run",
        CONFIG=str(EXAMPLE),
        STORE__URL=database_url,
        LINKS__PLANT__ENDPOINT="opc.tcp://127.0.0.1:1/plant",
        LOG__FORMAT="json",
    )
    assert bridge.stderr is not None
    lines = []
    for line in bridge.stderr:
        lines.append(line)
        if '"bridge.ready"' in line:
            break
    else:
        pytest.fail("".join(lines))
    assert cli.json("status")["online"] is True
    bridge.terminate()
    _, rest = bridge.communicate(timeout=30)
    assert bridge.returncode == 0, rest
    assert "Traceback" not in "".join(lines) + rest
    agents = cli.json("status")["agents"]
    assert [agent["status"] for agent in agents] == ["offline"]
    assert "no agent is online" in cli.ok("status")


def test_the_app_never_shows_local_variables() -> None:
    assert app.pretty_exceptions_enable is False
