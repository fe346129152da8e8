"""`db …` and `tags …`: serving, migrating, publishing, verifying."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from rig import Hands, sql
from terminal_rig import EXAMPLE, Cli

Spawn = Callable[..., subprocess.Popen[str]]


def first_line(process: subprocess.Popen[str]) -> str:
    """What the process prints when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(f"no line on stdout; stderr: {process.communicate()[1]}")
    return line.rstrip("\n")


def served(process: subprocess.Popen[str]) -> str:
    url = first_line(process)
    assert url.startswith("postgresql://postgres:")
    assert "@127.0.0.1:" in url
    return url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_only_the_url_and_keeps_the_data(
    spawn: Spawn, data_folder: Path, bare: Cli, number: signal.Signals
) -> None:
    first = spawn("db", "serve", "--dir", data_folder)
    url = served(first)
    bare.ok("db", "migrate", STORE__URL=url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into work_orders (equipment_id, description) values ('PUMP_01', 'grease it')"
        )
    first.send_signal(number)
    rest, said = first.communicate(timeout=30)
    assert (first.returncode, rest) == (0, "")
    assert url not in said

    again = spawn("db", "serve", "--dir", data_folder)
    with psycopg.connect(served(again)) as connection:
        assert connection.execute("select description from work_orders").fetchall() == [("grease it",)]
    again.terminate()
    again.communicate(timeout=30)
    assert again.returncode == 0


def test_serve_stopped_while_it_makes_its_folder_leaves_a_folder_that_serves(
    spawn: Spawn, data_folder: Path
) -> None:
    first = spawn("db", "serve", "--dir", data_folder)
    while not (data_folder / "PG_VERSION").exists():
        assert first.poll() is None
    first.terminate()
    out, said = first.communicate(timeout=60)
    assert (first.returncode, out) == (0, "")
    assert "Traceback" not in said
    served(spawn("db", "serve", "--dir", data_folder))


def test_serve_says_when_the_server_ends_by_itself(spawn: Spawn, data_folder: Path) -> None:
    process = spawn("db", "serve", "--dir", data_folder)
    with psycopg.connect(served(process)) as connection:
        postmaster = int((data_folder / "postmaster.pid").read_text().splitlines()[0])
        assert connection.info.backend_pid != postmaster
    os.kill(postmaster, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "ended by itself" in said
    assert "server.log" in said


def test_serve_on_a_port_that_is_taken(bare: Cli, data_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = bare.refused("db", "serve", "--dir", str(data_folder), "--port", str(port))
    assert said == f"port {port} on 127.0.0.1 is taken; choose another with --port"


def test_serve_in_a_folder_with_other_files(bare: Cli, own_folder: Path) -> None:
    (own_folder / "letters").mkdir()
    (own_folder / "letters" / "dear_anna.txt").write_text("…")
    said = bare.refused("db", "serve", "--dir", str(own_folder / "letters"))
    assert "holds other files and no database; choose an empty or new folder" in said
    assert (own_folder / "letters" / "dear_anna.txt").read_text() == "…"


def test_migrate_once_and_again(bare: Cli, empty_database: str) -> None:
    status = bare.json("db", "status", STORE__URL=empty_database)
    assert status["current"] is False
    assert status["applied"] == []
    waiting = status["waiting"]
    said = bare.ok("db", "migrate", STORE__URL=empty_database)
    assert all(f"ran {name}" in said for name in waiting)
    assert "none of them now" in bare.ok("db", "migrate", STORE__URL=empty_database)
    assert bare.json("db", "status", STORE__URL=empty_database) == {
        "current": True,
        "applied": waiting,
        "waiting": [],
        "changed_or_unknown": [],
    }
    assert "the schema is current" in bare.ok("db", "status", STORE__URL=empty_database)


def test_a_migration_that_was_edited_afterwards(cli: Cli, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("update bridge_migrations set digest = 'other' where number = 2")
    assert cli.json("db", "status")["changed_or_unknown"] == ["0002_tables"]
    assert "changed after they ran" in cli.refused("db", "migrate")


@pytest.mark.parametrize(
    "command", [("status",), ("recommendations", "list"), ("db", "verify-audit"), ("explain", "R-1")]
)
def test_not_migrated_is_one_sentence(bare: Cli, empty_database: str, command: tuple[str, ...]) -> None:
    said = bare.refused(*command, STORE__URL=empty_database)
    assert len(said.splitlines()) == 1
    assert "run `ignition-bridge db migrate`" in said


def test_a_database_that_does_not_answer(bare: Cli) -> None:
    said = bare.refused("db", "migrate", STORE__URL="postgresql://anna:tulip77@127.0.0.1:1/bridge")
    assert len(said.splitlines()) == 1
    assert "Connection refused" in said
    assert "store.url (BRIDGE_STORE__URL)" in said


def test_a_wrong_password(bare: Cli, database_url: str) -> None:
    before, _, after = database_url.rpartition("@")
    wrong = f"{before.rpartition(':')[0]}:tulip77@{after}"
    said = bare.refused("status", STORE__URL=wrong)
    assert len(said.splitlines()) == 1
    assert "password authentication failed" in said


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgres:/anna:tulip77@somewhere", "the database URL cannot be read"),
        ("postgresql://anna:tu@lip77@127.0.0.1/bridge", "an @ in user or password is written %40"),
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(bare: Cli, url: str, sentence: str) -> None:
    said = bare.refused("status", STORE__URL=url)
    assert sentence in said
    assert "lip77" not in said


def test_publish_says_what_changed(cli: Cli, own_folder: Path) -> None:
    assert cli.ok("tags", "publish").splitlines()[-1] == "8 tags may be written; nothing changed"
    text = EXAMPLE.read_text(encoding="utf-8").replace("low = 100, high = 800", "low = 150, high = 800")
    (own_folder / "other.toml").write_text(
        text.replace('ids = ["REACTOR_{01..04}"]', 'ids = ["REACTOR_{01..03}"]'), encoding="utf-8"
    )
    lines = cli.ok("tags", "publish", CONFIG=str(own_folder / "other.toml")).splitlines()
    assert "changed   [default]REACTOR_01/ThroughputSetpoint: low 100.0 → 150.0" in lines
    assert "withdrawn [default]REACTOR_04/CoolingOn" in lines
    assert lines[-1] == "6 tags may be written; 5 of the list changed"


def test_publish_on_an_empty_list(unpublished: Cli) -> None:
    lines = unpublished.ok("tags", "publish").splitlines()
    assert any(
        line.startswith("listed    [default]REACTOR_01/ThroughputSetpoint: 100 to 800 kg/h") for line in lines
    )
    assert lines[-1] == "8 tags may be written; 8 of the list changed"


def test_tags_with_their_limits(cli: Cli) -> None:
    tags = {tag["tag_path"]: tag for tag in cli.json("tags", "list")["tags"]}
    assert tags["[default]REACTOR_02/Temperature"]["writable"] is False
    assert tags["[default]REACTOR_02/ThroughputSetpoint"]["limits"]["high"] == 800
    said = cli.ok("tags", "list")
    assert "[default]REACTOR_02/ThroughputSetpoint" in said
    assert f"{len(tags)} tags, 8 of them may be written" in said


def test_a_whole_audit_trail(cli: Cli, hands: Hands) -> None:
    hands.recommendation_in("executed")
    found = cli.json("db", "verify-audit")
    entries = hands.value("select count(*) from agent_audit")
    head = hands.value("select hash from agent_audit_head")
    assert found == {"verified": True, "entries": entries, "head": head, "problem": None}
    said = cli.ok("db", "verify-audit")
    assert f"{entries} entries" in said
    assert head in said


def test_a_forged_audit_trail(cli: Cli, hands: Hands) -> None:
    hands.recommendation_in("executed")
    with hands.owner.transaction():
        hands.owner.execute("set local session_replication_role = replica")
        hands.owner.execute("update agent_audit set actor = 'nobody' where seq = 10")
    said = cli("db", "verify-audit")
    assert said.code == 1
    assert "entry 10 was changed after it was written" in said.out
    found = cli("db", "verify-audit", "--json")
    assert found.code == 1
    assert '"verified": false' in found.out


def test_login_is_made_for_one_party_only(cli: Cli) -> None:
    """The new login is of one party and no other; its URL is alone on stdout, and a name is used once."""
    name = f"made_{os.getpid()}"
    done = cli("db", "login", name, "--role", "agent")
    url = done.out.strip()
    assert done.code == 0
    assert url.startswith(f"postgresql://{name}:")
    assert url not in done.err
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            member = connection.execute(
                "select pg_has_role('bridge_agent', 'member'), pg_has_role('bridge_operator', 'member')"
            )
            assert member.fetchone() == (True, False)
        again = cli.refused("db", "login", name, "--role", "operator")
        assert f"a role {name} exists already" in again
    finally:
        with psycopg.connect(cli.environment["BRIDGE_STORE__URL"], autocommit=True) as owner:
            owner.execute(sql(f"drop role {name}"))
