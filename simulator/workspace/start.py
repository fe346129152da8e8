"""Puts the workspace together from its options and serves it until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import secrets
import signal
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from simulator.workspace.answers import Answer, Asked
from simulator.workspace.clock import Clock
from simulator.workspace.control import PREFIX, Control
from simulator.workspace.faults import Active, FaultError, Faults, parse_fault
from simulator.workspace.front import Front
from simulator.workspace.identity import Identities
from simulator.workspace.lakebase import Lakebase
from simulator.workspace.lakebase_roles import Roles
from simulator.workspace.scripts import DEMO, ScriptError, read_script
from simulator.workspace.server import WebServer
from simulator.workspace.sql import Engine, LakebaseEngine
from simulator.workspace.workspace import WarehouseDoor, Workspace

_THREADS: Final = 64  # statements and logins that wait at the same time


class StartError(Exception):
    """It cannot start; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """As the command line has them."""

    port: int
    database: str | None
    lakebase_port: int
    lakebase_tls: Path | None
    native_login: bool
    connection_limit: int
    script: Path | None
    faults: tuple[str, ...]
    token_lifetime_s: float
    genie_per_minute: int
    token: str | None
    client_secret: str | None
    principals: tuple[str, ...]
    warehouse: bool
    warehouse_folder: Path | None


def run(options: Options) -> None:
    """Serve until SIGINT or SIGTERM. Raises ``StartError``."""
    try:
        with contextlib.ExitStack() as stack:
            made, server = _made(options, stack)
            asyncio.run(_serve(server, made, [parse_fault(text) for text in options.faults]))
    except (FaultError, ScriptError, ValueError) as error:
        raise StartError(str(error)) from error
    except psycopg.Error as error:
        raise StartError(f"--database cannot be prepared: {str(error).strip()}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"port {options.port} or {options.lakebase_port} is taken; choose another with --port or "
                "--lakebase-port"
            ) from error
        raise StartError(f"cannot start: {error}") from error


def _made(options: Options, stack: contextlib.ExitStack) -> tuple[Workspace, WebServer]:
    read = read_script(options.script or DEMO)
    for text in options.faults:
        parse_fault(text)  # before anything is begun
    clock, faults = Clock(), Faults()
    identities = Identities(clock, faults, options.token_lifetime_s, more=options.principals)
    identities.use(pat=options.token, client_secret=options.client_secret)
    lakebase = Lakebase(clock, identities.engineer.user_name, native_login=options.native_login)
    if options.database is not None:
        lakebase.roles = Roles(url=options.database)
        stack.callback(lakebase.roles.close)
        lakebase.front = Front(
            lakebase.roles.behind(),
            lakebase.authenticate,
            port=options.lakebase_port,
            limit=options.connection_limit,
            tls=None if options.lakebase_tls is None else _tls(options.lakebase_tls),
        )
        lakebase.roles.prepare(identities.engineer.user_name)
    server = WebServer(port=options.port, clock=clock)
    stack.callback(server.close)
    host = server.open()
    engines, door = stack.enter_context(_engines(options, identities))
    made = Workspace(
        host=host,
        clock=clock,
        faults=faults,
        identities=identities,
        script=read,
        lakebase=lakebase,
        engines=engines,
        door=door,
        genie_per_minute=options.genie_per_minute,
    )
    return made, server


def _tls(folder: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1, made anew at each start; clients trust the file itself."""
    from simulator.workspace.warehouse.certificate import make

    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = make(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextmanager
def _engines(
    options: Options, identities: Identities
) -> Iterator[tuple[dict[str, Engine], WarehouseDoor | None]]:
    """Where SQL can run, and the warehouse's door."""
    database, folder = options.database, options.warehouse_folder
    with contextlib.ExitStack() as stack:
        engines: dict[str, Engine] = {}
        if database is not None:
            engines["lakebase"] = tables = LakebaseEngine(database)
            stack.callback(tables.close)
        if not options.warehouse:
            yield engines, None
            return
        # it wants the connector's wheel, which nothing else here does
        from simulator.workspace.doors import Door, WarehouseEngine
        from simulator.workspace.warehouse import serve

        url = "" if database is None or folder is not None else stack.enter_context(_scratch(database))
        served = stack.enter_context(serve(folder, database_url=url, accepts=identities.accepts))
        engines["warehouse"] = WarehouseEngine(served)
        yield engines, Door(served)


@contextmanager
def _scratch(url: str) -> Iterator[str]:
    """An empty database beside the Lakebase one, for the warehouse's tables; gone at the end.

    Its name is this process's alone: another workspace before the same database keeps its own tables.
    """
    parts = urlsplit(url)
    name = f"{parts.path.strip('/')[:40]}_warehouse_{secrets.token_hex(4)}"
    drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    try:
        yield urlunsplit(parts._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
            connection.execute(drop)


async def _serve(server: WebServer, made: Workspace, faults: list[Active]) -> None:
    """Until SIGINT or SIGTERM."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="workspace"))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    control = Control(made)

    async def respond(asked: Asked) -> Answer:
        inside = asked.path.startswith(PREFIX)
        return await (control.answer(asked) if inside else made.answer(asked))

    server.respond = respond
    front = made.lakebase.front
    if front is not None:
        await front.start()
    serving = asyncio.create_task(server.run())
    try:
        for each in faults:
            made.begin(each)
        print(f"workspace ready {made.host} {json.dumps(made.introduction())}", flush=True)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    finally:
        made.statements.forget()
        if front is not None:
            await front.stop()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
