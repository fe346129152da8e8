"""Genie and serving endpoints as advisors over real HTTP: a simulated workspace on the plant's own tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rig import Row

from agent.bench import Bench, MakeBench, Running, running, throughput, until
from bridge.clock import SystemClock
from bridge.settings import Settings
from bridge.wiring import advisor_of
from simulator.workspace.process import WorkspaceProcess

SPACE = "01ef0000000000000000000000000001"
HIGH = 91.0
MILDER = "reduce_throughput_10"
SCRIPT: dict[str, Any] = {
    "genie": [
        {
            "space_id": SPACE,
            "title": "Plant",
            "answers": [
                {
                    "question": r"(?P<equipment>REACTOR_\d+)",
                    "statuses": ["ASKING_AI"],
                    "text": "The coolant of {equipment} is short.\n\nIt was so twice this month.",
                    "queries": [
                        {
                            "sql": "select '" + MILDER + "' as remedy, max(temperature) as hottest"
                            " from plant_lakebase.public.sensor_data where equipment_id = '{equipment}'"
                        }
                    ],
                }
            ],
        }
    ],
    "serving": [
        {
            "name": "plant-advisor",
            "model": "simulated-advisor",
            "answers": [
                {
                    "prompt": r"REACTOR_\d+",
                    "json": {
                        "root_cause": "The throughput is above what the cooling can carry.",
                        "explanation": "It rises with the flow at its set-point.",
                        "candidates": ["open_all_valves", MILDER],
                        "confidence": 0.8,
                    },
                }
            ],
        }
    ],
}


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(reactors=1)


@contextmanager
def workspace_on(database_url: str) -> Iterator[WorkspaceProcess]:
    with WorkspaceProcess.start("--database", database_url, "--no-warehouse") as started:
        started.script(SCRIPT)
        yield started


@pytest.fixture(scope="module")
def one_workspace(fresh_database: Callable[..., str]) -> Iterator[WorkspaceProcess]:
    """One for all tests that do not care whose rows Genie finds."""
    with workspace_on(fresh_database()) as started:
        yield started


@pytest.fixture
def workspace(one_workspace: WorkspaceProcess) -> WorkspaceProcess:
    """The same, as after its start."""
    one_workspace.reset()
    return one_workspace


@pytest.fixture
async def advised_by(bench: Bench, workspace: WorkspaceProcess) -> AsyncIterator[Callable[..., Any]]:
    """A whole agent with an advisor as bridge.toml would name it."""
    opened: list[Any] = []

    async def start(at: WorkspaceProcess = workspace, **advisor: object) -> Running:
        values = bench.settings.model_dump()
        values["databricks"] = {"host": at.host, "token": at.token}
        values["advisor"] = {"deadline_s": 20.0, "again_after_s": 0.1, **advisor}
        settings = Settings(**values)
        found = advisor_of(settings, SystemClock())
        assert found is not None
        bounds = settings.advisor.model_dump(exclude={"azure_key"})
        context = running(bench.settings, bench.named, advisor=found[0], **bounds)
        opened.append((context, found[1]))
        made: Running = await context.__aenter__()
        return made

    yield start
    for context, leave in opened:
        await context.__aexit__(None, None, None)
        leave()


def note(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = row["evidence"].get("advisor", {})
    return found


async def proposed(bench: Bench) -> Row:
    """The rules' proposal for a reactor that is too hot."""
    bench.hands.operator.execute(
        "insert into sensor_data (equipment_id, temperature) values (%s, %s)", (bench.reactor, HIGH)
    )
    await until(lambda: bench.recommendations(), "the rules propose")
    return bench.only()


async def answered(bench: Bench, state: str = "given") -> Row:
    def look() -> Row | None:
        return bench.only() if note(bench.only()).get("state") == state else None

    row = await until(look, f"advice is {state}")
    assert row is not None
    return row


async def test_genie_enriches_with_the_plants_own_rows(bench: Bench, advised_by: Callable[..., Any]) -> None:
    """Question, polling, SQL on the plant's tables, rows: root cause and a configured remedy, with the way there."""
    with workspace_on(bench.url) as workspace:
        await advised_by(workspace, kind="genie", space=SPACE)
        await proposed(bench)
        row = await answered(bench)
    assert (row["source"], row["root_cause_analysis"]) == (
        "genie",
        f"The coolant of {bench.reactor} is short.",
    )
    assert [(write["tag_path"], write["to"]) for write in row["proposed_writes"]] == [
        (throughput(bench.reactor), 450.0)
    ]
    origin = note(row)["provenance"]
    assert (origin["rows"], origin["space"]) == (1, SPACE)
    assert "max(temperature)" in origin["sql"]
    assert origin["conversation_id"]
    assert "hottest = 91" in note(row)["explanation"]
    bench.hands.approve(row["recommendation_id"])
    assert (await bench.over(row["recommendation_id"]))["status"] == "executed"
    assert bench.floor.writes(bench.reactor) == [(f"{bench.reactor}/ThroughputSetpoint", 450.0)]


async def test_a_serving_endpoint_enriches_by_a_form(bench: Bench, advised_by: Callable[..., Any]) -> None:
    """One JSON object of the form; the name that nobody configured is refused by name."""
    await advised_by(kind="serving", endpoint="plant-advisor")
    await proposed(bench)
    row = await answered(bench)
    assert (row["source"], note(row)["remedy"]) == ("llm", MILDER)
    assert note(row)["candidates"] == [MILDER]
    assert note(row)["refused"][0].startswith("remedy open_all_valves: not configured")
    assert note(row)["provenance"]["model"] == "plant-advisor (simulated-advisor)"


FAULTS = {
    "genie_failed =WAREHOUSE_ACCESS_MISSING_EXCEPTION": "WAREHOUSE_ACCESS_MISSING_EXCEPTION",
    "genie_forbidden": "permission",
    "genie_cancelled": "cancelled",
    "genie_empty": "neither words nor rows",
    "genie_stuck": "was not there within 3 s",
    "html POST:/api/2.0/genie/* always": "web page",
    "forbidden POST:/api/2.0/genie/*": "PERMISSION_DENIED",
    "lost_response POST:/api/2.0/genie/*": "may have happened",
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_when_genie_fails_the_rules_stand_and_say_so(
    bench: Bench, workspace: WorkspaceProcess, advised_by: Callable[..., Any], fault: str
) -> None:
    """Each way to fail leaves source rules and its reason in words; one question, no repetition behind our back."""
    workspace.fault(fault)
    await advised_by(kind="genie", space=SPACE, attempts=1, deadline_s=3.0 if "stuck" in fault else 20.0)
    before = await proposed(bench)
    row = await answered(bench, "failed")
    assert row["source"] == "rules"
    assert row["write_digest"] == before["write_digest"]
    assert row["root_cause_analysis"] == before["root_cause_analysis"]
    assert FAULTS[fault].lower() in note(row)["reason"].lower(), note(row)["reason"]
    asked = [one for one in workspace.requests() if one["path"].endswith("/start-conversation")]
    assert len(asked) == 1


async def test_an_answer_full_of_orders_is_shown_and_obeyed_by_nobody(
    bench: Bench, workspace: WorkspaceProcess, advised_by: Callable[..., Any]
) -> None:
    """The workspace's own injection: markup, SQL and commands come out as text, remarked on."""
    workspace.fault("genie_injection")
    await advised_by(kind="genie", space=SPACE, may_choose=False)
    before = await proposed(bench)
    row = await answered(bench)
    assert row["write_digest"] == before["write_digest"]
    assert row["status"] == "pending"
    assert note(row)["remedy"] is None


async def test_a_limit_of_questions_is_waited_for_and_is_no_failure(
    bench: Bench, workspace: WorkspaceProcess, advised_by: Callable[..., Any]
) -> None:
    """429 with Retry-After: told as waiting, no attempt is lost, and the answer comes after all."""
    workspace.fault("rate_limited POST:/api/2.0/genie/* x1 1s")
    await advised_by(kind="genie", space=SPACE, attempts=1)
    await proposed(bench)
    row = await answered(bench)
    assert row["advice_attempts"] == 1
