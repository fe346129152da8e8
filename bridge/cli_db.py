"""`ignition-bridge db …` and `tags …`: what the owner of the database does."""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys
import threading
import warnings
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated
from urllib.parse import quote, urlsplit

import typer
from rich.table import Table

from bridge import show
from bridge.access import at_desk, at_tables, opened
from bridge.clock import SystemClock
from bridge.domain.audit import ChainState
from bridge.domain.lifecycle import Role
from bridge.domain.tag import Tag
from bridge.errors import FixConfiguration, LostRace
from bridge.plant import Plant
from bridge.settings import Settings
from bridge.storage import on_lakebase, on_warehouse, schema_of
from bridge.store.connection import Row
from bridge.store.desk import limit_values, publish_limits
from bridge.store.grants import DEFAULT_SCHEMA, grants_script
from bridge.store.migrate import SchemaStatus, migrate, schema_status
from bridge.store.warehouse_connection import Warehouse
from bridge.store.warehouse_migrate import migrate_warehouse, publish_on_warehouse, warehouse_status
from bridge.terminal import err, load_plant, load_settings, out, print_json

db = typer.Typer(
    no_args_is_help=True, help="The database: serve one here, migrate it, look at it, verify its audit."
)
tags = typer.Typer(
    no_args_is_help=True, help="The allow-list: which tags may be written, and within which limits."
)

AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]


@db.command()
def serve(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where the data are kept; made when it does not exist.")
    ] = Path(".bridge/db"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 0,
) -> None:
    """Run an embedded PostgreSQL in the foreground; prints its owner's URL, alone on stdout, when it is ready.

    Ctrl-C or SIGTERM stops it; the data stay in the folder. The URL holds a password.
    """
    asked, ended = threading.Event(), threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        """Remembered while the server starts: a data folder that is left half made serves nobody."""
        asked.set()
        ended.set()

    def child_ended(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # platformdirs, about a folder nobody uses here
        from bridge.store.embedded import serve as serve_database  # only this command needs it
    try:
        with serve_database(folder, port) as url:
            signal.signal(signal.SIGCHLD, child_ended)  # from here on the server is the only child
            if not asked.is_set():
                sys.stdout.write(url + "\n")
                sys.stdout.flush()
                err().print(f"the database in {folder.resolve()} is ready; Ctrl-C stops it, the data stay")
                ended.wait()
    except subprocess.CalledProcessError:
        if not asked.is_set():
            raise
        # Ctrl-C reached initdb as well, which then takes its half-made folder away by itself.
    if asked.is_set():
        err().print("the database has stopped")
        return
    err().print(
        f"the database server ended by itself; {folder.resolve() / 'server.log'} says why", style="red"
    )
    raise typer.Exit(1)


class Target(StrEnum):
    """A database to migrate."""

    EMBEDDED = "embedded"
    LAKEBASE = "lakebase"
    WAREHOUSE = "warehouse"


_KIND = {Target.EMBEDDED: "postgres", Target.LAKEBASE: "lakebase", Target.WAREHOUSE: "warehouse"}


@db.command("migrate")
def migrate_database(
    ctx: typer.Context,
    target: Annotated[
        Target | None,
        typer.Option(
            help="embedded: behind store.url; lakebase: [databricks.lakebase]; warehouse: [store.warehouse]. "
            "By itself, store.kind."
        ),
    ] = None,
) -> None:
    """Bring the schema to this version, as the owner. Runs only what has not run yet, and needs no superuser."""
    settings = load_settings(ctx)
    if target is not None:
        store = settings.store.model_copy(update={"kind": _KIND[target]})
        settings = settings.model_copy(update={"store": store})

    async def work() -> tuple[tuple[str, ...], SchemaStatus]:
        async with at_tables(settings, None) as there:
            if isinstance(there.db, Warehouse):
                return await migrate_warehouse(there.db), await warehouse_status(there.db)
            return await migrate(there.db), await schema_status(there.db)

    ran, after = asyncio.run(work())
    console = out()
    for name in ran:
        console.print(f"ran {name}", style="green")
    console.print(
        f"the schema is current: {len(after.applied)} migrations, {len(ran) or 'none'} of them now"
        if after.current
        else f"the schema is not current: {after}"
    )


@db.command()
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Say which migrations ran and which wait."""
    settings = load_settings(ctx)

    async def work() -> SchemaStatus:
        async with at_tables(settings, None) as there:
            if isinstance(there.db, Warehouse):
                return await warehouse_status(there.db)
            return await schema_status(there.db)

    found = asyncio.run(work())
    if as_json:
        print_json(
            {
                "current": found.current,
                "applied": found.applied,
                "waiting": found.waiting,
                "changed_or_unknown": found.edited,
            }
        )
        return
    table = Table("migration", "state", box=show.BOX)
    for name in found.applied:
        table.add_row(name, "ran" if name not in found.edited else "changed after it ran")
    for name in found.waiting:
        table.add_row(name, "waits", style="yellow")
    for name in found.edited:
        if name not in found.applied:
            table.add_row(name, "ran here, and is unknown to this version", style="red")
    console = out()
    console.print(table)
    console.print(
        "the schema is current"
        if found.current
        else "the schema is not current; run `ignition-bridge db migrate`"
        if not found.edited
        else "migrations only go forward: take the version of the bridge that knows them, or add a new file"
    )


class Party(StrEnum):
    """Whom a login acts for."""

    AGENT = "agent"
    OPERATOR = "operator"
    READER = "reader"


@db.command()
def login(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The new login, for example bridge_svc or ignition.")],
    party: Annotated[
        Party, typer.Option("--role", help="What it may do: propose and execute, decide, or read.")
    ],
) -> None:
    """Make a login for the bridge, for Ignition or for a dashboard; prints its URL, alone on stdout.

    The password is made here, shown this once and stored nowhere. Run after `db migrate`, as the owner.
    """
    settings = load_settings(ctx)
    if on_lakebase(settings, None):
        raise FixConfiguration(
            "on Lakebase a login is an identity of the workspace: `ignition-bridge db grants` prints what gives it its "
            "role (a native role with a password is made by the project's owner, and named there like any other)"
        )
    password = secrets.token_urlsafe(24)

    async def work() -> None:
        async with opened(settings, None) as database:
            await database.create_login(name, password, Role(f"bridge_{party.value}"))

    try:
        asyncio.run(work())
    except LostRace as problem:
        raise FixConfiguration(
            f"a role {name} exists already; choose another name, or let the owner give that one a password"
        ) from problem
    owner = urlsplit((settings.store.owner_url or settings.store.url).get_secret_value())
    place = owner.netloc.rpartition("@")[2]
    sys.stdout.write(
        owner._replace(netloc=f"{quote(name, safe='')}:{quote(password)}@{place}").geturl() + "\n"
    )
    err().print(f"{name} acts as bridge_{party.value}; this URL is shown once and holds its password")


@db.command()
def grants(
    ctx: typer.Context,
    owner: Annotated[str, typer.Option(help="Who migrates and owns the tables.")],
    agent: Annotated[str, typer.Option(help="Whom the bridge logs in as.")],
    operator: Annotated[str, typer.Option(help="Whom Ignition, or people who decide, log in as.")],
    reader: Annotated[str, typer.Option(help="Whom dashboards log in as; empty: nobody.")] = "",
) -> None:
    """Print the SQL with which a Lakebase administrator gives these logins their roles; connects to nothing.

    A login is a person's name in the workspace, a service principal's application id, or a native PostgreSQL role.
    """
    settings = load_settings(ctx)
    if on_warehouse(settings):
        raise FixConfiguration(
            "these are roles of PostgreSQL, and store.kind is warehouse: there, grant on the schema in Unity Catalog, "
            "and give the agent's principal no MODIFY on `approvals`"
        )
    if operator in (owner, agent):
        raise FixConfiguration(
            f"--operator: {operator} would propose and approve alike; decisions want a login of their own"
        )
    names = {"owner": owner, "agent": agent, "operator": operator, "reader": reader}
    sys.stdout.write(grants_script(names, schema=schema_of(settings) or DEFAULT_SCHEMA))


@db.command("verify-audit")
def verify_audit(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Walk the whole audit chain and compare it with its head; exit code 1 when it is broken."""
    settings = load_settings(ctx)

    async def work() -> ChainState:
        async with at_desk(settings) as desk:
            return await desk.verify_audit()

    state = asyncio.run(work())
    if as_json:
        print_json(
            {
                "verified": not state.problem,
                "entries": state.seq,
                "head": state.hash,
                "problem": state.problem or None,
            }
        )
    elif state.problem:
        out().print(
            f"the audit trail is broken: {state.problem}; whole up to entry {state.seq}", style="bold red"
        )
    else:
        console = out()
        console.print(f"the audit trail is whole: {state.seq} entries, head {state.hash[:12]}", style="green")
        console.print(f"keep this elsewhere to compare later: {state.seq} {state.hash}", soft_wrap=True)
    if state.problem:
        raise typer.Exit(1)


@tags.command()
def publish(ctx: typer.Context) -> None:
    """Make the database's allow-list equal to the configured one, as the owner, and say what changed."""
    settings, plant = load_plant(ctx)
    before, after = asyncio.run(_publish(settings, plant))
    console = out()
    changes = list(_changes(before, plant.writable))
    for line in changes:
        console.print(line, soft_wrap=True)
    console.print(
        f"{len(after)} tags may be written; "
        + (f"{len(changes)} of the list changed" if changes else "nothing changed")
    )


async def _publish(settings: Settings, plant: Plant) -> tuple[list[Row], list[Row]]:
    async with at_tables(settings, None) as there:
        before = await there.desk.published_limits()
        if isinstance(there.db, Warehouse):
            await publish_on_warehouse(there.db, there.named, plant.writable, SystemClock())
        else:
            await publish_limits(there.db, there.named, plant.writable)
        return before, await there.desk.published_limits()


def _changes(before: list[Row], writable: tuple[Tag, ...]) -> list[str]:
    old = {row["tag_path"]: row for row in before}
    lines = []
    for tag in writable:
        wanted, row = limit_values(tag), old.pop(tag.path, None)
        if row is None:
            lines.append(f"listed    {tag.path}: {show.limits_in_words(tag)}")
        else:
            changed = [f"{key} {row[key]} → {value}" for key, value in wanted.items() if row[key] != value]
            if changed:
                lines.append(f"changed   {tag.path}: {', '.join(changed)}")
    return [*lines, *(f"withdrawn {path}" for path in old)]


@tags.command("list")
def list_tags(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show every configured tag, with the limits of those that may be written."""
    _, plant = load_plant(ctx)
    if as_json:
        print_json({"tags": [_tag_json(tag) for tag in plant.tags.values()]})
        return
    table = Table("tag", "link", "address", "type", "unit", "may be written", box=show.BOX)
    for tag in plant.tags.values():
        table.add_row(
            tag.path, tag.link, tag.address, tag.data_type.value, tag.unit, show.limits_in_words(tag)
        )
    out().print(table)
    out().print(f"{len(plant.tags)} tags, {len(plant.writable)} of them may be written")


def _tag_json(tag: Tag) -> dict[str, object]:
    return {
        "tag_path": tag.path,
        "equipment_id": tag.equipment_id,
        "link": tag.link,
        "route": tag.route.value,
        "address": tag.address,
        "data_type": tag.data_type.value,
        "unit": tag.unit,
        "signal": tag.signal,
        "setpoint": tag.setpoint,
        "writable": tag.writable,
        "limits": {
            key: value
            for key, value in limit_values(tag).items()
            if key not in ("tag_path", "equipment_id", "route", "data_type", "unit")
        }
        if tag.limits is not None
        else None,
    }
