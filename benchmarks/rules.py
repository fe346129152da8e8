"""The threshold rules alone, as `benchmarks.detection` measures them."""

from __future__ import annotations

import asyncio

from benchmarks import detection
from benchmarks.figures import Figure, Result
from benchmarks.stand import Stand

NAME = "rules"
GOAL_PER_S = 1_000_000.0


async def measure(stand: Stand, *, quick: bool) -> Result:
    """Batched against row by row; takes no stand and is the same in every size."""
    numbers = await asyncio.to_thread(detection.measure)
    figures = [
        Figure(
            what=f"threshold rules, {what}",
            value=numbers[f"{name}_batched_per_s"],
            unit="values/s",
            goal=GOAL_PER_S,
            at_least=True,
            floor=numbers[f"{name}_row_by_row_per_s"],
            note="floor: the same rules row by row in plain Python",
        )
        for name, what in (("normal", "1 % near their limits"), ("busy", "all swinging through their limits"))
    ]
    figures.append(
        Figure(
            what="detector with its bookkeeping, batches of 1,000",
            value=numbers["observe_1000_us_per_reading"],
            unit="µs/reading",
        )
    )
    return Result(
        name=NAME,
        title="Detection, one core",
        figures=tuple(figures),
        notes=(f"a look for silence over 50,000 signals: {numbers['tick_50000_signals_ms']} ms",),
    )
