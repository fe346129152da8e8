"""``python -m simulator workspace`` and ``workspace-fault``: the command lines."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from simulator.workspace.faults import CATALOGUE, FaultError, parse_fault


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


def workspace(
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes any free one.")] = 8443,
    database: Annotated[
        str | None,
        typer.Option(
            help="postgresql://SUPERUSER:PASSWORD@HOST:PORT/DB, the real server behind Lakebase; DB is what "
            "clients know as databricks_postgres. Without it there is no Lakebase."
        ),
    ] = None,
    lakebase_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where Lakebase answers; 0 takes any free one.")
    ] = 0,
    lakebase_tls: Annotated[
        Path | None,
        typer.Option(
            help="Demand TLS of Lakebase's clients; FOLDER/certificate.pem, made at start, is to be trusted."
        ),
    ] = None,
    native_login: Annotated[
        bool, typer.Option("--native-login", help="Let roles log in with a password of their own.")
    ] = False,
    connection_limit: Annotated[
        int, typer.Option(min=1, help="Connections to Lakebase at once; 104 is half a compute unit.")
    ] = 104,
    script: Annotated[
        Path | None, typer.Option(help="Spaces, jobs and serving endpoints, TOML or JSON.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault from the start, e.g. 'rate_limited 2s'.")
    ] = None,
    token_lifetime_s: Annotated[
        float, typer.Option(min=1.0, help="How long an OAuth token lasts, in seconds.")
    ] = 3600.0,
    genie_per_minute: Annotated[
        int, typer.Option(min=1, help="Questions a minute over all Genie spaces.")
    ] = 5,
    token: Annotated[
        str | None, typer.Option(help="The engineer's access token, by itself a random one.")
    ] = None,
    client_secret: Annotated[
        str | None, typer.Option(help="Of the service principal, by itself a random one.")
    ] = None,
    principal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further service principal; its client id and secret are under 'principals' of the ready line.",
        ),
    ] = None,
    warehouse: Annotated[
        bool, typer.Option("--warehouse/--no-warehouse", help="Have a SQL warehouse.")
    ] = True,
    warehouse_folder: Annotated[
        Path | None, typer.Option(help="Where its tables last; by itself they go with the workspace.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log refused logins and the like.")] = False,
) -> None:
    """A Databricks workspace: OAuth, Lakebase, Genie, Jobs, serving and a SQL warehouse, on loopback.

    Prints 'workspace ready http://127.0.0.1:PORT JSON' when it answers, the JSON with addresses and demo credentials.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # only here: it wants a database driver, a web server and a SQL parser, which a plant does without
    from simulator.workspace.start import Options, StartError, run

    options = Options(
        port=port,
        database=database,
        lakebase_port=lakebase_port,
        lakebase_tls=lakebase_tls,
        native_login=native_login,
        connection_limit=connection_limit,
        script=script,
        faults=tuple(fault or ()),
        token_lifetime_s=token_lifetime_s,
        genie_per_minute=genie_per_minute,
        token=token,
        client_secret=client_secret,
        principals=tuple(principal or ()),
        warehouse=warehouse,
        warehouse_folder=warehouse_folder,
    )
    try:
        run(options)
    except StartError as error:
        _fail(str(error))


def workspace_fault(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FAULT",
            help="'NAME [VERB:/path/pattern*] [xCOUNT | always] [SECONDSs] [=VALUE]', or: clear [NAME].",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Of the running workspace.")] = "http://127.0.0.1:8443",
    list_: Annotated[bool, typer.Option("--list", help="Show all faults.")] = False,
) -> None:
    """Set off a fault in a running workspace, or end one."""
    if list_:
        table = Table("fault", "what happens", "takes", "how often")
        for entry in CATALOGUE.values():
            table.add_row(entry.name, entry.meaning, _takes(entry.name), _often(entry.name))
        Console(width=None if sys.stdout.isatty() else 160).print(table)
        return
    import requests  # a plant does without

    text = " ".join(words or ())
    try:
        if text.split()[:1] == ["clear"]:
            name = text.removeprefix("clear").strip()
            answer = requests.delete(
                f"{host}/.simulator/faults", params={"name": name} if name else {}, timeout=10
            )
        else:
            parse_fault(text)
            answer = requests.post(f"{host}/.simulator/faults", json={"fault": text}, timeout=10)
        said = answer.json()
    except FaultError as error:
        _fail(str(error))
    except (requests.RequestException, ValueError) as error:
        _fail(f"no workspace answers at {host}: {error}; check --host")
    if answer.status_code != 200:
        _fail(str(said.get("message", said)))
    print(f"cleared {said['cleared']}" if "cleared" in said else f"{said['fault']}: {said['done']}")


def _takes(name: str) -> str:
    fault = CATALOGUE[name]
    parts = ["VERB:/path*"] if fault.group == "http" else []
    parts += [] if fault.seconds is None else [f"{fault.seconds:g}s"]
    parts += [] if fault.value is None else [f"={fault.value}"]
    return " ".join(parts)


def _often(name: str) -> str:
    fault = CATALOGUE[name]
    if fault.at_once:
        return "at once"
    return "until cleared" if fault.count is None else "once, xN or always"
