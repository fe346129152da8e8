"""Does every error of the database come up as what the reader can do about it?"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import psycopg
import pytest
from rig import Connection, Hands, connect, sql

from bridge.domain.lifecycle import Role
from bridge.domain.limits import RefusalCode
from bridge.errors import (
    AccessDenied,
    BridgeError,
    DeadlineExceeded,
    FixCode,
    FixConfiguration,
    IllegalTransition,
    LostRace,
    RefusedByRule,
    SchemaError,
    StoreDown,
)
from bridge.settings import StoreSettings
from bridge.store.connection import Database, translate
from bridge.store.postgres import database


@pytest.fixture(scope="module")
def anybody(fresh_database: Callable[..., str], drop_database: Callable[[str], None]) -> Iterator[Connection]:
    url = fresh_database()
    with connect(url) as connection:
        yield connection
    drop_database(url)


# What a real PostgreSQL says, the SQLSTATE we rely on, and what becomes of it.
SAID: dict[str, tuple[str, str, type[BridgeError]]] = {
    "a missing right": ("set role bridge_reader; delete from agent_audit", "42501", AccessDenied),
    "a missing table": ("select * from nowhere", "42P01", SchemaError),
    "a missing column": ("select nothing from agent_commands", "42703", SchemaError),
    "a missing function": ("select nothing(1)", "42883", SchemaError),
    "a missing schema": ("create table nowhere.x (y integer)", "3F000", SchemaError),
    "a unique violation": (
        "insert into agent_health (agent_id) values ('a'), ('a')",
        "23505",
        LostRace,
    ),
    "a statement timeout": ("set statement_timeout = '10ms'; select pg_sleep(10)", "57014", DeadlineExceeded),
    "a check violation": (
        "insert into agent_health (agent_id, status) values ('a', 'half')",
        "23514",
        RefusedByRule,
    ),
    "a null where none may be": ("insert into agent_health (agent_id) values (null)", "23502", RefusedByRule),
    "a foreign key": (
        "insert into work_orders (recommendation_id, equipment_id, description) values ('R-9', 'x', 'x')",
        "23503",
        RefusedByRule,
    ),
    "text that is no JSON": ("select 'x'::jsonb", "22P02", RefusedByRule),
    "a number out of range": ("select 1e400::double precision", "22003", RefusedByRule),
    "a division by zero": ("select 1 / 0", "22012", RefusedByRule),
    "a lock not to be had": (
        "set lock_timeout = '10ms'; select pg_advisory_lock(7)",
        "55P03",
        StoreDown,
    ),
    "a backend that is terminated": ("select pg_terminate_backend(pg_backend_pid())", "57P01", StoreDown),
    "SQL that is none": ("selec 1", "42601", FixCode),
    "a read-only transaction": (
        "set default_transaction_read_only = on; delete from agent_health",
        "25006",
        FixCode,
    ),
    "a refusal by rule": ("select refuse('out_of_range', 'too much')", "BR001", RefusedByRule),
    "an illegal transition": ("select refuse('illegal_transition', 'no')", "BR001", IllegalTransition),
}


@pytest.mark.parametrize("case", sorted(SAID))
def test_what_the_database_says_becomes_what_the_reader_can_do(anybody: Connection, case: str) -> None:
    """Each SQLSTATE that we rely on must arrive as its branch of the error tree, with the query named."""
    statements, state, kind = SAID[case]
    with connect(anybody.info.dsn + f" password={anybody.info.password}") as other:
        if "advisory" in statements:
            anybody.execute("select pg_advisory_lock(7)")
        *before, last = statements.split("; ")
        for statement in before:
            other.execute(sql(statement))
        with pytest.raises(psycopg.Error) as caught:
            other.execute(sql(last))
        anybody.execute("select pg_advisory_unlock_all()")
    assert caught.value.sqlstate == state
    error = translate(caught.value, "things.look")
    assert type(error) is kind
    if state != "BR001":
        assert "things.look" in str(error)


def test_a_refusal_keeps_its_code_and_its_sentence(anybody: Connection) -> None:
    """The code must arrive as RefusalCode, and the sentence without the code in front of it."""
    with pytest.raises(psycopg.Error) as caught:
        anybody.execute("select refuse('too_soon', 'wait 5 s')")
    error = translate(caught.value, "x")
    assert isinstance(error, RefusedByRule)
    assert (error.refusal.code, error.refusal.reason) == (RefusalCode.TOO_SOON, "wait 5 s")


def test_a_refusal_with_a_code_that_nobody_knows_still_says_why(anybody: Connection) -> None:
    """A code of a newer schema must become wrong_form with its sentence, not a crash."""
    with pytest.raises(psycopg.Error) as caught:
        anybody.execute("select refuse('brand_new', 'because')")
    error = translate(caught.value, "x")
    assert isinstance(error, RefusedByRule)
    assert (error.refusal.code, error.refusal.reason) == (RefusalCode.WRONG_FORM, "because")


def test_an_arrow_that_a_role_may_not_follow_is_access_denied(hands: Hands) -> None:
    """not_permitted comes with 42501, so it is AccessDenied and names role and arrow."""
    made = hands.propose()
    with pytest.raises(psycopg.Error) as caught:
        hands.agent.execute(
            "update agent_recommendations set status = 'approved' where recommendation_id = %s", (made,)
        )
    error = translate(caught.value, "x")
    assert isinstance(error, AccessDenied)
    assert "bridge_agent may not turn recommendation" in str(error)


def a_database(url: str, role: Role | None = None) -> Database:
    return Database(url, role=role, size=2, connect_timeout_s=2.0, statement_timeout_s=2.0)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda url: url.replace(":", ":wrong", 2).replace("wrong//", "//"), AccessDenied),
        (lambda url: url.replace("//postgres:", "//nobody:"), AccessDenied),
        (lambda url: url.rsplit("/", 1)[0] + "/nowhere", AccessDenied),
        (lambda url: "postgresql://postgres:x@127.0.0.1:{port}/x", StoreDown),
        (lambda url: "postgresql://postgres:x@127.0.0.1:notaport/x", FixConfiguration),
        (lambda url: url.replace("//", "//x y:/"), FixConfiguration),
    ],
    ids=["wrong password", "unknown login", "unknown database", "nobody listens", "no port", "no URL"],
)
async def test_a_database_that_cannot_be_opened_says_what_to_do(
    database_url: str, change: Callable[[str], str], kind: type[BridgeError]
) -> None:
    """Wrong logins and names must be mended, silence may be waited for, and no password may be in the message."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = change(database_url).replace("{port}", str(probe.getsockname()[1]))
        with pytest.raises(kind) as caught:
            await a_database(url).open()
    password = database_url.split(":")[2].split("@")[0]
    assert password not in str(caught.value)


async def test_a_login_that_may_not_take_on_the_role_is_told_to_ask_the_owner(database_url: str) -> None:
    """A login outside of bridge_agent must be AccessDenied at open, naming the role."""
    name = f"stranger_of_{database_url.rsplit('/', 1)[1]}"
    with connect(database_url) as owner:
        owner.execute(sql(f"create role {name} login password 'pw'"))
        try:
            url = database_url.replace(database_url.split("//")[1].split("@")[0], f"{name}:pw")
            with pytest.raises(AccessDenied, match="bridge_agent"):
                await a_database(url, Role.AGENT).open()
        finally:
            owner.execute(sql(f"drop role {name}"))


async def test_a_server_without_our_roles_is_told_to_be_migrated(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the role does not exist at all, the schema is missing: SchemaError, not a refusal of a rule."""
    monkeypatch.setattr(Role.AGENT, "_value_", "bridge_nobody")
    with pytest.raises(SchemaError, match="ignition-bridge db migrate"):
        await a_database(database_url, Role.AGENT).open()


async def test_a_closed_pool_is_a_store_that_is_down(database_url: str) -> None:
    """A query after close must be StoreDown, not a driver's error."""
    made = a_database(database_url)
    await made.open()
    await made.close()
    with pytest.raises(StoreDown):
        async with made.session("late"):
            pass


def test_no_url_is_something_to_configure() -> None:
    """Without store.url the message must say where to put one."""
    with pytest.raises(FixConfiguration, match="BRIDGE_STORE__URL"):
        database(StoreSettings(), Role.AGENT)
