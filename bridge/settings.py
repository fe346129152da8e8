"""bridge.toml and the environment, read once into one frozen object, with every problem reported at once.

Precedence, highest first: arguments, environment (`BRIDGE_` prefix, `__` between levels, for example
`BRIDGE_STORE__URL`), bridge.toml, defaults. Unknown keys are errors: a misspelt limit is no limit.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.domain.anomaly import Severity
from bridge.domain.tag import DataType, conforms
from bridge.errors import ConfigError

DEFAULT_FILE = "bridge.toml"

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """Base of every section: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


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

    url: the bridge's own login, a member of bridge_agent. operator_url: the login that decisions from the
    command line use, a member of bridge_operator; empty means `url`. owner_url: the login that migrates
    and publishes limits; empty means `url`. Each session takes on its role with SET ROLE.
    """

    url: SecretStr = SecretStr("")
    operator_url: SecretStr = SecretStr("")
    owner_url: SecretStr = SecretStr("")
    pool_size: Annotated[int, Field(ge=2, le=50)] = 4
    connect_timeout_s: Positive = 5.0
    statement_timeout_s: Positive = 5.0
    retention_days: Annotated[int, Field(ge=1)] = 30


class OpcUaLinkSettings(Section):
    """One OPC UA server.

    namespace: URI that `address` entries without their own `nsu=` belong to. publishing_ms,
    sampling_ms: asked of the server; what it grants is logged when it differs. queue_size: values the
    server keeps per item between two publishes (0: as many as fit publishing ÷ sampling, at least 10).
    security: none, or a policy with SignAndEncrypt, never a silent fallback. certificate, private_key:
    ours, PEM or DER. server_certificate: the pinned server. deadline_s: our own limit on each call.
    reconnect_max_s: longest wait between two attempts. refresh_s: a wanted tag that was silent this long
    is read on purpose.
    """

    kind: Literal["opcua"] = "opcua"
    endpoint: Annotated[str, Field(pattern=r"^opc\.tcp://[^/\s]+(/.*)?$")]
    namespace: str = ""
    publishing_ms: Positive = 100.0
    sampling_ms: Annotated[float, Field(ge=-1, allow_inf_nan=False)] = 0.0
    queue_size: Annotated[int, Field(ge=0, le=10_000)] = 0
    security: Literal["none", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = "none"
    certificate: Path | None = None
    private_key: Path | None = None
    private_key_password: SecretStr = SecretStr("")
    server_certificate: Path | None = None
    username: str = ""
    password: SecretStr = SecretStr("")
    deadline_s: Positive = 3.0
    reconnect_max_s: Positive = 2.0
    refresh_s: Positive = 10.0
    buffer_values: Annotated[int, Field(ge=1000)] = 200_000

    @model_validator(mode="after")
    def _security_is_whole(self) -> Self:
        if self.security != "none":
            missing = [
                name
                for name in ("certificate", "private_key", "server_certificate")
                if getattr(self, name) is None
            ]
            if missing:
                raise ValueError(f"security {self.security} wants {', '.join(missing)} as well")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password belong together; give both or neither")
        return self


class GatewayLinkSettings(Section):
    """Commands that Ignition's own timer script executes; the bridge watches and never sends."""

    kind: Literal["gateway"] = "gateway"


LinkSettings = Annotated[OpcUaLinkSettings | GatewayLinkSettings, Field(discriminator="kind")]


class LimitSettings(Section):
    """Write limits of one set-point, in its unit; see `bridge.domain.limits.WriteLimits`."""

    low: Finite
    high: Finite
    max_step: Positive | None = None
    min_interval_s: Seconds = 0.0
    max_writes_per_hour: Annotated[int, Field(ge=1)] = 60
    max_age_s: Positive = 30.0
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    resolution: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    settle_s: Positive = 2.0

    @model_validator(mode="after")
    def _range_is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.tolerance >= self.high - self.low:
            raise ValueError(
                f"tolerance {self.tolerance:g} is as wide as the range: every read-back would pass"
            )
        return self


class TagSettings(Section):
    """One tag. `{equipment}` in tag and address stands for the equipment's id when used in a type."""

    tag: Annotated[str, Field(min_length=1)]
    address: Annotated[str, Field(min_length=1)]
    data_type: DataType = DataType.DOUBLE
    unit: str = ""
    link: str = ""
    stale_after_s: Positive = 60.0


class SetpointSettings(TagSettings):
    """A tag that may be written. `limits` is required: a writable tag without a range is refused.

    route: `link` writes over the tag's own link; `gateway` leaves the write to Ignition's timer script and
    only reads over the link.
    """

    limits: LimitSettings
    route: Literal["link", "gateway"] = "link"

    @model_validator(mode="after")
    def _limits_fit_the_type(self) -> Self:
        if self.data_type is DataType.BOOLEAN:
            if (self.limits.low, self.limits.high) != (0.0, 1.0):
                raise ValueError("a Boolean set-point has the range low = 0, high = 1")
        elif self.data_type is DataType.STRING:
            raise ValueError("a String tag cannot be a set-point")
        else:
            for value in (self.limits.low, self.limits.high):
                whole = int(value) if self.data_type not in (DataType.FLOAT, DataType.DOUBLE) else value
                wrong = conforms(whole, self.data_type)
                if wrong is not None or whole != value:
                    raise ValueError(
                        f"limit {value:g} does not fit {self.data_type}: {wrong or 'not a whole number'}"
                    )
        return self


class LevelSettings(Section):
    """One limit of a rule."""

    limit: Finite
    severity: Severity
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.8


class RuleSettings(Section):
    """A threshold rule on one signal. Levels rise in severity away from normal.

    direction: above and below compare the value; rising and falling its rate in units per minute, signed.
    deadband: how far back the value must come, in the signal's unit, before a level is left.
    on_delay_s, off_delay_s: how long, in source time, a crossing must last to count.
    """

    issue: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
    signal: str
    direction: Literal["above", "below", "rising", "falling"] = "above"
    levels: Annotated[tuple[LevelSettings, ...], Field(min_length=1)]
    deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    on_delay_s: Seconds = 0.0
    off_delay_s: Seconds = 0.0

    @model_validator(mode="after")
    def _levels_rise(self) -> Self:
        ups = self.direction in ("above", "rising")
        limits = [level.limit if ups else -level.limit for level in self.levels]
        ranks = [level.severity.rank for level in self.levels]
        if limits != sorted(set(limits)) or ranks != sorted(set(ranks)):
            raise ValueError(
                f"rule {self.issue}: levels must go outwards, each with a higher severity than the last"
            )
        return self


class ChangeSettings(Section):
    """One line of a remedy: exactly one of change_percent and value."""

    setpoint: str
    change_percent: Finite | None = None
    value: bool | Finite | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.change_percent is None) == (self.value is None):
            raise ValueError(f"set-point {self.setpoint}: give either change_percent or value")
        return self


class RemedySettings(Section):
    """What to do about one issue from one severity on (until a higher severity has its own remedy)."""

    issue: str
    severity: Severity
    action: Annotated[str, Field(min_length=1)]
    expected_outcome: str = ""
    writes: tuple[ChangeSettings, ...] = ()


class NormalRange(Section):
    """Where a signal usually is; the root-cause rules compare with it."""

    low: Finite
    high: Finite


class EquipmentType(Section):
    """Tags, rules and remedies that pieces of equipment share.

    `rules` and `remedies` left out means the shipped defaults for the signals and set-points that exist.
    """

    link: str = ""
    signals: dict[str, TagSettings] = {}
    setpoints: dict[str, SetpointSettings] = {}
    rules: tuple[RuleSettings, ...] | None = None
    remedies: tuple[RemedySettings, ...] | None = None
    normal: dict[str, NormalRange] = {}


class EquipmentSettings(Section):
    """Equipment by id. An id may hold one range such as REACTOR_{01..04}.

    `rules` replaces the type's rules of the same issue for these pieces of equipment only.
    """

    ids: Annotated[tuple[str, ...], Field(min_length=1)]
    type: str
    rules: tuple[RuleSettings, ...] = ()


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
    links: dict[str, LinkSettings] = {}
    types: dict[str, EquipmentType] = {}
    equipment: tuple[EquipmentSettings, ...] = ()

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
    secret = any(word in where for word in ("password", "url", "token", "secret"))
    shown = "" if secret or isinstance(found, dict | list | Section) else f" (found {found!r})"
    return f"{file}: {where}: {text}{shown}"
