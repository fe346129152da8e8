"""``python -m simulator gateway``: the command line, the orders on stdin, and the words on stdout."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import gc
import json
import logging
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from simulator.gateway.faults import CATALOGUE, FaultError, Faults
from simulator.gateway.gateway import (
    Gateway,
    GatewayError,
    GatewayOptions,
    database_names,
    endpoints,
    timer_8_1,
)
from simulator.gateway.perspective.security import DEMO_USERS, UserError, read_user
from simulator.gateway.project import ProjectError, read_project
from simulator.gateway.scripting import JDBC_JAR, JYTHON_JAR, Machine, ScriptDied, ScriptError, jdbc_source
from simulator.gateway.tag_file import TagFileError, read_tags
from simulator.gateway.tags import TagError
from simulator.opcua.device import quiet_library

ORDERS = (
    "orders are: fault NAME [PATH], clear NAME [PATH], timer NAME, call FUNCTION [JSON LIST], "
    "read PATH, write PATH JSON, expire USER, sessions"
)


class Target(StrEnum):
    V8_1 = "8.1"
    V8_3 = "8.3"


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


def gateway(
    project: Annotated[Path, typer.Option(help="The built project, a zip.")],
    tags: Annotated[Path, typer.Option(help="The tag export to import beside it.")],
    database: Annotated[
        str, typer.Option(help="postgresql://USER:PASSWORD@HOST:PORT/DB, a login that is a bridge_operator.")
    ],
    plant: Annotated[
        str | None, typer.Option(help="The plant's OPC UA endpoint, for tags of source opc.")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="NAME=ENDPOINT, a further OPC UA connection by the name that tags have for it."),
    ] = None,
    opcua_port: Annotated[
        int, typer.Option(min=0, help="Where tags are exposed; 0 takes any free port.")
    ] = 62541,
    target: Annotated[Target, typer.Option(help="Which Ignition to behave as.")] = Target.V8_3,
    project_name: Annotated[str | None, typer.Option(help="By itself the zip's name.")] = None,
    provider: Annotated[str, typer.Option(help="Tag provider to import into.")] = "default",
    database_name: Annotated[str, typer.Option(help="Name of the connection.")] = "Lakebase_Connection",
    tag_group: Annotated[
        list[str] | None, typer.Option(help="NAME=MS, the rate of a tag group; Default is 1000.")
    ] = None,
    timer: Annotated[
        list[str] | None, typer.Option(help="'NAME DELAY_MS BODY', the manual step of 8.1.")
    ] = None,
    hold_timers: Annotated[
        bool, typer.Option("--hold-timers", help="Run timers only when ordered to on stdin.")
    ] = False,
    fault: Annotated[list[str] | None, typer.Option(help=f"From the start: {', '.join(CATALOGUE)}.")] = None,
    hmi: Annotated[
        int | None,
        typer.Option(min=0, help="Serve the project's Perspective pages here; 0 takes any free port."),
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option(help="NAME:PASSWORD:ROLE,ROLE, instead of operator, engineer, viewer.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log timers and connections too.")] = False,
    java: Annotated[str, typer.Option(hidden=True)] = "java",
    jython_jar: Annotated[Path, typer.Option(hidden=True)] = JYTHON_JAR,
    jdbc_jar: Annotated[Path, typer.Option(hidden=True)] = JDBC_JAR,
) -> None:
    """An Ignition gateway's stand-in: the built project on real Jython, JDBC and OPC UA.

    Prints 'gateway ready ENDPOINT …' when scripts run and tags show values; logs, also the scripts', go to
    stderr. Reads orders from stdin: fault, clear, timer, call, read, write, expire, sessions.
    """
    try:
        options = _options(
            GatewayOptions(
                project=read_project(project, target=target.value, name=project_name),
                tags=read_tags(tags, provider=provider),
                databases={database_name: database},
                target=target.value,
                plant=plant,
                devices=_devices(device or []),
                opcua_port=opcua_port,
                tag_groups=dict(_tag_group(text) for text in tag_group or ()),
                hold_timers=hold_timers,
                machine=Machine(java=java, jython=jython_jar, jdbc=jdbc_jar),
                faults=tuple(fault or ()),
                hmi_port=hmi,
                users=tuple(map(read_user, user)) if user else DEMO_USERS,
            ),
            timer or [],
        )
        _log_to_stderr(verbose=verbose)
        asyncio.run(_serve(options))
    except (
        ProjectError,
        TagFileError,
        ScriptError,
        FaultError,
        GatewayError,
        UserError,
        ValueError,
    ) as error:
        _fail(str(error))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            taken = f"port {opcua_port} is taken; choose another with --opcua-port"
            _fail(taken if hmi is None else f"{taken}, or port {hmi}: choose another with --hmi")
        _fail(f"cannot start: {error}")


def _log_to_stderr(*, verbose: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    quiet_library()
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _options(options: GatewayOptions, timers: list[str]) -> GatewayOptions:
    """The options once more, with everything checked that can be checked before anything runs."""
    options.machine.check()
    for text in options.faults:
        Faults().begin(text)
    for url in options.databases.values():
        jdbc_source(url)
    unknown = database_names(options.project) - set(options.databases)
    if unknown:
        raise GatewayError(
            f"queries name connections that are not there: {', '.join(sorted(unknown))}; see --database-name"
        )
    added = tuple(timer_8_1(text) for text in timers)
    names = [one.name for one in (*options.project.timers, *added)]
    if len(set(names)) != len(names):
        raise GatewayError(f"two timers have the same name: {', '.join(sorted(names))}")
    endpoints(options)
    project = dataclasses.replace(options.project, timers=(*options.project.timers, *added))
    return dataclasses.replace(options, project=project)


def _devices(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, endpoint = text.partition("=")
        if not equals or not name or not endpoint.startswith("opc.tcp://"):
            raise GatewayError(f"--device wants NAME=opc.tcp://HOST:PORT/PATH, found {text!r}")
        if name in found:
            raise GatewayError(f"--device {name!r} is given twice")
        found[name] = endpoint
    return found


def _tag_group(text: str) -> tuple[str, int]:
    name, equals, rate_ms = text.rpartition("=")
    if not equals or not name or not rate_ms.isdigit() or int(rate_ms) == 0:
        raise GatewayError(f"--tag-group wants NAME=MS, found {text!r}")
    return name, int(rate_ms)


async def _serve(options: GatewayOptions) -> None:
    gc.disable()  # nothing of what is built now is garbage, and it stays
    running = Gateway(options)
    endpoint = await running.open()
    gc.freeze()
    gc.enable()
    stop, ready = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(running.run(ready)), asyncio.create_task(_attend(running, ready, endpoint))]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({tasks[0], stopping}, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            try:
                tasks[0].result()
            except* (ScriptError, OSError) as group:
                raise _first(group) from None
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
        await running.close()


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _attend(running: Gateway, ready: asyncio.Event, endpoint: str) -> None:
    """Say that we are ready, then follow orders side by side, in the order in which they come."""
    await ready.wait()
    project = running.options.project
    print(
        f"gateway ready {endpoint} project {project.name} timers {len(project.timers)} "
        f"queries {len(project.queries)} tags {len(running.options.tags)}"
        + (f" hmi {running.hmi_address}" if running.hmi_address else ""),
        flush=True,
    )
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    except (OSError, ValueError):  # no pipe, no orders: started by hand or with stdin from a file
        return
    while line := (await orders.readline()).decode():
        if line.strip():
            await _follow(running, line.strip())


async def _follow(running: Gateway, line: str) -> None:
    name, _, rest = line.partition(" ")
    try:
        answer = await _obey(running, name, rest.strip())
    except (FaultError, TagError, ScriptDied, GatewayError, ValueError) as error:
        answer = {"error": str(error)}
    print(f"done {line} {json.dumps(answer, default=str)}", flush=True)


async def _obey(running: Gateway, name: str, rest: str) -> dict[str, Any]:
    match name:
        case "fault":
            running.begin_fault(rest)
            return {}
        case "clear":
            running.clear_fault(rest)
            return {}
        case "timer":
            return _told(await running.scripts.run_timer(rest))
        case "call":
            function, _, arguments = rest.partition(" ")
            given = json.loads(arguments) if arguments else []
            return _told(await running.scripts.call(function, given))
        case "read":
            found = running.store.read(rest)
            return {"value": found.value, "quality": str(found.quality), "at_utc": found.at_utc.isoformat()}
        case "write":
            path, _, value = rest.rpartition(" ")
            return {"quality": str((await running.store.write([(path, json.loads(value))]))[0])}
        case "expire" | "sessions":
            if running.preview is None:
                raise GatewayError("there are no Perspective sessions; start the gateway with --hmi")
            if name == "sessions":
                return {"sessions": running.preview.told()}
            return {"ended": running.preview.expire(rest)}
    raise GatewayError(ORDERS)


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "done"}
