"""The way from a command to the database: which login acts for whom, and what to say when it does not get in."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bridge.domain.lifecycle import Role
from bridge.errors import FixConfiguration, StoreDown
from bridge.settings import DEFAULT_FILE, Settings
from bridge.storage import AnyDesk, Tables, database, on_lakebase, on_warehouse, tables
from bridge.store.connection import Database
from bridge.store.warehouse_connection import Warehouse


@asynccontextmanager
async def opened(settings: Settings, role: Role | None) -> AsyncIterator[Database]:
    """The PostgreSQL database, acting as one party (None: the owner), for one command."""
    check_urls(settings)
    db = database(settings, role)
    try:
        await _open(db, settings, role)
        yield db
    finally:
        await db.close()


@asynccontextmanager
async def at_tables(settings: Settings, role: Role | None) -> AsyncIterator[Tables]:
    """The agent's tables, on whichever store they are, acting as one party (None: the owner), for one command."""
    check_urls(settings)
    there = tables(settings, role)
    try:
        await _open(there.db, settings, role)
        yield there
    finally:
        await there.db.close()


@asynccontextmanager
async def at_desk(settings: Settings) -> AsyncIterator[AnyDesk]:
    """The operator's desk for one command."""
    async with at_tables(settings, Role.OPERATOR) as there:
        yield there.desk


async def _open(db: Database | Warehouse, settings: Settings, role: Role | None) -> None:
    try:
        await db.open()
    except StoreDown as problem:
        raise StoreDown(f"{_first_line(problem)}; {where_to_look(settings, role)}") from problem


def _first_line(problem: StoreDown) -> str:
    """libpq adds its own guess below; ours follows."""
    return str(problem).splitlines()[0]


def where_to_look(settings: Settings, role: Role | None) -> str:
    """Advice for a database that does not answer."""
    if on_warehouse(settings):
        return (
            "is it started, and is it reached from here? [databricks] and [store.warehouse] say where it is"
        )
    if on_lakebase(settings, role):
        return "does this machine reach the workspace, and port 5432 of the database? [databricks.lakebase] names it"
    return f"is it running? `ignition-bridge db serve` starts one; {url_key(settings, role)} says where it is"


def url_key(settings: Settings, role: Role | None) -> str:
    """Which setting says where and as whom a party connects."""
    if on_warehouse(settings):
        return "store.warehouse"
    if on_lakebase(settings, role):
        return "databricks.lakebase"
    if role is Role.OPERATOR and settings.store.operator_url.get_secret_value():
        return "store.operator_url (BRIDGE_STORE__OPERATOR_URL)"
    if role is None and settings.store.owner_url.get_secret_value():
        return "store.owner_url (BRIDGE_STORE__OWNER_URL)"
    return "store.url (BRIDGE_STORE__URL)"


def check_urls(settings: Settings) -> None:
    """Refuse a URL whose password holds a bare @: libpq would look for a host named after half of it."""
    for key in ("url", "operator_url", "owner_url"):
        parts = urlsplit(getattr(settings.store, key).get_secret_value())
        if parts.netloc.count("@") > 1:
            raise FixConfiguration(f"store.{key}: an @ in user or password is written %40")


def nothing_configured(named: Path | None) -> str:
    """What to say when there is no equipment: mostly because there is no file."""
    file = named or Path(os.environ.get("BRIDGE_CONFIG") or DEFAULT_FILE)
    if file.exists():
        return f"{file}: no equipment is configured; see bridge.example.toml for how"
    return f"{file}: no such file; copy bridge.example.toml to start from, or name yours with --config"
