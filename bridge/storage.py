"""Which database the agent's tables are in: settings in, `Database` out."""

from __future__ import annotations

from bridge.clock import SystemClock
from bridge.domain.lifecycle import Role
from bridge.errors import ConfigError, FixConfiguration
from bridge.settings import Settings
from bridge.store import postgres
from bridge.store.address import Where
from bridge.store.connection import Database


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
        raise FixConfiguration('this wants PostgreSQL, and store.kind = "warehouse" says that there is none')
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
    native = bool(lakebase.host and lakebase.password.get_secret_value())
    return LakebaseLogin(lakebase, None if native else workspace(settings.databricks, clock), clock)


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
