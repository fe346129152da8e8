"""Do queries of bindings and many scripts at once get their answers, and does nobody wait for ever?"""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from gateway.perspective_parent import Parent, Start, error, runs, value
from simulator.gateway.scripting import QueryAnswer, ScriptAnswer, ScriptDied, ScriptHost

pytestmark = pytest.mark.asyncio(loop_scope="module")

# queries


async def test_every_column_type_becomes_json(host: ScriptHost) -> None:
    answer = await host.query("Every/type", {})
    assert (answer.kind, answer.error) == ("Query", None)
    assert answer.objects() == [
        {
            "i": 1,
            "big": 9007199254740991,
            "f8": 0.1,
            "f4": 0.5,
            "money": 12.5,
            "whole": 7,
            "word": "é",
            "yes": True,
            "nothing": None,
            "doc": '{"a": 1}',
            "at": {"date": 5000},
            "nan": None,
            "id": "00000000-0000-0000-0000-000000000001",
        }
    ]
    assert isinstance(answer.rows[0][5], int)
    types = {column.name: column.type for column in answer.columns}
    assert (types["big"], types["money"]) == ("java.lang.Long", "java.math.BigDecimal")
    assert answer.dataset()["dataset"]["rows"] == [list(answer.rows[0])]


async def test_parameters_scalars_and_updates(host: ScriptHost) -> None:
    given = {"n": 2**40, "word": "ü", "at": {"date": 12000}}
    assert (await host.query("Every/parameter", given)).objects() == [given]
    counted = await host.query("Every/count", {"n": 4})
    assert (counted.kind, counted.scalar()) == ("ScalarQuery", 4)
    changed = await host.query("Every/update", {"by": 1})
    assert (changed.kind, changed.scalar()) == ("UpdateQuery", 2)


async def test_a_query_that_fails_gives_the_databases_sentence(host: ScriptHost) -> None:
    broken = await host.query("Every/broken", {})
    assert (broken.error or "").startswith('ERROR: relation "no_such_table" does not exist')
    assert (broken.columns, broken.rows, broken.scalar()) == ((), (), None)
    assert "'Nobody/here' not found" in ((await host.query("Nobody/here", {})).error or "")
    assert "cannot be made a Int4" in ((await host.query("Every/count", {"n": "x"})).error or "")


async def test_a_lost_database_says_so_and_comes_back(host: ScriptHost) -> None:
    slow = asyncio.create_task(host.query("Every/slow", {"s": 20.0}))
    await asyncio.sleep(0.5)
    host.set_jdbc(up=False)
    try:
        assert (await asyncio.wait_for(slow, 10)).error
        lost = await host.query("Every/count", {"n": 1})
        assert "Connection to 127.0.0.1:1 refused" in (lost.error or "")
    finally:
        host.set_jdbc(up=True)
    assert (await host.query("Every/count", {"n": 1})).scalar() == 1


# before anybody asks, and the end


async def test_it_is_warm_before_the_first_page_and_its_death_fails_who_waits(
    start: Start, kept_database: str
) -> None:
    """A connection and the library are there before anybody asks; after the death the next JVM serves."""
    opened = (
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s"
    )
    loaded = "import sys\nreturn 'deep.inside' in sys.modules"
    with psycopg.connect(kept_database, autocommit=True) as owner:

        def connections() -> int:
            row = owner.execute(opened, ("Ignition gateway stand-in",)).fetchone()
            assert row is not None
            return int(row[0])

        before = connections()
        async with start() as (host, _):
            for _ in range(400):
                if connections() > before and await value(host, loaded):
                    break
                await asyncio.sleep(0.1)
            assert connections() == before + 1
            assert await value(host, loaded)

            waiting: list[asyncio.Task[ScriptAnswer] | asyncio.Task[QueryAnswer]] = [
                asyncio.create_task(runs(host, "probe.wait(60000)")),
                asyncio.create_task(host.query("Every/slow", {"s": 60.0})),
            ]
            await asyncio.sleep(0.5)
            host.kill()
            found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
            assert [type(one) for one in found] == [ScriptDied, ScriptDied]
            assert (await asyncio.wait_for(runs(host, "return 1"), 60)).value == 1


async def test_a_library_script_that_cannot_be_loaded_fails_who_names_it(
    host: ScriptHost, parent: Parent
) -> None:
    assert await error(host, "torn.work()") == "ValueError: at load"
    assert await value(host, "return probe.double(2)") == 4


async def test_one_script_loads_while_another_imports(host: ScriptHost, parent: Parent) -> None:
    async with asyncio.timeout(20):
        loading = asyncio.create_task(error(host, "dawdling.work()"))
        await asyncio.sleep(0.15)
        assert await error(host, "import torn") == "ValueError: at load"
        assert await loading == "ValueError: after a while"


# many at once


async def test_a_slow_script_stops_nobody(host: ScriptHost, parent: Parent) -> None:
    slow = asyncio.create_task(runs(host, "probe.wait(3000)\nreturn 'slow'"))
    await asyncio.sleep(0.1)
    answers = await asyncio.gather(*(runs(host, "return n + self.view.custom.n", n=n) for n in range(20)))
    assert [answer.value for answer in answers] == list(range(1, 21))
    assert (await host.query("Every/count", {"n": 2})).scalar() == 2
    assert not slow.done()
    answer = await slow
    assert answer.value == "slow"
    assert 2.9 < answer.seconds < 10


async def test_scripts_that_wait_for_scripts_do_not_block_each_other(
    host: ScriptHost, parent: Parent
) -> None:
    answers = await asyncio.wait_for(
        asyncio.gather(*(runs(host, "return self.reload(300, n).sum", n=n) for n in range(12))), 30
    )
    assert [answer.value for answer in answers] == [300 + n for n in range(12)]


async def test_without_pages_nobody_looks(host: ScriptHost) -> None:
    served, host.perspective = host.perspective, None
    try:
        assert await value(host, "return system.perspective.getSessionInfo()") == []
        assert "there is no session 's1'" in await error(host, "system.perspective.closePopup('x')")
    finally:
        host.perspective = served
