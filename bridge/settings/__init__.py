"""bridge.toml and the environment, read once into one frozen object, with every problem reported at once.

Precedence, highest first: arguments, environment (`BRIDGE_` prefix, `__` between levels, for example
`BRIDGE_STORE__URL`), bridge.toml, defaults. Unknown keys are errors: a misspelt limit is no limit.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.errors import ConfigError
from bridge.settings.advisor import AdvisorSettings
from bridge.settings.base import Positive, Section
from bridge.settings.databricks import DatabricksSettings, LakebaseSettings
from bridge.settings.genie import GenieSettings
from bridge.settings.links import (
    LEAST_REMEMBERED,
    BrokerSettings,
    GatewayLinkSettings,
    LinkSettings,
    MqttLinkSettings,
    OpcUaLinkSettings,
    SparkplugLinkSettings,
)
from bridge.settings.outgoing import (
    BufferSettings,
    PublishOpcUaSettings,
    PublishSettings,
    PublishSparkplugSettings,
    PublishUserSettings,
)
from bridge.settings.plant import (
    ChangeSettings,
    EquipmentSettings,
    EquipmentType,
    LevelSettings,
    LimitSettings,
    NormalRange,
    RemedySettings,
    RuleSettings,
    SetpointSettings,
    TagSettings,
)
from bridge.settings.warehouse import WarehouseSettings

__all__ = [
    "DEFAULT_FILE",
    "LEAST_REMEMBERED",
    "AdvisorSettings",
    "AgentSettings",
    "BrokerSettings",
    "BufferSettings",
    "ChangeSettings",
    "DatabricksSettings",
    "EquipmentSettings",
    "EquipmentType",
    "GatewayLinkSettings",
    "GenieSettings",
    "LakebaseSettings",
    "LevelSettings",
    "LimitSettings",
    "LinkSettings",
    "LogSettings",
    "MqttLinkSettings",
    "NormalRange",
    "OpcUaLinkSettings",
    "PublishOpcUaSettings",
    "PublishSettings",
    "PublishSparkplugSettings",
    "PublishUserSettings",
    "RemedySettings",
    "RuleSettings",
    "Section",
    "SetpointSettings",
    "Settings",
    "SparkplugLinkSettings",
    "StoreSettings",
    "TagSettings",
    "WarehouseSettings",
    "load",
]

DEFAULT_FILE = "bridge.toml"


class AgentSettings(Section):
    """The agent process. Seconds throughout.

    poll_s: safety net when no notification comes. tend_s: how often expiry, deferral and leases are
    looked after. proposal_valid_s: how long a proposal lives when nobody stands behind it any more.
    approval_valid_s: how long an approval may wait for its write. lease_s: how long a claimed command is
    held; it must exceed command_deadline_s. after_executed_s, after_rejected_s, after_failed_s: how long
    after such an end (failed: also expired) the same lasting condition may be proposed again; at once
    when it has become more severe.
    """

    id: Annotated[str, Field(min_length=1, max_length=100)] = "operations-agent"
    site: str = "site"
    poll_s: Positive = 10.0
    tend_s: Positive = 5.0
    heartbeat_s: Positive = 5.0
    flush_s: Positive = 0.1
    proposal_valid_s: Positive = 1800.0
    approval_valid_s: Positive = 300.0
    command_deadline_s: Positive = 5.0
    lease_s: Positive = 15.0
    after_executed_s: Positive = 900.0
    after_rejected_s: Positive = 3600.0
    after_failed_s: Positive = 60.0
    max_in_flight: Annotated[int, Field(ge=1, le=200)] = 100
    queue_size: Annotated[int, Field(ge=1000)] = 200_000

    @model_validator(mode="after")
    def _lease_outlives_the_command(self) -> Self:
        if self.lease_s <= 2 * self.command_deadline_s:
            raise ValueError(
                "lease_s must be more than twice command_deadline_s: a lease shorter than the work runs it twice"
            )
        return self


class StoreSettings(Section):
    """Where the agent's tables are.

    kind: postgres is the database behind `url`; lakebase the one of [databricks.lakebase], whose login takes the
    place of `url`; warehouse the Delta tables behind the SQL warehouse of [store.warehouse]. url: the bridge's own
    login, a member of bridge_agent. operator_url: the login that decisions from the command line use, a member of
    bridge_operator; empty means `url`. owner_url: the login that migrates and publishes limits; empty means `url`.
    Each session takes on its role with SET ROLE.
    """

    kind: Literal["postgres", "lakebase", "warehouse"] = "postgres"
    url: SecretStr = SecretStr("")
    operator_url: SecretStr = SecretStr("")
    owner_url: SecretStr = SecretStr("")
    pool_size: Annotated[int, Field(ge=2, le=50)] = 4
    connect_timeout_s: Positive = 5.0
    statement_timeout_s: Positive = 5.0
    retention_days: Annotated[int, Field(ge=1)] = 30
    warehouse: WarehouseSettings | None = None

    @model_validator(mode="after")
    def _warehouse_is_said(self) -> Self:
        if self.kind == "warehouse" and self.warehouse is None:
            raise ValueError(
                'kind = "warehouse" wants a section [store.warehouse] with http_path, catalog and schema'
            )
        return self


class LogSettings(Section):
    """format: auto is colour for a person and JSON for a program."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Settings(BaseSettings):
    """The whole configuration, frozen; `bridge.plant.Plant.of` expands it to equipment and tags."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="BRIDGE_", env_nested_delimiter="__", env_ignore_empty=True
    )

    agent: AgentSettings = AgentSettings()
    store: StoreSettings = StoreSettings()
    log: LogSettings = LogSettings()
    databricks: DatabricksSettings = DatabricksSettings()
    buffer: BufferSettings = BufferSettings()
    publish: PublishSettings = PublishSettings()
    genie: GenieSettings = GenieSettings()
    advisor: AdvisorSettings = AdvisorSettings()
    links: dict[str, LinkSettings] = {}
    types: dict[str, EquipmentType] = {}
    equipment: tuple[EquipmentSettings, ...] = ()

    @property
    def remembered(self) -> int:
        """How many readings have to be recognised when persistent sessions deliver them again: all links together."""
        brokers = (link for link in self.links.values() if isinstance(link, MqttLinkSettings))
        return max(LEAST_REMEMBERED, sum(link.delivered_again for link in brokers))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file: bridge.toml arrives as init arguments, so the environment comes first."""
        return env_settings, init_settings


def load(path: Path | None = None) -> Settings:
    """Read bridge.toml (if it exists, or must when named) and the environment.

    Raises ConfigError with one line per problem: where it is, what was wanted, what was found.
    """
    named = path or (Path(os.environ["BRIDGE_CONFIG"]) if os.environ.get("BRIDGE_CONFIG") else None)
    file = named or Path(DEFAULT_FILE)
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
            raise ConfigError([f"{file}: not readable as TOML: {problem}"]) from problem
        except OSError as problem:
            raise ConfigError([f"{file}: cannot be read: {problem.strerror}"]) from problem
    elif named is not None:
        raise ConfigError([f"{named}: no such file; copy bridge.example.toml to start from"])
    strangers = _unknown_variables()
    if strangers:
        raise ConfigError(strangers)
    try:
        return Settings(**values)
    except ValidationError as problem:
        raise ConfigError([_problem(str(file), error) for error in problem.errors()]) from problem


_OUR_VARIABLES = ("BRIDGE_CONFIG", "BRIDGE_OPERATOR", "BRIDGE_IGNITION_TOKEN")


def _unknown_variables() -> list[str]:
    """A misspelt section in the environment would otherwise be a setting that silently does nothing."""
    sections = {f"BRIDGE_{name.upper()}" for name in Settings.model_fields}
    return [
        f"environment: {name}: unknown; sections are {', '.join(sorted(sections))}, with __ before each key"
        for name in sorted(os.environ)
        if name.startswith("BRIDGE_") and name not in _OUR_VARIABLES and name.split("__")[0] not in sections
    ]


def _problem(file: str, error: Any) -> str:
    """One line for a person; values of secrets are never shown."""
    where = ".".join(str(part) for part in error["loc"]) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"{file}: {where}: unknown key; see bridge.example.toml for the keys that exist"
    if error["type"] == "missing":
        hint = "; a writable tag needs limits with low and high" if where.endswith("limits") else ""
        return f"{file}: {where}: missing{hint}"
    text = error["msg"].removeprefix("Value error, ")
    found = error.get("input")
    secret = any(word in where for word in ("password", "url", "token", "secret", "users", "azure_key"))
    if "broker" in where and isinstance(found, str) and "@" in found:
        text, secret = "an address has no name and no password in it; use username and password", True
    if where.endswith("host") and isinstance(found, str) and "@" in found:
        secret = True
    shown = "" if secret or isinstance(found, dict | list | Section) else f" (found {found!r})"
    return f"{file}: {where}: {text}{shown}"
