"""Is the embedded database there when asked for, safe while it runs, and whole when it comes back?"""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from rig import connect

from bridge.errors import AccessDenied, FixConfiguration, StoreDown
from bridge.store import embedded
from bridge.store.connection import Database


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/")[0])


def test_it_is_made_runs_stops_and_comes_back_with_its_data(database_folder: Path) -> None:
    """A new folder becomes a database; after the block nothing listens; served again, rows and password are there."""
    folder = database_folder / "not yet" / "there"
    with embedded.serve(folder) as url:
        with connect(url) as connection:
            connection.execute("create table kept (x integer)")
            connection.execute("insert into kept values (7)")
            version = connection.execute("show server_version_num").fetchone()
            durable = connection.execute("show fsync").fetchone()
        port = port_of(url)
        keeper = folder / "owner.password"
        assert stat.S_IMODE(keeper.stat().st_mode) == 0o600
        password = keeper.read_text().strip()
        assert password in url
    assert version is not None
    assert version["server_version_num"].startswith("16")
    assert durable == {"fsync": "on"}
    with pytest.raises(psycopg.OperationalError):
        connect(url)
    with embedded.serve(folder, port) as again:
        assert again == url
        with connect(again) as connection:
            assert connection.execute("select x from kept").fetchall() == [{"x": 7}]
        with (
            pytest.raises(FixConfiguration, match=f"port {port} on 127.0.0.1 is taken"),
            embedded.serve(folder, port),
        ):
            pass
        with pytest.raises(StoreDown, match="did not start"), embedded.serve(folder):
            pass
        with connect(again) as connection:  # the second attempt has not hurt the first
            assert connection.execute("select x from kept").fetchall() == [{"x": 7}]


def test_it_stops_when_the_block_fails(database_folder: Path) -> None:
    """An exception inside the block must end the server, too."""
    kept: list[str] = []

    def fail() -> None:
        with embedded.serve(database_folder / "failing") as url:
            kept.append(url)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(psycopg.OperationalError):
        connect(kept[0])


def test_a_port_that_is_taken_is_refused_by_name(tmp_path: Path) -> None:
    """A port on which something listens must be told with its number, before anything is made."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(FixConfiguration, match=f"port {port} on 127.0.0.1 is taken"),
            embedded.serve(tmp_path / "db", port),
        ):
            pass
    assert not (tmp_path / "db" / "PG_VERSION").exists()


def _put_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("do not touch")


def _put_other_version(folder: Path) -> None:
    folder.mkdir()
    (folder / "PG_VERSION").write_text("15\n")


def _put_no_password(folder: Path) -> None:
    folder.mkdir()
    (folder / "PG_VERSION").write_text("16\n")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_put_file, "holds other files and no database"),
        (_put_other_version, "holds a database of PostgreSQL 15; this bridge serves 16"),
        (_put_no_password, "owner.password is missing"),
        (lambda folder: folder.write_text("a file"), "is a file"),
    ],
)
def test_a_folder_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, prepare: Callable[[Path], object], words: str
) -> None:
    """Foreign files, another version, a lost password and a plain file must each be refused by name."""
    folder = tmp_path / "db"
    prepare(folder)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(FixConfiguration, match=words), embedded.serve(folder):
        pass
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("secret", ["", ":wrong"])
def test_nobody_gets_in_without_the_password(postgres_url: str, secret: str) -> None:
    """TCP must not trust: no password and a wrong one are both refused."""
    host = postgres_url.split("@")[1]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://postgres{secret}@{host}", connect_timeout=5)


async def test_a_wrong_password_is_something_to_mend_and_not_to_wait_for(postgres_url: str) -> None:
    """A refused login must be AccessDenied, so that nobody tries it again and again."""
    host = postgres_url.split("@")[1]
    database = Database(
        f"postgresql://postgres:wrong@{host}",
        role=None,
        size=2,
        connect_timeout_s=5.0,
        statement_timeout_s=5.0,
    )
    with pytest.raises(AccessDenied, match="refuses this login"):
        await database.open()


def test_it_listens_on_this_machine_only(postgres_url: str) -> None:
    """The server must be bound to 127.0.0.1 and to no socket in the file system."""
    with connect(postgres_url) as connection:
        rows = connection.execute(
            "select name, setting from pg_settings where name in ('listen_addresses', 'unix_socket_directories')"
        ).fetchall()
    assert {row["name"]: row["setting"] for row in rows} == {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
    }
