"""One plant for the whole folder, and a bench for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

pytest.register_assert_rewrite("agent.bench")

from agent.bench import Bench, Floor, MakeBench, bench_on  # noqa: E402 - after its asserts are made to explain themselves
from bridge.store import queries  # noqa: E402
from simulator.process import PlantProcess  # noqa: E402

REACTORS = 300


@pytest.fixture(scope="session")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    """A real OPC UA plant with more reactors than there are tests."""
    log = tmp_path_factory.mktemp("plant") / "writes.jsonl"
    with PlantProcess.start("--equipment", str(REACTORS), "--tick", "2", "--write-log", str(log)) as process:
        yield Floor(process=process, write_log=log, reactors=REACTORS)


@pytest.fixture
async def make_bench(floor: Floor, database_url: str, named: queries.Queries) -> AsyncIterator[MakeBench]:
    """Makes the test's bench with settings of its own."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Bench:
            return await stack.enter_async_context(bench_on(floor, database_url, named, **settings))

        yield make


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    """The bench with the usual short settings."""
    return await make_bench()
