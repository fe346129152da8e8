"""One plant for the whole folder, and a scene for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("agent.bench", "crash.scene")

from agent.bench import Floor  # noqa: E402 - after their asserts are made to explain themselves

from bridge.store import queries  # noqa: E402
from crash.scene import MakeScene, Nursery, Scene, scene_on  # noqa: E402
from simulator.process import PlantProcess  # noqa: E402

REACTORS = 360


@pytest.fixture(scope="session")
def crash_floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    """A real OPC UA plant that keeps its own record of every write."""
    log = tmp_path_factory.mktemp("plant") / "writes.jsonl"
    with PlantProcess.start("--equipment", str(REACTORS), "--tick", "5", "--write-log", str(log)) as process:
        yield Floor(process=process, write_log=log, reactors=REACTORS)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where bridge processes come from."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
async def make_scene(
    crash_floor: Floor,
    nursery: Nursery,
    fresh_database: Callable[..., str],
    drop_database: Callable[[str], None],
    named: queries.Queries,
    tmp_path: Path,
) -> AsyncIterator[MakeScene]:
    """Makes scenes, each on a database of its own."""
    async with AsyncExitStack() as stack:
        made = 0

        async def make(*, floor: Floor | None = None, **options: Any) -> Scene:
            nonlocal made
            made += 1
            url = fresh_database()
            stack.callback(drop_database, url)
            chosen = crash_floor if floor is None else floor
            folder = tmp_path / f"scene{made}"
            folder.mkdir()
            return await stack.enter_async_context(scene_on(chosen, nursery, url, named, folder, **options))

        yield make
