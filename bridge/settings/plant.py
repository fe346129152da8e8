"""Equipment, tags, limits, rules and remedies as the control engineer writes them down."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bridge.domain.anomaly import Severity
from bridge.domain.tag import DataType, conforms
from bridge.settings.base import Finite, Positive, Seconds, Section


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
    """What to do about one issue from one severity on (until a higher severity has its own remedy).

    name: how an advisor may choose it; empty means issue and severity, as in high_temperature_medium. Several
    remedies of one issue and severity need names; rules propose the first of them.
    """

    name: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*)?$", max_length=100)] = ""
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
    signals: dict[str, TagSettings] = Field(default_factory=dict)
    setpoints: dict[str, SetpointSettings] = Field(default_factory=dict)
    rules: tuple[RuleSettings, ...] | None = None
    remedies: tuple[RemedySettings, ...] | None = None
    normal: dict[str, NormalRange] = Field(default_factory=dict)


class EquipmentSettings(Section):
    """Equipment by id. An id may hold one range such as REACTOR_{01..04}.

    `rules` replaces the type's rules of the same issue for these pieces of equipment only.
    """

    ids: Annotated[tuple[str, ...], Field(min_length=1)]
    type: str
    rules: tuple[RuleSettings, ...] = ()
