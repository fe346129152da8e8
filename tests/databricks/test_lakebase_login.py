"""What is asked of the workspace for one connection to Lakebase, and how seldom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
import responses
from by_hand import HandClock, Talk
from pydantic import SecretStr, ValidationError

from bridge.databricks.auth import PersonalToken
from bridge.databricks.http import Workspace
from bridge.databricks.lakebase import LakebaseLogin, find_place, mint, who_am_i
from bridge.errors import AnswerMalformed, BridgeError, FixConfiguration, WorkspaceDown, WorkspaceRefused
from bridge.settings import LakebaseSettings

HOST = "https://adb-1.example.net"
NAME = "projects/plant/branches/production/endpoints/primary"
ENDPOINT = LakebaseSettings(endpoint=NAME)
INSTANCE = LakebaseSettings(instance="plant")
NOW = HandClock().now_utc()


def place(host: str | None = "ep-1.example.net", **status: object) -> dict[str, object]:
    return {"name": NAME, "status": {"hosts": {"host": host, "read_only_host": "ro"}, **status}}


# The conversations


def test_the_endpoint_s_host_is_taken_as_it_is() -> None:
    talk = Talk()
    assert talk.work(find_place(ENDPOINT), place()) == "ep-1.example.net"
    assert talk.paths == [f"GET /api/2.0/postgres/{NAME}"]
    assert (
        talk.work(find_place(INSTANCE), {"read_write_dns": "instance-7.example.net"})
        == "instance-7.example.net"
    )
    assert talk.paths[1] == "GET /api/2.0/database/instances/plant"


@pytest.mark.parametrize(
    ("settings", "answer", "kind", "words"),
    [
        (ENDPOINT, place(None), WorkspaceDown, "no host yet"),
        (ENDPOINT, {"status": {}}, WorkspaceDown, "no host yet"),
        (ENDPOINT, place(disabled=True), FixConfiguration, "switched off"),
        (ENDPOINT, {}, AnswerMalformed, "status: wanted an object"),
        (ENDPOINT, {"status": {"hosts": "x"}}, AnswerMalformed, "wanted an object, found a text"),
        (INSTANCE, {"state": "STARTING"}, WorkspaceDown, "no host yet"),
        (INSTANCE, {"state": "STOPPED", "read_write_dns": "x"}, FixConfiguration, "switched off"),
        (INSTANCE, {"effective_stopped": True, "read_write_dns": "x"}, FixConfiguration, "switched off"),
        (INSTANCE, {"read_write_dns": 7}, AnswerMalformed, "read_write_dns: wanted a text"),
        (
            ENDPOINT,
            WorkspaceRefused("x: refused", status=404, error_code="RESOURCE_DOES_NOT_EXIST"),
            FixConfiguration,
            "databricks.lakebase.endpoint says which",
        ),
        (ENDPOINT, WorkspaceRefused("x: forbidden", status=403), WorkspaceRefused, "forbidden"),
        (
            INSTANCE,
            WorkspaceRefused("x: refused", status=404),
            FixConfiguration,
            "databricks.lakebase.instance",
        ),
    ],
)
def test_a_place_that_cannot_be_used_says_why(
    settings: LakebaseSettings, answer: dict[str, object] | BridgeError, kind: type[BridgeError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        Talk().work(find_place(settings), answer)


def test_a_credential_is_asked_for_by_endpoint_and_repeats_do_no_harm() -> None:
    talk = Talk()
    given = talk.work(mint(ENDPOINT, NOW), {"token": "pg-1", "expire_time": "2026-11-21T13:00:00Z"})
    (call,) = talk.calls
    assert (call.path, call.idempotent) == ("/api/2.0/postgres/credentials", True)
    assert call.body == {"endpoint": NAME, "ttl": "3600s"}
    assert (given.token, given.life_s) == ("pg-1", 3600.0)
    assert "pg-1" not in repr(given)


def test_a_provisioned_instance_names_things_otherwise() -> None:
    talk = Talk()
    given = talk.work(
        mint(INSTANCE, NOW), {"token": "pg-1", "expiration_time": "2026-11-21T12:30:00.123456789Z"}
    )
    (call,) = talk.calls
    assert call.path == "/api/2.0/database/credentials"
    assert call.body is not None
    assert call.body["instance_names"] == ["plant"]
    assert len(str(call.body["request_id"])) == 36
    assert given.life_s == pytest.approx(1800.123, abs=0.001)


@pytest.mark.parametrize(
    ("expires", "life_s"),
    [
        ("2026-11-21T12:10:00Z", 600.0),
        ("2026-11-21T12:10:00+00:00", 600.0),
        ("2026-11-21T15:00:00Z", 3600.0),  # our clock is slow: never longer than what was asked for
        ("2026-11-21T11:00:00Z", 0.0),  # our clock is fast: it serves this connection and no other
        ("2026-11-21T12:10:00", 3600.0),
        ("soon", 3600.0),
        ("", 3600.0),
    ],
)
def test_a_clock_that_is_wrong_makes_a_credential_shorter_at_worst(expires: str, life_s: float) -> None:
    assert Talk().work(mint(ENDPOINT, NOW), {"token": "pg-1", "expire_time": expires}).life_s == life_s


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": 7}, {"token": "a\x00b"}])
def test_a_credential_without_a_password_is_refused_without_showing_it(answer: dict[str, object]) -> None:
    with pytest.raises(AnswerMalformed, match="token") as caught:
        Talk().work(mint(ENDPOINT, NOW), answer)
    assert "a\x00b" not in str(caught.value)


def test_who_we_are_is_the_workspace_s_name_for_us() -> None:
    talk = Talk()
    assert talk.work(who_am_i(), {"id": "7", "userName": "ann@example.com"}) == "ann@example.com"
    assert talk.paths == ["GET /api/2.0/preview/scim/v2/Me"]
    with pytest.raises(AnswerMalformed, match="userName"):
        Talk().work(who_am_i(), {"id": "7"})


# Settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"endpoint": "projects/plant/branches/production"}, "not enough for a credential"),
        ({"endpoint": "plant"}, "projects/<project>"),
        ({"endpoint": NAME + "/../../x"}, "projects/<project>"),
        ({"endpoint": NAME, "instance": "plant"}, "two products"),
        ({}, "wanted endpoint"),
        ({"host": "db.example.net"}, "wanted endpoint"),
        ({"endpoint": NAME, "password": "x"}, "wants a user"),
        ({"endpoint": NAME, "schema": "x; drop schema y"}, "pattern"),
        ({"endpoint": NAME, "ttl_s": 299}, "300"),
        ({"endpoint": NAME, "branch": "x"}, "Extra"),
    ],
)
def test_a_section_that_cannot_work_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        LakebaseSettings.model_validate(given)


# The login


class Lakebase:
    """A workspace that counts what it is asked."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.minted = 0
        self.looked_up = 0
        self.down = False
        for verb, path, answer in (
            ("GET", f"/api/2.0/postgres/{NAME}", self._place),
            ("POST", "/api/2.0/postgres/credentials", self._mint),
            ("GET", "/api/2.0/preview/scim/v2/Me", self._me),
        ):
            mock.add_callback(verb, f"{HOST}{path}", answer)

    def _place(self, request: object) -> tuple[int, dict[str, str], str]:
        self.looked_up += 1
        return (500, {}, "") if self.down else (200, {}, json.dumps(place(f"ep-{self.looked_up}")))

    def _mint(self, request: object) -> tuple[int, dict[str, str], str]:
        if self.down:
            return 500, {}, ""
        self.minted += 1
        expires = (NOW + timedelta(days=1)).isoformat()
        return 200, {}, json.dumps({"token": f"pg-{self.minted}", "expire_time": expires})

    def _me(self, request: object) -> tuple[int, dict[str, str], str]:
        return 200, {}, '{"userName": "ann@example.com"}'


@pytest.fixture
def lakebase() -> Iterator[Lakebase]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Lakebase(mock)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def login(lakebase: Lakebase, clock: HandClock) -> AsyncIterator[LakebaseLogin]:
    made = LakebaseLogin(ENDPOINT, Workspace(HOST, PersonalToken("dapi-x", "the test"), clock), clock)
    yield made
    made.close()


async def test_access_is_whole_and_shows_no_password(login: LakebaseLogin) -> None:
    access = await login.access()
    assert (access.host, access.port, access.database) == ("ep-1", 5432, "databricks_postgres")
    assert (access.user, access.password, access.reused) == ("ann@example.com", "pg-1", False)
    assert access.encrypted
    assert "pg-1" not in repr(access)


async def test_a_credential_serves_a_quarter_of_an_hour(
    login: LakebaseLogin, lakebase: Lakebase, clock: HandClock
) -> None:
    first = await login.access()
    clock.passed_s = 899.0
    again = await login.access()
    assert (again.password, again.reused) == (first.password, True)
    clock.passed_s = 901.0
    later = await login.access()
    assert (later.password, later.reused) == ("pg-2", False)
    assert lakebase.minted == 2


async def test_a_short_credential_serves_one_connection(lakebase: Lakebase, clock: HandClock) -> None:
    """Five minutes before its end none is used, and 300 s is all it has."""
    settings = LakebaseSettings(endpoint=NAME, ttl_s=300)
    login = LakebaseLogin(settings, Workspace(HOST, PersonalToken("dapi-x", "the test"), clock), clock)
    assert [(await login.access()).password for _ in range(3)] == ["pg-1", "pg-2", "pg-3"]
    login.close()


async def test_connections_that_open_together_share_one(login: LakebaseLogin, lakebase: Lakebase) -> None:
    found = await asyncio.gather(*(login.access() for _ in range(20)))
    assert {access.password for access in found} == {"pg-1"}
    assert (lakebase.minted, lakebase.looked_up) == (1, 1)


async def test_what_was_refused_is_not_given_again(login: LakebaseLogin, lakebase: Lakebase) -> None:
    await login.access()
    old = await login.access()
    fresh = await login.access(refused=old)
    assert (fresh.password, fresh.reused) == ("pg-2", False)
    # Another connection was refused with the old one as well: it takes the one that is there by now.
    assert (await login.access(refused=old)).password == "pg-2"
    assert lakebase.minted == 2


async def test_the_host_is_asked_for_again_now_and_then(
    login: LakebaseLogin, lakebase: Lakebase, clock: HandClock
) -> None:
    assert (await login.access()).host == "ep-1"
    clock.passed_s = 299.0
    assert (await login.access()).host == "ep-1"
    clock.passed_s = 301.0
    assert (await login.access()).host == "ep-2"


async def test_a_workspace_that_is_away_stops_no_connection_that_is_still_possible(
    login: LakebaseLogin, lakebase: Lakebase, clock: HandClock
) -> None:
    await login.access()
    lakebase.down = True
    clock.passed_s = 600.0
    access = await login.access()
    assert (access.host, access.password) == ("ep-1", "pg-1")
    clock.passed_s = 1000.0
    with pytest.raises(WorkspaceDown):
        await login.access()
    lakebase.down = False
    assert (await login.access()).password == "pg-2"


async def test_a_native_password_asks_for_no_credential(lakebase: Lakebase, clock: HandClock) -> None:
    """And with a host given, for nothing at all."""
    settings = LakebaseSettings(endpoint=NAME, user="svc", password=SecretStr("native"))
    login = LakebaseLogin(settings, Workspace(HOST, PersonalToken("dapi-x", "the test"), clock), clock)
    access = await login.access()
    assert (access.host, access.user, access.password, access.reused) == ("ep-1", "svc", "native", False)
    assert lakebase.minted == 0
    login.close()
    settings = LakebaseSettings(host="db.example.net", port=6432, user="svc", password=SecretStr("native"))
    access = await LakebaseLogin(settings, None, clock).access()
    assert (access.host, access.port, access.encrypted) == ("db.example.net", 6432, True)
    assert len(lakebase.mock.calls) == 1


async def test_this_machine_alone_may_be_reached_in_the_clear(clock: HandClock) -> None:
    for host, encrypted in (("127.0.0.1", False), ("localhost", False), ("10.0.0.1", True)):
        settings = LakebaseSettings(host=host, user="svc", password=SecretStr("native"))
        assert (await LakebaseLogin(settings, None, clock).access()).encrypted is encrypted
