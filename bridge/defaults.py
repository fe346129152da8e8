"""Rules and remedies that are shipped: what a type gets that brings a temperature and says nothing else.

They hold for process equipment around 75 °C. A plant that differs writes its own in bridge.toml, where a
list of rules or remedies replaces these as a whole.
"""

from __future__ import annotations

from bridge.domain.anomaly import Severity
from bridge.settings import ChangeSettings, LevelSettings, RemedySettings, RuleSettings

RULES: tuple[RuleSettings, ...] = (
    RuleSettings(
        issue="high_temperature",
        signal="temperature",
        direction="above",
        levels=(
            LevelSettings(limit=85.0, severity=Severity.MEDIUM, confidence=0.85),
            LevelSettings(limit=90.0, severity=Severity.HIGH, confidence=0.90),
            LevelSettings(limit=95.0, severity=Severity.CRITICAL, confidence=0.95),
        ),
        deadband=2.0,
        on_delay_s=2.0,
        off_delay_s=5.0,
    ),
)

# Cooling goes on from the 25 % step upwards, so also at 50 %: taking it away when the temperature is
# worse would be a remedy that no operator understands.
REMEDIES: tuple[RemedySettings, ...] = (
    RemedySettings(
        name="reduce_throughput_10",
        issue="high_temperature",
        severity=Severity.MEDIUM,
        action="Reduce throughput by 10 %",
        expected_outcome="Temperature falls below 85 °C within a few minutes",
        writes=(ChangeSettings(setpoint="throughput", change_percent=-10),),
    ),
    RemedySettings(
        name="reduce_throughput_25_and_cool",
        issue="high_temperature",
        severity=Severity.HIGH,
        action="Reduce throughput by 25 % and switch cooling on",
        expected_outcome="Temperature falls below 85 °C within a few minutes",
        writes=(
            ChangeSettings(setpoint="throughput", change_percent=-25),
            ChangeSettings(setpoint="cooling", value=True),
        ),
    ),
    RemedySettings(
        name="reduce_throughput_50_and_cool",
        issue="high_temperature",
        severity=Severity.CRITICAL,
        action="Reduce throughput by 50 % and switch cooling on",
        expected_outcome="Temperature falls below 90 °C within a few minutes",
        writes=(
            ChangeSettings(setpoint="throughput", change_percent=-50),
            ChangeSettings(setpoint="cooling", value=True),
        ),
    ),
)
