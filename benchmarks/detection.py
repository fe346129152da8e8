"""What the threshold rules cost: batched with numpy against the same rules row by row in plain Python."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from bridge.agent.detect import Detector
from bridge.detection.thresholds import TIME_STEP_S, Floats, ThresholdBank, ThresholdRule
from bridge.domain.reading import Quality, Reading
from bridge.plant import Plant
from bridge.settings import Settings

CHANNELS = 10_000
BATCHES = 40
RULE = ThresholdRule(limits=(85.0, 90.0, 95.0), deadband=2.0, on_delay_s=2.0, off_delay_s=5.0)
START_S = 1_700_000_000.0


class RowByRow:
    """The rules of `ThresholdBank` for one channel, as one would write them without arrays."""

    __slots__ = ("active", "level", "rule", "since_s", "time_s")

    def __init__(self, rule: ThresholdRule) -> None:
        self.rule = rule
        self.active = [False] * len(rule.limits)
        self.since_s: list[float | None] = [None] * len(rule.limits)
        self.level = -1
        self.time_s = -np.inf

    def update(self, value: float, time_s: float) -> bool:
        """Take in one reading and say whether the level changed."""
        if time_s < self.time_s:
            return False
        self.time_s = time_s
        rule, before = self.rule, self.level
        for number, limit in enumerate(rule.limits):
            if self.active[number]:
                moving, delay_s = value < limit - rule.deadband, rule.off_delay_s
            else:
                moving, delay_s = value > limit, rule.on_delay_s
            since_s = self.since_s[number]
            if not moving:
                self.since_s[number] = None
                continue
            if since_s is None:
                self.since_s[number] = since_s = time_s
            if time_s - since_s >= delay_s - TIME_STEP_S:
                self.active[number] = not self.active[number]
                self.since_s[number] = None
        self.level = max((number for number, on in enumerate(self.active) if on), default=-1)
        return self.level != before


def _values(hot_share: float) -> list[Floats]:
    """Batches of one value per channel; `hot_share` of the channels swings around the limits."""
    random = np.random.default_rng(7)
    hot = random.random(CHANNELS) < hot_share
    phase = random.uniform(0, 2 * np.pi, CHANNELS)
    return [
        np.where(hot, 88 + 9 * np.sin(phase + batch / 5), 75 + random.normal(0, 1, CHANNELS))
        for batch in range(BATCHES)
    ]


def _batched(values: list[Floats]) -> tuple[float, int]:
    bank = ThresholdBank([RULE] * CHANNELS)
    channels = np.arange(CHANNELS)
    changes = 0
    begun = time.process_time()
    for batch, row in enumerate(values):
        changes += len(bank.update(channels, row, np.full(CHANNELS, START_S + batch)))
    return BATCHES * CHANNELS / (time.process_time() - begun), changes


def _row_by_row(values: list[Floats]) -> tuple[float, int]:
    rows = [RowByRow(RULE) for _ in range(CHANNELS)]
    lists = [row.tolist() for row in values]
    changes = 0
    begun = time.process_time()
    for batch, row in enumerate(lists):
        for channel, value in enumerate(row):
            changes += rows[channel].update(value, START_S + batch)
    return BATCHES * CHANNELS / (time.process_time() - begun), changes


def _best(run: Callable[[list[Floats]], tuple[float, int]], values: list[Floats]) -> tuple[float, int]:
    return max(run(values) for _ in range(3))


def _plant(count: int) -> Plant:
    def tag(name: str, unit: str) -> dict[str, str]:
        return {"tag": f"[default]{{equipment}}/{name}", "address": f"s={{equipment}}/{name}", "unit": unit}

    return Plant.of(
        Settings.model_validate(
            {
                "links": {"plant": {"kind": "opcua", "endpoint": "opc.tcp://127.0.0.1:4840/plant"}},
                "types": {
                    "reactor": {
                        "link": "plant",
                        "signals": {
                            "temperature": tag("Temperature", "°C"),
                            "pressure": tag("Pressure", "bar"),
                            "flow_rate": tag("FlowRate", "l/min"),
                            "throughput": tag("Throughput", "kg/h"),
                            "level": tag("Level", "%"),
                        },
                    }
                },
                "equipment": [{"ids": [f"REACTOR_{{0001..{count:04d}}}"], "type": "reactor"}],
            }
        )
    )


def _observe(batch_size: int, hot_share: float) -> float:
    """µs of CPU per reading through `Detector.observe`: 1,000 equipment, 5 signals, a rule on one of them."""
    plant = _plant(1000)
    tags = list(plant.tags.values())
    random = np.random.default_rng(7)
    start_utc = datetime(2024, 1, 1, tzinfo=UTC)
    detector = Detector(plant, started_utc=start_utc)
    hot = random.random(len(tags)) < hot_share
    readings = []
    for cycle in range(20):
        source_utc = start_utc + timedelta(seconds=cycle)
        received_utc = source_utc + timedelta(milliseconds=40)
        swing = np.where(hot, 88 + 9 * np.sin(cycle / 5), 75 + random.normal(0, 1, len(tags))).tolist()
        for tag, value in zip(tags, swing, strict=True):
            readings.append(Reading(tag, value, Quality.GOOD, source_utc, received_utc))
    begun = time.process_time()
    for first in range(0, len(readings), batch_size):
        detector.observe(readings[first : first + batch_size])
    return 1e6 * (time.process_time() - begun) / len(readings)


def _tick() -> float:
    """ms of CPU for one look for silence over 10,000 equipment × 5 signals, nothing silent."""
    plant = _plant(10_000)
    start_utc = datetime(2024, 1, 1, tzinfo=UTC)
    detector = Detector(plant, started_utc=start_utc)
    begun = time.process_time()
    for second in range(50):
        detector.tick(start_utc + timedelta(seconds=second))
    return 1e3 * (time.process_time() - begun) / 50


def measure() -> dict[str, float]:
    """Readings per second and core, batched and row by row, their ratio, and µs per reading end to end.

    `normal`: 1 % of the channels near their limits. `busy`: every channel swings through all three levels.
    """
    numbers: dict[str, float] = {}
    for name, hot_share in (("normal", 0.01), ("busy", 1.0)):
        values = _values(hot_share)
        batched, changes = _best(_batched, values)
        plain, plain_changes = _best(_row_by_row, values)
        if changes != plain_changes:
            raise RuntimeError(f"{name}: {changes} changes batched, {plain_changes} row by row")
        numbers[f"{name}_batched_per_s"] = round(batched)
        numbers[f"{name}_row_by_row_per_s"] = round(plain)
        numbers[f"{name}_ratio"] = round(batched / plain, 1)
    for size in (100, 1000, 2000):
        numbers[f"observe_{size}_us_per_reading"] = round(min(_observe(size, 0.01) for _ in range(3)), 2)
    numbers["observe_1000_busy_us_per_reading"] = round(min(_observe(1000, 1.0) for _ in range(3)), 2)
    numbers["tick_50000_signals_ms"] = round(min(_tick() for _ in range(2)), 3)
    return numbers


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
