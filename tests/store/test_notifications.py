"""Is whoever listens told of every change, and does a lost wire show?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from rig import THROUGHPUT, Connection, Hands, connect

from bridge.errors import StoreDown
from bridge.store import connection as connections
from bridge.store.postgres import PostgresStore

DEADLINE_S = 40.0


async def next_hint(hints: AsyncIterator[str | None]) -> str | None:
    return await asyncio.wait_for(anext(hints), DEADLINE_S)


async def listening(store: PostgresStore, wait_s: float = 60.0) -> AsyncIterator[str | None]:
    """Hints from here on; the first None says that the listener stands."""
    hints = store.notifications(wait_s=wait_s)
    assert await next_hint(hints) is None
    return hints


def _insert_prose(hands: Hands) -> str:
    row = hands.agent.execute(
        "insert into agent_recommendations (equipment_id, issue_type) values ('X', 'y') returning recommendation_id"
    ).fetchone()
    assert row is not None
    return str(row["recommendation_id"])


async def test_every_change_gives_a_hint(hands: Hands, store: PostgresStore) -> None:
    """Proposal, revision, decision, command, claim, arming and foreign readings must each be announced, in order."""
    hints = await listening(store)
    made = hands.propose()
    assert await next_hint(hints) == f"recommendation pending {made}"
    hands.revise(made, [{"tag_path": THROUGHPUT, "from": 450, "to": 400, "unit": "kg/h"}])
    assert await next_hint(hints) == f"recommendation pending {made}"
    hands.approve(made)
    assert await next_hint(hints) == f"recommendation approved {made}"
    command = hands.begin(made)[0]
    assert {await next_hint(hints), await next_hint(hints)} == {
        f"recommendation executing {made}",
        f"command pending {command} opcua",
    }
    hands.claim(command)
    assert await next_hint(hints) == f"command executing {command} opcua"
    hands.operator.execute("update bridge_control set armed = false, reason = 'maintenance'")
    assert await next_hint(hints) == "control disarmed bridge"
    hands.operator.execute("insert into sensor_data (equipment_id, temperature) values ('REACTOR_01', 91)")
    assert await next_hint(hints) == "reading external REACTOR_01"
    await hints.aclose()  # type: ignore[attr-defined]


async def test_what_changes_nothing_is_not_announced(hands: Hands, store: PostgresStore) -> None:
    """Own readings, renewals, intents and heartbeats must wake nobody."""
    made = hands.propose()
    command = hands.command_in("executing", sent=False)
    hints = await listening(store)
    await store.renew([made], 60.0)
    hands.send(command)
    await store.heartbeat(online=True, polls_completed=1, cycle_ms=1.0, detail={})
    sentinel = _insert_prose(hands)
    assert await next_hint(hints) == f"recommendation pending {sentinel}"
    await hints.aclose()  # type: ignore[attr-defined]


async def test_a_change_that_is_rolled_back_is_not_announced(hands: Hands, store: PostgresStore) -> None:
    """A hint must come with the commit and never without it."""
    hints = await listening(store)
    with hands.agent.transaction(force_rollback=True):
        _insert_prose(hands)
    sentinel = _insert_prose(hands)
    assert await next_hint(hints) == f"recommendation pending {sentinel}"
    await hints.aclose()  # type: ignore[attr-defined]


async def test_many_changes_in_one_burst_all_arrive(hands: Hands, store: PostgresStore) -> None:
    """Hints that arrive together must all be handed out."""
    hints = await listening(store)
    with hands.agent.transaction():
        made = [
            row["recommendation_id"]
            for row in hands.agent.execute(
                "insert into agent_recommendations (equipment_id, issue_type)"
                " select 'E' || n, 'y' from generate_series(1, 200) n returning recommendation_id"
            ).fetchall()
        ]
    got = [await next_hint(hints) for _ in made]
    assert got == [f"recommendation pending {recommendation_id}" for recommendation_id in made]
    await hints.aclose()  # type: ignore[attr-defined]


async def test_silence_ticks(store: PostgresStore) -> None:
    """After each wait_s without a hint None must come, again and again, so that the caller can poll."""
    hints = await listening(store, wait_s=0.02)
    for _ in range(3):
        assert await next_hint(hints) is None
    await hints.aclose()  # type: ignore[attr-defined]


async def test_a_lost_listener_is_told_and_a_new_one_works(hands: Hands, store: PostgresStore) -> None:
    """When its backend is terminated the listener must raise StoreDown, and listening again must work."""
    hints = await listening(store)
    killed = hands.value(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where application_name = 'ignition-bridge listener' and datname = current_database()"
    )
    assert killed == 1
    with pytest.raises(StoreDown):
        await next_hint(hints)
    again = await listening(store)
    made = hands.propose()
    assert await next_hint(again) == f"recommendation pending {made}"
    await again.aclose()  # type: ignore[attr-defined]


async def test_the_pool_recovers_from_terminated_backends(hands: Hands, store: PostgresStore) -> None:
    """Killed connections of the pool must cost StoreDown at the most, and then work again by themselves."""
    await store.due()
    hands.value(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where application_name = 'ignition-bridge' and datname = current_database()"
    )
    for _ in range(10):
        try:
            assert await store.due() == frozenset()
        except StoreDown:
            continue
        return
    pytest.fail("the pool never recovered")


async def test_a_listener_that_is_closed_leaves_no_connection(hands: Hands, store: PostgresStore) -> None:
    """Ending the iteration must give the listener's own connection back."""
    hints = await listening(store)
    await hints.aclose()  # type: ignore[attr-defined]
    assert _gone(hands)


def _gone(hands: Hands) -> bool:
    """The server notices the end of a session in its own time; wait for it, up to the deadline."""
    with connect(hands.url) as connection:
        row = connection.execute(
            "with recursive waiting (round) as (select 1 union all select round + 1 from waiting, pg_sleep(0.02)"
            " where round < 500 and exists (select from pg_stat_get_activity(null) a"
            " where a.application_name = 'ignition-bridge listener'"
            " and a.datid = (select oid from pg_database where datname = current_database())))"
            " select max(round) as rounds from waiting"
        ).fetchone()
    assert row is not None
    return bool(row["rounds"] < 500)


def test_an_old_style_reading_wakes_the_listener(
    as_role: Callable[[str], Connection], owner: Connection
) -> None:
    """A plain insert of the old columns must announce its equipment on the channel bridge."""
    owner.execute("listen bridge")
    as_role("bridge_operator").execute(
        "insert into sensor_data (sensor_id, equipment_id, temperature, sensor_status, timestamp, recorded_by)"
        " values ('TT-02', 'REACTOR_02', 92.5, 'active', now(), 'gateway')"
    )
    notes = list(owner.notifies(timeout=DEADLINE_S, stop_after=1))
    assert [(note.channel, note.payload) for note in notes] == [("bridge", "reading external REACTOR_02")]


def test_an_old_style_command_is_announced_with_its_id(hands: Hands) -> None:
    """The payload must be words that a program can split: subject, status, id."""
    hands.owner.execute("listen bridge")
    made = hands.propose()
    notes = list(hands.owner.notifies(timeout=DEADLINE_S, stop_after=1))
    assert [note.payload.split() for note in notes] == [["recommendation", "pending", made]]
    assert json.dumps(notes[0].payload).isascii()


async def test_who_leaves_while_it_connects_leaves_no_connection_behind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bridge that is stopped at its start: what the server has just let in is closed, not forgotten."""
    opened: list[connections.Connection] = []
    reached = asyncio.Event()

    async def never(connection: connections.Connection, *_: object) -> None:
        opened.append(connection)
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("bridge.store.connection._prepare", never)
    connecting = asyncio.create_task(
        connections.connect(
            database_url, role=None, statement_timeout_s=5.0, connect_timeout_s=5.0, purpose="test"
        )
    )
    async with asyncio.timeout(30):
        await reached.wait()
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    assert opened[0].closed
