"""Gateways that many tests share, and what they run against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from gateway import perspective_parent
from gateway.gateway_stand import atomic, folder, opc, operator_url, project, query, script, tag_file, timer
from gateway.perspective_parent import Parent, Start
from simulator.gateway.process import GatewayProcess
from simulator.gateway.scripting import ScriptHost
from simulator.process import PlantProcess

PROBE = (Path(__file__).parent / "probe_script.py.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def write_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway-plant") / "writes.jsonl"


@pytest.fixture(scope="session")
def plant_process(write_log: Path) -> Iterator[PlantProcess]:
    """Four reactors, two pumps, two valves."""
    with PlantProcess.start("--tick", "0.1", "--write-log", str(write_log)) as process:
        yield process


@pytest.fixture(scope="session")
def probe_database(fresh_database: Callable[..., str]) -> str:
    """The owner's URL of a database with a table of the probe's own."""
    url = fresh_database()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("create table probe (n integer primary key, word text, at timestamptz, big numeric)")
        owner.execute("grant select, insert, update, delete on probe to bridge_operator")
    return url


@pytest.fixture(scope="session")
def probe_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that shows from inside what scripts meet."""
    return project(
        tmp_path_factory.mktemp("probe") / "Probe.zip",
        script("probe/calls", PROBE),
        script("probe/deep/other", "def answer():\n\treturn 42\n"),
        query("Probe/all", "select n, word, big, at from probe order by n"),
        query(
            "Probe/byWord", "select n from probe where word = :word or :word::text is null order by n", word=7
        ),
        query(
            "Probe/add",
            "insert into probe (n, word, at) values (:n, :word, :at)",
            "UpdateQuery",
            n=2,
            word=7,
            at=8,
        ),
        query("Probe/count", "select count(*) from probe where n >= :low", "ScalarQuery", low=2),
        query(
            "Probe/types",
            "select :i1 as i1, :i8 as i8, :f4 as f4, :f8 as f8, :b as b, :s as s, :t::timestamptz as t",
            i1=0,
            i8=3,
            f4=4,
            f8=5,
            b=6,
            s=7,
            t=8,
        ),
        query("Probe/broken", "select * from no_such_table"),
        timer("Beat", "probe.calls.beat()"),
        timer("Fail", "probe.calls.fail()"),
    )


@pytest.fixture(scope="session")
def probe_tags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reactor = (
        opc("Temperature", "Float8", "REACTOR_02/Temperature", readOnly=True),
        opc("ThroughputSetpoint", "Float4", "REACTOR_02/ThroughputSetpoint"),
        opc("CoolingOn", "Boolean", "REACTOR_02/CoolingOn"),
        opc("Forced", "Float8", "REACTOR_02/Temperature"),  # writable for us, not for the plant
        opc("Nobody", "Float8", "REACTOR_02/Nobody"),
        atomic("Hot", "Boolean", valueSource="expr", expression="{[.]Temperature} > 1000"),
    )
    return tag_file(
        tmp_path_factory.mktemp("tags") / "tags.json",
        folder("REACTOR_02", *reactor),
        atomic("Note", "String", value="hello"),
        atomic("Count", "Int4", value=0),
    )


@pytest.fixture(scope="session")
def arguments(
    probe_project: Path, probe_tags: Path, probe_database: str, plant_process: PlantProcess
) -> list[str]:
    """What every gateway of these tests is started with."""
    return [
        *(
            "--project",
            str(probe_project),
            "--tags",
            str(probe_tags),
            "--database",
            operator_url(probe_database),
        ),
        *("--plant", plant_process.endpoint, "--tag-group", "Fast=20", "--hold-timers"),
    ]


@pytest.fixture(scope="session")
def gateway(arguments: list[str]) -> Iterator[GatewayProcess]:
    """A gateway of 8.3 that nobody breaks."""
    with GatewayProcess.start(*arguments) as process:
        yield process


@pytest.fixture(scope="module")
def kept_database(fresh_database: Callable[..., str]) -> str:
    """The owner's URL of a database that has one small table."""
    url = fresh_database()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("create table kept (n integer)")
        owner.execute("insert into kept values (1), (2)")
        owner.execute("grant select, update on kept to bridge_operator")
    return url


@pytest.fixture(scope="module")
def start(kept_database: str, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts a JVM of its own for Perspective scripts."""
    source = perspective_parent.views_project(tmp_path_factory.mktemp("hmi") / "Views.zip")
    return partial(perspective_parent.started, source, operator_url(kept_database))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(start: Start) -> AsyncIterator[tuple[ScriptHost, Parent]]:
    """One JVM for all tests of a module."""
    async with start() as both:
        yield both


@pytest.fixture
def parent(shared: tuple[ScriptHost, Parent]) -> Parent:
    """The parent of the module's JVM, as new."""
    shared[1].reset()
    return shared[1]


@pytest.fixture
def host(shared: tuple[ScriptHost, Parent]) -> ScriptHost:
    """The module's JVM."""
    return shared[0]
