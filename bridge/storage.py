"""Where the agent's tables are: settings in; a `Database`, or the `Tables` on whichever store it is, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.domain.tag import Route, Tag
from bridge.errors import ConfigError, FixConfiguration
from bridge.settings import Settings
from bridge.store import postgres, queries
from bridge.store.address import Where
from bridge.store.connection import Database
from bridge.store.desk import Desk
from bridge.store.queries import Queries
from bridge.store.warehouse_connection import Warehouse
from bridge.store.warehouse_desk import WarehouseDesk
from bridge.store.warehouse_opening import delta_queries
from bridge.store.warehouse_opening import warehouse as opening

AnyDesk = Desk | WarehouseDesk


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The agent's tables as one party sees them, on PostgreSQL or behind a SQL warehouse; to be opened and closed."""

    db: Database | Warehouse
    named: Queries
    desk: AnyDesk


def on_warehouse(settings: Settings) -> bool:
    """Whether the agent's tables are Delta tables behind a SQL warehouse."""
    return settings.store.kind == "warehouse"


def tables(settings: Settings, role: Role | None) -> Tables:
    """The agent's tables on the configured store (None: as their owner), not connected yet."""
    if on_warehouse(settings):
        there, delta = warehouse(settings, role), delta_queries()
        return Tables(db=there, named=delta, desk=WarehouseDesk(there, delta, SystemClock()))
    db, named = database(settings, role), queries.load()
    return Tables(db=db, named=named, desk=Desk(db, named))


def warehouse(settings: Settings, role: Role | None) -> Warehouse:
    """The SQL warehouse as one of the parties sees it (None: the owner), not connected yet.

    FixConfiguration without [store.warehouse], ConfigError without a login to the workspace.
    """
    section = settings.store.warehouse
    if section is None:
        raise ConfigError(
            [
                "no SQL warehouse is configured: give a section [store.warehouse] with http_path, catalog and schema"
            ]
        )
    if section.ca_certificate is not None and not section.ca_certificate.is_file():
        raise ConfigError([f"store.warehouse.ca_certificate: {section.ca_certificate}: no such file"])
    from bridge.databricks.auth import login  # requests takes its time to import, and only this needs it

    host, identity = login(settings.databricks, SystemClock())
    return opening(settings.store, role, host=host, login=identity)


def beyond_the_store(settings: Settings, tags: Sequence[Tag]) -> list[str]:
    """What is configured and does not work on the configured store, one sentence each; empty on PostgreSQL."""
    if not on_warehouse(settings):
        return []
    problems = []
    for name in ("opcua", "sparkplug"):
        if getattr(settings.publish, name) is not None:
            problems.append(
                f"publish.{name}: the agent's tables cannot be published from a SQL warehouse; take the section out, "
                "or keep the tables in Lakebase"
            )
    if settings.advisor.kind != "rules":
        problems.append(
            f'advisor.kind = "{settings.advisor.kind}": advice cannot be kept on a SQL warehouse; set it to "rules", '
            "or keep the tables in Lakebase"
        )
    handed = [tag.path for tag in tags if tag.writable and tag.route is Route.GATEWAY]
    if handed:
        problems.append(
            f"{', '.join(handed)}: written by the gateway, which cannot execute commands from a SQL warehouse; give "
            "them a link of the bridge's own, or keep the tables in Lakebase"
        )
    return problems


def on_lakebase(settings: Settings, role: Role | None) -> bool:
    """Whether this party's login is the workspace's; a URL of its own comes first."""
    if settings.store.kind != "lakebase":
        return False
    own = {Role.OPERATOR: settings.store.operator_url, None: settings.store.owner_url}.get(role)
    return own is None or not own.get_secret_value()


def where(settings: Settings, role: Role | None) -> Where:
    """Where and as whom a party (None: the owner) connects. Whoever asks closes it, if it is no URL.

    FixConfiguration where the configuration does not say.
    """
    if settings.store.kind == "warehouse":
        raise FixConfiguration(
            'this works on PostgreSQL and on Lakebase only; store.kind = "warehouse" says that the tables are elsewhere'
        )
    if not on_lakebase(settings, role):
        return postgres.url_for(settings.store, role)
    if settings.store.url.get_secret_value():
        raise ConfigError(
            [
                'store.url is for store.kind = "postgres"; with "lakebase" [databricks.lakebase] says where: '
                "leave one of them out"
            ]
        )
    lakebase = settings.databricks.lakebase
    if lakebase is None:
        raise ConfigError(
            ['store.kind = "lakebase" wants a section [databricks.lakebase] with endpoint = "projects/…"']
        )
    if lakebase.ca_certificate is not None and not lakebase.ca_certificate.is_file():
        raise ConfigError([f"databricks.lakebase.ca_certificate: {lakebase.ca_certificate}: no such file"])
    from bridge.databricks.auth import workspace  # requests takes its time to import, and only this needs it
    from bridge.databricks.lakebase import LakebaseLogin

    clock = SystemClock()
    server = None if lakebase.by_itself else workspace(settings.databricks, clock)
    return LakebaseLogin(lakebase, server, clock)


def schema_of(settings: Settings) -> str:
    """The schema of the agent's tables; empty means wherever the login's own search path leads."""
    lakebase = settings.databricks.lakebase
    return lakebase.schema_name if settings.store.kind == "lakebase" and lakebase is not None else ""


def database(settings: Settings, role: Role | None, *, pool_size: int | None = None) -> Database:
    """The database as one of the parties sees it (None: the owner), not connected yet."""
    store = (
        settings.store if pool_size is None else settings.store.model_copy(update={"pool_size": pool_size})
    )
    return postgres.database(store, role, where=where(settings, role), schema=schema_of(settings))
